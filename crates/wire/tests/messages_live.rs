//! Messages to and from a real PostgreSQL: what it refuses we refuse in the same words, and nothing it says is unknown.
//!
//! Fails where PostgreSQL is not installed: `apt install postgresql`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod server;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use firsthand_wire::postgres::backend::{Authentication, Message};
use firsthand_wire::postgres::frontend::{self, Message as Frontend, Object};
use firsthand_wire::postgres::scram::{ITERATIONS, Verifier};
use firsthand_wire::postgres::startup::{self, ProtocolVersion};
use firsthand_wire::postgres::{Format, Frames, Rules, encode};
use server::{Server, Session};

#[test]
fn a_real_server_and_we_agree() {
    let server = Server::start();
    malformed_messages(&server);
    refused_startups(&server);
    negotiation(&server);
    everything_it_says_is_known(&server);
    its_verifiers_are_ours(&server);
}

fn connect(server: &Server) -> UnixStream {
    UnixStream::connect(server.dir.join(".s.PGSQL.5432")).unwrap()
}

fn malformed_messages(server: &Server) {
    let cases: &[(u8, &[u8])] = &[
        (b'Q', b"select"),
        (b'Q', b"select\0x"),
        (b'P', b"s\0q\0\0\x02\0\0\0\x01"),
        (b'P', b"s"),
        (b'D', b"Xname\0"),
        (b'D', b""),
        (b'D', b"Sname"),
        (b'C', b"Xname\0"),
        (b'C', b"Sname\0x"),
        (b'E', b"p\0\0\0\0"),
        (b'E', b"p\0\0\0\0\0x"),
        (b'H', b"x"),
        (b'B', b"\0ok\0\0\x02\0\0\0\0\0\x01\0\0\0\0\0\0"),
        (b'B', b"\0ok\0\0\0\0\x01\xff\xff\xff\xfe\0\0"),
        (b'B', b"\0ok\0\0\0\0\x01\0\0\0\x09abc"),
        (b'B', b"\0ok\0\0\0\0\x01\0\0\0\x01a\0\0x"),
        (b'F', b"\0\0\x03\xbb"),
    ];
    for (tag, body) in cases {
        let ours = Frontend::read(*tag, body).expect_err("malformed").server_words();
        let mut session = Session::open(&server.dir);
        session.ask("select 1", &[], Format::Text).unwrap();
        let mut out = BytesMut::new();
        frontend::encode_parse(&mut out, b"ok", b"select $1::text", &[]).unwrap();
        encode::message(&mut out, *tag, |out| out.extend_from_slice(body));
        // The server ends a simple query and a function call by itself, with a ReadyForQuery.
        if !matches!(tag, b'Q' | b'F') {
            frontend::encode_sync(&mut out);
        }
        let theirs = session.exchange(&out).expect_err("the server takes what we refuse");
        assert_eq!(ours, theirs, "{} {}", char::from(*tag), body.escape_ascii());
    }
}

