//! One event of every kind, with fixed facts: the golden files and the documentation are tested with them.

mod answers;
mod grants;
mod who;

use who::{TOKEN, TOKEN_DETAIL};

use std::sync::{Arc, OnceLock};

use firsthand_model::command::{Command, Effect, Effects, Shape, Step};
use firsthand_model::decision::{Decision, Obligations, Verdict};
use firsthand_model::event::*;
use firsthand_model::id::{CommandNumber, SessionId};
use firsthand_model::identity::{Claim, ClientFacts, Identity, IdentityKind, Link, Trust};
use firsthand_model::json::Json;
use firsthand_model::outcome::{AbandonReason, Outcome, Transaction};
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::{Facts, Relation};
use firsthand_model::target::{Durability, Mode};

pub(crate) const SESSION: SessionId = SessionId(0x019a_b27c_6e11_7abc_8def_0123_4567_89ab);

pub(crate) fn json(text: &str) -> Json {
    Json::from_written(text.as_bytes().to_vec())
}

pub(crate) fn link(kind: IdentityKind, id: &str, name: &str, trust: Trust) -> Link {
    Link { kind, id: id.to_owned(), name: name.to_owned(), trust }
}

pub(crate) fn identity() -> Identity {
    Identity {
        chain: vec![
            link(IdentityKind::Human, "h-1f0a6c2b9d3e4f50", "ada@example.com", Trust::Bound),
            link(IdentityKind::Agent, "a-77aa0c1d2e3f4051", "triage-bot", Trust::Bound),
            link(IdentityKind::Token, "t-0123456789abcdef", "triage-bot", Trust::Verified),
        ],
        login: "triage-bot".to_owned(),
        subject: "h-1f0a6c2b9d3e4f50".to_owned(),
        targets: vec!["orders".to_owned()],
        ..Identity::default()
    }
}

pub(crate) fn facts() -> SessionFacts {
    SessionFacts {
        id: SESSION,
        identity: Arc::new(identity()),
        target: "orders".to_owned(),
        database: "orders".to_owned(),
        session_role: "orders_rw".to_owned(),
        role: "orders_rw".to_owned(),
        backend_pid: 4711,
        server_version: "15.8".to_owned(),
        application: String::new(),
        durability: Durability::Strict,
        mode: Mode::Enforce,
        role_of: firsthand_model::session::RoleOf::Target,
        encoded: OnceLock::new(),
    }
}

/// Facts in which every optional field shows.
pub(crate) fn odd_facts() -> SessionFacts {
    let mut facts = facts().with_role("auditor");
    facts.durability = Durability::Relaxed;
    facts.mode = Mode::Observe;
    let mut identity = identity();
    identity.subject = "a-77aa0c1d2e3f4051".to_owned();
    facts.identity = Arc::new(identity);
    facts
}

pub(crate) fn client() -> ClientFacts {
    ClientFacts {
        address: "192.0.2.7:50123".to_owned(),
        tls: Some("TLSv1.3".to_owned()),
        method: "scram-sha-256-plus",
        protocol: "postgres 3.0".to_owned(),
    }
}

/// A table that is written by this name, and is this schema's.
pub(crate) fn resolved(written: &str, schema: &str) -> Facts {
    let (written, schema) = (written.to_owned(), schema.to_owned());
    let name = written.rsplit('.').next().unwrap_or_default().to_owned();
    Facts { writes: vec![Relation { written, schema, name, ..Relation::default() }], ..Facts::default() }
}

pub(crate) fn shape() -> Shape {
    Shape {
        tag: "DELETE".to_owned(),
        effects: Effects::only(Effect::Write),
        tables: vec!["payments".to_owned()],
        plain_read: false,
        coverage: vec!["tables-cut".to_owned()],
        facts: Some(Arc::new(resolved("payments", "shop"))),
    }
}

