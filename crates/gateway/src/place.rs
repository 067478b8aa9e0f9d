//! Which data folder a command is about, and how its record is reached: through the gateway that runs on it, or directly
//! when none does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use firsthand_adapters::containment::Containment;
use firsthand_adapters::identity::store::TokenStore;
use firsthand_adapters::record::{Found, OpenRecordError, Record};
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::keys::KeyError;
use firsthand_auditlog::lock::{DataLock, LockError};
use firsthand_auditlog::reader::Reader;
use firsthand_auditlog::recover::Recovered;
use firsthand_auditlog::sign::keys::KeysError;
use firsthand_auditlog::sign::signer::known_size;
use firsthand_auditlog::writer;
use firsthand_model::event::Event;
use firsthand_model::json::{Json, Object};
use serde::{Deserialize, Serialize};

use crate::admin_client::{AdminClient, Unreachable};
use crate::config::Config;
use crate::desk::{Desk, store_failure};
use crate::evidence::Exporting;
use crate::failure::{Exit, Failure, only_for_its_owner};
use crate::reading::{Ask, Room, Sink, unreadable, what};
use crate::remote::Remote;
use crate::who;

/// The configuration that is taken when none is named.
const USUAL_FILE: &str = "firsthand.toml";

/// How long a command waits for whoever has the data folder: a gateway that reads a long log at its start takes seconds,
/// another command less.
const STARTING_MAX: Duration = Duration::from_secs(10);
/// The kind of the entries about an export.
pub(crate) const EXPORTED: &str = "record.exported";
/// What the writer is called that adds them where no gateway runs.
const EXPORT: &str = "evidence export";
/// How often it looks.
const STARTING_LOOK: Duration = Duration::from_millis(50);

/// A data folder, and the configuration it was found by.
pub(crate) struct Place {
    /// The data folder.
    pub(crate) data_dir: PathBuf,
    /// Its configuration, where one was named.
    pub(crate) config: Option<Config>,
}

/// How the record is reached.
pub(crate) enum Way {
    /// A gateway runs on the folder.
    Gateway(AdminClient),
    /// None does: this process has the folder's lock and the log open.
    Alone(Box<Alone>),
}

/// The log opened by a command.
pub(crate) struct Alone {
    /// Its acts.
    pub(crate) desk: Desk,
    /// The log.
    pub(crate) record: Record,
}

impl Place {
    /// From `--config` and `--dir`; with neither, from `firsthand.toml` in the current folder.
    pub(crate) fn find(config: Option<&Path>, dir: Option<&Path>) -> Result<Self, Failure> {
        match (config, dir) {
            (Some(_), Some(_)) => Err(Failure::usage(
                "--config and --dir were both given",
                "give --config FILE, which names its data folder, or --dir DATA",
            )),
            (None, Some(dir)) => Ok(Self { data_dir: dir.to_path_buf(), config: None }),
            (Some(file), None) => Self::of(file),
            (None, None) if Path::new(USUAL_FILE).exists() => Self::of(Path::new(USUAL_FILE)),
            (None, None) => Err(Failure::usage(
                "no data folder was named, and there is no firsthand.toml here",
                "give --config FILE (for what is read or changed in a data folder, --dir DATA does as well)",
            )),
        }
    }

    /// As [`Place::find`]; `None` where none was named and there is none here.
    pub(crate) fn find_if_any(config: Option<&Path>, dir: Option<&Path>) -> Result<Option<Self>, Failure> {
        if config.is_none() && dir.is_none() && !Path::new(USUAL_FILE).exists() {
            return Ok(None);
        }
        Self::find(config, dir).map(Some)
    }

    fn of(file: &Path) -> Result<Self, Failure> {
        let config = Config::load(file)?;
        Ok(Self { data_dir: config.data_dir.clone(), config: Some(config) })
    }

