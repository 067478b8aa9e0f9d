//! Refused admissions: the first few of an address are entries of their own, further ones are counted, and each sum is an
//! entry. Who need not know any secret could fill the log otherwise.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use firsthand_model::time::MonoMicros;

/// How long refusals are summed up: soon enough for who watches, and an address that floods for a day makes 1,440 sums.
const WINDOW_US: u64 = 60_000_000;
/// Refusals of one address within one window that are entries of their own: more than a person's mistakes, and enough to
/// see what a flood is after.
const ENTRIES_MAX: u32 = 16;
/// Addresses told apart within one window: bounds memory, and what a flood from everywhere can write. The others share
/// one sum.
const ADDRESSES_MAX: usize = 128;

/// Where a client comes from, as limits count it: an IPv6 network of 64 bits is one place, because whoever has one has all
/// its addresses. `None`: no address that could be read.
pub(crate) fn place(address: &str) -> Option<IpAddr> {
    let ip = address.parse::<SocketAddr>().map(|a| a.ip()).or_else(|_| address.parse()).ok()?;
    Some(match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    })
}

/// Whose refusals are summed up together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    /// A proof failed.
    identity: bool,
    from: From,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum From {
    One(Option<IpAddr>),
    Others,
}

#[derive(Debug, Default)]
struct Window {
    since: MonoMicros,
    /// Entries of their own.
    told: u32,
    /// The others, by why.
    counted: BTreeMap<&'static str, u64>,
}

/// Refusals that were counted only, to be told as one entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    /// A proof failed.
    pub(crate) identity: bool,
    /// Where from; empty: from many places.
    pub(crate) address: String,
    /// How many.
    pub(crate) count: u64,
    /// In words.
    pub(crate) words: String,
}

/// What has been refused lately.
#[derive(Debug, Default)]
pub struct Refused {
    windows: BTreeMap<Group, Window>,
}

impl Refused {
    /// Somebody at `address` was refused. True when that is to be an entry; it is counted otherwise. `quiet`: it is
    /// nothing new, and counted in any case.
    pub(crate) fn note(
        &mut self,
        identity: bool,
        why: &'static str,
        address: &str,
        quiet: bool,
        now: MonoMicros,
    ) -> bool {
        let mut group = Group { identity, from: From::One(place(address)) };
        if self.windows.len() >= ADDRESSES_MAX && !self.windows.contains_key(&group) {
            group.from = From::Others;
        }
        let window = self.windows.entry(group).or_insert(Window { since: now, ..Window::default() });
        if window.counted.is_empty() && now.since(window.since) >= WINDOW_US {
            *window = Window { since: now, ..Window::default() };
        }
        if !quiet && group.from != From::Others && window.told < ENTRIES_MAX {
            window.told += 1;
            return true;
        }
        let count = window.counted.entry(why).or_default();
        *count = count.saturating_add(1);
        false
    }

    /// The sums that are due: of windows that are over, or of `all`.
    pub(crate) fn take_due(&mut self, all: bool, now: MonoMicros) -> Vec<Sum> {
        let due = self.windows.extract_if(.., |_, window| all || now.since(window.since) >= WINDOW_US);
        due.filter_map(|(group, window)| window.sum(group, now)).collect()
    }
}

impl Window {
    fn sum(&self, group: Group, now: MonoMicros) -> Option<Sum> {
        let count = self.counted.values().fold(0, |all: u64, n| all.saturating_add(*n));
        if count == 0 {
            return None;
        }
        let seconds = now.since(self.since).div_ceil(1_000_000);
        let (address, from) = match group.from {
            From::One(Some(ip @ IpAddr::V4(_))) => (ip.to_string(), "this address"),
            From::One(Some(ip @ IpAddr::V6(_))) => (format!("{ip}/64"), "this network"),
            From::One(None) => (String::new(), "an unknown address"),
            From::Others => (String::new(), "further addresses"),
        };
        let mut words = format!("{count} more were refused from {from} within {seconds} s:");
        for (why, count) in &self.counted {
            let _ = write!(words, " {why} ({count}),");
        }
        words.pop();
        Some(Sum { identity: group.identity, address, count, words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_flood_of_one_address_is_a_few_entries_and_a_sum() {
        let mut refused = Refused::default();
        let told = (0..1_000)
            .filter(|n| refused.note(true, "unknown", &format!("10.0.0.1:{n}"), n % 10 == 0, MonoMicros(*n)))
            .count();
        assert_eq!(told, ENTRIES_MAX as usize);
        assert!(
            refused.note(true, "proof", "10.0.0.2:9", false, MonoMicros(1_000)),
            "another address is another window"
        );
        assert!(
            refused.note(false, "limit", "10.0.0.1:9", false, MonoMicros(1_000)),
            "and so is another kind"
        );
        assert_eq!(refused.take_due(false, MonoMicros(WINDOW_US - 1)), []);
        let sums = refused.take_due(false, MonoMicros(WINDOW_US + SECOND));
        let words = "984 more were refused from this address within 61 s: unknown (984)".to_owned();
        assert_eq!(sums, [Sum { identity: true, address: "10.0.0.1".to_owned(), count: 984, words }]);
        assert!(refused.windows.is_empty(), "what is over is forgotten");
        assert!(
            refused.note(true, "proof", "10.0.0.1:9", false, MonoMicros(2 * WINDOW_US)),
            "the next window begins anew"
        );
        assert_eq!(refused.take_due(true, MonoMicros(3 * WINDOW_US)), [], "and had nothing to sum up");
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded_and_none_is_forgotten() {
        let mut refused = Refused::default();
        let (mut told, mut count) = (0, 0);
        for n in 0..50_000u32 {
            let address = SocketAddr::from((n.wrapping_mul(2_654_435_761).to_be_bytes(), 5432)).to_string();
            told += u64::from(refused.note(n % 2 == 0, "proof", &address, false, MonoMicros(0)));
            assert!(refused.windows.len() <= ADDRESSES_MAX + 2);
        }
        for sum in refused.take_due(true, MonoMicros(SECOND)) {
            assert!(sum.address.is_empty() && sum.words.contains("further addresses within 1 s"), "{sum:?}");
            count += sum.count;
        }
        assert_eq!(told + count, 50_000);
        assert!(told <= ADDRESSES_MAX as u64, "{told}");
    }

    #[test]
    fn a_network_of_ipv6_is_one_place() {
        assert_eq!(place("[2001:db8:1:2:aaaa::1]:99"), place("2001:db8:1:2:bbbb::2"));
        assert_ne!(place("[2001:db8:1:2::1]:99"), place("[2001:db8:1:3::1]:99"));
        assert_eq!(place("[::ffff:10.0.0.1]:99"), place("10.0.0.1:7"));
        assert_eq!(place("nowhere"), None);
    }
}
