//! From the client: messages into the batch, and the moment at which the batch is asked for.

use bytes::{Buf as _, BytesMut};
use firsthand_model::command::{Shape, Step};
use firsthand_model::json::Json;
use firsthand_model::outcome::Transaction;
use firsthand_model::target::ChangedRows;
use firsthand_session::{Refusal, RefusalKind};
use firsthand_sql::judge::After;
use firsthand_sql::{SMALL_TEXT_BYTES, Settings};
use firsthand_wire::postgres::DecodeError;
use firsthand_wire::postgres::frame::{Frame, FrameError, HEADER_LEN, Header, Passing, Scan, scan};
use firsthand_wire::postgres::frontend::{self, Message, Object};
use std::sync::Arc;

use super::batch::{Parts, What};
use super::dialect::{Life, PostgresDialect};
use super::fastpath;
use super::flight::{Entry, Sent};
use super::knowing::{Knowing, Looked, Meaning, Pending, View};
use super::large::{Large, ReadElsewhere, Said, is_read_elsewhere};
use super::names::Own;
use super::names::{Does, Known, Portal, Statement, known_as};
use super::parameters::Values;
use super::text::{Piece, Reading};
use crate::dialect::{Action, Dialect as _, Looking, Thought};

/// Copy data longer than this is passed on before it is whole. Below it, one write carries it.
const PASS_FROM: usize = 64 << 10;

/// What the next text is judged in hangs on answers of the target that are still to come.
struct Unsettled;

/// What becomes of the message at the front.
pub(super) enum Next {
    /// It was taken, or can be looked at again at once.
    Taken,
    /// It stays where it is until something else has happened.
    Waits,
}

impl PostgresDialect {
    /// Takes what it can of the client's bytes.
    pub(super) fn read_client(&mut self, input: &mut BytesMut, out: &mut Vec<Action>) {
        self.take_read(out);
        while self.wants_client() && !input.is_empty() {
            if self.skipping > 0 {
                let skipped = self.skipping.min(input.len());
                input.advance(skipped);
                self.skipping -= skipped;
                if input.is_empty() {
                    // What it took is given back now, not when the buffer is next looked at.
                    *input = BytesMut::new();
                }
                continue;
            }
            if let Some(mut passing) = self.client_passing.take() {
                let piece = input.split_to(passing.take(input.len()));
                self.copy_piece(piece, false, passing.is_done(), out);
                self.client_passing = Some(passing).filter(|p| !p.is_done());
                continue;
            }
            let (header, whole) = match scan(input, &self.client_rules) {
                Ok(Scan::Frame(Frame { tag, body, .. })) => {
                    (Header { tag, length: body.len() as u32 + 4 }, true)
                }
                Ok(Scan::Partial { header, .. }) => (header, false),
                Ok(Scan::NeedMore(_)) => return,
                Err(e) => return self.client_broke(&e, out),
            };
            if self.awaits_sync(header.tag, out) {
                return;
            }
            if self.refuse_long(header, out)
                || (!whole && self.begin_passing(header, input, out))
                || self.refuse_crowded(header, input.len(), out)
            {
                continue;
            }
            if !whole {
                return;
            }
            let (tag, len) = (header.tag, header.frame_len());
            if self.life == Life::Draining && !matches!(tag, b'd' | b'c' | b'f' | b'S' | b'H' | b'X') {
                return;
            }
            if self.radius.is_wrapped() && self.swallows_in_copy(tag) {
                input.advance(len);
                continue;
            }
            if self.is_held_up() && (!matches!(tag, b'd' | b'c' | b'f') || self.holds_copy()) {
                self.end_copy_over(tag, out);
                return;
            }
            match self.message(tag, len, input, out) {
                Next::Taken => {}
                Next::Waits => return,
            }
        }
    }

