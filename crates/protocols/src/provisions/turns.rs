//! Who makes or ends a login role, and what a step of that may take: one at a time for each role, and few at a time at a target. So
//! a role that takes long to end keeps nobody waiting but who wants that very role.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::protocol::RoleTask;

/// One connection, with all that is asked over it: what the target itself stops earlier.
const STEP_WITHIN: Duration = Duration::from_secs(15);
/// What giving away all that a role has may take at the target, by how often it could not be ended. What a grant usually leaves takes
/// milliseconds. It is one transaction, so a try that is stopped has done nothing: a role that was made heavy (600,000 large
/// objects take some minutes) is never ended by tries that are all as short as the first.
const DISOWN_WITHIN: [Duration; 3] =
    [Duration::from_secs(8), Duration::from_secs(60), Duration::from_secs(600)];
/// What it may take beside that: to connect, and to open schemas for it.
const BESIDE: Duration = Duration::from_secs(7);
/// Steps at a target at a time: many grants may end at once, and its connections are not all for that.
const QUICK_MAX: usize = 4;
/// The same, of those that may take long. They have places of their own, and so take none of those.
const SLOW_MAX: usize = 2;

/// What giving it away may take, when it could not be ended so often.
pub(super) fn disown_within(times: u32) -> Duration {
    let [.., last] = DISOWN_WITHIN;
    usize::try_from(times).ok().and_then(|times| DISOWN_WITHIN.get(times).copied()).unwrap_or(last)
}

/// Whoever holds it makes or ends a role.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// Roles that somebody makes or ends, and what goes on at each target.
#[derive(Default)]
pub(super) struct Turns {
    /// By target and role. Those that nobody has or waits for are forgotten.
    roles: Mutex<HashMap<(String, String), Turn>>,
    /// One for each target that was ever asked; those are as many as the configuration names.
    targets: Mutex<HashMap<String, Arc<Doors>>>,
}

impl Turns {
    /// Waits until nobody else makes or ends this role.
    pub(super) async fn of(&self, target: &str, role: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
            roles.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(roles.entry((target.to_owned(), role.to_owned())).or_default())
        };
        turn.lock_owned().await
    }

    pub(super) fn doors(&self, target: &str) -> Arc<Doors> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(targets.entry(target.to_owned()).or_default())
    }
}

/// The places at a target.
pub(super) struct Doors {
    quick: Semaphore,
    slow: Semaphore,
}

impl Default for Doors {
    fn default() -> Self {
        Self { quick: Semaphore::new(QUICK_MAX), slow: Semaphore::new(SLOW_MAX) }
    }
}

impl Doors {
    /// Waits for a place for this, no longer than it may take itself; with that time.
    pub(super) async fn enter(&self, task: &RoleTask<'_>) -> Result<(SemaphorePermit<'_>, Duration), String> {
        let [usual, ..] = DISOWN_WITHIN;
        let (door, within) = match task {
            RoleTask::Disown { within, .. } if *within > usual => (&self.slow, within.saturating_add(BESIDE)),
            _ => (&self.quick, STEP_WITHIN),
        };
        match timeout(within, door.acquire()).await {
            Ok(Ok(place)) => Ok((place, within)),
            Ok(Err(_)) | Err(_) => {
                Err("others are being made or ended at this target, and take long".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_become_longer_and_the_step_around_them_too() {
        let tries: Vec<u64> = (0..5).map(|times| disown_within(times).as_secs()).collect();
        assert_eq!(tries, [8, 60, 600, 600, 600]);
        assert!(STEP_WITHIN >= DISOWN_WITHIN[0] + BESIDE);
    }

    #[tokio::test]
    async fn what_takes_long_keeps_neither_quick_steps_nor_other_roles_waiting() {
        let (turns, long) = (Turns::default(), disown_within(1));
        let doors = turns.doors("shop");
        let heavy = RoleTask::Disown { name: "a", group: "g", within: long };
        let mut held = Vec::new();
        for _ in 0..SLOW_MAX {
            let (place, within) = doors.enter(&heavy).await.unwrap();
            assert_eq!(within, long + BESIDE);
            held.push(place);
        }
        let first = RoleTask::Disown { name: "b", group: "g", within: disown_within(0) };
        assert_eq!(doors.enter(&first).await.unwrap().1, STEP_WITHIN);
        let _one = turns.of("shop", "a").await;
        drop(turns.of("shop", "b").await);
        assert!(timeout(Duration::from_millis(1), turns.of("shop", "a")).await.is_err(), "it is taken");
        drop(turns.of("shop", "c").await);
        assert_eq!(turns.roles.lock().unwrap().len(), 2, "those that are given back are forgotten");
    }
}
