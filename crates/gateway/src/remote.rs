//! A gateway on another machine, asked over its API (docs/api.md): `--gateway URL`. What comes back is printed by the same code
//! as what is read here.

mod exchange;
pub(crate) mod kept;

use std::path::Path;

use firsthand_session::secret::Secret;
use serde_json::{Value, json};

use crate::api::Answer;
use crate::failure::{Exit, Failure, only_for_its_owner};
use crate::reading::wire::{Taker, Went, told_elsewhere};
use crate::reading::{Ask, Sink};
use exchange::{Exchange, Gone, Host, Sent};

pub(crate) use exchange::is_this_machine;

/// The environment variable with the token.
const TOKEN_VARIABLE: &str = "FIRSTHAND_TOKEN";
/// Longest token taken: NAME:SECRET.
const TOKEN_BYTES_MAX: usize = 1024;
/// Longest token taken to be exchanged: issuers' are larger.
const SHOWN_BYTES_MAX: usize = 60 << 10;
/// Permission bits of the group and of others: a file with a token may have none of them.
const OTHERS: u32 = 0o077;
/// Longest answer that is taken whole: a list of all tokens or sessions.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Longest line of a stream: an entry has far less than that, in its longest form.
const LINE_BYTES_MAX: usize = 64 << 20;

/// A gateway that answers: over its admin socket, or its API.
pub(crate) trait Asked {
    /// Asks, and gives the answer.
    fn asked(&self, method: &str, path: &str, body: &Value) -> Result<Value, Failure>;
}

/// A gateway elsewhere.
pub(crate) struct Remote {
    host: Host,
    /// `None`: nothing is shown to it.
    token: Option<Secret>,
}

/// The answer is none of this API.
pub(crate) fn strange() -> Failure {
    Failure::new(
        "the answer is none of a gateway's API",
        "check --gateway: it takes the address of the http listener of a gateway of this version",
    )
}

impl Remote {
    /// From `--gateway`, `--ca` and `--token-file` or the environment.
    pub(crate) fn find(url: &str, ca: Option<&Path>, token_file: Option<&Path>) -> Result<Self, Failure> {
        let host = Host::parse(url, ca)?;
        let token = Some(token(token_file, &host)?);
        Ok(Self { host, token })
    }

    /// To which nothing is shown.
    pub(crate) fn stranger(url: &str, ca: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self { host: Host::parse(url, ca)?, token: None })
    }

    /// The same gateway, to which this is shown.
    pub(crate) fn with(self, token: Secret) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Where it is, always in the same words.
    pub(crate) fn address(&self) -> String {
        self.host.address()
    }

    /// Signs out. Whether it was not over already.
    pub(crate) fn end(&self) -> Result<bool, Failure> {
        let exchange = self.exchange("POST", "/v1/logout", &Value::Null)?;
        match exchange.status {
            200 => Ok(true),
            401 => Ok(false),
            _ => Err(self.refused(exchange)),
        }
    }

    fn exchange(&self, method: &str, path: &str, body: &Value) -> Result<Exchange, Failure> {
        let sent = Sent::Json { token: self.token.as_ref(), body };
        Exchange::begin(&self.host, method, path, &sent).map_err(|e| lost(&self.host, &e))
    }

    /// Whether it is reached over loopback.
    pub(crate) fn is_near(&self) -> bool {
        self.host.is_near()
    }

    /// Reads the record there.
    pub(crate) fn read(&self, ask: &Ask, sink: &mut dyn Sink) -> Result<Exit, Failure> {
        let (path, body) = match ask {
            Ask::Entries(ask) => ("/v1/record/entries", json!(ask)),
            Ask::Sessions(ask) => ("/v1/record/sessions", json!(ask)),
            Ask::Session(ask) => ("/v1/record/session", json!(ask)),
        };
        let mut exchange = self.exchange("POST", path, &body)?;
        if exchange.status != 200 {
            return Err(self.refused(exchange));
        }
        let (mut taker, mut line) = (Taker::default(), Vec::new());
        while let Some(chunk) = exchange.next().map_err(|e| lost(&self.host, &e))? {
            for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(piece);
                if line.len() > LINE_BYTES_MAX {
                    return Err(strange());
                }
                if !line.ends_with(b"\n") {
                    continue;
                }
                let text = std::str::from_utf8(&line).map_err(|_| strange())?;
                match taker.take(text, sink)? {
                    Went::On => line.clear(),
                    Went::Ended(exit) => {
                        sink.finish()?;
                        return Ok(exit);
                    }
                    Went::Strange => return Err(strange()),
                }
            }
            // What is there is shown, before more is waited for.
            if exchange.is_idle() && !sink.flush()? {
                return Ok(Exit::Done);
            }
        }
        sink.flush()?;
        Err(lost(&self.host, &Gone::Broken("the last line is missing".to_owned())))
    }

    fn refused(&self, exchange: Exchange) -> Failure {
        let status = exchange.status;
        let answer = exchange.whole(ANSWER_BYTES_MAX).ok();
        match answer.and_then(|body| serde_json::from_slice::<Answer>(&body).ok()) {
            Some(Answer { error, hint }) => {
                let exit = if status == 400 { Exit::Usage } else { Exit::No };
                told_elsewhere(exit, &[error], &hint)
            }
            None => strange(),
        }
    }
}

