//! The target's reported settings that matter here, and values of parameters for the record.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use firsthand_model::json::{Json, Object, write_lossy, write_string};
use firsthand_model::limits::PARAMETER_BYTES_KEPT;
use firsthand_sql::{Masked, SecretParameters, Settings, mask_connection, may_hold_secret};
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
    /// The encodings of the client and of the database, without what does not count in a name.
    encodings: [Box<[u8]>; 2],
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
            encodings: Default::default(),
            session_authorization: None,
            is_superuser: None,
        };
        for (name, value) in initial {
            this.set(name.as_bytes(), value.as_bytes());
        }
        this
    }

    /// Whether the server sends texts as it stores them: then none can fail to be converted for the client.
    pub(super) fn same_encoding(&self) -> bool {
        let [client, server] = &self.encodings;
        !client.is_empty() && (client == server || **client == *b"sqlascii")
    }

    /// Whether the server can make UTF-8 of every text that it stores.
    pub(super) fn server_converts(&self) -> bool {
        let [_, server] = &self.encodings;
        !server.is_empty() && **server != *b"sqlascii"
    }

    /// A setting has this value now.
    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"standard_conforming_strings" => self.settings.standard_conforming_strings = value == b"on",
            b"client_encoding" => {
                self.settings.utf8 = is_utf8(value);
                self.ascii_safe = !embeds_ascii(value);
                self.encodings[0] = plain_name(value);
            }
            b"server_encoding" => self.encodings[1] = plain_name(value),
            b"session_authorization" => self.session_authorization = Some(value.into()),
            b"is_superuser" => self.is_superuser = Some(value == b"on"),
            _ => {}
        }
    }
}

/// An encoding's name, as far as it counts.
fn plain_name(name: &[u8]) -> Box<[u8]> {
    if is_utf8(name) {
        return b"utf8"[..].into();
    }
    name.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
}

/// Whether constants in a text are read by that setting.
pub(super) fn reads_constants(name: &[u8]) -> bool {
    matches!(
        name,
        b"DateStyle" | b"IntervalStyle" | b"TimeZone" | b"client_encoding" | b"standard_conforming_strings"
    )
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
        Some(masked) => write_string(out, &masked),
        None => write_lossy(out, value),
    }
}

/// What stands in the record for a value that is a secret.
const SECRET: &str = "***";

/// The values of a portal, for the record.
pub(super) struct Values {
    /// JSON array, or absent.
    pub(super) parameters: Json,
    /// Some were left out.
    pub(super) cut: bool,
    /// Where some are secrets: those and the text's own, for what the target says of them.
    pub(super) secrets: Option<Arc<Masked>>,
}

impl Values {
    /// Of a Bind whose values are not known.
    pub(super) fn untold() -> Self {
        Self { parameters: Json::default(), cut: true, secrets: None }
    }

    /// Of a Bind. `known`: the secrets of its statement's text.
    pub(super) fn of<'a, 's, I: Iterator<Item = (Format, Option<&'a [u8]>)>>(
        values: impl Fn() -> I,
        type_of: impl Fn(usize) -> u32,
        secret: SecretParameters,
        known: impl FnOnce() -> Option<&'s Masked>,
    ) -> Self {
        let (parameters, cut) = render(values(), type_of, secret);
        let secrets = (!secret.is_empty()).then(|| {
            let hidden = values().enumerate().filter(|(i, _)| secret.has(*i));
            let texts = hidden.filter_map(|(_, (_, value))| str::from_utf8(value?).ok());
            Arc::new(known().cloned().unwrap_or_default().knowing(texts))
        });
        Self { parameters, cut, secrets }
    }
}

