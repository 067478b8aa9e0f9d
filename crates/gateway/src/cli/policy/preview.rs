//! `firsthand policy explain --preview`: what a statement would change, tried at the target and taken back.

use std::sync::Arc;
use std::time::Duration;

use firsthand_adapters::clock::wall;
use firsthand_adapters::dialer::DirectDialer;
use firsthand_model::command::{Command, Step};
use firsthand_model::decision::Obligations;
use firsthand_model::json::Json;
use firsthand_model::masking::{MaskDuty, Style};
use firsthand_model::outcome::Transaction;
use firsthand_model::preview::{Original, Preview};
use firsthand_model::session::SessionFacts;
use firsthand_policy::detect::{Detector, ScannedValues};
use firsthand_policy::rules::Rules;
use firsthand_protocols::protocol::{Previewing, Probe};
use firsthand_protocols::registry::stream_protocol;
use firsthand_session::port::{Dialer, MaskPlan, Policy, Values};
use firsthand_sql::explain::Meant;
use serde_json::Value;
use tokio::time::timeout;

use crate::analyst::Analyst;
use crate::config::TargetConfig;
use crate::failure::Failure;
use crate::listen;
use crate::place::{Asking, Place};
use crate::show::preview::block;

/// All of it may take this long, as it may where a person is asked to approve.
const WITHIN: Duration = Duration::from_secs(10);

/// Tries the only statement of a text, in a session that has run others. That it is tried is recorded first.
///
/// # Errors
/// Why that cannot be recorded. What is in the way at the target is in the preview.
pub(super) fn of(
    place: &Place,
    target: &TargetConfig,
    (rules, analyst): (&Rules, &Analyst),
    session: &SessionFacts,
    (setup, sql): (&[String], &str),
) -> Result<Preview, Failure> {
    let Some(meant) = analyst.meant(setup, sql) else {
        return Ok(Preview::none("Nothing was tried: it is not one statement."));
    };
    place.note_asking(&Asking {
        command: "policy explain --preview".to_owned(),
        target: target.target.name.clone(),
        database: session.database.clone(),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("cannot start: {e}"), "check the limits of this process"))?;
    let session = session.with_role(&meant.role);
    let tried = async { timeout(WITHIN, tried(target, rules, &session, &meant)).await };
    Ok(match runtime.block_on(tried) {
        Ok(Ok(preview)) => preview,
        Ok(Err(why)) => Preview::none(format!("Nothing was tried: {why}.")),
        Err(_) => Preview::none("Nothing was tried: the target did not answer in time."),
    })
}

async fn tried(
    target: &TargetConfig,
    rules: &Rules,
    session: &SessionFacts,
    meant: &Meant,
) -> Result<Preview, String> {
    let credential = target.credential.read().map_err(|e| e.to_string())?;
    let link = listen::link(target, &mut None).map_err(|failure| failure.messages.join("; "))?;
    let protocol = stream_protocol(&target.target.protocol).ok_or("its protocol has no previews")?;
    let values: Arc<dyn Values> = {
        // Nothing becomes a token below, so there is no key.
        let detector = Arc::new(Detector::new());
        Arc::new(ScannedValues::new(detector, rules.label_masks(), &[0; 32]))
    };
    let masks = |schema: &str, table: &str, columns: &[&str]| {
        let duty = rules.masks_of_rows(session, (schema, table), columns, wall())?;
        let obligations = Arc::new(Obligations { mask: without_tokens(duty), ..Obligations::default() });
        Some(MaskPlan { obligations, values: Some(Arc::clone(&values)) })
    };
    let (command, original) = (command(meant), original(meant));
    let stream = DirectDialer.dial(&target.target).await.map_err(|e| e.to_string())?;
    let probe = Probe { stream, link, credential: &credential, database: &session.database };
    let with = Previewing { probe, session, command: &command, original: &original, masks: &masks };
    Ok(protocol.preview(with).await)
}

/// The labels stand in place of tokens: those are for who reads many rows.
fn without_tokens(mut duty: MaskDuty) -> MaskDuty {
    for mask in duty.columns.iter_mut().flatten().flatten() {
        if mask.style == Style::Token {
            mask.style = Style::Redact;
        }
    }
    duty
}

fn command(meant: &Meant) -> Command {
    Command {
        step: Step::Run,
        via: "simple",
        shape: Arc::clone(&meant.shape),
        text: meant.text.clone(),
        original_digest: None,
        original_bytes: meant.text.len() as u64,
        parameters_digest: None,
        parameters: Json::default(),
        claims: Json::default(),
        names: Json::default(),
        transaction: if meant.in_transaction { Transaction::Open } else { Transaction::Idle },
        coverage: Vec::new(),
        original: None,
        access: None,
    }
}

fn original(meant: &Meant) -> Original {
    Original {
        text: meant.text.clone().into_bytes(),
        parameters: Vec::new(),
        untried: meant.settings.is_none().then_some("what its session has set is not known"),
        settings: meant.settings.clone(),
        ..Original::default()
    }
}

/// For scripts.
pub(super) fn value(preview: &Preview) -> Value {
    serde_json::from_slice(preview.json().as_bytes()).unwrap_or(Value::Null)
}

/// For people.
pub(super) fn tell(preview: &Preview, out: &mut String) {
    for line in block(&value(preview)).lines() {
        out.push_str(&format!("  {line}\n"));
    }
}
