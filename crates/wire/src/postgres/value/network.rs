//! Addresses and identifiers: inet, cidr, macaddr, uuid, and the server's own row and WAL positions.

use std::io::Write as _;

use super::number::unsigned;
use super::{push, take};
use crate::json;

/// `AF_INET` as PostgreSQL writes it.
const IPV4: u8 = 2;
/// `PGSQL_AF_INET6`.
const IPV6: u8 = 3;

/// `inet` and `cidr`: family, prefix length, a flag that repeats the type, the address's length and bytes.
pub(super) fn inet(out: &mut Vec<u8>, bytes: &[u8], is_cidr: bool) -> Option<()> {
    let [family, prefix, _, length, address @ ..] = bytes else { return None };
    if address.len() != usize::from(*length) {
        return None;
    }
    let widest = match *family {
        IPV4 => {
            ipv4(out, address.try_into().ok()?)?;
            32
        }
        IPV6 => {
            ipv6(out, address.try_into().ok()?)?;
            128
        }
        _ => return None,
    };
    if *prefix > widest {
        return None;
    }
    if is_cidr || *prefix < widest {
        out.push(b'/');
        unsigned(out, (*prefix).into())?;
    }
    Some(())
}

fn ipv4(out: &mut Vec<u8>, address: [u8; 4]) -> Option<()> {
    let [a, b, c, d] = address;
    write!(out, "{a}.{b}.{c}.{d}").ok()
}

/// As `pg_inet_net_ntop`: the first longest run of two or more zero words is `::`, and what embeds an IPv4 address
/// shows it with dots.
fn ipv6(out: &mut Vec<u8>, address: [u8; 16]) -> Option<()> {
    let words: Vec<u16> = address.as_chunks::<2>().0.iter().map(|w| u16::from_be_bytes(*w)).collect();
    let (mut run, mut len) = (0, 0);
    for start in 0..words.len() {
        let zeros = words.iter().skip(start).take_while(|w| **w == 0).count();
        if zeros > len {
            (run, len) = (start, zeros);
        }
    }
    if len < 2 {
        (run, len) = (words.len() + 1, 0);
    }
    let embeds_ipv4 = run == 0
        && (len == 6
            || (len == 7 && words.last() != Some(&1))
            || (len == 5 && words.get(5) == Some(&0xffff)));
    for (i, word) in words.iter().enumerate() {
        if (run..run + len).contains(&i) {
            if i == run {
                out.push(b':');
            }
            continue;
        }
        if i > 0 {
            out.push(b':');
        }
        if i == 6 && embeds_ipv4 {
            let (_, low) = address.split_last_chunk::<4>()?;
            return ipv4(out, *low);
        }
        write!(out, "{word:x}").ok()?;
    }
    if run + len == words.len() {
        out.push(b':');
    }
    Some(())
}

/// `macaddr` and `macaddr8`.
pub(super) fn macaddr(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    if !matches!(bytes.len(), 6 | 8) {
        return None;
    }
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 {
            out.push(b':');
        }
        json::hex(out, &[*byte]);
    }
    Some(())
}

/// `uuid`.
pub(super) fn uuid(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        json::hex(out, &[*byte]);
    }
    Some(())
}

/// `pg_lsn`: a position in the WAL.
pub(super) fn lsn(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let lsn = u64::from_be_bytes(bytes.try_into().ok()?);
    write!(out, "{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff).ok()
}

/// `tid`: a row's block and place in it.
pub(super) fn tid(out: &mut Vec<u8>, mut bytes: &[u8]) -> Option<()> {
    let block = u32::from_be_bytes(take(&mut bytes)?);
    let offset = u16::from_be_bytes(bytes.try_into().ok()?);
    push(out, b"(")?;
    unsigned(out, block.into())?;
    push(out, b",")?;
    unsigned(out, offset.into())?;
    push(out, b")")
}
