//! What changes along with a statement's own rows: by foreign keys' actions, triggers, views and rules. It is counted in every
//! shape that a statement comes in, a limit knows it before anything commits, and the client sees what it would have seen.

use bytes::BytesMut;
use firsthand_model::target::ChangedRows;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frontend::{self, Object};

use super::server::{Server, Session};
use super::{Through, Told, ended, extended, on_a_deep_stack, shaped, table, tags};

const SEED: &str = "CREATE TABLE cust (id int PRIMARY KEY, code text UNIQUE, n int DEFAULT 0);
CREATE TABLE ord (id int PRIMARY KEY, cust int REFERENCES cust ON DELETE CASCADE,
    code text REFERENCES cust (code) ON UPDATE CASCADE ON DELETE SET NULL);
CREATE TABLE item (ord int REFERENCES ord ON DELETE CASCADE);
INSERT INTO cust SELECT i, 'c' || i FROM generate_series(1, 9) i;
INSERT INTO ord SELECT c * 10 + o, c, 'c' || c FROM generate_series(1, 9) c, generate_series(1, 3) o;
INSERT INTO item SELECT id FROM ord, generate_series(1, 2);
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE);
INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, NULL);
CREATE TABLE log (what text);
CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO log VALUES (TG_OP), (TG_OP); UPDATE log SET what = 'seen' WHERE what = 'never'; RETURN NULL; END $$;
CREATE TABLE logged (id int PRIMARY KEY, v text);
INSERT INTO logged SELECT generate_series(1, 9);
CREATE TRIGGER log AFTER INSERT OR UPDATE OR DELETE ON logged FOR EACH ROW EXECUTE FUNCTION log();
CREATE TABLE later (id int PRIMARY KEY);
CREATE CONSTRAINT TRIGGER log AFTER INSERT ON later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION log();
CREATE TABLE emptied (id int PRIMARY KEY);
CREATE FUNCTION empty() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN TRUNCATE log; RETURN NULL; END $$;
CREATE TRIGGER empty AFTER INSERT ON emptied FOR EACH ROW EXECUTE FUNCTION empty();
CREATE TABLE fails (id int PRIMARY KEY);
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO log VALUES ('x'); RAISE 'no %', NEW.id USING HINT = 'h'; END $$;
CREATE TRIGGER fail AFTER INSERT ON fails FOR EACH ROW EXECUTE FUNCTION fail();
CREATE TABLE parts (a int, b int, PRIMARY KEY (a)) PARTITION BY LIST (a);
CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE part2 PARTITION OF parts FOR VALUES IN (2);
CREATE TABLE ofpart (a int REFERENCES parts ON DELETE CASCADE);
INSERT INTO parts VALUES (1, 1), (2, 2); INSERT INTO ofpart VALUES (1), (1), (2);
CREATE VIEW view AS SELECT id, v FROM logged;
CREATE TABLE ruled (id int PRIMARY KEY);
CREATE RULE r AS ON INSERT TO ruled DO ALSO INSERT INTO log VALUES ('rule');
CREATE TABLE stamped (id int PRIMARY KEY, at timestamptz); INSERT INTO stamped VALUES (1);
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.at = now();
    RETURN NEW;
END;
$$;
CREATE TRIGGER stamp BEFORE UPDATE ON stamped FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TABLE plain (id int PRIMARY KEY); INSERT INTO plain VALUES (1);
CREATE TABLE kid (id int REFERENCES plain); INSERT INTO kid VALUES (1);
CREATE TABLE revokes (id int PRIMARY KEY);
CREATE FUNCTION revoke() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN REVOKE EXECUTE ON FUNCTION pg_catalog.pg_stat_get_xact_tuples_inserted FROM PUBLIC; RETURN NULL; END $$;
CREATE TRIGGER revoke AFTER INSERT ON revokes FOR EACH ROW EXECUTE FUNCTION revoke();
CREATE ROLE app; GRANT ALL ON ALL TABLES IN SCHEMA public TO app";

