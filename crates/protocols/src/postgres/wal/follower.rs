//! Reads the slot of one database: which rows the transactions changed that sessions have named.
//!
//! Only those are asked for that are named and not told yet; the target sorts the others out. The slot moves on when what
//! was read is durable here, and never past a place that the target had not reached when the list of names was made: a
//! transaction that is named later commits later. So nothing is lost when either side dies, and what is told twice has the
//! same number and the same place in the target's log.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firsthand_model::decision::Obligations;
use firsthand_model::event::{Event, LogEvent, TransactionEnded, TransactionNamed, Transactional};
use firsthand_model::id::CommandNumber;
use firsthand_model::json::{Json, Object};
use firsthand_model::session::SessionFacts;
use firsthand_model::target::{ChangedRows, Durability};
use firsthand_session::port::{BoxFuture, Need, RecordError, Ticket, Waiting};
use firsthand_session::tally::Following;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::super::catalog::{ask, connect, each_row, say_goodbye, send_query};
use super::super::definitions::Way;
use super::backends::Backends;
use super::rows::{Identity, Rows};
use super::setup::{self, Slot, UNREACHED, slot_name};
use super::text::{Said, read};
use super::{Naming, UNATTRIBUTED, Verdict};
use crate::drive::line::Line;
use crate::protocol::{Probe, Unread};

/// After a commit is named its rows are looked for this soon, then after twice as long, up to [`SLOWEST`].
const SOON: Duration = Duration::from_millis(20);
/// How often is looked for what does not come: transactions that are open, or prepared.
const SLOWEST: Duration = Duration::from_secs(2);
/// While nobody writes through the gateway, the slot is moved on this often: what others write is not kept for it.
const MOVE_ON: Duration = Duration::from_secs(30);
/// After a failure it is tried again this much later, then after twice as long, up to [`MOVE_ON`].
const RETRY: Duration = Duration::from_secs(1);
/// A session waits this long to hear whether changes are read.
const WITHIN: Duration = Duration::from_secs(3);
/// A target that is connected answers, or its connection is ended: as long as a statement may take there, and some.
const ANSWER_WITHIN: Duration = Duration::from_secs(660);
/// Changes asked for at a time; the target rounds up to whole transactions.
const CHANGES_MAX: u32 = 5_000;
/// Characters of a line that travel; the rest is told as cut. Below what a [`Line`] holds.
const TEXT_MAX: u32 = 30_000;
/// Bytes of values kept at a time, over the transactions of one question.
const KEPT_BYTES_MAX: usize = 32 << 20;
/// Transactions that are named and not told yet. Beyond, the oldest are given up, and the record says so.
const PENDING_MAX: usize = 65_536;
/// Transactions asked for at a time.
const ASKED_MAX: usize = 2_000;
/// Bytes of one answer that is kept whole.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Databases that are followed; sessions of more are told that they are not.
const DATABASES_MAX: usize = 1_024;

/// Coverage fact: the slot was gone in between, and with it what it kept.
const LOST: &str = "changed-rows:wal-lost";
/// Coverage fact: what became of it is not known any more.
const FORGOTTEN: &str = "changed-rows:wal-forgotten";

/// First of all there: values are written the same whatever the role's settings.
const PREPARE: &str = "SET statement_timeout TO '10min'; SET lock_timeout TO '10s'; SET client_encoding TO 'UTF8'; \
    SET standard_conforming_strings TO on; SET default_transaction_read_only TO on; SET search_path TO pg_catalog; \
    SET DateStyle TO ISO; SET IntervalStyle TO postgres; SET TimeZone TO 'UTC'; SET bytea_output TO hex; \
    SET extra_float_digits TO 1; SET jit TO off; SET xmloption TO content";

/// All databases that are followed.
#[derive(Default)]
pub(in super::super) struct Followers(Mutex<HashMap<(String, String), Arc<Follower>>>);

