//! Which rows a statement changes: RETURNING added to its text, so that the server itself tells.
//!
//! Text rewriting works on the bytes as they came: the list is put behind the statement's last token, where the grammar
//! has it and where no position of an error moves. Comments, parameters, the semicolon and everything else stay as they
//! are. What comes out is parsed again and must be the same tree plus the list; anything else is not sent.

mod rewrite;

use std::sync::OnceLock;

use pg_query::NodeRef;
use pg_query::protobuf::{self, Token, node::Node as NodeEnum};

pub use rewrite::with_returning;

/// What a statement does to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Adds.
    Insert,
    /// Replaces.
    Update,
    /// Removes.
    Delete,
}

impl Action {
    /// The word in the record.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// A statement that changes rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Of one table, and the list can be added.
    Rows(Change),
    /// In a way that RETURNING does not tell: why, in the record's word; and of which table, if it is of just one.
    Untold(&'static str, Option<Box<Target>>),
}

/// The table that a statement changes which RETURNING does not tell of, and in which ways it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As written: see [`Change::table`].
    pub table: [String; 3],
    /// What may happen to its rows.
    pub actions: Vec<Action>,
}

impl Target {
    fn of(table: Option<&protobuf::RangeVar>, actions: Vec<Action>) -> Option<Box<Self>> {
        Some(Box::new(Self { table: name_of(table?), actions }))
    }
}

fn name_of(table: &protobuf::RangeVar) -> [String; 3] {
    [table.catalogname.clone(), table.schemaname.clone(), table.relname.clone()]
}

/// A statement that changes rows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it does.
    pub action: Action,
    /// The table as written, unquoted and folded: database, schema (both perhaps empty), name.
    pub table: [String; 3],
    /// It has a RETURNING list of its own.
    pub returns: bool,
    /// How many columns that list makes; `None`: as many as the table has, or it is not told.
    pub own_columns: Option<usize>,
    /// Its WITH clause holds further changes, which its own RETURNING does not tell.
    pub nested: bool,
    /// The columns that an UPDATE sets.
    pub sets: Vec<String>,
    /// It may insert a row or change the one that is there (ON CONFLICT DO UPDATE).
    pub upserts: bool,
    /// What columns of the table are qualified with in it.
    qualifier: String,
    /// Where the last token ends; `None`: with the trimmed text (what is shared between texts of different length).
    pub(crate) end: Option<usize>,
    /// The items for which the rewriting was proven, where `end` is `None`.
    pub(crate) proven: OnceLock<Box<[String]>>,
}

impl Change {
    /// What columns of the table are qualified with in it.
    pub fn qualifier(&self) -> &str {
        &self.qualifier
    }
}

/// A name as SQL reads it whatever it holds.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What the only statement of `text` changes. Of one among others `text` is its own part.
pub(crate) fn changes_of(statement: NodeRef<'_>, text: &str) -> Option<Changes> {
    let (action, table, returns, nested) = match statement {
        NodeRef::InsertStmt(s) => {
            let inner = match s.select_stmt.as_ref().and_then(|s| s.node.as_ref()) {
                Some(NodeEnum::SelectStmt(s)) => changes_within(s.with_clause.as_ref()),
                _ => false,
            };
            let nested = inner || changes_within(s.with_clause.as_ref());
            (Action::Insert, s.relation.as_ref(), s.returning_clause.is_some(), nested)
        }
        NodeRef::UpdateStmt(s) => {
            let nested = changes_within(s.with_clause.as_ref());
            (Action::Update, s.relation.as_ref(), s.returning_clause.is_some(), nested)
        }
        NodeRef::DeleteStmt(s) => {
            let nested = changes_within(s.with_clause.as_ref());
            (Action::Delete, s.relation.as_ref(), s.returning_clause.is_some(), nested)
        }
        NodeRef::MergeStmt(s) if changes_within(s.with_clause.as_ref()) => {
            return Some(Changes::Untold("cte", None));
        }
        NodeRef::MergeStmt(s) => {
            return Some(Changes::Untold("merge", Target::of(s.relation.as_ref(), merges(s))));
        }
        NodeRef::SelectStmt(s) if changes_within(s.with_clause.as_ref()) => {
            return Some(Changes::Untold("cte", None));
        }
        NodeRef::CopyStmt(s) if s.is_from => {
            return Some(Changes::Untold("copy", Target::of(s.relation.as_ref(), vec![Action::Insert])));
        }
        // What they are given is a query, which may itself be a change or hold one. Its rows are not those that the tag counts.
        NodeRef::CopyStmt(s) => return within(s.query.as_deref(), text),
        NodeRef::CreateTableAsStmt(s) => return within(s.query.as_deref(), text),
        NodeRef::TruncateStmt(_) => return Some(Changes::Untold("truncate", None)),
        NodeRef::DoStmt(_) | NodeRef::CallStmt(_) | NodeRef::ExecuteStmt(_) => {
            return Some(Changes::Untold("opaque", None));
        }
        NodeRef::ExplainStmt(s) => {
            let inner = s.query.as_ref().and_then(|q| q.node.as_ref())?;
            let writes = changes_of(inner.to_ref(), text).is_some();
            return (writes && crate::walk::analyzes(s)).then_some(Changes::Untold("explain", None));
        }
        _ => return None,
    };
    let table = table?;
    let Some(end) = last_token_end(text) else { return Some(Changes::Untold("unparsed", None)) };
    let alias = table.alias.as_ref().map_or(&table.relname, |alias| &alias.aliasname);
    let upserts = match statement {
        NodeRef::InsertStmt(s) => {
            let clause = s.on_conflict_clause.as_ref();
            clause.is_some_and(|clause| clause.action() == protobuf::OnConflictAction::OnconflictUpdate)
        }
        _ => false,
    };
    Some(Changes::Rows(Change {
        action,
        table: name_of(table),
        returns,
        own_columns: own_columns(statement),
        nested,
        sets: sets_of(statement),
        upserts,
        qualifier: alias.clone(),
        end: Some(end),
        proven: OnceLock::new(),
    }))
}

