//! The `Roles` port over all protocols: each grant gets a login role of its own at its target, which ends with it. What is known of
//! them is in memory alone, their passwords above all; what an earlier run has left is found at the target by its mark.

mod turns;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firsthand_model::event::{Event, LogEvent};
use firsthand_model::grant::GrantRoles;
use firsthand_model::json::{Json, Object};
use firsthand_model::target::Target;
use firsthand_model::time::MonoMicros;
use firsthand_session::Engine;
use firsthand_session::port::{BoxFuture, Credential, Need, Roles, Waiting};
use firsthand_session::secret::Secret;
use tokio::time::timeout;

use self::turns::{Doors, Turns, disown_within};
use crate::protocol::{LEFTOVER, Link, Links, NewRole, Probe, RoleTask, StreamProtocol};
use crate::registry::STREAM_PROTOCOLS;

/// A session waits this long for the role of its grant: less than `limits.startup`, after which nobody is told anything.
const MADE_WITHIN: Duration = Duration::from_secs(10);
/// What is about to be done is recorded within this time, or not done.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);
/// What could not be ended is tried again after this long, then after twice as long, and so on.
const RETRY: Duration = Duration::from_secs(10);
/// See [`RETRY`].
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Databases in which something is left of a role, one connection each: more are left to people.
const DATABASES_MAX: usize = 100;
/// Leftovers ended in one sweep; the next one goes on.
const SWEPT_MAX: usize = 200;
/// Random bytes of a password.
const PASSWORD_BYTES: usize = 32;
/// Letters of a grant's id in the name of its role, which has 63 in all at the most.
const ID_CHARS: usize = 12;
/// Longer than any grant's id: what is longer in a comment is none.
const GRANT_CHARS: usize = 40;
/// Of functions that were shut, so many are named; all are counted. An entry has one list for all databases.
pub(crate) const SHUT_NAMED: usize = 20;
/// Of why something failed, so much is recorded.
const WHY_CHARS: usize = 300;

/// Makes and ends them. Clones share one table.
#[derive(Clone)]
pub struct Provisions(Arc<Inner>);

struct Inner {
    links: Arc<dyn Links>,
    protocols: Vec<(&'static str, Arc<dyn StreamProtocol>)>,
    /// By target and grant. A role is in it before it is made, and until it is dropped.
    made: Mutex<HashMap<(String, String), Arc<Made>>>,
    turns: Turns,
    /// What failed last of each sweep: the same is not recorded again.
    failed: Mutex<HashMap<String, String>>,
    /// Leftovers that could not be ended yet, by target and role.
    left: Mutex<HashMap<(String, String), Tried>>,
}

/// A role. It keeps what it takes to end it: a reload changes nothing of that.
pub struct Made {
    name: String,
    grant: Arc<str>,
    at: Place,
    credential: Credential,
    /// It is there, and nobody has changed it as far as is known.
    good: AtomicBool,
    /// Somebody is ending it.
    ending: AtomicBool,
    failed: Mutex<Failed>,
}

#[derive(Default)]
struct Failed {
    /// Of ending it.
    tried: Tried,
    why: String,
    again: Option<MonoMicros>,
    /// Why the target let nobody in with it the last time.
    login: String,
}

/// How far ending a role has come.
#[derive(Clone, Default)]
struct Tried {
    /// How often it could not be ended.
    times: u32,
    /// The databases in which something was left of it.
    databases: Vec<String>,
    /// How many of its functions were shut.
    shut: u64,
    /// The names of some.
    named: Vec<String>,
}

impl Tried {
    /// What was shut: how many, and the names of some.
    fn add(&mut self, shut: Vec<String>) {
        let mut shut = shut.into_iter();
        let count = shut.next().and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
        self.shut = self.shut.saturating_add(count);
        self.named.extend(shut.take(SHUT_NAMED.saturating_sub(self.named.len())));
    }