impl Followers {
    /// Who follows this database, from now on if nobody did. `unread`: transactions that an earlier run has named.
    pub(in super::super) fn of(&self, way: Way, unread: Vec<Unread>) -> Option<Arc<Follower>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (way.target.clone(), way.database.clone());
        if let Some(follower) = all.get(&key).filter(|f| !f.has_ended()) {
            return Some(Arc::clone(follower));
        }
        all.retain(|_, follower| !follower.has_ended());
        if all.len() >= DATABASES_MAX {
            return None;
        }
        let follower = Arc::new(Follower::new(way, unread));
        all.insert(key, Arc::clone(&follower));
        tokio::spawn(Arc::clone(&follower).follow());
        Some(follower)
    }
}

/// Whether changes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Reading,
    /// Why not.
    Not(&'static str),
    Ended,
}

/// A transaction that is named and not told yet.
#[derive(Clone)]
struct Pending {
    of: Transactional,
    /// What was stored may hold masked values where nothing tells that they are.
    spills: bool,
    /// It had committed when the target's log was that long.
    committed: Option<u64>,
    /// The slot was made anew since.
    lost: bool,
}

/// Follows one database.
pub(in super::super) struct Follower {
    way: Way,
    slot: String,
    state: watch::Sender<State>,
    pending: Mutex<BTreeMap<u64, Pending>>,
    woken: Notify,
    backends: Backends,
}

/// What keeps it from reading.
struct Fault {
    fact: &'static str,
    why: String,
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Self { fact: UNREACHED, why }
    }
}

impl Follower {
    fn new(way: Way, unread: Vec<Unread>) -> Self {
        let slot = slot_name(way.engine.recorder.id(), &way.target, &way.database);
        let restored = unread.into_iter().map(|it| {
            let of = Transactional {
                facts: it.facts,
                xid: Some(it.xid),
                from: CommandNumber(it.from),
                to: CommandNumber(it.to),
            };
            (it.xid, Pending { of, spills: false, committed: None, lost: false })
        });
        let pending = Mutex::new(restored.collect());
        let backends = Backends::new(way.clone());
        Self {
            slot,
            state: watch::Sender::new(State::Starting),
            pending,
            woken: Notify::new(),
            backends,
            way,
        }
    }

    fn has_ended(&self) -> bool {
        *self.state.borrow() == State::Ended
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why changes are not read, once that is known; `None`: they are.
    pub(in super::super) async fn why_not(&self) -> Option<&'static str> {
        let mut state = self.state.subscribe();
        let known = timeout(WITHIN, state.wait_for(|state| *state != State::Starting)).await;
        match known.ok().and_then(Result::ok).map(|state| *state) {
            Some(State::Reading) => None,
            Some(State::Not(fact)) => Some(fact),
            Some(State::Starting | State::Ended) | None => Some(UNREACHED),
        }
    }

    /// Follows until the target is taken out of the configuration.
    async fn follow(self: Arc<Self>) {
        let mut rest = RETRY;
        while self.is_wanted() {
            let Err(fault) = self.read(&mut rest).await else { break };
            let Fault { fact, why } = fault;
            let (target, database) = (&self.way.target, &self.way.database);
            if self.state.send_replace(State::Not(fact)) != State::Not(fact) {
                tracing::warn!(target, database, "changed rows are not read: {why}");
            }
            self.tell_tally(None);
            tokio::time::sleep(rest).await;
            rest = (rest * 2).min(MOVE_ON);
        }
        self.state.send_replace(State::Ended);
    }

    fn is_wanted(&self) -> bool {
        let target = self.way.engine.targets.find(&self.way.target);
        target.is_some_and(|target| target.changed == ChangedRows::Wal)
    }

