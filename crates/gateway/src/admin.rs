//! The admin socket, `data/admin.sock`: how the command line reaches the gateway that runs. The same API as over the network,
//! on a Unix socket that only this user (and root) can open; the kernel says who asks, and every act is an entry.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Extension;
use tokio::net::{UnixListener, UnixStream};

use crate::api::{Api, Caller, not_found};
use crate::web::{self, ACCEPT_REST, Web};
use crate::who;

/// Connections at a time: commands of administrators.
const CONNECTIONS_MAX: usize = 64;
/// Name of the socket in the data folder.
pub(crate) const SOCKET: &str = "admin.sock";
/// The socket, removed when dropped.
pub(crate) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Listens. The data folder's lock is held, so a socket that is there was left by a crash.
    pub(crate) fn bind(data: &Path) -> io::Result<Self> {
        let path = data.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        // Between bind and this the folder's own mode (0700) keeps others out, and each peer is checked anyway.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Serves until dropped.
    pub(crate) async fn serve(self, api: Arc<Api>) {
        let (router, web) =
            (Api::router(&api).fallback(not_found), Web::new(CONNECTIONS_MAX, CONNECTIONS_MAX));
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match peer(&stream) {
                    Ok(uid) => {
                        // Beyond the limit it is closed at once.
                        let Some(slot) = web.enter(None) else { continue };
                        // The kernel has said who it is.
                        slot.known.set();
                        let caller = Caller::local(who::link(&api.gateway.desk.keys, uid));
                        tokio::spawn(web::run(stream, router.clone().layer(Extension(caller)), slot));
                    }
                    Err(e) => tracing::warn!(error = %e, "turned away at the admin socket"),
                },
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept on the admin socket; trying again");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The user at the other end, as the kernel says.
fn peer(stream: &UnixStream) -> io::Result<u32> {
    let uid = stream.peer_cred()?.uid();
    if may_administer(uid, who::own_uid()) {
        return Ok(uid);
    }
    Err(io::Error::other(format!("user {uid} is neither root nor the user of this gateway")))
}

/// Who may administer: whoever could read and change the data folder anyway.
fn may_administer(uid: u32, own: u32) -> bool {
    uid == own || uid == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_user_and_root_may_administer() {
        assert!(may_administer(1000, 1000));
        assert!(may_administer(0, 1000));
        assert!(!may_administer(1001, 1000));
        assert!(!may_administer(65534, 0));
    }

    #[test]
    fn the_kernel_says_who_asks() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (a, _b) = UnixStream::pair().unwrap();
            assert_eq!(peer(&a).unwrap(), who::own_uid());
        });
    }

    #[test]
    fn the_socket_is_for_its_user_alone_and_goes_with_its_owner() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(SOCKET);
            std::fs::write(&path, "left by a crash").unwrap();
            let socket = AdminSocket::bind(dir.path()).unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            drop(socket);
            assert!(!path.exists());
        });
    }
}
