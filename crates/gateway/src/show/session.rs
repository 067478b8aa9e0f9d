//! A session told from its entries, one after the other: for `sessions show` and `replay`, and for the demo.
//!
//! Entries are told in the order of the log. An outcome that does not directly follow its statement names it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::names::Names;
use firsthand_auditlog::search::Found;
use serde_json::Value;

use super::entry::{self, text};
use super::line::{self, bytes};
use super::table::{ROWS_SHOWN, Rows};
use super::{WIDTH, clean, counted, duration, number};

/// Lines of one statement shown.
const STATEMENT_LINES: usize = 40;
/// Indent of what belongs to a command.
const INDENT: &str = "    ";

/// Tells a session.
#[derive(Debug)]
pub(crate) struct Teller {
    /// Rows shown of each result.
    rows_shown: usize,
    /// Commands without an outcome so far: where a following outcome belongs, and rows that came before it.
    running: BTreeMap<u64, Rows>,
    /// The highest number seen: a gap in numbers is a gap in the record.
    numbered: u64,
    /// The command told last, if nothing else came after it.
    just_told: Option<u64>,
    closed: bool,
}

impl Default for Teller {
    fn default() -> Self {
        Self::showing(ROWS_SHOWN)
    }
}

impl Teller {
    /// Shows up to so many rows of each result.
    pub(crate) fn showing(rows_shown: usize) -> Self {
        Self { rows_shown, running: BTreeMap::new(), numbered: 0, just_told: None, closed: false }
    }

    /// Tells one entry.
    pub(crate) fn tell(&mut self, found: &Found, names: &Names, out: &mut dyn Write) -> io::Result<()> {
        let Ok(fields) = Fields::read(&found.leaf) else {
            return writeln!(out, "(position {} cannot be read)", found.place.position);
        };
        let payload = entry::payload(found);
        let most = self.rows_shown;
        let told =
            Told { rows_shown: most, fields: &fields, payload: &payload, withheld: entry::withheld(found) };
        match (&*fields.k, fields.cmd) {
            ("session.opened", _) => told.opened(names, out)?,
            ("session.closed", _) => {
                self.closed = true;
                told.closed(out)?;
            }
            ("session.noted", _) => told.noted(out)?,
            (kind, _) if kind.starts_with("approval.") || kind.starts_with("grant.") => told.approval(out)?,
            ("command.decided", Some(n)) => {
                self.gap(n, out)?;
                told.decided(n, out)?;
                if fields.permitted() {
                    self.running.insert(n, Rows::up_to(most));
                }
                self.just_told = Some(n);
                return Ok(());
            }
            ("command.rows", Some(n)) => {
                self.running.entry(n).or_insert_with(|| Rows::up_to(most)).take(&payload);
                if let Some(why) = told.withheld {
                    writeln!(out, "{INDENT}(rows {why})")?;
                }
                return Ok(());
            }
            ("command.changed", Some(_)) => told.changed(&line::changed(&fields), out)?,
            ("transaction.changed", _) => told.changed(&line::transaction(&fields), out)?,
            ("transaction.ended" | "transaction.named", _) => {
                let said = clean::line(&line::transaction(&fields)).into_owned();
                writeln!(out, "{INDENT}± {}", clean::fit(&said, WIDTH - INDENT.len()))?;
                told.unseen(out, &format!("{INDENT}not observed: "))?;
            }
            ("command.completed", Some(n)) => {
                let mut rows = self.running.remove(&n).unwrap_or_else(|| Rows::up_to(most));
                rows.take(&payload);
                told.completed(self.label(n), &rows, out)?;
            }
            ("command.abandoned", Some(n)) => {
                self.running.remove(&n);
                writeln!(out, "{INDENT}{}→ {}", self.label(n), line::abandoned(&fields))?;
            }
            ("stream", _) => {
                let (rows, size) = (fields.rows.unwrap_or(0), fields.bytes.unwrap_or(0));
                writeln!(out, "{INDENT}… {} so far, {}", counted(rows, "row", "rows"), bytes(size))?;
            }
            (kind, _) => writeln!(out, "{}  {}", entry::clock(&fields.t), clean::line(kind))?,
        }
        self.just_told = None;
        Ok(())
    }

