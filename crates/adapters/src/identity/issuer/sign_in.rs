//! What is said between an issuer and this gateway when a person signs in there: by a code that is typed in elsewhere (RFC 8628),
//! or in a browser (RFC 6749 4.1 with PKCE, RFC 7636), both with an identity token at the end (OpenID Connect Core 1.0). Pure but
//! for the keys: what is sent is made here and what came is read here; sending it is done elsewhere. Nothing that an issuer says is
//! taken without a limit, and no words of its own come into the record but the code of an error.

use std::time::Duration;

use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use firsthand_model::identity::{Identity, IdentityKind};
use firsthand_model::time::UnixMicros;
use firsthand_session::secret::Secret;
use serde_json::Value;

use super::claims::{self, Claims};
use super::fault::Fault;
use super::jws::Jws;
use super::ring::{Issuers, discovery_url, own_document};
use super::spec::SignInSpec;
use super::strict;
use crate::identity::scram::CryptoError;

/// The grant of RFC 8628.
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Longest URL of an issuer's that is taken; it is shown to a person, or sent to a browser.
const URL_BYTES_MAX: usize = 2048;
/// Longest code that a person is asked to type.
const USER_CODE_BYTES_MAX: usize = 64;
/// Longest code that is kept to ask by. Some issuers put all they know into it.
const DEVICE_CODE_BYTES_MAX: usize = 4096;
/// A person has this long at most, whatever the issuer says: until then something is kept for them.
const DEVICE_TIME_MAX: Duration = Duration::from_secs(1800);
/// How often the issuer is asked where it does not say (RFC 8628 3.2), and how much longer it is after `slow_down` (3.5).
const INTERVAL: Duration = Duration::from_secs(5);
/// An issuer that wants to be asked less often than this is not: nobody would wait for it.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Longest `sub` (OpenID Connect Core 2).
const SUBJECT_BYTES_MAX: usize = 255;
/// Longest code of an error that is told.
const ERROR_BYTES_MAX: usize = 64;
/// Random bytes in what must not be guessed: `state`, `nonce`, the verifier of PKCE.
const RANDOM_BYTES: usize = 32;

/// Where an issuer takes what, as its discovery document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Where browsers are sent.
    pub authorization: Option<String>,
    /// Where tokens come from.
    pub token: String,
    /// Where codes to be typed in come from.
    pub device: Option<String>,
    /// The secret goes into the form, not into a header.
    secret_in_form: bool,
    /// It says who it is where a browser comes back (RFC 9207), so that must be there.
    pub says_issuer: bool,
}