    fn write(&self, o: &mut Object<'_>, role: &str, target: &str) {
        o.strings("reassigned", &self.databases);
        o.string("role", role);
        if self.shut > 0 {
            o.number("shut", self.shut);
            o.strings("shut_functions", &self.named);
        }
        o.string("target", target);
    }
}

impl Made {
    fn failure(&self) -> std::sync::MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The grant.
    pub fn grant(&self) -> &str {
        &self.grant
    }
}

/// Where roles are made, and how.
#[derive(Clone)]
struct Place {
    target: Arc<Target>,
    roles: Arc<GrantRoles>,
    link: Link,
    admin: Credential,
    protocol: Arc<dyn StreamProtocol>,
    mark: String,
    doors: Arc<Doors>,
}

impl Provisions {
    /// At targets that are reached like this.
    pub fn new(links: Arc<dyn Links>) -> Self {
        let protocols = STREAM_PROTOCOLS.iter().map(|listed| (listed.name, (listed.build)())).collect();
        let (made, failed, left) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { links, protocols, made, turns: Turns::default(), failed, left }))
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Arc<Made>>> {
        self.0.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, target: &str, grant: &str) -> Option<Arc<Made>> {
        self.table().get(&(target.to_owned(), grant.to_owned())).cloned()
    }

    /// Whether it is one of this run's.
    fn knows(&self, target: &str, name: &str) -> bool {
        self.table().values().any(|made| made.name == name && made.at.target.name == target)
    }

