//! `firsthand check`: logs in to a target as the gateway would and says what it found, above all whether the credential can
//! do more than it should.

use bytes::{Buf as _, BytesMut};
use firsthand_wire::postgres::backend::Message;
use firsthand_wire::postgres::frame::{HEADER_LEN, Rules, Scan, scan};
use firsthand_wire::postgres::frontend;

use super::handshake_target::{log_in, secure};
use crate::drive::line::{HANDSHAKE_BYTES_MAX, Line};
use crate::protocol::Probe;

/// Facts about the role that decide how much the database itself would stop.
const QUESTION: &str = "SELECT current_user, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication \
    FROM pg_catalog.pg_roles WHERE rolname = current_user";

pub(super) async fn probe(with: Probe<'_>) -> Result<Vec<String>, String> {
    let mut line = Line::new(with.stream);
    secure(&mut line, &with.link).await.map_err(|e| e.to_string())?;
    let accepted = log_in(&mut line, with.credential, with.database, &[]).await.map_err(|e| e.to_string())?;
    let tls = line.tls.as_ref().map_or("no TLS", |t| t.version.as_str());
    let mut found = vec![format!("PostgreSQL {}, {tls}", accepted.parameter("server_version"))];
    let row = ask(&mut line).await?;
    let powers =
        ["superuser", "bypasses row security", "can create roles", "can create databases", "can replicate"];
    let has: Vec<&str> =
        powers.iter().zip(row.iter().skip(1)).filter(|(_, v)| *v == "t").map(|(p, _)| *p).collect();
    let role = row.first().map_or("", String::as_str);
    if has.is_empty() {
        found.push(format!("role {role}: an ordinary role"));
    } else {
        found.push(format!("warning: role {role}: {}; use a role with the least privileges", has.join(", ")));
    }
    Ok(found)
}

/// The one row of the answer to `QUESTION`.
async fn ask(line: &mut Line) -> Result<Vec<String>, String> {
    let mut out = BytesMut::new();
    frontend::encode_query(&mut out, QUESTION.as_bytes()).map_err(|e| e.to_string())?;
    line.send(&out).await.map_err(|e| e.to_string())?;
    let limit = u32::try_from(HANDSHAKE_BYTES_MAX).unwrap_or(u32::MAX);
    let rules = Rules::backend(limit, limit);
    let mut row = Vec::new();
    loop {
        let len = match scan(&line.input, &rules).map_err(|e| e.to_string())? {
            Scan::Frame(f) => {
                match Message::read(f.tag, f.body).map_err(|e| e.to_string())? {
                    Message::DataRow(values) => {
                        let text =
                            |v: Option<&[u8]>| String::from_utf8_lossy(v.unwrap_or_default()).into_owned();
                        row = values.values().map(|v| text(v.unwrap_or_default())).collect();
                    }
                    Message::ErrorResponse(e) => {
                        return Err(String::from_utf8_lossy(e.message()).into_owned());
                    }
                    Message::ReadyForQuery(_) => return Ok(row),
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
