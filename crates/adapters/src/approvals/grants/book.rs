//! The grants that are in force, as a snapshot that every command looks at. What is not known to be in force is not: the snapshot
//! of a state that has not been read for a while holds nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use firsthand_model::command::Command;
use firsthand_model::identity::Link;
use firsthand_model::session::SessionFacts;
use firsthand_session::port::Covering;

use super::scope::Scope;

/// After so long without having been read, the state is taken for one that cannot be.
const STALE_US: u64 = 5_000_000;
/// Grants of which it is remembered why they are over.
const GONE_MAX: usize = 1_000;

/// Its time is over.
const ENDED: &str = "has ended";
/// Somebody took it back.
const REVOKED: &str = "was revoked";
/// What is in force cannot be told.
const UNKNOWN: &str = "cannot be looked up";

/// A grant that is in force.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) id: Arc<str>,
    /// The name of its target.
    pub(crate) target: String,
    pub(crate) database: String,
    /// Ids of who has it, from the outside in.
    pub(crate) of: Vec<String>,
    pub(crate) scope: Scope,
    /// When it ends, in µs.
    pub(crate) ends: u64,
    /// It has had all the commands that it is for.
    pub(crate) used_up: AtomicBool,
}

impl Grant {
    fn is_for(&self, session: &SessionFacts) -> bool {
        self.database == session.database
            && session.role_of.serves(&self.id)
            && is_of(&self.of, &session.identity.chain)
    }
}

/// Whether these are those who act in a chain, all of them and in this order, whatever proves them.
pub(super) fn is_of(ids: &[String], chain: &[Link]) -> bool {
    let mut acting = chain.iter().filter(|link| !link.kind.proves());
    ids.iter().all(|id| acting.next().is_some_and(|link| link.id == *id)) && acting.next().is_none()
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// By target, and by the outermost of who has it: few are left to look through.
    by_target: HashMap<String, HashMap<String, Vec<Arc<Grant>>>>,
    by_id: HashMap<String, Arc<Grant>>,
    /// Why others are over.
    gone: HashMap<String, &'static str>,
    /// When the state was read, in µs.
    read: u64,
}

