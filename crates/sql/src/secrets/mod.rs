//! Credentials that stand in the text of statements, replaced by `***` for the record.
//!
//! Works on tokens, not on the tree: a syntax error after `PASSWORD` must not leak what follows, and bodies of DO blocks,
//! functions and dynamic SQL are only strings to the parser. Strings that may hold SQL or a connection string are read like the
//! text itself. Found are:
//!
//! - a string after a name like `password`, `secret`, `token`, `…key`: role options, OPTIONS lists, `name => '…'`, `name := '…'`;
//!   what stands after PASSWORD in CREATE and ALTER ROLE, USER and GROUP and is not one literal, to the end of the text;
//! - every string in these statements, however the word before it is spelt, but not that of VALID UNTIL, the role's own name, a
//!   setting's value, or a mapping's `user`;
//! - the value in `SET`, `ALTER … SET` and `set_config` of a setting with such a name;
//! - in any string, comment or address: `password=…` and its kin, `"password": "…"` in JSON, and `scheme://user:password@`;
//! - keys given to pgcrypto's functions and to Supabase Vault, MySQL's `IDENTIFIED BY '…'`;
//! - what the program of COPY … PROGRAM is given as a password (`shell`);
//! - of bound parameters, those that stand where a string would be one of these ([`mask_all`]).
//!
//! Rather too much than too little: what directly runs on after a masked string (a stray quote, a backslash) is masked to the end
//! of the text. Not found: secrets in columns of the application's own tables (policy masks those), in bound parameters elsewhere
//! that are no connection string ([`mask_connection`]), a password or its name put together
//! from pieces (`'pass' || 'word=x'`) or taken from a variable, those of JSON that are no strings or stand in a string of JSON, and
//! names hidden by escapes where no other word gives them away.

mod connection;
mod lexer;
mod message;
mod names;
mod shell;

use std::borrow::Cow;
use std::ops::Range;

use crate::split::is_space;
use connection::{credentials, tokens};
use lexer::{Kind, Lexer, Token};
pub use message::{QUOTED_MAX, mask_message, mask_report};
pub use names::may_hold_secret;
use names::{is_credential, means_password, secret_arguments};

/// Strings in strings that are read as SQL; what lies deeper and looks suspicious is masked as a whole.
pub const NESTING_MAX: usize = 4;

/// Shortest piece of a secret that [`mask_message`] looks for anywhere; shorter ones only where a message quotes them.
pub const PIECE_MIN: usize = 4;

/// Secrets of one text that are remembered for its messages. With more, a message loses all it quotes.
pub const SECRETS_MAX: usize = 64;

/// What stands for a secret.
pub(crate) const MASK: &str = "***";

/// Which bound parameters of a text are secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecretParameters(u64);

impl SecretParameters {
    /// Parameters that are told apart; all behind them are secret where one of them is.
    pub const TOLD: u32 = 63;

    fn add(&mut self, number: u32) {
        if let Some(at) = number.checked_sub(1) {
            self.0 |= 1 << at.min(Self::TOLD);
        }
    }

    /// Whether none is.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the parameter at this index, counted from 0, is.
    pub fn has(self, index: usize) -> bool {
        self.0 >> index.min(Self::TOLD as usize) & 1 == 1
    }
}

/// A text without its secrets.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Masked {
    /// The text for the record.
    pub text: String,
    /// What was taken out, for [`mask_message`]: as written and as meant. Not for any record.
    secrets: Secrets,
}

/// Secrets taken out of a text.
#[derive(Clone, Default, PartialEq, Eq)]
struct Secrets {
    /// The longest first, once the text is read.
    known: Vec<String>,
    /// There were more than [`SECRETS_MAX`].
    more: bool,
}

impl Secrets {
    fn add(&mut self, secret: &str) {
        if secret.is_empty() || self.known.iter().any(|known| known == secret) {
            return;
        }
        if self.known.len() < SECRETS_MAX {
            self.known.push(secret.to_owned());
        } else {
            self.more = true;
        }
    }
}

