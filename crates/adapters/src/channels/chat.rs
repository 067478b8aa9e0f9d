//! Messages with buttons, in Slack's Block Kit, and what comes back when one is pressed. What an actor wrote is put in as plain
//! text only: no markup of it means anything there.

use serde::Deserialize;
use serde_json::{Value, json};

use super::about::{
    Asked, NOT_ALL, approved, asked, chain, headline, listed, must_be_signed, needs, text, why_broken,
};
use super::shown;

/// Characters of a statement in a message: Slack takes 3,000 in one element.
const ASKED_CHARS_MAX: usize = 2900;
/// Characters of one field: Slack takes 2,000.
const FIELD_CHARS_MAX: usize = 600;
/// What the buttons are called in what comes back.
const APPROVE: &str = "firsthand_approve";
const DENY: &str = "firsthand_deny";

/// What `chat.postMessage` takes.
#[must_use]
pub fn message(conversation: &str, about: &Value, answers: bool) -> Value {
    json!({
        "channel": conversation, "text": fallback(&headline(about)), "blocks": blocks(about, answers),
        "unfurl_links": false, "unfurl_media": false,
    })
}

/// What `chat.update` takes, for a message that is there.
#[must_use]
pub fn update(conversation: &str, posted: &str, about: &Value, answers: bool) -> Value {
    json!({
        "channel": conversation, "ts": posted, "text": fallback(&headline(about)), "blocks": blocks(about, answers),
    })
}

/// What `chat.postEphemeral` takes: told to one person only.
#[must_use]
pub fn whisper(conversation: &str, user: &str, words: &str) -> Value {
    let block = json!({ "type": "section", "text": plain(words, ASKED_CHARS_MAX) });
    json!({ "channel": conversation, "user": user, "text": fallback(words), "blocks": [block] })
}

/// A message that says no more than that it arrives.
#[must_use]
pub fn test(conversation: &str, channel: &str) -> Value {
    json!({ "channel": conversation, "text": fallback(&format!("Firsthand: a test of the channel {channel}")) })
}

fn blocks(about: &Value, answers: bool) -> Vec<Value> {
    let field = |name: &str, value: &str| plain(&format!("{name}\n{}", shown::line(value)), FIELD_CHARS_MAX);
    let place = format!("{} / {} as {}", text(about, "target"), text(about, "database"), text(about, "role"));
    let mut fields =
        vec![field("Who", &chain(about)), field("Where", &place), field("Rule", text(about, "rule"))];
    for (name, value) in [
        ("Because", text(about, "reason").to_owned()),
        ("Effects", listed(about, "effects")),
        ("Tables", listed(about, "tables")),
        ("Needs", needs(about)),
        ("Approved by", approved(about)),
        ("Glass broken because", why_broken(about).to_owned()),
        ("Said", text(about, "answer").to_owned()),
    ] {
        if !value.is_empty() {
            fields.push(field(name, &value));
        }
    }
    let mut blocks = vec![
        json!({ "type": "header", "text": plain(&headline(about), 150) }),
        json!({ "type": "section", "fields": fields }),
    ];
    let asked = asked(about);
    if let Some(asked) = asked.as_ref().filter(|asked| !asked.statement.is_empty()) {
        blocks.push(json!({ "type": "rich_text", "elements": preformatted(asked) }));
    }
    if text(about, "state") == "asked" {
        let hint = hint(about, asked.as_ref());
        blocks.push(json!({ "type": "context", "elements": [plain(&hint, FIELD_CHARS_MAX)] }));
        if answers {
            blocks.push(buttons(text(about, "id"), is_approved_here(about)));
        }
    }
    blocks
}

/// Whether a message shows exactly what would run, so that it can be approved by what stands in it; a yes that must be signed cannot.
#[must_use]
pub fn is_approved_here(about: &Value) -> bool {
    !must_be_signed(about)
        && asked(about).is_some_and(|asked| asked.caveats.is_empty() && chars(&asked) <= ASKED_CHARS_MAX)
}

/// Characters that it takes.
fn chars(asked: &Asked) -> usize {
    let of = |line: &String| line.chars().count() + 1;
    asked.statement.chars().count() + asked.parameters.iter().map(of).sum::<usize>()
}

/// The statement, and its parameters in a place of their own: no text of the one passes for the other.
fn preformatted(asked: &Asked) -> Vec<Value> {
    let block = |text: &str| json!({ "type": "rich_text_preformatted", "elements": [{ "type": "text", "text": text }] });
    let statement: String = asked.statement.chars().take(ASKED_CHARS_MAX).collect();
    let left = ASKED_CHARS_MAX - statement.chars().count();
    let parameters: String = asked.parameters.join("\n").chars().take(left).collect();
    let mut all = vec![block(&statement)];
    if !parameters.is_empty() {
        all.push(block(&parameters));
    }
    all
}