    /// Copy data that is not whole yet and long goes on in pieces. True when it does.
    fn begin_passing(&mut self, header: Header, input: &mut BytesMut, out: &mut Vec<Action>) -> bool {
        if !self.client_rules.is_streamed(header.tag)
            || header.frame_len() <= PASS_FROM
            || !self.submit(out)
            || self.awaits_copy(out)
        {
            return false;
        }
        let mut passing = Passing::new(header);
        let piece = input.split_to(passing.take(input.len()));
        self.copy_piece(piece, true, false, out);
        self.client_passing = Some(passing);
        true
    }

    /// A message that must be held whole and is too long for that is refused, and its bytes are skipped. True then.
    fn refuse_long(&mut self, header: Header, out: &mut Vec<Action>) -> bool {
        let len = header.frame_len();
        if len <= self.message_bytes_max || self.client_rules.is_streamed(header.tag) {
            return false;
        }
        let most = self.message_bytes_max;
        let text = format!(
            "Firsthand takes messages of up to {most} bytes, and this one has {len}; send it in parts"
        );
        self.turn_away(header, Refusal::new(RefusalKind::Limit, text), out);
        true
    }

    /// A message for which there is no room is refused likewise. `here` bytes of it have come, perhaps with more behind it.
    /// True then.
    fn refuse_crowded(&mut self, header: Header, here: usize, out: &mut Vec<Action>) -> bool {
        if !matches!(header.tag, b'Q' | b'P' | b'B' | b'F')
            || self.batch.hold(&self.budget, here.min(header.frame_len()))
        {
            return false;
        }
        let most = self.budget.most();
        let text =
            "Firsthand holds too many large messages at the moment, so this one was not run; try again later";
        let refusal = Refusal::new(RefusalKind::Limit, text)
            .hint(format!("All sessions together may hold {most} bytes of them (limits.large_messages)."));
        self.turn_away(header, refusal, out);
        true
    }

    /// Refuses the message at the front in its place, and skips its bytes.
    fn turn_away(&mut self, header: Header, refusal: Refusal, out: &mut Vec<Action>) {
        self.skipping = header.frame_len();
        self.batch.let_go();
        self.refuse_in_place(header.tag, refusal, out);
    }

    /// Refuses a message whose text found no turn to be read; its bytes are gone.
    pub(super) fn refuse_unread(&mut self, tag: u8, out: &mut Vec<Action>) {
        let text = "Firsthand reads too many large statements at the moment, so this one was not run; try again later";
        let refusal = Refusal::new(RefusalKind::Limit, text).hint(format!(
            "Statements of at most {SMALL_TEXT_BYTES} bytes never wait for this; COPY has no such limit."
        ));
        self.refuse_in_place(tag, refusal, out);
    }

    pub(super) fn refuse_in_place(&mut self, tag: u8, refusal: Refusal, out: &mut Vec<Action>) {
        let simple = matches!(tag, b'Q' | b'F');
        self.refuse(refusal, simple);
        if simple {
            self.submit(out);
        }
    }

    /// Takes in a refusal of the gateway's own, in the place of a message.
    fn refuse(&mut self, refusal: Refusal, simple: bool) {
        self.batch.add(What::Refused { refusal: Box::new(refusal), simple }, BytesMut::new());
    }

