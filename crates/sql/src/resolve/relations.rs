//! Relations: found by name, and what reading or writing them brings along (views, row security, triggers, defaults).

use std::rc::Rc;
use std::sync::Arc;

use firsthand_model::command::Effect;
use firsthand_model::statement::{Column, Facts, Output};
use pg_query::protobuf::{self, node::Node as NodeEnum};

use super::builtin;
use super::facts::Slot;
use super::from::{Columns, Rows, Scope, Table, alias_columns, aliased};
use super::value::{Field, Value, oid};
use super::{Kind, Resolver, naming};
use crate::catalog::{Oid, PG_CATALOG, Relation, Trigger};

/// Changes of data, by what they do to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Insert,
    Update,
    Delete,
    Truncate,
}

impl Change {
    const fn bit(self) -> i16 {
        match self {
            Self::Insert => Trigger::INSERT,
            Self::Update => Trigger::UPDATE,
            Self::Delete => Trigger::DELETE,
            Self::Truncate => Trigger::TRUNCATE,
        }
    }

    const fn rule_event(self) -> u8 {
        match self {
            Self::Update => 2,
            Self::Insert => 3,
            Self::Delete => 4,
            Self::Truncate => 0,
        }
    }
}

impl Resolver<'_> {
    /// The relation of that name.
    pub(super) fn find_relation(&mut self, schema: Option<&str>, name: &str) -> Option<Arc<Relation>> {
        if !self.path.is_certain() && schema.is_none() {
            self.found.opaque("search-path", name);
        }
        match schema {
            Some("pg_temp") => self.catalog.relation_in(self.path.temporary(), name).cloned(),
            Some(schema) => self.catalog.relation(schema, name).cloned(),
            None => self.path.all().find_map(|s| self.catalog.relation_in(s, name)).cloned(),
        }
    }

    /// A relation by name, noted as read or written; what reading it brings along is followed.
    pub(super) fn named_relation(
        &mut self,
        schema: Option<&str>,
        name: &str,
        written: &str,
        write: bool,
    ) -> (Slot, Option<Arc<Relation>>) {
        let Some(relation) = self.find_relation(schema, name) else {
            self.found.opaque("relation", name);
            return (self.found.missing(schema.unwrap_or_default(), name, written, write), None);
        };
        let slot = self.found.relation(written, &relation, write);
        (slot, Some(relation))
    }

    /// A relation of PostgreSQL's own.
    pub(super) fn system_relation(&mut self, name: &str) {
        if let Some(relation) = self.catalog.relation_in(PG_CATALOG, name) {
            self.found.relation("", relation, false);
        }
    }

    /// A relation in FROM, or the target of a change (`target`: its rows are not read by naming it).
    pub(super) fn relation_table(&mut self, it: &protobuf::RangeVar, target: bool) -> Table {
        let schema = Some(it.schemaname.as_str()).filter(|s| !s.is_empty());
        let written = written_name(it);
        let (slot, relation) = self.named_relation(schema, &it.relname, &written, target);
        let name: Rc<str> =
            it.alias.as_ref().map_or_else(|| Rc::from(&*it.relname), |a| Rc::from(&*a.aliasname));
        let Some(relation) = relation else {
            return Table { name, columns: Columns::Open, slot: Some(slot), row_type: 0 };
        };
        if it.inh {
            self.children(&relation, target);
        }
        let row_type = relation.row_type;
        let view = self.reading(&relation, target);
        let columns = match view {
            Some(fields) => {
                let table = aliased(Rows { fields, open: false }, it.alias.as_ref(), &it.relname);
                table.columns
            }
            None if matches!(relation.kind, b'v' | b'm') && !relation.is_system() => Columns::Open,
            None => Columns::Of(relation, alias_columns(it.alias.as_ref())),
        };
        Table { name, columns, slot: Some(slot), row_type }
    }

    /// Partitions and tables that inherit.
    fn children(&mut self, relation: &Relation, write: bool) {
        for child in self.catalog.descendants(relation.oid) {
            if let Some(child) = self.catalog.relation_by_oid(child).cloned() {
                self.found.relation("", &child, write);
                self.planning_runs(&child);
                if child.kind == b'f' {
                    self.found.effect(Effect::System);
                }
            }
        }
    }

    /// What reading a relation brings along; a view's columns.
    fn reading(&mut self, relation: &Arc<Relation>, target: bool) -> Option<Vec<Field>> {
        self.policies(relation);
        self.planning_runs(relation);
        for column in &relation.columns {
            // `column = '(1,x)'` reads the text as a row, and `lag(column, 1, 'x')` as a value of its domain.
            if self.is_made_in_passing(column.type_oid) {
                self.type_checks(column.type_oid);
            }
        }
        for rule in relation.rules.iter().filter(|r| r.event == 1) {
            self.rule(&rule.text);
        }
        match relation.kind {
            // Another server, or a file or program of this one.
            b'f' => self.found.effect(Effect::System),
            b't' => {
                if let Some(of) = self.catalog.relation_by_oid(relation.toast_of).cloned() {
                    self.found.relation("", &of, false);
                }
            }
            b'v' | b'm' if relation.is_system() => {
                builtin::behind(&relation.name).iter().for_each(|name| self.system_relation(name));
                if builtin::reads_files(&relation.name) && &*relation.schema == "pg_catalog" {
                    self.found.effect(Effect::System);
                }
            }
            b'v' | b'm' => return self.view(relation, target),
            _ => {}
        }
        None
    }

    /// A view's columns. A materialized view's query does not run when it is read, but tells where its data come from.
    fn view(&mut self, relation: &Arc<Relation>, target: bool) -> Option<Vec<Field>> {
        let facts = self.view_facts(relation)?;
        if relation.kind == b'm' {
            let lineage = Facts { reads: facts.reads.clone(), ..Facts::default() };
            self.found.take(&lineage);
            if facts.opaque.is_some() {
                // What filled it is not known, but reading it runs nothing.
                let fields = relation.columns.iter();
                return Some(fields.map(|c| (Rc::from(&*c.name), Value::unknown(c.type_oid))).collect());
            }
        } else {
            self.found.take(&facts);
        }
        if target {
            // A change through a view is a change of what is below it.
            let before = self.found.along();
            let below = Facts { writes: facts.reads.clone(), ..Facts::default() };
            self.found.take(&below);
            self.found.along_found(before);
        }
        let Output::Columns(columns) = &facts.output else { return None };
        let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            let own = relation.columns.get(at);
            let mut value = self.found.output_value(column, own.map_or(0, |c| c.type_oid));
            let labels = own.map(|c| c.labels.as_slice()).unwrap_or_default();
            if let (false, Some(own)) = (labels.is_empty(), own) {
                // A label on the view's own column counts too.
                let source = self.found.source(&Column {
                    schema: relation.schema.to_string(),
                    relation: relation.name.to_string(),
                    column: own.name.to_string(),
                    labels: labels.to_vec(),
                });
                value.take(&Value::column(0, source));
            }
            let name = own.map_or_else(|| column.name.as_str(), |c| &*c.name);
            fields.push((Rc::from(name), value));
        }
        Some(fields)
    }

    /// A view's query runs.
    pub(super) fn read_view(&mut self, view: &Arc<Relation>) {
        self.view(view, false);
    }

    /// Expressions of a relation's indexes run when they are built or filled anew.
    pub(super) fn index_expressions(&mut self, relation: &Arc<Relation>) {
        if !relation.index_expressions.is_empty() || key_texts(relation).next().is_some() {
            self.written_expressions(relation);
        }
    }

    fn view_facts(&mut self, relation: &Arc<Relation>) -> Option<Arc<Facts>> {
        if let Some(facts) = self.catalog.session_views.get(&relation.oid) {
            return Some(Arc::clone(facts));
        }
        let text = relation.query.clone()?;
        let path = self.state.plain_path(self.catalog);
        let run = self.runs_in.fingerprint();
        Some(self.body((Kind::View, relation.oid, run), path, move |inner| {
            let parsed = pg_query::parse(&text, 0).ok().and_then(|p| p.protobuf.stmts.into_iter().next());
            match parsed.and_then(|raw| raw.stmt).and_then(|node| node.node) {
                Some(NodeEnum::SelectStmt(select)) => {
                    let rows = inner.select(&select);
                    inner.output(&rows);
                }
                _ => inner.found.opaque("unparsed", ""),
            }
        }))
    }

    /// Conditions of row security run for whoever is not exempt, and who is may change.
    fn policies(&mut self, relation: &Arc<Relation>) {
        if !relation.row_security || relation.policies.is_empty() {
            return;
        }
        let it = Arc::clone(relation);
        let path = self.state.plain_path(self.catalog);
        let run = self.runs_in.fingerprint();
        let facts = self.body((Kind::Policies, relation.oid, run), path, move |inner| {
            let scope = inner.scope_of(&it);
            inner.scopes.push(scope);
            it.policies.iter().for_each(|text| drop(inner.expression_text(text)));
        });
        self.found.take(&without_tests(&facts));
    }

    /// A scope with one relation's columns, for expressions about it.
    pub(super) fn scope_of(&mut self, relation: &Arc<Relation>) -> Scope {
        let slot = self.found.relation("", relation, false);
        Scope::of(Table {
            name: Rc::from(&*relation.name),
            columns: Columns::Of(Arc::clone(relation), Vec::new()),
            slot: Some(slot),
            row_type: relation.row_type,
        })
    }

    /// What a change of a relation's rows brings along: triggers, rules, defaults, checks, expressions of indexes, and what
    /// foreign keys do to other tables.
    /// `defaults`: the columns that get their default.
    pub(super) fn writing(&mut self, relation: &Arc<Relation>, change: Change, defaults: &[String]) {
        if self.planning {
            return;
        }
        let before = self.found.along();
        for function in relation.triggers.iter().filter(|t| t.bits & change.bit() != 0).map(|t| t.function) {
            self.run_oid(function, "trigger", &relation.name);
        }
        for rule in relation.rules.iter().filter(|r| r.event == change.rule_event()) {
            self.rule(&rule.text);
        }
        self.writing_below(relation, change);
        // Its triggers, rules and defaults are not those of the snapshot.
        if relation.doubtful {
            self.found.opaque("relation", &relation.name);
        }
        self.found.takes_along |= relation.kind == b'v';
        self.found.along_found(before);
        if relation.kind == b'f' {
            self.found.effect(Effect::System);
        }
        if relation.is_system() && &*relation.name == "pg_settings" {
            self.found.effect(Effect::Session);
            self.found.opaque("function", "pg_catalog.set_config");
        }
        let stores = matches!(change, Change::Insert | Change::Update);
        if stores {
            self.given_defaults(relation, defaults);
            self.written_expressions(relation);
            self.keys_above(relation);
            for child in self.catalog.descendants(relation.oid) {
                // Most have what the table above them has.
                let more = |it: &Arc<Relation>| {
                    written_texts(it).any(|text| written_texts(relation).all(|own| own != text))
                };
                if let Some(child) = self.catalog.relation_by_oid(child).filter(|it| more(it)).cloned() {
                    self.written_expressions(&child);
                }
            }
        }
        let before = self.found.along();
        self.referencing(relation, change);
        for child in self.catalog.descendants(relation.oid) {
            if let Some(child) = self.catalog.relation_by_oid(child).cloned() {
                for function in
                    child.triggers.iter().filter(|t| t.bits & change.bit() != 0).map(|t| t.function)
                {
                    self.run_oid(function, "trigger", &child.name);
                }
                self.referencing(&child, change);
            }
        }
        self.found.along_found(before);
    }

    /// A change through a view is one of the tables below it, unless a trigger of its own takes its place. Which of their columns get
    /// their default is not followed through the view: any may.
    fn writing_below(&mut self, relation: &Arc<Relation>, change: Change) {
        let instead =
            relation.triggers.iter().any(|t| t.bits & change.bit() != 0 && t.bits & Trigger::INSTEAD != 0);
        if relation.kind != b'v' || relation.is_system() || instead {
            return;
        }
        let Some(facts) = self.view_facts(relation) else { return };
        for below in &facts.reads {
            let table = self.catalog.relation_by_oid(below.oid).cloned();
            let Some(table) = table.filter(|it| matches!(it.kind, b'r' | b'p' | b'f')) else { continue };
            let any: Vec<String> = table.columns.iter().map(|column| column.name.to_string()).collect();
            self.writing(&table, change, &any);
        }
    }

    /// The defaults of these columns run. What a sequence gives for them belongs to the write, as that of an identity column does.
    fn given_defaults(&mut self, relation: &Arc<Relation>, names: &[String]) {
        let named = |c: &&crate::catalog::Column| !c.generated && names.iter().any(|name| **name == *c.name);
        for column in relation.columns.iter().filter(named) {
            let default = column.default.clone().or_else(|| self.default_of_domain(column.type_oid));
            let Some(text) = default else { continue };
            let path = self.state.plain_path(self.catalog);
            let run = self
                .runs_in
                .fingerprint()
                .wrapping_mul(31)
                .wrapping_add(u64::from(column.number.cast_unsigned()));
            let facts = self.body((Kind::Default, relation.oid, run), path, move |inner| {
                inner.of_default = true;
                let values = inner.expression_text(&text);
                values.iter().for_each(|value| inner.found.copies(value));
            });
            self.take_written(relation, &facts);
        }
    }

    /// What runs with every row that is stored: generated columns, checks, expressions of indexes and of a partition's key.
    fn written_expressions(&mut self, relation: &Arc<Relation>) {
        relation.columns.iter().for_each(|c| self.type_checks(c.type_oid));
        if written_texts(relation).next().is_none() {
            return;
        }
        let it = Arc::clone(relation);
        let path = self.state.plain_path(self.catalog);
        let run = self.runs_in.fingerprint();
        let facts = self.body((Kind::Written, relation.oid, run), path, move |inner| {
            let scope = inner.scope_of(&it);
            inner.scopes.push(scope);
            for text in it.columns.iter().filter(|c| c.generated).filter_map(|c| c.default.as_ref()) {
                let values = inner.expression_text(text);
                values.iter().for_each(|value| inner.found.copies(value));
            }
            for text in it.checks.iter().chain(&it.index_expressions).chain(key_texts(&it)) {
                inner.expression_text(text);
            }
        });
        self.take_written(relation, &facts);
    }

    /// A row of a partition must fit all that it is a partition of, and one that no longer does goes elsewhere: the keys are
    /// worked out for it.
    fn keys_above(&mut self, relation: &Arc<Relation>) {
        let mut waiting = relation.parents.clone();
        let mut seen: Vec<Oid> = vec![relation.oid];
        while let Some(oid) = waiting.pop() {
            if seen.contains(&oid) {
                continue;
            }
            seen.push(oid);
            let Some(above) = self.catalog.relation_by_oid(oid).cloned() else { continue };
            waiting.extend(&above.parents);
            if key_texts(&above).next().is_none() {
                continue;
            }
            let it = Arc::clone(&above);
            let path = self.state.plain_path(self.catalog);
            let run = self.runs_in.fingerprint();
            let facts = self.body((Kind::PartitionKey, above.oid, run), path, move |inner| {
                let scope = inner.scope_of(&it);
                inner.scopes.push(scope);
                key_texts(&it).for_each(|text| drop(inner.expression_text(text)));
            });
            self.take_written(&above, &facts);
        }
    }

    /// What a relation's own expressions do: its own columns are not read to anybody, nor copied to another place.
    fn take_written(&mut self, relation: &Relation, facts: &Facts) {
        let own = |c: &&Column| c.schema == *relation.schema && c.relation == *relation.name;
        let facts = Facts {
            reads: facts.reads.iter().filter(|r| r.oid != relation.oid).cloned().collect(),
            copied: facts.copied.iter().filter(|c| !own(c)).cloned().collect(),
            ..without_tests(facts)
        };
        self.found.take(&facts);
    }

    /// What a column of this type gets that has no default of its own.
    fn default_of_domain(&self, type_oid: Oid) -> Option<Arc<str>> {
        let mut next = type_oid;
        // Domains over domains; a bound that no honest catalog reaches.
        for _ in 0..64 {
            let it = self.catalog.type_by_oid(next)?;
            if it.default.is_some() {
                return it.default.clone();
            }
            next = it.base;
        }
        None
    }

    /// Foreign keys that pass a DELETE or UPDATE on.
    fn referencing(&mut self, relation: &Arc<Relation>, change: Change) {
        let mut waiting = vec![(Arc::clone(relation), change)];
        let mut seen: Vec<(Oid, bool)> = vec![(relation.oid, change == Change::Delete)];
        while let Some((it, change)) = waiting.pop() {
            for reference in &it.referenced_by {
                let action = match change {
                    Change::Delete => reference.on_delete,
                    Change::Update => reference.on_update,
                    Change::Insert | Change::Truncate => continue,
                };
                if !matches!(action, b'c' | b'n' | b'd') {
                    continue;
                }
                let next =
                    if action == b'c' && change == Change::Delete { Change::Delete } else { Change::Update };
                let key = (reference.from, next == Change::Delete);
                let Some(to) = self.catalog.relation_by_oid(reference.from).cloned() else { continue };
                if seen.contains(&key) {
                    continue;
                }
                seen.push(key);
                self.found.takes_along = true;
                self.found.relation("", &to, true);
                for function in to.triggers.iter().filter(|t| t.bits & next.bit() != 0).map(|t| t.function) {
                    self.run_oid(function, "trigger", &to.name);
                }
                waiting.push((to, next));
            }
        }
    }

    /// What TRUNCATE … CASCADE empties along with a relation: all that refers to it, however far, with its triggers.
    pub(super) fn truncated_along(&mut self, it: &protobuf::RangeVar) {
        let schema = Some(it.schemaname.as_str()).filter(|s| !s.is_empty());
        let Some(relation) = self.find_relation(schema, &it.relname) else { return };
        let mut waiting = vec![relation.oid];
        let mut seen = waiting.clone();
        while let Some(oid) = waiting.pop() {
            let of_it = self.catalog.descendants(oid).into_iter().chain([oid]);
            let referring: Vec<Oid> = of_it
                .filter_map(|oid| self.catalog.relation_by_oid(oid))
                .flat_map(|it| it.referenced_by.iter().map(|reference| reference.from))
                .collect();
            for from in referring.into_iter().filter(|from| *from != relation.oid) {
                let Some(to) = self.catalog.relation_by_oid(from).cloned() else { continue };
                if seen.contains(&from) {
                    continue;
                }
                seen.push(from);
                self.found.takes_along = true;
                self.found.relation("", &to, true);
                self.writing(&to, Change::Truncate, &[]);
                waiting.push(from);
            }
        }
    }

    /// A rule puts other statements in place of, or next to, one: they are not worked out.
    fn rule(&mut self, text: &str) {
        let nothing = text
            .trim_end()
            .trim_end_matches(';')
            .trim_end()
            .to_ascii_uppercase()
            .ends_with("DO INSTEAD NOTHING");
        if !nothing {
            self.found.opaque("rule", "");
        }
    }

    /// Whether RETURNING may give something else than the relation's columns: what a rule has in its own RETURNING, or what
    /// a trigger gives in place of a change; of a view, also where what it reads has such a rule or trigger.
    pub(super) fn answers_otherwise(&mut self, relation: &Arc<Relation>) -> bool {
        let otherwise = |it: &Relation| {
            it.triggers.iter().any(|t| t.bits & Trigger::INSTEAD != 0)
                || it.rules.iter().any(|r| r.event != 1 && r.text.to_ascii_uppercase().contains("RETURNING"))
        };
        let below = if relation.kind == b'v' { self.view_facts(relation) } else { None };
        let below = below.iter().flat_map(|facts| &facts.reads);
        otherwise(relation)
            || below.filter_map(|it| self.catalog.relation_by_oid(it.oid)).any(|it| otherwise(it))
    }

    /// SELECT … INTO and CREATE TABLE AS: the table is made and filled.
    pub(super) fn made_relation(&mut self, into: &protobuf::IntoClause, rows: &Rows, filled: bool) {
        if let Some(to) = &into.rel {
            self.visit(to);
            if !self.planning {
                self.found.effect(Effect::Define);
                self.found.effect(Effect::Write);
                let schema = if to.relpersistence == "t" { "pg_temp" } else { to.schemaname.as_str() };
                self.found.missing(schema, &to.relname, &written_name(to), true);
            }
        }
        if filled {
            rows.fields.iter().for_each(|(_, value)| self.found.copies(value));
        }
    }

    /// A function in FROM.
    pub(super) fn function_table(&mut self, it: &protobuf::RangeFunction) -> Table {
        let mut rows = Rows::default();
        let several = it.functions.len() > 1;
        let mut row_type = oid::RECORD;
        for item in &it.functions {
            let Some(NodeEnum::List(pair)) = &item.node else { continue };
            let Some(node) = pair.items.first() else { continue };
            let own = match pair.items.get(1).and_then(|n| n.node.as_ref()) {
                Some(NodeEnum::List(list)) => list.items.as_slice(),
                _ => &[],
            };
            let definitions = if own.is_empty() { it.coldeflist.as_slice() } else { own };
            let alias = it.alias.as_ref().filter(|_| !several).map(|a| a.aliasname.as_str());
            let (more, scalar) = self.function_rows(node, definitions, alias);
            if let (Some(scalar), false) = (scalar, several || it.ordinality) {
                row_type = scalar;
            }
            rows.open |= more.open;
            rows.fields.extend(more.fields);
        }
        if it.ordinality {
            rows.fields.push((Rc::from("ordinality"), Value::plain(oid::INT8)));
        }
        let name = it.functions.first().and_then(function_of).map(naming::name_of).unwrap_or_default();
        let mut table = aliased(rows, it.alias.as_ref(), &name);
        table.row_type = row_type;
        table
    }

    /// A function's rows; and the type of a row, if that is the value itself.
    fn function_rows(
        &mut self,
        node: &protobuf::Node,
        definitions: &[protobuf::Node],
        alias: Option<&str>,
    ) -> (Rows, Option<Oid>) {
        let Some(NodeEnum::FuncCall(call)) = &node.node else {
            // CURRENT_DATE, COALESCE and their like may stand here, and give a row as well.
            let value = self.expression(node);
            if let Some(fields) = self.row_columns(&value) {
                return (Rows { fields, open: false }, Some(value.type_oid));
            }
            if value.type_oid == oid::RECORD || (value.type_oid == 0 && !value.says_nothing()) {
                return (Rows::open(), None);
            }
            let name = alias.map_or_else(|| naming::name_of(node), str::to_owned);
            return (Rows { fields: vec![(Rc::from(name), value)], open: false }, Some(0));
        };
        let (schema, name) = super::name_of(&call.funcname);
        // `unnest(a, b)` is a call of PostgreSQL's own for each.
        if name == "unnest" && schema.is_none() && call.args.len() > 1 && definitions.is_empty() {
            return (self.unnested(call), None);
        }
        self.called.clear();
        let value = self.expression(node);
        let candidates = std::mem::take(&mut self.called);
        let arguments = std::mem::take(&mut self.called_with);
        if !definitions.is_empty() {
            let mut fields = Vec::new();
            for definition in definitions {
                let Some(NodeEnum::ColumnDef(column)) = &definition.node else { continue };
                let type_oid = column.type_name.as_ref().map_or(0, |t| self.type_name(t));
                fields.push((Rc::from(column.colname.as_str()), handed_on(type_oid, &value)));
            }
            return (Rows { fields, open: false }, None);
        }
        let Some(f) = candidates.iter().find(|f| f.outputs.len() > 1) else {
            return self.single_rows(value, &arguments, call, &candidates, alias);
        };
        // Of several that may be meant each has columns of its own.
        if candidates.iter().any(|other| other.outputs != f.outputs) {
            return (Rows::open(), None);
        }
        let columns = match candidates.as_slice() {
            [f] if !f.is_builtin() => self.set_columns(f, &arguments),
            _ => Vec::new(),
        };
        let outputs = f.outputs.iter().map(|(name, type_oid)| (&**name, *type_oid));
        (Rows { fields: columns_of(outputs, &columns, &value), open: false }, None)
    }

    /// `unnest(a, b)`: a column for each, or one for each field of a row.
    fn unnested(&mut self, call: &protobuf::FuncCall) -> Rows {
        self.visit(call);
        let own = |text: &str| protobuf::Node {
            node: Some(NodeEnum::String(protobuf::String { sval: text.to_owned() })),
        };
        let parts = [own("pg_catalog"), own("unnest")];
        let mut rows = Rows::default();
        for node in &call.args {
            let value = self.expression(node);
            let value = self.call_by_name(&parts, std::slice::from_ref(&value));
            match self.row_columns(&value) {
                Some(fields) => rows.fields.extend(fields),
                None => {
                    rows.open |=
                        value.type_oid == oid::RECORD || (value.type_oid == 0 && !value.says_nothing());
                    rows.fields.push((Rc::from("unnest"), value));
                }
            }
        }
        rows
    }

    /// The columns of a row of a type.
    fn row_columns(&self, value: &Value) -> Option<Vec<Field>> {
        let relation = self.catalog.row_type(value.type_oid)?;
        Some(columns_of(relation.columns.iter().map(|c| (&*c.name, c.type_oid)), &[], value))
    }

    fn single_rows(
        &mut self,
        value: Value,
        arguments: &[Value],
        call: &protobuf::FuncCall,
        candidates: &[Arc<crate::catalog::Function>],
        alias: Option<&str>,
    ) -> (Rows, Option<Oid>) {
        let (_, name) = super::name_of(&call.funcname);
        // A row type is its columns. So is a polymorphic function's, when its argument is a row.
        if let Some(relation) = self.catalog.row_type(value.type_oid).cloned() {
            let columns = match candidates {
                [f] if !f.is_builtin() => self.set_columns(f, arguments),
                _ => Vec::new(),
            };
            let own = relation.columns.iter().map(|c| (&*c.name, c.type_oid));
            let rows = Rows { fields: columns_of(own, &columns, &value), open: relation.doubtful };
            return (rows, Some(value.type_oid));
        }
        if value.type_oid == oid::RECORD || (value.type_oid == 0 && value.fields.is_some()) {
            return (Rows::open(), None);
        }
        let pseudo = candidates.is_empty()
            || candidates.iter().any(|f| self.catalog.type_by_oid(f.result).is_none_or(|t| t.kind == b'p'));
        if value.type_oid == 0 && pseudo && name != "unnest" && name != "generate_series" {
            return (Rows::open(), None);
        }
        let output = candidates.iter().find_map(|f| f.outputs.first()).map(|(n, _)| n.to_string());
        let own =
            alias.map(str::to_owned).or(output.filter(|n| !n.is_empty())).unwrap_or_else(|| name.to_owned());
        let type_oid = value.type_oid;
        (Rows { fields: vec![(Rc::from(own), value)], open: false }, Some(type_oid))
    }
}

