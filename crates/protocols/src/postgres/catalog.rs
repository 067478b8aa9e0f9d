//! The snapshot of a database's definitions: loaded over a connection of the gateway's own, kept per target and database,
//! shared by all sessions there.
//!
//! The questions are the gateway's, not a client's: who loads writes each of [`Loaded::asked`] to the record (invariant 12).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, BytesMut};
use firsthand_sql::catalog::{Builder, Catalog, PREPARE, VERSION_QUERY, queries};
use firsthand_wire::postgres::backend::Message;
use firsthand_wire::postgres::frame::{HEADER_LEN, Rules, Scan, scan};
use firsthand_wire::postgres::frontend;

use super::handshake_target::{log_in, secure};
use crate::drive::line::{HANDSHAKE_BYTES_MAX, Line};
use crate::protocol::Probe;

/// Bytes of all answers together. A database of some 100,000 columns stays below; more has no snapshot.
pub(super) const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Snapshots kept at once, one for each target and database.
pub(super) const SNAPSHOTS_MAX: usize = 1_024;

/// What a load brought.
#[derive(Debug)]
pub struct Loaded {
    /// The snapshot.
    pub catalog: Arc<Catalog>,
    /// The rows it was made of, to keep on disk; `None`: nothing had changed.
    pub rows: Option<Builder>,
    /// Every text that was sent to the target, for the record.
    pub asked: Vec<&'static str>,
}

type Row = Vec<Option<String>>;

/// Loads the definitions; the ones known already are kept when the target says that nothing changed. The caller puts a time
/// limit around it.
///
/// # Errors
/// In words: the connection, the log-in, or the target's own error.
pub async fn load(with: Probe<'_>, known: Option<&Arc<Catalog>>) -> Result<Loaded, String> {
    let mut line = Line::new(with.stream);
    secure(&mut line, &with.link).await.map_err(|e| e.to_string())?;
    let accepted = log_in(&mut line, with.credential, with.database, &[]).await.map_err(|e| e.to_string())?;
    let version = version_number(&accepted.parameter("server_version"));
    let mut asked = vec![PREPARE];
    let mut budget = ANSWER_BYTES_MAX;
    ask(&mut line, PREPARE, &mut budget).await?;
    asked.push(VERSION_QUERY);
    let state = ask(&mut line, VERSION_QUERY, &mut budget).await?;
    let state = state.into_iter().next().and_then(|row| row.into_iter().next()).flatten().unwrap_or_default();
    if let Some(known) = known.filter(|known| known.version == state && !state.is_empty()) {
        return Ok(Loaded { catalog: Arc::clone(known), rows: None, asked });
    }
    let mut builder = Builder::new(&state);
    for query in queries(version) {
        asked.push(query.sql);
        let rows = ask(&mut line, query.sql, &mut budget).await?;
        if !builder.add(query.name, rows) {
            return Err("the database has more definitions than a snapshot holds".to_owned());
        }
    }
    let mut out = BytesMut::new();
    frontend::encode_terminate(&mut out);
    let _ = line.send(&out).await;
    line.finish().await;
    Ok(Loaded { catalog: Arc::new(builder.finish()), rows: Some(builder), asked })
}

/// `15.18 (Debian …)` as `server_version_num` has it.
fn version_number(said: &str) -> u32 {
    let major = said.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    major.parse::<u32>().unwrap_or(0).saturating_mul(10_000)
}

/// The rows of the last result that a text gives.
async fn ask(line: &mut Line, text: &str, budget: &mut usize) -> Result<Vec<Row>, String> {
    let mut out = BytesMut::new();
    frontend::encode_query(&mut out, text.as_bytes()).map_err(|e| e.to_string())?;
    line.send(&out).await.map_err(|e| e.to_string())?;
    let limit = u32::try_from(HANDSHAKE_BYTES_MAX).unwrap_or(u32::MAX);
    let rules = Rules::backend(limit, limit);
    let mut rows = Vec::new();
    let mut error = None;
    loop {
        let len = match scan(&line.input, &rules).map_err(|e| e.to_string())? {
            Scan::Frame(f) => {
                *budget = budget
                    .checked_sub(f.body.len())
                    .ok_or("the definitions are larger than a snapshot holds")?;
                match Message::read(f.tag, f.body).map_err(|e| e.to_string())? {
                    Message::DataRow(values) => {
                        let text = |v: Option<&[u8]>| v.map(|v| String::from_utf8_lossy(v).into_owned());
                        rows.push(values.values().map(|v| text(v.unwrap_or_default())).collect());
                    }
                    Message::ErrorResponse(e) => {
                        error = Some(String::from_utf8_lossy(e.message()).into_owned())
                    }
                    Message::ReadyForQuery(_) => {
                        line.input.advance(HEADER_LEN + f.body.len());
                        return error.map_or(Ok(rows), Err);
                    }
                    _ => {}
                }
                HEADER_LEN + f.body.len()
            }
            _ => {
                line.fill().await.map_err(|e| e.to_string())?;
                continue;
            }
        };
        line.input.advance(len);
    }
}

/// The snapshots in force, by target and database.
#[derive(Debug, Default)]
pub struct Catalogs(Mutex<HashMap<(String, String), Arc<Catalog>>>);

impl Catalogs {
    /// The one for this target and database, as it was loaded last.
    pub fn find(&self, target: &str, database: &str) -> Option<Arc<Catalog>> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(&(target.to_owned(), database.to_owned())).cloned()
    }

    /// A fresh one. Beyond [`SNAPSHOTS_MAX`] it is not kept, and its sessions go without.
    pub fn keep(&self, target: &str, database: &str, catalog: &Arc<Catalog>) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (target.to_owned(), database.to_owned());
        if map.len() < SNAPSHOTS_MAX || map.contains_key(&key) {
            map.insert(key, Arc::clone(catalog));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version_number("15.18 (Debian 15.18-0+deb12u1)"), 150_000);
        assert_eq!(version_number("18beta1"), 180_000);
        assert_eq!(version_number(""), 0);
    }
}
