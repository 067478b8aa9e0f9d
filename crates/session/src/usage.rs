//! What identities and sessions have used of what is limited: sums of a session and of a day, sessions at a time, commands
//! in a second.
//!
//! Every session counts, whether something is limited or not, because a reload may bring a limit at any time: a few atomic
//! additions when a command ends. Where something is limited that is delivered, its command counts while it delivers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use firsthand_model::amount::{Amount, Amounts, Each, Limits, Most, Sums};
use firsthand_model::identity::Identity;
use firsthand_model::time::{MonoMicros, UnixMicros};

/// Microseconds of a day.
pub const DAY_US: u64 = 86_400_000_000;
/// Microseconds of a second: of a bucket that is full, so many commands may come at once as may in a second.
const SECOND_US: u64 = 1_000_000;
/// Identities whose use is remembered. Each was let in with a token, so this is more than any operator has; beyond it nobody
/// new is let in, rather than anybody forgotten.
const ACCOUNTS_MAX: usize = 100_000;

/// What was used.
#[derive(Debug, Default)]
pub(crate) struct Spent(Each<AtomicU64>);

impl Spent {
    fn add(&self, amount: Amount, n: u64) -> u64 {
        if n == 0 {
            return self.of(amount);
        }
        self.0.of(amount).fetch_add(n, Relaxed).saturating_add(n)
    }

    fn take_back(&self, amount: Amount, n: u64) {
        // A day may have ended since it was added: then there is nothing to take it from.
        let less = |used: u64| Some(used.saturating_sub(n));
        let _ = self.0.of(amount).fetch_update(Relaxed, Relaxed, less);
    }

    fn of(&self, amount: Amount) -> u64 {
        self.0.of(amount).load(Relaxed)
    }

    fn forget(&self) {
        for amount in Amount::ALL {
            self.0.of(amount).store(0, Relaxed);
        }
    }
}

/// How many commands may come now.
#[derive(Debug, Default)]
struct Bucket {
    /// Up to when what was spent is made up for.
    even_at: u64,
}

impl Bucket {
    /// Whether there are so many.
    fn has(&self, per_second: u64, wanted: u64, now: MonoMicros) -> bool {
        if per_second == 0 {
            return wanted == 0;
        }
        let each = SECOND_US.div_ceil(per_second);
        // Rounding up must not cost the last of a full second.
        self.after(each, wanted, now).saturating_sub(now.0) <= each.saturating_mul(per_second)
    }

    /// Up to when so many more would have to be made up for.
    fn after(&self, each: u64, wanted: u64, now: MonoMicros) -> u64 {
        self.even_at.max(now.0).saturating_add(each.saturating_mul(wanted))
    }

    /// Takes one, if there is one: so many a second, and so many at once after a second's rest.
    fn take(&mut self, per_second: u64, now: MonoMicros) -> bool {
        let fits = self.has(per_second, 1, now);
        if fits {
            self.even_at = self.after(SECOND_US.div_ceil(per_second), 1, now);
        }
        fits
    }
}

/// What one identity has used.
#[derive(Debug, Default)]
pub(crate) struct Account {
    sessions: AtomicU64,
    bucket: Mutex<Bucket>,
    /// The day of `today`, counted from 1970.
    day: AtomicU64,
    today: Spent,
    turning: Mutex<()>,
}

impl Account {
    /// A new day begins with nothing.
    fn turn(&self, day: u64) {
        if self.day.load(SeqCst) >= day {
            return;
        }
        let _turning = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        if self.day.load(SeqCst) < day {
            self.today.forget();
            self.day.store(day, SeqCst);
        }
    }
}

/// Which day that is, counted from 1970 (UTC).
#[must_use]
pub const fn day_of(now: UnixMicros) -> u64 {
    now.0 / DAY_US
}

/// What all identities have used. One of the gateway's ports, without IO: who starts it says what was used earlier today.
#[derive(Debug)]
pub struct Usage {
    accounts: Mutex<HashMap<String, Arc<Account>>>,
    /// What was used today before this run is known.
    counted: AtomicBool,
}

impl Default for Usage {
    /// There was nothing earlier.
    fn default() -> Self {
        Self { accounts: Mutex::default(), counted: AtomicBool::new(true) }
    }
}

impl Usage {
    /// What was used earlier today is still to be told: until then nothing runs that has a limit for the day.
    #[must_use]
    pub fn to_be_counted() -> Self {
        Self { accounts: Mutex::default(), counted: AtomicBool::new(false) }
    }

    /// This identity (the id of who acts) has used that much on this day, before this run.
    pub fn used_earlier(&self, id: &str, day: u64, amounts: &Amounts) {
        let Some(account) = self.account_of(id) else { return };
        account.turn(day);
        if account.day.load(SeqCst) == day {
            for amount in Amount::ALL {
                account.today.add(amount, *amounts.of(amount));
            }
        }
    }

