//! Functions and operators: which one a call may mean, and what running it does.

use std::rc::Rc;
use std::sync::Arc;

use firsthand_model::command::Effect;
use firsthand_model::statement::{Derivation, Facts, Output};
use pg_query::protobuf::{self, node::Node as NodeEnum};

use super::builtin::{self, Class};
use super::from::Rows;
use super::value::{Field, Value, oid};
use super::{Kind, Resolver, name_of, naming};
use crate::catalog::{Function, Oid, PG_CATALOG};

/// Functions that one call may mean. More makes it opaque.
const CANDIDATES_MAX: usize = 256;

impl<'a> Resolver<'a> {
    /// A call.
    pub(super) fn call(&mut self, it: &protobuf::FuncCall) -> Value {
        self.visit(it);
        let mut arguments = self.all(&it.args);
        for item in &it.agg_order {
            self.sort_item(item, &Rows::default(), false);
            if it.agg_within_group
                && let Some(NodeEnum::SortBy(sort)) = &item.node
                && let Some(node) = sort.node.as_deref()
            {
                let value = self.expression(node);
                arguments.push(value);
            }
        }
        if let Some(filter) = &it.agg_filter {
            self.condition(filter);
        }
        if it.agg_distinct {
            // How many are left tells which are the same.
            arguments.iter().for_each(|value| self.found.tests(value));
        }
        let frame = it.over.as_deref().map(|window| self.window(window));
        let value = self.call_of(it, &arguments);
        match frame.filter(|bounds| !bounds.says_nothing()) {
            Some(bounds) => Value::made(value.type_oid, [&value, &bounds]).keeping([&value]),
            None => value,
        }
    }

    fn call_of(&mut self, it: &protobuf::FuncCall, arguments: &[Value]) -> Value {
        if let Some(value) = self.older_name(it, arguments) {
            return value;
        }
        let named = it.args.iter().any(|a| matches!(a.node, Some(NodeEnum::NamedArgExpr(_))));
        let value = self.call_with(&it.funcname, arguments, named || it.func_variadic, &it.args);
        if it.func_variadic && self.called.iter().any(|f| counts(f)) && !is_bare_column(arguments) {
            return Value::made(value.type_oid, arguments.iter().chain([&value]));
        }
        let (schema, name) = name_of(&it.funcname);
        if builtin::makes_document(name) && schema.is_none_or(|s| s == "pg_catalog") {
            return self.document_call(name, &it.args, arguments, value);
        }
        value
    }

    /// `to_jsonb(t)` and its like keep the fields of what they are made of.
    fn document_call(
        &mut self,
        name: &str,
        nodes: &[protobuf::Node],
        values: &[Value],
        mut value: Value,
    ) -> Value {
        let several = value.sources.len() > 1 || values.iter().any(|v| v.fields.is_some());
        if several && !value.sources.is_empty() && value.how != Derivation::Unknown {
            value.how = Derivation::Row;
        }
        // A user's function of that name, or cast to json, puts in what it likes.
        let of_first = values.first().map_or(0, |first| self.catalog.base_type(first.type_oid));
        let made_by = |c: &crate::catalog::Cast| {
            matches!(c.target, oid::JSON | oid::JSONB) && (of_first == 0 || c.source == of_first)
        };
        let own = self.called.iter().any(|f| !f.is_builtin()) || self.catalog.user_casts.iter().any(made_by);
        match (name, values) {
            _ if own => {}
            ("to_json" | "to_jsonb" | "row_to_json", [first, ..]) => value.fields.clone_from(&first.fields),
            ("json_build_object" | "jsonb_build_object", _) => {
                let keys: Option<Vec<&str>> = nodes.iter().step_by(2).map(|node| self.key(node)).collect();
                if let Some(keys) = keys {
                    self.literal = true;
                    let values = values.iter().skip(1).step_by(2);
                    let fields: Vec<Field> = keys.into_iter().map(Rc::from).zip(values.cloned()).collect();
                    value = value.with_fields(fields);
                }
            }
            _ => {}
        }
        value
    }

