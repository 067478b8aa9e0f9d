//! `grants` and `access` of a target: who gives access for a time, and whether nothing runs without it.

use std::sync::Arc;
use std::time::Duration;

use firsthand_model::command::{Effect, Effects};
use firsthand_model::grant::GrantOffer;

use super::section::Section;

/// The longest time, where nothing is said: a working day.
const LONGEST: Duration = Duration::from_secs(8 * 3600);
/// How long it can be approved, where nothing is said.
const ANSWER: Duration = Duration::from_secs(3600);
/// The longest of both that can be said: so far back the record is read at a start, with what is kept of approvals.
const MOST: Duration = Duration::from_secs(7 * 24 * 3600);
/// The largest quorum: more people than answer within an hour.
const QUORUM_MAX: u64 = 20;

/// What can be asked for, and whether nothing runs without it.
pub(super) fn read(section: &Section<'_>) -> (Option<Arc<GrantOffer>>, bool) {
    let access = section.choice("access");
    let needs = access.as_ref().is_some_and(|access| access.value == "grant");
    section.came_to(
        "access",
        access.as_ref().map(|access| &access.span),
        if needs { "grant" } else { "open" },
    );
    let offer = section.table("grants", "target.grants").and_then(|grants| offer(&grants));
    if let Some(access) = access.filter(|_| needs && section.span_of("grants").is_none()) {
        let hint = "add grants = { approvers = \"GROUP\" }";
        section.bad(
            &access.span,
            "access",
            "nothing runs here without a grant, and none can be asked for",
            hint,
        );
    }
    (offer, needs)
}

fn offer(section: &Section<'_>) -> Option<Arc<GrantOffer>> {
    let approvers = section.required_text("approvers");
    if let Some(approvers) = &approvers {
        section.came_to("approvers", Some(&approvers.span), &*approvers.value);
    }
    let quorum = section.count("quorum", 1, QUORUM_MAX);
    let own = section.flag("own", false);
    let time = |key: &str, default| {
        let time = section.duration(key, Some(default)).unwrap_or(default);
        if let Some(span) = section.span_of(key).filter(|_| time > MOST) {
            section.bad(
                &span,
                key,
                "is more than 7d",
                "ask again when it is over: an extension is a new request",
            );
        }
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
    };
    let (longest_us, answer_us) = (time("longest", LONGEST), time("answer", ANSWER));
    let effects = effects(section);
    let approvers = Arc::from(approvers?.value);
    Some(Arc::new(GrantOffer { approvers, quorum, own, longest_us, answer_us, effects }))
}

fn effects(section: &Section<'_>) -> Effects {
    let Some(span) = section.span_of("effects") else {
        section.came_to("effects", None, "read, write");
        return Effects::only(Effect::Read).and(Effect::Write);
    };
    let mut effects = Effects::NONE;
    for word in section.texts("effects") {
        match Effect::ALL.into_iter().find(|effect| effect.word() == word) {
            // They need no grant.
            Some(Effect::Session | Effect::Transaction) | None => {
                let what = format!("`{word}` is nothing that access is given for");
                section.bad(
                    &span,
                    "effects",
                    what,
                    "there are read, write, define, grant, execute, lock, system, unknown",
                );
            }
            Some(effect) => effects = effects.and(effect),
        }
    }
    if effects == Effects::NONE {
        section.bad(&span, "effects", "is empty", "leave it out for `read` and `write`");
    }
    effects
}
