//! What each database defines, shared by all sessions there: loaded when the first session needs it, loaded again when a
//! session has changed definitions, and looked after from time to time, because others change them, too.
//!
//! The gateway asks over a connection of its own, with the target's credential. Each time it says so in the record first
//! (`target.asked`, invariant 12); when the log does not take that, it does not ask.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use firsthand_model::event::{Event, LogEvent};
use firsthand_model::identity::Identity;
use firsthand_model::json::{Json, Object};
use firsthand_model::preview::Definitions as Defined;
use firsthand_model::statement::{Facts, Relation};
use firsthand_model::time::MonoMicros;
use firsthand_session::Engine;
use firsthand_session::port::{BoxFuture, Need};
use firsthand_sql::catalog::{Builder, Catalog};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::catalog::{Loaded, load};
use crate::protocol::{Learner, Links, Probe};

/// How often the definitions are looked at while there are sessions and nobody asks. What others change is known this late;
/// a name that is not known is looked for at once.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Rest between two loads, so that a script of a thousand definitions does not have them all loaded a thousand times.
const REST: Duration = Duration::from_millis(200);
/// After a look that failed the next one comes this much later, then after twice as long, up to [`LOOK_EVERY`].
const RETRY: Duration = Duration::from_secs(1);
/// A statement with a name that is not known waits this long for a look.
const LOOK_WAIT: Duration = Duration::from_secs(3);
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
    looks: watch::Sender<Looks>,
}

/// Looks so far, one after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Looks {
    begun: u64,
    done: u64,
    /// The last one did not work out.
    failed: bool,
    /// Somebody looks when told to.
    watched: bool,
}

impl Snapshot {
    /// With these definitions, which nobody looks after.
    pub fn of(catalog: Arc<Catalog>) -> Self {
        let (now, generation) = (RwLock::new(catalog), AtomicU64::new(1));
        Self { now, generation, stale: Notify::new(), looks: watch::Sender::default() }
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

    /// Has somebody look, and waits for a look that begins after this. `None`: nobody would, or the last look failed.
    pub(super) fn look_again(&self) -> Option<BoxFuture<'static, bool>> {
        let mut looks = self.looks.subscribe();
        let Looks { begun, watched, .. } = *looks.borrow();
        if !watched || !self.now().1.is_known() {
            return None;
        }
        self.is_stale();
        Some(Box::pin(async move {
            let looked = timeout(LOOK_WAIT, looks.wait_for(|looks| looks.done > begun)).await;
            looked.is_ok_and(|looked| looked.is_ok_and(|looks| !looks.failed))
        }))
    }

    fn replace(&self, catalog: Arc<Catalog>) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&now, &catalog) {
            *now = catalog;
            self.generation.fetch_add(1, Ordering::Release);
        }
    }
}

/// What an approval is bound to: swapped, replaced or defined anew, it is something else.
impl Defined for Snapshot {
    fn look(&self) -> BoxFuture<'static, bool> {
        match self.look_again() {
            Some(looking) => looking,
            None => Box::pin(std::future::ready(false)),
        }
    }

    fn digest(&self, facts: &Facts) -> [u8; 32] {
        let (_, catalog) = self.now();
        let mut context = Context::new(&SHA256);
        for Relation { schema, name, .. } in facts.reads.iter().chain(&facts.writes) {
            context.update(format!("{schema}.{name} {:?}\0", catalog.relation(schema, name)).as_bytes());
        }
        for name in facts.functions.iter().filter(|name| !name.starts_with("pg_catalog.")) {
            for function in catalog.functions_called(name) {
                context.update(format!("{name} {function:?}\0").as_bytes());
            }
        }
        let mut out = [0; 32];
        out.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        out
    }
}

/// How a database is asked.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) engine: Arc<Engine>,
    pub(super) links: Arc<dyn Links>,
    pub(super) learner: Arc<dyn Learner>,
    /// Whose credential is presented: that of the session that came first.
    pub(super) identity: Arc<Identity>,
    pub(super) target: String,
    pub(super) database: String,
    /// The session has the role of a grant: what it does is seen, and ended, by who made the role.
    pub(super) of_grant: bool,
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
    /// Looks that failed since the last one that did not.
    failures: u32,
    watched: bool,
}

