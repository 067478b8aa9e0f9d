//! What definitions are about where they name it otherwise than as a table: parts of tables (columns, triggers, rules, policies), whole
//! schemas, and what CASCADE takes along.

use firsthand_model::command::Effect;
use pg_query::NodeRef;
use pg_query::protobuf::{AlterTableType, DropBehavior, DropStmt, Node, ObjectType, node::Node as NodeEnum};

use super::{Resolver, name_of};

impl Resolver<'_> {
    /// Notes the relations that a part of a definition is about.
    pub(super) fn defines(&mut self, part: NodeRef<'_>) {
        match part {
            NodeRef::DropStmt(it) => self.dropped(it),
            NodeRef::CommentStmt(it) => self.object(it.objtype(), it.object.as_deref()),
            NodeRef::SecLabelStmt(it) => self.object(it.objtype(), it.object.as_deref()),
            NodeRef::AlterObjectSchemaStmt(it) => self.object(it.object_type(), it.object.as_deref()),
            NodeRef::AlterOwnerStmt(it) => self.object(it.object_type(), it.object.as_deref()),
            NodeRef::RenameStmt(it) if it.rename_type() == ObjectType::ObjectSchema => {
                self.whole_schema(&it.subname);
            }
            NodeRef::RenameStmt(it) => self.object(it.rename_type(), it.object.as_deref()),
            // Whatever the roles own, in whatever table.
            NodeRef::DropOwnedStmt(_) => self.found.effect(Effect::Unknown),
            NodeRef::AlterTableCmd(it)
                if it.behavior() == DropBehavior::DropCascade
                    && matches!(
                        it.subtype(),
                        AlterTableType::AtDropColumn | AlterTableType::AtDropConstraint
                    ) =>
            {
                self.cascades();
            }
            _ => {}
        }
    }

    fn dropped(&mut self, it: &DropStmt) {
        for object in &it.objects {
            self.object(it.remove_type(), Some(object));
        }
        if it.behavior() == DropBehavior::DropCascade {
            self.cascades();
        }
    }

    /// Views, foreign keys, columns, functions: whatever depends on it, which no snapshot knows all of.
    fn cascades(&mut self) {
        self.found.effect(Effect::Unknown);
    }

    fn object(&mut self, kind: ObjectType, object: Option<&Node>) {
        let names = match object.and_then(|object| object.node.as_ref()) {
            Some(NodeEnum::List(list)) => list.items.as_slice(),
            Some(NodeEnum::String(name)) if kind == ObjectType::ObjectSchema => {
                return self.whole_schema(&name.sval);
            }
            _ => return,
        };
        let relation = match kind {
            ObjectType::ObjectTable
            | ObjectType::ObjectView
            | ObjectType::ObjectMatview
            | ObjectType::ObjectSequence
            | ObjectType::ObjectForeignTable
            | ObjectType::ObjectIndex => Some(names),
            // Their own name stands behind that of their table.
            ObjectType::ObjectColumn
            | ObjectType::ObjectTrigger
            | ObjectType::ObjectRule
            | ObjectType::ObjectPolicy
            | ObjectType::ObjectTabconstraint => names.split_last().map(|(_, table)| table),
            _ => None,
        };
        let Some(names) = relation.filter(|names| !names.is_empty()) else { return };
        let (schema, name) = name_of(names);
        match self.find_relation(schema, name) {
            Some(relation) => drop(self.found.relation(name, &relation, true)),
            None => drop(self.found.missing(schema.unwrap_or_default(), name, name, true)),
        }
    }

    fn whole_schema(&mut self, name: &str) {
        let all: Vec<_> = self.catalog.relations().filter(|it| &*it.schema == name).cloned().collect();
        for relation in &all {
            self.found.relation("", relation, true);
        }
    }
}
