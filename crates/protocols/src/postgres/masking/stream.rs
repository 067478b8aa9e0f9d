//! Where masking meets the target's bytes: rows and copy data of a command with duties are written anew, one buffer for
//! each read; texts are replaced where they stand; what cannot be masked is withheld, and the command ends in an error.

use bytes::{Bytes, BytesMut};
use firsthand_model::masking::Hush;
use firsthand_model::statement::{Output, OutputColumn};
use firsthand_session::{Refusal, RefusalKind};
use firsthand_wire::postgres::backend::{Notification, ParameterStatus, Report};
use firsthand_wire::postgres::frame::{HEADER_LEN, Scan, scan};
use firsthand_wire::postgres::{Format, Frames};
use std::sync::Arc;

use super::copy::{CopyColumn, CopyMask, Fault};
use super::found::{Look, Named, Seen};
use super::rows::rewrite;
use super::{MASKED_ROW_MAX, Masking, RowPlan, texts, too_long};
use crate::dialect::Action;
use crate::postgres::columns::Columns;
use crate::postgres::dialect::PostgresDialect;
use crate::postgres::flight::Running;
use crate::postgres::names::Portal;
use crate::postgres::server::{Step, Walk};

/// What stands for a text of which nothing passes.
pub(super) const MASKED: &[u8] = b"[masked]";

impl PostgresDialect {
    /// Rows with these columns follow: decides what is done to each, and gives the columns as the record tells them.
    pub(in crate::postgres) fn rows_begin(&mut self, columns: Option<Arc<Columns>>) -> Option<Arc<Columns>> {
        let Some(masking) = self.flight.running.front_mut().and_then(|r| r.masking.as_mut()) else {
            return columns;
        };
        let columns = columns.or_else(|| masking.columns.clone());
        masking.rows = None;
        if !masking.needs_columns() {
            return columns;
        }
        let columns = columns?;
        let obligations = &masking.plan.obligations;
        let plan = match &self.last_row_plan {
            Some((of, for_columns, plan))
                if Arc::ptr_eq(of, obligations) && Arc::ptr_eq(for_columns, &columns) =>
            {
                Arc::clone(plan)
            }
            _ => {
                let plan = Arc::new(RowPlan::of(masking.duty(), &columns, &*masking.tools.values));
                let of = Arc::clone(obligations);
                self.last_row_plan = Some((of, Arc::clone(&columns), Arc::clone(&plan)));
                plan
            }
        };
        let told = Arc::clone(&plan.told);
        masking.rows = Some(plan);
        Some(told)
    }

    /// Whether the rows or copy data of the command in front have to be written anew.
    pub(in crate::postgres) fn masks_data(&self, tag: u8) -> bool {
        let Some(masking) = self.flight.running.front().and_then(|r| r.masking.as_ref()) else {
            return false;
        };
        masking.refusal.is_some()
            || match tag {
                // Without a plan nothing is known of the columns: nothing passes.
                b'D' => masking.needs_columns() && masking.rows.as_ref().is_none_or(|p| !p.passes_all()),
                _ => masking.needs_columns() && masking.copy.as_ref().is_none_or(|c| !c.passes_all()),
            }
    }

    /// Whether the whole rows at hand pass as they are, though rows of this command may have to be masked: their numbers are
    /// all short.
    pub(in crate::postgres) fn only_short_numbers(&self, tag: u8, walk: &Walk<'_>) -> bool {
        let masking = self.flight.running.front().and_then(|r| r.masking.as_ref());
        let Some(masking) = masking.filter(|m| tag == b'D' && m.refusal.is_none()) else { return false };
        let Some(plan) = &masking.rows else { return false };
        let rest = walk.input.get(walk.at..).unwrap_or_default();
        let mut frames = Frames::new(rest, &self.server_rules);
        // With a limit on what is delivered each message is looked at by itself.
        let most = if self.is_delivery_limited() { 1 } else { usize::MAX };
        let mut count = 0;
        while count < most && rest.get(frames.consumed()) == Some(&tag) {
            let Ok(Some(frame)) = frames.next() else { break };
            if !plan.lets_pass(frame.body) {
                return false;
            }
            count += 1;
        }
        count > 0
    }

