//! Test doubles of the ports, for the tests of this crate and of the dialects: a log whose durability the test moves by
//! hand, a policy that reads its verdict from the command's text, an approver that answers when told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use firsthand_model::amount::{Labelled, Limits, Most, Sums};
use firsthand_model::command::{Command, Effect, Effects, Shape, Step};
use firsthand_model::decision::{Approvers, Decision, HoldTerms, Obligations, Verdict};
use firsthand_model::event::Event;
use firsthand_model::id::SessionId;
use firsthand_model::identity::{ClientFacts, Identity, IdentityKind, Link, Trust};
use firsthand_model::json::Json;
use firsthand_model::masking::{ColumnMask, Hush, MaskDuty, Style};
use firsthand_model::outcome::Transaction;
use firsthand_model::preview::{Original, Preview};
use firsthand_model::session::SessionFacts;
use firsthand_model::target::{Durability, Mode, Target};
use firsthand_model::time::{MonoMicros, UnixMicros};

use crate::admission::{Admission, Bound, Engine, Wanted};
use crate::pipeline::Session;
use crate::port::{
    ApprovalError, Approver, Ask, Binding, BoxFuture, ByteStream, Challenge, Clock, Credential,
    CredentialError, CredentialSource, DialError, Dialer, Estimator, Found, Hold, IdentityError,
    IdentityProvider, Ids, MaskPlan, Masker, Need, Policy, Previewer, Proof, Question, RecordError, Recorder,
    Targets, Ticket, Values, Waiting,
};
use crate::secret::Secret;

/// How the log behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Everything is durable as soon as it is queued.
    Instant,
    /// Durable when the test says so.
    ByHand,
    /// Intents are turned away, facts are taken.
    Full,
    /// Only ends are taken, and nothing becomes durable in time.
    Crowded,
    /// Nothing is taken, nothing becomes durable.
    Stopped,
}

#[derive(Debug)]
struct LogState {
    disk: Disk,
    events: Vec<Event>,
    durable: u64,
    /// There is no room for what would be added.
    behind: bool,
    waiters: Vec<Waker>,
}

/// A log in memory.
#[derive(Debug)]
pub struct FakeLog(Mutex<LogState>);

