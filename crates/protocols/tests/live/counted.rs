//! What a command changes beyond its own rows: counted, and never visible to the client.

use super::*;

const SEED: &str = "CREATE SCHEMA x; SET search_path = x;
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE lines (id int PRIMARY KEY, ordered int REFERENCES orders ON DELETE SET NULL);
CREATE TABLE log (what text);
CREATE TABLE late (id int PRIMARY KEY);
CREATE TABLE p (a int PRIMARY KEY) PARTITION BY RANGE (a);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
CREATE VIEW v AS SELECT * FROM customers;
CREATE FUNCTION logs() RETURNS trigger LANGUAGE plpgsql AS
  $$begin raise notice '% %', tg_op, tg_table_name; insert into x.log values (tg_op); return null; end$$;
CREATE TRIGGER logs AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION logs();
CREATE TRIGGER logs AFTER INSERT ON p1 FOR EACH ROW EXECUTE FUNCTION logs();
CREATE CONSTRAINT TRIGGER logs AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION logs();
CREATE TABLE strict (id int REFERENCES customers DEFERRABLE INITIALLY DEFERRED);
CREATE TRIGGER logs AFTER INSERT ON strict FOR EACH ROW EXECUTE FUNCTION logs();
CREATE PROCEDURE steps(n int) LANGUAGE plpgsql AS
  $$begin for i in 1..n loop insert into x.log values ('step'); commit; end loop; end$$;
CREATE PROCEDURE gives(inout n int) LANGUAGE plpgsql AS $$begin insert into x.log values ('gives'); n := n + 1; end$$;
CREATE FUNCTION tries() RETURNS int LANGUAGE plpgsql AS $$begin insert into x.log values ('f'); return 7; end$$;";

const RESET: &str = "TRUNCATE x.customers, x.orders, x.lines, x.log, x.late, x.p, x.strict;
INSERT INTO x.customers SELECT i, 'c' || i FROM generate_series(1, 3) i;
INSERT INTO x.orders SELECT i, 1 + i % 3 FROM generate_series(1, 9) i;
INSERT INTO x.lines SELECT i, 1 + i % 9 FROM generate_series(1, 18) i; TRUNCATE x.log";

const UNKNOWN: &str = "changed-rows:effects-unknown";

/// A statement; what is counted outside a transaction, as a Query and in the extended protocol; what its coverage says.
const CASES: &[(&str, &[&str], &str)] = &[
    ("DELETE FROM x.customers WHERE id = 2", &["x.orders delete 3", "x.lines update 6"], ""),
    (
        "UPDATE x.customers SET id = id + 10 WHERE id = 2",
        &["x.orders update 3", "x.log insert 1"],
        "changed-rows:old-values",
    ),
    ("UPDATE x.customers SET name = 'n' WHERE id > 1 RETURNING id", &["x.log insert 2"], ""),
    ("INSERT INTO x.customers VALUES (5, 'x')", &[], ""),
    ("INSERT INTO x.p VALUES (1), (2), (11)", &["x.p1 insert 2", "x.p2 insert 1", "x.log insert 2"], ""),
    (
        "MERGE INTO x.orders o USING (VALUES (1, 2), (2, 2), (50, 1)) s(id, c) ON o.id = s.id \
         WHEN MATCHED AND s.id = 2 THEN DELETE WHEN MATCHED THEN UPDATE SET customer = s.c \
         WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.c)",
        &["x.orders insert 1", "x.orders update 1", "x.orders delete 1", "x.lines update 2"],
        "changed-rows:merge",
    ),
    (
        "WITH d AS (DELETE FROM x.orders WHERE id < 3 RETURNING id) SELECT count(*) FROM d",
        &["x.orders delete 2", "x.lines update 4"],
        "changed-rows:cte",
    ),
    (
        "WITH d AS (DELETE FROM x.lines WHERE id < 4 RETURNING id) INSERT INTO x.log SELECT id FROM d",
        &["x.lines delete 3"],
        "changed-rows:cte,changed-rows:no-key",
    ),
    ("INSERT INTO x.late VALUES (1)", &[], "changed-rows:deferred"),
    (
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) DELETE FROM x.lines WHERE id = 1",
        &["x.lines delete 1"],
        "changed-rows:explain",
    ),
    (
        "DO $$begin update x.lines set ordered = 1 where id < 5; end$$",
        &["x.lines update 4"],
        "changed-rows:opaque",
    ),
    (
        "DO $$begin insert into x.log values ('a'); commit; insert into x.log values ('b'); end$$",
        &["x.log insert 2"],
        "changed-rows:opaque",
    ),
    ("CALL x.steps(3)", &["x.log insert 3"], "changed-rows:opaque"),
    ("CALL x.gives(4)", &["x.log insert 1"], "changed-rows:opaque"),
];

