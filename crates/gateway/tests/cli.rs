//! The command line as a script sees it: what stands on stdout, what on stderr, and the exit code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_firsthand")).args(args).current_dir(dir).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// Every error ends with one `hint:` line, and an error has no data.
fn hinted(outcome: &(i32, String, String), code: i32, begins: &str) {
    let (status, stdout, stderr) = outcome;
    assert_eq!(*status, code, "{stderr}");
    assert_eq!(stdout, "", "{stderr}");
    assert!(stderr.starts_with(begins), "{stderr}");
    let hints = stderr.lines().filter(|l| l.starts_with("hint: ")).count();
    assert_eq!(hints, 1, "{stderr}");
    assert!(stderr.trim_end().lines().last().unwrap().starts_with("hint: "), "{stderr}");
}

const CONFIG: &str = r#"
[listen]
postgres = "127.0.0.1:6432"
[[target]]
name = "shop"
protocol = "postgres"
address = "127.0.0.1:1"
credential = { user = "rw" }
[[target]]
name = "stock"
protocol = "postgres"
address = "127.0.0.1:1"
credential = { user = "rw", password = { env = "FIRSTHAND_CLI_TEST_NOT_SET" } }
"#;

#[test]
fn help_names_the_commands_for_people() {
    let dir = tempfile::tempdir().unwrap();
    let (code, help, talk) = run(dir.path(), &["--help"]);
    assert_eq!((code, talk.as_str()), (0, ""));
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    assert_eq!(
        commands,
        [
            "demo",
            "serve",
            "check",
            "token",
            "admin",
            "login",
            "logout",
            "whoami",
            "approvals",
            "grants",
            "contain",
            "ca",
            "keys",
            "sessions",
            "log",
            "evidence",
            "verify",
            "witness",
            "policy",
            "labels",
            "version",
            "docs"
        ]
    );
    assert_eq!(run(dir.path(), &["version"]).1, format!("firsthand {}\n", env!("CARGO_PKG_VERSION")));
    let (_, json, _) = run(dir.path(), &["version", "--json"]);
    assert_eq!(json, format!("{{\"version\":\"{}\"}}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_is_not_understood_is_answered_with_two_and_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    hinted(&run(dir.path(), &["tokn", "list"]), 2, "error: unrecognized subcommand 'tokn'");
    hinted(&run(dir.path(), &["token", "create"]), 2, "error: the following required arguments");
    hinted(&run(dir.path(), &["token", "create", "b", "--kind", "robot"]), 2, "error: invalid value 'robot'");
    hinted(&run(dir.path(), &["token", "create", "b", "--ttl", "8"]), 2, "error: invalid value '8'");
    hinted(&run(dir.path(), &["demo", "--config", "no.toml"]), 2, "error: the demo takes no configuration");
    hinted(&run(dir.path(), &["token", "list"]), 2, "error: no data folder was named");
    hinted(&run(dir.path(), &["serve", "--config", "no.toml"]), 2, "error: cannot read no.toml");
    hinted(&run(dir.path(), &["serve", "--dir", "d"]), 2, "error: serve needs a configuration");
    hinted(&run(dir.path(), &["check", "--config", "a", "--dir", "b"]), 2, "error: --config and --dir");
}

#[test]
fn a_configuration_is_explained_and_its_mistakes_have_their_place() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("firsthand.toml"), CONFIG).unwrap();
    let (code, said, talk) = run(dir.path(), &["check", "--offline"]);
    assert_eq!(code, 0, "{talk}");
    assert!(said.lines().any(|l| {
        l.split_whitespace().collect::<Vec<_>>() == ["target.shop.address", "127.0.0.1:1", "line", "7"]
    }));
    let (_, json, _) = run(dir.path(), &["check", "--offline", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["sha256"].as_str().unwrap().len(), 64);
    // Not offline: nobody answers on that port, and the second has no credential.
    let (code, said, talk) = run(dir.path(), &["check"]);
    assert_eq!(code, 1);
    assert!(said.contains("target shop: failed: cannot reach the target: 127.0.0.1:1: "), "{said}");
    let missing = "environment variable FIRSTHAND_CLI_TEST_NOT_SET is not set";
    assert!(said.contains(&format!("target stock: failed: no credential: {missing}")), "{said}");
    assert!(talk.ends_with("hint: see above; --offline leaves them out\n"), "{talk}");
    std::fs::write(dir.path().join("bad.toml"), CONFIG.replacen("address", "adress", 1)).unwrap();
    let bad = run(dir.path(), &["check", "--offline", "--config", "bad.toml"]);
    hinted(&bad, 2, "error: bad.toml:7:1: target.shop.adress: unknown key");
    assert!(bad.2.contains("hint: did you mean `address`?") && !bad.2.contains("is missing"), "{}", bad.2);
}

#[test]
fn tokens_are_made_listed_and_revoked_without_a_gateway() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("firsthand.toml"), CONFIG).unwrap();
    hinted(&run(dir.path(), &["demo", "--config", "no.toml"]), 2, "error: the demo takes no configuration");
    hinted(&run(dir.path(), &["token", "list"]), 1, "error: there is no data in ");
    hinted(&run(dir.path(), &["token", "create", "bot"]), 2, "error: no target was named");
    hinted(
        &run(dir.path(), &["token", "create", "bot", "--target", "shp"]),
        2,
        "error: there is no target `shp`\nhint: did you mean `shop`?",
    );
    hinted(&run(dir.path(), &["token", "create", "b t", "--target", "shop"]), 2, "error: `b t` is not fit");
    for (option, name, told) in [
        ("--on-behalf-of", "local:root", "error: `local:root` begins with local: or channel:"),
        ("--on-behalf-of", "Channel:ops", "error: `Channel:ops` begins with local: or channel:"),
        ("--owner", " local:root", "error: ` local:root` begins with local: or channel:"),
        ("--on-behalf-of", "ada@example.com ", "error: the name of who it acts for must have"),
        ("--on-behalf-of", "a\u{200b}da", "error: the name of who it acts for must have"),
        ("--owner", "plat\u{2060}form", "error: the name of an owner must have"),
    ] {
        hinted(&run(dir.path(), &["token", "create", "bot", "--target", "shop", option, name]), 2, told);
    }
    hinted(
        &run(dir.path(), &["token", "create", "local:root", "--target", "shop"]),
        2,
        "error: `local:root` begins",
    );
    let create =
        ["token", "create", "bot", "--target", "shop", "--on-behalf-of", "ada@example.com", "--ttl", "8h"];
    let (code, said, talk) = run(dir.path(), &create);
    assert_eq!(code, 0, "{talk}");
    let secret = said.lines().find_map(|l| l.strip_prefix("secret  ")).unwrap();
    assert_eq!((secret.len(), &secret[..3]), (46, "fh_"));
    assert!(said.contains(&format!("postgresql://bot:{secret}@127.0.0.1:6432/shop")), "{said}");
    assert!(!talk.contains(secret));
    hinted(&run(dir.path(), &create), 1, "error: there is a valid token `bot` already");
    let (_, listed, _) = run(dir.path(), &["token", "list", "--json", "--dir", "data"]);
    assert!(!listed.contains(secret));
    let token: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(token["state"], "valid");
    assert_eq!(token["on_behalf_of"], "ada@example.com");
    assert_eq!(run(dir.path(), &["token", "revoke", "bot"]).1, "revoked bot\n");
    hinted(&run(dir.path(), &["token", "revoke", "bot"]), 1, "error: token `bot` is revoked already");
    hinted(&run(dir.path(), &["token", "revoke", "nobody"]), 1, "error: there is no token `nobody`");
    assert!(run(dir.path(), &["token", "list"]).1.contains("revoked"));
    let kinds = run(dir.path(), &["log", "cat", "--json"]).1;
    let kinds: Vec<String> = kinds
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["k"].as_str().unwrap().to_owned())
        .filter(|k| k.starts_with("identity."))
        .collect();
    assert_eq!(kinds, ["identity.token_created", "identity.token_revoked"]);
}

