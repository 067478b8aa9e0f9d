//! The leaf of each kind: facts without free text and without personal data, one line of restricted JSON.
//!
//! Every function writes its keys in ascending order; `Object` checks that in debug builds. Names and meanings of all
//! keys stand in `kinds.rs`.

mod approval;
mod grant;
mod transaction;

use firsthand_model::command::{Command, Shape};
use firsthand_model::event::{
    Administered, AdmissionRefused, CommandAbandoned, CommandChanged, CommandCompleted, CommandDecided,
    CommandRows, Event, LogEvent, SessionClosed, SessionNoted, SessionOpened, StreamProgress,
};
use firsthand_model::id::SessionId;
use firsthand_model::json::{Object, write_hex, write_string, write_u64};
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::Relation;
use firsthand_model::target::{Durability, Mode};

use super::limits::{COVERAGE_KEPT, FACTS_BYTES_KEPT, RESOLVED_BYTES_KEPT, TABLES_BYTES_KEPT};
use super::moment::{TimeText, rfc3339};
use super::session_text::{SessionText, kept, write_chain, write_link};
use super::{Sealing, Stamp, base64};

/// What every kind writes, and the state for writing it fast.
pub(super) struct Common<'a> {
    pub(super) stamp: Stamp,
    pub(super) payload: Option<&'a Sealing<'a>>,
    pub(super) time: &'a mut TimeText,
}

/// Appends the leaf.
pub(super) fn write(event: &Event, common: &mut Common<'_>, out: &mut Vec<u8>) {
    match event {
        Event::SessionOpened(e) => opened(e, common, out),
        Event::SessionClosed(e) => closed(e, common, out),
        Event::SessionNoted(e) => noted(e, common, out),
        Event::CommandDecided(e) => decided(e, common, out),
        Event::CommandRows(e) => rows(e, common, out),
        Event::CommandChanged(e) => changed(e, common, out),
        Event::TransactionNamed(e) => transaction::named(e, common, out),
        Event::TransactionChanged(e) => transaction::changed(e, common, out),
        Event::TransactionEnded(e) => transaction::ended(e, common, out),
        Event::CommandCompleted(e) => completed(e, common, out),
        Event::CommandAbandoned(e) => abandoned(e, common, out),
        Event::Stream(e) => stream(e, common, out),
        Event::Approval(e) => match &e.grant {
            Some(of) => grant::write(e, of, common, out),
            None => approval::write(e, common, out),
        },
        Event::Refused(e) => refused(e, common, out),
        Event::Administered(e) => administered(e, common, out),
        Event::Log(e) => log(e, common, out),
    }
}

impl Common<'_> {
    /// `mode`, `mono`, `n`, `pay`.
    fn place(&self, o: &mut Object<'_>, session: Option<&SessionFacts>) {
        if session.is_some_and(|facts| facts.mode == Mode::Observe) {
            o.string("mode", "observe");
        }
        o.number("mono", self.stamp.mono.0);
        o.number("n", self.stamp.position);
        let Some(sealing) = self.payload else { return };
        let out = o.key("pay");
        out.extend_from_slice(b"{\"h\":\"");
        base64::write_digest(&sealing.commitment.digest, out);
        out.push(b'"');
        if let Some(subject) = sealing.key {
            out.extend_from_slice(b",\"key\":");
            write_string(out, kept(subject));
        }
        out.extend_from_slice(b",\"len\":");
        write_u64(out, sealing.commitment.bytes);
        if let Some(month) = sealing.month {
            out.extend_from_slice(b",\"month\":");
            write_string(out, month);
        }
        if let Some(run) = sealing.run {
            out.extend_from_slice(b",\"run\":\"");
            write_hex(out, &run.0);
            out.push(b'"');
        }
        out.push(b'}');
    }

    /// `t`.
    fn time(&mut self, o: &mut Object<'_>) {
        let out = o.key("t");
        out.push(b'"');
        self.time.write(self.stamp.time.0, out);
        out.push(b'"');
    }
}

fn durability(o: &mut Object<'_>, facts: &SessionFacts) {
    if facts.durability == Durability::Relaxed {
        o.string("dur", "relaxed");
    }
}

fn session(o: &mut Object<'_>, text: &SessionText) {
    o.key("sid").extend_from_slice(&text.sid);
}

/// `v`, `who`: the end of most leaves.
fn version_and_who(o: &mut Object<'_>, text: &SessionText) {
    version(o);
    who(o, text);
}

