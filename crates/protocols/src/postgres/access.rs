//! Calls to the gateway itself, as an MCP server passes them through: `SELECT firsthand.request_access('2h', 'read,write', 'why')`
//! and `SELECT firsthand.access_status()`.
//!
//! The gateway does what is asked; the target never sees it. In its place the target gets a statement that gives the answer back as
//! a row. So the answer has its place in every protocol, pipeline and transaction, and every ReadyForQuery is the target's: in a
//! transaction that has failed, it says so itself.

use std::sync::Arc;

use bytes::BytesMut;
use firsthand_model::command::{Effects, Shape};
use firsthand_model::grant::{AccessCall, AccessRequest};
use firsthand_model::statement::{Derivation, Facts, Output, OutputColumn};
use firsthand_session::port::Told;
use firsthand_sql::SMALL_TEXT_BYTES;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frame::HEADER_LEN;
use firsthand_wire::postgres::frontend::{self, Object, Parse};

use super::batch::What;
use super::changed::Replaced;
use super::dialect::PostgresDialect;
use super::flight::Running;
use super::names::{Own, Portal};
use super::role;

/// The schema of these functions, which no database has.
const SCHEMA: &str = "firsthand";
/// Asks.
const REQUEST: &str = "request_access";
/// Tells what became of it.
const STATUS: &str = "access_status";
/// Arguments of the first, by place.
const ARGUMENTS: [&str; 5] = ["duration", "effects", "reason", "tables", "commands"];
/// The server's number of the type `text`.
const TEXT_OID: u32 = 25;
/// The columns of the answer.
const COLUMNS: &str = "\"grant\", state, until, message";

/// Such a call, as it is written: what stands for its parameters comes later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    what: Wanted,
    /// The highest number of a parameter in it.
    parameters: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Request([Value; ARGUMENTS.len()]),
    Status,
    Unreadable(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    None,
    Text(String),
    Parameter(usize),
}

/// Whether a text is a call to the gateway itself, which policy is not asked about.
#[must_use]
pub fn is_call(text: &str) -> bool {
    Asked::of(text.as_bytes()).is_some()
}

/// The value of a parameter: its format and bytes.
pub(super) type Given<'a> = (Format, Option<&'a [u8]>);

impl Asked {
    /// Reads a text, if it is such a call and nothing else.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        if text.len() > SMALL_TEXT_BYTES {
            return None;
        }
        let text = str::from_utf8(text).ok()?;
        if !role::contains(text, b'f', &[SCHEMA]) {
            return None;
        }
        let mut words = Words { rest: text };
        let function = head(&mut words)?;
        let mut parameters = 0;
        let what = match function {
            REQUEST => match arguments(&mut words, &mut parameters) {
                Ok(values) => Wanted::Request(values),
                Err(why) => Wanted::Unreadable(why),
            },
            _ => match words.next() {
                Some(Word::Sign(')')) => Wanted::Status,
                _ => Wanted::Unreadable(format!("{SCHEMA}.{STATUS}() takes no arguments")),
            },
        };
        let what = match (what, ends(&mut words)) {
            (Wanted::Request(_) | Wanted::Status, false) => {
                Wanted::Unreadable(format!("{SCHEMA}.{function}(…) stands alone in its statement"))
            }
            (what, _) => what,
        };
        Some(Self { what, parameters })
    }

    /// What it asks of the gateway, with these values of its parameters.
    pub(super) fn call<'a>(&self, mut given: impl FnMut(usize) -> Option<Given<'a>>) -> AccessCall {
        let values = match &self.what {
            Wanted::Status => return AccessCall::Status,
            Wanted::Unreadable(why) => return AccessCall::Unreadable(why.clone()),
            Wanted::Request(values) => values,
        };
        let mut read: [String; ARGUMENTS.len()] = Default::default();
        for ((at, value), out) in values.iter().enumerate().zip(&mut read) {
            *out = match value {
                Value::None => continue,
                Value::Text(text) => text.clone(),
                Value::Parameter(number) => match given(*number).map(|given| shown(at, given)) {
                    Some(Some(text)) => text,
                    _ => return AccessCall::Unreadable(format!("the value of ${number} cannot be read")),
                },
            };
        }
        let [lasts, effects, reason, tables, commands] = read;
        let commands = match commands.trim() {
            "" => None,
            number => match number.parse() {
                Ok(number) => Some(number),
                Err(_) => return AccessCall::Unreadable("`commands` is no whole number".to_owned()),
            },
        };
        AccessCall::Request(AccessRequest { lasts, effects, reason, tables, commands })
    }

    /// What it does at the target: nothing.
    pub(super) fn shape() -> Shape {
        let columns = COLUMNS.split(", ").map(|name| OutputColumn {
            name: name.trim_matches('"').to_owned(),
            sources: Vec::new(),
            derivation: Derivation::Clean,
            kept: Vec::new(),
            type_oid: TEXT_OID,
        });
        Shape {
            tag: "SELECT".to_owned(),
            effects: Effects::NONE,
            tables: Vec::new(),
            plain_read: true,
            coverage: Vec::new(),
            facts: Some(Arc::new(Facts { output: Output::Columns(columns.collect()), ..Facts::default() })),
        }
    }

    /// A statement with the same parameters and columns, which gives no row.
    fn stand_in(&self) -> String {
        let mut text = format!(
            "SELECT * FROM (VALUES (''::text, ''::text, ''::text, ''::text)) AS firsthand({COLUMNS}) WHERE false"
        );
        for number in 1..=self.parameters {
            let commands = ARGUMENTS.len() - 1;
            let is_number = matches!(&self.what, Wanted::Request(values) if values.get(commands) == Some(&Value::Parameter(number)));
            text.push_str(&format!(" AND ${number}::{} IS NULL", if is_number { "int" } else { "text" }));
        }
        text
    }
}

