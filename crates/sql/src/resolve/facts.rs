//! What a walk has found, and how it becomes [`Facts`].

use std::collections::HashMap;
use std::sync::Arc;

use firsthand_model::command::{Effect, Effects};
use firsthand_model::statement::{
    Column, Derivation, Facts, Opaque, Output, OutputColumn, Relation, RelationKind,
};

use super::value::{Source, Value};
use crate::catalog::{self, Oid};

/// A relation met, by its place in [`Found::relations`].
pub(super) type Slot = usize;

#[derive(Clone, Debug)]
struct Met {
    it: Relation,
    read: bool,
    written: bool,
}

/// Found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) effects: Effects,
    opaque: Option<Opaque>,
    /// It is not only so in what changes take along.
    opaque_itself: bool,
    /// What changes take along is being looked at.
    along: bool,
    relations: Vec<Met>,
    columns: Vec<Column>,
    column_numbers: HashMap<(Oid, i16), Source>,
    functions: Vec<String>,
    pub(super) settings: Vec<String>,
    pub(super) unbounded: bool,
    /// See [`Facts::takes_along`].
    pub(super) takes_along: bool,
    /// See [`Facts::code_writes`].
    code_writes: bool,
    pub(super) output: Output,
    tested: Vec<Source>,
    copied: Vec<Source>,
}

