//! What the target hears of a session: its id, as the name that stands in the target's own log, unless the client has named it.

use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::place::Place;
use firsthand_tests::postgres::Postgres;
use firsthand_tests::raw::{Message, Raw};
use serde_json::{Value, json};

/// A gateway with the target `shop`, and its agent's secret.
fn rig(more: &str) -> (Postgres, Gateway, String) {
    let server = Postgres::start(None).unwrap();
    let targets = vec![Target::of(&server.place("app", "shop")).more(more)];
    let gateway = Gateway::start(Settings { targets, ..Settings::default() }).unwrap();
    let secret = gateway.token("bot", &["shop"]).unwrap();
    (server, gateway, secret)
}

/// The first value of the last row.
fn value(raw: &mut Raw, sql: &str) -> String {
    let seen: Vec<Message> = raw.query(sql).unwrap();
    let row = seen.iter().rfind(|m| m.tag == b'D').unwrap_or_else(|| panic!("{sql}: {seen:?}"));
    String::from_utf8(row.body[6..].to_vec()).unwrap()
}

const MINE: &str = "select application_name from pg_stat_activity where pid = pg_backend_pid()";

#[test]
fn the_target_knows_the_session_by_the_id_of_the_record() {
    let (server, gateway, secret) = rig("");
    let mut raw = Raw::login(&gateway.place("bot", &secret, "shop"), &[]).unwrap();
    let name = value(&mut raw, MINE);
    let record = gateway.record().unwrap();
    let opened = record.of_kind("session.opened").last().unwrap();
    assert_eq!(name, format!("firsthand {}", opened.session()));
    assert!(name.len() < 63, "the server would cut it");
    // Seen from elsewhere at the target, too: as its log would have it.
    let others = server
        .sql("shop", "select count(*) from pg_stat_activity where application_name like 'firsthand 0%'");
    assert_eq!(others.unwrap().trim(), "1");
    // The client is told what is so.
    let greeted: Vec<String> = raw.greeting.iter().map(Message::line).collect();
    let told = format!("S application_name\\x00{name}\\x00");
    assert!(greeted.iter().any(|line| line.starts_with(&told)), "{greeted:?}");
    // It is what the session began with, so whatever resets comes back to it.
    for reset in ["reset application_name", "reset all", "discard all", "set application_name to default"] {
        raw.query("set application_name = 'nightly'").unwrap();
        assert_eq!(value(&mut raw, "show application_name"), "nightly");
        raw.query(reset).unwrap();
        assert_eq!(value(&mut raw, "show application_name"), name, "{reset}");
    }
    // The record says what the target was told; it is no claim of the client.
    let asked = record.of_kind("session.noted").find(|e| e.leaf("what") == "asked").unwrap();
    assert_eq!(asked.payload("detail")["application_name"], json!(name));
    assert_eq!((opened.payload("claims"), opened.payload("parameters")), (&Value::Null, &Value::Null));
}

#[test]
fn a_client_that_names_itself_keeps_its_name() {
    let (_server, gateway, secret) = rig("");
    let place = gateway.place("bot", &secret, "shop");
    for (parameter, named, name) in [
        ("application_name", "nightly job", "nightly job"),
        ("Application_Name", "nightly", "nightly"),
        ("application_name", "", ""),
        ("options", "-c application_name=mine", "mine"),
        ("options", "--application-name=mine", "mine"),
        ("options", "-c geqo=off -c Application_name=own\\ name", "own name"),
        ("options", "-Pc application_name=mine", "mine"),
    ] {
        let mut raw = Raw::login(&place, &[(parameter, named)]).unwrap();
        assert_eq!(value(&mut raw, MINE), name, "{parameter} {named}");
    }
    // Options that name nothing do not count.
    let mut raw = Raw::login(&place, &[("options", "-c geqo=off")]).unwrap();
    assert!(value(&mut raw, MINE).starts_with("firsthand 0"));
    let record = gateway.record().unwrap();
    let asked = record.of_kind("session.noted").filter(|e| e.leaf("what") == "asked");
    let named: Vec<bool> = asked.map(|e| e.payload("detail").get("application_name").is_some()).collect();
    assert_eq!(named, [false, false, false, false, false, false, false, true]);
}

/// A startup packet that has hardly any room left goes on as it is.
#[test]
fn who_says_as_much_as_the_target_takes_goes_without_a_name() {
    let (_server, gateway, secret) = rig("");
    let long = format!("-c a.b={}", "y".repeat(9_900));
    let mut raw = Raw::login(&gateway.place("bot", &secret, "shop"), &[("options", &long)]).unwrap();
    assert_eq!(value(&mut raw, MINE), "");
}

/// A token in the wrong field is not written down, nor said back.
#[test]
fn a_token_that_is_pasted_into_a_wrong_field_is_not_written_down() {
    let (_server, gateway, secret) = rig("");
    let place = gateway.place("bot", &secret, "shop");
    for (user, database) in [(secret.as_str(), "shop"), (&format!("bot:{secret}"), "shop"), ("bot", &secret)]
    {
        let wrong = Place { user: user.to_owned(), database: database.to_owned(), ..place.clone() };
        let told = Raw::login(&wrong, &[]).unwrap_err().to_string();
        assert!(!told.contains(&secret), "{told}");
    }
    // The target would be told, and with it all who share its role.
    let named = format!("-c application_name={secret}");
    let sized = format!("-c work_mem={secret}");
    for wrong in
        [("application_name", secret.as_str()), ("options", &named), ("options", &sized), (&secret, "x")]
    {
        let told = Raw::login(&place, &[wrong]).unwrap_err().to_string();
        assert!(!told.contains(&secret) && told.contains("where the password belongs"), "{told}");
    }
    let mut raw = Raw::login(&place, &[]).unwrap();
    for sql in ["select '{}' is null", "set application_name = {}", "select \"{}\"", "notify \"{}\"", "{}"] {
        raw.query(&sql.replace("{}", &secret)).unwrap();
    }
    // Nor on the command line, by who looks for what it did.
    let _ = gateway.cli(&["log", "search", &secret]);
    let contained =
        gateway.cli(&["contain", "identity", "bot", "--reason", &secret]).unwrap_err().to_string();
    assert!(contained.contains("a token stands where"), "{contained}");
    for args in [["--owner", &secret], ["--on-behalf-of", &secret]] {
        let create = ["token", "create", "other", "--kind", "agent", "--target", "shop"];
        let told = gateway.cli(&[&create[..], &args[..]].concat()).unwrap_err().to_string();
        assert!(told.contains("a token stands where"), "{told}");
    }
    let record = gateway.record().unwrap();
    assert_eq!(record.of_kind("identity.refused").count(), 3);
    let misplaced = record.of_kind("session.refused").filter(|e| e.leaf("why") == "misplaced-token");
    assert_eq!(misplaced.count(), 4);
    let read = record.of_kind("record.read").any(|e| e.0.to_string().contains("***"));
    assert!(read, "the search is recorded");
    let with: Vec<_> = record.0.iter().filter(|e| e.0.to_string().contains(&secret)).collect();
    assert!(with.is_empty(), "{with:?}");
}

#[test]
fn a_target_can_be_left_untold() {
    let (_server, gateway, secret) = rig("name_sessions = false");
    let mut raw = Raw::login(&gateway.place("bot", &secret, "shop"), &[]).unwrap();
    assert_eq!(value(&mut raw, MINE), "");
    let record = gateway.record().unwrap();
    let asked = record.of_kind("session.noted").find(|e| e.leaf("what") == "asked").unwrap();
    assert!(asked.payload("detail").get("application_name").is_none(), "{}", asked.0);
}
