//! A bare PostgreSQL client: logs in, then drains a result or feeds a COPY as fast as the socket goes, so that the
//! client's own work does not hide the proxy's.

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use postgres_protocol::{
    authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    message::frontend,
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// How a target is reached.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) database: String,
}

/// Longest wait for any answer: a proxy that hangs fails the cell.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is read at once: large enough that the client's reads are not the limit.
const READ_BYTES: usize = 1 << 20;
/// `ReadyForQuery`, idle: how every answer ends.
const READY: &[u8] = b"Z\0\0\0\x05I";

pub(super) struct Client {
    socket: TcpStream,
}

impl Client {
    pub(super) fn connect(login: &Login) -> Result<Self> {
        let socket = TcpStream::connect((login.host.as_str(), login.port))
            .with_context(|| format!("connect to {}:{}", login.host, login.port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { socket };
        let mut out = BytesMut::new();
        let parameters = [("user", login.user.as_str()), ("database", login.database.as_str())];
        frontend::startup_message(parameters, &mut out)?;
        client.socket.write_all(&out)?;
        client.authenticate(login)?;
        Ok(client)
    }

    fn authenticate(&mut self, login: &Login) -> Result<()> {
        let mut scram = None;
        loop {
            let (tag, body) = self.frame()?;
            if tag == b'Z' {
                return Ok(());
            }
            if tag != b'R' {
                continue;
            }
            let (kind, data) = body.split_at_checked(4).context("short authentication message")?;
            let mut out = BytesMut::new();
            match kind {
                [0, 0, 0, 0] => continue,
                [0, 0, 0, 3] => frontend::password_message(login.password.as_bytes(), &mut out)?,
                [0, 0, 0, 10] => {
                    let new = ScramSha256::new(login.password.as_bytes(), ChannelBinding::unsupported());
                    frontend::sasl_initial_response(SCRAM_SHA_256, new.message(), &mut out)?;
                    scram = Some(new);
                }
                [0, 0, 0, 11] => {
                    let running = scram.as_mut().context("SASL went on before it began")?;
                    running.update(data)?;
                    frontend::sasl_response(running.message(), &mut out)?;
                }
                [0, 0, 0, 12] => {
                    scram.as_mut().context("SASL ended before it began")?.finish(data)?;
                    continue;
                }
                other => bail!("authentication method {other:?} is not spoken here"),
            }
            self.socket.write_all(&out)?;
        }
    }

    /// One whole message; an error of the server is an error here.
    fn frame(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.socket.read_exact(&mut head)?;
        let [tag, length @ ..] = head;
        let length =
            u32::from_be_bytes(length).checked_sub(4).context("a message shorter than its length")?;
        let mut body = vec![0; usize::try_from(length)?];
        self.socket.read_exact(&mut body)?;
        if tag == b'E' {
            bail!("{}", error_text(&body));
        }
        Ok((tag, body))
    }

    /// Sends one simple query and reads its whole answer away. Returns the bytes of the answer.
    pub(super) fn drain(&mut self, sql: &str) -> Result<u64> {
        self.say(sql)?;
        self.read_to_ready()
    }

    /// Sends one simple query, whose answer comes later.
    pub(super) fn say(&mut self, sql: &str) -> Result<()> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out)?;
        Ok(self.socket.write_all(&out)?)
    }

    /// Reads the answer of what was said, message by message; an error of the server is an error here.
    pub(super) fn answer(&mut self) -> Result<()> {
        while self.frame()?.0 != b'Z' {}
        Ok(())
    }

    /// Feeds `rows` to a `COPY … FROM STDIN`, in messages of `chunk` bytes.
    pub(super) fn copy_in(&mut self, sql: &str, rows: &[u8], chunk: usize) -> Result<()> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out)?;
        self.socket.write_all(&out)?;
        while self.frame()?.0 != b'G' {}
        for part in rows.chunks(chunk) {
            out.clear();
            frontend::CopyData::new(part)?.write(&mut out);
            self.socket.write_all(&out)?;
        }
        out.clear();
        frontend::copy_done(&mut out);
        self.socket.write_all(&out)?;
        while self.frame()?.0 != b'Z' {}
        Ok(())
    }

    /// Reads until an answer's end stands at the end of what was read. Frames are not looked at: that would make the
    /// client the slowest part.
    fn read_to_ready(&mut self) -> Result<u64> {
        let mut buffer = vec![0; READ_BYTES];
        let mut total = 0;
        let mut tail: Vec<u8> = Vec::new();
        loop {
            let got = self.socket.read(&mut buffer)?;
            let read = buffer.get(..got).unwrap_or_default();
            if got == 0 {
                bail!("the connection was closed in the middle of a result");
            }
            if total == 0 && read.first() == Some(&b'E') {
                bail!("{}", error_text(read.get(5..).unwrap_or_default()));
            }
            total += got as u64;
            tail.extend_from_slice(read.get(got.saturating_sub(READY.len())..).unwrap_or_default());
            tail.drain(..tail.len().saturating_sub(READY.len()));
            if tail == READY {
                return Ok(total);
            }
        }
    }
}

/// The message field of an `ErrorResponse`.
fn error_text(body: &[u8]) -> String {
    let fields = body.split(|b| *b == 0).filter_map(|f| f.split_first());
    let message = fields.filter(|(kind, _)| **kind == b'M').map(|(_, text)| String::from_utf8_lossy(text));
    message
        .map(|text| format!("the server says: {text}"))
        .next()
        .unwrap_or_else(|| "the server says no".to_owned())
}
