//! Queries inside a condition: which of them say nothing of the changed row, because they give all rows of its own table, or one
//! row whatever stands in it.

use pg_query::protobuf::{self, JoinType, SetOperation, SubLinkType, node::Node as NodeEnum};

use super::{All, DEPTH_MAX, Named, Reach, With, has_column_in, joins_itself, truth};
use crate::catalog::Relation;
use crate::resolve::{Resolver, name_of, text_of};

impl Resolver<'_> {
    /// Whether `x IN (SELECT …)`, `EXISTS (SELECT …)` and their like leave rows out.
    pub(super) fn query_leaves_out(
        &mut self,
        it: &protobuf::SubLink,
        node: &protobuf::Node,
        reach: &mut Reach<'_>,
        depth: usize,
    ) -> bool {
        // EXISTS is about the row only if something in it is.
        let Some(test) = &it.testexpr else { return self.is_about_target(node, reach) };
        if it.sub_link_type() == SubLinkType::AnySublink {
            return self.list_leaves_out(it, test, reach, depth);
        }
        self.is_about_target(test, reach)
    }

    /// Whether it leaves rows out that something in them is in what a query gives.
    pub(super) fn list_leaves_out(
        &mut self,
        it: &protobuf::SubLink,
        test: &protobuf::Node,
        reach: &mut Reach<'_>,
        depth: usize,
    ) -> bool {
        if let Some(NodeEnum::SelectStmt(select)) = it.subselect.as_deref().and_then(|n| n.node.as_ref()) {
            if gives_itself(select, test, reach) {
                let condition = select.where_clause.as_deref().filter(|_| depth < DEPTH_MAX);
                return condition.is_some_and(|node| self.leaves_out(node, reach, depth + 1, false));
            }
            if self.gives_all(select, test, reach, reach.with, depth + 1) {
                return false;
            }
        }
        self.is_about_target(test, reach)
    }

    /// Whether a change joins its table with nothing but what gives all of the table's rows.
    pub(super) fn joins_all(
        &mut self,
        condition: &protobuf::Node,
        item: &protobuf::Node,
        reach: &Reach<'_>,
    ) -> bool {
        let (query, name) = match &item.node {
            Some(NodeEnum::RangeSubselect(it)) => {
                let Some(NodeEnum::SelectStmt(query)) = it.subquery.as_deref().and_then(|n| n.node.as_ref())
                else {
                    return false;
                };
                let Some(alias) = it.alias.as_ref().filter(|alias| alias.colnames.is_empty()) else {
                    return false;
                };
                (query.as_ref(), &alias.aliasname)
            }
            Some(NodeEnum::RangeVar(it)) if it.schemaname.is_empty() => {
                let Some(query) = reach.with.and_then(|with| with.query(&it.relname)) else { return false };
                if it.alias.as_ref().is_some_and(|alias| !alias.colnames.is_empty()) {
                    return false;
                }
                (query, it.alias.as_ref().map_or(&it.relname, |alias| &alias.aliasname))
            }
            _ => return false,
        };
        let Some(test) = a_column_in(condition) else { return false };
        joins_itself(condition, reach.name, name) && self.gives_all(query, &test, reach, reach.with, 0)
    }

    /// Whether a query gives what each row of the changed table has where `test` looks.
    fn gives_all(
        &mut self,
        it: &protobuf::SelectStmt,
        test: &protobuf::Node,
        reach: &Reach<'_>,
        outer: Option<&With<'_>>,
        depth: usize,
    ) -> bool {
        if depth >= DEPTH_MAX || is_limit(it.limit_count.as_deref()) {
            return false;
        }
        let own = it.with_clause.as_ref().map(|clause| With { clause, outer });
        let with = own.as_ref().or(outer);
        if let (Some(left), Some(right)) = (&it.larg, &it.rarg) {
            let mut side = |arm: &protobuf::SelectStmt| self.gives_all(arm, test, reach, with, depth + 1);
            return match it.op() {
                SetOperation::SetopUnion => side(left) || side(right),
                SetOperation::SetopIntersect => side(left) && side(right),
                _ => false,
            };
        }
        let selects = it.having_clause.as_deref().is_some_and(|n| truth(n) != Some(true))
            // DISTINCT ON has something in it.
            || it.distinct_clause.iter().any(|n| n.node.is_some())
            || !it.values_lists.is_empty()
            || selects_another(it, test)
            || (self.aggregates(it) && !groups_by_key(it, reach.relation));
        let table = reach.relation.map_or(reach.name, |relation| &relation.name).to_owned();
        let mut items = it.from_clause.iter();
        let Some(name) = items.find_map(|item| self.kept_by(item, &table, test, (reach, with), depth + 1))
        else {
            return false;
        };
        if selects {
            return false;
        }
        let Some(condition) = &it.where_clause else { return true };
        let mut inside = Reach::of(&name, reach.relation);
        inside.has_children = reach.has_children;
        // What a condition says of a table that is joined by its rows, it says of them.
        let joined = it.from_clause.iter().any(joins_by_rows);
        let mut all = All::new();
        self.columns_of(Some(condition), &mut inside, &mut all, depth + 1);
        let others = all.iter().any(|named| !named.is_target());
        !(self.leaves_out(condition, &mut inside, depth + 1, false) || joined && others)
    }

    /// Under which name something in FROM has all rows of the table.
    fn kept_by(
        &mut self,
        item: &protobuf::Node,
        table: &str,
        test: &protobuf::Node,
        around: (&Reach<'_>, Option<&With<'_>>),
        depth: usize,
    ) -> Option<String> {
        let (reach, with) = around;
        if depth >= DEPTH_MAX {
            return None;
        }
        match item.node.as_ref()? {
            NodeEnum::RangeVar(it) => {
                let query =
                    with.filter(|_| it.schemaname.is_empty()).and_then(|with| with.query(&it.relname));
                let all = match query {
                    Some(query) => self.gives_all(query, test, reach, with, depth + 1),
                    None => it.relname == table,
                };
                all.then(|| it.alias.as_ref().map_or(&it.relname, |alias| &alias.aliasname).clone())
            }
            NodeEnum::RangeSubselect(it) => {
                let Some(NodeEnum::SelectStmt(select)) = &it.subquery.as_deref()?.node else { return None };
                let all = self.gives_all(select, test, reach, with, depth + 1);
                all.then(|| it.alias.as_ref().map(|alias| alias.aliasname.clone()).unwrap_or_default())
            }
            NodeEnum::JoinExpr(it) => {
                let mut side = |n: &Option<Box<protobuf::Node>>| {
                    self.kept_by(n.as_deref()?, table, test, around, depth + 1)
                };
                match it.jointype() {
                    JoinType::JoinLeft => side(&it.larg),
                    JoinType::JoinRight => side(&it.rarg),
                    JoinType::JoinFull => side(&it.larg).or_else(|| side(&it.rarg)),
                    _ if joins_by_rows(item) => None,
                    _ => side(&it.larg).or_else(|| side(&it.rarg)),
                }
            }
            _ => None,
        }
    }

    /// The columns that decide whether a query has rows: what it gives does not, unless that is sets.
    pub(super) fn exists_columns<'n>(
        &mut self,
        it: &'n protobuf::SelectStmt,
        reach: &mut Reach<'_>,
        all: &mut All<'n>,
        depth: usize,
    ) {
        if depth >= DEPTH_MAX {
            return;
        }
        if let (Some(left), Some(right)) = (&it.larg, &it.rarg) {
            let (mut of_left, mut of_right) = (All::new(), All::new());
            self.exists_columns(left, reach, &mut of_left, depth + 1);
            self.exists_columns(right, reach, &mut of_right, depth + 1);
            let both = of_left.iter().any(Named::is_target) && of_right.iter().any(Named::is_target);
            if both || it.op() != SetOperation::SetopUnion {
                all.extend(of_left.into_iter().chain(of_right));
            }
            return;
        }
        // It has one row, whatever it is made of.
        if it.group_clause.is_empty() && it.having_clause.is_none() && self.aggregates(it) {
            return;
        }
        reach.has_with |= it.with_clause.is_some();
        let read = self.read_by(it, reach.has_with);
        // A function that stands first sees nothing of what stands beside it.
        if let Some(first) =
            it.from_clause.first().filter(|n| matches!(n.node, Some(NodeEnum::RangeFunction(_))))
        {
            self.columns_of(Some(first), reach, all, depth + 1);
        }
        let itself = it.where_clause.as_deref().is_some_and(|node| is_itself(node, &read, reach));
        reach.inner.push(read);
        if !itself {
            self.columns_of(it.where_clause.as_deref(), reach, all, depth + 1);
        }
        for node in [&it.having_clause, &it.limit_count, &it.limit_offset] {
            self.columns_of(node.as_deref(), reach, all, depth + 1);
        }
        let filtered = [&it.where_clause, &it.having_clause].into_iter().flatten();
        let filtered = filtered.filter_map(|n| n.node.as_ref()).any(has_column_in);
        let with = it.with_clause.iter().flat_map(|with| &with.ctes);
        for item in it.from_clause.iter().chain(with) {
            match query_of(item).filter(|_| !filtered) {
                Some(query) => self.exists_columns(query, reach, all, depth + 1),
                None => self.columns_of(Some(item), reach, all, depth + 1),
            }
        }
        let of_sets: Vec<&'n protobuf::Node> =
            it.target_list.iter().filter(|target| self.calls(target, |f| f.set)).collect();
        for target in of_sets {
            self.columns_of(Some(target), reach, all, depth + 1);
        }
        reach.inner.pop();
    }

    fn aggregates(&self, it: &protobuf::SelectStmt) -> bool {
        it.target_list.iter().any(|target| self.calls(target, |f| f.kind == b'a'))
    }

    /// Whether a function that is so is called in it, by its name; not in a query inside.
    fn calls(&self, node: &protobuf::Node, is: impl Fn(&crate::catalog::Function) -> bool) -> bool {
        let mut waiting: Vec<pg_query::NodeRef<'_>> = node.node.iter().map(NodeEnum::to_ref).collect();
        while let Some(node) = waiting.pop() {
            match node {
                pg_query::NodeRef::SubLink(_) => continue,
                pg_query::NodeRef::FuncCall(call) if call.over.is_none() => {
                    let (_, name) = name_of(&call.funcname);
                    if self.catalog.functions_named(name).any(|f| is(f)) {
                        return true;
                    }
                }
                _ => {}
            }
            crate::tree::push_children(node, &mut waiting);
        }
        false
    }
}

