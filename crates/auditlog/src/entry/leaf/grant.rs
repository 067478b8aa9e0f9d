//! The leaves of what becomes of a grant: an approval of time at a target instead of a command.

use firsthand_model::event::ApprovalEvent;
use firsthand_model::grant::GrantFacts;
use firsthand_model::json::Object;

use super::super::session_text::{kept, write_chain, write_link};
use super::{Common, version};

/// Tables of a grant in its leaf: more than anybody types.
const TABLES_KEPT: usize = 64;

pub(super) fn write(e: &ApprovalEvent, of: &GrantFacts, common: &mut Common<'_>, out: &mut Vec<u8>) {
    let client = e.by.as_ref().and_then(|by| by.client.as_ref());
    let in_session = e.session.0 != 0;
    let mut o = Object::open(out);
    if let Some(by) = &e.by {
        write_link(&by.link, o.key("by"));
        if !by.chain.is_empty() {
            write_chain(&by.chain, o.key("chain"));
        }
    }
    if in_session {
        o.number("cmd", e.number.0);
    }
    if let Some(commands) = of.commands {
        o.number("commands", commands);
    }
    o.string("db", kept(&of.database));
    if let Some(digest) = &e.digest {
        o.string("digest", kept(digest));
    }
    o.strings("effects", &of.effects.iter().map(|effect| effect.word()).collect::<Vec<_>>());
    write_chain(&of.of, o.key("for"));
    if let Some(given) = e.given {
        o.number("given", given);
    }
    o.string("grant", kept(&e.id));
    o.string("k", e.kind);
    o.number("lasts", of.lasts_us);
    if let Some(client) = client {
        o.string("method", client.method);
    }
    common.place(&mut o, None);
    if let Some(client) = client {
        o.string("proto", kept(&client.protocol));
    }
    o.number("quorum", e.quorum);
    if in_session {
        o.string("sid", &e.session.to_string());
    }
    common.time(&mut o);
    if !of.tables.is_empty() {
        o.strings("tables", &of.tables.iter().take(TABLES_KEPT).map(|table| kept(table)).collect::<Vec<_>>());
    }
    o.string("target", kept(&of.target));
    if let Some(tls) = client.and_then(|client| client.tls.as_ref()) {
        o.string("tls", kept(tls));
    }
    version(&mut o);
    o.close();
}
