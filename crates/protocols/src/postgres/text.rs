//! A statement's text: what it does, and how it stands in the record.

use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use firsthand_model::command::{Effect, Effects, Shape};
use firsthand_model::json::{Json, Object};
use firsthand_model::limits::TEXT_BYTES_KEPT;

use firsthand_model::statement::Facts;
use firsthand_sql::judge::{After, Judged};
use firsthand_sql::{
    Analyzer, Changes, Claims, CopyOptions, Masked, SecretParameters, Settings, Unparsed, claims,
    copy_options, mask_all, may_hold_secret,
};

use super::knowing::View;

use super::access::Asked;
use super::role::{self, Change};

/// Coverage fact: the text was longer than the record keeps.
pub(super) const TEXT_CUT: &str = "text-cut";
/// Coverage fact: the text (or a name in it) is not UTF-8; what could not be read stands as U+FFFD.
pub(super) const ENCODING: &str = "encoding";

/// Coverage fact: comments claim more than the record keeps.
pub(super) const CLAIMS_CUT: &str = "claims-cut";

/// Coverage fact: a prepared statement of several statements, which the target refuses.
const SEVERAL: &str = "several";

/// Coverage fact: the text may hold a secret in a place that cannot be told, so none of it is kept.
pub(super) const TEXT_WITHHELD: &str = "text-withheld";

/// What stands in the record for a withheld text.
const WITHHELD: &str = "(withheld: it may hold a secret, and how its strings are to be read is not certain)";

/// A text as the record keeps it.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    /// Secrets replaced, cut to `limits::TEXT_BYTES_KEPT`.
    pub(super) text: String,
    /// SHA-256 of the original, where `text` differs from it.
    pub(super) original_digest: Option<[u8; 32]>,
    /// Bytes of the original.
    pub(super) original_bytes: u64,
    /// What could not be shown.
    pub(super) coverage: Option<&'static str>,
    /// What its comments claim: JSON array, or absent.
    pub(super) claims: Json,
    /// Not all of it.
    pub(super) claims_cut: bool,
    /// The secrets that were in it, for what the target says of it.
    pub(super) secrets: Option<Arc<Masked>>,
    /// Which of its parameters are secrets.
    pub(super) secret_parameters: SecretParameters,
    /// How its COPY data is written, if it is a COPY toward the client.
    pub(super) copy: Option<Arc<CopyOptions>>,
}

impl Recorded {
    /// The text of one statement. Where the client does not speak UTF-8, what looks like it may not be it. Where backslashes
    /// may escape quotes (`standard_conforming_strings` off, or not certain), strings end elsewhere than the masking
    /// assumes: then a text that may hold a secret is withheld as a whole.
    pub(super) fn of(original: &[u8], settings: Settings) -> Self {
        let Settings { utf8, standard_conforming_strings } = settings;
        if !standard_conforming_strings && original.contains(&b'\\') && may_hold_secret(original) {
            let (secrets, secret_parameters) = mask_all(&String::from_utf8_lossy(original));
            return Self {
                text: WITHHELD.to_owned(),
                original_digest: Some(sha256(original)),
                original_bytes: original.len() as u64,
                coverage: Some(TEXT_WITHHELD),
                claims: Json::default(),
                claims_cut: false,
                secrets: secrets.map(Arc::new),
                secret_parameters,
                copy: None,
            };
        }
        let (mut text, mut coverage) = match str::from_utf8(original) {
            Ok(text) => (text.to_owned(), Some(ENCODING).filter(|_| !utf8 && !text.is_ascii())),
            Err(_) => (String::from_utf8_lossy(original).into_owned(), Some(ENCODING)),
        };
        let mut differs = text.as_bytes() != original;
        let (secrets, secret_parameters) = mask_all(&text);
        let secrets = secrets.map(|mut masked| {
            text = std::mem::take(&mut masked.text);
            differs = true;
            Arc::new(masked)
        });
        // Before it is cut, and without its secrets.
        let claimed = claims(&text);
        let claims_cut = claimed.as_ref().is_some_and(|claims| claims.cut);
        let claims = claimed.map(|claims| json_of(&claims)).unwrap_or_default();
        if text.len() > TEXT_BYTES_KEPT {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_KEPT));
            (coverage, differs) = (Some(TEXT_CUT), true);
        }
        let original_digest = differs.then(|| sha256(original));
        let original_bytes = original.len() as u64;
        Self {
            text,
            original_digest,
            original_bytes,
            coverage,
            claims,
            claims_cut,
            secrets,
            secret_parameters,
            copy: None,
        }
    }

    /// The same for a statement that does this: COPY's options are read, too.
    fn with(mut self, shape: &Shape, original: &[u8]) -> Self {
        if shape.tag == "COPY" {
            self.copy = copy_options(original).map(Arc::new);
        }
        self
    }

    /// Bytes it takes.
    pub(super) fn kept_bytes(&self) -> usize {
        // Secrets are kept as written and as meant; more than the text they are not.
        let secrets = if self.secrets.is_some() { 2 * self.original_bytes as usize } else { 0 };
        self.text.len() + self.claims.as_bytes().len() + secrets
    }
}

