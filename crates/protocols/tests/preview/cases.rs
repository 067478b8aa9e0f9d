//! What is told of a statement by itself, and every reason for which it is not tried.

use firsthand_model::preview::Parameter;

use super::{Bed, Try, Wrong, line, on_a_deep_stack, rows};

const SEED: &str = "CREATE TABLE cust (id int PRIMARY KEY, code text UNIQUE, n int DEFAULT 0);;
CREATE TABLE ord (id int PRIMARY KEY, cust int REFERENCES cust ON DELETE CASCADE,
    code text REFERENCES cust (code) ON UPDATE CASCADE ON DELETE SET NULL);;
CREATE TABLE item (ord int REFERENCES ord ON DELETE CASCADE);;
INSERT INTO cust SELECT i, 'c' || i FROM generate_series(1, 9) i;;
INSERT INTO ord SELECT c * 10 + o, c, 'c' || c FROM generate_series(1, 9) c, generate_series(1, 3) o;;
INSERT INTO item SELECT id FROM ord, generate_series(1, 2);;
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE);;
INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, NULL);;
CREATE TABLE typed (id int PRIMARY KEY, at timestamptz, n numeric, b bytea, j jsonb);;
INSERT INTO typed VALUES (1, '2026-01-02 03:04:05+00', 1.50, '\\x00ff', '{\"a\": 1}');;
CREATE TABLE many (id int PRIMARY KEY, v int);;
INSERT INTO many SELECT i, i FROM generate_series(1, 20000) i;;
CREATE TABLE parts (a int, b int, PRIMARY KEY (a)) PARTITION BY LIST (a);;
CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1);;
CREATE TABLE part2 PARTITION OF parts FOR VALUES IN (2);;
INSERT INTO parts VALUES (1, 1), (2, 2);;
CREATE TABLE rolled (id int DEFAULT (random() * 10)::int, v text);; CREATE TABLE numbered (id serial PRIMARY KEY, v text);; INSERT INTO numbered (v) VALUES ('a'), ('b');;
CREATE TABLE always (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);; INSERT INTO always (v) VALUES ('a');;
CREATE TABLE random (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), v text);;
CREATE SEQUENCE free;;
CREATE TABLE log (what text);;
CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('free'); RETURN NEW; END $$;;
CREATE TABLE logged (id int PRIMARY KEY, v text);; INSERT INTO logged SELECT generate_series(1, 9);;
CREATE TRIGGER log BEFORE UPDATE OR DELETE ON logged FOR EACH ROW EXECUTE FUNCTION log();;
CREATE TABLE later (id int PRIMARY KEY);;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION log();;
CREATE TABLE above (id int PRIMARY KEY);; INSERT INTO above VALUES (1);;
CREATE TABLE below (id int PRIMARY KEY, up int REFERENCES above ON DELETE CASCADE);; INSERT INTO below VALUES (1, 1);;
CREATE TRIGGER log BEFORE DELETE ON below FOR EACH ROW EXECUTE FUNCTION log();;
CREATE TABLE up (id int PRIMARY KEY);; INSERT INTO up VALUES (1), (100);;
CREATE TABLE down (id int PRIMARY KEY, up int DEFAULT nextval('free') REFERENCES up ON DELETE SET DEFAULT);;
INSERT INTO down VALUES (1, 1);;
CREATE TABLE ruled (id int PRIMARY KEY);;
CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO log VALUES (nextval('free')::text);;
CREATE FUNCTION fine(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('free'); RETURN true; END $$;;
CREATE TABLE checked (id int PRIMARY KEY CHECK (fine(id)));;
CREATE TABLE holder (id int) PARTITION BY LIST (id);;
CREATE TABLE held PARTITION OF holder (CHECK (fine(id))) FOR VALUES IN (1);; INSERT INTO held VALUES (1);;
CREATE DOMAIN odd AS int CHECK (nextval('free') > 0);;
CREATE TABLE domained (id int PRIMARY KEY, v odd);;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM nextval('free'); RETURN $1 * 2; END $$;;
CREATE TABLE indexed (id int PRIMARY KEY, v int);; CREATE INDEX ON indexed (twice(v));;
CREATE VIEW shown AS SELECT id, code FROM cust;;
CREATE EXTENSION file_fdw;; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;;
CREATE FOREIGN TABLE away (id int) SERVER files OPTIONS (filename '/dev/null');;
SELECT lo_create(4242);;
ANALYZE";

/// Statements and what is told of them.
const TOLD: &[(&str, &str, &str)] = &[
    (
        "UPDATE cust SET n = n + 1 WHERE id <= 2",
        "exact 2 [public.cust update 2]",
        "[[1,c1,0],[2,c2,0]] -> [[1,c1,1],[2,c2,1]]",
    ),
    ("UPDATE cust SET n = 1 WHERE id = 77 RETURNING n, *", "exact 0 []", " -> "),
    (
        "DELETE FROM cust WHERE id = 1",
        "exact 1 [public.cust delete 1, public.item delete 6 along, public.ord delete 3 along]",
        "[[1,c1,0]] -> ",
    ),
    (
        "UPDATE cust SET code = code || 'x' WHERE id = 2",
        "exact 1 [public.cust update 1, public.ord update 3 along]",
        "[[2,c2,0]] -> [[2,c2x,0]]",
    ),
    ("DELETE FROM tree WHERE id = 1", "exact 1 [public.tree delete 3]", "[[1,null]] -> "),
    ("INSERT INTO cust VALUES (10, 'new')", "exact 1 [public.cust insert 1]", " -> [[10,new,0]]"),
    (
        "INSERT INTO cust VALUES (1, 'c1', 5), (11, 'c11', 0) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
        "exact 2 [public.cust insert 1, public.cust update 1]",
        " -> [[1,c1,5],[11,c11,0]]",
    ),
    ("UPDATE numbered SET v = 'x' WHERE id = 1", "exact 1 [public.numbered update 1]", "[[1,a]] -> [[1,x]]"),
    ("DELETE FROM numbered", "exact 2 [public.numbered delete 2]", "[[1,a],[2,b]] -> "),
    (
        "MERGE INTO cust USING (VALUES (1), (12)) v(id) ON cust.id = v.id WHEN MATCHED THEN UPDATE SET n = 7 \
         WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'c12')",
        "exact 2 [public.cust insert 1, public.cust update 1]",
        "",
    ),
    (
        // Through a view, what is below it and what comes along are not told apart.
        "UPDATE shown SET code = 'v' WHERE id = 3",
        "exact 1 [public.cust update 1, public.ord update 3]",
        "",
    ),
    ("UPDATE parts SET b = 3", "exact 2 [public.part1 update 1, public.part2 update 1]", " -> [[1,3],[2,3]]"),
    ("INSERT INTO random (v) VALUES ('a')", "exact 1 [public.random insert 1]", "*"),
    ("DELETE FROM many WHERE id <= 30", "exact 30 [public.many delete 30]", "*"),
];

/// Statements that are not tried: what is told of them, and why.
const REFUSED: &[(&str, &str, &str)] = &[
    ("INSERT INTO numbered (v) VALUES ('x')", "estimate 1", "advance a sequence"),
    ("INSERT INTO always (v) VALUES ('x')", "estimate 1", "advance a sequence"),
    ("UPDATE numbered SET id = DEFAULT WHERE id = 1", "estimate 1", "advance a sequence"),
    ("UPDATE always SET id = DEFAULT WHERE id = 1", "estimate 1", "advance a sequence"),
    ("UPDATE cust SET n = nextval('free') WHERE id = 1", "estimate 1", "advance a sequence"),
    ("INSERT INTO cust VALUES (20, 'x', setval('free', 99))", "estimate 1", "advance a sequence"),
    ("DELETE FROM up WHERE id = 1", "estimate 1", "advance a sequence"),
    ("UPDATE logged SET v = 'x' WHERE id = 1", "estimate 1", "triggers or rules"),
    ("DELETE FROM above WHERE id = 1", "estimate 1", "triggers or rules"),
    ("INSERT INTO later VALUES (1)", "estimate 1", "triggers or rules"),
    ("INSERT INTO ruled VALUES (1)", "none -", "a rule would put other statements"),
    ("INSERT INTO checked VALUES (1)", "none -", "cannot be told"),
    ("UPDATE holder SET id = 1", "none -", "cannot be told"),
    ("INSERT INTO domained VALUES (1, 1)", "estimate 1", "advance a sequence"),
    ("INSERT INTO indexed VALUES (1, 1)", "none -", "cannot be told"),
    ("UPDATE cust SET n = twice(n)", "none -", "cannot be told"),
    ("INSERT INTO away VALUES (1)", "none -", "reaches beyond the database"),
    ("DELETE FROM cust USING away WHERE cust.id = away.id", "none -", "reaches beyond the database"),
    ("UPDATE cust SET n = 1 WHERE pg_notify('c', 'x') IS NOT NULL", "estimate 9", "pg_notify"),
    (
        "UPDATE cust SET n = 1 WHERE pg_advisory_lock(id) IS NULL",
        "estimate 1",
        "locks that others would wait for",
    ),
    ("UPDATE cust SET n = lo_unlink(4242) WHERE id = 1", "estimate 1", "lo_unlink"),
    (
        "UPDATE cust SET code = set_config('app.x', 'y', false) WHERE id = 1",
        "estimate 1",
        "changes its session",
    ),
    ("UPDATE cust SET n = pg_backend_pid() WHERE id = 1", "estimate 1", "otherwise on another connection"),
    ("UPDATE cust SET n = 1 WHERE random() < 0.5", "estimate 3", "random"),
    ("UPDATE cust SET n = 1 WHERE pg_cancel_backend(id)", "none -", "reaches beyond the database"),
    ("UPDATE cust SET code = query_to_xml('SELECT 1', true, true, '')::text", "none -", "cannot be told"),
    (
        "WITH gone AS (DELETE FROM item RETURNING ord) UPDATE cust SET n = 2 WHERE id = 1",
        "estimate",
        "WITH clause",
    ),
    ("UPDATE nowhere SET a = 1", "none -", "cannot be told"),
    ("UPDATE many SET v = v + 1", "estimate 20000", "10000 rows"),
    (
        "UPDATE many SET v = 1 / (id - 5) WHERE id < 9",
        "none -",
        "a value is not one of its type (SQLSTATE 22012)",
    ),
    (
        "INSERT INTO cust VALUES (1, 'value-in-a-message')",
        "none -",
        "a constraint forbids it (SQLSTATE 23505)",
    ),
    ("INSERT INTO ord VALUES (500, 500)", "none -", "a constraint forbids it (SQLSTATE 23503)"),
    (
        "UPDATE cust SET n = 'no-number' WHERE id = 1",
        "none -",
        "a value is not one of its type (SQLSTATE 22P02)",
    ),
    ("TRUNCATE log", "none -", "no INSERT"),
    ("SELECT 1", "none -", "no INSERT"),
    ("DELETE FROM cust WHERE id = 1 AND pg_sleep(9) IS NOT NULL", "estimate", "pg_sleep"),
];

#[test]
fn what_a_write_would_change_is_told_and_nothing_is_changed() {
    on_a_deep_stack(|| {
        let bed = Bed::new(SEED);
        let before = bed.state();
        let mut wrong = Wrong::default();
        for (text, told, sample) in TOLD {
            let preview = bed.preview(text);
            let all = format!("{} {} {}", line(&preview), rows(&preview), preview.why);
            let right = line(&preview) == *told && (*sample == "*" || rows(&preview) == *sample);
            wrong.unless(right, || format!("{text}: {all}"));
            wrong.unless(preview.sample.is_none() != preview.why.is_empty(), || format!("{text}: {all}"));
            assert_eq!(bed.state(), before, "{text}");
            bed.is_quiet();
        }
        let most = bed.preview("DELETE FROM many WHERE id <= 30").sample.unwrap();
        assert_eq!((most.rows, &*most.coverage), (20, &["changed-rows:past-cap"][..]));
        a_default_runs_where_the_statement_says_so(&bed);
        what_is_not_proven_does_not_run(&bed, &before);
        parameters_of_both_formats(&bed, &before);
        what_is_masked_is_not_shown(&bed);
    });
}

fn what_is_not_proven_does_not_run(bed: &Bed, before: &str) {
    let mut wrong = Wrong::default();
    for (text, told, why) in REFUSED {
        let preview = bed.preview(text);
        let right = line(&preview).starts_with(told) && preview.why.contains(why);
        wrong.unless(right, || format!("{text}: {} {}", line(&preview), preview.why));
        assert!(preview.sample.is_none() && preview.changes.is_empty(), "{text}");
        assert!(!preview.why.contains("value-in") && !preview.why.contains("no-number"), "{}", preview.why);
        assert_eq!(bed.state(), before, "{text}");
        bed.is_quiet();
    }
}

fn parameters_of_both_formats(bed: &Bed, before: &str) {
    let text = "UPDATE typed SET at = $2, n = $3, b = $4, j = $5 WHERE id = $1";
    let of =
        |type_number, binary, value: &[u8]| Parameter { type_number, binary, value: Some(value.to_vec()) };
    let parameters = vec![
        of(23, true, &[0, 0, 0, 1]),
        of(0, false, b"2027-01-01 00:00:00+00"),
        of(1700, false, b"2.5"),
        of(17, true, &[1, 2]),
        Parameter::default(),
    ];
    let preview = bed.try_it(&Try { text, parameters, ..Try::default() });
    assert_eq!(line(&preview), "exact 1 [public.typed update 1]", "{}", preview.why);
    let sample = rows(&preview);
    let (old, new) = sample.split_once(" -> ").unwrap();
    assert!(old.contains("2026-01-02") && old.contains("1.50"), "{old}");
    assert!(new.contains("2027-01-01") && new.contains("2.5") && new.ends_with("null]]"), "{new}");
    assert_eq!(bed.state(), before);
    bed.is_quiet();
}

fn what_is_masked_is_not_shown(bed: &Bed) {
    let it = |text, masked| bed.try_it(&Try { text, masked, ..Try::default() });
    let shown = it("UPDATE cust SET n = 3 WHERE id = 4", &["code"][..]);
    assert_eq!(rows(&shown), "[[4,[secret],0]] -> [[4,[secret],3]]");
    let json = String::from_utf8(shown.json().as_bytes().to_vec()).unwrap();
    assert!(json.contains(r#""masked":"secret""#) && !json.contains("c4"), "{json}");
    // What is masked there would stand unmasked here.
    let stored = it("UPDATE cust SET n = length(code) WHERE id = 4", &["code"][..]);
    assert_eq!(line(&stored), "exact 1 [public.cust update 1]");
    assert!(stored.sample.is_none() && stored.why.contains("columns that are masked"), "{}", stored.why);
}

/// Statements; whether they run the table's default; whether only what they set off is not known.
const FACTS: &[(&str, bool, bool)] = &[
    ("INSERT INTO rolled (id, v) VALUES (1, 'x')", false, false),
    ("INSERT INTO rolled VALUES (1) ON CONFLICT DO NOTHING", false, false),
    ("INSERT INTO rolled (v) VALUES ('x')", true, false),
    ("INSERT INTO rolled VALUES (DEFAULT, 'x')", true, false),
    ("UPDATE rolled SET v = 'x'", false, false),
    ("UPDATE rolled SET id = DEFAULT", true, false),
    ("UPDATE rolled SET (v, id) = ('x', DEFAULT)", true, false),
    ("DELETE FROM rolled", false, false),
    ("MERGE INTO rolled n USING cust c ON n.id = c.id WHEN MATCHED THEN UPDATE SET v = 'x'", false, false),
    (
        "MERGE INTO rolled n USING cust c ON n.id = c.id WHEN MATCHED THEN UPDATE SET id = DEFAULT",
        true,
        false,
    ),
    // The next number belongs to the row.
    ("INSERT INTO numbered (v) VALUES ('x')", false, false),
    ("UPDATE numbered SET id = DEFAULT", false, false),
    ("UPDATE logged SET v = 'x'", false, true),
    ("UPDATE logged SET v = twice(id)::text", false, false),
    ("UPDATE logged SET v = nosuch(id)", false, false),
    ("UPDATE logged SET v = 'x' FROM nowhere", false, false),
    ("DELETE FROM above", false, true),
];

fn a_default_runs_where_the_statement_says_so(bed: &Bed) {
    for (text, runs, only_along) in FACTS {
        let (_, command, _) = bed.asked(&Try { text, ..Try::default() });
        let facts = command.shape.facts.as_deref().unwrap();
        let called =
            |own: &str| facts.functions.iter().any(|name| name.strip_prefix("pg_catalog.") == Some(own));
        assert!(!called("nextval"), "{text}: {facts:?}");
        assert_eq!((called("random"), facts.opaque_along), (*runs, *only_along), "{text}: {facts:?}");
    }
}
