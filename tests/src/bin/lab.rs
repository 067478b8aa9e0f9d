//! Runs any program against a scratch PostgreSQL, directly or through the gateway, with libpq's variables set.
//!
//! `lab [--direct] [--super] [--tls] [--database NAME [--create-with SQL]] [--seed SQL] [--target TOML] [--record FILE] -- PROGRAM
//! ARGS…`: for a driver's own test suite, PostgreSQL's regression tests, or a shell (`lab -- bash`). TOML is added to the
//! target's table; the record goes to FILE.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use firsthand_tests::certificates::Certificates;
use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::lab::AGENT;
use firsthand_tests::postgres::{DATABASE, Postgres};

struct Options {
    direct: bool,
    tls: bool,
    role: String,
    database: String,
    seed: String,
    record: Option<String>,
    target: String,
    create_with: String,
    program: Vec<String>,
}

fn options() -> Result<Options> {
    let mut args = std::env::args().skip(1);
    let mut options = Options {
        direct: false,
        tls: false,
        role: "app".to_owned(),
        database: DATABASE.to_owned(),
        seed: String::new(),
        record: None,
        target: String::new(),
        create_with: String::new(),
        program: Vec::new(),
    };
    while let Some(arg) = args.next() {
        let mut next = || args.next().with_context(|| format!("{arg} takes a value"));
        match arg.as_str() {
            "--direct" => options.direct = true,
            "--tls" => options.tls = true,
            "--super" => "postgres".clone_into(&mut options.role),
            "--database" => options.database = next()?,
            "--create-with" => options.create_with = next()?,
            "--seed" => options.seed = next()?,
            "--record" => options.record = Some(next()?),
            "--target" => options.target = next()?,
            "--" => {
                options.program.extend(args);
                break;
            }
            other => anyhow::bail!("no such option: {other}"),
        }
    }
    anyhow::ensure!(!options.program.is_empty(), "which program? (after --)");
    Ok(options)
}

fn main() -> Result<ExitCode> {
    let options = options()?;
    let folder = tempfile::tempdir()?;
    let certificates = if options.tls { Some(Certificates::write(folder.path())?) } else { None };
    let server = Postgres::start(certificates.as_ref())?;
    if options.database != DATABASE {
        let Options { database, role, create_with, .. } = &options;
        server.sql("postgres", &format!("CREATE DATABASE \"{database}\" OWNER {role} {create_with}"))?;
    }
    if !options.seed.is_empty() {
        server.sql(&options.database, &options.seed)?;
    }
    let mut place = server.place(&options.role, &options.database);
    let mut gateway = None;
    if !options.direct {
        let target = Target::of(&place).more(&options.target);
        let tls = certificates.as_ref().map(|c| (c.crt("server"), c.key("server")));
        let running = Gateway::start(Settings { targets: vec![target], tls, ..Settings::default() })?;
        let secret = running.token(AGENT, &[&options.database])?;
        place = running.place(AGENT, &secret, &options.database);
        gateway = Some(running);
    }
    if let Some(certificates) = &certificates {
        place = place.over_tls("verify-full", Some(certificates.crt("ca")));
    }
    let [program, args @ ..] = options.program.as_slice() else { anyhow::bail!("which program?") };
    let mut command = Command::new(program);
    command.args(args).envs(place.environment()).env("PGURL", place.url());
    command.env("LAB_SOCKET_DIR", server.socket_dir()).env("LAB_SERVER_PORT", server.port().to_string());
    if let Some(gateway) = &gateway {
        command.env("LAB_CONFIG", gateway.config()).env("LAB_HTTP", gateway.http_port().to_string());
    }
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    if let (Some(file), Some(gateway)) = (&options.record, &gateway) {
        std::fs::write(file, gateway.cli(&["log", "cat", "--json"])?)?;
    }
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}
