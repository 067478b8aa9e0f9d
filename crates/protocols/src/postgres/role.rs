//! The role in force at the target, as far as statements that ended well tell; and what else a statement changes for
//! the reading of later ones.

use firsthand_model::command::{Effect, Shape};

/// Coverage fact: the role in force cannot be told any more.
pub(super) const ROLE_UNKNOWN: &str = "role-unknown";

/// What a statement does to the session when it ends well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that matters here.
    None,
    /// Opens a transaction block.
    Begin,
    /// Ends the transaction block, and opens the next when chained.
    End {
        /// COMMIT rather than ROLLBACK.
        commit: bool,
        /// `AND CHAIN`.
        chain: bool,
    },
    /// `ROLLBACK TO SAVEPOINT`: some settings go back, which ones is not followed.
    RollbackTo,
    /// `SET ROLE`.
    Role {
        /// The role.
        to: To,
        /// Until the end of the transaction only.
        local: bool,
    },
    /// `SET SESSION AUTHORIZATION`: a name, or back to who logged in.
    Authorization {
        /// The role.
        to: Option<String>,
        /// Until the end of the transaction only.
        local: bool,
    },
    /// `DISCARD ALL`: as the session began, committed at once.
    Discarded,
    /// It may have changed the role in a way that the text does not tell.
    Unclear,
}

impl Change {
    /// Whether the role behind it may be another one.
    pub(super) const fn moves_role(&self) -> bool {
        matches!(
            self,
            Self::RollbackTo
                | Self::Role { .. }
                | Self::Authorization { .. }
                | Self::Discarded
                | Self::Unclear
        )
    }
}

/// What `SET ROLE` or `RESET ROLE` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// This role.
    Name(String),
    /// None: the session's user.
    None,
    /// What was in force when the session began.
    Initial,
}

/// What a statement may change, from its tag and its text.
pub(super) fn change_of(shape: &Shape, text: &str) -> Change {
    if shape.plain_read {
        return Change::None;
    }
    match shape.tag.as_str() {
        "BEGIN" | "START TRANSACTION" => Change::Begin,
        "COMMIT" | "PREPARE TRANSACTION" => Change::End { commit: true, chain: chained(text) },
        "ROLLBACK" if Words::new(text).any(|w| w.is("to")) => Change::RollbackTo,
        "ROLLBACK" => Change::End { commit: false, chain: chained(text) },
        "SET" | "RESET" => setting(text),
        "DISCARD ALL" => Change::Discarded,
        "" | "DO" | "CALL" if names_role(text) => Change::Unclear,
        _ if shape.effects.has(Effect::Unknown)
            && contains(text, b's', &["set_config"])
            && names_role(text) =>
        {
            Change::Unclear
        }
        _ => Change::None,
    }
}

/// Transaction control runs no code of anybody's.
fn is_transaction_control(shape: &Shape) -> bool {
    matches!(shape.tag.as_str(), "BEGIN" | "START TRANSACTION" | "SAVEPOINT" | "RELEASE")
}

/// Whether it can change how texts are read (`standard_conforming_strings`, `client_encoding`). Everything that can run
/// a function can, by way of a view, a trigger or `UPDATE pg_settings`; so what is pipelined behind it is read with care.
pub(super) fn unsettles(shape: &Shape) -> bool {
    !is_transaction_control(shape)
}

/// Whether it gives the names of statements another meaning behind the protocol's back, as far as its text tells. A function
/// can do so unseen: see `may_rename_unseen`.
pub(super) fn renames_statements(shape: &Shape) -> bool {
    shape.tag == "PREPARE" || renames_any(shape)
}

/// The same of portals.
pub(super) fn renames_portals(shape: &Shape) -> bool {
    shape.tag == "DECLARE CURSOR" || renames_any(shape)
}

fn renames_any(shape: &Shape) -> bool {
    match shape.tag.as_str() {
        "DO" | "CALL" | "EXECUTE" => true,
        "" => !shape.plain_read,
        _ => false,
    }
}

/// Whether it can run a function, which can redefine a prepared statement unseen. A named statement that was prepared
/// before it is no longer taken for a read, whatever its text: its intent is durable before it goes (invariant 1).
///
/// A plain read of a view can, too; only definitions tell that, where they are known.
pub(super) fn may_rename_unseen(shape: &Shape) -> bool {
    let own = |name: &String| !name.starts_with("pg_catalog.");
    let runs_code = || {
        let facts = shape.facts.as_ref();
        facts.is_some_and(|facts| facts.opaque.is_some() || facts.functions.iter().any(own))
    };
    !is_transaction_control(shape)
        && !matches!(shape.tag.as_str(), "COMMIT" | "ROLLBACK")
        && (!shape.plain_read || runs_code())
}

