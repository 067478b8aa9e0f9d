//! SIGHUP: targets, the certificate and tokens are read again, and no session is dropped for it.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use firsthand_tests::certificates::Certificates;
use firsthand_tests::lab::{AGENT, Lab, Plan};
use firsthand_tests::postgres::APP_PASSWORD;
use firsthand_tests::raw::{Message, PROTOCOL_3_0, Raw};
use rustix::process::Signal;

fn code(seen: &[Message]) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default()
}

fn reload(lab: &mut Lab) {
    lab.gateway.daemon().unwrap().signal(Signal::HUP);
    lab.gateway.daemon().unwrap().wait_line(|line| line.contains("reloaded")).unwrap();
}

fn refused(login: anyhow::Result<Raw>) -> String {
    match login {
        Ok(_) => panic!("let in"),
        Err(why) => format!("{why:#}"),
    }
}

/// A file for its owner alone.
fn write_private(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn sighup_reads_targets_and_keeps_sessions() {
    let mut lab = Lab::start(Plan::default()).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    raw.query("create temporary table mine (a int)").unwrap();
    // A password in a file: the environment of a running process does not change.
    let password = lab.gateway.config().with_file_name("password");
    write_private(&password, APP_PASSWORD.as_bytes());
    let target = format!(
        "[[target]]\nname = \"new\"\nprotocol = \"postgres\"\naddress = \"127.0.0.1:{}\"\ndatabase = \"other\"\n\
         tls = \"disable\"\ncredential = {{ user = \"app\", password = {{ file = {:?} }} }}\n",
        lab.far.port(),
        password.display().to_string()
    );
    OpenOptions::new().append(true).open(lab.gateway.config()).unwrap().write_all(target.as_bytes()).unwrap();
    reload(&mut lab);
    let secret = lab.gateway.token("newcomer", &["new"]).unwrap();
    let mut there = Raw::login(&lab.gateway.place("newcomer", &secret, "new"), &[]).unwrap();
    let seen = there.query("select current_database()").unwrap();
    assert!(seen.iter().any(|m| m.tag == b'D' && m.line().ends_with("other")), "{seen:?}");
    assert_eq!(code(&raw.query("select * from mine").unwrap()), "", "the session was kept");
    assert_eq!(lab.gateway.record().unwrap().of_kind("admin.reloaded").count(), 1);
    // A file with an error changes nothing.
    fs::write(lab.gateway.config(), "data_dir = 7\n[listne]\n").unwrap();
    lab.gateway.daemon().unwrap().signal(Signal::HUP);
    lab.gateway.daemon().unwrap().wait_line(|line| line.contains("firsthand.toml")).unwrap();
    assert_eq!(code(&raw.query("select * from mine").unwrap()), "");
    Raw::login(&lab.through(), &[]).unwrap();
    Raw::login(&lab.gateway.place("newcomer", &secret, "new"), &[]).unwrap();
}

#[test]
fn sighup_reads_the_certificate_and_keeps_sessions() {
    let mut lab = Lab::start(Plan { tls: true, ..Plan::default() }).unwrap();
    let place = lab.through();
    let login = |root: &Path| -> anyhow::Result<Raw> {
        let mut raw = Raw::connect(&place)?;
        raw.upgrade(root)?;
        raw.start(&place, PROTOCOL_3_0, &[])?;
        Ok(raw)
    };
    let old = lab.certificates.as_ref().unwrap().crt("ca");
    let folder = tempfile::tempdir().unwrap();
    let renewed = Certificates::write(folder.path()).unwrap();
    let new = renewed.crt("ca");
    let mut before = login(&old).unwrap();
    assert!(login(&new).is_err(), "nothing is renewed so far");
    lab.gateway
        .rewrite(|settings| settings.tls = Some((renewed.crt("server"), renewed.key("server"))))
        .unwrap();
    reload(&mut lab);
    assert_eq!(code(&login(&new).unwrap().query("select 1").unwrap()), "");
    assert!(login(&old).is_err(), "the old certificate is still presented");
    assert_eq!(code(&before.query("select 1").unwrap()), "", "what was begun under it goes on");
    // A key that does not belong to it changes nothing.
    lab.gateway
        .rewrite(|settings| settings.tls = Some((renewed.crt("server"), renewed.key("elsewhere"))))
        .unwrap();
    lab.gateway.daemon().unwrap().signal(Signal::HUP);
    lab.gateway.daemon().unwrap().wait_line(|line| line.contains("hint:") || line.contains("ERROR")).unwrap();
    login(&new).unwrap();
}

#[test]
fn sighup_reads_the_tokens() {
    let mut lab = Lab::start(Plan::default()).unwrap();
    let tokens = lab.gateway.data_dir().join("tokens.json");
    let without = fs::read(&tokens).unwrap();
    let secret = lab.gateway.token("newcomer", &["shop"]).unwrap();
    let with = fs::read(&tokens).unwrap();
    let place = lab.gateway.place("newcomer", &secret, "shop");
    let mut running = Raw::login(&place, &[]).unwrap();
    // Restored from a backup, say: who is not in it has no token.
    write_private(&tokens, &without);
    Raw::login(&place, &[]).unwrap();
    reload(&mut lab);
    let why = refused(Raw::login(&place, &[]));
    assert!(why.contains("C28P01"), "{why}");
    assert_eq!(code(&running.query("select 1").unwrap()), "42501", "nor may a running session of it go on");
    Raw::login(&lab.through(), &[]).unwrap_or_else(|why| panic!("{AGENT} is in both: {why:#}"));
    write_private(&tokens, &with);
    reload(&mut lab);
    Raw::login(&place, &[]).unwrap();
    assert_eq!(lab.gateway.record().unwrap().of_kind("admin.reloaded").count(), 2);
}

/// What `check` warns of, the gateway warns of when it reads the rules.
#[test]
fn sighup_warns_where_nobody_can_approve() {
    let mut lab = Lab::start(Plan::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let rule = "[[rule]]\nname = \"held\"\nbecause = \"b\"\nverdict = \"hold\"\neffects = [\"write\"]\napprove = { group = \"dba\" }\n";
    fs::write(folder.path().join("rules.toml"), rule).unwrap();
    let policy = format!("[policy]\ndir = {:?}\n", folder.path().display().to_string());
    lab.gateway.rewrite(|settings| settings.more.push_str(&policy)).unwrap();
    lab.gateway.daemon().unwrap().signal(Signal::HUP);
    let warned = |line: &str| line.contains("rule held asks the group `dba`, and there is none of that name");
    lab.gateway.daemon().unwrap().wait_line(warned).unwrap();
}
