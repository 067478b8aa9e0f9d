//! What is contained: listed, contained, lifted.

use std::sync::Arc;

use axum::extract::{Path as UrlPath, State};
use axum::{Extension, Json};
use firsthand_adapters::containment::Of;
use serde_json::json;

use super::acts::{Answered, note_listing, to_its_end};
use super::{Api, Asked, Caller};
use crate::contain::{self, Contain, Lift};

type There = State<Arc<Api>>;

pub(super) async fn list(State(api): There, Extension(caller): Extension<Caller>) -> Answered {
    let contained = contain::list(&api.gateway.desk);
    note_listing(&api, &caller, "contain list", json!({ "contained": contained.len() })).await?;
    Ok(Json(json!({ "contained": contained })))
}

pub(super) async fn contain(
    State(api): There,
    Extension(caller): Extension<Caller>,
    Asked(ask): Asked<Contain>,
) -> Answered {
    if ask.of == Of::Target {
        let config = api.gateway.config.load();
        contain::known_target(&config, &ask.name)?;
    }
    to_its_end(async move {
        let gateway = &api.gateway;
        let over = (Some(&**gateway), Some(&gateway.governing));
        let done = contain::contain(&gateway.desk, &gateway.data_dir(), over, ask, &caller.by).await;
        done.map(Json)
    })
    .await
}

pub(super) async fn lift(
    State(api): There,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    Asked(how): Asked<Lift>,
) -> Answered {
    to_its_end(async move {
        let gateway = &api.gateway;
        contain::lift(&gateway.desk, Some(&gateway.governing), &id, &how, &caller.by).await.map(Json)
    })
    .await
}
