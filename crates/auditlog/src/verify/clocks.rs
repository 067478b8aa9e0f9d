//! Whether the times of entries can have been: the monotonic clock of a writer's run never goes back, the wall clock goes
//! along with it unless `log.clock` says that it was stepped, and a living gateway is never silent for long.

use super::leaf::Leaf;
use super::report::{Aspect, Findings, Spot};
use crate::entry::moment;

/// How far the wall clock may drift against the monotonic one between two entries: what is more is told by `log.clock`.
const STEP_US: u64 = 1_000_000;
/// A gateway says something every minute or the next, however idle it is; half a minute more for a machine that is slow.
const SILENCE_US: u64 = 150_000_000;

/// The clocks at the entry before.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    before: Option<(u64, u64)>,
    /// Steps seen since the last `log.clock`.
    steps: Vec<(Spot, i128)>,
    /// The newest time.
    pub(super) newest_us: Option<u64>,
}

/// Steps kept until the log tells of them; a clock that is set all the time is told once.
const STEPS_KEPT: usize = 64;

impl Clocks {
    /// Another writer begins: its monotonic clock is its own.
    pub(super) fn restart(&mut self, out: &mut Findings) {
        self.untold(out);
        self.before = None;
    }

    /// The log tells of a step.
    pub(super) fn told(&mut self) {
        self.steps.clear();
    }

    /// Steps of which the log does not tell.
    pub(super) fn untold(&mut self, out: &mut Findings) {
        for (spot, step) in self.steps.drain(..) {
            let what = format!("the wall clock jumps by {} ms here, and no log.clock says so", step / 1000);
            out.note(Aspect::Semantics, "clock-untold", &spot, what);
        }
    }

    /// The times of an entry.
    pub(super) fn entry(&mut self, leaf: &Leaf<'_>, at: &Spot, out: &mut Findings) {
        let (Some(wall), Some(mono)) = (moment::written(leaf.t), leaf.mono) else {
            return out.fail(Aspect::Semantics, "time", at, "the entry has no time that can be read");
        };
        if let Some((wall_before, mono_before)) = self.before {
            if mono < mono_before {
                let what =
                    format!("the monotonic clock goes back by {} µs within one run", mono_before - mono);
                out.fail(Aspect::Semantics, "clock-back", at, what);
            } else if mono - mono_before > SILENCE_US {
                let what = format!(
                    "nothing was recorded for {} s, although a living gateway says so every minute",
                    (mono - mono_before) / 1_000_000
                );
                out.note(Aspect::Completeness, "silence", at, what);
            }
            let step =
                (i128::from(wall) - i128::from(wall_before)) - (i128::from(mono) - i128::from(mono_before));
            if step.unsigned_abs() > u128::from(STEP_US) && self.steps.len() < STEPS_KEPT {
                self.steps.push((at.clone(), step));
            }
        } else if self.newest_us.is_some_and(|newest| wall.saturating_add(STEP_US) < newest) {
            out.note(
                Aspect::Semantics,
                "clock-untold",
                at,
                "a writer's run begins before the one before it had ended",
            );
        }
        self.before = Some((wall, mono));
        self.newest_us = Some(wall);
    }
}
