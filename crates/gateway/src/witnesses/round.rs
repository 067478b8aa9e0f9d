//! One task asks all witnesses, in rounds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::sign::{Published, cosigned};
use firsthand_auditlog::tlog::checkpoint::Checkpoint;
use firsthand_auditlog::tlog::cosignature::time_of;
use firsthand_auditlog::tlog::note::{Note, Signature};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::Cosigned;
use super::ask::{Failed, Found, Question, ask};
use crate::assemble::Gateway;

/// Rest after a try that failed, doubled each time.
const REST_MIN: Duration = Duration::from_millis(250);
/// At most so long: one that comes back is asked soon.
const REST_MAX: Duration = Duration::from_secs(10);
/// How often a cosigned note is kept besides the newest: as the signer keeps its own.
const KEEP: Duration = Duration::from_secs(60);

/// One witness, as it is asked.
struct Seat {
    /// Entries that it is believed to know.
    known: u64,
    busy: bool,
    /// It has answered in this round.
    answered: bool,
    due: Instant,
    rest: Duration,
    found: Found,
}

/// A checkpoint that is being cosigned.
struct Round {
    published: Arc<Published>,
    note: Note,
    cosigned: usize,
    /// Enough have.
    reached: bool,
}

struct Tried {
    at: usize,
    published: Arc<Published>,
    said: Result<(Signature, Found), Failed>,
}

/// The task.
pub(super) struct Work {
    gateway: Arc<Gateway>,
    published: watch::Receiver<Option<Arc<Published>>>,
    seats: Vec<Seat>,
    tries: JoinSet<Tried>,
    round: Option<Round>,
    kept: Option<Instant>,
}

impl Work {
    /// Goes on from what was cosigned before.
    pub(super) async fn new(gateway: Arc<Gateway>) -> Self {
        let published = gateway.signer.published();
        let seat = || Seat {
            known: 0,
            busy: false,
            answered: false,
            due: Instant::now(),
            rest: REST_MIN,
            found: None,
        };
        let seats = gateway.witnesses.specs.all.iter().map(|_| seat()).collect();
        let mut work = Self { gateway, published, seats, tries: JoinSet::new(), round: None, kept: None };
        work.remember().await;
        work
    }

    /// What stands on disk was cosigned, if enough lines of it are good.
    async fn remember(&mut self) {
        let (data, epoch) = (self.gateway.data_dir(), self.gateway.record.recorder().log().epoch());
        let read = tokio::task::spawn_blocking(move || cosigned::newest(&RealIo::new(), &data, epoch)).await;
        let Some(note) = read.ok().and_then(Result::ok).flatten() else { return };
        let Ok(checkpoint) = Checkpoint::parse(note.text()) else { return };
        let witnesses = &self.gateway.witnesses;
        let mut good = 0;
        for (seat, spec) in self.seats.iter_mut().zip(&witnesses.specs.all) {
            if note.signatures().iter().any(|line| time_of(note.text(), line, &spec.vkey).is_some()) {
                seat.known = checkpoint.size();
                good += 1;
            }
        }
        if good >= witnesses.specs.quorum {
            witnesses.reached(Cosigned { epoch, size: checkpoint.size(), note: note.to_text() });
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.begin_round();
            self.send();
            let due = self.next_due();
            tokio::select! {
                Some(tried) = self.tries.join_next(), if !self.tries.is_empty() => {
                    // One that panicked leaves its seat busy; it is told of as late.
                    if let Ok(tried) = tried {
                        self.take(tried).await;
                    }
                }
                changed = self.published.changed() => if changed.is_err() { return },
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {}
            }
        }
    }

    /// The newest checkpoint, where it is another one and the last round is over.
    fn begin_round(&mut self) {
        let Some(newest) = self.published.borrow_and_update().clone() else { return };
        self.gateway.witnesses.see(&newest);
        let over = self.round.as_ref().is_none_or(|round| {
            let same = round.published.size == newest.size && round.published.epoch == newest.epoch;
            !same && (round.reached || !self.seats.iter().any(|seat| seat.busy))
        });
        if !over {
            return;
        }
        let Ok(note) = Note::parse(newest.note.as_bytes()) else { return };
        self.round = Some(Round { published: newest, note, cosigned: 0, reached: false });
        self.seats.iter_mut().for_each(|seat| seat.answered = false);
    }

