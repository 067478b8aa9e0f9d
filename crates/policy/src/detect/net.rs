//! Addresses of networks, and URLs and connection strings that hold a password.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::columns::Topic;
use super::{Hit, label};

/// Adds IPv4 addresses. Four numbers with dots may be a version too: small ones are, without a word for them.
pub(crate) fn ipv4(text: &str, topic: Topic, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes.iter().skip(at).take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        if run == 0 {
            at += 1;
            continue;
        }
        let (start, end) = trim(text, at, at + run, '.');
        let bits = mask_len(text.get(end..).unwrap_or_default(), 32);
        if let Some(part) = text.get(start..end)
            && !joined(bytes, start, end)
            && is_address(part, topic, text.get(..start).unwrap_or_default(), bits > 0)
        {
            hits.push(Hit { range: start..end + bits, label: label::IP, score: 0.95 });
        }
        at += run;
    }
}

/// The length of `/24` behind an address, which belongs to it.
fn mask_len(behind: &str, most: u8) -> usize {
    let Some(tail) = behind.strip_prefix('/') else { return 0 };
    let len = tail.bytes().take_while(u8::is_ascii_digit).count();
    let bits = tail.get(..len).and_then(|n| n.parse::<u8>().ok()).is_some_and(|n| n <= most);
    let done = !tail.get(len..).is_some_and(|r| r.starts_with(|c: char| c.is_alphanumeric() || c == '/'));
    if bits && done { 1 + len } else { 0 }
}

fn trim(text: &str, start: usize, end: usize, what: char) -> (usize, usize) {
    let part = text.get(start..end).unwrap_or_default();
    let left = part.trim_start_matches(what);
    (end - left.len(), end - left.len() + left.trim_end_matches(what).len())
}

/// Whether a letter, a digit or what joins words stands right before or behind.
fn joined(bytes: &[u8], start: usize, end: usize) -> bool {
    let at = |i: Option<usize>| i.and_then(|i| bytes.get(i)).copied().unwrap_or(b' ');
    let (before, behind) = (at(start.checked_sub(1)), at(Some(end)));
    // `192.0.2.1-192.0.2.9` is a range, `1.2.3.4-rc1` none.
    let dash = |sign: u8, next: u8| sign == b'-' && !next.is_ascii_digit();
    before.is_ascii_alphanumeric()
        || matches!(before, b'_' | b'.')
        || dash(before, at(start.checked_sub(2)))
        || behind.is_ascii_alphanumeric()
        || behind == b'_'
        || dash(behind, at(Some(end + 1)))
}

/// Words behind which four numbers are a version.
const VERSIONS: [&str; 6] = ["version", "v", "ver", "release", "build", "firmware"];
/// Words behind which four numbers are a version when the first is as low as versions are.
const PERHAPS_VERSIONS: [&str; 14] = [
    "driver", "patch", "update", "upgrade", "to", "kernel", "linux", "chrome", "firefox", "safari", "python",
    "sdk", "app", "client",
];

/// `Chrome/122.0.6261.94`: a word with a capital that a slash joins to its version. Paths have more slashes, or small letters.
fn is_product(before: &str) -> bool {
    let Some(head) = before.strip_suffix('/') else { return false };
    let word = head.rsplit(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).next();
    let word = word.unwrap_or_default();
    let path = head.get(..head.len() - word.len()).is_some_and(|t| t.ends_with(['/', ':', '\\', '@']));
    word.starts_with(|c: char| c.is_ascii_uppercase()) && !path
}

fn is_address(part: &str, topic: Topic, before: &str, net: bool) -> bool {
    let Ok(ip) = part.parse::<Ipv4Addr>() else { return false };
    if topic == Topic::Ip {
        return true;
    }
    let [a, b, c, d] = ip.octets();
    let small = a < 32 && b < 32 && c < 32 && d < 32;
    let private = a == 10 && !(c < 10 && d == 0);
    let nobody = ip.is_loopback() || ip.is_unspecified() || ip.is_broadcast() || matches!(a, 0 | 255);
    // A net without its length is nobody's address, and a browser's version often looks like one.
    let vague = [b, c, d] == [0, 0, 0] && !net;
    let tail = before.trim_end().rsplit([' ', '\n', '(', '"', '/']).next().unwrap_or_default();
    let word = tail.trim_end_matches([':', '=', '.', '"']);
    let version = tail.ends_with("==")
        || tail.ends_with('@')
        || is_product(before)
        || VERSIONS.iter().any(|w| word.eq_ignore_ascii_case(w))
        || a < 32 && !private && PERHAPS_VERSIONS.iter().any(|w| word.eq_ignore_ascii_case(w));
    !nobody && !vague && !version && topic != Topic::Version && (!small || private || net)
}

