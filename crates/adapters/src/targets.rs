//! The configured targets, as a snapshot that a reload replaces. Sessions keep the target they were opened with.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use firsthand_model::target::Target;
use firsthand_session::port::Targets;

use crate::containment::Containment;

/// Targets by name. Clones share one table.
#[derive(Clone, Debug, Default)]
pub struct TargetTable {
    by_name: Arc<ArcSwap<HashMap<String, Arc<Target>>>>,
    contained: Option<Arc<Containment>>,
}

impl TargetTable {
    /// A table of these targets.
    #[must_use]
    pub fn new(targets: Vec<Target>) -> Self {
        let table = Self::default();
        table.replace(targets);
        table
    }

    /// Of which these are contained.
    #[must_use]
    pub fn contained_by(self, contained: Arc<Containment>) -> Self {
        Self { contained: Some(contained), ..self }
    }

    /// Replaces all targets, for sessions to come.
    pub fn replace(&self, targets: Vec<Target>) {
        let by_name = targets.into_iter().map(|t| (t.name.clone(), Arc::new(t))).collect();
        self.by_name.store(Arc::new(by_name));
    }

    /// The names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.by_name.load().keys().cloned().collect();
        names.sort();
        names
    }
}

impl Targets for TargetTable {
    fn find(&self, name: &str) -> Option<Arc<Target>> {
        self.by_name.load().get(name).cloned()
    }

    fn is_contained(&self, name: &str) -> bool {
        self.contained.as_ref().is_some_and(|contained| contained.has_target(name))
    }

    fn needs_grant(&self, name: &str) -> bool {
        self.by_name.load().get(name).is_some_and(|target| target.needs_grant)
    }
}
