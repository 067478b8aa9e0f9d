//! The dialect before a real PostgreSQL: what a write changed is what the record says, and a write over its limit has
//! changed nothing, as a second connection sees it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "../../wire/tests/server/mod.rs"]
mod server;

#[path = "live/along.rs"]
mod along;
#[path = "live/far.rs"]
mod far;
#[path = "live/piped.rs"]
mod piped;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use firsthand_model::command::Step::Run;
use firsthand_model::event::Event;
use firsthand_model::target::{ChangedRows, Durability, Mode};
use firsthand_model::time::MonoMicros;
use firsthand_protocols::budget::Budget;
use firsthand_protocols::dialect::{Action, Dialect as _};
use firsthand_protocols::postgres::changed::{
    REACH_QUESTION, TABLES_QUESTION, TableFacts, TableRow, TableSource,
};
use firsthand_protocols::postgres::dialect::{PostgresDialect, Setup};
use firsthand_session::fake::{Disk, Fakes, fakes, target};
use firsthand_session::port::BoxFuture;
use firsthand_session::{Answer, Session as Admitted};
use firsthand_sql::{Analyzer, STACK_BYTES};
use firsthand_wire::postgres::backend::Message;
use firsthand_wire::postgres::frontend::{self, Object};
use firsthand_wire::postgres::startup::{ProtocolVersion, encode_startup};
use firsthand_wire::postgres::{Format, Frames, Rules};
use server::{Server, Session};

const NOW: MonoMicros = MonoMicros(0);

type Told = Vec<(u8, Vec<u8>)>;

/// Asks the server over a session of its own, as the gateway does.
struct Asker {
    socket: PathBuf,
    /// Its session, once there is one: a new one for each question would find every cache cold.
    stream: Mutex<Option<UnixStream>>,
    /// Says that the role may ask, whether it may or not.
    trusting: bool,
}

impl TableSource for Asker {
    fn ask(&self, role: &str, names: Vec<String>, _: bool) -> BoxFuture<'static, Option<TableFacts>> {
        let rows = self.question(TABLES_QUESTION, &[1009, 25], &names, role);
        let further: Vec<String> = rows.iter().filter_map(|row| row[0].clone()).collect();
        let mut reach = self.question(REACH_QUESTION, &[1028, 19], &further, role);
        reach.iter_mut().filter(|_| self.trusting).for_each(|row| row[7] = Some("t".to_owned()));
        Box::pin(std::future::ready(Some(TableFacts { rows, reach, watchers: Vec::new() })))
    }
}

impl Asker {
    fn question(&self, text: &str, types: &[u32], of: &[String], role: &str) -> Vec<TableRow> {
        let mut kept = self.stream.lock().unwrap();
        let (mut out, mut ends) = (BytesMut::new(), 1);
        let stream = kept.get_or_insert_with(|| {
            let parameters = [(&b"user"[..], &b"postgres"[..]), (b"client_encoding", b"UTF8")];
            encode_startup(&mut out, ProtocolVersion::V3_0, parameters).unwrap();
            ends = 2;
            UnixStream::connect(&self.socket).unwrap()
        });
        let of = format!("{{{}}}", of.join(","));
        frontend::encode_parse(&mut out, b"", text.as_bytes(), types).unwrap();
        let values = [Some(of.as_bytes()), Some(role.as_bytes())];
        frontend::encode_bind(&mut out, (b"", b""), (Format::Text, &values), Format::Text).unwrap();
        frontend::encode_execute(&mut out, b"", 0).unwrap();
        frontend::encode_sync(&mut out);
        stream.write_all(&out).unwrap();
        let mut answer = BytesMut::new();
        while messages(&answer).iter().filter(|(tag, _)| *tag == b'Z').count() < ends {
            read_more(stream, &mut answer);
        }
        let text = |v: Option<&[u8]>| v.map(|v| String::from_utf8(v.to_vec()).unwrap());
        let mut rows = Vec::new();
        for (tag, body) in messages(&answer) {
            match Message::read(tag, &body).unwrap() {
                Message::DataRow(row) => rows.push(row.values().map(|v| text(v.unwrap())).collect()),
                Message::ErrorResponse(e) => panic!("{}", String::from_utf8_lossy(e.message())),
                _ => {}
            }
        }
        rows
    }
}