pub(crate) fn decided(facts: Arc<SessionFacts>) -> CommandDecided {
    CommandDecided {
        facts,
        number: CommandNumber(7),
        command: Command {
            step: Step::Run,
            via: "extended",
            shape: Arc::new(shape()),
            text: "delete from payments where id = $1 -- \"nächtlich\"".to_owned(),
            original_digest: None,
            original_bytes: 51,
            parameters: json(r#"[{"type":"int4","value":"42"},{"type":16501,"value":null}]"#),
            claims: json(
                r#"[{"name":"traceparent","value":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},{"name":"tool","value":"run_sql"}]"#,
            ),
            parameters_digest: None,
            names: json(r#"{"max_rows":100,"portal":"p1","statement":"s1"}"#),
            transaction: Transaction::Open,
            coverage: vec![],
            original: None,
            access: None,
        },
        decision: Decision {
            verdict: Verdict::Allow,
            rule: "token-targets".into(),
            reason: "".into(),
            advice: "".into(),
            policy: "built-in-1".into(),
            obligations: Arc::new(Obligations::default()),
            terms: None,
        },
        approval: None,
        grant: None,
        estimated_rows: None,
        permitted: true,
    }
}

/// Cancelled while it was held, at a target that is only observed.
fn cancelled_decision(facts: Arc<SessionFacts>) -> CommandDecided {
    let mut e = decided(facts);
    e.decision.verdict = Verdict::Hold;
    e.permitted = false;
    e
}

fn refused_decision(facts: Arc<SessionFacts>) -> CommandDecided {
    let mut e = decided(facts);
    e.number = CommandNumber(8);
    e.approval = Some("ap-12".to_owned());
    e.estimated_rows = Some(480);
    e.decision.verdict = Verdict::Deny;
    e.decision.reason = "Deletions need a ticket.".into();
    let mut shape = shape();
    shape.plain_read = true;
    shape.tables = (0..100).map(|i| format!("\"{}{i}\"", "\u{1}".repeat(40))).collect();
    let writes = shape.tables.iter().flat_map(|table| resolved(table, "shop").writes).collect();
    shape.facts = Some(Arc::new(Facts { writes, ..Facts::default() }));
    e.command.shape = Arc::new(shape);
    e.command.step = Step::Prepare;
    e.command.coverage = vec!["text-cut"];
    e.command.original_digest = Some([0xab; 32]);
    e.command.text = "\u{1}".repeat(200_000);
    e
}

pub(crate) fn completed(facts: Arc<SessionFacts>) -> CommandCompleted {
    CommandCompleted {
        facts,
        number: CommandNumber(7),
        intent: 1_000_006,
        outcome: Outcome {
            tag: "DELETE 1".to_owned(),
            rows: 1,
            bytes: 31,
            affected: Some(1),
            transaction: Transaction::Open,
            digest: Some([0xcd; 32]),
            columns: json(r#"[{"name":"id","type":"int4"},{"name":"note","type":"text"}]"#),
            inline_rows: json(r#"[["42",null]]"#),
            rows_kept: 1,
            notices: json(r#"[{"message":"one row","severity":"NOTICE"}]"#),
            ..Outcome::default()
        },
        before: Transaction::Open,
        duration_us: 1234,
    }
}

fn failed(facts: Arc<SessionFacts>) -> CommandCompleted {
    CommandCompleted {
        facts,
        number: CommandNumber(9),
        intent: 1_000_009,
        outcome: Outcome {
            tag: "delete, sort of".to_owned(),
            code: Some("42P01".to_owned()),
            error: json(REPORT),
            columns: json(r#"[{"format":"binary","masked":"agents-ids","name":"id","type":"int4"}]"#),
            notices: json(&format!("[{REPORT}]")),
            transaction: Transaction::Failed,
            suspended: true,
            inline_rows: json(&format!("[[\"{}\"]]", "x".repeat(400_000))),
            coverage: vec!["rows-past-cap"],
            ..Outcome::default()
        },
        before: Transaction::Open,
        duration_us: 99,
    }
}

fn copied(facts: Arc<SessionFacts>) -> CommandCompleted {
    let outcome = Outcome {
        tag: "COPY 3".to_owned(),
        rows: 3,
        bytes: 44,
        cells: Some(0),
        taken: true,
        affected: Some(3),
        ..Outcome::default()
    };
    CommandCompleted { outcome, ..completed(facts) }
}

fn opened(facts: Arc<SessionFacts>, coverage: Vec<&'static str>) -> SessionOpened {
    SessionOpened {
        facts,
        client: client(),
        claims: vec![Claim { name: "application_name".to_owned(), value: "mcp-postgres".to_owned() }],
        parameters: json(r#"[{"name":"client_encoding","value":"UTF8"}]"#),
        coverage,
        grant: None,
    }
}

/// Opened with the token of an issuer.
fn issued() -> SessionOpened {
    let vouched = Identity {
        issuer: Some("corp".to_owned()),
        groups: vec!["corp/dba".to_owned(), "corp/eng".to_owned()],
        expires: Some(firsthand_model::time::UnixMicros(1_795_000_000_000_000)),
        ..identity()
    };
    opened(Arc::new(SessionFacts { identity: Arc::new(vouched), ..facts() }), vec![])
}

fn refused(identity: bool) -> AdmissionRefused {
    AdmissionRefused {
        identity,
        by: None,
        why: if identity { "proof" } else { "unreachable" },
        login: "triage-bot".to_owned(),
        target: "orders".to_owned(),
        client: client(),
        detail: "connection refused".to_owned(),
        count: 1,
    }
}

fn refused_together() -> AdmissionRefused {
    AdmissionRefused {
        identity: false,
        by: None,
        why: "limit",
        login: String::new(),
        target: String::new(),
        client: ClientFacts::default(),
        detail: "990 connections gave way".to_owned(),
        count: 990,
    }
}

fn failed_together() -> AdmissionRefused {
    AdmissionRefused {
        identity: true,
        why: "rate",
        client: ClientFacts { address: "192.0.2.7".to_owned(), ..ClientFacts::default() },
        detail: "984 more were refused from this address within 61 s: unknown (984)".to_owned(),
        count: 984,
        ..refused_together()
    }
}

/// Facts, and the rest, of the administrative kinds.
const ADMINISTERED: [(&str, &str, &str); 17] = [
    (
        "admin.reloaded",
        r#"{"config":"3b0a","done":false,"policy":"built-in-1"}"#,
        r#"{"errors":["unknown key `adress`"]}"#,
    ),
    ("admin.session_killed", r#"{"session":"019ab27c-6e11-7abc-8def-0123456789ab"}"#, ""),
    ("admin.target_asked", r#"{"command":"policy explain","database":"orders","target":"orders"}"#, ""),
    (
        "admin.approval_differs",
        r#"{"approval":"ap-7k3m9xq2vb","done":true,"found":"not-given-in-record"}"#,
        "",
    ),
    (
        "admin.channel_sent",
        r#"{"approval":"ap-7k3m9xq2vb","channel":"chat","message":"msg_0a1b_12","occasion":"asked","text":true,"tries":2}"#,
        "",
    ),
    (
        "admin.channel_failed",
        r#"{"approval":"ap-7k3m9xq2vb","channel":"hook","message":"msg_0a1b_12","occasion":"asked","tries":6}"#,
        r#"{"why":"status 500"}"#,
    ),
    (
        "admin.channel_refused",
        r#"{"approval":"ap-7k3m9xq2vb","channel":"chat","found":"unknown-person"}"#,
        r#"{"theirs":"U024BE7LH","why":"nobody is called so here"}"#,
    ),
    (
        "admin.contained",
        r#"{"contained":"cn-7k3m9xq2vb","ids":["h-0123456789abcdef","a-0123456789abcdef","s-0123456789abcdef"],"of":"identity","sessions":2,"tokens":1}"#,
        r#"{"name":"billing-bot","reason":"ticket 7"}"#,
    ),
    (
        "admin.contain_lifted",
        r#"{"contained":"cn-7k3m9xq2vd","held":true,"of":"target","target":"orders"}"#,
        r#"{"name":"orders","reason":""}"#,
    ),
    (
        "admin.contain_differs",
        r#"{"contained":"cn-7k3m9xq2vb","done":true,"found":"contained-in-record"}"#,
        "",
    ),
    ("identity.token_created", TOKEN, TOKEN_DETAIL),
    (
        "identity.token_differs",
        r#"{"done":true,"found":"revoked-in-record","tok":"t-0123456789abcdef"}"#,
        TOKEN_DETAIL,
    ),
    ("identity.token_failed", TOKEN, TOKEN_DETAIL),
    ("identity.token_revoked", TOKEN, TOKEN_DETAIL),
    (
        "log.gap",
        r#"{"byte":4096,"epoch":2,"position":812,"segment":"000000000001-0000000000000000"}"#,
        r#"{"reason":"a bad sector"}"#,
    ),
    who::EXPORTED,
    (
        "record.read",
        r#"{"command":"log search"}"#,
        r#"{"commands":3,"entries":12,"expression":"table:payments","follow":true,"more":true,"session":"019ab27c","sessions":1,"since":"30d"}"#,
    ),
];
/// What the log says of itself, by kind.
const LOG: [(&str, &str); 7] = [
    ("log.clock", r#"{"step_us":3600000000}"#),
    ("log.heartbeat", r#"{"sessions":2,"size":813}"#),
    (
        "log.recovered",
        r#"{"clean":false,"cut_at":4096,"cut_bytes":17,"cut_why":"a torn frame","orphans":1,"sessions":1,"size":812}"#,
    ),
    ("log.sealed", r#"{"epoch":1,"first":0,"root":"abcd","size":812}"#),
    (
        "log.started",
        r#"{"by":"serve","config":"3b0a","policy":"built-in-1","separation":"none","signs":["firsthand.invalid/0101010101010101/e1+5eafcafe+AQ=="],"targets":1,"version":"0.1.0"}"#,
    ),
    ("log.stopped", r#"{"by":"serve"}"#),
    (
        "target.asked",
        r#"{"backend":4711,"database":"orders","session":"019ab27c-6e11-7abc-8def-0123456789ab","slot":"firsthand_019ab27c6e11_orders_0a1b2c3d","tables":["lines"],"target":"orders","what":"tables"}"#,
    ),
];

pub(crate) fn administered(kind: &'static str) -> Event {
    let found = ADMINISTERED.iter().find(|(name, ..)| *name == kind);
    // Without a sample it shows as an empty one in its golden file.
    let (_, leaf, payload) = found.copied().unwrap_or((kind, "{}", ""));
    Event::Administered(Box::new(Administered {
        kind,
        by: link(IdentityKind::Human, "h-9999999999999999", "root", Trust::Verified).into(),
        leaf: json(leaf),
        payload: if payload.is_empty() { Json::default() } else { json(payload) },
    }))
}

fn log(kind: &'static str) -> Event {
    let (_, leaf) = LOG.iter().find(|(name, _)| *name == kind).copied().unwrap_or((kind, "{}"));
    Event::Log(Box::new(LogEvent { kind, leaf: json(leaf) }))
}

/// Facts too long for a leaf.
fn long_facts() -> [(&'static str, Event); 2] {
    let long = "x".repeat(20_000);
    let mut read = Administered {
        kind: "record.read",
        by: link(IdentityKind::Human, "h-9999999999999999", "root", Trust::Verified).into(),
        leaf: json(&format!(r#"{{"command":"{long}"}}"#)),
        payload: json(&format!(r#"{{"expression":"{}"}}"#, long.repeat(30))),
    };
    read.by.link.trust = Trust::Claimed;
    let started = LogEvent { kind: "log.started", leaf: json(&format!(r#"{{"by":"{long}"}}"#)) };
    [
        ("record.read-long", Event::Administered(Box::new(read))),
        ("log.started-long", Event::Log(Box::new(started))),
    ]
}

/// What belongs to no command, by `what`.
const NOTED: [(&str, &str); 7] = [
    ("cancel", r#"{"from":"192.0.2.7:50124","held":false}"#),
    ("error", REPORT),
    ("notification", r#"{"channel":"jobs","payload":"1","pid":4712}"#),
    ("parameter", r#"{"name":"TimeZone","value":"UTC"}"#),
    ("refused", r#"{"code":"RF003","message":"too much at once"}"#),
    ("tripwire", r#"{"cmd":7,"code":"25006","message":"Firsthand ended this session"}"#),
    ("unknown-message", r#"{"type":"x"}"#),
];
/// A message with every field that is kept.
const REPORT: &str = concat!(
    r#"{"code":"23505","column":"id","constraint":"pk","context":"PL/pgSQL function f() line 3","detail":"Key exists.","#,
    r#""hint":"Choose another.","internal_query":"insert into t","message":"duplicate key","position":"8","#,
    r#""routine":"_bt_check_unique","schema":"public","severity":"ERROR","table":"t","type":"int4"}"#
);

/// Every kind once (`golden file name`, event), then the variants that show the rest of the fields.
pub(crate) fn all() -> Vec<(String, Event)> {
    let (f, odd) = (|| Arc::new(facts()), || Arc::new(odd_facts()));
    let abandoned = |facts| {
        Event::CommandAbandoned(Box::new(CommandAbandoned {
            facts,
            session: SESSION,
            number: CommandNumber(10),
            intent: 1_000_010,
            why: AbandonReason::TargetLost,
            forwarded: Some(true),
        }))
    };
    let noted = SessionNoted {
        facts: f(),
        what: "asked",
        detail: json(
            r#"{"role":"auditor","set":"default_transaction_read_only=on","text":"select current_user"}"#,
        ),
    };
    let closed = SessionClosed {
        facts: f(),
        why: "client",
        detail: "the client said goodbye".to_owned(),
        duration_us: 5_000_000,
        commands: 12,
    };
    let rows = CommandRows {
        facts: f(),
        number: CommandNumber(7),
        first_row: 100,
        rows: 2,
        columns: json(r#"[{"format":"binary","masked":"agents-ids","name":"id","type":"int4"}]"#),
        values: json(r#"[["1"],["2"]]"#),
    };
    let stream = StreamProgress { facts: f(), number: CommandNumber(7), bytes: 16 << 20, rows: 100_000 };
    let mut all = vec![
        ("command.abandoned".to_owned(), abandoned(Some(f()))),
        ("command.abandoned-crash".to_owned(), abandoned(None)),
        ("command.completed".to_owned(), Event::CommandCompleted(Box::new(completed(f())))),
        ("command.completed-failed".to_owned(), Event::CommandCompleted(Box::new(failed(odd())))),
        ("command.decided".to_owned(), Event::CommandDecided(Box::new(decided(f())))),
        ("command.decided-refused".to_owned(), Event::CommandDecided(Box::new(refused_decision(odd())))),
        ("command.rows".to_owned(), Event::CommandRows(Box::new(rows))),
        ("identity.refused".to_owned(), Event::Refused(Box::new(refused(true)))),
        ("session.closed".to_owned(), Event::SessionClosed(Box::new(closed))),
        ("session.noted".to_owned(), Event::SessionNoted(Box::new(noted))),
        ("session.opened".to_owned(), Event::SessionOpened(Box::new(opened(f(), vec![])))),
        (
            "session.opened-unobserved".to_owned(),
            Event::SessionOpened(Box::new(opened(odd(), vec!["unobserved"]))),
        ),
        ("session.refused".to_owned(), Event::Refused(Box::new(refused(false)))),
        ("stream".to_owned(), Event::Stream(Box::new(stream))),
    ];
    for kind in firsthand_auditlog::entry::kinds::KINDS {
        let event = match kind.name.split_once('.') {
            _ if OF_LATER.contains(&kind.name) => continue,
            Some(("log", "gap")) => administered(kind.name),
            Some(("log", _)) => log(kind.name),
            Some(("admin" | "record", _)) => administered(kind.name),
            Some(("identity", what)) if what != "refused" => administered(kind.name),
            _ => continue,
        };
        all.push((kind.name.to_owned(), event));
    }
    later(&mut all);
    answers::add(&mut all);
    all
}

/// Kinds whose samples came later, and one that has none.
const OF_LATER: [&str; 17] = [
    "log.key",
    "log.oversize",
    "admin.ca_made",
    "admin.certificate_failed",
    "admin.certificate_issued",
    "admin.certificate_revoked",
    "admin.channel_failed",
    "admin.channel_refused",
    "admin.channel_sent",
    "admin.target_asked",
    "admin.approval_differs",
    "admin.contained",
    "admin.contain_lifted",
    "admin.contain_differs",
    "identity.token_differs",
    "identity.token_exchanged",
    "identity.token_signed_in",
];

/// Later samples stand at the end: the position of each is in its file.
fn later(all: &mut Vec<(String, Event)>) {
    all.push(("session.refused-together".to_owned(), Event::Refused(Box::new(refused_together()))));
    let cancelled = Event::CommandDecided(Box::new(cancelled_decision(Arc::new(odd_facts()))));
    all.push(("command.decided-cancelled".to_owned(), cancelled));
    for (what, detail) in NOTED {
        let noted = SessionNoted { facts: Arc::new(facts()), what, detail: json(detail) };
        all.push((format!("session.noted-{what}"), Event::SessionNoted(Box::new(noted))));
    }
    all.extend(long_facts().map(|(name, event)| (name.to_owned(), event)));
    all.push(("command.changed".to_owned(), Event::CommandChanged(Box::new(changed(Arc::new(facts()))))));
    all.push(("target.asked".to_owned(), log("target.asked")));
    all.push(("identity.refused-together".to_owned(), Event::Refused(Box::new(failed_together()))));
    all.push(("admin.target_asked".to_owned(), administered("admin.target_asked")));
    all.extend(transactions().map(|(name, event)| (name.to_owned(), event)));
    for kind in [
        "record.read",
        "identity.token_created",
        "identity.token_revoked",
        "admin.session_killed",
        "identity.token_failed",
    ] {
        all.push((format!("{kind}-remote"), remote(kind)));
    }
    let by = over_the_api();
    let asked = AdmissionRefused {
        why: "role",
        target: String::new(),
        client: by.client.clone().unwrap_or_default(),
        detail: "its role does not let it POST /v1/tokens".to_owned(),
        by: Some(by),
        ..refused(false)
    };
    all.push(("session.refused-request".to_owned(), Event::Refused(Box::new(asked))));
    let copied = Event::CommandCompleted(Box::new(copied(Arc::new(facts()))));
    all.push(("command.completed-copied".to_owned(), copied));
    let detail = json(r#"{"cmd":7,"limit":"agents-time","most":300000000,"of":"time"}"#);
    let noted = SessionNoted { facts: Arc::new(facts()), what: "limit", detail };
    all.push(("session.noted-limit".to_owned(), Event::SessionNoted(Box::new(noted))));
    all.push(("identity.token_differs".to_owned(), administered("identity.token_differs")));
    let detail =
        json(r#"{"code":"00000","coverage":["messages-cut"],"message":"a long one","severity":"NOTICE"}"#);
    let noted = SessionNoted { facts: Arc::new(facts()), what: "notice", detail };
    all.push(("session.noted-cut".to_owned(), Event::SessionNoted(Box::new(noted))));
    all.push(("session.opened-issued".to_owned(), Event::SessionOpened(Box::new(issued()))));
    all.extend(approvals().map(|(name, event)| (name.to_owned(), event)));
    all.push(("admin.approval_differs".to_owned(), administered("admin.approval_differs")));
    for kind in [
        "identity.token_exchanged",
        "identity.token_failed",
        "identity.token_revoked",
        "identity.token_differs",
    ] {
        let name = if kind.ends_with("exchanged") { kind.to_owned() } else { format!("{kind}-exchanged") };
        all.push((name, who::exchanged(kind)));
    }
    all.push(("identity.token_created-owned".to_owned(), who::owned()));
    all.push(("session.opened-exchanged".to_owned(), Event::SessionOpened(Box::new(who::for_a_person()))));
    who::contained(all);
    let detail = json(
        r#"{"application_name":"firsthand 019ab27c-6e11-7abc-8def-0123456789ab","role":"orders_rw","text":"select current_user"}"#,
    );
    let noted = SessionNoted { facts: Arc::new(facts()), what: "asked", detail };
    all.push(("session.noted-named".to_owned(), Event::SessionNoted(Box::new(noted))));
    who::of_sign_in(all);
    let opened = Event::SessionOpened(Box::new(who::by_certificate()));
    all.push(("session.opened-certificate".to_owned(), opened));
    who::authority(all);
    channels(all);
    grants::add(all);
}

fn channels(all: &mut Vec<(String, Event)>) {
    for kind in ["admin.channel_sent", "admin.channel_failed", "admin.channel_refused"] {
        all.push((kind.to_owned(), administered(kind)));
    }
    all.push(("admin.channel_refused-remote".to_owned(), answered_over_a_channel()));
}

/// An answer that came over a channel and did not count: by the channel itself.
fn answered_over_a_channel() -> Event {
    let Event::Administered(mut event) = administered("admin.channel_refused") else {
        return administered("admin.channel_refused");
    };
    let own = link(IdentityKind::Service, "s-77aa0c1d2e3f4051", "channel:chat", Trust::Verified);
    let client = over_the_api().client.map(|client| ClientFacts { method: "slack", ..client });
    event.by = By { link: own.clone(), chain: vec![own], client };
    Event::Administered(event)
}

/// Who asks over the API.
fn over_the_api() -> By {
    By {
        link: link(IdentityKind::Agent, "a-77aa0c1d2e3f4051", "triage-bot", Trust::Bound),
        chain: identity().chain,
        client: Some(ClientFacts {
            address: "192.0.2.7:50124".to_owned(),
            tls: Some("TLSv1.3".to_owned()),
            method: "bearer",
            protocol: "http/1.1".to_owned(),
        }),
    }
}

/// The same, asked over the API.
fn remote(kind: &'static str) -> Event {
    let Event::Administered(mut event) = administered(kind) else { return administered(kind) };
    event.by = over_the_api();
    (event.leaf, event.payload) = match kind {
        "record.read" => (event.leaf, json(r#"{"approval":"ap-7k3m9xq2vb","approvals":2,"tokens":2}"#)),
        "admin.session_killed" => (event.leaf, event.payload),
        _ => (json(&TOKEN.replace(r#""targets""#, r#""roles":["auditor"],"targets""#)), event.payload),
    };
    Event::Administered(event)
}

fn transactions() -> [(&'static str, Event); 4] {
    let of =
        |xid| Transactional { facts: Arc::new(facts()), xid, from: CommandNumber(7), to: CommandNumber(9) };
    let lsn = "0/16B3748".to_owned();
    let changed = TransactionChanged {
        of: of(Some(4_294_967_999)),
        lsn: lsn.clone(),
        table: "public.orders".to_owned(),
        action: "update",
        first: 0,
        rows: 1,
        count: Some(1),
        coverage: vec!["changed-rows:past-cap"],
        columns: json(
            r#"[{"key":true,"name":"id","type":"integer"},{"masked":"finance","name":"total","type":"numeric"}]"#,
        ),
        old: json(r#"[["42","0"]]"#),
        new: json(r#"[["42","0"]]"#),
    };
    let named = |xid, coverage| Event::TransactionNamed(Box::new(TransactionNamed { of: of(xid), coverage }));
    let ended = TransactionEnded {
        of: of(Some(4_294_967_999)),
        how: "committed",
        lsn,
        changes: 1,
        coverage: vec!["changed-rows:past-cap"],
    };
    [
        ("transaction.named", named(Some(4_294_967_999), vec![])),
        ("transaction.named-not", named(None, vec!["changed-rows:unattributed"])),
        ("transaction.changed", Event::TransactionChanged(Box::new(changed))),
        ("transaction.ended", Event::TransactionEnded(Box::new(ended))),
    ]
}

fn changed(facts: Arc<SessionFacts>) -> CommandChanged {
    CommandChanged {
        facts,
        number: CommandNumber(7),
        table: "public.orders".to_owned(),
        action: "update",
        how: "returning",
        first: 0,
        rows: 1,
        count: Some(1),
        coverage: vec!["changed-rows:past-cap"],
        columns: json(
            r#"[{"key":true,"name":"id","type":"int4"},{"masked":"finance","name":"total","type":"numeric"}]"#,
        ),
        old: json(r#"[["42","0"]]"#),
        new: json(r#"[["42","0"]]"#),
    }
}

/// A command as `pgbench -S` asks them.
pub(crate) fn bench_decided(facts: Arc<SessionFacts>) -> CommandDecided {
    let mut e = decided(facts);
    e.command.via = "simple";
    e.command.shape = Arc::new(Shape {
        tag: "SELECT".to_owned(),
        effects: Effects::only(Effect::Read),
        tables: vec!["pgbench_accounts".to_owned()],
        plain_read: true,
        coverage: vec![],
        facts: None,
    });
    e.command.text = "SELECT abalance FROM pgbench_accounts WHERE aid = 1234567;".to_owned();
    e.command.parameters = Json::default();
    e.command.names = Json::default();
    e
}

/// And its outcome.
pub(crate) fn bench_completed(facts: Arc<SessionFacts>) -> CommandCompleted {
    let mut e = completed(facts);
    e.outcome.tag = "SELECT 1".to_owned();
    e.outcome.affected = None;
    e.outcome.columns = json(r#"[{"name":"abalance","type":"int4"}]"#);
    e.outcome.inline_rows = json(r#"[["0"]]"#);
    e.outcome.notices = Json::default();
    e
}

fn asked_digest() -> Option<String> {
    Some("ab".repeat(32))
}

/// An approval from its asking to its end, in all the ways.
fn approvals() -> [(&'static str, Event); 11] {
    let of = |kind: &'static str| ApprovalEvent {
        kind,
        id: "ap-7k3m9xq2vb".to_owned(),
        facts: None,
        session: SESSION,
        number: CommandNumber(7),
        by: None,
        digest: None,
        rule: "agents-write-held".to_owned(),
        quorum: 2,
        given: None,
        text: String::new(),
        parameters: Json::default(),
        reason: String::new(),
        preview: Json::default(),
        grant: None,
        signed: None,
    };
    let of_session = |kind| ApprovalEvent { facts: Some(Arc::new(facts())), ..of(kind) };
    let asked = ApprovalEvent {
        digest: asked_digest(),
        text: "delete from payments where id = $1".to_owned(),
        parameters: json(r#"[{"type":"int4","value":"42"}]"#),
        reason: "A person must approve what an agent writes (write public.payments)".to_owned(),
        ..of_session("approval.asked")
    };
    let preview = concat!(
        r#"{"changes":[{"action":"delete","count":2,"table":"public.payments"},"#,
        r#"{"action":"delete","along":true,"count":6,"table":"public.lines"}],"count":2,"how":"exact","#,
        r#""sample":{"action":"delete","columns":[{"key":true,"name":"id","type":"int4"},"#,
        r#"{"masked":"iban","name":"iban","type":"text"}],"coverage":["changed-rows:past-cap"],"#,
        r#""new":[["41","***"]],"old":[["41","***"]],"rows":1,"table":"public.payments"},"#,
        r#""why":"The rows of what goes along are counted only."}"#,
    );
    let previewed = ApprovalEvent { preview: json(preview), ..of_session("approval.previewed") };
    let relaxed = ApprovalEvent { facts: Some(Arc::new(odd_facts())), ..of("approval.spent") };
    let local = link(IdentityKind::Human, "h-00ff00ff00ff00ff", "local:grace", Trust::Verified);
    let given = ApprovalEvent { by: Some(local.into()), given: Some(1), ..of("approval.given") };
    let by = Some(over_the_api());
    let remote = ApprovalEvent {
        by: by.clone(),
        given: Some(2),
        reason: "ticket 7".to_owned(),
        ..of("approval.given")
    };
    let cut = ApprovalEvent {
        text: "\u{1}".repeat(200_000),
        facts: Some(Arc::new(odd_facts())),
        digest: asked_digest(),
        ..of("approval.asked")
    };
    let refused =
        ApprovalEvent { by, given: Some(0), reason: "not on a Friday".to_owned(), ..of("approval.refused") };
    let boxed = |e| Event::Approval(Box::new(e));
    [
        ("approval.asked", boxed(asked)),
        ("approval.previewed", boxed(previewed)),
        ("approval.given", boxed(given)),
        ("approval.refused", boxed(refused)),
        ("approval.expired", boxed(of("approval.expired"))),
        ("approval.withdrawn", boxed(of_session("approval.withdrawn"))),
        ("approval.withdrawn-elsewhere", boxed(of("approval.withdrawn"))),
        ("approval.spent", boxed(of_session("approval.spent"))),
        ("approval.spent-relaxed", boxed(relaxed)),
        ("approval.given-remote", boxed(remote)),
        ("approval.asked-cut", boxed(cut)),
    ]
}
