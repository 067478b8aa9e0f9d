//! Which relations a definition or a TRUNCATE reaches that it does not name as a table, and what CASCADE takes along.

use firsthand_model::command::Effect;

use crate::evasions::{Case, facts};
use crate::server::with_fixture;

#[test]
fn what_is_reached_stands_in_the_facts() {
    let (server, _) = with_fixture("defined");
    server.script(
        "create table reach_far (id int primary key references orders); create table reach_farther (id int references reach_far);
         create table reach_self (id int primary key, up int references reach_self);
         create trigger reach_trigger before insert on log for each row execute function trig();
         create schema whole; create table whole.one (id int); create table whole.two (id int);",
    );
    let catalog = server.catalog();
    let table: [(&str, &[&str], bool); 19] = [
        ("truncate customers", &["customers"], false),
        (
            "truncate customers cascade",
            &["cascaded", "customers", "orders", "reach_far", "reach_farther"],
            false,
        ),
        (
            "truncate parent, orders cascade",
            &["cascaded", "child", "orders", "parent", "reach_far", "reach_farther"],
            false,
        ),
        ("truncate reach_self cascade", &["reach_self"], false),
        ("drop trigger reach_trigger on log", &["log"], false),
        ("drop policy p on public.guarded", &["guarded"], false),
        ("drop rule r on ruled", &["ruled"], false),
        ("comment on column customers.email is 'x'", &["customers"], false),
        ("comment on table public.log is 'x'", &["log"], false),
        ("comment on trigger t on triggered is 'x'", &["triggered"], false),
        ("comment on policy p on guarded is 'x'", &["guarded"], false),
        ("drop schema whole", &["one", "two"], false),
        ("drop schema whole cascade", &["one", "two"], true),
        ("alter schema whole rename to other", &["one", "two"], false),
        ("drop table log", &["log"], false),
        ("drop table log cascade", &["log"], true),
        ("alter table log drop column what cascade", &["log"], true),
        ("drop type pair cascade", &[], true),
        ("drop owned by app", &[], true),
    ];
    for (sql, writes, unknown) in table {
        let told = facts(&catalog, &Case { setup: Vec::new(), expect: "", sql });
        let mut names: Vec<&str> =
            told.iter().flat_map(|f| f.writes.iter().map(|r| r.name.as_str())).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, writes, "{sql}");
        assert_eq!(told.iter().any(|f| f.effects.has(Effect::Unknown)), unknown, "{sql}");
    }
}
