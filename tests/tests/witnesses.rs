//! Real witnesses of a real gateway: cosigned within seconds, one of three killed and back, a log that was rolled back or forked
//! refused by all of them, and what the cosignatures are worth to verifiers that share no code with ours.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firsthand_auditlog::tlog::checkpoint::Checkpoint;
use firsthand_auditlog::tlog::key::{KeyKind, SigningKey, VerifyingKey};
use firsthand_auditlog::tlog::note::Note;
use firsthand_auditlog::witness::request::Request;
use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::process::{self, until};
use firsthand_tests::raw::Raw;
use firsthand_tests::witness::Witness;
use serde_json::Value;
use signed_note::{StandardVerifier, VerifierList};

const ORIGIN: &str = "example.com/gw1";

fn three() -> Vec<Witness> {
    ["ada", "bob", "cyd"].into_iter().map(|name| Witness::new(name).unwrap()).collect()
}

/// What a gateway is told of them.
fn told(witnesses: &[Witness]) -> String {
    let tables: String = witnesses
        .iter()
        .map(|w| {
            format!("[[witness]]\nname = {:?}\nurl = {:?}\nvkey = {:?}\n", w.name, w.url(), w.vkey().unwrap())
        })
        .collect();
    format!("[log]\norigin = {ORIGIN:?}\nquorum = 2\n{tables}")
}

fn keys(gateway: &Gateway) -> Vec<String> {
    let shown: Value = serde_json::from_str(&gateway.cli(&["keys", "show", "--json"]).unwrap()).unwrap();
    let keys = shown["keys"].as_array().unwrap().iter();
    keys.map(|key| key["vkey"].as_str().unwrap().to_owned()).collect()
}

/// Lets them watch the gateway's log, and starts them.
fn begin(witnesses: &mut [Witness], gateway: &Gateway) {
    let keys = keys(gateway);
    for witness in witnesses {
        witness.watch(&[(ORIGIN, &keys)]).unwrap();
        witness.start().unwrap();
    }
}

fn ready(gateway: &Gateway) -> (u16, Value) {
    let (status, body) = gateway.http("/readyz").unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

/// Waits until all that is durable is cosigned by enough; what readiness says then.
fn until_cosigned(gateway: &Gateway) -> Value {
    let mut last = Value::Null;
    until("the log is cosigned", || {
        last = ready(gateway).1;
        Ok(last["witnesses"]["cosigned"]["size"] == last["log"]["entries"])
    })
    .unwrap_or_else(|e| panic!("{e:#}\n{last:#}"));
    last
}

fn metric(gateway: &Gateway, name: &str) -> f64 {
    let (_, page) = gateway.http("/metrics").unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("firsthand_{name} ")));
    line.unwrap_or_else(|| panic!("{name}:\n{page}")).parse().unwrap()
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    process::run(Command::new("cp").arg("-a").arg(from).arg(to)).unwrap();
}

/// What this verifier of somebody else makes of one cosignature: an Ed25519 signature over the time and the checkpoint.
fn cosigned_by_its_word(note: &str, vkey: &str) -> bool {
    let own = VerifyingKey::parse(vkey).unwrap();
    let (text, lines) = note.split_once("\n\n").unwrap();
    let start = format!("\u{2014} {} ", own.name());
    let line = lines.lines().find_map(|line| line.strip_prefix(&start));
    let Some(bytes) = line.map(|line| STANDARD.decode(line).unwrap()) else { return false };
    assert_eq!(bytes.len(), 4 + 8 + 64);
    let time = u64::from_be_bytes(bytes[4..12].try_into().unwrap());
    // What a witness signs has the form of a note's text, so a verifier of notes can check it under the same key.
    let as_note = VerifyingKey::new(own.name(), KeyKind::Note, *own.public()).unwrap();
    let mut signature = as_note.id().to_be_bytes().to_vec();
    signature.extend_from_slice(&bytes[12..]);
    let whole = format!(
        "cosignature/v1\ntime {time}\n{text}\n\n\u{2014} {} {}\n",
        own.name(),
        STANDARD.encode(signature)
    );
    let note = signed_note::Note::from_bytes(whole.as_bytes()).unwrap();
    let keys = VerifierList::new(vec![Box::new(StandardVerifier::new(&as_note.to_vkey()).unwrap()) as _]);
    note.verify(&keys).is_ok()
}

