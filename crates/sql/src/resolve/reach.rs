//! Whether the condition of a change leaves rows out, by what is in the row.
//!
//! Told is what the condition plainly says: one of the things that must all hold is about a column of the changed table, and is
//! no comparison of it with itself. So `true`, `1 = 1`, `id = id`, `id IS NOT NULL` where it never is, OR with one of them, and
//! conditions about other tables alone leave the change unbounded; so does a query inside that gives all of the table's own rows. `id <> -1` is not seen through: how many rows that is only an
//! estimate tells.

mod queries;

use std::collections::BTreeSet;
use std::sync::Arc;

use pg_query::NodeRef;
use pg_query::protobuf::{
    self, AExprKind, BoolExprType, BoolTestType, NullTestType, SubLinkType, a_const::Val,
    node::Node as NodeEnum,
};

use super::Resolver;
use super::from::{Columns, Table};
use super::{naming, text_of};
use crate::catalog::Relation;

/// How deep a condition is looked into. Below, nothing is taken for a restriction.
const DEPTH_MAX: usize = 64;

/// Columns that every table has.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// A condition's place: the changed table, and what queries inside the condition read.
struct Reach<'r> {
    name: &'r str,
    relation: Option<&'r Relation>,
    inner: Vec<Vec<(String, Option<Arc<Relation>>)>>,
    /// A query inside has a WITH: a name may stand for a query of it.
    has_with: bool,
    /// Its rows are not all of one table's.
    has_children: bool,
    /// Queries that names stand for.
    with: Option<&'r With<'r>>,
}

/// A WITH clause, in those around it.
#[derive(Clone, Copy)]
struct With<'w> {
    clause: &'w protobuf::WithClause,
    outer: Option<&'w With<'w>>,
}

impl<'w> With<'w> {
    /// The query of that name, where it gives its columns as they are.
    fn query(&self, name: &str) -> Option<&'w protobuf::SelectStmt> {
        let ctes = self.clause.ctes.iter().filter_map(|cte| match &cte.node {
            Some(NodeEnum::CommonTableExpr(cte)) => Some(cte),
            _ => None,
        });
        let Some(cte) = ctes.rev().find(|cte| cte.ctename == name) else { return self.outer?.query(name) };
        let plain = !self.clause.recursive && cte.aliascolnames.is_empty();
        match cte.ctequery.as_deref()?.node.as_ref()? {
            NodeEnum::SelectStmt(query) if plain => Some(query),
            _ => None,
        }
    }
}

/// A column named in an expression.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Named<'n> {
    /// Of the changed table.
    Target(&'n str),
    /// Of another.
    Other(Vec<&'n str>),
}

impl Named<'_> {
    const fn is_target(&self) -> bool {
        matches!(self, Self::Target(_))
    }
}

type All<'n> = BTreeSet<Named<'n>>;

