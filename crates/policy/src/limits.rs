//! The limits in force for who asks, and how many cells of a result's rows count as labelled.

use std::sync::Arc;

use firsthand_model::amount::{Amount, Each, Labelled, Limits, Most, Sums};
use firsthand_model::statement::{Column, Output, OutputColumn};

use crate::compiled::{Compiled, Meta};
use crate::labels::{Columns, labels_behind, labels_of};
use crate::question::{Question, Situation, TARGET, UNLIMITED, Unfit};

/// Of several limits, the lowest of each kind.
pub(crate) fn limits(question: &mut Question<'_>) -> Result<Limits, Unfit> {
    let mut all = Limits::default();
    if !question.rules_speak(UNLIMITED, TARGET) {
        return Ok(all);
    }
    let said = question.target(UNLIMITED)?;
    for meta in said.by.iter().filter(|m| !m.permits) {
        let bounds = &meta.bounds;
        lower_each(&mut all.statement, &bounds.statement, meta);
        lower_each(&mut all.session, &bounds.session, meta);
        lower_each(&mut all.day, &bounds.day, meta);
        lower(&mut all.time_us, bounds.time_ms.map(|ms| ms.saturating_mul(1000)), meta);
        lower(&mut all.sessions, bounds.sessions, meta);
        lower(&mut all.commands_per_second, bounds.commands_per_second, meta);
    }
    Ok(all)
}

fn lower_each(sums: &mut Sums, bounds: &Each<Option<u64>>, meta: &Meta) {
    for amount in Amount::ALL {
        lower(sums.of_mut(amount), *bounds.of(amount), meta);
    }
}

fn lower(limit: &mut Option<Most>, bound: Option<u64>, meta: &Meta) {
    if let Some(most) = bound
        && limit.as_ref().is_none_or(|lowest| most < lowest.most)
    {
        let (name, because) = (Arc::clone(&meta.name), Arc::clone(&meta.because));
        *limit = Some(Most { most, limit: name, because });
    }
}

/// Limits as people write them: `day.rows=5000 its-name`.
#[must_use]
pub fn listed(limits: &Limits) -> Vec<String> {
    let mut all = Vec::new();
    for (span, sums) in [("", &limits.statement), ("session.", &limits.session), ("day.", &limits.day)] {
        for amount in Amount::ALL {
            let one = sums.of(amount).as_ref();
            all.extend(one.map(|m| format!("{span}{}={} {}", amount.word(), m.most, m.limit)));
        }
    }
    all.extend(limits.time_us.as_ref().map(|m| format!("time={}ms {}", m.most / 1000, m.limit)));
    all.extend(limits.sessions.as_ref().map(|m| format!("sessions={} {}", m.most, m.limit)));
    let rate = limits.commands_per_second.as_ref();
    all.extend(rate.map(|m| format!("commands_per_second={} {}", m.most, m.limit)));
    all
}

/// How many cells of each row have a label, masked or not. Where that cannot be told, all of them if a labelled column is
/// read, or something of which that is not known.
pub(crate) fn labelled(compiled: &Compiled, on: &Situation<'_>, known: Option<&Columns>) -> Labelled {
    match &on.facts.output {
        Output::None => Labelled::Columns(Arc::default()),
        Output::Columns(columns) => {
            let has = |c: &OutputColumn| c.sources.iter().any(|s| has_label(compiled, on.target, s, known));
            Labelled::Columns(columns.iter().map(has).collect())
        }
        Output::Untold(_) => {
            let mut relations = on.facts.reads.iter().map(|relation| Column {
                schema: relation.schema.clone(),
                relation: relation.name.clone(),
                column: String::new(),
                labels: Vec::new(),
            });
            let reached = on.facts.opaque.is_some()
                || relations.any(|relation| has_label(compiled, on.target, &relation, known));
            if reached { Labelled::All } else { Labelled::Columns(Arc::default()) }
        }
    }
}

/// Whether a column has a label, or one behind it; of a relation as a whole (no column name), one of its columns.
fn has_label(compiled: &Compiled, target: &str, column: &Column, known: Option<&Columns>) -> bool {
    if !labels_of(compiled, target, column).is_empty() {
        return true;
    }
    let listed = known.and_then(|k| k.of(&column.schema, &column.relation)).unwrap_or_default();
    let of = |name: &str| column.column.is_empty() || name == column.column;
    listed.iter().filter(|k| of(&k.column.column)).any(|k| !labels_behind(compiled, target, k).is_empty())
}