#[test]
fn a_log_is_cosigned_in_seconds_and_one_of_three_may_be_away() {
    let mut witnesses = three();
    let lab = Lab::start(Plan { top: told(&witnesses), ..Plan::default() }).unwrap();
    let gateway = &lab.gateway;
    begin(&mut witnesses, gateway);
    until_cosigned(gateway);
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for n in 0..50 {
        raw.query(&format!("select {n}")).unwrap();
    }
    let now = until_cosigned(gateway);
    assert_eq!((ready(gateway).0, now["witnesses"]["state"].as_str()), (200, Some("ok")), "{now:#}");
    let mean = metric(gateway, "log_cosigning_seconds_sum") / metric(gateway, "log_cosigning_seconds_count");
    println!("published to cosigned by 2 of 3: {mean:.3} s in the mean");
    assert!(mean < 60.0, "{mean} s");

    witnesses[0].kill().unwrap();
    raw.query("select 'one is away'").unwrap();
    drop(raw);
    let now = until_cosigned(gateway);
    assert_eq!((ready(gateway).0, now["witnesses"]["state"].as_str()), (200, Some("ok")), "{now:#}");
    witnesses[0].start().unwrap();
    until("the one that was away has cosigned again", || {
        let (_, now) = ready(gateway);
        let one = &now["witnesses"]["each"][0];
        Ok(one["error"].is_null() && one["cosigned"]["size"] == now["log"]["entries"])
    })
    .unwrap();
    let (_, page) = gateway.http("/metrics").unwrap();
    let documented = std::fs::read_to_string(process::workspace().join("docs/metrics.md")).unwrap();
    let own = ["firsthand_log_witness_", "firsthand_log_cosigning_"];
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let families: Vec<&str> =
        families.filter(|name| own.iter().any(|start| name.starts_with(start))).collect();
    let told = |name: &&&str| {
        documented.contains(&format!("| `{name}` |")) || documented.contains(&format!("| `{name}_total` |"))
    };
    assert_eq!((families.len(), families.iter().filter(told).count()), (8, 8), "{families:?}");
    for wanted in ["firsthand_log_witness_quorum 1", "firsthand_log_witness_refuses{witness=\"ada\"} 0"] {
        assert!(page.contains(wanted), "{wanted}\n{page}");
    }

    // What is shown has a quorum, and the witnesses show the same.
    let (status, note) = gateway.http("/tlog/1/checkpoint").unwrap();
    assert_eq!(status, 200);
    let good = witnesses.iter().filter(|w| cosigned_by_its_word(&note, &w.vkey().unwrap())).count();
    assert!(good >= 2, "{note}");
    let checked = gateway.cli(&["check"]).unwrap();
    assert!(checked.contains("2 of 3 must have cosigned"), "{checked}");
}