fn chained(text: &str) -> bool {
    let mut no = false;
    for word in Words::new(text) {
        if word.is("chain") {
            return !no;
        }
        no = word.is("no");
    }
    false
}

/// `SET [SESSION|LOCAL] ROLE x`, `SET … SESSION AUTHORIZATION x`, `SET role = x`, `RESET role`. What is spelt in a way that
/// is not read here is unclear.
fn setting(text: &str) -> Change {
    let mut words = Words::new(text).peekable();
    let Some(verb) = words.next() else { return Change::None };
    if verb.is("reset") {
        return match words.next() {
            Some(w) if w.odd => Change::Unclear,
            Some(w) if w.names("role") => Change::Role { to: To::Initial, local: false },
            Some(w) if w.names("session_authorization") || w.is("session") => {
                Change::Authorization { to: None, local: false }
            }
            _ => Change::None,
        };
    }
    let mut word = words.next();
    let local = word.as_ref().is_some_and(|w| w.is("local"));
    if local
        || (word.as_ref().is_some_and(|w| w.is("session"))
            && !words.peek().is_some_and(|w| w.is("authorization")))
    {
        word = words.next();
    }
    let Some(word) = word else { return Change::None };
    let authorization = if word.odd {
        return Change::Unclear;
    } else if word.names("role") {
        false
    } else if word.is("session") || word.names("session_authorization") {
        words.next_if(|w| w.is("authorization"));
        true
    } else {
        return Change::None;
    };
    words.next_if(|w| w.is("to") || w.text == "=");
    let to = match (words.next(), words.next()) {
        // `FROM CURRENT` sets what is set already.
        (Some(w), Some(_)) if w.is("from") => return Change::None,
        (Some(w), None) if !w.odd => match () {
            () if w.is("default") => To::Initial,
            // A quoted 'none' means the same to SET ROLE.
            () if !authorization && w.value() == "none" => To::None,
            () => To::Name(w.value()),
        },
        _ => return Change::Unclear,
    };
    match (authorization, to) {
        (false, to) => Change::Role { to, local },
        (true, To::Name(user)) => Change::Authorization { to: Some(user), local },
        (true, To::None | To::Initial) => Change::Authorization { to: None, local },
    }
}

/// Whether one of these words, in small letters and all with this first letter, stands in the text, in any case.
pub(super) fn contains(text: &str, first: u8, words: &[&str]) -> bool {
    let bytes = text.as_bytes();
    let is = |at: usize, word: &&str| {
        bytes.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
    };
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), bytes).any(|at| words.iter().any(|w| is(at, w)))
}

fn names_role(text: &str) -> bool {
    contains(text, b'r', &["role"])
        || contains(text, b's', &["session_authorization", "session authorization"])
}

/// A word, quoted name, quoted string or `=` of a text; comments, space and other signs are passed over.
#[derive(Clone, Debug)]
struct Word<'t> {
    text: &'t str,
    quoted: bool,
    /// It is not read here: quoted with dollars, with escapes in it, or with a letter in front of the quote.
    odd: bool,
}

impl Word<'_> {
    fn is(&self, word: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is the name of this setting.
    fn names(&self, setting: &str) -> bool {
        !self.text.starts_with('\'') && self.value().eq_ignore_ascii_case(setting)
    }

    /// The name it stands for.
    fn value(&self) -> String {
        if !self.quoted {
            return self.text.to_ascii_lowercase();
        }
        let quote = self.text.get(..1).unwrap_or_default();
        let inner = self.text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)).unwrap_or(self.text);
        inner.replace(&quote.repeat(2), quote)
    }
}

struct Words<'t>(&'t str);

impl<'t> Words<'t> {
    fn new(text: &'t str) -> Self {
        Self(text)
    }

    fn split(&mut self, at: usize) -> &'t str {
        let (head, tail) = self.0.split_at_checked(at).unwrap_or((self.0, ""));
        self.0 = tail;
        head
    }
}

impl<'t> Iterator for Words<'t> {
    type Item = Word<'t>;

