//! What identities used earlier today, from the log: a limit that sums up a day holds over a restart, too. Read beside everything
//! else, and only where a limit asks for it; until it is known, what has such a limit is refused.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use firsthand_adapters::clock::wall;
use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::reader::cursor::Cursor;
use firsthand_auditlog::reader::{Place, ReadError, Reader};
use firsthand_model::amount::{Amount, Amounts};
use firsthand_model::outcome::Outcome;
use firsthand_session::usage::{DAY_US, Usage, day_of};

use crate::assemble::Gateway;

/// Counts in a thread of its own, if a limit asks for it and nobody has yet.
pub(crate) fn count(gateway: &Gateway) {
    let known = gateway.engine.usage.is_counted() || !gateway.sums_days();
    if known || gateway.counting.swap(true, SeqCst) {
        return;
    }
    let (engine, data, before) = (Arc::clone(&gateway.engine), gateway.data_dir(), gateway.began);
    std::thread::spawn(move || match used_today(&data, before, &engine.usage) {
        Ok(()) => engine.usage.all_counted(),
        Err(why) => tracing::error!(
            "what was used today cannot be read from the log, so what has a limit for the day is refused: {why}"
        ),
    });
}

/// Tells what commands of today used that ended before this place in the log. Only leaves are looked at, from the segment
/// on that was being written at midnight.
fn used_today(data: &Path, before: Place, usage: &Usage) -> Result<(), String> {
    let now = wall();
    let midnight = now.0 - now.0 % DAY_US;
    let reader = Reader::open(data, Arc::new(RealIo::new())).map_err(|e| e.to_string())?;
    let mut entries = from_midnight(&reader, midnight).map_err(|e| e.to_string())?;
    let mut used = Used::default();
    while let Some(entry) = entries.next().map_err(|e| e.to_string())? {
        if entry.place >= before {
            break;
        }
        let fields = Fields::read(entry.leaf).map_err(|e| e.to_string())?;
        if fields.micros() >= midnight {
            used.take(&fields);
        }
    }
    for (id, used) in &used.all() {
        usage.used_earlier(id, day_of(now), used);
    }
    Ok(())
}

/// Transfers whose end has not been read yet: each has moved megabytes, so there are never that many; beyond it they count
/// before their end.
const OPEN_MAX: usize = 65_536;

/// What has been read so far, by who acts.
#[derive(Default)]
struct Used {
    sums: HashMap<String, Amounts>,
    /// How far long transfers had come, by session and command.
    open: HashMap<(String, u64), (String, Amounts)>,
}

impl Used {
    fn take(&mut self, fields: &Fields<'_>) {
        let Some(who) = &fields.who else { return };
        let transfer = (fields.sid.to_string(), fields.cmd.unwrap_or(0));
        match &*fields.k {
            "command.completed" => {
                self.open.remove(&transfer);
                self.add(&who.agent, &amounts(fields));
            }
            "stream" => {
                if self.open.len() >= OPEN_MAX {
                    self.close();
                }
                self.open.insert(transfer, (who.agent.to_string(), amounts(fields)));
            }
            _ => {}
        }
    }

    fn add(&mut self, id: &str, used: &Amounts) {
        let sum = self.sums.entry(id.to_owned()).or_default();
        for amount in Amount::ALL {
            *sum.of_mut(amount) = sum.of(amount).saturating_add(*used.of(amount));
        }
    }

    fn close(&mut self) {
        for (id, used) in std::mem::take(&mut self.open).into_values() {
            self.add(&id, &used);
        }
    }

    /// All of it: transfers without an end (a crash, a client that left) as far as they had come.
    fn all(mut self) -> HashMap<String, Amounts> {
        self.close();
        self.sums
    }
}

/// Entries from the segment on that was made last before that moment.
fn from_midnight(reader: &Reader, midnight: u64) -> Result<Cursor, ReadError> {
    for name in reader.segments()?.into_iter().rev() {
        let mut entries = reader.from_segment(name)?;
        if entries.enter()?.created_us <= midnight {
            return Ok(entries);
        }
    }
    reader.from_start()
}

/// What counts of a command that ended.
pub(crate) fn amounts(fields: &Fields<'_>) -> Amounts {
    let outcome = Outcome {
        tag: fields.tag.to_string(),
        rows: fields.rows.unwrap_or(0),
        bytes: fields.bytes.unwrap_or(0),
        cells: fields.cells,
        taken: fields.taken,
        affected: fields.affected,
        code: Some(fields.sqlstate.to_string()).filter(|code| !code.is_empty()),
        ..Outcome::default()
    };
    outcome.amounts()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, command: u64, rows: u64) -> String {
        format!(
            r#"{{"affected":{rows},"bytes":0,"cmd":{command},"k":"{kind}","mono":1,"n":1,"rows":{rows},"sid":"s","t":"2026-11-28T00:00:00.000000Z","tag":"SELECT","v":1,"who":{{"agent":"a-1","chain":[],"db":"d","role":"r","target":"t"}}}}"#
        )
    }

    /// More transfers without an end than are remembered count before their end: too much rather than too little.
    #[test]
    fn transfers_beyond_those_that_are_remembered_count_at_once() {
        for count in [OPEN_MAX, OPEN_MAX + 1] {
            let mut used = Used::default();
            for command in 0..count {
                let leaf = entry("stream", command as u64, 2);
                used.take(&Fields::read(leaf.as_bytes()).unwrap());
            }
            assert_eq!(used.open.len(), if count > OPEN_MAX { 1 } else { OPEN_MAX });
            let leaf = entry("command.completed", 0, 3);
            used.take(&Fields::read(leaf.as_bytes()).unwrap());
            // The first has ended: with its own count where it was remembered, with both where it was not.
            let twice = u64::from(count > OPEN_MAX);
            assert_eq!(used.all()["a-1"].rows, 2 * (count as u64 - 1) + 3 + 2 * twice, "{count}");
        }
    }
}
