//! What a target's settings change: observing, relaxed durability, further databases, unobserved connections.

use firsthand_tests::lab::{AGENT, Lab, Plan};
use firsthand_tests::place::Place;
use firsthand_tests::raw::{Message, Raw};

fn code(seen: &[Message]) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default()
}

/// The first value of the first row, which must be there.
fn value(seen: &[Message]) -> String {
    let row = seen.iter().find(|m| m.tag == b'D').unwrap_or_else(|| panic!("no row: {seen:?}"));
    String::from_utf8_lossy(&row.body[6..]).into_owned()
}

fn refusal(place: &Place, parameters: &[(&str, &str)]) -> String {
    match Raw::login(place, parameters) {
        Ok(_) => panic!("let in: {place:?}"),
        Err(why) => format!("{why:#}"),
    }
}

/// A lab whose target has these further lines, one session in it that writes and fails, and what each entry of that session
/// says under `key`.
fn said_by_every_entry(more: &str, key: &str) -> (Lab, Vec<(String, String)>) {
    let seed = "create table paid (n int); alter table paid owner to app";
    let plan = Plan { more: more.to_owned(), seed: seed.to_owned(), ..Plan::default() };
    let mut lab = Lab::start(plan).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(code(&raw.query("insert into paid values (1), (2)").unwrap()), "");
    assert_eq!(value(&raw.query("select count(*) from paid").unwrap()), "2");
    assert_eq!(code(&raw.query("select nix").unwrap()), "42703");
    raw.send(b'X', &[]).unwrap();
    raw.until_closed().unwrap();
    lab.gateway.stop().unwrap();
    let record = lab.gateway.record().unwrap();
    assert!(record.unbalanced().is_empty(), "{:?}", record.unbalanced());
    assert_eq!(record.of_kind("command.decided").count(), 3);
    assert_eq!(record.of_kind("command.completed").count(), 3);
    assert_eq!(record.of_kind("session.closed").count(), 1);
    let of_session = record.0.iter().filter(|e| !e.session().is_empty());
    let said = of_session
        .map(|e| (e.kind().to_owned(), e.leaf(key).as_str().unwrap_or_default().to_owned()))
        .collect();
    (lab, said)
}

#[test]
fn every_entry_of_an_observed_target_says_so() {
    let (_lab, said) = said_by_every_entry("mode = \"observe\"", "mode");
    assert!(said.len() >= 8, "{said:?}");
    assert!(said.iter().all(|(_, mode)| mode == "observe"), "{said:?}");
    let (_lab, said) = said_by_every_entry("", "mode");
    assert!(said.iter().all(|(_, mode)| mode.is_empty()), "enforcing is said by silence: {said:?}");
}

#[test]
fn every_entry_of_a_relaxed_target_says_so_and_none_is_missing() {
    let (_lab, said) = said_by_every_entry("record = { durability = \"relaxed\" }", "dur");
    assert!(said.len() >= 8, "{said:?}");
    assert!(said.iter().all(|(_, dur)| dur == "relaxed"), "{said:?}");
}

#[test]
fn further_databases_are_reached_by_name_and_only_those_that_are_listed() {
    let lab = Lab::start(Plan { more: "databases = [\"other\"]".to_owned(), ..Plan::default() }).unwrap();
    let named = |database: &str| Place { database: database.to_owned(), ..lab.through() };
    for (database, real) in [("shop", "shop"), ("shop/other", "other"), ("shop/shop", "shop")] {
        let mut raw = Raw::login(&named(database), &[]).unwrap();
        assert_eq!(value(&raw.query("select current_database()").unwrap()), real, "{database}");
    }
    // There it is, and it is not offered: told like a target that does not exist.
    let hidden = refusal(&named("shop/postgres"), &[]);
    assert_eq!(hidden, refusal(&named("no-such-target"), &[]));
    assert_eq!(hidden, refusal(&named("other"), &[]), "a database is no target");
    let record = lab.gateway.record().unwrap();
    let opened: Vec<_> = record
        .of_kind("session.opened")
        .map(|e| (e.leaf("who")["target"].as_str().unwrap(), e.leaf("who")["db"].as_str().unwrap()))
        .collect();
    assert_eq!(opened, [("shop", "shop"), ("shop", "other"), ("shop", "shop")]);
    let refused: Vec<_> = record.of_kind("identity.refused").map(|e| e.leaf("why").as_str()).collect();
    assert_eq!(refused, [Some("target"); 3]);
}

