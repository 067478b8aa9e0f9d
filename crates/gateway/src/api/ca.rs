//! The gateway's own authority for client certificates.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use firsthand_adapters::own_ca::Request;
use serde_json::json;

use super::acts::{Answered, note_listing, to_its_end};
use super::{Api, Asked, Caller};
use crate::ca::{self, Init, Revoke};

type There = State<Arc<Api>>;

pub(super) async fn init(
    State(api): There,
    Extension(caller): Extension<Caller>,
    Asked(ask): Asked<Init>,
) -> Answered {
    to_its_end(async move {
        let gateway = &api.gateway;
        ca::init(&gateway.desk, &gateway.data_dir(), &ask, &caller.by).await.map(Json)
    })
    .await
}

pub(super) async fn list(State(api): There, Extension(caller): Extension<Caller>) -> Answered {
    let all = ca::list(&api.gateway.data_dir())?;
    note_listing(&api, &caller, "ca list", json!({ "certificates": all.len() })).await?;
    Ok(Json(json!({ "certificates": all })))
}

pub(super) async fn issue(
    State(api): There,
    Extension(caller): Extension<Caller>,
    Asked(ask): Asked<Request>,
) -> Answered {
    to_its_end(async move {
        let gateway = &api.gateway;
        ca::issue(&gateway.desk, &gateway.data_dir(), &ask, &caller.by).await.map(Json)
    })
    .await
}

pub(super) async fn revoke(
    State(api): There,
    Extension(caller): Extension<Caller>,
    Asked(ask): Asked<Revoke>,
) -> Answered {
    to_its_end(async move {
        let gateway = &api.gateway;
        let data = gateway.data_dir();
        ca::revoke(&gateway.desk, &data, Some(gateway), &ask, &caller.by).await.map(Json)
    })
    .await
}

pub(super) async fn crl(State(api): There) -> Answered {
    ca::crl(&api.gateway.data_dir()).map(Json)
}
