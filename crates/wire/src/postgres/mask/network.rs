//! Masks of addresses: the network, the maker of a card, or zeros.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::kind::Kind;
use super::{Mask, Style};

/// Bits of an address that stay: what a home or an office shares.
const V4_BITS: u8 = 24;
/// The same for IPv6.
const V6_BITS: u8 = 48;

impl Mask {
    pub(super) fn network(&self, kind: Kind, binary: bool, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let keep = match self.style {
            Style::Redact | Style::Zero => false,
            Style::Partial | Style::Generalise => true,
            Style::Token | Style::Null => return None,
        };
        match kind {
            Kind::Net(_) if binary => net_binary(keep, value, out),
            Kind::Net(_) => net_text(keep, value, out),
            _ => hardware(kind, keep, binary, value, out),
        }
    }
}

/// Family, bits, whether it is a cidr, length, address.
fn net_binary(keep: bool, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (&[family, bits, cidr, len], address) = value.split_first_chunk::<4>()?;
    (usize::from(len) == address.len() && matches!(len, 4 | 16)).then_some(())?;
    let kept = match (keep, len) {
        (false, _) => 0,
        (true, 4) => V4_BITS.min(bits),
        (true, _) => V6_BITS.min(bits),
    };
    out.extend_from_slice(&[family, kept, cidr, len]);
    out.extend(address.iter().enumerate().map(|(i, b)| b & byte_mask(i, kept)));
    Some(())
}

/// The bits of byte number `i` that belong to the first `bits`.
fn byte_mask(i: usize, bits: u8) -> u8 {
    let before = u8::try_from(i * 8).unwrap_or(u8::MAX);
    match bits.saturating_sub(before) {
        0 => 0,
        n @ 1..=7 => !(0xff >> n),
        _ => 0xff,
    }
}

fn net_text(keep: bool, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let text = str::from_utf8(value).ok()?;
    out.extend_from_slice(coarse(text, keep)?.as_bytes());
    Some(())
}

/// The network of an address in text, `None` when it is none.
pub(super) fn coarse(text: &str, keep: bool) -> Option<String> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let kept = |most: u8| if keep { most.min(bits.unwrap_or(most)) } else { 0 };
    if address.contains(':') {
        let (address, bits) = (address.parse::<Ipv6Addr>().ok()?, kept(V6_BITS));
        let mut octets = address.octets();
        octets.iter_mut().enumerate().for_each(|(i, b)| *b &= byte_mask(i, bits));
        return Some(format!("{}/{bits}", Ipv6Addr::from(octets)));
    }
    let (address, bits) = (address.parse::<Ipv4Addr>().ok()?, kept(V4_BITS));
    let mut octets = address.octets();
    octets.iter_mut().enumerate().for_each(|(i, b)| *b &= byte_mask(i, bits));
    Some(format!("{}/{bits}", Ipv4Addr::from(octets)))
}

/// The first three bytes name the maker.
fn hardware(kind: Kind, keep: bool, binary: bool, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let len = if kind == Kind::Macaddr { 6 } else { 8 };
    let mut bytes = [0_u8; 8];
    if keep && binary {
        (value.len() == len).then_some(())?;
        bytes.iter_mut().zip(value).take(3).for_each(|(to, from)| *to = *from);
    } else if keep {
        let parts = str::from_utf8(value).ok()?.split(':');
        for (to, part) in bytes.iter_mut().zip(parts).take(3) {
            *to = u8::from_str_radix(part, 16).ok()?;
        }
    }
    let bytes = bytes.get(..len)?;
    if binary {
        out.extend_from_slice(bytes);
        return Some(());
    }
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 {
            out.push(b':');
        }
        crate::json::hex(out, &[*byte]);
    }
    Some(())
}