/// What comments claim, as the record has it.
fn json_of(claims: &Claims) -> Json {
    let mut out = Vec::new();
    for (name, value) in &claims.pairs {
        out.push(if out.is_empty() { b'[' } else { b',' });
        let mut o = Object::open(&mut out);
        o.string("name", name);
        o.string("value", value);
        o.close();
    }
    if !out.is_empty() {
        out.push(b']');
    }
    Json::from_written(out)
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    out
}

/// One statement of a text.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) shape: Arc<Shape>,
    pub(super) text: Recorded,
    /// What it changes when it runs. Looked for here, because a large text is read apart from the sessions' loops.
    pub(super) change: Change,
    /// Which rows it changes.
    pub(super) changes: Option<Arc<Changes>>,
    /// What it leaves behind, where somebody asks what it means.
    pub(super) after: After,
    /// What it means depends on prepared statements or cursors.
    pub(super) by_name: bool,
    /// It is a call to the gateway itself.
    pub(super) access: Option<Arc<Asked>>,
}

impl Piece {
    pub(super) fn new(
        shape: Arc<Shape>,
        original: &[u8],
        settings: Settings,
        changes: Option<Arc<Changes>>,
    ) -> Self {
        // From the whole text: what is kept of it may end before its first word.
        let change = role::change_of(&shape, &String::from_utf8_lossy(original));
        let text = Recorded::of(original, settings).with(&shape, original);
        Self { shape, text, change, changes, after: After::default(), by_name: false, access: None }
    }
}

/// A text read: its statements, at least one.
#[derive(Debug)]
pub(super) struct Reading {
    /// The statements. An empty text counts as one that does nothing.
    pub(super) pieces: Vec<Piece>,
    /// The text could not be taken apart: it may hold more statements than the one listed.
    pub(super) opaque: bool,
    /// Why it could not.
    unparsed: Option<Unparsed>,
}

impl Reading {
    /// What its statements do.
    pub(super) fn shapes(&self) -> impl Iterator<Item = &Shape> {
        self.pieces.iter().map(|piece| &*piece.shape)
    }

    /// Reads a text, and judges what it means where a view is given. Must run on a stack of `firsthand_sql::STACK_BYTES`.
    pub(super) fn of(analyzer: &Analyzer, text: &[u8], settings: Settings, view: Option<&View>) -> Self {
        let mut reading = Self::as_written(analyzer, text, settings);
        if let [only] = reading.pieces.as_mut_slice()
            && only.shape.effects.has(Effect::Unknown)
            && let Some(asked) = Asked::of(text)
        {
            (only.shape, only.access) = (Arc::new(Asked::shape()), Some(Arc::new(asked)));
            (only.change, only.changes, reading.opaque) = (Change::None, None, false);
            return reading;
        }
        if let Some(view) = view {
            reading.take_judgement(view.judge(text));
        }
        reading
    }

    /// Adds what the statements mean. Where that cannot be told, or the two readings do not agree on how many there are,
    /// nothing is added: without facts a statement counts as able to do anything.
    fn take_judgement(&mut self, judged: Option<Vec<Judged>>) {
        let judged = judged.unwrap_or_default();
        if let [only] = self.pieces.as_mut_slice()
            && judged.is_empty()
            && only.shape.plain_read
            && only.shape.tag.is_empty()
        {
            // An empty text does nothing.
            Arc::make_mut(&mut only.shape).facts = Some(Arc::new(Facts::default()));
        } else if judged.len() == self.pieces.len() && !self.opaque {
            for (piece, judged) in self.pieces.iter_mut().zip(judged) {
                (piece.shape, piece.after, piece.by_name) = (judged.shape, judged.after, judged.by_name);
            }
        } else {
            self.pieces.iter_mut().for_each(|piece| piece.after = After::uncertain());
            // That it cannot be parsed is no matter of the definitions: another try will not help.
            if let (Some(why), [only]) = (&self.unparsed, self.pieces.as_mut_slice()) {
                Arc::make_mut(&mut only.shape).facts = Some(Arc::new(why.facts()));
            }
        }
    }

