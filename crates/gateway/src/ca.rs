//! Acts of the gateway's own authority for client certificates: first the entry, durable, then the act, as with tokens.

use std::path::Path;

use firsthand_adapters::clock::wall;
use firsthand_adapters::identity::certificate::authorities;
use firsthand_adapters::own_ca::{CERT, CaError, FOLDER, Issued, LIST, OwnCa, Request};
use firsthand_adapters::record::kind_letter;
use firsthand_auditlog::entry::moment::rfc3339;
use firsthand_model::event::By;
use firsthand_model::identity::IdentityKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::assemble::Gateway;
use crate::certificates::end_lapsed;
use crate::desk::Desk;
use crate::failure::{Failure, only_for_its_owner};
use crate::reading::what;

/// Kind of the entry that takes back what one before it says.
const FAILED: &str = "admin.certificate_failed";

/// The authority that is to be made.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Init {
    pub(crate) name: String,
}

/// What to revoke.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoke {
    /// A serial number, or the name in certificates.
    pub(crate) certificate: String,
}

/// Makes the authority.
pub(crate) async fn init(desk: &Desk, data: &Path, ask: &Init, by: &By) -> Result<Value, Failure> {
    let _turn = desk.turn().await?;
    let ca = OwnCa::of(data);
    let draft = ca.draft(&ask.name, wall()).map_err(failure)?;
    let ends = rfc3339(draft.ends().0);
    let detail = what(&json!({ "name": ask.name, "sha256": draft.sha256 }));
    desk.record("admin.ca_made", by, what(&json!({ "ends": ends })), detail).await?;
    ca.make(&draft).map_err(failure)?;
    Ok(json!({
        "name": ask.name, "sha256": draft.sha256, "ends": ends, "ca": draft.cert,
        "ca_file": ca.file(CERT), "crl_file": ca.file(LIST),
    }))
}

/// Issues a certificate.
pub(crate) async fn issue(desk: &Desk, data: &Path, ask: &Request, by: &By) -> Result<Value, Failure> {
    let _turn = desk.turn().await?;
    if let Some(contained) = desk.contained.of_identity(&[&ask.name]) {
        return Err(Failure::new(
            format!("{} is contained ({}), so no certificate is made for it", contained.name, contained.id),
            format!("firsthand contain lift {} lifts it", contained.id),
        ));
    }
    let ca = OwnCa::of(data);
    let (cert, issued) = ca.issue(ask, wall()).map_err(failure)?;
    desk.record("admin.certificate_issued", by, leaf(desk, &issued), detail(&issued)).await?;
    if let Err(e) = ca.add(&issued, wall()) {
        return Err(undone(desk, &issued, by, failure(e)).await);
    }
    let mut answer = told(&issued);
    if let Some(facts) = answer.as_object_mut() {
        facts.insert("cert".to_owned(), json!(cert));
    }
    Ok(answer)
}

/// Revokes. `gateway`: the one that runs on this folder; sessions that were opened by what is revoked end.
pub(crate) async fn revoke(
    desk: &Desk,
    data: &Path,
    gateway: Option<&Gateway>,
    ask: &Revoke,
    by: &By,
) -> Result<Value, Failure> {
    let _turn = desk.turn().await?;
    let ca = OwnCa::of(data);
    let found = ca.to_revoke(&ask.certificate, wall()).map_err(failure)?;
    let mut last = None;
    for one in &found {
        last = Some(desk.queue("admin.certificate_revoked", by, leaf(desk, one), detail(one))?);
    }
    if let Some(last) = last
        && let Err(e) = desk.durable(last).await
    {
        for one in &found {
            let _ = desk.queue(FAILED, by, leaf(desk, one), detail(one));
        }
        return Err(e);
    }
    let serials: Vec<String> = found.iter().map(|one| one.serial.clone()).collect();
    if let Err(e) = ca.revoke(&serials, wall()) {
        let mut told = failure(e);
        for one in &found {
            told = undone(desk, one, by, told).await;
        }
        return Err(told);
    }
    let mut warnings = Vec::new();
    if let Some(gateway) = gateway
        && let Err(why) = in_force(gateway)
    {
        warnings
            .push(format!("it is on the list, and the gateway goes on by what it has read before: {why}"));
    }
    Ok(json!({ "revoked": found.iter().map(told).collect::<Vec<_>>(), "warnings": warnings }))
}

