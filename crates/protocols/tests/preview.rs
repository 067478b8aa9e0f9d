//! Previews before a real PostgreSQL: what a write would change is told, and nothing of it is left: no row, no number of a
//! sequence, no lock, no connection. Fails where PostgreSQL is not installed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "../../wire/tests/server/mod.rs"]
mod server;

#[path = "preview/cases.rs"]
mod cases;
#[path = "preview/port.rs"]
mod port;
#[path = "preview/sessions.rs"]
mod sessions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use firsthand_model::command::Command;
use firsthand_model::decision::Obligations;
use firsthand_model::masking::{ColumnMask, MaskDuty, Style};
use firsthand_model::preview::{Original, Parameter, Preview};
use firsthand_model::session::SessionFacts;
use firsthand_model::target::{Durability, Mode};
use firsthand_protocols::postgres::catalog::load_with_start;
use firsthand_protocols::protocol::{Link, Previewing, Probe, TlsUse};
use firsthand_protocols::registry::stream_protocol;
use firsthand_session::fake::{command, identity};
use firsthand_session::port::{Credential, MaskPlan};
use firsthand_sql::STACK_BYTES;
use firsthand_sql::catalog::Catalog;
use firsthand_sql::explain::judge;
use firsthand_sql::state::{SessionState, Start};
use firsthand_wire::postgres::Format;
use server::{Server, Session};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

/// A server with what a preview is tried on, and what its definitions are.
struct Bed {
    server: Server,
    runtime: Runtime,
    catalog: Arc<Catalog>,
    start: Start,
}

/// What is tried.
#[derive(Default)]
struct Try<'t> {
    setup: &'t [&'t str],
    text: &'t str,
    parameters: Vec<Parameter>,
    /// Columns whose values are masked.
    masked: &'t [&'t str],
    untried: Option<&'static str>,
}

impl Bed {
    fn new(seed: &str) -> Self {
        let server = Server::start();
        let mut session = Session::open(&server.dir);
        for statement in seed.split(";;").map(str::trim).filter(|s| !s.is_empty()) {
            run(&mut session, statement);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (catalog, start) = runtime.block_on(async {
            let credential = credential();
            load_with_start(probe(&server, &credential).await).await.unwrap()
        });
        Self { server, runtime, catalog, start }
    }

    fn session(&self) -> Session {
        Session::open(&self.server.dir)
    }

    fn preview(&self, text: &str) -> Preview {
        self.try_it(&Try { text, ..Try::default() })
    }

    fn try_it(&self, it: &Try<'_>) -> Preview {
        let (session, command, original) = self.asked(it);
        self.masking(&session, &command, &original, it.masked)
    }

    fn with(&self, session: &SessionFacts, command: &Command, original: &Original) -> Preview {
        self.masking(session, command, original, &[])
    }

    fn masking(
        &self,
        session: &SessionFacts,
        command: &Command,
        original: &Original,
        masked: &[&str],
    ) -> Preview {
        let masks = |_: &str, _: &str, columns: &[&str]| Some(plan(columns, masked));
        self.runtime.block_on(async {
            let credential = credential();
            let probe = probe(&self.server, &credential).await;
            let with = Previewing { probe, session, command, original, masks: &masks };
            stream_protocol("postgres").unwrap().preview(with).await
        })
    }

    /// As a session asks it that has run what comes before.
    fn asked(&self, it: &Try<'_>) -> (SessionFacts, Command, Original) {
        let mut state = SessionState::new(self.start.clone(), Arc::clone(&self.catalog));
        it.setup.iter().for_each(|statement| drop(judge(&mut state, statement)));
        let (role, settings) = (state.role().to_owned(), state.settings_in_force());
        let mut asked = command(it.text);
        let types: Vec<u32> = it.parameters.iter().map(|p| p.type_number).collect();
        state.declare(&types);
        let judged = judge(&mut state, it.text);
        asked.shape = Arc::clone(&judged[0].shape);
        let session = SessionFacts {
            id: firsthand_model::id::SessionId(1),
            identity: Arc::new(identity()),
            target: "orders".to_owned(),
            database: "postgres".to_owned(),
            session_role: "postgres".to_owned(),
            role,
            backend_pid: 1,
            server_version: "15".to_owned(),
            application: String::new(),
            durability: Durability::Strict,
            mode: Mode::Enforce,
            role_of: firsthand_model::session::RoleOf::Target,
            encoded: std::sync::OnceLock::new(),
        };
        let original = Original {
            text: it.text.as_bytes().to_vec(),
            parameters: it.parameters.clone(),
            untried: it.untried.or(settings.is_none().then_some("what its session has set is not known")),
            settings,
            ..Original::default()
        };
        (session, asked, original)
    }

    /// All rows, sequences and settings of the server that a preview could change.
    fn state(&self) -> String {
        let mut session = self.session();
        let tables = ask(
            &mut session,
            "SELECT c.oid::regclass::text || CASE c.relkind WHEN 'S' THEN ' last_value, is_called' ELSE ' t::text' END FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r','S') AND n.nspname NOT IN ('pg_catalog','information_schema','pg_toast') ORDER BY 1",
        );
        let mut all = String::new();
        for line in tables.lines() {
            let (table, what) = line.split_once(' ').unwrap();
            let rows = ask(&mut session, &format!("SELECT {what} FROM {table} t ORDER BY 1"));
            all.push_str(&format!("{table}: {rows}\n"));
        }
        all
    }

    /// Waits until no preview is connected; then no lock of one is left either.
    fn is_quiet(&self) {
        let mut session = self.session();
        let until = Instant::now() + Duration::from_secs(10);
        let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'firsthand preview' OR \
            (backend_type = 'client backend' AND pid <> pg_backend_pid())";
        while ask(&mut session, left) != "0" {
            assert!(Instant::now() < until, "a connection is left");
        }
        let locks = "SELECT count(*) FROM pg_locks WHERE pid <> pg_backend_pid()";
        assert_eq!(ask(&mut session, locks), "0", "a lock is left");
        assert_eq!(ask(&mut session, "SELECT count(*) FROM pg_prepared_xacts"), "0");
    }
}

fn credential() -> Credential {
    Credential { user: "postgres".to_owned(), password: None }
}

async fn probe<'a>(server: &Server, credential: &'a Credential) -> Probe<'a> {
    let stream = Box::new(UnixStream::connect(server.dir.join(".s.PGSQL.5432")).await.unwrap());
    let link = Link { tls_use: TlsUse::Disable, tls: None, timeout: Duration::from_secs(5) };
    Probe { stream, link, credential, database: "postgres" }
}

