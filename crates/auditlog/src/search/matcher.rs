//! Whether an entry matches a query.
//!
//! Entries are judged one by one, and those that follow a `command.decided` also by what that said: its tables, effects,
//! rule, verdict and text count for the command's rows and outcome as well. So `table:payments sqlstate:42501` finds the
//! outcomes with that error of commands on that table, and `table:payments` finds intents and outcomes.

use std::borrow::Cow;
use std::collections::HashMap;

use firsthand_model::id::SessionId;
use firsthand_model::json::write_string;
use memchr::memmem::{self, Finder};

use super::query::{Key, Query, Term};
use crate::entry::fields::{Fields, LinkFields};
use crate::index::{Facet, SegmentFacts};
use crate::keys::KeyStore;
use crate::names::Names;
use crate::reader::payload::Payload;

/// Commands whose intents are remembered until they end. Far more than a gateway has open; past it the oldest are as
/// good as any to forget.
const COMMANDS_KEPT: usize = 1 << 20;

/// A query made ready for one log.
#[derive(Debug)]
pub struct Matcher {
    terms: Vec<Ready>,
    since: Option<u64>,
    until: Option<u64>,
    /// Bits of the terms that must hold, and of those that must not.
    wanted: u64,
    unwanted: u64,
    /// Bits of the terms that an intent says for its whole command.
    inherited: u64,
    /// What the intents of running commands said, where they said anything.
    intents: HashMap<([u8; 16], u64), u64>,
    unsearched: u64,
    patterns: Patterns,
}

/// Keys in leaves, made ready for looking for them.
#[derive(Debug)]
struct Patterns {
    intent: Finder<'static>,
    number: Finder<'static>,
    sid: Finder<'static>,
    tables: Finder<'static>,
    resolved: Finder<'static>,
    table: Finder<'static>,
    pay: Finder<'static>,
}

impl Patterns {
    fn new() -> Self {
        Self {
            intent: Finder::new(b"\"k\":\"command.decided\""),
            number: Finder::new(b"\"cmd\":"),
            sid: Finder::new(b"\"sid\":\""),
            tables: Finder::new(b"\"tables\":["),
            resolved: Finder::new(b"\"resolved\":["),
            table: Finder::new(b"\"table\":\""),
            pay: Finder::new(b"\"pay\":{"),
        }
    }
}

#[derive(Debug)]
struct Ready {
    bit: u64,
    negated: bool,
    test: Test,
    /// Bytes one of which stands in every leaf for which the test holds. Empty: nothing can be said.
    literals: Vec<Finder<'static>>,
}

#[derive(Debug)]
enum Test {
    /// Ids of any length (prefixes), and the name itself for those who were refused.
    Identity {
        ids: Vec<String>,
        name: String,
    },
    Target(String),
    Database(String),
    Table(String),
    Effect(String),
    Kind(String),
    Sqlstate(String),
    Session(String),
    Role(String),
    Verdict(String),
    Rule(String),
    Approval(String),
    Grant(String),
    Text(Box<Needle>),
    Claim(Box<Claimed>),
}

/// What a client says of itself, and how to see quickly that it does not.
#[derive(Debug)]
struct Claimed {
    name: String,
    /// None: any.
    value: Option<String>,
    /// The value may be one of the parts between hyphens.
    part: bool,
    needle: Needle,
}

/// A text to find in any case.
#[derive(Debug)]
struct Needle {
    lower: String,
    /// As it stands in JSON text, to look for it without parsing.
    finder: Finder<'static>,
}

impl Matcher {
    /// Makes a query ready: names become the pseudonyms under which they stand in leaves.
    #[must_use]
    pub fn new(query: &Query, keys: Option<&KeyStore>, names: &Names) -> Self {
        let mut matcher = Self {
            terms: Vec::with_capacity(query.terms.len()),
            since: query.since,
            until: query.until,
            wanted: 0,
            unwanted: 0,
            inherited: 0,
            intents: HashMap::new(),
            unsearched: 0,
            patterns: Patterns::new(),
        };
        for (i, term) in query.terms.iter().enumerate() {
            let bit = 1u64.checked_shl(i as u32).unwrap_or(0);
            let side = if term.negated { &mut matcher.unwanted } else { &mut matcher.wanted };
            *side |= bit;
            if matches!(
                term.key,
                Key::Table
                    | Key::Effect
                    | Key::Verdict
                    | Key::Rule
                    | Key::Approval
                    | Key::Grant
                    | Key::Text
                    | Key::Claim
                    | Key::Traceparent
            ) {
                matcher.inherited |= bit;
            }
            let test = ready(term, keys, names);
            let literals = literals(&test);
            matcher.terms.push(Ready { bit, negated: term.negated, test, literals });
        }
        matcher
    }

