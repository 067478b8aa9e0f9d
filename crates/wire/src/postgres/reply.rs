//! Writers for what a gateway sends to a client in a server's place: authentication, its own errors, and the messages
//! around them. [`backend`](super::backend) reads the same messages.

use bytes::{BufMut as _, BytesMut};

use super::backend::{Authentication, TransactionStatus};
use super::encode;
use super::startup::{MAX_CANCEL_KEY_LEN, ProtocolVersion};

/// How bad a [`Notice`] is. Not translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed; the session lives on.
    Error,
    /// The session ends.
    Fatal,
    /// For information, in a NoticeResponse.
    Notice,
    /// A warning, in a NoticeResponse.
    Warning,
}

impl Severity {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
        }
    }
}

/// An error or a notice of our own. Only the message reaches a model through an MCP server, so what to do stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice<'a> {
    /// Error and fatal make an ErrorResponse, the others a NoticeResponse.
    pub severity: Severity,
    /// Five characters.
    pub sqlstate: &'a str,
    /// One line.
    pub message: &'a str,
    /// More for people.
    pub detail: Option<&'a str>,
    /// What to do, for people.
    pub hint: Option<&'a str>,
}

impl<'a> Notice<'a> {
    /// An error after which the session lives on.
    #[must_use]
    pub fn error(sqlstate: &'a str, message: &'a str) -> Self {
        Self { severity: Severity::Error, sqlstate, message, detail: None, hint: None }
    }

    /// An error that ends the session.
    #[must_use]
    pub fn fatal(sqlstate: &'a str, message: &'a str) -> Self {
        Self { severity: Severity::Fatal, ..Self::error(sqlstate, message) }
    }