impl Book {
    /// What is in force now, after `before`.
    pub(super) fn new(grants: Vec<Grant>, before: &Self, now: u64) -> Self {
        let mut book = Self { read: now, ..Self::default() };
        for grant in grants {
            let grant = Arc::new(grant);
            let at = book.by_target.entry(grant.target.clone()).or_default();
            at.entry(grant.of.first().cloned().unwrap_or_default()).or_default().push(Arc::clone(&grant));
            book.by_id.insert(grant.id.to_string(), grant);
        }
        if before.gone.len() < GONE_MAX {
            book.gone.clone_from(&before.gone);
        }
        for (id, grant) in &before.by_id {
            if !book.by_id.contains_key(id) {
                book.gone.insert(id.clone(), if grant.ends <= now { ENDED } else { REVOKED });
            }
        }
        book
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Those that were in force before and are no longer.
    pub(super) fn lost(&self, before: &Self, now: u64) -> Vec<String> {
        let lost =
            |(id, _): &(&String, &Arc<Grant>)| self.by_id.get(*id).is_none_or(|grant| grant.ends <= now);
        before.by_id.iter().filter(lost).map(|(id, _)| id.clone()).collect()
    }

    /// When the next one ends.
    pub(super) fn next_end(&self) -> Option<u64> {
        self.by_id.values().map(|grant| grant.ends).min()
    }

    pub(super) fn is_stale(&self, now: u64) -> bool {
        now.abs_diff(self.read) > STALE_US
    }

    pub(super) fn get(&self, id: &str) -> Option<&Arc<Grant>> {
        self.by_id.get(id)
    }

    /// Those that may be of a session. Where there are none, nothing is compared.
    fn of(&self, session: &SessionFacts) -> Option<&[Arc<Grant>]> {
        if self.by_target.is_empty() {
            return None;
        }
        let outermost = session.identity.chain.first()?;
        self.by_target.get(session.target.as_str())?.get(outermost.id.as_str()).map(Vec::as_slice)
    }

    /// The one that covers a command, and lasts longest.
    pub(super) fn covers(&self, session: &SessionFacts, command: &Command, now: u64) -> Option<Covering> {
        let list = self.of(session)?;
        if self.is_stale(now) {
            return None;
        }
        let holds = |grant: &&Arc<Grant>| {
            grant.ends > now
                && grant.is_for(session)
                && !grant.used_up.load(Relaxed)
                && grant.scope.covers(command)
        };
        let grant = list.iter().filter(holds).max_by_key(|grant| grant.ends)?;
        let effects = command.shape.facts.as_ref().map_or(command.shape.effects, |facts| facts.effects);
        Some(Covering {
            id: Arc::clone(&grant.id),
            counts: grant.scope.commands.is_some() && !effects.touches_nothing(),
        })
    }

    /// The one that is in force for a session, and lasts longest.
    pub(super) fn at_opening(&self, session: &SessionFacts, now: u64) -> Option<Arc<str>> {
        let list = self.of(session).filter(|_| !self.is_stale(now))?;
        let holds = |grant: &&Arc<Grant>| grant.ends > now && grant.is_for(session);
        list.iter().filter(holds).max_by_key(|grant| grant.ends).map(|grant| Arc::clone(&grant.id))
    }

    /// The one that is in force for a session, has commands left, and was given last.
    pub(super) fn given_last(&self, session: &SessionFacts, now: u64) -> Option<Arc<str>> {
        let list = self.of(session).filter(|_| !self.is_stale(now))?;
        let holds =
            |grant: &&Arc<Grant>| grant.ends > now && grant.is_for(session) && !grant.used_up.load(Relaxed);
        let given = |grant: &&Arc<Grant>| grant.ends.saturating_sub(grant.scope.lasts_us);
        list.iter().filter(holds).max_by_key(given).map(|grant| Arc::clone(&grant.id))
    }

    /// Why what ran under it must end.
    pub(super) fn over(&self, id: &str, now: u64) -> Option<&'static str> {
        match self.by_id.get(id) {
            Some(grant) if grant.ends <= now => Some(ENDED),
            _ if self.is_stale(now) => Some(UNKNOWN),
            Some(_) => None,
            None => Some(self.gone.get(id).copied().unwrap_or(ENDED)),
        }
    }
}

#[cfg(test)]
mod tests {
    use firsthand_model::command::{Effect, Effects};
    use firsthand_model::identity::{IdentityKind, Trust};
    use firsthand_model::session::RoleOf;
    use firsthand_model::target::{Durability, Mode};
    use firsthand_session::fake::{Disk, command, fakes, target};

    use super::*;

    fn grant(id: &str, session: &SessionFacts, ends: u64, commands: Option<u64>) -> Grant {
        let acting = session.identity.chain.iter().filter(|link| !link.kind.proves());
        Grant {
            id: Arc::from(id),
            target: session.target.clone(),
            database: session.database.clone(),
            of: acting.map(|link| link.id.clone()).collect(),
            scope: Scope {
                effects: Effects::only(Effect::Read),
                tables: Vec::new(),
                lasts_us: 1,
                commands,
                reason: String::new(),
            },
            ends,
            used_up: AtomicBool::new(false),
        }
    }