    /// Asks whoever has not answered in this round and may be asked.
    fn send(&mut self) {
        let Some(round) = &self.round else { return };
        let newest = self.published.borrow().as_ref().map_or(0, |newest| newest.size);
        for (at, seat) in self.seats.iter_mut().enumerate() {
            if seat.busy || seat.answered || seat.due > Instant::now() {
                continue;
            }
            seat.busy = true;
            let (gateway, published) = (Arc::clone(&self.gateway), Arc::clone(&round.published));
            let question = Question {
                data: gateway.data_dir(),
                published: Arc::clone(&published),
                newest: newest.max(published.size),
                known: seat.known,
            };
            let found = seat.found.take();
            self.tries.spawn(async move {
                gateway.witnesses.update(at, |one| one.asked += 1);
                let said = match gateway.witnesses.spec(at) {
                    Some(spec) => ask(spec, found, question).await,
                    None => Err(Failed { why: String::new(), refuses: false, known: None }),
                };
                Tried { at, published, said }
            });
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.round.as_ref()?;
        self.seats.iter().filter(|seat| !seat.busy && !seat.answered).map(|seat| seat.due).min()
    }

    async fn take(&mut self, Tried { at, published, said }: Tried) {
        let newest = self.published.borrow().as_ref().map_or(0, |newest| newest.size);
        let Some(seat) = self.seats.get_mut(at) else { return };
        seat.busy = false;
        match said {
            Ok((line, found)) => {
                seat.found = found;
                (seat.known, seat.rest, seat.due) = (published.size, REST_MIN, Instant::now());
                self.cosigned(at, &published, line).await;
            }
            Err(failed) => {
                let ahead = failed.known.is_some_and(|known| known <= newest);
                seat.known = failed.known.unwrap_or(seat.known);
                seat.due = Instant::now() + seat.rest;
                seat.rest = (seat.rest * 2).min(REST_MAX);
                self.failed(at, failed, ahead);
            }
        }
    }

    /// `ahead`: it knows more than it was asked to cosign, and no more than there is.
    fn failed(&self, at: usize, failed: Failed, ahead: bool) {
        if ahead {
            return;
        }
        let name = self.gateway.witnesses.spec(at).map(|spec| spec.name.clone()).unwrap_or_default();
        self.gateway.witnesses.update(at, |one| {
            one.failed += 1;
            if one.error.as_ref() != Some(&failed.why) {
                tracing::warn!("witness {name}: {}", failed.why);
            }
            // That it cannot be reached takes back nothing of what it has said.
            one.refuses |= failed.refuses;
            one.error = Some(failed.why);
        });
    }

    async fn cosigned(&mut self, at: usize, published: &Arc<Published>, line: Signature) {
        let (gateway, name) =
            (Arc::clone(&self.gateway), self.gateway.witnesses.spec(at).map(|s| s.name.clone()));
        gateway.witnesses.update(at, |one| {
            if one.error.take().is_some() {
                tracing::info!("witness {}: it cosigns again", name.unwrap_or_default());
            }
            one.refuses = false;
            one.cosigned = Some((published.size, Instant::now()));
        });
        let Some(round) = self.round.as_mut().filter(|round| Arc::ptr_eq(&round.published, published)) else {
            return;
        };
        if let Some(seat) = self.seats.get_mut(at) {
            seat.answered = true;
        }
        if let Err(e) = round.note.add(line) {
            tracing::error!("a cosignature does not fit on the checkpoint: {e}");
            return;
        }
        round.cosigned += 1;
        if round.cosigned >= gateway.witnesses.specs.quorum {
            round.reached = true;
            self.keep().await;
        }
    }

    /// Keeps the note, and then says that it is cosigned.
    async fn keep(&mut self) {
        let Some(round) = &self.round else { return };
        let (data, published, note) =
            (self.gateway.data_dir(), Arc::clone(&round.published), round.note.clone());
        let due = self.kept.is_none_or(|at| at.elapsed() >= KEEP);
        let cosigned = Cosigned { epoch: published.epoch, size: published.size, note: note.to_text() };
        let put = move || cosigned::put(&RealIo::new(), &data, published.epoch, (published.size, &note), due);
        match tokio::task::spawn_blocking(put).await.map_err(std::io::Error::other) {
            Ok(Ok(())) => {}
            Ok(Err(e)) | Err(e) => tracing::error!("a cosigned checkpoint cannot be kept: {e}"),
        }
        if due {
            self.kept = Some(Instant::now());
        }
        self.gateway.witnesses.reached(cosigned);
    }
}
