//! A PostgreSQL as far as its protocol goes: the read loop of its backend, with skipping, implicit transactions, names,
//! portals and COPY; statements are a handful of words. Written from PostgreSQL docs 55.2 and the behaviour of a server.

use std::collections::HashMap;

use bytes::{Buf as _, BytesMut};
use firsthand_wire::postgres::encode::message;
use firsthand_wire::postgres::frontend::{Message, Object};
use firsthand_wire::postgres::{Frames, Rules};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Idle,
    Open,
    Failed,
}

/// Why a statement stops.
struct Failure(&'static str, String);

/// A COPY that reads.
#[derive(Clone, Copy, Debug)]
struct Copying {
    simple: bool,
    /// What becomes of it behind its data.
    end: CopyEnd,
    /// A line has begun.
    midline: bool,
    /// It has read the line that ends the data; the rest is passed over.
    drains: bool,
    /// The line that it reads next.
    line: u32,
    /// It has read no message.
    fresh: bool,
    /// It is to stop.
    cancelled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CopyEnd {
    Well,
    /// A trigger behind the statement says no.
    Trigger,
    /// Rows that were collected do not go in.
    Duplicate,
}

/// A text without the comment that says which limit it has.
fn bare(text: &str) -> &str {
    text.split(" --").next().unwrap_or_default()
}

fn copies_in(text: &str) -> Option<CopyEnd> {
    match bare(text) {
        "copy t from stdin" => Some(CopyEnd::Well),
        "copy v from stdin" => Some(CopyEnd::Trigger),
        "copy w from stdin" => Some(CopyEnd::Duplicate),
        _ => None,
    }
}

pub(crate) struct Model {
    input: BytesMut,
    held: BytesMut,
    /// What the other side can read.
    pub(crate) out: BytesMut,
    skipping: bool,
    block: Block,
    statements: HashMap<Vec<u8>, String>,
    portals: HashMap<Vec<u8>, (String, u32)>,
    copying: Option<Copying>,
    /// Statements of the Query that follow a COPY under way.
    rest: Vec<String>,
    /// Texts that it has executed, in order.
    pub(crate) executed: Vec<String>,
    pub(crate) dead: bool,
    /// It reads a message that does not belong into copy data to its end, as PostgreSQL did up to 13.
    pub(crate) old: bool,
    /// What a refused text reads as; the target behind a gateway never sees one.
    pub(crate) refusal: Option<Vec<u8>>,
}

impl Model {
    pub(crate) fn new(refusal: Option<Vec<u8>>) -> Self {
        Self {
            input: BytesMut::new(),
            held: BytesMut::new(),
            out: BytesMut::new(),
            skipping: false,
            block: Block::Idle,
            statements: HashMap::new(),
            portals: HashMap::new(),
            copying: None,
            rest: Vec::new(),
            executed: Vec::new(),
            dead: false,
            old: false,
            refusal,
        }
    }

    /// Whether it waits for copy data.
    pub(crate) fn is_copying(&self) -> bool {
        self.copying.is_some()
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        loop {
            let rules = Rules::frontend(u32::MAX, u32::MAX);
            let mut frames = Frames::new(&self.input, &rules);
            let Some(frame) = frames.next().expect("a client's frame") else { return };
            let (tag, body, len) = (frame.tag, frame.body.to_vec(), frame.len());
            self.input.advance(len);
            if !self.dead {
                self.message(tag, &body);
            }
        }
    }

    fn say(&mut self, tag: u8, body: &[u8]) {
        message(&mut self.held, tag, |out| out.extend_from_slice(body));
        if self.held.len() >= 8192 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.out.extend_from_slice(&self.held.split());
    }

    fn fail(&mut self, Failure(code, text): Failure) {
        if let (Some(refusal), true) = (&self.refusal, code == "DENY") {
            self.held.extend_from_slice(&refusal.clone());
        } else {
            let mut body = b"SERROR\0VERROR\0C".to_vec();
            body.extend_from_slice(code.as_bytes());
            body.extend_from_slice(b"\0M");
            body.extend_from_slice(text.as_bytes());
            body.extend_from_slice(b"\0\0");
            self.say(b'E', &body);
        }
        // A report does not wait for what comes after it.
        self.flush();
        if self.block == Block::Open {
            self.block = Block::Failed;
        }
    }

    fn ready(&mut self) {
        if self.block == Block::Idle {
            self.portals.clear();
        }
        let status = match self.block {
            Block::Idle => b"I",
            Block::Open => b"T",
            Block::Failed => b"E",
        };
        self.say(b'Z', status);
        self.flush();
    }

    fn message(&mut self, tag: u8, body: &[u8]) {
        if self.copying.is_some() {
            return self.copy(tag, body);
        }
        if tag == b'S' {
            self.skipping = false;
            return self.ready();
        }
        if self.skipping && tag != b'X' {
            return;
        }
        let message = match Message::read(tag, body) {
            Ok(message) => message,
            Err(e) => {
                self.fail(Failure("08P01", e.server_words()));
                if matches!(tag, b'Q' | b'F') {
                    return self.ready();
                }
                self.skipping = true;
                return;
            }
        };
        match message {
            Message::Query(text) => {
                let text = String::from_utf8(text.to_vec()).unwrap();
                self.query(&text);
            }
            Message::Flush => self.flush(),
            Message::Terminate => self.dead = true,
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => {}
            other => {
                if let Err(failure) = self.extended(&other) {
                    self.fail(failure);
                    self.skipping = true;
                }
            }
        }
    }

    fn query(&mut self, text: &str) {
        self.statements.remove(&b""[..]);
        self.portals.remove(&b""[..]);
        let parts: Vec<String> =
            text.split(';').map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect();
        // A refusal comes before all else: what is refused is not sent.
        let refused = Some(text).filter(|t| t.contains("DENY")).and_then(|t| raw_parse(t).err());
        if let Some(failure) = refused.or_else(|| parts.iter().find_map(|p| raw_parse(p).err())) {
            self.fail(failure);
            return self.ready();
        }
        if parts.is_empty() {
            self.say(b'I', b"");
            return self.ready();
        }
        self.script(parts);
    }

    fn script(&mut self, mut parts: Vec<String>) {
        while !parts.is_empty() {
            let part = parts.remove(0);
            if let Err(failure) = self.analyze(&part).and_then(|()| self.execute(&part, true, 0, 0).map(drop))
            {
                self.fail(failure);
                break;
            }
            if let Some(end) = copies_in(&part) {
                self.copy_begins(true, end);
                self.rest = parts;
                return;
            }
        }
        self.ready();
    }

    fn extended(&mut self, message: &Message<'_>) -> Result<(), Failure> {
        match message {
            Message::Parse(parse) => {
                let text = String::from_utf8(parse.text.to_vec()).unwrap();
                if parse.statement.is_empty() {
                    self.statements.remove(&b""[..]);
                }
                raw_parse(&text)?;
                self.analyze(&text)?;
                if self.statements.contains_key(parse.statement) {
                    return Err(Failure("42P05", "prepared statement already exists".into()));
                }
                self.statements.insert(parse.statement.to_vec(), text);
                self.say(b'1', b"");
            }
            Message::Bind(bind) => {
                let Some(text) = self.statements.get(bind.statement).cloned() else {
                    return Err(Failure("26000", "prepared statement does not exist".into()));
                };
                self.analyze(&text)?;
                if !bind.portal.is_empty() && self.portals.contains_key(bind.portal) {
                    return Err(Failure("42P03", "cursor already exists".into()));
                }
                self.portals.insert(bind.portal.to_vec(), (text, 0));
                self.say(b'2', b"");
            }
            Message::Describe(Object::Statement(name)) => {
                let Some(text) = self.statements.get(*name).cloned() else {
                    return Err(Failure("26000", "prepared statement does not exist".into()));
                };
                self.say(b't', &[0, 0]);
                self.describe(&text);
            }
            Message::Describe(Object::Portal(name)) => {
                let Some((text, _)) = self.portals.get(*name).cloned() else {
                    return Err(Failure("34000", "portal does not exist".into()));
                };
                self.describe(&text);
            }
            Message::Execute(execute) => {
                let Some((text, done)) = self.portals.get(execute.portal).cloned() else {
                    return Err(Failure("34000", "portal does not exist".into()));
                };
                self.analyze(&text)?;
                let done = self.execute(&text, false, execute.max_rows, done)?;
                if let Some(portal) = self.portals.get_mut(execute.portal) {
                    portal.1 = done;
                }
                if let Some(end) = copies_in(&text) {
                    self.copy_begins(false, end);
                }
            }
            Message::Close(Object::Statement(name)) => {
                self.statements.remove(*name);
                self.say(b'3', b"");
            }
            Message::Close(Object::Portal(name)) => {
                self.portals.remove(*name);
                self.say(b'3', b"");
            }
            other => panic!("the model does not know {other:?}"),
        }
        Ok(())
    }

    fn describe(&mut self, text: &str) {
        if text.starts_with("select") {
            self.say(b'T', &row_description());
        } else {
            self.say(b'n', b"");
        }
    }

    fn analyze(&self, text: &str) -> Result<(), Failure> {
        if self.block == Block::Failed && !matches!(text.to_lowercase().as_str(), "rollback" | "commit") {
            return Err(Failure("25P02", "current transaction is aborted".into()));
        }
        if text.contains("nix") {
            return Err(Failure("42703", "column \"nix\" does not exist".into()));
        }
        Ok(())
    }

    /// Runs a statement; how many of its rows have been returned in all.
    fn execute(&mut self, text: &str, simple: bool, max_rows: i32, mut done: u32) -> Result<u32, Failure> {
        // What is written in capitals is the gateway's own.
        if !matches!(text, "BEGIN" | "COMMIT" | "ROLLBACK") {
            self.executed.push(text.to_owned());
        }
        match bare(text).to_lowercase().as_str() {
            "" => self.say(b'I', b""),
            "begin" => {
                self.block = Block::Open;
                self.say(b'C', b"BEGIN\0");
            }
            "commit" | "rollback" => {
                let tag: &[u8] = if text.eq_ignore_ascii_case("commit") && self.block != Block::Failed {
                    b"COMMIT\0"
                } else {
                    b"ROLLBACK\0"
                };
                self.block = Block::Idle;
                self.say(b'C', tag);
            }
            "select 1" | "select 1/0" | "select a from t" => {
                if simple {
                    self.say(b'T', &row_description());
                }
                if text == "select 1/0" {
                    return Err(Failure("22012", "division by zero".into()));
                }
                let all = if text == "select 1" { 1 } else { 3 };
                let mut now = 0;
                while done < all {
                    if max_rows > 0 && now == max_rows {
                        self.say(b's', b"");
                        return Ok(done);
                    }
                    self.say(b'D', b"\0\x01\0\0\0\x017");
                    done += 1;
                    now += 1;
                }
                self.say(b'C', format!("SELECT {now}\0").as_bytes());
            }
            insert if insert.starts_with("insert into t values (") => {
                self.say(b'N', b"SNOTICE\0C00000\0Mtrigger\0\0");
                self.flush();
                self.say(b'C', b"INSERT 0 1\0");
            }
            "set x to y" => {
                self.say(b'C', b"SET\0");
                self.say(b'S', b"x\0y\0");
            }
            "copy t to stdout" => {
                self.say(b'H', &[0, 0, 1, 0, 0]);
                self.say(b'd', b"1\tone\n");
                self.say(b'c', b"");
                self.say(b'C', b"COPY 1\0");
            }
            text if copies_in(text).is_some() => {
                self.say(b'G', &[0, 0, 1, 0, 0]);
                self.flush();
            }
            "copy u from stdin" => {
                self.say(b'G', &[0, 0, 1, 0, 0]);
                return Err(Failure("P0001", "a trigger says no\0Rexec_stmt_raise".into()));
            }
            other => panic!("the model does not know {other:?}"),
        }
        Ok(done)
    }

    fn copy_begins(&mut self, simple: bool, end: CopyEnd) {
        self.copying = Some(Copying {
            simple,
            end,
            midline: false,
            drains: false,
            line: 1,
            fresh: true,
            cancelled: false,
        });
    }

    /// A message while copy data is read.
    fn copy(&mut self, tag: u8, body: &[u8]) {
        let Some(copying) = &mut self.copying else { return };
        copying.fresh = false;
        let line = copying.line;
        let failure = |code, text: String, routine: &str, context: bool| {
            let context = if context { format!("\0WCOPY t, line {line}") } else { String::new() };
            Err(Failure(code, format!("{text}{context}\0R{routine}")))
        };
        let end = match tag {
            b'H' | b'S' => return,
            b'd' if copying.drains => return,
            b'd' => match copying.data(body) {
                true if copying.cancelled && !copying.midline => return self.stopped(),
                true => return,
                false => failure("22P02", "invalid input".into(), "int4in", true),
            },
            b'c' if copying.midline && body.is_empty() && copying.end == CopyEnd::Well => {
                failure("22P04", "missing data".into(), "NextCopyFrom", true)
            }
            b'c' => match copying.end {
                CopyEnd::Well => Ok(()),
                CopyEnd::Trigger => failure("P0001", "a trigger says no".into(), "exec_stmt_raise", false),
                CopyEnd::Duplicate => failure("23505", "a duplicate".into(), "_bt_check_unique", true),
            },
            b'f' => failure("57014", "COPY from stdin failed".into(), "CopyGetData", true),
            other => {
                // Only its type was read: the rest cannot be told from what follows.
                let text = format!("unexpected message type 0x{other:02X} during COPY from stdin");
                let Err(it) = failure("08P01", text, "CopyGetData", true) else { return };
                if self.old {
                    return self.copy_ends(Err(it));
                }
                self.fail(it);
                self.dies("terminating connection because protocol synchronization was lost");
                return;
            }
        };
        self.copy_ends(end);
    }

    fn copy_ends(&mut self, end: Result<(), Failure>) {
        let Some(Copying { simple, .. }) = self.copying.take() else { return };
        match (end, simple) {
            (Ok(()), true) => {
                self.say(b'C', b"COPY 1\0");
                let rest = std::mem::take(&mut self.rest);
                self.script(rest);
            }
            (Err(failure), true) => {
                self.rest.clear();
                self.fail(failure);
                self.ready();
            }
            (Ok(()), false) => self.say(b'C', b"COPY 1\0"),
            (Err(failure), false) => {
                self.fail(failure);
                self.skipping = true;
            }
        }
    }

    /// Somebody else has what runs stopped: a COPY notices before its first line, and behind each one.
    pub(crate) fn stop(&mut self) {
        match &mut self.copying {
            Some(copying) if copying.fresh => self.stopped(),
            Some(copying) => copying.cancelled = true,
            None => {}
        }
    }

    fn stopped(&mut self) {
        let Some(copying) = &self.copying else { return };
        let line = copying.line - 1;
        let text =
            format!("canceling statement due to user request\0WCOPY t, line {line}\0RProcessInterrupts");
        self.copy_ends(Err(Failure("57014", text)));
    }

    /// It ends the session, and says why.
    fn dies(&mut self, why: &str) {
        self.say(b'E', format!("SFATAL\0VFATAL\0C08P01\0M{why}\0\0").as_bytes());
        self.flush();
        self.dead = true;
    }
}

impl Copying {
    /// Takes lines in. False: one does not fit.
    fn data(&mut self, body: &[u8]) -> bool {
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            if !self.midline && line == b"\\.\n" {
                self.drains = true;
                return true;
            }
            if line.starts_with(b"bad") {
                return false;
            }
            self.midline = !line.ends_with(b"\n");
            self.line += u32::from(!self.midline);
        }
        true
    }
}

fn raw_parse(text: &str) -> Result<(), Failure> {
    if text.contains("DENY") {
        return Err(Failure("DENY", String::new()));
    }
    if text.starts_with("firsthand") || text.starts_with("selec ") {
        return Err(Failure("42601", "syntax error".into()));
    }
    Ok(())
}

fn row_description() -> Vec<u8> {
    let mut out = vec![0, 1];
    out.extend_from_slice(b"a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    out
}
