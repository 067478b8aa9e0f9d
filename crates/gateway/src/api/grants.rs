//! Grants: asked for by identities themselves, listed, shown, approved, refused, taken back.

use std::sync::Arc;

use axum::extract::{Path as UrlPath, Query, State};
use axum::{Extension, Json};
use firsthand_adapters::approvals::answer::Say;
use firsthand_adapters::approvals::grants::{MayRevoke, is_theirs};
use firsthand_adapters::state::approvals::Sort;
use firsthand_model::identity::Role;
use serde_json::json;

use super::acts::{Answered, note_listing, to_its_end};
use super::approvals::{Said, Which, answer, seen};
use super::refused::Refused;
use super::{Api, Asked, Caller};
use crate::grants::{self, Wanted};
use crate::place::reading_leaf;
use crate::reading::what;
use crate::weigh;

type Of = State<Arc<Api>>;

pub(super) async fn list(
    State(api): Of,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
) -> Answered {
    let names = seen(&caller);
    let of = (Sort::Grant, names.clone());
    let page = weigh::list(&api.gateway.approvals, of, which.all, which.after.as_deref()).await?;
    let weigh::Page { mut approvals, next } = page;
    // The database finds names within a list as text.
    approvals.retain(|grant| names.is_none() || is_theirs(grant, &caller.by));
    note_listing(&api, &caller, "grants list", json!({ "grants": approvals.len() })).await?;
    Ok(Json(json!({ "grants": approvals, "next": next })))
}

pub(super) async fn show(
    State(api): Of,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
) -> Answered {
    let grant = weigh::show(&api.gateway.approvals, Sort::Grant, &id).await?;
    if seen(&caller).is_some() && !is_theirs(&grant, &caller.by) {
        return Err(weigh::unknown(Sort::Grant, &id));
    }
    let read = json!({ "grant": grant.get("id") });
    api.gateway.desk.record("record.read", &caller.by, reading_leaf("grants show"), what(&read)).await?;
    Ok(Json(grant))
}

pub(super) async fn request(
    State(api): Of,
    Extension(caller): Extension<Caller>,
    Asked(wanted): Asked<Wanted>,
) -> Answered {
    if let Some(identity) = caller.identity.as_deref()
        && grants::opened(&api.gateway, identity, &wanted.target).is_none()
    {
        let detail = "a grant was asked for at a target that the token does not open";
        let refused = Refused { why: "target", target: &wanted.target, detail };
        api.tell_refused(&identity.login, &caller.by, &refused);
    }
    to_its_end(async move {
        grants::request(&api.gateway, caller.identity.as_deref(), &caller.by, &wanted).await.map(Json)
    })
    .await
}

pub(super) async fn approve(
    State(api): Of,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    Asked(said): Asked<Said>,
) -> Answered {
    answer(api, caller, (Sort::Grant, id), (Say::Approve, said.reason, None)).await
}

pub(super) async fn deny(
    State(api): Of,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    Asked(said): Asked<Said>,
) -> Answered {
    answer(api, caller, (Sort::Grant, id), (Say::Deny, said.reason, None)).await
}

pub(super) async fn revoke(
    State(api): Of,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    Asked(said): Asked<Said>,
) -> Answered {
    let admin = |roles: &[Role]| roles.iter().any(|own| own.includes(Role::Admin));
    let may = match &caller.identity {
        None => MayRevoke::Any,
        Some(identity) if admin(&identity.roles) => MayRevoke::Any,
        Some(identity) if identity.roles.contains(&Role::Approver) => MayRevoke::Approved,
        Some(_) => MayRevoke::Own,
    };
    to_its_end(async move {
        grants::revoke(&api.gateway.approvals, &id, &caller.by, may, &said.reason).await.map(Json)
    })
    .await
}
