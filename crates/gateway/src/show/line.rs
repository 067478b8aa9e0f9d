//! One line per entry, for `log cat`, `tail` and `search`.

use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::names::Names;
use firsthand_auditlog::search::Found;
use serde_json::Value;

use super::entry::{self, SHORT_ID, text};
use super::{clean, counted, duration, number};

/// Characters of the column for who acts.
const WHO: usize = 26;
/// Characters of the column for the target.
const TARGET: usize = 10;

/// The line of an entry: position, time, kind, session, who, target, what happened. `width`: characters that it may have.
pub(crate) fn of(found: &Found, names: &Names, width: usize) -> String {
    let Ok(fields) = Fields::read(&found.leaf) else {
        return format!("{:>8}  unreadable", found.place.position);
    };
    let who = entry::who(&fields, names);
    let who = clean::fit(&clean::line(&who), WHO).into_owned();
    let target = fields.who.as_ref().map_or("", |who| &who.target);
    let target = clean::fit(&clean::line(target), TARGET).into_owned();
    let head = format!(
        "{:>8}  {}  {:<17}  {:<SHORT_ID$}  {}  {}",
        fields.n,
        entry::moment(&fields.t),
        clean::line(&fields.k),
        clean::line(entry::short(&fields.sid)),
        pad(&who, WHO),
        pad(&target, TARGET),
    );
    let what = summary(found, &fields);
    let room = width.saturating_sub(head.chars().count() + 2).max(60);
    format!("{head}  {}", clean::fit(&clean::line(&what), room)).trim_end().to_owned()
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.chars().count())))
}

/// What an entry says, in a few words.
fn summary(found: &Found, fields: &Fields<'_>) -> String {
    let payload = entry::payload(found);
    let withheld = entry::withheld(found).map(|why| format!("({why})"));
    let command = fields.cmd.map(|n| format!("#{n} ")).unwrap_or_default();
    let said = match &*fields.k {
        "session.opened" => opened(fields, &payload),
        "session.closed" => closed(fields, &payload),
        "session.noted" => noted(fields, &payload),
        "command.decided" => decided(fields, &payload),
        "command.completed" => outcome(fields, &payload),
        "command.abandoned" => abandoned(fields),
        "command.rows" => {
            let first = fields.first.unwrap_or(0);
            let last = first + fields.rows.unwrap_or(0);
            format!("rows {} to {}", number(first + 1), number(last))
        }
        "command.changed" => changed(fields),
        "transaction.named" | "transaction.changed" | "transaction.ended" => transaction(fields),
        "stream" => format!(
            "{} so far, {}",
            counted(fields.rows.unwrap_or(0), "row", "rows"),
            bytes(fields.bytes.unwrap_or(0))
        ),
        "approval.answer_refused" => answer_refused(fields),
        kind if kind.starts_with("approval.") || kind.starts_with("grant.") => approval(fields, &payload),
        "identity.refused" | "session.refused" => refused(fields, &payload),
        _ => other(fields, &payload),
    };
    format!("{command}{said}{}", withheld.map(|w| format!(" {w}")).unwrap_or_default())
}

/// Somebody was not let in, and why; what is not known of them is left out.
fn refused(fields: &Fields<'_>, payload: &Value) -> String {
    let detail = text(payload, "detail");
    let mut out = fields.why.to_string();
    if !detail.is_empty() {
        out.push_str(&format!(": {detail};"));
    }
    for (word, key) in [("as", "login"), ("to", "target"), ("from", "address")] {
        let said = text(payload, key);
        if !said.is_empty() {
            out.push_str(&format!(" {word} {said}"));
        }
    }
    out
}

/// What became of an approval, or of a grant: `ap-7k3m9xq2vb given by ada@example.com, 1 of 2`.
pub(crate) fn approval(fields: &Fields<'_>, payload: &Value) -> String {
    let mut out = match fields.k.split_once('.') {
        Some(("grant", word)) => format!("grant {} {}", fields.grant, word.replace('_', " ")),
        Some((_, "glass_broken")) => format!("approval {} BREAK-GLASS: released alone", fields.approval),
        _ => format!("approval {} {}", fields.approval, fields.k.trim_start_matches("approval.")),
    };
    if let (Some(by), false) = (&fields.by, text(payload, "by").is_empty()) {
        out.push_str(&format!(" by {} ({})", text(payload, "by"), by.trust));
    }
    if let (Some(given), Some(quorum)) = (fields.given, fields.quorum) {
        out.push_str(&format!(", {given} of {quorum}"));
    }
    if fields.k == "grant.asked" {
        out.push_str(&format!(", {}", fields.effects.join(", ")));
        if !fields.tables.is_empty() {
            out.push_str(&format!(" on {}", fields.tables.join(", ")));
        }
    }
    if let Some(key) = payload.get("signature").map(|signature| text(signature, "fingerprint")) {
        out.push_str(&format!(", signed with {key}"));
    }
    let said = text(payload, "reason");
    if !said.is_empty() {
        out.push_str(&format!(": {said}"));
    }
    if let Some(preview) = payload.get("preview") {
        out.push_str(&format!(": {}", super::preview::line(preview)));
    }
    out
}

