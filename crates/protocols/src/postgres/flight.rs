//! What has been sent to the target and is not answered yet, in order: each entry says which answers may come.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use firsthand_model::command::{Effect, Effects, Shape};
use firsthand_model::outcome::AbandonReason;
use firsthand_session::Permit;
use firsthand_sql::Masked;

use super::capture::Capture;
use super::changed::{Along, Changed, Found};
use super::delivery::Delivery;
use super::fastpath::Answer;
use super::knowing::Pending;
use super::masking::Masking;
use super::names::{Names, Portal, Statement};
use super::overtime::Timed;
use super::radius::Limit;
use super::role::Change;
use crate::dialect::Action;

/// Messages without an answer that one session may have. The target holds its answers back until a Sync, a Flush or 8 KiB
/// of them, and the shortest answer has 5 bytes: with fewer than 1,639 allowed, a client that pipelines without Sync would
/// wait for ever.
pub(super) const IN_FLIGHT_MAX: usize = 4096;

/// Notices kept with a command's outcome, rendered.
pub(super) const NOTICE_BYTES_KEPT: usize = 16 << 10;

/// A permitted command that the target has been given.
pub(super) struct Running {
    /// Tells commands of this session apart.
    pub(super) seq: u64,
    pub(super) permit: Permit,
    /// What it does, as it was read.
    pub(super) shape: Arc<Shape>,
    /// What it changes for later statements.
    pub(super) change: Change,
    /// What it changes for what later statements mean.
    pub(super) pending: Pending,
    /// Whether it can change how texts are read.
    pub(super) unsettles: bool,
    /// Its text may hold more statements than the gateway could tell: it ends with the whole message.
    pub(super) opaque: bool,
    /// Secrets in its text, which the target's errors may repeat.
    pub(super) secrets: Option<Arc<Masked>>,
    /// What has to be masked in its reply.
    pub(super) masking: Option<Box<Masking>>,
    /// Its rows or copy data.
    pub(super) capture: Option<Box<Capture>>,
    /// Rendered notices: JSON array without its end.
    pub(super) notices: Vec<u8>,
    /// Not all of them are there, or not whole.
    pub(super) notices_cut: bool,
    /// Copy data from the client is wanted.
    pub(super) copy_in: bool,
    /// The client has ended its copy data.
    pub(super) copy_done: bool,
    /// Which rows it changes: of a Query that has not gone out.
    pub(super) changes: Found,
    /// The rows that it changed.
    pub(super) changed: Option<Changed>,
    /// What changed along with them.
    pub(super) along: Option<Box<Along>>,
    /// How much it may deliver.
    pub(super) delivery: Option<Delivery>,
    /// How long it may take.
    pub(super) timed: Option<Timed>,
    /// How many rows it may affect; gone once it was looked at.
    pub(super) limit: Option<Limit>,
    /// It is a call to the gateway itself.
    pub(super) access: bool,
    /// It may commit in the middle.
    pub(super) commits_within: bool,
    /// Its transaction is to be named before it commits.
    pub(super) traced: bool,
}

impl Running {
    /// Whether it may be stopped once it runs.
    fn is_limited(&self) -> bool {
        self.limit.is_some() || self.traced || self.may_be_withheld()
    }

    /// Whether its result may have to be withheld once it has begun: past a limit, or because it cannot be masked.
    pub(super) fn may_be_withheld(&self) -> bool {
        self.delivery.as_ref().is_some_and(|delivery| delivery.may_refuse)
            || self.masking.as_ref().is_some_and(|masking| masking.may_fail())
    }

    /// Whether it takes copy data from the client, or may: a COPY that writes, or a text that nobody could read. Without a
    /// tag, a statement is either unknown or, when it only reads, empty.
    pub(super) fn may_copy(&self) -> bool {
        let shape = &self.shape;
        self.opaque
            || (shape.tag == "COPY" && shape.effects.has(Effect::Write))
            || (shape.tag.is_empty() && !shape.plain_read)
    }

    /// The capture, made when first needed.
    pub(super) fn capture(&mut self) -> &mut Capture {
        let limits = self.permit.limits();
        self.capture.get_or_insert_with(|| Box::new(Capture::new(limits)))
    }
}

/// Whether a transaction's end makes something last that the command does.
pub(super) fn lasts(shape: &Shape) -> bool {
    let begins = matches!(shape.tag.as_str(), "BEGIN" | "START TRANSACTION");
    !shape.plain_read && !begins && shape.effects != Effects::only(Effect::Read)
}

