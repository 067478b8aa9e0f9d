//! A bounded cursor over a message's body, and the errors of reading one.

use thiserror::Error;

/// Why a message's body is not what its tag says. PostgreSQL answers all of these with SQLSTATE 08P01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The body ends inside a field.
    #[error("{message}: the body ends inside {field}")]
    Truncated {
        /// The message's name.
        message: &'static str,
        /// The field's name.
        field: &'static str,
    },
    /// A string without its closing zero byte.
    #[error("{message}: {field} has no closing zero byte")]
    Unterminated {
        /// The message's name.
        message: &'static str,
        /// The field's name.
        field: &'static str,
    },
    /// Bytes after the last field.
    #[error("{message}: {extra} bytes too many")]
    Trailing {
        /// The message's name.
        message: &'static str,
        /// How many.
        extra: usize,
    },
    /// A number that the protocol does not allow there.
    #[error("{message}: {field} cannot be {value}")]
    BadValue {
        /// The message's name.
        message: &'static str,
        /// The field's name.
        field: &'static str,
        /// The number as sent.
        value: i64,
    },
    /// A Bind or FunctionCall whose format codes do not match its values.
    #[error("{message}: {formats} format codes for {values} values")]
    FormatCount {
        /// The message's name.
        message: &'static str,
        /// How many format codes.
        formats: u16,
        /// How many values.
        values: u16,
    },
}

/// The SQLSTATE of every malformed message: protocol violation.
pub const PROTOCOL_VIOLATION: &str = "08P01";

impl DecodeError {
    /// What PostgreSQL says of the same mistake, so that a client behind the gateway reads the same.
    #[must_use]
    pub fn server_words(&self) -> String {
        match *self {
            Self::Truncated { field: "the kind", .. } => "no data left in message".into(),
            Self::Truncated { .. } => "insufficient data left in message".into(),
            Self::Unterminated { .. } => "invalid string in message".into(),
            Self::Trailing { .. } => "invalid message format".into(),
            Self::BadValue { message: "Describe", value, .. } => {
                format!("invalid DESCRIBE message subtype {value}")
            }
            Self::BadValue { message: "Close", value, .. } => {
                format!("invalid CLOSE message subtype {value}")
            }
            Self::BadValue { field: "a format code", value, .. } => {
                format!("unsupported format code: {value}")
            }
            Self::BadValue { .. } => "invalid message format".into(),
            Self::FormatCount { message: "FunctionCall", formats, values } => {
                format!("function call message contains {formats} argument formats but {values} arguments")
            }
            Self::FormatCount { formats, values, .. } => {
                format!("bind message has {formats} parameter formats but {values} parameters")
            }
        }
    }
}

/// How a value is written: PostgreSQL knows two formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// The type's text form.
    #[default]
    Text,
    /// The type's binary form.
    Binary,
}

impl Format {
    /// The format code on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }

    /// The format with this code. PostgreSQL knows 0 and 1 and refuses others only when it uses them, so any other is
    /// taken as binary: bytes whose text we do not know.
    #[must_use]
    #[inline]
    pub fn from_code(code: u16) -> Self {
        if code == 0 { Self::Text } else { Self::Binary }
    }
}

/// Reads fields off the front of a body. Public for other dialect code that walks bodies itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    rest: &'a [u8],
    message: &'static str,
}

impl<'a> Fields<'a> {
    /// A cursor at the beginning of `body`; `message` is named in errors.
    #[must_use]
    #[inline]
    pub fn new(body: &'a [u8], message: &'static str) -> Self {
        Self { rest: body, message }
    }

    #[cold]
    fn truncated(&self, field: &'static str) -> DecodeError {
        DecodeError::Truncated { message: self.message, field }
    }

    /// The error that `field` cannot be `value`.
    #[cold]
    #[must_use]
    pub fn bad(&self, field: &'static str, value: impl Into<i64>) -> DecodeError {
        DecodeError::BadValue { message: self.message, field, value: value.into() }
    }

    #[inline]
    fn chunk<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.truncated(field))?;
        self.rest = tail;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    /// When the body ends before.
    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.chunk::<1>(field).map(|[b]| b)
    }

    /// Two bytes, big-endian. PostgreSQL reads all its 16-bit counts without a sign.
    ///
    /// # Errors
    /// When the body ends before.
    #[inline]
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.chunk(field).map(u16::from_be_bytes)
    }

    /// Two bytes, big-endian, signed.
    ///
    /// # Errors
    /// When the body ends before.
    #[inline]
    pub fn i16(&mut self, field: &'static str) -> Result<i16, DecodeError> {
        self.chunk(field).map(i16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    ///
    /// # Errors
    /// When the body ends before.
    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.chunk(field).map(u32::from_be_bytes)
    }

    /// Four bytes, big-endian, signed.
    ///
    /// # Errors
    /// When the body ends before.
    #[inline]
    pub fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.chunk(field).map(i32::from_be_bytes)
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// When the body ends before.
    #[inline]
    pub fn bytes(&mut self, n: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or_else(|| self.truncated(field))?;
        self.rest = tail;
        Ok(head)
    }

    /// A string up to its zero byte, which is not part of it. Any encoding: PostgreSQL sends the client's.
    ///
    /// # Errors
    /// When there is no zero byte.
    #[inline]
    pub fn cstr(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let end =
            memchr::memchr(0, self.rest).ok_or(DecodeError::Unterminated { message: self.message, field })?;
        let (head, tail) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
        self.rest = tail.get(1..).unwrap_or_default();
        Ok(head)
    }

    /// A value: length `i32` and bytes; -1 is NULL.
    ///
    /// # Errors
    /// When the body ends before, or the length is negative and not -1 (PostgreSQL: insufficient data).
    #[inline]
    pub fn value(&mut self, field: &'static str) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.i32(field)? {
            -1 => Ok(None),
            n => {
                let n = usize::try_from(n).map_err(|_| self.truncated(field))?;
                self.bytes(n, field).map(Some)
            }
        }
    }

    /// A format code.
    ///
    /// # Errors
    /// When the body ends before.
    #[inline]
    pub fn format(&mut self) -> Result<Format, DecodeError> {
        self.u16("a format code").map(Format::from_code)
    }

    /// All that is left.
    #[must_use]
    #[inline]
    pub fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Whether nothing is left.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// When something is.
    #[inline]
    pub fn end(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(DecodeError::Trailing { message: self.message, extra }),
        }
    }
}