/// A session through the dialect to the server.
struct Through {
    fakes: Fakes,
    session: Admitted,
    dialect: PostgresDialect,
    stream: UnixStream,
    client: BytesMut,
    server: BytesMut,
    told: BytesMut,
}

impl Through {
    fn open(server: &Server, changed: ChangedRows) -> Self {
        Self::opened(server, changed, false)
    }

    /// The same, where who is asked about tables says that everything may be asked.
    fn open_trusting(server: &Server, changed: ChangedRows) -> Self {
        Self::opened(server, changed, true)
    }

    fn opened(server: &Server, changed: ChangedRows, trusting: bool) -> Self {
        let mut stream = UnixStream::connect(server.dir.join(".s.PGSQL.5432")).unwrap();
        let mut out = BytesMut::new();
        let parameters = [(&b"user"[..], &b"postgres"[..]), (b"client_encoding", b"UTF8")];
        encode_startup(&mut out, ProtocolVersion::V3_0, parameters).unwrap();
        stream.write_all(&out).unwrap();
        let mut greeting = BytesMut::new();
        while messages(&greeting).last().is_none_or(|(tag, _)| *tag != b'Z') {
            read_more(&mut stream, &mut greeting);
        }
        let parameters = messages(&greeting).into_iter().filter(|(tag, _)| *tag == b'S').map(|(_, body)| {
            let mut parts = body.split(|b| *b == 0).map(|p| String::from_utf8_lossy(p).into_owned());
            (parts.next().unwrap(), parts.next().unwrap())
        });
        let fakes = fakes(Disk::Instant, target(Durability::Strict, Mode::Enforce));
        let (session, admission) = fakes.open();
        let setup = Setup {
            knowing: None,
            analyzer: Arc::new(Analyzer::new()),
            parameters: parameters.collect(),
            session_role: "postgres".to_owned(),
            role: "postgres".to_owned(),
            session: session.facts().id,
            message_bytes_max: 1 << 20,
            budget: Budget::new(64 << 20),
            changed,
            tables: Some(Arc::new(Asker {
                socket: server.dir.join(".s.PGSQL.5432"),
                stream: Mutex::new(None),
                trusting,
            })),
            unobserved: false,
        };
        let (client, server, told) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
        Self { dialect: PostgresDialect::new(admission, setup), fakes, session, stream, client, server, told }
    }

    /// Says this, and returns what was told up to the ReadyForQuery of this many Syncs and Queries.
    fn say(&mut self, bytes: &[u8], units: usize) -> Told {
        self.client.extend_from_slice(bytes);
        self.feed();
        loop {
            let told = messages(&self.told);
            if told.iter().filter(|(tag, _)| *tag == b'Z').count() >= units && !self.dialect.is_busy() {
                self.told.clear();
                return told;
            }
            read_more(&mut self.stream, &mut self.server);
            self.call(|me, out| me.dialect.from_server(&mut me.server, NOW, out));
            self.feed();
        }
    }

    fn query(&mut self, text: &str) -> Told {
        let mut out = BytesMut::new();
        frontend::encode_query(&mut out, text.as_bytes()).unwrap();
        self.say(&out, 1)
    }

    /// In the simple or the extended protocol.
    fn ask(&mut self, text: &str, simple: bool) -> Told {
        if simple {
            return self.query(text);
        }
        let mut out = BytesMut::new();
        extended(&mut out, text);
        frontend::encode_sync(&mut out);
        self.say(&out, 1)
    }

    fn feed(&mut self) {
        while self.dialect.wants_client() && !self.client.is_empty() {
            let before = self.client.len();
            self.call(|me, out| me.dialect.from_client(&mut me.client, NOW, out));
            if self.client.len() == before {
                return;
            }
        }
    }