/// How far a command has read the client's copy data, as its end shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyRead {
    /// Some of it.
    Data,
    /// Up to a message that is none of it, and not that one.
    Stranger,
    /// All of it, with CopyDone or CopyFail.
    End,
}

/// A message sent, by the answers it gets.
#[derive(Debug)]
pub(super) enum Sent {
    /// ParseComplete.
    Parse(Arc<Statement>),
    /// BindComplete.
    Bind(Arc<Portal>),
    /// ParameterDescription, then RowDescription or NoData.
    DescribeStatement(Option<Arc<Statement>>),
    /// RowDescription or NoData.
    DescribePortal(Option<Arc<Portal>>),
    /// The same, asked for by the gateway: the client is not told.
    DescribeUnseen(Option<Arc<Portal>>),
    /// CloseComplete.
    CloseStatement(Box<[u8]>),
    /// CloseComplete.
    ClosePortal(Box<[u8]>),
    /// Rows, and what ends a command.
    Execute(Option<Arc<Portal>>),
    /// The same for each statement of a Query.
    Script,
    /// FunctionCallResponse, read so.
    Function(Answer),
    /// ReadyForQuery after a Query or a FunctionCall.
    Ready,
    /// ReadyForQuery; ends the skipping after an error. Doubtful: it went out while the target may have been reading
    /// copy data, and then it does not count.
    Sync {
        /// See above.
        doubtful: bool,
    },
    /// Copy data, one message or many: no answer of its own.
    CopyData,
    /// CopyDone or CopyFail: no answer of its own.
    CopyEnd,
    /// A message of the gateway's own among the client's: its answer, which has this tag, stays here.
    Extra(u8),
    /// The gateway's own question about what changes along with a command: its rows stay here, and what comes up to
    /// ReadyForQuery (simple) or to their end.
    Counts {
        /// It is a Query.
        simple: bool,
        /// It stands behind the command.
        after: bool,
    },
    /// The gateway's own command: what comes up to ReadyForQuery stays here.
    Own,
    /// Sent in place of a refused message: its error is swallowed, and this one told.
    Refused(Bytes),
    /// What stands for a message that cannot be read: an error.
    Malformed,
    /// A Sync of the gateway's own, behind Syncs that a COPY may have swallowed: its ReadyForQuery is not told.
    Probe,
    /// What follows a probe and is told from everything else by the tags of its answers, which are not told either.
    Mark(&'static [u8]),
}

/// The gateway finds out which Syncs a COPY has swallowed: the ReadyForQuery before the last one in front of the mark are
/// those of the client's.
#[derive(Clone, Copy, Debug)]
struct Probing {
    /// The COPY was of the extended protocol: without one of those, the target has skipped up to the probe.
    skips: bool,
    /// One of the client's Syncs was answered.
    answered: bool,
}

/// What comes of the answer to a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing more.
    Known,
    /// The target skips what follows because of the mark, and of nothing else.
    SkipsOn,
}

/// An entry of the queue.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sent: Sent,
    /// The command it belongs to; 0: none.
    pub(super) owner: u64,
    /// How many commands end with it.
    pub(super) ends: usize,
}

impl Entry {
    pub(super) fn plain(sent: Sent) -> Self {
        Self { sent, owner: 0, ends: 0 }
    }
}

/// The queue, and the commands in it in the order in which they end.
#[derive(Default)]
pub(super) struct Flight {
    entries: VecDeque<Entry>,
    pub(super) running: VecDeque<Box<Running>>,
    /// Something was sent that can change how texts are read, and the target has not been ready and idle since: only right
    /// before ReadyForQuery it tells of changed settings (from PostgreSQL 14 on), whatever has ended before. What a Sync or
    /// COMMIT itself runs (deferred triggers) is among it.
    unsettled: bool,
    /// How many of them may be stopped while they run.
    limited: usize,
    /// Something was sent since the target was last ready that a transaction's end would make last.
    touched: bool,
    /// How many of them take copy data, or may.
    copies: usize,
    /// The target skips what is sent until the next Sync, which is not in the queue yet; or would, but for a probe.
    skipping: bool,
    /// A COPY of the extended protocol may have swallowed the newest Sync, and no ReadyForQuery has come since. One of the
    /// simple protocol makes nothing skip: a Query behind it runs, and its first answer tells.
    doubts: bool,
    /// A probe is under way.
    probing: Option<Probing>,
    /// The gateway has asked for the answers so far, and nothing was sent since.
    flushed: bool,
    /// Messages of the extended protocol were sent and no Sync after them.
    open: bool,
}

