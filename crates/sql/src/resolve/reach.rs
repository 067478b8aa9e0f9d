//! Whether the condition of a change leaves rows out, by what is in the row.
//!
//! Told is what the condition plainly says: one of the things that must all hold is about a column of the changed table, and is
//! no comparison of it with itself. So `true`, `1 = 1`, `id = id`, `id IS NOT NULL` where it never is, OR with one of them, and
//! conditions about other tables alone leave the change unbounded. `id <> -1` is not seen through: how many rows that is only an
//! estimate tells.

use std::collections::BTreeSet;
use std::sync::Arc;

use pg_query::NodeRef;
use pg_query::protobuf::{self, AExprKind, BoolExprType, NullTestType, node::Node as NodeEnum};

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
    /// Whether a condition leaves out rows of this table.
    pub(super) fn restricts(&mut self, node: &protobuf::Node, target: &Table) -> bool {
        let relation = match &target.columns {
            Columns::Of(relation, _) => Some(Arc::clone(relation)),
            Columns::Given(_) | Columns::Open => None,
        };
        let mut reach =
            Reach { name: &target.name, relation: relation.as_deref(), inner: Vec::new(), has_with: false };
        self.leaves_out(node, &mut reach, 0)
    }

    fn leaves_out(&mut self, node: &protobuf::Node, reach: &mut Reach<'_>, depth: usize) -> bool {
        let Some(inner) = node.node.as_ref().filter(|_| depth < DEPTH_MAX) else { return false };
        match inner {
            NodeEnum::BoolExpr(it) => {
                let mut arms = it.args.iter();
                match it.boolop() {
                    BoolExprType::AndExpr => arms.any(|n| self.leaves_out(n, reach, depth + 1)),
                    BoolExprType::OrExpr => arms.all(|n| self.leaves_out(n, reach, depth + 1)),
                    _ => self.is_about_target(node, reach),
                }
            }
            NodeEnum::AExpr(it) => {
                let like = matches!(
                    it.kind(),
                    AExprKind::AexprLike | AExprKind::AexprIlike | AExprKind::AexprSimilar
                );
                if like && let Some(pattern) = it.rexpr.as_deref().and_then(naming::string) {
                    self.literal = true;
                    let all = !pattern.is_empty() && pattern.bytes().all(|b| b == b'%');
                    let not = it.name.last().and_then(text_of).is_some_and(|n| n.starts_with('!'));
                    return (not || !all) && self.is_about_target(node, reach);
                }
                self.is_about_target(node, reach)
            }
            // Nothing is left in where the column is never null.
            NodeEnum::NullTest(it) if it.nulltesttype() == NullTestType::IsNull => {
                it.arg.as_deref().is_some_and(|arg| self.is_about_target(arg, reach))
            }
            NodeEnum::SubLink(it) => self.query_leaves_out(it, node, reach),
            NodeEnum::CurrentOfExpr(_) => true,
            _ => self.is_about_target(node, reach),
        }
    }

    fn query_leaves_out(
        &mut self,
        it: &protobuf::SubLink,
        node: &protobuf::Node,
        reach: &mut Reach<'_>,
    ) -> bool {
        // EXISTS is about the row only if something in it is.
        let Some(test) = &it.testexpr else { return self.is_about_target(node, reach) };
        let select = match it.subselect.as_deref().and_then(|n| n.node.as_ref()) {
            Some(NodeEnum::SelectStmt(select)) => Some(select),
            _ => None,
        };
        let table = reach.relation.map_or(reach.name, |relation| &relation.name).to_owned();
        let selects = select.is_none_or(|s| {
            s.where_clause.as_deref().and_then(|n| n.node.as_ref()).is_some_and(has_column_in)
                || s.limit_count.is_some()
                || s.having_clause.is_some()
                || s.larg.is_some()
                || !s.from_clause.iter().any(|item| names_table(item, &table))
        });
        selects && self.is_about_target(test, reach)
    }

    fn is_about_target(&mut self, node: &protobuf::Node, reach: &mut Reach<'_>) -> bool {
        let mut all = All::new();
        if let Some(node) = &node.node {
            self.columns_in(node.to_ref(), reach, &mut all, 0);
        }
        all.iter().any(Named::is_target)
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
            NodeRef::AExpr(it) if compares(it) => {
                let (mut left, mut right) = (All::new(), All::new());
                for (side, found) in [(&it.lexpr, &mut left), (&it.rexpr, &mut right)] {
                    if let Some(node) = side.as_deref().and_then(|n| n.node.as_ref()) {
                        self.columns_in(node.to_ref(), reach, found, depth + 1);
                    }
                }
                let is_in = it.kind() == AExprKind::AexprIn;
                let with_itself = left == right || (is_in && left.is_subset(&right));
                if left.is_empty() || !with_itself {
                    all.extend(left.into_iter().chain(right));
                }
                return;
            }
            NodeRef::NullTest(it) if it.arg.as_deref().is_some_and(|arg| reach.is_never_null(arg, depth)) => {
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

impl Reach<'_> {
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
            _ => false,
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

fn names_table(item: &protobuf::Node, name: &str) -> bool {
    matches!(&item.node, Some(NodeEnum::RangeVar(table)) if table.relname == name)
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
