//! What the summary tells, gathered while entries go by. Memory is bounded: rows beyond a number are counted only.

use std::collections::{BTreeMap, HashMap, HashSet};

use firsthand_auditlog::bundle::make::Teller;
use firsthand_auditlog::entry::fields::{Fields, LinkFields, WhoFields};
use firsthand_auditlog::names::Names;
use firsthand_auditlog::search::Found;
use serde_json::Value;

/// Commands that are told, each in a row.
pub(super) const COMMANDS_TOLD: usize = 2_000;
/// Characters of a statement.
pub(super) const STATEMENT_CHARS: usize = 600;
/// Other things told: refusals, approvals, gaps.
pub(super) const OTHERS_TOLD: usize = 500;
/// Commands that run at a time and are kept in mind.
const RUNNING_MAX: usize = 1 << 16;
/// Kinds, words of coverage and sessions that are counted apart.
const COUNTED_MAX: usize = 1 << 16;

/// A command.
#[derive(Debug, Default, Clone)]
pub(super) struct Told {
    pub(super) at: String,
    pub(super) place: String,
    pub(super) who: String,
    pub(super) target: String,
    /// None: withheld.
    pub(super) statement: Option<String>,
    pub(super) verdict: String,
    pub(super) rule: String,
    pub(super) approval: String,
    pub(super) outcome: String,
}

/// An approval.
#[derive(Debug, Default, Clone)]
pub(super) struct Approved {
    pub(super) asked: String,
    pub(super) by: Vec<String>,
    pub(super) became: Vec<String>,
}

/// All that is told.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) names: Names,
    pub(super) kinds: BTreeMap<String, u64>,
    pub(super) coverage: BTreeMap<String, u64>,
    pub(super) sessions: HashSet<String>,
    pub(super) commands: Vec<Told>,
    pub(super) commands_more: u64,
    pub(super) verdicts: BTreeMap<String, u64>,
    pub(super) failed: u64,
    pub(super) rows: u64,
    pub(super) changed: BTreeMap<(String, String), u64>,
    pub(super) refusals: Vec<(String, String, String)>,
    pub(super) refusals_more: u64,
    pub(super) approvals: BTreeMap<String, Approved>,
    pub(super) gaps: Vec<(String, String)>,
    /// Rows in `commands` of what runs.
    running: HashMap<(String, u64), usize>,
}

/// One more of a kind, unless there are too many kinds.
fn one_more(counts: &mut BTreeMap<String, u64>, key: &str) {
    if let Some(count) = counts.get_mut(key) {
        *count += 1;
    } else if counts.len() < COUNTED_MAX {
        counts.insert(key.to_owned(), 1);
    }
}

fn push<T>(list: &mut Vec<T>, more: &mut u64, value: T) {
    if list.len() < OTHERS_TOLD { list.push(value) } else { *more += 1 }
}

impl Teller for Summary {
    fn entry(&mut self, found: &Found, shown: bool) {
        let Ok(fields) = Fields::read(&found.leaf) else { return };
        let payload = found.payload.clear().filter(|_| shown);
        if let Some(payload) = payload {
            self.names.learn(&found.leaf, payload);
        }
        let payload: Option<Value> = payload.and_then(|payload| serde_json::from_slice(payload).ok());
        one_more(&mut self.kinds, &fields.k);
        for word in &fields.coverage {
            one_more(&mut self.coverage, word);
        }
        if !fields.sid.is_empty() && self.sessions.len() < COUNTED_MAX {
            self.sessions.insert(fields.sid.to_string());
        }
        let place = format!("{}/{}", found.place.epoch, found.place.position);
        match &*fields.k {
            "command.decided" => self.decided(&fields, payload.as_ref(), place),
            "command.completed" | "command.abandoned" => self.ended(&fields),
            "command.changed" | "transaction.changed" => self.rows_changed(&fields),
            "log.gap" | "log.recovered" | "log.clock" | "log.started" | "log.stopped" => {
                let facts = fields.facts.map(|facts| facts.get().to_owned()).unwrap_or_default();
                push(
                    &mut self.gaps,
                    &mut self.refusals_more,
                    (fields.t.to_string(), format!("{} {facts}", fields.k)),
                );
            }
            kind if kind.ends_with(".refused") && !kind.starts_with("approval.") => {
                let who = payload.as_ref().and_then(|p| p.get("login")).and_then(Value::as_str);
                let told = (
                    fields.t.to_string(),
                    kind.to_owned(),
                    format!("{} {}", fields.why, who.unwrap_or_default()),
                );
                push(&mut self.refusals, &mut self.refusals_more, told);
            }
            kind if kind.starts_with("approval.") => self.approval(kind, &fields),
            _ => {}
        }
    }
}

