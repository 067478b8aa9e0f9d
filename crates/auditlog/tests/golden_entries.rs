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
use serde_json::Value;

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
        // A long text would make a golden file of a megabyte: its middle says nothing.
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
        serde_json::from_slice::<Value>(&leaf).unwrap_or_else(|e| panic!("{name}: {e}"));
        if !payload.is_empty() {
            serde_json::from_slice::<Value>(&payload).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}

#[expect(clippy::unwrap_used, reason = "a sample that is no JSON is a mistake here")]
fn value(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap()
}

#[test]
fn every_key_written_is_documented_and_every_documented_key_is_written() {
    let mut encoder = Encoder::default();
    let mut written: BTreeSet<String> = BTreeSet::new();
    for (name, event) in samples::all() {
        let (leaf, payload) = encode(&mut encoder, &event, 1);
        let (leaf, payload) = (value(&leaf), (!payload.is_empty()).then(|| value(&payload)));
        let kind = leaf["k"].as_str().unwrap().to_owned();
        let wrong = kinds::undocumented(&leaf, payload.as_ref(), &mut |path| {
            written.insert(format!("{kind} {path}"));
        });
        assert_eq!(wrong, Vec::<String>::new(), "{name}");
    }
    for kind in kinds::KINDS {
        for (part, fields) in [("leaf", kind.leaf), ("payload", kind.payload)] {
            for path in paths(part, ".", fields) {
                let name = format!("{} {path}", kind.name);
                assert!(rare(&name) || written.contains(&name), "no sample shows {name}");
            }
        }
    }
}

/// The path of every field, and of the fields of objects in it.
fn paths(at: &str, between: &str, fields: &[Field]) -> Vec<String> {
    let mut all = Vec::new();
    for field in fields {
        let path = format!("{at}{between}{}", field.key);
        let (between, parts) = field.form.parts();
        all.extend(paths(&path, between, parts));
        all.push(path);
    }
    all
}

/// Written by a few kinds of the samples, and the same way by the rest.
fn rare(name: &str) -> bool {
    let once = ["record.read payload.facts", "record.read payload.cut", "log.started leaf.facts_cut"];
    let long = [" payload.facts", " payload.cut", " leaf.facts_cut", " leaf.coverage"];
    let noted = name.starts_with("session.noted payload.detail.") || name == "session.noted payload.cut";
    name.starts_with("log.oversize ")
        || noted
        || (long.iter().any(|l| name.contains(l)) && !once.contains(&name))
}

/// The check itself: what is not documented is found.
#[test]
fn what_is_not_documented_is_found() {
    let leaf = |facts: &str| value(format!(r#"{{"facts":{facts},"k":"log.clock","n":0,"v":1}}"#).as_bytes());
    let said = |facts: &str| kinds::undocumented(&leaf(facts), None, &mut |_| {}).join("; ");
    let cases = [
        (r#"{"step_us":1}"#, ""),
        (r#"{"step_us":"9007199254740993"}"#, ""),
        (r#"{"step_us":"1"}"#, "log.clock: `leaf.facts.step_us` should be number, and is \"1\""),
        (r#"{"step_us":1.5}"#, "log.clock: `leaf.facts.step_us` should be number, and is 1.5"),
        (r#"{"step":1}"#, "log.clock: `leaf.facts.step` is not documented"),
        ("[]", "log.clock: `leaf.facts` should be object, and is []"),
    ];
    for (facts, expected) in cases {
        assert_eq!(said(facts), expected, "{facts}");
    }
    let unknown = kinds::undocumented(&value(br#"{"k":"log.nothing"}"#), None, &mut |_| {});
    assert_eq!(unknown, [r#"no kind is documented for {"k":"log.nothing"}"#]);
    let columns = value(br#"{"columns":[{"name":"id","kind":"int4"}],"rows":[["1",null],"text",[1]]}"#);
    let rows = value(br#"{"k":"command.rows"}"#);
    assert_eq!(
        kinds::undocumented(&rows, Some(&columns), &mut |_| {}),
        [
            "command.rows: `payload.columns[].kind` is not documented",
            r#"command.rows: `payload.rows` should be list of rows, and is [["1",null],"text",[1]]"#,
        ]
    );
}

fn table(fields: &[Field], out: &mut String) {
    if fields.is_empty() {
        return;
    }
    out.push_str("\n| key | form | meaning |\n|---|---|---|\n");
    table_rows("", fields, out);
}

/// The fields, each followed by those of the objects in it: `who.chain[].id`.
fn table_rows(before: &str, fields: &[Field], out: &mut String) {
    for field in fields {
        let path = format!("{before}{}", field.key);
        out.push_str(&format!("| `{path}` | {} | {} |\n", field.form.words(), field.means));
        let (between, parts) = field.form.parts();
        table_rows(&format!("{path}{between}"), parts, out);
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