    /// Tells what is missing at the end.
    pub(crate) fn finish(&self, out: &mut dyn Write) -> io::Result<()> {
        if !self.closed {
            writeln!(out)?;
        }
        for n in self.running.keys() {
            writeln!(
                out,
                "#{n} has no outcome in the record: it is still running, or the gateway stopped before it ended"
            )?;
        }
        if !self.closed {
            writeln!(out, "the session is open as far as the record goes")?;
        }
        Ok(())
    }

    /// Names the command unless it was told just before.
    fn label(&self, n: u64) -> String {
        if self.just_told == Some(n) { String::new() } else { format!("#{n} ") }
    }

    fn gap(&mut self, n: u64, out: &mut dyn Write) -> io::Result<()> {
        let (from, to) = (self.numbered + 1, n.saturating_sub(1));
        self.numbered = self.numbered.max(n);
        match to.cmp(&from) {
            std::cmp::Ordering::Less => Ok(()),
            std::cmp::Ordering::Equal => writeln!(out, "\n(#{from} is not in this record)"),
            std::cmp::Ordering::Greater => writeln!(out, "\n(#{from} to #{to} are not in this record)"),
        }
    }
}

/// An entry being told.
struct Told<'a> {
    rows_shown: usize,
    fields: &'a Fields<'a>,
    payload: &'a Value,
    withheld: Option<String>,
}

