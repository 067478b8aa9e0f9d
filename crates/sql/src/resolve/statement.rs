//! Statements of all kinds.

use std::sync::Arc;

use firsthand_model::command::{Effect, Effects};
use firsthand_model::statement::{Derivation, Output, OutputColumn};
use pg_query::protobuf::{self, TransactionStmtKind, VariableSetKind, node::Node as NodeEnum};

use super::from::{Columns, Rows, Scope, Table};
use super::relations::{Change, written_name};
use super::sequel::{Made, Sequel, Setting};
use super::value::Value;
use super::{Resolver, text_of};
use crate::catalog::Oid;
use crate::kinds::kind_of;

/// Whether the walk goes through all of such a statement, so that what it has not seen was forgotten.
pub(super) fn is_followed(statement: &NodeEnum) -> bool {
    matches!(
        statement,
        NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_)
            | NodeEnum::CopyStmt(_)
            | NodeEnum::ExplainStmt(_)
            | NodeEnum::DeclareCursorStmt(_)
            | NodeEnum::PrepareStmt(_)
            | NodeEnum::CreateTableAsStmt(_)
    )
}

impl Resolver<'_> {
    /// A statement, and what it leaves behind.
    pub(super) fn statement(&mut self, node: &NodeEnum) -> Sequel {
        if !self.enter() {
            self.leave();
            return Sequel::Uncertain;
        }
        let sequel = self.statement_of(node);
        let sequel = self.with_settings(node, sequel);
        self.leave();
        let runs = !matches!(node, NodeEnum::PrepareStmt(_) | NodeEnum::TransactionStmt(_));
        if runs && self.found.is_opaque() {
            return Sequel::Several(vec![sequel, Sequel::Uncertain]);
        }
        sequel
    }

    /// A statement in a function's body. False: one that cannot be followed there.
    pub(super) fn body_statement(&mut self, node: &NodeEnum) -> bool {
        if let NodeEnum::ReturnStmt(it) = node {
            let value = it.returnval.as_deref().map(|n| self.expression(n)).unwrap_or_default();
            self.found.output = Output::Columns(vec![self.found.output_column("", &value, 0)]);
            return true;
        }
        let sequel = self.statement_of(node);
        match sequel {
            Sequel::Nothing => true,
            Sequel::Define(..) => {
                self.found.opaque("function", "");
                true
            }
            _ => false,
        }
    }

    /// The rows that the client gets.
    pub(super) fn output(&mut self, rows: &Rows) {
        if rows.open {
            self.found.output = Output::Untold("relation");
            return;
        }
        let column = |(name, value): &(std::rc::Rc<str>, Value)| {
            self.found.output_column(name, value, self.catalog.base_type(value.type_oid))
        };
        let columns = rows.fields.iter().map(column).collect();
        // What was cast outside of any expression (parts of a UNION made alike).
        self.found.output = self.with_unwritten(Output::Columns(columns));
        if self.bodies.is_empty() {
            rows.fields.iter().for_each(|(_, value)| self.type_sends(value.type_oid));
        }
    }

    /// The same columns, made of what was not written as well.
    pub(super) fn with_unwritten(&mut self, output: Output) -> Output {
        let Output::Columns(columns) = output else { return output };
        if self.unwritten.says_nothing() {
            return Output::Columns(columns);
        }
        let all = columns.iter().map(|column| {
            let value = self.found.output_value(column, column.type_oid);
            self.found.output_column(&column.name, &value.joined(&self.unwritten), column.type_oid)
        });
        Output::Columns(all.collect())
    }

    /// A body gives one value, of which only is known what was not written.
    pub(super) fn gives(&mut self, type_oid: Oid) {
        let value = Value::plain(type_oid).joined(&self.unwritten);
        let column = self.found.output_column("", &value, self.catalog.base_type(type_oid));
        self.found.output =
            Output::Columns(if self.unwritten.says_nothing() { Vec::new() } else { vec![column] });
    }

    fn answers(&mut self, names: &[&str]) {
        let column = |name: &&str| OutputColumn {
            name: (*name).to_owned(),
            sources: Vec::new(),
            derivation: Derivation::Clean,
            kept: Vec::new(),
            type_oid: 0,
        };
        self.found.output = Output::Columns(names.iter().map(column).collect());
    }

    fn statement_of(&mut self, node: &NodeEnum) -> Sequel {
        match node {
            NodeEnum::SelectStmt(it) => {
                self.setting_row = self.one_setting(it);
                let rows = self.select(it);
                if let Some(into) = into_clause(it) {
                    let made = self.made(&rows);
                    return Sequel::Define(Arc::new(table_node(into)), made);
                }
                self.output(&rows);
                return self.set_configs(it);
            }
            NodeEnum::InsertStmt(it) => self.change(it.returning_clause.is_some(), |me| me.insert(it)),
            NodeEnum::UpdateStmt(it) => self.change(it.returning_clause.is_some(), |me| me.update(it)),
            NodeEnum::DeleteStmt(it) => self.change(it.returning_clause.is_some(), |me| me.delete(it)),
            NodeEnum::MergeStmt(it) => self.change(it.returning_clause.is_some(), |me| me.merge(it)),
            NodeEnum::CopyStmt(it) => self.copy(it),
            NodeEnum::ExplainStmt(it) => return self.explain(it),
            NodeEnum::CreateTableAsStmt(it) => return self.create_table_as(node, it),
            NodeEnum::PrepareStmt(it) => return self.prepare(it),
            NodeEnum::ExecuteStmt(it) => return self.execute(it),
            NodeEnum::DeclareCursorStmt(it) => return self.declare(it),
            NodeEnum::FetchStmt(it) => self.fetch(it),
            NodeEnum::VariableSetStmt(it) => return self.set(it),
            NodeEnum::VariableShowStmt(it) => {
                self.found.effect(Effect::Read);
                self.shows_setting(&it.name);
                match it.name.as_str() {
                    "all" => self.answers(&["name", "setting", "description"]),
                    name => self.answers(&[canonical(name)]),
                }
            }
            NodeEnum::TransactionStmt(it) => return self.transaction(it),
            NodeEnum::CallStmt(it) => self.call_procedure(it),
            _ => return self.other(node),
        }
        Sequel::Nothing
    }

    fn change(&mut self, returns: bool, work: impl FnOnce(&mut Self) -> Rows) {
        let rows = work(self);
        if returns {
            self.output(&rows);
        }
    }

    fn made(&self, rows: &Rows) -> Vec<Made> {
        let made = |(name, value): &(std::rc::Rc<str>, Value)| Made {
            name: name.to_string(),
            type_oid: value.type_oid,
            origin: self.found.origin(value),
        };
        rows.fields.iter().map(made).collect()
    }

    fn copy(&mut self, it: &protobuf::CopyStmt) {
        if it.is_program {
            self.found.effect(Effect::Execute);
        }
        if it.is_program || !it.filename.is_empty() {
            self.found.effect(Effect::System);
        }
        let outward = it.filename.is_empty() && !it.is_program && !it.is_from;
        if let Some(query) = &it.query {
            let rows = self.query(query);
            self.found.effect(Effect::Read);
            if outward {
                self.output(&rows)
            } else {
                rows.fields.iter().for_each(|(_, v)| self.found.copies(v))
            }
            return;
        }
        let Some(relation) = &it.relation else { return };
        self.visit(relation);
        let table = self.relation_table(relation, it.is_from);
        let schema = Some(relation.schemaname.as_str()).filter(|s| !s.is_empty());
        let known = self.find_relation(schema, &relation.relname);
        if it.is_from {
            self.found.effect(Effect::Write);
            if let Some(known) = &known {
                self.writing(known, Change::Insert, &copied_in(known, it));
            }
            self.scopes.push(Scope::of(table));
            if let Some(condition) = &it.where_clause {
                self.condition(condition);
            }
            self.scopes.pop();
            return;
        }
        self.found.effect(Effect::Read);
        let mut rows = Rows::default();
        if it.attlist.is_empty() {
            let (fields, open) = self.fields_of(&table);
            let generated =
                |name: &str| known.as_ref().and_then(|k| k.column(name)).is_some_and(|c| c.generated);
            rows = Rows { fields: fields.into_iter().filter(|(n, _)| !generated(n)).collect(), open };
        }
        for name in it.attlist.iter().filter_map(text_of) {
            let value = self.column_in(&table, name).unwrap_or_else(|| Value::unknown(0));
            rows.fields.push((std::rc::Rc::from(name), value));
        }
        if outward { self.output(&rows) } else { rows.fields.iter().for_each(|(_, v)| self.found.copies(v)) }
    }

    fn explain(&mut self, it: &protobuf::ExplainStmt) -> Sequel {
        let Some(query) = it.query.as_deref().and_then(|n| n.node.as_ref()) else { return Sequel::Nothing };
        let analyzes = it.options.iter().fold(false, |before, option| match &option.node {
            Some(NodeEnum::DefElem(option)) if option.defname.eq_ignore_ascii_case("analyze") => {
                is_true(option.arg.as_deref())
            }
            _ => before,
        });
        let sequel = match query {
            _ if analyzes => self.statement(query),
            // Nothing is planned of it: the answer is that it has no plan.
            NodeEnum::RefreshMatViewStmt(refresh) => {
                if let Some(view) = &refresh.relation {
                    self.visit(view);
                    self.relation_table(view, false);
                }
                Sequel::Nothing
            }
            _ => self.only_plans(query),
        };
        self.found.effect(Effect::Read);
        let plan = self.shown_by_plans();
        let column = self.found.output_column("QUERY PLAN", &plan, 0);
        self.found.output = Output::Columns(vec![column]);
        sequel
    }

    fn create_table_as(&mut self, node: &NodeEnum, it: &protobuf::CreateTableAsStmt) -> Sequel {
        let Some(into) = &it.into else { return self.other(node) };
        let materialized = it.objtype() == protobuf::ObjectType::ObjectMatview;
        let rows = match it.query.as_deref().and_then(|n| n.node.as_ref()) {
            Some(NodeEnum::ExecuteStmt(execute)) => {
                self.execute(execute);
                self.rows_of_output()
            }
            Some(_) => it.query.as_deref().map_or_else(Rows::open, |q| self.query(q)),
            None => Rows::open(),
        };
        self.found.output = Output::None;
        self.made_relation(into, &rows, !into.skip_data);
        self.definition_runs();
        if self.planning {
            return Sequel::Nothing;
        }
        let mut made = self.made(&rows);
        for (column, name) in made.iter_mut().zip(&into.col_names) {
            text_of(name).unwrap_or_default().clone_into(&mut column.name);
        }
        let node = if materialized { node.clone() } else { table_node(into) };
        Sequel::Define(Arc::new(node), made)
    }

    /// What was put into `output`, as rows again.
    fn rows_of_output(&mut self) -> Rows {
        match std::mem::take(&mut self.found.output) {
            Output::Columns(columns) => {
                let field = |c: &OutputColumn, me: &mut Self| {
                    (std::rc::Rc::from(c.name.as_str()), me.found.output_value(c, 0))
                };
                Rows { fields: columns.iter().map(|c| field(c, self)).collect(), open: false }
            }
            Output::None | Output::Untold(_) => Rows::open(),
        }
    }

    fn prepare(&mut self, it: &protobuf::PrepareStmt) -> Sequel {
        self.found.effect(Effect::Session);
        let types: Vec<Oid> = it
            .argtypes
            .iter()
            .map(|argument| match &argument.node {
                Some(NodeEnum::TypeName(name)) => self.type_name(name),
                _ => 0,
            })
            .collect();
        let Some(query) = it.query.as_deref().and_then(|n| n.node.as_ref()) else { return Sequel::Nothing };
        self.with_parameters(&types, |me| me.statement(query));
        self.found.output = Output::None;
        Sequel::Prepare(it.name.clone(), Arc::new((query.clone(), types)))
    }

    /// What stands in a prepared statement, where its parameters have these types.
    fn with_parameters(&mut self, types: &[Oid], work: impl FnOnce(&mut Self) -> Sequel) -> Sequel {
        let outside = std::mem::replace(&mut self.parameter_types, types.to_vec());
        let sequel = work(self);
        self.parameter_types = outside;
        sequel
    }

    fn execute(&mut self, it: &protobuf::ExecuteStmt) -> Sequel {
        self.by_name = true;
        let prepared = self.state.prepared(&it.name);
        let types = prepared.as_ref().map(|p| p.1.as_slice()).unwrap_or_default();
        // They are evaluated for EXPLAIN too, and made values of the types that were declared.
        self.really(|me| {
            for (at, argument) in it.params.iter().enumerate() {
                let value = me.expression(argument);
                if let Some(to) = types.get(at).filter(|to| **to != 0) {
                    me.type_checks(*to);
                    me.cast_function(value.type_oid, *to, false);
                }
            }
        });
        match &prepared {
            Some(prepared) => self.with_parameters(types, |me| me.statement(&prepared.0)),
            None => {
                self.found.opaque("prepared", "");
                self.found.output = Output::Untold("prepared");
                Sequel::Uncertain
            }
        }
    }

    fn set(&mut self, it: &protobuf::VariableSetStmt) -> Sequel {
        self.found.effect(Effect::Session);
        let name = it.name.to_ascii_lowercase();
        match it.kind() {
            VariableSetKind::VarResetAll => {
                self.found.setting("all");
                Sequel::ResetAll
            }
            VariableSetKind::VarSetMulti => {
                if name.contains("transaction") || name.contains("session characteristics") {
                    self.found.effects = self.found.effects.and(Effect::Transaction);
                }
                if !self.options(&it.args) {
                    self.found.setting(&name);
                }
                Sequel::Nothing
            }
            kind => {
                let value = match kind {
                    VariableSetKind::VarSetValue => {
                        Setting::To(it.args.iter().filter_map(setting_text).collect())
                    }
                    VariableSetKind::VarSetDefault | VariableSetKind::VarReset => Setting::Default,
                    _ => Setting::Unknown,
                };
                match &value {
                    Setting::To(values) if values.len() == it.args.len() => self.sets(&name, values),
                    Setting::Default => self.found.setting_reset(&name),
                    Setting::To(_) | Setting::Unknown => self.found.setting(&name),
                }
                Sequel::Set { name, value, local: it.is_local }
            }
        }
    }

    /// Modes of a transaction, which are settings. False: there are none.
    fn options(&mut self, options: &[protobuf::Node]) -> bool {
        let mut any = false;
        for option in options {
            if let Some(NodeEnum::DefElem(option)) = &option.node {
                any = true;
                match option.arg.as_deref().and_then(setting_text) {
                    Some(value) => self.found.setting_to(&option.defname, &[value]),
                    None => self.found.setting(&option.defname),
                }
            }
        }
        any
    }

    fn transaction(&mut self, it: &protobuf::TransactionStmt) -> Sequel {
        self.found.effect(Effect::Transaction);
        self.options(&it.options);
        if it.kind() == TransactionStmtKind::TransStmtCommit {
            self.held_cursors();
        }
        match it.kind() {
            TransactionStmtKind::TransStmtBegin | TransactionStmtKind::TransStmtStart => Sequel::Begin,
            TransactionStmtKind::TransStmtCommit => Sequel::End { commit: true, chain: it.chain },
            TransactionStmtKind::TransStmtRollback => Sequel::End { commit: false, chain: it.chain },
            TransactionStmtKind::TransStmtSavepoint => Sequel::Savepoint(it.savepoint_name.clone()),
            TransactionStmtKind::TransStmtRelease => Sequel::Release(it.savepoint_name.clone()),
            TransactionStmtKind::TransStmtRollbackTo => Sequel::RollbackTo(it.savepoint_name.clone()),
            TransactionStmtKind::TransStmtPrepare => {
                self.found.effect(Effect::Write);
                Sequel::End { commit: true, chain: false }
            }
            // What somebody prepared, in whatever session.
            TransactionStmtKind::TransStmtCommitPrepared => {
                self.found.effect(Effect::Write);
                self.found.opaque("prepared-transaction", "");
                Sequel::Nothing
            }
            TransactionStmtKind::TransStmtRollbackPrepared | TransactionStmtKind::Undefined => {
                self.found.effect(Effect::Write);
                Sequel::Nothing
            }
        }
    }

    fn call_procedure(&mut self, it: &protobuf::CallStmt) {
        if let Some(call) = &it.funccall {
            let before = self.found.is_opaque();
            self.call(call);
            if self.found.is_opaque() && !before {
                self.found.effect(Effect::Execute);
            }
        }
        self.found.output = Output::Untold("call");
    }

    /// Statements that are neither queries nor the session's own: by their kind, with the relations they name.
    fn other(&mut self, node: &NodeEnum) -> Sequel {
        let Some(kind) = kind_of(node.to_ref()) else {
            self.found.opaque("node", "");
            return Sequel::Uncertain;
        };
        if self.planning {
            return Sequel::Nothing;
        }
        self.found.effects = self.found.effects.union(kind.effects);
        if let Some(more) = further(node) {
            self.found.effect(more);
        }
        match node {
            NodeEnum::TruncateStmt(it) => {
                self.truncated(it);
                return Sequel::Nothing;
            }
            NodeEnum::LockStmt(it) => {
                // AccessShareLock is what every read of the table takes and keeps to the end of its transaction: it stands in
                // nobody's way whom a read would not stand in the way of.
                let effect = if it.mode == 1 { Effect::Read } else { Effect::Lock };
                self.found.effects = Effects::only(effect);
                it.relations.iter().filter_map(range).for_each(|r| drop(self.relation_table(r, false)));
                return Sequel::Nothing;
            }
            NodeEnum::DeallocateStmt(it) => {
                return Sequel::Deallocate(Some(it.name.clone()).filter(|n| !n.is_empty()));
            }
            NodeEnum::ClosePortalStmt(it) => {
                return Sequel::Close(Some(it.portalname.clone()).filter(|n| !n.is_empty()));
            }
            NodeEnum::DiscardStmt(it) => {
                return match it.target() {
                    protobuf::DiscardMode::DiscardAll => {
                        self.found.setting("all");
                        Sequel::Discard { all: true }
                    }
                    // Part of DISCARD ALL: what goes is the session's own, and nobody else can see it.
                    protobuf::DiscardMode::DiscardTemp => Sequel::Discard { all: false },
                    _ => Sequel::Nothing,
                };
            }
            NodeEnum::RefreshMatViewStmt(it) => {
                self.found.effects = Effects::only(Effect::Write);
                if let Some(relation) = &it.relation {
                    self.refresh(relation);
                }
                return Sequel::Nothing;
            }
            NodeEnum::NotifyStmt(_)
            | NodeEnum::ListenStmt(_)
            | NodeEnum::UnlistenStmt(_)
            | NodeEnum::ConstraintsSetStmt(_)
            | NodeEnum::CheckPointStmt(_) => return Sequel::Nothing,
            NodeEnum::DoStmt(_) => self.found.opaque("do", ""),
            _ => {}
        }
        if self.found.effects.has(Effect::Unknown) {
            self.found.opaque("statement", &kind.tag);
        }
        self.definition(node);
        if kind.effects.has(Effect::Define) || kind.effects.has(Effect::Grant) {
            return Sequel::Define(Arc::new(node.clone()), Vec::new());
        }
        Sequel::Nothing
    }

    fn truncated(&mut self, it: &protobuf::TruncateStmt) {
        self.found.unbounded = true;
        for relation in it.relations.iter().filter_map(range) {
            self.changed(relation, Change::Truncate);
            if it.behavior() == protobuf::DropBehavior::DropCascade {
                self.truncated_along(relation);
            }
        }
    }

    fn changed(&mut self, it: &protobuf::RangeVar, change: Change) {
        self.relation_table(it, true);
        let schema = Some(it.schemaname.as_str()).filter(|s| !s.is_empty());
        if let Some(relation) = self.find_relation(schema, &it.relname) {
            self.writing(&relation, change, &[]);
        }
    }

    fn refresh(&mut self, it: &protobuf::RangeVar) {
        let schema = Some(it.schemaname.as_str()).filter(|s| !s.is_empty());
        let (_, relation) = self.named_relation(schema, &it.relname, &written_name(it), true);
        // Its query runs now, as a view's would.
        if let Some(relation) = relation {
            let view = crate::catalog::Relation { kind: b'v', ..(*relation).clone() };
            self.read_view(&Arc::new(view));
        }
    }

    /// A definition: the relations it names count as written; expressions in it may run; event triggers do.
    fn definition(&mut self, node: &NodeEnum) {
        self.definition_runs();
        if let NodeEnum::AlterTableStmt(it) = node {
            self.converted(it);
        }
        let runs = matches!(
            node,
            NodeEnum::IndexStmt(_)
                | NodeEnum::AlterTableStmt(_)
                | NodeEnum::AlterDomainStmt(_)
                | NodeEnum::CreateSchemaStmt(_)
                | NodeEnum::CreateStmt(_)
                | NodeEnum::VacuumStmt(_)
                | NodeEnum::ClusterStmt(_)
                | NodeEnum::ReindexStmt(_)
        );
        let mut waiting = vec![node.to_ref()];
        while let Some(part) = waiting.pop() {
            match part {
                pg_query::NodeRef::RangeVar(it) => {
                    let schema = Some(it.schemaname.as_str()).filter(|s| !s.is_empty());
                    match self.find_relation(schema, &it.relname) {
                        Some(relation) => {
                            self.found.relation(&written_name(it), &relation, true);
                            if runs {
                                self.index_expressions(&relation);
                            }
                        }
                        None => {
                            self.found.missing(
                                schema.unwrap_or_default(),
                                &it.relname,
                                &written_name(it),
                                true,
                            );
                        }
                    }
                }
                pg_query::NodeRef::FuncCall(it) if runs => {
                    // A default, a generated column, USING: what it gives is stored.
                    let value = self.call_by_name(&it.funcname, &vec![Value::plain(0); it.args.len()]);
                    self.found.copies(&value);
                }
                _ => self.defines(part),
            }
            crate::tree::push_children(part, &mut waiting);
        }
    }

    /// `ALTER COLUMN … TYPE … USING`: what it makes of other columns is stored in this one.
    fn converted(&mut self, it: &protobuf::AlterTableStmt) {
        let Some(to) = &it.relation else { return };
        let schema = Some(to.schemaname.as_str()).filter(|s| !s.is_empty());
        let Some(relation) = self.find_relation(schema, &to.relname) else { return };
        for part in &it.cmds {
            let Some(NodeEnum::AlterTableCmd(part)) = &part.node else { continue };
            let Some(NodeEnum::ColumnDef(column)) = part.def.as_deref().and_then(|def| def.node.as_ref())
            else {
                continue;
            };
            let Some(node) = column
                .raw_default
                .as_deref()
                .filter(|_| part.subtype() == protobuf::AlterTableType::AtAlterColumnType)
            else {
                continue;
            };
            let slot = self.found.relation("", &relation, true);
            let table = Table {
                name: std::rc::Rc::from(&*relation.name),
                columns: Columns::Of(Arc::clone(&relation), Vec::new()),
                slot: Some(slot),
                row_type: relation.row_type,
            };
            self.scopes.push(Scope::of(table.clone()));
            let value = self.expression(node);
            let own = self.column_in(&table, &part.name).unwrap_or_default();
            self.scopes.pop();
            if value.sources != own.sources {
                self.found.copies(&value);
            }
        }
    }

    fn definition_runs(&mut self) {
        if self.planning {
            return;
        }
        for function in self.catalog.event_triggers.clone() {
            self.run_oid(function, "event-trigger", "");
        }
    }
}