    fn call(&mut self, f: impl FnOnce(&mut Self, &mut Vec<Action>)) {
        let mut out = Vec::new();
        f(self, &mut out);
        let mut due: std::collections::VecDeque<_> = out.into();
        while let Some(action) = due.pop_front() {
            match action {
                Action::ToServer(forward) => self.stream.write_all(&forward.into_bytes()).unwrap(),
                Action::ToClient(reply) => self.told.extend_from_slice(&reply.into_parts().0),
                Action::Ask(commands) => {
                    let answers = self.answers(commands);
                    let mut out = Vec::new();
                    self.dialect.answered(answers, NOW, &mut out);
                    due.extend(out);
                }
                Action::Complete { permit, outcome, last } => {
                    let completed = self.session.complete(permit, *outcome).unwrap();
                    self.told.extend_from_slice(&completed.reply(last).into_parts().0);
                }
                Action::Changed(number, piece) => self.session.record_changed(number, piece).unwrap(),
                Action::Rows(number, piece) => self.session.record_rows(number, piece).unwrap(),
                Action::Note { what, detail, reply } => {
                    let noted = self.session.note(what, detail).unwrap();
                    self.told.extend_from_slice(&noted.reply(reply).into_parts().0);
                }
                Action::Abandon(permit, why) => permit.abandon(why),
                Action::StopTarget
                | Action::EndTarget(_)
                | Action::Role(_)
                | Action::Progress(..)
                | Action::Settled => {}
                Action::Look(mut looking) => {
                    let mut out = Vec::new();
                    match looking.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                        Poll::Ready(thought) => self.dialect.thought(thought, NOW, &mut out),
                        Poll::Pending => panic!("it is asked at once"),
                    }
                    due.extend(out);
                }
                Action::Think(_) | Action::Close { .. } => {
                    panic!("not in this test: {action:?}")
                }
            }
        }
    }

    fn answers(&self, commands: Vec<firsthand_model::command::Command>) -> Vec<Answer> {
        let mut asking = Box::pin(self.session.submit(commands));
        match Pin::new(&mut asking).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answers) => answers,
            Poll::Pending => panic!("the disk is instant"),
        }
    }

    /// The changed rows in the record since it had `from` entries: (action, table, old, new).
    fn changed(&self, from: usize) -> Vec<(String, String, String, String)> {
        let text = |json: &firsthand_model::json::Json| String::from_utf8_lossy(json.as_bytes()).into_owned();
        self.fakes.log.with(|events| {
            let new = events.get(from..).unwrap_or_default().iter();
            new.filter_map(|event| match event {
                Event::CommandChanged(e) if e.how != "counted" => {
                    Some((e.action.to_owned(), e.table.clone(), text(&e.old), text(&e.new)))
                }
                _ => None,
            })
            .collect()
        })
    }

    /// What the record counts for the command whose text begins so, since it had `from` entries; and what it says is not known.
    fn counted(&self, from: usize, text: &str) -> (String, String) {
        self.fakes.log.with(|events| {
            let new = events.get(from..).unwrap_or_default();
            let number = new.iter().find_map(|event| match event {
                Event::CommandDecided(e) if e.command.step == Run && e.command.text.starts_with(text) => {
                    Some(e.number)
                }
                _ => None,
            });
            let number = number.unwrap_or_else(|| panic!("{text} is not in the record"));
            let (mut counts, mut facts) = (Vec::new(), BTreeSet::new());
            for event in new {
                match event {
                    Event::CommandChanged(e) if e.number == number => {
                        facts.extend(e.coverage.iter().copied());
                        if e.how == "counted" {
                            let table = e.table.trim_start_matches("public.");
                            counts.push(format!("{table} {} {}", e.action, e.count.unwrap()));
                        }
                    }
                    Event::CommandCompleted(e) if e.number == number => {
                        facts.extend(e.outcome.coverage.iter().copied());
                    }
                    _ => {}
                }
            }
            (counts.join(", "), facts.into_iter().collect::<Vec<_>>().join(" "))
        })
    }

    /// The last SQLSTATE with which a command ended that has this one, if any has.
    fn last_code(&self, code: &str) -> String {
        self.fakes.log.with(|events| {
            let of = |event: &Event| match event {
                Event::CommandCompleted(e) => e.outcome.code.clone().filter(|c| c == code),
                _ => None,
            };
            events.iter().rev().find_map(of).unwrap_or_default()
        })
    }

    /// How often something was noted of the session.
    fn noted(&self) -> usize {
        self.fakes.log.with(|events| events.iter().filter(|e| matches!(e, Event::SessionNoted(_))).count())
    }

    fn entries(&self) -> usize {
        self.fakes.log.with(|events| events.len())
    }

    /// SQLSTATE and affected count of the last outcome.
    fn last_outcome(&self) -> (String, Option<u64>, String) {
        self.fakes.log.with(|events| {
            let last = events.iter().rev().find_map(|event| match event {
                Event::CommandCompleted(e) => Some(e),
                _ => None,
            });
            let o = &last.unwrap().outcome;
            (o.code.clone().unwrap_or_default(), o.affected, o.coverage.join(","))
        })
    }
}

