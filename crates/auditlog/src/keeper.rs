//! What need not be done by the writer: making the next segment ready, and sealing the last one.
//!
//! A segment is made ready by writing it full of zeros before its time, because an fdatasync over blocks that were
//! written before is cheaper than one that must also record new ones.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::io::{File, Io};
use crate::queue::{Shared, lock};
use crate::segment::{Index, SegmentIndex, SegmentName};
use crate::walk::Walk;

/// How long to wait before trying again what has failed: short enough that work resumes soon after space returns.
pub(crate) const RETRY: Duration = Duration::from_millis(250);
/// Name of the segment that is being made ready.
const NEXT: &str = "next.tmp";
/// Suffix of everything that is not finished and may be removed at any start.
pub(crate) const TEMP: &str = ".tmp";

/// A file reserved for a segment, all zeros, not yet in its place.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) file: Arc<dyn File>,
    pub(crate) path: PathBuf,
    pub(crate) capacity: u64,
}

/// A segment to be sealed.
pub(crate) struct SealJob {
    pub(crate) name: SegmentName,
    /// The open file and where its last frame ends; `None` after a restart: both are then found out.
    pub(crate) written: Option<(Arc<dyn File>, u64)>,
    /// What was fed while it was written, if all of it was.
    pub(crate) index: Option<Box<dyn SegmentIndex>>,
}

impl fmt::Debug for SealJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealJob({})", self.name)
    }
}

#[derive(Debug, Default)]
struct Jobs {
    ready: Option<Prepared>,
    wanted: bool,
    seal: VecDeque<SealJob>,
    closing: bool,
}

/// What one look at the jobs came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Did {
    /// There was nothing to do.
    Nothing,
    /// A job was done.
    Job,
    /// A job failed and should be tried again after [`RETRY`].
    Failed,
}

#[derive(Debug)]
pub(crate) struct Keeper<T> {
    jobs: Mutex<Jobs>,
    work: Condvar,
    shared: Arc<Shared<T>>,
    io: Arc<dyn Io>,
    log: PathBuf,
    segment_bytes: u64,
    index: Option<Arc<dyn Index>>,
}

impl<T> Keeper<T> {
    pub(crate) fn new(
        shared: Arc<Shared<T>>,
        log: PathBuf,
        segment_bytes: u64,
        index: Option<Arc<dyn Index>>,
    ) -> Self {
        let io = shared.io.clone();
        Self { jobs: Mutex::default(), work: Condvar::new(), shared, io, log, segment_bytes, index }
    }

    /// A further segment will be wanted soon.
    pub(crate) fn want(&self) {
        let mut jobs = lock(&self.jobs);
        if !jobs.wanted && jobs.ready.is_none() {
            jobs.wanted = true;
            self.work.notify_one();
        }
    }

    /// The segment that stands ready, if one does.
    pub(crate) fn take_ready(&self) -> Option<Prepared> {
        let ready = lock(&self.jobs).ready.take();
        self.shared.set_next_room(0);
        ready
    }

