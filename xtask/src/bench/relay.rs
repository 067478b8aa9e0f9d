//! A bare relay: what a tokio program costs that only moves bytes between two sockets. The budgets are multiples of
//! it, measured in the same run; it does nothing that anyone would want.
//!
//! With a file it also writes a little to that and waits for the disk, before each answer or before each request too: what the
//! waiting that `strict` promises costs here, at the pace of a client that asks and waits, whoever does it.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const USAGE: &str = "usage: xtask relay LISTEN UPSTREAM [FILE answers|both]";
/// About what the two entries of a small command take.
const WRITE_BYTES: u64 = 1600;
/// Written blocks, over and over: a log writes into such, too.
const FILE_BYTES: u64 = 16 << 20;

/// A file that is waited for.
struct Disk {
    file: File,
    writes: AtomicU64,
    requests: bool,
}

impl Disk {
    fn open(path: &Path, requests: bool) -> Result<Arc<Self>> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        file.write_all_at(&vec![0; FILE_BYTES as usize], 0)?;
        file.sync_all()?;
        Ok(Arc::new(Self { file, writes: AtomicU64::new(0), requests }))
    }

    fn wait(&self) -> Result<()> {
        let at = self.writes.fetch_add(1, Ordering::Relaxed) * WRITE_BYTES % (FILE_BYTES - WRITE_BYTES);
        self.file.write_all_at(&[1; WRITE_BYTES as usize], at)?;
        Ok(self.file.sync_data()?)
    }
}

/// Serves `LISTEN UPSTREAM` until it is killed.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [listen, upstream, rest @ ..] = arguments else { bail!(USAGE) };
    let disk = match rest {
        [] => None,
        [file, when] if when == "answers" || when == "both" => {
            Some(Disk::open(Path::new(file), when == "both")?)
        }
        _ => bail!(USAGE),
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(listen, upstream, disk))
}

async fn serve(listen: &str, upstream: &str, disk: Option<Arc<Disk>>) -> Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    loop {
        let (client, _) = listener.accept().await?;
        let upstream = upstream.to_owned();
        let disk = disk.clone();
        tokio::spawn(async move {
            // A peer that goes away ends its session, nothing more.
            let _ = relay(client, &upstream, disk).await;
        });
    }
}

async fn relay(mut client: TcpStream, upstream: &str, disk: Option<Arc<Disk>>) -> Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let Some(disk) = disk else {
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    };
    let (mut asked, mut answered) = (vec![0; 8 << 10], vec![0; 8 << 10]);
    loop {
        tokio::select! {
            n = client.read(&mut asked) => {
                let Some(bytes) = asked.get(..n?).filter(|b| !b.is_empty()) else { return Ok(()) };
                if disk.requests {
                    disk.wait()?;
                }
                server.write_all(bytes).await?;
            }
            n = server.read(&mut answered) => {
                let Some(bytes) = answered.get(..n?).filter(|b| !b.is_empty()) else { return Ok(()) };
                disk.wait()?;
                client.write_all(bytes).await?;
            }
        }
    }
}
