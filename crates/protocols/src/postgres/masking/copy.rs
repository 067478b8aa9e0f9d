//! COPY data toward the client: taken apart into rows and fields, masked, and put together again by the same options.
//!
//! A message of the target need not end where a row does, so what is not whole yet waits. Each message that comes makes at
//! most one that goes, with the rows that it completed.

use std::sync::Arc;

use firsthand_model::masking::{ColumnMask, MaskDuty};
use firsthand_sql::{CopyForm, CopyOptions};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::mask::{Mask, Typed};

use super::believed::Believed;
use super::found::{Named, Seen};
use super::plan::formed;
use super::{Keyed, MASKED_ROW_MAX, Tools, anything, style};
use crate::postgres::columns::Columns;
use crate::postgres::copied::{Ends, Front};

/// Why COPY data cannot be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A row is longer than can be held.
    TooLong,
    /// It is not written as its options say.
    Malformed,
}

/// A column of COPY data, as the statement and the definitions tell of it.
#[derive(Clone, Debug, Default)]
pub(super) struct CopyColumn {
    /// As the client sees it.
    pub(super) name: Box<str>,
    /// For detection.
    pub(super) names: Named,
    /// 0: not known.
    pub(super) type_oid: u32,
}

/// One COPY's masking under way.
pub(super) struct CopyMask {
    options: Arc<CopyOptions>,
    /// By field; beyond its end every field is masked.
    masks: Vec<Option<(Mask, ColumnMask)>>,
    columns: Vec<CopyColumn>,
    /// By field, of what is looked through: what the definitions say of it.
    believed: Vec<Believed>,
    scan: bool,
    /// The beginning of a row.
    pending: Vec<u8>,
    /// How far `pending` has been searched for the end of a row.
    searched: usize,
    /// Within quotes, at `searched`.
    quoted: bool,
    /// What stands before the first row is still to come.
    header: bool,
    /// Where rows end, in binary.
    ends: Ends,
    field: Vec<u8>,
    masked: Vec<u8>,
}

impl CopyMask {
    /// `count`: the columns that the target announces.
    pub(super) fn new(
        options: &Arc<CopyOptions>,
        duty: &MaskDuty,
        columns: Vec<CopyColumn>,
        count: usize,
        tools: &Tools,
    ) -> Self {
        let binary = options.form == CopyForm::Binary;
        let told: Vec<Option<ColumnMask>> = match &duty.columns {
            Some(lineage) if lineage.len() == count => lineage.clone(),
            // Without origins nothing else tells where the fields come from.
            None if duty.origins.is_empty() => vec![None; count],
            _ => vec![Some(anything()); count],
        };
        let masks = told.into_iter().enumerate().map(|(at, mask)| {
            let mask = mask?;
            let it = match columns.get(at).map_or(0, |column| column.type_oid) {
                0 => Mask::untyped(style(mask.style), &mask.label),
                // Whatever it looks like: a text that could be a document is none.
                oid => {
                    let typed = Typed { oid, modifier: -1, format: Format::Text };
                    Mask::new(style(mask.style), &mask.label, typed)
                }
            };
            Some((formed(&mask, it), mask))
        });
        let masks = masks.collect();
        Self {
            options: Arc::clone(options),
            masks,
            believed: columns.iter().map(|c| believed(c, options.form, tools)).collect(),
            columns,
            scan: duty.scan,
            pending: Vec::new(),
            searched: 0,
            quoted: false,
            header: options.header || binary,
            ends: Ends::default(),
            field: Vec::new(),
            masked: Vec::new(),
        }
    }

    /// Bytes of a row that is not whole.
    pub(super) fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Whether nothing can change.
    pub(super) fn passes_all(&self) -> bool {
        !self.scan && self.masks.iter().all(Option::is_none)
    }

    /// The columns with their rules, for the record.
    pub(super) fn told(&self) -> Columns {
        let names = (0..self.masks.len()).map(|i| self.name(i));
        let rules: Vec<_> = self.masks.iter().map(|m| m.as_ref().map(|(_, m)| Arc::clone(&m.rule))).collect();
        Columns::untold(names).with_masks(&rules)
    }

    /// Takes in data, appends the rows that it completes.
    pub(super) fn feed(&mut self, data: &[u8], tools: &mut Tools, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.pending.extend_from_slice(data);
        let pending = std::mem::take(&mut self.pending);
        let mut from = 0;
        while let Some(rest) = pending.get(from..).filter(|rest| !rest.is_empty()) {
            let end = match self.options.form {
                CopyForm::Binary => match self.ends.front(rest) {
                    Front::Mark(len) | Front::Row(len) => Some(len),
                    Front::Short => None,
                    Front::Broken => return Err(Fault::Malformed),
                },
                CopyForm::Text => {
                    let end = line_end(rest, self.searched);
                    self.searched = if end.is_some() { 0 } else { rest.len() };
                    end
                }
                CopyForm::Csv => self.csv_end(rest),
            };
            let Some(end) = end else { break };
            self.row(rest.get(..end).unwrap_or(rest), tools, out)?;
            from += end;
        }
        // Moved within its place: a row that comes in many messages is not copied again with each.
        self.pending = pending;
        self.pending.drain(..from.min(self.pending.len()));
        if self.pending.len() > MASKED_ROW_MAX {
            return Err(Fault::TooLong);
        }
        Ok(())
    }