fn refused_startups(server: &Server) {
    let packet = |version: u32, text: &[u8]| {
        let body = [&version.to_be_bytes(), text].concat();
        [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], &body].concat()
    };
    let v3 = ProtocolVersion::V3_0.0;
    let cases = [
        packet(v3, b"user\0a\0"),
        packet(v3, b"user\0a"),
        packet(v3, b"user\0a\0\0x"),
        packet(v3, b"user\0a\0\0\0"),
        packet(v3, b""),
        packet(v3, b"\0"),
        packet(v3, b"user\0\0\0"),
        packet(v3, b"user\0a\0replication\0maybe\0\0"),
        packet(ProtocolVersion::new(4, 0).0, b""),
        packet(80_877_102, b"\0\0\0\x01"),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\xff\xff\xff\xff".to_vec(),
        b"\0\0\0\x07".to_vec(),
        10_005_u32.to_be_bytes().to_vec(),
    ];
    let mut old = connect(server);
    old.write_all(&packet(ProtocolVersion::new(2, 0).0, b"")).unwrap();
    let mut answer = Vec::new();
    old.read_to_end(&mut answer).unwrap();
    assert!(
        answer.starts_with(b"EFATAL:  unsupported frontend protocol 2.0: server supports "),
        "in the form of version 2"
    );
    for case in &cases {
        let ours = startup::first(case).expect_err("refused");
        let mut stream = connect(server);
        stream.write_all(case).unwrap();
        let mut answer = Vec::new();
        // A server that closes with our bytes unread resets the connection; then there is no answer either.
        let _ = stream.read_to_end(&mut answer);
        let mut frames = Frames::new(&answer, &Rules::backend(u32::MAX, u32::MAX));
        let theirs = frames.next().unwrap().map(|f| match Message::read(f.tag, f.body).unwrap() {
            Message::ErrorResponse(r) => {
                (r.sqlstate().to_vec(), String::from_utf8_lossy(r.message()).into_owned())
            }
            other => panic!("{other:?}"),
        });
        let case = case.escape_ascii();
        assert_eq!(ours.sqlstate().map(str::as_bytes), theirs.as_ref().map(|t| t.0.as_slice()), "{case}");
        if let Some((_, words)) = theirs {
            // The rest names the versions that this server speaks, or the value.
            let ours = ours.to_string();
            let same = ours.split(": server").next().unwrap();
            assert!(words.starts_with(same), "{case}: {words}");
        }
    }
}

/// Reads up to ReadyForQuery and says what came, by name.
fn names(stream: &mut UnixStream) -> Vec<String> {
    let (mut buffer, mut names) = (Vec::new(), Vec::<String>::new());
    let mut at = 0;
    loop {
        let mut chunk = [0; 65_536];
        let n = stream.read(&mut chunk).unwrap();
        assert!(n > 0, "closed after {names:?}");
        buffer.extend_from_slice(&chunk[..n]);
        let mut frames = Frames::new(&buffer[at..], &Rules::backend(u32::MAX, u32::MAX));
        while let Some(frame) = frames.next().unwrap() {
            let message = Message::read(frame.tag, frame.body).unwrap();
            assert!(!matches!(
                message,
                Message::Unknown(_) | Message::Authentication(Authentication::Unknown(_))
            ));
            names.push(format!("{message:?}").split(['(', ' ']).next().unwrap().to_owned());
        }
        at += frames.consumed();
        if names.iter().any(|n| n == "ReadyForQuery" || n.starts_with("Copy") && n.ends_with("InResponse"))
            && at == buffer.len()
        {
            names.dedup();
            return names;
        }
    }
}

fn negotiation(server: &Server) {
    let mut stream = connect(server);
    let mut out = BytesMut::new();
    let mut one = [0];
    for ask in [startup::encode_gssenc_request, startup::encode_ssl_request] {
        out.clear();
        ask(&mut out);
        stream.write_all(&out).unwrap();
        stream.read_exact(&mut one).unwrap();
        assert_eq!(&one, b"N");
    }
    out.clear();
    let parameters = [(&b"user"[..], &b"postgres"[..]), (b"_pq_.unknown", b"1")];
    startup::encode_startup(&mut out, ProtocolVersion::new(3, 9999), parameters).unwrap();
    stream.write_all(&out).unwrap();
    let seen = names(&mut stream);
    assert_eq!(
        seen,
        ["NegotiateProtocolVersion", "Authentication", "ParameterStatus", "BackendKeyData", "ReadyForQuery"]
    );

    let mut stream = connect(server);
    out.clear();
    startup::encode_cancel(&mut out, 1, &[0; 4]).unwrap();
    stream.write_all(&out).unwrap();
    assert_eq!(stream.read(&mut one).unwrap(), 0, "a cancel request is never answered");
}

