//! The target's reported settings that matter here, and values of parameters for the record.

use firsthand_model::json::{Json, Object, write_lossy};
use firsthand_model::limits::PARAMETER_BYTES_KEPT;
use firsthand_sql::{Settings, mask_connection, may_hold_secret};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::value;

use super::columns::write_type;

/// What the target has reported and this dialect acts on.
#[derive(Debug)]
pub(super) struct Parameters {
    /// Bytes that are ASCII stand for ASCII, also in the client's encoding: true of all but those that the server itself
    /// never stores.
    pub(super) ascii_safe: bool,
    /// How texts are read.
    pub(super) settings: Settings,
    /// The session's user at the target, as reported.
    pub(super) session_authorization: Option<Box<[u8]>>,
    /// Whether the role in force is a superuser, as reported.
    pub(super) is_superuser: Option<bool>,
}

impl Parameters {
    /// As a session starts: settings are what a server has that does not report them.
    pub(super) fn new(initial: &[(String, String)]) -> Self {
        let mut this = Self {
            ascii_safe: true,
            settings: Settings::default(),
            session_authorization: None,
            is_superuser: None,
        };
        for (name, value) in initial {
            this.set(name.as_bytes(), value.as_bytes());
        }
        this
    }

    /// A setting has this value now.
    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"standard_conforming_strings" => self.settings.standard_conforming_strings = value == b"on",
            b"client_encoding" => {
                self.settings.utf8 = is_utf8(value);
                self.ascii_safe = !embeds_ascii(value);
            }
            b"session_authorization" => self.session_authorization = Some(value.into()),
            b"is_superuser" => self.is_superuser = Some(value == b"on"),
            _ => {}
        }
    }
}

/// Whether an encoding's name means UTF-8; the server reports `UTF8`, but spells it as it was once set. SQL_ASCII is not:
/// then bytes above 0x7F mean what client and database agree on.
fn is_utf8(name: &[u8]) -> bool {
    let plain = name.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
    plain.clone().eq(*b"utf8") || plain.eq(*b"unicode")
}

/// Encodings with ASCII bytes inside of other characters (`PG_ENCODING_IS_CLIENT_ONLY`).
fn embeds_ascii(value: &[u8]) -> bool {
    let plain: Vec<u8> =
        value.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect();
    let starts = |name: &&[u8]| plain.starts_with(name);
    let names: [&[u8]; 9] =
        [b"sjis", b"shiftjis", b"mskanji", b"win932", b"windows93", b"big5", b"gbk", b"uhc", b"gb18030"];
    names.iter().any(starts)
        || [&b"johab"[..], b"windows949", b"win949", b"win950", b"win936"].iter().any(starts)
}

/// `{"name":…,"value":…}` for the record.
pub(super) fn changed(name: &[u8], value: &[u8]) -> Json {
    let mut out = Vec::with_capacity(name.len() + value.len() + 24);
    let mut o = Object::open(&mut out);
    write_lossy(o.key("name"), name);
    write_said(o.key("value"), value);
    o.close();
    Json::from_written(out)
}

/// A value without the credentials of a connection string in it; `None`: it holds none.
pub(super) fn without_credentials(value: &[u8]) -> Option<String> {
    // The quick look first: most values are not even read as text.
    if !may_hold_secret(value) {
        return None;
    }
    mask_connection(&String::from_utf8_lossy(value))
}

/// Appends a text that somebody has set or sent, without the credentials of a connection string.
pub(super) fn write_said(out: &mut Vec<u8>, value: &[u8]) {
    match without_credentials(value) {
        Some(masked) => firsthand_model::json::write_string(out, &masked),
        None => write_lossy(out, value),
    }
}

/// Renders values as `[{"type":…,"value":…},…]`, absent when there are none. The flag tells that some were left out
/// because of `limits::PARAMETER_BYTES_KEPT`. Credentials in connection strings are replaced.
pub(super) fn render<'a>(
    values: impl Iterator<Item = (Format, Option<&'a [u8]>)>,
    type_of: impl Fn(usize) -> u32,
) -> (Json, bool) {
    let mut out = Vec::new();
    let mut cut = false;
    for (i, (format, value)) in values.enumerate() {
        // A value can grow sixfold when it is escaped: what cannot fit is not rendered at all.
        if out.len() + value.map_or(0, <[u8]>::len) > PARAMETER_BYTES_KEPT {
            cut = true;
            break;
        }
        let before = out.len();
        out.push(if i == 0 { b'[' } else { b',' });
        let oid = type_of(i);
        let mut o = Object::open(&mut out);
        if oid != 0 {
            write_type(o.key("type"), oid);
        }
        // Numbers and the like in binary have no text to be read; what holds a NUL is none.
        let masked = value.filter(|v| !v.contains(&0)).and_then(without_credentials);
        value::render(o.key("value"), oid, format, masked.as_ref().map(String::as_bytes).or(value));
        o.close();
        if out.len() > PARAMETER_BYTES_KEPT {
            out.truncate(before);
            cut = true;
            break;
        }
    }
    if !out.is_empty() {
        out.push(b']');
    }
    (Json::from_written(out), cut)
}
