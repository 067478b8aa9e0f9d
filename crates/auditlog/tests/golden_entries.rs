//! The format of the record, byte for byte: one golden file per kind, and every key documented.
//!
//! `FIRSTHAND_BLESS=1 cargo test` writes the files anew. A change of an existing file is a change of the format: it
//! needs a new version (`v`), not a blessing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use firsthand_auditlog::entry::kinds::{self, Field, Kind};
use firsthand_auditlog::entry::{self, Commitment, Encoder, Run, Sealing, Stamp};
use firsthand_auditlog::search::query::KEYS;
use firsthand_model::event::Event;
use firsthand_model::limits::{LEAF_BYTES_MAX, PAYLOAD_BYTES_MAX};
use firsthand_model::time::{MonoMicros, UnixMicros};

#[expect(dead_code, reason = "each test uses its part")]
mod samples;

fn blessing() -> bool {
    std::env::var_os("FIRSTHAND_BLESS").is_some()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn encode(encoder: &mut Encoder, event: &Event, position: u64) -> (Vec<u8>, Vec<u8>) {
    let (mut payload, mut leaf) = (Vec::new(), Vec::new());
    Encoder::payload(event, &mut payload);
    let commitment = Commitment { digest: [0x5a; 32], bytes: payload.len() as u64 };
    let stamp = Stamp { position, time: UnixMicros(1_795_456_800_123_456), mono: MonoMicros(8_123_441) };
    let odd = payload.len() % 2 == 1;
    let sealing = Sealing {
        commitment: &commitment,
        key: odd.then_some("a-77aa0c1d2e3f4051"),
        month: odd.then_some("2026-10"),
        run: entry::facts(event).is_none().then_some(Run([0x0f; 8])),
    };
    encoder.leaf(event, stamp, (!payload.is_empty()).then_some(&sealing), &mut leaf);
    (leaf, payload)
}

#[test]
fn every_kind_is_written_as_its_golden_file() {
    let mut encoder = Encoder::default();
    let mut seen = BTreeSet::new();
    for (i, (name, event)) in samples::all().iter().enumerate() {
        let (leaf, payload) = encode(&mut encoder, event, 1_000_000 + i as u64);
        seen.insert(name.split('-').next().unwrap().to_owned());
        // The long text of one sample would make a golden file of a megabyte: its middle says nothing.
        let payload = if payload.len() > 10_000 { payload[..200].to_vec() } else { payload };
        let now = [leaf, payload, vec![]].join(&b'\n');
        let file = folder("tests/golden").join(format!("{name}.jsonl"));
        if blessing() {
            std::fs::write(&file, &now).unwrap();
        }
        let golden = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        assert_eq!(String::from_utf8_lossy(&now), String::from_utf8_lossy(&golden), "{name}");
    }
    let mut leaf = Vec::new();
    let stamp = Stamp { position: 9, time: UnixMicros(1_795_456_800_123_456), mono: MonoMicros(8_123_441) };
    encoder.too_large(&samples::all()[0].1, stamp, &mut leaf);
    encoder.closed_by_crash(samples::SESSION, stamp, &mut leaf);
    assert_eq!(
        String::from_utf8(leaf).unwrap(),
        concat!(
            r#"{"k":"log.oversize","mono":8123441,"n":9,"sid":"019ab27c-6e11-7abc-8def-0123456789ab","#,
            r#""t":"2026-11-23T18:00:00.123456Z","v":1}"#,
            r#"{"k":"session.closed","mono":8123441,"n":9,"sid":"019ab27c-6e11-7abc-8def-0123456789ab","#,
            r#""t":"2026-11-23T18:00:00.123456Z","v":1,"why":"crash"}"#
        )
    );
    seen.insert("log.oversize".to_owned());
    let known: BTreeSet<String> = kinds::KINDS.iter().map(|k| k.name.to_owned()).collect();
    assert_eq!(seen, known, "a sample of every kind");
}

#[test]
fn entries_stay_below_their_limits_and_are_json() {
    let mut encoder = Encoder::default();
    for (name, event) in samples::all() {
        let (leaf, payload) = encode(&mut encoder, &event, 1);
        assert!(leaf.len() <= LEAF_BYTES_MAX, "{name}: leaf of {}", leaf.len());
        assert!(payload.len() <= PAYLOAD_BYTES_MAX, "{name}: payload of {}", payload.len());
        serde_json::from_slice::<serde_json::Value>(&leaf).unwrap_or_else(|e| panic!("{name}: {e}"));
        if !payload.is_empty() {
            serde_json::from_slice::<serde_json::Value>(&payload).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}

#[test]
fn every_key_written_is_documented_and_every_documented_key_is_written() {
    let mut encoder = Encoder::default();
    let mut written: BTreeSet<String> = BTreeSet::new();
    for (_, event) in samples::all() {
        let (leaf, payload) = encode(&mut encoder, &event, 1);
        let keys = |bytes: &[u8]| -> Vec<String> {
            let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            value.as_object().unwrap().keys().cloned().collect()
        };
        let kind =
            kinds::kind(serde_json::from_slice::<serde_json::Value>(&leaf).unwrap()["k"].as_str().unwrap());
        let kind = kind.unwrap();
        let stands = |fields: &[&[Field]], key: &str| fields.iter().any(|f| f.iter().any(|f| f.key == key));
        let of_session = if kind.of_session { kinds::SESSION } else { &[] };
        for key in keys(&leaf) {
            assert!(stands(&[kinds::COMMON, of_session, kind.leaf], &key), "{}: leaf key {key}", kind.name);
            written.insert(format!("{} leaf {key}", kind.name));
        }
        if !payload.is_empty() {
            for key in keys(&payload) {
                assert!(stands(&[kind.payload], &key), "{}: payload key {key}", kind.name);
                written.insert(format!("{} payload {key}", kind.name));
            }
        }
    }
    for kind in kinds::KINDS {
        for (part, fields) in [("leaf", kind.leaf), ("payload", kind.payload)] {
            for field in fields {
                let rare = kind.name == "log.oversize"
                    || matches!(field.key, "cut" | "facts" | "facts_cut" | "coverage");
                let name = format!("{} {part} {}", kind.name, field.key);
                assert!(rare || written.contains(&name), "no sample shows {name}");
            }
        }
    }
}

fn table(fields: &[Field], out: &mut String) {
    if fields.is_empty() {
        return;
    }
    out.push_str("\n| key | form | meaning |\n|---|---|---|\n");
    for field in fields {
        out.push_str(&format!("| `{}` | {} | {} |\n", field.key, field.form, field.means));
    }
}

fn kind_text(kind: &Kind, out: &mut String) {
    out.push_str(&format!("\n### `{}`\n\n{}\n", kind.name, kind.means));
    if kind.of_session {
        out.push_str("Carries the fields of a session.\n");
    }
    if !kind.leaf.is_empty() {
        out.push_str("\nLeaf:\n");
        table(kind.leaf, out);
    }
    if !kind.payload.is_empty() {
        out.push_str("\nPayload:\n");
        table(kind.payload, out);
    }
}

#[test]
fn the_documentation_has_these_tables() {
    let mut text = String::from("\n## Fields of every leaf\n");
    table(kinds::COMMON, &mut text);
    text.push_str("\n## Fields of a session's entries\n");
    table(kinds::SESSION, &mut text);
    text.push_str("\n## Kinds\n");
    for kind in kinds::KINDS {
        kind_text(kind, &mut text);
    }
    text.push_str("\n## Terms of searches\n\n| key | takes |\n|---|---|\n");
    for (key, _, means) in KEYS {
        text.push_str(&format!("| `{key}:` | {means} |\n"));
    }
    let reserved: Vec<String> = kinds::RESERVED.iter().map(|name| format!("`{name}`")).collect();
    text.push_str(&format!("\n## Reserved kinds\n\nLater versions will write {}.\n\n", reserved.join(", ")));
    let file = folder("../../docs/record.md");
    let document = std::fs::read_to_string(&file).unwrap();
    let (start, end) = ("<!-- tables: made from entry/kinds.rs -->\n", "<!-- end of tables -->");
    let (head, rest) = document.split_once(start).unwrap();
    let (tables, tail) = rest.split_once(end).unwrap();
    if blessing() {
        std::fs::write(&file, [head, start, &text, end, tail].concat()).unwrap();
        return;
    }
    assert_eq!(tables, text, "docs/record.md is not what the code says: FIRSTHAND_BLESS=1 writes it");
}
