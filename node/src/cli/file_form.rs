//! Files that are published, and how.

use std::time::Duration;

use super::progress;
use crate::import::files::Files;
use crate::import::folds::Pass;

/// Files that are published one behind the other, and how.
#[derive(Clone, Debug)]
pub(super) struct FileForm {
    pub(super) files: Files,
    pub(super) resume: bool,
    /// Also where the stream may have the rows already.
    pub(super) again: bool,
    pub(super) skip_bad: bool,
    /// How long the node may stay away.
    pub(super) timeout: Option<Duration>,
}

impl FileForm {
    /// Looks at the local times of all files, before any row is read; where there
    /// are none, not a file is opened.
    ///
    /// # Errors
    /// One cannot be read.
    pub(super) async fn with_local_times(self, said: Option<Pass>) -> anyhow::Result<Self> {
        if !self.files.have_local_times() {
            return Ok(self);
        }
        let bar = progress::spinner("looking at local times");
        let look = move || {
            let files = self.files.with_local_times(said)?;
            bar.finish_and_clear();
            Ok(Self { files, ..self })
        };
        tokio::task::spawn_blocking(look).await?
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;
    use crate::import::files::tests;
    pub(in super::super) use crate::import::files::tests::rules;

    pub(in super::super) fn csv(folder: &Path, text: &str) -> FileForm {
        FileForm {
            files: tests::csv(folder, text),
            resume: false,
            again: false,
            skip_bad: false,
            timeout: None,
        }
    }
}
