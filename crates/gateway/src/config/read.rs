//! From the text to the snapshot.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firsthand_adapters::credentials::{CredentialSpec, PasswordPlace};
use firsthand_adapters::identity::scram::sha256_hex;
use firsthand_model::grant::GrantRoles;
use firsthand_model::limits::RecordLimits;
use firsthand_model::target::{ChangedRows, Durability, Mode, Target};
use firsthand_protocols::drive::run::TimeLimits;
use firsthand_protocols::protocol::ListenLimits;
use firsthand_session::secret::Secret;
use toml::de::DeTable;

use super::grants;
use super::issuer::read_issuers;
use super::keys::protocol_names;
use super::roles;
use super::section::{At, Section};
use super::source::{Problem, Source};
use super::{
    CertificateFiles, Config, Listener, PolicyFiles, TargetConfig, TlsMode, approver_key, channel, client_ca,
    exchange, log, state, witness,
};

/// Sessions: each holds two sockets, and the kernel's limit on descriptors is rarely above a million.
const SESSIONS_MAX: u64 = 250_000;
/// Half-open connections: each holds a socket and a few KiB.
const HANDSHAKES_MAX: u64 = 100_000;
/// Bytes of large messages: more than a machine has is a mistake.
const LARGE_MESSAGES_MAX: u64 = 1 << 40;
/// Rows kept of one result: more is no longer read by people.
const ROWS_KEPT_MAX: u64 = 1_000_000;
/// Bytes kept of one result: they wait in memory until the log has them.
const BYTES_KEPT_MAX: u64 = 64 << 20;
/// How long a target's greeting may take: below what clients wait for a connection.
const GREETING_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

pub(super) fn read(file: &Path, text: &str) -> Result<Config, Vec<Problem>> {
    let source = Source::new(text);
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(e) => {
            let at = e.span().unwrap_or(0..0);
            source.problem(&at, "", e.message(), "this is not TOML (see toml.io)");
            return Err(source.problems.into_inner());
        }
    };
    let folder = folder_of(file);
    let top = Section::open(&source, "", String::new(), table.get_ref(), 0..0);
    let config = build(file, &folder, text, &top);
    let mut problems = source.problems.take();
    problems.sort_by_key(|p| (p.line, p.column));
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Config { resolved: source.resolved.take(), warnings: source.warnings.take(), ..config })
}

fn folder_of(file: &Path) -> PathBuf {
    let folder = file.parent().map(Path::to_path_buf).unwrap_or_default();
    std::path::absolute(&folder).unwrap_or(folder)
}

fn build(file: &Path, folder: &Path, text: &str, top: &Section<'_>) -> Config {
    let data_dir = top.path_in("data_dir", folder);
    let at = data_dir.as_ref().map(|d| d.span.clone());
    let data_dir = data_dir.map_or_else(|| folder.join("data"), |d| d.value);
    top.came_to("data_dir", at.as_ref(), data_dir.display().to_string());
    let listen = top.table("listen", "listen");
    if listen.is_none() && top.span_of("listen").is_none() {
        top.missing("listen");
    }
    let (mut listeners, mut http, mut tls, mut ask_for_secret) = (Vec::new(), None, None, false);
    if let Some(listen) = &listen {
        let with_tls = listen.span_of("tls").is_some();
        listeners = read_listeners(listen, with_tls);
        http = read_http(listen, &listeners);
        tls = read_certificate(listen, folder);
        ask_for_secret = read_proof(listen, with_tls);
    }
    let limits = read_limits(&top.table_or_defaults("limits", "limits"));
    let limits = ListenLimits { ask_for_secret, ..limits };
    let policy = read_policy(top, folder);
    let targets = read_targets(top, folder, policy.is_some());
    let names: Vec<_> = targets.iter().map(|t| t.target.name.as_str()).collect();
    let issuers = read_issuers(top, folder, &names, (tls.is_some(), http.is_some()));
    let client_cas = client_ca::read(top, folder, &names, &issuers, tls.is_some());
    let client_demand =
        listen.as_ref().map(|listen| client_ca::read_demand(listen, &client_cas)).unwrap_or_default();
    let log = top.table_or_defaults("log", "log");
    Config {
        file: file.to_path_buf(),
        data_dir,
        listeners,
        http,
        tls,
        limits,
        targets,
        client_cas,
        client_demand,
        exchange: exchange::read(top, &issuers),
        channels: channel::read(top, folder, http.is_some()),
        signers: approver_key::read(top),
        issuers,
        policy,
        shared_state: state::read(top, folder),
        origin: log::read(&log),
        witnesses: witness::read(top, folder, &log),
        hash: sha256_hex(text.as_bytes()),
        resolved: Vec::new(),
        warnings: Vec::new(),
    }
}

