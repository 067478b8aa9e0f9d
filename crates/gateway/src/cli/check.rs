//! `firsthand check`: says what every line of a configuration came to, and tries what it names: certificates, credentials,
//! targets, issuers, channels, witnesses.

use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use firsthand_adapters::channels::ChannelSpec;
use firsthand_adapters::dialer::DirectDialer;
use firsthand_adapters::identity::issuer::ring::{Fetch as _, fetched};
use firsthand_adapters::identity::issuer::sign_in::Endpoints;
use firsthand_adapters::identity::issuer::spec::IssuerSpec;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::reader::Reader;
use firsthand_auditlog::witness::answer::MAX_ANSWER;
use firsthand_model::target::ChangedRows;
use firsthand_protocols::protocol::{Probe, RoleTask};
use firsthand_protocols::registry::stream_protocol;
use firsthand_session::port::Dialer;
use serde_json::json;
use tokio::time::timeout;

use super::output::{Output, columns};
use crate::assemble::shared_state;
use crate::channels::{Channel, deliver};
use crate::config::{self, Config, TargetConfig};
use crate::failure::{Exit, Failure};
use crate::fetch::{Fetcher, Server};
use crate::listen;
use crate::place::{Asking, Place};
use crate::{rules, warnings};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Do not connect to the targets and issuers, and do not ask for credentials
    #[arg(long)]
    offline: bool,
    /// Send a test message over each channel
    #[arg(long, conflicts_with = "offline")]
    send_test: bool,
}

/// The rules.
struct Policy {
    version: String,
    rules: usize,
    /// What they let through, and hardly mean to.
    gaps: Vec<String>,
}

impl Policy {
    fn json(self) -> serde_json::Value {
        json!({ "version": self.version, "rules": self.rules, "warnings": self.gaps })
    }
}

/// What said things begin with that somebody should do something about.
const WARNING: &str = "warning: ";

/// What was found out about one target, issuer or channel.
struct Tried {
    name: String,
    said: Vec<String>,
    failed: Option<String>,
}

/// All that was tried.
#[derive(Default)]
struct All {
    targets: Vec<Tried>,
    issuers: Vec<Tried>,
    channels: Vec<Tried>,
    witnesses: Vec<Tried>,
    /// Where approvals are kept, if not in the data folder.
    state: Vec<Tried>,
}

