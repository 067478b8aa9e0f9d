//! The geometric types: floats with brackets around them.

use super::number::float8;
use super::{push, take};

/// `(x,y)`.
pub(super) fn point(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let (x, y) = bytes.split_at_checked(8)?;
    out.push(b'(');
    float8(out, x)?;
    out.push(b',');
    float8(out, y)?;
    push(out, b")")
}

/// `(x,y),(x,y),…`
fn points(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let (points, rest) = bytes.as_chunks::<16>();
    for (i, p) in points.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        point(out, p)?;
    }
    rest.is_empty().then_some(())
}

/// A line segment: `[(x,y),(x,y)]`.
pub(super) fn lseg(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let bytes: [u8; 32] = bytes.try_into().ok()?;
    out.push(b'[');
    points(out, &bytes)?;
    push(out, b"]")
}

/// A `box`: `(x,y),(x,y)`.
pub(super) fn rectangle(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let bytes: [u8; 32] = bytes.try_into().ok()?;
    points(out, &bytes)
}

/// `((x,y),…)` when closed, `[(x,y),…]` when open.
pub(super) fn path(out: &mut Vec<u8>, mut bytes: &[u8]) -> Option<()> {
    let [closed] = take(&mut bytes)?;
    let (open_mark, close_mark) = if closed == 0 { (b'[', b']') } else { (b'(', b')') };
    out.push(open_mark);
    counted_points(out, bytes)?;
    out.push(close_mark);
    Some(())
}

/// `((x,y),…)`.
pub(super) fn polygon(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.push(b'(');
    counted_points(out, bytes)?;
    push(out, b")")
}

fn counted_points(out: &mut Vec<u8>, mut bytes: &[u8]) -> Option<()> {
    let count = i32::from_be_bytes(take(&mut bytes)?);
    if usize::try_from(count).ok()?.checked_mul(16)? != bytes.len() {
        return None;
    }
    points(out, bytes)
}

/// `{A,B,C}` of Ax + By + C = 0.
pub(super) fn line(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let bytes: [u8; 24] = bytes.try_into().ok()?;
    out.push(b'{');
    for (i, f) in bytes.as_chunks::<8>().0.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        float8(out, f)?;
    }
    push(out, b"}")
}

/// `<(x,y),r>`.
pub(super) fn circle(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let (center, radius) = bytes.split_at_checked(16)?;
    out.push(b'<');
    point(out, center)?;
    out.push(b',');
    float8(out, radius)?;
    push(out, b">")
}
