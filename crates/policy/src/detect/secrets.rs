//! Keys and tokens of providers by their prefixes, JSON web tokens, private keys, hashes of passwords.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::prefixes::{Body, PREFIXES, Prefix};
use super::{Hit, label};

/// The shortest text that can hold one of these.
pub(crate) const SHORTEST: usize = 16;

/// So much of what may be a token is looked at before it is known to be one: else many beginnings of tokens in a long
/// text would be looked at to its end, each.
const MAX_TOKEN: usize = 2048;

/// The search for prefixes.
pub(crate) struct Secrets {
    search: Option<AhoCorasick>,
}

impl Secrets {
    pub(crate) fn new() -> Self {
        let prefixes = PREFIXES.iter().map(|p| p.start);
        // Building fails only for far more patterns than there are; then every cell would go unsearched, so the tests
        // hold that it does not.
        let mut builder = AhoCorasick::builder();
        // Every text is searched: the fastest kind, for a megabyte at most.
        builder.kind(Some(AhoCorasickKind::DFA)).match_kind(MatchKind::LeftmostLongest);
        Self { search: builder.build(prefixes).ok() }
    }

    #[cfg(test)]
    pub(crate) fn is_ready(&self) -> bool {
        self.search.is_some()
    }

    /// Adds what is in a text.
    pub(crate) fn find(&self, text: &str, hits: &mut Vec<Hit>) {
        let Some(search) = &self.search else { return };
        let bytes = text.as_bytes();
        let mut from = 0;
        while let Some(found) = bytes.get(from..).and_then(|b| search.find(b)) {
            let start = from + found.start();
            let hit = PREFIXES.get(found.pattern().as_usize()).and_then(|p| token(text, start, p));
            from = match hit {
                Some(hit) => {
                    let end = hit.range.end;
                    hits.push(hit);
                    end
                }
                None => start + 1,
            };
        }
    }
}

/// The token that begins with a prefix, if all of it is as it should be.
fn token(text: &str, start: usize, prefix: &Prefix) -> Option<Hit> {
    let bytes = text.as_bytes();
    let before = start.checked_sub(1).and_then(|i| bytes.get(i)).copied().unwrap_or(b' ');
    if prefix.bound && (before.is_ascii_alphanumeric() || before == b'_' || before == b'-') {
        return None;
    }
    match prefix.label {
        label::PRIVATE_KEY => return private_key(text, start),
        label::JWT => return jwt(text, start),
        _ => {}
    }
    let body = start + prefix.start.len();
    let head = head(prefix, bytes.get(..start)?)?;
    let start = if prefix.hidden { body } else { start - head };
    let looked = bytes.get(body..)?.iter().take(MAX_TOKEN).take_while(|b| prefix.body.holds(**b)).count();
    let body_text = text.get(body..body + looked)?.trim_end_matches(['.', '-', ',', ':']);
    // Where a token must be so long, the `-` at its end belongs to it.
    let whole = if prefix.body == Body::Url && looked == prefix.least { looked } else { 0 };
    let len = body_text.len().max(whole).min(prefix.most);
    let goes_on = prefix.most < usize::MAX && bytes.get(body + looked).is_some_and(u8::is_ascii_alphanumeric);
    let mixed = !prefix.mixed || is_mixed(body_text);
    if len < prefix.least || goes_on || !mixed || !is_form(prefix, body_text) {
        return None;
    }
    let score = if checked(prefix, body_text) { 0.99 } else { 0.9 };
    // A token that is longer than was looked at is one to its end.
    let more = bytes.iter().skip(body + MAX_TOKEN).take_while(|b| prefix.body.holds(**b)).count();
    let end = body + if looked == MAX_TOKEN { MAX_TOKEN + more } else { len };
    Some(Hit { range: start..end, label: prefix.label, score })
}

/// How many signs before what a token is known by belong to it: a bot's number before the colon of a Telegram token.
/// `None`: they are not as they should be.
fn head(prefix: &Prefix, before: &[u8]) -> Option<usize> {
    let count = |fits: fn(&u8) -> bool| before.iter().rev().take_while(|b| fits(b)).count();
    let (have, least, most) = match prefix.start {
        ":AA" => (count(u8::is_ascii_digit), 8, 10),
        ":APA91b" => (count(|b| Body::Url.holds(*b)), 11, 22),
        ".atlasv1." => (count(u8::is_ascii_alphanumeric), 14, 14),
        "-us" => (count(|b| Body::Hex.holds(*b)), 32, 32),
        // The client secrets of Azure have three signs before a version.
        "7Q~" | "8Q~" => {
            (count(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'~')), 3, 3)
        }
        _ => return Some(0),
    };
    (least..=most).contains(&have).then_some(have)
}

