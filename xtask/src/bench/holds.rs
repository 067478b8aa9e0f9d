//! Commands that wait for a person, a thousand at once: what they cost those who do not wait.

use super::{
    bed::{Bed, wait_until},
    cells::{self, CELLS, Rows},
    client::Client,
    subject::Subject,
};
use anyhow::{Context, Result};

/// The gateway lets 200 wait for one person with all their agents.
const OF_ONE: u32 = 190;
/// Nothing is tried any more for those who wait so long.
const SETTLED: std::time::Duration = std::time::Duration::from_secs(16);

/// Throughput of 8 clients that only read while `count` commands of other sessions wait, as a part of what it is while those
/// sessions are open and idle, before and after.
pub(super) fn throughput(bed: &Bed, subject: &Subject, count: u32, seconds: u32) -> Result<f64> {
    let cell = CELLS.iter().find(|cell| cell.name == "s8").context("no cell s8")?;
    let (peer, rows) = (subject.peer("rules")?, Rows::none());
    let mut sessions = Vec::new();
    for person in 0..count.div_ceil(OF_ONE) {
        let logins = subject.create_token(&format!("holder{person}"), &format!("p{person}@example.org"))?;
        let (_, login) = logins.iter().find(|(name, _)| *name == "held").context("no target held")?;
        for _ in 0..OF_ONE.min(count - person * OF_ONE) {
            sessions.push(Client::connect(login)?);
        }
    }
    let before = cells::run(bed, &peer, cell, seconds, &rows)?;
    for (at, session) in sessions.iter_mut().enumerate() {
        session.say(&format!("update bench_counter set n = 0 where id = {at}"))?;
    }
    let waiting = || subject.open_approvals().is_ok_and(|open| open == sessions.len());
    wait_until(waiting, "the commands to wait")?;
    // What they would change is tried meanwhile, for the first of them: work of another kind, and over by then.
    std::thread::sleep(SETTLED);
    let held = cells::run(bed, &peer, cell, seconds, &rows)?;
    for session in &mut sessions {
        let answer = session.answer().err().map(|error| error.to_string()).unwrap_or_default();
        anyhow::ensure!(answer.contains("is pending"), "a command that should wait was answered: {answer}");
    }
    let after = cells::run(bed, &peer, cell, seconds, &rows)?;
    Ok(held.rate / f64::midpoint(before.rate, after.rate))
}
