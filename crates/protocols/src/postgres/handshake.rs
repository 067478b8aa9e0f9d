//! How a PostgreSQL connection begins, from the first byte to a running session: greet the client, admit it, log in to the
//! target with the gateway's own credential, record the opening, pass the target's greeting on.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use firsthand_model::identity::{Claim, ClientFacts};
use firsthand_model::json::{Json, Object, write_lossy};
use firsthand_model::session::RoleOf;
use firsthand_model::target::{ChangedRows, Mode};
use firsthand_session::admission::CREDENTIAL;
use firsthand_session::port::BoxFuture;
use firsthand_session::{Admitted, Bound, Refusal, RefusalKind};
use firsthand_sql::state::{Start, identifiers};
use firsthand_wire::postgres::backend::Authentication;
use firsthand_wire::postgres::reply;
use firsthand_wire::postgres::startup::{self, ProtocolVersion};

use super::Postgres;
use super::changed::TableSource;
use super::definitions::Way;
use super::dialect::{MESSAGE_BYTES_MAX, PostgresDialect, Setup};
use super::ending;
use super::handshake_client::{self as client, Hello, Opening};
use super::handshake_target::{self as target, Accepted, TargetError};
use super::knowing::Knowing;
use super::refuse;
use super::settings;
use super::wal::{self, Follower, Naming, SessionNaming};
use crate::drive::line::Line;
use crate::drive::sessions::CancelRoute;
use crate::protocol::{Beginning, Begun, Ready};

/// Bytes of a cancel key in protocol 3.0 (fixed) and from 3.2 on (PostgreSQL 18 uses 32).
const CANCEL_KEY_3_0: usize = 4;
const CANCEL_KEY_3_2: usize = 32;

/// Leads a connection to a session.
pub(super) async fn begin(line: &mut Line, with: &Beginning<'_>, it: &Postgres) -> Begun {
    let hello = match client::open(line, with).await {
        Ok(Opening::Startup(hello)) => hello,
        Ok(Opening::Cancel(key)) => return Begun::Cancel(key),
        Err(_) => return Begun::Ended,
    };
    let Ok(proven) = client::prove(line, with, &hello).await else { return Begun::Ended };
    let facts = ClientFacts {
        tls: line.tls.as_ref().map(|t| t.version.clone()),
        method: proven.method,
        protocol: format!("postgres {}", hello.version),
        ..with.client.clone()
    };
    with.engine.prepare(&proven.proof).await;
    let admitted = match with.engine.admit(&proven.proof, &hello.wanted, &facts) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            client::refuse(line, &refusal).await;
            return Begun::Ended;
        }
    };
    match connect(with, it, &hello, &facts, admitted, proven.on_success).await {
        Ok(ready) => Begun::Session(Box::new(ready)),
        Err(told) => {
            let _ = line.send(&told).await;
            Begun::Ended
        }
    }
}

/// How long a session waits for what its database defines: less than `limits.startup`, after which nobody is told anything.
const KNOW_WITHIN: Duration = Duration::from_secs(8);

