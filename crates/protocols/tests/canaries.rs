//! Canaries: values that policy masks, in a real PostgreSQL, asked for through every channel, type, format and protocol.
//! No byte of them may reach the client or the record. The policy is the double that reads duties from comments; the
//! bytes go through the dialect whole, and once more cut into pieces of seven, which must tell the same.
//! Fails where PostgreSQL is not installed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "../../wire/tests/server/mod.rs"]
mod server;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use firsthand_model::event::Event;
use firsthand_model::target::{ChangedRows, Durability, Mode};
use firsthand_model::time::MonoMicros;
use firsthand_protocols::budget::Budget;
use firsthand_protocols::dialect::{Action, Dialect};
use firsthand_protocols::postgres::dialect::{PostgresDialect, Setup};
use firsthand_session::Session;
use firsthand_session::fake::{Disk, Fakes, fakes, target};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frontend::{self, Object};
use firsthand_wire::postgres::startup::{ProtocolVersion, encode_startup};

const NOW: MonoMicros = MonoMicros(0);

/// The canaries in all the forms in which they could leave: as text, and as the bytes of binary values.
fn canaries() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "CANARY7f3a",
        "canary7f3a",
        "43414e41525937",
        "8899776655443322",
        "88997766.5544",
        "c0ffee00-dead-4bad-8bad-123456789abc",
        "c0ffee00dead4bad8bad123456789abc",
        "1987-06-05",
        "10.98.76.54",
        "08:00:2b:9f:8e:7d",
    ]
    .iter()
    .map(|t| t.as_bytes().to_vec())
    .collect();
    all.push(8_899_776_655_443_322_i64.to_be_bytes().to_vec());
    all.push(0xc0ff_ee00_dead_4bad_8bad_1234_5678_9abc_u128.to_be_bytes().to_vec());
    all.push(vec![10, 98, 76, 54]);
    all.push(vec![8, 0, 0x2b, 0x9f, 0x8e, 0x7d]);
    all
}

const TABLE: &str = "create table c (mail text, short varchar(30), padded char(40), big int8, num numeric(20,4), f float8,
    id uuid, born date, at timestamptz, raw bytea, doc json, docb jsonb, tags text[], bigs int8[], ip inet, mac macaddr,
    span daterange, key int4 unique)";

const ROW: &str = "insert into c values ('CANARY7f3a@example.com', 'CANARY7f3a@example.com', 'CANARY7f3a@example.com',
    8899776655443322, 88997766.5544, 8899776655443322, 'c0ffee00-dead-4bad-8bad-123456789abc', '1987-06-05',
    '1987-06-05 01:02:03+00', 'CANARY7f3a', '{\"m\":\"CANARY7f3a@example.com\",\"n\":8899776655443322}',
    '{\"m\":[\"CANARY7f3a@example.com\"]}', '{\"CANARY7f3a@example.com\",NULL}', '{8899776655443322}', '10.98.76.54',
    '08:00:2b:9f:8e:7d', '[1987-06-05,1988-01-01)', 1)";

const COLUMNS: usize = 18;

/// Opens a session with the server past its login.
fn connect(dir: &std::path::Path) -> UnixStream {
    let mut stream = UnixStream::connect(dir.join(".s.PGSQL.5432")).unwrap();
    let mut out = BytesMut::new();
    let parameters = [(&b"user"[..], &b"postgres"[..]), (b"client_encoding", b"UTF8")];
    encode_startup(&mut out, ProtocolVersion::V3_0, parameters).unwrap();
    stream.write_all(&out).unwrap();
    let mut greeting = Vec::new();
    while !greeting.ends_with(b"Z\0\0\0\x05I") {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).unwrap();
        greeting.extend_from_slice(&chunk[..n]);
    }
    stream
}

struct Gateway {
    fakes: Fakes,
    session: Session,
    dialect: PostgresDialect,
    stream: UnixStream,
    piece: usize,
    told: Vec<u8>,
}

impl Gateway {
    fn open(dir: &std::path::Path, piece: usize) -> Self {
        let fakes = fakes(Disk::Instant, target(Durability::Strict, Mode::Enforce));
        let (session, admission) = fakes.open();
        let setup = Setup {
            knowing: None,
            analyzer: Arc::default(),
            parameters: Vec::new(),
            session_role: "postgres".to_owned(),
            role: "postgres".to_owned(),
            session: session.facts().id,
            message_bytes_max: 1 << 20,
            budget: Budget::new(1 << 20),
            changed: ChangedRows::Off,
            tables: None,
            unobserved: false,
        };
        let dialect = PostgresDialect::new(admission, setup);
        Self { fakes, session, dialect, stream: connect(dir), piece, told: Vec::new() }
    }

