//! The list added to one statement, and the rows that come back for it.

use std::sync::Arc;

use firsthand_model::id::CommandNumber;
use firsthand_model::json::{self, Json, Object};
use firsthand_model::limits::{ROW_BYTES_MAX, ROWS_CHUNK_BYTES, RecordLimits};
use firsthand_model::masking::{ColumnMask, Style};
use firsthand_model::outcome::Outcome;
use firsthand_model::target::ChangedRows;
use firsthand_session::ChangedPiece;
use firsthand_session::port::MaskPlan;
use firsthand_sql::{Action, Change, quoted};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::value::Renderer;

use super::super::columns::write_type;
use super::old::{self, Value};
use super::table::{COLUMNS_MAX, Column, Table};
use super::{FETCHED, messages};
use crate::dialect;

/// Coverage fact: no key tells the rows apart; all columns stand for it.
const NO_KEY: &str = "changed-rows:no-key";
/// Coverage fact: the role may not read all columns (or not the key).
const NO_SELECT: &str = "changed-rows:no-select";
/// Coverage fact: the changes in the WITH clause are not told.
const CTE: &str = "changed-rows:cte";
/// Coverage fact: the values before an update are not read.
const OLD_VALUES: &str = "changed-rows:old-values";
/// Coverage fact: more rows than are kept.
const PAST_CAP: &str = "changed-rows:past-cap";
/// Coverage fact: values that are too large were not asked for.
const WIDE: &str = "changed-rows:wide";
/// Coverage fact: the target answers for another table than the one that was asked for.
const DOUBTFUL: &str = "changed-rows:doubtful";

/// The list added to a statement.
#[derive(Debug)]
pub(in super::super) struct Added {
    pub(super) table: Table,
    action: &'static str,
    /// Where its values stand in the record.
    removes: bool,
    /// The statement has a list of its own.
    pub(super) own: bool,
    /// The columns of the rows.
    pub(super) columns: Vec<Column>,
    /// What was added: the table a row is in, if all of that may be read; the row; the row as it was, if that is read.
    items: Vec<String>,
    /// The last item is the row as it was.
    old: bool,
    coverage: Vec<&'static str>,
}

impl Added {
    /// The list for a change of this table; or why there can be none.
    pub(super) fn plan(change: &Change, table: Table, kept: ChangedRows) -> Result<Self, &'static str> {
        Self::up_to(change, table, kept, old::ROW_BYTES_MAX)
    }

    /// The same, where a row's values take at most so many bytes.
    pub(super) fn up_to(
        change: &Change,
        table: Table,
        kept: ChangedRows,
        row_bytes: usize,
    ) -> Result<Self, &'static str> {
        if let Some(why) = table.why {
            return Err(why);
        }
        let mut coverage = Vec::new();
        let has_key = table.columns.iter().any(|c| c.key);
        if table.columns.iter().any(|c| c.key && !c.readable) {
            return Err(NO_SELECT);
        }
        let all = (kept == ChangedRows::Values && table.columns.len() <= COLUMNS_MAX) || !has_key;
        let columns: Vec<Column> =
            table.columns.iter().filter(|c| c.readable && (all || c.key)).cloned().collect();
        if columns.is_empty() || columns.len() > COLUMNS_MAX {
            return Err(NO_SELECT);
        }
        if all && columns.len() < table.columns.len() {
            coverage.push(NO_SELECT);
        }
        if !has_key {
            coverage.push(NO_KEY);
        }
        if change.nested {
            coverage.push(CTE);
        }
        let mut items = Vec::with_capacity(3);
        if table.whole {
            items.push(format!("{}.tableoid", quoted(change.qualifier())));
        }
        items.push(old::row(change.qualifier(), &columns, row_bytes));
        let mut old = None;
        if kept == ChangedRows::Values && (change.action == Action::Update || change.upserts) {
            old = old::subquery(change, &table, &columns, row_bytes);
            coverage.extend(old.is_none().then_some(OLD_VALUES));
        }
        let (has_old, removes, own) = (old.is_some(), change.action == Action::Delete, change.returns);
        items.extend(old);
        let action = if change.upserts { "upsert" } else { change.action.word() };
        Ok(Self { table, action, removes, own, columns, items, old: has_old, coverage })
    }

    /// The list, for the text.
    pub(super) fn items(&self) -> &[String] {
        &self.items
    }

    /// Whether it holds nothing but ASCII: then it is the same in whatever encoding.
    pub(super) fn is_ascii(&self) -> bool {
        self.items.iter().all(|item| item.is_ascii())
    }

    /// How many columns were added.
    pub(super) fn count(&self) -> usize {
        self.items.len()
    }
}