/// Statements, what the record counts, and what it says is not known.
const COUNTED: &[(&str, &str, &str)] = &[
    ("DELETE FROM cust WHERE id = 1", "item delete 6, ord delete 3", ""),
    ("DELETE FROM cust WHERE id = 1 RETURNING n", "item delete 6, ord delete 3", ""),
    ("UPDATE cust SET code = code || 'x' WHERE id <= 2", "ord update 6", ""),
    ("UPDATE cust SET n = 1", "", ""),
    ("INSERT INTO cust VALUES (10)", "", ""),
    ("DELETE FROM ord WHERE cust = 2", "item delete 6", ""),
    ("DELETE FROM item", "", "changed-rows:no-key"),
    ("DELETE FROM tree WHERE id = 1", "tree delete 3", ""),
    ("DELETE FROM tree WHERE id = 4", "", ""),
    ("DELETE FROM logged WHERE id < 4", "log insert 6", ""),
    ("INSERT INTO logged VALUES (20, 'a') ON CONFLICT (id) DO UPDATE SET v = 'b'", "log insert 2", ""),
    (
        "INSERT INTO logged VALUES (1, 'a'), (20, 'a') ON CONFLICT (id) DO UPDATE SET v = 'b'",
        "log insert 4",
        "",
    ),
    ("UPDATE logged SET v = 'x' WHERE id = 77", "", ""),
    ("INSERT INTO later VALUES (1)", "", "changed-rows:deferred"),
    ("UPDATE parts SET b = 3", "", ""),
    ("DELETE FROM parts WHERE a = 1", "ofpart delete 2", ""),
    ("UPDATE view SET v = 'y' WHERE id IN (1, 2)", "log insert 4, logged update 2", "changed-rows:view"),
    ("INSERT INTO ruled VALUES (1)", "log insert 1, ruled insert 1", "changed-rows:rule"),
    ("DELETE FROM plain WHERE id = 5", "", ""),
    ("DELETE FROM kid", "", "changed-rows:no-key"),
];

pub(super) fn start() -> (Server, Session) {
    let server = Server::start();
    let mut second = Session::open(&server.dir);
    let mut seed = BytesMut::new();
    frontend::encode_query(&mut seed, SEED.as_bytes()).unwrap();
    second.exchange(&seed).unwrap();
    (server, second)
}

/// The statement in one of the ways in which it can come; what is told of it alone.
fn run(through: &mut Through, text: &str, way: usize) -> Told {
    let mut out = BytesMut::new();
    match way {
        // A Query; in a block or not is the caller's.
        0 => return through.query(text),
        1 => extended(&mut out, text),
        // In a pipeline, between others that change rows, too.
        2 => {
            extended(&mut out, "INSERT INTO log VALUES ('before')");
            extended(&mut out, "INSERT INTO logged VALUES (50)");
            extended(&mut out, text);
            extended(&mut out, "INSERT INTO logged VALUES (51)");
        }
        // Prepared, bound to a portal with a name, executed behind a Flush.
        _ => {
            frontend::encode_close(&mut out, Object::Statement(b"s")).unwrap();
            frontend::encode_parse(&mut out, b"s", text.as_bytes(), &[]).unwrap();
            frontend::encode_describe(&mut out, Object::Statement(b"s")).unwrap();
            frontend::encode_bind(&mut out, (b"p", b"s"), (Format::Text, &[]), Format::Text).unwrap();
            frontend::encode_flush(&mut out);
            frontend::encode_execute(&mut out, b"p", 0).unwrap();
            frontend::encode_flush(&mut out);
            frontend::encode_close(&mut out, Object::Statement(b"s")).unwrap();
        }
    }
    frontend::encode_sync(&mut out);
    through.say(&out, 1)
}

#[test]
fn what_changes_along_is_counted_in_every_shape() {
    on_a_deep_stack(|| {
        let (server, _second) = start();
        for kept in [ChangedRows::Keys, ChangedRows::Values] {
            let mut through = Through::open(&server, kept);
            for (text, want, coverage) in COUNTED {
                for way in 0..4 {
                    through.query("BEGIN");
                    through.query("DELETE FROM tree WHERE id = 3; INSERT INTO tree VALUES (3, 2)");
                    let from = through.entries();
                    run(&mut through, text, way);
                    let counted = through.counted(from, text);
                    assert_eq!(counted.0, *want, "{text} in way {way}");
                    let known: Vec<_> = counted
                        .1
                        .split(' ')
                        .filter(|fact| coverage.contains(fact) || !fact.contains("old-values"))
                        .collect();
                    assert_eq!(known.join(" "), *coverage, "{text} in way {way}");
                    through.query("ROLLBACK");
                }
            }
        }
        outside(&server);
    });
}

