//! What waits for people: listed, shown, approved, refused.

use std::sync::Arc;

use axum::extract::{Path as UrlPath, Query, State};
use axum::{Extension, Json};
use firsthand_adapters::approvals::answer::Say;
use firsthand_adapters::approvals::names::known_as;
use firsthand_adapters::state::approvals::Sort;
use firsthand_model::identity::Role;
use serde::Deserialize;
use serde_json::{Value, json};

use super::acts::{Answered, note_listing, to_its_end};
use super::{Api, Asked, Caller};
use crate::place::reading_leaf;
use crate::reading::what;
use crate::weigh;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default)]
    pub(super) all: bool,
    pub(super) after: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    #[serde(default)]
    pub(super) reason: String,
}

/// A yes, which may be signed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SaidSigned {
    #[serde(default)]
    reason: String,
    signature: Option<String>,
}

/// Why somebody breaks the glass: it must be said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Because {
    reason: String,
    signature: Option<String>,
}

/// Whose approvals somebody sees: all (`None`), or those of their own names.
pub(super) fn seen(caller: &Caller) -> Option<Vec<String>> {
    let identity = caller.identity.as_ref()?;
    let all = identity.roles.iter().any(|own| own.includes(Role::Auditor) || own.includes(Role::Approver));
    (!all).then(|| known_as(&identity.chain))
}

pub(super) fn sees(names: Option<&[String]>, approval: &Value) -> bool {
    let people = approval.get("people").and_then(Value::as_array);
    let named = |name: &str| names.is_some_and(|names| names.iter().any(|own| own == name));
    names.is_none() || people.into_iter().flatten().filter_map(Value::as_str).any(named)
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
) -> Answered {
    let names = seen(&caller);
    let page = weigh::list(
        &api.gateway.approvals,
        (Sort::Command, names.clone()),
        which.all,
        which.after.as_deref(),
    )
    .await?;
    let weigh::Page { mut approvals, next } = page;
    // The database finds names within a list as text.
    approvals.retain(|approval| sees(names.as_deref(), approval));
    note_listing(&api, &caller, "approvals list", json!({ "approvals": approvals.len() })).await?;
    Ok(Json(json!({ "approvals": approvals, "next": next })))
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
) -> Answered {
    let mut approval = weigh::show(&api.gateway.approvals, Sort::Command, &id).await?;
    if !sees(seen(&caller).as_deref(), &approval) {
        return Err(weigh::unknown(Sort::Command, &id));
    }
    // It tells what the session did before, out of the record.
    let read = json!({ "approval": approval.get("id") });
    api.gateway.desk.record("record.read", &caller.by, reading_leaf("approvals show"), what(&read)).await?;
    weigh::add_before(&api.gateway.data_dir(), &mut approval).await;
    Ok(Json(approval))
}

pub(super) async fn original(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
) -> Answered {
    let (gateway, config) = (&api.gateway, api.gateway.config.load_full());
    weigh::original(&gateway.approvals, &gateway.desk, Some(&config), &id, &caller.by).await.map(Json)
}

pub(super) async fn approve(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    Asked(said): Asked<SaidSigned>,
) -> Answered {
    answer(api, caller, (Sort::Command, id), (Say::Approve, said.reason, said.signature)).await
}

pub(super) async fn deny(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    Asked(said): Asked<Said>,
) -> Answered {
    answer(api, caller, (Sort::Command, id), (Say::Deny, said.reason, None)).await
}

pub(super) async fn break_glass(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    Asked(because): Asked<Because>,
) -> Answered {
    answer(api, caller, (Sort::Command, id), (Say::BreakGlass, because.reason, because.signature)).await
}

pub(super) async fn answer(
    api: Arc<Api>,
    caller: Caller,
    (sort, id): (Sort, String),
    (say, reason, signature): (Say, String, Option<String>),
) -> Answered {
    to_its_end(async move {
        let saying = weigh::Saying { say, reason: &reason, signature: signature.as_deref() };
        weigh::answer(&api.gateway.approvals, (sort, &id), &caller.by, saying).await.map(Json)
    })
    .await
}
