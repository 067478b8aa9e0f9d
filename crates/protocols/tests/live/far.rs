//! A limit on rows affected where what changes along is hard to count, or cannot be: it is counted, or the write is refused. Where
//! nothing can change along, nothing is.

use bytes::BytesMut;
use firsthand_model::target::ChangedRows;
use firsthand_wire::postgres::frontend;

use super::along::start;
use super::server::{Server, Session};
use super::{Through, ended, extended, on_a_deep_stack, table};

const MORE: &str = "CREATE FUNCTION wipe() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN DELETE FROM tree; RETURN 77; END $$;
CREATE TABLE withdefault (id int PRIMARY KEY, v int DEFAULT wipe());
CREATE FUNCTION empties() RETURNS int LANGUAGE plpgsql AS $$ BEGIN TRUNCATE log; RETURN 78; END $$;
INSERT INTO log VALUES ('one'), ('two')";

/// What comes before it in its transaction, a statement with its limit, and whether it may run.
const CASES: &[(&str, &str, bool)] = &[
    // Counted whatever is kept of changed rows.
    ("", "DELETE FROM cust WHERE id = 5 -- AFFECTED=9", false),
    ("", "DELETE FROM cust WHERE id = 5 -- AFFECTED=10", true),
    // MERGE is counted, too, with what it takes along.
    ("", "MERGE INTO cust USING (VALUES (5)) v (i) ON id = i WHEN MATCHED THEN DELETE -- AFFECTED=9", false),
    ("", "MERGE INTO cust USING (VALUES (5)) v (i) ON id = i WHEN MATCHED THEN DELETE -- AFFECTED=10", true),
    ("", "MERGE INTO tree USING (VALUES (1)) v (i) ON id = i WHEN MATCHED THEN DELETE -- AFFECTED=2", false),
    ("", "MERGE INTO tree USING (VALUES (1)) v (i) ON id = i WHEN MATCHED THEN DELETE -- AFFECTED=3", true),
    (
        "",
        "MERGE INTO plain USING (VALUES (5), (6)) v (i) ON id = i WHEN NOT MATCHED THEN INSERT VALUES (i) -- AFFECTED=2",
        true,
    ),
    // Several statements in one message: only where nothing can change along.
    ("", "SELECT 1; DELETE FROM cust WHERE id = 77 /* AFFECTED=9 */", false),
    ("", "SELECT 1; DELETE FROM plain WHERE id = 77 /* AFFECTED=9 */", true),
    ("", "SELECT 1; WITH d AS (DELETE FROM tree) DELETE FROM plain WHERE id = 77 /* AFFECTED=1 */", false),
    // A table that the transaction has made or locked.
    ("CREATE TABLE x (a int)", "DELETE FROM cust WHERE id = 77 -- AFFECTED=9", false),
    ("LOCK TABLE cust IN EXCLUSIVE MODE", "DELETE FROM cust WHERE id = 77 -- AFFECTED=9", false),
    ("LOCK TABLE plain IN EXCLUSIVE MODE", "DELETE FROM plain WHERE id = 77 -- AFFECTED=9", true),
    // Another encoding than the database's.
    ("SET client_encoding TO latin1", "DELETE FROM cust WHERE id = 5 -- AFFECTED=9", false),
    ("SET client_encoding TO latin1", "DELETE FROM cust WHERE id = 5 -- AFFECTED=10", true),
    // What runs at the commit only.
    ("", "INSERT INTO later VALUES (5) -- AFFECTED=9", false),
    // What functions change that the statement calls, or a default does.
    ("", "INSERT INTO plain SELECT wipe() -- AFFECTED=4", false),
    ("", "INSERT INTO plain SELECT wipe() -- AFFECTED=5", true),
    ("", "UPDATE plain SET id = abs(id) WHERE id = 77 -- AFFECTED=1", true),
    ("", "CREATE TABLE made AS SELECT wipe() -- AFFECTED=4", false),
    ("", "CREATE TABLE made AS SELECT wipe() -- AFFECTED=5", true),
    ("", "SELECT wipe() -- AFFECTED=3", false),
    ("", "SELECT wipe() -- AFFECTED=4", true),
    ("", "CREATE TABLE made AS SELECT id FROM plain -- AFFECTED=9", true),
    // What is emptied has no count.
    ("", "INSERT INTO emptied VALUES (1) -- AFFECTED=9", false),
    ("", "INSERT INTO plain SELECT empties() -- AFFECTED=9", false),
    ("SET track_counts TO off", "DELETE FROM cust WHERE id = 5 -- AFFECTED=99", false),
];

