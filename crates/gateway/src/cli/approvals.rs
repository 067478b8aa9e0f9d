//! `firsthand approvals`: list, show, approve, deny, break the glass.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use firsthand_adapters::approvals::Approvals;
use firsthand_adapters::approvals::answer::{Say, plain};
use firsthand_adapters::approvals::signing;
use firsthand_adapters::state::approvals::Sort;
use serde_json::{Value, json};

use super::output::{Output, columns};
use super::sign;
use crate::assemble;
use crate::desk::Desk;
use crate::failure::{Exit, Failure};
use crate::place::{Alone, At, Place, Way, reading_leaf};
use crate::reading::{note, what};
use crate::remote::{Asked, strange};
use crate::rules;
use crate::show::{clean, preview, statement};
use crate::{weigh, who};

/// Characters of a statement in a list.
const LISTED: usize = 60;

/// What to do with approvals.
#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// List what waits for a person, and what is approved and not spent
    List {
        /// What is over, too
        #[arg(long)]
        all: bool,
    },
    /// Show one whole: the statement, who asks, where, why it is held, what the session did before
    Show {
        /// Its id
        id: String,
        /// And as it will run, with what masks hide: to who may approve it and see that. It is recorded
        #[arg(long)]
        original: bool,
    },
    /// Approve it: the command runs once, when it still waits or comes again
    Approve {
        /// Its id
        id: String,
        /// Why, for the record
        #[arg(long, default_value = "")]
        reason: String,
        /// Sign it with an SSH key: this one, or the first in ~/.ssh. What is signed is shown before
        #[arg(long, value_name = "KEYFILE", num_args = 0..=1)]
        sign: Option<Option<PathBuf>>,
    },
    /// Release it alone, where its rule lets you: without anybody else, and also your own. Everybody is told
    BreakGlass {
        /// Its id
        id: String,
        /// Why, for the record and for all who are told
        #[arg(long)]
        reason: String,
        /// Sign it, as with `approve`
        #[arg(long, value_name = "KEYFILE", num_args = 0..=1)]
        sign: Option<Option<PathBuf>>,
    },
    /// Refuse it
    Deny {
        /// Its id
        id: String,
        /// Why: whoever asked is told
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// Runs the command.
pub(crate) fn run(command: ApprovalsCommand, at: &At, out: &Output) -> Result<Exit, Failure> {
    match command {
        ApprovalsCommand::List { all } => list(all, at, out),
        ApprovalsCommand::Show { id, original } => show(&id, original, at, out),
        ApprovalsCommand::Approve { id, reason, sign } => answer(&id, (Say::Approve, &reason), sign, at, out),
        ApprovalsCommand::BreakGlass { id, reason, sign } => {
            answer(&id, (Say::BreakGlass, &reason), sign, at, out)
        }
        ApprovalsCommand::Deny { id, reason } => answer(&id, (Say::Deny, &reason), None, at, out),
    }
}

/// An id as it may stand in a path.
pub(super) fn checked(sort: Sort, id: &str) -> Result<&str, Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if id.is_empty() || id.len() > 64 || !id.chars().all(fits) {
        return Err(weigh::unknown(sort, id));
    }
    Ok(id)
}

/// Asks the gateway that runs, here or elsewhere, or does it in this process.
pub(super) fn ask(
    at: &At,
    (method, path, body): (&str, &str, &Value),
    doing: &str,
    here: impl AsyncFnOnce(&Approvals, &Desk, &Place) -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    match at {
        At::There(remote) => remote.asked(method, path, body),
        At::Here(place) => {
            place.must_exist()?;
            match place.way(doing)? {
                Way::Gateway(client) => client.asked(method, path, body),
                Way::Alone(alone) => {
                    let approvals = alone_with(&alone, place)?;
                    alone.act(async |desk: &Desk| here(&approvals, desk, place).await)
                }
            }
        }
    }
}

/// Approvals of a folder that no gateway runs on: with the groups that its configuration names.
fn alone_with(alone: &Alone, place: &Place) -> Result<Approvals, Failure> {
    let config = place.config.as_ref();
    let governing = rules::alone(config, alone.record.keys())?;
    let approvals = assemble::approvals(&alone.record, config, &governing)?;
    // Nothing is spent here; what is answered now, the next start compares.
    approvals.compared();
    Ok(approvals)
}

