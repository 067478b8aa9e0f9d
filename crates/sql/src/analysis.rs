//! A text as a client sends it, taken apart: its statements, and what each does.

use std::ops::Range;
use std::sync::Arc;

use firsthand_model::command::{Effect, Effects, Shape};
use firsthand_model::statement::{Facts, Opaque};

use crate::catalog::Catalog;
use crate::cost::parse_bytes;
use crate::resolve::{Sequel, opaque_facts, resolve};
use crate::returning::{Changes, changes_of};
use crate::split;
use crate::state::SessionState;
use crate::syntax::syntax;
use crate::walk::shape_of;

/// The stack that [`analyze`] needs, in bytes: decoding the parser's tree, and dropping it, recurse with its depth. The parser
/// gives no tree deeper than 10,000 messages ("nested too deeply"); the deepest fit in 32 MiB when optimised, and took 160 MiB
/// without optimisation, where each step takes more. With too little (2 MiB is tokio's default) a hostile statement of
/// a few KiB ends the process. Only what a text really needs is ever touched.
pub const STACK_BYTES: usize = if cfg!(debug_assertions) { 256 << 20 } else { 32 << 20 };

/// Longest text that is parsed, in bytes. Dumps go through COPY.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Most memory, in bytes, that a text may be expected to take while it is parsed. some 75,000 names, or 230,000 constants,
/// each with what separates it: more than what people and drivers write. Without it `select a,a,…` of 1 MiB takes 2 GiB.
pub const PARSE_BYTES_MAX: usize = 512 << 20;

/// Longest run of operator characters that is parsed. PostgreSQL's scanner reads such a run again from each `/*` or `--` in it: 200
/// KiB of `/*` take it minutes. Operators have at most 63 characters; rulers in comments some hundred.
pub const OPERATOR_RUN_MAX: usize = 512;

/// Texts longer than this should be analysed where waiting some milliseconds holds up nobody else.
pub const SMALL_TEXT_BYTES: usize = 8 << 10;

/// Coverage fact of a text that could not be parsed.
pub const UNPARSED: &str = "unparsed";

/// What the session's state means for reading a text. Both are reported by the server (ParameterStatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `standard_conforming_strings`: off, a backslash in `'…'` escapes, and the text parses to something else.
    pub standard_conforming_strings: bool,
    /// Whether `client_encoding` is UTF8. Otherwise bytes above 0x7F mean something else, perhaps a quote's second half.
    pub utf8: bool,
}

impl Default for Settings {
    /// As every server since PostgreSQL 9.1 starts.
    fn default() -> Self {
        Self { standard_conforming_strings: true, utf8: true }
    }
}

/// Statements of one text that are told apart; more are one statement of which nothing is known. Each is a command with entries
/// of its own, some 800 bytes for nine of text, and all of them are written before the first runs.
pub const STATEMENTS_MAX: usize = 4096;

/// Why a text was not parsed. Quotes no more of the text than a word or signs at which the parser stopped, and no constant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unparsed {
    /// Longer than [`TEXT_BYTES_MAX`].
    #[error("the text has {0} bytes, more than the {TEXT_BYTES_MAX} that are parsed")]
    TooLong(usize),
    /// Would take more than [`PARSE_BYTES_MAX`].
    #[error("parsing the text may take {0} bytes, more than the {PARSE_BYTES_MAX} that are allowed")]
    TooCostly(usize),
    /// Not valid UTF-8, or not ASCII while the session speaks another encoding.
    #[error("the text is not in UTF-8")]
    Encoding,
    /// A NUL byte; the protocol ends a text there.
    #[error("the text holds a NUL byte")]
    Nul,
    /// Backslashes while `standard_conforming_strings` is off.
    #[error("standard_conforming_strings is off and the text holds a backslash")]
    Backslash,
    /// More than [`STATEMENTS_MAX`].
    #[error("the text holds {0} statements, more than the {STATEMENTS_MAX} that are told apart")]
    TooMany(usize),
    /// A run of operator characters longer than [`OPERATOR_RUN_MAX`].
    #[error("the text holds more than {OPERATOR_RUN_MAX} operator characters in a row")]
    OperatorRun,
    /// PostgreSQL's parser refused it: the kind of error, what it stopped at, and where.
    #[error("{0}")]
    Syntax(String),
}

impl Unparsed {
    /// What is known of such a text: why it is not known.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let mut facts = opaque_facts(UNPARSED);
        facts.unbounded = true;
        facts.opaque = Some(Opaque { why: UNPARSED, what: self.to_string() });
        facts
    }
}

/// Whether a text should be analysed apart from latency-sensitive work (see [`SMALL_TEXT_BYTES`]).
pub const fn is_large(text: &[u8]) -> bool {
    text.len() > SMALL_TEXT_BYTES
}

/// What analysing a text may take in memory, in bytes: for whoever bounds that over many texts. An upper bound, found by
/// reading the text's tokens.
pub fn parse_cost(text: &[u8]) -> usize {
    if text.len() > TEXT_BYTES_MAX {
        return text.len();
    }
    match parse_bytes(text) {
        // Then it is not parsed at all.
        cost if cost > PARSE_BYTES_MAX => text.len(),
        cost => cost,
    }
}

