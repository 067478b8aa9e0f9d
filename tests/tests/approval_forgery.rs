//! Approvals and whoever can write their state, or wants more of it than is theirs: what is changed while no gateway runs, a
//! state that comes back later, long lists, and users of the machine who are not the gateway's.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use firsthand_tests::gateway::Gateway;
use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::postgres::Postgres;
use firsthand_tests::process::{is_root, until};
use firsthand_tests::raw::{Message, Raw};
use serde_json::{Value, json};
use tempfile::TempDir;

const SEED: &str =
    "create table payments (id int primary key); insert into payments select generate_series(1, 9);
    alter table payments owner to app";

fn rules(quorum: u32) -> String {
    format!(
        "[[group]]\nname = \"payers\"\nmembers = [\"*\"]\n
[[rule]]\nname = \"reads\"\nbecause = \"Anybody may.\"\nverdict = \"allow\"\neffects = [\"read\"]\n
[[rule]]\nname = \"held\"\nbecause = \"Two see more.\"\nverdict = \"hold\"\neffects = [\"write\"]\n\
approve = {{ group = \"payers\", wait = \"1ms\", quorum = {quorum} }}\n"
    )
}

fn lab(quorum: u32, more: &str) -> (Lab, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), rules(quorum)).unwrap();
    let top = format!("[policy]\ndir = {:?}\n{more}", folder.path().display().to_string());
    (Lab::start(Plan { top, seed: SEED.to_owned(), ..Plan::default() }).unwrap(), folder)
}

fn said(seen: &[Message]) -> String {
    seen.iter().map(Message::line).collect::<Vec<_>>().join("\n")
}

/// The code of a refusal, and the approval that it names.
fn asked(raw: &mut Raw, statement: &str) -> (String, String) {
    let seen = raw.query(statement).unwrap();
    let code = seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default();
    let text = said(&seen);
    let id = text.find("ap-").map_or("", |at| &text[at..]);
    (code, id.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect())
}

fn delete(n: usize) -> String {
    format!("delete from payments where id = {n}")
}

/// Runs this on the state's file.
fn written(gateway: &Gateway, sql: &str) {
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=20); \
                  db.executescript(sys.argv[2]); db.commit()";
    let file = gateway.data_dir().join("state.db");
    let done = Command::new("python3").args(["-c", script]).arg(file).arg(sql).status().unwrap();
    assert!(done.success(), "{sql}");
}

fn left(lab: &Lab) -> String {
    lab.far.sql("shop", "select count(*) from payments").unwrap().trim().to_owned()
}

/// What the record says was found, in the order of ids given.
fn found(gateway: &Gateway, ids: &[&str]) -> Vec<Value> {
    let record = gateway.record().unwrap();
    let of = |id: &&str| {
        let mut all =
            record.of_kind("admin.approval_differs").filter(|e| e.leaf("facts")["approval"] == json!(id));
        let first = all.next().map_or(Value::Null, |e| e.leaf("facts")["found"].clone());
        assert!(all.next().is_none(), "{id} is told twice");
        first
    };
    ids.iter().map(of).collect()
}

/// A person who is written otherwise is the same one, and approves nothing of their own.
#[test]
fn nobody_approves_their_own_by_another_spelling() {
    let (lab, _folder) = lab(1, "");
    let people = [
        ("andr\u{e9}@example.com", "andre\u{301}@example.com"),
        ("stra\u{df}e@example.com", "STRASSE@example.com"),
        ("kim@example.com", "\u{212a}im@example.com"),
    ];
    for (n, (agents, own)) in people.into_iter().enumerate() {
        let bot = format!("bot-{n}");
        let agent = ["--kind", "agent", "--target", "shop", "--on-behalf-of", agents];
        let agent = lab.gateway.role_token(&bot, &agent).unwrap();
        let place = lab.gateway.place(&bot, agent.split_once(':').unwrap().1, "shop");
        let mut raw = Raw::login(&place, &[]).unwrap();
        let (code, id) = asked(&mut raw, &delete(n + 1));
        assert!(code == "RF001" && !id.is_empty(), "{code} {id}");
        let person = ["--kind", "human", "--role", "approver", "--on-behalf-of", own];
        let token = lab.gateway.role_token(&format!("p-{n}"), &person).unwrap();
        let output = lab.gateway.remote(&token, &["approvals", "approve", &id]).unwrap().output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains("nobody approves their own"), "{own}: {told}");
    }
    assert_eq!(left(&lab), "9");
}

