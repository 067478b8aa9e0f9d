//! A scratch PostgreSQL for a test, asked through `psql`; and the catalog loaded from it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use firsthand_sql::catalog::{self, Builder, Catalog};

const FIELD: &str = "\u{1f}";
const RECORD: &str = "\u{1e}";
const NULL: &str = "\u{1d}";

/// A server of our own in a directory of our own, on a Unix socket; stopped and removed in the end.
pub(crate) struct Server {
    dir: PathBuf,
    bin: PathBuf,
}

impl Server {
    pub(crate) fn start(name: &str) -> Self {
        let bin = programs().expect("PostgreSQL's server programs: apt install postgresql");
        let dir = std::env::temp_dir().join(format!("firsthand-sql-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let server = Self { dir, bin };
        if is_root() {
            assert!(Command::new("chown").arg("postgres").arg(&server.dir).status().unwrap().success());
        }
        server.run(
            "initdb",
            &["-D", "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
        );
        let options = format!(
            "-k {} -c listen_addresses= -c fsync=off -c timezone=UTC -c autovacuum=off -c jit=off -c max_prepared_transactions=2",
            server.dir.display()
        );
        server.run("pg_ctl", &["-D", "data", "-l", "log", "-w", "-o", &options, "start"]);
        server
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.bin.join(program);
        // postgres refuses to run as root.
        let mut command = if is_root() {
            let mut as_postgres = Command::new("setpriv");
            as_postgres.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
            as_postgres
        } else {
            Command::new(path)
        };
        let status = command.args(arguments).current_dir(&self.dir).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{program} {arguments:?}: {status}");
    }

    fn psql(&self) -> Command {
        let own = self.bin.join("psql");
        let mut command = Command::new(if own.exists() { own } else { PathBuf::from("psql") });
        command.args(["-X", "-q", "-A", "-U", "postgres", "-d", "postgres", "-h"]).arg(&self.dir);
        command
    }

    /// Runs each of these in one session, errors and all; what came on both channels.
    pub(crate) fn session(&self, statements: &[&str]) -> String {
        let mut command = self.psql();
        command.arg("-t");
        for statement in statements {
            command.args(["-c", statement]);
        }
        let out = command.stdin(Stdio::null()).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    }

    /// Runs a text of many statements; an error ends the test.
    pub(crate) fn script(&self, text: &str) {
        let path = self.dir.join("script.sql");
        fs::write(&path, text).unwrap();
        let out = self.psql().args(["-v", "ON_ERROR_STOP=1", "-f"]).arg(&path).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    /// The names of a statement's columns, as the server describes them; the error otherwise.
    pub(crate) fn columns(&self, setup: &[&str], statement: &str) -> Result<Vec<String>, String> {
        let mut command = self.psql();
        command.args(["-F", FIELD, "-R", RECORD, "-P", "footer=off", "-v", "ON_ERROR_STOP=1"]);
        for before in setup {
            command.args(["-c", before]);
        }
        let out = command.args(["-c", statement]).output().unwrap();
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into_owned());
        }
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let header = text.split(RECORD).next().unwrap_or_default().trim_end_matches('\n');
        Ok(header.split(FIELD).map(str::to_owned).collect())
    }

    pub(crate) fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let mut command = self.psql();
        command.args([
            "-t",
            "-F",
            FIELD,
            "-R",
            RECORD,
            "-P",
            &format!("null={NULL}"),
            "-v",
            "ON_ERROR_STOP=1",
        ]);
        let out = command.args(["-c", catalog::PREPARE, "-c", sql]).output().unwrap();
        assert!(out.status.success(), "{sql}: {}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).unwrap();
        let text = text.strip_suffix('\n').unwrap_or(&text);
        if text.is_empty() {
            return Vec::new();
        }
        let field = |f: &str| (f != NULL).then(|| f.to_owned());
        text.split(RECORD).map(|row| row.split(FIELD).map(field).collect()).collect()
    }

    /// The one value that each of these gives; empty where it fails.
    pub(crate) fn each(&self, statements: &[String]) -> Vec<String> {
        let mut command = self.psql();
        command.arg("-t");
        for statement in statements {
            command.args(["-c", statement, "-c", &format!("\\echo {RECORD}")]);
        }
        let out = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        text.split(RECORD).map(|answer| answer.trim().to_owned()).collect()
    }

    /// The catalog, by way of the format on disk.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        let version: u32 = self.rows("SHOW server_version_num")[0][0].as_ref().unwrap().parse().unwrap();
        let state = self.rows(catalog::VERSION_QUERY)[0][0].clone().unwrap();
        let mut builder = Builder::new(&state);
        for query in catalog::queries(version) {
            assert!(builder.add(query.name, self.rows(query.sql)));
        }
        Arc::new(Builder::read(&builder.write()).unwrap().finish())
    }

    /// A digest of everything that lasts: rows of tables, sequences, large objects, catalogs, roles, settings of roles.
    pub(crate) fn digest(&self) -> String {
        self.session(&[DIGEST])
    }
}

const DIGEST: &str = "SELECT md5(concat_ws('|', \
 (SELECT string_agg(query_to_xml(format('SELECT * FROM %s ORDER BY 1', c.oid::regclass), true, false, '')::text, ',' ORDER BY c.oid) \
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'S') AND c.oid >= 16384 AND nspname NOT LIKE 'pg\\_%' AND NOT relrowsecurity AND relname !~ '^(folded|op|tolds$|pts$)'), \
 (SELECT string_agg(loid::text || data::text, ',' ORDER BY loid, pageno) FROM pg_largeobject), \
 (SELECT string_agg(oid::text || relname || xmin::text, ',' ORDER BY oid) FROM pg_class WHERE relpersistence <> 't'), \
 (SELECT string_agg(oid::text || xmin::text, ',' ORDER BY oid) FROM pg_proc), \
 (SELECT string_agg(rolname || rolsuper::text, ',' ORDER BY oid) FROM pg_roles), \
 (SELECT string_agg(setting, ',' ORDER BY name) FROM pg_settings), \
 (SELECT string_agg(setconfig::text, ',') FROM pg_db_role_setting), \
 (SELECT string_agg(slot_name, ',') FROM pg_replication_slots), (SELECT string_agg(datname, ',') FROM pg_database)))";

impl Drop for Server {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-D", "data", "-m", "immediate", "stop"]);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A server with the fixture's tables and functions, and its catalog.
pub(crate) fn with_fixture(name: &str) -> (Server, Arc<Catalog>) {
    let server = Server::start(name);
    server.script(include_str!("../corpus/fixture.sql"));
    let catalog = server.catalog();
    (server, catalog)
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}

fn programs() -> Option<PathBuf> {
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|p| std::env::split_paths(&p).collect::<Vec<_>>());
    let debian =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin"));
    on_path.chain(debian).find(|dir| dir.join("initdb").exists())
}
