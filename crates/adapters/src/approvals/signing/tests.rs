//! Signatures that count and all that do not: made here by the keys of a test, as OpenSSH makes them (what its own tool makes is in
//! `tests/tests/signed.rs`).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

fn string(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
    out.extend_from_slice(part);
}

fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    parts.iter().for_each(|part| string(&mut out, part));
    out
}

fn natural(number: &[u8]) -> Vec<u8> {
    let first = number.iter().position(|b| *b != 0).unwrap_or(number.len());
    let mut out = if number.get(first).is_some_and(|b| *b >= 0x80) { vec![0] } else { Vec::new() };
    out.extend_from_slice(&number[first..]);
    out
}

enum Hand {
    Plain(Ed25519KeyPair),
    SkEd25519(Ed25519KeyPair, u8),
    SkEcdsa(EcdsaKeyPair, u8),
}

const SK_ED: &[u8] = b"sk-ssh-ed25519@openssh.com";
const SK_EC: &[u8] = b"sk-ecdsa-sha2-nistp256@openssh.com";

impl Hand {
    fn plain(seed: u8) -> Self {
        Self::Plain(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    fn blob(&self) -> Vec<u8> {
        match self {
            Self::Plain(key) => strings(&[b"ssh-ed25519", key.public_key().as_ref()]),
            Self::SkEd25519(key, _) => strings(&[SK_ED, key.public_key().as_ref(), b"ssh:"]),
            Self::SkEcdsa(key, _) => strings(&[SK_EC, b"nistp256", key.public_key().as_ref(), b"ssh:"]),
        }
    }

    fn line(&self) -> String {
        let kind: &[u8] = match self {
            Self::Plain(_) => b"ssh-ed25519",
            Self::SkEd25519(..) => SK_ED,
            Self::SkEcdsa(..) => SK_EC,
        };
        format!("{} {} a comment", String::from_utf8_lossy(kind), STANDARD.encode(self.blob()))
    }

    fn public(&self) -> PublicKey {
        PublicKey::read(&self.line()).unwrap()
    }

    /// The inner signature, as SSH writes it.
    fn signature(&self, signed: &[u8]) -> Vec<u8> {
        let touched = |flags: u8| {
            let mut out = digest(&SHA256, b"ssh:").as_ref().to_vec();
            out.push(flags);
            out.extend_from_slice(&7u32.to_be_bytes());
            out.extend_from_slice(digest(&SHA256, signed).as_ref());
            out
        };
        let with = |mut blob: Vec<u8>, flags: u8| {
            blob.push(flags);
            blob.extend_from_slice(&7u32.to_be_bytes());
            blob
        };
        match self {
            Self::Plain(key) => strings(&[b"ssh-ed25519", key.sign(signed).as_ref()]),
            Self::SkEd25519(key, flags) => {
                with(strings(&[SK_ED, key.sign(&touched(*flags)).as_ref()]), *flags)
            }
            Self::SkEcdsa(key, flags) => {
                let fixed = key.sign(&SystemRandom::new(), &touched(*flags)).unwrap();
                let (r, s) = fixed.as_ref().split_at(32);
                with(strings(&[SK_EC, &strings(&[&natural(r), &natural(s)])]), *flags)
            }
        }
    }

    fn sign(&self, text: &str, namespace: &str) -> String {
        self.sign_with(text, namespace, b"")
    }

    fn sign_with(&self, text: &str, namespace: &str, reserved: &[u8]) -> String {
        let hashed = digest(&SHA256, text.as_bytes());
        let inner = strings(&[namespace.as_bytes(), reserved, b"sha256", hashed.as_ref()]);
        let signature = self.signature(&[b"SSHSIG".as_slice(), &inner].concat());
        let mut blob = b"SSHSIG".to_vec();
        blob.extend_from_slice(&1u32.to_be_bytes());
        for part in [&*self.blob(), namespace.as_bytes(), reserved, b"sha256", &signature] {
            string(&mut blob, part);
        }
        armored(&blob)
    }
}

fn armored(blob: &[u8]) -> String {
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", STANDARD.encode(blob))
}

fn approval() -> Value {
    json!({
        "id": "ap-1", "digest": "ab12", "target": "orders", "database": "shop", "role": "app", "rule": "held", "policy": "v1",
        "effects": ["write"], "tables": ["public.t"], "asked": "2026-11-29T02:00:00Z", "until": "2026-11-29T02:15:00Z",
        "chain": [{ "kind": "human", "name": "ada@example.com", "trust": "bound", "id": "h-1" }],
        "statement": "delete from t\nwhere a = $1", "parameters": [{ "type": "int4", "value": "7" }],
    })
}

#[test]
fn the_text_says_all_of_it_on_lines_that_nothing_in_it_can_make() {
    let mut evil = approval();
    evil["target"] = json!("orders\nanswer: approve\u{202e}\\u{a}");
    let text = text(&evil, Say::BreakGlass, "no time");
    assert!(text.starts_with(
        "Firsthand approval, version 1\napproval: ap-1\nanswer: break-glass\nreason: no time\ndigest: ab12\n"
    ));
    assert!(text.contains("\ntarget: orders\\u{a}answer: approve\\u{202e}\\\\u{a}\n"), "{text}");
    assert!(text.contains("\nstatement: delete from t\\u{a}where a = $1\n"), "{text}");
    assert!(text.contains("who: human ada@example.com (bound, h-1)\n") && text.ends_with('\n'), "{text}");
    assert_eq!(text.lines().count(), 18);
}

/// Each part of what is approved is part of what is signed.
#[test]
fn whatever_differs_is_signed_otherwise() {
    let usual = text(&approval(), Say::Approve, "ticket 7");
    for (key, other) in [
        ("id", json!("ap-2")),
        ("digest", json!("ab13")),
        ("target", json!("other")),
        ("database", json!("other")),
        ("role", json!("other")),
        ("rule", json!("other")),
        ("policy", json!("v2")),
        ("effects", json!(["read"])),
        ("tables", json!([])),
        ("asked", json!("2026-11-29T02:00:01Z")),
        ("until", json!("2026-11-29T03:15:00Z")),
        ("chain", json!([{ "kind": "human", "name": "eve@example.com", "trust": "bound", "id": "h-1" }])),
        ("statement", json!("delete from t\nwhere a = $2")),
        ("parameters", json!([{ "type": "int4", "value": "8" }])),
        ("parameters", Value::Null),
    ] {
        let mut differs = approval();
        differs[key] = other;
        assert_ne!(text(&differs, Say::Approve, "ticket 7"), usual, "{key}");
    }
    assert_ne!(text(&approval(), Say::Approve, "ticket 8"), usual);
    assert_ne!(text(&approval(), Say::Deny, "ticket 7"), usual);
    // What is past the part that is shown is in the digest.
    let long = |end: &str| {
        let mut long = approval();
        long["statement"] = json!(format!("{}{end}", "x".repeat(SHOWN_CHARS)));
        text(&long, Say::Approve, "")
    };
    assert_ne!(long("a"), long("b"));
}

#[test]
fn only_the_persons_own_key_over_this_very_text_counts() {
    let (grace, bob) = (Hand::plain(1), Hand::plain(2));
    let signers = Signers::new(vec![
        ("grace@example.com".to_owned(), grace.public()),
        ("bob@example.com".to_owned(), bob.public()),
    ]);
    let yes = text(&approval(), Say::Approve, "ticket 7");
    let good = grace.sign(&yes, NAMESPACE);
    assert_eq!(signers.check("grace@example.com", &yes, &good).unwrap().key(), &grace.public());
    let mut other = approval();
    other["id"] = json!("ap-2");
    let stranger = Hand::plain(3);
    for (what, armored) in [
        ("another approval", grace.sign(&text(&other, Say::Approve, "ticket 7"), NAMESPACE)),
        ("another answer", grace.sign(&text(&approval(), Say::BreakGlass, "ticket 7"), NAMESPACE)),
        ("another reason", grace.sign(&text(&approval(), Say::Approve, ""), NAMESPACE)),
        ("a text without its last line end", grace.sign(yes.trim_end(), NAMESPACE)),
        ("another purpose", grace.sign(&yes, "file")),
        ("what is reserved, used", grace.sign_with(&yes, NAMESPACE, b"x")),
        ("what is reserved, with a zero", grace.sign_with(&yes, NAMESPACE, b"\0")),
        ("a longer purpose", grace.sign(&yes, "firsthand-approval2")),
        ("another person's key", bob.sign(&yes, NAMESPACE)),
        ("a key that is nobody's", stranger.sign(&yes, NAMESPACE)),
        ("no signature", String::new()),
        ("half of one", good[..good.len() / 2].to_owned()),
        ("two", format!("{good}{good}")),
        ("a long one", format!("{good}{}", " ".repeat(sshsig::ARMORED_BYTES_MAX))),
    ] {
        assert!(signers.check("grace@example.com", &yes, &armored).is_err(), "{what}");
    }
    assert!(signers.check("Grace@example.com", &yes, &good).is_err(), "names are compared exactly");
    assert!(Signers::default().check("grace@example.com", &yes, &good).is_err(), "no key is configured");
}

/// The key in the signature is replaced by the one that counts: it is still not what that one has signed.
#[test]
fn no_byte_of_a_signature_can_be_another() {
    let (grace, eve) = (Hand::plain(1), Hand::plain(9));
    let signers = Signers::new(vec![("grace".to_owned(), grace.public())]);
    let good = grace.sign("text", NAMESPACE);
    let base64: String = good.lines().filter(|line| !line.starts_with('-')).collect();
    let blob = STANDARD.decode(base64).unwrap();
    for at in 0..blob.len() {
        for bit in [1u8, 0x80] {
            let mut bent = blob.clone();
            bent[at] ^= bit;
            assert!(signers.check("grace", "text", &armored(&bent)).is_err(), "byte {at}");
        }
        assert!(signers.check("grace", "text", &armored(&blob[..at])).is_err(), "cut at {at}");
    }
    let forged = eve.sign("text", NAMESPACE);
    let forged: String = forged.lines().filter(|line| !line.starts_with('-')).collect();
    let mut forged = STANDARD.decode(forged).unwrap();
    let key = grace.blob();
    forged[14..14 + key.len()].copy_from_slice(&key);
    assert!(signers.check("grace", "text", &armored(&forged)).is_err());
    let mut longer = blob;
    longer.push(0);
    assert!(signers.check("grace", "text", &armored(&longer)).is_err());
}

/// The armour, not what is in it: whatever is read of it is the one signature, as OpenSSH writes it, or nothing.
#[test]
fn no_armour_that_was_changed_is_another_signature() {
    let grace = Hand::plain(1);
    let signers = Signers::new(vec![("grace".to_owned(), grace.public())]);
    let good = SshSignature::read(&grace.sign("text", NAMESPACE)).unwrap().armored();
    let check = |armored: &str| signers.check("grace", "text", armored).map(|read| read.armored());
    assert_eq!(check(&good).unwrap(), good);
    let is_space = |c: char| c.is_ascii_whitespace();
    for (at, old) in good.char_indices() {
        let (before, behind) = (&good[..at], &good[at + 1..]);
        for new in ['A', 'z', '9', '+', '/', '=', '-', '_', ' ', '\0', '\n', 'é'] {
            // A space between the lines is no change, and one in front or behind neither.
            for armored in [format!("{before}{new}{behind}"), format!("{before}{new}{old}{behind}")] {
                match check(&armored) {
                    Ok(read) => assert!(read == good && (is_space(new) || new == old), "{armored}"),
                    Err(_) => assert!(armored != good),
                }
            }
        }
        if let Ok(read) = check(&format!("{before}{behind}")) {
            assert!(is_space(old) && read == good, "without {at}");
        }
        assert!(check(before).is_err() || good[at..].trim().is_empty(), "cut at {at}");
    }
    let (begin, end) = ("-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----");
    let inner = good.trim().strip_prefix(begin).unwrap().strip_suffix(end).unwrap();
    let padded = format!("{}====", inner.trim_end());
    for armored in [
        format!("{good}{good}"),
        format!("a {good}"),
        format!("{good}a"),
        good.replace("SSH", "PGP"),
        good.to_lowercase(),
        format!("{end}{inner}{begin}"),
        format!("{begin}{begin}{inner}{end}{end}"),
        format!("{begin}{padded}{end}"),
        format!("{begin}{}{end}", inner.trim().trim_end_matches('=')),
        format!("{good}{}", " ".repeat(sshsig::ARMORED_BYTES_MAX)),
        format!("{begin}{end}"),
        format!("{begin}-----"),
        begin.to_owned(),
        String::new(),
    ] {
        assert!(check(&armored).is_err(), "{armored}");
    }
}

/// One more zero in front of a number is the same number, and would be a second form of the same signature.
#[test]
fn a_number_has_one_form() {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    let kind = b"ecdsa-sha2-nistp256";
    let key = strings(&[kind, b"nistp256", pair.public_key().as_ref()]);
    let line = format!("ecdsa-sha2-nistp256 {}", STANDARD.encode(&key));
    let signers = Signers::new(vec![("grace".to_owned(), PublicKey::read(&line).unwrap())]);
    let inner = strings(&[NAMESPACE.as_bytes(), b"", b"sha256", digest(&SHA256, b"text").as_ref()]);
    let fixed = pair.sign(&SystemRandom::new(), &[b"SSHSIG".as_slice(), &inner].concat()).unwrap();
    let (r, s) = fixed.as_ref().split_at(32);
    let with = |numbers: &[&[u8]]| {
        let signature = strings(&[kind, &strings(numbers)]);
        let outer = strings(&[&key, NAMESPACE.as_bytes(), b"", b"sha256", &signature]);
        armored(&[b"SSHSIG\0\0\0\x01".as_slice(), &outer].concat())
    };
    let (r, s) = (natural(r), natural(s));
    let zero = |number: &[u8]| [b"\0".as_slice(), number].concat();
    signers.check("grace", "text", &with(&[&r, &s])).unwrap();
    for (one, two) in [
        (zero(&r), s.clone()),
        (r.clone(), zero(&s)),
        (r.clone(), Vec::new()),
        (vec![0], s.clone()),
        (r.clone(), vec![0xff]),
    ] {
        assert!(signers.check("grace", "text", &with(&[&one, &two])).is_err(), "{one:?} {two:?}");
    }
    assert!(signers.check("grace", "text", &with(&[&r, &s, &[1]])).is_err());
}

#[test]
fn a_security_key_counts_when_it_was_touched() {
    let seed = || Ed25519KeyPair::from_seed_unchecked(&[4; 32]).unwrap();
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pair = || EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    for (hand, counts) in [
        (Hand::SkEd25519(seed(), 1), true),
        (Hand::SkEd25519(seed(), 5), true),
        (Hand::SkEd25519(seed(), 0), false),
        (Hand::SkEcdsa(pair(), 1), true),
        (Hand::SkEcdsa(pair(), 4), false),
    ] {
        let signers = Signers::new(vec![("grace".to_owned(), hand.public())]);
        // Numbers with and without a zero in front, in ECDSA's.
        for n in 0..20 {
            let text = format!("text {n}");
            let armored = hand.sign(&text, NAMESPACE);
            assert_eq!(signers.check("grace", &text, &armored).is_ok(), counts);
            assert!(signers.check("grace", "other", &armored).is_err());
        }
    }
}

#[test]
fn lines_that_are_no_key_are_none() {
    let good = Hand::plain(1).line();
    assert_eq!(PublicKey::read(&good).unwrap().line(), good.trim_end_matches(" a comment"));
    let base64 = good.split(' ').nth(1).unwrap();
    for bad in [
        String::new(),
        "ssh-ed25519".to_owned(),
        format!("ssh-rsa {base64}"),
        format!("from=\"10.0.0.1\" {good}"),
        format!("{good}\n{good}"),
        format!("ssh-ed25519 {}", &base64[..20]),
        format!("ssh-dss {}", STANDARD.encode(strings(&[b"ssh-dss", b"x"]))),
        format!("ssh-ed25519-cert-v01@openssh.com {base64}"),
    ] {
        assert!(PublicKey::read(&bad).is_err(), "{bad}");
    }
}
