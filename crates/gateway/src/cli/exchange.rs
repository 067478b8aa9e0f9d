//! `firsthand token exchange`: a short token for an agent that acts for a person, by the tokens of both.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use firsthand_session::secret::Secret;
use serde_json::Value;

use super::Elsewhere;
use super::output::Output;
use super::token::{Handed, handed_elsewhere, show_created};
use crate::api::exchange::{ACCESS_TOKEN, GRANT, JWT};
use crate::config;
use crate::failure::{Exit, Failure};
use crate::remote::{shown, signed_in_at, strange, submit};

/// What is exchanged.
#[derive(Debug, Args)]
pub(crate) struct ExchangeArgs {
    /// A file with the person's token: that of an issuer (a JWT), or NAME:SECRET [default: your sign-in at --gateway]
    #[arg(long, value_name = "FILE")]
    subject_token_file: Option<PathBuf>,
    /// A file with the agent's own token, in the same forms [default: --token-file, else the environment's FIRSTHAND_TOKEN]
    #[arg(long, value_name = "FILE")]
    actor_token_file: Option<PathBuf>,
    /// A target it is to reach; repeat for more [default: all that both tokens open]
    #[arg(long = "target", value_name = "T")]
    targets: Vec<String>,
    /// How long it is to hold, 1h at most [default: 15m]; never longer than either token
    #[arg(long = "for", value_name = "TIME", value_parser = config::value::duration)]
    life: Option<Duration>,
}

/// Runs the command.
pub(crate) fn run(args: &ExchangeArgs, elsewhere: &Elsewhere, out: &Output) -> Result<Exit, Failure> {
    let Some(url) = &elsewhere.gateway else {
        return Err(Failure::usage(
            "tokens are exchanged over the API, and no gateway was named",
            "give --gateway URL: https://HOST:PORT, or http://127.0.0.1:PORT on the gateway's machine",
        ));
    };
    let subject = match &args.subject_token_file {
        Some(file) => shown("--subject-token-file", Some(file))?,
        None => signed_in_at(url, elsewhere.ca.as_deref())?,
    };
    let actor = match (&args.actor_token_file, &elsewhere.token_file) {
        (Some(file), _) => shown("--actor-token-file", Some(file))?,
        (None, file) => shown("--token-file", file.as_deref())?,
    };
    let form = form(args, &subject, &actor);
    let (status, mut answer, near) = submit((url, elsewhere.ca.as_deref()), "/v1/token", &form)?;
    if status != 200 {
        return Err(refused(status, &answer));
    }
    let (name, secret) = text(&answer, "access_token").split_once(':').ok_or_else(strange)?;
    let mut handed = Handed {
        id: text(&answer, "id").to_owned(),
        name: name.to_owned(),
        secret: secret.to_owned(),
        targets: Vec::new(),
        roles: Vec::new(),
        expires: Some(text(&answer, "expires").to_owned()),
    };
    let targets = answer.get_mut("targets").map(Value::take).unwrap_or_default();
    handed.targets = serde_json::from_value(targets).map_err(|_| strange())?;
    let without = handed_elsewhere(&mut handed, near);
    show_created(&handed, &without, out);
    Ok(Exit::Done)
}

fn form(args: &ExchangeArgs, subject: &Secret, actor: &Secret) -> Secret {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", GRANT);
    for (whose, token) in [("subject", subject), ("actor", actor)] {
        let kind = if token.expose().contains(':') { ACCESS_TOKEN } else { JWT };
        form.append_pair(&format!("{whose}_token"), token.expose());
        form.append_pair(&format!("{whose}_token_type"), kind);
    }
    for target in &args.targets {
        form.append_pair("audience", target);
    }
    if let Some(life) = args.life {
        form.append_pair("expires_in", &life.as_secs().max(1).to_string());
    }
    Secret::new(form.finish())
}

fn text<'a>(answer: &'a Value, key: &str) -> &'a str {
    answer.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The gateway's refusal, which is told as it is.
fn refused(status: u16, answer: &Value) -> Failure {
    let (error, what) = (text(answer, "error"), text(answer, "error_description"));
    if error.is_empty() {
        return strange();
    }
    let hint = text(answer, "hint");
    let hint = if hint.is_empty() { "docs/identity.md describes the exchange of tokens" } else { hint };
    let failure = Failure::new(format!("{what} ({error})"), hint);
    Failure { later: status == 503, ..failure }
}
