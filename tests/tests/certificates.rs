//! Client certificates as an identity: unmodified clients, certificates of many kinds, revocation, and Firsthand's own authority.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use firsthand_tests::certificates::Certificates;
use firsthand_tests::clients::{installed, setup};
use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::place::Place;
use firsthand_tests::postgres::Postgres;
use firsthand_tests::process::{self, until};
use firsthand_tests::record::{Entry, Record};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use rustix::process::Signal;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

type Ca = CertifiedIssuer<'static, KeyPair>;

struct Rig {
    _server: Postgres,
    folder: tempfile::TempDir,
    ca: Ca,
    gateway: Gateway,
    root: PathBuf,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn authority(name: &str) -> Ca {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

/// Rules of the tests: a service by its common name, an agent by its SPIFFE id, two that contradict each other.
const RULES: &str = r#"
[[client_ca.allow]]
when      = ["ou = jobs", "cn = *"]
name_from = "cn"
kind      = "service"
owner     = "platform"
groups    = ["jobs"]
targets   = ["shop"]
[[client_ca.allow]]
when      = ["spiffe = spiffe://prod.acme.example/ns/agents/*"]
name_from = "spiffe"
kind      = "agent"
targets   = ["shop"]
[[client_ca.allow]]
when      = ["cn = both"]
name      = "somebody"
kind      = "human"
targets   = ["shop"]
[[client_ca.allow]]
when      = ["cn = night-agent"]
name      = "night-agent"
kind      = "agent"
targets   = ["shop"]
[[client_ca.allow]]
when      = ["cn = ops"]
name      = "ops"
kind      = "human"
roles     = ["admin"]
[[client_ca.allow]]
when      = ["cn = looks"]
name      = "looks"
kind      = "human"
roles     = ["auditor"]
"#;

impl Rig {
    /// A gateway with the authority `mesh`; `listen` stands in `[listen]`, `more` in the table of the authority.
    fn start(listen: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::write(folder.path()).unwrap();
        let (server, ca) = (Postgres::start(None).unwrap(), authority("mesh"));
        std::fs::write(folder.path().join("mesh.crt"), ca.pem()).unwrap();
        let top = format!(
            "[[client_ca]]\nname = \"mesh\"\nca = {:?}\n{more}\n{RULES}",
            folder.path().join("mesh.crt").display().to_string()
        );
        let mut gateway = Gateway::start(Settings {
            targets: vec![
                Target::of(&server.place("app", "shop")),
                Target::of(&server.place("app", "other")),
            ],
            tls: Some((certificates.crt("server"), certificates.key("server"))),
            more: top,
            ..Settings::default()
        })
        .unwrap();
        if !listen.is_empty() {
            let config = std::fs::read_to_string(gateway.config()).unwrap();
            let config = config.replacen("[listen]\n", &format!("[listen]\n{listen}\n"), 1);
            std::fs::write(gateway.config(), config).unwrap();
            gateway.daemon().unwrap().signal(Signal::HUP);
            gateway.daemon().unwrap().wait_line(|line| line.contains("reloaded")).unwrap();
        }
        Self { root: certificates.crt("ca"), _server: server, folder, ca, gateway }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `NAME.crt` and `NAME.key`, of a certificate of this authority, with what is between behind it.
    fn issue(&self, name: &str, cn: &str, change: impl FnOnce(&mut CertificateParams)) {
        self.issue_of(&self.ca, name, cn, change, "");
    }

    fn issue_of(
        &self,
        ca: &Ca,
        name: &str,
        cn: &str,
        change: impl FnOnce(&mut CertificateParams),
        between: &str,
    ) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, cn);
        params.distinguished_name.push(DnType::OrganizationalUnitName, "jobs");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, ca).unwrap().pem();
        std::fs::write(self.file(&format!("{name}.crt")), format!("{pem}{between}")).unwrap();
        write_private(&self.file(&format!("{name}.key")), &key.serialize_pem());
    }

    fn place(&self, user: &str, password: &str) -> Place {
        self.gateway.place(user, password, "shop").over_tls("verify-full", Some(self.root.clone()))
    }

