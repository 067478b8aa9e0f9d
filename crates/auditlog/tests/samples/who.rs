//! Entries about who may do what: tokens that came by exchange or have an owner, and what is contained.

use super::*;

const EXCHANGED: &str = concat!(
    r#"{"actor_issuer":"mesh","actor_tok":"t-0a0a0a0a0a0a0a0a","consent":"may_act","expires":"2026-12-23T18:00:00Z","#,
    r#""for":"a-77aa0c1d2e3f4051","kind":"agent","owner":"o-5c6d7e8f90a1b2c3","person":"h-1f0a6c2b9d3e4f50","#,
    r#""subject_issuer":"corp","subject_tok":"t-0b0b0b0b0b0b0b0b","targets":["orders"],"tok":"t-0123456789abcdef"}"#
);
const EXCHANGED_DETAIL: &str = concat!(
    r#"{"actor":"triage-bot","actor_token":"mesh/j-1","id":"tok-acc4be3429fb4ef4","login":"triage-bot.3f09c2d1a4b5","#,
    r#""on_behalf_of":"ada@example.com","owner":"platform","subject_token":"corp/j-7"}"#
);

const SIGNED_IN: &str = concat!(
    r#"{"alg":"ES256","expires":"2026-11-24T02:00:00Z","for":"h-1f0a6c2b9d3e4f50","how":"device","kind":"human","#,
    r#""roles":["approver"],"subject_issuer":"corp","subject_tok":"t-0b0b0b0b0b0b0b0b","targets":["orders"],"#,
    r#""tok":"t-0123456789abcdef"}"#
);
const SIGNED_IN_DETAIL: &str = concat!(
    r#"{"id":"tok-acc4be3429fb4ef4","login":"in-ada.3f09c2d1a4b5","person":"corp/ada@example.com","#,
    r#""subject":"248289761001","subject_token":"corp/sha256:0f1e2d3c4b5a6978"}"#
);

/// Of a token that came by signing in.
fn signed_in(kind: &'static str) -> Event {
    let Event::Administered(mut event) = exchanged(kind) else { return exchanged(kind) };
    event.payload = json(SIGNED_IN_DETAIL);
    if kind != "identity.token_differs" {
        event.leaf = json(SIGNED_IN);
    }
    if kind == "identity.token_signed_in" {
        let person = link(IdentityKind::Human, "h-1f0a6c2b9d3e4f50", "corp/ada@example.com", Trust::Verified);
        event.by.chain = vec![
            person.clone(),
            link(IdentityKind::Token, "t-0b0b0b0b0b0b0b0b", "corp/sha256:0f1e2d3c4b5a6978", Trust::Verified),
        ];
        event.by.link = person;
        if let Some(client) = &mut event.by.client {
            client.method = "sign-in";
        }
    }
    Event::Administered(event)
}

const CERTIFICATE: &str = r#"{"cert":"c-0123456789abcdef","ends":"2026-11-29T19:00:00Z"}"#;
const CERTIFICATE_DETAIL: &str = concat!(
    r#"{"dns":["report.acme.example"],"email":["report@acme.example"],"name":"report","serial":"2a07","sha256":"5c6d7e8f","#,
    r#""uri":["spiffe://prod/report"]}"#
);

