//! Errors, notices and notifications of the target, for the record.

use std::sync::Arc;

use firsthand_model::json::{self, Json, Object};
use firsthand_sql::{Masked, mask_message};
use firsthand_wire::postgres::backend::{Notification, Report};

/// Bytes kept of one field. Messages can quote whole statements and rows.
const FIELD_BYTES_KEPT: usize = 8 << 10;

/// Fields by their code on the wire (PostgreSQL docs 55.8) and their key in the record, by key.
const FIELDS: [(u8, &str); 14] = [
    (b'C', "code"),
    (b'c', "column"),
    (b'n', "constraint"),
    (b'W', "context"),
    (b'D', "detail"),
    (b'H', "hint"),
    (b'q', "internal_query"),
    (b'M', "message"),
    (b'P', "position"),
    (b'R', "routine"),
    (b's', "schema"),
    (b'V', "severity"),
    (b't', "table"),
    (b'd', "type"),
];

/// The report as a JSON object. Secrets that the statement held are replaced in it, too.
pub(super) fn write(out: &mut Vec<u8>, report: &Report<'_>, secrets: Option<&Arc<Masked>>) {
    let mut o = Object::open(out);
    for (code, key) in FIELDS {
        let value = if code == b'V' { Some(report.severity()) } else { report.field(code) };
        let Some(value) = value else { continue };
        let value = value.get(..FIELD_BYTES_KEPT).unwrap_or(value);
        let text = String::from_utf8_lossy(value);
        match secrets.and_then(|secrets| mask_message(&text, secrets)) {
            Some(masked) => o.string(key, &masked),
            None => o.string(key, &text),
        }
    }
    o.close();
}

/// The same as a value of its own.
pub(super) fn json(report: &Report<'_>, secrets: Option<&Arc<Masked>>) -> Json {
    let mut out = Vec::with_capacity(256);
    write(&mut out, report, secrets);
    Json::from_written(out)
}

/// `{"channel":…,"payload":…,"pid":…}`.
pub(super) fn notification(it: &Notification<'_>) -> Json {
    let mut out = Vec::with_capacity(64 + it.channel.len() + it.payload.len());
    let mut o = Object::open(&mut out);
    json::write_lossy(o.key("channel"), it.channel);
    json::write_lossy(o.key("payload"), it.payload);
    o.number("pid", u64::from(it.pid));
    o.close();
    Json::from_written(out)
}

/// `{"type":…}`: a message of a kind that is not known here.
pub(super) fn unknown(tag: u8) -> Json {
    let mut out = Vec::with_capacity(16);
    let mut o = Object::open(&mut out);
    o.string("type", &char::from(tag).escape_default().to_string());
    o.close();
    Json::from_written(out)
}
