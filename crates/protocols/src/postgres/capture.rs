//! What the record keeps of a result: a digest and counts of all of it, rendered rows up to the target's cap.
//!
//! Past the cap nothing is rendered and nothing is allocated: messages are counted and hashed, run by run.

use std::sync::Arc;

use firsthand_model::json::{self, Json};
use firsthand_model::limits::{INLINE_ROWS_BYTES_MAX, ROW_BYTES_MAX, ROWS_CHUNK_BYTES, RecordLimits};
use firsthand_model::outcome::Outcome;
use firsthand_session::RowsPiece;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::backend::DataRow;
use firsthand_wire::postgres::value::{self, Renderer};
use sha2::{Digest as _, Sha256};

use super::columns::Columns;
use super::copied::Copied;
use super::fastpath::Answer;

/// Coverage fact: more rows than the target's cap; counted and in the digest, not kept.
pub(super) const ROWS_PAST_CAP: &str = "rows-past-cap";
/// Coverage fact: rows that the record does not have, because what in them is to be masked cannot be told.
pub(super) const ROWS_WITHHELD: &str = "rows-withheld";
/// Coverage fact: rows whose columns the target was never asked to describe.
pub(super) const COLUMNS_UNKNOWN: &str = "columns-unknown";

/// Room for the first rows of a piece: most results fit.
const PIECE_ROOM: usize = 512;

/// How often a long transfer says how far it is.
pub(super) const PROGRESS_BYTES: u64 = 16 << 20;

/// What is kept of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// Rows as arrays of values.
    Rows,
    /// COPY in text format: lines as strings.
    Lines,
    /// COPY in binary format: rows as arrays of values.
    Binary,
}

/// One command's result under way.
pub(super) struct Capture {
    limits: RecordLimits,
    kept_as: Kept,
    columns: Option<Arc<Columns>>,
    columns_told: bool,
    /// Made without an allocation, unlike that of the crypto provider: every command has one.
    digest: Option<Sha256>,
    rows: u64,
    bytes: u64,
    kept: u64,
    kept_bytes: u64,
    piece: Vec<u8>,
    piece_rows: u64,
    pieces: bool,
    line: Vec<u8>,
    copied: Copied,
    past_cap: bool,
    /// A row came that is not kept: messages are no measure of that where one holds many rows.
    missed: bool,
    columns_unknown: bool,
    withheld: bool,
    told_bytes: u64,
}

impl Capture {
    pub(super) fn new(limits: RecordLimits) -> Self {
        Self {
            limits,
            kept_as: Kept::Rows,
            columns: None,
            columns_told: false,
            digest: None,
            rows: 0,
            bytes: 0,
            kept: 0,
            kept_bytes: 0,
            piece: Vec::new(),
            piece_rows: 0,
            pieces: false,
            line: Vec::new(),
            copied: Copied::default(),
            past_cap: limits.rows == 0 || limits.bytes == 0,
            missed: false,
            columns_unknown: false,
            withheld: false,
            told_bytes: 0,
        }
    }

    /// Rows with these columns follow. A piece with other columns that is under way is handed out.
    pub(super) fn rows_follow(&mut self, columns: Option<Arc<Columns>>) -> Option<RowsPiece> {
        let before = self.take_piece();
        self.columns_unknown = columns.is_none();
        (self.columns, self.columns_told, self.kept_as) = (columns, false, Kept::Rows);
        before
    }

    /// Only the values told by which rule columns were masked.
    pub(super) fn tell_masks(&mut self, rules: &[Option<Arc<str>>]) {
        if let Some(columns) = &self.columns {
            self.columns = Some(Arc::new(columns.with_masks(rules)));
        }
    }

    /// The columns of COPY data, where they are told.
    pub(super) fn copy_columns(&mut self, columns: Arc<Columns>) {
        self.columns = Some(columns);
    }

    /// Copy data follows.
    pub(super) fn copy_follows(&mut self, format: Format) {
        self.kept_as = if format == Format::Binary { Kept::Binary } else { Kept::Lines };
    }

    /// Whether rows are still rendered; otherwise [`Capture::passed`] is all there is to do.
    pub(super) fn keeps(&self) -> bool {
        !self.past_cap
    }

    /// Whether columns were ever given.
    pub(super) fn has_columns(&self) -> bool {
        self.columns.is_some() || self.columns_unknown
    }

    /// Messages that were delivered: their number, and all their bytes in order.
    pub(super) fn passed(&mut self, messages: u64, bytes: &[u8]) {
        self.rows += messages;
        self.bytes += bytes.len() as u64;
        self.digest.get_or_insert_with(Sha256::new).update(bytes);
    }

    /// Renders a row, if the cap allows. A full piece is handed out.
    pub(super) fn row(&mut self, body: &[u8]) -> Option<RowsPiece> {
        if self.kept >= self.limits.rows {
            self.pass_over();
        }
        if self.past_cap {
            return None;
        }
        let start = self.open();
        self.piece.push(b'[');
        let plain = Renderer::new(0, Format::Text);
        if let Ok(row) = DataRow::read(body) {
            for (i, value) in row.values().enumerate() {
                if i > 0 {
                    self.piece.push(b',');
                }
                let renderer = self.columns.as_ref().and_then(|c| c.renderer(i)).unwrap_or(&plain);
                renderer.render(&mut self.piece, value.ok().flatten());
            }
        }
        self.piece.push(b']');
        self.close(start)
    }

