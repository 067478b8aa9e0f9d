//! Limits of time, sums, sessions and commands in rule files, before a real PostgreSQL.

use std::io::Write;

use firsthand_tests::lab::{AGENT, Lab, Plan};
use firsthand_tests::place::Place;
use firsthand_tests::process::until;
use firsthand_tests::raw::{Message, Raw, frame};
use firsthand_tests::record::Record;
use tempfile::TempDir;

const SEED: &str = "create table people (id int primary key, name text, email text, note text);
insert into people select n, 'n' || n, 'e' || n || '@example.com', 'x' from generate_series(1, 100) n;
create table notes as select n as id, 'ask e' || n || '@example.com, please' as body from generate_series(1, 100) n;
create view mails as select id as number, lower(email) as address from people;
grant all on all tables in schema public to app;";

const ALL: &str = "[[rule]]\nname = \"all\"\nbecause = \"b\"\nverdict = \"allow\"\nkinds = [\"agent\"]\n\
effects = [\"read\", \"write\", \"define\", \"execute\", \"session\", \"transaction\", \"lock\", \"system\", \"unknown\"]\n\
[[label]]\nlabel = \"email\"\ncolumns = [\"people.email\"]\n";

/// A lab under rules that allow everything, and this limit.
fn limited(limit: &str) -> (Lab, TempDir) {
    lab(&format!("{ALL}[[limit]]\nname = \"quota\"\nbecause = \"That is plenty.\"\n{limit}\n"), "")
}

fn lab(rules: &str, more: &str) -> (Lab, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let top = format!("[policy]\ndir = {:?}\n", folder.path().display().to_string());
    let plan = Plan { top, seed: SEED.to_owned(), more: more.to_owned(), ..Plan::default() };
    (Lab::start(plan).unwrap(), folder)
}

fn code(seen: &[Message]) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default()
}

fn text(seen: &[Message]) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'M')).unwrap_or_default()
}

fn rows(seen: &[Message]) -> usize {
    seen.iter().filter(|m| m.tag == b'D').count()
}

/// The state of the transaction that the last ReadyForQuery tells.
fn state(seen: &[Message]) -> char {
    seen.iter().rfind(|m| m.tag == b'Z').and_then(|m| m.body.first()).map_or('?', |b| char::from(*b))
}

/// Parse, Bind and Execute of one statement.
fn one(sql: &str) -> Vec<u8> {
    [
        frame(b'P', format!("\0{sql}\0\0\0").as_bytes()),
        frame(b'B', &[0, 0, 0, 0, 0, 0, 0, 0]),
        frame(b'E', &[0, 0, 0, 0, 0]),
    ]
    .concat()
}

fn pipeline(raw: &mut Raw, statements: &[&str]) -> Vec<Message> {
    let mut bytes: Vec<u8> = statements.iter().flat_map(|sql| one(sql)).collect();
    bytes.extend(frame(b'S', &[]));
    raw.stream.write_all(&bytes).unwrap();
    raw.until(b'Z').unwrap()
}

fn outcomes(record: &Record, of: &str) -> Vec<(String, String)> {
    let outcome = |intent| record.outcome(intent).map(|e| (e.kind().to_owned(), e.sqlstate().to_owned()));
    record.intents(of).filter_map(outcome).collect()
}