impl State {
    /// When to look again if nobody asks for it.
    fn pause(&self) -> Duration {
        match self.failures {
            0 => LOOK_EVERY,
            n => RETRY.saturating_mul(1 << (n - 1).min(5)).min(LOOK_EVERY),
        }
    }
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
        if state.looked.is_none_or(|then| since(then) >= state.pause()) {
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
    snapshot.looks.send_modify(|looks| looks.watched = true);
    let mut pause = database.state.lock().await.pause();
    loop {
        // Told or not, it is time to look.
        let _ = timeout(pause, snapshot.stale.notified()).await;
        let mut state = database.state.lock().await;
        // One is the map's and one is here.
        if Arc::strong_count(&snapshot) <= 2 {
            // Whoever comes next looks first: what the last session defined may not have been loaded.
            (state.watched, state.looked) = (false, None);
            snapshot.looks.send_modify(|looks| looks.watched = false);
            return;
        }
        snapshot.looks.send_modify(|looks| looks.begun += 1);
        look(&mut state, way).await;
        way.learner.learn(&way.target, &way.database, &snapshot.now().1);
        let failed = state.failures > 0;
        snapshot.looks.send_modify(|looks| (looks.done, looks.failed) = (looks.begun, failed));
        pause = state.pause();
        let rest = if state.failures > 0 { pause } else { REST };
        drop(state);
        tokio::time::sleep(rest).await;
    }
}

async fn look(state: &mut State, way: &Way) {
    let known = match &state.snapshot {
        Some(snapshot) => Some(snapshot.now().1).filter(|known| known.is_known()),
        None => None,
    };
    let known = match known {
        Some(known) => Some(known),
        None => recall(way).await,
    };
    match ask(way, known.as_ref()).await {
        Ok(Loaded { catalog, made_of }) => {
            match &state.snapshot {
                Some(snapshot) => snapshot.replace(catalog),
                None => state.snapshot = Some(Arc::new(Snapshot::of(catalog))),
            }
            state.failures = 0;
            if let Some(made_of) = made_of {
                keep(way, made_of);
            }
        }
        Err(why) => {
            let (target, database) = (&way.target, &way.database);
            state.failures = state.failures.saturating_add(1);
            let again = state.pause().as_secs();
            tracing::warn!(target, database, again, "the definitions cannot be read: {why}");
        }
    }
    state.looked = Some(way.engine.clock.mono());
}

/// What is kept on disk belongs to a database of a server, not to a name in the configuration.
fn kept_under(way: &Way) -> Option<String> {
    let address = way.engine.targets.find(&way.target)?.address.clone();
    Some([super::Postgres::NAME, &way.target, &address, &way.database].join("\0"))
}

/// The definitions that an earlier run has kept. They count only if the database says that it is still in that state.
async fn recall(way: &Way) -> Option<Arc<Catalog>> {
    let (learner, key) = (Arc::clone(&way.learner), kept_under(way)?);
    let recall = move || {
        let builder = Builder::read(&learner.recall(&key)?)?;
        Some(Arc::new(builder.finish()))
    };
    tokio::task::spawn_blocking(recall).await.ok()?
}

/// Keeps them for the next run; whether that works out matters to nobody now.
fn keep(way: &Way, made_of: Box<Builder>) {
    let Some(key) = kept_under(way) else { return };
    let learner = Arc::clone(&way.learner);
    tokio::task::spawn_blocking(move || learner.keep(&key, &made_of.write()));
}

async fn ask(way: &Way, known: Option<&Arc<Catalog>>) -> Result<Loaded, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_the_next_look_comes_soon_and_then_later() {
        let pause = |failures| State { failures, ..State::default() }.pause().as_secs();
        let pauses: Vec<u64> = (0..9).map(pause).collect();
        assert_eq!(pauses, [30, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pause(u32::MAX), 30);
    }

    #[tokio::test]
    async fn a_look_that_had_begun_already_is_not_waited_for() {
        let snapshot = Snapshot::of(Arc::new(Catalog::empty()));
        assert!(snapshot.look_again().is_none(), "nobody looks");
        snapshot.looks.send_modify(|looks| looks.watched = true);
        assert!(snapshot.look_again().is_none(), "nothing is known, so a look would most likely fail");
        let mut known = Builder::new("1");
        known.add(
            "schemas",
            vec![vec![Some("11".to_owned()), Some("pg_catalog".to_owned()), Some("10".to_owned())]],
        );
        snapshot.replace(Arc::new(known.finish()));
        snapshot.looks.send_modify(|looks| looks.begun = 1);
        let mut look = snapshot.look_again().unwrap();
        let mut done = async |begun, done| {
            snapshot.looks.send_modify(|looks| (looks.begun, looks.done) = (begun, done));
            std::future::poll_fn(|cx| std::task::Poll::Ready(look.as_mut().poll(cx).is_ready())).await
        };
        assert!(!done(1, 1).await, "the one under way may have missed it");
        assert!(!done(2, 1).await);
        assert!(done(2, 2).await);
    }
}
