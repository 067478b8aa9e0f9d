//! What a session's own definitions change, until a fresh snapshot has them.
//!
//! Tables, views and everything that can run code are followed: what is created becomes known, with its columns where they are
//! plain, and code that is not SQL is opaque under its name. A definition that is not followed makes what it names doubtful.

use std::sync::Arc;

use pg_query::protobuf::{self, ObjectType, node::Node as NodeEnum};

use super::build::next_serial;
use super::{
    Cast, Catalog, Column, FIRST_LOCAL_OID, Function, Oid, Operator, Relation, TEMPORARY, Trigger, Type,
};
use crate::resolve::{Made, name_of, text_of};
use crate::state::SessionState;

/// Stands for an expression that is not written out again: it cannot be parsed, so it cannot be told.
const UNREAD: &str = "(";

impl Catalog {
    fn next_local(&mut self) -> Oid {
        self.local = self.local.max(FIRST_LOCAL_OID) + 1;
        self.local
    }

    fn changed(&mut self) {
        self.serial = next_serial();
        self.worked_out = Arc::default();
    }

    /// Only the other's temporary relations and types are added; `None`: it has none.
    pub(crate) fn with_temporary_of(&self, other: &Self) -> Option<Self> {
        let relations = other.relation_names.iter().filter(|((schema, _), _)| *schema == TEMPORARY);
        let mut out: Option<Self> = None;
        for (_, oid) in relations {
            let Some(relation) = other.relations.get(oid) else { continue };
            let to = out.get_or_insert_with(|| Self { local: other.local, ..self.clone() });
            to.put(TEMPORARY, Relation::clone(relation));
        }
        if let Some(out) = &mut out {
            out.changed();
        }
        out
    }

    /// Without temporary relations.
    pub(crate) fn without_temporary(&self) -> Self {
        let mut out = self.clone();
        let gone: Vec<Oid> =
            out.relation_names.iter().filter(|((s, _), _)| *s == TEMPORARY).map(|(_, oid)| *oid).collect();
        out.relation_names.retain(|(schema, _), _| *schema != TEMPORARY);
        for oid in gone {
            out.relations.remove(&oid);
        }
        out.changed();
        out
    }

    fn put(&mut self, schema: Oid, mut it: Relation) -> Oid {
        if it.oid == 0 {
            it.oid = self.next_local();
        }
        if it.row_type == 0 {
            it.row_type = self.next_local();
            let row = Type {
                oid: it.row_type,
                schema: Arc::clone(&it.schema),
                name: Arc::clone(&it.name),
                kind: b'c',
                relation: it.oid,
                ..Type::default()
            };
            self.put_type(schema, row);
        }
        let oid = it.oid;
        self.relation_names.insert((schema, Arc::clone(&it.name)), oid);
        self.row_types.insert(it.row_type, oid);
        self.relations.insert(oid, Arc::new(it));
        oid
    }

    fn put_type(&mut self, schema: Oid, mut it: Type) {
        if it.oid == 0 {
            it.oid = self.next_local();
        }
        it.array = self.next_local();
        let array = Type {
            oid: it.array,
            schema: Arc::clone(&it.schema),
            name: Arc::from(format!("_{}", it.name)),
            kind: b'b',
            element: it.oid,
            ..Type::default()
        };
        self.type_names.insert((schema, Arc::clone(&it.name)), it.oid);
        self.types.insert(array.oid, Arc::new(array));
        self.types.insert(it.oid, Arc::new(it));
    }

    /// The schema that something is created in.
    fn place(&mut self, schema: Option<&str>, temporary: bool, state: &SessionState) -> (Oid, Arc<str>) {
        if temporary || schema == Some("pg_temp") {
            return (TEMPORARY, Arc::from("pg_temp"));
        }
        match schema {
            Some(name) => {
                if let Some(oid) = self.schemas.get(name) {
                    return (*oid, Arc::from(name));
                }
                let oid = self.next_local();
                self.schemas.insert(name.to_owned(), oid);
                self.schema_names.insert(oid, Arc::from(name));
                (oid, Arc::from(name))
            }
            None => {
                // The first of the path that is not PostgreSQL's.
                let oid =
                    state.path().schemas().find(|s| *s != super::PG_CATALOG).unwrap_or(super::PG_CATALOG);
                (oid, self.schema_name(oid))
            }
        }
    }

