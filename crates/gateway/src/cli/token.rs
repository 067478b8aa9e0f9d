//! `firsthand token`: make, list, show, revoke.

use std::time::Duration;

use clap::{Args, Subcommand};
use firsthand_adapters::clock::wall;
use firsthand_adapters::identity::store::{StoreError, TokenStore};
use firsthand_adapters::identity::token::{NewToken, State, Token, TokenKind};
use firsthand_model::identity::Role;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::exchange::ExchangeArgs;
use super::output::{Output, columns};
use super::{Elsewhere, exchange};
use crate::config::{self, Config};
use crate::desk::{Desk, kind_word, store_failure};
use crate::failure::{Exit, Failure};
use crate::place::{At, Place, Way};
use crate::remote::Asked as _;
use crate::show::clean;
use crate::who;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; prints its secret once, and a connection string per target
    Create(CreateArgs),
    /// List the tokens
    List,
    /// Show one token, and how it came by exchange or by signing in if it did
    Show {
        /// Its login name, or its id
        name: String,
    },
    /// Get a short token for an agent that acts for a person, by the tokens of both (docs/identity.md)
    Exchange(ExchangeArgs),
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
    /// The team or person that answers for it; recommended for agents and services
    #[arg(long, value_name = "TEAM-OR-PERSON")]
    owner: Option<String>,
    /// A target it may reach; repeat for more [default: the only one; none with --role]
    #[arg(long = "target", value_name = "T")]
    targets: Vec<String>,
    /// What it may do at the gateway itself, over its API: admin (all), auditor (read the record, list), approver (answer what
    /// waits for a person), user (see what waits in their own name) [default: nothing]
    #[arg(long = "role", value_name = "ROLE", value_parser = role)]
    roles: Vec<Role>,
    /// How long it holds, such as 8h or 30d [default: until revoked]
    #[arg(long, value_name = "TIME", value_parser = config::value::duration)]
    ttl: Option<Duration>,
}

fn role(word: &str) -> Result<Role, String> {
    let known: Vec<&str> = Role::ALL.iter().map(|role| role.word()).collect();
    Role::parse(word).ok_or_else(|| format!("`{word}` is not one of {}", known.join(", ")))
}

/// A token with its secret, as the gateway hands it to the command line.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Handed {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) secret: String,
    /// The targets, each with the connection string that the gateway's own configuration makes of it.
    pub(crate) targets: Vec<(String, Option<String>)>,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    pub(crate) expires: Option<String>,
}

/// Runs the command.
pub(crate) fn run(
    command: TokenCommand,
    elsewhere: &Elsewhere,
    at: impl FnOnce() -> Result<At, Failure>,
    out: &Output,
) -> Result<Exit, Failure> {
    match command {
        TokenCommand::Create(args) => create(args, &at()?, out),
        TokenCommand::List => list(&at()?, out),
        TokenCommand::Show { name } => show(&name, &at()?, out),
        TokenCommand::Revoke { name } => revoke(&name, &at()?, out),
        // It shows the tokens that it is given, and none of its own.
        TokenCommand::Exchange(args) => exchange::run(&args, elsewhere, out),
    }
}

fn create(args: CreateArgs, at: &At, out: &Output) -> Result<Exit, Failure> {
    let mut new = NewToken {
        name: args.name,
        kind: args.kind,
        on_behalf_of: args.on_behalf_of,
        owner: args.owner,
        targets: args.targets,
        roles: args.roles,
        ttl_seconds: args.ttl.map(|ttl| ttl.as_secs().max(1)),
    };
    new.roles.sort_unstable();
    new.roles.dedup();
    if new.kind == TokenKind::Agent && !new.roles.is_empty() {
        out.talk(
            "note: this token names an agent and has a role at the gateway; --kind human names a person",
        );
    }
    let (without, handed) = match at {
        At::There(remote) => {
            let answer = remote.asked("POST", "/v1/tokens", &json!(new))?;
            let mut handed: Handed = serde_json::from_value(answer).map_err(|_| crate::remote::strange())?;
            (handed_elsewhere(&mut handed, remote.is_near()), handed)
        }
        At::Here(place) => {
            new.targets = targets(new.targets, place.config.as_ref(), !new.roles.is_empty())?;
            new.check().map_err(|e| store_failure(e.into()))?;
            ("(give --config for a connection string)".to_owned(), create_here(&new, place)?)
        }
    };
    show_created(&handed, &without, out);
    Ok(Exit::Done)
}

/// Takes out connection strings that lead to the machine where they are printed, and not to the gateway's. Says what
/// stands in the place of one.
pub(crate) fn handed_elsewhere(handed: &mut Handed, near: bool) -> String {
    let mut only_there = None;
    for (_, string) in &mut handed.targets {
        if let Some(place) = string.as_deref().and_then(place_on_its_own_machine).filter(|_| !near) {
            only_there = Some(place.to_owned());
            *string = None;
        }
    }
    match only_there {
        Some(place) => format!(
            "(no connection string: the gateway listens at {place}, which only its own machine reaches; see its [listen])"
        ),
        None => "(no connection string: the gateway listens for no such protocol)".to_owned(),
    }
}

