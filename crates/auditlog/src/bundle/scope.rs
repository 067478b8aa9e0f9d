//! Which entries a bundle is about, told from their leaves alone: whoever has the leaves can say which payloads belong to it.

use std::collections::HashSet;

use super::manifest::Asked;
use crate::entry::moment;
use crate::verify::leaf::{Leaf, elements, members, text};

/// Approvals remembered as being about the scope. Each is a person's answer; those beyond are told of by their commands only.
pub const APPROVALS_MAX: usize = 1 << 18;

/// The scope, as far as the leaves up to here tell of it.
///
/// A leaf is in it when its time is, and
/// - the identity is a link of `who.chain` or of `chain`, or is `by`, and `who.target` is the target, each where one was asked for;
/// - or it names an approval that such a leaf in time has named before: so answers of approvers belong to what was asked.
#[derive(Debug)]
pub struct Scope {
    asked: Asked,
    approvals: HashSet<String>,
}

impl Scope {
    /// What was asked for.
    #[must_use]
    pub fn new(asked: &Asked) -> Self {
        Self { asked: asked.clone(), approvals: HashSet::new() }
    }

    /// Whether a moment is in the range.
    #[must_use]
    pub fn in_time(&self, time: u64) -> bool {
        self.asked.from.is_none_or(|from| time >= from) && self.asked.to.is_none_or(|to| time < to)
    }

    /// Whether a leaf is in it. To be asked of all leaves in their order.
    pub(crate) fn holds(&mut self, leaf: &Leaf<'_>) -> bool {
        if !moment::written(leaf.t).is_some_and(|t| self.in_time(t)) {
            return false;
        }
        if self.is_direct(leaf) {
            if !leaf.approval.is_empty() && self.approvals.len() < APPROVALS_MAX {
                self.approvals.insert(leaf.approval.to_owned());
            }
            return true;
        }
        !leaf.approval.is_empty() && self.approvals.contains(leaf.approval)
    }

    fn is_direct(&self, leaf: &Leaf<'_>) -> bool {
        let (mut target, mut chain) = ("", &b""[..]);
        // The leaf was read before, so its parts are well-formed.
        let _ = members(leaf.who, |key, value| match key {
            b"target" => target = text(value),
            b"chain" => chain = value,
            _ => {}
        });
        if self.asked.target.as_ref().is_some_and(|wanted| wanted != target) {
            return false;
        }
        let Some(ids) = &self.asked.identity else { return true };
        let is = |link: &[u8]| {
            let mut id = "";
            let _ = members(link, |key, value| {
                if key == b"id" {
                    id = text(value);
                }
            });
            ids.iter().any(|wanted| wanted == id)
        };
        is(leaf.by) || elements(chain).into_iter().any(is) || elements(leaf.chain).into_iter().any(is)
    }
}
