//! The question about tables, sent before the messages that need its answer; they wait for it.

use bytes::{Bytes, BytesMut};
use firsthand_model::json::{Json, Object, write_string};
use firsthand_model::outcome::{AbandonReason, Transaction};
use firsthand_model::target::ChangedRows;
use firsthand_model::time::MonoMicros;
use firsthand_session::Answer;
use firsthand_sql::Changes;
use firsthand_wire::postgres::backend::Report;

use super::super::batch::What;
use super::super::dialect::PostgresDialect;
use super::super::flight::{Entry, Sent};
use super::super::report;
use super::super::server::{Step, Walk};
use super::table::{self, Name, QUESTION, Table};
use crate::dialect::Action;

/// A question under way, and the answers to the ask that wait for it.
#[derive(Debug)]
pub(in super::super) struct Asking {
    answers: Vec<Answer>,
    names: Vec<Name>,
    /// Tables answered so far; the last one is under way.
    tables: Vec<Table>,
    /// It is a unit of its own and ends with ReadyForQuery.
    sync: bool,
    /// CloseCompletes still to come.
    closes: usize,
    failed: bool,
}

impl Asking {
    /// The answers that wait.
    pub(in super::super) fn into_answers(self) -> Vec<Answer> {
        self.answers
    }
}

impl PostgresDialect {
    /// The ask was answered: sends the batch, or first asks about tables that it writes to.
    pub(in super::super) fn forward_or_ask(
        &mut self,
        answers: Vec<Answer>,
        now: MonoMicros,
        out: &mut Vec<Action>,
    ) {
        let names = self.unknown_tables(&answers, now);
        let sync = !self.flight.is_open();
        let mut bytes = BytesMut::new();
        if names.is_empty() || table::ask(&mut bytes, &names, sync).is_err() {
            self.asking = false;
            self.forward(answers, now, out);
            return;
        }
        out.push(Action::Note { what: "asked", detail: asked(&names), reply: Bytes::new() });
        out.push(Action::ToServer(self.without_command(bytes.freeze())));
        self.flight.push(Entry::plain(Sent::Question));
        let closes = names.len() + 1;
        let (tables, failed) = (Vec::new(), false);
        self.changed.asking = Some(Box::new(Asking { answers, names, tables, sync, closes, failed }));
    }

    /// Tables that permitted commands of the batch write to and of which nothing is known, where they can be asked about.
    fn unknown_tables(&self, answers: &[Answer], now: MonoMicros) -> Vec<Name> {
        let mut names = Vec::new();
        let kept = self.changed.kept;
        if kept == ChangedRows::Off
            || self.changed.old_server
            || self.changed.suspends
            || self.transaction == Transaction::Failed
            || self.flight.is_skipping()
            || self.flight.is_reading_copy()
        {
            return names;
        }
        for item in &self.batch.items {
            let plan = item.owner.and_then(|at| self.batch.plans.get(at));
            let permitted = item.owner.and_then(|at| answers.get(at)).is_some_and(Result::is_ok);
            let changes = match &item.what {
                What::Parse(it) if it.added.get().is_none() => it.changes.as_ref(),
                What::Query(range) if range.len() == 1 => plan.and_then(|plan| plan.changes.as_ref()),
                // What asks now must not come before what has to be first in its transaction.
                What::Execute(_) if plan.is_some_and(|p| p.shape.tag == "SET") => return Vec::new(),
                _ => None,
            };
            if permitted
                && let Some(Changes::Rows(change)) = changes.map(|c| &**c)
                && self.changed.tables.of(&change.table, now).is_none()
                && !names.contains(&change.table)
            {
                names.push(change.table.clone());
            }
        }
        names
    }

    /// A message of the target while the question is the first thing to be answered: all of it stays here. `None`: it is
    /// not about that.
    pub(in super::super) fn question_answered(
        &mut self,
        tag: u8,
        len: usize,
        now: MonoMicros,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Step> {
        if matches!(tag, b'N' | b'A' | b'S')
            || !matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Question))
        {
            return None;
        }
        let Some(asking) = &mut self.changed.asking else {
            self.flight.pop();
            return None;
        };
        let done = match tag {
            b'2' => {
                asking.tables.push(Table::default());
                false
            }
            b'D' => {
                if let Some(table) = asking.tables.last_mut()
                    && !table.add(walk.body(len))
                {
                    table.why = Some("changed-rows:encoding");
                }
                false
            }
            b'3' => {
                asking.closes = asking.closes.saturating_sub(1);
                asking.closes == 0 && !asking.sync
            }
            b'E' => {
                let body = walk.body(len);
                let fatal = Report::read(body, "ErrorResponse").is_ok_and(|r| r.is_fatal());
                if fatal {
                    return None;
                }
                if !asking.sync {
                    return Some(self.question_failed(len, walk, out));
                }
                asking.failed = true;
                false
            }
            b'Z' => true,
            _ => false,
        };
        self.swallow(len, walk, out);
        if done {
            self.flight.pop();
            self.question_over(now, out);
        }
        Some(Step::On)
    }

    /// The question failed inside the client's own pipeline: the error is the client's, as everything behind it fails with it.
    fn question_failed(&mut self, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        let detail = match Report::read(walk.body(len), "ErrorResponse") {
            Ok(it) => report::json(&it, None),
            Err(_) => Json::default(),
        };
        self.failed = true;
        self.flush(walk, out);
        let reply = walk.cut(len);
        let skipped = self.flight.skip(&mut self.names);
        out.extend(skipped.into_iter().map(|r| Action::Abandon(r.permit, AbandonReason::Skipped)));
        out.push(Action::Note { what: "error", detail, reply });
        Step::On
    }

    /// The answer is here: what waited for it goes on.
    fn question_over(&mut self, now: MonoMicros, out: &mut Vec<Action>) {
        let Some(asking) = self.changed.asking.take() else { return };
        let Asking { answers, names, tables, failed, .. } = *asking;
        if !failed {
            for (name, mut table) in names.into_iter().zip(tables) {
                if table.columns.is_empty() && table.why.is_none() {
                    table.why = Some("changed-rows:relation");
                }
                self.changed.tables.learn(name, table, now);
            }
        }
        self.asking = false;
        self.forward(answers, now, out);
    }

    /// There will be no answer: the target skips the question. What waited goes on once the walk is over.
    fn question_lost(&mut self) {
        if let Some(asking) = &mut self.changed.asking {
            asking.failed = true;
        }
    }

    /// After a walk: a question that was skipped with the client's pipeline holds nothing up.
    pub(in super::super) fn resume_without_question(&mut self, now: MonoMicros, out: &mut Vec<Action>) {
        if self.changed.asking.is_some() && !self.flight.has_question() {
            self.question_lost();
            self.question_over(now, out);
        }
    }
}

/// What the gateway asked, for the record (invariant 12).
fn asked(names: &[Name]) -> Json {
    let mut out = Vec::new();
    let mut o = Object::open(&mut out);
    let list = o.key("tables");
    list.push(b'[');
    for (i, [_, schema, name]) in names.iter().enumerate() {
        if i > 0 {
            list.push(b',');
        }
        let written = if schema.is_empty() { name.clone() } else { format!("{schema}.{name}") };
        write_string(list, &written);
    }
    list.push(b']');
    o.string("text", QUESTION);
    o.close();
    Json::from_written(out)
}
