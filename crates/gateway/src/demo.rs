//! `firsthand demo`: a real PostgreSQL, a gateway and an agent's session on it, end to end, then the record.

mod agent;
mod postgres;
mod progress;
mod shop;
mod story;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use firsthand_adapters::identity::scram::new_secret;
use firsthand_adapters::identity::token::{NewToken, TokenKind};
use firsthand_session::secret::Secret;
use tokio::signal::unix::{SignalKind, signal};

use crate::assemble::assemble;
use crate::cli::output::Output;
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::serve::{Running, runtime};
use crate::who;
use agent::{Door, failed};
use postgres::{Folder, Installation, Server, cannot};
use progress::Progress;

/// The agent's login name.
const AGENT: &str = "billing-bot";
/// The person it acts for.
const PERSON: &str = "maria.silva@example.com";
/// The target's name, and its database's.
const TARGET: &str = "shop";
/// How long the agent's token holds.
const TOKEN_SECONDS: u64 = 8 * 3600;

/// How often it is looked whether the agent's session has ended.
const LOOK: Duration = Duration::from_millis(1);
/// For how long at most.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave everything running until Ctrl-C, to try it by hand
    #[arg(long)]
    keep: bool,
}

/// Where the gateway of the demo lives: a folder that was asked for and stays, or a temporary one.
enum Home {
    Kept(PathBuf),
    Temporary(Folder),
}

impl Home {
    fn find(dir: Option<&Path>) -> Result<Self, Failure> {
        let Some(dir) = dir else { return Folder::temporary().map(Self::Temporary) };
        let file = dir.join("firsthand.toml");
        if file.exists() && !std::fs::read_to_string(&file).is_ok_and(|text| text.starts_with(CONFIG_HEAD)) {
            return Err(Failure::new(
                format!("{} is a configuration that the demo has not written", file.display()),
                "give the demo a folder of its own with --dir DIR",
            ));
        }
        std::fs::create_dir_all(dir).map_err(|e| cannot("make", dir, &e))?;
        let dir = std::path::absolute(dir).map_err(|e| cannot("find", dir, &e))?;
        Ok(Self::Kept(dir))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// Runs the demo. Whatever it started has ended when this returns, also after Ctrl-C.
pub(crate) fn run(args: &DemoArgs, dir: Option<&Path>, out: &Output) -> Result<Exit, Failure> {
    let home = Home::find(dir)?;
    let progress = Progress::new(*out);
    let runtime = runtime()?;
    let shown = runtime.block_on(async {
        let mut interrupt = signals()?;
        tokio::select! {
            done = Box::pin(play(args, &home, &progress, out)) => done,
            () = interrupt.any() => Err(Failure::new("interrupted", "everything the demo started has been stopped")),
        }
    });
    progress.end();
    shown?;
    if matches!(home, Home::Temporary(_)) && !args.keep {
        out.talk("\nEverything was removed again. To look around: firsthand demo --dir ./demo --keep");
    }
    Ok(Exit::Done)
}

/// The signals that end a demo.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

fn signals() -> Result<Signals, Failure> {
    let cannot =
        |e| Failure::new(format!("cannot listen for signals: {e}"), "this should not happen; report it");
    let interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    Ok(Signals { interrupt, terminate })
}

impl Signals {
    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

async fn play(args: &DemoArgs, home: &Home, progress: &Progress, out: &Output) -> Result<(), Failure> {
    let installation = Installation::find()?;
    progress.step(&format!("making a scratch PostgreSQL ({})", installation.folder().display()));
    let server = installation.start(free_port()?).await?;
    let password = fill(&server, progress).await?;
    progress.done(&format!("PostgreSQL {} with a shop in it, on 127.0.0.1:{}", server.version, server.port));
    let file = write_config(home.path(), server.port, &password)?;
    let (gateway, _) = assemble(Config::load(&file)?)?;
    let running = Running::start(gateway).await?;
    let address = running.address(listened()).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    progress
        .done(&format!("the gateway, on {address}: it knows the database's password, the agent does not"));
    let secret = token(&running).await?;
    progress.done(&format!("a token for the agent {AGENT}, acting for {PERSON}"));
    let door = Door {
        address,
        user: AGENT.to_owned(),
        password: secret.clone(),
        database: TARGET.to_owned(),
        application: "billing-bot-mcp",
    };
    agent::work(&door, progress).await?;
    session_ended(&running).await;
    progress.done("the agent has worked: through an ordinary driver, unmodified");
    story::tell(&running, progress, out).await?;
    go_on(&file, &door, args.keep, home, out);
    if args.keep {
        progress.end();
        signals()?.any().await;
        out.talk("\nstopping");
    }
    let finished = running.finish().await;
    server.stop().await;
    finished
}

/// Waits until the gateway has noticed that the agent left, so that the record shown is whole.
async fn session_ended(running: &Running) {
    let gone = async {
        let mut tick = tokio::time::interval(LOOK);
        while running.gateway().sessions.count() > 0 {
            tick.tick().await;
        }
    };
    // When it takes longer the story lacks its end, which is no reason not to tell it.
    let _ = tokio::time::timeout(LOOK_MAX, gone).await;
}

/// Roles, tables, rows; the password of the role that the gateway will use.
async fn fill(server: &Server, progress: &Progress) -> Result<Secret, Failure> {
    progress.step("filling the shop: customers, orders, payments");
    let password = new_secret().map_err(|e| Failure::new(e.to_string(), "try again"))?;
    let password = Secret::new(String::clone(&password));
    let door = |user: &str, password: &Secret, database: &str| Door {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, server.port)),
        user: user.to_owned(),
        password: password.clone(),
        database: database.to_owned(),
        application: "firsthand demo",
    };
    let superuser = agent::connect(&door("postgres", &server.password, "postgres")).await?;
    for statement in
        shop::ROLE.replace("PASSWORD 'PASSWORD'", &format!("PASSWORD '{}'", password.expose())).split(';')
    {
        superuser.simple_query(statement).await.map_err(|e| failed("make the shop's role", &e))?;
    }
    let owner = agent::connect(&door("shop_rw", &password, TARGET)).await?;
    owner.simple_query(shop::TABLES).await.map_err(|e| failed("fill the shop", &e))?;
    Ok(password)
}

/// How the demo's configuration begins: such a file may be written over.
const CONFIG_HEAD: &str = "# Written by `firsthand demo`.";

/// The protocol's key in `[listen]`.
fn listened() -> &'static str {
    crate::config::keys::protocol_names().next().unwrap_or_default()
}

