//! Whether what changes along with a write is counted; and where the write has a limit of rows, the refusal where it is not.
//!
//! A limit that counted only a statement's own rows would let a cascade through. So a write under one goes out only if its
//! cascades, triggers and functions are counted (`along`), or if the definitions say that nothing can change along: those of
//! the table, asked at that moment; where it could not be asked about, those that the session's statements are judged by.

use std::sync::Arc;

use firsthand_model::command::{Effect, Shape};
use firsthand_model::outcome::Transaction;
use firsthand_model::target::ChangedRows;
use firsthand_session::{Refusal, RefusalKind};
use firsthand_sql::{Action, Changes};

use super::super::dialect::PostgresDialect;
use super::super::flight::Running;
use super::super::forward::Slot;
use super::super::names::Portal;
use super::along::{Along, DEFERRED, Manner, Reached, TRUNCATE};
use super::reach::{self, Wanted};
use super::table::Table;
use super::{DEFINED, ENCODING, FETCHED, SEVERAL, UNASKED, fact, table};

/// Coverage fact, and here a reason: functions that it calls may change whatever rows.
const OPAQUE: &str = "changed-rows:opaque";
/// Here a reason: nothing can be asked behind a COPY while its data is under way.
const COPY: &str = "changed-rows:copy";

/// A relation of which every database has one of this name and number: where any table may change, what is asked about it tells
/// whether all can be looked at.
pub(super) const ANY: &str = "pg_class";
const ANY_OID: u32 = 1259;

/// How far the change of a statement goes, as far as it is known.
pub(in super::super) enum Far {
    /// Nowhere (`None`); or that far, or so far that it cannot be counted.
    Known(Option<Reached>),
    /// The table could not be asked about: why.
    Unknown(&'static str),
}

/// Whether what a statement calls may change rows.
pub(in super::super) fn runs_code(shape: &Shape) -> bool {
    match &shape.facts {
        Some(facts) => facts.code_writes || (facts.opaque.is_some() && !facts.takes_along),
        None => shape.effects.has(Effect::Unknown),
    }
}

/// Whether nothing changes along, as the statement was judged.
pub(super) fn stays_alone(shape: &Shape) -> bool {
    let alone = |facts: &Arc<firsthand_model::statement::Facts>| {
        facts.opaque.is_none() && !facts.takes_along && !facts.code_writes
    };
    shape.facts.as_ref().is_some_and(alone)
}

impl PostgresDialect {
    /// How the server is asked.
    fn manner(&self) -> Result<Manner, &'static str> {
        let quiet = self.changed.kept == ChangedRows::Off;
        if self.parameters.same_encoding() {
            Ok(Manner { hex: false, quiet })
        } else if self.parameters.server_converts() {
            Ok(Manner { hex: true, quiet })
        } else {
            Err(ENCODING)
        }
    }

    /// How far the change of this statement goes. `limited`: functions that it calls count, too.
    fn far(&self, changes: &Changes, shape: &Shape, settled: bool, limited: bool) -> Far {
        let code = limited && runs_code(shape);
        let (name, wanted) = match changes {
            Changes::Rows(it) => {
                let (actions, upserts, sets) =
                    (std::slice::from_ref(&it.action), it.upserts, Some(&*it.sets));
                (&it.table, Wanted { actions, upserts, sets, code })
            }
            Changes::Untold(_, Some(it)) => {
                (&it.table, Wanted { actions: &it.actions, upserts: false, sets: None, code })
            }
            Changes::Untold(why, None) => return Far::Unknown(fact(why)),
        };
        if let Some(why) = self.why_not_known() {
            return Far::Unknown(why);
        }
        if !settled {
            return Far::Unknown(DEFINED);
        }
        let Some(facts) = &self.changed.facts else { return Far::Unknown(UNASKED) };
        let table = match table::meant(facts, name, shape) {
            Ok(table) => table,
            Err(why) => return Far::Unknown(why),
        };
        if let Some(why) = table.hidden {
            return Far::Unknown(why);
        }
        let reached = reach::of(facts, &table, &wanted).map(|reached| reached.map(Arc::new));
        Far::Known(reached.map(|reached| reached.and_then(|it| self.manner().map(|_| it))))
    }

