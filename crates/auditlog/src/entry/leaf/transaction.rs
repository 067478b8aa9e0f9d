//! The leaves of what is told of transactions of a target.

use firsthand_model::event::{TransactionChanged, TransactionEnded, TransactionNamed, Transactional};
use firsthand_model::json::Object;

use super::super::session_text::{SessionText, kept};
use super::{Common, coverage, durability, session, version_and_who};

pub(super) fn named(e: &TransactionNamed, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let text = SessionText::of(&e.of.facts);
    let mut o = Object::open(out);
    coverage(&mut o, e.coverage.iter().copied());
    durability(&mut o, &e.of.facts);
    o.number("from", e.of.from.0);
    o.string("k", "transaction.named");
    common.place(&mut o, Some(&e.of.facts));
    session(&mut o, &text);
    common.time(&mut o);
    end(&mut o, &e.of, &text);
    o.close();
}

pub(super) fn changed(e: &TransactionChanged, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let text = SessionText::of(&e.of.facts);
    let mut o = Object::open(out);
    o.string("action", e.action);
    if let Some(count) = e.count {
        o.number("count", count);
    }
    coverage(&mut o, e.coverage.iter().copied());
    durability(&mut o, &e.of.facts);
    o.number("first", e.first);
    o.number("from", e.of.from.0);
    o.string("how", "wal");
    o.string("k", "transaction.changed");
    o.string("lsn", &e.lsn);
    common.place(&mut o, Some(&e.of.facts));
    o.number("rows", e.rows);
    session(&mut o, &text);
    common.time(&mut o);
    o.string("table", kept(&e.table));
    end(&mut o, &e.of, &text);
    o.close();
}

pub(super) fn ended(e: &TransactionEnded, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let text = SessionText::of(&e.of.facts);
    let mut o = Object::open(out);
    o.number("changes", e.changes);
    coverage(&mut o, e.coverage.iter().copied());
    durability(&mut o, &e.of.facts);
    o.number("from", e.of.from.0);
    o.string("how", e.how);
    o.string("k", "transaction.ended");
    if !e.lsn.is_empty() {
        o.string("lsn", &e.lsn);
    }
    common.place(&mut o, Some(&e.of.facts));
    session(&mut o, &text);
    common.time(&mut o);
    end(&mut o, &e.of, &text);
    o.close();
}

/// `to`, `v`, `who`, `xid`.
fn end(o: &mut Object<'_>, of: &Transactional, text: &SessionText) {
    o.number("to", of.to.0);
    version_and_who(o, text);
    if let Some(xid) = of.xid {
        o.number("xid", xid);
    }
}