impl Endpoints {
    /// Where the document is.
    #[must_use]
    pub fn document(issuer: &str) -> String {
        discovery_url(issuer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    pub fn read(issuer: &str, document: &[u8]) -> Result<Self, String> {
        let document = own_document(issuer, document)?;
        let endpoint = |key: &str| match document.get(key) {
            None => Ok(None),
            Some(url) => match url.as_str().filter(|url| is_fit(issuer, url)) {
                Some(url) => Ok(Some(url.to_owned())),
                None => Err(format!("{key} is no URL that is used: https, and not too long")),
            },
        };
        let methods = document.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
        let takes = |word: &str| methods.is_some_and(|all| all.iter().any(|method| method == word));
        let says = document.get("authorization_response_iss_parameter_supported");
        Ok(Self {
            authorization: endpoint("authorization_endpoint")?,
            token: endpoint("token_endpoint")?.ok_or("it does not say where tokens are (token_endpoint)")?,
            device: endpoint("device_authorization_endpoint")?,
            secret_in_form: takes("client_secret_post") && !takes("client_secret_basic"),
            says_issuer: says == Some(&Value::Bool(true)),
        })
    }
}

/// A URL that may be shown, or gone to: behind https where the issuer is, and nothing in it that a terminal or a header obeys.
fn is_fit(issuer: &str, url: &str) -> bool {
    let secure = url.starts_with("https://") || (url.starts_with("http://") && issuer.starts_with("http://"));
    secure
        && url.len() <= URL_BYTES_MAX
        && url.bytes().all(|byte| byte.is_ascii_graphic())
        && !url.contains('#')
}

/// What is sent to an issuer: a form, and who sends it where that goes into a header (`Authorization`).
#[derive(Debug)]
pub struct Message {
    /// The form.
    pub form: Secret,
    /// The header's value.
    pub authorization: Option<Secret>,
}

fn message(
    spec: &SignInSpec,
    endpoints: &Endpoints,
    secret: Option<&Secret>,
    pairs: &[(&str, &str)],
) -> Message {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs);
    let mut authorization = None;
    match secret {
        Some(secret) if endpoints.secret_in_form => {
            form.append_pair("client_id", &spec.client_id).append_pair("client_secret", secret.expose());
        }
        Some(secret) => {
            // Both are encoded as in a form first (RFC 6749 2.3.1).
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = Secret::new(format!("{}:{}", encoded(&spec.client_id), encoded(secret.expose())));
            authorization = Some(Secret::new(format!("Basic {}", STANDARD.encode(pair.expose()))));
        }
        None => {
            form.append_pair("client_id", &spec.client_id);
        }
    }
    Message { form: Secret::new(form.finish()), authorization }
}

/// Asks for a code to be typed in.
#[must_use]
pub fn device_message(spec: &SignInSpec, endpoints: &Endpoints, secret: Option<&Secret>) -> Message {
    message(spec, endpoints, secret, &[("scope", &spec.scopes.join(" "))])
}

/// Asks whether it was typed in.
#[must_use]
pub fn poll_message(
    spec: &SignInSpec,
    endpoints: &Endpoints,
    secret: Option<&Secret>,
    device_code: &Secret,
) -> Message {
    let pairs = [("grant_type", DEVICE_GRANT), ("device_code", device_code.expose())];
    message(spec, endpoints, secret, &pairs)
}

/// Exchanges what a browser brought.
#[must_use]
pub fn code_message(
    (spec, endpoints, secret): (&SignInSpec, &Endpoints, Option<&Secret>),
    code: &str,
    redirect: &str,
    verifier: &Secret,
) -> Message {
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect),
        ("code_verifier", verifier.expose()),
    ];
    message(spec, endpoints, secret, &pairs)
}

/// A code to be typed in, and where.
#[derive(Debug)]
pub struct DeviceBegun {
    /// What the issuer is asked by.
    pub device_code: Secret,
    /// What the person types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    /// How long that is good for.
    pub expires: Duration,
    /// How often the issuer may be asked.
    pub interval: Duration,
}

impl DeviceBegun {
    /// Reads the answer (RFC 8628 3.2).
    ///
    /// # Errors
    /// What is wrong with it, in fixed words.
    pub fn read(issuer: &str, status: u16, body: &[u8]) -> Result<Self, String> {
        let said = strict::object(body).ok_or("its answer is no JSON object")?;
        if status != 200 {
            return Err(refused(status, &said));
        }
        let text = |key: &str| said.get(key).and_then(Value::as_str);
        let unfit = |what: &str| format!("its answer has no {what} that can be used");
        let code = text("device_code").filter(|code| (1..=DEVICE_CODE_BYTES_MAX).contains(&code.len()));
        let user_code = text("user_code").filter(|code| {
            (1..=USER_CODE_BYTES_MAX).contains(&code.len())
                && code.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        });
        let url = text("verification_uri").filter(|url| is_fit(issuer, url));
        let whole = text("verification_uri_complete").filter(|url| is_fit(issuer, url));
        let seconds = |key: &str| said.get(key).and_then(Value::as_u64).map(Duration::from_secs);
        Ok(Self {
            device_code: Secret::new(code.ok_or_else(|| unfit("device_code"))?.to_owned()),
            user_code: user_code.ok_or_else(|| unfit("user_code"))?.to_owned(),
            verification_uri: url.ok_or_else(|| unfit("verification_uri"))?.to_owned(),
            verification_uri_complete: whole.map(str::to_owned),
            expires: seconds("expires_in").ok_or_else(|| unfit("expires_in"))?.min(DEVICE_TIME_MAX),
            interval: seconds("interval").unwrap_or(INTERVAL).clamp(Duration::from_secs(1), INTERVAL_MAX),
        })
    }
}

