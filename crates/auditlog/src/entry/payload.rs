//! The payload of each kind: text, parameters, rows, names, addresses: what is sealed. Nothing is written when there is
//! nothing to seal.
//!
//! Whatever does not fit under the limits is left out or cut, and named in `cut`: an entry is never refused for its size.

use firsthand_model::event::{
    Administered, AdmissionRefused, ApprovalEvent, CommandCompleted, CommandDecided, CommandRows, Event,
    SessionClosed, SessionNoted, SessionOpened,
};
use firsthand_model::identity::{Certificate, Link};
use firsthand_model::json::{Json, Object, write_hex, write_string};

use super::leaf::is_clean_tag;
use super::limits::{
    CHAIN_LINKS_KEPT, CLAIMS_KEPT, FACTS_BYTES_KEPT, GROUPS_KEPT, ROWS_SECTION_MAX, SECTION_BYTES_MAX,
    SHORT_TEXT_KEPT, TEXT_RENDERED_MAX,
};
use super::moment::rfc3339;
use super::session_text::cut;

/// Appends the payload; leaves `out` as it is when the event has none.
pub(super) fn write(event: &Event, out: &mut Vec<u8>) {
    match event {
        Event::SessionOpened(e) => opened(e, out),
        Event::SessionClosed(e) => closed(e, out),
        Event::SessionNoted(e) => noted(e, out),
        Event::CommandDecided(e) => decided(e, out),
        Event::CommandRows(e) => rows(e, out),
        Event::CommandChanged(e) => changed(&e.columns, &e.old, &e.new, out),
        Event::TransactionChanged(e) => changed(&e.columns, &e.old, &e.new, out),
        Event::CommandCompleted(e) => completed(e, out),
        Event::Refused(e) => refused(e, out),
        Event::Administered(e) => administered(e, out),
        Event::Approval(e) => approval(e, out),
        Event::CommandAbandoned(_)
        | Event::Stream(_)
        | Event::Log(_)
        | Event::TransactionNamed(_)
        | Event::TransactionEnded(_) => {}
    }
}

fn fits(section: &Json) -> bool {
    section.len() <= SECTION_BYTES_MAX
}

/// Writes a section that fits; `cut` names the others.
fn section(o: &mut Object<'_>, key: &str, value: &Json) {
    if fits(value) {
        o.json(key, value);
    }
}

/// `"cut":[…]`: the names of what is not here in full. Nothing when all is.
fn cut_list(o: &mut Object<'_>, sections: &[(&str, bool)]) {
    if sections.iter().all(|(_, whole)| *whole) {
        return;
    }
    let names: Vec<&str> = sections.iter().filter(|(_, whole)| !whole).map(|(name, _)| *name).collect();
    o.strings("cut", &names);
}

fn short(text: &str) -> &str {
    cut(text, SHORT_TEXT_KEPT)
}

fn opened(e: &SessionOpened, out: &mut Vec<u8>) {
    let mut o = Object::open(out);
    o.string("address", short(&e.client.address));
    if let Some(certificate) = &e.facts.identity.certificate {
        write_certificate(certificate, o.key("certificate"));
    }
    if !e.claims.is_empty() {
        let list = o.key("claims");
        let mut before = b'[';
        for claim in e.claims.iter().take(CLAIMS_KEPT) {
            list.push(before);
            before = b',';
            let mut c = Object::open(list);
            c.string("name", short(&claim.name));
            c.string("value", short(&claim.value));
            c.close();
        }
        list.push(b']');
    }
    let groups = &e.facts.identity.groups;
    cut_list(
        &mut o,
        &[
            ("claims", e.claims.len() <= CLAIMS_KEPT),
            ("groups", groups.len() <= GROUPS_KEPT),
            ("parameters", fits(&e.parameters)),
        ],
    );
    if !groups.is_empty() {
        let list = o.key("groups");
        let mut before = b'[';
        for group in groups.iter().take(GROUPS_KEPT) {
            list.push(before);
            before = b',';
            write_string(list, short(group));
        }
        list.push(b']');
    }
    o.string("login", short(&e.facts.identity.login));
    names(&mut o, &e.facts.identity.chain);
    if let Some(owner) = &e.facts.identity.owner {
        o.string("owner", short(owner));
    }
    section(&mut o, "parameters", &e.parameters);
    o.close();
}

/// The client's certificate, as its authority has made it.
fn write_certificate(certificate: &Certificate, out: &mut Vec<u8>) {
    let mut c = Object::open(out);
    c.string("ends", &rfc3339(certificate.ends.0));
    c.string("issuer", short(&certificate.issuer));
    c.string("serial", short(&certificate.serial));
    c.string("sha256", &certificate.sha256);
    c.string("subject", short(&certificate.subject));
    c.close();
}