    /// psql, with a certificate.
    fn psql(&self, user: &str, password: &str, certificate: &str) -> Command {
        let mut command = Command::new("psql");
        command
            .args(["-X", "-w", "-At", "-v", "ON_ERROR_STOP=1"])
            .envs(self.place(user, password).environment());
        with_certificate(&mut command, self.folder.path(), certificate);
        command
    }

    fn asks(&self, user: &str, password: &str, certificate: &str) -> Output {
        self.psql(user, password, certificate).args(["-c", "select 40 + 2"]).output().unwrap()
    }

    fn is_let_in(&self, user: &str, password: &str, certificate: &str) -> bool {
        let output = self.asks(user, password, certificate);
        output.status.success() && output.stdout == b"42\n"
    }

    /// Who is refused, and why the record says so.
    fn refused(&self, user: &str, password: &str, certificate: &str, detail: &str) {
        let before = refusals(&self.gateway.record().unwrap()).len();
        let output = self.asks(user, password, certificate);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{certificate}: {told}");
        assert!(told.contains("FATAL"), "told in the protocol: {certificate}: {told}");
        let mut seen = Vec::new();
        until("the refusal is in the record", || {
            seen = refusals(&self.gateway.record()?);
            Ok(seen.len() > before)
        })
        .unwrap();
        let last = seen.last().unwrap();
        assert!(last.payload("detail").as_str().unwrap().contains(detail), "{certificate}: {}", last.0);
    }