/// Admitted: log in to the target and open the session. The error is what the client is told.
async fn connect(
    with: &Beginning<'_>,
    it: &Postgres,
    hello: &Hello,
    facts: &ClientFacts,
    mut admitted: Admitted,
    on_success: Bytes,
) -> Result<Ready, Bytes> {
    let told = |refusal: &Refusal| -> Bytes { greeted(&on_success, &refuse::fatal(refusal)) };
    may_begin(with, hello, facts, &mut admitted).await.map_err(|refusal| told(&refusal))?;
    let Reached { target, accepted, session_role, role, search_path, read_only, named } =
        match reach(with, hello, facts, &admitted).await {
            Ok(reached) => reached,
            Err(Unreached::Refused(refusal)) => return Err(told(&refusal)),
            Err(Unreached::Target(e)) => {
                return Err(failed(with, hello, (facts, &admitted), &e, &on_success));
            }
        };
    let (forward, way) = (cancel_route(with, &admitted, &accepted), way(with, &admitted));
    let (database, changed) = (admitted.database.clone(), admitted.target.changed);
    let start = search_path.as_ref().map(|path| start_of(hello, &role, path));
    let knowing = know(with, it, (hello, facts), (&admitted, &accepted), start).await;
    let knowing = knowing.map_err(|refusal| told(&refusal))?;
    let (pid, pinned) = (accepted.backend.0, read_only.then_some(accepted.backend.0));
    let Telling { tables, follower, watch, coverage } = telling(with, it, hello, &admitted, pinned).await;
    let bound = Bound {
        client: facts.clone(),
        claims: claims(&hello.parameters),
        session_role: session_role.clone(),
        role: role.clone(),
        backend_pid: pid,
        server_version: accepted.parameter("server_version").to_owned(),
        parameters: passed_on(&hello.parameters),
        coverage,
    };
    let (session, admission) = with.engine.open(admitted, bound).await.map_err(|refusal| told(&refusal))?;
    if !hello.wanted.unobserved {
        session
            .note("asked", asked(&role, search_path.as_deref(), read_only, named.as_deref()))
            .map(drop)
            .map_err(|_| told(&Refusal::not_recorded()))?;
    }
    tracing::debug!(session = %session.facts().id, database, "session opened");
    let key = cancel_key(with, hello);
    let mut greeting = BytesMut::from(&greeted(&on_success, &accepted.before_key)[..]);
    reply::encode_backend_key_data(&mut greeting, pid, &key);
    greeting.extend_from_slice(&accepted.after_key);
    let (canceller, end) = (session.canceller(), ending::route(way, pid, session.facts()));
    let route = CancelRoute { canceller, forward, end };
    let setup = Setup {
        analyzer: Arc::clone(&it.analyzer),
        knowing,
        parameters: accepted.parameters,
        session_role,
        role,
        session: session.facts().id,
        budget: Arc::clone(with.budget),
        message_bytes_max: MESSAGE_BYTES_MAX,
        changed: if changed == ChangedRows::Wal { ChangedRows::Off } else { changed },
        tables,
        unobserved: hello.wanted.unobserved,
    };
    let naming = follower.map(|follower| SessionNaming::of(follower, session.facts()));
    let dialect = PostgresDialect::new(admission, setup).read_only(read_only).naming(naming);
    let (dialect, greeting) = (Box::new(dialect.watched(watch)), greeting.freeze());
    let cancel = Some((client::cancel_key(pid, &key), route));
    Ok(Ready { session, dialect, target, greeting, cancel })
}

/// A key of the gateway's own, by which the client cancels.
fn cancel_key(with: &Beginning<'_>, hello: &Hello) -> Vec<u8> {
    let mut key =
        vec![0; if hello.version >= ProtocolVersion::V3_2 { CANCEL_KEY_3_2 } else { CANCEL_KEY_3_0 }];
    (with.random)(&mut key);
    key
}

/// Who tells which rows the session's writes touch. Where that is the target's own log, what the client asks stays as it is.
#[derive(Default)]
struct Telling {
    tables: Option<Arc<dyn TableSource>>,
    follower: Option<Arc<Follower>>,
    /// Of a session that may only read: whether it did.
    watch: Option<Arc<dyn Naming>>,
    /// What the session will not observe.
    coverage: Vec<&'static str>,
}

/// `pinned`: the session may only read, in this backend.
async fn telling(
    with: &Beginning<'_>,
    it: &Postgres,
    hello: &Hello,
    admitted: &Admitted,
    pinned: Option<u32>,
) -> Telling {
    let (mut telling, read_only) = (Telling::default(), pinned.is_some());
    if !hello.wanted.unobserved {
        telling.watch = pinned.map(|pid| it.watchers.of(way(with, admitted), pid));
    }
    match admitted.target.changed {
        _ if hello.wanted.unobserved => telling.coverage.push("unobserved"),
        ChangedRows::Off => {
            telling.coverage.push("changed-rows:off");
            telling.tables = it.askers.of(way(with, admitted)).filter(|_| !read_only);
        }
        ChangedRows::Keys | ChangedRows::Values if read_only => {}
        ChangedRows::Keys | ChangedRows::Values => telling.tables = it.askers.of(way(with, admitted)),
        ChangedRows::Wal => {
            let follower = it.followers.of(way(with, admitted), Vec::new());
            let why_not = match &follower {
                Some(follower) => follower.why_not().await,
                None => Some(wal::UNREACHED),
            };
            // For limits alone.
            telling.tables = it.askers.of(way(with, admitted)).filter(|_| !read_only);
            telling.follower = follower.filter(|_| why_not.is_none() && !read_only);
            telling.coverage.extend(why_not);
        }
    }
    telling
}

