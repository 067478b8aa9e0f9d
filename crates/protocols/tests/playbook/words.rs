//! The language of playbooks: messages in words to bytes, and bytes back to words.

use bytes::BytesMut;
use firsthand_wire::postgres::encode::message;
use firsthand_wire::postgres::frame::{Frames, Rules};

/// One message in words: its name and its arguments.
pub(crate) type Words = Vec<Word>;

/// A word; `quoted` tells `"NULL"` from `NULL`.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) text: Vec<u8>,
    pub(crate) quoted: bool,
}

impl Word {
    pub(crate) fn str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap()
    }
}

/// Splits a line into messages (`;` between them) of words; `"…"` with \n, \0, \xNN, \" and \\.
pub(crate) fn split(line: &str) -> Vec<Words> {
    let mut all = vec![Words::new()];
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' => {}
            ';' => all.push(Words::new()),
            '"' => {
                let text = quoted(&mut chars);
                all.last_mut().unwrap().push(Word { text, quoted: true });
            }
            c => {
                let mut text = c.to_string();
                while let Some(c) = chars.next_if(|c| *c != ' ' && *c != ';') {
                    text.push(c);
                }
                all.last_mut().unwrap().push(Word { text: text.into_bytes(), quoted: false });
            }
        }
    }
    all.retain(|words| !words.is_empty());
    all
}

fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        match chars.next().expect("a quote is not closed") {
            '"' => return out,
            '\\' => match chars.next().unwrap() {
                'n' => out.push(b'\n'),
                '0' => out.push(0),
                'x' => {
                    let hex: String = [chars.next().unwrap(), chars.next().unwrap()].iter().collect();
                    out.push(u8::from_str_radix(&hex, 16).unwrap());
                }
                // A long run: \{2000x} is 2000 times the letter x.
                '{' => {
                    let mut n = String::new();
                    while let Some(d) = chars.next_if(char::is_ascii_digit) {
                        n.push(d);
                    }
                    let c = chars.next().unwrap() as u8;
                    assert_eq!(chars.next(), Some('}'));
                    out.extend(std::iter::repeat_n(c, n.parse().unwrap()));
                }
                c => out.push(c as u8),
            },
            c => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
}

fn arg(words: &Words, at: usize) -> &[u8] {
    match words.get(at) {
        Some(word) if word.quoted || word.text != b"-" => &word.text,
        _ => b"",
    }
}

fn number(words: &Words, at: usize) -> i64 {
    words.get(at).map_or(0, |w| w.str().parse().unwrap())
}

fn cstr(out: &mut BytesMut, text: &[u8]) {
    out.extend_from_slice(text);
    out.extend_from_slice(&[0]);
}

fn type_oid(name: &str) -> u32 {
    match name {
        "int4" => 23,
        "int8" => 20,
        "text" => 25,
        "bytea" => 17,
        "uuid" => 2950,
        "json" => 114,
        "text[]" => 1009,
        "-" => 0,
        other => other.parse().unwrap(),
    }
}

/// A value: NULL, `b:int4:7` for binary, or its text.
fn value(out: &mut BytesMut, word: &Word) {
    if !word.quoted && word.text == b"NULL" {
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        return;
    }
    let bytes = match word.text.strip_prefix(b"b:int4:") {
        Some(n) if !word.quoted => {
            let n: i32 = std::str::from_utf8(n).unwrap().parse().unwrap();
            n.to_be_bytes().to_vec()
        }
        _ => word.text.clone(),
    };
    out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// Appends what a client sends.
pub(crate) fn client(out: &mut BytesMut, words: &Words) {
    let name = words[0].str().to_owned();
    let tag = match name.as_str() {
        "Query" => b'Q',
        "Parse" => b'P',
        "Bind" => b'B',
        "Describe" => b'D',
        "Execute" => b'E',
        "Close" => b'C',
        "Sync" => b'S',
        "Flush" => b'H',
        "FunctionCall" => b'F',
        "CopyData" => b'd',
        "CopyDone" => b'c',
        "CopyFail" => b'f',
        "Terminate" => b'X',
        "bytes" => return out.extend_from_slice(arg(words, 1)),
        other => panic!("no client message {other}"),
    };
    message(out, tag, |out| match name.as_str() {
        "Query" | "CopyFail" => cstr(out, arg(words, 1)),
        "Parse" => {
            cstr(out, arg(words, 1));
            cstr(out, arg(words, 2));
            out.extend_from_slice(&(words.len().saturating_sub(3) as u16).to_be_bytes());
            words.iter().skip(3).for_each(|w| out.extend_from_slice(&type_oid(w.str()).to_be_bytes()));
        }
        "Bind" => bind(out, words),
        "Describe" | "Close" => {
            out.extend_from_slice(arg(words, 1));
            cstr(out, arg(words, 2));
        }
        "Execute" => {
            cstr(out, arg(words, 1));
            out.extend_from_slice(&(number(words, 2) as i32).to_be_bytes());
        }
        "FunctionCall" => {
            out.extend_from_slice(&(number(words, 1) as u32).to_be_bytes());
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&(words.len().saturating_sub(2) as u16).to_be_bytes());
            words.iter().skip(2).for_each(|w| value(out, w));
            out.extend_from_slice(&[0, 0]);
        }
        "CopyData" => out.extend_from_slice(arg(words, 1)),
        _ => {}
    });
}

