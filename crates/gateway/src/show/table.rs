//! Rows as a table that fits a page, or as lines where they are copied text.

use std::io::{self, Write};

use serde_json::Value;

use super::clean;

/// Rows shown of a result unless more are asked for. The record holds more, and `--json` prints them all.
pub(crate) const ROWS_SHOWN: usize = 20;
/// Characters of one value shown.
const CELL: usize = 40;
/// What stands for NULL: no text value looks like it.
const NULL: &str = "∅";

/// Rows gathered from the pieces of a result.
#[derive(Debug)]
pub(crate) struct Rows {
    /// How many are shown.
    most: usize,
    columns: Vec<String>,
    lines: Vec<Vec<String>>,
    /// Rows that came, shown or not.
    pub(crate) kept: u64,
}

impl Rows {
    /// None yet; of those that come, so many are shown.
    pub(crate) fn up_to(most: usize) -> Self {
        Self { most, columns: Vec::new(), lines: Vec::new(), kept: 0 }
    }

    /// Takes the columns and rows of a payload.
    pub(crate) fn take(&mut self, payload: &Value) {
        self.take_changed(payload, "rows");
    }

    /// Takes the columns and the rows under this key.
    pub(crate) fn take_changed(&mut self, payload: &Value, key: &str) {
        if let Some(columns) = payload.get("columns").and_then(Value::as_array) {
            self.columns = columns.iter().map(column).collect();
        }
        for row in payload.get(key).and_then(Value::as_array).into_iter().flatten() {
            self.kept += 1;
            if self.lines.len() < self.most {
                self.lines.push(match row {
                    Value::Array(values) => values.iter().map(cell).collect(),
                    one => vec![cell(one)],
                });
            }
        }
    }

    /// How many rows [`Rows::write`] prints.
    pub(crate) fn shown(&self) -> u64 {
        self.lines.len() as u64
    }

    /// Prints the table. Columns that do not fit in `width` are counted at the end of its head.
    pub(crate) fn write(&self, out: &mut dyn Write, indent: &str, width: usize) -> io::Result<()> {
        let count = self.lines.iter().map(Vec::len).max().unwrap_or(0).max(self.columns.len());
        let mut widths = Vec::new();
        let mut used = indent.len();
        for i in 0..count {
            let cells = self.lines.iter().chain([&self.columns]).filter_map(|line| line.get(i));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(1);
            if used + widest > width && i > 0 {
                break;
            }
            used += widest + 3;
            widths.push(widest);
        }
        let more = count - widths.len();
        if !self.columns.is_empty() {
            let note = if more > 0 { format!("  (and {more} more columns)") } else { String::new() };
            writeln!(out, "{indent}{}{note}", row(&self.columns, &widths, " │ "))?;
            let rule: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
            writeln!(out, "{indent}{}", row(&rule, &widths, "─┼─"))?;
        }
        for line in &self.lines {
            writeln!(out, "{indent}{}", row(line, &widths, " │ "))?;
        }
        Ok(())
    }
}

fn row(cells: &[String], widths: &[usize], between: &str) -> String {
    let empty = String::new();
    let padded: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(i, width)| {
            let cell = cells.get(i).unwrap_or(&empty);
            let pad = width.saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(pad))
        })
        .collect();
    padded.join(between).trim_end().to_owned()
}

fn column(column: &Value) -> String {
    let name = column.get("name").and_then(Value::as_str).or(column.as_str()).unwrap_or("?");
    clean::fit(&clean::line(name), CELL).into_owned()
}

/// A value on one line.
pub(crate) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return NULL.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    clean::fit(&clean::line(&text), CELL).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(payload: &str, width: usize) -> String {
        let mut rows = Rows::up_to(ROWS_SHOWN);
        rows.take(&serde_json::from_str(payload).unwrap());
        let mut out = Vec::new();
        rows.write(&mut out, "  ", width).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_stand_in_columns_and_null_is_not_a_text() {
        let text = shown(
            r#"{"columns":[{"name":"id","type":"int4"},{"name":"note"}],"rows":[["42",null],["7","a\nb\u001b[2J"]]}"#,
            80,
        );
        assert_eq!(
            text,
            "  id │ note\n  ───┼──────────\n  42 │ ∅\n  7  │ a b\\x1b[2J\n"
                .replace("──────────", "───────────")
        );
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let text = shown(
            r#"{"columns":[{"name":"aaaaaaaaaa"},{"name":"bbbbbbbbbb"},{"name":"c"}],"rows":[[1,2,3]]}"#,
            20,
        );
        assert!(text.starts_with("  aaaaaaaaaa  (and 2 more columns)\n"), "{text}");
        let long = format!(r#"{{"rows":["{}"]}}"#, "x".repeat(100));
        assert!(shown(&long, 80).ends_with("x…\n"));
    }

    #[test]
    fn a_long_result_is_cut_and_counted() {
        let mut rows = Rows::up_to(ROWS_SHOWN);
        let many: Vec<[u32; 1]> = (0..100).map(|i| [i]).collect();
        rows.take(&serde_json::json!({ "rows": many }));
        assert_eq!((rows.kept, rows.shown()), (100, 20));
    }
}