impl All {
    /// Each kind, in the order in which it is told.
    fn kinds(&self) -> [(&'static str, &[Tried]); 5] {
        [
            ("target", &self.targets),
            ("issuer", &self.issuers),
            ("channel", &self.channels),
            ("witness", &self.witnesses),
            ("state", &self.state),
        ]
    }
}

/// Runs the command.
pub(crate) fn run(args: &CheckArgs, place: &Place, out: &Output) -> Result<Exit, Failure> {
    let Some(config) = &place.config else {
        return Err(Failure::usage("check needs a configuration", "give --config FILE"));
    };
    let mut wrong: Vec<String> = Vec::new();
    let mut hint = None;
    if let Some(files) = &config.tls {
        for listener in &config.listeners {
            if let Err(failure) = listen::certificate(config, files, listener.protocol) {
                wrong.extend(failure.messages);
                hint = Some(failure.hint);
                break;
            }
        }
    }
    let rules = match rules::load(config) {
        Ok(rules) => rules,
        Err(failure) => {
            wrong.extend(failure.messages);
            // One line of what to do: that of the first mistake, which ends the talk.
            hint.get_or_insert(failure.hint);
            None
        }
    };
    let all = match args.offline {
        true => All::default(),
        false => All {
            targets: try_targets(place, config)?,
            issuers: try_issuers(config)?,
            channels: try_channels(config, args.send_test)?,
            witnesses: try_witnesses(config)?,
            state: try_state(config)?,
        },
    };
    // Rules that cannot be read say nothing of groups.
    let is_read = rules.is_some() || config.policy.is_none();
    let groups = if is_read { warnings::of_groups(config, rules.as_ref()) } else { Vec::new() };
    let policy = rules.map(|rules| Policy {
        version: rules.version.to_string(),
        rules: rules.metas().len(),
        gaps: warnings::of_rules(&rules),
    });
    if out.is_json() {
        show_json(config, (&all, &groups), &wrong, policy, out);
    } else {
        show(config, (&all, &groups), &wrong, policy, out);
    }
    verdict(&wrong, hint, &all)
}

/// What the command ends with.
fn verdict(wrong: &[String], hint: Option<String>, all: &All) -> Result<Exit, Failure> {
    if let Some(first) = wrong.first() {
        return Err(Failure::new(first.clone(), hint.unwrap_or_default()));
    }
    for (what, tried) in all.kinds() {
        let failed = tried.iter().filter(|t| t.failed.is_some()).count();
        if failed > 0 {
            let what = format!("{failed} of {} {what}s cannot be used as configured", tried.len());
            return Err(Failure::new(what, "see above; --offline leaves them out"));
        }
    }
    Ok(Exit::Done)
}

/// Reads the secrets of each channel, says whom it is told of and asks, and sends a message where that is wanted.
fn try_channels(config: &Config, send: bool) -> Result<Vec<Tried>, Failure> {
    let runtime = runtime()?;
    let tried = config.channels.iter().map(|spec| {
        let channel = Channel::ready(spec);
        let mut said = vec![channel_told(spec)];
        let failed = match (&channel.secrets, send) {
            (Err(why), _) => Some(why.clone()),
            (Ok(_), true) => runtime.block_on(deliver::test(&channel)).err(),
            (Ok(_), false) => None,
        };
        if send && failed.is_none() {
            said.push("the test message was taken".to_owned());
        }
        Tried { name: spec.name.clone(), said, failed }
    });
    Ok(tried.collect())
}

/// Asks each witness for nothing, which is refused as malformed by whoever understands the question.
fn try_witnesses(config: &Config) -> Result<Vec<Tried>, Failure> {
    let (runtime, specs) = (runtime()?, &config.witnesses);
    let tried = specs.all.iter().map(|spec| {
        let asked = async {
            let server = Server::find(&spec.url, spec.ca.as_deref()).await?;
            server.submit(&Bytes::new(), MAX_ANSWER).await
        };
        let failed = match runtime.block_on(asked) {
            Ok((400, _)) => None,
            Ok((status, _)) => {
                Some(format!("{}: it answers {status} to an empty request: is it a witness?", spec.url))
            }
            Err(why) => Some(format!("{}: {why}", spec.url)),
        };
        let said = format!("it answers; {} of {} must have cosigned", specs.quorum, specs.all.len());
        Tried { name: spec.name.clone(), said: vec![said], failed }
    });
    Ok(tried.collect())
}

/// Connects to the PostgreSQL that approvals are kept in, where they are.
fn try_state(config: &Config) -> Result<Vec<Tried>, Failure> {
    let Some(place) = &config.shared_state else { return Ok(Vec::new()) };
    let tried = match shared_state(place) {
        Err(failure) => Err(format!("{}; {}", failure.messages.join("; "), failure.hint)),
        Ok(state) => runtime()?.block_on(state.reach()).map_err(|e| e.to_string()),
    };
    let said = vec!["approvals are kept there, and it lets the gateway in".to_owned()];
    let (said, failed) = match tried {
        Ok(()) => (said, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    Ok(vec![Tried { name: config::state::NAME.to_owned(), said, failed }])
}

fn channel_told(spec: &ChannelSpec) -> String {
    let on: Vec<&str> = spec.on.iter().map(|occasion| occasion.word()).collect();
    let of = if spec.groups.is_empty() { String::new() } else { format!(" for {}", spec.groups.join(", ")) };
    let text = if spec.text { "with statements" } else { "without any text" };
    let people = match spec.people.len() {
        0 => "nobody answers there".to_owned(),
        1 => "one person may answer there".to_owned(),
        n => format!("{n} people may answer there"),
    };
    format!("told of {}{of}, {text}; {people}", on.join(", "))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("cannot start: {e}"), "check the limits of this process"))
}

/// Fetches the keys of each issuer, and where people sign in, what that takes.
fn try_issuers(config: &Config) -> Result<Vec<Tried>, Failure> {
    let runtime = runtime()?;
    let tried = config.issuers.iter().map(|issuer| {
        let (said, failed) = match runtime.block_on(try_issuer(issuer)) {
            Ok(said) => (said, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        Tried { name: issuer.name.clone(), said, failed }
    });
    Ok(tried.collect())
}

async fn try_issuer(issuer: &IssuerSpec) -> Result<Vec<String>, String> {
    let mut said = vec![format!("{} keys", fetched(&Fetcher, issuer).await?.count())];
    let Some(sign_in) = &issuer.sign_in else { return Ok(said) };
    if let Some(place) = &sign_in.secret {
        place.read().map_err(|e| format!("client_secret: {e}"))?;
    }
    let at = Endpoints::document(&issuer.url);
    let document = Fetcher.fetch(&at, issuer.ca.as_deref()).await.map_err(|why| format!("{at}: {why}"))?;
    let endpoints = Endpoints::read(&issuer.url, &document).map_err(|why| format!("{at}: {why}"))?;
    let device = endpoints.device.is_some().then_some("with a code");
    let browser = endpoints.authorization.is_some() && sign_in.redirect.is_some();
    let ways: Vec<_> = device.into_iter().chain(browser.then_some("with a browser")).collect();
    if ways.is_empty() {
        return Err("nobody can sign in: it has no device flow (device_authorization_endpoint), and there is no redirect_url".to_owned());
    }
    said.push(format!("people sign in {}", ways.join(" and ")));
    Ok(said)
}

fn try_targets(place: &Place, config: &Config) -> Result<Vec<Tried>, Failure> {
    let runtime = runtime()?;
    let one = |target: &TargetConfig| {
        place
            .note_asking(&Asking {
                command: "check".to_owned(),
                target: target.target.name.clone(),
                database: target.target.database.clone(),
            })
            .map_err(|failure| failure.messages.join("; "))?;
        runtime.block_on(try_target(target, log_id(place)))
    };
    let tried = config.targets.iter().map(|target| {
        let (said, failed) = match one(target) {
            Ok(said) => (said, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        Tried { name: target.target.name.clone(), said, failed }
    });
    Ok(tried.collect())
}

/// What names slots at targets; zeros where there is no log yet.
fn log_id(place: &Place) -> [u8; 16] {
    let reader = Reader::open(&place.data_dir, Arc::new(RealIo::new()));
    let header = reader.and_then(|reader| reader.from_start()?.enter());
    header.map(|header| header.log_id).unwrap_or_default()
}

async fn try_target(target: &TargetConfig, log: [u8; 16]) -> Result<Vec<String>, String> {
    let credential = target.credential.read().map_err(|e| e.to_string())?;
    let link = listen::link(target, &mut None).map_err(|failure| failure.messages.join("; "))?;
    let protocol = stream_protocol(&target.target.protocol).ok_or("its protocol is not known")?;
    let stream = DirectDialer.dial(&target.target).await.map_err(|e| e.to_string())?;
    let late = || Err("the target's greeting did not come in time".to_owned());
    let database = &target.target.database;
    let with = Probe { stream, link: link.clone(), credential: &credential, database };
    let mut said = timeout(target.timeout, protocol.probe(with)).await.unwrap_or_else(|_| late())?;
    if target.target.changed == ChangedRows::Wal {
        let stream = DirectDialer.dial(&target.target).await.map_err(|e| e.to_string())?;
        let with = Probe { stream, link: link.clone(), credential: &credential, database };
        let checking = protocol.check_changes(with, &target.target.name, log);
        said.extend(timeout(target.timeout, checking).await.unwrap_or_else(|_| late())?);
    }
    if let (Some(roles), Some(admin)) = (&target.target.roles, &target.credential.admin) {
        let admin = admin.read().map_err(|e| e.to_string())?;
        let stream = DirectDialer.dial(&target.target).await.map_err(|e| e.to_string())?;
        let with = Probe { stream, link, credential: &admin, database };
        let checking = protocol.roles(with, RoleTask::Check { group: &roles.group });
        said.extend(timeout(target.timeout, checking).await.unwrap_or_else(|_| late())?);
    }
    Ok(said)
}

fn show_json(
    config: &Config,
    (all, groups): (&All, &[String]),
    wrong: &[String],
    policy: Option<Policy>,
    out: &Output,
) {
    let resolved: Vec<_> = config
        .resolved
        .iter()
        .map(|r| json!({ "key": r.key, "value": r.value, "line": r.line, "why": r.why }))
        .collect();
    let [targets, issuers, channels, witnesses, state] = all.kinds().map(|(what, tried)| {
        let one = |t: &Tried| json!({ what: t.name, "said": t.said, "error": t.failed });
        tried.iter().map(one).collect::<Vec<_>>()
    });
    let of_keys = config.warnings.iter().map(|w| json!({ "line": w.line, "what": w.what }));
    let of_groups = groups.iter().map(|what| json!({ "line": null, "what": what }));
    let warnings: Vec<_> = of_keys.chain(of_groups).collect();
    let file = config.file.display().to_string();
    let value = json!({ "file": file, "sha256": config.hash, "resolved": resolved, "warnings": warnings,
                        "errors": wrong, "targets": targets, "issuers": issuers, "channels": channels, "witnesses": witnesses,
                        "state": state, "policy": policy.map(Policy::json) });
    out.text(&value.to_string());
}

fn show(
    config: &Config,
    (all, groups): (&All, &[String]),
    wrong: &[String],
    policy: Option<Policy>,
    out: &Output,
) {
    let lines: Vec<Vec<String>> = config
        .resolved
        .iter()
        .map(|r| {
            let default = || r.why.map_or_else(|| "default".to_owned(), |why| format!("default: {why}"));
            let from = r.line.map_or_else(default, |line| format!("line {line}"));
            vec![r.key.clone(), r.value.clone(), from]
        })
        .collect();
    out.text(&columns(&["KEY", "CAME TO", "FROM"], &lines));
    if let Some(Policy { version, rules, gaps }) = policy {
        out.text(&format!("policy {version}: {rules} rules"));
        gaps.iter().for_each(|gap| out.talk(&format!("warning: policy: {gap}")));
    }
    let of = |what: &'static str, tried: &[Tried]| {
        for tried in tried {
            let (warnings, said): (Vec<&String>, Vec<&String>) =
                tried.said.iter().partition(|said| said.starts_with(WARNING));
            // Before the rest, which may end in lines of SQL to be copied.
            for warning in warnings {
                out.text(&format!("{what} {}: {warning}", tried.name));
            }
            match &tried.failed {
                None => {
                    let said: Vec<&str> = said.iter().map(|said| said.as_str()).collect();
                    out.text(&format!("{what} {}: {}", tried.name, said.join("; ")));
                }
                Some(why) => out.text(&format!("{what} {}: failed: {why}", tried.name)),
            }
        }
    };
    all.kinds().into_iter().for_each(|(what, tried)| of(what, tried));
    for warning in &config.warnings {
        let line = warning.line.map_or(String::new(), |l| format!(":{l}"));
        out.talk(&format!("warning: {}{line}: {}", config.file.display(), warning.what));
    }
    groups.iter().for_each(|warning| out.talk(&format!("warning: {warning}")));
    for what in wrong.iter().skip(1) {
        out.talk(&format!("error: {what}"));
    }
}