impl Masked {
    /// With these secrets besides, which a message may quote: values of parameters.
    #[must_use]
    pub fn knowing<'s>(mut self, more: impl Iterator<Item = &'s str>) -> Self {
        more.for_each(|secret| self.secrets.add(secret));
        self.secrets.known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        self
    }
}

impl std::fmt::Debug for Masked {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masked").field("text", &self.text).finish_non_exhaustive()
    }
}

/// Replaces the credentials in a text by `***`; `None` when it holds none (50 ns for most statements). Takes any text, whether it
/// parses or not; time and memory grow linearly with it.
pub fn mask(text: &str) -> Option<Masked> {
    mask_all(text).0
}

/// The same, and which of the text's parameters (`$1`) stand where a string would be a secret.
pub fn mask_all(text: &str) -> (Option<Masked>, SecretParameters) {
    if !may_hold_secret(text.as_bytes()) {
        return (None, SecretParameters::default());
    }
    let mut secrets = Secrets::default();
    let Read { mut edits, parameters, .. } = Reader::new(text, 0, &mut secrets).read();
    // A token of Firsthand's own is one wherever it stands: as a name, as a word, alone.
    for span in tokens(text) {
        secrets.add(text.get(span.clone()).unwrap_or_default());
        edits.push(Edit { span, with: Cow::Borrowed(MASK) });
    }
    let masked = apply(text, edits).map(|text| {
        secrets.known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Masked { text, secrets }
    });
    (masked, parameters)
}

/// A text that may be, or hold, a connection string, without the credentials of it: bound parameters, settings of a session.
/// `None` when it holds none. Linear in the text.
pub fn mask_connection(text: &str) -> Option<String> {
    if !may_hold_secret(text.as_bytes()) {
        return None;
    }
    let edits = credentials(text).into_iter().map(|span| Edit { span, with: Cow::Borrowed(MASK) });
    apply(text, edits.collect())
}

/// Whether a token of Firsthand's own stands in a text.
pub fn holds_token(text: &str) -> bool {
    !tokens(text).is_empty()
}

/// A piece of text to be replaced.
struct Edit {
    span: Range<usize>,
    with: Cow<'static, str>,
}

/// The text with its edits made; `None` without any. Where edits overlap, all that any of them covers goes.
fn apply(text: &str, mut edits: Vec<Edit>) -> Option<String> {
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|edit| edit.span.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        if edit.span.start >= at {
            out.push_str(text.get(at..edit.span.start).unwrap_or(MASK));
            out.push_str(&edit.with);
        }
        at = at.max(edit.span.end);
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Some(out)
}

/// What reading a text found.
struct Read {
    edits: Vec<Edit>,
    /// It ends, or has a placeholder, where a password should stand: the password comes from elsewhere.
    open: bool,
    /// A connection string in it has a place for a password: that stands in a later argument of the same call.
    place: bool,
    /// Its own parameters that are secrets.
    parameters: SecretParameters,
}

impl Read {
    fn nothing() -> Self {
        Self { edits: Vec::new(), open: false, place: false, parameters: SecretParameters::default() }
    }
}

/// Reads one text: the statement, or a string in it.
struct Reader<'t, 's> {
    text: &'t str,
    depth: usize,
    secrets: &'s mut Secrets,
    read: Read,
    /// The tokens before, comments aside, the nearest first.
    before: [Option<Token>; 4],
    /// Open parentheses, innermost last.
    calls: Vec<Call>,
    statement: Statement,
    /// All the rest has been masked.
    distrusted: bool,
}

/// What is known of the statement that is being read.
#[derive(Default)]
struct Statement {
    /// CREATE or ALTER ROLE, USER, GROUP (also USER MAPPING).
    role: bool,
    /// USER MAPPING: strings belong to options, by name.
    mapping: bool,
    /// Where PASSWORD ended in it: what follows and is no literal goes, from here to the end.
    password: Option<usize>,
    /// UPDATE, CREATE or the like came before: SET assigns columns, or is part of ON DELETE SET NULL.
    changes: bool,
    /// SET stands where it assigns settings.
    setting: bool,
    /// The name of a credential has been seen where one is assigned.
    named: bool,
    /// A value of that name comes next.
    expected: bool,
    /// All strings from here are suspect: they fill a statement text that has a hole for a password.
    fills: bool,
}

