//! What each route asks and answers, as JSON Schema. Tests hold real answers against it (tests/tests/openapi.rs).

use serde_json::{Map, Value, json};

use super::Fails;

/// Stands where a route has no shape; a test looks for it.
pub(super) const UNKNOWN: &str = "x-without-a-shape";

/// What a request brings.
pub(super) enum Asks {
    Nothing,
    Json(Value),
    Form(Value),
}

/// What is answered where it is done.
pub(super) enum Gives {
    Json(Value),
    /// A stream of lines.
    Lines(Value),
    /// Plain text, with this status.
    Page(&'static str),
    /// No body.
    Empty,
}

/// Both, and what else.
pub(super) struct Shape {
    pub(super) asks: Asks,
    pub(super) gives: Gives,
    pub(super) fails: Fails,
    /// Where they stand, and their names, besides those in the path.
    pub(super) parameters: &'static [(&'static str, &'static str)],
}

impl Shape {
    const fn new(asks: Asks, gives: Gives) -> Self {
        Self { asks, gives, fails: Fails::Plainly, parameters: &[] }
    }

    fn with(self, parameters: &'static [(&'static str, &'static str)]) -> Self {
        Self { parameters, ..self }
    }

    fn failing(self, fails: Fails) -> Self {
        Self { fails, ..self }
    }
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn number() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn word(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn maybe(of: &Value) -> Value {
    json!({ "anyOf": [of, { "type": "null" }] })
}

fn of_kind(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// With these keys and no others; a key that ends with `?` may be missing.
fn object(keys: &[(&str, Value)]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (key, schema) in keys {
        let name = key.trim_end_matches('?');
        if name == *key {
            required.push(json!(name));
        }
        properties.insert(name.to_owned(), schema.clone());
    }
    let mut out = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let (Value::Object(out), false) = (&mut out, required.is_empty()) {
        out.insert("required".to_owned(), json!(required));
    }
    out
}

/// An object with one key.
fn one(key: &str, schema: Value) -> Value {
    object(&[(key, schema)])
}

/// Whatever it is.
fn anything() -> Value {
    json!({})
}

/// The shape of a route.
pub(super) fn of(method: &str, path: &str) -> Shape {
    acts(method, path)
        .or_else(|| approvals(method, path))
        .or_else(|| grants(method, path))
        .or_else(|| authority(method, path))
        .or_else(|| log_keys(method, path))
        .or_else(|| record(method, path))
        .or_else(|| people(method, path))
        .unwrap_or_else(|| Shape::new(Asks::Nothing, Gives::Json(json!({ UNKNOWN: true }))))
}

fn acts(method: &str, path: &str) -> Option<Shape> {
    let shape = match (method, path) {
        ("GET", "/v1/tokens") => {
            Shape::new(Asks::Nothing, Gives::Json(one("tokens", list(&of_kind("Token")))))
        }
        ("POST", "/v1/tokens") => {
            let kinds = word(&["agent", "human", "service"]);
            let asks = object(&[
                ("name", text()),
                ("kind", kinds),
                ("on_behalf_of?", maybe(&text())),
                ("owner?", maybe(&text())),
                ("targets", list(&text())),
                ("roles?", list(&of_kind("Role"))),
                ("ttl_seconds?", maybe(&number())),
            ]);
            Shape::new(Asks::Json(asks), Gives::Json(of_kind("NewToken")))
        }
        ("POST", "/v1/tokens/revoke") => {
            Shape::new(Asks::Json(one("token", text())), Gives::Json(of_kind("Ended")))
        }
        ("GET", "/v1/sessions") => {
            Shape::new(Asks::Nothing, Gives::Json(one("sessions", list(&of_kind("Session")))))
        }
        ("POST", "/v1/sessions/{id}/kill") => Shape::new(Asks::Nothing, Gives::Json(one("id", text()))),
        ("GET", "/v1/contained") => {
            Shape::new(Asks::Nothing, Gives::Json(one("contained", list(&of_kind("Contained")))))
        }
        ("POST", "/v1/contained") => {
            let of = word(&["identity", "target", "session"]);
            let asks = object(&[("of", of.clone()), ("name", text()), ("reason?", text())]);
            let gives = object(&[
                ("id", text()),
                ("of", of),
                ("name", text()),
                ("sessions", number()),
                ("tokens", number()),
                ("approvals", maybe(&number())),
                ("grants", maybe(&number())),
                ("warnings", list(&text())),
            ]);
            Shape::new(Asks::Json(asks), Gives::Json(gives))
        }
        ("POST", "/v1/contained/{id}/lift") => {
            let asks = object(&[("reason?", text()), ("keep_evidence?", flag())]);
            Shape::new(Asks::Json(asks), Gives::Json(of_kind("Lifted")))
        }
        ("POST", "/v1/targets/asked") => {
            let asks = object(&[("command", text()), ("target", text()), ("database", text())]);
            Shape::new(Asks::Json(asks), Gives::Json(object(&[])))
        }
        ("GET", "/v1/openapi.json") => {
            Shape::new(Asks::Nothing, Gives::Json(json!({ "type": "object", "required": ["openapi"] })))
        }
        _ => return None,
    };
    Some(shape)
}

fn approvals(method: &str, path: &str) -> Option<Shape> {
    let said = || Asks::Json(one("reason?", text()));
    let shape = match (method, path) {
        ("GET", "/v1/approvals") => {
            let gives = object(&[("approvals", list(&of_kind("Approval"))), ("next", maybe(&text()))]);
            Shape::new(Asks::Nothing, Gives::Json(gives)).with(&[("query", "all"), ("query", "after")])
        }
        ("GET", "/v1/approvals/{id}") => Shape::new(Asks::Nothing, Gives::Json(of_kind("Approval"))),
        ("POST", "/v1/approvals/{id}/original") => {
            let parameters = maybe(&list(&json!({ "type": "object" })));
            let gives = object(&[("statement", text()), ("parameters", parameters)]);
            Shape::new(Asks::Nothing, Gives::Json(gives))
        }
        ("POST", "/v1/approvals/{id}/approve") => {
            let asks = object(&[("reason?", text()), ("signature?", maybe(&text()))]);
            Shape::new(Asks::Json(asks), Gives::Json(of_kind("Answered")))
        }
        ("POST", "/v1/approvals/{id}/deny") => Shape::new(said(), Gives::Json(of_kind("Answered"))),
        ("POST", "/v1/approvals/{id}/break-glass") => {
            let asks = object(&[("reason", text()), ("signature?", maybe(&text()))]);
            Shape::new(Asks::Json(asks), Gives::Json(of_kind("Answered")))
        }
        ("POST", "/v1/channels/{channel}/answer") => {
            let data = object(&[
                ("approval", text()),
                ("answer", word(&["approve", "deny"])),
                ("by", text()),
                ("reason?", text()),
            ]);
            let asks =
                object(&[("type", word(&["approval.answer"])), ("timestamp?", anything()), ("data", data)]);
            Shape::new(Asks::Json(asks), Gives::Json(of_kind("Answered"))).with(&[
                ("header", "webhook-id"),
                ("header", "webhook-timestamp"),
                ("header", "webhook-signature"),
            ])
        }
        ("POST", "/v1/channels/{channel}/slack/actions") => {
            let asks = json!({ "type": "object", "properties": { "payload": { "type": "string" } }, "required": ["payload"] });
            Shape::new(Asks::Form(asks), Gives::Empty)
                .with(&[("header", "X-Slack-Request-Timestamp"), ("header", "X-Slack-Signature")])
        }
        _ => return None,
    };
    Some(shape)
}

fn grants(method: &str, path: &str) -> Option<Shape> {
    let said = || Asks::Json(one("reason?", text()));
    let shape = match (method, path) {
        ("GET", "/v1/grants") => {
            let gives = object(&[("grants", list(&of_kind("Grant"))), ("next", maybe(&text()))]);
            Shape::new(Asks::Nothing, Gives::Json(gives)).with(&[("query", "all"), ("query", "after")])
        }
        ("POST", "/v1/grants") => {
            let asks = object(&[
                ("target", text()),
                ("database?", maybe(&text())),
                ("for", text()),
                ("effects", list(&text())),
                ("tables?", list(&text())),
                ("commands?", maybe(&number())),
                ("reason", text()),
            ]);
            let gives = object(&[("id", text()), ("state", word(&["asked", "given"]))]);
            Shape::new(Asks::Json(asks), Gives::Json(gives))
        }
        ("GET", "/v1/grants/{id}") => Shape::new(Asks::Nothing, Gives::Json(of_kind("Grant"))),
        ("POST", "/v1/grants/{id}/approve" | "/v1/grants/{id}/deny") => {
            Shape::new(said(), Gives::Json(of_kind("Answered")))
        }
        ("POST", "/v1/grants/{id}/revoke") => {
            let gives =
                object(&[("id", text()), ("state", word(&["revoked"])), ("was", word(&["asked", "given"]))]);
            Shape::new(said(), Gives::Json(gives))
        }
        _ => return None,
    };
    Some(shape)
}

fn authority(method: &str, path: &str) -> Option<Shape> {
    let certificates = |key: &str| (key.to_owned(), list(&of_kind("Certificate")));
    let shape = match (method, path) {
        ("POST", "/v1/ca") => {
            let gives = object(&[
                ("name", text()),
                ("sha256", text()),
                ("ends", time()),
                ("ca", text()),
                ("ca_file", text()),
                ("crl_file", text()),
            ]);
            Shape::new(Asks::Json(one("name", text())), Gives::Json(gives))
        }
        ("GET", "/v1/ca/certificates") => {
            let (key, all) = certificates("certificates");
            Shape::new(Asks::Nothing, Gives::Json(one(&key, all)))
        }
        ("POST", "/v1/ca/certificates") => {
            let asks = object(&[
                ("name", text()),
                ("uri?", list(&text())),
                ("dns?", list(&text())),
                ("email?", list(&text())),
                ("seconds", number()),
                ("public_key", text()),
            ]);
            Shape::new(Asks::Json(asks), Gives::Json(of_kind("Certificate")))
        }
        ("POST", "/v1/ca/certificates/revoke") => {
            let (key, all) = certificates("revoked");
            let gives = object(&[(&key, all), ("warnings", list(&text()))]);
            Shape::new(Asks::Json(one("certificate", text())), Gives::Json(gives))
        }
        ("GET", "/v1/ca/crl") => {
            Shape::new(Asks::Nothing, Gives::Json(object(&[("ca", text()), ("crl", text())])))
        }
        _ => return None,
    };
    Some(shape)
}

fn log_keys(method: &str, path: &str) -> Option<Shape> {
    let shape = match (method, path) {
        ("GET", "/v1/keys") => {
            let key =
                object(&[("vkey", text()), ("signs", flag()), ("made", time()), ("until?", maybe(&time()))]);
            let newest = object(&[("size", number()), ("note", text())]);
            let gives = object(&[
                ("origin", text()),
                ("epoch", number()),
                ("keys", list(&key)),
                ("checkpoint?", maybe(&newest)),
            ]);
            Shape::new(Asks::Nothing, Gives::Json(gives))
        }
        ("POST", "/v1/keys/rotate") => {
            let gives = object(&[("added", text()), ("replaced", text()), ("until", time())]);
            Shape::new(Asks::Nothing, Gives::Json(gives))
        }
        _ => return None,
    };
    Some(shape)
}

fn record(method: &str, path: &str) -> Option<Shape> {
    let shape = match (method, path) {
        ("POST", "/v1/record/entries") => {
            let asks = object(&[
                ("command", word(&["log cat", "log search", "log tail"])),
                ("expression?", list(&text())),
                ("lines?", number()),
                ("follow?", flag()),
            ]);
            Shape::new(Asks::Json(asks), Gives::Lines(of_kind("Line")))
        }
        ("POST", "/v1/record/sessions") => {
            let asks = object(&[
                ("identity?", maybe(&text())),
                ("target?", maybe(&text())),
                ("since?", maybe(&text())),
                ("count", number()),
            ]);
            Shape::new(Asks::Json(asks), Gives::Lines(of_kind("Line")))
        }
        ("POST", "/v1/record/session") => {
            let asks = object(&[("session", text()), ("replay?", flag())]);
            Shape::new(Asks::Json(asks), Gives::Lines(of_kind("Line")))
        }
        ("POST", "/v1/record/exported") => {
            let done = object(&[
                ("bytes", number()),
                ("disclosed", number()),
                ("entries", number()),
                ("erased", number()),
                ("scoped", number()),
                ("sha256", text()),
                ("withheld", number()),
            ]);
            let asks = object(&[
                ("command", text()),
                ("from?", maybe(&text())),
                ("to?", maybe(&text())),
                ("ids?", maybe(&list(&text()))),
                ("target?", maybe(&text())),
                ("payloads", flag()),
                ("name?", maybe(&text())),
                ("file", text()),
                ("done?", maybe(&done)),
            ]);
            Shape::new(Asks::Json(asks), Gives::Json(object(&[])))
        }
        ("POST", "/v1/record/read") => {
            let asks = object(&[("command", text()), ("what", anything())]);
            Shape::new(Asks::Json(asks), Gives::Json(object(&[])))
        }
        _ => return None,
    };
    Some(shape)
}

fn people(method: &str, path: &str) -> Option<Shape> {
    let shape = match (method, path) {
        ("POST", "/v1/token") => {
            Shape::new(Asks::Form(exchange()), Gives::Json(exchanged())).failing(Fails::AsOauth)
        }
        ("GET", "/v1/login") => {
            let issuer = object(&[("name", text()), ("url", text()), ("browser", anything())]);
            Shape::new(Asks::Nothing, Gives::Json(one("issuers", list(&issuer))))
        }
        ("POST", "/v1/login/{issuer}/device") => {
            let gives = object(&[
                ("login", text()),
                ("issuer", text()),
                ("user_code", text()),
                ("verification_uri", text()),
                ("verification_uri_complete", maybe(&text())),
                ("expires_in", number()),
                ("interval", number()),
            ]);
            Shape::new(Asks::Nothing, Gives::Json(gives))
        }
        ("POST", "/v1/login/{issuer}/token") => {
            let pending = object(&[("state", word(&["pending"])), ("interval", number())]);
            let done = object(&[("state", word(&["signed-in"])), ("token", of_kind("SignedIn"))]);
            let gives = json!({ "oneOf": [pending, done] });
            Shape::new(Asks::Json(one("login", text())), Gives::Json(gives))
        }
        ("GET", "/v1/login/{issuer}") => {
            Shape::new(Asks::Nothing, Gives::Page("303")).failing(Fails::OnAPage)
        }
        ("GET", "/v1/login/{issuer}/callback") => Shape::new(Asks::Nothing, Gives::Page("200"))
            .failing(Fails::OnAPage)
            .with(&[("query", "state"), ("query", "code"), ("query", "iss"), ("query", "error")]),
        ("POST", "/v1/logout") => Shape::new(Asks::Nothing, Gives::Json(of_kind("Ended"))),
        ("GET", "/v1/whoami") => {
            let gives = object(&[
                ("login", maybe(&text())),
                ("chain", list(&of_kind("Link"))),
                ("targets", maybe(&list(&text()))),
                ("groups", maybe(&list(&text()))),
                ("roles", maybe(&list(&of_kind("Role")))),
                ("expires", maybe(&time())),
                ("issuer", maybe(&text())),
                ("how", maybe(&text())),
            ]);
            Shape::new(Asks::Nothing, Gives::Json(gives))
        }
        _ => return None,
    };
    Some(shape)
}

fn exchange() -> Value {
    let names = [
        "grant_type",
        "subject_token",
        "subject_token_type",
        "actor_token",
        "actor_token_type",
        "requested_token_type?",
        "audience?",
        "resource?",
        "scope?",
        "expires_in?",
    ];
    let mut schema = object(&names.map(|name| (name, text())));
    if let Value::Object(schema) = &mut schema {
        // Others are passed over.
        schema.remove("additionalProperties");
    }
    schema
}

fn exchanged() -> Value {
    object(&[
        ("access_token", text()),
        ("issued_token_type", text()),
        ("token_type", word(&["Bearer"])),
        ("expires_in", number()),
        ("scope", text()),
        ("id", text()),
        ("expires", time()),
        ("targets", of_kind("Strings")),
    ])
}

/// What several of them share.
pub(super) fn schemas() -> Value {
    json!({
        "Failure": object(&[("error", text()), ("hint", text())]),
        "OauthFailure": object(&[("error", text()), ("error_description", text()), ("hint", text())]),
        "Role": word(&["admin", "auditor", "approver", "user"]),
        "Link": object(&[
            ("kind", word(&["human", "agent", "service", "token", "certificate"])),
            ("name", text()),
            ("trust", word(&["verified", "bound", "claimed"])),
            ("id?", text()),
        ]),
        "Ended": object(&[("id", text()), ("name", text())]),
        "Strings": json!({ "type": "array", "description": "Targets, each with its connection string, where there is one.",
            "items": { "type": "array", "prefixItems": [text(), maybe(&text())], "minItems": 2, "maxItems": 2 } }),
        "Token": token(),
        "NewToken": object(&[
            ("id", text()), ("name", text()), ("secret", text()), ("targets", of_kind("Strings")),
            ("roles", list(&of_kind("Role"))), ("expires", maybe(&time())),
        ]),
        "SignedIn": object(&[
            ("id", text()), ("name", text()), ("secret", text()), ("targets", of_kind("Strings")),
            ("roles", list(&of_kind("Role"))), ("expires", maybe(&time())), ("person", text()), ("issuer", text()),
            ("groups", list(&text())),
        ]),
        "Session": object(&[
            ("id", text()), ("login", text()), ("chain", list(&of_kind("Link"))), ("target", text()), ("database", text()),
            ("role", text()), ("pid", maybe(&number())), ("client", text()), ("opened", time()),
        ]),
        "Approval": approval(),
        "Grant": grant(),
        "Answered": object(&[
            ("id", text()), ("state", word(&["asked", "given", "refused"])), ("given", number()), ("quorum", number()),
        ]),
        "Contained": object(&[
            ("id", text()), ("of", word(&["identity", "target", "session"])), ("name", text()), ("ids", list(&text())),
            ("since", time()), ("by", text()), ("reason", text()), ("state", word(&["contained", "held"])),
        ]),
        "Lifted": object(&[
            ("id", text()), ("of", word(&["identity", "target", "session"])), ("name", text()), ("held", flag()),
        ]),
        "Certificate": object(&[
            ("serial", text()), ("name", text()), ("state", word(&["valid", "expired", "revoked"])), ("uri", list(&text())),
            ("dns", list(&text())), ("email", list(&text())), ("sha256", text()), ("since", time()), ("ends", time()),
            ("revoked", maybe(&time())), ("cert?", text()), ("ca?", text()),
        ]),
        "Line": line(),
    })
}

fn token() -> Value {
    let may = || maybe(&text());
    object(&[
        ("id", text()),
        ("name", text()),
        ("kind", word(&["agent", "human", "service"])),
        ("on_behalf_of", may()),
        ("owner", may()),
        ("targets", list(&text())),
        ("roles", list(&of_kind("Role"))),
        ("state", word(&["valid", "revoked", "expired"])),
        ("created", time()),
        ("created_by", text()),
        ("expires", maybe(&time())),
        ("revoked", maybe(&time())),
        ("person", may()),
        ("how", may()),
        ("issuer", may()),
        ("subject", may()),
        ("actor", may()),
        ("actor_token", may()),
        ("subject_token", may()),
        ("consent", may()),
    ])
}

/// How many of whom must approve something.
fn quorum() -> Value {
    object(&[("group", text()), ("quorum", number())])
}

/// A person's yes.
fn vote() -> Value {
    object(&[
        ("by", text()),
        ("at", time()),
        ("groups", list(&text())),
        ("reason", text()),
        ("break_glass", flag()),
        ("signed_with", maybe(&text())),
    ])
}

fn approval() -> Value {
    object(&[
        ("id", text()),
        ("state", word(&["asked", "given", "refused", "expired", "withdrawn", "spent"])),
        ("session", text()),
        ("command", number()),
        ("asked", time()),
        ("until", time()),
        ("ended", maybe(&time())),
        ("needs", list(&quorum())),
        ("break_glass", list(&list(&text()))),
        ("broken_by", maybe(&text())),
        ("digest", text()),
        ("signed", flag()),
        ("people", list(&text())),
        ("answer", text()),
        ("statement", text()),
        ("statement_differs", flag()),
        ("parameters_differ?", flag()),
        ("original_kept?", flag()),
        ("statement_shortened?", flag()),
        ("parameters?", maybe(&list(&json!({ "type": "object" })))),
        ("chain", list(&of_kind("Link"))),
        ("login", text()),
        ("target", text()),
        ("database", text()),
        ("role", text()),
        ("session_role", maybe(&text())),
        ("application", maybe(&text())),
        ("effects", list(&text())),
        ("tables", list(&text())),
        ("search_path?", maybe(&text())),
        ("tag", maybe(&text())),
        ("via", maybe(&text())),
        ("transaction", text()),
        ("coverage", list(&text())),
        ("rule", text()),
        ("reason", text()),
        ("policy", text()),
        ("approved?", list(&vote())),
        ("preview?", maybe(&json!({ "type": "object" }))),
        ("before?", maybe(&list(&json!({ "type": "object" })))),
    ])
}

fn grant() -> Value {
    object(&[
        ("id", text()),
        ("state", word(&["asked", "in force", "refused", "expired", "ended", "over", "used up", "revoked"])),
        ("session", text()),
        ("command", number()),
        ("asked", time()),
        ("until", time()),
        ("ended", maybe(&time())),
        ("needs", list(&quorum())),
        ("people", list(&text())),
        ("answer", text()),
        ("chain", list(&of_kind("Link"))),
        ("login", text()),
        ("target", text()),
        ("database", text()),
        ("effects", list(&text())),
        ("tables", list(&text())),
        ("lasts_us", number()),
        ("lasts", text()),
        ("commands", maybe(&number())),
        ("used", number()),
        ("reason", text()),
        ("approved?", list(&vote())),
        ("preview?", maybe(&json!({ "type": "object" }))),
    ])
}

/// A line of a stream: an object with one key.
fn line() -> Value {
    let anything_in = || json!({ "type": "object" });
    let end = one("exit", number());
    let error = object(&[("errors", list(&text())), ("hint", text()), ("exit", number())]);
    let listed = object(&[("session", anything_in()), ("first", anything_in())]);
    json!({ "oneOf": [
        one("entry", anything_in()), one("names", json!({ "type": "object", "additionalProperties": text() })),
        one("session", anything_in()), one("listed", listed), one("note", text()), one("end", end), one("error", error),
    ] })
}