/// `LIMIT ALL` and `LIMIT NULL` are none.
fn is_limit(node: Option<&protobuf::Node>) -> bool {
    match node.and_then(|n| n.node.as_ref()) {
        Some(NodeEnum::AConst(it)) => !it.isnull,
        Some(NodeEnum::TypeCast(it)) => is_limit(it.arg.as_deref()),
        Some(_) => true,
        None => false,
    }
}

/// Whether a query without a table gives what stands in the changed row where `test` looks: `id IN (SELECT id)`, `(VALUES (id))`.
fn gives_itself(it: &protobuf::SelectStmt, test: &protobuf::Node, reach: &Reach<'_>) -> bool {
    let column = |node: &protobuf::Node| match &node.node {
        Some(NodeEnum::ColumnRef(it)) => {
            let names: Option<Vec<&str>> = it.fields.iter().map(text_of).collect();
            match reach.named(names?)? {
                Named::Target(name) => Some(name.to_owned()),
                Named::Other(_) => None,
            }
        }
        _ => None,
    };
    let Some(tested) = column(test) else { return false };
    let listed = it.values_lists.iter().any(|list| match &list.node {
        Some(NodeEnum::List(list)) => {
            matches!(list.items.as_slice(), [only] if column(only).as_ref() == Some(&tested))
        }
        _ => false,
    });
    let selected = it.from_clause.is_empty()
        && matches!(it.target_list.as_slice(), [only] if match &only.node {
            Some(NodeEnum::ResTarget(only)) => only.val.as_deref().and_then(column).as_ref() == Some(&tested),
            _ => false,
        });
    !is_limit(it.limit_count.as_deref()) && it.having_clause.is_none() && (listed || selected)
}

