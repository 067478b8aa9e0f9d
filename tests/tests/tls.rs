//! TLS on both sides: requests, direct TLS, channel binding, verification of the target, client certificates.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use firsthand_tests::certificates::Certificates;
use firsthand_tests::clients::{installed, script, setup};
use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::lab::{AGENT, Lab, Plan, first_difference};
use firsthand_tests::place::Place;
use firsthand_tests::postgres::Postgres;
use firsthand_tests::process::{self, until};
use firsthand_tests::raw::{GSSENC_REQUEST, PROTOCOL_3_0, Raw, startup, tls_config};
use firsthand_tests::record::Record;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

fn lab() -> (Lab, PathBuf) {
    let lab = Lab::start(Plan { tls: true, ..Plan::default() }).unwrap();
    let root = lab.certificates.as_ref().unwrap().crt("ca");
    (lab, root)
}

fn login_over_tls(place: &Place, root: &std::path::Path) -> Raw {
    let mut raw = Raw::connect(place).unwrap();
    raw.upgrade(root).unwrap();
    raw.start(place, PROTOCOL_3_0, &[]).unwrap();
    raw
}

#[test]
fn ssl_request_gss_request_and_direct_tls() {
    let (lab, root) = lab();
    let place = lab.through();
    let mut raw = login_over_tls(&place, &root);
    raw.query("select 1").unwrap();
    // GSS is declined, and then TLS is asked for on the same socket (libpq does just that).
    let mut raw = Raw::connect(&place).unwrap();
    raw.send_code(GSSENC_REQUEST).unwrap();
    assert_eq!(raw.read_byte().unwrap(), b'N');
    raw.upgrade(&root).unwrap();
    raw.start(&place, PROTOCOL_3_0, &[]).unwrap();
    // Direct TLS: no request, and ALPN is required (PostgreSQL 17 docs, 55.2.11).
    let mut raw = Raw::connect(&place).unwrap();
    raw.handshake(&root, &[b"postgresql"]).unwrap();
    raw.start(&place, PROTOCOL_3_0, &[]).unwrap();
    raw.query("select 1").unwrap();
    for alpn in [&[][..], &[b"h2".as_slice()]] {
        let mut raw = Raw::connect(&place).unwrap();
        let refused = raw.handshake(&root, alpn).and_then(|()| raw.start(&place, PROTOCOL_3_0, &[]));
        assert!(refused.is_err(), "direct TLS without the protocol's name: {alpn:?}");
    }
    let record = lab.gateway.record().unwrap();
    let versions: Vec<_> =
        record.of_kind("session.opened").map(|e| e.leaf("tls").as_str().unwrap_or_default()).collect();
    assert!(versions.iter().all(|v| v.starts_with("TLSv1.")), "{versions:?}");
}

#[test]
fn libpq_binds_the_channel_and_speaks_3_2_and_direct_tls() {
    setup("python").unwrap();
    let (lab, root) = lab();
    let place = lab.through().over_tls("verify-full", Some(root));
    let program = "
import psycopg
for more in ('channel_binding=require', 'channel_binding=disable', 'sslnegotiation=direct', 'max_protocol_version=3.2',
             'min_protocol_version=3.2 max_protocol_version=3.2 channel_binding=require', 'ssl_max_protocol_version=TLSv1.2 channel_binding=require'):
    with psycopg.connect(more, autocommit=True) as c:
        key = c.info.backend_pid == c.execute('select pg_backend_pid()').fetchone()[0]
        try:
            c.execute('set statement_timeout = 20000')
            import threading
            t = threading.Timer(0, c.cancel_safe)
            c.execute('select 1')
            t.start(); t.join()
        except psycopg.errors.QueryCanceled:
            pass
        print(more, c.pgconn.ssl_in_use, c.execute('select 1').fetchone(), key)
";
    let python = installed().join("python").join("bin").join("python");
    let printed = process::run(Command::new(python).args(["-c", program]).envs(place.environment())).unwrap();
    assert_eq!(printed.lines().filter(|line| line.ends_with("True (1,) True")).count(), 6, "{printed}");
    let record = lab.gateway.record().unwrap();
    let methods: Vec<_> =
        record.of_kind("session.opened").map(|e| e.leaf("method").as_str().unwrap_or_default()).collect();
    assert_eq!(methods.first(), Some(&"scram-sha-256-plus"), "{methods:?}");
    assert_eq!(methods.get(1), Some(&"scram-sha-256"), "{methods:?}");
    let spoken: Vec<_> =
        record.of_kind("session.opened").map(|e| e.leaf("proto").as_str().unwrap_or_default()).collect();
    assert!(spoken.iter().any(|p| p.ends_with("3.2")), "{spoken:?}");
}