fn everything_it_says_is_known(server: &Server) {
    let mut stream = connect(server);
    let mut out = BytesMut::new();
    startup::encode_startup(&mut out, ProtocolVersion::V3_0, [(&b"user"[..], &b"postgres"[..])]).unwrap();
    stream.write_all(&out).unwrap();
    names(&mut stream);
    let mut ask = |write: &dyn Fn(&mut BytesMut)| {
        let mut out = BytesMut::new();
        write(&mut out);
        stream.write_all(&out).unwrap();
        names(&mut stream).join(" ")
    };
    let query =
        |text: &'static str| move |out: &mut BytesMut| frontend::encode_query(out, text.as_bytes()).unwrap();
    assert_eq!(ask(&query("select 1")), "RowDescription DataRow CommandComplete ReadyForQuery");
    assert_eq!(ask(&query("")), "EmptyQueryResponse ReadyForQuery");
    assert_eq!(ask(&query("selec")), "ErrorResponse ReadyForQuery");
    assert_eq!(
        ask(&query("do $$ begin raise notice 'n'; end $$")),
        "NoticeResponse CommandComplete ReadyForQuery"
    );
    assert_eq!(ask(&query("set application_name = 'x'")), "CommandComplete ParameterStatus ReadyForQuery");
    assert_eq!(ask(&query("listen c; notify c, 'p'")), "CommandComplete NotificationResponse ReadyForQuery");
    assert_eq!(
        ask(&query("copy (select 1, 2) to stdout (format binary)")),
        "CopyOutResponse CopyData CopyDone CommandComplete ReadyForQuery"
    );
    assert_eq!(
        ask(&query("create temp table t (a int); copy t from stdin")),
        "CommandComplete CopyInResponse"
    );
    let data = |out: &mut BytesMut| {
        frontend::encode_copy_data(out, b"1\n2\n");
        frontend::encode_copy_done(out);
    };
    assert_eq!(ask(&data), "CommandComplete ReadyForQuery");
    assert_eq!(ask(&query("copy t from stdin")), "CopyInResponse");
    assert_eq!(ask(&|out| frontend::encode_copy_fail(out, "enough")), "ErrorResponse ReadyForQuery");
    let extended = |out: &mut BytesMut| {
        frontend::encode_parse(out, b"s", b"select a from t where a > $1", &[23]).unwrap();
        frontend::encode_describe(out, Object::Statement(b"s")).unwrap();
        frontend::encode_bind(out, (b"p", b"s"), (Format::Text, &[Some(b"0")]), Format::Binary).unwrap();
        frontend::encode_execute(out, b"p", 1).unwrap();
        frontend::encode_close(out, Object::Portal(b"p")).unwrap();
        frontend::encode_flush(out);
        frontend::encode_parse(out, b"", b"begin", &[]).unwrap();
        frontend::encode_describe(out, Object::Statement(b"")).unwrap();
        frontend::encode_sync(out);
    };
    assert_eq!(
        ask(&extended),
        "ParseComplete ParameterDescription RowDescription BindComplete DataRow PortalSuspended CloseComplete \
         ParseComplete ParameterDescription NoData ReadyForQuery"
    );
    // int4abs, by its oid, in binary.
    let call = |out: &mut BytesMut| {
        encode::message(out, b'F', |out| {
            out.extend_from_slice(b"\0\0\x04\xe3\0\x01\0\x01\0\x01\0\0\0\x04\xff\xff\xff\xff\0\x01");
        });
    };
    assert_eq!(ask(&call), "FunctionCallResponse ReadyForQuery");
}

fn its_verifiers_are_ours(server: &Server) {
    let mut session = Session::open(&server.dir);
    session.ask("create role r password 'fh_tokenlike-secret_0'", &[], Format::Text).unwrap();
    let (_, rows) =
        session.ask("select rolpassword from pg_authid where rolname = 'r'", &[], Format::Text).unwrap();
    let stored = String::from_utf8(rows[0][0].clone().unwrap()).unwrap();
    let parts: Vec<&str> = stored.split(['$', ':']).collect();
    let key = |at: usize| STANDARD.decode(parts[at]).unwrap();
    assert_eq!(parts[..2], ["SCRAM-SHA-256", "4096"]);
    let ours = Verifier::derive(b"fh_tokenlike-secret_0", key(2).try_into().unwrap(), ITERATIONS);
    assert_eq!((ours.stored_key.to_vec(), ours.server_key.to_vec()), (key(3), key(4)));
}
