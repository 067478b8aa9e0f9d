//! The nouns of a rule file: what a person writes, checked and read, before it becomes Cedar.

use std::ops::Range;

use firsthand_model::amount::Each;
use firsthand_model::command::Effect;
use firsthand_model::decision::Verdict;
use firsthand_model::identity::IdentityKind;
use firsthand_model::masking::Style;

use crate::pattern::{ColumnPattern, Pattern, RelationPattern};

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// Which statements of whom. Every condition that is given must hold; within one, any of its values.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Conditions {
    /// What acts: an agent, a person, a service.
    pub kinds: Vec<IdentityKind>,
    /// Its name or login name.
    pub identities: Vec<Pattern>,
    /// The person it acts for.
    pub on_behalf_of: Vec<Pattern>,
    /// Who answers for it.
    pub owners: Vec<Pattern>,
    /// A group it is in.
    pub groups: Vec<String>,
    /// The target's name.
    pub targets: Vec<Pattern>,
    /// A label of the target.
    pub target_labels: Vec<String>,
    /// The database.
    pub databases: Vec<Pattern>,
    /// The role in force at the target.
    pub roles: Vec<Pattern>,
    /// What it does.
    pub effects: Vec<Effect>,
    /// Relations, as resolved (for refusals also as written).
    pub tables: Vec<RelationPattern>,
    /// Columns.
    pub columns: Vec<ColumnPattern>,
    /// Labels of columns; `*`: any.
    pub labels: Vec<String>,
    /// Functions it may run.
    pub functions: Vec<RelationPattern>,
    /// Settings it changes.
    pub settings: Vec<Pattern>,
    /// It can change every row of a table.
    pub unbounded: Option<bool>,
    /// More rows are estimated than this. Without an estimate it holds where that refuses more.
    pub rows_over: Option<u64>,
    /// One of these windows is open.
    pub during: Vec<String>,
    /// None of these windows is open.
    pub outside: Vec<String>,
    /// A grant that covers it is in force, of one of these names: those of targets.
    pub grants: Vec<Pattern>,
    /// The application it claims to be (a claim: never lets anything through by itself).
    pub applications: Vec<Pattern>,
    /// Not all that it does can be told.
    pub opaque: Option<OpaqueCondition>,
}

/// A condition on what cannot be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpaqueCondition {
    /// It can, or cannot, be told.
    Is(bool),
    /// It cannot, for one of these reasons.
    Because(Vec<String>),
}

/// What must be approved, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approve {
    /// Members of this group may.
    pub group: String,
    /// So many different people.
    pub quorum: u64,
    /// Seconds until the question lapses.
    pub ttl: u64,
    /// Seconds to send the command again once it is approved.
    pub spend: u64,
    /// Seconds that the command waits for the answer; `None`: as usual for who asks.
    pub wait: Option<u64>,
    /// Whoever acts, or is acted for, may approve, too.
    pub own: bool,
    /// People of one of these groups may release it alone, with a reason; empty: nobody may.
    pub break_glass: Vec<String>,
    /// Only what is signed counts.
    pub signed: bool,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// The sentence for who is refused.
    pub because: String,
    /// What it says.
    pub verdict: Verdict,
    /// When.
    pub when: Conditions,
    /// Except when.
    pub unless: Option<Conditions>,
    /// Of a hold.
    pub approve: Option<Approve>,
    /// Where it stands.
    pub place: Place,
}

/// What happens to a statement that uses a masked column otherwise than to show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Use {
    /// It runs.
    Allow,
    /// It runs, and the record says so.
    #[default]
    Record,
    /// It is held.
    Hold,
    /// It is refused.
    Deny,
}

impl Use {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Allow, Self::Record, Self::Hold, Self::Deny];

    /// The word in rules.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Record => "record",
            Self::Hold => "hold",
            Self::Deny => "deny",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|u| u.word() == word)
    }
}

/// A mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Its name.
    pub name: String,
    /// Why, for who sees masked values.
    pub because: String,
    /// How.
    pub style: Style,
    /// For whom, and which columns.
    pub when: Conditions,
    /// Except when.
    pub unless: Option<Conditions>,
    /// Values of unlabelled columns are looked through, too.
    pub detect: bool,
    /// Comparing, sorting, grouping, joining by a masked column.
    pub in_predicate: Use,
    /// Storing a masked column's values elsewhere.
    pub copied: Use,
    /// Writing what a mask left over back into the database.
    pub written_back: Use,
    /// Where it stands.
    pub place: Place,
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name.
    pub name: String,
    /// Why.
    pub because: String,
    /// For whom and where.
    pub when: Conditions,
    /// Except when.
    pub unless: Option<Conditions>,
    /// How much.
    pub bounds: Bounds,
    /// Where it stands.
    pub place: Place,
}

/// What a limit limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Of one statement.
    pub statement: Each<Option<u64>>,
    /// Of a session.
    pub session: Each<Option<u64>>,
    /// Of an identity's day.
    pub day: Each<Option<u64>>,
    /// Milliseconds that a statement may take.
    pub time_ms: Option<u64>,
    /// Sessions of one identity at a time.
    pub sessions: Option<u64>,
    /// Commands of one identity in a second.
    pub commands_per_second: Option<u64>,
}