#[test]
fn what_a_command_sets_off_is_counted_and_the_client_sees_nothing_of_it() {
    on_a_deep_stack(|| {
        let server = Server::start();
        let mut second = Session::open(&server.dir);
        run(&mut second, SEED);
        counted(&server, &mut second);
        in_a_transaction(&server, &mut second);
        unknown(&server, &mut second);
        outside_a_transaction(&server, &mut second);
    });
}

fn run(second: &mut Session, text: &str) {
    let mut out = BytesMut::new();
    frontend::encode_query(&mut out, text.as_bytes()).unwrap();
    second.exchange(&out).unwrap();
}

impl Through {
    /// What was counted since the record had `from` entries.
    fn counted(&self, from: usize) -> BTreeSet<String> {
        self.fakes.log.with(|events| {
            let new = events.get(from..).unwrap_or_default().iter();
            new.filter_map(|event| match event {
                Event::CommandChanged(e) if e.how == "counted" => {
                    assert!(e.rows == 0 && e.columns.is_absent() && e.old.is_absent() && e.new.is_absent());
                    Some(format!("{} {} {}", e.table, e.action, e.count.unwrap()))
                }
                _ => None,
            })
            .collect()
        })
    }
}

fn set(lines: &[&str]) -> BTreeSet<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn counted(server: &Server, second: &mut Session) {
    let mut through = Through::open(server, ChangedRows::Values);
    for (text, expected, coverage) in CASES {
        for simple in [true, false] {
            run(second, RESET);
            let from = through.entries();
            let said = if simple { through.query(text) } else { through.extended(text) };
            assert_eq!(ended(&said), (String::new(), 'I'), "{text}");
            assert_eq!(through.counted(from), set(expected), "{text} simple={simple}");
            let found: BTreeSet<String> = through
                .coverages(from)
                .into_iter()
                .flat_map(|c| c.split(',').map(str::to_owned).collect::<Vec<_>>())
                .collect();
            let expected: BTreeSet<String> =
                coverage.split(',').filter(|c| !c.is_empty()).map(str::to_owned).collect();
            assert_eq!(found, expected, "{text} simple={simple}");
        }
    }
    // A transaction that fails at its commit has changed nothing, and nothing is told.
    for simple in [true, false] {
        run(second, RESET);
        let from = through.entries();
        let text = "INSERT INTO x.strict VALUES (77)";
        let said = if simple { through.query(text) } else { through.extended(text) };
        assert_eq!(ended(&said), ("23503".to_owned(), 'I'), "{text}");
        assert!(through.counted(from).is_empty());
    }
}

impl Through {
    fn extended(&mut self, text: &str) -> Told {
        let mut out = BytesMut::new();
        extended(&mut out, text);
        frontend::encode_sync(&mut out);
        self.say(&out, 1)
    }

    /// Coverage of outcomes and of changed rows since the record had `from` entries.
    fn coverages(&self, from: usize) -> Vec<String> {
        self.fakes.log.with(|events| {
            let new = events.get(from..).unwrap_or_default().iter();
            let coverage = new.filter_map(|event| match event {
                Event::CommandCompleted(e) => Some(e.outcome.coverage.join(",")),
                Event::CommandChanged(e) => Some(e.coverage.join(",")),
                _ => None,
            });
            coverage.filter(|c| !c.is_empty()).collect()
        })
    }
}

