//! The frame scanner: finds messages in a byte slice without looking inside them.
//!
//! A message is `tag u8 | length i32be (counts itself, not the tag) | body`. The dialect walks every
//! message of a result with this, so the common path is one bounds check, one load and one table look-up.
//! A header is known before its body is whole ([`Scan::Partial`]), so that a huge DataRow or CopyData can be
//! forwarded piece by piece ([`Passing`]) and never has to be held in memory.

use thiserror::Error;

/// Bytes of a message before its body: tag and length.
pub const HEADER_LEN: usize = 5;

/// The most PostgreSQL itself takes or sends in one message (`PQ_LARGE_MESSAGE_LIMIT`, its allocation limit).
pub const SERVER_LIMIT: u32 = 0x3fff_fffe;

/// PostgreSQL's limit for frontend messages that never carry data (`PQ_SMALL_MESSAGE_LIMIT`), length field included.
pub const FRONTEND_SMALL_LIMIT: u32 = 10_000;

/// PostgreSQL's limit for an authentication answer (`PG_MAX_AUTH_TOKEN_LENGTH`).
pub const FRONTEND_PASSWORD_LIMIT: u32 = 65_535;

/// Limit for backend messages that carry no data of a result. ParameterDescription with 65,535 types needs 256 KiB and
/// PostgreSQL puts no limit on a ParameterStatus; 1 MiB is well above both.
pub const BACKEND_SMALL_LIMIT: u32 = 1024 * 1024;

/// Which side wrote the bytes, and so who is at fault when they are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The client.
    Frontend,
    /// The server.
    Backend,
}

impl std::fmt::Display for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Frontend => "client",
            Self::Backend => "server",
        })
    }
}

/// How long a message with a given tag may be.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Class {
    /// No such tag: an error from a client, taken as `Small` from a server (a newer one may know more than we do).
    Unknown = 0,
    /// Carries no data.
    Small = 1,
    /// An answer to an authentication request.
    Password = 2,
    /// Must be whole before anybody can act on it: a statement, parameters, an error.
    Buffered = 3,
    /// Data that can be passed on in pieces.
    Streamed = 4,
}

const fn classes(rows: &[(Class, &[u8])], otherwise: Class) -> [Class; 256] {
    let mut table = [otherwise; 256];
    let mut rows = rows;
    while let [(class, tags), rest @ ..] = rows {
        let mut tags = *tags;
        while let [tag, more @ ..] = tags {
            #[expect(
                clippy::indexing_slicing,
                reason = "a u8 always fits a table of 256; evaluated at compile time"
            )]
            {
                table[*tag as usize] = *class;
            }
            tags = more;
        }
        rows = rest;
    }
    table
}

static FRONTEND: [Class; 256] = classes(
    &[
        (Class::Small, b"CDEHSXcf"),
        (Class::Password, b"p"),
        (Class::Buffered, b"QPBF"),
        (Class::Streamed, b"d"),
    ],
    Class::Unknown,
);

static BACKEND: [Class; 256] =
    classes(&[(Class::Buffered, b"TENAV"), (Class::Streamed, b"Dd")], Class::Small);

/// What a stream may hold: who writes it, and how long its messages may be.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    sender: Sender,
    table: &'static [Class; 256],
    /// Longest length field per [`Class`].
    longest: [u32; 5],
}

impl std::fmt::Debug for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", *self as u8)
    }
}

impl Rules {
    /// Rules for what a client sends. `buffered` limits statements and parameters (Query, Parse, Bind,
    /// FunctionCall), `streamed` limits one CopyData; both count the length field and never pass [`SERVER_LIMIT`].
    #[must_use]
    pub fn frontend(buffered: u32, streamed: u32) -> Self {
        let longest = [0, FRONTEND_SMALL_LIMIT, FRONTEND_PASSWORD_LIMIT, buffered, streamed];
        Self { sender: Sender::Frontend, table: &FRONTEND, longest: longest.map(|l| l.min(SERVER_LIMIT)) }
    }

    /// Rules for what a server sends. `buffered` limits what has to be held whole (RowDescription, errors, notices,
    /// notifications, function results), `streamed` limits one DataRow or CopyData.
    #[must_use]
    pub fn backend(buffered: u32, streamed: u32) -> Self {
        let longest = [0, BACKEND_SMALL_LIMIT, BACKEND_SMALL_LIMIT, buffered, streamed];
        Self { sender: Sender::Backend, table: &BACKEND, longest: longest.map(|l| l.min(SERVER_LIMIT + 4)) }
    }