    /// Reads the slot as long as that works. The connection is closed while there is nothing to read.
    async fn read(&self, rest: &mut Duration) -> Result<(), Fault> {
        while self.is_wanted() {
            let mut line = self.begin().await?;
            self.state.send_replace(State::Reading);
            *rest = RETRY;
            let mut pause = SOON;
            loop {
                let before = self.pending().len();
                let more = timeout(ANSWER_WITHIN, self.turn(&mut line)).await;
                let more =
                    more.unwrap_or_else(|_| Err("the target did not answer in time".to_owned().into()))?;
                let left = self.pending().len();
                if more {
                    continue;
                }
                if left == 0 {
                    break;
                }
                pause = if left < before { SOON } else { (pause * 2).min(SLOWEST) };
                if timeout(pause, self.woken.notified()).await.is_ok() {
                    // Its commit is about to go out.
                    pause = SOON;
                    tokio::time::sleep(pause).await;
                }
            }
            let _ = timeout(WITHIN, say_goodbye(line)).await;
            let _ = timeout(MOVE_ON, self.woken.notified()).await;
        }
        Ok(())
    }

    /// A connection, and a slot to read.
    async fn begin(&self) -> Result<Line, Fault> {
        tell(&self.way, "changes", &self.slot)?;
        let mut line = open(&self.way).await?;
        ask(&mut line, PREPARE, &mut { ANSWER_BYTES_MAX }).await?;
        let found = setup::look(&mut line, &self.slot).await?;
        if let Some(missing) = found.missing.into_iter().next() {
            return Err(Fault { fact: missing.fact, why: missing.why });
        }
        if found.slot == Slot::Ready {
            return Ok(line);
        }
        tell(&self.way, "slot", &self.slot)?;
        if found.slot == Slot::Lost {
            tracing::error!(slot = self.slot, "the target has dropped what the slot kept; it is made anew");
            let drop = format!("SELECT pg_catalog.pg_drop_replication_slot('{}')", self.slot);
            ask(&mut line, &drop, &mut { ANSWER_BYTES_MAX }).await?;
        }
        let make = format!(
            "SELECT slot_name FROM pg_catalog.pg_create_logical_replication_slot('{}', 'test_decoding')",
            self.slot
        );
        timeout(ANSWER_WITHIN, ask(&mut line, &make, &mut { ANSWER_BYTES_MAX }))
            .await
            .unwrap_or_else(|_| Err("the slot was not made in time".to_owned()))?;
        // What was under way before is not in it.
        self.pending().values_mut().for_each(|pending| pending.lost = true);
        Ok(line)
    }

    /// One look: what became of what is named, the rows of what has committed, and the slot moved on. Whether there is
    /// more to be read at once.
    async fn turn(&self, line: &mut Line) -> Result<bool, Fault> {
        // Before the list is made: what is named later commits later than this.
        let reached = self.reached(line).await?;
        let asked: Vec<u64> = self.pending().keys().take(ASKED_MAX).copied().collect();
        let ended = self.ended(line, &asked).await?;
        let committed: Vec<u64> = ended.committed.iter().map(|(xid, _)| *xid).collect();
        let (mut ticket, mut to, mut more) = (None, Some(reached), false);
        if !committed.is_empty() {
            let read = self.changes(line, &committed, reached).await?;
            more = read.more;
            to = if more { read.last } else { Some(reached) };
            ticket = self.record(line, read, ended, reached).await?;
        } else if !ended.aborted.is_empty() {
            ticket = self.record_aborted(&ended.aborted)?;
        }
        if let Some(ticket) = ticket {
            let recorder = &self.way.engine.recorder;
            let mut waiting = Waiting::default();
            let durable = poll_fn(|cx| recorder.poll_durable(ticket, Need::Fact, &mut waiting, cx)).await;
            durable.map_err(|e| e.to_string())?;
        }
        if let Some(to) = to {
            let text = format!(
                "SELECT pg_catalog.pg_replication_slot_advance(s.slot_name, '{1}'::pg_catalog.pg_lsn) \
                 FROM pg_catalog.pg_replication_slots s \
                 WHERE s.slot_name = '{0}' AND s.confirmed_flush_lsn < '{1}'::pg_catalog.pg_lsn",
                self.slot,
                lsn_text(to)
            );
            ask(line, &text, &mut { ANSWER_BYTES_MAX }).await?;
        }
        Ok(more)
    }