    /// The answer to a function call, as a row of one value. Where its type is not known, text is shown as it stands.
    pub(super) fn answer(&mut self, answer: Answer, value: Option<&[u8]>) {
        if value.is_some_and(|value| value.len() as u64 > self.limits.bytes) {
            self.pass_over();
        }
        if self.past_cap {
            return;
        }
        let start = self.open();
        self.piece.push(b'[');
        let format = if answer.type_oid == 0 { Format::Text } else { answer.format };
        value::render(&mut self.piece, answer.type_oid, format, value);
        self.piece.push(b']');
        // It is the only row: `finish` hands it out.
        self.keep(start);
    }

    /// Nothing more of it is kept: what would have to be masked in it cannot be told.
    pub(super) fn withhold(&mut self) {
        (self.past_cap, self.withheld) = (true, true);
    }

    /// A row too large to be held: it counts as past the cap.
    pub(super) fn row_too_large(&mut self) {
        self.pass_over();
    }

    /// A row is not kept, and none after it.
    fn pass_over(&mut self) {
        (self.past_cap, self.missed) = (true, true);
    }

    /// Renders a piece of copy data, if the cap allows. Full pieces are handed out.
    pub(super) fn copy_data(&mut self, mut data: &[u8]) -> Vec<RowsPiece> {
        let mut full = Vec::new();
        if self.past_cap {
            return full;
        }
        if self.kept_as == Kept::Binary {
            return self.copy_rows(data);
        }
        while let Some(end) = data.iter().position(|b| *b == b'\n') {
            let (line, rest) = data.split_at_checked(end + 1).unwrap_or((data, &[]));
            data = rest;
            full.extend(self.line(line.strip_suffix(b"\n").unwrap_or(line)));
            if self.past_cap {
                return full;
            }
        }
        if (self.line.len() + data.len()) as u64 > self.limits.bytes {
            self.pass_over();
            self.line = Vec::new();
        } else {
            self.line.extend_from_slice(data);
        }
        full
    }

    fn copy_rows(&mut self, data: &[u8]) -> Vec<RowsPiece> {
        let (mut copied, mut full) = (std::mem::take(&mut self.copied), Vec::new());
        let limit = self.limits.bytes;
        let fits = copied.feed(data, limit, |write| {
            full.extend(self.copied_row(write));
            !self.past_cap
        });
        if !fits {
            self.pass_over();
        }
        if !self.past_cap {
            self.copied = copied;
        }
        full
    }

    fn copied_row(&mut self, write: &dyn Fn(&mut Vec<u8>)) -> Option<RowsPiece> {
        if self.kept >= self.limits.rows {
            self.pass_over();
            return None;
        }
        let start = self.open();
        write(&mut self.piece);
        self.close(start)
    }

    fn line(&mut self, end: &[u8]) -> Option<RowsPiece> {
        if self.kept >= self.limits.rows {
            self.pass_over();
            return None;
        }
        let start = self.open();
        if self.line.is_empty() {
            json::write_lossy(&mut self.piece, end);
        } else {
            self.line.extend_from_slice(end);
            json::write_lossy(&mut self.piece, &self.line);
            self.line.clear();
        }
        self.close(start)
    }

    fn open(&mut self) -> usize {
        let start = self.piece.len();
        if start == 0 {
            self.piece.reserve(PIECE_ROOM);
        }
        self.piece.push(if start == 0 { b'[' } else { b',' });
        start
    }

    fn close(&mut self, start: usize) -> Option<RowsPiece> {
        self.keep(start);
        if self.past_cap {
            return None;
        }
        if self.piece.len() >= ROWS_CHUNK_BYTES { self.take_piece() } else { None }
    }

    /// Keeps the row that begins there, if the cap allows.
    fn keep(&mut self, start: usize) {
        let size = (self.piece.len() - start) as u64;
        if self.kept_bytes + size > self.limits.bytes || size > ROW_BYTES_MAX as u64 {
            self.piece.truncate(start);
            self.pass_over();
            return;
        }
        self.kept_bytes += size;
        self.kept += 1;
        self.piece_rows += 1;
    }

    fn take_piece(&mut self) -> Option<RowsPiece> {
        if self.piece_rows == 0 {
            return None;
        }
        self.pieces = true;
        let mut values = std::mem::take(&mut self.piece);
        values.push(b']');
        let rows = std::mem::take(&mut self.piece_rows);
        Some(RowsPiece {
            first_row: self.kept - rows,
            rows,
            columns: if std::mem::replace(&mut self.columns_told, true) {
                Json::default()
            } else {
                self.columns_json()
            },
            values: Json::from_written(values),
        })
    }

