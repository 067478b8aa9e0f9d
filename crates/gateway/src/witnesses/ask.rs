//! One witness is asked to cosign one checkpoint.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::sign::{Published, serve};
use firsthand_auditlog::tlog::hashes::{TileHashes, TileSource};
use firsthand_auditlog::tlog::note::{Note, Signature};
use firsthand_auditlog::tlog::proof::prove_consistency;
use firsthand_auditlog::tlog::tile::Tile;
use firsthand_auditlog::witness::answer;
use firsthand_auditlog::witness::request::Request;

use crate::config::WitnessSpec;
use crate::fetch::Server;

/// Tries from another size, where the witness says which: it may have been told more meanwhile.
const TRIES: usize = 3;
/// Of what a stranger answers, so much is told.
const SAID_MAX: usize = 200;

/// Why it has not cosigned.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) why: String,
    /// It has seen another history, or more of this one.
    pub(super) refuses: bool,
    /// The size that it says it knows.
    pub(super) known: Option<u64>,
}

fn failed(why: impl Into<String>) -> Failed {
    Failed { why: why.into(), refuses: false, known: None }
}

fn refused(why: String, known: Option<u64>) -> Failed {
    Failed { why, refuses: true, known }
}

/// What is asked.
#[derive(Clone)]
pub(super) struct Question {
    pub(super) data: PathBuf,
    pub(super) published: Arc<Published>,
    /// Entries of the tree whose tiles are on disk.
    pub(super) newest: u64,
    /// What the witness is believed to know.
    pub(super) known: u64,
}

/// Where a witness is, found again once asking it has failed: its authorities may have been replaced.
pub(super) type Found = Option<Arc<Server>>;

/// Asks, from what it knows on; its line, and where it was found.
pub(super) async fn ask(
    spec: &WitnessSpec,
    found: Found,
    mut question: Question,
) -> Result<(Signature, Found), Failed> {
    let size = question.published.size;
    let server = match found {
        Some(server) => server,
        None => Arc::new(Server::find(&spec.url, spec.ca.as_deref()).await.map_err(failed)?),
    };
    for _ in 0..TRIES {
        let known = question.known.min(size);
        question.known = known;
        let asked = question.clone();
        let body = tokio::task::spawn_blocking(move || asked.body()).await;
        let body = body.map_err(|e| failed(e.to_string()))?.map_err(failed)?;
        let (status, said) = server.submit(&body, answer::MAX_ANSWER).await.map_err(failed)?;
        match status {
            200 => {
                let text = text_of(&question.published)?;
                let Some((line, _)) = answer::cosignature(&said, &text, &spec.vkey) else {
                    return Err(failed("its answer has no good cosignature of the key that is configured"));
                };
                return Ok((line, Some(server)));
            }
            409 => question.known = conflict(&said, known, size)?,
            422 => {
                let why = format!(
                    "it has seen another history: what extends its {known} entries is not this log of {size}"
                );
                return Err(refused(why, None));
            }
            403 => return Err(failed(with("it does not know the key that signs this log", &said))),
            404 => return Err(failed(with("it does not watch this log", &said))),
            status => return Err(failed(with(&format!("it answers {status}"), &said))),
        }
    }
    Err(failed("it names another size each time"))
}

/// The size to go on from.
fn conflict(said: &[u8], known: u64, size: u64) -> Result<u64, Failed> {
    match answer::known_size(said) {
        None => Err(failed("it answers 409 without a size")),
        Some(there) if there == known => {
            let why = format!("it has seen another history: its {known} entries are not those of this log");
            Err(refused(why, None))
        }
        Some(there) if there > size => {
            let why = format!("it has cosigned {there} entries, and this log has {size}: it was rolled back");
            Err(refused(why, Some(there)))
        }
        Some(there) => Ok(there),
    }
}

fn text_of(published: &Published) -> Result<String, Failed> {
    let note = Note::parse(published.note.as_bytes()).map_err(|e| failed(e.to_string()))?;
    Ok(note.text().to_owned())
}

/// What a stranger says is shown as far as it is plain.
fn with(what: &str, said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said.get(..SAID_MAX.min(said.len())).unwrap_or_default());
    let plain: String = said.trim().chars().filter(|c| !c.is_control()).collect();
    if plain.is_empty() { what.to_owned() } else { format!("{what} ({plain})") }
}

struct Tiles<'a>(&'a Question);

impl TileSource for Tiles<'_> {
    type Error = std::io::Error;

    fn read(&mut self, tile: Tile) -> Result<Vec<u8>, Self::Error> {
        let Question { data, published, newest, .. } = self.0;
        let found = serve::tile(&RealIo::new(), data, published.epoch, tile, *newest)?;
        found.ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}

impl Question {
    /// Reads tiles.
    fn body(&self) -> Result<Bytes, String> {
        let Published { size, root, note, .. } = &*self.published;
        let note = Note::parse(note.as_bytes()).map_err(|e| e.to_string())?;
        let proof = if self.known == 0 || self.known == *size {
            Vec::new()
        } else {
            let mut hashes = TileHashes::new(Tiles(self), *size, root).map_err(|e| e.to_string())?;
            prove_consistency(&mut hashes, self.known, *size).map_err(|e| e.to_string())?
        };
        let request = Request::new(self.known, proof, note).map_err(|e| e.to_string())?;
        Ok(Bytes::from(request.to_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_a_witness() {
        let of = |said: &str, known, size| match conflict(said.as_bytes(), known, size) {
            Ok(next) => (Some(next), false),
            Err(failed) => (failed.known, failed.refuses),
        };
        assert_eq!(of("7\n", 0, 9), (Some(7), false), "it goes on from there");
        assert_eq!(of("3\n", 7, 9), (Some(3), false), "it has forgotten something");
        assert_eq!(of("9\n", 0, 9), (Some(9), false), "it has seen all of it");
        assert_eq!(of("9\n", 9, 9), (None, true), "and another tree of that size");
        assert_eq!(of("7\n", 7, 9), (None, true));
        assert_eq!(of("10\n", 0, 9), (Some(10), true));
        assert_eq!(of("x", 0, 9), (None, false));
    }

    #[test]
    fn what_strangers_say_is_shown_in_part() {
        assert_eq!(with("no", b"not\x1b[31m here\n"), "no (not[31m here)");
        assert_eq!(with("no", b" \n"), "no");
        assert!(with("no", &[b'x'; 4096]).len() < 300);
    }
}