/// While the gateway is stopped, somebody writes its state in every way that was thought of.
#[test]
fn nothing_forged_while_the_gateway_was_stopped_runs() {
    let (mut lab, _folder) = lab(3, "");
    let mut ids = Vec::new();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for n in 1..=7 {
        let (code, id) = asked(&mut raw, &delete(n));
        assert_eq!(code, "RF001");
        ids.push(id);
    }
    drop(raw);
    // One of three has approved all but the last.
    for id in &ids[..6] {
        lab.gateway.cli(&["approvals", "approve", id]).unwrap();
    }
    lab.gateway.stop().unwrap();
    let vote = |id: &str, who: &str, log: &str| {
        format!(
            "insert into votes select '{id}', '{who}', {log}, '[\"payers\"]', '', cast_at, seal from votes limit 1;"
        )
    };
    let given = |id: &str| format!("update approvals set stage = 'given' where id = '{id}';");
    let log = "(select max(log) from approvals)";
    written(&lab.gateway, &given(&ids[0]));
    for (id, log) in [(&ids[1], "'00'"), (&ids[2], log)] {
        written(&lab.gateway, &[vote(id, "grace", log), vote(id, "bob", log), given(id)].concat());
    }
    let binding = format!("(select binding from approvals where id = '{}')", ids[6]);
    let swap = [
        format!("update approvals set binding = {binding} || 'x' where id = '{}';", ids[3]),
        format!("update approvals set log = '00' where id = '{}';", ids[4]),
        given(&ids[4]),
        format!("update approvals set terms = replace(terms, '3', '1') where id = '{}';", ids[5]),
        given(&ids[5]),
        // As though it had been spent, in a crash.
        format!("update approvals set stage = 'spent', ender = log, ended = asked where id = '{}';", ids[6]),
    ];
    written(&lab.gateway, &swap.concat());
    lab.gateway.serve().unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for n in 1..=7 {
        let (code, id) = asked(&mut raw, &delete(n));
        assert!(code == "RF001" && !ids.contains(&id), "{n}: {code} {id}");
    }
    assert_eq!(left(&lab), "9");
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let not_given = "not-given-in-record";
    let all = [
        not_given,
        not_given,
        not_given,
        "bound-otherwise",
        "sealed-otherwise",
        "bound-otherwise",
        "spent-not-in-record",
    ];
    assert_eq!(found(&lab.gateway, &ids), all);
    // It is told once.
    lab.gateway.stop().unwrap();
    lab.gateway.serve().unwrap();
    assert_eq!(asked(&mut Raw::login(&lab.through(), &[]).unwrap(), &delete(9)).0, "RF001");
    assert_eq!(found(&lab.gateway, &ids), all);
}

/// A shared state that cannot be reached at the start is compared before anything of it is used.
#[test]
fn a_state_that_comes_back_is_compared_before_it_counts() {
    let server = Postgres::start(None).unwrap();
    server.sql("postgres", "create database state owner app").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), server.place("app", "state").url()).unwrap();
    let shared = format!("[state]\npostgres = {{ file = {:?} }}\n", file.path().display().to_string());
    let (mut lab, _folder) = lab(1, &shared);
    let mut ids = Vec::new();
    {
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        ids.extend((1..=2).map(|n| asked(&mut raw, &delete(n)).1));
    }
    lab.gateway.cli(&["approvals", "approve", &ids[1]]).unwrap();
    lab.gateway.stop().unwrap();
    server.sql("state", &format!("update approvals set stage = 'given' where id = '{}'", ids[0])).unwrap();
    let allow =
        |yes: bool| server.sql("postgres", &format!("alter database state allow_connections {yes}")).unwrap();
    allow(false);
    lab.gateway.serve().unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let (code, id) = asked(&mut raw, &delete(1));
    assert!(code != "RF001" && !code.is_empty() && id.is_empty(), "{code} {id}");
    allow(true);
    let mut last = (String::new(), String::new());
    until("the state is there again", || {
        last = asked(&mut raw, &delete(1));
        Ok(last.0 == "RF001" || last.0.is_empty())
    })
    .unwrap();
    assert!(last.0 == "RF001" && last.1 != ids[0], "nobody approved it: {last:?}");
    assert_eq!(asked(&mut raw, &delete(2)).0, "", "this one was");
    assert_eq!(left(&lab), "8");
    assert_eq!(found(&lab.gateway, &[&ids[0]]), ["not-given-in-record"]);
}

