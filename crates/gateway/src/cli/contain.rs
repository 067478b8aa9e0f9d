//! `firsthand contain`: contain an identity, a target or a session; list what is contained, lift it.

use clap::{Args, Subcommand};
use firsthand_adapters::containment::Of;
use firsthand_model::id::SessionId;
use serde_json::{Value, json};

use super::output::{Output, columns};
use crate::contain::{self, Contain, Lift};
use crate::desk::Desk;
use crate::failure::{Exit, Failure};
use crate::place::{At, Place, Way};
use crate::reading::find;
use crate::remote::{Asked, strange};
use crate::rules;
use crate::show::clean;
use crate::who;

/// What to contain.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainCommand {
    /// End all sessions of whoever has this name in their chain, revoke their tokens, let none of them in again
    Identity {
        /// A person's, an agent's or a service's name, or a token's id
        name: String,
        #[command(flatten)]
        why: Why,
    },
    /// End all sessions on a target and open no new ones
    Target {
        /// Its name
        name: String,
        #[command(flatten)]
        why: Why,
    },
    /// End one session, if it still runs, and hold its evidence; its token goes on
    Session {
        /// Its id; of one that runs, its beginning
        id: String,
        #[command(flatten)]
        why: Why,
    },
    /// List what is contained, and whose evidence is held
    List,
    /// Lift a containment: new tokens can be made again, and new sessions open
    Lift {
        /// Its id, or the name that is contained
        id: String,
        /// Hold its evidence on
        #[arg(long)]
        keep_evidence: bool,
        #[command(flatten)]
        why: Why,
    },
}

/// Why.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Why, for the record
    #[arg(long, default_value = "")]
    reason: String,
}

/// Runs the command.
pub(crate) fn run(command: ContainCommand, at: &At, out: &Output) -> Result<Exit, Failure> {
    match command {
        ContainCommand::Identity { name, why } => contained((Of::Identity, name), why.reason, at, out),
        ContainCommand::Target { name, why } => contained((Of::Target, name), why.reason, at, out),
        ContainCommand::Session { id, why } => contained((Of::Session, id), why.reason, at, out),
        ContainCommand::List => list(at, out),
        ContainCommand::Lift { id, keep_evidence, why } => {
            lift(&id, &Lift { reason: why.reason, keep_evidence }, at, out)
        }
    }
}

/// Asks the gateway that runs, here or elsewhere, or does it in this process. The request may need the gateway to be made.
pub(super) fn ask(
    at: &At,
    doing: &str,
    there: impl FnOnce(&dyn Asked) -> Result<Value, Failure>,
    here: impl AsyncFnOnce(&Desk, &Place) -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    match at {
        At::There(remote) => there(remote),
        At::Here(place) => {
            place.must_exist()?;
            match place.way(doing)? {
                Way::Gateway(client) => there(&client),
                Way::Alone(alone) => alone.act(async |desk: &Desk| here(desk, place).await),
            }
        }
    }
}

fn contained((of, name): (Of, String), reason: String, at: &At, out: &Output) -> Result<Exit, Failure> {
    let ask_for = |name: &str| Contain { of, name: name.to_owned(), reason: reason.clone() };
    let there = |client: &dyn Asked| {
        let name = if of == Of::Session { session(client, &name)? } else { name.clone() };
        client.asked("POST", "/v1/contained", &json!(ask_for(&name)))
    };
    let here = async |desk: &Desk, place: &Place| {
        if let (Of::Target, Some(config)) = (of, &place.config) {
            contain::known_target(config, &name)?;
        }
        let rules = rules::alone(place.config.as_ref(), &desk.keys).ok();
        contain::contain(desk, &place.data_dir, (None, rules.as_ref()), ask_for(&name), &who::own(&desk.keys))
            .await
    };
    let answer = ask(at, &format!("contain {}", of.word()), there, here)?;
    for warning in answer.get("warnings").and_then(Value::as_array).into_iter().flatten() {
        out.talk(&format!("warning: {}", clean::line(warning.as_str().unwrap_or_default())));
    }
    let number = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or(0);
    if of == Of::Identity && number("sessions") == 0 && number("tokens") == 0 {
        out.talk("note: no session runs and no token holds with this name in its chain; is it written as in the record?");
    }
    out.show(&answer, || {
        let text =
            |key: &str| clean::line(answer.get(key).and_then(Value::as_str).unwrap_or_default()).into_owned();
        let mut done = vec![counted(number("sessions"), "session ended", "sessions ended")];
        if of == Of::Identity {
            done.push(counted(number("tokens"), "token revoked", "tokens revoked"));
        }
        if answer.get("approvals").is_some_and(Value::is_u64) {
            done.push(counted(number("approvals"), "approval withdrawn", "approvals withdrawn"));
        }
        if answer.get("grants").and_then(Value::as_u64).is_some_and(|grants| grants > 0) {
            done.push(counted(number("grants"), "grant revoked", "grants revoked"));
        }
        format!(
            "contained {} {} as {}: {}; its evidence is held",
            text("of"),
            text("name"),
            text("id"),
            done.join(", ")
        )
    });
    Ok(Exit::Done)
}

