//! `firsthand token`: make, list, revoke.

use std::time::Duration;

use clap::{Args, Subcommand};
use firsthand_adapters::clock::wall;
use firsthand_adapters::identity::store::TokenStore;
use firsthand_adapters::identity::token::{NewToken, Token, TokenKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::output::{Output, columns};
use crate::config::{self, Config};
use crate::desk::{Desk, kind_word, store_failure};
use crate::failure::{Exit, Failure};
use crate::place::{Place, Way};
use crate::who;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; prints its secret once, and a connection string per target
    Create(CreateArgs),
    /// List the tokens
    List,
    /// End a token: no session opens with it, and commands of open ones are refused
    Revoke {
        /// Its login name, or its id
        name: String,
    },
}

/// A token to be made.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The login name
    name: String,
    /// Whom it names: agent, human or service
    #[arg(long, default_value = "agent")]
    kind: TokenKind,
    /// The person it acts for
    #[arg(long, value_name = "WHO")]
    on_behalf_of: Option<String>,
    /// A target it may reach; repeat for more [default: the only one]
    #[arg(long = "target", value_name = "T")]
    targets: Vec<String>,
    /// How long it holds, such as 8h or 30d [default: until revoked]
    #[arg(long, value_name = "TIME", value_parser = config::value::duration)]
    ttl: Option<Duration>,
}

/// A token with its secret, as the gateway hands it to the command line.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Handed {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) targets: Vec<String>,
    pub(crate) expires: Option<String>,
}

/// Runs the command.
pub(crate) fn run(command: TokenCommand, place: &Place, out: &Output) -> Result<Exit, Failure> {
    match command {
        TokenCommand::Create(args) => create(args, place, out),
        TokenCommand::List => list(place, out),
        TokenCommand::Revoke { name } => revoke(&name, place, out),
    }
}

fn create(args: CreateArgs, place: &Place, out: &Output) -> Result<Exit, Failure> {
    let targets = targets(args.targets, place.config.as_ref())?;
    let new = NewToken {
        name: args.name,
        kind: args.kind,
        on_behalf_of: args.on_behalf_of,
        targets,
        ttl_seconds: args.ttl.map(|ttl| ttl.as_secs().max(1)),
    };
    new.check().map_err(|e| store_failure(e.into()))?;
    let handed = match place.way("token create")? {
        Way::Gateway(client) => client.ask("POST", "/v1/tokens", &json!(new))?,
        Way::Alone(alone) => alone.act(async |desk: &Desk| {
            let by = who::link(&desk.keys, who::own_uid());
            Ok(handed(&desk.create_token(&new, &by).await?))
        })?,
    };
    show_created(&handed, place.config.as_ref(), out);
    Ok(Exit::Done)
}

/// Prepares what the command line prints.
pub(crate) fn handed(created: &firsthand_adapters::identity::store::Created) -> Handed {
    let token = &created.token;
    Handed {
        id: token.id.clone(),
        name: token.name.clone(),
        secret: created.secret.expose().to_owned(),
        targets: token.targets.clone(),
        expires: token.expires.map(|t| t.to_string()),
    }
}

/// Checks the targets against the configuration, where there is one; the only one is the default.
fn targets(asked: Vec<String>, config: Option<&Config>) -> Result<Vec<String>, Failure> {
    let Some(config) = config else {
        if asked.is_empty() {
            return Err(Failure::usage(
                "no target was named",
                "give --target T (once per target), or --config FILE so that the targets are known",
            ));
        }
        return Ok(asked);
    };
    let known: Vec<&str> = config.targets.iter().map(|t| t.target.name.as_str()).collect();
    if let Some(unknown) = asked.iter().find(|t| !known.contains(&t.as_str())) {
        return Err(Failure::usage(
            format!("there is no target `{unknown}` in {}", config.file.display()),
            config::nearest(unknown, &known),
        ));
    }
    match (asked.is_empty(), known.as_slice()) {
        (false, _) => Ok(asked),
        (true, [only]) => Ok(vec![(*only).to_owned()]),
        (true, _) => {
            let names = known.join(", ");
            Err(Failure::usage("no target was named", format!("give --target T, once per target: {names}")))
        }
    }
}

fn show_created(handed: &Handed, config: Option<&Config>, out: &Output) {
    let strings: Vec<(String, Option<String>)> = handed
        .targets
        .iter()
        .map(|target| {
            let string = config
                .and_then(|c| crate::listen::connection_string(c, &handed.name, &handed.secret, target));
            (target.clone(), string)
        })
        .collect();
    let value = json!({
        "id": handed.id, "name": handed.name, "secret": handed.secret, "expires": handed.expires,
        "targets": strings.iter().map(|(t, s)| json!({ "target": t, "connect": s })).collect::<Vec<_>>(),
    });
    out.show(&value, || {
        let mut text = format!("token   {}\nsecret  {}\n", handed.name, handed.secret);
        for (target, string) in &strings {
            let what = string.as_deref().unwrap_or("(give --config for a connection string)");
            text.push_str(&format!("{target:<7} {what}\n"));
        }
        text
    });
    if !out.is_json() {
        let end = handed.expires.as_ref().map_or("until it is revoked".to_owned(), |t| format!("until {t}"));
        out.talk(&format!("The secret is shown this once and is not stored. It holds {end}."));
    }
}

fn list(place: &Place, out: &Output) -> Result<Exit, Failure> {
    place.must_exist()?;
    let tokens = TokenStore::open(&place.data_dir).map_err(store_failure)?.list();
    if out.is_json() {
        for token in &tokens {
            out.text(&describe(token).to_string());
        }
        return Ok(Exit::Done);
    }
    let dash = || "-".to_owned();
    let lines: Vec<Vec<String>> = tokens
        .iter()
        .map(|t| {
            vec![
                t.name.clone(),
                kind_word(t.kind).to_owned(),
                t.on_behalf_of.clone().unwrap_or_else(dash),
                t.targets.join(","),
                t.state(wall()).word().to_owned(),
                t.expires.map_or_else(dash, |e| e.to_string()),
                t.id.clone(),
            ]
        })
        .collect();
    out.text(&columns(&["NAME", "KIND", "FOR", "TARGETS", "STATE", "EXPIRES", "ID"], &lines));
    Ok(Exit::Done)
}

fn describe(token: &Token) -> Value {
    json!({
        "id": token.id, "name": token.name, "kind": kind_word(token.kind),
        "on_behalf_of": token.on_behalf_of, "targets": token.targets,
        "state": token.state(wall()).word(), "created": token.created.to_string(),
        "created_by": token.created_by, "expires": token.expires.map(|t| t.to_string()),
        "revoked": token.revoked.map(|t| t.to_string()),
    })
}

fn revoke(name: &str, place: &Place, out: &Output) -> Result<Exit, Failure> {
    place.must_exist()?;
    let revoked: Value = match place.way("token revoke")? {
        Way::Gateway(client) => client.ask("POST", "/v1/tokens/revoke", &json!({ "token": name }))?,
        Way::Alone(alone) => alone.act(async |desk: &Desk| {
            let by = who::link(&desk.keys, who::own_uid());
            let token = desk.revoke_token(name, &by).await?;
            Ok(json!({ "id": token.id, "name": token.name }))
        })?,
    };
    out.show(&revoked, || format!("revoked {}", revoked.get("name").and_then(Value::as_str).unwrap_or(name)));
    Ok(Exit::Done)
}
