//! Addresses that were confirmed and taken back since. AutoNAT tests each address
//! once, and never again while the node runs: when one of these comes back it has
//! to be taken up by whoever sees that.

use std::collections::VecDeque;
use std::net::IpAddr;

use libp2p::Multiaddr;

use super::super::addresses::ip;
use super::super::limits::MAX_WITHDRAWN;

/// The last few, the newest last.
#[derive(Debug, Default)]
pub(super) struct Withdrawn(VecDeque<Away>);

#[derive(Debug)]
struct Away {
    address: Multiaddr,
    /// The address of this machine that it led to: a router passes on to that.
    source: Option<IpAddr>,
}

impl Withdrawn {
    /// An address was taken back that had led to one of this machine.
    pub(super) fn note(&mut self, address: Multiaddr, source: Option<IpAddr>) {
        self.forget(&address);
        if self.0.len() >= MAX_WITHDRAWN {
            self.0.pop_front();
        }
        self.0.push_back(Away { address, source });
    }

    /// It is confirmed again.
    pub(super) fn forget(&mut self, address: &Multiaddr) {
        self.0.retain(|away| away.address != *address);
    }

    /// Those that are ours again, and lead where they did: what goes out there
    /// leaves from the address of this machine that `source_of` says.
    pub(super) fn take(
        &mut self,
        is_back: impl Fn(&Multiaddr) -> bool,
        source_of: impl Fn(IpAddr) -> Option<IpAddr>,
    ) -> Vec<Multiaddr> {
        let leads_here = |away: &Away| {
            (away.source)
                .is_none_or(|source| ip(&away.address).and_then(&source_of) == Some(source))
        };
        let (back, away): (Vec<Away>, Vec<Away>) =
            (self.0.drain(..)).partition(|away| is_back(&away.address) && leads_here(away));
        self.0 = away.into();
        back.into_iter().map(|away| away.address).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(n: usize) -> Multiaddr {
        format!("/ip4/203.0.113.9/tcp/{n}").parse().unwrap()
    }

    const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 2));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 3));

    #[test]
    fn an_address_that_comes_back_does_so_once() {
        let mut withdrawn = Withdrawn::default();
        for n in [1, 2, 1] {
            withdrawn.note(address(n), Some(OURS));
        }
        let back = |known: &Multiaddr| *known == address(1);
        assert_eq!(withdrawn.take(back, |_| Some(OURS)), [address(1)]);
        assert!(withdrawn.take(back, |_| Some(OURS)).is_empty());
        withdrawn.forget(&address(2));
        assert!(withdrawn.take(|_| true, |_| Some(OURS)).is_empty());
    }

    #[test]
    fn what_a_router_passes_on_to_another_address_of_ours_is_not_back() {
        let mut withdrawn = Withdrawn::default();
        withdrawn.note(address(1), Some(OURS));
        assert!(withdrawn.take(|_| true, |_| Some(OTHER)).is_empty());
        assert!(withdrawn.take(|_| true, |_| None).is_empty());
        assert_eq!(withdrawn.take(|_| true, |_| Some(OURS)), [address(1)]);
    }

    #[test]
    fn only_the_last_few_are_kept() {
        let mut withdrawn = Withdrawn::default();
        (1..=MAX_WITHDRAWN + 1).for_each(|n| withdrawn.note(address(n), None));
        let kept: Vec<_> = (2..=MAX_WITHDRAWN + 1).map(address).collect();
        assert_eq!(withdrawn.take(|_| true, |_| None), kept);
    }
}
