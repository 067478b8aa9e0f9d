//! Signing in at an OpenID provider: with a code that is typed in elsewhere (`firsthand login`), and in a browser. The provider is a
//! real one that is not our code (oidc-provider), and a person fills in its pages; the issuer that lies is one of the tests'.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use firsthand_tests::browser::{Browser, Page, encoded};
use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::issuer::{Issuer, now};
use firsthand_tests::postgres::Postgres;
use firsthand_tests::process;
use firsthand_tests::provider::{Provider, SECRET, signs_in, types_code};
use firsthand_tests::raw::Raw;
use firsthand_tests::record::{Entry, Record};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A gateway whose issuer `corp` is a real provider. Who is in `dba` reaches `shop` and reads the record.
struct Rig {
    _server: Postgres,
    folder: tempfile::TempDir,
    provider: Provider,
    gateway: Gateway,
}

const RULES: &str = "name_claim = \"email\"\ngroups_claim = \"groups\"\nkind = \"human\"\n\
                     [[issuer.allow]]\nwhen = [\"groups = dba\"]\ntargets = [\"shop\"]\nroles = [\"auditor\"]\n";

fn corp(url: &str, more: &str) -> String {
    format!("[[issuer]]\nname = \"corp\"\nurl = {url:?}\n{more}\n{RULES}")
}

fn with_secret(folder: &Path) -> String {
    let file = folder.join("client-secret");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    format!("client_id = \"gateway\"\nclient_secret = {{ file = {:?} }}", file.display().to_string())
}

fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let (server, provider) = (Postgres::start(None).unwrap(), Provider::start().unwrap());
    let exchange = "[[exchange]]\nagents = [\"night-*\"]\nfor = [\"corp/ada@*\"]\n";
    let gateway = Gateway::start(Settings {
        targets: vec![Target::of(&server.place("app", "shop"))],
        more: format!("{exchange}{}", corp(&provider.url, &with_secret(folder.path()))),
        ..Settings::default()
    })
    .unwrap();
    Rig { _server: server, folder, provider, gateway }
}

/// A command line that waits for a person.
struct Waiting {
    child: std::process::Child,
    stderr: BufReader<std::process::ChildStderr>,
    /// Where the person is sent, the code in it.
    url: String,
}

impl Waiting {
    fn ends(mut self) -> Output {
        let mut rest = Vec::new();
        self.stderr.read_to_end(&mut rest).unwrap();
        let output = self.child.wait_with_output().unwrap();
        Output { stderr: rest, ..output }
    }
}

