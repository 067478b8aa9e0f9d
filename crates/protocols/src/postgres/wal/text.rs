//! What the output plugin `test_decoding` says of a change, read: `table public.t: UPDATE: old-key: id[integer]:1 new-tuple:
//! id[integer]:2 who[text]:'Ada'`. Nothing of it is ambiguous: names are quoted where they must be, and so are values, but for
//! numbers.

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Is(String),
    /// It stands outside of the row and was not changed: the target's log does not hold it.
    Unchanged,
}

/// A column of a row, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) value: Value,
}

/// What one line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Begin,
    Commit,
    Rows(Change),
    /// Nothing about rows.
    Other,
}

/// A row that was changed, or tables that were emptied.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Change {
    /// Schema and name; several for a TRUNCATE.
    pub(super) tables: Vec<(String, String)>,
    /// `insert`, `update`, `delete`, `truncate`.
    pub(super) action: &'static str,
    pub(super) old: Option<Vec<Cell>>,
    pub(super) new: Option<Vec<Cell>>,
    /// The line was too long, or not understood: what comes after the columns that are here is not known.
    pub(super) cut: bool,
}

/// Reads a line, of which there is more where it is `cut`.
pub(super) fn read(line: &str, cut: bool) -> Said {
    let mut said = read_whole(line);
    if let Said::Rows(change) = &mut said
        && cut
        && !change.cut
    {
        // It ends where a value seems to end, which may go on.
        change.cut = true;
        let last = if change.new.is_some() { &mut change.new } else { &mut change.old };
        last.iter_mut().for_each(|cells| drop(cells.pop()));
    }
    said
}

fn read_whole(line: &str) -> Said {
    if line == "BEGIN" {
        return Said::Begin;
    }
    if line.starts_with("COMMIT") {
        return Said::Commit;
    }
    let Some(rest) = line.strip_prefix("table ") else { return Said::Other };
    let mut at = Reading { rest };
    let mut change = Change::default();
    let head = at.head(&mut change);
    if head.is_none() {
        change.cut = true;
        return Said::Rows(change);
    }
    if change.action != "truncate" && at.rows(&mut change).is_none() {
        change.cut = true;
    }
    Said::Rows(change)
}

struct Reading<'a> {
    rest: &'a str,
}

