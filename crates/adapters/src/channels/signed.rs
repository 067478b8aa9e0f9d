//! Signed requests by the Standard Webhooks specification (standardwebhooks.com): HMAC-SHA-256 over id, time and body, in both
//! directions. And the older form of the same idea that Slack has (`v0`).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::TOLERANCE_S;

/// Names the request; the same over all tries to send it.
pub const ID: &str = "webhook-id";
/// When it was signed, in seconds since 1970.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The signatures, with spaces between them.
pub const SIGNATURE: &str = "webhook-signature";
/// What stands before a secret, by the specification.
const PREFIX: &str = "whsec_";
/// What stands before each signature.
const VERSION: &str = "v1,";
/// How long secrets are, by the specification.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Longest id that is looked at: it is kept.
const ID_BYTES_MAX: usize = 256;
/// Signatures looked at: one each of some secrets that take turns.
const SIGNATURES_MAX: usize = 8;
/// Secrets that count at a time: the old one, while its place is taken.
const SECRETS_MAX: usize = 4;

/// Why what came is not believed. What is told outside is the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// A header is missing or unfit.
    #[error("a header of its signature is missing, stands twice, or is unfit")]
    Headers,
    /// It is too old, or comes from later.
    #[error("its time is more than 5 minutes from now")]
    Stale,
    /// No signature fits.
    #[error("no signature fits what came")]
    Forged,
}

/// The secrets of one channel: signed with each of them, and any of them counts.
#[derive(Clone)]
pub struct Keys(Vec<hmac::Key>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(***)")
    }
}

impl Keys {
    /// Reads `whsec_…`, or several with spaces between them.
    ///
    /// # Errors
    /// What is wrong with it, without anything of it.
    pub fn read(text: &str) -> Result<Self, String> {
        let keys: Vec<hmac::Key> = text.split_ascii_whitespace().map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() || keys.len() > SECRETS_MAX {
            return Err(format!("one secret is needed, and {SECRETS_MAX} may be given at most"));
        }
        Ok(Self(keys))
    }

    /// The header `webhook-signature` of this request.
    #[must_use]
    pub fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let signed = signed(id, seconds, body);
        let one = |key| format!("{VERSION}{}", STANDARD.encode(hmac::sign(key, &signed)));
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// Whether that came from who has the secret, now, and as it was sent. In constant time for each signature.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn check(
        &self,
        (id, time, signatures): (&str, &str, &str),
        body: &[u8],
        now: u64,
    ) -> Result<(), Unsigned> {
        if !is_id(id) {
            return Err(Unsigned::Headers);
        }
        let seconds = timely(time, now)?;
        let signed = signed(id, seconds, body);
        let given = signatures.split(' ').filter_map(|one| one.strip_prefix(VERSION)).take(SIGNATURES_MAX);
        let mut fits = false;
        for tag in given.filter_map(|one| STANDARD.decode(one).ok()) {
            fits |= self.0.iter().any(|key| hmac::verify(key, &signed, &tag).is_ok());
        }
        if fits { Ok(()) } else { Err(Unsigned::Forged) }
    }
}

/// Letters, digits and signs that are no full stop would make what is signed ambiguous otherwise.
fn is_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic() && b != b'.')
}