fn plan(columns: &[&str], masked: &[&str]) -> MaskPlan {
    let mask = ColumnMask { label: "secret".into(), rule: "r".into(), style: Style::Redact, formless: false };
    let of = |name: &&str| masked.contains(name).then(|| mask.clone());
    let mask = MaskDuty { columns: Some(columns.iter().map(of).collect()), ..MaskDuty::default() };
    MaskPlan { obligations: Arc::new(Obligations { mask, ..Obligations::default() }), values: None }
}

fn run(session: &mut Session, statement: &str) {
    session.ask(statement, &[], Format::Text).unwrap_or_else(|e| panic!("{statement}: {e}"));
}

/// The rows, a line each.
fn ask(session: &mut Session, text: &str) -> String {
    let (_, rows) = session.ask(text, &[], Format::Text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let value =
        |v: &Option<Vec<u8>>| v.as_ref().map_or("-".into(), |v| String::from_utf8_lossy(v).into_owned());
    let rows: Vec<String> =
        rows.iter().map(|row| row.iter().map(value).collect::<Vec<_>>().join("|")).collect();
    rows.join("\n")
}

/// What is told, in one line.
fn line(preview: &Preview) -> String {
    let changes = preview
        .changes
        .iter()
        .map(|c| format!("{} {} {}{}", c.table, c.action, c.count, if c.along { " along" } else { "" }));
    let changes: Vec<String> = changes.collect();
    let count = preview.count.map_or("-".to_owned(), |count| count.to_string());
    format!("{} {count} [{}]", preview.how.word(), changes.join(", "))
}

/// The rows: old and new, without quotes.
fn rows(preview: &Preview) -> String {
    let text = |json: &firsthand_model::json::Json| String::from_utf8_lossy(json.as_bytes()).replace('"', "");
    preview.sample.as_ref().map_or_else(String::new, |s| format!("{} -> {}", text(&s.old), text(&s.new)))
}

/// What is not as it should be, all of it at once.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn unless(&mut self, right: bool, what: impl FnOnce() -> String) {
        if !right {
            self.0.push(what());
        }
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        assert!(self.0.is_empty() || std::thread::panicking(), "{:#?}", self.0);
    }
}

fn on_a_deep_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap().join().unwrap();
}
