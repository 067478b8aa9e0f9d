//! Sessions that may only read: whether a read has got a transaction number, asked before its transaction may commit.
//!
//! Only what writes gets one. READ ONLY keeps most of that from happening, but not all (large objects before PostgreSQL 16,
//! for one). So where functions ran that somebody may have replaced since they were read, the commit is held back until the
//! target has been asked, as it is to name transactions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use firsthand_session::port::BoxFuture;

use super::super::definitions::Way;
use super::backends::Backends;
use super::{Naming, Verdict};

/// Databases whose sessions share a connection for it; sessions of more have one each while they ask.
const DATABASES_MAX: usize = 1_024;

/// Who asks, by database.
#[derive(Default)]
pub(in super::super) struct Watchers(Mutex<HashMap<(String, String, bool), Arc<Backends>>>);

impl Watchers {
    /// Watches the transactions of the backend of this number.
    pub(in super::super) fn of(&self, way: Way, pid: u32) -> Arc<dyn Naming> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (way.target.clone(), way.database.clone(), way.of_grant);
        if all.len() >= DATABASES_MAX {
            all.retain(|_, backends| Arc::strong_count(backends) > 1);
        }
        let backends = match all.get(&key) {
            Some(backends) => Arc::clone(backends),
            None => Arc::new(Backends::new(way)),
        };
        if all.len() < DATABASES_MAX {
            all.insert(key, Arc::clone(&backends));
        }
        Arc::new(Watch { backends, pid })
    }
}

struct Watch {
    backends: Arc<Backends>,
    pid: u32,
}

impl Naming for Watch {
    fn name(&self, _: &str, _: u64, to: u64, _: bool) -> BoxFuture<'static, Verdict> {
        let (backends, pid) = (Arc::clone(&self.backends), self.pid);
        Box::pin(async move {
            match backends.transaction(pid).await {
                Some(None) => Verdict::Goes,
                Some(Some(_)) => Verdict::Wrote(to),
                None => Verdict::Untold(to),
            }
        })
    }
}
