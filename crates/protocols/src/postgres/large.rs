//! A message with a large text, while it is read apart from the sessions' loops. On a loop nothing is done that takes
//! longer the longer the text is: the message's own bytes go to the thread that reads, and come back with what was read.

use std::sync::Arc;

use bytes::BytesMut;
use firsthand_model::command::Shape;
use firsthand_sql::judge::After;
use firsthand_sql::{Analyzer, SMALL_TEXT_BYTES, Settings, is_large, parse_cost};
use firsthand_wire::postgres::DecodeError;
use firsthand_wire::postgres::frame::HEADER_LEN;
use firsthand_wire::postgres::frontend::{self, Message};

use super::knowing::{Meaning, View};
use super::text::{Piece, Reading};
use crate::budget::Held;
use crate::dialect::{LARGE_FROM, Thinking, Worked};

/// A message longer than this is not even looked at on a loop, and reading it counts as a large work whatever it holds:
/// its text is masked and digested as a whole, which takes long without taking much memory.
const LARGE_MESSAGE_BYTES: usize = 256 << 10;

/// Whether a message's text is to be read elsewhere.
pub(super) fn is_read_elsewhere(tag: u8, body: &[u8]) -> bool {
    if !matches!(tag, b'Q' | b'P') || body.len() <= SMALL_TEXT_BYTES {
        return false;
    }
    body.len() > LARGE_MESSAGE_BYTES
        || match Message::read(tag, body) {
            Ok(Message::Query(text)) => is_large(text),
            Ok(Message::Parse(parse)) => is_large(parse.text),
            _ => false,
        }
}

/// A Query or Parse on its way to be read.
pub(super) struct Large {
    pub(super) tag: u8,
    pub(super) message: BytesMut,
    /// The room that it takes.
    pub(super) held: Option<Held>,
    pub(super) analyzer: Arc<Analyzer>,
    pub(super) settings: Settings,
    /// What it is judged in.
    pub(super) view: Option<View>,
}

/// It has been read.
pub(super) struct ReadElsewhere {
    pub(super) tag: u8,
    pub(super) message: BytesMut,
    pub(super) held: Option<Held>,
    /// The state that it was judged in.
    pub(super) seen: Option<u64>,
    pub(super) said: Result<Said, DecodeError>,
}

impl ReadElsewhere {
    /// What its statements do.
    pub(super) fn shapes(&self) -> Vec<&Shape> {
        match &self.said {
            Ok(Said::Query(reading)) => reading.shapes().collect(),
            Ok(Said::Parse { piece, .. }) => vec![&*piece.shape],
            Err(_) => Vec::new(),
        }
    }

    /// What the statements of a Query leave behind.
    pub(super) fn afters(&self) -> impl Iterator<Item = &After> {
        let pieces = match &self.said {
            Ok(Said::Query(reading)) => reading.pieces.as_slice(),
            _ => &[],
        };
        pieces.iter().map(|piece| &piece.after)
    }
}

/// What a message says.
pub(super) enum Said {
    Query(Reading),
    Parse { name: Box<[u8]>, types: Vec<u32>, piece: Box<Piece>, meaning: Option<Meaning> },
}

impl Large {
    /// The work of reading it.
    pub(super) fn thinking(self) -> Thinking {
        let large = self.message.len() > LARGE_MESSAGE_BYTES;
        Thinking { large, work: Box::new(move || if large { self.read() } else { self.weigh() }) }
    }

    /// Reads it, unless that takes too much memory for the turn that this is.
    fn weigh(self) -> Worked {
        // An upper bound for the text's: what stands around it is short.
        if parse_cost(self.body()) > LARGE_FROM {
            Worked::Large(Box::new(move || self.read()))
        } else {
            self.read()
        }
    }

    fn read(self) -> Worked {
        let said = self.said();
        let seen = self.view.as_ref().map(View::fingerprint);
        let Self { tag, message, held, .. } = self;
        Worked::Done(Box::new(ReadElsewhere { tag, message, held, seen, said }))
    }

    fn said(&self) -> Result<Said, DecodeError> {
        let (analyzer, settings, view) = (&self.analyzer, self.settings, self.view.as_ref());
        if self.tag == b'Q' {
            return Ok(Said::Query(Reading::of(analyzer, frontend::query(self.body())?, settings, view)));
        }
        let parse = frontend::Parse::read(self.body())?;
        let types: Vec<u32> = parse.types().collect();
        let view = view.map(|view| view.typed(&types));
        let view = view.as_ref();
        let piece = Reading::of(analyzer, parse.text, settings, view).into_one(parse.text, settings);
        let meaning = view.map(|view| Meaning::of_piece(&piece, parse.text, view, &types));
        Ok(Said::Parse { name: parse.statement.into(), types, piece: Box::new(piece), meaning })
    }

    fn body(&self) -> &[u8] {
        self.message.get(HEADER_LEN..).unwrap_or_default()
    }
}
