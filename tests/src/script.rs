//! Scripts of raw frontend messages, as data: one JSON array a line, see `tests/wire/README.md`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::place::Place;
use crate::raw::{Message, PROTOCOL_3_0, Raw, frame};

/// Bytes written at once above which [`Script::run_in_pieces`] does not cut them.
const PIECES_MAX: usize = 1 << 16;

/// A parsed script.
#[derive(Debug, Clone)]
pub struct Script {
    lines: Vec<(usize, Vec<Value>)>,
}

impl Script {
    /// Reads a script file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let value: Vec<Value> =
                serde_json::from_str(line).with_context(|| format!("{}:{}", path.display(), index + 1))?;
            lines.push((index + 1, value));
        }
        Ok(Self { lines })
    }

    /// Runs it at `place`; returns one line per message of the server, and per end of a connection.
    pub fn run(&self, place: &Place) -> Result<Vec<String>> {
        self.run_in_pieces(place, usize::MAX)
    }

    /// The same, written `piece` bytes at a time, each in a TCP segment of its own.
    pub fn run_in_pieces(&self, place: &Place, piece: usize) -> Result<Vec<String>> {
        let mut run = Run {
            place,
            transcript: Vec::new(),
            connections: BTreeMap::new(),
            on: "a".to_owned(),
            piece,
            parameters: Vec::new(),
        };
        for (number, line) in &self.lines {
            run.step(line)
                .with_context(|| format!("line {number}; so far:\n{}", run.transcript.join("\n")))?;
        }
        Ok(run.transcript)
    }
}

struct Run<'a> {
    place: &'a Place,
    transcript: Vec<String>,
    connections: BTreeMap<String, Talk>,
    on: String,
    parameters: Vec<(String, String)>,
    /// Most bytes written at once.
    piece: usize,
}

/// A connection, and what is to be written at the next `until` or `send`.
struct Talk {
    raw: Raw,
    pending: Vec<u8>,
}

impl Run<'_> {
    fn step(&mut self, line: &[Value]) -> Result<()> {
        let verb = text(line, 0)?;
        match verb {
            "on" => text(line, 1)?.clone_into(&mut self.on),
            "startup" => self.parameters.push((text(line, 1)?.to_owned(), text(line, 2)?.to_owned())),
            "refused" => self.expect_refused()?,
            "send" => self.flush()?,
            "until" => self.read_until(line)?,
            "cancel" => {
                self.flush()?;
                let place = self.place;
                self.talk()?.raw.cancel(place)?;
            }
            "repeat" => {
                let bytes = message(line.get(2..).context("nothing to repeat")?)?;
                for _ in 0..number(line, 1)? {
                    self.talk()?.pending.extend(&bytes);
                }
            }
            _ => {
                let bytes = message(line)?;
                self.talk()?.pending.extend(bytes);
            }
        }
        Ok(())
    }

    /// The current connection, logged in when it is first used; its greeting is part of the transcript.
    fn talk(&mut self) -> Result<&mut Talk> {
        if !self.connections.contains_key(&self.on) {
            let parameters: Vec<(&str, &str)> =
                self.parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let mut raw = Raw::connect(self.place)?;
            raw.start(self.place, PROTOCOL_3_0, &parameters)?;
            let lines = raw.greeting.iter().map(Message::line);
            self.transcript.extend(lines.map(|line| format!("{} {line}", self.on)));
            self.connections.insert(self.on.clone(), Talk { raw, pending: Vec::new() });
        }
        self.connections.get_mut(&self.on).context("no connection")
    }

    fn expect_refused(&mut self) -> Result<()> {
        let parameters: Vec<(&str, &str)> =
            self.parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let mut raw = Raw::connect(self.place)?;
        match raw.start(self.place, PROTOCOL_3_0, &parameters) {
            Ok(()) => bail!("the login was to be refused"),
            Err(why) => self.transcript.push(format!("{why}")),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let piece = self.piece;
        let talk = self.talk()?;
        // A server that has closed already cannot be written to: what it said before is what counts.
        // Beyond some size the pieces would only take time.
        let piece = if talk.pending.len() > PIECES_MAX { talk.pending.len() } else { piece };
        for part in talk.pending.chunks(piece.max(1)) {
            if talk.raw.stream.write_all(part).is_err() {
                break;
            }
        }
        talk.pending.clear();
        Ok(())
    }

    fn read_until(&mut self, line: &[Value]) -> Result<()> {
        self.flush()?;
        let wanted = text(line, 1)?;
        let on = self.on.clone();
        let raw = &mut self.talk()?.raw;
        let mut seen = Vec::new();
        if wanted == "closed" {
            seen.extend(raw.until_closed()?);
        } else {
            let tag = *wanted.as_bytes().first().context("no message type")?;
            for _ in 0..number(line, 2).unwrap_or(1) {
                seen.extend(raw.until(tag)?);
            }
        }
        self.transcript.extend(seen.iter().map(|message| format!("{on} {}", shown(message))));
        if wanted == "closed" {
            self.transcript.push(format!("{on} (closed)"));
            self.connections.remove(&on);
        }
        Ok(())
    }
}

