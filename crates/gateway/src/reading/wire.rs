//! What a reading gives, as lines of JSON (docs/api.md): each an object with one key. `entry` is the line that
//! `log cat --json` prints; `names` goes before the entries that need them; `end` or `error` is the last line, so that a
//! connection that breaks is not taken for the end of the record.

use std::collections::{BTreeMap, HashMap};

use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::index::SessionLine;
use firsthand_auditlog::names::Names;
use firsthand_auditlog::reader::Place;
use firsthand_auditlog::reader::payload::Payload;
use firsthand_auditlog::search::Found;
use firsthand_auditlog::search::sessions::SessionSummary;
use firsthand_model::id::SessionId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::Sink;
use crate::failure::{Exit, Failure};
use crate::show::{clean, entry};

/// Names of which it is remembered that they were sent. Past it they are sent again.
const SENT_MAX: usize = 1 << 16;

/// Turns what is found into lines.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    sent: HashMap<String, String>,
    /// Lines that were not taken yet.
    pub(crate) lines: Vec<u8>,
}

impl Writer {
    pub(crate) fn session(&mut self, summary: &SessionSummary) {
        self.line(&json!({ "session": Summary::of(summary) }).to_string());
    }

    pub(crate) fn listed(&mut self, summary: &SessionSummary, first: &Found, names: &Names) {
        self.names(first, names);
        let summary = json!(Summary::of(summary));
        self.line(&format!("{{\"listed\":{{\"session\":{summary},\"first\":{}}}}}", entry::json(first)));
    }

    pub(crate) fn entry(&mut self, found: &Found, names: &Names) {
        self.names(found, names);
        self.line(&format!("{{\"entry\":{}}}", entry::json(found)));
    }

    pub(crate) fn remark(&mut self, text: &str) {
        self.line(&json!({ "note": text }).to_string());
    }

    /// The last line.
    pub(crate) fn end(&mut self, ended: &Result<Exit, Failure>) {
        let line = match ended {
            Ok(exit) => json!({ "end": { "exit": *exit as u8 } }),
            Err(failure) => json!({ "error": {
                "errors": failure.messages, "hint": failure.hint, "exit": failure.exit as u8,
            } }),
        };
        self.line(&line.to_string());
    }

    /// The names behind the ids of an entry, as far as they are new.
    fn names(&mut self, found: &Found, names: &Names) {
        let Ok(fields) = Fields::read(&found.leaf) else { return };
        let mut new = BTreeMap::new();
        let who = fields.who.iter().flat_map(|who| who.chain.iter().map(|l| &l.id).chain([&who.agent]));
        for id in who.chain(fields.by.iter().chain(&fields.chain).map(|link| &link.id)) {
            let Some(name) = names.name(id) else { continue };
            if self.sent.get(&**id).is_none_or(|sent| sent != name) {
                new.insert(id.to_string(), name.to_owned());
            }
        }
        if new.is_empty() {
            return;
        }
        self.line(&clean::json(&json!({ "names": new }).to_string()));
        if self.sent.len() >= SENT_MAX {
            self.sent.clear();
        }
        self.sent.extend(new);
    }

    fn line(&mut self, text: &str) {
        self.lines.extend_from_slice(text.as_bytes());
        self.lines.push(b'\n');
    }
}

/// A session in numbers.
#[derive(Debug, Deserialize, Serialize)]
struct Summary {
    id: String,
    first: (u64, u64),
    last: (u64, u64),
    from: u64,
    until: u64,
    commands: u32,
    refused: u32,
    errors: u32,
    abandoned: u32,
    rows: u64,
    opened: bool,
    closed: bool,
}

impl Summary {
    fn of(summary: &SessionSummary) -> Self {
        let SessionSummary { id, first, last, line } = summary;
        Self {
            id: id.to_string(),
            first: (first.epoch, first.position),
            last: (last.epoch, last.position),
            from: line.from,
            until: line.until,
            commands: line.commands,
            refused: line.refused,
            errors: line.errors,
            abandoned: line.abandoned,
            rows: line.rows,
            opened: line.opened,
            closed: line.closed,
        }
    }