    /// Whether what an intent says matters for later entries of its command.
    #[must_use]
    pub fn remembers_intents(&self) -> bool {
        self.inherited != 0
    }

    /// Forgets what intents said: reading goes on elsewhere.
    pub(crate) fn forget_intents(&mut self) {
        self.intents.clear();
    }

    /// Entries whose payload a text search could not look into, because it is erased or sealed.
    #[must_use]
    pub fn unsearched(&self) -> u64 {
        self.unsearched
    }

    /// A quick look at the bytes: `false` when parsing the leaf cannot lead to anything.
    #[must_use]
    pub fn worth_parsing(&self, leaf: &[u8]) -> bool {
        let is_intent = self.patterns.intent.find(leaf).is_some();
        let held = if is_intent || self.intents.is_empty() { 0 } else { self.held_of(leaf) };
        let mut lacking = self
            .terms
            .iter()
            .filter(|term| !term.negated && term.bit & held == 0 && !term.may_hold_for(leaf, &self.patterns))
            .peekable();
        if lacking.peek().is_none() {
            return true;
        }
        // An intent may matter for an outcome that has what it lacks: only the outcome has a SQLSTATE, and a kind is of
        // one entry alone.
        self.inherited != 0
            && is_intent
            && lacking.all(|term| matches!(term.test, Test::Sqlstate(_) | Test::Kind(_)))
    }

    /// Whether a look into the payload by [`Matcher::may_hold_text`] can save parsing the leaf.
    #[must_use]
    pub fn looks_for_text(&self) -> bool {
        self.terms.iter().any(|term| !term.negated && term.test.needle().is_some())
    }

    /// A quick look at an opened payload: `false` when the texts looked for do not stand there (nor in the command's
    /// intent), so that the entry cannot match.
    #[must_use]
    pub fn may_hold_text(&self, leaf: &[u8], payload: &[u8]) -> bool {
        let is_intent = self.patterns.intent.find(leaf).is_some();
        let texts_only = self.terms.iter().all(|t| t.bit & self.inherited == 0 || t.test.needle().is_some());
        if is_intent && (!texts_only || self.terms.iter().filter(|t| t.test.needle().is_some()).count() > 1) {
            return true;
        }
        let held = if is_intent || self.intents.is_empty() { 0 } else { self.held_of(leaf) };
        let lacking = self.terms.iter().filter(|term| !term.negated && term.bit & held == 0);
        lacking.filter_map(|term| term.test.needle()).all(|needle| needle.may_stand_in(payload))
    }

