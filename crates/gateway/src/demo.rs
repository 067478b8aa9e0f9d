//! `firsthand demo`: a real PostgreSQL, a gateway and an agent's session on it, end to end, then the record.
//!
//! Read `play` first: it is the whole of it in order. The gateway is assembled and runs as under `firsthand serve`, the
//! agent comes in through an ordinary driver, and the story of the record is read from the log's files.

mod child;
mod folder;
mod postgres;
mod programs;
mod progress;
mod session;
mod shop;
mod story;

use std::path::{Path, PathBuf};

use clap::Args;
use firsthand_adapters::identity::token::{NewToken, TokenKind};
use firsthand_session::secret::Secret;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::assemble::assemble;
use crate::cli::output::Output;
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::listen::connection_string;
use crate::serve::{Running, runtime};
use crate::show::clean::shell_word;
use crate::who;
use folder::{Scratch, cannot, write_over};
use postgres::{Postgres, free_port, random_password};
use programs::Programs;
use progress::Progress;
use session::Way;

/// The agent's login name.
const AGENT: &str = "billing-bot";
/// The person it acts for.
const PERSON: &str = "ada@shop.example";
/// How long the agent's token holds.
const TOKEN_SECONDS: u64 = 8 * 3600;
/// How the demo's configuration begins: such a file may be written over.
const CONFIG_HEAD: &str = "# Written by `firsthand demo`.";

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave everything running until Ctrl-C, to try it by hand
    #[arg(long)]
    keep: bool,
}

/// Runs the demo. Whatever it started has ended when this returns, also after Ctrl-C, an error or a panic; of its files
/// only those in `dir` stay.
///
/// # Errors
/// What was in the way; or that it was interrupted.
pub(crate) fn run(args: &DemoArgs, dir: Option<&Path>, out: &Output) -> Result<Exit, Failure> {
    let dir = dir.map(own_folder).transpose()?;
    let progress = Progress::new(*out);
    let played = runtime()?.block_on(Box::pin(play(args.keep, dir.as_deref(), &progress, *out)));
    progress.end();
    played.map(|()| Exit::Done)
}

async fn play(keep: bool, dir: Option<&Path>, progress: &Progress, out: Output) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let programs = Programs::find()?;
    let scratch = Scratch::make()?;
    let stage = tokio::select! {
        stage = set(&programs, &scratch, dir.unwrap_or(scratch.path()), progress) => stage?,
        () = signals.any() => return Err(interrupted()),
    };
    let running = stage.open().await?;
    let mut played = tokio::select! {
        played = perform(&stage, &running, progress, out) => played,
        failure = stage.server.died() => Err(failure),
        () = signals.any() => Err(interrupted()),
    };
    if let Ok(secret) = &played {
        progress.tell(&go_on(&stage, secret, dir.is_some(), keep));
    }
    if keep && played.is_ok() {
        progress.step("everything is up; Ctrl-C ends it");
        tokio::select! {
            failure = stage.server.died() => played = Err(failure),
            () = signals.any() => {}
        }
    }
    progress.step("stopping");
    // However it went, the log is closed in order; the server goes after the sessions on it.
    let finished = running.finish().await;
    drop(stage);
    played.and(finished)
}

/// What the story plays on.
struct Stage {
    server: Postgres,
    size: shop::Size,
    version: String,
    config: Config,
}

/// The server with its shop, and the gateway's configuration. Cancel safe: what was begun is ended.
async fn set(
    programs: &Programs,
    scratch: &Scratch,
    home: &Path,
    progress: &Progress,
) -> Result<Stage, Failure> {
    progress.step("making a scratch PostgreSQL");
    let version = programs.version()?;
    let server = Postgres::start(programs, &scratch.path().join("server")).await?;
    progress.step("filling the shop");
    let password = random_password()?;
    let size = shop::make(&server, &password).await?;
    let config = Config::load(&write_config(home, server.port(), &password)?)?;
    Ok(Stage { server, size, version, config })
}

impl Stage {
    async fn open(&self) -> Result<Running, Failure> {
        let (gateway, _) = assemble(self.config.clone())?;
        Running::start(gateway).await
    }
}

/// The token, the agent's work, and the record of it. Returns the token's secret.
async fn perform(
    stage: &Stage,
    running: &Running,
    progress: &Progress,
    out: Output,
) -> Result<Secret, Failure> {
    progress.step("making a token");
    let secret = token(running).await?;
    let protocol = stage.config.listeners.first().map_or("", |listener| listener.protocol);
    let gateway = running.address(protocol).ok_or_else(|| {
        Failure::new("the gateway listens for no client", "this is a defect of Firsthand; please report it")
    })?;
    let (target, role, port) = (shop::DATABASE, shop::ROLE, stage.server.port());
    progress.tell(&format!(
        "The stage\n\n  \
         shop     {}, a scratch server on 127.0.0.1:{port}: {}\n  \
         gateway  Firsthand on {gateway}: target `{target}`, where it logs in as {role}\n  \
         token    for the agent {AGENT}, acting for {PERSON}; it never sees {role}'s password\n\n\n\
         What the agent did (an ordinary driver; the token stands where the password was)",
        stage.version, stage.size,
    ));
    progress.step("the agent works");
    let way = Way {
        address: gateway,
        user: AGENT.to_owned(),
        password: secret.clone(),
        database: target.to_owned(),
    };
    session::run(&way, |step| progress.tell(&step)).await?;
    progress.step("reading the record");
    let by = who::own(&running.gateway().desk.keys);
    story::tell(running, &by, progress, out).await?;
    Ok(secret)
}