    pub(crate) fn seal(&self, job: SealJob) {
        lock(&self.jobs).seal.push_back(job);
        self.work.notify_one();
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    pub(crate) fn index(&self) -> Option<&Arc<dyn Index>> {
        self.index.as_ref()
    }

    /// Makes a file for a segment in a hurry: room is reserved but not written. A file of that name that is left from
    /// a failed try is replaced.
    pub(crate) fn create(&self, name: &str, capacity: u64) -> io::Result<Prepared> {
        create(&*self.io, &self.log, name, capacity)
    }

    /// Finishes the sealing and ends; a segment being made ready is left to the next start to remove.
    pub(crate) fn close(&self) {
        lock(&self.jobs).closing = true;
        self.work.notify_all();
    }

    /// Runs until closed.
    pub(crate) fn run(&self) {
        loop {
            let did = self.work_once();
            let jobs = lock(&self.jobs);
            if jobs.closing && jobs.seal.is_empty() {
                return;
            }
            match did {
                Did::Job => {}
                Did::Failed => {
                    drop(self.work.wait_timeout(jobs, RETRY).unwrap_or_else(PoisonError::into_inner));
                }
                // Looked at again under the lock: a job may have come since.
                Did::Nothing if jobs.wanted || !jobs.seal.is_empty() => {}
                Did::Nothing => drop(self.work.wait(jobs).unwrap_or_else(PoisonError::into_inner)),
            }
        }
    }

    /// Does one job, if there is one. The next segment goes first: the writer may be about to need it.
    pub(crate) fn work_once(&self) -> Did {
        let (wanted, seal) = {
            let mut jobs = lock(&self.jobs);
            let wanted = jobs.wanted && !jobs.closing;
            (wanted, if wanted { None } else { jobs.seal.pop_front() })
        };
        if wanted {
            return self.prepare();
        }
        let Some(job) = seal else { return Did::Nothing };
        let name = job.name;
        if let Err(e) = self.seal_now(job) {
            // Only convenience is lost: the segment stays readable, and the next start tries again.
            self.shared.set_warning(format!("sealing segment {name}: {e}"));
        }
        Did::Job
    }

    fn prepare(&self) -> Did {
        let made = self.create(NEXT, self.segment_bytes).and_then(|next| {
            next.file.fill(0, next.capacity)?;
            Ok(next)
        });
        match made {
            Ok(next) => {
                let mut jobs = lock(&self.jobs);
                self.shared.set_next_room(next.capacity);
                jobs.ready = Some(next);
                jobs.wanted = false;
                drop(jobs);
                self.shared.set_full(None);
                Did::Job
            }
            Err(e) => {
                // The room that the half-made file took is needed elsewhere.
                let _ = self.io.remove(&self.log.join(NEXT));
                self.shared.set_full(Some(format!("making the next segment: {e}")));
                Did::Failed
            }
        }
    }

    fn seal_now(&self, job: SealJob) -> io::Result<()> {
        match &job.written {
            Some((file, used)) => {
                file.set_len(*used)?;
                file.protect()?;
            }
            None => self.seal_old(job.name)?,
        }
        let sidecar = match (job.index, &self.index) {
            (Some(index), _) => Some(index.finish()),
            (None, Some(index)) => index.rebuild(&mut Walk::open(&*self.io, &self.log, job.name)?)?,
            (None, None) => None,
        };
        match sidecar {
            Some(bytes) => write_whole(&*self.io, &self.log, &job.name.index_path(&self.log), &bytes),
            None => Ok(()),
        }
    }

    /// Cuts and protects a segment whose sealing an earlier run did not finish.
    fn seal_old(&self, name: SegmentName) -> io::Result<()> {
        let mut frames = Walk::open(&*self.io, &self.log, name)?;
        while frames.next_frame()?.is_some() {}
        let end = frames.offset();
        // Anything but zeros is not ours to cut: verification must find it.
        if !frames.ends_in_zeros()? {
            return Ok(());
        }
        let file = self.io.open(&name.path(&self.log), true)?;
        file.set_len(end)?;
        file.protect()
    }
}

/// Creates a file for a segment; one of that name that an earlier try has left is replaced.
pub(crate) fn create(io: &dyn Io, log: &Path, name: &str, capacity: u64) -> io::Result<Prepared> {
    let path = log.join(name);
    let file = match io.create(&path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            io.remove(&path)?;
            io.create(&path)?
        }
        other => other?,
    };
    match file.allocate(capacity) {
        Ok(()) => Ok(Prepared { file, path, capacity }),
        Err(e) => {
            let _ = io.remove(&path);
            Err(e)
        }
    }
}

/// Writes a small file that is there whole or not at all, and durable when this returns.
pub(crate) fn write_whole(io: &dyn Io, dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temp = path.as_os_str().to_owned();
    temp.push(TEMP);
    let temp = PathBuf::from(temp);
    let file = match io.create(&temp) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            io.remove(&temp)?;
            io.create(&temp)?
        }
        other => other?,
    };
    file.write_at(0, bytes)?;
    file.sync_data()?;
    io.rename(&temp, path)?;
    io.sync_dir(dir)
}
