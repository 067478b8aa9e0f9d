//! Who must approve what a rule holds, and how long that may take: the terms of a hold.

use std::sync::Arc;

use firsthand_model::decision::{Approvers, HoldTerms};
use firsthand_model::identity::IdentityKind;

use crate::rule::Approve;

/// How long a command of an agent or a service waits: MCP clients give up after 60 s, some after 30.
const WAIT_PROGRAM_S: u64 = 20;
/// How long a person's does.
const WAIT_PERSON_S: u64 = 45;
/// Seconds to approve something, where the rule does not say.
pub(crate) const TTL_S: u64 = 900;
/// Seconds to send it again once it is approved, where the rule does not say.
pub(crate) const SPEND_S: u64 = 900;
/// The longest wait that a rule may ask for: a connection that is held is held at the target, too.
pub(crate) const WAIT_S_MAX: u64 = 600;
/// The longest time for the other two: what is approved must be in somebody's mind when it runs.
pub(crate) const TERM_S_MAX: u64 = 7 * 24 * 3_600;

const MICROS: u64 = 1_000_000;

/// As the annotation of a policy carries them: `group=dba,quorum=1,ttl=900,spend=900,own=false`. `break_glass` comes once for each group.
pub(crate) fn written(approve: &Approve) -> String {
    let Approve { group, quorum, ttl, spend, wait, own, break_glass, signed } = approve;
    let wait = wait.map(|s| format!(",wait={s}")).unwrap_or_default();
    let glass: String = break_glass.iter().map(|group| format!(",break_glass={group}")).collect();
    let signed = if *signed { ",signed=true" } else { "" };
    format!("group={group},quorum={quorum},ttl={ttl},spend={spend},own={own}{wait}{glass}{signed}")
}

/// Reads an annotation.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(text: &str) -> Result<Approve, String> {
    let mut approve = Approve {
        group: String::new(),
        quorum: 1,
        ttl: TTL_S,
        spend: SPEND_S,
        wait: None,
        own: false,
        break_glass: Vec::new(),
        signed: false,
    };
    for term in text.split(',').map(str::trim).filter(|term| !term.is_empty()) {
        let bad = || format!("@hold: `{term}` is not understood");
        let (key, value) = term.split_once('=').ok_or_else(bad)?;
        let number = || value.parse::<u64>().map_err(|_| bad());
        match key {
            "group" => approve.group = value.to_owned(),
            "quorum" => approve.quorum = number()?.max(1),
            "ttl" => approve.ttl = number()?.clamp(1, TERM_S_MAX),
            "spend" => approve.spend = number()?.clamp(1, TERM_S_MAX),
            "wait" => approve.wait = Some(number()?.min(WAIT_S_MAX)),
            "own" => approve.own = value == "true",
            "signed" => approve.signed = value == "true",
            "break_glass" if !value.is_empty() => approve.break_glass.push(value.to_owned()),
            _ => return Err(bad()),
        }
    }
    if approve.group.is_empty() { Err("@hold: it names no group".to_owned()) } else { Ok(approve) }
}

