//! What a preview takes over from its session, and what it does not wait for.

use std::time::{Duration, Instant};

use firsthand_model::outcome::Transaction;
use firsthand_model::preview::How;

use super::{Bed, Try, Wrong, ask, line, on_a_deep_stack, rows, run};

const SEED: &str = "CREATE TABLE t (id int PRIMARY KEY, who text, v int);;
INSERT INTO t VALUES (1, 'ada', 1), (2, 'bob', 1), (3, 'ada', 1);;
CREATE SCHEMA other;; CREATE TABLE other.t (id int PRIMARY KEY, who text, v int);;
INSERT INTO other.t VALUES (1, 'x', 1), (2, 'x', 1);;
CREATE TABLE secured (id int PRIMARY KEY, who text);;
INSERT INTO secured VALUES (1, 'ada'), (2, 'bob'), (3, 'ada');;
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;;
CREATE POLICY own ON secured USING (who = current_user);;
CREATE TABLE tenants (id int PRIMARY KEY, tenant text);;
INSERT INTO tenants VALUES (1, 'a'), (2, 'b'), (3, 'a');;
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;;
CREATE POLICY own ON tenants USING (tenant = current_setting('app.tenant', true));;
CREATE TABLE dated (id int PRIMARY KEY, d date);; INSERT INTO dated VALUES (1, '2026-01-01');;
CREATE ROLE ada;; CREATE ROLE nobody;;
GRANT ALL ON ALL TABLES IN SCHEMA public TO ada;;
GRANT UPDATE (v), SELECT (id, v) ON t TO nobody;;
CREATE FUNCTION other.length(text) RETURNS int LANGUAGE sql AS 'SELECT 7'";

/// What ran before in the session, a statement, what is told, and rows or the reason.
const SESSIONS: &[(&[&str], &str, &str, &str)] = &[
    (&[], "DELETE FROM t", "exact 3", "ada"),
    (&["SET search_path TO other"], "DELETE FROM t", "exact 2", "[1,x,1]"),
    (&["SET search_path TO 'other', public"], "DELETE FROM t", "exact 2", "[1,x,1]"),
    (&["SET ROLE ada"], "DELETE FROM secured", "exact 2", "changed-rows:row-security"),
    (&[], "DELETE FROM secured", "exact 3", "bob"),
    (&["SET ROLE nobody"], "UPDATE t SET v = 2 WHERE id = 1", "exact 1", "[[1,2]]"),
    (&["SET ROLE nobody"], "DELETE FROM t", "none -", "the role may not do that"),
    (
        &["SET ROLE ada", "SET app.tenant TO 'a'"],
        "DELETE FROM tenants",
        "exact 2",
        "changed-rows:row-security",
    ),
    (
        &["SET ROLE ada", "SET app.tenant TO 'b'"],
        "DELETE FROM tenants",
        "exact 1",
        "changed-rows:row-security",
    ),
    (&["SET datestyle TO 'ISO, DMY'"], "UPDATE dated SET d = '02/01/2027'", "exact 1", "2027-01-02"),
    (&["SET datestyle TO 'ISO, MDY'"], "UPDATE dated SET d = '02/01/2027'", "exact 1", "2027-02-01"),
    (&["SET standard_conforming_strings TO off"], "DELETE FROM t", "none -", "backslashes"),
    (&["SET statement_timeout TO 0"], "DELETE FROM t WHERE id = 1", "exact 1", "ada"),
    (&["CREATE TEMP TABLE t (id int)"], "DELETE FROM t", "none -", "its session's own"),
    (&["CREATE TEMP TABLE t (id int)"], "DELETE FROM public.t", "exact 3", "ada"),
    (&["SELECT set_config('search_path', 'other', false)"], "DELETE FROM t", "exact 2", "[1,x,1]"),
    (&["DO $$ BEGIN SET search_path TO other; END $$"], "DELETE FROM t", "none -", "is not known"),
    (&["SET SESSION AUTHORIZATION ada"], "DELETE FROM t", "exact 3", "ada"),
];