fn version(o: &mut Object<'_>) {
    o.number("v", 1);
}

fn who(o: &mut Object<'_>, text: &SessionText) {
    o.key("who").extend_from_slice(&text.who);
}

fn coverage<'a>(o: &mut Object<'_>, words: impl Iterator<Item = &'a str>) {
    let mut words = words.take(COVERAGE_KEPT).peekable();
    if words.peek().is_none() {
        return;
    }
    let out = o.key("coverage");
    let mut before = b'[';
    for word in words {
        out.push(before);
        write_string(out, kept(word));
        before = b',';
    }
    out.push(b']');
}

fn opened(e: &SessionOpened, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let text = SessionText::of(&e.facts);
    let mut o = Object::open(out);
    if let Some(certificate) = &e.facts.identity.certificate {
        o.string("ca", kept(&certificate.ca));
    }
    coverage(&mut o, e.coverage.iter().copied());
    durability(&mut o, &e.facts);
    if let Some(ends) = e.facts.identity.expires {
        o.string("ends", &rfc3339(ends.0));
    }
    if let Some(grant) = &e.grant {
        o.string("grant", kept(grant));
    }
    if let Some(issuer) = &e.facts.identity.issuer {
        o.string("issuer", kept(issuer));
    }
    o.string("k", "session.opened");
    o.string("method", e.client.method);
    common.place(&mut o, Some(&e.facts));
    o.string("proto", kept(&e.client.protocol));
    o.string("server", kept(&e.facts.server_version));
    session(&mut o, &text);
    common.time(&mut o);
    if let Some(tls) = &e.client.tls {
        o.string("tls", kept(tls));
    }
    version_and_who(&mut o, &text);
    o.close();
}

fn closed(e: &SessionClosed, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let text = SessionText::of(&e.facts);
    let mut o = Object::open(out);
    o.number("commands", e.commands);
    durability(&mut o, &e.facts);
    o.string("k", "session.closed");
    common.place(&mut o, Some(&e.facts));
    session(&mut o, &text);
    common.time(&mut o);
    o.number("us", e.duration_us);
    version_and_who(&mut o, &text);
    o.string("why", e.why);
    o.close();
}

/// What recovery writes for a session without an end: how long it lasted and how much it asked is not known.
pub(super) fn closed_by_crash(session: SessionId, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let mut o = Object::open(out);
    o.string("k", "session.closed");
    common.place(&mut o, None);
    o.string("sid", &session.to_string());
    common.time(&mut o);
    version(&mut o);
    o.string("why", "crash");
    o.close();
}

/// Where an entry should stand that was too large for a frame.
pub(super) fn too_large(event: &Event, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let mut o = Object::open(out);
    o.string("k", "log.oversize");
    common.place(&mut o, None);
    if let Some(session) = super::session(event) {
        o.string("sid", &session.to_string());
    }
    common.time(&mut o);
    version(&mut o);
    o.close();
}

fn noted(e: &SessionNoted, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let text = SessionText::of(&e.facts);
    let mut o = Object::open(out);
    durability(&mut o, &e.facts);
    o.string("k", "session.noted");
    common.place(&mut o, Some(&e.facts));
    session(&mut o, &text);
    common.time(&mut o);
    version(&mut o);
    o.string("what", e.what);
    who(&mut o, &text);
    o.close();
}

fn decided(e: &CommandDecided, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let text = SessionText::of(&e.facts);
    let Command { step, via, shape, original_bytes, transaction, coverage: more, .. } = &e.command;
    let mut o = Object::open(out);
    if let Some(approval) = &e.approval {
        o.string("approval", kept(approval));
    }
    o.number("bytes", *original_bytes);
    o.number("cmd", e.number.0);
    coverage(&mut o, shape.coverage.iter().map(String::as_str).chain(more.iter().copied()));
    durability(&mut o, &e.facts);
    effects(&mut o, shape);
    if let Some(rows) = e.estimated_rows {
        o.number("estimated", rows);
    }
    if let Some(grant) = &e.grant {
        o.string("grant", kept(grant));
    }
    o.string("k", "command.decided");
    common.place(&mut o, Some(&e.facts));
    o.string("policy", kept(&e.decision.policy));
    if shape.plain_read {
        o.boolean("read", true);
    }
    if !e.permitted && e.facts.mode == Mode::Observe {
        o.boolean("refused", true);
    }
    resolved(&mut o, shape);
    o.string("rule", kept(&e.decision.rule));
    session(&mut o, &text);
    o.string("step", step.word());
    common.time(&mut o);
    tables(&mut o, &shape.tables);
    if !shape.tag.is_empty() {
        o.string("tag", kept(&shape.tag));
    }
    o.string("tx", transaction.word());
    version(&mut o);
    o.string("verdict", e.decision.verdict.word());
    o.string("via", via);
    who(&mut o, &text);
    o.close();
}

