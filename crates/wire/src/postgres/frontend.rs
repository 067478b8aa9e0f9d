//! What a client sends (PostgreSQL docs 55.7): views that borrow from the body, and writers for what a gateway itself
//! sends to a target.
//!
//! Strings are bytes in the client's encoding. Counts are read without a sign, as the server reads them: a Bind can
//! hold 65,535 parameters and no more.

use bytes::{BufMut as _, BytesMut};

use super::encode::{self, EncodeError};
use super::field::{DecodeError, Fields, Format};

/// A decoded message from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// `Q`: run these statements.
    Query(&'a [u8]),
    /// `P`: prepare a statement.
    Parse(Parse<'a>),
    /// `B`: make a portal from a statement and values.
    Bind(Bind<'a>),
    /// `D`: describe a statement or portal.
    Describe(Object<'a>),
    /// `E`: run a portal.
    Execute(Execute<'a>),
    /// `C`: drop a statement or portal.
    Close(Object<'a>),
    /// `S`: end of an extended batch.
    Sync,
    /// `H`: send what is ready.
    Flush,
    /// `F`: call a function by its oid.
    FunctionCall(FunctionCall<'a>),
    /// `d`: a piece of COPY data.
    CopyData(&'a [u8]),
    /// `c`: end of COPY data.
    CopyDone,
    /// `f`: the client gives up its COPY, with its reason.
    CopyFail(&'a [u8]),
    /// `p`: an answer to an authentication request. What it is depends on what was asked: see [`password`],
    /// [`SaslInitialResponse::read`]; a SASLResponse is the whole body.
    Password(Secret<'a>),
    /// `X`: the client leaves.
    Terminate,
    /// Another tag; the frame scanner refuses these from a client.
    Unknown(u8),
}

/// Bytes that must not be shown: a password or what proves one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret<'a>(
    /// The bytes.
    pub &'a [u8],
);

impl std::fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'a> Message<'a> {
    /// Reads a message's body.
    ///
    /// # Errors
    /// When the body is not what the tag says; PostgreSQL answers 08P01 and, in an extended batch, skips to Sync.
    pub fn read(tag: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(match tag {
            b'Q' => Self::Query(query(body)?),
            b'P' => Self::Parse(Parse::read(body)?),
            b'B' => Self::Bind(Bind::read(body)?),
            b'D' => Self::Describe(Object::read(body, "Describe")?),
            b'E' => Self::Execute(Execute::read(body)?),
            b'C' => Self::Close(Object::read(body, "Close")?),
            b'S' => empty(body, "Sync", Self::Sync)?,
            b'H' => empty(body, "Flush", Self::Flush)?,
            b'F' => Self::FunctionCall(FunctionCall::read(body)?),
            b'd' => Self::CopyData(body),
            // The server does not look at CopyDone's and Terminate's bodies.
            b'c' => Self::CopyDone,
            b'X' => Self::Terminate,
            b'f' => Self::CopyFail(only_string(body, "CopyFail", "the reason")?),
            b'p' => Self::Password(Secret(body)),
            other => Self::Unknown(other),
        })
    }
}

fn empty<'a>(body: &[u8], message: &'static str, is: Message<'a>) -> Result<Message<'a>, DecodeError> {
    Fields::new(body, message).end().map(|()| is)
}

fn only_string<'a>(
    body: &'a [u8],
    message: &'static str,
    field: &'static str,
) -> Result<&'a [u8], DecodeError> {
    let mut fields = Fields::new(body, message);
    let text = fields.cstr(field)?;
    fields.end()?;
    Ok(text)
}

/// The text of a Query (`Q`).
///
/// # Errors
/// When the body is not one string.
pub fn query(body: &[u8]) -> Result<&[u8], DecodeError> {
    only_string(body, "Query", "the statement")
}

/// The password of a PasswordMessage (`p`) that answers a clear-text or MD5 request.
///
/// # Errors
/// When the body is not one string (PostgreSQL: `invalid password packet size`).
pub fn password(body: &[u8]) -> Result<Secret<'_>, DecodeError> {
    only_string(body, "PasswordMessage", "the password").map(Secret)
}

/// Parse (`P`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// The statement's name; empty: the unnamed one.
    pub statement: &'a [u8],
    /// Its text.
    pub text: &'a [u8],
    types: &'a [u8],
}

impl<'a> Parse<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "Parse");
        let statement = fields.cstr("the statement's name")?;
        let text = fields.cstr("the statement")?;
        let count = fields.u16("the number of types")?;
        let types = fields.bytes(usize::from(count) * 4, "the parameter types")?;
        fields.end()?;
        Ok(Self { statement, text, types })
    }

    /// The parameter types that the client fixed, by oid; 0: the server infers. May be fewer than the statement has.
    pub fn types(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.types.as_chunks::<4>().0.iter().map(|oid| u32::from_be_bytes(*oid))
    }
}

/// Format codes as sent: none (all text), one for all, or one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats<'a>(&'a [[u8; 2]]);

impl<'a> Formats<'a> {
    fn read(fields: &mut Fields<'a>) -> Result<Self, DecodeError> {
        let count = fields.u16("the number of format codes")?;
        Ok(Self(fields.bytes(usize::from(count) * 2, "the format codes")?.as_chunks::<2>().0))
    }

    /// How many codes were sent.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a count of codes, not a collection: none and one mean something"
    )]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The format of value number `index`, by the protocol's rule.
    #[must_use]
    #[inline]
    pub fn of(&self, index: usize) -> Format {
        let code = match self.0 {
            [one] => Some(one),
            many => many.get(index),
        };
        code.map_or(Format::Text, |code| Format::from_code(u16::from_be_bytes(*code)))
    }

    /// The first code that is neither text nor binary. PostgreSQL refuses it (22023) once it uses it.
    #[must_use]
    pub fn unsupported(&self) -> Option<u16> {
        self.0.iter().map(|code| u16::from_be_bytes(*code)).find(|code| *code > 1)
    }
}

