//! What people weigh: approvals as they are listed and shown, what their session did before, and the answer. The same for the
//! API and for a command line that has the data folder to itself.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firsthand_adapters::approvals::Approvals;
use firsthand_adapters::approvals::answer::{AnswerError, Answered, Say, wanted};
use firsthand_adapters::approvals::glass;
use firsthand_adapters::approvals::grants::state_word;
use firsthand_adapters::approvals::original;
use firsthand_adapters::approvals::signing::{self, SignatureError};
use firsthand_adapters::clock::wall;
use firsthand_adapters::state::StateError;
use firsthand_adapters::state::approvals::{Listing, Row, Sort, Stage, Vote};
use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::entry::moment::rfc3339;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::reader::{ReadError, Reader};
use firsthand_auditlog::search::Search;
use firsthand_auditlog::search::query::Query;
use firsthand_model::event::By;
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::desk::Desk;
use crate::failure::Failure;
use crate::place::reading_leaf;
use crate::reading::what;

/// Approvals listed at a time, the newest; the next ones have to be asked for.
const LISTED_MAX: u32 = 500;
/// Commands of the session before the one that is held.
const BEFORE_MAX: usize = 10;
/// Characters of each.
const BEFORE_TEXT: usize = 500;
/// How far back they are looked for, in µs: a session that began earlier shows what it did in this time.
const BACK_US: u64 = 24 * 3_600_000_000;
/// How long that may take: an approver does not wait for a long log.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// What the record calls the showing of an original.
const ORIGINAL: &str = "approvals show --original";

/// What a state that cannot be reached means to who asks.
pub(crate) fn state_failure(e: &StateError) -> Failure {
    Failure::later(
        e.to_string(),
        "look at the disk of the data folder, or at the database that [state] names",
    )
    .there()
}

/// Nothing of this sort has this id.
pub(crate) fn unknown(sort: Sort, id: &str) -> Failure {
    let id: String = id.chars().take(64).collect();
    let (noun, list) = match sort {
        Sort::Command => ("approval", "firsthand approvals list shows those that wait"),
        Sort::Grant => ("grant", "firsthand grants list --all shows them"),
    };
    Failure::new(format!("there is no {noun} `{}`", id.escape_debug()), list)
}

/// A page of a list: approvals, and what to ask for the next one by.
pub(crate) struct Page {
    pub(crate) approvals: Vec<Value>,
    pub(crate) next: Option<String>,
}

/// Those that are open, or all, behind a place; `of`: of these names only, as they are compared.
pub(crate) async fn list(
    approvals: &Approvals,
    (sort, of): (Sort, Option<Vec<String>>),
    all: bool,
    after: Option<&str>,
) -> Result<Page, Failure> {
    let after = after.map(|after| place(after).ok_or_else(|| no_place(after))).transpose()?;
    let listing = Listing { sort: Some(sort), ended_too: all, of, after, most: LISTED_MAX };
    let rows = approvals.state().approvals(&listing).await.map_err(|e| state_failure(&e))?;
    let rows: Vec<Row> = rows.into_iter().map(|row| approvals.as_known(row)).collect();
    let is_full = rows.len() >= usize::try_from(LISTED_MAX).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| is_full).map(|row| format!("{}-{}", row.asked, row.id));
    let beside = beside(approvals, sort).await?;
    Ok(Page { approvals: rows.iter().map(|row| described(row, None, &beside)).collect(), next })
}

/// The place that `next` of a page names.
fn place(after: &str) -> Option<(u64, String)> {
    let (asked, id) = after.split_once('-')?;
    Some((asked.parse().ok()?, id.to_owned()))
}

fn no_place(after: &str) -> Failure {
    let after: String = after.chars().take(64).collect();
    Failure::usage(
        format!("`{}` is no place in a list", after.escape_debug()),
        "give `next` of the page before",
    )
}

/// One, without what its session did before.
pub(crate) async fn show(approvals: &Approvals, sort: Sort, id: &str) -> Result<Value, Failure> {
    let found = approvals.state().approval(id).await.map_err(|e| state_failure(&e))?;
    let found = found.filter(|(row, _)| Sort::of(&row.id) == sort);
    let (row, votes) = found.ok_or_else(|| unknown(sort, id))?;
    let row = approvals.as_known(row);
    Ok(described(&row, Some(&votes), &beside(approvals, sort).await?))
}

/// What stands beside the rows in the state, by their ids.
#[derive(Default)]
pub(crate) struct Beside {
    /// How many commands grants have had that are for so many.
    uses: Vec<(String, u64)>,
    /// Who broke the glass.
    broken: Vec<(String, String)>,
}

async fn beside(approvals: &Approvals, sort: Sort) -> Result<Beside, Failure> {
    let state = approvals.state();
    let found = match sort {
        Sort::Grant => state.uses().await.map(|uses| Beside { uses, ..Beside::default() }),
        Sort::Command => state.broken_glass().await.map(|broken| Beside { broken, ..Beside::default() }),
    };
    found.map_err(|e| state_failure(&e))
}