    fn read(&self) -> Option<SessionSummary> {
        let place = |(epoch, position)| Place { epoch, position };
        let line = SessionLine {
            first: self.first.1,
            last: self.last.1,
            from: self.from,
            until: self.until,
            commands: self.commands,
            refused: self.refused,
            errors: self.errors,
            abandoned: self.abandoned,
            rows: self.rows,
            opened: self.opened,
            closed: self.closed,
        };
        let id = SessionId::parse(&self.id)?;
        Some(SessionSummary { id, first: place(self.first), last: place(self.last), line })
    }
}

/// A line as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line<'a> {
    #[serde(borrow)]
    entry: Option<&'a RawValue>,
    names: Option<HashMap<String, String>>,
    session: Option<Summary>,
    #[serde(borrow)]
    listed: Option<ListedLine<'a>>,
    note: Option<String>,
    end: Option<End>,
    error: Option<Error>,
}

#[derive(Debug, Deserialize)]
struct ListedLine<'a> {
    session: Summary,
    #[serde(borrow)]
    first: &'a RawValue,
}

#[derive(Debug, Deserialize)]
struct End {
    exit: u8,
}

#[derive(Debug, Deserialize)]
struct Error {
    errors: Vec<String>,
    hint: String,
    exit: u8,
}

/// What a line came to.
#[derive(Debug)]
pub(crate) enum Went {
    /// Go on.
    On,
    /// That was the last one, or nobody wants more.
    Ended(Exit),
    /// It is no line of this kind.
    Strange,
}

/// Takes lines in and gives what they tell to a sink.
#[derive(Debug, Default)]
pub(crate) struct Taker {
    names: Names,
}

impl Taker {
    /// Takes one line.
    pub(crate) fn take(&mut self, line: &str, sink: &mut dyn Sink) -> Result<Went, Failure> {
        if line.trim().is_empty() {
            // It says that the other side still lives: what came before is not waited for.
            sink.flush()?;
            return Ok(Went::On);
        }
        let Ok(line) = serde_json::from_str::<Line<'_>>(line) else { return Ok(Went::Strange) };
        for (id, name) in line.names.into_iter().flatten() {
            self.names.put(id, name);
        }
        let mut wanted = true;
        if let Some(summary) = &line.session {
            let Some(summary) = summary.read() else { return Ok(Went::Strange) };
            wanted &= sink.session(&summary)?;
        }
        if let Some(ListedLine { session, first }) = &line.listed {
            let (Some(summary), Some(first)) = (session.read(), found_in(first.get())) else {
                return Ok(Went::Strange);
            };
            wanted &= sink.listed(&summary, &first, &self.names)?;
        }
        if let Some(entry) = line.entry {
            let Some(found) = found_in(entry.get()) else { return Ok(Went::Strange) };
            wanted &= sink.entry(&found, &self.names)?;
        }
        if let Some(note) = line.note {
            sink.remark(&clean::line(&note))?;
        }
        if let Some(Error { errors, hint, exit }) = line.error {
            sink.flush()?;
            return Err(told_elsewhere(exit_of(exit), &errors, &hint));
        }
        Ok(match line.end {
            Some(End { exit }) => Went::Ended(exit_of(exit)),
            None if !wanted => Went::Ended(Exit::Done),
            None => Went::On,
        })
    }
}

/// A failure as another machine tells it: whoever that is must not drive the screen.
pub(crate) fn told_elsewhere(exit: Exit, errors: &[String], hint: &str) -> Failure {
    let messages = errors.iter().map(|error| clean::line(error).into_owned()).collect();
    Failure { exit, messages, hint: clean::line(hint).into_owned(), later: false, there: false }
}

fn exit_of(number: u8) -> Exit {
    match number {
        0 => Exit::Done,
        2 => Exit::Usage,
        _ => Exit::No,
    }
}

/// An entry from the line that `log cat --json` prints of it.
fn found_in(line: &str) -> Option<Found> {
    #[derive(Deserialize)]
    struct Parts<'a> {
        n: u64,
        epoch: Option<u64>,
        #[serde(borrow)]
        payload: Option<&'a RawValue>,
    }
    let parts: Parts<'_> = serde_json::from_str(line).ok()?;
    let mut leaf = line.strip_suffix('}')?;
    let payload = match parts.payload.map(RawValue::get) {
        None => Payload::None,
        Some(text) => {
            leaf = leaf.strip_suffix(text)?.strip_suffix(",\"payload\":")?;
            payload_in(text)
        }
    };
    if let Some(epoch) = parts.epoch {
        leaf = leaf.strip_suffix(&format!(",\"epoch\":{epoch}"))?;
    }
    let place = Place { epoch: parts.epoch.unwrap_or(1), position: parts.n };
    Some(Found { place, leaf: format!("{leaf}}}").into_bytes(), payload })
}