impl Found {
    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects = self.effects.and(effect);
    }

    /// It cannot be told; the first reason stays.
    pub(super) fn opaque(&mut self, why: &'static str, what: &str) {
        self.effect(Effect::Unknown);
        self.code_writes = true;
        self.opaque_itself |= !self.along;
        self.opaque.get_or_insert_with(|| Opaque { why, what: what.to_owned() });
    }

    /// What this finds is what changes of a relation take along: none of it is called by the statement itself.
    pub(super) fn along(&mut self) -> bool {
        self.along = true;
        std::mem::take(&mut self.code_writes)
    }

    /// All of that is found. `before`: what [`Found::along`] said.
    pub(super) fn along_found(&mut self, before: bool) {
        self.along = false;
        self.takes_along |= std::mem::replace(&mut self.code_writes, before);
    }

    pub(super) fn is_opaque(&self) -> bool {
        self.opaque.is_some()
    }

    /// The statement itself is, not only what its changes take along.
    pub(super) fn is_opaque_itself(&self) -> bool {
        self.opaque_itself
    }

    pub(super) fn function(&mut self, schema: &str, name: &str) {
        if !self.calls(schema, name) {
            self.functions.push(format!("{schema}.{name}"));
        }
    }

    /// Whether a function of this name is called.
    pub(super) fn calls(&self, schema: &str, name: &str) -> bool {
        let is = |known: &String| {
            known.strip_prefix(schema).and_then(|k| k.strip_prefix('.')).is_some_and(|k| k == name)
        };
        self.functions.iter().any(is)
    }

    /// Whether this function is called and no other.
    pub(super) fn has_only_function(&self, name: &str) -> bool {
        self.functions.iter().all(|f| f == name)
    }

    /// A relation, met under this name or (empty) through another.
    pub(super) fn relation(&mut self, written: &str, it: &catalog::Relation, write: bool) -> Slot {
        let known = self.relations.iter().position(|m| m.it.oid == it.oid && m.it.name == *it.name);
        let slot = known.unwrap_or_else(|| {
            self.relations.push(Met {
                it: Relation {
                    written: written.to_owned(),
                    schema: it.schema.to_string(),
                    name: it.name.to_string(),
                    oid: if it.oid >= catalog::FIRST_LOCAL_OID { 0 } else { it.oid },
                    kind: it.relation_kind(),
                    columns: Vec::new(),
                },
                read: false,
                written: false,
            });
            self.relations.len() - 1
        });
        self.mark(slot, written, write);
        slot
    }

    /// A relation that was not found.
    pub(super) fn missing(&mut self, schema: &str, name: &str, written: &str, write: bool) -> Slot {
        let known =
            self.relations.iter().position(|m| m.it.oid == 0 && m.it.schema == schema && m.it.name == name);
        let slot = known.unwrap_or_else(|| {
            let it = Relation {
                written: written.to_owned(),
                schema: schema.to_owned(),
                name: name.to_owned(),
                ..Relation::default()
            };
            self.relations.push(Met { it, read: false, written: false });
            self.relations.len() - 1
        });
        self.mark(slot, written, write);
        slot
    }

    fn mark(&mut self, slot: Slot, written: &str, write: bool) {
        if let Some(met) = self.relations.get_mut(slot) {
            met.read |= !write;
            met.written |= write;
            if met.it.written.is_empty() {
                written.clone_into(&mut met.it.written);
            }
        }
    }

    /// A relation that another's facts know.
    fn take_relation(&mut self, it: &Relation, write: bool) {
        let known = self
            .relations
            .iter()
            .position(|m| m.it.oid == it.oid && m.it.schema == it.schema && m.it.name == it.name);
        let slot = known.unwrap_or_else(|| {
            let it = Relation { written: String::new(), columns: Vec::new(), ..it.clone() };
            self.relations.push(Met { it, read: false, written: false });
            self.relations.len() - 1
        });
        self.mark(slot, "", write);
        if let Some(met) = self.relations.get_mut(slot) {
            for column in &it.columns {
                if !met.it.columns.contains(column) {
                    met.it.columns.push(column.clone());
                }
            }
        }
    }

    /// A column of a relation in the catalog, which is used.
    pub(super) fn column(
        &mut self,
        slot: Slot,
        relation: &catalog::Relation,
        column: &catalog::Column,
    ) -> Source {
        self.uses(slot, &column.name);
        let key = (relation.oid, column.number);
        if let Some(known) = self.column_numbers.get(&key) {
            return *known;
        }
        let number = self.new_column(Column {
            schema: relation.schema.to_string(),
            relation: relation.name.to_string(),
            column: column.name.to_string(),
            labels: column.labels.clone(),
        });
        self.column_numbers.insert(key, number);
        number
    }

    fn new_column(&mut self, column: Column) -> Source {
        self.columns.push(column);
        Source::try_from(self.columns.len() - 1).unwrap_or(Source::MAX)
    }

    /// Notes a column's use with its relation.
    pub(super) fn uses(&mut self, slot: Slot, column: &str) {
        if let Some(met) = self.relations.get_mut(slot)
            && !met.it.columns.iter().any(|c| c == column)
        {
            met.it.columns.push(column.to_owned());
        }
    }

    /// A column by what it is called.
    pub(super) fn source(&mut self, column: &Column) -> Source {
        match self.columns.iter().position(|c| c == column) {
            Some(at) => Source::try_from(at).unwrap_or(Source::MAX),
            None => self.new_column(column.clone()),
        }
    }

    /// Any column of a relation that is not known well enough.
    pub(super) fn any_column(&mut self, slot: Slot, column: &str) -> Source {
        let (schema, relation) = self
            .relations
            .get(slot)
            .map_or_else(Default::default, |m| (m.it.schema.clone(), m.it.name.clone()));
        self.source(&Column { schema, relation, column: column.to_owned(), labels: Vec::new() })
    }

    /// A column of another's output, as a value here.
    pub(super) fn output_value(&mut self, of: &OutputColumn, type_oid: Oid) -> Value {
        let mut value = Value::plain(type_oid);
        let mut sources: Vec<Source> = of.sources.iter().map(|c| self.source(c)).collect();
        sources.sort_unstable();
        value.kept = match of.derivation {
            Derivation::Same => sources.clone(),
            _ => of.kept.iter().map(|c| self.source(c)).collect(),
        };
        value.kept.sort_unstable();
        value.sources = sources;
        value.how = of.derivation;
        value
    }

    pub(super) fn tests(&mut self, value: &Value) {
        for source in &value.sources {
            if !self.tested.contains(source) {
                self.tested.push(*source);
            }
        }
    }

    pub(super) fn copies(&mut self, value: &Value) {
        for source in &value.sources {
            if !self.copied.contains(source) {
                self.copied.push(*source);
            }
        }
    }

    /// Takes in what a body does; not its output.
    pub(super) fn take(&mut self, other: &Facts) {
        self.effects = self.effects.union(other.effects);
        if let Some(opaque) = &other.opaque {
            self.opaque(opaque.why, &opaque.what);
        }
        other.reads.iter().for_each(|r| self.take_relation(r, false));
        other.writes.iter().for_each(|r| self.take_relation(r, true));
        for name in &other.functions {
            if !self.functions.contains(name) {
                self.functions.push(name.clone());
            }
        }
        for setting in &other.settings {
            self.setting(setting);
        }
        for (from, to) in [(&other.tested, 0), (&other.copied, 1)] {
            for column in from {
                let source = self.source(column);
                let list = if to == 0 { &mut self.tested } else { &mut self.copied };
                if !list.contains(&source) {
                    list.push(source);
                }
            }
        }
        self.unbounded |= other.unbounded;
        // A sequence has no rows that anybody counts.
        let writes = other.writes.iter().any(|it| it.kind != RelationKind::Sequence);
        self.code_writes |= writes || other.takes_along || other.code_writes;
    }

    /// A setting whose new value is known: `name=value`, in lower case.
    pub(super) fn setting_to(&mut self, name: &str, values: &[String]) {
        let known = crate::settings::written_list(name, values);
        self.settings.retain(|s| s != name);
        self.setting(&known);
    }

    /// A setting that becomes what the session began with.
    pub(super) fn setting_reset(&mut self, name: &str) {
        self.settings.retain(|s| s != name);
        self.setting(&crate::settings::reset(name));
    }

    pub(super) fn setting(&mut self, name: &str) {
        if !self.settings.iter().any(|s| s == name) {
            self.settings.push(name.to_owned());
        }
    }

    /// What EXPLAIN only plans: nothing is written.
    pub(super) fn only_planned(&mut self) {
        for met in &mut self.relations {
            met.read |= met.written;
            met.written = false;
        }
        self.copied.clear();
        self.unbounded = false;
    }

    /// A value as an output column, of this type.
    pub(super) fn output_column(&self, name: &str, value: &Value, type_oid: Oid) -> OutputColumn {
        let sources = self.named(&value.sources);
        // What is a column itself hands it on.
        let kept = if value.how == Derivation::Same { Vec::new() } else { self.named(&value.kept) };
        OutputColumn { name: name.to_owned(), sources, derivation: value.how, kept, type_oid }
    }

    /// As [`Found::output_column`], for the catalog's origins.
    pub(super) fn origin(&self, value: &Value) -> Option<Arc<(Vec<Column>, Derivation)>> {
        let some = !value.sources.is_empty() || value.how == Derivation::Unknown;
        some.then(|| Arc::new((self.named(&value.sources), value.how)))
    }

    fn named(&self, sources: &[Source]) -> Vec<Column> {
        let mut out: Vec<Column> =
            sources.iter().filter_map(|s| self.columns.get(usize::try_from(*s).ok()?)).cloned().collect();
        out.sort();
        out.dedup();
        out
    }

    pub(super) fn finish(mut self) -> Facts {
        let tested = self.named(&self.tested);
        let copied = self.named(&self.copied);
        let mut facts = Facts {
            effects: self.effects,
            functions: std::mem::take(&mut self.functions),
            settings: std::mem::take(&mut self.settings),
            unbounded: self.unbounded,
            takes_along: self.takes_along,
            code_writes: self.code_writes,
            opaque_along: self.opaque.is_some() && !self.opaque_itself,
            opaque: self.opaque.take(),
            output: std::mem::take(&mut self.output),
            tested,
            copied,
            ..Facts::default()
        };
        for met in self.relations {
            if met.written {
                facts.writes.push(met.it.clone());
            }
            if met.read {
                facts.reads.push(met.it);
            }
        }
        facts
    }

    /// What has been found so far; it may go on.
    pub(super) fn snapshot(&mut self) -> Facts {
        let copy = Self {
            effects: self.effects,
            opaque: self.opaque.clone(),
            opaque_itself: self.opaque_itself,
            along: false,
            relations: self.relations.clone(),
            columns: self.columns.clone(),
            column_numbers: HashMap::new(),
            functions: self.functions.clone(),
            settings: self.settings.clone(),
            unbounded: self.unbounded,
            takes_along: self.takes_along,
            code_writes: self.code_writes,
            output: self.output.clone(),
            tested: self.tested.clone(),
            copied: self.copied.clone(),
        };
        copy.finish()
    }
}
