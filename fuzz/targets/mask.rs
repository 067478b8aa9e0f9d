//! One value masked: a byte for the style, one for the format, two of type oid, two of modifier, then the value. What reads
//! as a value of its type reads as one when it is masked, too (in text that says no more than that it is UTF-8).

#![no_main]
#![expect(clippy::panic, reason = "how a fuzz target says that something broke")]

use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::mask::{Mask, Style, Tokens, Typed};
use firsthand_wire::postgres::value::render;

struct Same;

impl Tokens for Same {
    fn token(&self, _: &str, value: &[u8]) -> [u8; 16] {
        [value.len() as u8; 16]
    }
}

/// Whether a value reads as what its type and format say.
fn reads(typed: Typed, value: &[u8]) -> bool {
    let mut out = Vec::new();
    render(&mut out, typed.oid, typed.format, Some(value));
    out.starts_with(b"\"")
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&[style, format, a, b, c, d], value)) = data.split_first_chunk() else { return };
    let style = Style::ALL.into_iter().nth(usize::from(style) % 6).unwrap_or(Style::Redact);
    let format = if format & 1 == 0 { Format::Text } else { Format::Binary };
    let typed = Typed {
        oid: u32::from(u16::from_be_bytes([a, b])),
        modifier: i32::from(i16::from_be_bytes([c, d])),
        format,
    };
    let mut masks = vec![Mask::new(style, "label", typed), Mask::new(style, "label", typed).with_keys()];
    if format == Format::Text {
        masks.push(Mask::untyped(style, "label"));
    }
    for mask in masks {
        let mut out = Vec::new();
        let there = mask.mask(value, &Same, &mut out);
        assert!(there || out.is_empty(), "NULL, and something was written");
        if there && reads(typed, value) && !reads(typed, &out) {
            panic!("{typed:?} {value:?} became {out:?}");
        }
    }
});
