//! Playbooks: `> …` is what comes in, `< …` what came of it. Each is played with its bytes whole, one by one, and cut at
//! random places: all must tell the same. `UPDATE_PLAYBOOKS=1` writes down what came.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "playbook/stage.rs"]
mod stage;
#[path = "playbook/words.rs"]
mod words;

use std::path::{Path, PathBuf};

use firsthand_model::target::ChangedRows;
use stage::{Head, Stage};

fn head_of(line: &str, head: &mut Head) {
    let (name, value) = line.split_once(' ').unwrap_or((line, ""));
    match name {
        "rows" => head.rows = Some(value.parse().unwrap()),
        "row-bytes" => head.row_bytes = Some(value.parse().unwrap()),
        "message-bytes" => head.message_bytes_max = Some(value.parse().unwrap()),
        "room" => head.room = Some(value.parse().unwrap()),
        "crowded" => head.crowded = true,
        "unobserved" => head.unobserved = true,
        "relaxed" => head.relaxed = true,
        "changed" => {
            head.changed = Some(match value {
                "off" => ChangedRows::Off,
                "keys" => ChangedRows::Keys,
                _ => ChangedRows::Values,
            });
        }
        other => panic!("no setting {other}"),
    }
}

/// Plays a text; the text with what came of each line.
fn play(text: &str, mut pieces: impl FnMut(usize) -> usize) -> String {
    let mut head = Head::default();
    text.lines().filter_map(|l| l.strip_prefix("= ")).for_each(|l| head_of(l, &mut head));
    let mut stage = Stage::new(&head);
    let mut out = String::new();
    for line in text.lines().filter(|l| !l.starts_with('<')) {
        out.push_str(line);
        out.push('\n');
        if let Some(input) = line.strip_prefix("> ") {
            for told in stage.play(input, &mut pieces) {
                out.push_str("< ");
                out.push_str(&told);
                out.push('\n');
            }
        }
    }
    out
}

/// xorshift: the same cuts each time.
fn cuts(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |_| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % 23) as usize
    }
}

fn check(path: &Path, update: bool) -> Vec<String> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let whole = play(&text, |all| all);
    let mut wrong = Vec::new();
    for seed in 1..9 {
        if play(&text, cuts(seed * 7919)) != whole {
            wrong.push(difference(
                &format!("{name}, cut at random ({seed})"),
                &whole,
                &play(&text, cuts(seed * 7919)),
            ));
            break;
        }
    }
    let single = play(&text, |_| 1);
    if single != whole {
        wrong.push(difference(&format!("{name}, byte by byte"), &whole, &single));
    }
    if update {
        std::fs::write(path, &whole).unwrap();
    } else if whole != text {
        wrong.push(difference(&name, &text, &whole));
    }
    wrong
}

fn difference(name: &str, want: &str, got: &str) -> String {
    let mut out = format!("\n== {name}\n");
    let (want, got): (Vec<_>, Vec<_>) = (want.lines().collect(), got.lines().collect());
    let same = want.iter().zip(&got).take_while(|(a, b)| a == b).count();
    let end = want.iter().rev().zip(got.iter().rev()).take_while(|(a, b)| a == b).count();
    let end = end.min(want.len() - same).min(got.len() - same);
    for line in &want[same.saturating_sub(3)..same] {
        out.push_str(&format!("  {line}\n"));
    }
    want[same..want.len() - end].iter().for_each(|l| out.push_str(&format!("- {l}\n")));
    got[same..got.len() - end].iter().for_each(|l| out.push_str(&format!("+ {l}\n")));
    out
}

#[test]
fn playbooks_tell_what_they_always_told_however_the_bytes_are_cut() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/playbooks/postgres");
    let update = std::env::var_os("UPDATE_PLAYBOOKS").is_some();
    let only = std::env::var("PLAYBOOK").ok();
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| only.as_ref().is_none_or(|o| p.to_string_lossy().contains(o.as_str())));
    paths.sort();
    assert!(!paths.is_empty());
    // The parser needs more stack than test threads have.
    let run = move || paths.iter().flat_map(|p| check(p, update)).collect::<Vec<_>>();
    let thread = std::thread::Builder::new().stack_size(firsthand_sql::STACK_BYTES);
    let wrong = thread.spawn(run).unwrap().join().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}