#[test]
fn a_gateway_that_cannot_listen_closes_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::fs::write(dir.path().join("firsthand.toml"), CONFIG.replace("127.0.0.1:6432", &address)).unwrap();
    let (code, _, said) = run(dir.path(), &["serve"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&format!("error: cannot listen for postgres on {address}")), "{said}");
    let (_, cat, _) = run(dir.path(), &["log", "cat", "--json"]);
    let kinds: Vec<String> = cat
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["k"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["log.started", "log.stopped"]);
}

#[test]
fn reading_the_record_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("firsthand.toml"), CONFIG).unwrap();
    assert_eq!(run(dir.path(), &["token", "create", "bot", "--target", "shop"]).0, 0);
    let readings = |text: &str| text.lines().filter(|l| l.contains(r#""k":"record.read""#)).count();
    let (_, first, _) = run(dir.path(), &["log", "cat", "--json"]);
    let (_, second, _) = run(dir.path(), &["log", "search", "kind:identity.token_created", "--json"]);
    let (_, third, _) = run(dir.path(), &["log", "cat", "--json"]);
    assert_eq!(second.lines().count(), 1, "{second}");
    assert_eq!(readings(&third), readings(&first) + 2, "the first reading and the search: {third}");
    for args in [&["log", "search", "kind:stream"][..], &["log", "cat", "table:payments"]] {
        let nothing = run(dir.path(), args);
        hinted(&nothing, 1, "error: nothing found");
        assert_eq!(nothing.1, "");
    }
    let nothing = run(dir.path(), &["log", "search", "kind:stream", "--json"]);
    assert_eq!((nothing.0, nothing.1.as_str()), (1, ""));
    assert!(nothing.2.starts_with(r#"{"errors":["nothing found"#), "{}", nothing.2);
}

#[test]
fn the_reference_names_every_key() {
    let dir = tempfile::tempdir().unwrap();
    let (code, config, _) = run(dir.path(), &["docs", "config"]);
    assert_eq!(code, 0);
    for key in ["`data_dir`", "*protocol*", "`allow_unobserved`", "`durability`", "`drain`"] {
        assert!(config.contains(key), "{key}");
    }
}

#[test]
fn labels_detect_answers_each_line_as_soon_as_its_input_pauses() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_firsthand"))
        .args(["labels", "detect", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut ask = |line: &str| -> Value {
        writeln!(stdin, "{line}").unwrap();
        let mut answer = String::new();
        stdout.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    };
    let answer =
        ask(r#"{"id": 7, "value": "an anna@example.org, \u00fc", "column": "note", "type": "text"}"#);
    assert_eq!(answer["id"], 7);
    assert_eq!(answer["spans"][0]["start"], 3);
    assert_eq!(answer["spans"][0]["end"], 19);
    assert_eq!(answer["spans"][0]["label"], "email");
    assert_eq!(ask(r#"{"id": "b", "value": "48213"}"#)["spans"], serde_json::json!([]));
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// What a command prints for lines on stdin.
fn fed(dir: &Path, args: &[&str], lines: &str) -> (i32, Vec<Value>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_firsthand"))
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let lines = String::from_utf8(stdout).unwrap();
    let answers = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (status.code().unwrap(), answers, String::from_utf8(stderr).unwrap())
}

#[test]
fn a_line_that_is_not_understood_is_answered_and_the_next_one_too() {
    let dir = tempfile::tempdir().unwrap();
    let lines = "{\"id\":1,\"value\":\"x\"}\nnot json\n{\"id\":2}\n{\"id\":3,\"value\":\"y\"}\n";
    let (code, answers, talk) = fed(dir.path(), &["labels", "detect", "--json"], lines);
    assert_eq!(code, 2, "{talk}");
    let ids: Vec<&Value> = answers.iter().map(|a| &a["id"]).collect();
    assert_eq!(ids, [&Value::from(1), &Value::Null, &Value::from(2), &Value::from(3)]);
    let errors: Vec<bool> = answers.iter().map(|a| a["error"].is_string()).collect();
    assert_eq!(errors, [false, true, true, false]);
    assert!(talk.contains("not understood: 2"), "{talk}");
}

#[test]
fn samples_may_be_numbers_and_a_wrong_line_is_named_once() {
    let dir = tempfile::tempdir().unwrap();
    let cards = "{\"table\":\"t\",\"column\":\"card\",\"values\":[4111111111111111,5500005555555559,null]}\n\
                 {\"table\":\"t\",\"column\":\"open\",\"values\":[true,false]}\n";
    let (code, proposed, talk) = fed(dir.path(), &["labels", "propose", "--json"], cards);
    assert_eq!(code, 0, "{talk}");
    assert_eq!(proposed[0][0]["label"], "card", "{proposed:?}");
    assert_eq!((&proposed[0][0]["of"], proposed[0].as_array().unwrap().len()), (&Value::from(2), 1));
    let (code, _, talk) =
        fed(dir.path(), &["labels", "propose"], "{\"table\":\"t\",\"column\":\"c\"}\n{\"table\":7}\n");
    assert_eq!(code, 2, "{talk}");
    assert!(talk.starts_with("error: stdin, line 2, column 10: invalid type: integer `7`"), "{talk}");
    assert!(talk.contains("hint: one JSON object a line: firsthand labels propose --help"), "{talk}");
}

/// What waits for a group in which nobody is waits for ever, or is refused: `check` says so of each place that names one.
#[test]
fn check_warns_where_nobody_can_approve() {
    let dir = tempfile::tempdir().unwrap();
    let grants = "credential = { user = \"rw\" }\ngrants = { approvers = \"leads\" }\n";
    let more = "[policy]\ndir = \"rules\"\noriginals = \"seers\"\n\
        [[channel]]\nname = \"hook\"\nkind = \"webhook\"\ngroups = [\"dba\", \"ops\"]\n\
        url = \"https://127.0.0.1:1/\"\nsecret = { env = \"FIRSTHAND_CLI_TEST_NOT_SET\" }\n";
    let config = CONFIG.replacen("credential = { user = \"rw\" }\n", grants, 1) + more;
    std::fs::write(dir.path().join("firsthand.toml"), config).unwrap();
    std::fs::create_dir(dir.path().join("rules")).unwrap();
    let rules = format!(
        "{RULE}[[rule]]\nname = \"large\"\nbecause = \"b\"\nverdict = \"hold\"\neffects = [\"write\"]\n\
         approve = {{ group = \"dba\", break_glass = [\"chiefs\"] }}\n\
         [[group]]\nname = \"ops\"\nmembers = [\"grace\"]\n"
    );
    std::fs::write(dir.path().join("rules/one.toml"), rules).unwrap();
    let (_, _, talk) = run(dir.path(), &["check", "--offline"]);
    let missing = "and there is none of that name: list its members in a [[group]] of the rules";
    for warning in [
        format!("warning: policy: rule large asks the group `dba`, {missing}"),
        format!("warning: policy: rule large asks the group `chiefs`, {missing}"),
        format!("warning: target shop: grants are approved by the group `leads`, {missing}"),
        format!("warning: [policy]: originals are for the group `seers`, {missing}"),
        format!("warning: channel hook: it is told of what waits for the group `dba`, {missing}"),
    ] {
        assert!(talk.contains(&warning), "{warning} is not in:\n{talk}");
    }
    assert!(!talk.contains("`ops`"), "{talk}");
}

#[test]
fn check_tries_the_shared_state_and_knows_the_other_form() {
    let dir = tempfile::tempdir().unwrap();
    let of = |state: &str| {
        let config = format!("{CONFIG}[state]\npostgres = {state:?}\n");
        std::fs::write(dir.path().join("firsthand.toml"), config).unwrap();
        run(dir.path(), &["check"])
    };
    let (code, said, talk) = of("postgresql://app@127.0.0.1:1/shop");
    assert_eq!(code, 1, "{talk}");
    assert!(
        said.contains("state postgres: failed: the state cannot be reached: Connection refused"),
        "{said}"
    );
    let (code, said, _) = of("host=127.0.0.1 port=1 dbname=shop");
    assert_eq!(code, 1);
    assert!(said.contains("it takes a URL: postgresql://user@host:5432/db"), "{said}");
    let served = run(dir.path(), &["serve"]);
    hinted(&served, 1, "");
    assert!(served.2.contains("it takes a URL: postgresql://user@host:5432/db"), "{}", served.2);
    assert!(!served.2.contains("dbname=shop"), "{}", served.2);
}

const RULE: &str = "[[rule]]\nname = \"r\"\nbecause = \"b\"\nverdict = \"allow\"\nkinds = [\"agent\"]\n\
                    effects = [\"read\"]\n\n[[test]]\nname = \"c\"\nkind = \"agent\"\neffects = [\"read\"]\nverdict = \"allow\"\n";

#[test]
fn policy_test_takes_a_folder_beside_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("my.toml"), CONFIG).unwrap();
    std::fs::create_dir(dir.path().join("rules")).unwrap();
    std::fs::write(dir.path().join("rules/one.toml"), RULE).unwrap();
    let (code, said, talk) = run(dir.path(), &["policy", "test", "rules", "--config", "my.toml"]);
    assert_eq!((code, said.as_str()), (0, "1 case, as they must be\n"), "{talk}");
}

#[test]
fn check_says_what_to_do_about_the_one_mistake_of_a_rule() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("firsthand.toml"), format!("{CONFIG}[policy]\ndir = \"rules\"\n"))
        .unwrap();
    std::fs::create_dir(dir.path().join("rules")).unwrap();
    std::fs::write(dir.path().join("rules/one.toml"), RULE.replace("effects", "efects")).unwrap();
    let (_, _, told) = run(dir.path(), &["policy", "show"]);
    let (code, _, checked) = run(dir.path(), &["check", "--offline"]);
    let hint = |talk: &str| talk.lines().find(|l| l.starts_with("hint: ")).unwrap().to_owned();
    assert_eq!((code, hint(&checked)), (1, hint(&told)));
}

#[test]
fn the_first_administrator_is_made_on_the_machine_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let bootstrap = |name: &str| run(dir.path(), &["admin", "bootstrap", name, "--dir", "data"]);
    let (code, said, talk) = bootstrap("ada");
    assert_eq!(code, 0, "{talk}");
    assert!(said.contains("role    admin\nFIRSTHAND_TOKEN=ada:fh_"), "{said}");
    hinted(&bootstrap("eve"), 1, "error: there is an administrator already: token ada");
    let entry = run(dir.path(), &["log", "cat", "--json", "--dir", "data"]).1;
    assert!(entry.contains(r#""by":"local:"#), "{entry}");
    assert_eq!(run(dir.path(), &["token", "revoke", "ada", "--dir", "data"]).0, 0);
    assert_eq!(bootstrap("grace").0, 0);
}

#[test]
fn of_many_that_make_the_first_administrator_at_once_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let begin = |n: usize| {
        let name = format!("ada-{n}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_firsthand"));
        command.args(["admin", "bootstrap", &name, "--dir", "data"]).current_dir(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let all: Vec<_> = (0..6).map(begin).collect();
    let done: Vec<_> = all.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let made = done.iter().filter(|output| output.status.success()).count();
    assert_eq!(made, 1, "{done:?}");
    for output in done.iter().filter(|output| !output.status.success()) {
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.starts_with("error: there is an administrator already: token ada-"), "{told}");
    }
    let listed = run(dir.path(), &["token", "list", "--json", "--dir", "data"]).1;
    assert_eq!(listed.lines().count(), 1, "{listed}");
}