    /// How far the target's log is on its disk.
    async fn reached(&self, line: &mut Line) -> Result<u64, Fault> {
        let text = format!(
            "SELECT pg_catalog.pg_current_wal_flush_lsn(), \
             (SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_flush_lsn(), s.restart_lsn)::pg_catalog.int8 \
              FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = '{}')",
            self.slot
        );
        let rows = ask(line, &text, &mut { ANSWER_BYTES_MAX }).await?;
        let at = |n: usize| rows.first().and_then(|row| row.get(n)?.as_deref());
        self.tell_tally(at(1).and_then(|lag| lag.parse().ok()));
        Ok(at(0).and_then(lsn_of).ok_or("the target does not say how long its log is".to_owned())?)
    }

    /// What became of these transactions.
    async fn ended(&self, line: &mut Line, asked: &[u64]) -> Result<Ended, Fault> {
        let mut ended = Ended::default();
        if asked.is_empty() {
            return Ok(ended);
        }
        let list: Vec<String> = asked.iter().map(u64::to_string).collect();
        // A number that the target has not come to (it was restored from a backup, say) is an error to ask for.
        let text = format!(
            "SELECT x, CASE WHEN x >= n + 1000000 THEN 'never' ELSE s END, pg_catalog.pg_current_wal_insert_lsn() FROM \
             (SELECT x, n, CASE WHEN x < n THEN pg_catalog.txid_status(x) ELSE 'in progress' END AS s FROM \
              (SELECT u.x, pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) AS n \
               FROM pg_catalog.unnest('{{{}}}'::pg_catalog.int8[]) u(x)) a) b",
            list.join(",")
        );
        for row in ask(line, &text, &mut { ANSWER_BYTES_MAX }).await? {
            let at = |n: usize| row.get(n).and_then(|v| v.as_deref());
            let (Some(xid), Some(length)) = (at(0).and_then(|x| x.parse().ok()), at(2).and_then(lsn_of))
            else {
                continue;
            };
            match at(1) {
                Some("aborted") => ended.aborted.push((xid, "rolled-back")),
                Some("never") => ended.aborted.push((xid, "unknown")),
                // Too old for the target to know: the slot tells, if anything does.
                Some("committed") | None => ended.committed.push((xid, length)),
                Some(_) => {}
            }
        }
        Ok(ended)
    }

    /// The changes of these transactions, as far as the target's log is on its disk.
    async fn changes(&self, line: &mut Line, of: &[u64], reached: u64) -> Result<Read, Fault> {
        let limits = self.way.engine.targets.find(&self.way.target).map(|t| t.record).unwrap_or_default();
        let numbers: HashMap<u32, u64> = of.iter().map(|xid| (low(*xid), *xid)).collect();
        let list: Vec<String> = numbers.keys().map(u32::to_string).collect();
        let text = format!(
            "WITH c AS MATERIALIZED (SELECT lsn, xid, data FROM pg_catalog.pg_logical_slot_peek_changes(\
               '{}', '{}'::pg_catalog.pg_lsn, {CHANGES_MAX}, 'include-xids', '0', 'skip-empty-xacts', '1')) \
             SELECT lsn, xid, pg_catalog.left(data, {TEXT_MAX}), pg_catalog.length(data) > {TEXT_MAX} FROM c WHERE xid::pg_catalog.text = ANY ('{{{}}}') \
             UNION ALL SELECT pg_catalog.max(lsn), NULL, pg_catalog.count(*)::pg_catalog.text, NULL FROM c \
             WHERE data LIKE 'COMMIT%' AND lsn <= '{}'::pg_catalog.pg_lsn \
             UNION ALL SELECT NULL, NULL, pg_catalog.count(*)::pg_catalog.text, NULL FROM c",
            self.slot,
            lsn_text(reached),
            list.join(","),
            lsn_text(reached),
        );
        send_query(line, &text).await?;
        let mut read = Read::default();
        let mut room = KEPT_BYTES_MAX;
        let mut open: HashMap<u64, Rows> = HashMap::new();
        each_row(line, |row| {
            let at = |n: usize| row.get(n).and_then(|v| v.as_deref());
            let Some(xid) = at(1).and_then(|xid| xid.parse::<u32>().ok()) else {
                match at(0) {
                    Some(lsn) => read.last = lsn_of(lsn),
                    None => read.more |= at(2).and_then(|n| n.parse().ok()).unwrap_or(0) >= CHANGES_MAX,
                }
                return Ok(());
            };
            let Some(xid) = numbers.get(&xid).copied() else { return Ok(()) };
            match self::read(at(2).unwrap_or_default(), at(3) == Some("t")) {
                Said::Rows(change) => {
                    open.entry(xid).or_insert_with(|| Rows::new(limits)).take(change, &mut room);
                }
                Said::Commit => {
                    let rows = open.remove(&xid).unwrap_or_else(|| Rows::new(limits));
                    read.told.push((xid, at(0).unwrap_or_default().to_owned(), rows));
                }
                Said::Begin | Said::Other => {}
            }
            Ok(())
        })
        .await?;
        // A transaction that is longer than all that is asked for leaves no commit in reach.
        read.more &= read.last.is_some();
        Ok(read)
    }

