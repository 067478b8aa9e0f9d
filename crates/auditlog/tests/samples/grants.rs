//! Grants, from their asking to their ends; and what names one.

use firsthand_model::grant::GrantFacts;

use super::*;

fn of(kind: &'static str) -> ApprovalEvent {
    let chain = identity().chain.into_iter().filter(|link| !link.kind.proves()).collect();
    ApprovalEvent {
        kind,
        id: "gr-7k3m9xq2vb".to_owned(),
        facts: None,
        session: SESSION,
        number: CommandNumber(7),
        by: None,
        digest: None,
        rule: String::new(),
        quorum: 1,
        given: None,
        text: String::new(),
        parameters: Json::default(),
        reason: String::new(),
        preview: Json::default(),
        grant: Some(Box::new(GrantFacts {
            of: chain,
            target: "orders".to_owned(),
            database: "orders".to_owned(),
            effects: Effects::only(Effect::Read).and(Effect::Write),
            tables: vec!["public.orders".to_owned(), "billing.*".to_owned()],
            lasts_us: 7_200_000_000,
            commands: Some(20),
        })),
        signed: None,
    }
}

pub(super) fn add(all: &mut Vec<(String, Event)>) {
    let asked = ApprovalEvent {
        by: Some(over_the_api()),
        digest: asked_digest(),
        reason: "ticket 7: late orders".to_owned(),
        session: SessionId(0),
        number: CommandNumber(0),
        ..of("grant.asked")
    };
    let in_session = ApprovalEvent {
        by: Some(By { client: None, ..over_the_api() }),
        digest: asked_digest(),
        reason: "ticket 7".to_owned(),
        grant: Some(Box::new(GrantFacts {
            target: "orders".to_owned(),
            database: "orders".to_owned(),
            effects: Effects::only(Effect::Read),
            lasts_us: 60_000_000,
            ..GrantFacts::default()
        })),
        ..of("grant.asked")
    };
    let given = ApprovalEvent {
        by: Some(over_the_api()),
        given: Some(1),
        reason: "ok".to_owned(),
        ..of("grant.given")
    };
    let refused = ApprovalEvent {
        by: Some(over_the_api()),
        given: Some(0),
        reason: "not on a Friday".to_owned(),
        ..of("grant.refused")
    };
    let revoked =
        ApprovalEvent { by: Some(over_the_api()), reason: "done".to_owned(), ..of("grant.revoked") };
    for (name, event) in [
        ("grant.asked", asked),
        ("grant.asked-in-session", in_session),
        ("grant.given", given),
        ("grant.refused", refused),
        ("grant.revoked", revoked),
        ("grant.expired", of("grant.expired")),
        ("grant.ended", of("grant.ended")),
        ("grant.used_up", of("grant.used_up")),
    ] {
        all.push((name.to_owned(), Event::Approval(Box::new(event))));
    }
    let read = Administered {
        kind: "record.read",
        by: over_the_api(),
        leaf: json(r#"{"command":"grants show"}"#),
        payload: json(r#"{"grant":"gr-7k3m9xq2vb","grants":2}"#),
    };
    all.push(("record.read-grants".to_owned(), Event::Administered(Box::new(read))));
    let detail = json(r#"{"grant":"gr-7k3m9xq2vb","why":"has ended"}"#);
    let noted = SessionNoted { facts: Arc::new(facts()), what: "grant", detail };
    all.push(("session.noted-grant".to_owned(), Event::SessionNoted(Box::new(noted))));
    let facts = Arc::new(facts());
    let under = CommandDecided { grant: Some(Arc::from("gr-7k3m9xq2vb")), ..decided(Arc::clone(&facts)) };
    all.push(("command.decided-granted".to_owned(), Event::CommandDecided(Box::new(under))));
    let opened = SessionOpened { grant: Some(Arc::from("gr-7k3m9xq2vb")), ..opened(facts, Vec::new()) };
    all.push(("session.opened-granted".to_owned(), Event::SessionOpened(Box::new(opened))));
    roles(all);
}

/// Of the login roles that grants have.
fn roles(all: &mut Vec<(String, Event)>) {
    for (kind, leaf) in ROLES {
        all.push((kind.to_owned(), Event::Log(Box::new(LogEvent { kind, leaf: json(leaf) }))));
    }
    let leaf =
        json(r#"{"database":"orders","role":"fh_grant_7k3m9xq2vb_0a1b2c","target":"orders","what":"role"}"#);
    let asked = LogEvent { kind: "target.asked", leaf };
    all.push(("target.asked-role".to_owned(), Event::Log(Box::new(asked))));
}

/// What becomes of the login roles that grants have of their own.
const ROLES: [(&str, &str); 4] = [
    (
        "role.made",
        r#"{"connections":10,"grant":"gr-7k3m9xq2vb","group":"orders_rw","role":"fh_grant_7k3m9xq2vb_0a1b2c","target":"orders","until":1782201600000000}"#,
    ),
    (
        "role.dropped",
        r#"{"grant":"gr-7k3m9xq2vb","reassigned":["orders"],"role":"fh_grant_7k3m9xq2vb_0a1b2c","shut":1,"shut_functions":["public.how_many()"],"target":"orders"}"#,
    ),
    (
        "role.swept",
        r#"{"grant":"gr-7k3m9xq2vb","reassigned":[],"role":"fh_grant_7k3m9xq2vb_0a1b2c","shut":1,"shut_functions":["public.how_many()"],"target":"orders"}"#,
    ),
    (
        "role.failed",
        r#"{"grant":"gr-7k3m9xq2vb","target":"orders","what":"make","why":"role fh_admin may not make roles"}"#,
    ),
];