    /// Documents are made with the casts to json of what goes into them.
    pub(super) fn json_casts(&mut self, values: &[Value]) {
        if self.catalog.user_casts.is_empty() {
            return;
        }
        let mut waiting: Vec<Oid> = values.iter().map(|v| v.type_oid).collect();
        for fields in values.iter().filter_map(|v| v.fields.as_ref()) {
            waiting.extend(fields.iter().map(|(_, own)| own.type_oid));
        }
        let mut types: Vec<Oid> = Vec::new();
        while let Some(next) = waiting.pop() {
            if types.contains(&next) {
                continue;
            }
            types.push(next);
            let Some(it) = self.catalog.type_by_oid(next) else { continue };
            waiting.extend([it.element, it.base].into_iter().filter(|o| *o != 0));
            if let Some(relation) = self.catalog.relation_by_oid(it.relation) {
                waiting.extend(relation.columns.iter().map(|c| c.type_oid));
            }
        }
        let known = |c: &crate::catalog::Cast| types.contains(&c.source) || types.contains(&0);
        let to_json =
            self.catalog.user_casts.iter().filter(|c| matches!(c.target, oid::JSON | oid::JSONB) && known(c));
        let functions: Vec<Oid> = to_json.map(|c| c.function).collect();
        for function in functions {
            self.run_oid(function, "cast", "");
        }
    }

    /// A call of the parser's that an older server reads as a name like any other: a function's, or a column's.
    fn older_name(&mut self, it: &protobuf::FuncCall, arguments: &[Value]) -> Option<Value> {
        let (Some("pg_catalog"), name) = name_of(&it.funcname) else { return None };
        let since = match name {
            "json_object" | "system_user" => 16,
            "normalize" => 13,
            _ => return None,
        };
        if self.catalog.major >= since {
            return None;
        }
        if name != "system_user" {
            let parts = it.funcname.get(1..).unwrap_or_default();
            let loose =
                it.func_variadic || it.args.iter().any(|a| matches!(a.node, Some(NodeEnum::NamedArgExpr(_))));
            return Some(self.call_with(parts, arguments, loose, &it.args));
        }
        if !it.args.is_empty() {
            return None;
        }
        Some(self.unqualified(name).unwrap_or_else(|| {
            self.found.opaque("column", name);
            Value::unknown(0)
        }))
    }

    /// A call of a function by its unqualified name, with whatever of its arguments is known.
    pub(super) fn call_named(&mut self, name: &str, arguments: &[Value]) -> Value {
        let name =
            protobuf::Node { node: Some(NodeEnum::String(protobuf::String { sval: name.to_owned() })) };
        self.call_with(&[name], arguments, true, &[])
    }

    /// A function that is called without a call in the text.
    pub(super) fn call_by_name(&mut self, parts: &[protobuf::Node], arguments: &[Value]) -> Value {
        self.call_with(parts, arguments, false, &[])
    }

