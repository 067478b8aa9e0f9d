//! The summary as a page that prints well. Nothing in it runs, nothing is fetched, and nothing that was recorded becomes markup:
//! every text goes through [`safe`].

use std::fmt::Write as _;

use firsthand_auditlog::bundle::manifest::{Manifest, plain};
use firsthand_auditlog::entry::moment::rfc3339;

use super::requirements::ALL;
use super::summary::{COMMANDS_TOLD, OTHERS_TOLD, STATEMENT_CHARS, Summary, Told};
use crate::show::clean;

/// Look, for screens and paper.
const STYLE: &str = "body{font:11pt/1.4 Georgia,serif;margin:2em auto;max-width:64em;padding:0 1em;color:#111}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em;border-bottom:1px solid #999}table{border-collapse:collapse;width:100%;font-size:.85em}th,td{border:1px solid #bbb;padding:.25em .45em;text-align:left;vertical-align:top;overflow-wrap:anywhere}th{background:#eee}tr{break-inside:avoid}thead{display:table-header-group}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;font:.95em/1.3 monospace}.no{color:#900}.note{border-left:3px solid #900;padding-left:.8em}@page{margin:16mm}@media print{body{margin:0;max-width:none;font-size:9.5pt}h2{break-after:avoid}}";

/// A recorded text as it may stand between tags: markup escaped, what is hidden or turns the writing shown as its code.
pub(super) fn safe(text: &str) -> String {
    escaped(&clean::line(text))
}

/// The same, lines kept.
fn safe_block(text: &str) -> String {
    escaped(&clean::block(text))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A table: cells are markup already.
fn table(out: &mut String, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    out.push_str("<table><thead><tr>");
    for name in head {
        let _ = write!(out, "<th>{}</th>", safe(name));
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td>{cell}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>\n");
}

fn more(out: &mut String, count: u64, what: &str) {
    if count > 0 {
        let _ = writeln!(out, "<p>… and {count} more {what}; they are in the entries of this bundle.</p>");
    }
}

/// All of it.
pub(super) fn write(summary: &Summary, manifest: &Manifest) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>Evidence</title><style>{STYLE}</style></head><body>\n"
    );
    scope(&mut out, manifest);
    totals(&mut out, summary, manifest);
    commands(&mut out, summary);
    changes(&mut out, summary);
    refusals(&mut out, summary);
    approvals(&mut out, summary);
    gaps(&mut out, summary, manifest);
    requirements(&mut out);
    out.push_str("</body></html>\n");
    out
}

fn scope(out: &mut String, manifest: &Manifest) {
    let asked = &manifest.scope;
    let or_all = |text: &Option<String>| text.as_ref().map_or("all".to_owned(), |text| safe(&plain(text)));
    let ids = asked.identity.as_ref().map_or("all".to_owned(), |ids| safe(&ids.join(", ")));
    let time = |t: Option<u64>, none: &str| t.map_or(none.to_owned(), rfc3339);
    out.push_str("<h1>What was done, and who says so</h1>\n<p class=\"note\">This page is for reading. It proves nothing: <code>python3 -I verify.py BUNDLE --key KEYFILE</code> checks the entries it was drawn from.</p>\n");
    let rows = [
        ("Log", safe(&plain(&manifest.origin))),
        ("Identity", or_all(&asked.name)),
        ("Known in entries as", ids),
        ("Target", or_all(&asked.target)),
        ("From", time(asked.from, "the log's beginning")),
        ("To (not included)", time(asked.to, "the log's end")),
        ("Exported", format!("{} by {}", rfc3339(manifest.made), safe(&plain(&manifest.by)))),
    ];
    table(out, &["Asked for", ""], rows.into_iter().map(|(a, b)| vec![safe(a), b]));
}

fn totals(out: &mut String, summary: &Summary, manifest: &Manifest) {
    let sum = |of: fn(&firsthand_auditlog::bundle::manifest::EpochPart) -> u64| -> u64 {
        manifest.epochs.iter().map(of).sum()
    };
    let verdicts: Vec<String> =
        summary.verdicts.iter().map(|(verdict, n)| format!("{n} {}", safe(verdict))).collect();
    let commands = summary.commands.len() as u64 + summary.commands_more;
    let rows = [
        ("Entries of the range, whoever's", sum(|p| p.end - p.first).to_string()),
        ("Entries in scope", sum(|p| p.scoped).to_string()),
        ("Payloads shown", sum(|p| p.disclosed).to_string()),
        ("Payloads withheld", sum(|p| p.withheld).to_string()),
        ("Payloads erased", sum(|p| p.erased).to_string()),
        ("Sessions", summary.sessions.len().to_string()),
        ("Commands", format!("{commands} ({})", verdicts.join(", "))),
        ("Commands that failed or were abandoned", summary.failed.to_string()),
        ("Rows given to clients", summary.rows.to_string()),
    ];
    out.push_str("<h2>In numbers</h2>\n");
    table(out, &["What", "How many"], rows.into_iter().map(|(a, b)| vec![safe(a), b]));
}

