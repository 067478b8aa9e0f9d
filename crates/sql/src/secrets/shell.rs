//! Credentials in the command of COPY … PROGRAM: what its words give to programs as user and password, as an option that is named
//! so, or as a header. Addresses and `NAME=…` are found as in any text.

use std::ops::Range;

use super::names::is_credential;
use crate::split::is_space;

/// Options behind which `user:password` stands: curl's, wget's and their kin.
const USERS: [&str; 6] = ["-u", "--user", "-U", "--proxy-user", "--http-user", "--userpwd"];

/// Options behind which a password stands: openssl's, ldapsearch's, `sshpass -p` and those of database clients.
const PASSWORDS: [&str; 10] =
    ["-pass", "-passin", "-passout", "-w", "-p", "-P", "-a", "--cookie", "--oauth2-bearer", "-i"];

/// Programs whose short options of [`PASSWORDS`] mean one; with others they mean a port, a folder, a file.
const PROGRAMS: [&str; 16] = [
    "docker",
    "http",
    "lftp",
    "mongo",
    "mongosh",
    "sqlcmd",
    "sshpass",
    "mysql",
    "mysqldump",
    "mariadb",
    "openssl",
    "ldapsearch",
    "redis-cli",
    "7z",
    "zip",
    "smbclient",
];

/// Options of single programs behind which a password stands; with others they mean something else.
const THEIR_OWN: [(&str, &str); 3] = [("openssl", "-k"), ("openssl", "-K"), ("unzip", "-P")];

/// Programs whose `login` takes what opens something, by itself.
const LOGINS: [&str; 4] = ["vault", "npm", "bw", "op"];

/// What has a program read a password from its input: what stands before it in the pipe says it.
const READS_IT: [&str; 4] = ["--password-stdin", "-stdin", "-S", "--passphrase-fd"];

/// Programs that say what they are given.
const SAYING: [&str; 2] = ["echo", "printf"];

/// Programs that run what follows `-c`.
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ash", "zsh"];
/// Commands within commands that are looked into.
const DEPTH_MAX: u8 = 4;

/// Headers whose values open something.
const HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-auth"];

/// The places of credentials in a command, in order.
pub(super) fn credentials(command: &str) -> Vec<Range<usize>> {
    within(command, DEPTH_MAX)
}

fn within(command: &str, depth: u8) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let words = words(command);
    let text = |at: usize| words.get(at).and_then(|word| command.get(word.clone())).unwrap_or_default();
    let asks = words.iter().any(|word| {
        let name = command.get(word.clone()).unwrap_or_default();
        PROGRAMS.contains(&name.rsplit('/').next().unwrap_or(name))
    });
    let runs = |wanted: &str| {
        words.iter().any(|word| program(command.get(word.clone()).unwrap_or_default()) == wanted)
    };
    for (at, word) in words.iter().enumerate() {
        let (own, option) = (text(at), text(at.wrapping_sub(1)));
        let part = |from: usize| word.start + from..word.end;
        let behind = |option: &str, value: &str| {
            if THEIR_OWN.iter().any(|(program, own)| *own == option && runs(program)) {
                return Some(0);
            }
            let long = option
                .strip_prefix("--")
                .is_some_and(|name| !name.contains('=') && !name.ends_with("-stdin") && is_credential(name));
            let short = PASSWORDS.contains(&option) && (asks || option.len() > 2);
            if long || short {
                return Some(0);
            }
            is_user(option).then(|| value.find([':', '%', ',']).map(|sign| sign + 1)).flatten()
        };
        let shell = text(at.wrapping_sub(2));
        if option.starts_with('-')
            && option.ends_with('c')
            && SHELLS.contains(&shell.rsplit('/').next().unwrap_or(shell))
            && depth > 0
        {
            let inner = within(own, depth - 1).into_iter();
            found.extend(inner.map(|span| word.start + span.start..word.start + span.end));
        } else if let Some(from) = behind(option, own).filter(|_| !own.starts_with('-')) {
            found.push(part(from));
        } else if let Some(from) = header_value(own) {
            found.push(part(from));
        } else if let Some((name, value)) = own.split_once('=').filter(|_| own.starts_with('-')) {
            found.extend(behind(name, value).map(|from| part(name.len() + 1 + from)));
        } else if let Some((header, value)) = own.split_once(':').filter(|_| !own.contains("://")) {
            let end = own.rfind('@').filter(|_| !own.starts_with('-')).unwrap_or(own.len());
            found.extend(joined(own).map(|from| word.start + from..word.start + end).or_else(|| {
                let name = header.trim().to_ascii_lowercase();
                let secret = HEADERS.contains(&name.as_str()) || is_credential(&name);
                secret.then(|| part(own.len() - value.trim_start().len()))
            }));
        } else if asks
            && !PASSWORDS.contains(&own)
            && let Some(value) = own.strip_prefix("-p").filter(|value| !value.is_empty())
        {
            found.push(word.end - value.len()..word.end);
        }
    }
    for (at, word) in words.iter().enumerate() {
        let enters =
            text(at.wrapping_sub(1)) == "login" && LOGINS.contains(&program(text(at.wrapping_sub(2))));
        if SAYING.contains(&program(text(at))) {
            found.extend(said_to_a_reader(command, &words, at));
        } else if enters && !text(at).starts_with('-') {
            found.push(word.clone());
        }
    }
    found.retain(|span| span.start < span.end);
    found.sort_by_key(|span| (span.start, span.end));
    found.dedup_by(|next, before| next.start < before.end);
    found
}

