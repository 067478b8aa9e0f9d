//! What is recorded of tokens and what is done: where the file cannot be written, and where a crash came between the two.

use std::net::TcpStream;
use std::process::{Command, Stdio};

use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::postgres::Postgres;
use firsthand_tests::raw::Raw;
use rustix::process::Signal;

/// Exit code, stdout and stderr.
fn outcome(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn kinds(gateway: &Gateway) -> Vec<String> {
    let record = gateway.record().unwrap();
    let about = record.0.iter().filter(|e| e.kind().starts_with("identity.token_"));
    about
        .map(|e| format!("{} {}", e.kind(), e.payload("detail")["login"].as_str().unwrap_or_default()))
        .collect()
}

#[test]
fn an_act_on_tokens_that_fails_is_recorded_as_failed_and_an_ended_token_stays_ended() {
    let server = Postgres::start(None).unwrap();
    let target = Target::of(&server.place("app", "shop"));
    let mut gateway = Gateway::start(Settings { targets: vec![target], ..Settings::default() }).unwrap();
    let secret = gateway.token("bot", &["shop"]).unwrap();
    let ops = gateway.role_token("ops", &["--kind", "human", "--role", "admin"]).unwrap();
    let place = gateway.place("bot", &secret, "shop");
    Raw::login(&place, &[]).unwrap();
    // A folder in the place of the new file: it cannot be written.
    let in_the_way = gateway.data_dir().join("tokens.json.tmp");
    std::fs::create_dir(&in_the_way).unwrap();
    for args in [&["token", "create", "never", "--target", "shop"][..], &["token", "revoke", "bot"]] {
        for command in [gateway.command(args).unwrap(), gateway.remote(&ops, args).unwrap()] {
            let (code, said, talk) = outcome(command);
            assert_eq!((code, said.as_str()), (Some(1), ""), "{args:?}: {talk}");
            assert!(
                talk.contains("token store") && talk.contains("\nhint: on the gateway's machine: "),
                "{talk}"
            );
        }
    }
    let body = r#"{"token":"bot"}"#;
    let headers = format!("Content-Type: application/json\r\nAuthorization: Bearer {ops}\r\n");
    assert_eq!(gateway.ask("POST", "/v1/tokens/revoke", &headers, body).unwrap().0, 503);
    assert!(!gateway.cli(&["token", "list", "--json"]).unwrap().contains("never"));
    Raw::login(&place, &[]).unwrap();
    let failed = |what: &str, name: &str| {
        [format!("identity.token_{what} {name}"), format!("identity.token_failed {name}")]
    };
    let mut told = vec!["identity.token_created bot".to_owned(), "identity.token_created ops".to_owned()];
    for (what, name) in [
        ("created", "never"),
        ("created", "never"),
        ("revoked", "bot"),
        ("revoked", "bot"),
        ("revoked", "bot"),
    ] {
        told.extend(failed(what, name));
    }
    assert_eq!(kinds(&gateway), told);
    // Nobody asks again. The record says that it ended, and so it does with the next start.
    std::fs::remove_dir(&in_the_way).unwrap();
    gateway.kill().unwrap();
    gateway.serve().unwrap();
    assert!(
        gateway.daemon().unwrap().said().contains("token bot: it was revoked, and the file did not say so")
    );
    assert!(Raw::login(&place, &[]).is_err());
    told.push("identity.token_differs bot".to_owned());
    assert_eq!(kinds(&gateway), told);
}

#[test]
fn a_token_file_from_before_a_revocation_brings_nobody_back() {
    let server = Postgres::start(None).unwrap();
    let target = Target::of(&server.place("app", "shop"));
    let mut gateway = Gateway::start(Settings { targets: vec![target], ..Settings::default() }).unwrap();
    let secret = gateway.token("bot", &["shop"]).unwrap();
    let place = gateway.place("bot", &secret, "shop");
    let file = gateway.data_dir().join("tokens.json");
    let before = std::fs::read(&file).unwrap();
    gateway.cli(&["token", "revoke", "bot"]).unwrap();
    // As a crash leaves it between the entry and the act; or somebody who brings the file back from a backup.
    gateway.kill().unwrap();
    std::fs::write(&file, &before).unwrap();
    gateway.serve().unwrap();
    assert!(Raw::login(&place, &[]).is_err());
    // The same while it runs.
    std::fs::write(&file, &before).unwrap();
    gateway.daemon().unwrap().signal(Signal::HUP);
    gateway.daemon().unwrap().wait_line(|line| line.contains("reloaded")).unwrap();
    assert!(Raw::login(&place, &[]).is_err());
    let differs = gateway.record().unwrap();
    let differs: Vec<_> = differs.of_kind("identity.token_differs").collect();
    assert_eq!(differs.len(), 2);
    for entry in differs {
        let facts = entry.leaf("facts");
        assert_eq!(
            (facts["found"].as_str(), facts["done"].as_bool()),
            (Some("revoked-in-record"), Some(true))
        );
    }
    // Where the file cannot be changed, nobody is let in by it.
    std::fs::write(&file, &before).unwrap();
    gateway.kill().unwrap();
    std::fs::create_dir(gateway.data_dir().join("tokens.json.tmp")).unwrap();
    let (code, _, talk) = outcome({
        let mut command = gateway.command(&["serve"]).unwrap();
        command.env("RUST_LOG", "off");
        command
    });
    assert_eq!(code, Some(1), "{talk}");
    assert!(talk.contains("the record says that token bot ended") && talk.contains("hint: "), "{talk}");
    assert!(TcpStream::connect(("127.0.0.1", gateway.port())).is_err());
}