/// The host and port of a connection string, where they are loopback.
fn place_on_its_own_machine(string: &str) -> Option<&str> {
    let (_, behind) = string.split_once("://")?.1.rsplit_once('@')?;
    let (place, _) = behind.split_once('/')?;
    let (host, _) = place.rsplit_once(':')?;
    crate::remote::is_this_machine(host).then_some(place)
}

pub(super) fn create_here(new: &NewToken, place: &Place) -> Result<Handed, Failure> {
    let mut handed = match place.way("token create")? {
        Way::Gateway(client) => client.ask("POST", "/v1/tokens", &json!(new))?,
        Way::Alone(alone) => alone.act(async |desk: &Desk| {
            let by = who::own(&desk.keys);
            Ok(handed(&desk.create_token(new, &by).await?, None))
        })?,
    };
    for (target, string) in &mut handed.targets {
        // The configuration that was named may know a better address than the one the gateway was started with.
        let config = place.config.as_ref();
        *string =
            config.and_then(|c| crate::listen::connection_string(c, &handed.name, &handed.secret, target));
    }
    Ok(handed)
}

/// Prepares what the command line prints.
pub(crate) fn handed(
    created: &firsthand_adapters::identity::store::Created,
    config: Option<&Config>,
) -> Handed {
    let (token, secret) = (&created.token, created.secret.expose());
    let string = |target: &String| {
        let string = config.and_then(|c| crate::listen::connection_string(c, &token.name, secret, target));
        (target.clone(), string)
    };
    Handed {
        id: token.id.clone(),
        name: token.name.clone(),
        secret: secret.to_owned(),
        targets: token.targets.iter().map(string).collect(),
        roles: token.roles.iter().map(|role| role.word().to_owned()).collect(),
        expires: token.expires.map(|t| t.to_string()),
    }
}

