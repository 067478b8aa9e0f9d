//! Drivers: the IO shells. `stream.rs` owns sockets, TLS, time and limits for every byte-stream protocol, once.

pub mod half_open;
mod inlet;
pub mod line;
pub mod outbox;
pub mod run;
pub mod sessions;
pub mod stream;
pub mod thinkers;
pub mod tls;

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Ticks once in so long, at once first. What was missed while the machine slept or was busy is not made up for: whoever ticks
/// looks at what there is now.
#[must_use]
pub fn every(period: Duration) -> Interval {
    let mut tick = interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pause_of_the_machine_is_not_made_up_for() {
        let mut tick = every(Duration::from_millis(1));
        assert_eq!(tick.missed_tick_behavior(), MissedTickBehavior::Delay);
        tick.tick().await;
    }
}
