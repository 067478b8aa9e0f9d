//! What a server sends (PostgreSQL docs 55.7), as views that borrow from the body. The writers stand in [`reply`](super::reply).
//!
//! Strings are bytes in the client's encoding, which the server chose to follow.

use super::field::{DecodeError, Fields, Format};
use super::startup::{MAX_CANCEL_KEY_LEN, MIN_CANCEL_KEY_LEN, ProtocolVersion};

/// A decoded message from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// `R`: a step of authentication.
    Authentication(Authentication<'a>),
    /// `K`: what a CancelRequest for this connection must show.
    BackendKeyData(BackendKeyData<'a>),
    /// `S`: a reported setting has this value now.
    ParameterStatus(ParameterStatus<'a>),
    /// `v`: the server speaks less than was asked for.
    NegotiateProtocolVersion(NegotiateProtocolVersion<'a>),
    /// `Z`: ready for the next query.
    ReadyForQuery(TransactionStatus),
    /// `T`: the columns of the rows that follow.
    RowDescription(RowDescription<'a>),
    /// `D`: one row.
    DataRow(DataRow<'a>),
    /// `C`: a statement has ended well.
    CommandComplete(CommandTag<'a>),
    /// `I`: the query was empty.
    EmptyQueryResponse,
    /// `s`: an Execute reached its row limit.
    PortalSuspended,
    /// `1`: Parse is done.
    ParseComplete,
    /// `2`: Bind is done.
    BindComplete,
    /// `3`: Close is done.
    CloseComplete,
    /// `n`: what was described returns no rows.
    NoData,
    /// `t`: the parameter types of a statement.
    ParameterDescription(ParameterDescription<'a>),
    /// `E`: an error.
    ErrorResponse(Report<'a>),
    /// `N`: a notice.
    NoticeResponse(Report<'a>),
    /// `A`: a NOTIFY reached this session.
    NotificationResponse(Notification<'a>),
    /// `G`: the server wants COPY data.
    CopyInResponse(CopyFormats<'a>),
    /// `H`: COPY data follows.
    CopyOutResponse(CopyFormats<'a>),
    /// `W`: COPY data in both directions (replication only).
    CopyBothResponse(CopyFormats<'a>),
    /// `d`: a piece of COPY data.
    CopyData(&'a [u8]),
    /// `c`: end of COPY data.
    CopyDone,
    /// `V`: the result of a FunctionCall; `None` is NULL.
    FunctionCallResponse(Option<&'a [u8]>),
    /// Another tag: passed on, and recorded as not understood.
    Unknown(u8),
}

impl<'a> Message<'a> {
    /// Reads a message's body.
    ///
    /// # Errors
    /// When the body is not what the tag says: the server is at fault.
    pub fn read(tag: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(match tag {
            b'D' => Self::DataRow(DataRow::read(body)?),
            b'd' => Self::CopyData(body),
            b'C' => Self::CommandComplete(CommandTag::read(body)?),
            b'Z' => Self::ReadyForQuery(TransactionStatus::read(body)?),
            b'T' => Self::RowDescription(RowDescription::read(body)?),
            b'1' => empty(body, "ParseComplete", Self::ParseComplete)?,
            b'2' => empty(body, "BindComplete", Self::BindComplete)?,
            b'3' => empty(body, "CloseComplete", Self::CloseComplete)?,
            b'n' => empty(body, "NoData", Self::NoData)?,
            b't' => Self::ParameterDescription(ParameterDescription::read(body)?),
            b's' => empty(body, "PortalSuspended", Self::PortalSuspended)?,
            b'I' => empty(body, "EmptyQueryResponse", Self::EmptyQueryResponse)?,
            b'E' => Self::ErrorResponse(Report::read(body, "ErrorResponse")?),
            b'N' => Self::NoticeResponse(Report::read(body, "NoticeResponse")?),
            b'A' => Self::NotificationResponse(Notification::read(body)?),
            b'G' => Self::CopyInResponse(CopyFormats::read(body, "CopyInResponse")?),
            b'H' => Self::CopyOutResponse(CopyFormats::read(body, "CopyOutResponse")?),
            b'W' => Self::CopyBothResponse(CopyFormats::read(body, "CopyBothResponse")?),
            b'c' => empty(body, "CopyDone", Self::CopyDone)?,
            b'V' => Self::FunctionCallResponse(function_result(body)?),
            b'S' => Self::ParameterStatus(ParameterStatus::read(body)?),
            b'K' => Self::BackendKeyData(BackendKeyData::read(body)?),
            b'R' => Self::Authentication(Authentication::read(body)?),
            b'v' => Self::NegotiateProtocolVersion(NegotiateProtocolVersion::read(body)?),
            other => Self::Unknown(other),
        })
    }
}

fn empty<'a>(body: &[u8], message: &'static str, is: Message<'a>) -> Result<Message<'a>, DecodeError> {
    Fields::new(body, message).end().map(|()| is)
}

fn function_result(body: &[u8]) -> Result<Option<&[u8]>, DecodeError> {
    let mut fields = Fields::new(body, "FunctionCallResponse");
    let value = fields.value("the result")?;
    fields.end()?;
    Ok(value)
}

/// A step of authentication (`R`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// 0: done.
    Ok,
    /// 2: Kerberos V5; no server sends it any more.
    KerberosV5,
    /// 3: wants the password in clear text.
    CleartextPassword,
    /// 5: wants the password hashed with MD5 and this salt.
    Md5Password {
        /// The salt.
        salt: [u8; 4],
    },
    /// 7: wants GSSAPI.
    Gss,
    /// 8: more GSSAPI or SSPI data.
    GssContinue(&'a [u8]),
    /// 9: wants SSPI.
    Sspi,
    /// 10: wants SASL by one of these mechanisms.
    Sasl(SaslMechanisms<'a>),
    /// 11: a SASL challenge.
    SaslContinue(&'a [u8]),
    /// 12: SASL's last word.
    SaslFinal(&'a [u8]),
    /// Another kind.
    Unknown(u32),
}

impl<'a> Authentication<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "Authentication");
        let kind = fields.u32("the kind")?;
        let is = match kind {
            0 => Self::Ok,
            2 => Self::KerberosV5,
            3 => Self::CleartextPassword,
            5 => Self::Md5Password { salt: fields.u32("the salt")?.to_be_bytes() },
            7 => Self::Gss,
            8 => return Ok(Self::GssContinue(fields.rest())),
            9 => Self::Sspi,
            10 => return SaslMechanisms::read(fields).map(Self::Sasl),
            11 => return Ok(Self::SaslContinue(fields.rest())),
            12 => return Ok(Self::SaslFinal(fields.rest())),
            other => return Ok(Self::Unknown(other)),
        };
        fields.end()?;
        Ok(is)
    }
}

/// The SASL mechanisms that a server offers, in its order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaslMechanisms<'a>(&'a [u8]);

impl<'a> SaslMechanisms<'a> {
    fn read(mut fields: Fields<'a>) -> Result<Self, DecodeError> {
        let list = Self(fields.rest());
        while !fields.cstr("a mechanism")?.is_empty() {}
        fields.end()?;
        Ok(list)
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.0.split(|b| *b == 0).take_while(|name| !name.is_empty())
    }
}

/// BackendKeyData (`K`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BackendKeyData<'a> {
    /// The backend's process id.
    pub pid: u32,
    /// Its cancel key: 4 bytes in protocol 3.0, up to 256 in 3.2. A secret.
    pub key: &'a [u8],
}

impl std::fmt::Debug for BackendKeyData<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendKeyData").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl<'a> BackendKeyData<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed, or the key is shorter or longer than the protocol allows.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "BackendKeyData");
        let pid = fields.u32("the process id")?;
        let key = fields.rest();
        if !(MIN_CANCEL_KEY_LEN..=MAX_CANCEL_KEY_LEN).contains(&key.len()) {
            return Err(fields.bad("the key's length", i64::try_from(key.len()).unwrap_or(i64::MAX)));
        }
        Ok(Self { pid, key })
    }
}

/// ParameterStatus (`S`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterStatus<'a> {
    /// The setting's name.
    pub name: &'a [u8],
    /// Its value now.
    pub value: &'a [u8],
}

impl<'a> ParameterStatus<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "ParameterStatus");
        let name = fields.cstr("the name")?;
        let value = fields.cstr("the value")?;
        fields.end()?;
        Ok(Self { name, value })
    }
}

/// NegotiateProtocolVersion (`v`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NegotiateProtocolVersion<'a> {
    /// The newest version the server speaks. On the wire it is the whole version, though the docs call it the minor one.
    pub newest: ProtocolVersion,
    /// How many protocol options it does not know.
    pub count: u32,
    options: &'a [u8],
}

impl<'a> NegotiateProtocolVersion<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "NegotiateProtocolVersion");
        let newest = ProtocolVersion(fields.u32("the version")?);
        let count = fields.u32("the number of options")?;
        let options = fields.rest();
        for _ in 0..count {
            // Ends at the first that is missing, so a huge count costs nothing.
            fields.cstr("an option")?;
        }
        fields.end()?;
        Ok(Self { newest, count, options })
    }

    /// The protocol options that the server does not know.
    pub fn options(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.options.split(|b| *b == 0).take(self.count as usize)
    }
}

/// Where a session stands, as ReadyForQuery (`Z`) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionStatus {
    /// Not in a transaction block.
    Idle,
    /// In a transaction block.
    InTransaction,
    /// In a transaction block that has failed.
    Failed,
}

impl TransactionStatus {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &[u8]) -> Result<Self, DecodeError> {
        match body {
            [b'I'] => Ok(Self::Idle),
            [b'T'] => Ok(Self::InTransaction),
            [b'E'] => Ok(Self::Failed),
            _ => {
                let mut fields = Fields::new(body, "ReadyForQuery");
                let status = fields.u8("the transaction status")?;
                fields.end()?;
                Err(fields.bad("the transaction status", status))
            }
        }
    }

    /// The byte on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::InTransaction => b'T',
            Self::Failed => b'E',
        }
    }
}

/// RowDescription (`T`), checked whole when read, so that walking it cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowDescription<'a> {
    fields: &'a [u8],
    count: u16,
}

/// One column of a RowDescription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The oid of the table it comes from; 0 when it is not simply a table's column.
    pub table: u32,
    /// Its number in that table; 0 when it is none.
    pub number: i16,
    /// Its type's oid.
    pub type_oid: u32,
    /// The type's size in bytes; negative: of varying size.
    pub type_size: i16,
    /// The type's modifier; -1: none.
    pub type_modifier: i32,
    /// In which format its values come. A described statement does not know yet and says text.
    pub format: Format,
}

impl<'a> RowDescription<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "RowDescription");
        let count = fields.u16("the number of columns")?;
        let columns = fields.rest();
        for _ in 0..count {
            Column::read(&mut fields)?;
        }
        fields.end()?;
        Ok(Self { fields: columns, count })
    }

    /// How many columns.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether rows have no columns at all (`SELECT FROM t`).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The columns in order.
    pub fn columns(&self) -> impl Iterator<Item = Column<'a>> + use<'a> {
        let mut fields = Fields::new(self.fields, "RowDescription");
        (0..self.count).map_while(move |_| Column::read(&mut fields).ok())
    }
}

