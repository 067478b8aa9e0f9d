//! What it costs a command to find the grant that covers it, where an identity has several in force. The rest of a decision is
//! measured by the example `decide` of the rules. `cargo run --release --example granted`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement is printed, and one that cannot be made says where"
)]

use std::sync::Arc;
use std::time::Instant;

use firsthand_adapters::approvals::answer::Say;
use firsthand_adapters::approvals::grants::Asking;
use firsthand_adapters::approvals::{Approvals, Groups};
use firsthand_adapters::clock::wall;
use firsthand_adapters::state::State;
use firsthand_model::command::{Command, Effect, Effects, Shape};
use firsthand_model::event::By;
use firsthand_model::grant::{AccessRequest, GrantOffer};
use firsthand_model::identity::{IdentityKind, Link, Trust};
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::{Facts, Relation};
use firsthand_model::target::{Durability, Mode, Target};
use firsthand_model::time::UnixMicros;
use firsthand_session::fake::{Disk, FakeLog, command, fakes, target};
use firsthand_session::port::Grants;

const ASKED: u32 = 1_000_000;
/// Grants in force for the one who asks: a day's work of an agent that asks for one table at a time.
const GRANTS: usize = 8;

struct Everybody;

impl Groups for Everybody {
    fn has_members(&self, _: &str) -> bool {
        true
    }

    fn is_member(&self, _: &str, _: &[&str]) -> bool {
        true
    }
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target { grants: Some(Arc::new(offer())), ..target(Durability::Strict, Mode::Enforce) };
    let session = fakes(Disk::Instant, target.clone()).open().0;
    let recorder = Arc::new(FakeLog::new(Disk::Instant));
    let approvals = Approvals::new(
        State::in_folder(folder.path()),
        recorder,
        b"a key of 32 bytes for a measure",
        Arc::new(Everybody),
    );
    approvals.compared();
    tokio::spawn(approvals.clone().keep_up());
    for number in 0..GRANTS {
        give(&approvals, session.facts(), &target, number).await;
    }
    // The last one that was given is the last one that is looked at.
    let wanted = reads(GRANTS - 1);
    while approvals.covers(session.facts(), &wanted, UnixMicros(wall().0)).is_none() {
        tokio::task::yield_now().await;
    }
    let (now, start) = (UnixMicros(wall().0), Instant::now());
    for _ in 0..ASKED {
        std::hint::black_box(approvals.covers(session.facts(), std::hint::black_box(&wanted), now)).unwrap();
    }
    println!("the grant of a command, of {GRANTS}: {} ns", (start.elapsed() / ASKED).as_nanos());
}

fn offer() -> GrantOffer {
    GrantOffer {
        approvers: Arc::from("dba"),
        quorum: 1,
        own: false,
        longest_us: 3_600_000_000,
        answer_us: 3_600_000_000,
        effects: Effects::only(Effect::Read),
    }
}

async fn give(approvals: &Approvals, session: &SessionFacts, target: &Target, number: usize) {
    let link = |name: &str| Link {
        kind: IdentityKind::Human,
        id: name.to_owned(),
        name: name.to_owned(),
        trust: Trust::Verified,
    };
    let request = AccessRequest {
        lasts: "30m".to_owned(),
        effects: "read".to_owned(),
        reason: "a measurement".to_owned(),
        tables: format!("public.orders_{number}"),
        commands: None,
    };
    let asking = Asking {
        identity: &session.identity,
        by: By::from(link("bot")),
        target,
        database: &session.database,
        request: &request,
        session: None,
    };
    let asked = approvals.ask_grant(&asking).await.unwrap();
    approvals.answer(&asked.id, &By::from(link("ada@example.com")), Say::Approve, "").await.unwrap();
}

fn reads(number: usize) -> Command {
    let relation = Relation {
        schema: "public".to_owned(),
        name: format!("orders_{number}"),
        oid: 1,
        ..Relation::default()
    };
    let facts = Facts { effects: Effects::only(Effect::Read), reads: vec![relation], ..Facts::default() };
    let mut asked = command("SELECT 1");
    asked.shape = Arc::new(Shape { facts: Some(Arc::new(facts)), ..(*asked.shape).clone() });
    asked
}