/// An answer that did not count: `answer approve to ap-7k3m9xq2vb did not count: not-in-group`.
fn answer_refused(fields: &Fields<'_>) -> String {
    let facts: Value = fields.facts.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let said = |key: &str| text(&facts, key).to_owned();
    let (answer, why, mut id) = (said("answer"), said("why"), said("approval"));
    if id.is_empty() {
        "what is none".clone_into(&mut id);
    }
    let untold = facts.get("untold").and_then(Value::as_u64);
    let more = untold.map(|n| format!(" ({} more before it)", number(n))).unwrap_or_default();
    format!("answer {answer} to {id} did not count: {why}{more}")
}

/// What belongs to no command.
pub(crate) fn noted(fields: &Fields<'_>, payload: &Value) -> String {
    let what = &*fields.what;
    let Some(detail) = payload.get("detail") else { return what.to_owned() };
    let said = |key: &str| text(detail, key);
    match what {
        "asked" if said("role").is_empty() => format!("the gateway itself asks: {}", said("text")),
        "asked" => format!("the gateway itself asked: {}; the role is {}", said("text"), said("role")),
        "cancel" => {
            let held = detail.get("held") == Some(&Value::Bool(true));
            let ended = if held { ", which ended the wait of a held command" } else { "" };
            format!("a cancel request came from {}{ended}", said("from"))
        }
        "error" | "notice" => {
            let code = [said("severity"), said("code")].join(" ");
            format!("{what} that belongs to no command: {}: {}", code.trim(), said("message"))
        }
        "notification" => {
            let pid = detail.get("pid").and_then(Value::as_u64).unwrap_or(0);
            let payload = said("payload");
            let with = if payload.is_empty() { String::new() } else { format!(": {payload}") };
            format!("notification on {} from backend {pid}{with}", said("channel"))
        }
        "parameter" => format!("the setting {} is now {}", said("name"), said("value")),
        "refused" => format!("refused with {}: {}", said("code"), said("message")),
        "unknown-message" => format!("a message of an unknown type was passed on: {}", said("type")),
        other => format!("{other} {detail}"),
    }
}

/// What is told of a transaction: `#3 to #5 in transaction 741: delete of 1 row of public.orders`.
pub(crate) fn transaction(fields: &Fields<'_>) -> String {
    let (from, to) = (fields.from.unwrap_or(0), fields.to.unwrap_or(0));
    let of = if from == to { format!("#{from}") } else { format!("#{from} to #{to}") };
    let xid =
        fields.xid.map_or_else(|| "an unknown transaction".to_owned(), |xid| format!("transaction {xid}"));
    let said = match &*fields.k {
        "transaction.changed" if fields.action == "truncate" => format!(": truncate of {}", fields.table),
        "transaction.changed" => format!(": {}", changed(fields)),
        "transaction.ended" => {
            let changes = counted(fields.changes.unwrap_or(0), "row", "rows");
            match &*fields.how {
                "committed" => format!(": committed, {changes} changed"),
                "rolled-back" => ": rolled back".to_owned(),
                _ => ": what became of it is not known".to_owned(),
            }
        }
        _ => String::new(),
    };
    format!("{of} in {xid}{said}")
}

/// What a command changed: `delete of 1 row of public.orders`.
pub(crate) fn changed(fields: &Fields<'_>) -> String {
    let rows = fields.count.or(fields.rows).unwrap_or(0);
    let how = if fields.how == "counted" { ", counted" } else { "" };
    format!("{} of {} of {}{how}", fields.action, counted(rows, "row", "rows"), fields.table)
}

fn opened(fields: &Fields<'_>, payload: &Value) -> String {
    let role = fields.who.as_ref().map_or("", |who| &who.role);
    let tls = if fields.tls.is_empty() { "clear text" } else { &fields.tls };
    format!("from {} ({tls}) as role {role}", text(payload, "address"))
}