fn list(all: bool, at: &At, out: &Output) -> Result<Exit, Failure> {
    let (mut list, mut after): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let mut page = listed(all, after.as_deref(), at)?;
        let Some(Value::Array(approvals)) = page.get_mut("approvals").map(Value::take) else {
            return Err(strange());
        };
        list.extend(approvals);
        after = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    if out.is_json() {
        for approval in &list {
            out.text(&clean::json(&approval.to_string()));
        }
        return Ok(Exit::Done);
    }
    let lines: Vec<Vec<String>> = list.iter().map(cells).collect();
    out.text(&columns(&["ID", "STATE", "ASKED", "WHO", "TARGET", "NEEDS", "STATEMENT"], &lines));
    Ok(Exit::Done)
}

/// A page of the list.
fn listed(all: bool, after: Option<&str>, at: &At) -> Result<Value, Failure> {
    let place = after.map(|after| format!("&after={after}")).unwrap_or_default();
    let path = format!("/v1/approvals?all={all}{place}");
    ask(at, ("GET", &path, &Value::Null), "approvals list", async |approvals, _, _| {
        let page = weigh::list(approvals, (Sort::Command, None), all, after).await?;
        Ok(json!({ "approvals": page.approvals, "next": page.next }))
    })
}

pub(super) fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn entries<'a>(of: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    of.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// `ada@example.com > billing-bot`.
pub(super) fn chain(of: &Value) -> String {
    let names: Vec<&str> = entries(of, "chain")
        .filter(|l| !matches!(text(l, "kind"), "token" | "certificate"))
        .map(|l| text(l, "name"))
        .collect();
    names.join(" > ")
}

/// `dba (2)`.
pub(super) fn needs(of: &Value) -> String {
    let one = |need: &Value| match need.get("quorum").and_then(Value::as_u64) {
        Some(1) | None => text(need, "group").to_owned(),
        Some(n) => format!("{} ({n})", text(need, "group")),
    };
    entries(of, "needs").map(one).collect::<Vec<_>>().join(", ")
}

/// Its state, and whether somebody broke the glass.
fn state(of: &Value) -> String {
    let broken = if text(of, "broken_by").is_empty() { "" } else { " BREAK-GLASS" };
    format!("{}{broken}", text(of, "state"))
}

/// `oncall`, or `oncall or leads, and dba` where two rules hold it.
fn may_break(of: &Value) -> String {
    let any = |list: &Value| {
        let groups = list.as_array().into_iter().flatten().filter_map(Value::as_str);
        groups.collect::<Vec<_>>().join(" or ")
    };
    entries(of, "break_glass").map(any).collect::<Vec<_>>().join(", and ")
}

/// The line of an approval in a list.
fn cells(of: &Value) -> Vec<String> {
    let statement = text(of, "statement").split_whitespace().collect::<Vec<_>>().join(" ");
    let all = [
        text(of, "id").to_owned(),
        state(of),
        text(of, "asked").to_owned(),
        chain(of),
        text(of, "target").to_owned(),
        needs(of),
        clean::fit(&clean::line(&statement), LISTED).into_owned(),
    ];
    all.iter().map(|cell| clean::line(cell).into_owned()).collect()
}

/// One whole, as it is shown to who is to say yes or no.
fn fetched(id: &str, at: &At) -> Result<Value, Failure> {
    let path = format!("/v1/approvals/{}", checked(Sort::Command, id)?);
    ask(at, ("GET", &path, &Value::Null), "approvals show", async |approvals, desk, place| {
        let mut approval = weigh::show(approvals, Sort::Command, id).await?;
        let read = what(&json!({ "approval": id }));
        desk.record("record.read", &who::own(&desk.keys), reading_leaf("approvals show"), read).await?;
        weigh::add_before(&place.data_dir, &mut approval).await;
        Ok(approval)
    })
}