/// The message's line, without what two runs, or two programs, cannot share: the notifying process; where exactly a
/// cancelled statement stood (57014, field W); and where a malformed message was found (08P01, fields W, F, L and
/// R), because the gateway answers those it cannot read itself.
fn shown(message: &Message) -> String {
    let mut message = message.clone();
    if message.tag == b'A' && message.body.len() >= 4 {
        message.body.splice(..4, *b"pid:");
    }
    let dropped: &[u8] = match message.field(b'C').as_deref() {
        Some("57014") if message.tag == b'E' => b"W",
        Some("08P01") if message.tag == b'E' => b"WFLR",
        _ => b"",
    };
    if !dropped.is_empty() {
        let fields = message.body.split(|&byte| byte == 0);
        let kept = fields.filter(|f| !f.first().is_some_and(|code| dropped.contains(code)));
        message.body = kept.collect::<Vec<_>>().join(&0);
    }
    message.line()
}

/// The bytes of one frontend message.
fn message(line: &[Value]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let tag = match text(line, 0)? {
        "query" => {
            string(&mut body, text(line, 1)?);
            b'Q'
        }
        "parse" => {
            string(&mut body, text(line, 1)?);
            string(&mut body, text(line, 2)?);
            let oids = list(line, 3);
            short(&mut body, oids.len())?;
            for oid in oids {
                body.extend(u32::try_from(oid.as_u64().context("an oid")?)?.to_be_bytes());
            }
            b'P'
        }
        "bind" => {
            string(&mut body, text(line, 1)?);
            string(&mut body, text(line, 2)?);
            arguments(&mut body, list(line, 3), list(line, 4))?;
            formats(&mut body, list(line, 5))?;
            b'B'
        }
        "call" => {
            body.extend(u32::try_from(number(line, 1)?)?.to_be_bytes());
            arguments(&mut body, list(line, 2), list(line, 3))?;
            body.extend(u16::try_from(number(line, 4)?)?.to_be_bytes());
            b'F'
        }
        "describe" => named(&mut body, line, b'D')?,
        "close" => named(&mut body, line, b'C')?,
        "execute" => {
            string(&mut body, text(line, 1)?);
            body.extend(u32::try_from(number(line, 2).unwrap_or(0))?.to_be_bytes());
            b'E'
        }
        "copydata" => {
            body = value(line.get(1).context("no data")?)?;
            b'd'
        }
        "copyfail" => {
            string(&mut body, text(line, 1)?);
            b'f'
        }
        "copydone" => b'c',
        "sync" => b'S',
        "flush" => b'H',
        "terminate" => b'X',
        "frame" => {
            body = value(line.get(2).context("no body")?)?;
            *text(line, 1)?.as_bytes().first().context("no type")?
        }
        "bytes" => return value(line.get(1).context("no bytes")?),
        other => bail!("no such message: {other}"),
    };
    Ok(frame(tag, &body))
}

fn named(body: &mut Vec<u8>, line: &[Value], tag: u8) -> Result<u8> {
    body.extend(text(line, 1)?.as_bytes());
    string(body, text(line, 2)?);
    Ok(tag)
}

fn arguments(body: &mut Vec<u8>, codes: &[Value], values: &[Value]) -> Result<()> {
    formats(body, codes)?;
    short(body, values.len())?;
    for item in values {
        if item.is_null() {
            body.extend((-1i32).to_be_bytes());
        } else {
            let bytes = value(item)?;
            body.extend(u32::try_from(bytes.len())?.to_be_bytes());
            body.extend(bytes);
        }
    }
    Ok(())
}

fn formats(body: &mut Vec<u8>, codes: &[Value]) -> Result<()> {
    short(body, codes.len())?;
    for code in codes {
        body.extend(u16::try_from(code.as_u64().context("a format code")?)?.to_be_bytes());
    }
    Ok(())
}

/// Bytes: a string as UTF-8, `{"hex": "…"}`, or `{"times": n, "of": "…"}` for large ones.
fn value(item: &Value) -> Result<Vec<u8>> {
    if let Some(text) = item.as_str() {
        return Ok(text.as_bytes().to_vec());
    }
    if let Some(hex) = item.get("hex").and_then(Value::as_str) {
        let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
        return digits
            .chunks(2)
            .map(|pair| Ok(u8::from_str_radix(&pair.iter().collect::<String>(), 16)?))
            .collect();
    }
    let times = item.get("times").and_then(Value::as_u64).context("a value is a string, hex or times")?;
    let of = item.get("of").and_then(Value::as_str).context("times of what")?;
    Ok(of.repeat(usize::try_from(times)?).into_bytes())
}

fn string(body: &mut Vec<u8>, text: &str) {
    body.extend(text.as_bytes());
    body.push(0);
}

fn short(body: &mut Vec<u8>, count: usize) -> Result<()> {
    body.extend(u16::try_from(count)?.to_be_bytes());
    Ok(())
}

fn text(line: &[Value], index: usize) -> Result<&str> {
    line.get(index)
        .and_then(Value::as_str)
        .with_context(|| format!("argument {index} is to be a string: {line:?}"))
}

fn number(line: &[Value], index: usize) -> Result<u64> {
    line.get(index)
        .and_then(Value::as_u64)
        .with_context(|| format!("argument {index} is to be a number: {line:?}"))
}

fn list(line: &[Value], index: usize) -> &[Value] {
    line.get(index).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