fn read_limits(section: &Section<'_>) -> ListenLimits {
    let default = ListenLimits::default();
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let sessions = section.count("sessions", number(default.sessions), SESSIONS_MAX);
    let handshakes = section.count("handshakes", number(default.handshakes), HANDSHAKES_MAX);
    let large = section.size("large_messages", number(default.large_messages), LARGE_MESSAGES_MAX);
    let startup = section.duration("startup", Some(default.startup)).unwrap_or(default.startup);
    let time = TimeLimits {
        idle: section.duration("idle", default.time.idle),
        stall: section.duration("stall", Some(default.time.stall)).unwrap_or(default.time.stall),
        drain: section.duration("drain", Some(default.time.drain)).unwrap_or(default.time.drain),
    };
    let small = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let (sessions, handshakes, large_messages) = (small(sessions), small(handshakes), small(large));
    ListenLimits { sessions, handshakes, startup, large_messages, time, ..default }
}

fn read_certificate(listen: &Section<'_>, folder: &Path) -> Option<CertificateFiles> {
    let Some(tls) = listen.table("tls", "listen.tls") else {
        if listen.span_of("tls").is_none() {
            listen.came_to("tls", None, "none: clear text, on loopback only");
        }
        return None;
    };
    read_pair(&tls, "cert", "key", folder)
}

/// Two paths of which both or neither must be there.
fn read_pair(section: &Section<'_>, cert: &str, key: &str, folder: &Path) -> Option<CertificateFiles> {
    let (c, k) = (section.path_in(cert, folder), section.path_in(key, folder));
    match (&c, &k) {
        (Some(_), None) if section.span_of(key).is_none() => section.missing(key),
        (None, Some(_)) if section.span_of(cert).is_none() => section.missing(cert),
        (None, None) if section.span_of(cert).is_none() => section.missing(cert),
        _ => {}
    }
    let (c, k) = (c?, k?);
    section.came_to(cert, Some(&c.span), c.value.display().to_string());
    section.came_to(key, Some(&k.span), k.value.display().to_string());
    Some(CertificateFiles { cert: c.value, key: k.value })
}

fn read_listeners(listen: &Section<'_>, with_tls: bool) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    for protocol in protocol_names() {
        let Some(At { value: address, span }) = read_address(listen, protocol) else { continue };
        if !address.ip().is_loopback() && !with_tls {
            listen.bad(
                &span,
                protocol,
                format!("{address} is reached from other machines, and there is no certificate"),
                "add tls = { cert = …, key = … } to [listen], or listen on 127.0.0.1",
            );
        }
        if address.port() != 0 && listeners.iter().any(|l| l.address == address) {
            listen.bad(
                &span,
                protocol,
                format!("{address} is taken by another listener"),
                "use another port",
            );
        }
        listen.came_to(protocol, Some(&span), address.to_string());
        listeners.push(Listener { protocol, address });
    }
    let tried = protocol_names().any(|p| listen.span_of(p).is_some());
    if listeners.is_empty()
        && !tried
        && let Some(first) = protocol_names().next()
    {
        listen.missing(first);
    }
    listeners
}

fn read_http(listen: &Section<'_>, listeners: &[Listener]) -> Option<SocketAddr> {
    let Some(At { value: address, span }) = read_address(listen, "http") else {
        listen.came_to("http", None, "not served");
        return None;
    };
    if address.port() != 0 && listeners.iter().any(|l| l.address == address) {
        listen.bad(&span, "http", format!("{address} is taken by another listener"), "use another port");
    }
    if !address.ip().is_loopback() {
        listen.warn(
            Some(&span),
            format!(
                "listen.http: health and metrics on {address} are reached from other machines without authentication{}",
                if listen.span_of("tls").is_some() { "" } else { "; the API takes no tokens there without listen.tls" }
            ),
        );
    }
    listen.came_to("http", Some(&span), address.to_string());
    Some(address)
}

