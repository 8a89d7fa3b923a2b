//! The files of a node's folders, and what may befall them.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use headwater_tests::TestNode;

use crate::dice::Dice;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    LogOfWrites,
    Manifest,
    Current,
    Options,
    Identity,
    Instance,
    Key,
    Token,
    Tokens,
    Config,
    Peers,
    Lock,
    Addresses,
    /// What stands outside of the data folder.
    Mark,
    /// What RocksDB writes for people.
    InfoLog,
    Other,
}

impl Kind {
    /// Of a file, by its place below the node's folder.
    fn of(relative: &Path) -> Self {
        let name = relative.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default();
        if !relative.starts_with("data") {
            return Self::Mark;
        }
        match name {
            "CURRENT" => Self::Current,
            "IDENTITY" => Self::Identity,
            "instance" => Self::Instance,
            "key" => Self::Key,
            "token" => Self::Token,
            "tokens" => Self::Tokens,
            "config.toml" => Self::Config,
            "peers" => Self::Peers,
            "lock" | "LOCK" => Self::Lock,
            "api.addr" | "node.addrs" => Self::Addresses,
            _ if name.ends_with(".sst") => Self::Table,
            _ if name.ends_with(".log") => Self::LogOfWrites,
            _ if name.starts_with("MANIFEST-") => Self::Manifest,
            _ if name.starts_with("OPTIONS-") => Self::Options,
            _ if name.starts_with("LOG") => Self::InfoLog,
            _ => Self::Other,
        }
    }

    /// How it is called in what is printed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::LogOfWrites => "log of writes",
            Self::Manifest => "MANIFEST",
            Self::Current => "CURRENT",
            Self::Options => "OPTIONS",
            Self::Identity => "IDENTITY",
            Self::Instance => "instance",
            Self::Key => "key",
            Self::Token => "token",
            Self::Tokens => "tokens",
            Self::Config => "config.toml",
            Self::Peers => "peers",
            Self::Lock => "lock",
            Self::Addresses => "addresses",
            Self::Mark => "mark",
            Self::InfoLog => "LOG",
            Self::Other => "other",
        }
    }

    /// How often it is drawn: what holds records, most often.
    fn weight(self) -> u64 {
        match self {
            Self::Table => 10,
            Self::LogOfWrites => 8,
            Self::Manifest | Self::Current | Self::Mark => 3,
            Self::Options | Self::Instance | Self::Key => 2,
            _ => 1,
        }
    }
}

/// What befalls a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// One bit, at this byte.
    Flip { offset: u64, bit: u64 },
    /// So many bytes, from this one on.
    Overwrite { offset: u64, bytes: u64 },
    /// Everything from here on is gone.
    Cut { offset: u64 },
    /// All of it is gone.
    Empty,
    /// The file is gone.
    Delete,
}

/// One file of a node, and what befalls it.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    /// The node's folder: data folder, mark and log.
    folder: PathBuf,
    file: PathBuf,
    pub(crate) kind: Kind,
    how: How,
    noise: Dice,
}

impl Damage {
    /// Draws a file of a node that does not run, and what befalls it.
    pub(crate) fn draw(node: &TestNode, dice: &mut Dice) -> Result<Self> {
        let folder = node.dir().parent().context("no folder")?.to_owned();
        let mut files = Vec::new();
        list(&folder, &mut files)?;
        // What the node writes to its standard output is none of its files.
        files.retain(|file| *file != folder.join("log"));
        files.sort();
        let kind_of = |file: &Path| Kind::of(file.strip_prefix(&folder).unwrap_or(file));
        let weighted: Vec<_> = files
            .iter()
            .map(|file| {
                let kind = kind_of(file);
                let of_kind = files.iter().filter(|other| kind_of(other) == kind).count() as u64;
                // However many files a kind has, it is drawn as often.
                (file.clone(), kind.weight() * 1_000 / of_kind.max(1))
            })
            .collect();
        let file = dice.weighted(&weighted).context("no files")?.clone();
        let length = fs::metadata(&file)?.len();
        let offset = dice.below(length);
        let ways = [
            (
                How::Flip {
                    offset,
                    bit: dice.below(8),
                },
                40,
            ),
            (
                How::Overwrite {
                    offset,
                    bytes: dice.between(1, 65),
                },
                20,
            ),
            (How::Cut { offset }, 20),
            (How::Empty, 10),
            (How::Delete, 10),
        ];
        let how = match length {
            0 => How::Delete,
            _ => *dice.weighted(&ways).context("no way")?,
        };
        let kind = kind_of(&file);
        let noise = Dice::new(dice.below(u64::MAX));
        Ok(Self {
            folder,
            file,
            kind,
            how,
            noise,
        })
    }

    /// Damages the file.
    pub(crate) fn apply(&self) -> Result<()> {
        let open = || OpenOptions::new().read(true).write(true).open(&self.file);
        match self.how {
            How::Flip { offset, bit } => {
                let file = open()?;
                let mut byte = [0];
                file.read_exact_at(&mut byte, offset)?;
                byte[0] ^= 1 << bit;
                file.write_all_at(&byte, offset)?;
            }
            How::Overwrite { offset, bytes } => {
                let file = open()?;
                let end = file.metadata()?.len().min(offset + bytes);
                let mut noise = self.noise.clone();
                let noise: Vec<_> = (offset..end).map(|_| noise.below(256) as u8).collect();
                file.write_all_at(&noise, offset)?;
            }
            How::Cut { offset } => open()?.set_len(offset)?,
            How::Empty => open()?.set_len(0)?,
            How::Delete => fs::remove_file(&self.file)?,
        }
        Ok(())
    }

    /// Whether bytes are wrong that are there, which checksums tell. What is
    /// missing at the end may never have been written, for all that a node knows.
    pub(crate) fn is_wrong_bytes(&self) -> bool {
        matches!(self.how, How::Flip { .. } | How::Overwrite { .. })
    }

    /// Where the file is, from the node's folder.
    pub(crate) fn relative(&self) -> String {
        let relative = self.file.strip_prefix(&self.folder);
        relative.unwrap_or(&self.file).display().to_string()
    }

    /// The file's name.
    pub(crate) fn file_name(&self) -> String {
        let name = self.file.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// What befell it.
    pub(crate) fn how(&self) -> String {
        format!("{:?}", self.how)
    }
}

/// All files below a folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_node_has_its_kind() {
        let kinds = [
            ("data/store/000012.sst", Kind::Table),
            ("data/store/000013.log", Kind::LogOfWrites),
            ("data/store/MANIFEST-000005", Kind::Manifest),
            ("data/store/CURRENT", Kind::Current),
            ("data/store/OPTIONS-000007", Kind::Options),
            ("data/store/LOG.old.1", Kind::InfoLog),
            ("data/store/instance", Kind::Instance),
            ("data/key", Kind::Key),
            ("mark/key", Kind::Mark),
        ];
        for (path, kind) in kinds {
            assert_eq!(Kind::of(Path::new(path)), kind, "{path}");
        }
    }
}