/// Has the gateway look at the lists again: none of the rest of its configuration.
fn in_force(gateway: &Gateway) -> Result<(), String> {
    let config = gateway.config.load_full();
    let again: Result<Vec<_>, _> = config.client_cas.iter().map(|ca| ca.read_again()).collect();
    gateway.clients.replace(authorities::ready(again?, config.client_demand)?);
    end_lapsed(gateway);
    Ok(())
}

/// What was issued, for a list.
pub(crate) fn list(data: &Path) -> Result<Vec<Value>, Failure> {
    Ok(OwnCa::of(data).list().map_err(failure)?.iter().map(told).collect())
}

/// Its certificate and its revocation list.
pub(crate) fn crl(data: &Path) -> Result<Value, Failure> {
    let ca = OwnCa::of(data);
    Ok(json!({ "ca": ca.read(CERT).map_err(failure)?, "crl": ca.read(LIST).map_err(failure)? }))
}

/// An act that is recorded could not be done: the record says so.
async fn undone(desk: &Desk, one: &Issued, by: &By, mut failure: Failure) -> Failure {
    if let Err(not_told) = desk.record(FAILED, by, leaf(desk, one), detail(one)).await {
        failure.messages.extend(not_told.messages);
    }
    failure
}

fn moment(seconds: u64) -> String {
    rfc3339(seconds.saturating_mul(1_000_000))
}

fn leaf(desk: &Desk, one: &Issued) -> firsthand_model::json::Json {
    let letter = kind_letter(IdentityKind::Certificate);
    what(&json!({ "cert": desk.keys.identity_id(letter, &one.sha256), "ends": moment(one.ends) }))
}

fn detail(one: &Issued) -> firsthand_model::json::Json {
    let mut facts = serde_json::Map::new();
    for (key, list) in [("dns", &one.dns), ("email", &one.email), ("uri", &one.uri)] {
        if !list.is_empty() {
            facts.insert(key.to_owned(), json!(list));
        }
    }
    for (key, value) in [("name", &one.name), ("serial", &one.serial), ("sha256", &one.sha256)] {
        facts.insert(key.to_owned(), json!(value));
    }
    what(&Value::Object(facts))
}

fn told(one: &Issued) -> Value {
    let state = match one.revoked {
        Some(_) => "revoked",
        None if one.ends.saturating_mul(1_000_000) <= wall().0 => "expired",
        None => "valid",
    };
    json!({
        "serial": one.serial, "name": one.name, "state": state, "uri": one.uri, "dns": one.dns, "email": one.email,
        "sha256": one.sha256, "since": moment(one.since), "ends": moment(one.ends), "revoked": one.revoked.map(moment),
    })
}

/// What a failure of the authority means to whoever asked.
fn failure(e: CaError) -> Failure {
    let text = e.to_string();
    match e {
        CaError::There(_) => Failure::new(
            text,
            format!(
                "to replace it, take the folder `{FOLDER}` out of the data folder: its certificates go on until they end"
            ),
        ),
        CaError::None(_) => Failure::new(text, "firsthand ca init makes it"),
        CaError::Bad(_) => Failure::usage(text, "firsthand ca issue --help describes the arguments"),
        CaError::NotFound(_) => Failure::new(text, "firsthand ca list shows them"),
        CaError::Full => Failure::new(text, "issue fewer, or for longer"),
        CaError::Exposed(path, _) => Failure::later(text, only_for_its_owner(&path)).there(),
        CaError::Io(..) | CaError::Crypto(_) => {
            Failure::later(text, "check that the data folder can be written by this user").there()
        }
        CaError::Damaged(..) => Failure::later(text, "restore the file from a backup").there(),
    }
}
