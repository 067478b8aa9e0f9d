//! What a column's name says of its values: a topic, or that they are ordinary.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::numbered::NUMBERED;
use super::words::{FOREIGN, LONE_STOPS, OWNERS, PHRASES, PROSE, QUALIFIERS, STOPS, VERSIONED, WORDED};

/// What a column's name, a JSON key or the words before a value say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Nothing.
    Unknown,
    /// Ordinary values: a count, a flag, a key, a time, a hash. Only what proves itself is found there.
    Ordinary,
    /// Ordinary words: a status, a source, a title. No names are looked for there.
    Worded,
    /// Versions: as ordinary, and four numbers with dots are no address.
    Version,
    /// E-mail addresses.
    Email,
    /// Telephone numbers.
    Phone,
    /// Card numbers.
    Card,
    /// Card verification codes and PINs.
    CardCode,
    /// IBANs.
    Iban,
    /// BICs.
    Bic,
    /// Bank account numbers.
    Account,
    /// Numbers by which a state knows a person.
    NationalId(Kinds),
    /// Tax numbers.
    TaxId(Kinds),
    /// Passports.
    Passport,
    /// Driving licences.
    Licence,
    /// Dates of birth.
    Birth,
    /// Names of persons, whole or in part.
    Person,
    /// `name`: a person's or a thing's, the value decides.
    Name,
    /// Somebody with a part to play, an author or a manager: a person, unless the value says that it is a group or a firm.
    Party,
    /// Street addresses.
    Address,
    /// Postcodes.
    Postcode,
    /// Latitudes and longitudes.
    Geo,
    /// Passwords.
    Password,
    /// Secrets, keys, tokens.
    Secret,
    /// IP addresses.
    Ip,
    /// MAC addresses.
    Mac,
    /// Numbers of devices and SIM cards.
    Device,
    /// Vehicle identification numbers.
    Vin,
    /// Licence plates.
    Plate,
    /// Addresses of crypto currencies.
    Wallet,
    /// Numbers of patients and insured persons.
    Health(Kinds),
}

/// The labels of the numbers that a name speaks of (`hetu`, `oib`), those that it means first; none where it does not say.
/// Topics that differ in no more than this are one.
#[derive(Clone, Copy, Debug, Eq)]
pub struct Kinds(pub(crate) &'static [&'static str]);

impl PartialEq for Kinds {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::hash::Hash for Kinds {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// The most words of a name that are looked at; identifiers of PostgreSQL have 63 bytes.
const MAX_WORDS: usize = 16;
/// The most bytes of a name that are looked at, for the same reason (and JSON keys are seldom longer).
const MAX_NAME: usize = 96;

/// Functions after which PostgreSQL names a column, and which hand on what they are given: their names tell nothing of it,
/// though words in them do elsewhere (`build`, `path`, `quote`, `max`).
const HANDING_ON: [&str; 23] = [
    "max",
    "min",
    "mode",
    "quote_literal",
    "quote_nullable",
    "quote_ident",
    "host",
    "json_build_array",
    "jsonb_build_array",
    "json_build_object",
    "jsonb_build_object",
    "json_extract_path",
    "jsonb_extract_path",
    "jsonb_delete_path",
    "jsonb_path_query",
    "jsonb_path_query_tz",
    "jsonb_path_query_array",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first",
    "jsonb_path_query_first_tz",
    "ts_headline",
    "ts_debug",
    "ts_parse",
];

impl Topic {
    /// What a column of this name holds.
    pub fn of_column(name: &str) -> Self {
        if HANDING_ON.contains(&name) {
            return Self::Unknown;
        }
        match Words::of(name).topic() {
            Self::Unknown if !name.is_ascii() => foreign(name),
            topic => topic,
        }
    }

    /// The numbers that the name speaks of.
    pub(crate) fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::NationalId(kinds) | Self::TaxId(kinds) | Self::Health(kinds) => kinds.0,
            _ => &[],
        }
    }

    /// Whether the name says that values are ordinary.
    pub(crate) fn is_ordinary(self) -> bool {
        matches!(self, Self::Ordinary | Self::Worded | Self::Version)
    }

    /// Whether a key of this topic stands for values of a column of the other: persons are called `name`, `author` and more.
    pub(crate) fn stands_for(self, column: Self) -> bool {
        self == column || (column == Self::Person && matches!(self, Self::Name | Self::Party))
    }

    /// Whether what is found under such a name has the form of it, too: then a text that is only made with such values (a
    /// word chosen by one) is not taken for one.
    pub(crate) fn is_of_form(self) -> bool {
        matches!(
            self,
            Self::Email
                | Self::Phone
                | Self::Card
                | Self::Iban
                | Self::Account
                | Self::NationalId(_)
                | Self::TaxId(_)
                | Self::Health(_)
                | Self::Ip
                | Self::Mac
                | Self::Device
                | Self::Vin
                | Self::Wallet
        )
    }