    fn message(&mut self, tag: u8, len: usize, input: &mut BytesMut, out: &mut Vec<Action>) -> Next {
        let body = input.get(HEADER_LEN..len).unwrap_or_default();
        if is_read_elsewhere(tag, body) {
            // The name of a Parse stands first; a Query is all text.
            let name = if tag == b'P' { body.split(|byte| *byte == 0).next() } else { None };
            if name.is_some_and(|name| Own::has(name, self.session)) {
                return self.reserved(tag, len, input, out);
            }
            let Ok(view) = self.view() else { return self.stall(out) };
            self.have_read(tag, input.split_to(len), view, out);
            return Next::Waits;
        }
        match tag {
            b'Q' => match frontend::query(body) {
                Ok(text) => {
                    let Ok(view) = self.view() else { return self.stall(out) };
                    let reading = self.read(text, view.as_ref());
                    self.query_read(reading, len, input, out)
                }
                Err(e) => self.malformed(tag, &e, len, input, out),
            },
            b'd' | b'c' | b'f' => self.copying(tag, len, input, out),
            _ => match Message::read(tag, body) {
                Ok(message) if Own::is_in(&message, self.session) => self.reserved(tag, len, input, out),
                Ok(Message::Parse(parse)) => match self.statement(&parse, out) {
                    Ok(statement) => self.parse(statement, input.split_to(len), out),
                    Err(next) => next,
                },
                Ok(Message::Bind(bind)) => match self.portal_of(bind.portal, bind.statement, Some(&bind)) {
                    Some(portal) => self.bind(portal, input.split_to(len), out),
                    None => self.stall(out),
                },
                Ok(Message::Execute(execute)) => match self.names.portal(execute.portal) {
                    Known::Uncertain => self.stall(out),
                    known => {
                        let Ok(does) = self.does_now(&known) else { return self.stall(out) };
                        if self.ends_unsurely(does.iter().map(|(_, after)| after)) {
                            return self.await_end(tag, len, input, out);
                        }
                        let (name, max_rows) = (known_as(execute.portal).to_vec(), execute.max_rows);
                        self.execute(&name, (known, does), max_rows, input.split_to(len), out)
                    }
                },
                Ok(Message::Describe(object)) => match self.described(object) {
                    Some(what) => self.add(what, input.split_to(len), out),
                    None => self.stall(out),
                },
                Ok(Message::Close(object)) => {
                    let what = self.closed(object);
                    self.add(what, input.split_to(len), out)
                }
                Ok(Message::Sync) => self.sync(input.split_to(len), out),
                Ok(Message::Flush) => self.last(What::Flush, input.split_to(len), out),
                Ok(Message::FunctionCall(call)) => {
                    let (parts, answer) = fastpath::called(&call);
                    self.function(parts, answer, input.split_to(len), out)
                }
                Ok(Message::Terminate) => self.last(What::Terminate, input.split_to(len), out),
                Ok(_) => {
                    // A password message outside a login: PostgreSQL ends the session over it.
                    self.client_broke(
                        &FrameError::UnknownTag { sender: self.client_rules.sender(), tag },
                        out,
                    );
                    Next::Waits
                }
                Err(e) => self.unreadable(tag, &e, len, input, out),
            },
        }
    }

    /// A message that cannot be read. PostgreSQL reads some of them in steps, and finds other faults first: those it
    /// gets as they are, as commands of which not everything is known.
    fn unreadable(
        &mut self,
        tag: u8,
        e: &DecodeError,
        len: usize,
        input: &mut BytesMut,
        out: &mut Vec<Action>,
    ) -> Next {
        let body = input.get(HEADER_LEN..len).unwrap_or_default();
        match (tag, frontend::bind_names(body)) {
            // It ends the skipping before it is looked into, and counts for nothing within a COPY.
            (b'S', _) => self.sync(input.split_to(len), out),
            (b'F', _) => {
                let parts = fastpath::unreadable(body);
                self.function(parts, fastpath::Answer::default(), input.split_to(len), out)
            }
            (b'B', Ok((portal, statement)))
                if Own::has(portal, self.session) || Own::has(statement, self.session) =>
            {
                self.reserved(tag, len, input, out)
            }
            (b'B', Ok((portal, statement))) => match self.portal_of(portal, statement, None) {
                Some(portal) => self.bind(portal, input.split_to(len), out),
                None => self.stall(out),
            },
            _ => self.malformed(tag, e, len, input, out),
        }
    }

    /// A message that names something of the gateway's own is refused.
    fn reserved(&mut self, tag: u8, len: usize, input: &mut BytesMut, out: &mut Vec<Action>) -> Next {
        input.advance(len);
        let text = "This name is that of a statement of the gateway's own in this session; use another name";
        self.refuse_in_place(tag, Refusal::new(RefusalKind::Unsupported, text), out);
        Next::Taken
    }

