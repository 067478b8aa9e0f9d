//! What a client sends that is no message, or none that can be read. Only the target knows what it says of it: among copy data
//! something else than outside, in its language, with its routine. So it is given something that it must say the same of, and
//! that cannot run, whatever the target makes of it: never the client's own bytes, which it might read otherwise than the
//! gateway does.

use bytes::BytesMut;
use firsthand_model::json::{Json, Object};
use firsthand_model::outcome::AbandonReason;
use firsthand_session::{Refusal, RefusalKind};
use firsthand_wire::postgres::DecodeError;
use firsthand_wire::postgres::backend::Report;
use firsthand_wire::postgres::frame::FrameError;

use super::batch::What;
use super::dialect::PostgresDialect;
use super::flight::Sent;
use super::server::{Step, Walk};
use crate::dialect::Action;

/// A text that does not parse, for a target that does not mind what stands behind it.
/// The statement that such a message names. It fails before anything is done with the name.
const NAME: &[u8] = b"firsthand refused";
const TEXT: &[u8] = b"firsthand refused a malformed message";

/// Bytes of the longest character in UTF-8: so many are named where they are none.
const CHARACTER_MAX: usize = 4;

/// A header that cannot be read on from.
pub(super) struct Broken {
    /// What the client is told, if the target says nothing: PostgreSQL closes without a word over a length that cannot be.
    pub(super) refusal: Refusal,
    /// What the target gets: the same tag, and a length that is as wrong.
    header: [u8; 5],
    /// It went out so many times.
    sent: u8,
    /// It went out where the target may have read copy data.
    copying: bool,
}

/// What the target gets in place of a message that cannot be read: of the same type, and wrong in the same way.
fn stand_in(tag: u8, fault: &DecodeError) -> BytesMut {
    let mut body: Vec<u8> = Vec::new();
    match (tag, fault) {
        (b'D' | b'C', DecodeError::BadValue { value, .. }) => {
            body.extend([u8::try_from(*value).unwrap_or(0), 0]);
        }
        (b'D' | b'C', DecodeError::Unterminated { .. }) => body.push(b'S'),
        (b'P', DecodeError::Truncated { .. }) => body.extend([0, 0]),
        (b'E', DecodeError::Truncated { .. }) => body.push(0),
        (b'Q', DecodeError::Trailing { .. }) => body.extend([TEXT, b"\0x"].concat()),
        (b'P', DecodeError::Trailing { .. }) => body.extend([NAME, b"\0", TEXT, b"\0\0\0x"].concat()),
        (b'D' | b'C', DecodeError::Trailing { .. }) => body.extend([b"S", NAME, b"\0x"].concat()),
        (b'E', DecodeError::Trailing { .. }) => body.extend([NAME, b"\0\0\0\0\0x"].concat()),
        // A Flush, which has no body.
        (b'H', _) => body.push(b'x'),
        _ => {}
    }
    framed(tag, &body)
}