    fn columns_json(&self) -> Json {
        self.columns.as_ref().map(|c| Json::from_written(c.json().to_vec())).unwrap_or_default()
    }

    /// How far it is (rows, bytes), each time another [`PROGRESS_BYTES`] have passed.
    pub(super) fn progress(&mut self) -> Option<(u64, u64)> {
        if self.bytes - self.told_bytes < PROGRESS_BYTES {
            return None;
        }
        self.told_bytes = self.bytes;
        Some((self.rows, self.bytes))
    }

    /// Puts what is known into the outcome. What does not fit there is handed out as a last piece.
    pub(super) fn finish(mut self, outcome: &mut Outcome) -> Option<RowsPiece> {
        if !self.line.is_empty() && !self.past_cap {
            let rest = std::mem::take(&mut self.line);
            // A piece that this fills is the last one: it goes with `take_piece` below or is it.
            if let Some(full) = self.line(&rest) {
                self.into_outcome(outcome);
                return Some(full);
            }
        }
        if let Some(rest) = self.copied.rest().filter(|_| !self.past_cap)
            && let Some(full) = self.copied_row(&rest)
        {
            self.into_outcome(outcome);
            return Some(full);
        }
        outcome.rows_kept = self.kept;
        let last = if self.pieces || self.piece.len() >= INLINE_ROWS_BYTES_MAX {
            self.take_piece()
        } else {
            if self.piece_rows > 0 {
                let mut rows = std::mem::take(&mut self.piece);
                rows.push(b']');
                outcome.inline_rows = Json::from_written(rows);
            }
            None
        };
        self.into_outcome(outcome);
        last
    }

    fn into_outcome(self, outcome: &mut Outcome) {
        outcome.columns = self.columns_json();
        outcome.rows = self.rows;
        outcome.bytes = self.bytes;
        outcome.rows_kept = self.kept;
        if self.withheld && self.rows > 0 {
            outcome.coverage.push(ROWS_WITHHELD);
        } else if self.missed || self.past_cap && self.rows > self.kept {
            outcome.coverage.push(ROWS_PAST_CAP);
        }
        if self.columns_unknown && self.rows > 0 {
            outcome.coverage.push(COLUMNS_UNKNOWN);
        }
        outcome.digest = self.digest.map(|digest| digest.finalize().into());
    }
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture")
            .field("rows", &self.rows)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_no_entry_can_hold_counts_as_past_the_cap() {
        for (len, kept) in [(ROW_BYTES_MAX - 5, 1), (ROW_BYTES_MAX - 4, 0)] {
            let mut capture = Capture::new(RecordLimits { rows: 10, bytes: 64 << 20 });
            let mut row = vec![0, 1];
            row.extend((len as u32).to_be_bytes());
            row.resize(row.len() + len, b'x');
            // As much before it as a piece can hold that is not full yet.
            let before = [&[0, 1, 0, 3, 0xff, 0xf0][..], &vec![b'y'; ROWS_CHUNK_BYTES - 16]].concat();
            assert!(capture.row(&before).is_none());
            let full = capture.row(&row);
            capture.passed(2, &row);
            let mut outcome = Outcome::default();
            let last = capture.finish(&mut outcome).or(full).unwrap();
            assert!(last.values.len() <= ROWS_CHUNK_BYTES + ROW_BYTES_MAX);
            assert_eq!((outcome.rows, outcome.rows_kept), (2, 1 + kept), "{len}");
            assert_eq!(outcome.coverage.contains(&ROWS_PAST_CAP), kept == 0);
        }
    }

    #[test]
    fn one_message_may_fill_several_pieces_and_none_is_lost() {
        let limits = RecordLimits { rows: u64::MAX, bytes: 64 << 20 };
        let mut binary = b"PGCOPY\n\xff\r\n\0".to_vec();
        binary.extend([0; 8]);
        binary.extend([0u8, 1, 0, 0, 0, 1, 7].repeat(100_000));
        let text = [1, 1, 1, b'\n'].repeat(100_000);
        for (format, data) in [(Format::Text, text), (Format::Binary, binary)] {
            let mut capture = Capture::new(limits);
            capture.copy_follows(format);
            let mut pieces = capture.copy_data(&data);
            assert!(pieces.len() > 1, "{format:?}: {} pieces", pieces.len());
            let mut outcome = Outcome::default();
            pieces.extend(capture.finish(&mut outcome));
            let mut next = 0;
            for piece in &pieces {
                assert_eq!(piece.first_row, next);
                next += piece.rows;
            }
            assert_eq!((next, outcome.rows_kept), (100_000, 100_000), "{format:?}");
            assert!(outcome.coverage.is_empty());
            let mut capture = Capture::new(RecordLimits { rows: 10, ..limits });
            capture.copy_follows(format);
            capture.passed(1, &data);
            assert!(capture.copy_data(&data).is_empty());
            let mut outcome = Outcome::default();
            capture.finish(&mut outcome);
            assert_eq!((outcome.rows_kept, &*outcome.coverage), (10, &[ROWS_PAST_CAP][..]), "{format:?}");
        }
    }
}
