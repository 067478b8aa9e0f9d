//! PostgreSQL: how a connection begins (`handshake`), what is said on it afterwards (`dialect`), how a no is said
//! (`refuse`).

pub mod access;
mod as_it_came;
mod batch;
mod broken;
mod capture;
pub mod catalog;
pub mod changed;
mod client;
mod columns;
mod complete;
mod copied;
mod copy;
mod definitions;
mod delivery;
pub mod dialect;
mod ending;
mod estimate;
mod fastpath;
mod flight;
mod forward;
mod handshake;
mod handshake_client;
mod handshake_target;
pub mod knowing;
mod large;
mod masking;
mod names;
mod overtime;
mod own_roles;
mod parameters;
mod preview;
mod probe;
mod radius;
pub mod refuse;
mod report;
mod role;
mod server;
mod settings;
mod text;
mod together;
mod tripwire;
mod unsure;
pub mod wal;

use std::sync::Arc;

use firsthand_model::preview::Preview;
use firsthand_session::Refusal;
use firsthand_session::port::BoxFuture;
use firsthand_sql::Analyzer;
use firsthand_sql::judge::Judge;

use self::changed::Askers;
use self::definitions::{Definitions, Way};
use self::estimate::Estimates;
use self::wal::{Followers, Watchers};

use crate::drive::line::Line;
use crate::protocol::{Beginning, Begun, Estimating, Follow, Previewing, Probe, RoleTask, StreamProtocol};

/// The protocol, as the registry lists it.
#[derive(Default)]
pub struct Postgres {
    /// Remembers what statements do, for all sessions.
    analyzer: Arc<Analyzer>,
    /// Remembers what statements mean, where rules ask for it.
    judge: Arc<Judge>,
    /// What databases define, for that.
    definitions: Definitions,
    /// How many rows statements touch.
    estimates: Estimates,
    /// What is known of the tables that writes touch.
    askers: Askers,
    /// Who reads what databases say of their changes.
    followers: Followers,
    /// Who asks whether sessions that may only read did.
    watchers: Watchers,
}

impl Postgres {
    /// Its name in configurations and in the record.
    pub const NAME: &'static str = "postgres";
}

impl StreamProtocol for Postgres {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn alpn(&self) -> &'static [&'static [u8]] {
        &[b"postgresql"]
    }

    fn begin<'a>(&'a self, line: &'a mut Line, with: &'a Beginning<'a>) -> BoxFuture<'a, Begun> {
        Box::pin(handshake::begin(line, with, self))
    }

    fn turn_away<'a>(&'a self, line: &'a mut Line, why: &'a Refusal) -> BoxFuture<'a, ()> {
        Box::pin(handshake::turn_away(line, why))
    }

    fn probe<'a>(&'a self, with: Probe<'a>) -> BoxFuture<'a, Result<Vec<String>, String>> {
        Box::pin(probe::probe(with))
    }

    fn follow(&self, with: Follow) {
        let Follow { engine, links, learner, identity, target, database, unread } = with;
        let way = Way { engine, links, learner, identity, target, database, of_grant: false };
        drop(self.followers.of(way, unread));
    }

    fn check_changes<'a>(
        &'a self,
        with: Probe<'a>,
        target: &'a str,
        log: [u8; 16],
    ) -> BoxFuture<'a, Result<Vec<String>, String>> {
        let slot = wal::slot_name(log, target, with.database);
        Box::pin(async move { wal::check(with, &slot).await })
    }

    fn estimate<'a>(&'a self, with: Estimating<'a>) -> BoxFuture<'a, Option<u64>> {
        Box::pin(self.estimates.of(with))
    }

    fn roles<'a>(
        &'a self,
        with: Probe<'a>,
        task: RoleTask<'a>,
    ) -> BoxFuture<'a, Result<Vec<String>, String>> {
        Box::pin(own_roles::done(with, task))
    }

    fn preview<'a>(&'a self, with: Previewing<'a>) -> BoxFuture<'a, Preview> {
        Box::pin(preview::preview(with))
    }
}