/// How long to wait before the issuer is asked again, after it asked for more time.
#[must_use]
pub fn slower(interval: Duration) -> Duration {
    (interval + INTERVAL).min(INTERVAL_MAX)
}

/// What an issuer answers who asks for a token.
#[derive(Debug)]
pub enum Given {
    /// The identity token.
    Token(Secret),
    /// The person has not answered yet.
    Pending,
    /// The same, and to be asked less often.
    SlowDown,
    /// The person, or the issuer, said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// Something else, in fixed words.
    Refused(String),
}

impl Given {
    /// Reads the answer (RFC 6749 5, RFC 8628 3.5, OpenID Connect Core 3.1.3.3).
    #[must_use]
    pub fn read(status: u16, body: &[u8]) -> Self {
        let Some(said) = strict::object(body) else {
            return Self::Refused("its answer is no JSON object".to_owned());
        };
        let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default();
        match (status, text("error")) {
            (200, _) => match text("id_token") {
                "" => Self::Refused("it gave no identity token; is `openid` among the scopes?".to_owned()),
                token => Self::Token(Secret::new(token.to_owned())),
            },
            (_, "authorization_pending") => Self::Pending,
            (_, "slow_down") => Self::SlowDown,
            (_, "access_denied") => Self::Denied,
            (_, "expired_token") => Self::Expired,
            _ => Self::Refused(refused(status, &said)),
        }
    }
}

/// That an issuer refuses, with the code of its error and none of its words.
fn refused(status: u16, said: &Claims) -> String {
    match error_code(said.get("error").and_then(Value::as_str).unwrap_or_default()) {
        Some(error) => format!("it refuses with `{error}` (status {status})"),
        None => format!("it refuses with status {status}"),
    }
}

/// The code of an error, where it is one (`invalid_client`, `access_denied`).
#[must_use]
pub fn error_code(text: &str) -> Option<&str> {
    let fits = (1..=ERROR_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    fits.then_some(text)
}

/// Something that nobody guesses, as text for a URL.
///
/// # Errors
/// When the system gives no random bytes.
pub fn random() -> Result<Secret, CryptoError> {
    let mut bytes = zeroize::Zeroizing::new([0u8; RANDOM_BYTES]);
    rand::fill(&mut *bytes).map_err(|_| CryptoError)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(*bytes)))
}

/// Whether two such texts are the same, in a time that tells nothing.
#[must_use]
pub fn is_same(a: &Secret, b: &str) -> bool {
    constant_time::verify_slices_are_equal(a.expose().as_bytes(), b.as_bytes()).is_ok()
}

/// What a browser takes along to its issuer and back.
#[derive(Debug)]
pub struct Errand {
    /// Comes back with the browser.
    pub state: Secret,
    /// Comes back in the token.
    pub nonce: Secret,
    /// Whose digest goes along (PKCE): only who has this can use the code.
    pub verifier: Secret,
}

impl Errand {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new() -> Result<Self, CryptoError> {
        Ok(Self { state: random()?, nonce: random()?, verifier: random()? })
    }

    /// Where the browser is sent.
    #[must_use]
    pub fn url(&self, authorization: &str, spec: &SignInSpec, redirect: &str) -> String {
        let challenge = digest::digest(&digest::SHA256, self.verifier.expose().as_bytes());
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([
            ("response_type", "code"),
            ("client_id", &spec.client_id),
            ("redirect_uri", redirect),
            ("scope", &spec.scopes.join(" ")),
            ("state", self.state.expose()),
            ("nonce", self.nonce.expose()),
            ("code_challenge", &URL_SAFE_NO_PAD.encode(challenge)),
            ("code_challenge_method", "S256"),
        ]);
        let joint = if authorization.contains('?') { '&' } else { '?' };
        format!("{authorization}{joint}{}", query.finish())
    }
}