    /// Who writes this stream.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender
    }

    /// Whether messages with this tag are data that may be passed on in pieces.
    #[must_use]
    pub fn is_streamed(&self, tag: u8) -> bool {
        matches!(self.table.get(usize::from(tag)), Some(Class::Streamed))
    }

    #[inline(always)]
    fn longest(&self, tag: u8) -> u32 {
        // Both look-ups are total (256 tags, 5 classes), so the compiler drops the checks.
        let class = self.table.get(usize::from(tag)).copied().unwrap_or(Class::Unknown);
        self.longest.get(class as usize).copied().unwrap_or(0)
    }

    #[cold]
    #[inline(never)]
    fn fault(&self, header: Header) -> FrameError {
        let Header { tag, length } = header;
        let sender = self.sender;
        if self.table.get(usize::from(tag)) == Some(&Class::Unknown) {
            FrameError::UnknownTag { sender, tag }
        } else if length < 4 || length > i32::MAX.unsigned_abs() {
            FrameError::BadLength { sender, tag, length: length.cast_signed() }
        } else {
            FrameError::TooLong { sender, tag, length, limit: self.longest(tag) }
        }
    }
}

/// Why the bytes cannot be a message. The stream cannot be read on after it: there is no way to find the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A client's message of no known type. PostgreSQL ends the connection: `invalid frontend message type`, 08P01.
    #[error("the {sender} sent a message of unknown type {} (byte {tag})", char::from(*tag).escape_default())]
    UnknownTag {
        /// Who sent it.
        sender: Sender,
        /// The tag.
        tag: u8,
    },
    /// Negative, or shorter than the length field itself.
    #[error("the {sender} sent a message '{}' with the impossible length {length}", char::from(*tag).escape_default())]
    BadLength {
        /// Who sent it.
        sender: Sender,
        /// The tag.
        tag: u8,
        /// The length field as sent.
        length: i32,
    },
    /// Longer than the limit.
    #[error("the {sender} sent a message '{}' of {length} bytes; the limit is {limit}", char::from(*tag).escape_default())]
    TooLong {
        /// Who sent it.
        sender: Sender,
        /// The tag.
        tag: u8,
        /// The length field as sent (counts itself).
        length: u32,
        /// The limit that was passed.
        limit: u32,
    },
}

/// Tag and length of a message, checked against the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The message's type.
    pub tag: u8,
    /// The length field: counts itself (4) and the body, not the tag.
    pub length: u32,
}

impl Header {
    /// Bytes of the body.
    #[must_use]
    #[inline]
    pub fn body_len(self) -> usize {
        self.length.saturating_sub(4) as usize
    }

    /// Bytes of the whole message, tag included.
    #[must_use]
    #[inline]
    pub fn frame_len(self) -> usize {
        self.length as usize + 1
    }
}

/// What stands at the beginning of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan<'a> {
    /// Not even a header; at least this many more bytes are needed.
    NeedMore(usize),
    /// A header whose body is not whole yet; `missing` more bytes complete it. Streamed messages may be passed on now.
    Partial {
        /// The checked header.
        header: Header,
        /// Bytes still to come.
        missing: usize,
    },
    /// A whole message.
    Frame(Frame<'a>),
}

/// A whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message's type.
    pub tag: u8,
    /// Where the tag stands in the scanned slice.
    pub start: usize,
    /// What follows the header.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the whole message, header included.
    #[must_use]
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty: it has a header")]
    pub fn len(&self) -> usize {
        HEADER_LEN + self.body.len()
    }

    /// Where the message ends in the scanned slice.
    #[must_use]
    #[inline]
    pub fn end(&self) -> usize {
        self.start + self.len()
    }

    /// Where the whole message stands in the scanned slice.
    #[must_use]
    #[inline]
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start..self.end()
    }
}

/// Reads the header at the beginning of `buf`; `None` while it is not whole.
///
/// # Errors
/// When no message under `rules` begins so.
#[inline]
pub fn peek(buf: &[u8], rules: &Rules) -> Result<Option<Header>, FrameError> {
    let Some((&[tag, a, b, c, d], _)) = buf.split_first_chunk::<HEADER_LEN>() else {
        // A tag that no client may send is told at once: waiting for four more bytes of it would be an answer too late.
        return match buf.first() {
            Some(&tag) if rules.longest(tag) == 0 => Err(rules.fault(Header { tag, length: 4 })),
            _ => Ok(None),
        };
    };
    let header = Header { tag, length: u32::from_be_bytes([a, b, c, d]) };
    if header.length < 4 || header.length > rules.longest(tag) {
        return Err(rules.fault(header));
    }
    Ok(Some(header))
}

