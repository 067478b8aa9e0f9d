//! What a channel is told of an approval: the masked text, as the record has it, or no text at all.

use serde_json::{Map, Value, json};

use super::shown;

/// Characters of a statement that are sent: who must read more has the command line.
const STATEMENT_CHARS_MAX: usize = 16 << 10;
/// Bytes of parameters that are sent, as JSON.
const PARAMETERS_BYTES_MAX: usize = 16 << 10;
/// What is said of an approval whatever the channel is.
const ALWAYS: [&str; 18] = [
    "id",
    "state",
    "session",
    "command",
    "asked",
    "until",
    "ended",
    "needs",
    "target",
    "database",
    "role",
    "effects",
    "tables",
    "tag",
    "rule",
    "transaction",
    "broken_by",
    "signed",
];

/// What is told of an approval as it is described elsewhere. `text`: with what was asked, and what people said.
#[must_use]
pub fn of(approval: &Value, text: bool) -> Value {
    let mut out = Map::new();
    for key in ALWAYS {
        out.insert(key.to_owned(), approval.get(key).cloned().unwrap_or_default());
    }
    let list = |key: &str| approval.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let link = |l: &Value| json!({ "kind": l.get("kind"), "name": l.get("name"), "trust": l.get("trust") });
    out.insert("chain".to_owned(), list("chain").iter().map(link).collect());
    let yes = |v: &Value| {
        let keys = ["by", "at", "groups", "break_glass", "signed_with"];
        let mut yes: Value =
            keys.iter().map(|key| (*key, v.get(*key).cloned().unwrap_or_default())).collect();
        if text && let Value::Object(yes) = &mut yes {
            yes.insert("reason".to_owned(), v.get("reason").cloned().unwrap_or_default());
        }
        yes
    };
    out.insert("approved".to_owned(), list("approved").iter().map(yes).collect());
    if text {
        add_text(approval, &mut out);
    }
    Value::Object(out)
}

fn add_text(approval: &Value, out: &mut Map<String, Value>) {
    let whole = approval.get("statement").and_then(Value::as_str).unwrap_or_default();
    let short: String = whole.chars().take(STATEMENT_CHARS_MAX).collect();
    let cut = short.len() < whole.len() || approval.get("statement_shortened") == Some(&Value::Bool(true));
    out.insert("statement".to_owned(), json!(short));
    out.insert("statement_shortened".to_owned(), json!(cut));
    let parameters = approval.get("parameters").cloned();
    let fits = parameters.as_ref().is_some_and(|p| p.to_string().len() <= PARAMETERS_BYTES_MAX);
    out.insert("parameters".to_owned(), parameters.filter(|_| fits).unwrap_or_default());
    out.insert("parameters_shortened".to_owned(), json!(!fits));
    for key in ["statement_differs", "parameters_differ", "reason", "answer"] {
        out.insert(key.to_owned(), approval.get(key).cloned().unwrap_or_default());
    }
}

/// A field as text.
pub(super) fn text<'v>(about: &'v Value, key: &str) -> &'v str {
    about.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A list of texts with commas between them.
