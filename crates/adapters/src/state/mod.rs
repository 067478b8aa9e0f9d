//! What has to be known between requests besides the log: a SQLite file of the data folder, or a PostgreSQL that gateways
//! share. The log stays the truth; this is what it says, made quick to ask and atomic to change.
//!
//! Opened when it is first needed, so that a gateway without approvals pays nothing for them.

pub mod approvals;
pub mod seen;

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::postgres::{PgConnection, PgListener};
use sqlx::{AnyPool, Connection as _};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

/// The file in the data folder.
const FILE: &str = "state.db";
/// How long something waits for a connection: where it takes longer, the database does not answer, and what waits is refused.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);
/// How long a shared PostgreSQL may take to let a connection in, before anything else is tried with it: who starts a gateway waits
/// for the message.
const REACH_MAX: Duration = Duration::from_secs(3);
/// What a connection string must look like.
pub const URL_WANTED: &str = "it takes a URL: postgresql://user@host:5432/db";
/// Connections to a shared PostgreSQL.
const CONNECTIONS_MAX: u32 = 8;
/// Number of the lock under which one gateway at a time makes the tables in a shared PostgreSQL: the word `firsthnd`.
const MAKING: i64 = 0x6669_7273_7468_6e64;
/// The channel on which gateways that share a database tell each other what has changed.
const CHANNEL: &str = "firsthand_approvals";

/// The state cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the state cannot be reached: {0}")]
pub struct StateError(String);

impl StateError {
    /// For this reason.
    #[must_use]
    pub fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl From<sqlx::Error> for StateError {
    fn from(e: sqlx::Error) -> Self {
        match e {
            // It may repeat an address with its password.
            sqlx::Error::Configuration(_) => Self(format!("its address is not understood: {URL_WANTED}")),
            // The whole of it names lines of the server's own source.
            sqlx::Error::Database(e) => Self(e.message().to_owned()),
            sqlx::Error::Io(e) => Self(e.to_string()),
            other => Self(other.to_string()),
        }
    }
}

/// Where it is kept.
enum Place {
    File(PathBuf),
    Shared(Zeroizing<String>),
}

/// The state's database.
pub struct State {
    place: Place,
    pool: OnceCell<AnyPool>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("shared", &self.is_shared()).finish_non_exhaustive()
    }
}

impl State {
    /// In a file of the data folder.
    #[must_use]
    pub fn in_folder(data: &Path) -> Self {
        Self { place: Place::File(data.join(FILE)), pool: OnceCell::new() }
    }

    /// In a PostgreSQL, by its connection string.
    #[must_use]
    pub fn shared(url: String) -> Self {
        Self { place: Place::Shared(Zeroizing::new(url)), pool: OnceCell::new() }
    }

    /// Whether a connection string has the form that is understood; libpq's `host=… dbname=…` is none.
    #[must_use]
    pub fn is_url(text: &str) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// Connects to a shared PostgreSQL, and leaves again: why a pool cannot have a connection, the pool does not say. Where
    /// nobody shares it, there is nothing to reach.
    ///
    /// # Errors
    /// Why it cannot be reached.
    pub async fn reach(&self) -> Result<(), StateError> {
        let Place::Shared(url) = &self.place else { return Ok(()) };
        let reaching = async { PgConnection::connect(url).await?.close().await };
        match tokio::time::timeout(REACH_MAX, reaching).await {
            Ok(reached) => Ok(reached?),
            Err(_) => Err(StateError(format!("it does not answer within {} seconds", REACH_MAX.as_secs()))),
        }
    }

    /// Whether other gateways may use it, too.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.place, Place::Shared(_))
    }

    /// Whether something may be in it: a file that nobody has needed yet is not there.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        match &self.place {
            Place::File(path) => path.exists(),
            Place::Shared(_) => true,
        }
    }

    async fn pool(&self) -> Result<&AnyPool, StateError> {
        self.pool.get_or_try_init(|| self.open()).await
    }

    async fn open(&self) -> Result<AnyPool, StateError> {
        install_default_drivers();
        let pool = match &self.place {
            Place::File(path) => open_file(path).await?,
            Place::Shared(url) => {
                self.reach().await?;
                let options = AnyPoolOptions::new().max_connections(CONNECTIONS_MAX);
                options.acquire_timeout(ACQUIRE_MAX).connect(url).await?
            }
        };
        let making = tokio::time::timeout(ACQUIRE_MAX, self.make(&pool));
        making.await.map_err(|_| StateError("its tables could not be made in time".to_owned()))??;
        Ok(pool)
    }

    /// Makes the tables. In PostgreSQL, two that make the same one at the same time would race, and one of them fail.
    async fn make(&self, pool: &AnyPool) -> Result<(), StateError> {
        let mut on = pool.begin().await?;
        if self.is_shared() {
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MAKING).execute(&mut *on).await?;
        }
        for statement in approvals::SCHEMA.iter().chain(seen::SCHEMA) {
            sqlx::query(*statement).execute(&mut *on).await?;
        }
        Ok(on.commit().await?)
    }

    /// Leaves nothing of what was deleted beside the file.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn shrink(&self) -> Result<(), StateError> {
        if !self.is_shared() {
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(self.pool().await?).await?;
        }
        Ok(())
    }

    /// Tells others who share it, within the transaction that changes it.
    async fn tell(&self, on: &mut sqlx::AnyConnection, id: &str) -> Result<(), StateError> {
        if self.is_shared() {
            sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(id).execute(on).await?;
        }
        Ok(())
    }

    /// What others who share it have changed: ids, one after the other. `None` where nobody shares it.
    ///
    /// # Errors
    /// When it cannot be listened to.
    pub async fn listen(&self) -> Result<Option<Changes>, StateError> {
        let Place::Shared(url) = &self.place else { return Ok(None) };
        self.reach().await?;
        let mut listener = PgListener::connect(url).await?;
        listener.listen(CHANNEL).await?;
        Ok(Some(Changes(listener)))
    }
}

/// Changes by others.
#[derive(Debug)]
pub struct Changes(PgListener);

impl Changes {
    /// The id of the next one. Cancel-safe. `None`: the connection was lost and is there again, so anything may have changed.
    ///
    /// # Errors
    /// When it cannot be had again.
    pub async fn next(&mut self) -> Result<Option<String>, StateError> {
        Ok(self.0.try_recv().await?.map(|told| told.payload().to_owned()))
    }
}

/// The file, for this user alone; one connection, because SQLite has one writer anyway.
async fn open_file(path: &Path) -> Result<AnyPool, StateError> {
    let made = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    made.map_err(|e| StateError(format!("{}: {e}", path.display())))?;
    let path = std::path::absolute(path).map_err(|e| StateError(format!("{}: {e}", path.display())))?;
    let mut url = "sqlite://".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        // As RFC 3986 has it: a path may hold anything.
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                url.push(char::from(*byte))
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    let options = AnyPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_MAX);
    let options = options.after_connect(|on, _| {
        Box::pin(async move {
            // What is spent stays spent, also when the power fails.
            for setting in [
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "PRAGMA busy_timeout = 5000",
                // What is deleted is not left in the file.
                "PRAGMA secure_delete = ON",
            ] {
                sqlx::query(setting).execute(&mut *on).await?;
            }
            Ok(())
        })
    });
    Ok(options.connect(&url).await?)
}