    /// How far functions go that are called by what changes no rows itself: they may change whatever rows.
    fn far_of_code(&self) -> Far {
        if let Some(why) = self.why_not_known() {
            return Far::Unknown(why);
        }
        let Some(facts) = &self.changed.facts else { return Far::Unknown(UNASKED) };
        let wanted = Wanted { actions: &[Action::Insert], upserts: false, sets: None, code: true };
        let table = Table { oid: ANY_OID, ..Table::default() };
        let reached = reach::of(facts, &table, &wanted).map(|reached| reached.map(Arc::new));
        Far::Known(reached.map(|reached| reached.and_then(|it| self.manner().map(|_| it))))
    }

    /// Finds that out for a portal that is bound now.
    pub(in super::super) fn reach_of_portal(&self, portal: &Portal, settled: bool, limited: bool) {
        let Some(statement) = &portal.statement else { return };
        let Some(shape) = shape_of(portal) else { return };
        let far = match statement.changes.as_deref() {
            Some(changes) if counts(changes) => self.far(changes, shape, settled, limited),
            None if limited && runs_code(shape) => self.far_of_code(),
            _ => return,
        };
        if let Far::Known(reached) = far {
            let _ = portal.reached.set(reached);
        }
    }

    /// Finds that out for the command of a Query.
    pub(in super::super) fn reach_of_query(&self, running: &mut Running, settled: bool) {
        if running.along.is_some() {
            return;
        }
        let (shape, limited) = (&running.shape, running.limit.is_some());
        let far = match running.changes.as_deref() {
            Some(changes) if counts(changes) => self.far(changes, shape, settled, limited),
            None if limited && runs_code(shape) => self.far_of_code(),
            _ => return,
        };
        if let Far::Known(Some(reached)) = far {
            running.along = self.manner().ok().map(|manner| Along::new(reached, manner));
        }
    }

    /// The counts of a portal that is executed now, if they are asked for.
    pub(in super::super) fn along_of(&self, portal: &Portal, execute: &[u8]) -> Option<Box<Along>> {
        let mut reached = portal.reached.get()?.clone()?;
        portal.counted.set(()).ok()?;
        if self.in_parts(portal, execute) {
            reached = Err(FETCHED);
        }
        Some(Along::new(reached, self.manner().ok()?))
    }

    /// The refusal of a Query in which a statement has a limit and takes rows along that cannot be counted.
    pub(in super::super) fn query_goes_too_far(&self, slots: &[Slot], settled: bool) -> Option<Refusal> {
        let limited = slots.iter().filter_map(Slot::permitted).filter(|r| r.limit.is_some());
        let why = |running: &Running| {
            let far = match &running.along {
                Some(along) => Far::Known(Some(along.reached())),
                None => self.far_of(running.changes.as_deref(), &running.shape, settled)?,
            };
            let counted = slots.len() == 1 && running.changes.as_deref().is_none_or(counts);
            let otherwise = if slots.len() > 1 { SEVERAL } else { COPY };
            uncounted(&far, &running.shape, counted.then_some(()).ok_or(otherwise))
        };
        self.refusal_of_first(limited, why)
    }

    /// Whether that would be refused, as far as it can be told before it is decided. `several`: others are in its Query.
    pub(in super::super) fn goes_too_far_with(
        &self,
        shape: &Shape,
        changes: Option<&Changes>,
        several: bool,
    ) -> bool {
        let Some(far) = self.far_of(changes, shape, !self.flight.is_unsettled()) else { return false };
        let counted = if several { Err(SEVERAL) } else { Ok(()) };
        !matches!(far, Far::Unknown(_)) && uncounted(&far, shape, counted).is_some()
    }

    /// The same of a portal that is executed.
    pub(in super::super) fn portal_goes_too_far(
        &self,
        running: &Running,
        portal: &Portal,
        execute: &[u8],
        settled: bool,
    ) -> Option<Refusal> {
        if running.limit.is_none() || portal.counted.get().is_some() {
            return None;
        }
        let changes = portal.statement.as_ref().and_then(|statement| statement.changes.as_deref());
        if portal.reached.get().is_none() {
            self.reach_of_portal(portal, settled, true);
        }
        let far = match portal.reached.get() {
            Some(reached) => Some(Far::Known(reached.clone())),
            None => self.far_of(changes, &running.shape, settled),
        };
        let counted = match changes {
            Some(changes) if !counts(changes) => Err(COPY),
            _ if self.in_parts(portal, execute) => Err(FETCHED),
            _ => Ok(()),
        };
        let why = |running: &Running| uncounted(far.as_ref()?, &running.shape, counted);
        self.refusal_of_first(std::iter::once(running), why)
    }

