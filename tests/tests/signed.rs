//! Approvals that people sign with SSH keys: by the real `ssh-keygen`, through the real binary, against a real PostgreSQL; what the
//! record has of them is checked with OpenSSH's own tool.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firsthand_adapters::approvals::signing::sshsig::{PublicKey, SshSignature};
use firsthand_tests::gateway::Gateway;
use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::{Message, Raw};
use rcgen::SigningKey as _;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

const SEED: &str =
    "create table payments (id int primary key); insert into payments select generate_series(1, 9);
    alter table payments owner to app";

const RULES: &str = r#"
[[group]]
name = "payers"
members = ["grace@example.com", "bob@example.com"]

[[rule]]
name = "reads"
because = "Anybody may."
verdict = "allow"
effects = ["read"]

[[rule]]
name = "signed"
because = "Payments are signed for."
verdict = "hold"
effects = ["write"]
approve = { group = "payers", wait = "1ms", signed = true, break_glass = ["payers"] }

[[rule]]
name = "unsigned"
because = "Somebody looks."
verdict = "hold"
effects = ["define"]
approve = { group = "payers", wait = "1ms" }

[[mask]]
name = "mails"
because = "Agents see none."
kinds = ["agent"]
labels = ["*"]
style = "redact"
detect = true
"#;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A new key, as OpenSSH makes it.
fn key(folder: &Path, name: &str, kind: &[&str]) -> PathBuf {
    let file = folder.join(name);
    run(Command::new("ssh-keygen").args(["-q", "-N", "", "-C", name, "-f"]).arg(&file).args(kind));
    file
}

fn public(key: &Path) -> String {
    std::fs::read_to_string(key.with_extension("pub")).unwrap().trim().to_owned()
}

/// A signature over a text, as OpenSSH makes it.
fn sign(key: &Path, namespace: &str, text: &str) -> String {
    let file = key.with_extension("text");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "sign", "-n", namespace, "-f"]).arg(key);
    run(command.stdin(std::fs::File::open(&file).unwrap()))
}

struct Rig {
    lab: Lab,
    folder: TempDir,
    grace: String,
    bob: String,
}

impl Rig {
    /// Grace has a key that counts, and so has bob.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("policy")).unwrap();
        std::fs::write(folder.path().join("policy/rules.toml"), RULES).unwrap();
        let ed25519 = ["-t", "ed25519"];
        let keys = ["grace", "bob", "stranger"].map(|name| public(&key(folder.path(), name, &ed25519)));
        let top = top(folder.path(), &[("grace@example.com", &keys[0]), ("bob@example.com", &keys[1])]);
        let lab = Lab::start(Plan { top, seed: SEED.to_owned(), ..Plan::default() }).unwrap();
        let person = |name: &str| {
            let who = format!("{name}@example.com");
            let args = ["--kind", "human", "--on-behalf-of", &who, "--role", "approver"];
            lab.gateway.role_token(name, &args).unwrap()
        };
        let (grace, bob) = (person("grace"), person("bob"));
        Self { lab, folder, grace, bob }
    }

    fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Exit code, and all that was said.
    fn says(&self, token: &str, args: &[&str]) -> (i32, String) {
        let mut command = self.lab.gateway.remote(token, args).unwrap();
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }

    fn signs(&self, token: &str, id: &str, name: &str) -> (i32, String) {
        let key = self.key(name).display().to_string();
        self.says(token, &["approvals", "approve", id, "--reason", "ticket 7", "--sign", &key])
    }

    /// Over the API, with any signature.
    fn posts(&self, token: &str, (id, word): (&str, &str), body: &Value) -> (u16, String) {
        let path = format!("/v1/approvals/{id}/{word}");
        let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        self.lab.gateway.ask("POST", &path, &headers, &body.to_string()).unwrap()
    }

    fn left(&self) -> String {
        self.lab.far.sql("shop", "select count(*) from payments").unwrap().trim().to_owned()
    }
}

fn top(folder: &Path, keys: &[(&str, &str)]) -> String {
    let policy = folder.join("policy").display().to_string();
    let keys =
        keys.iter().map(|(who, key)| format!("[[approver_key]]\nperson = \"{who}\"\nkeys = [\"{key}\"]\n"));
    format!("[policy]\ndir = {policy:?}\n{}", keys.collect::<String>())
}

