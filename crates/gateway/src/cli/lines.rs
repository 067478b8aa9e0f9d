//! Questions on stdin, one JSON object a line, answered one by one.

use std::io::{self, BufRead, BufReader, Read};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::failure::Failure;

/// The longest line read: a value of a gigabyte, PostgreSQL's longest, is no use in a question.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// A line of stdin.
pub(crate) struct Line<'a> {
    /// Its number, from 1.
    pub(crate) number: u64,
    bytes: &'a [u8],
    /// No more is waiting right now.
    pub(crate) pause: bool,
}

impl Line<'_> {
    /// What it says.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.bytes)
    }

    /// Why it is not understood. JSON's own count of lines begins anew with each of these, so it is left out.
    pub(crate) fn why(&self, e: &serde_json::Error) -> String {
        let said = e.to_string();
        let place = format!(" at line {} column {}", e.line(), e.column());
        match said.strip_suffix(&place) {
            Some(what) => format!("line {}, column {}: {what}", self.number, e.column()),
            None => format!("line {}: {said}", self.number),
        }
    }

    /// The answer to a line that is not understood: with its id, where it has one.
    pub(crate) fn not_understood(&self, e: &serde_json::Error) -> Value {
        let id = self.read::<Value>().ok().and_then(|v| v.get("id").cloned());
        json!({ "id": id, "error": self.why(e) })
    }
}

/// Calls for each line of stdin that is not empty, until it answers `false`: nobody reads the answers any more.
///
/// # Errors
/// What cannot be read; a line that is too long.
pub(crate) fn each_line(line: impl FnMut(Line<'_>) -> Result<bool, Failure>) -> Result<(), Failure> {
    each_of(&mut BufReader::with_capacity(1 << 16, io::stdin().lock()), LINE_BYTES_MAX, line)
}

fn each_of<R: Read>(
    input: &mut BufReader<R>,
    most: u64,
    mut line: impl FnMut(Line<'_>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let read = input.by_ref().take(most).read_until(b'\n', &mut bytes);
        let read =
            read.map_err(|e| Failure::new(format!("stdin, line {number}: {e}"), "give lines of JSON"))?;
        if read == 0 {
            break;
        }
        if !bytes.ends_with(b"\n") && read as u64 == most {
            let what = format!("line {number} is longer than {most} bytes");
            return Err(Failure::usage(what, "give one question a line, and none as long as that"));
        }
        let pause = input.buffer().is_empty();
        if !bytes.trim_ascii().is_empty() && !line(Line { number, bytes: bytes.trim_ascii(), pause })? {
            break;
        }
    }
    Ok(())
}

/// What lines that were not understood come to in the end.
pub(crate) fn not_understood(lines: u64, command: &str) -> Result<(), Failure> {
    if lines == 0 {
        return Ok(());
    }
    Err(Failure::usage(
        format!("lines that were not understood: {lines}; each has an answer with `error`"),
        format!("one JSON object a line: firsthand {command} --help shows its keys"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_has_one_line_number() {
        let line = Line { number: 3, bytes: b"{\"a\": x}", pause: true };
        let why = line.why(&line.read::<Value>().unwrap_err());
        assert_eq!(why, "line 3, column 7: expected value");
    }

    #[test]
    fn a_line_that_is_too_long_is_not_two() {
        let mut seen = Vec::new();
        let mut input = BufReader::new(&b"\"abcd\"\n\n\"0123456789\"\n\"next\"\n"[..]);
        let ended = each_of(&mut input, 10, |line| {
            seen.push((line.number, line.read::<String>().unwrap()));
            Ok(true)
        });
        assert_eq!(seen, [(1, "abcd".to_owned())]);
        assert!(ended.unwrap_err().messages[0].contains("line 3 is longer than 10 bytes"));
    }
}