fn show(id: &str, original: bool, at: &At, out: &Output) -> Result<Exit, Failure> {
    let path = format!("/v1/approvals/{}", checked(Sort::Command, id)?);
    let mut approval = fetched(id, at)?;
    if original {
        let asked = ("POST", &*format!("{path}/original"), &Value::Null);
        let shown = ask(at, asked, "approvals show", async |approvals, desk, place| {
            weigh::original(approvals, desk, place.config.as_ref(), id, &who::own(&desk.keys)).await
        })?;
        note(&mut approval, "original", shown);
    }
    if out.is_json() {
        out.text(&clean::json(&approval.to_string()));
    } else {
        out.text(&clean::block(&shown(&approval)));
    }
    Ok(Exit::Done)
}

/// What they said, and with which key they have signed it.
fn why(vote: &Value) -> String {
    match text(vote, "signed_with") {
        "" => text(vote, "reason").to_owned(),
        key => format!("{} (signed with {key})", text(vote, "reason")),
    }
}

/// All of it, for a person who is to say yes or no.
fn shown(of: &Value) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{name:<11} {}", clean::line(value)));
        }
    };
    line("approval", &format!("{} ({})", text(of, "id"), state(of)));
    line("asked", text(of, "asked"));
    line("until", text(of, "until"));
    let links = entries(of, "chain")
        .map(|l| format!("{} {} ({})", text(l, "kind"), text(l, "name"), text(l, "trust")))
        .collect::<Vec<_>>();
    line("who", &links.join(" > "));
    line(
        "application",
        &match text(of, "application") {
            "" => String::new(),
            claimed => format!("{claimed} (claimed)"),
        },
    );
    line(
        "target",
        &format!("{}, database {}, role {}", text(of, "target"), text(of, "database"), text(of, "role")),
    );
    let words = |key: &str| entries(of, key).filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    line("effects", &words("effects"));
    line("tables", &words("tables"));
    line("search_path", text(of, "search_path"));
    line("transaction", text(of, "transaction"));
    line("unseen", &words("coverage"));
    line("rule", &format!("{} (policy {})", text(of, "rule"), text(of, "policy")));
    line("because", text(of, "reason"));
    line("needs", &needs(of));
    line("break-glass", &may_break(of));
    if of.get("signed") == Some(&Value::Bool(true)) {
        line("signed", "a yes must be signed with a key of the person's: --sign");
    }
    for vote in entries(of, "approved") {
        let alone = vote.get("break_glass") == Some(&Value::Bool(true));
        line(
            if alone { "GLASS" } else { "approved" },
            &format!(
                "{}by {} at {} {}",
                if alone { "broken " } else { "" },
                text(vote, "by"),
                text(vote, "at"),
                why(vote)
            ),
        );
    }
    line("answer", text(of, "answer"));
    line(
        "session",
        &format!("{} command {}", text(of, "session"), of.get("command").unwrap_or(&Value::Null)),
    );
    lines.extend(asked(of));
    lines.extend(as_it_runs(of));
    lines.extend(changes(of));
    lines.extend(before(of));
    lines.join("\n")
}

/// The same with what masks hide, where that was asked for.
fn as_it_runs(of: &Value) -> Vec<String> {
    let Some(original) = of.get("original") else { return Vec::new() };
    let mut lines = vec![format!("\nas it will run:\n{}", indented(text(original, "statement")))];
    let parameters = parameters(original);
    if !parameters.is_empty() {
        lines.push(format!("\nparameters as it will run:\n{}", parameters.join("\n")));
    }
    lines
}

/// A line for each parameter.
fn parameters(of: &Value) -> Vec<String> {
    let line = |(i, p): (usize, &Value)| {
        let said = |key: &str| p.get(key).unwrap_or(&Value::Null).to_string();
        format!("  ${} = {} ({})", i + 1, said("value"), said("type"))
    };
    entries(of, "parameters").enumerate().map(line).collect()
}

