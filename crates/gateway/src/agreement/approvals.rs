//! Whether the state says of approvals what the record says. What the record says is over is ended (fail closed), and so is what
//! it does not know as asked or as given: nothing is spent by the state's word alone, and nothing before this was done. Of a
//! shared state, only what was done here can be compared: the rest stands in the records of others, and its seals are looked at.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firsthand_adapters::approvals::answer::wanted;
use firsthand_adapters::approvals::{Approvals, OVER_KEPT_US, trust};
use firsthand_adapters::clock::wall;
use firsthand_adapters::state::StateError;
use firsthand_adapters::state::approvals::{Listing, Row, Stage, Vote};
use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::entry::moment::rfc3339;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::reader::{ReadError, Reader};
use firsthand_auditlog::search::Search;
use firsthand_auditlog::search::query::Query;
use firsthand_model::json::Json;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::assemble::Gateway;
use crate::desk::Desk;
use crate::reading::what;
use crate::who;

/// Open approvals compared at a time.
const PAGE: u32 = 1_000;
/// How far back the record is read: what can still be spent was asked within the longest `ttl` and `spend` of rules, a week each.
const BACK_US: u64 = 15 * 24 * 3_600_000_000;
/// Pause before a state that could not be reached is looked at again.
const AGAIN: Duration = Duration::from_secs(2);

/// What the record says of one.
#[derive(Default)]
struct Said {
    /// What it is bound to, by which rule and with which quorum.
    asked: Option<(String, String, u64)>,
    /// Ids of who approved it.
    given: HashSet<String>,
    /// Ids of who broke its glass.
    broken: HashSet<String>,
    over: Option<Stage>,
}

type AllSaid = HashMap<String, Said>;

/// The digest of an `approval.asked`.
#[derive(Deserialize)]
struct Bound<'a> {
    #[serde(default, borrow)]
    digest: Cow<'a, str>,
}

/// Compares, and until that can be done tries again: what is held is refused meanwhile.
pub(crate) async fn agree(gateway: Arc<Gateway>) {
    let approvals = &gateway.approvals;
    let telling = Arc::clone(&gateway);
    approvals.on_difference(Box::new(move |id, found| tell(&telling.desk, found, id)));
    let mut is_told = false;
    while let Err(e) = compare(&gateway).await {
        if !is_told {
            tracing::error!("{e}: what is held is refused until it can be");
            is_told = true;
        }
        tokio::time::sleep(AGAIN).await;
    }
    if is_told {
        tracing::info!("the state of approvals is reached and compared with the record");
    }
    approvals.compared();
}

/// Compares what is open in the state, ends what must not be spent, and tells.
async fn compare(gateway: &Gateway) -> Result<(), StateError> {
    let (approvals, data) = (&gateway.approvals, gateway.data_dir());
    let state = approvals.state();
    if !state.is_shared() && !data.join("state.db").exists() {
        return Ok(());
    }
    let rows = open(approvals).await?;
    let mut votes: HashMap<String, Vec<Vote>> = HashMap::new();
    for (id, vote) in state.open_votes().await? {
        votes.entry(id).or_default().push(vote);
    }
    let spent = state.spent_here(approvals.log(), wall().0.saturating_sub(OVER_KEPT_US)).await?;
    // Read after the state: what the state had then, the record has.
    let read = tokio::task::spawn_blocking(move || said(&data)).await;
    let said = match read {
        Ok(Ok(said)) => Some(said),
        Ok(Err(e)) => {
            tracing::error!("what the record says of approvals cannot be read: {e}");
            None
        }
        Err(_) => None,
    };
    for row in rows {
        let votes = votes.remove(&row.id).unwrap_or_default();
        let Some((found, stage)) = difference(approvals, &row, &votes, said.as_ref()) else { continue };
        approvals.distrust(&row.id, found, stage).await?;
        tracing::warn!("approval {}: {}; it is over now", row.id, sentence(found));
    }
    let said = said.unwrap_or_default();
    for id in &spent {
        if !said.get(id).is_some_and(|said| said.over == Some(Stage::Spent)) {
            tracing::warn!("approval {id}: {}", sentence(trust::SPENT_NOT_IN_RECORD));
            approvals.tell_difference(id, trust::SPENT_NOT_IN_RECORD);
        }
    }
    state.looked_for(approvals.log()).await?;
    approvals.known_over(said.into_iter().filter(|(_, said)| said.over.is_some()).map(|(id, _)| id));
    Ok(())
}

/// All that is open, without what is shown of each.
async fn open(approvals: &Approvals) -> Result<Vec<Row>, StateError> {
    let (mut all, mut listing) = (Vec::new(), Listing { most: PAGE, ..Listing::default() });
    loop {
        let page = approvals.state().approvals(&listing).await?;
        let Some(last) = page.last() else { return Ok(all) };
        listing.after = Some((last.asked, last.id.clone()));
        all.extend(page);
    }
}