/// The terms of all rules that hold the same command: each one's approvers are needed, and the shortest times count. Who breaks the
/// glass must be one whom each of the rules lets do so.
pub(crate) fn together<'a>(
    all: impl Iterator<Item = &'a Approve>,
    kind: IdentityKind,
) -> Option<Arc<HoldTerms>> {
    let usual = if kind == IdentityKind::Human { WAIT_PERSON_S } else { WAIT_PROGRAM_S };
    let mut terms: Option<HoldTerms> = None;
    for Approve { group, quorum, ttl, spend, wait, own, break_glass, signed } in all {
        let (wait_us, ttl_us, spend_us) = (wait.unwrap_or(usual) * MICROS, ttl * MICROS, spend * MICROS);
        let terms = terms.get_or_insert_with(|| HoldTerms {
            approvers: Vec::new(),
            own: *own,
            wait_us,
            ttl_us,
            spend_us,
            break_glass: Vec::new(),
            signed: false,
        });
        terms.own &= *own;
        // One that demands it is enough: it is one question, and each answer is to all of it.
        terms.signed |= *signed;
        terms.wait_us = terms.wait_us.min(wait_us);
        terms.ttl_us = terms.ttl_us.min(ttl_us);
        terms.spend_us = terms.spend_us.min(spend_us);
        let glass: Vec<Arc<str>> = break_glass.iter().map(|group| Arc::from(group.as_str())).collect();
        if !terms.break_glass.contains(&glass) {
            terms.break_glass.push(glass);
        }
        match terms.approvers.iter_mut().find(|a| *a.group == **group) {
            Some(same) => same.quorum = same.quorum.max(*quorum),
            None => terms.approvers.push(Approvers { group: Arc::from(group.as_str()), quorum: *quorum }),
        }
    }
    terms.map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_read_back_as_they_are_written_and_nothing_else_is_read() {
        let approve = Approve {
            group: "dba".to_owned(),
            quorum: 2,
            ttl: 60,
            spend: 30,
            wait: Some(5),
            own: true,
            break_glass: vec!["on call".to_owned(), "leads".to_owned()],
            signed: true,
        };
        assert_eq!(read(&written(&approve)), Ok(approve.clone()));
        let short = Approve { wait: None, own: false, break_glass: Vec::new(), signed: false, ..approve };
        assert_eq!(read(&written(&short)), Ok(short));
        for bad in [
            "",
            "quorum=2",
            "group=",
            "group=dba,quorum=two",
            "group=dba,until=3",
            "dba",
            "group=dba,break_glass=",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn of_several_rules_every_group_is_needed_and_the_shortest_time_counts() {
        let of = |text: &str| read(text).unwrap();
        let rules = [of("group=a,wait=9,own=true"), of("group=b,quorum=2,ttl=5"), of("group=a,quorum=3")];
        let terms = together(rules.iter(), IdentityKind::Agent).unwrap();
        let groups: Vec<_> = terms.approvers.iter().map(|a| (&*a.group, a.quorum)).collect();
        assert_eq!(groups, [("a", 3), ("b", 2)]);
        assert_eq!((terms.own, terms.wait_us, terms.ttl_us), (false, 9 * MICROS, 5 * MICROS));
        assert_eq!(terms.break_glass, [Vec::<Arc<str>>::new()], "nobody may break the glass");
        let person = together(rules[1..2].iter(), IdentityKind::Human).unwrap();
        assert_eq!(person.wait_us, WAIT_PERSON_S * MICROS);
        assert_eq!(together([].iter(), IdentityKind::Agent), None);
    }

    #[test]
    fn one_rule_that_demands_signatures_is_enough() {
        let of = |text: &str| read(text).unwrap();
        let signed = |rules: &[Approve]| together(rules.iter(), IdentityKind::Agent).unwrap().signed;
        assert!(signed(&[of("group=a"), of("group=b,signed=true"), of("group=c")]));
        assert!(!signed(&[of("group=a"), of("group=b,signed=false")]));
    }

    #[test]
    fn the_glass_of_several_rules_is_broken_by_whom_each_of_them_names() {
        let of = |text: &str| read(text).unwrap();
        let names = |rules: &[Approve]| {
            let terms = together(rules.iter(), IdentityKind::Agent).unwrap();
            terms.break_glass.iter().map(|any| any.join("|")).collect::<Vec<_>>().join("&")
        };
        let (two, one) = (of("group=a,break_glass=x,break_glass=y"), of("group=b,break_glass=y"));
        assert_eq!(names(&[two.clone(), one.clone(), two.clone()]), "x|y&y");
        assert_eq!(names(&[two, of("group=c"), one]), "x|y&&y", "one that names nobody lets nobody");
    }
}