/// The expressions of a partitioned table's key. (Those of its statistics, which are kept with them, run in ANALYZE only.)
fn key_texts(relation: &Relation) -> impl Iterator<Item = &Arc<str>> {
    relation.planned_expressions.iter().filter(|_| relation.kind == b'p')
}

/// All that runs with every row that is stored.
fn written_texts(relation: &Relation) -> impl Iterator<Item = &Arc<str>> {
    let generated = relation.columns.iter().filter(|c| c.generated).filter_map(|c| c.default.as_ref());
    generated.chain(&relation.checks).chain(&relation.index_expressions).chain(key_texts(relation))
}

fn function_of(item: &protobuf::Node) -> Option<&protobuf::Node> {
    match &item.node {
        Some(NodeEnum::List(pair)) => pair.items.first(),
        _ => None,
    }
}

/// What somebody else's expression compares is not what this statement compares.
fn without_tests(facts: &Facts) -> Facts {
    Facts { tested: Vec::new(), copied: Vec::new(), output: Output::None, ..facts.clone() }
}

/// As the statement names it, quoted where it must be.
pub(super) fn written_name(it: &protobuf::RangeVar) -> String {
    let mut out = String::with_capacity(it.relname.len() + it.schemaname.len() + 1);
    for part in [&it.catalogname, &it.schemaname, &it.relname].into_iter().filter(|p| !p.is_empty()) {
        if !out.is_empty() {
            out.push('.');
        }
        crate::tables::push_identifier(&mut out, part);
    }
    out
}

/// The columns that a function is declared with, where its body gives these: one for one, or together.
fn columns_of<'c>(
    declared: impl Iterator<Item = (&'c str, Oid)>,
    given: &[Value],
    whole: &Value,
) -> Vec<Field> {
    let declared: Vec<(&str, Oid)> = declared.collect();
    let one_for_one = given.len() == declared.len();
    let column = |(at, (name, type_oid)): (usize, &(&str, Oid))| {
        let own = given.get(at).filter(|_| one_for_one);
        let value = own.map_or_else(|| handed_on(*type_oid, whole), |own| own.clone().typed(*type_oid));
        (Rc::from(*name), value)
    };
    declared.iter().enumerate().map(column).collect()
}

/// Another's value in another type, or a part of it.
fn handed_on(type_oid: Oid, value: &Value) -> Value {
    Value::made(type_oid, [value]).keeping([value])
}