/// Where the value begins of a header that opens something and is joined to its option: `-H'Authorization: Bearer …'`,
/// `--header="Cookie: …"`.
fn header_value(word: &str) -> Option<usize> {
    let rest = word.strip_prefix("--header=").or_else(|| word.strip_prefix("-H"))?;
    let (header, value) = rest.split_once(':')?;
    let name = header.trim_start_matches(['\'', '"', '=', ' ']).trim().to_ascii_lowercase();
    let secret = HEADERS.contains(&name.as_str()) || is_credential(&name);
    secret.then(|| word.len() - value.trim_start().len())
}

/// A program without the folder that it is in.
fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn reads(command: &str, word: &Range<usize>) -> bool {
    command.get(word.clone()).is_some_and(|word| READS_IT.iter().any(|option| word.ends_with(option)))
}

/// What a program says that stands at `at`, where what reads a password comes next in the pipe.
fn said_to_a_reader(command: &str, words: &[Range<usize>], at: usize) -> Vec<Range<usize>> {
    let between = |at: usize| {
        let (end, start) = (words.get(at).map(|w| w.end), words.get(at + 1).map(|w| w.start));
        end.zip(start).and_then(|(end, start)| command.get(end..start)).unwrap_or("|")
    };
    let ends = |at: &usize| between(*at).contains(['|', ';', '&', '>', '<']);
    let last = (at..words.len()).find(ends).unwrap_or(at);
    let piped = between(last).contains('|') && words.iter().skip(last + 1).any(|word| reads(command, word));
    let said = words.get(at + 1..=last).unwrap_or_default().iter().filter(|_| piped);
    let option =
        |word: &&Range<usize>| command.get((*word).clone()).is_some_and(|text| text.starts_with('-'));
    said.filter(|word| !option(word)).cloned().collect()
}

/// Whether `user:password` stands behind an option: also the last of several short ones (`-sSu`).
fn is_user(option: &str) -> bool {
    let several = option.strip_prefix('-').is_some_and(|letters| {
        letters.ends_with(['u', 'U']) && letters.bytes().all(|b| b.is_ascii_alphabetic()) && letters.len() < 6
    });
    several || USERS.contains(&option)
}

/// Where the password begins in `-uuser:password`, or in `user:password@host` without a scheme.
fn joined(word: &str) -> Option<usize> {
    let colon = word.find(':')?;
    let user = word.get(..colon)?;
    let option = word.starts_with("-u") && !word.starts_with("--");
    let address = word.get(colon..).is_some_and(|rest| rest.contains('@')) && !user.contains(['/', '@', ' ']);
    (option || address).then_some(colon + 1)
}

/// The words of a command, without the quotes around them: split at white space outside of quotes, and where a command ends.
fn words(command: &str) -> Vec<Range<usize>> {
    let bytes = command.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        if is_space(byte) || matches!(byte, b'|' | b';' | b'&' | b'(' | b')' | b'<' | b'>') {
            at += 1;
            continue;
        }
        let start = at;
        let mut quote = None;
        while let Some(&byte) = bytes.get(at) {
            match quote {
                Some(open) if byte == open => quote = None,
                Some(_) => {}
                None if matches!(byte, b'\'' | b'"') => quote = Some(byte),
                None if is_space(byte) || matches!(byte, b'|' | b';' | b'&' | b'<' | b'>') => break,
                None => {}
            }
            at += 1;
        }
        let quoted = |from: usize, to: usize| {
            let (first, last) = (bytes.get(from), to.checked_sub(1).and_then(|at| bytes.get(at)));
            to > from + 1 && first == last && first.is_some_and(|b| matches!(b, b'\'' | b'"'))
        };
        found.push(if quoted(start, at) { start + 1..at - 1 } else { start..at });
    }
    found
}
