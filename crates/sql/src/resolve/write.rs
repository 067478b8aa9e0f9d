//! Changes of data: INSERT, UPDATE, DELETE, MERGE.

use std::rc::Rc;

use firsthand_model::command::Effect;
use pg_query::protobuf::{self, node::Node as NodeEnum};

use super::Resolver;
use super::from::{Columns, Rows, Scope, Table};
use super::relations::Change;
use super::value::Value;
use crate::catalog::Relation;

impl Resolver<'_> {
    /// The target of a change, with what changing it brings along.
    /// `defaults`: the columns that get their default.
    fn target(
        &mut self,
        it: Option<&protobuf::RangeVar>,
        changes: &[Change],
        defaults: impl FnOnce(&Relation) -> Vec<String>,
    ) -> Table {
        self.changes();
        let Some(it) = it else {
            self.found.opaque("node", "");
            return Table { name: Rc::from(""), columns: Columns::Open, slot: None, row_type: 0 };
        };
        self.visit(it);
        let mut table = self.relation_table(it, true);
        let schema = Some(it.schemaname.as_str()).filter(|s| !s.is_empty());
        if let Some(relation) = self.find_relation(schema, &it.relname) {
            let defaults = defaults(&relation);
            changes.iter().for_each(|change| self.writing(&relation, *change, &defaults));
            if self.answers_otherwise(&relation) {
                table.columns = Columns::Open;
            }
        }
        table
    }

    fn changes(&mut self) {
        if !self.planning {
            self.found.effect(Effect::Write);
        }
    }

    /// INSERT.
    pub(super) fn insert(&mut self, it: &protobuf::InsertStmt) -> Rows {
        let before = self.ctes.len();
        if let Some(with) = &it.with_clause {
            self.with(with);
        }
        let updates = it.on_conflict_clause.as_ref().is_some_and(|c| !c.target_list.is_empty());
        let changes: &[Change] = if updates { &[Change::Insert, Change::Update] } else { &[Change::Insert] };
        // The target's name is no name in the query.
        let rows = it.select_stmt.as_deref().map(|q| self.query(q)).unwrap_or_default();
        let table = self.target(it.relation.as_ref(), changes, |relation| inserted(relation, it, &rows));
        for (_, value) in &rows.fields {
            self.found.copies(value);
            self.assigned(value, &table, "");
        }
        for column in &it.cols {
            if let Some(NodeEnum::ResTarget(column)) = &column.node {
                self.uses_column(&table, &column.name);
                self.subscripts(&column.indirection);
            }
        }
        let mut scope = Scope::of(table.clone());
        scope.tables.push(Table { name: Rc::from("excluded"), ..table });
        self.scopes.push(scope);
        if let Some(conflict) = &it.on_conflict_clause {
            self.conflict(conflict);
            self.assignments(&conflict.target_list);
            if let Some(node) = &conflict.where_clause {
                self.condition(node);
            }
        }
        let rows = self.returning(it.returning_clause.as_ref());
        self.scopes.pop();
        self.ctes.truncate(before);
        rows
    }

    /// ON CONFLICT: whether a row was put in tells whether its key is there already.
    fn conflict(&mut self, it: &protobuf::OnConflictClause) {
        let Some(table) = self.scopes.last().and_then(|s| s.tables.first()).cloned() else { return };
        let elements = it.infer.as_ref().map(|infer| infer.index_elems.as_slice()).unwrap_or_default();
        for element in elements {
            let Some(NodeEnum::IndexElem(element)) = &element.node else { continue };
            let key = match &element.expr {
                Some(node) => Some(self.expression(node)),
                None => self.column_in(&table, &element.name),
            };
            if let Some(key) = key {
                self.found.tests(&key);
            }
        }
        if let Some(node) = it.infer.as_ref().and_then(|infer| infer.where_clause.as_deref()) {
            self.expression(node);
        }
        if elements.is_empty() {
            self.any_conflict(&table);
        }
    }

    /// Any unique index may be meant, or one of a name that is not followed.
    fn any_conflict(&mut self, table: &Table) {
        let keys: Option<Vec<Rc<str>>> = match &table.columns {
            // What an index makes of columns is not looked for: it may be of any.
            Columns::Of(relation, _) if relation.index_expressions.is_empty() && !relation.doubtful => {
                let unique = |number: &i16| relation.unique.iter().any(|key| key.contains(number));
                let columns = relation.columns.iter().filter(|c| unique(&c.number));
                Some(columns.map(|c| Rc::from(&*c.name)).collect())
            }
            _ => None,
        };
        let values = match keys {
            Some(names) => names.iter().filter_map(|name| self.column_in(table, name)).collect(),
            None => self.fields_of(table).0.into_iter().map(|(_, value)| value).collect::<Vec<_>>(),
        };
        values.iter().for_each(|value| self.found.tests(value));
    }

    /// UPDATE.
    pub(super) fn update(&mut self, it: &protobuf::UpdateStmt) -> Rows {
        let before = self.ctes.len();
        if let Some(with) = &it.with_clause {
            self.with(with);
        }
        let table = self
            .target(it.relation.as_ref(), &[Change::Update], |relation| assigned(relation, &it.target_list));
        let scope =
            self.change_scope(table, &it.from_clause, it.where_clause.as_deref(), it.with_clause.as_ref());
        self.scopes.push(scope);
        self.assignments(&it.target_list);
        if let Some(node) = &it.where_clause {
            self.condition(node);
        }
        let rows = self.returning(it.returning_clause.as_ref());
        self.scopes.pop();
        self.ctes.truncate(before);
        rows
    }

    /// DELETE.
    pub(super) fn delete(&mut self, it: &protobuf::DeleteStmt) -> Rows {
        let before = self.ctes.len();
        if let Some(with) = &it.with_clause {
            self.with(with);
        }
        let table = self.target(it.relation.as_ref(), &[Change::Delete], |_| Vec::new());
        let scope =
            self.change_scope(table, &it.using_clause, it.where_clause.as_deref(), it.with_clause.as_ref());
        self.scopes.push(scope);
        if let Some(node) = &it.where_clause {
            self.condition(node);
        }
        let rows = self.returning(it.returning_clause.as_ref());
        self.scopes.pop();
        self.ctes.truncate(before);
        rows
    }

    /// The target and what stands next to it; whether every row may change.
    fn change_scope(
        &mut self,
        table: Table,
        others: &[protobuf::Node],
        condition: Option<&protobuf::Node>,
        with: Option<&protobuf::WithClause>,
    ) -> Scope {
        let mut scope = Scope::of(table.clone());
        self.scopes.push(scope.clone());
        let from = self.tables_of(others);
        self.scopes.pop();
        scope.extend(from);
        let bound = condition.is_some_and(|node| self.restricts(node, &table, &scope.tables, others, with));
        self.found.unbounded |= !bound && !self.planning;
        scope
    }

    /// MERGE.
    pub(super) fn merge(&mut self, it: &protobuf::MergeStmt) -> Rows {
        let before = self.ctes.len();
        if let Some(with) = &it.with_clause {
            self.with(with);
        }
        let mut changes = Vec::new();
        for clause in &it.merge_when_clauses {
            let Some(NodeEnum::MergeWhenClause(clause)) = &clause.node else { continue };
            match clause.command_type() {
                protobuf::CmdType::CmdInsert => changes.push(Change::Insert),
                protobuf::CmdType::CmdUpdate => changes.push(Change::Update),
                protobuf::CmdType::CmdDelete => changes.push(Change::Delete),
                _ => {}
            }
        }
        let table = self.target(it.relation.as_ref(), &changes, |relation| merged(relation, it));
        let source = it.source_relation.as_deref().map(|n| self.tables_of(std::slice::from_ref(n)));
        let mut scope = source.unwrap_or_default();
        scope.extend(Scope::of(table.clone()));
        let beside = it.source_relation.as_deref().map(std::slice::from_ref).unwrap_or_default();
        let with = it.with_clause.as_ref();
        let bound = it
            .join_condition
            .as_deref()
            .is_some_and(|node| self.restricts(node, &table, &scope.tables, beside, with));
        let removes = changes.iter().any(|c| matches!(c, Change::Update | Change::Delete));
        // WHEN NOT MATCHED BY SOURCE is about all the other rows.
        let others = it.merge_when_clauses.iter().any(|c| match &c.node {
            Some(NodeEnum::MergeWhenClause(c)) => {
                c.match_kind() == protobuf::MergeMatchKind::MergeWhenNotMatchedBySource
                    && c.condition.is_none()
            }
            _ => false,
        });
        self.found.unbounded |= removes && (!bound || others) && !self.planning;
        self.scopes.push(scope);
        if let Some(node) = &it.join_condition {
            self.condition(node);
        }
        for clause in &it.merge_when_clauses {
            let Some(NodeEnum::MergeWhenClause(clause)) = &clause.node else { continue };
            if let Some(node) = &clause.condition {
                self.condition(node);
            }
            self.assignments(&clause.target_list);
            let into = self.scopes.last().and_then(|s| s.tables.last()).cloned();
            for value in &clause.values {
                let value = self.expression(value);
                self.found.copies(&value);
                if let Some(table) = &into {
                    self.assigned(&value, table, "");
                }
            }
        }
        let rows = self.returning(it.returning_clause.as_ref());
        self.scopes.pop();
        self.ctes.truncate(before);
        rows
    }

    fn assignments(&mut self, targets: &[protobuf::Node]) {
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = &target.node else { continue };
            let table = self.scopes.last().and_then(|s| s.tables.first()).cloned();
            if let Some(table) = &table {
                self.uses_column(table, &target.name);
            }
            self.subscripts(&target.indirection);
            if let Some(node) = &target.val {
                let value = self.expression(node);
                self.found.copies(&value);
                // The target is the first, and in MERGE the last.
                let other = self.scopes.last().and_then(|s| s.tables.last()).cloned();
                for table in table.iter().chain(&other) {
                    let column = if target.indirection.is_empty() { target.name.as_str() } else { "" };
                    self.assigned(&value, table, column);
                }
            }
        }
    }

    /// `column[1]`, `column['key']`: where a value goes is stored as well, as the bounds of an array or as a key.
    fn subscripts(&mut self, steps: &[protobuf::Node]) {
        for step in steps {
            if matches!(step.node, Some(NodeEnum::AIndices(_))) {
                let placed = self.step(Value::plain(0), step);
                self.found.copies(&placed);
            }
        }
    }

    fn uses_column(&mut self, table: &Table, name: &str) {
        if let Some(slot) = table.slot
            && !name.is_empty()
        {
            self.found.uses(slot, name);
        }
    }

    /// RETURNING: sees what the change sees, and the target's old and new rows by name.
    fn returning(&mut self, it: Option<&protobuf::ReturningClause>) -> Rows {
        let Some(it) = it else { return Rows::default() };
        self.found.effect(Effect::Read);
        let (mut old, mut new) = ("old", "new");
        for option in &it.options {
            if let Some(NodeEnum::ReturningOption(option)) = &option.node {
                match option.option() {
                    protobuf::ReturningOptionKind::ReturningOptionOld => old = option.value.as_str(),
                    protobuf::ReturningOptionKind::ReturningOptionNew => new = option.value.as_str(),
                    protobuf::ReturningOptionKind::Undefined => {}
                }
            }
        }
        let Some(scope) = self.scopes.last_mut() else { return Rows::open() };
        scope.tables.retain(|t| &*t.name != "excluded");
        // In MERGE the target comes last, else first.
        let target = scope.tables.iter().find(|t| t.slot.is_some()).cloned();
        if let Some(target) = target {
            for name in [old, new] {
                if !scope.tables.iter().any(|t| &*t.name == name) {
                    scope.tables.push(Table { name: Rc::from(name), ..target.clone() });
                }
            }
        }
        self.targets(&it.exprs)
    }
}