    fn left(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Tried>> {
        self.0.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, engine: &Engine, target: &Arc<Target>) -> Result<Place, String> {
        let roles = target.roles.clone().ok_or("grants have no roles at this target")?;
        let gone = "the target is gone from the configuration";
        let link = self.0.links.link(&target.name).ok_or(gone)?;
        let admin = engine.credentials.making_roles(target).map_err(|e| e.to_string())?;
        let protocols = &mut self.0.protocols.iter();
        let (_, protocol) = protocols
            .find(|(name, _)| *name == target.protocol)
            .ok_or("nobody speaks the target's protocol")?;
        let (protocol, mark) = (Arc::clone(protocol), mark(engine.recorder.id(), &target.name));
        let doors = self.0.turns.doors(&target.name);
        Ok(Place { target: Arc::clone(target), roles, link, admin, protocol, mark, doors })
    }

    /// Makes it, where it is not there.
    async fn made(
        &self,
        engine: &Engine,
        target: &Arc<Target>,
        grant: &Arc<str>,
    ) -> Result<Credential, String> {
        let good = |made: &Arc<Made>| made.good.load(SeqCst);
        if let Some(made) = self.get(&target.name, grant).filter(good) {
            return Ok(made.credential.clone());
        }
        let at = self.place(engine, target)?;
        // Its prefix may be another one since it was made.
        let there = self.get(&target.name, grant).map(|made| made.name.clone());
        let name = there.unwrap_or_else(|| name_of(&at.roles.prefix, grant, engine.recorder.id()));
        let _turn = self.0.turns.of(&target.name, &name).await;
        let mut tried = Tried::default();
        match self.get(&target.name, grant) {
            Some(made) if good(&made) => return Ok(made.credential.clone()),
            Some(made) if made.name != name => return Err("its name was changed meanwhile".to_owned()),
            // It was broken off in the middle, or the target does not take its password any more.
            Some(made) => {
                tried = made.failure().tried.clone();
                let result = ended(engine, &made.at, &name, &mut tried).await;
                made.failure().tried = tried.clone();
                result?;
            }
            None => {}
        }
        let credential = Credential { user: name.clone(), password: Some(password()?) };
        let made = Arc::new(Made {
            name,
            grant: Arc::clone(grant),
            at,
            credential,
            good: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            // What was done to the one before it is told at the end.
            failed: Mutex::new(Failed { tried: Tried { times: 0, ..tried }, ..Failed::default() }),
        });
        let key = (target.name.clone(), grant.to_string());
        self.table().insert(key, Arc::clone(&made));
        make(engine, &made).await?;
        made.good.store(true, SeqCst);
        Ok(made.credential.clone())
    }

    /// Those whose grant is over (or `all`) and that nobody is ending yet: whoever gets one ends it ([`Provisions::end`]).
    pub fn due(&self, engine: &Engine, all: bool) -> Vec<Arc<Made>> {
        let now = engine.clock.now();
        let waits = |made: &Made| made.failure().again.is_some_and(|again| again > engine.clock.mono());
        let over =
            |made: &&Arc<Made>| all || (engine.grants.over(&made.grant, now).is_some() && !waits(made));
        let mut due: Vec<Arc<Made>> = self.table().values().filter(over).cloned().collect();
        due.retain(|made| !made.ending.swap(true, SeqCst));
        due
    }

    /// Ends a role: nobody logs in with it, its sessions end, what it owns goes to the group, and it is dropped. Where that fails, it
    /// stays due.
    pub async fn end(&self, engine: &Engine, made: &Arc<Made>) {
        let mut tried = made.failure().tried.clone();
        let target = &made.at.target.name;
        let result = {
            let _turn = self.0.turns.of(target, &made.name).await;
            let result = ended(engine, &made.at, &made.name, &mut tried).await;
            if result.is_ok() {
                self.table().remove(&(target.clone(), made.grant.to_string()));
            }
            result
        };
        match result {
            Ok(()) => told(engine, "role.dropped", |o| {
                o.string("grant", &made.grant);
                tried.write(o, &made.name, target);
            }),
            Err(why) => {
                made.good.store(false, SeqCst);
                let mut before = made.failure();
                let pause = RETRY.saturating_mul(1 << tried.times.min(10)).min(RETRY_MAX);
                let pause = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
                before.again = Some(MonoMicros(engine.clock.mono().0.saturating_add(pause)));
                tried.times = tried.times.saturating_add(1);
                before.tried = tried;
                if before.why != why {
                    failed(engine, target, Some(&made.grant), "drop", &why);
                    before.why = why;
                }
            }
        }
        made.ending.store(false, SeqCst);
    }

    /// Ends what an earlier run has left at a target: roles with the mark of this installation that this run knows nothing of. Whether
    /// it got to look.
    pub async fn sweep(&self, engine: &Engine, target: &Arc<Target>) -> bool {
        let result = self.swept(engine, target).await;
        let why = result.err().unwrap_or_default();
        let mut failures = self.0.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = failures.insert(target.name.clone(), why.clone());
        drop(failures);
        if !why.is_empty() && before.is_none_or(|before| before != why) {
            failed(engine, &target.name, None, "sweep", &why);
        }
        why.is_empty()
    }

    /// First nobody can log in any more with any of them, nor run what runs with their rights; only then, and each in its own turn,
    /// what they own is given away: that may take long.
    async fn swept(&self, engine: &Engine, target: &Arc<Target>) -> Result<(), String> {
        let at = self.place(engine, target)?;
        asked(engine, &at, None).await?;
        let listed = at.ask(engine, &target.database, RoleTask::List { mark: &at.mark }).await?;
        let (listed, _) = listed.as_chunks::<2>();
        let left = listed.iter().filter(|[name, _]| !self.knows(&target.name, name)).take(SWEPT_MAX);
        let mut found: Vec<(String, String)> =
            left.map(|[name, about]| (name.clone(), about.clone())).collect();
        let is_left = |name: &String| found.iter().any(|(found, _)| found == name);
        self.left().retain(|(of, name), _| *of != target.name || is_left(name));
        let mut problem = Ok(());
        for (name, _) in &found {
            let _turn = self.0.turns.of(&target.name, name).await;
            // It may have been made anew since.
            if self.knows(&target.name, name) {
                continue;
            }
            let key = (target.name.clone(), name.clone());
            let mut tried = self.left().get(&key).cloned().unwrap_or_default();
            if let Err(why) = closed(engine, &at, name, &mut tried).await {
                problem = Err(format!("{name}: {why}"));
            }
            self.left().insert(key, tried);
        }
        let times = |(name, _): &(String, String)| {
            self.left().get(&(target.name.clone(), name.clone())).map_or(0, |t| t.times)
        };
        found.sort_by_cached_key(times);
        for (name, about) in found {
            if let Err(why) = self.sweep_one(engine, &at, &name, made_for(&about)).await {
                problem = Err(format!("{name}: {why}"));
            }
        }
        problem
    }

    async fn sweep_one(
        &self,
        engine: &Engine,
        at: &Place,
        name: &str,
        grant: Option<&str>,
    ) -> Result<(), String> {
        let _turn = self.0.turns.of(&at.target.name, name).await;
        if self.knows(&at.target.name, name) {
            return Ok(());
        }
        let key = (at.target.name.clone(), name.to_owned());
        let mut tried = self.left().remove(&key).unwrap_or_default();
        let result = ended(engine, at, name, &mut tried).await;
        match result {
            Ok(()) => swept(engine, at, (name, grant), &tried),
            Err(_) => {
                tried.times = tried.times.saturating_add(1);
                self.left().insert(key, tried);
            }
        }
        result
    }
}

impl Roles for Provisions {
    fn of_grant<'a>(
        &'a self,
        engine: &'a Arc<Engine>,
        target: &'a Arc<Target>,
        grant: &'a Arc<str>,
    ) -> BoxFuture<'a, Result<Credential, String>> {
        Box::pin(async move {
            let late = |_| Err("it was not made in time".to_owned());
            let made = timeout(MADE_WITHIN, self.made(engine, target, grant)).await.unwrap_or_else(late);
            if let Err(why) = &made {
                failed(engine, &target.name, Some(grant), "make", why);
            }
            made
        })
    }

    fn known(&self, target: &str, grant: &str) -> Option<Credential> {
        self.get(target, grant).filter(|made| made.good.load(SeqCst)).map(|made| made.credential.clone())
    }

    fn spoilt(&self, target: &str, grant: &str) {
        if let Some(made) = self.get(target, grant) {
            made.good.store(false, SeqCst);
        }
    }

    fn not_let_in(&self, engine: &Engine, target: &str, grant: &str, why: &str) {
        let Some(made) = self.get(target, grant) else { return };
        let mut before = made.failure();
        if before.login != why {
            why.clone_into(&mut before.login);
            failed(engine, target, Some(grant), "login", why);
        }
    }
}