    /// All that was used earlier has been told.
    pub fn all_counted(&self) {
        self.counted.store(true, SeqCst);
    }

    /// Whether it has.
    pub fn is_counted(&self) -> bool {
        self.counted.load(Relaxed)
    }

    fn account_of(&self, id: &str) -> Option<Arc<Account>> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(id) {
            return Some(Arc::clone(account));
        }
        if accounts.len() >= ACCOUNTS_MAX {
            let newest = accounts.values().map(|a| a.day.load(SeqCst)).max().unwrap_or(0);
            // Who has no session keeps what counts for the day.
            accounts.retain(|_, a| Arc::strong_count(a) > 1 || a.day.load(SeqCst) == newest);
        }
        if accounts.len() >= ACCOUNTS_MAX {
            return None;
        }
        let account = Arc::<Account>::default();
        accounts.insert(id.to_owned(), Arc::clone(&account));
        Some(account)
    }

    /// A place for one more session of this identity, of so many at most. Who gets none takes none, not for a moment: others
    /// that come meanwhile are not refused for it.
    pub(crate) fn seat(&self, identity: &Identity, most: Option<u64>) -> Result<Seat, NoSeat> {
        let id = identity.actor().map_or(identity.subject.as_str(), |link| link.id.as_str());
        let account = self.account_of(id).ok_or(NoSeat::Crowded)?;
        let one_more = |n: u64| most.is_none_or(|most| n < most).then_some(n + 1);
        let before = account.sessions.fetch_update(SeqCst, SeqCst, one_more).map_err(|_| NoSeat::Full)?;
        Ok(Seat { account, number: before + 1 })
    }
}

/// Why there is no place for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSeat {
    /// There are too many identities.
    Crowded,
    /// The identity has as many sessions as it may have.
    Full,
}

/// One session's place among those of its identity; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    account: Arc<Account>,
    /// So many there are with this one.
    pub(crate) number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.account.sessions.fetch_sub(1, SeqCst);
    }
}

/// What a session has used, and its identity.
#[derive(Debug)]
pub(crate) struct Purse {
    spent: Spent,
    seat: Seat,
}

/// A limit that was passed, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Which.
    pub(crate) limit: Arc<str>,
    /// What is said of it.
    pub(crate) reason: String,
    /// What to do.
    pub(crate) advice: String,
}

impl Purse {
    pub(crate) fn new(seat: Seat) -> Self {
        Self { spent: Spent::default(), seat }
    }

    fn today(&self) -> &Spent {
        &self.seat.account.today
    }

    /// A command has used this, which nothing has counted yet.
    pub(crate) fn add(&self, used: &Amounts) {
        for amount in Amount::ALL {
            let n = *used.of(amount);
            if n > 0 {
                self.spent.add(amount, n);
                self.today().add(amount, n);
            }
        }
    }

    /// Whether a command may begin: commands in a second, and sums that are used up. `writes`: it may change something.
    /// `counted`: what was used earlier today is known.
    pub(crate) fn refuses(
        &self,
        limits: &Limits,
        writes: bool,
        counted: bool,
        now: (UnixMicros, MonoMicros),
    ) -> Option<Passed> {
        self.seat.account.turn(day_of(now.0));
        if limits.day.any() && !counted {
            return Some(uncounted(&limits.day));
        }
        let used_up = |sums: &Sums, spent: &Spent, span: Span| {
            let counts = |amount: &Amount| *amount != Amount::Affected || writes;
            Amount::ALL.into_iter().filter(counts).find_map(|amount| {
                let most = sums.of(amount).as_ref()?;
                let used = spent.of(amount);
                (used >= most.most).then(|| used_up(most, amount, used, span, now.0))
            })
        };
        used_up(&limits.session, &self.spent, Span::Session)
            .or_else(|| used_up(&limits.day, self.today(), Span::Day))
            .or_else(|| {
                let most = limits.commands_per_second.as_ref()?;
                let mut bucket = self.seat.account.bucket.lock().unwrap_or_else(PoisonError::into_inner);
                (!bucket.take(most.most, now.1)).then(|| too_fast(most))
            })
    }

    /// Whether so many commands may come at once now, if each of them may; none is taken.
    pub(crate) fn has_room(&self, per_second: &Most, commands: u64, now: MonoMicros) -> bool {
        let bucket = self.seat.account.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.has(per_second.most, commands, now)
    }

