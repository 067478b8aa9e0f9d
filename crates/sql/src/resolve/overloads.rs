//! Which functions a call may mean.
//!
//! PostgreSQL goes by what a function takes of so many arguments: with defaults left out, and VARIADIC spread. Of two that take
//! the same then, the one in the earlier schema hides the other, whatever they are declared with. Of those that are left, the
//! one that takes exactly these types is meant; else what fits competes, and all of it is followed here.

use std::sync::Arc;

use super::Resolver;
use super::coercion::{ANY_ARRAY, ANY_NON_ARRAY, ANY_RANGE};
use super::value::{Value, oid};
use crate::catalog::{FIRST_LOCAL_OID, FIRST_USER_OID, Function, Oid, Relation};

/// Types below this number are no types: they stand for one that nothing told.
const FIRST_TYPE: Oid = 16;

/// A function that a call may mean.
struct Candidate<'c> {
    /// Where its schema stands in the path.
    rank: usize,
    function: &'c Arc<Function>,
    /// What it takes of so many arguments; `None`: that is not followed.
    taken: Option<Vec<Oid>>,
    /// Its VARIADIC argument is spread.
    spread: bool,
}

impl<'c> Candidate<'c> {
    fn new(rank: usize, function: &'c Arc<Function>, count: usize) -> Self {
        let most = function.arguments.len();
        let least = most.saturating_sub(usize::from(function.defaults));
        let spread = function.variadic != 0 && most <= count;
        let taken = if spread {
            let fixed = function.arguments.iter().copied().take(most.saturating_sub(1));
            Some(fixed.chain(std::iter::repeat(function.variadic)).take(count).collect())
        } else {
            (least..=most).contains(&count).then(|| function.arguments.iter().copied().take(count).collect())
        };
        Self { rank, function, taken, spread }
    }

    /// What it takes is not certain: it was made in this session, or takes its arguments in a way that is not followed.
    fn is_vague(&self) -> bool {
        match &self.taken {
            Some(taken) => taken.iter().any(|oid| *oid < FIRST_TYPE),
            None => !self.function.is_builtin(),
        }
    }

    fn is_users(&self) -> bool {
        self.function.oid >= FIRST_USER_OID
    }

    fn takes_the_same(&self, other: &Self) -> bool {
        self.taken.is_some() && self.taken == other.taken && !self.is_vague()
    }

    /// A call with names means whichever has these.
    fn is_declared_the_same(&self, other: &Self) -> bool {
        let declared = |c: &Self| (c.function.defaults, c.function.variadic);
        self.function.arguments == other.function.arguments
            && self.function.argument_names == other.function.argument_names
            && declared(self) == declared(other)
    }

    fn is_exact(&self, types: &[Oid]) -> bool {
        // Literals without a type, and nothing else to go by: text is preferred.
        let literals = types.iter().all(|t| *t == oid::UNKNOWN);
        self.taken.as_deref().is_some_and(|taken| {
            taken == types || (literals && taken.iter().all(|wanted| *wanted == oid::TEXT))
        })
    }
}

/// Whether a function may be called with so many arguments. `loose`: some of them are named, or given as an array.
fn may_take(f: &Function, count: usize, loose: bool) -> bool {
    let most = f.arguments.len();
    let least = most.saturating_sub(usize::from(f.defaults));
    (least..=most).contains(&count)
        || loose
        || (f.variadic != 0 && count + 1 >= least)
        || (f.kind == b'a' && count >= most)
}