impl Place {
    async fn ask(&self, engine: &Engine, database: &str, task: RoleTask<'_>) -> Result<Vec<String>, String> {
        let (_place, within) = self.doors.enter(&task).await?;
        let asking = async {
            let stream = engine.dialer.dial(&self.target).await.map_err(|e| e.to_string())?;
            let (link, credential) = (self.link.clone(), &self.admin);
            self.protocol.roles(Probe { stream, link, credential, database }, task).await
        };
        timeout(within, asking).await.unwrap_or_else(|_| Err("the target did not answer in time".to_owned()))
    }
}

async fn make(engine: &Engine, made: &Made) -> Result<(), String> {
    let Made { at, name, grant, credential, .. } = made;
    let until =
        engine.grants.end(grant).filter(|end| *end > engine.clock.now()).ok_or("its grant is over")?;
    let password = credential.password.as_ref().ok_or("it has no password")?;
    let about = about(grant);
    let role = NewRole {
        name,
        group: &at.roles.group,
        password,
        until,
        connections: at.roles.connections,
        mark: &at.mark,
        about: &about,
    };
    asked(engine, at, Some(name)).await?;
    let database = &at.target.database;
    let mut answer = at.ask(engine, database, RoleTask::Make(&role)).await?;
    if answer.iter().any(|word| word == LEFTOVER) {
        let mut tried = Tried::default();
        ended(engine, at, name, &mut tried).await?;
        swept(engine, at, (name, Some(&**grant)), &tried);
        answer = at.ask(engine, database, RoleTask::Make(&role)).await?;
    }
    if !answer.is_empty() {
        return Err("a role of its name is there, and comes back".to_owned());
    }
    told(engine, "role.made", |o| {
        o.number("connections", u64::from(role.connections));
        o.string("grant", grant);
        o.string("group", role.group);
        o.string("role", name);
        o.string("target", &at.target.name);
        o.number("until", until.0);
    });
    Ok(())
}