/// A parenthesis: which of the arguments in it are secret, and which one is being read.
#[derive(Clone, Copy, Default)]
struct Call {
    secret: u8,
    /// Of its arguments all that follow.
    fills: bool,
    argument: u8,
    set_config: bool,
}

impl<'t, 's> Reader<'t, 's> {
    fn new(text: &'t str, depth: usize, secrets: &'s mut Secrets) -> Self {
        Self {
            text,
            depth,
            secrets,
            read: Read::nothing(),
            before: [None, None, None, None],
            calls: Vec::new(),
            statement: Statement::default(),
            distrusted: false,
        }
    }

    fn read(mut self) -> Read {
        for token in Lexer::new(self.text) {
            if self.hides_password(&token) {
                break;
            }
            match token.kind {
                Kind::Comment | Kind::Address => {
                    self.look_into(&token.span);
                    // An address swallows a semicolon that follows it directly.
                    let ends = token.kind == Kind::Address
                        && self.text.as_bytes().get(token.span.end - 1) == Some(&b';');
                    if ends {
                        self.statement = Statement::default();
                    }
                    continue;
                }
                Kind::Word | Kind::QuotedName => self.name(&token),
                Kind::Other(symbol) => self.symbol(&token, symbol),
                Kind::Plain | Kind::Escapes | Kind::Unicode | Kind::Dollar => self.literal(&token),
            }
            self.before.rotate_right(1);
            let [nearest, ..] = &mut self.before;
            *nearest = Some(token);
            if self.distrusted {
                break;
            }
        }
        if let Some(from) = self.statement.password.filter(|_| !self.distrusted) {
            self.read.open = true;
            self.hide_from(from); // it may have been read as a comment
        }
        self.read
    }

    /// What comes after PASSWORD in a statement about a role and is no literal: all of it goes. True when it did.
    fn hides_password(&mut self, token: &Token) -> bool {
        let Some(from) = self.statement.password else { return false };
        let rest = self.text.get(token.span.start..).unwrap_or_default();
        let word = self.text.get(token.span.clone()).unwrap_or_default();
        let to = self.before_is(0, "set") || self.before_is(1, "set");
        match token.kind {
            Kind::Comment | Kind::Other(b'=' | b':' | b'(' | b'>') => return false,
            Kind::Word if to && word.eq_ignore_ascii_case("to") => return false,
            Kind::Plain | Kind::Escapes | Kind::Unicode | Kind::Dollar => {}
            Kind::Word if word.eq_ignore_ascii_case("null") => {}
            Kind::Other(b';') if rest.trim_matches(|c: char| c == ';' || c.is_whitespace()).is_empty() => {}
            _ if is_place(rest, self.depth) => self.read.open = true,
            _ => {
                self.hide_from(from);
                return true;
            }
        }
        self.statement.password = None;
        false
    }

    /// Takes all out from a place on.
    fn hide_from(&mut self, from: usize) {
        let rest = self.text.get(from..).unwrap_or_default();
        let space = rest.len() - rest.trim_start().len();
        if space == rest.len() {
            return;
        }
        self.secrets.add(rest.trim());
        self.distrusted = true;
        let span = from + space..self.text.len();
        self.read.edits.push(Edit { span, with: Cow::Borrowed(MASK) });
    }

    /// A name or keyword: what it makes of the statement.
    fn name(&mut self, token: &Token) {
        let name = token.value(self.text);
        let is = |word: &str| token.kind == Kind::Word && name.eq_ignore_ascii_case(word);
        let resets = ["begin", "then", "else", "loop"].iter().any(|word| is(word));
        if self.statement.expected && !is("to") {
            self.statement.expected = false;
            if !["null", "default", "from"].iter().any(|word| is(word)) {
                self.hide(token);
            }
        } else if ["role", "user", "group"].iter().any(|word| is(word)) {
            self.statement.role |= self.before_is(0, "create") || self.before_is(0, "alter");
        } else if is("set") {
            self.statement.setting |= !self.statement.changes;
        } else if resets {
            self.statement = Statement { fills: self.statement.fills, ..Statement::default() };
        } else if self.is_password(&name, token) {
            self.statement.named = true;
            self.statement.password = Some(token.span.end);
        } else if self.statement.setting && is_credential(&name) {
            self.statement.named = true;
        } else if is("to") {
            self.statement.expected = self.statement.setting && self.before_credential(0);
        }
        self.statement.mapping |= self.statement.role && is("mapping") && self.before_is(0, "user");
        self.statement.changes |=
            ["update", "insert", "merge", "delete", "create"].iter().any(|word| is(word));
    }