    fn call_with(
        &mut self,
        parts: &[protobuf::Node],
        arguments: &[Value],
        loose: bool,
        nodes: &[protobuf::Node],
    ) -> Value {
        let (schema, name) = name_of(parts);
        if !self.path.is_certain() && schema.is_none() {
            self.found.opaque("search-path", name);
        }
        // A type's name called with one value is a cast to it.
        if let [only] = arguments
            && let Some(to) = self.type_named(schema, name)
        {
            self.type_checks(to.oid);
            let to = to.oid;
            self.cast_function(only.type_oid, to, true);
        }
        self.called.clear();
        let mut candidates = self.candidates(schema, name, arguments, loose);
        if candidates.is_empty() && name == "extract" {
            // As PostgreSQL before 14 calls what EXTRACT means.
            candidates = self.candidates(schema, "date_part", arguments, loose);
        }
        if candidates.is_empty() {
            return self.no_function(schema, name, arguments);
        }
        if candidates.len() > CANDIDATES_MAX {
            self.found.opaque("function", name);
            return Value::unknown(0);
        }
        self.called.clone_from(&candidates);
        let mut value: Option<Value> = None;
        for function in &candidates {
            self.coerced_arguments(&function.arguments, function.variadic, arguments, loose);
            let next = self.run(function, arguments, nodes);
            value = Some(match value {
                None => next,
                Some(value) => {
                    let type_oid = if value.type_oid == next.type_oid { value.type_oid } else { 0 };
                    let mut both = Value::made(type_oid, [&value, &next]).keeping([&value, &next]);
                    if both.sources == value.sources && value.how == next.how {
                        both.how = value.how;
                    }
                    both
                }
            });
        }
        // How many rows a set has tells of what it is made of. A stored list or document that is only taken apart tells its length.
        let whole = || builtin::enumerates(name) && is_bare_column(arguments);
        if candidates.iter().any(|f| f.set) && !whole() {
            arguments.iter().for_each(|value| self.found.tests(value));
        }
        self.called_with = arguments.iter().chain([&self.unwritten]).cloned().collect();
        value.unwrap_or_default()
    }

    fn no_function(&mut self, schema: Option<&str>, name: &str, arguments: &[Value]) -> Value {
        if let [only] = arguments {
            // `f(row)` may be `row.f`.
            if !matches!(only.type_oid, oid::JSON | oid::JSONB)
                && let Some(field) = only.field(name)
            {
                return field;
            }
            if let Some(to) = self.type_named(schema, name) {
                return Value::made(to.oid, [only]).keeping([only]);
            }
        }
        self.found.opaque("function", name);
        Value::unknown(0)
    }

    /// Whether a function of that name can be reached.
    pub(super) fn function_visible(&self, schema: Option<&str>, name: &str) -> bool {
        self.catalog.functions_named(name).any(|f| self.rank(schema, f.namespace).is_some())
    }

    /// Where a schema stands in the path; with a schema named, only that one counts.
    pub(super) fn rank(&self, schema: Option<&str>, namespace: Oid) -> Option<usize> {
        match schema {
            Some(schema) => (self.catalog.schemas.get(schema) == Some(&namespace)).then_some(0),
            None if !self.path.is_certain() => Some(0),
            None => self.path.schemas().position(|s| s == namespace),
        }
    }

    /// What running a function does, and what its result is made of.
    pub(super) fn run(&mut self, f: &Arc<Function>, arguments: &[Value], nodes: &[protobuf::Node]) -> Value {
        // EXPLAIN does not run PostgreSQL's own volatile functions: planning folds what is immutable, estimates with what is
        // stable, and leaves these alone, in a body that takes the place of a call, too.
        let own_number = self.of_default && f.is_builtin() && &*f.name == "nextval";
        if !(own_number || self.planning && f.is_builtin() && f.volatility == b'v') {
            self.found.function(&f.schema, &f.name);
        }
        let result = self.result_type(f, arguments);
        if let Some(value) = self.runs_texts(f, nodes, result) {
            return value;
        }
        self.type_orders(result);
        if f.is_builtin() {
            let value = self.run_builtin(f, arguments, nodes, result);
            return if hands_on(f, arguments) { value.keeping(arguments) } else { value };
        }
        // EXPLAIN plans; the planner runs what claims not to be volatile.
        if self.planning && f.volatility == b'v' {
            self.inlined(f);
            return Value::made(result, arguments);
        }
        if keeps(f) {
            arguments.iter().for_each(|value| self.found.copies(value));
        }
        let planning = std::mem::take(&mut self.planning);
        let facts = self.function_facts(f);
        self.planning = planning;
        self.found.take(&facts);
        if planning {
            self.ran.push(Arc::clone(&facts));
        }
        if self.shows_others_texts(f) {
            self.found.effect(Effect::System);
        }
        self.type_checks(f.result);
        f.arguments.iter().chain(f.outputs.iter().map(|(_, o)| o)).for_each(|a| self.type_checks(*a));
        let mut value = Value::made(result, arguments);
        if f.extension.is_some() && hands_on(f, arguments) {
            value = value.keeping(arguments);
        }
        match &facts.output {
            Output::Columns(columns) => {
                let given = |column| self.found.output_value(column, 0);
                let parts: Vec<Value> = columns.iter().map(given).collect();
                parts.iter().for_each(|part| value.take(part));
                value = Value::made(result, [&value]).keeping(parts.iter().chain([&value]));
            }
            Output::Untold(_) => value.how = Derivation::Unknown,
            Output::None => {}
        }
        value
    }

