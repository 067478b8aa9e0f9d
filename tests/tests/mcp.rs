//! Unmodified MCP servers behind the gateway: what a model reads is the same as directly, and the record tells it all.

use std::process::Command;

use firsthand_tests::clients::{installed, setup};
use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::mcp::{McpServer, ToolAnswer};
use firsthand_tests::place::Place;
use firsthand_tests::record::{Entry, Record};
use serde_json::{Value, json};

const SEED: &str = "create table payments (id int primary key, amount numeric(10, 2), note text);
    insert into payments values (1, 10.50, 'first'), (2, 20.00, 'zweite ü'); alter table payments owner to app";

/// One conversation: the tools' names, then one answer per call.
fn converse(command: &mut Command, calls: &[(&str, Value)]) -> (Vec<String>, Vec<ToolAnswer>) {
    let mut server = McpServer::start(command).unwrap();
    let tools = server.tools().unwrap();
    let answers = calls.iter().map(|(tool, arguments)| server.call(tool, arguments).unwrap()).collect();
    (tools, answers)
}

fn both(server: impl Fn(&Place) -> Command, calls: &[(&str, Value)]) -> (Vec<ToolAnswer>, Record) {
    setup("mcp").unwrap();
    let mut lab = Lab::start(Plan { seed: SEED.to_owned(), ..Plan::default() }).unwrap();
    let direct = converse(&mut server(&lab.direct()), calls);
    let through = converse(&mut server(&lab.through()), calls);
    let (secret, port) = (lab.secret.clone(), lab.gateway.port().to_string());
    let plain = |answers: &[ToolAnswer]| -> Vec<(bool, String)> {
        // Some servers tell the address they use.
        answers
            .iter()
            .map(|a| (a.error, a.text.replace(&port, "PORT").replace(&lab.near.port().to_string(), "PORT")))
            .collect()
    };
    assert_eq!(direct.0, through.0, "the tools");
    assert_eq!(plain(&direct.1), plain(&through.1), "the answers");
    assert!(through.1.iter().all(|answer| !answer.text.contains(&secret)), "a token reached the model");
    lab.gateway.stop().unwrap();
    let record = lab.gateway.record().unwrap();
    let wrong = record.unbalanced();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    (through.1, record)
}

/// The SQLSTATEs of all commands whose text contains `part`.
fn outcomes(record: &Record, part: &str) -> Vec<String> {
    record.intents(part).filter_map(|i| record.outcome(i)).map(|o| Entry::sqlstate(o).to_owned()).collect()
}

#[test]
fn server_postgres() {
    let server = |place: &Place| {
        let main = installed().join("mcp/node_modules/@modelcontextprotocol/server-postgres/dist/index.js");
        let mut command = Command::new("node");
        command.arg(main).arg(place.url().replace("?sslmode=disable", ""));
        command
    };
    let calls = [
        ("query", json!({ "sql": "select * from payments order by id" })),
        ("query", json!({ "sql": "select * from paymnts" })),
        ("query", json!({ "sql": "delete from payments where id = 1" })),
        ("query", json!({ "sql": "commit; delete from payments where id = 2" })),
        ("query", json!({ "sql": "select count(*) from payments" })),
    ];
    let (answers, record) = both(server, &calls);
    assert!(answers[0].text.contains("zweite ü") && !answers[0].error);
    assert!(answers[1].text.contains("relation \"paymnts\" does not exist") && answers[1].error);
    assert!(answers[2].text.contains("read-only transaction"));
    assert_eq!(outcomes(&record, "delete from payments where id = 1"), ["25006"]);
    // The escape from the "read-only" server: it worked, and the record says so, statement by statement.
    assert_eq!(outcomes(&record, "delete from payments where id = 2"), [""]);
    let escaped = record.intents("delete from payments where id = 2").next().unwrap();
    assert_eq!(escaped.text().trim(), "delete from payments where id = 2", "one command per statement");
    assert_eq!(record.outcome(escaped).unwrap().leaf("affected"), &json!(1));
}

#[test]
fn dbhub() {
    let server = |place: &Place| {
        let main = installed().join("mcp/node_modules/@bytebase/dbhub/dist/index.js");
        let mut command = Command::new("node");
        command.arg(main).args(["--transport", "stdio", "--dsn", &place.url()]);
        command
    };
    let calls = [
        ("execute_sql", json!({ "sql": "select id, note from payments order by id" })),
        ("execute_sql", json!({ "sql": "selec" })),
        ("execute_sql", json!({ "sql": "delete from payments where id = 1; select count(*) from payments" })),
        ("search_objects", json!({ "object_type": "table", "pattern": "pay%", "detail_level": "full" })),
    ];
    let (answers, record) = both(server, &calls);
    assert!(answers[0].text.contains("zweite ü"));
    assert!(answers[1].text.contains("syntax error at or near"));
    assert_eq!(outcomes(&record, "delete from payments where id = 1"), [""]);
    assert!(record.of_kind("session.opened").next().is_some());
}

#[test]
fn mcp_alchemy() {
    let server = |place: &Place| {
        let mut command = Command::new(installed().join("mcp-python/bin/mcp-alchemy"));
        command.env("DB_URL", place.url().replace("?sslmode=disable", ""));
        command
    };
    let calls = [
        ("all_table_names", json!({})),
        ("schema_definitions", json!({ "table_names": ["payments"] })),
        ("execute_query", json!({ "query": "select * from payments order by id" })),
        ("execute_query", json!({ "query": "select * from paymnts" })),
        (
            "execute_query",
            json!({ "query": "update payments set note = :note where id = 1", "params": { "note": "changed" } }),
        ),
    ];
    let (answers, record) = both(server, &calls);
    assert!(answers[0].text.contains("payments"));
    assert!(answers[2].text.contains("zweite ü"));
    assert!(answers[3].text.contains("does not exist"));
    assert!(outcomes(&record, "select * from paymnts").contains(&"42P01".to_owned()));
    assert_eq!(outcomes(&record, "update payments set note"), [""]);
}
