//! Addresses in columns of the types that are made for them: `inet`, `cidr`, `macaddr`. What a text says openly they say too.

use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use firsthand_session::port::Found;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::mask::{Mask, Typed};

use super::style;

const CIDR: u32 = 650;
const MACADDR8: u32 = 774;
const MACADDR: u32 = 829;
const INET: u32 = 869;

/// How the addresses of a column come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) struct Network {
    oid: u32,
    format: Format,
}

impl Network {
    /// Of a type of addresses; `None`: any other.
    pub(super) fn of(oid: u32, format: Format) -> Option<Self> {
        matches!(oid, CIDR | MACADDR8 | MACADDR | INET).then_some(Self { oid, format })
    }

    /// The elements of an array of such, in text.
    pub(super) fn element(array: u32) -> Option<Self> {
        let oid = match array {
            651 => CIDR,
            775 => MACADDR8,
            1040 => MACADDR,
            1041 => INET,
            _ => return None,
        };
        Some(Self { oid, format: Format::Text })
    }

    /// Whether a value in binary is a whole one of its type.
    pub(super) fn is_whole(self, value: &[u8]) -> bool {
        match self.oid {
            MACADDR => value.len() == 6,
            MACADDR8 => value.len() == 8,
            _ => matches!((value.first(), value.len()), (Some(2), 8) | (Some(3), 20)),
        }
    }

    /// The address as text, written into `room` where it does not come as one.
    pub(super) fn read<'a>(self, value: &'a [u8], room: &'a mut Vec<u8>) -> Option<&'a str> {
        if self.format == Format::Text {
            return str::from_utf8(value).ok();
        }
        room.clear();
        if matches!(self.oid, MACADDR | MACADDR8) {
            for (at, byte) in value.iter().enumerate() {
                let colon = if at == 0 { "" } else { ":" };
                write!(room, "{colon}{byte:02x}").ok()?;
            }
            return str::from_utf8(room).ok();
        }
        // Family, bits, whether it is a cidr, length, address.
        let [_, bits, _, _, address @ ..] = value else { return None };
        let (written, most) = match address.len() {
            4 => (write!(room, "{}", Ipv4Addr::from(*address.first_chunk::<4>()?)), 32),
            16 => (write!(room, "{}", Ipv6Addr::from(*address.first_chunk::<16>()?)), 128),
            _ => return None,
        };
        written.ok()?;
        if *bits != most {
            write!(room, "/{bits}").ok()?;
        }
        str::from_utf8(room).ok()
    }

    /// What masks an address that was found.
    pub(super) fn mask(self, found: &Found) -> Mask {
        let typed = Typed { oid: self.oid, modifier: -1, format: self.format };
        Mask::new(style(found.mask.style), &found.mask.label, typed)
    }
}
