//! `firsthand demo` as a new user runs it: the story is told, and nothing of it is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use firsthand_tests::gateway::binary;
use firsthand_tests::process::{self, Daemon};
use firsthand_tests::record::Record;
use rustix::process::Signal;
use tempfile::TempDir;

/// A folder for the temporary files of one demo, through which the server's user may pass.
fn room() -> TempDir {
    let room = tempfile::Builder::new().prefix("firsthand-room-").tempdir().unwrap();
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o755)).unwrap();
    room
}

fn demo(room: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary().unwrap());
    command.arg("demo").args(args).env("TMPDIR", room).current_dir(room);
    command
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Processes that name the folder in their command line, as the demo's server does.
fn processes(folder: &Path) -> Vec<(i32, String)> {
    let folder = folder.to_str().unwrap();
    let lines = fs::read_dir("/proc").unwrap().flatten().filter_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let line = fs::read(process.path().join("cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    });
    lines.filter(|(_, line)| line.contains(folder)).collect()
}

fn assert_nothing_left(room: &Path) {
    assert_eq!(files(room), BTreeSet::new());
    assert_eq!(processes(room), Vec::new());
}

fn assert_told(story: &str, parts: &[&str]) {
    for part in parts {
        assert!(story.contains(part), "`{part}` is not in the story:\n{story}");
    }
}

#[test]
fn the_story_is_told_and_nothing_is_left() {
    let room = room();
    let story = process::run(&mut demo(room.path(), &[])).unwrap();
    let (agent, record) = story.split_once("What the record says").unwrap();
    assert_told(agent, &["14 customers", "billing-bot", "ada@shop.example", "ERROR 42703", "1 row deleted"]);
    let (session, answer) = record.split_once("Who deleted the payment?").unwrap();
    assert_told(
        session,
        &[
            "ada@shop.example (human, bound)",
            "billing-bot (agent, verified)",
            "role shop_app",
            "application_name = postgres-mcp (billing assistant) (claimed)",
            "SELECT id, name, city FROM customers WHERE email = $1",
            "$1 = lena.hoffmann@post.example",
            "Lena Hoffmann",
            "error 42703",
            "UPDATE 1",
            "DELETE FROM payments WHERE id = $1",
            "$1 = 7017",
            "DELETE 1",
            "the client left",
        ],
    );
    assert_told(
        answer,
        &["ada@shop.example", "billing-bot", "shop_app in database shop", "7017", "DELETE 1", "nobody"],
    );
    assert!(!session.contains("has no outcome"), "{session}");
    assert_nothing_left(room.path());
}

/// What the README shows of the story, in this order, as far as it is the same each time.
#[test]
fn the_readme_shows_what_the_demo_says() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, shown) = readme.split_once("```text\n").unwrap();
    let (shown, _) = shown.split_once("\n```").unwrap();
    let room = room();
    let story = process::run(&mut demo(room.path(), &[])).unwrap();
    let story: Vec<String> = story.lines().map(fixed).collect();
    let mut rest = &story[..];
    let mut lines = 0;
    for line in shown.lines().filter(|line| !line.trim().is_empty() && line.trim() != "…") {
        let line = fixed(line);
        let at = rest.iter().position(|told| *told == line);
        let at = at.unwrap_or_else(|| panic!("`{line}` is not told here:\n{}", rest.join("\n")));
        rest = &rest[at + 1..];
        lines += 1;
    }
    assert!(lines > 12, "{lines} lines are shown");
}

/// A line without what differs from run to run and from machine to machine: ids, times, durations, ports, versions.
fn fixed(line: &str) -> String {
    let line = line.split(", server ").next().unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let unit = |word: &str| matches!(word.trim_matches([',', '.']), "s" | "ms" | "µs");
    let number =
        |word: &str| word.trim_matches(['$', '#', ':', ',', '(', ')']).bytes().all(|b| b.is_ascii_digit());
    let words = words.iter().enumerate().map(|(i, word)| {
        let backend = i > 0 && words[i - 1] == "backend";
        let measured = words.get(i + 1).is_some_and(|next| unit(next));
        match word {
            word if unit(word) => "UNIT",
            word if !word.contains(|c: char| c.is_ascii_digit()) => word,
            word if number(word) && !backend && !measured => word,
            _ => "…",
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_folder_that_was_named_stays_and_can_be_read_and_used_again() {
    let room = room();
    let home = room.path().join("my demo");
    for _ in 0..2 {
        let story = process::run(&mut demo(room.path(), &["--dir", "my demo"])).unwrap();
        assert_told(&story, &["How to go on", "log tail", "my demo/data'"]);
    }
    assert_eq!(files(room.path()), BTreeSet::from([home.clone()]));
    assert_eq!(processes(room.path()), Vec::new());
    let mut cat = Command::new(binary().unwrap());
    let record = process::run(cat.args(["log", "cat", "--json", "--dir"]).arg(home.join("data"))).unwrap();
    let record = Record::parse(&record).unwrap();
    assert_eq!(record.unbalanced(), Vec::<String>::new());
    assert!(record.contiguous());
    assert_eq!(record.intents("DELETE FROM payments").count(), 2, "one of each demo");
    assert_eq!(record.of_kind("session.closed").count(), record.of_kind("session.opened").count());
}

#[test]
fn kept_up_it_can_be_tried_until_it_is_interrupted() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let room = room();
        let mut running = Daemon::start("demo", &demo(room.path(), &["--keep"]), None).unwrap();
        running.wait_line(|line| line.contains("Ctrl-C ends it")).unwrap();
        assert!(!processes(room.path()).is_empty(), "its server runs");
        running.signal(signal);
        assert!(running.wait().unwrap().success(), "{signal:?}: {}", running.said());
        assert_nothing_left(room.path());
    }
}

#[test]
fn interrupted_at_work_it_cleans_up_and_says_so() {
    for moment in ["making a scratch PostgreSQL", "filling the shop", "the agent works"] {
        let room = room();
        let mut running = Daemon::start("demo", &demo(room.path(), &["--keep"]), None).unwrap();
        running.wait_line(|line| line.contains(moment)).unwrap();
        running.signal(Signal::TERM);
        let status = running.wait().unwrap();
        // At the last moment the work may be done before the signal arrives: then it ends as asked.
        let said = running.said();
        assert!(status.success() || said.contains("error: interrupted"), "{moment}: {status}: {said}");
        assert_nothing_left(room.path());
    }
}

#[test]
fn killed_it_leaves_no_process() {
    let room = room();
    let mut running = Daemon::start("demo", &demo(room.path(), &["--keep"]), None).unwrap();
    running.wait_line(|line| line.contains("Ctrl-C ends it")).unwrap();
    let server = processes(room.path());
    assert!(!server.is_empty(), "its server runs");
    running.signal(Signal::KILL);
    running.wait().unwrap();
    // They are no children of ours, so it is `tail` that waits for them.
    for (pid, _) in server {
        let pid = format!("--pid={pid}");
        process::run(Command::new("timeout").args(["60", "tail", "-s", "0.05", "-f", &pid, "/dev/null"]))
            .unwrap();
    }
    assert_eq!(processes(room.path()), Vec::new());
}