impl Rig {
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.gateway.http_port())
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Behind the command; nobody's token is given.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(firsthand_tests::gateway::binary().unwrap());
        command.args(args).args(["--gateway", &self.url()]).current_dir("/");
        command.env_remove("FIRSTHAND_TOKEN").env_remove("XDG_CONFIG_HOME").env("HOME", self.home());
        command
    }

    fn cli(&self, args: &[&str]) -> String {
        process::run(&mut self.command(args)).unwrap()
    }

    fn login(&self) -> Waiting {
        let mut command = self.command(&["login", "corp"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut waiting = Waiting { child, stderr, url: String::new() };
        let (mut said, mut line) = (String::new(), String::new());
        while waiting.stderr.read_line(&mut line).unwrap() > 0 {
            said.push_str(&line);
            if let Some(url) = line.trim().strip_prefix("or open ") {
                url.clone_into(&mut waiting.url);
                return waiting;
            }
            line.clear();
        }
        panic!("it asks for nothing:\n{said}\n{:?}", waiting.ends());
    }

    /// Ada signs in.
    fn ada(&self) -> String {
        let waiting = self.login();
        types_code(&mut Browser::default(), &waiting.url, Some("ada")).unwrap();
        let output = waiting.ends();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn kept(&self) -> PathBuf {
        self.home().join(".config").join("firsthand").join("signed-in.json")
    }

    fn record(&self) -> Record {
        self.gateway.record().unwrap()
    }

    fn refused(&self) -> Vec<String> {
        self.record().of_kind("identity.refused").map(|e| e.payload("detail").to_string()).collect()
    }

    /// Has the provider send browsers back, and the gateway wait for them.
    fn with_browser(&mut self) {
        let redirect = format!("{}/v1/login/corp/callback", self.url());
        self.provider.anew(Some(&redirect)).unwrap();
        let more =
            format!("{}\nredirect_url = {redirect:?}\ntoken_life = \"2h\"", with_secret(self.folder.path()));
        let more = corp(&self.provider.url, &more);
        self.gateway.rewrite(|settings| settings.more = more).unwrap();
        reload(&mut self.gateway);
    }
}

fn reload(gateway: &mut Gateway) {
    gateway.daemon().unwrap().signal(Signal::HUP);
    gateway.daemon().unwrap().wait_line(|line| line.contains("reloaded")).unwrap();
}

fn last(record: &Record, kind: &str) -> Entry {
    record.of_kind(kind).last().unwrap_or_else(|| panic!("no {kind}")).clone()
}

/// The chain of an entry: kind, name, trust.
fn chain(links: &Value, entry: &Entry) -> Vec<String> {
    let named = entry.payload("names").as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name =
        |id: &Value| named.iter().find(|n| n["id"] == *id).map(|n| text(&n["name"])).unwrap_or_default();
    let links = links.as_array().unwrap().iter();
    links.map(|l| format!("{} {} {}", text(&l["kind"]), name(&l["id"]), text(&l["trust"]))).collect()
}

/// All files of a folder, as text.
fn all_of(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push_str(&all_of(&path));
        } else if let Ok(bytes) = fs::read(&path) {
            all.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    all
}

#[test]
fn a_person_signs_in_with_a_code_and_uses_what_they_got() {
    let mut rig = rig();
    let checked = rig.gateway.cli(&["check"]).unwrap();
    assert!(checked.contains("issuer corp: 1 keys; people sign in with a code\n"), "{checked}");
    assert!(!checked.contains(SECRET), "{checked}");
    let said = rig.ada();
    assert!(said.starts_with("signed in at corp as corp/ada@corp.example until "), "{said}");
    assert!(said.contains("role    auditor") && !said.contains("fh_"), "{said}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&rig.kept()), mode(rig.kept().parent().unwrap())), (0o600, 0o700));
    // The line that was printed, in a shell: libpq, with the secret from the file.
    let line = said.lines().find_map(|line| line.strip_prefix("shop    ")).unwrap().to_owned();
    let binary = firsthand_tests::gateway::binary().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{line} -XAtc \"select 'by psql'\"")]).env("HOME", rig.home());
    let path = std::env::var("PATH").unwrap();
    shell.env("PATH", format!("{}:{path}", binary.parent().unwrap().display()));
    assert_eq!(process::run(&mut shell).unwrap().trim(), "by psql");
    // Commands that come later take it by themselves.
    let who: Value = serde_json::from_str(&rig.cli(&["whoami", "--json"])).unwrap();
    assert_eq!(
        (&who["chain"][0]["name"], &who["chain"][0]["trust"]),
        (&json!("corp/ada@corp.example"), &json!("verified"))
    );
    assert_eq!(
        (&who["how"], &who["issuer"], &who["targets"]),
        (&json!("device"), &json!("corp"), &json!(["shop"]))
    );
    assert_eq!(who["groups"], json!(["corp/approvers", "corp/dba"]));
    assert!(rig.cli(&["sessions", "list"]).contains("shop"));
    assert!(
        rig.command(&["token", "list"]).env("FIRSTHAND_TOKEN", "x:fh_x").output().unwrap().status.code()
            == Some(1)
    );
    let (name, secret) = (who["login"].as_str().unwrap().to_owned(), rig.cli(&["whoami", "--password"]));
    assert!(name.starts_with("in-ada."), "{name}");
    told(&rig, &name);
    // An agent acts for her by it, and no longer than it holds.
    let agent = rig.gateway.role_token("night-agent", &["--target", "shop"]).unwrap();
    let mut exchange = rig.command(&["token", "exchange", "--json"]);
    let exchanged: Value =
        serde_json::from_str(&process::run(exchange.env("FIRSTHAND_TOKEN", &agent)).unwrap()).unwrap();
    let text = |key: &str| exchanged[key].as_str().unwrap().to_owned();
    // A restart finds it as it was recorded.
    rig.gateway.stop().unwrap();
    rig.gateway.serve().unwrap();
    assert!(rig.cli(&["whoami"]).contains("corp/ada@corp.example (verified)"));
    assert_eq!(rig.record().of_kind("identity.token_differs").count(), 0);
    let place = |name: &str, secret: &str| rig.gateway.place(name, secret, "shop");
    let mut own = Raw::login(&place(&name, secret.trim()), &[]).unwrap();
    let mut agents = Raw::login(&place(&text("name"), &text("secret")), &[]).unwrap();
    assert!(rig.cli(&["logout"]).contains("signed out: corp/ada@corp.example"));
    for raw in [&mut own, &mut agents] {
        let code = raw.query("select 2").unwrap().iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C'));
        assert_eq!(code.as_deref(), Some("42501"));
    }
    assert!(!fs::read_to_string(rig.kept()).unwrap().contains("fh_"));
    let again = rig.command(&["logout"]).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    let revoked = last(&rig.record(), "identity.token_revoked");
    assert_eq!(
        (revoked.payload("by"), &revoked.leaf("facts")["how"]),
        (&json!("corp/ada@corp.example"), &json!("device"))
    );
    written_nowhere(&mut rig, &[secret.trim(), &text("secret"), SECRET, &encoded(SECRET), "eyJ"]);
}

