//! Targets whose changes are read (`changed_rows = "wal"`): begun with the gateway, so that nothing is kept for it at a target
//! longer than need be, and told first what an earlier run has named and not seen the end of.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use firsthand_adapters::clock::wall;
use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::reader::Reader;
use firsthand_auditlog::search::Search;
use firsthand_auditlog::search::query::Query;
use firsthand_model::id::SessionId;
use firsthand_model::identity::{Identity, IdentityKind, Link, Trust};
use firsthand_model::session::SessionFacts;
use firsthand_model::target::{ChangedRows, Durability, Mode};
use firsthand_protocols::protocol::{Follow, Unread};

use crate::assemble::Gateway;

/// How far back is looked for transactions without an end. A gateway that was stopped for longer finds the slot invalid at
/// most targets (`max_slot_wal_keep_size`); and a search that goes by the indexes reads a week in no time.
const LOOK_BACK: &str = "kind:transaction since:7d";
/// Transactions taken over from an earlier run.
const UNREAD_MAX: usize = 65_536;

/// Begins to follow what is configured.
pub(crate) async fn begin(gateway: &Gateway) {
    let config = gateway.config.load_full();
    let followed: Vec<_> =
        config.targets.iter().filter(|t| t.target.changed == ChangedRows::Wal).map(|t| &t.target).collect();
    if followed.is_empty() {
        return;
    }
    let data = gateway.data_dir();
    let unread = tokio::task::spawn_blocking(move || unread(&data)).await.unwrap_or_default();
    let identity = Arc::new(Identity::default());
    for target in followed {
        let Some((_, server)) = gateway.servers.iter().find(|(l, _)| l.protocol == target.protocol) else {
            continue;
        };
        for database in std::iter::once(&target.database).chain(&target.databases) {
            let mine = |it: &&Unread| it.facts.target == target.name && it.facts.database == *database;
            server.protocol.follow(Follow {
                engine: Arc::clone(&gateway.engine),
                links: Arc::clone(&server.links),
                learner: Arc::clone(&server.learner),
                identity: Arc::clone(&identity),
                target: target.name.clone(),
                database: database.clone(),
                unread: unread.iter().filter(mine).cloned().collect(),
            });
        }
    }
}

/// Transactions that were named and have no end in the record.
fn unread(data: &Path) -> Vec<Unread> {
    let mut open = BTreeMap::new();
    let read = |open: &mut BTreeMap<(String, u64), Unread>| -> Result<(), String> {
        let reader = Reader::open(data, Arc::new(RealIo::new())).map_err(|e| e.to_string())?;
        let query = Query::parse(LOOK_BACK, wall().0).map_err(|e| e.to_string())?;
        let mut search = Search::new(&reader, &query).map_err(|e| e.to_string())?;
        while let Some(found) = search.next().map_err(|e| e.to_string())? {
            let Ok(fields) = Fields::read(&found.leaf) else { continue };
            let (Some(xid), Some(who)) = (fields.xid, &fields.who) else { continue };
            let key = (format!("{}\0{}", who.target, who.db), xid);
            match &*fields.k {
                "transaction.ended" => drop(open.remove(&key)),
                "transaction.named" => {
                    let Some(facts) = facts(&fields) else { continue };
                    let (from, to) = (fields.from.unwrap_or(0), fields.to.unwrap_or(0));
                    let one = open.entry(key).or_insert(Unread { xid, from, to, facts });
                    one.to = to;
                    if open.len() > UNREAD_MAX {
                        open.pop_first();
                    }
                }
                _ => {}
            }
        }
        Ok(())
    };
    if let Err(why) = read(&mut open) {
        tracing::error!("which transactions an earlier run has named cannot be read from the log: {why}");
    }
    open.into_values().collect()
}

/// The session of an entry, as far as its leaf tells: without names, and without what only the session itself knew.
fn facts(fields: &Fields<'_>) -> Option<Arc<SessionFacts>> {
    let who = fields.who.as_ref()?;
    let chain: Vec<Link> = who
        .chain
        .iter()
        .filter_map(|link| {
            let trust = [Trust::Verified, Trust::Bound, Trust::Claimed];
            Some(Link {
                kind: IdentityKind::parse(&link.kind)?,
                id: link.id.to_string(),
                name: String::new(),
                trust: trust.into_iter().find(|trust| trust.word() == link.trust)?,
            })
        })
        .collect();
    let subject = chain.first()?.id.clone();
    let identity = Identity {
        chain,
        login: String::new(),
        subject,
        targets: vec![who.target.to_string()],
        ..Identity::default()
    };
    Some(Arc::new(SessionFacts {
        id: SessionId::parse(&fields.sid)?,
        identity: Arc::new(identity),
        target: who.target.to_string(),
        database: who.db.to_string(),
        session_role: who.role.to_string(),
        role: who.role.to_string(),
        backend_pid: u32::try_from(who.pid).unwrap_or(0),
        server_version: String::new(),
        application: String::new(),
        durability: if fields.dur == "relaxed" { Durability::Relaxed } else { Durability::Strict },
        mode: if fields.mode == "observe" { Mode::Observe } else { Mode::Enforce },
        role_of: firsthand_model::session::RoleOf::Target,
        encoded: OnceLock::new(),
    }))
}
