//! `/metrics`: what `docs/metrics.md` says, no more and no less.

use std::collections::BTreeSet;

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::process::{until, workspace};
use firsthand_tests::raw::Raw;

/// Those of the first table always, those of the second where changed rows are read from the target's log.
#[test]
fn metrics_are_those_that_are_documented() {
    let text = std::fs::read_to_string(workspace().join("docs/metrics.md")).unwrap();
    let (always, followed) = text.split_once("changed_rows = \"wal\"").unwrap();
    // Those of witnesses are compared where there are some (`witnesses.rs`).
    let (always, _) = always.split_once("`[[witness]]`").unwrap();
    let wal = Plan { more: "changed_rows = \"wal\"\n".to_owned(), ..Plan::default() };
    let mut told = told(always);
    assert_eq!(shown(Plan::default()), told);
    told.extend(self::told(followed));
    let mut shown = shown(wal);
    // Told by the target's slot, and this server cannot make one.
    shown.insert("firsthand_changes_kept_bytes gauge".to_owned());
    assert_eq!(shown, told);
}

fn told(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| `firsthand_"))
        .filter_map(|line| line.split_once("` | "))
        .map(|(name, rest)| format!("firsthand_{name} {}", rest.split(' ').next().unwrap_or_default()))
        .collect()
}

fn shown(plan: Plan) -> BTreeSet<String> {
    let lab = Lab::start(plan).unwrap();
    Raw::login(&lab.through(), &[]).unwrap().query("select 1").unwrap();
    let mut page = String::new();
    // Two of them come with the first checkpoint, within a second.
    until("the first checkpoint", || {
        let (status, text) = lab.gateway.http("/metrics").unwrap();
        assert_eq!(status, 200);
        page = text;
        Ok(page.contains("firsthand_log_checkpoint_size"))
    })
    .unwrap();
    let family = |line: &str| {
        line.strip_prefix("# TYPE ").map(|l| l.split(' ').map(str::to_owned).collect::<Vec<_>>())
    };
    page.lines()
        .filter_map(family)
        .map(|words| match words[1].as_str() {
            "counter" => format!("{}_total counter", words[0]),
            "info" => format!("{}_info info", words[0]),
            kind => format!("{} {kind}", words[0]),
        })
        .collect()
}

#[test]
fn fdatasync_is_a_histogram() {
    let lab = Lab::start(Plan::default()).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    (0..20).for_each(|_| drop(raw.query("select 1").unwrap()));
    let (_, page) = lab.gateway.http("/metrics").unwrap();
    let value = |name: &str| -> Option<f64> {
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    };
    let bucket = |upper: &str| value(&format!("firsthand_log_sync_seconds_bucket{{le=\"{upper}\"}}"));
    let all = value("firsthand_log_sync_seconds_count").unwrap_or_else(|| panic!("{page}"));
    assert!(all >= 20.0 && bucket("+Inf") == Some(all), "{page}");
    let uppers = ["0.00005", "0.0001", "0.001", "0.01", "0.1", "1.0", "10.0"];
    let counts: Vec<f64> =
        uppers.iter().map(|u| bucket(u).unwrap_or_else(|| panic!("{u}: {page}"))).collect();
    assert!(counts.is_sorted() && counts[6] > 0.0, "{counts:?}");
    assert!(value("firsthand_log_sync_seconds_sum").is_some_and(|sum| sum > 0.0));
}