#[test]
fn drivers_over_tls_see_what_they_see_directly_over_tls() {
    for set in ["python", "npm", "pgjdbc"] {
        setup(set).unwrap();
    }
    let (lab, root) = lab();
    for client in ["psql", "psycopg3", "psycopg2", "asyncpg", "node-postgres", "postgresjs", "pgjdbc"] {
        let run = |place: Place| {
            let place = place.over_tls("verify-full", Some(root.clone()));
            process::run(script(client).unwrap().envs(place.environment())).unwrap()
        };
        let (direct, through) = (run(lab.direct()), run(lab.through()));
        if let Some(difference) = first_difference(&direct, &through) {
            panic!("{client}: {difference}");
        }
    }
}

#[test]
fn a_token_in_clear_is_asked_for_over_tls_only() {
    let (mut lab, root) = lab();
    lab.gateway.stop().unwrap();
    let config = std::fs::read_to_string(lab.gateway.config()).unwrap();
    std::fs::write(
        lab.gateway.config(),
        config.replacen("[listen]\n", "[listen]\nproof = \"clear-text\"\n", 1),
    )
    .unwrap();
    lab.gateway.serve().unwrap();
    login_over_tls(&lab.through(), &root).query("select 1").unwrap();
    // In clear it asks for a proof by SCRAM (authentication 10), never for the token itself (3), and lets in by that.
    let mut raw = Raw::connect(&lab.through()).unwrap();
    raw.stream.write_all(&startup(&lab.through(), PROTOCOL_3_0, &[])).unwrap();
    let asked = raw.read().unwrap().unwrap();
    assert_eq!((asked.tag, asked.body.first_chunk::<4>()), (b'R', Some(&[0, 0, 0, 10])), "{}", asked.line());
    let mut raw = Raw::connect(&lab.through()).unwrap();
    raw.start(&lab.through(), PROTOCOL_3_0, &[]).unwrap();
    let record = lab.gateway.record().unwrap();
    let methods: Vec<_> =
        record.of_kind("session.opened").map(|e| (e.leaf("method"), e.leaf("tls"))).collect();
    assert_eq!(methods.len(), 2, "{methods:?}");
    assert_eq!(methods[0].0.as_str(), Some("clear-text"));
    assert!(!methods[0].1.is_null(), "{methods:?}");
    assert_eq!(methods[1].0.as_str(), Some("scram-sha-256"));
    assert!(methods[1].1.is_null(), "{methods:?}");
}

/// A gateway in front of one target, with `change` applied to it; what a login says.
fn login_at(target: Target, name: &str) -> (Gateway, Result<Raw, String>) {
    let gateway =
        Gateway::start(Settings { targets: vec![target.named(name)], ..Settings::default() }).unwrap();
    let secret = gateway.token(AGENT, &[name]).unwrap();
    let outcome = Raw::login(&gateway.place(AGENT, &secret, name), &[]).map_err(|why| format!("{why:#}"));
    (gateway, outcome)
}

#[test]
fn the_target_is_verified_as_far_as_its_mode_says() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::write(folder.path()).unwrap();
    let server = Postgres::start(Some(&certificates)).unwrap();
    let place = server.place("app", "shop");
    let ca = |name: &str| format!("tls_ca = {:?}", certificates.crt(name).display().to_string());
    let cases = [
        ("disable", "", true),
        ("prefer", "", true),
        ("require", "", true),
        ("verify-ca", &*ca("ca"), true),
        ("verify-full", &ca("ca"), true),
        ("verify-ca", &ca("stranger"), false),
        ("verify-full", &ca("stranger"), false),
        ("verify-full", "", false),
    ];
    for (mode, more, works) in cases {
        let (gateway, outcome) = login_at(Target::of(&place).tls(mode).more(more), "shop");
        assert_eq!(outcome.is_ok(), works, "{mode} {more}: {:?}", outcome.err());
        let record = gateway.record().unwrap();
        if works {
            let mut raw = outcome.unwrap();
            let seen =
                raw.query("select 'tls ' || ssl from pg_stat_ssl where pid = pg_backend_pid()").unwrap();
            let expected = format!("tls {}", mode != "disable");
            assert!(seen.iter().any(|m| m.line().contains(&expected)), "{mode}: {seen:?}");
        } else {
            let told = outcome.unwrap_err();
            assert_eq!(record.of_kind("session.refused").count(), 1, "{mode} {more}: {told}\n{record:#?}");
        }
    }
}

