//! Child processes that cannot outlive the test, and waiting for what they say instead of for time to pass.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal};

/// How long anything here may take before the test is wrong rather than slow (two busy cores).
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Lines of stderr kept for the message of a failure.
const TAIL_LINES: usize = 60;

/// A long-running child (server or gateway) whose stderr is read line by line.
///
/// The kernel kills the child when the thread that started it ends; that thread is the one that reads its stderr, and so
/// lives exactly as long as the child.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    pid: Pid,
    lines: Receiver<String>,
    exit: Receiver<ExitStatus>,
    tail: Arc<Mutex<VecDeque<String>>>,
    ended: Option<ExitStatus>,
}

impl Daemon {
    /// Starts `command` under `setpriv --pdeathsig`, as `owner` when given and when this process is root.
    pub fn start(name: &str, command: &Command, owner: Option<&str>) -> Result<Self> {
        let mut wrapped = as_owner(command, owner, true);
        wrapped.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let (line_tx, lines) = mpsc::channel();
        let (exit_tx, exit) = mpsc::channel();
        let (pid_tx, pid_rx) = mpsc::channel();
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&tail);
        std::thread::Builder::new().name(format!("{name} stderr")).spawn(move || {
            let child = wrapped.spawn();
            attend(child, &pid_tx, &line_tx, &exit_tx, &kept);
        })?;
        let pid = pid_rx.recv().context("the starting thread ended")?;
        let pid = pid.with_context(|| {
            format!("{name}: cannot start {command:?} (setpriv: apt-get install util-linux)")
        })?;
        let pid = Pid::from_raw(pid.cast_signed()).context("a child with pid 0")?;
        Ok(Self { name: name.to_owned(), pid, lines, exit, tail, ended: None })
    }

    /// The process id, of the program itself (setpriv replaces itself).
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Waits for a line of stderr that satisfies `wanted`, and returns it.
    pub fn wait_line(&mut self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if wanted(&line) => return Ok(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{}: the line never came; it said:\n{}", self.name, self.said())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("{}: ended before the line came; it said:\n{}", self.name, self.said())
                }
            }
        }
    }

    /// The last lines of its stderr.
    #[must_use]
    pub fn said(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Sends a signal; a process that has ended already is not an error.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            let _ = rustix::process::kill_process(self.pid, signal);
        }
    }

    /// Waits until the process has ended.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        let status = self
            .exit
            .recv_timeout(PATIENCE)
            .map_err(|_| anyhow!("{}: did not end; it said:\n{}", self.name, self.said()))?;
        self.ended = Some(status);
        Ok(status)
    }

    /// True while the process runs.
    pub fn running(&mut self) -> bool {
        if self.ended.is_none()
            && let Ok(status) = self.exit.try_recv()
        {
            self.ended = Some(status);
        }
        self.ended.is_none()
    }

    /// Resident memory in KiB, from /proc.
    pub fn resident_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.running() {
            self.signal(Signal::KILL);
            let _ = self.wait();
        }
    }
}

fn attend(
    child: std::io::Result<Child>,
    pid: &Sender<std::io::Result<u32>>,
    lines: &Sender<String>,
    exit: &Sender<ExitStatus>,
    tail: &Mutex<VecDeque<String>>,
) {
    let mut child = match child {
        Ok(child) => child,
        Err(why) => {
            let _ = pid.send(Err(why));
            return;
        }
    };
    let stderr = child.stderr.take();
    let _ = pid.send(Ok(child.id()));
    if let Some(stderr) = stderr {
        let mut reader = BufReader::new(stderr);
        let mut raw = Vec::new();
        while reader.read_until(b'\n', &mut raw).is_ok_and(|n| n > 0) {
            let line = String::from_utf8_lossy(&raw).trim_end().to_owned();
            raw.clear();
            let mut kept = tail.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == TAIL_LINES {
                kept.pop_front();
            }
            kept.push_back(line.clone());
            drop(kept);
            let _ = lines.send(line);
        }
    }
    if let Ok(status) = child.wait() {
        let _ = exit.send(status);
    }
}

/// True when this process is root, which PostgreSQL refuses to run as.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `command` again, under `setpriv` when it must change its user or die with its parent.
fn as_owner(command: &Command, owner: Option<&str>, dies_with_parent: bool) -> Command {
    let mut setpriv = Command::new("setpriv");
    if dies_with_parent {
        // A PostgreSQL server takes QUIT as "stop at once", and then takes its children and shared memory with it.
        setpriv.args(["--pdeathsig", if owner.is_some() { "QUIT" } else { "KILL" }]);
    }
    if let Some(owner) = owner.filter(|_| is_root()) {
        setpriv.args(["--reuid", owner, "--regid", owner, "--init-groups"]);
    }
    setpriv.arg("--").arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => setpriv.env(key, value),
            None => setpriv.env_remove(key),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        setpriv.current_dir(dir);
    }
    setpriv
}

/// Runs a short command to its end as `owner`, and fails with what it printed.
pub fn run_as(owner: Option<&str>, command: &Command) -> Result<String> {
    run(&mut as_owner(command, owner, false))
}

/// Runs a short command to its end and returns its stdout; fails with everything it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {command:?}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}:\n{stdout}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(stdout)
}

/// Asks `what` again until it says yes. Each asking is an exchange with a server, which is what is waited for.
pub fn until(what: &str, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !ask()? {
        if Instant::now() > deadline {
            bail!("it never came to pass: {what}");
        }
    }
    Ok(())
}

/// A TCP port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    // Below the ports that the system hands out to whoever connects (Linux: from 32768): one of those may be taken again
    // before it is used. Tried from a random one on, so that several who look at once do not meet.
    const PORTS: std::ops::Range<u16> = 20_000..32_000;
    let from = RandomState::new().hash_one(0) % u64::from(PORTS.end - PORTS.start);
    let from = PORTS.start + u16::try_from(from).unwrap_or_default();
    let mut ports = (from..PORTS.end).chain(PORTS.start..from);
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.find(free).context("all ports are taken")
}

/// The folder of the workspace, from where this crate was built.
#[must_use]
pub fn workspace() -> PathBuf {
    let mut dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    dir.pop();
    dir
}

/// The folder with the built binaries (`target/debug`, …): where the running test's own executable lies.
pub fn binaries() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let mut dir = exe.parent().context("an executable without a folder")?.to_path_buf();
    if dir.file_name() == Some(OsStr::new("deps")) {
        dir.pop();
    }
    Ok(dir)
}
