//! From rows to a snapshot.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Cast, Catalog, Column, Function, Oid, Operator, Reference, Relation, Role, Rule, Trigger, Type};

/// A row of an answer, in text.
pub type Row = Vec<Option<String>>;

/// Rows of all answers together. A database of 100,000 columns stays below; more is no snapshot, and opaque.
pub const ROWS_MAX: usize = 2_000_000;

static SERIAL: AtomicU64 = AtomicU64::new(1);

/// The next number for a snapshot.
pub(super) fn next_serial() -> u64 {
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

/// Takes the answers to [`super::queries`], in any order, and makes a [`Catalog`] of them.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    pub(super) version: String,
    pub(super) rows: HashMap<String, Vec<Row>>,
    count: usize,
}

/// One row, read by position.
struct Fields<'r>(&'r Row);

impl<'r> Fields<'r> {
    fn text(&self, at: usize) -> Option<&'r str> {
        self.0.get(at)?.as_deref()
    }

    fn oid(&self, at: usize) -> Oid {
        self.text(at).and_then(|t| t.parse().ok()).unwrap_or(0)
    }

    fn number<T: std::str::FromStr + Default>(&self, at: usize) -> T {
        self.text(at).and_then(|t| t.parse().ok()).unwrap_or_default()
    }

    fn byte(&self, at: usize) -> u8 {
        self.text(at).and_then(|t| t.bytes().next()).unwrap_or(0)
    }

    fn flag(&self, at: usize) -> bool {
        self.byte(at) == b't'
    }

    fn name(&self, at: usize) -> Arc<str> {
        Arc::from(self.text(at).unwrap_or_default())
    }

    fn maybe(&self, at: usize) -> Option<Arc<str>> {
        self.text(at).filter(|t| !t.is_empty()).map(Arc::from)
    }

    /// `oidvector` and `int2vector`: numbers with spaces between; arrays: `{1,2}`.
    fn numbers<T: std::str::FromStr>(&self, at: usize) -> Vec<T> {
        let text = self.text(at).unwrap_or_default().trim_matches(['{', '}']);
        text.split([' ', ',']).filter_map(|n| n.parse().ok()).collect()
    }
}