/// No secret of these stands in the data folder, in the record, or in what the gateway says.
fn written_nowhere(rig: &mut Rig, secrets: &[&str]) {
    let said = rig.gateway.daemon().unwrap().said();
    let log = rig.gateway.cli(&["log", "cat", "--json"]).unwrap();
    let everything = all_of(&rig.gateway.data_dir()) + &log + &said;
    for hidden in secrets {
        assert!(!everything.contains(hidden), "{hidden}");
    }
}

/// What the record says of it.
fn told(rig: &Rig, name: &str) {
    let record = rig.record();
    let told = last(&record, "identity.token_signed_in");
    let facts = told.leaf("facts");
    assert_eq!(
        (&facts["alg"], &facts["how"], &facts["kind"]),
        (&json!("ES256"), &json!("device"), &json!("human"))
    );
    assert_eq!((&facts["subject_issuer"], &facts["roles"]), (&json!("corp"), &json!(["auditor"])));
    let detail = told.payload("detail");
    assert_eq!((&detail["person"], &detail["subject"]), (&json!("corp/ada@corp.example"), &json!("ada")));
    assert_eq!((&detail["login"], told.leaf("method")), (&json!(name), &json!("sign-in")));
    let shown = detail["subject_token"].as_str().unwrap();
    let person = "human corp/ada@corp.example verified".to_owned();
    assert_eq!(chain(told.leaf("chain"), &told), [person.clone(), format!("token {shown} verified")]);
    let opened = last(&record, "session.opened");
    let token = detail["id"].as_str().unwrap();
    assert_eq!(
        chain(opened.leaf("who")["chain"].as_array().map(|_| &opened.leaf("who")["chain"]).unwrap(), &opened),
        [person, format!("token {token} verified")]
    );
    assert_eq!(opened.payload("groups"), &json!(["corp/approvers", "corp/dba"]));
    let found = "identity:corp/ada@corp.example kind:identity.token_signed_in";
    assert_eq!(rig.gateway.cli(&["log", "search", found]).unwrap().lines().count(), 1);
}

#[test]
fn a_no_a_stranger_and_another_key() {
    let mut rig = rig();
    let refused = |who: Option<&str>| {
        let waiting = rig.login();
        types_code(&mut Browser::default(), &waiting.url, who).unwrap();
        let output = waiting.ends();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(None).contains("it was denied there (access_denied)"));
    assert!(refused(Some("grace")).contains("no [[issuer.allow]] fits"));
    assert!(!rig.kept().exists());
    let told = rig.refused();
    assert!(
        told.iter().any(|why| why.contains("denied"))
            && told.iter().any(|why| why.contains("no [[issuer.allow]]"))
    );
    // The provider has another key now, and nobody waits for that to be known.
    rig.provider.anew(None).unwrap();
    rig.ada();
    let first = rig.cli(&["whoami", "--password"]);
    // Who signs in again leaves no second token behind.
    rig.ada();
    assert_ne!(rig.cli(&["whoami", "--password"]), first);
    let list: Vec<Value> = rig
        .gateway
        .cli(&["token", "list", "--json"])
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(list.iter().filter(|t| t["state"] == "valid").count(), 1, "{list:?}");
    // Without the issuer it opens nothing.
    let opens = |rig: &Rig| rig.command(&["sessions", "list"]).output().unwrap().status.code() == Some(0);
    assert!(opens(&rig));
    let mut before = String::new();
    rig.gateway.rewrite(|settings| before = std::mem::take(&mut settings.more)).unwrap();
    reload(&mut rig.gateway);
    assert!(!opens(&rig));
    rig.gateway.rewrite(|settings| settings.more = before).unwrap();
    reload(&mut rig.gateway);
    assert!(opens(&rig));
    // Nor does it where she is contained, and she gets no other.
    rig.gateway.cli(&["contain", "identity", "corp/ada@corp.example", "--reason", "a test"]).unwrap();
    assert!(!opens(&rig));
    let waiting = rig.login();
    types_code(&mut Browser::default(), &waiting.url, Some("ada")).unwrap();
    let output = waiting.ends();
    assert!(String::from_utf8_lossy(&output.stderr).contains("contained you here"), "{output:?}");
    let told: Vec<_> = rig.record().of_kind("session.refused").map(|e| e.leaf("why").clone()).collect();
    assert!(told.contains(&json!("contained")), "{told:?}");
}