/// The same where each statement is a transaction of its own.
fn outside(server: &Server) {
    let mut through = Through::open(server, ChangedRows::Keys);
    for way in 0..4 {
        let id = way + 1;
        let text = format!("DELETE FROM cust WHERE id = {id}");
        let from = through.entries();
        assert!(ended(&run(&mut through, &text, way)).0.is_empty());
        assert_eq!(through.counted(from, &text).0, "item delete 6, ord delete 3", "way {way}");
        assert_eq!(ended(&through.query("DELETE FROM logged WHERE id >= 50")).1, 'I');
    }
    // Where nothing can change along nothing is asked: no trigger, one that waits for something else, one that tells the time.
    let mut quiet = Through::open(server, ChangedRows::Values);
    for text in [
        "DELETE FROM item WHERE ord = 91",
        "UPDATE stamped SET id = 2",
        "INSERT INTO cust VALUES (70)",
        "UPDATE cust SET n = 7 WHERE id = 8",
        "DELETE FROM later",
    ] {
        let from = quiet.entries();
        quiet.query(text);
        assert_eq!(quiet.counted(from, text).0, "", "{text}");
    }
    assert_eq!(quiet.noted(), 0);
    let empties = |through: &mut Through| {
        let from = through.entries();
        through.query("INSERT INTO emptied VALUES (1)");
        let said = through.counted(from, "INSERT INTO emptied");
        assert_eq!(said, (String::new(), "changed-rows:truncate".to_owned()));
    };
    // A trigger that empties what the transaction itself has filled.
    through.query("BEGIN");
    through.query("INSERT INTO log VALUES ('a'), ('b')");
    empties(&mut through);
    through.query("ROLLBACK");
    // And one that empties what was there before.
    through.query("INSERT INTO log VALUES ('a'), ('b')");
    empties(&mut through);
    through.query("SET track_counts TO off");
    let from = through.entries();
    through.query("DELETE FROM cust WHERE id = 9");
    assert_eq!(through.counted(from, "DELETE").1, "changed-rows:uncounted");
}

/// A limit knows what goes along; rows that are only added elsewhere do not count.
#[test]
fn what_changes_along_counts_for_a_limit() {
    on_a_deep_stack(|| {
        let (server, mut second) = start();
        let rows = |second: &mut Session| {
            let all = "SELECT count(*), (SELECT count(*) FROM ord), (SELECT count(*) FROM item), (SELECT count(*) FROM tree) FROM cust";
            table(second, all).into_iter().next().unwrap()
        };
        for kept in [ChangedRows::Keys, ChangedRows::Values] {
            let mut through = Through::open(&server, kept);
            for way in 0..4 {
                for (text, code) in [
                    ("DELETE FROM cust WHERE id = 5 -- AFFECTED=9", "RF003"),
                    ("DELETE FROM tree WHERE id = 1 -- AFFECTED=2", "RF003"),
                    // Its own rows are too many for the client: it is stopped before the question behind it is answered.
                    ("DELETE FROM ord WHERE cust = 7 RETURNING id -- ROWS=2", "RF003"),
                    ("DELETE FROM cust WHERE id = 5 RETURNING id -- AFFECTED=9", "RF003"),
                    ("UPDATE cust SET code = 'z' WHERE id = 6 -- AFFECTED=3", "RF003"),
                    ("DELETE FROM cust WHERE id = 5 -- AFFECTED=10", ""),
                    ("DELETE FROM tree WHERE id = 1 -- AFFECTED=3", ""),
                    ("DELETE FROM logged WHERE id = 3 -- AFFECTED=1", ""),
                ] {
                    let before = rows(&mut second);
                    if code.is_empty() {
                        through.query("BEGIN");
                    }
                    let said = run(&mut through, text, way);
                    let state = if code.is_empty() { 'T' } else { 'I' };
                    assert_eq!(
                        ended(&said),
                        (code.to_owned(), state),
                        "{text} in way {way}: {}",
                        tags(&said)
                    );
                    through.query("ROLLBACK");
                    assert_eq!(rows(&mut second), before, "{text} in way {way}");
                    through.query("BEGIN");
                    let said = run(&mut through, text, way);
                    let state = if code.is_empty() { 'T' } else { 'E' };
                    assert_eq!(
                        ended(&said),
                        (code.to_owned(), state),
                        "{text} in way {way}: {}",
                        tags(&said)
                    );
                    let said = through.query(if code.is_empty() { "ROLLBACK" } else { "COMMIT" });
                    assert_eq!(said[0], (b'C', b"ROLLBACK\0".to_vec()), "{text}");
                    assert_eq!(rows(&mut second), before, "{text} in way {way}");
                }
            }
        }
    });
}

