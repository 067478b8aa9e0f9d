//! The file as it was read: finds lines and columns, collects every problem, and what each key came to.

use std::cell::RefCell;
use std::ops::Range;

/// One problem, at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column in characters, from 1.
    pub(crate) column: usize,
    /// The key, such as `target.address`; empty when it is none.
    pub(crate) key: String,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do.
    pub(crate) hint: String,
}

/// What a key came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The line it stands in; `None`: a default.
    pub(crate) line: Option<usize>,
    /// The key, such as `target.orders.address`.
    pub(crate) key: String,
    /// What it came to, readable. Never a secret.
    pub(crate) value: String,
    /// Why it is this, where that hangs on something else in the file.
    pub(crate) why: Option<&'static str>,
}

/// Something that works, and should not be left so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// The line, if it is about one.
    pub(crate) line: Option<usize>,
    /// What.
    pub(crate) what: String,
}

/// The file's text and what was found in it.
pub(crate) struct Source<'a> {
    /// The text.
    pub(crate) text: &'a str,
    pub(crate) problems: RefCell<Vec<Problem>>,
    pub(crate) resolved: RefCell<Vec<Resolved>>,
    pub(crate) warnings: RefCell<Vec<Warning>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            problems: RefCell::default(),
            resolved: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Line and column of a byte offset, both from 1.
    pub(crate) fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(start..).map_or(0, |s| s.chars().count()) + 1;
        (line, column)
    }

    pub(crate) fn problem(
        &self,
        at: &Range<usize>,
        key: &str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let (line, column) = self.place(at.start);
        let problem = Problem { line, column, key: key.to_owned(), what: what.into(), hint: hint.into() };
        self.problems.borrow_mut().push(problem);
    }

    pub(crate) fn warn(&self, at: Option<&Range<usize>>, what: impl Into<String>) {
        let line = at.map(|at| self.place(at.start).0);
        self.warnings.borrow_mut().push(Warning { line, what: what.into() });
    }

    pub(crate) fn resolved(
        &self,
        at: Option<&Range<usize>>,
        key: String,
        value: String,
        why: Option<&'static str>,
    ) {
        let line = at.map(|at| self.place(at.start).0);
        self.resolved.borrow_mut().push(Resolved { line, key, value, why });
    }
}