/// The code of a refusal, and the approval that it names.
fn asked(raw: &mut Raw, statement: &str) -> (String, String) {
    let seen = raw.query(statement).unwrap();
    let code = seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default();
    let text = seen.iter().map(Message::line).collect::<Vec<_>>().join("\n");
    let id = text.find("ap-").map_or("", |at| &text[at..]);
    (code, id.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect())
}

fn delete(n: usize) -> String {
    format!("delete from payments where id = {n}")
}

/// Without a signature nothing runs; with one it does, and the record alone is enough to check it with OpenSSH.
#[test]
fn a_signed_approval_runs_once_and_openssh_checks_it_from_the_record() {
    let rig = Rig::start();
    let mut raw = Raw::login(&rig.lab.through(), &[]).unwrap();
    let (code, id) = asked(&mut raw, &delete(1));
    assert_eq!(code, "RF001");
    let (code, told) = rig.says(&rig.grace, &["approvals", "approve", &id]);
    assert!(code == 1 && told.contains("no signature came with it") && told.contains("--sign"), "{told}");
    let (code, told) = rig.signs(&rig.grace, &id, "grace");
    assert!(code == 0 && told.contains("it runs once"), "{told}");
    for part in ["you sign:", "answer: approve", "reason: ticket 7", "target: shop", &delete(1)] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(asked(&mut raw, &delete(1)).0, "");
    assert_eq!(rig.left(), "8");
    assert_eq!(asked(&mut raw, &delete(1)).0, "RF001", "once");
    let record = rig.lab.gateway.record().unwrap();
    let entry = record.of_kind("approval.given").next().unwrap();
    let signature = entry.payload("signature");
    let (text, armored) = (signature["text"].as_str().unwrap(), signature["signature"].as_str().unwrap());
    assert_eq!(entry.leaf("signed"), &json!("ssh-ed25519"));
    assert!(text.contains(&format!("approval: {id}\n")), "{text}");
    let fingerprint = run(Command::new("ssh-keygen").arg("-lf").arg(rig.key("grace.pub")));
    assert!(fingerprint.contains(signature["fingerprint"].as_str().unwrap()), "{fingerprint}");
    let asked = record.of_kind("approval.asked").next().unwrap();
    assert!(text.contains(&format!("digest: {}\n", asked.leaf("digest").as_str().unwrap())), "{text}");
    assert!(verified(&rig, "grace@example.com", text, armored), "as it stands in the record");
    assert!(!verified(&rig, "grace@example.com", &text.replace("approve", "deny"), armored));
    assert!(!verified(&rig, "bob@example.com", text, armored));
    let found = rig.lab.gateway.cli(&["log", "search", &format!("approval:{id}")]).unwrap();
    assert!(found.contains("signed with SHA256:"), "{found}");
}

/// What `ssh-keygen -Y verify` says, by the keys that somebody trusts.
fn verified(rig: &Rig, who: &str, text: &str, armored: &str) -> bool {
    let signers = ["grace", "bob"].map(|name| format!("{name}@example.com {}\n", public(&rig.key(name))));
    openssh_takes(rig.folder.path(), &signers.concat(), who, text, armored)
}

fn openssh_takes(folder: &Path, signers: &str, who: &str, text: &str, armored: &str) -> bool {
    let file = |name: &str| folder.join(name);
    std::fs::write(file("signers"), signers).unwrap();
    std::fs::write(file("sig"), armored).unwrap();
    std::fs::write(file("signed"), text).unwrap();
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "verify", "-n", "firsthand-approval", "-I", who, "-f"]).arg(file("signers"));
    command.arg("-s").arg(file("sig")).stdin(std::fs::File::open(file("signed")).unwrap());
    command.output().unwrap().status.success()
}

