//! Messages changed for the list that was added: on the way to the target, and back.

use bytes::{Bytes, BytesMut};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::backend::DataRow;
use firsthand_wire::postgres::encode::message;
use firsthand_wire::postgres::field::Fields;
use firsthand_wire::postgres::frame::HEADER_LEN;
use firsthand_wire::postgres::frontend::{self, Bind, Execute, Object};

/// Behind the client's own Bind: another statement takes its portal's place. Before it the portal, if it has a name, is
/// closed, and what an error may have left of an earlier such statement.
pub(super) struct Instead {
    pub(super) bytes: BytesMut,
    /// The answers before the one to the Bind, and behind it.
    pub(super) before: Vec<u8>,
    pub(super) after: Vec<u8>,
}

/// The client's Bind, checked by the target as it is, and then that of the statement with the list. That has this name, and
/// lives from just before its Bind to just behind it.
pub(super) fn instead(
    name: &[u8],
    original: &[u8],
    text: &[u8],
    types: &[u32],
    formats: Formats,
    added: usize,
) -> Option<Instead> {
    let portal = Bind::read(original.get(HEADER_LEN..)?).ok()?.portal;
    let mut bytes = BytesMut::with_capacity(2 * original.len() + text.len() + 128);
    let mut before = vec![b'2'];
    bytes.extend_from_slice(original);
    if !portal.is_empty() {
        frontend::encode_close(&mut bytes, Object::Portal(portal)).ok()?;
        before.push(b'3');
    }
    frontend::encode_close(&mut bytes, Object::Statement(name)).ok()?;
    frontend::encode_parse(&mut bytes, name, text, types).ok()?;
    before.extend_from_slice(b"31");
    bind(&mut bytes, name, original, formats, added)?;
    frontend::encode_close(&mut bytes, Object::Statement(name)).ok()?;
    Some(Instead { bytes, before, after: vec![b'3'] })
}

/// A Query with another text.
pub(super) fn query(text: &[u8]) -> Option<Bytes> {
    let mut out = BytesMut::with_capacity(text.len() + 8);
    frontend::encode_query(&mut out, text).ok()?;
    Some(out.freeze())
}

/// How the client wants the columns of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Formats {
    /// It has none.
    None,
    /// As text, or as the Bind says one by one.
    AsSaid,
    /// So many, all in binary.
    Binary(usize),
}

/// The Bind of the statement with the list, which comes as text.
fn bind(out: &mut BytesMut, name: &[u8], original: &[u8], formats: Formats, added: usize) -> Option<()> {
    let body = original.get(HEADER_LEN..)?;
    let it = Bind::read(body).ok()?;
    let said = it.result_formats.len();
    let values = body.get(it.portal.len() + it.statement.len() + 2..body.len().checked_sub(2 + 2 * said)?)?;
    let own = body.get(body.len() - 2 * said..)?;
    let one_by_one = formats == Formats::AsSaid && said > 1;
    let count = match formats {
        Formats::None => 0,
        Formats::AsSaid if one_by_one => said + added,
        Formats::AsSaid => said,
        Formats::Binary(columns) => columns + added,
    };
    let count = u16::try_from(count).ok()?;
    message(out, b'B', |out| {
        out.extend_from_slice(it.portal);
        out.extend_from_slice(&[0]);
        out.extend_from_slice(name);
        out.extend_from_slice(&[0]);
        out.extend_from_slice(values);
        out.extend_from_slice(&count.to_be_bytes());
        match formats {
            Formats::None => {}
            Formats::AsSaid => out.extend_from_slice(own),
            Formats::Binary(columns) => (0..columns).for_each(|_| out.extend_from_slice(&[0, 1])),
        }
        if one_by_one || matches!(formats, Formats::Binary(_)) {
            out.resize(out.len() + 2 * added, 0);
        }
    });
    Some(())
}

/// Whether an Execute has a limit of rows.
pub(super) fn has_limit(execute: &[u8]) -> bool {
    execute.get(HEADER_LEN..).and_then(|body| Execute::read(body).ok()).is_some_and(|it| it.max_rows > 0)
}

/// An Execute without a limit of rows: a statement without rows of its own runs to its end whatever the limit, and ends
/// with its tag. `None`: it has none.
pub(super) fn execute(original: &[u8]) -> Option<Bytes> {
    let it = Execute::read(original.get(HEADER_LEN..)?).ok()?;
    if it.max_rows == 0 {
        return None;
    }
    let mut out = BytesMut::with_capacity(original.len());
    frontend::encode_execute(&mut out, it.portal, 0).ok()?;
    Some(out.freeze())
}

/// An Execute of a portal that has run and has no rows of the client's own. With a list it would run on where it ended; so
/// another one that has run takes its place, and the target says what it says of such a portal.
pub(super) fn execute_again(name: &[u8], original: &[u8]) -> Option<(BytesMut, Vec<u8>)> {
    /// Does nothing: nobody listens there.
    const NOTHING: &[u8] = b"UNLISTEN \"firsthand returning\"";
    let portal = Execute::read(original.get(HEADER_LEN..)?).ok()?.portal;
    let mut out = BytesMut::new();
    // In a transaction that has failed it is this that says so; otherwise there is nothing left to run.
    frontend::encode_execute(&mut out, portal, 0).ok()?;
    frontend::encode_close(&mut out, Object::Statement(name)).ok()?;
    frontend::encode_parse(&mut out, name, NOTHING, &[]).ok()?;
    frontend::encode_close(&mut out, Object::Portal(portal)).ok()?;
    frontend::encode_bind(&mut out, (portal, name), (Format::Text, &[]), Format::Text).ok()?;
    frontend::encode_close(&mut out, Object::Statement(name)).ok()?;
    frontend::encode_execute(&mut out, portal, 0).ok()?;
    out.extend_from_slice(original);
    Some((out, b"C31323C".to_vec()))
}

/// The body of a RowDescription or DataRow without its last `added` columns; `None`: it has not so many, or is malformed.
fn cut(body: &[u8], added: usize, mut field: impl FnMut(&mut Fields<'_>) -> Option<()>) -> Option<Vec<u8>> {
    let mut fields = Fields::new(body, "a message with added columns");
    let kept = usize::from(fields.u16("the number of columns").ok()?).checked_sub(added)?;
    for _ in 0..kept {
        field(&mut fields)?;
    }
    let end = body.len() - fields.rest().len();
    let mut out = Vec::with_capacity(end);
    out.extend_from_slice(&u16::try_from(kept).ok()?.to_be_bytes());
    out.extend_from_slice(body.get(2..end)?);
    Some(out)
}

/// The body of a RowDescription without its last `added` columns.
pub(super) fn described(body: &[u8], added: usize) -> Option<Vec<u8>> {
    cut(body, added, |fields| {
        fields.cstr("a column's name").ok()?;
        fields.bytes(18, "a column").ok()?;
        Some(())
    })
}

/// The body of a DataRow without its last `added` values.
pub(super) fn row(body: &[u8], added: usize) -> Option<Vec<u8>> {
    cut(body, added, |fields| fields.value("a value").ok().map(drop))
}

/// The last `added` values of a row.
pub(super) fn added_values(body: &[u8], added: usize) -> Option<Vec<Option<&[u8]>>> {
    let row = DataRow::read(body).ok()?;
    let own = row.len().checked_sub(added)?;
    row.values().skip(own).collect::<Result<_, _>>().ok()
}

/// A message of this tag and body.
pub(super) fn framed(out: &mut BytesMut, tag: u8, body: &[u8]) {
    message(out, tag, |out| out.extend_from_slice(body));
}
