//! Duties to mask: from where a statement's columns come from, and which of those the one who asks may see.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use firsthand_model::masking::{ColumnMask, Hush, MaskDuty, Style, Written};
use firsthand_model::statement::{Column, Derivation, Facts, Output, OutputColumn, Relation};

use crate::compiled::Meta;
use crate::detect::Topic;
use crate::labels::{Columns, KnownColumn, labels_behind, labels_of};
use crate::pattern::{ColumnPattern, Pattern};
use crate::question::{Question, READ_CLEAR, Unfit};

/// A mask with the rule that asks for it.
#[derive(Clone)]
pub(crate) struct Masked {
    pub(crate) mask: ColumnMask,
    pub(crate) meta: Arc<Meta>,
}

/// What one may not see, as far as asked. Remembers its answers.
pub(crate) struct Veil<'q, 'c> {
    question: &'q mut Question<'c>,
    compiled: &'c crate::compiled::Compiled,
    columns: Option<&'c Columns>,
    answers: HashMap<Column, Option<Masked>>,
}

/// The columns of (relation oid, attribute number) that have a mask.
pub(crate) type Origins = Arc<HashMap<(u32, i16), ColumnMask>>;

/// Of several masks, the one that leaves the least.
pub(crate) fn strictest(a: Style, b: Style) -> Style {
    const ORDER: [Style; 6] =
        [Style::Null, Style::Zero, Style::Redact, Style::Token, Style::Generalise, Style::Partial];
    if ORDER.iter().position(|s| *s == a) <= ORDER.iter().position(|s| *s == b) { a } else { b }
}

/// Columns of PostgreSQL's own that hold values of any table (samples, large objects) or texts that may. The beginnings of
/// their names.
const HOLDERS: [(&str, &[&str]); 10] = [
    ("pg_stats", &["most_common_vals", "most_common_elems", "histogram_bounds"]),
    ("pg_statistic", &["stavalues"]),
    ("pg_stats_ext", &["most_common_vals"]),
    ("pg_stats_ext_exprs", &["most_common_vals", "most_common_elems", "histogram_bounds"]),
    ("pg_statistic_ext_data", &["stxdmcv", "stxdexpr"]),
    ("pg_largeobject", &["data"]),
    ("pg_attribute", &["attmissingval"]),
    ("pg_stat_activity", &["query"]),
    ("pg_stat_statements", &["query"]),
    ("pg_prepared_xacts", &["gid"]),
];

/// Whether a column may hold values of any other. For a relation as a whole: whether one of its columns may.
fn holds_values(column: &Column) -> bool {
    let name = column.column.as_str();
    let holds = |begin: &&str| {
        name.is_empty() || name.starts_with(begin) && name != "query_id" && name != "query_start"
    };
    HOLDERS.iter().any(|(relation, columns)| *relation == column.relation && columns.iter().any(holds))
}

impl<'q, 'c> Veil<'q, 'c> {
    pub(crate) fn new(
        question: &'q mut Question<'c>,
        compiled: &'c crate::compiled::Compiled,
        columns: Option<&'c Columns>,
    ) -> Self {
        Self { question, compiled, columns, answers: HashMap::new() }
    }

    /// The mask of a column with these labels; `None`: it may be seen.
    fn asked(&mut self, column: &Column, labels: &[Arc<str>]) -> Result<Option<Masked>, Unfit> {
        if !self.compiled.has_masks || labels.is_empty() && !self.compiled.masks_by_column {
            return Ok(None);
        }
        let said = self.question.column(READ_CLEAR, column, labels)?;
        if said.allowed {
            return Ok(None);
        }
        let forbids: Vec<&Arc<Meta>> = said.by.iter().filter(|m| !m.permits).collect();
        let Some(first) = forbids.first().copied() else { return Err(Unfit) };
        let style = forbids.iter().fold(first.style, |style, meta| strictest(style, meta.style));
        let label = if labels.is_empty() { "masked".to_owned() } else { labels.join("+") };
        let mask =
            ColumnMask { label: Arc::from(label), rule: Arc::clone(&first.name), style, formless: false };
        Ok(Some(Masked { mask, meta: Arc::clone(first) }))
    }