    /// Records what was read, and what became of the rest.
    async fn record(
        &self,
        line: &mut Line,
        read: Read,
        ended: Ended,
        reached: u64,
    ) -> Result<Option<Ticket>, Fault> {
        let identities = identities(line, &read).await?;
        let engine = &self.way.engine;
        let mut ticket = None;
        let mut told = Vec::new();
        for (xid, lsn, rows) in read.told {
            let Some(Pending { of, spills, .. }) = self.pending().get(&xid).cloned() else { continue };
            told.push(xid);
            let facts = Arc::clone(&of.facts);
            let masks = |(schema, name): &(String, String), columns: &[&str]| {
                let duty =
                    engine.policy.masks_of_rows(&facts, (schema, name), columns, engine.clock.now())?;
                Some(engine.masker.plan(&Arc::new(Obligations { mask: duty, ..Obligations::default() })))
            };
            let identity = |table: &(String, String)| identities.get(table).cloned().unwrap_or_default();
            for event in rows.events(&of, &lsn, spills, identity, masks) {
                ticket = Some(self.append(event)?);
            }
        }
        for (xid, length) in ended.committed {
            if told.contains(&xid) {
                continue;
            }
            let mut pending = self.pending();
            let Some(one) = pending.get_mut(&xid) else { continue };
            let since = *one.committed.get_or_insert(length);
            // All of the log up to its commit has been read: it changed no row that is told.
            if since <= reached && !read.more {
                let coverage = one.lost.then_some(LOST).into_iter().collect();
                let of = one.of.clone();
                drop(pending);
                let how = "committed";
                ticket = Some(self.append(end(of, how, coverage))?);
                told.push(xid);
            }
        }
        ticket = self.record_aborted(&ended.aborted)?.or(ticket);
        let mut pending = self.pending();
        told.iter().for_each(|xid| drop(pending.remove(xid)));
        Ok(ticket)
    }