#[test]
fn a_statement_that_takes_too_long_is_stopped_wherever_it_stands() {
    let (mut lab, _folder) = limited("time = \"700ms\"");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let stopped = |seen: &[Message]| {
        assert_eq!(code(seen), "RF003", "{seen:?}");
        assert!(
            text(seen).contains("at most 700 ms are allowed for one (rule quota). That is plenty."),
            "{}",
            text(seen)
        );
    };
    let seen = raw.query("select pg_sleep(60)").unwrap();
    stopped(&seen);
    assert_eq!(state(&seen), 'I');
    let seen = raw.query("select 1; select pg_sleep(60); select 2").unwrap();
    stopped(&seen);
    assert_eq!(rows(&seen), 1, "what ended in time was told");
    let seen = pipeline(&mut raw, &["select pg_sleep(60)"]);
    stopped(&seen);
    stopped(&raw.query("copy (select pg_sleep(60)) to stdout").unwrap());
    let seen = pipeline(&mut raw, &["select 1", "select pg_sleep(60)", "select 2"]);
    stopped(&seen);
    assert_eq!((rows(&seen), state(&seen)), (1, 'I'), "the rest of the pipeline is skipped");
    // What came before it in the transaction is not kept.
    raw.query("begin").unwrap();
    assert_eq!(code(&raw.query("update people set note = 'kept' where id = 1").unwrap()), "");
    let seen = raw.query("select pg_sleep(60)").unwrap();
    stopped(&seen);
    assert_eq!(state(&seen), 'E');
    raw.query("commit").unwrap();
    assert_eq!(lab.far.sql("shop", "select count(*) from people where note = 'kept'").unwrap().trim(), "0");
    // Each statement has its own time, and the session lives on.
    for _ in 0..3 {
        assert_eq!(code(&raw.query("select pg_sleep(0.3)").unwrap()), "");
    }
    assert_eq!(
        lab.far
            .sql(
                "shop",
                "select count(*) from pg_stat_activity where datname = 'shop' and state = 'active' and pid <> pg_backend_pid()"
            )
            .unwrap()
            .trim(),
        "0",
        "what was stopped runs no more"
    );
    drop(raw);
    lab.gateway.stop().unwrap();
    let record = lab.gateway.record().unwrap();
    for (kind, sqlstate) in outcomes(&record, "select pg_sleep(60)") {
        assert!(
            matches!((&*kind, &*sqlstate), ("command.completed", "RF003" | "") | ("command.abandoned", _)),
            "{kind} {sqlstate}"
        );
    }
    let noted = record.of_kind("session.noted").filter(|e| e.leaf("what") == "limit").count();
    assert_eq!(noted, 6, "each stop is an entry");
    assert_eq!(record.unbalanced(), Vec::<String>::new());
}

/// Code that catches its cancellation and goes on.
const STUBBORN: &str = "create table steps (n int); grant all on steps to app;
create function stubborn() returns int language plpgsql as $$ begin
  insert into steps values (1);
  for i in 1..60 loop
    begin perform pg_sleep(1); exception when query_canceled then null; end;
  end loop;
  return 1;
end $$;
create procedure stubborn_steps() language plpgsql as $$ begin
  for i in 1..60 loop
    begin insert into steps values (1); perform pg_sleep(1); exception when query_canceled then null; end;
    commit;
  end loop;
end $$;";

type Ask = fn(&mut Raw, &str);