/// Some column that stands in it.
fn a_column_in(node: &protobuf::Node) -> Option<protobuf::Node> {
    let mut waiting: Vec<pg_query::NodeRef<'_>> = node.node.iter().map(NodeEnum::to_ref).collect();
    while let Some(node) = waiting.pop() {
        if matches!(node, pg_query::NodeRef::ColumnRef(_)) {
            return Some(protobuf::Node { node: Some(node.to_enum()) });
        }
        crate::tree::push_children(node, &mut waiting);
    }
    None
}

/// Whether a query gives another column of the table than the one that is looked at.
fn selects_another(it: &protobuf::SelectStmt, test: &protobuf::Node) -> bool {
    let column = |node: &protobuf::Node| match &node.node {
        Some(NodeEnum::ColumnRef(it)) => it.fields.last().and_then(text_of).map(str::to_owned),
        _ => None,
    };
    let given = match it.target_list.first().and_then(|n| n.node.as_ref()) {
        Some(NodeEnum::ResTarget(target)) => target.val.as_deref().and_then(column),
        _ => None,
    };
    given.zip(column(test)).is_some_and(|(given, tested)| given != tested)
}

/// Whether each row of the table is a group of its own.
fn groups_by_key(it: &protobuf::SelectStmt, relation: Option<&Relation>) -> bool {
    let key = |node: &protobuf::Node| match &node.node {
        Some(NodeEnum::ColumnRef(it)) => {
            let column = it.fields.last().and_then(text_of);
            relation.is_none_or(|relation| {
                column
                    .and_then(|name| relation.column(name))
                    .is_some_and(|c| relation.key.as_slice() == [c.number])
            })
        }
        _ => false,
    };
    it.group_clause.iter().any(key)
}

