//! From the target: each message is matched to what it answers, and goes on to the client in spans of the buffer it came
//! in. Only what ends a command, or must change, is cut out of a span.

use bytes::BytesMut;
use firsthand_model::masking::Hush;
use firsthand_model::outcome::{AbandonReason, Transaction};
use firsthand_wire::postgres::backend::{
    CopyFormats, Notification, ParameterDescription, ParameterStatus, Report, RowDescription,
    TransactionStatus,
};
use firsthand_wire::postgres::frame::{HEADER_LEN, Header, Passing, Scan, scan};
use firsthand_wire::postgres::{DecodeError, Frames};
use std::sync::Arc;

use super::columns::Columns;
use super::complete::{Ending, READY_TOO_EARLY};
use super::copy::pass_run;
use super::dialect::PostgresDialect;
use super::fastpath::Answer;
use super::flight::{Mark, NOTICE_BYTES_KEPT, Sent};
use super::knowing::Knowing;
use super::masking::MASKED_ROW_MAX;
use super::{parameters, radius, report};
use crate::dialect::Action;

/// A row or piece of copy data up to this size is held until it is whole, so that the record can show it; a longer one
/// is passed on piece by piece and only counted. Above it a value is no longer something a person reads.
const HELD_ROW_MAX: usize = 1 << 20;

/// A description up to this size is compared with the next one; most have some hundred bytes.
const LAST_COLUMNS_BYTES: usize = 16 << 10;

/// A piece of a long message that is passed on at once when it has at least this size.
const PIECE_MIN: usize = 16 << 10;

/// The span of bytes at the front of the input that is understood and not yet handed on.
pub(super) struct Walk<'i> {
    pub(super) input: &'i mut BytesMut,
    /// Its length.
    pub(super) at: usize,
    /// Whether it waits for the intent of the command that runs first.
    pub(super) gated: bool,
    /// No more bytes will come.
    pub(super) closing: bool,
    /// Up to where in the input texts have been replaced that must be.
    pub(super) quiet: usize,
}

impl Walk<'_> {
    /// What follows the span.
    pub(super) fn rest(&self) -> &[u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// The body of the message of `len` bytes that follows the span.
    pub(super) fn body(&self, len: usize) -> &[u8] {
        self.rest().get(HEADER_LEN..len).unwrap_or_default()
    }

    /// Cuts off the span and `len` bytes more.
    pub(super) fn cut(&mut self, len: usize) -> bytes::Bytes {
        let cut = (self.at + len).min(self.input.len());
        let bytes = self.input.split_to(cut).freeze();
        self.quiet = self.quiet.saturating_sub(cut);
        self.at = 0;
        bytes
    }
}

/// How the walk goes on.
#[derive(PartialEq, Eq)]
pub(super) enum Step {
    /// With the next message.
    On,
    /// It waits: what this message means depends on the next one.
    Hold,
    /// The target broke the protocol, in these words.
    Broken(String),
}

impl From<DecodeError> for Step {
    fn from(e: DecodeError) -> Self {
        Self::Broken(e.to_string())
    }
}

impl PostgresDialect {
    /// Takes what it can of the target's bytes. `closing`: no more will come.
    pub(super) fn read_server(&mut self, input: &mut BytesMut, closing: bool, out: &mut Vec<Action>) {
        if !self.held.is_empty() {
            self.held.unsplit(input.split());
            std::mem::swap(input, &mut self.held);
        }
        let mut walk = Walk { input, at: 0, gated: false, closing, quiet: 0 };
        let mut hold = false;
        loop {
            if let Some(passing) = self.server_passing.take() {
                if walk.rest().is_empty() {
                    self.server_passing = Some(passing);
                    break;
                }
                self.pass_piece(passing, false, &mut walk, out);
                continue;
            }
            if self.watches_texts() {
                self.quieten(&mut walk);
            }
            let (tag, len) = match scan(walk.rest(), &self.server_rules) {
                Ok(Scan::Frame(frame)) => (frame.tag, frame.len()),
                Ok(Scan::Partial { header, .. }) if self.passes(header, walk.rest().len()) => {
                    self.pass_piece(Passing::new(header), true, &mut walk, out);
                    continue;
                }
                Ok(Scan::Partial { .. } | Scan::NeedMore(_)) => break,
                Err(e) => return self.broke(e.to_string(), &mut walk, out),
            };
            match self.answer(tag, len, &mut walk, out) {
                Step::On => {}
                Step::Hold => {
                    hold = true;
                    break;
                }
                Step::Broken(what) => return self.broke(what, &mut walk, out),
            }
        }
        self.flush(&mut walk, out);
        if hold {
            self.held = walk.input.split();
        }
    }

