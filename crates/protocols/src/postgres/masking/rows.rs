//! Rows, rewritten: columns that pass are copied in runs, the others are masked or looked through.

use firsthand_wire::postgres::mask::Tokens;

use super::found::Seen;
use super::plan::{Act, RowPlan};
use super::{Keyed, Tools};

/// Appends the row's message with its values masked. `None`: it is not what its description says, and what was appended
/// is to be thrown away.
pub(super) fn rewrite(plan: &RowPlan, tools: &mut Tools, body: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let values = std::sync::Arc::clone(&tools.values);
    let tokens = Keyed(&*values);
    let start = out.len();
    let (count, rest) = body.split_first_chunk::<2>()?;
    (usize::from(u16::from_be_bytes(*count)) == plan.acts.len()).then_some(())?;
    out.extend_from_slice(&[b'D', 0, 0, 0, 0]);
    out.extend_from_slice(count);
    // What has been read and is not written yet stands before `at` in `rest`.
    let (mut run, mut at) = (0, 0);
    for (index, act) in plan.acts.iter().enumerate() {
        let begin = at;
        let length = i32::from_be_bytes(*rest.get(at..)?.first_chunk::<4>()?);
        at += 4;
        if length < 0 {
            (length == -1).then_some(())?;
            continue;
        }
        let end = at.checked_add(usize::try_from(length).ok()?)?;
        let value = rest.get(at..end)?;
        at = end;
        let field = match act {
            Act::Pass => continue,
            Act::Look(look) if !look.may_find(value) => continue,
            Act::Mask(mask) => {
                out.extend_from_slice(rest.get(run..begin)?);
                let field = out.len();
                out.extend_from_slice(&[0xff; 4]);
                if mask.mask(value, &tokens as &dyn Tokens, out) { Some(field) } else { None }
            }
            Act::Look(look) => {
                let before = out.len();
                out.extend_from_slice(rest.get(run..begin)?);
                let field = out.len();
                out.extend_from_slice(&[0xff; 4]);
                match tools.look_named(look, index, plan.names.get(index)?, value, out) {
                    Seen::Nothing => {
                        out.truncate(before);
                        continue;
                    }
                    Seen::Masked => Some(field),
                    Seen::Null => None,
                }
            }
        };
        if let Some(field) = field {
            let written = i32::try_from(out.len() - field - 4).ok()?;
            out.get_mut(field..field + 4)?.copy_from_slice(&written.to_be_bytes());
        }
        run = at;
    }
    (at == rest.len()).then_some(())?;
    out.extend_from_slice(rest.get(run..)?);
    let length = u32::try_from(out.len() - start - 1).ok()?;
    out.get_mut(start + 1..start + 5)?.copy_from_slice(&length.to_be_bytes());
    Some(())
}
