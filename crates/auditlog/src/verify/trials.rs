//! Trials of the verifier: logs by the real writer on a disk in memory, and every way of altering them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use firsthand_model::event::LogEvent;
use firsthand_model::json::Json;

use super::report::{Aspect, Finding, Report, Verdict};
use super::{Anchor, Options, folder};
use crate::entry::codec::{EventCodec, LogEntry};
use crate::frame::{self, Frames};
use crate::io::Io;
use crate::keys::KeyStore;
use crate::queue::{Class, Durability, Item};
use crate::segment::{self, Header, SegmentName};
use crate::sim::SimIo;
use crate::tree::{Frontier, leaf_hash};
use crate::writer::{self, Log};

#[expect(dead_code, reason = "each test uses its part")]
#[path = "../../tests/samples/mod.rs"]
mod samples;

mod made;
mod signed;
mod tampered;
mod told;

use made::*;

/// Everything that is said of a log.
fn verified(io: &Arc<SimIo>, options: &Options) -> Report {
    folder(&(io.clone() as Arc<dyn Io>), &data(), options, &mut |_| ()).unwrap()
}

fn options(io: &Arc<SimIo>) -> Options {
    let keys = KeyStore::existing(&data(), io.clone() as Arc<dyn Io>).unwrap().map(Arc::new);
    Options { keys, now_us: io.wall_us(), ..Options::default() }
}

/// Verified with the keys.
fn check(io: &Arc<SimIo>) -> Report {
    verified(io, &options(io))
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings().iter().map(|f| f.code).collect()
}

fn failed(report: &Report) -> Vec<&Finding> {
    report.findings().iter().filter(|f| f.failed).collect()
}

/// What fails, and that it does.
#[track_caller]
fn fails<'a>(report: &'a Report, code: &str) -> &'a Finding {
    let found = report.findings().iter().find(|f| f.failed && f.code == code);
    found.unwrap_or_else(|| panic!("no {code} among {:#?}", report.findings()))
}