    /// No more comes: what is left is a row without its end.
    pub(super) fn finish(&mut self, tools: &mut Tools, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.options.form == CopyForm::Binary {
            return Err(Fault::Malformed);
        }
        let rest = std::mem::take(&mut self.pending);
        self.row(&rest, tools, out)
    }

    fn row(&mut self, row: &[u8], tools: &mut Tools, out: &mut Vec<u8>) -> Result<(), Fault> {
        if std::mem::take(&mut self.header) {
            out.extend_from_slice(row);
            return Ok(());
        }
        match self.options.form {
            CopyForm::Text => self.text_row(row, tools, out),
            CopyForm::Csv => self.csv_row(row, tools, out),
            CopyForm::Binary => self.binary_row(row, tools, out),
        }
    }

    fn name(&self, index: usize) -> &str {
        self.columns.get(index).map_or("", |c| &c.name)
    }

    /// Whether a field passes as it is, by its type: as it is written, before anything is unescaped in it.
    fn passes(&self, index: usize, raw: &[u8]) -> bool {
        matches!(self.masks.get(index), Some(None))
            && (!self.scan || self.believed.get(index).is_some_and(|b| b.look(raw).is_none()))
    }

    /// Masks the field in `self.field` into `self.masked`.
    fn mask(&mut self, index: usize, tools: &mut Tools) -> Seen {
        self.masked.clear();
        match self.masks.get(index) {
            // More fields than the target announced.
            None => Seen::Null,
            Some(Some((mask, _))) => {
                let values = Arc::clone(&tools.values);
                match mask.mask(&self.field, &Keyed(&*values), &mut self.masked) {
                    true => Seen::Masked,
                    false => Seen::Null,
                }
            }
            Some(None) if self.scan => {
                let believed = self.believed.get(index).copied().unwrap_or(Believed::Anything);
                let Some(look) = believed.look(&self.field) else { return Seen::Nothing };
                match self.columns.get(index) {
                    Some(c) => tools.look_named(&look, index, &c.names, &self.field, &mut self.masked),
                    None => tools.look(&look, index, "", &self.field, &mut self.masked),
                }
            }
            Some(None) => Seen::Nothing,
        }
    }

    fn text_row(&mut self, row: &[u8], tools: &mut Tools, out: &mut Vec<u8>) -> Result<(), Fault> {
        let line = row.strip_suffix(b"\n").unwrap_or(row);
        let options = Arc::clone(&self.options);
        let delimiter = options.delimiter;
        let (mut rest, mut index) = (line, 0);
        loop {
            let end = field_end(rest, delimiter);
            let (raw, after) = rest.split_at_checked(end).ok_or(Fault::Malformed)?;
            if raw == options.null || self.passes(index, raw) {
                out.extend_from_slice(raw);
            } else {
                self.field.clear();
                unescape(raw, &mut self.field);
                match self.mask(index, tools) {
                    Seen::Nothing => out.extend_from_slice(raw),
                    Seen::Masked => escape(&self.masked, delimiter, out),
                    Seen::Null => out.extend_from_slice(&options.null),
                }
            }
            index += 1;
            match after.split_first() {
                Some((byte, after)) => {
                    out.push(*byte);
                    rest = after;
                }
                None => break,
            }
        }
        out.extend_from_slice(row.get(line.len()..).unwrap_or_default());
        self.fits(index)
    }

    /// The end of a row: a line feed outside of quotes.
    fn csv_end(&mut self, rest: &[u8]) -> Option<usize> {
        let (quote, escape) = (self.options.quote, self.options.escape);
        while let Some(byte) = rest.get(self.searched) {
            if self.quoted && *byte == escape && escape != quote {
                // With the byte behind it, which may not be here yet.
                rest.get(self.searched + 1)?;
                self.searched += 1;
            } else if *byte == quote {
                // A doubled quote ends and begins again: the same.
                self.quoted = !self.quoted;
            } else if *byte == b'\n' && !self.quoted {
                let end = self.searched + 1;
                self.searched = 0;
                return Some(end);
            }
            self.searched += 1;
        }
        None
    }

    fn csv_row(&mut self, row: &[u8], tools: &mut Tools, out: &mut Vec<u8>) -> Result<(), Fault> {
        let line = row.strip_suffix(b"\n").unwrap_or(row);
        let options = Arc::clone(&self.options);
        let (mut rest, mut index) = (line, 0);
        loop {
            self.field.clear();
            let (len, quoted) = csv_field(rest, &options, &mut self.field).ok_or(Fault::Malformed)?;
            let (raw, after) = rest.split_at_checked(len).ok_or(Fault::Malformed)?;
            if !quoted && raw == options.null {
                out.extend_from_slice(raw);
            } else {
                match self.mask(index, tools) {
                    Seen::Nothing => out.extend_from_slice(raw),
                    Seen::Masked => csv_quote(&self.masked, &options, out),
                    Seen::Null => out.extend_from_slice(&options.null),
                }
            }
            index += 1;
            match after.split_first() {
                Some((byte, after)) => {
                    out.push(*byte);
                    rest = after;
                }
                None => break,
            }
        }
        out.extend_from_slice(row.get(line.len()..).unwrap_or_default());
        self.fits(index)
    }

