//! What may be tried, as far as the command's own facts tell: before anything is asked.

use firsthand_model::command::{Command, Effect, Step};
use firsthand_model::outcome::Transaction;
use firsthand_model::preview::Original;
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::{Facts, Relation, RelationKind};
use firsthand_sql::{Action, Change, Changes};

use super::super::role::ROLE_UNKNOWN;

/// A text longer than this is not sent twice.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Bytes of all parameters: as many as a Bind that goes to a target twice may have.
const PARAMETERS_BYTES_MAX: usize = 1 << 20;
/// Types from here on are made by users; what reading a value of them runs is not known.
const USER_TYPES_FROM: u32 = 16_384;
/// Relations that are asked about one by one.
const RELATIONS_MAX: usize = 64;

/// Functions whose answer is another one on another connection, or that look at the connection itself.
const OF_A_CONNECTION: &[&str] = &[
    "pg_backend_pid",
    "inet_client_addr",
    "inet_client_port",
    "pg_my_temp_schema",
    "pg_is_other_temp_schema",
    "current_query",
    "pg_postmaster_start_time",
    "pg_conf_load_time",
];

/// How far a command may be tried.
pub(super) enum May {
    /// It may run, if the definitions allow it.
    Run(Box<Run>),
    /// Only the planner may be asked: why.
    Plan(&'static str),
}

/// What would run.
pub(super) struct Run {
    /// What it may do to rows, as the question about definitions has it.
    pub(super) letters: Vec<&'static str>,
    /// The list of rows can be added to it.
    pub(super) change: Option<Change>,
    /// Why it cannot.
    pub(super) unlisted: &'static str,
}

/// What of a command and of its facts may be tried; the error: why nothing may be asked at all.
pub(super) fn may<'f>(
    session: &SessionFacts,
    command: &'f Command,
    original: &Original,
    changes: Option<&Changes>,
) -> Result<(&'f Facts, May), String> {
    let facts = readable(command, original)?;
    if session.role.is_empty() || session.session_role.is_empty() {
        return Err("the role of its session is not known".to_owned());
    }
    use Effect::{Execute, Lock, Read, Session, Unknown, Write};
    let quiet = [Read, Write, Lock, Session, Execute, Unknown];
    if !facts.effects.iter().all(|effect| quiet.contains(&effect)) {
        return Err("it reaches beyond the database, or does more than to change rows".to_owned());
    }
    if let Some(opaque) = facts.opaque.as_ref().filter(|_| !facts.opaque_along) {
        return Err(format!("what it does cannot be told ({})", opaque.why));
    }
    for relation in facts.reads.iter().chain(&facts.writes) {
        known(relation)?;
    }
    if !facts.opaque_along && facts.functions.iter().any(|name| !name.starts_with("pg_catalog.")) {
        return Err("it calls functions that are not PostgreSQL's own".to_owned());
    }
    Ok((facts, how(facts, changes)))
}

/// The facts of a command that can be sent again as it came.
fn readable<'f>(command: &'f Command, original: &Original) -> Result<&'f Facts, String> {
    let no = |why: &str| Err(why.to_owned());
    if command.step != Step::Run {
        return no("it is only prepared");
    }
    if !matches!(command.shape.tag.as_str(), "INSERT" | "UPDATE" | "DELETE" | "MERGE") {
        return no("it is no INSERT, UPDATE, DELETE or MERGE");
    }
    if command.transaction != Transaction::Idle {
        return no("its session is in a transaction, whose changes nobody else sees");
    }
    if command.coverage.contains(&ROLE_UNKNOWN) {
        return no("the role in force in its session cannot be told");
    }
    if let Some(why) = original.untried {
        return no(why);
    }
    let Some(facts) = command.shape.facts.as_deref() else {
        return no("what its names mean was not looked up");
    };
    let bytes: usize = original.parameters.iter().filter_map(|p| p.value.as_ref()).map(Vec::len).sum();
    if original.text.len() > TEXT_BYTES_MAX || bytes > PARAMETERS_BYTES_MAX {
        return no("it is too large to be sent twice");
    }
    if !text_settings(original).standard_conforming_strings {
        // The gateway's own questions name what the statement names, and are not written for it.
        return no("its session reads backslashes in strings");
    }
    if !is_utf8(original) && !is_ascii(original) {
        return no("its session does not speak UTF-8");
    }
    if original.parameters.iter().any(|p| p.type_number >= USER_TYPES_FROM) {
        return no("a parameter is of a type of the database's own");
    }
    if facts.writes.len() + facts.reads.len() > RELATIONS_MAX {
        return no("it is about more relations than are looked at one by one");
    }
    Ok(facts)
}