    /// The mask of a column. For a relation as a whole (no column name): of any of its columns.
    pub(crate) fn of(&mut self, column: &Column) -> Result<Option<Masked>, Unfit> {
        if !self.compiled.has_masks {
            return Ok(None);
        }
        if let Some(known) = self.answers.get(column) {
            return Ok(known.clone());
        }
        let answer = if column.column.is_empty() { self.any_of(column)? } else { self.one(column)? };
        self.answers.insert(column.clone(), answer.clone());
        Ok(answer)
    }

    fn one(&mut self, column: &Column) -> Result<Option<Masked>, Unfit> {
        let known = self.columns.and_then(|c| c.of(&column.schema, &column.relation));
        let known = known.and_then(|list| list.iter().find(|k| k.column.column == column.column));
        let mut labels: BTreeSet<Arc<str>> =
            labels_of(self.compiled, self.question.on.target, column).into_iter().collect();
        if let Some(known) = known {
            labels.extend(labels_behind(self.compiled, self.question.on.target, known));
        }
        let labels: Vec<Arc<str>> = labels.into_iter().collect();
        let mut found: Vec<Masked> = self.asked(column, &labels)?.into_iter().collect();
        if holds_values(column) {
            found.extend(self.in_reach()?);
        }
        // A mask that names the column itself holds for what is made of it, too.
        let behind = known.map(|k| k.behind.as_slice()).unwrap_or_default();
        for column in behind.iter().filter(|_| self.compiled.masks_by_column) {
            found.extend(self.asked(column, &labels)?);
        }
        Ok(together(&found))
    }

    fn any_of(&mut self, relation: &Column) -> Result<Option<Masked>, Unfit> {
        let listed = self.columns.and_then(|c| c.of(&relation.schema, &relation.relation));
        if listed.is_none() && holds_values(relation) {
            return self.in_reach();
        }
        let Some(listed) = listed else {
            // Not in the catalog: whatever a relation of its name can have.
            let labels = labels_of(self.compiled, self.question.on.target, relation);
            let mut found: Vec<Masked> = self.asked(relation, &labels)?.into_iter().collect();
            let compiled = self.compiled;
            let fits = |p: &&ColumnPattern| p.relation.matches(&relation.schema, &relation.relation);
            for pattern in compiled.mask_columns.iter().filter(fits) {
                let column = Column { column: some_name(&pattern.column), ..relation.clone() };
                found.extend(self.asked(&column, &labels)?);
            }
            return Ok(together(&found));
        };
        let mut found: Vec<Masked> = Vec::new();
        for known in listed {
            if let Some(masked) = self.of(&known.column)? {
                found.push(masked);
            }
        }
        Ok(together(&found))
    }

    /// Whether something in a relation has a mask.
    fn relation(&mut self, relation: &Relation) -> Result<Option<Masked>, Unfit> {
        let (schema, name) = (relation.schema.clone(), relation.name.clone());
        self.of(&Column { schema, relation: name, column: String::new(), labels: Vec::new() })
    }

    /// A mask of anything at all on this target.
    pub(crate) fn in_reach(&mut self) -> Result<Option<Masked>, Unfit> {
        if !self.compiled.has_masks {
            return Ok(None);
        }
        if let Some(columns) = self.columns {
            for known in columns.all().filter(|known| !holds_values(&known.column)) {
                if let Some(masked) = self.of(&known.column)? {
                    return Ok(Some(masked));
                }
            }
            return Ok(None);
        }
        let target = self.question.on.target;
        let here =
            |l: &&crate::rule::Label| l.targets.is_empty() || l.targets.iter().any(|p| p.matches(target));
        let mut labels: Vec<Arc<str>> =
            self.compiled.labels.iter().filter(here).map(|l| Arc::from(l.label.as_str())).collect();
        labels.dedup();
        if let Some(masked) = self.asked(&nowhere(), &labels)? {
            return Ok(Some(masked));
        }
        let compiled = self.compiled;
        for pattern in &compiled.mask_columns {
            let column = Column {
                schema: some_name(&pattern.relation.schema),
                relation: some_name(&pattern.relation.name),
                column: some_name(&pattern.column),
                labels: Vec::new(),
            };
            if let Some(masked) = self.asked(&column, &labels)? {
                return Ok(Some(masked));
            }
        }
        Ok(None)
    }