    /// Fails when there is no data folder: commands that only look do not make one.
    pub(crate) fn must_exist(&self) -> Result<(), Failure> {
        if self.data_dir.join("log").is_dir() || self.data_dir.join("tokens.json").exists() {
            return Ok(());
        }
        let looked = std::fs::symlink_metadata(self.data_dir.join("log"));
        if looked.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied) {
            return Err(self.not_ours());
        }
        Err(Failure::new(
            format!("there is no data in {}", self.data_dir.display()),
            "check --config or --dir; `firsthand serve` makes the folder",
        ))
    }

    fn not_ours(&self) -> Failure {
        Failure::new(
            format!("this user may not look into the data folder {}", self.data_dir.display()),
            "run this as the user that the gateway runs as, or ask it over the API with --gateway URL",
        )
    }

    /// The way to the record. Makes the data folder if need be.
    pub(crate) fn way(&self, doing: &str) -> Result<Way, Failure> {
        let until = Instant::now() + STARTING_MAX;
        let lock = loop {
            match AdminClient::connect(&self.data_dir) {
                Ok(client) => return Ok(Way::Gateway(client)),
                Err(Unreachable::NotRunning) => {}
                Err(Unreachable::Denied) => return Err(self.not_ours()),
            }
            make_data_dir(&self.data_dir)?;
            match DataLock::acquire(&self.data_dir) {
                Ok(lock) => break lock,
                // A gateway that has just been started takes the lock first; it can be reached a moment later.
                Err(LockError::Held { .. }) if Instant::now() < until => std::thread::sleep(STARTING_LOOK),
                Err(e) => return Err(not_locked(&e)),
            }
        };
        let (record, _) = open_record(&self.data_dir, lock, Vec::new(), |_| Ok(started_by_command(doing)))?;
        let tokens = Arc::new(TokenStore::open(&self.data_dir).map_err(store_failure)?);
        let contained = contained(&self.data_dir)?;
        let desk = Desk::over(&record, tokens, contained);
        Ok(Way::Alone(Box::new(Alone { desk, record })))
    }

    /// Records an export of evidence: before anything of it is written, and once it is. Whether a gateway runs, which then signs it.
    pub(crate) fn note_export(&self, exporting: &Exporting) -> Result<bool, Failure> {
        match self.way(EXPORT)? {
            Way::Gateway(client) => client.note_export(exporting).map(|()| true),
            Way::Alone(alone) => alone.act(async |desk: &Desk| {
                let by = who::own(&desk.keys);
                let (leaf, detail) = (what(&exporting.leaf()), what(&exporting.detail()));
                desk.record(EXPORTED, &by, leaf, detail).await.map(|()| false)
            }),
        }
    }

    /// Records that a command is about to ask a target, with the gateway's credential. Where there is no data folder yet,
    /// there is no record, and nothing that a gateway has done.
    pub(crate) fn note_asking(&self, asking: &Asking) -> Result<(), Failure> {
        if self.must_exist().is_err() {
            return Ok(());
        }
        match self.way(&asking.command)? {
            Way::Gateway(client) => client.note_asking(asking),
            Way::Alone(alone) => alone.act(async |desk: &Desk| {
                let by = who::own(&desk.keys);
                desk.record("admin.target_asked", &by, asking.leaf(), Json::default()).await
            }),
        }
    }
}

impl Room for Place {
    fn reader(&self) -> Result<Reader, Failure> {
        self.must_exist()?;
        Reader::open(&self.data_dir, Arc::new(RealIo::new())).map_err(|e| unreadable(&e))
    }

    fn note_reading(&self, command: &str, what: Json) -> Result<(), Failure> {
        match self.way(command)? {
            Way::Gateway(client) => client.note_reading(command, &what),
            Way::Alone(alone) => alone.act(async |desk: &Desk| {
                let by = who::own(&desk.keys);
                desk.record("record.read", &by, reading_leaf(command), what).await
            }),
        }
    }
}

/// Where the gateway is that a command is about.
pub(crate) enum At {
    /// Its data folder is on this machine.
    Here(Box<Place>),
    /// It is reached over its API.
    There(Remote),
}

impl At {
    /// Reads the record there.
    pub(crate) fn read(&self, ask: &Ask, sink: &mut dyn Sink) -> Result<Exit, Failure> {
        match self {
            Self::Here(place) => ask.run(&**place, sink),
            Self::There(remote) => remote.read(ask, sink),
        }
    }
}

/// What a command asks of a target.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asking {
    pub(crate) command: String,
    pub(crate) target: String,
    pub(crate) database: String,
}