/// Values as sent, each with its length; checked whole when read, so that walking them cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Values<'a> {
    bytes: &'a [u8],
    count: u16,
    message: &'static str,
}

impl<'a> Values<'a> {
    pub(super) fn read(fields: &mut Fields<'a>, message: &'static str) -> Result<Self, DecodeError> {
        let count = fields.u16("the number of values")?;
        let start = fields.rest();
        for _ in 0..count {
            fields.value("a value")?;
        }
        let bytes = start.get(..start.len() - fields.rest().len()).unwrap_or_default();
        Ok(Self { bytes, count, message })
    }

    /// How many values.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values in order; `None` is NULL.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut fields = Fields::new(self.bytes, self.message);
        (0..self.count).map_while(move |_| fields.value("a value").ok())
    }
}

/// Bind (`B`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal's name; empty: the unnamed one.
    pub portal: &'a [u8],
    /// The statement's name; empty: the unnamed one.
    pub statement: &'a [u8],
    /// In which formats the values are written.
    pub formats: Formats<'a>,
    /// The values.
    pub values: Values<'a>,
    /// In which formats the result's columns are asked for. That there are as many as columns, only the server knows.
    pub result_formats: Formats<'a>,
}

impl<'a> Bind<'a> {
    /// Reads the body, and checks that the number of format codes fits the number of values.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "Bind");
        let portal = fields.cstr("the portal's name")?;
        let statement = fields.cstr("the statement's name")?;
        let formats = Formats::read(&mut fields)?;
        let values = Values::read(&mut fields, "Bind")?;
        formats_fit(formats, values)?;
        let result_formats = Formats::read(&mut fields)?;
        fields.end()?;
        Ok(Self { portal, statement, formats, values, result_formats })
    }

    /// The parameters in order, each with its format.
    pub fn parameters(&self) -> impl Iterator<Item = (Format, Option<&'a [u8]>)> + use<'a> {
        let formats = self.formats;
        self.values.iter().enumerate().map(move |(i, v)| (formats.of(i), v))
    }
}

