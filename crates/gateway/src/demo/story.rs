//! The record of what the agent did, from the log's files: the session as `sessions show` tells it, then the delete by
//! itself, with the questions that it raises and what the record answers.

use std::fmt::Write;
use std::sync::Arc;

use firsthand_auditlog::entry::fields::{Fields, WhoFields};
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::names::Names;
use firsthand_auditlog::reader::Reader;
use firsthand_auditlog::search::query::{Key, Query, Term};
use firsthand_auditlog::search::{Found, Search, sessions};
use firsthand_model::event::By;
use serde_json::{Value, json};

use super::progress::Progress;
use crate::cli::output::Output;
use crate::cli::sessions::tell_newest;
use crate::failure::Failure;
use crate::reading::{unreadable, what};
use crate::serve::Running;
use crate::show::{clean, entry, line, table};

/// Tells the newest session from the record. That it is read stands in the record too.
///
/// # Errors
/// When the reading cannot be recorded, or the log not be read.
pub(super) async fn tell(
    running: &Running,
    by: &By,
    progress: &Progress,
    out: Output,
) -> Result<(), Failure> {
    let gateway = running.gateway();
    // Durable once this returns; and so, before it, is all that the session left.
    let reading = what(&json!({ "expression": "the newest session" }));
    gateway.desk.record("record.read", by, crate::place::reading_leaf("demo"), reading).await?;
    let data = gateway.data_dir();
    let reader = Reader::open(&data, Arc::new(RealIo::new())).map_err(|e| unreadable(&e))?;
    let (found, names) = newest_session(&reader)?;
    if out.is_json() {
        found.iter().for_each(|found| progress.data(&entry::json(found)));
        return Ok(());
    }
    progress.tell(&format!("\nWhat the record says (read from {})", data.display()));
    let mut text = Vec::new();
    tell_newest(&reader, &mut text)?;
    progress.tell(&String::from_utf8_lossy(&text));
    if let Some(answers) = answers(&found, &names) {
        progress.tell(&format!("\nWho deleted the payment? The record's answer\n\n{answers}"));
    }
    Ok(())
}

/// The entries of the session that was opened last, in order.
fn newest_session(reader: &Reader) -> Result<(Vec<Found>, Names), Failure> {
    let all = Search::new(reader, &Query::default()).map_err(|e| unreadable(&e))?;
    let newest = sessions::sessions(reader, all.catalog()).map_err(|e| unreadable(&e))?.pop();
    let newest = newest.ok_or_else(|| {
        Failure::new("the record has no session in it", "this is a defect of Firsthand; please report it")
    })?;
    let term = Term { negated: false, key: Key::Session, value: newest.id.to_string() };
    let query = Query { terms: vec![term], ..Query::default() };
    let mut search = Search::new(reader, &query).map_err(|e| unreadable(&e))?;
    let mut found = Vec::new();
    while let Some(one) = search.next().map_err(|e| unreadable(&e))? {
        found.push(one);
    }
    let names = search.names().clone();
    Ok((found, names))
}

/// The last delete of the session: what the record knows of it. Nothing is said that no entry says.
fn answers(found: &[Found], names: &Names) -> Option<String> {
    let (asked, intent, payload) = found.iter().rev().find_map(|one| {
        let fields = Fields::read(&one.leaf).ok().filter(|fields| fields.k == "command.decided")?;
        let payload = entry::payload(one);
        entry::text(&payload, "text").starts_with("DELETE").then_some((one, fields, payload))
    })?;
    let (outcome, ended) = found.iter().find_map(|one| {
        let fields = Fields::read(&one.leaf).ok()?;
        (fields.intent == Some(asked.place.position)).then(|| (fields, entry::payload(one)))
    })?;
    let rows = found.iter().find_map(|one| {
        let fields = Fields::read(&one.leaf).ok()?;
        (fields.k == "command.changed" && fields.cmd == intent.cmd).then(|| changed(&entry::payload(one)))
    });
    let who = intent.who.clone().unwrap_or_default();
    let WhoFields { target, db, role, pid, .. } = &who;
    let approver = if intent.approval.is_empty() { "nobody" } else { &*intent.approval };
    let answers = [
        ("which person", link(&who, "human", names)),
        ("which agent", link(&who, "agent", names)),
        ("which token", link(&who, "token", names)),
        ("which role", format!("{role} in database {db} of target {target}, backend {pid}")),
        ("when", format!("{} UTC", entry::moment(&intent.t))),
        ("what exactly", statement(&payload)),
        ("which row", rows.unwrap_or_else(|| "not in the record".to_owned())),
        ("what came back", line::outcome(&outcome, &ended)),
        (
            "who approved it",
            format!("{approver}; rule {} of policy {} let it pass", intent.rule, intent.policy),
        ),
        ("where it stands", format!("positions {} and {} of the log", intent.n, outcome.n)),
    ];
    let mut text = String::new();
    for (question, answer) in answers {
        let _ = writeln!(text, "  {question:<17}{}", clean::line(&answer));
    }
    Some(text)
}

fn statement(payload: &Value) -> String {
    let mut text = entry::text(payload, "text").to_owned();
    for (number, (value, kind)) in line::parameters(payload).iter().enumerate() {
        let _ = write!(text, "   ${} = {value} ({kind})", number + 1);
    }
    text
}

/// The rows that were deleted, as they were: `id = 3, amount = 20.00`.
fn changed(payload: &Value) -> String {
    let list = |key: &str| payload.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let columns = list("columns");
    let row = |row: &Value| {
        let values = row.as_array().cloned().unwrap_or_default();
        let named = columns.iter().zip(&values);
        let named = named.map(|(c, v)| format!("{} = {}", entry::text(c, "name"), table::cell(v)));
        named.collect::<Vec<_>>().join(", ")
    };
    list("old").iter().map(row).collect::<Vec<_>>().join("; ")
}

/// A link of the chain: its name, its pseudonym in the leaves, how it is known.
fn link(who: &WhoFields<'_>, kind: &str, names: &Names) -> String {
    let link = who.chain.iter().find(|link| link.kind == kind);
    link.map_or_else(
        || "not in the record".to_owned(),
        |link| format!("{} ({}, {})", entry::name(names, &link.id), link.id, link.trust),
    )
}
