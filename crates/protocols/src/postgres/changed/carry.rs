//! The list on its way: into the messages for the target, and out of the target's answers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use firsthand_model::target::ChangedRows;
use firsthand_model::time::MonoMicros;
use firsthand_sql::{Changes, with_returning};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::backend::RowDescription;
use firsthand_wire::postgres::frame::{HEADER_LEN, Scan, scan};

use super::super::batch::What;
use super::super::dialect::PostgresDialect;
use super::super::flight::{Running, Sent};
use super::super::names::{Portal, Statement};
use super::super::server::{Step, Walk};
use super::added::Told;
use super::{Added, Changed, Counting, Decided, MASKED, NOT_THE_SAME, SEVERAL, UNASKED, fact, messages};
use crate::dialect::Action;

/// Rows cut to the client's own columns that are handed on together.
const CUT_BYTES: usize = 32 << 10;

impl PostgresDialect {
    /// The bytes that go to the target in place of this message; `None`: the message itself. `running`: the command of a
    /// Query, which learns here what becomes of its rows.
    pub(in super::super) fn with_list(
        &mut self,
        what: &What,
        message: &[u8],
        running: Option<&mut Running>,
        settled: bool,
        now: MonoMicros,
    ) -> Option<Bytes> {
        if self.changed.kept == ChangedRows::Off {
            return None;
        }
        match what {
            What::Parse(it) => {
                let changes = Arc::clone(it.changes.as_ref()?);
                let parse =
                    firsthand_wire::postgres::frontend::Parse::read(message.get(HEADER_LEN..)?).ok()?;
                let (decided, text) = self.decide(&changes, parse.text, settled, now);
                let _ = it.added.set(decided);
                messages::parse(message, &text?)
            }
            What::Bind(portal) => {
                let added = added_to(portal.statement.as_ref())?;
                messages::bind(message, added.own, added.count())
            }
            What::Execute(portal) => {
                let added = added_to(portal.as_ref()?.statement.as_ref())?;
                if added.own { None } else { messages::execute(message) }
            }
            What::Query(_) => {
                let running = running?;
                let changes = running.changes.take()?;
                let text = message.get(HEADER_LEN..message.len().checked_sub(1)?)?;
                let (decided, text) = self.decide(&changes, text, settled, now);
                running.changed = Some(self.told(decided, Format::Text, running));
                messages::query(&text?)
            }
            _ => None,
        }
    }

    /// Whether a list is added to this text, which, and the text with it.
    fn decide(
        &self,
        changes: &Changes,
        text: &[u8],
        settled: bool,
        now: MonoMicros,
    ) -> (Decided, Option<Vec<u8>>) {
        let change = match changes {
            Changes::Untold(why) => return (Err(fact(why)), None),
            Changes::Rows(change) => change,
        };
        // Rows of the client's own that are masked are told from the columns asked for, and these would be others.
        if self.masks && change.returns {
            return (Err(MASKED), None);
        }
        let Some(table) = self.changed.tables.of(&change.table, now).filter(|_| settled) else {
            return (Err(UNASKED), None);
        };
        let added = match Added::plan(change, table, self.changed.kept) {
            Ok(added) => added,
            Err(why) => return (Err(why), None),
        };
        match with_returning(text, change, &added.names(), added.more()) {
            Some(text) => (Ok(Arc::new(added)), Some(text)),
            None => (Err(NOT_THE_SAME), None),
        }
    }

    fn told(&self, decided: Decided, format: Format, running: &Running) -> Changed {
        match decided {
            Err(why) => Changed::Untold(why),
            Ok(added) => {
                let plan = running.permit.mask_plan().cloned().unwrap_or_default();
                Changed::Told(Box::new(Told::new(added, format, running.permit.limits(), plan)))
            }
        }
    }

    /// What becomes of the changed rows of a command that an Execute ends.
    pub(in super::super) fn changed_by(
        &self,
        portal: Option<&Arc<Portal>>,
        running: &Running,
    ) -> Option<Changed> {
        let portal = portal.filter(|_| self.changed.kept != ChangedRows::Off)?;
        let statement = portal.statement.as_ref()?;
        statement.changes.as_ref()?;
        let decided = statement.added.get().cloned().unwrap_or(Err(UNASKED));
        // One format for all columns goes for the added ones as well; otherwise they are asked for as text.
        let format = match (&decided, &*portal.result_formats) {
            (Ok(added), [one]) if added.own => *one,
            _ => Format::Text,
        };
        Some(self.told(decided, format, running))
    }

    /// What a Query of several statements does to rows is not told.
    pub(in super::super) fn untold_together(&self, running: &mut Running) {
        let writes = matches!(running.shape.tag.as_str(), "INSERT" | "UPDATE" | "DELETE" | "MERGE");
        if self.changed.kept == ChangedRows::Off {
            return;
        }
        if writes {
            running.changed = Some(Changed::Untold(SEVERAL));
        } else if self.has_effects(&running.shape) {
            running.counting = Some(Counting::Unknown);
        }
    }

