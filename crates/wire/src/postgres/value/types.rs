//! PostgreSQL's built-in types: oid, name, and the shape of the binary form (`pg_type.dat`; these oids never change).

/// How a type's binary form is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One byte.
    Bool,
    /// The bytes themselves.
    Bytea,
    /// One byte of `"char"`.
    Char,
    /// The same as the text form.
    Text,
    /// Signed 64 bits.
    Int8,
    /// Signed 16 bits.
    Int2,
    /// An array whose text form is a list with spaces.
    Vector,
    /// Signed 32 bits.
    Int4,
    /// A form that we do not read: shown as hex.
    Opaque,
    /// Unsigned 32 bits.
    Oid,
    /// Block and offset.
    Tid,
    /// Elements of any type.
    Array,
    /// Two floats.
    Point,
    /// Two points.
    Lseg,
    /// Open or closed, and points.
    Path,
    /// Two points, written differently.
    Box,
    /// Points.
    Polygon,
    /// Three coefficients.
    Line,
    /// A network.
    Cidr,
    /// 32-bit float.
    Float4,
    /// 64-bit float.
    Float8,
    /// A point and a radius.
    Circle,
    /// Six or eight bytes.
    Macaddr,
    /// A host, with its network.
    Inet,
    /// Days since 2000-01-01.
    Date,
    /// Microseconds of a day.
    Time,
    /// Microseconds since 2000-01-01.
    Timestamp,
    /// The same, in UTC.
    Timestamptz,
    /// Microseconds, days, months.
    Interval,
    /// Microseconds of a day, and a zone.
    Timetz,
    /// A count of bits, and the bits.
    Bits,
    /// Digits of base 10,000.
    Numeric,
    /// Columns with their types.
    Record,
    /// Nothing.
    Void,
    /// 16 bytes.
    Uuid,
    /// Position in the WAL.
    Lsn,
    /// A version byte, then the text form.
    Versioned,
    /// Two bounds of the type with this oid.
    Range(u32),
    /// Ranges of the type with this oid.
    Multirange(u32),
    /// Unsigned 64 bits.
    Xid8,
}

use Shape as S;

struct Type {
    oid: u32,
    name: &'static str,
    shape: Shape,
}

const fn t(oid: u32, name: &'static str, shape: Shape) -> Type {
    Type { oid, name, shape }
}

fn find(oid: u32) -> Option<&'static Type> {
    TYPES.binary_search_by_key(&oid, |t| t.oid).ok().and_then(|at| TYPES.get(at))
}

/// The name of a built-in type by its oid: `int4`, `timestamptz`, `text[]`.
#[must_use]
pub fn type_name(oid: u32) -> Option<&'static str> {
    find(oid).map(|t| t.name)
}

/// The shape of a type's binary form; types that are not built in are opaque.
pub(super) fn shape(oid: u32) -> Shape {
    find(oid).map_or(Shape::Opaque, |t| t.shape)
}