    fn broke(&mut self, what: String, walk: &mut Walk<'_>, out: &mut Vec<Action>) {
        self.flush(walk, out);
        walk.input.clear();
        self.target_broke(what, out);
    }

    /// Hands the span on.
    pub(super) fn flush(&mut self, walk: &mut Walk<'_>, out: &mut Vec<Action>) {
        if walk.at == 0 {
            return;
        }
        let bytes = walk.cut(0);
        let reply = match self.flight.running.front() {
            Some(running) if walk.gated => running.permit.reply(bytes),
            _ => self.admission.reply(bytes),
        };
        out.push(Action::ToClient(reply));
    }

    /// Adds `len` bytes to the span, which waits for the running command's intent if they do.
    pub(super) fn pass(
        &mut self,
        len: usize,
        gated: bool,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Step {
        if gated && !walk.gated {
            self.flush(walk, out);
        }
        if walk.at == 0 {
            walk.gated = gated;
        }
        walk.at += len;
        Step::On
    }

    /// Whether texts of the target have to be looked at now.
    fn watches_texts(&self) -> bool {
        self.hushed > Hush::Nothing
            || self.tools.is_some()
            || self.flight.running.front().is_some_and(|r| r.masking.is_some())
    }

    fn answer(&mut self, tag: u8, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        if !matches!(tag, b'N' | b'A' | b'S') {
            self.flight.make_way(tag);
            let ends = tag == b'E' && radius::is_fatal(walk.body(len));
            if !ends && let Some(mark) = self.flight.take_mark(tag) {
                self.swallow(len, walk, out);
                if mark == Mark::SkipsOn {
                    self.stop_skipping(out);
                }
                return Step::On;
            }
        }
        if self.flight.take_extra(tag) {
            self.swallow(len, walk, out);
            return Step::On;
        }
        if let Some(step) = self.own_answer(tag, len, walk, out) {
            return step;
        }
        match tag {
            b'D' | b'd' => self.data(tag, walk, out),
            b'C' | b's' if let Some(step) = self.count_behind(len, walk, out) => step,
            b'C' => self.ends(Ending::Tag, len, walk, out),
            b'I' => self.ends(Ending::Empty, len, walk, out),
            b's' => self.ends(Ending::Suspended, len, walk, out),
            b'V' => self.ends(Ending::Function(Answer::default()), len, walk, out),
            b'E' if self.fails_as_asked(len, walk, out) => Step::On,
            b'E' => self.error(len, walk, out),
            b'Z' => self.ready_for_query(len, walk, out),
            b'1' | b'2' | b'3' => self.step_done(tag, len, walk, out),
            b'T' | b'n' | b't' => self.description(tag, len, walk, out),
            b'G' | b'H' | b'W' => self.copy_begins(tag, len, walk, out),
            b'c' if self.masks_data(b'd') => self.masked_copy_ends(len, walk, out),
            b'c' => self.pass(len, true, walk, out),
            b'N' | b'A' | b'S' => match self.aside(tag, walk.at, len, walk, out) {
                Some(note) => {
                    self.flush(walk, out);
                    let reply = walk.cut(len);
                    out.push(note.with(reply));
                    Step::On
                }
                None => self.pass(len, !self.flight.running.is_empty(), walk, out),
            },
            b'R' | b'K' | b'v' => Step::Broken(format!("a message '{}' after the login", char::from(tag))),
            _ => {
                self.flush(walk, out);
                let reply = walk.cut(len);
                out.push(Action::Note { what: "unknown-message", detail: report::unknown(tag), reply });
                Step::On
            }
        }
    }

    /// Rows or copy data: all whole messages of that kind that follow each other.
    fn data(&mut self, tag: u8, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        if self.is_delivery_limited() {
            let len = self.next_len(walk);
            if let Some(step) = self.stop_delivery(len, walk, out) {
                return step;
            }
        }
        if tag == b'D' && self.has_list_beside_own() && self.masks_data(tag) {
            // The list was added before anything of this session was to be masked: what its columns are is not certain.
            self.mask_too_long();
            return self.masked_data(tag, walk, out);
        }
        if tag == b'D' && self.has_list() {
            return self.rows_with_list(walk, out);
        }
        let portal = match self.flight.first().map(|e| &e.sent) {
            Some(Sent::Execute(portal)) => portal.clone(),
            Some(Sent::Script) => None,
            _ => return Step::Broken(format!("'{}' for no command", char::from(tag))),
        };
        let limited = self.is_delivery_limited();
        let Some(running) = self.flight.running.front_mut() else {
            return Step::Broken("a row for no command".into());
        };
        let number = running.permit.number();
        if tag == b'D' && !running.capture().has_columns() {
            let columns = self.rows_begin(portal.and_then(|p| p.row_columns()));
            if let Some(running) = self.flight.running.front_mut() {
                running.capture().rows_follow(columns);
            }
        }
        if self.masks_data(tag) && !self.only_short_numbers(tag, walk) {
            return self.masked_data(tag, walk, out);
        }
        let Some(running) = self.flight.running.front_mut() else { return Step::On };
        let capture = running.capture();
        let rest = walk.input.get(walk.at..).unwrap_or_default();
        let mut frames = Frames::new(rest, &self.server_rules);
        let mut count = 0;
        // With a limit on what is delivered each message is looked at by itself.
        let one = limited.then_some(1);
        while one.is_none_or(|most| count < most)
            && capture.keeps()
            && rest.get(frames.consumed()) == Some(&tag)
        {
            let Ok(Some(frame)) = frames.next() else { break };
            count += 1;
            let rows = |piece| Action::Rows(number, piece);
            if tag == b'D' {
                out.extend(capture.row(frame.body).map(rows));
            } else {
                out.extend(capture.copy_data(frame.body).into_iter().map(rows));
            }
        }
        count += match one {
            None => pass_run(&mut frames, tag),
            Some(most) if count < most => u64::from(frames.next().is_ok_and(|f| f.is_some())),
            Some(_) => 0,
        };
        let len = frames.consumed();
        capture.passed(count, rest.get(..len).unwrap_or_default());
        out.extend(capture.progress().map(|(rows, bytes)| Action::Progress(number, rows, bytes)));
        self.pass(len, true, walk, out)
    }

    /// Whether a message is passed on before it is whole.
    fn passes(&self, header: Header, available: usize) -> bool {
        if self.radius.is_dropping() {
            return header.frame_len() > HELD_ROW_MAX && self.server_rules.is_streamed(header.tag);
        }
        if self.masks_data(header.tag) {
            return header.body_len() > MASKED_ROW_MAX;
        }
        let long = header.frame_len() > HELD_ROW_MAX
            || (available >= PIECE_MIN
                && self.flight.running.front().and_then(|r| r.capture.as_ref()).is_some_and(|c| !c.keeps()));
        long && self.server_rules.is_streamed(header.tag)
            && !self.has_list_beside_own()
            && !self.is_delivery_limited()
            && matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Execute(_) | Sent::Script))
    }

    fn pass_piece(&mut self, mut passing: Passing, header: bool, walk: &mut Walk<'_>, out: &mut Vec<Action>) {
        let len = passing.take(walk.rest().len());
        let dropped = self.radius.is_dropping();
        let swallowed = dropped || passing.tag() == b'D' && self.swallows_piece(passing.is_done());
        if swallowed || self.masks_data(passing.tag()) {
            self.swallow(len, walk, out);
            if !swallowed {
                self.mask_too_long();
                let _ = self.withhold(0, walk, out);
            }
            self.server_passing = Some(passing).filter(|p| !p.is_done());
            return;
        }
        if let Some(running) = self.flight.running.front_mut() {
            let number = running.permit.number();
            let capture = running.capture();
            let piece = walk.rest().get(..len).unwrap_or_default();
            capture.passed(u64::from(passing.is_done()), piece);
            if passing.tag() == b'D' {
                capture.row_too_large();
            } else {
                let data = if header { piece.get(HEADER_LEN..).unwrap_or_default() } else { piece };
                out.extend(capture.copy_data(data).into_iter().map(|piece| Action::Rows(number, piece)));
            }
            out.extend(capture.progress().map(|(rows, bytes)| Action::Progress(number, rows, bytes)));
        }
        self.pass(len, true, walk, out);
        self.server_passing = Some(passing).filter(|p| !p.is_done());
    }

    /// ParseComplete, BindComplete, CloseComplete.
    fn step_done(&mut self, tag: u8, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        let fits = matches!(
            (tag, self.flight.first().map(|e| &e.sent)),
            (b'1', Some(Sent::Parse(_)))
                | (b'2', Some(Sent::Bind(_)))
                | (b'3', Some(Sent::CloseStatement(_) | Sent::ClosePortal(_)))
        );
        let Some(entry) = self.flight.pop().filter(|_| fits) else {
            return Step::Broken(format!("'{}' for no such message", char::from(tag)));
        };
        match entry.sent {
            Sent::Parse(it) => {
                if let Some(knowing) = &mut self.knowing {
                    knowing.prepared(&it.name, it.meaning.as_ref());
                }
                self.names.parsed(it);
            }
            Sent::Bind(it) => self.names.bound(it),
            Sent::CloseStatement(name) => {
                if let Some(knowing) = &mut self.knowing {
                    knowing.prepared(&name, None);
                }
                self.names.closed_statement(&name);
            }
            Sent::ClosePortal(name) => self.names.closed_portal(&name),
            _ => {}
        }
        if entry.ends > 0 {
            self.prepared(len, walk, out);
            return Step::On;
        }
        let gated = entry.owner != 0 || walk.gated && walk.at > 0;
        self.pass(len, gated, walk, out)
    }

    /// RowDescription, NoData, ParameterDescription.
    fn description(&mut self, tag: u8, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        if tag == b'T'
            && let Some(step) = self.described_with_list(len, walk, out)
        {
            return step;
        }
        let columns = match tag {
            b'T' => match self.columns(walk.body(len)) {
                Ok(columns) => Some(columns),
                Err(e) => return e.into(),
            },
            _ => None,
        };
        let gated = walk.gated && walk.at > 0;
        match (tag, self.flight.first().map(|e| &e.sent)) {
            (b't', Some(Sent::DescribeStatement(it))) => match ParameterDescription::read(walk.body(len)) {
                Ok(types) => {
                    if let Some(it) = it {
                        it.types_described(types.types());
                    }
                    return self.pass(len, gated, walk, out);
                }
                Err(e) => return e.into(),
            },
            (b'T' | b'n', Some(Sent::DescribeStatement(it))) => {
                if let (Some(it), Some(columns)) = (it, columns) {
                    it.columns_described(columns);
                }
            }
            (b'T' | b'n', Some(Sent::DescribePortal(it))) => {
                if let (Some(it), Some(columns)) = (it, columns) {
                    it.columns_described(columns);
                }
            }
            (b'T' | b'n', Some(Sent::DescribeUnseen(it))) => {
                if let (Some(it), Some(columns)) = (it, &columns) {
                    it.columns_described(Arc::clone(columns));
                }
                return self.described_unseen(len, columns, walk, out);
            }
            (b'T', Some(Sent::Script)) => {
                let columns = self.rows_begin(columns);
                if let Some(running) = self.flight.running.front_mut() {
                    let number = running.permit.number();
                    let before = running.capture().rows_follow(columns);
                    out.extend(before.map(|piece| Action::Rows(number, piece)));
                }
                return self.pass(len, true, walk, out);
            }
            _ => return Step::Broken(format!("'{}' for no such message", char::from(tag))),
        }
        self.flight.pop();
        self.pass(len, gated, walk, out)
    }

    /// The columns of a RowDescription; those of the last one when it is the same.
    pub(super) fn columns(&mut self, body: &[u8]) -> Result<Arc<Columns>, DecodeError> {
        if let Some((last, columns)) = &self.last_columns
            && **last == *body
        {
            return Ok(Arc::clone(columns));
        }
        let columns = Arc::new(Columns::of(&RowDescription::read(body)?));
        // A description of a thousand columns is not kept by every session that once saw one.
        let small = body.len() <= LAST_COLUMNS_BYTES;
        self.last_columns = small.then(|| (body.into(), Arc::clone(&columns)));
        Ok(columns)
    }

    /// CopyInResponse, CopyOutResponse, CopyBothResponse.
    fn copy_begins(&mut self, tag: u8, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        let formats = match CopyFormats::read(walk.body(len), "CopyResponse") {
            Ok(formats) => formats,
            Err(e) => return e.into(),
        };
        let takes = matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Execute(_) | Sent::Script));
        let Some(running) = self.flight.running.front_mut().filter(|_| takes) else {
            return Step::Broken("copy data for no command".to_owned());
        };
        running.capture().copy_follows(formats.format);
        if tag == b'H' {
            self.copy_out_begins(formats.format, formats.columns().len());
            if let Some(step) = self.withhold(len, walk, out) {
                return step;
            }
        } else {
            running.copy_in = true;
            running.copy_in_begins(formats.format, formats.columns().len());
            self.flight.copy_in_began();
        }
        self.pass(len, true, walk, out)
    }

    fn ready_for_query(&mut self, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        let status = match TransactionStatus::read(walk.body(len)) {
            Ok(status) => status,
            Err(e) => return e.into(),
        };
        if matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Script | Sent::Function(_))) {
            // Fewer results than statements: what is left did not answer.
            self.flush(walk, out);
            let left = self.flight.pop().map_or(0, |e| e.ends);
            let left: Vec<_> = (0..left).map_while(|_| self.flight.end_first()).collect();
            out.extend(left.into_iter().map(|r| Action::Abandon(r.permit, AbandonReason::Protocol)));
        }
        if self.flight.is_probing() {
            match self.answers_probe(len, walk) {
                Some(true) => {
                    self.flight.probed();
                    self.ready(status, out);
                    self.swallow(len, walk, out);
                    return Step::On;
                }
                Some(false) => {}
                None => return Step::Hold,
            }
        }
        if !self.flight.take_ready() {
            return Step::Broken(READY_TOO_EARLY.to_owned());
        }
        self.ready(status, out);
        let gated = walk.gated && walk.at > 0;
        self.pass(len, gated, walk, out)
    }

    /// Whether this ReadyForQuery is the probe's: no other comes before the mark's answer. `None`: not known yet.
    fn answers_probe(&self, len: usize, walk: &Walk<'_>) -> Option<bool> {
        if matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Probe)) {
            return Some(true);
        }
        let mut at = len;
        while let Ok(Scan::Frame(frame)) = scan(walk.rest().get(at..).unwrap_or_default(), &self.server_rules)
        {
            if !matches!(frame.tag, b'N' | b'A' | b'S') {
                return Some(frame.tag != b'Z');
            }
            at += frame.len();
        }
        walk.closing.then_some(false)
    }

    /// The target is ready: the state of the transaction is known for certain.
    pub(super) fn ready(&mut self, status: TransactionStatus, out: &mut Vec<Action>) {
        self.transaction = match status {
            TransactionStatus::Idle => Transaction::Idle,
            TransactionStatus::InTransaction => Transaction::Open,
            TransactionStatus::Failed => Transaction::Failed,
        };
        if status == TransactionStatus::Idle {
            self.radius.transaction_ended();
            self.names_settled();
            self.names.transaction_ended();
            if let Some(knowing) = &mut self.knowing {
                knowing.idle(!self.failed);
            }
            self.masking_ends();
            if self.role.transaction_ended(!self.failed) {
                out.push(Action::Role(self.role.name().to_owned()));
            }
        }
        (self.failed, self.role_touched, self.executed) = (false, false, false);
        if self.flight.is_idle() {
            (self.overtime, self.lost) = (None, None);
            self.changed.settled(status == TransactionStatus::Idle);
            if status == TransactionStatus::Idle && self.batch.is_empty() {
                self.names.idle();
            }
        }
        if self.flight.is_idle() && self.batch.is_empty() && !self.asking && !self.is_held_up() {
            self.knowing.iter_mut().for_each(Knowing::settled);
        }
    }

    /// A message that can come at any time, at `at` in the input. Something to note, unless it belongs to the running
    /// command.
    pub(super) fn aside(
        &mut self,
        tag: u8,
        at: usize,
        len: usize,
        walk: &Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Aside> {
        let body = walk.input.get(at + HEADER_LEN..at + len).unwrap_or_default();
        match tag {
            b'N' => {
                let it = Report::read(body, "NoticeResponse").ok()?;
                let Some(running) = self.flight.running.front_mut() else {
                    return Some(Aside { what: "notice", detail: report::noted(&it) });
                };
                let room = running.notices.len() < NOTICE_BYTES_KEPT;
                running.notices_cut |= !room || report::is_cut(&it);
                if room {
                    running.notices.push(if running.notices.is_empty() { b'[' } else { b',' });
                    report::write(&mut running.notices, &it, running.secrets.as_ref());
                }
                None
            }
            b'A' => {
                let it = Notification::read(body).ok()?;
                Some(Aside { what: "notification", detail: report::notification(&it) })
            }
            _ => {
                let it = ParameterStatus::read(body).ok()?;
                self.reported(&it, out);
                Some(Aside { what: "parameter", detail: parameters::changed(it.name, it.value) })
            }
        }
    }

    fn reported(&mut self, it: &ParameterStatus<'_>, out: &mut Vec<Action>) {
        let superuser = self.parameters.is_superuser;
        self.parameters.set(it.name, it.value);
        self.changed.settings += u64::from(parameters::reads_constants(it.name));
        if let Some(knowing) = &mut self.knowing {
            knowing.told(it.name, it.value);
        }
        if it.name == b"session_authorization" && self.role.reported(it.value) {
            self.role_touched = true;
            out.push(Action::Role(self.role.name().to_owned()));
        }
        if superuser != self.parameters.is_superuser && !self.role_touched && !self.failed {
            // The role has changed without a statement that says so.
            self.role.lose();
        }
    }
}

/// Something to note that belongs to no command.
pub(super) struct Aside {
    what: &'static str,
    detail: firsthand_model::json::Json,
}

impl Aside {
    /// With the bytes that tell the client.
    pub(super) fn with(self, reply: bytes::Bytes) -> Action {
        Action::Note { what: self.what, detail: self.detail, reply }
    }
}

impl PostgresDialect {
    /// Leaves out the next `len` bytes.
    pub(super) fn swallow(&mut self, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) {
        self.flush(walk, out);
        drop(walk.cut(len));
    }

    /// Columns that the gateway has asked for itself.
    fn described_unseen(
        &mut self,
        len: usize,
        columns: Option<Arc<Columns>>,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Step {
        self.swallow(len, walk, out);
        let owner = self.flight.pop().map_or(0, |e| e.owner);
        let running = self.flight.running.iter_mut().find(|r| r.seq == owner);
        if let Some(masking) = running.and_then(|r| r.masking.as_mut()) {
            masking.described(columns);
        }
        Step::On
    }
}
