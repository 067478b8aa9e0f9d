//! `may_act` (RFC 8693 4.4): the issuer's word that somebody may act for the subject of its token. Where the claim is, it alone
//! decides; what is in it and not known here decides no.

use serde_json::{Map, Value};

use super::claims::{Claims, named};
use super::fault::Fault;
use super::ring::Issuers;
use super::spec::IssuerSpec;

/// Who wants to act, as far as another token can name them.
#[derive(Debug)]
pub enum Acting<'a> {
    /// Who holds a token of Firsthand's of this name.
    Firsthand(&'a str),
    /// Who holds this token of an issuer.
    Issued(&'a str),
}

/// The same, taken apart.
enum Named<'a> {
    Firsthand(&'a str),
    Issued { url: &'a str, sub: &'a str },
}

impl Issuers {
    /// Whether the token of a subject says that somebody may act for them; `None`: it says nothing of that. Both tokens were
    /// found to hold before; here their signatures are looked at once more, because the answer rests on them alone.
    ///
    /// # Errors
    /// One of the tokens is not what it was.
    pub fn may_act(&self, subject: &str, acting: &Acting<'_>) -> Result<Option<bool>, Fault> {
        let (jws, issuer) = self.signed(subject)?;
        let Some(said) = jws.claims.get("may_act") else { return Ok(None) };
        let of_another;
        let acting = match acting {
            Acting::Firsthand(name) => Named::Firsthand(name),
            Acting::Issued(token) => {
                of_another = self.signed(token)?;
                let (jws, issuer) = &of_another;
                let sub = jws.claims.get("sub").and_then(Value::as_str).ok_or(Fault::Claim)?;
                Named::Issued { url: &issuer.spec.url, sub }
            }
        };
        Ok(Some(says(&issuer.spec, said, &acting)))
    }
}

/// Whether `may_act` names this one: `sub`, with `iss` where that is another than the issuer of the token itself. A name of the
/// audience as `iss` is this gateway: then `sub` is the name of one of Firsthand's tokens.
fn says(spec: &IssuerSpec, said: &Value, acting: &Named<'_>) -> bool {
    let Some((iss, sub)) = said.as_object().and_then(party) else { return false };
    match acting {
        Named::Issued { url, sub: own } => iss.unwrap_or(&spec.url) == *url && sub == *own,
        Named::Firsthand(name) => match iss {
            Some(iss) if spec.audience.iter().any(|own| own == iss) => sub == *name,
            // Where the configuration lets the issuer's names stand beside those of tokens (`prefix`), they are the same.
            None => named(spec, sub).is_ok_and(|own| own == *name),
            Some(iss) => iss == spec.url && named(spec, sub).is_ok_and(|own| own == *name),
        },
    }
}

/// Who is named. Members that narrow it further cannot be checked here, so they name nobody.
fn party(said: &Claims) -> Option<(Option<&str>, &str)> {
    let known: fn(&String) -> bool = |member| matches!(member.as_str(), "iss" | "sub");
    let all_known = Map::keys(said).all(known);
    let iss = match said.get("iss") {
        None => None,
        Some(iss) => Some(iss.as_str()?),
    };
    let sub = said.get("sub")?.as_str().filter(|sub| !sub.is_empty())?;
    all_known.then_some((iss, sub))
}

#[cfg(test)]
mod tests {
    use super::super::keys::Algorithm;
    use super::super::mint::{Signer, corp};
    use super::*;
    use serde_json::json;

    #[test]
    fn may_act_names_one_party_and_nobody_by_half() {
        let signer = Signer::new("k", Algorithm::Es256);
        let spec = corp(&[&signer]);
        let without_prefix = IssuerSpec { prefix: String::new(), ..spec.clone() };
        let (url, audience) = (spec.url.clone(), spec.audience[0].clone());
        let ours = Named::Firsthand("bot");
        let theirs = Named::Issued { url: &url, sub: "bot" };
        let others = Named::Issued { url: "https://elsewhere.example", sub: "bot" };
        for (said, of) in [
            (json!({ "sub": "bot" }), [false, true, false]),
            (json!({ "sub": "bot", "iss": url }), [false, true, false]),
            (json!({ "sub": "bot", "iss": audience }), [true, false, false]),
            (json!({ "sub": "bot", "iss": "https://elsewhere.example" }), [false, false, true]),
            (json!({ "sub": "bot2" }), [false; 3]),
            (json!({ "sub": "bot", "client_id": "x" }), [false; 3]),
            (json!({ "sub": ["bot"] }), [false; 3]),
            (json!({ "sub": "" }), [false; 3]),
            (json!({ "iss": url }), [false; 3]),
            (json!({ "sub": "bot", "iss": 7 }), [false; 3]),
            (json!({}), [false; 3]),
            (json!("bot"), [false; 3]),
            (json!(true), [false; 3]),
            (json!([{ "sub": "bot" }]), [false; 3]),
            (Value::Null, [false; 3]),
        ] {
            assert_eq!([&ours, &theirs, &others].map(|acting| says(&spec, &said, acting)), of, "{said}");
        }
        assert!(says(&without_prefix, &json!({ "sub": "bot" }), &ours), "it may name tokens");
        assert!(!says(&without_prefix, &json!({ "sub": "corp/bot" }), &ours));
    }
}
