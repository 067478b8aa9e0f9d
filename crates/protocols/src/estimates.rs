//! The `Estimator` port over all protocols: whoever speaks the target's asks.

use std::sync::Arc;

use firsthand_model::command::Command;
use firsthand_model::session::SessionFacts;
use firsthand_session::Engine;
use firsthand_session::port::{BoxFuture, Estimator};

use crate::protocol::{Estimating, Links, StreamProtocol};
use crate::registry::STREAM_PROTOCOLS;

/// Asks targets how many rows a command touches.
pub struct Estimates {
    links: Arc<dyn Links>,
    protocols: Vec<(&'static str, Arc<dyn StreamProtocol>)>,
}

impl Estimates {
    /// Over targets that are reached like this.
    pub fn new(links: Arc<dyn Links>) -> Self {
        let protocols = STREAM_PROTOCOLS.iter().map(|listed| (listed.name, (listed.build)())).collect();
        Self { links, protocols }
    }
}

impl Estimator for Estimates {
    fn estimate<'a>(
        &'a self,
        engine: &'a Arc<Engine>,
        session: &'a SessionFacts,
        command: &'a Command,
    ) -> BoxFuture<'a, Option<u64>> {
        Box::pin(async move {
            let target = engine.targets.find(&session.target)?;
            let (_, protocol) = self.protocols.iter().find(|(name, _)| *name == target.protocol)?;
            protocol.estimate(Estimating { engine, links: &self.links, session, command }).await
        })
    }
}
