//! The client scripts under `tests/clients/`: how each is run, and where its driver is installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};

use crate::process;

/// The folder of the client scripts.
#[must_use]
pub fn folder() -> PathBuf {
    process::workspace().join("tests").join("clients")
}

/// The folder that `tests/clients/setup` fills: `FIRSTHAND_CLIENTS`, or `target/clients` of this workspace.
#[must_use]
pub fn installed() -> PathBuf {
    std::env::var_os("FIRSTHAND_CLIENTS")
        .map_or_else(|| process::workspace().join("target").join("clients"), PathBuf::from)
}

/// Runs `tests/clients/setup NAME` once per process: it returns at once when everything pinned is there.
pub fn setup(name: &'static str) -> Result<()> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    // One set-up serves all: the names only part slow ones from quick ones.
    DONE.get_or_init(|| install("all").map_err(|why| format!("{why:#}")))
        .clone()
        .map_err(|why| anyhow!("{name}: {why}"))
}

fn install(name: &str) -> Result<()> {
    let mut command = Command::new(folder().join("setup"));
    process::run(command.arg(name).env("FIRSTHAND_CLIENTS", installed())).context(
        "installing the clients (tests/clients/setup; see tests/clients/apt.txt for what apt must install)",
    )?;
    Ok(())
}

/// A command that runs the script of one client. It reads libpq's environment variables and prints a transcript.
pub fn script(client: &'static str) -> Result<Command> {
    let dir = folder().join(client);
    let cache = installed();
    let mut command = match client {
        "psql" | "dump" => Command::new(dir.join("run")),
        "psycopg3" | "psycopg2" | "asyncpg" | "sqlalchemy" => {
            let mut python = Command::new(cache.join("python").join("bin").join("python"));
            python.arg(dir.join("client.py")).env("PYTHONDONTWRITEBYTECODE", "1");
            python
        }
        "node-postgres" | "postgresjs" => {
            let mut node = Command::new("node");
            node.arg(dir.join("client.js")).env("NODE_PATH", cache.join("npm").join("node_modules"));
            node
        }
        "pgjdbc" => {
            let mut java = Command::new("java");
            java.args(["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp"]);
            java.arg(join_paths(&[&cache.join("pgjdbc").join("postgresql.jar"), &cache.join("pgjdbc")]))
                .arg("Client");
            java
        }
        "sqlx" => Command::new(cache.join("sqlx").join("debug").join("firsthand-sqlx-client")),
        "pgx" => Command::new(cache.join("pgx").join("client")),
        "tokio-postgres" => Command::new(process::binaries()?.join("tokio-postgres-client")),
        other => return Err(anyhow!("no client script for {other}")),
    };
    command.env("FIRSTHAND_CLIENTS", &cache).env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
    Ok(command)
}

fn join_paths(paths: &[&Path]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
}
