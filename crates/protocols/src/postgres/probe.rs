//! `firsthand check`: logs in to a target as the gateway would and says what it found, above all whether the credential can
//! do more than it should.

use bytes::{Buf as _, BytesMut};
use firsthand_wire::postgres::backend::Message;
use firsthand_wire::postgres::frame::{HEADER_LEN, Rules, Scan, scan};
use firsthand_wire::postgres::frontend;

use super::handshake_target::{log_in, secure};
use crate::drive::line::{HANDSHAKE_BYTES_MAX, Line};
use crate::protocol::Probe;

/// Facts about the role that decide how much the database itself would stop. Each after the first is `t` or `f`; the last
/// lists the schemas.
const QUESTION: &str = "SELECT current_user, r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolcreatedb, r.rolreplication, \
    EXISTS (SELECT 1 FROM pg_catalog.pg_roles p WHERE p.rolname IN ('pg_read_server_files', 'pg_write_server_files') \
        AND pg_catalog.pg_has_role(p.oid, 'MEMBER')), \
    EXISTS (SELECT 1 FROM pg_catalog.pg_roles p WHERE p.rolname = 'pg_execute_server_program' \
        AND pg_catalog.pg_has_role(p.oid, 'MEMBER')), \
    EXISTS (SELECT 1 FROM pg_catalog.pg_roles p WHERE p.rolname = 'pg_signal_backend' \
        AND pg_catalog.pg_has_role(p.oid, 'MEMBER')), \
    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'), \
    EXISTS (SELECT 1 FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_' \
        AND pg_catalog.has_schema_privilege(n.oid, 'CREATE')), \
    EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname !~ '^pg_' AND c.relkind IN ('r', 'p', 'f') AND pg_catalog.pg_has_role(c.relowner, 'MEMBER')), \
    EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'f', 'v') \
        AND pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')), \
    pg_catalog.quote_ident(pg_catalog.current_database()), \
    (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(n.nspname), ', ' ORDER BY n.nspname) \
        FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema') \
    FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

/// What each `t` in the answer means.
const POWERS: [&str; 12] = [
    "superuser: nothing in the database stops it",
    "bypasses row security",
    "can create roles",
    "can create databases",
    "can replicate",
    "reads or writes the server's files",
    "runs programs on the server",
    "ends other sessions",
    "can create schemas",
    "can create tables and functions",
    "owns tables, so it can drop them and change who may use them",
    "can write to tables",
];
/// The last of the powers, which a role may be meant to have.
const WRITES: &str = "can write to tables";

pub(super) async fn probe(with: Probe<'_>) -> Result<Vec<String>, String> {
    let mut line = Line::new(with.stream);
    secure(&mut line, &with.link).await.map_err(|e| e.to_string())?;
    let accepted = log_in(&mut line, with.credential, with.database, &[]).await.map_err(|e| e.to_string())?;
    let tls = line.tls.as_ref().map_or("no TLS", |t| t.version.as_str());
    let mut found = vec![format!("PostgreSQL {}, {tls}", accepted.parameter("server_version"))];
    let row = ask(&mut line).await?;
    let has: Vec<&str> =
        POWERS.iter().zip(row.iter().skip(1)).filter(|(_, v)| *v == "t").map(|(p, _)| *p).collect();
    let role = row.first().map_or("", String::as_str);
    match has.as_slice() {
        [] => found.push(format!("role {role}: an ordinary role, which may only read")),
        [only] if *only == WRITES => found.push(format!("role {role}: an ordinary role, which {WRITES}")),
        _ => {
            found.push(format!(
                "warning: role {role}: {}; rules are one layer, the role's rights are another: use a role with the \
                 least privileges",
                has.join(", ")
            ));
            let (database, schemas) = (row.get(13), row.get(14));
            found.push(proper_role(
                database.map_or("", String::as_str),
                schemas.map_or("public", String::as_str),
            ));
        }
    }
    Ok(found)
}

/// The SQL that makes a role which may do no more than read and write rows.
fn proper_role(database: &str, schemas: &str) -> String {
    format!(
        "a proper role:\n\
         CREATE ROLE firsthand LOGIN PASSWORD '…' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;\n\
         GRANT CONNECT ON DATABASE {database} TO firsthand;\n\
         REVOKE CREATE ON SCHEMA {schemas} FROM PUBLIC;\n\
         GRANT USAGE ON SCHEMA {schemas} TO firsthand;\n\
         GRANT SELECT ON ALL TABLES IN SCHEMA {schemas} TO firsthand;\n\
         ALTER DEFAULT PRIVILEGES IN SCHEMA {schemas} GRANT SELECT ON TABLES TO firsthand;\n\
         -- and, only where it has to write: GRANT INSERT, UPDATE, DELETE ON … TO firsthand;"
    )
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
