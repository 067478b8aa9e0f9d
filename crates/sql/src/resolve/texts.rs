//! Functions that run a query which they are given as a text. Where the text stands there as a constant, it is walked like any
//! other; which columns of the result are made of which of its columns is not followed. Any other text makes the statement opaque.

use firsthand_model::statement::{Derivation, Output};
use pg_query::protobuf::{self, a_const::Val, node::Node as NodeEnum};

use super::value::Value;
use super::{BODIES_MAX, Kind, Resolver, statement};
use crate::catalog::{Function, Oid};

/// A longer text is not read: it is parsed within the time and the stack of the statement around it.
const TEXT_MAX: usize = 8 << 10;

/// Which of the arguments are queries; `None`: it runs none, or may run others than it is given.
fn queries(f: &Function, count: usize) -> Option<usize> {
    match (f.extension.as_deref(), &*f.name) {
        (Some("tablefunc"), "crosstab") if matches!(&*f.language, "c") => Some(count),
        (Some("tablefunc"), "crosstab2" | "crosstab3" | "crosstab4") if matches!(&*f.language, "c") => {
            Some(1)
        }
        // Behind the query stand weights.
        (None, "ts_stat") if f.is_builtin() => Some(1),
        _ => None,
    }
}

/// A constant as it is written, which the server reads as this parser does.
fn constant(node: &protobuf::Node) -> Option<&str> {
    match node.node.as_ref()? {
        NodeEnum::AConst(it) => match it.val.as_ref()? {
            Val::Sval(it) => {
                Some(it.sval.as_str()).filter(|t| t.len() <= TEXT_MAX && t.is_ascii() && !t.contains('\\'))
            }
            _ => None,
        },
        _ => None,
    }
}

impl Resolver<'_> {
    /// Of a call whose queries are all known: what they do is found, and what they give is what the result is made of.
    pub(super) fn runs_texts(
        &mut self,
        f: &Function,
        nodes: &[protobuf::Node],
        result: Oid,
    ) -> Option<Value> {
        let count = queries(f, nodes.len()).filter(|_| !self.planning && self.runs_in.is_certain())?;
        let texts = nodes.iter().take(count).map(constant).collect::<Option<Vec<&str>>>()?;
        self.literal = true;
        let mut value = Value::plain(result);
        for text in &texts {
            value.take(&self.runs_query(f, text)?);
        }
        // Which of its columns is made of which of theirs is not followed.
        value.how = Derivation::Unknown;
        (!texts.is_empty()).then_some(value)
    }

    fn runs_query(&mut self, f: &Function, text: &str) -> Option<Value> {
        if self.bodies.len() >= BODIES_MAX {
            return None;
        }
        let parsed = pg_query::parse(text, 0).ok()?;
        let [only] = parsed.protobuf.stmts.as_slice() else { return None };
        let node @ NodeEnum::SelectStmt(query) = only.stmt.as_ref()?.node.as_ref()? else { return None };
        if statement::into_clause(query).is_some() {
            return None;
        }
        // It is read when it runs, in the path of that moment, as a body is.
        let mut inner = self.inner(self.runs_in.clone());
        inner.bodies.push((Kind::Function, f.oid));
        inner.steps = self.steps;
        let followed = inner.body_statement(node);
        inner.check_complete(node);
        self.steps = inner.steps;
        self.by_name |= inner.by_name;
        let facts = inner.found.finish();
        self.found.take(&facts);
        let Output::Columns(columns) = &facts.output else { return None };
        let mut value = Value::plain(0);
        for column in columns {
            if column.derivation == Derivation::Unknown {
                return None;
            }
            value.take(&self.found.output_value(column, 0));
        }
        followed.then_some(value)
    }
}
