//! Whether the file of tokens says what the record says. An act on a token is recorded first and done then; a crash between
//! the two, a file brought back from a backup or one that was changed by hand leave them apart. So they are compared before a
//! gateway listens and before it takes a file that it reads again. What the record says ended is ended (fail closed); the rest
//! is said, on stderr and in the record, once. The same is done with the file of what is contained (`contained.rs`).

pub(crate) mod approvals;
mod contained;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use firsthand_adapters::clock::wall;
use firsthand_adapters::identity::store::TokenStore;
use firsthand_adapters::identity::token::Token;
use firsthand_adapters::record::kind_letter;
use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::keys::KeyStore;
use firsthand_auditlog::reader::{Place, ReadError, Reader};
use firsthand_auditlog::search::Found;
use firsthand_auditlog::search::tokens::{about_tokens, is_about};
use firsthand_model::identity::IdentityKind;
use firsthand_model::json::Json;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::desk::{Desk, store_failure, token_leaf, token_payload};
use crate::failure::Failure;
use crate::reading::what;
use crate::show::clean;
use crate::who;

/// The kind of entry that is written here.
const DIFFERS: &str = "identity.token_differs";
/// Differences told one by one. A file of another data folder has as many as it has tokens.
const TOLD_MAX: usize = 1_000;

/// What the record says of one token.
#[derive(Default)]
struct Said {
    made: Option<Value>,
    /// It came by exchange or by signing in and has ended: the file forgets it then.
    forgotten: bool,
    /// Its making was recorded, and then that it failed.
    unmade: bool,
    revoked: bool,
    /// Differences that were told before.
    told: Vec<String>,
    /// As the entry about its making tells it, where that can be read.
    detail: Value,
}

/// Compares, revokes what the record says ended, and tells.
///
/// # Errors
/// What ended cannot be revoked: then nothing may be let in by this file.
pub(crate) fn compare(data: &Path, tokens: &TokenStore, desk: &Desk) -> Result<(), Failure> {
    let (mut said, mut contained) = (HashMap::new(), HashMap::new());
    let whole = read(data, &mut said, &mut contained);
    if let Err(e) = &whole {
        tracing::error!("what the record says of tokens cannot be read, so it was compared in part: {e}");
        // A damaged place hides nothing of what stands behind it: above all not that a token ended.
        said.clear();
        contained.clear();
        read_around(data, &mut said, &mut contained);
    }
    contained::compare(desk, &contained, whole.is_ok());
    let mut differences = 0;
    let mut tell = |found: &'static str, done: bool, tok: &str, detail: Json, name: &str| {
        differences += 1;
        if differences <= TOLD_MAX {
            tell(desk, found, done, tok, detail);
            tracing::warn!("token {}: {}", clean::line(name), sentence(found));
        }
    };
    for token in tokens.list() {
        let tok = desk.keys.identity_id(kind_letter(IdentityKind::Token), &token.id);
        let said = said.remove(&tok);
        if said.is_none() && whole.is_err() {
            continue;
        }
        let Some((found, ends)) = difference(&desk.keys, &token, said.as_ref()) else { continue };
        if ends {
            tokens.revoke(&token.id, wall()).map_err(|e| must_end(&token, store_failure(e)))?;
        }
        if ends || !said.is_some_and(|said| said.told.iter().any(|told| told == found)) {
            tell(found, ends, &tok, token_payload(&token), &token.name);
        }
    }
    for (tok, said) in said {
        let found = "not-in-file";
        let here = said.made.is_some() && !said.unmade && !said.revoked && !said.forgotten;
        if here && !said.told.iter().any(|t| t == found) {
            let name = said.detail.get("login").and_then(Value::as_str).unwrap_or(&tok);
            tell(found, false, &tok, what(&said.detail), name);
        }
    }
    if differences > TOLD_MAX {
        tracing::warn!("{differences} tokens are not as the record says; {TOLD_MAX} of them were told");
    }
    Ok(())
}

fn must_end(token: &Token, failure: Failure) -> Failure {
    let name = clean::line(&token.name);
    let first =
        format!("the record says that token {name} ended, and the file does not, and cannot be changed");
    Failure { messages: [vec![first], failure.messages].concat(), ..failure }
}