fn commands(out: &mut String, summary: &Summary) {
    let _ = writeln!(
        out,
        "<h2>Commands</h2>\n<p>The first {COMMANDS_TOLD} at most; of a statement the first {STATEMENT_CHARS} characters.</p>"
    );
    let row = |told: &Told| {
        let statement = match &told.statement {
            Some(text) => format!("<pre>{}</pre>", safe_block(text)),
            None => "<em>withheld</em>".to_owned(),
        };
        vec![
            format!("{}<br>{}", safe(&told.at), safe(&told.place)),
            safe(&told.who),
            safe(&told.target),
            statement,
            format!("{} by {}", safe(&told.verdict), safe(&told.rule)),
            safe(&summary.approvers(&told.approval)),
            safe(if told.outcome.is_empty() { "none in this range" } else { &told.outcome }),
        ]
    };
    let head = ["When, entry", "Who", "Target", "What", "Decision", "Approved by", "Outcome"];
    table(out, &head, summary.commands.iter().map(row));
    more(out, summary.commands_more, "commands");
}

fn changes(out: &mut String, summary: &Summary) {
    out.push_str("<h2>Rows touched</h2>\n");
    let rows =
        summary.changed.iter().map(|((table, action), n)| vec![safe(table), safe(action), n.to_string()]);
    table(out, &["Table", "Action", "Rows"], rows);
    out.push_str("<p>Keys, old and new values stand in the payloads of <code>command.changed</code>. What was not observed:</p>\n");
    let rows = summary.coverage.iter().map(|(word, n)| vec![safe(word), n.to_string()]);
    table(out, &["Coverage", "Entries"], rows);
}

fn refusals(out: &mut String, summary: &Summary) {
    out.push_str("<h2>Refusals</h2>\n");
    let rows = summary.refusals.iter().map(|(at, what, why)| vec![safe(at), safe(what), safe(why)]);
    table(out, &["When", "What", "Why"], rows);
    more(out, summary.refusals_more, "refusals or notes about the log");
}

fn approvals(out: &mut String, summary: &Summary) {
    let _ = writeln!(out, "<h2>Approvals</h2>\n<p>The first {OTHERS_TOLD} at most.</p>");
    let rows = summary.approvals.iter().map(|(id, approved)| {
        vec![
            safe(id),
            safe(&approved.asked),
            safe(&approved.by.join(", ")),
            safe(&approved.became.join("; ")),
        ]
    });
    table(out, &["Approval", "Asked", "Given by", "What became of it"], rows);
}

fn gaps(out: &mut String, summary: &Summary, manifest: &Manifest) {
    out.push_str("<h2>Gaps, and what the log says of itself</h2>\n");
    let rows = manifest.epochs.iter().map(|part| {
        vec![
            part.epoch.to_string(),
            format!("{} to {}", part.first, part.end.saturating_sub(1)),
            part.size.to_string(),
        ]
    });
    table(out, &["Epoch", "Positions here", "Entries signed"], rows);
    let _ = writeln!(
        out,
        "<p>{} entries of the range are not signed yet and so not here. Each epoch after the first begins with a gap that an operator declared. Rules that were in force and are not here: {}.</p>",
        manifest.unsigned,
        if manifest.missing.is_empty() { "none".to_owned() } else { safe(&manifest.missing.join(", ")) }
    );
    table(out, &["When", "What"], summary.gaps.iter().map(|(at, what)| vec![safe(at), safe(what)]));
    out.push_str("<p>Kinds of entries in scope:</p>\n");
    table(out, &["Kind", "Entries"], summary.kinds.iter().map(|(kind, n)| vec![safe(kind), n.to_string()]));
}

fn requirements(out: &mut String) {
    out.push_str("<h2>Requirements, and where they are answered</h2>\n<p>Shortened; the standards' own text counts. Only what passed this gateway can be answered.</p>\n");
    let rows = ALL.iter().map(|r| {
        let answer = r.answer.map_or("<span class=\"no\">not covered</span>".to_owned(), safe);
        vec![safe(r.source), safe(r.number), safe(r.asks), answer]
    });
    table(out, &["Source", "Number", "Asks for", "Where in this bundle"], rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_recorded_becomes_markup_or_hides() {
        let hostile = "</pre><script>alert(1)</script>\u{202e}gpj\u{200b}\u{1b}[2J\u{7}\"'&";
        let mut summary = Summary::default();
        summary.commands.push(Told {
            statement: Some(hostile.to_owned()),
            rule: hostile.to_owned(),
            ..Told::default()
        });
        summary.refusals.push((hostile.to_owned(), hostile.to_owned(), hostile.to_owned()));
        let manifest = Manifest {
            by: hostile.replace('"', "\\\""),
            missing: vec![hostile.to_owned()],
            ..Manifest::default()
        };
        let page = write(&summary, &manifest);
        assert!(
            !page.contains("<script") && !page.contains('\u{202e}') && !page.contains('\u{200b}'),
            "{page}"
        );
        assert!(!page.contains('\u{1b}') && !page.contains('\u{7}'));
        assert!(page.contains("&lt;script&gt;") && page.contains("\\u{202e}"));
        for standard in ["10.2.1.1", "CC7.2", "164.312(b)", "A.8.15", "AU-3 a", "not covered"] {
            assert!(page.contains(standard), "{standard}");
        }
    }
}
