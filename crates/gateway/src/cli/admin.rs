//! `firsthand admin bootstrap`: the first administrator, made on the gateway's own machine by whoever owns its data folder. There
//! is no default password that could be left in place.

use std::time::Duration;

use clap::{Args, Subcommand};
use firsthand_adapters::identity::store::TokenStore;
use firsthand_adapters::identity::token::{NewToken, TokenKind};
use firsthand_model::identity::Role;
use serde_json::Value;

use super::output::Output;
use super::token;
use crate::config;
use crate::desk::store_failure;
use crate::failure::{Exit, Failure};
use crate::place::Place;

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
    if let Some(name) = administrator(place)? {
        return Err(Failure::new(
            format!("there is an administrator already: token {name}"),
            "who owns the data folder makes another with `firsthand token create NAME --kind human --role admin`",
        ));
    }
    let new = NewToken {
        name: args.name,
        kind: TokenKind::Human,
        on_behalf_of: None,
        owner: None,
        targets: Vec::new(),
        roles: vec![Role::Admin],
        ttl_seconds: args.ttl.map(|ttl| ttl.as_secs().max(1)),
    };
    new.check().map_err(|e| store_failure(e.into()))?;
    let handed = token::create_here(&new, place)?;
    token::show_created(&handed, "", out);
    Ok(Exit::Done)
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