    /// Whether a name in a statement about a role says that its password comes next.
    fn is_password(&self, name: &str, token: &Token) -> bool {
        if !self.statement.role || token.kind != Kind::Word {
            return false;
        }
        // A name of a setting, and names of roles: `SET app.password`, `IN ROLE pascal`.
        let part = self.before.first().and_then(Option::as_ref).is_some_and(|t| t.kind == Kind::Other(b'.'));
        let of_role = ["role", "user", "group", "to", "admin"].iter().any(|word| self.before_is(0, word));
        let setting = self.statement.setting && !self.before_is(0, "set");
        !part
            && !setting
            && (name.eq_ignore_ascii_case("password") || !of_role && means_password(name))
            && !name.eq_ignore_ascii_case("password_encryption")
    }

    /// Whether a string is secret because of the statement about a role in which it stands.
    fn is_of_role(&self) -> bool {
        let before = self.before_name(0);
        let after = |words: &[&str]| {
            before.as_ref().is_some_and(|name| words.iter().any(|word| name.eq_ignore_ascii_case(word)))
        };
        if !self.statement.role || after(&["until", "role", "user", "group"]) {
            return false;
        }
        if self.statement.mapping {
            return !after(&["username", "password_required", "server"]);
        }
        // `SET name = 'value'`: told by the name, unless that is PASSWORD misspelt.
        let sign = self.before.first().and_then(Option::as_ref).map(|token| token.kind);
        let value = after(&["to"]) || matches!(sign, Some(Kind::Other(b'=' | b',')));
        let misspelt = self.before_name(1).is_some_and(|name| means_password(&name));
        !(self.statement.setting && value && !misspelt)
    }

    fn symbol(&mut self, token: &Token, symbol: u8) {
        match symbol {
            b';' => self.statement = Statement::default(),
            b'(' => {
                let function = self.before_name(0).unwrap_or_default();
                let set_config = function.eq_ignore_ascii_case("set_config");
                // What is made of a secret's place, as `crypt(trim('…'), …)`, is made of a secret.
                let secret = if self.is_secret_argument() { u8::MAX } else { secret_arguments(&function) };
                self.calls.push(Call { secret, fills: false, argument: 0, set_config });
            }
            b')' => {
                self.calls.pop();
            }
            b',' => {
                if let Some(call) = self.calls.last_mut() {
                    call.argument = call.argument.saturating_add(1);
                }
            }
            b'$' if self.is_secret(token) => {
                let digits = self.text.get(token.span.end..).unwrap_or_default();
                let end = digits.bytes().take_while(u8::is_ascii_digit).count();
                if let Some(number) = digits.get(..end).and_then(|digits| digits.parse().ok()) {
                    self.read.parameters.add(number);
                }
            }
            b'=' => self.statement.expected |= self.statement.setting && self.before_credential(0),
            b'%' => self.read.open |= self.statement.expected,
            b'0' if self.statement.expected => self.hide(token),
            _ => {}
        }
        self.statement.expected &= matches!(symbol, b'=' | b':' | b'(' | b'>');
    }

    /// Whether what stands here is run by the server's shell: COPY … PROGRAM, and settings such as `archive_command`.
    fn is_command(&self) -> bool {
        let sign = self.before.first().and_then(Option::as_ref).map(|token| token.kind);
        let given = self.before_is(0, "to") || sign == Some(Kind::Other(b'='));
        let of_setting =
            || self.before_name(1).is_some_and(|name| name.to_ascii_lowercase().ends_with("_command"));
        (self.before_is(0, "program") && (self.before_is(1, "to") || self.before_is(1, "from")))
            || (given && of_setting())
    }

