//! Ends a session's backend for good: what no code of a statement can catch. Asked over a connection of the gateway's own,
//! with the same credential, and recorded before it is asked (`target.asked`, invariant 12).

use std::future::poll_fn;
use std::sync::Arc;

use firsthand_model::event::{Event, LogEvent};
use firsthand_model::id::SessionId;
use firsthand_model::json::{Json, Object};
use firsthand_model::session::SessionFacts;
use firsthand_session::port::{BoxFuture, Need, Waiting};

use super::catalog::{ask, say_goodbye};
use super::definitions::Way;
use super::own_roles::literal;
use super::wal::open;

/// Bytes of the answer: one row, and what the target notes beside it.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Has the target end a session, for whoever runs it.
pub(super) fn route(
    way: Way,
    pid: u32,
    facts: &Arc<SessionFacts>,
) -> Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync> {
    let (way, facts) = (Arc::new(way), Arc::clone(facts));
    Arc::new(move || {
        let (way, facts) = (Arc::clone(&way), Arc::clone(&facts));
        Box::pin(async move { end(&way, pid, &facts).await })
    })
}

/// Ends the backend of this number, if it is what this session has: of the same role in the same database, and busy for longer
/// than a moment. A pooler in front of the target gives numbers of its own, which must hit nobody else. Whether the target
/// says that it will. The caller puts a time limit around it.
async fn end(way: &Way, pid: u32, facts: &SessionFacts) -> bool {
    let session = facts.id;
    match ended(way, pid, facts).await {
        Ok(ended) => ended,
        Err(why) => {
            let (target, database) = (&way.target, &way.database);
            tracing::warn!(%session, target, database, "a statement past its time cannot be ended at the target: {why}");
            false
        }
    }
}

async fn ended(way: &Way, pid: u32, facts: &SessionFacts) -> Result<bool, String> {
    let session = facts.id;
    let event = Event::Log(LogEvent { kind: "target.asked", leaf: told(way, pid, session) }.into());
    let recorder = &way.engine.recorder;
    let ticket = recorder.append(event, Need::Intent).map_err(|e| e.to_string())?;
    let mut waiting = Waiting::default();
    let durable = poll_fn(|cx| recorder.poll_durable(ticket, Need::Intent, &mut waiting, cx)).await;
    durable.map_err(|e| e.to_string())?;
    let mut line = open(way).await?;
    // Who made the role of a grant is another role than its sessions.
    let role = if way.of_grant { literal(&facts.session_role) } else { "session_user".to_owned() };
    let text = format!(
        "SET search_path TO pg_catalog; SELECT pg_catalog.pg_terminate_backend(s.pid) FROM pg_catalog.pg_stat_activity s \
         WHERE s.pid = {pid} AND s.usename = {role} AND s.datname = pg_catalog.current_database() \
         AND s.state IN ('active', 'fastpath function call') \
         AND s.query_start < pg_catalog.clock_timestamp() - interval '1 second'"
    );
    let rows = ask(&mut line, &text, &mut { ANSWER_BYTES_MAX }).await;
    say_goodbye(line).await;
    Ok(rows?.iter().flatten().flatten().any(|said| said == "t"))
}

fn told(way: &Way, pid: u32, session: SessionId) -> Json {
    let mut out = Vec::with_capacity(160);
    let mut o = Object::open(&mut out);
    o.number("backend", u64::from(pid));
    o.string("database", &way.database);
    o.string("session", &session.to_string());
    o.string("target", &way.target);
    o.string("what", "end");
    o.close();
    Json::from_written(out)
}
