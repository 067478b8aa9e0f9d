//! Two gateways that share their state: each has a role of its own for a grant, leaves the other's alone, and ends its own when the
//! grant is over, wherever that was said.

use super::*;

/// How long a gateway may take to hear of what was done at another one: a second, and what a busy machine takes.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// A session under the grant, once that is in force there, and its role.
fn enter(place: &Place) -> (Raw, String) {
    let mut found = None;
    until("it is in force", || {
        let mut raw = Raw::login(place, &[])?;
        let role = rows(&raw.query("select session_user")?);
        found = role.starts_with("fh_grant_").then_some((raw, role));
        Ok(found.is_some())
    })
    .unwrap();
    found.unwrap()
}

#[test]
fn each_gateway_has_its_own_role_for_a_grant_and_both_end_with_it() {
    let state = Postgres::start(None).unwrap();
    state.sql("postgres", "create database state owner app").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), state.place("app", "state").url()).unwrap();
    let top = format!("[state]\npostgres = {{ file = {:?} }}\n", file.path().display().to_string());
    let here = rig_with(RULES, "", &top);
    let (mut there, _data) = here.gateway.beside().unwrap();
    let secret = there.token("bot", &["shop"]).unwrap();
    let place = there.place("bot", &secret, "shop");
    let id = here.ask("10m", "read,unknown");
    there.cli(&["grants", "approve", &id]).unwrap();
    let (raw_there, role_there) = enter(&place);
    let (mut raw_here, role_here) = enter(&here.place());
    let both = || {
        let mut both = [role_here.as_str(), role_there.as_str()];
        both.sort_unstable();
        both.join(" ")
    };
    let short = |role: &str| role.rsplit_once('_').unwrap().0.to_owned();
    assert!(role_here != role_there && short(&role_here) == short(&role_there), "{}", both());
    assert_eq!(here.sql(OF_GRANTS), both());
    // One is killed: at its next start it sweeps what it has left, and nothing of the other one, which goes on.
    there.kill().unwrap();
    drop(raw_there);
    there.serve().unwrap();
    let facts = |gateway: &Gateway, kind: &str| -> Vec<Value> {
        gateway.record().unwrap().of_kind(kind).map(|e| e.leaf("facts")["role"].clone()).collect()
    };
    until("it has swept", || Ok(!facts(&there, "role.swept").is_empty())).unwrap();
    assert_eq!(facts(&there, "role.swept"), [json!(role_there)]);
    assert!(here.sql(OF_GRANTS).contains(&role_here));
    assert_eq!(query(&mut raw_here, "select session_user"), role_here, "its session goes on");
    let (mut raw_there, again) = enter(&place);
    assert_eq!(again, role_there, "it is named by its grant and its gateway");
    assert_eq!(here.sql(OF_GRANTS), both());
    // Taken back at one, it is over at both.
    there.cli(&["grants", "revoke", &id, "--reason", "done"]).unwrap();
    let since = Instant::now();
    for raw in [&mut raw_there, &mut raw_here] {
        let told = message(&raw.until_closed().unwrap());
        assert!(told.contains(&id) && told.contains("was revoked"), "{told}");
    }
    assert!(since.elapsed() < HEARD_WITHIN, "it took {:?}", since.elapsed());
    until("both roles are gone", || Ok(here.sql(OF_GRANTS).is_empty())).unwrap();
    for (gateway, role) in [(&here.gateway, &role_here), (&there, &role_there)] {
        until("that is recorded", || Ok(!facts(gateway, "role.dropped").is_empty())).unwrap();
        assert_eq!(facts(gateway, "role.dropped"), [json!(role)]);
        assert!(facts(gateway, "role.failed").is_empty());
    }
    assert!(facts(&here.gateway, "role.swept").is_empty());
}
