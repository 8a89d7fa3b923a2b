//! What it means that the process may open no more files: listeners pause, and
//! it is said once for as long as it lasts.

use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::{Node, Severity, lock};

/// The trouble of a process that has no file left.
const TROUBLE: &str = "open-files";

/// How long after the last failure it is over. Listeners try again ten times a
/// second while somebody waits to be let in.
const OVER_AFTER: Duration = Duration::from_secs(2);

/// When a listener found no file left, while that is a trouble.
#[derive(Debug, Default)]
pub(super) struct OutOfFiles(Mutex<Option<Instant>>);

/// Whether a call failed because the process, or the system, may open no more
/// files, or has no memory for a socket.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    let number = error
        .raw_os_error()
        .or_else(|| number_in(&error.to_string()));
    matches!(
        number.map(Errno::from_raw),
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
    )
}

/// The number of the system's error in a text: transports wrap errors in types
/// of their own, which pass on nothing but the words.
fn number_in(text: &str) -> Option<i32> {
    let (_, rest) = text.split_once("(os error ")?;
    rest.split_once(')')?.0.parse().ok()
}

impl Node {
    /// Notes that a listener could accept nobody for want of files. It ends by
    /// itself a moment after the last time.
    pub(crate) fn ran_out_of_files(&self, listener: &str, error: &io::Error) {
        let known = lock(&self.shared.out_of_files.0).replace(Instant::now());
        if known.is_some() {
            return;
        }
        let what = format!("{listener} cannot accept connections: {error}");
        let advice = "raise the limit of open files (ulimit -Hn, LimitNOFILE) and start the node anew, or \
                      lower max_connections";
        self.trouble_begins(TROUBLE, Severity::Failure, what, advice);
        let node = self.clone();
        tokio::spawn(async move {
            while let Some(last) = node.last_out_of_files() {
                tokio::time::sleep_until((last + OVER_AFTER).into()).await;
            }
            node.trouble_ends(TROUBLE);
        });
    }

    /// When there was no file left, unless that is over.
    fn last_out_of_files(&self) -> Option<Instant> {
        let mut last = lock(&self.shared.out_of_files.0);
        if last.is_some_and(|last| last.elapsed() >= OVER_AFTER) {
            *last = None;
        }
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_also_where_a_transport_has_wrapped_it() {
        let bare = io::Error::from_raw_os_error(Errno::EMFILE as i32);
        assert!(is_out_of_files(&bare));
        assert!(is_out_of_files(&io::Error::other(bare.to_string())));
        let other = io::Error::from_raw_os_error(Errno::ECONNABORTED as i32);
        assert!(!is_out_of_files(&other));
        assert!(!is_out_of_files(&io::Error::other(other.to_string())));
        assert!(!is_out_of_files(&io::Error::other("(os error")));
    }
}
