//! What must hold for any text: no panic, places in order, and a remembered analysis equals a fresh one.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail this way")]

use firsthand_sql::{Analyzer, Settings, analyze, mask};
use proptest::prelude::*;

/// A remembered analysis tells the same of `text` as a fresh one.
fn assert_same(analyzer: &Analyzer, text: &str) {
    let known = analyzer.analyze(text.as_bytes(), Settings::default());
    let fresh = analyze(text.as_bytes(), Settings::default());
    assert_eq!(known.unparsed(), fresh.unparsed(), "{text:?}");
    let told = |analysis: &firsthand_sql::Analysis| -> Vec<_> {
        let statement = |s: &firsthand_sql::Statement| ((*s.shape).clone(), s.range(text.as_bytes()));
        analysis.statements().iter().map(statement).collect()
    };
    assert_eq!(told(&known), told(&fresh), "{text:?}");
}

/// Places of statements are inside the text, in order, apart, and neither begin nor end with space.
fn assert_places(text: &[u8]) {
    let analysis = analyze(text, Settings::default());
    let mut end = 0;
    for statement in analysis.statements() {
        let range = statement.range(text);
        assert!(end <= range.start && range.start <= range.end && range.end <= text.len(), "{text:?}");
        if analysis.unparsed().is_none() {
            let place = std::str::from_utf8(&text[range.clone()]).unwrap();
            assert!(!place.is_empty() && !place.starts_with([' ', '\n', ';']), "{text:?}");
            // A semicolon at the end can only be a comment's.
            assert!(
                !place.ends_with([' ', '\n']) && (!place.ends_with(';') || place.contains("--")),
                "{text:?}"
            );
        }
        end = range.end;
    }
}

/// A literal, simple or not: those that the outline takes out, and those that must keep it from making one.
fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,12}",
        "[0-9]{1,4}\\.[0-9]{1,4}",
        "'[a-z ;%ö-]{0,6}'",
        "'[a-z]{0,3}''[a-z]{0,3}'",
        Just("'a'\n'b'".to_owned()),
        Just("'a' 'b'".to_owned()),
        Just("2147483647".to_owned()),
        Just("2147483648".to_owned()),
        Just("0000000000000012".to_owned()),
        Just("1e5".to_owned()),
        Just(".5".to_owned()),
        Just("5.".to_owned()),
        Just("1_000".to_owned()),
        Just("0x1F".to_owned()),
        Just("1..2".to_owned()),
        Just("1x".to_owned()),
        Just("E'\\''".to_owned()),
        Just("'\\'".to_owned()),
        Just("B'01'".to_owned()),
        Just("X'1f'".to_owned()),
        Just("N'x'".to_owned()),
        Just("U&'\\0061'".to_owned()),
        Just("$$a;b$$".to_owned()),
        Just("$1".to_owned()),
        Just("-- x'\n1".to_owned()),
        Just("/* ' */ 1".to_owned()),
        Just("interval '1 day'".to_owned()),
        Just("interval(3) '1 s'".to_owned()),
        Just("NULL".to_owned()),
    ]
}

/// Statements with `?` where a literal goes.
const FRAMES: [&str; 26] = [
    "SELECT ?",
    "select a from t where b = ? and c < ? limit ?",
    "SELECT a FROM t WHERE b IN (?, ?, ?) ORDER BY 1 OFFSET ?;",
    "  SELECT \"a b\", ? FROM \"T\"\n;; ",
    "SELECT f(?, a => ?) FROM t",
    "SELECT x::varchar(?), y::float(?), z::numeric(?, ?) FROM t",
    "SELECT ?::interval, interval ?, date ? FROM t",
    "SELECT * FROM t FETCH FIRST ? ROWS ONLY",
    "SELECT a-?, a -?, a--?\n FROM t",
    "SELECT t.a,t.? FROM t",
    "SELECT a?FROM t",
    "SELECT a AS b? FROM t",
    "SELECT ? UNION ALL SELECT ? FROM u FOR UPDATE",
    "WITH c AS (SELECT ?) DELETE FROM t WHERE id = ?",
    "WITH c AS (DELETE FROM u WHERE a = ? RETURNING *) SELECT * FROM c",
    "INSERT INTO t (a, b) VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING RETURNING a",
    "INSERT INTO t SELECT ?, generate_series(?, ?)",
    "UPDATE t SET a = ?, b = b + ? WHERE c = ?",
    "DELETE FROM t WHERE a LIKE ? ESCAPE ?",
    "VALUES (?), (?)",
    "SELECT ?; SELECT ?",
    "EXPLAIN (ANALYZE ?) DELETE FROM t WHERE a = ?",
    "SET work_mem = ?",
    "COPY t FROM ?",
    "SELECT a[?:?], j->?->>? FROM t TABLESAMPLE system(?)",
    "SELECT U&\"a\" UESCAPE ?, a &? FROM t",
];

