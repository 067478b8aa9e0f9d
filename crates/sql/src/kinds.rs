//! What each kind of statement is called, and what it does as far as the kind alone tells.
//!
//! Tags follow PostgreSQL's command tags. Effects over-approximate: what runs code that the text does not show
//! (functions, DO bodies, extensions' scripts, cursors) has `unknown` among them. Triggers and rules on the tables named
//! can do more than any statement says; only a catalog could tell.

use std::borrow::Cow;

use firsthand_model::command::{Effect, Effects};
use pg_query::protobuf::{self, AlterTableType, ObjectType, TransactionStmtKind, node::Node as NodeEnum};

use crate::tree::NodeRef;

/// Whether what hangs below a statement is executed with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inner {
    /// Nested statements and function calls run now: their effects count.
    Runs,
    /// They are stored or only described (a view's query, a function's body).
    Kept,
}

/// One kind of statement.
pub(crate) struct Kind {
    pub(crate) tag: Cow<'static, str>,
    pub(crate) effects: Effects,
    pub(crate) inner: Inner,
}

const READ: Effects = Effects::only(Effect::Read);
const WRITE: Effects = Effects::only(Effect::Write);
const DEFINE: Effects = Effects::only(Effect::Define);
const GRANT: Effects = Effects::only(Effect::Grant);
const EXECUTE: Effects = Effects::only(Effect::Execute);
const SESSION: Effects = Effects::only(Effect::Session);
const UNKNOWN: Effects = Effects::only(Effect::Unknown);
/// Runs code that cannot be seen.
const OPAQUE: Effects = EXECUTE.union(UNKNOWN);

/// `Node(binding) => tag, effects, inner;` for statements, then the nodes that are only parts of one. Without a wildcard
/// arm: a new node must be put in one of the two lists before this compiles.
macro_rules! kinds {
    (statements { $($node:ident($stmt:pat) => $tag:expr, $effects:expr, $inner:ident;)* } parts { $($part:ident)* }) => {
        /// The kind of a statement; `None` for a node that is only part of one.
        pub(crate) fn kind_of(node: NodeRef<'_>) -> Option<Kind> {
            match node {
                $(NodeRef::$node($stmt) => {
                    Some(Kind { tag: Cow::from($tag), effects: $effects, inner: Inner::$inner })
                })*
                $(NodeRef::$part(_))|* => None,
            }
        }
    };
}