#[test]
fn a_log_that_was_rolled_back_or_forked_is_refused_and_the_gateway_is_not_ready() {
    let mut witnesses = three();
    let settings =
        Settings { targets: vec![Target::nowhere("shop")], more: told(&witnesses), ..Settings::default() };
    let mut gateway = Gateway::start(settings).unwrap();
    begin(&mut witnesses, &gateway);
    until_cosigned(&gateway);
    gateway.stop().unwrap();
    let (data, kept) = (gateway.data_dir(), gateway.config().with_file_name("kept"));
    copy(&data, &kept);
    gateway.serve().unwrap();
    for n in 0..12 {
        gateway.token(&format!("agent-{n}"), &["shop"]).unwrap();
    }
    let size = until_cosigned(&gateway)["witnesses"]["cosigned"]["size"].as_u64().unwrap();
    gateway.stop().unwrap();
    // All of it, with the signer's own memory: nothing on this machine can tell.
    copy(&kept, &data);
    gateway.serve().unwrap();
    until("it is told of as rolled back", || Ok(ready(&gateway).0 == 503)).unwrap();
    let (_, now) = ready(&gateway);
    let reason = now["reason"].as_str().unwrap();
    assert!(reason.contains("the log is not cosigned") && reason.contains("it was rolled back"), "{now:#}");
    assert_eq!(now["witnesses"]["state"], "refused");
    // It grows again, into another history.
    let mut n = 0;
    while ready(&gateway).1["log"]["entries"].as_u64().unwrap() <= size {
        n += 1;
        gateway.token(&format!("other-{n}"), &["shop"]).unwrap();
    }
    until("it is told of as forked", || {
        let (status, now) = ready(&gateway);
        Ok(status == 503 && now["reason"].as_str().unwrap_or_default().contains("another history"))
    })
    .unwrap();
    let (_, page) = gateway.http("/metrics").unwrap();
    let refuses =
        |w: &Witness| page.contains(&format!("firsthand_log_witness_refuses{{witness={:?}}} 1", w.name));
    assert!(witnesses.iter().filter(|w| refuses(w)).count() >= 2, "{page}");
    gateway.stop().unwrap();
}

#[test]
fn each_answer_of_the_specification() {
    let key = |name: &str, seed: u8| SigningKey::from_seed(name, KeyKind::Note, &[seed; 32]).unwrap();
    let tree = format!("{ORIGIN}/e1");
    let note = |origin: &str, size: u64, root: u8, key: &SigningKey| -> Note {
        let root = if size == 0 { firsthand_auditlog::tree::Frontier::new().root() } else { [root; 32] };
        Checkpoint::new(origin, size, root).unwrap().sign(&[key]).unwrap()
    };
    let ask = |old: u64, note: Note| Request::new(old, vec![], note).unwrap().to_text().into_bytes();
    let mut witness = Witness::new("ada").unwrap();
    let vkey = witness.vkey().unwrap();
    witness.watch(&[(ORIGIN, &[key(&tree, 1).verifying().to_vkey()])]).unwrap();
    witness.start().unwrap();
    assert_eq!(witness.vkey().unwrap(), vkey, "also while it runs");
    let add = |witness: &Witness, body: &[u8]| witness.ask("POST", "/add-checkpoint", body).unwrap();
    let own = key(&tree, 1);
    let (status, _, lines) = add(&witness, &ask(0, note(&tree, 5, 7, &own)));
    assert_eq!(status, 200, "{lines}");
    let first = note(&tree, 5, 7, &own).to_text();
    assert!(cosigned_by_its_word(&format!("{first}{lines}"), &vkey), "{lines}");

    assert_eq!(add(&witness, b"").0, 400);
    assert_eq!(add(&witness, b"old 0\n\nnothing\n").0, 400);
    assert_eq!(add(&witness, &ask(9, note(&tree, 5, 7, &own))).0, 400);
    assert_eq!(add(&witness, &vec![b'x'; 200_000]).0, 413);
    assert_eq!(
        add(&witness, &ask(5, note(&tree, 6, 7, &key(&tree, 2)))).0,
        403,
        "a key that is not the log's"
    );
    let other = format!("{ORIGIN}2/e1");
    assert_eq!(add(&witness, &ask(0, note(&other, 5, 7, &key(&other, 1)))).0, 404);
    assert_eq!(add(&witness, &ask(5, note(&tree, 6, 7, &own))).0, 422, "a proof is missing");
    assert_eq!(witness.ask("GET", "/add-checkpoint", b"").unwrap().0, 405);

    // What it has cosigned outlives it, whatever ends it.
    witness.kill().unwrap();
    witness.start().unwrap();
    for body in [ask(0, note(&tree, 6, 8, &own)), ask(5, note(&tree, 5, 8, &own))] {
        let (status, head, size) = add(&witness, &body);
        assert_eq!((status, size.as_str()), (409, "5\n"));
        assert!(head.contains("content-type: text/x.tlog.size"), "{head}");
    }
    assert_eq!(add(&witness, &ask(5, note(&tree, 5, 7, &own))).0, 200, "the same once more");
    let epoch = format!("{ORIGIN}/e2");
    assert_eq!(
        add(&witness, &ask(0, note(&epoch, 3, 1, &key(&epoch, 1)))).0,
        200,
        "another epoch, the same key"
    );
    // Two at a time would forget what the other has seen.
    let second = witness.command(&[]).unwrap().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("is in use by"), "{second:?}");
    assert!(witness.stop().unwrap());
}

