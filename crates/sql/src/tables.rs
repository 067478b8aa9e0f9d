//! The tables that a statement names, as written, and where a name is a CTE's instead.

use pg_query::protobuf::{self, ObjectType, node::Node as NodeEnum};

/// Tables kept of one statement. A leaf lists them, so both numbers follow from the leaf's 16 KiB.
pub const TABLES_MAX: usize = firsthand_model::limits::TABLES_KEPT;

/// Bytes of all table names kept of one statement: names can be 3 × 63 bytes, and JSON may escape each byte sixfold.
pub const TABLE_BYTES_MAX: usize = 2 << 10;

/// CTE names followed in one statement. Beyond it a CTE's name is reported like a table's: too much rather than too
/// little, and the search stays linear for hostile texts.
pub const CTES_MAX: usize = 256;

/// Where a name is looked up: an index into [`Scopes`]; 0 is the outermost scope, without names.
pub(crate) type Scope = usize;

/// The CTE names visible at each place, as linked lists in one arena: each entry adds one name to its parent.
#[derive(Default)]
pub(crate) struct Scopes<'a> {
    entries: Vec<(Scope, &'a str)>,
}

impl<'a> Scopes<'a> {
    /// A scope in which `name` is visible besides all that `parent` sees.
    pub(crate) fn add(&mut self, parent: Scope, name: &'a str) -> Scope {
        if self.entries.len() >= CTES_MAX {
            return parent;
        }
        self.entries.push((parent, name));
        self.entries.len()
    }

    fn sees(&self, mut scope: Scope, name: &str) -> bool {
        while let Some((parent, own)) = scope.checked_sub(1).and_then(|index| self.entries.get(index)) {
            if *own == name {
                return true;
            }
            scope = *parent;
        }
        false
    }
}

/// Names found, in the order of the text, each once.
#[derive(Default)]
pub(crate) struct Tables {
    names: Vec<String>,
    bytes: usize,
    cut: bool,
}

impl Tables {
    /// A relation in a FROM clause or wherever a CTE may answer to its name.
    pub(crate) fn add_source(&mut self, table: &protobuf::RangeVar, scopes: &Scopes<'_>, scope: Scope) {
        let cte = !self.cut && table.schemaname.is_empty() && scopes.sees(scope, &table.relname);
        if !cte {
            self.add_target(table);
        }
    }

    /// A relation that is written or defined: CTEs do not answer here, whatever their names.
    pub(crate) fn add_target(&mut self, table: &protobuf::RangeVar) {
        self.add([&table.catalogname, &table.schemaname, &table.relname].map(String::as_str).into_iter());
    }

    /// Relations that the grammar gives as lists of names: DROP, COMMENT and their like.
    pub(crate) fn add_named(&mut self, object_type: ObjectType, object: &protobuf::Node) {
        let Some(NodeEnum::List(list)) = &object.node else { return };
        let parts = match object_type {
            ObjectType::ObjectTable
            | ObjectType::ObjectView
            | ObjectType::ObjectMatview
            | ObjectType::ObjectForeignTable
            | ObjectType::ObjectSequence
            | ObjectType::ObjectIndex => list.items.as_slice(),
            // The last part names the column, trigger, rule, policy or constraint on the table.
            ObjectType::ObjectColumn
            | ObjectType::ObjectTrigger
            | ObjectType::ObjectRule
            | ObjectType::ObjectPolicy
            | ObjectType::ObjectTabconstraint => list.items.split_last().map_or(&[][..], |(_, table)| table),
            _ => return,
        };
        self.add(parts.iter().filter_map(|part| match &part.node {
            Some(NodeEnum::String(text)) => Some(text.sval.as_str()),
            _ => None,
        }));
    }

    fn add<'n>(&mut self, parts: impl Iterator<Item = &'n str>) {
        if self.cut {
            return;
        }
        let mut name = String::new();
        for part in parts.filter(|part| !part.is_empty()) {
            if !name.is_empty() {
                name.push('.');
            }
            push_identifier(&mut name, part);
        }
        if name.is_empty() || self.names.contains(&name) {
            return;
        }
        if self.names.len() >= TABLES_MAX || self.bytes + name.len() > TABLE_BYTES_MAX {
            self.cut = true;
            return;
        }
        self.bytes += name.len();
        self.names.push(name);
    }

    /// The names, and whether there were more than the limits keep.
    pub(crate) fn finish(self) -> (Vec<String>, bool) {
        (self.names, self.cut)
    }
}

/// As PostgreSQL would print it: quoted where it must be, so that `"a.b"` and `a.b` stay apart.
pub(crate) fn push_identifier(out: &mut String, part: &str) {
    let plain = part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'_' | b'0'..=b'9' | b'$') || !b.is_ascii())
        && !part.starts_with(|c: char| c.is_ascii_digit() || c == '$');
    if plain {
        out.push_str(part);
    } else {
        out.push('"');
        out.push_str(&part.replace('"', "\"\""));
        out.push('"');
    }
}