/// Ends a role, if it is there and has the mark.
async fn ended(engine: &Engine, at: &Place, name: &str, tried: &mut Tried) -> Result<(), String> {
    let databases = closed(engine, at, name, tried).await?;
    let (group, within) = (&at.roles.group, disown_within(tried.times));
    for database in databases {
        let task = RoleTask::Disown { name, group, within };
        tried
            .add(at.ask(engine, &database, task).await.map_err(|why| format!("database {database}: {why}"))?);
        if !tried.databases.contains(&database) {
            tried.databases.push(database);
        }
    }
    at.ask(engine, &at.target.database, RoleTask::Drop { name, mark: &at.mark }).await.map(drop)
}

/// Nobody logs in with it any more, nobody who has is there, and nobody runs what runs with its rights. That is so however long giving
/// away what it owns takes, or fails: it is committed before. The databases in which something hangs on it.
async fn closed(engine: &Engine, at: &Place, name: &str, tried: &mut Tried) -> Result<Vec<String>, String> {
    asked(engine, at, Some(name)).await?;
    let task = RoleTask::Close { name, mark: &at.mark };
    let databases = at.ask(engine, &at.target.database, task).await?;
    if databases.len() > DATABASES_MAX {
        return Err(format!("it owns something in more than {DATABASES_MAX} databases"));
    }
    // In all of them, whatever fails in one.
    let mut problem = Ok(());
    for database in &databases {
        let task = RoleTask::Shut { name, group: &at.roles.group };
        match at.ask(engine, database, task).await {
            Ok(shut) => tried.add(shut),
            Err(why) => problem = Err(format!("database {database}: {why}")),
        }
    }
    problem.map(|()| databases)
}

fn swept(engine: &Engine, at: &Place, (name, grant): (&str, Option<&str>), tried: &Tried) {
    told(engine, "role.swept", |o| {
        if let Some(grant) = grant {
            o.string("grant", grant);
        }
        tried.write(o, name, &at.target.name);
    });
}

/// Records what is about to be asked, and waits until that is durable (invariant 12). `role`: which one; all of them without it.
async fn asked(engine: &Engine, at: &Place, role: Option<&str>) -> Result<(), String> {
    let mut out = Vec::with_capacity(160);
    let mut o = Object::open(&mut out);
    o.string("database", &at.target.database);
    if let Some(role) = role {
        o.string("role", role);
    }
    o.string("target", &at.target.name);
    o.string("what", if role.is_some() { "role" } else { "roles" });
    o.close();
    let event = Event::Log(LogEvent { kind: "target.asked", leaf: Json::from_written(out) }.into());
    let ticket = engine.recorder.append(event, Need::Fact).map_err(|e| e.to_string())?;
    let mut waiting = Waiting::default();
    let durable = poll_fn(|cx| engine.recorder.poll_durable(ticket, Need::Intent, &mut waiting, cx));
    let late = |_| "the record does not take it in time".to_owned();
    timeout(RECORDED_WITHIN, durable).await.map_err(late)?.map_err(|e| e.to_string())
}

fn told(engine: &Engine, kind: &'static str, facts: impl FnOnce(&mut Object<'_>)) {
    let mut out = Vec::with_capacity(200);
    let mut o = Object::open(&mut out);
    facts(&mut o);
    o.close();
    let event = Event::Log(LogEvent { kind, leaf: Json::from_written(out) }.into());
    if let Err(e) = engine.recorder.append(event, Need::Fact) {
        tracing::error!("the record does not take {kind}: {e}");
    }
}

