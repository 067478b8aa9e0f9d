//! The table of mistakes: each file, and the exact words it is answered with.

use super::*;

const GOOD: &str = r#"
data_dir = "data"
[listen]
postgres = "127.0.0.1:6432"
http = "localhost:8300"
[[target]]
name = "orders"
protocol = "postgres"
address = "127.0.0.1:5432"
credential = { user = "rw", password = { env = "P" } }
"#;

fn errors(text: &str) -> String {
    match Config::parse(Path::new("f.toml"), text) {
        Ok(_) => "no error".to_owned(),
        Err(problems) => failure(Path::new("f.toml"), &problems).to_string(),
    }
}

/// The good file with a line replaced (or, for an empty `from`, one added at the end).
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    if from.is_empty() { format!("{GOOD}{to}\n") } else { GOOD.replace(from, to) }
}

#[test]
fn a_good_file_resolves_with_its_defaults() {
    let config = Config::parse(Path::new("/etc/fh/f.toml"), GOOD).unwrap();
    assert_eq!(config.data_dir, Path::new("/etc/fh/data"));
    assert_eq!(config.http.unwrap().to_string(), "127.0.0.1:8300");
    let target = &config.targets[0];
    assert_eq!((target.target.database.as_str(), target.tls), ("orders", TlsMode::Disable));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let far = with("127.0.0.1:5432", "db.internal:5432");
    assert_eq!(Config::parse(Path::new("f"), &far).unwrap().targets[0].tls, TlsMode::VerifyFull);
    let resolved = |key: &str| config.resolved.iter().find(|r| r.key == key).cloned().unwrap();
    assert_eq!(resolved("target.orders.address").line, Some(9));
    assert_eq!(resolved("target.orders.record.bytes").value, "1MiB");
    assert_eq!(resolved("target.orders.record.bytes").line, None);
}

#[test]
fn changed_rows_are_told_by_key_where_there_are_rules() {
    for (more, word, why) in [
        ("", "off", Some("there is no [policy]")),
        ("[policy]\nshipped = true", "keys", Some("there is a [policy]")),
    ] {
        let config = Config::parse(Path::new("/etc/fh/f.toml"), &with("", more)).unwrap();
        let resolved = config.resolved.iter().find(|r| r.key == "target.orders.changed_rows").unwrap();
        assert_eq!((resolved.value.as_str(), resolved.why, resolved.line), (word, why, None));
        assert_eq!(config.targets[0].target.changed.word(), word);
    }
    for word in ["off", "keys", "values", "wal"] {
        let text = with("address =", &format!("changed_rows = \"{word}\"\naddress ="));
        let text = format!("{text}\n[policy]\nshipped = true\n");
        let config = Config::parse(Path::new("/etc/fh/f.toml"), &text).unwrap();
        let resolved = config.resolved.iter().find(|r| r.key == "target.orders.changed_rows").unwrap();
        assert_eq!((resolved.value.as_str(), resolved.why, resolved.line), (word, None, Some(9)));
    }
}

#[test]
fn mistakes_are_answered_with_place_key_and_what_to_do() {
    // One mistake, one error: what a misspelt key stands for is not missing as well.
    let said = errors(&with("address =", "adress ="));
    let head = "error: f.toml:9:1: target.orders.adress: unknown key\nhint: did you mean `address`? There are `name`,";
    assert!(said.starts_with(head), "{said}");
    assert!(errors(&with("address =", "where =")).contains("target.orders.address: is missing"));
    for (text, want) in mistakes() {
        assert_eq!(errors(&text), want);
    }
}