/// The columns that an INSERT gives their default.
fn inserted(relation: &Relation, it: &protobuf::InsertStmt, rows: &Rows) -> Vec<String> {
    let query = it.select_stmt.as_deref().and_then(|node| node.node.as_ref());
    let lists: &[protobuf::Node] = match query {
        Some(NodeEnum::SelectStmt(select)) => &select.values_lists,
        _ => &[],
    };
    let lists = lists.iter().filter_map(|list| match &list.node {
        Some(NodeEnum::List(list)) => Some(list.items.as_slice()),
        _ => None,
    });
    // One column for each value, or it cannot be told which value is whose.
    let count = Some(rows.fields.len())
        .filter(|count| query.is_some() && !rows.open && lists.clone().all(|list| list.len() == *count));
    let mut names = left_out(relation, &it.cols, count, lists);
    if let Some(conflict) = &it.on_conflict_clause {
        names.extend(assigned(relation, &conflict.target_list));
    }
    names
}

/// The columns that a MERGE gives their default.
fn merged(relation: &Relation, it: &protobuf::MergeStmt) -> Vec<String> {
    let clauses = it.merge_when_clauses.iter().filter_map(|clause| match &clause.node {
        Some(NodeEnum::MergeWhenClause(clause)) => Some(clause.as_ref()),
        _ => None,
    });
    let own = |clause: &protobuf::MergeWhenClause| match clause.command_type() {
        protobuf::CmdType::CmdInsert => {
            let values = Some(clause.values.as_slice()).filter(|values| !values.is_empty());
            left_out(relation, &clause.target_list, values.map(<[_]>::len), values.into_iter())
        }
        _ => assigned(relation, &clause.target_list),
    };
    clauses.flat_map(own).collect()
}