impl Resolver<'_> {
    /// Whether a condition leaves out rows of this table. `beside`: what else the change reads, the table itself among it or not;
    /// `from`: the same as it is written; `with`: queries of the change's own.
    pub(super) fn restricts(
        &mut self,
        node: &protobuf::Node,
        target: &Table,
        beside: &[Table],
        from: &[protobuf::Node],
        with: Option<&protobuf::WithClause>,
    ) -> bool {
        let of = |table: &Table| match &table.columns {
            Columns::Of(relation, _) => Some(Arc::clone(relation)),
            Columns::Given(_) | Columns::Open => None,
        };
        let relation = of(target);
        let mut others = beside.iter().filter(|table| table.name != target.name);
        if let (Some(relation), Some(only), None) = (&relation, others.next(), others.next())
            && of(only).is_some_and(|other| other.oid == relation.oid)
            && joins_itself(node, &target.name, &only.name)
        {
            return false;
        }
        let mut reach = Reach::of(&target.name, relation.as_deref());
        reach.has_children = relation.as_ref().is_none_or(|r| !self.catalog.descendants(r.oid).is_empty());
        let own = with.map(|clause| With { clause, outer: None });
        reach.with = own.as_ref();
        if let [item] = from
            && self.joins_all(node, item, &reach)
        {
            return false;
        }
        self.leaves_out(node, &mut reach, 0, false)
    }

    /// `negated`: it stands under NOT.
    fn leaves_out(
        &mut self,
        node: &protobuf::Node,
        reach: &mut Reach<'_>,
        depth: usize,
        negated: bool,
    ) -> bool {
        let Some(inner) = node.node.as_ref().filter(|_| depth < DEPTH_MAX) else { return false };
        match inner {
            NodeEnum::BoolExpr(it) => {
                if it.boolop() == BoolExprType::OrExpr && !negated && holds_either_way(&it.args) {
                    return false;
                }
                let mut deeper = |n: &protobuf::Node, negated| self.leaves_out(n, reach, depth + 1, negated);
                match (it.boolop(), negated) {
                    (BoolExprType::NotExpr, _) => it.args.iter().any(|n| deeper(n, !negated)),
                    (BoolExprType::AndExpr, false) | (BoolExprType::OrExpr, true) => {
                        it.args.iter().any(|n| deeper(n, negated))
                    }
                    // What never holds lets no row in.
                    _ => it.args.iter().all(|n| truth(n) == Some(negated) || deeper(n, negated)),
                }
            }
            NodeEnum::BooleanTest(it) => {
                let Some(arg) = it.arg.as_deref() else { return false };
                match it.booltesttype() {
                    BoolTestType::IsTrue | BoolTestType::IsNotFalse => {
                        self.leaves_out(arg, reach, depth + 1, negated)
                    }
                    BoolTestType::IsFalse | BoolTestType::IsNotTrue => {
                        self.leaves_out(arg, reach, depth + 1, !negated)
                    }
                    _ => self.is_about_target(node, reach),
                }
            }
            NodeEnum::AExpr(it) => self.comparison_leaves_out(it, node, reach, depth, negated),
            // Nothing is left in where the column is never null.
            NodeEnum::NullTest(it) if (it.nulltesttype() == NullTestType::IsNull) != negated => {
                it.arg.as_deref().is_some_and(|arg| self.is_about_target(arg, reach))
            }
            NodeEnum::SubLink(it) if !negated => self.query_leaves_out(it, node, reach, depth),
            NodeEnum::CurrentOfExpr(_) => true,
            _ => self.is_about_target(node, reach),
        }
    }

    fn comparison_leaves_out(
        &mut self,
        it: &protobuf::AExpr,
        node: &protobuf::Node,
        reach: &mut Reach<'_>,
        depth: usize,
        negated: bool,
    ) -> bool {
        let like =
            matches!(it.kind(), AExprKind::AexprLike | AExprKind::AexprIlike | AExprKind::AexprSimilar);
        if like && let Some(pattern) = it.rexpr.as_deref().and_then(pattern_of) {
            self.literal = true;
            let all = !pattern.is_empty() && pattern.bytes().all(|b| b == b'%');
            let not = it.name.last().and_then(text_of).is_some_and(|n| n.starts_with('!'));
            return (not != negated || !all) && self.is_about_target(node, reach);
        }
        let empty = match it.kind() {
            AExprKind::AexprOpAll => !negated,
            AExprKind::AexprOpAny => negated,
            _ => false,
        };
        if empty && it.rexpr.as_deref().is_some_and(is_empty_array) {
            self.literal = true;
            return false;
        }
        if !negated
            && it.kind() == AExprKind::AexprOpAny
            && it.name.last().and_then(text_of) == Some("=")
            && let (Some(test), Some(NodeEnum::SubLink(list))) =
                (it.lexpr.as_deref(), it.rexpr.as_deref().and_then(|n| n.node.as_ref()))
            && list.sub_link_type() == SubLinkType::ArraySublink
        {
            return self.list_leaves_out(list, test, reach, depth);
        }
        if negated && (differs(it) || compares(it)) {
            // That two things do not differ is that they are equal.
            let mut all = All::new();
            self.compared(it, reach, &mut all, 0, true);
            return all.iter().any(Named::is_target);
        }
        self.is_about_target(node, reach)
    }

    fn is_about_target(&mut self, node: &protobuf::Node, reach: &mut Reach<'_>) -> bool {
        let mut all = All::new();
        self.columns_of(Some(node), reach, &mut all, 0);
        all.iter().any(Named::is_target)
    }

    fn columns_of<'n>(
        &mut self,
        node: Option<&'n protobuf::Node>,
        reach: &mut Reach<'_>,
        all: &mut All<'n>,
        depth: usize,
    ) {
        if let Some(node) = node.and_then(|n| n.node.as_ref()) {
            self.columns_in(node.to_ref(), reach, all, depth);
        }
    }

    /// The columns that decide what comes of an expression: not those in a comparison of something with itself.
    fn columns_in<'n>(&mut self, node: NodeRef<'n>, reach: &mut Reach<'_>, all: &mut All<'n>, depth: usize) {
        if depth >= DEPTH_MAX {
            return;
        }
        match node {
            NodeRef::ColumnRef(it) => {
                let names: Option<Vec<&str>> = it.fields.iter().map(text_of).collect();
                all.extend(names.and_then(|names| reach.named(names)));
                return;
            }
            NodeRef::AExpr(it) if compares(it) || differs(it) => {
                return self.compared(it, reach, all, depth, false);
            }
            NodeRef::NullTest(it) if it.arg.as_deref().is_some_and(|arg| reach.is_never_null(arg, depth)) => {
                return;
            }
            NodeRef::BooleanTest(it)
                if matches!(it.booltesttype(), BoolTestType::IsUnknown | BoolTestType::IsNotUnknown)
                    && it.arg.as_deref().is_some_and(|arg| reach.is_never_null(arg, depth)) =>
            {
                return;
            }
            NodeRef::CaseExpr(it) => return self.case_columns(it, reach, all, depth),
            NodeRef::CoalesceExpr(it) if it.args.first().and_then(truth).is_some() => return,
            NodeRef::SubLink(it) if it.sub_link_type() == SubLinkType::ExistsSublink => {
                if let Some(NodeEnum::SelectStmt(select)) =
                    it.subselect.as_deref().and_then(|n| n.node.as_ref())
                {
                    self.exists_columns(select, reach, all, depth + 1);
                }
                return;
            }
            NodeRef::SelectStmt(it) => {
                reach.has_with |= it.with_clause.is_some();
                let read = self.read_by(it, reach.has_with);
                reach.inner.push(read);
            }
            _ => {}
        }
        let mut children = Vec::new();
        crate::tree::push_children(node, &mut children);
        for child in children {
            self.columns_in(child, reach, all, depth + 1);
        }
        if matches!(node, NodeRef::SelectStmt(_)) {
            reach.inner.pop();
        }
    }

    /// Those of a comparison. `equal`: it says that they do not differ.
    fn compared<'n>(
        &mut self,
        it: &'n protobuf::AExpr,
        reach: &mut Reach<'_>,
        all: &mut All<'n>,
        depth: usize,
        equal: bool,
    ) {
        let (mut left, mut right) = (All::new(), All::new());
        self.columns_of(it.lexpr.as_deref(), reach, &mut left, depth + 1);
        self.columns_of(it.rexpr.as_deref(), reach, &mut right, depth + 1);
        let is_in = it.kind() == AExprKind::AexprIn;
        let bare = |side: &Option<Box<protobuf::Node>>| {
            matches!(side.as_deref().and_then(|n| n.node.as_ref()), Some(NodeEnum::ColumnRef(_)))
        };
        let with_itself = if compares(it) || equal {
            left == right || (is_in && left.is_subset(&right))
        } else {
            // A column never differs from itself.
            left == right && bare(&it.lexpr) && bare(&it.rexpr)
        };
        if left.is_empty() || !with_itself {
            all.extend(left.into_iter().chain(right));
        }
    }

    /// Those of CASE: what stands behind one that always holds does not count, nor does anything if all results
    /// are the same word.
    fn case_columns<'n>(
        &mut self,
        it: &'n protobuf::CaseExpr,
        reach: &mut Reach<'_>,
        all: &mut All<'n>,
        depth: usize,
    ) {
        let (mut conditions, mut results, mut last) = (Vec::new(), Vec::new(), it.defresult.as_deref());
        for when in it.args.iter().filter_map(|n| n.node.as_ref()) {
            let NodeEnum::CaseWhen(when) = when else { continue };
            let holds = match &it.arg {
                Some(arg) => when.expr.as_deref().filter(|own| is_same_constant(arg, own)).map(|_| true),
                None => when.expr.as_deref().and_then(truth),
            };
            match holds {
                Some(false) => {}
                Some(true) => {
                    last = when.result.as_deref();
                    break;
                }
                None => {
                    conditions.push(when.expr.as_deref());
                    results.push(when.result.as_deref());
                }
            }
        }
        let word = last.and_then(truth);
        if word.is_some() && results.iter().all(|result| result.and_then(truth) == word) {
            return;
        }
        let arg = it.arg.as_deref().filter(|_| !conditions.is_empty());
        for part in conditions.into_iter().chain(results).chain([arg, last]) {
            self.columns_of(part, reach, all, depth + 1);
        }
    }

    /// What stands in a query's FROM, by name; without a relation where its columns are not looked up.
    fn read_by(&mut self, it: &protobuf::SelectStmt, has_with: bool) -> Vec<(String, Option<Arc<Relation>>)> {
        let mut out = Vec::new();
        let mut waiting: Vec<&protobuf::Node> = it.from_clause.iter().collect();
        while let Some(item) = waiting.pop() {
            let (alias, relation) = match &item.node {
                Some(NodeEnum::RangeVar(it)) => {
                    let schema = Some(it.schemaname.as_str()).filter(|s| !s.is_empty());
                    // A query of WITH hides a table.
                    let hidden = schema.is_none()
                        && (has_with || self.ctes.iter().any(|cte| *cte.name == *it.relname));
                    let relation = if hidden { None } else { self.find_relation(schema, &it.relname) };
                    let renamed = it.alias.as_ref().is_some_and(|alias| !alias.colnames.is_empty());
                    let name = it.alias.as_ref().map_or(&it.relname, |alias| &alias.aliasname);
                    (Some(name), relation.filter(|_| !renamed))
                }
                Some(NodeEnum::JoinExpr(it)) => {
                    waiting.extend([&it.larg, &it.rarg].into_iter().filter_map(|side| side.as_deref()));
                    match &it.alias {
                        Some(alias) => (Some(&alias.aliasname), None),
                        None => continue,
                    }
                }
                Some(NodeEnum::RangeSubselect(it)) => (it.alias.as_ref().map(|a| &a.aliasname), None),
                Some(NodeEnum::RangeFunction(it)) => (it.alias.as_ref().map(|a| &a.aliasname), None),
                _ => (None, None),
            };
            out.push((alias.cloned().unwrap_or_default(), relation));
        }
        out
    }
}

