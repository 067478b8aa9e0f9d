//! One value: as a whole by its checks and its column, then what has unmistakable form anywhere in it, then as a text.

use super::class::Class;
use super::columns::Topic;
use super::shape::{MAX_COMPACT, Shape};
use super::{
    Detector, Hit, TypeHint, address, devices, email, label, money, net, phone, secrets, spoken, told, wallet,
};

/// The longest value that is looked at as one name or number.
const LONGEST_CELL: usize = 200;

/// Whole numbers with fewer digits are keys and counts far more often than what their checks say.
const SURE_INTEGER: u32 = 13;

impl Detector {
    pub(crate) fn cell(&self, value: &str, class: Class, topic: Topic, hint: TypeHint, hits: &mut Vec<Hit>) {
        let trimmed = value.trim();
        let start = value.len() - value.trim_start().len();
        let whole = start..start + trimmed.len();
        let unnamed = topic.is_open();
        // A number without a fraction is a whole one, whatever type it has.
        let hint = if hint == TypeHint::Decimal && !class.dot() { TypeHint::Integer } else { hint };
        if trimmed.is_empty()
            || !fits(topic, hint)
            || unnamed && hint == TypeHint::Integer && class.digits < SURE_INTEGER
        {
            return;
        }
        if trimmed.len() <= LONGEST_CELL
            && let Some((label, score)) = self.whole(trimmed, class, topic)
        {
            // One key of numbers in ten has the check, and one prefix in two is somebody's.
            let key =
                unnamed && hint == TypeHint::Integer && label == label::CARD && !money::is_common(trimmed);
            if key {
                return;
            }
            hits.push(Hit { range: whole, label, score });
            return;
        }
        if trimmed.len() <= LONGEST_CELL
            && let Some(inner) = enclosed(trimmed)
            && let Some((label, score)) = self.whole(inner, Class::of(inner), topic)
        {
            let at = start + trimmed.len() - trimmed.trim_start_matches(ENCLOSING).len();
            hits.push(Hit { range: at..at + inner.len(), label, score });
            return;
        }
        if class.letters == 0
            && class.digits >= 15
            && let Some(card) = before_expiry(trimmed)
            && let Some((label::CARD, score)) = self.whole(card, Class::of(card), topic)
        {
            hits.push(Hit { range: start..start + card.len(), label: label::CARD, score });
            return;
        }
        let first = hits.len();
        self.anywhere(value, class, topic, hits);
        if hits.get(first..).is_some_and(|h| h.iter().any(|h| h.range == whole)) {
            return;
        }
        if hits.len() == first
            && topic != Topic::Unknown
            && !topic.is_ordinary()
            && let Some((label, score)) = told::label_of(topic, trimmed, &self.names)
        {
            hits.push(Hit { range: whole, label, score });
            return;
        }
        if class.text() {
            self.text(value, class, topic, hits);
        } else if class.list() {
            cards(value, hits);
        }
    }

    /// What a whole value is, by its check or its form.
    pub(crate) fn whole(&self, value: &str, class: Class, topic: Topic) -> Option<(&'static str, f32)> {
        // Where the column says so, numbers of states that have the same layout are asked for later.
        let dialled = class.digits >= 6 && class.letters < 10 && !is_date_like(value);
        if topic == Topic::Phone && dialled && phone::is_phone(value, topic) {
            return Some((label::PHONE, 0.9));
        }
        if class.digits >= 2
            && value.len() <= 2 * MAX_COMPACT
            && let Some(found) = self.number(value, topic)
        {
            return Some(found);
        }
        if dialled && phone::is_phone(value, topic) {
            return Some((label::PHONE, 0.9));
        }
        if class.letters > 5 && value.len() >= 26 && !class.space() && wallet::is_wallet(value) {
            return Some((label::WALLET, 0.97));
        }
        if !class.space() || topic.is_ordinary() {
            return None;
        }
        if class.digits == 0 && (class.upper() || class.foreign()) && self.names.is_full(value) {
            return Some((label::PERSON, 0.85));
        }
        if class.digits > 0 && class.letters > 2 && address::is_address(value) {
            return Some((label::ADDRESS, 0.85));
        }
        None
    }

    /// What letters and digits in groups are.
    pub(crate) fn number(&self, value: &str, topic: Topic) -> Option<(&'static str, f32)> {
        let shape = Shape::of(value.as_bytes())?;
        let compact = shape.compact();
        let (letters, figures) = (shape.letters(), shape.digits());
        // An IBAN may have no more digits than its check.
        if letters >= 10 && money::is_iban(compact) {
            return Some((label::IBAN, 0.99));
        }
        if figures < 4 || figures == 4 && compact.starts_with(b"XX") {
            return None;
        }
        if figures >= 12 && money::is_card(&shape, topic) {
            return Some((label::CARD, 0.95));
        }
        if letters >= 2 && money::is_iban(compact) {
            return Some((label::IBAN, 0.99));
        }
        if letters >= 3 && shape.is_bare() && compact.len() == 17 && devices::is_vin(compact) {
            return Some((label::VIN, 0.9));
        }
        if letters == 0 && (19..=20).contains(&figures) && devices::is_iccid(compact) {
            return Some((label::ICCID, 0.85));
        }
        self.ids.find(&shape, topic)
    }

