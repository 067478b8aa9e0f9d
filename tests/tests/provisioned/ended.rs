//! How roles end that somebody does not let end, or that have left something behind.

use super::*;

/// Roles that may log in still.
const OPEN: &str = "select count(*) from pg_roles where rolname like 'fh\\_grant\\_%' and rolcanlogin";

/// Whoever can log in at the server can take any advisory lock: that keeps no role from being made or dropped.
#[test]
fn no_lock_that_a_client_can_take_keeps_a_role_from_being_made_or_dropped() {
    let rig = rig("");
    let first = rig.granted("10m", "read");
    let role = query(&mut rig.login(), "select session_user");
    let (_, whose) = role.rsplit_once('_').unwrap();
    let second = rig.ask("10m", "read");
    let next = format!("fh_grant_{}_{whose}", second.trim_start_matches("gr-"));
    let mut visitor = Raw::login(&rig.server.place("visitor", "shop"), &[]).unwrap();
    for name in [&role, &next] {
        query(&mut visitor, &format!("select pg_advisory_lock({}, hashtext('{name}'))", 0x6668_5f72));
    }
    rig.gateway.cli(&["grants", "revoke", &first]).unwrap();
    until("it is dropped", || Ok(rig.sql(OF_GRANTS).is_empty())).unwrap();
    rig.gateway.cli(&["grants", "approve", &second]).unwrap();
    let mut who = String::new();
    until("it is made", || {
        who = rows(&rig.login().query("select session_user")?);
        Ok(!who.is_empty())
    })
    .unwrap();
    assert_eq!(who, next);
    assert!(rig.facts("role.failed").is_empty(), "{:?}", rig.facts("role.failed"));
}

/// Whoever shuts a grant's role at the server is not overruled: only a wrong password has it made anew.
#[test]
fn what_somebody_has_shut_at_the_server_stays_shut() {
    let rig = rig("");
    let id = rig.granted("10m", "read,unknown");
    let mut raw = rig.login();
    let role = query(&mut raw, "select session_user");
    rig.sql(&format!("alter role {role} nologin"));
    for _ in 0..3 {
        rig.refused();
    }
    assert_eq!(rig.sql(OPEN), "0", "it is as it was left");
    assert_eq!(query(&mut raw, "select session_user"), role, "who is in stays in");
    let failed = rig.facts("role.failed");
    let [told] = &*failed else { panic!("it is told once: {failed:?}") };
    assert_eq!((&told["grant"], &told["what"]), (&json!(id), &json!("login")));
    assert!(told["why"].as_str().unwrap().contains("not permitted to log in"), "{told}");
    assert_eq!(rig.facts("role.made").len(), 1);
    rig.sql(&format!("alter role {role} login"));
    assert_eq!(query(&mut rig.login(), "select session_user"), role);
    rig.gateway.cli(&["grants", "revoke", &id]).unwrap();
    until("it is dropped", || Ok(rig.sql(OF_GRANTS).is_empty())).unwrap();
}

/// What runs with its owner's rights would be everybody's way to do what the grant was for, for good.
#[test]
fn functions_of_a_role_that_run_with_its_rights_are_nobodys_after_it() {
    let rig = rig("");
    rig.sql("grant create on database shop to orders_rw; grant usage on schema public to visitor");
    let id = rig.granted("10m", "read,write,define,unknown");
    let mut raw = rig.login();
    for text in [
        "create function how_many() returns bigint language sql security definer as 'select count(*) from public.orders'",
        "create procedure \"Put; it\"(inout n int) language sql security definer as 'select n'",
        "create procedure \"Put; it\"(out a int, b text) language sql security definer as 'select 1'",
        "create function plain() returns int language sql as 'select 1'",
        // A schema that its owner has locked up.
        "create schema den",
        "create type den.t as enum ('a')",
        "create function den.hidden(den.t) returns int language sql security definer as 'select 1'",
    ] {
        query(&mut raw, text);
    }
    let role = query(&mut raw, "select session_user");
    rig.sql(&format!("revoke all on schema den from {role}"));
    // One of its group's, which a member can lock up as well.
    rig.sql("create schema nest authorization orders_rw");
    query(&mut raw, "create function nest.egg() returns int language sql security definer as 'select 1'");
    rig.sql("revoke create on schema nest from orders_rw");
    let visits = |text: &str| {
        let mut visitor = Raw::login(&rig.server.place("visitor", "shop"), &[]).unwrap();
        message(&visitor.query(text).unwrap())
    };
    assert_eq!(visits("select public.how_many()"), "");
    rig.gateway.cli(&["grants", "revoke", &id]).unwrap();
    until("it is dropped, or cannot be", || {
        Ok(rig.facts("role.dropped").len() + rig.facts("role.failed").len() == 1)
    })
    .unwrap();
    assert!(rig.facts("role.failed").is_empty(), "{:?}", rig.facts("role.failed"));
    assert!(rig.sql(OF_GRANTS).is_empty());
    assert!(visits("select public.how_many()").contains("permission denied for function how_many"));
    assert_eq!(visits("select public.plain()"), "", "what runs with its caller's rights stays");
    let told = &rig.facts("role.dropped")[0];
    assert_eq!(told["shut"], json!(5), "{told}");
    let named = told["shut_functions"].to_string();
    assert!(named.contains("how_many()") && named.contains("hidden"), "{named}");
    let open = "select count(*) from pg_proc p where prosecdef and pg_get_userbyid(proowner) = 'orders_rw' \
                and has_function_privilege('visitor', oid, 'execute')";
    assert_eq!(rig.sql(open), "0");
    assert_eq!(rig.sql("select count(*) from pg_namespace where has_schema_privilege('fh_admin', oid, 'usage') and nspname = 'den'"), "0");
    assert_eq!(rig.sql("select has_schema_privilege('orders_rw', 'nest', 'create')"), "f", "as it was");
    assert!(rig.facts("role.failed").is_empty(), "{:?}", rig.facts("role.failed"));
}