fn hint(about: &Value, asked: Option<&Asked>) -> String {
    let id = text(about, "id");
    let mut why = asked.map(|asked| asked.caveats.join(" ")).unwrap_or_default();
    if must_be_signed(about) {
        why.insert_str(0, "A yes must be signed: approve it with --sign. ");
    } else if why.is_empty() && !is_approved_here(about) {
        NOT_ALL.clone_into(&mut why);
    }
    let why = why.trim_end();
    let more = if why.is_empty() { String::new() } else { format!("{why} So it is not approved here. ") };
    format!(
        "{more}firsthand approvals show {id} says what it would change; it can be answered until {}.",
        text(about, "until")
    )
}

/// Who cannot see all of it cannot approve it there, and nobody signs there.
fn buttons(id: &str, approves: bool) -> Value {
    let button = |action: &str, label: &str, style: &str, asks: &str| {
        json!({ "type": "button", "action_id": action, "value": id, "style": style, "text": plain(label, 75),
                "confirm": { "title": plain(label, 100), "text": plain(asks, 300), "confirm": plain(label, 30),
                             "deny": plain("Back", 30) } })
    };
    let approve = button(APPROVE, "Approve", "primary", "It then runs, once, exactly as it stands here.");
    let deny = button(DENY, "Deny", "danger", "Whoever asks is told that it was refused.");
    let elements = if approves { vec![approve, deny] } else { vec![deny] };
    json!({ "type": "actions", "block_id": "firsthand", "elements": elements })
}

fn plain(words: &str, most: usize) -> Value {
    let mut cut: String = words.chars().take(most).collect();
    if cut.len() < words.len() {
        cut = words.chars().take(most.saturating_sub(1)).chain(['…']).collect();
    }
    json!({ "type": "plain_text", "emoji": false, "text": cut })
}

/// The text that notifications show; there, `&`, `<` and `>` are markup.
fn fallback(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A message as it was posted: in which conversation, and Slack's name of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The conversation.
    pub conversation: String,
    /// `ts`.
    pub ts: String,
}

/// What Slack answers: an HTTP status of 200 says nothing yet.
///
/// # Errors
/// Its word for what is wrong, and whether that may be otherwise later.
pub fn answered(body: &[u8]) -> Result<Option<Posted>, (String, bool)> {
    #[derive(Deserialize)]
    struct Answer {
        ok: bool,
        error: Option<String>,
        channel: Option<Value>,
        ts: Option<String>,
    }
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| ("its answer is not understood".to_owned(), true))?;
    if answer.ok {
        let conversation = answer.channel.as_ref().and_then(Value::as_str).map(str::to_owned);
        return Ok(conversation.zip(answer.ts).map(|(conversation, ts)| Posted { conversation, ts }));
    }
    // A word of letters, digits and underscores; what is none is not repeated.
    let word =
        answer.error.filter(|e| e.len() <= 64 && e.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    let word = word.unwrap_or_else(|| "an error without a name".to_owned());
    let later = [
        "ratelimited",
        "rate_limited",
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
    ];
    let is_later = later.contains(&word.as_str());
    Err((word, is_later))
}

/// A button that somebody pressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pressed {
    /// The approval.
    pub approval: String,
    /// Which button.
    pub approve: bool,
    /// Slack's id of who pressed it.
    pub user: String,
    /// The message it stands under.
    pub message: Option<Posted>,
}

/// What a press brings; `None`: something else of Slack's that means nothing here.
#[must_use]
pub fn pressed(payload: &str) -> Option<Pressed> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    #[derive(Deserialize)]
    struct Action {
        action_id: String,
        value: Option<String>,
    }
    #[derive(Deserialize)]
    struct Container {
        message_ts: Option<String>,
        channel_id: Option<String>,
    }
    #[derive(Deserialize)]
    struct Payload {
        r#type: String,
        user: Named,
        #[serde(default)]
        actions: Vec<Action>,
        container: Option<Container>,
    }
    let payload: Payload = serde_json::from_str(payload).ok()?;
    // One press is one action.
    let [action] = payload.actions.as_slice() else { return None };
    let approve = match action.action_id.as_str() {
        APPROVE => true,
        DENY => false,
        _ => return None,
    };
    if payload.r#type != "block_actions" {
        return None;
    }
    let message =
        payload.container.and_then(|at| Some(Posted { conversation: at.channel_id?, ts: at.message_ts? }));
    Some(Pressed { approval: action.value.clone()?, approve, user: payload.user.id, message })
}

#[cfg(test)]
mod tests {
    use super::super::about::{of, tests::described};
    use super::*;