/// Whether a join has a condition about rows.
fn joins_by_rows(item: &protobuf::Node) -> bool {
    match &item.node {
        Some(NodeEnum::JoinExpr(it)) => {
            it.is_natural
                || !it.using_clause.is_empty()
                || it.quals.as_deref().and_then(|n| n.node.as_ref()).is_some_and(has_column_in)
                || [&it.larg, &it.rarg].into_iter().flatten().any(|side| joins_by_rows(side))
        }
        _ => false,
    }
}

/// Whether a query's condition is nothing but that it looks at the changed row itself, in its own table.
fn is_itself(
    condition: &protobuf::Node,
    read: &[(String, Option<std::sync::Arc<Relation>>)],
    reach: &Reach<'_>,
) -> bool {
    let ([(name, Some(inner))], Some(relation)) = (read, reach.relation) else { return false };
    inner.oid == relation.oid && name != reach.name && joins_itself(condition, reach.name, name)
}

/// The query in FROM or WITH.
fn query_of(item: &protobuf::Node) -> Option<&protobuf::SelectStmt> {
    let query = match item.node.as_ref()? {
        NodeEnum::RangeSubselect(it) => it.subquery.as_deref()?,
        NodeEnum::CommonTableExpr(it) => it.ctequery.as_deref()?,
        _ => return None,
    };
    match query.node.as_ref()? {
        NodeEnum::SelectStmt(select) => Some(select),
        _ => None,
    }
}
