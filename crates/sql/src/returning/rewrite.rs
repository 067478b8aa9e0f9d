//! The list, put into a text, and the proof that nothing else changed.

use pg_query::protobuf::{self, node::Node as NodeEnum};

use super::{Change, quoted};
use crate::split;

/// The text with these columns of the changed table behind its own RETURNING list, or in a new one. `text` must be the
/// text that `change` was read from (or one of the same outline). `None`: the result does not parse to the same and the
/// list; then the text must go as it is. `more`: a subquery in parentheses as the list's last item.
pub fn with_returning(text: &[u8], change: &Change, columns: &[&str], more: Option<&str>) -> Option<Vec<u8>> {
    let end = change.end.unwrap_or_else(|| split::trimmed(text).end);
    let (head, tail) = text.split_at_checked(end)?;
    let mut out = Vec::with_capacity(text.len() + 16 + columns.len() * 24);
    out.extend_from_slice(head);
    out.extend_from_slice(if change.returns { b"," } else { b" RETURNING" });
    let qualifier = quoted(change.qualifier());
    for (i, column) in columns.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b", " } else { b" " });
        out.extend_from_slice(qualifier.as_bytes());
        out.push(b'.');
        out.extend_from_slice(quoted(column).as_bytes());
    }
    if let Some(more) = more {
        out.extend_from_slice(b", ");
        out.extend_from_slice(more.as_bytes());
    }
    out.extend_from_slice(tail);
    proven(text, &out, change, columns, more).then_some(out)
}

/// Whether both texts are the same but for the list. What is shared between texts of one outline has one answer for all of
/// them, as the outline's own argument goes: it is remembered.
fn proven(text: &[u8], rewritten: &[u8], change: &Change, columns: &[&str], more: Option<&str>) -> bool {
    let items = || columns.iter().copied().chain(more);
    let known = |list: &[String]| list.iter().map(String::as_str).eq(items());
    if change.end.is_none() && change.proven.get().is_some_and(|list| known(list)) {
        return true;
    }
    let same = is_same(text, rewritten, columns, more.is_some()).unwrap_or(false);
    if same && change.end.is_none() {
        let _ = change.proven.set(items().map(str::to_owned).collect());
    }
    same
}

fn is_same(text: &[u8], rewritten: &[u8], columns: &[&str], more: bool) -> Option<bool> {
    let before = only(std::str::from_utf8(text).ok()?)?;
    let mut after = only(std::str::from_utf8(rewritten).ok()?)?;
    let clause = match &mut after {
        NodeEnum::InsertStmt(s) => &mut s.returning_clause,
        NodeEnum::UpdateStmt(s) => &mut s.returning_clause,
        NodeEnum::DeleteStmt(s) => &mut s.returning_clause,
        _ => return None,
    };
    let list = clause.as_mut()?;
    let own = list.exprs.len().checked_sub(columns.len() + usize::from(more))?;
    let added = list.exprs.split_off(own);
    if own == 0 {
        *clause = None;
    }
    if more && !added.last().is_some_and(is_subquery) {
        return Some(false);
    }
    let as_asked = added.iter().zip(columns).all(|(node, column)| is_column(node, column));
    Some(as_asked && before == after)
}

/// The only statement of a text.
fn only(text: &str) -> Option<NodeEnum> {
    let mut parsed = pg_query::parse(text, 0).ok()?.protobuf;
    let only = parsed.stmts.pop().filter(|_| parsed.stmts.is_empty())?;
    only.stmt?.node
}

/// Whether a list's item is a subquery and nothing more.
fn is_subquery(item: &protobuf::Node) -> bool {
    let Some(NodeEnum::ResTarget(target)) = &item.node else { return false };
    let value = target.val.as_ref().and_then(|v| v.node.as_ref());
    target.name.is_empty() && matches!(value, Some(NodeEnum::SubLink(_)))
}

/// Whether a list's item is this column, qualified, and nothing more.
fn is_column(item: &protobuf::Node, column: &str) -> bool {
    let Some(NodeEnum::ResTarget(target)) = &item.node else { return false };
    let value = target.val.as_ref().and_then(|v| v.node.as_ref());
    let Some(NodeEnum::ColumnRef(reference)) = value else { return false };
    let last = reference.fields.last().and_then(|f| f.node.as_ref());
    target.name.is_empty()
        && reference.fields.len() == 2
        && matches!(last, Some(NodeEnum::String(name)) if name.sval == column)
}