/// Which name each pseudonym of the chain stands for.
fn names(o: &mut Object<'_>, chain: &[Link]) {
    let list = o.key("names");
    list.push(b'[');
    for (i, link) in chain.iter().take(CHAIN_LINKS_KEPT).enumerate() {
        if i > 0 {
            list.push(b',');
        }
        let mut n = Object::open(list);
        n.string("id", short(&link.id));
        n.string("kind", link.kind.word());
        n.string("name", short(&link.name));
        n.close();
    }
    list.push(b']');
}

fn closed(e: &SessionClosed, out: &mut Vec<u8>) {
    if e.detail.is_empty() {
        return;
    }
    let mut o = Object::open(out);
    o.string("detail", short(&e.detail));
    o.close();
}

fn noted(e: &SessionNoted, out: &mut Vec<u8>) {
    if e.detail.is_absent() {
        return;
    }
    let mut o = Object::open(out);
    cut_list(&mut o, &[("detail", fits(&e.detail))]);
    section(&mut o, "detail", &e.detail);
    o.close();
}

fn decided(e: &CommandDecided, out: &mut Vec<u8>) {
    let command = &e.command;
    let text = renderable(&command.text);
    let mut o = Object::open(out);
    section(&mut o, "claims", &command.claims);
    cut_list(
        &mut o,
        &[
            ("claims", fits(&command.claims)),
            ("names", fits(&command.names)),
            ("parameters", fits(&command.parameters)),
            ("text", text.len() == command.text.len()),
        ],
    );
    section(&mut o, "names", &command.names);
    section(&mut o, "parameters", &command.parameters);
    if !e.decision.reason.is_empty() {
        o.string("reason", short(&e.decision.reason));
    }
    o.string("text", text);
    if let Some(digest) = &command.original_digest {
        digest_text(&mut o, "text_digest", digest);
    }
    o.close();
}

/// The beginning of `text` that stays below the limit once it is escaped.
fn renderable(text: &str) -> &str {
    /// The longest escape, `\u0000`.
    const ESCAPE_MAX: usize = 6;
    /// Bytes counted together, as many as a byte can count: that is done many at a time, and the writer's thread has no
    /// time to lose.
    const CHUNK: usize = 240;
    if text.len() <= TEXT_RENDERED_MAX / ESCAPE_MAX {
        return text;
    }
    let is_escaped = |b: &&u8| **b < b' ' || **b == b'"' || **b == b'\\';
    let (mut rendered, mut at) = (0, 0);
    for chunk in text.as_bytes().chunks(CHUNK) {
        let escaped = chunk.iter().fold(0, |sum: u8, b| sum + u8::from(is_escaped(&b)));
        let all = chunk.len() + usize::from(escaped) * (ESCAPE_MAX - 1);
        if rendered + all > TEXT_RENDERED_MAX {
            for byte in chunk {
                rendered += if is_escaped(&byte) { ESCAPE_MAX } else { 1 };
                if rendered > TEXT_RENDERED_MAX {
                    return text.get(..text.floor_char_boundary(at)).unwrap_or("");
                }
                at += 1;
            }
        }
        rendered += all;
        at += chunk.len();
    }
    text
}

fn digest_text(o: &mut Object<'_>, key: &str, digest: &[u8; 32]) {
    let out = o.key(key);
    out.push(b'"');
    write_hex(out, digest);
    out.push(b'"');
}

fn rows(e: &CommandRows, out: &mut Vec<u8>) {
    let mut o = Object::open(out);
    section(&mut o, "columns", &e.columns);
    let whole = e.values.len() <= ROWS_SECTION_MAX;
    cut_list(&mut o, &[("columns", fits(&e.columns)), ("rows", whole)]);
    if whole {
        o.json("rows", &e.values);
    }
    o.close();
}

fn changed(columns: &Json, old: &Json, new: &Json, out: &mut Vec<u8>) {
    if columns.is_absent() && old.is_absent() && new.is_absent() {
        return;
    }
    let mut o = Object::open(out);
    section(&mut o, "columns", columns);
    // What became of the rows rather than what they were, where only one of them fits.
    let new_fits = new.len() <= ROWS_SECTION_MAX;
    let old_fits = old.len() + if new_fits { new.len() } else { 0 } <= ROWS_SECTION_MAX;
    cut_list(&mut o, &[("columns", fits(columns)), ("new", new_fits), ("old", old_fits)]);
    if new_fits {
        o.json("new", new);
    }
    if old_fits {
        o.json("old", old);
    }
    o.close();
}

