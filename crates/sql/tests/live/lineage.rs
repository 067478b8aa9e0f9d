//! `corpus/lineage.txt`: what each output column is made of, and that names and order are the server's.

use std::sync::Arc;

use firsthand_model::statement::{Column, Facts, Output};

use crate::evasions::{Case, facts};
use crate::server::with_fixture;

fn source(column: &Column) -> String {
    let relation = match column.relation.as_str() {
        "customers" => "c",
        "orders" => "o",
        other => other,
    };
    format!("{relation}.{}", column.column)
}

fn told(facts: &[Arc<Facts>]) -> String {
    let Some(Output::Columns(columns)) = facts.last().map(|f| &f.output) else {
        return format!("{:?}", facts.last().map(|f| &f.output));
    };
    let column = |c: &firsthand_model::statement::OutputColumn| {
        let sources: Vec<String> = c.sources.iter().map(source).collect();
        let sources = if sources.is_empty() { "-".to_owned() } else { sources.join(",") };
        format!("{}:{:?}:{sources}", c.name, c.derivation)
    };
    columns.iter().map(column).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_output_column_is_told_as_the_server_names_it() {
    let (server, catalog) = with_fixture("lineage");
    let mut setup = Vec::new();
    let mut wrong = Vec::new();
    for line in include_str!("../corpus/lineage.txt").lines().filter(|l| !l.starts_with('#') && !l.is_empty())
    {
        if let Some(before) = line.strip_prefix("> ") {
            setup.push(before);
            continue;
        }
        let (sql, expected) = line.split_once(" => ").unwrap();
        let case = Case { setup: std::mem::take(&mut setup), expect: "", sql };
        let facts = facts(&catalog, &case);
        let told = told(&facts);
        if told != expected {
            wrong.push(format!("{sql}\n  want {expected}\n  told {told}"));
        }
        // A change is only described, not kept.
        let mut before = case.setup.clone();
        if !before.contains(&"BEGIN") {
            before.insert(0, "BEGIN");
        }
        match (server.columns(&before, sql), facts.last().map(|f| &f.output)) {
            (Ok(names), Some(Output::Columns(columns))) => {
                let own: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
                if names != own {
                    wrong.push(format!("{sql}\n  server {names:?}\n  told {own:?}"));
                }
            }
            (Err(error), _) => wrong.push(format!("{sql}\n  {error}")),
            (_, output) => wrong.push(format!("{sql}\n  {output:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
