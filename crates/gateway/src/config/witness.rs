//! `[[witness]]`: who cosigns the log's checkpoints, and of `[log]` how many of them must have, and how soon.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firsthand_auditlog::tlog::key::{KeyKind, VerifyingKey};

use super::keys::{Form, Key, key};
use super::section::Section;
use crate::fetch::Address;

/// More have no room on a note beside the log's own keys, and nobody waits for so many.
const WITNESSES_MAX: usize = 16;
/// How soon a checkpoint is cosigned where all is well.
const WITHIN: Duration = Duration::from_secs(5);

/// The section.
pub(super) const SECTION: (&str, &str) = (
    "witness",
    "`[[witness]]`: an independent cosigner of the log's checkpoints ([witness.md](witness.md)); one table each. A change takes a restart.",
);

/// Its keys, and those of `[log]` that are about witnesses.
pub(super) const KEYS: &[Key] = &[
    key("", "witness", Form::Tables("witness"), "none", "Who cosigns the log's checkpoints."),
    key(
        "witness",
        "name",
        Form::Text,
        "",
        "What it is called here, in the readiness report, in metrics and in `data/signer/policy`.",
    ),
    key(
        "witness",
        "url",
        Form::Text,
        "",
        "Its submission prefix: `/add-checkpoint` is put behind it. `https://`, or `http://` of this machine.",
    ),
    key("witness", "vkey", Form::Text, "", "Its verifier key, as `firsthand witness --show-key` prints it."),
    key(
        "witness",
        "ca",
        Form::Path,
        "the system's",
        "The authority that its certificate must be signed by (PEM).",
    ),
    key(
        "log",
        "quorum",
        Form::Count,
        "more than half of the witnesses",
        "How many witnesses must have cosigned a checkpoint for it to count.",
    ),
    key(
        "log",
        "witness_within",
        Form::Duration,
        "`5s`",
        "What is not cosigned by so many for so long is told of as late; for 60 s, and the gateway is not ready.",
    ),
];

/// One witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WitnessSpec {
    /// What it is called here.
    pub(crate) name: String,
    /// Where checkpoints are sent.
    pub(crate) url: String,
    /// The authority behind its certificate; `None`: the system's.
    pub(crate) ca: Option<PathBuf>,
    /// What its cosignatures are verified by.
    pub(crate) vkey: VerifyingKey,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WitnessSpecs {
    pub(crate) all: Vec<WitnessSpec>,
    /// How many must have cosigned.
    pub(crate) quorum: usize,
    /// What is not cosigned after that is late.
    pub(crate) within: Duration,
}

impl WitnessSpecs {
    /// As C2SP tlog-policy has it: the lines behind those of the log.
    pub(crate) fn policy(&self) -> String {
        if self.all.is_empty() {
            return "quorum none\n".to_owned();
        }
        let mut out = String::new();
        let mut names = String::new();
        for WitnessSpec { name, url, vkey, .. } in &self.all {
            let url = url.strip_suffix("/add-checkpoint").unwrap_or(url);
            let _ = writeln!(out, "witness {name} {vkey} {url}");
            let _ = write!(names, " {name}");
        }
        let _ = writeln!(out, "group {GROUP} {}{names}\nquorum {GROUP}", self.quorum);
        out
    }
}

/// What all of them together are called in the policy.
const GROUP: &str = "witnesses";

/// Reads all of them.
pub(super) fn read(top: &Section<'_>, folder: &Path, log: &Section<'_>) -> WitnessSpecs {
    let sections = top.tables("witness", "witness");
    let mut all: Vec<WitnessSpec> = Vec::new();
    for section in &sections {
        all.extend(read_one(section, folder, &all));
    }
    if let Some(section) = sections.get(WITNESSES_MAX) {
        let what = format!("there are {}, and at most {WITNESSES_MAX} are asked", sections.len());
        section.bad(&section.span, "name", what, "leave some out");
    }
    if all.is_empty() {
        for name in ["quorum", "witness_within"] {
            if let Some(at) = log.span_of(name).filter(|_| sections.is_empty()) {
                log.bad(&at, name, "there is no [[witness]]", "add witnesses, or leave it out");
            }
        }
        return WitnessSpecs::default();
    }
    let count = u64::try_from(all.len()).unwrap_or(u64::MAX);
    let quorum = log.count("quorum", count / 2 + 1, count);
    let within = log.duration("witness_within", Some(WITHIN)).unwrap_or(WITHIN);
    if quorum * 2 <= count {
        let what = format!(
            "log.quorum: {quorum} of {count} witnesses may cosign one history, and others another; more than half can not"
        );
        log.warn(log.span_of("quorum").as_ref(), what);
    }
    WitnessSpecs { all, quorum: usize::try_from(quorum).unwrap_or(usize::MAX), within }
}

fn read_one(section: &Section<'_>, folder: &Path, earlier: &[WitnessSpec]) -> Option<WitnessSpec> {
    let name = section.required_text("name");
    let url = section.required_text("url");
    let vkey = section.required_text("vkey");
    let ca = section.path_in("ca", folder).map(|ca| ca.value);
    if let Some(name) = &name {
        let word = name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !word || name.value == "none" || name.value == GROUP {
            let hint = format!("use letters, digits, `-`, `_` and `.`, and neither `none` nor `{GROUP}`");
            section.bad(&name.span, "name", format!("`{}` is not fit for a name", name.value), hint);
        }
        if earlier.iter().any(|other| other.name == name.value) {
            section.bad(&name.span, "name", "there is a witness of that name already", "call it otherwise");
        }
    }
    let url = url.and_then(|at| {
        let full = format!("{}/add-checkpoint", at.value.trim_end_matches('/'));
        match Address::parse(&full) {
            Ok(_) => {
                section.came_to("url", Some(&at.span), &*full);
                Some(full)
            }
            Err(why) => {
                section.bad(&at.span, "url", why, "write it like `https://witness.example`");
                None
            }
        }
    });
    let vkey = vkey.and_then(|at| {
        let why = match VerifyingKey::parse(&at.value) {
            Err(e) => e.to_string(),
            Ok(key) if key.kind() != KeyKind::Cosignature => {
                "it is the key of a log, not of a witness".to_owned()
            }
            Ok(key) if earlier.iter().any(|other| other.vkey.public() == key.public()) => {
                "another witness has the same key: it would count twice".to_owned()
            }
            Ok(key) => return Some(key),
        };
        section.bad(&at.span, "vkey", why, "`firsthand witness --config FILE --show-key` prints it");
        None
    });
    Some(WitnessSpec { name: name?.value, url: url?, ca, vkey: vkey? })
}