fn completed(e: &CommandCompleted, out: &mut Vec<u8>) {
    let outcome = &e.outcome;
    let odd_tag = !outcome.tag.is_empty() && !is_clean_tag(&outcome.tag);
    let sections = [&outcome.columns, &outcome.error, &outcome.notices, &outcome.inline_rows];
    if sections.iter().all(|s| s.is_absent()) && outcome.digest.is_none() && !odd_tag {
        return;
    }
    let mut o = Object::open(out);
    section(&mut o, "columns", &outcome.columns);
    cut_list(
        &mut o,
        &[
            ("columns", fits(&outcome.columns)),
            ("error", fits(&outcome.error)),
            ("notices", fits(&outcome.notices)),
            ("rows", fits(&outcome.inline_rows)),
        ],
    );
    if let Some(digest) = &outcome.digest {
        digest_text(&mut o, "digest", digest);
    }
    section(&mut o, "error", &outcome.error);
    section(&mut o, "notices", &outcome.notices);
    section(&mut o, "rows", &outcome.inline_rows);
    if odd_tag {
        o.string("tag", short(&outcome.tag));
    }
    o.close();
}

fn refused(e: &AdmissionRefused, out: &mut Vec<u8>) {
    let mut o = Object::open(out);
    o.string("address", short(&e.client.address));
    if let Some(by) = &e.by {
        write_string(o.key("by"), short(&by.link.name));
    }
    o.string("detail", short(&e.detail));
    o.string("login", short(&e.login));
    if let Some(by) = e.by.as_ref().filter(|by| !by.chain.is_empty()) {
        names(&mut o, &by.chain);
    }
    o.string("target", short(&e.target));
    o.close();
}

fn approval(e: &ApprovalEvent, out: &mut Vec<u8>) {
    if e.by.is_none() && e.text.is_empty() && e.reason.is_empty() && e.preview.is_absent() {
        return;
    }
    let text = renderable(&e.text);
    let mut o = Object::open(out);
    if let Some(client) = e.by.as_ref().and_then(|by| by.client.as_ref()) {
        o.string("address", short(&client.address));
    }
    if let Some(by) = &e.by {
        o.string("by", short(&by.link.name));
    }
    let whole = [
        ("parameters", fits(&e.parameters)),
        ("preview", fits(&e.preview)),
        ("text", text.len() == e.text.len()),
    ];
    cut_list(&mut o, &whole);
    if let Some(by) = e.by.as_ref().filter(|by| !by.chain.is_empty()) {
        names(&mut o, &by.chain);
    }
    section(&mut o, "parameters", &e.parameters);
    section(&mut o, "preview", &e.preview);
    if !e.reason.is_empty() {
        o.string("reason", short(&e.reason));
    }
    if let Some(signed) = &e.signed {
        let mut s = Object::open(o.key("signature"));
        s.string("fingerprint", short(&signed.fingerprint));
        s.string("key", renderable(&signed.key));
        s.string("signature", renderable(&signed.signature));
        s.string("text", renderable(&signed.text));
        s.close();
    }
    if !text.is_empty() {
        o.string("text", text);
    }
    o.close();
}

fn administered(e: &Administered, out: &mut Vec<u8>) {
    let mut o = Object::open(out);
    if let Some(client) = &e.by.client {
        o.string("address", short(&client.address));
    }
    write_string(o.key("by"), short(&e.by.link.name));
    let facts_here = e.leaf.len() > FACTS_BYTES_KEPT;
    cut_list(&mut o, &[("detail", fits(&e.payload)), ("facts", !facts_here || fits(&e.leaf))]);
    section(&mut o, "detail", &e.payload);
    if facts_here {
        section(&mut o, "facts", &e.leaf);
    }
    if !e.by.chain.is_empty() {
        names(&mut o, &e.by.chain);
    }
    o.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`renderable`] means, said plainly.
    fn plainly(text: &str) -> &str {
        let mut rendered = 0;
        for (at, c) in text.char_indices() {
            rendered += if c < ' ' || c == '"' || c == '\\' { 6 } else { c.len_utf8() };
            if rendered > TEXT_RENDERED_MAX {
                return text.get(..at).unwrap();
            }
        }
        text
    }

    #[test]
    fn a_text_is_cut_where_its_escapes_fill_the_room() {
        let most = TEXT_RENDERED_MAX;
        let texts = [
            "x".repeat(most),
            "x".repeat(most + 1),
            "\n".repeat(most / 6),
            "\n".repeat(most / 6 + 1),
            format!("{}\"{}", "x".repeat(most - 6), "y".repeat(9)),
            format!("{}\\{}", "x".repeat(5000), "y".repeat(most)),
            "ä\n".repeat(most / 8 + 5),
            format!("x{}", "ä€".repeat(most / 4)),
            format!("{}😀", "x".repeat(most - 1)),
        ];
        for text in &texts {
            assert_eq!(renderable(text).len(), plainly(text).len(), "{} bytes", text.len());
        }
    }
}
