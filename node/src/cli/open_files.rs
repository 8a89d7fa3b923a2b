//! How many files the process may have open, and who may have them: each
//! connection is one, and the store must never be without.

use anyhow::anyhow;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::api::limits::{
    CLOSING_CONNECTIONS, MAX_API_CONNECTIONS, MAX_TARPIT, MIN_API_CONNECTIONS,
};
use crate::failure::{for_now, usage};
use crate::net::limits::{KEPT_DIALLED_AT_ONCE, MAX_PENDING_CONNECTIONS};

/// Files of the store: 512 tables, and the logs, locks, marks, answers in files
/// and listeners of the rest of the node.
const STORE: u64 = 640;

/// Connections to peers at least: the sources of a few streams.
const MIN_PEERS: u64 = 32;

/// Sockets of one dial at most: those of the addresses that are dialled at once.
const OF_DIAL: u64 = KEPT_DIALLED_AT_ONCE.get() as u64;

/// Sockets of peers beside established connections: one for each that comes and is
/// being set up, and those of as many dials.
const NEGOTIATED: u64 = (1 + OF_DIAL) * MAX_PENDING_CONNECTIONS as u64;

/// What each part of the node may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// Established connections to peers.
    pub(super) connections: u32,
    /// Connections of peers that are being set up.
    pub(super) pending: u32,
    /// Dials of peers.
    pub(super) dials: u32,
    /// Connections of the API.
    pub(super) api: usize,
    /// Those of it that are closed and do not know it: what is left of all files.
    pub(super) tarpit: usize,
}

/// Raises the limit as far as the system allows (shells usually start programs
/// with 1,024 of half a million) and says what becomes of it.
///
/// # Errors
/// Too few files may be open for a node.
pub(super) fn allow(connections: u32) -> anyhow::Result<Shares> {
    let limit = match raised() {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files is not known, or cannot be raised");
            // What is usual where nothing is said.
            1_024
        }
    };
    let shares = shares(limit, connections);
    let shares = shares.ok_or_else(|| usage(anyhow!("{}", too_few(limit, least()))))?;
    let Shares {
        connections: peers,
        pending,
        dials,
        api,
        tarpit: _,
    } = shares;
    tracing::info!(
        limit,
        store = STORE,
        peers,
        pending,
        dials,
        api,
        "open files: so many for the store, and as connections to peers, others that come and are being set up, \
         dials, and connections of the API"
    );
    if peers < connections || api < MAX_API_CONNECTIONS {
        tracing::warn!(
            limit,
            wanted = wanted(connections),
            "too few files may be open for {connections} connections to peers (max_connections) and \
             {MAX_API_CONNECTIONS} of the API: they are {peers} and {api}; raise the limit with `ulimit -Hn` or \
             LimitNOFILE"
        );
    }
    Ok(shares)
}

fn raised() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// Files that so many connections to peers need, with all else.
fn wanted(connections: u32) -> u64 {
    let api = MAX_API_CONNECTIONS + CLOSING_CONNECTIONS;
    STORE + NEGOTIATED + u64::from(connections) + api as u64
}

fn least() -> u64 {
    let api = MIN_API_CONNECTIONS + CLOSING_CONNECTIONS;
    STORE + 2 * MIN_PEERS + api as u64
}

/// What is left beside the store, for peers and the API in the proportion in
/// which they want it; nothing where that is too little.
fn shares(limit: u64, connections: u32) -> Option<Shares> {
    if let Some(spare) = limit.checked_sub(wanted(connections)) {
        return Some(Shares {
            connections,
            pending: MAX_PENDING_CONNECTIONS,
            dials: MAX_PENDING_CONNECTIONS,
            api: MAX_API_CONNECTIONS,
            tarpit: usize::try_from(spare).map_or(MAX_TARPIT, |spare| spare.min(MAX_TARPIT)),
        });
    }
    if limit < least() {
        return None;
    }
    let left = limit - STORE - CLOSING_CONNECTIONS as u64;
    let least_api = MIN_API_CONNECTIONS as u64;
    let (peers, api) = (
        NEGOTIATED + u64::from(connections),
        MAX_API_CONNECTIONS as u64,
    );
    let api = (left * api / (peers + api)).clamp(least_api, left - 2 * MIN_PEERS);
    // Of a small share more than half stays for those that are established.
    let peers = left - api;
    let negotiated = NEGOTIATED.min(peers / 2);
    let most = u64::from(MAX_PENDING_CONNECTIONS);
    let pending = (negotiated / 2).min(most);
    let dials = ((negotiated - pending) / OF_DIAL).min(most);
    let established = (peers - negotiated).min(u64::from(connections));
    Some(Shares {
        connections: u32::try_from(established).unwrap_or(connections),
        pending: u32::try_from(pending).unwrap_or(MAX_PENDING_CONNECTIONS),
        dials: u32::try_from(dials).unwrap_or(MAX_PENDING_CONNECTIONS),
        api: usize::try_from(api).unwrap_or(MAX_API_CONNECTIONS),
        tarpit: 0,
    })
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
        Ok((limit, _)) => for_now(error.context(too_few(limit, wanted(connections)))),
        Err(_) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_without_descriptors_says_how_many_it_needs() {
        let said = |why: &str| format!("{:#}", explain(anyhow!("{why}"), 512));
        let why = "cannot read store/instance: Too many open files (os error 24)";
        let text = said(why);
        let needs = format!("the node needs {}", wanted(512));
        assert!(text.contains(&needs), "{text}");
        assert!(text.ends_with(why), "{text}");
        assert_eq!(said("Permission denied"), "Permission denied");
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 256, hard).unwrap();
        allow(16).unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    }

    #[test]
    fn all_get_what_they_want_where_there_is_enough() {
        let all = |connections, tarpit| Shares {
            connections,
            pending: 128,
            dials: 128,
            api: 1_024,
            tarpit,
        };
        assert_eq!(shares(wanted(512), 512), Some(all(512, 0)));
        assert_eq!(shares(wanted(512) + 7, 512), Some(all(512, 7)));
        assert_eq!(shares(524_288, 4_096), Some(all(4_096, 1_024)));
    }

    #[test]
    fn the_store_keeps_its_files_however_few_there_are() {
        assert_eq!(shares(least() - 1, 512), None);
        for limit in least()..wanted(512) {
            let Shares {
                connections,
                pending,
                dials,
                api,
                tarpit,
            } = shares(limit, 512).unwrap();
            let peers = u64::from(connections);
            assert!(pending >= 16 && dials >= 2, "{limit}: {pending} {dials}");
            assert!(peers >= MIN_PEERS, "{limit}: {connections}");
            assert!(api >= MIN_API_CONNECTIONS, "{limit}: {api}");
            let negotiated = u64::from(pending) + OF_DIAL * u64::from(dials);
            let api = api + CLOSING_CONNECTIONS + tarpit;
            let taken = STORE + peers + negotiated + api as u64;
            assert!(taken <= limit, "{limit}: {connections} {api}");
        }
        let few = shares(1_024, 512).unwrap();
        assert!(
            few.connections >= 60 && few.pending >= 30 && few.dials >= 6 && few.api >= 120,
            "{few:?}"
        );
    }
}