/// The value of a parameter as text.
fn shown(at: usize, (format, value): Given<'_>) -> Option<String> {
    let Some(value) = value else { return Some(String::new()) };
    if format == Format::Binary && at == ARGUMENTS.len() - 1 {
        return match *value {
            [a, b] => Some(i16::from_be_bytes([a, b]).to_string()),
            [a, b, c, d] => Some(i32::from_be_bytes([a, b, c, d]).to_string()),
            [a, b, c, d, e, f, g, h] => Some(i64::from_be_bytes([a, b, c, d, e, f, g, h]).to_string()),
            _ => None,
        };
    }
    // The binary form of a text is the text.
    str::from_utf8(value).ok().map(str::to_owned)
}

/// A statement that gives these rows.
fn giving(told: &Told, utf8: bool) -> String {
    let row = |row: &[String; 4]| {
        let values: Vec<String> = row.iter().map(|value| literal(value, utf8)).collect();
        format!("({})", values.join(", "))
    };
    let rows: Vec<String> = told.iter().map(row).collect();
    format!("SELECT * FROM (VALUES {}) AS firsthand({COLUMNS})", rows.join(", "))
}

/// What is given where the transaction was thought to have failed: then the target says that, and no row comes.
fn nothing_done() -> String {
    let again = "Nothing was asked: send it again.".to_owned();
    giving(&vec![[String::new(), "none".to_owned(), String::new(), again]], false)
}

/// A text as a constant that is read the same under every setting; `utf8`: both sides speak that, else in every encoding.
fn literal(text: &str, utf8: bool) -> String {
    let plain = |c: char| match c {
        '\'' => "''".to_owned(),
        '\\' => "/".to_owned(),
        ' '..='~' => c.to_string(),
        c if utf8 && !c.is_control() => c.to_string(),
        _ => "?".to_owned(),
    };
    format!("'{}'::text", text.chars().map(plain).collect::<String>())
}

/// A word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word<'t> {
    /// A name or a number, as it stands.
    Plain(&'t str),
    /// A constant.
    Text(String),
    /// `$1`.
    Parameter(usize),
    /// `=>` or `:=`.
    Is,
    /// `::`.
    Cast,
    Sign(char),
    /// Something that has no place here.
    Odd,
}

struct Words<'t> {
    rest: &'t str,
}