/// The names in a Bind's body, the portal's and the statement's, whatever follows them: PostgreSQL looks for the statement
/// before it reads on.
///
/// # Errors
/// When the names cannot be read.
pub fn bind_names(body: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let mut fields = Fields::new(body, "Bind");
    Ok((fields.cstr("the portal's name")?, fields.cstr("the statement's name")?))
}

fn formats_fit(formats: Formats<'_>, values: Values<'_>) -> Result<(), DecodeError> {
    if formats.len() > 1 && formats.len() != values.len() {
        let formats = u16::try_from(formats.len()).unwrap_or(u16::MAX);
        return Err(DecodeError::FormatCount { message: values.message, formats, values: values.count });
    }
    Ok(())
}

/// What a Describe or Close names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object<'a> {
    /// A prepared statement.
    Statement(&'a [u8]),
    /// A portal.
    Portal(&'a [u8]),
}

impl<'a> Object<'a> {
    /// Reads the body of a Describe (`D`) or Close (`C`); `message` says which.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8], message: &'static str) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, message);
        let kind = fields.u8("the kind")?;
        let name = fields.cstr("the name")?;
        match kind {
            b'S' => fields.end().map(|()| Self::Statement(name)),
            b'P' => fields.end().map(|()| Self::Portal(name)),
            other => Err(fields.bad("the kind", other)),
        }
    }
}

/// Execute (`E`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The portal's name.
    pub portal: &'a [u8],
    /// The most rows to return; zero and below: all.
    pub max_rows: i32,
}

impl<'a> Execute<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "Execute");
        let portal = fields.cstr("the portal's name")?;
        let max_rows = fields.i32("the row limit")?;
        fields.end()?;
        Ok(Self { portal, max_rows })
    }
}

/// FunctionCall (`F`): the old fast path, still what large objects use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionCall<'a> {
    /// The function's oid.
    pub function: u32,
    /// In which formats the arguments are written.
    pub formats: Formats<'a>,
    /// The arguments.
    pub arguments: Values<'a>,
    /// In which format the result is asked for.
    pub result_format: Format,
}

impl<'a> FunctionCall<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "FunctionCall");
        let function = fields.u32("the function")?;
        let formats = Formats::read(&mut fields)?;
        let arguments = Values::read(&mut fields, "FunctionCall")?;
        formats_fit(formats, arguments)?;
        let result_format = fields.format()?;
        fields.end()?;
        Ok(Self { function, formats, arguments, result_format })
    }
}

/// SASLInitialResponse (`p`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaslInitialResponse<'a> {
    /// The mechanism that the client chose.
    pub mechanism: &'a [u8],
    /// The mechanism's first message, if the client sent one with it.
    pub data: Option<Secret<'a>>,
}

impl<'a> SaslInitialResponse<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body, "SASLInitialResponse");
        let mechanism = fields.cstr("the mechanism")?;
        let data = fields.value("the response")?.map(Secret);
        fields.end()?;
        Ok(Self { mechanism, data })
    }
}

/// Appends a Query.
///
/// # Errors
/// When the text holds a zero byte; `out` is unchanged then. So for all writers here.
pub fn encode_query(out: &mut BytesMut, text: &[u8]) -> Result<(), EncodeError> {
    encode::no_nul(text, "the statement")?;
    encode::message(out, b'Q', |out| encode::cstr(out, text));
    Ok(())
}

/// Appends a Parse.
///
/// # Errors
/// When a string holds a zero byte, or there are more than 65,535 types.
pub fn encode_parse(
    out: &mut BytesMut,
    statement: &[u8],
    text: &[u8],
    types: &[u32],
) -> Result<(), EncodeError> {
    encode::no_nul(statement, "the statement's name")?;
    encode::no_nul(text, "the statement")?;
    let count = count("Parse", types.len())?;
    encode::message(out, b'P', |out| {
        encode::cstr(out, statement);
        encode::cstr(out, text);
        out.put_u16(count);
        types.iter().for_each(|oid| out.put_u32(*oid));
    });
    Ok(())
}

