//! The payloads that a bundle shows, read along with the leaves.

use std::io;

use crate::bundle::PAYLOAD_LINE_MAX;
use crate::bundle::manifest::object_of;
use crate::bundle::members::{Lines, Members};
use crate::tlog::encoding::{from_base64, hash_from_base64};
use crate::tree::Hash;
use crate::verify::leaf::{number, text};

/// One payload.
pub(super) struct Shown {
    pub(super) n: u64,
    pub(super) salt: Hash,
    pub(super) payload: Vec<u8>,
    /// Where its line begins.
    pub(super) byte: u64,
}

/// The payloads of an epoch, by ascending position.
pub(super) struct Payloads {
    lines: Lines,
    before: Option<u64>,
    next: Option<Shown>,
    over: bool,
}

impl Payloads {
    pub(super) fn of(members: &Members, name: &str) -> Self {
        Self { lines: members.lines(name, PAYLOAD_LINE_MAX), before: None, next: None, over: false }
    }

    /// The next one, which stays. An error ends them.
    pub(super) fn peek(&mut self) -> Result<Option<&Shown>, (u64, String)> {
        if self.next.is_none() && !self.over {
            let byte = self.lines.byte();
            let line = self.lines.next().and_then(|line| line.map(|line| shown(line, byte)).transpose());
            let next = line.and_then(|next| match next {
                Some(next) if self.before.is_some_and(|before| before >= next.n) => {
                    Err(io::Error::other("positions do not ascend"))
                }
                next => Ok(next),
            });
            match next {
                Ok(next) => {
                    self.over = next.is_none();
                    self.before = next.as_ref().map(|next| next.n);
                    self.next = next;
                }
                Err(why) => {
                    self.over = true;
                    return Err((byte, why.to_string()));
                }
            }
        }
        Ok(self.next.as_ref())
    }

    pub(super) fn take(&mut self) -> Option<Shown> {
        self.next.take()
    }
}

fn shown(line: &[u8], byte: u64) -> io::Result<Shown> {
    let read = || {
        // Otherwise what is no text would count as an empty one.
        std::str::from_utf8(line).ok()?;
        let [n, payload, salt] = object_of(line, ["n", "payload", "salt"])?;
        let n = if n.starts_with(b"\"") { None } else { number(n) };
        Some(Shown { n: n?, salt: hash_from_base64(text(salt))?, payload: from_base64(text(payload))?, byte })
    };
    read().ok_or_else(|| io::Error::other("not {\"n\":POSITION,\"payload\":BASE64,\"salt\":BASE64}"))
}
