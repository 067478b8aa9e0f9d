//! The disk fills up, is read-only, comes back: commands are refused with RF002, health is red, work resumes by itself.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::lab::AGENT;
use firsthand_tests::postgres::Postgres;
use firsthand_tests::process::{self, PATIENCE};
use firsthand_tests::raw::{Message, Raw};
use rustix::process::{Resource, Rlimit};

/// Room for the segment in use, the one made ready, and little else.
const SIZE: &str = "size=80m,mode=0700";

/// A program that only root may run. (No user namespace helps: PostgreSQL does not run as its root.)
fn as_root(program: &str) -> Command {
    if process::is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", program]);
    sudo
}

/// A small file system of its own, gone with the test.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::Builder::new().prefix("firsthand-disk-").tempdir().unwrap();
        let options = format!("{SIZE},uid={}", rustix::process::geteuid().as_raw());
        process::run(as_root("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()))
            .expect("these tests mount a small file system, which needs root\nhint: run them as root, or where sudo asks for no password");
        Self { folder }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.folder.path().join("filler");
        let mut file = File::create(&path).unwrap();
        let piece = vec![1u8; 1 << 16];
        while file.write_all(&piece).is_ok() {}
        path
    }

    /// Makes the log's folder read-only for whatever is opened from now on. A file that is open for writing keeps the kernel
    /// from doing so with the whole file system, unless a device fails under it.
    fn protect_log(&self) {
        let log = self.data().join("log");
        process::run(as_root("mount").arg("--bind").args([&log, &log])).unwrap();
        process::run(as_root("mount").args(["-o", "remount,bind,ro"]).arg(&log)).unwrap();
    }

    fn release_log(&self) {
        process::run(as_root("umount").arg(self.data().join("log"))).unwrap();
    }

    fn remount(&self, how: &str) {
        process::run(as_root("mount").args(["-o", how]).arg(self.folder.path())).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = process::run(as_root("umount").arg("-l").arg(self.folder.path()));
    }
}

struct Rig {
    server: Postgres,
    gateway: Gateway,
    raw: Raw,
    // After the gateway: it must be gone before its disk is.
    disk: SmallDisk,
}

fn rig() -> Rig {
    let disk = SmallDisk::mount();
    let server = Postgres::start(None).unwrap();
    server
        .sql("shop", "create table written (n serial, size int); alter table written owner to app")
        .unwrap();
    let target = Target::of(&server.place("app", "shop"));
    let gateway = Gateway::start(Settings {
        targets: vec![target],
        data_dir: Some(disk.data()),
        ..Settings::default()
    })
    .unwrap();
    let secret = gateway.token(AGENT, &["shop"]).unwrap();
    let raw = Raw::login(&gateway.place(AGENT, &secret, "shop"), &[]).unwrap();
    Rig { server, gateway, raw, disk }
}

fn code(seen: &[Message]) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default()
}

/// A write whose intent needs some 400 KB in the log.
fn large_write(raw: &mut Raw) -> String {
    let padding = "x".repeat(400_000);
    code(&raw.query(&format!("insert into written (size) values (length('{padding}'))")).unwrap())
}

fn rows(server: &Postgres) -> usize {
    server.sql("shop", "select count(*) from written").unwrap().parse().unwrap()
}

/// Asks again until it is answered without an error; every question is an answer of the gateway, so nothing sleeps.
fn until_it_works(raw: &mut Raw) {
    let until = Instant::now() + PATIENCE;
    while !large_write(raw).is_empty() {
        assert!(Instant::now() < until, "work never resumed");
    }
}

#[test]
fn a_full_disk_refuses_commands_and_work_resumes_when_there_is_room() {
    let mut rig = rig();
    assert_eq!(rig.gateway.http("/readyz").unwrap().0, 200);
    let filler = rig.disk.fill();
    let mut written = 0;
    let refused = loop {
        let code = large_write(&mut rig.raw);
        if !code.is_empty() {
            break code;
        }
        written += 1;
        assert!(written < 400, "160 MB written on an 80 MB disk");
    };
    assert_eq!(refused, "RF002");
    assert_eq!(rows(&rig.server), written, "what was refused did not run");
    assert_eq!(large_write(&mut rig.raw), "RF002", "and the connection lives on");
    assert_eq!(rig.gateway.http("/readyz").unwrap().0, 503);
    std::fs::remove_file(filler).unwrap();
    until_it_works(&mut rig.raw);
    assert_eq!(rows(&rig.server), written + 1);
    // The signer tries again within a second.
    let until = Instant::now() + PATIENCE;
    while rig.gateway.http("/readyz").unwrap().0 != 200 {
        assert!(Instant::now() < until, "it never became ready");
    }
    rig.gateway.stop().unwrap();
    let record = rig.gateway.record().unwrap();
    let wrong = record.unbalanced();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let done =
        record.of_kind("command.completed").filter(|e| e.leaf("tag").as_str() == Some("INSERT 0 1")).count();
    assert_eq!(done, written + 1, "each insert that ran is in the record, with its outcome");
}

/// How large the gateway's files may become from now on (`ulimit -f`); `None`: as large as they like.
fn limit_files(gateway: &Gateway, bytes: Option<u64>) {
    let pid = rustix::process::Pid::from_raw(gateway.pid().unwrap());
    let limit = Rlimit { current: bytes, maximum: None };
    rustix::process::prlimit(pid, Resource::Fsize, limit).unwrap();
}