/// What the client is told when the target does not let the gateway in.
fn failed(
    with: &Beginning<'_>,
    hello: &Hello,
    (facts, admitted): (&ClientFacts, &Admitted),
    e: &TargetError,
    on_success: &Bytes,
) -> Bytes {
    // Its words may quote what the client sent.
    let said = e.to_string();
    let said = super::parameters::without_credentials(said.as_bytes()).unwrap_or(said);
    if let RoleOf::Grant(grant) = &admitted.role_of {
        let (roles, target) = (&with.engine.roles, &admitted.target.name);
        match e.why() {
            _ if e.is_of_the_password() => roles.spoilt(target, grant),
            CREDENTIAL => roles.not_let_in(with.engine, target, grant, &said),
            _ => {}
        }
    }
    let refusal = with.engine.target_failed(&hello.wanted, facts, e.why(), &said);
    greeted(on_success, &e.relay().unwrap_or_else(|| refuse::fatal(&refusal)))
}

/// A token that stands where something else belongs would be handed on to the target, where others can read it.
fn refuse_tokens(with: &Beginning<'_>, hello: &Hello, facts: &ClientFacts) -> Result<(), Refusal> {
    let holds = |text: &[u8]| firsthand_sql::holds_token(&String::from_utf8_lossy(text));
    let Some((name, _)) = hello.parameters.iter().find(|(name, value)| holds(name) || holds(value)) else {
        return Ok(());
    };
    let name = if holds(name) {
        "a parameter's name".to_owned()
    } else {
        String::from_utf8_lossy(name).into_owned()
    };
    let why = format!("a token of Firsthand stands in {name}, which the target would be told");
    with.engine.record_refused(false, "misplaced-token", &hello.wanted, facts, &why);
    let text = format!(
        "{why}: put it where the password belongs, and leave {name} without it; if it went elsewhere too, have it revoked"
    );
    Err(Refusal::new(RefusalKind::Identity, text))
}

/// There may be too many sessions of this identity, and what the client would begin with is a setting like any other. Whoever may
/// begin gets the role of a grant, where grants have some.
async fn may_begin(
    with: &Beginning<'_>,
    hello: &Hello,
    facts: &ClientFacts,
    admitted: &mut Admitted,
) -> Result<(), Refusal> {
    let application = claims(&hello.parameters).pop().map(|claim| claim.value).unwrap_or_default();
    refuse_tokens(with, hello, facts)?;
    let settings = settings::of(&hello.parameters);
    let said = settings.join(", ");
    let said = super::parameters::without_credentials(said.as_bytes()).unwrap_or(said);
    // Who is refused takes no place before.
    with.engine.may_begin_with(settings, (&application, &said), admitted, &hello.wanted, facts)?;
    with.engine.sit(admitted, &application, &hello.wanted, facts)?;
    with.engine.take_role(admitted, &hello.wanted, facts).await
}

/// How the gateway itself asks that database.
fn way(with: &Beginning<'_>, admitted: &Admitted) -> Way {
    Way {
        engine: Arc::clone(with.engine),
        links: Arc::clone(with.links),
        learner: Arc::clone(with.learner),
        identity: Arc::clone(&admitted.identity),
        target: admitted.target.name.clone(),
        database: admitted.database.clone(),
        of_grant: matches!(admitted.role_of, RoleOf::Grant(_)),
    }
}

/// What a session begins with.
fn start_of(hello: &Hello, role: &str, search_path: &str) -> Start {
    Start {
        user: role.to_owned(),
        search_path: identifiers(search_path),
        unlimited_time: !settings::limits_time(&settings::of(&hello.parameters)),
    }
}

/// What is known there, for judging its statements; nothing where they are not judged.
async fn know(
    with: &Beginning<'_>,
    it: &Postgres,
    (hello, facts): (&Hello, &ClientFacts),
    (admitted, accepted): (&Admitted, &Accepted),
    start: Option<Start>,
) -> Result<Option<Knowing>, Refusal> {
    let Some(start) = start else { return Ok(None) };
    let opening = it.definitions.open(way(with, admitted));
    let late = "the definitions of its database could not be read in time";
    let failed = |_| with.engine.target_failed(&hello.wanted, facts, "unreachable", late);
    let snapshot = tokio::time::timeout(KNOW_WITHIN, opening).await.map_err(failed)?;
    let (engine, identity) = (Arc::clone(with.engine), Arc::clone(&admitted.identity));
    let (target, database) = (admitted.target.name.clone(), admitted.database.clone());
    let may_hold = Box::new(move |effects| engine.policy.may_hold(&identity, &target, &database, effects));
    Ok(Some(Knowing::new(Arc::clone(&it.judge), snapshot, may_hold, start, &accepted.parameters)))
}

