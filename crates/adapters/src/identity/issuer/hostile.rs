//! Tokens that must not let anybody in, each with what is said of it; and tokens of real workloads that must.

use std::sync::Arc;

use aws_lc_rs::hmac;
use firsthand_model::identity::{Identity, IdentityKind, Role};
use firsthand_model::time::UnixMicros;
use firsthand_session::port::{BoxFuture, Clock};
use serde_json::{Value, json};

use super::fault::Fault;
use super::keys::Algorithm;
use super::mint::{NOW, Signer, ada, b64, corp};
use super::ring::{Fetch, Issuers};
use super::spec::{Allow, ClaimPath, Condition, IssuerSpec};
use crate::clock::SystemClock;

struct Nothing;

impl Fetch for Nothing {
    fn fetch<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a std::path::Path>,
    ) -> BoxFuture<'a, Result<Vec<u8>, String>> {
        Box::pin(std::future::ready(Err("nothing is fetched here".to_owned())))
    }
}

fn issuers(specs: Vec<IssuerSpec>) -> Issuers {
    let pseudonym = Arc::new(|kind: IdentityKind, name: &str| format!("{}-{name}", kind.word()));
    let clock: Box<dyn Clock> = Box::new(SystemClock::start());
    Issuers::new(specs, Box::new(Nothing), clock, pseudonym)
}

fn at(seconds: u64) -> UnixMicros {
    UnixMicros(seconds * 1_000_000)
}

fn look(spec: &IssuerSpec, token: &str) -> Result<Identity, Fault> {
    issuers(vec![spec.clone()]).identify(token, None, at(NOW))
}