#[test]
fn a_person_signs_in_with_a_browser_and_its_cookie_counts_from_the_own_page() {
    let mut rig = rig();
    rig.with_browser();
    let checked = rig.gateway.cli(&["check"]).unwrap();
    assert!(checked.contains("people sign in with a code and with a browser"), "{checked}");
    let url = rig.url();
    let mut browser = Browser::default();
    let login = browser.open(&format!("{url}/v1/login/corp")).unwrap();
    let query = login.url.clone();
    assert!(!query.starts_with(&url), "it is at the provider: {query}");
    let page = signs_in(&mut browser, &login, "ada").unwrap();
    assert_eq!(page.status, 200, "{page:?}");
    assert!(
        page.body.starts_with("You are signed in to Firsthand as corp/ada@corp.example, until "),
        "{page:?}"
    );
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let set: Vec<_> = page.headers("set-cookie").collect();
    assert!(
        set.iter().any(|c| c.starts_with("firsthand=in-ada.")
            && c.contains("HttpOnly; SameSite=Lax")
            && c.contains("Max-Age=7200;")),
        "{set:?}"
    );
    // The same code and state are good for nothing any more, here and elsewhere.
    let again = browser.get(&page.url).unwrap();
    assert_eq!(again.status, 403, "{again:?}");
    assert_eq!(Browser::default().get(&page.url).unwrap().status, 403);
    let whoami = |browser: &mut Browser| browser.get(&format!("{url}/v1/whoami")).unwrap();
    let who: Value = serde_json::from_str(&whoami(&mut browser).body).unwrap();
    assert_eq!((&who["chain"][0]["name"], &who["how"]), (&json!("corp/ada@corp.example"), &json!("browser")));
    only_from_the_own_page(&rig, &mut browser);
    let kept = browser.cookies(url.trim_start_matches("http://"));
    let logout =
        |browser: &mut Browser| browser.ask("POST", &format!("{url}/v1/logout"), "", Some("")).unwrap();
    assert_eq!(logout(&mut browser).status, 403);
    browser.headers = format!("Origin: {url}\r\n");
    assert_eq!(logout(&mut browser).status, 200);
    assert!(browser.cookies(url.trim_start_matches("http://")).is_empty());
    let stolen = format!("Cookie: firsthand={}\r\n", kept["firsthand"]);
    assert_eq!(rig.gateway.ask("GET", "/v1/whoami", &stolen, "").unwrap().0, 401, "it has ended");
    assert_eq!(last(&rig.record(), "identity.token_signed_in").leaf("facts")["how"], "browser");
}

/// What changes something, or reads by POST, says that it is of the own page.
fn only_from_the_own_page(rig: &Rig, browser: &mut Browser) {
    let url = rig.url();
    let sessions = |browser: &mut Browser, headers: &str| {
        headers.clone_into(&mut browser.headers);
        let ask = browser.ask(
            "POST",
            &format!("{url}/v1/record/sessions"),
            "application/json",
            Some("{\"count\":1}"),
        );
        browser.headers.clear();
        ask.unwrap().status
    };
    for foreign in [
        "",
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        assert_eq!(sessions(browser, foreign), 403, "{foreign}");
    }
    for own in ["Sec-Fetch-Site: same-origin\r\n".to_owned(), format!("Origin: {url}\r\n")] {
        assert_eq!(sessions(browser, &own), 200, "{own}");
    }
    assert!(
        rig.record()
            .of_kind("session.refused")
            .any(|e| e.payload("detail").to_string().contains("another site"))
    );
}