/// What the gateway asked for itself, and what it was told.
fn asked(role: &str, search_path: Option<&str>, read_only: bool, named: Option<&str>) -> Json {
    let mut out = Vec::new();
    let mut o = Object::open(&mut out);
    if let Some(named) = named {
        o.string(target::NAME, named);
    }
    o.string("role", role);
    if let Some(path) = search_path {
        o.string("search_path", path);
    }
    if read_only {
        let (name, value) = target::READ_ONLY;
        o.string("set", &format!("{name}={value}"));
    }
    o.string("text", if read_only { target::WHO_READ_ONLY } else { target::WHO });
    if search_path.is_some() {
        o.string("then", target::SEARCH_PATH);
    }
    o.close();
    Json::from_written(out)
}

/// SASL's last word and AuthenticationOk come before anything else the admitted client is told.
fn greeted(on_success: &[u8], then: &[u8]) -> Bytes {
    let mut out = BytesMut::from(on_success);
    reply::encode_authentication(&mut out, Authentication::Ok);
    out.extend_from_slice(then);
    out.freeze()
}

/// A target that let the gateway in.
struct Reached {
    target: Line,
    accepted: Accepted,
    session_role: String,
    role: String,
    /// Asked for only where somebody wants to know what statements mean.
    search_path: Option<String>,
    /// Its transactions are READ ONLY, because it may only read.
    read_only: bool,
    /// What it is called there, where its client has not named it.
    named: Option<String>,
}

enum Unreached {
    Refused(Refusal),
    Target(TargetError),
}

async fn reach(
    with: &Beginning<'_>,
    hello: &Hello,
    facts: &ClientFacts,
    admitted: &Admitted,
) -> Result<Reached, Unreached> {
    let Some(link) = with.links.link(&admitted.target.name) else {
        // Removed by a reload between the admission and now.
        let refusal = Refusal::new(
            RefusalKind::Unavailable,
            "Firsthand no longer knows this target: it was taken out of the configuration; ask the operator",
        );
        return Err(Unreached::Refused(refusal));
    };
    let stream = with.engine.dial(admitted, &hello.wanted, facts).await.map_err(Unreached::Refused)?;
    let mut line = Line::new(stream);
    let read_only = may_only_read(with, admitted);
    let (mut parameters, named) = (hello.parameters.clone(), name_of(hello, admitted));
    if let Some(named) = &named {
        parameters.push((target::NAME.as_bytes().to_vec(), named.as_bytes().to_vec()));
    }
    if read_only {
        let (name, value) = target::READ_ONLY;
        parameters.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    }
    let login = async {
        target::secure(&mut line, &link).await?;
        let accepted =
            target::log_in(&mut line, &admitted.credential, &admitted.database, &parameters).await?;
        // A replication connection may not take SQL; there the role stays the one that logged in.
        let user = &admitted.credential.user;
        let roles = match hello.wanted.unobserved {
            true => (user.clone(), user.clone()),
            false => target::who(&mut line, read_only).await?,
        };
        if matches!(admitted.role_of, RoleOf::Grant(_)) && roles.0 != *user {
            return Err(TargetError::AnotherRole);
        }
        let search_path = match with.learner.is_curious() && !hello.wanted.unobserved {
            true => Some(target::search_path(&mut line).await?),
            false => None,
        };
        Ok((accepted, roles, search_path))
    };
    match tokio::time::timeout(link.timeout, login).await {
        Ok(Ok((accepted, (session_role, role), search_path))) => {
            Ok(Reached { target: line, accepted, session_role, role, search_path, read_only, named })
        }
        Ok(Err(e)) => Err(Unreached::Target(e)),
        Err(_) => Err(Unreached::Target(TargetError::Io(std::io::ErrorKind::TimedOut.into()))),
    }
}

/// What the session is called at the target: by its id, so that the target's own log leads to the record. A client that names
/// itself keeps its name, also an empty one. What is not observed (replication) is left as it is: a standby is known by its name.
fn name_of(hello: &Hello, admitted: &Admitted) -> Option<String> {
    let named = |setting: &String| setting.split('=').next() == Some(target::NAME);
    let bytes = hello.parameters.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
    let leave = hello.wanted.unobserved
        || settings::of(&hello.parameters).iter().any(named)
        || hello.parameters.iter().any(|(name, value)| name == b"options" && speaks_of_it(value))
        // The target takes no more than so much: who comes near it goes without a name.
        || bytes > startup::MAX_STARTUP_LEN - STARTUP_ROOM;
    (admitted.target.name_sessions && !leave).then(|| format!("firsthand {}", admitted.id))
}