/// What becomes of one command's changed rows.
pub(in super::super) enum Changed {
    /// They are not told: why.
    Untold(&'static str),
    /// They come with the answer.
    Told(Box<Told>),
}

/// The changed rows of one command under way.
pub(in super::super) struct Told {
    pub(super) added: Arc<Added>,
    /// How the columns' values are read, which come as text.
    renderers: Vec<Renderer>,
    /// What stands in place of a column's values.
    masks: Vec<Option<ColumnMask>>,
    limits: RecordLimits,
    plan: MaskPlan,
    rows: u64,
    kept: u64,
    kept_bytes: u64,
    piece: Vec<u8>,
    old_piece: Vec<u8>,
    old_missing: bool,
    piece_rows: u64,
    past_cap: bool,
    doubtful: bool,
    wide: bool,
    /// Not all rows were fetched: the portal was left in the middle.
    pub(super) suspended: bool,
}

impl Told {
    pub(super) fn new(added: Arc<Added>, limits: RecordLimits, plan: MaskPlan) -> Self {
        let renderers = added.columns.iter().map(|c| Renderer::new(c.type_oid, Format::Text)).collect();
        let origins = &plan.obligations.mask.origins;
        let masks =
            added.columns.iter().map(|c| origins.get(&(added.table.oid, c.number)).cloned()).collect();
        Self {
            added,
            renderers,
            masks,
            limits,
            plan,
            rows: 0,
            kept: 0,
            kept_bytes: 0,
            piece: Vec::new(),
            old_piece: Vec::new(),
            old_missing: false,
            piece_rows: 0,
            past_cap: limits.rows == 0 || limits.bytes == 0,
            doubtful: false,
            wide: false,
            suspended: false,
        }
    }

    /// A row that is too large to be held.
    pub(super) fn row_too_large(&mut self) {
        self.rows += 1;
        self.past_cap = true;
    }

    /// A row of the answer. A full piece is handed out.
    pub(super) fn row(&mut self, body: &[u8]) -> Option<ChangedPiece> {
        self.rows += 1;
        if self.kept >= self.limits.rows {
            self.past_cap = true;
        }
        if self.past_cap {
            return None;
        }
        let mut values = messages::added_values(body, self.added.count())?;
        let old = if self.added.old { values.pop() } else { None };
        let row = values.pop().flatten().and_then(|written| old::values(written, &self.added.columns));
        let Some(row) = row else {
            (self.doubtful, self.past_cap) = (true, true);
            return None;
        };
        if let Some(place) = values.pop() {
            let oid = place.and_then(|oid| std::str::from_utf8(oid).ok()).and_then(|oid| oid.parse().ok());
            // Partitions and children are tables of their own.
            if self.added.table.alone && oid != Some(self.added.table.oid) {
                // Another table's values: what would have to be masked in them is not known.
                (self.doubtful, self.past_cap) = (true, true);
                return None;
            }
        }
        let (start, old_start) = (self.piece.len(), self.old_piece.len());
        let mut piece = std::mem::take(&mut self.piece);
        self.write_row(&mut piece, &row);
        self.piece = piece;
        if let Some(old) = old {
            self.write_old(old.and_then(|written| old::values(written, &self.added.columns)));
        }
        let size = (self.piece.len() - start + self.old_piece.len() - old_start) as u64;
        if self.kept_bytes + size > self.limits.bytes || size > ROW_BYTES_MAX as u64 {
            self.piece.truncate(start);
            self.old_piece.truncate(old_start);
            self.past_cap = true;
            return None;
        }
        self.kept_bytes += size;
        self.kept += 1;
        self.piece_rows += 1;
        (self.piece.len() + self.old_piece.len() >= ROWS_CHUNK_BYTES).then(|| self.take(None))
    }

    /// The row as it was, or `null` where that was not read.
    fn write_old(&mut self, values: Option<Vec<Value>>) {
        let mut piece = std::mem::take(&mut self.old_piece);
        match values {
            Some(values) => self.write_row(&mut piece, &values),
            None => {
                self.old_missing = true;
                piece.extend_from_slice(if piece.is_empty() { b"[null" } else { b",null" });
            }
        }
        self.old_piece = piece;
    }

    fn write_row(&mut self, out: &mut Vec<u8>, values: &[Value]) {
        out.extend_from_slice(if out.is_empty() { b"[[" } else { b",[" });
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            match value {
                Value::Is(value) => self.value(out, i, value.as_deref()),
                Value::Wide => {
                    self.wide = true;
                    out.extend_from_slice(b"\"[wide]\"");
                }
            }
        }
        out.push(b']');
    }