impl<'t> Words<'t> {
    /// Passes over space and comments.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if let Some(comment) = self.rest.strip_prefix("--") {
                self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                // Those within each other are no call of anybody.
                self.rest = comment.split_once("*/").map_or("", |(_, rest)| rest);
            } else {
                return;
            }
        }
    }

    fn peek(&self) -> Option<Word<'t>> {
        Self { rest: self.rest }.next()
    }

    fn next(&mut self) -> Option<Word<'t>> {
        self.skip();
        let first = self.rest.chars().next()?;
        for (sign, word) in [("=>", Word::Is), (":=", Word::Is), ("::", Word::Cast)] {
            if let Some(rest) = self.rest.strip_prefix(sign) {
                self.rest = rest;
                return Some(word);
            }
        }
        match first {
            '\'' => Some(self.text()),
            '$' => {
                self.rest = self.rest.get(1..).unwrap_or_default();
                let number = self.plain().parse().ok().filter(|number| (1..=99).contains(number));
                Some(number.map_or(Word::Odd, Word::Parameter))
            }
            c if c.is_ascii_alphanumeric() || c == '_' => {
                let word = self.plain();
                // E'…', U&'…', B'…' and the like are read otherwise.
                let odd = self.rest.starts_with('\'') || self.rest.starts_with("&'");
                Some(if odd { Word::Odd } else { Word::Plain(word) })
            }
            c => {
                self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
                Some(if c.is_ascii() { Word::Sign(c) } else { Word::Odd })
            }
        }
    }

    fn plain(&mut self) -> &'t str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        word
    }

    /// A constant in single quotes. A backslash in it means one thing or another by a setting, so it has no place here.
    fn text(&mut self) -> Word<'t> {
        let mut text = String::new();
        let mut rest = self.rest.get(1..).unwrap_or_default();
        loop {
            let Some((piece, behind)) = rest.split_once('\'') else {
                self.rest = "";
                return Word::Odd;
            };
            text.push_str(piece);
            let Some(behind) = behind.strip_prefix('\'') else {
                self.rest = behind;
                return if text.contains('\\') { Word::Odd } else { Word::Text(text) };
            };
            text.push('\'');
            rest = behind;
        }
    }

    fn is(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Word::Plain(found)) if found.eq_ignore_ascii_case(word));
        if is {
            let _ = self.next();
        }
        is
    }

    fn sign(&mut self, sign: char) -> bool {
        let is = self.peek() == Some(Word::Sign(sign));
        if is {
            let _ = self.next();
        }
        is
    }
}