    fn record_aborted(&self, aborted: &[(u64, &'static str)]) -> Result<Option<Ticket>, Fault> {
        let mut ticket = None;
        for (xid, how) in aborted {
            let Some(one) = self.pending().get(xid).cloned() else { continue };
            let coverage = (*how == "unknown").then_some(FORGOTTEN).into_iter().collect();
            ticket = Some(self.append(end(one.of, how, coverage))?);
            self.pending().remove(xid);
        }
        Ok(ticket)
    }

    fn append(&self, event: Event) -> Result<Ticket, Fault> {
        self.way.engine.recorder.append(event, Need::Fact).map_err(|e| Fault::from(e.to_string()))
    }

    /// One more transaction to be told.
    fn expect(&self, of: Transactional, spills: bool) {
        let Some(xid) = of.xid else { return };
        let given_up = {
            let mut pending = self.pending();
            match pending.get_mut(&xid) {
                Some(known) => {
                    known.of.to = of.to;
                    known.spills |= spills;
                    None
                }
                None => {
                    pending.insert(xid, Pending { of, spills, committed: None, lost: false });
                    if pending.len() > PENDING_MAX {
                        pending.pop_first().map(|(_, oldest)| oldest)
                    } else {
                        None
                    }
                }
            }
        };
        if let Some(oldest) = given_up {
            // When the log does not take it, it is told after the next start.
            let _ = self.append(end(oldest.of, "unknown", vec![FORGOTTEN]));
        }
        self.woken.notify_one();
    }

    fn tell_tally(&self, lag: Option<u64>) {
        let reading = *self.state.borrow() == State::Reading;
        let pending = self.pending().len() as u64;
        let key = (self.way.target.clone(), self.way.database.clone());
        self.way.engine.tally.following(key, Following { reading, lag, pending });
    }
}

/// What became of transactions.
#[derive(Default)]
struct Ended {
    /// With how long the target's log was at least when they had committed.
    committed: Vec<(u64, u64)>,
    /// With the word for it.
    aborted: Vec<(u64, &'static str)>,
}

/// What was read of the slot.
#[derive(Default)]
struct Read {
    /// Number, place of the commit, rows.
    told: Vec<(u64, String, Rows)>,
    /// The last commit of anybody.
    last: Option<u64>,
    /// There is more than was asked for.
    more: bool,
}

fn end(of: Transactional, how: &'static str, coverage: Vec<&'static str>) -> Event {
    Event::TransactionEnded(Box::new(TransactionEnded { of, how, lsn: String::new(), changes: 0, coverage }))
}

/// What is known of the tables in it.
async fn identities(line: &mut Line, read: &Read) -> Result<HashMap<(String, String), Identity>, Fault> {
    let mut tables: Vec<&(String, String)> =
        read.told.iter().flat_map(|(_, _, rows)| rows.tables()).collect();
    tables.sort_unstable();
    tables.dedup();
    let mut found = HashMap::new();
    if tables.is_empty() {
        return Ok(found);
    }
    let list: Vec<String> =
        tables.iter().map(|(schema, name)| format!("({}, {})", literal(schema), literal(name))).collect();
    let text = format!(
        "SELECT n.nspname, c.relname, c.relreplident = 'f', \
         (SELECT pg_catalog.json_agg(a.attname) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a \
            ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) WHERE i.indrelid = c.oid \
            AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END), \
         (SELECT pg_catalog.json_agg(x.v ORDER BY x.n) FROM (SELECT a.attname::pg_catalog.text AS v, a.attnum * 2 AS n \
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped UNION ALL \
            SELECT pg_catalog.format_type(a.atttypid, NULL), a.attnum * 2 + 1 \
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) x) \
         FROM (VALUES {}) t(s, r) JOIN pg_catalog.pg_namespace n ON n.nspname = t.s \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.r",
        list.join(", ")
    );
    for row in ask(line, &text, &mut { ANSWER_BYTES_MAX }).await? {
        let at = |n: usize| row.get(n).and_then(|v| v.as_deref());
        let (Some(schema), Some(name)) = (at(0), at(1)) else { continue };
        let key = at(3).map(names).unwrap_or_default();
        let full = at(2) == Some("t");
        let mut columns = Vec::new();
        let mut listed = at(4).filter(|_| full).map(names).unwrap_or_default().into_iter();
        while let (Some(name), Some(kind)) = (listed.next(), listed.next()) {
            columns.push((name, kind));
        }
        found.insert((schema.to_owned(), name.to_owned()), Identity { full, key, columns });
    }
    Ok(found)
}

/// The names in a JSON array of texts.
fn names(json: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut chars = json.chars();
    while chars.by_ref().any(|c| c == '"') {
        let mut name = String::new();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => name.extend(chars.next()),
                c => name.push(c),
            }
        }
        out.push(name);
    }
    out
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn low(xid: u64) -> u32 {
    u32::try_from(xid & 0xffff_ffff).unwrap_or(0)
}

/// `16/B374D848` as a number.
fn lsn_of(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    Some((u64::from_str_radix(high, 16).ok()? << 32) | u64::from_str_radix(low, 16).ok()?)
}

fn lsn_text(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff)
}

/// A connection of the gateway's own.
pub(in super::super) async fn open(way: &Way) -> Result<Line, String> {
    let gone = || "the target is gone from the configuration".to_owned();
    let target = way.engine.targets.find(&way.target).ok_or_else(gone)?;
    let link = way.links.link(&way.target).ok_or_else(gone)?;
    let credentials = &way.engine.credentials;
    let credential = match way.of_grant {
        true => credentials.making_roles(&target),
        false => credentials.credential(&way.identity, &target),
    };
    let credential = credential.map_err(|e| e.to_string())?;
    let within = link.timeout;
    let connecting = async {
        let stream = way.engine.dialer.dial(&target).await.map_err(|e| e.to_string())?;
        let (line, _) =
            connect(Probe { stream, link, credential: &credential, database: &way.database }).await?;
        Ok(line)
    };
    timeout(within, connecting)
        .await
        .unwrap_or_else(|_| Err("the target's greeting did not come in time".to_owned()))
}

/// Records what the gateway is about to ask.
pub(super) fn tell(way: &Way, what: &str, slot: &str) -> Result<(), String> {
    let mut out = Vec::with_capacity(160);
    let mut o = Object::open(&mut out);
    o.string("database", &way.database);
    if !slot.is_empty() {
        o.string("slot", slot);
    }
    o.string("target", &way.target);
    o.string("what", what);
    o.close();
    let event = Event::Log(LogEvent { kind: "target.asked", leaf: Json::from_written(out) }.into());
    way.engine.recorder.append(event, Need::Intent).map(drop).map_err(|e| e.to_string())
}

/// Names the transactions of one session.
pub(in super::super) struct SessionNaming {
    follower: Arc<Follower>,
    facts: Arc<SessionFacts>,
}

impl SessionNaming {
    pub(in super::super) fn of(follower: Arc<Follower>, facts: &Arc<SessionFacts>) -> Arc<dyn Naming> {
        Arc::new(Self { follower, facts: Arc::clone(facts) })
    }
}

impl Naming for SessionNaming {
    fn name(&self, role: &str, from: u64, to: u64, spills: bool) -> BoxFuture<'static, Verdict> {
        let follower = Arc::clone(&self.follower);
        let facts = match self.facts.role == role {
            true => Arc::clone(&self.facts),
            false => Arc::new(self.facts.with_role(role)),
        };
        Box::pin(async move {
            let xid = match follower.backends.transaction(facts.backend_pid).await {
                // It has changed nothing.
                Some(None) => return Verdict::Goes,
                Some(xid) => xid,
                None => None,
            };
            let strict = facts.durability == Durability::Strict;
            let of = Transactional { facts, xid, from: CommandNumber(from), to: CommandNumber(to) };
            let coverage = xid.is_none().then_some(UNATTRIBUTED).into_iter().collect();
            follower.expect(of.clone(), spills);
            let event = Event::TransactionNamed(Box::new(TransactionNamed { of, coverage }));
            let recorder = &follower.way.engine.recorder;
            // When the log does not take it, neither does it take the outcome: then the session ends.
            let named: Result<Ticket, RecordError> = recorder.append(event, Need::Fact);
            if let (Ok(ticket), true) = (named, strict) {
                let mut waiting = Waiting::default();
                let _ = poll_fn(|cx| recorder.poll_durable(ticket, Need::Fact, &mut waiting, cx)).await;
            }
            Verdict::Goes
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_names_are_read() {
        assert_eq!(lsn_of("16/B374D848"), Some(0x16_b374_d848));
        assert_eq!(lsn_text(0x16_b374_d848), "16/B374D848");
        assert_eq!(lsn_of("x"), None);
        assert_eq!(names(r#"["id", "a\"b"]"#), ["id", "a\"b"]);
    }
}
