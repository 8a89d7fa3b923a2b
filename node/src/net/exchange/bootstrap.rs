//! The bootstrap nodes: a few of the list are kept connected, others take their
//! place when none of them answers.

use headwater_protocols::time::Timestamp;
use libp2p::{Multiaddr, PeerId};

use super::super::addresses::peer_of;
use super::super::dialer::Dialer;
use super::super::limits::{BOOTSTRAP_SILENCE, MAX_KEPT_BOOTSTRAP};

/// The list, and which of it are kept connected now.
#[derive(Debug)]
pub(super) struct Bootstrap {
    all: Vec<Multiaddr>,
    /// The place of the first one that is kept.
    first: usize,
    /// Since when none of those kept is connected.
    silent_since: Option<Timestamp>,
}

impl Bootstrap {
    /// A list; of a long one the first few from a random place on are kept
    /// connected.
    pub(super) fn new(all: Vec<Multiaddr>, random: u64) -> Self {
        let count = u64::try_from(all.len()).unwrap_or(u64::MAX);
        let place = random.checked_rem(count).unwrap_or(0);
        Self {
            first: usize::try_from(place).unwrap_or(0),
            all,
            silent_since: None,
        }
    }

    /// The addresses that are to be kept connected now.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Multiaddr> {
        let from_first = self.all.iter().cycle().skip(self.first);
        from_first.take(self.all.len().min(MAX_KEPT_BOOTSTRAP))
    }

    /// Looks at whether anybody answers. After a while of silence the next ones
    /// of the list take their turn.
    pub(super) fn tick(
        &mut self,
        dialer: &mut Dialer,
        is_connected: impl Fn(&PeerId) -> bool,
        now: Timestamp,
        clock: tokio::time::Instant,
    ) {
        let answers = |address: &Multiaddr| peer_of(address).is_some_and(|p| is_connected(&p));
        if self.all.is_empty() {
            return;
        }
        if self.all.iter().any(answers) {
            self.silent_since = None;
            return;
        }
        let silent_since = *self.silent_since.get_or_insert(now);
        if now.duration_since(silent_since) >= BOOTSTRAP_SILENCE {
            self.silent_since = Some(now);
            self.rotate(dialer, clock);
        }
    }

    fn rotate(&mut self, dialer: &mut Dialer, clock: tokio::time::Instant) {
        if self.all.len() <= MAX_KEPT_BOOTSTRAP {
            return;
        }
        for address in self.kept() {
            dialer.forget(address);
        }
        self.first = (self.first + MAX_KEPT_BOOTSTRAP) % self.all.len();
        for address in self.kept() {
            dialer.keep(address.clone(), clock);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::time::Instant;

    use super::*;

    fn list(count: usize) -> Vec<Multiaddr> {
        let node = |n| format!("/ip4/192.0.2.{n}/tcp/1/p2p/{}", PeerId::random());
        (0..count).map(|n| node(n).parse().unwrap()).collect()
    }

    #[test]
    fn a_short_list_is_kept_whole() {
        let all = list(3);
        let bootstrap = Bootstrap::new(all.clone(), 7);
        let kept: BTreeSet<_> = bootstrap.kept().cloned().collect();
        assert_eq!(kept, all.into_iter().collect());
        assert_eq!(Bootstrap::new(Vec::new(), 7).kept().count(), 0);
    }

    #[test]
    fn in_a_long_list_of_dead_nodes_the_one_that_lives_has_its_turn() {
        let all = list(11);
        let alive = peer_of(&all[2]).unwrap();
        let mut bootstrap = Bootstrap::new(all.clone(), 5);
        let (clock, mut dialer) = (Instant::now(), Dialer::default());
        for address in bootstrap.kept() {
            dialer.keep(address.clone(), clock);
        }
        let mut dialled = BTreeSet::new();
        for second in 0..60 {
            let kept = dialer.keeps(&alive);
            let now = Timestamp(0).plus(second * 1_000_000);
            bootstrap.tick(&mut dialer, |peer| *peer == alive && kept, now, clock);
            dialled.extend(
                dialer
                    .take_due(clock, |_| false)
                    .into_iter()
                    .flat_map(|due| due.addresses),
            );
            assert!(bootstrap.kept().count() <= MAX_KEPT_BOOTSTRAP);
        }
        assert!(dialer.keeps(&alive));
        assert!(dialled.contains(&all[2]));
        // It has not gone on once that one answered.
        assert!(dialled.len() < all.len() + MAX_KEPT_BOOTSTRAP);
    }
}
