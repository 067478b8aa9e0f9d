//! Hostile input: a bounded refusal, flat memory, and another session that never notices.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::process::{PATIENCE, until};
use firsthand_tests::raw::{Message, PROTOCOL_3_0, Raw, SSL_REQUEST, Stream, frame, startup};

/// What the gateway may grow by under attack, in KiB: buffers of the connections under test and allocator slack, far below
/// what any of these attacks would cost a program that believes a length.
const GROWTH_KIB: u64 = 96 * 1024;
/// What parsing may add: the tree of one of the costliest statements that are parsed (`firsthand_sql::PARSE_BYTES_MAX`), and
/// the stacks that deep statements touch. It must not add up.
const PARSER_KIB: u64 = 640 * 1024;

/// A lab, a session that must stay responsive, and the memory at the start.
struct Attack {
    lab: Lab,
    bystander: Raw,
    before_kib: u64,
}

impl Attack {
    fn on(plan: Plan) -> Self {
        let mut lab = Lab::start(plan).unwrap();
        let mut bystander = Raw::login(&lab.through(), &[]).unwrap();
        for _ in 0..20 {
            bystander.query("select 1").unwrap();
        }
        let before_kib = lab.gateway.daemon().unwrap().resident_kib().unwrap();
        Self { lab, bystander, before_kib }
    }

    fn start() -> Self {
        Self::on(Plan::default())
    }

    fn socket(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.lab.gateway.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn said(&mut self) -> String {
        let ready = self.lab.gateway.http("/readyz");
        format!("{ready:?}\n{}", self.lab.gateway.daemon().unwrap().said())
    }

    /// The gateway still answers old and new sessions, and has not grown.
    fn unharmed(&mut self) {
        self.unharmed_within(GROWTH_KIB);
    }

    fn unharmed_within(&mut self, kib: u64) {
        let rows = self.bystander.query("select 'still here'").unwrap();
        assert!(rows.iter().any(|m| m.line().contains("still here")), "{rows:?}\n{}", self.said());
        let newcomer = Raw::login(&self.lab.through(), &[]);
        let mut newcomer = newcomer.unwrap_or_else(|why| panic!("{why:#}\n{}", self.said()));
        newcomer.query("select 1").unwrap();
        let now = self.lab.gateway.daemon().unwrap().resident_kib().unwrap();
        let grown = now.saturating_sub(self.before_kib);
        assert!(grown < kib, "the gateway grew by {grown} KiB from {} KiB", self.before_kib);
    }
}

/// Writes what it can and returns everything that came back until the other side closed.
fn provoke(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    // The gateway may close before it has read everything: that is an answer too.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn refused_with(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).into_owned()
}

fn codes(messages: &[Message]) -> Vec<String> {
    messages.iter().filter(|m| m.tag == b'E').filter_map(|m| m.field(b'C')).collect()
}

#[test]
fn startup_lengths_that_cannot_be_are_refused_without_being_believed() {
    let mut attack = Attack::start();
    for length in [0u32, 1, 4, 7, 10_001, 0x0100_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend(PROTOCOL_3_0.to_be_bytes());
        let answer = provoke(attack.socket(), &bytes);
        assert!(answer.is_empty() || answer.first() == Some(&b'E'), "{length}: {}", refused_with(&answer));
    }
    attack.unharmed();
}

#[test]
fn an_endless_startup_is_cut_off() {
    let mut attack = Attack::start();
    let place = attack.lab.through();
    let long = "x".repeat(9_000);
    let mut bytes = startup(&place, PROTOCOL_3_0, &[("application_name", &long), ("options", &long)]);
    bytes.extend(vec![b'y'; 4 << 20]);
    let answer = provoke(attack.socket(), &bytes);
    assert!(answer.is_empty() || answer.first() == Some(&b'E'), "{}", refused_with(&answer));
    // A startup that says 8 KiB and keeps sending parameters without an end.
    let mut bytes = 8192u32.to_be_bytes().to_vec();
    bytes.extend(PROTOCOL_3_0.to_be_bytes());
    bytes.extend(b"user\0".iter().chain(&[b'a'; 9_000]));
    let answer = provoke(attack.socket(), &bytes);
    assert!(answer.is_empty() || answer.first() == Some(&b'E'), "{}", refused_with(&answer));
    attack.unharmed();
}

#[test]
fn what_is_no_postgres_at_all_is_refused() {
    let mut attack = Attack::start();
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        vec![0; 4096],
        vec![0xff; 4096],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
    ] {
        let stream = attack.socket();
        let mut half = stream.try_clone().unwrap();
        let _ = half.write_all(&bytes);
        let _ = half.shutdown(Shutdown::Write);
        provoke(stream, &[]);
    }
    // Deterministic noise: a multiplicative generator is enough to reach odd lengths and types.
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..100 {
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed.to_be_bytes()[0]
        })
        .take(512)
        .collect();
        let stream = attack.socket();
        let mut half = stream.try_clone().unwrap();
        let _ = half.write_all(&noise);
        let _ = half.shutdown(Shutdown::Write);
        provoke(stream, &[]);
    }
    attack.unharmed();
}

