//! How many files the process may have open: each connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::failure::for_now;

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
            "{}; for fewer connections (max_connections = {connections}) it needs fewer",
            too_few(hard, wanted)
        );
    }
}

fn too_few(limit: u64, wanted: u64) -> String {
    format!(
        "this process may have {limit} files open, and the node needs {wanted}; raise the limit \
         (`ulimit -Hn`, or LimitNOFILE of the service)"
    )
}

/// Says what to do about a start that failed because too few files may be open.
pub(super) fn explain(error: anyhow::Error, connections: u32) -> anyhow::Error {
    let is_cause = |text: String| text.contains("Too many open files");
    if !error.chain().any(|cause| is_cause(cause.to_string())) {
        return error;
    }
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((limit, _)) => for_now(error.context(too_few(limit, u64::from(connections) + OTHERS))),
        Err(_) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_without_descriptors_says_how_many_it_needs() {
        let said = |why: &str| format!("{:#}", explain(anyhow::anyhow!("{why}"), 512));
        let why = "cannot read store/instance: Too many open files (os error 24)";
        let text = said(why);
        assert!(text.contains("the node needs 1536"), "{text}");
        assert!(text.ends_with(why), "{text}");
        assert_eq!(said("Permission denied"), "Permission denied");
    }

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
