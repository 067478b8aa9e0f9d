//! `firsthand keys`: the keys that sign the log, and how far they have signed.

use clap::Subcommand;
use serde_json::{Value, json};

use super::contain::ask;
use super::output::{Output, columns};
use crate::failure::{Exit, Failure};
use crate::log_keys::{self, Alone};
use crate::place::At;
use crate::remote::Asked;
use crate::show::clean;
use crate::who;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Show the keys that sign the log, and the newest checkpoint
    Show,
    /// Make a new key; the one before signs on beside it for 30 days
    Rotate,
}

/// Runs the command.
pub(crate) fn run(command: KeysCommand, at: &At, out: &Output) -> Result<Exit, Failure> {
    match command {
        KeysCommand::Show => show(at, out),
        KeysCommand::Rotate => rotate(at, out),
    }
}

fn text(of: &Value, key: &str) -> String {
    clean::line(of.get(key).and_then(Value::as_str).unwrap_or_default()).into_owned()
}

fn show(at: &At, out: &Output) -> Result<Exit, Failure> {
    let there = |client: &dyn Asked| client.asked("GET", "/v1/keys", &Value::Null);
    let answer = ask(at, "keys show", there, async |_, place| {
        log_keys::show(&Alone::open(place)?.tree(), &place.data_dir)
    })?;
    out.show(&answer, || {
        let signs = |key: &Value| key.get("signs").and_then(Value::as_bool).unwrap_or_default();
        let lines: Vec<Vec<String>> = answer
            .get("keys")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|key| {
                let state = if signs(key) { "signs" } else { "over" };
                vec![state.to_owned(), text(key, "made"), text(key, "until"), text(key, "vkey")]
            })
            .collect();
        let keys = columns(&["STATE", "MADE", "UNTIL", "KEY"], &lines);
        let note = answer.pointer("/checkpoint/note").and_then(Value::as_str);
        let note = note.unwrap_or("nothing is signed yet");
        format!("{}\n\n{}", keys.trim_end(), clean::block(note.trim_end()))
    });
    Ok(Exit::Done)
}

fn rotate(at: &At, out: &Output) -> Result<Exit, Failure> {
    let there = |client: &dyn Asked| client.asked("POST", "/v1/keys/rotate", &json!({}));
    let answer = ask(at, "keys rotate", there, async |desk, place| {
        log_keys::rotate(desk, &Alone::open(place)?.tree(), &who::own(&desk.keys)).await
    })?;
    out.show(&answer, || {
        format!(
            "added     {}\nreplaced  {}\nboth sign until {}",
            text(&answer, "added"),
            text(&answer, "replaced"),
            text(&answer, "until")
        )
    });
    out.talk("note: give the new key to whoever verifies this log, by another way than the log itself");
    Ok(Exit::Done)
}