    fn type_oid(&self, it: Option<&protobuf::TypeName>, state: &SessionState) -> Oid {
        let Some(it) = it else { return 0 };
        let (schema, name) = name_of(&it.names);
        let found = match schema {
            Some(schema) => self.schemas.get(schema).and_then(|s| self.type_in(*s, name)),
            None => state.path().all().find_map(|s| self.type_in(s, name)),
        };
        match found {
            Some(found) if it.array_bounds.is_empty() => found.oid,
            Some(found) => found.array,
            None => 0,
        }
    }

    /// A definition has completed; `made`: the columns of the query that filled a table.
    pub(crate) fn define(&mut self, node: &NodeEnum, made: &[Made], state: &SessionState) {
        match node {
            NodeEnum::CreateStmt(it) => self.create_table(it, made, state),
            NodeEnum::CreateTableAsStmt(it) => {
                if let Some(to) = it.into.as_ref().and_then(|into| into.rel.as_ref()) {
                    let create = protobuf::CreateStmt { relation: Some(to.clone()), ..Default::default() };
                    self.create_table(&create, made, state);
                }
            }
            NodeEnum::ViewStmt(it) => self.create_view(it, state),
            NodeEnum::CreateSeqStmt(it) => self.create_other(it.sequence.as_ref(), b'S', state),
            NodeEnum::CreateFunctionStmt(it) => self.create_function(it, state),
            NodeEnum::DefineStmt(it) => self.create_defined(it, state),
            NodeEnum::CreateCastStmt(it) => self.create_cast(it, state),
            NodeEnum::CreateDomainStmt(it) => self.create_domain(it, state),
            NodeEnum::CreateEnumStmt(it) => self.create_type(&it.type_name, b'e', state),
            NodeEnum::CreateRangeStmt(it) => self.create_type(&it.type_name, b'r', state),
            NodeEnum::CompositeTypeStmt(it) => {
                if let Some(to) = &it.typevar {
                    let elements = it.coldeflist.clone();
                    let create = protobuf::CreateStmt {
                        relation: Some(to.clone()),
                        table_elts: elements,
                        ..Default::default()
                    };
                    self.create_table(&create, &[], state);
                }
            }
            NodeEnum::CreateTrigStmt(it) => self.create_trigger(it, state),
            NodeEnum::CreateSchemaStmt(it) => {
                let name =
                    if it.schemaname.is_empty() { state.role().to_owned() } else { it.schemaname.clone() };
                self.place(Some(&name), false, state);
                for element in it.schema_elts.iter().filter_map(|n| n.node.as_ref()) {
                    self.define(element, &[], state);
                }
            }
            NodeEnum::DropStmt(it) => self.drop_objects(it, state),
            NodeEnum::AlterTableStmt(it) => self.alter_table(it, state),
            NodeEnum::RenameStmt(it) => self.rename(it, state),
            NodeEnum::RuleStmt(it) => self.doubt_rule(it.relation.as_ref(), state),
            NodeEnum::CreatePolicyStmt(it) => self.doubt_policies(it.table.as_ref(), state),
            NodeEnum::AlterPolicyStmt(it) => self.doubt_policies(it.table.as_ref(), state),
            NodeEnum::IndexStmt(it) if indexes_what_runs(it) => {
                self.doubt_planning(it.relation.as_ref(), state);
            }
            NodeEnum::CreateStatsStmt(it) if has_expressions(&it.exprs) => {
                for node in &it.relations {
                    if let Some(NodeEnum::RangeVar(to)) = &node.node {
                        self.doubt_planning(Some(to), state);
                    }
                }
            }
            NodeEnum::AlterFunctionStmt(_)
            | NodeEnum::AlterOperatorStmt(_)
            | NodeEnum::AlterObjectSchemaStmt(_)
            | NodeEnum::AlterDomainStmt(_)
            | NodeEnum::AlterTypeStmt(_)
            | NodeEnum::CreateExtensionStmt(_)
            | NodeEnum::ImportForeignSchemaStmt(_)
            | NodeEnum::CreateOpClassStmt(_)
            | NodeEnum::AlterOpFamilyStmt(_)
            | NodeEnum::AlterExtensionContentsStmt(_) => {
                // What these change is not followed: nothing is known until the next snapshot.
                self.schemas.clear();
            }
            _ => {}
        }
        self.changed();
    }

