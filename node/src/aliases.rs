//! What this node's user calls streams, beside the names that their publishers
//! gave them: local, and nobody else hears of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use headwater_client::data_dir::{Access, write_whole};
use headwater_protocols::id::LogId;
use headwater_protocols::manifest::{NameError, check_name};

use crate::failure::usage;

/// Aliases at most: one for each stream of a large node, and a file of 2 MB
/// that is written anew with each change.
const MAX_ALIASES: usize = 10_000;

/// The aliases of a data folder: one a stream at most, one stream an alias.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    by_name: BTreeMap<String, LogId>,
    by_log: BTreeMap<LogId, String>,
    /// Where they are kept; in memory alone without one.
    file: Option<PathBuf>,
}

impl Aliases {
    /// Reads them. No file: no aliases.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        let kept = match fs::read_to_string(file) {
            Ok(text) => serde_json::from_str(&text).map_err(anyhow::Error::new),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::default()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", file.display()));
            }
        };
        let aliases = kept.and_then(|kept| Self::read(file, kept));
        aliases
            .with_context(|| {
                format!(
                    "{} does not hold the aliases of streams that `headwater follow --as` writes; mend \
                     or remove it",
                    file.display()
                )
            })
            .map_err(usage)
    }

    fn read(file: &Path, kept: BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut aliases = Self::default();
        for (name, id) in kept {
            let log = id.parse()?;
            // What was taken by an earlier version stays.
            match check_name(&name) {
                Ok(()) | Err(NameError::LikeId(_) | NameError::Invisible(..)) => {}
                Err(error) => return Err(error.into()),
            }
            if aliases.by_log.insert(log, name.clone()).is_some() {
                bail!("stream {log} has two aliases");
            }
            aliases.by_name.insert(name, log);
        }
        aliases.file = Some(file.to_owned());
        Ok(aliases)
    }

    /// The stream that has this alias.
    #[must_use]
    pub fn stream(&self, name: &str) -> Option<LogId> {
        self.by_name.get(name).copied()
    }

    /// The alias of a stream.
    #[must_use]
    pub fn of(&self, log: LogId) -> Option<&str> {
        self.by_log.get(&log).map(String::as_str)
    }

    /// All of them, with their streams.
    pub fn all(&self) -> impl Iterator<Item = (LogId, &str)> {
        self.by_name.iter().map(|(name, log)| (*log, name.as_str()))
    }

    /// What they are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Gives a stream an alias instead of the one that it has, or none. The
    /// name was checked, and no other stream has it.
    ///
    /// # Errors
    /// There are too many, or the file cannot be written; then it stays as it
    /// was.
    pub fn set(&mut self, log: LogId, name: Option<&str>) -> anyhow::Result<()> {
        if self.of(log) == name {
            return Ok(());
        }
        let mut changed = self.clone();
        if let Some(before) = changed.by_log.remove(&log) {
            changed.by_name.remove(&before);
        }
        if let Some(name) = name {
            if changed.by_name.len() >= MAX_ALIASES {
                bail!("there are {MAX_ALIASES} aliases already; take some away");
            }
            changed.by_name.insert(name.to_owned(), log);
            changed.by_log.insert(log, name.to_owned());
        }
        changed.write()?;
        *self = changed;
        Ok(())
    }

    fn write(&self) -> anyhow::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let kept = self.by_name.iter();
        let kept: BTreeMap<_, _> = kept.map(|(name, log)| (name, log.to_string())).collect();
        let text = serde_json::to_string_pretty(&kept).context("the aliases cannot be written")?;
        Ok(write_whole(
            file,
            format!("{text}\n").as_bytes(),
            Access::All,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_kept_changed_and_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("aliases");
        let mut aliases = Aliases::load(&file).unwrap();
        let (wind, rain) = (LogId([1; 32]), LogId([2; 32]));
        aliases.set(wind, Some("pier")).unwrap();
        aliases.set(rain, Some("roof")).unwrap();
        aliases.set(wind, Some("harbour")).unwrap();
        let again = Aliases::load(&file).unwrap();
        assert_eq!(again, aliases);
        assert_eq!(again.stream("harbour"), Some(wind));
        assert_eq!(again.stream("pier"), None);
        assert_eq!(again.of(rain), Some("roof"));
        aliases.set(rain, None).unwrap();
        let names = Aliases::load(&file).unwrap();
        assert_eq!(names.names().collect::<Vec<_>>(), ["harbour"]);
    }

    #[test]
    fn a_damaged_file_is_called_that() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("aliases");
        let id = LogId([1; 32]);
        for text in [
            "",
            "[]",
            "{\"a\": \"b\"}",
            &format!("{{\"..\": \"{id}\"}}"),
            &format!("{{\"a\": \"{id}\", \"b\": \"{id}\"}}"),
        ] {
            fs::write(&file, text).unwrap();
            let error = Aliases::load(&file).unwrap_err().to_string();
            assert!(error.contains("does not hold the aliases"), "{error}");
        }
    }

    #[test]
    fn there_are_not_too_many() {
        let mut aliases = Aliases::default();
        for i in 0..MAX_ALIASES {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&i.to_be_bytes());
            aliases.set(LogId(id), Some(&i.to_string())).unwrap();
        }
        let one_more = aliases.set(LogId([9; 32]), Some("more"));
        assert!(one_more.is_err() && aliases.stream("more").is_none());
    }
}
