//! The keys that sign the log.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};

use super::acts::{Answered, to_its_end};
use super::{Api, Caller};
use crate::log_keys::{self, Tree};

type There = State<Arc<Api>>;

fn tree(api: &Api) -> Tree<'_> {
    let gateway = &api.gateway;
    Tree { keys: &gateway.signer.keys, epoch: gateway.record.recorder().log().epoch() }
}

pub(super) async fn show(State(api): There) -> Answered {
    log_keys::show(&tree(&api), &api.gateway.data_dir()).map(Json)
}

pub(super) async fn rotate(State(api): There, Extension(caller): Extension<Caller>) -> Answered {
    to_its_end(async move { log_keys::rotate(&api.gateway.desk, &tree(&api), &caller.by).await.map(Json) })
        .await
}
