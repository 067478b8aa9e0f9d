//! A scratch PostgreSQL for a test, and a session with it in this crate's own messages.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use firsthand_wire::postgres::backend::Message;
use firsthand_wire::postgres::frontend::{self, Object};
use firsthand_wire::postgres::startup::{ProtocolVersion, encode_startup};
use firsthand_wire::postgres::{Format, Frames, Rules};

/// A server of our own in a directory of our own, on a Unix socket; stopped and removed in the end.
pub(crate) struct Server {
    pub(crate) dir: PathBuf,
    bin: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Self {
        let bin = server_programs().expect("PostgreSQL's server programs: apt install postgresql");
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("firsthand-wire-values-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let server = Self { dir, bin };
        if is_root() {
            let owned = Command::new("chown").arg("postgres").arg(&server.dir).status().unwrap();
            assert!(owned.success(), "chown to postgres");
        }
        server.run(
            "initdb",
            &["-D", "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-N"],
        );
        let options = format!(
            "-k {} -c listen_addresses= -c fsync=off -c jit=off -c timezone=UTC",
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
}

impl Drop for Server {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-D", "data", "-m", "immediate", "stop"]);
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}

fn server_programs() -> Option<PathBuf> {
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|p| std::env::split_paths(&p).collect::<Vec<_>>());
    let debian =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin"));
    on_path.chain(debian).find(|dir| dir.join("initdb").exists())
}

/// A session that knows one thing: the extended protocol, one statement at a time.
pub(crate) struct Session {
    stream: UnixStream,
    input: BytesMut,
    /// The type modifiers of the columns described last.
    pub(crate) modifiers: Vec<i32>,
}

/// A result: the columns' types, and the rows.
pub(crate) type Rows = (Vec<u32>, Vec<Vec<Option<Vec<u8>>>>);

impl Session {
    pub(crate) fn open(dir: &Path) -> Self {
        let stream = UnixStream::connect(dir.join(".s.PGSQL.5432")).unwrap();
        let mut session = Self { stream, input: BytesMut::new(), modifiers: Vec::new() };
        let mut out = BytesMut::new();
        let parameters = [(&b"user"[..], &b"postgres"[..]), (b"client_encoding", b"UTF8")];
        encode_startup(&mut out, ProtocolVersion::V3_0, parameters).unwrap();
        session.exchange(&out).unwrap();
        session
    }

    pub(crate) fn ask(
        &mut self,
        text: &str,
        parameters: &[Option<&[u8]>],
        result: Format,
    ) -> Result<Rows, String> {
        let mut out = BytesMut::new();
        frontend::encode_parse(&mut out, b"", text.as_bytes(), &[]).unwrap();
        frontend::encode_bind(&mut out, (b"", b""), (Format::Binary, parameters), result).unwrap();
        frontend::encode_describe(&mut out, Object::Portal(b"")).unwrap();
        frontend::encode_execute(&mut out, b"", 0).unwrap();
        frontend::encode_sync(&mut out);
        self.exchange(&out)
    }

    /// Sends, and reads up to ReadyForQuery.
    pub(crate) fn exchange(&mut self, out: &[u8]) -> Result<Rows, String> {
        self.stream.write_all(out).unwrap();
        let (mut types, mut rows, mut error) = (Vec::new(), Vec::new(), None);
        loop {
            let buffer = self.input.split().freeze();
            let mut frames = Frames::new(&buffer, &Rules::backend(u32::MAX, u32::MAX));
            let mut ready = false;
            while let Some(frame) = frames.next().unwrap() {
                match Message::read(frame.tag, frame.body).unwrap() {
                    Message::RowDescription(d) => {
                        types = d.columns().map(|c| c.type_oid).collect();
                        self.modifiers = d.columns().map(|c| c.type_modifier).collect();
                    }
                    Message::DataRow(row) => {
                        rows.push(row.values().map(|v| v.unwrap().map(<[u8]>::to_vec)).collect())
                    }
                    Message::ErrorResponse(r) => {
                        error = Some(String::from_utf8_lossy(r.message()).into_owned())
                    }
                    Message::ReadyForQuery(_) => ready = true,
                    Message::Unknown(tag) => panic!("unknown message {tag}"),
                    _ => {}
                }
            }
            self.input.extend_from_slice(&buffer[frames.consumed()..]);
            if ready {
                return error.map_or(Ok((types, rows)), Err);
            }
            let mut chunk = [0; 65_536];
            let n = self.stream.read(&mut chunk).unwrap();
            assert!(n > 0, "the server closed: {error:?}");
            self.input.extend_from_slice(&chunk[..n]);
        }
    }
}
