//! The sessions that run now: listed, ended, drained, and reached by cancel requests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;

use firsthand_model::id::SessionId;
use firsthand_model::outcome::AbandonReason;
use firsthand_model::session::SessionFacts;
use firsthand_model::time::UnixMicros;
use firsthand_session::breaker::Canceller;
use firsthand_session::port::BoxFuture;
use firsthand_session::{Refusal, RefusalKind};
use futures_util::task::AtomicWaker;

/// What reaches a running session from outside its own task.
pub struct Handle {
    /// The session's facts when it was opened.
    pub facts: Arc<SessionFacts>,
    /// When it was opened.
    pub opened: UnixMicros,
    /// The client's address.
    pub client: String,
    killed: AtomicBool,
    /// What its identity was proved by is not accepted any more.
    lapsed: AtomicBool,
    /// Under which id of a containment.
    contained: OnceLock<String>,
    draining: AtomicBool,
    /// A grant is over, perhaps that of this session.
    ungranted: AtomicBool,
    waker: AtomicWaker,
}

impl Handle {
    /// For a session about to run.
    pub fn new(facts: Arc<SessionFacts>, opened: UnixMicros, client: String) -> Self {
        let off = || AtomicBool::new(false);
        let (contained, waker) = (OnceLock::new(), AtomicWaker::new());
        Self {
            facts,
            opened,
            client,
            killed: off(),
            lapsed: off(),
            contained,
            draining: off(),
            ungranted: off(),
            waker,
        }
    }

    /// Ends the session now.
    pub fn kill(&self) {
        self.killed.store(true, SeqCst);
        self.waker.wake();
    }

    /// Ends the session now, because the certificate that it was opened with is not accepted any more.
    pub fn lapse(&self) {
        self.lapsed.store(true, SeqCst);
        self.waker.wake();
    }

    /// Ends the session now, because it, its identity or its target is contained; `id`: by what, for the record.
    pub fn contain(&self, id: &str) {
        let _ = self.contained.set(id.to_owned());
        self.waker.wake();
    }

    /// Has the session look whether the grant that it runs under is over.
    pub fn look_at_grant(&self) {
        self.ungranted.store(true, SeqCst);
        self.waker.wake();
    }

    /// Lets what runs finish, then ends the session.
    pub fn drain(&self) {
        self.draining.store(true, SeqCst);
        self.waker.wake();
    }

    pub(crate) fn listen(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Whether an administrator has ended it: what its client is told, why what runs is given up, and more for the record.
    pub(crate) fn ended(&self) -> Option<(Refusal, AbandonReason, String)> {
        if let Some(id) = self.contained() {
            return Some((Refusal::contained(), AbandonReason::Contained, id.to_owned()));
        }
        if self.lapsed.load(SeqCst) {
            let text = "Firsthand ended this session: its client certificate is not accepted any more";
            let refusal = Refusal::new(RefusalKind::Draining, text)
                .hint("Connect again with another certificate, or ask the operator why.");
            let detail = "its client certificate is not accepted any more".to_owned();
            return Some((refusal, AbandonReason::Killed, detail));
        }
        let killed = || {
            let text = "terminating connection due to administrator command";
            (Refusal::new(RefusalKind::Draining, text), AbandonReason::Killed, String::new())
        };
        self.killed.load(SeqCst).then(killed)
    }

    pub(crate) fn contained(&self) -> Option<&str> {
        self.contained.get().map(String::as_str)
    }

    pub(crate) fn looks_at_grant(&self) -> bool {
        self.ungranted.swap(false, SeqCst)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }
}

/// How a cancel request reaches what a session runs: breaks a hold, or asks the target.
#[derive(Clone)]
pub struct CancelRoute {
    /// Breaks a hold and records the request.
    pub canceller: Canceller,
    /// Sends the protocol's own cancel to the target; resolves when the target has taken it.
    pub forward: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
    /// Has the target end the session for good, over another connection; resolves with whether it said that it will.
    pub end: Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>,
}

#[derive(Default)]
struct Inner {
    running: HashMap<SessionId, Arc<Handle>>,
    cancels: HashMap<Vec<u8>, CancelRoute>,
}

/// All running sessions.
#[derive(Default)]
pub struct Sessions(Mutex<Inner>);

impl Sessions {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.inner().running.len()
    }

    /// All of them, oldest first.
    pub fn list(&self) -> Vec<Arc<Handle>> {
        let mut all: Vec<_> = self.inner().running.values().cloned().collect();
        all.sort_by_key(|h| h.facts.id);
        all
    }

    /// Ends one. False when it does not run.
    pub fn kill(&self, id: SessionId) -> bool {
        let handle = self.inner().running.get(&id).cloned();
        handle.is_some_and(|h| {
            h.kill();
            true
        })
    }

    /// Drains all of them.
    pub fn drain(&self) {
        for handle in self.list() {
            handle.drain();
        }
    }

    pub(crate) fn enter(
        self: &Arc<Self>,
        handle: Arc<Handle>,
        cancel: Option<(Vec<u8>, CancelRoute)>,
    ) -> Entered {
        let id = handle.facts.id;
        let key = cancel.as_ref().map(|(key, _)| key.clone());
        let mut inner = self.inner();
        inner.running.insert(id, handle);
        if let Some((key, route)) = cancel {
            inner.cancels.insert(key, route);
        }
        drop(inner);
        Entered { sessions: Arc::clone(self), id, key }
    }

    pub(crate) fn cancel_route(&self, key: &[u8]) -> Option<CancelRoute> {
        self.inner().cancels.get(key).cloned()
    }
}

/// A session's place in the list; leaves when dropped.
pub(crate) struct Entered {
    sessions: Arc<Sessions>,
    id: SessionId,
    key: Option<Vec<u8>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut inner = self.sessions.inner();
        inner.running.remove(&self.id);
        if let Some(key) = &self.key {
            inner.cancels.remove(key);
        }
    }
}