    fn literal(&mut self, token: &Token) {
        self.statement.expected = false;
        if self.is_secret(token) {
            // A password that is put in from outside: a quoted `%s`, or a string that is left open.
            let inner = self.text.get(token.inner.clone()).unwrap_or_default();
            self.read.open |= self.statement.role && (inner.contains('%') || !token.is_closed());
            return self.hide(token);
        }
        let value = token.value(self.text);
        if let Some(call) = self.calls.last_mut()
            && call.set_config
            && call.argument == 0
            && is_credential(&value)
        {
            call.secret = 0b010;
        }
        let command = self.is_command();
        if !command && !may_hold_secret(value.as_bytes()) {
            return;
        }
        if self.depth >= NESTING_MAX {
            self.statement.fills = true; // it may have a hole for a password
            return self.hide(token);
        }
        let given = if command { shell::credentials(&value) } else { Vec::new() };
        for span in &given {
            self.secrets.add(value.get(span.clone()).unwrap_or_default());
        }
        if token.kind == Kind::Dollar {
            let edits = self.read.edits.len();
            self.look_into(&token.inner);
            let at = |span: Range<usize>| token.inner.start + span.start..token.inner.start + span.end;
            let given = given.into_iter().map(|span| Edit { span: at(span), with: Cow::Borrowed(MASK) });
            self.read.edits.extend(given);
            if self.read.edits.len() > edits {
                self.distrust_after(token);
            }
            return;
        }
        let mut read = self.read_inside(&value);
        read.edits.extend(given.into_iter().map(|span| Edit { span, with: Cow::Borrowed(MASK) }));
        self.statement.fills |= read.open;
        if let Some(call) = self.calls.last_mut() {
            call.fills |= read.place;
        }
        if let Some(value) = apply(&value, read.edits) {
            self.read.edits.push(Edit { span: token.span.clone(), with: Cow::Owned(quoted(&value)) });
            self.distrust_after(token);
        }
    }

    /// Whether a string as a whole is a credential, from what stands before it.
    fn is_secret(&self, token: &Token) -> bool {
        let symbol = |index: usize, wanted: u8| {
            self.before.get(index).and_then(Option::as_ref).is_some_and(|t| t.kind == Kind::Other(wanted))
        };
        // `name := '…'`, `name type := '…'`, `name => '…'`
        let set = symbol(0, b'=') && symbol(1, b':');
        let assigned = set && (self.before_credential(2) || self.before_credential(3))
            || symbol(0, b'>') && symbol(1, b'=') && self.before_credential(2);
        // `'a'` and `'b'` on the next line are one string.
        let continued = self.before.first().and_then(Option::as_ref).is_some_and(|last| {
            last.is_literal() && self.read.edits.last().is_some_and(|edit| edit.span == last.span)
        });
        // In prose ("the token's owner") a quote right after a name means no string.
        let last = self.before.first().and_then(Option::as_ref);
        let prose = self.depth > 0 && last.is_some_and(|last| last.span.end == token.span.start);
        self.before_credential(0) && !prose
            || assigned
            || self.before_is(0, "by") && self.before_is(1, "identified")
            || self.statement.named && !self.before_is(0, "until")
            || self.statement.fills
            || self.calls.iter().any(|call| call.fills)
            || self.is_of_role()
            || self.is_secret_argument()
            || continued
    }

    /// Whether the argument that is being read is a secret.
    fn is_secret_argument(&self) -> bool {
        self.calls.last().is_some_and(|call| {
            1_u8.checked_shl(call.argument.into()).is_some_and(|argument| call.secret & argument != 0)
        })
    }

    /// Takes a token out.
    fn hide(&mut self, token: &Token) {
        let value = token.value(self.text).into_owned();
        let written = self.text.get(token.inner.clone()).unwrap_or_default();
        self.secrets.add(&value);
        self.secrets.add(written);
        let with = if token.is_literal() { "'***'" } else { MASK };
        self.read.edits.push(Edit { span: token.span.clone(), with: Cow::Borrowed(with) });
        self.distrust_after(token);
    }