/// All that is no signature of this person for this answer to this question, and what becomes of a key that counts no more.
#[test]
fn no_other_signature_counts() {
    let mut rig = Rig::start();
    let mut raw = Raw::login(&rig.lab.through(), &[]).unwrap();
    let (_, id) = asked(&mut raw, &delete(1));
    let (_, other) = asked(&mut raw, &delete(2));
    for (token, name, why) in [
        (&rig.grace, "bob", "is not configured for grace"),
        (&rig.bob, "stranger", "is not configured for bob"),
    ] {
        let (code, told) = rig.signs(token, &id, name);
        assert!(code == 1 && told.contains(why), "{told}");
    }
    // What is signed cannot be changed, and must not be kept as it is.
    let key = rig.key("grace").display().to_string();
    let cites = ["approvals", "approve", &id, "--reason", "for mia.k@example.net", "--sign", &key];
    let (code, told) = rig.says(&rig.grace, &cites);
    assert!(code == 1 && told.contains("something that masks hide") && told.contains("sign again"), "{told}");
    // What is signed rightly for one thing, sent for another.
    let (code, _) = rig.signs(&rig.grace, &other, "grace");
    assert_eq!(code, 0);
    let record = rig.lab.gateway.record().unwrap();
    let given = record.of_kind("approval.given").next().unwrap().payload("signature").clone();
    let text = given["text"].as_str().unwrap().to_owned();
    assert!(verified(&rig, "grace@example.com", &text, given["signature"].as_str().unwrap()));
    let right = text.replace(&other, &id);
    let with = |reason: &str, signature: &str| json!({ "reason": reason, "signature": signature });
    let own = rig.key("grace");
    for (what, word, body) in [
        ("another approval", "approve", with("ticket 7", given["signature"].as_str().unwrap())),
        ("an altered text", "approve", with("ticket 7", &sign(&own, "firsthand-approval", &right))),
        ("another purpose", "approve", with("ticket 7", &sign(&own, "file", &text))),
        ("nothing", "approve", with("ticket 7", "")),
        (
            "no form",
            "approve",
            with("ticket 7", "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----"),
        ),
        ("no signature", "approve", json!({ "reason": "ticket 7" })),
        ("null", "approve", json!({ "reason": "ticket 7", "signature": null })),
        ("broken glass without one", "break-glass", json!({ "reason": "ticket 7" })),
        (
            "broken glass by an approval",
            "break-glass",
            with("ticket 7", given["signature"].as_str().unwrap()),
        ),
    ] {
        let (status, told) = rig.posts(&rig.grace, (&id, word), &body);
        assert_eq!(status, 409, "{what}: {told}");
    }
    assert_eq!(asked(&mut raw, &delete(1)).0, "RF001");
    // The key counts no more: what it has signed is not spent.
    let bob = public(&rig.key("bob"));
    let without = top(rig.folder.path(), &[("bob@example.com", &bob)]);
    rig.lab.gateway.rewrite(|settings| settings.more = without).unwrap();
    rig.lab.gateway.stop().unwrap();
    rig.lab.gateway.serve().unwrap();
    let mut raw = Raw::login(&rig.lab.through(), &[]).unwrap();
    let (code, again) = asked(&mut raw, &delete(2));
    assert!(code == "RF001" && again != other, "{code} {again}");
    assert_eq!(rig.left(), "9");
}

/// A key that is put in counts after a reload, for what waits already, too; one that is taken out does not, nor what it has signed and
/// was not spent. Sessions go on.
#[test]
fn sighup_takes_a_new_key_and_drops_one_that_is_gone() {
    let mut rig = Rig::start();
    let mut raw = Raw::login(&rig.lab.through(), &[]).unwrap();
    let (_, one) = asked(&mut raw, &delete(1));
    let (_, two) = asked(&mut raw, &delete(2));
    let (code, told) = rig.signs(&rig.grace, &one, "stranger");
    assert!(code == 1 && told.contains("is not configured for grace"), "{told}");
    assert_eq!(rig.signs(&rig.grace, &two, "grace").0, 0);
    // Grace has another key now.
    let keys = ["stranger", "bob"].map(|name| public(&rig.key(name)));
    let other = top(rig.folder.path(), &[("grace@example.com", &keys[0]), ("bob@example.com", &keys[1])]);
    rig.lab.gateway.rewrite(|settings| settings.more = other).unwrap();
    rig.lab.gateway.daemon().unwrap().signal(Signal::HUP);
    rig.lab.gateway.daemon().unwrap().wait_line(|line| line.contains("reloaded")).unwrap();
    let (code, told) = rig.signs(&rig.grace, &one, "grace");
    assert!(code == 1 && told.contains("is not configured for grace"), "{told}");
    let (code, told) = rig.signs(&rig.grace, &one, "stranger");
    assert_eq!(code, 0, "{told}");
    assert_eq!(asked(&mut raw, &delete(1)).0, "");
    assert_eq!(
        asked(&mut raw, &delete(2)),
        ("42501".to_owned(), two.clone()),
        "the key that signed it counts no more"
    );
    let (code, again) = asked(&mut raw, &delete(2));
    assert!(code == "RF001" && again != two, "it asks anew: {code} {again}");
    assert_eq!(rig.left(), "8");
    assert_eq!(rig.signs(&rig.bob, &again, "bob").0, 0, "who was not changed signs as before");
    assert_eq!(asked(&mut raw, &delete(2)).0, "");
}