    /// Whether the name says that values are numbers of another kind than telephones have.
    pub(crate) fn is_of_number(self) -> bool {
        matches!(
            self,
            Self::Card
                | Self::CardCode
                | Self::Iban
                | Self::Account
                | Self::NationalId(_)
                | Self::TaxId(_)
                | Self::Passport
                | Self::Licence
                | Self::Health(_)
                | Self::Birth
                | Self::Postcode
                | Self::Device
                | Self::Vin
                | Self::Plate
        )
    }

    /// Whether the name leaves it open what its values are.
    pub(crate) fn is_open(self) -> bool {
        self.is_ordinary() || matches!(self, Self::Unknown | Self::Name | Self::Party)
    }
}

/// A name as lower-case words with one space before, between and after.
struct Words {
    text: [u8; 2 * MAX_NAME],
    len: usize,
    count: usize,
}

impl Words {
    /// Splits at what is no letter or digit, at `camelCase` and between letters and digits.
    fn of(name: &str) -> Self {
        let mut words = Self { text: [0; 2 * MAX_NAME], len: 0, count: 0 };
        words.push(b' ');
        let mut last = ' ';
        let mut chars = name.char_indices().take_while(|(at, _)| *at < MAX_NAME).map(|(_, c)| c).peekable();
        while let Some(c) = chars.next() {
            let starts = c.is_uppercase()
                && (last.is_lowercase()
                    || last.is_uppercase() && chars.peek().is_some_and(|n| n.is_lowercase()))
                || c.is_ascii_digit() != last.is_ascii_digit();
            if !c.is_alphanumeric() {
                words.end();
            } else {
                if starts {
                    words.end();
                }
                for lower in plain(c) {
                    words.push(lower);
                }
            }
            last = c;
        }
        words.end();
        words
    }

    fn push(&mut self, b: u8) {
        if let Some(place) = self.text.get_mut(self.len)
            && self.count < MAX_WORDS
        {
            *place = b;
            self.len += 1;
        }
    }

    fn end(&mut self) {
        if self.bytes().last() != Some(&b' ') {
            self.push(b' ');
            self.count += 1;
        }
    }

    fn bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }

    /// The phrase that ends last wins, the longest of those; an ordinary word behind it makes it ordinary.
    fn topic(&self) -> Topic {
        let text = std::str::from_utf8(self.bytes()).unwrap_or_default();
        // `has_address`, `is_phone_verified`: a flag.
        if text.starts_with(" has ") || text.starts_with(" is ") {
            return Topic::Ordinary;
        }
        let Some(said) = Said::of(text) else {
            let topic = joined(text).unwrap_or_else(|| lone(text));
            return ordinary(text, Topic::Unknown).unwrap_or(topic);
        };
        let rest = text.get(said.end..).unwrap_or_default();
        if let Some(ordinary) = ordinary(rest, said.topic) {
            return ordinary;
        }
        // `name_en` is what a thing is called in English.
        if said.topic == Topic::Name && LANGUAGES.contains(&rest.trim()) {
            return Topic::Worded;
        }
        let before = text.get(..said.end - said.len).unwrap_or_default();
        let a_things = |words: &str| has_any(words, &TABLES.qualifiers) || has_any(words, &TABLES.stops);
        match said.topic {
            Topic::Name => self.name(text),
            // Whoever has done it to whatever.
            Topic::Party if text.get(..said.end).is_some_and(|t| t.ends_with(" by")) => Topic::Party,
            Topic::Party if a_things(before) => Topic::Ordinary,
            other => other,
        }
    }

    /// `name` alone may be a person's; `product name` is not.
    fn name(&self, text: &str) -> Topic {
        if has_any(text, &TABLES.qualifiers) || has_any(text, &TABLES.stops) {
            Topic::Ordinary
        } else {
            Topic::Name
        }
    }
}

/// What the words of a name say: the topic of a phrase, where that ends, and its length.
#[derive(Clone, Copy)]
struct Said {
    end: usize,
    len: usize,
    topic: Topic,
}

impl Said {
    fn of(text: &str) -> Option<Self> {
        let (mut best, mut formed): (Option<Self>, Option<Self>) = (None, None);
        for (end, _) in text.match_indices(' ').skip(1) {
            let Some(before) = text.get(..end) else { continue };
            let Some(ending) = before.rsplit(' ').next().and_then(|w| TABLES.endings.get(w)) else {
                continue;
            };
            for (phrase, topic) in ending {
                let said = Self { end, len: phrase.len(), topic: *topic };
                let whole = before.strip_suffix(phrase).is_some_and(|b| b.ends_with(' '));
                if whole && best.is_none_or(|b| (end, phrase.len()) > (b.end, b.len)) {
                    best = Some(said);
                    formed = if topic.is_of_form() { best } else { formed };
                }
            }
        }
        let somebodys = best.is_some_and(|b| {
            let last = text.get(..b.end).and_then(|t| t.rsplit(' ').next()).unwrap_or_default();
            matches!(b.topic, Topic::Name | Topic::Party) && !NAMING.contains(&last)
        });
        // `nif_cliente` is a number of the customer's, and not the customer.
        if somebodys { formed.or(best) } else { best }
    }
}