kinds! {
    statements {
        // Data
        SelectStmt(s) => select_tag(s), select_effects(s), Runs;
        InsertStmt(s) => "INSERT", returning(WRITE, s.returning_clause.is_some()), Runs;
        UpdateStmt(s) => "UPDATE", returning(WRITE, s.returning_clause.is_some()), Runs;
        DeleteStmt(s) => "DELETE", returning(WRITE, s.returning_clause.is_some()), Runs;
        MergeStmt(s) => "MERGE", returning(WRITE, s.returning_clause.is_some()), Runs;
        CopyStmt(s) => "COPY", copy_effects(s), Runs;
        TruncateStmt(_) => "TRUNCATE TABLE", WRITE, Runs;
        LockStmt(_) => "LOCK TABLE", SESSION, Runs;
        CreateTableAsStmt(s) => create_as_tag(s), DEFINE.union(WRITE), Runs;
        RefreshMatViewStmt(_) => "REFRESH MATERIALIZED VIEW", WRITE.union(UNKNOWN), Runs;
        NotifyStmt(_) => "NOTIFY", WRITE, Runs;
        SetOperationStmt(_) => "SELECT", READ, Runs;
        // Transactions and the session
        TransactionStmt(s) => transaction_tag(s), transaction_effects(s), Runs;
        VariableSetStmt(s) => set_tag(s), SESSION, Runs;
        VariableShowStmt(_) => "SHOW", READ, Runs;
        ConstraintsSetStmt(_) => "SET CONSTRAINTS", SESSION, Runs;
        DiscardStmt(s) => discard_tag(s), SESSION, Runs;
        ListenStmt(_) => "LISTEN", SESSION, Runs;
        UnlistenStmt(_) => "UNLISTEN", SESSION, Runs;
        PrepareStmt(_) => "PREPARE", SESSION, Runs;
        DeallocateStmt(s) => if s.name.is_empty() { "DEALLOCATE ALL" } else { "DEALLOCATE" }, SESSION, Runs;
        DeclareCursorStmt(_) => "DECLARE CURSOR", SESSION, Runs;
        ClosePortalStmt(s) => if s.portalname.is_empty() { "CLOSE CURSOR ALL" } else { "CLOSE CURSOR" }, SESSION, Runs;
        // A cursor's query and a prepared statement are found by their name, which the text alone does not resolve.
        FetchStmt(s) => if s.ismove { "MOVE" } else { "FETCH" }, READ.union(UNKNOWN), Runs;
        ExecuteStmt(_) => "EXECUTE", OPAQUE, Runs;
        ExplainStmt(_) => "EXPLAIN", READ, Runs;
        // Code
        CallStmt(_) => "CALL", OPAQUE, Runs;
        DoStmt(_) => "DO", OPAQUE, Runs;
        LoadStmt(_) => "LOAD", OPAQUE, Runs;
        // Privileges and roles
        GrantStmt(s) => if s.is_grant { "GRANT" } else { "REVOKE" }, GRANT, Kept;
        GrantRoleStmt(s) => if s.is_grant { "GRANT ROLE" } else { "REVOKE ROLE" }, GRANT, Kept;
        AlterDefaultPrivilegesStmt(_) => "ALTER DEFAULT PRIVILEGES", GRANT, Kept;
        CreateRoleStmt(_) => "CREATE ROLE", GRANT, Kept;
        AlterRoleStmt(_) => "ALTER ROLE", GRANT, Kept;
        AlterRoleSetStmt(_) => "ALTER ROLE", GRANT, Kept;
        DropRoleStmt(_) => "DROP ROLE", GRANT, Kept;
        DropOwnedStmt(_) => "DROP OWNED", DEFINE.union(GRANT), Kept;
        ReassignOwnedStmt(_) => "REASSIGN OWNED", GRANT, Kept;
        AlterOwnerStmt(s) => alter(s.object_type), DEFINE.union(GRANT), Kept;
        CreatePolicyStmt(_) => "CREATE POLICY", DEFINE.union(GRANT), Kept;
        AlterPolicyStmt(_) => "ALTER POLICY", DEFINE.union(GRANT), Kept;
        SecLabelStmt(_) => "SECURITY LABEL", GRANT, Kept;
        CreateUserMappingStmt(_) => "CREATE USER MAPPING", DEFINE.union(GRANT), Kept;
        AlterUserMappingStmt(_) => "ALTER USER MAPPING", DEFINE.union(GRANT), Kept;
        DropUserMappingStmt(_) => "DROP USER MAPPING", DEFINE.union(GRANT), Kept;
        // Definitions. What is nested in them is stored, except where the statement builds something from it.
        CreateSchemaStmt(_) => "CREATE SCHEMA", DEFINE, Runs;
        CreateStmt(_) => "CREATE TABLE", DEFINE, Kept;
        CreateForeignTableStmt(_) => "CREATE FOREIGN TABLE", DEFINE, Kept;
        AlterTableStmt(s) => alter(s.objtype), alter_table_effects(s), Kept;
        AlterTableMoveAllStmt(s) => alter(s.objtype), DEFINE, Kept;
        RenameStmt(s) => alter(s.rename_type), DEFINE, Kept;
        AlterObjectSchemaStmt(s) => alter(s.object_type), DEFINE, Kept;
        AlterObjectDependsStmt(s) => alter(s.object_type), DEFINE, Kept;
        DropStmt(s) => phrase("DROP", s.remove_type), DEFINE, Kept;
        DefineStmt(s) => phrase("CREATE", s.kind), DEFINE, Kept;
        CommentStmt(_) => "COMMENT", DEFINE, Kept;
        IndexStmt(_) => "CREATE INDEX", DEFINE, Kept;
        ViewStmt(_) => "CREATE VIEW", DEFINE, Kept;
        RuleStmt(_) => "CREATE RULE", DEFINE, Kept;
        CreateTrigStmt(_) => "CREATE TRIGGER", DEFINE, Kept;
        CreateEventTrigStmt(_) => "CREATE EVENT TRIGGER", DEFINE, Kept;
        AlterEventTrigStmt(_) => "ALTER EVENT TRIGGER", DEFINE, Kept;
        CreateFunctionStmt(s) => if s.is_procedure { "CREATE PROCEDURE" } else { "CREATE FUNCTION" }, DEFINE, Kept;
        AlterFunctionStmt(s) => alter(s.objtype), DEFINE, Kept;
        ReturnStmt(_) => "RETURN", DEFINE, Kept;
        CreateSeqStmt(_) => "CREATE SEQUENCE", DEFINE, Kept;
        AlterSeqStmt(_) => "ALTER SEQUENCE", DEFINE, Kept;
        CreateDomainStmt(_) => "CREATE DOMAIN", DEFINE, Kept;
        AlterDomainStmt(_) => "ALTER DOMAIN", DEFINE, Kept;
        CompositeTypeStmt(_) => "CREATE TYPE", DEFINE, Kept;
        CreateEnumStmt(_) => "CREATE TYPE", DEFINE, Kept;
        CreateRangeStmt(_) => "CREATE TYPE", DEFINE, Kept;
        AlterEnumStmt(_) => "ALTER TYPE", DEFINE, Kept;
        AlterTypeStmt(_) => "ALTER TYPE", DEFINE, Kept;
        AlterOperatorStmt(_) => "ALTER OPERATOR", DEFINE, Kept;
        CreateOpClassStmt(_) => "CREATE OPERATOR CLASS", DEFINE, Kept;
        CreateOpFamilyStmt(_) => "CREATE OPERATOR FAMILY", DEFINE, Kept;
        AlterOpFamilyStmt(_) => "ALTER OPERATOR FAMILY", DEFINE, Kept;
        CreateCastStmt(_) => "CREATE CAST", DEFINE, Kept;
        CreateConversionStmt(_) => "CREATE CONVERSION", DEFINE, Kept;
        CreateTransformStmt(_) => "CREATE TRANSFORM", DEFINE, Kept;
        AlterCollationStmt(_) => "ALTER COLLATION", DEFINE, Kept;
        CreateStatsStmt(_) => "CREATE STATISTICS", DEFINE, Kept;
        AlterStatsStmt(_) => "ALTER STATISTICS", DEFINE, Kept;
        CreatePlangStmt(_) => "CREATE LANGUAGE", DEFINE, Kept;
        CreateAmStmt(_) => "CREATE ACCESS METHOD", DEFINE, Kept;
        AlterTsdictionaryStmt(_) => "ALTER TEXT SEARCH DICTIONARY", DEFINE, Kept;
        AlterTsconfigurationStmt(_) => "ALTER TEXT SEARCH CONFIGURATION", DEFINE, Kept;
        CreateExtensionStmt(_) => "CREATE EXTENSION", DEFINE.union(OPAQUE), Kept;
        AlterExtensionStmt(_) => "ALTER EXTENSION", DEFINE.union(OPAQUE), Kept;
        AlterExtensionContentsStmt(_) => "ALTER EXTENSION", DEFINE, Kept;
        CreateFdwStmt(_) => "CREATE FOREIGN DATA WRAPPER", DEFINE, Kept;
        AlterFdwStmt(_) => "ALTER FOREIGN DATA WRAPPER", DEFINE, Kept;
        CreateForeignServerStmt(_) => "CREATE SERVER", DEFINE, Kept;
        AlterForeignServerStmt(_) => "ALTER SERVER", DEFINE, Kept;
        ImportForeignSchemaStmt(_) => "IMPORT FOREIGN SCHEMA", DEFINE, Kept;
        CreatePublicationStmt(_) => "CREATE PUBLICATION", DEFINE, Kept;
        AlterPublicationStmt(_) => "ALTER PUBLICATION", DEFINE, Kept;
        CreateSubscriptionStmt(_) => "CREATE SUBSCRIPTION", DEFINE, Kept;
        AlterSubscriptionStmt(_) => "ALTER SUBSCRIPTION", DEFINE, Kept;
        DropSubscriptionStmt(_) => "DROP SUBSCRIPTION", DEFINE, Kept;
        ReplicaIdentityStmt(_) => "ALTER TABLE", DEFINE, Kept;
        // The server as a whole, and maintenance: changes how things are stored, not what they say.
        CreatedbStmt(_) => "CREATE DATABASE", DEFINE, Kept;
        AlterDatabaseStmt(_) => "ALTER DATABASE", DEFINE, Kept;
        AlterDatabaseSetStmt(_) => "ALTER DATABASE", DEFINE, Kept;
        AlterDatabaseRefreshCollStmt(_) => "ALTER DATABASE", DEFINE, Kept;
        DropdbStmt(_) => "DROP DATABASE", DEFINE, Kept;
        CreateTableSpaceStmt(_) => "CREATE TABLESPACE", DEFINE, Kept;
        DropTableSpaceStmt(_) => "DROP TABLESPACE", DEFINE, Kept;
        AlterTableSpaceOptionsStmt(_) => "ALTER TABLESPACE", DEFINE, Kept;
        AlterSystemStmt(_) => "ALTER SYSTEM", DEFINE, Kept;
        VacuumStmt(s) => if s.is_vacuumcmd { "VACUUM" } else { "ANALYZE" }, DEFINE, Kept;
        ClusterStmt(_) => "CLUSTER", DEFINE, Kept;
        ReindexStmt(_) => "REINDEX", DEFINE, Kept;
        CheckPointStmt(_) => "CHECKPOINT", DEFINE, Kept;
    }
    parts {
        Alias RangeVar TableFunc Var Param Aggref GroupingFunc WindowFunc SubscriptingRef FuncExpr NamedArgExpr OpExpr
        DistinctExpr NullIfExpr ScalarArrayOpExpr BoolExpr SubLink SubPlan AlternativeSubPlan FieldSelect FieldStore
        RelabelType CoerceViaIo ArrayCoerceExpr ConvertRowtypeExpr CollateExpr CaseExpr CaseWhen CaseTestExpr
        ArrayExpr RowExpr RowCompareExpr CoalesceExpr MinMaxExpr SqlvalueFunction XmlExpr NullTest BooleanTest
        CoerceToDomain CoerceToDomainValue SetToDefault CurrentOfExpr NextValueExpr InferenceElem TargetEntry
        RangeTblRef JoinExpr FromExpr OnConflictExpr IntoClause MergeAction RawStmt Query AlterTableCmd
        AtalterConstraint Constraint TypeName ColumnRef ParamRef AExpr AConst FuncCall AStar AIndices AIndirection
        AArrayExpr ResTarget MultiAssignRef TypeCast CollateClause SortBy WindowDef RangeSubselect RangeFunction
        RangeTableSample RangeTableFunc RangeTableFuncCol ColumnDef IndexElem StatsElem DefElem LockingClause
        XmlSerialize RangeTblEntry RtepermissionInfo RangeTblFunction TableSampleClause WithCheckOption
        SortGroupClause GroupingSet WindowClause ObjectWithArgs AccessPriv CreateOpClassItem TableLikeClause
        FunctionParameter RowMarkClause WithClause InferClause OnConflictClause CtesearchClause CtecycleClause
        CommonTableExpr MergeWhenClause RoleSpec TriggerTransition PartitionElem PartitionSpec PartitionBoundSpec
        PartitionRangeDatum PartitionCmd VacuumRelation PublicationObjSpec PublicationTable InlineCodeBlock
        CallContext Integer Float Boolean String BitString List IntList OidList ReturningClause ReturningExpr
        ReturningOption PlassignStmt JsonFormat JsonReturning JsonValueExpr JsonConstructorExpr JsonIsPredicate
        JsonBehavior JsonExpr JsonTablePath JsonTablePathScan JsonTableSiblingJoin JsonOutput JsonArgument
        JsonFuncExpr JsonTablePathSpec JsonTable JsonTableColumn JsonKeyValue JsonParseExpr JsonScalarExpr
        JsonSerializeExpr JsonObjectConstructor JsonArrayConstructor JsonArrayQueryConstructor JsonAggConstructor
        JsonObjectAgg JsonArrayAgg WindowFuncRunCondition MergeSupportFunc
    }
}

