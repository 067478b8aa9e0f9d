//! Issuers for tests: keys made anew, tokens signed with them, whole or spoiled.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use firsthand_model::identity::IdentityKind;
use serde_json::{Value, json};

use super::keys::{Algorithm, KeySet};
use super::spec::{Allow, ClaimPath, IssuerSpec, KeysAt};
use std::time::Duration;

/// What the tests call now, in seconds.
pub(super) const NOW: u64 = 1_795_000_000;

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Somebody who signs.
pub(super) struct Signer {
    pub(super) kid: String,
    pair: Pair,
}

impl Signer {
    pub(super) fn new(kid: &str, algorithm: Algorithm) -> Self {
        let pair = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
            Algorithm::Es256 => Pair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            Algorithm::EdDsa => Pair::Ed25519(Ed25519KeyPair::generate().unwrap()),
        };
        Self { kid: kid.to_owned(), pair }
    }

    /// The public key.
    pub(super) fn jwk(&self) -> Value {
        let mut key = match &self.pair {
            Pair::Rsa(pair) => {
                let der = pair.public_key().as_ref().to_vec();
                let (n, e) = rsa_numbers(&der);
                json!({ "kty": "RSA", "n": b64(n), "e": b64(e) })
            }
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..]) })
            }
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref()) })
            }
        };
        key["kid"] = json!(self.kid);
        key
    }

    /// The public key as who mistakes it for a shared secret would have it.
    pub(super) fn public_der(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::P256(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// Signs by the algorithm of its kind; RSA by PSS where the header says so.
    pub(super) fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                let padding: &dyn aws_lc_rs::signature::RsaEncoding =
                    if header.contains("PS256") { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                pair.sign(padding, &random, signed.as_bytes(), &mut out).unwrap();
                out
            }
            Pair::P256(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", b64(&signature))
    }

    fn word(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// A whole token.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.with_header(&json!({ "alg": self.word(), "kid": self.kid, "typ": "JWT" }), claims)
    }

    /// With another header.
    pub(super) fn with_header(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017 A.1.1).
fn rsa_numbers(der: &[u8]) -> (&[u8], &[u8]) {
    fn value(bytes: &[u8]) -> (&[u8], &[u8]) {
        let (length, head) = match bytes[1] {
            0x82 => (usize::from(bytes[2]) << 8 | usize::from(bytes[3]), 4),
            0x81 => (usize::from(bytes[2]), 3),
            short => (usize::from(short), 2),
        };
        bytes[head..].split_at(length)
    }
    let (sequence, _) = value(der);
    let (n, rest) = value(sequence);
    (n, value(rest).0)
}

pub(super) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A set of the keys of these.
pub(super) fn set(signers: &[&Signer]) -> Vec<u8> {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

/// An issuer `corp` with these keys, which lets everybody in to `shop`.
pub(super) fn corp(signers: &[&Signer]) -> IssuerSpec {
    IssuerSpec {
        name: "corp".to_owned(),
        url: "https://id.corp.example".to_owned(),
        keys: KeysAt::File(KeySet::read(&set(signers)).unwrap()),
        ca: None,
        audience: vec!["firsthand".to_owned()],
        algorithms: Algorithm::ALL.to_vec(),
        skew: Duration::from_secs(60),
        max_age: Duration::from_secs(86_400),
        max_bytes: 8 << 10,
        name_claim: ClaimPath::new("sub"),
        prefix: "corp/".to_owned(),
        kind: IdentityKind::Human,
        kind_claim: None,
        groups_claim: Some(ClaimPath::new("groups")),
        login_is_name: false,
        allow: vec![Allow { targets: vec!["shop".to_owned()], ..Allow::default() }],
        sign_in: None,
    }
}

/// Claims that [`corp`] accepts.
pub(super) fn ada() -> Value {
    json!({
        "iss": "https://id.corp.example", "sub": "ada", "aud": "firsthand", "jti": "j-1",
        "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 600, "groups": ["dba"],
    })
}