    /// Copy data, or its end.
    fn copying(&mut self, tag: u8, len: usize, input: &mut BytesMut, out: &mut Vec<Action>) -> Next {
        if !self.submit(out) || self.awaits_copy(out) {
            return Next::Waits;
        }
        if tag == b'd' {
            self.copy_run(input, out);
        } else {
            self.copy_end(input.split_to(len), out);
        }
        Next::Taken
    }

    /// A message that PostgreSQL answers with an error, at its place.
    fn malformed(
        &mut self,
        tag: u8,
        e: &DecodeError,
        len: usize,
        input: &mut BytesMut,
        out: &mut Vec<Action>,
    ) -> Next {
        let message = input.split_to(len);
        self.stand_for(tag, message.get(HEADER_LEN..).unwrap_or_default(), e, out);
        Next::Taken
    }

    /// Waits for the target's answers: what comes next depends on them.
    pub(super) fn stall(&mut self, out: &mut Vec<Action>) -> Next {
        // The answers may hang on what is still held here.
        if !self.submit(out) {
            return Next::Waits;
        }
        if self.flight.is_idle() {
            self.names.settle();
            self.knowing.iter_mut().for_each(Knowing::settled);
            return Next::Taken;
        }
        self.stalled = true;
        Next::Waits
    }

    /// Whether copy data has to wait: only the target's answers tell which command takes it, if any does. Asks for them.
    fn awaits_copy(&mut self, out: &mut Vec<Action>) -> bool {
        if !self.flight.copy_is_open() {
            return false;
        }
        self.stalled = true;
        self.ask_for_answers(out);
        true
    }

    /// The target keeps answers back until somebody asks for them.
    pub(super) fn ask_for_answers(&mut self, out: &mut Vec<Action>) {
        if self.flight.wants_flush() {
            let mut flush = BytesMut::new();
            frontend::encode_flush(&mut flush);
            out.push(Action::ToServer(self.without_command(flush.freeze())));
        }
    }

    /// Whether a message has to wait because a COPY may have swallowed the Sync before it: then the target would skip it,
    /// and nothing would tell.
    fn awaits_sync(&mut self, tag: u8, out: &mut Vec<Action>) -> bool {
        if !self.is_in_doubt(tag) {
            return false;
        }
        // What is held here may hold the Sync.
        if !self.submit(out) {
            return true;
        }
        self.stalled = self.is_in_doubt(tag);
        if self.stalled {
            if self.flight.may_probe() {
                self.probe(tag, out);
            } else if !self.flight.is_probing() {
                self.ask_for_answers(out);
            }
        }
        self.stalled
    }

    /// Whether what such a message would mean depends on whether a Sync counts.
    fn is_in_doubt(&self, tag: u8) -> bool {
        if self.flight.is_probing() {
            return !matches!(tag, b'S' | b'H' | b'd' | b'c' | b'f');
        }
        matches!(tag, b'Q' | b'F' | b'E' | b'P' | b'B' | b'D' | b'C') && self.flight.sync_is_in_doubt()
    }

    /// Asks the target which Syncs count, when its answers so far do not tell: with a Sync of the gateway's own and
    /// something that is told from all else. PostgreSQL ignores a Sync while it reads copy data; after an error it skips up
    /// to one, and passes over the rest of the data. Where one counts already, another changes nothing: nothing has run
    /// since.
    fn probe(&mut self, tag: u8, out: &mut Vec<Action>) {
        let mut bytes = BytesMut::new();
        frontend::encode_sync(&mut bytes);
        let mark: &[u8] = if self.flight.is_reading_copy() {
            // A COPY that still reads ends over the mark as it would over the client's message, and names its type. One
            // that does not has failed, so that a message of this type without a body, which fails, does no harm.
            bytes.extend_from_slice(&[tag, 0, 0, 0, 4]);
            if matches!(tag, b'Q' | b'F') { b"EZ" } else { b"E" }
        } else if tag == b'Q' && frontend::encode_query(&mut bytes, b"").is_ok() {
            b"IZ"
        } else {
            let name = self.own_name(Own::Refused);
            let nothing = frontend::encode_close(&mut bytes, Object::Statement(name.as_bytes()));
            debug_assert!(nothing.is_ok(), "the name holds no zero byte");
            frontend::encode_flush(&mut bytes);
            b"3"
        };
        self.flight.probe(mark);
        out.push(Action::ToServer(self.without_command(bytes.freeze())));
    }