impl Told<'_> {
    fn opened(&self, names: &Names, out: &mut dyn Write) -> io::Result<()> {
        let f = self.fields;
        writeln!(out, "session   {}", clean::line(&f.sid))?;
        if let Some(who) = &f.who {
            let own = |id: &str| {
                let list = self.payload.get("names").and_then(Value::as_array);
                let mine = list.into_iter().flatten().find(|n| text(n, "id") == id);
                mine.map(|n| text(n, "name").to_owned()).unwrap_or_else(|| entry::name(names, id).to_owned())
            };
            let chain: Vec<String> = who
                .chain
                .iter()
                .map(|link| format!("{} ({}, {})", own(&link.id), link.kind, link.trust))
                .collect();
            writeln!(out, "who       {}", clean::line(&chain.join(" → ")))?;
            let session_role = if who.srole.is_empty() { &who.role } else { &who.srole };
            writeln!(
                out,
                "target    {}",
                clean::line(&format!(
                    "{}: database {}, role {session_role}, backend {}, server {}",
                    who.target, who.db, who.pid, f.server
                ))
            )?;
        }
        let tls = if f.tls.is_empty() { "clear text" } else { &f.tls };
        let address = text(self.payload, "address");
        writeln!(out, "client    {}", clean::line(&format!("{address}, {tls}, {}, {}", f.method, f.proto)))?;
        self.claims(out, "says      ")?;
        writeln!(out, "opened    {} UTC", entry::moment(&f.t))?;
        if f.mode == "observe" {
            writeln!(out, "mode      observe: refusals are recorded and not enforced")?;
        }
        if f.dur == "relaxed" {
            writeln!(out, "writing   relaxed: a crash may lose the last 5 ms of this record")?;
        }
        self.unseen(out, "unseen    ")?;
        self.not_shown(out, "")
    }

    fn closed(&self, out: &mut dyn Write) -> io::Result<()> {
        let why = match &*self.fields.why {
            "client" => "the client left",
            "target" => "the target ended the connection",
            "killed" => "an administrator ended it",
            "contained" => "an administrator contained it, its identity or its target",
            "drained" => "the gateway was stopped",
            "idle" => "it was idle for too long",
            "protocol" => "the protocol was broken",
            "limit" => "a limit was passed",
            "record" => "it could not be recorded any more",
            "crash" => "the gateway stopped without a word",
            other => other,
        };
        write!(out, "\nclosed    {} UTC: {}", entry::moment(&self.fields.t), clean::line(why))?;
        if let (Some(us), Some(commands)) = (self.fields.us, self.fields.commands) {
            write!(out, ", after {} and {}", duration(us), counted(commands, "command", "commands"))?;
        }
        let detail = text(self.payload, "detail");
        if detail.is_empty() {
            writeln!(out)
        } else {
            writeln!(out, " ({})", clean::fit(&clean::line(detail), WIDTH))
        }
    }

    fn noted(&self, out: &mut dyn Write) -> io::Result<()> {
        let said = line::noted(self.fields, self.payload);
        writeln!(
            out,
            "\n·  {}  {}",
            entry::clock(&self.fields.t),
            clean::fit(&clean::line(&said), WIDTH - 20)
        )?;
        self.not_shown(out, INDENT)
    }

    fn approval(&self, out: &mut dyn Write) -> io::Result<()> {
        let command = self.fields.cmd.map(|n| format!("#{n} ")).unwrap_or_default();
        let said = format!("{command}{}", line::approval(self.fields, self.payload));
        let said = clean::line(&said);
        writeln!(out, "\n·  {}  {}", entry::clock(&self.fields.t), clean::fit(&said, WIDTH - 20))?;
        if self.fields.k == "approval.asked" {
            let statement = text(self.payload, "text");
            for line in
                clean::wrap(&clean::block(statement), WIDTH - INDENT.len()).iter().take(STATEMENT_LINES)
            {
                writeln!(out, "{INDENT}{line}")?;
            }
        }
        self.not_shown(out, INDENT)
    }

    fn decided(&self, n: u64, out: &mut dyn Write) -> io::Result<()> {
        let f = self.fields;
        let mut marks = vec![f.effects.join(", ")];
        marks.push(match (&*f.verdict, &*f.mode) {
            ("allow", _) => format!("allowed by {}", f.rule),
            (verdict, "observe") => format!("{verdict} by {}, not enforced", f.rule),
            ("deny", _) => format!("DENIED by {}", f.rule),
            (_, _) if f.permitted() => format!("HELD by {}", f.rule),
            (_, _) => format!("HELD by {}: not run", f.rule),
        });
        if !f.approval.is_empty() {
            marks.push(format!("approval {}", f.approval));
        }
        if !f.grant.is_empty() {
            marks.push(format!("grant {}", f.grant));
        }
        if let Some(who) = f.who.as_ref().filter(|who| !who.srole.is_empty() && who.srole != who.role) {
            marks.push(format!("as role {}", who.role));
        }
        if f.step == "prepare" {
            marks.push("only prepared".to_owned());
        }
        if f.tx == "open" || f.tx == "failed" {
            marks
                .push(if f.tx == "open" { "in a transaction" } else { "in a failed transaction" }.to_owned());
        }
        marks.retain(|mark| !mark.is_empty());
        writeln!(out, "\n#{n}  {}  {}", entry::clock(&f.t), clean::line(&marks.join(" · ")))?;
        let statement = text(self.payload, "text");
        let lines = clean::wrap(&clean::block(statement), WIDTH - INDENT.len());
        for line in lines.iter().take(STATEMENT_LINES).filter(|_| !statement.is_empty()) {
            writeln!(out, "{INDENT}{line}")?;
        }
        if lines.len() > STATEMENT_LINES {
            let more = (lines.len() - STATEMENT_LINES) as u64;
            writeln!(out, "{INDENT}… {} more (--json shows all)", counted(more, "line", "lines"))?;
        }
        for (i, (value, kind)) in line::parameters(self.payload).iter().enumerate() {
            let kind = if kind.is_empty() { String::new() } else { format!(" ({kind})") };
            writeln!(out, "{INDENT}${} = {value}{}", i + 1, clean::line(&kind))?;
        }
        self.claims(out, INDENT)?;
        let reason = text(self.payload, "reason");
        if !reason.is_empty() {
            writeln!(out, "{INDENT}reason: {}", clean::line(reason))?;
        }
        self.unseen(out, &format!("{INDENT}not observed: "))?;
        self.not_shown(out, INDENT)
    }

    /// What the client says of itself, or of the command.
    fn claims(&self, out: &mut dyn Write, before: &str) -> io::Result<()> {
        for claim in self.payload.get("claims").and_then(Value::as_array).into_iter().flatten() {
            let said = format!("{} = {} (claimed)", text(claim, "name"), text(claim, "value"));
            writeln!(out, "{before}{}", clean::fit(&clean::line(&said), WIDTH - before.len()))?;
        }
        Ok(())
    }

    fn changed(&self, said: &str, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{INDENT}± {}", clean::fit(&clean::line(said), WIDTH - INDENT.len()))?;
        for (key, label) in [("old", "before"), ("new", "after")] {
            let mut rows = Rows::up_to(self.rows_shown);
            rows.take_changed(self.payload, key);
            if rows.kept > 0 {
                writeln!(out, "{INDENT}  {label}:")?;
                rows.write(out, &format!("{INDENT}  "), WIDTH)?;
                if rows.kept > rows.shown() {
                    let more = counted(rows.kept - rows.shown(), "row", "rows");
                    writeln!(out, "{INDENT}  … {more} more (--rows and --json show them)")?;
                }
            }
        }
        self.unseen(out, &format!("{INDENT}  not observed: "))?;
        self.not_shown(out, &format!("{INDENT}  "))
    }

    fn completed(&self, label: String, rows: &Rows, out: &mut dyn Write) -> io::Result<()> {
        let f = self.fields;
        let mut said = line::outcome(f, self.payload);
        if f.tx != f.tx_from {
            let state = match &*f.tx {
                "open" => "a transaction is open",
                "failed" => "the transaction has failed",
                _ => "the transaction is over",
            };
            said.push_str(&format!(", {state}"));
        }
        for (i, line) in clean::wrap(&clean::block(&said), WIDTH - INDENT.len() - 2).iter().enumerate() {
            let arrow = if i == 0 { format!("{label}→ ") } else { "  ".to_owned() };
            writeln!(out, "{INDENT}{arrow}{line}")?;
        }
        if let Some(error) = self.payload.get("error") {
            for key in ["detail", "hint", "context"] {
                let said = text(error, key);
                if !said.is_empty() {
                    let said = clean::fit(&clean::line(said), WIDTH).into_owned();
                    writeln!(out, "{INDENT}  {key}: {said}")?;
                }
            }
        }
        for notice in self.payload.get("notices").and_then(Value::as_array).into_iter().flatten() {
            let said = format!("{}: {}", text(notice, "severity"), text(notice, "message"));
            writeln!(out, "{INDENT}  {}", clean::fit(&clean::line(&said), WIDTH))?;
        }
        rows.write(out, &format!("{INDENT}  "), WIDTH)?;
        self.counts(rows, out)?;
        self.unseen(out, &format!("{INDENT}  not observed: "))?;
        self.not_shown(out, &format!("{INDENT}  "))
    }

    /// How much of the result the table above is.
    fn counts(&self, rows: &Rows, out: &mut dyn Write) -> io::Result<()> {
        let delivered = self.fields.rows.unwrap_or(0);
        if delivered <= rows.shown() {
            return Ok(());
        }
        let kept = self.fields.kept.unwrap_or(rows.kept);
        let mut said = format!("({} of {} shown", number(rows.shown()), counted(delivered, "row", "rows"));
        if kept > rows.shown() {
            said.push_str(", --rows shows more");
        }
        if kept < delivered {
            said.push_str(&format!(", {} kept in the record", number(kept)));
        }
        writeln!(out, "{INDENT}  {said}, {} delivered)", bytes(self.fields.bytes.unwrap_or(0)))
    }

    fn unseen(&self, out: &mut dyn Write, label: &str) -> io::Result<()> {
        if self.fields.coverage.is_empty() {
            return Ok(());
        }
        writeln!(out, "{label}{}", clean::line(&self.fields.coverage.join(", ")))
    }

    fn not_shown(&self, out: &mut dyn Write, indent: &str) -> io::Result<()> {
        let cut = self.payload.get("cut").and_then(Value::as_array);
        let cut: Vec<&str> = cut.into_iter().flatten().filter_map(Value::as_str).collect();
        if !cut.is_empty() {
            writeln!(out, "{indent}(too long to be recorded in full: {})", clean::line(&cut.join(", ")))?;
        }
        match &self.withheld {
            Some(why) => writeln!(out, "{indent}({})", clean::line(why)),
            None => Ok(()),
        }
    }
}
