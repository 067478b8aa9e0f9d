//! COPY data from the client: it belongs to the command that takes it, and goes on as it comes, also in pieces.

use bytes::BytesMut;
use firsthand_wire::postgres::Frames;
use firsthand_wire::postgres::backend::Report;
use firsthand_wire::postgres::frame::HEADER_LEN;

use super::dialect::PostgresDialect;
use super::flight::{CopyRead, Entry, Sent};
use crate::dialect::Action;

/// Passes over the whole messages with tag `tag` that follow directly: how many. A broken header ends the run; whoever
/// looks at it next finds it.
pub(super) fn pass_run(frames: &mut Frames<'_>, tag: u8) -> u64 {
    let mut whole = frames.clone();
    if let Ok(run) = whole.skip_run(tag) {
        *frames = whole;
        return run.count;
    }
    let mut count = 0;
    loop {
        let before = frames.clone();
        match frames.next() {
            Ok(Some(frame)) if frame.tag == tag => count += 1,
            _ => {
                *frames = before;
                return count;
            }
        }
    }
}

impl PostgresDialect {
    /// Whole CopyData messages at the front of `input`: all that follow each other directly.
    pub(super) fn copy_run(&mut self, input: &mut BytesMut, out: &mut Vec<Action>) {
        let mut frames = Frames::new(input, &self.client_rules);
        let count = pass_run(&mut frames, b'd');
        let len = frames.consumed();
        let messages = input.split_to(len);
        self.flight.copy_data();
        let Some(running) = self.flight.copy_target() else {
            // Nothing that runs takes it: the target passes over it.
            out.push(Action::ToServer(self.without_command(messages.freeze())));
            return;
        };
        let number = running.permit.number();
        running.capture().passed(count, &messages);
        let mut frames = Frames::new(&messages, &self.client_rules);
        while running.capture().keeps()
            && let Ok(Some(frame)) = frames.next()
        {
            out.extend(
                running.sent_copy_data(frame.body).into_iter().map(|piece| Action::Rows(number, piece)),
            );
        }
        let capture = running.capture();
        out.extend(capture.progress().map(|(rows, bytes)| Action::Progress(number, rows, bytes)));
        out.push(Action::ToServer(running.permit.forward(messages.freeze())));
    }

    /// A piece of a CopyData message that is not whole. `header`: the piece begins with it. `last`: the message ends.
    pub(super) fn copy_piece(&mut self, piece: BytesMut, header: bool, last: bool, out: &mut Vec<Action>) {
        self.flight.copy_data();
        let Some(running) = self.flight.copy_target() else {
            out.push(Action::ToServer(self.without_command(piece.freeze())));
            return;
        };
        let number = running.permit.number();
        running.capture().passed(u64::from(last), &piece);
        let data = if header { piece.get(HEADER_LEN..).unwrap_or_default() } else { &piece[..] };
        out.extend(running.sent_copy_data(data).into_iter().map(|piece| Action::Rows(number, piece)));
        let capture = running.capture();
        out.extend(capture.progress().map(|(rows, bytes)| Action::Progress(number, rows, bytes)));
        out.push(Action::ToServer(running.permit.forward(piece.freeze())));
    }

    /// CopyDone or CopyFail.
    pub(super) fn copy_end(&mut self, message: BytesMut, out: &mut Vec<Action>) {
        let forward = match self.flight.copy_target() {
            Some(running) => {
                running.copy_done = true;
                let number = running.permit.number();
                out.extend(running.sent_copy_ends().into_iter().map(|piece| Action::Rows(number, piece)));
                let forward = running.permit.forward(message.freeze());
                self.flight.push(Entry::plain(Sent::CopyEnd));
                forward
            }
            None => self.without_command(message.freeze()),
        };
        out.push(Action::ToServer(forward));
    }

    /// What the error of a command that takes copy data shows of how far it has read. Unless it shows something, the Syncs
    /// before the end stay in doubt: it may have failed before it read any.
    pub(super) fn copy_failed(&mut self, it: &Report<'_>) {
        let Some(running) = self.flight.running.front_mut().filter(|r| r.copy_in) else { return };
        running.copy_in = false;
        // The place in PostgreSQL's source that reads copy data (it is not translated); others who speak its protocol may
        // not tell one.
        let place = it.field(b'R');
        let reading = place.is_none_or(|place| place == b"CopyGetData");
        let of_a_line = || it.field(b'W').is_some_and(tells_a_line);
        let read = match it.sqlstate() {
            b"57014" if reading => CopyRead::End,
            b"08P01" if reading => CopyRead::Stranger,
            _ if of_a_line() || place == Some(b"ReceiveCopyBinaryHeader") => CopyRead::Data,
            _ => return,
        };
        self.flight.copy_in_read(read);
    }
}

/// Whether a context is COPY's own and names a line that was read. One alone: a trigger before the statement can read a file
/// with a COPY of its own, whose context stands in front of the trigger's. In front of the first line nothing has been read.
fn tells_a_line(context: &[u8]) -> bool {
    let none = b", line 0";
    context.starts_with(b"COPY ")
        && !context.contains(&b'\n')
        && !context.windows(none.len()).any(|w| w == none)
}
