//! One walk over a statement's tree: the tables it names, what it does, whether it only reads.

use firsthand_model::command::{Effect, Effects, Shape};
use pg_query::protobuf::{self, ObjectType, node::Node as NodeEnum};

use crate::harmless::is_harmless;
use crate::kinds::{Inner, kind_of};
use crate::tables::{Scope, Scopes, Tables};
use crate::tree::{NodeRef, push_children};

/// Coverage fact: the statement names more tables than the record keeps.
pub const TABLES_CUT: &str = "tables-cut";

/// What the text of one statement tells.
pub(crate) fn shape_of(statement: NodeRef<'_>) -> Shape {
    let Some(kind) = kind_of(statement) else {
        // Not reached from the parser, which only makes statements; fail closed all the same.
        return Shape {
            tag: String::new(),
            effects: Effects::only(Effect::Unknown),
            tables: Vec::new(),
            plain_read: false,
            coverage: Vec::new(),
            facts: None,
        };
    };
    let mut walk = Walk {
        runs: kind.inner == Inner::Runs,
        harmless: true,
        effects: kind.effects,
        tables: Tables::default(),
        scopes: Scopes::default(),
        waiting: Vec::new(),
        children: Vec::new(),
    };
    walk.run(statement);
    let mut effects = walk.effects;
    if let NodeRef::ExplainStmt(explain) = statement
        && !analyzes(explain)
    {
        // Only planned. The planner may run functions, so "unknown" stays; the plan's own effects do not happen.
        effects = Effects::only(Effect::Read);
        if walk.effects.has(Effect::Unknown) {
            effects = effects.and(Effect::Unknown);
        }
    }
    let query = matches!(statement, NodeRef::SelectStmt(_));
    if query {
        effects = effects.and(Effect::Read); // VALUES as well: it answers with rows
    }
    let (tables, cut) = walk.tables.finish();
    Shape {
        tag: kind.tag.into_owned(),
        effects,
        tables,
        plain_read: walk.harmless && query,
        coverage: if cut { vec![TABLES_CUT.to_owned()] } else { Vec::new() },
        facts: None,
    }
}

struct Walk<'a> {
    /// Whether what is nested is executed.
    runs: bool,
    harmless: bool,
    effects: Effects,
    tables: Tables,
    scopes: Scopes<'a>,
    /// Nodes still to see, the next one last.
    waiting: Vec<(NodeRef<'a>, Scope)>,
    children: Vec<NodeRef<'a>>,
}

impl<'a> Walk<'a> {
    fn run(&mut self, statement: NodeRef<'a>) {
        self.waiting.push((statement, 0));
        while let Some((node, scope)) = self.waiting.pop() {
            let harmless = is_harmless(node);
            self.harmless &= harmless;
            if self.runs {
                self.add_effects(node, harmless);
            }
            self.add_tables(node, scope);
            match node {
                // Names of FROM items, perhaps aliases; bodies that `enter` has already queued in their scopes; a type.
                NodeRef::LockingClause(_) | NodeRef::WithClause(_) | NodeRef::CompositeTypeStmt(_) => {}
                _ => self.enter(node, scope),
            }
        }
    }

    /// Queues the children, CTEs first, each with the names it sees.
    fn enter(&mut self, node: NodeRef<'a>, scope: Scope) {
        let with = match node {
            NodeRef::SelectStmt(s) => s.with_clause.as_ref(),
            NodeRef::InsertStmt(s) => s.with_clause.as_ref(),
            NodeRef::UpdateStmt(s) => s.with_clause.as_ref(),
            NodeRef::DeleteStmt(s) => s.with_clause.as_ref(),
            NodeRef::MergeStmt(s) => s.with_clause.as_ref(),
            _ => None,
        };
        let (bodies, scope) = with.map_or((Vec::new(), scope), |with| self.bind(with, scope));
        self.children.clear();
        push_children(node, &mut self.children);
        self.waiting.extend(self.children.drain(..).rev().map(|child| (child, scope)));
        self.waiting.extend(bodies.into_iter().rev());
    }

    /// The CTEs of a WITH clause: each sees those before it, or all with RECURSIVE; what follows sees all.
    fn bind(&mut self, with: &'a protobuf::WithClause, scope: Scope) -> (Vec<(NodeRef<'a>, Scope)>, Scope) {
        let mut bodies = Vec::with_capacity(with.ctes.len());
        let mut visible = scope;
        for cte in &with.ctes {
            let Some(node) = cte.node.as_ref() else { continue };
            bodies.push((node.to_ref(), visible));
            if let NodeEnum::CommonTableExpr(cte) = node {
                visible = self.scopes.add(visible, &cte.ctename);
            }
        }
        if with.recursive {
            for body in &mut bodies {
                body.1 = visible;
            }
        }
        (bodies, visible)
    }

    fn add_effects(&mut self, node: NodeRef<'_>, harmless: bool) {
        match node {
            // Operators, types and fields behind which a function may stand.
            NodeRef::AExpr(_)
            | NodeRef::SubLink(_)
            | NodeRef::SortBy(_)
            | NodeRef::TypeName(_)
            | NodeRef::AIndirection(_) => {
                if !harmless {
                    self.effects = self.effects.and(Effect::Unknown);
                }
            }
            NodeRef::FuncCall(_)
            | NodeRef::RangeTableFunc(_)
            | NodeRef::RangeTableSample(_)
            | NodeRef::XmlExpr(_)
            | NodeRef::XmlSerialize(_) => self.effects = self.effects.and(Effect::Unknown),
            _ => {
                if let Some(kind) = kind_of(node) {
                    self.effects = self.effects.union(kind.effects);
                }
            }
        }
    }

    fn add_tables(&mut self, node: NodeRef<'_>, scope: Scope) {
        let target = match node {
            NodeRef::RangeVar(table) => return self.tables.add_source(table, &self.scopes, scope),
            NodeRef::InsertStmt(s) => s.relation.as_ref(),
            NodeRef::UpdateStmt(s) => s.relation.as_ref(),
            NodeRef::DeleteStmt(s) => s.relation.as_ref(),
            NodeRef::MergeStmt(s) => s.relation.as_ref(),
            NodeRef::IntoClause(s) => s.rel.as_ref(),
            NodeRef::DropStmt(s) => {
                return s.objects.iter().for_each(|object| self.tables.add_named(s.remove_type(), object));
            }
            NodeRef::CommentStmt(s) => return self.add_object(s.objtype(), s.object.as_deref()),
            NodeRef::SecLabelStmt(s) => return self.add_object(s.objtype(), s.object.as_deref()),
            _ => None,
        };
        if let Some(table) = target {
            self.tables.add_target(table);
        }
    }

    fn add_object(&mut self, object_type: ObjectType, object: Option<&protobuf::Node>) {
        if let Some(object) = object {
            self.tables.add_named(object_type, object);
        }
    }
}

/// Whether EXPLAIN runs the statement. Any value of the option counts, also "off": the values' grammar is loose
/// (`0`, `'off'`, `false`), and taking one for the other would call a write a read.
pub(crate) fn analyzes(explain: &protobuf::ExplainStmt) -> bool {
    explain.options.iter().any(|option| match &option.node {
        Some(NodeEnum::DefElem(option)) => option.defname.eq_ignore_ascii_case("analyze"),
        _ => true,
    })
}
