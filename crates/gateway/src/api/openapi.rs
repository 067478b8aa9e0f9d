//! The OpenAPI document of the API, made from the table of routes: `GET /v1/openapi.json`, and docs/openapi.json.
//!
//! - `shapes.rs`: what each route asks and answers.

mod shapes;

use axum::Json;
use firsthand_model::identity::Role;
use serde_json::{Map, Value, json};

use super::{Needs, ROUTES, Route};
use shapes::{Asks, Gives};

/// The document.
pub(super) async fn serve() -> Json<Value> {
    Json(document())
}

/// All of it.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(route.method.to_ascii_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Firsthand",
            "summary": "What a gateway is asked over its http listener; docs/api.md says more.",
            "version": crate::VERSION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": shapes::schemas(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer",
                            "description": "NAME:SECRET of a token with a role, or the token of an issuer (a JWT)." },
                "cookie": { "type": "apiKey", "in": "cookie", "name": "__Host-firsthand",
                            "description": "Of a browser that has signed in; `firsthand` in clear text on the gateway's own machine." },
                "certificate": { "type": "mutualTLS", "description": "A client certificate of a [[client_ca]]." },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let shape = shapes::of(route.method, route.path);
    let mut out = Map::new();
    out.insert("operationId".to_owned(), json!(operation_id(route)));
    out.insert("summary".to_owned(), json!(route.about));
    out.insert("x-firsthand-needs".to_owned(), json!(needs(route.needs)));
    out.insert("security".to_owned(), security(route.needs));
    let mut parameters: Vec<Value> = names_in(route.path).map(|name| parameter("path", name, true)).collect();
    parameters
        .extend(shape.parameters.iter().map(|(place, name)| parameter(place, name, *place == "header")));
    if !parameters.is_empty() {
        out.insert("parameters".to_owned(), json!(parameters));
    }
    match shape.asks {
        Asks::Nothing => {}
        Asks::Json(schema) => {
            drop(out.insert("requestBody".to_owned(), content("application/json", &schema)))
        }
        Asks::Form(schema) => {
            drop(out.insert("requestBody".to_owned(), content("application/x-www-form-urlencoded", &schema)));
        }
    }
    out.insert("responses".to_owned(), responses(&shape.gives, shape.fails, route.needs));
    Value::Object(out)
}

/// `approveApproval` of `POST /v1/approvals/{id}/approve`: its words, once.
fn operation_id(route: &Route) -> String {
    let mut id = route.method.to_ascii_lowercase();
    for part in route.path.split(['/', '_', '.']).skip(2).filter(|part| !part.is_empty()) {
        let part = part.trim_matches(['{', '}']);
        let (first, rest) = part.split_at(1);
        id.push_str(&first.to_ascii_uppercase());
        id.push_str(rest);
    }
    id
}

fn needs(needs: Needs) -> Vec<&'static str> {
    match needs {
        Needs::Local => vec!["admin socket"],
        Needs::Shown => vec!["tokens in it"],
        Needs::Signed => vec!["channel's signature"],
        Needs::Nothing => Vec::new(),
        Needs::Any => vec!["any token"],
        Needs::Role(role) => vec![role.word()],
        Needs::OneOf(roles) => roles.iter().copied().map(Role::word).collect(),
    }
}

fn security(needs: Needs) -> Value {
    match needs {
        Needs::Local | Needs::Shown | Needs::Signed | Needs::Nothing => json!([]),
        Needs::Any | Needs::Role(_) | Needs::OneOf(_) => {
            json!([{ "bearer": [] }, { "cookie": [] }, { "certificate": [] }])
        }
    }
}

fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn parameter(place: &str, name: &str, required: bool) -> Value {
    json!({ "name": name, "in": place, "required": required, "schema": { "type": "string" } })
}

fn content(kind: &str, schema: &Value) -> Value {
    json!({ "required": true, "content": { kind: { "schema": schema } } })
}

fn responses(gives: &Gives, fails: Fails, needs: Needs) -> Value {
    let (status, response) = match gives {
        Gives::Json(schema) => (
            "200",
            json!({ "description": "Done.", "content": { "application/json": { "schema": schema } } }),
        ),
        Gives::Lines(schema) => (
            "200",
            json!({ "description": "One of these a line; empty lines come when it is silent.",
                    "content": { "application/x-ndjson": { "schema": schema } } }),
        ),
        Gives::Page(status) => (
            *status,
            json!({ "description": "For a person.", "content": { "text/plain": { "schema": { "type": "string" } } } }),
        ),
        Gives::Empty => ("200", json!({ "description": "Taken." })),
    };
    let mut all = Map::new();
    all.insert(status.to_owned(), response);
    let failure = json!({ "$ref": "#/components/schemas/Failure" });
    let told = |what: &str, kind: &str, schema: &Value| json!({ "description": what, "content": { kind: { "schema": schema } } });
    if !matches!(needs, Needs::Nothing | Needs::Shown) {
        let no = told("Who asks is not known.", "application/json", &failure);
        all.insert("401".to_owned(), no);
    }
    let default = match fails {
        Fails::Plainly => told("Why not, and what to do.", "application/json", &failure),
        Fails::AsOauth => told(
            "Why not (RFC 6749 5.2).",
            "application/json",
            &json!({ "$ref": "#/components/schemas/OauthFailure" }),
        ),
        Fails::OnAPage => told("Why not, for a person.", "text/plain", &json!({ "type": "string" })),
    };
    all.insert("default".to_owned(), default);
    Value::Object(all)
}

/// How a route says no.
#[derive(Clone, Copy, Debug)]
enum Fails {
    Plainly,
    AsOauth,
    OnAPage,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_in_it_and_nothing_else() {
        let document = document();
        let mut all = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                all.push(format!("{} {path}", method.to_uppercase()));
            }
        }
        let mut routes: Vec<String> = ROUTES.iter().map(|r| format!("{} {}", r.method, r.path)).collect();
        all.sort();
        routes.sort();
        assert_eq!(all, routes);
        let text = document.to_string();
        assert!(!text.contains(shapes::UNKNOWN), "each route has its shape");
    }

    #[test]
    fn each_reference_leads_somewhere_and_each_schema_is_used() {
        let document = document();
        let text = document.to_string();
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(text.contains(&format!("#/components/schemas/{name}\"")), "{name} is of no use");
        }
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(!document["components"]["schemas"][name].is_null(), "{name}");
        }
    }

    #[test]
    fn operations_have_ids_of_their_own() {
        let mut ids: Vec<String> = ROUTES.iter().map(operation_id).collect();
        ids.sort();
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all);
        let text = include_str!("../../../../docs/openapi.json");
        let written: Value = serde_json::from_str(text).unwrap();
        assert!(written == document(), "cargo xtask docs writes it anew");
    }
}