#[test]
fn replication_is_refused_unless_allowed() {
    let plan = Plan { role: "postgres".to_owned(), ..Plan::default() };
    let lab = Lab::start(plan.clone()).unwrap();
    let why = refusal(&lab.through(), &[("replication", "database")]);
    assert!(why.contains("C0A000") && why.contains("allow_unobserved"), "{why}");
    let record = lab.gateway.record().unwrap();
    assert_eq!(record.of_kind("session.opened").count(), 0);
    let refused: Vec<_> = record.of_kind("session.refused").map(|e| e.leaf("why").as_str()).collect();
    assert_eq!(refused, [Some("unobserved")]);

    // Where it is allowed, it works, and the record claims nothing about what it carried.
    let mut lab = Lab::start(Plan { more: "allow_unobserved = true".to_owned(), ..plan }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[("replication", "database")]).unwrap();
    let system = lab.far.sql("shop", "select system_identifier from pg_control_system()").unwrap();
    assert!(value(&raw.query("IDENTIFY_SYSTEM").unwrap()).starts_with(&system));
    raw.send(b'X', &[]).unwrap();
    raw.until_closed().unwrap();
    // An ordinary session there is observed as ever.
    Raw::login(&lab.through(), &[]).unwrap().query("select 'seen'").unwrap();
    lab.gateway.stop().unwrap();
    let record = lab.gateway.record().unwrap();
    let coverage: Vec<_> = record.of_kind("session.opened").map(|e| e.leaf("coverage").to_string()).collect();
    assert_eq!(coverage, ["[\"unobserved\"]", "[\"changed-rows:off\"]"]);
    assert_eq!(record.texts(), ["select 'seen'"]);
    assert_eq!(record.of_kind("session.closed").count(), 2);
}

#[test]
fn what_the_command_line_asks_of_a_target_stands_in_the_record() {
    let mut lab = Lab::start(Plan::default()).unwrap();
    let asked = |lab: &Lab| -> Vec<String> {
        let record = lab.gateway.record().unwrap();
        let of = record.of_kind("admin.target_asked");
        of.map(|e| e.leaf("facts")["command"].as_str().unwrap_or_default().to_owned()).collect()
    };
    // Through the gateway while it runs, by the command itself when none does.
    lab.gateway.cli(&["check"]).unwrap();
    assert_eq!(asked(&lab), ["check"]);
    lab.gateway.stop().unwrap();
    lab.gateway.cli(&["policy", "explain", "--target", "shop", "--as", "bot", "select 1"]).unwrap();
    assert_eq!(asked(&lab), ["check", "policy explain"]);
    // Without a connection there is nothing to tell.
    lab.gateway.cli(&["check", "--offline"]).unwrap();
    assert_eq!(asked(&lab).len(), 2);
}

/// What is refused and runs all the same gives no more than what is allowed: columns that have a label are masked as far as can be
/// told where they come from, and the rest is looked through.
#[test]
fn what_is_not_enforced_is_masked_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "[[label]]\nlabel = \"email\"\ncolumns = [\"people.mail\"]\n\
        [[rule]]\nname = \"reads\"\nbecause = \"b\"\nverdict = \"allow\"\neffects = [\"read\", \"transaction\"]\n\
        [[rule]]\nname = \"closed\"\nbecause = \"b\"\nverdict = \"deny\"\ntables = [\"closed\"]\neffects = [\"read\"]\n\
        [[mask]]\nname = \"mails\"\nbecause = \"b\"\nlabels = [\"*\"]\nstyle = \"redact\"\ndetect = true\n";
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let seed = "create table people (id int, mail text, note text);
        insert into people values (1, 'ada.canary@example.com', 'call ada.canary@example.com');
        create view closed as select * from people;
        create function code() returns int language plpgsql as $$ begin perform set_config('search_path', 'public', false); return 1; end $$;
        grant all on all tables in schema public to app";
    let lab = Lab::start(Plan {
        top: format!("[policy]\ndir = {:?}\n", folder.path().display().to_string()),
        more: "mode = \"observe\"".to_owned(),
        seed: seed.to_owned(),
        ..Plan::default()
    })
    .unwrap();
    let explained = |more: &[&str]| {
        let args = [&["policy", "explain", "--target", "shop", "--as", AGENT], more].concat();
        String::from_utf8(lab.gateway.command(&args).unwrap().output().unwrap().stdout).unwrap()
    };
    let told = explained(&["select mail, note from closed"]);
    assert!(told.starts_with("deny by closed: b (read public.closed) (not enforced)\n"), "{told}");
    assert!(told.contains("  detected: values without a label are looked through (mails)\n"), "{told}");
    let line: serde_json::Value =
        serde_json::from_str(&explained(&["--json", "select mail from people"])).unwrap();
    assert_eq!(
        (&line["enforced"], &line["detects"]),
        (&false.into(), &serde_json::json!(["mails"])),
        "{line}"
    );
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let mut clear = Vec::new();
    for sql in [
        "select mail, note from closed",
        "select code()",
        // From here on names may mean anything.
        "select mail from people",
        "select mail, note from closed",
        "select p.* from people p",
        "copy people (mail, note) to stdout",
        "do $$ declare it text; begin select mail into it from people; raise notice '%', it; end $$",
        "do $$ declare it text; begin select mail into it from people; raise exception '%', it; end $$",
    ] {
        let seen = raw.query(sql).unwrap();
        let enforced = code(&seen);
        assert!(["", "P0001"].contains(&&*enforced), "{sql}: {enforced}");
        if seen.iter().any(|m| String::from_utf8_lossy(&m.body).contains("canary")) {
            clear.push(sql);
        }
    }
    assert!(clear.is_empty(), "in the clear: {clear:#?}");
    let record = lab.gateway.record().unwrap();
    let refused = record.of_kind("command.decided").filter(|e| e.leaf("verdict") == "deny").count();
    assert!(refused >= 5, "{refused}: it shows nothing");
    assert!(!record.0.iter().any(|e| e.kind() == "command.rows" && e.0.to_string().contains("canary")));
}