fn read_more(stream: &mut UnixStream, into: &mut BytesMut) {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut chunk = [0; 4096];
    let n = loop {
        match stream.read(&mut chunk) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            read => break read.expect("the server answers"),
        }
    };
    assert!(n > 0, "the server closed");
    into.extend_from_slice(&chunk[..n]);
}

fn messages(bytes: &[u8]) -> Told {
    let rules = Rules::backend(u32::MAX, u32::MAX);
    let mut frames = Frames::new(bytes, &rules);
    let mut all = Vec::new();
    while let Ok(Some(frame)) = frames.next() {
        all.push((frame.tag, frame.body.to_vec()));
    }
    all
}

fn tags(told: &Told) -> String {
    told.iter().filter(|(tag, _)| *tag != b'N').map(|(tag, _)| *tag as char).collect()
}

/// The error and the state at the end.
fn ended(told: &Told) -> (String, char) {
    let error = told.iter().find_map(|(tag, body)| match Message::read(*tag, body) {
        Ok(Message::ErrorResponse(r)) => Some(String::from_utf8_lossy(r.sqlstate()).into_owned()),
        _ => None,
    });
    (error.unwrap_or_default(), told.last().map_or('?', |(_, body)| body[0] as char))
}

/// Parse, Bind, Describe, Execute of the unnamed statement.
fn extended(out: &mut BytesMut, text: &str) {
    frontend::encode_parse(out, b"", text.as_bytes(), &[]).unwrap();
    frontend::encode_bind(out, (b"", b""), (Format::Text, &[]), Format::Text).unwrap();
    frontend::encode_describe(out, Object::Portal(b"")).unwrap();
    frontend::encode_execute(out, b"", 0).unwrap();
}

fn table(second: &mut Session, text: &str) -> BTreeSet<String> {
    let (_, rows) = second.ask(text, &[], Format::Text).unwrap();
    let cell = |c: Option<Vec<u8>>| c.map_or("null".to_owned(), |c| String::from_utf8(c).unwrap());
    rows.into_iter().map(|row| row.into_iter().map(cell).collect::<Vec<_>>().join("|")).collect()
}

fn count(second: &mut Session) -> String {
    table(second, "SELECT count(*) FROM t").into_iter().next().unwrap()
}

fn on_a_deep_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test).unwrap().join().unwrap();
}

const SEED: &str = "CREATE TABLE t (id int PRIMARY KEY, note text, n numeric DEFAULT 1.50);
INSERT INTO t SELECT i, 'n' || i FROM generate_series(1, 20) i;
CREATE TABLE bare (id int PRIMARY KEY);
CREATE TABLE child (id int REFERENCES t DEFERRABLE INITIALLY DEFERRED);
CREATE VIEW v AS SELECT * FROM t;
CREATE TABLE p (a int, b text, PRIMARY KEY (a, b)) PARTITION BY LIST (a);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
CREATE TABLE nokey (a int, b text);
CREATE TABLE ruled (a int PRIMARY KEY); CREATE RULE r AS ON DELETE TO ruled DO ALSO SELECT 1;
CREATE FUNCTION up() RETURNS trigger LANGUAGE plpgsql AS 'begin new.note := upper(new.note); return new; end';
CREATE TRIGGER up BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION up()";

#[test]
fn a_write_over_its_limit_has_changed_nothing_and_the_record_has_the_rows_that_changed() {
    on_a_deep_stack(|| {
        let server = Server::start();
        let mut second = Session::open(&server.dir);
        let mut seed = BytesMut::new();
        frontend::encode_query(&mut seed, SEED.as_bytes()).unwrap();
        second.exchange(&seed).unwrap();
        for changed in [ChangedRows::Off, ChangedRows::Keys, ChangedRows::Values] {
            radius(&server, &mut second, changed);
        }
        told(&server, &mut second);
        alike(&server);
    });
}

