//! Connects to a target directly: TCP (every address the name resolves to, in order) or a Unix socket.

use std::time::Duration;

use firsthand_model::target::Target;
use firsthand_session::port::{BoxFuture, ByteStream, DialError, Dialer};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

/// Time for name resolution and connecting, over all addresses: below what clients wait for a connection (libpq and
/// most pools: 10 s and more), so that they read our answer instead of giving up.
pub const DIAL_WAIT_MAX: Duration = Duration::from_secs(8);
/// Addresses tried of one name: a name that resolves to more is a mistake or an attack.
const ADDRESSES_MAX: usize = 8;

/// Dials without a connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectDialer;

impl Dialer for DirectDialer {
    fn dial<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Box<dyn ByteStream>, DialError>> {
        Box::pin(async move {
            timeout(DIAL_WAIT_MAX, connect(&target.address)).await.unwrap_or(Err(DialError::TimedOut))
        })
    }
}

async fn connect(address: &str) -> Result<Box<dyn ByteStream>, DialError> {
    if address.starts_with('/') {
        let stream = UnixStream::connect(address).await.map_err(|e| failed(address, &e))?;
        return Ok(Box::new(stream));
    }
    let resolved = lookup_host(address).await.map_err(|e| failed(address, &e))?;
    let mut last = DialError::Unreachable(format!("{address}: the name has no address"));
    let addresses: Vec<_> = resolved.take(ADDRESSES_MAX).collect();
    let share = DIAL_WAIT_MAX / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    for one in addresses {
        match timeout(share, TcpStream::connect(one)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(|e| failed(address, &e))?;
                return Ok(Box::new(stream));
            }
            Ok(Err(e)) => last = failed(&one.to_string(), &e),
            Err(_) => last = DialError::TimedOut,
        }
    }
    Err(last)
}

fn failed(address: &str, e: &std::io::Error) -> DialError {
    DialError::Unreachable(format!("{address}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, UnixListener};

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn tcp_and_unix_sockets_are_reached() {
        run(async {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            connect(&tcp.local_addr().unwrap().to_string()).await.unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("s");
            let _unix = UnixListener::bind(&path).unwrap();
            connect(path.to_str().unwrap()).await.unwrap();
        });
    }

    #[test]
    fn who_is_not_there_is_named() {
        run(async {
            let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
            let Err(e) = connect(&free).await else { panic!("connected to nobody") };
            assert!(e.to_string().contains(&free), "{e}");
            let Err(e) = connect("/no/such/socket").await else { panic!("connected to nobody") };
            assert!(e.to_string().contains("/no/such/socket"), "{e}");
        });
    }
}