    #[test]
    fn what_is_in_force_covers_until_its_end_and_says_why_not_after_it() {
        let session = fakes(Disk::Instant, target(Durability::Strict, Mode::Enforce)).open().0;
        let facts = session.facts();
        let grants = vec![grant("gr-1", facts, 100, None), grant("gr-2", facts, 200, Some(2))];
        let book = Book::new(grants, &Book::default(), 50);
        let id = |book: &Book, now| book.covers(facts, &command("SELECT 1"), now).map(|c| c.id.to_string());
        assert_eq!(id(&book, 50).as_deref(), Some("gr-2"), "the one that lasts longest");
        assert!(book.covers(facts, &command("SELECT 1"), 50).unwrap().counts);
        assert_eq!(book.covers(facts, &command("DELETE"), 50), None);
        book.get("gr-2").unwrap().used_up.store(true, Relaxed);
        assert_eq!(id(&book, 50).as_deref(), Some("gr-1"));
        assert_eq!(book.over("gr-2", 50), None, "what has begun goes on");
        assert_eq!((id(&book, 100), book.over("gr-1", 100)), (None, Some(ENDED)));
        let revoked = Book::new(vec![grant("gr-2", facts, 200, None)], &book, 60);
        assert_eq!(revoked.lost(&book, 60), ["gr-1"]);
        assert_eq!(revoked.over("gr-1", 60), Some(REVOKED));
        // Nobody has read the state for too long.
        let late = 60 + STALE_US + 1;
        let long = Book::new(vec![grant("gr-3", facts, u64::MAX, None)], &revoked, 60);
        assert_eq!((id(&long, late), long.over("gr-3", late)), (None, Some(UNKNOWN)));
    }

    #[test]
    fn where_grants_have_roles_a_session_is_of_one_and_no_other_covers_it() {
        let session = fakes(Disk::Instant, target(Durability::Strict, Mode::Enforce)).open().0;
        let of = |role_of: RoleOf| SessionFacts { role_of, ..session.facts().with_role("x") };
        let any = of(RoleOf::Target);
        let mut late = grant("gr-late", &any, 100, None);
        late.scope.lasts_us = 10;
        let mut early = grant("gr-early", &any, 200, None);
        early.scope.lasts_us = 190;
        let book = Book::new(vec![early, late], &Book::default(), 95);
        assert_eq!(
            book.given_last(&any, 95).as_deref(),
            Some("gr-late"),
            "it was given at 90, the other at 10"
        );
        assert_eq!(book.given_last(&any, 100).as_deref(), Some("gr-early"));
        let covers = |role_of| {
            let covering = book.covers(&of(role_of), &command("SELECT 1"), 95);
            covering.map(|covering| covering.id.to_string())
        };
        assert_eq!(covers(RoleOf::Target).as_deref(), Some("gr-early"), "the one that lasts longest");
        assert_eq!(covers(RoleOf::Grant(Arc::from("gr-late"))).as_deref(), Some("gr-late"));
        assert_eq!(covers(RoleOf::Nobody), None);
        assert_eq!(covers(RoleOf::Grant(Arc::from("gr-over"))), None);
        assert_eq!(book.at_opening(&of(RoleOf::Nobody), 95), None);
        let used = book.get("gr-late").unwrap();
        used.used_up.store(true, Relaxed);
        assert_eq!(book.given_last(&any, 95).as_deref(), Some("gr-early"), "that has nothing left");
    }

    #[test]
    fn a_grant_is_of_those_who_act_whatever_proves_them() {
        let link =
            |kind, id: &str| Link { kind, id: id.to_owned(), name: id.to_owned(), trust: Trust::Bound };
        let (ada, bot) = (link(IdentityKind::Human, "h-1"), link(IdentityKind::Agent, "a-1"));
        let token = |n: &str| link(IdentityKind::Token, n);
        let of = ["h-1".to_owned(), "a-1".to_owned()];
        for (chain, is) in [
            (vec![ada.clone(), bot.clone(), token("t-1")], true),
            (vec![ada.clone(), bot.clone(), token("t-2")], true),
            (vec![ada.clone(), token("t-1")], false),
            (vec![bot.clone(), token("t-1")], false),
            (vec![bot.clone(), ada.clone()], false),
            (vec![ada, bot.clone(), bot], false),
            (vec![], false),
        ] {
            assert_eq!(is_of(&of, &chain), is, "{chain:?}");
        }
    }
}