pub(super) fn listed(about: &Value, key: &str) -> String {
    let list = about.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// Who asks, from the outside in.
pub(super) fn chain(about: &Value) -> String {
    let links = about.get("chain").and_then(Value::as_array);
    let link = |l: &Value| format!("{} ({} {})", text(l, "name"), text(l, "trust"), text(l, "kind"));
    links.into_iter().flatten().map(link).collect::<Vec<_>>().join(" → ")
}

/// Whose approval it needs.
pub(super) fn needs(about: &Value) -> String {
    let needs = about.get("needs").and_then(Value::as_array);
    let one = |n: &Value| {
        format!("{} of {}", n.get("quorum").and_then(Value::as_u64).unwrap_or(1), text(n, "group"))
    };
    needs.into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}

/// Whether a yes must be signed: no channel can do that.
pub(super) fn must_be_signed(about: &Value) -> bool {
    about.get("signed") == Some(&Value::Bool(true))
}

/// Who has approved it.
pub(super) fn approved(about: &Value) -> String {
    let votes = about.get("approved").and_then(Value::as_array);
    let one = |v: &Value| match v.get("break_glass") {
        Some(Value::Bool(true)) => format!("{} (BREAK-GLASS, alone)", text(v, "by")),
        _ => text(v, "by").to_owned(),
    };
    votes.into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}

/// Why somebody broke the glass, where that is sent.
pub(super) fn why_broken(about: &Value) -> &str {
    let votes = about.get("approved").and_then(Value::as_array);
    let broke = |v: &&Value| v.get("break_glass") == Some(&Value::Bool(true));
    votes.into_iter().flatten().find(broke).map_or("", |v| text(v, "reason"))
}

/// What stands in place of a secret in the value of a parameter. Nothing else tells that there was one.
const SECRET: &str = "***";
/// What runs is not what is shown.
const DIFFERS: &str = "Personal values and secrets of it are replaced here: it runs with other ones.";
/// Some of it is shown by codes and numbers.
const HIDES: &str =
    "It has characters that are not seen, shown here by their codes, or pushes some of it out of sight.";
/// It was cut.
pub(super) const NOT_ALL: &str = "This is not all of it.";

/// What was asked, as people read it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The statement, in its lines.
    pub(super) statement: String,
    /// A line for each parameter.
    pub(super) parameters: Vec<String>,
    /// Why nobody should answer by this alone, in sentences.
    pub(super) caveats: Vec<&'static str>,
}

/// The statement and its parameters, as people read them; `None`: no text is sent.
pub(super) fn asked(about: &Value) -> Option<Asked> {
    let is = |key: &str| about.get(key) == Some(&Value::Bool(true));
    let statement = shown::block(about.get("statement")?.as_str()?);
    let (mut is_plain, mut differs) =
        (statement.is_plain, is("statement_differs") || is("parameters_differ"));
    let mut parameters = Vec::new();
    let list = about.get("parameters").and_then(Value::as_array);
    for (at, one) in list.into_iter().flatten().enumerate() {
        let value = one.get("value").unwrap_or(&Value::Null);
        differs |= value.as_str().is_some_and(|text| text.contains(SECRET));
        let value = shown::value(value);
        is_plain &= value.is_plain;
        parameters.push(format!("${} = {}", at + 1, value.text));
    }
    let is_cut = is("statement_shortened") || is("parameters_shortened");
    let all = [(differs, DIFFERS), (!is_plain, HIDES), (is_cut, NOT_ALL)];
    let caveats = all.into_iter().filter_map(|(holds, says)| holds.then_some(says)).collect();
    Some(Asked { statement: statement.text, parameters, caveats })
}