    fn next(&mut self) -> Option<Word<'t>> {
        loop {
            let first = self.0.chars().next()?;
            let bytes = self.0.as_bytes();
            match first {
                '-' if bytes.starts_with(b"--") => {
                    self.split(self.0.find(['\n', '\r']).unwrap_or(self.0.len()));
                }
                '/' if bytes.starts_with(b"/*") => {
                    self.split(comment_len(bytes));
                }
                '\'' | '"' => {
                    let text = self.split(quoted_len(bytes));
                    return Some(Word { text, quoted: true, odd: text.contains('\\') });
                }
                '=' => return Some(Word { text: self.split(1), quoted: false, odd: false }),
                '$' => return Some(Word { text: self.split(1), quoted: false, odd: true }),
                c if c == '_' || c.is_alphanumeric() => {
                    let end = self.0.find(|c: char| c != '_' && c != '$' && !c.is_alphanumeric());
                    let text = self.split(end.unwrap_or(self.0.len()));
                    let odd = self.0.starts_with(['\'', '"', '&']);
                    return Some(Word { text, quoted: false, odd });
                }
                c => {
                    self.split(c.len_utf8());
                }
            }
        }
    }
}

/// Bytes of a quoted part, both quotes included; doubled quotes inside belong to it.
fn quoted_len(bytes: &[u8]) -> usize {
    let quote = bytes.first().copied().unwrap_or_default();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if *byte == quote {
            if bytes.get(at) != Some(&quote) {
                return at;
            }
            at += 1;
        }
    }
    bytes.len()
}

