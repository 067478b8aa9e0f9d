//! The rows of one transaction, gathered while the target tells them, and the entries made of them.

use firsthand_model::event::{Event, TransactionChanged, TransactionEnded, Transactional};
use firsthand_model::json::{self, Json, Object};
use firsthand_model::limits::{ROWS_CHUNK_BYTES, RecordLimits};
use firsthand_model::masking::{ColumnMask, Style};
use firsthand_session::port::MaskPlan;

use super::text::{Cell, Change, Value};

/// Tables and actions of one transaction that are told apart; rows of more are only counted.
const GROUPS_MAX: usize = 1_024;
/// Columns of a table, with those of its earlier definitions in the same transaction.
const COLUMNS_MAX: usize = 2_000;

/// Coverage fact: more rows than are kept.
const PAST_CAP: &str = "changed-rows:past-cap";
/// Coverage fact: the table's replica identity does not tell rows as they were.
const OLD_VALUES: &str = "changed-rows:old-values";
/// Coverage fact: lines that are too long are kept as far as they were read.
const WIDE: &str = "changed-rows:wide";
/// Coverage fact: values that did not change and stand outside of the row are not told.
const UNCHANGED: &str = "changed-rows:unchanged-toast";
/// Coverage fact: what would have to be masked is not known, so no value is kept.
const MASKS_UNKNOWN: &str = "changed-rows:masks-unknown";
/// Coverage fact: which rows a TRUNCATE removes is not told.
const TRUNCATE: &str = "changed-rows:truncate";

/// What a cell of a kept row is.
enum Kept {
    Is(String),
    Null,
    Unchanged,
}

type KeptRow = Vec<Option<Kept>>;

/// What was done to the rows of one table.
struct Group {
    tables: Vec<(String, String)>,
    action: &'static str,
    /// Name and type.
    columns: Vec<(String, String)>,
    rows: Vec<(Option<KeptRow>, Option<KeptRow>)>,
    count: u64,
    cut: bool,
}

/// A transaction, as far as it was told.
pub(super) struct Rows {
    limits: RecordLimits,
    groups: Vec<Group>,
    changes: u64,
    kept: u64,
    kept_bytes: u64,
    more: bool,
}

/// What is known of a table besides its rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    /// `REPLICA IDENTITY FULL`: a column that is not told of a row as it was is NULL.
    pub(super) full: bool,
    pub(super) key: Vec<String>,
    /// Names and types of all its columns, where it is full: of a row as it was, those that are NULL are not told.
    pub(super) columns: Vec<(String, String)>,
}

impl Rows {
    pub(super) fn new(limits: RecordLimits) -> Self {
        Self { limits, groups: Vec::new(), changes: 0, kept: 0, kept_bytes: 0, more: false }
    }

    /// One change. `room`: bytes that may still be kept of all transactions under way.
    pub(super) fn take(&mut self, change: Change, room: &mut usize) {
        let rows = u64::from(change.action != "truncate");
        self.changes += rows;
        let same = |g: &Group| g.action == change.action && g.tables == change.tables;
        let at = match self.groups.iter().rposition(same) {
            Some(at) => at,
            None if self.groups.len() >= GROUPS_MAX => {
                self.more = true;
                return;
            }
            None => {
                let (tables, action) = (change.tables.clone(), change.action);
                let (columns, rows) = (Vec::new(), Vec::new());
                self.groups.push(Group { tables, action, columns, rows, count: 0, cut: false });
                self.groups.len() - 1
            }
        };
        let Some(group) = self.groups.get_mut(at) else { return };
        group.count += rows;
        let of_cell = |c: &Cell| 8 + if let Value::Is(v) = &c.value { v.len() } else { 0 };
        let size: usize = change.old.iter().chain(&change.new).flatten().map(of_cell).sum();
        let full = self.kept >= self.limits.rows || self.kept_bytes + size as u64 > self.limits.bytes;
        if full || size > *room || change.action == "truncate" {
            return;
        }
        *room -= size;
        self.kept += 1;
        self.kept_bytes += size as u64;
        let (old, new) = (change.old, change.new);
        group.cut |= change.cut;
        let new = new.map(|cells| group.row(cells));
        let old = old.map(|cells| group.row(cells));
        group.rows.push((old, new));
    }

    /// The tables in it.
    pub(super) fn tables(&self) -> impl Iterator<Item = &(String, String)> {
        self.groups.iter().flat_map(|g| &g.tables)
    }

