//! Checkpoints with what witnesses have said of them, beside those that are only signed: `data/tlog/<epoch>/cosigned` is the
//! newest of which enough have, and one a minute is kept in `checkpoints/<size>`, in place of the bare one.
//!
//! They are written by whoever asks the witnesses, not by the signer, which waits for nobody.

use std::io;
use std::path::Path;

use super::folder::read;
use super::serve::folder;
use crate::io::Io;
use crate::tlog::note::Note;

/// The newest.
const NEWEST: &str = "cosigned";
/// While it is written; the signer has other names for that.
const TEMP: &str = "cosigned.tmp";
/// Those that are kept.
pub(super) const KEPT: &str = "checkpoints";

/// The newest cosigned note of an epoch. Not checked: whoever reads it has the keys.
///
/// # Errors
/// Those of the file.
pub fn newest(io: &dyn Io, data: &Path, epoch: u64) -> io::Result<Option<Note>> {
    let bytes = read(io, &folder(data, epoch).join(NEWEST))?;
    Ok(bytes.and_then(|bytes| Note::parse(&bytes).ok()))
}

/// Makes a note the newest, and with `keep` one that stays; durable when this returns.
///
/// # Errors
/// Those of the files.
pub fn put(io: &dyn Io, data: &Path, epoch: u64, (size, note): (u64, &Note), keep: bool) -> io::Result<()> {
    let folder = folder(data, epoch);
    replace(io, &folder, &folder, NEWEST, note)?;
    if keep {
        let kept = folder.join(KEPT);
        io.create_dir(&kept)?;
        replace(io, &folder, &kept, &size.to_string(), note)?;
    }
    Ok(())
}

fn replace(io: &dyn Io, temp: &Path, folder: &Path, name: &str, note: &Note) -> io::Result<()> {
    let temp = temp.join(TEMP);
    let file = match io.create(&temp) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            io.remove(&temp)?;
            io.create(&temp)?
        }
        other => other?,
    };
    file.write_at(0, note.to_text().as_bytes())?;
    file.sync_data()?;
    io.rename(&temp, &folder.join(name))?;
    io.sync_dir(folder)
}
