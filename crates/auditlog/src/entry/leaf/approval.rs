//! The leaves of what becomes of an approval.

use firsthand_model::event::ApprovalEvent;
use firsthand_model::json::Object;

use super::super::session_text::{SessionText, kept, write_chain, write_link};
use super::{Common, durability, version};

pub(super) fn write(e: &ApprovalEvent, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let facts = e.facts.as_deref();
    let client = e.by.as_ref().and_then(|by| by.client.as_ref());
    let mut o = Object::open(out);
    o.string("approval", kept(&e.id));
    if let Some(by) = &e.by {
        write_link(&by.link, o.key("by"));
        if !by.chain.is_empty() {
            write_chain(&by.chain, o.key("chain"));
        }
    }
    o.number("cmd", e.number.0);
    if let Some(digest) = &e.digest {
        o.string("digest", kept(digest));
    }
    if let Some(facts) = facts {
        durability(&mut o, facts);
    }
    if let Some(given) = e.given {
        o.number("given", given);
    }
    o.string("k", e.kind);
    if let Some(client) = client {
        o.string("method", client.method);
    }
    common.place(&mut o, facts);
    if let Some(client) = client {
        o.string("proto", kept(&client.protocol));
    }
    o.number("quorum", e.quorum);
    o.string("rule", kept(&e.rule));
    o.string("sid", &e.session.to_string());
    if let Some(signed) = &e.signed {
        o.string("signed", kept(&signed.kind));
    }
    common.time(&mut o);
    if let Some(tls) = client.and_then(|client| client.tls.as_ref()) {
        o.string("tls", kept(tls));
    }
    version(&mut o);
    if let Some(facts) = facts {
        super::who(&mut o, &SessionText::of(facts));
    }
    o.close();
}
