//! Firsthand itself on the bed: its configuration, its process, its tokens.

use super::{
    bed::{Bed, Peer, free_port, listens, stop, wait_until},
    client::{Client, Login},
};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

/// What one process of Firsthand is given to do.
pub(super) struct Setup {
    name: &'static str,
    /// `(target, its record settings)`: the same server each time.
    targets: &'static [(&'static str, &'static str)],
    /// With `[policy]`: every command is judged by these.
    rules: Option<fn() -> Result<String>>,
}

/// Without `[policy]`. `bulk` keeps whole results, to make a large log.
pub(super) const PLAIN: Setup = Setup {
    name: "firsthand",
    targets: &[
        ("relaxed", r#"{ rows = 1000, bytes = "1MiB", durability = "relaxed" }"#),
        ("strict", r#"{ rows = 1000, bytes = "1MiB", durability = "strict" }"#),
        ("bulk", r#"{ rows = 1000000, bytes = "64MiB", durability = "relaxed" }"#),
    ],
    rules: None,
};

/// With the rules that are shipped for agents, changed only so far that the benchmark's own writes may run. Of the four
/// columns of `pgbench_accounts`, two are labelled on `masked`.
pub(super) const GUARDED: Setup = Setup {
    name: "guarded",
    targets: &[
        ("rules", r#"{ rows = 1000, bytes = "1MiB", durability = "relaxed" }"#),
        ("rules-strict", r#"{ rows = 1000, bytes = "1MiB", durability = "strict" }"#),
        ("masked", r#"{ rows = 1000, bytes = "1MiB", durability = "relaxed" }"#),
    ],
    rules: Some(shipped_rules),
};

/// With a target on which every write waits for a person.
pub(super) const HOLDING: Setup = Setup {
    name: "holding",
    targets: &[
        ("rules", r#"{ rows = 1000, bytes = "1MiB", durability = "relaxed" }"#),
        ("held", r#"{ rows = 1000, bytes = "1MiB", durability = "relaxed" }"#),
    ],
    rules: Some(|| Ok(HOLDS.to_owned())),
};

/// They wait for longer than it takes to measure, and for less than a client of the benchmark has patience.
const HOLDS: &str = r#"
[[group]]
name = "approvers"
members = ["local:*"]
[[rule]]
name = "reads"
because = "Anybody may."
verdict = "allow"
effects = ["read", "transaction", "session"]
[[rule]]
name = "writes"
because = "A person must approve it."
verdict = "hold"
effects = ["write"]
targets = ["held"]
approve = { group = "approvers", wait = "75s" }
"#;

const SHIPPED: &str = include_str!("../../../policy/agents.toml");
/// What stands otherwise in the shipped rules, and what stands there for the benchmark.
const FOR_WRITES: &[(&str, &str)] = &[
    (
        "verdict = \"hold\"\nkinds = [\"agent\"]\neffects = [\"write\"]\n",
        "verdict = \"allow\"\nkinds = [\"agent\"]\neffects = [\"write\"]\n",
    ),
    ("approve = { group = \"approvers\", quorum = 1, ttl = \"15m\" }\n", ""),
    ("affected = 1000\n", "affected = 2000000\n"),
];
const LABELS: &str = "\n[[label]]\nlabel = \"private\"\ncolumns = [\"pgbench_accounts.abalance\", \
                      \"pgbench_accounts.filler\"]\ntargets = [\"masked\"]\n";

/// The token's name, and the person it acts for.
const TOKEN: (&str, &str) = ("bench", "someone@example.org");

pub(super) struct Subject {
    setup: &'static Setup,
    pub(super) program: PathBuf,
    config: PathBuf,
    /// The data folder, on the disk whose fdatasync counts.
    pub(super) data: PathBuf,
    port: u16,
    logins: Vec<(&'static str, Login)>,
    running: Option<Child>,
}

impl Subject {
    /// Writes the configuration, makes the token and starts the gateway.
    pub(super) fn start(setup: &'static Setup, bed: &Bed, program: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let port = free_port()?;
        let (config, data) = (folder.join("firsthand.toml"), folder.join("data"));
        let mut text = configuration(setup, bed, &data, port, free_port()?);
        if let Some(text_of) = setup.rules {
            let rules = folder.join("policy");
            fs::create_dir_all(&rules)?;
            fs::write(rules.join("rules.toml"), text_of()?)?;
            text.push_str(&format!("[policy]\ndir = \"{}\"\n", rules.display()));
        }
        fs::write(&config, text)?;
        let program = program.to_owned();
        let mut subject = Self { setup, program, config, data, port, logins: Vec::new(), running: None };
        subject.logins = subject.create_token(TOKEN.0, TOKEN.1)?;
        subject.start_process(bed)?;
        for (name, login) in &subject.logins {
            Client::connect(login).with_context(|| format!("log in to {name} through the gateway"))?;
        }
        Ok(subject)
    }

    /// Starts the process. Returns how long it took until the first connection was accepted.
    pub(super) fn start_process(&mut self, bed: &Bed) -> Result<Duration> {
        let mut command = Command::new(&self.program);
        command.args(["serve", "--config"]).arg(&self.config);
        let began = Instant::now();
        let mut child = bed.spawn(command, self.setup.name)?;
        let patience = Duration::from_secs(60);
        while !listens(self.port) {
            if child.try_wait()?.is_some() || began.elapsed() > patience {
                let said =
                    fs::read_to_string(bed.dir.join(format!("{}.out", self.setup.name))).unwrap_or_default();
                bail!("firsthand serve did not start:\n{said}");
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        let took = began.elapsed();
        self.running = Some(child);
        Ok(took)
    }

    /// Ends the process: by SIGTERM as an operator would, or by SIGKILL as a crash would.
    pub(super) fn stop_process(&mut self, crash: bool) {
        let Some(mut child) = self.running.take() else { return };
        if crash {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if wait_until(|| !matches!(child.try_wait(), Ok(None)), "the gateway to end").is_err() {
            stop(&mut child);
        }
    }

    pub(super) fn pid(&self) -> Result<u32> {
        Ok(self.running.as_ref().context("the gateway does not run")?.id())
    }

    /// A target of the gateway as something to connect to.
    pub(super) fn peer(&self, target: &str) -> Result<Peer> {
        let (name, login) = self.logins.iter().find(|(name, _)| *name == target).context("no such target")?;
        Ok(Peer { name, login: login.clone(), pid: Some(self.pid()?) })
    }

    /// How many commands wait for a person, as an operator is told.
    pub(super) fn open_approvals(&self) -> Result<usize> {
        let mut command = Command::new(&self.program);
        command.args(["approvals", "list", "--json", "--config"]).arg(&self.config);
        let output = command.output().context("run firsthand approvals list")?;
        Ok(output.stdout.iter().filter(|byte| **byte == b'\n').count())
    }

    /// A token for an agent of this person: a login for each target.
    pub(super) fn create_token(&self, name: &str, person: &str) -> Result<Vec<(&'static str, Login)>> {
        let mut command = Command::new(&self.program);
        command.args(["token", "create", name, "--kind", "agent", "--on-behalf-of", person, "--json"]);
        for (target, _) in self.setup.targets {
            command.args(["--target", target]);
        }
        let output =
            command.arg("--config").arg(&self.config).output().context("run firsthand token create")?;
        if !output.status.success() {
            bail!("firsthand token create failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let answer: Value = serde_json::from_slice(&output.stdout).context("token create --json")?;
        let mut addresses = Vec::new();
        strings(&answer, &mut addresses);
        let login = |target: &str| {
            addresses.iter().filter_map(|a| parse_address(a)).find(|login| login.database == target)
        };
        self.setup
            .targets
            .iter()
            .map(|(target, _)| {
                Ok((*target, login(target).with_context(|| format!("no DSN for {target} in {answer}"))?))
            })
            .collect()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.stop_process(false);
    }
}

/// The rules of the benchmark, without the cases that stand beside them.
fn shipped_rules() -> Result<String> {
    let mut text = SHIPPED.split_once("[[test]]").context("the shipped rules have no cases")?.0.to_owned();
    for (shipped, ours) in FOR_WRITES {
        if !text.contains(shipped) {
            bail!("policy/agents.toml has changed: `{shipped}` is not in it");
        }
        text = text.replace(shipped, ours);
    }
    Ok(text + LABELS)
}

fn configuration(setup: &Setup, bed: &Bed, data: &Path, port: u16, http: u16) -> String {
    let server = &bed.direct.login;
    let mut text = format!(
        "data_dir = \"{}\"\n[listen]\npostgres = \"127.0.0.1:{port}\"\nhttp = \"127.0.0.1:{http}\"\n",
        data.display()
    );
    let password = bed.dir.join("password");
    for (name, record) in setup.targets {
        text.push_str(&format!(
            "[[target]]\nname = \"{name}\"\nprotocol = \"postgres\"\naddress = \"{}:{}\"\ndatabase = \"{}\"\n\
             tls = \"disable\"\ncredential = {{ user = \"{}\", password = {{ file = \"{}\" }} }}\nrecord = {record}\nchanged_rows = \"off\"\n",
            server.host,
            server.port,
            server.database,
            server.user,
            password.display()
        ));
    }
    text
}

/// Every string in a JSON value.
fn strings(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|v| strings(v, into)),
        Value::Object(fields) => fields.values().for_each(|v| strings(v, into)),
        _ => {}
    }
}

/// `postgresql://NAME:TOKEN@HOST:PORT/TARGET`, with or without parameters behind.
fn parse_address(text: &str) -> Option<Login> {
    let rest = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"))?;
    let (who, place) = rest.rsplit_once('@')?;
    let (user, password) = who.split_once(':')?;
    let (address, database) = place.split_once('/')?;
    let (host, port) = address.rsplit_once(':')?;
    let database = database.split('?').next()?;
    Some(Login {
        host: host.to_owned(),
        port: port.parse().ok()?,
        user: user.to_owned(),
        password: password.to_owned(),
        database: database.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_is_taken_apart() {
        let login =
            parse_address("postgresql://bench:fh_x-y@127.0.0.1:6432/relaxed?sslmode=disable").unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("bench", "fh_x-y"));
        assert_eq!((login.port, login.database.as_str()), (6432, "relaxed"));
        assert!(parse_address("fh_secret").is_none());
    }

    #[test]
    fn the_shipped_rules_still_have_what_the_benchmark_changes() {
        assert!(shipped_rules().unwrap().contains("pgbench_accounts.filler"));
    }
}