impl FakeLog {
    /// An empty log on such a disk.
    pub fn new(disk: Disk) -> Self {
        Self(Mutex::new(LogState {
            disk,
            events: Vec::new(),
            durable: 0,
            behind: false,
            waiters: Vec::new(),
        }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, LogState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk changes.
    pub fn set(&self, disk: Disk) {
        let mut s = self.state();
        s.disk = disk;
        if s.disk == Disk::Instant {
            s.durable = s.events.len() as u64;
        }
        s.waiters.drain(..).for_each(Waker::wake);
    }

    /// The log does not keep up, or does so again.
    pub fn falls_behind(&self, behind: bool) {
        let mut s = self.state();
        s.behind = behind;
        s.waiters.drain(..).for_each(Waker::wake);
    }

    /// Whether somebody waits for it.
    pub fn is_waited_for(&self) -> bool {
        !self.state().waiters.is_empty()
    }

    /// Everything queued up to now is durable.
    pub fn sync(&self) {
        let mut s = self.state();
        s.durable = s.events.len() as u64;
        s.waiters.drain(..).for_each(Waker::wake);
    }

    /// Entries that are durable.
    pub fn durable(&self) -> u64 {
        self.state().durable
    }

    /// Looks at all entries queued so far.
    pub fn with<R>(&self, look: impl FnOnce(&[Event]) -> R) -> R {
        look(&self.state().events)
    }

    /// A word per entry: `opened`, `decided 1 allow`, `completed 1`, `abandoned 2 skipped`, …
    pub fn words(&self) -> Vec<String> {
        self.with(|events| events.iter().map(word).collect())
    }
}

/// One entry in a few words.
pub fn word(event: &Event) -> String {
    match event {
        Event::SessionOpened(_) => "opened".to_owned(),
        Event::SessionClosed(e) => format!("closed {}", e.why),
        Event::SessionNoted(e) => format!("noted {}", e.what),
        Event::CommandDecided(e) => format!("decided {} {}", e.number.0, e.decision.verdict.word()),
        Event::CommandRows(e) => format!("rows {} {}", e.number.0, e.rows),
        Event::CommandChanged(e) => format!("changed {} {}", e.number.0, e.rows),
        Event::TransactionNamed(e) => format!("named {}", e.of.xid.unwrap_or(0)),
        Event::TransactionChanged(e) => format!("transaction changed {} {}", e.table, e.rows),
        Event::TransactionEnded(e) => format!("transaction {}", e.how),
        Event::CommandCompleted(e) => {
            format!(
                "completed {}{}",
                e.number.0,
                e.outcome.code.as_ref().map_or(String::new(), |c| format!(" {c}"))
            )
        }
        Event::CommandAbandoned(e) => format!("abandoned {} {}", e.number.0, e.why.word()),
        Event::Approval(e) => e.kind.to_owned(),
        Event::Stream(e) => format!("stream {} {}", e.number.0, e.bytes),
        Event::Refused(e) => format!("refused {}", e.why),
        Event::Administered(e) => e.kind.to_owned(),
        Event::Log(e) => e.kind.to_owned(),
    }
}

impl Recorder for FakeLog {
    fn append(&self, event: Event, need: Need) -> Result<Ticket, RecordError> {
        let mut s = self.state();
        match (&s.disk, need) {
            (Disk::Stopped, _) => return Err(RecordError::Stopped("told to".to_owned())),
            (Disk::Crowded, Need::Intent | Need::Fact) => return Err(RecordError::Overloaded),
            (Disk::Full, Need::Intent) => return Err(RecordError::Full("told to be".to_owned())),
            _ => {}
        }
        s.events.push(event);
        if s.disk == Disk::Instant {
            s.durable = s.events.len() as u64;
        }
        Ok(Ticket(s.events.len() as u64 - 1))
    }

    fn is_durable(&self, ticket: Ticket) -> bool {
        self.state().durable > ticket.0
    }

    fn poll_room(&self, _: usize, _: &mut Waiting, cx: &mut Context<'_>) -> Poll<()> {
        let mut s = self.state();
        if !s.behind {
            return Poll::Ready(());
        }
        s.waiters.push(cx.waker().clone());
        Poll::Pending
    }

    fn poll_durable(
        &self,
        ticket: Ticket,
        _: Need,
        _: &mut Waiting,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RecordError>> {
        let mut s = self.state();
        if s.durable > ticket.0 {
            return Poll::Ready(Ok(()));
        }
        if s.disk == Disk::Crowded {
            return Poll::Ready(Err(RecordError::TimedOut));
        }
        if s.disk == Disk::Stopped {
            return Poll::Ready(Err(RecordError::Stopped("told to".to_owned())));
        }
        s.waiters.push(cx.waker().clone());
        Poll::Pending
    }
}

/// Denies what contains `DENY`, holds what contains `HOLD`, allows the rest; limits what stands behind ` AFFECTED=`,
/// ` ROWS=`, ` BYTES=`, ` CELLS=` (` LABELLED=` of each row), of a session behind ` SESSION-ROWS=`, of a day behind ` DAY-ROWS=`,
/// the time behind ` TIME-US=`, commands in a second behind ` RATE=`. Has masked what the text says:
///
/// - `MASK`: values are looked through;
/// - `MASK[-,redact:email]`: the second of two columns by its lineage;
/// - `MASK[redact:keyless]`: the only column, and there are no keys to do it with;
/// - `ORIGIN[77.2=token:card]`: what comes from that table's column;
/// - `HUSH`: the target's texts are replaced;
/// - `TEXTS`: what the command says and the target says of it is looked through.
pub struct TextPolicy;

impl Policy for TextPolicy {
    fn decide(&self, ask: &Ask<'_>) -> Decision {
        let text = &ask.command.text;
        let (verdict, reason) = match () {
            () if text.contains("DENY") => (Verdict::Deny, "it says so"),
            () if text.contains("HOLD") => (Verdict::Hold, ""),
            () => (Verdict::Allow, ""),
        };
        let mask = duty(text);
        Decision {
            verdict,
            rule: Arc::from("text"),
            reason: Arc::from(reason),
            advice: Arc::from(if text.contains("DENY") { "Send it without DENY." } else { "" }),
            policy: Arc::from("fake"),
            obligations: Arc::new(Obligations { mask, limits: limits(text) }),
            terms: (verdict == Verdict::Hold).then(terms),
        }
    }
}

/// One of the approvers, within 20 s.
pub fn terms() -> Arc<HoldTerms> {
    Arc::new(HoldTerms {
        approvers: vec![Approvers { group: Arc::from("approvers"), quorum: 1 }],
        own: false,
        wait_us: 20_000_000,
        ttl_us: 900_000_000,
        spend_us: 900_000_000,
        break_glass: Vec::new(),
        signed: false,
    })
}

/// The limits that a text asks for.
fn limits(text: &str) -> Option<Arc<Limits>> {
    let most = |word: &str| {
        let most = number_after(text, word)?;
        Some(Most { most, limit: Arc::from("text"), because: Arc::from("") })
    };
    let sums = |prefix: &str| Sums {
        rows: most(&format!(" {prefix}ROWS=")),
        bytes: most(&format!(" {prefix}BYTES=")),
        cells: most(&format!(" {prefix}CELLS=")),
        affected: most(&format!(" {prefix}AFFECTED=")),
    };
    let limits = Limits {
        statement: sums(""),
        session: sums("SESSION-"),
        day: sums("DAY-"),
        time_us: most(" TIME-US="),
        commands_per_second: most(" RATE="),
        sessions: None,
        labelled: number_after(text, " LABELLED=").map_or(Labelled::Uncounted, first_columns),
    };
    limits.any().then(|| Arc::new(limits))
}

fn first_columns(count: u64) -> Labelled {
    Labelled::Columns((0..count).map(|_| true).collect())
}

/// The number that stands behind a word.
fn number_after(text: &str, word: &str) -> Option<u64> {
    let rest = text.split_once(word)?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

/// What stands between `name[` and `]`.
fn bracketed<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(name)?;
    rest.strip_prefix('[')?.split_once(']').map(|(inside, _)| inside)
}

fn mask(word: &str) -> Option<ColumnMask> {
    let (style, label) = word.split_once(':')?;
    let style = Style::ALL.into_iter().find(|s| s.word() == style)?;
    Some(ColumnMask {
        label: Arc::from(label),
        rule: Arc::from(format!("mask-{label}")),
        style,
        formless: false,
    })
}

fn duty(text: &str) -> MaskDuty {
    let origin = |word: &str| {
        let (place, word) = word.split_once('=')?;
        let (table, number) = place.split_once('.')?;
        Some(((table.parse().ok()?, number.parse().ok()?), mask(word)?))
    };
    let columns = bracketed(text, "MASK").map(|inside| inside.split(',').map(mask).collect());
    let origins = bracketed(text, "ORIGIN").map(|inside| inside.split(',').filter_map(origin).collect());
    MaskDuty {
        scan: text.contains("MASK") && columns.is_none(),
        columns,
        origins: Arc::new(origins.unwrap_or_default()),
        names: Vec::new(),
        hush: if text.contains("HUSH") { Hush::All } else { Hush::Nothing },
        spills: false,
        texts: text.contains("TEXTS") || text.contains("MASK"),
        written: Vec::new(),
    }
}

/// Finds words with an `@` in them and words that begin with `CANARY`; tokens are a sum.
struct FakeValues;

impl Values for FakeValues {
    fn token(&self, label: &str, value: &[u8]) -> [u8; 16] {
        let bytes = label.bytes().chain(value.iter().copied());
        let sum = bytes.fold(u128::MAX / 3, |s, b| (s ^ u128::from(b)).wrapping_mul(0x1_0000_01b3_0000_0001));
        sum.to_be_bytes()
    }

    fn scan(&self, value: &str, _: &str, found: &mut Vec<Found>) {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '@' | '.' | '_' | '-');
        let mut at = 0;
        for word in value.split(|c| !is_word(c)) {
            let begin = word.starts_with("CANARY").then_some("canary");
            if let Some(label) = begin.or(word.contains('@').then_some("email")) {
                let style = Style::Redact;
                let (label, rule) = (Arc::from(label), Arc::from("found"));
                let range = at..at + word.len();
                found.push(Found { range, mask: ColumnMask { label, rule, style, formless: false } });
            }
            let rest = value.get(at + word.len()..).unwrap_or_default();
            at += word.len() + rest.chars().next().map_or(0, char::len_utf8);
        }
    }
}

/// What approvers do of themselves in tests.
#[derive(Default)]
struct Answers {
    next: u64,
    /// The answer put in.
    answer: Option<Result<(), ApprovalError>>,
    /// The answer to all that has none of its own.
    always: Option<Result<(), ApprovalError>>,
    /// Nobody answers: the wait ends.
    ends: bool,
    waiting: Option<Waker>,
    /// What was asked, kept, spent and withdrawn, in order.
    words: Vec<String>,
    /// Spending fails with this.
    unspendable: Option<ApprovalError>,
    /// What commands would change is to be found out.
    previews: bool,
    /// What is in the digest besides the text: for rules that change.
    salt: u8,
}

/// Answers holds with what the test has put in; waits while that is nothing.
#[derive(Clone, Default)]
pub struct FakeApprover(Arc<Mutex<Answers>>);

/// Says that its question was withdrawn.
struct Asker(FakeApprover, String);

impl Drop for Asker {
    fn drop(&mut self) {
        let mut s = self.0.state();
        let (kept, spent) = (format!("keep {}", self.1), format!("spend {}", self.1));
        if !s.words.iter().any(|word| *word == kept || *word == spent) {
            s.words.push(format!("withdraw {}", self.1));
        }
    }
}

impl FakeApprover {
    fn state(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the answer to whatever waits next.
    pub fn answer(&self, answer: Result<(), ApprovalError>) {
        let mut s = self.state();
        s.answer = Some(answer);
        s.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Gives this answer to whatever waits from now on.
    pub fn answers_all(&self, answer: Result<(), ApprovalError>) {
        let mut s = self.state();
        s.always = Some(answer);
        s.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// From now on nobody waits: what is asked is pending, unless an answer is put in.
    pub fn ends_waits(&self) {
        let mut s = self.state();
        s.ends = true;
        s.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// From now on nothing can be spent, for this reason.
    pub fn spends_nothing(&self, why: ApprovalError) {
        self.state().unspendable = Some(why);
    }

    /// From now on it is, or is not, to be found out what commands would change.
    pub fn asks_for_previews(&self, yes: bool) {
        self.state().previews = yes;
    }

    /// From now on approvals are bound to something else, as under other rules.
    pub fn binds_otherwise(&self) {
        self.state().salt += 1;
    }

    /// What was asked, kept, spent and withdrawn.
    pub fn words(&self) -> Vec<String> {
        self.state().words.clone()
    }
}

impl Approver for FakeApprover {
    fn binding(&self, _: &SessionFacts, command: &Command, _: &Decision) -> Binding {
        let mut digest = [self.state().salt; 32];
        digest.iter_mut().skip(1).zip(command.text.bytes()).for_each(|(to, from)| *to = from);
        Binding(digest)
    }

    fn ask<'a>(&'a self, hold: &'a Hold) -> BoxFuture<'a, Result<Question, ApprovalError>> {
        let mut s = self.state();
        s.next += 1;
        let id = format!("ap-{}", s.next);
        s.words.push(format!("ask {id} #{}", hold.number.0));
        let asker = Box::new(Asker(self.clone(), id.clone()));
        let is_new = s.previews;
        Box::pin(std::future::ready(Ok(Question { id, is_new, asker })))
    }

    fn wait<'a>(&'a self, question: &'a Question, _: u64) -> BoxFuture<'a, Result<(), ApprovalError>> {
        Box::pin(std::future::poll_fn(|cx| {
            let mut s = self.state();
            match s.answer.take().or_else(|| s.always.clone()) {
                Some(answer) => Poll::Ready(answer),
                None if s.ends => Poll::Ready(Err(ApprovalError::Pending(question.id.clone()))),
                None => {
                    s.waiting = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }

    fn show<'a>(&'a self, _: &'a Hold, question: &'a Question, preview: &'a Preview) -> BoxFuture<'a, ()> {
        self.state().words.push(format!("show {} {}", question.id, preview.how.word()));
        Box::pin(std::future::ready(()))
    }

    fn keep<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, ()> {
        self.state().words.push(format!("keep {}", question.id));
        Box::pin(std::future::ready(()))
    }

    fn spend<'a>(&'a self, _: &'a Hold, question: &'a Question) -> BoxFuture<'a, Result<(), ApprovalError>> {
        let mut s = self.state();
        let spent = s.unspendable.clone().map_or(Ok(()), Err);
        if spent.is_ok() {
            s.words.push(format!("spend {}", question.id));
        }
        Box::pin(std::future::ready(spent))
    }
}

/// Lets in `bot` with the secret `right`; everybody else is unknown. Can be told to revoke, and to contain.
#[derive(Clone, Default)]
pub struct FakeIdentity(Arc<Mutex<Option<IdentityError>>>);

impl FakeIdentity {
    /// From now on the token is revoked.
    pub fn revoke(&self) {
        self.ends(IdentityError::Revoked);
    }

    /// From now on the identity is contained.
    pub fn contain(&self) {
        self.ends(IdentityError::Contained);
    }

    fn ends(&self, why: IdentityError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

impl IdentityProvider for FakeIdentity {
    fn challenge(&self, login: &str) -> Challenge {
        Challenge {
            salt: vec![7; 16],
            iterations: 4096,
            stored_key: [1; 32],
            server_key: [2; 32],
            token: (login == "bot").then(|| "t-1".to_owned()),
        }
    }

    fn identify(&self, proof: &Proof, _: UnixMicros) -> Result<Identity, IdentityError> {
        match proof {
            Proof::Scram { login, .. } if login == "bot" => Ok(identity()),
            Proof::ClearText { login, secret } if login == "bot" && secret.expose() == "right" => {
                Ok(identity())
            }
            Proof::ClearText { login, .. } if login == "bot" => Err(IdentityError::Proof),
            Proof::Failed { .. } => Err(IdentityError::Proof),
            _ => Err(IdentityError::Unknown),
        }
    }

    fn recheck(&self, _: &Identity, _: UnixMicros) -> Result<(), IdentityError> {
        (*self.0.lock().unwrap_or_else(PoisonError::into_inner)).map_or(Ok(()), Err)
    }
}

/// The chain ada → billing-bot → token.
pub fn identity() -> Identity {
    let link =
        |kind, id: &str, name: &str, trust| Link { kind, id: id.to_owned(), name: name.to_owned(), trust };
    Identity {
        chain: vec![
            link(IdentityKind::Human, "h-1", "ada", Trust::Bound),
            link(IdentityKind::Agent, "a-1", "billing-bot", Trust::Verified),
            link(IdentityKind::Token, "t-1", "bot", Trust::Verified),
        ],
        login: "bot".to_owned(),
        subject: "h-1".to_owned(),
        targets: vec!["orders".to_owned()],
        ..Identity::default()
    }
}

struct Rest;

impl Estimator for Rest {
    fn estimate<'a>(
        &'a self,
        _: &'a Arc<Engine>,
        _: &'a SessionFacts,
        _: &'a Command,
    ) -> BoxFuture<'a, Option<u64>> {
        Box::pin(std::future::ready(None))
    }
}

impl Previewer for Rest {
    fn preview<'a>(
        &'a self,
        _: &'a Arc<Engine>,
        _: &'a SessionFacts,
        _: &'a Command,
        _: &'a Original,
    ) -> BoxFuture<'a, Preview> {
        Box::pin(std::future::ready(Preview::none("nothing is tried here")))
    }
}

impl CredentialSource for Rest {
    fn credential(&self, _: &Identity, _: &Target) -> Result<Credential, CredentialError> {
        Ok(Credential { user: "orders_rw".to_owned(), password: Some(Secret::new("pg".to_owned())) })
    }
}

impl Masker for Rest {
    fn plan(&self, obligations: &Arc<Obligations>) -> MaskPlan {
        let columns = obligations.mask.columns.iter().flatten().flatten();
        let wanted = !obligations.mask.is_empty() || obligations.mask.texts;
        let keyed = wanted && columns.filter(|mask| &*mask.label == "keyless").count() == 0;
        let values = keyed.then(|| Arc::new(FakeValues) as Arc<dyn Values>);
        MaskPlan { obligations: Arc::clone(obligations), values }
    }
}

impl Dialer for Rest {
    fn dial<'a>(&'a self, _: &'a Target) -> BoxFuture<'a, Result<Box<dyn ByteStream>, DialError>> {
        Box::pin(std::future::ready(Err(DialError::Unreachable("no network in tests".to_owned()))))
    }
}

struct OneTarget(Arc<Target>, Arc<AtomicBool>);

impl Targets for OneTarget {
    fn find(&self, name: &str) -> Option<Arc<Target>> {
        (name == self.0.name).then(|| Arc::clone(&self.0))
    }

    fn is_contained(&self, name: &str) -> bool {
        name == self.0.name && self.1.load(SeqCst)
    }
}

/// A clock that moves a millisecond each time it is looked at.
#[derive(Default)]
pub struct TickingClock(AtomicU64);

impl Clock for TickingClock {
    fn now(&self) -> UnixMicros {
        UnixMicros(1_700_000_000_000_000 + self.0.fetch_add(1000, SeqCst))
    }

    fn mono(&self) -> MonoMicros {
        MonoMicros(self.0.fetch_add(1000, SeqCst))
    }
}

struct CountingIds(AtomicU64);

impl Ids for CountingIds {
    fn session(&self) -> SessionId {
        SessionId(u128::from(self.0.fetch_add(1, SeqCst)))
    }
}

/// An engine of doubles, with handles to move them.
pub struct Fakes {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Its log.
    pub log: Arc<FakeLog>,
    /// Its approver.
    pub approver: FakeApprover,
    /// Its identity provider.
    pub identity: FakeIdentity,
    /// Its target is contained.
    pub target_contained: Arc<AtomicBool>,
}

/// A target as tests want it.
pub fn target(durability: Durability, mode: Mode) -> Target {
    Target {
        name: "orders".to_owned(),
        protocol: "postgres".to_owned(),
        address: "127.0.0.1:5432".to_owned(),
        mode,
        durability,
        record: firsthand_model::limits::RecordLimits::default(),
        changed: firsthand_model::target::ChangedRows::Off,
        allow_unobserved: false,
        pin_read_only: true,
        name_sessions: true,
        databases: Vec::new(),
        database: "orders".to_owned(),
        grants: None,
        needs_grant: false,
        roles: None,
    }
}

/// Wires the doubles together.
pub fn fakes(disk: Disk, target: Target) -> Fakes {
    let (log, approver) = (Arc::new(FakeLog::new(disk)), FakeApprover::default());
    let (identity, target_contained) = (FakeIdentity::default(), Arc::<AtomicBool>::default());
    let engine = Engine {
        identity: Box::new(identity.clone()),
        policy: Box::new(TextPolicy),
        estimator: Box::new(Rest),
        previewer: Box::new(Rest),
        approver: Box::new(approver.clone()),
        grants: Box::new(crate::port::NoGrants),
        roles: Box::new(crate::port::NoRoles),
        credentials: Box::new(Rest),
        masker: Box::new(Rest),
        recorder: Arc::clone(&log) as Arc<dyn Recorder>,
        dialer: Box::new(Rest),
        targets: Box::new(OneTarget(Arc::new(target), Arc::clone(&target_contained))),
        clock: Box::new(TickingClock::default()),
        ids: Box::new(CountingIds(AtomicU64::new(1))),
        failures: Mutex::default(),
        refused: Mutex::default(),
        tally: crate::tally::Tally::default(),
        usage: crate::usage::Usage::default(),
    };
    Fakes { engine: Arc::new(engine), log, approver, identity, target_contained }
}

impl Fakes {
    /// Opens a session for `bot` on `orders`. The log must let it (use `Disk::Instant` at first).
    #[expect(
        clippy::expect_used,
        reason = "a test double: a test that cannot open its session must fail at once"
    )]
    pub fn open(&self) -> (Session, Admission) {
        let proof = Proof::ClearText { login: "bot".to_owned(), secret: Secret::new("right".to_owned()) };
        let wanted = Wanted { login: "bot".to_owned(), target: "orders".to_owned(), ..Wanted::default() };
        let admitted = self.engine.admit(&proof, &wanted, &ClientFacts::default()).expect("bot is admitted");
        let bound = Bound {
            client: ClientFacts::default(),
            claims: Vec::new(),
            session_role: "orders_rw".to_owned(),
            role: "orders_rw".to_owned(),
            backend_pid: 4711,
            server_version: "15.0".to_owned(),
            parameters: Json::default(),
            coverage: Vec::new(),
        };
        let mut opening = Box::pin(self.engine.open(admitted, bound));
        match opening.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(opened) => opened.expect("the session is opened"),
            Poll::Pending => unreachable_pending(),
        }
    }
}

#[expect(clippy::panic, reason = "a test double: a test that cannot open its session must fail at once")]
fn unreachable_pending() -> (Session, Admission) {
    panic!("the log is not instant: open the session first, change the disk afterwards")
}

/// A command with this text; a plain read if it begins with SELECT.
pub fn command(text: &str) -> Command {
    let read = text.starts_with("SELECT");
    let effect = if read { Effect::Read } else { Effect::Write };
    Command {
        step: Step::Run,
        via: "simple",
        shape: Arc::new(Shape {
            tag: text.split(' ').next().unwrap_or_default().to_owned(),
            effects: Effects::only(effect),
            tables: Vec::new(),
            plain_read: read,
            coverage: Vec::new(),
            facts: None,
        }),
        text: text.to_owned(),
        original_digest: None,
        original_bytes: text.len() as u64,
        parameters: Json::default(),
        claims: Json::default(),
        parameters_digest: None,
        names: Json::default(),
        transaction: Transaction::Idle,
        coverage: Vec::new(),
        original: Some(Arc::new(Original { settings: Some(Vec::new()), ..Original::default() })),
        access: None,
    }
}