    /// What the intent said of the command that a leaf belongs to, found without parsing it.
    fn held_of(&self, leaf: &[u8]) -> u64 {
        let after = |pattern: &Finder<'_>| leaf.get(pattern.find(leaf)? + pattern.needle().len()..);
        let number = after(&self.patterns.number).map(|rest| {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit());
            digits.fold(0u64, |n, b| n.wrapping_mul(10).wrapping_add(u64::from(b - b'0')))
        });
        let id = after(&self.patterns.sid)
            .and_then(|rest| std::str::from_utf8(rest.get(..36)?).ok())
            .and_then(SessionId::parse);
        let command = id.map(|id| id.0.to_be_bytes()).zip(number);
        command.and_then(|command| self.intents.get(&command).copied()).unwrap_or(0)
    }

    /// Whether a segment may hold a match, by its index. `earlier`: the indexes of the segments in which commands began
    /// that were running when this one did; `None` when that is not known.
    #[must_use]
    pub fn may_match(&self, here: &SegmentFacts, earlier: Option<&[&SegmentFacts]>) -> bool {
        self.terms.iter().filter(|term| !term.negated).all(|term| {
            let before = || match earlier {
                Some(earlier) => earlier.iter().any(|facts| term.test.may_hold_in(facts)),
                None => true,
            };
            term.test.may_hold_in(here) || (term.bit & self.inherited != 0 && before())
        })
    }

    /// Judges an entry. Entries must come in the order of the log; `payload` is opened only when it decides.
    pub fn matches(&mut self, fields: &Fields<'_>, payload: &mut dyn FnMut() -> Payload) -> bool {
        let command = SessionId::parse(&fields.sid).map(|id| id.0.to_be_bytes()).zip(fields.cmd);
        let is_intent = fields.k == "command.decided";
        let mut held = match command {
            Some(command) if !is_intent && self.inherited != 0 => self.take_intent(command, fields),
            _ => 0,
        };
        let mut texts = 0;
        for term in &self.terms {
            if term.test.needle().is_some() {
                texts |= term.bit;
            } else if term.test.leaf_holds(fields) {
                held |= term.bit;
            }
        }
        let in_time = self.in_time(fields);
        let refused_login = !self.terms.is_empty() && fields.who.is_none() && fields.k.ends_with(".refused");
        let open_wanted = self.wanted & !texts & !held;
        let possible = in_time && open_wanted == 0 && held & self.unwanted == 0;
        let for_later = is_intent && texts != 0 && self.possible_later(held);
        if (possible && texts & !held != 0) || for_later || (refused_login && in_time) {
            held |= self.look_inside(fields, payload());
        }
        if is_intent && let Some(command) = command {
            self.keep_intent(command, held);
        }
        in_time && held & self.wanted == self.wanted && held & self.unwanted == 0
    }

    /// Whether a later entry of this intent's command could still match.
    fn possible_later(&self, held: u64) -> bool {
        let never = |term: &&Ready| {
            !matches!(term.test, Test::Sqlstate(_) | Test::Kind(_) | Test::Text(_) | Test::Claim(_))
                && term.bit & self.wanted != 0
                && term.bit & held == 0
        };
        !self.terms.iter().any(|term| never(&term))
    }

    fn in_time(&self, fields: &Fields<'_>) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let t = fields.micros();
        self.since.is_none_or(|since| t >= since) && self.until.is_none_or(|until| t < until)
    }

    fn keep_intent(&mut self, command: ([u8; 16], u64), held: u64) {
        let held = held & self.inherited;
        if held == 0 {
            return;
        }
        if self.intents.len() >= COMMANDS_KEPT {
            self.intents.clear();
        }
        self.intents.insert(command, held);
    }

    fn take_intent(&mut self, command: ([u8; 16], u64), fields: &Fields<'_>) -> u64 {
        let ended = matches!(&*fields.k, "command.completed" | "command.abandoned");
        let held = if ended { self.intents.remove(&command) } else { self.intents.get(&command).copied() };
        held.unwrap_or(0)
    }

    /// Bits of what only the payload tells: texts, and who was refused.
    fn look_inside(&mut self, fields: &Fields<'_>, payload: Payload) -> u64 {
        let json = match payload {
            Payload::Clear(json) => json,
            Payload::None => return 0,
            _ => {
                self.unsearched += 1;
                return 0;
            }
        };
        let mut held = 0;
        let mut parsed = None;
        for term in &self.terms {
            let holds = match &term.test {
                Test::Text(needle) => {
                    needle.may_stand_in(&json) && {
                        let value =
                            parsed.get_or_insert_with(|| serde_json::from_slice(&json).unwrap_or_default());
                        needle.stands_in(value)
                    }
                }
                Test::Claim(claim) => {
                    claim.needle.may_stand_in(&json)
                        && claim.stands_in(
                            parsed.get_or_insert_with(|| serde_json::from_slice(&json).unwrap_or_default()),
                        )
                }
                Test::Identity { name, .. } | Test::Target(name) if fields.who.is_none() => {
                    let key = if matches!(term.test, Test::Target(_)) { "target" } else { "login" };
                    let value: &serde_json::Value =
                        parsed.get_or_insert_with(|| serde_json::from_slice(&json).unwrap_or_default());
                    value.get(key).and_then(|v| v.as_str()) == Some(name)
                }
                _ => false,
            };
            held |= if holds { term.bit } else { 0 };
        }
        held
    }
}