#[test]
fn what_catches_its_cancellation_is_ended_with_its_session() {
    let (mut lab, _folder) = limited("time = \"700ms\"");
    lab.far.sql("shop", STUBBORN).unwrap();
    let count = |lab: &Lab| lab.far.sql("shop", "select count(*) from steps").unwrap().trim().to_owned();
    let simple: Ask = |raw, sql| raw.send(b'Q', format!("{sql}\0").as_bytes()).unwrap();
    let extended: Ask = |raw, sql| {
        raw.stream.write_all(&[one(sql), frame(b'S', &[])].concat()).unwrap();
    };
    let asks = [simple, extended];
    for ask in asks {
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        ask(&mut raw, "select stubborn()");
        let seen = raw.until_closed().unwrap();
        let errors: Vec<_> = seen.iter().filter(|m| m.tag == b'E').collect();
        assert_eq!(errors.len(), 1, "one word, after which the connection is closed: {seen:?}");
        let field = |code| errors[0].field(code).unwrap_or_default();
        assert_eq!((&*field(b'C'), &*field(b'V')), ("RF003", "FATAL"));
        assert!(field(b'M').contains("at most 700 ms are allowed for one (rule quota)"), "{}", field(b'M'));
        assert!(field(b'M').contains("what it had not committed is rolled back"), "{}", field(b'M'));
        let busy = "select count(*) from pg_stat_activity where datname = 'shop' and state = 'active' and pid <> pg_backend_pid()";
        assert_eq!(lab.far.sql("shop", busy).unwrap().trim(), "0", "it runs no more");
        assert_eq!(count(&lab), "0", "and has done nothing");
    }
    // What a procedure has committed by itself stays; but it goes no further.
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    simple(&mut raw, "call stubborn_steps()");
    let seen = raw.until_closed().unwrap();
    assert_eq!(code(&seen), "RF003");
    let steps: u32 = count(&lab).parse().unwrap();
    assert!((1..10).contains(&steps), "{steps}");
    // Others go on.
    assert_eq!(code(&Raw::login(&lab.through(), &[]).unwrap().query("select 1").unwrap()), "");
    lab.gateway.stop().unwrap();
    let record = lab.gateway.record().unwrap();
    let ended = [("command.completed".to_owned(), "RF003".to_owned())];
    assert_eq!(outcomes(&record, "select stubborn()"), [ended.clone(), ended.clone()].concat());
    assert_eq!(outcomes(&record, "call stubborn_steps()"), ended);
    assert_eq!(record.of_kind("session.closed").filter(|e| e.leaf("why") == "limit").count(), 3);
    let asked = record.of_kind("target.asked").filter(|e| e.leaf("facts")["what"] == "end");
    assert_eq!(asked.count(), 3, "what the gateway does at the target is an entry");
    assert_eq!(record.unbalanced(), Vec::<String>::new());
}

#[test]
fn where_the_target_cannot_be_made_to_end_it_the_session_ends_all_the_same() {
    let (mut lab, _folder) = limited("time = \"700ms\"");
    lab.far.sql("shop", STUBBORN).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    // The sessions of the role are used up: no other connection is to be had.
    lab.far.sql("shop", "alter role app connection limit 0").unwrap();
    raw.send(b'Q', b"select stubborn()\0").unwrap();
    let seen = raw.until_closed().unwrap();
    assert_eq!(code(&seen), "RF003");
    assert!(text(&seen).contains("what it did may take effect"), "{}", text(&seen));
    lab.gateway.stop().unwrap();
    let record = lab.gateway.record().unwrap();
    let abandoned: Vec<_> = record.of_kind("command.abandoned").collect();
    assert!(abandoned.len() == 1 && abandoned[0].leaf("why") == "session-ended", "{abandoned:?}");
    assert_eq!(record.of_kind("session.closed").filter(|e| e.leaf("why") == "limit").count(), 1);
    assert_eq!(record.unbalanced(), Vec::<String>::new());
}

#[test]
fn a_session_has_so_many_rows_and_then_no_more() {
    let (lab, _folder) = limited("session = { rows = 150 }");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(rows(&raw.query("select id from people").unwrap()), 100);
    raw.query("begin").unwrap();
    let seen = raw.query("select id from people").unwrap();
    assert_eq!((rows(&seen), &*code(&seen), state(&seen)), (50, "RF003", 'E'));
    assert!(
        text(&seen).contains("at most 150 rows are delivered in one session (rule quota)"),
        "{}",
        text(&seen)
    );
    assert_eq!(code(&raw.query("rollback").unwrap()), "", "a transaction can still be ended");
    let seen = raw.query("select 1").unwrap();
    assert_eq!(code(&seen), "RF003");
    assert!(
        text(&seen).contains("and 150 were (rule quota). That is plenty. It begins anew with a new session"),
        "{}",
        text(&seen)
    );
    assert_eq!(code(&pipeline(&mut raw, &["select 1"])), "RF003");
    let mut other = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(rows(&other.query("select id from people").unwrap()), 100, "another session has its own");
    let told =
        lab.gateway.cli(&["policy", "explain", "--target", "shop", "--as", AGENT, "select 1"]).unwrap();
    assert!(told.contains("limited: session.rows=150 quota"), "{told}");
    let told = lab.gateway.cli(&["policy", "replay", "--since", "1d"]).unwrap();
    assert!(told.contains("0 decided otherwise"), "{told}");
    assert!(told.contains("2 of them were refused because a limit was used up"), "{told}");
}

