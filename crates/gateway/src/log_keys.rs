//! The keys that sign the log: which there are, and a new one. First the entry, durable, then the act, as with tokens.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firsthand_adapters::clock::wall;
use firsthand_auditlog::entry::moment::rfc3339;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::lock::DataLock;
use firsthand_auditlog::sign::keys::{BOTH_SIGN, KeysError, Known, LogKeys};
use firsthand_auditlog::sign::{default_origin, identify, serve};
use firsthand_auditlog::tlog::key::SigningKey;
use firsthand_model::event::By;
use firsthand_model::json::Json;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::failure::{Failure, only_for_its_owner};
use crate::place::Place;
use crate::reading::what;

/// The kind of the entry.
const KIND: &str = "log.key";

/// The keys of one tree.
pub(crate) struct Tree<'a> {
    pub(crate) keys: &'a Arc<Mutex<LogKeys>>,
    pub(crate) epoch: u64,
}

/// The keys of a data folder on which no gateway runs.
pub(crate) struct Alone {
    keys: Arc<Mutex<LogKeys>>,
    epoch: u64,
    _lock: DataLock,
}

impl Alone {
    /// Opens them; none is made here.
    pub(crate) fn open(place: &Place) -> Result<Self, Failure> {
        let (data, io) = (&place.data_dir, Arc::new(RealIo::new()));
        let none = || Failure::new("no key signs this log yet", "firsthand serve makes the first one");
        if !LogKeys::exist(data, &*io) {
            return Err(none());
        }
        let unreadable = |e: std::io::Error| {
            Failure::new(format!("cannot read the log: {e}"), "look at the disk of the data folder")
        };
        let (log_id, epoch) = identify(&*io, data).map_err(unreadable)?.ok_or_else(none)?;
        let given = place.config.as_ref().and_then(|config| config.origin.clone());
        let lock = DataLock::acquire(&data.join("signer"))
            .map_err(|e| Failure::new(e.to_string(), "wait until it has ended, or stop it"))?;
        let origin = given.unwrap_or_else(|| default_origin(&log_id));
        let keys = LogKeys::open(data, &origin, io, wall().0).map_err(failure)?;
        Ok(Self { keys: Arc::new(Mutex::new(keys)), epoch, _lock: lock })
    }

    /// As a gateway has them.
    pub(crate) fn tree(&self) -> Tree<'_> {
        Tree { keys: &self.keys, epoch: self.epoch }
    }
}

/// What signs, and how far it has signed.
pub(crate) fn show(tree: &Tree<'_>, data: &Path) -> Result<Value, Failure> {
    let keys = tree.keys.lock().unwrap_or_else(PoisonError::into_inner);
    let known = keys.known(tree.epoch).map_err(failure)?;
    let origin = keys.origin().to_owned();
    drop(keys);
    let newest = serve::checkpoint(&RealIo::new(), data, tree.epoch).map_err(|e| {
        Failure::new(format!("cannot read the newest checkpoint: {e}"), "look at the disk of the data folder")
            .there()
    })?;
    let checkpoint = newest.map(|(note, size)| json!({ "size": size, "note": note }));
    let now = wall().0;
    let keys: Vec<Value> = known.iter().map(|key| told(key, now)).collect();
    Ok(json!({ "origin": origin, "epoch": tree.epoch, "keys": keys, "checkpoint": checkpoint }))
}

fn told(key: &Known, now: u64) -> Value {
    let signs = key.until_us.is_none_or(|until| now < until);
    json!({
        "vkey": key.vkey.to_vkey(), "signs": signs, "made": rfc3339(key.made_us), "until": key.until_us.map(rfc3339),
    })
}

/// Makes a new key; the one before signs on beside it for a time.
pub(crate) async fn rotate(desk: &Desk, tree: &Tree<'_>, by: &By) -> Result<Value, Failure> {
    let _turn = desk.turn().await?;
    let now = wall().0;
    let (draft, added, replaced) = draft(tree, now).map_err(failure)?;
    let until = now.saturating_add(u64::try_from(Duration::as_micros(&BOTH_SIGN)).unwrap_or(u64::MAX));
    let mut facts = json!({ "added": added, "replaced": replaced, "until": rfc3339(until) });
    desk.record(KIND, by, what(&facts), Json::default()).await?;
    let keys = Arc::clone(tree.keys);
    let adopted = tokio::task::spawn_blocking(move || {
        keys.lock().unwrap_or_else(PoisonError::into_inner).adopt(&draft, now)
    });
    let done = match adopted.await {
        Ok(done) => done.map_err(failure),
        Err(_) => {
            Err(Failure::later("the gateway failed while it did this", "its messages say more").there())
        }
    };
    let Err(mut undone) = done else { return Ok(facts) };
    if let Some(facts) = facts.as_object_mut() {
        facts.insert("done".to_owned(), json!(false));
    }
    if let Err(not_told) = desk.record(KIND, by, what(&facts), Json::default()).await {
        undone.messages.extend(not_told.messages);
    }
    Err(undone)
}

/// A new key that is kept nowhere yet, how it is called, and how the one is that it replaces.
fn draft(tree: &Tree<'_>, now: u64) -> Result<(SigningKey, String, String), KeysError> {
    let keys = tree.keys.lock().unwrap_or_else(PoisonError::into_inner);
    keys.has_room(now)?;
    let draft = keys.draft()?;
    let added = keys.vkey(&draft, tree.epoch)?.to_vkey();
    let replaced = keys.known(tree.epoch)?.first().map(|known| known.vkey.to_vkey());
    Ok((draft, added, replaced.unwrap_or_default()))
}

fn failure(e: KeysError) -> Failure {
    let text = e.to_string();
    match &e {
        KeysError::TooMany => Failure::new(text, "wait until the oldest of them signs no more"),
        KeysError::File(firsthand_auditlog::keys::KeyError::Exposed { path, .. }) => {
            Failure::later(text, only_for_its_owner(path)).there()
        }
        _ => Failure::later(text, "check data/signer; a key that is gone is restored from a backup").there(),
    }
}
