//! What runs although a statement is only planned, and what planning itself runs.
//!
//! EXPLAIN plans and does not execute. But PostgreSQL evaluates the arguments of EXECUTE for it; folds calls that are not
//! volatile and have constant arguments; asks estimators of operators; reads values of composite types, with their domains'
//! checks, while it parses; and puts the bodies of SQL functions in place of their calls. All that has happened when the
//! plan comes back, so it is kept apart from what the plan would do.
//!
//! Planning also folds expressions that stand in no statement: those of the indexes, checks, partition keys and extended
//! statistics of each table it meets, as far as they are constant. And it compares keys with the functions of the operator
//! classes that a table's indexes and partitions have.

use std::sync::Arc;

use firsthand_model::command::{Effect, Effects};
use firsthand_model::statement::{Column, Derivation, Facts, Output};
use pg_query::protobuf::{self, node::Node as NodeEnum};

use super::builtin::{self, Class};
use super::calls::split_name;
use super::value::Value;
use super::{Kind, Resolver, Sequel, Setting, naming};
use crate::catalog::{Function, Oid, Relation};

/// The number of the type `regclass`.
const REGCLASS: Oid = 2205;

impl Resolver<'_> {
    /// Something that runs even where the statement around it is only planned.
    pub(super) fn really(&mut self, work: impl FnOnce(&mut Self)) {
        if !self.planning {
            return work(self);
        }
        let around = std::mem::take(&mut self.found);
        self.planning = false;
        work(self);
        self.planning = true;
        let ran = std::mem::replace(&mut self.found, around).finish();
        self.ran.push(Arc::new(ran));
    }

    /// What EXPLAIN of a query does when it only plans it; what it leaves behind is told by its settings.
    pub(super) fn only_plans(&mut self, query: &NodeEnum) -> Sequel {
        let (outside, before) = (self.planning, std::mem::take(&mut self.ran));
        self.planning = true;
        self.statement(query);
        self.planning = outside;
        self.found.only_planned();
        let opaque = self.found.is_opaque();
        let kept = [Effect::Unknown, Effect::Execute, Effect::System];
        let kept =
            kept.into_iter().filter(|e| self.found.effects.has(*e) && (opaque || *e == Effect::System));
        self.found.effects = kept.fold(Effects::only(Effect::Read), Effects::and);
        for facts in std::mem::replace(&mut self.ran, before) {
            self.found.take(&facts);
        }
        if self.found.is_opaque() { Sequel::Uncertain } else { Sequel::Nothing }
    }

    /// What a plan's text may show: the planner puts the results of calls that it folds in place of them, so whatever those
    /// have read may stand there, wherever in the statement or behind it they are.
    pub(super) fn shown_by_plans(&mut self) -> Value {
        let catalog = self.catalog;
        let called = |f: &&Arc<Function>| {
            let own = !f.is_builtin() && f.extension.is_none();
            // Others' volatile code is neither folded nor put in place of its call.
            own && (f.volatility != b'v' || &*f.language == "sql") && self.found.calls(&f.schema, &f.name)
        };
        let called: Vec<Arc<Function>> = catalog.functions.values().filter(called).cloned().collect();
        let mut shown = Value::plain(0);
        for f in called {
            let facts = self.function_facts(&f);
            if facts.opaque.is_some() {
                shown.how = Derivation::Unknown;
            }
            for relation in &facts.reads {
                for column in &relation.columns {
                    let column = Column {
                        schema: relation.schema.clone(),
                        relation: relation.name.clone(),
                        column: column.clone(),
                        labels: Vec::new(),
                    };
                    let source = self.found.source(&column);
                    shown.take(&Value::column(0, source));
                }
            }
        }
        Value::made(0, [&shown])
    }

    /// A volatile function that is only planned: it does not run, but planning folds the defaults of its arguments, and its
    /// body where that takes the place of the call.
    pub(super) fn inlined(&mut self, f: &Arc<Function>) {
        if &*f.language == "sql" && f.kind == b'f' {
            let facts = self.function_facts(f);
            self.found.take(&facts);
        } else if let Some(defaults) = f.default_expressions.as_ref().filter(|d| !d.is_empty()) {
            let path = std::mem::replace(&mut self.path, self.state.plain_path(self.catalog));
            self.expression_text(defaults);
            self.path = path;
        }
    }

    /// What planning any statement about this relation runs.
    pub(super) fn planning_runs(&mut self, relation: &Arc<Relation>) {
        let some = !relation.index_expressions.is_empty()
            || !relation.checks.is_empty()
            || !relation.planned_expressions.is_empty()
            || !relation.support_functions.is_empty();
        if !some {
            return;
        }
        self.really(|me| {
            let (it, path) = (Arc::clone(relation), me.state.plain_path(me.catalog));
            let run = me.runs_in.fingerprint();
            let facts = me.body((Kind::Planned, relation.oid, run), path, move |inner| {
                let texts = it.index_expressions.iter().chain(&it.checks).chain(&it.planned_expressions);
                texts.for_each(|text| inner.folded_text(text));
                // Keys are compared with the functions of their operator classes: partitions are chosen by them while a
                // statement is planned, and an index is searched with them when it runs.
                it.support_functions.iter().for_each(|f| inner.support(*f, &it.name));
                inner.found.output = Output::None;
            });
            let facts = Facts { tested: Vec::new(), copied: Vec::new(), ..Facts::clone(&facts) };
            me.found.take(&facts);
        });
    }

    /// What `pg_get_partition_constraintdef` runs: the keys of what the relation is a partition of are loaded as for planning,
    /// and a DEFAULT partition's bounds are made by sorting those of the others. Which relation it is must be plain.
    pub(super) fn partition_keys(&mut self, nodes: &[protobuf::Node]) {
        let catalog = self.catalog;
        let partitioned = || catalog.relations.values().filter(|r| r.kind == b'p');
        let mut waiting = match self.named_for_certain(nodes) {
            // What this session has attached to what is not followed.
            Some(relation) if !relation.doubtful && partitioned().all(|r| !r.doubtful) => vec![relation],
            _ => partitioned().cloned().collect(),
        };
        let mut seen: Vec<Oid> = Vec::new();
        while let Some(relation) = waiting.pop() {
            if seen.contains(&relation.oid) {
                continue;
            }
            seen.push(relation.oid);
            waiting.extend(relation.parents.iter().filter_map(|oid| catalog.relation_by_oid(*oid)).cloned());
            if relation.kind == b'p' {
                self.planning_runs(&relation);
            }
        }
    }

    /// The relation of a call whose only argument is `'name'::regclass`.
    fn named_for_certain(&mut self, nodes: &[protobuf::Node]) -> Option<Arc<Relation>> {
        let [only] = nodes else { return None };
        let Some(NodeEnum::TypeCast(cast)) = &only.node else { return None };
        let constant = cast.arg.as_deref().filter(|n| matches!(n.node, Some(NodeEnum::AConst(_))))?;
        let text = naming::string(constant)?;
        let (schema, name) = super::name_of(&cast.type_name.as_ref()?.names);
        let to = self.type_named(schema, name)?.oid;
        self.literal = true;
        // Digits are a number, whatever is named so.
        if to != REGCLASS || !self.path.is_certain() || text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (schema, name) = split_name(text);
        self.find_relation(schema.as_deref(), &name)
    }

    /// A function of an operator class. An extension's that only computes is not worth naming.
    pub(super) fn support(&mut self, function: Oid, of: &str) {
        let computes = self.catalog.function_by_oid(function).is_some_and(|f| {
            let class = |extension| builtin::of_extension(extension, &f.name, f.volatility);
            matches!(&*f.language, "c" | "internal") && f.extension.as_deref().map(class) == Some(Class::Safe)
        });
        if !computes {
            self.run_oid(function, "type", of);
        }
    }

    /// The constant parts of an expression of the catalog.
    fn folded_text(&mut self, text: &str) {
        let parsed = pg_query::parse(&format!("SELECT {text}"), 0);
        let Some(statements) = parsed.ok().map(|p| p.protobuf.stmts) else {
            return self.found.opaque("unparsed", "");
        };
        for node in statements.iter().filter_map(|s| s.stmt.as_deref()) {
            let Some(NodeEnum::SelectStmt(select)) = &node.node else { continue };
            for target in &select.target_list {
                if let Some(NodeEnum::ResTarget(target)) = &target.node
                    && let Some(value) = target.val.as_deref()
                {
                    self.folded(value);
                }
            }
        }
    }

    /// Calls, operators and casts without a column are folded; and bodies of SQL functions, whatever they are called with.
    fn folded(&mut self, node: &protobuf::Node) {
        let Some(inner) = &node.node else { return };
        if !self.enter() {
            return self.leave();
        }
        if can_be_folded(inner) && !super::reach::has_column_in(inner) {
            self.expression(node);
        } else if !is_leaf(inner) {
            if let NodeEnum::FuncCall(call) = inner {
                self.inlined_call(call);
            }
            let mut parts = Vec::new();
            crate::tree::push_children(inner.to_ref(), &mut parts);
            for part in parts {
                self.folded(&protobuf::Node { node: Some(part.to_enum()) });
            }
        }
        self.leave();
    }

    fn inlined_call(&mut self, call: &protobuf::FuncCall) {
        let (schema, name) = super::name_of(&call.funcname);
        let arguments = vec![Value::plain(0); call.args.len()];
        for f in self.candidates(schema, name, &arguments, true) {
            if !f.is_builtin() && &*f.language == "sql" && f.kind == b'f' {
                let facts = self.function_facts(&f);
                self.found.take(&facts);
            }
        }
    }

    /// Settings that the statement may have changed and its sequel does not tell of: what they are now cannot be told.
    pub(super) fn with_settings(&self, node: &NodeEnum, sequel: Sequel) -> Sequel {
        let told = matches!(
            node,
            NodeEnum::VariableSetStmt(_)
                | NodeEnum::TransactionStmt(_)
                | NodeEnum::DiscardStmt(_)
                | NodeEnum::PrepareStmt(_)
        );
        if told || self.found.settings.is_empty() {
            return sequel;
        }
        let name = |setting: &String| setting.split('=').next().unwrap_or_default().to_owned();
        let untold = self.found.settings.iter().map(name).filter(|name| !sequel.sets(name));
        let mut all: Vec<Sequel> =
            untold.map(|name| Sequel::Set { name, value: Setting::Unknown, local: false }).collect();
        match (all.is_empty(), sequel) {
            (true, sequel) => sequel,
            (false, Sequel::Nothing) => Sequel::Several(all),
            (false, sequel) => {
                all.push(sequel);
                Sequel::Several(all)
            }
        }
    }
}

/// Whether it stands for a value that may be worked out.
const fn can_be_folded(node: &NodeEnum) -> bool {
    matches!(
        node,
        NodeEnum::FuncCall(_)
            | NodeEnum::AExpr(_)
            | NodeEnum::TypeCast(_)
            | NodeEnum::BoolExpr(_)
            | NodeEnum::CaseExpr(_)
            | NodeEnum::CoalesceExpr(_)
            | NodeEnum::MinMaxExpr(_)
            | NodeEnum::NullTest(_)
            | NodeEnum::BooleanTest(_)
            | NodeEnum::RowExpr(_)
            | NodeEnum::AArrayExpr(_)
            | NodeEnum::CollateClause(_)
            | NodeEnum::AIndirection(_)
            | NodeEnum::SqlvalueFunction(_)
    )
}

const fn is_leaf(node: &NodeEnum) -> bool {
    matches!(
        node,
        NodeEnum::TypeName(_)
            | NodeEnum::ColumnRef(_)
            | NodeEnum::ParamRef(_)
            | NodeEnum::AConst(_)
            | NodeEnum::String(_)
            | NodeEnum::Integer(_)
    )
}