fn returning(effects: Effects, returns: bool) -> Effects {
    if returns { effects.union(READ) } else { effects }
}

fn select_tag(select: &protobuf::SelectStmt) -> &'static str {
    if into_of(select) { "SELECT INTO" } else { "SELECT" }
}

/// `SELECT … INTO t` creates and fills a table. In a UNION the clause hangs on the leftmost arm.
fn select_effects(select: &protobuf::SelectStmt) -> Effects {
    if into_of(select) {
        READ.union(DEFINE).union(WRITE)
    } else if select.from_clause.is_empty() && !select.values_lists.is_empty() {
        Effects::NONE // a list of values reads nothing
    } else {
        READ
    }
}

fn into_of(select: &protobuf::SelectStmt) -> bool {
    let mut arm = select;
    loop {
        if arm.into_clause.is_some() {
            return true;
        }
        match &arm.larg {
            Some(left) => arm = left,
            None => return false,
        }
    }
}

/// ALTER TABLE also decides who may do what: owners and row security.
fn alter_table_effects(alter: &protobuf::AlterTableStmt) -> Effects {
    let about_rights = alter.cmds.iter().any(|cmd| match &cmd.node {
        Some(NodeEnum::AlterTableCmd(cmd)) => matches!(
            cmd.subtype(),
            AlterTableType::AtChangeOwner
                | AlterTableType::AtEnableRowSecurity
                | AlterTableType::AtDisableRowSecurity
                | AlterTableType::AtForceRowSecurity
                | AlterTableType::AtNoForceRowSecurity
        ),
        _ => false,
    });
    if about_rights { DEFINE.union(GRANT) } else { DEFINE }
}