    /// The entries of the transaction, its end last. `masks` tells what is to be masked of a table's columns.
    pub(super) fn events(
        self,
        of: &Transactional,
        lsn: &str,
        spills: bool,
        identity: impl Fn(&(String, String)) -> Identity,
        masks: impl Fn(&(String, String), &[&str]) -> Option<MaskPlan>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let masks =
            |table: &(String, String), names: &[&str]| masks(table, names).map(|plan| Mask { plan, spills });
        for mut group in self.groups {
            let (identity, plan) = match group.tables.as_slice() {
                [table] => {
                    let identity = identity(table);
                    for column in identity.columns.iter().filter(|_| group.action == "delete") {
                        if !group.columns.iter().any(|(name, _)| *name == column.0) {
                            group.columns.push(column.clone());
                        }
                    }
                    let names: Vec<&str> = group.columns.iter().map(|(name, _)| name.as_str()).collect();
                    (identity, masks(table, &names))
                }
                _ => (Identity::default(), None),
            };
            group.events(of, lsn, &identity, plan, &mut events);
        }
        let ended = TransactionEnded {
            of: of.clone(),
            how: "committed",
            lsn: lsn.to_owned(),
            changes: self.changes,
            coverage: self.more.then_some(PAST_CAP).into_iter().collect(),
        };
        events.push(Event::TransactionEnded(Box::new(ended)));
        events
    }
}

impl Group {
    /// A row by this group's columns, which may become more by it.
    fn row(&mut self, cells: Vec<Cell>) -> KeptRow {
        let mut row: KeptRow = Vec::with_capacity(self.columns.len());
        for (n, Cell { name, kind, value }) in cells.into_iter().enumerate() {
            let is = |(known, of): &(String, String)| *known == name && *of == kind;
            // Most rows have the same columns in the same order.
            let at = match self.columns.get(n).filter(|c| is(c)) {
                Some(_) => n,
                None => match self.columns.iter().position(is) {
                    Some(at) => at,
                    None if self.columns.len() >= COLUMNS_MAX => {
                        self.cut = true;
                        continue;
                    }
                    None => {
                        self.columns.push((name, kind));
                        self.columns.len() - 1
                    }
                },
            };
            if row.len() <= at {
                row.resize_with(at + 1, || None);
            }
            if let Some(slot) = row.get_mut(at) {
                *slot = Some(match value {
                    Value::Is(text) => Kept::Is(text),
                    Value::Null => Kept::Null,
                    Value::Unchanged => Kept::Unchanged,
                });
            }
        }
        row
    }

    fn events(
        mut self,
        of: &Transactional,
        lsn: &str,
        identity: &Identity,
        plan: Option<Mask>,
        events: &mut Vec<Event>,
    ) {
        let rows = std::mem::take(&mut self.rows);
        let kept = if plan.is_some() { rows.len() as u64 } else { 0 };
        let withheld = plan.as_ref().is_none_or(|mask| mask.spills);
        let mut coverage = self.coverage(&rows, kept, identity, plan.is_none());
        if withheld && self.action != "truncate" && !coverage.contains(&MASKS_UNKNOWN) {
            coverage.push(MASKS_UNKNOWN);
        }
        let writer = plan.map(|plan| Writer::new(&self.columns, identity.full, plan));
        let table: Vec<String> =
            self.tables.iter().map(|(schema, name)| format!("{schema}.{name}")).collect();
        let table = table.join(", ");
        let columns = writer.as_ref().map_or_else(Json::default, |w| w.columns(identity));
        let mut piece = Piece::default();
        let mut entry = |piece: Piece, last: bool| TransactionChanged {
            of: of.clone(),
            lsn: lsn.to_owned(),
            table: table.clone(),
            action: self.action,
            first: piece.first,
            rows: piece.rows,
            count: (last && self.action != "truncate").then_some(self.count),
            coverage: if last { std::mem::take(&mut coverage) } else { Vec::new() },
            columns: columns.clone(),
            old: closed(piece.old, piece.has_old),
            new: closed(piece.new, piece.has_new),
        };
        for (old, new) in writer.iter().flat_map(|_| &rows) {
            let Some(writer) = &writer else { break };
            writer.row(&mut piece.old, old.as_ref(), true);
            writer.row(&mut piece.new, new.as_ref(), false);
            piece.has_old |= old.is_some();
            piece.has_new |= new.is_some();
            piece.rows += 1;
            if piece.old.len() + piece.new.len() >= ROWS_CHUNK_BYTES {
                let first = piece.first + piece.rows;
                let full = std::mem::replace(&mut piece, Piece { first, ..Piece::default() });
                events.push(Event::TransactionChanged(Box::new(entry(full, false))));
            }
        }
        events.push(Event::TransactionChanged(Box::new(entry(piece, true))));
    }