fn filled(frame: &str, literals: &[String]) -> String {
    let mut parts = frame.split('?');
    let mut text = parts.next().unwrap().to_owned();
    for (part, literal) in parts.zip(literals.iter().cycle()) {
        text.push_str(literal);
        text.push_str(part);
    }
    text
}

/// Bits of SQL from which texts are thrown together.
fn soup() -> impl Strategy<Value = String> {
    let bit = prop_oneof![
        4 => prop::sample::select(vec![
            "SELECT", "select", "FROM", "INSERT INTO", "t", "a", "e", "u", "&", "(", ")", ",", ";", "'", "''", "\"", "--", "/*",
            "*/", "$", "$$", "$a$", "\\", "\n", " ", " ", " ", "1", "2.5", ".", "float", "=", "::int", "PASSWORD", "password=",
            "ROLE", "ALTER", "CREATE", "SET", "TO", "secret", "://", "@", ":", "%", "UNTIL", "IDENTIFIED BY", "ö", "\u{1}", "E'",
        ]).prop_map(str::to_owned),
        1 => literal(),
        1 => "[ -~]{0,4}",
    ];
    prop::collection::vec(bit, 0..24).prop_map(|bits| bits.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn other_literals_same_analysis(
        frame in prop::sample::select(FRAMES.to_vec()),
        first in prop::collection::vec(literal(), 1..5),
        second in prop::collection::vec(literal(), 1..5),
    ) {
        let analyzer = Analyzer::new();
        assert_same(&analyzer, &filled(frame, &first));
        assert_same(&analyzer, &filled(frame, &second));
    }

    #[test]
    fn any_text_is_read(text in soup()) {
        let analyzer = Analyzer::new();
        assert_same(&analyzer, &text);
        assert_same(&analyzer, &text);
        assert_places(text.as_bytes());
        let _ = mask(&text);
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        assert_places(&bytes);
        let _ = mask(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_secret_is_left(
        frame in prop::sample::select(SECRET_FRAMES.to_vec()),
        // Without what closes a `$$` or a comment that stands open before.
        secret in "[a-z]{2}[ -#%-)+-.0-~ö]{0,6}Geheim",
        style in 0..4_usize,
        before in soup(),
    ) {
        let literal = match style {
            0 => format!("'{}'", secret.replace('\'', "''")),
            1 => format!("E'{}'", secret.replace('\\', "\\\\").replace('\'', "\\'")),
            2 => format!("$q${secret}$q$"),
            _ => format!("U&'{}'", secret.replace('\\', "\\\\").replace('\'', "''")),
        };
        // What stands before must not have left a quote or comment open: then the secret is in another place.
        let before = if mask_reads_to_end(&before) { before } else { String::new() };
        let text = format!("{before}\n;\n{}", frame.replace('?', &literal));
        let masked = mask(&text).map(|masked| masked.text);
        prop_assert!(masked.as_ref().is_some_and(|masked| !masked.contains("Geheim")), "{text:?}\n{masked:?}");
    }
}

/// Frames whose `?` is a secret.
const SECRET_FRAMES: [&str; 12] = [
    "ALTER ROLE r PASSWORD ?",
    "create user r with login encrypted password ? valid until '2030-01-01'; SELECT 1",
    "ALTER ROLE r PASSWORD /* x */ -- y\n ? SELEC",
    "CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'a', password ?)",
    "ALTER USER MAPPING FOR u SERVER s OPTIONS (SET password ?)",
    "ALTER SERVER s OPTIONS (ADD secret_access_key ?)",
    "ALTER SYSTEM SET ssl_passphrase_command = ?",
    "SET app.jwt_secret TO ?",
    "SELECT set_config('app.token', ?, true)",
    "DO $do$ BEGIN CREATE ROLE r PASSWORD ?; END $do$",
    "DO $do$ BEGIN EXECUTE format('ALTER ROLE %I PASSWORD %L', r, ?); END $do$",
    "ALTER ROL r PASSWORD ? x y z",
];

/// Whether nothing is left open at the end of a text: a string set after it is read as a string.
fn mask_reads_to_end(text: &str) -> bool {
    mask(&format!("{text}\n;\nALTER ROLE r PASSWORD 'Probe' ;"))
        .is_some_and(|masked| masked.text.ends_with("\nALTER ROLE r PASSWORD '***' ;"))
}