#[test]
fn a_day_is_one_for_all_sessions_of_an_identity_and_outlasts_a_restart() {
    let (mut lab, _folder) = limited("day = { rows = 250, affected = 3 }");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(rows(&raw.query("select id from people").unwrap()), 100);
    assert_eq!(code(&raw.query("update people set note = 'y' where id < 3").unwrap()), "");
    let mut other = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(rows(&pipeline(&mut other, &["select id from people"])), 100);
    drop((raw, other));
    // Killed, so that nothing but the log can tell.
    lab.gateway.kill().unwrap();
    lab.gateway.serve().unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    // Until the day is counted, nothing that it limits runs.
    until("the day is counted", || Ok(code(&raw.query("begin").unwrap()).is_empty())).unwrap();
    raw.query("rollback").unwrap();
    let seen = raw.query("update people set note = 'z' where id < 3").unwrap();
    assert_eq!(code(&seen), "RF003");
    assert!(
        text(&seen)
            .contains("rolled this back: it would have affected 2 rows; at most 3 are allowed on one day"),
        "{}",
        text(&seen)
    );
    assert_eq!(lab.far.sql("shop", "select count(*) from people where note = 'z'").unwrap().trim(), "0");
    let seen = pipeline(&mut raw, &["update people set note = 'z' where id < 3"]);
    assert_eq!((code(&seen).as_str(), state(&seen)), ("RF003", 'I'));
    raw.query("begin").unwrap();
    let seen = pipeline(&mut raw, &["update people set note = 'z' where id < 3", "commit"]);
    assert_eq!(code(&seen), "RF003");
    raw.query("rollback").unwrap();
    assert_eq!(lab.far.sql("shop", "select count(*) from people where note = 'z'").unwrap().trim(), "0");
    assert_eq!(code(&raw.query("update people set note = 'fits' where id = 3").unwrap()), "", "one is left");
    let seen = raw.query("update people set note = 'z' where id = 4").unwrap();
    assert!(
        text(&seen).contains("at most 3 rows are changed on one day (UTC), and 3 were (rule quota)"),
        "{}",
        text(&seen)
    );
    let seen = raw.query("select id from people").unwrap();
    assert_eq!((rows(&seen), &*code(&seen)), (50, "RF003"));
    let mut other = Raw::login(&lab.through(), &[]).unwrap();
    let seen = other.query("select 1").unwrap();
    assert_eq!(code(&seen), "RF003");
    assert!(text(&seen).contains("It resets at 00:00 UTC, in "), "{}", text(&seen));
    assert_eq!(rows(&seen), 0);
}

#[test]
fn sessions_of_an_identity_are_counted_at_the_door() {
    let (mut lab, _folder) = limited("sessions = 2");
    let mut first = Raw::login(&lab.through(), &[]).unwrap();
    let _second = Raw::login(&lab.through(), &[]).unwrap();
    let why = match Raw::login(&lab.through(), &[]) {
        Ok(_) => panic!("a third of two sessions"),
        Err(why) => format!("{why:#}"),
    };
    assert!(
        why.contains("CRF003") && why.contains("at most 2 of one identity") && why.contains("rule quota"),
        "{why}"
    );
    let secret = lab.gateway.token("somebody-else", &["shop"]).unwrap();
    let place = lab.gateway.place("somebody-else", &secret, "shop");
    assert!(Raw::login(&place, &[]).is_ok(), "another identity has its own");
    first.send(b'X', &[]).unwrap();
    first.until_closed().unwrap();
    until("there is room again", || Ok(Raw::login(&lab.through(), &[]).is_ok())).unwrap();
    lab.gateway.stop().unwrap();
    let record = lab.gateway.record().unwrap();
    assert!(record.of_kind("session.refused").any(|e| e.leaf("why") == "limit"), "it is an entry");
}