fn write_config(home: &Path, server: u16, password: &Secret) -> Result<PathBuf, Failure> {
    let secret = home.join("shop.password");
    write_private(&secret, password.expose())?;
    let (port, http) = (free_port()?, free_port()?);
    let text = format!(
        "{CONFIG_HEAD}\n\
         data_dir = \"data\"\n\n\
         [listen]\n\
         postgres = \"127.0.0.1:{port}\"\n\
         http = \"127.0.0.1:{http}\"\n\n\
         [[target]]\n\
         name = \"{TARGET}\"\n\
         protocol = \"postgres\"\n\
         address = \"127.0.0.1:{server}\"\n\
         database = \"shop\"\n\
         credential = {{ user = \"shop_rw\", password = {{ file = \"shop.password\" }} }}\n"
    );
    let file = home.join("firsthand.toml");
    write_private(&file, &text)?;
    Ok(file)
}

fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut f| f.write_all(text.as_bytes())).map_err(|e| cannot("write", path, &e))
}

async fn token(running: &Running) -> Result<Secret, Failure> {
    let desk = &running.gateway().desk;
    let by = who::link(&desk.keys, who::own_uid());
    // A folder that is used again has the token of the last demo, whose secret nobody has.
    if desk.tokens.to_revoke(AGENT).is_ok() {
        desk.revoke_token(AGENT, &by).await?;
    }
    let new = NewToken {
        name: AGENT.to_owned(),
        kind: TokenKind::Agent,
        on_behalf_of: Some(PERSON.to_owned()),
        targets: vec![TARGET.to_owned()],
        ttl_seconds: Some(TOKEN_SECONDS),
    };
    Ok(desk.create_token(&new, &by).await?.secret)
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, Failure> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).map(|a| a.port());
    port.map_err(|e| Failure::new(format!("no free port on 127.0.0.1: {e}"), "check the machine's network"))
}

/// What to try next.
fn go_on(file: &Path, door: &Door, keep: bool, home: &Home, out: &Output) {
    let file = file.display();
    let mut lines = Vec::new();
    if keep {
        let Door { address, user, password, database, .. } = door;
        lines.push("Be the agent yourself:".to_owned());
        lines.push(format!("  psql 'postgresql://{user}:{}@{address}/{database}'", password.expose()));
    }
    if keep || matches!(home, Home::Kept(_)) {
        lines.push("Look at the record:".to_owned());
        lines.push(format!("  firsthand sessions list --config {file}"));
        lines.push(format!("  firsthand log search 'table:payments effect:write' --config {file}"));
        lines.push(format!("  firsthand log tail --config {file}"));
    }
    if keep {
        lines.push("Ctrl-C stops everything.".to_owned());
    }
    if !lines.is_empty() {
        out.talk(&format!("\n{}", lines.join("\n")));
    }
}