    /// Counts that much more. What passes a limit is not counted. `so_far`: of the command itself.
    pub(crate) fn take(
        &self,
        limits: &Limits,
        so_far: &mut Amounts,
        amount: Amount,
        n: u64,
    ) -> Result<(), (Most, Span)> {
        let passed = |most: &Option<Most>, used: u64| most.as_ref().filter(|m| used > m.most).cloned();
        let alone = so_far.of(amount).saturating_add(n);
        // Rows affected are limited over a transaction, which the protocol knows.
        if amount != Amount::Affected
            && let Some(most) = passed(limits.statement.of(amount), alone)
        {
            return Err((most, Span::Statement));
        }
        if let Some(most) = passed(limits.session.of(amount), self.spent.add(amount, n)) {
            self.spent.take_back(amount, n);
            return Err((most, Span::Session));
        }
        if let Some(most) = passed(limits.day.of(amount), self.today().add(amount, n)) {
            self.today().take_back(amount, n);
            self.spent.take_back(amount, n);
            return Err((most, Span::Day));
        }
        *so_far.of_mut(amount) = alone;
        Ok(())
    }

    /// What was counted has not happened after all.
    pub(crate) fn take_back(&self, so_far: &mut Amounts, amount: Amount, n: u64) {
        self.spent.take_back(amount, n);
        self.today().take_back(amount, n);
        let alone = so_far.of_mut(amount);
        *alone = alone.saturating_sub(n);
    }

    /// The lowest of what is left of these sums, with the limit that says so.
    pub(crate) fn left(&self, limits: &Limits, amount: Amount) -> Option<Most> {
        let left = |sums: &Sums, spent: &Spent| {
            let most = sums.of(amount).as_ref()?;
            Some(Most { most: most.most.saturating_sub(spent.of(amount)), ..most.clone() })
        };
        let session = left(&limits.session, &self.spent);
        let day = left(&limits.day, self.today());
        [session, day].into_iter().flatten().min_by_key(|most| most.most)
    }
}

/// Over what something is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Statement,
    Session,
    Day,
}

impl Span {
    /// `in one session`.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Statement => "for one statement",
            Self::Session => "in one session",
            Self::Day => "on one day (UTC)",
        }
    }
}

/// `rows are delivered`.
pub(crate) const fn what(amount: Amount) -> &'static str {
    match amount {
        Amount::Rows => "rows are delivered",
        Amount::Bytes => "bytes are delivered",
        Amount::Cells => "labelled cells are delivered",
        Amount::Affected => "rows are changed",
    }
}

fn used_up(most: &Most, amount: Amount, used: u64, span: Span, now: UnixMicros) -> Passed {
    let again = match span {
        Span::Day => {
            let left = (DAY_US - now.0 % DAY_US).div_ceil(60 * SECOND_US);
            format!("It resets at 00:00 UTC, in {} h {} min.", left / 60, left % 60)
        }
        Span::Session | Span::Statement => "It begins anew with a new session.".to_owned(),
    };
    let advice = most.with_because(&format!("{again} Ask the operator if that is too little."));
    let (most, limit) = (most.most, Arc::clone(&most.limit));
    let reason = format!("at most {most} {} {}, and {used} were", what(amount), span.words());
    Passed { limit, reason, advice }
}

fn too_fast(most: &Most) -> Passed {
    let advice = most.with_because("Slow down: wait a second, then send this again.");
    let (most, limit) = (most.most, Arc::clone(&most.limit));
    let reason =
        format!("at most {most} commands of one identity are taken in a second, and these were more");
    Passed { limit, reason, advice }
}