/// Who has signed in.
#[derive(Debug)]
pub struct Proved {
    /// Who, and what the rules give them.
    pub identity: Identity,
    /// What the issuer calls them, for ever.
    pub subject: String,
    /// How the token was signed.
    pub algorithm: &'static str,
    /// The issuer said who may act for them.
    pub may_act: bool,
}

impl Issuers {
    /// Who an identity token names that came from this issuer just now. `nonce`: what it must have in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn signed_in(
        &self,
        issuer: &str,
        token: &str,
        nonce: Option<&Secret>,
        now: UnixMicros,
    ) -> Result<Proved, Fault> {
        let issuer = self.of_name(issuer).ok_or(Fault::Gone)?;
        let spec = &issuer.spec;
        let client = &spec.sign_in.as_ref().ok_or(Fault::Gone)?.client_id;
        if token.len() > spec.max_bytes {
            return Err(Fault::Size);
        }
        let jws = Jws::read(token)?;
        if !claims::is_of(spec, &jws.claims) {
            return Err(Fault::Issuer);
        }
        if !spec.algorithms.contains(&jws.algorithm) {
            return Err(Fault::Algorithm);
        }
        self.check_fresh(&issuer, &jws).await?;
        let expires = claims::check(spec, std::slice::from_ref(client), &jws.claims, now)?;
        asked_for(&jws.claims, client, nonce)?;
        let subject = jws.claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        if subject.is_empty() || subject.len() > SUBJECT_BYTES_MAX || subject.chars().any(char::is_control) {
            return Err(Fault::Claim);
        }
        let identity = self.named(spec, &jws, expires)?;
        let kinds: Vec<_> = identity.chain.iter().map(|link| link.kind).collect();
        if kinds != [IdentityKind::Human, IdentityKind::Token] {
            return Err(Fault::NoPerson);
        }
        let may_act = jws.claims.contains_key("may_act");
        Ok(Proved { identity, subject: subject.to_owned(), algorithm: jws.algorithm.word(), may_act })
    }
}

