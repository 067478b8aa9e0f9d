//! `firsthand login`, `logout` and `whoami`: signing in at an issuer, by a code that is typed in a browser anywhere (RFC 8628). The
//! gateway talks with the issuer; here is only waited, and what comes out is kept for the commands after it.

use std::time::{Duration, Instant};

use clap::Args;
use firsthand_session::secret::Secret;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Elsewhere;
use super::output::Output;
use super::token::{Handed, handed_elsewhere};
use crate::failure::{Exit, Failure};
use crate::remote::kept::{Keep, Kept};
use crate::remote::{Asked as _, Remote, strange};
use crate::show::clean;

/// The gateway is asked no more and no less often than this, whatever it says.
const INTERVAL: std::ops::RangeInclusive<u64> = 1..=60;
/// Nobody is waited for longer than this.
const WAIT_MAX: Duration = Duration::from_secs(1800);

/// Arguments of `login`.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The issuer, as the gateway calls it [default: the only one]
    issuer: Option<String>,
}

/// Arguments of `whoami`.
#[derive(Debug, Args)]
pub(crate) struct WhoamiArgs {
    /// Print the password of your sign-in at --gateway, for a database client, and nothing else
    #[arg(long)]
    password: bool,
}

fn gateway(elsewhere: &Elsewhere) -> Result<&str, Failure> {
    elsewhere.gateway.as_deref().ok_or_else(|| {
        Failure::usage(
            "no gateway was named",
            "give --gateway URL: https://HOST:PORT, or http://127.0.0.1:PORT on the gateway's machine",
        )
    })
}

fn text<'a>(answer: &'a Value, key: &str) -> Result<&'a str, Failure> {
    answer.get(key).and_then(Value::as_str).ok_or_else(strange)
}

/// Signs in.
pub(crate) fn login(args: &LoginArgs, elsewhere: &Elsewhere, out: &Output) -> Result<Exit, Failure> {
    let url = gateway(elsewhere)?;
    if elsewhere.token_file.is_some() {
        return Err(Failure::usage("login takes no token: it gets one", "leave --token-file out"));
    }
    // Before anybody is asked for anything: where it could not be kept, it would be for nothing.
    let keep = Keep::of_user()?;
    let remote = Remote::stranger(url, elsewhere.ca.as_deref())?;
    let before = keep.find(&remote.address())?;
    let issuer = match &args.issuer {
        Some(name) => name.clone(),
        None => only_issuer(&remote)?,
    };
    if !issuer.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return Err(Failure::usage(
            "that is no name of an issuer",
            "GET /v1/login of the gateway lists them",
        ));
    }
    let begun = remote.asked("POST", &format!("/v1/login/{issuer}/device"), &Value::Null)?;
    ask_person(&begun, out)?;
    let token = waited(&remote, &issuer, &begun)?;
    let person = text(&token, "person")?.to_owned();
    let expires: Timestamp = text(&token, "expires")?.parse().map_err(|_| strange())?;
    let mut handed: Handed = serde_json::from_value(token).map_err(|_| strange())?;
    let secret = Secret::new(format!("{}:{}", handed.name, handed.secret));
    keep.put(&remote.address(), Kept::new(&secret, &person, &issuer, expires))?;
    let (without, address) = (handed_elsewhere(&mut handed, remote.is_near()), remote.address());
    if let Some(before) = before {
        // It is of no use any more. Where it has ended already, or cannot be ended now, it ends by itself.
        let _ = remote.with(before.token()).end();
    }
    let ca = elsewhere.ca.as_deref().map(|ca| format!(" --ca {}", clean::shell_word(&ca.to_string_lossy())));
    show(&handed, (&person, &issuer, &without), (&address, ca.as_deref().unwrap_or_default()), out);
    if !out.is_json() {
        out.talk(&format!("It is kept in {}; firsthand logout ends it.", keep.path().display()));
    }
    Ok(Exit::Done)
}

fn only_issuer(remote: &Remote) -> Result<String, Failure> {
    let answer = remote.asked("GET", "/v1/login", &Value::Null)?;
    let all = answer.get("issuers").and_then(Value::as_array).ok_or_else(strange)?;
    let names: Vec<&str> = all.iter().filter_map(|issuer| issuer.get("name")?.as_str()).collect();
    match names.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(Failure::new(
            "nobody signs in at this gateway: it has no issuer for that",
            "an [[issuer]] of its configuration takes a client_id (docs/identity.md)",
        )),
        several => Err(Failure::usage(
            "there are several issuers",
            clean::line(&format!("name one: firsthand login {}", several.join(" | "))).into_owned(),
        )),
    }
}

/// Tells the person what to do. The words are an issuer's: nothing in them moves the screen.
fn ask_person(begun: &Value, out: &Output) -> Result<(), Failure> {
    let (at, code) = (text(begun, "verification_uri")?, text(begun, "user_code")?);
    let mut lines = format!("Open {} and type the code {}", clean::line(at), clean::line(code));
    if let Some(whole) = begun.get("verification_uri_complete").and_then(Value::as_str) {
        lines.push_str(&format!("\nor open {}", clean::line(whole)));
    }
    lines.push_str("\nThe code is for you alone: give it to nobody, and type none that somebody gave you.");
    out.talk(&lines);
    Ok(())
}