fn read_address(listen: &Section<'_>, key: &str) -> Option<At<SocketAddr>> {
    let text = listen.text(key)?;
    let literal = match text.value.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.value.clone(),
    };
    match literal.parse() {
        Ok(value) => Some(At { value, span: text.span }),
        Err(_) => {
            let what = format!("`{}` is no address to listen on", text.value);
            listen.bad(&text.span, key, what, "write an IP address and a port, such as `127.0.0.1:6432`");
            None
        }
    }
}

fn read_proof(listen: &Section<'_>, with_tls: bool) -> bool {
    let proof = listen.choice("proof");
    let clear = proof.as_ref().is_some_and(|p| p.value == "clear-text");
    if let Some(at) = proof.as_ref().filter(|_| clear && !with_tls) {
        listen.bad(
            &at.span,
            "proof",
            "clear-text is asked for over TLS only, and there is no certificate",
            "add tls = { cert = …, key = … } to [listen], or leave proof out",
        );
    }
    listen.came_to("proof", proof.as_ref().map(|p| &p.span), if clear { "clear-text" } else { "scram" });
    clear
}

fn read_targets(top: &Section<'_>, folder: &Path, policy: bool) -> Vec<TargetConfig> {
    let mut targets: Vec<TargetConfig> = Vec::new();
    let sections = top.tables("target", "target");
    if sections.is_empty() {
        top.warn(None, "there is no [[target]]: nobody can be let in");
    }
    for section in sections {
        let name = section.required_text("name");
        if let Some(name) = &name {
            check_name(&section, name, &targets);
        }
        if let Some(target) = read_target(&section, name, folder, policy) {
            targets.push(target);
        }
    }
    targets
}

fn check_name(section: &Section<'_>, name: &At<String>, earlier: &[TargetConfig]) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.value.len() > 63 || !name.value.chars().all(fits) {
        section.bad(
            &name.span,
            "name",
            format!("`{}` is not fit for a name", name.value.escape_debug()),
            "use up to 63 letters, digits, `-`, `_` and `.`: it stands in connection strings",
        );
    }
    if earlier.iter().any(|t| t.target.name == name.value) {
        let what = format!("there is a target `{}` already", name.value);
        section.bad(&name.span, "name", what, "give each target a name of its own");
    }
}

/// Reads everything of a target, so that all its problems are found; `None` when something it needs is missing.
fn read_target(
    section: &Section<'_>,
    name: Option<At<String>>,
    folder: &Path,
    policy: bool,
) -> Option<TargetConfig> {
    let protocol = section.choice("protocol");
    if section.span_of("protocol").is_none() {
        section.missing("protocol");
    }
    if let Some(protocol) = &protocol {
        section.came_to("protocol", Some(&protocol.span), protocol.value);
    }
    let address = section.required_text("address").and_then(|a| read_host(section, a));
    let database = read_database(section, name.as_ref());
    let databases = section.texts("databases");
    let tls = read_tls(section, address.as_ref());
    let tls_ca = read_authorities(section, tls, folder);
    let tls_identity = match section.span_of("tls_cert").or(section.span_of("tls_key")) {
        Some(_) => read_pair(section, "tls_cert", "tls_key", folder),
        None => None,
    };
    let observe = read_mode(section);
    let credential = read_credential(section, folder);
    let record = section.table_or_defaults("record", "target.record");
    let kept = RecordLimits::default();
    let kept = RecordLimits {
        rows: record.count("rows", kept.rows, ROWS_KEPT_MAX),
        bytes: record.size("bytes", kept.bytes, BYTES_KEPT_MAX),
    };
    let durability = record.choice("durability");
    let relaxed = durability.as_ref().is_some_and(|d| d.value == "relaxed");
    let word = if relaxed { "relaxed" } else { "strict" };
    record.came_to("durability", durability.as_ref().map(|d| &d.span), word);
    let changed = read_changed(section, policy);
    let allow_unobserved = section.flag("allow_unobserved", false);
    let pin_read_only = section.flag("pin_read_only", true);
    let name_sessions = section.flag("name_sessions", true);
    let (offer, needs_grant) = grants::read(section);
    let timeout = section.duration("timeout", Some(GREETING_WAIT)).unwrap_or(GREETING_WAIT);
    let labels = section.texts("labels");
    if credential.as_ref().is_some_and(|(_, roles)| roles.is_some()) {
        roles::fits(section, offer.is_some(), changed);
    }
    let (name, protocol, address, (credential, roles)) = (name?, protocol?, address?, credential?);
    let target = Target {
        name: name.value,
        protocol: protocol.value.to_owned(),
        address: address.written,
        mode: if observe { Mode::Observe } else { Mode::Enforce },
        durability: if relaxed { Durability::Relaxed } else { Durability::Strict },
        record: kept,
        changed,
        allow_unobserved,
        pin_read_only,
        name_sessions,
        databases,
        database,
        grants: offer,
        needs_grant,
        roles,
    };
    let host = address.host;
    Some(TargetConfig { target, credential, tls, tls_ca, tls_identity, host, timeout, labels })
}

