//! Evidence of a real gateway, judged by two verifiers that share no code: `firsthand verify`, and the Python file that comes
//! with it. Whatever is changed in a bundle, both find it, and both say the same.

#[path = "evidence/forge.rs"]
mod forge;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use firsthand_auditlog::bundle::members::Members;
use firsthand_auditlog::tlog::key::{KeyKind, SigningKey};
use firsthand_auditlog::verify::Options;
use firsthand_auditlog::verify::bundle::judge;
use firsthand_auditlog::verify::checkpoints::{Trust, parse_keys};
use firsthand_auditlog::verify::report::Aspect;
use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::process;
use firsthand_tests::raw::Raw;
use forge::{Bundle, Chance, hostile};
use serde_json::Value;

/// How many changed bundles both verifiers judge: each takes some 15 ms. A million take hours: FIRSTHAND_EVIDENCE_MUTATIONS=1000000.
const MUTATIONS: u64 = 400;
/// The seed, unless FIRSTHAND_EVIDENCE_SEED names another one.
const SEED: u64 = 20_261_129;

const HOSTILE: &str = "select 1 as \"</pre><script>alert('x')</script>\u{202e}txt\u{200b}\"";

/// Held writes of agents; their person's approvals are asked of others.
const RULES: &str = "[[group]]\nname = \"payers\"\nmembers = [\"local:*\"]\n
[[rule]]\nname = \"reads\"\nbecause = \"Anybody may.\"\nverdict = \"allow\"\neffects = [\"read\", \"transaction\", \"session\"]\n
[[rule]]\nname = \"held\"\nbecause = \"Writes need a second pair of eyes.\"\nverdict = \"hold\"\neffects = [\"write\"]\napprove = { group = \"payers\", wait = \"100ms\" }\n";

fn verify_py() -> PathBuf {
    process::workspace().join("crates/auditlog/src/bundle/verify.py")
}

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().map_or(usual, |text| text.parse().unwrap())
}

/// Two agents' sessions, one of them with an approval, a refusal and a hostile statement.
fn lab() -> (Lab, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), RULES).unwrap();
    let top = format!(
        "[policy]\ndir = {:?}\n[log]\norigin = \"example.com/gw1\"\n",
        folder.path().display().to_string()
    );
    let seed = "create table payments (id int primary key); insert into payments values (1), (2); alter table payments owner to app";
    let lab = Lab::start(Plan { top, seed: seed.to_owned(), ..Plan::default() }).unwrap();
    let mut agent = Raw::login(&lab.through(), &[]).unwrap();
    agent.query(HOSTILE).unwrap();
    agent.query("select * from no_such_table").unwrap();
    let delete = "delete from payments where id = 1";
    let asked: String =
        agent.query(delete).unwrap().iter().map(firsthand_tests::raw::Message::line).collect();
    let at = asked.find("ap-").unwrap();
    let id: String = asked[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    lab.gateway.cli(&["approvals", "approve", &id]).unwrap();
    agent.query(delete).unwrap();
    drop(agent);
    let secret = lab.gateway.token("day-agent", &["shop"]).unwrap();
    let mut other = Raw::login(&lab.gateway.place("day-agent", &secret, "shop"), &[]).unwrap();
    other.query("select 'of somebody else'").unwrap();
    drop(other);
    (lab, folder)
}

/// Exit code and what it says as JSON.
fn told(command: &mut Command) -> (i32, Value) {
    let output = command.output().unwrap();
    let told = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    assert!(!told.is_null(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), told)
}

/// Both verifiers, of a file or folder: exit code and verdicts, which must be the same.
fn both(path: &Path, more: &[&str]) -> (i32, Value) {
    let mut rust = Command::new(firsthand_tests::gateway::binary().unwrap());
    let ours = told(rust.arg("verify").arg(path).arg("--json").args(more));
    let mut python = Command::new("python3");
    let theirs = told(python.arg("-I").arg(verify_py()).arg(path).arg("--json").args(more));
    assert_eq!(ours.0, theirs.0, "{:#}\n{:#}", ours.1, theirs.1);
    for key in ["verdicts", "entries", "epochs", "disclosure"] {
        assert_eq!(ours.1[key], theirs.1[key], "{:#}\n{:#}", ours.1, theirs.1);
    }
    let codes = |told: &Value| {
        let all = told["findings"].as_array().unwrap().iter();
        let mut codes: Vec<String> = all
            .map(|f| {
                format!("{} {} {} {} {}", f["aspect"], f["code"], f["failed"], f["epoch"], f["position"])
            })
            .collect();
        codes.sort();
        codes
    };
    assert_eq!(codes(&ours.1), codes(&theirs.1));
    (ours.0, ours.1)
}

