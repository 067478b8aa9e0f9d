//! The commands of the record, one after the other, as they would be decided now: each with who asked, where, and what it
//! does according to today's catalog and what its session did before.

use std::collections::HashMap;
use std::sync::Arc;

use firsthand_adapters::clock::wall;
use firsthand_auditlog::entry::fields::{Fields, WhoFields};
use firsthand_auditlog::names::Names;
use firsthand_auditlog::search::query::Query;
use firsthand_auditlog::search::{Found, Search};
use firsthand_model::identity::{Identity, IdentityKind, Link, Trust};
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::Facts;
use firsthand_model::time::UnixMicros;
use firsthand_policy::rules::Rules;
use serde_json::{Value, json};

use super::asking;
use crate::analyst::Analyst;
use crate::cli::output::Output;
use crate::config::Config;
use crate::failure::Failure;
use crate::place::Place;
use crate::reading::{Room as _, not_understood, note, unreadable, what};
use crate::show::{clean, entry};

/// Sessions whose earlier statements are remembered.
const SESSIONS_MAX: usize = 10_000;
/// Earlier statements of a session that may change what later ones mean.
const SETUP_MAX: usize = 64;

/// One command of the record.
pub(super) struct Past {
    /// Its position in the log.
    pub(super) position: u64,
    /// When.
    pub(super) at: UnixMicros,
    /// Who asked, where.
    pub(super) session: SessionFacts,
    /// What was decided then.
    pub(super) verdict: String,
    /// By which rule.
    pub(super) rule: String,
    /// Its text, for people.
    pub(super) text: String,
    /// Whether it was given leave to run.
    pub(super) permitted: bool,
    /// What its statements do; `None`: its text does not stand in the record, or not all of it.
    pub(super) facts: Option<Vec<Arc<Facts>>>,
}

/// Reads them all. The reading is recorded before anything is shown.
#[expect(clippy::too_many_arguments, reason = "where from, how far back, by which rules, and for whom")]
pub(super) fn read(
    command: &str,
    since: &str,
    place: &Place,
    config: &Config,
    rules: &Rules,
    out: &Output,
    each: &mut dyn FnMut(Past),
) -> Result<(), Failure> {
    let (analysts, setups) = (HashMap::new(), HashMap::new());
    let mut history = History { command, place, config, rules, out, analysts, setups };
    search(command, &["kind:command.decided"], since, place, &mut |found, names| {
        if let Some(past) = history.past(found, names) {
            each(past);
        }
    })
}

/// Reads what came of them: how commands ended, which sessions there were, and where the gateway began anew.
pub(super) fn outcomes(
    command: &str,
    since: &str,
    place: &Place,
    each: &mut dyn FnMut(&Fields<'_>, &Names),
) -> Result<(), Failure> {
    let terms = ["-kind:command.decided", "-kind:command.rows", "-kind:command.changed", "-kind:stream"];
    search(command, &terms, since, place, &mut |found, names| {
        if let Ok(fields) = Fields::read(&found.leaf) {
            each(&fields, names);
        }
    })
}

/// Searches the log. The reading is recorded before anything is found.
fn search(
    command: &str,
    terms: &[&str],
    since: &str,
    place: &Place,
    each: &mut dyn FnMut(&Found, &Names),
) -> Result<(), Failure> {
    let since_term = format!("since:{since}");
    let terms: Vec<String> = terms.iter().copied().chain([since_term.as_str()]).map(str::to_owned).collect();
    let query = Query::from_arguments(&terms, wall().0).map_err(not_understood)?;
    let reader = place.reader()?;
    let mut search = Search::new(&reader, &query).map_err(|e| unreadable(&e))?;
    let mut reading = json!({ "since": since });
    note(&mut reading, "expression", query.to_string());
    place.note_reading(command, what(&reading))?;
    while let Some(found) = search.next().map_err(|e| unreadable(&e))? {
        each(&found, search.names());
    }
    Ok(())
}

struct History<'a> {
    command: &'a str,
    place: &'a Place,
    config: &'a Config,
    rules: &'a Rules,
    out: &'a Output,
    /// By target and database.
    analysts: HashMap<(String, String), Analyst>,
    setups: HashMap<String, Vec<String>>,
}

