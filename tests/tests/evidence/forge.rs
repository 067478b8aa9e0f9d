//! Bundles changed by somebody who knows their form, and writes the digests anew.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firsthand_auditlog::bundle::{SUMS, Sum, sums, ustar};

/// Numbers that a seed decides (splitmix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// A bundle's members, in their order.
#[derive(Clone)]
pub(crate) struct Bundle {
    members: Vec<(String, Vec<u8>)>,
    time: u64,
}

impl Bundle {
    pub(crate) fn read(tar: &[u8]) -> Self {
        let (mut at, mut members, mut time) = (0, Vec::new(), 0);
        loop {
            let block: [u8; ustar::BLOCK] = tar[at..at + ustar::BLOCK].try_into().unwrap();
            let Some((name, size)) = ustar::read(&block) else { break };
            time = u64::from_str_radix(std::str::from_utf8(&block[136..147]).unwrap(), 8).unwrap();
            at += ustar::BLOCK;
            let end = at + usize::try_from(size).unwrap();
            members.push((name, tar[at..end].to_vec()));
            at = end + ustar::padding(size);
        }
        Self { members, time }
    }

    /// As a tar, with the digests of what is in it.
    pub(crate) fn pack(&self) -> Vec<u8> {
        let mut all: BTreeMap<&str, String> = BTreeMap::new();
        for (name, bytes) in self.members.iter().filter(|(name, _)| name != SUMS) {
            let mut sum = Sum::default();
            sum.add(bytes);
            all.insert(name, sum.text());
        }
        let text = sums(all.iter().map(|(name, sum)| (*name, sum.as_str())));
        let members = self.members.iter().map(|(name, bytes)| {
            (name.as_str(), if name == SUMS { text.as_bytes() } else { bytes.as_slice() })
        });
        ustar::pack(members, self.time).unwrap()
    }

