//! A log damaged in its middle: the gateway does not start on it, an operator gives up what stands behind the damage, and
//! the log goes on in a new epoch that says so.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::Raw;
use firsthand_tests::record::Record;

const DECLARE: [&str; 5] = ["log", "declare-gap", "--reason", "a disk broke", "--json"];

/// The segment in use, and the offset of the frame in which `text` of a leaf stands.
fn find(lab: &Lab, text: &str) -> (PathBuf, u64) {
    for entry in std::fs::read_dir(lab.gateway.data_dir().join("log")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(text.len()).position(|w| w == text.as_bytes()) {
            return (path, at as u64);
        }
    }
    panic!("{text} stands nowhere");
}

#[test]
fn a_damaged_log_goes_on_in_a_new_epoch_that_says_so() {
    let mut lab = Lab::start(Plan::default()).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for n in 0..20 {
        raw.query(&format!("select {n}")).unwrap();
    }
    lab.gateway.kill().unwrap();
    let before = lab.gateway.record().unwrap();
    let lost = before.intents("select 10").next().unwrap().position();
    // One byte of the middle.
    let (segment, at) = find(&lab, &format!("\"n\":{lost},"));
    OpenOptions::new().write(true).open(&segment).unwrap().write_at(b"N", at + 1).unwrap();

    let why = format!("{:#}", lab.gateway.serve().unwrap_err());
    assert!(why.contains("declare-gap"), "{why}");
    let why = format!("{:#}", lab.gateway.cli(&DECLARE).unwrap_err());
    assert!(why.contains("--i-have-a-copy") && why.contains("exit status: 2"), "{why}");
    assert!(lab.gateway.serve().is_err(), "nothing was given up so far");

    let told = lab.gateway.cli(&[&DECLARE[..], &["--i-have-a-copy"]].concat()).unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["epoch"], &told["position"]), (&2.into(), &lost.into()), "{told}");
    let why = format!("{:#}", lab.gateway.cli(&[&DECLARE[..], &["--i-have-a-copy"]].concat()).unwrap_err());
    assert!(why.contains("nothing of it is given up"), "a log that opens has no gap to declare: {why}");

    lab.gateway.serve().unwrap();
    Raw::login(&lab.through(), &[]).unwrap().query("select 'after'").unwrap();
    lab.gateway.stop().unwrap();
    // What stands before the damage is read as ever, and the new epoch after it.
    let printed = lab.gateway.command(&["log", "cat", "--json"]).unwrap().output().unwrap();
    let record = Record::parse(&String::from_utf8_lossy(&printed.stdout)).unwrap();
    assert_eq!(record.intents("select 9").count(), 1);
    assert_eq!(record.intents("select 'after'").count(), 1);
    assert_eq!(record.intents("select 10").count(), 0, "it is given up");
    let gap: Vec<_> = record.of_kind("log.gap").collect();
    assert_eq!(gap.len(), 1, "{gap:?}");
    assert_eq!(gap[0].position(), 0, "it is the first entry of its epoch");
    assert_eq!(gap[0].leaf("facts")["position"].as_u64(), Some(lost), "{}", gap[0].0);
    assert!(gap[0].0.to_string().contains("a disk broke"), "{}", gap[0].0);
    assert!(!gap[0].leaf("by").is_null(), "{}", gap[0].0);
    // The session that was open when it broke has its end in the new epoch.
    let crashed =
        record.of_kind("session.closed").filter(|e| e.leaf("why").as_str() == Some("crash")).count();
    assert_eq!(crashed, 1);
    assert_eq!(record.of_kind("log.recovered").count(), 1);
}