/// Checks the targets against the configuration, where there is one; the only one is the default, unless the token has a
/// role and so is of use without any.
pub(crate) fn targets(
    asked: Vec<String>,
    config: Option<&Config>,
    with_role: bool,
) -> Result<Vec<String>, Failure> {
    if asked.is_empty() && with_role {
        return Ok(asked);
    }
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
            format!("there is no target `{unknown}`"),
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

pub(crate) fn show_created(handed: &Handed, without: &str, out: &Output) {
    let strings = &handed.targets;
    let value = json!({
        "id": handed.id, "name": handed.name, "secret": handed.secret, "expires": handed.expires,
        "roles": handed.roles,
        "targets": strings.iter().map(|(t, s)| json!({ "target": t, "connect": s })).collect::<Vec<_>>(),
    });
    out.show(&value, || {
        let mut text = format!("token   {}\nsecret  {}\n", handed.name, handed.secret);
        for (target, string) in strings {
            let what = string.as_deref().unwrap_or(without);
            text.push_str(&format!("{target:<7} {what}\n"));
        }
        if !handed.roles.is_empty() {
            text.push_str(&format!("role    {}\n", handed.roles.join(",")));
            // As the command line and curl take it.
            text.push_str(&format!("FIRSTHAND_TOKEN={}:{}\n", handed.name, handed.secret));
        }
        clean::block(&text).into_owned()
    });
    if !out.is_json() {
        let end = handed.expires.as_ref().map_or("until it is revoked".to_owned(), |t| format!("until {t}"));
        out.talk(&format!("The secret is shown this once and is not stored. It holds {end}."));
    }
}

/// All tokens, as lists show them.
fn all(at: &At) -> Result<Vec<Value>, Failure> {
    let tokens: Vec<Value> = match at {
        At::Here(place) => {
            place.must_exist()?;
            described(&TokenStore::open(&place.data_dir).map_err(store_failure)?)
        }
        At::There(remote) => {
            let mut answer = remote.asked("GET", "/v1/tokens", &Value::Null)?;
            let tokens = answer.get_mut("tokens").map(Value::take);
            serde_json::from_value(tokens.unwrap_or_default()).map_err(|_| crate::remote::strange())?
        }
    };
    Ok(tokens)
}

fn list(at: &At, out: &Output) -> Result<Exit, Failure> {
    let tokens = all(at)?;
    if out.is_json() {
        for token in &tokens {
            out.text(&clean::json(&token.to_string()));
        }
        return Ok(Exit::Done);
    }
    let lines: Vec<Vec<String>> = tokens.iter().map(cells).collect();
    out.text(&columns(
        &["NAME", "KIND", "OWNER", "FOR", "ROLE", "TARGETS", "STATE", "EXPIRES", "ID"],
        &lines,
    ));
    Ok(Exit::Done)
}

/// The line of a token in a list.
fn cells(token: &Value) -> Vec<String> {
    let text = |key: &str| match token.get(key) {
        Some(Value::String(text)) => clean::line(text).into_owned(),
        Some(Value::Array(list)) if !list.is_empty() => {
            let words: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            clean::line(&words.join(",")).into_owned()
        }
        _ => "-".to_owned(),
    };
    // One that came by signing in has a name that nobody knows.
    let person = if token.get("person").is_some_and(Value::is_string) { "person" } else { "on_behalf_of" };
    ["name", "kind", "owner", person, "roles", "targets", "state", "expires", "id"].map(text).to_vec()
}

/// Shows one token: the valid one of that name, else the newest, or the one of that id.
fn show(name: &str, at: &At, out: &Output) -> Result<Exit, Failure> {
    let tokens = all(at)?;
    let is = |token: &&Value, key: &str| token.get(key).and_then(Value::as_str) == Some(name);
    let of_name = |token: &&Value| is(token, "name");
    let valid = tokens.iter().filter(of_name).rfind(|t| t.get("state").is_some_and(|s| s == "valid"));
    let found = tokens.iter().find(|t| is(t, "id")).or(valid).or_else(|| tokens.iter().rfind(of_name));
    let Some(token) = found else { return Err(store_failure(StoreError::NotFound(name.to_owned()))) };
    out.show(token, || {
        let pairs = token.as_object().into_iter().flatten().filter_map(|(key, value)| {
            let shown = match value {
                Value::Null => return None,
                Value::String(text) => text.clone(),
                Value::Array(list) if list.is_empty() => return None,
                Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
                other => other.to_string(),
            };
            Some(format!("{:<13} {}", key.replace('_', " "), clean::line(&shown)))
        });
        pairs.collect::<Vec<_>>().join("\n")
    });
    Ok(Exit::Done)
}

/// The tokens of a store as lists show them.
pub(crate) fn described(store: &TokenStore) -> Vec<Value> {
    store.list().iter().map(|token| describe(token, store.state(token, wall()))).collect()
}

/// A token as lists show it.
fn describe(token: &Token, state: State) -> Value {
    let (exchanged, signed_in) = (token.exchanged.as_ref(), token.signed_in.as_ref());
    json!({
        "person": signed_in.map(|it| &it.person), "how": signed_in.map(|it| it.how.word()),
        "issuer": signed_in.and_then(|it| it.by.issuer.as_ref()), "subject": signed_in.map(|it| &it.subject),
        "actor": exchanged.map(|e| &e.actor), "actor_token": exchanged.map(|e| &e.actor_by.token),
        "subject_token": exchanged.map(|e| &e.subject_by.token),
        "consent": exchanged.map(|e| e.consent.word()), "owner": token.owner,
        "id": token.id, "name": token.name, "kind": kind_word(token.kind),
        "on_behalf_of": token.on_behalf_of, "targets": token.targets,
        "roles": token.roles.iter().map(|role| role.word()).collect::<Vec<_>>(),
        "state": state.word(), "created": token.created.to_string(),
        "created_by": token.created_by, "expires": token.expires.map(|t| t.to_string()),
        "revoked": token.revoked.map(|t| t.to_string()),
    })
}

fn revoke(name: &str, at: &At, out: &Output) -> Result<Exit, Failure> {
    let ask = json!({ "token": name });
    let revoked: Value = match at {
        At::There(remote) => remote.asked("POST", "/v1/tokens/revoke", &ask)?,
        At::Here(place) => {
            place.must_exist()?;
            match place.way("token revoke")? {
                Way::Gateway(client) => client.ask("POST", "/v1/tokens/revoke", &ask)?,
                Way::Alone(alone) => alone.act(async |desk: &Desk| {
                    let by = who::own(&desk.keys);
                    let token = desk.revoke_token(name, &by).await?;
                    Ok(json!({ "id": token.id, "name": token.name }))
                })?,
            }
        }
    };
    let name = revoked.get("name").and_then(Value::as_str).unwrap_or(name);
    out.show(&revoked, || format!("revoked {}", clean::line(name)));
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_does_not_lead_to_the_wrong_machine() {
        let of = |place: &str| format!("postgresql://bot:fh_x@{place}/orders");
        for (place, kept_elsewhere) in [
            ("127.0.0.1:6432", false),
            ("[::1]:6432", false),
            ("localhost:6432", false),
            ("10.0.0.7:6432", true),
            ("gateway:6432", true),
        ] {
            for (near, kept) in [(true, true), (false, kept_elsewhere)] {
                let mut handed = Handed {
                    id: String::new(),
                    name: "bot".to_owned(),
                    secret: "fh_x".to_owned(),
                    targets: vec![("orders".to_owned(), Some(of(place)))],
                    roles: Vec::new(),
                    expires: None,
                };
                let without = handed_elsewhere(&mut handed, near);
                assert_eq!(handed.targets[0].1, kept.then(|| of(place)), "{place}, near: {near}");
                assert!(kept || without.contains(place), "{without}");
            }
        }
    }
}