fn read_database(section: &Section<'_>, name: Option<&At<String>>) -> String {
    let written = section.text("database");
    let at = written.as_ref().map(|d| d.span.clone());
    let database = written.map(|d| d.value).or_else(|| name.map(|n| n.value.clone())).unwrap_or_default();
    section.came_to("database", at.as_ref(), &*database);
    database
}

/// Whoever has rules wants to know what was done to rows; without rules nothing is changed on its way that is not asked for.
fn read_changed(section: &Section<'_>, policy: bool) -> ChangedRows {
    let Some(written) = section.choice("changed_rows") else {
        let (changed, why) = if policy {
            (ChangedRows::Keys, "there is a [policy]")
        } else {
            (ChangedRows::Off, "there is no [policy]")
        };
        if section.span_of("changed_rows").is_none() {
            section.came_to_because("changed_rows", changed.word(), why);
        }
        return changed;
    };
    let changed = match written.value {
        "keys" => ChangedRows::Keys,
        "values" => ChangedRows::Values,
        "wal" => ChangedRows::Wal,
        _ => ChangedRows::Off,
    };
    section.came_to("changed_rows", Some(&written.span), changed.word());
    changed
}

fn read_mode(section: &Section<'_>) -> bool {
    let mode = section.choice("mode");
    let observe = mode.as_ref().is_some_and(|m| m.value == "observe");
    section.came_to("mode", mode.as_ref().map(|m| &m.span), if observe { "observe" } else { "enforce" });
    observe
}

/// A target's address in its parts.
struct Host {
    written: String,
    host: String,
    local: bool,
    socket: bool,
}

fn read_host(section: &Section<'_>, text: At<String>) -> Option<Host> {
    let written = text.value;
    if written.starts_with('/') {
        section.came_to("address", Some(&text.span), &*written);
        return Some(Host { written, host: "localhost".to_owned(), local: true, socket: true });
    }
    let parts = written.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let bare = |host: &str| host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).map(str::to_owned);
    match parts {
        Some((host, port)) if port != 0 && !host.is_empty() => {
            let host = bare(host).unwrap_or_else(|| host.to_owned());
            let local = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
            section.came_to("address", Some(&text.span), &*written);
            Some(Host { written, host, local, socket: false })
        }
        _ => {
            let what = format!("`{written}` is no address of a server");
            let hint = "write host and port, such as `db.internal:5432`, or the path of a Unix socket";
            section.bad(&text.span, "address", what, hint);
            None
        }
    }
}

fn read_tls(section: &Section<'_>, host: Option<&Host>) -> TlsMode {
    let local = host.is_none_or(|h| h.local);
    let chosen = section.choice("tls");
    let at = chosen.as_ref().map(|c| c.span.clone());
    let word = chosen.map_or(if local { "disable" } else { "verify-full" }, |c| c.value);
    section.came_to("tls", at.as_ref(), word);
    let mode = match word {
        "disable" => TlsMode::Disable,
        "prefer" => TlsMode::Prefer,
        "require" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        _ => TlsMode::VerifyFull,
    };
    if let Some(at) = &at {
        if host.is_some_and(|h| h.socket) && mode != TlsMode::Disable {
            section.bad(at, "tls", "there is no TLS on a Unix socket", "leave `tls` out");
        }
        if !local && matches!(mode, TlsMode::Disable | TlsMode::Prefer) {
            let what =
                format!("{}: statements and rows may cross the network in clear text", section.path("tls"));
            section.warn(Some(at), what);
        }
    }
    mode
}