    /// The masks of all columns of the target, by the numbers that the server gives with its rows.
    pub(crate) fn origins(&mut self) -> Result<Origins, Unfit> {
        let mut found = HashMap::new();
        let Some(columns) = self.columns else { return Ok(Arc::new(found)) };
        for known in columns.all() {
            if let Some(masked) = self.of(&known.column)? {
                found.insert((known.oid, known.attnum), masked.mask);
            }
        }
        Ok(Arc::new(found))
    }

    /// The mask of an output column.
    fn output(&mut self, column: &OutputColumn, facts: &Facts) -> Result<Option<ColumnMask>, Unfit> {
        let mut found = Vec::new();
        for source in &column.sources {
            found.extend(self.of(source)?);
        }
        // Also where something is known of it: what a function is given is not all that it may give.
        let unknown = column.derivation == Derivation::Unknown;
        if unknown && facts.opaque.is_none() && !facts.reads.is_empty() {
            for relation in &facts.reads {
                found.extend(self.relation(relation)?);
            }
        } else if unknown {
            found.extend(self.in_reach()?);
        }
        let Some(all) = together(&found) else { return Ok(None) };
        let mut mask = all.mask;
        let single = found.iter().all(|m| m.mask == found.first().map_or(mask.clone(), |f| f.mask.clone()));
        mask.formless = column.derivation != Derivation::Same;
        mask.style = match column.derivation {
            Derivation::Clean => return Ok(None),
            Derivation::Same if single => mask.style,
            Derivation::Same
            | Derivation::Derived
            | Derivation::Mixed
            | Derivation::Row
            | Derivation::Unknown => of_mixed(mask.style),
        };
        Ok(Some(mask))
    }

    /// The mask for which a statement must not run: labelled data is in reach, and its rows cannot be told.
    pub(crate) fn unresolved(&mut self, facts: &Facts) -> Result<Option<Masked>, Unfit> {
        match facts.output {
            Output::Untold(_) => self.in_reach(),
            Output::None | Output::Columns(_) => Ok(None),
        }
    }

    /// The whole duty for a statement. Where its rows cannot be told, the columns of tables that the target names as their
    /// origins are masked, and the rest is looked through.
    pub(crate) fn duty(&mut self, facts: &Facts, origins: Origins) -> Result<MaskDuty, Unfit> {
        if !self.compiled.has_masks {
            return Ok(MaskDuty::default());
        }
        let columns = match &facts.output {
            Output::None | Output::Untold(_) => None,
            Output::Columns(columns) => {
                let mut masks = Vec::with_capacity(columns.len());
                for column in columns {
                    masks.push(self.output(column, facts)?);
                }
                Some(masks)
            }
        };
        // Rows that a write changes may come back although it asks for none: for the record.
        let gives_rows = !matches!(facts.output, Output::None) || !facts.writes.is_empty();
        let spills = self.spills(facts)?;
        let texts = self.detects()?;
        let hush = self.hush(facts, texts)?;
        let scan = gives_rows && texts;
        let written =
            if matches!(facts.output, Output::None) { self.written(facts, &origins) } else { Vec::new() };
        let origins = if gives_rows { origins } else { Origins::default() };
        let names = match &facts.output {
            Output::Columns(columns) if scan => crate::priors::of(columns, self.columns),
            _ => Vec::new(),
        };
        Ok(MaskDuty { columns, origins, scan, names, hush, spills, texts, written })
    }

    /// Which texts of the target may hold values.
    fn hush(&mut self, facts: &Facts, texts: bool) -> Result<Hush, Unfit> {
        for relation in facts.reads.iter().chain(&facts.writes) {
            if self.relation(relation)?.is_some() {
                return Ok(Hush::All);
            }
        }
        for column in facts.tested.iter().chain(&facts.copied) {
            if self.of(column)?.is_some() {
                return Ok(Hush::All);
            }
        }
        if facts.opaque.is_some() && self.in_reach()?.is_some() {
            return Ok(Hush::All);
        }
        let told = texts && facts.reads.iter().chain(&facts.writes).any(|relation| self.is_told(relation));
        Ok(if told { Hush::Data } else { Hush::Nothing })
    }