/// What some kinds of statement do beyond what `kinds` tells.
fn further(node: &NodeEnum) -> Option<Effect> {
    match node {
        NodeEnum::CreateExtensionStmt(_)
        | NodeEnum::LoadStmt(_)
        | NodeEnum::AlterSystemStmt(_)
        | NodeEnum::CreateSubscriptionStmt(_)
        | NodeEnum::AlterSubscriptionStmt(_)
        | NodeEnum::DropSubscriptionStmt(_)
        | NodeEnum::CreateFdwStmt(_)
        | NodeEnum::CreateForeignServerStmt(_)
        | NodeEnum::AlterForeignServerStmt(_)
        | NodeEnum::CreateUserMappingStmt(_)
        | NodeEnum::AlterUserMappingStmt(_)
        | NodeEnum::CreateForeignTableStmt(_)
        | NodeEnum::ImportForeignSchemaStmt(_)
        | NodeEnum::CreateTableSpaceStmt(_)
        | NodeEnum::DropTableSpaceStmt(_)
        | NodeEnum::CreatedbStmt(_)
        | NodeEnum::DropdbStmt(_)
        | NodeEnum::CheckPointStmt(_) => Some(Effect::System),
        NodeEnum::VacuumStmt(_) | NodeEnum::ClusterStmt(_) | NodeEnum::ReindexStmt(_) => Some(Effect::Lock),
        _ => None,
    }
}

