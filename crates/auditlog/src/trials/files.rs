//! What is done to the bytes: cut, zeroed, flipped, dropped, swapped, repeated, lost by the sector, at every place.
//!
//! Damage before the last write must always be noticed. Damage to the last write cannot be told from a torn write by
//! the file alone, unless the log was closed properly; then too.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Note, Notes, SEGMENT, assert_is, data, open};
use crate::frame::{self, Frame, FrameError, Frames};
use crate::io::Io;
use crate::open_set::Change;
use crate::queue::{Class, Durability};
use crate::recover::{OpenError, declare_gap};
use crate::segment::{Segment, SegmentName};
use crate::sim::{Random, SimIo};
use crate::writer::{Log, Options};

const NAME: SegmentName = SegmentName { epoch: 1, first: 0 };

fn file() -> PathBuf {
    NAME.path(&data().join("log"))
}

/// A log of 24 entries in writes of one to four, on one segment.
struct Sample {
    io: Arc<SimIo>,
    bytes: Vec<u8>,
    notes: Vec<Note>,
    /// Offset and length of each frame.
    frames: Vec<(usize, usize)>,
    /// First entry of the last write.
    last_write: usize,
}

fn sample() -> Sample {
    let io = SimIo::new(11);
    let (log, mut stepper, _) = open(&io).unwrap();
    let mut random = Random::new(5);
    let (mut notes, mut last_write) = (Vec::new(), 0);
    for group in [1, 2, 3, 4, 1, 1, 4, 3, 2, 3] {
        last_write = notes.len();
        for _ in 0..group {
            let mut note = Note::new("x".repeat(random.below(60) as usize));
            note.payload = vec![7; random.below(50) as usize];
            note.change = Change::OpenCommand([1; 16], notes.len() as u64);
            log.append(note.clone().item(Class::Outcome, Durability::Strict)).unwrap();
            notes.push(note);
        }
        stepper.settle();
    }
    drop((log, stepper));
    let segment = Segment::read(&*io, &data().join("log"), NAME).unwrap();
    let frames: Vec<_> = segment.frames().map(|(at, f)| (at, f.size)).collect();
    assert_eq!(frames.len(), notes.len());
    Sample { io, bytes: segment.bytes, notes, frames, last_write }
}

/// What opening came to: how many entries, or nothing but a refusal.
fn reopen(sample: &Sample, bytes: Vec<u8>) -> Option<usize> {
    sample.io.tamper(&file(), |b| *b = bytes);
    match open(&sample.io) {
        Ok((.., recovered)) => {
            let size = recovered.size as usize;
            assert!(size <= sample.notes.len(), "an entry was invented");
            assert_is(&sample.io, &recovered, &sample.notes[..size]);
            Some(size)
        }
        Err(OpenError::Corrupt { segment, .. }) => {
            assert_eq!(segment, file());
            None
        }
        Err(other) => panic!("{other}"),
    }
}

fn end(sample: &Sample) -> usize {
    sample.frames.last().map_or(0, |(at, len)| at + len)
}

/// Whole frames before this offset.
fn whole(sample: &Sample, offset: usize) -> usize {
    sample.frames.iter().filter(|(at, len)| at + len <= offset).count()
}

#[test]
fn cut_or_zeroed_from_any_byte_on_it_ends_with_the_whole_frames_before() {
    let sample = sample();
    for at in sample.frames[0].0..=end(&sample) {
        let expected = whole(&sample, at);
        assert_eq!(reopen(&sample, sample.bytes[..at].to_vec()), Some(expected), "cut at {at}");
        let mut zeroed = sample.bytes.clone();
        zeroed[at..].fill(0);
        // The last bytes of a frame may be zero by chance; then nothing was taken away.
        let expected = whole(&sample, at + sample.bytes[at..].iter().take_while(|b| **b == 0).count().min(3));
        assert_eq!(reopen(&sample, zeroed), Some(expected), "zeroed from {at}");
    }
}

#[test]
fn a_flipped_bit_before_the_last_write_is_always_noticed() {
    let sample = sample();
    let last = sample.frames[sample.last_write].0;
    let mut random = Random::new(1);
    for at in 0..end(&sample) {
        // All bits of the first frames, one bit of each byte after that.
        let all = (sample.frames[0].0..sample.frames[3].0).contains(&at);
        for bit in 0..8 {
            if !all && bit != random.below(8) {
                continue;
            }
            let mut bytes = sample.bytes.clone();
            bytes[at] ^= 1 << bit;
            match reopen(&sample, bytes) {
                None => {}
                Some(size) => {
                    assert!(at >= last && size >= sample.last_write, "bit {bit} of byte {at}: {size}")
                }
            }
        }
    }
}

