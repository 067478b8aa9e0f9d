//! Signatures that `ssh-keygen -Y sign` makes, and the keys in them. The decoder stands by itself, so the rest of its crate need not be
//! built for it.

#![no_main]
#![expect(dead_code, reason = "what a key is called is for people")]

#[path = "../../crates/adapters/src/approvals/signing/sshsig.rs"]
mod sshsig;

use sshsig::{PublicKey, SshSignature};

/// What the seeds have signed, and for which purpose.
const TEXT: &[u8] = b"text\n";
const NAMESPACE: &str = "firsthand-approval";
const SEEDS: [&str; 4] = [
    include_str!("../seeds/sshsig/ed25519"),
    include_str!("../seeds/sshsig/p256"),
    include_str!("../seeds/sshsig/p521"),
    include_str!("../seeds/sshsig/rsa"),
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = PublicKey::read(text);
    let Ok(signature) = SshSignature::read(text) else { return };
    let armored = signature.armored();
    let again = SshSignature::read(&armored).map(|again| again.armored());
    assert_eq!(again.as_ref(), Ok(&armored), "what is written is read as the same");
    let key = PublicKey::read(&signature.key().line());
    assert_eq!(key.as_ref(), Ok(signature.key()), "so is its key");
    let counts = signature.verify(TEXT, NAMESPACE).is_ok();
    // Whoever has no key of these makes no other signature of it: neither of this text nor of another.
    for seed in SEEDS {
        let known = SshSignature::read(seed).map(|known| known.key() == signature.key());
        assert!(known != Ok(true) || !counts || armored == seed, "another signature of a key that is not had: {text}");
        assert!(known != Ok(true) || signature.verify(b"other", NAMESPACE).is_err(), "{text}");
        assert!(known != Ok(true) || signature.verify(TEXT, "file").is_err(), "{text}");
    }
});