/// The three shapes, over and under the limit.
fn radius(server: &Server, second: &mut Session, changed: ChangedRows) {
    let mut through = Through::open(server, changed);
    assert_eq!(count(second), "20");
    // Simple, outside a transaction.
    let said = through.query("DELETE FROM t WHERE id <= 5 -- AFFECTED=3");
    assert_eq!(ended(&said), ("RF003".to_owned(), 'I'), "{}", tags(&said));
    assert_eq!(through.last_outcome(), ("RF003".to_owned(), Some(5), String::new()));
    assert_eq!(count(second), "20");
    // Extended, with its Sync.
    let mut out = BytesMut::new();
    extended(&mut out, "DELETE FROM t WHERE id <= 5 -- AFFECTED=3");
    frontend::encode_sync(&mut out);
    let said = through.say(&out, 1);
    assert_eq!((tags(&said).as_str(), ended(&said)), ("12nEZ", ("RF003".to_owned(), 'I')));
    assert_eq!(count(second), "20");
    // A pipeline: what comes behind it goes with it.
    let mut out = BytesMut::new();
    extended(&mut out, "INSERT INTO t VALUES (100)");
    extended(&mut out, "DELETE FROM t WHERE id <= 5 -- AFFECTED=3");
    extended(&mut out, "INSERT INTO t VALUES (101)");
    frontend::encode_sync(&mut out);
    let said = through.say(&out, 1);
    assert_eq!((tags(&said).as_str(), ended(&said)), ("12nC12nEZ", ("RF003".to_owned(), 'I')));
    assert_eq!(count(second), "20");
    // An explicit transaction, in which it adds up; COMMIT is PostgreSQL's own ROLLBACK.
    through.query("BEGIN");
    assert_eq!(ended(&through.query("DELETE FROM t WHERE id <= 2 -- AFFECTED=3")), (String::new(), 'T'));
    assert_eq!(
        ended(&through.query("DELETE FROM t WHERE id IN (3, 4) -- AFFECTED=3")),
        ("RF003".to_owned(), 'E')
    );
    let said = through.query("COMMIT");
    assert_eq!(said[0], (b'C', b"ROLLBACK\0".to_vec()));
    assert_eq!(count(second), "20");
    // The same in one pipeline with its COMMIT.
    let mut out = BytesMut::new();
    for text in ["BEGIN", "DELETE FROM t WHERE id <= 5 -- AFFECTED=3", "COMMIT"] {
        extended(&mut out, text);
    }
    frontend::encode_sync(&mut out);
    let said = through.say(&out, 1);
    assert_eq!(ended(&said), ("RF003".to_owned(), 'E'), "{}", tags(&said));
    through.query("ROLLBACK");
    assert_eq!(count(second), "20");
    // A limit that cannot be kept is refused.
    for text in [
        "WITH d AS (DELETE FROM t RETURNING id) SELECT count(*) FROM d -- AFFECTED=3",
        "DELETE FROM t /* AFFECTED=3 */; COMMIT; SELECT 1",
        "EXPLAIN ANALYZE DELETE FROM t -- AFFECTED=3",
    ] {
        assert_eq!(ended(&through.query(text)), ("RF003".to_owned(), 'I'), "{text}");
        assert_eq!(count(second), "20", "{text}");
    }
    filled(&mut through);
    copied(&mut through, second);
    // Under the limit all is as without one, also when it is the commit that fails.
    let said = through.query("DELETE FROM t WHERE id = 20 -- AFFECTED=3");
    assert_eq!((tags(&said).as_str(), ended(&said)), ("CZ", (String::new(), 'I')));
    assert_eq!(count(second), "19");
    let said = through.query("INSERT INTO child VALUES (20) -- AFFECTED=3");
    assert_eq!((tags(&said).as_str(), ended(&said)), ("EZ", ("23503".to_owned(), 'I')));
    let said = through.query("INSERT INTO t VALUES (20, 'n20') RETURNING id -- AFFECTED=3");
    assert_eq!((tags(&said).as_str(), ended(&said)), ("TDCZ", (String::new(), 'I')));
    let said = through.query("INSERT INTO t VALUES (20) -- AFFECTED=3");
    assert_eq!((tags(&said).as_str(), ended(&said)), ("EZ", ("23505".to_owned(), 'I')));
    assert_eq!(count(second), "20");
}

