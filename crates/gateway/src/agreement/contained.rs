//! Whether the file of what is contained says what the record says. What the record says is contained is (fail closed); what only
//! the file says stays contained, too, until somebody lifts it: that it does not agree is said with each start.

use std::collections::HashMap;

use firsthand_adapters::containment::{Contained, Of};
use firsthand_auditlog::entry::fields::Fields;
use firsthand_model::json::Json;
use serde_json::{Map, Value, json};

use crate::desk::Desk;
use crate::reading::what;
use crate::who;

/// How the kinds of the entries begin that are looked at.
pub(super) const KINDS: &str = "admin.contain";
/// The kind of entry that is written here.
const DIFFERS: &str = "admin.contain_differs";

/// What the record says of one.
#[derive(Default)]
pub(super) struct Said {
    contained: Option<Contained>,
    lifted: bool,
    /// Lifted, and its evidence is held on.
    held: bool,
}

impl Said {
    /// As it stands by the record.
    fn standing(&self) -> Option<Contained> {
        let contained = self.contained.clone().filter(|_| !self.lifted || self.held)?;
        Some(Contained { blocks: !self.lifted, ..contained })
    }
}

/// Learns from one entry.
pub(super) fn learn(all: &mut HashMap<String, Said>, fields: &Fields<'_>, facts: &Value, payload: &Value) {
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let said = all.entry(text(facts, "contained")).or_default();
    match &*fields.k {
        "admin.contained" => {
            let of = Of::ALL.into_iter().find(|of| of.word() == text(facts, "of"));
            let detail = payload.get("detail").cloned().unwrap_or_default();
            let ids = facts.get("ids").and_then(Value::as_array).into_iter().flatten();
            said.contained = of.map(|of| Contained {
                id: text(facts, "contained"),
                of,
                name: match of {
                    Of::Identity => text(&detail, "name"),
                    Of::Target | Of::Session => text(facts, of.word()),
                },
                ids: ids.filter_map(Value::as_str).map(str::to_owned).collect(),
                since: fields.t.to_string(),
                by: text(payload, "by"),
                reason: text(&detail, "reason"),
                blocks: true,
            });
            (said.lifted, said.held) = (false, false);
        }
        "admin.contain_lifted" => {
            (said.lifted, said.held) = (true, facts.get("held") == Some(&Value::Bool(true)));
        }
        _ => {}
    }
}

/// Compares, contains what the record says is, and tells. `whole`: all of the record could be read.
pub(super) fn compare(desk: &Desk, said: &HashMap<String, Said>, whole: bool) {
    let known = desk.contained.list();
    let mut added = false;
    for standing in said.values().filter_map(Said::standing) {
        let here = known.iter().find(|one| one.id == standing.id);
        if here.is_none_or(|here| standing.blocks && !here.blocks) {
            tell(desk, "contained-in-record", true, &standing);
            desk.contained.add(standing);
            added = true;
        }
    }
    for one in &known {
        let found = match said.get(&one.id).filter(|said| said.contained.is_some()) {
            None if whole => "not-in-record",
            Some(said) if said.lifted && (one.blocks || !said.held) => "lifted-in-record",
            _ => continue,
        };
        tell(desk, found, false, one);
    }
    if added && let Err(e) = desk.contained.save() {
        tracing::error!("what is contained is not written down, and will be found in the record again: {e}");
    }
}

fn sentence(found: &str) -> &'static str {
    match found {
        "contained-in-record" => "the record says that it is contained, and the file did not; it is",
        "lifted-in-record" => {
            "the record says that it was lifted, and the file does not; it is not until it is lifted again"
        }
        _ => "the file says that it is contained, and nobody recorded that; it is, until it is lifted",
    }
}

fn tell(desk: &Desk, found: &str, done: bool, one: &Contained) {
    tracing::warn!("{} {}: {}", one.of.word(), one.id, sentence(found));
    let mut leaf = Map::new();
    leaf.insert("contained".to_owned(), json!(one.id));
    if done {
        leaf.insert("done".to_owned(), Value::Bool(true));
    }
    leaf.insert("found".to_owned(), json!(found));
    let leaf = what(&Value::Object(leaf));
    if let Err(failure) = desk.queue(DIFFERS, &who::own(&desk.keys), leaf, Json::default()) {
        tracing::error!(
            "that a containment is not as the record says is not recorded: {}",
            failure.messages.join("; ")
        );
    }
}