    fn create_table(&mut self, it: &protobuf::CreateStmt, made: &[Made], state: &SessionState) {
        let Some(to) = &it.relation else { return };
        let schema = Some(to.schemaname.as_str()).filter(|s| !s.is_empty());
        let (schema, schema_name) = self.place(schema, to.relpersistence == "t", state);
        if it.if_not_exists && self.relation_in(schema, &to.relname).is_some() {
            return;
        }
        let mut columns: Vec<Column> = made
            .iter()
            .map(|m| Column {
                name: Arc::from(m.name.as_str()),
                type_oid: m.type_oid,
                origin: m.origin.clone(),
                ..Column::default()
            })
            .collect();
        let mut doubtful = !it.inh_relations.is_empty() || it.of_typename.is_some() || it.partbound.is_some();
        for element in it.table_elts.iter().filter_map(|n| n.node.as_ref()) {
            match element {
                NodeEnum::ColumnDef(column) => {
                    doubtful |= column.constraints.iter().any(|c| self.may_run(c, state));
                    columns.push(Column {
                        name: Arc::from(column.colname.as_str()),
                        type_oid: self.type_oid(column.type_name.as_ref(), state),
                        not_null: column.is_not_null,
                        ..Column::default()
                    });
                }
                NodeEnum::TableLikeClause(_) => doubtful = true,
                NodeEnum::Constraint(it) => doubtful |= runs(it),
                _ => {}
            }
        }
        // What it checks is looked at where a table is planned whose rows it holds.
        if doubtful && has_checks(&it.table_elts) {
            for parent in &it.inh_relations {
                if let Some(NodeEnum::RangeVar(parent)) = &parent.node {
                    self.doubt_planning(Some(parent), state);
                }
            }
        }
        for (at, column) in columns.iter_mut().enumerate() {
            column.number = i16::try_from(at + 1).unwrap_or(i16::MAX);
        }
        let relation = Relation {
            schema: schema_name,
            name: Arc::from(to.relname.as_str()),
            kind: b'r',
            temporary: schema == TEMPORARY,
            columns,
            planned_expressions: parts_by_what_runs(it).then(|| Arc::from(UNREAD)).into_iter().collect(),
            doubtful,
            ..Relation::default()
        };
        self.put(schema, relation);
    }

    /// Whether a column's constraint may run something when a row is written: a default that is a constant does not.
    fn may_run(&self, node: &protobuf::Node, state: &SessionState) -> bool {
        let Some(NodeEnum::Constraint(it)) = &node.node else { return false };
        let constant = it.contype() == protobuf::ConstrType::ConstrDefault
            && it.raw_expr.as_deref().is_some_and(|value| self.is_constant(value, state));
        !constant && runs(it)
    }

    fn is_constant(&self, node: &protobuf::Node, state: &SessionState) -> bool {
        match &node.node {
            Some(NodeEnum::AConst(_) | NodeEnum::SqlvalueFunction(_)) => true,
            Some(NodeEnum::TypeCast(cast)) => {
                let inner = cast.arg.as_deref().and_then(|n| n.node.as_ref());
                let to = self.type_oid(cast.type_name.as_ref(), state);
                matches!(inner, Some(NodeEnum::AConst(_))) && (1..super::FIRST_USER_OID).contains(&to)
            }
            _ => false,
        }
    }