/// COPY, over and under its limit, in both protocols; with a Sync that the target swallows, and without.
fn copied(through: &mut Through, second: &mut Session) {
    for (most, syncs, code) in [(2, 0, "RF003"), (2, 1, "RF003"), (3, 0, ""), (3, 1, "")] {
        for block in [false, true] {
            for simple in [true, false] {
                if block {
                    through.query("BEGIN");
                }
                let text = format!("COPY bare (id) FROM STDIN -- AFFECTED={most}");
                let mut out = BytesMut::new();
                if simple {
                    frontend::encode_query(&mut out, text.as_bytes()).unwrap();
                } else {
                    frontend::encode_parse(&mut out, b"", text.as_bytes(), &[]).unwrap();
                    frontend::encode_bind(&mut out, (b"", b""), (Format::Text, &[]), Format::Text).unwrap();
                    frontend::encode_execute(&mut out, b"", 0).unwrap();
                    (0..syncs).for_each(|_| frontend::encode_sync(&mut out));
                }
                out.extend_from_slice(b"d\0\0\0\x0d900\n901\n9");
                out.extend_from_slice(b"d\0\0\0\x0702\n");
                out.extend_from_slice(b"c\0\0\0\x04");
                if !simple {
                    frontend::encode_sync(&mut out);
                }
                let what = format!("{most} {syncs} in a block: {block}, simple: {simple}");
                let said = through.say(&out, 1);
                let state = match (block, code.is_empty()) {
                    (false, _) => 'I',
                    (true, true) => 'T',
                    (true, false) => 'E',
                };
                assert_eq!(ended(&said), (code.to_owned(), state), "{what}: {}", tags(&said));
                if block {
                    let said = through.query(if code.is_empty() { "ROLLBACK" } else { "COMMIT" });
                    assert_eq!(said[0], (b'C', b"ROLLBACK\0".to_vec()), "{what}");
                }
                let copied = table(second, "SELECT count(*) FROM bare");
                let want = if block || !code.is_empty() { "0" } else { "3" };
                assert_eq!(copied.into_iter().next().unwrap(), want, "{what}");
                through.query("DELETE FROM bare");
            }
        }
    }
}

/// What fills a new relation counts what it puts there.
fn filled(through: &mut Through) {
    for text in [
        "CREATE TABLE made AS SELECT * FROM t",
        "CREATE TEMP TABLE made AS SELECT * FROM t",
        "SELECT * INTO made FROM t",
        "WITH c AS (SELECT * FROM t) SELECT * INTO made FROM c",
        "CREATE MATERIALIZED VIEW made AS SELECT * FROM t",
    ] {
        let over = format!("{text} -- AFFECTED=3");
        assert_eq!(ended(&through.query(&over)), ("RF003".to_owned(), 'I'), "{text}");
        assert_eq!(through.last_outcome(), ("RF003".to_owned(), Some(20), String::new()), "{text}");
        let mut out = BytesMut::new();
        extended(&mut out, &over);
        frontend::encode_sync(&mut out);
        let said = through.say(&out, 1);
        assert_eq!((tags(&said).as_str(), ended(&said)), ("12nEZ", ("RF003".to_owned(), 'I')), "{text}");
        assert_eq!(ended(&through.query("TABLE made")), ("42P01".to_owned(), 'I'), "{text}");
        let within = text.replace("FROM t", "FROM t WHERE id <= 3");
        let said = through.query(&format!("{within} -- AFFECTED=3"));
        assert_eq!((tags(&said).as_str(), ended(&said)), ("CZ", (String::new(), 'I')), "{text}");
        let kind = if text.contains("MATERIALIZED") { "MATERIALIZED VIEW" } else { "TABLE" };
        assert_eq!(ended(&through.query(&format!("DROP {kind} made"))), (String::new(), 'I'), "{text}");
    }
    // It puts nothing there, and tells no number.
    let said = through.query("CREATE TABLE made AS SELECT * FROM t WITH NO DATA -- AFFECTED=3");
    assert_eq!(ended(&said), (String::new(), 'I'));
    assert_eq!(ended(&through.query("DROP TABLE made")), (String::new(), 'I'));
}