/// Words that make a name of whatever stands before them.
const NAMING: [&str; 12] =
    ["name", "names", "navn", "namn", "nimi", "nama", "nume", "ime", "full", "nom", "nombre", "by"];

/// Languages in which things are called, behind `name`.
const LANGUAGES: [&str; 24] = [
    "en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "zh", "ja", "ko", "ar", "sv", "da", "fi", "no",
    "nb", "cs", "hu", "tr", "uk", "ro", "el",
];

/// What the stops among words say, if there are any: behind a topic they make it ordinary.
fn ordinary(words: &str, behind: Topic) -> Option<Topic> {
    // In Romance languages whose it is stands behind what it is: `cnpj_empresa`.
    let owner =
        |w: &str| behind.is_of_form() && matches!(w, "empresa" | "societe" | "entreprise" | "azienda");
    let stops = || words.split(' ').filter(|w| TABLES.stops.contains(w) && !owner(w));
    let worded = |w: &str| TABLES.worded.contains(w);
    let last = words.trim_end().rsplit(' ').next().unwrap_or_default();
    stops().next()?;
    if stops().any(|w| TABLES.versioned.contains(w)) {
        return Some(Topic::Version);
    }
    if behind != Topic::Unknown {
        return Some(Topic::Ordinary);
    }
    // `order value` is a price, `item value` anything.
    let open = !last.starts_with("val") || stops().all(|w| worded(w) || w == "item");
    if TABLES.prose.contains(last) && open {
        return Some(Topic::Unknown);
    }
    Some(if stops().all(worded) { Topic::Worded } else { Topic::Ordinary })
}

/// What a name says of which no phrase says anything.
fn lone(words: &str) -> Topic {
    if has_any(words, &TABLES.lone_stops) { Topic::Ordinary } else { Topic::Unknown }
}

/// The topic of a name whose words are written without a border: `phonenumber`, `customeremail`.
fn joined(words: &str) -> Option<Topic> {
    let mut letters = words.split(' ').filter(|w| w.bytes().any(|b| b.is_ascii_alphabetic()));
    let word = letters.next()?;
    // A login is no name.
    if letters.next().is_some() || word == "username" {
        return None;
    }
    let found = |w: &str| TABLES.joined.get(w).copied();
    found(word).or_else(|| {
        let rest = OWNERS.iter().find_map(|o| word.strip_prefix(o)).filter(|r| r.len() >= 3)?;
        found(rest)
    })
}

/// What a name in another script says.
fn foreign(name: &str) -> Topic {
    // One sign is a name only where it is all of it: it stands in many words.
    if matches!(name, "姓" | "名" | "氏" | "성") {
        return Topic::Person;
    }
    let lower = name.to_lowercase().replace('_', " ");
    FOREIGN.iter().find(|(word, _)| lower.contains(word)).map_or(Topic::Unknown, |(_, topic)| *topic)
}

/// The letter without its accent, as far as names of columns need it; what stays foreign is kept as a `?`, which no
/// phrase holds.
fn plain(c: char) -> impl Iterator<Item = u8> {
    let lower = c.to_lowercase().next().unwrap_or(c);
    let (first, second) = match lower {
        'a'..='z' | '0'..='9' => (u8::try_from(lower).unwrap_or(b'?'), None),
        'á' | 'à' | 'â' | 'ã' | 'å' | 'ą' => (b'a', None),
        'ä' | 'æ' => (b'a', Some(b'e')),
        'é' | 'è' | 'ê' | 'ë' | 'ę' | 'ě' => (b'e', None),
        'í' | 'ì' | 'î' | 'ï' | 'ı' => (b'i', None),
        'ó' | 'ò' | 'ô' | 'õ' | 'ø' => (b'o', None),
        'ö' => (b'o', Some(b'e')),
        'ú' | 'ù' | 'û' | 'ů' => (b'u', None),
        'ü' => (b'u', Some(b'e')),
        'ç' | 'ć' | 'č' => (b'c', None),
        'ñ' | 'ń' => (b'n', None),
        'ł' => (b'l', None),
        'ş' | 'ś' | 'š' => (b's', None),
        'ß' => (b's', Some(b's')),
        'ž' | 'ź' | 'ż' => (b'z', None),
        'ř' => (b'r', None),
        'ğ' => (b'g', None),
        _ => (b'?', None),
    };
    std::iter::once(first).chain(second)
}

