//! What a session needs to know of its database before it begins: whatever holds that up, nobody is kept out by it for long,
//! and who is kept out is told so.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Instant;

use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::lab::{AGENT, Lab, Plan};
use firsthand_tests::postgres::Postgres;
use firsthand_tests::process::until;
use firsthand_tests::raw::Raw;

const TOP: &str = "[policy]\nshipped = true\n";
const SEED: &str = "create table customers (id int primary key); grant select on customers to app;";

/// The gateway reads what a database defines; a migration that waits for a lock keeps whoever comes behind it waiting, too.
#[test]
fn a_migration_that_waits_keeps_nobody_out() {
    let plan = Plan { top: TOP.to_owned(), seed: SEED.to_owned(), ..Plan::default() };
    let lab = Lab::start(plan).unwrap();
    let mut first = Raw::login(&lab.through(), &[]).unwrap();
    first.query("select 1").unwrap();
    // So that there is something new to read.
    lab.far.sql("shop", "create table newer (id int); alter table customers owner to app").unwrap();
    let target = lab.far.place("app", "shop");
    let mut holder = Raw::login(&target, &[]).unwrap();
    let held = holder.query("begin; select count(*) from customers").unwrap();
    assert!(held.iter().all(|m| m.tag != b'E'), "{held:?}");
    let mut migration = Raw::login(&target, &[]).unwrap();
    migration.send(b'Q', b"alter table customers add column waits int\0").unwrap();
    let waits = "select count(*) from pg_locks where not granted";
    until("the migration waits", || Ok(lab.far.sql("shop", waits)?.trim() != "0")).unwrap();
    let begun = Instant::now();
    for _ in 0..3 {
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        let seen = raw.query("select 1").unwrap();
        assert!(seen.iter().all(|m| m.tag != b'E'), "{seen:?}");
    }
    assert!(begun.elapsed().as_secs() < 12, "sessions waited for the migration");
    holder.query("rollback").unwrap();
    migration.until(b'Z').unwrap();
}

/// Passes bytes on both ways, until the client's hold this: they and what follows come nowhere.
fn pass_until(listener: &TcpListener, target: (Ipv4Addr, u16), stop: &'static [u8]) -> std::io::Result<()> {
    loop {
        let (client, _) = listener.accept()?;
        let server = TcpStream::connect(target)?;
        let (mut up, mut down) = ((client.try_clone()?, server.try_clone()?), (server, client));
        std::thread::spawn(move || std::io::copy(&mut down.0, &mut down.1));
        std::thread::spawn(move || {
            let mut some = vec![0; 1 << 16];
            let (mut said, mut silent) = (Vec::new(), false);
            while let Ok(n @ 1..) = up.0.read(&mut some) {
                said.extend_from_slice(&some[..n]);
                silent |= said.windows(stop.len()).any(|at| at == stop);
                if !silent && up.1.write_all(&some[..n]).is_err() {
                    break;
                }
            }
            let _ = up.1.shutdown(Shutdown::Both);
        });
    }
}

/// A target that stops answering while its definitions are read: who connects is told before the time of a login is over, and
/// the record says why.
#[test]
fn who_is_kept_out_by_definitions_that_do_not_come_is_told() {
    let server = Postgres::start(None).unwrap();
    let place = server.place("app", "shop");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, to) = (listener.local_addr().unwrap().port(), (Ipv4Addr::LOCALHOST, place.port));
    std::thread::spawn(move || pass_until(&listener, to, b"pg_class"));
    let target = Target { port, ..Target::of(&place) };
    let settings = Settings { more: TOP.to_owned(), targets: vec![target], ..Settings::default() };
    let gateway = Gateway::start(settings).unwrap();
    let secret = gateway.token(AGENT, &["shop"]).unwrap();
    let begun = Instant::now();
    let told = Raw::login(&gateway.place(AGENT, &secret, "shop"), &[]).unwrap_err().to_string();
    assert!(told.contains("C57P03") && told.contains("cannot reach this target"), "{told}");
    assert!((7..14).contains(&begun.elapsed().as_secs()), "told after {:?}", begun.elapsed());
    let record = gateway.record().unwrap();
    assert!(record.of_kind("session.opened").next().is_none());
    let failed: Vec<_> =
        record.0.iter().filter(|e| e.0.to_string().contains("could not be read in time")).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
}
