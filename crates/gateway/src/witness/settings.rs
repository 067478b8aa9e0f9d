//! The configuration of a witness: a small TOML file, of which unknown keys are errors (docs/witness.md).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use firsthand_auditlog::tlog::key::{KeyKind, VerifyingKey};
use firsthand_auditlog::witness::watch::{Watch, Watched};
use serde::Deserialize;

use crate::config::CertificateFiles;
use crate::failure::Failure;

/// A configuration longer than this is a mistake.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    listen: SocketAddr,
    data_dir: Option<PathBuf>,
    tls: Option<WrittenTls>,
    #[serde(default)]
    log: Vec<WrittenLog>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTls {
    cert: PathBuf,
    key: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLog {
    origin: String,
    vkeys: Vec<String>,
    /// Whether it is a gateway, whose trees are `ORIGIN/e1`, `ORIGIN/e2`.
    #[serde(default = "yes")]
    epochs: bool,
}

fn yes() -> bool {
    true
}

/// As it is used.
#[derive(Debug)]
pub(super) struct Settings {
    /// The name of the key.
    pub(super) name: String,
    pub(super) listen: SocketAddr,
    pub(super) data_dir: PathBuf,
    pub(super) tls: Option<CertificateFiles>,
    pub(super) watch: Watch,
}

impl Settings {
    pub(super) fn load(file: &Path) -> Result<Self, Failure> {
        let bad = |why: String| {
            Failure::usage(
                format!("{}: {}", file.display(), why.trim_end()),
                "docs/witness.md describes every key",
            )
        };
        let size = std::fs::metadata(file).map_err(|e| bad(e.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(bad("it is too large for a configuration".to_owned()));
        }
        let text = std::fs::read_to_string(file).map_err(|e| bad(e.to_string()))?;
        let folder = std::path::absolute(file.parent().unwrap_or(Path::new(""))).unwrap_or_default();
        Self::parse(&text, &folder).map_err(bad)
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let Written { name, listen, data_dir, tls, log } = toml::from_str(text).map_err(|e| e.to_string())?;
        // What may not stand in a key is found before one is made.
        VerifyingKey::new(&name, KeyKind::Cosignature, [0; 32]).map_err(|e| format!("name: {e}"))?;
        let mut logs = Vec::new();
        for log in log {
            let key =
                |text: &String| VerifyingKey::parse(text).map_err(|e| format!("{}: {text}: {e}", log.origin));
            let vkeys = log.vkeys.iter().map(key).collect::<Result<Vec<_>, _>>()?;
            logs.push(Watched::new(&log.origin, log.epochs, &vkeys).map_err(|e| e.to_string())?);
        }
        let within = |path: PathBuf| folder.join(path);
        Ok(Self {
            name,
            listen,
            data_dir: within(data_dir.unwrap_or_else(|| "witness-data".into())),
            tls: tls.map(|tls| CertificateFiles { cert: within(tls.cert), key: within(tls.key) }),
            watch: Watch::new(logs).map_err(|e| e.to_string())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "example.com/gw1/e1+";

    fn vkey() -> String {
        VerifyingKey::new(KEY.trim_end_matches('+'), KeyKind::Note, [7; 32]).unwrap().to_vkey()
    }

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(text, Path::new("/etc/w"))
    }

    #[test]
    fn a_whole_file() {
        let text = format!(
            "name = \"w.example/1\"\nlisten = \"127.0.0.1:8400\"\ndata_dir = \"d\"\ntls = {{ cert = \"c\", key = \"/k\" }}\n\
             [[log]]\norigin = \"example.com/gw1\"\nvkeys = [\"{}\"]\n",
            vkey()
        );
        let settings = parse(&text).unwrap();
        assert_eq!(settings.data_dir, Path::new("/etc/w/d"));
        assert_eq!(settings.tls.unwrap().key, Path::new("/k"));
        assert_eq!(settings.watch.logs()[0].origin(), "example.com/gw1");
        assert_eq!(
            parse("name = \"w\"\nlisten = \"127.0.0.1:1\"").unwrap().data_dir,
            Path::new("/etc/w/witness-data")
        );
    }

    #[test]
    fn mistakes_are_told() {
        let head = "name = \"w.example/1\"\nlisten = \"127.0.0.1:8400\"\n";
        let log =
            |origin: &str, key: &str| format!("{head}[[log]]\norigin = \"{origin}\"\nvkeys = [\"{key}\"]\n");
        for (text, wanted) in [
            ("listen = \"127.0.0.1:1\"".to_owned(), "missing field `name`"),
            ("name = \"a b\"\nlisten = \"127.0.0.1:1\"".to_owned(), "name: a key's name"),
            (format!("{head}colour = 1"), "unknown field `colour`"),
            (format!("{head}{}", "[[log]]\norigin = \"a\"\nvkeys = []\n"), "1 to 16 keys"),
            (log("example.com/gw2", &vkey()), "is of another log"),
            (log("example.com/gw1", "x"), "a verifier key is NAME"),
            (
                format!(
                    "{}{}",
                    log("example.com/gw1", &vkey()),
                    &log("example.com/gw1", &vkey())[head.len()..]
                ),
                "watched twice",
            ),
        ] {
            let why = parse(&text).unwrap_err();
            assert!(why.contains(wanted), "{wanted}: {why}");
        }
    }
}