/// Appends a Bind: one format for all values and one for all columns.
///
/// # Errors
/// When a string holds a zero byte, there are more than 65,535 values, or one is longer than 2 GiB.
pub fn encode_bind(
    out: &mut BytesMut,
    (portal, statement): (&[u8], &[u8]),
    (format, values): (Format, &[Option<&[u8]>]),
    result_format: Format,
) -> Result<(), EncodeError> {
    encode::no_nul(portal, "the portal's name")?;
    encode::no_nul(statement, "the statement's name")?;
    let count = count("Bind", values.len())?;
    let length = values.iter().flatten().map(|v| v.len()).sum::<usize>();
    let limit = super::frame::SERVER_LIMIT as usize;
    if length > limit {
        return Err(EncodeError::TooLong { message: "Bind", length, limit });
    }
    encode::message(out, b'B', |out| {
        encode::cstr(out, portal);
        encode::cstr(out, statement);
        out.put_u16(1);
        out.put_u16(format.code());
        out.put_u16(count);
        values.iter().for_each(|v| encode::value(out, *v));
        out.put_u16(1);
        out.put_u16(result_format.code());
    });
    Ok(())
}

fn count(message: &'static str, length: usize) -> Result<u16, EncodeError> {
    let limit = usize::from(u16::MAX);
    u16::try_from(length).map_err(|_| EncodeError::TooLong { message, length, limit })
}

/// Appends a Describe.
///
/// # Errors
/// When the name holds a zero byte.
pub fn encode_describe(out: &mut BytesMut, object: Object<'_>) -> Result<(), EncodeError> {
    encode_object(out, b'D', object)
}

/// Appends a Close.
///
/// # Errors
/// When the name holds a zero byte.
pub fn encode_close(out: &mut BytesMut, object: Object<'_>) -> Result<(), EncodeError> {
    encode_object(out, b'C', object)
}

fn encode_object(out: &mut BytesMut, tag: u8, object: Object<'_>) -> Result<(), EncodeError> {
    let (kind, name) = match object {
        Object::Statement(name) => (b'S', name),
        Object::Portal(name) => (b'P', name),
    };
    encode::no_nul(name, "the name")?;
    encode::message(out, tag, |out| {
        out.put_u8(kind);
        encode::cstr(out, name);
    });
    Ok(())
}

/// Appends an Execute.
///
/// # Errors
/// When the name holds a zero byte.
pub fn encode_execute(out: &mut BytesMut, portal: &[u8], max_rows: i32) -> Result<(), EncodeError> {
    encode::no_nul(portal, "the portal's name")?;
    encode::message(out, b'E', |out| {
        encode::cstr(out, portal);
        out.put_i32(max_rows);
    });
    Ok(())
}

/// Appends a Sync.
pub fn encode_sync(out: &mut BytesMut) {
    encode::message(out, b'S', |_| {});
}

/// Appends a Flush.
pub fn encode_flush(out: &mut BytesMut) {
    encode::message(out, b'H', |_| {});
}

/// Appends a Terminate.
pub fn encode_terminate(out: &mut BytesMut) {
    encode::message(out, b'X', |_| {});
}

/// Appends a CopyData.
pub fn encode_copy_data(out: &mut BytesMut, data: &[u8]) {
    encode::message(out, b'd', |out| out.put_slice(data));
}

/// Appends a CopyDone.
pub fn encode_copy_done(out: &mut BytesMut) {
    encode::message(out, b'c', |_| {});
}

/// Appends a CopyFail; the reason is for people.
pub fn encode_copy_fail(out: &mut BytesMut, reason: &str) {
    encode::message(out, b'f', |out| encode::prose(out, reason));
}

