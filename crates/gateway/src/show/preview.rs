//! What a command would change, as people read it.

use serde_json::Value;

use super::WIDTH;
use super::table::{ROWS_SHOWN, Rows};

/// How it was found out, as people say it.
fn how(preview: &Value) -> &'static str {
    match preview.get("how").and_then(Value::as_str) {
        Some("exact") => "tried at the target and rolled back",
        Some("estimate") => "as the target's planner estimates",
        _ => "not known",
    }
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(of: &Value, key: &str) -> Option<u64> {
    of.get(key).and_then(Value::as_u64)
}

/// In one line: `would change 1 row (tried at the target and rolled back)`.
pub(crate) fn line(preview: &Value) -> String {
    match number(preview, "count") {
        Some(1) => format!("would change 1 row ({})", how(preview)),
        Some(count) => format!("would change {count} rows ({})", how(preview)),
        None => format!("what it would change is not known. {}", text(preview, "why")).trim_end().to_owned(),
    }
}

/// All of it, without control characters: names and values are the database's.
pub(crate) fn block(preview: &Value) -> String {
    let mut lines = vec![line(preview)];
    for one in preview.get("changes").and_then(Value::as_array).into_iter().flatten() {
        let along = if one.get("along").is_some() { ", along with it" } else { "" };
        let count = number(one, "count").unwrap_or(0);
        lines.push(format!("  {}: {} {count}{along}", text(one, "table"), text(one, "action")));
    }
    if let Some(sample) = preview.get("sample") {
        for (key, are) in [("old", "as they are"), ("new", "as they would be")] {
            lines.extend(rows(sample, key, are));
        }
    }
    let why = text(preview, "why");
    if number(preview, "count").is_some() && !why.is_empty() {
        lines.push(format!("  {why}"));
    }
    super::clean::block(&lines.join("\n")).into_owned()
}

fn rows(sample: &Value, key: &str, are: &str) -> Vec<String> {
    let mut rows = Rows::up_to(ROWS_SHOWN);
    rows.take_changed(sample, key);
    let mut out = Vec::new();
    if rows.kept == 0 || rows.write(&mut out, "    ", WIDTH).is_err() {
        return Vec::new();
    }
    vec![
        format!("  rows of {} {are}:", text(sample, "table")),
        String::from_utf8_lossy(&out).trim_end().to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_told_with_its_rows_and_with_what_is_missing() {
        let preview = serde_json::json!({
            "how": "exact", "count": 2, "why": "One more thing.",
            "changes": [
                { "table": "public.a", "action": "delete", "count": 2 },
                { "table": "public.b", "action": "delete", "count": 6, "along": true },
            ],
            "sample": {
                "table": "public.a", "action": "delete", "rows": 2,
                "columns": [{ "name": "id" }, { "name": "note" }],
                "old": [[1, "one\u{1b}[2J"], [2, null]],
            },
        });
        assert_eq!(
            block(&preview),
            "would change 2 rows (tried at the target and rolled back)\n  public.a: delete 2\n  public.b: delete 6, along with it\n  \
             rows of public.a as they are:\n    id │ note\n    ───┼───────────\n    1  │ one\\x1b[2J\n    2  │ ∅\n  One more thing."
        );
        let none = serde_json::json!({ "how": "none", "why": "Nothing was tried: it is late." });
        assert_eq!(block(&none), "what it would change is not known. Nothing was tried: it is late.");
        let estimate = serde_json::json!({ "how": "estimate", "count": 1, "why": "Only asked." });
        assert_eq!(block(&estimate), "would change 1 row (as the target's planner estimates)\n  Only asked.");
    }
}
