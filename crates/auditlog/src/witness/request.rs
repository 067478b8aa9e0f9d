//! What a log sends: the size that it goes on from, the proof from there, and the signed checkpoint.
//!
//! ```text
//! old SIZE
//! HASH…          at most 63, in base64
//!
//! CHECKPOINT     a signed note
//! ```

use std::str;

use thiserror::Error;

use crate::tlog::encoding::{decimal, hash_from_base64, to_base64};
use crate::tlog::note::{Note, NoteError};
use crate::tree::Hash;

/// Most hashes of a proof: a tree of 2^63 entries needs no more.
pub const MAX_PROOF: usize = 63;
/// Longest request, in bytes: room for a proof and some ten signatures of the largest kind known (5 kB each).
pub const MAX_REQUEST: usize = 64 << 10;

/// Why bytes are no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Longer than [`MAX_REQUEST`].
    #[error("a request has at most {MAX_REQUEST} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("a request is UTF-8")]
    Characters,
    /// No empty line.
    #[error("a request is `old SIZE`, a proof, an empty line, and a checkpoint")]
    Form,
    /// The first line.
    #[error("the first line is `old SIZE`, decimal without leading zeros")]
    Old,
    /// A line of the proof.
    #[error("line {0} is no hash in base64")]
    Hash(usize),
    /// More than [`MAX_PROOF`].
    #[error("a proof has at most {MAX_PROOF} hashes")]
    Proof,
    /// What follows.
    #[error("the checkpoint: {0}")]
    Note(#[from] NoteError),
}

/// A request; whether anything in it is true is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    old: u64,
    proof: Vec<Hash>,
    note: Note,
}

impl Request {
    /// To a witness that has cosigned `old` entries.
    pub fn new(old: u64, proof: Vec<Hash>, note: Note) -> Result<Self, RequestError> {
        if proof.len() > MAX_PROOF {
            return Err(RequestError::Proof);
        }
        let new = Self { old, proof, note };
        if new.to_text().len() > MAX_REQUEST { Err(RequestError::TooLong) } else { Ok(new) }
    }

    /// Reads one, which a stranger may have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > MAX_REQUEST {
            return Err(RequestError::TooLong);
        }
        let text = str::from_utf8(bytes).map_err(|_| RequestError::Characters)?;
        let (head, note) = text.split_once("\n\n").ok_or(RequestError::Form)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let old = old.ok_or(RequestError::Old)?;
        let mut proof = Vec::new();
        for (line, number) in lines.zip(2..) {
            if proof.len() == MAX_PROOF {
                return Err(RequestError::Proof);
            }
            proof.push(hash_from_base64(line).ok_or(RequestError::Hash(number))?);
        }
        Ok(Self { old, proof, note: Note::parse(note.as_bytes())? })
    }

    /// As [`Request::parse`] reads it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("old {}\n", self.old);
        for hash in &self.proof {
            out.push_str(&to_base64(hash));
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.note.to_text());
        out
    }

    /// The size that it goes on from.
    #[must_use]
    pub fn old(&self) -> u64 {
        self.old
    }

    /// The proof that the older tree is the beginning of the newer.
    #[must_use]
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// The signed checkpoint.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str =
        "example.com/log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— example.com/log AAAAAAAA\n";
    const HASH: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

    #[test]
    fn what_is_written_is_read_again() {
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        for (old, hashes) in [(0, 0), (1, 1), (7, MAX_PROOF)] {
            let request = Request::new(old, vec![[3; 32]; hashes], note.clone()).unwrap();
            assert_eq!(Request::parse(request.to_text().as_bytes()).unwrap(), request);
        }
        assert_eq!(Request::new(1, vec![[3; 32]; MAX_PROOF + 1], note), Err(RequestError::Proof));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let long = format!("old 1\n{}\n{NOTE}", HASH.repeat(MAX_PROOF + 1));
        let huge = format!("old 0\n\n{}{NOTE}", "x".repeat(MAX_REQUEST));
        for (text, why) in [
            ("", RequestError::Form),
            ("old 0\n", RequestError::Form),
            ("\n\n", RequestError::Old),
            (&format!("{NOTE}\n\n{NOTE}"), RequestError::Old),
            (&format!("old 01\n\n{NOTE}"), RequestError::Old),
            (&format!("old -1\n\n{NOTE}"), RequestError::Old),
            (&format!("old 18446744073709551616\n\n{NOTE}"), RequestError::Old),
            (&format!("old 0\r\n\n{NOTE}"), RequestError::Old),
            (&format!("Old 0\n\n{NOTE}"), RequestError::Old),
            (&format!("old 1\nAAAA\n\n{NOTE}"), RequestError::Hash(2)),
            (
                &format!("old 1\n{HASH}{}\n{NOTE}", HASH.trim_end().trim_end_matches('=')),
                RequestError::Hash(3),
            ),
            (&long, RequestError::Proof),
            (&huge, RequestError::TooLong),
            ("old 0\n\nexample.com/log\n1\n", RequestError::Note(NoteError::Form)),
            (&format!("old 0\n\n{}", NOTE.trim_end()), RequestError::Note(NoteError::Form)),
        ] {
            assert_eq!(Request::parse(text.as_bytes()), Err(why), "{text}");
        }
        assert_eq!(Request::parse(b"old 0\n\n\xff\n"), Err(RequestError::Characters));
    }
}