#[test]
fn the_paths_of_signing_in_take_no_role_and_only_who_signed_in_signs_out() {
    let settings = Settings { targets: vec![Target::nowhere("shop")], ..Settings::default() };
    let gateway = Gateway::start(settings).unwrap();
    let json = "Content-Type: application/json\r\n";
    for (method, path, body, status) in [
        ("GET", "", "", 200),
        ("POST", "/nosuch/device", "", 409),
        ("POST", "/nosuch/token", "{\"login\":\"guessed\"}", 409),
        ("GET", "/nosuch", "", 403),
        ("GET", "/nosuch/callback?state=s&code=c", "", 403),
        ("POST", "/nosuch", "", 405),
    ] {
        let (got, said) = gateway.ask(method, &format!("/v1/login{path}"), json, body).unwrap();
        assert_eq!(got, status, "{method} {path}: {said}");
    }
    let ops = gateway.role_token("ops", &["--kind", "human", "--role", "admin"]).unwrap();
    let agent = gateway.role_token("bot", &["--target", "shop"]).unwrap();
    for (method, path, expected) in [("GET", "/v1/whoami", 200), ("POST", "/v1/logout", 400)] {
        let ask = |token: &str| {
            gateway.ask(method, path, &format!("{json}Authorization: Bearer {token}\r\n"), "").unwrap().0
        };
        assert_eq!([ask(&ops), ask(&agent), ask("bot:fh_wrong")], [expected, expected, 401], "{path}");
        assert_eq!(gateway.ask(method, path, json, "").unwrap().0, 401);
    }
    assert!(gateway.cli(&["token", "list"]).unwrap().lines().all(|line| !line.contains("revoked")));
}

/// A gateway whose issuer says whatever a test wants.
fn with_liar(more: &str) -> (Gateway, Issuer) {
    let issuer = Issuer::start().unwrap();
    let mut gateway = Gateway::start(Settings {
        targets: vec![Target::nowhere("shop")],
        more: corp(&issuer.url, "client_id = \"gateway\""),
        ..Settings::default()
    })
    .unwrap();
    let redirect = format!("http://127.0.0.1:{}/v1/login/corp/callback", gateway.http_port());
    let more = corp(&issuer.url, &format!("client_id = \"gateway\"\nredirect_url = {redirect:?}\n{more}"));
    gateway.rewrite(|settings| settings.more = more).unwrap();
    reload(&mut gateway);
    issuer.answers("/.well-known/openid-configuration", &says(&issuer, json!({}))).unwrap();
    (gateway, issuer)
}

/// The discovery document, with these members besides or instead.
fn says(issuer: &Issuer, more: Value) -> Value {
    let at = |path: &str| format!("{}{path}", issuer.url);
    let mut document = json!({
        "issuer": issuer.url, "jwks_uri": at("/jwks"), "token_endpoint": at("/token"),
        "authorization_endpoint": at("/auth?tenant=1"), "device_authorization_endpoint": at("/device"),
    });
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    json!({ "body": document.to_string() })
}

/// A parameter of a URL.
fn parameter(url: &str, name: &str) -> String {
    let (_, query) = url.split_once('?').unwrap();
    let pair = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    pair.unwrap_or_else(|| panic!("no {name} in {url}")).to_owned()
}

/// A browser is sent, and brings back this; `answer` makes the issuer's answer of the nonce.
fn comes_back(gateway: &Gateway, issuer: &Issuer, more: &str, answer: impl FnOnce(&str) -> Value) -> Page {
    let url = format!("http://127.0.0.1:{}/v1/login/corp", gateway.http_port());
    let mut browser = Browser::default();
    let sent = browser.get(&url).unwrap();
    assert_eq!(sent.status, 303, "{sent:?}");
    let to = sent.header("location").unwrap();
    assert!(to.starts_with(&format!("{}/auth?tenant=1&response_type=code&", issuer.url)), "{to}");
    assert_eq!(parameter(to, "code_challenge_method"), "S256");
    issuer.answers("/token", &answer(&parameter(to, "nonce"))).unwrap();
    browser.get(&format!("{url}/callback?code=c0de&state={}{more}", parameter(to, "state"))).unwrap()
}