/// Nothing of it shows: answers are the same bytes, whatever happens.
#[test]
fn nothing_is_seen_of_the_counting() {
    const MORE: &[&str] = &[
        "INSERT INTO fails VALUES (1)",
        "INSERT INTO emptied VALUES (1)",
        "INSERT INTO logged VALUES (1)",
        "DELETE FROM plain",
        "INSERT INTO logged SELECT g FROM generate_series(100, 130) g RETURNING id, v",
        "DELETE FROM cust WHERE id = 1 / (id - 1)",
        "DELETE FROM logged WHERE nope",
        "SELECT name FROM pg_prepared_statements ORDER BY 1",
        "SELECT name FROM pg_cursors ORDER BY 1",
    ];
    on_a_deep_stack(|| {
        let (server, mut second) = start();
        let mut more = BytesMut::new();
        frontend::encode_query(&mut more, b"CREATE TABLE t (id int)").unwrap();
        second.exchange(&more).unwrap();
        let mut ways: Vec<_> = [ChangedRows::Off, ChangedRows::Keys, ChangedRows::Values]
            .into_iter()
            .map(|kept| Through::open(&server, kept))
            .collect();
        for text in COUNTED.iter().map(|(text, ..)| text).chain(MORE) {
            for shape in 0..7 {
                for block in [true, false] {
                    let mut said = Vec::new();
                    for way in &mut ways {
                        if block {
                            way.query("BEGIN; SAVEPOINT s");
                        }
                        let (bytes, units) = match shape {
                            // What fails on its way to the commit undoes it, with or without a block.
                            6 => shaped(&format!("{text}; SELECT 1 / 0"), 0),
                            _ if block => shaped(text, shape),
                            _ => failing(text, shape),
                        };
                        said.push(way.say(&bytes, units));
                        if block {
                            way.query("ROLLBACK");
                        }
                    }
                    for other in &said[1..] {
                        assert_eq!(&said[0], other, "{text} in shape {shape}, in a block: {block}");
                    }
                }
            }
        }
    });
}

/// The statement in a pipeline that fails at its end, or as a Query that changes nothing: it may run again and again.
fn failing(text: &str, shape: usize) -> (BytesMut, usize) {
    let mut out = BytesMut::new();
    if shape == 0 {
        frontend::encode_query(&mut out, text.replace(" WHERE", " WHERE false AND").as_bytes()).unwrap();
        if text.contains(" WHERE") {
            return (out, 1);
        }
        out.clear();
    }
    frontend::encode_parse(&mut out, b"", text.as_bytes(), &[]).unwrap();
    frontend::encode_bind(&mut out, (b"", b""), (Format::Text, &[]), Format::Binary).unwrap();
    frontend::encode_execute(&mut out, b"", if shape.is_multiple_of(2) { 0 } else { 1 }).unwrap();
    if shape > 2 {
        frontend::encode_flush(&mut out);
    }
    extended(&mut out, "SELECT 1 / 0");
    frontend::encode_sync(&mut out);
    (out, 1)
}

/// The target refuses to answer, although it had said that it would: before the statement or behind it. The client reads
/// that, and nothing has changed.
#[test]
fn a_question_that_fails_fails_the_statement_in_the_open() {
    on_a_deep_stack(|| {
        let (server, mut second) = start();
        let mut through = Through::open(&server, ChangedRows::Values);
        through.query("SET ROLE app");
        let both = |through: &mut Through, second: &mut Session, text: &str| {
            for way in 0..4 {
                assert_eq!(ended(&run(through, text, way)), ("42501".to_owned(), 'I'), "{text} in way {way}");
                assert_eq!(through.last_code("42501"), "42501", "{text} in way {way}");
                through.query("BEGIN");
                assert_eq!(ended(&run(through, text, way)), ("42501".to_owned(), 'E'), "{text} in way {way}");
                assert_eq!(through.query("COMMIT")[0], (b'C', b"ROLLBACK\0".to_vec()));
                assert_eq!(table(second, "SELECT count(*) FROM revokes").into_iter().next().unwrap(), "0");
            }
        };
        both(&mut through, &mut second, "INSERT INTO revokes VALUES (1)");
        // From now on nobody has the right; a double that says so all the same.
        let mut revoke = BytesMut::new();
        let text = "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_stat_get_xact_tuples_inserted FROM PUBLIC";
        frontend::encode_query(&mut revoke, text.as_bytes()).unwrap();
        second.exchange(&revoke).unwrap();
        let from = through.entries();
        assert_eq!(ended(&through.query("DELETE FROM cust WHERE id = 1")), (String::new(), 'I'));
        assert_eq!(through.counted(from, "DELETE"), (String::new(), "changed-rows:uncounted".to_owned()));
        let mut through = Through::open_trusting(&server, ChangedRows::Values);
        through.query("SET ROLE app");
        both(&mut through, &mut second, "DELETE FROM cust WHERE id = 2");
    });
}