/// The statement and its parameters.
fn asked(of: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let raw = text(of, "statement");
    let differs = of.get("statement_differs") == Some(&Value::Bool(true));
    let about = if differs { "\nstatement (secrets and personal values replaced):" } else { "\nstatement:" };
    let is_short = of.get("statement_shortened") == Some(&Value::Bool(true));
    let id = text(of, "id");
    let about = match is_short {
        true => format!("{about} (its beginning; the record has it: firsthand log search approval:{id})"),
        false => about.to_owned(),
    };
    lines.push(format!("{about}\n{}", indented(raw)));
    if let Some(formatted) = statement::formatted(raw) {
        lines.push(format!("\nthe same, with line breaks:\n{}", indented(&formatted)));
    }
    let parameters = parameters(of);
    if !parameters.is_empty() {
        let differ = of.get("parameters_differ") == Some(&Value::Bool(true));
        let about = if differ { "parameters (personal values replaced):" } else { "parameters:" };
        lines.push(format!("\n{about}\n{}", parameters.join("\n")));
    }
    lines
}

/// What it would change.
fn changes(of: &Value) -> Option<String> {
    let preview = of.get("preview").filter(|preview| preview.is_object())?;
    Some(format!("\nwhat it would change:\n{}", indented(&preview::block(preview))))
}

/// What the session did before.
fn before(of: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    match of.get("before") {
        Some(Value::Array(before)) if !before.is_empty() => {
            lines.push("\nbefore it, in the same session:".to_owned());
            lines.extend(before.iter().map(|c| {
                let number = c.get("command").and_then(Value::as_u64).unwrap_or(0);
                let statement = clean::line(text(c, "statement")).into_owned();
                format!("  #{number} {} {}", text(c, "verdict"), clean::fit(&statement, 120))
            }));
        }
        Some(Value::Array(_)) => lines.push("\nthe session did nothing before it".to_owned()),
        _ => lines.push("\nwhat the session did before is not known".to_owned()),
    }
    lines
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The last part of the path, and of the command.
fn verb(say: Say) -> &'static str {
    match say {
        Say::Approve => "approve",
        Say::Deny => "deny",
        Say::BreakGlass => "break-glass",
    }
}

/// The signature over what is shown first: all that is signed is made from that, here.
fn signed(
    id: &str,
    (say, reason): (Say, &str),
    key: &Path,
    at: &At,
    out: &Output,
) -> Result<String, Failure> {
    let approval = fetched(id, at)?;
    if text(&approval, "state") != "asked" {
        let what = format!("approval {id} is {}: there is nothing to sign", state(&approval));
        return Err(Failure::new(what, "firsthand approvals list shows those that wait"));
    }
    let signed = signing::text(&approval, say, &plain(reason));
    out.talk(&clean::block(&format!("{}\n\nyou sign:\n{}", shown(&approval), indented(&signed))));
    sign::sign(&signed, key)
}

fn answer(
    id: &str,
    (say, reason): (Say, &str),
    key: Option<Option<PathBuf>>,
    at: &At,
    out: &Output,
) -> Result<Exit, Failure> {
    let path = format!("/v1/approvals/{}/{}", checked(Sort::Command, id)?, verb(say));
    let key = key.map(sign::key).transpose()?;
    let signature = key.map(|key| signed(id, (say, reason), &key, at, out)).transpose()?;
    let (mut body, doing) = (json!({ "reason": reason }), format!("approvals {}", verb(say)));
    if let Some(signature) = &signature {
        note(&mut body, "signature", json!(signature));
    }
    let answered = ask(at, ("POST", &path, &body), &doing, async |approvals, desk, _| {
        let saying = weigh::Saying { say, reason, signature: signature.as_deref() };
        weigh::answer(approvals, (Sort::Command, id), &who::own(&desk.keys), saying).await
    })?;
    let number = |key: &str| answered.get(key).and_then(Value::as_u64).unwrap_or(0);
    let once = "it runs once, when the statement still waits or is sent again";
    out.show(&answered, || match text(&answered, "state") {
        "given" if say == Say::BreakGlass => {
            format!("broke the glass of {id}: {once}. It is recorded, and channels are told")
        }
        "given" => format!("approved {id}: {once}"),
        "refused" => format!("refused {id}"),
        _ => format!("approved {id}: {} of {} people have", number("given"), number("quorum")),
    });
    Ok(Exit::Done)
}