#[test]
fn a_slow_login_is_ended_by_the_gateway() {
    let mut attack = Attack::start();
    attack.lab.gateway.stop().unwrap();
    attack.lab.gateway.rewrite(|settings| settings.more = "[limits]\nstartup = \"1s\"\n".to_owned()).unwrap();
    attack.lab.gateway.serve().unwrap();
    attack.bystander = Raw::login(&attack.lab.through(), &[]).unwrap();
    attack.before_kib = attack.lab.gateway.daemon().unwrap().resident_kib().unwrap();
    let whole = startup(&attack.lab.through(), PROTOCOL_3_0, &[]);
    let slow: Vec<TcpStream> = (0..60)
        .map(|number| {
            let mut stream = attack.socket();
            // Some say nothing, some a part of the startup, some all of it but never answer the challenge.
            let part = [0, 3, 9, whole.len()][number % 4];
            stream.write_all(&whole[..part]).unwrap();
            stream
        })
        .collect();
    for mut stream in slow {
        let mut rest = Vec::new();
        // The read ends because the gateway closes; the socket's own time limit would be an error here.
        let end = stream.read_to_end(&mut rest);
        assert!(end.is_ok() || end.unwrap_err().kind() == std::io::ErrorKind::ConnectionReset);
    }
    attack.unharmed();
}

/// As many open files as wanted, if the hard limit lets: how many are allowed now.
fn allow_open_files(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(wanted, |hard| hard.min(wanted));
    if limit.current.is_some_and(|now| now < most) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }).unwrap();
        return most;
    }
    limit.current.unwrap_or(u64::MAX)
}

#[test]
fn ten_thousand_half_open_connections_leave_room_for_others() {
    const COUNT: usize = 10_000;
    let mut attack = Attack::start();
    let allowed = allow_open_files(COUNT as u64 + 1000);
    let count = COUNT.min(usize::try_from(allowed.saturating_sub(400)).unwrap());
    assert!(count == COUNT, "only {allowed} open files are allowed\nhint: raise the hard limit (ulimit -Hn)");
    let mut waiting = Vec::with_capacity(count);
    for number in 0..count {
        waiting.push(attack.socket());
        if number % 1000 == 999 {
            attack.bystander.query("select 1").unwrap();
        }
    }
    // Newcomers are let in while the crowd stands at the door: the oldest of the crowd gives way.
    attack.unharmed();
    let mut rest = Vec::new();
    let first = waiting.first_mut().unwrap().read_to_end(&mut rest);
    assert!(first.is_ok() || first.unwrap_err().kind() == std::io::ErrorKind::ConnectionReset);
    drop(waiting);
    attack.unharmed();
    // That it happened is in the record: not one entry each, and none of them forgotten.
    attack.lab.gateway.stop().unwrap();
    let record = attack.lab.gateway.record().unwrap();
    let told: Vec<_> = record
        .of_kind("session.refused")
        .filter(|e| e.payload("detail").to_string().contains("gave way"))
        .collect();
    let dropped: u64 = told.iter().filter_map(|e| e.leaf("count").as_u64()).sum();
    assert!(dropped >= count as u64 - 512 && told.len() < 100, "{dropped} in {} entries", told.len());
    assert!(
        told.iter()
            .all(|e| e.leaf("why") == "limit" && e.payload("detail").to_string().contains("127.0.0.1 ("))
    );
}