fn payload_in(text: &str) -> Payload {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Unreadable {
        unreadable: String,
    }
    match text {
        "\"erased\"" => Payload::Erased,
        "\"sealed\"" => Payload::Sealed,
        _ => match serde_json::from_str::<Unreadable>(text) {
            Ok(Unreadable { unreadable }) => Payload::Unreadable(unreadable),
            Err(_) => Payload::Clear(text.as_bytes().to_vec()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_from_its_line_as_it_was() {
        let leaf =
            br#"{"k":"command.decided","n":7,"pay":{"h":"x"},"t":"2026-11-23T18:00:00.123456Z","v":1}"#;
        for epoch in [1, 3] {
            for payload in [
                Payload::None,
                Payload::Clear("{\"payload\":1,\"text\":\"\u{200b}}\\\"\u{1F600}\"}".as_bytes().to_vec()),
                Payload::Erased,
                Payload::Sealed,
                Payload::Unreadable("of no use".to_owned()),
            ] {
                let place = Place { epoch, position: 7 };
                let found = Found { place, leaf: leaf.to_vec(), payload };
                let line = entry::json(&found);
                let again = found_in(&line).unwrap();
                assert_eq!(entry::json(&again), line);
                assert_eq!((again.place, &again.leaf), (found.place, &found.leaf));
                assert_eq!(entry::payload(&again), entry::payload(&found));
                assert_eq!(entry::withheld(&again), entry::withheld(&found));
            }
        }
        for strange in ["", "{}", "[]", "{\"n\":1}x", "{\"n\":1,\"payload\":2 }"] {
            assert!(found_in(strange).is_none(), "{strange}");
        }
    }

    #[derive(Default)]
    struct Told(Vec<String>);

    impl Sink for Told {
        fn session(&mut self, summary: &SessionSummary) -> Result<bool, Failure> {
            self.0.push(format!("{summary:?}"));
            Ok(true)
        }
        fn entry(&mut self, found: &Found, names: &Names) -> Result<bool, Failure> {
            self.0.push(crate::show::line::of(found, names, 200));
            Ok(true)
        }
        fn remark(&mut self, text: &str) -> Result<(), Failure> {
            self.0.push(text.to_owned());
            Ok(())
        }
        fn flush(&mut self) -> Result<bool, Failure> {
            Ok(true)
        }
    }

    #[test]
    fn what_is_written_is_taken_in_the_same() {
        let leaf = r#"{"by":{"id":"h-1","kind":"human","trust":"verified"},"k":"record.read","n":7,"t":"2026-11-23T18:00:00.123456Z","v":1}"#;
        let place = Place { epoch: 1, position: 7 };
        let found = Found { place, leaf: leaf.as_bytes().to_vec(), payload: Payload::None };
        let mut names = Names::default();
        names.put("h-1".to_owned(), "ada\u{1b}[2J".to_owned());
        let line =
            SessionLine { first: 7, last: 9, from: 5, until: 6, commands: 2, ..SessionLine::default() };
        let summary = SessionSummary {
            id: SessionId(77),
            first: place,
            last: place,
            line: SessionLine { last: 7, ..line },
        };
        let mut writer = Writer::default();
        writer.session(&summary);
        writer.entry(&found, &names);
        writer.entry(&found, &names);
        writer.remark("so much");
        writer.end(&Ok(Exit::No));
        let lines = String::from_utf8(writer.lines).unwrap();
        assert_eq!(lines.matches("{\"names\":").count(), 1, "names go once: {lines}");
        assert!(!lines.contains('\u{1b}'));
        let (mut taker, mut told) = (Taker::default(), Told::default());
        let went: Vec<_> = lines.lines().map(|line| taker.take(line, &mut told).unwrap()).collect();
        assert!(matches!(went.last(), Some(Went::Ended(Exit::No))), "{went:?}");
        let shown = crate::show::line::of(&found, &names, 200);
        assert_eq!(told.0, [format!("{summary:?}"), shown.clone(), shown, "so much".to_owned()]);
        assert!(matches!(taker.take("no line", &mut told), Ok(Went::Strange)));
    }
}
