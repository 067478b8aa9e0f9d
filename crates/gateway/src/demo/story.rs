//! The record of what the agent did, told from the log as `sessions show` tells it.

use std::io::{self, Write};
use std::sync::Arc;

use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::reader::Reader;
use firsthand_model::json::Json;

use super::progress::Progress;
use crate::cli::output::Output;
use crate::cli::sessions::tell_newest;
use crate::failure::Failure;
use crate::place::reading_leaf;
use crate::serve::Running;
use crate::who;

/// Tells the session's story from the record. That it was read stands in the record too.
pub(super) async fn tell(running: &Running, progress: &Progress, out: &Output) -> Result<(), Failure> {
    progress.step("reading the record");
    let gateway = running.gateway();
    let by = who::link(&gateway.desk.keys, who::own_uid());
    gateway.desk.record("record.read", &by, reading_leaf("demo"), Json::default()).await?;
    let unreadable = |e: String| Failure::new(e, "this is a defect; report it");
    let reader =
        Reader::open(&gateway.data_dir(), Arc::new(RealIo::new())).map_err(|e| unreadable(e.to_string()))?;
    progress.end();
    out.talk("\nThis is what the record says of it:\n");
    let mut text = Vec::new();
    tell_newest(&reader, &mut text)?;
    // A reader that has gone away wants no more.
    let _ = io::stdout().lock().write_all(&text);
    Ok(())
}