#[test]
fn every_way_to_prove_oneself_to_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::write(folder.path()).unwrap();
    let server = Postgres::start(Some(&certificates)).unwrap();
    for (user, more) in [
        ("app", String::new()),
        ("md5_user", String::new()),
        ("clear_user", String::new()),
        (
            "cert_user",
            format!(
                "tls_cert = {:?}\ntls_key = {:?}",
                certificates.crt("cert_user").display().to_string(),
                certificates.key("cert_user").display().to_string()
            ),
        ),
    ] {
        let ca = format!("tls_ca = {:?}\n{more}", certificates.crt("ca").display().to_string());
        let target = Target::of(&server.place(user, "shop")).tls("verify-full").more(&ca);
        let (gateway, outcome) = login_at(target, "shop");
        let mut raw = outcome.unwrap_or_else(|why| panic!("{user}: {why}"));
        let seen = raw.query("select session_user").unwrap();
        assert!(seen.iter().any(|m| m.line().contains(user)), "{user}: {seen:?}");
        let record = gateway.record().unwrap();
        let opened = record.of_kind("session.opened").next().unwrap();
        assert_eq!(opened.leaf("who")["role"].as_str(), Some(user), "{}", opened.0);
    }
    // A wrong credential is the operator's mistake: the client learns that it was not its own, and no more.
    let mut wrong = Target::of(&server.place("app", "shop"));
    "wrong password of the target".clone_into(&mut wrong.password);
    let (gateway, outcome) = login_at(wrong, "shop");
    let why = outcome.unwrap_err();
    assert!(!why.contains("wrong password of the target") && !why.contains("C28P01"), "{why}");
    assert!(why.contains("does not let Firsthand in"), "{why}");
    let record = refusal_in(&gateway);
    assert_eq!(record.of_kind("session.refused").next().unwrap().leaf("why").as_str(), Some("credential"));
}

/// The record, once a refusal is in it: the client hears of it before the entry is on disk, for nobody was let in.
fn refusal_in(gateway: &Gateway) -> Record {
    let mut found = None;
    until("the refusal is in the record", || {
        found = gateway.record().ok().filter(|record| record.of_kind("session.refused").next().is_some());
        Ok(found.is_some())
    })
    .unwrap();
    found.unwrap()
}

/// Something between the gateway and the target that ends TLS with a certificate of its own and speaks TLS to the target: what
/// channel binding is there to notice. Serves one connection; returns its port.
fn interceptor(certificates: &Certificates, name: &str, target: u16) -> u16 {
    let chain = vec![CertificateDer::from_pem_file(certificates.crt(name)).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificates.key(name)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let root = certificates.crt("ca");
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut near, _) = listener.accept().unwrap();
        let mut request = [0; 8];
        near.read_exact(&mut request).unwrap();
        near.write_all(b"S").unwrap();
        let near = rustls::StreamOwned::new(rustls::ServerConnection::new(Arc::new(config)).unwrap(), near);
        let mut far = TcpStream::connect(("127.0.0.1", target)).unwrap();
        far.write_all(&request).unwrap();
        far.read_exact(&mut [0]).unwrap();
        let server = ServerName::try_from("localhost").unwrap();
        let client = rustls::ClientConnection::new(tls_config(&root, &[]).unwrap(), server).unwrap();
        relay(near, rustls::StreamOwned::new(client, far));
    });
    port
}

/// Carries bytes both ways until one side ends, looking at the two in turn.
fn relay(
    mut near: rustls::StreamOwned<rustls::ServerConnection, TcpStream>,
    mut far: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
) {
    let turn = Some(Duration::from_millis(5));
    near.sock.set_read_timeout(turn).unwrap();
    far.sock.set_read_timeout(turn).unwrap();
    let waits = |why: &std::io::Error| matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    let mut piece = [0; 4096];
    loop {
        match near.read(&mut piece) {
            Ok(0) => return,
            Ok(n) => far.write_all(&piece[..n]).unwrap(),
            Err(why) if waits(&why) => {}
            Err(_) => return,
        }
        match far.read(&mut piece) {
            Ok(0) => return,
            Ok(n) => near.write_all(&piece[..n]).unwrap(),
            Err(why) if waits(&why) => {}
            Err(_) => return,
        }
    }
}

#[test]
fn the_channel_to_the_target_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::write(folder.path()).unwrap();
    let server = Postgres::start(Some(&certificates)).unwrap();
    let through = |name: &str| {
        let mut place = server.place("app", "shop");
        place.port = interceptor(&certificates, name, server.port());
        // Any certificate is taken: only SCRAM's channel binding can tell that this is not the target's own.
        login_at(Target::of(&place).tls("require"), "shop")
    };
    // With the target's own certificate and key it is the target, as far as anybody can tell.
    let (_gateway, outcome) = through("server");
    outcome.unwrap().query("select 1").unwrap();
    let (gateway, outcome) = through("elsewhere");
    let why = outcome.map(drop).unwrap_err();
    assert!(why.contains("C57P03"), "{why}");
    let record = refusal_in(&gateway);
    let refused = record.of_kind("session.refused").next().unwrap();
    assert!(refused.payload("detail").to_string().contains("channel binding"), "{}", refused.0);
    assert_eq!(record.of_kind("session.opened").count(), 0);
}