fn has(told: &Value, code: &str) -> bool {
    told["findings"].as_array().unwrap().iter().any(|f| f["code"] == code)
}

/// The log's key, as an auditor gets it.
fn key_file(lab: &Lab, folder: &Path) -> PathBuf {
    let shown: Value = serde_json::from_str(&lab.gateway.cli(&["keys", "show", "--json"]).unwrap()).unwrap();
    let path = folder.join("log.vkey");
    std::fs::write(&path, shown["keys"][0]["vkey"].as_str().unwrap()).unwrap();
    path
}

fn exported(lab: &Lab, file: &Path, more: &[&str]) -> Value {
    let args = [&["evidence", "export", "--json", "-o", file.to_str().unwrap()], more].concat();
    serde_json::from_str(&lab.gateway.cli(&args).unwrap()).unwrap()
}

#[test]
fn the_second_verifier_checks_signatures_as_rfc_8032_says() {
    let mut python = Command::new("python3");
    python
        .arg("-I")
        .arg(process::workspace().join("tests/clients/bundle_judge.py"))
        .arg(verify_py())
        .arg("vectors");
    assert_eq!(process::run(&mut python).unwrap().trim(), "4");
}

#[test]
fn evidence_holds_with_and_without_a_gateway_and_says_what_was_done() {
    let (mut lab, _rules) = lab();
    let folder = tempfile::tempdir().unwrap();
    let key = key_file(&lab, folder.path());
    let key = ["--key", key.to_str().unwrap()];
    let running = folder.path().join("running.tar");
    let made = exported(&lab, &running, &["--identity", firsthand_tests::lab::AGENT]);
    assert_eq!(made["unsigned"], 0, "a gateway signs what it writes: {made}");
    assert!(made["disclosed"].as_u64() > Some(5) && made["withheld"] == 0, "{made}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&running).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let (code, told) = both(&running, &key);
    assert_eq!((code, &told["verdicts"]["integrity"]), (0, &"ok".into()), "{told:#}");
    assert_eq!(
        (&told["verdicts"]["semantics"], &told["verdicts"]["disclosure"]),
        (&"ok".into(), &"ok".into()),
        "{told:#}"
    );
    assert!(!has(&told, "policy-missing"), "the rules are at hand: {told:#}");
    assert!(has(&both(&running, &[]).1, "key-beside"));

    other_keys_and_policies(&running, folder.path());

    // Unpacked by tar, it is the same.
    let unpacked = folder.path().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    process::run(Command::new("tar").arg("xf").arg(&running).arg("-C").arg(&unpacked)).unwrap();
    assert_eq!(both(&unpacked, &key).0, 0);
    process::run(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&unpacked))
        .unwrap();
    std::fs::write(unpacked.join("more"), "x").unwrap();
    let (code, told) = both(&unpacked, &key);
    assert!(code == 3 && has(&told, "bundle"), "{told:#}");

    let page = std::fs::read_to_string(unpacked.join("summary.html")).unwrap();
    assert!(!page.contains("<script") && !page.contains('\u{202e}') && !page.contains('\u{200b}'), "{page}");
    assert!(
        page.contains("&lt;script&gt;") && page.contains("\\u{202e}") && page.contains("local:"),
        "{page}"
    );
    assert!(!page.contains("of somebody else"), "{page}");

    // Two entries: what was asked for before anything was written, and what it came to.
    let record = lab.gateway.record().unwrap();
    let entries: Vec<_> = record.of_kind("record.exported").collect();
    assert_eq!(entries.len(), 2);
    assert!(entries[0].leaf("facts")["done"].is_null() && entries[0].leaf("facts")["ids"].is_array());
    assert_eq!(entries[1].leaf("facts")["sha256"], made["sha256"]);
    let digest = process::run(Command::new("sha256sum").arg(&running)).unwrap();
    assert!(digest.starts_with(made["sha256"].as_str().unwrap()), "{digest}");

    lab.gateway.stop().unwrap();
    let stopped = folder.path().join("stopped.tar");
    let made = exported(&lab, &stopped, &["--target", "shop", "--from", "1h", "--without-payloads"]);
    assert_eq!((&made["unsigned"], &made["disclosed"]), (&0.into(), &0.into()), "{made}");
    assert!(made["withheld"].as_u64() > Some(5), "{made}");
    let (code, told) = both(&stopped, &key);
    assert_eq!((code, &told["verdicts"]["disclosure"]), (0, &"findings".into()), "{told:#}");
    let data = lab.gateway.data_dir();
    let since = data.join("tlog/1/checkpoint");
    assert_eq!(both(&running, &[&key[..], &["--since", since.to_str().unwrap()]].concat()).0, 0);
    let (code, told) =
        both(&stopped, &[&key[..], &["--max-age", "1h", "--now", "2126-01-01T00:00:00Z"]].concat());
    assert!(code == 3 && has(&told, "stale"), "{told:#}");
    let again = lab.gateway.command(&["evidence", "export", "--from", "1h", "-o", stopped.to_str().unwrap()]);
    assert_eq!(again.unwrap().output().unwrap().status.code(), Some(1), "nothing is overwritten");
}