impl Asked for Remote {
    fn asked(&self, method: &str, path: &str, body: &Value) -> Result<Value, Failure> {
        let exchange = self.exchange(method, path, body)?;
        if exchange.status != 200 {
            return Err(self.refused(exchange));
        }
        let body = exchange.whole(ANSWER_BYTES_MAX).map_err(|e| lost(&self.host, &e))?;
        serde_json::from_slice(&body).map_err(|_| strange())
    }
}

/// Why a gateway elsewhere has not answered.
fn lost(host: &Host, e: &Gone) -> Failure {
    let url = &host.url;
    match e {
        Gone::Unreachable(why) => Failure::new(
            format!("cannot reach {url}: {why}"),
            "check --gateway: it takes the address of the gateway's http listener, which must run",
        ),
        Gone::OwnAuthority => Failure::new(
            format!(
                "{url} shows a certificate that is an authority itself (self-signed), and so cannot be a server's"
            ),
            "let a small authority sign one for the gateway, and give the authority with --ca FILE: docs/api.md shows how",
        ),
        Gone::NoTls(why) => Failure::new(
            format!("{url} does not speak TLS: {why}"),
            "does the gateway have [listen] tls? Without it, its API is for its own machine: http://127.0.0.1:PORT there",
        ),
        Gone::Unverified(why) => Failure::new(
            format!("{url} is not who it says, as far as can be told: {why}"),
            "give --ca FILE with the authority that signed the gateway's certificate, and the name that is in it",
        ),
        Gone::Broken(why) => Failure::new(
            format!("{url} broke off: {why}"),
            "what was printed may not be all; ask again (and if nothing ever comes: --gateway takes the address of the http listener)",
        ),
    }
}

/// Sends a form to a gateway elsewhere, without a token of its own, and gives the status and the answer.
pub(crate) fn submit(
    (url, ca): (&str, Option<&Path>),
    path: &str,
    form: &Secret,
) -> Result<(u16, Value, bool), Failure> {
    let host = Host::parse(url, ca)?;
    let exchange = Exchange::begin(&host, "POST", path, &Sent::Form(form)).map_err(|e| lost(&host, &e))?;
    let status = exchange.status;
    let body = exchange.whole(ANSWER_BYTES_MAX).map_err(|e| lost(&host, &e))?;
    let answer = serde_json::from_slice(&body).map_err(|_| strange())?;
    Ok((status, answer, host.is_near()))
}