fn range(node: &protobuf::Node) -> Option<&protobuf::RangeVar> {
    match &node.node {
        Some(NodeEnum::RangeVar(it)) => Some(it),
        _ => None,
    }
}

/// The INTO clause, which in a set operation hangs on the leftmost arm.
pub(super) fn into_clause(it: &protobuf::SelectStmt) -> Option<&protobuf::IntoClause> {
    let mut arm = it;
    loop {
        if let Some(into) = &arm.into_clause {
            return Some(into);
        }
        arm = arm.larg.as_deref()?;
    }
}

/// The columns that COPY FROM gives their default: those that are not in its data, or may be told to be there (DEFAULT '…').
fn copied_in(relation: &crate::catalog::Relation, it: &protobuf::CopyStmt) -> Vec<String> {
    let told = it.options.iter().any(
        |option| matches!(&option.node, Some(NodeEnum::DefElem(it)) if it.defname.eq_ignore_ascii_case("default")),
    );
    let given: Vec<&str> = it.attlist.iter().filter_map(text_of).collect();
    let left = |name: &str| told || (!given.is_empty() && !given.contains(&name));
    relation.columns.iter().map(|c| c.name.to_string()).filter(|name| left(name)).collect()
}

/// A table made from a query, as the statement that would make it empty.
fn table_node(into: &protobuf::IntoClause) -> NodeEnum {
    NodeEnum::CreateStmt(protobuf::CreateStmt { relation: into.rel.clone(), ..Default::default() })
}