    /// Sends messages that end with one ReadyForQuery; what the client is told.
    fn ask(&mut self, bytes: &BytesMut) -> Vec<u8> {
        let (mut client, mut server) = (bytes.clone(), BytesMut::new());
        let mut out = Vec::new();
        while !client.is_empty() {
            self.dialect.from_client(&mut client, NOW, &mut out);
            self.carry_out(std::mem::take(&mut out));
        }
        while !self.told.ends_with(b"Z\0\0\0\x05I") {
            let mut chunk = vec![0; self.piece];
            let n = self.stream.read(&mut chunk).unwrap();
            assert!(n > 0, "the server closed");
            server.extend_from_slice(&chunk[..n]);
            self.dialect.from_server(&mut server, NOW, &mut out);
            self.carry_out(std::mem::take(&mut out));
        }
        std::mem::take(&mut self.told)
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::ToServer(forward) => self.stream.write_all(&forward.into_bytes()).unwrap(),
                Action::ToClient(reply) => self.told.extend_from_slice(&reply.into_parts().0),
                Action::Ask(commands) => {
                    let mut asking = Box::pin(self.session.submit(commands));
                    let polled = Pin::new(&mut asking).poll(&mut Context::from_waker(Waker::noop()));
                    let Poll::Ready(answers) = polled else { panic!("it waits") };
                    let mut out = Vec::new();
                    self.dialect.answered(answers, NOW, &mut out);
                    self.carry_out(out);
                }
                Action::Look(_) => panic!("nobody looks after the definitions here"),
                Action::Think(thinking) => {
                    let (thought, mut out) = (thinking.done_at_once(), Vec::new());
                    self.dialect.thought(thought, NOW, &mut out);
                    self.carry_out(out);
                }
                Action::Complete { permit, outcome, last } => {
                    let reply = self.session.complete(permit, *outcome).unwrap().reply(last);
                    self.told.extend_from_slice(&reply.into_parts().0);
                }
                Action::Abandon(permit, why) => permit.abandon(why),
                Action::Rows(number, piece) => self.session.record_rows(number, piece).unwrap(),
                Action::Changed(number, piece) => self.session.record_changed(number, piece).unwrap(),
                Action::Settled
                | Action::Progress(..)
                | Action::Role(_)
                | Action::StopTarget
                | Action::EndTarget(_) => {}
                Action::Note { what, detail, reply } => {
                    let reply = self.session.note(what, detail).unwrap().reply(reply);
                    self.told.extend_from_slice(&reply.into_parts().0);
                }
                Action::Close { why, detail } => panic!("closed: {why} {detail}"),
            }
        }
    }

    /// All that the record holds of texts and values.
    fn record(&self) -> Vec<u8> {
        self.fakes.log.with(|events| {
            let mut all = Vec::new();
            for event in events {
                match event {
                    Event::CommandDecided(e) => {
                        all.extend_from_slice(e.command.text.as_bytes());
                        all.extend_from_slice(e.command.parameters.as_bytes());
                    }
                    Event::CommandRows(e) => all.extend_from_slice(e.values.as_bytes()),
                    Event::CommandCompleted(e) => {
                        let o = &e.outcome;
                        for json in [&o.columns, &o.error, &o.notices, &o.inline_rows] {
                            all.extend_from_slice(json.as_bytes());
                        }
                    }
                    Event::SessionNoted(e) => all.extend_from_slice(e.detail.as_bytes()),
                    _ => {}
                }
            }
            all
        })
    }
}

fn simple(text: &str) -> BytesMut {
    let mut out = BytesMut::new();
    frontend::encode_query(&mut out, text.as_bytes()).unwrap();
    out
}

fn extended(text: &str, format: Format, describe: bool, max_rows: i32) -> BytesMut {
    let mut out = BytesMut::new();
    frontend::encode_parse(&mut out, b"", text.as_bytes(), &[]).unwrap();
    frontend::encode_bind(&mut out, (b"", b""), (Format::Text, &[]), format).unwrap();
    if describe {
        frontend::encode_describe(&mut out, Object::Portal(b"")).unwrap();
    }
    frontend::encode_execute(&mut out, b"", max_rows).unwrap();
    frontend::encode_execute(&mut out, b"", 0).unwrap();
    frontend::encode_sync(&mut out);
    out
}

fn duty(style: &str, count: usize) -> String {
    format!("/* MASK[{}] HUSH */", vec![format!("{style}:pii"); count].join(","))
}