/// Sorted by oid.
#[rustfmt::skip]
static TYPES: &[Type] = &[
    t(16, "bool", S::Bool), t(17, "bytea", S::Bytea), t(18, "char", S::Char), t(19, "name", S::Text),
    t(20, "int8", S::Int8), t(21, "int2", S::Int2), t(22, "int2vector", S::Vector), t(23, "int4", S::Int4),
    t(24, "regproc", S::Opaque), t(25, "text", S::Text), t(26, "oid", S::Oid), t(27, "tid", S::Tid),
    t(28, "xid", S::Oid), t(29, "cid", S::Oid), t(30, "oidvector", S::Vector), t(114, "json", S::Text),
    t(142, "xml", S::Text), t(143, "xml[]", S::Array), t(194, "pg_node_tree", S::Text),
    t(199, "json[]", S::Array), t(271, "xid8[]", S::Array), t(600, "point", S::Point),
    t(601, "lseg", S::Lseg), t(602, "path", S::Path), t(603, "box", S::Box), t(604, "polygon", S::Polygon),
    t(628, "line", S::Line), t(629, "line[]", S::Array), t(650, "cidr", S::Cidr), t(651, "cidr[]", S::Array),
    t(700, "float4", S::Float4), t(701, "float8", S::Float8), t(705, "unknown", S::Text),
    t(718, "circle", S::Circle), t(719, "circle[]", S::Array), t(774, "macaddr8", S::Macaddr),
    t(775, "macaddr8[]", S::Array), t(790, "money", S::Opaque), t(791, "money[]", S::Array),
    t(829, "macaddr", S::Macaddr), t(869, "inet", S::Inet), t(1000, "bool[]", S::Array),
    t(1001, "bytea[]", S::Array), t(1002, "char[]", S::Array), t(1003, "name[]", S::Array),
    t(1005, "int2[]", S::Array), t(1006, "int2vector[]", S::Array), t(1007, "int4[]", S::Array),
    t(1008, "regproc[]", S::Array), t(1009, "text[]", S::Array), t(1010, "tid[]", S::Array),
    t(1011, "xid[]", S::Array), t(1012, "cid[]", S::Array), t(1013, "oidvector[]", S::Array),
    t(1014, "bpchar[]", S::Array), t(1015, "varchar[]", S::Array), t(1016, "int8[]", S::Array),
    t(1017, "point[]", S::Array), t(1018, "lseg[]", S::Array), t(1019, "path[]", S::Array),
    t(1020, "box[]", S::Array), t(1021, "float4[]", S::Array), t(1022, "float8[]", S::Array),
    t(1027, "polygon[]", S::Array), t(1028, "oid[]", S::Array), t(1033, "aclitem", S::Opaque),
    t(1034, "aclitem[]", S::Array), t(1040, "macaddr[]", S::Array), t(1041, "inet[]", S::Array),
    t(1042, "bpchar", S::Text), t(1043, "varchar", S::Text), t(1082, "date", S::Date),
    t(1083, "time", S::Time), t(1114, "timestamp", S::Timestamp), t(1115, "timestamp[]", S::Array),
    t(1182, "date[]", S::Array), t(1183, "time[]", S::Array), t(1184, "timestamptz", S::Timestamptz),
    t(1185, "timestamptz[]", S::Array), t(1186, "interval", S::Interval), t(1187, "interval[]", S::Array),
    t(1231, "numeric[]", S::Array), t(1263, "cstring[]", S::Array), t(1266, "timetz", S::Timetz),
    t(1270, "timetz[]", S::Array), t(1560, "bit", S::Bits), t(1561, "bit[]", S::Array),
    t(1562, "varbit", S::Bits), t(1563, "varbit[]", S::Array), t(1700, "numeric", S::Numeric),
    t(1790, "refcursor", S::Text), t(2201, "refcursor[]", S::Array), t(2202, "regprocedure", S::Opaque),
    t(2203, "regoper", S::Opaque), t(2204, "regoperator", S::Opaque), t(2205, "regclass", S::Opaque),
    t(2206, "regtype", S::Opaque), t(2207, "regprocedure[]", S::Array), t(2208, "regoper[]", S::Array),
    t(2209, "regoperator[]", S::Array), t(2210, "regclass[]", S::Array), t(2211, "regtype[]", S::Array),
    t(2249, "record", S::Record), t(2275, "cstring", S::Text), t(2278, "void", S::Void),
    t(2287, "record[]", S::Array), t(2949, "txid_snapshot[]", S::Array), t(2950, "uuid", S::Uuid),
    t(2951, "uuid[]", S::Array), t(2970, "txid_snapshot", S::Opaque), t(3220, "pg_lsn", S::Lsn),
    t(3221, "pg_lsn[]", S::Array), t(3361, "pg_ndistinct", S::Opaque), t(3402, "pg_dependencies", S::Opaque),
    t(3614, "tsvector", S::Opaque), t(3615, "tsquery", S::Opaque), t(3643, "tsvector[]", S::Array),
    t(3645, "tsquery[]", S::Array), t(3734, "regconfig", S::Opaque), t(3735, "regconfig[]", S::Array),
    t(3769, "regdictionary", S::Opaque), t(3770, "regdictionary[]", S::Array), t(3802, "jsonb", S::Versioned),
    t(3807, "jsonb[]", S::Array), t(3904, "int4range", S::Range(23)), t(3905, "int4range[]", S::Array),
    t(3906, "numrange", S::Range(1700)), t(3907, "numrange[]", S::Array), t(3908, "tsrange", S::Range(1114)),
    t(3909, "tsrange[]", S::Array), t(3910, "tstzrange", S::Range(1184)), t(3911, "tstzrange[]", S::Array),
    t(3912, "daterange", S::Range(1082)), t(3913, "daterange[]", S::Array),
    t(3926, "int8range", S::Range(20)), t(3927, "int8range[]", S::Array), t(4072, "jsonpath", S::Versioned),
    t(4073, "jsonpath[]", S::Array), t(4089, "regnamespace", S::Opaque), t(4090, "regnamespace[]", S::Array),
    t(4096, "regrole", S::Opaque), t(4097, "regrole[]", S::Array), t(4191, "regcollation", S::Opaque),
    t(4192, "regcollation[]", S::Array), t(4451, "int4multirange", S::Multirange(3904)),
    t(4532, "nummultirange", S::Multirange(3906)), t(4533, "tsmultirange", S::Multirange(3908)),
    t(4534, "tstzmultirange", S::Multirange(3910)), t(4535, "datemultirange", S::Multirange(3912)),
    t(4536, "int8multirange", S::Multirange(3926)), t(5017, "pg_mcv_list", S::Opaque),
    t(5038, "pg_snapshot", S::Opaque), t(5039, "pg_snapshot[]", S::Array), t(5069, "xid8", S::Xid8),
    t(6150, "int4multirange[]", S::Array), t(6151, "nummultirange[]", S::Array),
    t(6152, "tsmultirange[]", S::Array), t(6153, "tstzmultirange[]", S::Array),
    t(6155, "datemultirange[]", S::Array), t(6157, "int8multirange[]", S::Array),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_arrays_are_named() {
        assert!(TYPES.is_sorted_by_key(|t| t.oid));
        assert_eq!(type_name(23), Some("int4"));
        assert_eq!(type_name(1009), Some("text[]"));
        assert_eq!((type_name(1), shape(1)), (None, Shape::Opaque));
    }
}