/// Waits until it was typed in.
fn waited(remote: &Remote, issuer: &str, begun: &Value) -> Result<Value, Failure> {
    let number = |answer: &Value, key: &str| answer.get(key).and_then(Value::as_u64);
    let within = Duration::from_secs(number(begun, "expires_in").ok_or_else(strange)?).min(WAIT_MAX);
    let mut interval = number(begun, "interval").unwrap_or(5);
    let (end, path) = (Instant::now() + within, format!("/v1/login/{issuer}/token"));
    let ask = json!({ "login": text(begun, "login")? });
    loop {
        let pause = Duration::from_secs(interval.clamp(*INTERVAL.start(), *INTERVAL.end()));
        if Instant::now() + pause > end {
            return Err(Failure::new("nobody typed the code in, in time", "firsthand login begins anew"));
        }
        std::thread::sleep(pause);
        let mut answer = remote.asked("POST", &path, &ask)?;
        match text(&answer, "state")? {
            "pending" => interval = number(&answer, "interval").unwrap_or(interval),
            "signed-in" => return answer.get_mut("token").map(Value::take).ok_or_else(strange),
            _ => return Err(strange()),
        }
    }
}

/// What was got, and how to use it. Its secret is not shown: it is kept.
fn show(
    handed: &Handed,
    (person, issuer, without): (&str, &str, &str),
    (address, ca): (&str, &str),
    out: &Output,
) {
    let bare = |string: &Option<String>| {
        string.as_ref().map(|string| string.replacen(&format!(":{}@", handed.secret), "@", 1))
    };
    let targets: Vec<_> = handed.targets.iter().map(|(name, string)| (name, bare(string))).collect();
    let value = json!({
        "person": person, "issuer": issuer, "login": handed.name, "id": handed.id, "roles": handed.roles,
        "expires": handed.expires, "gateway": address,
        "targets": targets.iter().map(|(t, s)| json!({ "target": t, "connect": s })).collect::<Vec<_>>(),
    });
    out.show(&value, || {
        let until = handed.expires.as_deref().unwrap_or_default();
        let mut lines = format!("signed in at {issuer} as {person} until {until}\n");
        if !handed.roles.is_empty() {
            lines.push_str(&format!(
                "role    {}
",
                handed.roles.join(",")
            ));
        }
        for (target, string) in &targets {
            match string {
                // The gateway chose the string, and a person pastes it.
                Some(string) => lines.push_str(&format!(
                    "{target:<7} PGPASSWORD=$(firsthand whoami --gateway {}{ca} --password) psql {}\n",
                    clean::shell_word(address),
                    clean::shell_word(string)
                )),
                None => lines.push_str(&format!("{target:<7} {without}\n")),
            }
        }
        clean::block(&lines).into_owned()
    });
}

/// Signs out: the token ends at the gateway, and is forgotten here.
pub(crate) fn logout(elsewhere: &Elsewhere, out: &Output) -> Result<Exit, Failure> {
    let (url, keep) = (gateway(elsewhere)?, Keep::of_user()?);
    let remote = Remote::stranger(url, elsewhere.ca.as_deref())?;
    let address = remote.address();
    let Some(kept) = keep.find(&address)? else {
        return Err(Failure::new(format!("you are not signed in at {address}"), "firsthand login signs in"));
    };
    // One that the gateway does not take any more has ended already.
    let ended = kept.expires <= Timestamp::now() || remote.with(kept.token()).end().map(|_| true)?;
    keep.forget(&address)?;
    let value = json!({ "person": kept.person, "issuer": kept.issuer, "gateway": address, "ended": ended });
    out.show(&value, || format!("signed out: {} at {address}", clean::line(&kept.person)));
    Ok(Exit::Done)
}

/// Says who the token for a gateway names.
pub(crate) fn whoami(args: &WhoamiArgs, elsewhere: &Elsewhere, out: &Output) -> Result<Exit, Failure> {
    let url = gateway(elsewhere)?;
    if args.password {
        let address = Remote::stranger(url, elsewhere.ca.as_deref())?.address();
        let kept = Keep::of_user()?.find_valid(&address)?;
        let not = || Failure::new(format!("you are not signed in at {address}"), "firsthand login signs in");
        let token = kept.ok_or_else(not)?.token();
        let (_, secret) = token.expose().split_once(':').ok_or_else(strange)?;
        out.text(secret);
        return Ok(Exit::Done);
    }
    let remote = Remote::find(url, elsewhere.ca.as_deref(), elsewhere.token_file.as_deref())?;
    let answer = remote.asked("GET", "/v1/whoami", &Value::Null)?;
    out.show(&answer, || {
        let mut lines = String::new();
        let of = |value: Option<&Value>| match value {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            _ => String::new(),
        };
        for link in answer.get("chain").and_then(Value::as_array).into_iter().flatten() {
            let [kind, name, trust] = ["kind", "name", "trust"].map(|key| of(link.get(key)));
            lines.push_str(&format!("{kind:<8} {name} ({trust})\n"));
        }
        for key in ["login", "issuer", "how", "roles", "targets", "groups", "expires"] {
            let value = of(answer.get(key));
            if !value.is_empty() {
                lines.push_str(&format!("{key:<8} {value}\n"));
            }
        }
        clean::block(&lines).into_owned()
    });
    Ok(Exit::Done)
}