/// The columns that get no value of their own, or DEFAULT for one: `columns` are those that are named, else the first `count`
/// of the table's; `None`: none of them.
fn left_out<'n>(
    relation: &Relation,
    columns: &[protobuf::Node],
    count: Option<usize>,
    lists: impl Iterator<Item = &'n [protobuf::Node]>,
) -> Vec<String> {
    let all = || relation.columns.iter().map(|c| c.name.to_string());
    let Some(count) = count else { return all().collect() };
    let named = columns.iter().filter_map(|column| match &column.node {
        Some(NodeEnum::ResTarget(column)) => Some(column.name.clone()),
        _ => None,
    });
    let mut given: Vec<Option<String>> =
        if columns.is_empty() { all().take(count).map(Some).collect() } else { named.map(Some).collect() };
    for list in lists {
        for (item, column) in list.iter().zip(&mut given) {
            if is_default(item) {
                *column = None;
            }
        }
    }
    all().filter(|name| !given.iter().flatten().any(|own| own == name)).collect()
}

/// The columns that `SET column = DEFAULT` is about.
fn assigned(relation: &Relation, targets: &[protobuf::Node]) -> Vec<String> {
    let mut names = Vec::new();
    for target in targets {
        match &target.node {
            Some(NodeEnum::ResTarget(it)) if it.val.as_deref().is_some_and(is_default) => {
                names.push(it.name.clone());
            }
            // `(a, b) = (1, DEFAULT)`
            _ if sets_default(target) => {
                return relation.columns.iter().map(|c| c.name.to_string()).collect();
            }
            _ => {}
        }
    }
    names
}

fn is_default(node: &protobuf::Node) -> bool {
    matches!(node.node, Some(NodeEnum::SetToDefault(_)))
}

/// Whether DEFAULT is somewhere in it.
fn sets_default(node: &protobuf::Node) -> bool {
    let mut waiting: Vec<_> = node.node.iter().map(NodeEnum::to_ref).collect();
    while let Some(node) = waiting.pop() {
        if matches!(node, pg_query::NodeRef::SetToDefault(_)) {
            return true;
        }
        crate::tree::push_children(node, &mut waiting);
    }
    false
}
