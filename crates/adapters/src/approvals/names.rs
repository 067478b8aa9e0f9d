//! By which names a chain is known, for who may not approve: the comparison is the widest there is, because it only refuses.

use firsthand_model::identity::Link;

pub use crate::identity::visible::folded;

/// The names of all who are in a chain, whatever they are: a person who is an agent's name elsewhere is the same one. Only
/// tokens and certificates have no names of their own.
#[must_use]
pub fn known_as(chain: &[Link]) -> Vec<String> {
    chain.iter().filter(|l| !l.kind.proves()).map(|l| folded(&l.name)).collect()
}
