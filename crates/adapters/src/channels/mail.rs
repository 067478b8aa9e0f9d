//! The words of a mail: what waits, and the command that approves it. There is no link in it: what is opened approves nothing.

use serde_json::Value;

use super::Occasion;
use super::about::{approved, asked, chain, headline, listed, must_be_signed, needs, text, why_broken};

/// Characters of what was asked that are put into a mail.
const ASKED_CHARS_MAX: usize = 8 << 10;

/// Subject and text.
#[must_use]
pub fn words(about: &Value, occasion: Occasion) -> (String, String) {
    let id = text(about, "id");
    let mut out = format!("{}.\n\n", headline(about));
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            out.push_str(&format!("{name:<12}{value}\n"));
        }
    };
    line("who", &chain(about));
    line(
        "where",
        &format!("{} / {} as {}", text(about, "target"), text(about, "database"), text(about, "role")),
    );
    line("effects", &listed(about, "effects"));
    line("tables", &listed(about, "tables"));
    line("rule", text(about, "rule"));
    line("because", text(about, "reason"));
    line("needs", &needs(about));
    line("approved by", &approved(about));
    line("glass", why_broken(about));
    line("said", text(about, "answer"));
    line("until", text(about, "until"));
    if let Some(asked) = asked(about) {
        out.push_str(&format!("\n{}\n", shortened(&asked)));
    }
    let sign = if must_be_signed(about) { " --sign" } else { "" };
    if occasion == Occasion::Asked && text(about, "state") == "asked" {
        out.push_str(&format!(
            "\nLook at all of it, and answer, on the gateway's machine or with --gateway URL:\n\n    firsthand approvals show {id}\n    \
             firsthand approvals approve {id}{sign}\n    firsthand approvals deny {id} --reason \"...\"\n\nNobody approves anything by \
             answering this mail.\n"
        ));
    }
    (format!("Firsthand: {}", headline(about)), out)
}

fn shortened(asked: &str) -> String {
    match asked.char_indices().nth(ASKED_CHARS_MAX) {
        Some((end, _)) => format!("{}\n(there is more of it)", asked.get(..end).unwrap_or_default()),
        None => asked.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::about::{of, tests::described};
    use super::*;

    #[test]
    fn a_mail_says_what_waits_and_has_no_link() {
        let (subject, text) = words(&of(&described(), true), Occasion::Asked);
        assert_eq!(subject, "Firsthand: Approval ap-7k3m9xq2vb waits (target orders)");
        for part in [
            "firsthand approvals approve ap-7k3m9xq2vb",
            "delete from t",
            "$1 = '7'",
            "bot (verified agent)",
            "2 of dba",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("://"), "{text}");
        let (_, text) = words(&of(&described(), false), Occasion::Asked);
        assert!(!text.contains("delete from") && text.contains("approvals show ap-7k3m9xq2vb"), "{text}");
        let mut over = described();
        over["state"] = "spent".into();
        let (subject, text) = words(&of(&over, true), Occasion::Spent);
        assert!(subject.contains("is spent") && !text.contains("approvals approve"), "{subject}\n{text}");
    }
}
