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

/// What a client of the server reads that has no grant.
fn visits(rig: &Rig, text: &str) -> String {
    let mut visitor = Raw::login(&rig.server.place("visitor", "shop"), &[]).unwrap();
    message(&visitor.query(text).unwrap())
}

/// Schemas that everybody may use, with a function in each that runs with its owner's rights.
const LEAKS: [&str; 5] = [
    "create schema m3",
    "grant usage on schema m3 to public",
    "create table m3.t (id int)",
    "grant select on m3.t to public",
    "create function m3.leak() returns bigint language sql security definer as 'select count(*) from public.orders'",
];

/// The role leaves them. Somebody else grants: effect `grant` is not what its grant is for.
fn leaves_leaks(rig: &Rig, raw: &mut Raw) {
    for text in LEAKS {
        if text.starts_with("grant ") {
            rig.sql(text);
        } else {
            query(raw, text);
        }
    }
}

/// Whoever holds a lock on what a role owns keeps it from being given away, and from nothing else.
#[test]
fn a_lock_on_what_a_role_owns_keeps_none_of_its_functions_open() {
    let rig = rig_of_definers();
    let id = rig.granted("10m", "read,write,define,unknown");
    let mut raw = rig.login();
    leaves_leaks(&rig, &mut raw);
    let mut holds = Raw::login(&rig.server.place("visitor", "shop"), &[]).unwrap();
    query(&mut holds, "begin");
    query(&mut holds, "select 1 from m3.t");
    assert_eq!(visits(&rig, "select m3.leak()"), "");
    rig.gateway.cli(&["grants", "revoke", &id]).unwrap();
    until("it cannot be ended", || Ok(!rig.facts("role.failed").is_empty())).unwrap();
    let failed = rig.facts("role.failed");
    assert!(failed[0]["why"].as_str().unwrap().contains("lock timeout"), "{failed:?}");
    assert!(visits(&rig, "select m3.leak()").contains("permission denied for function leak"));
    query(&mut holds, "rollback");
    until("it is dropped", || Ok(rig.sql(OF_GRANTS).is_empty())).unwrap();
    until("that is recorded", || Ok(rig.facts("role.dropped").len() == 1)).unwrap();
    assert_eq!(rig.facts("role.dropped")[0]["shut"], json!(1));
    assert!(visits(&rig, "select m3.leak()").contains("permission denied for function leak"));
}

fn rig_of_definers() -> Rig {
    let rig = rig("");
    rig.sql("grant create on database shop to orders_rw; grant usage on schema public to visitor");
    rig
}

/// A role is a member of all that its group is a member of, and can lock up the schemas of any of them.
#[test]
fn schemas_of_whatever_role_the_group_is_in_keep_no_role_from_ending() {
    let rig = rig_of_definers();
    rig.sql(
        "create role above; create role beside noinherit; grant create on database shop to above, beside; \
             grant above to orders_rw; grant beside to above; alter role above noinherit",
    );
    let id = rig.granted("10m", "read,write,define,unknown");
    let mut raw = rig.login();
    let role = query(&mut raw, "select session_user");
    for (schema, of) in [("z2", "above"), ("z3", "beside"), ("z4", "orders_rw")] {
        rig.sql(&format!(
            "create schema {schema} authorization {of}; grant create, usage on schema {schema} to {role}"
        ));
        query(&mut raw, &format!("create table {schema}.t (id int)"));
        query(
            &mut raw,
            &format!(
                "create function {schema}.leak() returns bigint language sql security definer as 'select count(*) from public.orders'"
            ),
        );
        rig.sql(&format!(
            "revoke all on schema {schema} from {role}, {of}; grant usage on schema {schema} to visitor"
        ));
    }
    // A function that was there before the schema that it is in now.
    query(&mut raw, "create function moved() returns int language sql security definer as 'select 1'");
    query(&mut raw, "create schema late");
    query(&mut raw, "alter function moved() set schema late");
    rig.sql(&format!("revoke all on schema late from {role}"));
    assert_eq!(visits(&rig, "select z2.leak(), z3.leak(), z4.leak()"), "");
    rig.gateway.cli(&["grants", "revoke", &id]).unwrap();
    until("it is dropped, or cannot be", || {
        Ok(rig.facts("role.dropped").len() + rig.facts("role.failed").len() == 1)
    })
    .unwrap();
    assert!(rig.facts("role.failed").is_empty(), "{:?}", rig.facts("role.failed"));
    assert_eq!(rig.facts("role.dropped")[0]["shut"], json!(4));
    for schema in ["z2", "z3", "z4"] {
        let told = visits(&rig, &format!("select {schema}.leak()"));
        assert!(told.contains("permission denied for function leak"), "{told}");
        let acl = format!("select nspacl from pg_namespace where nspname = '{schema}'");
        assert!(!rig.sql(&acl).contains("orders_rw="), "it is as it was: {}", rig.sql(&acl));
    }
}