/// Of a token that came by exchange.
pub(super) fn exchanged(kind: &'static str) -> Event {
    let Event::Administered(mut event) = administered("identity.token_created") else {
        return administered("identity.token_created");
    };
    event.kind = kind;
    event.payload = json(EXCHANGED_DETAIL);
    if kind == "identity.token_differs" {
        event.leaf = json(r#"{"found":"changed","tok":"t-0123456789abcdef"}"#);
    } else {
        event.by = over_the_api();
        event.leaf = json(EXCHANGED);
    }
    Event::Administered(event)
}

/// A token with an owner.
pub(super) fn owned() -> Event {
    let Event::Administered(mut event) = administered("identity.token_created") else {
        return administered("identity.token_created");
    };
    event.leaf = json(&TOKEN.replace(r#""person""#, r#""owner":"o-5c6d7e8f90a1b2c3","person""#));
    event.payload = json(&TOKEN_DETAIL.replace('}', r#","owner":"platform"}"#));
    Event::Administered(event)
}

/// Opened with a token that came by exchange.
pub(super) fn for_a_person() -> SessionOpened {
    let exchanged = Identity {
        expires: Some(firsthand_model::time::UnixMicros(1_795_000_000_000_000)),
        owner: Some("platform".to_owned()),
        ..identity()
    };
    opened(Arc::new(SessionFacts { identity: Arc::new(exchanged), ..facts() }), vec![])
}

/// Opened by a client certificate.
pub(super) fn by_certificate() -> SessionOpened {
    let ends = firsthand_model::time::UnixMicros(1_795_000_000_000_000);
    let certificate = firsthand_model::identity::Certificate {
        ca: "mesh".to_owned(),
        issuer: "CN=mesh".to_owned(),
        serial: "2a07".to_owned(),
        subject: "CN=report, OU=jobs".to_owned(),
        sha256: "5c6d7e8f90a1b2c35c6d7e8f90a1b2c35c6d7e8f90a1b2c35c6d7e8f90a1b2c3".to_owned(),
        ends,
        kind: IdentityKind::Service,
        name: "mesh/report".to_owned(),
        chain: Vec::new().into(),
        digest: [0; 32],
        gives: [0; 32],
    };
    let shown = "mesh/sha256:5c6d7e8f90a1b2c3";
    let by_it = Identity {
        chain: vec![
            link(IdentityKind::Service, "s-0123456789abcdef", "mesh/report", Trust::Verified),
            link(IdentityKind::Certificate, "c-0123456789abcdef", shown, Trust::Verified),
        ],
        login: "mesh/report".to_owned(),
        subject: "s-0123456789abcdef".to_owned(),
        groups: vec!["mesh/jobs".to_owned()],
        expires: Some(ends),
        certificate: Some(Arc::new(certificate)),
        ..identity()
    };
    let mut event = opened(Arc::new(SessionFacts { identity: Arc::new(by_it), ..facts() }), vec![]);
    event.client.method = "certificate";
    event
}

/// What the gateway's own authority has done.
pub(super) fn authority(all: &mut Vec<(String, Event)>) {
    for (kind, leaf, detail) in [
        (
            "admin.ca_made",
            r#"{"ends":"2036-11-28T19:00:00Z"}"#,
            r#"{"name":"firsthand","sha256":"5c6d7e8f"}"#,
        ),
        ("admin.certificate_issued", CERTIFICATE, CERTIFICATE_DETAIL),
        ("admin.certificate_revoked", CERTIFICATE, CERTIFICATE_DETAIL),
        ("admin.certificate_failed", CERTIFICATE, CERTIFICATE_DETAIL),
    ] {
        let event = Administered { kind, by: over_the_api(), leaf: json(leaf), payload: json(detail) };
        all.push((kind.to_owned(), Event::Administered(Box::new(event))));
    }
    let listed = Administered {
        kind: "record.read",
        by: over_the_api(),
        leaf: json(r#"{"command":"ca list"}"#),
        payload: json(r#"{"certificates":1}"#),
    };
    all.push(("record.read-certificates".to_owned(), Event::Administered(Box::new(listed))));
}

/// What is contained, and what follows from it.
pub(super) fn contained(all: &mut Vec<(String, Event)>) {
    for kind in ["admin.contained", "admin.contain_lifted", "admin.contain_differs"] {
        all.push((kind.to_owned(), administered(kind)));
    }
    let session = r#"{"contained":"cn-7k3m9xq2vc","of":"session","session":"019ab27c-6e11-7abc-8def-0123456789ab","sessions":1,"tokens":0}"#;
    let one = Administered {
        kind: "admin.contained",
        by: over_the_api(),
        leaf: json(session),
        payload: json(r#"{"name":"019ab27c-6e11-7abc-8def-0123456789ab","reason":"ticket 7"}"#),
    };
    all.push(("admin.contained-remote".to_owned(), Event::Administered(Box::new(one))));
    let listed = Administered {
        kind: "record.read",
        by: over_the_api(),
        leaf: json(r#"{"command":"contain list"}"#),
        payload: json(r#"{"contained":1}"#),
    };
    all.push(("record.read-contained".to_owned(), Event::Administered(Box::new(listed))));
    let lifted = Administered {
        kind: "admin.contain_lifted",
        by: over_the_api(),
        leaf: json(
            r#"{"contained":"cn-7k3m9xq2vb","ids":["h-0123456789abcdef","a-0123456789abcdef","s-0123456789abcdef"],"of":"identity"}"#,
        ),
        payload: json(r#"{"name":"billing-bot","reason":"ticket 7 is closed"}"#),
    };
    all.push(("admin.contain_lifted-remote".to_owned(), Event::Administered(Box::new(lifted))));
    for (name, leaf, detail) in [
        (
            "admin.contain_lifted",
            r#"{"contained":"cn-7k3m9xq2vc","of":"session","session":"019ab27c-6e11-7abc-8def-0123456789ab"}"#,
            r#"{"name":"019ab27c-6e11-7abc-8def-0123456789ab","reason":""}"#,
        ),
        (
            "admin.contained",
            r#"{"contained":"cn-7k3m9xq2vd","of":"target","sessions":4,"target":"orders","tokens":0}"#,
            r#"{"name":"orders","reason":""}"#,
        ),
    ] {
        let event = Administered { kind: name, by: over_the_api(), leaf: json(leaf), payload: json(detail) };
        all.push((format!("{name}-other"), Event::Administered(Box::new(event))));
    }
    let revoked = Administered {
        kind: "identity.token_revoked",
        by: over_the_api(),
        leaf: json(&format!("{{\"contained\":\"cn-7k3m9xq2vb\",{}", &TOKEN[1..])),
        payload: json(TOKEN_DETAIL),
    };
    all.push(("identity.token_revoked-contained".to_owned(), Event::Administered(Box::new(revoked))));
    if let Some((_, Event::Approval(event))) =
        approvals().into_iter().find(|(name, _)| *name == "approval.withdrawn-elsewhere")
    {
        let withdrawn = ApprovalEvent {
            by: Some(over_the_api()),
            reason: "contained: cn-7k3m9xq2vb".to_owned(),
            ..*event
        };
        all.push(("approval.withdrawn-contained".to_owned(), Event::Approval(Box::new(withdrawn))));
    }
}

/// About a token that came by signing in.
pub(super) fn of_sign_in(all: &mut Vec<(String, Event)>) {
    for kind in [
        "identity.token_signed_in",
        "identity.token_failed",
        "identity.token_revoked",
        "identity.token_differs",
    ] {
        let name = if kind.ends_with("signed_in") { kind.to_owned() } else { format!("{kind}-signed_in") };
        all.push((name, signed_in(kind)));
    }
}

/// An export of evidence.
pub(super) const EXPORTED: (&str, &str, &str) = (
    "record.exported",
    r#"{"bytes":409600,"command":"evidence export","disclosed":7,"done":true,"entries":200,"erased":1,"from":"2026-11-01T00:00:00.000000Z","ids":["a-77aa0c1d2e3f4051"],"payloads":true,"scoped":9,"sha256":"abcd","target":"orders","to":"2026-12-01T00:00:00.000000Z","withheld":1}"#,
    r#"{"file":"evidence.tar","name":"night-agent"}"#,
);

pub(super) const TOKEN: &str = concat!(
    r#"{"expires":"2026-12-23T18:00:00Z","for":"a-77aa0c1d2e3f4051","kind":"agent","person":"h-1f0a6c2b9d3e4f50","#,
    r#""targets":["orders"],"tok":"t-0123456789abcdef"}"#
);
pub(super) const TOKEN_DETAIL: &str =
    r#"{"id":"tok-acc4be3429fb4ef4","login":"triage-bot","on_behalf_of":"ada@example.com"}"#;