impl<'r> Reach<'r> {
    const fn of(name: &'r str, relation: Option<&'r Relation>) -> Self {
        Self { name, relation, inner: Vec::new(), has_with: false, has_children: true, with: None }
    }

    /// Whose column a name is; `None`: it is no column of a table's.
    fn named<'n>(&self, names: Vec<&'n str>) -> Option<Named<'n>> {
        let (column, table) = match names.as_slice() {
            [] => return None,
            [column] => (*column, None),
            [.., table, column] => (*column, Some(*table)),
        };
        let nearer = self.inner.iter().flatten().any(|(name, relation)| match table {
            Some(table) => name == table,
            None => relation.as_ref().is_none_or(|relation| relation.column(column).is_some()),
        });
        let own = !nearer
            && match table {
                Some(table) => table == self.name,
                None => {
                    self.relation.is_none_or(|relation| relation.column(column).is_some())
                        || SYSTEM_COLUMNS.contains(&column)
                        || column == self.name
                }
            };
        // It is the same in every row.
        if own && column == "tableoid" && !self.has_children {
            return None;
        }
        Some(if own { Named::Target(column) } else { Named::Other(names) })
    }

    /// Whether nothing but columns of the changed table that are never null makes it, in a way that keeps it so.
    fn is_never_null(&self, node: &protobuf::Node, depth: usize) -> bool {
        if depth >= DEPTH_MAX {
            return false;
        }
        let deeper = |n: &protobuf::Node| self.is_never_null(n, depth + 1);
        match &node.node {
            Some(NodeEnum::ColumnRef(it)) => {
                let names: Option<Vec<&str>> = it.fields.iter().map(text_of).collect();
                let (Some(relation), Some(Named::Target(column))) =
                    (self.relation, names.and_then(|names| self.named(names)))
                else {
                    return false;
                };
                relation.column(column).is_none_or(|c| c.not_null || relation.key.contains(&c.number))
            }
            Some(NodeEnum::TypeCast(it)) => it.arg.as_deref().is_some_and(deeper),
            Some(NodeEnum::RowExpr(it)) => it.args.iter().all(deeper),
            Some(NodeEnum::CoalesceExpr(it)) => it.args.iter().any(deeper),
            Some(NodeEnum::AConst(it)) => !it.isnull,
            Some(NodeEnum::AExpr(it)) if it.kind() == AExprKind::AexprOp && (compares(it) || differs(it)) => {
                [&it.lexpr, &it.rexpr].into_iter().all(|side| side.as_deref().is_some_and(deeper))
            }
            Some(NodeEnum::BoolExpr(it)) => it.args.iter().all(deeper),
            Some(NodeEnum::NullTest(_) | NodeEnum::BooleanTest(_)) => true,
            // What no column decides is the same for every row.
            Some(node) => !has_column_in(node),
            None => false,
        }
    }
}