#[test]
fn a_preview_means_what_its_session_means() {
    on_a_deep_stack(|| {
        let bed = Bed::new(SEED);
        let before = bed.state();
        let mut wrong = Wrong::default();
        for (setup, text, told, seen) in SESSIONS {
            let preview = bed.try_it(&Try { setup, text, ..Try::default() });
            let all = format!("{} {} {}", line(&preview), rows(&preview), preview.why);
            wrong.unless(all.starts_with(told) && all.contains(seen), || format!("{setup:?} {text}: {all}"));
            assert_eq!(bed.state(), before, "{text}");
            bed.is_quiet();
        }
        what_a_session_cannot_tell_is_not_tried(&bed);
        a_lock_of_others_is_not_waited_for(&bed);
        what_was_defined_meanwhile_is_seen(&bed);
    });
}

fn what_a_session_cannot_tell_is_not_tried(bed: &Bed) {
    let untried = bed.try_it(&Try { text: "DELETE FROM t", untried: Some("why"), ..Try::default() });
    assert!(untried.how == How::None && untried.why.contains("why"), "{}", untried.why);
    let it = Try { text: "DELETE FROM t", ..Try::default() };
    let (session, mut command, mut original) = bed.asked(&it);
    command.transaction = Transaction::Open;
    let open = bed.with(&session, &command, &original);
    assert!(open.how == How::None && open.why.contains("in a transaction"), "{}", open.why);
    command.transaction = Transaction::Idle;
    command.coverage.push("role-unknown");
    let unknown = bed.with(&session, &command, &original);
    assert!(unknown.how == How::None && unknown.why.contains("role in force"), "{}", unknown.why);
    command.coverage.clear();
    // Facts of one statement never let another run.
    for text in ["DELETE FROM t; COMMIT", "DELETE FROM other.t", "DELETE FROM t; DELETE FROM t"] {
        original.text = text.as_bytes().to_vec();
        let other = bed.with(&session, &command, &original);
        assert!(other.how == How::None && other.why.contains("as it came"), "{text}: {}", other.why);
    }
}

fn a_lock_of_others_is_not_waited_for(bed: &Bed) {
    for lock in ["SELECT FROM t WHERE id = 1 FOR UPDATE", "LOCK TABLE t"] {
        let mut holder = bed.session();
        run(&mut holder, "BEGIN");
        run(&mut holder, lock);
        let begun = Instant::now();
        let preview = bed.preview("UPDATE t SET v = 2 WHERE id = 1");
        assert!(begun.elapsed() < Duration::from_secs(5), "{lock}");
        assert!(preview.why.contains("somebody else holds a lock"), "{lock}: {}", preview.why);
        assert!(preview.sample.is_none() && preview.how != How::Exact, "{lock}: {}", line(&preview));
        run(&mut holder, "ROLLBACK");
        drop(holder);
        bed.is_quiet();
    }
    let slow = bed.preview(
        "UPDATE t SET v = (SELECT count(*) FROM generate_series(1, 100000000) g WHERE g % 7 = t.id) WHERE id = 1",
    );
    assert_eq!(slow.how, How::Estimate, "{}", slow.why);
    assert!(slow.why.contains("took longer"), "{}", slow.why);
    bed.is_quiet();
}

/// The definitions that the statement was judged by are those of a moment ago.
fn what_was_defined_meanwhile_is_seen(bed: &Bed) {
    let mut other = bed.session();
    run(&mut other, "CREATE SEQUENCE s");
    run(
        &mut other,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('s'); RETURN NEW; END $$",
    );
    run(&mut other, "CREATE TRIGGER f BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()");
    let preview = bed.preview("UPDATE t SET v = 2 WHERE id = 1");
    assert!(preview.how == How::Estimate && preview.why.contains("trigger f of public.t"), "{}", preview.why);
    assert_eq!(ask(&mut other, "SELECT is_called FROM s"), "f");
    run(&mut other, "DROP TRIGGER f ON t");
    run(
        &mut other,
        "CREATE FUNCTION public.length(t text) RETURNS int LANGUAGE sql AS 'SELECT nextval(''s'')::int'",
    );
    let preview = bed.preview("UPDATE t SET v = length(who) WHERE id = 1");
    assert!(preview.how == How::None && preview.why.contains("mean something else"), "{}", preview.why);
    run(&mut other, "ALTER TABLE t RENAME TO gone");
    let preview = bed.preview("UPDATE t SET v = 2 WHERE id = 1");
    assert!(preview.how == How::None && preview.why.contains("mean something else"), "{}", preview.why);
    assert_eq!(ask(&mut other, "SELECT is_called FROM s"), "f");
    drop(other);
    bed.is_quiet();
}