/// A token to be shown in a form: from a file, or the environment.
pub(crate) fn shown(option: &str, file: Option<&Path>) -> Result<Secret, Failure> {
    let text = match file {
        Some(file) => secret_file(file, option, SHOWN_BYTES_MAX)?,
        None => std::env::var(TOKEN_VARIABLE).map(Secret::new).map_err(|_| {
            let hint = format!("write it in {TOKEN_VARIABLE}, or name a file with --actor-token-file");
            Failure::usage("the agent's own token was not given", hint)
        })?,
    };
    let token = text.expose().trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage(
            format!("{option} holds no token"),
            "it takes NAME:SECRET as `firsthand token create` printed them, or the token of an issuer (a JWT)",
        ));
    }
    Ok(Secret::new(token.to_owned()))
}

/// What is in a file that only its owner can reach.
fn secret_file(file: &Path, option: &str, most: usize) -> Result<Secret, Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let cannot = |e: std::io::Error| {
        Failure::usage(
            format!("{option} {}: {e}", file.display()),
            "check the path and who may read the file",
        )
    };
    let about = std::fs::metadata(file).map_err(cannot)?;
    if about.len() > most as u64 {
        return Err(cannot(std::io::Error::other("it is too long for a token")));
    }
    let text = Secret::new(std::fs::read_to_string(file).map_err(cannot)?);
    // An issuer's token ends soon, and is written by who runs workloads, for a group: no more is asked of its file than of that.
    let issued = text.expose().contains('.') && !text.expose().contains(':');
    if about.permissions().mode() & OTHERS != 0 && !issued {
        let what = format!("{option} {}: others than its owner can reach it", file.display());
        return Err(Failure::usage(what, only_for_its_owner(file)));
    }
    Ok(text)
}

/// The person's own token: of their sign-in at this gateway.
pub(crate) fn signed_in_at(url: &str, ca: Option<&Path>) -> Result<Secret, Failure> {
    let host = Host::parse(url, ca)?;
    let kept = kept::Keep::of_user()?.find_valid(&host.address())?;
    kept.map(|kept| kept.token()).ok_or_else(|| {
        let hint = "give --subject-token-file FILE, or sign in first: firsthand login";
        Failure::usage("the person's token was not given, and nobody is signed in at this gateway", hint)
    })
}

/// The token, as NAME:SECRET: the one that is given, else that of the sign-in at this gateway.
fn token(file: Option<&Path>, host: &Host) -> Result<Secret, Failure> {
    let hint = format!(
        "firsthand login signs in; or write NAME:SECRET as `firsthand token create NAME --role …` printed them, in {TOKEN_VARIABLE} or --token-file FILE"
    );
    let (from, text) = match file {
        Some(file) => (file.display().to_string(), secret_file(file, "--token-file", TOKEN_BYTES_MAX)?),
        None => {
            let Ok(text) = std::env::var(TOKEN_VARIABLE) else {
                // Where nothing can be kept, nothing was.
                let kept = kept::Keep::of_user().ok().map(|keep| keep.find_valid(&host.address()));
                let kept = kept.transpose()?.flatten();
                let none = || Failure::usage("no token was given for --gateway", hint.clone());
                return kept.map(|kept| kept.token()).ok_or_else(none);
            };
            (TOKEN_VARIABLE.to_owned(), Secret::new(text))
        }
    };
    let fit = |text: &str| {
        let parts = text.split_once(':');
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let own = parts.is_some_and(|(name, secret)| !name.is_empty() && !secret.is_empty());
        // A JWT of an issuer that the gateway trusts: it will say itself whether it is one.
        let jwt = text.split('.').count() == 3 && text.split('.').all(|part| !part.is_empty());
        plain && text.len() <= TOKEN_BYTES_MAX && (own || jwt)
    };
    if fit(text.expose().trim()) {
        Ok(Secret::new(text.expose().trim().to_owned()))
    } else {
        Err(Failure::usage(format!("{from} holds no token: neither NAME:SECRET nor a JWT"), hint))
    }
}