    /// Whether rows of the command that answers now hold added columns.
    pub(in super::super) fn has_list(&self) -> bool {
        self.flight.running.front().is_some_and(|r| matches!(r.changed, Some(Changed::Told(_))))
            && matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Execute(_) | Sent::Script))
    }

    /// Rows with added columns: those are kept, the client gets the rest, or nothing where the rows are not its own.
    pub(in super::super) fn rows_with_list(&mut self, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        self.flush(walk, out);
        let limited = self.is_delivery_limited();
        let portal = match self.flight.first().map(|e| &e.sent) {
            Some(Sent::Execute(portal)) => portal.clone(),
            _ => None,
        };
        let Some(running) = self.flight.running.front_mut() else {
            return Step::Broken("a row for no command".into());
        };
        let number = running.permit.number();
        let (mut cut, mut at) = (BytesMut::new(), 0);
        let own = {
            let Some(told) = running.changed.as_mut().and_then(Changed::told) else { return Step::On };
            told.added.own
        };
        if own {
            let capture = running.capture();
            if !capture.has_columns() {
                capture.rows_follow(portal.and_then(|p| p.row_columns()));
            }
        }
        while let Ok(Scan::Frame(frame)) = scan(walk.input.get(at..).unwrap_or_default(), &self.server_rules)
            && frame.tag == b'D'
            && cut.len() < CUT_BYTES
        {
            if limited && at > 0 {
                break;
            }
            at += frame.len();
            let Some(told) = running.changed.as_mut().and_then(Changed::told) else { break };
            out.extend(told.row(frame.body).map(|piece| Action::Changed(number, piece)));
            if !own {
                continue;
            }
            let Some(row) = messages::row(frame.body, told.added.count()) else {
                return Step::Broken("a row without the columns that were added".to_owned());
            };
            let start = cut.len();
            messages::framed(&mut cut, b'D', &row);
            let capture = running.capture();
            if capture.keeps() {
                out.extend(capture.row(&row).map(|piece| Action::Rows(number, piece)));
            }
            capture.passed(1, cut.get(start..).unwrap_or_default());
        }
        if own {
            let capture = running.capture();
            out.extend(capture.progress().map(|(rows, bytes)| Action::Progress(number, rows, bytes)));
            out.push(Action::ToClient(running.permit.reply(cut.freeze())));
        }
        self.swallow(at, walk, out);
        Step::On
    }

    /// A piece of a row too large to be held, which is not the client's: it stays here. False: it is not that.
    pub(in super::super) fn swallows_piece(&mut self, done: bool) -> bool {
        let Some(told) =
            self.flight.running.front_mut().and_then(|r| r.changed.as_mut()).and_then(Changed::told)
        else {
            return false;
        };
        if done {
            told.row_too_large();
        }
        true
    }

    /// Whether the rows of the command that answers now are the client's own, with added columns.
    pub(in super::super) fn has_list_beside_own(&self) -> bool {
        let told = self.flight.running.front().and_then(|r| match &r.changed {
            Some(Changed::Told(told)) => Some(told),
            _ => None,
        });
        self.has_list() && told.is_some_and(|told| told.added.own)
    }

    /// A RowDescription for a statement with a list added: the client is told of its own columns, or of none. `None`: it is
    /// not for such a statement.
    pub(in super::super) fn described_with_list(
        &mut self,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Step> {
        let added = match self.flight.first().map(|e| &e.sent)? {
            Sent::DescribeStatement(it) => added_to(it.as_ref())?,
            Sent::DescribePortal(it) => added_to(it.as_ref()?.statement.as_ref())?,
            Sent::Script => match self.flight.running.front()?.changed.as_ref()? {
                Changed::Told(told) => Arc::clone(&told.added),
                Changed::Untold(_) => return None,
            },
            _ => return None,
        };
        Some(
            self.cut_description(&added, len, walk, out).unwrap_or_else(|| {
                Step::Broken("a description without the columns that were added".to_owned())
            }),
        )
    }

    fn cut_description(
        &mut self,
        added: &Added,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Step> {
        let body = walk.body(len).to_vec();
        let description = RowDescription::read(&body).ok()?;
        let own = description.len().checked_sub(added.count())?;
        let origins = description.columns().skip(own).map(|c| (c.table, c.number));
        let sure = added.is_described_by(origins);
        if !sure {
            self.changed.tables.forget();
        }
        let mut message = BytesMut::new();
        let columns = if added.own {
            let cut = messages::described(&body, added.count())?;
            messages::framed(&mut message, b'T', &cut);
            Some(self.columns(&cut).ok()?)
        } else {
            None
        };
        let gated = walk.gated && walk.at > 0;
        self.swallow(len, walk, out);
        let script = matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Script));
        match self.flight.first().map(|e| &e.sent) {
            Some(Sent::DescribeStatement(Some(it))) => {
                columns.into_iter().for_each(|columns| it.columns_described(columns));
            }
            Some(Sent::DescribePortal(Some(it))) => {
                columns.into_iter().for_each(|columns| it.columns_described(columns));
            }
            _ => {
                let running = self.flight.running.front_mut()?;
                if let Some(told) = running.changed.as_mut().and_then(Changed::told).filter(|_| !sure) {
                    told.doubt();
                }
                if added.own {
                    let number = running.permit.number();
                    let before = running.capture().rows_follow(columns);
                    out.extend(before.map(|piece| Action::Rows(number, piece)));
                }
            }
        }
        if !script {
            self.flight.pop();
            if !added.own {
                messages::framed(&mut message, b'n', &[]);
            }
        }
        if !message.is_empty() && script && self.describes_too_early() {
            self.changed.described = Some(message.freeze());
        } else if !message.is_empty() {
            let reply = match self.flight.running.front() {
                Some(running) if gated || script => running.permit.reply(message.freeze()),
                _ => self.admission.reply(message.freeze()),
            };
            out.push(Action::ToClient(reply));
        }
        Some(Step::On)
    }
}

/// The list that was added to a statement.
fn added_to(statement: Option<&Arc<Statement>>) -> Option<Arc<Added>> {
    statement?.added.get()?.as_ref().ok().cloned()
}