    /// Rows or copy data: all whole messages of that kind that follow each other, masked.
    pub(in crate::postgres) fn masked_data(
        &mut self,
        tag: u8,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Step {
        self.flush(walk, out);
        let limited = self.is_delivery_limited();
        let Some(running) = self.flight.running.front_mut() else {
            return Step::Broken("a row for no command".to_owned());
        };
        let number = running.permit.number();
        let mut frames = Frames::new(walk.input, &self.server_rules);
        let mut written = Vec::with_capacity(walk.input.len());
        // With a limit on what is delivered each message is looked at by itself.
        let mut left = if limited { 1 } else { usize::MAX };
        while left > 0 && walk.input.get(frames.consumed()) == Some(&tag) {
            left -= 1;
            let Ok(Some(frame)) = frames.next() else { break };
            let start = written.len();
            running.masked(tag, frame.body, &mut written);
            if running.masking.as_ref().is_some_and(|masking| masking.refusal.is_some()) {
                break;
            }
            let Some(body) = written.get(start + HEADER_LEN..) else { continue };
            let capture = running.capture();
            if capture.keeps() {
                let rows = |piece| Action::Rows(number, piece);
                if tag == b'D' {
                    out.extend(capture.row(body).map(rows));
                } else {
                    out.extend(capture.copy_data(body).into_iter().map(rows));
                }
            }
            capture.passed(1, written.get(start..).unwrap_or_default());
        }
        let len = frames.consumed();
        let capture = running.capture();
        out.extend(capture.progress().map(|(rows, bytes)| Action::Progress(number, rows, bytes)));
        if !written.is_empty() {
            out.push(Action::ToClient(running.permit.reply(Bytes::from(written))));
        }
        self.swallow(len, walk, out);
        self.withhold(0, walk, out).unwrap_or(Step::On)
    }

    /// The header of a message too long to be masked came: what is left of the reply is withheld.
    pub(in crate::postgres) fn mask_too_long(&mut self) {
        if let Some(masking) = self.flight.running.front_mut().and_then(|r| r.masking.as_mut()) {
            masking.refuse(too_long());
        }
    }

    /// CopyDone: what has not come to the end of a row is a row.
    pub(in crate::postgres) fn masked_copy_ends(
        &mut self,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Step {
        self.flush(walk, out);
        let Some(running) = self.flight.running.front_mut() else { return self.pass(len, true, walk, out) };
        let mut rest = Vec::new();
        let Some(masking) = &mut running.masking else { return self.pass(len, true, walk, out) };
        if masking.refusal.is_none()
            && let Some(copy) = &mut masking.copy
        {
            let fed = copy.finish(&mut masking.tools, &mut rest);
            masking.judge(fed);
        }
        if let Some(step) = self.withhold(len, walk, out) {
            return step;
        }
        let Some(running) = self.flight.running.front_mut() else { return Step::On };
        if !rest.is_empty() {
            let number = running.permit.number();
            let mut written = Vec::with_capacity(rest.len() + HEADER_LEN);
            frame(b'd', &rest, &mut written);
            let capture = running.capture();
            out.extend(capture.copy_data(&rest).into_iter().map(|piece| Action::Rows(number, piece)));
            capture.passed(1, &written);
            out.push(Action::ToClient(running.permit.reply(Bytes::from(written))));
        }
        self.pass(len, true, walk, out)
    }

    /// COPY data toward the client follows.
    pub(in crate::postgres) fn copy_out_begins(&mut self, format: Format, count: usize) {
        let Some(running) = self.flight.running.front_mut() else { return };
        let Some(masking) = running.masking.as_mut().filter(|m| m.needs_columns()) else { return };
        let fits = |o: &Arc<firsthand_sql::CopyOptions>| {
            (o.form == firsthand_sql::CopyForm::Binary) == (format == Format::Binary)
        };
        let Some(options) = masking.options.clone().filter(fits) else {
            masking.refuse(Refusal::new(
                RefusalKind::Unsupported,
                "Firsthand cannot mask this COPY data, so it is withheld: its options are not known",
            ));
            return;
        };
        let told = match running.shape.facts.as_ref().map(|f| &f.output) {
            Some(Output::Columns(columns)) => columns.as_slice(),
            _ => &[],
        };
        // Of other columns than the target announces nothing is known but their names.
        let type_oid = |oid| if told.len() == count { oid } else { 0 };
        let column = |(at, c): (usize, &OutputColumn)| CopyColumn {
            name: c.name.as_str().into(),
            names: Named::of(masking.duty(), at, told.len()).unwrap_or_else(|| c.name.as_str().into()),
            type_oid: type_oid(c.type_oid),
        };
        let columns = told.iter().enumerate().map(column).collect();
        let copy = CopyMask::new(&options, masking.duty(), columns, count, &masking.tools);
        let told = (!copy.passes_all()).then(|| Arc::new(copy.told()));
        masking.copy = Some(copy);
        if let Some(told) = told {
            running.capture().copy_columns(told);
        }
    }

    /// Replaces texts and function results that may hold values, in all whole messages that follow the span up to one of
    /// another kind. What has been replaced is remembered, so that each message is looked at once.
    pub(in crate::postgres) fn quieten(&mut self, walk: &mut Walk<'_>) {
        let mut at = walk.at.max(walk.quiet);
        while let Ok(Scan::Frame(frame)) = scan(walk.input.get(at..).unwrap_or_default(), &self.server_rules)
        {
            let (tag, len) = (frame.tag, frame.len());
            if !matches!(tag, b'E' | b'N' | b'A' | b'V' | b'C' | b'I' | b's' | b'S' | b'Z') {
                break;
            }
            let new = match tag {
                b'E' | b'N' => self.quiet_report(tag, frame.body),
                b'S' if self.hushed == Hush::All => quiet_parameter(frame.body),
                b'S' => self.looked_at_parameter(frame.body),
                b'A' => self.quiet_notification(frame.body),
                b'V' => self.masked_result(frame.body),
                _ => None,
            };
            at += match new {
                Some(new) => {
                    let tail = walk.input.split_off(at + len);
                    walk.input.truncate(at);
                    walk.input.extend_from_slice(&new);
                    walk.input.extend_from_slice(&tail);
                    new.len()
                }
                None => len,
            };
            if tag == b'Z' {
                break;
            }
        }
        walk.quiet = at;
    }

    /// An error or notice: while masked values are about, nothing of it passes that may hold one; what passes is looked
    /// through.
    fn quiet_report(&mut self, tag: u8, body: &[u8]) -> Option<BytesMut> {
        let report = Report::read(body, "Report").ok()?;
        let withheld = match self.hushed {
            Hush::All => true,
            Hush::Data => tag == b'E' && texts::cites_data(&report),
            Hush::Nothing => false,
        };
        if !withheld {
            return texts::looked_at(tag, &report, self.tools.as_mut()?);
        }
        let mut quiet = BytesMut::new();
        texts::quiet(tag, &report, &mut quiet);
        let report = Report::read(quiet.get(HEADER_LEN..)?, "Report").ok()?;
        let looked_at = self.tools.as_mut().and_then(|tools| texts::looked_at(tag, &report, tools));
        Some(looked_at.unwrap_or(quiet))
    }

    /// A reported setting is looked through: somebody may have given it a value.
    fn looked_at_parameter(&mut self, body: &[u8]) -> Option<BytesMut> {
        let it = ParameterStatus::read(body).ok()?;
        let mut value = Vec::new();
        let seen = self.tools.as_mut()?.look(&Look::Text(None), 0, "", it.value, &mut value);
        (seen != Seen::Nothing)
            .then(|| parameter(it.name, if seen == Seen::Masked { &value } else { MASKED }))
    }

    /// The payload passes detection; while masked values are about, nothing of it passes.
    fn quiet_notification(&mut self, body: &[u8]) -> Option<BytesMut> {
        let it = Notification::read(body).ok()?;
        if it.payload.is_empty() {
            return None;
        }
        let mut payload = Vec::new();
        if self.hushed == Hush::All {
            payload.extend_from_slice(MASKED);
        } else {
            let tools = self.tools.as_mut()?;
            match tools.look(&Look::Text(None), 0, "", it.payload, &mut payload) {
                Seen::Nothing => return None,
                Seen::Masked => {}
                Seen::Null => payload.extend_from_slice(MASKED),
            }
        }
        let mut out = BytesMut::new();
        texts::notify(&it, &payload, &mut out);
        Some(out)
    }

    /// The result of a FunctionCall: of its type nothing is told, so a mask is NULL.
    fn masked_result(&mut self, body: &[u8]) -> Option<BytesMut> {
        let masking = self.flight.running.front_mut()?.masking.as_mut().filter(|m| m.needs_columns())?;
        let (length, value) = body.split_first_chunk::<4>()?;
        if i32::from_be_bytes(*length) < 0 {
            return None;
        }
        let named =
            masking.duty().columns.as_ref().is_some_and(|c| c.len() != 1 || c.iter().any(Option::is_some));
        let scan = masking.duty().scan;
        let mut found = || masking.tools.look(&Look::Opaque, 0, "", value, &mut Vec::new()) != Seen::Nothing;
        let masked = named || scan && found();
        if !masked {
            return None;
        }
        let mut out = BytesMut::new();
        firsthand_wire::postgres::encode::message(&mut out, b'V', |out| {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
        });
        Some(out)
    }

    /// The reply of the command in front cannot be masked: in place of the message of `len` bytes the client reads why,
    /// nothing more of it, and the target is made to undo the command as after a limit (`radius`). `None`: it can.
    pub(in crate::postgres) fn withhold(
        &mut self,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Step> {
        let refusal = self.flight.running.front_mut()?.masking.as_mut()?.take_refusal()?;
        self.flush(walk, out);
        let step = self.undo(&refusal, None, len, walk, out);
        out.push(Action::StopTarget);
        Some(step)
    }

    /// A command was permitted: what it means for texts from now on.
    pub(in crate::postgres) fn masking_begins(&mut self, running: &Running) {
        if self.tools.is_none()
            && let Some(plan) = running.permit.mask_plan()
            && plan.obligations.mask.texts
        {
            self.tools = plan.values.as_ref().map(super::Tools::new);
        }
        let Some(masking) = &running.masking else { return };
        self.masks = true;
        self.hushed = self.hushed.max(masking.duty().hush);
    }

    /// The transaction has ended: texts of what comes now hold no values of it.
    pub(in crate::postgres) fn masking_ends(&mut self) {
        let running = self.flight.running.iter().filter_map(|r| r.masking.as_ref());
        self.hushed = running.map(|m| m.duty().hush).max().unwrap_or_default();
    }

    /// Whether a portal's columns must be asked for before it is executed.
    pub(in crate::postgres) fn must_describe(&self, portal: Option<&Arc<Portal>>, running: &Running) -> bool {
        if !running.masking.as_ref().is_some_and(|m| m.needs_columns()) {
            return false;
        }
        match portal {
            None => true,
            Some(portal) => portal.row_columns().is_none() && !self.flight.describes(portal),
        }
    }
}

impl Running {
    /// Appends the message with its values masked; nothing, when it is withheld.
    fn masked(&mut self, tag: u8, body: &[u8], out: &mut Vec<u8>) {
        let Some(masking) = self.masking.as_mut().filter(|m| m.refusal.is_none()) else { return };
        let start = out.len();
        if body.len() > MASKED_ROW_MAX {
            return masking.refuse(too_long());
        }
        let Masking { tools, rows, copy, .. } = &mut **masking;
        let fed = match (tag, rows, copy) {
            (b'D', Some(plan), _) => rewrite(plan, tools, body, out).ok_or(Fault::Malformed),
            (b'd', _, Some(copy)) => {
                out.extend_from_slice(&[0; HEADER_LEN]);
                copy.feed(body, tools, out)
            }
            _ => Err(Fault::Malformed),
        };
        if tag == b'd' && fed.is_ok() {
            let written = out.len() - start;
            if written == HEADER_LEN {
                out.truncate(start);
            } else if let Some(header) = out.get_mut(start..start + HEADER_LEN) {
                header.copy_from_slice(&head(b'd', written - HEADER_LEN));
            }
        }
        if fed.is_err() {
            out.truncate(start);
        }
        let found = std::mem::take(&mut masking.tools.cells_found);
        if found > 0
            && self.delivery.is_some()
            && let Err(refusal) = self.permit.deliver(0, 0, found)
        {
            out.truncate(start);
            return masking.refuse(refusal);
        }
        masking.judge(fed);
    }
}

impl Masking {
    fn judge(&mut self, fed: Result<(), Fault>) {
        match fed {
            Ok(()) => {}
            Err(Fault::TooLong) => self.refuse(too_long()),
            Err(Fault::Malformed) => self.refuse(Refusal::new(
                RefusalKind::Unsupported,
                "Firsthand cannot mask this result, so the rest of it is withheld: it is not what was announced",
            )),
        }
    }
}

/// The one reported setting that holds any text, and that `set_config` can give a value of a row.
fn quiet_parameter(body: &[u8]) -> Option<BytesMut> {
    let it = ParameterStatus::read(body).ok().filter(|it| it.name == b"application_name")?;
    if it.value.is_empty() || it.value == MASKED {
        return None;
    }
    Some(parameter(it.name, MASKED))
}

fn parameter(name: &[u8], value: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    firsthand_wire::postgres::encode::message(&mut out, b'S', |out| {
        for part in [name, value] {
            out.extend(part.iter().filter(|b| **b != 0));
            out.extend_from_slice(&[0]);
        }
    });
    out
}

fn head(tag: u8, body: usize) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = u32::try_from(body + 4).unwrap_or(u32::MAX).to_be_bytes();
    [tag, a, b, c, d]
}

fn frame(tag: u8, body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&head(tag, body.len()));
    out.extend_from_slice(body);
}