/// Renders values as `[{"type":…,"value":…},…]`, absent when there are none. The flag tells that some were left out
/// because of `limits::PARAMETER_BYTES_KEPT`. Credentials in connection strings are replaced, and values that are `secret`.
pub(super) fn render<'a>(
    values: impl Iterator<Item = (Format, Option<&'a [u8]>)>,
    type_of: impl Fn(usize) -> u32,
    secret: SecretParameters,
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
        match value.and_then(without_credentials) {
            _ if secret.has(i) && value.is_some() => write_string(o.key("value"), SECRET),
            // Text within a binary value of many parts, such as an array: their lengths would no longer fit, so the whole
            // is shown as it reads.
            Some(masked) if masked.contains('\0') => write_string(o.key("value"), &masked),
            Some(masked) => value::render(o.key("value"), oid, format, Some(masked.as_bytes())),
            None => value::render(o.key("value"), oid, format, value),
        }
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

/// SHA-256 of the values as they came, each with its format and type: what is rendered has lost some of them. `None`: there
/// are none.
pub(super) fn digest<'a>(
    values: impl Iterator<Item = (Format, Option<&'a [u8]>)>,
    type_of: impl Fn(usize) -> u32,
) -> Option<[u8; 32]> {
    let mut values = values.enumerate().peekable();
    values.peek()?;
    let mut context = Context::new(&SHA256);
    for (i, (format, value)) in values {
        context.update(&[u8::from(format == Format::Binary), u8::from(value.is_some())]);
        context.update(&type_of(i).to_be_bytes());
        let value = value.unwrap_or_default();
        context.update(&(value.len() as u64).to_be_bytes());
        context.update(value);
    }
    context.finish().as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &[u8] = b"postgresql://app:hunter2@db/x";

    fn rendered(oid: u32, format: Format, value: &[u8]) -> String {
        let (json, cut) = render([(format, Some(value))].into_iter(), |_| oid, SecretParameters::default());
        assert!(!cut);
        String::from_utf8(json.as_bytes().to_vec()).unwrap()
    }

    /// As PostgreSQL sends it: dimensions, flags, type, length, lower bound, then each value behind its length.
    fn array(values: &[&[u8]]) -> Vec<u8> {
        let mut out = [1, 0, 25, values.len() as u32, 1].map(u32::to_be_bytes).concat();
        for value in values {
            out.extend((value.len() as u32).to_be_bytes());
            out.extend_from_slice(value);
        }
        out
    }

    #[test]
    fn credentials_are_masked_in_every_format_and_type() {
        let conninfo = b"host=db user=app password='hunter2 \\'hunter2' dbname=x";
        let lines = [URL, b"\n", conninfo].concat();
        let json = [&b"\x01{\"url\":\""[..], URL, b"\"}"].concat();
        let binary = Format::Binary;
        for (oid, format, value) in [
            (25, Format::Text, URL),
            (25, binary, URL),
            (0, binary, URL),
            (25, binary, &lines),
            (1043, binary, conninfo),
            (17, binary, URL),
            (17, binary, &[b"\0\xff", URL].concat()),
            (3802, binary, &json),
            (1009, binary, &array(&[b"plain", URL])),
            (1009, binary, &array(&[conninfo, URL])),
            (0, binary, &array(&[conninfo])),
            (90_001, binary, &[&[0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 29], URL].concat()),
        ] {
            let told = rendered(oid, format, value);
            let hex = "hunter2".bytes().map(|b| format!("{b:02x}")).collect::<String>();
            assert!(!told.contains("hunter2") && !told.contains(&hex), "{oid}: {told}");
        }
        assert!(rendered(25, binary, URL).contains("postgresql://app:***@db/x"));
        assert!(rendered(1009, binary, &array(&[b"a", URL])).contains("app:***@db/x"));
    }

    #[test]
    fn a_value_that_is_a_secret_by_its_place_is_not_shown_and_known_to_messages() {
        let text = "select set_config('app.password', $1, false), crypt(trim($3), gen_salt('bf')), $2";
        let (masked, secret) = firsthand_sql::mask_all(text);
        assert!(masked.is_none());
        let values: [Option<&[u8]>; 3] = [Some(b"hunter2"), Some(b"plain"), Some(b"geheim12")];
        let values = || values.iter().map(|value| (Format::Text, *value));
        let it = Values::of(values, |_| 25, secret, || masked.as_ref());
        let told = String::from_utf8_lossy(it.parameters.as_bytes()).into_owned();
        let expected = r#"[{"type":"text","value":"***"},{"type":"text","value":"plain"},{"type":"text","value":"***"}]"#;
        assert_eq!(told, expected);
        let message = firsthand_sql::mask_message("invalid salt: geheim12", &it.secrets.unwrap());
        assert_eq!(message.as_deref(), Some("invalid salt: ***"));
    }

    #[test]
    fn what_holds_none_is_shown_as_its_type() {
        let array = array(&[b"a", b"b c"]);
        assert_eq!(rendered(1009, Format::Binary, &array), r#"[{"type":"text[]","value":"{a,\"b c\"}"}]"#);
        assert_eq!(rendered(23, Format::Binary, &[0, 0, 0, 7]), r#"[{"type":"int4","value":"7"}]"#);
    }
}
