//! An entry taken apart for showing, and its JSON.

use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::names::Names;
use firsthand_auditlog::reader::payload::Payload;
use firsthand_auditlog::search::Found;
use serde_json::Value;

use super::clean;

/// Characters of a session's id that lines show: the time in milliseconds, and 12 of the random bits, for sessions of the
/// same millisecond.
pub(crate) const SHORT_ID: usize = 18;

/// The payload as JSON: `Null` where there is none or it cannot be opened.
pub(crate) fn payload(found: &Found) -> Value {
    found.payload.clear().and_then(|json| serde_json::from_slice(json).ok()).unwrap_or(Value::Null)
}

/// Why a payload that the entry has is not shown; `None` when it is, or when there is none.
pub(crate) fn withheld(found: &Found) -> Option<String> {
    match &found.payload {
        Payload::None | Payload::Clear(_) => None,
        Payload::Erased => Some("erased: its key was destroyed".to_owned()),
        Payload::Sealed => Some("sealed: its key is not here".to_owned()),
        Payload::Unreadable(why) => Some(format!("unreadable: {why}")),
    }
}

/// A string in a payload; empty when there is none.
pub(crate) fn text<'a>(payload: &'a Value, key: &str) -> &'a str {
    payload.get(key).and_then(Value::as_str).unwrap_or("")
}

/// One line of JSON: the leaf's fields and, where the entry has one, `payload`. Entries of a later epoch say which.
pub(crate) fn json(found: &Found) -> String {
    let leaf = String::from_utf8_lossy(&found.leaf);
    let mut out = leaf.strip_suffix('}').unwrap_or(&leaf).to_owned();
    if found.place.epoch > 1 {
        out.push_str(&format!(",\"epoch\":{}", found.place.epoch));
    }
    let payload = match &found.payload {
        Payload::None => None,
        Payload::Clear(json) => Some(String::from_utf8_lossy(json).into_owned()),
        Payload::Erased => Some("\"erased\"".to_owned()),
        Payload::Sealed => Some("\"sealed\"".to_owned()),
        Payload::Unreadable(why) => Some(serde_json::json!({ "unreadable": why }).to_string()),
    };
    if let Some(payload) = payload {
        out.push_str(",\"payload\":");
        out.push_str(&payload);
    }
    out.push('}');
    clean::json(&out).into_owned()
}

/// The beginning of a session's id.
pub(crate) fn short(sid: &str) -> &str {
    sid.get(..SHORT_ID).unwrap_or(sid)
}

/// A name for an id, or the id itself.
pub(crate) fn name<'a>(names: &'a Names, id: &'a str) -> &'a str {
    names.name(id).unwrap_or(id)
}

/// Who acts, in a few words: `triage-bot for ada@example.com`.
pub(crate) fn who(fields: &Fields<'_>, names: &Names) -> String {
    let Some(who) = &fields.who else {
        return fields.by.as_ref().map(|by| name(names, &by.id).to_owned()).unwrap_or_default();
    };
    let human = who.chain.iter().find(|link| link.kind == "human").map(|link| &*link.id);
    match human {
        Some(human) if human != who.agent => {
            format!("{} for {}", name(names, &who.agent), name(names, human))
        }
        _ => name(names, &who.agent).to_owned(),
    }
}

/// Wall clock without the day: `02:00:01.123`.
pub(crate) fn clock(t: &str) -> &str {
    t.get(11..23).unwrap_or(t)
}

/// Wall clock to milliseconds: `2026-11-23 02:00:01.123`.
pub(crate) fn moment(t: &str) -> String {
    t.get(..23).unwrap_or(t).replace('T', " ")
}
