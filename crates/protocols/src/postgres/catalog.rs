//! The snapshot of a database's definitions, loaded over a connection of the gateway's own.
//!
//! The questions are the gateway's, not a client's: whoever has them asked writes that to the record first (invariant 12).

use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use firsthand_sql::catalog::{Builder, Catalog, PREPARE, VERSION_QUERY, queries};
use firsthand_sql::state::{Start, identifiers};
use firsthand_wire::postgres::backend::Message;
use firsthand_wire::postgres::frame::{HEADER_LEN, Rules, Scan, scan};
use firsthand_wire::postgres::frontend;

use super::handshake_target::{log_in, search_path, secure, who};
use crate::drive::line::{HANDSHAKE_BYTES_MAX, Line};
use crate::protocol::Probe;

/// Bytes of all answers together. A database of some 100,000 columns stays below; more has no snapshot.
pub(super) const ANSWER_BYTES_MAX: usize = 256 << 20;

pub(super) type Row = Vec<Option<String>>;

/// Definitions that are up to date.
pub(super) struct Loaded {
    pub(super) catalog: Arc<Catalog>,
    /// What they were made of; `None`: they are those that were known.
    pub(super) made_of: Option<Box<Builder>>,
}

/// Loads the definitions; the ones known already are kept when the target says that nothing changed. The caller puts a time
/// limit around it.
///
/// # Errors
/// In words: the connection, the log-in, or the target's own error.
pub(super) async fn load(with: Probe<'_>, known: Option<&Arc<Catalog>>) -> Result<Loaded, String> {
    let (line, version) = connect(with).await?;
    definitions(line, version, known).await
}

/// The same, with what a session there begins with.
///
/// # Errors
/// As [`load`].
pub async fn load_with_start(with: Probe<'_>) -> Result<(Arc<Catalog>, Start), String> {
    let (mut line, version) = connect(with).await?;
    let (_, user) = who(&mut line, false).await.map_err(|e| e.to_string())?;
    let path = search_path(&mut line).await.map_err(|e| e.to_string())?;
    let start = Start { user, search_path: identifiers(&path), unlimited_time: true };
    Ok((definitions(line, version, None).await?.catalog, start))
}

/// Logs in; with the server's version.
pub(super) async fn connect(with: Probe<'_>) -> Result<(Line, u32), String> {
    let mut line = Line::new(with.stream);
    secure(&mut line, &with.link).await.map_err(|e| e.to_string())?;
    let accepted = log_in(&mut line, with.credential, with.database, &[]).await.map_err(|e| e.to_string())?;
    let version = version_number(accepted.parameter("server_version"));
    Ok((line, version))
}

async fn definitions(mut line: Line, version: u32, known: Option<&Arc<Catalog>>) -> Result<Loaded, String> {
    let mut budget = ANSWER_BYTES_MAX;
    ask(&mut line, PREPARE, &mut budget).await?;
    let state = ask(&mut line, VERSION_QUERY, &mut budget).await?;
    let state = state.into_iter().next().and_then(|row| row.into_iter().next()).flatten().unwrap_or_default();
    if let Some(known) = known.filter(|known| known.version == state && !state.is_empty()) {
        say_goodbye(line).await;
        return Ok(Loaded { catalog: Arc::clone(known), made_of: None });
    }
    let mut builder = Builder::new(&state);
    for query in queries(version) {
        let rows = ask(&mut line, query.sql, &mut budget).await?;
        if !builder.add(query.name, rows) {
            return Err("the database has more definitions than a snapshot holds".to_owned());
        }
    }
    say_goodbye(line).await;
    Ok(Loaded { catalog: Arc::new(builder.finish()), made_of: Some(Box::new(builder)) })
}

pub(super) async fn say_goodbye(mut line: Line) {
    let mut out = BytesMut::new();
    frontend::encode_terminate(&mut out);
    let _ = line.send(&out).await;
    line.finish().await;
}

/// `15.18 (Debian …)` as `server_version_num` has it.
fn version_number(said: &str) -> u32 {
    let major = said.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    major.parse::<u32>().unwrap_or(0).saturating_mul(10_000)
}

/// Sends a Query.
pub(super) async fn send_query(line: &mut Line, text: &str) -> Result<(), String> {
    let mut out = BytesMut::new();
    frontend::encode_query(&mut out, text.as_bytes()).map_err(|e| e.to_string())?;
    line.send(&out).await.map_err(|e| e.to_string())
}

/// The rows of the last result that a text gives.
pub(super) async fn ask(line: &mut Line, text: &str, budget: &mut usize) -> Result<Vec<Row>, String> {
    send_query(line, text).await?;
    answers(line, budget).await
}

/// The rows of everything up to ReadyForQuery, or the error among it.
pub(super) async fn answers(line: &mut Line, budget: &mut usize) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    each_row(line, |row| {
        let bytes = row.iter().flatten().map(|v| 4 + v.len()).sum();
        *budget = budget.checked_sub(bytes).ok_or("the definitions are larger than a snapshot holds")?;
        rows.push(row);
        Ok(())
    })
    .await?;
    Ok(rows)
}

/// Hands over each row of everything up to ReadyForQuery; or the error among it.
pub(super) async fn each_row(
    line: &mut Line,
    mut take: impl FnMut(Row) -> Result<(), String> + Send,
) -> Result<(), String> {
    let limit = u32::try_from(HANDSHAKE_BYTES_MAX).unwrap_or(u32::MAX);
    let rules = Rules::backend(limit, limit);
    let mut error = None;
    loop {
        let len = match scan(&line.input, &rules).map_err(|e| e.to_string())? {
            Scan::Frame(f) => {
                match Message::read(f.tag, f.body).map_err(|e| e.to_string())? {
                    Message::DataRow(values) => {
                        let text = |v: Option<&[u8]>| v.map(|v| String::from_utf8_lossy(v).into_owned());
                        take(values.values().map(|v| text(v.unwrap_or_default())).collect())?;
                    }
                    Message::ErrorResponse(e) => {
                        error = Some(String::from_utf8_lossy(e.message()).into_owned())
                    }
                    Message::ReadyForQuery(_) => {
                        line.input.advance(HEADER_LEN + f.body.len());
                        return error.map_or(Ok(()), Err);
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