/// Looks at the first message of `buf`.
///
/// # Errors
/// When no message under `rules` begins so.
#[inline]
pub fn scan<'a>(buf: &'a [u8], rules: &Rules) -> Result<Scan<'a>, FrameError> {
    match peek(buf, rules)? {
        None => Ok(Scan::NeedMore(HEADER_LEN - buf.len().min(HEADER_LEN))),
        Some(header) => match buf.get(HEADER_LEN..header.frame_len()) {
            Some(body) => Ok(Scan::Frame(Frame { tag: header.tag, start: 0, body })),
            None => Ok(Scan::Partial { header, missing: header.frame_len() - buf.len() }),
        },
    }
}

/// Walks the whole messages of a slice: `while let Some(frame) = frames.next()? { … }`, then [`Frames::consumed`] and
/// [`Frames::partial`] tell what is left.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    buf: &'a [u8],
    at: usize,
    rules: Rules,
}

impl<'a> Frames<'a> {
    /// A walk from the beginning of `buf`.
    #[must_use]
    #[inline]
    pub fn new(buf: &'a [u8], rules: &Rules) -> Self {
        Self { buf, at: 0, rules: *rules }
    }

    /// The next whole message, or `None` when the rest of the slice does not hold one.
    ///
    /// # Errors
    /// When what follows cannot be a message; the walk stays in front of it.
    #[inline]
    #[expect(
        clippy::should_implement_trait,
        reason = "fallible: an Iterator of Results would hide the end of the stream"
    )]
    pub fn next(&mut self) -> Result<Option<Frame<'a>>, FrameError> {
        let rest = self.buf.get(self.at..).unwrap_or_default();
        let Some(header) = peek(rest, &self.rules)? else { return Ok(None) };
        let Some(body) = rest.get(HEADER_LEN..header.frame_len()) else { return Ok(None) };
        let start = self.at;
        self.at += header.frame_len();
        Ok(Some(Frame { tag: header.tag, start, body }))
    }

    /// Passes over all whole messages with tag `tag` that follow directly, and says how many and how many bytes.
    /// For a result's rows: the cheapest walk there is.
    ///
    /// # Errors
    /// When a message of that tag breaks the rules; the walk stays in front of it.
    #[inline]
    pub fn skip_run(&mut self, tag: u8) -> Result<Run, FrameError> {
        let longest = self.rules.longest(tag);
        let start = self.at;
        let mut count = 0;
        let mut rest = self.buf.get(self.at..).unwrap_or_default();
        while let Some((&[t, a, b, c, d], _)) = rest.split_first_chunk::<HEADER_LEN>() {
            if t != tag {
                break;
            }
            let header = Header { tag, length: u32::from_be_bytes([a, b, c, d]) };
            if header.length < 4 || header.length > longest {
                return Err(self.rules.fault(header));
            }
            let Some(after) = rest.get(header.frame_len()..) else { break };
            rest = after;
            count += 1;
            self.at += header.frame_len();
        }
        Ok(Run { count, bytes: self.at - start })
    }

    /// Bytes of the slice that whole messages took so far.
    #[must_use]
    #[inline]
    pub fn consumed(&self) -> usize {
        self.at
    }

    /// The header that stands at the end of the walk, when it is known though its body is not whole.
    ///
    /// # Errors
    /// When what follows cannot be a message.
    pub fn partial(&self) -> Result<Option<Header>, FrameError> {
        peek(self.buf.get(self.at..).unwrap_or_default(), &self.rules)
    }
}

/// A run of messages with one tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// How many messages.
    pub count: u64,
    /// How many bytes, headers included.
    pub bytes: usize,
}

/// A message under way in pieces: counts down what is still to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passing {
    tag: u8,
    left: usize,
}

impl Passing {
    /// Starts to pass the message with this header, header included.
    #[must_use]
    pub fn new(header: Header) -> Self {
        Self { tag: header.tag, left: header.frame_len() }
    }

    /// The message's type.
    #[must_use]
    pub fn tag(&self) -> u8 {
        self.tag
    }

    /// Of `available` bytes, how many belong to this message; they count as passed.
    pub fn take(&mut self, available: usize) -> usize {
        let taken = available.min(self.left);
        self.left -= taken;
        taken
    }

