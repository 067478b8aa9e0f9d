//! Answers of people that are more than a yes or a no, and keys that change.

use firsthand_model::event::SignedYes;

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
        signed: None,
    }
}

fn signature() -> SignedYes {
    SignedYes {
        kind: "ssh-ed25519".to_owned(),
        fingerprint: "SHA256:0cQ1aXqkT5mJ3nGZb2mS8Jw0yV1pXhE4nq7Jk9o3m2U".to_owned(),
        key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGrT".to_owned(),
        signature: "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n".to_owned(),
        text: "Firsthand approval, version 1\napproval: ap-7k3m9xq2vb\nanswer: approve\n".to_owned(),
    }
}

/// All of them.
pub(super) fn add(all: &mut Vec<(String, Event)>) {
    let broken = answer("approval.glass_broken", "the shop is down, nobody answers");
    let signed = |event| ApprovalEvent { signed: Some(Box::new(signature())), ..event };
    for (name, event) in [
        ("approval.glass_broken", broken),
        ("approval.glass_broken-signed", signed(answer("approval.glass_broken", "nobody answers"))),
        ("approval.given-signed", signed(answer("approval.given", "ticket 7"))),
    ] {
        all.push((name.to_owned(), Event::Approval(Box::new(event))));
    }
    let (kind, by) = ("approval.answer_refused", over_the_api());
    let leaf = json(r#"{"answer":"approve","approval":"ap-7k3m9xq2vb","untold":3,"why":"signature-unfit"}"#);
    let refused = Administered { kind, by, leaf, payload: Json::default() };
    all.push((kind.to_owned(), Event::Administered(Box::new(refused))));
    log_keys(all);
}

/// A new key that signs the log.
fn log_keys(all: &mut Vec<(String, Event)>) {
    for (name, done) in [("log.key", ""), ("log.key-undone", r#""done":false,"#)] {
        let leaf = json(&format!(
            r#"{{"added":"example.com/gw1/e1+5eafcafe+AQ==",{done}"replaced":"example.com/gw1/e1+0bad0bad+AQ==","until":"2026-12-23T18:00:00Z"}}"#
        ));
        let event = Administered { kind: "log.key", by: over_the_api(), leaf, payload: Json::default() };
        all.push((name.to_owned(), Event::Administered(Box::new(event))));
    }
}