    /// What runs on directly after a masked token may be its rest, read wrongly: it goes too, to the end. A backslash
    /// before the closing quote may have meant the quote (`standard_conforming_strings` off).
    fn distrust_after(&mut self, token: &Token) {
        let rest = self.text.get(token.span.end..).unwrap_or_default();
        let backslash = token.kind == Kind::Plain
            && self.text.get(token.inner.clone()).is_some_and(|inner| inner.ends_with('\\'));
        let runs_on = rest.as_bytes().first().is_some_and(|next| {
            !is_space(*next) && !matches!(next, b';' | b',' | b')' | b']' | b':' | b'|' | b'-' | b'/' | b'=')
        });
        if !rest.is_empty() && (backslash || runs_on) {
            self.secrets.add(rest);
            self.distrusted = true;
            let span = token.span.end..self.text.len();
            self.read.edits.push(Edit { span, with: Cow::Borrowed(MASK) });
        }
    }

    /// Reads a part of the text that stands there as it is: a comment, an address, a dollar-quoted body.
    fn look_into(&mut self, span: &Range<usize>) {
        let Some(part) = self.text.get(span.clone()) else { return };
        if !may_hold_secret(part.as_bytes()) {
            return;
        }
        // A comment's own marks would make it one comment again.
        let skip = if part.starts_with("--") || part.starts_with("/*") { 2 } else { 0 };
        if self.depth >= NESTING_MAX {
            self.read.edits.push(Edit { span: span.start + skip..span.end, with: Cow::Borrowed(MASK) });
            return;
        }
        let start = span.start + skip;
        let read = self.read_inside(part.get(skip..).unwrap_or_default());
        self.statement.fills |= read.open;
        let moved =
            |edit: Edit| Edit { span: edit.span.start + start..edit.span.end + start, with: edit.with };
        self.read.edits.extend(read.edits.into_iter().map(moved));
    }

    /// Reads a text inside this one, as SQL and as a connection string.
    fn read_inside(&mut self, inside: &str) -> Read {
        let mut read = if inside.starts_with("://") {
            Read::nothing() // an address is no SQL, and would be found as one again
        } else {
            Reader::new(inside, self.depth + 1, self.secrets).read()
        };
        for span in credentials(inside) {
            // A place in a format's text, `password=%s`: the password stands in a later argument.
            read.place |= inside.get(span.clone()).is_some_and(|value| value.starts_with('%'));
            if let Some(secret) = inside.get(span.clone()).filter(|secret| *secret != MASK) {
                self.secrets.add(secret.trim_matches(['\'', '"']));
                read.edits.push(Edit { span, with: Cow::Borrowed(MASK) });
            }
        }
        read
    }

    /// The name that stood `index` tokens before.
    fn before_name(&self, index: usize) -> Option<Cow<'t, str>> {
        let token = self.before.get(index)?.as_ref()?;
        matches!(token.kind, Kind::Word | Kind::QuotedName).then(|| token.value(self.text))
    }

    fn before_credential(&self, index: usize) -> bool {
        self.before_name(index).is_some_and(|name| is_credential(&name))
    }

    fn before_is(&self, index: usize, word: &str) -> bool {
        self.before_name(index).is_some_and(|name| name.eq_ignore_ascii_case(word))
    }
}

/// Whether a place for a password stands here, and no password: `$1`, and in a format's text `%L`, `%I`, `%s`, `%1$L`.
fn is_place(rest: &str, depth: usize) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let ends = |after: &str| {
        !after.bytes().next().is_some_and(|byte| byte != b'\'' && byte != b';' && !is_space(byte))
    };
    if let Some(after) = rest.strip_prefix('$') {
        let number = digits(after);
        let after = after.get(number..).unwrap_or_default();
        return number > 0 && after.trim_start().trim_start_matches(';').trim_start().is_empty();
    }
    let Some(after) = rest.strip_prefix('%').filter(|_| depth > 0) else { return false };
    let number = digits(after);
    let after = after.get(number..).unwrap_or_default();
    let after = if number > 0 { after.strip_prefix('$').unwrap_or(after) } else { after };
    after.strip_prefix(['L', 'I', 's']).is_some_and(ends)
}

/// A value as a string literal.
fn quoted(value: &str) -> String {
    let doubled = value.replace('\'', "''");
    if value.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}