impl Flight {
    /// Whether the client's pipeline is open at the target: a Sync of ours would end it.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether a command with this number, or one before it, has not ended.
    pub(super) fn runs_up_to(&self, seq: u64) -> bool {
        self.running.front().is_some_and(|first| first.seq <= seq)
    }

    pub(super) fn push(&mut self, entry: Entry) {
        match entry.sent {
            Sent::Sync { .. } | Sent::Ready => self.open = false,
            Sent::Own
            | Sent::Counts { simple: true, .. }
            | Sent::Script
            | Sent::Function(_)
            | Sent::CopyEnd => {}
            // Planning runs functions, too: those that are said not to depend on anything.
            Sent::Bind(_) => (self.open, self.unsettled) = (true, true),
            _ => self.open = true,
        }
        if let Sent::Sync { doubtful } = entry.sent {
            self.skipping = false;
            self.doubts |= doubtful && self.is_extended();
        }
        self.flushed = false;
        self.entries.push_back(entry);
    }

    /// Whether the message in front is of the extended protocol.
    fn is_extended(&self) -> bool {
        matches!(self.entries.front(), Some(Entry { sent: Sent::Execute(_), .. }))
    }

    /// Whether a Flush of the gateway's own would bring answers that the target keeps back. Says so once.
    pub(super) fn wants_flush(&mut self) -> bool {
        !std::mem::replace(&mut self.flushed, true)
    }

    /// Whether the target skips what is sent now, up to the next Sync.
    pub(super) fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Takes out what the first command may touch, to look at it.
    pub(super) fn take_limit(&mut self) -> Option<Limit> {
        let first = self.running.front_mut()?;
        let limit = first.limit.take()?;
        self.limited -= usize::from(!first.is_limited());
        Some(limit)
    }

    /// Whether a transaction's end would make something last.
    pub(super) fn is_touched(&self) -> bool {
        self.touched
    }

    /// Whether a command under way may be stopped.
    pub(super) fn is_limited(&self) -> bool {
        self.limited > 0
    }

    pub(super) fn start(&mut self, running: Box<Running>) {
        self.unsettled |= running.unsettles;
        self.copies += usize::from(running.may_copy());
        self.limited += usize::from(running.is_limited());
        self.touched |= lasts(&running.shape) || running.traced;
        self.running.push_back(running);
    }