fn effects(o: &mut Object<'_>, shape: &Shape) {
    let out = o.key("effects");
    let mut before = b'[';
    for effect in shape.effects.iter() {
        out.push(before);
        out.push(b'"');
        out.extend_from_slice(effect.word().as_bytes());
        out.push(b'"');
        before = b',';
    }
    if before == b'[' {
        out.push(b'[');
    }
    out.push(b']');
}

/// `tables`, and `tables_more` with the number of those that did not fit.
fn tables(o: &mut Object<'_>, tables: &[String]) {
    if tables.is_empty() {
        return;
    }
    let out = o.key("tables");
    let start = out.len();
    out.push(b'[');
    let mut listed = 0;
    for table in tables {
        let before = out.len();
        if listed > 0 {
            out.push(b',');
        }
        write_string(out, kept(table));
        if out.len() - start > TABLES_BYTES_KEPT {
            out.truncate(before);
            break;
        }
        listed += 1;
    }
    out.push(b']');
    if listed < tables.len() {
        o.number("tables_more", (tables.len() - listed) as u64);
    }
}

/// `resolved`: what the names in `tables` mean, where that is known and not what is written.
fn resolved(o: &mut Object<'_>, shape: &Shape) {
    let Some(facts) = &shape.facts else { return };
    let listed = |it: &&Relation| {
        let Relation { written, schema, name, .. } = *it;
        let same =
            written.strip_prefix(schema.as_str()).and_then(|rest| rest.strip_prefix('.')) == Some(name);
        // A name that the list does not have was taken out of it.
        !schema.is_empty() && !same && shape.tables.contains(written)
    };
    let is_read = |it: &Relation| facts.reads.iter().any(|r| (&r.schema, &r.name) == (&it.schema, &it.name));
    let written = facts.writes.iter().filter(|it| !is_read(it));
    let mut all = facts.reads.iter().chain(written).filter(listed).peekable();
    if all.peek().is_none() {
        return;
    }
    let out = o.key("resolved");
    let start = out.len();
    out.push(b'[');
    for it in all {
        let before = out.len();
        if before > start + 1 {
            out.push(b',');
        }
        write_string(out, kept(&format!("{}.{}", it.schema, it.name)));
        if out.len() - start > RESOLVED_BYTES_KEPT {
            out.truncate(before);
            break;
        }
    }
    out.push(b']');
}

fn rows(e: &CommandRows, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let text = SessionText::of(&e.facts);
    let mut o = Object::open(out);
    o.number("cmd", e.number.0);
    durability(&mut o, &e.facts);
    o.number("first", e.first_row);
    o.string("k", "command.rows");
    common.place(&mut o, Some(&e.facts));
    o.number("rows", e.rows);
    session(&mut o, &text);
    common.time(&mut o);
    version_and_who(&mut o, &text);
    o.close();
}

fn changed(e: &CommandChanged, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let text = SessionText::of(&e.facts);
    let mut o = Object::open(out);
    o.string("action", e.action);
    o.number("cmd", e.number.0);
    if let Some(count) = e.count {
        o.number("count", count);
    }
    coverage(&mut o, e.coverage.iter().copied());
    durability(&mut o, &e.facts);
    o.number("first", e.first);
    o.string("how", e.how);
    o.string("k", "command.changed");
    common.place(&mut o, Some(&e.facts));
    o.number("rows", e.rows);
    session(&mut o, &text);
    common.time(&mut o);
    o.string("table", kept(&e.table));
    version_and_who(&mut o, &text);
    o.close();
}

