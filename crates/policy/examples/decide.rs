//! What a decision costs: when it was made before, and when it was not. `cargo run --release -p firsthand-policy
//! --example decide`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement is printed, and one that cannot be made says where"
)]

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use firsthand_model::command::{Command, Effect, Effects, Shape, Step};
use firsthand_model::id::SessionId;
use firsthand_model::identity::{Identity, IdentityKind, Link, Trust};
use firsthand_model::json::Json;
use firsthand_model::outcome::Transaction;
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::{Column, Derivation, Facts, Output, OutputColumn, Relation};
use firsthand_model::target::{Durability, Mode};
use firsthand_model::time::UnixMicros;
use firsthand_policy::compiled::{Compiled, RuleFile};
use firsthand_policy::rules::Rules;
use firsthand_session::port::{Ask, Policy};

const HITS: u32 = 1_000_000;
const MISSES: u32 = 5_000;

fn main() {
    let file = RuleFile { name: "agents.toml".to_owned(), text: firsthand_policy::AGENTS.to_owned() };
    let start = Instant::now();
    let rules = Rules::new(Compiled::load(&[file], HashMap::new()).unwrap());
    println!("load: {:?}", start.elapsed());
    let session = session();
    let shapes: Vec<Arc<Shape>> = (0..MISSES).map(shape).collect();
    let mut command = command(Arc::clone(shapes.first().unwrap()));
    let ask = |command: &Command| {
        rules.decide(&Ask {
            session: &session,
            command,
            now: UnixMicros(1),
            estimated_rows: None,
            granted: true,
        })
    };
    ask(&command);
    let start = Instant::now();
    for _ in 0..HITS {
        std::hint::black_box(ask(&command));
    }
    println!("decided before: {} ns", (start.elapsed() / HITS).as_nanos());
    let start = Instant::now();
    for shape in &shapes {
        command.shape = Arc::clone(shape);
        std::hint::black_box(ask(&command));
    }
    println!("not decided before: {} ns", (start.elapsed() / MISSES).as_nanos());
}

fn shape(number: u32) -> Arc<Shape> {
    let relation = |name: &str| Relation {
        written: name.to_owned(),
        schema: "public".to_owned(),
        name: name.to_owned(),
        ..Relation::default()
    };
    let column = Column {
        schema: "public".to_owned(),
        relation: "customers".to_owned(),
        column: "email".to_owned(),
        labels: vec!["email".to_owned()],
    };
    let output = OutputColumn {
        name: "email".to_owned(),
        sources: vec![column],
        derivation: Derivation::Same,
        kept: Vec::new(),
        type_oid: 0,
    };
    let facts = Facts {
        effects: Effects::only(Effect::Read),
        reads: vec![relation("customers"), relation(&format!("orders_{number}"))],
        functions: vec!["pg_catalog.lower".to_owned(), "pg_catalog.count".to_owned()],
        output: Output::Columns(vec![output]),
        ..Facts::default()
    };
    Arc::new(Shape {
        tag: "SELECT".to_owned(),
        effects: facts.effects,
        tables: Vec::new(),
        plain_read: true,
        coverage: Vec::new(),
        facts: Some(Arc::new(facts)),
    })
}

fn command(shape: Arc<Shape>) -> Command {
    Command {
        step: Step::Run,
        via: "simple",
        shape,
        text: "select lower(email), count(*) from customers join orders using (id)".to_owned(),
        original_digest: None,
        original_bytes: 0,
        parameters: Json::default(),
        claims: Json::default(),
        parameters_digest: None,
        names: Json::default(),
        transaction: Transaction::Idle,
        coverage: Vec::new(),
        original: None,
        access: None,
    }
}

fn session() -> SessionFacts {
    let link =
        |kind, name: &str| Link { kind, id: name.to_owned(), name: name.to_owned(), trust: Trust::Bound };
    SessionFacts {
        id: SessionId(1),
        identity: Arc::new(Identity {
            chain: vec![link(IdentityKind::Human, "ada@example.com"), link(IdentityKind::Agent, "bot")],
            login: "bot".to_owned(),
            subject: String::new(),
            targets: vec!["orders".to_owned()],
            ..Identity::default()
        }),
        target: "orders".to_owned(),
        database: "orders".to_owned(),
        session_role: "orders_rw".to_owned(),
        role: "orders_rw".to_owned(),
        backend_pid: 1,
        server_version: String::new(),
        application: "psql".to_owned(),
        durability: Durability::Strict,
        mode: Mode::Enforce,
        role_of: firsthand_model::session::RoleOf::Target,
        encoded: OnceLock::new(),
    }
}