    /// `pg_stat_statements()`, but for its own view: what others ran has no column there that a rule could name.
    fn shows_others_texts(&self, f: &Function) -> bool {
        let own_view = || match self.bodies.last() {
            Some((Kind::View, oid)) => {
                self.catalog.relation_by_oid(*oid).is_some_and(|r| r.name.starts_with("pg_stat_statements"))
            }
            _ => false,
        };
        f.extension.as_deref() == Some("pg_stat_statements")
            && &*f.name == "pg_stat_statements"
            && !own_view()
    }

    /// The columns of a function's result, for a function in FROM.
    pub(super) fn function_facts(&mut self, f: &Arc<Function>) -> Arc<Facts> {
        let key = (Kind::Function, f.oid, self.runs_in.fingerprint());
        let path = self.runs_in.clone();
        let function = Arc::clone(f);
        self.body(key, path, move |inner| inner.function_body(&function))
    }

    fn result_type(&self, f: &Function, arguments: &[Value]) -> Oid {
        let pseudo = self.catalog.type_by_oid(f.result).is_some_and(|t| t.kind == b'p');
        if !pseudo || f.result == oid::RECORD {
            return f.result;
        }
        if let Some(common) = self.compatible_result(f.result, &f.arguments, arguments) {
            return common;
        }
        let same = f.arguments.iter().position(|a| *a == f.result).and_then(|at| arguments.get(at));
        if let Some(value) = same {
            return match value.type_oid {
                oid::UNKNOWN => 0,
                // An array is one, whichever domain it came in.
                array if f.result == 2277 => self.catalog.base_type(array),
                own => own,
            };
        }
        // `unnest(anyarray)` and its like give an element.
        let first = arguments.first().map_or(0, |v| v.type_oid);
        match (f.result, f.arguments.first()) {
            (2283, Some(2277)) => self.element_of(first),
            (2277, Some(2776 | 2283)) => self.array_of(first),
            _ => 0,
        }
    }

    fn run_builtin(
        &mut self,
        f: &Function,
        arguments: &[Value],
        nodes: &[protobuf::Node],
        result: Oid,
    ) -> Value {
        let class = builtin::class(&f.name, f.volatility, arguments.len());
        // The next number of a default belongs to the write of the row.
        let own_number = self.of_default && &*f.name == "nextval";
        if own_number || self.planning && f.volatility == b'v' {
            return Value::made(result, arguments);
        }
        // What it is given is kept somewhere: in a setting, a large object, a notification, a lock's number.
        if !matches!(class, Class::Safe | Class::PartitionKeys) {
            arguments.iter().for_each(|value| self.found.copies(value));
        }
        if builtin::casts_to_text(&f.name) {
            arguments.iter().for_each(|value| self.cast_function(value.type_oid, oid::TEXT, true));
        }
        if builtin::casts_to_json(&f.name) {
            self.json_casts(arguments);
        }
        if &*f.name == "current_setting" {
            self.current_setting(nodes);
        }
        match class {
            Class::Safe if builtin::tells_nothing(&f.name) || counts(f) => return Value::plain(result),
            Class::Safe if builtin::tells_shape(&f.name) && is_bare_column(arguments) => {
                return Value::plain(result);
            }
            Class::Safe if &*f.name == "pg_mcv_list_items" => return Value::unknown(result),
            Class::SetConfig => self.set_config(nodes),
            Class::Sequence => {
                self.found.effect(Effect::Write);
                self.sequence(nodes);
            }
            Class::PartitionKeys => self.partition_keys(nodes),
            _ => return self.class_effect(class, &f.name, result, arguments),
        }
        Value::made(result, arguments)
    }

