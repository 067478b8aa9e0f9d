//! What is left and right of a run of entries, as few hashes as will do: with them and the entries themselves the root over
//! all can be worked out, so none of the run can be left out, added or moved.

use super::manifest::{list_of, object_of};
use crate::tlog::encoding::{hash_from_base64, to_base64};
use crate::tlog::proof::HashSource;
use crate::tree::{Frontier, Hash};
use crate::verify::leaf::{number, text};

/// Positions `first..end` of a tree of `size` entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The first position.
    pub first: u64,
    /// The one behind the last.
    pub end: u64,
    /// Entries of the tree.
    pub size: u64,
    /// Complete subtrees over `0..first`, from the left.
    pub left: Vec<Hash>,
    /// Complete subtrees over `end..size`, from the left.
    pub right: Vec<Hash>,
}

/// Level and place in its level of each of the fewest complete subtrees over `from..to`, from the left.
pub fn subtrees(from: u64, to: u64) -> impl Iterator<Item = (u8, u64)> {
    let mut at = from;
    std::iter::from_fn(move || {
        let left = to.checked_sub(at).filter(|left| *left > 0)?;
        let level = at.trailing_zeros().min(left.ilog2());
        let index = at >> level;
        at += 1 << level;
        u8::try_from(level).ok().map(|level| (level, index))
    })
}

impl Range {
    /// Reads the hashes of a tree.
    ///
    /// # Errors
    /// Those of the source.
    pub fn of<S: HashSource>(source: &mut S, first: u64, end: u64, size: u64) -> Result<Self, S::Error> {
        let mut hashes = |from, to| {
            subtrees(from, to)
                .map(|(level, index)| source.subtree(level, index))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self { first, end, size, left: hashes(0, first)?, right: hashes(end, size)? })
    }

    /// The tree over what is left: the entries go onto it.
    #[must_use]
    pub fn begin(&self) -> Option<Frontier> {
        Frontier::from_parts(self.first, self.left.clone()).ok()
    }

    /// The root, once all entries are in the tree.
    #[must_use]
    pub fn close(&self, mut tree: Frontier) -> Option<Hash> {
        if tree.size() != self.end {
            return None;
        }
        for ((level, _), hash) in subtrees(self.end, self.size).zip(&self.right) {
            tree.push_subtree(level, *hash);
        }
        (tree.size() == self.size).then(|| tree.root())
    }

    /// As `range.json` has it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let list = |hashes: &[Hash]| {
            let all: Vec<String> = hashes.iter().map(|h| format!("\"{}\"", to_base64(h))).collect();
            all.join(",")
        };
        format!(
            "{{\"end\":{},\"first\":{},\"left\":[{}],\"right\":[{}],\"size\":{}}}\n",
            self.end,
            self.first,
            list(&self.left),
            list(&self.right),
            self.size
        )
    }

    /// Reads that. Nothing where it is written otherwise, or the numbers of hashes are not those that the positions need.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [end, first, left, right, size] =
            object_of(bytes.strip_suffix(b"\n")?, ["end", "first", "left", "right", "size"])?;
        let hashes =
            |list| list_of(list)?.into_iter().map(|h| hash_from_base64(text(h))).collect::<Option<Vec<_>>>();
        let (first, end, size) = (number(first)?, number(end)?, number(size)?);
        let range = Self { first, end, size, left: hashes(left)?, right: hashes(right)? };
        let fits = first < end
            && end <= size
            && range.left.len() == subtrees(0, first).count()
            && range.right.len() == subtrees(end, size).count();
        // One spelling: a number in quotes is none here.
        (fits && range.to_json().as_bytes() == bytes).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::leaf_hash;

    struct All(Vec<Hash>);

    impl HashSource for All {
        type Error = std::convert::Infallible;

        fn subtree(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error> {
            let (from, to) = ((index << level) as usize, ((index + 1) << level) as usize);
            let mut tree = Frontier::new();
            self.0[from..to].iter().for_each(|h| tree.push(*h));
            Ok(tree.root())
        }
    }

    #[test]
    fn every_range_of_every_small_tree_leads_to_its_root_and_no_other_does() {
        let leaves: Vec<Hash> = (0..70u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        for size in 1..=leaves.len() {
            let mut tree = Frontier::new();
            leaves[..size].iter().for_each(|h| tree.push(*h));
            let mut source = All(leaves[..size].to_vec());
            for first in 0..size {
                for end in first + 1..=size {
                    let range = Range::of(&mut source, first as u64, end as u64, size as u64).unwrap();
                    assert_eq!(Range::parse(range.to_json().as_bytes()), Some(range.clone()));
                    let root = |skip: usize| {
                        let mut over = range.begin().unwrap();
                        let run = leaves[first..end].iter().enumerate();
                        run.filter(|(n, _)| *n != skip).for_each(|(_, h)| over.push(*h));
                        range.close(over)
                    };
                    assert_eq!(root(usize::MAX), Some(tree.root()), "{first}..{end} of {size}");
                    assert_eq!(root(0), None);
                }
            }
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let range = Range { first: 1, end: 2, size: 3, left: vec![[1; 32]], right: vec![[2; 32]] };
        let json = range.to_json();
        assert_eq!(Range::parse(json.as_bytes()), Some(range));
        for (a, b) in [
            ("\"first\":1", "\"first\":\"1\""),
            ("\"first\":1", "\"first\":2"),
            ("}\n", "}"),
            ("\"size\":3", "\"size\":6"),
        ] {
            assert_eq!(Range::parse(json.replace(a, b).as_bytes()), None, "{a} → {b}");
        }
        assert_eq!(Range::parse(b"{}\n"), None);
    }
}