/// How an open approval differs, and as what it is ended. `all`: what the record says, where it could be read.
fn difference(
    approvals: &Approvals,
    row: &Row,
    votes: &[Vote],
    all: Option<&AllSaid>,
) -> Option<(&'static str, Stage)> {
    let log = approvals.log();
    let said = all.and_then(|all| all.get(&row.id));
    if let Some(over) = said.and_then(|said| said.over) {
        return Some((trust::OVER_IN_RECORD, over));
    }
    let here = row.log == log;
    match said.and_then(|said| said.asked.as_ref()) {
        // Nothing that cannot be compared is spent.
        None if here => return Some((trust::NOT_IN_RECORD, Stage::Withdrawn)),
        Some(asked) if here && *asked != terms(row) => {
            return Some((trust::BOUND_OTHERWISE, Stage::Withdrawn));
        }
        _ => {}
    }
    let cast = votes.iter().filter(|vote| vote.log == log).count();
    let broke = votes.iter().filter(|vote| vote.log == log && vote.glass).count();
    if cast > said.map_or(0, |said| said.given.union(&said.broken).count())
        || broke > said.map_or(0, |said| said.broken.len())
    {
        return Some((trust::NOT_GIVEN, Stage::Withdrawn));
    }
    let found = approvals.doubt(row, votes)?;
    // A gateway with other keys may have asked it; it is not spent here either way.
    let anothers = found == trust::SEALED_OTHERWISE && approvals.may_be_anothers(row);
    (!anothers).then_some((found, Stage::Withdrawn))
}

/// What it is bound to, by which rule and with which quorum, as the state has it.
fn terms(row: &Row) -> (String, String, u64) {
    let listed: Value = serde_json::from_str(&row.listed).unwrap_or_default();
    let rule = listed.get("rule").and_then(Value::as_str).unwrap_or_default();
    (row.binding.clone(), rule.to_owned(), wanted(row).iter().map(|w| w.quorum).sum())
}

fn sentence(found: &str) -> &'static str {
    match found {
        trust::OVER_IN_RECORD => "the record says that it ended, and the state did not",
        trust::NOT_GIVEN => "the state says that it was approved, and nobody recorded that, or too few",
        trust::SIGNER_NOT_CONFIGURED => {
            "it was signed by a key that is in no [[approver_key]] of its approver any more"
        }
        trust::BOUND_OTHERWISE => "the state binds it to something else than what the record says was asked",
        trust::SEALED_OTHERWISE => "it was changed in the state by something else than a gateway",
        trust::SPENT_NOT_IN_RECORD => "it was spent, and the record does not say by which command",
        _ => "the state has it, and nobody recorded that it was asked",
    }
}

fn tell(desk: &Desk, found: &str, id: &str) {
    let mut leaf = Map::new();
    leaf.insert("approval".to_owned(), json!(id));
    if found != trust::SPENT_NOT_IN_RECORD {
        leaf.insert("done".to_owned(), Value::Bool(true));
    }
    leaf.insert("found".to_owned(), json!(found));
    let leaf = what(&Value::Object(leaf));
    if let Err(failure) = desk.queue("admin.approval_differs", &who::own(&desk.keys), leaf, Json::default()) {
        tracing::error!(
            "that an approval is not as the record says is not recorded: {}",
            failure.messages.join("; ")
        );
    }
}

/// What the record says of approvals.
fn said(data: &Path) -> Result<AllSaid, ReadError> {
    let mut all: AllSaid = HashMap::new();
    let reader = Reader::open(data, Arc::new(RealIo::new()))?;
    let since = rfc3339(wall().0.saturating_sub(BACK_US));
    for kind in ["approval", "grant"] {
        let Ok(query) = Query::parse(&format!("kind:{kind} since:{since}"), wall().0) else { continue };
        let mut search = Search::new(&reader, &query)?;
        while let Some(found) = search.next()? {
            if let Ok(fields) = Fields::read(&found.leaf) {
                hear(&mut all, &fields, found.leaf.as_ref());
            }
        }
    }
    Ok(all)
}

/// Takes in what one entry says.
fn hear(all: &mut AllSaid, fields: &Fields<'_>, leaf: &[u8]) {
    let (id, words) = match fields.k.split_once('.') {
        Some(("grant", word)) => (&fields.grant, word),
        Some((_, word)) => (&fields.approval, word),
        None => return,
    };
    // An answer that did not count changes nothing.
    if words == "answer_refused" {
        return;
    }
    let said = all.entry(id.to_string()).or_default();
    let over = match words {
        "asked" => {
            let bound = serde_json::from_slice::<Bound<'_>>(leaf);
            let digest = bound.map(|bound| bound.digest.into_owned()).unwrap_or_default();
            said.asked = Some((digest, fields.rule.to_string(), fields.quorum.unwrap_or(0)));
            return;
        }
        "given" | "glass_broken" => {
            let by = fields.by.as_ref().map(|by| by.id.to_string()).unwrap_or_default();
            if words == "given" {
                said.given.insert(by)
            } else {
                said.broken.insert(by)
            };
            return;
        }
        // What is used up is in force until its time is over: nothing more runs under it, and what has begun goes on.
        "previewed" | "used_up" => return,
        "ended" => Some(Stage::Expired),
        "revoked" => Some(Stage::Withdrawn),
        word => Stage::ALL.into_iter().find(|stage| stage.word() == word),
    };
    // What was spent stays so, whatever else was tried of it.
    said.over = if said.over == Some(Stage::Spent) { said.over } else { over };
}