impl<'a> Column<'a> {
    fn read(fields: &mut Fields<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: fields.cstr("a column's name")?,
            table: fields.u32("a column's table")?,
            number: fields.i16("a column's number")?,
            type_oid: fields.u32("a column's type")?,
            type_size: fields.i16("a column's type size")?,
            type_modifier: fields.i32("a column's type modifier")?,
            format: fields.format()?,
        })
    }
}

/// DataRow (`D`). Not checked when read: a row is walked once, by [`DataRow::values`], which tells what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataRow<'a> {
    fields: Fields<'a>,
    count: u16,
}

impl<'a> DataRow<'a> {
    /// Reads the number of values.
    ///
    /// # Errors
    /// When not even that is there.
    #[inline]
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "DataRow");
        let count = fields.u16("the number of values")?;
        Ok(Self { fields, count })
    }

    /// How many values the row says it has.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values in order; `None` is NULL. An error ends the walk; bytes after the last value are an error too.
    #[inline]
    pub fn values(&self) -> RowValues<'a> {
        RowValues { fields: self.fields, left: self.count, done: false }
    }
}

/// The values of a row, in order.
#[derive(Clone, Debug)]
pub struct RowValues<'a> {
    fields: Fields<'a>,
    left: u16,
    done: bool,
}