#[test]
fn who_asks_too_fast_is_told_to_slow_down() {
    let (lab, _folder) = limited("commands_per_second = 5");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    // One after the other they may take longer than a second; at once they cannot.
    let many = ["select 1"; 40];
    let seen = pipeline(&mut raw, &many);
    assert_eq!(code(&seen), "RF003");
    assert!(text(&seen).contains("Slow down: wait a second"), "{}", text(&seen));
    assert!((1..=8).contains(&rows(&seen)), "{} were taken", rows(&seen));
    until("there is room again", || Ok(code(&raw.query("select 1").unwrap()).is_empty())).unwrap();
    // A refused statement fails its transaction, which can be ended all the same.
    until("there is room for a transaction", || Ok(state(&raw.query("begin").unwrap()) == 'T')).unwrap();
    raw.query("update people set note = 'fast' where id = 1").unwrap();
    let refused = (0..40).map(|_| raw.query("select 1").unwrap()).find(|seen| state(seen) == 'E').unwrap();
    assert_eq!(code(&refused), "RF003");
    assert_eq!(code(&raw.query("commit").unwrap()), "");
    assert_eq!(lab.far.sql("shop", "select count(*) from people where note = 'fast'").unwrap().trim(), "0");
}

#[test]
fn labelled_cells_are_counted_masked_or_not() {
    let mask = "[[mask]]\nname = \"mails\"\nbecause = \"b\"\nkinds = [\"agent\"]\nlabels = [\"email\"]\nstyle = \"redact\"\n";
    for rules in [ALL.to_owned(), format!("{ALL}{mask}")] {
        let limit = "[[limit]]\nname = \"quota\"\ncells = 10\nsession = { cells = 35 }\n";
        let (mut lab, _folder) = lab(&format!("{rules}{limit}"), "");
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        assert_eq!(rows(&raw.query("select id, name from people").unwrap()), 100, "nothing labelled");
        for (sql, most) in [
            ("select id, email from people order by id", 10),
            ("select email, upper(email) from people order by id", 5),
            ("select address from mails order by number", 10),
        ] {
            let seen = raw.query(sql).unwrap();
            assert_eq!((rows(&seen), &*code(&seen)), (most, "RF003"), "{sql}");
            assert!(
                text(&seen).contains("at most 10 labelled cells are delivered (rule quota)"),
                "{}",
                text(&seen)
            );
        }
        let seen = pipeline(&mut raw, &["select * from people order by id"]);
        assert_eq!(rows(&seen), 5, "what is left of the session's");
        assert!(
            text(&seen).contains("at most 35 labelled cells are delivered in one session"),
            "{}",
            text(&seen)
        );
        drop(raw);
        lab.gateway.stop().unwrap();
        let record = lab.gateway.record().unwrap();
        let of = |sql| record.intents(sql).find_map(|i| record.outcome(i)).unwrap().leaf("cells").as_u64();
        assert_eq!(of("select id, name"), Some(0));
        assert_eq!(of("select id, email"), Some(10));
        assert_eq!(of("select * from people"), Some(5));
    }
}

