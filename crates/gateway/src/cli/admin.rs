//! `firsthand admin bootstrap`: the first administrator, made on the gateway's own machine by whoever owns its data folder. There
//! is no default password that could be left in place.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use firsthand_adapters::identity::store::TokenStore;
use firsthand_adapters::identity::token::{NewToken, TokenKind};
use firsthand_model::identity::Role;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde_json::Value;

use super::output::Output;
use super::token;
use crate::config;
use crate::desk::store_failure;
use crate::failure::{Exit, Failure};
use crate::place::{Place, make_data_dir};

/// How long one waits for another. Each starts a log of its own, or asks the gateway: seconds where the disk is slow.
const TURN_MAX: Duration = Duration::from_secs(30);
/// How often it looks.
const TURN_LOOK: Duration = Duration::from_millis(20);

/// What to do about administrators.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Make the token of the first administrator, where there is none yet; prints its secret once
    Bootstrap(BootstrapArgs),
}

/// The first administrator.
#[derive(Debug, Args)]
pub(crate) struct BootstrapArgs {
    /// The person's login name, such as ada
    name: String,
    /// How long the token holds, such as 8h or 30d [default: until revoked]
    #[arg(long, value_name = "TIME", value_parser = config::value::duration)]
    ttl: Option<Duration>,
}

/// Runs the command.
pub(crate) fn run(command: AdminCommand, place: &Place, out: &Output) -> Result<Exit, Failure> {
    let AdminCommand::Bootstrap(args) = command;
    let new = first(args);
    new.check().map_err(|e| store_failure(e.into()))?;
    make_data_dir(&place.data_dir)?;
    // From the look whether there is one until it is made: of two at once, one finds the other's.
    let _turn = turn(&place.data_dir)?;
    if let Some(name) = administrator(place)? {
        return Err(Failure::new(
            format!("there is an administrator already: token {name}"),
            "who owns the data folder makes another with `firsthand token create NAME --kind human --role admin`",
        ));
    }
    let handed = token::create_here(&new, place)?;
    token::show_created(&handed, "", out);
    Ok(Exit::Done)
}

fn first(args: BootstrapArgs) -> NewToken {
    NewToken {
        roles: vec![Role::Admin],
        ttl_seconds: args.ttl.map(|ttl| ttl.as_secs().max(1)),
        ..NewToken::new(&args.name, TokenKind::Human)
    }
}

/// Waits until nobody else makes the first administrator of this folder; it ends with what is returned. A lock of the folder itself, so
/// it takes neither that of the gateway, which makes the token where it runs, nor that of the token file, which is taken for that.
fn turn(data: &Path) -> Result<File, Failure> {
    let failed = |e: std::io::Error| {
        Failure::new(format!("{}: {e}", data.display()), "check that this user owns the data folder")
    };
    let folder = File::open(data).map_err(failed)?;
    let until = Instant::now() + TURN_MAX;
    loop {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(folder),
            Err(e) if e == Errno::WOULDBLOCK && Instant::now() < until => std::thread::sleep(TURN_LOOK),
            Err(e) if e == Errno::WOULDBLOCK => {
                return Err(Failure::later(
                    "another `admin bootstrap` does not come to its end",
                    "look whether it still runs; the first administrator may be made by then",
                ));
            }
            Err(e) => return Err(failed(e.into())),
        }
    }
}

/// The name of a valid token with the role, if there is one.
fn administrator(place: &Place) -> Result<Option<String>, Failure> {
    if !place.data_dir.exists() {
        return Ok(None);
    }
    let tokens = token::described(&TokenStore::open(&place.data_dir).map_err(store_failure)?);
    let is_admin = |token: &&Value| {
        let roles = token.get("roles").and_then(Value::as_array);
        let valid = token.get("state").is_some_and(|state| state == "valid");
        valid && roles.is_some_and(|roles| roles.iter().any(|role| role == Role::Admin.word()))
    };
    let name = |token: &Value| token.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(tokens.iter().find(is_admin).map(name))
}