/// An option's value, as the server's `defGetBoolean` reads it; what it would refuse counts as true.
fn is_true(value: Option<&protobuf::Node>) -> bool {
    match value.and_then(|n| n.node.as_ref()) {
        Some(NodeEnum::Integer(it)) => it.ival != 0,
        Some(NodeEnum::Boolean(it)) => it.boolval,
        Some(NodeEnum::String(it)) => !matches!(it.sval.to_ascii_lowercase().as_str(), "false" | "off"),
        Some(_) | None => true,
    }
}

fn setting_text(node: &protobuf::Node) -> Option<String> {
    match node.node.as_ref()? {
        NodeEnum::AConst(it) => match it.val.as_ref()? {
            protobuf::a_const::Val::Sval(it) => Some(it.sval.clone()),
            protobuf::a_const::Val::Ival(it) => Some(it.ival.to_string()),
            protobuf::a_const::Val::Fval(it) => Some(it.fval.clone()),
            protobuf::a_const::Val::Boolval(it) => Some(it.boolval.to_string()),
            protobuf::a_const::Val::Bsval(it) => Some(it.bsval.clone()),
        },
        NodeEnum::TypeCast(it) => setting_text(it.arg.as_deref()?),
        _ => None,
    }
}

/// A setting's name as the server spells it.
fn canonical(name: &str) -> &str {
    match name.to_ascii_lowercase().as_str() {
        "timezone" => "TimeZone",
        "datestyle" => "DateStyle",
        "intervalstyle" => "IntervalStyle",
        _ => name,
    }
}