    fn actions(message: &Value) -> Vec<String> {
        let blocks = message["blocks"].as_array().unwrap().iter();
        let buttons =
            blocks.filter(|b| b["type"] == "actions").flat_map(|b| b["elements"].as_array().unwrap().clone());
        buttons.map(|b| b["action_id"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn who_cannot_see_all_of_it_is_given_no_button_to_approve_it() {
        let whole = message("C1", &of(&described(), true), true);
        assert_eq!(actions(&whole), [APPROVE, DENY]);
        let mut long = described();
        long["statement"] = json!("x".repeat(ASKED_CHARS_MAX + 1));
        assert_eq!(actions(&message("C1", &of(&long, true), true)), [DENY]);
        assert_eq!(actions(&message("C1", &of(&described(), false), true)), [DENY], "no text is sent");
        assert!(actions(&message("C1", &of(&described(), true), false)).is_empty(), "nobody answers there");
        let mut signed = described();
        signed["signed"] = json!(true);
        assert_eq!(actions(&message("C1", &of(&signed, true), true)), [DENY], "nobody signs there");
        for (key, value) in [
            ("statement_differs", json!(true)),
            ("parameters_differ", json!(true)),
            ("statement", json!("delete from t where a = 1 \u{2066}")),
            ("statement", json!(format!("delete from t where a = 1{}or true", "\n".repeat(2700)))),
        ] {
            let mut other = described();
            other[key] = value;
            let message = message("C1", &of(&other, true), true);
            assert_eq!(actions(&message), [DENY], "{key}");
            assert!(message.to_string().contains("So it is not approved here."), "{message}");
            assert!(!message.to_string().contains('\u{2066}'), "{message}");
        }
        let mut over = described();
        over["state"] = json!("given");
        assert!(actions(&update("C1", "1.2", &of(&over, true), true)).is_empty());
    }

    #[test]
    fn what_an_actor_wrote_is_no_markup() {
        let mut evil = described();
        evil["statement"] = json!("select '<!channel> ``` *x*'");
        evil["chain"] = json!([{ "kind": "agent", "name": "<!here>", "trust": "verified" }]);
        evil["target"] = json!("<@U1>");
        let message = message("C1", &of(&evil, true), true);
        assert!(!message["text"].as_str().unwrap().contains('<'), "{message}");
        let mut texts = vec![&message["blocks"]];
        while let Some(value) = texts.pop() {
            match value {
                Value::Array(all) => texts.extend(all),
                Value::Object(fields) => {
                    assert_ne!(fields.get("type"), Some(&json!("mrkdwn")), "{value}");
                    texts.extend(fields.values());
                }
                _ => {}
            }
        }
    }

    #[test]
    fn parameters_stand_in_a_place_of_their_own() {
        let mut evil = described();
        evil["statement"] = json!("select 1 /*\n$1 = \"8\"\n*/");
        let message = message("C1", &of(&evil, true), true);
        let blocks = message["blocks"].as_array().unwrap();
        let text = blocks.iter().find(|block| block["type"] == "rich_text").unwrap();
        let texts = text["elements"].as_array().unwrap().iter().map(|e| e["elements"][0]["text"].clone());
        assert_eq!(texts.collect::<Vec<_>>(), [evil["statement"].clone(), json!("$1 = \"7\"")]);
    }

    #[test]
    fn only_our_own_buttons_mean_something() {
        let press = |kind: &str, action: &str| {
            json!({ "type": kind, "user": { "id": "U1", "username": "grace" }, "api_app_id": "A1", "token": "x",
                    "container": { "type": "message", "message_ts": "1548261231.000200", "channel_id": "CBR2V3XEX" },
                    "actions": [{ "action_id": action, "block_id": "firsthand", "value": "ap-1", "type": "button",
                                  "action_ts": "1548426417.840180" }] })
            .to_string()
        };
        let posted = Posted { conversation: "CBR2V3XEX".to_owned(), ts: "1548261231.000200".to_owned() };
        let wanted = Pressed {
            approval: "ap-1".to_owned(),
            approve: true,
            user: "U1".to_owned(),
            message: Some(posted),
        };
        assert_eq!(pressed(&press("block_actions", APPROVE)), Some(wanted));
        assert_eq!(pressed(&press("block_actions", DENY)).map(|p| p.approve), Some(false));
        for other in [
            press("view_submission", APPROVE),
            press("block_actions", "other"),
            "{}".to_owned(),
            "x".to_owned(),
        ] {
            assert_eq!(pressed(&other), None, "{other}");
        }
    }

    #[test]
    fn slacks_word_for_what_is_wrong_is_kept_and_nothing_else() {
        let ok = answered(br#"{"ok":true,"channel":"C1","ts":"1.2","message":{}}"#).unwrap();
        assert_eq!(ok, Some(Posted { conversation: "C1".to_owned(), ts: "1.2".to_owned() }));
        assert_eq!(
            answered(br#"{"ok":false,"error":"channel_not_found"}"#),
            Err(("channel_not_found".to_owned(), false))
        );
        assert_eq!(answered(br#"{"ok":false,"error":"ratelimited"}"#), Err(("ratelimited".to_owned(), true)));
        assert!(answered(br#"{"ok":false,"error":"<b>x"}"#).is_err_and(|(word, _)| !word.contains('<')));
        assert!(answered(b"<html>").is_err_and(|(_, later)| later));
    }
}
