//! What a target must have before its changes can be read: asked by `check` and before the slot is used.

use super::super::catalog::ask;
use crate::drive::line::Line;
use crate::protocol::Probe;

/// `max()` of places in the log.
const SERVER_MIN: u32 = 130_000;
/// Bytes of the answer: one row.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Names have 63 bytes at most.
const NAME_PART: usize = 16;

/// What is in the way: the fact for the record, and the line of SQL that mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Missing {
    pub(super) fact: &'static str,
    pub(super) why: String,
}

/// Coverage facts: why changes are not read.
pub(super) const LEVEL: &str = "changed-rows:wal-level";
pub(super) const PRIVILEGE: &str = "changed-rows:wal-privilege";
pub(super) const SLOTS: &str = "changed-rows:wal-slots";
pub(super) const SERVER: &str = "changed-rows:wal-server";
pub(in super::super) const UNREACHED: &str = "changed-rows:wal-unreached";

/// How the slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// There is none.
    None,
    /// It can be read.
    Ready,
    /// The target has thrown away what it stands for (`max_slot_wal_keep_size`).
    Lost,
}

/// The name of the slot of this log at a database of a target: letters, digits and `_`.
pub(in super::super) fn slot_name(log: [u8; 16], target: &str, database: &str) -> String {
    let plain = |text: &str| -> String {
        let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        text.chars().map(fits).take(NAME_PART).collect()
    };
    let log = u128::from_be_bytes(log);
    let sum = target
        .bytes()
        .chain([0])
        .chain(database.bytes())
        .fold(0xcbf2_9ce4_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("firsthand_{:012x}_{}_{sum:08x}", log >> 80, plain(target))
}

fn question(slot: &str) -> String {
    format!(
        "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_setting('wal_level'), \
         pg_catalog.pg_is_in_recovery(), \
         EXISTS (SELECT 1 FROM pg_catalog.pg_roles r WHERE r.rolname = current_user AND (r.rolreplication OR r.rolsuper)) \
           OR EXISTS (SELECT 1 FROM pg_catalog.pg_roles r WHERE r.rolname IN ('rds_replication') \
             AND pg_catalog.pg_has_role(r.oid, 'MEMBER')), \
         (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots) \
           < pg_catalog.current_setting('max_replication_slots')::pg_catalog.int8, \
         pg_catalog.current_setting('server_encoding'), pg_catalog.quote_ident(current_user), \
         pg_catalog.current_setting('max_replication_slots'), \
         (SELECT COALESCE(s.wal_status, '') FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = '{slot}'), \
         pg_catalog.current_setting('max_slot_wal_keep_size')"
    )
}

/// What the target says of itself.
pub(super) struct Setup {
    pub(super) slot: Slot,
    pub(super) missing: Vec<Missing>,
    /// Nothing bounds what the slot keeps at the target.
    unbounded: bool,
}

/// Looks at it.
pub(super) async fn look(line: &mut Line, slot: &str) -> Result<Setup, String> {
    let old = ask(line, "SHOW server_version_num", &mut { ANSWER_BYTES_MAX }).await?;
    let old = old.first().and_then(|row| row.first()?.as_ref()?.parse::<u32>().ok()).unwrap_or(0);
    if old < SERVER_MIN {
        let why = "this needs PostgreSQL 13 or later".to_owned();
        let missing = vec![Missing { fact: SERVER, why }];
        return Ok(Setup { slot: Slot::None, missing, unbounded: false });
    }
    let rows = ask(line, &question(slot), &mut { ANSWER_BYTES_MAX }).await?;
    let row = rows.first().ok_or("the target says nothing of itself")?;
    let at = |n: usize| row.get(n).and_then(|v| v.as_deref()).unwrap_or_default();
    let found = match row.get(8).and_then(|v| v.as_deref()) {
        None => Slot::None,
        Some("lost") => Slot::Lost,
        Some(_) => Slot::Ready,
    };
    let mut missing = Vec::new();
    let mut lacks = |fact, why: String| missing.push(Missing { fact, why });
    if at(2) == "t" {
        lacks(SERVER, "the server is a standby: name its primary as the address".to_owned());
    }
    if at(5) == "SQL_ASCII" {
        lacks(
            SERVER,
            "the database's encoding is SQL_ASCII: its values are no texts that could be recorded".to_owned(),
        );
    }
    if at(1) != "logical" {
        lacks(
            LEVEL,
            format!(
                "wal_level is {}: ALTER SYSTEM SET wal_level = 'logical'; then restart the server",
                at(1)
            ),
        );
    }
    if at(3) != "t" {
        lacks(PRIVILEGE, format!("role {0} may not use slots: ALTER ROLE {0} REPLICATION;", at(6)));
    }
    if at(4) != "t" && found == Slot::None {
        let most = at(7).parse::<u64>().unwrap_or(0);
        let why = format!(
            "all {most} replication slots are in use: ALTER SYSTEM SET max_replication_slots = {}; then restart the server",
            most + 4
        );
        lacks(SLOTS, why);
    }
    Ok(Setup { slot: found, missing, unbounded: at(9) == "-1" })
}

/// For `firsthand check`: what a slot of this name would need.
///
/// # Errors
/// In words: the connection, the log-in, or the target's own error.
pub(in super::super) async fn check(with: Probe<'_>, slot: &str) -> Result<Vec<String>, String> {
    let (mut line, _) = super::super::catalog::connect(with).await?;
    let setup = look(&mut line, slot).await?;
    super::super::catalog::say_goodbye(line).await;
    let mut said: Vec<String> =
        setup.missing.iter().map(|m| format!("warning: changed rows are not seen: {}", m.why)).collect();
    if said.is_empty() {
        said.push(match setup.slot {
            Slot::Ready => format!("changed rows: slot {slot} is there"),
            Slot::None => format!("changed rows: slot {slot} will be made by serve"),
            Slot::Lost => format!(
                "warning: changed rows: the target has dropped what slot {slot} kept (max_slot_wal_keep_size); serve makes it anew"
            ),
        });
        if setup.unbounded {
            said.push(
                "changed rows: nothing bounds what the slot keeps at the target while the gateway is stopped: \
                 ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf();"
                    .to_owned(),
            );
        }
    }
    Ok(said)
}
