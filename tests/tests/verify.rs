//! `firsthand verify` on the data folder of a real gateway: clean after kill -9 and a restart, while it runs and without keys;
//! tampered copies do not hold, and the finding names entry, file and byte.

use std::path::{Path, PathBuf};
use std::process::Output;

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::Raw;
use serde_json::Value;

/// Exit code, what it says as JSON, and stderr.
fn verify(lab: &Lab, data: &Path, more: &[&str]) -> (i32, Value, String) {
    let mut command = std::process::Command::new(firsthand_tests::gateway::binary().unwrap());
    let Output { status, stdout, stderr } = command
        .arg("verify")
        .arg(data)
        .arg("--json")
        .args(more)
        .current_dir(lab.gateway.data_dir())
        .output()
        .unwrap();
    let told = serde_json::from_slice(&stdout).unwrap_or(Value::Null);
    (status.code().unwrap_or(-1), told, String::from_utf8_lossy(&stderr).into_owned())
}

fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copied(&from, &to);
        } else if kind.is_file() {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

fn segment(data: &Path) -> PathBuf {
    let list = std::fs::read_dir(data.join("log")).unwrap().map(|e| e.unwrap().path());
    list.filter(|p| p.extension().is_some_and(|e| e == "seg")).max().unwrap()
}

fn failed<'a>(told: &'a Value, code: &str) -> &'a Value {
    let all = told["findings"].as_array().unwrap();
    all.iter()
        .find(|f| f["code"] == code && f["failed"] == true)
        .unwrap_or_else(|| panic!("{code}: {told:#}"))
}

fn has(told: &Value, code: &str) -> bool {
    told["findings"].as_array().unwrap().iter().any(|f| f["code"] == code)
}

/// Changes a copy of the data folder's newest segment, and verifies that.
fn tampered(lab: &Lab, change: impl FnOnce(&mut Vec<u8>)) -> (i32, Value, String) {
    let dir = tempfile::tempdir().unwrap();
    copied(&lab.gateway.data_dir(), dir.path());
    let path = segment(dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    verify(lab, dir.path(), &[])
}

fn find(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|w| w == text.as_bytes()).unwrap()
}

/// Each change is found, with entry, file and byte.
fn tampered_copies(lab: &Lab) {
    // A word of the middle.
    let (mut at, mut position) = (0, 0);
    let (code, told, talk) = tampered(lab, |bytes| {
        at = find(bytes, "\"verdict\":\"allow\"");
        let n = bytes[..at].windows(5).rposition(|w| w == b",\"n\":").unwrap() + 5;
        let digits: Vec<u8> = bytes[n..].iter().copied().take_while(u8::is_ascii_digit).collect();
        position = String::from_utf8(digits).unwrap().parse::<u64>().unwrap();
        bytes[at + 11] = b'A';
    });
    assert_eq!(code, 3, "{told:#}");
    assert!(talk.contains("\"hint\":") && talk.contains("integrity"), "{talk}");
    let found = failed(&told, "entry-altered");
    assert_eq!((&found["epoch"], &found["position"]), (&1.into(), &position.into()), "{found}");
    let byte = found["byte"].as_u64().unwrap();
    assert!(byte < at as u64 && byte + 2000 > at as u64, "{found} {at}");
    assert!(found["file"].as_str().unwrap().ends_with(".seg"), "{found}");

    // Cut: the note of the last close knows better.
    let (code, told, _) = tampered(lab, |bytes| {
        let end = bytes.iter().rposition(|b| *b != 0).unwrap();
        let last = bytes[..end].windows(2).rposition(|w| w == b"{\"").unwrap();
        let last = bytes[..last - 1].windows(5).rposition(|w| w == b"{\"fac").unwrap_or(last);
        bytes[last - 20..].fill(0);
    });
    assert_eq!(code, 3, "{told:#}");
    failed(&told, "log-short");
    // Bytes that no entry accounts for.
    let (code, told, _) = tampered(lab, |bytes| {
        let end = bytes.len();
        bytes[end - 100] = 7;
    });
    assert_eq!(code, 3, "{told:#}");
    failed(&told, "unreadable");
}

#[test]
fn a_gateways_log_verifies_and_tampered_copies_do_not() {
    let mut lab = Lab::start(Plan::default()).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for n in 0..20 {
        raw.query(&format!("select {n}")).unwrap();
    }
    raw.query("select * from no_such_table").unwrap();
    let data = lab.gateway.data_dir();
    let (code, told, talk) = verify(&lab, &data, &[]);
    assert_eq!((code, talk.as_str()), (0, ""), "while it runs: {told:#}");
    assert!(has(&told, "open-sessions") && has(&told, "key-beside"), "{told:#}");

    lab.gateway.kill().unwrap();
    let (code, told, _) = verify(&lab, &data, &[]);
    assert_eq!(code, 0, "after kill -9: {told:#}");
    lab.gateway.serve().unwrap();
    Raw::login(&lab.through(), &[]).unwrap().query("select 'after'").unwrap();
    lab.gateway.stop().unwrap();
    let (code, told, talk) = verify(&lab, &data, &["--max-age", "1h"]);
    assert_eq!((code, talk.as_str()), (0, ""), "{told:#}");
    assert!(has(&told, "recovered"), "what recovery said is listed: {told:#}");
    assert!(!has(&told, "open-sessions") && !has(&told, "open-commands"), "{told:#}");
    for (aspect, verdict) in [("freshness", "ok"), ("disclosure", "ok"), ("semantics", "ok")] {
        assert_eq!(told["verdicts"][aspect], verdict, "{told:#}");
    }
    assert!(told["disclosure"]["opened"].as_u64() > Some(40), "{told:#}");
    let (code, told, talk) = verify(&lab, &data, &["--max-age", "1h", "--now", "2126-01-01"]);
    assert_eq!((code, &told["verdicts"]["freshness"]), (3, &"failed".into()), "{told:#}");
    assert!(talk.contains("\"hint\":"), "{talk}");

    let dir = tempfile::tempdir().unwrap();
    copied(&data.join("log"), &dir.path().join("log"));
    let (code, told, _) = verify(&lab, dir.path(), &[]);
    assert_eq!((code, &told["verdicts"]["disclosure"]), (0, &"findings".into()), "without keys: {told:#}");
    assert_eq!(told["disclosure"]["opened"], 0);

    tampered_copies(&lab);
    let (code, _, talk) = verify(&lab, Path::new("/nowhere"), &[]);
    assert_eq!(code, 1, "{talk}");
    assert!(talk.contains("\"hint\":"), "{talk}");
}
