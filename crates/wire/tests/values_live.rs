//! Values as a real PostgreSQL writes them: what we make of a binary value must be the text the server itself writes.
//!
//! Speaks to a scratch server with this crate's own messages, so those are tried on the real thing too. Fails where
//! PostgreSQL is not installed: `apt install postgresql`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod server;

use std::fs;

use firsthand_wire::postgres::{Format, value};
use server::{Server, Session};

/// Runs the same query in both formats and compares all values. The query must return the same rows again.
fn compare(session: &mut Session, query: &str) -> usize {
    let (types, binary) = session.ask(query, &[], Format::Binary).unwrap_or_else(|e| panic!("{query}: {e}"));
    let (_, text) = session.ask(query, &[], Format::Text).unwrap();
    assert_eq!(binary.len(), text.len());
    for (binary, text) in binary.iter().zip(&text) {
        for ((oid, b), t) in types.iter().zip(binary).zip(text) {
            let ours = shown(*oid, Format::Binary, b.as_deref());
            assert_eq!(ours, shown(*oid, Format::Text, t.as_deref()), "{query}: type {oid}, {b:02x?}");
        }
    }
    text.len()
}

fn shown(oid: u32, format: Format, value: Option<&[u8]>) -> String {
    let mut out = Vec::new();
    value::render(&mut out, oid, format, value);
    String::from_utf8(out).unwrap()
}

/// Written out as a table of oid, hex and text, which the crate's own tests read without a server: set
/// `FIRSTHAND_CAPTURE` to a file to renew it.
#[test]
fn every_listed_value_reads_as_the_server_writes_it() {
    let server = Server::start();
    let mut session = Session::open(&server.dir);
    let mut captured =
        String::from("# oid, binary form in hex, text form; written by tests/values_live.rs\n");
    for line in include_str!("values.txt").lines().filter(|l| !l.starts_with('#')) {
        let (kind, literal) = line.split_once(' ').unwrap();
        let query = format!("select {literal}::{kind}");
        compare(&mut session, &query);
        let (types, binary) = session.ask(&query, &[], Format::Binary).unwrap();
        let (_, text) = session.ask(&query, &[], Format::Text).unwrap();
        let hex: String = binary[0][0].as_ref().unwrap().iter().map(|b| format!("{b:02x}")).collect();
        let text = String::from_utf8(text[0][0].clone().unwrap()).unwrap().escape_default().to_string();
        captured.push_str(&format!("{}\t{hex}\t{text}\n", types[0]));
    }
    if let Some(file) = std::env::var_os("FIRSTHAND_CAPTURE") {
        fs::write(file, captured).unwrap();
    }
    for (name, query) in RANDOM {
        // Kept in a table, so that both formats are asked of the same values.
        session.ask(&format!("create temp table \"random {name}\" as {query}"), &[], Format::Text).unwrap();
        assert!(compare(&mut session, &format!("select * from \"random {name}\"")) >= 500, "{name}");
    }
    floats(&mut session);
    compare(&mut session, "select row(1, null, 'a,b', row('x y', 1.5), array[1,2])");
    compare(
        &mut session,
        "select array[row(1, 'a \"q\"')], row(array['a b', null]), row(), row(''), row('\\')",
    );
    compare(&mut session, "select null::int4, ''::text, (select array_agg(x) from pg_class x where false)");
    compare(
        &mut session,
        "select row(chr(n % 127 + 1), n, null, chr(n % 93 + 33)) from generate_series(1, 600) n",
    );
    compare(
        &mut session,
        "select oid, typname, typlen, typbyval, typtype, typarray, typdefault from pg_type",
    );
}

