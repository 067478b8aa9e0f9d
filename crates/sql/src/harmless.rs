//! The allow-list behind "plain read": which nodes cannot do anything but read, as the text says.
//!
//! Every node of the tree must be on the list; one that is not makes the statement able to change something. So the
//! list is complete over all node types (no wildcard arm): a node that a later grammar brings does not compile
//! until someone has decided.
//!
//! What the text cannot tell, and only a catalog could: a view or a rule that calls a function, row security, a column-like
//! name that is a function (`t.f`), an operator or type that someone shadowed by an unusual `search_path`.

use pg_query::protobuf::{self, node::Node as NodeEnum};

use crate::tree::NodeRef;

/// `Node(binding) => condition;` for nodes that may stand in a plain read, then those that never do.
macro_rules! harmless {
    (if { $($node:ident($n:pat) => $condition:expr;)* } always { $($good:ident)* } never { $($bad:ident)* }) => {
        /// Whether this node, its children aside, can do nothing but read.
        pub(crate) fn is_harmless(node: NodeRef<'_>) -> bool {
            match node {
                $(NodeRef::$node($n) => $condition,)*
                $(NodeRef::$good(_))|* => true,
                $(NodeRef::$bad(_))|* => false,
            }
        }
    };
}

harmless! {
    if {
        // Nested INTO and locking clauses are nodes of their own and refused below.
        AExpr(n) => is_known_operator(&n.name);
        SubLink(n) => n.oper_name.is_empty() || is_known_operator(&n.oper_name);
        SortBy(n) => n.use_op.is_empty() || is_known_operator(&n.use_op);
        // A cast runs the type's input function and a domain's checks: only PostgreSQL's own types are known.
        TypeName(n) => !n.pct_type && is_known_type(&n.names);
        // `(x).f` may be a call of the function f in disguise.
        AIndirection(n) => n.indirection.iter().all(|step| !matches!(step.node, Some(NodeEnum::String(_))));
    }
    always {
        SelectStmt Alias RangeVar GroupingFunc BoolExpr CaseExpr CaseWhen RowExpr CoalesceExpr MinMaxExpr
        SqlvalueFunction NullTest BooleanTest JoinExpr ColumnRef ParamRef AConst AStar AIndices AArrayExpr ResTarget
        TypeCast CollateClause WindowDef RangeSubselect GroupingSet WithClause CommonTableExpr
        Integer Float Boolean String BitString List
    }
    never {
        // Calls, and what calls functions under another syntax
        FuncCall FuncExpr RangeFunction TableFunc RangeTableFunc RangeTableFuncCol RangeTableSample TableSampleClause
        NamedArgExpr XmlExpr XmlSerialize MergeSupportFunc JsonFormat JsonReturning JsonValueExpr JsonConstructorExpr
        JsonIsPredicate JsonBehavior JsonExpr JsonTablePath JsonTablePathScan JsonTableSiblingJoin JsonOutput
        JsonArgument JsonFuncExpr JsonTablePathSpec JsonTable JsonTableColumn JsonKeyValue JsonParseExpr
        JsonScalarExpr JsonSerializeExpr JsonObjectConstructor JsonArrayConstructor JsonArrayQueryConstructor
        JsonAggConstructor JsonObjectAgg JsonArrayAgg
        // Clauses that change or lock something
        IntoClause LockingClause MergeAction OnConflictExpr OnConflictClause InferClause InferenceElem
        MergeWhenClause ReturningClause ReturningExpr ReturningOption SetToDefault CurrentOfExpr MultiAssignRef
        // Rare in reads; nobody has looked closer yet
        CtesearchClause CtecycleClause
        // Made by the planner or the executor, never by the parser
        Var Param Aggref WindowFunc WindowFuncRunCondition SubscriptingRef OpExpr DistinctExpr NullIfExpr
        ScalarArrayOpExpr SubPlan AlternativeSubPlan FieldSelect FieldStore RelabelType CoerceViaIo ArrayCoerceExpr
        ConvertRowtypeExpr CollateExpr CaseTestExpr ArrayExpr RowCompareExpr CoerceToDomain CoerceToDomainValue
        NextValueExpr TargetEntry RangeTblRef FromExpr Query RangeTblEntry RtepermissionInfo RangeTblFunction
        WithCheckOption SortGroupClause WindowClause RowMarkClause InlineCodeBlock CallContext IntList OidList
        // Parts of other statements
        RawStmt AlterTableCmd AtalterConstraint Constraint ColumnDef IndexElem StatsElem DefElem ObjectWithArgs
        AccessPriv CreateOpClassItem TableLikeClause FunctionParameter RoleSpec TriggerTransition PartitionElem
        PartitionSpec PartitionBoundSpec PartitionRangeDatum PartitionCmd VacuumRelation PublicationObjSpec
        PublicationTable
        // Other statements
        InsertStmt UpdateStmt DeleteStmt MergeStmt SetOperationStmt ReturnStmt PlassignStmt CopyStmt TruncateStmt
        LockStmt CreateTableAsStmt RefreshMatViewStmt NotifyStmt TransactionStmt VariableSetStmt VariableShowStmt
        ConstraintsSetStmt DiscardStmt ListenStmt UnlistenStmt PrepareStmt DeallocateStmt DeclareCursorStmt
        ClosePortalStmt FetchStmt ExecuteStmt ExplainStmt CallStmt DoStmt LoadStmt GrantStmt GrantRoleStmt
        AlterDefaultPrivilegesStmt CreateRoleStmt AlterRoleStmt AlterRoleSetStmt DropRoleStmt DropOwnedStmt
        ReassignOwnedStmt AlterOwnerStmt CreatePolicyStmt AlterPolicyStmt SecLabelStmt CreateUserMappingStmt
        AlterUserMappingStmt DropUserMappingStmt CreateSchemaStmt CreateStmt CreateForeignTableStmt AlterTableStmt
        AlterTableMoveAllStmt RenameStmt AlterObjectSchemaStmt AlterObjectDependsStmt DropStmt DefineStmt CommentStmt
        IndexStmt ViewStmt RuleStmt CreateTrigStmt CreateEventTrigStmt AlterEventTrigStmt CreateFunctionStmt
        AlterFunctionStmt CreateSeqStmt AlterSeqStmt CreateDomainStmt AlterDomainStmt CompositeTypeStmt
        CreateEnumStmt CreateRangeStmt AlterEnumStmt AlterTypeStmt AlterOperatorStmt CreateOpClassStmt
        CreateOpFamilyStmt AlterOpFamilyStmt CreateCastStmt CreateConversionStmt CreateTransformStmt
        AlterCollationStmt CreateStatsStmt AlterStatsStmt CreatePlangStmt CreateAmStmt AlterTsdictionaryStmt
        AlterTsconfigurationStmt CreateExtensionStmt AlterExtensionStmt AlterExtensionContentsStmt CreateFdwStmt
        AlterFdwStmt CreateForeignServerStmt AlterForeignServerStmt ImportForeignSchemaStmt CreatePublicationStmt
        AlterPublicationStmt CreateSubscriptionStmt AlterSubscriptionStmt DropSubscriptionStmt ReplicaIdentityStmt
        CreatedbStmt AlterDatabaseStmt AlterDatabaseSetStmt AlterDatabaseRefreshCollStmt DropdbStmt
        CreateTableSpaceStmt DropTableSpaceStmt AlterTableSpaceOptionsStmt AlterSystemStmt VacuumStmt ClusterStmt
        ReindexStmt CheckPointStmt
    }
}