impl Ready {
    /// Whether the leaf's bytes allow the test to hold for the entry itself.
    fn may_hold_for(&self, leaf: &[u8], patterns: &Patterns) -> bool {
        match &self.test {
            Test::Table(table) => {
                let holds = |at: usize, end: &[u8]| {
                    let rest = leaf.get(at..).unwrap_or_default();
                    let end = memmem::find(rest, end).unwrap_or(rest.len());
                    let names = String::from_utf8_lossy(rest.get(..end).unwrap_or_default());
                    // Names are compared without quotes, which stand escaped here.
                    names.contains('\\') || names.to_lowercase().contains(table.as_str())
                };
                let lists = [
                    (&patterns.tables, &b"],\""[..]),
                    (&patterns.resolved, b"],\""),
                    (&patterns.table, b",\""),
                ];
                lists.into_iter().any(|(list, end)| list.find(leaf).is_some_and(|at| holds(at, end)))
            }
            Test::Text(_) | Test::Claim(_) => patterns.pay.find(leaf).is_some(),
            _ => self.literals.is_empty() || self.literals.iter().any(|l| l.find(leaf).is_some()),
        }
    }
}

/// The pseudonyms (or beginnings of them) under which an identity may stand in leaves.
#[must_use]
pub fn identity_ids(name: &str, keys: Option<&KeyStore>, names: &Names) -> Vec<String> {
    let mut ids = names.ids_of(name);
    if is_id(name) {
        ids.push(name.to_owned());
    }
    if let Some(keys) = keys {
        ids.extend(['h', 'a', 's', 't'].map(|kind| keys.identity_id(kind, name)));
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn ready(term: &Term, keys: Option<&KeyStore>, names: &Names) -> Test {
    let value = term.value.clone();
    match term.key {
        Key::Identity => {
            let ids = identity_ids(&value, keys, names);
            Test::Identity { ids, name: value }
        }
        Key::Target => Test::Target(value),
        Key::Database => Test::Database(value),
        Key::Table => Test::Table(plain_table(&value)),
        Key::Effect => Test::Effect(value),
        Key::Kind => Test::Kind(value.to_ascii_lowercase()),
        Key::Sqlstate => Test::Sqlstate(value.to_ascii_uppercase()),
        Key::Session => Test::Session(value.to_ascii_lowercase()),
        Key::Role => Test::Role(value),
        Key::Verdict => Test::Verdict(value),
        Key::Rule => Test::Rule(value),
        Key::Claim => {
            let (name, value) = value.split_once('=').map_or((&*value, None), |(n, v)| (n, Some(v)));
            Test::Claim(Box::new(Claimed::new(name, value, false)))
        }
        Key::Traceparent => Test::Claim(Box::new(Claimed::new("traceparent", Some(&value), true))),
        Key::Approval => Test::Approval(value.to_ascii_lowercase()),
        Key::Grant => Test::Grant(value.to_ascii_lowercase()),
        // Times are not terms; as a text they find nothing that is not there.
        Key::Text | Key::Since | Key::Until => Test::Text(Box::new(Needle::new(&value))),
    }
}

/// `h-3f09…`, also shortened.
fn is_id(value: &str) -> bool {
    value.split_once('-').is_some_and(|(kind, digits)| {
        matches!(kind, "h" | "a" | "s" | "t")
            && digits.len() >= 4
            && digits.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// A table's name without quotes, in small letters.
pub(crate) fn plain_table(name: &str) -> String {
    name.chars().filter(|c| *c != '"').flat_map(char::to_lowercase).collect()
}

/// Whether the table `written` in a statement is the one asked for (both plain): the same, or the same behind a schema.
pub(crate) fn is_table(asked: &str, written: &str) -> bool {
    written == asked || written.strip_suffix(asked).is_some_and(|schema| schema.ends_with('.'))
}

fn literals(test: &Test) -> Vec<Finder<'static>> {
    let quoted = |key: &str, value: &str, closed: bool| {
        let mut text = Vec::new();
        write_string(&mut text, value);
        if !closed {
            text.pop();
        }
        Finder::new(&[key.as_bytes(), &text].concat()).into_owned()
    };
    match test {
        Test::Identity { ids, .. } => {
            // Those who were refused stand in payloads only.
            let mut all: Vec<_> = ids.iter().map(|id| quoted("", id, false)).collect();
            all.push(quoted("\"k\":", "identity.refused", true));
            all.push(quoted("\"k\":", "session.refused", true));
            all
        }
        Test::Target(name) => vec![
            quoted("\"target\":", name, true),
            quoted("\"k\":", "identity.refused", true),
            quoted("\"k\":", "session.refused", true),
        ],
        Test::Database(name) => vec![quoted("\"db\":", name, true)],
        Test::Kind(kind) => vec![quoted("\"k\":", kind, false)],
        Test::Sqlstate(code) => vec![quoted("\"sqlstate\":", code, false)],
        Test::Session(_) => vec![],
        Test::Role(role) => vec![quoted("role\":", role, true)],
        Test::Effect(word) => vec![quoted("", word, true)],
        Test::Verdict(word) => vec![quoted("\"verdict\":", word, true)],
        Test::Rule(rule) => vec![quoted("\"rule\":", rule, true)],
        Test::Approval(id) => vec![quoted("\"approval\":", id, true)],
        Test::Grant(id) => vec![quoted("\"grant\":", id, true)],
        Test::Table(_) | Test::Text(_) | Test::Claim(_) => vec![],
    }
}

impl Test {
    /// Whether it may hold for an entry of a segment.
    /// What must stand in the payload, for a test that looks there.
    fn needle(&self) -> Option<&Needle> {
        match self {
            Self::Text(needle) => Some(needle),
            Self::Claim(claim) => Some(&claim.needle),
            _ => None,
        }
    }

    fn may_hold_in(&self, facts: &SegmentFacts) -> bool {
        // Those who were refused stand in payloads only.
        let refused = |name: &str| {
            facts.any(Facet::Kind, |kind| kind.ends_with(".refused"))
                && Needle::new(name).may_stand_in_segment(facts)
        };
        match self {
            Self::Identity { ids, name } => {
                facts.any(Facet::Identity, |id| ids.iter().any(|asked| id.starts_with(asked.as_str())))
                    || refused(name)
            }
            Self::Target(name) => facts.any(Facet::Target, |target| target == name) || refused(name),
            Self::Database(name) => facts.any(Facet::Database, |database| database == name),
            Self::Role(role) => facts.any(Facet::Role, |known| known == role),
            Self::Table(table) => {
                let resolved = match facts.clear.facets.get(&Facet::Resolved) {
                    Some(known) => known.iter().any(|known| is_table(table, known)),
                    // Written before that was told: changed rows may be of any table.
                    None => facts.any(Facet::Kind, |kind| kind.ends_with(".changed")),
                };
                resolved || facts.any(Facet::Table, |known| is_table(table, known))
            }
            Self::Effect(effect) => facts.any(Facet::Effect, |known| known == effect),
            Self::Kind(kind) => facts.any(Facet::Kind, |known| is_kind(kind, known)),
            Self::Sqlstate(code) => facts.any(Facet::Sqlstate, |known| is_sqlstate(code, known)),
            Self::Verdict(verdict) => facts.any(Facet::Verdict, |known| known == verdict),
            Self::Rule(rule) => facts.any(Facet::Rule, |known| known == rule),
            // The catalog looks at sessions: they are not a list of texts.
            // Nor are approvals and grants, which are few.
            Self::Session(_) | Self::Approval(_) | Self::Grant(_) => true,
            Self::Text(needle) => needle.may_stand_in_segment(facts),
            Self::Claim(claim) => claim.needle.may_stand_in_segment(facts),
        }
    }

    /// Whether the leaf says so. Text is not asked here.
    fn leaf_holds(&self, fields: &Fields<'_>) -> bool {
        let who = fields.who.as_ref();
        match self {
            Self::Identity { ids, .. } => {
                let is = |link: &LinkFields<'_>| ids.iter().any(|id| link.id.starts_with(id.as_str()));
                who.is_some_and(|who| who.chain.iter().any(is))
                    || fields.by.as_ref().is_some_and(is)
                    || fields.chain.iter().any(is)
            }
            Self::Target(name) => who.is_some_and(|who| who.target == *name),
            Self::Database(name) => who.is_some_and(|who| who.db == *name),
            Self::Role(role) => who.is_some_and(|who| who.role == *role || who.srole == *role),
            Self::Table(table) => {
                let is = |name: &str| is_table(table, &plain_table(name));
                fields.tables.iter().chain(&fields.resolved).any(|name| is(name))
                    || fields.table.split(", ").any(is)
            }
            Self::Effect(effect) => fields.effects.iter().any(|e| e == effect),
            Self::Kind(kind) => is_kind(kind, &fields.k),
            Self::Sqlstate(code) => is_sqlstate(code, &fields.sqlstate),
            Self::Session(id) => !fields.sid.is_empty() && session_starts(&fields.sid, id),
            Self::Verdict(verdict) => fields.verdict == *verdict,
            Self::Rule(rule) => fields.rule == *rule,
            Self::Approval(id) => fields.approval == *id || is_about(fields, id),
            Self::Grant(id) => fields.grant == *id || grant_of_role(fields).is_some_and(|grant| grant == *id),
            Self::Text(_) | Self::Claim(_) => false,
        }
    }
}

/// The grant that an entry about its login role names: those are entries of the log itself, which have it among their facts.
fn grant_of_role<'a>(fields: &Fields<'a>) -> Option<Cow<'a, str>> {
    #[derive(serde::Deserialize)]
    struct Facts<'a> {
        #[serde(borrow)]
        grant: Cow<'a, str>,
    }
    let facts = fields.facts.filter(|_| is_kind("role", &fields.k))?;
    serde_json::from_str::<Facts<'a>>(facts.get()).ok().map(|facts| facts.grant)
}

/// Whether an entry that tells of an approval among its facts is about this one.
fn is_about(fields: &Fields<'_>, id: &str) -> bool {
    let tells = matches!(&*fields.k, "approval.answer_refused" | "admin.approval_differs");
    let facts = fields.facts.filter(|_| tells);
    let facts = facts.and_then(|raw| serde_json::from_str::<serde_json::Value>(raw.get()).ok());
    facts.is_some_and(|facts| facts.get("approval").and_then(serde_json::Value::as_str) == Some(id))
}

/// Whether a kind is the one asked for, or one of the group asked for: `identity`, `identity.token`.
fn is_kind(asked: &str, kind: &str) -> bool {
    kind.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_']))
}

/// Whether a SQLSTATE is the one asked for, or of the class asked for.
fn is_sqlstate(asked: &str, code: &str) -> bool {
    code == asked || (asked.len() == 2 && code.starts_with(asked))
}

/// Whether a session's id begins so; hyphens may be left out.
#[must_use]
pub fn session_starts(sid: &str, asked: &str) -> bool {
    let mut digits = sid.bytes().filter(|b| *b != b'-');
    asked.bytes().filter(|b| *b != b'-').all(|b| digits.next() == Some(b))
}

impl Claimed {
    fn new(name: &str, value: Option<&str>, part: bool) -> Self {
        let needle = Needle::new(value.unwrap_or(name));
        Self { name: name.to_owned(), value: value.map(str::to_owned), part, needle }
    }

    fn stands_in(&self, payload: &serde_json::Value) -> bool {
        let claims = payload.get("claims").and_then(|list| list.as_array());
        claims.into_iter().flatten().any(|claim| {
            let text = |key: &str| claim.get(key).and_then(|v| v.as_str()).unwrap_or_default();
            let (name, said) = (text("name"), text("value"));
            let is = |asked: &str| said == asked || self.part && said.split('-').any(|part| part == asked);
            name == self.name && self.value.as_deref().is_none_or(is)
        })
    }
}

impl Needle {
    fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        let mut json = Vec::new();
        write_string(&mut json, &lower);
        let inner = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
        Self { lower, finder: Finder::new(&inner).into_owned() }
    }

    fn may_stand_in_segment(&self, facts: &SegmentFacts) -> bool {
        let filter = facts.secret.as_ref().and_then(|secret| secret.text.as_ref());
        filter.is_none_or(|filter| filter.may_hold(self.finder.needle()))
    }

    fn may_stand_in(&self, json: &[u8]) -> bool {
        if self.lower.is_ascii() {
            // Letters inside escapes are small already, so this does not change what JSON means.
            self.finder.find(&json.to_ascii_lowercase()).is_some()
        } else {
            let text = String::from_utf8_lossy(json).to_lowercase();
            self.finder.find(text.as_bytes()).is_some()
        }
    }

    fn stands_in(&self, value: &serde_json::Value) -> bool {
        use serde_json::Value;
        match value {
            Value::String(text) => text.to_lowercase().contains(&self.lower),
            Value::Number(number) => number.to_string().contains(&self.lower),
            Value::Array(list) => list.iter().any(|v| self.stands_in(v)),
            Value::Object(map) => map.values().any(|v| self.stands_in(v)),
            Value::Null | Value::Bool(_) => false,
        }
    }
}