    fn get(&self, name: &str) -> &[u8] {
        &self.members.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    fn with(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut other = self.clone();
        change(&mut other.members.iter_mut().find(|(n, _)| n == name).unwrap().1);
        other
    }

    fn lines(&self, name: &str) -> Vec<Vec<u8>> {
        self.get(name).split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
    }

    fn with_lines(&self, name: &str, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Self {
        let mut lines = self.lines(name);
        change(&mut lines);
        self.with(name, |bytes| *bytes = lines.concat())
    }

    /// With a text in the place of another one, where that stands first.
    fn replaced(&self, name: &str, from: &str, to: &str) -> Self {
        let text = String::from_utf8(self.get(name).to_vec()).unwrap();
        assert!(text.contains(from), "{name} has no {from}: {text}");
        self.with(name, |bytes| *bytes = text.replacen(from, to, 1).into_bytes())
    }

    /// What an insider would try, each with the code that it must be found by.
    pub(crate) fn insider(&self) -> Vec<(&'static str, &'static str, Self)> {
        let (leaves, payloads) = ("e1/leaves.jsonl", "e1/payloads.jsonl");
        let entries = self.lines(leaves);
        let of = |part: &str| entries.iter().position(|l| String::from_utf8_lossy(l).contains(part)).unwrap();
        let denied = of("\"k\":\"approval.asked\"");
        let strange = entries.len() - 3;
        let manifest = String::from_utf8(self.get("manifest.json").to_vec()).unwrap();
        let count = |key: &str| {
            let at = manifest.find(&format!("\"{key}\":")).unwrap() + key.len() + 3;
            let digits: String = manifest[at..].chars().take_while(char::is_ascii_digit).collect();
            (format!("\"{key}\":{digits}"), digits.parse::<u64>().unwrap())
        };
        let with_count = |key: &str, by: i64| {
            let (from, n) = count(key);
            self.replaced("manifest.json", &from, &format!("\"{key}\":{}", n.wrapping_add_signed(by)))
        };
        let other_payload = |line: &mut Vec<u8>| {
            let text = String::from_utf8(line.clone()).unwrap();
            let (head, rest) = text.split_once("\"payload\":\"").unwrap();
            let (payload, tail) = rest.split_once('"').unwrap();
            let mut bytes = STANDARD.decode(payload).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            *line = format!("{head}\"payload\":\"{}\"{tail}", STANDARD.encode(bytes)).into_bytes();
        };
        vec![
            ("a leaf dropped", "root", self.with_lines(leaves, |l| drop(l.remove(denied)))),
            ("a leaf of another identity dropped", "leaves-count", self.with_lines(leaves, |l| drop(l.remove(strange)))),
            ("the last leaf dropped", "leaves-count", self.with_lines(leaves, |l| drop(l.pop()))),
            ("two leaves swapped", "leaf-position", self.with_lines(leaves, |l| l.swap(denied, denied + 1))),
            ("a leaf twice", "leaves-count", self.with_lines(leaves, |l| l.insert(denied, l[denied].clone()))),
            ("a verdict rewritten", "root", self.replaced(leaves, "\"verdict\":\"hold\"", "\"verdict\":\"allow\"")),
            ("an approver rewritten", "root", self.replaced(leaves, "\"kind\":\"human\"", "\"kind\":\"agent\"")),
            ("a leaf that is none", "leaf", self.replaced(leaves, "{\"", "{ \"")),
            ("a payload changed", "payload", self.with_lines(payloads, |l| other_payload(&mut l[2]))),
            ("a payload left out", "manifest-count", self.with_lines(payloads, |l| drop(l.remove(2)))),
            ("a payload twice", "payload-line", self.with_lines(payloads, |l| l.insert(2, l[2].clone()))),
            ("payloads swapped", "payload-line", self.with_lines(payloads, |l| l.swap(1, 2))),
            ("a payload of nothing", "payload-stray", self.replaced(payloads, "{\"n\":", "{\"n\":0,\"payload\":\"\",\"salt\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}\n{\"n\":")),
            ("one more withheld", "manifest-count", with_count("withheld", 1)),
            ("one more shown", "manifest-count", with_count("disclosed", 1)),
            ("one less in scope", "manifest-count", with_count("scoped", -1)),
            ("the range ends earlier", "range", with_count("end", -1)),
            ("the tree is smaller", "range", with_count("size", -1)),
            ("another epoch", "member-missing", with_count("epoch", 1)),
            ("another scope", "manifest-count", self.replaced("manifest.json", "\"identity\":[\"", "\"identity\":[\"x")),
            ("another log", "origin", self.replaced("manifest.json", "\"origin\":\"example.com/", "\"origin\":\"example.org/")),
            ("no manifest", "manifest", self.with("manifest.json", |bytes| *bytes = b"[[[[".repeat(5000))),
            ("another checkpoint", "checkpoint-signature", self.replaced("e1/checkpoint", "example.com/gw1/e1\n", "example.com/gw2/e1\n")),
            ("a checkpoint of another epoch", "checkpoint-origin", self.replaced("e1/checkpoint", "gw1/e1\n", "gw1/e2\n")),
            ("a checkpoint cut", "checkpoint-note", self.with("e1/checkpoint", |bytes| bytes.truncate(20))),
            ("a policy left out", "policy-files", self.without("policies/")),
            ("an epoch left out", "member-missing", self.without("e1/payloads.jsonl")),
            ("a strange epoch", "member-strange", self.plus("e7/vkey", b"")),
            ("a way out of the folder", "bundle", self.plus("e1/../../etc/passwd", b"x")),
            ("an absolute name", "bundle", self.plus("/etc/passwd", b"x")),
            ("a member twice", "bundle", self.plus("keys", b"")),
            ("no summary", "bundle", self.without("summary.html")),
            ("a long line", "leaves", self.with_lines(leaves, |l| l.push([vec![b'x'; 20_000], b"\n".to_vec()].concat()))),
        ]
    }

    fn without(&self, begins: &str) -> Self {
        let mut other = self.clone();
        other.members.retain(|(name, _)| !name.starts_with(begins));
        other
    }

    fn plus(&self, name: &str, bytes: &[u8]) -> Self {
        let mut other = self.clone();
        other.members.push((name.to_owned(), bytes.to_vec()));
        other
    }

    /// With another first hash left (`left`) or right (`right`) of the range.
    pub(crate) fn beside(&self, side: &str) -> Self {
        let text = String::from_utf8(self.get("e1/range.json").to_vec()).unwrap();
        let mark = format!("\"{side}\":[\"");
        let (head, rest) = text.split_once(&mark).expect("entries beside the range");
        let (hash, tail) = rest.split_once('"').unwrap();
        let mut bytes = STANDARD.decode(hash).unwrap();
        bytes[7] ^= 1;
        let text = format!("{head}{mark}{}\"{tail}", STANDARD.encode(bytes));
        self.with("e1/range.json", |bytes| *bytes = text.into_bytes())
    }

    /// A change of one member that nobody planned; whether it must be found: what people read is bound by the digests alone.
    pub(crate) fn changed(&self, chance: &mut Chance) -> (Self, bool) {
        const BOUND: [&str; 4] =
            ["e1/leaves.jsonl", "e1/leaves.jsonl", "e1/leaves.jsonl", "e1/payloads.jsonl"];
        const LOOSE: [&str; 4] = ["manifest.json", "e1/range.json", "e1/checkpoint", "e1/vkey"];
        let bound = chance.below(3) > 0;
        let name = if bound { BOUND[chance.below(BOUND.len())] } else { LOOSE[chance.below(LOOSE.len())] };
        let changed = match chance.below(4) {
            0 => self.with(name, |bytes| {
                let at = chance.below(bytes.len());
                bytes[at] ^= 1 << chance.below(8);
            }),
            1 => self.with(name, |bytes| {
                let at = chance.below(bytes.len());
                let with = b"0123456789\"{}[]:,\\abcdefnu \n\xff\x00";
                bytes[at] = with[chance.below(with.len())];
            }),
            2 => self.with_lines(name, |lines| {
                let (a, b) = (chance.below(lines.len()), chance.below(lines.len()));
                match chance.below(3) {
                    0 => drop(lines.remove(a)),
                    1 => lines.swap(a, b),
                    _ => lines.insert(a, lines[b].clone()),
                }
            }),
            _ => self.with(name, |bytes| {
                let (at, length) = (chance.below(bytes.len()), 1 + chance.below(8));
                let end = (at + length).min(bytes.len());
                let from = chance.below(bytes.len());
                let piece: Vec<u8> = bytes[from..(from + length).min(bytes.len())].to_vec();
                bytes.splice(at..end, piece);
            }),
        };
        (changed, bound)
    }
}

/// Tars that were never bundles.
pub(crate) fn hostile(whole: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let ended = |header: [u8; ustar::BLOCK]| [&header[..], &[0; ustar::END]].concat();
    let named = |change: fn(&mut [u8; ustar::BLOCK])| {
        let mut header = ustar::header("keys", 0, 0).unwrap();
        change(&mut header);
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        ended(header)
    };
    vec![
        ("nothing", Vec::new()),
        ("zeros", vec![0; 4096]),
        ("text", b"no tar at all".repeat(100)),
        (
            "a length beyond its end",
            ended(ustar::header("e1/leaves.jsonl", ustar::MEMBER_BYTES_MAX, 0).unwrap()),
        ),
        ("a summary of 8 GiB", ended(ustar::header("summary.html", ustar::MEMBER_BYTES_MAX, 0).unwrap())),
        ("a link", named(|h| h[156] = b'2')),
        ("a folder", named(|h| h[156] = b'5')),
        ("a pax header", named(|h| h[156] = b'x')),
        (
            "a length in base 256",
            named(|h| h[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0])),
        ),
        ("an owner", named(|h| h[108] = b'1')),
        ("a prefix", named(|h| h[345..350].copy_from_slice(b"../.."))),
        ("no name", named(|h| h[..4].fill(0))),
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("cut at the end", whole[..whole.len() - 512].to_vec()),
        ("more at the end", [whole, &[0; 512]].concat()),
        ("a second tar behind it", [whole, whole].concat()),
    ]
}