fn counted(n: u64, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}

/// A session by its whole id, or by the beginning of one that runs.
fn session(client: &dyn Asked, asked: &str) -> Result<String, Failure> {
    if let Some(whole) = SessionId::parse(asked) {
        return Ok(whole.to_string());
    }
    let running = client.asked("GET", "/v1/sessions", &Value::Null)?;
    let ids = running.get("sessions").and_then(Value::as_array).into_iter().flatten();
    let ids = ids.filter_map(|s| Some((SessionId::parse(s.get("id")?.as_str()?)?.to_string(), ())));
    let elsewhere = "of a session that has ended, give the whole id: firsthand sessions list --json shows it";
    find(asked, "running ", elsewhere, ids).map(|(id, ())| id)
}

fn list(at: &At, out: &Output) -> Result<Exit, Failure> {
    let there = |client: &dyn Asked| client.asked("GET", "/v1/contained", &Value::Null);
    let mut answer =
        ask(at, "contain list", there, async |desk, _| Ok(json!({ "contained": contain::list(desk) })))?;
    let Some(Value::Array(all)) = answer.get_mut("contained").map(Value::take) else { return Err(strange()) };
    if out.is_json() {
        for one in &all {
            out.text(&clean::json(&one.to_string()));
        }
        return Ok(Exit::Done);
    }
    let cells = |one: &Value| {
        let keys = ["id", "state", "of", "name", "since", "by", "reason"];
        let text =
            |key: &&str| clean::line(one.get(*key).and_then(Value::as_str).unwrap_or_default()).into_owned();
        keys.iter().map(text).collect()
    };
    let lines: Vec<Vec<String>> = all.iter().map(cells).collect();
    out.text(&columns(&["ID", "STATE", "WHAT", "NAME", "SINCE", "BY", "REASON"], &lines));
    Ok(Exit::Done)
}

fn lift(asked: &str, how: &Lift, at: &At, out: &Output) -> Result<Exit, Failure> {
    let there = |client: &dyn Asked| {
        // A name may hold what a path may not.
        let all = client.asked("GET", "/v1/contained", &Value::Null)?;
        let all = all.get("contained").and_then(Value::as_array).into_iter().flatten();
        let is = |one: &&Value, key: &str| one.get(key).and_then(Value::as_str) == Some(asked);
        let ids: Vec<&str> = all
            .filter(|one| is(one, "id") || is(one, "name"))
            .filter_map(|one| one.get("id").and_then(Value::as_str))
            .collect();
        let id = contain::only(&ids, asked)?;
        client.asked("POST", &format!("/v1/contained/{id}/lift"), &json!(how))
    };
    let here = async |desk: &Desk, place: &Place| {
        let rules = rules::alone(place.config.as_ref(), &desk.keys).ok();
        contain::lift(desk, rules.as_ref(), asked, how, &who::own(&desk.keys)).await
    };
    let answer = ask(at, "contain lift", there, here)?;
    out.show(&answer, || {
        let text =
            |key: &str| clean::line(answer.get(key).and_then(Value::as_str).unwrap_or_default()).into_owned();
        let held = answer.get("held") == Some(&Value::Bool(true));
        let evidence = if held { "its evidence is held on" } else { "its evidence is held no longer" };
        format!("lifted {} ({} {}); {evidence}", text("id"), text("of"), text("name"))
    });
    Ok(Exit::Done)
}
