//! How many files the process may have open: each connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files that are open beside connections: 512 of the store, connections under
/// negotiation, listeners, the API.
const OTHERS: u64 = 1_024;

/// Raises the limit as far as this many connections need, and the system
/// allows. Shells usually start programs with 1,024 of half a million.
pub(super) fn allow(connections: u32) {
    let wanted = u64::from(connections) + OTHERS;
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files is not known");
            return;
        }
    };
    let limit = wanted.min(hard);
    if soft < limit
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, limit, hard)
    {
        tracing::warn!(%error, soft, wanted, "cannot raise the limit of open files");
        return;
    }
    if hard < wanted {
        tracing::warn!(
            hard,
            wanted,
            "too few files may be open for max_connections = {connections}; lower it, or raise the \
             limit with `ulimit -Hn` or LimitNOFILE"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_for_many_connections_and_never_lowered() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        allow(16);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, soft);
        setrlimit(Resource::RLIMIT_NOFILE, 256, hard).unwrap();
        allow(4_096);
        let raised = getrlimit(Resource::RLIMIT_NOFILE).unwrap().0;
        assert_eq!(raised, (4_096 + OTHERS).min(hard));
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    }
}
