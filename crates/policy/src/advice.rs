//! What who is refused can do next: the one thing that helps most, in the words of an instruction. An agent reads it in the
//! error's message, and an agent that reads no way out looks for a way around.

use firsthand_model::decision::Verdict;
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::{Facts, Opaque};

use crate::compiled::Compiled;
use crate::explain::{LESS, Suppose, milder};
use crate::judge::{Judgement, NO_RULE, POLICY_ERROR};
use crate::rules::Given;

/// Things that are left out one by one to see whether that helps. Fewer than an explanation tries: this is worked out for
/// each new statement that is refused.
const LEFT_OUT_MAX: usize = 8;

/// Firsthand's own rule about sessions that may only read.
const READ_ONLY: &str = "read-only";

/// What to do about a refusal; empty for an allow.
pub(crate) fn advice(
    suppose: Suppose<'_>,
    session: &SessionFacts,
    facts: &Facts,
    circumstances: (u64, Given),
    judged: &Judgement,
    compiled: &Compiled,
) -> String {
    if judged.verdict == Verdict::Allow {
        return String::new();
    }
    if *judged.rule == *POLICY_ERROR {
        return "Ask the operator: the rules have to be repaired before anything runs.".to_owned();
    }
    if *judged.rule == *READ_ONLY {
        return "Leave READ WRITE out: nothing but reading is allowed here.".to_owned();
    }
    let mut all = Vec::new();
    if judged.verdict == Verdict::Hold {
        all.push(approval(judged, compiled));
    }
    if let Some(opaque) = facts.opaque.as_ref().filter(|_| judged.is_about_the_unknown()) {
        all.push(telling(opaque));
    }
    all.extend(judged.remedy.clone().filter(|_| all.is_empty() && judged.is_about_columns()));
    let mut changes = milder(suppose, session, facts, circumstances, judged, LEFT_OUT_MAX);
    let person = changes.iter().any(|c| c.advice.is_empty() && c.what.starts_with("asked by a person"));
    changes.retain(|c| !c.advice.is_empty());
    // What keeps to what was wanted comes first.
    changes.sort_by_key(|c| (c.gives_up, c.verdict.strictness()));
    // Who is to ask for approval of all of it is not told to leave a part out; and what only some values are kept from may be changed
    // with others.
    let denied = judged.verdict == Verdict::Deny;
    let reading_helps = denied && (facts.copied.is_empty() || !judged.is_about_columns());
    changes.retain(|c| (reading_helps || !c.gives_up) && (denied || !c.what.starts_with(LESS)));
    if let Some(best) = changes.first().filter(|_| all.len() < 2) {
        let then = if best.verdict == Verdict::Hold { " A person must approve it then." } else { "" };
        all.push(format!("{}{then}", best.advice));
    }
    if all.is_empty() {
        let rule = if *judged.rule == *NO_RULE { "a rule that allows it" } else { "an exception" };
        let person = if person { ", or a person to run it" } else { "" };
        all.push(format!("Ask the operator for {rule}{person}; no other way of writing it helps."));
    }
    all.join(" ")
}

/// Who must approve, from the words of the rule.
fn approval(judged: &Judgement, compiled: &Compiled) -> String {
    let approvers = judged.terms.iter().flat_map(|terms| &terms.approvers);
    let groups: Vec<&str> = approvers.map(|a| &*a.group).collect();
    if let Some(empty) = groups.iter().find(|group| !compiled.has_members(group)) {
        return format!("Ask the operator who is to be in the group {empty}: nobody is.");
    }
    match groups.as_slice() {
        [] => "A person must approve it.".to_owned(),
        groups => format!("Ask somebody of the group {} to approve it.", groups.join(", and of ")),
    }
}

/// What makes something tellable that is not.
fn telling(opaque: &Opaque) -> String {
    let what = if opaque.what.is_empty() { "it".to_owned() } else { format!("\"{}\"", opaque.what) };
    match opaque.why {
        "no-catalog" => {
            "The definitions of this database have not been read yet, which is tried again every few seconds: \
             send it again soon."
                .to_owned()
        }
        "relation" => format!("Check the name {what}: this database has no such table or view."),
        "column" => format!("Check the column {what}: no table of the statement has it."),
        "type" => format!("Check the type {what}: this database has no such type."),
        "operator" => format!("Check the operator {what} and the types at its sides: it is not known here."),
        "function" => {
            format!("Leave the function {what} out: it is not known here, or what it does cannot be told.")
        }
        "search-path" => format!("Write {what} with its schema, or SET search_path first."),
        "prepared" | "cursor" => "Send the statement itself instead of its name.".to_owned(),
        "dynamic-sql" => "Write the statement out instead of building it from a string.".to_owned(),
        "do" | "call" => "Send the statements themselves, one by one, without DO or CALL.".to_owned(),
        "unparsed" => "Correct the syntax, or send it in smaller parts: as it is it will be refused again.".to_owned(),
        "several" => "Send one statement at a time: a prepared statement holds only one.".to_owned(),
        _ => "Write it in a plainer way.".to_owned(),
    }
}