/// How a token in the file differs, and whether it is revoked for that.
fn difference(keys: &KeyStore, token: &Token, said: Option<&Said>) -> Option<(&'static str, bool)> {
    let Some(said) = said.filter(|said| said.made.is_some() || said.revoked) else {
        return Some(("not-in-record", false));
    };
    let holds = token.revoked.is_none();
    let facts: Option<Value> = serde_json::from_slice(token_leaf(keys, token).as_bytes()).ok();
    match said {
        Said { revoked: true, .. } if holds => Some(("revoked-in-record", true)),
        Said { unmade: true, .. } if holds => Some(("not-made-in-record", true)),
        Said { revoked: false, unmade: false, .. } if !holds => Some(("revoked-in-file", false)),
        // Facts that were too long for a leaf are not there to be compared.
        Said { made: Some(made), .. } if !made.is_null() && holds && facts.as_ref() != Some(made) => {
            Some(("changed", false))
        }
        _ => None,
    }
}

fn sentence(found: &str) -> &'static str {
    match found {
        "revoked-in-record" => "it was revoked, and the file did not say so; it is revoked now",
        "not-made-in-record" => "its making was recorded as failed, and it was there; it is revoked now",
        "not-in-file" => "the record says that it was made, and it is not in the file: it opens nothing",
        "not-in-record" => "it is in the file, and nobody recorded that it was made",
        "revoked-in-file" => "it is revoked in the file, and nobody recorded that",
        _ => "whose it is or what it opens is not what was recorded when it was made",
    }
}

/// Has a difference recorded. Not waited for: where the log takes nothing, the gateway refuses all commands anyway.
fn tell(desk: &Desk, found: &str, done: bool, tok: &str, detail: Json) {
    let mut leaf = Map::new();
    if done {
        leaf.insert("done".to_owned(), Value::Bool(true));
    }
    leaf.insert("found".to_owned(), json!(found));
    leaf.insert("tok".to_owned(), json!(tok));
    if let Err(failure) = desk.queue(DIFFERS, &who::own(&desk.keys), what(&Value::Object(leaf)), detail) {
        tracing::error!(
            "that a token is not as the record says is not recorded: {}",
            failure.messages.join("; ")
        );
    }
}

/// What the record says of all tokens.
fn read(
    data: &Path,
    said: &mut HashMap<String, Said>,
    contained: &mut HashMap<String, contained::Said>,
) -> Result<(), ReadError> {
    let reader = Reader::open(data, Arc::new(RealIo::new()))?;
    about_tokens(&reader, &mut |found| learn(said, contained, found)).map(drop)
}

/// The same of a damaged record: of each segment as much as can be read.
fn read_around(
    data: &Path,
    said: &mut HashMap<String, Said>,
    contained: &mut HashMap<String, contained::Said>,
) {
    let Ok(reader) = Reader::open(data, Arc::new(RealIo::new())) else { return };
    let segments = reader.segments().unwrap_or_default();
    let mut opener = reader.opener();
    for (at, name) in segments.iter().enumerate() {
        let Ok(mut cursor) = reader.from_segment(*name) else { continue };
        let next = segments.get(at + 1).map(|next| Place { epoch: next.epoch, position: next.first });
        while let Ok(Some(stored)) = cursor.next() {
            let place = stored.place;
            if next.is_some_and(|next| place >= next) {
                break;
            }
            let Ok(fields) = Fields::read(stored.leaf) else { continue };
            if is_about(&fields.k) {
                let payload = opener.open(&stored, &fields);
                learn(said, contained, &Found { place, leaf: stored.leaf.to_vec(), payload });
            }
        }
    }
}