fn framed(tag: u8, body: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(5 + body.len());
    bytes.extend_from_slice(&[tag]);
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The target reads a message's strings one by one, and finds that one is no text in UTF-8 before it finds what is wrong behind
/// it. The bytes that are none, of the first such string, which it names: those it may have, since no text has them; with what
/// stands before a string in such a message.
fn no_text(tag: u8, body: &[u8]) -> Option<(&'static [u8], &[u8])> {
    let (before, strings): (&[u8], usize) = match tag {
        b'Q' | b'E' => (b"", 1),
        b'P' => (b"", 2),
        b'D' | b'C' => (b"S", 1),
        _ => return None,
    };
    let mut rest = body.get(before.len()..)?;
    for _ in 0..strings {
        let end = memchr::memchr(0, rest)?;
        let (string, behind) = rest.split_at_checked(end)?;
        if let Err(e) = str::from_utf8(string) {
            let bytes = string.get(e.valid_up_to()..)?;
            return Some((before, bytes.get(..CHARACTER_MAX).unwrap_or(bytes)));
        }
        rest = behind.get(1..)?;
    }
    None
}

impl PostgresDialect {
    /// The client's bytes cannot be read on.
    pub(super) fn client_broke(&mut self, e: &FrameError, out: &mut Vec<Action>) {
        let (tag, length, words) = match e {
            FrameError::UnknownTag { tag, .. } => (tag, 4, format!("invalid frontend message type {tag}")),
            FrameError::BadLength { tag, .. } | FrameError::TooLong { tag, .. } => {
                (tag, 0, "invalid message length".to_owned())
            }
        };
        let refusal = Refusal::new(RefusalKind::Protocol, words);
        self.broken = Some(Broken { refusal, header: [*tag, 0, 0, 0, length], sent: 0, copying: false });
        self.submit(out);
    }

    /// Hands on what cannot be read, behind all that went before: the target ends the session over it. What is left is heard
    /// until then.
    pub(super) fn hand_on_broken(&mut self, out: &mut Vec<Action>) {
        let waits = !self.batch.is_empty() || self.read.is_some() || self.radius.is_holding();
        let copying = self.flight.may_read_copy();
        let idle = self.flight.is_idle();
        let Some(broken) = self.broken.as_mut().filter(|_| !waits) else { return };
        let goes = match broken.sent {
            0 => true,
            // Up to 13, PostgreSQL ends no more than the COPY over what does not belong there.
            1 => broken.copying && idle,
            _ => false,
        };
        if !goes {
            return;
        }
        if broken.sent == 0 {
            broken.copying = copying;
        }
        broken.sent += 1;
        let header = broken.header;
        out.push(Action::ToServer(self.without_command(bytes::Bytes::copy_from_slice(&header))));
    }

    /// Takes in a message that cannot be read, with this body.
    pub(super) fn stand_for(&mut self, tag: u8, body: &[u8], fault: &DecodeError, out: &mut Vec<Action>) {
        let ready = tag == b'Q';
        let no_text = if self.parameters.settings.utf8 { no_text(tag, body) } else { None };
        let message = match no_text {
            Some((before, bytes)) => framed(tag, &[before, bytes, b"\0x"].concat()),
            None => stand_in(tag, fault),
        };
        self.batch.add(What::Malformed { ready }, message);
        if ready {
            self.submit(out);
        }
    }

    /// The target's error for a message that could not be read.
    pub(super) fn malformed_told(&mut self, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        let Ok(it) = Report::read(walk.body(len), "ErrorResponse") else {
            return Step::Broken("a malformed error".to_owned());
        };
        let text = |code| String::from_utf8_lossy(it.field(code).unwrap_or_default());
        let mut detail = Vec::new();
        let mut o = Object::open(&mut detail);
        o.string("code", &text(b'C'));
        o.string("message", &text(b'M'));
        o.close();
        self.flush(walk, out);
        let reply = walk.cut(len);
        self.flight.pop();
        self.failed = true;
        if !matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Ready)) {
            for running in self.flight.skip(&mut self.names) {
                out.push(Action::Abandon(running.permit, AbandonReason::Skipped));
            }
        }
        out.push(Action::Note { what: "refused", detail: Json::from_written(detail), reply });
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_found_in_the_order_of_the_target() {
        let is = |tag: u8, body: &[u8]| no_text(tag, body).map(|(before, bytes)| [before, bytes].concat());
        assert_eq!(is(b'P', b"\0select '\xff'\0"), Some(b"\xff'".to_vec()));
        assert_eq!(is(b'P', b"n\xc3(123456\0select"), Some(b"\xc3(12".to_vec()), "the name comes first");
        assert_eq!(
            is(b'P', b"\0select \xff"),
            None,
            "a string without an end is found before it is looked into"
        );
        assert_eq!(is(b'P', "\0select 'ä'\0".as_bytes()), None);
        assert_eq!(is(b'D', b"S\xff\0x"), Some(b"S\xff".to_vec()));
        assert_eq!(is(b'B', b"\xff\0"), None, "its names are looked for before it is read on");
    }
}
