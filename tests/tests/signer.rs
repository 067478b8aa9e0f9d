//! The signer of a real gateway: what it publishes is read over HTTP by a reader that shares no code with it, continues over
//! kills and restarts, and stops where the log was altered.

use std::path::{Path, PathBuf};
use std::process::Command;

use firsthand_auditlog::frame;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::segment::{self, Segment};
use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::process::{self, until};
use firsthand_tests::raw::Raw;
use serde_json::Value;
use signed_note::{Note, StandardVerifier, VerifierList};

fn gateway(more: &str) -> Gateway {
    let targets = vec![Target::nowhere("shop")];
    Gateway::start(Settings { targets, more: more.to_owned(), ..Settings::default() }).unwrap()
}

fn ready(gateway: &Gateway) -> (u16, Value) {
    let (status, body) = gateway.http("/readyz").unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

/// Waits until everything that is durable is signed.
fn until_signed(gateway: &Gateway) {
    until("the log is signed", || {
        let (_, now) = ready(gateway);
        Ok(now["signer"]["checkpoint"]["size"] == now["log"]["entries"])
    })
    .unwrap();
}

fn base(gateway: &Gateway) -> String {
    format!("http://127.0.0.1:{}/tlog/1", gateway.http_port())
}

/// What a reader in Python makes of the log; with the size of an older checkpoint also of that beginning.
fn read(gateway: &Gateway, before: Option<u64>) -> Value {
    let mut python = Command::new("python3");
    python.arg("-I").arg(process::workspace().join("tests/clients/tlog_reader.py")).arg(base(gateway));
    python.args(before.map(|size| size.to_string()));
    let found: Value = serde_json::from_str(&process::run(&mut python).unwrap()).unwrap();
    assert_eq!(found["root"], found["said"]);
    assert_eq!(found["leaves"].as_array().unwrap().len() as u64, found["size"].as_u64().unwrap());
    found
}

/// The keys that signed a checkpoint, as the crate signed_note has it.
fn signed_by(note: &Value, vkeys: &[String]) -> usize {
    let note = Note::from_bytes(note.as_str().unwrap().as_bytes()).unwrap();
    let keys = vkeys.iter().map(|key| Box::new(StandardVerifier::new(key).unwrap()) as _).collect();
    let (good, strange) = note.verify(&VerifierList::new(keys)).unwrap();
    assert!(strange.is_empty());
    good.len()
}

fn shown(gateway: &Gateway) -> Value {
    serde_json::from_str(&gateway.cli(&["keys", "show", "--json"]).unwrap()).unwrap()
}

fn vkeys(shown: &Value) -> Vec<String> {
    let keys = shown["keys"].as_array().unwrap().iter();
    keys.map(|key| key["vkey"].as_str().unwrap().to_owned()).collect()
}

/// The mean, in seconds, of a histogram of `/metrics`, and how many there are.
fn mean(gateway: &Gateway, name: &str) -> (f64, f64) {
    let (_, page) = gateway.http("/metrics").unwrap();
    let of = |suffix: &str| -> f64 {
        let start = format!("firsthand_{name}_seconds_{suffix} ");
        page.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
    };
    (of("sum") / of("count"), of("count"))
}

#[test]
fn what_is_served_is_the_log_leaf_by_leaf() {
    let lab = Lab::start(Plan { top: "[log]\norigin = \"example.com/gw1\"".to_owned(), ..Plan::default() })
        .unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for n in 0..300 {
        raw.query(&format!("select {n}")).unwrap();
    }
    drop(raw);
    let gateway = &lab.gateway;
    until_signed(gateway);
    let found = read(gateway, None);
    assert_eq!(found["origin"], "example.com/gw1/e1");
    assert!(found["size"].as_u64().unwrap() > 600);
    // `log cat` writes the leaf, without its closing brace where the payload follows.
    let printed = gateway.cli(&["log", "cat", "--json"]).unwrap();
    for (line, leaf) in printed.lines().zip(found["leaves"].as_array().unwrap()) {
        let leaf = leaf.as_str().unwrap();
        let rest = line.strip_prefix(&leaf[..leaf.len() - 1]).unwrap();
        assert!(rest == "}" || rest.starts_with(",\"payload\":"), "{leaf}\n{line}");
    }
    let record = gateway.record().unwrap();
    let started = record.of_kind("log.started").next().unwrap();
    let keys = vkeys(&shown(gateway));
    assert_eq!(started.leaf("facts")["signs"].as_array().unwrap().len(), 1);
    assert_eq!(started.leaf("facts")["signs"][0], keys[0].as_str());
    assert_eq!(signed_by(&found["note"], &keys), 1);
    let (mean, count) = mean(gateway, "log_signing");
    assert!(count > 0.0 && mean < 1.0, "{count} checkpoints, {mean} s in the mean");
}

#[test]
fn what_is_no_tile_of_the_signed_tree_is_not_found() {
    let gateway = gateway("");
    until_signed(&gateway);
    let size = ready(&gateway).1["signer"]["checkpoint"]["size"].as_u64().unwrap();
    let there = |path: &str| gateway.http(&format!("/tlog/{path}")).unwrap().0;
    assert_eq!((there("1/checkpoint"), there("1/tile/entries/000.p/1")), (200, 200));
    for path in [
        "2/checkpoint",
        "01/checkpoint",
        "x/checkpoint",
        "1/vkey",
        "1/checkpoints/1",
        "1/tile/0/000",
        "1/tile/0/001.p/1",
        "1/tile/1/000.p/1",
        "1/tile/0/0",
        "1/tile/data/000",
        "1/tile/entries/000.p/01",
        "1/tile/0/../../checkpoint",
        "1/tile/0/%2e%2e/%2e%2e/checkpoint",
        "1/tile/%2e%2e%2f%2e%2e%2f%2e%2e%2fsigner%2flast",
        "1/tile/0/000.p/1.tmp",
        &format!("1/tile/entries/000.p/{}", size + 50),
    ] {
        assert_eq!(there(path), 404, "{path}");
    }
    assert_eq!(gateway.ask("POST", "/tlog/1/checkpoint", "", "x").unwrap().0, 405);
}

#[test]
fn kill_nine_and_restarts_are_continued() {
    let mut gateway = gateway("");
    let mut before: Option<Value> = None;
    for round in 0..4 {
        for n in 0..3 {
            gateway.token(&format!("agent-{round}-{n}"), &["shop"]).unwrap();
        }
        if round % 2 == 0 {
            until_signed(&gateway);
        }
        let found = read(&gateway, before.as_ref().and_then(|found| found["size"].as_u64()));
        if let Some(before) = &before {
            assert_eq!(found["before"], before["root"], "the older tree is the beginning of the newer");
            assert!(found["size"].as_u64() >= before["size"].as_u64());
        }
        before = Some(found);
        if round % 2 == 0 {
            gateway.kill().unwrap();
        } else {
            gateway.stop().unwrap();
            // The end is signed, too; and without a gateway the command says the same.
            let size = shown(&gateway)["checkpoint"]["size"].as_u64().unwrap();
            let stopped = gateway.record().unwrap();
            let last = stopped.of_kind("log.stopped").filter(|e| e.leaf("facts")["by"] == "serve").last();
            assert_eq!(size, last.unwrap().position() + 1);
        }
        gateway.serve().unwrap();
        until_signed(&gateway);
    }
    let found = read(&gateway, before.as_ref().and_then(|found| found["size"].as_u64()));
    assert_eq!(found["before"], before.unwrap()["root"]);
}

/// Writes the newest segment anew, every frame as good as before, and one more behind them: as whoever owns the disk can.
fn forge(data: &Path, change: impl Fn(u64, &[u8]) -> Vec<u8>, keep: u64, more: u64) {
    let (io, log) = (RealIo::new(), data.join("log"));
    let name = *segment::list(&io, &log).unwrap().last().unwrap();
    let segment = Segment::read(&io, &log, name).unwrap();
    let (mut out, mut seed) = (segment.header.encode(), segment.header.seed);
    let mut next = 0;
    for (_, frame) in segment.frames().take_while(|(_, frame)| frame.seq < keep) {
        seed = frame::encode(
            &mut out,
            frame.seq,
            frame.group,
            seed,
            &change(frame.seq, frame.leaf),
            frame.sealed,
        );
        next = frame.seq + 1;
    }
    for n in next..next + more {
        let leaf = format!(
            r#"{{"facts":{{"sessions":0,"size":{n}}},"k":"log.heartbeat","mono":1,"n":{n},"t":"2026-11-29T09:00:00.000000Z","v":1}}"#
        );
        seed = frame::encode(&mut out, n, 0, seed, leaf.as_bytes(), b"");
    }
    out.resize(segment.bytes.len(), 0);
    std::fs::write(name.path(&log), out).unwrap();
    // What a clean close noted would tell.
    let _ = std::fs::remove_file(log.join("closed"));
}

fn published(data: &Path) -> String {
    std::fs::read_to_string(data.join("tlog/1/checkpoint")).unwrap()
}

#[test]
fn an_altered_log_is_signed_no_more_and_the_gateway_is_not_ready() {
    let mut gateway = gateway("");
    gateway.token("agent", &["shop"]).unwrap();
    until_signed(&gateway);
    gateway.kill().unwrap();
    let data = gateway.data_dir();
    let before = published(&data);
    let honest: Vec<(PathBuf, Vec<u8>)> = segments(&data);
    let later = |at: u64, leaf: &[u8]| {
        let text = String::from_utf8(leaf.to_vec()).unwrap();
        if at == 1 { text.replace("\"v\":1", "\"v\":2").into_bytes() } else { leaf.to_vec() }
    };
    forge(&data, later, u64::MAX, 1);
    gateway.serve().unwrap();
    until("the gateway is not ready", || Ok(ready(&gateway).0 == 503)).unwrap();
    let (_, now) = ready(&gateway);
    assert_eq!(now["signer"]["state"], "failing");
    assert!(now["reason"].as_str().unwrap().contains("the log was altered"), "{now}");
    gateway.token("one-more", &["shop"]).unwrap();
    let (_, metrics) = gateway.http("/metrics").unwrap();
    assert!(metrics.contains("firsthand_log_signer_healthy 0"), "{metrics}");
    gateway.stop().unwrap();
    assert_eq!(published(&data), before);
    // Put right again, it goes on from where it was.
    for (path, bytes) in honest {
        std::fs::write(path, bytes).unwrap();
    }
    let _ = std::fs::remove_file(data.join("log/closed"));
    gateway.serve().unwrap();
    until_signed(&gateway);
    assert_eq!(ready(&gateway).0, 200);
    read(&gateway, None);
}

fn segments(data: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let log = data.join("log");
    let names = segment::list(&RealIo::new(), &log).unwrap();
    names.iter().map(|name| (name.path(&log), std::fs::read(name.path(&log)).unwrap())).collect()
}

#[test]
fn a_log_that_is_shorter_than_what_was_signed_does_not_open() {
    let mut gateway = gateway("");
    gateway.token("agent", &["shop"]).unwrap();
    until_signed(&gateway);
    gateway.kill().unwrap();
    let data = gateway.data_dir();
    let size = known(&data);
    forge(&data, |_, leaf| leaf.to_vec(), size - 1, 0);
    let refused = format!("{:#}", gateway.serve().unwrap_err());
    assert!(refused.contains(&format!("had {size} entries; {} are here", size - 1)), "{refused}");
}

fn known(data: &Path) -> u64 {
    published(data).lines().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_rotation_is_an_entry_and_both_keys_sign() {
    let mut gateway = gateway("[log]\norigin = \"example.com/gw1\"");
    until_signed(&gateway);
    let old = vkeys(&shown(&gateway));
    let rotated: Value = serde_json::from_str(&gateway.cli(&["keys", "rotate", "--json"]).unwrap()).unwrap();
    assert_eq!(rotated["replaced"], old[0].as_str());
    let new = rotated["added"].as_str().unwrap().to_owned();
    until("both keys sign", || {
        let note = shown(&gateway)["checkpoint"]["note"].clone();
        Ok(note.as_str().unwrap().matches("\u{2014} ").count() == 2)
    })
    .unwrap();
    let both = [new.clone(), old[0].clone()];
    assert_eq!(vkeys(&shown(&gateway)), both);
    assert_eq!(signed_by(&shown(&gateway)["checkpoint"]["note"], &both), 2);
    let record = gateway.record().unwrap();
    let entry = record.of_kind("log.key").next().unwrap();
    assert_eq!(entry.leaf("facts")["added"], new.as_str());
    // A gateway that is stopped is asked the same way.
    gateway.stop().unwrap();
    gateway.cli(&["keys", "rotate"]).unwrap();
    assert_eq!(vkeys(&shown(&gateway)).len(), 3);
    gateway.serve().unwrap();
    until_signed(&gateway);
    assert_eq!(signed_by(&shown(&gateway)["checkpoint"]["note"], &vkeys(&shown(&gateway))), 3);
    // Under another name it would be another log.
    gateway.rewrite(|settings| settings.more = "[log]\norigin = \"example.com/gw2\"".to_owned()).unwrap();
    gateway.stop().unwrap();
    gateway.serve().unwrap();
    until("the gateway is not ready", || Ok(ready(&gateway).0 == 503)).unwrap();
    assert!(ready(&gateway).1["reason"].as_str().unwrap().contains("example.com/gw2"));
}