    fn curl(&self, certificate: &str, token: &str, path: &str) -> (String, String) {
        let mut command = Command::new("curl");
        command.args(["-sS", "-w", "\n%{http_code}", "--cacert"]).arg(&self.root);
        if !certificate.is_empty() {
            command.arg("--cert").arg(self.file(&format!("{certificate}.crt")));
            command.arg("--key").arg(self.file(&format!("{certificate}.key")));
        }
        if !token.is_empty() {
            command.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        let said = process::run(command.arg(format!("https://localhost:{}{path}", self.gateway.http_port())))
            .unwrap();
        let (body, status) = said.trim_end().rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    }

    fn reload(&mut self) {
        self.gateway.daemon().unwrap().signal(Signal::HUP);
        self.gateway.daemon().unwrap().wait_line(|line| line.contains("reloaded")).unwrap();
    }
}

fn with_certificate(command: &mut Command, folder: &Path, certificate: &str) {
    let file = |end: &str| match certificate {
        "" => "/nonexistent".to_owned(),
        name => folder.join(format!("{name}.{end}")).display().to_string(),
    };
    command.env("PGSSLCERT", file("crt")).env("PGSSLKEY", file("key"));
}

fn write_private(path: &Path, pem: &str) {
    std::fs::write(path, pem).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn refusals(record: &Record) -> Vec<Entry> {
    record.of_kind("identity.refused").cloned().collect()
}

fn crl(ca: &Ca, serial: &[u8]) -> String {
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2090, 1, 1),
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(ca).unwrap().pem().unwrap()
}

#[test]
fn unmodified_clients_begin_with_a_certificate_and_no_password() {
    for set in ["python", "npm"] {
        setup(set).unwrap();
    }
    let rig = Rig::start("", "");
    rig.issue("report", "report", |_| {});
    let id = "spiffe://prod.acme.example/ns/agents/triage";
    rig.issue("svid", "x", |p| {
        p.distinguished_name = rcgen::DistinguishedName::new();
        p.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
    });
    assert!(rig.is_let_in("mesh/report", "", "report"), "{:?}", rig.asks("mesh/report", "", "report"));
    assert!(rig.is_let_in("mesh", "", "svid"), "by the authority's name: {:?}", rig.asks("mesh", "", "svid"));
    let program = "
import psycopg
for more in ('', 'sslnegotiation=direct', 'ssl_max_protocol_version=TLSv1.2', 'gssencmode=disable max_protocol_version=3.2'):
    with psycopg.connect(more, autocommit=True) as c:
        print(c.execute('select 40 + 2').fetchone()[0], c.pgconn.used_password)
";
    let mut python = Command::new(installed().join("python").join("bin").join("python"));
    python.args(["-c", program]).envs(rig.place("mesh/report", "").environment());
    with_certificate(&mut python, rig.folder.path(), "report");
    let printed = process::run(&mut python).unwrap();
    assert_eq!(printed.lines().collect::<Vec<_>>(), ["42 False"; 4], "{printed}");
    let program = "
const fs = require('fs'), { Client } = require('pg');
const of = (name) => fs.readFileSync(process.env[name]);
const c = new Client({ ssl: { ca: of('PGSSLROOTCERT'), cert: of('PGSSLCERT'), key: of('PGSSLKEY'), servername: 'localhost' } });
c.connect().then(() => c.query('select 40 + 2 as n')).then((r) => { console.log(r.rows[0].n); return c.end(); });
";
    let mut node = Command::new("node");
    let place = rig.place("mesh/report", "");
    node.args(["-e", program]).envs(place.environment().into_iter().filter(|(name, _)| *name != "PGSSLMODE"));
    node.current_dir(installed().join("npm"));
    with_certificate(&mut node, rig.folder.path(), "report");
    assert_eq!(process::run(&mut node).unwrap(), "42\n");
    let record = rig.gateway.record().unwrap();
    let opened: Vec<_> = record.of_kind("session.opened").collect();
    assert_eq!(opened.len(), 7);
    assert!(opened.iter().all(|e| e.leaf("method").as_str() == Some("certificate")), "{record:?}");
    let first = opened[0];
    let kinds: Vec<_> = first.leaf("who")["chain"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| (l["kind"].as_str().unwrap(), l["trust"].as_str().unwrap()))
        .collect();
    assert_eq!(kinds, [("service", "verified"), ("certificate", "verified")]);
    assert_eq!(first.leaf("ca").as_str(), Some("mesh"));
    let der = CertificateDer::from_pem_file(rig.file("report.crt")).unwrap();
    let print = firsthand_adapters::identity::scram::sha256_hex(&der);
    let told = first.payload("certificate");
    assert_eq!(told["sha256"].as_str(), Some(print.as_str()));
    assert!(
        told["issuer"].as_str().unwrap().contains("CN=mesh")
            && told["subject"].as_str().unwrap().contains("CN=report"),
        "{told}"
    );
    assert!(told["serial"].as_str().is_some_and(|serial| !serial.is_empty()), "{told}");
    assert_eq!(first.payload("names")[0]["name"].as_str(), Some("mesh/report"));
    assert_eq!(
        first.payload("names")[1]["name"].as_str(),
        Some(format!("mesh/sha256:{}", &print[..16]).as_str())
    );
    assert_eq!(
        (first.payload("owner").as_str(), first.payload("groups")[0].as_str()),
        (Some("platform"), Some("mesh/jobs"))
    );
    assert_eq!(opened[1].payload("names")[0]["name"].as_str(), Some(format!("mesh/{id}").as_str()));
}

#[test]
fn what_does_not_count_is_refused_in_the_protocol_and_recorded() {
    let mut rig = Rig::start("", "");
    let (other, stranger) = (authority("mesh"), authority("stranger"));
    let between =
        CertifiedIssuer::signed_by(authority_params("between"), KeyPair::generate().unwrap(), &rig.ca)
            .unwrap();
    let none = |_: &mut CertificateParams| {};
    rig.issue_of(&between, "below", "below", none, &between.pem());
    assert!(rig.is_let_in("mesh/below", "", "below"), "{:?}", rig.asks("mesh/below", "", "below"));
    rig.issue_of(&between, "alone", "x", none, "");
    rig.issue_of(&other, "other", "x", none, "");
    rig.issue_of(&stranger, "stranger", "x", none, "");
    rig.issue("over", "x", |p| p.not_after = date_time_ymd(2020, 1, 1));
    rig.issue("early", "x", |p| p.not_before = date_time_ymd(2080, 1, 1));
    rig.issue("for-servers", "x", |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    rig.issue("nul", "ops\0.evil.example", none);
    rig.issue("wild", "*", none);
    rig.issue("both", "both", none);
    rig.issue("nobody", "x", |p| p.distinguished_name.push(DnType::OrganizationalUnitName, "others"));
    rig.issue("revoked", "x", |p| p.serial_number = Some(SerialNumber::from_slice(&[0x2a])));
    rig.issue("good", "x", none);
    std::fs::write(rig.file("middle.crt"), between.pem()).unwrap();
    write_private(&rig.file("middle.key"), &between.key().serialize_pem());
    for (certificate, detail) in [
        ("alone", "no configured authority"),
        ("other", "does not hold"),
        ("stranger", "no configured authority"),
        ("over", "has expired"),
        ("early", "not valid yet"),
        ("for-servers", "not for clients"),
        ("middle", "does not hold"),
        ("nul", "names nobody"),
        ("wild", "names nobody"),
        ("both", "different identities"),
        ("nobody", "no [[client_ca.allow]] fits"),
    ] {
        // Another name each time: failures of one are slowed down.
        rig.refused(&format!("mesh/{certificate}"), "", certificate, detail);
    }
    let why: Vec<_> = refusals(&rig.gateway.record().unwrap())
        .iter()
        .map(|e| e.leaf("why").as_str().unwrap().to_owned())
        .collect();
    assert!(why.iter().all(|why| why == "certificate"), "{why:?}");
    assert!(rig.is_let_in("mesh/x", "", "revoked"));
    let file = rig.file("list.pem");
    std::fs::write(&file, crl(&rig.ca, &[0x2a])).unwrap();
    rig.gateway
        .rewrite(|s| {
            s.more = s.more.replacen("name = \"mesh\"\n", &format!("name = \"mesh\"\ncrl = [{file:?}]\n"), 1)
        })
        .unwrap();
    rig.reload();
    rig.refused("mesh/x", "", "revoked", "was revoked");
    assert!(rig.is_let_in("mesh", "", "good"), "{:?}", rig.asks("mesh", "", "good"));
    // Of two lists of one authority only one would count: the older one, perhaps.
    std::fs::write(&file, crl(&rig.ca, &[0x2b]) + &crl(&rig.ca, &[0x2a])).unwrap();
    let checked = rig.gateway.command(&["check"]).unwrap().output().unwrap();
    let talk = String::from_utf8(checked.stderr).unwrap();
    assert!(!checked.status.success() && talk.contains("two revocation lists of"), "{talk}");
}

#[test]
fn tokens_work_as_before_and_the_login_name_says_which_is_meant() {
    let rig = Rig::start("", "");
    rig.issue("report", "report", |_| {});
    rig.issue("over", "report", |p| p.not_after = date_time_ymd(2020, 1, 1));
    let secret = rig.gateway.token("bot", &["shop"]).unwrap();
    assert!(rig.is_let_in("bot", &secret, ""));
    assert!(
        rig.is_let_in("bot", &secret, "report"),
        "beside a certificate of somebody else the token counts"
    );
    assert!(!rig.is_let_in("bot", "fh_wrong", "report"));
    assert!(!rig.is_let_in("mesh/report", "", ""), "a name alone proves nothing");
    rig.refused("other", &secret, "over", "has expired");
    let record = rig.gateway.record().unwrap();
    let methods: Vec<_> = record
        .of_kind("session.opened")
        .map(|e| (e.leaf("method").as_str().unwrap(), e.payload("login").as_str().unwrap()))
        .collect();
    assert!(
        methods.len() == 2
            && methods.iter().all(|(method, login)| method.starts_with("scram") && *login == "bot"),
        "{methods:?}"
    );
}

#[test]
fn both_can_be_asked_of_everybody() {
    let rig = Rig::start("client_certificate = \"with-token\"", "");
    for name in ["night-agent", "report", "x"] {
        rig.issue(name, name, |p| {
            if name == "night-agent" {
                p.distinguished_name = rcgen::DistinguishedName::new();
                p.distinguished_name.push(DnType::CommonName, name);
            }
        });
    }
    let secret = rig.gateway.token("night-agent", &["shop", "other"]).unwrap();
    let other = rig.gateway.token("day-agent", &["shop"]).unwrap();
    assert!(
        rig.is_let_in("night-agent", &secret, "night-agent"),
        "{:?}",
        rig.asks("night-agent", &secret, "night-agent")
    );
    rig.refused("night-agent", &secret, "", "no client certificate was shown");
    rig.refused("day-agent", &other, "night-agent", "different identities");
    rig.refused("night-agent", "fh_wrong", "night-agent", "secret is wrong");
    let record = rig.gateway.record().unwrap();
    let opened = record.of_kind("session.opened").next().unwrap();
    let kinds: Vec<_> =
        opened.leaf("who")["chain"].as_array().unwrap().iter().map(|l| l["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["human", "agent", "certificate", "token"]);
    assert_eq!(opened.leaf("method").as_str(), Some("scram-sha-256-plus"));
    let place =
        rig.gateway.place("night-agent", &secret, "other").over_tls("verify-full", Some(rig.root.clone()));
    let mut wider = rig.psql("night-agent", &secret, "night-agent");
    assert!(
        !wider.envs(place.environment()).args(["-c", "select 1"]).output().unwrap().status.success(),
        "only what both open"
    );
    let required = Rig::start("client_certificate = \"required\"", "");
    required.issue("report", "report", |_| {});
    let secret = required.gateway.token("bot", &["shop"]).unwrap();
    assert!(required.is_let_in("mesh/report", "", "report"));
    required.refused("bot", &secret, "", "no client certificate was shown");
    required.refused("bot", &secret, "report", "is not the name");
    assert_eq!(required.curl("", &format!("bot:{secret}"), "/v1/sessions").0, "401");
}

/// psql that stays, with one line answered.
struct Session {
    child: std::process::Child,
}

impl Session {
    fn begin(rig: &Rig, user: &str, certificate: &str) -> Self {
        let mut command = rig.psql(user, "", certificate);
        command.arg("-q").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut session = Self { child: command.spawn().unwrap() };
        assert_eq!(session.ask(), Some("42".to_owned()), "{user} {certificate}");
        session
    }

    /// Asks, and reads the answer; `None`: there is none.
    fn ask(&mut self) -> Option<String> {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(b"select 40 + 2;\n").ok()?;
        let mut answer = [0; 3];
        self.child.stdout.as_mut().unwrap().read_exact(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).trim_end().to_owned())
    }

    /// What it is told when it asks once more, at its end.
    fn told(mut self) -> String {
        let _ = self.ask();
        String::from_utf8_lossy(&self.child.wait_with_output().unwrap().stderr).into_owned()
    }
}

/// How a session ended that was ended.
fn ends(rig: &Rig) -> Entry {
    let mut closed = None;
    until("the session is closed", || {
        let record = rig.gateway.record()?;
        closed = record.of_kind("session.closed").find(|e| e.leaf("why").as_str() == Some("killed")).cloned();
        Ok(closed.is_some())
    })
    .unwrap();
    closed.unwrap()
}

#[test]
fn a_reload_that_takes_the_authority_away_ends_its_sessions() {
    let mut rig = Rig::start("", "");
    rig.issue("report", "report", |_| {});
    let session = Session::begin(&rig, "mesh/report", "report");
    rig.gateway.rewrite(|settings| settings.more.clear()).unwrap();
    rig.reload();
    let closed = ends(&rig);
    assert!(closed.payload("detail").as_str().unwrap().contains("certificate"), "{}", closed.0);
    drop(session.told());
    // Nobody is asked for one any more: the name has no token.
    assert!(!rig.is_let_in("mesh/report", "", "report"));
}

/// The rule gives something else from now on: whoever was let in by it is looked at anew, and who comes now is not mixed up with that.
#[test]
fn a_reload_that_gives_something_else_ends_its_sessions() {
    let mut rig = Rig::start("", "");
    rig.issue("report", "report", |_| {});
    let session = Session::begin(&rig, "mesh/report", "report");
    let other_targets = |more: &str| more.replace("[\"shop\"]", "[\"shop\", \"other\"]");
    rig.gateway.rewrite(|settings| settings.more = other_targets(&settings.more)).unwrap();
    rig.reload();
    let closed = ends(&rig);
    assert!(closed.payload("detail").as_str().unwrap().contains("certificate"), "{}", closed.0);
    drop(session.told());
    assert!(rig.is_let_in("mesh/report", "", "report"), "{:?}", rig.asks("mesh/report", "", "report"));
}

#[test]
fn commands_are_refused_once_the_certificate_has_ended() {
    let rig = Rig::start("", "");
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    rig.issue("short", "short", |p| {
        p.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds + 6)
    });
    let mut session = Session::begin(&rig, "mesh/short", "short");
    until("a command is refused", || Ok(session.ask().is_none())).unwrap();
    let told = session.told();
    assert!(told.contains("ERROR"), "refused in the protocol: {told}");
    rig.refused("mesh/short", "", "short", "has expired");
}

#[test]
fn who_is_contained_is_not_let_in_by_a_certificate() {
    let rig = Rig::start("", "");
    rig.issue("report", "report", |_| {});
    let session = Session::begin(&rig, "mesh/report", "report");
    let answer = rig.gateway.cli(&["contain", "identity", "mesh/report", "--reason", "ticket 7"]).unwrap();
    assert!(answer.contains("1 session ended"), "{answer}");
    assert!(session.told().contains("contained"), "its client is told");
    rig.refused("mesh/report", "", "report", "contained");
}

#[test]
fn firsthand_ca_issues_and_revokes_and_sessions_end_within_a_second() {
    let mut rig = Rig::start("", "");
    let made = rig.gateway.cli(&["ca", "init"]).unwrap();
    let data = rig.gateway.data_dir();
    assert!(made.contains("[[client_ca]]"), "{made}");
    let own = format!(
        "[[client_ca]]\nname = \"own\"\nca = {:?}\ncrl = [{:?}]\n[[client_ca.allow]]\nwhen = [\"cn = *\"]\nname_from = \"cn\"\nkind = \"agent\"\ntargets = [\"shop\"]\n",
        data.join("ca/ca.crt").display().to_string(),
        data.join("ca/crl.pem").display().to_string()
    );
    rig.gateway.rewrite(|settings| settings.more.push_str(&own)).unwrap();
    rig.reload();
    let out = rig.folder.path().display().to_string();
    let root = std::fs::read(&rig.root).unwrap();
    let id = "spiffe://prod.acme.example/ns/agents/triage";
    let printed = rig
        .gateway
        .cli(&["ca", "issue", "triage", "--for", "1h", "--uri", id, "--out", &out, "--json"])
        .unwrap();
    let issued: serde_json::Value = serde_json::from_str(&printed).unwrap();
    for file in [rig.file("triage.key"), data.join("ca/ca.key"), data.join("ca/issued.json")] {
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            file.display()
        );
    }
    assert!(rig.gateway.cli(&["ca", "issue", "x", "--for", "91d", "--out", &out]).is_err());
    let session = Session::begin(&rig, "own/triage", "triage");
    let resumable = Resumable::new(&rig, "triage");
    assert!(resumable.login(&rig, "own/triage"), "let in before");
    let serial = issued["serial"].as_str().unwrap();
    let mut revoke = rig.gateway.command(&["ca", "revoke", serial]).unwrap();
    assert!(process::run(&mut revoke).unwrap().contains("revoked"));
    let closed = ends(&rig);
    assert!(closed.payload("detail").as_str().unwrap().contains("certificate"), "{}", closed.0);
    let told = session.told();
    assert!(told.contains("certificate is not accepted any more"), "{told}");
    let record = rig.gateway.record().unwrap();
    let revoked = record.of_kind("admin.certificate_revoked").next().unwrap();
    let between = closed.leaf("mono").as_u64().unwrap() - revoked.leaf("mono").as_u64().unwrap();
    assert!(between < 1_000_000, "{between} microseconds after it was revoked");
    assert!(!resumable.login(&rig, "own/triage"), "a TLS session from before skips nothing");
    rig.refused("own/triage", "", "triage", "was revoked");
    assert!(rig.gateway.cli(&["ca", "crl"]).unwrap().contains("X509 CRL"));
    assert!(rig.gateway.cli(&["ca", "list"]).unwrap().contains("revoked"));
    let record = rig.gateway.record().unwrap();
    for (kind, key) in [
        ("admin.ca_made", "name"),
        ("admin.certificate_issued", "serial"),
        ("admin.certificate_revoked", "serial"),
    ] {
        let entry = record.of_kind(kind).next().unwrap_or_else(|| panic!("no {kind}"));
        assert!(entry.payload("detail")[key].is_string(), "{}", entry.0);
        assert_eq!(entry.leaf("by")["trust"].as_str(), Some("verified"), "{}", entry.0);
    }
    let listed = record.of_kind("admin.certificate_issued").next().unwrap();
    assert_eq!(listed.payload("detail")["uri"][0].as_str(), Some(id));
    assert_eq!(std::fs::read(&rig.root).unwrap(), root, "no other file was touched");
    // The whole log, with payloads: the authority's key and the client's are nowhere in it.
    let all = rig.gateway.cli(&["log", "cat", "--json"]).unwrap();
    assert!(!all.contains("PRIVATE KEY"));
}

/// A client of TLS 1.2 and 1.3 that keeps its sessions and tries to resume them.
struct Resumable {
    config: Arc<rustls::ClientConfig>,
}

impl Resumable {
    fn new(rig: &Rig, certificate: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&rig.root).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_file(rig.file(&format!("{certificate}.crt"))).unwrap()];
        let key = PrivateKeyDer::from_pem_file(rig.file(&format!("{certificate}.key"))).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        config.resumption = rustls::client::Resumption::in_memory_sessions(8);
        Self { config: Arc::new(config) }
    }

    /// Whether a login is accepted (AuthenticationOk).
    fn login(&self, rig: &Rig, user: &str) -> bool {
        let mut socket = TcpStream::connect(("127.0.0.1", rig.gateway.port())).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
        socket.read_exact(&mut [0]).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = rustls::ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        let mut tls = rustls::StreamOwned::new(connection, socket);
        let place = rig.place(user, "");
        tls.write_all(&firsthand_tests::raw::startup(&place, firsthand_tests::raw::PROTOCOL_3_0, &[]))
            .unwrap();
        let mut answer = [0; 9];
        tls.read_exact(&mut answer).unwrap();
        assert_ne!(tls.conn.handshake_kind(), Some(rustls::HandshakeKind::Resumed), "nothing is resumed");
        answer == [b'R', 0, 0, 0, 8, 0, 0, 0, 0]
    }
}