fn read_authorities(section: &Section<'_>, tls: TlsMode, folder: &Path) -> Option<PathBuf> {
    let ca = section.path_in("tls_ca", folder)?;
    if !matches!(tls, TlsMode::VerifyCa | TlsMode::VerifyFull) {
        section.bad(
            &ca.span,
            "tls_ca",
            "is not looked at with this `tls`",
            "use tls = \"verify-full\" (or \"verify-ca\"), or leave tls_ca out",
        );
    }
    section.came_to("tls_ca", Some(&ca.span), ca.value.display().to_string());
    Some(ca.value)
}

fn read_credential(
    section: &Section<'_>,
    folder: &Path,
) -> Option<(CredentialSpec, Option<Arc<GrantRoles>>)> {
    if section.span_of("credential").is_none() {
        section.missing("credential");
    }
    let credential = section.table("credential", "target.credential")?;
    let spec = read_login(&credential, folder);
    let roles = roles::read(&credential, folder, spec.as_ref());
    let (admin, roles) = match roles {
        Some((admin, roles)) => (Some(Box::new(admin)), Some(Arc::new(roles))),
        None => (None, None),
    };
    Some((CredentialSpec { admin, ..spec? }, roles))
}

/// A role and where its password is.
pub(super) fn read_login(credential: &Section<'_>, folder: &Path) -> Option<CredentialSpec> {
    let user = credential.required_text("user");
    if let Some(user) = &user {
        credential.came_to("user", Some(&user.span), &*user.value);
    }
    let password = if credential.is_text("password") {
        credential.text("password").map(|text| {
            credential.came_to("password", Some(&text.span), "*** (written in the configuration)");
            let what = format!(
                "{}: a password in the configuration is read by whoever reads the file; use {{ env = … }} or {{ file = … }}",
                credential.path("password")
            );
            credential.warn(Some(&text.span), what);
            PasswordPlace::Inline(Secret::new(text.value))
        })
    } else {
        credential
            .table("password", "target.credential.password")
            .and_then(|table| read_place(&table, folder))
    };
    if credential.span_of("password").is_none() {
        credential.came_to("password", None, "none");
    }
    Some(CredentialSpec { user: user?.value, password, admin: None })
}

pub(super) fn read_place(table: &Section<'_>, folder: &Path) -> Option<PasswordPlace> {
    match (table.text("env"), table.path_in("file", folder)) {
        (Some(env), None) => {
            table.came_to("env", Some(&env.span), &*env.value);
            Some(PasswordPlace::Env(env.value))
        }
        (None, Some(file)) => {
            table.came_to("file", Some(&file.span), file.value.display().to_string());
            Some(PasswordPlace::File(file.value))
        }
        (Some(_), Some(file)) => {
            table.bad(&file.span, "file", "stands beside `env`", "keep one of them");
            None
        }
        (None, None) => {
            if table.is_empty() {
                table.missing("env");
            }
            None
        }
    }
}

/// Which rules are in force. What stands in them is read when they are loaded.
fn read_policy(top: &Section<'_>, folder: &Path) -> Option<PolicyFiles> {
    let policy = top.table("policy", "policy")?;
    let dir = policy.path_in("dir", folder);
    if let Some(dir) = &dir {
        if !dir.value.is_dir() {
            let what = format!("{} is no folder", dir.value.display());
            policy.bad(&dir.span, "dir", what, "make it and put rule files (*.toml, *.cedar) into it");
        }
        policy.came_to("dir", Some(&dir.span), dir.value.display().to_string());
    }
    let shipped = policy.flag("shipped", dir.is_none());
    if dir.is_none() && !shipped {
        policy.bad(
            &policy.span,
            "shipped",
            "there is no `dir` either, so there are no rules",
            "leave [policy] out for no rules",
        );
    }
    let originals = policy.text("originals").map(|group| {
        policy.came_to("originals", Some(&group.span), &*group.value);
        group.value
    });
    if originals.is_none() {
        policy.came_to("originals", None, "nobody");
    }
    Some(PolicyFiles { dir: dir.map(|d| d.value), shipped, originals })
}