/// Random values by type, made by the server.
const RANDOM: &[(&str, &str)] = &[
    ("int4", "select (random() * 4e9 - 2e9)::int4 from generate_series(1, 1000)"),
    ("numeric", "select (random()::numeric - 0.5) * 10::numeric ^ (random() * 60 - 30)::int from generate_series(1, 3000)"),
    ("scaled", "select round((random() * 1e9)::numeric, (random() * 12)::int - 6) from generate_series(1, 3000)"),
    ("float8", "select (random() - 0.5) * 10 ^ (random() * 40 - 20) from generate_series(1, 3000)"),
    ("date", "select '0001-01-01 BC'::date + (random() * 4e6)::int from generate_series(1, 3000)"),
    ("all days", "select '1999-01-01'::date + n from generate_series(0, 3000) n"),
    ("timestamp", "select '0001-01-01 BC'::timestamp + random() * '4000 years'::interval from generate_series(1, 3000)"),
    ("timestamptz", "select '1900-01-01'::timestamptz + random() * '300 years'::interval from generate_series(1, 3000)"),
    ("time", "select (random() * '1 day'::interval)::time from generate_series(1, 1000)"),
    (
        "interval",
        "select make_interval((random()*9-4)::int, (random()*30-15)::int, 0, (random()*40-20)::int, 0, 0, random()*4e5-2e5)
         from generate_series(1, 3000)",
    ),
    (
        "inet",
        "select (select string_agg(case when random() < 0.6 then '0' else to_hex((random()*65535)::int) end, ':')
         from generate_series(1, 8 + 0 * n))::inet from generate_series(1, 3000) n",
    ),
    ("uuid", "select gen_random_uuid() from generate_series(1, 500) where false union all select md5(n::text)::uuid from generate_series(1, 500) n"),
    ("text[]", "select array[chr(n % 127 + 1), null, chr(n % 93 + 33) || chr(n % 40 + 1)] from generate_series(1, 600) n"),
];

/// Floats by their bits, sent in binary: the server's own printing of all kinds of them, near powers of two and ten too.
fn floats(session: &mut Session) {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut doubles: Vec<u64> = (0..6000).map(|_| next()).collect();
    doubles.extend((0..2046).flat_map(|e| [e << 52, (e << 52) + 1, (e << 52 | ((1 << 52) - 1))]));
    doubles.extend((-300..300).map(|e| format!("1e{e}").parse::<f64>().unwrap().to_bits()));
    doubles.extend(
        (0..1000).map(|_| ((next() % 1_000_000_000) as f64 * 10_f64.powi((next() % 30) as i32)).to_bits()),
    );
    let mut singles: Vec<u32> = (0..6000).map(|_| next() as u32).collect();
    singles.extend((0..254).flat_map(|e| [e << 23, (e << 23) + 1, (e << 23 | ((1 << 23) - 1))]));
    singles.extend((-37..38).map(|e| format!("1e{e}").parse::<f32>().unwrap().to_bits()));
    singles
        .extend((0..3000).map(|_| ((next() % 100_000) as f32 * 10_f32.powi((next() % 12) as i32)).to_bits()));
    let doubles: Vec<Vec<u8>> = doubles.iter().map(|d| d.to_be_bytes().to_vec()).collect();
    let singles: Vec<Vec<u8>> = singles.iter().map(|d| d.to_be_bytes().to_vec()).collect();
    for (oid, name, values) in [(701, "float8", doubles), (700, "float4", singles)] {
        for chunk in values.chunks(500) {
            let columns: Vec<String> = (1..=chunk.len()).map(|n| format!("${n}::{name}")).collect();
            let parameters: Vec<Option<&[u8]>> = chunk.iter().map(|v| Some(v.as_slice())).collect();
            let (_, rows) =
                session.ask(&format!("select {}", columns.join(",")), &parameters, Format::Text).unwrap();
            for (value, text) in chunk.iter().zip(&rows[0]) {
                let ours = shown(oid, Format::Binary, Some(value));
                assert_eq!(ours, shown(oid, Format::Text, text.as_deref()), "{name} {value:02x?}");
            }
        }
    }
}
