//! The named tokens, as they are in the data folder now: the commands change the
//! file, and the next request sees it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::keys::{NamedToken, NamedTokens};

/// The file, and what was read of it last.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    read: Mutex<(Option<Stamp>, NamedTokens)>,
}

/// What tells one version of the file from another. Each is a new file that
/// takes the name of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: Option<SystemTime>,
}

impl TokenFile {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: Mutex::default(),
        }
    }

    /// The token that this text is. A file that cannot be read has none.
    pub(super) fn find(&self, given: &[u8]) -> Option<NamedToken> {
        let stamp = Stamp::of(&self.path);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.0 != stamp {
            let tokens = NamedTokens::load(&self.path).unwrap_or_else(|error| {
                tracing::warn!("{error:#}");
                NamedTokens::default()
            });
            *read = (stamp, tokens);
        }
        read.1.find(given).cloned()
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let file = fs::metadata(path).ok()?;
        Some(Self {
            inode: file.ino(),
            length: file.len(),
            modified: file.modified().ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocols::time::Timestamp;

    use super::*;
    use crate::keys::Rights;

    #[test]
    fn a_change_of_the_file_counts_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let file = TokenFile::new(&path);
        assert!(file.find(b"x").is_none());
        for _ in 0..20 {
            let add = |tokens: &mut NamedTokens| tokens.add("a", Rights::ReadOnly, Timestamp(0));
            let token = NamedTokens::change(&path, add).unwrap();
            assert!(file.find(token.secret().as_bytes()).is_some());
            NamedTokens::change(&path, |tokens| tokens.revoke("a")).unwrap();
            assert!(file.find(token.secret().as_bytes()).is_none());
        }
        let add = |tokens: &mut NamedTokens| tokens.add("a", Rights::ReadOnly, Timestamp(0));
        let token = NamedTokens::change(&path, add).unwrap();
        fs::write(&path, "no tokens").unwrap();
        assert!(file.find(token.secret().as_bytes()).is_none());
        fs::remove_file(&path).unwrap();
        assert!(file.find(token.secret().as_bytes()).is_none());
    }
}