#[test]
fn message_lengths_that_cannot_be_are_refused_in_the_protocol() {
    let mut attack = Attack::start();
    for (tag, length) in [
        (b'Q', 0x7fff_ffffu32),
        (b'P', 0x4000_0000),
        (b'B', 0x7fff_fff0),
        (b'd', 0x7fff_ffff),
        (b'X', 0xffff_ffff),
        (b'Q', 3),
        (b'S', 0),
    ] {
        let mut raw = Raw::login(&attack.lab.through(), &[]).unwrap();
        let mut bytes = vec![tag];
        bytes.extend(length.to_be_bytes());
        bytes.extend(vec![b'z'; 1 << 20]);
        let _ = raw.stream.write_all(&bytes);
        if let Stream::Plain(stream) = &raw.stream {
            let _ = stream.shutdown(Shutdown::Write);
        }
        // A reset may follow the answer, because what was sent is not read; it may not come in its place.
        let mut seen = Vec::new();
        while let Ok(Some(message)) = raw.read() {
            seen.push(message);
        }
        let said = codes(&seen);
        let one = matches!(said.as_slice(), [code] if code == "08P01" || code == "RF003");
        assert!(one, "{} with length {length:#x}: {said:?}", char::from(tag));
        attack.bystander.query("select 1").unwrap();
    }
    attack.unharmed();
}

#[test]
fn as_many_parameters_as_the_protocol_can_say() {
    let mut attack = Attack::start();
    let most = u16::MAX;
    let list = (1..=u32::from(most)).map(|n| format!("(${n}::int4)")).collect::<Vec<_>>().join(",");
    let mut parse = format!("\0select count(*), sum(v) from (values {list}) t (v)\0").into_bytes();
    parse.extend([0, 0]);
    let mut bind = vec![0, 0, 0, 1, 0, 1];
    bind.extend(most.to_be_bytes());
    for n in 0..u32::from(most) {
        bind.extend(4u32.to_be_bytes());
        bind.extend(n.to_be_bytes());
    }
    bind.extend([0, 0]);
    let mut raw = Raw::login(&attack.lab.through(), &[]).unwrap();
    for (tag, body) in [(b'P', parse.as_slice()), (b'B', &bind), (b'E', &[0, 0, 0, 0, 0]), (b'S', &[])] {
        raw.send(tag, body).unwrap();
    }
    let seen = raw.until(b'Z').unwrap();
    let row = seen.iter().find(|m| m.tag == b'D').unwrap_or_else(|| panic!("{seen:?}"));
    assert!(row.line().contains("65535") && row.line().contains("2147385345"), "{}", row.line());
    // A Bind that promises as many and brings none, and one that promises formats for ever.
    for body in [vec![0, 0, 0, 0, 0xff, 0xff], vec![0, 0, 0xff, 0xff]] {
        raw.send(b'B', &body).unwrap();
        raw.send(b'S', &[]).unwrap();
        let said = codes(&raw.until(b'Z').unwrap());
        assert_eq!(said.len(), 1, "{said:?}");
    }
    attack.unharmed_within(PARSER_KIB);
    let record = attack.lab.gateway.record().unwrap();
    assert!(record.intents("select count(*), sum(v) from (values").next().is_some());
}

