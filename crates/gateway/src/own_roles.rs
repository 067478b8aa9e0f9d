//! Keeps the login roles of grants as they should be: ends those whose grant is over, at once and again until it is done, and sweeps
//! what earlier runs have left.

use std::sync::Arc;
use std::time::Duration;

use firsthand_model::session::RoleOf;
use firsthand_model::target::Target;
use firsthand_protocols::provisions::Made;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::assemble::Gateway;

/// How often it is looked whether something is to be ended still, or to be looked through.
const LOOK: Duration = Duration::from_secs(10);
/// How often a target is looked through for leftovers.
const SWEEP: Duration = Duration::from_secs(300);
/// The same, where that failed.
const SWEEP_AGAIN: Duration = Duration::from_secs(60);
/// What sessions get to tell their clients, before the target ends what is left of them.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// How often it is looked whether they have gone.
const GLANCE: Duration = Duration::from_millis(10);
/// What ending all roles may take when the gateway stops; the next start sweeps the rest.
const ALL_WITHIN: Duration = Duration::from_secs(5);

/// Runs as long as the gateway. `over`: a grant may be over.
pub(crate) async fn keep(gateway: Arc<Gateway>, over: Arc<Notify>) {
    let mut tasks = JoinSet::new();
    let mut tick = firsthand_protocols::drive::every(LOOK);
    // When each target was looked through, or is being.
    let mut swept: Vec<(String, Arc<Sweep>)> = Vec::new();
    loop {
        let targets = provisioned(&gateway);
        swept.retain(|(name, _)| targets.iter().any(|target| target.name == *name));
        for target in targets {
            let sweep = match swept.iter().find(|(name, _)| *name == target.name) {
                Some((_, sweep)) => Arc::clone(sweep),
                None => {
                    let sweep = Arc::<Sweep>::default();
                    swept.push((target.name.clone(), Arc::clone(&sweep)));
                    sweep
                }
            };
            if sweep.begin() {
                let gateway = Arc::clone(&gateway);
                tasks.spawn(async move {
                    let done = gateway.provisions.sweep(&gateway.engine, &target).await;
                    sweep.finish(done);
                });
            }
        }
        for made in gateway.provisions.due(&gateway.engine, false) {
            let gateway = Arc::clone(&gateway);
            tasks.spawn(async move { end(&gateway, &made).await });
        }
        while tasks.try_join_next().is_some() {}
        tokio::select! {
            _ = tick.tick() => {}
            () = over.notified() => {}
        }
    }
}

/// Ends all of them, for a gateway that stops: nobody has their passwords any more.
pub(crate) async fn end_all(gateway: &Arc<Gateway>) {
    let mut tasks = JoinSet::new();
    for made in gateway.provisions.due(&gateway.engine, true) {
        let gateway = Arc::clone(gateway);
        tasks.spawn(async move { gateway.provisions.end(&gateway.engine, &made).await });
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(ALL_WITHIN, all).await.is_err() {
        tracing::warn!("not all login roles of grants could be dropped in time; the next start does it");
    }
}

async fn end(gateway: &Gateway, made: &Arc<Made>) {
    let until = Instant::now() + LAST_WORDS;
    let has_it = || {
        let of = |role: &RoleOf| matches!(role, RoleOf::Grant(grant) if **grant == *made.grant());
        gateway.sessions.list().iter().any(|handle| of(&handle.facts.role_of))
    };
    while has_it() && Instant::now() < until {
        sleep(GLANCE).await;
    }
    gateway.provisions.end(&gateway.engine, made).await;
}

/// The targets where grants have roles.
fn provisioned(gateway: &Gateway) -> Vec<Arc<Target>> {
    let config = gateway.config.load();
    let with_roles = config.targets.iter().filter(|target| target.target.roles.is_some());
    with_roles.map(|target| Arc::new(target.target.clone())).collect()
}

/// When a target was looked through last.
#[derive(Default)]
struct Sweep(std::sync::Mutex<Swept>);

#[derive(Default)]
enum Swept {
    #[default]
    Never,
    Running,
    /// Whether it could be.
    At(Instant, bool),
}

impl Sweep {
    fn state(&self) -> std::sync::MutexGuard<'_, Swept> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether it is time; then it runs.
    fn begin(&self) -> bool {
        let mut state = self.state();
        let due = match *state {
            Swept::Never => true,
            Swept::Running => false,
            Swept::At(at, done) => at.elapsed() >= if done { SWEEP } else { SWEEP_AGAIN },
        };
        if due {
            *state = Swept::Running;
        }
        due
    }

    fn finish(&self, done: bool) {
        *self.state() = Swept::At(Instant::now(), done);
    }
}