/// What one says as it will run, for who may see that: first the record has that it is shown.
pub(crate) async fn original(
    approvals: &Approvals,
    desk: &Desk,
    config: Option<&Config>,
    id: &str,
    by: &By,
) -> Result<Value, Failure> {
    if Sort::of(id) != Sort::Command {
        approvals.turned_away_unknown(id, by, original::ORIGINAL);
        return Err(unknown(Sort::Command, id));
    }
    let right = config.and_then(|config| config.policy.as_ref()?.originals.as_deref());
    let original = approvals.original(id, by, right).await.map_err(|e| not_answered(id, &e))?;
    desk.record("record.read", by, reading_leaf(ORIGINAL), what(&json!({ "approval": id }))).await?;
    Ok(original)
}

/// What somebody says, and with which signature.
#[derive(Clone, Copy)]
pub(crate) struct Saying<'a> {
    pub(crate) say: Say,
    pub(crate) reason: &'a str,
    pub(crate) signature: Option<&'a str>,
}

impl<'a> Saying<'a> {
    pub(crate) const fn unsigned(say: Say, reason: &'a str) -> Self {
        Self { say, reason, signature: None }
    }
}

/// Approves or refuses, or breaks the glass.
pub(crate) async fn answer(
    approvals: &Approvals,
    (sort, id): (Sort, &str),
    by: &By,
    saying: Saying<'_>,
) -> Result<Value, Failure> {
    if Sort::of(id) != sort {
        approvals.turned_away_unknown(id, by, saying.say.word());
        return Err(unknown(sort, id));
    }
    let Saying { say, reason, signature } = saying;
    let answered = approvals.answer_signed(id, by, say, reason, signature).await;
    let Answered { stage, given, quorum } = answered.map_err(|e| not_answered(id, &e))?;
    Ok(json!({ "id": id, "state": stage.word(), "given": given, "quorum": quorum }))
}

pub(crate) fn not_answered(id: &str, e: &AnswerError) -> Failure {
    let is_grant = Sort::of(id) == Sort::Grant;
    let hint = match e {
        AnswerError::Unknown(_) | AnswerError::NotTheirs(_) => return unknown(Sort::of(id), id),
        AnswerError::State(e) => return state_failure(e),
        AnswerError::NotRecorded(_) => {
            let hint = "look at the disk of the data folder; /readyz says how the log is";
            return Failure::later(e.to_string(), hint).there();
        }
        AnswerError::Over { .. } | AnswerError::Changed(_) if is_grant => {
            "firsthand grants list --all shows how they stand; more time is a new request"
        }
        AnswerError::Over { .. } => {
            "firsthand approvals list shows those that wait; the statement has to be sent again to ask anew"
        }
        AnswerError::NoPerson(_) => "use a token of --kind human with --role approver",
        AnswerError::Own(_) => "somebody else of the group must approve it",
        AnswerError::NotInGroup { .. } => {
            "the policy's [[group]] lists its members by name; a user of this machine is local:NAME there"
        }
        AnswerError::NoRight(_) => {
            "`originals` in [policy] names the group of those who do; what is masked is shown to all who approve"
        }
        AnswerError::NoGlass(_) => {
            "`break_glass` of the rule's `approve` names groups that may; else people of its group must approve it"
        }
        AnswerError::NotForGlass { .. } => {
            "the policy's [[group]] lists its members by name; people of the rule's own group can approve it"
        }
        AnswerError::NoReason => {
            return Failure::usage(e.to_string(), "--reason TEXT; the record and all channels have it");
        }
        AnswerError::NotShown(_) => "use their own token, or the command line on the gateway's machine",
        AnswerError::Signature(SignatureError::Missing) => {
            "firsthand approvals approve ID --sign signs with a key of your own; no channel can (docs/approvals.md)"
        }
        AnswerError::Signature(SignatureError::Hidden) => "leave it out of the reason, and sign again",
        AnswerError::Signature(SignatureError::NotTheirs { .. }) => {
            "an administrator lists it in an [[approver_key]] of firsthand.toml, for the name that counts in the rule's group"
        }
        AnswerError::Signature(SignatureError::Unfit(_)) => {
            "sign the text of this approval, this answer and this reason: firsthand approvals approve ID --sign does"
        }
        AnswerError::Contained(_) => "firsthand contain list shows since when and why",
        AnswerError::Twice(_) => "ask somebody else of the group",
        AnswerError::Changed(_) => {
            "the statement has to be sent again to ask anew; gateways that share a state need the same keys (docs/approvals.md)"
        }
        AnswerError::NotCompared => {
            let hint = "try again in a moment; the gateway's messages say why, where it stays so";
            return Failure::later(e.to_string(), hint).there();
        }
        AnswerError::Long => return Failure::usage(e.to_string(), "say it in fewer words"),
    };
    Failure::new(e.to_string(), hint)
}

