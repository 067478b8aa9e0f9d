//! What each database defines, shared by all sessions there: loaded when the first session needs it, loaded again when a
//! session has changed definitions, and looked after from time to time, because others change them, too.
//!
//! The gateway asks over a connection of its own, with the target's credential. Each time it says so in the record first
//! (`target.asked`, invariant 12); when the log does not take that, it does not ask.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use firsthand_model::event::{Event, LogEvent};
use firsthand_model::identity::Identity;
use firsthand_model::json::{Json, Object};
use firsthand_model::time::MonoMicros;
use firsthand_session::Engine;
use firsthand_session::port::Need;
use firsthand_sql::catalog::Catalog;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::catalog::load;
use crate::protocol::{Learner, Links, Probe};

/// How often the definitions are looked at while there are sessions. What others change is known this late; until then a
/// name that is new is unknown, and a body that was replaced is taken for the old one.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Rest between two loads, so that a script of a thousand definitions does not have them all loaded a thousand times.
const REST: Duration = Duration::from_millis(200);
/// Databases whose definitions are kept. Sessions of more have none, and what needs them is unknown.
const DATABASES_MAX: usize = 1_024;
/// A load may take this many times as long as the target's greeting: it is some twenty questions and all their rows.
const GREETINGS: u32 = 6;

/// The definitions of one database, as all its sessions see them.
#[derive(Debug)]
pub struct Snapshot {
    now: RwLock<Arc<Catalog>>,
    generation: AtomicU64,
    stale: Notify,
}

impl Snapshot {
    /// With these definitions.
    pub fn of(catalog: Arc<Catalog>) -> Self {
        Self { now: RwLock::new(catalog), generation: AtomicU64::new(1), stale: Notify::new() }
    }

    /// The definitions, with their number.
    pub(super) fn now(&self) -> (u64, Arc<Catalog>) {
        let catalog = self.now.read().unwrap_or_else(PoisonError::into_inner);
        (self.generation(), Arc::clone(&catalog))
    }

    /// Changes with the definitions.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Something was defined: they are to be loaded again.
    pub(super) fn is_stale(&self) {
        self.stale.notify_one();
    }

    fn replace(&self, catalog: Arc<Catalog>) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&now, &catalog) {
            *now = catalog;
            self.generation.fetch_add(1, Ordering::Release);
        }
    }
}

/// How a database is asked.
pub(super) struct Way {
    pub(super) engine: Arc<Engine>,
    pub(super) links: Arc<dyn Links>,
    pub(super) learner: Arc<dyn Learner>,
    /// Whose credential is presented: that of the session that came first.
    pub(super) identity: Arc<Identity>,
    pub(super) target: String,
    pub(super) database: String,
}

/// All databases' definitions.
#[derive(Default)]
pub(super) struct Definitions(Mutex<HashMap<(String, String), Arc<Database>>>);

#[derive(Default)]
struct Database {
    /// Held while loading: who comes meanwhile waits for that.
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    snapshot: Option<Arc<Snapshot>>,
    looked: Option<MonoMicros>,
    watched: bool,
}

impl Definitions {
    /// The definitions of a database for a session that begins. Where they cannot be loaded, none, which is said on stderr
    /// and tried again.
    pub(super) async fn open(&self, way: Way) -> Arc<Snapshot> {
        let Some(database) = self.database(&way) else {
            tracing::warn!(target = way.target, "too many databases: this one goes without its definitions");
            return Arc::new(Snapshot::of(Arc::new(Catalog::empty())));
        };
        let mut state = database.state.lock().await;
        let now = way.engine.clock.mono();
        let since = |then: MonoMicros| Duration::from_micros(now.0.saturating_sub(then.0));
        if state.looked.is_none_or(|then| since(then) >= LOOK_EVERY) {
            look(&mut state, &way).await;
        }
        let snapshot =
            state.snapshot.get_or_insert_with(|| Arc::new(Snapshot::of(Arc::new(Catalog::empty()))));
        let snapshot = Arc::clone(snapshot);
        way.learner.learn(&way.target, &way.database, &snapshot.now().1);
        if !std::mem::replace(&mut state.watched, true) {
            let (database, stale) = (Arc::clone(&database), Arc::clone(&snapshot));
            tokio::spawn(async move { watch(&database, stale, &way).await });
        }
        snapshot
    }

    fn database(&self, way: &Way) -> Option<Arc<Database>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (way.target.clone(), way.database.clone());
        if all.len() >= DATABASES_MAX && !all.contains_key(&key) {
            return None;
        }
        Some(Arc::clone(all.entry(key).or_default()))
    }
}

/// Looks after the definitions while there are sessions.
async fn watch(database: &Database, snapshot: Arc<Snapshot>, way: &Way) {
    loop {
        // Told or not, it is time to look.
        let _ = timeout(LOOK_EVERY, snapshot.stale.notified()).await;
        let mut state = database.state.lock().await;
        // One is the map's and one is here.
        if Arc::strong_count(&snapshot) <= 2 {
            // Whoever comes next looks first: what the last session defined may not have been loaded.
            (state.watched, state.looked) = (false, None);
            return;
        }
        look(&mut state, way).await;
        way.learner.learn(&way.target, &way.database, &snapshot.now().1);
        drop(state);
        tokio::time::sleep(REST).await;
    }
}

async fn look(state: &mut State, way: &Way) {
    let known = state.snapshot.as_ref().map(|snapshot| snapshot.now().1);
    match ask(way, known.as_ref().filter(|known| known.is_known())).await {
        Ok(catalog) => match &state.snapshot {
            Some(snapshot) => snapshot.replace(catalog),
            None => state.snapshot = Some(Arc::new(Snapshot::of(catalog))),
        },
        Err(why) => {
            let (target, database) = (&way.target, &way.database);
            tracing::warn!(target, database, "the definitions cannot be read: {why}");
        }
    }
    state.looked = Some(way.engine.clock.mono());
}

async fn ask(way: &Way, known: Option<&Arc<Catalog>>) -> Result<Arc<Catalog>, String> {
    let gone = || "the target is gone from the configuration".to_owned();
    let target = way.engine.targets.find(&way.target).ok_or_else(gone)?;
    let link = way.links.link(&way.target).ok_or_else(gone)?;
    let credential = way.engine.credentials.credential(&way.identity, &target).map_err(|e| e.to_string())?;
    let event = Event::Log(LogEvent { kind: "target.asked", leaf: asked(way) }.into());
    way.engine.recorder.append(event, Need::Intent).map_err(|e| e.to_string())?;
    let within = link.timeout * GREETINGS;
    let loading = async {
        let stream = way.engine.dialer.dial(&target).await.map_err(|e| e.to_string())?;
        load(Probe { stream, link, credential: &credential, database: &way.database }, known).await
    };
    timeout(within, loading).await.unwrap_or_else(|_| Err("they did not come in time".to_owned()))
}

/// What the gateway asks, for the leaf: the texts are its own, always the same, and their own length would not fit there.
fn asked(way: &Way) -> Json {
    let mut out = Vec::with_capacity(120);
    let mut o = Object::open(&mut out);
    o.string("database", &way.database);
    o.string("target", &way.target);
    o.string("what", "definitions");
    o.close();
    Json::from_written(out)
}