impl Summary {
    /// A name, where a payload here tells it, else the pseudonym.
    fn link(&self, link: &LinkFields<'_>) -> String {
        let name = self.names.name(&link.id).unwrap_or(&link.id);
        format!("{name} ({}, {})", link.kind, link.trust)
    }

    fn who(&self, who: Option<&WhoFields<'_>>) -> String {
        let links = who.map(|who| who.chain.as_slice()).unwrap_or_default();
        links.iter().map(|link| self.link(link)).collect::<Vec<_>>().join(" → ")
    }

    fn decided(&mut self, fields: &Fields<'_>, payload: Option<&Value>, place: String) {
        one_more(&mut self.verdicts, &fields.verdict);
        if fields.verdict != "allow" {
            let what = format!("{} by {}", fields.verdict, fields.rule);
            push(
                &mut self.refusals,
                &mut self.refusals_more,
                (fields.t.to_string(), format!("command {place}"), what),
            );
        }
        if self.commands.len() >= COMMANDS_TOLD {
            self.commands_more += 1;
            return;
        }
        let who = fields.who.as_ref();
        let text = payload.and_then(|payload| payload.get("text")).and_then(Value::as_str);
        let target = who.map(|who| format!("{} / {} as {}", who.target, who.db, who.role));
        let told = Told {
            at: fields.t.to_string(),
            place,
            who: self.who(who),
            target: target.unwrap_or_default(),
            statement: text.map(|text| text.chars().take(STATEMENT_CHARS).collect()),
            verdict: fields.verdict.to_string(),
            rule: fields.rule.to_string(),
            approval: fields.approval.to_string(),
            outcome: String::new(),
        };
        if let Some(cmd) = fields.cmd.filter(|_| self.running.len() < RUNNING_MAX) {
            self.running.insert((fields.sid.to_string(), cmd), self.commands.len());
        }
        self.commands.push(told);
    }

    fn ended(&mut self, fields: &Fields<'_>) {
        self.rows += fields.rows.unwrap_or(0);
        self.failed += u64::from(!fields.sqlstate.is_empty() || fields.k == "command.abandoned");
        let row = fields.cmd.and_then(|cmd| self.running.remove(&(fields.sid.to_string(), cmd)));
        let Some(told) = row.and_then(|row| self.commands.get_mut(row)) else { return };
        let mut parts = Vec::new();
        for (what, count) in [("rows", fields.rows), ("affected", fields.affected)] {
            parts.extend(count.map(|count| format!("{count} {what}")));
        }
        if !fields.sqlstate.is_empty() {
            parts.push(format!("error {}", fields.sqlstate));
        }
        if fields.k == "command.abandoned" {
            parts.push(format!("abandoned: {}", fields.why));
        }
        told.outcome = if parts.is_empty() { "done".to_owned() } else { parts.join(", ") };
    }

    fn rows_changed(&mut self, fields: &Fields<'_>) {
        let key = (fields.table.to_string(), fields.action.to_string());
        if self.changed.len() < COUNTED_MAX || self.changed.contains_key(&key) {
            *self.changed.entry(key).or_default() += fields.count.unwrap_or(0);
        }
    }

    fn approval(&mut self, kind: &str, fields: &Fields<'_>) {
        if self.approvals.len() >= OTHERS_TOLD && !self.approvals.contains_key(&*fields.approval) {
            return;
        }
        let by = fields.by.as_ref().map(|by| self.link(by));
        let approved = self.approvals.entry(fields.approval.to_string()).or_default();
        let what = kind.trim_start_matches("approval.");
        match what {
            "asked" => approved.asked = fields.t.to_string(),
            "given" | "glass_broken" => approved.by.extend(by),
            _ => {}
        }
        if approved.became.len() < OTHERS_TOLD {
            approved.became.push(format!("{what} {}", fields.t));
        }
    }

    /// Who approved it, or nobody.
    pub(super) fn approvers(&self, approval: &str) -> String {
        let by = self.approvals.get(approval).map(|approved| approved.by.join(", ")).unwrap_or_default();
        match (approval.is_empty(), by.is_empty()) {
            (true, _) => "nobody (not asked for)".to_owned(),
            (false, true) => format!("{approval} (asked before the range, or withheld)"),
            (false, false) => format!("{by} ({approval})"),
        }
    }
}
