//! Signing on the command line: `ssh-keygen -Y sign` does it, which knows agents, security keys and encrypted keys (ADR 0028). Nothing
//! of a private key comes into this process.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use firsthand_adapters::approvals::signing::NAMESPACE;

use crate::failure::Failure;

/// Keys that are looked for in `~/.ssh` where none is named, in this order.
const USUAL: [&str; 5] = ["id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa"];

/// The key to sign with: the one that is named, or the first that is there.
pub(super) fn key(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(named) = named {
        return Ok(named);
    }
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".ssh"));
    let found = home.and_then(|folder| USUAL.iter().map(|name| folder.join(name)).find(|file| file.exists()));
    found.ok_or_else(|| {
        Failure::usage(
            "there is no SSH key in ~/.ssh to sign with",
            "name one: --sign KEYFILE (a .pub file, where the key itself is in ssh-agent)",
        )
    })
}

/// The signature over a text. A passphrase is asked for by `ssh-keygen` itself, for as long as its user takes.
pub(super) fn sign(text: &str, key: &Path) -> Result<String, Failure> {
    let none = |e: io::Error| {
        Failure::new(format!("ssh-keygen cannot be run: {e}"), "install OpenSSH's client (openssh-client)")
    };
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "sign", "-n", NAMESPACE, "-f"]).arg(key);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(none)?;
    if let Some(mut input) = child.stdin.take() {
        // One that has ended without reading says why by itself.
        let _ = input.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().map_err(none)?;
    if !output.status.success() || output.stdout.is_empty() {
        return Err(Failure::new(
            format!("ssh-keygen has not signed with {}", key.display()),
            "what it said stands above; a key of which only the .pub file is here must be in ssh-agent",
        ));
    }
    String::from_utf8(output.stdout).map_err(|_| {
        Failure::new("ssh-keygen has written something else than a signature", "is it OpenSSH's?")
    })
}