/// Room in the startup packet for what the gateway says itself: user and database, which have 63 bytes each, the name, a setting.
const STARTUP_ROOM: usize = 512;

/// Whether options name the session, in whatever way: also behind flags that are written in one.
fn speaks_of_it(options: &[u8]) -> bool {
    let options = String::from_utf8_lossy(options).to_lowercase().replace('-', "_");
    options.contains(target::NAME)
}

/// Whether the rules can never let this identity change anything there: then the server is told so, too. Observing refuses
/// nothing, so nothing is kept from it.
fn may_only_read(with: &Beginning<'_>, admitted: &Admitted) -> bool {
    let Admitted { identity, target, database, .. } = admitted;
    target.pin_read_only
        && target.mode == Mode::Enforce
        && with.learner.is_curious()
        && !with.engine.policy.may_change(identity, &target.name, database)
}

/// A cancel request of the client becomes one of the gateway at the target, over the same kind of connection.
fn cancel_route(
    with: &Beginning<'_>,
    admitted: &Admitted,
    accepted: &Accepted,
) -> Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync> {
    let (engine, links) = (Arc::clone(with.engine), Arc::clone(with.links));
    let (at, (pid, key)) = (Arc::clone(&admitted.target), accepted.backend.clone());
    Arc::new(move || {
        let (engine, links) = (Arc::clone(&engine), Arc::clone(&links));
        let (at, key) = (Arc::clone(&at), key.clone());
        Box::pin(async move {
            let mut request = BytesMut::new();
            let (Some(link), Ok(stream), Ok(())) = (
                links.link(&at.name),
                engine.dialer.dial(&at).await,
                startup::encode_cancel(&mut request, pid, &key),
            ) else {
                return;
            };
            let mut line = Line::new(stream);
            if target::secure(&mut line, &link).await.is_ok() && line.send(&request).await.is_ok() {
                // The server closes when it has passed the signal on; then the client may be told by closing, too.
                while line.fill().await.is_ok() {}
            }
        })
    })
}

/// What the client says of itself; some put a connection string there. Of a parameter that is given twice the target takes the last.
fn claims(parameters: &[(Vec<u8>, Vec<u8>)]) -> Vec<Claim> {
    let name = target::NAME;
    let said = parameters.iter().rev().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
    let claim = |value: &[u8]| {
        let masked = super::parameters::without_credentials(value);
        let value = masked.unwrap_or_else(|| String::from_utf8_lossy(value).into_owned());
        Claim { name: name.to_owned(), value }
    };
    said.map(|(_, value)| claim(value)).into_iter().collect()
}

/// The startup parameters that went to the target, all of them in their order, as `[{"name":…,"value":…},…]` for the
/// record: of a name that is given twice, the target takes the last.
fn passed_on(parameters: &[(Vec<u8>, Vec<u8>)]) -> Json {
    if parameters.is_empty() {
        return Json::default();
    }
    let mut out = Vec::new();
    out.push(b'[');
    for (i, (name, value)) in parameters.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let mut o = Object::open(&mut out);
        write_lossy(o.key("name"), name);
        super::parameters::write_said(o.key("value"), value);
        o.close();
    }
    out.push(b']');
    Json::from_written(out)
}

/// Says no before anything was read.
pub(super) async fn turn_away(line: &mut Line, refusal: &Refusal) {
    // Drivers read an error only in answer to their startup, so that is waited for; the driver's time limit bounds it.
    if client::until_startup(line).await.is_ok() {
        let _ = line.send(&refuse::fatal(refusal)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_parameter_given_twice_both_are_told_and_the_last_is_claimed() {
        let said = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let parameters = [
            said("search_path", "public"),
            said("application_name", "one"),
            said("search_path", "evil"),
            said("Application_Name", "postgresql://a:secret@b/c"),
        ];
        let told = String::from_utf8(passed_on(&parameters).as_bytes().to_vec()).unwrap();
        assert!(told.find("public").unwrap() < told.find("evil").unwrap(), "{told}");
        let claims = claims(&parameters);
        assert!(claims.len() == 1 && claims[0].value.starts_with("postgresql://a:"), "{claims:?}");
        assert!(!told.contains("secret") && !claims[0].value.contains("secret"), "{told} {claims:?}");
    }
}