    fn coverage(
        &self,
        rows: &[(Option<KeptRow>, Option<KeptRow>)],
        kept: u64,
        identity: &Identity,
        blind: bool,
    ) -> Vec<&'static str> {
        if self.action == "truncate" {
            return vec![TRUNCATE];
        }
        if blind {
            return vec![MASKS_UNKNOWN];
        }
        let unchanged = |row: &KeptRow| row.iter().flatten().any(|cell| matches!(cell, Kept::Unchanged));
        let any = rows.iter().any(|(old, new)| old.iter().chain(new).any(unchanged));
        let mut coverage = Vec::new();
        coverage.extend((kept < self.count).then_some(PAST_CAP));
        coverage.extend((self.action != "insert" && !identity.full).then_some(OLD_VALUES));
        coverage.extend(self.cut.then_some(WIDE));
        coverage.extend(any.then_some(UNCHANGED));
        coverage
    }
}

/// What is to be masked in a table's rows.
struct Mask {
    plan: MaskPlan,
    /// Columns without a mask may hold masked values of others.
    spills: bool,
}

#[derive(Default)]
struct Piece {
    first: u64,
    rows: u64,
    old: Vec<u8>,
    new: Vec<u8>,
    has_old: bool,
    has_new: bool,
}

/// Writes rows as they stand in the record: masked.
struct Writer<'a> {
    columns: &'a [(String, String)],
    full: bool,
    mask: Mask,
}

impl<'a> Writer<'a> {
    fn new(columns: &'a [(String, String)], full: bool, mask: Mask) -> Self {
        Self { columns, full, mask }
    }

    fn mask(&self, at: usize) -> Option<&ColumnMask> {
        self.mask.plan.obligations.mask.columns.as_ref()?.get(at)?.as_ref()
    }

    fn row(&self, out: &mut Vec<u8>, row: Option<&KeptRow>, old: bool) {
        out.extend_from_slice(if out.is_empty() { b"[" } else { b"," });
        let Some(row) = row else {
            out.extend_from_slice(b"null");
            return;
        };
        for (at, (name, _)) in self.columns.iter().enumerate() {
            out.push(if at > 0 { b',' } else { b'[' });
            match row.get(at).and_then(Option::as_ref) {
                Some(Kept::Is(text)) => self.value(out, at, name, text),
                Some(Kept::Unchanged) => out.extend_from_slice(b"\"[unchanged-toast]\""),
                Some(Kept::Null) => out.extend_from_slice(b"null"),
                None if old && self.full => out.extend_from_slice(b"null"),
                None => out.extend_from_slice(b"\"[unread]\""),
            }
        }
        if self.columns.is_empty() {
            out.push(b'[');
        }
        out.push(b']');
    }

    /// One value; masked where a duty says so, or where something in it is found that would be.
    fn value(&self, out: &mut Vec<u8>, at: usize, name: &str, text: &str) {
        if let Some(mask) = self.mask(at) {
            match &self.mask.plan.values {
                Some(values) if mask.style == Style::Token => {
                    out.push(b'"');
                    json::write_hex(out, &values.token(&mask.label, text.as_bytes()));
                    out.push(b'"');
                }
                _ => json::write_string(out, &format!("[{}]", mask.label)),
            }
            return;
        }
        if self.mask.spills {
            return json::write_string(out, "[withheld]");
        }
        if self.mask.plan.obligations.mask.scan {
            let mut found = Vec::new();
            match &self.mask.plan.values {
                Some(values) => values.scan(text, name, &mut found),
                None => return json::write_string(out, "[unscanned]"),
            }
            if let Some(first) = found.first() {
                return json::write_string(out, &format!("[{}]", first.mask.label));
            }
        }
        json::write_string(out, text);
    }

    fn columns(&self, identity: &Identity) -> Json {
        let mut out = vec![b'['];
        for (at, (name, kind)) in self.columns.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let mut o = Object::open(&mut out);
            if identity.key.contains(name) {
                o.boolean("key", true);
            }
            if let Some(mask) = self.mask(at) {
                o.string("masked", &mask.label);
            }
            o.string("name", name);
            o.string("type", kind);
            o.close();
        }
        out.push(b']');
        Json::from_written(out)
    }
}

/// A list of rows with its end; absent where it holds none.
fn closed(mut rows: Vec<u8>, any: bool) -> Json {
    if !any {
        return Json::default();
    }
    rows.push(b']');
    Json::from_written(rows)
}