    fn as_written(analyzer: &Analyzer, text: &[u8], settings: Settings) -> Self {
        let analysis = analyzer.analyze(text, settings);
        let statements = analysis.statements();
        let opaque = analysis.unparsed().is_some();
        let pieces = match statements {
            [] => vec![Piece::new(Arc::new(nothing()), text, settings, None)],
            [one] => {
                // Comments around the only statement are part of what was sent.
                vec![Piece::new(Arc::clone(&one.shape), text, settings, one.changes.clone())]
            }
            many => many
                .iter()
                .map(|s| {
                    Piece::new(Arc::clone(&s.shape), part(text, s.range(text)), settings, s.changes.clone())
                })
                .collect(),
        };
        Self { pieces, opaque, unparsed: analysis.unparsed().cloned() }
    }

    /// The same text as one statement: that of a Parse, where the target refuses more than one.
    pub(super) fn into_one(mut self, text: &[u8], settings: Settings) -> Piece {
        if self.pieces.len() == 1
            && let Some(only) = self.pieces.pop()
        {
            return only;
        }
        let mut shape = nothing();
        for piece in self.pieces {
            shape.effects = shape.effects.union(piece.shape.effects);
            shape.plain_read &= piece.shape.plain_read;
            shape.tables.extend(piece.shape.tables.iter().cloned());
            shape.coverage.extend(piece.shape.coverage.iter().cloned());
        }
        shape.tables.truncate(firsthand_model::limits::TABLES_KEPT);
        shape.coverage.dedup();
        shape.coverage.push(SEVERAL.to_owned());
        Piece { after: After::uncertain(), ..Piece::new(Arc::new(shape), text, settings, None) }
    }
}

fn part(text: &[u8], range: Range<usize>) -> &[u8] {
    text.get(range).unwrap_or_default()
}

/// What an empty text does.
fn nothing() -> Shape {
    Shape {
        tag: String::new(),
        effects: Effects::NONE,
        tables: Vec::new(),
        plain_read: true,
        coverage: Vec::new(),
        facts: None,
    }
}

/// What is known of a statement whose text is not: nothing.
pub(super) fn unknown(coverage: &'static str) -> Arc<Shape> {
    Arc::new(Shape {
        tag: String::new(),
        effects: Effects::only(Effect::Unknown),
        tables: Vec::new(),
        plain_read: false,
        coverage: vec![coverage.to_owned()],
        facts: None,
    })
}

/// A statement that is known by its name, not by how it reads.
pub(super) fn unread(shape: &Shape, coverage: &'static str) -> Arc<Shape> {
    let mut shape = Shape { plain_read: false, ..shape.clone() };
    shape.coverage.push(coverage.to_owned());
    Arc::new(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str, settings: Settings) -> Change {
        let (text, analyzer) = (text.to_owned(), Analyzer::default());
        let read =
            move || Reading::of(&analyzer, text.as_bytes(), settings, None).pieces.pop().map(|p| p.change);
        let thread = std::thread::Builder::new().stack_size(firsthand_sql::STACK_BYTES).spawn(read);
        thread.unwrap().join().unwrap().unwrap()
    }

    /// What is kept of the text does not reach as far, or nothing of it is kept. None of these is parsed, so what the role
    /// is now cannot be told; but that it may have changed can.
    #[test]
    fn a_role_is_seen_behind_what_the_record_does_not_keep() {
        let comment = "x".repeat(TEXT_BYTES_KEPT);
        let settings = Settings::default();
        assert_eq!(change(&format!("/*{comment}*/ set role app"), settings), Change::Unclear);
        assert_eq!(change(&format!("set /*{comment}*/ role /*{comment}*/ app"), settings), Change::Unclear);
        assert_eq!(change(&format!("do $${comment} set role app$$"), settings), Change::Unclear);
        let withheld = r"/* password '\' */ set role app";
        let unsure = Settings { standard_conforming_strings: false, ..settings };
        assert_eq!(Recorded::of(withheld.as_bytes(), unsure).coverage, Some(TEXT_WITHHELD));
        assert_eq!(change(withheld, unsure), Change::Unclear);
    }
}
