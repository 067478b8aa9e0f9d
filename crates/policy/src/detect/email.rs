//! E-mail addresses, wherever they stand in a text.

use super::{Hit, label};

/// The longest part before the `@` (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// The longest domain (RFC 5321, 4.5.3.1.2).
const MAX_DOMAIN: usize = 255;
/// Ends of file names that stand behind an `@` in ordinary texts (`logo@2x.png`).
const FILES: [&str; 24] = [
    "png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "html", "tgz", "gz", "json", "xml", "yaml",
    "yml", "pdf", "mp4", "tsx", "jsx", "service", "socket", "timer", "mount", "target",
];

/// Adds the addresses in a text.
pub(crate) fn find(text: &str, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(at) =
        bytes.get(from..).and_then(|rest| rest.iter().position(|b| *b == b'@')).map(|p| p + from)
    {
        let start = local(text, at, from);
        let end = domain(text, at + 1);
        if let (Some(start), Some(end)) = (start, end)
            && !is_repository(text, start, at, end)
        {
            hits.push(Hit { range: start..end, label: label::EMAIL, score: 0.99 });
            from = end;
        } else {
            from = at + 1;
        }
    }
}

/// Adds the addresses in URLs and forms, where the `@` is written `%40`.
pub(crate) fn encoded(text: &str, hits: &mut Vec<Hit>) {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("%40")).map(|p| p + from) {
        let start = local(text, at, from).map(|start| {
            // What is written `%3D` or `%26` before it ends something else.
            let part = text.get(start..at).unwrap_or_default();
            part.rfind('%').map_or(start, |escape| (start + escape + 3).min(at))
        });
        if let (Some(start), Some(end)) = (start.filter(|s| *s < at), domain(text, at + 3)) {
            hits.push(Hit { range: start..end, label: label::EMAIL, score: 0.95 });
            from = end;
        } else {
            from = at + 3;
        }
    }
}

/// Where the part before the `@` begins.
fn local(text: &str, at: usize, floor: usize) -> Option<usize> {
    let before = text.get(floor..at)?;
    if let Some(quoted) = before.strip_suffix('"') {
        // `"two words"@example.org`
        let open = quoted.rfind('"')?;
        return (!quoted.get(open + 1..)?.trim().is_empty() && at - (floor + open) <= MAX_LOCAL)
            .then_some(floor + open);
    }
    let mut start = at;
    for (i, c) in before.char_indices().rev() {
        let fits = c.is_alphanumeric()
            || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'' | '!' | '#' | '$' | '&' | '*' | '~' | '^');
        if !fits || at - (floor + i) > MAX_LOCAL {
            break;
        }
        start = floor + i;
    }
    let part = text.get(start..at)?;
    let trimmed = part.trim_start_matches(['.', '\'', '-', '*', '&', '!', '#', '$', '%', '~', '^']);
    let start = at - trimmed.len();
    let whole =
        trimmed.chars().any(char::is_alphanumeric) && !trimmed.ends_with('.') && !trimmed.contains("..");
    whole.then_some(start)
}

/// Where the domain ends: labels with letters and digits, the last one of letters.
fn domain(text: &str, from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let len = rest
        .char_indices()
        .find(|(i, c)| !(c.is_alphanumeric() || matches!(c, '.' | '-')) || *i > MAX_DOMAIN)
        .map_or(rest.len(), |(i, _)| i);
    let name = rest.get(..len)?.trim_end_matches(['.', '-']);
    let (mut end, mut good) = (0, None);
    for part in name.split('.') {
        if part.is_empty() || part.starts_with('-') || part.len() > 63 {
            break;
        }
        let letters =
            part.chars().all(char::is_alphabetic) && part.chars().count() >= 2 || part.starts_with("xn--");
        let at_end = end + part.len();
        if end > 0 && letters {
            good = Some(at_end);
        }
        end = at_end + 1;
    }
    let good = good?;
    // What follows the last good label must not go on with the name: `a@b.com.12` is none.
    let goes_on =
        name.get(good..).is_some_and(|r| r.len() > 1 && r.as_bytes().get(1).is_some_and(u8::is_ascii_digit));
    let top = name.get(..good)?.rsplit('.').next()?;
    let file = FILES.contains(&top);
    // `package@1.2.3.tar`: one label of digits is a provider (`163.com`), more are a version.
    let numbers = name.split('.').filter(|l| l.bytes().all(|b| b.is_ascii_digit())).count();
    (!goes_on && !file && numbers < 2).then_some(from + good)
}

/// `git@github.com:owner/repo.git`, `ssh://git@github.com/owner/repo` name a repository, and nobody.
fn is_repository(text: &str, start: usize, at: usize, end: usize) -> bool {
    let user = text.get(start..at).unwrap_or_default();
    let rest = text.get(end..).unwrap_or_default();
    let in_url = text.get(..start).is_some_and(|t| t.ends_with("://"));
    let path = rest
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ')'))
        .next()
        .unwrap_or_default();
    let service = matches!(user, "git" | "hg" | "svn");
    service && (in_url || path.starts_with([':', '/'])) || path.starts_with(':') && path.ends_with(".git")
}
