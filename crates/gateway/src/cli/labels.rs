//! `firsthand labels`: what values are, and labels proposed for columns.

use std::io::{self, BufWriter, Write};

use clap::Subcommand;
use firsthand_policy::detect::propose::{self, Sampled};
use firsthand_policy::detect::{Detector, Hit, TypeHint};
use serde::Deserialize;
use serde_json::{Value, json};

use super::lines::{each_line, not_understood};
use super::output::Output;
use crate::failure::{Exit, Failure};
use crate::show::written;

/// What to do with labels.
#[derive(Debug, Subcommand)]
pub(crate) enum LabelsCommand {
    /// Say what values are: JSON lines {"id", "value", "column"?, "type"?} on stdin, spans in code points on stdout
    Detect,
    /// Propose labels for columns: JSON lines {"schema"?, "table", "column", "type"?, "values"} on stdin, TOML on stdout
    Propose,
}

/// Runs it.
pub(crate) fn run(command: &LabelsCommand, out: &Output) -> Result<Exit, Failure> {
    match command {
        LabelsCommand::Detect => detect(),
        LabelsCommand::Propose => propose(out),
    }
}

/// A value to look at.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    id: Value,
    value: Value,
    #[serde(default)]
    column: Option<String>,
    #[serde(default, rename = "type")]
    type_name: Option<String>,
}

fn detect() -> Result<Exit, Failure> {
    let detector = Detector::new();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut hits = Vec::new();
    let mut wrong = 0;
    each_line(|line| {
        let answer = match line.read::<Asked>() {
            Ok(asked) => {
                let value = match &asked.value {
                    Value::String(s) => s.clone(),
                    Value::Null => String::new(),
                    other => other.to_string(),
                };
                hits.clear();
                let hint = TypeHint::of_type(asked.type_name.as_deref().unwrap_or_default());
                detector.scan(&value, asked.column.as_deref().unwrap_or_default(), hint, &mut hits);
                json!({ "id": asked.id, "spans": spans(&value, &hits) })
            }
            Err(e) => {
                wrong += 1;
                line.not_understood(&e)
            }
        };
        written(writeln!(out, "{answer}").and_then(|()| if line.pause { out.flush() } else { Ok(()) }))
    })?;
    written(out.flush())?;
    not_understood(wrong, "labels detect")?;
    Ok(Exit::Done)
}

/// What was found, counted in code points.
fn spans(value: &str, hits: &[Hit]) -> Vec<Value> {
    let (mut bytes, mut points) = (0, 0);
    let mut at = |place: usize| {
        points += value.get(bytes..place).map_or(0, |s| s.chars().count());
        bytes = place;
        points
    };
    let rounded = |score: f32| f64::from((score * 100.0).round()) / 100.0;
    hits.iter()
        .map(|h| {
            let (start, end) = (at(h.range.start), at(h.range.end));
            json!({ "start": start, "end": end, "label": h.label, "score": rounded(h.score) })
        })
        .collect()
}

fn propose(out: &Output) -> Result<Exit, Failure> {
    let detector = Detector::new();
    let mut proposals = Vec::new();
    each_line(|line| {
        // One proposal of all lines: without one of them it would be another.
        let sampled: Sampled = line.read().map_err(|e| {
            Failure::usage(
                format!("stdin, {}", line.why(&e)),
                "one JSON object a line: firsthand labels propose --help shows its keys",
            )
        })?;
        proposals.extend(propose::propose(&detector, &sampled));
        Ok(true)
    })?;
    let all: Vec<Value> = proposals
        .iter()
        .map(|p| json!({ "column": p.column, "label": p.label, "found": p.found, "of": p.of, "by_name": p.by_name }))
        .collect();
    out.show(&Value::from(all), || propose::to_toml(&proposals));
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::spans;
    use firsthand_policy::detect::Hit;
    use serde_json::json;

    #[test]
    fn spans_are_in_code_points() {
        let value = "é a@b.de, ü c@d.de";
        let hits = [
            Hit { range: 3..9, label: "email", score: 0.99 },
            Hit { range: 14..20, label: "email", score: 0.99 },
        ];
        let have: Vec<_> =
            spans(value, &hits).iter().map(|s| (s["start"].clone(), s["end"].clone())).collect();
        assert_eq!(have, [(json!(2), json!(8)), (json!(12), json!(18))]);
    }
}