fn learn(said: &mut HashMap<String, Said>, contained: &mut HashMap<String, contained::Said>, found: &Found) {
    let Ok(fields) = Fields::read(&found.leaf) else { return };
    let payload: Value =
        found.payload.clear().and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
    let in_leaf = fields.facts.as_ref().and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    // What was too long for the leaf stands in the payload, as long as that can be read.
    let whole = |facts: &Value| facts.get("tok").or(facts.get("contained")).is_some();
    let Some(facts) = in_leaf.filter(whole).or_else(|| payload.get("facts").cloned()) else { return };
    if fields.k.starts_with(contained::KINDS) {
        return contained::learn(contained, &fields, &facts, &payload);
    }
    let text = |key: &str| facts.get(key).and_then(Value::as_str).map(str::to_owned);
    let Some(tok) = text("tok") else { return };
    let said = said.entry(tok).or_default();
    match &*fields.k {
        "identity.token_created" | "identity.token_exchanged" | "identity.token_signed_in" => {
            let end = text("expires").and_then(|end| end.parse::<Timestamp>().ok());
            let over = end.is_some_and(|end| u64::try_from(end.as_microsecond()).unwrap_or(0) <= wall().0);
            said.forgotten = over && fields.k != "identity.token_created";
            said.detail = payload.get("detail").cloned().unwrap_or_default();
            said.made = Some(facts);
        }
        "identity.token_revoked" => said.revoked = true,
        "identity.token_failed" if !said.revoked => said.unmade = true,
        DIFFERS => said.told.extend(text("found")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firsthand_adapters::identity::token::{NewToken, TokenKind};
    use firsthand_auditlog::lock::DataLock;
    use firsthand_auditlog::search::Search;
    use firsthand_auditlog::search::query::Query;

    use crate::place::{open_record, started_by_command};

    /// What a process does with a data folder; closes it in order.
    fn with<T>(data: &Path, act: impl AsyncFnOnce(&Desk) -> T) -> T {
        let lock = DataLock::acquire(data).unwrap();
        let (record, _) = open_record(data, lock, Vec::new(), |_| Ok(started_by_command("test"))).unwrap();
        let contained = crate::place::contained(data).unwrap();
        let desk = Desk::over(&record, Arc::new(TokenStore::open(data).unwrap()), contained);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let done = runtime.block_on(act(&desk));
        record.close(Json::from_written(b"{}".to_vec())).unwrap();
        done
    }

    fn new(name: &str) -> NewToken {
        NewToken {
            on_behalf_of: Some("ada@example.com".to_owned()),
            targets: vec!["shop".to_owned()],
            ttl_seconds: Some(60),
            ..NewToken::new(name, TokenKind::Agent)
        }
    }

    /// Names of the tokens that hold, after a comparison, and what was newly told by it.
    fn compared(data: &Path) -> (Vec<String>, Vec<String>) {
        let before = told(data).len();
        let hold = with(data, async |desk| {
            compare(data, &desk.tokens, desk).unwrap();
            let tokens = desk.tokens.list();
            tokens.iter().filter(|t| t.revoked.is_none()).map(|t| t.name.clone()).collect()
        });
        (hold, told(data).split_off(before))
    }

    /// All that was told: what was found, whether it was revoked for that, and the name.
    fn told(data: &Path) -> Vec<String> {
        let Ok(reader) = Reader::open(data, Arc::new(RealIo::new())) else { return Vec::new() };
        let query = Query::parse("kind:identity.token_differs", 0).unwrap();
        let mut search = Search::new(&reader, &query).unwrap();
        let mut all = Vec::new();
        while let Some(found) = search.next().unwrap() {
            let fields = Fields::read(&found.leaf).unwrap();
            let facts: Value = serde_json::from_str(fields.facts.unwrap().get()).unwrap();
            let payload: Value = serde_json::from_slice(found.payload.clear().unwrap()).unwrap();
            let done = if facts["done"] == true { ", revoked" } else { "" };
            let name = payload["detail"]["login"].as_str().unwrap();
            all.push(format!("{} {}{done}", name, facts["found"].as_str().unwrap()));
        }
        all
    }

    #[test]
    fn what_the_record_says_ended_is_ended_and_what_differs_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let (data, file) = (dir.path(), dir.path().join("tokens.json"));
        with(data, async |desk| {
            let by = who::own(&desk.keys);
            for name in ["kept", "ended", "lost", "raised"] {
                desk.create_token(&new(name), &by).await.unwrap();
            }
        });
        assert_eq!(compared(data).1, [""; 0], "they agree");
        let (mut searched, mut walked) = (HashMap::new(), HashMap::new());
        read(data, &mut searched, &mut HashMap::new()).unwrap();
        read_around(data, &mut walked, &mut HashMap::new());
        assert_eq!(searched.len(), 4);
        let made = |said: &HashMap<String, Said>| said.values().filter(|said| said.made.is_some()).count();
        assert_eq!((made(&searched), made(&walked)), (4, 4));
        assert!(searched.keys().all(|tok| walked.contains_key(tok)));
        let before = std::fs::read_to_string(&file).unwrap();
        // As a crash leaves it between the entry and the act.
        with(data, async |desk| {
            let by = who::own(&desk.keys);
            desk.revoke_token("ended", &by).await.unwrap();
            desk.create_token(&new("made"), &by).await.unwrap();
        });
        std::fs::write(&file, &before).unwrap();
        let all = ["kept", "lost", "raised"];
        let (hold, told) = compared(data);
        assert_eq!(hold, all);
        assert_eq!(told, ["ended revoked-in-record, revoked", "made not-in-file"]);
        assert_eq!(compared(data), (hold, vec![]), "it is told once");
        // As somebody leaves it who writes it by hand.
        let mut content: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let tokens = content["tokens"].as_array_mut().unwrap();
        tokens.iter_mut().find(|t| t["name"] == "raised").unwrap()["targets"] = json!(["shop", "payroll"]);
        let mut forged = tokens.iter().find(|t| t["name"] == "kept").unwrap().clone();
        forged["id"] = json!("tok-0000000000000001");
        forged["name"] = json!("forged");
        tokens.push(forged);
        tokens.iter_mut().find(|t| t["name"] == "kept").unwrap()["revoked"] = json!("2026-11-27T00:00:00Z");
        tokens.retain(|t| t["name"] != "lost");
        std::fs::write(&file, content.to_string()).unwrap();
        let (hold, told) = compared(data);
        assert_eq!(hold, ["raised", "forged"]);
        assert_eq!(
            told,
            ["kept revoked-in-file", "raised changed", "forged not-in-record", "lost not-in-file"]
        );
        assert_eq!(compared(data).1, [""; 0], "it is told once");
    }

    /// The file of another data folder: not as many entries as it has tokens.
    #[test]
    fn so_many_differences_are_told_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let (data, file) = (dir.path(), dir.path().join("tokens.json"));
        with(data, async |desk| {
            desk.create_token(&new("bot"), &who::own(&desk.keys)).await.unwrap();
        });
        let mut content: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let tokens = content["tokens"].as_array_mut().unwrap();
        let bot = tokens[0].clone();
        for n in 0..=TOLD_MAX {
            let mut other = bot.clone();
            other["id"] = json!(format!("tok-{n:016x}"));
            other["name"] = json!(format!("other-{n}"));
            tokens.push(other);
        }
        std::fs::write(&file, content.to_string()).unwrap();
        assert_eq!(compared(data).1.len(), TOLD_MAX);
        assert_eq!(compared(data).1.len(), 1, "what was left out is told the next time");
    }

    #[test]
    fn a_file_that_cannot_be_changed_lets_nobody_in_whose_token_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (data, file) = (dir.path(), dir.path().join("tokens.json"));
        with(data, async |desk| {
            let by = who::own(&desk.keys);
            desk.create_token(&new("bot"), &by).await.unwrap();
            let before = std::fs::read(&file).unwrap();
            desk.revoke_token("bot", &by).await.unwrap();
            std::fs::write(&file, before).unwrap();
        });
        std::fs::create_dir(dir.path().join("tokens.json.tmp")).unwrap();
        let failure = with(data, async |desk| compare(data, &desk.tokens, desk).unwrap_err());
        assert!(failure.to_string().contains("token bot ended"), "{failure}");
    }

    /// An act that failed is said to have: the token was not made, or is revoked at the next start.
    #[test]
    fn an_act_that_failed_is_taken_back_in_the_record_and_a_revocation_is_done_later() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path();
        let in_the_way = data.join("tokens.json.tmp");
        with(data, async |desk| {
            let by = who::own(&desk.keys);
            desk.create_token(&new("bot"), &by).await.unwrap();
            std::fs::create_dir(&in_the_way).unwrap();
            assert!(desk.create_token(&new("never"), &by).await.unwrap_err().later);
            assert!(desk.revoke_token("bot", &by).await.unwrap_err().later);
        });
        std::fs::remove_dir(&in_the_way).unwrap();
        assert_eq!(compared(data), (vec![], vec!["bot revoked-in-record, revoked".to_owned()]));
    }
}
