//! What a command says itself (its text, its parameters) on its way into the record: values that detection finds are
//! replaced there, after policy has read the original. The digest stays that of the original.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use firsthand_model::command::Command;
use firsthand_model::decision::Decision;
use firsthand_model::json::{self, Json};

use crate::port::{Found, Values};

/// What the record says of parameters that could not be looked at.
const WITHHELD: &str = "parameters-withheld";

/// The JSON is not as the record writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unread;

/// Replaces what is found in the command's text and parameters. The marker, `<label>`, is none of the masks that clients
/// read: a statement in the record is not one in which somebody wrote a mask back.
pub(crate) fn veil(command: &mut Command, values: &dyn Values) {
    let mut found = Vec::new();
    if let Some(text) = replaced(&command.text, values, &mut found) {
        if command.original_digest.is_none() {
            command.original_digest = Some(sha256(command.text.as_bytes()));
        }
        command.text = text;
        veil_tables(command, values, &mut found);
    }
    for said in [&mut command.parameters, &mut command.claims, &mut command.names] {
        if said.is_absent() {
            continue;
        }
        match strings_replaced(said.as_bytes(), values, &mut found) {
            Ok(None) => {}
            Ok(Some(veiled)) => *said = Json::from_written(veiled),
            // What cannot be looked at cannot be said to hold nothing.
            Err(Unread) => {
                *said = Json::default();
                command.coverage.push(WITHHELD);
            }
        }
    }
}

/// A text that is no command's (what somebody says of one) as the record may have it; `None`: as it is.
#[must_use]
pub fn veiled(text: &str, values: &dyn Values) -> Option<String> {
    replaced(text, values, &mut Vec::new())
}

/// Names of tables stand in the open part of the record: what is found in them is no name that anybody needs.
fn veil_tables(command: &mut Command, values: &dyn Values, found: &mut Vec<Found>) {
    let mut tables = command.shape.tables.clone();
    let mut any = false;
    for table in &mut tables {
        if let Some(veiled) = replaced(table, values, found) {
            (*table, any) = (veiled, true);
        }
    }
    if any {
        Arc::make_mut(&mut command.shape).tables = tables;
    }
}

/// The same for what policy says of the command: it may name a setting with its value.
pub(crate) fn veil_reason(decision: &mut Decision, values: &dyn Values) {
    let mut found = Vec::new();
    for said in [&mut decision.reason, &mut decision.advice] {
        if let Some(text) = replaced(said, values, &mut found) {
            *said = text.into();
        }
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.iter_mut().zip(digest(&SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    out
}

/// The text with what is found in it replaced; `None`: nothing is.
fn replaced(text: &str, values: &dyn Values, found: &mut Vec<Found>) -> Option<String> {
    found.clear();
    values.scan(text, "", found);
    if found.is_empty() {
        return None;
    }
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for Found { range, mask } in found.iter() {
        // A range that does not fit the text hides all of it.
        let Some(before) = text.get(at..range.start).filter(|_| text.is_char_boundary(range.end)) else {
            return Some("<masked>".to_owned());
        };
        out.push_str(before);
        out.push('<');
        out.push_str(&mask.label);
        out.push('>');
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Some(out)
}

/// Restricted JSON with what is found in its strings replaced; `None`: nothing is. Keys, and names of types, are strings
/// that hold nothing.
fn strings_replaced(
    text: &[u8],
    values: &dyn Values,
    found: &mut Vec<Found>,
) -> Result<Option<Vec<u8>>, Unread> {
    let (mut out, mut rest, mut any) = (Vec::with_capacity(text.len()), text, false);
    while let Some(start) = rest.iter().position(|b| *b == b'"') {
        let body = rest.get(start + 1..).ok_or(Unread)?;
        let mut end = 0;
        while *body.get(end).ok_or(Unread)? != b'"' {
            end += if body.get(end) == Some(&b'\\') { 2 } else { 1 };
        }
        let raw = body.get(..end).ok_or(Unread)?;
        let plain = unescaped(raw).ok_or(Unread)?;
        out.extend_from_slice(rest.get(..start).ok_or(Unread)?);
        match replaced(&plain, values, found) {
            Some(text) => {
                any = true;
                json::write_string(&mut out, &text);
            }
            None => {
                out.push(b'"');
                out.extend_from_slice(raw);
                out.push(b'"');
            }
        }
        rest = body.get(end + 1..).ok_or(Unread)?;
    }
    out.extend_from_slice(rest);
    Ok(any.then_some(out))
}

/// A string of restricted JSON, which has only the short escapes and `\u00xx`.
fn unescaped(raw: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    let text = str::from_utf8(raw).ok()?;
    if !text.contains('\\') {
        return Some(text.into());
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let code = u32::from_str_radix(chars.as_str().get(..4)?, 16).ok()?;
                chars = chars.as_str().get(4..)?.chars();
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other,
        });
    }
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use firsthand_model::masking::{ColumnMask, Style};

    use super::*;
    use crate::fake::command;

    /// Finds the word `secret`.
    struct Secret;

    impl Values for Secret {
        fn token(&self, _: &str, _: &[u8]) -> [u8; 16] {
            [0; 16]
        }

        fn scan(&self, value: &str, _: &str, found: &mut Vec<Found>) {
            if let Some(at) = value.find("secret") {
                let mask = ColumnMask {
                    label: Arc::from("word"),
                    rule: Arc::from("r"),
                    style: Style::Redact,
                    formless: false,
                };
                found.push(Found { range: at..at + 6, mask });
            }
        }
    }

    #[test]
    fn parameters_that_cannot_be_looked_at_are_not_kept() {
        let veiled = |parameters: &[u8]| {
            let mut command = command("SELECT 1");
            command.parameters = Json::from_written(parameters.to_vec());
            veil(&mut command, &Secret);
            (String::from_utf8_lossy(command.parameters.as_bytes()).into_owned(), command.coverage)
        };
        for whole in [r#"["nothing",1]"#, "[]", r#"["a\"b\u00e4"]"#] {
            assert_eq!(veiled(whole.as_bytes()), (whole.to_owned(), Vec::new()));
        }
        assert_eq!(veiled(br#"["a secret \n"]"#), (r#"["a <word> \n"]"#.to_owned(), Vec::new()));
        for broken in [&b"[\"a secret"[..], b"[\"secret\\\"", b"[\"secret\",\"\\u00\"]", b"[\"secret \xff\"]"]
        {
            assert_eq!(
                veiled(broken),
                (String::new(), vec![WITHHELD]),
                "{}",
                String::from_utf8_lossy(broken)
            );
        }
    }
}