/// What a text does. Shared between repetitions of the same statement, also with other literals; so it holds nothing
/// that depends on a literal's value, and the places of its statements are found with the text at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    pub(crate) statements: Vec<Statement>,
    unparsed: Option<Unparsed>,
}

/// One statement of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Tag, effects, tables, whether it only reads.
    pub shape: Arc<Shape>,
    /// Which rows it changes. The places in it are those of its own text, so that RETURNING can be added only where it is
    /// the only statement.
    pub changes: Option<Arc<Changes>>,
    pub(crate) place: Place,
}

/// Where a statement stands in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// These bytes.
    At(Range<usize>),
    /// All of the text but white space and semicolons around it: for what is shared between texts of different length.
    Trimmed,
}

impl Analysis {
    /// The statements, in the order of the text. None: the text is empty (white space and comments); it does nothing.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Why the text was not parsed, if it was not. It then counts as one statement of unknown effects.
    pub fn unparsed(&self) -> Option<&Unparsed> {
        self.unparsed.as_ref()
    }

    /// Whether all of the text is proven to only read (an empty text is).
    pub fn plain_read(&self) -> bool {
        self.statements.iter().all(|statement| statement.shape.plain_read)
    }

    /// A text that was not parsed: one statement, of which nothing is known.
    fn opaque(reason: Unparsed, text: &[u8]) -> Self {
        let statement = Statement { shape: opaque_shape(), changes: None, place: Place::At(0..text.len()) };
        Self { statements: vec![statement], unparsed: Some(reason) }
    }
}

impl Statement {
    /// Where this statement stands in `text`, which must be the text it was analysed from: from its first comment or
    /// word to its last, without the semicolon.
    pub fn range(&self, text: &[u8]) -> Range<usize> {
        match &self.place {
            Place::At(range) => range.start.min(text.len())..range.end.min(text.len()),
            Place::Trimmed => split::trimmed(text),
        }
    }
}

/// Parses and classifies a text. Never fails: what cannot be parsed is one statement of unknown effects. Costs some 10 µs
/// for a small statement, 20 ms for 100 KiB; call it on a thread with [`STACK_BYTES`] of stack.
pub fn analyze(text: &[u8], settings: Settings) -> Analysis {
    let parsed = readable(text, settings).and_then(parse);
    match parsed {
        Ok(statements) => Analysis { statements, unparsed: None },
        Err(reason) => Analysis::opaque(reason, text),
    }
}

/// The text as PostgreSQL's parser would read it in this session.
fn readable(text: &[u8], settings: Settings) -> Result<&str, Unparsed> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Unparsed::TooLong(text.len()));
    }
    // Small ones cannot cost as much, and should not pay for the question.
    let cost = if is_large(text) { parse_bytes(text) } else { 0 };
    if cost > PARSE_BYTES_MAX {
        return Err(Unparsed::TooCostly(cost));
    }
    if !settings.utf8 && !text.is_ascii() {
        return Err(Unparsed::Encoding);
    }
    if !settings.standard_conforming_strings && memchr::memchr(b'\\', text).is_some() {
        return Err(Unparsed::Backslash);
    }
    if memchr::memchr(0, text).is_some() {
        return Err(Unparsed::Nul);
    }
    if text.len() > OPERATOR_RUN_MAX && has_long_run(text) {
        return Err(Unparsed::OperatorRun);
    }
    str::from_utf8(text).map_err(|_| Unparsed::Encoding)
}

fn has_long_run(text: &[u8]) -> bool {
    let is_sign = |byte: &&u8| b"~!@#^&|`?+-*/%<>=".contains(byte);
    // A run that is too long reaches over one of the places that stand as far apart: the others need no look.
    (OPERATOR_RUN_MAX..text.len()).step_by(OPERATOR_RUN_MAX + 1).any(|at| {
        let Some((before, after)) = text.split_at_checked(at) else { return false };
        let run = after.iter().take_while(is_sign).count();
        run > 0 && run + before.iter().rev().take_while(is_sign).count() > OPERATOR_RUN_MAX
    })
}

/// A statement parsed, still with its tree.
pub(crate) struct Parsed {
    pub(crate) range: Range<usize>,
    /// `None`: the text was not parsed.
    pub(crate) tree: Option<pg_query::protobuf::node::Node>,
    /// Why it was not.
    unparsed: Option<Unparsed>,
}

impl Parsed {
    /// What it does, with facts; and what it leaves behind.
    pub(crate) fn resolve(&self, catalog: &Catalog, state: &SessionState) -> (Shape, Sequel) {
        let (shape, sequel, ..) = self.resolve_ways(catalog, state);
        (shape, sequel)
    }

