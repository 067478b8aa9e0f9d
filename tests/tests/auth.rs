//! Who is let in: one answer for every wrong way in, limits after failures, and each failure in the record.

use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::lab::AGENT;
use firsthand_tests::place::Place;
use firsthand_tests::postgres::{APP_PASSWORD, Postgres};
use firsthand_tests::process::until;
use firsthand_tests::raw::{CANCEL_REQUEST, Raw};
use firsthand_tests::record::Record;
use std::io::{Read, Write};
use std::path::Path;

struct Rig {
    /// Held for its life only: the target of every login here.
    _server: Postgres,
    gateway: Gateway,
    secret: String,
}

fn rig(more: &str) -> Rig {
    let server = Postgres::start(None).unwrap();
    let target = Target::of(&server.place("app", "shop"));
    let other = Target::of(&server.place("app", "other"));
    let gateway = Gateway::start(Settings {
        targets: vec![target, other],
        more: more.to_owned(),
        ..Settings::default()
    })
    .unwrap();
    let secret = gateway.token(AGENT, &["shop"]).unwrap();
    Rig { _server: server, gateway, secret }
}

impl Rig {
    fn place(&self, user: &str, secret: &str, target: &str) -> Place {
        self.gateway.place(user, secret, target)
    }
}

fn refusal(place: &Place) -> String {
    match Raw::login(place, &[]) {
        Ok(_) => panic!("let in: {place:?}"),
        Err(why) => format!("{why:#}").replace(&place.user, "USER").replace(&place.database, "TARGET"),
    }
}

