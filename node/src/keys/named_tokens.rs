//! Tokens that a user gives to programs: each has a name and may read, or write
//! too. The file has their hashes only, so that whoever reads it has none.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyhow::{Context, bail};
use data_encoding::HEXLOWER;
use headwater_client::data_dir::{Access, write_whole};
use headwater_client::keys::{Token, random_bytes, warn_if_others_can_read};
use headwater_client::object;
use headwater_protocols::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Tokens at most: one for each program that a machine runs, and some more. All
/// are compared with what a request shows.
const MAX_NAMED_TOKENS: usize = 64;

/// Characters of a name: it stands in one line of a list.
const MAX_TOKEN_NAME: usize = 64;

/// What a token lets its holder do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Rights {
    /// Every GET.
    ReadOnly,
    /// Everything, except opening the dashboard.
    ReadWrite,
}

impl Rights {
    /// The words for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
        }
    }
}

/// A token as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct NamedToken {
    /// What the user calls it.
    pub name: String,
    /// What it is good for.
    pub rights: Rights,
    /// When it was made, in microseconds since 1970.
    pub created_us: i64,
    /// SHA-256 of the token's text, in hexadecimal digits.
    sha256: String,
}

/// The tokens of a data folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct NamedTokens {
    /// In the order in which they were made.
    #[serde(deserialize_with = "object::list")]
    pub tokens: Vec<NamedToken>,
}

impl NamedTokens {
    /// Reads them. No file: no tokens.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot read the tokens {}", path.display()));
            }
        };
        warn_if_others_can_read(path);
        object::from_json_bytes(&bytes).with_context(|| {
            format!(
                "{} does not hold the tokens that `headwater token` writes; remove it, and make \
                 new ones",
                path.display()
            )
        })
    }

    /// Changes them in their file, one process at a time.
    ///
    /// # Errors
    /// `change` fails, or the file cannot be read or written.
    pub fn change<T>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let lock = path.with_extension("lock");
        let locked = File::create(&lock).and_then(|file| file.lock().map(|()| file));
        let _locked = locked.with_context(|| format!("cannot lock {}", lock.display()))?;
        let mut tokens = Self::load(path)?;
        let result = change(&mut tokens)?;
        let text = serde_json::to_string_pretty(&tokens).context("the tokens cannot be written")?;
        write_whole(path, format!("{text}\n").as_bytes(), Access::Owner)?;
        Ok(result)
    }

    /// Makes a token. It is not kept: only here it can be read.
    ///
    /// # Errors
    /// The name is taken or no name, there are too many, or the system has no
    /// random bytes.
    pub fn add(&mut self, name: &str, rights: Rights, now: Timestamp) -> anyhow::Result<Token> {
        check_name(name)?;
        if self.tokens.iter().any(|token| token.name == name) {
            bail!(
                "there is a token `{name}` already; take another name, or end that one with: \
                 headwater token revoke {name}"
            );
        }
        if self.tokens.len() >= MAX_NAMED_TOKENS {
            bail!("there are {MAX_NAMED_TOKENS} tokens already; revoke those that nobody uses");
        }
        let secret = HEXLOWER.encode(&random_bytes()?);
        self.tokens.push(NamedToken {
            name: name.to_owned(),
            rights,
            created_us: now.0,
            sha256: hash(secret.as_bytes()),
        });
        Ok(Token::new(secret))
    }

    /// Ends a token.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn revoke(&mut self, name: &str) -> anyhow::Result<()> {
        let before = self.tokens.len();
        self.tokens.retain(|token| token.name != name);
        if self.tokens.len() == before {
            bail!("there is no token `{name}`; `headwater token list` shows those that there are");
        }
        Ok(())
    }

    /// The token that this text is. Hashes are compared, so that the time it
    /// takes tells nothing of use.
    #[must_use]
    pub fn find(&self, given: &[u8]) -> Option<&NamedToken> {
        let given = hash(given);
        self.tokens.iter().find(|token| token.sha256 == given)
    }
}

fn hash(secret: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(secret))
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let is_taken = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > MAX_TOKEN_NAME || !name.chars().all(is_taken) {
        bail!(
            "`{}` cannot be the name of a token; take up to {MAX_TOKEN_NAME} letters (a to z), \
             digits, `-`, `_` and `.`",
            name.chars().take(100).collect::<String>()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    #[test]
    fn a_token_is_known_until_it_is_revoked_and_its_file_has_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        assert_eq!(NamedTokens::load(&path).unwrap(), NamedTokens::default());
        let add = |name: &str, rights| {
            NamedTokens::change(&path, |tokens| tokens.add(name, rights, NOW)).unwrap()
        };
        let (first, second) = (
            add("grafana", Rights::ReadOnly),
            add("engine", Rights::ReadWrite),
        );
        let found = |token: &Token| {
            let tokens = NamedTokens::load(&path).unwrap();
            let found = tokens.find(token.secret().as_bytes());
            found.map(|token| (token.name.clone(), token.rights))
        };
        assert_eq!(
            found(&first),
            Some(("grafana".to_owned(), Rights::ReadOnly))
        );
        assert_eq!(
            found(&second),
            Some(("engine".to_owned(), Rights::ReadWrite))
        );
        let written = fs::read_to_string(&path).unwrap();
        assert!(!written.contains(first.secret()), "{written}");
        // What stands in the file opens nothing.
        let hashed = Token::new(hash(first.secret().as_bytes()));
        assert_eq!(found(&hashed), None);
        assert_eq!(found(&Token::new("")), None);

        NamedTokens::change(&path, |tokens| tokens.revoke("grafana")).unwrap();
        assert_eq!(found(&first), None);
        assert!(found(&second).is_some());
        assert!(NamedTokens::change(&path, |tokens| tokens.revoke("grafana")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        NamedTokens::change(&path, |tokens| tokens.add("a", Rights::ReadOnly, NOW)).unwrap();
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn names_are_unique_short_and_plain_and_there_are_not_too_many() {
        let mut tokens = NamedTokens::default();
        tokens.add("a", Rights::ReadOnly, NOW).unwrap();
        assert!(tokens.add("a", Rights::ReadWrite, NOW).is_err());
        for wrong in ["", "a b", "ä", "a\n", "../x", &"x".repeat(65)] {
            assert!(tokens.add(wrong, Rights::ReadOnly, NOW).is_err(), "{wrong}");
        }
        for i in 1..MAX_NAMED_TOKENS {
            tokens.add(&format!("t{i}"), Rights::ReadOnly, NOW).unwrap();
        }
        assert!(tokens.add("one-more", Rights::ReadOnly, NOW).is_err());
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        for other in [r#"[[]]"#, r#"{"tokens":[["a","read-only",1,"00"]]}"#] {
            fs::write(&path, other).unwrap();
            assert!(NamedTokens::load(&path).is_err(), "{other}");
        }
        fs::write(&path, "{}\n[").unwrap();
        let changed = NamedTokens::change(&path, |tokens| tokens.add("a", Rights::ReadOnly, NOW));
        assert!(changed.unwrap_err().to_string().contains("remove it"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n[");
    }
}
