//! Calls that are not made in some places: hidden time and environment in pure code, waiting by sleeping in tests,
//! work left open, lints silenced for good, and the doors that only one file may open.

use super::{Finding, lists, names::is_in, source::Tree};

/// Where a ban holds.
enum Where {
    /// Everywhere.
    All,
    /// In test code only.
    Tests,
    /// In the code below these folders, tests excepted.
    Code(&'static [&'static str]),
    /// In code outside these places, tests excepted.
    CodeExcept(&'static [&'static str]),
}

struct Ban {
    pattern: &'static [&'static str],
    place: Where,
    why: &'static str,
}

/// Code that gets time, randomness and settings as arguments, so that a run can be repeated.
const PURE: &[&str] = &[
    "crates/model/src/",
    "crates/wire/src/",
    "crates/session/src/",
    "crates/sql/src/",
    "crates/protocols/src/postgres/",
];

const BANS: &[Ban] = &[
    Ban {
        pattern: &["SystemTime", ":", ":", "now"],
        place: Where::Code(PURE),
        why: "pure code is given the time (session::port::Clock)",
    },
    Ban {
        pattern: &["Instant", ":", ":", "now"],
        place: Where::Code(PURE),
        why: "pure code is given the time (session::port::Clock)",
    },
    Ban {
        pattern: &["env", ":", ":", "var"],
        place: Where::Code(PURE),
        why: "nothing ambient: settings come in as arguments",
    },
    Ban {
        pattern: &["env", ":", ":", "var_os"],
        place: Where::Code(PURE),
        why: "nothing ambient: settings come in as arguments",
    },
    Ban {
        pattern: &["SystemRandom", ":", ":", "new"],
        place: Where::Code(PURE),
        why: "pure code is given its random bytes, so that a run can be repeated",
    },
    Ban {
        pattern: &["rand", ":", ":"],
        place: Where::Code(PURE),
        why: "pure code is given its random bytes",
    },
    Ban {
        pattern: &["sleep", "("],
        place: Where::Tests,
        why: "a test waits for what it needs (a message, a file, a line of output), never for time to pass",
    },
    Ban {
        pattern: &["tokio", ":", ":", "time", ":", ":", "interval", "("],
        place: Where::Code(&["crates/"]),
        why: "it makes up for ticks that were missed while the machine slept: `drive::every` does not",
    },
    Ban {
        pattern: &["todo", "!"],
        place: Where::All,
        why: "nothing is left open: do it, or leave the feature out and say so",
    },
    Ban {
        pattern: &["unimplemented", "!"],
        place: Where::All,
        why: "nothing is left open: do it, or leave it out",
    },
    Ban {
        pattern: &["#", "[", "ignore"],
        place: Where::All,
        why: "a test that is not run proves nothing: make it run, or remove it",
    },
    Ban {
        pattern: &["#", "[", "allow"],
        place: Where::All,
        why: "use `#[expect(lint, reason = \"…\")]`, which complains when it is no longer needed",
    },
    Ban {
        pattern: &["#", "!", "[", "allow"],
        place: Where::All,
        why: "use `#![expect(lint, reason = \"…\")]`, which complains when it is no longer needed",
    },
    Ban {
        pattern: &["tokio", ":", ":", "net"],
        place: Where::Code(&["crates/session/src/"]),
        why: "the engine does no IO and owns no time: that is behind a port",
    },
    Ban {
        pattern: &["tokio", ":", ":", "time"],
        place: Where::Code(&["crates/session/src/"]),
        why: "the engine does no IO and owns no time: that is behind a port",
    },
    Ban {
        pattern: &["tokio", ":", ":", "fs"],
        place: Where::Code(&["crates/session/src/"]),
        why: "the engine does no IO and owns no time: that is behind a port",
    },
    Ban {
        pattern: &["tokio", ":", ":", "spawn"],
        place: Where::Code(&["crates/session/src/"]),
        why: "the engine does no IO and owns no time: that is behind a port",
    },
    Ban {
        pattern: &["Permit", "{", "inner"],
        place: Where::CodeExcept(&["crates/session/src/pipeline.rs", "crates/session/src/permit.rs"]),
        why: "only the pipeline gives leave to run a command (invariant 1)",
    },
    Ban {
        pattern: &["Forward", "("],
        place: Where::CodeExcept(&["crates/session/src/permit.rs", "crates/session/src/admission.rs"]),
        why: "bytes for the target come from a Permit, or from the Admission that opens the session (invariant 1)",
    },
    Ban {
        pattern: &["admission", ".", "forward"],
        place: Where::CodeExcept(&["crates/protocols/src/postgres/handshake.rs"]),
        why: "bytes for the target without a command exist in the handshake only; a command needs its Permit",
    },
];