/// COPY moves rows between a table and the client, a file of the server, or a program run by the server.
fn copy_effects(copy: &protobuf::CopyStmt) -> Effects {
    let rows = if copy.is_from { WRITE } else { READ };
    match (copy.is_program, copy.filename.is_empty()) {
        (true, _) => rows.union(OPAQUE),
        (false, true) => rows,
        (false, false) => READ.union(WRITE), // one side is the table, the other the server's file
    }
}

fn create_as_tag(create: &protobuf::CreateTableAsStmt) -> &'static str {
    match (create.objtype(), create.is_select_into) {
        (ObjectType::ObjectMatview, _) => "CREATE MATERIALIZED VIEW",
        (_, true) => "SELECT INTO",
        (_, false) => "CREATE TABLE AS",
    }
}

fn transaction_tag(stmt: &protobuf::TransactionStmt) -> &'static str {
    match stmt.kind() {
        TransactionStmtKind::Undefined => "TRANSACTION",
        TransactionStmtKind::TransStmtBegin => "BEGIN",
        TransactionStmtKind::TransStmtStart => "START TRANSACTION",
        TransactionStmtKind::TransStmtCommit => "COMMIT",
        TransactionStmtKind::TransStmtRollback | TransactionStmtKind::TransStmtRollbackTo => "ROLLBACK",
        TransactionStmtKind::TransStmtSavepoint => "SAVEPOINT",
        TransactionStmtKind::TransStmtRelease => "RELEASE",
        TransactionStmtKind::TransStmtPrepare => "PREPARE TRANSACTION",
        TransactionStmtKind::TransStmtCommitPrepared => "COMMIT PREPARED",
        TransactionStmtKind::TransStmtRollbackPrepared => "ROLLBACK PREPARED",
    }
}