    fn create_view(&mut self, it: &protobuf::ViewStmt, state: &SessionState) {
        let (Some(to), Some(query)) = (&it.view, &it.query) else { return };
        let schema = Some(to.schemaname.as_str()).filter(|s| !s.is_empty());
        let (schema, schema_name) = self.place(schema, to.relpersistence == "t", state);
        // Its names are those of this session's path, and a view is looked up with the catalog's: so it is resolved here.
        let facts = crate::resolve::resolve(
            query.node.as_ref().unwrap_or(&NodeEnum::CheckPointStmt(protobuf::CheckPointStmt {})),
            self,
            state,
        )
        .facts;
        let firsthand_model::statement::Output::Columns(outputs) = facts.output.clone() else {
            return self.create_other(it.view.as_ref(), b'v', state);
        };
        let columns: Vec<Column> = outputs
            .iter()
            .enumerate()
            .map(|(at, o)| Column {
                number: i16::try_from(at + 1).unwrap_or(i16::MAX),
                name: it
                    .aliases
                    .get(at)
                    .and_then(text_of)
                    .map_or_else(|| Arc::from(o.name.as_str()), Arc::from),
                ..Column::default()
            })
            .collect();
        let oid = self.put(
            schema,
            Relation {
                schema: schema_name,
                name: Arc::from(to.relname.as_str()),
                kind: b'v',
                temporary: schema == TEMPORARY,
                columns,
                query: Some(Arc::from("")),
                ..Relation::default()
            },
        );
        self.changed();
        self.session_views.insert(oid, Arc::new(facts));
    }

    fn create_other(&mut self, to: Option<&protobuf::RangeVar>, kind: u8, state: &SessionState) {
        let Some(to) = to else { return };
        let schema = Some(to.schemaname.as_str()).filter(|s| !s.is_empty());
        let (schema, schema_name) = self.place(schema, to.relpersistence == "t", state);
        let name = Arc::from(to.relname.as_str());
        let doubtful = kind != b'S';
        let temporary = schema == TEMPORARY;
        self.put(
            schema,
            Relation { schema: schema_name, name, kind, temporary, doubtful, ..Relation::default() },
        );
    }

    fn create_function(&mut self, it: &protobuf::CreateFunctionStmt, state: &SessionState) {
        let (schema, name) = name_of(&it.funcname);
        let (namespace, schema) = self.place(schema, false, state);
        let mut f = Function {
            oid: self.next_local(),
            namespace,
            schema,
            name: Arc::from(name),
            kind: if it.is_procedure { b'p' } else { b'f' },
            volatility: b'v',
            // A body that is read again later would be read with another path: it stays closed.
            language: Arc::from("session"),
            result: self.type_oid(it.return_type.as_ref(), state),
            set: it.return_type.as_ref().is_some_and(|t| t.setof),
            ..Function::default()
        };
        for parameter in it.parameters.iter().filter_map(|n| n.node.as_ref()) {
            let NodeEnum::FunctionParameter(parameter) = parameter else { continue };
            let type_oid = self.type_oid(parameter.arg_type.as_ref(), state);
            let name: Arc<str> = Arc::from(parameter.name.as_str());
            use protobuf::FunctionParameterMode as Mode;
            if matches!(parameter.mode(), Mode::FuncParamOut | Mode::FuncParamTable | Mode::FuncParamInout) {
                f.outputs.push((Arc::clone(&name), type_oid));
            }
            if !matches!(parameter.mode(), Mode::FuncParamOut | Mode::FuncParamTable) {
                f.arguments.push(type_oid);
                f.argument_names.push(name);
                f.defaults += u16::from(parameter.defexpr.is_some());
                if parameter.defexpr.as_deref().is_some_and(|default| !self.is_constant(default, state)) {
                    f.default_expressions = Some(Arc::from(UNREAD));
                }
                if parameter.mode() == Mode::FuncParamVariadic {
                    f.variadic = 1;
                }
            }
        }
        give_body(&mut f, it);
        // One with the same arguments is replaced.
        let same: Vec<Oid> = self
            .functions_named(name)
            .filter(|o| o.namespace == namespace && o.arguments == f.arguments)
            .map(|o| o.oid)
            .collect();
        for oid in same {
            // What refers to it by number runs the new one.
            f.oid = oid;
        }
        if f.oid < super::FIRST_USER_OID {
            f.language = Arc::from("session");
        }
        self.add_function(f);
    }

    fn closed_function(
        &mut self,
        namespace: Oid,
        schema: Arc<str>,
        name: &str,
        kind: u8,
        arguments: usize,
    ) -> Oid {
        let oid = self.next_local();
        self.add_function(Function {
            oid,
            namespace,
            schema,
            name: Arc::from(name),
            kind,
            volatility: b'v',
            language: Arc::from("session"),
            arguments: vec![2276; arguments],
            variadic: 1,
            defaults: u16::MAX,
            ..Function::default()
        });
        oid
    }