/// `Bind portal statement value… [> result-format]`: a value `b:…` makes all values binary.
fn bind(out: &mut BytesMut, words: &Words) {
    cstr(out, arg(words, 1));
    cstr(out, arg(words, 2));
    let end = words.iter().position(|w| !w.quoted && w.text == b">").unwrap_or(words.len());
    let values = words.get(3..end).unwrap_or_default();
    let binary = values.iter().any(|w| !w.quoted && w.text.starts_with(b"b:"));
    out.extend_from_slice(&[0, 1, 0, u8::from(binary)]);
    out.extend_from_slice(&(values.len() as u16).to_be_bytes());
    values.iter().for_each(|w| value(out, w));
    match words.get(end + 1) {
        Some(format) => out.extend_from_slice(&[0, 1, 0, u8::from(format.text == b"binary")]),
        None => out.extend_from_slice(&[0, 0]),
    }
}

/// Appends what a server sends.
pub(crate) fn server(out: &mut BytesMut, words: &Words) {
    let name = words[0].str().to_owned();
    let tag = match name.as_str() {
        "RowDescription" => b'T',
        "DataRow" => b'D',
        "CommandComplete" => b'C',
        "EmptyQueryResponse" => b'I',
        "PortalSuspended" => b's',
        "ReadyForQuery" => b'Z',
        "ParseComplete" => b'1',
        "BindComplete" => b'2',
        "CloseComplete" => b'3',
        "NoData" => b'n',
        "ParameterDescription" => b't',
        "ErrorResponse" => b'E',
        "NoticeResponse" => b'N',
        "NotificationResponse" => b'A',
        "ParameterStatus" => b'S',
        "CopyInResponse" => b'G',
        "CopyOutResponse" | "CopyOutResponse2" => b'H',
        "CopyBothResponse" => b'W',
        "CopyData" => b'd',
        "CopyDone" => b'c',
        "FunctionCallResponse" => b'V',
        "bytes" => return out.extend_from_slice(arg(words, 1)),
        other => panic!("no server message {other}"),
    };
    message(out, tag, |out| match name.as_str() {
        "RowDescription" => row_description(out, words),
        "DataRow" => {
            out.extend_from_slice(&((words.len() - 1) as u16).to_be_bytes());
            words.iter().skip(1).for_each(|w| value(out, w));
        }
        "CommandComplete" => cstr(out, arg(words, 1)),
        "ReadyForQuery" | "CopyData" => out.extend_from_slice(arg(words, 1)),
        "ParameterDescription" => {
            out.extend_from_slice(&((words.len() - 1) as u16).to_be_bytes());
            words.iter().skip(1).for_each(|w| out.extend_from_slice(&type_oid(w.str()).to_be_bytes()));
        }
        "ErrorResponse" | "NoticeResponse" => {
            for (code, at) in [(b'S', 1), (b'V', 1), (b'C', 2), (b'M', 3)] {
                out.extend_from_slice(&[code]);
                cstr(out, arg(words, at));
            }
            // More fields, each with its code: RCopyGetData.
            words.iter().skip(4).for_each(|w| cstr(out, &w.text));
            out.extend_from_slice(&[0]);
        }
        "NotificationResponse" => {
            out.extend_from_slice(&(number(words, 1) as u32).to_be_bytes());
            cstr(out, arg(words, 2));
            cstr(out, arg(words, 3));
        }
        "ParameterStatus" => {
            cstr(out, arg(words, 1));
            cstr(out, arg(words, 2));
        }
        "CopyInResponse" | "CopyOutResponse" | "CopyBothResponse" => copy_response(out, words, 1),
        // With so many columns.
        "CopyOutResponse2" => copy_response(out, words, number(words, 2) as u8),
        "FunctionCallResponse" => value(out, &words[1]),
        _ => {}
    });
}

fn copy_response(out: &mut BytesMut, words: &Words, columns: u8) {
    let binary = u8::from(arg(words, 1) == b"binary");
    out.extend_from_slice(&[binary, 0, columns]);
    (0..columns).for_each(|_| out.extend_from_slice(&[0, binary]));
}

/// `name:type`, or `name:type:b` for a binary column; `name@77.2:type` for one that comes from a table's column.
fn row_description(out: &mut BytesMut, words: &Words) {
    out.extend_from_slice(&((words.len() - 1) as u16).to_be_bytes());
    for word in words.iter().skip(1) {
        let mut parts = word.str().split(':');
        let name = parts.next().unwrap();
        let (name, origin) = name.split_once('@').unwrap_or((name, "0.0"));
        let (table, number) = origin.split_once('.').unwrap();
        cstr(out, name.as_bytes());
        out.extend_from_slice(&table.parse::<u32>().unwrap().to_be_bytes());
        out.extend_from_slice(&number.parse::<i16>().unwrap().to_be_bytes());
        out.extend_from_slice(&type_oid(parts.next().unwrap()).to_be_bytes());
        out.extend_from_slice(&[0, 4, 255, 255, 255, 255, 0, u8::from(parts.next().is_some())]);
    }
}

/// What bytes toward the server or the client say, a line per message. Bytes that are no whole message are shown as such.
pub(crate) fn tell(bytes: &[u8], from_server: bool) -> Vec<String> {
    let rules =
        if from_server { Rules::backend(u32::MAX, u32::MAX) } else { Rules::frontend(u32::MAX, u32::MAX) };
    let mut frames = Frames::new(bytes, &rules);
    let mut lines = Vec::new();
    while let Ok(Some(frame)) = frames.next() {
        lines.push(format!("{} {}", frame.tag as char, printable(frame.body)));
    }
    if frames.consumed() < bytes.len() {
        lines.push(format!("… {}", printable(&bytes[frames.consumed()..])));
    }
    lines
}

fn printable(body: &[u8]) -> String {
    if body.len() > 300 {
        return format!("({} bytes)", body.len());
    }
    body.escape_ascii().to_string().replace("\\x00", "·")
}