/// A file with one mistake, and what is said of it.
fn mistakes() -> [(String, &'static str); 12] {
    [
        (
            with("[listen]", "[listn]"),
            "error: f.toml:3:2: listn: unknown key\n\
             hint: did you mean `listen`? There are `data_dir`, `listen`, `limits`, `target`, `issuer`, `exchange`, `policy`, `state`, `log`, `client_ca`, `channel`, `approver_key`, `witness`",
        ),
        (
            with("127.0.0.1:6432", "0.0.0.0:6432"),
            "error: f.toml:4:12: listen.postgres: 0.0.0.0:6432 is reached from other machines, and there is no certificate\n\
             hint: add tls = { cert = …, key = … } to [listen], or listen on 127.0.0.1",
        ),
        (
            with("protocol = \"postgres\"", "protocol = \"postgras\""),
            "error: f.toml:8:12: target.orders.protocol: `postgras` is not one of `postgres`\n\
             hint: did you mean `postgres`? There are `postgres`",
        ),
        (
            with("", "record = { bytes = \"1MB\" }"),
            "error: f.toml:11:20: target.orders.record.bytes: `MB` is no unit of size: use B, KiB, MiB or GiB, as in `1MiB`\n\
             hint: the default is `1MiB`",
        ),
        (
            with("", "record = { rows = \"many\" }"),
            "error: f.toml:11:19: target.orders.record.rows: expected whole number from 1, found a string\n\
             hint: write it like `rows = 1000`",
        ),
        (
            with("", "mode = \"observ\""),
            "error: f.toml:11:8: target.orders.mode: `observ` is not one of `enforce`, `observe`\n\
             hint: did you mean `observe`? There are `enforce`, `observe`",
        ),
        (
            with("127.0.0.1:5432", "127.0.0.1"),
            "error: f.toml:9:11: target.orders.address: `127.0.0.1` is no address of a server\n\
             hint: write host and port, such as `db.internal:5432`, or the path of a Unix socket",
        ),
        (
            with("password = { env = \"P\" }", "password = { vault = \"P\" }"),
            "error: f.toml:10:42: target.orders.credential.password.vault: unknown key\n\
             hint: there are `env`, `file`",
        ),
        (
            with("", "tls = \"require\"\ntls_ca = \"ca.crt\""),
            "error: f.toml:12:10: target.orders.tls_ca: is not looked at with this `tls`\n\
             hint: use tls = \"verify-full\" (or \"verify-ca\"), or leave tls_ca out",
        ),
        (
            with("localhost:8300", "127.0.0.1:6432"),
            "error: f.toml:5:8: listen.http: 127.0.0.1:6432 is taken by another listener\n\
             hint: use another port",
        ),
        (
            with("", "[limits]\nidle = \"10\""),
            "error: f.toml:12:8: limits.idle: `10` has no unit: write it like `30s`, `10m`, `8h` or `7d`\n\
             hint: durations are written like `30s`, `10m`, `8h` or `7d`",
        ),
        (
            with("name = \"orders\"", "name = \"or ders\""),
            "error: f.toml:7:8: target.or ders.name: `or ders` is not fit for a name\n\
             hint: use up to 63 letters, digits, `-`, `_` and `.`: it stands in connection strings",
        ),
    ]
}

#[test]
fn what_is_not_toml_is_told_with_its_line() {
    let said = errors("data_dir = \"data\n[listen]\n");
    assert!(said.starts_with("error: f.toml:1:"), "{said}");
    assert!(said.ends_with("hint: this is not TOML (see toml.io)"), "{said}");
}

#[test]
fn rules_are_shipped_or_in_a_folder_that_exists() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f.toml");
    let policy = |text: &str| Config::parse(&file, &format!("{GOOD}[policy]\n{text}"));
    assert_eq!(Config::parse(&file, GOOD).unwrap().policy, None);
    assert!(policy("").unwrap().policy.unwrap().shipped);
    let problems = policy("dir = \"policy\"").unwrap_err();
    assert!(problems[0].what.contains("is no folder"), "{problems:?}");
    std::fs::create_dir(dir.path().join("policy")).unwrap();
    let folder = Some(dir.path().join("policy"));
    let with = |shipped| Some(PolicyFiles { dir: folder.clone(), shipped, originals: None });
    assert_eq!(policy("dir = \"policy\"").unwrap().policy, with(false));
    assert_eq!(policy("dir = \"policy\"\nshipped = true").unwrap().policy, with(true));
    assert!(policy("shipped = false").is_err());
}

#[test]
fn a_password_in_the_file_works_and_is_warned_about_and_not_shown() {
    let text = with("{ env = \"P\" }", "\"hunter2\"");
    let config = Config::parse(Path::new("f.toml"), &text).unwrap();
    assert_eq!(config.warnings.len(), 1);
    assert!(!format!("{config:?}").contains("hunter2"));
}

/// An issuer behind the good file.
fn issuer(more: &str) -> String {
    let issuer = "[[issuer]]\nname = \"corp\"\nurl = \"https://id.corp.example\"\naudience = [\"fh\"]\nkind = \"human\"\n";
    let allow = "[[issuer.allow]]\ntargets = [\"orders\"]\n";
    format!("{GOOD}{issuer}{more}\n{allow}")
}