async fn token(running: &Running) -> Result<Secret, Failure> {
    let desk = &running.gateway().desk;
    let by = who::own(&desk.keys);
    // A folder that is used again has the token of the last demo, whose secret nobody has.
    if desk.tokens.to_revoke(AGENT).is_ok() {
        desk.revoke_token(AGENT, &by).await?;
    }
    let new = NewToken {
        on_behalf_of: Some(PERSON.to_owned()),
        targets: vec![shop::DATABASE.to_owned()],
        ttl_seconds: Some(TOKEN_SECONDS),
        ..NewToken::new(AGENT, TokenKind::Agent)
    };
    Ok(desk.create_token(&new, &by).await?.secret)
}

/// The folder that `--dir` names, made if need be; refused when it holds a configuration of somebody's.
fn own_folder(dir: &Path) -> Result<PathBuf, Failure> {
    let file = dir.join("firsthand.toml");
    if file.exists() && !std::fs::read_to_string(&file).is_ok_and(|text| text.starts_with(CONFIG_HEAD)) {
        return Err(Failure::new(
            format!("{} is a configuration that the demo has not written", file.display()),
            "give the demo a folder of its own with --dir DIR",
        ));
    }
    std::fs::create_dir_all(dir).map_err(|e| cannot("make the folder", dir, &e))?;
    std::path::absolute(dir).map_err(|e| cannot("find", dir, &e))
}

fn write_config(home: &Path, server: u16, password: &str) -> Result<PathBuf, Failure> {
    write_over(&home.join("shop_app.password"), password)?;
    let port = || free_port().map_err(|e| cannot("find a free port on", Path::new("127.0.0.1"), &e));
    let (port, http) = (port()?, port()?);
    let text = format!(
        "{CONFIG_HEAD}\n\
         data_dir = \"data\"\n\n\
         [listen]\n\
         postgres = \"127.0.0.1:{port}\"\n\
         http = \"127.0.0.1:{http}\"\n\n\
         [[target]]\n\
         name = \"{target}\"\n\
         protocol = \"postgres\"\n\
         address = \"127.0.0.1:{server}\"\n\
         database = \"{target}\"\n\
         credential = {{ user = \"{role}\", password = {{ file = \"shop_app.password\" }} }}\n\
         changed_rows = \"values\"\n",
        target = shop::DATABASE,
        role = shop::ROLE,
    );
    let file = home.join("firsthand.toml");
    write_over(&file, &text)?;
    Ok(file)
}

/// What to try next.
fn go_on(stage: &Stage, secret: &Secret, dir: bool, keep: bool) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "firsthand".to_owned());
    let program = shell_word(&program);
    let mut text = String::from("\nHow to go on\n\n");
    let way = connection_string(&stage.config, AGENT, secret.expose(), shop::DATABASE);
    if let Some(way) = way.filter(|_| keep) {
        text.push_str(&format!("  be the agent yourself:   psql '{way}'\n"));
    }
    if !keep && !dir {
        text.push_str(&format!(
            "  all of this is removed again; to look around:   {program} demo --keep\n  \
             to keep the record:                             {program} demo --dir DIR\n"
        ));
        return text;
    }
    let data = shell_word(&stage.config.data_dir.display().to_string());
    for (what, command) in [
        ("watch the record:        ", "log tail --follow"),
        ("who deletes here?        ", "log search effect:write table:payments"),
        ("the sessions:            ", "sessions list"),
        ("one of them again:       ", "sessions replay ID"),
    ] {
        // Nothing comes any more to a log whose gateway has ended.
        let command = if keep { command } else { command.trim_end_matches(" --follow") };
        text.push_str(&format!("  {what}{program} {command} --dir {data}\n"));
    }
    if keep {
        let file = shell_word(&stage.config.file.display().to_string());
        text.push_str(&format!(
            "  the configuration:       {file}\n  Ctrl-C stops everything{}\n",
            if dir { "; the folder stays." } else { " and removes it." }
        ));
    }
    text
}

fn interrupted() -> Failure {
    Failure::new(
        "interrupted",
        "everything that the demo started has been stopped; start it again when you like",
    )
}

/// The signals that end a demo.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|e| {
                Failure::new(
                    format!("cannot listen for signals: {e}"),
                    "check the limits of this process (ulimit)",
                )
            })
        };
        let kinds = (SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup());
        Ok(Self([listen(kinds.0)?, listen(kinds.1)?, listen(kinds.2)?]))
    }

    /// Waits for one of them. Cancel safe.
    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_one_that_the_gateway_takes() {
        let scratch = Scratch::make().unwrap();
        let home = own_folder(&scratch.path().join("my demo")).unwrap();
        let config = Config::load(&write_config(&home, 5432, "s3cret").unwrap()).unwrap();
        assert_eq!(config.data_dir, home.join("data"));
        assert_eq!(config.targets[0].target.database, "shop");
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        // A second demo may have the folder, with another port and password.
        assert_eq!(own_folder(&home).unwrap(), home);
        write_config(&home, 5433, "other").unwrap();
        assert_eq!(std::fs::read_to_string(home.join("shop_app.password")).unwrap(), "other");
    }

    #[test]
    fn somebodys_configuration_is_not_written_over() {
        let scratch = Scratch::make().unwrap();
        std::fs::write(scratch.path().join("firsthand.toml"), "data_dir = \"data\"\n").unwrap();
        let said = own_folder(scratch.path()).unwrap_err().to_string();
        assert!(said.contains("has not written") && said.contains("hint: "), "{said}");
    }
}