/// How far what may be asked about may be tried.
fn how(facts: &Facts, changes: Option<&Changes>) -> May {
    if facts.opaque_along {
        return May::Plan("triggers or rules would run, and what they do is not known");
    }
    if facts.effects.has(Effect::Session) {
        return May::Plan("it changes its session");
    }
    if facts.effects.has(Effect::Lock) {
        return May::Plan("it takes locks that others would wait for");
    }
    let called = |name: &&&str| facts.functions.iter().any(|f| f.strip_prefix("pg_catalog.") == Some(**name));
    if OF_A_CONNECTION.iter().any(|name| called(&name)) {
        return May::Plan("it calls functions that answer otherwise on another connection");
    }
    if facts.code_writes {
        return May::Plan("functions that it calls change rows");
    }
    match changes {
        Some(Changes::Rows(change)) if change.nested => May::Plan("its WITH clause changes rows, too"),
        Some(Changes::Rows(change)) => {
            let upserts = change.upserts.then_some("u");
            let letters = std::iter::once(letter(change.action)).chain(upserts).collect();
            May::Run(Box::new(Run { letters, change: Some(change.clone()), unlisted: "" }))
        }
        Some(Changes::Untold("merge", Some(target))) => {
            let letters = target.actions.iter().map(|action| letter(*action)).collect();
            May::Run(Box::new(Run { letters, change: None, unlisted: "MERGE does not tell its rows" }))
        }
        _ => May::Plan("it does not say plainly which rows it changes"),
    }
}

/// Whether a relation means the same to everybody.
fn known(relation: &Relation) -> Result<(), String> {
    match relation.kind {
        RelationKind::Temporary => Err(format!("{} is its session's own", relation.name)),
        RelationKind::Foreign => Err(format!("{} is another server's", relation.name)),
        _ if relation.oid == 0 => Err(format!("{} is not known", relation.name)),
        _ => Ok(()),
    }
}

const fn letter(action: Action) -> &'static str {
    match action {
        Action::Insert => "i",
        Action::Update => "u",
        Action::Delete => "d",
    }
}

/// How texts are to be read; where the session does not say, as every server begins.
pub(super) fn text_settings(original: &Original) -> firsthand_sql::Settings {
    let is = |name: &str, values: &[&str]| {
        let said = original.settings.iter().flatten().find(|(own, _)| own.eq_ignore_ascii_case(name));
        said.is_none_or(|(_, value)| values.iter().any(|v| v.eq_ignore_ascii_case(value)))
    };
    firsthand_sql::Settings {
        standard_conforming_strings: is("standard_conforming_strings", &["on", "true", "yes", "1"]),
        utf8: is("client_encoding", &["utf8", "utf-8", "unicode"]),
    }
}

fn is_utf8(original: &Original) -> bool {
    text_settings(original).utf8
}

fn is_ascii(original: &Original) -> bool {
    let ascii = |value: &Vec<u8>| value.is_ascii();
    original.text.is_ascii() && original.parameters.iter().filter_map(|p| p.value.as_ref()).all(ascii)
}

/// Whether the text says DEFAULT anywhere.
pub(super) fn says_default(text: &[u8]) -> bool {
    let text = text.to_ascii_lowercase();
    text.windows(7).any(|seven| seven == b"default")
}