/// The reasons of all refusals, in order.
fn reasons(record: &Record) -> Vec<String> {
    record
        .of_kind("identity.refused")
        .map(|e| e.leaf("why").as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn every_wrong_way_in_gets_the_same_answer() {
    let rig = rig("");
    Raw::login(&rig.place(AGENT, &rig.secret, "shop"), &[]).unwrap();
    let wrong = format!("fh_{}", "A".repeat(43));
    let answers = [
        refusal(&rig.place(AGENT, &wrong, "shop")),
        refusal(&rig.place("nobody", &wrong, "shop")),
        refusal(&rig.place(AGENT, &rig.secret, "no-such-target")),
        refusal(&rig.place(AGENT, &rig.secret, "other")),
    ];
    assert!(answers.iter().all(|a| a.contains("C28P01") || a.contains("C28000")), "{answers:#?}");
    assert!(answers.iter().all(|a| a == &answers[0]), "the answer tells which part was wrong: {answers:#?}");
    let record = rig.gateway.record().unwrap();
    let why = reasons(&record);
    assert_eq!(why.len(), 4, "{why:?}");
    assert_eq!(&why[..2], ["proof", "unknown"]);
    let entry = record.of_kind("identity.refused").last().unwrap();
    assert_eq!(entry.payload("login").as_str(), Some(AGENT));
    assert_eq!(entry.payload("target").as_str(), Some("other"));
    assert!(entry.payload("address").as_str().is_some_and(|a| a.starts_with("127.0.0.1:")));
    assert_eq!(record.of_kind("session.opened").count(), 1, "only the right one was let in");
}

#[test]
fn failures_are_limited_and_then_forgiven() {
    let rig = rig("");
    let wrong = rig.place(AGENT, "fh_wrong", "shop");
    let right = rig.place(AGENT, &rig.secret, "shop");
    let told = refusal(&wrong);
    // While others wait, the right token waits too, and is told nothing else. (On a slow machine the first wait may be over
    // before the right one comes: then it is let in, all is forgotten, and it is tried again.)
    let mut tries = 1;
    until("the right token has to wait", || {
        for _ in 0..8 {
            assert_eq!(refusal(&wrong), told);
            tries += 1;
        }
        assert!(tries < 400, "hundreds of wrong proofs in a row, and never a limit");
        let Err(why) = Raw::login(&right, &[]) else { return Ok(false) };
        let why = format!("{why:#}").replace(AGENT, "USER").replace("shop", "TARGET");
        anyhow::ensure!(why == told, "{why}");
        Ok(true)
    })
    .unwrap();
    let kept = reasons(&rig.gateway.record().unwrap());
    assert!(kept.iter().any(|why| why == "rate"), "{kept:?}");
    assert!(kept.len() <= tries, "one entry for each refusal, at most");
    // Nothing fails in between: that would make the wait longer. Then it is let in, and all is forgotten.
    until("the right token is let in again", || Ok(Raw::login(&right, &[]).is_ok())).unwrap();
    let before = reasons(&rig.gateway.record().unwrap()).len();
    refusal(&wrong);
    let after = reasons(&rig.gateway.record().unwrap());
    assert_eq!(&after[before..], ["proof"], "a failure after that is looked at like the first one");
}

#[test]
fn an_address_that_tries_many_logins_is_limited_and_told_in_a_sum() {
    let mut rig = rig("");
    let right = rig.place(AGENT, &rig.secret, "shop");
    Raw::login(&right, &[]).unwrap();
    for number in 0..150 {
        refusal(&rig.place(&format!("guess-{number}"), "fh_wrong", "shop"));
    }
    Raw::login(&right, &[]).expect("who was let in before does not wait for others behind the same address");
    rig.gateway.stop().unwrap();
    let record = rig.gateway.record().unwrap();
    let told: Vec<_> = record.of_kind("identity.refused").collect();
    let count: u64 = told.iter().map(|e| e.leaf("count").as_u64().unwrap_or(1)).sum();
    assert!(count == 150 && told.len() <= 40, "{count} in {} entries", told.len());
    let sum = told.iter().find(|e| e.leaf("count").as_u64().is_some()).unwrap();
    assert_eq!(sum.leaf("why"), "rate");
    assert_eq!(sum.payload("address"), "127.0.0.1");
    let detail = sum.payload("detail").to_string();
    assert!(detail.contains("unknown (") && detail.contains("rate ("), "{detail}");
}

#[test]
fn a_revoked_token_opens_nothing() {
    let rig = rig("");
    let place = rig.place(AGENT, &rig.secret, "shop");
    let mut open = Raw::login(&place, &[]).unwrap();
    rig.gateway.cli(&["token", "revoke", AGENT]).unwrap();
    refusal(&place);
    let seen = open.query("select 'after the end'").unwrap();
    let code = seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C'));
    assert_eq!(code.as_deref(), Some("42501"), "a running session is refused as well: {seen:?}");
    assert!(seen.iter().all(|m| m.tag != b'D'), "{seen:?}");
    let record = rig.gateway.record().unwrap();
    let intent = record.intents("after the end").next().unwrap();
    assert_eq!(intent.leaf("verdict").as_str(), Some("deny"), "{}", intent.0);
    assert_eq!(intent.leaf("rule").as_str(), Some("identity"), "{}", intent.0);
    assert_eq!(record.of_kind("identity.token_revoked").count(), 1);
    assert!(!reasons(&record).is_empty());
}

#[test]
fn an_unreachable_target_is_told_apart_only_to_those_who_may_use_it() {
    let mut rig = rig("");
    rig._server.kill().unwrap();
    let told = refusal(&rig.place(AGENT, &rig.secret, "shop"));
    assert!(!told.contains("C28P01"), "{told}");
    let hidden = refusal(&rig.place(AGENT, "fh_wrong", "shop"));
    assert!(hidden.contains("C28P01") || hidden.contains("C28000"), "{hidden}");
    let record = rig.gateway.record().unwrap();
    let refused = record.of_kind("session.refused").next().unwrap();
    assert_eq!(refused.leaf("why").as_str(), Some("unreachable"), "{}", refused.0);
}

/// Every file under `dir` that holds `needle`.
fn holding(dir: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(holding(&path, needle));
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            if bytes.windows(needle.len()).any(|window| window == needle.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[test]
fn no_secret_is_ever_written_down() {
    let mut rig = rig("");
    let mut raw = Raw::login(&rig.place(AGENT, &rig.secret, "shop"), &[]).unwrap();
    raw.query("create role secretive password 'hunter2-hunter2'").unwrap();
    raw.query("alter role app password 'hunter2-hunter2'").unwrap();
    refusal(&rig.place(AGENT, "fh_almost-right", "shop"));
    // What the API is shown, right and wrong, is a secret as well; and so is what it hands out.
    let ops = rig.gateway.role_token("ops", &["--kind", "human", "--role", "admin"]).unwrap();
    for token in [ops.as_str(), "ops:fh_nearly-right", "fh_without-a-name"] {
        for path in ["/v1/sessions", "/v1/nothing", "/metrics"] {
            rig.gateway.ask("GET", path, &format!("Authorization: Bearer {token}\r\n"), "").unwrap();
        }
    }
    let made = rig.gateway.remote(&ops, &["token", "create", "made", "--target", "shop"]).unwrap();
    let made = firsthand_tests::process::run(&mut { made }).unwrap();
    let made = made.lines().find_map(|line| line.strip_prefix("secret  ")).unwrap().to_owned();
    let ops = ops.trim_start_matches("ops:").to_owned();
    let printed = rig.gateway.cli(&["log", "cat", "--json"]).unwrap();
    let folder = rig.gateway.data_dir();
    let said = rig.gateway.daemon().unwrap().said();
    let metrics = rig.gateway.http("/metrics").unwrap().1;
    let api = [ops.as_str(), made.as_str(), "fh_nearly-right", "fh_without-a-name"];
    for secret in
        [rig.secret.as_str(), APP_PASSWORD, "hunter2-hunter2", "fh_almost-right"].into_iter().chain(api)
    {
        assert_eq!(holding(&folder, secret), Vec::<String>::new(), "{secret}");
        for place in [&printed, &said, &metrics] {
            assert!(!place.contains(secret), "{secret} was printed");
        }
    }
    let record = Record::parse(&printed).unwrap();
    let masked = record.intents("create role secretive").next().unwrap();
    assert!(
        masked.payload("text_digest").as_str().is_some(),
        "the digest stays that of the original: {}",
        masked.0
    );
}

#[test]
fn a_cancel_with_a_guessed_key_cancels_nothing() {
    let rig = rig("");
    let place = rig.place(AGENT, &rig.secret, "shop");
    let mut raw = Raw::login(&place, &[]).unwrap();
    raw.send(b'Q', b"do $$ begin raise notice 'running'; perform pg_sleep(0.5); end $$\0").unwrap();
    raw.until(b'N').unwrap();
    let mut guess = raw.key.clone();
    let last = guess.last_mut().unwrap();
    *last = last.wrapping_add(1);
    let mut stranger = Raw::connect(&place).unwrap();
    let mut bytes = u32::try_from(8 + guess.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(CANCEL_REQUEST.to_be_bytes());
    bytes.extend(&guess);
    stranger.stream.write_all(&bytes).unwrap();
    let mut rest = Vec::new();
    stranger.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "a cancel request gets no answer: {rest:?}");
    let seen = raw.until(b'Z').unwrap();
    assert!(seen.iter().all(|m| m.tag != b'E'), "{seen:?}");
}