    /// As [`Parsed::resolve`]; and whether literals, and whether names of prepared statements or cursors, decided.
    pub(crate) fn resolve_ways(
        &self,
        catalog: &Catalog,
        state: &SessionState,
    ) -> (Shape, Sequel, bool, bool) {
        let Some(tree) = &self.tree else {
            let mut shape = Shape::clone(&opaque_shape());
            let facts = self.unparsed.as_ref().map_or_else(|| opaque_facts(UNPARSED), Unparsed::facts);
            shape.facts = Some(Arc::new(facts));
            return (shape, Sequel::Uncertain, true, false);
        };
        let mut shape = shape_of(tree.to_ref());
        let resolved = resolve(tree, catalog, state);
        shape.effects = resolved.facts.effects;
        // The text's own proof stands, unless what stands behind its names says otherwise.
        let read = Effects::only(Effect::Read);
        shape.plain_read &= resolved.facts.opaque.is_none() && shape.effects.union(read) == read;
        shape.facts = Some(Arc::new(resolved.facts));
        (shape, resolved.sequel, resolved.literal, resolved.by_name)
    }
}

/// The statements of a text, with their trees. One that cannot be parsed is one statement without a tree.
pub(crate) fn parse_statements(text: &[u8], settings: Settings) -> Vec<Parsed> {
    // The parser reads backslashes as the session does; so they are no reason to give up here.
    let strings = settings.standard_conforming_strings;
    let readable = readable(text, Settings { standard_conforming_strings: true, ..settings });
    let options = if strings {
        pg_query::ParserOptions::DEFAULT
    } else {
        pg_query::ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS
    };
    let parsed = readable.and_then(|text| {
        let parsed = pg_query::parse(text, options.bits()).map_err(|e| syntax(&e, text))?;
        few_enough(&parsed).map(|()| parsed)
    });
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(why) => return vec![Parsed { range: 0..text.len(), tree: None, unparsed: Some(why) }],
    };
    let mut from = 0;
    let mut out = Vec::with_capacity(parsed.protobuf.stmts.len());
    for raw in parsed.protobuf.stmts {
        let range = split::statement(text, from, raw.stmt_location, raw.stmt_len);
        from = range.end;
        out.push(Parsed { range, tree: raw.stmt.and_then(|stmt| stmt.node), unparsed: None });
    }
    out
}

/// A text that was not parsed.
fn opaque_shape() -> Arc<Shape> {
    Arc::new(Shape {
        tag: String::new(),
        effects: Effects::only(Effect::Unknown),
        tables: Vec::new(),
        plain_read: false,
        coverage: vec![UNPARSED.to_owned()],
        facts: None,
    })
}

fn parse(text: &str) -> Result<Vec<Statement>, Unparsed> {
    let parsed = pg_query::parse(text, 0).map_err(|error| syntax(&error, text))?;
    few_enough(&parsed)?;
    let mut statements = Vec::with_capacity(parsed.protobuf.stmts.len());
    let mut from = 0;
    for raw in &parsed.protobuf.stmts {
        let place = split::statement(text.as_bytes(), from, raw.stmt_location, raw.stmt_len);
        from = place.end;
        let node = raw.stmt.as_ref().and_then(|stmt| stmt.node.as_ref());
        let shape = node.map(|node| shape_of(node.to_ref()));
        let shape =
            shape.ok_or_else(|| Unparsed::Syntax("the parser gave a statement without a tree".to_owned()))?;
        // Among others its own part of the text is looked at; the only one takes the comments around it along.
        let part = text.get(place.clone()).unwrap_or_default();
        let several = parsed.protobuf.stmts.len() > 1;
        let changes = node.filter(|_| several).and_then(|node| changes_of(node.to_ref(), part)).map(Arc::new);
        statements.push(Statement { shape: Arc::new(shape), changes, place: Place::At(place) });
    }
    if let ([only], [raw]) = (statements.as_mut_slice(), parsed.protobuf.stmts.as_slice()) {
        let node = raw.stmt.as_ref().and_then(|stmt| stmt.node.as_ref());
        only.changes = node.and_then(|node| changes_of(node.to_ref(), text)).map(Arc::new);
    }
    Ok(statements)
}

fn few_enough(parsed: &pg_query::ParseResult) -> Result<(), Unparsed> {
    let count = parsed.protobuf.stmts.len();
    if count > STATEMENTS_MAX { Err(Unparsed::TooMany(count)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_signs_that_is_too_long_is_found_wherever_it_stands() {
        for before in (0..2 * OPERATOR_RUN_MAX).step_by(7).chain([OPERATOR_RUN_MAX, OPERATOR_RUN_MAX + 1]) {
            for (run, long) in [(OPERATOR_RUN_MAX, false), (OPERATOR_RUN_MAX + 1, true), (2000, true)] {
                for after in [0, 1, OPERATOR_RUN_MAX, 3000] {
                    let mut text = vec![b' '; before];
                    text.extend(b"*/".iter().cycle().take(run));
                    text.extend(vec![b'a'; after]);
                    assert_eq!(has_long_run(&text), long, "{run} after {before}, before {after}");
                }
            }
        }
        assert!(!has_long_run(&b"+ ".repeat(4000)));
    }
}