impl Asking {
    /// The leaf's facts of an `admin.target_asked`.
    pub(crate) fn leaf(&self) -> Json {
        let mut text = Vec::with_capacity(120);
        let mut o = Object::open(&mut text);
        o.string("command", &self.command);
        o.string("database", &self.database);
        o.string("target", &self.target);
        o.close();
        Json::from_written(text)
    }
}

/// The leaf's facts of a `record.read`.
pub(crate) fn reading_leaf(command: &str) -> Json {
    let mut text = Vec::with_capacity(40);
    let mut o = Object::open(&mut text);
    o.string("command", command);
    o.close();
    Json::from_written(text)
}

impl Alone {
    /// Does one act and closes the log.
    pub(crate) fn act<T>(self, act: impl AsyncFnOnce(&Desk) -> Result<T, Failure>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::new(format!("cannot start: {e}"), "check the limits of this process"))?;
        let done = runtime.block_on(act(&self.desk));
        let closed = self.record.close(Json::from_written(b"{}".to_vec()));
        let done = done?;
        closed.map_err(|e| Failure::new(e.to_string(), "look at the disk of the data folder"))?;
        Ok(done)
    }
}

/// What is contained in a data folder.
pub(crate) fn contained(data: &Path) -> Result<Arc<Containment>, Failure> {
    let opened = Containment::open(data).map_err(|e| {
        Failure::new(
            e.to_string(),
            "where the file is damaged, take it out of the folder: what the record says is contained, a start contains again",
        )
    });
    opened.map(Arc::new)
}

/// Makes the data folder, for this user alone.
pub(crate) fn make_data_dir(data: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(|e| {
        Failure::new(
            format!("cannot make the data folder {}: {e}", data.display()),
            "check who may write there",
        )
    })
}

/// Takes the data folder for this process.
pub(crate) fn lock_data(data: &Path) -> Result<DataLock, Failure> {
    DataLock::acquire(data).map_err(|e| not_locked(&e))
}

fn not_locked(e: &LockError) -> Failure {
    let hint = match e {
        LockError::Held { .. } => "wait until it has ended, or stop it",
        LockError::Io { .. } => "run this as the user that owns the data folder",
    };
    Failure::new(e.to_string(), hint)
}

/// What to do where the log's keys cannot be had.
fn not_started(why: &writer::Failure) -> String {
    match why.downcast_ref::<KeysError>() {
        Some(KeysError::File(KeyError::Exposed { path, .. })) => only_for_its_owner(path),
        _ => "restore data/signer from a backup; a key that is gone is not replaced silently".to_owned(),
    }
}

/// Opens the log, which must not be shorter than what was signed of it.
pub(crate) fn open_record(
    data: &Path,
    lock: DataLock,
    first: Vec<Event>,
    started: impl FnOnce(&Recovered) -> Result<Json, writer::Failure>,
) -> Result<(Record, Found), Failure> {
    let known = known_size(&RealIo::new(), data).map_err(|e| {
        let path = data.join("signer").join("last");
        Failure::new(format!("cannot read {}: {e}", path.display()), "restore data/signer from a backup")
    })?;
    Record::open(data, lock, first, known, started).map_err(|e| {
        let hint = match &e {
            OpenRecordError::Started(why) => &not_started(why),
            OpenRecordError::Keys(KeyError::Exposed { path, .. }) => &only_for_its_owner(path),
            OpenRecordError::Keys(_) => "restore data/keys from a backup; without it payloads cannot be sealed or read",
            OpenRecordError::Log(_) => {
                "nothing was changed on disk; if the log is damaged, keep a copy and see `firsthand log declare-gap --help`"
            }
            OpenRecordError::Append(_) | OpenRecordError::Wait(_) => "look at the disk of the data folder",
        };
        Failure::new(e.to_string(), hint)
    })
}

/// The facts of the `log.started` of a command that writes without a gateway.
pub(crate) fn started_by_command(doing: &str) -> Json {
    let mut text = Vec::with_capacity(80);
    let mut o = Object::open(&mut text);
    o.string("by", doing);
    o.string("separation", "none");
    o.string("version", crate::VERSION);
    o.close();
    Json::from_written(text)
}
