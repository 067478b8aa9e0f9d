//! The names that PostgreSQL gives to columns without one (`FigureColname` of its parser), and small looks into nodes.

use pg_query::protobuf::{self, node::Node as NodeEnum};

use super::text_of;

/// The name of an unnamed output column.
pub(super) fn name_of(node: &protobuf::Node) -> String {
    figure(node, 0).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// Name and strength: 2 a good one, 1 only if there is no better.
fn figure(node: &protobuf::Node, depth: usize) -> Option<(String, u8)> {
    if depth > 64 {
        return None;
    }
    let good = |name: &str| Some((name.to_owned(), 2));
    let of = |node: &Option<Box<protobuf::Node>>| node.as_deref().and_then(|n| figure(n, depth + 1));
    match node.node.as_ref()? {
        NodeEnum::ColumnRef(it) => it.fields.iter().rev().find_map(text_of).and_then(good),
        NodeEnum::AIndirection(it) => {
            it.indirection.iter().rev().find_map(text_of).and_then(good).or_else(|| of(&it.arg))
        }
        NodeEnum::FuncCall(it) => it.funcname.last().and_then(text_of).and_then(good),
        NodeEnum::AExpr(it) if it.kind() == protobuf::AExprKind::AexprNullif => good("nullif"),
        NodeEnum::TypeCast(it) => match of(&it.arg) {
            Some((name, 2)) => Some((name, 2)),
            weak => {
                let name = it.type_name.as_ref().and_then(|t| t.names.last()).and_then(text_of);
                name.map(|name| (name.to_owned(), 1)).or(weak)
            }
        },
        NodeEnum::CollateClause(it) => of(&it.arg),
        NodeEnum::GroupingFunc(_) => good("grouping"),
        NodeEnum::MergeSupportFunc(_) => good("merge_action"),
        NodeEnum::SubLink(it) => match it.sub_link_type() {
            protobuf::SubLinkType::ExistsSublink => good("exists"),
            protobuf::SubLinkType::ArraySublink => good("array"),
            protobuf::SubLinkType::ExprSublink => first_target(it.subselect.as_deref()?, depth),
            _ => None,
        },
        NodeEnum::CaseExpr(it) => match of(&it.defresult) {
            Some((name, 2)) => Some((name, 2)),
            _ => Some(("case".to_owned(), 1)),
        },
        NodeEnum::AArrayExpr(_) => good("array"),
        NodeEnum::RowExpr(_) => good("row"),
        NodeEnum::CoalesceExpr(_) => good("coalesce"),
        NodeEnum::MinMaxExpr(it) => {
            good(if it.op() == protobuf::MinMaxOp::IsGreatest { "greatest" } else { "least" })
        }
        NodeEnum::SqlvalueFunction(it) => good(value_function(it.op())),
        NodeEnum::XmlExpr(it) => xml(it.op()).and_then(good),
        NodeEnum::XmlSerialize(_) => good("xmlserialize"),
        NodeEnum::JsonParseExpr(_) => good("json"),
        NodeEnum::JsonScalarExpr(_) => good("json_scalar"),
        NodeEnum::JsonSerializeExpr(_) => good("json_serialize"),
        NodeEnum::JsonObjectConstructor(_) => good("json_object"),
        NodeEnum::JsonArrayConstructor(_) | NodeEnum::JsonArrayQueryConstructor(_) => good("json_array"),
        NodeEnum::JsonObjectAgg(_) => good("json_objectagg"),
        NodeEnum::JsonArrayAgg(_) => good("json_arrayagg"),
        NodeEnum::JsonFuncExpr(it) => good(match it.op() {
            protobuf::JsonExprOp::JsonExistsOp => "json_exists",
            protobuf::JsonExprOp::JsonQueryOp => "json_query",
            protobuf::JsonExprOp::JsonTableOp => "json_table",
            _ => "json_value",
        }),
        _ => None,
    }
}

fn first_target(query: &protobuf::Node, depth: usize) -> Option<(String, u8)> {
    let Some(NodeEnum::SelectStmt(select)) = &query.node else { return None };
    let mut arm = select.as_ref();
    while let Some(left) = &arm.larg {
        arm = left;
    }
    if !arm.values_lists.is_empty() {
        return Some(("column1".to_owned(), 2));
    }
    match arm.target_list.first()?.node.as_ref()? {
        NodeEnum::ResTarget(target) if !target.name.is_empty() => Some((target.name.clone(), 2)),
        NodeEnum::ResTarget(target) => {
            Some(figure(target.val.as_deref()?, depth + 1).unwrap_or_else(|| ("?column?".to_owned(), 2)))
        }
        _ => None,
    }
}

fn value_function(op: protobuf::SqlValueFunctionOp) -> &'static str {
    use protobuf::SqlValueFunctionOp as Op;
    match op {
        Op::SqlvalueFunctionOpUndefined => "?column?",
        Op::SvfopCurrentDate => "current_date",
        Op::SvfopCurrentTime | Op::SvfopCurrentTimeN => "current_time",
        Op::SvfopCurrentTimestamp | Op::SvfopCurrentTimestampN => "current_timestamp",
        Op::SvfopLocaltime | Op::SvfopLocaltimeN => "localtime",
        Op::SvfopLocaltimestamp | Op::SvfopLocaltimestampN => "localtimestamp",
        Op::SvfopCurrentRole => "current_role",
        Op::SvfopCurrentUser => "current_user",
        Op::SvfopUser => "user",
        Op::SvfopSessionUser => "session_user",
        Op::SvfopCurrentCatalog => "current_catalog",
        Op::SvfopCurrentSchema => "current_schema",
    }
}

fn xml(op: protobuf::XmlExprOp) -> Option<&'static str> {
    use protobuf::XmlExprOp as Op;
    match op {
        Op::IsXmlconcat => Some("xmlconcat"),
        Op::IsXmlelement => Some("xmlelement"),
        Op::IsXmlforest => Some("xmlforest"),
        Op::IsXmlparse => Some("xmlparse"),
        Op::IsXmlpi => Some("xmlpi"),
        Op::IsXmlroot => Some("xmlroot"),
        Op::IsXmlserialize => Some("xmlserialize"),
        Op::IsDocument | Op::Undefined => None,
    }
}

/// An integer constant.
pub(super) fn integer(node: &protobuf::Node) -> Option<i32> {
    match &node.node {
        Some(NodeEnum::AConst(it)) => match &it.val {
            Some(protobuf::a_const::Val::Ival(it)) => Some(it.ival),
            _ => None,
        },
        Some(NodeEnum::Integer(it)) => Some(it.ival),
        _ => None,
    }
}

/// A string constant, also under casts.
pub(super) fn string(node: &protobuf::Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::AConst(it)) => match &it.val {
            Some(protobuf::a_const::Val::Sval(it)) => Some(&it.sval),
            _ => None,
        },
        Some(NodeEnum::TypeCast(it)) => string(it.arg.as_deref()?),
        Some(NodeEnum::CollateClause(it)) => string(it.arg.as_deref()?),
        _ => None,
    }
}

/// An unqualified name standing alone.
pub(super) fn single_name(node: &protobuf::Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::ColumnRef(it)) => match it.fields.as_slice() {
            [only] => text_of(only),
            _ => None,
        },
        _ => None,
    }
}
