//! Commands as they came, for whoever has to say yes to them: what decides what they mean besides their own text (what their
//! session has set, what was sent together with them), which an approval is bound to; and of a write alone its text and
//! values before anything of them is replaced for the record, to find out what it would change (`preview`).

use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use firsthand_model::command::{Command, Step};
use firsthand_model::outcome::Transaction;
use firsthand_model::preview::{Definitions, Original, Parameter, Vain};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frame::HEADER_LEN;
use firsthand_wire::postgres::frontend::Bind;

use super::batch::{Plan, What};
use super::dialect::PostgresDialect;
use super::role::Change;

/// What is not tried; whoever is asked reads it.
const NO_WRITE: &str = "it is no INSERT, UPDATE, DELETE or MERGE";
const TOGETHER: &str = "it was sent together with others, whose changes nobody else sees";
const BEHIND: &str = "others were under way when it came, whose changes nobody else sees";
const IN_TRANSACTION: &str = "its session is in a transaction, whose changes nobody else sees";
const SETTINGS: &str = "what its session has set cannot be told";
const APART: &str = "its values came apart from it";

/// Settings that say nothing of what a command does, nor of what it would change.
const MEANINGLESS: &[&str] = &[
    "client_min_messages",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "jit",
    "lock_timeout",
    "plan_cache_mode",
    "statement_timeout",
    "transaction_timeout",
];

impl PostgresDialect {
    /// Gives the commands of the batch what they came with. Nothing where nobody is asked about any of them: nothing is known of
    /// what statements mean here, or the rules hold nothing that does what they do.
    pub(super) fn as_they_came(&mut self) {
        let runs = |plan: &&Plan| plan.step == Step::Run;
        let mut held = self.batch.plans.iter().filter(runs);
        if self.knowing.as_ref().is_some_and(|knowing| held.any(|plan| knowing.may_hold(&plan.shape))) {
            self.attach_originals();
        }
        self.executed |= self.batch.plans.iter().filter(runs).any(|plan| !plan.shape.plain_read);
    }

    fn attach_originals(&mut self) {
        let Some(knowing) = &self.knowing else { return };
        let marks = self.batch.plans.iter().filter(|plan| plan.pending.is_something()).count();
        let settings = knowing.settings_before(marks).map(meaningful);
        let definitions = Some(knowing.definitions() as Arc<dyn Definitions>);
        let (untried, text, parameters) = match self.text_and_values(settings.is_some()) {
            Ok((text, parameters)) => (None, text, parameters),
            Err(why) => (Some(why), Vec::new(), Vec::new()),
        };
        let original =
            Arc::new(Original { text, parameters, settings, definitions, untried, ..Original::default() });
        let (mut before, several, vain) = (None, self.batch.plans.len() > 1, self.in_vain());
        let commands = self.batch.plans.iter_mut().map(|plan| plan.command.as_mut());
        for (command, vain) in commands.zip(vain).filter_map(|(command, vain)| Some((command?, vain))) {
            let hides = command.original_digest.is_some();
            command.original = Some(match (before, vain) {
                (None, None) if !hides => Arc::clone(&original),
                _ => Arc::new(Original { before, hides, vain, ..Original::clone(&original) }),
            });
            if several {
                before = Some(and(before, command));
            }
        }
    }

    /// Of each command, why it would be in vain to ask a person about it.
    fn in_vain(&self) -> Vec<Option<Vain>> {
        let mut failed = self.transaction == Transaction::Failed;
        let several: Vec<&Range<usize>> = self
            .batch
            .items
            .iter()
            .filter_map(|item| match &item.what {
                What::Query(range) if range.len() > 1 => Some(range),
                _ => None,
            })
            .collect();
        let of = |(index, plan): (usize, &Plan)| {
            failed &= !matches!(plan.change, Change::End { .. } | Change::RollbackTo);
            if failed {
                return Some(Vain::Failed);
            }
            let with = several.iter().find(|range| range.contains(&index));
            let with = with.and_then(|range| self.batch.plans.get((*range).clone())).unwrap_or_default();
            self.is_uncounted(plan, with).then_some(Vain::Uncounted)
        };
        self.batch.plans.iter().enumerate().map(of).collect()
    }

    /// Of the only command of the batch, where it may be tried; why not, otherwise.
    fn text_and_values(&self, settled: bool) -> Result<(Vec<u8>, Vec<Parameter>), &'static str> {
        let [plan] = self.batch.plans.as_slice() else { return Err(TOGETHER) };
        if !matches!(plan.shape.tag.as_str(), "INSERT" | "UPDATE" | "DELETE" | "MERGE") {
            return Err(NO_WRITE);
        }
        if self.transaction != Transaction::Idle {
            return Err(IN_TRANSACTION);
        }
        if self.executed || !self.flight.is_idle() {
            return Err(BEHIND);
        }
        if !settled {
            return Err(SETTINGS);
        }
        self.sent(plan).ok_or(APART)
    }

    /// The text and the values of a command. `None`: they did not come with it.
    fn sent(&self, plan: &Plan) -> Option<(Vec<u8>, Vec<Parameter>)> {
        let command = plan.command.as_ref()?;
        let as_recorded = || command.original_digest.is_none().then(|| command.text.clone().into_bytes());
        let mut at = 0;
        for item in &self.batch.items {
            let message = self.batch.bytes.message(at, item.len);
            at += item.len;
            let body = message.get(HEADER_LEN..).unwrap_or_default();
            match &item.what {
                What::Query(_) => return Some((body.strip_suffix(b"\0")?.to_vec(), Vec::new())),
                What::Bind(portal) if item.owner == Some(0) => {
                    let statement = portal.statement.as_ref()?;
                    let source = statement.source().map(|(text, _)| text.to_vec());
                    let bind = Bind::read(body).ok()?;
                    let parameters =
                        bind.parameters().enumerate().map(|(index, (format, value))| Parameter {
                            type_number: statement.parameter_type(index),
                            binary: format == Format::Binary,
                            value: value.map(<[u8]>::to_vec),
                        });
                    return Some((source.or_else(as_recorded)?, parameters.collect()));
                }
                _ => {}
            }
        }
        None
    }
}

fn meaningful(mut settings: Vec<(String, String)>) -> Vec<(String, String)> {
    settings.retain(|(name, _)| !MEANINGLESS.iter().any(|it| name.eq_ignore_ascii_case(it)));
    settings
}

/// What runs before the next one: that, and this command.
fn and(before: Option<[u8; 32]>, command: &Command) -> [u8; 32] {
    let text = command.original_digest.unwrap_or_else(|| super::text::sha256(command.text.as_bytes()));
    let values = command.parameters_digest.unwrap_or_default();
    let mut out = [0; 32];
    let all = digest(&SHA256, &[before.unwrap_or_default(), text, values].concat());
    out.iter_mut().zip(all.as_ref()).for_each(|(to, from)| *to = *from);
    out
}