    /// What a function of this class does.
    pub(super) fn class_effect(
        &mut self,
        class: Class,
        name: &str,
        result: Oid,
        arguments: &[Value],
    ) -> Value {
        let effect = match class {
            Class::Safe | Class::SetConfig | Class::Sequence | Class::PartitionKeys => {
                return Value::made(result, arguments);
            }
            Class::Write => Effect::Write,
            Class::Define => Effect::Define,
            Class::Session => Effect::Session,
            Class::Lock => Effect::Lock,
            Class::System => {
                self.found.effect(Effect::System);
                return Value::unknown(result);
            }
            Class::LargeObject => {
                self.found.effect(Effect::Read);
                self.system_relation("pg_largeobject");
                return Value::unknown(result);
            }
            Class::Dynamic => {
                self.found.opaque("dynamic-sql", name);
                return Value::unknown(result);
            }
            Class::Unknown => {
                self.found.effect(Effect::Execute);
                self.found.opaque("function", name);
                return Value::unknown(result);
            }
        };
        self.found.effect(effect);
        if (name.starts_with("lo_") || name == "lowrite")
            && let Some(relation) = self.catalog.relation_in(PG_CATALOG, "pg_largeobject")
        {
            self.found.relation("", relation, effect == Effect::Write);
        }
        Value::made(result, arguments)
    }

    /// A function of a user, an extension, or `initdb`, by its body.
    fn function_body(&mut self, f: &Arc<Function>) {
        if let Some(extension) = &f.extension
            && matches!(&*f.language, "c" | "internal")
        {
            let class = builtin::of_extension(extension, &f.name, f.volatility);
            self.class_effect(class, &f.full_name(), f.result, &[]);
            self.found.output = match class {
                Class::Safe => Output::Columns(Vec::new()),
                _ => Output::Untold("function"),
            };
            return;
        }
        if f.kind == b'a' {
            // An aggregate is what its functions are.
            let parts: Vec<Arc<Function>> =
                f.parts.iter().filter_map(|oid| self.catalog.function_by_oid(*oid)).cloned().collect();
            if f.oid >= crate::catalog::FIRST_LOCAL_OID {
                self.opaque_function(f);
            }
            // The state begins as a value that is read from a text.
            f.states.iter().for_each(|state| self.type_checks(*state));
            for part in parts {
                let given = vec![Value::plain(0); part.arguments.len()];
                let value = self.run(&part, &given, &[]);
                self.unwritten.take(&value);
            }
            // What code gives that cannot be told may be anything.
            if self.found.is_opaque() {
                self.found.output = Output::Untold("function");
            } else {
                self.gives(f.result);
            }
            return;
        }
        match (&*f.language, &f.source) {
            ("sql", Some(source)) => self.sql_body(f, source),
            _ => self.opaque_function(f),
        }
    }

    fn opaque_function(&mut self, f: &Function) {
        self.found.effect(Effect::Execute);
        self.found.opaque("function", &f.full_name());
        self.found.output = Output::Untold("function");
    }