/// What is shown of a yes.
fn yes(vote: &Vote) -> Value {
    let groups: Value = serde_json::from_str(&vote.teams).unwrap_or_default();
    json!({
        "by": vote.person, "at": rfc3339(vote.at), "groups": groups, "reason": vote.reason, "break_glass": vote.glass,
        "signed_with": vote.signed.as_ref().and_then(signing::fingerprint),
    })
}

/// Who broke its glass, and who may; what it is bound to, and whether answers must be signed.
fn of_commands(row: &Row, votes: Option<&[Vote]>, beside: &Beside) -> [(&'static str, Value); 4] {
    let voted = votes.into_iter().flatten().find(|vote| vote.glass).map(|vote| &vote.person);
    let listed = beside.broken.iter().find(|(id, _)| *id == row.id).map(|(_, person)| person);
    [
        ("break_glass", json!(glass::groups(row))),
        ("broken_by", json!(voted.or(listed))),
        ("digest", json!(row.binding)),
        ("signed", json!(signing::is_demanded(row))),
    ]
}

/// What is shown of it: all there is, with its votes, or as in a list. Of what is over, the state has no more than lists show.
pub(crate) fn described(row: &Row, votes: Option<&[Vote]>, beside: &Beside) -> Value {
    let now = wall().0;
    let stage = if row.stage.is_open() && row.ends <= now { Stage::Expired } else { row.stage };
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let groups: Vec<Value> =
        wanted(row).into_iter().map(|w| json!({ "group": w.group, "quorum": w.quorum })).collect();
    let given: Vec<Value> = votes.into_iter().flatten().map(yes).collect();
    let mut out = match parsed(if row.about.is_empty() { &row.listed } else { &row.about }) {
        Value::Object(about) => about,
        _ => Map::new(),
    };
    let ended = (row.ended > 0).then(|| rfc3339(row.ended));
    for (key, value) in [
        ("id", json!(row.id)),
        ("state", json!(stage.word())),
        ("session", json!(row.session)),
        ("command", json!(row.command)),
        ("asked", json!(rfc3339(row.asked))),
        ("until", json!(rfc3339(row.ends))),
        ("ended", json!(ended)),
        ("needs", json!(groups)),
        ("people", parsed(&row.people)),
        ("answer", json!(row.reason)),
    ] {
        out.insert(key.to_owned(), value);
    }
    if Sort::of(&row.id) == Sort::Command {
        out.extend(of_commands(row, votes, beside).map(|(key, value)| (key.to_owned(), value)));
    } else {
        let used = beside.uses.iter().find(|(id, _)| *id == row.id).map_or(0, |(_, used)| *used);
        out.insert("state".to_owned(), json!(state_word(row, used)));
        out.insert("used".to_owned(), json!(used));
    }
    if votes.is_some() {
        out.insert("approved".to_owned(), json!(given));
        out.insert("preview".to_owned(), parsed(&row.preview));
    }
    Value::Object(out)
}

/// Adds what the session did before, as the record tells it. Where that takes too long, it is said not to be known.
pub(crate) async fn add_before(data: &Path, approval: &mut Value) {
    let text = |key: &str| approval.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (data, session, asked) = (data.to_path_buf(), text("session"), text("asked"));
    let number = approval.get("command").and_then(Value::as_u64).unwrap_or(0);
    let looking = tokio::task::spawn_blocking(move || before(&data, &session, number, &asked));
    let found = match tokio::time::timeout(LOOK_MAX, looking).await {
        Ok(Ok(Ok(found))) => json!(found),
        Ok(Ok(Err(_)) | Err(_)) | Err(_) => Value::Null,
    };
    if let Value::Object(approval) = approval {
        approval.insert("before".to_owned(), found);
    }
}

fn before(data: &Path, session: &str, number: u64, asked: &str) -> Result<Vec<Value>, ReadError> {
    let since = firsthand_auditlog::entry::moment::parse(asked).unwrap_or(0).saturating_sub(BACK_US);
    let expression = format!("kind:command.decided session:{session} since:{}", rfc3339(since));
    let Ok(query) = Query::parse(&expression, wall().0) else { return Ok(Vec::new()) };
    let reader = Reader::open(data, Arc::new(RealIo::new()))?;
    let mut search = Search::new(&reader, &query)?;
    let mut last = VecDeque::with_capacity(BEFORE_MAX + 1);
    while let Some(found) = search.next()? {
        let Ok(fields) = Fields::read(&found.leaf) else { continue };
        let at = fields.cmd.unwrap_or(u64::MAX);
        if at >= number {
            break;
        }
        let payload: Value =
            found.payload.clear().and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
        let statement = payload.get("text").and_then(Value::as_str).unwrap_or_default();
        let statement: String = statement.chars().take(BEFORE_TEXT).collect();
        last.push_back(json!({
            "command": at, "at": fields.t, "verdict": fields.verdict, "rule": fields.rule, "statement": statement,
        }));
        if last.len() > BEFORE_MAX {
            last.pop_front();
        }
    }
    Ok(last.into())
}