/// Another key of the same name did not sign it; a policy's witnesses must have cosigned.
fn other_keys_and_policies(bundle: &Path, folder: &Path) {
    let vkey = std::fs::read_to_string(folder.join("log.vkey")).unwrap();
    let made = |kind, name| SigningKey::from_seed(name, kind, &[7; 32]).unwrap().verifying().to_vkey();
    let told = |name: &str, text: &str, more: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        both(bundle, &[more, path.to_str().unwrap()])
    };
    let (code, said) = told("other.vkey", &made(KeyKind::Note, "example.com/gw1/e1"), "--key");
    assert!(code == 3 && has(&said, "checkpoint-signature"), "{said:#}");
    let log = format!("log {}\n", vkey.trim());
    assert_eq!(told("alone.policy", &format!("{log}quorum none\n"), "--policy").0, 0);
    let witness = made(KeyKind::Cosignature, "example.org/w1");
    let (code, said) = told("strict.policy", &format!("{log}witness w {witness}\nquorum w\n"), "--policy");
    assert!(code == 3 && has(&said, "quorum"), "{said:#}");
}

#[test]
fn a_gap_that_was_declared_is_told_and_what_is_before_and_behind_it_is_proved() {
    let mut lab = Lab::start(Plan::default()).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for n in 0..20 {
        raw.query(&format!("select {n}")).unwrap();
    }
    process::until("the log is signed", || {
        let (_, body) = lab.gateway.http("/readyz")?;
        let now: Value = serde_json::from_str(&body)?;
        Ok(now["signer"]["checkpoint"]["size"] == now["log"]["entries"])
    })
    .unwrap();
    lab.gateway.kill().unwrap();
    let lost = lab.gateway.record().unwrap().intents("select 10").next().unwrap().position();
    let damaged = std::fs::read_dir(lab.gateway.data_dir().join("log")).unwrap().map(|e| e.unwrap().path());
    let mark = format!("\"n\":{lost},");
    for segment in damaged.filter(|p| p.extension().is_some_and(|e| e == "seg")) {
        let mut bytes = std::fs::read(&segment).unwrap();
        let Some(at) = bytes.windows(mark.len()).position(|w| w == mark.as_bytes()) else { continue };
        bytes[at + 1] = b'N';
        std::fs::write(&segment, bytes).unwrap();
    }
    lab.gateway.cli(&["log", "declare-gap", "--reason", "a disk broke", "--i-have-a-copy"]).unwrap();
    lab.gateway.serve().unwrap();
    Raw::login(&lab.through(), &[]).unwrap().query("select 'after'").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both.tar");
    exported(&lab, &file, &["--target", "shop"]);
    let (code, told) = both(&file, &[]);
    assert_eq!(code, 0, "{told:#}");
    assert!(has(&told, "gap"), "{told:#}");
    assert_eq!(told["epochs"].as_array().unwrap().len(), 2, "{told:#}");
}

/// One process of the second verifier, for many bundles.
struct Python {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Python {
    fn start(keys: &Path, now: u64) -> Self {
        let mut command = Command::new("python3");
        let script = process::workspace().join("tests/clients/bundle_judge.py");
        command.arg("-I").arg(script).arg(verify_py()).arg("judge").arg(keys).arg(now.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout }
    }