    fn sql_body(&mut self, f: &Arc<Function>, source: &str) {
        for setting in &f.settings {
            if let Some(path) = setting.strip_prefix("search_path=") {
                self.path = self.state.path_of(self.catalog, path);
                self.runs_in = self.path.clone();
            }
        }
        // `$user` is whom it runs as.
        if self.runs_as_another(f) {
            self.found.opaque("search-path", &f.full_name());
        }
        // What a call of a polymorphic function gives it is not known here.
        let pseudo = |oid: &Oid| self.catalog.type_by_oid(*oid).is_none_or(|t| t.kind == b'p');
        self.parameter_types = f.arguments.iter().map(|oid| if pseudo(oid) { 0 } else { *oid }).collect();
        let named = f.argument_names.iter().cloned().zip(self.parameter_types.iter().copied());
        self.parameters = named.filter(|(name, _)| !name.is_empty()).collect();
        self.stored = is_parsed(source);
        let Some(statements) = parse_body(source) else { return self.opaque_function(f) };
        let mut output = Output::None;
        for statement in &statements {
            let Some(node) = &statement.node else { return self.opaque_function(f) };
            self.found.output = Output::None;
            self.scopes.clear();
            self.ctes.clear();
            if !self.body_statement(node) {
                return self.opaque_function(f);
            }
            output = std::mem::take(&mut self.found.output);
        }
        if let Some(defaults) = &f.default_expressions
            && !defaults.is_empty()
        {
            let values = self.expression_text(defaults);
            values.iter().for_each(|value| self.unwritten.take(value));
            output = self.with_unwritten(output);
        }
        self.coerced_result(f, &output);
        self.found.output = output;
    }

    /// Whether a function runs as another role whose name is that of a schema: then `$user` in the path is that schema.
    fn runs_as_another(&self, f: &Function) -> bool {
        let by_path = f.settings.iter().any(|s| s.starts_with("search_path=") && !s.contains("$user"));
        let role = f.settings.iter().any(|s| s.starts_with("role="));
        if by_path || !(f.definer || role) {
            return false;
        }
        let owner = self.catalog.roles.get(&f.owner).map(|role| &*role.name);
        let named =
            f.settings.iter().filter_map(|s| s.strip_prefix("role=")).map(|name| name.trim_matches('"'));
        let mut others = owner.into_iter().filter(|_| f.definer).chain(named);
        others.any(|name| name != self.state.role() && self.catalog.schemas.contains_key(name))
    }

    /// What a body's last query gives is made what the function gives, as in an assignment.
    fn coerced_result(&mut self, f: &Function, output: &Output) {
        let Output::Columns(columns) = output else { return };
        let declared: Vec<Oid> = match (self.catalog.row_type(f.result), f.outputs.as_slice()) {
            (Some(relation), _) => relation.columns.iter().map(|c| c.type_oid).collect(),
            (None, []) => vec![f.result],
            (None, outputs) => outputs.iter().map(|(_, o)| *o).collect(),
        };
        for (at, column) in columns.iter().enumerate() {
            let to = declared.get(at).copied().unwrap_or(0);
            if to != 0 && self.catalog.base_type(to) != column.type_oid {
                let from = if column.type_oid == oid::UNKNOWN { oid::TEXT } else { column.type_oid };
                self.cast_function(from, to, false);
            }
        }
    }

    /// `nextval('s')`: the sequence, if it is named by a literal.
    fn sequence(&mut self, nodes: &[protobuf::Node]) {
        self.literal = true;
        if let Some(text) = nodes.first().and_then(naming::string) {
            let (schema, name) = split_name(text);
            self.named_relation(schema.as_deref(), &name, text, true);
        }
    }

    /// A function by its number, behind something else.
    pub(super) fn run_oid(&mut self, function: Oid, why: &'static str, what: &str) {
        match self.catalog.function_by_oid(function).cloned() {
            // An operator's function runs in estimates, whatever its volatility.
            Some(f) => {
                let arguments = vec![Value::plain(0); f.arguments.len()];
                let mut value = Value::plain(0);
                self.really(|me| value = me.run(&f, &arguments, &[]));
                // What a trigger gives goes where the row goes; what is only planned gives nothing.
                if matches!(why, "operator" | "cast") && !self.planning {
                    self.unwritten.take(&value);
                }
            }
            None => {
                self.found.effect(Effect::Execute);
                self.found.opaque(why, what);
            }
        }
    }