/// Adds IPv6 and MAC addresses: runs of hexadecimal groups and colons (or dashes).
pub(crate) fn colons(text: &str, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let fits = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes.iter().skip(at).take_while(|b| fits(b)).count();
        if run < 6 {
            at += run.max(1);
            continue;
        }
        let (start, end) = trim(text, at, at + run, '.');
        let single = text.get(start..end).unwrap_or_default();
        let end = if single.ends_with(':') && !single.ends_with("::") { end - 1 } else { end };
        if let Some(part) = text.get(start..end)
            && !joined(bytes, start, end)
        {
            if is_mac(part, ':') || is_cisco(part) {
                hits.push(Hit { range: start..end, label: label::MAC, score: 0.97 });
            } else if is_ipv6(part) {
                let end = end + mask_len(text.get(end..).unwrap_or_default(), 128);
                hits.push(Hit { range: start..end, label: label::IP, score: 0.97 });
            }
        }
        at += run;
    }
}

/// Adds MAC addresses written with dashes.
pub(crate) fn mac_dashes(text: &str, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes.iter().skip(at).take_while(|b| b.is_ascii_hexdigit() || **b == b'-').count();
        if run == 17
            && let Some(part) = text.get(at..at + run)
            && is_mac(part, '-')
            && !joined(bytes, at, at + run)
        {
            hits.push(Hit { range: at..at + run, label: label::MAC, score: 0.97 });
        }
        at += run.max(1);
    }
}

/// Six pairs; more than pairs of digits only, or it may be a count of time.
fn is_mac(part: &str, by: char) -> bool {
    let pairs = part.split(by).filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit())).count();
    part.len() == 17 && pairs == 6 && part != "00:00:00:00:00:00"
}

fn is_cisco(part: &str) -> bool {
    part.len() == 14
        && part.split('.').filter(|p| p.len() == 4 && p.bytes().all(|b| b.is_ascii_hexdigit())).count() == 3
        && part.split('.').count() == 3
        && part.bytes().any(|b| b.is_ascii_alphabetic())
}

fn is_ipv6(part: &str) -> bool {
    let groups = part.split(':').filter(|g| !g.is_empty()).count();
    part.len() >= 6
        && groups >= 2
        && part.bytes().any(|b| b.is_ascii_digit())
        && part.bytes().filter(|b| *b == b':').count() >= 2
        && part.parse::<Ipv6Addr>().is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// Adds URLs with a user and a password before the host: the whole of it.
pub(crate) fn urls(text: &str, hits: &mut Vec<Hit>) {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|t| t.find("://")).map(|p| p + from) {
        let scheme = text.get(from..at).unwrap_or_default();
        let start = at
            - scheme
                .bytes()
                .rev()
                .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
                .count();
        let start = start - if text.get(..start).is_some_and(|t| t.ends_with("jdbc:")) { 5 } else { 0 };
        let rest = text.get(at + 3..).unwrap_or_default();
        let len = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '|'))
            .unwrap_or(rest.len());
        let whole =
            rest.get(..len).unwrap_or_default().trim_end_matches(['.', ',', ')', ';', ']', '!', '?', '}']);
        let end = at + 3 + whole.len();
        if start < at && (has_password(whole) || has_key(whole)) {
            hits.push(Hit { range: start..end, label: label::URL_PASSWORD, score: 0.995 });
        }
        from = end.max(at + 3);
    }
}

fn has_password(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = if authority.contains('@') { authority } else { rest };
    let Some((user, host)) = authority.rsplit_once('@') else { return false };
    let Some((_, password)) = user.split_once(':') else { return false };
    let filled = !password.is_empty() && !user.contains('/');
    let named = ["$", "{", "<", "%s", "%(", "***", "xxx"].iter().any(|p| password.starts_with(p));
    filled && !named && !host.is_empty()
}

