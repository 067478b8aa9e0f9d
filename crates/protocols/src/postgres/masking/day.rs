//! Days and moments in columns whose name says that they are somebody's: dates of birth.

use firsthand_session::port::Found;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::mask::{Mask, Typed};
use firsthand_wire::postgres::value::render;

use super::found::{Elements, Look};
use super::style;

const DATE: u32 = 1082;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;

/// How the days of a column come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) struct Day {
    oid: u32,
    format: Format,
}

impl Day {
    /// Of a type of days; `None`: any other.
    pub(super) fn of(oid: u32, format: Format) -> Option<Self> {
        matches!(oid, DATE | TIMESTAMP | TIMESTAMPTZ).then_some(Self { oid, format })
    }

    /// How an array of such is looked through.
    pub(super) fn array(oid: u32, format: Format) -> Option<Look> {
        let oid = match oid {
            1182 => DATE,
            1115 => TIMESTAMP,
            1185 => TIMESTAMPTZ,
            _ => return None,
        };
        // In binary each element comes with its type.
        Some(Look::Array { elements: Elements::Day(Self { oid, format: Format::Text }), format })
    }

    /// Whether they come as text.
    pub(super) fn is_text(self) -> bool {
        self.format == Format::Text
    }

    /// Whether a value in binary is a whole one of its type.
    pub(super) fn is_whole(self, value: &[u8]) -> bool {
        self.format == Format::Binary && value.len() == if self.oid == DATE { 4 } else { 8 }
    }

    /// The day as text, written into `room` where it does not come as one.
    pub(super) fn read<'a>(self, value: &'a [u8], room: &'a mut Vec<u8>) -> Option<&'a str> {
        if self.format == Format::Text {
            return str::from_utf8(value).ok();
        }
        room.clear();
        render(room, self.oid, self.format, Some(value));
        // As JSON: what is no day is an object.
        str::from_utf8(room).ok()?.strip_prefix('"')?.strip_suffix('"')
    }

    /// What masks a day that was found.
    pub(super) fn mask(self, found: &Found) -> Mask {
        let typed = Typed { oid: self.oid, modifier: -1, format: self.format };
        Mask::new(style(found.mask.style), &found.mask.label, typed)
    }
}