impl Reading<'_> {
    fn take(&mut self, what: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(what)?;
        Some(())
    }

    /// The tables and what was done to them.
    fn head(&mut self, change: &mut Change) -> Option<()> {
        loop {
            let schema = self.name(&['.'])?;
            self.take(".")?;
            let name = self.name(&[':', ','])?;
            change.tables.push((schema, name));
            if self.take(", ").is_none() {
                break;
            }
        }
        self.take(": ")?;
        let (word, rest) = self.rest.split_once(':')?;
        self.rest = rest;
        change.action = match word {
            "INSERT" => "insert",
            "UPDATE" => "update",
            "DELETE" => "delete",
            "TRUNCATE" => "truncate",
            _ => return None,
        };
        Some(())
    }

    fn rows(&mut self, change: &mut Change) -> Option<()> {
        if self.rest == " (no-tuple-data)" {
            return Some(());
        }
        if change.action == "delete" {
            return self.cells(change.old.insert(Vec::new()));
        }
        if self.take(" old-key:").is_some() {
            self.cells(change.old.insert(Vec::new()))?;
            self.take(" new-tuple:")?;
        }
        self.cells(change.new.insert(Vec::new()))
    }

    /// Cells up to the end of the line, or of the old row.
    fn cells(&mut self, out: &mut Vec<Cell>) -> Option<()> {
        while !self.rest.is_empty() && !self.rest.starts_with(" new-tuple:") {
            self.take(" ")?;
            let name = self.name(&['['])?;
            let kind = self.kind()?;
            let value = self.value()?;
            out.push(Cell { name, kind, value });
        }
        Some(())
    }

    /// A name up to one of these, or in quotes.
    fn name(&mut self, ends: &[char]) -> Option<String> {
        if self.rest.starts_with('"') {
            return self.quoted('"');
        }
        let end = self.rest.find(ends)?;
        let (name, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(name.to_owned())
    }

    /// A text in quotes, which stand twice where they are meant.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c != quote {
                out.push(c);
            } else if chars.next_if(|(_, next)| *next == quote).is_some() {
                out.push(quote);
            } else {
                self.rest = self.rest.get(at + 1..)?;
                return Some(out);
            }
        }
        None
    }

    /// `[integer]:`, `[public."My Type"[]]:`.
    fn kind(&mut self) -> Option<String> {
        let (mut depth, mut quoted) = (0_usize, false);
        for (at, c) in self.rest.char_indices() {
            match c {
                '"' => quoted = !quoted,
                '[' if !quoted => depth += 1,
                ']' if !quoted => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        let kind = self.rest.get(1..at)?.to_owned();
                        self.rest = self.rest.get(at + 1..)?;
                        self.take(":")?;
                        return Some(kind);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn value(&mut self) -> Option<Value> {
        if self.rest.starts_with("B'") {
            self.rest = self.rest.get(1..)?;
        }
        if self.rest.starts_with('\'') {
            return self.quoted('\'').map(Value::Is);
        }
        let end = self.rest.find(' ').unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(match value {
            "null" => Value::Null,
            "unchanged-toast-datum" => Value::Unchanged,
            "" => return None,
            other => Value::Is(other.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let cells = |cells: &Option<Vec<Cell>>| match cells {
            None => "-".to_owned(),
            Some(cells) => cells
                .iter()
                .map(|c| {
                    let value = match &c.value {
                        Value::Null => "NULL".to_owned(),
                        Value::Unchanged => "TOAST".to_owned(),
                        Value::Is(text) => format!("{text:?}"),
                    };
                    format!("{}:{}={value}", c.name, c.kind)
                })
                .collect::<Vec<_>>()
                .join(","),
        };
        match read(line, false) {
            Said::Begin => "begin".to_owned(),
            Said::Commit => "commit".to_owned(),
            Said::Other => "other".to_owned(),
            Said::Rows(c) => {
                let tables: Vec<_> = c.tables.iter().map(|(s, n)| format!("{s}/{n}")).collect();
                let cut = if c.cut { " cut" } else { "" };
                format!("{} {} {} {}{cut}", c.action, tables.join("+"), cells(&c.old), cells(&c.new))
            }
        }
    }

    #[test]
    fn lines_of_the_plugin_are_read() {
        for (line, means) in [
            ("BEGIN", "begin"),
            ("COMMIT", "commit"),
            ("COMMIT (at 2026-11-27 10:00:00+00)", "commit"),
            ("message: transactional: 1 prefix: p, sz: 1 content:x", "other"),
            (
                "table public.t: INSERT: id[integer]:1 who[text]:'Ada' n[text]:null",
                "insert public/t - id:integer=\"1\",who:text=\"Ada\",n:text=NULL",
            ),
            (
                "table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 big[text]:unchanged-toast-datum",
                "update public/t id:integer=\"1\" id:integer=\"2\",big:text=TOAST",
            ),
            ("table public.t: UPDATE: b[boolean]:true", "update public/t - b:boolean=\"true\""),
            ("table public.t: DELETE: id[integer]:1", "delete public/t id:integer=\"1\" -"),
            ("table public.t: DELETE: (no-tuple-data)", "delete public/t - -"),
            (
                "table \"My \"\"S.\".\"T: x\": INSERT: \"new-tuple\"[text]:' new-tuple: it''s' \"a[b]\"[public.\"K]\"[]]:'{1}' v[bit varying]:B'101'",
                "insert My \"S./T: x - new-tuple:text=\" new-tuple: it's\",a[b]:public.\"K]\"[]=\"{1}\",v:bit varying=\"101\"",
            ),
            (
                "table public.a, public.\"B, c\": TRUNCATE: restart_seqs cascade",
                "truncate public/a+public/B, c - -",
            ),
            ("table public.a: TRUNCATE: (no-flags)", "truncate public/a - -"),
            (
                "table public.t: INSERT: f[double precision]:NaN g[real]:-Infinity",
                "insert public/t - f:double precision=\"NaN\",g:real=\"-Infinity\"",
            ),
            // Cut anywhere.
            ("table public.t: INSERT: id[integer]:1 who[text]:'Ad", "insert public/t - id:integer=\"1\" cut"),
            (
                "table public.t: UPDATE: old-key: id[integer]:1 new-tu",
                "update public/t id:integer=\"1\" - cut",
            ),
            ("table public.t: INSERT: id[inte", "insert public/t -  cut"),
            ("table pub", "- - cut"),
        ] {
            assert_eq!(shown(line).trim(), means.trim(), "{line}");
        }
    }

    #[test]
    fn no_beginning_of_a_line_is_read_as_another_row() {
        let line = "table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 who[text]:'A''da €' n[text]:null";
        let Said::Rows(whole) = read(line, false) else { panic!() };
        for end in line.char_indices().map(|(at, _)| at) {
            let Said::Rows(part) = read(&line[..end], true) else { continue };
            for (part, whole) in [(&part.old, &whole.old), (&part.new, &whole.new)] {
                let (part, whole) = (part.clone().unwrap_or_default(), whole.clone().unwrap_or_default());
                assert_eq!(part[..], whole[..part.len()], "{end}");
            }
        }
    }
}