impl Bounds {
    /// Reads each one by the name of its annotation.
    ///
    /// # Errors
    /// The first error of `read`.
    pub fn read<E>(mut read: impl FnMut(&str) -> Result<Option<u64>, E>) -> Result<Self, E> {
        let mut bounds = Self::default();
        for (name, bound) in bounds.each_mut() {
            *bound = read(&name)?;
        }
        Ok(bounds)
    }

    /// Those that are set, by the names of their annotations, in the order of the documents.
    #[must_use]
    pub fn set(mut self) -> Vec<(String, u64)> {
        self.each_mut().into_iter().filter_map(|(name, bound)| Some((name, (*bound)?))).collect()
    }

    fn each_mut(&mut self) -> Vec<(String, &mut Option<u64>)> {
        let spans = [("", &mut self.statement), ("session_", &mut self.session), ("day_", &mut self.day)];
        let mut all = Vec::with_capacity(15);
        for (span, Each { rows, bytes, cells, affected }) in spans {
            for (word, bound) in [("rows", rows), ("bytes", bytes), ("cells", cells), ("affected", affected)]
            {
                all.push((format!("{span}{word}"), bound));
            }
        }
        all.push(("time_ms".to_owned(), &mut self.time_ms));
        all.push(("sessions".to_owned(), &mut self.sessions));
        all.push(("commands_per_second".to_owned(), &mut self.commands_per_second));
        all
    }
}

/// A label for columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// What the values are.
    pub label: String,
    /// Which columns.
    pub columns: Vec<ColumnPattern>,
    /// Which not.
    pub except: Vec<ColumnPattern>,
    /// On which targets; none: all.
    pub targets: Vec<Pattern>,
}

/// A group of identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Names of who is in it.
    pub members: Vec<Pattern>,
}

/// What is decided where no rule speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// For agents.
    pub agent: bool,
    /// For people.
    pub human: bool,
    /// For services.
    pub service: bool,
}

impl Default for Defaults {
    /// Agents need a rule; people and services may what their token's targets allow.
    fn default() -> Self {
        Self { agent: false, human: true, service: true }
    }
}

/// A case beside the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Who asks.
    pub kind: IdentityKind,
    /// Under which name.
    pub identity: String,
    /// For which person.
    pub on_behalf_of: String,
    /// Who answers for it.
    pub owner: String,
    /// The groups that an issuer says it is in.
    pub groups: Vec<String>,
    /// Where.
    pub target: String,
    /// Labels of that target.
    pub target_labels: Vec<String>,
    /// The claimed application.
    pub application: String,
    /// When, as RFC 3339; empty: any time.
    pub at: String,
    /// The statement; empty: the facts are given.
    pub sql: String,
    /// What it does.
    pub effects: Vec<Effect>,
    /// Relations it reads.
    pub reads: Vec<String>,
    /// Relations it writes.
    pub writes: Vec<String>,
    /// Columns it shows.
    pub shows: Vec<String>,
    /// Columns it compares.
    pub tests: Vec<String>,
    /// Columns it stores elsewhere.
    pub copies: Vec<String>,
    /// Functions it runs.
    pub functions: Vec<String>,
    /// Settings it changes.
    pub settings: Vec<String>,
    /// It can change every row.
    pub unbounded: bool,
    /// Why not all of it can be told.
    pub opaque: String,
    /// Rows estimated.
    pub estimated_rows: Option<u64>,
    /// What must be decided.
    pub verdict: Verdict,
    /// By which rule; empty: any.
    pub rule: String,
    /// Words that stand in the advice; empty: any.
    pub advice: String,
    /// Which masks: `column=style`, in the order of `shows`; `None`: not looked at.
    pub masks: Option<Vec<String>>,
    /// Which limits hold, and which counts: `day.rows=1000 its-name`, in the order of the documents; `None`: not looked at.
    pub limits: Option<Vec<String>>,
    /// Where it stands.
    pub place: Place,
}

/// All that was read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Document {
    /// Rules.
    pub rules: Vec<Rule>,
    /// Masks.
    pub masks: Vec<Mask>,
    /// Limits.
    pub limits: Vec<Limit>,
    /// Labels.
    pub labels: Vec<Label>,
    /// Groups.
    pub groups: Vec<Group>,
    /// Windows of time.
    pub windows: Vec<crate::window::Window>,
    /// Cases.
    pub cases: Vec<Case>,
    /// Where no rule speaks.
    pub defaults: Option<(Defaults, Place)>,
}

/// A problem of a rule file, at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key, such as `rule.effects`; may be empty.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, line, column, key, what, .. } = self;
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        write!(f, "{file}:{line}:{column}: {key}{what}")
    }
}

/// Line and column of a byte offset, both from 1.
pub(crate) fn line_and_column(text: &str, at: &Range<usize>) -> (usize, usize) {
    let before = text.get(..at.start).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(start..).map_or(0, |s| s.chars().count()) + 1;
    (before.matches('\n').count() + 1, column)
}
