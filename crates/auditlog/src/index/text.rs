//! Which texts may stand in the payloads of a segment: one bit for each run of four bytes, and of six digits, that does.
//!
//! A text can only be there if all its runs are. Letters count as small. Digits have longer runs as well, because a
//! segment with many numbers soon has all those of four. Building must cost the writer's thread next to
//! nothing, so only what differs from a similar payload seen before is looked at: applications repeat themselves.

/// Bits of a filter: 128 KiB, 0.4 % of a segment, and seldom half full even for prose.
const BITS: usize = 1 << 20;
/// Smallest filter that a small segment's is folded to, in bytes.
const BYTES_MIN: usize = 4 << 10;
/// A filter is folded until it is at most this part of its segment.
const SHARE: u64 = 128;
/// Similar payloads remembered.
const RECENT: usize = 64;
/// Longest payload remembered for comparison; the long ones are rarely alike.
const RECENT_BYTES: usize = 4 << 10;
/// Bytes of a run.
const RUN: usize = 4;
/// Bytes of a run of digits.
const DIGITS: usize = 6;
/// One more than the largest number of so many digits. Below any four bytes of text.
const NUMBERS: u32 = 1_000_000;

/// A filter being filled.
#[derive(Debug)]
pub(crate) struct TextBuilder {
    bits: Vec<u64>,
    recent: Vec<Vec<u8>>,
}

impl TextBuilder {
    pub(crate) fn new() -> Self {
        Self { bits: vec![0; BITS / 64], recent: vec![Vec::new(); RECENT] }
    }

    /// Notes what stands in a payload.
    pub(crate) fn add(&mut self, payload: &[u8]) {
        let slot = slot_of(payload);
        let Some(before) = self.recent.get_mut(slot) else { return };
        let same_start = common_start(payload, before);
        if same_start == payload.len() {
            return;
        }
        let rest = (payload.len().min(before.len())) - same_start.min(before.len());
        let same_end = common_end(payload, before).min(rest);
        let from = same_start.saturating_sub(DIGITS - 1);
        let to = (payload.len() - same_end + DIGITS - 1).min(payload.len());
        note(&mut self.bits, payload.get(from..to).unwrap_or_default());
        before.clear();
        before.extend_from_slice(payload.get(..RECENT_BYTES).unwrap_or(payload));
    }

    /// The finished filter of a segment of this many bytes.
    pub(crate) fn finish(mut self, segment_bytes: u64) -> TextFilter {
        let most = usize::try_from(segment_bytes / SHARE).unwrap_or(usize::MAX).max(BYTES_MIN) / 8;
        while self.bits.len() > most && self.bits.len().is_multiple_of(2) {
            let upper = self.bits.split_off(self.bits.len() / 2);
            self.bits.iter_mut().zip(upper).for_each(|(low, high)| *low |= high);
        }
        TextFilter { bits: self.bits }
    }
}