    fn create_defined(&mut self, it: &protobuf::DefineStmt, state: &SessionState) {
        let (schema, name) = name_of(&it.defnames);
        let (namespace, schema) = self.place(schema, false, state);
        match it.kind() {
            ObjectType::ObjectAggregate => {
                self.closed_function(namespace, schema, name, b'a', 0);
            }
            ObjectType::ObjectOperator => self.create_operator(it, namespace, name, state),
            ObjectType::ObjectType => self.create_type(&it.defnames, b'b', state),
            _ => {}
        }
    }

    fn create_operator(
        &mut self,
        it: &protobuf::DefineStmt,
        namespace: Oid,
        name: &str,
        state: &SessionState,
    ) {
        let mut operator =
            Operator { oid: self.next_local(), namespace, name: Arc::from(name), ..Operator::default() };
        let mut function = None;
        for option in it.definition.iter().filter_map(|n| n.node.as_ref()) {
            let NodeEnum::DefElem(option) = option else { continue };
            let Some(NodeEnum::TypeName(value)) = option.arg.as_deref().and_then(|n| n.node.as_ref()) else {
                continue;
            };
            match option.defname.as_str() {
                "leftarg" => operator.left = self.type_oid(Some(value), state),
                "rightarg" => operator.right = self.type_oid(Some(value), state),
                "procedure" | "function" => function = Some(name_of(&value.names)),
                _ => {}
            }
        }
        let found = function.and_then(|(schema, name)| {
            let wanted = schema.and_then(|s| self.schemas.get(s).copied());
            self.functions_named(name).find(|f| wanted.is_none_or(|w| w == f.namespace)).map(|f| f.oid)
        });
        operator.function = found.unwrap_or(0);
        self.add_operator(operator);
    }

    fn create_cast(&mut self, it: &protobuf::CreateCastStmt, state: &SessionState) {
        let function = it.func.as_ref().map(|f| name_of(&f.objname).1.to_owned());
        let found = function.as_ref().and_then(|name| self.functions_named(name).map(|f| f.oid).max());
        self.add_cast(Cast {
            source: self.type_oid(it.sourcetype.as_ref(), state),
            target: self.type_oid(it.targettype.as_ref(), state),
            function: if function.is_some() { found.unwrap_or(FIRST_LOCAL_OID) } else { 0 },
            context: match it.context() {
                protobuf::CoercionContext::CoercionImplicit => b'i',
                protobuf::CoercionContext::CoercionAssignment => b'a',
                _ => b'e',
            },
        });
    }

    fn create_domain(&mut self, it: &protobuf::CreateDomainStmt, state: &SessionState) {
        let (schema, name) = name_of(&it.domainname);
        let (namespace, schema) = self.place(schema, false, state);
        // Its checks are not written out again: a check that nobody can read stands for them.
        let checked = !it.constraints.is_empty();
        let domain = Type {
            schema,
            name: Arc::from(name),
            kind: b'd',
            base: self.type_oid(it.type_name.as_ref(), state),
            checks: if checked { vec![Arc::from(UNREAD)] } else { Vec::new() },
            ..Type::default()
        };
        self.put_type(namespace, domain);
    }

    fn create_type(&mut self, name: &[protobuf::Node], kind: u8, state: &SessionState) {
        let (schema, name) = name_of(name);
        let (namespace, schema) = self.place(schema, false, state);
        let checks = if matches!(kind, b'b' | b'r') { vec![Arc::from(UNREAD)] } else { Vec::new() };
        self.put_type(namespace, Type { schema, name: Arc::from(name), kind, checks, ..Type::default() });
    }

    fn create_trigger(&mut self, it: &protobuf::CreateTrigStmt, state: &SessionState) {
        let (_, name) = name_of(&it.funcname);
        let function = self.functions_named(name).map(|f| f.oid).max().unwrap_or(FIRST_LOCAL_OID);
        let bits = i16::try_from(it.events).unwrap_or(i16::MAX) | i16::try_from(it.timing).unwrap_or(0);
        let trigger = Trigger { name: Arc::from(it.trigname.as_str()), function, bits };
        self.edit(it.relation.as_ref(), state, |relation| relation.triggers.push(trigger));
    }