/// What a role has left reaches nothing of its group's, also where its functions cannot be shut.
#[test]
fn a_role_that_cannot_be_ended_has_lost_its_group() {
    let rig = rig_of_definers();
    rig.sql("create schema dba; grant usage, create on schema dba to orders_rw; grant usage on schema dba to visitor");
    let id = rig.granted("10m", "read,write,define,unknown");
    let mut raw = rig.login();
    query(
        &mut raw,
        "create function dba.leak() returns bigint language sql security definer as 'select count(*) from public.orders'",
    );
    // Before 16, who is a role can give it away.
    let role = query(&mut raw, "select session_user");
    if major_version().unwrap() < 16 {
        rig.sql(&format!("grant {role} to visitor"));
    }
    rig.sql("revoke all on schema dba from orders_rw");
    assert_eq!(visits(&rig, "select dba.leak()"), "");
    rig.gateway.cli(&["grants", "revoke", &id]).unwrap();
    until("it cannot be ended", || Ok(!rig.facts("role.failed").is_empty())).unwrap();
    let told = visits(&rig, "select dba.leak()");
    assert!(told.contains("permission denied for table orders"), "{told}");
    assert_eq!(rig.sql("select count(*) from pg_auth_members where member = 'visitor'::regrole"), "0");
    rig.sql("grant usage, create on schema dba to orders_rw");
    until("it is dropped", || Ok(rig.sql(OF_GRANTS).is_empty())).unwrap();
    assert!(visits(&rig, "select dba.leak()").contains("permission denied for function leak"));
}

/// What docs/grants.md says to do by hand leaves nothing open either.
#[test]
fn a_role_that_is_ended_by_hand_leaves_none_of_its_functions_open() {
    let rig = rig_of_definers();
    rig.granted("10m", "read,write,define,unknown");
    let mut raw = rig.login();
    leaves_leaks(&rig, &mut raw);
    query(&mut raw, "create procedure m3.\"Do it\"() language sql security definer as 'select 1'");
    let role = query(&mut raw, "select session_user");
    let told = include_str!("../../../docs/grants.md");
    let (_, behind) = told.split_once("```sql\n  SET statement_timeout TO 0;").expect("the recipe");
    let recipe = behind.split("```").next().unwrap().replace("fh_grant_…", &role);
    std::fs::write(rig.gateway.data_dir().join("recipe.sql"), recipe).unwrap();
    rig.sql(&format!("\\i {}", rig.gateway.data_dir().join("recipe.sql").display()));
    assert!(visits(&rig, "select m3.leak()").contains("permission denied for function leak"));
    assert!(visits(&rig, "call m3.\"Do it\"()").contains("permission denied for procedure"));
    assert_eq!(rig.sql("select pg_get_userbyid(proowner) from pg_proc where proname = 'leak'"), "orders_rw");
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