/// Appends a PasswordMessage: a clear-text password, or an MD5 hash of one.
///
/// # Errors
/// When the password holds a zero byte.
pub fn encode_password(out: &mut BytesMut, password: &[u8]) -> Result<(), EncodeError> {
    encode::no_nul(password, "the password")?;
    encode::message(out, b'p', |out| encode::cstr(out, password));
    Ok(())
}

/// Appends a SASLInitialResponse.
pub fn encode_sasl_initial_response(out: &mut BytesMut, mechanism: &'static str, data: &[u8]) {
    encode::message(out, b'p', |out| {
        encode::prose(out, mechanism);
        encode::value(out, Some(data));
    });
}

/// Appends a SASLResponse.
pub fn encode_sasl_response(out: &mut BytesMut, data: &[u8]) {
    encode::message(out, b'p', |out| out.put_slice(data));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one message in `out`, read back.
    fn back(out: &BytesMut) -> Message<'_> {
        let rules = crate::postgres::Rules::frontend(u32::MAX, u32::MAX);
        match crate::postgres::frame::scan(out, &rules) {
            Ok(crate::postgres::Scan::Frame(f)) if f.len() == out.len() => {
                Message::read(f.tag, f.body).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = |write: &dyn Fn(&mut BytesMut)| {
            let mut out = BytesMut::new();
            write(&mut out);
            out
        };
        let out = written(&|o| encode_query(o, b"select 1").unwrap());
        assert_eq!(back(&out), Message::Query(b"select 1"));
        let out = written(&|o| encode_parse(o, b"s", b"select $1", &[23, 0]).unwrap());
        let Message::Parse(p) = back(&out) else { panic!() };
        assert_eq!(
            (p.statement, p.text, p.types().collect::<Vec<_>>()),
            (&b"s"[..], &b"select $1"[..], vec![23, 0])
        );
        let out = written(&|o| encode_describe(o, Object::Portal(b"p")).unwrap());
        assert_eq!(back(&out), Message::Describe(Object::Portal(b"p")));
        let out = written(&|o| encode_close(o, Object::Statement(b"")).unwrap());
        assert_eq!(back(&out), Message::Close(Object::Statement(b"")));
        let out = written(&|o| encode_execute(o, b"p", 7).unwrap());
        assert_eq!(back(&out), Message::Execute(Execute { portal: b"p", max_rows: 7 }));
        assert_eq!(back(&written(&encode_sync)), Message::Sync);
        assert_eq!(back(&written(&encode_flush)), Message::Flush);
        assert_eq!(back(&written(&encode_terminate)), Message::Terminate);
        assert_eq!(back(&written(&encode_copy_done)), Message::CopyDone);
        assert_eq!(back(&written(&|o| encode_copy_data(o, b"1\t2\n"))), Message::CopyData(b"1\t2\n"));
        assert_eq!(back(&written(&|o| encode_copy_fail(o, "no\0more"))), Message::CopyFail(b"no?more"));
        let out = written(&|o| encode_password(o, b"secret").unwrap());
        let Message::Password(p) = back(&out) else { panic!() };
        assert_eq!(password(p.0).unwrap().0, b"secret");
        assert!(!format!("{:?}", back(&out)).contains("115"), "a password must not be shown");
        let out = written(&|o| encode_sasl_initial_response(o, "SCRAM-SHA-256", b"n,,n=,r=x"));
        let Message::Password(p) = back(&out) else { panic!() };
        let first = SaslInitialResponse::read(p.0).unwrap();
        assert_eq!((first.mechanism, first.data), (&b"SCRAM-SHA-256"[..], Some(Secret(b"n,,n=,r=x"))));
        assert!(encode_query(&mut BytesMut::new(), b"select\0").is_err());
    }

    #[test]
    fn bind_with_and_without_formats() {
        let mut out = BytesMut::new();
        let values = [Some(&b"x"[..]), None, Some(&b""[..])];
        encode_bind(&mut out, (b"p", b"s"), (Format::Binary, &values), Format::Text).unwrap();
        let Message::Bind(b) = back(&out) else { panic!() };
        assert_eq!((b.portal, b.statement, b.values.len()), (&b"p"[..], &b"s"[..], 3));
        assert_eq!(b.parameters().collect::<Vec<_>>(), values.map(|v| (Format::Binary, v)));
        assert_eq!(b.result_formats.of(9), Format::Text);

        let body = b"\0\0\0\x02\0\x01\0\0\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\0";
        let b = Bind::read(body).unwrap();
        assert_eq!(
            b.parameters().collect::<Vec<_>>(),
            [(Format::Binary, Some(&b"a"[..])), (Format::Text, None)]
        );
        let none = Bind::read(b"\0\0\0\0\0\x01\0\0\0\0\0\0").unwrap();
        assert_eq!(none.parameters().collect::<Vec<_>>(), [(Format::Text, Some(&b""[..]))]);
        assert_eq!(Bind::read(b"\0\0\0\x01\0\x07\0\0\0\0").unwrap().formats.unsupported(), Some(7));
    }

    #[test]
    fn bind_holds_65535_parameters() {
        let values = vec![Some(&b"1"[..]); 65_535];
        let mut out = BytesMut::new();
        encode_bind(&mut out, (b"", b""), (Format::Text, &values), Format::Text).unwrap();
        let Message::Bind(b) = back(&out) else { panic!() };
        assert_eq!((b.values.len(), b.parameters().count()), (65_535, 65_535));
        let values = vec![None; 65_536];
        assert!(encode_bind(&mut out, (b"", b""), (Format::Text, &values), Format::Text).is_err());
    }

    #[track_caller]
    fn refused(tag: u8, body: &[u8], words: &str) {
        let error = Message::read(tag, body).expect_err("malformed");
        assert_eq!(error.server_words(), words, "{error}");
    }

    #[test]
    fn malformed_bodies_in_the_servers_words() {
        refused(b'Q', b"select", "invalid string in message");
        refused(b'Q', b"select\0x", "invalid message format");
        refused(b'P', b"s\0q\0\0\x02\0\0\0\x01", "insufficient data left in message");
        refused(b'P', b"s\0q\0", "insufficient data left in message");
        refused(
            b'B',
            b"\0\0\0\x02\0\0\0\0\0\x01\0\0\0\0\0\0",
            "bind message has 2 parameter formats but 1 parameters",
        );
        refused(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0", "insufficient data left in message");
        refused(b'B', b"\0\0\0\0\xff\xff", "insufficient data left in message");
        refused(b'D', b"Xname\0", "invalid DESCRIBE message subtype 88");
        refused(b'C', b"\x01\0", "invalid CLOSE message subtype 1");
        refused(b'E', b"p\0\0\0\0", "insufficient data left in message");
        refused(b'S', b"x", "invalid message format");
        refused(b'f', b"why", "invalid string in message");
        refused(b'F', b"\0\0\0\x01\0\0\0\0", "insufficient data left in message");
        assert!(SaslInitialResponse::read(b"SCRAM-SHA-256\0\0\0\0\x05abc").is_err());
    }

    #[test]
    fn the_names_of_a_bind_are_read_whatever_follows() {
        assert_eq!(bind_names(b"p\0s\0"), Ok((&b"p"[..], &b"s"[..])));
        assert_eq!(bind_names(b"\0\0\xff"), Ok((&b""[..], &b""[..])));
        assert!(bind_names(b"p\0s").is_err() && bind_names(b"").is_err());
    }

    #[test]
    fn function_call() {
        let body = b"\0\0\x03\xbb\0\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff\0\x01";
        let call = FunctionCall::read(body).unwrap();
        assert_eq!(
            (call.function, call.result_format, call.formats.of(1)),
            (955, Format::Binary, Format::Binary)
        );
        assert_eq!(call.arguments.iter().collect::<Vec<_>>(), [Some(&b"\0\0\0\x07"[..]), None]);
    }
}