/// Operators of the grammar and of PostgreSQL's own types whose functions only compute. `BETWEEN` and its kin come as
/// names of the parser's own.
const KNOWN_OPERATORS: &[&str] = &[
    "=",
    "<",
    ">",
    "<=",
    ">=",
    "<>",
    "!=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "||",
    "~~",
    "!~~",
    "~~*",
    "!~~*",
    "~",
    "!~",
    "~*",
    "!~*",
    "->",
    "->>",
    "#>",
    "#>>",
    "@>",
    "<@",
    "?",
    "?|",
    "?&",
    "&&",
    "BETWEEN",
    "NOT BETWEEN",
    "BETWEEN SYMMETRIC",
    "NOT BETWEEN SYMMETRIC",
];

/// Types whose input and cast functions only compute. `xml` and the types of extensions are left out.
const KNOWN_TYPES: &[&str] = &[
    "bool",
    "boolean",
    "int2",
    "int4",
    "int8",
    "smallint",
    "integer",
    "int",
    "bigint",
    "float4",
    "float8",
    "numeric",
    "decimal",
    "real",
    "money",
    "text",
    "varchar",
    "bpchar",
    "char",
    "name",
    "bytea",
    "uuid",
    "json",
    "jsonb",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "bit",
    "varbit",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "point",
    "box",
    "circle",
    "line",
    "lseg",
    "path",
    "polygon",
    "oid",
    "regclass",
    "regtype",
    "regproc",
    "regprocedure",
    "regrole",
    "regnamespace",
    "xid",
    "xid8",
    "cid",
    "tid",
    "pg_lsn",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
];

fn is_known_operator(name: &[protobuf::Node]) -> bool {
    own_name(name).is_some_and(|name| KNOWN_OPERATORS.contains(&name))
}

fn is_known_type(names: &[protobuf::Node]) -> bool {
    own_name(names).is_some_and(|name| KNOWN_TYPES.contains(&name))
}

/// The name, if it is unqualified or in `pg_catalog`, the schema that nobody but PostgreSQL fills.
fn own_name(name: &[protobuf::Node]) -> Option<&str> {
    match name {
        [only] => text_of(only),
        [schema, object] if text_of(schema) == Some("pg_catalog") => text_of(object),
        _ => None,
    }
}

fn text_of(node: &protobuf::Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::String(text)) => Some(text.sval.as_str()),
        _ => None,
    }
}