/// Whether it tells two things equal, or one above the other: of the same thing twice that says nothing. That a thing differs from
/// what is made of it does (`name <> trim(name)`).
fn compares(it: &protobuf::AExpr) -> bool {
    let name = it.name.last().and_then(text_of).unwrap_or_default();
    match it.kind() {
        AExprKind::AexprOp => matches!(name, "=" | "<" | ">" | "<=" | ">="),
        AExprKind::AexprIn => name == "=",
        AExprKind::AexprDistinct => false,
        AExprKind::AexprOpAny
        | AExprKind::AexprOpAll
        | AExprKind::AexprNotDistinct
        | AExprKind::AexprLike
        | AExprKind::AexprIlike
        | AExprKind::AexprSimilar
        | AExprKind::AexprBetween
        | AExprKind::AexprBetweenSym => true,
        _ => false,
    }
}

/// Whether it tells that two things differ.
fn differs(it: &protobuf::AExpr) -> bool {
    match it.kind() {
        AExprKind::AexprOp => matches!(it.name.last().and_then(text_of), Some("<>" | "!=")),
        AExprKind::AexprDistinct => true,
        _ => false,
    }
}

/// Whether both are the same constant, and not NULL.
fn is_same_constant(one: &protobuf::Node, other: &protobuf::Node) -> bool {
    match (&one.node, &other.node) {
        (Some(NodeEnum::AConst(one)), Some(NodeEnum::AConst(other))) => {
            !one.isnull && one.val.is_some() && one.val == other.val
        }
        _ => false,
    }
}