#[test]
fn a_frame_dropped_swapped_or_repeated_is_noticed() {
    let sample = sample();
    let frame = |n: usize| &sample.bytes[sample.frames[n].0..sample.frames[n].0 + sample.frames[n].1];
    let rebuilt = |order: Vec<usize>| {
        let mut bytes = sample.bytes[..sample.frames[0].0].to_vec();
        order.into_iter().for_each(|n| bytes.extend_from_slice(frame(n)));
        bytes.resize(sample.bytes.len().max(bytes.len()), 0);
        bytes
    };
    let all: Vec<usize> = (0..sample.notes.len()).collect();
    for n in 0..sample.last_write {
        let mut dropped = all.clone();
        dropped.remove(n);
        assert_eq!(reopen(&sample, rebuilt(dropped)), None, "{n} dropped");
        let mut swapped = all.clone();
        swapped.swap(n, n + 1);
        assert_eq!(reopen(&sample, rebuilt(swapped)), None, "{n} swapped with the next");
    }
    for n in 0..all.len() {
        for to in [n + 1, all.len()] {
            let mut repeated = all.clone();
            repeated.insert(to, n);
            assert_eq!(reopen(&sample, rebuilt(repeated)), None, "{n} repeated at {to}");
        }
    }
}

#[test]
fn a_lost_sector_before_the_last_write_is_noticed() {
    let sample = sample();
    let last = sample.frames[sample.last_write].0;
    for size in [512, 4096] {
        for from in (0..end(&sample)).step_by(size) {
            let to = (from + size).min(sample.bytes.len());
            let mut lost = sample.bytes.clone();
            lost[from..to].fill(0);
            if lost == sample.bytes {
                continue;
            }
            let size = reopen(&sample, lost);
            // The sector that the last write begins in, and those after it, are its own affair.
            let earlier = from < sample.frames[sample.last_write - 1].0 && to < last;
            assert!(size.is_none() || !earlier, "{from}..{to} lost, {size:?} read");
        }
    }
}

#[test]
fn after_a_proper_close_the_last_write_is_guarded_too() {
    let dir = tempfile::tempdir().unwrap();
    let io: Arc<dyn Io> = Arc::new(crate::io::RealIo::new());
    let start = || {
        let options = Options { first_segment_bytes: SEGMENT, segment_bytes: SEGMENT, ..Options::default() };
        Log::open(dir.path(), |_| Ok(Notes), options, io.clone())
    };
    let (log, recovered) = start().unwrap();
    assert!(recovered.created && !recovered.closed_cleanly);
    log.append(Note::new("a").intent()).unwrap();
    log.append(Note::new("b").intent()).unwrap();
    log.close().unwrap();
    drop(log);
    let path = NAME.path(&dir.path().join("log"));
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    let last = bad.iter().rposition(|b| *b != 0).unwrap();
    bad[last - 3] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    let refused = start().unwrap_err();
    assert!(refused.to_string().contains("had 2 entries; 1 are here"), "{refused}");
    std::fs::write(&path, &good).unwrap();
    let (log, recovered) = start().unwrap();
    assert!(recovered.closed_cleanly && recovered.size == 2 && recovered.cut.is_none());
    drop(log);
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(start(), Err(OpenError::Corrupt { .. })));
}

#[test]
fn a_declared_gap_begins_an_epoch_and_keeps_what_was_open() {
    let sample = sample();
    let mut bytes = sample.bytes.clone();
    let damaged = 5;
    bytes[sample.frames[damaged].0 + 30] ^= 1;
    assert_eq!(reopen(&sample, bytes), None);
    let gap = declare_gap::<Notes>(&*sample.io, &data()).unwrap();
    assert_eq!((gap.epoch, gap.segment, gap.position), (2, NAME, damaged as u64));
    assert_eq!(gap.byte as usize, sample.frames[damaged].0);
    let (log, mut stepper, recovered) = open(&sample.io).unwrap();
    assert_eq!((recovered.epoch, recovered.size, recovered.open.len()), (2, 0, damaged));
    assert!(recovered.open.iter().all(|item| item.epoch == 1));
    log.append(Note::new("log.gap").intent()).unwrap();
    stepper.settle();
    drop((log, stepper));
    let (.., recovered) = open(&sample.io).unwrap();
    assert_eq!((recovered.epoch, recovered.size), (2, 1));
    // The damage of the old epoch is still there for everybody to see.
    let old = Segment::read(&*sample.io, &data().join("log"), NAME).unwrap();
    assert_eq!(old.frames().count(), damaged);
}