    /// Whether all of the message has passed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Bytes still to pass.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend() -> Rules {
        Rules::backend(1000, 5000)
    }

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        out.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        out.extend(body);
        out
    }

    #[test]
    fn any_split_gives_the_same_frames() {
        let all: Vec<u8> =
            [message(b'T', b"abc"), message(b'D', b""), message(b'D', b"defgh"), message(b'Z', b"I")]
                .concat();
        let mut whole = Vec::new();
        let mut frames = Frames::new(&all, &backend());
        while let Some(f) = frames.next().unwrap() {
            whole.push((f.tag, f.range(), f.body.to_vec()));
        }
        assert_eq!(whole.len(), 4);
        assert_eq!(frames.consumed(), all.len());
        for split in 0..=all.len() {
            let mut seen = Vec::new();
            let mut at = 0;
            for end in [split, all.len()] {
                let mut frames = Frames::new(&all[at..end], &backend());
                while let Some(f) = frames.next().unwrap() {
                    seen.push((f.tag, at + f.start..at + f.end(), f.body.to_vec()));
                }
                at += frames.consumed();
            }
            assert_eq!(seen, whole, "split at {split}");
        }
    }

    #[test]
    fn a_header_is_known_before_its_body() {
        let bytes = message(b'D', &[7; 100]);
        assert_eq!(scan(&bytes[..3], &backend()), Ok(Scan::NeedMore(2)));
        let header = Header { tag: b'D', length: 104 };
        assert_eq!(scan(&bytes[..5], &backend()), Ok(Scan::Partial { header, missing: 100 }));
        assert_eq!(Frames::new(&bytes[..50], &backend()).partial(), Ok(Some(header)));
        let mut passing = Passing::new(header);
        assert_eq!((passing.take(50), passing.is_done()), (50, false));
        assert_eq!((passing.take(500), passing.is_done()), (55, true));
        assert!(matches!(scan(&bytes, &backend()), Ok(Scan::Frame(f)) if f.body.len() == 100));
    }

    #[test]
    fn a_run_stops_at_another_tag_and_at_the_end() {
        let bytes =
            [message(b'D', b"a"), message(b'D', b"bc"), message(b'C', b"x\0"), message(b'D', b"")].concat();
        let mut frames = Frames::new(&bytes, &backend());
        assert_eq!(frames.skip_run(b'D'), Ok(Run { count: 2, bytes: 13 }));
        assert_eq!(frames.skip_run(b'D'), Ok(Run::default()));
        assert_eq!(frames.next().unwrap().map(|f| f.tag), Some(b'C'));
        assert_eq!(frames.skip_run(b'D'), Ok(Run { count: 1, bytes: 5 }));
        let mut cut = Frames::new(&bytes[..8], &backend());
        assert_eq!(cut.skip_run(b'D'), Ok(Run { count: 1, bytes: 6 }));
    }

    #[test]
    fn hostile_lengths_are_refused() {
        let rules = Rules::frontend(1000, 5000);
        let at = |tag: u8, length: i32| peek(&[&[tag][..], &length.to_be_bytes()].concat(), &rules);
        assert_eq!(at(b'Q', 4), Ok(Some(Header { tag: b'Q', length: 4 })));
        assert_eq!(
            at(b'Q', 3),
            Err(FrameError::BadLength { sender: Sender::Frontend, tag: b'Q', length: 3 })
        );
        assert_eq!(
            at(b'Q', -1),
            Err(FrameError::BadLength { sender: Sender::Frontend, tag: b'Q', length: -1 })
        );
        assert!(matches!(at(b'Q', 1001), Err(FrameError::TooLong { limit: 1000, .. })));
        assert!(at(b'd', 5000).is_ok());
        assert!(matches!(at(b'S', 10_001), Err(FrameError::TooLong { limit: 10_000, .. })));
        assert!(matches!(at(b'z', 4), Err(FrameError::UnknownTag { tag: b'z', .. })));
        assert!(matches!(peek(b"\x16", &rules), Err(FrameError::UnknownTag { .. })));
        // A server may know messages that we do not.
        assert!(peek(b"z\0\0\0\x04", &backend()).is_ok());
        assert!(Rules::backend(u32::MAX, u32::MAX).longest(b'D') <= SERVER_LIMIT + 4);
    }

    #[test]
    fn errors_read_well() {
        let e = FrameError::TooLong { sender: Sender::Frontend, tag: b'Q', length: 2000, limit: 1000 };
        assert_eq!(e.to_string(), "the client sent a message 'Q' of 2000 bytes; the limit is 1000");
    }
}
