//! A write as it came, for whoever has to find out what it would change (`preview`): its text and values before anything of
//! them is replaced for the record, and the settings that its session has.

use std::sync::Arc;

use firsthand_model::command::Step;
use firsthand_model::outcome::Transaction;
use firsthand_model::preview::{Original, Parameter};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frame::HEADER_LEN;
use firsthand_wire::postgres::frontend::Bind;

use super::batch::What;
use super::dialect::PostgresDialect;

/// What is not tried; whoever is asked reads it.
const NO_WRITE: &str = "it is no INSERT, UPDATE, DELETE or MERGE";
const TOGETHER: &str = "it was sent together with others, whose changes nobody else sees";
const BEHIND: &str = "others were under way when it came, whose changes nobody else sees";
const IN_TRANSACTION: &str = "its session is in a transaction, whose changes nobody else sees";
const SETTINGS: &str = "what its session has set is not known";
const APART: &str = "its values came apart from it";

impl PostgresDialect {
    /// The batch's command as it came. `None`: nobody is ever asked about it (nothing is known of what statements mean here, or
    /// it only reads), or there is none.
    pub(super) fn as_it_came(&mut self) -> Option<Arc<Original>> {
        let executed = self.executed;
        let runs = |plan: &&super::batch::Plan| plan.step == Step::Run && !plan.shape.plain_read;
        let plan = self.batch.plans.iter().find(runs)?;
        let knowing = self.knowing.as_ref()?;
        self.executed = true;
        let untried = |why| Some(Arc::new(Original { untried: Some(why), ..Original::default() }));
        if self.batch.plans.len() > 1 {
            return untried(TOGETHER);
        }
        if !matches!(plan.shape.tag.as_str(), "INSERT" | "UPDATE" | "DELETE" | "MERGE") {
            return untried(NO_WRITE);
        }
        if self.transaction != Transaction::Idle {
            return untried(IN_TRANSACTION);
        }
        if executed || !self.flight.is_idle() {
            return untried(BEHIND);
        }
        let Some(settings) = knowing.settings_in_force() else { return untried(SETTINGS) };
        let Some((text, parameters)) = self.text_and_values() else { return untried(APART) };
        Some(Arc::new(Original { text, parameters, settings, untried: None }))
    }

    /// Of the only command of the batch. `None`: they did not come with it.
    fn text_and_values(&self) -> Option<(Vec<u8>, Vec<Parameter>)> {
        let command = self.batch.plans.first()?.command.as_ref()?;
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
