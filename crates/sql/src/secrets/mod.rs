//! Credentials that stand in the text of statements, replaced by `***` for the record.
//!
//! Works on tokens, not on the tree: a syntax error after `PASSWORD` must not leak what follows, and bodies of DO blocks,
//! functions and dynamic SQL are only strings to the parser. Strings that may hold SQL or a connection string are read like the
//! text itself. Found are:
//!
//! - a string after a name like `password`, `secret`, `token`, `…key`: role options, OPTIONS lists, `name => '…'`, `name := '…'`;
//!   in CREATE and ALTER ROLE, USER and USER MAPPING everything quoted after PASSWORD (but not VALID UNTIL), and a bare word;
//! - the value in `SET`, `ALTER … SET` and `set_config` of a setting with such a name;
//! - in any string, comment or address: `password=…` and its kin, and `scheme://user:password@`;
//! - keys given to pgcrypto's functions and to Supabase Vault, MySQL's `IDENTIFIED BY '…'`.
//!
//! Rather too much than too little: what directly runs on after a masked string (a stray quote, a backslash) is masked to the end
//! of the text. Not found: secrets in columns of the application's own tables (policy masks those), in bound parameters,
//! passwords that a program of COPY … PROGRAM gets, and names hidden by escapes where no other word gives them away.

mod connection;
mod lexer;
mod names;

use std::borrow::Cow;
use std::ops::Range;

use crate::split::is_space;
use connection::credentials;
use lexer::{Kind, Lexer, Token};
pub use names::may_hold_secret;
use names::{is_credential, secret_arguments};

/// Strings in strings that are read as SQL; what lies deeper and looks suspicious is masked as a whole.
pub const NESTING_MAX: usize = 4;

/// Shortest piece of a secret that [`mask_message`] looks for anywhere; shorter ones only where a message quotes them.
pub const PIECE_MIN: usize = 4;

/// Secrets of one text that are remembered for its messages. With more, a message loses all it quotes.
pub const SECRETS_MAX: usize = 64;

/// What stands for a secret.
const MASK: &str = "***";

/// A text without its secrets.
#[derive(Clone, PartialEq, Eq)]
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

impl std::fmt::Debug for Masked {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masked").field("text", &self.text).finish_non_exhaustive()
    }
}

/// Replaces the credentials in a text by `***`; `None` when it holds none (50 ns for most statements). Takes any text, whether it
/// parses or not; time and memory grow linearly with it.
pub fn mask(text: &str) -> Option<Masked> {
    if !may_hold_secret(text.as_bytes()) {
        return None;
    }
    let mut secrets = Secrets::default();
    let read = Reader::new(text, 0, &mut secrets).read();
    let text = apply(text, read.edits)?;
    secrets.known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    Some(Masked { text, secrets })
}

/// A server's message about a statement, without the secrets that were masked in the statement: messages quote
/// (`syntax error at or near "…"`). `None` when it holds none.
pub fn mask_message(message: &str, masked: &Masked) -> Option<String> {
    let mut out = Cow::Borrowed(message);
    for secret in masked.secrets.known.iter().filter(|secret| secret.len() >= PIECE_MIN) {
        if out.contains(secret.as_str()) {
            out = Cow::Owned(out.replace(secret.as_str(), MASK));
        }
    }
    let known = &masked.secrets.known;
    let held = |piece: &str| {
        !piece.is_empty() && (masked.secrets.more || known.iter().any(|secret| secret.contains(piece)))
    };
    if out.split('"').skip(1).step_by(2).any(held) {
        let pieces = out.split('"').enumerate();
        let pieces = pieces.map(|(index, piece)| if index % 2 == 1 && held(piece) { MASK } else { piece });
        out = Cow::Owned(pieces.collect::<Vec<_>>().join("\""));
    }
    (out != message).then(|| out.into_owned())
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
    argument: u8,
    set_config: bool,
}

impl<'t, 's> Reader<'t, 's> {
    fn new(text: &'t str, depth: usize, secrets: &'s mut Secrets) -> Self {
        Self {
            text,
            depth,
            secrets,
            read: Read { edits: Vec::new(), open: false },
            before: [None, None, None, None],
            calls: Vec::new(),
            statement: Statement::default(),
            distrusted: false,
        }
    }

    fn read(mut self) -> Read {
        for token in Lexer::new(self.text) {
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
        self.read.open |= self.statement.role && self.statement.expected;
        self.read
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
        } else if self.statement.role && is("password") {
            self.statement.named = true;
            self.statement.expected = true;
        } else if self.statement.setting && is_credential(&name) {
            self.statement.named = true;
        } else if is("to") {
            self.statement.expected = self.statement.setting && self.before_credential(0);
        }
        self.statement.changes |=
            ["update", "insert", "merge", "delete", "create"].iter().any(|word| is(word));
    }

    fn symbol(&mut self, token: &Token, symbol: u8) {
        match symbol {
            b';' => self.statement = Statement::default(),
            b'(' => {
                let function = self.before_name(0).unwrap_or_default();
                let set_config = function.eq_ignore_ascii_case("set_config");
                let secret = secret_arguments(&function);
                self.calls.push(Call { secret, argument: 0, set_config });
            }
            b')' => {
                self.calls.pop();
            }
            b',' => {
                if let Some(call) = self.calls.last_mut() {
                    call.argument = call.argument.saturating_add(1);
                }
            }
            b'=' => self.statement.expected |= self.statement.setting && self.before_credential(0),
            b'%' => self.read.open |= self.statement.expected,
            b'0' if self.statement.expected => self.hide(token),
            _ => {}
        }
        self.statement.expected &= matches!(symbol, b'=' | b':' | b'(' | b'>');
    }

    fn literal(&mut self, token: &Token) {
        self.statement.expected = false;
        if self.is_secret(token) {
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
        if !may_hold_secret(value.as_bytes()) {
            return;
        }
        if self.depth >= NESTING_MAX {
            self.statement.fills = true; // it may have a hole for a password
            return self.hide(token);
        }
        if token.kind == Kind::Dollar {
            let edits = self.read.edits.len();
            self.look_into(&token.inner);
            if self.read.edits.len() > edits {
                self.distrust_after(token);
            }
            return;
        }
        let read = self.read_inside(&value);
        self.statement.fills |= read.open;
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
        let argument = self.calls.last().is_some_and(|call| {
            1_u8.checked_shl(call.argument.into()).is_some_and(|argument| call.secret & argument != 0)
        });
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
            || argument
            || continued
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
            Read { edits: Vec::new(), open: false } // an address is no SQL, and would be found as one again
        } else {
            Reader::new(inside, self.depth + 1, self.secrets).read()
        };
        for span in credentials(inside) {
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

/// A value as a string literal.
fn quoted(value: &str) -> String {
    let doubled = value.replace('\'', "''");
    if value.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}