    /// Takes out the command that ends now.
    pub(super) fn end_first(&mut self) -> Option<Box<Running>> {
        let running = self.running.pop_front()?;
        self.copies -= usize::from(running.may_copy());
        self.limited -= usize::from(running.is_limited());
        Some(running)
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        self.entries.front()
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut Entry> {
        self.entries.front_mut()
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        self.entries.pop_front()
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= IN_FLIGHT_MAX
    }

    /// Whether nothing is awaited: Syncs that may have been swallowed do not count.
    pub(super) fn is_idle(&self) -> bool {
        self.entries
            .iter()
            .all(|e| matches!(e.sent, Sent::CopyData | Sent::CopyEnd | Sent::Sync { doubtful: true }))
    }

    /// Whether an earlier pipeline has not been answered whole: something in it may still fail.
    pub(super) fn may_have_failed(&self) -> bool {
        !self.is_idle()
            && self.entries.iter().any(|e| matches!(e.sent, Sent::Ready | Sent::Sync { doubtful: false }))
    }

    /// Whether something that the target has not told of yet may have changed how texts are read.
    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// Drops what stands in front and does not get the answer `tag`: copy data and its end, Syncs that were swallowed.
    pub(super) fn make_way(&mut self, tag: u8) {
        while let Some(entry) = self.entries.front() {
            let drop = match entry.sent {
                Sent::CopyData | Sent::CopyEnd => true,
                Sent::Sync { doubtful: true } => tag != b'Z' && self.entries.len() > 1,
                _ => false,
            };
            if !drop {
                return;
            }
            self.entries.pop_front();
        }
    }

    /// The target reads copy data now: the Syncs up to its end, or up to a message that it does not take among copy data,
    /// may be swallowed.
    pub(super) fn copy_in_began(&mut self) {
        // Whatever was in doubt before: it skips nothing now.
        self.doubts = self.is_extended();
        for entry in self.entries.iter_mut().skip(1) {
            match &mut entry.sent {
                Sent::Sync { doubtful } => *doubtful = true,
                Sent::Ready | Sent::CopyData => {}
                _ => return,
            }
        }
    }

    /// Copy data goes out.
    pub(super) fn copy_data(&mut self) {
        if !matches!(self.entries.back(), Some(Entry { sent: Sent::CopyData, .. })) {
            self.entries.push_back(Entry::plain(Sent::CopyData));
        }
    }

    /// The command at the front has read all its copy data, and ended well: nothing is skipped.
    pub(super) fn copy_in_ended(&mut self) {
        self.copy_in_read(CopyRead::End);
        self.doubts = false;
    }

    /// The command at the front has read copy data that far: it has swallowed the Syncs before that.
    pub(super) fn copy_in_read(&mut self, read: CopyRead) {
        if read == CopyRead::Stranger && self.probing.take().is_some() {
            // The mark was that stranger.
            self.entries.retain(|e| !matches!(e.sent, Sent::Probe | Sent::Mark(_)));
        }
        // Data that it has read ends what is certain: a Sync behind may not have been reached.
        let known_to = |e: &Entry| match read {
            CopyRead::Data => matches!(e.sent, Sent::CopyData | Sent::CopyEnd),
            CopyRead::Stranger | CopyRead::End => matches!(e.sent, Sent::CopyEnd),
        };
        let end = self.entries.iter().position(known_to);
        let mut at = 0;
        self.entries.retain(|e| {
            let before_end = end.is_none_or(|end| at < end);
            let is_end = end == Some(at) && read == CopyRead::End;
            at += 1;
            !(is_end || before_end && matches!(e.sent, Sent::Sync { doubtful: true }))
        });
    }

    /// ReadyForQuery came: takes out what it answers. False when nothing in front is answered by it.
    pub(super) fn take_ready(&mut self) -> bool {
        self.make_way(b'Z');
        self.touched = self.running.iter().any(|running| lasts(&running.shape));
        // Whichever Sync it answers: no COPY reads any more, and the target skips nothing.
        self.doubts = false;
        match self.entries.front().map(|e| &e.sent) {
            Some(Sent::Sync { doubtful: true }) => {
                self.entries.pop_front();
                self.doubt_next_sync();
                if let Some(probing) = &mut self.probing {
                    probing.answered = true;
                }
            }
            Some(Sent::Sync { doubtful: false } | Sent::Ready) => {
                self.entries.pop_front();
            }
            None => {}
            Some(_) => return false,
        }
        self.unsettled &= !(self.is_idle() && self.running.is_empty());
        true
    }

    /// A ReadyForQuery came for a Sync that may have been swallowed: then it was the next one's, if only copy data stands
    /// between. As many as before may be without an answer.
    fn doubt_next_sync(&mut self) {
        for entry in &mut self.entries {
            match &mut entry.sent {
                Sent::Sync { doubtful: doubtful @ false } => {
                    *doubtful = true;
                    return;
                }
                Sent::Sync { .. } | Sent::CopyData | Sent::CopyEnd => {}
                _ => return,
            }
        }
    }

    /// The command to which copy data from the client belongs: the one that the target reads it for.
    pub(super) fn copy_target(&mut self) -> Option<&mut Box<Running>> {
        if self.takes_copy() { self.running.front_mut() } else { None }
    }

    /// Whether it is open to whom copy data would belong that came now: a command under way may come to take it. Not the one
    /// that the target reads it for, once anything else has gone out: that ends it.
    pub(super) fn copy_is_open(&self) -> bool {
        self.copies > 0 && !self.takes_copy() && self.running.iter().any(|r| !r.copy_done && r.may_copy())
    }

    /// Whether the newest Sync may be swallowed by a COPY, so that the target may skip what is sent now. A command must
    /// not go out then: nothing would tell whether it ran.
    pub(super) fn sync_is_in_doubt(&self) -> bool {
        if self.copies == 0 && !self.doubts {
            return false;
        }
        let newest = self.entries.iter().rposition(|e| matches!(e.sent, Sent::Sync { .. }));
        let Some(newest) = newest else { return false };
        let swallowed =
            matches!(self.entries.get(newest), Some(Entry { sent: Sent::Sync { doubtful: true }, .. }));
        if self.doubts && swallowed {
            return true;
        }
        let before =
            self.entries.range(..newest).rfind(|e| !matches!(e.sent, Sent::Sync { .. } | Sent::CopyData));
        before.is_some_and(|e| {
            let may = |r: &Running| r.seq == e.owner && !r.copy_in && r.may_copy();
            matches!(e.sent, Sent::Execute(_)) && self.running.iter().any(|r| may(r))
        })
    }

    /// Whether a Sync in the queue may be swallowed by a COPY, so that nothing tells yet whether it will be answered.
    pub(super) fn has_doubtful_sync(&self) -> bool {
        self.entries.iter().any(|e| matches!(e.sent, Sent::Sync { doubtful: true }))
    }

    /// Whether the target may read copy data, or have read over a Sync among it.
    pub(super) fn may_read_copy(&self) -> bool {
        self.copies > 0 || self.has_doubtful_sync()
    }

    /// Whether a probe is under way.
    pub(super) fn is_probing(&self) -> bool {
        self.probing.is_some()
    }

    /// Whether a probe would tell which Syncs count: nothing else is open but a COPY that reads.
    pub(super) fn may_probe(&self) -> bool {
        let reading = usize::from(self.is_reading_copy() && self.is_extended());
        let part =
            |e: &Entry| matches!(e.sent, Sent::CopyData | Sent::CopyEnd | Sent::Sync { doubtful: true });
        !self.is_probing() && self.has_doubtful_sync() && self.entries.iter().skip(reading).all(part)
    }

    /// A probe goes out, with a mark behind it whose answers have these tags.
    pub(super) fn probe(&mut self, mark: &'static [u8]) {
        self.probing = Some(Probing { skips: self.doubts, answered: false });
        self.push(Entry::plain(Sent::Probe));
        self.push(Entry::plain(Sent::Mark(mark)));
    }

    /// The probe's own ReadyForQuery came: Syncs that are still in front of it were swallowed.
    pub(super) fn probed(&mut self) {
        while let Some(entry) = self.entries.pop_front() {
            if matches!(entry.sent, Sent::Probe) {
                return;
            }
        }
    }

    /// Whether a message with this tag answers the mark, and what comes of it. With the last one all is known.
    pub(super) fn take_mark(&mut self, tag: u8) -> Option<Mark> {
        let Some(Entry { sent: Sent::Mark(tags), .. }) = self.entries.front_mut() else { return None };
        let (_, rest) = tags.split_first().filter(|(first, _)| **first == tag)?;
        *tags = rest;
        if !rest.is_empty() {
            return Some(Mark::Known);
        }
        self.entries.pop_front();
        if let Some(probing) = self.probing.take() {
            self.skipping = probing.skips && !probing.answered;
            self.doubts = false;
        }
        // A mark of the extended protocol that fails makes the target skip what follows.
        Some(if tag == b'E' && !self.skipping { Mark::SkipsOn } else { Mark::Known })
    }

    /// Messages of the gateway's own go out among those of this command: their answers have these tags.
    pub(super) fn extras(&mut self, tags: &[u8], owner: u64) {
        for tag in tags {
            self.push(Entry { sent: Sent::Extra(*tag), owner, ends: 0 });
        }
    }

    /// The answers to the gateway's own messages of this command are here, or nobody will look at them. How many Queries were
    /// among those.
    pub(super) fn take_own(&mut self, of: u64) -> u32 {
        let mut queries = 0;
        self.entries.retain(|e| {
            let own = e.owner == of && matches!(e.sent, Sent::Extra(_) | Sent::Counts { .. });
            queries += u32::from(own && matches!(e.sent, Sent::Counts { simple: true, .. }));
            !own
        });
        queries
    }

    /// The same of all commands, with Queries of the gateway's own that ask for nothing.
    pub(super) fn take_all_own(&mut self) -> u32 {
        let before = self.entries.len();
        self.entries.retain(|e| !matches!(e.sent, Sent::Counts { .. } | Sent::Own));
        u32::try_from(before - self.entries.len()).unwrap_or(u32::MAX)
    }

    /// Whether the newest thing sent is the gateway's own.
    pub(super) fn ends_with_own(&self) -> bool {
        matches!(self.entries.back(), Some(Entry { sent: Sent::Own, .. }))
    }

    /// Whether a message with this tag answers one of the gateway's own among the client's.
    pub(super) fn take_extra(&mut self, tag: u8) -> bool {
        let taken = matches!(self.entries.front(), Some(Entry { sent: Sent::Extra(of), .. }) if *of == tag);
        if taken {
            self.entries.pop_front();
        }
        taken
    }

    /// Whether the target waits for copy data now.
    pub(super) fn is_reading_copy(&self) -> bool {
        self.running.front().is_some_and(|r| r.copy_in && !r.copy_done)
    }

    /// Whether the command in front takes copy data that goes out now, and swallows a Sync, as far as the target has told:
    /// nothing before it ends the copy data.
    pub(super) fn takes_copy(&self) -> bool {
        let part = |e: &Entry| matches!(e.sent, Sent::Ready | Sent::CopyData | Sent::Sync { doubtful: true });
        self.is_reading_copy() && self.entries.iter().skip(1).all(part)
    }

    /// Whether nothing is awaited but one ReadyForQuery of a Query.
    pub(super) fn is_only_ready(&self) -> bool {
        let mut answers = self.answered();
        matches!(answers.next(), Some(Sent::Ready)) && answers.next().is_none()
    }

    /// Whether the last thing in the queue is its first Sync.
    pub(super) fn ends_with_its_sync(&self) -> bool {
        let syncs = self.entries.iter().filter(|e| matches!(e.sent, Sent::Sync { .. })).count();
        syncs == 1 && matches!(self.answered().last(), Some(Sent::Sync { .. }))
    }

    /// What was sent and has an answer: copy data and its end have none.
    fn answered(&self) -> impl Iterator<Item = &Sent> {
        self.entries.iter().map(|e| &e.sent).filter(|sent| !matches!(sent, Sent::CopyData | Sent::CopyEnd))
    }

    /// Whether the columns of this portal have been asked for.
    pub(super) fn describes(&self, portal: &Arc<Portal>) -> bool {
        let statement = portal.statement.as_ref();
        self.entries.iter().rev().any(|e| match &e.sent {
            Sent::DescribePortal(Some(it)) | Sent::DescribeUnseen(Some(it)) => Arc::ptr_eq(it, portal),
            Sent::DescribeStatement(Some(it)) => statement.is_some_and(|s| Arc::ptr_eq(it, s)),
            _ => false,
        })
    }

    /// Whether ReadyForQuery is under way without anything further being asked, and nothing else before it.
    pub(super) fn ready_follows(&self) -> bool {
        let passed =
            |e: &&Entry| matches!(e.sent, Sent::CopyData | Sent::CopyEnd | Sent::Sync { doubtful: true });
        let next = self.entries.iter().skip(1).find(|e| !passed(e));
        next.is_some_and(|e| matches!(e.sent, Sent::Ready | Sent::Sync { .. }))
    }

    /// Whether a Sync that will be answered is in the queue.
    pub(super) fn sync_follows(&self) -> bool {
        self.entries.iter().any(|e| matches!(e.sent, Sent::Sync { doubtful: false }))
    }

    /// Whether the target owes an answer that it does not keep back: it comes, unless the target hangs.
    pub(super) fn is_owed(&self) -> bool {
        let owed = |e: &Entry| {
            matches!(e.sent, Sent::Ready | Sent::Sync { doubtful: false } | Sent::Probe | Sent::Mark(_))
        };
        !self.is_reading_copy() && self.entries.iter().any(owed)
    }

    /// The target skips everything up to the next Sync: takes that out, and the commands in it. What those entries would
    /// have done to names has not happened.
    pub(super) fn skip(&mut self, names: &mut Names) -> VecDeque<Box<Running>> {
        let mut ends = 0;
        self.skipping = true;
        while let Some(entry) = self.entries.front() {
            if matches!(entry.sent, Sent::Sync { .. }) {
                self.skipping = false;
                break;
            }
            if matches!(entry.sent, Sent::Probe) {
                // The client has sent no Sync that counts, and whatever it sends next is skipped.
                break;
            }
            ends += entry.ends;
            entry.undo(names);
            self.entries.pop_front();
        }
        let rest = self.running.split_off(ends.min(self.running.len()));
        let skipped = std::mem::replace(&mut self.running, rest);
        self.copies -= skipped.iter().filter(|r| r.may_copy()).count();
        self.limited -= skipped.iter().filter(|r| r.is_limited()).count();
        skipped
    }

    /// The session ends: nothing more is awaited.
    pub(super) fn abandon(&mut self, why: AbandonReason, out: &mut Vec<Action>) {
        self.entries.clear();
        (self.copies, self.limited, self.probing) = (0, 0, None);
        out.extend(self.running.drain(..).map(|running| Action::Abandon(running.permit, why)));
    }
}

impl Entry {
    fn undo(&self, names: &mut Names) {
        match &self.sent {
            Sent::Parse(it) => names.statement_unchanged(&it.name),
            Sent::Bind(it) => names.portal_unchanged(&it.name),
            Sent::CloseStatement(name) => names.statement_unchanged(name),
            Sent::ClosePortal(name) => names.portal_unchanged(name),
            _ => {}
        }
    }
}