/// The counters go on within a transaction: only what the command itself did is told.
fn in_a_transaction(server: &Server, second: &mut Session) {
    let mut through = Through::open(server, ChangedRows::Values);
    for (text, expected, _) in
        CASES.iter().filter(|(text, ..)| !text.contains("commit") && !text.contains("steps"))
    {
        for simple in [true, false] {
            run(second, RESET);
            through.query("BEGIN");
            through.query("INSERT INTO x.log SELECT 'before' FROM generate_series(1, 100)");
            through.query("UPDATE x.lines SET id = id");
            let from = through.entries();
            let said = if simple { through.query(text) } else { through.extended(text) };
            assert_eq!(ended(&said), (String::new(), 'T'), "{text}");
            assert_eq!(through.counted(from), set(expected), "{text} simple={simple}");
            through.query("ROLLBACK");
        }
    }
    // In one pipeline each command is told its own.
    run(second, RESET);
    let from = through.entries();
    let mut out = BytesMut::new();
    for text in ["DELETE FROM x.customers WHERE id = 1", "SELECT 1", "DELETE FROM x.customers WHERE id = 2"] {
        extended(&mut out, text);
    }
    frontend::encode_sync(&mut out);
    let said = through.say(&out, 1);
    assert_eq!(tags(&said), "12nC12TDC12nCZ");
    let told: Vec<String> = through.fakes.log.with(|events| {
        let new = events.get(from..).unwrap_or_default().iter();
        new.filter_map(|event| match event {
            Event::CommandChanged(e) => Some(format!("{} {} {}", e.how, e.table, e.count.unwrap())),
            Event::CommandCompleted(_) => Some("completed".to_owned()),
            _ => None,
        })
        .collect()
    });
    let one = ["returning x.customers 1", "counted x.orders 3", "counted x.lines 6", "completed"];
    assert_eq!(told, [&one[..], &["completed"], &one[..]].concat());
    // A table emptied by a function in between is said to be.
    through.query("BEGIN");
    let from = through.entries();
    through.query("DO $$begin insert into x.log values ('a'); truncate x.log; end$$");
    through.query("INSERT INTO x.log VALUES ('b'), ('c')");
    through.query("DO $$begin truncate x.log; insert into x.log values ('d'); end$$");
    assert_eq!(through.coverages(from).last().unwrap(), "changed-rows:opaque,changed-rows:truncate");
    through.query("ROLLBACK");
}

/// What cannot be counted says so, and runs as it is.
fn unknown(server: &Server, second: &mut Session) {
    let mut through = Through::open(server, ChangedRows::Values);
    // What rules make of a Query is not what they make of a portal.
    run(second, RESET);
    let text = "DELETE FROM x.v WHERE id = 1";
    let from = through.entries();
    through.query(text);
    assert_eq!(through.coverages(from), [format!("changed-rows:view,{UNKNOWN}")]);
    run(second, RESET);
    let from = through.entries();
    through.extended(text);
    assert_eq!(through.coverages(from), ["changed-rows:view"]);
    assert_eq!(
        through.counted(from),
        set(&["x.customers delete 1", "x.orders delete 3", "x.lines update 6"])
    );
    run(second, RESET);
    // Behind another command of the same pipeline CALL may not commit anyway, but the counters are not at zero.
    let mut out = BytesMut::new();
    for text in ["INSERT INTO x.log VALUES ('first')", "CALL x.gives(1)"] {
        extended(&mut out, text);
    }
    frontend::encode_sync(&mut out);
    assert_eq!(ended(&through.say(&out, 1)), (String::new(), 'I'));
    assert!(through.last_outcome().2.ends_with(UNKNOWN), "{}", through.last_outcome().2);
    through.query("DO $$begin insert into x.log values ('a'); end$$; SELECT 1");
    let coverage = through.coverages(0);
    assert!(coverage.iter().any(|c| c == UNKNOWN), "{coverage:?}");
    run(second, "ALTER SYSTEM SET track_counts = off");
    run(second, "SELECT pg_reload_conf()");
    while table(second, "SHOW track_counts") != set(&["off"]) {}
    let mut through = Through::open(server, ChangedRows::Values);
    through.query("DELETE FROM x.customers WHERE id = 1");
    assert_eq!(through.last_outcome().2, UNKNOWN);
    run(second, "ALTER SYSTEM RESET track_counts");
    run(second, "SELECT pg_reload_conf()");
    while table(second, "SHOW track_counts") != set(&["on"]) {}
}