pub(super) fn check(tree: &Tree, stale: &mut Vec<Finding>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut used = Vec::new();
    for file in tree.rust() {
        for ban in BANS {
            let name = ban.pattern.concat();
            for token in file.find(ban.pattern).filter(|t| ban.place.covers(&file.path, t.test)) {
                let excuse = lists::ALLOWED_CALLS
                    .iter()
                    .position(|(place, call, _)| *call == name && is_in(&file.path, place));
                match excuse {
                    Some(at) => used.push(at),
                    None => {
                        findings.push(Finding::new(&file.path, token.line, format!("`{name}`: {}", ban.why)))
                    }
                }
            }
        }
    }
    for (at, (place, call, _)) in lists::ALLOWED_CALLS.iter().enumerate() {
        if !used.contains(&at) {
            let what = format!("exception `{place}` for `{call}` is no longer needed: remove it");
            stale.push(Finding::new("xtask/src/tidy/lists.rs", 1, what));
        }
    }
    findings
}

impl Where {
    fn covers(&self, path: &str, test: bool) -> bool {
        match self {
            Self::All => true,
            Self::Tests => test,
            Self::Code(folders) => !test && folders.iter().any(|f| is_in(path, f)),
            Self::CodeExcept(places) => !test && !places.iter().any(|p| is_in(path, p)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)]), &mut Vec::new()).len()
    }

    #[test]
    fn hidden_inputs_of_pure_code_are_found() {
        for call in
            ["SystemTime::now()", "std::time::Instant::now()", "std::env::var(\"X\")", "rand::random()"]
        {
            let text = format!("fn f() {{ {call}; }}");
            assert_eq!(found("crates/session/src/a.rs", &text), 1, "{call}");
            assert_eq!(found("crates/gateway/src/a.rs", &text), 0, "{call}");
        }
    }

    #[test]
    fn a_test_that_sleeps_is_found_and_code_that_sleeps_is_not() {
        let sleeps = "async fn f() { tokio::time::sleep(d).await; }";
        assert_eq!(found("tests/tests/a.rs", sleeps), 1);
        assert_eq!(found("crates/gateway/src/a.rs", &format!("#[cfg(test)]\nmod tests {{ {sleeps} }}")), 1);
        assert_eq!(found("crates/gateway/src/a.rs", sleeps), 0);
        assert_eq!(found("tests/tests/a.rs", "fn f() { query(\"select pg_sleep(1)\"); pg_sleep(1) }"), 0);
    }

    #[test]
    fn work_left_open_and_silenced_lints_are_found() {
        let open = "#![allow(x)]\n#[allow(y)]\nfn f() { tod\u{6f}!() }\n#[test]\n#[ign\u{6f}re]\nfn g() { unimplement\u{65}d!() }";
        assert_eq!(found("crates/gateway/src/a.rs", open), 5);
        assert_eq!(found("a.rs", "#[expect(y, reason = \"tod\u{6f}!()\")]\nfn f() {}"), 0);
    }

    #[test]
    fn a_permit_made_elsewhere_is_found() {
        let text = "fn f() { Permit { inner: x }; Forward(b); admission.forward(b) }";
        assert_eq!(found("crates/protocols/src/postgres/query.rs", text), 3);
        assert_eq!(found("crates/session/src/permit.rs", "fn f() { Permit { inner: x }; Forward(b) }"), 0);
    }
}
