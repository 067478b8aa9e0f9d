//! Walks the segments of a log folder, frame by frame, and goes on behind what is damaged, so that everything that is wrong
//! is named.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod damage;
mod entries;

use super::checkpoints;
use super::pieces::Pieces;
use super::report::{Aspect, EpochEnd, Findings, Report, Spot};
use super::story::Story;
use super::{Anchor, Options, Progress, VerifyError};
use crate::frame::{self, FrameError};
use crate::io::{Io, read_all};
use crate::reader::payload::Opener;
use crate::recover::{CLOSED, KnownSize};
use crate::segment::{self, Header, SegmentName};
use crate::tree::{Frontier, Hash};

/// How long between two looks at a write that is under way.
const LOOK: Duration = Duration::from_millis(10);
/// Looks at an end that does not change before it is taken for what it is.
const STEADY: u32 = 5;
/// Entries between two words about progress.
const WORD: u64 = 4096;

/// One epoch, as recomputed so far.
#[derive(Debug)]
struct Tree {
    epoch: u64,
    log_id: [u8; 16],
    /// The position that comes next.
    next: u64,
    /// The checksum that the next frame follows.
    seed: u32,
    frontier: Frontier,
    /// Entries are missing, so `frontier` is that of nothing until a header says another.
    broken: bool,
    /// Size at which a segment ended: its first position, and the root then.
    ends: HashMap<u64, (u64, Hash)>,
}

/// What was wrong at the end of an epoch: the next one's first entry must say so.
#[derive(Debug)]
struct EpochTail {
    segment: SegmentName,
    byte: u64,
    position: u64,
    damaged: Option<String>,
}

/// The work.
struct Check<'a> {
    io: &'a Arc<dyn Io>,
    log: &'a Path,
    options: &'a Options,
    progress: &'a mut dyn FnMut(Progress),
    report: Report,
    story: Story,
    tree: Option<Tree>,
    opener: Option<Opener>,
    anchors: Vec<Anchor>,
    tail: Option<EpochTail>,
    /// Where the entry at hand stands.
    at: Spot,
    of: u64,
    last_word: u64,
}

/// Verifies the segments in `data/log`, against the checkpoints in `data/tlog`.
pub(super) fn verify(
    io: &Arc<dyn Io>,
    data: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, VerifyError> {
    let log = &*data.join("log");
    let names = io.list(log).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => VerifyError::NoLog(log.to_owned()),
        _ => VerifyError::Io { path: log.to_owned(), source },
    })?;
    let mut check = Check {
        io,
        log,
        options,
        progress,
        report: Report::new(Findings::default()),
        story: Story::default(),
        tree: None,
        opener: options.keys.clone().map(|keys| Opener::new(Some(keys))),
        anchors: options.anchors.clone(),
        tail: None,
        at: Spot::default(),
        of: 0,
        last_word: 0,
    };
    check.closed(&names);
    // Before the segments: what a signer signs meanwhile may stand behind what is read of them.
    let signed = checkpoints::anchors(&**io, data, &options.trust, check.report.findings_mut());
    check.anchors.extend(signed);
    for name in names.iter().filter_map(|n| SegmentName::parse(n)) {
        check.of += io.open(&name.path(log), false).and_then(|f| f.len()).unwrap_or(0);
    }
    check.anchors.sort_by_key(|a| (a.epoch, a.size));
    check.segments()?;
    check.finish()
}

fn name_in_log(file: &str) -> PathBuf {
    Path::new("log").join(file)
}