/// Texts that fail, warn, answer with rows: the same bytes as without.
const ALIKE: &[&str] = &[
    "DELETE FROM x.customers WHERE id = 2",
    "DELETE FROM x.customers WHERE id / (id - 2) > 0",
    "UPDATE x.customers SET name = name || '!' RETURNING *",
    "INSERT INTO x.late VALUES (1)",
    "INSERT INTO x.strict VALUES (77)",
    "INSERT INTO x.strict VALUES (1)",
    "MERGE INTO x.orders o USING (VALUES (1)) s(id) ON o.id = s.id WHEN MATCHED THEN DELETE;",
    "MERGE INTO x.nothing o USING (VALUES (1)) s(id) ON o.id = s.id WHEN MATCHED THEN DELETE",
    "MERGE INTO x.orders o USING (VALUES (1)) s(id) ON o.id = s.nope WHEN MATCHED THEN DELETE",
    "WITH d AS (DELETE FROM x.orders WHERE id < 3 RETURNING id) SELECT id, now() IS NULL FROM d -- end",
    "WITH d AS (DELETE FROM x.orders WHERE id < 3) UPDATE x.customers SET name = 'x' WHERE id = 1",
    "DO $$begin raise notice 'one'; insert into x.log values ('a'); raise warning 'two'; end$$",
    "DO $$begin insert into x.log values ('a'); commit; raise notice 'between'; perform 1 / 0; end$$",
    "DO $$begin insert into nope values (1); end$$",
    "CALL x.steps(2)",
    "CALL x.gives(4)",
    "CALL x.gives($1)",
    "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) UPDATE x.customers SET name = 'y'",
    "SELECT count(*), min(what) FROM x.log",
];

fn outside_a_transaction(server: &Server, second: &mut Session) {
    for text in ALIKE {
        for shape in [0, 2, 3, 5] {
            let mut said = Vec::new();
            let mut left = Vec::new();
            for changed in [ChangedRows::Off, ChangedRows::Keys, ChangedRows::Values] {
                run(second, RESET);
                let mut way = Through::open(server, changed);
                // The unnamed statement, which a Query ends and nothing else.
                let mut first = BytesMut::new();
                frontend::encode_parse(&mut first, b"", b"SELECT 'still here'", &[]).unwrap();
                frontend::encode_sync(&mut first);
                way.say(&first, 1);
                let (bytes, units) = shaped(text, shape);
                let mut all = way.say(&bytes, units);
                let mut again = BytesMut::new();
                frontend::encode_bind(&mut again, (b"", b""), (Format::Text, &[]), Format::Text).unwrap();
                frontend::encode_execute(&mut again, b"", 0).unwrap();
                frontend::encode_sync(&mut again);
                all.extend(way.say(&again, 1));
                all.extend(way.query("BEGIN"));
                all.extend(way.query(text));
                all.extend(way.query("COMMIT"));
                said.push(all);
                left.push(table(
                    second,
                    "SELECT 'c', id, name FROM x.customers UNION ALL SELECT 'o', id, customer::text FROM x.orders \
                     UNION ALL SELECT 'l', id, ordered::text FROM x.lines UNION ALL SELECT what, count(*), '' FROM x.log GROUP BY what",
                ));
            }
            for other in 1..said.len() {
                assert_eq!(said[0], said[other], "{text} in shape {shape}");
                assert_eq!(left[0], left[other], "{text} in shape {shape}");
            }
        }
    }
}