#[test]
fn where_nothing_is_refused_what_passes_is_an_entry() {
    let limit = "rows = 50\ntime = \"300ms\"\nsessions = 1\naffected = 1\nsession = { rows = 150 }";
    let rules = format!("{ALL}[[limit]]\nname = \"quota\"\n{limit}\n");
    let (mut lab, _folder) = lab(&rules, "mode = \"observe\"\n");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let mut second = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(rows(&raw.query("select id from people").unwrap()), 100);
    assert_eq!(code(&raw.query("select pg_sleep(0.5)").unwrap()), "");
    assert_eq!(code(&raw.query("update people set note = 'o' where id < 4").unwrap()), "");
    assert_eq!(rows(&raw.query("select id from people").unwrap()), 100);
    assert_eq!(code(&raw.query("select 'after the sum'").unwrap()), "");
    second.query("select 1").unwrap();
    drop((raw, second));
    lab.gateway.stop().unwrap();
    let record = lab.gateway.record().unwrap();
    let noted = record.of_kind("session.noted").filter(|e| e.leaf("what") == "limit");
    let mut passed: Vec<String> =
        noted.map(|e| e.payload("detail")["of"].as_str().unwrap_or_default().to_owned()).collect();
    passed.sort();
    assert_eq!(passed, ["affected", "rows", "rows", "sessions", "time"]);
    let last = record.intents("select 'after the sum'").next().unwrap();
    assert_eq!((last.leaf("verdict").as_str(), last.leaf("rule").as_str()), (Some("deny"), Some("quota")));
}

/// What an agent does on an ordinary day.
fn a_day(place: &Place) {
    let mut raw = Raw::login(place, &[]).unwrap();
    for sql in [
        "select id, name from people order by id",
        "update people set note = 'seen' where id < 4",
        "begin",
        "insert into people values (1000, 'n', 'e', 'x')",
        "rollback",
        "set statement_timeout = '1min'",
        "select id from people where id in (select id from notes)",
    ] {
        assert_eq!(code(&raw.query(sql).unwrap()), "", "{sql}");
    }
}

#[test]
fn what_is_proposed_from_an_observed_record_allows_that_and_stops_what_is_larger() {
    let (mut lab, folder) = lab("", "mode = \"observe\"\n");
    a_day(&lab.through());
    let told = lab.gateway.cli(&["policy", "suggest", "--json"]).unwrap();
    let told: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let most = &told.last().unwrap()["most"];
    let day = &most["day"];
    assert_eq!((&day["rows"], &day["affected"]), (&200.into(), &4.into()), "{most}");
    assert_eq!(most["statement"]["shop"]["rows"], 100);
    let proposed = lab.gateway.cli(&["policy", "suggest"]).unwrap();
    std::fs::write(folder.path().join("rules.toml"), &proposed).unwrap();
    lab.gateway.stop().unwrap();
    lab.gateway.rewrite(|settings| settings.targets[0].more.clear()).unwrap();
    lab.gateway.serve().unwrap();
    a_day(&lab.through());
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(code(&raw.query("drop table people").unwrap()), "42501", "nobody did that");
    let seen = raw.query("update people set note = 'all' where id > 0").unwrap();
    assert_eq!(code(&seen), "RF003", "{proposed}");
    assert_eq!(lab.far.sql("shop", "select count(*) from people where note = 'all'").unwrap().trim(), "0");
    // Twice the day that was seen is 400, written as 500, and two such days are used up by now.
    let seen = raw.query("select p.id from people p, notes n").unwrap();
    assert_eq!((rows(&seen), &*code(&seen)), (100, "RF003"), "{proposed}");
    assert!(text(&seen).contains(&format!("rule {AGENT}-all-limit")), "{}", text(&seen));
}