#[test]
fn the_api_takes_certificates_with_a_role() {
    let rig = Rig::start("", "");
    for name in ["ops", "looks", "report", "night-agent"] {
        rig.issue(name, name, |p| {
            p.distinguished_name = rcgen::DistinguishedName::new();
            p.distinguished_name.push(DnType::CommonName, name);
        });
    }
    rig.issue_of(&authority("stranger"), "stranger", "ops", |_| {}, "");
    let token = rig.gateway.role_token("reader", &["--role", "auditor", "--kind", "human"]).unwrap();
    let status = |certificate: &str, token: &str, path: &str| rig.curl(certificate, token, path).0;
    assert_eq!(status("ops", "", "/v1/sessions"), "200");
    assert_eq!(status("looks", "", "/v1/sessions"), "200");
    assert_eq!(status("looks", "", "/v1/ca/certificates"), "409", "there is no authority; its role would do");
    assert_eq!(status("night-agent", "", "/v1/sessions"), "403", "no role");
    assert_eq!(status("report", "", "/v1/sessions"), "401", "no rule");
    assert_eq!(status("stranger", "", "/v1/sessions"), "401");
    assert_eq!(status("", "", "/v1/sessions"), "401");
    assert_eq!(status("", "", "/healthz"), "200");
    assert_eq!(status("", &token, "/v1/sessions"), "200");
    assert_eq!(status("ops", &token, "/v1/sessions"), "200", "the token that is shown counts");
    assert_eq!(
        status("ops", "reader:fh_wrong", "/v1/sessions"),
        "401",
        "and where it is wrong, no certificate helps"
    );
    let record = rig.gateway.record().unwrap();
    let read: Vec<_> =
        record.of_kind("record.read").filter(|e| e.leaf("method").as_str() == Some("certificate")).collect();
    assert!(read.len() >= 2, "{record:?}");
    assert_eq!(read[0].payload("by").as_str(), Some("ops"), "{}", read[0].0);
}