    /// The same with a detail.
    #[must_use]
    pub fn detail(self, detail: &'a str) -> Self {
        Self { detail: Some(detail), ..self }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(self, hint: &'a str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// Appends the ErrorResponse or NoticeResponse.
    pub fn encode(&self, out: &mut BytesMut) {
        let tag = match self.severity {
            Severity::Error | Severity::Fatal => b'E',
            Severity::Notice | Severity::Warning => b'N',
        };
        encode::message(out, tag, |out| {
            let mut field = |code: u8, text: &str| {
                out.put_u8(code);
                encode::prose(out, text);
            };
            field(b'S', self.severity.word());
            field(b'V', self.severity.word());
            field(b'C', self.sqlstate);
            field(b'M', self.message);
            if let Some(detail) = self.detail {
                field(b'D', detail);
            }
            if let Some(hint) = self.hint {
                field(b'H', hint);
            }
            out.put_u8(0);
        });
    }
}

/// Appends a ReadyForQuery.
pub fn encode_ready_for_query(out: &mut BytesMut, status: TransactionStatus) {
    encode::message(out, b'Z', |out| out.put_u8(status.code()));
}

/// Appends a step of authentication, except the offer of SASL mechanisms: see [`encode_sasl`].
pub fn encode_authentication(out: &mut BytesMut, step: Authentication<'_>) {
    encode::message(out, b'R', |out| match step {
        Authentication::Ok => out.put_u32(0),
        Authentication::KerberosV5 => out.put_u32(2),
        Authentication::CleartextPassword => out.put_u32(3),
        Authentication::Md5Password { salt } => {
            out.put_u32(5);
            out.put_slice(&salt);
        }
        Authentication::Gss => out.put_u32(7),
        Authentication::GssContinue(data) => {
            out.put_u32(8);
            out.put_slice(data);
        }
        Authentication::Sspi => out.put_u32(9),
        Authentication::Sasl(mechanisms) => {
            out.put_u32(10);
            mechanisms.iter().for_each(|name| encode::cstr(out, name));
            out.put_u8(0);
        }
        Authentication::SaslContinue(data) => {
            out.put_u32(11);
            out.put_slice(data);
        }
        Authentication::SaslFinal(data) => {
            out.put_u32(12);
            out.put_slice(data);
        }
        Authentication::Unknown(kind) => out.put_u32(kind),
    });
}

/// Appends AuthenticationSASL with these mechanisms, best first.
pub fn encode_sasl(out: &mut BytesMut, mechanisms: &[&'static str]) {
    encode::message(out, b'R', |out| {
        out.put_u32(10);
        mechanisms.iter().for_each(|name| encode::prose(out, name));
        out.put_u8(0);
    });
}

/// Appends a ParameterStatus.
pub fn encode_parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    encode::message(out, b'S', |out| {
        encode::prose(out, name);
        encode::prose(out, value);
    });
}

/// Appends a BackendKeyData. A key longer than the protocol allows is cut; ours have 4 or 32 bytes.
pub fn encode_backend_key_data(out: &mut BytesMut, pid: u32, key: &[u8]) {
    encode::message(out, b'K', |out| {
        out.put_u32(pid);
        out.put_slice(key.get(..MAX_CANCEL_KEY_LEN).unwrap_or(key));
    });
}

/// Appends a NegotiateProtocolVersion: the version spoken, and the protocol options not known.
pub fn encode_negotiate_protocol_version<'a>(
    out: &mut BytesMut,
    newest: ProtocolVersion,
    options: impl IntoIterator<Item = &'a [u8]>,
) {
    encode::message(out, b'v', |out| {
        out.put_u32(newest.0);
        let at = out.len();
        out.put_u32(0);
        let mut count = 0_u32;
        for option in options {
            encode::cstr(out, option);
            count += 1;
        }
        if let Some(field) = out.get_mut(at..at + 4) {
            field.copy_from_slice(&count.to_be_bytes());
        }
    });
}

/// Appends a CommandComplete.
pub fn encode_command_complete(out: &mut BytesMut, tag: &str) {
    encode::message(out, b'C', |out| encode::prose(out, tag));
}

/// Appends an EmptyQueryResponse.
pub fn encode_empty_query_response(out: &mut BytesMut) {
    encode::message(out, b'I', |_| {});
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Format;
    use crate::postgres::backend::{CommandTag, DataRow, Message, Report, RowDescription};

    /// The one message that `write` writes, handed to `check`.
    #[track_caller]
    fn back(write: impl Fn(&mut BytesMut), check: impl Fn(Message<'_>)) {
        let mut out = BytesMut::new();
        write(&mut out);
        let rules = crate::postgres::Rules::backend(u32::MAX, u32::MAX);
        match crate::postgres::frame::scan(&out, &rules) {
            Ok(crate::postgres::Scan::Frame(f)) if f.len() == out.len() => {
                check(Message::read(f.tag, f.body).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reports_read_back() {
        let ours = Notice::error("RF001", "approval\0pending").detail("d").hint("h");
        back(
            |o| ours.encode(o),
            |m| {
                let Message::ErrorResponse(r) = m else { panic!("{m:?}") };
                assert_eq!(
                    (r.severity(), r.sqlstate(), r.message()),
                    (&b"ERROR"[..], &b"RF001"[..], &b"approval?pending"[..])
                );
                assert_eq!(
                    (r.field(b'D'), r.field(b'H'), r.field(b'W')),
                    (Some(&b"d"[..]), Some(&b"h"[..]), None)
                );
                assert!(!r.is_fatal());
            },
        );
        back(
            |o| Notice::fatal("28P01", "no").encode(o),
            |m| {
                assert!(matches!(m, Message::ErrorResponse(r) if r.is_fatal()));
            },
        );
        let notice = Notice { severity: Severity::Notice, ..ours };
        back(|o| notice.encode(o), |m| assert!(matches!(m, Message::NoticeResponse(_))));
        assert!(Report::read(b"Mno end", "ErrorResponse").is_err());
        assert!(Report::read(b"Mx\0", "ErrorResponse").is_err());
        assert!(Report::read(b"\0x", "ErrorResponse").is_err());
    }

    #[test]
    fn authentication_steps_read_back() {
        use Authentication as A;
        let steps = [
            A::Ok,
            A::KerberosV5,
            A::CleartextPassword,
            A::Md5Password { salt: [1, 2, 3, 4] },
            A::Gss,
            A::GssContinue(b"x"),
            A::Sspi,
            A::SaslContinue(b"r=1"),
            A::SaslFinal(b"v=1"),
            A::Unknown(99),
        ];
        for step in steps {
            back(|o| encode_authentication(o, step), |m| assert_eq!(m, Message::Authentication(step)));
        }
        let mechanisms = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"];
        back(
            |o| encode_sasl(o, &mechanisms),
            |m| {
                let Message::Authentication(A::Sasl(list)) = m else { panic!("{m:?}") };
                assert_eq!(list.iter().collect::<Vec<_>>(), mechanisms.map(str::as_bytes));
                back(|o| encode_authentication(o, A::Sasl(list)), |again| assert_eq!(again, m));
            },
        );
        assert!(A::read(b"\0\0\0\x05\x01\x02").is_err());
        assert!(A::read(b"\0\0\0\x0aSCRAM\0").is_err());
        assert!(A::read(b"\0\0").is_err());
    }

    #[test]
    fn session_facts_read_back() {
        back(
            |o| encode_backend_key_data(o, 7, &[5; 32]),
            |m| {
                assert!(!format!("{m:?}").contains('5'), "a cancel key must not be shown");
                assert!(matches!(m, Message::BackendKeyData(k) if k.pid == 7 && k.key == [5; 32]));
            },
        );
        assert!(Message::read(b'K', b"\0\0\0\x07abc").is_err());
        back(
            |o| encode_parameter_status(o, "TimeZone", "UTC"),
            |m| {
                assert!(
                    matches!(m, Message::ParameterStatus(s) if s.name == b"TimeZone" && s.value == b"UTC")
                );
            },
        );
        let options = [&b"_pq_.a"[..], b"_pq_.b"];
        back(
            |o| encode_negotiate_protocol_version(o, ProtocolVersion::V3_0, options),
            |m| {
                let Message::NegotiateProtocolVersion(n) = m else { panic!("{m:?}") };
                assert_eq!(
                    (n.newest, n.options().collect::<Vec<_>>()),
                    (ProtocolVersion::V3_0, options.to_vec())
                );
            },
        );
        assert!(Message::read(b'v', b"\0\x03\0\0\xff\xff\xff\xff").is_err());
        for status in [TransactionStatus::Idle, TransactionStatus::InTransaction, TransactionStatus::Failed] {
            back(|o| encode_ready_for_query(o, status), |m| assert_eq!(m, Message::ReadyForQuery(status)));
        }
        assert!(Message::read(b'Z', b"X").is_err());
        back(
            |o| encode_command_complete(o, "SELECT 1"),
            |m| {
                assert_eq!(m, Message::CommandComplete(CommandTag(b"SELECT 1")));
            },
        );
        back(encode_empty_query_response, |m| assert_eq!(m, Message::EmptyQueryResponse));
    }

    #[test]
    fn command_tags() {
        let facts = |tag: &'static str| {
            let tag = CommandTag(tag.as_bytes());
            (tag.rows(), std::str::from_utf8(tag.verb()).unwrap())
        };
        assert_eq!(facts("SELECT 5"), (Some(5), "SELECT"));
        assert_eq!(facts("INSERT 0 12"), (Some(12), "INSERT"));
        assert_eq!(facts("CREATE TABLE"), (None, "CREATE TABLE"));
        assert_eq!(facts("SELECT 18446744073709551616"), (None, "SELECT"));
        assert_eq!(facts("5"), (None, "5"));
        assert_eq!(facts("BEGIN "), (None, "BEGIN "));
    }

    #[test]
    fn rows() {
        let described = b"\0\x01id\0\0\0\x40\x01\0\x02\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01";
        let description = RowDescription::read(described).unwrap();
        let column = description.columns().next().unwrap();
        assert_eq!((column.name, column.table, column.number), (&b"id"[..], 0x4001, 2));
        assert_eq!((column.type_oid, column.type_size, column.type_modifier), (23, 4, -1));
        assert_eq!(column.format, Format::Binary);
        assert!(RowDescription::read(&described[..20]).is_err());

        let values =
            |body: &'static [u8]| DataRow::read(body).unwrap().values().collect::<Result<Vec<_>, _>>();
        assert_eq!(values(b"\0\x02\0\0\0\x01a\xff\xff\xff\xff").unwrap(), [Some(&b"a"[..]), None]);
        assert!(values(b"\0\x01\0\0\0\x02a").is_err());
        assert!(values(b"\0\x01\xff\xff\xff\xfe").is_err());
        assert!(values(b"\0\0x").is_err());
        let walked = DataRow::read(b"\xff\xff").unwrap().values().count();
        assert_eq!(walked, 1, "an error ends the walk");
    }

    #[test]
    fn copy_notify_and_the_rest() {
        let Message::CopyInResponse(c) = Message::read(b'G', b"\x01\0\x02\0\x01\0\x01").unwrap() else {
            panic!()
        };
        assert_eq!((c.format, c.columns().collect::<Vec<_>>()), (Format::Binary, vec![Format::Binary; 2]));
        assert!(Message::read(b'H', b"\0\0\x02\0\0").is_err());
        let Message::NotificationResponse(n) = Message::read(b'A', b"\0\0\0\x09ch\0hello\0").unwrap() else {
            panic!()
        };
        assert_eq!((n.pid, n.channel, n.payload), (9, &b"ch"[..], &b"hello"[..]));
        assert_eq!(Message::read(b'V', b"\xff\xff\xff\xff"), Ok(Message::FunctionCallResponse(None)));
        let Message::ParameterDescription(p) = Message::read(b't', b"\0\x01\0\0\0\x17").unwrap() else {
            panic!()
        };
        assert_eq!(p.types().collect::<Vec<_>>(), [23]);
        // The count has 16 bits: 65,537 parameters count as 1.
        let many = [&[0, 1][..], &[0, 0, 0, 23].repeat(65_537)].concat();
        let Message::ParameterDescription(p) = Message::read(b't', &many).unwrap() else { panic!() };
        assert_eq!(p.types().filter(|t| *t == 23).count(), 65_537);
        assert!(Message::read(b't', many.get(..many.len() - 4).unwrap()).is_err());
        assert_eq!(Message::read(b'!', b"??"), Ok(Message::Unknown(b'!')));
        for tag in *b"123nsIc" {
            assert!(Message::read(tag, b"").is_ok() && Message::read(tag, b"x").is_err(), "{tag}");
        }
    }
}