fn failed(engine: &Engine, target: &str, grant: Option<&str>, what: &str, why: &str) {
    let why: String = why.chars().take(WHY_CHARS).collect();
    tracing::warn!(target, grant, "the role of a grant, {what}: {why}");
    told(engine, "role.failed", |o| {
        if let Some(grant) = grant {
            o.string("grant", grant);
        }
        o.string("target", target);
        o.string("what", what);
        o.string("why", &why);
    });
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// How comments of roles begin that this installation has made for a target.
fn mark(log: [u8; 16], target: &str) -> String {
    format!("Firsthand {}/{target}: ", hex(&log))
}

/// What the comment of a role says behind the mark.
fn about(grant: &str) -> String {
    format!("made for {grant}, dropped with it")
}

/// The grant that [`about`] tells of. Those who may comment on the role may have written something else.
fn made_for(about: &str) -> Option<&str> {
    let (grant, _) = about.strip_prefix("made for ")?.split_once(", ")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (grant.starts_with("gr-") && grant.len() <= GRANT_CHARS && grant.bytes().all(plain)).then_some(grant)
}

/// The name of a grant's role. Gateways that share their state have one each: it says whose it is by its last letters.
fn name_of(prefix: &str, grant: &str, log: [u8; 16]) -> String {
    let id = grant.strip_prefix("gr-").unwrap_or(grant);
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let id: String = id.chars().take(ID_CHARS).map(letter).collect();
    let whose = hex(log.get(13..).unwrap_or_default());
    format!("{prefix}{id}_{whose}")
}

fn password() -> Result<Secret, String> {
    let mut bytes = zeroize::Zeroizing::new([0u8; PASSWORD_BYTES]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| "there are no random bytes")?;
    Ok(Secret::new(hex(bytes.as_slice())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_grant_and_whose_they_are_and_fit() {
        let log = [0xab; 16];
        assert_eq!(name_of("fh_grant_", "gr-7k3m9xq2vb", log), "fh_grant_7k3m9xq2vb_ababab");
        assert_ne!(
            name_of("fh_grant_", "gr-7k3m9xq2vb", [1; 16]),
            name_of("fh_grant_", "gr-7k3m9xq2vb", log)
        );
        // Whatever an id is, the name is one that needs no quotes and is not cut.
        let odd = name_of(&"p".repeat(40), &format!("gr-A\"; '{}", "é".repeat(90)), log);
        assert!(odd.len() <= 63 && odd.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()), "{odd}");
    }

    #[test]
    fn marks_are_of_one_installation_and_one_target() {
        let own = mark([0xab; 16], "shop");
        assert!(own.starts_with("Firsthand abababab") && own.ends_with("/shop: "), "{own}");
        for other in [mark([1; 16], "shop"), mark([0xab; 16], "shop2"), mark([0xab; 16], "sho")] {
            assert!(!own.starts_with(&other) && !other.starts_with(&own));
        }
    }

    #[test]
    fn a_comment_tells_the_grant_or_nothing() {
        assert_eq!(made_for(&about("gr-7k3m9xq2vb")), Some("gr-7k3m9xq2vb"));
        for other in [
            "",
            "made for gr-x",
            "made for ap-x, dropped",
            "made for gr-a b, c",
            &about(&format!("gr-{}", "x".repeat(90))),
        ] {
            assert_eq!(made_for(other), None, "{other}");
        }
    }

    #[test]
    fn no_two_passwords_are_the_same_and_none_is_shown() {
        let (one, two) = (password().unwrap(), password().unwrap());
        assert!(one.expose() != two.expose() && one.expose().len() == 2 * PASSWORD_BYTES);
        assert_eq!(format!("{one:?}"), "***");
    }
}