    fn judge(&mut self, tar: &[u8]) -> (Vec<String>, Vec<String>) {
        self.stdin.write_all(&u32::try_from(tar.len()).unwrap().to_be_bytes()).unwrap();
        self.stdin.write_all(tar).unwrap();
        self.stdin.flush().unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).expect("the second verifier ended");
        let list = |key: &str| {
            told[key].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
        };
        (list("verdicts"), list("codes"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ours(tar: &[u8], options: &Options) -> (Vec<String>, Vec<String>) {
    let members = Members::tar(Arc::new(tar.to_vec()), Path::new("bundle"));
    let report = judge(&members, options, &mut |_| ());
    let mut codes: Vec<String> = report
        .findings()
        .iter()
        .map(|f| format!("{} {} {}", f.aspect.word(), if f.failed { "!" } else { "-" }, f.code))
        .collect();
    codes.sort();
    (Aspect::ALL.iter().map(|a| report.verdict(*a).word().to_owned()).collect(), codes)
}

#[test]
fn every_change_is_found_and_two_verifiers_say_the_same() {
    let (lab, _rules) = lab();
    let folder = tempfile::tempdir().unwrap();
    let key = key_file(&lab, folder.path());
    let (whole, part) = bases(&lab, folder.path());
    let now = firsthand_auditlog::entry::moment::parse("2026-12-01").unwrap();
    let keys = parse_keys(&std::fs::read_to_string(&key).unwrap()).unwrap();
    let trust = Trust { keys, ..Trust::default() };
    let options = Options { trust, now_us: now, ..Options::default() };
    let mut python = Python::start(&key, now);
    let mut look = |tar: &[u8], what: &str, must_fail: bool| {
        let (a, b) = (ours(tar, &options), python.judge(tar));
        assert_eq!(a, b, "{what}: ours, theirs");
        let failed = a.0.iter().any(|verdict| verdict == "failed");
        assert!(failed || !must_fail, "{what} is not found: {:?}", a.1);
        (failed, a.1)
    };
    for tar in [&whole, &part] {
        let (failed, codes) = look(tar, "as it is", false);
        assert!(!failed, "{codes:?}");
    }
    let bundles = [Bundle::read(&whole), Bundle::read(&part)];
    assert_eq!(bundles[0].pack(), whole, "a bundle has one form");
    for side in ["left", "right"] {
        assert!(look(&bundles[1].beside(side).pack(), side, true).1.contains(&"integrity ! root".to_owned()));
    }
    for (what, code, changed) in bundles[0].insider() {
        let (_, codes) = look(&changed.pack(), what, true);
        assert!(codes.iter().any(|c| c.ends_with(&format!("! {code}"))), "{what}: no {code} in {codes:?}");
    }
    for (what, tar) in hostile(&whole) {
        assert_eq!(look(&tar, what, true).1, ["integrity ! bundle"], "{what}");
    }
    let (seed, count) =
        (number("FIRSTHAND_EVIDENCE_SEED", SEED), number("FIRSTHAND_EVIDENCE_MUTATIONS", MUTATIONS));
    for n in 0..count {
        let mut chance = Chance(seed.wrapping_add(n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let which = chance.below(3) / 2;
        let original = [&whole, &part][which];
        let what = format!("mutation {n} of seed {seed}");
        // One of two: bits anywhere, as damage does it; or a change by somebody who then writes the digests anew.
        let (changed, bound) = if n % 2 == 0 {
            (flipped(original, &mut chance), true)
        } else {
            let (changed, bound) = bundles[which].changed(&mut chance);
            (changed.pack(), bound)
        };
        look(&changed, &what, bound && changed != **original);
    }
}

/// With some bits changed.
fn flipped(tar: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut changed = tar.to_vec();
    for _ in 0..=chance.below(3) {
        let at = chance.below(changed.len());
        changed[at] ^= 1 << chance.below(8);
    }
    changed
}

/// Of an identity from the log's beginning on; and of the middle of the log, with entries left and right of it.
fn bases(lab: &Lab, folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let (file, middle) = (folder.join("whole.tar"), folder.join("middle.tar"));
    exported(lab, &file, &["--identity", firsthand_tests::lab::AGENT]);
    let record = lab.gateway.record().unwrap();
    let time = |kind: &str, last: bool| {
        let mut all = record.of_kind(kind);
        let entry = if last { all.last() } else { all.next() };
        entry.unwrap().leaf("t").as_str().unwrap().to_owned()
    };
    let (from, to) = (time("command.decided", false), time("session.opened", true));
    exported(lab, &middle, &["--from", &from, "--to", &to]);
    (std::fs::read(&file).unwrap(), std::fs::read(&middle).unwrap())
}
