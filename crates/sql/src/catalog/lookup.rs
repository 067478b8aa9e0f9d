//! Finding things in a snapshot.

use std::sync::Arc;

use super::{Cast, Catalog, Column, FIRST_USER_OID, Function, Oid, Operator, Relation, Type};

impl Catalog {
    /// The name of a schema; empty: not known.
    pub(crate) fn schema_name(&self, oid: Oid) -> Arc<str> {
        self.schema_names.get(&oid).cloned().unwrap_or_default()
    }

    /// The relation of that name.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Arc<Relation>> {
        self.relation_in(*self.schemas.get(schema)?, name)
    }

    pub(crate) fn relation_in(&self, schema: Oid, name: &str) -> Option<&Arc<Relation>> {
        self.relations.get(self.relation_names.get(&(schema, Arc::from(name)))?)
    }

    /// The relation of that number.
    pub fn relation_by_oid(&self, oid: Oid) -> Option<&Arc<Relation>> {
        self.relations.get(&oid)
    }

    /// All relations, in no order.
    pub fn relations(&self) -> impl Iterator<Item = &Arc<Relation>> {
        self.relations.values()
    }

    /// The type of that number.
    pub fn type_by_oid(&self, oid: Oid) -> Option<&Arc<Type>> {
        self.types.get(&oid)
    }

    pub(crate) fn type_in(&self, schema: Oid, name: &str) -> Option<&Arc<Type>> {
        self.types.get(self.type_names.get(&(schema, Arc::from(name)))?)
    }

    /// The function of that number.
    pub fn function_by_oid(&self, oid: Oid) -> Option<&Arc<Function>> {
        self.functions.get(&oid)
    }

    /// Functions of that `schema.name`, each with its own arguments.
    pub fn functions_called(&self, full: &str) -> impl Iterator<Item = &Arc<Function>> {
        let named = full.rsplit('.').next().map(|name| self.functions_named(name));
        let mut found: Vec<_> = named.into_iter().flatten().filter(|it| it.full_name() == full).collect();
        found.sort_by_key(|it| it.oid);
        found.into_iter()
    }

    /// Functions of that name, in all schemas.
    pub(crate) fn functions_named(&self, name: &str) -> impl Iterator<Item = &Arc<Function>> {
        self.function_names.get(name).into_iter().flatten().filter_map(|oid| self.functions.get(oid))
    }

    /// The role of that name.
    pub fn role(&self, name: &str) -> Option<&super::Role> {
        self.roles.values().find(|r| &*r.name == name)
    }

    /// The columns that a generated column's expression names, in its table or in one below it; of a column that is not
    /// generated none.
    pub fn generated_from(&self, relation: Oid, column: &str) -> Vec<(&Arc<Relation>, &Column)> {
        let mut out = Vec::new();
        for (_, table) in self.generated.get(&relation).into_iter().flatten().filter(|(n, _)| **n == *column)
        {
            let Some(it) = self.relations.get(table) else { continue };
            let text = it.column(column).and_then(|c| c.default.as_deref()).unwrap_or_default();
            let Ok(parsed) = pg_query::parse(&format!("SELECT {text}"), 0) else { continue };
            let mut waiting: Vec<_> = parsed
                .protobuf
                .stmts
                .iter()
                .filter_map(|s| s.stmt.as_ref()?.node.as_ref())
                .map(|n| n.to_ref())
                .collect();
            while let Some(node) = waiting.pop() {
                if let pg_query::NodeRef::ColumnRef(named) = node
                    && let Some(name) = named.fields.last().and_then(crate::resolve::text_of)
                    && let Some(found) = it.column(name)
                {
                    out.push((it, found));
                }
                crate::tree::push_children(node, &mut waiting);
            }
        }
        out
    }

    /// All tables below this one, itself left out.
    pub(crate) fn descendants(&self, oid: Oid) -> Vec<Oid> {
        let mut out: Vec<Oid> = Vec::new();
        let mut waiting = vec![oid];
        while let Some(next) = waiting.pop() {
            for child in self.children.get(&next).into_iter().flatten() {
                if *child != oid && !out.contains(child) {
                    out.push(*child);
                    waiting.push(*child);
                }
            }
        }
        out
    }

    /// The type below all domains.
    pub(crate) fn base_type(&self, mut oid: Oid) -> Oid {
        for _ in 0..32 {
            match self.types.get(&oid) {
                Some(it) if it.kind == b'd' => oid = it.base,
                _ => break,
            }
        }
        oid
    }

    /// The relation whose rows are of this type.
    pub(crate) fn row_type(&self, oid: Oid) -> Option<&Arc<Relation>> {
        let it = self.types.get(&self.base_type(oid))?;
        self.relations.get(&it.relation)
    }

    pub(crate) fn cast(&self, source: Oid, target: Oid) -> Option<&Cast> {
        self.casts.get(&(source, target))
    }

    pub(crate) fn add_function(&mut self, it: Function) {
        let list = self.function_names.entry(Arc::clone(&it.name)).or_default();
        list.retain(|oid| *oid != it.oid);
        list.push(it.oid);
        self.functions.insert(it.oid, Arc::new(it));
    }

    pub(crate) fn add_operator(&mut self, it: Operator) {
        self.operators.entry(Arc::clone(&it.name)).or_default().push(Arc::new(it));
    }

    pub(crate) fn add_cast(&mut self, it: Cast) {
        let own =
            it.function == 0 || self.functions.get(&it.function).is_some_and(|f| f.oid < FIRST_USER_OID);
        if !own {
            self.user_casts.push(it);
        }
        self.casts.insert((it.source, it.target), it);
    }
}