impl<'a> Iterator for RowValues<'a> {
    type Item = Result<Option<&'a [u8]>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let value = self.fields.value("a value");
            self.done = value.is_err();
            return Some(value);
        }
        self.done = true;
        self.fields.end().err().map(Err)
    }
}

/// The tag of CommandComplete (`C`): what was done, and to how many rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandTag<'a>(
    /// The text, such as `INSERT 0 1`.
    pub &'a [u8],
);

impl<'a> CommandTag<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    #[inline]
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "CommandComplete");
        let tag = fields.cstr("the tag")?;
        fields.end()?;
        Ok(Self(tag))
    }

    /// The rows that were returned or changed: the tag's last word when it is a number (`SELECT 5`, `INSERT 0 1`, `COPY 3`).
    #[must_use]
    #[inline]
    pub fn rows(&self) -> Option<u64> {
        let digits = self.0.rsplit(|b| *b == b' ').next().filter(|word| word.len() < self.0.len())?;
        if digits.is_empty() {
            return None;
        }
        digits.iter().try_fold(0_u64, |sum, digit| match digit {
            b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
            _ => None,
        })
    }

    /// The tag without its numbers: `INSERT`, `CREATE TABLE`.
    #[must_use]
    pub fn verb(&self) -> &'a [u8] {
        let mut verb = self.0;
        while let Some(at) = verb.iter().rposition(|b| *b == b' ') {
            match verb.split_at_checked(at) {
                Some((before, [_, word @ ..])) if !word.is_empty() && word.iter().all(u8::is_ascii_digit) => {
                    verb = before
                }
                _ => break,
            }
        }
        verb
    }
}