/// What happened, in words.
#[must_use]
pub fn headline(about: &Value) -> String {
    let (id, target) = (text(about, "id"), text(about, "target"));
    let by = text(about, "broken_by");
    if !by.is_empty() {
        let state = text(about, "state");
        return format!("BREAK-GLASS: {by} released {id} alone, it is {state} (target {target})");
    }
    match text(about, "state") {
        "asked" => format!("Approval {id} waits (target {target})"),
        "given" => format!("Approval {id} is given (target {target})"),
        state => format!("Approval {id} is {state} (target {target})"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One as it is described to people.
    pub(crate) fn described() -> Value {
        json!({
            "id": "ap-7k3m9xq2vb", "state": "asked", "session": "019a", "command": 3, "asked": "2026-11-28T00:00:00Z",
            "until": "2026-11-28T00:15:00Z", "ended": null, "needs": [{ "group": "dba", "quorum": 2 }], "target": "orders",
            "database": "orders", "role": "app", "effects": ["write"], "tables": ["public.t"], "tag": "DELETE", "rule": "writes",
            "transaction": "none", "reason": "Writes need eyes.", "policy": "v1", "people": ["ada@example.com"], "answer": "",
            "chain": [{ "kind": "human", "name": "ada@example.com", "trust": "bound", "id": "h-1" },
                      { "kind": "agent", "name": "bot", "trust": "verified", "id": "a-1" }],
            "statement": "delete from t where a = $1", "statement_differs": false, "parameters": [{ "value": "7", "type": "int4" }],
            "approved": [{ "by": "grace@example.com", "at": "x", "groups": ["dba"], "reason": "fine by me", "break_glass": false }],
            "broken_by": null, "break_glass": [],
            "preview": { "rows": [{ "old": "never sent" }] }, "original": "never sent either",
        })
    }

    #[test]
    fn without_text_nothing_that_was_asked_or_said_is_sent() {
        let told = of(&described(), false).to_string();
        for kept in ["delete from", "\"7\"", "fine by me", "Writes need", "never sent"] {
            assert!(!told.contains(kept), "{kept}: {told}");
        }
        for said in ["ap-7k3m9xq2vb", "orders", "ada@example.com", "grace@example.com", "dba"] {
            assert!(told.contains(said), "{said}: {told}");
        }
        assert!(asked(&of(&described(), false)).is_none());
    }

    #[test]
    fn broken_glass_is_what_the_first_line_says() {
        let mut broken = described();
        broken["state"] = json!("given");
        broken["broken_by"] = json!("ada@example.com");
        broken["approved"][0]["break_glass"] = json!(true);
        let about = of(&broken, true);
        assert!(headline(&about).starts_with("BREAK-GLASS: ada@example.com released ap-7k3m9xq2vb alone"));
        assert_eq!(approved(&about), "grace@example.com (BREAK-GLASS, alone)");
        assert_eq!((why_broken(&about), why_broken(&of(&broken, false))), ("fine by me", ""));
        assert_eq!(why_broken(&of(&described(), true)), "", "an approval is no broken glass");
    }

    #[test]
    fn what_is_long_is_cut_and_says_so() {
        let about = of(&described(), true);
        let whole = Asked {
            statement: "delete from t where a = $1".to_owned(),
            parameters: vec!["$1 = \"7\"".to_owned()],
            caveats: Vec::new(),
        };
        assert_eq!(asked(&about).unwrap(), whole);
        assert!(!about.to_string().contains("never sent"));
        let mut long = described();
        long["statement"] = json!("ü".repeat(STATEMENT_CHARS_MAX + 1));
        long["parameters"] = json!([{ "value": "x".repeat(PARAMETERS_BYTES_MAX) }]);
        let about = of(&long, true);
        assert!(asked(&about).unwrap().caveats == [NOT_ALL] && about["parameters"].is_null());
        assert_eq!(text(&about, "statement").chars().count(), STATEMENT_CHARS_MAX);
        // Of what is over, there is the beginning only.
        let mut over = described();
        over["statement_shortened"] = json!(true);
        assert_eq!(asked(&of(&over, true)).unwrap().caveats, [NOT_ALL]);
    }

    #[test]
    fn it_is_said_where_something_else_runs_or_something_is_not_seen() {
        let with = |key: &str, value: Value| {
            let mut one = described();
            one[key] = value;
            asked(&of(&one, true)).unwrap()
        };
        for differs in ["statement_differs", "parameters_differ"] {
            assert_eq!(with(differs, json!(true)).caveats, [DIFFERS], "{differs}");
        }
        let secret = json!([{ "value": "host=a password=***", "type": "text" }]);
        assert_eq!(with("parameters", secret).caveats, [DIFFERS]);
        assert_eq!(with("statement", json!("select '\u{202e}'")).caveats, [HIDES]);
        let forged = json!([{ "value": "a'\n$2 = '7" }, { "value": "b\u{200b}" }]);
        let told = with("parameters", forged);
        assert_eq!(told.parameters, ["$1 = \"a'\\n$2 = '7\"", "$2 = \"b\\u200b\""]);
        assert_eq!(told.caveats, [HIDES]);
    }
}
