//! What the target says while a statement is tried: its rows as they come, its tag, and of an error only the code, because
//! texts of errors hold values.

use std::io;

use bytes::{Buf as _, BufMut as _, BytesMut};
use firsthand_model::preview::Parameter;
use firsthand_wire::postgres::backend::{Message, TransactionStatus};
use firsthand_wire::postgres::frame::{Rules, Scan, scan};
use firsthand_wire::postgres::{encode, frontend};

use super::super::catalog::{Row, send_query};
use crate::drive::line::{HANDSHAKE_BYTES_MAX, Line};

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The target refused: its SQLSTATE.
    Refused(String),
    /// A message, or all of them, are larger than is read.
    Large,
    /// The connection broke, or the target broke the protocol.
    Lost,
}

/// How an answer ended.
pub(super) struct Said {
    /// Rows changed, by the last tag.
    pub(super) count: Option<u64>,
    /// It stands in a transaction block.
    pub(super) in_block: bool,
}

/// Reads up to ReadyForQuery and hands over the body of each row. `budget`: bytes of rows that are read.
pub(super) async fn said(
    line: &mut Line,
    budget: &mut usize,
    mut row: impl FnMut(&[u8]) + Send,
) -> Result<Said, Fault> {
    let limit = u32::try_from(HANDSHAKE_BYTES_MAX).unwrap_or(u32::MAX);
    let rules = Rules::backend(limit, limit);
    let (mut error, mut count) = (None, None);
    loop {
        let len = match scan(&line.input, &rules).map_err(|_| Fault::Large)? {
            Scan::Frame(f) => {
                match Message::read(f.tag, f.body).map_err(|_| Fault::Lost)? {
                    Message::DataRow(_) => {
                        *budget = budget.checked_sub(f.body.len()).ok_or(Fault::Large)?;
                        row(f.body);
                    }
                    Message::CommandComplete(tag) => count = tag.rows(),
                    Message::ErrorResponse(e) => {
                        error = Some(String::from_utf8_lossy(e.sqlstate()).into_owned());
                    }
                    Message::ReadyForQuery(status) => {
                        let in_block = status == TransactionStatus::InTransaction;
                        line.input.advance(f.len());
                        return error.map_or(Ok(Said { count, in_block }), |code| Err(Fault::Refused(code)));
                    }
                    _ => {}
                }
                f.len()
            }
            _ => {
                line.fill().await.map_err(|e| match e.kind() {
                    io::ErrorKind::InvalidData => Fault::Large,
                    _ => Fault::Lost,
                })?;
                continue;
            }
        };
        line.input.advance(len);
    }
}

/// Sends.
pub(super) async fn send(line: &mut Line, bytes: &[u8]) -> Result<(), Fault> {
    line.send(bytes).await.map_err(|_| Fault::Lost)
}

/// Sends a Query and reads all of its rows.
pub(super) async fn ask(line: &mut Line, text: &str, budget: &mut usize) -> Result<(Vec<Row>, Said), Fault> {
    send_query(line, text).await.map_err(|_| Fault::Lost)?;
    rows(line, budget).await
}

/// Sends a question with parameters as texts, and reads all of its rows.
pub(super) async fn ask_with(
    line: &mut Line,
    text: &str,
    types: &[u32],
    values: &[&str],
    budget: &mut usize,
) -> Result<Vec<Row>, Fault> {
    let as_text = |value: &&str| Parameter { value: Some(value.as_bytes().to_vec()), ..Parameter::default() };
    let values: Vec<Parameter> = values.iter().map(as_text).collect();
    let mut out = BytesMut::new();
    frontend::encode_parse(&mut out, b"", text.as_bytes(), types).map_err(|_| Fault::Large)?;
    execute(&mut out, b"", &values)?;
    send(line, &out).await?;
    Ok(rows(line, budget).await?.0)
}

async fn rows(line: &mut Line, budget: &mut usize) -> Result<(Vec<Row>, Said), Fault> {
    let mut rows = Vec::new();
    let mut broken = false;
    let said = said(line, budget, |body| match texts(body) {
        Some(row) => rows.push(row),
        None => broken = true,
    })
    .await?;
    if broken { Err(Fault::Lost) } else { Ok((rows, said)) }
}

fn texts(body: &[u8]) -> Option<Row> {
    let row = firsthand_wire::postgres::backend::DataRow::read(body).ok()?;
    let text = |value: Option<&[u8]>| value.map(|value| String::from_utf8_lossy(value).into_owned());
    row.values().map(|value| value.ok().map(text)).collect()
}

/// Adds a Bind of a prepared statement to these values, each in its own format, an Execute of all of it, and a Sync.
pub(super) fn execute(out: &mut BytesMut, name: &[u8], values: &[Parameter]) -> Result<(), Fault> {
    let count = u16::try_from(values.len()).map_err(|_| Fault::Large)?;
    encode::message(out, b'B', |out| {
        out.put_u8(0);
        out.put_slice(name);
        out.put_u8(0);
        out.put_u16(count);
        values.iter().for_each(|value| out.put_u16(u16::from(value.binary)));
        out.put_u16(count);
        for Parameter { value, .. } in values {
            match value {
                // Its length was looked at: it is below a MiB.
                Some(bytes) => {
                    out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
                    out.put_slice(bytes);
                }
                None => out.put_i32(-1),
            }
        }
        // All that comes back comes as text.
        out.put_u16(0);
    });
    frontend::encode_execute(out, b"", 0).map_err(|_| Fault::Lost)?;
    frontend::encode_sync(out);
    Ok(())
}