#[test]
fn a_policy_with_a_quorum_holds_for_the_data_folder() {
    let mut witnesses = three();
    let settings =
        Settings { targets: vec![Target::nowhere("shop")], more: told(&witnesses), ..Settings::default() };
    let mut gateway = Gateway::start(settings).unwrap();
    begin(&mut witnesses, &gateway);
    gateway.token("agent", &["shop"]).unwrap();
    until_cosigned(&gateway);
    let policy = gateway.data_dir().join("signer/policy");
    let text = std::fs::read_to_string(&policy).unwrap();
    assert!(text.contains("group witnesses 2 ada bob cyd\nquorum witnesses\n"), "{text}");
    let verify = |policy: &Path| -> (Option<i32>, Value) {
        let mut command = Command::new(firsthand_tests::gateway::binary().unwrap());
        let out =
            command.arg("verify").arg(gateway.data_dir()).arg("--json").arg("--policy").arg(policy).output();
        let out = out.unwrap();
        (out.status.code(), serde_json::from_slice(&out.stdout).unwrap())
    };
    let (code, report) = verify(&policy);
    assert_eq!(code, Some(0), "{report:#}");
    // One who trusts other witnesses is not content.
    let strangers = gateway.config().with_file_name("strangers");
    let mut other = text.clone();
    for (witness, n) in witnesses.iter().zip(1..) {
        let stranger = VerifyingKey::new("w", KeyKind::Cosignature, [n; 32]).unwrap().to_vkey();
        other = other.replace(&witness.vkey().unwrap(), &stranger);
    }
    std::fs::write(&strangers, other).unwrap();
    let (code, report) = verify(&strangers);
    assert_eq!(code, Some(3), "{report:#}");
    assert!(report["findings"].as_array().unwrap().iter().any(|f| f["code"] == "quorum"), "{report:#}");
    gateway.stop().unwrap();
}

#[test]
fn a_cosignature_of_another_key_than_the_one_configured_does_not_count() {
    let mut witness = Witness::new("ada").unwrap();
    let other = Witness::new("bob").unwrap();
    let more = format!(
        "[log]\norigin = {ORIGIN:?}\n[[witness]]\nname = \"ada\"\nurl = {:?}\nvkey = {:?}\n",
        witness.url(),
        other.vkey().unwrap()
    );
    let settings = Settings { targets: vec![Target::nowhere("shop")], more, ..Settings::default() };
    let gateway = Gateway::start(settings).unwrap();
    begin(std::slice::from_mut(&mut witness), &gateway);
    until("it is told of", || {
        let one = ready(&gateway).1["witnesses"]["each"][0].clone();
        Ok(one["error"].as_str().unwrap_or_default().contains("no good cosignature"))
    })
    .unwrap();
    assert!(ready(&gateway).1["witnesses"]["cosigned"].is_null());
    let (_, note) = gateway.http("/tlog/1/checkpoint").unwrap();
    assert!(!cosigned_by_its_word(&note, &witness.vkey().unwrap()), "{note}");
    assert!(!gateway.data_dir().join("tlog/1/cosigned").exists());
}
