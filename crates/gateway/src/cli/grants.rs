//! `firsthand grants`: request, list, show, approve, deny, revoke.

use clap::{Args, Subcommand};
use firsthand_adapters::approvals::answer::Say;
use firsthand_adapters::approvals::grants::MayRevoke;
use firsthand_adapters::state::approvals::Sort;
use serde_json::{Value, json};

use super::approvals::{ask, chain, checked, entries, needs, text};
use super::output::{Output, columns};
use crate::failure::{Exit, Failure};
use crate::grants::{self, Wanted};
use crate::place::{At, reading_leaf};
use crate::reading::what;
use crate::remote::strange;
use crate::show::clean;
use crate::{weigh, who};

/// What to do with grants.
#[derive(Debug, Subcommand)]
pub(crate) enum GrantsCommand {
    /// Ask for access for a time, as the identity that the token names (with --gateway)
    Request(RequestArgs),
    /// List what is asked for, and what is in force
    List {
        /// What is over, too
        #[arg(long)]
        all: bool,
    },
    /// Show one whole: for whom, where, for what and how long, why, and who approved it
    Show {
        /// Its id
        id: String,
    },
    /// Approve it: it is in force from then on, for its time
    Approve {
        /// Its id
        id: String,
        /// Why, for the record
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Refuse it
    Deny {
        /// Its id
        id: String,
        /// Why: whoever asked is told
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Take it back, at once: what runs under it is stopped
    Revoke {
        /// Its id
        id: String,
        /// Why, for the record
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// What is asked for.
#[derive(Args, Debug)]
pub(crate) struct RequestArgs {
    /// The target
    target: String,
    /// A database of it [default: the target's own]
    #[arg(long)]
    database: Option<String>,
    /// How long, such as 2h
    #[arg(long = "for", value_name = "TIME")]
    lasts: String,
    /// What, such as read,write
    #[arg(long, value_delimiter = ',', required = true)]
    effects: Vec<String>,
    /// Where, such as public.orders,billing.* [default: anywhere]
    #[arg(long, value_delimiter = ',')]
    tables: Vec<String>,
    /// At most so many commands [default: as many as come]
    #[arg(long)]
    commands: Option<u64>,
    /// Why: whoever approves it reads that
    #[arg(long)]
    reason: String,
}

/// Runs the command.
pub(crate) fn run(command: GrantsCommand, at: &At, out: &Output) -> Result<Exit, Failure> {
    match command {
        GrantsCommand::Request(args) => request(args, at, out),
        GrantsCommand::List { all } => list(all, at, out),
        GrantsCommand::Show { id } => show(&id, at, out),
        GrantsCommand::Approve { id, reason } => answer(&id, "approve", &reason, at, out),
        GrantsCommand::Deny { id, reason } => answer(&id, "deny", &reason, at, out),
        GrantsCommand::Revoke { id, reason } => revoke(&id, &reason, at, out),
    }
}

fn request(args: RequestArgs, at: &At, out: &Output) -> Result<Exit, Failure> {
    let RequestArgs { target, database, lasts, effects, tables, commands, reason } = args;
    let body = json!(Wanted { target, database, lasts, effects, tables, commands, reason });
    let no_gateway = || {
        Failure::usage(
            "access is asked for at a gateway that runs, as the identity that is to have it",
            "firsthand grants --gateway URL request …, with its token",
        )
    };
    let asked = ask(at, ("POST", "/v1/grants", &body), "grants request", async |_, _, _| Err(no_gateway()))?;
    out.show(&asked, || {
        let id = clean::line(text(&asked, "id")).into_owned();
        format!("asked as {id}; it waits for approval: firsthand grants approve {id}")
    });
    Ok(Exit::Done)
}

fn list(all: bool, at: &At, out: &Output) -> Result<Exit, Failure> {
    let (mut list, mut after): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let place = after.as_ref().map(|after| format!("&after={after}")).unwrap_or_default();
        let path = format!("/v1/grants?all={all}{place}");
        let mut page = ask(at, ("GET", &path, &Value::Null), "grants list", async |approvals, _, _| {
            let page = weigh::list(approvals, (Sort::Grant, None), all, after.as_deref()).await?;
            Ok(json!({ "grants": page.approvals, "next": page.next }))
        })?;
        let Some(Value::Array(grants)) = page.get_mut("grants").map(Value::take) else {
            return Err(strange());
        };
        list.extend(grants);
        after = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    if out.is_json() {
        for grant in &list {
            out.text(&clean::json(&grant.to_string()));
        }
        return Ok(Exit::Done);
    }
    let lines: Vec<Vec<String>> = list.iter().map(cells).collect();
    out.text(&columns(
        &["ID", "STATE", "WHO", "TARGET", "EFFECTS", "FOR", "UNTIL", "NEEDS", "REASON"],
        &lines,
    ));
    Ok(Exit::Done)
}

/// `read, write`.
fn words(of: &Value, key: &str) -> String {
    entries(of, key).filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// The line of a grant in a list.
fn cells(of: &Value) -> Vec<String> {
    let reason = clean::line(text(of, "reason")).into_owned();
    let all = [
        text(of, "id").to_owned(),
        text(of, "state").to_owned(),
        chain(of),
        text(of, "target").to_owned(),
        words(of, "effects"),
        text(of, "lasts").to_owned(),
        text(of, "until").to_owned(),
        needs(of),
        clean::fit(&reason, 40).into_owned(),
    ];
    all.iter().map(|cell| clean::line(cell).into_owned()).collect()
}

fn show(id: &str, at: &At, out: &Output) -> Result<Exit, Failure> {
    let path = format!("/v1/grants/{}", checked(Sort::Grant, id)?);
    let grant = ask(at, ("GET", &path, &Value::Null), "grants show", async |approvals, desk, _| {
        let grant = weigh::show(approvals, Sort::Grant, id).await?;
        let read = what(&json!({ "grant": id }));
        desk.record("record.read", &who::own(&desk.keys), reading_leaf("grants show"), read).await?;
        Ok(grant)
    })?;
    if out.is_json() {
        out.text(&clean::json(&grant.to_string()));
    } else {
        out.text(&clean::block(&shown(&grant)));
    }
    Ok(Exit::Done)
}

/// All of it, for a person who is to say yes or no.
fn shown(of: &Value) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{name:<9} {}", clean::line(value)));
        }
    };
    line("grant", &format!("{} ({})", text(of, "id"), text(of, "state")));
    line("asked", text(of, "asked"));
    line("until", text(of, "until"));
    let links = entries(of, "chain")
        .map(|l| format!("{} {} ({})", text(l, "kind"), text(l, "name"), text(l, "trust")))
        .collect::<Vec<_>>();
    line("who", &links.join(" > "));
    line("target", &format!("{}, database {}", text(of, "target"), text(of, "database")));
    line("for", text(of, "lasts"));
    line("effects", &words(of, "effects"));
    let tables = words(of, "tables");
    line("tables", if tables.is_empty() { "any" } else { &tables });
    if let Some(most) = of.get("commands").and_then(Value::as_u64) {
        let used = of.get("used").and_then(Value::as_u64).unwrap_or(0);
        line("commands", &format!("{used} of {most} used"));
    }
    line("reason", text(of, "reason"));
    line("needs", &needs(of));
    for vote in entries(of, "approved") {
        line(
            "approved",
            &format!("by {} at {} {}", text(vote, "by"), text(vote, "at"), text(vote, "reason")),
        );
    }
    line("answer", text(of, "answer"));
    line("session", text(of, "session"));
    lines.join("\n")
}

fn answer(id: &str, verb: &str, reason: &str, at: &At, out: &Output) -> Result<Exit, Failure> {
    let path = format!("/v1/grants/{}/{verb}", checked(Sort::Grant, id)?);
    let (body, doing) = (json!({ "reason": reason }), format!("grants {verb}"));
    let answered = ask(at, ("POST", &path, &body), &doing, async |approvals, desk, _| {
        let say = if verb == "approve" { Say::Approve } else { Say::Deny };
        weigh::answer(
            approvals,
            (Sort::Grant, id),
            &who::own(&desk.keys),
            weigh::Saying::unsigned(say, reason),
        )
        .await
    })?;
    let number = |key: &str| answered.get(key).and_then(Value::as_u64).unwrap_or(0);
    out.show(&answered, || match text(&answered, "state") {
        "given" => format!("approved {id}: it is in force"),
        "refused" => format!("refused {id}"),
        _ => format!("approved {id}: {} of {} people have", number("given"), number("quorum")),
    });
    Ok(Exit::Done)
}

fn revoke(id: &str, reason: &str, at: &At, out: &Output) -> Result<Exit, Failure> {
    let path = format!("/v1/grants/{}/revoke", checked(Sort::Grant, id)?);
    let body = json!({ "reason": reason });
    let revoked = ask(at, ("POST", &path, &body), "grants revoke", async |approvals, desk, _| {
        grants::revoke(approvals, id, &who::own(&desk.keys), MayRevoke::Any, reason).await
    })?;
    out.show(&revoked, || format!("revoked {id}: nothing runs under it any more"));
    Ok(Exit::Done)
}
