//! Paths on which TCP has come to nothing, because large packets are lost there
//! and nobody says so: QUIC, which finds out what passes, goes first.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::limits::{MAX_NARROW_PATHS, NARROW_FOR, NARROW_LINE_FOR};

/// The IP addresses at their ends. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct NarrowPaths(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    by_address: BTreeMap<IpAddr, Instant>,
    latest: Option<Instant>,
}

impl NarrowPaths {
    /// Notes that large packets do not arrive there.
    pub(super) fn note(&self, remote: IpAddr, now: Instant) {
        tracing::info!(address = %remote, "large packets of TCP do not arrive there; QUIC goes first from now on");
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.latest = Some(now);
        let paths = &mut noted.by_address;
        if paths.len() >= MAX_NARROW_PATHS
            && !paths.contains_key(&remote)
            && let Some(oldest) = paths.iter().min_by_key(|(_, at)| **at).map(|(&ip, _)| ip)
        {
            paths.remove(&oldest);
        }
        paths.insert(remote, now);
    }

    /// Whether that was noted lately, or just now of another path: what is narrow may
    /// be our own line, and each address would take as long to find that out.
    pub(super) fn contain(&self, remote: IpAddr, now: Instant) -> bool {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_within = |at: Option<Instant>, time| at.is_some_and(|at| now < at + time);
        is_within(noted.by_address.get(&remote).copied(), NARROW_FOR)
            || is_within(noted.latest, NARROW_LINE_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_path_is_remembered_for_a_while_and_only_so_many_are() {
        let now = Instant::now();
        let paths = NarrowPaths::default();
        let ip = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        for n in 0..=MAX_NARROW_PATHS {
            paths.note(ip(n), now + std::time::Duration::from_millis(n as u64));
        }
        assert_eq!(paths.0.lock().unwrap().by_address.len(), MAX_NARROW_PATHS);
        let later = now + NARROW_FOR / 2;
        assert!(!paths.contain(ip(0), later));
        assert!(paths.contain(ip(1), later));
        assert!(!paths.contain(ip(1), now + 2 * NARROW_FOR));
    }

    #[test]
    fn when_one_path_was_found_to_be_narrow_all_are_suspected_for_a_minute() {
        let now = Instant::now();
        let paths = NarrowPaths::default();
        let other = IpAddr::from([192, 0, 2, 2]);
        assert!(!paths.contain(other, now));
        paths.note(IpAddr::from([192, 0, 2, 1]), now);
        assert!(paths.contain(other, now + NARROW_LINE_FOR / 2));
        assert!(!paths.contain(other, now + NARROW_LINE_FOR));
    }
}