    /// One value; masked where a duty says so, or where something in it is found that would be.
    fn value(&self, out: &mut Vec<u8>, at: usize, value: Option<&[u8]>) {
        let (Some(column), Some(renderer), Some(bytes)) =
            (self.added.columns.get(at), self.renderers.get(at), value)
        else {
            out.extend_from_slice(b"null");
            return;
        };
        if let Some(mask) = self.masks.get(at).and_then(Option::as_ref) {
            match &self.plan.values {
                Some(values) if mask.style == Style::Token => {
                    out.push(b'"');
                    json::write_hex(out, &values.token(&mask.label, bytes));
                    out.push(b'"');
                }
                _ => json::write_string(out, &format!("[{}]", mask.label)),
            }
            return;
        }
        let start = out.len();
        renderer.render(out, value);
        if self.plan.obligations.mask.scan {
            let rendered = String::from_utf8_lossy(out.get(start..).unwrap_or_default()).into_owned();
            let mut found = Vec::new();
            match &self.plan.values {
                Some(values) => values.scan(rendered.trim_matches('"'), &column.name, &mut found),
                None => return withhold(out, start, "unscanned"),
            }
            if let Some(first) = found.first() {
                withhold(out, start, &first.mask.label);
            }
        }
    }

    pub(super) fn take(&mut self, count: Option<u64>) -> ChangedPiece {
        let values = closed(std::mem::take(&mut self.piece));
        let before = closed(std::mem::take(&mut self.old_piece));
        let number = std::mem::take(&mut self.piece_rows);
        let (old, new) = if self.added.removes { (values, before) } else { (before, values) };
        let mut coverage = Vec::new();
        if count.is_some() {
            coverage.clone_from(&self.added.coverage);
            coverage.extend((self.rows > self.kept).then_some(PAST_CAP));
            coverage.extend(self.old_missing.then_some(OLD_VALUES));
            coverage.extend(self.wide.then_some(WIDE));
            coverage.extend(self.suspended.then_some(FETCHED));
            coverage.extend(self.doubtful.then_some(DOUBTFUL));
        }
        ChangedPiece {
            table: format!("{}.{}", self.added.table.schema, self.added.table.name),
            action: self.added.action,
            how: "returning",
            first: self.kept - number,
            rows: number,
            count,
            coverage,
            columns: self.columns_json(),
            old,
            new,
        }
    }

    fn columns_json(&self) -> Json {
        let mut out = Vec::with_capacity(self.added.columns.len() * 40 + 2);
        out.push(b'[');
        for (i, column) in self.added.columns.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            let mut o = Object::open(&mut out);
            if column.key {
                o.boolean("key", true);
            }
            if let Some(mask) = self.masks.get(i).and_then(Option::as_ref) {
                o.string("masked", &mask.label);
            }
            o.string("name", &column.name);
            write_type(o.key("type"), column.type_oid);
            o.close();
        }
        out.push(b']');
        Json::from_written(out)
    }
}

/// What stands in place of a value in which something was found.
fn withhold(out: &mut Vec<u8>, start: usize, label: &str) {
    out.truncate(start);
    json::write_string(out, &format!("[{label}]"));
}

/// A list of rows with its end.
fn closed(mut rows: Vec<u8>) -> Json {
    if !rows.is_empty() {
        rows.push(b']');
    }
    Json::from_written(rows)
}

impl Changed {
    pub(super) fn told(&mut self) -> Option<&mut Told> {
        match self {
            Self::Told(told) => Some(told),
            Self::Untold(_) => None,
        }
    }

    /// Whether its rows were asked for by the gateway alone: none of them goes to the client.
    pub(in super::super) fn is_unseen(&self) -> bool {
        matches!(self, Self::Told(told) if !told.added.own)
    }

    /// The command has ended: what is left of its rows, before its outcome. Of a failed command nothing stays changed.
    pub(in super::super) fn finish(
        self,
        number: CommandNumber,
        outcome: &mut Outcome,
        out: &mut Vec<dialect::Action>,
    ) {
        match self {
            _ if outcome.code.is_some() => {}
            Self::Untold(why) => outcome.coverage.push(why),
            Self::Told(mut told) => {
                let rows = told.rows;
                told.suspended = outcome.suspended;
                out.push(dialect::Action::Changed(number, told.take(Some(rows))));
            }
        }
    }
}