/// Where a count of 16 bits starts again from 0.
const COUNT_WRAPS: usize = 1 << 16;

/// ParameterDescription (`t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterDescription<'a>(&'a [[u8; 4]]);

impl<'a> ParameterDescription<'a> {
    /// Reads the body. PostgreSQL sends the types of any number of parameters, though its count has 16 bits and starts
    /// again from 0 at 65,536: how many there are, the length says.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "ParameterDescription");
        let count = fields.u16("the number of parameters")?;
        let sent = body.len().saturating_sub(2) / 4;
        let wrapped = if sent % COUNT_WRAPS == usize::from(count) { sent } else { usize::from(count) };
        let types = fields.bytes(wrapped * 4, "the types")?;
        fields.end()?;
        Ok(Self(types.as_chunks::<4>().0))
    }

    /// The parameters' types by oid, in order.
    pub fn types(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.0.iter().map(|oid| u32::from_be_bytes(*oid))
    }
}

/// An error or a notice: fields by code (PostgreSQL docs 55.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'a>(&'a [u8]);

impl<'a> Report<'a> {
    /// Reads the body of ErrorResponse (`E`) or NoticeResponse (`N`); `message` says which.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8], message: &'static str) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, message);
        while fields.u8("a field's code")? != 0 {
            fields.cstr("a field")?;
        }
        fields.end()?;
        Ok(Self(body))
    }

    /// All fields in order: code and text.
    pub fn fields(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut fields = Fields::new(self.0, "ErrorResponse");
        std::iter::from_fn(move || match fields.u8("a field's code") {
            Ok(code) if code != 0 => fields.cstr("a field").ok().map(|text| (code, text)),
            _ => None,
        })
    }

    /// The first field with this code.
    #[must_use]
    pub fn field(&self, code: u8) -> Option<&'a [u8]> {
        self.fields().find(|(c, _)| *c == code).map(|(_, text)| text)
    }

    /// The severity, not translated (`V`; servers before 9.6 only had the translated `S`).
    #[must_use]
    pub fn severity(&self) -> &'a [u8] {
        self.field(b'V').or_else(|| self.field(b'S')).unwrap_or_default()
    }

    /// The SQLSTATE (`C`).
    #[must_use]
    pub fn sqlstate(&self) -> &'a [u8] {
        self.field(b'C').unwrap_or_default()
    }

    /// The message (`M`).
    #[must_use]
    pub fn message(&self) -> &'a [u8] {
        self.field(b'M').unwrap_or_default()
    }

    /// Whether the server ends the session with this.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity(), b"FATAL" | b"PANIC")
    }
}

/// NotificationResponse (`A`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// The process id of the backend that notified.
    pub pid: u32,
    /// The channel.
    pub channel: &'a [u8],
    /// The payload; empty when there is none.
    pub payload: &'a [u8],
}

impl<'a> Notification<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "NotificationResponse");
        let pid = fields.u32("the process id")?;
        let channel = fields.cstr("the channel")?;
        let payload = fields.cstr("the payload")?;
        fields.end()?;
        Ok(Self { pid, channel, payload })
    }
}

/// The body of CopyInResponse (`G`), CopyOutResponse (`H`) and CopyBothResponse (`W`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFormats<'a> {
    /// The format of the whole: text (which includes CSV) or binary.
    pub format: Format,
    columns: &'a [[u8; 2]],
}

impl<'a> CopyFormats<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8], message: &'static str) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, message);
        let format = Format::from_code(u16::from(fields.u8("the format")?));
        let count = fields.u16("the number of columns")?;
        let columns = fields.bytes(usize::from(count) * 2, "the format codes")?.as_chunks::<2>().0;
        fields.end()?;
        Ok(Self { format, columns })
    }

    /// The format of each column.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = Format> + use<'a> {
        self.columns.iter().map(|code| Format::from_code(u16::from_be_bytes(*code)))
    }
}
