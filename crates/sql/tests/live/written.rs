//! `corpus/written.txt`: what runs along with a row that is written, and what does not.

use crate::evasions::{cases, facts};
use crate::server::Server;

const SEED: &str = "CREATE SCHEMA evil; CREATE SCHEMA ok; CREATE SEQUENCE evil.ran;
CREATE FUNCTION evil.w(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('evil.ran'); RETURN 1; END $$;
CREATE TABLE plain (id int PRIMARY KEY, v int); INSERT INTO plain VALUES (1, 1);
CREATE TABLE ok.s (id serial PRIMARY KEY, v int); CREATE TABLE ok.big (id bigserial, v int);
CREATE SEQUENCE ok.numbers; CREATE TABLE ok.named (id text DEFAULT 'n' || nextval('ok.numbers'), v int);
CREATE TABLE ok.always (id int GENERATED ALWAYS AS IDENTITY, v int);
CREATE TABLE ok.checked (v int CHECK (nextval('ok.numbers') > 0));
CREATE TABLE ok.d (a int, b int DEFAULT 7);
CREATE TABLE ok.e (a int PRIMARY KEY DEFAULT 50, b int DEFAULT evil.w(1)); INSERT INTO ok.e VALUES (1, 1);
CREATE DOMAIN ok.number AS int DEFAULT evil.w(1); CREATE TABLE ok.dom (a int, b ok.number);
CREATE TABLE ok.parts (v int) PARTITION BY RANGE (evil.w(v)); CREATE TABLE ok.parts_1 PARTITION OF ok.parts FOR VALUES FROM (0) TO (9);
CREATE TABLE ok.deep (v int) PARTITION BY RANGE (v); CREATE TABLE ok.deep_1 PARTITION OF ok.deep FOR VALUES FROM (0) TO (9) PARTITION BY RANGE (evil.w(v));
CREATE TABLE ok.deep_11 PARTITION OF ok.deep_1 FOR VALUES FROM (0) TO (9);
CREATE TABLE ok.kept (v int) PARTITION BY RANGE (abs(v)); CREATE TABLE ok.kept_1 PARTITION OF ok.kept FOR VALUES FROM (0) TO (9);
CREATE TABLE ok.hosts (v int) PARTITION BY RANGE (v); CREATE TABLE ok.hosts_1 PARTITION OF ok.hosts FOR VALUES FROM (0) TO (9);
CREATE INDEX ON ok.hosts_1 (evil.w(v)); INSERT INTO ok.parts VALUES (1);
CREATE VIEW ok.ve AS SELECT a FROM ok.e; CREATE VIEW ok.vve AS SELECT a FROM ok.ve; CREATE VIEW ok.vs AS SELECT v FROM ok.s; CREATE VIEW ok.vp AS SELECT v FROM ok.parts;
CREATE FUNCTION evil.t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('evil.ran'); RETURN coalesce(new, old); END $$;
CREATE TABLE ok.tr (v int); INSERT INTO ok.tr SELECT generate_series(1, 9); CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON ok.tr FOR EACH ROW EXECUTE FUNCTION evil.t();
CREATE VIEW ok.vt AS SELECT v FROM ok.tr;";

#[test]
fn what_runs_along_with_a_row_is_told_and_what_does_not_is_not() {
    let server = Server::start("written");
    server.script(SEED);
    let catalog = server.catalog();
    let ran = || server.session(&["SELECT last_value || ' ' || is_called FROM evil.ran"]);
    let (mut wrong, mut before) = (Vec::new(), ran());
    for case in cases(include_str!("../corpus/written.txt")) {
        let facts = facts(&catalog, &case);
        let why: Vec<_> = facts.iter().filter_map(|f| f.opaque.clone()).collect();
        let called: Vec<_> = facts.iter().flat_map(|f| f.functions.clone()).collect();
        let said = server.session(&[case.sql]);
        let after = ran();
        let runs = after != before;
        before = after;
        let right = match case.expect {
            "code" => !why.is_empty() && runs,
            "calls" => why.is_empty() && called == ["pg_catalog.nextval"],
            _ => {
                let other = called.iter().any(|f| !f.starts_with("pg_catalog.") || f.ends_with(".nextval"));
                why.is_empty() && !other && !runs && !said.contains("ERROR")
            }
        };
        if !right {
            wrong.push(format!("{} {}\n   runs {runs}: {why:?} {called:?} {said}", case.expect, case.sql));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