/// A file at its limit of size: the kernel sends SIGXFSZ, which ends a program that does not mind it.
#[test]
fn a_limit_on_the_size_of_files_refuses_like_a_full_disk() {
    let server = Postgres::start(None).unwrap();
    server
        .sql("shop", "create table written (n serial, size int); alter table written owner to app")
        .unwrap();
    let targets = vec![Target::of(&server.place("app", "shop"))];
    let mut gateway = Gateway::start(Settings { targets, ..Settings::default() }).unwrap();
    let secret = gateway.token(AGENT, &["shop"]).unwrap();
    let mut raw = Raw::login(&gateway.place(AGENT, &secret, "shop"), &[]).unwrap();
    assert_eq!(large_write(&mut raw), "");
    // Below where the log stands.
    limit_files(&gateway, Some(1 << 12));
    assert_eq!(large_write(&mut raw), "RF002");
    assert_eq!(large_write(&mut raw), "RF002", "and the connection lives on");
    assert_eq!(rows(&server), 1, "what was refused did not run");
    assert_eq!(gateway.http("/readyz").unwrap().0, 503);
    limit_files(&gateway, None);
    until_it_works(&mut raw);
    assert_eq!(rows(&server), 2);
    assert_eq!(gateway.http("/readyz").unwrap().0, 200);
    gateway.stop().unwrap();
    assert_eq!(gateway.record().unwrap().unbalanced(), Vec::<String>::new());
}

#[test]
fn a_refused_write_fails_its_transaction() {
    let mut rig = rig();
    rig.raw.query("begin").unwrap();
    assert_eq!(large_write(&mut rig.raw), "");
    let filler = rig.disk.fill();
    let mut tries = 0;
    while large_write(&mut rig.raw).is_empty() {
        tries += 1;
        assert!(tries < 400);
    }
    std::fs::remove_file(filler).unwrap();
    // Invariant 9: the COMMIT that comes next must not keep what came before the refusal.
    let until = Instant::now() + PATIENCE;
    loop {
        let seen = rig.raw.query("commit").unwrap();
        if code(&seen) != "RF002" {
            assert!(seen.iter().any(|m| m.tag == b'C' && m.body.starts_with(b"ROLLBACK")), "{seen:?}");
            break;
        }
        assert!(Instant::now() < until, "work never resumed");
    }
    assert_eq!(rows(&rig.server), 0);
}

#[test]
fn a_full_disk_survives_a_restart() {
    let mut rig = rig();
    let filler = rig.disk.fill();
    let mut written = 0;
    while large_write(&mut rig.raw).is_empty() {
        written += 1;
        assert!(written < 400);
    }
    rig.gateway.kill().unwrap();
    std::fs::remove_file(filler).unwrap();
    rig.gateway.serve().unwrap();
    let record = rig.gateway.record().unwrap();
    let wrong = record.unbalanced();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let done =
        record.of_kind("command.completed").filter(|e| e.leaf("tag").as_str() == Some("INSERT 0 1")).count();
    assert_eq!(done, written);
}

/// The file of the log that was written last.
fn newest_segment(data: &Path) -> PathBuf {
    let mut segments: Vec<_> = std::fs::read_dir(data.join("log"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "seg"))
        .collect();
    segments.sort();
    segments.pop().unwrap()
}

#[test]
fn a_read_only_data_folder_is_refused_at_the_start() {
    let mut rig = rig();
    assert_eq!(large_write(&mut rig.raw), "");
    rig.gateway.stop().unwrap();
    rig.disk.remount("remount,ro");
    let why = format!("{:#}", rig.gateway.serve().unwrap_err());
    assert!(why.contains("hint:"), "{why}");
    rig.disk.remount("remount,rw");
    rig.gateway.serve().unwrap();
    assert!(rig.gateway.record().unwrap().contiguous());
}

#[test]
fn a_disk_that_turns_read_only_refuses_commands_until_it_is_writable_again() {
    let mut rig = rig();
    assert_eq!(large_write(&mut rig.raw), "");
    rig.disk.protect_log();
    // The segment in use can still be filled; none can follow it.
    let mut code = large_write(&mut rig.raw);
    let mut written = 1;
    while code.is_empty() {
        written += 1;
        assert!(written < 400, "160 MB written on a read-only disk");
        code = large_write(&mut rig.raw);
    }
    assert_eq!(code, "RF002");
    assert_eq!(rows(&rig.server), written, "what was refused did not run");
    assert_eq!(rig.gateway.http("/readyz").unwrap().0, 503);
    assert_eq!(large_write(&mut rig.raw), "RF002", "and the connection lives on");
    rig.disk.release_log();
    until_it_works(&mut rig.raw);
    assert_eq!(rig.gateway.http("/readyz").unwrap().0, 200);
    rig.gateway.stop().unwrap();
    assert!(rig.gateway.record().unwrap().unbalanced().is_empty());
}

#[test]
fn a_log_damaged_in_the_middle_is_not_cut_silently() {
    let mut rig = rig();
    for _ in 0..10 {
        large_write(&mut rig.raw);
    }
    rig.gateway.kill().unwrap();
    let segment = newest_segment(&rig.disk.data());
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = 2_000_000;
    bytes[middle..middle + 64].fill(0x5a);
    OpenOptions::new().write(true).open(&segment).unwrap().write_all(&bytes).unwrap();
    let why = format!("{:#}", rig.gateway.serve().unwrap_err());
    assert!(why.contains("declare-gap"), "{why}");
}
