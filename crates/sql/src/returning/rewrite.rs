//! The list, put into a text, and the proof that nothing else changed.

use pg_query::protobuf::{self, node::Node as NodeEnum};

use super::Change;
use crate::split;

/// The text with these items behind its own RETURNING list, or in a new one. `text` must be the text that `change` was read
/// from (or one of the same outline). `None`: the result does not parse to the same and the list; then the text must go as
/// it is. An item is a column, a `ROW`, a `CASE` or a subquery, written so that it means itself whatever the search path.
pub fn with_returning(text: &[u8], change: &Change, items: &[String]) -> Option<Vec<u8>> {
    let end = change.end.unwrap_or_else(|| split::trimmed(text).end);
    let (head, tail) = text.split_at_checked(end)?;
    let added: usize = items.iter().map(|item| item.len() + 2).sum();
    let mut out = Vec::with_capacity(text.len() + 16 + added);
    out.extend_from_slice(head);
    out.extend_from_slice(if change.returns { b"," } else { b" RETURNING" });
    for (i, item) in items.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b", " } else { b" " });
        out.extend_from_slice(item.as_bytes());
    }
    out.extend_from_slice(tail);
    proven(text, &out, change, items).then_some(out)
}

/// Whether both texts are the same but for the list. What is shared between texts of one outline has one answer for all of
/// them, as the outline's own argument goes: it is remembered.
fn proven(text: &[u8], rewritten: &[u8], change: &Change, items: &[String]) -> bool {
    if change.end.is_none() && change.proven.get().is_some_and(|list| **list == *items) {
        return true;
    }
    let same = is_same(text, rewritten, items.len()).unwrap_or(false);
    if same && change.end.is_none() {
        let _ = change.proven.set(items.into());
    }
    same
}

fn is_same(text: &[u8], rewritten: &[u8], items: usize) -> Option<bool> {
    let before = only(std::str::from_utf8(text).ok()?)?;
    let mut after = only(std::str::from_utf8(rewritten).ok()?)?;
    let clause = match &mut after {
        NodeEnum::InsertStmt(s) => &mut s.returning_clause,
        NodeEnum::UpdateStmt(s) => &mut s.returning_clause,
        NodeEnum::DeleteStmt(s) => &mut s.returning_clause,
        _ => return None,
    };
    let list = clause.as_mut()?;
    let own = list.exprs.len().checked_sub(items)?;
    let added = list.exprs.split_off(own);
    if own == 0 {
        *clause = None;
    }
    Some(added.iter().all(is_item) && before == after)
}

/// The only statement of a text.
fn only(text: &str) -> Option<NodeEnum> {
    let mut parsed = pg_query::parse(text, 0).ok()?.protobuf;
    let only = parsed.stmts.pop().filter(|_| parsed.stmts.is_empty())?;
    only.stmt?.node
}

/// Whether a list's item is one of those that are added.
fn is_item(item: &protobuf::Node) -> bool {
    let Some(NodeEnum::ResTarget(target)) = &item.node else { return false };
    let value = target.val.as_ref().and_then(|v| v.node.as_ref());
    let known = matches!(
        value,
        Some(NodeEnum::ColumnRef(_) | NodeEnum::RowExpr(_) | NodeEnum::CaseExpr(_) | NodeEnum::SubLink(_))
    );
    known && target.name.is_empty()
}
