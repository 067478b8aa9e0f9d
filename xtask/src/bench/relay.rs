//! A bare relay: what a tokio program costs that only moves bytes between two sockets. The budgets are multiples of
//! it, measured in the same run; it does nothing that anyone would want.

use anyhow::{Context, Result, bail};
use tokio::net::{TcpListener, TcpStream};

/// Serves `LISTEN UPSTREAM` until it is killed.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [listen, upstream] = arguments else { bail!("usage: xtask relay LISTEN UPSTREAM") };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(listen, upstream))
}

async fn serve(listen: &str, upstream: &str) -> Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    loop {
        let (client, _) = listener.accept().await?;
        let upstream = upstream.to_owned();
        tokio::spawn(async move {
            // A peer that goes away ends its session, nothing more.
            let _ = relay(client, &upstream).await;
        });
    }
}

async fn relay(mut client: TcpStream, upstream: &str) -> Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