#[test]
fn the_examples_of_issuers_in_the_documentation_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","use":"jwt-svid","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    std::fs::write(folder.path().join("bundle.json"), key).unwrap();
    let text = include_str!("../../../../docs/identity.md");
    let examples: Vec<_> =
        text.split("```toml\n").skip(1).filter_map(|part| part.split_once("```")).collect();
    let mut whole = GOOD.to_owned();
    // Those of authorities need files that are certificates.
    for (example, _) in examples.iter().filter(|(example, _)| !example.contains("[[client_ca]]")) {
        whole.push_str(example);
    }
    let config = Config::parse(&folder.path().join("f.toml"), &whole).unwrap();
    let names: Vec<_> = config.issuers.iter().map(|i| (i.name.as_str(), i.prefix.as_str())).collect();
    assert_eq!(
        names,
        [("prod", "prod/"), ("github", "github/"), ("mesh", ""), ("corp", "corp/"), ("staff", "staff/")]
    );
    let warned: Vec<_> = config.warnings.iter().map(|w| w.what.as_str()).collect();
    assert_eq!(
        warned.iter().filter(|w| w.contains("over TLS only")).count(),
        4,
        "there is no listen.tls here; at the last of them people only sign in"
    );
    assert_eq!(warned.iter().filter(|w| w.contains("stand beside those of tokens")).count(), 1, "{warned:?}");
}

#[test]
fn who_may_act_for_whom_is_named_on_both_sides() {
    let parsed = |more: &str| Config::parse(Path::new("f.toml"), &format!("{GOOD}[[exchange]]\n{more}\n"));
    let rules =
        parsed("agents = [\"bot\"]\nfor = [\"corp/*\"]\ngroups = [\"corp/oncall\"]").unwrap().exchange;
    assert_eq!(rules.len(), 1);
    let config = parsed("agents = [\"bot\"]\nfor = [\"ada\"]\ngroups = [\"nosuch/oncall\"]").unwrap();
    assert!(
        config.warnings.iter().any(|w| w.what.contains("no [[issuer]] has the name `nosuch`")),
        "{:?}",
        config.warnings
    );
    let named = config.resolved.iter().filter(|line| line.key.contains("agents")).count();
    assert_eq!(named, 1, "{:?}", config.resolved);
    assert_eq!(
        (&rules[0].agents[0], &rules[0].people[0], &rules[0].groups[0]),
        (&"bot".to_owned(), &"corp/*".to_owned(), &"corp/oncall".to_owned())
    );
    for (more, want) in [
        ("for = [\"ada\"]", "agents: is missing"),
        ("agents = []\nfor = [\"ada\"]", "agents: names nobody"),
        ("agents = [\"\"]\nfor = [\"ada\"]", "agents: names nobody"),
        ("agents = [\"bot\"]", "it names no people"),
        ("agents = [\"bot\"]\nfor = []", "for: names nobody"),
        ("agents = [\"bot\"]\ngroups = []", "groups: names nobody"),
        ("agents = [\"bot\"]\nfor = [\"ada\"]\npeople = [\"eve\"]", "unknown key"),
    ] {
        let problems = parsed(more).map(|_| ()).unwrap_err();
        let told: Vec<_> = problems.iter().map(|p| format!("{}: {}", p.key, p.what)).collect();
        assert!(told.iter().any(|t| t.contains(want)), "{more}: {told:?}");
    }
}