#[test]
fn what_a_limit_cannot_count_is_refused_and_nothing_else() {
    on_a_deep_stack(|| {
        let (server, mut second) = start();
        let mut more = BytesMut::new();
        frontend::encode_query(&mut more, MORE.as_bytes()).unwrap();
        second.exchange(&more).unwrap();
        for kept in [ChangedRows::Off, ChangedRows::Keys] {
            cases(&server, &mut second, kept);
            copies(&server, kept);
        }
    });
}

fn cases(server: &Server, second: &mut Session, kept: ChangedRows) {
    let rows = |second: &mut Session| {
        let all = "SELECT count(*), (SELECT count(*) FROM ord), (SELECT count(*) FROM item), (SELECT count(*) FROM tree),
            (SELECT count(*) FROM plain), (SELECT count(*) FROM log) FROM cust";
        table(second, all).into_iter().next().unwrap()
    };
    for (before, text, runs) in CASES {
        for simple in [true, false] {
            if !simple && text.contains(';') {
                continue;
            }
            let what = format!("{before}; {text} kept {}, simple: {simple}", kept.word());
            let mut through = Through::open(server, kept);
            let was = rows(second);
            through.query("BEGIN");
            if !before.is_empty() {
                through.query(before);
            }
            let said = through.ask(text, simple);
            let want = if *runs { (String::new(), 'T') } else { ("RF003".to_owned(), 'E') };
            assert_eq!(ended(&said), want, "{what}");
            let end = through.query(if *runs { "ROLLBACK" } else { "COMMIT" });
            assert_eq!(end[0], (b'C', b"ROLLBACK\0".to_vec()), "{what}");
            assert_eq!(rows(second), was, "{what}");
            if !runs && before.is_empty() {
                // By itself it would commit.
                assert_eq!(ended(&through.query(text)), ("RF003".to_owned(), 'I'), "{what}");
                assert_eq!(rows(second), was, "{what}");
            }
            assert_eq!(ended(&through.query("SELECT 1")), (String::new(), 'I'), "{what}");
            if kept == ChangedRows::Off {
                assert!(!through.fakes.log.words().iter().any(|word| word.starts_with("changed")), "{what}");
            }
        }
    }
}

/// COPY is counted by its own rows; where it may take others along it is refused, and its data passed over.
fn copies(server: &Server, kept: ChangedRows) {
    let mut through = Through::open(server, kept);
    for (table, simple, code) in
        [("plain", true, ""), ("plain", false, ""), ("logged", true, "RF003"), ("logged", false, "RF003")]
    {
        let text = format!("COPY {table} (id) FROM STDIN -- AFFECTED=9");
        let mut out = BytesMut::new();
        if simple {
            frontend::encode_query(&mut out, text.as_bytes()).unwrap();
        } else {
            extended(&mut out, &text);
        }
        frontend::encode_copy_data(&mut out, b"500\n");
        frontend::encode_copy_done(&mut out);
        if !simple {
            frontend::encode_sync(&mut out);
        }
        through.query("BEGIN");
        let state = if code.is_empty() { 'T' } else { 'E' };
        assert_eq!(ended(&through.say(&out, 1)), (code.to_owned(), state), "{text} {simple}");
        through.query("ROLLBACK");
    }
}