/// The answer of a token endpoint, with these claims in the identity token.
fn token(issuer: &Issuer, nonce: &str, more: Value) -> Value {
    let mut claims = json!({
        "aud": "gateway", "nonce": nonce, "email": "ada@corp.example", "email_verified": true, "groups": ["dba"],
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    if claims["nonce"].is_null() {
        claims.as_object_mut().unwrap().remove("nonce");
    }
    let token = issuer.token("first-ES256", "ada", claims).unwrap();
    json!({ "body": json!({ "id_token": token, "access_token": "x", "token_type": "Bearer" }).to_string() })
}

#[test]
fn tokens_that_were_not_asked_for_sign_nobody_in() {
    let (gateway, issuer) = with_liar("");
    let good = |more: Value| comes_back(&gateway, &issuer, "", |nonce| token(&issuer, nonce, more));
    assert_eq!(good(json!({})).status, 200);
    let asked = issuer.asked().unwrap();
    let form = asked.iter().find(|form| form["path"] == "/token").unwrap()["form"].as_str().unwrap();
    assert!(
        form.contains("code=c0de") && form.contains("code_verifier=") && form.contains("client_id=gateway"),
        "{form}"
    );
    for (claims, why) in [
        (json!({ "aud": "another" }), "meant for another audience"),
        (json!({ "aud": ["gateway", "another"] }), "another party (azp)"),
        (json!({ "azp": "another" }), "another party (azp)"),
        (json!({ "nonce": null }), "(nonce)"),
        (json!({ "nonce": "another" }), "(nonce)"),
        (json!({ "exp": now() - 100 }), "expired"),
        (json!({ "iat": now() + 300 }), "not valid yet"),
        (json!({ "iss": "https://evil.example" }), "no issuer is configured"),
        (json!({ "email_verified": false }), "email is not verified"),
        (json!({ "groups": ["guests"] }), "no [[issuer.allow]] fits"),
        (json!({ "act": { "sub": "bot" } }), "names no person"),
        (json!({ "sub": "" }), "a claim of the token"),
    ] {
        let page = good(claims.clone());
        assert_eq!(page.status, 403, "{claims}");
        assert!(page.body.contains(why) && page.headers("set-cookie").next().is_none(), "{claims}: {page:?}");
        // One that holds lets the next ones be looked at.
        assert_eq!(good(json!({ "aud": ["gateway", "x"], "azp": "gateway" })).status, 200);
    }
    unsigned(&gateway, &issuer);
    let refused: Vec<_> = gateway
        .record()
        .unwrap()
        .of_kind("identity.refused")
        .map(|e| e.payload("detail").to_string())
        .collect();
    for why in ["(nonce)", "(azp)", "another audience", "no signed JWT", "signature"] {
        assert!(refused.iter().any(|told| told.contains(why)), "{why} is not in {refused:#?}");
    }
}

/// Tokens without a signature that holds.
fn unsigned(gateway: &Gateway, issuer: &Issuer) {
    type Spoil = fn(&str) -> String;
    let table: [(Spoil, &str); 4] = [
        (|token| format!("{}.", token.rsplit_once('.').unwrap().0), "no signed JWT"),
        (
            |token| {
                // {"alg":"none"}
                let parts: Vec<_> = token.split('.').collect();
                format!("eyJhbGciOiJub25lIn0.{}.{}", parts[1], parts[2])
            },
            "algorithm is not one that is allowed",
        ),
        (
            |token| {
                // Its first character: of the last one not all bits count.
                let (signed, signature) = token.rsplit_once('.').unwrap();
                let other = if signature.starts_with('A') { "B" } else { "A" };
                format!("{signed}.{other}{}", &signature[1..])
            },
            "signature",
        ),
        (|_| "PAD".to_owned(), "larger than allowed"),
    ];
    for (spoil, why) in table {
        let page = comes_back(gateway, issuer, "", |nonce| {
            let whole = token(issuer, nonce, json!({}));
            let body: Value = serde_json::from_str(whole["body"].as_str().unwrap()).unwrap();
            let spoiled = spoil(body["id_token"].as_str().unwrap());
            json!({ "body": json!({ "id_token": spoiled }).to_string(), "pad": 10_000 })
        });
        assert_eq!(page.status, 403, "{why}: {page:?}");
        assert!(page.body.contains(why), "{why}: {page:?}");
    }
}

#[test]
fn an_issuer_that_is_down_or_lies_gets_a_clear_refusal() {
    let (gateway, issuer) = with_liar("");
    for (answer, status, why) in [
        (
            json!({ "status": 302, "headers": { "Location": "http://127.0.0.1:1/" }, "body": "" }),
            503,
            "status 302",
        ),
        (json!({ "body": "PAD", "pad": 150 << 10 }), 503, "more than"),
        (json!({ "body": "<html>" }), 403, "no JSON object"),
        (json!({ "body": "{}" }), 403, "no identity token"),
        (
            json!({ "status": 400, "body": "{\"error\":\"invalid_grant\"}" }),
            403,
            "`invalid_grant` (status 400)",
        ),
        (
            json!({ "status": 401, "body": "{\"error\":\"<b>words of its own</b>\"}" }),
            403,
            "it refuses with status 401",
        ),
        (json!({ "status": 500, "body": "{}" }), 403, "it refuses with status 500"),
        (json!({ "hangs": true }), 503, "does not answer in time"),
    ] {
        let page = comes_back(&gateway, &issuer, "", |_| answer.clone());
        assert_eq!(page.status, status, "{answer:.80}: {page:?}");
        assert!(page.body.contains(why) && !page.body.contains("words of its own"), "{page:?}");
    }
    // Not where the browser was sent: another issuer (mix-up), another browser, another time; and a no.
    let good = |nonce: &str| token(&issuer, nonce, json!({}));
    let own = format!("&iss={}", encoded(&issuer.url));
    assert_eq!(comes_back(&gateway, &issuer, &own, good).status, 200);
    for (more, why) in [
        ("&iss=https%3A%2F%2Fevil.example", "(iss)"),
        ("&iss=a&iss=b", "(state)"),
        ("&code=another", "(state)"),
        ("x", "(state)"),
        ("&error=access_denied", "denied there"),
        ("&error=%3Cb%3E", "it refuses"),
    ] {
        let page = comes_back(&gateway, &issuer, more, good);
        assert_eq!(page.status, 403, "{more}");
        assert!(page.body.contains(why) && !page.body.contains("<b>"), "{more}: {page:?}");
    }
    let url = format!("http://127.0.0.1:{}/v1/login/corp", gateway.http_port());
    let sent = Browser::default().get(&url).unwrap();
    let state = parameter(sent.header("location").unwrap(), "state");
    let mut victim = Browser::default();
    victim.get(&url).unwrap();
    let page = victim.get(&format!("{url}/callback?code=c&state={state}")).unwrap();
    assert!(page.status == 403 && page.body.contains("(cookie)"), "{page:?}");
    assert_eq!(Browser::default().get(&format!("{url}x")).unwrap().status, 403, "no such issuer");
}

#[test]
fn a_discovery_document_of_somebody_else_leads_nowhere() {
    let (gateway, issuer) = with_liar("");
    let evil = "https://evil.example";
    let url = format!("http://127.0.0.1:{}/v1/login/corp", gateway.http_port());
    for (answer, status, why) in [
        (says(&issuer, json!({ "issuer": evil })), 403, "the document of another issuer"),
        (says(&issuer, json!({ "token_endpoint": null })), 403, "token_endpoint"),
        (says(&issuer, json!({ "token_endpoint": "file:///etc/passwd" })), 403, "token_endpoint"),
        (
            says(&issuer, json!({ "authorization_endpoint": "javascript:alert(1)" })),
            403,
            "authorization_endpoint",
        ),
        (
            says(&issuer, json!({ "authorization_endpoint": "https://x/\r\nSet-Cookie: a=b" })),
            403,
            "authorization_endpoint",
        ),
        (json!({ "body": "PAD", "pad": 300 << 10 }), 503, "more than"),
        (json!({ "status": 302, "headers": { "Location": evil } }), 503, "status 302"),
        (json!({ "status": 503, "body": "" }), 503, "status 503"),
        (json!({ "hangs": true }), 503, "does not answer in time"),
    ] {
        issuer.answers("/.well-known/openid-configuration", &answer).unwrap();
        let page = Browser::default().get(&url).unwrap();
        assert_eq!(page.status, status, "{answer:.90}: {page:?}");
        assert!(page.body.contains(why) && page.header("location").is_none(), "{answer:.90}: {page:?}");
    }
    // One that says that it names itself when a browser comes back must do so.
    let itself = json!({ "authorization_response_iss_parameter_supported": true });
    issuer.answers("/.well-known/openid-configuration", &says(&issuer, itself)).unwrap();
    let page = comes_back(&gateway, &issuer, "", |nonce| token(&issuer, nonce, json!({})));
    assert!(page.status == 403 && page.body.contains("(iss)"), "{page:?}");
}

/// The steps of a device flow, over the API.
struct Steps<'a> {
    gateway: &'a Gateway,
}

impl Steps<'_> {
    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let headers = "Content-Type: application/json\r\n";
        let (status, body) =
            self.gateway.ask("POST", &format!("/v1/login/corp/{path}"), headers, body).unwrap();
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    fn begin(&self) -> Value {
        let (status, begun) = self.post("device", "");
        assert_eq!(status, 200, "{begun}");
        begun
    }

    fn poll(&self, begun: &Value) -> (u16, Value) {
        self.post("token", &json!({ "login": begun["login"] }).to_string())
    }

    /// Polls until it is another answer than to wait.
    fn ended(&self, begun: &Value) -> (u16, Value) {
        let mut last = (0, Value::Null);
        process::until("an answer", || {
            last = self.poll(begun);
            Ok(last.1["state"] != "pending")
        })
        .unwrap();
        last
    }
}

