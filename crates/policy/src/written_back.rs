//! What a mask left over must not be written over the real value: an agent that reads `[email]`, changes a field and writes
//! the row back would destroy the address.

use std::sync::Arc;

use firsthand_model::command::Effect;
use firsthand_model::decision::{Decision, Verdict};
use firsthand_model::statement::{Column, Facts};
use firsthand_session::port::Ask;

use crate::compiled::{Compiled, Meta};
use crate::detect::label;
use crate::question::{Question, READ_CLEAR};
use crate::rule::Use;
use crate::rules::{Given, situation};

/// How a keyed token begins: `tok_email_…`.
const TOKEN: &str = "tok_";

/// Labels that detection finds and that a person would write back.
pub(crate) const DETECTED: &[&str] = &[
    label::EMAIL,
    label::PHONE,
    label::CARD,
    label::IBAN,
    label::ACCOUNT,
    label::NATIONAL_ID,
    label::TAX_ID,
    label::PASSPORT,
    label::BIRTH,
    label::PERSON,
    label::ADDRESS,
    label::POSTCODE,
    label::IP,
    label::PASSWORD,
    label::SECRET,
    label::JWT,
];

/// Refuses or holds an allowed write that carries the remains of a mask in its text or parameters. Not part of what is
/// remembered: the values are other each time.
pub(crate) fn check(compiled: &Compiled, ask: &Ask<'_>, windows: u64, decision: Decision) -> Decision {
    if decision.verdict == Verdict::Deny || !compiled.has_masks || !writes(ask) {
        return decision;
    }
    let parameters = ask.command.parameters.as_bytes();
    let parameters = std::str::from_utf8(parameters).unwrap_or_default();
    let texts = [ask.command.text.as_str(), parameters];
    for label in compiled.detectable.iter().filter(|label| texts.iter().any(|text| carries(text, label))) {
        let Some(meta) = masks(compiled, ask, windows, label) else { continue };
        let verdict = match meta.written_back {
            Use::Allow | Use::Record => continue,
            Use::Hold if decision.verdict == Verdict::Hold => continue,
            Use::Hold => Verdict::Hold,
            Use::Deny => Verdict::Deny,
        };
        let because: &str =
            if meta.because.is_empty() { "Masked values are not written back" } else { &meta.because };
        let reason =
            format!("{} (it writes what a mask of `{label}` left over)", because.trim_end_matches('.'));
        let advice =
            Arc::from("Leave what a mask has made out of it: write only columns whose values you know.");
        let (rule, reason) = (Arc::clone(&meta.name), Arc::from(reason));
        return Decision { verdict, rule, reason, advice, ..decision };
    }
    decision
}

/// The rule that masks values of this label for who asks. Where the rules cannot be asked, the statement was refused
/// already.
fn masks(compiled: &Compiled, ask: &Ask<'_>, windows: u64, label: &Arc<str>) -> Option<Arc<Meta>> {
    let facts = Facts::default();
    let on = situation(ask.session, &facts, windows, Given::default());
    let mut question = Question::new(compiled, on).ok()?;
    let value = Column { column: "a value".to_owned(), ..crate::masks::nowhere() };
    let said = question.column(READ_CLEAR, &value, std::slice::from_ref(label)).ok()?;
    said.by.into_iter().find(|m| !m.permits)
}

fn writes(ask: &Ask<'_>) -> bool {
    let effects = match &ask.command.shape.facts {
        Some(facts) => facts.effects,
        None => ask.command.shape.effects,
    };
    effects.has(Effect::Write) || effects.has(Effect::Unknown)
}

/// Longest mark that is looked for: labels are short.
const MARK_MAX: usize = 256;

/// Whether a text holds `[label]` (also among others: `[card+label]`) or `tok_label_`.
fn carries(text: &str, label: &str) -> bool {
    let redacted = text.match_indices('[').any(|(at, _)| {
        let rest = text.get(at + 1..).unwrap_or_default();
        let end = rest.bytes().take(MARK_MAX).position(|b| b == b']');
        let inside = end.and_then(|end| rest.get(..end)).unwrap_or_default();
        inside.split('+').any(|part| part == label)
    });
    let token = || {
        text.match_indices(TOKEN).any(|(at, _)| {
            let rest = text.get(at + TOKEN.len()..).and_then(|t| t.strip_prefix(label));
            rest.is_some_and(|t| t.starts_with('_'))
        })
    };
    redacted || token()
}

#[cfg(test)]
mod tests {
    use super::carries;

    #[test]
    fn remains_are_recognised() {
        for (text, want) in [
            ("UPDATE t SET e = '[email]' WHERE id = 1", true),
            ("UPDATE t SET e = 'tok_email_ABCDEFGH'", true),
            ("UPDATE t SET e = a[email_id]", false),
            ("UPDATE t SET e = '[iban]'", false),
            ("UPDATE t SET e = '[card+email]'", true),
            ("UPDATE t SET e = 'tok_emails_A'", false),
        ] {
            assert_eq!(carries(text, "email"), want, "{text}");
        }
    }
}