    /// What is unmistakable wherever it stands.
    fn anywhere(&self, value: &str, class: Class, topic: Topic, hits: &mut Vec<Hit>) {
        if class.at() {
            email::find(value, hits);
        }
        if class.signs() && class.letters > 3 && class.digits >= 2 && value.contains('%') {
            email::encoded(value, hits);
            money::track(value, hits);
        }
        if class.colon() && class.len >= 10 {
            net::urls(value, hits);
        }
        if class.colon() && class.len >= 6 || class.dot() && class.len == 14 {
            net::colons(value, hits);
        }
        if class.colon() && class.letters >= 4 && class.len >= 16 {
            spoken::pgpass(value, hits);
        }
        if class.dot() && class.digits >= 4 && class.len >= 7 {
            net::ipv4(value, topic, hits);
        }
        if class.dash() && class.len >= 17 {
            net::mac_dashes(value, hits);
        }
        if class.dash() && class.space() && class.letters >= 10 && value.contains(" -") {
            net::flags(value, hits);
        }
        if class.equals >= net::FEWEST_PAIRS && class.len >= 12 {
            net::pairs(value, hits);
        }
        if class.len >= secrets::SHORTEST && class.letters > 0 {
            self.secrets.find(value, hits);
            if class.dot() && class.len >= 59 && class.upper() {
                secrets::discord(value, hits);
            }
        }
    }
}

/// What stands around a value that is quoted, or alone in a row or a list.
const ENCLOSING: [char; 14] = ['\'', '"', '`', '(', ')', '[', ']', '{', '}', '<', '>', '|', '=', ';'];

/// The value within.
fn enclosed(value: &str) -> Option<&str> {
    let inner = value.trim_matches(ENCLOSING).trim_end_matches(['.', ',', '!', '?', ':']);
    (inner.len() < value.len() && !inner.is_empty()).then_some(inner)
}

/// What stands before a month and a year: `4111 1111 1111 1111 12/27`.
fn before_expiry(value: &str) -> Option<&str> {
    let (card, expiry) = value.rsplit_once([' ', ',', ';', '|'])?;
    let (month, year) = expiry.split_once(['/', '-'])?;
    let month = month.len() == 2 && month.parse::<u8>().is_ok_and(|m| (1..=12).contains(&m));
    (month && matches!(year.len(), 2 | 4) && year.bytes().all(|b| b.is_ascii_digit()))
        .then(|| card.trim_end())
}

/// Cards among numbers without words: of the networks that are common everywhere.
fn cards(value: &str, hits: &mut Vec<Hit>) {
    let bytes = value.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let len = bytes.iter().skip(at).take_while(|b| b.is_ascii_digit()).count();
        let fraction = |i: Option<usize>| i.and_then(|i| bytes.get(i)) == Some(&b'.');
        if let Some(run) = value.get(at..at + len)
            && money::is_common(run)
            && !fraction(at.checked_sub(1))
            && !fraction(Some(at + len))
            && Shape::of(run.as_bytes()).is_some_and(|shape| money::is_card(&shape, Topic::Unknown))
        {
            hits.push(Hit { range: at..at + len, label: label::CARD, score: 0.9 });
        }
        at += len.max(1);
    }
}

/// Type gating: what a type cannot hold is not looked for.
fn fits(topic: Topic, hint: TypeHint) -> bool {
    match hint {
        TypeHint::Date => topic == Topic::Birth,
        TypeHint::Uuid => matches!(topic, Topic::Secret | Topic::Password | Topic::Device),
        TypeHint::Decimal => !topic.is_open(),
        _ => true,
    }
}

/// `2024-01-15 …`, `15.01.2024 …`: a time, not a telephone number.
pub(crate) fn is_date_like(value: &str) -> bool {
    let mut groups =
        value.split(['-', '.', '/', ' ', 'T']).map(|g| (g.len(), g.parse::<u16>().unwrap_or(u16::MAX)));
    let year = |(len, n): (usize, u16)| len == 4 && (1800..=2200).contains(&n);
    let day = |(len, n): (usize, u16)| len <= 2 && (1..=31).contains(&n);
    match (groups.next(), groups.next(), groups.next()) {
        (Some(a), Some(b), Some(c)) => day(b) && (year(a) && day(c) || day(a) && year(c)),
        _ => false,
    }
}