fn uncounted(day: &Sums) -> Passed {
    let limit = Amount::ALL.into_iter().find_map(|amount| day.of(amount).as_ref());
    Passed {
        limit: limit.map_or_else(|| Arc::from(""), |most| Arc::clone(&most.limit)),
        reason: "what was used earlier today is still being counted, since the gateway has just started"
            .to_owned(),
        advice: "Send it again in a moment; if it stays so, ask the operator to look at what the gateway itself logs.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_a_seconds_worth_at_once_and_then_so_many_a_second() {
        for per_second in [1, 2, 3, 7, 1000, 3_000_000] {
            let (mut bucket, at) = (Bucket::default(), MonoMicros(5 * SECOND_US));
            let mut taken = 0;
            while bucket.take(per_second, at) {
                taken += 1;
            }
            assert_eq!(taken, per_second, "{per_second} at once");
            assert!(!bucket.take(per_second, at));
            assert!(bucket.take(per_second, MonoMicros(at.0 + SECOND_US.div_ceil(per_second))));
            assert!(!bucket.take(per_second, MonoMicros(at.0 + SECOND_US.div_ceil(per_second))));
        }
        assert!(!Bucket::default().take(0, MonoMicros(0)));
    }

    fn most(most: u64, limit: &str) -> Option<Most> {
        Some(Most { most, limit: Arc::from(limit), because: Arc::from("") })
    }

    #[test]
    fn who_gets_no_seat_takes_none() {
        let identity = crate::fake::identity();
        let usage = Usage::default();
        let first = usage.seat(&identity, Some(1)).unwrap();
        assert!(matches!(usage.seat(&identity, Some(1)), Err(NoSeat::Full)));
        let second = usage.seat(&identity, None).unwrap();
        assert_eq!(second.number, 2, "the one that was refused was no third");
        drop((first, second));
        assert!(usage.seat(&identity, Some(1)).is_ok());
    }

    fn purse(usage: &Usage, id: &str) -> Purse {
        let account = usage.account_of(id).unwrap();
        account.sessions.fetch_add(1, SeqCst);
        Purse::new(Seat { account, number: 1 })
    }

    /// Nobody is forgotten to let somebody in, but those who have no session and whose day is over.
    #[test]
    fn as_many_identities_are_known_as_may_be() {
        let usage = Usage::default();
        let seated = purse(&usage, "seated");
        for n in 1..ACCOUNTS_MAX {
            assert!(usage.account_of(&n.to_string()).is_some());
        }
        assert!(usage.account_of("one too many").is_none());
        assert!(usage.account_of("1").is_some(), "who is known is let in");
        usage.used_earlier("2", 9, &Amounts::default());
        assert!(
            usage.account_of("somebody new").is_some(),
            "who had no session since yesterday is forgotten"
        );
        let known = usage.accounts.lock().unwrap();
        assert!(known.contains_key("seated") && known.contains_key("2") && !known.contains_key("3"));
        drop((known, seated));
    }

    #[test]
    fn sums_are_of_a_session_and_of_an_identitys_day() {
        let usage = Usage::default();
        let (one, two, other) = (purse(&usage, "a"), purse(&usage, "a"), purse(&usage, "b"));
        let limits = Limits {
            session: Sums { rows: most(3, "session"), ..Sums::default() },
            day: Sums { rows: most(5, "day"), affected: most(1, "day"), ..Sums::default() },
            ..Limits::default()
        };
        let take = |purse: &Purse, n| {
            purse.take(&limits, &mut Amounts::default(), Amount::Rows, n).map_err(|(most, _)| most.limit)
        };
        let begins = |purse: &Purse, writes, day| {
            let now = (UnixMicros(day * DAY_US + 1), MonoMicros(0));
            purse.refuses(&limits, writes, true, now).map(|passed| passed.limit)
        };
        assert_eq!(begins(&one, true, 9), None);
        assert_eq!(take(&one, 2), Ok(()));
        assert_eq!(take(&one, 2), Err(Arc::from("session")), "what passes is not counted");
        assert_eq!(take(&one, 1), Ok(()));
        assert_eq!(begins(&one, false, 9), Some(Arc::from("session")));
        assert_eq!(take(&two, 3), Err(Arc::from("day")));
        assert_eq!(take(&two, 2), Ok(()));
        assert_eq!(begins(&two, false, 9), Some(Arc::from("day")));
        assert_eq!(begins(&other, true, 9), None, "another identity");
        other.add(&Amounts { affected: 1, ..Amounts::default() });
        assert_eq!(begins(&other, true, 9), Some(Arc::from("day")));
        assert_eq!(begins(&other, false, 9), None, "what changes nothing may still be asked");
        assert_eq!(begins(&two, true, 10), None, "a new day");
        one.take_back(&mut Amounts::default(), Amount::Rows, 3);
        assert_eq!(begins(&two, true, 10), None, "what yesterday added is not taken from today");
        usage.used_earlier("a", 9, &Amounts { rows: 5, ..Amounts::default() });
        assert_eq!(begins(&two, true, 10), None, "yesterday's do not count");
        usage.used_earlier("a", 10, &Amounts { rows: 5, ..Amounts::default() });
        assert_eq!(begins(&two, true, 10), Some(Arc::from("day")), "what an earlier run used counts");
    }

    #[test]
    fn before_the_day_is_counted_nothing_runs_that_it_limits() {
        let usage = Usage::to_be_counted();
        let purse = purse(&usage, "a");
        let limits = Limits { day: Sums { rows: most(3, "day"), ..Sums::default() }, ..Limits::default() };
        let now = (UnixMicros(DAY_US), MonoMicros(0));
        assert!(purse.refuses(&limits, false, usage.is_counted(), now).is_some());
        assert!(purse.refuses(&Limits::default(), false, usage.is_counted(), now).is_none());
        usage.all_counted();
        assert!(purse.refuses(&limits, false, usage.is_counted(), now).is_none());
    }
}
