//! How much: what is counted of a command, and how much of it is allowed over a statement, a session and a day.

use std::sync::Arc;

/// How much is allowed, and which limit says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Most {
    /// So much, and no more.
    pub most: u64,
    /// The limit's name.
    pub limit: Arc<str>,
    /// The operator's sentence for who passes it; may be empty.
    pub because: Arc<str>,
}

impl Most {
    /// What is told of it: the operator's sentence, if there is one, and then what to do.
    #[must_use]
    pub fn with_because(&self, advice: &str) -> String {
        match self.because.trim_end_matches('.') {
            "" => advice.to_owned(),
            because => format!("{because}. {advice}"),
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Rows delivered.
    Rows,
    /// Bytes of rows delivered.
    Bytes,
    /// Labelled cells delivered.
    Cells,
    /// Rows affected.
    Affected,
}

impl Amount {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rows, Self::Bytes, Self::Cells, Self::Affected];

    /// The word in rules.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Bytes => "bytes",
            Self::Cells => "cells",
            Self::Affected => "affected",
        }
    }
}

/// Something for each of what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Each<T> {
    /// Of rows delivered.
    pub rows: T,
    /// Of bytes of rows delivered.
    pub bytes: T,
    /// Of labelled cells delivered.
    pub cells: T,
    /// Of rows affected.
    pub affected: T,
}

/// How much there was.
pub type Amounts = Each<u64>;

/// How much is allowed.
pub type Sums = Each<Option<Most>>;

impl<T> Each<T> {
    /// The one of that.
    pub const fn of(&self, amount: Amount) -> &T {
        match amount {
            Amount::Rows => &self.rows,
            Amount::Bytes => &self.bytes,
            Amount::Cells => &self.cells,
            Amount::Affected => &self.affected,
        }
    }

    /// The one of that, to change.
    pub const fn of_mut(&mut self, amount: Amount) -> &mut T {
        match amount {
            Amount::Rows => &mut self.rows,
            Amount::Bytes => &mut self.bytes,
            Amount::Cells => &mut self.cells,
            Amount::Affected => &mut self.affected,
        }
    }
}

impl Sums {
    /// Whether something is limited.
    pub fn any(&self) -> bool {
        Amount::ALL.into_iter().any(|amount| self.of(amount).is_some())
    }

    /// Whether something that is delivered is limited.
    pub fn any_delivered(&self) -> bool {
        self.rows.is_some() || self.bytes.is_some() || self.cells.is_some()
    }
}

/// How many cells of a row have a label.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Labelled {
    /// Of every row those of these columns, in their order.
    Columns(Arc<[bool]>),
    /// Which cannot be told, while labelled columns are read: all of them.
    All,
    /// None, and nobody has to know.
    #[default]
    Uncounted,
}

impl Labelled {
    /// Whether the cells of this column are counted whatever is found in them.
    pub fn has(&self, column: usize) -> bool {
        match self {
            Self::Columns(columns) => columns.get(column).copied().unwrap_or(false),
            Self::All => true,
            Self::Uncounted => false,
        }
    }
}

/// The limits that hold for a command.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Limits {
    /// Of the command alone (rows affected: of its transaction).
    pub statement: Sums,
    /// Of all commands of its session.
    pub session: Sums,
    /// Of all commands of its identity on one day (UTC).
    pub day: Sums,
    /// Microseconds that the command may take.
    pub time_us: Option<Most>,
    /// Commands of its identity in a second.
    pub commands_per_second: Option<Most>,
    /// Sessions of its identity at a time: looked at when one begins.
    pub sessions: Option<Most>,
    /// Which of its cells count as labelled, where a limit counts them.
    pub labelled: Labelled,
}

impl Limits {
    /// Whether anything is limited.
    pub fn any(&self) -> bool {
        let others = [&self.time_us, &self.commands_per_second, &self.sessions];
        self.counts() || others.into_iter().any(Option::is_some)
    }

    /// Whether something has to be counted.
    pub fn counts(&self) -> bool {
        self.statement.any() || self.session.any() || self.day.any()
    }

    /// Whether something has to be counted while it is delivered.
    pub fn counts_delivered(&self) -> bool {
        self.statement.any_delivered() || self.session.any_delivered() || self.day.any_delivered()
    }

    /// Whether labelled cells have to be counted.
    pub const fn counts_cells(&self) -> bool {
        self.statement.cells.is_some() || self.session.cells.is_some() || self.day.cells.is_some()
    }
}