/// Who can write the state, and even one who has a right signature for something else, approves nothing.
#[test]
fn an_administrator_of_the_state_invents_no_signature() {
    let mut rig = Rig::start();
    let mut raw = Raw::login(&rig.lab.through(), &[]).unwrap();
    let ids: Vec<String> = (1..=3).map(|n| asked(&mut raw, &delete(n)).1).collect();
    for id in &ids {
        assert_eq!(rig.signs(&rig.grace, id, "grace").0, 0);
    }
    drop(raw);
    rig.lab.gateway.stop().unwrap();
    let sql = format!(
        "delete from signatures where approval = '{0}'; \
         update signatures set signed = replace(signed, 'ticket 7', 'ticket 8') where approval = '{1}';",
        ids[0], ids[1]
    );
    written(&rig.lab.gateway, &sql);
    rig.lab.gateway.serve().unwrap();
    let mut raw = Raw::login(&rig.lab.through(), &[]).unwrap();
    for n in 1..=2 {
        let (code, id) = asked(&mut raw, &delete(n));
        assert!(code == "RF001" && !ids.contains(&id), "{n}: {code} {id}");
    }
    assert_eq!(asked(&mut raw, &delete(3)).0, "", "that one is as it was, and outlasts a restart");
    assert_eq!(rig.left(), "8");
}

fn written(gateway: &Gateway, sql: &str) {
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=20); \
                  db.executescript(sys.argv[2]); db.commit()";
    let file = gateway.data_dir().join("state.db");
    let done = Command::new("python3").args(["-c", script]).arg(file).arg(sql).status().unwrap();
    assert!(done.success(), "{sql}");
}

/// A signature may stand where none is demanded; and it counts when the glass is broken.
#[test]
fn who_signs_where_nobody_must_is_recorded_as_signing() {
    let rig = Rig::start();
    let mut raw = Raw::login(&rig.lab.through(), &[]).unwrap();
    let (_, free) = asked(&mut raw, "create table more (id int)");
    let (_, held) = asked(&mut raw, &delete(1));
    assert_eq!(rig.signs(&rig.grace, &free, "grace").0, 0);
    let key = rig.key("bob").display().to_string();
    let broken = ["approvals", "break-glass", &held, "--reason", "no time", "--sign", &key];
    let (code, told) = rig.says(&rig.bob, &broken);
    assert!(code == 0 && told.contains("answer: break-glass"), "{told}");
    assert_eq!(asked(&mut raw, "create table more (id int)").0, "");
    assert_eq!(asked(&mut raw, &delete(1)).0, "");
    let record = rig.lab.gateway.record().unwrap();
    for kind in ["approval.given", "approval.glass_broken"] {
        let entry = record.of_kind(kind).next().unwrap();
        let signature = entry.payload("signature");
        let who = if kind == "approval.given" { "grace@example.com" } else { "bob@example.com" };
        let text = |key: &str| signature[key].as_str().unwrap();
        assert!(verified(&rig, who, text("text"), text("signature")), "{kind}");
    }
    let shown: Value =
        serde_json::from_str(&rig.lab.gateway.cli(&["approvals", "show", &held, "--json"]).unwrap()).unwrap();
    assert!(shown["approved"][0]["signed_with"].as_str().unwrap().starts_with("SHA256:"), "{shown}");
}

