//! Masks as a real PostgreSQL takes them: for every listed value of every type, in both formats and all styles, the
//! server must read the mask as a value of that type. Fails where PostgreSQL is not installed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod server;

use bytes::BytesMut;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frontend::{self, Object};
use firsthand_wire::postgres::mask::{Mask, Style, Tokens, Typed};
use server::{Rows, Server, Session};

struct Keyed;

impl Tokens for Keyed {
    fn token(&self, _: &str, value: &[u8]) -> [u8; 16] {
        let sum = value
            .iter()
            .fold(u128::MAX / 3, |s, b| (s ^ u128::from(*b)).wrapping_mul(0x1_0000_01b3_0000_0001));
        sum.to_be_bytes()
    }
}

/// Types beyond those of `values.txt`, with modifiers.
const MORE: &[&str] = &[
    "varchar(3) 'Ada Lovelace'",
    "varchar(20) 'Ada Lovelace'",
    "varchar(60) 'Ada Lovelace'",
    "char(3) 'Ada'",
    "char(60) 'Ada Lovelace'",
    "numeric(4,2) '12.34'",
    "numeric(3,3) '0.123'",
    "numeric(18) '123456789012345678'",
    "bit(5) '10101'",
    "varbit(7) '101'",
    "money '12.34'",
    "tsvector 'fat cat'",
    "tsquery 'fat & cat'",
    "macaddr8 '08:00:2b:01:02:03:04:05'",
    "inet '2001:db8::1/64'",
    "cidr '2001:db8::/32'",
    "cidr '10.1.0.0/16'",
    "inet '10.1.2.3'",
    "time '10:11:12.5'",
    "timetz '10:11:12.5+02:30'",
    "date '0044-03-15 BC'",
    "date 'infinity'",
    "timestamptz '1999-12-31 23:59:59.5+14'",
    "timestamp '-infinity'",
    "varchar(4)[] '{Ada,NULL,\"a b\"}'",
    "int4[] '[0:1][2:3]={{1,2},{3,NULL}}'",
    "jsonb[] '{\"{\\\"a\\\":1}\"}'",
    "box[] '{(1,1),(0,0);(2,2),(1,1)}'",
    "int4range '[1,5)'",
    "tstzrange[] '{\"[2020-01-01,2021-01-01)\"}'",
    "datemultirange '{[2020-01-01,2020-02-01)}'",
    "jsonb '{\"Ada Lovelace\": {\"a\": [1.5e3, true, null, \"x\\u0000y\"]}}'",
    "regclass 'pg_class'",
    "pg_lsn '16/B374D848'",
    "aclitem 'postgres=r/postgres'",
    "mood 'happy'",
    "mood[] '{happy,sad}'",
    "pair '(1,x)'",
    "age_type '7'",
];

fn described(session: &mut Session, text: &str, format: Format) -> Option<(Typed, Vec<u8>)> {
    let mut out = BytesMut::new();
    frontend::encode_parse(&mut out, b"", text.as_bytes(), &[]).unwrap();
    frontend::encode_bind(&mut out, (b"", b""), (Format::Binary, &[]), format).unwrap();
    frontend::encode_describe(&mut out, Object::Portal(b"")).unwrap();
    frontend::encode_execute(&mut out, b"", 0).unwrap();
    frontend::encode_sync(&mut out);
    let (types, rows): Rows = session.exchange(&out).ok()?;
    let typed = Typed { oid: types[0], modifier: session.modifiers[0], format };
    Some((typed, rows.first()?.first()?.clone()?))
}

/// The server reads the mask as a value of the type, and finds the length right.
fn taken(session: &mut Session, kind: &str, format: Format, mask: &[u8]) -> Result<Rows, String> {
    let mut out = BytesMut::new();
    let base = kind.split('(').next().unwrap();
    let cast = if kind.ends_with("[]") && kind.contains('(') { format!("{base}[]") } else { base.to_owned() };
    let cast = match cast.as_str() {
        "char" => "bpchar".to_owned(),
        "bit" => "varbit".to_owned(),
        _ => cast,
    };
    frontend::encode_parse(&mut out, b"", format!("select $1::{cast}").as_bytes(), &[]).unwrap();
    frontend::encode_bind(&mut out, (b"", b""), (format, &[Some(mask)]), Format::Text).unwrap();
    frontend::encode_describe(&mut out, Object::Portal(b"")).unwrap();
    frontend::encode_execute(&mut out, b"", 0).unwrap();
    frontend::encode_sync(&mut out);
    session.exchange(&out)
}

#[test]
fn every_mask_is_a_value_of_its_type_in_its_format() {
    let server = Server::start();
    let mut session = Session::open(&server.dir);
    for make in [
        "create type mood as enum ('happy', 'sad')",
        "create type pair as (a int4, b text)",
        "create domain age_type as int4",
    ] {
        session.ask(make, &[], Format::Text).unwrap();
    }
    let (mut masks, mut nulls) = (0, 0);
    let listed = include_str!("values.txt").lines().filter(|l| !l.starts_with('#'));
    for line in listed.chain(MORE.iter().copied()) {
        let (kind, literal) = match line.find(['\'', 'E']).filter(|_| !line.starts_with('E')) {
            Some(_) => line.split_once(' ').unwrap(),
            None => continue,
        };
        for format in [Format::Text, Format::Binary] {
            let Some((typed, value)) = described(&mut session, &format!("select {literal}::{kind}"), format)
            else {
                // A type without a binary form.
                continue;
            };
            for style in Style::ALL {
                for label in ["email", "name", "a_label_that_is_longer_than_most_columns"] {
                    let mask = Mask::new(style, label, typed);
                    let mut out = Vec::new();
                    if !mask.mask(&value, &Keyed, &mut out) {
                        assert!(out.is_empty());
                        nulls += 1;
                        continue;
                    }
                    masks += 1;
                    let taken = taken(&mut session, kind, format, &out);
                    assert!(
                        taken.is_ok(),
                        "{kind} {literal} {format:?} {style:?}: {}: {taken:?}",
                        out.escape_ascii()
                    );
                    let (types, rows) = taken.unwrap();
                    assert!(rows[0][0].is_some(), "{kind} {style:?}");
                    if kind.starts_with("varchar(") || kind.starts_with("char(") {
                        let most: usize = kind.split(['(', ')']).nth(1).unwrap().parse().unwrap();
                        if types[0] == 1042 || types[0] == 1043 {
                            assert!(out.len() <= most, "{kind} {style:?} {}", out.escape_ascii());
                        }
                    }
                }
            }
        }
    }
    assert!(masks > 1000 && nulls > 500, "{masks} masks, {nulls} NULLs");
    println!("{masks} masks taken by the server, {nulls} NULLs");
}
