//! Writing messages: the frame around a body, and the strings in it.

use bytes::{BufMut as _, BytesMut};
use thiserror::Error;

/// Why a message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A zero byte would end the string early, and what follows would be read as the next field.
    #[error("{field} holds a zero byte")]
    Nul {
        /// The field's name.
        field: &'static str,
    },
    /// Longer than the protocol allows.
    #[error("{message} would be {length} bytes; the limit is {limit}")]
    TooLong {
        /// The message's name.
        message: &'static str,
        /// How long it would be.
        length: usize,
        /// The limit.
        limit: usize,
    },
}

/// Appends one message: the tag, the length, and the body that `body` writes.
/// A body of 2 GiB or more cannot be framed; nothing in this crate writes one.
pub fn message(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    counted(out, body);
}

/// Appends a length (that counts itself) and the body; the form of the untagged first packets.
pub(crate) fn counted(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32(0);
    body(out);
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(at..at + 4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// Appends a string and its zero byte; the caller has made sure that it holds none.
pub(crate) fn cstr(out: &mut BytesMut, text: &[u8]) {
    debug_assert!(!text.contains(&0));
    out.put_slice(text);
    out.put_u8(0);
}

/// Appends text for people and its zero byte; a zero byte inside becomes a question mark rather than a new field.
pub(crate) fn prose(out: &mut BytesMut, text: &str) {
    out.extend(text.bytes().map(|b| if b == 0 { b'?' } else { b }));
    out.put_u8(0);
}

/// Refuses a string that the protocol cannot carry.
pub(crate) fn no_nul(text: &[u8], field: &'static str) -> Result<(), EncodeError> {
    if memchr::memchr(0, text).is_some() { Err(EncodeError::Nul { field }) } else { Ok(()) }
}

/// Appends a value: its length and bytes, or -1 for NULL. Callers keep values below 2 GiB.
pub(crate) fn value(out: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        None => out.put_i32(-1),
        Some(bytes) => {
            out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
            out.put_slice(bytes);
        }
    }
}
