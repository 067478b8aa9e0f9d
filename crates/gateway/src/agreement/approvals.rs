//! Whether the state says of approvals what the record says. What the record says is over is ended (fail closed), and so is what
//! it does not know as asked or as given: nothing is spent by the state's word alone. Of a shared state, only what was done here is
//! compared: the rest stands in the records of others.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use firsthand_adapters::approvals::answer::wanted;
use firsthand_adapters::clock::wall;
use firsthand_adapters::state::approvals::{Row, Stage, Vote};
use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::reader::{ReadError, Reader};
use firsthand_auditlog::search::Search;
use firsthand_auditlog::search::query::Query;
use firsthand_model::json::Json;
use serde_json::{Map, Value, json};

use crate::assemble::Gateway;
use crate::desk::Desk;
use crate::failure::Failure;
use crate::reading::what;
use crate::weigh::state_failure;
use crate::who;

/// Open approvals compared: as many as may be open.
const COMPARED_MAX: u32 = 10_000;

/// What the record says of one.
#[derive(Default)]
struct Said {
    asked: bool,
    /// Ids of who approved it.
    given: HashSet<String>,
    over: Option<Stage>,
}

/// Compares what is open in the state, ends what must not be spent, and tells.
///
/// # Errors
/// When something must be ended and cannot be.
pub(crate) async fn compare(gateway: &Gateway) -> Result<(), Failure> {
    let (approvals, data) = (&gateway.approvals, gateway.data_dir());
    if !approvals.state().is_shared() && !data.join("state.db").exists() {
        return Ok(());
    }
    let rows = match approvals.state().approvals(false, COMPARED_MAX).await {
        Ok(rows) => rows,
        Err(e) if approvals.state().is_shared() => {
            tracing::error!("{e}: what is held is refused until it can be");
            return Ok(());
        }
        Err(e) => return Err(state_failure(&e)),
    };
    if rows.is_empty() {
        return Ok(());
    }
    let read = tokio::task::spawn_blocking(move || said(&data)).await;
    let (whole, said) = match read {
        Ok(Ok(said)) => (true, said),
        Ok(Err(e)) => {
            tracing::error!("what the record says of approvals cannot be read: {e}");
            (false, HashMap::new())
        }
        Err(_) => (false, HashMap::new()),
    };
    for row in rows {
        let votes = approvals.state().approval(&row.id).await.map_err(|e| state_failure(&e))?;
        let votes = votes.map(|(_, votes)| votes).unwrap_or_default();
        let found = match difference(approvals.log(), &row, &votes, said.get(&row.id)) {
            // Nothing that cannot be compared is spent.
            None if !whole && row.log == approvals.log() => Some(("not-in-record", Stage::Withdrawn)),
            found => found,
        };
        let Some((found, stage)) = found else { continue };
        approvals.state().correct(&row.id, stage, wall().0).await.map_err(|e| state_failure(&e))?;
        tracing::warn!("approval {}: {}; it is over now", row.id, sentence(found));
        tell(&gateway.desk, found, &row.id);
    }
    Ok(())
}

/// How an open approval differs, and as what it is ended.
fn difference(log: &str, row: &Row, votes: &[Vote], said: Option<&Said>) -> Option<(&'static str, Stage)> {
    if let Some(over) = said.and_then(|said| said.over) {
        return Some(("over-in-record", over));
    }
    if row.log == log && !said.is_some_and(|said| said.asked) {
        return Some(("not-in-record", Stage::Withdrawn));
    }
    let here = votes.iter().filter(|vote| vote.log == log).count();
    let given = said.map_or(0, |said| said.given.len());
    let wanted: u64 = wanted(row).iter().map(|w| w.quorum).sum();
    let all = u64::try_from(votes.len()).unwrap_or(0);
    let unfounded = here > given || row.stage == Stage::Given && all == 0 && wanted > 0;
    unfounded.then_some(("not-given-in-record", Stage::Withdrawn))
}

fn sentence(found: &str) -> &'static str {
    match found {
        "over-in-record" => "the record says that it ended, and the state did not",
        "not-given-in-record" => "the state says that it was approved, and nobody recorded that",
        _ => "the state has it, and nobody recorded that it was asked",
    }
}

fn tell(desk: &Desk, found: &str, id: &str) {
    let mut leaf = Map::new();
    leaf.insert("approval".to_owned(), json!(id));
    leaf.insert("done".to_owned(), Value::Bool(true));
    leaf.insert("found".to_owned(), json!(found));
    let leaf = what(&Value::Object(leaf));
    if let Err(failure) = desk.queue("admin.approval_differs", &who::own(&desk.keys), leaf, Json::default()) {
        tracing::error!(
            "that an approval is not as the record says is not recorded: {}",
            failure.messages.join("; ")
        );
    }
}

/// What the record says of all approvals.
fn said(data: &Path) -> Result<HashMap<String, Said>, ReadError> {
    let mut all: HashMap<String, Said> = HashMap::new();
    let reader = Reader::open(data, Arc::new(RealIo::new()))?;
    let Ok(query) = Query::parse("kind:approval", wall().0) else { return Ok(all) };
    let mut search = Search::new(&reader, &query)?;
    while let Some(found) = search.next()? {
        let Ok(fields) = Fields::read(&found.leaf) else { continue };
        let said = all.entry(fields.approval.to_string()).or_default();
        match fields.k.strip_prefix("approval.") {
            Some("asked") => said.asked = true,
            Some("given") => {
                let by = fields.by.as_ref().map(|by| by.id.to_string()).unwrap_or_default();
                said.given.insert(by);
            }
            Some(word) => said.over = Stage::ALL.into_iter().find(|stage| stage.word() == word),
            None => {}
        }
    }
    Ok(all)
}
