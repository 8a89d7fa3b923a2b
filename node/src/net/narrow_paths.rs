//! Paths on which TCP has come to nothing, because large packets are lost there
//! and nobody says so: QUIC, which finds out what passes, goes first.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::limits::{MAX_NARROW_PATHS, NARROW_FOR};

/// The IP addresses at their ends. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct NarrowPaths(Arc<Mutex<BTreeMap<IpAddr, Instant>>>);

impl NarrowPaths {
    /// Notes that large packets do not arrive there.
    pub(super) fn note(&self, remote: IpAddr, now: Instant) {
        tracing::info!(address = %remote, "large packets of TCP do not arrive there; QUIC goes first from now on");
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() >= MAX_NARROW_PATHS
            && !noted.contains_key(&remote)
            && let Some(oldest) = noted.iter().min_by_key(|(_, at)| **at).map(|(&ip, _)| ip)
        {
            noted.remove(&oldest);
        }
        noted.insert(remote, now);
    }

    /// Whether that was noted lately.
    pub(super) fn contain(&self, remote: IpAddr, now: Instant) -> bool {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (noted.get(&remote)).is_some_and(|at| now < *at + NARROW_FOR)
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
        assert_eq!(paths.0.lock().unwrap().len(), MAX_NARROW_PATHS);
        assert!(!paths.contain(ip(0), now));
        assert!(paths.contain(ip(1), now));
        assert!(!paths.contain(ip(1), now + 2 * NARROW_FOR));
    }
}