    /// The target skips because of a mark that failed: a Sync of the gateway's own ends that.
    pub(super) fn stop_skipping(&mut self, out: &mut Vec<Action>) {
        let mut bytes = BytesMut::new();
        frontend::encode_sync(&mut bytes);
        self.flight.push(Entry::plain(Sent::Own));
        out.push(Action::ToServer(self.without_command(bytes.freeze())));
    }

    /// How texts are to be read now. While something is under way that can change it, a text that would read otherwise
    /// must not be taken for more than unknown.
    fn settings(&self) -> Settings {
        if self.flight.is_unsettled() || self.batch.is_unsettled() {
            Settings { standard_conforming_strings: false, utf8: false }
        } else {
            self.parameters.settings
        }
    }

    /// What the next text is judged in: `None` where nobody asks what it means; an error where that hangs on answers of the
    /// target that are still to come.
    fn view(&mut self) -> Result<Option<View>, Unsettled> {
        let (settings, failed) = (self.parameters.settings, self.transaction == Transaction::Failed);
        self.knowing.as_mut().map(|knowing| knowing.view(settings, failed).ok_or(Unsettled)).transpose()
    }

    fn read(&self, text: &[u8], view: Option<&View>) -> Reading {
        Reading::of(&self.analyzer, text, self.settings(), view)
    }

    /// Has a message with a large text read elsewhere. It goes there with its room.
    fn have_read(&mut self, tag: u8, message: BytesMut, view: Option<View>, out: &mut Vec<Action>) {
        self.thinking = Some(tag);
        let (analyzer, settings) = (Arc::clone(&self.analyzer), self.settings());
        let large = Large { tag, message, held: self.batch.lend(), analyzer, settings, view };
        out.push(Action::Think(large.thinking()));
    }

    /// Takes in the message that was read elsewhere, if it may be by now.
    pub(super) fn take_read(&mut self, out: &mut Vec<Action>) {
        let Some(tag) = self.read.as_ref().map(|read| read.tag) else { return };
        if self.life != Life::Open {
            // Nothing new begins.
            self.read = None;
            return;
        }
        // Also where what comes behind it cannot be read.
        if !self.may_ask() || self.is_held_up() || self.awaits_sync(tag, out) {
            return;
        }
        let view = match self.view() {
            Err(Unsettled) if matches!(self.stall(out), Next::Waits) => return,
            Err(Unsettled) => self.view(),
            Ok(view) => Ok(view),
        };
        let Ok(view) = view else { return };
        if self.read_ends_unsurely(tag, out) {
            return;
        }
        let Some(read) = self.read.take() else { return };
        if self.must_look(tag, read.shapes().into_iter(), out) {
            // Read again when that is known.
            self.read = Some(read);
            return;
        }
        let ReadElsewhere { message, held, seen, said, .. } = read;
        self.batch.take_back(held);
        if seen != view.as_ref().map(View::fingerprint) {
            // Judged in a state that is no longer.
            return self.have_read(tag, message, view, out);
        }
        let _ = match said {
            Ok(Said::Query(reading)) => self.query(reading, message, out),
            Ok(Said::Parse { name, types, piece, meaning }) => {
                let parse = message.get(HEADER_LEN..).map(frontend::Parse::read);
                let text = parse.and_then(Result::ok).map_or(&[][..], |parse| parse.text);
                let statement = self.statement_made(&name, text, *piece, meaning, types.into_iter());
                self.parse(statement, message, out)
            }
            Err(e) => {
                self.batch.let_go();
                self.stand_for(tag, message.get(HEADER_LEN..).unwrap_or_default(), &e, out);
                Next::Taken
            }
        };
    }