    fn edit(
        &mut self,
        to: Option<&protobuf::RangeVar>,
        state: &SessionState,
        work: impl FnOnce(&mut Relation),
    ) {
        let Some(to) = to else { return };
        let found = if to.schemaname.is_empty() {
            state.path().all().find_map(|s| self.relation_in(s, &to.relname)).cloned()
        } else if to.schemaname == "pg_temp" {
            self.relation_in(TEMPORARY, &to.relname).cloned()
        } else {
            self.relation(&to.schemaname, &to.relname).cloned()
        };
        if let Some(mut relation) = found {
            work(Arc::make_mut(&mut relation));
            self.relations.insert(relation.oid, relation);
        }
    }

    /// Changed in a way that is not followed.
    fn doubt(&mut self, to: Option<&protobuf::RangeVar>, state: &SessionState) {
        self.edit(to, state, |relation| relation.doubtful = true);
    }

    fn alter_table(&mut self, it: &protobuf::AlterTableStmt, state: &SessionState) {
        use protobuf::AlterTableType as T;
        self.doubt(it.relation.as_ref(), state);
        for command in it.cmds.iter().filter_map(|n| n.node.as_ref()) {
            let NodeEnum::AlterTableCmd(command) = command else { continue };
            match command.subtype() {
                T::AtEnableRowSecurity => {
                    self.edit(it.relation.as_ref(), state, |relation| relation.row_security = true);
                }
                T::AtAttachPartition | T::AtAddInherit => self.doubt_planning(it.relation.as_ref(), state),
                _ if command.def.as_deref().is_some_and(|def| has_checks(std::slice::from_ref(def))) => {
                    self.doubt_planning(it.relation.as_ref(), state);
                }
                _ => {}
            }
        }
    }

    /// Who reads it where row security is in force runs what nobody has read.
    fn doubt_policies(&mut self, to: Option<&protobuf::RangeVar>, state: &SessionState) {
        self.edit(to, state, |relation| {
            relation.doubtful = true;
            relation.policies.push(Arc::from(UNREAD));
        });
    }

    /// Planning a statement about it runs what nobody has read.
    fn doubt_planning(&mut self, to: Option<&protobuf::RangeVar>, state: &SessionState) {
        self.edit(to, state, |relation| relation.planned_expressions.push(Arc::from(UNREAD)));
    }

    fn doubt_rule(&mut self, to: Option<&protobuf::RangeVar>, state: &SessionState) {
        let rule = |event| super::Rule { event, text: Arc::from("") };
        self.edit(to, state, |relation| relation.rules.extend((1..=4).map(rule)));
    }

    fn rename(&mut self, it: &protobuf::RenameStmt, state: &SessionState) {
        match it.rename_type() {
            ObjectType::ObjectTable
            | ObjectType::ObjectView
            | ObjectType::ObjectMatview
            | ObjectType::ObjectForeignTable => {
                let Some(to) = &it.relation else { return };
                let (mut renamed, new) = (None, Arc::<str>::from(it.newname.as_str()));
                self.edit(Some(to), state, |relation| {
                    renamed = Some((relation.oid, Arc::clone(&relation.name)));
                    relation.name = Arc::clone(&new);
                });
                let Some((oid, old)) = renamed else { return };
                let key = self
                    .relation_names
                    .iter()
                    .find(|((_, n), o)| **o == oid && *n == old)
                    .map(|(k, _)| k.clone());
                if let Some(key) = key {
                    self.relation_names.remove(&key);
                    self.relation_names.insert((key.0, new), oid);
                }
            }
            ObjectType::ObjectColumn | ObjectType::ObjectAttribute => {
                let new = Arc::<str>::from(it.newname.as_str());
                self.edit(it.relation.as_ref(), state, |relation| {
                    if let Some(column) = relation.columns.iter_mut().find(|c| *c.name == *it.subname) {
                        column.name = new;
                    }
                });
            }
            ObjectType::ObjectTabconstraint
            | ObjectType::ObjectIndex
            | ObjectType::ObjectSequence
            | ObjectType::ObjectTrigger
            | ObjectType::ObjectPolicy
            | ObjectType::ObjectRule
            | ObjectType::ObjectRole
            | ObjectType::ObjectDatabase => {}
            _ => self.schemas.clear(),
        }
    }