    /// What a function's body does, as facts for its columns in FROM.
    pub(super) fn set_columns(&mut self, f: &Arc<Function>, arguments: &[Value]) -> Vec<Value> {
        let facts = if f.is_builtin() || f.kind == b'a' {
            Arc::new(Facts::default())
        } else {
            self.function_facts(f)
        };
        let Output::Columns(columns) = &facts.output else {
            return match facts.output {
                Output::Untold(_) => vec![Value::unknown(0); f.outputs.len()],
                _ => Vec::new(),
            };
        };
        let columns = columns.iter().map(|column| {
            let own = self.found.output_value(column, 0);
            if arguments.iter().all(Value::says_nothing) {
                own
            } else {
                Value::made(0, arguments.iter().chain([&own])).keeping([&own])
            }
        });
        columns.collect()
    }
}

/// Whether a function counts its arguments.
fn counts(f: &Function) -> bool {
    f.is_builtin() && builtin::counts_arguments(&f.name)
}

/// Whether an extension's function in C keeps what it is given, or hands it on.
fn keeps(f: &Function) -> bool {
    let class = |extension| builtin::of_extension(extension, &f.name, f.volatility);
    matches!(&*f.language, "c" | "internal")
        && f.extension.as_deref().map(class).is_some_and(|class| class != Class::Safe)
}

/// A column as it is, and nothing else that is made of one.
fn is_bare_column(arguments: &[Value]) -> bool {
    let Some((first, others)) = arguments.split_first() else { return false };
    first.how == Derivation::Same && others.iter().all(|v| v.how == Derivation::Clean)
}

/// Whether a body was parsed when its function was made: what stands in it then stays what it is.
fn is_parsed(source: &str) -> bool {
    let source = source.trim();
    ["RETURN", "BEGIN ATOMIC"].iter().any(|word| strip_word(source, word).is_some())
}

/// The statements of an SQL function's body, in either form.
fn parse_body(source: &str) -> Option<Vec<protobuf::Node>> {
    let trimmed = source.trim();
    let text = if let Some(rest) = strip_word(trimmed, "RETURN") {
        format!("SELECT {rest}")
    } else if let Some(rest) = strip_word(trimmed, "BEGIN ATOMIC") {
        let rest = rest.trim_end();
        rest.strip_suffix("END").or_else(|| rest.strip_suffix("end")).unwrap_or(rest).to_owned()
    } else {
        trimmed.to_owned()
    };
    if text.len() > crate::TEXT_BYTES_MAX {
        return None;
    }
    let parsed = pg_query::parse(&text, 0).ok()?;
    parsed.protobuf.stmts.into_iter().map(|raw| raw.stmt.map(|node| *node)).collect()
}

fn strip_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let head = text.get(..word.len())?;
    let rest = text.get(word.len()..)?;
    let ends = rest.starts_with(|c: char| c.is_whitespace() || c == '(' || c == '\'');
    (head.eq_ignore_ascii_case(word) && ends).then_some(rest)
}

/// A qualified name in a string, as `regclass` reads it.
pub(super) fn split_name(text: &str) -> (Option<String>, String) {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.trim().chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            _ if quoted => part.push(c),
            _ => part.push(c.to_ascii_lowercase()),
        }
    }
    part.truncate(part.floor_char_boundary(63));
    (parts.pop(), part)
}

/// Whether a function of the server or of an extension gives what it is given, whole, in part, or put together.
fn hands_on(f: &Function, arguments: &[Value]) -> bool {
    let made_here = || arguments.first().is_some_and(|document| document.how != Derivation::Same);
    builtin::hands_on(&f.name)
        || builtin::makes_document(&f.name)
        || (builtin::takes_apart(&f.name) && made_here())
}