/// So many copies of what is asked, without its long text.
fn many(gateway: &Gateway, count: usize) {
    let columns = "stage, log, session, command, asked, ends, spend_us, terms, people, asker, told, listed, about, about_hash, \
                   preview, preview_seal, reason, ended, ender, seal";
    let short = columns.replace("about,", "'',");
    let copies = format!(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < {count}) \
         insert into approvals (id, binding, {columns}) select 'ap-' || i, 'b' || i, {short} from approvals, n;"
    );
    written(gateway, &copies);
}

/// Nothing is left out of a list in silence, and nothing long stands in it.
#[test]
fn a_list_goes_on_to_its_end_and_is_short() {
    let (lab, _folder) = lab(1, "");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let long = format!("delete from payments where id = 1 /* {} */", "x".repeat(900_000));
    let (code, id) = asked(&mut raw, &long);
    assert_eq!(code, "RF001");
    many(&lab.gateway, 1_100);
    let listed = lab.gateway.cli(&["approvals", "list", "--json"]).unwrap();
    assert_eq!(listed.lines().count(), 1_101);
    assert!(listed.len() < 4_000_000, "{} bytes", listed.len());
    let first: Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    assert_eq!(first["statement_shortened"], json!(true));
    assert!(first.get("parameters").is_none() && first.get("preview").is_none(), "{first}");
    let shown: Value =
        serde_json::from_str(&lab.gateway.cli(&["approvals", "show", &id, "--json"]).unwrap()).unwrap();
    assert_eq!(shown["statement"], json!(long));
    let user = lab.gateway.role_token("zoe", &["--kind", "human", "--role", "user"]).unwrap();
    let own = lab.gateway.remote(&user, &["approvals", "list", "--json"]).unwrap().output().unwrap();
    assert!(own.status.success() && own.stdout.is_empty(), "{}", String::from_utf8_lossy(&own.stdout));
    // Over, the state has its beginning, and says where the rest is.
    lab.gateway.cli(&["approvals", "deny", &id, "--reason", "too\nlong"]).unwrap();
    let shown = lab.gateway.cli(&["approvals", "show", &id]).unwrap();
    assert!(shown.contains("its beginning") && shown.len() < 5_000, "{}", shown.len());
    assert!(shown.contains("too long"), "{shown}");
}

/// Who may not look into the folder is told so, not that it is empty.
#[test]
fn another_user_of_the_machine_is_told_that_they_may_not_look() {
    let (lab, _folder) = lab(1, "");
    let mut command = lab.gateway.command(&["approvals", "list"]).unwrap();
    let data = lab.gateway.data_dir();
    let args: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
    assert!(args.iter().any(|arg| Path::new(arg) == lab.gateway.config()), "{args:?}");
    let mut other = Command::new(command.get_program());
    other.args(["approvals", "list", "--dir"]).arg(&data).current_dir("/").stdin(Stdio::null());
    if is_root() {
        // The folder above is a private one of the test; the data folder's own mode is what must keep others out.
        open_to_all(data.parent().unwrap());
        other.uid(65_534).gid(65_534);
    } else {
        std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    }
    let output = other.output().unwrap();
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && talk.contains("may not look into"), "{talk}");
    assert!(!talk.contains("there is no data"), "{talk}");
    assert!(command.output().unwrap().status.success());
}

fn open_to_all(folder: &Path) {
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}