/// Whether the body is as this kind of token has it, where letters and length do not tell enough.
fn is_form(prefix: &Prefix, body: &str) -> bool {
    match prefix.start {
        "pat" => body.find('.') == Some(14),
        "Basic " | "basic " => base64url(body)
            .is_some_and(|plain| plain.contains(&b':') && plain.iter().all(|b| (b' '..=b'~').contains(b))),
        // A token that is known by itself has its own name; a word in capitals stands for one.
        "Bearer " | "bearer " => {
            let known = PREFIXES.iter().any(|p| body.starts_with(p.start));
            !known && body.bytes().any(|b| b.is_ascii_digit()) && body.bytes().any(|b| b.is_ascii_lowercase())
        }
        "jdbc:oracle:" => {
            let user = body.split_once('@').and_then(|(user, _)| user.rsplit_once(':')).map(|(_, user)| user);
            user.and_then(|u| u.split_once('/'))
                .is_some_and(|(user, password)| !user.is_empty() && password.len() > 2)
        }
        _ => true,
    }
}

/// Adds the tokens of Discord's bots: three parts between dots, known by their lengths.
pub(crate) fn discord(text: &str, hits: &mut Vec<Hit>) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut at = 0;
    for word in text.split(|c: char| !fits(c)) {
        if (59..=74).contains(&word.len())
            && word.starts_with(['M', 'N', 'O'])
            && is_mixed(word)
            && let Some((id, rest)) = word.split_once('.')
            && let Some((time, tag)) = rest.split_once('.')
            && matches!(id.len(), 24..=28)
            && time.len() == 6
            && (27..=38).contains(&tag.len())
            && !tag.contains('.')
        {
            hits.push(Hit { range: at..at + word.len(), label: "discord_token", score: 0.9 });
        }
        at +=
            word.len() + text.get(at + word.len()..).and_then(|t| t.chars().next()).map_or(0, char::len_utf8);
    }
}

/// Letters and digits, or letters of both cases.
fn is_mixed(body: &str) -> bool {
    let small = body.bytes().any(|b| b.is_ascii_lowercase());
    let large = body.bytes().any(|b| b.is_ascii_uppercase());
    small && large || (small || large) && body.bytes().any(|b| b.is_ascii_digit())
}

/// GitHub and npm end their tokens with the CRC-32 of what is before it, in base 62
/// (GitHub, "Behind GitHub's new authentication token formats", 2021).
fn checked(prefix: &Prefix, body: &str) -> bool {
    let crc = matches!(prefix.start, "ghp_" | "gho_" | "ghu_" | "ghs_" | "ghr_" | "npm_");
    let Some((random, check)) = body.split_at_checked(30) else { return false };
    let sum = check.bytes().try_fold(0_u64, |n, b| {
        let value = match b {
            b'0'..=b'9' => b - b'0',
            b'A'..=b'Z' => b - b'A' + 10,
            b'a'..=b'z' => b - b'a' + 36,
            _ => return None,
        };
        n.checked_mul(62)?.checked_add(u64::from(value))
    });
    crc && sum == Some(u64::from(crc32(random.as_bytes())))
}

/// CRC-32 of ISO 3309, bit by bit: thirty bytes of a token that was found.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 })
    })
}

/// Three parts of base64url, the first of which is JSON with an algorithm (RFC 7519).
fn jwt(text: &str, start: usize) -> Option<Hit> {
    let rest = text.get(start..)?;
    let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=');
    let head = rest.bytes().take(MAX_TOKEN).take_while(|b| fits(b) && *b != b'.').count();
    let named = base64url(rest.get(..head)?).is_some_and(|header| {
        let names = [&b"\"alg\""[..], b"\"typ\"", b"\"enc\"", b"\"kid\""];
        names.iter().any(|n| header.windows(n.len()).any(|w| w == *n))
    });
    if !named {
        return None;
    }
    let whole = rest.get(..rest.bytes().take_while(fits).count())?.trim_end_matches('.');
    let body = whole.split('.').nth(1)?;
    (body.len() >= 4).then(|| Hit { range: start..start + whole.len(), label: label::JWT, score: 0.99 })
}

/// The first bytes of what base64url stands for; enough of them to know a header.
fn base64url(text: &str) -> Option<Vec<u8>> {
    /// A header is looked at no further than this.
    const MOST: usize = 512;
    let (mut out, mut bits, mut have) = (Vec::new(), 0_u32, 0);
    for b in text.bytes().take(MOST).take_while(|b| *b != b'=') {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have & 0xFF) as u8);
        }
    }
    Some(out)
}

/// From `-----BEGIN … PRIVATE KEY` to the end of the `-----END …-----`, or of the text when it was cut.
fn private_key(text: &str, start: usize) -> Option<Hit> {
    /// The words between BEGIN and KEY are few.
    const WORDS: usize = 40;
    let rest = text.get(start..)?;
    let head = rest.char_indices().nth(WORDS).map_or(rest, |(i, _)| rest.get(..i).unwrap_or(rest));
    if !head.contains("PRIVATE KEY") {
        return None;
    }
    let end = rest.find("-----END").map_or(rest.len(), |at| {
        let tail = rest.get(at + 8..).unwrap_or_default();
        tail.find("-----").map_or(rest.len(), |e| at + 8 + e + 5)
    });
    Some(Hit { range: start..start + end, label: label::PRIVATE_KEY, score: 0.99 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_is_built_and_the_crc_is_right() {
        assert!(Secrets::new().is_ready());
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