    fn drop_objects(&mut self, it: &protobuf::DropStmt, state: &SessionState) {
        let relations = matches!(
            it.remove_type(),
            ObjectType::ObjectTable
                | ObjectType::ObjectView
                | ObjectType::ObjectMatview
                | ObjectType::ObjectSequence
                | ObjectType::ObjectForeignTable
        );
        for object in it.objects.iter().filter(|_| relations) {
            let Some(NodeEnum::List(list)) = &object.node else { continue };
            let (schema, name) = name_of(&list.items);
            let place = match schema {
                Some("pg_temp") => Some(TEMPORARY),
                Some(schema) => self.schemas.get(schema).copied(),
                None => state.path().all().find(|s| self.relation_in(*s, name).is_some()),
            };
            if let Some(oid) = place.and_then(|s| self.relation_names.remove(&(s, Arc::from(name)))) {
                self.relations.remove(&oid);
            }
        }
        // Functions, operators and types that are gone may uncover others; too many candidates are safe. A schema that is
        // gone takes what was in it along.
    }
}

/// Volatility, and a body in SQL that can be read.
fn give_body(f: &mut Function, it: &protobuf::CreateFunctionStmt) {
    let mut language = None;
    let mut body = None;
    for option in it.options.iter().filter_map(|n| n.node.as_ref()) {
        let NodeEnum::DefElem(option) = option else { continue };
        let argument = option.arg.as_deref();
        match option.defname.as_str() {
            "language" => language = argument.and_then(text_of),
            "as" => {
                body = match argument.and_then(|n| n.node.as_ref()) {
                    Some(NodeEnum::List(list)) => list.items.first().and_then(text_of),
                    _ => None,
                }
            }
            "volatility" => {
                f.volatility = argument.and_then(text_of).and_then(|t| t.bytes().next()).unwrap_or(b'v');
            }
            "set" => language = Some("session"),
            _ => {}
        }
    }
    if language.is_some_and(|l| l.eq_ignore_ascii_case("sql")) && it.sql_body.is_none() {
        f.language = Arc::from("sql");
        f.source = body.map(Arc::from);
    }
}

/// Whether there are CHECK conditions among these columns and constraints.
fn has_checks(elements: &[protobuf::Node]) -> bool {
    elements.iter().any(|element| match &element.node {
        Some(NodeEnum::ColumnDef(column)) => has_checks(&column.constraints),
        Some(NodeEnum::Constraint(it)) => it.contype() == protobuf::ConstrType::ConstrCheck,
        _ => false,
    })
}

fn indexes_what_runs(it: &protobuf::IndexStmt) -> bool {
    let runs = |n: &protobuf::Node| matches!(&n.node, Some(NodeEnum::IndexElem(e)) if e.expr.is_some() || !e.opclass.is_empty());
    it.where_clause.is_some() || it.index_params.iter().any(runs)
}

/// Whether rows are parted by expressions, or compared with functions of a class that it names.
fn parts_by_what_runs(it: &protobuf::CreateStmt) -> bool {
    let runs = |n: &protobuf::Node| matches!(&n.node, Some(NodeEnum::PartitionElem(e)) if e.expr.is_some() || !e.opclass.is_empty());
    it.partspec.as_ref().is_some_and(|p| p.part_params.iter().any(runs))
}

fn has_expressions(elements: &[protobuf::Node]) -> bool {
    elements.iter().any(|n| matches!(&n.node, Some(NodeEnum::StatsElem(e)) if e.expr.is_some()))
}

/// Whether a constraint of this kind is an expression, or compares with operators that it names.
fn runs(it: &protobuf::Constraint) -> bool {
    use protobuf::ConstrType as T;
    matches!(it.contype(), T::ConstrDefault | T::ConstrGenerated | T::ConstrCheck | T::ConstrExclusion)
}