    /// Whether a name in it is not known here, and may be known by now to the target: then that is looked up first. What
    /// others define is told to nobody.
    pub(super) fn must_look<'s>(
        &mut self,
        tag: u8,
        shapes: impl Iterator<Item = &'s Shape>,
        out: &mut Vec<Action>,
    ) -> bool {
        let Some(knowing) = &mut self.knowing else { return false };
        let names =
            |shape: &Shape| shape.facts.as_ref().and_then(|facts| facts.opaque.as_ref().map(|o| o.why));
        let missing = |why| matches!(why, "relation" | "column" | "type" | "function" | "operator");
        let looking = if shapes.filter_map(names).any(missing) { knowing.look_again(self.now) } else { None };
        let Some(looking) = looking else { return false };
        self.thinking = Some(tag);
        out.push(Action::Look(Looking(Box::pin(async move {
            looking.await;
            Box::new(Looked) as Thought
        }))));
        true
    }

    pub(super) fn query(&mut self, reading: Reading, message: BytesMut, out: &mut Vec<Action>) -> Next {
        let moment = self.moment();
        let first = self.batch.plans.len();
        let last = first + reading.pieces.len();
        self.batch.add(What::Query(first..last), message);
        for piece in reading.pieces {
            self.names.runs(Some(&piece.shape));
            let pending = self.pends(&piece.after);
            let parts = Parts {
                step: Step::Run,
                via: "simple",
                shape: piece.shape,
                text: piece.text,
                change: piece.change,
                parameters: Json::default(),
                parameters_digest: None,
                names: Json::default(),
                opaque: reading.opaque,
                coverage: Vec::new(),
                changes: piece.changes,
                pending,
                access: piece.access.map(|asked| Arc::new(asked.call(|_| None))),
            };
            self.batch.plan(parts, moment);
        }
        self.knowing.iter_mut().for_each(Knowing::end_segment);
        if let Some(item) = self.batch.items.last_mut() {
            item.owner = Some(first);
        }
        self.submit(out);
        Next::Taken
    }

    /// A command is on its way that leaves this behind.
    fn pends(&mut self, after: &After) -> Pending {
        self.knowing.as_mut().map(|knowing| knowing.pends(after)).unwrap_or_default()
    }

    /// The statement that a Parse makes; or what happens first.
    fn statement(
        &mut self,
        parse: &frontend::Parse<'_>,
        out: &mut Vec<Action>,
    ) -> Result<Arc<Statement>, Next> {
        let Ok(view) = self.view() else { return Err(self.stall(out)) };
        let types: Vec<u32> = parse.types().collect();
        let view = view.map(|view| view.typed(&types));
        let view = view.as_ref();
        let settings = self.settings();
        let piece = self.read(parse.text, view).into_one(parse.text, settings);
        if self.must_look(b'P', std::iter::once(&*piece.shape), out) {
            return Err(Next::Waits);
        }
        // What is no statement of the target means nothing there.
        let view = view.filter(|_| piece.access.is_none());
        let meaning = view.map(|view| Meaning::of_piece(&piece, parse.text, view, &types));
        Ok(self.statement_made(parse.statement, parse.text, piece, meaning, types.into_iter()))
    }

    /// With its text, where something may be added to that.
    fn statement_made(
        &self,
        name: &[u8],
        text: &[u8],
        piece: Piece,
        meaning: Option<Meaning>,
        types: impl Iterator<Item = u32>,
    ) -> Arc<Statement> {
        let mut statement = self.names.statement_of(name, piece, meaning, types);
        if self.changed.kept != ChangedRows::Off && statement.changes.is_some() {
            statement.keep_source(text, self.changed.settings);
        }
        Arc::new(statement)
    }

    fn parse(&mut self, statement: Arc<Statement>, message: BytesMut, out: &mut Vec<Action>) -> Next {
        if self.names.too_much_statement(&statement) {
            self.refuse(too_many_names(), false);
            return Next::Taken;
        }
        self.names.parse_sent(&statement);
        self.knowing.iter_mut().for_each(|knowing| knowing.closing(&statement.name));
        self.add(What::Parse(statement), message, out)
    }

    /// The portal that a Bind makes; `None`: it has to wait.
    fn portal_of(
        &mut self,
        portal: &[u8],
        name: &[u8],
        bind: Option<&frontend::Bind<'_>>,
    ) -> Option<Arc<Portal>> {
        let statement = match self.names.statement(name) {
            Known::Is(statement) => Some(statement),
            Known::Nothing => None,
            Known::Uncertain => return None,
        };
        if matches!(self.names.portal(portal), Known::Uncertain) && !portal.is_empty() {
            return None;
        }
        let view = self.view().ok()?;
        let bound_in = view.as_ref().map(View::fingerprint);
        let meaning = statement.as_ref().and_then(|s| s.meaning.as_ref());
        let does = view.and_then(|view| match (&statement, meaning) {
            (None, _) => view.executes(known_as(name)),
            (Some(_), meaning) => meaning.map(|meaning| meaning.again(&view)),
        });
        let type_of = |index| statement.as_ref().map_or(0, |s| s.parameter_type(index));
        let secret = statement.as_ref().map(|s| s.text.secret_parameters).unwrap_or_default();
        let known = || statement.as_ref().and_then(|s| s.text.secrets.as_deref());
        let (values, formats) = match bind {
            Some(bind) => (
                Values::of(|| bind.parameters(), type_of, secret, known),
                (0..bind.result_formats.len()).map(|i| bind.result_formats.of(i)).collect(),
            ),
            None => (Values::untold(), Box::default()),
        };
        let digest = bind.and_then(|bind| super::parameters::digest(bind.parameters(), type_of));
        let mut portal = self.names.portal_of(portal, statement, does, values, formats);
        portal.parameters_digest = digest;
        let asked = portal.statement.as_ref().and_then(|statement| statement.access.as_ref());
        portal.access = asked.map(|asked| {
            let given = |number: usize| bind.and_then(|bind| bind.parameters().nth(number.checked_sub(1)?));
            Arc::new(asked.call(given))
        });
        portal.bound_in = bound_in;
        Some(Arc::new(portal))
    }

    fn bind(&mut self, portal: Arc<Portal>, message: BytesMut, out: &mut Vec<Action>) -> Next {
        if self.names.too_much_portal(&portal) {
            self.refuse(too_many_names(), false);
            return Next::Taken;
        }
        self.names.bind_sent(&portal);
        self.add(What::Bind(portal), message, out)
    }

    /// What executing a portal does in the state that it will meet.
    fn does_now(&mut self, known: &Known<Portal>) -> Result<Option<Does>, Unsettled> {
        let Known::Is(portal) = known else { return Ok(None) };
        Ok(match self.view()? {
            Some(view) => portal.does_in(&view),
            None => portal.does.clone(),
        })
    }

    fn execute(
        &mut self,
        name: &[u8],
        (known, does): (Known<Portal>, Option<Does>),
        max_rows: i32,
        message: BytesMut,
        out: &mut Vec<Action>,
    ) -> Next {
        let portal = match known {
            Known::Is(portal) => Some(portal),
            Known::Nothing | Known::Uncertain => None,
        };
        let moment = self.moment();
        let known = portal.as_ref().filter(|p| !p.is_in_doubt(moment.epoch));
        let shape = known.and_then(|p| p.statement.as_ref()).map(|s| Arc::clone(&s.shape));
        let calls = known.is_some_and(|p| p.access.is_some());
        let known_does = known.and(does.as_ref());
        let pending = match (&mut self.knowing, known_does) {
            // The gateway's own answer: nothing of it changes the session.
            (Some(knowing), _) if calls => knowing.pends(&After::default()),
            (None, _) => Pending::default(),
            (Some(knowing), Some((_, after))) => knowing.pends(after),
            (Some(knowing), None) => knowing.pends(&After::uncertain()),
        };
        self.batch.execute(name, (portal, does), max_rows, message, pending, moment);
        self.names.runs(shape.as_deref());
        if self.batch.is_full() {
            self.submit(out);
        }
        Next::Taken
    }

    fn described(&self, object: Object<'_>) -> Option<What> {
        Some(match object {
            Object::Statement(name) => What::DescribeStatement(match self.names.statement(name) {
                Known::Is(it) => Some(it),
                Known::Nothing => None,
                Known::Uncertain => return None,
            }),
            Object::Portal(name) => What::DescribePortal(match self.names.portal(name) {
                Known::Is(it) => Some(it),
                Known::Nothing => None,
                Known::Uncertain => return None,
            }),
        })
    }

    fn closed(&mut self, object: Object<'_>) -> What {
        match object {
            Object::Statement(name) => {
                self.names.close_statement_sent(name);
                self.knowing.iter_mut().for_each(|knowing| knowing.closing(known_as(name)));
                What::CloseStatement(known_as(name).into())
            }
            Object::Portal(name) => {
                self.names.close_portal_sent(name);
                What::ClosePortal(known_as(name).into())
            }
        }
    }

    fn sync(&mut self, message: BytesMut, out: &mut Vec<Action>) -> Next {
        let next = self.last(What::Sync, message, out);
        self.names.end_segment();
        self.knowing.iter_mut().for_each(Knowing::end_segment);
        next
    }

    fn function(
        &mut self,
        mut parts: Parts,
        answer: fastpath::Answer,
        message: BytesMut,
        out: &mut Vec<Action>,
    ) -> Next {
        self.names.runs(None);
        parts.pending = self.pends(&After::uncertain());
        self.knowing.iter_mut().for_each(Knowing::end_segment);
        self.batch.add(What::Function(answer), message);
        let moment = self.moment();
        let plan = self.batch.plan(parts, moment);
        if let Some(item) = self.batch.items.last_mut() {
            item.owner = Some(plan);
        }
        self.submit(out);
        Next::Taken
    }

    fn add(&mut self, what: What, message: BytesMut, out: &mut Vec<Action>) -> Next {
        self.batch.add(what, message);
        if self.batch.is_full() {
            self.submit(out);
        }
        Next::Taken
    }

    /// Adds a message with which the batch is due.
    fn last(&mut self, what: What, message: BytesMut, out: &mut Vec<Action>) -> Next {
        self.batch.add(what, message);
        self.submit(out);
        Next::Taken
    }

    /// Asks for what the batch holds; without commands in it, sends it. True when nothing of it waits for an answer.
    pub(super) fn submit(&mut self, out: &mut Vec<Action>) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        let moment = self.moment();
        self.batch.plan_preparations(moment);
        if self.batch.plans.is_empty() {
            self.forward(Vec::new(), out);
            return true;
        }
        if self.transaction == Transaction::Idle && self.flight.is_idle() && !self.flight.is_open() {
            out.push(Action::Settled);
        }
        self.asking = true;
        self.as_they_came();
        let commands = self.batch.plans.iter_mut().filter_map(|p| p.command.take()).collect();
        out.push(Action::Ask(commands));
        self.ask_tables(out);
        false
    }
}

fn too_many_names() -> Refusal {
    Refusal::new(
        RefusalKind::Limit,
        "Firsthand keeps no more prepared statements and portals for one session; close some of them",
    )
}