    /// Whether the names of its columns that are read or written are all that says of some values what they are.
    fn is_told(&self, relation: &Relation) -> bool {
        let tells = |column: &str| {
            let topic = Topic::of_column(column);
            !topic.is_open() && !topic.is_of_form()
        };
        if !relation.columns.is_empty() {
            return relation.columns.iter().any(|column| tells(column));
        }
        let listed = self.columns.and_then(|c| c.of(&relation.schema, &relation.name));
        listed.unwrap_or_default().iter().any(|known| tells(&known.column.column))
    }

    /// Whether what it stores may hold values in columns without a mask that are masked elsewhere.
    fn spills(&mut self, facts: &Facts) -> Result<bool, Unfit> {
        for column in &facts.copied {
            if self.of(column)?.is_some() {
                return Ok(true);
            }
        }
        // Triggers and other code may read whatever there is.
        let code = facts.functions.iter().any(|name| !name.starts_with("pg_catalog."));
        Ok((facts.opaque.is_some() || code) && self.in_reach()?.is_some())
    }

    /// The columns of what is written, with their masks.
    fn written(&self, facts: &Facts, origins: &Origins) -> Vec<Written> {
        let columns_of = |relation: &Relation| {
            let listed = self.columns.and_then(|c| c.of(&relation.schema, &relation.name));
            let mut listed: Vec<&KnownColumn> = listed.unwrap_or_default().iter().collect();
            listed.sort_by_key(|known| known.attnum);
            let mask = |known: &&KnownColumn| origins.get(&(known.oid, known.attnum)).cloned();
            let columns = listed.iter().map(|known| (known.column.column.clone(), mask(known))).collect();
            Written { columns }
        };
        facts.writes.iter().map(columns_of).collect()
    }

    /// Whether a mask that looks through unlabelled values is in force for who asks.
    pub(crate) fn detects(&mut self) -> Result<bool, Unfit> {
        Ok(!self.detecting()?.is_empty())
    }

    /// The masks that look through unlabelled values of who asks.
    pub(crate) fn detecting(&mut self) -> Result<Vec<Arc<str>>, Unfit> {
        if !self.compiled.detects {
            return Ok(Vec::new());
        }
        let anything = self.compiled.detectable.clone();
        let value = Column { column: "a value".to_owned(), ..nowhere() };
        let said = self.question.column(READ_CLEAR, &value, &anything)?;
        let detecting = said.by.iter().filter(|m| !m.permits && m.detect);
        Ok(detecting.map(|meta| Arc::clone(&meta.name)).collect())
    }
}

/// A name that matches a pattern.
fn some_name(pattern: &Pattern) -> String {
    pattern.as_str().replace('*', "")
}

/// A column of no relation.
pub(crate) fn nowhere() -> Column {
    Column { schema: String::new(), relation: String::new(), column: String::new(), labels: Vec::new() }
}

/// Several masks as one.
fn together(found: &[Masked]) -> Option<Masked> {
    let first = found.first()?;
    let labels: BTreeSet<&str> = found.iter().flat_map(|m| m.mask.label.split('+')).collect();
    let style = found.iter().fold(first.mask.style, |style, m| strictest(style, m.mask.style));
    let label = labels.into_iter().collect::<Vec<_>>().join("+");
    let mask =
        ColumnMask { label: Arc::from(label), rule: Arc::clone(&first.mask.rule), style, formless: false };
    Some(Masked { mask, meta: Arc::clone(&first.meta) })
}

/// A part of a value, or something made of it or of several: what a partial or coarse mask would leave could be what it
/// should hide, and so could a token of a part: who makes a known text in one row and the part in another reads it.
fn of_mixed(style: Style) -> Style {
    match style {
        Style::Partial | Style::Generalise | Style::Token => Style::Redact,
        Style::Redact | Style::Null | Style::Zero => style,
    }
}
