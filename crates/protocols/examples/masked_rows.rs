//! How fast rows are masked: the dialect is fed a long result in reads of 64 KiB, with 0, 2 of 4 columns masked, and all
//! looked through. `cargo run --release -p firsthand-protocols --example masked_rows`

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "a measurement, not a program")]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::BytesMut;
use firsthand_model::limits::RecordLimits;
use firsthand_model::target::{Durability, Mode};
use firsthand_model::time::MonoMicros;
use firsthand_protocols::dialect::{Action, Dialect};
use firsthand_protocols::postgres::dialect::{MESSAGE_BYTES_MAX, PostgresDialect, Setup};
use firsthand_session::Session;
use firsthand_session::fake::{Disk, fakes, target};
use firsthand_wire::postgres::encode::message;
use firsthand_wire::postgres::frontend;

const NOW: MonoMicros = MonoMicros(0);
const READ: usize = 64 << 10;

fn values(out: &mut BytesMut, values: &[&str]) {
    message(out, b'D', |out| {
        out.extend_from_slice(&(values.len() as u16).to_be_bytes());
        for value in values {
            out.extend_from_slice(&(value.len() as u32).to_be_bytes());
            out.extend_from_slice(value.as_bytes());
        }
    });
}

fn description(out: &mut BytesMut) {
    message(out, b'T', |out| {
        out.extend_from_slice(&4_u16.to_be_bytes());
        for (name, oid) in [("id", 23_u32), ("mail", 25), ("name", 25), ("note", 25)] {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&[0; 7]);
            out.extend_from_slice(&oid.to_be_bytes());
            out.extend_from_slice(&[0, 4, 255, 255, 255, 255, 0, 0]);
        }
    });
}

fn carry_out(dialect: &mut PostgresDialect, session: &Session, actions: Vec<Action>) -> usize {
    let mut told = 0;
    for action in actions {
        match action {
            Action::Ask(commands) => {
                let mut asking = Box::pin(session.submit(commands));
                let polled = Pin::new(&mut asking).poll(&mut Context::from_waker(Waker::noop()));
                let Poll::Ready(answers) = polled else { panic!("it waits") };
                let mut out = Vec::new();
                dialect.answered(answers, NOW, &mut out);
                told += carry_out(dialect, session, out);
            }
            Action::ToClient(reply) => told += reply.into_parts().0.len(),
            Action::Rows(number, piece) => session.record_rows(number, piece).unwrap(),
            Action::Complete { permit, outcome, last } => {
                told += session.complete(permit, *outcome).unwrap().reply(last).into_parts().0.len();
            }
            _ => {}
        }
    }
    told
}

fn measure(text: &str, rows: usize) {
    let mut to = target(Durability::Relaxed, Mode::Enforce);
    to.record = RecordLimits::default();
    let (session, admission) = fakes(Disk::Instant, to).open();
    let mut dialect = PostgresDialect::new(
        admission,
        Setup {
            analyzer: Arc::default(),
            knowing: None,
            parameters: Vec::new(),
            session_role: "app".to_owned(),
            role: "app".to_owned(),
            session: session.facts().id,
            message_bytes_max: MESSAGE_BYTES_MAX,
            budget: firsthand_protocols::budget::Budget::new(1 << 20),
            changed: firsthand_model::target::ChangedRows::Off,
            tables: None,
            unobserved: false,
        },
    );
    let mut client = BytesMut::new();
    frontend::encode_query(&mut client, text.as_bytes()).unwrap();
    let mut out = Vec::new();
    dialect.from_client(&mut client, NOW, &mut out);
    carry_out(&mut dialect, &session, out);
    let mut block = BytesMut::new();
    while block.len() < READ {
        values(
            &mut block,
            &["1234567", "ada.lovelace@example.com", "Ada Lovelace", "a note of some thirty letters"],
        );
    }
    let mut input = BytesMut::new();
    description(&mut input);
    let (start, mut fed, mut told, mut seen) = (Instant::now(), 0, 0, 0);
    while seen < rows {
        input.extend_from_slice(&block);
        fed += block.len();
        seen += 660;
        let mut out = Vec::new();
        dialect.from_server(&mut input, NOW, &mut out);
        told += carry_out(&mut dialect, &session, out);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{:>6.0} MB/s in, {told} of {fed} bytes out: {text}", fed as f64 / 1e6 / seconds);
}

fn main() {
    for text in [
        "select * from c",
        "select * from c /* MASK[-,-,-,-] */",
        "select * from c /* MASK[-,redact:email,redact:name,-] */",
        "select * from c /* MASK[-,partial:email,token:name,-] */",
        "select * from c /* MASK */",
    ] {
        measure(text, 2_000_000);
    }
}
