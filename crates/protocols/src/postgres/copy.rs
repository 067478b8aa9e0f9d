//! COPY data from the client: it belongs to the command that takes it, and goes on as it comes, also in pieces.

use bytes::BytesMut;
use firsthand_wire::postgres::Frames;
use firsthand_wire::postgres::frame::HEADER_LEN;

use super::dialect::PostgresDialect;
use super::flight::{Entry, Sent};
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
        let Some(running) = self.flight.copy_target() else {
            // Nothing runs: the target passes over it.
            out.push(Action::ToServer(self.without_command(messages.freeze())));
            return;
        };
        let number = running.permit.number();
        let capture = running.capture();
        capture.passed(count, &messages);
        let mut frames = Frames::new(&messages, &self.client_rules);
        while capture.keeps()
            && let Ok(Some(frame)) = frames.next()
        {
            out.extend(capture.copy_data(frame.body).map(|piece| Action::Rows(number, piece)));
        }
        out.extend(capture.progress().map(|(rows, bytes)| Action::Progress(number, rows, bytes)));
        out.push(Action::ToServer(running.permit.forward(messages.freeze())));
    }

    /// A piece of a CopyData message that is not whole. `header`: the piece begins with it. `last`: the message ends.
    pub(super) fn copy_piece(&mut self, piece: BytesMut, header: bool, last: bool, out: &mut Vec<Action>) {
        let Some(running) = self.flight.copy_target() else {
            out.push(Action::ToServer(self.without_command(piece.freeze())));
            return;
        };
        let number = running.permit.number();
        let capture = running.capture();
        capture.passed(u64::from(last), &piece);
        let data = if header { piece.get(HEADER_LEN..).unwrap_or_default() } else { &piece[..] };
        out.extend(capture.copy_data(data).map(|piece| Action::Rows(number, piece)));
        out.extend(capture.progress().map(|(rows, bytes)| Action::Progress(number, rows, bytes)));
        out.push(Action::ToServer(running.permit.forward(piece.freeze())));
    }

    /// CopyDone or CopyFail.
    pub(super) fn copy_end(&mut self, message: BytesMut, out: &mut Vec<Action>) {
        let forward = match self.flight.copy_target() {
            Some(running) => {
                running.copy_done = true;
                running.permit.forward(message.freeze())
            }
            None => self.without_command(message.freeze()),
        };
        if !self.flight.is_idle() {
            self.flight.push(Entry::plain(Sent::CopyEnd));
        }
        out.push(Action::ToServer(forward));
    }
}
