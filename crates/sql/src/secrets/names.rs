//! Which names stand for credentials, and the quick look whether a text can hold any.

use super::lexer::is_word;
use crate::split::is_space;

/// Parts of names of settings and options that hold credentials.
const PARTS: [&str; 8] = ["passw", "pwd", "secret", "token", "passph", "credential", "apikey", "passcode"];

/// Names with such a part that hold none.
const HARMLESS: [&str; 6] =
    ["password_required", "password_encryption", "password_valid_until", "token_limit", "bypass", "compass"];

/// Whether an option or setting of this name holds a credential: `password`, `aws_secret_access_key`, `sslkey`…
pub(super) fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    (PARTS.iter().any(|part| name.contains(part)) || name.ends_with("key") || name.ends_with("pass"))
        && !HARMLESS.contains(&name.as_str())
}

/// Whether a member of this name of a JSON object holds a credential. Fewer than of settings: a `key` there is one of a pair,
/// and a page's `next_token` opens nothing.
pub(super) fn is_secret_member(name: &str) -> bool {
    let name: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    let contains =
        ["passw", "passphrase", "passcode", "secret", "credential", "apikey", "accesskey", "privatekey"];
    let is = ["pwd", "pass", "token", "authtoken", "accesstoken", "refreshtoken", "bearertoken", "apitoken"];
    (contains.iter().any(|part| name.contains(part)) || is.contains(&name.as_str()))
        && !matches!(
            name.as_str(),
            "secretary" | "passwordrequired" | "passwordencryption" | "passwordvaliduntil"
        )
}

/// Whether a word where an option of a role stands means PASSWORD, perhaps misspelt: `PASSWD`, `PASWORD`, `PWD`.
pub(super) fn means_password(word: &str) -> bool {
    let begins = |with: &str| word.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    ["pas", "pw", "psw"].into_iter().any(begins)
}

/// Which arguments of a function are credentials: bit 0 for the first, and so on.
pub(super) fn secret_arguments(function: &str) -> u8 {
    match function.to_ascii_lowercase().as_str() {
        "crypt" | "create_secret" => 0b001,
        "pgp_sym_encrypt"
        | "pgp_sym_encrypt_bytea"
        | "pgp_sym_decrypt"
        | "pgp_sym_decrypt_bytea"
        | "encrypt"
        | "decrypt"
        | "encrypt_iv"
        | "decrypt_iv"
        | "hmac"
        | "update_secret" => 0b010,
        "pgp_pub_decrypt" | "pgp_pub_decrypt_bytea" => 0b110,
        _ => 0,
    }
}

/// A word by which a text with a secret is told from the many without, and where in it two letters stand that rarely stand
/// together in SQL.
struct Needle {
    word: &'static [u8],
    rare: usize,
}

/// Counts where the name ends with it.
const PASS: &[u8] = b"pass";

/// Count where a role follows: its strings are secret, whatever the word before them.
const CREATE: &[u8] = b"create";
const ALTER: &[u8] = b"alter";

/// Each secret that [`super::mask`] finds stands near one of these.
const NEEDLES: [Needle; 18] = [
    Needle { word: b"passw", rare: 3 },
    Needle { word: b"passph", rare: 3 },
    Needle { word: b"passcode", rare: 3 },
    Needle { word: b"pwd", rare: 0 },
    Needle { word: b"secret", rare: 2 },
    Needle { word: b"token", rare: 1 },
    Needle { word: b"credential", rare: 0 },
    Needle { word: b"key", rare: 0 },
    Needle { word: b"://", rare: 0 },
    Needle { word: b"identified", rare: 5 },
    Needle { word: b"crypt", rare: 2 },
    Needle { word: b"hmac", rare: 0 },
    Needle { word: b"program", rare: 2 },
    Needle { word: b"_command", rare: 3 },
    Needle { word: b"fh_", rare: 0 },
    Needle { word: PASS, rare: 2 },
    Needle { word: CREATE, rare: 0 },
    Needle { word: ALTER, rare: 1 },
];

/// The needles whose rare pair a byte may begin or end, one bit each.
const FIRST: [u32; 256] = letters(0);
const SECOND: [u32; 256] = letters(1);

#[expect(clippy::indexing_slicing, reason = "at compile time")]
const fn letters(offset: usize) -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < NEEDLES.len() {
        let letter = NEEDLES[index].word[NEEDLES[index].rare + offset];
        table[letter as usize] |= 1 << index;
        table[letter.to_ascii_uppercase() as usize] |= 1 << index;
        index += 1;
    }
    table
}

/// Whether the text holds any word near which a secret may stand. Some 50 ns for a short statement.
pub fn may_hold_secret(text: &[u8]) -> bool {
    let mut begun = 0;
    text.iter().enumerate().any(|(at, byte)| {
        let letter = usize::from(*byte);
        let pairs = begun & SECOND.get(letter).copied().unwrap_or_default();
        begun = FIRST.get(letter).copied().unwrap_or_default();
        pairs != 0 && has_needle(text, at - 1, pairs)
    })
}

/// Whether one of the needles stands with its rare pair at `at`.
#[cold]
fn has_needle(text: &[u8], at: usize, needles: u32) -> bool {
    NEEDLES.iter().enumerate().filter(|(index, _)| needles >> index & 1 == 1).any(|(_, needle)| {
        at.checked_sub(needle.rare)
            .and_then(|start| text.get(start..start + needle.word.len()))
            .is_some_and(|found| found.eq_ignore_ascii_case(needle.word))
            && counts(needle.word, text.get(at - needle.rare + needle.word.len()..).unwrap_or_default())
    })
}

/// Whether what follows a needle lets it count.
fn counts(word: &[u8], after: &[u8]) -> bool {
    if word == PASS {
        return !after.first().is_some_and(|next| is_word(*next));
    }
    if word != CREATE && word != ALTER {
        return true;
    }
    let space = after.iter().take_while(|byte| is_space(**byte)).count();
    let next = after.get(space..).unwrap_or_default();
    let begins = |with: &&[u8]| next.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    let roles: [&[u8]; 5] = [b"role", b"user", b"group", b"--", b"/*"];
    roles.iter().any(begins)
}