/// What a MERGE may do.
fn merges(s: &protobuf::MergeStmt) -> Vec<Action> {
    let clauses = s.merge_when_clauses.iter().filter_map(|clause| match &clause.node {
        Some(NodeEnum::MergeWhenClause(clause)) => Some(clause.command_type()),
        _ => None,
    });
    let mut actions = Vec::new();
    for does in clauses {
        let action = match does {
            protobuf::CmdType::CmdInsert => Action::Insert,
            protobuf::CmdType::CmdUpdate => Action::Update,
            protobuf::CmdType::CmdDelete => Action::Delete,
            _ => continue,
        };
        if !actions.contains(&action) {
            actions.push(action);
        }
    }
    actions
}

/// Whether the query in a statement changes rows.
fn within(query: Option<&protobuf::Node>, text: &str) -> Option<Changes> {
    let query = query?.node.as_ref()?;
    changes_of(query.to_ref(), text).map(|_| Changes::Untold("cte", None))
}

/// How many columns a statement's own list makes, where nothing in it stands for several.
fn own_columns(statement: NodeRef<'_>) -> Option<usize> {
    let list = match statement {
        NodeRef::InsertStmt(s) => s.returning_clause.as_ref()?,
        NodeRef::UpdateStmt(s) => s.returning_clause.as_ref()?,
        NodeRef::DeleteStmt(s) => s.returning_clause.as_ref()?,
        _ => return None,
    };
    let one = |item: &protobuf::Node| {
        let Some(NodeEnum::ResTarget(target)) = &item.node else { return false };
        match target.val.as_ref().and_then(|v| v.node.as_ref()) {
            Some(NodeEnum::ColumnRef(it)) => {
                !it.fields.iter().any(|field| matches!(field.node, Some(NodeEnum::AStar(_))))
            }
            Some(NodeEnum::AIndirection(it)) => {
                !it.indirection.iter().any(|field| matches!(field.node, Some(NodeEnum::AStar(_))))
            }
            Some(_) => true,
            None => false,
        }
    };
    list.exprs.iter().all(one).then_some(list.exprs.len())
}

/// The columns that an UPDATE sets.
fn sets_of(statement: NodeRef<'_>) -> Vec<String> {
    let NodeRef::UpdateStmt(s) = statement else { return Vec::new() };
    let name = |node: &protobuf::Node| match &node.node {
        Some(NodeEnum::ResTarget(target)) => Some(target.name.clone()),
        _ => None,
    };
    s.target_list.iter().filter_map(name).collect()
}

/// Whether a WITH clause changes rows. The grammar's own rules have such CTEs at the top level only.
fn changes_within(with: Option<&protobuf::WithClause>) -> bool {
    let ctes = with.map_or(&[][..], |with| with.ctes.as_slice());
    ctes.iter().any(|cte| match cte.node.as_ref() {
        Some(NodeEnum::CommonTableExpr(cte)) => matches!(
            cte.ctequery.as_ref().and_then(|query| query.node.as_ref()),
            Some(
                NodeEnum::InsertStmt(_)
                    | NodeEnum::UpdateStmt(_)
                    | NodeEnum::DeleteStmt(_)
                    | NodeEnum::MergeStmt(_)
            )
        ),
        _ => true,
    })
}

/// Where the last token that belongs to the only statement of `text` ends: comments and semicolons behind it do not.
fn last_token_end(text: &str) -> Option<usize> {
    let tokens = pg_query::scan(text).ok()?.tokens;
    let apart = [Token::SqlComment as i32, Token::CComment as i32, Token::Ascii59 as i32];
    let last = tokens.iter().rev().find(|token| !apart.contains(&token.token))?;
    usize::try_from(last.end).ok().filter(|end| text.is_char_boundary(*end))
}
