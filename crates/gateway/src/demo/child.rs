//! A child process that is waited for by what it says and never outlives its guard.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::sync::Notify;

use super::programs::Owner;

/// Lines of stderr kept to tell why it failed.
const TAIL_LINES: usize = 12;
/// How long a child may take over a signal before the next, harder one: an idle scratch server needs a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is tried to end one, in order. A PostgreSQL server takes INT as "end the sessions and stop", QUIT as "stop at once".
const SIGNALS: [Signal; 3] = [Signal::INT, Signal::QUIT, Signal::KILL];

/// A running child. Dropping it ends it and waits until it has ended.
pub(super) struct Child {
    pid: Pid,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// The same as `changed`, for async callers.
    woken: Notify,
}

#[derive(Default)]
struct State {
    tail: VecDeque<String>,
    ready: bool,
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts it, as `owner` where one is given; a line of its stderr that contains `ready_line` makes it ready.
    ///
    /// It gets a process group of its own, so that a Ctrl-C at the terminal ends it in our order, not at once. Where
    /// `setpriv` exists the kernel ends it when we are killed: the thread below, its parent, dies with us.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(
        command: &Command,
        owner: Option<Owner>,
        ready_line: &'static str,
    ) -> std::io::Result<Self> {
        let mut command = dying_with_parent(command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        if let Some(owner) = owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let (started, result) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new().name("demo child".to_owned()).spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(why) => return drop(started.send(Err(why))),
            };
            let _ = started.send(Ok(child.id()));
            if let Some(stderr) = child.stderr.take() {
                theirs.listen(BufReader::new(stderr), ready_line);
            }
            let status = child.wait().unwrap_or_default();
            theirs.change(|state| state.ended = Some(status));
        })?;
        let gone = || std::io::Error::other("the thread that starts it ended");
        let id = result.recv().map_err(|_| gone())??;
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        Ok(Self { pid, shared })
    }

    /// Waits until it is ready (true) or has ended. Cancel safe.
    pub(super) async fn ready(&self) -> bool {
        self.when(|state| if state.ready { Some(true) } else { state.ended.map(|_| false) }).await
    }

    /// Waits until it has ended. Cancel safe.
    pub(super) async fn ended(&self) -> ExitStatus {
        self.when(|state| state.ended).await
    }

    /// The last lines of its stderr.
    pub(super) fn said(&self) -> String {
        Vec::from_iter(self.shared.state().tail.iter().cloned()).join("\n")
    }

    async fn when<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        loop {
            let woken = self.shared.woken.notified();
            tokio::pin!(woken);
            // Listening starts before looking, or a change in between would be missed.
            woken.as_mut().enable();
            let seen = look(&self.shared.state());
            if let Some(seen) = seen {
                return seen;
            }
            woken.await;
        }
    }

    fn ends_within(&self, patience: Duration) -> bool {
        let state = self.shared.state();
        let wait = self.shared.changed.wait_timeout_while(state, patience, |state| state.ended.is_none());
        wait.unwrap_or_else(PoisonError::into_inner).0.ended.is_some()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        for signal in SIGNALS {
            if self.shared.state().ended.is_some() {
                return;
            }
            let _ = rustix::process::kill_process(self.pid, signal);
            if self.ends_within(PATIENCE) {
                return;
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
        self.woken.notify_waiters();
    }

    /// Reads to the end: a child whose stderr nobody reads would stop at a full pipe.
    fn listen(&self, mut stderr: impl BufRead, ready_line: &str) {
        let mut raw = Vec::new();
        while stderr.read_until(b'\n', &mut raw).is_ok_and(|n| n > 0) {
            let line = String::from_utf8_lossy(&raw).trim_end().to_owned();
            raw.clear();
            self.change(|state| {
                state.ready |= line.contains(ready_line);
                if state.tail.len() == TAIL_LINES {
                    state.tail.pop_front();
                }
                state.tail.push_back(line);
            });
        }
    }
}

/// The command under `setpriv`, where there is one.
fn dying_with_parent(command: &Command) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join("setpriv"));
    let mut wrapped = match places.find(|program| program.is_file()) {
        Some(setpriv) => {
            let mut wrapped = Command::new(setpriv);
            wrapped.args(["--pdeathsig", "QUIT", "--"]).arg(command.get_program());
            wrapped
        }
        None => Command::new(command.get_program()),
    };
    wrapped.args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        Child::start(Command::new("sh").args(["-c", script]), None, "ready now").unwrap()
    }

    fn lives(pid: Pid) -> bool {
        rustix::process::test_kill_process(pid).is_ok()
    }

    #[tokio::test]
    async fn it_is_ready_when_it_says_so_and_ends_with_its_guard() {
        let child = shell("echo 'I am ready now' >&2; exec tail -f /dev/null");
        assert!(child.ready().await);
        let pid = child.pid;
        assert!(lives(pid));
        drop(child);
        assert!(!lives(pid));
    }

    #[tokio::test]
    async fn an_early_end_is_told_with_its_last_words() {
        let child = shell("echo 'no such thing' >&2; exit 3");
        assert!(!child.ready().await);
        assert_eq!(child.ended().await.code(), Some(3));
        assert_eq!(child.said(), "no such thing");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_or_ends() {
        if let Ok(child) = Child::start(&Command::new("/nowhere/at-all"), None, "ready") {
            assert!(child.ends_within(PATIENCE), "setpriv says so itself");
        }
    }
}