/// Two-phase commit ends transactions of other sessions as well: that is a write.
fn transaction_effects(stmt: &protobuf::TransactionStmt) -> Effects {
    match stmt.kind() {
        TransactionStmtKind::TransStmtPrepare
        | TransactionStmtKind::TransStmtCommitPrepared
        | TransactionStmtKind::TransStmtRollbackPrepared => SESSION.union(WRITE),
        _ => SESSION,
    }
}

fn set_tag(stmt: &protobuf::VariableSetStmt) -> &'static str {
    match stmt.kind() {
        protobuf::VariableSetKind::VarReset | protobuf::VariableSetKind::VarResetAll => "RESET",
        _ => "SET",
    }
}

fn discard_tag(stmt: &protobuf::DiscardStmt) -> &'static str {
    match stmt.target() {
        protobuf::DiscardMode::DiscardAll => "DISCARD ALL",
        protobuf::DiscardMode::DiscardPlans => "DISCARD PLANS",
        protobuf::DiscardMode::DiscardSequences => "DISCARD SEQUENCES",
        protobuf::DiscardMode::DiscardTemp => "DISCARD TEMP",
        protobuf::DiscardMode::Undefined => "DISCARD",
    }
}

fn alter(object_type: i32) -> String {
    phrase("ALTER", object_type)
}