#[test]
fn cells_that_detection_finds_and_those_of_a_copy_count_too() {
    let mask = "[[mask]]\nname = \"mails\"\nbecause = \"b\"\nkinds = [\"agent\"]\nlabels = [\"email\"]\nstyle = \"redact\"\ndetect = true\n";
    let limit = "[[limit]]\nname = \"quota\"\ncells = 10\n";
    let (lab, _folder) = lab(&format!("{ALL}{mask}{limit}"), "");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(rows(&raw.query("select id from notes").unwrap()), 100, "nothing is found");
    let seen = raw.query("select id, body from notes order by id").unwrap();
    assert_eq!((rows(&seen), &*code(&seen)), (10, "RF003"));
    let copied = |seen: &[Message]| seen.iter().filter(|m| m.tag == b'd').count();
    for (sql, pieces) in [
        ("copy (select id, email from people order by id) to stdout", 10),
        ("copy (select id, body from notes order by id) to stdout", 10),
        // The header is a piece of its own.
        ("copy (select id, email from people order by id) to stdout (format binary)", 10),
    ] {
        let seen = raw.query(sql).unwrap();
        assert_eq!((copied(&seen), &*code(&seen)), (pieces, "RF003"), "{sql}");
        assert!(text(&seen).contains("at most 10 labelled cells"), "{}", text(&seen));
    }
    assert_eq!(copied(&raw.query("copy (select id, name from people) to stdout").unwrap()), 100);
}

#[test]
fn a_labelled_cell_that_is_found_too_counts_once() {
    // Found as what it is, under a label that no mask is for.
    let rules = ALL.replace("label = \"email\"", "label = \"contact\"");
    let mask = "[[mask]]\nname = \"mails\"\nbecause = \"b\"\nkinds = [\"agent\"]\nlabels = [\"email\"]\nstyle = \"redact\"\ndetect = true\n";
    let limit = "[[limit]]\nname = \"quota\"\ncells = 10\n";
    let (mut lab, _folder) = lab(&format!("{rules}{mask}{limit}"), "");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let seen = raw.query("select id, email from people order by id").unwrap();
    assert_eq!((rows(&seen), &*code(&seen)), (10, "RF003"));
    assert!(!seen.iter().any(|m| m.line().contains("@example.com")), "it was found");
    let seen = raw.query("select p.email, n.body from people p join notes n using (id) order by id").unwrap();
    assert_eq!((rows(&seen), &*code(&seen)), (5, "RF003"), "what has no label counts where it is found");
    let seen = raw.query("copy (select id, email from people order by id) to stdout").unwrap();
    assert_eq!((seen.iter().filter(|m| m.tag == b'd').count(), &*code(&seen)), (10, "RF003"));
    drop(raw);
    lab.gateway.stop().unwrap();
}

#[test]
fn sessions_side_by_side_get_no_more_than_one_after_the_other() {
    let (lab, _folder) = limited("day = { rows = 1000 }");
    let got: usize = std::thread::scope(|scope| {
        let ask = |place: Place| {
            let mut raw = Raw::login(&place, &[]).unwrap();
            let seen = raw.query("select p.id from people p, generate_series(1, 50)").unwrap();
            assert_eq!(code(&seen), "RF003");
            rows(&seen)
        };
        let places = (0..4).map(|_| lab.through());
        let threads: Vec<_> = places.map(|place| scope.spawn(move || ask(place))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(got, 1000);
}

#[test]
fn what_a_client_that_left_had_got_counts_after_a_restart() {
    let (mut lab, _folder) = limited("day = { bytes = \"64MiB\" }");
    let large = "select repeat('x', 1000000) from generate_series(1, 50)";
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    raw.send(b'Q', format!("{large}\0").as_bytes()).unwrap();
    let mut got = 0;
    while got < 40 {
        got += usize::from(raw.read().unwrap().unwrap().tag == b'D');
    }
    drop(raw);
    lab.gateway.stop().unwrap();
    lab.gateway.serve().unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    until("the day is counted", || Ok(code(&raw.query("begin").unwrap()).is_empty())).unwrap();
    let seen = raw.query(large).unwrap();
    assert_eq!(code(&seen), "RF003");
    assert!((20..=33).contains(&rows(&seen)), "{} rows beside 32 MiB", rows(&seen));
}