/// From now on giving away what this role has takes so long, as if it had a great many things.
fn makes_heavy(rig: &Rig, role: &str) {
    rig.sql(&format!(
        "create or replace function slow() returns event_trigger language plpgsql as \
         $$begin if current_query() like '%{role}%' then perform pg_catalog.pg_sleep(12); end if; end$$"
    ));
    rig.sql(
        "create event trigger slow on ddl_command_start when tag in ('DROP OWNED') execute function slow()",
    );
}

fn busy(rig: &Rig) -> bool {
    rig.sql("select count(*) from pg_stat_activity where application_name = 'firsthand roles' and query like 'DROP OWNED%' and state = 'active'") == "1"
}

/// A role that takes longer than its first try may take is given more time, and meanwhile nobody waits for it.
#[test]
fn a_role_that_takes_long_to_end_is_ended_and_keeps_nobody_waiting() {
    let rig = rig("");
    let heavy = rig.granted("10m", "read,write,define,unknown");
    let mut raw = rig.login();
    query(&mut raw, "create table made_under_it (id int)");
    let role = query(&mut raw, "select session_user");
    makes_heavy(&rig, &role);
    rig.gateway.cli(&["grants", "revoke", &heavy]).unwrap();
    until("a short try fails", || Ok(!rig.facts("role.failed").is_empty())).unwrap();
    let failed = rig.facts("role.failed");
    assert!(failed[0]["why"].as_str().unwrap().contains("statement timeout"), "{failed:?}");
    until("it is tried again", || Ok(busy(&rig))).unwrap();
    let other = rig.granted("10m", "read,unknown");
    let since = Instant::now();
    let mut another = rig.login();
    let second = query(&mut another, "select session_user");
    assert!(second.starts_with("fh_grant_") && second != role, "{second}");
    rig.gateway.cli(&["grants", "revoke", &other]).unwrap();
    until("that one is gone", || Ok(!rig.sql(OF_GRANTS).contains(&second))).unwrap();
    assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
    until("the heavy one is gone", || Ok(rig.sql(OF_GRANTS).is_empty())).unwrap();
    assert_eq!(
        rig.sql("select pg_get_userbyid(relowner) from pg_class where relname = 'made_under_it'"),
        "orders_rw"
    );
    until("that is recorded", || Ok(rig.facts("role.dropped").len() == 2)).unwrap();
}

/// A sweep shuts all that it finds before it gives away what the first of them has.
#[test]
fn all_leftovers_are_shut_before_any_is_given_away() {
    let mut rig = rig("");
    let mut roles = Vec::new();
    for _ in 0..2 {
        rig.granted("10m", "read,write,define,unknown");
        let mut raw = rig.login();
        let role = query(&mut raw, "select session_user");
        query(&mut raw, &format!("create table {role}_made (id int)"));
        roles.push(role);
    }
    roles.sort();
    makes_heavy(&rig, &roles[0]);
    rig.gateway.kill().unwrap();
    assert_eq!(rig.sql(OPEN), "2");
    rig.gateway.serve().unwrap();
    until("the first is being given away", || Ok(busy(&rig))).unwrap();
    assert_eq!(rig.sql(OPEN), "0", "nobody logs in with the other either");
    until("the other is gone", || Ok(rig.sql(OF_GRANTS) == roles[0])).unwrap();
    until("what stays is told", || Ok(rig.facts("role.failed").iter().any(|e| e["what"] == json!("sweep"))))
        .unwrap();
}