/// Whether it is the token that we asked for (OpenID Connect Core 3.1.3.7).
fn asked_for(claims: &Claims, client: &str, nonce: Option<&Secret>) -> Result<(), Fault> {
    let party = claims.get("azp");
    let several = claims.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
    if party.map_or(several, |azp| azp.as_str() != Some(client)) {
        return Err(Fault::Party);
    }
    let same =
        |nonce: &Secret| claims.get("nonce").and_then(Value::as_str).is_some_and(|said| is_same(nonce, said));
    if nonce.is_none_or(same) { Ok(()) } else { Err(Fault::Nonce) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ISSUER: &str = "https://id.example/realm/";

    fn document(more: Value) -> Vec<u8> {
        let mut document = json!({ "issuer": ISSUER, "token_endpoint": "https://token.example/t" });
        for (name, value) in more.as_object().unwrap() {
            document[name] = value.clone();
        }
        document.to_string().into_bytes()
    }

    fn spec() -> SignInSpec {
        SignInSpec {
            client_id: "fh gate".to_owned(),
            secret: None,
            scopes: vec!["openid".to_owned(), "groups".to_owned()],
            redirect: None,
            life: Duration::from_secs(60),
        }
    }

    #[test]
    fn a_document_counts_that_is_the_issuers_own_and_leads_nowhere_strange() {
        let read = |more: Value| Endpoints::read(ISSUER, &document(more));
        assert_eq!(Endpoints::document(ISSUER), "https://id.example/realm/.well-known/openid-configuration");
        let plain = read(json!({})).unwrap();
        assert_eq!((plain.authorization, plain.device, plain.says_issuer), (None, None, false));
        assert!(!plain.secret_in_form, "RFC 8414 2: basic where nothing is said");
        for bad in [
            json!({ "issuer": "https://id.example/realm" }),
            json!({ "issuer": null }),
            json!({ "token_endpoint": 7 }),
            json!({ "token_endpoint": "http://token.example/t" }),
            json!({ "device_authorization_endpoint": "https://x/ y" }),
            json!({ "device_authorization_endpoint": "https://x/\u{1b}" }),
            json!({ "authorization_endpoint": "https://x/#a" }),
            json!({ "authorization_endpoint": format!("https://x/{}", "a".repeat(URL_BYTES_MAX)) }),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad:.90}");
        }
        let twice = br#"{"issuer":"https://evil.example","issuer":"https://id.example/realm/","token_endpoint":"https://t/"}"#;
        assert!(Endpoints::read(ISSUER, twice).is_err());
    }

    #[test]
    fn the_secret_goes_where_the_issuer_takes_it() {
        let secret = Secret::new("s+/ c".to_owned());
        for (methods, in_form) in [
            (json!(["client_secret_post"]), true),
            (json!(["client_secret_post", "client_secret_basic"]), false),
            (json!(["private_key_jwt"]), false),
            (json!([]), false),
        ] {
            let more = json!({ "token_endpoint_auth_methods_supported": methods });
            let endpoints = Endpoints::read(ISSUER, &document(more)).unwrap();
            let sent = poll_message(&spec(), &endpoints, Some(&secret), &random().unwrap());
            assert_eq!(sent.form.expose().contains("client_secret=s%2B%2F+c"), in_form, "{methods}");
            let header = sent.authorization.as_ref().map(|header| header.expose().to_owned());
            // fh+gate:s%2B%2F+c
            let basic = "Basic ZmgrZ2F0ZTpzJTJCJTJGK2M=".to_owned();
            assert_eq!(header, (!in_form).then_some(basic), "{methods}");
            assert!(!format!("{sent:?}").contains("s%2B"), "{sent:?}");
        }
        let endpoints = Endpoints::read(ISSUER, &document(json!({}))).unwrap();
        let public = device_message(&spec(), &endpoints, None);
        assert_eq!(public.form.expose(), "scope=openid+groups&client_id=fh+gate");
        assert!(public.authorization.is_none());
    }

    #[test]
    fn a_browser_takes_along_a_digest_and_never_the_verifier() {
        // The example of RFC 7636, appendix B.
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned());
        let errand = Errand { verifier, ..Errand::new().unwrap() };
        let url =
            errand.url("https://id.example/auth?tenant=1", &spec(), "https://gw:8300/v1/login/corp/callback");
        assert!(
            url.starts_with("https://id.example/auth?tenant=1&response_type=code&client_id=fh+gate&"),
            "{url}"
        );
        assert!(
            url.contains(
                "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
            ),
            "{url}"
        );
        assert!(url.contains(&format!("state={}", errand.state.expose())) && !url.contains("dBjft"), "{url}");
        let another = Errand::new().unwrap();
        let texts = [&errand.state, &errand.nonce, &another.state, &another.nonce, &another.verifier];
        let texts: std::collections::HashSet<_> = texts.map(Secret::expose).into();
        assert!(texts.len() == 5 && texts.iter().all(|text| text.len() == 43));
    }

    #[test]
    fn the_pace_of_an_issuer_has_bounds() {
        let begun = |more: &str| {
            let body =
                format!(r#"{{"device_code":"d","user_code":"A B","verification_uri":"https://v/"{more}}}"#);
            DeviceBegun::read(ISSUER, 200, body.as_bytes())
                .map(|it| (it.interval.as_secs(), it.expires.as_secs()))
        };
        assert_eq!(begun(r#","expires_in":600"#), Ok((5, 600)));
        assert_eq!(begun(r#","expires_in":999999999,"interval":0"#), Ok((1, DEVICE_TIME_MAX.as_secs())));
        assert_eq!(begun(r#","expires_in":1,"interval":999999999"#), Ok((INTERVAL_MAX.as_secs(), 1)));
        assert!(begun("").is_err() && begun(r#","expires_in":-1"#).is_err());
        assert_eq!(slower(INTERVAL).as_secs(), 10);
        assert_eq!(slower(INTERVAL_MAX), INTERVAL_MAX);
    }
}
