//! The list on its way: into the messages for the target, and out of the target's answers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use firsthand_model::command::Shape;
use firsthand_model::target::ChangedRows;
use firsthand_sql::{Changes, with_returning};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::backend::RowDescription;
use firsthand_wire::postgres::frame::{HEADER_LEN, Scan, scan};

use super::super::batch::What;
use super::super::dialect::PostgresDialect;
use super::super::flight::{Running, Sent};
use super::super::names::{Own, Portal, SOURCE_BYTES_MAX};
use super::super::server::{Step, Walk};
use super::added::Told;
use super::messages::{Formats, Instead};
use super::{
    Added, Changed, DEFINED, Decided, ENCODING, FETCHED, FORMATS, LARGE, MASKED, NOT_THE_SAME, PREPARED,
    SEVERAL, UNASKED, fact, messages, table,
};
use crate::dialect::Action;

/// Rows cut to the client's own columns that are handed on together.
const CUT_BYTES: usize = 32 << 10;

/// A Bind up to this size goes to the target twice: as it is, and for the changed text.
const BIND_BYTES_MAX: usize = 1 << 20;

/// What goes to the target in place of a message.
#[derive(Default)]
pub(in super::super) struct Replaced {
    pub(in super::super) bytes: BytesMut,
    /// The tags of answers that stay here, before the one to the message itself and behind it.
    pub(in super::super) before: Vec<u8>,
    pub(in super::super) after: Vec<u8>,
}

impl PostgresDialect {
    /// What goes to the target in place of this message; `None`: the message itself. `running`: the command of a Query,
    /// which learns here what becomes of its rows.
    pub(in super::super) fn with_list(
        &mut self,
        what: &What,
        message: &[u8],
        running: Option<&mut Running>,
        settled: bool,
    ) -> Option<Replaced> {
        // Also where no list is added: what a portal has changed in parts is not counted behind it.
        match what {
            What::Sync | What::Query(_) => self.changed.parts = false,
            What::Execute(_) => self.changed.parts |= messages::has_limit(message),
            _ => {}
        }
        if self.changed.kept == ChangedRows::Off {
            return None;
        }
        match what {
            What::Bind(portal) => {
                let changes = Arc::clone(portal.statement.as_ref()?.changes.as_ref()?);
                let (decided, instead) = match self.instead(portal, &changes, message, settled) {
                    Ok((added, instead)) => (Ok(added), Some(instead)),
                    Err(why) => (Err(why), None),
                };
                let _ = portal.added.set(decided);
                instead.map(|Instead { bytes, before, after }| Replaced { bytes, before, after })
            }
            What::Execute(portal) => {
                let portal = portal.as_ref()?;
                if added_to(portal)?.own {
                    return None;
                }
                if portal.ran.set(()).is_err() {
                    let (bytes, before) =
                        messages::execute_again(self.own_name(Own::Returning).as_bytes(), message)?;
                    return Some(Replaced { bytes, before, after: Vec::new() });
                }
                messages::execute(message).map(Replaced::of)
            }
            What::Query(_) => {
                let running = running?;
                let changes = running.changes.take()?;
                let text = message.get(HEADER_LEN..message.len().checked_sub(1)?)?;
                let (decided, text) = match self.decide(&changes, text, &Arc::clone(&running.shape), settled)
                {
                    Ok((added, text)) => (Ok(added), Some(text)),
                    Err(why) => (Err(why), None),
                };
                running.changed = Some(self.told(decided, running));
                messages::query(&text?).map(Replaced::of)
            }
            _ => None,
        }
    }