fn completed(e: &CommandCompleted, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let text = SessionText::of(&e.facts);
    let outcome = &e.outcome;
    let mut o = Object::open(out);
    if let Some(affected) = outcome.affected {
        o.number("affected", affected);
    }
    o.number("bytes", outcome.bytes);
    if let Some(cells) = outcome.cells {
        o.number("cells", cells);
    }
    o.number("cmd", e.number.0);
    coverage(&mut o, outcome.coverage.iter().copied());
    durability(&mut o, &e.facts);
    o.number("intent", e.intent);
    o.string("k", "command.completed");
    o.number("kept", outcome.rows_kept);
    common.place(&mut o, Some(&e.facts));
    o.number("rows", outcome.rows);
    session(&mut o, &text);
    if let Some(code) = outcome.code.as_deref() {
        o.string("sqlstate", if is_code(code) { code } else { "unreadable" });
    }
    if outcome.suspended {
        o.boolean("suspended", true);
    }
    common.time(&mut o);
    if is_clean_tag(&outcome.tag) {
        o.string("tag", &outcome.tag);
    }
    if outcome.taken {
        o.boolean("taken", true);
    }
    o.string("tx", outcome.transaction.word());
    o.string("tx_from", e.before.word());
    o.number("us", e.duration_us);
    version_and_who(&mut o, &text);
    o.close();
}

/// A completion tag made of words and numbers may stand in the leaf. A server could send anything, and then it is free
/// text, which belongs in the payload.
pub(super) fn is_clean_tag(tag: &str) -> bool {
    let clean = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ';
    (1..=64).contains(&tag.len()) && tag.bytes().all(clean)
}

/// SQLSTATE has five characters; other protocols' codes are as plain.
fn is_code(code: &str) -> bool {
    (1..=32).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

fn abandoned(e: &CommandAbandoned, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let text = e.facts.as_ref().map(|facts| (facts, SessionText::of(facts)));
    let text = text.as_ref().map(|(facts, text)| (facts.as_ref(), text.as_ref()));
    let mut o = Object::open(out);
    o.number("cmd", e.number.0);
    if let Some((facts, _)) = text {
        durability(&mut o, facts);
    }
    if let Some(forwarded) = e.forwarded {
        o.boolean("forwarded", forwarded);
    }
    o.number("intent", e.intent);
    o.string("k", "command.abandoned");
    common.place(&mut o, e.facts.as_deref());
    o.string("sid", &e.session.to_string());
    common.time(&mut o);
    version(&mut o);
    if let Some((_, text)) = text {
        who(&mut o, text);
    }
    o.string("why", e.why.word());
    o.close();
}

fn stream(e: &StreamProgress, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let text = SessionText::of(&e.facts);
    let mut o = Object::open(out);
    o.number("bytes", e.bytes);
    o.number("cmd", e.number.0);
    durability(&mut o, &e.facts);
    o.string("k", "stream");
    common.place(&mut o, Some(&e.facts));
    o.number("rows", e.rows);
    session(&mut o, &text);
    common.time(&mut o);
    version_and_who(&mut o, &text);
    o.close();
}

fn refused(e: &AdmissionRefused, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let mut o = Object::open(out);
    if let Some(by) = &e.by {
        write_link(&by.link, o.key("by"));
        if !by.chain.is_empty() {
            write_chain(&by.chain, o.key("chain"));
        }
    }
    if e.count > 1 {
        o.number("count", e.count);
    }
    o.string("k", super::kinds::of_refusal(e));
    o.string("method", e.client.method);
    common.place(&mut o, None);
    o.string("proto", kept(&e.client.protocol));
    common.time(&mut o);
    if let Some(tls) = &e.client.tls {
        o.string("tls", kept(tls));
    }
    version(&mut o);
    o.string("why", e.why);
    o.close();
}

fn administered(e: &Administered, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let mut o = Object::open(out);
    write_link(&e.by.link, o.key("by"));
    if !e.by.chain.is_empty() {
        write_chain(&e.by.chain, o.key("chain"));
    }
    if e.leaf.len() <= FACTS_BYTES_KEPT {
        o.json("facts", &e.leaf);
    }
    o.string("k", e.kind);
    let client = e.by.client.as_ref();
    if let Some(client) = client {
        o.string("method", client.method);
    }
    common.place(&mut o, None);
    if let Some(client) = client {
        o.string("proto", kept(&client.protocol));
    }
    common.time(&mut o);
    if let Some(tls) = client.and_then(|client| client.tls.as_ref()) {
        o.string("tls", kept(tls));
    }
    version(&mut o);
    o.close();
}

fn log(e: &LogEvent, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let mut o = Object::open(out);
    if e.leaf.len() <= FACTS_BYTES_KEPT {
        o.json("facts", &e.leaf);
    } else {
        o.boolean("facts_cut", true);
    }
    o.string("k", e.kind);
    common.place(&mut o, None);
    common.time(&mut o);
    version(&mut o);
    o.close();
}