    /// How far a limited statement goes; `None`: it changes no rows of others, and what it calls is known.
    fn far_of(&self, changes: Option<&Changes>, shape: &Shape, settled: bool) -> Option<Far> {
        match changes {
            Some(changes) => Some(self.far(changes, shape, settled, true)),
            None => runs_code(shape).then(|| self.far_of_code()),
        }
    }

    fn refusal_of_first<'r>(
        &self,
        mut limited: impl Iterator<Item = &'r Running>,
        why: impl Fn(&Running) -> Option<&'static str>,
    ) -> Option<Refusal> {
        // What fails anyway fails as the target has it; so does all that stands among copy data.
        if self.transaction == Transaction::Failed || self.flight.is_reading_copy() {
            return None;
        }
        limited.find_map(|running| {
            let limit = running.limit.as_ref()?;
            Some(refusal(limit.most(), limit.rule(), why(running)?))
        })
    }
}

/// The shape of what a portal runs, where its statement is known.
pub(super) fn shape_of(portal: &Portal) -> Option<&Shape> {
    match (&portal.does, &portal.statement) {
        (Some((shape, _)), _) => Some(shape),
        (None, Some(statement)) => Some(&statement.shape),
        (None, None) => None,
    }
}

/// Whether something can be asked around such a statement: not around a COPY, whose data comes before what is behind it.
fn counts(changes: &Changes) -> bool {
    matches!(changes, Changes::Rows(_) | Changes::Untold("merge", Some(_)))
}

/// Why what changes along with a limited statement is not counted; `None`: it is, or nothing does. `asked`: whether it can be
/// counted where it stands.
fn uncounted(far: &Far, shape: &Shape, asked: Result<(), &'static str>) -> Option<&'static str> {
    match far {
        Far::Unknown(why) => (!stays_alone(shape)).then_some(why),
        Far::Known(None) => None,
        Far::Known(Some(Err(why))) => Some(why),
        Far::Known(Some(Ok(reach))) => match asked {
            Err(why) => Some(why),
            Ok(()) if reach.later => Some(DEFERRED),
            Ok(()) if runs_code(shape) && !reach.tables.is_empty() => Some(OPAQUE),
            Ok(()) => None,
        },
    }
}

/// What stands in the way, and what to do about it.
fn words(why: &'static str) -> (&'static str, &'static str) {
    match why {
        SEVERAL => ("several statements share this message", "send the change alone"),
        ENCODING => ("the client's encoding is not the database's", "SET client_encoding to the database's"),
        DEFINED => (
            "its transaction, or what is still under way, has defined something or changed settings",
            "send it in a transaction of its own",
        ),
        table::LOCKED => ("somebody holds a lock on one of the tables", "send it when that is over"),
        FETCHED => ("its rows are fetched in parts", "fetch all of them at once"),
        DEFERRED => ("a trigger runs at the commit only", "ask the operator"),
        COPY => ("nothing is counted around a COPY", "send the rows with INSERT"),
        OPAQUE => ("it calls functions of which that is not known", "leave them out"),
        TRUNCATE => ("a table may have been emptied along with it", "ask the operator"),
        _ => ("the table could not be asked about", "send it again later, or ask the operator"),
    }
}

/// What the client reads in place of a write that may take more along than it may affect.
fn refusal(most: u64, rule: &Arc<str>, why: &'static str) -> Refusal {
    let (because, advice) = words(why);
    let text = format!(
        "Firsthand did not run this: it may affect at most {most} rows (rule {rule}), others may change along with its own \
         (foreign keys, triggers, rules, functions), and how many is not known: {because} ({why}); {advice}"
    );
    with_rule(Refusal::new(RefusalKind::Limit, text).hint(advice), rule)
}

/// The same of one that has run.
pub(in super::super) fn undone(most: u64, rule: &Arc<str>, why: &'static str) -> Refusal {
    let (because, advice) = words(why);
    let text = format!(
        "Firsthand rolled this back: it may affect at most {most} rows (rule {rule}), and how many changed along with its own \
         is not known: {because} ({why}); {advice}"
    );
    with_rule(Refusal::new(RefusalKind::Limit, text).hint("Nothing was changed."), rule)
}

fn with_rule(mut refusal: Refusal, rule: &Arc<str>) -> Refusal {
    refusal.rule = Arc::clone(rule);
    refusal
}
