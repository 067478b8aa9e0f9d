//! What a running command is counted for, where something is limited, and what its client reads when it passes a limit.

use std::sync::Arc;

use firsthand_model::amount::{Amount, Amounts, Labelled, Limits, Most};
use firsthand_model::id::CommandNumber;
use firsthand_model::json::{Json, Object};
use firsthand_model::outcome::Outcome;

use crate::refusal::{Refusal, RefusalKind};
use crate::usage::{Purse, Span, what};

/// Counts one command.
#[derive(Debug)]
pub(crate) struct Meter {
    purse: Arc<Purse>,
    limits: Arc<Limits>,
    counted: Amounts,
    /// Passing a limit refuses; otherwise the first passing is remembered.
    enforces: bool,
    /// Passing is in the record already.
    told: bool,
    passed: Option<(Most, &'static str)>,
}

impl Meter {
    /// `None`: nothing of it is counted or timed. `told`: its decision has said already that a limit is used up.
    pub(crate) fn of(
        limits: Option<&Arc<Limits>>,
        purse: &Arc<Purse>,
        enforces: bool,
        told: bool,
    ) -> Option<Box<Self>> {
        let limits = limits.filter(|limits| limits.counts() || limits.time_us.is_some())?;
        let (purse, limits) = (Arc::clone(purse), Arc::clone(limits));
        Some(Box::new(Self { purse, limits, counted: Amounts::default(), enforces, told, passed: None }))
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The limits, where passing one refuses.
    pub(crate) fn enforced(&self) -> Option<&Limits> {
        self.enforces.then_some(&*self.limits)
    }

    /// How many cells of each row have a label.
    pub(crate) fn labelled(&self) -> Labelled {
        if self.limits.counts_cells() { self.limits.labelled.clone() } else { Labelled::Uncounted }
    }

    /// Something more is about to be delivered.
    pub(crate) fn deliver(&mut self, more: [(Amount, u64); 3]) -> Result<(), Refusal> {
        for (at, (amount, n)) in more.into_iter().enumerate() {
            let Err((most, span)) = self.take(amount, n) else { continue };
            for (amount, n) in more.into_iter().take(at) {
                self.purse.take_back(&mut self.counted, amount, n);
            }
            return Err(stopped(&most, amount, span));
        }
        Ok(())
    }

    /// Rows have been affected, and can still be undone.
    pub(crate) fn affect(&mut self, rows: u64) -> Result<(), Refusal> {
        self.take(Amount::Affected, rows).map_err(|(most, span)| undone(&most, rows, span))
    }

    fn take(&mut self, amount: Amount, n: u64) -> Result<(), (Most, Span)> {
        if n == 0 {
            return Ok(());
        }
        let taken = self.purse.take(&self.limits, &mut self.counted, amount, n);
        match taken {
            Err((most, _)) if !self.enforces => {
                self.passed.get_or_insert((most, amount.word()));
                self.add(amount, n);
                Ok(())
            }
            taken => taken,
        }
    }

    fn add(&mut self, amount: Amount, n: u64) {
        let mut more = Amounts::default();
        *more.of_mut(amount) = n;
        self.purse.add(&more);
        *self.counted.of_mut(amount) += n;
    }

    /// What is left of the sums of rows affected, with the limit that says so.
    pub(crate) fn affected_left(&self) -> Option<Most> {
        self.purse.left(&self.limits, Amount::Affected)
    }

    /// The command has ended: what was not counted while it ran is counted now. What it would have been refused for, had
    /// somebody enforced it.
    pub(crate) fn settle(mut self, outcome: &mut Outcome, took_us: u64) -> Option<Json> {
        if self.limits.counts_cells() {
            outcome.cells = Some(self.counted.cells);
        }
        let amounts = outcome.amounts();
        for amount in Amount::ALL {
            let rest = amounts.of(amount).saturating_sub(*self.counted.of(amount));
            match rest {
                0 => {}
                _ if self.enforces => self.add(amount, rest),
                _ => self.observe(amount, rest),
            }
        }
        if outcome.code.is_some() {
            // Undone, at its commit or by what came with it.
            let affected = self.counted.affected;
            self.purse.take_back(&mut self.counted, Amount::Affected, affected);
        }
        if let Some(most) = self.limits.time_us.as_ref().filter(|most| took_us > most.most && !self.enforces)
        {
            self.passed.get_or_insert((most.clone(), "time"));
        }
        self.passed.filter(|_| !self.told).map(|(most, what)| passed(&most, what, None))
    }

    fn observe(&mut self, amount: Amount, n: u64) {
        let most = self.limits.statement.of(amount).as_ref();
        if let Some(most) = most.filter(|most| *self.counted.of(amount) + n > most.most) {
            self.passed.get_or_insert((most.clone(), amount.word()));
        }
        // Enforces nothing, so it is always counted.
        let _ = self.take(amount, n);
    }
}

/// What is noted of a limit that was passed; of a command, where it is still running.
pub(crate) fn passed(most: &Most, what: &str, command: Option<CommandNumber>) -> Json {
    let mut detail = Vec::new();
    let mut o = Object::open(&mut detail);
    if let Some(CommandNumber(number)) = command {
        o.number("cmd", number);
    }
    o.string("limit", &most.limit);
    o.number("most", most.most);
    o.string("of", what);
    o.close();
    Json::from_written(detail)
}

fn refusal(most: &Most, text: String) -> Refusal {
    let mut refusal = Refusal::new(RefusalKind::Limit, text);
    refusal.rule = Arc::clone(&most.limit);
    refusal
}

fn stopped(most: &Most, amount: Amount, span: Span) -> Refusal {
    let Most { most: n, limit, .. } = most;
    let (over, again) = match span {
        Span::Statement => (String::new(), "ask for fewer rows"),
        Span::Session => (format!(" {}", span.words()), "go on in a new session, and ask for fewer rows"),
        Span::Day => (format!(" {}", span.words()), "it resets at 00:00 UTC; ask for fewer rows"),
    };
    let because = if most.because.is_empty() { String::new() } else { most.with_because("") };
    let text = format!(
        "Firsthand stopped this result: at most {n} {}{over} (rule {limit}), and there are more; {again}{}{}",
        what(amount),
        if because.is_empty() { "" } else { ". " },
        because.trim_end_matches(['.', ' ']),
    );
    refusal(most, text).hint("What was delivered before this error is a part of the result only.")
}

/// What to do about rows that were too many.
const UNDONE_ADVICE: &str =
    "Nothing was changed. Narrow the statement down, or ask the operator for a higher limit.";

fn undone(most: &Most, rows: u64, span: Span) -> Refusal {
    let Most { most: n, limit, .. } = most;
    let advice = most.with_because(UNDONE_ADVICE);
    let text = format!(
        "Firsthand rolled this back: it would have affected {rows} rows; at most {n} are allowed {} (rule {limit}), and so \
         many are not left. {advice}",
        span.words(),
    );
    refusal(most, text).hint(UNDONE_ADVICE)
}

/// What is said of a statement that took too long: what the client reads, and what is noted.
#[derive(Clone, Debug)]
pub struct Outlasted {
    /// It was cancelled.
    pub stopped: Refusal,
    /// It went on, and the target has ended the session.
    pub ended: Refusal,
    /// It went on, and the target could not be made to end it.
    pub cut: Refusal,
    /// For the record, when its time is over: JSON object.
    pub noted: Json,
}

pub(crate) fn overtime(most: &Most, number: CommandNumber) -> Outlasted {
    let told = |what: &str, hint: &str| {
        let (limit, took) = (&most.limit, took(most.most));
        let advice = format!("{what} Ask for less at a time, or ask the operator for a longer time.");
        let advice = most.with_because(&advice);
        let text = format!(
            "Firsthand stopped this statement: at most {took} are allowed for one (rule {limit}). {advice}"
        );
        refusal(most, text).hint(hint)
    };
    let again = "Connect again. A handler for query_canceled must not go on with the work.";
    Outlasted {
        stopped: told(
            "It was cancelled, and its transaction fails.",
            "ROLLBACK, if it was in a transaction, then begin again.",
        ),
        ended: told(
            "It went on when it was cancelled, so its session was ended: what it had not committed is rolled back.",
            again,
        ),
        cut: told(
            "It went on when it was cancelled, so its session was ended; the target could not be made to end it, and what it did may take effect.",
            again,
        ),
        noted: passed(most, "time", Some(number)),
    }
}

/// A time as people write it.
fn took(us: u64) -> String {
    match us {
        _ if us.is_multiple_of(60_000_000) && us > 60_000_000 => format!("{} minutes", us / 60_000_000),
        _ if us.is_multiple_of(1_000_000) => format!("{} seconds", us / 1_000_000),
        _ => format!("{} ms", us / 1000),
    }
}