fn closed(fields: &Fields<'_>, payload: &Value) -> String {
    let mut out = fields.why.to_string();
    if let (Some(us), Some(commands)) = (fields.us, fields.commands) {
        out.push_str(&format!(" after {}, {}", duration(us), counted(commands, "command", "commands")));
    }
    let detail = text(payload, "detail");
    if detail.is_empty() { out } else { format!("{out}: {detail}") }
}

fn decided(fields: &Fields<'_>, payload: &Value) -> String {
    let verdict = match (&*fields.verdict, &*fields.mode) {
        ("allow", _) => String::new(),
        (verdict, "observe") => format!("({verdict} by {}, not enforced) ", fields.rule),
        ("hold", _) if !fields.approval.is_empty() => {
            format!("HELD by {}, approved ({}): ", fields.rule, fields.approval)
        }
        (verdict, _) => format!("{} by {}: ", verdict.to_uppercase(), fields.rule),
    };
    let prepare = if fields.step == "prepare" { "(prepare) " } else { "" };
    let statement = text(payload, "text");
    let parameters: Vec<String> = parameters(payload).into_iter().map(|(value, _)| value).collect();
    let with = if parameters.is_empty() { String::new() } else { format!("  [{}]", parameters.join(", ")) };
    let statement = if statement.is_empty() { fields.tag.to_string() } else { statement.to_owned() };
    format!("{verdict}{prepare}{statement}{with}")
}

/// Values and types of a command's parameters.
pub(crate) fn parameters(payload: &Value) -> Vec<(String, String)> {
    let list = payload.get("parameters").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .map(|p| match p {
            Value::Object(o) => (
                o.get("value").map_or_else(String::new, super::table::cell),
                o.get("type")
                    .map(|t| t.as_str().map_or_else(|| t.to_string(), str::to_owned))
                    .unwrap_or_default(),
            ),
            other => (super::table::cell(other), String::new()),
        })
        .collect()
}

/// How a command ended: `DELETE 1, 1.2 ms` or `error 42P01: …`.
pub(crate) fn outcome(fields: &Fields<'_>, payload: &Value) -> String {
    let mut parts = Vec::new();
    if fields.sqlstate.is_empty() {
        let tag = if fields.tag.is_empty() { text(payload, "tag") } else { &fields.tag };
        parts.push(if tag.is_empty() { "done".to_owned() } else { tag.to_owned() });
        // Tags such as `SELECT 3` say their rows already.
        let rows = fields.rows.unwrap_or(0);
        if rows > 0 && !tag.ends_with(&format!(" {rows}")) {
            parts.push(counted(rows, "row", "rows"));
        }
        if fields.suspended {
            parts.push("more to fetch".to_owned());
        }
    } else {
        let message = payload.get("error").map_or("", |error| text(error, "message"));
        parts.push(format!("error {}: {message}", fields.sqlstate).trim_end_matches([' ', ':']).to_owned());
    }
    if let Some(us) = fields.us {
        parts.push(duration(us));
    }
    parts.join(", ")
}

/// Why a command has no outcome.
pub(crate) fn abandoned(fields: &Fields<'_>) -> String {
    let forwarded = match fields.forwarded {
        Some(true) if fields.why == "skipped" => "not run: the target skips what follows an error",
        Some(true) => "sent to the target, its effect was not seen",
        Some(false) => "not sent to the target",
        None => "whether it was sent is not known",
    };
    format!("abandoned ({}): {forwarded}", fields.why)
}

/// Bytes as people say them.
pub(crate) fn bytes(n: u64) -> String {
    match n {
        0..10_240 => format!("{} B", number(n)),
        10_240..10_485_760 => format!("{} KiB", number(n >> 10)),
        _ => format!("{} MiB", number(n >> 20)),
    }
}

/// Administrative and log entries: their facts, key by key.
fn other(fields: &Fields<'_>, payload: &Value) -> String {
    let facts: Value =
        fields.facts.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or(Value::Null);
    let mut parts = Vec::new();
    let failed = facts.get("done") == Some(&Value::Bool(false));
    if failed {
        let errors = payload.get("detail").and_then(|d| d.get("errors")).and_then(Value::as_array);
        let errors: Vec<&str> = errors.into_iter().flatten().filter_map(Value::as_str).collect();
        parts.push(format!("FAILED: {}", errors.join("; ")).trim_end_matches([':', ' ']).to_owned());
    }
    for object in [Some(&facts), payload.get("detail")].into_iter().flatten() {
        for (key, value) in object.as_object().into_iter().flatten() {
            if failed && matches!(&**key, "done" | "errors") {
                continue;
            }
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            parts.push(format!("{key} {value}"));
        }
    }
    parts.join(", ")
}