impl Check<'_> {
    fn out(&mut self) -> &mut Findings {
        self.report.findings_mut()
    }

    /// The note of the last proper close: the log cannot have become shorter since.
    fn closed(&mut self, names: &[String]) {
        if !names.iter().any(|n| n == CLOSED) {
            return;
        }
        let path = self.log.join(CLOSED);
        let bytes = self.io.open(&path, false).and_then(|f| read_all(&*f, 4096));
        match bytes.ok().and_then(|b| KnownSize::decode(&b)) {
            Some(KnownSize { epoch, size, root }) => {
                self.anchors.push(Anchor { epoch, size, root, source: name_in_log(CLOSED), signed: false });
            }
            None => {
                let spot = Spot::file(name_in_log(CLOSED)).at(0);
                let what = "the note of the last close is damaged";
                self.out().fail(Aspect::Integrity, "closed", &spot, what);
            }
        }
    }

    fn list(&self) -> Result<Vec<SegmentName>, VerifyError> {
        segment::list(&**self.io, self.log)
            .map_err(|source| VerifyError::Io { path: self.log.to_owned(), source })
    }

    /// All segments, also those that come while it goes on.
    fn segments(&mut self) -> Result<(), VerifyError> {
        let mut names = self.list()?;
        if names.is_empty() {
            return Err(VerifyError::NoLog(self.log.to_owned()));
        }
        let mut done = 0;
        while let Some(name) = names.get(done).copied() {
            if let Err(e) = self.segment(name, &mut names) {
                let spot = Spot::file(name_in_log(&format!("{name}.seg")));
                self.out().fail(Aspect::Integrity, "file", &spot, format!("it cannot be read: {e}"));
                self.lost(name.first, &[]);
            }
            self.report.segments += 1;
            done += 1;
        }
        self.strays(&names);
        Ok(())
    }

    /// What else lies in the folder.
    fn strays(&mut self, names: &[SegmentName]) {
        let Ok(files) = self.io.list(self.log) else { return };
        for file in files {
            let spot = Spot::file(name_in_log(&file));
            if let Some(of) = file.strip_suffix(".idx") {
                let of = SegmentName::parse(&format!("{of}.seg"));
                if !of.is_some_and(|of| names.contains(&of)) {
                    let what = "the index of a segment that is not here";
                    self.out().fail(Aspect::Completeness, "segment-missing", &spot, what);
                } else if of.is_some() && of == names.last().copied() {
                    let what = "its segment was sealed, so another one followed it, and that is gone";
                    self.out().fail(Aspect::Completeness, "segment-missing", &spot, what);
                }
            } else if SegmentName::parse(&file).is_none() && file != CLOSED && !file.ends_with(".tmp") {
                self.out().note(
                    Aspect::Completeness,
                    "file-unknown",
                    &spot,
                    "a file that the log does not write",
                );
            }
        }
    }

    /// One segment, to the last of its frames.
    fn segment(&mut self, name: SegmentName, names: &mut Vec<SegmentName>) -> io::Result<()> {
        let file = self.io.open(&name.path(self.log), false)?;
        let mut pieces = Pieces::new(file);
        self.at = Spot::file(name_in_log(&format!("{name}.seg")));
        if !self.header(name, &mut pieces)? {
            return Ok(());
        }
        let mut looks = Looks::new(self.options.patience);
        loop {
            let why = self.frames(name, &mut pieces)?;
            // A gateway may have written on, and begun a segment.
            if names.last() == Some(&name)
                && let Ok(now) = self.list()
            {
                names.extend(now.into_iter().filter(|n| *n > name));
            }
            pieces.go_to(pieces.offset());
            if self.decodes(&mut pieces)? {
                continue;
            }
            let end = pieces.not_zero()?;
            let Some((first, last)) = end else { break };
            let following = names.iter().find(|n| **n > name).copied();
            if following.is_none() && looks.again(last) {
                continue;
            }
            if !self.damaged(name, following, &mut pieces, why, (first, last))? {
                break;
            }
        }
        self.segment_ends(name, pieces.offset());
        Ok(())
    }

    fn segment_ends(&mut self, name: SegmentName, byte: u64) {
        let Some(tree) = &mut self.tree else { return };
        if !tree.broken {
            tree.ends.insert(tree.next, (name.first, tree.frontier.root()));
        }
        if self.tail.is_none() {
            self.tail = Some(EpochTail { segment: name, byte, position: tree.next, damaged: None });
        }
    }

    /// Whether the frame that should stand here does.
    fn decodes(&self, pieces: &mut Pieces) -> io::Result<bool> {
        let Some(tree) = &self.tree else { return Ok(false) };
        pieces.have(frame::HEADER)?;
        pieces.have(frame::size_at(pieces.rest()))?;
        Ok(frame::decode(pieces.rest(), tree.next, tree.seed).is_ok())
    }

    /// Frames as long as they fit; why the next one does not.
    fn frames(&mut self, name: SegmentName, pieces: &mut Pieces) -> io::Result<FrameError> {
        loop {
            pieces.have(frame::HEADER)?;
            pieces.have(frame::size_at(pieces.rest()))?;
            let Some(tree) = &self.tree else { return Ok(FrameError::End) };
            let offset = pieces.offset();
            match frame::decode(pieces.rest(), tree.next, tree.seed) {
                Err(why) => return Ok(why),
                Ok(found) => {
                    let size = found.size;
                    self.take(name, offset, &found);
                    pieces.pass(size);
                }
            }
        }
    }

    /// The header, against what was recomputed. `false`: there is nothing to go on from.
    fn header(&mut self, name: SegmentName, pieces: &mut Pieces) -> io::Result<bool> {
        pieces.have(segment::PAGE)?;
        let size = Header::size_at(pieces.rest());
        pieces.have(size)?;
        let decoded = Header::decode(pieces.rest());
        let whole = decoded.as_ref().is_ok_and(|h| pieces.rest().starts_with(&h.encode()));
        let spot = self.at.clone().at(0);
        if let Err(e) = &decoded {
            self.out().fail(Aspect::Integrity, "header", &spot, e.to_string());
        } else if !whole {
            let what = "the header is not as it was written: its padding is not zeros";
            self.out().fail(Aspect::Integrity, "header", &spot, what);
        }
        let decoded = decoded.ok().filter(|h| {
            let same = h.name() == name;
            if !same {
                let what =
                    format!("the header is that of segment {}: the file was renamed or replaced", h.name());
                self.report.findings_mut().fail(Aspect::Integrity, "header-name", &spot, what);
            }
            same
        });
        let begins = self.tree.as_ref().is_none_or(|tree| tree.epoch != name.epoch);
        if begins {
            return Ok(self.begin(name, decoded, pieces));
        }
        Ok(self.go_on(name, decoded, pieces))
    }

    /// The first segment of an epoch.
    fn begin(&mut self, name: SegmentName, header: Option<Header>, pieces: &mut Pieces) -> bool {
        let spot = self.at.clone().at(0).entry(name.epoch, name.first);
        let before = self.tree.take();
        if let Some(tree) = &before {
            self.end_epoch(tree);
        }
        let expected = before.as_ref().map_or(1, |tree| tree.epoch + 1);
        if name.epoch != expected {
            let what = format!("epoch {} stands where epoch {expected} should", name.epoch);
            self.out().fail(Aspect::Completeness, "epoch-missing", &spot, what);
            self.story.partial = true;
        }
        let log_id = header.as_ref().map(|h| h.log_id);
        if let (Some(tree), Some(id)) = (&before, log_id)
            && tree.log_id != id
        {
            self.out().fail(Aspect::Integrity, "log-id", &spot, "this segment belongs to another log");
        }
        let Some(log_id) = log_id.or(before.as_ref().map(|tree| tree.log_id)) else {
            // Without its name, nothing tells which checksum the first frame follows.
            let what = "the first header cannot be read, so its entries cannot be checked";
            self.out().fail(Aspect::Completeness, "segment-unread", &spot, what);
            return false;
        };
        self.tree = Some(Tree {
            epoch: name.epoch,
            log_id,
            next: 0,
            seed: segment::first_seed(&log_id, name.epoch),
            frontier: Frontier::new(),
            broken: false,
            ends: HashMap::new(),
        });
        if before.is_none() {
            self.tail = None;
        }
        if name.first != 0 {
            return self.missing(name, header, pieces);
        }
        self.compare(header, pieces)
    }

    /// A further segment of the epoch.
    fn go_on(&mut self, name: SegmentName, header: Option<Header>, pieces: &mut Pieces) -> bool {
        self.tail = None;
        let Some(tree) = &self.tree else { return false };
        if tree.next == name.first || tree.broken && header.is_some() && tree.next <= name.first {
            return self.compare(header, pieces);
        }
        self.missing(name, header, pieces)
    }

    /// Segments are missing before this one, or it overlaps the one before.
    fn missing(&mut self, name: SegmentName, header: Option<Header>, pieces: &mut Pieces) -> bool {
        let Some(tree) = &self.tree else { return false };
        let (next, epoch) = (tree.next, tree.epoch);
        let spot = self.at.clone().at(0).entry(epoch, next);
        if name.first < next {
            let what = format!("it begins at position {}, which stands before it already", name.first);
            self.out().fail(Aspect::Completeness, "segment-overlaps", &spot, what);
            return false;
        }
        let what = format!("positions {next} to {} are missing before this segment", name.first - 1);
        self.out().fail(Aspect::Completeness, "segment-missing", &spot, what);
        match header {
            Some(header) => {
                self.adopt(&header);
                pieces.pass(header.size());
                true
            }
            None => {
                self.lost(name.first, &[]);
                false
            }
        }
    }

    /// Goes on with what a header says, because what was before it is missing.
    fn adopt(&mut self, header: &Header) {
        self.story.lose(&header.open);
        if let Some(tree) = &mut self.tree {
            tree.next = header.frontier.size();
            tree.seed = header.seed;
            tree.frontier = header.frontier.clone();
            tree.broken = false;
        }
    }

    /// Entries up to `next` are lost.
    fn lost(&mut self, next: u64, open: &[crate::open_set::OpenItem]) {
        self.story.lose(open);
        if let Some(tree) = &mut self.tree {
            tree.next = tree.next.max(next);
            tree.broken = true;
        }
    }

    /// A header that stands in the right place: is it what follows from the entries before?
    fn compare(&mut self, header: Option<Header>, pieces: &mut Pieces) -> bool {
        let Some(tree) = &self.tree else { return false };
        let Some(header) = header else {
            // All of it follows from what was before; only its length must be worked out.
            let (seed, frontier, open) = (tree.seed, tree.frontier.clone(), self.story.open.items());
            let own = Header { log_id: tree.log_id, epoch: tree.epoch, created_us: 0, seed, frontier, open };
            let size = own.size();
            let there = pieces.have(size).is_ok() && pieces.rest().len() >= size;
            pieces.pass(size);
            return there && !tree.broken;
        };
        pieces.pass(header.size());
        if tree.broken || self.story.partial {
            self.adopt(&header);
            return true;
        }
        let spot = self.at.clone().at(0).entry(tree.epoch, tree.next);
        let mut wrong = Vec::new();
        if header.log_id != tree.log_id {
            wrong.push(("log-id", "this segment belongs to another log"));
        }
        if header.seed != tree.seed {
            wrong.push(("header-seed", "it does not follow the checksum of the last frame before it"));
        }
        if header.frontier != tree.frontier {
            wrong.push((
                "header-tree",
                "its hashes are not those of the entries before it: one of them was altered",
            ));
        }
        let open = header.open != self.story.open.items();
        if open {
            wrong.push(("header-open", "what it lists as open is not what the entries before it leave open"));
        }
        for (code, what) in &wrong {
            self.out().fail(Aspect::Integrity, code, &spot, *what);
        }
        if !wrong.is_empty() {
            self.adopt(&header);
        }
        true
    }

    /// An epoch is over.
    fn end_epoch(&mut self, tree: &Tree) {
        let root = tree.frontier.root();
        self.report.epochs.push(EpochEnd { epoch: tree.epoch, size: tree.next, root });
    }

    fn finish(mut self) -> Result<Report, VerifyError> {
        if let Some(tree) = self.tree.take() {
            self.end_epoch(&tree);
            let spot = Spot::default().entry(tree.epoch, tree.next);
            self.story.end(&spot, self.report.findings_mut());
        }
        self.short();
        if !self.anchors.iter().any(|a| a.signed) {
            let what = "there is no signed checkpoint, so that who owns the disk can write all of it anew and nobody outside can tell";
            self.out().note(Aspect::Integrity, "unsigned", &Spot::default(), what);
        }
        self.report.newest_us = self.story.clocks.newest_us;
        self.word();
        Ok(self.report)
    }

    /// Sizes that the log is known to have had, and has no more.
    fn short(&mut self) {
        let ends: HashMap<u64, u64> = self.report.epochs.iter().map(|e| (e.epoch, e.size)).collect();
        for anchor in self.anchors.clone() {
            let size = ends.get(&anchor.epoch).copied().unwrap_or(0);
            if anchor.size <= size {
                continue;
            }
            let spot = Spot::file(&anchor.source).entry(anchor.epoch, size);
            let what = format!("epoch {} had {} entries; {size} are here", anchor.epoch, anchor.size);
            // Where an operator has given them up, the gap is told already.
            if ends.contains_key(&(anchor.epoch + 1)) && !anchor.signed {
                self.out().note(Aspect::Completeness, "log-short", &spot, what);
            } else {
                self.out().fail(Aspect::Completeness, "log-short", &spot, what);
            }
        }
    }

    fn word(&mut self) {
        let Report { bytes, entries, .. } = self.report;
        (self.progress)(Progress { bytes, of: self.of.max(bytes), entries });
    }
}

/// Looks at the end of a log that is being written.
struct Looks {
    until: Instant,
    last: u64,
    same: u32,
}

impl Looks {
    fn new(patience: Duration) -> Self {
        Self { until: Instant::now() + patience, last: 0, same: 0 }
    }

    /// Whether to look again, after a moment.
    fn again(&mut self, last: u64) -> bool {
        self.same = if self.last == last { self.same + 1 } else { 0 };
        self.last = last;
        if self.same >= STEADY || Instant::now() >= self.until {
            return false;
        }
        std::thread::sleep(LOOK);
        true
    }
}