#[test]
fn a_statement_too_large_to_parse_runs_and_is_told_as_unparsed() {
    let mut attack = Attack::start();
    let list = (0..300_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let sql = format!("select count(*) from generate_series(1, 10) n where n in ({list})");
    assert!(sql.len() > 1 << 20);
    let mut raw = Raw::login(&attack.lab.through(), &[]).unwrap();
    let seen = raw.query(&sql).unwrap();
    assert!(seen.iter().any(|m| m.tag == b'D' && m.line().ends_with("10")), "{:?}", codes(&seen));
    attack.unharmed();
    let record = attack.lab.gateway.record().unwrap();
    let intent = record.intents("select count(*) from generate_series(1, 10) n where n in").next().unwrap();
    let coverage = intent.leaf("coverage").as_array().cloned().unwrap_or_default();
    assert!(coverage.iter().any(|c| c == "unparsed"), "{}", intent.0);
}

/// What fifty sessions may make the gateway grow by that all keep sending the statements which take most to read: one of
/// them is read at a time (512 MiB) beside smaller ones, and each session holds its text while it waits.
const CROWD_KIB: u64 = 768 * 1024;

#[test]
fn fifty_sessions_with_the_costliest_statements_do_not_add_up() {
    let mut attack = Attack::start();
    // Of what was measured, this takes most for what it is expected to take.
    let costly = format!("drop function nobody(a{})", ",a".repeat(75_000));
    let (place, most) = (attack.lab.through(), Arc::new(AtomicU64::new(0)));
    let crowd: Vec<_> = (0..50)
        .map(|_| {
            let (place, costly) = (place.clone(), costly.clone());
            std::thread::spawn(move || {
                let mut raw = Raw::login(&place, &[]).unwrap();
                let mut answers = Vec::new();
                for _ in 0..2 {
                    // The target says no, or the gateway does, and the session lives on.
                    answers.extend(codes(&raw.query(&costly).unwrap()));
                }
                assert!(codes(&raw.query("select 1").unwrap()).is_empty());
                answers
            })
        })
        .collect();
    while !crowd.iter().all(|session| session.is_finished()) {
        // Small statements of others are read at once, and answered.
        attack.bystander.query("select 'meanwhile'").unwrap();
        let now = attack.lab.gateway.daemon().unwrap().resident_kib().unwrap();
        most.fetch_max(now, SeqCst);
    }
    let answers: Vec<String> = crowd.into_iter().flat_map(|session| session.join().unwrap()).collect();
    assert_eq!(answers.len(), 100);
    assert!(answers.iter().all(|code| code == "54023" || code == "RF003"), "{answers:?}");
    assert!(answers.iter().any(|code| code == "54023"), "{answers:?}");
    let grown = most.load(SeqCst).saturating_sub(attack.before_kib);
    assert!(grown < CROWD_KIB, "the gateway grew by {grown} KiB");
    attack.unharmed_within(CROWD_KIB);
}

#[test]
fn large_messages_of_all_sessions_share_their_room() {
    let mut attack = Attack::start();
    let room = "[limits]\nlarge_messages = \"24MiB\"\n".to_owned();
    attack.lab.gateway.stop().unwrap();
    attack.lab.gateway.rewrite(|settings| settings.more = room).unwrap();
    attack.lab.gateway.serve().unwrap();
    attack.bystander = Raw::login(&attack.lab.through(), &[]).unwrap();
    attack.before_kib = attack.lab.gateway.daemon().unwrap().resident_kib().unwrap();
    // Twelve sessions send most of 16 MiB each and stop: what has come is held, and it is more than there is room for.
    let half = [b"select '".as_slice(), &vec![b'x'; 8 << 20]].concat();
    let mut crowd = Vec::new();
    for _ in 0..12 {
        let mut raw = Raw::login(&attack.lab.through(), &[]).unwrap();
        let length = u32::try_from(16 << 20).unwrap();
        let Stream::Plain(stream) = &mut raw.stream else { panic!("clear text here") };
        stream.write_all(&[&[b'Q'][..], &length.to_be_bytes(), &half].concat()).unwrap();
        crowd.push(raw);
    }
    attack.unharmed();
    let mut refused = 0;
    for mut raw in crowd {
        let rest = [vec![b'x'; (8 << 20) - 14].as_slice(), b"'\0"].concat();
        let Stream::Plain(stream) = &mut raw.stream else { panic!("clear text here") };
        stream.write_all(&rest).unwrap();
        let said = codes(&raw.until(b'Z').unwrap());
        assert!(said.is_empty() || said == ["RF003"], "{said:?}");
        refused += said.len();
        // The session lives on, and there is room again once others are done.
        assert!(codes(&raw.query("select 1").unwrap()).is_empty());
    }
    assert!((9..12).contains(&refused), "{refused} of 12 were refused");
    let mut later = Raw::login(&attack.lab.through(), &[]).unwrap();
    let large = format!("select length('{}')", "x".repeat(12 << 20));
    assert!(codes(&later.query(&large).unwrap()).is_empty());
    attack.unharmed();
    let record = attack.lab.gateway.record().unwrap();
    let noted = record.of_kind("session.noted").filter(|e| e.leaf("what") == "refused").count();
    assert_eq!(noted, refused);
}

fn nested(depth: usize) -> String {
    format!("select {}1{}", "(select ".repeat(depth), ")".repeat(depth))
}

#[test]
fn deep_nesting_does_not_reach_the_end_of_a_stack() {
    let mut attack = Attack::start();
    let mut direct = Raw::login(&attack.lab.direct(), &[]).unwrap();
    let mut through = Raw::login(&attack.lab.through(), &[]).unwrap();
    for depth in [100, 2_000, 20_000, 200_000] {
        let cases = [
            format!("select {}1{}", "(".repeat(depth), ")".repeat(depth)),
            format!("select {}1", "- ".repeat(depth)),
            format!("select 1{}", " + 1".repeat(depth)),
            // Between some hundreds and the stack limit PostgreSQL itself takes seconds for these.
            nested(if depth == 2_000 { 200 } else { depth }),
            format!("select {}true", "not ".repeat(depth)),
            format!("{}select 1{}", "explain ".repeat(depth.min(2_000)), ";".repeat(depth)),
            format!("select '{}'::jsonb", "[".repeat(depth)),
        ];
        for sql in cases {
            let head: String = sql.chars().take(24).collect();
            let near = codes(&direct.query(&sql).unwrap());
            let far = codes(&through.query(&sql).unwrap_or_else(|why| panic!("{head} × {depth}: {why:#}")));
            assert_eq!(near, far, "{head} × {depth}");
        }
    }
    attack.unharmed_within(PARSER_KIB);
}

#[test]
fn text_that_is_not_utf8_is_passed_on_and_recorded() {
    let mut attack = Attack::start();
    let mut raw = Raw::login(&attack.lab.through(), &[]).unwrap();
    raw.send(b'Q', b"select '\xff\xfe\xc3(' as broken\0").unwrap();
    assert_eq!(codes(&raw.until(b'Z').unwrap()), ["22021"]);
    // A message that is malformed besides: the text is read first.
    let mut direct = Raw::login(&attack.lab.direct(), &[]).unwrap();
    for (tag, body) in
        [(b'P', &b"\0select '\xff\xfe'\0"[..]), (b'D', b"S\xc3(\0x"), (b'P', b"\xe2\x82\0select\0\0")]
    {
        let bytes = [frame(tag, body), frame(b'S', b"")].concat();
        let [near, far] = [&mut direct, &mut raw].map(|raw| {
            raw.stream.write_all(&bytes).unwrap();
            raw.until(b'Z').unwrap()
        });
        assert_eq!(codes(&far), ["22021"]);
        assert_eq!(near, far);
    }
    raw.query("set client_encoding = 'LATIN1'").unwrap();
    raw.send(b'Q', b"select 'caf\xe9' as latin\0").unwrap();
    let seen = raw.until(b'Z').unwrap();
    assert!(seen.iter().any(|m| m.tag == b'D' && m.body.ends_with(b"caf\xe9")));
    let mut odd = attack.lab.through();
    odd.user = "n\u{fffd}\u{0}obody".replace('\0', "");
    assert!(Raw::login(&odd, &[]).is_err());
    attack.unharmed();
    let record = attack.lab.gateway.record().unwrap();
    let broken = record.intents("as broken").next().unwrap();
    assert_eq!(record.outcome(broken).unwrap().sqlstate(), "22021");
    assert!(record.intents("as latin").next().is_some());
}

#[test]
fn a_pipeline_without_an_end_stays_bounded() {
    let mut attack = Attack::start();
    let raw = Raw::login(&attack.lab.through(), &[]).unwrap();
    let Stream::Plain(stream) = &raw.stream else { panic!("clear text here") };
    let mut writer = stream.try_clone().unwrap();
    // 64 MiB of Parse and Describe that nobody reads the answers of: written from a thread, because the gateway may stop
    // taking them, which is an answer too.
    let body = frame(b'P', &[b"\0select '".as_slice(), &[b'x'; 1000], b"'\0\0\0"].concat());
    let piece = [body, frame(b'D', b"S\0")].concat().repeat(64);
    writer.set_write_timeout(Some(std::time::Duration::from_secs(3))).unwrap();
    let flood =
        std::thread::spawn(move || (0..1000).take_while(|_| writer.write_all(&piece).is_ok()).count());
    for _ in 0..50 {
        attack.bystander.query("select 1").unwrap();
    }
    flood.join().unwrap();
    attack.unharmed();
    drop(raw.stream);
    attack.unharmed();
}

#[test]
fn a_client_that_stops_reading_holds_up_nobody() {
    let mut attack = Attack::start();
    let mut lazy = Raw::login(&attack.lab.through(), &[]).unwrap();
    lazy.send(b'Q', b"select n, repeat('x', 1000) from generate_series(1, 3000000) n\0").unwrap();
    // The event to wait for: the server cannot write on, because the gateway takes no more.
    let stuck = "select count(*) from pg_stat_activity where wait_event = 'ClientWrite'";
    until("the target waits for the client", || Ok(attack.lab.far.sql("postgres", stuck)? == "1")).unwrap();
    for _ in 0..100 {
        attack.bystander.query("select 1").unwrap();
    }
    attack.unharmed();
    drop(lazy);
    // And the target's side ends with it.
    let there = "select count(*) from pg_stat_activity where query like 'select n, repeat%'";
    until("the target's side ends", || Ok(attack.lab.far.sql("postgres", there)? == "0")).unwrap();
    attack.unharmed();
    attack.lab.gateway.stop().unwrap();
    let record = attack.lab.gateway.record().unwrap();
    let intent = record.intents("select n, repeat('x', 1000)").next().unwrap();
    let outcome = record.outcome(intent).unwrap();
    assert_eq!(outcome.kind(), "command.abandoned", "{}", outcome.0);
    assert_eq!(outcome.leaf("why").as_str(), Some("client-left"), "{}", outcome.0);
}

/// A Parse, Bind and Execute of `sql` as the statement `name`.
fn run(name: &str, sql: &str) -> Vec<u8> {
    [frame(b'P', format!("{name}\0{sql}\0\0\0").as_bytes()), execute(name)].concat()
}

fn execute(name: &str) -> Vec<u8> {
    [frame(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes()), frame(b'E', b"\0\0\0\0\0")].concat()
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    let mut attack = Attack::start();
    let (sync, done) = (frame(b'S', b""), frame(b'c', b""));
    let copy = [run("", "copy t from stdin"), sync.clone()].concat();
    let fail = frame(b'f', b"bye\0");
    let data = |text: &str| frame(b'd', text.as_bytes());
    let lost: [Vec<u8>; 7] = [
        run("", "select pg_sleep(0)"),
        copy.clone(),
        [&copy[..], &fail, &run("", "selec"), &sync, &frame(b'X', b"")].concat(),
        [&copy[..], &fail, &run("", "selec")].concat(),
        [&copy[..], &fail, &frame(b'Q', b"select 1\0")].concat(),
        // Which Syncs the target has swallowed cannot be told here.
        [
            &copy[..],
            &data("1\n"),
            &sync,
            &data("x\n"),
            &done,
            &run("s", "select 1"),
            &sync,
            &execute("s"),
            &sync,
        ]
        .concat(),
        frame(b'P', b"\0select 1\0\0\0")[..9].to_vec(),
    ];
    let mut direct = Raw::login(&attack.lab.direct(), &[]).unwrap();
    for (n, bytes) in lost.iter().enumerate() {
        let mut raw = Raw::login(&attack.lab.through(), &[]).unwrap();
        let pid = u32::from_be_bytes(raw.key[..4].try_into().unwrap());
        raw.query("create temporary table t (a int)").unwrap();
        raw.stream.write_all(bytes).unwrap();
        drop(raw);
        let asks = format!("select count(*) from pg_stat_activity where pid = {pid}");
        until(&format!("the backend of client {n} ends"), || {
            let seen = direct.query(&asks)?;
            Ok(seen.iter().any(|m| m.tag == b'D' && m.body.ends_with(b"0")))
        })
        .unwrap();
    }
    attack.unharmed();
    until("the record has the end of each session", || {
        Ok(attack.lab.gateway.record()?.of_kind("session.closed").count() >= lost.len())
    })
    .unwrap();
    let record = attack.lab.gateway.record().unwrap();
    assert!(record.unbalanced().is_empty(), "{:?}", record.unbalanced());
}

fn with_tls() -> (Attack, PathBuf) {
    let attack = Attack::on(Plan { tls: true, ..Plan::default() });
    let root = attack.lab.certificates.as_ref().unwrap().crt("ca");
    (attack, root)
}

#[test]
fn bytes_sent_before_tls_are_fatal() {
    let (mut attack, root) = with_tls();
    // CVE-2021-23214: what stands in the buffer in clear must never be read as though it had come through TLS.
    let mut raw = Raw::connect(&attack.lab.through()).unwrap();
    let mut bytes = 8u32.to_be_bytes().to_vec();
    bytes.extend(SSL_REQUEST.to_be_bytes());
    bytes.extend(startup(&attack.lab.through(), PROTOCOL_3_0, &[]));
    raw.stream.write_all(&bytes).unwrap();
    let mut outcome = raw.read_byte();
    if matches!(outcome, Ok(b'S')) {
        outcome = raw.handshake(&root, &[]).map(|()| 0);
    }
    assert!(outcome.is_err() || matches!(outcome, Ok(b'E')), "TLS went on after bytes in clear: {outcome:?}");
    attack.unharmed();
}

#[test]
fn garbage_instead_of_a_handshake_is_refused() {
    let (mut attack, _) = with_tls();
    for garbage in [vec![0u8; 100], vec![0x16, 3, 1, 0xff, 0xff, 1], b"Q\0\0\0\x0dselect 1\0".to_vec()] {
        let mut raw = Raw::connect(&attack.lab.through()).unwrap();
        raw.send_code(SSL_REQUEST).unwrap();
        assert_eq!(raw.read_byte().unwrap(), b'S');
        raw.stream.write_all(&garbage).unwrap();
        if let Stream::Plain(stream) = &raw.stream {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let mut rest = Vec::new();
        let _ = raw.stream.read_to_end(&mut rest);
        assert!(!rest.windows(4).any(|w| w == b"SELE"), "something ran");
    }
    attack.unharmed();
}

#[test]
fn garbage_inside_tls_is_refused() {
    let (mut attack, root) = with_tls();
    for garbage in [vec![0u8; 64], vec![0xff; 64], b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let mut raw = Raw::connect(&attack.lab.through()).unwrap();
        raw.upgrade(&root).unwrap();
        raw.stream.write_all(&garbage).unwrap();
        let mut rest = Vec::new();
        let _ = raw.stream.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest.first() == Some(&b'E'), "{}", refused_with(&rest));
    }
    // A second SSLRequest inside TLS: PostgreSQL does not take one.
    let mut raw = Raw::connect(&attack.lab.through()).unwrap();
    raw.upgrade(&root).unwrap();
    raw.send_code(SSL_REQUEST).unwrap();
    let mut rest = Vec::new();
    let _ = raw.stream.read_to_end(&mut rest);
    assert_ne!(rest.first(), Some(&b'S'), "TLS inside TLS was offered");
    attack.unharmed();
}