/// How many bytes are the same from the first on. Eight at a time: this looks at every payload whole.
fn common_start(a: &[u8], b: &[u8]) -> usize {
    let (words_a, words_b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    let same = 8 * words_a.iter().zip(words_b).take_while(|(a, b)| a == b).count();
    let rest = a.iter().skip(same).zip(b.iter().skip(same));
    same + rest.take_while(|(a, b)| a == b).count()
}

/// How many bytes are the same from the last on.
fn common_end(a: &[u8], b: &[u8]) -> usize {
    let (words_a, words_b) = (a.as_rchunks::<8>().1, b.as_rchunks::<8>().1);
    let same = 8 * words_a.iter().rev().zip(words_b.iter().rev()).take_while(|(a, b)| a == b).count();
    let rest = a.iter().rev().skip(same).zip(b.iter().rev().skip(same));
    same + rest.take_while(|(a, b)| a == b).count()
}

/// Payloads that begin alike and are about as long are probably alike.
fn slot_of(payload: &[u8]) -> usize {
    let mut hash = (payload.len() / 8) as u64;
    for chunk in payload.get(..48.min(payload.len())).unwrap_or_default().chunks(8) {
        let mut word = [0; 8];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    (hash >> 58) as usize % RECENT
}

fn note(bits: &mut [u64], bytes: &[u8]) {
    let mask = bits.len() * 64 - 1;
    let mut set = |run: u32| {
        let bit = bit_of(run) & mask;
        // Nearly all are set after a while, and what is not written again need not be waited for.
        if let Some(word) = bits.get_mut(bit / 64)
            && *word >> (bit % 64) & 1 == 0
        {
            *word |= 1 << (bit % 64);
        }
    };
    let mut run = 0u32;
    let mut number = Number::default();
    for (i, byte) in bytes.iter().enumerate() {
        run = run << 8 | u32::from(byte.to_ascii_lowercase());
        if i + 1 >= RUN {
            set(run);
        }
        if let Some(digits) = number.after(*byte) {
            set(digits);
        }
    }
}

/// The digits that came last.
#[derive(Default)]
struct Number {
    value: u32,
    digits: usize,
}

impl Number {
    /// The run of digits that ends with this byte, if one does.
    fn after(&mut self, byte: u8) -> Option<u32> {
        if !byte.is_ascii_digit() {
            self.digits = 0;
            return None;
        }
        self.value = (self.value * 10 + u32::from(byte - b'0')) % NUMBERS;
        self.digits += 1;
        (self.digits >= DIGITS).then_some(self.value)
    }
}

/// Spreads runs over the bits (Knuth's multiplicative hash).
fn bit_of(run: u32) -> usize {
    (run.wrapping_mul(2_654_435_761) >> 12) as usize
}

/// A finished filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFilter {
    bits: Vec<u64>,
}

impl TextFilter {
    /// Whether `text`, as JSON writes it and in small letters, may stand in a payload of the segment. Texts without a run
    /// of four plain characters always may.
    #[must_use]
    pub fn may_hold(&self, text: &[u8]) -> bool {
        let mask = (self.bits.len() * 64).saturating_sub(1);
        let holds = |run: u32| {
            let bit = bit_of(run) & mask;
            self.bits.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
        };
        let mut number = Number::default();
        text.iter().filter_map(|byte| number.after(*byte)).all(holds)
            && text.windows(RUN).filter(|run| run.is_ascii()).all(|run| {
                holds(run.iter().fold(0u32, |run, byte| run << 8 | u32::from(byte.to_ascii_lowercase())))
            })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.bits.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }

    /// Reads what [`TextFilter::write`] wrote. `None` when it has another length than a filter can have.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || !words.len().is_power_of_two() || words.len() > BITS / 64 {
            return None;
        }
        Some(Self { bits: words.iter().map(|word| u64::from_le_bytes(*word)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_of_every_payload_may_be_there_and_others_are_not() {
        let mut builder = TextBuilder::new();
        let payloads: Vec<String> = (0..500)
            .map(|i| {
                format!(
                    r#"{{"text":"SELECT abalance FROM accounts{} WHERE aid = {}","x":[{}]}}"#,
                    i % 3,
                    i * 7919,
                    i
                )
            })
            .collect();
        payloads.iter().for_each(|p| builder.add(p.as_bytes()));
        let filter = builder.finish(1 << 30);
        for payload in &payloads {
            for window in payload.as_bytes().windows(9) {
                assert!(filter.may_hold(&window.to_ascii_uppercase()));
            }
        }
        for absent in ["zebrafish", "payments", "delete from"] {
            assert!(!filter.may_hold(absent.as_bytes()), "{absent}");
        }
        assert!(filter.may_hold(b"zeb") && filter.may_hold("äöü".as_bytes()));
        let mut bytes = Vec::new();
        filter.write(&mut bytes);
        assert_eq!(TextFilter::read(&bytes).as_ref(), Some(&filter));
        assert_eq!(TextFilter::read(&bytes[1..]), None);
    }

    #[test]
    fn a_rare_number_is_not_hidden_by_many_others() {
        let mut builder = TextBuilder::new();
        let mut at = 1u64;
        let mut numbers = Vec::new();
        for _ in 0..60_000 {
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = 10_000_000 + (at >> 33) % 90_000_000;
            builder.add(
                format!(r#"{{"text":"SELECT abalance FROM accounts WHERE aid = {number}"}}"#).as_bytes(),
            );
            numbers.push(number);
        }
        let filter = builder.finish(1 << 30);
        assert!(numbers.iter().all(|n| filter.may_hold(n.to_string().as_bytes())));
        assert!(numbers.iter().all(|n| filter.may_hold(&n.to_string().as_bytes()[1..])), "a part of it");
        let absent = (10_000_000..99_000_000).step_by(9_973).filter(|n| !numbers.contains(n));
        let (mut told, mut all) = (0, 0);
        for number in absent {
            all += 1;
            told += usize::from(filter.may_hold(number.to_string().as_bytes()));
        }
        assert!(told * 20 < all, "{told} of {all} numbers that are not there may be");
    }

    #[test]
    fn a_folded_filter_forgets_nothing() {
        let mut builder = TextBuilder::new();
        builder.add(b"drop table payments");
        let filter = builder.finish(1 << 16);
        let mut bytes = Vec::new();
        filter.write(&mut bytes);
        assert_eq!(bytes.len(), BYTES_MIN);
        assert!(filter.may_hold(b"payments") && !filter.may_hold(b"customers"));
    }

    #[test]
    fn repetitions_with_any_change_are_seen() {
        let base = b"aaaa bbbb cccc dddd eeee ffff gggg hhhh".to_vec();
        for at in 0..base.len() {
            let mut builder = TextBuilder::new();
            builder.add(&base);
            let mut changed = base.clone();
            changed[at] = b'!';
            builder.add(&changed);
            builder.add(&changed[..at]);
            let filter = builder.finish(1 << 30);
            for window in changed.windows(7) {
                assert!(filter.may_hold(window), "{at}");
            }
        }
    }
}
