//! Answers of people that are more than a yes or a no.

use super::*;

fn answer(kind: &'static str, reason: &str) -> ApprovalEvent {
    ApprovalEvent {
        kind,
        id: "ap-7k3m9xq2vb".to_owned(),
        facts: None,
        session: SESSION,
        number: CommandNumber(7),
        by: Some(over_the_api()),
        digest: None,
        rule: "agents-write-held".to_owned(),
        quorum: 2,
        given: Some(1),
        text: String::new(),
        parameters: Json::default(),
        reason: reason.to_owned(),
        preview: Json::default(),
        grant: None,
    }
}

/// All of them.
pub fn add(all: &mut Vec<(String, Event)>) {
    let broken = answer("approval.glass_broken", "the shop is down, nobody answers");
    all.push(("approval.glass_broken".to_owned(), Event::Approval(Box::new(broken))));
}