/// `ada`'s claims with these changed; `null` takes one away.
fn but(changes: Value) -> Value {
    let mut claims = ada();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

#[test]
fn a_token_of_each_algorithm_is_accepted_and_a_header_says_nothing_of_keys() {
    for algorithm in Algorithm::ALL {
        let signer = Signer::new("k1", algorithm);
        let spec = corp(&[&signer]);
        let header = json!({ "alg": algorithm.word(), "kid": "k1" });
        let identity = look(&spec, &signer.with_header(&header, &ada())).unwrap();
        assert_eq!(identity.login, "corp/ada", "{algorithm:?}");
        let evil = Signer::new("k1", algorithm);
        for (name, value) in [
            ("jwk", evil.jwk()),
            ("jku", json!("https://evil.example/keys")),
            ("x5u", json!("https://evil.example/cert")),
            ("x5c", json!([b64(&evil.public_der())])),
        ] {
            let mut header = header.clone();
            header[name] = value;
            assert_eq!(look(&spec, &evil.with_header(&header, &ada())), Err(Fault::Signature), "{name}");
            assert!(look(&spec, &signer.with_header(&header, &ada())).is_ok(), "{name} is not looked at");
        }
    }
}

#[test]
fn headers_that_do_not_count_are_refused() {
    let (rsa, ec) = (Signer::new("r", Algorithm::Rs256), Signer::new("e", Algorithm::Es256));
    let spec = corp(&[&rsa, &ec]);
    let unsigned = |header: Value| {
        format!("{}.{}.", b64(header.to_string().as_bytes()), b64(ada().to_string().as_bytes()))
    };
    for none in ["none", "None", "NONE", "nOnE"] {
        assert_eq!(look(&spec, &unsigned(json!({ "alg": none }))), Err(Fault::Form), "no signature at all");
        let with = format!("{}AAAA", unsigned(json!({ "alg": none, "kid": "r" })));
        assert_eq!(look(&spec, &with), Err(Fault::Algorithm), "{none}");
    }
    // Signed with what everybody knows, as though it were a secret.
    let hs = |key: &[u8]| {
        let head = b64(br#"{"alg":"HS256","kid":"r","typ":"JWT"}"#);
        let signed = format!("{head}.{}", b64(ada().to_string().as_bytes()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes());
        format!("{signed}.{}", b64(tag.as_ref()))
    };
    for key in [rsa.public_der(), rsa.jwk().to_string().into_bytes(), Vec::new()] {
        assert_eq!(look(&spec, &hs(&key)), Err(Fault::Algorithm));
    }
    let of = |header: Value| look(&spec, &ec.with_header(&header, &ada()));
    for (header, fault) in [
        (json!({ "alg": "ES256", "kid": "r" }), Fault::Key),
        (json!({ "alg": "RS256", "kid": "e" }), Fault::Key),
        (json!({ "alg": "RS256", "kid": "r" }), Fault::Signature),
        (json!({ "alg": "PS256", "kid": "r" }), Fault::Signature),
        (json!({ "alg": "es256", "kid": "e" }), Fault::Algorithm),
        (json!({ "alg": "ES384", "kid": "e" }), Fault::Algorithm),
        (json!({ "alg": ["ES256"], "kid": "e" }), Fault::Algorithm),
        (json!({ "kid": "e" }), Fault::Algorithm),
        (json!({ "alg": "ES256", "kid": "x" }), Fault::Key),
        (json!({ "alg": "ES256", "kid": 7 }), Fault::Key),
        (json!({ "alg": "ES256", "kid": "e\u{0}" }), Fault::Key),
        (json!({ "alg": "ES256", "kid": "../../etc/passwd" }), Fault::Key),
        (json!({ "alg": "ES256", "kid": "k".repeat(600) }), Fault::Key),
        (json!({ "alg": "ES256", "kid": "e", "crit": ["b64"], "b64": false }), Fault::Critical),
        (json!({ "alg": "ES256", "kid": "e", "crit": [] }), Fault::Critical),
        (json!({ "alg": "ES256", "kid": "e", "typ": "logout+jwt" }), Fault::Type),
        (json!({ "alg": "ES256", "kid": "e", "typ": "dpop+jwt" }), Fault::Type),
        (json!({ "alg": "ES256", "kid": "e", "typ": 1 }), Fault::Type),
        (json!({ "alg": "ES256", "kid": "e", "x": "y".repeat(7000) }), Fault::Size),
    ] {
        assert_eq!(of(header.clone()), Err(fault), "{header}");
    }
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt", "JOSE"] {
        assert!(of(json!({ "alg": "ES256", "kid": "e", "typ": typ })).is_ok(), "{typ}");
    }
    assert!(of(json!({ "alg": "ES256" })).is_ok(), "the only key of its kind");
    let narrow = IssuerSpec { algorithms: vec![Algorithm::Rs256], ..spec.clone() };
    assert_eq!(look(&narrow, &ec.token(&ada())), Err(Fault::Algorithm), "not allowed for this issuer");
}

#[test]
fn claims_that_do_not_hold_are_refused() {
    let signer = Signer::new("k", Algorithm::Es256);
    let spec = corp(&[&signer]);
    for (changes, fault) in [
        (json!({ "aud": null }), Fault::Audience),
        (json!({ "aud": "other" }), Fault::Audience),
        (json!({ "aud": "Firsthand" }), Fault::Audience),
        (json!({ "aud": [] }), Fault::Audience),
        (json!({ "aud": ["firsthand", 7] }), Fault::Audience),
        (json!({ "aud": { "firsthand": true } }), Fault::Audience),
        (json!({ "iss": null }), Fault::Issuer),
        (json!({ "iss": "https://id.corp.example/" }), Fault::Issuer),
        (json!({ "iss": ["https://id.corp.example"] }), Fault::Issuer),
        (json!({ "exp": null }), Fault::Claim),
        (json!({ "exp": (NOW + 600).to_string() }), Fault::Claim),
        (json!({ "exp": -1 }), Fault::Claim),
        (json!({ "exp": 1e300 }), Fault::Claim),
        (json!({ "exp": u64::MAX }), Fault::Claim),
        (json!({ "exp": NOW - 61 }), Fault::Expired),
        (json!({ "exp": NOW - 60 }), Fault::Expired),
        (json!({ "exp": 0 }), Fault::Expired),
        (json!({ "nbf": NOW + 61 }), Fault::Early),
        (json!({ "iat": NOW + 61 }), Fault::Early),
        (json!({ "nbf": "soon" }), Fault::Claim),
        (json!({ "iat": NOW - 86_500 }), Fault::Age),
        (json!({ "iat": null, "exp": NOW + 86_600 }), Fault::Age),
        (json!({ "sub": null }), Fault::Claim),
        (json!({ "sub": "" }), Fault::Claim),
        (json!({ "sub": 7 }), Fault::Claim),
        (json!({ "sub": "a\nb" }), Fault::Claim),
        (json!({ "sub": "a".repeat(300) }), Fault::Claim),
        (json!({ "groups": ["dba", 7] }), Fault::Claim),
        (json!({ "groups": vec!["g"; 300] }), Fault::Claim),
        (json!({ "cnf": { "jkt": "x" } }), Fault::Bound),
        (json!({ "act": "bot" }), Fault::Claim),
        (json!({ "act": {} }), Fault::Claim),
        (json!({ "act": { "sub": "bot", "iss": 7 } }), Fault::Claim),
        (json!({ "more": "x".repeat(9000) }), Fault::Size),
    ] {
        assert_eq!(look(&spec, &signer.token(&but(changes.clone()))), Err(fault), "{changes}");
    }
    for changes in [
        json!({ "exp": NOW - 59 }),
        json!({ "exp": (NOW + 5) as f64 + 0.5 }),
        json!({ "nbf": NOW + 60, "iat": NOW + 60 }),
        json!({ "nbf": null, "iat": null }),
        json!({ "aud": ["other", "firsthand"] }),
        json!({ "groups": null }),
        json!({ "groups": "one" }),
    ] {
        assert!(look(&spec, &signer.token(&but(changes.clone()))).is_ok(), "{changes}");
    }
    let deep = (0..6).fold(json!({ "sub": "a" }), |act, _| json!({ "sub": "a", "act": act }));
    assert_eq!(
        look(&spec, &signer.token(&but(json!({ "act": deep })))),
        Err(Fault::Claim),
        "too long a chain"
    );
}

#[test]
fn what_stands_twice_is_refused_even_when_it_is_signed() {
    let signer = Signer::new("k", Algorithm::Es256);
    let spec = corp(&[&signer]);
    let (header, claims) = (r#"{"alg":"ES256","kid":"k"}"#, ada().to_string());
    assert!(look(&spec, &signer.sign_text(header, &claims)).is_ok());
    for twice in [r#""sub":"eve","#, r#""exp":9999999999,"#, r#""\u0061ud":"firsthand","#] {
        let claims = claims.replacen('{', &format!("{{{twice}"), 1);
        assert_eq!(look(&spec, &signer.sign_text(header, &claims)), Err(Fault::Json), "{twice}");
    }
    let header = r#"{"alg":"none","alg":"ES256","kid":"k"}"#;
    assert_eq!(look(&spec, &signer.sign_text(header, &claims)), Err(Fault::Json));
}

#[test]
fn another_issuer_with_a_key_of_the_same_name_proves_nothing_here() {
    let (ours, theirs) = (Signer::new("same", Algorithm::Es256), Signer::new("same", Algorithm::Es256));
    let other = IssuerSpec {
        name: "other".to_owned(),
        url: "https://other.example".to_owned(),
        prefix: "other/".to_owned(),
        ..corp(&[&theirs])
    };
    let both = issuers(vec![corp(&[&ours]), other]);
    let identify = |token: &str| both.identify(token, None, at(NOW)).map(|i| i.login);
    assert_eq!(identify(&ours.token(&ada())), Ok("corp/ada".to_owned()));
    assert_eq!(identify(&theirs.token(&ada())), Err(Fault::Signature), "its key, our name");
    let theirs_of_them = theirs.token(&but(json!({ "iss": "https://other.example" })));
    assert_eq!(identify(&theirs_of_them), Ok("other/ada".to_owned()), "another ada");
    assert_eq!(identify(&ours.token(&but(json!({ "iss": "https://other.example" })))), Err(Fault::Signature));
}

#[test]
fn no_token_that_was_changed_anywhere_is_accepted_and_nothing_breaks() {
    let signer = Signer::new("k", Algorithm::Es256);
    let issuers = issuers(vec![corp(&[&signer])]);
    let token = signer.token(&ada());
    let look = |token: &str| issuers.identify(token, None, at(NOW));
    assert!(look(&token).is_ok());
    for at in 0..token.len() {
        assert!(look(&token[..at]).is_err(), "cut at {at}");
        let (before, after) = (&token[..at], &token[at + 1..]);
        for other in ["A", "_", ".", "=", " ", "\u{0}", "é", ""] {
            if token[at..=at] != *other {
                assert!(look(&format!("{before}{other}{after}")).is_err(), "{other:?} at {at}");
            }
        }
    }
    for (text, fault) in [
        ("".to_owned(), Fault::Form),
        (".".to_owned(), Fault::Form),
        ("..".to_owned(), Fault::Form),
        ("...".to_owned(), Fault::Form),
        (".".repeat(8000), Fault::Form),
        (".".repeat(1_000_000), Fault::Size),
        (format!("{token}."), Fault::Form),
        (format!("{token}.{token}"), Fault::Form),
        (format!("{token}\n"), Fault::Form),
        (format!("{token}=="), Fault::Form),
        (format!("{}.{}", b64(b"{}"), b64(b"{}")), Fault::Form),
        (format!("{}.{}.{}", b64(b"[]"), b64(b"{}"), b64(b"x")), Fault::Json),
        (format!("{}.{}.{}", b64(b"{}"), b64(b"{}"), b64(b"x")), Fault::Algorithm),
        (format!("{}.{}.{}", b64(br#"{"alg":"ES256"}"#), b64(b"{}"), b64(b"x")), Fault::Issuer),
    ] {
        assert_eq!(look(&text), Err(fault), "{:.40}", text);
    }
    // The same signature, written otherwise: of the last character only some bits count.
    let last = token.pop_last();
    let variants = ('A'..='z').filter(|c| c.is_ascii_alphanumeric() && *c != last.1);
    for c in variants {
        assert!(look(&format!("{}{c}", last.0)).is_err(), "{c}");
    }
}

trait PopLast {
    fn pop_last(&self) -> (&str, char);
}

impl PopLast for String {
    fn pop_last(&self) -> (&str, char) {
        let last = self.chars().next_back().unwrap();
        (&self[..self.len() - last.len_utf8()], last)
    }
}

#[test]
fn the_example_of_rfc_7515_has_the_signature_that_it_says() {
    // Appendix A.3: signed by somebody else's code.
    let key = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let jws = super::jws::Jws::read(token).unwrap();
    let keys = super::keys::KeySet::read(key.as_bytes()).unwrap();
    assert!(jws.is_signed_by(keys.find(None, Algorithm::Es256).unwrap()));
    assert_eq!(jws.claims["iss"], "joe");
}

fn allow(when: &[&str], targets: &[&str], roles: &[Role]) -> Allow {
    Allow {
        when: when.iter().map(|text| Condition::parse(text).unwrap()).collect(),
        targets: targets.iter().map(|&t| t.to_owned()).collect(),
        roles: roles.to_vec(),
    }
}

fn chain(identity: &Identity) -> Vec<(IdentityKind, &str)> {
    identity.chain.iter().map(|link| (link.kind, link.name.as_str())).collect()
}

#[test]
fn tokens_of_real_workloads_come_to_what_the_rules_say() {
    let signer = Signer::new("k", Algorithm::Rs256);
    of_a_cluster(&signer);
    of_a_build(&signer);
    of_a_mesh(&signer);
}

/// A projected service account token of Kubernetes.
fn of_a_cluster(signer: &Signer) {
    let cluster = IssuerSpec {
        name: "prod".to_owned(),
        url: "https://kubernetes.default.svc.cluster.local".to_owned(),
        prefix: "prod/".to_owned(),
        kind: IdentityKind::Service,
        allow: vec![
            allow(
                &["/kubernetes.io/namespace = billing", "/kubernetes.io/serviceaccount/name = report"],
                &["shop"],
                &[],
            ),
            allow(&["/kubernetes.io/namespace = ops"], &[], &[Role::Auditor]),
        ],
        ..corp(&[signer])
    };
    let pod = |namespace: &str, account: &str| {
        json!({
            "aud": ["firsthand"], "exp": NOW + 3607, "iat": NOW, "nbf": NOW,
            "iss": "https://kubernetes.default.svc.cluster.local", "jti": "9a3c7a4e-0000-4000-8000-000000000001",
            "kubernetes.io": {
                "namespace": namespace, "node": { "name": "n1", "uid": "u" }, "pod": { "name": "p", "uid": "u" },
                "serviceaccount": { "name": account, "uid": "u" }, "warnafter": NOW + 3600,
            },
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
        })
    };
    let identity = look(&cluster, &signer.token(&pod("billing", "report"))).unwrap();
    assert_eq!(
        chain(&identity),
        [
            (IdentityKind::Service, "prod/system:serviceaccount:billing:report"),
            (IdentityKind::Token, "prod/9a3c7a4e-0000-4000-8000-000000000001"),
        ]
    );
    assert_eq!((identity.targets, identity.roles), (vec!["shop".to_owned()], vec![]));
    assert_eq!(look(&cluster, &signer.token(&pod("billing", "web"))), Err(Fault::NoRule));
    let ops = look(&cluster, &signer.token(&pod("ops", "watch"))).unwrap();
    assert_eq!((ops.targets.len(), ops.roles), (0, vec![Role::Auditor]));
}

/// GitHub Actions.
fn of_a_build(signer: &Signer) {
    let github = IssuerSpec {
        name: "github".to_owned(),
        url: "https://token.actions.githubusercontent.com".to_owned(),
        prefix: "github/".to_owned(),
        kind: IdentityKind::Service,
        allow: vec![allow(
            &["repository = acme/shop", "ref = refs/heads/main", "environment = production"],
            &["shop"],
            &[],
        )],
        ..corp(&[signer])
    };
    let run = |repository: &str, reference: &str, environment: &str| {
        json!({
            "jti": "example-id", "sub": format!("repo:{repository}:environment:{environment}"),
            "environment": environment, "aud": "firsthand", "ref": reference, "sha": "example-sha",
            "repository": repository, "repository_owner": "acme", "actor": "octocat", "workflow": "migrate",
            "event_name": "workflow_dispatch", "ref_type": "branch", "run_id": "1", "runner_environment": "github-hosted",
            "iss": "https://token.actions.githubusercontent.com", "nbf": NOW - 600, "exp": NOW + 300, "iat": NOW,
        })
    };
    let identity = look(&github, &signer.token(&run("acme/shop", "refs/heads/main", "production"))).unwrap();
    assert_eq!(identity.login, "github/repo:acme/shop:environment:production");
    for (repository, reference, environment) in [
        ("acme/shop", "refs/heads/topic", "production"),
        ("acme/shop-fork", "refs/heads/main", "production"),
        ("evil/shop", "refs/heads/main", "production"),
        ("acme/shop", "refs/heads/main", "staging"),
    ] {
        let token = signer.token(&run(repository, reference, environment));
        assert_eq!(look(&github, &token), Err(Fault::NoRule), "{repository} {reference} {environment}");
    }
}

/// A SPIFFE JWT-SVID: no `iss`, the trust domain says whose it is.
fn of_a_mesh(signer: &Signer) {
    let mesh = IssuerSpec {
        name: "mesh".to_owned(),
        url: "spiffe://prod.acme.example".to_owned(),
        prefix: String::new(),
        kind: IdentityKind::Agent,
        allow: vec![allow(&["sub = spiffe://prod.acme.example/ns/agents/*"], &["shop"], &[])],
        ..corp(&[signer])
    };
    let svid = |id: &str| json!({ "sub": id, "aud": ["firsthand"], "exp": NOW + 300, "iat": NOW });
    let identity = look(&mesh, &signer.token(&svid("spiffe://prod.acme.example/ns/agents/triage"))).unwrap();
    assert_eq!(identity.chain[0].name, "spiffe://prod.acme.example/ns/agents/triage");
    assert!(identity.chain[1].name.starts_with("mesh/sha256:"), "it has no jti: {:?}", identity.chain);
    for (id, fault) in [
        ("spiffe://prod.acme.example/ns/web/x", Fault::NoRule),
        ("spiffe://prod.acme.example.evil/ns/agents/x", Fault::Issuer),
        ("spiffe://prod.acme.example", Fault::Issuer),
        ("spiffe://other/ns/agents/x", Fault::Issuer),
    ] {
        assert_eq!(look(&mesh, &signer.token(&svid(id))), Err(fault), "{id}");
    }
}

#[test]
fn who_acts_for_whom_becomes_the_chain_from_the_person_to_who_acts_now() {
    let signer = Signer::new("k", Algorithm::Es256);
    let spec = corp(&[&signer]);
    let act = json!({ "sub": "runner", "act": { "sub": "planner", "iss": "https://elsewhere.example" } });
    let identity = look(&spec, &signer.token(&but(json!({ "act": act })))).unwrap();
    assert_eq!(
        chain(&identity),
        [
            (IdentityKind::Human, "corp/ada"),
            (IdentityKind::Agent, "corp/https://elsewhere.example#planner"),
            (IdentityKind::Agent, "corp/runner"),
            (IdentityKind::Token, "corp/j-1"),
        ]
    );
    assert_eq!(identity.actor().map(|link| link.name.as_str()), Some("corp/runner"));
    assert_eq!((identity.login.as_str(), identity.subject.as_str()), ("corp/runner", "human-corp/ada"));
    assert_eq!(identity.groups, ["corp/dba"]);
}

#[test]
fn names_and_kinds_come_from_claims_only_as_configured() {
    let signer = Signer::new("k", Algorithm::Es256);
    let mail = IssuerSpec { name_claim: ClaimPath::new("email"), prefix: String::new(), ..corp(&[&signer]) };
    let with = |verified: Value| but(json!({ "email": "ada@example.com", "email_verified": verified }));
    assert_eq!(look(&mail, &signer.token(&with(json!(true)))).unwrap().login, "ada@example.com");
    for unverified in [json!(false), json!("no"), json!(null), json!(1)] {
        assert_eq!(look(&mail, &signer.token(&with(unverified.clone()))), Err(Fault::Email), "{unverified}");
    }
    let kinds = IssuerSpec { kind_claim: Some(ClaimPath::new("kind")), ..corp(&[&signer]) };
    let of =
        |kind: Value| look(&kinds, &signer.token(&but(json!({ "kind": kind })))).map(|i| i.chain[0].kind);
    assert_eq!(of(json!("agent")), Ok(IdentityKind::Agent));
    for bad in [json!("token"), json!("root"), json!(7), json!(null)] {
        assert_eq!(of(bad.clone()), Err(Fault::Claim), "{bad}");
    }
}

#[test]
fn an_identity_ends_when_its_token_does_or_its_issuer_is_gone() {
    let signer = Signer::new("k", Algorithm::Es256);
    let issuers = issuers(vec![corp(&[&signer])]);
    let identity = issuers.identify(&signer.token(&ada()), None, at(NOW)).unwrap();
    assert_eq!(issuers.recheck(&identity, at(NOW + 659)), Ok(()));
    assert!(issuers.recheck(&identity, at(NOW + 660)).is_err(), "600 s and the skew are over");
    let endless = Identity { expires: None, ..identity.clone() };
    assert!(issuers.recheck(&endless, at(NOW)).is_err());
    let old = signer.token(&but(json!({ "iat": NOW - 86_000, "exp": NOW + 100_000 })));
    let old = issuers.identify(&old, None, at(NOW)).unwrap();
    assert_eq!(old.expires, Some(at(NOW + 460)), "max_age counts from when it was made");
    issuers.replace(Vec::new());
    assert!(issuers.recheck(&identity, at(NOW)).is_err());
}

#[test]
fn no_issuer_names_a_user_of_this_machine_or_a_channel() {
    let signer = Signer::new("k1", Algorithm::Es256);
    let spec = IssuerSpec { prefix: String::new(), ..corp(&[&signer]) };
    let name = |name: &str| but(json!({ "sub": name }));
    for one in ["local:root", "Local:root", "channel:ops", "local\u{ff1a}root", " local:root"] {
        assert_eq!(look(&spec, &signer.token(&name(one))), Err(Fault::Reserved), "{one}");
        let acts = but(json!({ "act": { "sub": one } }));
        assert_eq!(look(&spec, &signer.token(&acts)), Err(Fault::Reserved), "{one} acts");
    }
    let split = IssuerSpec { prefix: "loc".to_owned(), ..spec.clone() };
    assert_eq!(look(&split, &signer.token(&name("al:root"))), Err(Fault::Reserved));
    let own = IssuerSpec { prefix: "corp/".to_owned(), ..spec };
    assert!(look(&own, &signer.token(&name("local:root"))).is_ok(), "behind a prefix it is another name");
}

#[test]
fn a_login_name_must_be_the_tokens_own_where_that_is_asked_for() {
    let signer = Signer::new("k", Algorithm::Es256);
    let strict = issuers(vec![IssuerSpec { login_is_name: true, ..corp(&[&signer]) }]);
    let token = signer.token(&ada());
    assert!(strict.identify(&token, Some("corp/ada"), at(NOW)).is_ok());
    assert!(strict.identify(&token, None, at(NOW)).is_ok(), "the API gives none");
    assert_eq!(strict.identify(&token, Some("corp/eve"), at(NOW)), Err(Fault::Login));
    let any = issuers(vec![corp(&[&signer])]);
    assert_eq!(any.identify(&token, Some("corp"), at(NOW)).unwrap().login, "corp/ada", "never what was said");
}
