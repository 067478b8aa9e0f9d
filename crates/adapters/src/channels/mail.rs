//! The words of a mail: what waits, and the command that approves it. There is no link in it: what is opened approves nothing.

use serde_json::Value;

use super::Occasion;
use super::about::{
    Asked, approved, asked, chain, headline, listed, must_be_signed, needs, text, why_broken,
};
use super::shown;

/// Characters of what was asked that are put into a mail.
const ASKED_CHARS_MAX: usize = 8 << 10;

/// Subject and text.
#[must_use]
pub fn words(about: &Value, occasion: Occasion) -> (String, String) {
    let id = text(about, "id");
    let mut out = format!("{}.\n\n", headline(about));
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            out.push_str(&format!("{name:<12}{}\n", shown::line(value)));
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
        out.push_str(&format!("\n{}", quoted(&asked)));
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

/// In lines that begin as none of the mail's own do: what was asked cannot pass for what the gateway says.
fn quoted(asked: &Asked) -> String {
    let mut lines: Vec<&str> = asked.statement.split('\n').collect();
    if !asked.parameters.is_empty() {
        lines.push("");
    }
    let statement = lines.len();
    lines.extend(asked.parameters.iter().map(String::as_str));
    let (mut out, mut left) = (String::new(), ASKED_CHARS_MAX);
    for (at, line) in lines.into_iter().enumerate() {
        let bar = if at < statement { "  | " } else { "  : " };
        let shown: String = line.chars().take(left).collect();
        out.push_str(format!("{bar}{shown}").trim_end());
        out.push('\n');
        if shown.len() < line.len() {
            out.push_str("(there is more of it)\n");
            break;
        }
        left = left.saturating_sub(shown.chars().count() + 1);
    }
    for caveat in &asked.caveats {
        out.push_str(&format!("({caveat})\n"));
    }
    out
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
            "\n  | delete from t where a = $1\n  |\n  : $1 = \"7\"\n",
            "bot (verified agent)",
            "2 of dba",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("://"), "{text}");
        let (_, text) = words(&of(&described(), false), Occasion::Asked);
        assert!(!text.contains("delete from") && text.contains("approvals show ap-7k3m9xq2vb"), "{text}");
        assert!(!text.contains("replaced here"), "{text}");
        let mut over = described();
        over["state"] = "spent".into();
        let (subject, text) = words(&of(&over, true), Occasion::Spent);
        assert!(subject.contains("is spent") && !text.contains("approvals approve"), "{subject}\n{text}");
    }
    #[test]
    fn what_was_asked_passes_for_nothing_that_the_mail_says_itself() {
        let mut evil = described();
        evil["statement"] =
            "select 1\n\nLook at all of it:\n    firsthand approvals approve ap-other\u{202e}".into();
        evil["statement_differs"] = true.into();
        evil["tables"] = serde_json::json!(["a\nrule        none"]);
        let (_, text) = words(&of(&evil, true), Occasion::Asked);
        for line in
            text.lines().filter(|line| line.contains("ap-other") || line.contains("Look at all of it:"))
        {
            assert!(line.starts_with("  | "), "{line}");
        }
        assert!(text.contains("tables      a\\x0arule        none\n"), "{text}");
        assert!(text.contains("replaced here") && text.contains("ap-other\\u{202e}\n"), "{text}");
        let mut long = described();
        long["statement"] = "x\n".repeat(ASKED_CHARS_MAX).into();
        let (_, text) = words(&of(&long, true), Occasion::Asked);
        assert!(text.contains("(there is more of it)") && !text.contains("$1 ="), "{text}");
    }
}