#[test]
fn an_issuer_that_would_let_in_too_many_is_not_taken() {
    assert_eq!(errors(&issuer("")), "no error");
    for (text, want) in [
        (issuer("algorithms = [\"HS256\"]"), "`HS256` is not taken"),
        (issuer("algorithms = [\"none\"]"), "`none` is not taken"),
        (issuer("algorithms = []"), "issuer.corp.algorithms: is empty"),
        (issuer("skew = \"1h\""), "issuer.corp.skew: is more than 5m"),
        (issuer("max_bytes = \"1MiB\""), "issuer.corp.max_bytes"),
        (issuer("jwks_url = \"http://id.corp.example/keys\""), "not fetched in clear text"),
        (issuer("jwks_url = \"https://a:b@id.corp.example/keys\""), "a name or a secret in it"),
        (issuer("jwks_file = \"nothing.json\""), "issuer.corp.jwks_file"),
        (issuer("jwks_url = \"https://x/y\"\njwks_file = \"z\""), "stands beside `jwks_url`"),
        (issuer("name_claim = \"\""), "names no claim"),
        (issuer("kind_claim = \"kind\""), "stands beside `kind_claim`"),
        (issuer("").replace("kind = \"human\"", ""), "issuer.corp.kind: is missing"),
        (issuer("").replace("audience = [\"fh\"]", ""), "issuer.corp.audience: is missing"),
        (issuer("").replace("audience = [\"fh\"]", "audience = []"), "issuer.corp.audience: is empty"),
        (issuer("").replace("https://id", "http://id"), "so it cannot be asked for its keys"),
        (
            issuer("").replace("https://id.corp.example", "spiffe://corp"),
            "so it cannot be asked for its keys",
        ),
        (issuer("").replace("name = \"corp\"", "name = \"a/b\""), "is not fit for a name"),
        (
            issuer("").replace("[[issuer.allow]]\ntargets = [\"orders\"]\n", ""),
            "issuer.corp.allow: is missing",
        ),
        (issuer("").replace("targets = [\"orders\"]\n", ""), "the rule opens nothing"),
        (issuer("").replace("[\"orders\"]", "[\"order\"]"), "there is no target `order`"),
        (issuer("") + "roles = [\"root\"]\n", "`root` is no role"),
        (issuer("") + "when = [\"groups\"]\n", "`groups` is no condition"),
        (issuer("") + "wen = [\"a = b\"]\n", "unknown key"),
    ] {
        let said = errors(&text);
        assert!(said.contains(want), "{want}\n{said}");
    }
    let twice = issuer("") + issuer("").strip_prefix(GOOD).unwrap();
    let said = errors(&twice);
    assert!(said.contains("there is an issuer `corp` already") && said.contains("with the url"), "{said}");
}

#[test]
fn who_signs_in_takes_a_whole_table() {
    let issuer = |more: &str| {
        let head = "[[issuer]]\nname = \"corp\"\nurl = \"https://id.corp.example\"\n";
        let text = format!("{GOOD}{head}{more}\n[[issuer.allow]]\ntargets = [\"orders\"]\n");
        Config::parse(Path::new("f.toml"), &text)
    };
    let good = "kind = \"human\"\nclient_id = \"fh\"\nclient_secret = { env = \"S\" }\n\
                redirect_url = \"https://gw:8300/v1/login/corp/callback\"";
    let config = issuer(good).unwrap_or_else(|e| panic!("{e:?}"));
    let sign_in = config.issuers[0].sign_in.as_ref().unwrap();
    assert_eq!((sign_in.life.as_secs(), sign_in.scopes.len()), (8 * 3600, 3));
    assert!(config.issuers[0].audience.is_empty(), "only who signs in counts");
    let inline = issuer("kind = \"human\"\nclient_id = \"fh\"\nclient_secret = \"inline\"").unwrap();
    assert!(inline.warnings.iter().any(|w| w.what.contains("a secret in the configuration")));
    assert!(inline.resolved.iter().all(|r| !r.value.contains("inline")));
    for (more, what) in [
        ("kind = \"human\"\nclient_secret = { env = \"S\" }", "only where people sign in"),
        ("kind = \"human\"\nscopes = [\"openid\"]\naudience = [\"x\"]", "only where people sign in"),
        ("kind = \"human\"", "is missing"),
        ("kind = \"agent\"\nclient_id = \"fh\"", "name no people"),
        ("kind = \"human\"\nclient_id = \"\"", "is empty"),
        ("kind = \"human\"\nclient_id = \"fh\"\nscopes = [\"email\"]", "`openid` is missing"),
        ("kind = \"human\"\nclient_id = \"fh\"\nscopes = [\"openid email\"]", "is no scope"),
        ("kind = \"human\"\nclient_id = \"fh\"\ntoken_life = \"25h\"", "is more than 1d"),
        (
            "kind = \"human\"\nclient_id = \"fh\"\nredirect_url = \"https://gw/v1/login/other/callback\"",
            "not where this gateway",
        ),
        (
            "kind = \"human\"\nclient_id = \"fh\"\nredirect_url = \"http://gw/v1/login/corp/callback\"",
            "not https, nor this machine",
        ),
    ] {
        let problems = format!("{:?}", issuer(more).err().unwrap_or_else(|| panic!("{more}")));
        assert!(problems.contains(what), "{more}: {problems}");
    }
}