/// `'{}'`, `ARRAY[]::int[]`.
fn is_empty_array(node: &protobuf::Node) -> bool {
    match &node.node {
        Some(NodeEnum::TypeCast(it)) => it.arg.as_deref().is_some_and(is_empty_array),
        Some(NodeEnum::AArrayExpr(it)) => it.elements.is_empty(),
        _ => naming::string(node).is_some_and(|text| text.trim() == "{}"),
    }
}

/// The pattern of LIKE and SIMILAR TO, also with ESCAPE.
fn pattern_of(node: &protobuf::Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::FuncCall(it)) => {
            let escapes = matches!(super::name_of(&it.funcname).1, "similar_to_escape" | "like_escape");
            let plain = it.args.iter().skip(1).all(|sign| naming::string(sign).is_some_and(|s| s != "%"));
            naming::string(it.args.first().filter(|_| escapes && plain)?)
        }
        _ => naming::string(node),
    }
}

/// `a IS NULL OR a IS NOT NULL`.
fn holds_either_way(args: &[protobuf::Node]) -> bool {
    let tests = args.iter().filter_map(|n| match &n.node {
        Some(NodeEnum::NullTest(it)) => match &it.arg.as_deref()?.node {
            Some(NodeEnum::ColumnRef(column)) => {
                let names: Option<Vec<&str>> = column.fields.iter().map(text_of).collect();
                Some((it.nulltesttype(), names?))
            }
            _ => None,
        },
        _ => None,
    });
    let tests: Vec<(NullTestType, Vec<&str>)> = tests.collect();
    tests.iter().any(|(kind, names)| tests.iter().any(|(other, of)| kind != other && names == of))
}