fn key(text: &str) -> Result<hmac::Key, String> {
    let bytes = STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text));
    let bytes = zeroize::Zeroizing::new(bytes.map_err(|_| {
        format!("it is no secret of the Standard Webhooks specification: {PREFIX} and base64")
    })?);
    if !SECRET_BYTES.contains(&bytes.len()) {
        return Err(format!("a secret has 24 to 64 bytes, and this one {}", bytes.len()));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn signed(id: &str, seconds: u64, body: &[u8]) -> Vec<u8> {
    let mut signed = format!("{id}.{seconds}.").into_bytes();
    signed.extend_from_slice(body);
    signed
}

fn timely(time: &str, now: u64) -> Result<u64, Unsigned> {
    // One form only: what is signed is the number.
    let seconds: u64 = time.parse().map_err(|_| Unsigned::Headers)?;
    if seconds.to_string() != time {
        return Err(Unsigned::Headers);
    }
    if seconds.abs_diff(now) > TOLERANCE_S { Err(Unsigned::Stale) } else { Ok(seconds) }
}

/// Whether that came from Slack: `X-Slack-Signature` is `v0=` and the HMAC-SHA-256 of `v0:TIME:BODY`.
///
/// # Errors
/// Why it does not count.
pub fn check_slack(
    secret: &str,
    (time, signature): (&str, &str),
    body: &[u8],
    now: u64,
) -> Result<(), Unsigned> {
    let seconds = timely(time, now)?;
    let tag = signature.strip_prefix("v0=").and_then(unhex).ok_or(Unsigned::Headers)?;
    let mut signed = format!("v0:{seconds}:").into_bytes();
    signed.extend_from_slice(body);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::verify(&key, &signed, &tag).map_err(|_| Unsigned::Forged)
}

/// A tag in lower-case hexadecimal: one form, because it is what tells a request that came again.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let fits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() != 64 || !text.bytes().all(fits) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the specification's own libraries (their test of `verify`).
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const KNOWN: (&str, u64, &str, &str) = (
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        r#"{"test": 2432232314}"#,
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    );

    #[test]
    fn it_signs_as_the_specifications_libraries_do() {
        let (id, at, body, signature) = KNOWN;
        assert_eq!(Keys::read(SECRET).unwrap().sign(id, at, body.as_bytes()), signature);
    }

    #[test]
    fn only_what_was_signed_counts_and_only_in_its_time() {
        let keys = Keys::read(SECRET).unwrap();
        let (id, at, body, signature) = KNOWN;
        let time = at.to_string();
        let check = |id: &str, time: &str, signature: &str, body: &str, now: u64| {
            keys.check((id, time, signature), body.as_bytes(), now)
        };
        for now in [at, at + TOLERANCE_S, at - TOLERANCE_S] {
            assert_eq!(check(id, &time, signature, body, now), Ok(()));
        }
        // Another version, another's signature, and ours.
        let among = format!("v2,xxxx v1,AAAA {signature} v1a,BBBB");
        assert_eq!(check(id, &time, &among, body, at), Ok(()));
        for now in [at + TOLERANCE_S + 1, at - TOLERANCE_S - 1] {
            assert_eq!(check(id, &time, signature, body, now), Err(Unsigned::Stale));
        }
        for (id, time, signature, body) in [
            ("msg_other", time.as_str(), signature, body),
            (id, "1614265331", signature, body),
            (id, &time, signature, r#"{"test": 2432232315}"#),
            (id, &time, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=", body),
            (id, &time, &signature[3..], body),
            (id, &time, "v1,", body),
            (id, &time, "", body),
        ] {
            assert_eq!(check(id, time, signature, body, at), Err(Unsigned::Forged), "{id} {signature}");
        }
        for (id, time) in
            [("", "1614265330"), ("a.b", "1614265330"), ("a b", "1614265330"), (id, "+1614265330"), (id, "")]
        {
            assert_eq!(check(id, time, signature, body, at), Err(Unsigned::Headers), "{id} {time}");
        }
        let many = format!("{}{signature}", "v1,AAAA ".repeat(SIGNATURES_MAX));
        assert_eq!(check(id, &time, &many, body, at), Err(Unsigned::Forged), "so many are not looked at");
    }

    #[test]
    fn secrets_take_turns() {
        let new = format!("whsec_{}", STANDARD.encode([7; 32]));
        let both = Keys::read(&format!("{new} {SECRET}")).unwrap();
        let signature = both.sign("msg_1", 5, b"{}");
        for one in [&new, SECRET] {
            let one = Keys::read(one).unwrap();
            assert_eq!(one.check(("msg_1", "5", &signature), b"{}", 5), Ok(()));
            assert_eq!(both.check(("msg_1", "5", &one.sign("msg_1", 5, b"{}")), b"{}", 5), Ok(()));
        }
        assert!(!format!("{both:?}").contains("MfKQ"));
        for bad in ["", "whsec_", "whsec_AAAA", "whsec_öö", &"whsec_AAAA".repeat(40)] {
            assert!(Keys::read(bad).is_err_and(|why| !why.contains("AAAA")), "{bad}");
        }
    }

    #[test]
    fn slacks_signature_is_checked_as_it_documents_it() {
        // The example of docs.slack.dev, "Verifying requests from Slack".
        let secret = "8f742231b10e8888abcd99yyyzzz85a5";
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        let at = 1_531_420_618;
        let check = |time: &str, signature: &str, body: &str, now| {
            check_slack(secret, (time, signature), body.as_bytes(), now)
        };
        assert_eq!(check("1531420618", signature, body, at), Ok(()));
        assert_eq!(
            check("1531420618", signature, &body.replace("roadrunner", "coyote"), at),
            Err(Unsigned::Forged)
        );
        assert_eq!(check("1531420619", signature, body, at), Err(Unsigned::Forged));
        assert_eq!(check("1531420618", signature, body, at + 301), Err(Unsigned::Stale));
        for bad in [
            "",
            "v0=",
            "v0=zz",
            &signature.to_uppercase(),
            &signature.replace("v0=a", "v0=A"),
            &signature[3..],
        ] {
            assert_eq!(check("1531420618", bad, body, at), Err(Unsigned::Headers), "{bad}");
        }
    }
}
