//! How a type is masked: PostgreSQL's built-in types by oid (`pg_type.dat`; these oids never change).

/// What a mask must look like to be a value of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text; with a type modifier, of at most so many code points.
    Text,
    /// Text padded with blanks to its length.
    Padded,
    /// Text of at most 63 bytes.
    Name,
    /// `"char"`: one byte.
    Byte,
    Json,
    /// The same, in binary with a version byte in front.
    Jsonb,
    Bytea,
    Bool,
    Int2,
    Int4,
    Int8,
    /// Unsigned 32 bits.
    Oid,
    /// Unsigned 64 bits.
    Xid8,
    Float4,
    Float8,
    Numeric,
    Money,
    Uuid,
    Date,
    Time,
    Timetz,
    Timestamp,
    Timestamptz,
    Interval,
    /// `inet` and, with true, `cidr`.
    Net(bool),
    Macaddr,
    Macaddr8,
    /// `bit`: always of its length.
    Bits,
    Varbits,
    /// `tsvector`: a list that may be empty. (A `tsquery` may not, in binary.)
    Words,
    /// Elements of the type with this oid.
    Array(u32),
    Record,
    Range,
    Multirange,
    /// Holds nothing.
    Void,
    /// Text of a value whose type is not told (COPY, fields of a record): what it looks like decides.
    Untyped,
    /// A type without a mask of its own: NULL.
    Other,
}

use Kind as K;

/// The kind of a built-in type; types that are not built in (enums, extensions) have no mask but NULL.
pub(super) fn kind(oid: u32) -> Kind {
    match oid {
        16 => K::Bool,
        17 => K::Bytea,
        18 => K::Byte,
        19 => K::Name,
        20 => K::Int8,
        21 => K::Int2,
        23 => K::Int4,
        26 | 28 | 29 => K::Oid,
        25 | 142 | 705 | 1043 | 1790 | 2275 => K::Text,
        114 => K::Json,
        650 => K::Net(true),
        700 => K::Float4,
        701 => K::Float8,
        774 => K::Macaddr8,
        790 => K::Money,
        829 => K::Macaddr,
        869 => K::Net(false),
        1042 => K::Padded,
        1082 => K::Date,
        1083 => K::Time,
        1114 => K::Timestamp,
        1184 => K::Timestamptz,
        1186 => K::Interval,
        1266 => K::Timetz,
        1560 => K::Bits,
        1562 => K::Varbits,
        1700 => K::Numeric,
        2249 => K::Record,
        2278 => K::Void,
        2950 => K::Uuid,
        3614 => K::Words,
        3802 => K::Jsonb,
        3904 | 3906 | 3908 | 3910 | 3912 | 3926 => K::Range,
        4451 | 4532..=4536 => K::Multirange,
        5069 => K::Xid8,
        _ => element(oid).map_or(K::Other, K::Array),
    }
}

/// The element type of a built-in array type.
#[rustfmt::skip]
pub(super) fn element(array: u32) -> Option<u32> {
    Some(match array {
        143 => 142, 199 => 114, 271 => 5069, 629 => 628, 651 => 650, 719 => 718, 775 => 774, 791 => 790,
        1000 => 16, 1001 => 17, 1002 => 18, 1003 => 19, 1005 => 21, 1006 => 22, 1007 => 23, 1008 => 24,
        1009 => 25, 1010 => 27, 1011 => 28, 1012 => 29, 1013 => 30, 1014 => 1042, 1015 => 1043, 1016 => 20,
        1017 => 600, 1018 => 601, 1019 => 602, 1020 => 603, 1021 => 700, 1022 => 701, 1027 => 604, 1028 => 26,
        1034 => 1033, 1040 => 829, 1041 => 869, 1115 => 1114, 1182 => 1082, 1183 => 1083, 1185 => 1184,
        1187 => 1186, 1231 => 1700, 1263 => 2275, 1270 => 1266, 1561 => 1560, 1563 => 1562, 2201 => 1790,
        2207 => 2202, 2208 => 2203, 2209 => 2204, 2210 => 2205, 2211 => 2206, 2287 => 2249, 2949 => 2970,
        2951 => 2950, 3221 => 3220, 3643 => 3614, 3645 => 3615, 3735 => 3734, 3770 => 3769, 3807 => 3802,
        3905 => 3904, 3907 => 3906, 3909 => 3908, 3911 => 3910, 3913 => 3912, 3927 => 3926, 4073 => 4072,
        4090 => 4089, 4097 => 4096, 4192 => 4191, 5039 => 5038, 6150 => 4451, 6151 => 4532, 6152 => 4533,
        6153 => 4534, 6155 => 4535, 6157 => 4536,
        _ => return None,
    })
}

/// The oid of `box`, the one built-in type whose arrays are written with semicolons.
pub(super) const BOX: u32 = 603;