impl History<'_> {
    fn past(&mut self, found: &Found, names: &Names) -> Option<Past> {
        let fields = Fields::read(&found.leaf).ok()?;
        let who = fields.who.as_ref()?;
        let target = self.config.target(&who.target)?;
        let payload = entry::payload(found);
        let text = entry::text(&payload, "text").to_owned();
        let identity = identity(who, names);
        let mut session = asking::session(identity, target);
        session.database = who.db.to_string();
        session.role = who.role.to_string();
        let permitted = fields.permitted();
        let readable = is_whole(found, &fields, &payload);
        let facts = readable.then(|| self.facts(&fields.sid, (&who.target, &who.db), &text, permitted));
        let text = clean::line(&text).into_owned();
        let (position, at) = (found.place.position, UnixMicros(fields.micros()));
        let (verdict, rule) = (fields.verdict.to_string(), fields.rule.to_string());
        Some(Past { position, at, session, verdict, rule, text, permitted, facts })
    }

    fn facts(
        &mut self,
        session: &str,
        (target, database): (&str, &str),
        text: &str,
        permitted: bool,
    ) -> Vec<Arc<Facts>> {
        let at = (target.to_owned(), database.to_owned());
        if !self.analysts.contains_key(&at) {
            let analyst = self.analyst(target, database);
            analyst.teach(self.rules, target);
            self.analysts.insert(at.clone(), analyst);
        }
        let Some(analyst) = self.analysts.get(&at) else { return Vec::new() };
        if self.setups.len() >= SESSIONS_MAX && !self.setups.contains_key(session) {
            self.setups.clear();
        }
        let setup = self.setups.entry(session.to_owned()).or_default();
        let facts = analyst.explain(setup, text);
        // What was refused did not run, and changes nothing of what comes after it.
        if permitted && facts.iter().any(|f| changes_session(f)) && setup.len() < SETUP_MAX {
            setup.push(text.to_owned());
        }
        facts
    }

    fn analyst(&self, name: &str, database: &str) -> Analyst {
        let Some(target) = self.config.target(name) else { return Analyst::blind() };
        Analyst::of(self.command, self.place, target, database).unwrap_or_else(|failure| {
            let why = failure.messages.join("; ");
            self.out.talk(&format!(
                "note: target {name}, database {database}: {why}; judged without its catalog"
            ));
            Analyst::blind()
        })
    }
}

/// What the coverage says of a text that is not what ran.
const NOT_THE_TEXT: &[&str] = &["text-withheld", "text-cut", "text-unknown", "cursor-unknown", "encoding"];

/// Whether the whole text of the command stands in its entry, and can be read.
fn is_whole(found: &Found, fields: &Fields<'_>, payload: &Value) -> bool {
    let cut = payload.get("cut").and_then(Value::as_array);
    entry::withheld(found).is_none()
        && !fields.coverage.iter().any(|c| NOT_THE_TEXT.contains(&&**c))
        && !cut.is_some_and(|cut| cut.iter().any(|field| field == "text"))
}

/// Whether later statements may mean something else because of this one.
fn changes_session(facts: &Facts) -> bool {
    use firsthand_model::command::Effect;
    [Effect::Session, Effect::Define, Effect::Transaction].iter().any(|e| facts.effects.has(*e))
}

/// The identity that an entry tells of.
pub(super) fn identity(who: &WhoFields<'_>, names: &Names) -> Identity {
    let chain: Vec<Link> = who
        .chain
        .iter()
        .filter_map(|link| {
            let kind = IdentityKind::parse(&link.kind)?;
            let name = names.name(&link.id).unwrap_or(&link.id).to_owned();
            Some(Link { kind, id: link.id.to_string(), name, trust: Trust::Bound })
        })
        .collect();
    let login = names.name(&who.agent).unwrap_or(&who.agent).to_owned();
    Identity {
        chain,
        login,
        subject: String::new(),
        targets: vec![who.target.to_string()],
        ..Identity::default()
    }
}