#[test]
fn authorities_of_clients_are_read_with_their_place_and_let_in_only_who_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let authority = |year: i32| {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    };
    let (good, old) = (authority(2090), authority(2020));
    write("ca.crt", &good);
    write("old.crt", &old);
    write("both.crt", &format!("{good}{old}"));
    write("text.crt", "no certificate");
    let listen = "postgres = \"127.0.0.1:6432\"\n";
    let tls = format!("{listen}tls = {{ cert = \"gw.crt\", key = \"gw.key\" }}\n");
    assert!(GOOD.contains(listen), "{GOOD}");
    let with = |ca: &str, rule: &str| {
        format!(
            "{}[[client_ca]]\nname = \"mesh\"\nca = \"{ca}\"\n[[client_ca.allow]]\n{rule}\nkind = \"agent\"\ntargets = [\"orders\"]\n",
            GOOD.replacen(listen, &tls, 1)
        )
    };
    let file = folder.path().join("f.toml");
    let parsed = |text: &str| Config::parse(&file, text);
    let rule = "when = [\"cn = report\"]\nname_from = \"cn\"";
    let config = parsed(&with("ca.crt", rule)).unwrap();
    assert_eq!((config.client_cas[0].prefix.as_str(), config.client_cas[0].allow.len()), ("mesh/", 1));
    let warned =
        |text: &str| parsed(text).unwrap().warnings.iter().map(|w| w.what.clone()).collect::<Vec<_>>();
    let all = warned(&with("ca.crt", "when = [\"cn = *\"]\nname_from = \"cn\""));
    assert!(all.iter().any(|w| w.contains("every certificate of the authority fits")), "{all:?}");
    let some = warned(&with("both.crt", rule));
    assert!(some.iter().any(|w| w.contains("1 of its 2 authorities have expired")), "{some:?}");
    for (text, want) in [
        (with("none.crt", rule), "client_ca.mesh.ca: "),
        (with("text.crt", rule), "there is no certificate (PEM) in it"),
        (with("old.crt", rule), "the authority has expired"),
        (with("ca.crt", "name_from = \"cn\""), "when: is missing"),
        (with("ca.crt", "when = []\nname_from = \"cn\""), "when: is empty"),
        (with("ca.crt", "when = [\"cn = *\"]\nname = \"bot\""), "all of them would be one identity"),
        (with("ca.crt", "when = [\"subject = x\"]\nname = \"bot\""), "`subject = x` is no condition"),
        (with("ca.crt", "when = [\"cn = x\"]"), "name: is missing"),
        (with("ca.crt", "when = [\"cn = x\"]\nname = \"a\"\nname_from = \"cn\""), "stands beside `name`"),
        (with("ca.crt", "when = [\"cn = x\"]\nname_from = \"ou\""), "`ou` is not one of"),
        (with("ca.crt", rule).replace("[\"orders\"]", "[\"order\"]"), "there is no target `order`"),
        (with("ca.crt", rule).replace(&tls, listen), "there is no listen.tls"),
        (
            with("ca.crt", rule).replace("ca = \"ca.crt\"", "ca = \"ca.crt\"\ncrl = [\"ca.crt\"]"),
            "there is no revocation list",
        ),
        (
            GOOD.replacen(listen, &format!("{tls}client_certificate = \"required\"\n"), 1),
            "nobody could get in",
        ),
    ] {
        let problems = parsed(&text).map(|_| ()).unwrap_err();
        let told: Vec<_> = problems.iter().map(|p| format!("{}:{}: {}", p.line, p.key, p.what)).collect();
        assert!(told.iter().any(|t| t.contains(want)), "{want}: {told:?}");
        assert!(problems.iter().all(|p| p.line > 1), "{told:?}");
    }
    let twice = with("ca.crt", rule);
    let again = twice.split_once("[[client_ca]]").unwrap().1.replace("\"mesh\"", "\"other\"");
    let problems = parsed(&format!("{twice}[[client_ca]]{again}")).map(|_| ()).unwrap_err();
    assert!(problems.iter().any(|p| p.what.contains("stands in another [[client_ca]]")), "{problems:?}");
}