/// A signature or a key among the parameters of a URL.
fn has_key(rest: &str) -> bool {
    const NAMES: [&str; 11] = [
        "sig",
        "signature",
        "x-amz-signature",
        "x-goog-signature",
        "access_token",
        "api_key",
        "apikey",
        "password",
        "token",
        "secret",
        "client_secret",
    ];
    let Some((_, query)) = rest.split_once('?') else { return false };
    query
        .split('&')
        .filter_map(|p| p.split_once('='))
        .any(|(k, v)| v.len() >= 8 && NAMES.iter().any(|n| k.eq_ignore_ascii_case(n)))
}

/// Adds passwords that a command line gives to a program: `mysql -psecret`, `sshpass -p secret`, `curl -u user:secret`.
pub(crate) fn flags(text: &str, hits: &mut Vec<Hit>) {
    /// A program, its flag, and whether a space may stand behind that.
    const FLAGS: [(&str, &str, bool); 5] = [
        ("mysql", " -p", false),
        ("mariadb", " -p", false),
        ("sshpass", " -p", true),
        ("redis-cli", " -a", true),
        ("curl", " -u", true),
    ];
    for (program, flag, spaced) in FLAGS {
        let Some(at) = text.find(program) else { continue };
        let Some(flag_at) = text.get(at..).and_then(|t| t.find(flag)) else { continue };
        let start = at + flag_at + flag.len();
        let rest = text.get(start..).unwrap_or_default();
        let gap = if spaced { rest.len() - rest.trim_start_matches([' ', '=']).len() } else { 0 };
        let word = rest.get(gap..).unwrap_or_default();
        let word = word.split([' ', '\n', '\t', '|', ';']).next().unwrap_or_default();
        let quotes = word.len() - word.trim_start_matches(['\'', '"']).len();
        let bare = word.trim_matches(['\'', '"']);
        let (user, password) = match (program, bare.split_once(':')) {
            ("curl", Some((user, password))) => (user.len() + 1, password),
            ("curl", None) => continue,
            _ => (0, bare),
        };
        let named = password.starts_with(['$', '<', '{', '%', '*', '-', '/']);
        if password.len() >= 4 && !named && !password.bytes().all(|b| b.is_ascii_digit()) {
            let start = start + gap + quotes + user;
            hits.push(Hit { range: start..start + password.len(), label: label::PASSWORD, score: 0.8 });
        }
    }
}

/// What has fewer pairs is no connection string.
pub(crate) const FEWEST_PAIRS: u32 = 2;

/// Adds connection strings of `key=value` pairs with a password: the run of pairs it stands in.
pub(crate) fn pairs(text: &str, hits: &mut Vec<Hit>) {
    const KEYS: [&str; 7] =
        ["password", "pwd", "accountkey", "sharedaccesskey", "sharedsecret", "secretkey", "passwd"];
    let mut from = 0;
    for segment in text.split(['\n', '"']) {
        let end = from + segment.len();
        let held = segment.split(';').chain(segment.split(' ')).filter_map(|p| p.trim().split_once('=')).any(
            |(k, v)| {
                let key = k.rsplit([' ', ';']).next().unwrap_or_default();
                let real = v.len() >= 3 && !v.starts_with(['*', '<', '$', '{']);
                real && KEYS.iter().any(|w| key.eq_ignore_ascii_case(w))
            },
        );
        let many = segment.bytes().filter(|b| *b == b'=').count() >= FEWEST_PAIRS as usize;
        if held && many {
            hits.push(run_of_pairs(segment, from));
        }
        from = end + 1;
    }
}

/// From the first word with a `=` to the end of the last.
fn run_of_pairs(segment: &str, from: usize) -> Hit {
    let first = segment.find('=').unwrap_or(0);
    let before = segment.get(..first).unwrap_or_default();
    // `User Id=…` and `Data Source=…` have names of two words.
    let start = before
        .rfind([':', '(', '`', '\''])
        .map_or_else(|| before.rfind(' ').filter(|_| !segment.contains(';')).map_or(0, |i| i + 1), |i| i + 1);
    let last = segment.rfind('=').unwrap_or(segment.len());
    let tail = segment.get(last..).unwrap_or_default();
    let len = tail.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '`' | ')')).unwrap_or(tail.len());
    let skipped = segment.get(start..).map_or(0, |s| s.len() - s.trim_start().len());
    Hit { range: from + start + skipped..from + last + len, label: label::CONNECTION_STRING, score: 0.95 }
}