    /// A mask is NULL where the type of a field is not known.
    fn binary_row(&mut self, row: &[u8], tools: &mut Tools, out: &mut Vec<u8>) -> Result<(), Fault> {
        let (count, mut rest) = row.split_first_chunk::<2>().ok_or(Fault::Malformed)?;
        out.extend_from_slice(count);
        let mut index = 0;
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let size = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
            let (value, after) = after.split_at_checked(size).ok_or(Fault::Malformed)?;
            self.masked.clear();
            let seen = match self.masks.get(index) {
                Some(None) if self.scan && size > 0 => {
                    let believed = self.believed.get(index).copied().unwrap_or(Believed::Anything);
                    match (believed.look_binary(value), self.columns.get(index)) {
                        (Some(look), Some(c)) => {
                            tools.look_named(&look, index, &c.names, value, &mut self.masked)
                        }
                        (Some(look), None) => tools.look(&look, index, "", value, &mut self.masked),
                        (None, _) => Seen::Nothing,
                    }
                }
                Some(None) => Seen::Nothing,
                _ => Seen::Null,
            };
            match (seen, i32::try_from(self.masked.len())) {
                (Seen::Nothing, _) => {
                    out.extend_from_slice(length);
                    out.extend_from_slice(value);
                }
                (Seen::Masked, Ok(size)) => {
                    out.extend_from_slice(&size.to_be_bytes());
                    out.extend_from_slice(&self.masked);
                }
                _ => out.extend_from_slice(&(-1_i32).to_be_bytes()),
            }
            rest = after;
            index += 1;
        }
        match rest {
            [] if *count == [0xff; 2] => Ok(()),
            [] => self.fits(index),
            _ => Err(Fault::Malformed),
        }
    }

    /// A row has as many fields as the target announced; one without columns is an empty line.
    fn fits(&self, fields: usize) -> Result<(), Fault> {
        if fields == self.masks.len() || self.masks.is_empty() { Ok(()) } else { Err(Fault::Malformed) }
    }
}

fn believed(column: &CopyColumn, form: CopyForm, tools: &Tools) -> Believed {
    Believed::of(column.type_oid, form, column.names.tells(&*tools.values))
}

/// Behind the first line feed from there on.
fn line_end(rest: &[u8], from: usize) -> Option<usize> {
    memchr::memchr(b'\n', rest.get(from..)?).map(|at| from + at + 1)
}

/// Where a field of the text form ends: at a delimiter without a backslash in front, or with the line.
fn field_end(rest: &[u8], delimiter: u8) -> usize {
    let mut at = 0;
    while let Some(found) = rest.get(at..).and_then(|rest| memchr::memchr2(delimiter, b'\\', rest)) {
        if rest.get(at + found) == Some(&delimiter) {
            return at + found;
        }
        at += found + 2;
    }
    rest.len()
}

fn unescape(mut raw: &[u8], into: &mut Vec<u8>) {
    // Most fields hold nothing that is escaped.
    let plain = memchr::memchr(b'\\', raw).unwrap_or(raw.len());
    if let Some((before, rest)) = raw.split_at_checked(plain) {
        into.extend_from_slice(before);
        raw = rest;
    }
    while let Some((byte, rest)) = raw.split_first() {
        raw = rest;
        if *byte != b'\\' {
            into.push(*byte);
            continue;
        }
        let Some((code, rest)) = raw.split_first() else { return };
        raw = rest;
        into.push(match code {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            other => *other,
        });
    }
}

fn escape(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for byte in value {
        let code = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            byte if *byte == delimiter => *byte,
            byte => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', code]);
    }
}

/// Reads one field of CSV: its bytes as written, and whether any of it was quoted.
fn csv_field(rest: &[u8], options: &CopyOptions, into: &mut Vec<u8>) -> Option<(usize, bool)> {
    let (mut at, mut inside, mut quoted) = (0, false, false);
    while let Some(&byte) = rest.get(at) {
        let next = rest.get(at + 1).copied();
        if inside
            && byte == options.escape
            && matches!(next, Some(n) if n == options.quote || n == options.escape)
        {
            into.extend(next);
            at += 2;
            continue;
        }
        if byte == options.quote {
            (inside, quoted) = (!inside, true);
        } else if byte == options.delimiter && !inside {
            break;
        } else {
            into.push(byte);
        }
        at += 1;
    }
    (!inside).then_some((at, quoted))
}

/// Always in quotes: whether the value itself had to be would tell of it.
fn csv_quote(value: &[u8], options: &CopyOptions, out: &mut Vec<u8>) {
    out.push(options.quote);
    for byte in value {
        if *byte == options.quote || *byte == options.escape {
            out.push(options.escape);
        }
        out.push(*byte);
    }
    out.push(options.quote);
}