/// Each kind of key that OpenSSH makes without hardware is read and checked as OpenSSH does; an old RSA signature is not.
#[test]
fn every_kind_of_key_that_openssh_makes_is_checked_as_it_does() {
    let folder = tempfile::tempdir().unwrap();
    for (name, kind) in [
        ("ed25519", &["-t", "ed25519"][..]),
        ("p256", &["-t", "ecdsa", "-b", "256"]),
        ("p384", &["-t", "ecdsa", "-b", "384"]),
        ("p521", &["-t", "ecdsa", "-b", "521"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
    ] {
        let file = key(folder.path(), name, kind);
        let line = public(&file);
        for n in 0..8 {
            let text = format!("text {n}\n");
            let made = sign(&file, "firsthand-approval", &text);
            let signature = SshSignature::read(&made.replace('\n', "\r\n ")).unwrap();
            assert_eq!(signature.armored(), made, "{name}");
            assert_eq!(signature.key(), &PublicKey::read(&line).unwrap(), "{name}");
            assert_eq!(signature.verify(text.as_bytes(), "firsthand-approval"), Ok(()), "{name}");
            assert!(signature.verify(b"other", "firsthand-approval").is_err(), "{name}");
            assert!(signature.verify(text.as_bytes(), "file").is_err(), "{name}");
        }
        let shown = run(Command::new("ssh-keygen").arg("-lf").arg(&file));
        assert!(shown.contains(&PublicKey::read(&line).unwrap().fingerprint()), "{shown}");
    }
}

/// A key that is taken out of the configuration of a gateway that runs: what it has signed is withdrawn, said so, and is no forgery.
#[test]
fn what_was_signed_by_a_key_that_counts_no_more_is_withdrawn_and_says_so() {
    let mut rig = Rig::start();
    let mut raw = Raw::login(&rig.lab.through(), &[]).unwrap();
    let (_, id) = asked(&mut raw, &delete(1));
    assert_eq!(rig.signs(&rig.grace, &id, "grace").0, 0);
    let bob = public(&rig.key("bob"));
    let without = top(rig.folder.path(), &[("bob@example.com", &bob)]);
    rig.lab.gateway.rewrite(|settings| settings.more = without).unwrap();
    rig.lab.gateway.daemon().unwrap().signal(Signal::HUP);
    rig.lab.gateway.daemon().unwrap().wait_line(|line| line.contains("reloaded")).unwrap();
    let told = raw.query(&delete(1)).unwrap();
    let told = told.iter().find_map(|m| m.field(b'M')).unwrap();
    for part in [&*id, "signed by a key that is not configured", "was withdrawn", "send it again"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let record = rig.lab.gateway.record().unwrap();
    let of = |kind: &str| record.of_kind(kind).last().unwrap_or_else(|| panic!("no {kind}")).clone();
    let differs = of("admin.approval_differs");
    assert_eq!(differs.leaf("facts")["found"], json!("signer-not-configured"));
    assert_eq!(differs.leaf("facts")["approval"], json!(id));
    let withdrawn = of("approval.withdrawn");
    assert_eq!(withdrawn.leaf("approval"), &json!(id));
    assert!(withdrawn.payload("reason").as_str().unwrap().contains("not configured"), "{withdrawn:?}");
    let (_, again) = asked(&mut raw, &delete(1));
    assert!(again != id && rig.left() == "9", "{again}");
    assert_eq!(rig.signs(&rig.bob, &again, "bob").0, 0);
    assert_eq!(asked(&mut raw, &delete(1)).0, "");
}

/// Whoever tries to approve what is not theirs, or with what is no signature, is in the record; and cannot fill it.
#[test]
fn answers_that_do_not_count_are_entries_and_not_too_many() {
    let rig = Rig::start();
    let mut raw = Raw::login(&rig.lab.through(), &[]).unwrap();
    let (_, id) = asked(&mut raw, &delete(1));
    let args = ["--kind", "human", "--on-behalf-of", "eve@example.com", "--role", "approver"];
    let eve = rig.lab.gateway.role_token("eve", &args).unwrap();
    let unsigned = json!({ "reason": "ticket 7" });
    let forged =
        json!({ "reason": "ticket 7", "signature": sign(&rig.key("grace"), "firsthand-approval", "x") });
    let cases = [
        (&rig.grace, "approve", &unsigned, "signature-missing"),
        (&rig.grace, "approve", &forged, "signature-unfit"),
        (&rig.grace, "break-glass", &json!({ "reason": "..." }), "no-reason"),
        (&eve, "approve", &unsigned, "not-in-group"),
        (&eve, "deny", &unsigned, "not-in-group"),
        (&eve, "break-glass", &unsigned, "not-for-glass"),
    ];
    for (token, word, body, why) in cases {
        let (status, told) = rig.posts(token, (&id, word), body);
        assert!(status >= 400, "{word} {why}: {told}");
    }
    let refused = || {
        let record = rig.lab.gateway.record().unwrap();
        record.of_kind("approval.answer_refused").cloned().collect::<Vec<_>>()
    };
    let told = refused();
    assert_eq!(told.len(), cases.len(), "{told:?}");
    for (entry, (_, word, _, why)) in told.iter().zip(cases) {
        assert_eq!(entry.leaf("facts"), &json!({ "answer": word, "approval": id, "why": why }));
        assert_eq!(entry.leaf("by")["kind"], json!("human"), "{entry:?}");
    }
    let found = rig.lab.gateway.cli(&["log", "search", &format!("approval:{id}")]).unwrap();
    assert!(found.contains(&format!("answer break-glass to {id} did not count: not-for-glass")), "{found}");
    // What is no id is not told; and of many in a minute, some.
    for _ in 0..30 {
        rig.posts(&eve, ("nothing;of-this", "approve"), &unsigned);
    }
    let told = refused();
    assert!(told.len() <= cases.len() + 20, "{}", told.len());
    assert!(!told.iter().any(|entry| format!("{entry:?}").contains("of-this")));
    // One who was in the clear is told still.
    rig.posts(&rig.bob, (&id, "approve"), &unsigned);
    assert_eq!(refused().last().unwrap().leaf("facts")["why"], json!("signature-missing"));
    assert_eq!(asked(&mut raw, &delete(1)), ("RF001".to_owned(), id));
}

fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let one = |part: &&[u8]| [&u32::try_from(part.len()).unwrap().to_be_bytes(), *part].concat();
    parts.iter().flat_map(one).collect()
}

/// What stands in the record as proof is one to OpenSSH, too: a signature that its tool does not take does not count here either,
/// however right the key has signed it.
#[test]
fn what_openssh_does_not_take_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let blob = strings(&[b"ssh-ed25519", pair.public_key_raw()]);
    let signers = format!("grace ssh-ed25519 {}\n", STANDARD.encode(&blob));
    for (what, reserved, version, counts) in [
        ("as OpenSSH does", "", 1u32, true),
        ("what is reserved, used", "x", 1, false),
        ("what is reserved, used for long", &*"y".repeat(300), 1, false),
        ("another version", "", 2, false),
    ] {
        let head: [&[u8]; 3] = [b"firsthand-approval", reserved.as_bytes(), b"sha512"];
        let file = folder.path().join("hashed");
        std::fs::write(&file, "text").unwrap();
        let hashed = run(Command::new("sha512sum").arg(&file));
        let hex = hashed.split(' ').next().unwrap().as_bytes();
        let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
        let hashed: Vec<u8> = hex.chunks(2).map(byte).collect();
        let signed = [b"SSHSIG".as_slice(), &strings(&head), &strings(&[&hashed])].concat();
        let signature = strings(&[b"ssh-ed25519", &pair.sign(&signed).unwrap()]);
        let whole = [
            b"SSHSIG",
            &version.to_be_bytes()[..],
            &strings(&[&blob]),
            &strings(&head),
            &strings(&[&signature]),
        ]
        .concat();
        let lines: Vec<String> = STANDARD
            .encode(whole)
            .as_bytes()
            .chunks(70)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let armored =
            format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"));
        assert_eq!(
            openssh_takes(folder.path(), &signers, "grace", "text", &armored),
            counts,
            "OpenSSH: {what}"
        );
        let here = SshSignature::read(&armored).and_then(|it| it.verify(b"text", "firsthand-approval"));
        assert_eq!(here.is_ok(), counts, "{what}: {here:?}");
    }
}