fn has_any(text: &str, words: &HashSet<&str>) -> bool {
    text.split(' ').any(|w| words.contains(w))
}

/// The words, made ready to be looked up: built once, never changed.
struct Tables {
    /// Phrases by their last word.
    endings: HashMap<&'static str, Vec<(&'static str, Topic)>>,
    /// Phrases without the spaces between their words.
    joined: HashMap<String, Topic>,
    stops: HashSet<&'static str>,
    lone_stops: HashSet<&'static str>,
    worded: HashSet<&'static str>,
    versioned: HashSet<&'static str>,
    prose: HashSet<&'static str>,
    qualifiers: HashSet<&'static str>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut endings: HashMap<_, Vec<_>> = HashMap::new();
    let mut joined = HashMap::new();
    for (topic, phrases) in NUMBERED.iter().chain(PHRASES) {
        for phrase in phrases.split(", ") {
            let last = phrase.rsplit(' ').next().unwrap_or(phrase);
            endings.entry(last).or_default().push((phrase, *topic));
            joined.entry(phrase.replace(' ', "")).or_insert(*topic);
        }
    }
    let words = |text: &'static str| text.split_ascii_whitespace().collect();
    Tables {
        endings,
        joined,
        stops: words(STOPS),
        lone_stops: words(LONE_STOPS),
        worded: words(WORDED),
        versioned: words(VERSIONED),
        prose: words(PROSE),
        qualifiers: words(QUALIFIERS),
    }
});

#[cfg(test)]
mod tests {
    use super::{Kinds, Topic};

    #[test]
    fn names_of_columns() {
        let table = [
            ("email", Topic::Email),
            ("userEmailAddress", Topic::Email),
            ("email_verified", Topic::Ordinary),
            ("email_count", Topic::Ordinary),
            ("phone_id", Topic::Ordinary),
            ("tax_id", Topic::TaxId(Kinds(&[]))),
            ("national_id", Topic::NationalId(Kinds(&[]))),
            ("SSN", Topic::NationalId(Kinds(&[]))),
            ("ip_address", Topic::Ip),
            ("mac_address", Topic::Mac),
            ("address", Topic::Address),
            ("address_line_2", Topic::Address),
            ("first_name", Topic::Person),
            ("LastName", Topic::Person),
            ("customer_name", Topic::Person),
            ("product_name", Topic::Ordinary),
            ("file_name", Topic::Ordinary),
            ("name", Topic::Name),
            ("Straße", Topic::Address),
            ("date_of_birth", Topic::Birth),
            ("birth_date", Topic::Birth),
            ("created_at", Topic::Ordinary),
            ("order_id", Topic::Ordinary),
            ("api_key", Topic::Secret),
            ("token_count", Topic::Ordinary),
            ("password_hash", Topic::Password),
            ("notes", Topic::Unknown),
            ("c7", Topic::Unknown),
            ("display_name", Topic::Party),
            ("product_display_name", Topic::Ordinary),
            ("has_address", Topic::Ordinary),
            ("ticket_body", Topic::Unknown),
            ("item_value", Topic::Unknown),
            ("order_value", Topic::Ordinary),
            ("status", Topic::Worded),
            ("email_status", Topic::Ordinary),
            ("app_version", Topic::Version),
            ("customeremail", Topic::Email),
            ("phonenumber", Topic::Phone),
            ("username", Topic::Unknown),
            ("nombre_producto", Topic::Ordinary),
            ("电话号码", Topic::Phone),
            ("Дата рождения", Topic::Birth),
            ("lat_error", Topic::Ordinary),
            ("max_tokens", Topic::Ordinary),
            ("part_number", Topic::Ordinary),
            ("postal_code", Topic::Postcode),
            ("姓", Topic::Person),
        ];
        for (name, topic) in table {
            assert_eq!(Topic::of_column(name), topic, "{name}");
        }
    }

    /// What a name speaks of is no part of what makes two topics the same: so it is asked for by itself.
    #[test]
    fn names_of_columns_speak_of_kinds() {
        let table: [(&str, &[&str]); 6] = [
            ("emp_ssn", &["us_ssn", "us_itin"]),
            ("national_id", &[]),
            ("Steuer-ID", &["de_tax_id"]),
            ("nif_cliente", &["es_dni", "es_nie", "es_cif", "pt_nif"]),
            ("ЕГН", &["bg_egn"]),
            ("unique_taxpayer_reference", &["uk_utr"]),
        ];
        for (name, kinds) in table {
            assert_eq!(Topic::of_column(name).kinds(), kinds, "{name}");
        }
        let known = crate::detect::labels();
        for kind in crate::detect::numbered::NUMBERED.iter().flat_map(|(topic, _)| topic.kinds()) {
            assert!(known.contains(kind), "{kind}");
        }
    }
}
