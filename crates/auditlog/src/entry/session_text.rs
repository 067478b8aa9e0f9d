//! What every entry of a session repeats, rendered once per session and then copied.

use std::any::Any;
use std::sync::{Arc, Mutex};

use firsthand_model::identity::Link;
use firsthand_model::json::{Object, write_string};
use firsthand_model::session::SessionFacts;

use super::limits::{CHAIN_LINKS_KEPT, NAME_BYTES_KEPT};
use crate::keys::SessionKeys;

/// The parts of a leaf that are the same for every entry of a session.
pub(crate) struct SessionText {
    /// The session's id as a JSON string.
    pub(crate) sid: Vec<u8>,
    /// The `who` object.
    pub(crate) who: Vec<u8>,
    /// The keys that seal this session's payloads, of the month in which they were last needed.
    pub(crate) keys: Mutex<Option<Arc<Prepared>>>,
}

/// Keys ready for sealing, and what a reader must be told to find them again.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The keys.
    pub(crate) keys: SessionKeys,
    /// The month of the subject's key.
    pub(crate) month: String,
    /// The subject, where readers cannot tell it from the rest of the leaf.
    pub(crate) subject: Option<String>,
    /// Derived from the writer's run instead of the session.
    pub(crate) run: bool,
}

impl SessionText {
    fn render(facts: &SessionFacts) -> Self {
        let mut sid = Vec::with_capacity(38);
        write_string(&mut sid, &facts.id.to_string());
        let mut who = Vec::with_capacity(400);
        write_who(facts, &mut who);
        Self { sid, who, keys: Mutex::default() }
    }

    /// The text of this session: from its slot, or rendered anew where a foreign encoder has taken the slot.
    pub(crate) fn of(facts: &SessionFacts) -> Arc<Self> {
        let slot = facts.encoded.get_or_init(|| Arc::new(Self::render(facts)) as Arc<dyn Any + Send + Sync>);
        Arc::clone(slot).downcast().unwrap_or_else(|_| Arc::new(Self::render(facts)))
    }
}

fn write_who(facts: &SessionFacts, out: &mut Vec<u8>) {
    let identity = &facts.identity;
    let of_kind = |word: &str| identity.chain.iter().find(|l| l.kind.word() == word);
    let mut who = Object::open(out);
    if let Some(actor) = identity.actor() {
        who.string("agent", kept(&actor.id));
    }
    write_chain(&identity.chain, who.key("chain"));
    who.string("db", kept(&facts.database));
    who.number("pid", u64::from(facts.backend_pid));
    who.string("role", kept(&facts.role));
    if facts.session_role != facts.role {
        who.string("srole", kept(&facts.session_role));
    }
    who.string("target", kept(&facts.target));
    if let Some(token) = of_kind("token") {
        who.string("tok", kept(&token.id));
    }
    who.close();
}

pub(crate) fn write_chain(chain: &[Link], out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, link) in chain.iter().take(CHAIN_LINKS_KEPT).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_link(link, out);
    }
    out.push(b']');
}

/// A link without its name: the id is a pseudonym.
pub(crate) fn write_link(link: &Link, out: &mut Vec<u8>) {
    let mut o = Object::open(out);
    o.string("id", kept(&link.id));
    o.string("kind", link.kind.word());
    o.string("trust", link.trust.word());
    o.close();
}

/// A name cut to what a leaf keeps, at a character's border.
pub(crate) fn kept(name: &str) -> &str {
    cut(name, NAME_BYTES_KEPT)
}

/// The longest beginning of `text` of at most `bytes` bytes that ends between characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_keeps_characters_whole() {
        assert_eq!(cut("grün", 3), "gr");
        assert_eq!(cut("grün", 4), "grü");
        assert_eq!(cut("grün", 99), "grün");
        assert_eq!(cut("€", 2), "");
    }
}