/// `SELECT [* FROM] firsthand.request_access (`: which function it is.
fn head(words: &mut Words<'_>) -> Option<&'static str> {
    if !words.is("select") || (words.sign('*') && !words.is("from")) {
        return None;
    }
    if !words.is(SCHEMA) || !words.sign('.') {
        return None;
    }
    let function = [REQUEST, STATUS].into_iter().find(|function| words.is(function))?;
    words.sign('(').then_some(function)
}

/// Up to the closing parenthesis.
fn arguments(words: &mut Words<'_>, parameters: &mut usize) -> Result<[Value; ARGUMENTS.len()], String> {
    let mut values = [const { Value::None }; ARGUMENTS.len()];
    if words.sign(')') {
        return Ok(values);
    }
    let mut by_name = false;
    for place in 0.. {
        let at = match name(words)? {
            Some(at) => {
                by_name = true;
                at
            }
            None if by_name => return Err("behind an argument with a name, all have one".to_owned()),
            None => place,
        };
        let slot =
            values.get_mut(at).ok_or_else(|| format!("it takes {} arguments at most", ARGUMENTS.len()))?;
        if *slot != Value::None {
            return Err(format!("`{}` is given twice", ARGUMENTS.get(at).copied().unwrap_or_default()));
        }
        *slot = value(words)?;
        if let Value::Parameter(number) = slot {
            *parameters = (*parameters).max(*number);
        }
        match words.next() {
            Some(Word::Sign(',')) => {}
            Some(Word::Sign(')')) => return Ok(values),
            _ => return Err("a `,` or a `)` is missing behind an argument".to_owned()),
        }
    }
    Ok(values)
}

/// `reason =>`: which argument that is.
fn name(words: &mut Words<'_>) -> Result<Option<usize>, String> {
    let mut ahead = Words { rest: words.rest };
    let (Some(Word::Plain(name)), Some(Word::Is)) = (ahead.next(), ahead.next()) else { return Ok(None) };
    words.rest = ahead.rest;
    let at = ARGUMENTS.iter().position(|argument| argument.eq_ignore_ascii_case(name));
    at.map(Some).ok_or_else(|| format!("there is no argument `{name}`: there are {}", ARGUMENTS.join(", ")))
}

/// A constant or a parameter, perhaps with a cast.
fn value(words: &mut Words<'_>) -> Result<Value, String> {
    let value = match words.next() {
        Some(Word::Text(text)) => Value::Text(text),
        Some(Word::Parameter(number)) => Value::Parameter(number),
        Some(Word::Plain(word)) if word.eq_ignore_ascii_case("null") => Value::None,
        Some(Word::Plain(word)) if word.bytes().all(|b| b.is_ascii_digit()) => Value::Text(word.to_owned()),
        _ => {
            return Err(
                "an argument is a text in single quotes, a number or a parameter, without backslashes"
                    .to_owned(),
            );
        }
    };
    while words.peek() == Some(Word::Cast) {
        let _ = words.next();
        while matches!(words.peek(), Some(Word::Plain(_))) {
            let _ = words.next();
        }
    }
    Ok(value)
}

/// Whether nothing follows but a name for the column, and the end.
fn ends(words: &mut Words<'_>) -> bool {
    let named = words.is("as");
    if matches!(words.peek(), Some(Word::Plain(word)) if named || !word.eq_ignore_ascii_case("where")) {
        let _ = words.next();
    }
    let _ = words.sign(';');
    words.peek().is_none()
}

impl Portal {
    /// What it asks of the gateway.
    pub(super) fn call(&self) -> Option<Arc<AccessCall>> {
        self.access.clone()
    }
}

impl PostgresDialect {
    /// What goes to the target in place of a message that belongs to a call to the gateway itself; `None`: the message as it is.
    pub(super) fn answer_call(
        &self,
        what: &What,
        message: &[u8],
        running: Option<&Running>,
    ) -> Option<Replaced> {
        let body = message.get(HEADER_LEN..)?;
        let utf8 = self.parameters.settings.utf8 && self.parameters.same_encoding();
        match what {
            What::Query(_) => {
                let running = running.filter(|running| running.access)?;
                let text = running.permit.told().map_or_else(nothing_done, |told| giving(told, utf8));
                let mut bytes = BytesMut::with_capacity(text.len() + 8);
                frontend::encode_query(&mut bytes, text.as_bytes()).ok()?;
                Some(Replaced { bytes, before: Vec::new(), after: Vec::new() })
            }
            What::Parse(statement) => {
                let text = statement.access.as_ref()?.stand_in();
                let parse = Parse::read(body).ok()?;
                let types: Vec<u32> = parse.types().collect();
                let mut bytes = BytesMut::with_capacity(text.len() + 64);
                frontend::encode_parse(&mut bytes, parse.statement, text.as_bytes(), &types).ok()?;
                Some(Replaced { bytes, before: Vec::new(), after: Vec::new() })
            }
            // The client's own portal is never run: another one, with the answer in it, takes its place.
            What::Execute(Some(_)) => {
                let text = giving(running.filter(|running| running.access)?.permit.told()?, utf8);
                let name = self.own_name(Own::Access);
                let (name, mut bytes) = (name.as_bytes(), BytesMut::with_capacity(text.len() + 256));
                frontend::encode_close(&mut bytes, Object::Statement(name)).ok()?;
                frontend::encode_parse(&mut bytes, name, text.as_bytes(), &[]).ok()?;
                frontend::encode_bind(&mut bytes, (name, name), (Format::Text, &[]), Format::Text).ok()?;
                frontend::encode_execute(&mut bytes, name, 0).ok()?;
                frontend::encode_close(&mut bytes, Object::Portal(name)).ok()?;
                frontend::encode_close(&mut bytes, Object::Statement(name)).ok()?;
                Some(Replaced { bytes, before: b"312".to_vec(), after: b"33".to_vec() })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Option<AccessCall> {
        Asked::of(text.as_bytes()).map(|asked| asked.call(|_| None))
    }

    fn request(lasts: &str, effects: &str, reason: &str, tables: &str, commands: Option<u64>) -> AccessCall {
        let own = str::to_owned;
        AccessCall::Request(AccessRequest {
            lasts: own(lasts),
            effects: own(effects),
            reason: own(reason),
            tables: own(tables),
            commands,
        })
    }

    #[test]
    fn calls_are_read_in_all_the_ways_they_are_written() {
        let plain = request("2h", "read,write", "it's late", "", None);
        for text in [
            "SELECT firsthand.request_access('2h', 'read,write', 'it''s late')",
            "select * from firsthand.request_access('2h','read,write','it''s late');",
            "/* tool */ Select Firsthand.Request_Access ( '2h'::text , 'read,write' :: character varying, 'it''s late' ) as access -- now\n;",
            "SELECT firsthand.request_access(duration => '2h', reason => 'it''s late', effects := 'read,write')",
            "SELECT firsthand.request_access('2h', 'read,write', reason => 'it''s late', tables => NULL)",
        ] {
            assert_eq!(call(text), Some(plain.clone()), "{text}");
        }
        let all = request("1d", "read", "x", "public.t", Some(20));
        assert_eq!(call("SELECT firsthand.request_access('1d', 'read', 'x', 'public.t', 20)"), Some(all));
        assert_eq!(call("SELECT * FROM firsthand.access_status()"), Some(AccessCall::Status));
    }

    #[test]
    fn what_is_none_is_left_alone_and_what_is_wrong_is_told() {
        for none in [
            "SELECT 1",
            "SELECT firsthand.other('2h')",
            "SELECT 'firsthand.request_access(''2h'')'",
            "SELECT now(), firsthand.request_access('2h')",
            "INSERT INTO t SELECT firsthand.request_access('2h')",
            "SELECT firsthand.request_access",
            "BEGIN; SELECT firsthand.access_status()",
            "SELECT myfirsthand.request_access('2h')",
        ] {
            assert_eq!(call(none), None, "{none}");
        }
        for wrong in [
            "SELECT firsthand.request_access('2h', 'read', 'x') WHERE true",
            "SELECT firsthand.request_access('2h'); DROP TABLE t",
            "SELECT firsthand.request_access('2h', now())",
            "SELECT firsthand.request_access(E'2h')",
            r"SELECT firsthand.request_access('2\h')",
            "SELECT firsthand.request_access('2h",
            "SELECT firsthand.request_access(why => 'x')",
            "SELECT firsthand.request_access('2h', duration => '1h')",
            "SELECT firsthand.request_access(duration => '1h', 'read')",
            "SELECT firsthand.request_access('2h', 'read', 'x', '', 1, 2)",
            "SELECT firsthand.request_access('2h', 'read', 'x', '', 'many')",
            "SELECT firsthand.access_status('gr-1')",
            "SELECT firsthand.request_access($1)",
        ] {
            assert!(matches!(call(wrong), Some(AccessCall::Unreadable(_))), "{wrong}: {:?}", call(wrong));
        }
    }

    #[test]
    fn parameters_stand_for_arguments() {
        let asked = Asked::of(b"SELECT firsthand.request_access($2, 'read', $1, commands => $3)").unwrap();
        let given = |number| match number {
            1 => Some((Format::Text, Some(&b"why"[..]))),
            2 => Some((Format::Binary, Some(&b"2h"[..]))),
            3 => Some((Format::Binary, Some(&[0, 0, 0, 7][..]))),
            _ => None,
        };
        assert_eq!(asked.call(given), request("2h", "read", "why", "", Some(7)));
        let stands = asked.stand_in();
        assert!(
            stands.ends_with("WHERE false AND $1::text IS NULL AND $2::text IS NULL AND $3::int IS NULL"),
            "{stands}"
        );
    }

    #[test]
    fn answers_are_constants_under_every_setting() {
        assert_eq!(literal("it's \\ ü\n", false), "'it''s / ??'::text");
        assert_eq!(literal("it's \\ ü\n", true), "'it''s / ü?'::text");
    }
}