fn phrase(verb: &str, object_type: i32) -> String {
    let object = ObjectType::try_from(object_type).map_or("", object_word);
    format!("{verb} {object}").trim_end().to_owned()
}

fn object_word(object: ObjectType) -> &'static str {
    match object {
        ObjectType::Undefined => "",
        ObjectType::ObjectAccessMethod => "ACCESS METHOD",
        ObjectType::ObjectAggregate => "AGGREGATE",
        ObjectType::ObjectAttribute | ObjectType::ObjectType => "TYPE",
        ObjectType::ObjectCast => "CAST",
        ObjectType::ObjectCollation => "COLLATION",
        ObjectType::ObjectConversion => "CONVERSION",
        ObjectType::ObjectDatabase => "DATABASE",
        ObjectType::ObjectDefacl => "DEFAULT PRIVILEGES",
        ObjectType::ObjectDomain | ObjectType::ObjectDomconstraint => "DOMAIN",
        ObjectType::ObjectEventTrigger => "EVENT TRIGGER",
        ObjectType::ObjectExtension => "EXTENSION",
        ObjectType::ObjectFdw => "FOREIGN DATA WRAPPER",
        ObjectType::ObjectForeignServer => "SERVER",
        ObjectType::ObjectForeignTable => "FOREIGN TABLE",
        ObjectType::ObjectFunction => "FUNCTION",
        ObjectType::ObjectIndex => "INDEX",
        ObjectType::ObjectLanguage => "LANGUAGE",
        ObjectType::ObjectLargeobject => "LARGE OBJECT",
        ObjectType::ObjectMatview => "MATERIALIZED VIEW",
        ObjectType::ObjectOpclass => "OPERATOR CLASS",
        ObjectType::ObjectOperator => "OPERATOR",
        ObjectType::ObjectOpfamily | ObjectType::ObjectAmop | ObjectType::ObjectAmproc => "OPERATOR FAMILY",
        ObjectType::ObjectParameterAcl => "PARAMETER",
        ObjectType::ObjectPolicy => "POLICY",
        ObjectType::ObjectProcedure => "PROCEDURE",
        ObjectType::ObjectPublication
        | ObjectType::ObjectPublicationNamespace
        | ObjectType::ObjectPublicationRel => "PUBLICATION",
        ObjectType::ObjectRole => "ROLE",
        ObjectType::ObjectRoutine => "ROUTINE",
        ObjectType::ObjectRule => "RULE",
        ObjectType::ObjectSchema => "SCHEMA",
        ObjectType::ObjectSequence => "SEQUENCE",
        ObjectType::ObjectSubscription => "SUBSCRIPTION",
        ObjectType::ObjectStatisticExt => "STATISTICS",
        ObjectType::ObjectTable
        | ObjectType::ObjectColumn
        | ObjectType::ObjectDefault
        | ObjectType::ObjectTabconstraint => "TABLE",
        ObjectType::ObjectTablespace => "TABLESPACE",
        ObjectType::ObjectTransform => "TRANSFORM",
        ObjectType::ObjectTrigger => "TRIGGER",
        ObjectType::ObjectTsconfiguration => "TEXT SEARCH CONFIGURATION",
        ObjectType::ObjectTsdictionary => "TEXT SEARCH DICTIONARY",
        ObjectType::ObjectTsparser => "TEXT SEARCH PARSER",
        ObjectType::ObjectTstemplate => "TEXT SEARCH TEMPLATE",
        ObjectType::ObjectUserMapping => "USER MAPPING",
        ObjectType::ObjectView => "VIEW",
    }
}