    /// What a Bind becomes; or why it stays what it is.
    fn instead(
        &self,
        portal: &Portal,
        changes: &Changes,
        message: &[u8],
        settled: bool,
    ) -> Result<(Arc<Added>, Instead), &'static str> {
        let statement = portal.statement.as_deref().ok_or(UNASKED)?;
        let change = match changes {
            Changes::Untold(why, _) => return Err(fact(why)),
            Changes::Rows(change) => change,
        };
        let (source, types) = statement.source().ok_or(LARGE)?;
        if message.len() > BIND_BYTES_MAX {
            return Err(LARGE);
        }
        if statement.settings != self.changed.settings || depends_on_its_time(source) {
            return Err(PREPARED);
        }
        if self.changed.parts {
            return Err(FETCHED);
        }
        let formats = match &*portal.result_formats {
            _ if !change.returns => Formats::None,
            [Format::Binary] => {
                let columns = change.own_columns.or_else(|| statement.described_columns());
                Formats::Binary(columns.ok_or(FORMATS)?)
            }
            _ => Formats::AsSaid,
        };
        let shape = portal.does.as_ref().map_or(&statement.shape, |(shape, _)| shape);
        let (added, text) = self.decide(changes, source, shape, settled)?;
        let name = self.own_name(Own::Returning);
        let instead = messages::instead(name.as_bytes(), message, &text, types, formats, added.count())
            .ok_or(NOT_THE_SAME)?;
        Ok((added, instead))
    }

    /// The list that is added to this text, and the text with it; or why there is none.
    fn decide(
        &self,
        changes: &Changes,
        text: &[u8],
        shape: &Shape,
        settled: bool,
    ) -> Result<(Arc<Added>, Vec<u8>), &'static str> {
        let change = match changes {
            Changes::Untold(why, _) => return Err(fact(why)),
            Changes::Rows(change) => change,
        };
        // Rows of the client's own that are masked are told from the columns asked for, and these would be others.
        if self.masks && change.returns {
            return Err(MASKED);
        }
        if text.len() > SOURCE_BYTES_MAX {
            return Err(LARGE);
        }
        if let Some(why) = self.why_not_now() {
            return Err(why);
        }
        if !settled {
            return Err(DEFINED);
        }
        let facts = self.changed.facts.as_ref().ok_or(UNASKED)?;
        let table = table::meant(facts, &change.table, shape)?;
        if table::watches(facts, text) {
            return Err(table::OWN_TEXT);
        }
        let added = Added::plan(change, table, self.changed.kept)?;
        if !added.is_ascii() && !self.parameters.settings.utf8 {
            return Err(ENCODING);
        }
        let text = with_returning(text, change, added.items()).ok_or(NOT_THE_SAME)?;
        Ok((Arc::new(added), text))
    }

    fn told(&self, decided: Decided, running: &Running) -> Changed {
        match decided {
            Err(why) => Changed::Untold(why),
            Ok(added) => {
                let plan = running.permit.mask_plan().cloned().unwrap_or_default();
                Changed::Told(Box::new(Told::new(added, running.permit.limits(), plan)))
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
        portal.statement.as_ref()?.changes.as_ref()?;
        let decided = portal.added.get().cloned().unwrap_or(Err(UNASKED));
        Some(self.told(decided, running))
    }

    /// What a Query of several statements does to rows is not told.
    pub(in super::super) fn untold_together(&self, running: &mut Running) {
        let writes = matches!(running.shape.tag.as_str(), "INSERT" | "UPDATE" | "DELETE" | "MERGE");
        if writes && self.changed.kept != ChangedRows::Off {
            running.changed = Some(Changed::Untold(SEVERAL));
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
            Sent::DescribePortal(it) => added_to(it.as_ref()?)?,
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
        description.len().checked_sub(added.count())?;
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
            Some(Sent::DescribePortal(Some(it))) => {
                columns.into_iter().for_each(|columns| it.columns_described(columns));
            }
            _ => {
                let running = self.flight.running.front_mut()?;
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
        if !message.is_empty() {
            let reply = match self.flight.running.front() {
                Some(running) if gated || script => running.permit.reply(message.freeze()),
                _ => self.admission.reply(message.freeze()),
            };
            out.push(Action::ToClient(reply));
        }
        Some(Step::On)
    }
}

impl Replaced {
    fn of(message: Bytes) -> Self {
        Self { bytes: BytesMut::from(message), ..Self::default() }
    }
}

/// The list that was added to a portal's statement.
fn added_to(portal: &Arc<Portal>) -> Option<Arc<Added>> {
    portal.added.get()?.as_ref().ok().cloned()
}

/// Whether a text may hold a constant that was read when it was prepared and would be another one now.
fn depends_on_its_time(text: &[u8]) -> bool {
    let text = text.to_ascii_lowercase();
    [&b"now"[..], b"today", b"tomorrow", b"yesterday"]
        .iter()
        .any(|word| text.windows(word.len() + 1).any(|at| at.split_first() == Some((&b'\'', *word))))
}