/// Bytes of a block comment; they nest.
fn comment_len(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth.saturating_sub(1), at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The role in force, followed through transactions.
#[derive(Debug)]
pub(super) struct Role {
    /// As the session began.
    initial: Setting,
    /// `session_user`, and SET ROLE's value if one is in force.
    now: Setting,
    /// What a rollback goes back to: as it was when the transaction began.
    before: Option<Setting>,
    /// What a commit goes back to: as it is but for `SET LOCAL`.
    lasting: Option<Setting>,
    /// DISCARD ALL was committed at once, or, by an older target, is to be with the rest of its pipeline.
    discarded: bool,
    /// It cannot be told any more.
    unknown: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    user: String,
    role: Option<String>,
}

impl Role {
    /// `session_user` and `current_user` as the session begins.
    pub(super) fn new(user: &str, role: &str) -> Self {
        let initial =
            Setting { user: user.to_owned(), role: Some(role).filter(|r| *r != user).map(str::to_owned) };
        Self { now: initial.clone(), initial, before: None, lasting: None, discarded: false, unknown: false }
    }

    /// The role's name.
    pub(super) fn name(&self) -> &str {
        self.now.role.as_deref().unwrap_or(&self.now.user)
    }

    /// Whether it may be another by now.
    pub(super) fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// It has changed in a way that was not seen.
    pub(super) fn lose(&mut self) {
        self.unknown = true;
    }

    /// A statement ended well. True when the role's name may have changed. What it sets counts until the transaction
    /// ends, which may be an implicit one.
    pub(super) fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::None | Change::Begin => return false,
            Change::End { commit: true, .. } => self.ended(true),
            Change::End { commit: false, .. } => self.ended(false),
            Change::RollbackTo => self.unknown |= self.before.is_some(),
            Change::Unclear => self.unknown = true,
            Change::Role { to, local } => {
                let role = match to {
                    To::Name(role) => Some(role.clone()),
                    To::None => None,
                    To::Initial => self.initial.role.clone(),
                };
                self.set(Setting { user: self.now.user.clone(), role }, *local);
            }
            Change::Discarded => {
                self.set(Setting { user: self.initial.user.clone(), role: None }, false);
                (self.before, self.discarded) = (None, true);
            }
            Change::Authorization { to, local } => {
                let user = to.clone().unwrap_or_else(|| self.initial.user.clone());
                self.set(Setting { user, role: None }, *local);
            }
        }
        true
    }

    fn set(&mut self, now: Setting, local: bool) {
        self.before.get_or_insert_with(|| self.now.clone());
        if local {
            self.lasting.get_or_insert_with(|| self.now.clone());
        } else {
            self.lasting = None;
        }
        (self.now, self.unknown) = (now, false);
    }

    /// The transaction has ended. True when the role's name may have changed.
    pub(super) fn transaction_ended(&mut self, committed: bool) -> bool {
        let changed = self.before.is_some() || self.lasting.is_some() || self.discarded;
        self.ended(committed);
        changed
    }

    fn ended(&mut self, committed: bool) {
        self.unknown |= std::mem::take(&mut self.discarded) && !committed;
        let (before, lasting) = (self.before.take(), self.lasting.take());
        if let Some(setting) = if committed { lasting } else { before } {
            self.now = setting;
        }
    }

    /// The target reports another session user. True when it is news.
    pub(super) fn reported(&mut self, user: &[u8]) -> bool {
        let user = String::from_utf8_lossy(user);
        if self.now.user == user {
            return false;
        }
        self.now = Setting { user: user.into_owned(), role: None };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(to: Option<&str>, local: bool) -> Change {
        Change::Role { to: to.map_or(To::None, |to| To::Name(to.to_owned())), local }
    }

    #[test]
    fn every_spelling_of_set_role_is_read() {
        for (text, want) in [
            ("SET ROLE app", role(Some("app"), false)),
            ("set session role \"App\"\"x\"", role(Some("App\"x"), false)),
            ("SET LOCAL ROLE 'app'", role(Some("app"), true)),
            ("/* SET ROLE x */ SET -- y\n role TO App", role(Some("app"), false)),
            ("SET role = none", role(None, false)),
            ("RESET ROLE", Change::Role { to: To::Initial, local: false }),
            ("SET role TO DEFAULT", Change::Role { to: To::Initial, local: false }),
            ("SET ROLE 'none'", role(None, false)),
            ("SET search_path = role", Change::None),
            ("SET SESSION AUTHORIZATION bob", Change::Authorization { to: Some("bob".into()), local: false }),
            ("SET LOCAL SESSION AUTHORIZATION DEFAULT", Change::Authorization { to: None, local: true }),
            ("RESET SESSION AUTHORIZATION", Change::Authorization { to: None, local: false }),
            ("SET SESSION search_path TO x", Change::None),
            ("SET \"role\" TO app", role(Some("app"), false)),
            (
                "SET \"Session_Authorization\" = app",
                Change::Authorization { to: Some("app".into()), local: false },
            ),
            ("RESET \"role\"", Change::Role { to: To::Initial, local: false }),
            ("SET -- x\rROLE app", role(Some("app"), false)),
            ("SET ROLE app; -- as asked", role(Some("app"), false)),
            ("SET role FROM CURRENT", Change::None),
            ("SET ROLE E'\\x61pp'", Change::Unclear),
            ("SET ROLE U&\"\\0061pp\"", Change::Unclear),
            ("SET ROLE $$app$$", Change::Unclear),
            ("SET ROLE $x$app$x$", Change::Unclear),
            ("SET ROLE 'a\\'b'", Change::Unclear),
            ("SET ROLE 'ap'\n'p'", Change::Unclear),
            ("SET U&\"\\0072ole\" TO app", Change::Unclear),
        ] {
            assert_eq!(setting(text), want, "{text}");
        }
    }

    #[test]
    fn a_text_names_a_role_in_any_case_and_place() {
        for text in ["role", "x SET ROLE y", "rrole", "ses Session_Authorization", "sSESSION AUTHORIZATION"] {
            assert!(names_role(text), "{text}");
        }
        for text in ["", "r", "rol", "session", "session_authorizatio", "ro le"] {
            assert!(!names_role(text), "{text}");
        }
    }

    #[test]
    fn rollback_takes_back_what_the_transaction_set() {
        let mut r = Role::new("login", "login");
        r.apply(&role(Some("a"), false));
        assert!(r.transaction_ended(true));
        assert_eq!(r.name(), "a");
        r.apply(&role(Some("b"), false));
        r.apply(&role(Some("c"), true));
        assert_eq!(r.name(), "c");
        r.apply(&Change::End { commit: true, chain: false });
        assert_eq!(r.name(), "b");
        r.apply(&role(None, false));
        assert_eq!(r.name(), "login");
        r.apply(&Change::End { commit: false, chain: false });
        assert_eq!(r.name(), "b");
        // Outside a transaction block SET LOCAL ends with its own statement.
        r.apply(&role(Some("d"), true));
        r.transaction_ended(true);
        assert_eq!(r.name(), "b");
    }

    #[test]
    fn reset_goes_back_to_what_the_session_began_with() {
        let mut r = Role::new("login", "app");
        assert_eq!(r.name(), "app");
        r.apply(&role(None, false));
        assert_eq!(r.name(), "login");
        r.apply(&Change::Role { to: To::Initial, local: false });
        assert_eq!(r.name(), "app");
    }

    #[test]
    fn chains_and_savepoints_are_told_apart() {
        assert!(chained("COMMIT AND CHAIN"));
        assert!(!chained("COMMIT AND NO CHAIN"));
        assert!(!chained("COMMIT -- and chain"));
    }
}