/// What a condition without anything in it comes to: `true`, `1 = 1`.
fn truth(node: &protobuf::Node) -> Option<bool> {
    match node.node.as_ref()? {
        NodeEnum::AConst(it) => match it.val {
            Some(Val::Boolval(it)) => Some(it.boolval),
            _ => None,
        },
        NodeEnum::AExpr(it) if it.kind() == AExprKind::AexprOp && compares(it) => {
            let same = is_same_constant(it.lexpr.as_deref()?, it.rexpr.as_deref()?);
            (it.name.last().and_then(text_of) == Some("=") && same).then_some(true)
        }
        NodeEnum::CoalesceExpr(it) => it.args.first().and_then(truth),
        _ => None,
    }
}

/// Whether it is nothing but that the table's row is the row of the same table beside it, under another name.
fn joins_itself(node: &protobuf::Node, target: &str, beside: &str) -> bool {
    match &node.node {
        Some(NodeEnum::BoolExpr(it)) if it.boolop() == BoolExprType::AndExpr => {
            it.args.iter().all(|n| truth(n) == Some(true) || joins_itself(n, target, beside))
        }
        Some(NodeEnum::AExpr(it)) if it.kind() == AExprKind::AexprOp && compares(it) => {
            let (Some(left), Some(right)) = (it.lexpr.as_deref(), it.rexpr.as_deref()) else { return false };
            it.name.last().and_then(text_of) == Some("=") && are_the_same(left, right, target, beside)
        }
        _ => false,
    }
}

/// Whether these are the same columns of the table's row and of the row beside it.
fn are_the_same(left: &protobuf::Node, right: &protobuf::Node, target: &str, beside: &str) -> bool {
    if let (Some(NodeEnum::RowExpr(left)), Some(NodeEnum::RowExpr(right))) = (&left.node, &right.node) {
        let pairs = || left.args.iter().zip(&right.args);
        return left.args.len() == right.args.len()
            && !left.args.is_empty()
            && pairs().all(|(left, right)| are_the_same(left, right, target, beside));
    }
    // A table's name alone is its row.
    let name = |node: &protobuf::Node| match node.node.as_ref()? {
        NodeEnum::ColumnRef(it) => {
            let names: Vec<&str> = it.fields.iter().map(text_of).collect::<Option<_>>()?;
            match names.as_slice() {
                [whole] if *whole == target || *whole == beside => Some(((*whole).to_owned(), String::new())),
                [column] => Some((beside.to_owned(), (*column).to_owned())),
                [.., table, column] => Some(((*table).to_owned(), (*column).to_owned())),
                [] => None,
            }
        }
        _ => None,
    };
    let (Some(left), Some(right)) = (name(left), name(right)) else { return false };
    let both = (left.0 == target && right.0 == beside) || (left.0 == beside && right.0 == target);
    both && left.1 == right.1
}

/// Whether a column is named in it.
pub(super) fn has_column_in(node: &NodeEnum) -> bool {
    let mut waiting = vec![node.to_ref()];
    while let Some(node) = waiting.pop() {
        if matches!(node, NodeRef::ColumnRef(_)) {
            return true;
        }
        crate::tree::push_children(node, &mut waiting);
    }
    false
}