/// Statements, and what the record says of their rows: action, table, rows before and after, what is not known.
const TOLD: &[(&str, &str, &str, &str, &str, &str)] = &[
    ("INSERT INTO t VALUES (50, 'x')", "insert", "public.t", "", r#"[["50","X","1.50"]]"#, ""),
    // A trigger may change the key, so the row that has it now may be another one.
    ("UPDATE t SET n = 2 WHERE id = 50", "update", "public.t", "", r#"[["50","X","2"]]"#, ""),
    ("UPDATE t SET id = id WHERE id = 50", "update", "public.t", "", r#"[["50","X","2"]]"#, ""),
    (
        "INSERT INTO t VALUES (50, 'y') ON CONFLICT (id) DO UPDATE SET note = excluded.note",
        "upsert",
        "public.t",
        "",
        r#"[["50","Y","2"]]"#,
        "",
    ),
    ("INSERT INTO t VALUES (50) ON CONFLICT DO NOTHING", "insert", "public.t", "", "", ""),
    ("DELETE FROM t AS x USING child c WHERE x.id = 50 OR c.id = x.id", "delete", "public.t", "", "", ""),
    ("DELETE FROM public.t WHERE id = 50", "delete", "public.t", r#"[["50","Y","2"]]"#, "", ""),
    ("INSERT INTO p VALUES (1, 'one')", "insert", "public.p", "", r#"[["1","one"]]"#, ""),
    ("INSERT INTO nokey VALUES (1, NULL)", "insert", "public.nokey", "", r#"[["1",null]]"#, ""),
    ("INSERT INTO v VALUES (51)", "", "", "", "", "changed-rows:view"),
    ("DELETE FROM ruled", "", "", "", "", "changed-rows:rule"),
    ("WITH d AS (DELETE FROM nokey RETURNING a) SELECT count(*) FROM d", "", "", "", "", "changed-rows:cte"),
    ("CREATE TEMP TABLE t (other text PRIMARY KEY)", "", "", "", "", ""),
    ("INSERT INTO t VALUES ('shadow')", "", "", "", "", "changed-rows:temporary"),
    ("DROP TABLE t", "", "", "", "", ""),
    ("DELETE FROM t WHERE id = 51", "delete", "public.t", r#"[["51",null,"1.50"]]"#, "", ""),
];

/// What the record says of each statement's rows.
fn told(server: &Server, second: &mut Session) {
    let mut through = Through::open(server, ChangedRows::Values);
    for (text, action, name, old, new, coverage) in TOLD {
        for simple in [true, false] {
            if !simple && (action.is_empty() || *text == "INSERT INTO t VALUES ('shadow')") {
                continue;
            }
            let restore = if simple { "BEGIN; SAVEPOINT s" } else { "SELECT 1" };
            let twice = !action.is_empty() && !text.contains("shadow");
            if twice && simple {
                through.query(restore);
            }
            let from = through.entries();
            let said = through.ask(text, simple);
            let seen = tags(&said).replace("12n", "");
            assert!(matches!(seen.as_str(), "CZ" | "TDCZ"), "{text}: {seen}");
            let changed = through.changed(from);
            if action.is_empty() {
                assert!(changed.is_empty(), "{text}: {changed:?}");
            } else {
                let [(a, t, o, n)] = changed.as_slice() else { panic!("{text}: {changed:?}") };
                assert!((a.as_str(), o.as_str(), n.as_str()) == (*action, *old, *new), "{text}: {changed:?}");
                assert!(t.starts_with(name), "{text}: {t}");
            }
            assert_eq!(through.last_outcome().2, *coverage, "{text}");
            if twice && simple {
                through.query("ROLLBACK");
            }
        }
    }
    assert_eq!(count(second), "20");
    let mut out = BytesMut::new();
    frontend::encode_query(&mut out, b"TRUNCATE child").unwrap();
    second.exchange(&out).unwrap();
}

/// Statements whose answers must be the same bytes whatever is kept of changed rows: notices, errors with their places,
/// tags, descriptions, formats, portals.
const ALIKE: &[&str] = &[
    "INSERT INTO t VALUES (60, 'x'), (61, 'y')",
    "INSERT INTO t VALUES (1)",
    "INSERT INTO t (id, nope) VALUES (1, 2)",
    "INSERT INTO t VALUES (60, 'x') RETURNING *, id + 1 AS next, t",
    "INSERT INTO t SELECT g FROM generate_series(200, 260) g RETURNING id",
    "INSERT INTO t VALUES (1, 'again') ON CONFLICT (id) DO UPDATE SET note = 'up' RETURNING xmax = 0",
    "UPDATE t SET n = n / (id - 7) WHERE id < 9",
    "UPDATE t SET note = 'z' WHERE id BETWEEN 3 AND 5",
    "UPDATE t SET id = id + 100 RETURNING id, (SELECT max(id) FROM t)",
    "UPDATE ONLY t AS x SET note = c.relname FROM pg_catalog.pg_class c WHERE c.relname = 't' AND x.id = 1",
    "DELETE FROM t WHERE id > 5",
    "DELETE FROM t USING p WHERE t.id = p.a RETURNING t.*, p.b",
    "DELETE FROM t WHERE id = 1 OR nope = 2",
    "INSERT INTO p VALUES (1, 'q'), (1, 'r')",
    "UPDATE p SET b = b || '!' RETURNING tableoid::regclass",
    "INSERT INTO p VALUES (2, 'no partition')",
    "INSERT INTO v VALUES (70, 'through a view') RETURNING note",
    "DELETE FROM ruled",
    "INSERT INTO nokey VALUES (1, 'a'), (1, 'a')",
    "UPDATE nokey SET b = NULL RETURNING 1",
    "WITH d AS (DELETE FROM t WHERE id < 3 RETURNING id) INSERT INTO nokey SELECT id FROM d",
    "EXPLAIN (COSTS OFF) DELETE FROM t WHERE id = 1",
    "DELETE FROM t WHERE id = 2; UPDATE t SET n = 0 WHERE id = 3",
    "SELECT count(*) FROM t",
];

fn alike(server: &Server) {
    let mut ways: Vec<_> = [ChangedRows::Off, ChangedRows::Keys, ChangedRows::Values]
        .into_iter()
        .map(|changed| Through::open(server, changed))
        .collect();
    for text in ALIKE {
        for shape in 0..6 {
            let mut said = Vec::new();
            for way in &mut ways {
                way.query("BEGIN; SAVEPOINT s");
                let (bytes, units) = shaped(text, shape);
                said.push(way.say(&bytes, units));
                way.query("ROLLBACK");
            }
            for other in &said[1..] {
                assert_eq!(&said[0], other, "{text} in shape {shape}");
            }
        }
    }
}

/// The statement as a Query, or by the extended protocol in several ways; and how often it gets ReadyForQuery.
fn shaped(text: &str, shape: usize) -> (BytesMut, usize) {
    let mut out = BytesMut::new();
    let binary = if shape.is_multiple_of(2) { Format::Text } else { Format::Binary };
    match shape {
        0 => {
            frontend::encode_query(&mut out, text.as_bytes()).unwrap();
            return (out, 1);
        }
        1 | 2 => {
            // Prepared and described first, then run twice, with a limit of rows.
            frontend::encode_parse(&mut out, b"s", text.as_bytes(), &[]).unwrap();
            frontend::encode_describe(&mut out, Object::Statement(b"s")).unwrap();
            frontend::encode_sync(&mut out);
            for portal in [&b"p1"[..], b"p2"] {
                frontend::encode_bind(&mut out, (portal, b"s"), (Format::Text, &[]), binary).unwrap();
                frontend::encode_execute(&mut out, portal, 1).unwrap();
            }
            frontend::encode_sync(&mut out);
            frontend::encode_close(&mut out, Object::Statement(b"s")).unwrap();
            frontend::encode_sync(&mut out);
            return (out, 3);
        }
        3 | 4 => {
            // Without a Describe; what comes behind it in the pipeline, and a Flush in between.
            frontend::encode_parse(&mut out, b"", text.as_bytes(), &[]).unwrap();
            frontend::encode_flush(&mut out);
            frontend::encode_bind(&mut out, (b"", b""), (Format::Text, &[]), binary).unwrap();
            frontend::encode_execute(&mut out, b"", 0).unwrap();
            extended(&mut out, "INSERT INTO t VALUES (400)");
        }
        _ => {
            frontend::encode_parse(&mut out, b"", text.as_bytes(), &[]).unwrap();
            frontend::encode_bind(&mut out, (b"", b""), (Format::Text, &[]), binary).unwrap();
            frontend::encode_describe(&mut out, Object::Portal(b"")).unwrap();
            frontend::encode_execute(&mut out, b"", 0).unwrap();
            frontend::encode_close(&mut out, Object::Portal(b"")).unwrap();
        }
    }
    frontend::encode_sync(&mut out);
    (out, 1)
}