fn code(more: Value) -> Value {
    let mut begun = json!({
        "device_code": "d-1", "user_code": "AB-CD", "verification_uri": "http://127.0.0.1/device", "expires_in": 60,
        "interval": 1,
    });
    for (name, value) in more.as_object().unwrap() {
        begun[name] = value.clone();
    }
    json!({ "body": begun.to_string() })
}

#[test]
fn the_issuer_sets_the_pace_and_its_answers_end_a_device_flow() {
    let (gateway, issuer) = with_liar("");
    let steps = Steps { gateway: &gateway };
    issuer.answers("/device", &code(json!({}))).unwrap();
    let error = |word: &str| json!({ "status": 400, "body": json!({ "error": word }).to_string() });
    // It waits as it is told, is asked no sooner however often somebody polls, and gets its token once.
    issuer.answers("/token", &error("authorization_pending")).unwrap();
    issuer.then_answers("/token", &error("slow_down")).unwrap();
    issuer.then_answers("/token", &token(&issuer, "", json!({}))).unwrap();
    issuer.asked().unwrap();
    let begun = steps.begin();
    assert_eq!((&begun["user_code"], &begun["interval"]), (&json!("AB-CD"), &json!(1)));
    let began = std::time::Instant::now();
    let (status, made) = steps.ended(&begun);
    assert!(status == 200 && made["state"] == "signed-in", "{made}");
    assert!(began.elapsed().as_secs() >= 7, "1 s, 1 s, and 1 s and 5 more: {:?}", began.elapsed());
    let asked = issuer.asked().unwrap();
    let polls: Vec<_> = asked.iter().filter(|form| form["path"] == "/token").collect();
    assert_eq!(polls.len(), 3, "{asked:?}");
    assert!(polls[0]["form"].as_str().unwrap().contains("device_code=d-1"), "{asked:?}");
    assert_eq!(steps.poll(&begun).0, 409, "it is spent");
    for (answer, status, why) in [
        (error("access_denied"), 409, "access_denied"),
        (error("expired_token"), 409, "expired_token"),
        (error("invalid_client"), 409, "`invalid_client`"),
        (token(&issuer, "", json!({ "aud": "another" })), 409, "another audience"),
    ] {
        issuer.answers("/token", &answer).unwrap();
        let begun = steps.begin();
        let (got, said) = steps.ended(&begun);
        assert_eq!(got, status, "{said}");
        assert!(said["error"].as_str().unwrap().contains(why), "{said}");
        assert_eq!(steps.poll(&begun).0, 409);
    }
    for (more, why) in [
        (json!({ "verification_uri": "javascript:alert(1)" }), "verification_uri"),
        (json!({ "verification_uri": "http://x/\u{1b}[2J" }), "verification_uri"),
        (json!({ "user_code": "\u{1b}]0;x" }), "user_code"),
        (json!({ "user_code": "" }), "user_code"),
        (json!({ "device_code": "d".repeat(5000) }), "device_code"),
        (json!({ "expires_in": null }), "expires_in"),
    ] {
        issuer.answers("/device", &code(more)).unwrap();
        let (status, said) = steps.post("device", "");
        assert!(status == 409 && said["error"].as_str().unwrap().contains(why), "{why}: {said}");
    }
    issuer.answers("/device", &code(json!({ "expires_in": 1 }))).unwrap();
    issuer.answers("/token", &error("authorization_pending")).unwrap();
    let begun = steps.begin();
    assert_eq!(steps.ended(&begun).0, 409, "its time is over");
    assert_eq!(steps.post("token", "{\"login\":\"guessed\"}").0, 409);
    assert_eq!(steps.post("token", "{}").0, 400);
}