#[test]
fn roles_of_grants_need_who_makes_them_and_what_they_may_do() {
    let with = |credential: &str, more: &str| {
        let from = "credential = { user = \"rw\", password = { env = \"P\" } }";
        let offer = "grants = { approvers = \"dba\" }";
        with(from, &format!("credential = {{ user = \"rw\", {credential} }}\n{offer}\n{more}"))
    };
    let whole = "provision = \"role\", group = \"g\", admin = { user = \"a\", password = { env = \"A\" } }";
    let config = Config::parse(Path::new("f.toml"), &with(whole, "")).unwrap();
    let roles = config.targets[0].target.roles.clone().unwrap();
    assert_eq!((roles.group.as_str(), roles.prefix.as_str(), roles.connections), ("g", "fh_grant_", 10));
    assert_eq!(config.targets[0].credential.admin.as_ref().unwrap().user, "a");
    for (part, credential, more) in [
        ("means nothing without `provision`", "group = \"g\"".to_owned(), ""),
        ("credential.group", whole.replace("group = \"g\", ", ""), ""),
        ("credential.admin", whole.replace(", admin = { user = \"a\", password = { env = \"A\" } }", ""), ""),
        ("so they could make roles", whole.replace("user = \"a\"", "user = \"rw\""), ""),
        ("is no beginning of a role's name", format!("{whole}, prefix = \"pg_x\""), ""),
        ("is no beginning of a role's name", format!("{whole}, prefix = \"A b\""), ""),
        ("is no name of a role", whole.replace("\"g\"", &format!("\"{}\"", "g".repeat(64))), ""),
        ("cannot tell whose transactions", whole.to_owned(), "changed_rows = \"wal\""),
    ] {
        let told = errors(&with(&credential, more));
        assert!(told.contains(part), "{credential}: {told}");
    }
    let none = with(whole, "").replace("grants = { approvers = \"dba\" }", "");
    assert!(errors(&none).contains("none can be asked for"), "{}", errors(&none));
}

const COSIGNER: &str = "w.example/1+f94d9c0e+BAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

#[test]
fn witnesses_and_how_many_of_them() {
    use firsthand_auditlog::tlog::key::{KeyKind, VerifyingKey};
    let key = |n: u8, kind| VerifyingKey::new("w.example/1", kind, [n; 32]).unwrap().to_vkey();
    let one = |name: &str, url: &str, vkey: &str| {
        format!("[[witness]]\nname = {name:?}\nurl = {url:?}\nvkey = {vkey:?}\n")
    };
    let good = |n: u8| one(&format!("w{n}"), "https://w.example/a/", &key(n, KeyKind::Cosignature));
    let parse = |more: &str| Config::parse(Path::new("/etc/fh/f.toml"), &format!("{GOOD}{more}"));
    let config =
        parse(&format!("{}{}{}[log]\nwitness_within = \"9s\"\n", good(1), good(2), good(3))).unwrap();
    let specs = &config.witnesses;
    assert_eq!((specs.all.len(), specs.quorum, specs.within.as_secs()), (3, 2, 9));
    assert_eq!(specs.all[0].url, "https://w.example/a/add-checkpoint");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let policy = format!("log {}\n{}", key(7, KeyKind::Note), specs.policy());
    let policy = firsthand_auditlog::tlog::policy::Policy::parse(policy.as_bytes()).unwrap();
    assert!(policy.is_quorum(&[0, 2]) && !policy.is_quorum(&[1]));
    assert_eq!(parse("").unwrap().witnesses.policy(), "quorum none\n");
    let half = parse(&format!("[log]\nquorum = 1\n{}{}", good(1), good(2))).unwrap();
    assert!(half.warnings[0].what.contains("may cosign one history"), "{:?}", half.warnings);
    for (more, wanted) in [
        ("[log]\nquorum = 1\n".to_owned(), "there is no [[witness]]"),
        (format!("[log]\nquorum = 2\n{}", good(1)), "a whole number from 1 to 1"),
        (one("w1", "http://w.example", &key(1, KeyKind::Cosignature)), "clear text from another machine"),
        (one("w1", "https://w.example", &key(1, KeyKind::Note)), "the key of a log"),
        (one("w1", "https://w.example", COSIGNER), "does not belong to this name and key"),
        (one("none", "https://w.example", &key(1, KeyKind::Cosignature)), "not fit for a name"),
        (format!("{}{}", good(1), good(1)), "of that name already"),
        (format!("{}{}", good(1), good(1).replace("w1", "w2")), "another witness has the same key"),
        ("[[witness]]\nname = \"w\"\n".to_owned(), "witness.w.url"),
        ((1..=17).map(good).collect(), "at most 16 are asked"),
    ] {
        let told = errors(&format!("{GOOD}{more}"));
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
}
