//! Messages changed for the list that was added: on the way to the target, and back.

use bytes::{Bytes, BytesMut};
use firsthand_wire::postgres::backend::DataRow;
use firsthand_wire::postgres::encode::message;
use firsthand_wire::postgres::field::Fields;
use firsthand_wire::postgres::frame::HEADER_LEN;
use firsthand_wire::postgres::frontend::{self, Bind, Execute, Parse};

/// A Parse with another text.
pub(super) fn parse(original: &[u8], text: &[u8]) -> Option<Bytes> {
    let it = Parse::read(original.get(HEADER_LEN..)?).ok()?;
    let types: Vec<u32> = it.types().collect();
    let mut out = BytesMut::with_capacity(original.len() + text.len());
    frontend::encode_parse(&mut out, it.statement, text, &types).ok()?;
    Some(out.freeze())
}

/// A Query with another text.
pub(super) fn query(text: &[u8]) -> Option<Bytes> {
    let mut out = BytesMut::with_capacity(text.len() + 8);
    frontend::encode_query(&mut out, text).ok()?;
    Some(out.freeze())
}

/// A Bind that asks for its result as the client means it, and for `added` columns more as text. `None`: it already does.
pub(super) fn bind(original: &[u8], own: bool, added: usize) -> Option<Bytes> {
    let body = original.get(HEADER_LEN..)?;
    let formats = Bind::read(body).ok()?.result_formats.len();
    let kept = match (own, formats) {
        // Without rows of its own the client's formats mean nothing.
        (false, 1..) => 0,
        (true, 2..) => formats,
        _ => return None,
    };
    let (head, tail) = body.split_at_checked(body.len().checked_sub(2 + 2 * formats)?)?;
    let count = u16::try_from(if own { kept + added } else { 0 }).ok()?;
    let mut out = BytesMut::with_capacity(original.len() + 2 * added);
    message(&mut out, b'B', |out| {
        out.extend_from_slice(head);
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(tail.get(2..2 + 2 * kept).unwrap_or_default());
        if own {
            out.resize(out.len() + 2 * added, 0);
        }
    });
    Some(out.freeze())
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