/// The elements of a one-dimensional array in text form.
fn elements(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or("");
    if inner.is_empty() {
        return out;
    }
    let (mut item, mut quoted, mut escaped) = (String::new(), false, false);
    for c in inner.chars() {
        match c {
            _ if escaped => {
                item.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(std::mem::take(&mut item)),
            _ => item.push(c),
        }
    }
    out.push(item);
    out
}

impl Builder {
    /// One with the answer to [`super::VERSION_QUERY`].
    pub fn new(version: &str) -> Self {
        Self { version: version.to_owned(), ..Self::default() }
    }

    /// Takes the rows of the question of that name. False: there are too many altogether.
    pub fn add(&mut self, name: &str, rows: Vec<Row>) -> bool {
        self.count += rows.len();
        if self.count > ROWS_MAX {
            return false;
        }
        self.rows.entry(name.to_owned()).or_default().extend(rows);
        true
    }

    fn of(&self, name: &str) -> impl Iterator<Item = Fields<'_>> {
        self.rows.get(name).into_iter().flatten().map(Fields)
    }

    /// The snapshot.
    pub fn finish(&self) -> Catalog {
        let mut to = Catalog { version: self.version.clone(), serial: next_serial(), ..Catalog::default() };
        to.major = self.of("server").next().map_or(0, |f| f.number::<u32>(0) / 10_000);
        to.unlimited_time = self.of("limits_of_time").next().is_some_and(|f| f.text(0) == Some("0"));
        for f in self.of("schemas") {
            to.schemas.insert(f.name(1).to_string(), f.oid(0));
            to.schema_names.insert(f.oid(0), f.name(1));
        }
        for f in self.of("roles") {
            let role = Role { name: f.name(1), superuser: f.flag(2), bypasses_row_security: f.flag(3) };
            to.roles.insert(f.oid(0), role);
        }
        self.types(&mut to);
        self.relations(&mut to);
        generated(&mut to);
        self.functions(&mut to);
        self.operators(&mut to);
        for f in self.of("event_triggers").filter(|f| f.byte(3) != b'D') {
            to.event_triggers.push(f.oid(2));
        }
        to
    }

    fn types(&self, to: &mut Catalog) {
        let mut checks: HashMap<Oid, Vec<Arc<str>>> = HashMap::new();
        for f in self.of("domain_checks") {
            checks.entry(f.oid(0)).or_default().extend(f.maybe(1));
        }
        let mut ranges: HashMap<Oid, (Oid, Vec<Oid>)> = HashMap::new();
        for f in self.of("ranges") {
            let (subtype, functions) = ranges.entry(f.oid(0)).or_default();
            *subtype = f.oid(1);
            functions.extend(Some(f.oid(2)).filter(|o| *o != 0));
        }
        for f in self.of("types") {
            let oid = f.oid(0);
            let (subtype, compares) = ranges.remove(&oid).unwrap_or_default();
            let io = [f.oid(10), f.oid(11), f.oid(13), f.oid(14)]
                .into_iter()
                .filter(|o| *o >= super::FIRST_USER_OID);
            let it = Type {
                oid,
                schema: to.schema_name(f.oid(2)),
                name: f.name(1),
                kind: f.byte(3),
                element: f.oid(4),
                array: f.oid(5),
                base: if subtype == 0 { f.oid(6) } else { subtype },
                relation: f.oid(7),
                category: f.byte(8),
                checks: checks.remove(&oid).unwrap_or_default(),
                default: f.maybe(9),
                io: io.chain(compares).collect(),
            };
            to.type_names.insert((f.oid(2), Arc::clone(&it.name)), oid);
            to.types.insert(oid, Arc::new(it));
        }
    }

    fn relations(&self, to: &mut Catalog) {
        let mut all: HashMap<Oid, (Oid, Relation)> = HashMap::new();
        let mut toast: Vec<(Oid, Oid)> = Vec::new();
        for f in self.of("relations") {
            let it = Relation {
                oid: f.oid(0),
                schema: to.schema_name(f.oid(2)),
                name: f.name(1),
                kind: f.byte(3),
                owner: f.oid(4),
                temporary: f.byte(5) == b't',
                row_security: f.flag(6),
                row_type: f.oid(8),
                of_type: f.oid(12),
                ..Relation::default()
            };
            if f.oid(11) != 0 {
                toast.push((f.oid(11), it.oid));
            }
            all.insert(it.oid, (f.oid(2), it));
        }
        for (toast, of) in toast {
            if let Some((_, it)) = all.get_mut(&toast) {
                it.toast_of = of;
            }
        }
        self.columns(&mut all);
        self.parts(&mut all);
        for f in self.of("inherits") {
            to.children.entry(f.oid(1)).or_default().push(f.oid(0));
            if let Some((_, it)) = all.get_mut(&f.oid(0)) {
                it.parents.push(f.oid(1));
            }
        }
        for (oid, (namespace, it)) in all {
            to.relation_names.insert((namespace, Arc::clone(&it.name)), oid);
            to.row_types.insert(it.row_type, oid);
            to.relations.insert(oid, Arc::new(it));
        }
    }

    fn columns(&self, all: &mut HashMap<Oid, (Oid, Relation)>) {
        for f in self.of("columns") {
            let Some((_, it)) = all.get_mut(&f.oid(0)) else { continue };
            it.columns.push(Column {
                number: f.number(1),
                name: f.name(2),
                type_oid: f.oid(3),
                not_null: f.flag(4),
                generated: f.byte(5) != 0,
                identity: f.byte(6) != 0,
                default: f.maybe(7),
                labels: Vec::new(),
                origin: None,
            });
        }
        for (name, read) in
            [("labels", security_labels as fn(&Fields<'_>) -> Vec<String>), ("comments", tags)]
        {
            for f in self.of(name) {
                let Some((_, it)) = all.get_mut(&f.oid(0)) else { continue };
                let number: i16 = f.number(1);
                let labels = read(&f);
                // On a relation as a whole: it holds for each column.
                for column in it.columns.iter_mut().filter(|c| number == 0 || c.number == number) {
                    column.labels.extend(labels.iter().cloned());
                    column.labels.sort();
                    column.labels.dedup();
                }
            }
        }
    }

    fn parts(&self, all: &mut HashMap<Oid, (Oid, Relation)>) {
        for f in self.of("views") {
            if let Some((_, it)) = all.get_mut(&f.oid(0)) {
                it.query = f.maybe(1);
            }
        }
        for f in self.of("rules").filter(|f| f.byte(4) != b'D') {
            if let (Some((_, it)), Some(text)) = (all.get_mut(&f.oid(0)), f.maybe(3)) {
                it.rules.push(Rule { event: f.number(1), text });
            }
        }
        for f in self.of("triggers").filter(|f| f.byte(4) != b'D') {
            if let Some((_, it)) = all.get_mut(&f.oid(0)) {
                it.triggers.push(Trigger { name: f.name(1), function: f.oid(2), bits: f.number(3) });
            }
        }
        for f in self.of("policies") {
            if let Some((_, it)) = all.get_mut(&f.oid(0)) {
                it.policies.extend(f.maybe(2));
                it.policies.extend(f.maybe(3));
            }
        }
        for f in self.of("constraints") {
            if f.byte(1) == b'f' {
                let it = Reference { from: f.oid(0), on_delete: f.byte(3), on_update: f.byte(4) };
                if let Some((_, to)) = all.get_mut(&f.oid(2)) {
                    to.referenced_by.push(it);
                }
            } else if let Some((_, it)) = all.get_mut(&f.oid(0)) {
                it.checks.extend(f.maybe(5));
            }
        }
        for f in self.of("planned") {
            if let Some((_, it)) = all.get_mut(&f.oid(0)) {
                it.planned_expressions.extend(f.maybe(1));
            }
        }
        for f in self.of("support_functions") {
            if let Some((_, it)) = all.get_mut(&f.oid(0)) {
                it.support_functions.push(f.oid(1));
            }
        }
        for f in self.of("indexes") {
            let Some((_, it)) = all.get_mut(&f.oid(0)) else { continue };
            it.index_expressions.extend(f.maybe(4));
            it.index_expressions.extend(f.maybe(5));
            let columns: Vec<i16> = f.numbers(3);
            if f.flag(1) {
                it.key.clone_from(&columns);
            }
            if f.flag(2) && f.text(5).is_none() && !columns.contains(&0) {
                let at = if f.flag(1) { 0 } else { it.unique.len() };
                it.unique.insert(at, columns);
            }
        }
    }

    fn functions(&self, to: &mut Catalog) {
        let mut extension: HashMap<Oid, Arc<str>> = HashMap::new();
        for f in self.of("members") {
            let name = f.name(2);
            if !to.extensions.contains(&name) {
                to.extensions.push(Arc::clone(&name));
            }
            if f.text(0) == Some("pg_proc") {
                extension.insert(f.oid(1), name);
            }
        }
        let mut parts: HashMap<Oid, Vec<Oid>> = HashMap::new();
        for f in self.of("aggregates") {
            parts.entry(f.oid(0)).or_default().push(f.oid(1));
        }
        let mut states: HashMap<Oid, Vec<Oid>> = HashMap::new();
        for f in self.of("aggregate_states") {
            states.entry(f.oid(0)).or_default().push(f.oid(1));
        }
        for f in self.of("functions") {
            let oid = f.oid(0);
            let modes = elements(f.text(14).unwrap_or_default());
            let names = elements(f.text(15).unwrap_or_default());
            let all: Vec<Oid> = f.numbers(13);
            let arguments: Vec<Oid> = f.numbers(10);
            let mode = |at: usize| modes.get(at).map_or("i", String::as_str);
            let name = |at: usize| Arc::from(names.get(at).map_or("", String::as_str));
            let outputs = all.iter().enumerate().filter(|(at, _)| matches!(mode(*at), "o" | "b" | "t"));
            let inputs = (0..names.len()).filter(|at| matches!(mode(*at), "i" | "b" | "v"));
            let it = Function {
                oid,
                namespace: f.oid(2),
                schema: to.schema_name(f.oid(2)),
                name: f.name(1),
                owner: f.oid(3),
                language: f.name(4),
                kind: f.byte(5),
                volatility: f.byte(6),
                definer: f.flag(7),
                set: f.flag(8),
                result: f.oid(9),
                arguments,
                defaults: f.number(11),
                variadic: f.oid(12),
                outputs: outputs.map(|(at, oid)| (name(at), *oid)).collect(),
                argument_names: inputs.map(name).collect(),
                source: f.maybe(16),
                settings: elements(f.text(17).unwrap_or_default()).into_iter().map(Arc::from).collect(),
                default_expressions: f.maybe(18),
                extension: extension.remove(&oid),
                parts: parts.remove(&oid).unwrap_or_default(),
                states: states.remove(&oid).unwrap_or_default(),
            };
            to.add_function(it);
        }
        for f in self.of("class_functions") {
            to.class_functions.entry(f.oid(0)).or_default().push(f.oid(1));
        }
        for f in self.of("operator_functions") {
            to.operator_functions.entry(f.oid(0)).or_default().push(f.oid(1));
        }
    }

    fn operators(&self, to: &mut Catalog) {
        for f in self.of("operators") {
            to.add_operator(Operator {
                oid: f.oid(0),
                name: f.name(1),
                namespace: f.oid(2),
                left: f.oid(3),
                right: f.oid(4),
                result: f.oid(5),
                function: f.oid(6),
                estimators: [f.oid(7), f.oid(8), f.oid(9), f.oid(10)]
                    .into_iter()
                    .filter(|o| *o >= super::FIRST_USER_OID)
                    .collect(),
            });
        }
        for f in self.of("casts") {
            to.add_cast(Cast { source: f.oid(0), target: f.oid(1), function: f.oid(2), context: f.byte(3) });
        }
    }
}

/// A security label of any provider, as a label. PostgreSQL Anonymizer's rules say how a column is masked there: whatever the
/// rule, the column is sensitive; but how many of a table's rows it samples says nothing of them, nor does a context of SELinux,
/// which every object has. A label that is one word is that label; anything else is `provider`.
fn security_labels(f: &Fields<'_>) -> Vec<String> {
    let provider = f.text(2).unwrap_or_default();
    let label = f.text(3).unwrap_or_default().trim();
    let upper = label.to_ascii_uppercase();
    let sample = provider == "anon" && upper.starts_with("TABLESAMPLE");
    if upper == "NOT MASKED" || upper.is_empty() || sample || provider == "selinux" {
        return Vec::new();
    }
    let mut out = tags_in(label);
    if upper.starts_with("MASKED") {
        out.push("masked".to_owned());
    } else if out.is_empty() {
        let word = label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'));
        out.push(if word { label.to_ascii_lowercase() } else { provider.to_owned() });
    }
    out
}

/// `@pii:email` and `@secret` in a comment.
fn tags(f: &Fields<'_>) -> Vec<String> {
    tags_in(f.text(2).unwrap_or_default())
}

fn tags_in(text: &str) -> Vec<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    let mut out = Vec::new();
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        // Not an e-mail address.
        if c == '@' && !before.is_alphanumeric() {
            let rest = text.get(at + 1..).unwrap_or_default();
            let tag = rest.split(|c| !word(c)).next().unwrap_or_default().trim_end_matches(['.', ':', '-']);
            if !tag.is_empty() {
                out.push(tag.to_ascii_lowercase());
            }
        }
        before = c;
    }
    out
}

/// Whose columns are made of others as rows are written: of each table for itself and all above it.
fn generated(to: &mut Catalog) {
    let mut seen: HashSet<(Oid, Arc<str>, Arc<str>)> = HashSet::new();
    let mut found: HashMap<Oid, Vec<(Arc<str>, Oid)>> = HashMap::new();
    for relation in to.relations.values() {
        for column in relation.columns.iter().filter(|c| c.generated) {
            let Some(text) = &column.default else { continue };
            let (mut waiting, mut above) = (vec![relation.oid], HashSet::new());
            while let Some(next) = waiting.pop() {
                if !above.insert(next) {
                    continue;
                }
                if seen.insert((next, Arc::clone(&column.name), Arc::clone(text))) {
                    found.entry(next).or_default().push((Arc::clone(&column.name), relation.oid));
                }
                waiting.extend(to.relations.get(&next).into_iter().flat_map(|r| &r.parents));
            }
        }
    }
    to.generated = found;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_arrays_are_read() {
        assert_eq!(tags_in("Kontakt @pii:email, see me@example.com. (@secret)"), ["pii:email", "secret"]);
        assert_eq!(elements("{a,\"b,c\",\"d\\\"e\"}"), ["a", "b,c", "d\"e"]);
        assert!(elements("{}").is_empty());
    }
}
