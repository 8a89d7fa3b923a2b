//! Where connections have come about before: while strangers knock and say
//! nothing, those who come from there find a place.

use std::collections::HashSet;

use super::limits::MAX_FAMILIAR_ORIGINS;
use super::origin::Origin;

/// The addresses of connections that were established, the latest of them: two
/// generations, the older of which is forgotten when the younger is full.
#[derive(Debug, Default)]
pub(super) struct Familiar {
    young: HashSet<Origin>,
    old: HashSet<Origin>,
}

impl Familiar {
    /// A connection was established with somebody there.
    pub(super) fn note(&mut self, origin: Origin) {
        if self.young.len() >= MAX_FAMILIAR_ORIGINS / 2 && !self.young.contains(&origin) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(origin);
    }

    /// Whether there was one before.
    pub(super) fn knows(&self, origin: Origin) -> bool {
        self.young.contains(&origin) || self.old.contains(&origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_the_others_are_not() {
        let mut familiar = Familiar::default();
        let origin = |n: usize| Origin::V6(n as u64);
        for n in 0..3 * MAX_FAMILIAR_ORIGINS {
            familiar.note(origin(n));
            // One that comes again and again stays.
            familiar.note(origin(7));
            assert!(familiar.young.len() + familiar.old.len() <= MAX_FAMILIAR_ORIGINS);
        }
        assert!(familiar.knows(origin(7)));
        assert!(familiar.knows(origin(3 * MAX_FAMILIAR_ORIGINS - 1)));
        assert!(!familiar.knows(origin(8)));
    }
}
