//! Errors, notices and notifications of the target, for the record.

use std::borrow::Cow;
use std::sync::Arc;

use firsthand_model::json::{Json, Object};
use firsthand_sql::{Masked, mask_message, mask_report};
use firsthand_wire::postgres::backend::{Notification, Report};

use super::parameters::write_said;

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

/// Fields that can quote statements other than the one that was asked: those of functions, or what RAISE was given.
const QUOTING: [u8; 5] = *b"DHMWq";

/// Coverage fact: an error or a notice has a text that is longer than is kept, or there were more notices.
pub(super) const MESSAGES_CUT: &str = "messages-cut";

/// Whether not all of a report is kept.
pub(super) fn is_cut(report: &Report<'_>) -> bool {
    FIELDS.iter().any(|(code, _)| report.field(*code).is_some_and(|value| value.len() > FIELD_BYTES_KEPT))
}

/// A field's value, as much of it as is kept.
fn field<'a>(report: &Report<'a>, code: u8) -> Option<Cow<'a, str>> {
    let value = if code == b'V' { Some(report.severity()) } else { report.field(code) }?;
    Some(String::from_utf8_lossy(value.get(..FIELD_BYTES_KEPT).unwrap_or(value)))
}

/// The same for an entry of its own: where not all of it is kept, it says so itself.
pub(super) fn noted(report: &Report<'_>) -> Json {
    let mut out = Vec::with_capacity(256);
    write_with(&mut out, report, None, if is_cut(report) { &[MESSAGES_CUT] } else { &[] });
    Json::from_written(out)
}

/// The report as a JSON object. Replaced in it are the secrets that the statement held, and those that the report itself
/// quotes: one field may repeat what only another shows to be a secret.
pub(super) fn write(out: &mut Vec<u8>, report: &Report<'_>, secrets: Option<&Arc<Masked>>) {
    write_with(out, report, secrets, &[]);
}

fn write_with(out: &mut Vec<u8>, report: &Report<'_>, secrets: Option<&Arc<Masked>>, coverage: &[&str]) {
    let own = |code: &u8| field(report, *code).and_then(|text| Some((*code, mask_report(&text)?)));
    let own: Vec<(u8, Masked)> = QUOTING.iter().filter_map(own).collect();
    let mut o = Object::open(out);
    for (code, key) in FIELDS {
        if code == b'D' && !coverage.is_empty() {
            // By key, as all of them.
            o.strings("coverage", coverage);
        }
        let Some(mut text) = field(report, code) else { continue };
        if let Some((_, masked)) = own.iter().find(|(of, _)| *of == code) {
            text = Cow::Owned(masked.text.clone());
        }
        let others = own.iter().map(|(_, masked)| masked);
        for secrets in secrets.map(Arc::as_ref).into_iter().chain(others) {
            if let Some(masked) = mask_message(&text, secrets) {
                text = Cow::Owned(masked);
            }
        }
        o.string(key, &text);
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
    write_said(o.key("channel"), it.channel);
    write_said(o.key("payload"), it.payload);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_a_message_says_when_it_is_cut() {
        for (length, cut) in [(FIELD_BYTES_KEPT, false), (FIELD_BYTES_KEPT + 1, true)] {
            let body = [b"SNOTICE\0C00000\0M", &*vec![b'x'; length], b"\0Dd\0\0"].concat();
            let it = Report::read(&body, "NoticeResponse").unwrap();
            let told = String::from_utf8(noted(&it).as_bytes().to_vec()).unwrap();
            assert_eq!(
                told.starts_with(r#"{"code":"00000","coverage":["messages-cut"],"detail":"d","#),
                cut,
                "{told}"
            );
        }
    }
}