/// What is asked: each ends with one ReadyForQuery outside of a transaction.
fn questions(style: &str) -> Vec<BytesMut> {
    let (all, one, none) = (duty(style, COLUMNS), duty(style, 1), "/* MASK[] HUSH */");
    let texts = [
        format!("select * from c {all}"),
        format!("copy c to stdout {all}"),
        format!("copy c to stdout (format csv, header, force_quote *) {all}"),
        format!("copy (select * from c) to stdout (format csv, delimiter '|', null 'x') {all}"),
        format!("copy c to stdout (format binary) {all}"),
        format!("update c set key = 1 returning * {all}"),
        format!("select c from c {one}"),
        format!("select row_to_json(c), to_jsonb(c) from c {}", duty(style, 2)),
        format!("select array_agg(mail), string_agg(short, ',') from c {}", duty(style, 2)),
        format!("select jsonb_object_agg(mail, 1) from c {one}"),
        format!("select mail::int from c {one}"),
        format!("select mail::date from c {one}"),
        format!("select mail::regclass from c {one}"),
        format!("insert into c (key) values (1) {none}"),
        format!("do $$begin raise notice '%', (select mail from c); end$$ {none}"),
        format!("do $$begin raise exception '%', (select mail from c); end$$ {none}"),
        format!(
            "do $$begin raise exception using message='x', constraint=(select mail from c); end$$ {none}"
        ),
        format!("select set_config('application_name', mail, false) from c {one}"),
        "select mail, docb - 'n', docb, tags, raw, row(mail, raw, docb, tags) from c /* MASK */".to_owned(),
        "copy (select mail, docb, tags, raw, row(raw, tags) from c) to stdout /* MASK */".to_owned(),
        "copy (select mail, docb from c) to stdout (format binary) /* MASK */".to_owned(),
    ];
    let mut all: Vec<BytesMut> = texts.iter().map(|t| simple(t)).collect();
    for text in texts.iter().filter(|t| !t.starts_with("copy") && !t.starts_with("do")) {
        for (format, describe) in [(Format::Text, true), (Format::Binary, true), (Format::Binary, false)] {
            all.push(extended(text, format, describe, 0));
        }
    }
    let cursor = format!(
        "begin; declare k cursor for select * from c {style}; fetch k; commit",
        style = duty(style, COLUMNS)
    );
    all.push(simple(&cursor.replace("fetch k", &format!("fetch k {}", duty(style, COLUMNS)))));
    all
}

#[test]
fn no_canary_leaves_by_any_channel() {
    let run = || {
        let server = server::Server::start();
        let mut session = server::Session::open(&server.dir);
        for text in [TABLE, ROW] {
            session.ask(text, &[], Format::Text).unwrap();
        }
        let canaries = canaries();
        let holds = |bytes: &[u8]| canaries.iter().find(|c| bytes.windows(c.len()).any(|w| w == &c[..]));
        // The canaries are where they should be.
        let mut direct = Gateway::open(&server.dir, 1 << 16);
        assert!(holds(&direct.ask(&simple("select * from c"))).is_some());
        let mut whole = Gateway::open(&server.dir, 1 << 16);
        let mut cut = Gateway::open(&server.dir, 7);
        let mut asked = 0;
        for style in ["redact", "partial", "token", "null", "zero"] {
            for question in questions(style) {
                let shown = question.escape_ascii().to_string();
                let told = whole.ask(&question);
                assert_eq!(holds(&told), None, "{style}: {shown}: {}", told.escape_ascii());
                assert_eq!(
                    told.escape_ascii().to_string(),
                    cut.ask(&question).escape_ascii().to_string(),
                    "{shown}"
                );
                asked += 1;
            }
        }
        let mut listener = Gateway::open(&server.dir, 1 << 16);
        listener.ask(&simple("listen news"));
        let told =
            listener.ask(&simple(&format!("select pg_notify('news', mail) from c {}", duty("zero", 1))));
        assert_eq!(holds(&told), None, "{}", told.escape_ascii());
        assert!(told.windows(9).any(|w| w == b"\0[masked]"), "{}", told.escape_ascii());
        for gateway in [&whole, &cut, &listener] {
            let record = gateway.record();
            assert!(record.len() > 30);
            let found = holds(&record);
            assert_eq!(found, None, "in the record: {:?}", found.map(|f| f.escape_ascii().to_string()));
        }
        assert!(asked > 250, "{asked}");
    };
    // The parser needs more stack than test threads have.
    std::thread::Builder::new().stack_size(firsthand_sql::STACK_BYTES).spawn(run).unwrap().join().unwrap();
}