#[test]
fn the_newest_segment_may_not_be_missing() {
    struct Nothing;
    impl crate::segment::SegmentIndex for Nothing {
        fn add(&mut self, _: &crate::entry::Stamp, _: &[u8], _: Option<&[u8]>) {}
        fn finish(self: Box<Self>) -> Vec<u8> {
            b"index".to_vec()
        }
    }
    #[derive(Debug)]
    struct NoIndex;
    impl crate::segment::Index for NoIndex {
        fn begin(&self, _: &crate::segment::Header) -> Box<dyn crate::segment::SegmentIndex> {
            Box::new(Nothing)
        }
        fn rebuild(&self, _: &mut crate::walk::Walk) -> std::io::Result<Option<Vec<u8>>> {
            Ok(Some(b"rebuilt".to_vec()))
        }
    }
    let io = SimIo::new(2);
    let start = || {
        let index: Arc<dyn crate::segment::Index> = Arc::new(NoIndex);
        let options = Options {
            first_segment_bytes: SEGMENT,
            segment_bytes: SEGMENT,
            index: Some(index),
            ..Options::default()
        };
        Log::open_stepped(&data(), |_| Ok(Notes), options, io.clone() as Arc<dyn Io>)
    };
    let (log, mut stepper, _) = start().unwrap();
    for n in 0..60 {
        log.append(Note::new(format!("{n} {}", "x".repeat(1000))).intent()).unwrap();
        stepper.settle();
    }
    // The jobs are left undone, as by a kill; the next start does them.
    drop((log, stepper));
    let (log, mut stepper, _) = start().unwrap();
    while stepper.keep() {}
    drop((log, stepper));
    let folder = data().join("log");
    let names = crate::segment::list(&*io, &folder).unwrap();
    assert!(names.len() >= 3);
    let (newest, sealed) = names.split_last().unwrap();
    for name in sealed {
        assert_eq!(io.bytes(&name.index_path(&folder)).unwrap(), b"rebuilt");
        let segment = Segment::read(&*io, &folder, *name).unwrap();
        let used = segment.frames().last().map(|(at, f)| at + f.size);
        assert_eq!(used, Some(segment.bytes.len()), "sealed means cut to its length");
    }
    assert!(io.bytes(&newest.index_path(&folder)).is_none());
    io.lose(&newest.path(&folder));
    assert!(start().is_err_and(|e| e.to_string().contains("another segment followed")));
    assert!(Path::new("/data").is_absolute());
}

#[test]
fn frames_come_back_and_say_why_not() {
    let mut bytes = Vec::new();
    let a = frame::encode(&mut bytes, 7, 0, 99, b"{}", b"");
    let second = bytes.len();
    let b = frame::encode(&mut bytes, 8, 1, a, b"{\"a\":1}", b"sealed");
    let mut frames = Frames::new(&bytes, 0, 7, 99);
    assert_eq!(
        frames.next(),
        Some((0, Frame { seq: 7, group: 0, leaf: b"{}", sealed: b"", crc: a, size: second }))
    );
    let (at, found) = frames.next().unwrap();
    assert_eq!((at, found.seq, found.group, found.sealed, found.crc), (second, 8, 1, &b"sealed"[..], b));
    assert_eq!((frames.next(), frames.stopped()), (None, Some(FrameError::End)));
    assert_eq!((frames.offset(), frames.next_position(), frames.seed()), (bytes.len(), 9, b));
    assert_eq!(frame::decode(&bytes, 7, 98), Err(FrameError::Checksum));
    assert_eq!(frame::decode(&bytes, 6, 99), Err(FrameError::Position { wanted: 6, found: 7 }));
    assert_eq!(frame::decode(&[0; 64], 7, 99), Err(FrameError::End));
    assert_eq!(frame::decode(&[255; 64], 7, 99), Err(FrameError::Length(u32::MAX)));
    assert_eq!(frame::decode(&bytes[..second - 1], 7, 99), Err(FrameError::Short(second)));
}