impl Resolver<'_> {
    /// The functions that a call may mean: those of the name that take so many arguments, without those that an earlier
    /// schema's hides; and where types decide, only those that fit.
    pub(super) fn candidates(
        &self,
        schema: Option<&str>,
        name: &str,
        arguments: &[Value],
        loose: bool,
    ) -> Vec<Arc<Function>> {
        let count = arguments.len();
        let mut all: Vec<Candidate<'_>> = self
            .catalog
            .functions_named(name)
            .filter(|f| may_take(f, count, loose))
            .filter_map(|f| Some(Candidate::new(self.rank(schema, f.namespace)?, f, count)))
            .collect();
        if all.len() > 1 && self.path.is_certain() {
            all = self.unhidden(all, loose);
            if !loose {
                self.narrowed(&mut all, arguments);
            }
        }
        all.into_iter().map(|c| Arc::clone(c.function)).collect()
    }

    fn unhidden<'c>(&self, mut all: Vec<Candidate<'c>>, loose: bool) -> Vec<Candidate<'c>> {
        // In one schema one that is not spread goes before one that is. What was parsed earlier may have met only that one.
        let place = |c: &Candidate<'_>| (c.rank, c.spread && !loose && !self.stored);
        all.sort_by_key(|c| (place(c), c.function.oid));
        let mut kept: Vec<Candidate<'c>> = Vec::with_capacity(all.len());
        for next in all {
            let hides = |k: &Candidate<'c>| {
                let same = if loose { k.is_declared_the_same(&next) } else { k.takes_the_same(&next) };
                place(k) < place(&next) && same
            };
            if !kept.iter().any(hides) {
                kept.push(next);
            }
        }
        kept
    }

    fn narrowed(&self, all: &mut Vec<Candidate<'_>>, arguments: &[Value]) {
        let types: Vec<Oid> = arguments.iter().map(|v| v.type_oid).collect();
        let fits = |c: &Candidate<'_>| {
            let accepts = |(wanted, actual): (&Oid, &Oid)| self.accepts(*wanted, *actual);
            c.taken.as_deref().is_none_or(|taken| taken.iter().zip(&types).all(accepts))
        };
        if all.iter().any(|c| c.is_exact(&types)) {
            // What was parsed earlier goes on meaning what it met then, whatever has been made since.
            let stays = |c: &Candidate<'_>| (c.is_vague() || (self.stored && c.is_users())) && fits(c);
            all.retain(|c| c.is_exact(&types) || stays(c));
        } else if all.iter().any(fits) {
            all.retain(fits);
        }
    }

    /// Whether a value of one type may be given where another is wanted, without being asked for.
    pub(super) fn accepts(&self, wanted: Oid, actual: Oid) -> bool {
        if actual == 0 || actual == oid::UNKNOWN || wanted == actual {
            return true;
        }
        // A domain is what it is based on, on either side.
        let (from, to) = (self.catalog.base_type(actual), self.catalog.base_type(wanted));
        if from == to || from == oid::RECORD {
            return true;
        }
        let is_range = |oid: Oid| {
            let it = self.catalog.type_by_oid(oid).filter(|it| it.oid < FIRST_LOCAL_OID && it.kind != b'p');
            it.is_none_or(|it| matches!(it.kind, b'r' | b'm'))
        };
        match self.is_array(from) {
            _ if ANY_RANGE.contains(&to) && !is_range(from) => return false,
            Some(false) if ANY_ARRAY.contains(&to) => return false,
            Some(true) if ANY_NON_ARRAY.contains(&to) => return false,
            _ => {}
        }
        let pseudo = self.catalog.type_by_oid(to).is_none_or(|t| t.kind == b'p');
        let casts = |from: Oid| self.catalog.cast(from, to).is_some_and(|c| c.context == b'i');
        let array = |o: Oid| self.catalog.type_by_oid(o).is_some_and(|t| t.element != 0);
        pseudo || casts(actual) || casts(from) || (array(to) && array(from)) || self.is_a_row_of(from, to)
    }

    /// Whether a type is an array of another; `None`: that is not certain, as of what this session has made.
    fn is_array(&self, type_oid: Oid) -> Option<bool> {
        let it =
            self.catalog.type_by_oid(type_oid).filter(|it| it.oid < FIRST_LOCAL_OID && it.kind != b'p')?;
        if it.element == 0 {
            return Some(false);
        }
        // An `oidvector` has elements, too.
        (self.catalog.type_by_oid(it.element)?.array == type_oid).then_some(true)
    }

    /// Whether a row of one type is one of another: of a table that it inherits from, or of the type that its table is made of.
    fn is_a_row_of(&self, from: Oid, to: Oid) -> bool {
        let relation = |type_oid: Oid| {
            self.catalog.type_by_oid(type_oid).and_then(|t| self.catalog.relation_by_oid(t.relation))
        };
        let (Some(own), Some(wanted)) = (relation(from), relation(to)) else { return false };
        // Of what this session has made not everything is known.
        own.oid >= FIRST_LOCAL_OID || own.doubtful || own.of_type == to || self.inherits(own, wanted.oid)
    }

    fn inherits(&self, own: &Relation, wanted: Oid) -> bool {
        let (mut waiting, mut seen) = (own.parents.clone(), Vec::new());
        while let Some(next) = waiting.pop() {
            if next == wanted {
                return true;
            }
            if !seen.contains(&next) {
                seen.push(next);
                let parents = self.catalog.relation_by_oid(next).map(|it| it.parents.as_slice());
                waiting.extend_from_slice(parents.unwrap_or_default());
            }
        }
        false
    }
}
