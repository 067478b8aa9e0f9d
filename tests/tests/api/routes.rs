//! What the API is asked, and by whom.

/// All routes: method, path, a body that is understood, and what it takes (`local`: not over the network; `tokens`: it looks at
/// those in it, as exchange.rs tests).
pub(crate) const ROUTES: [(&str, &str, &str, &str); 32] = [
    ("GET", "/v1/tokens", "", "auditor"),
    (
        "POST",
        "/v1/tokens",
        r#"{"name":"x","kind":"agent","on_behalf_of":null,"targets":["shop"],"ttl_seconds":null}"#,
        "admin",
    ),
    ("POST", "/v1/tokens/revoke", r#"{"token":"nobody"}"#, "admin"),
    ("GET", "/v1/sessions", "", "auditor"),
    ("POST", "/v1/sessions/019ab27c-6e11-7abc-8def-0123456789ab/kill", "{}", "admin"),
    ("GET", "/v1/approvals", "", "auditor, approver, user"),
    ("GET", "/v1/approvals/{id}", "", "auditor, approver, user"),
    ("POST", "/v1/approvals/{id}/approve", "{}", "approver"),
    ("POST", "/v1/approvals/{id}/deny", "{}", "approver"),
    ("POST", "/v1/channels/{channel}/answer", "", "the channel's signature"),
    ("POST", "/v1/channels/{channel}/slack/actions", "", "the channel's signature"),
    ("GET", "/v1/contained", "", "auditor"),
    ("POST", "/v1/contained", r#"{"of":"identity","name":"nobody"}"#, "admin"),
    ("POST", "/v1/contained/{id}/lift", "{}", "admin"),
    ("POST", "/v1/ca", r#"{"name":"own"}"#, "admin"),
    ("GET", "/v1/ca/certificates", "", "auditor"),
    // The base point of P-256: a public key as any other.
    (
        "POST",
        "/v1/ca/certificates",
        r#"{"name":"report","seconds":60,"public_key":"BGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU="}"#,
        "admin",
    ),
    ("POST", "/v1/ca/certificates/revoke", r#"{"certificate":"report"}"#, "admin"),
    ("GET", "/v1/ca/crl", "", "auditor"),
    ("POST", "/v1/record/entries", r#"{"command":"log tail","lines":1}"#, "auditor"),
    ("POST", "/v1/record/sessions", r#"{"count":1}"#, "auditor"),
    ("POST", "/v1/record/session", r#"{"session":"019ab27c"}"#, "auditor"),
    ("POST", "/v1/token", "", "tokens"),
    ("GET", "/v1/login", "", "nothing"),
    ("POST", "/v1/login/{issuer}/device", "", "nothing"),
    ("POST", "/v1/login/{issuer}/token", r#"{"login":"guessed"}"#, "nothing"),
    ("GET", "/v1/login/{issuer}", "", "nothing"),
    ("GET", "/v1/login/{issuer}/callback", "", "nothing"),
    ("POST", "/v1/logout", "", "any token"),
    ("GET", "/v1/whoami", "", "any token"),
    ("POST", "/v1/record/read", r#"{"command":"log cat","what":{"entries":1}}"#, "local"),
    ("POST", "/v1/targets/asked", r#"{"command":"check","target":"shop","database":"shop"}"#, "local"),
];
