//! `init`: a new node's key, token and options.

use anyhow::{Context, anyhow};
use clap::Args;
use headwater_client::data_dir::{Access, DataDir, Lock, write_whole};
use headwater_client::keys::{self, Token};
use libp2p::identity::Keypair;
use serde::Serialize;

use super::Invocation;
use super::output::shown_path;
use crate::config;
use crate::failure::usage;

/// Create a node: its key, its API token, its config; nothing is overwritten
#[derive(Args, Debug)]
pub(crate) struct InitArgs {}

#[derive(Serialize)]
struct Created {
    peer_id: String,
    data_dir: String,
}

pub(super) fn init(invocation: &Invocation, _args: &InitArgs) -> anyhow::Result<()> {
    let data_dir = invocation.data_dir()?;
    data_dir.create()?;
    refuse_existing(&data_dir)?;
    let lock = data_dir.lock()?;
    // Another process may have been quicker.
    refuse_existing(&data_dir)?;
    let (keypair, _) = create(&data_dir, &lock)?;
    let out = invocation.out;
    let peer_id = keypair.public().to_peer_id().to_string();
    if out.json {
        let data_dir = data_dir.path().display().to_string();
        return out.json(&Created { peer_id, data_dir });
    }
    out.line(format!("created a node in {}", shown_path(data_dir.path())))?;
    out.line(format!("peer id  {peer_id}"))?;
    let options = shown_path(&data_dir.config_file());
    out.line(format!("options  {options}"))?;
    out.line(format!(
        "Keep {} safe: whoever has it can publish in this node's name.",
        shown_path(&data_dir.key_file())
    ))
}

fn refuse_existing(data_dir: &DataDir) -> anyhow::Result<()> {
    for path in [
        data_dir.key_file(),
        data_dir.token_file(),
        data_dir.config_file(),
    ] {
        if path.exists() {
            return Err(usage(anyhow!(
                "{} exists; nothing was changed (for another node, name another folder with \
                 --data-dir)",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Creates what the folder lacks.
///
/// # Errors
/// It is not writable, or has streams of a key that is gone.
pub(super) fn create(data_dir: &DataDir, _lock: &Lock) -> anyhow::Result<(Keypair, Token)> {
    if data_dir.store_dir().exists() && !data_dir.is_initialised() {
        return Err(usage(anyhow!(
            "{} has streams, but the key that they belong to is gone; restore the file `key` from \
             a backup",
            data_dir.path().display()
        )));
    }
    if !data_dir.config_file().exists() {
        let template = config::TEMPLATE.as_bytes();
        let written = write_whole(&data_dir.config_file(), template, Access::All);
        // It has nothing but examples, and the disk may be full.
        if !data_dir.is_initialised() {
            written?;
        }
    }
    let token = Token::load_or_create(&data_dir.token_file())?;
    // The key comes last: it is what makes the folder a node's.
    let keypair = match data_dir.is_initialised() {
        true => keys::load_key(&data_dir.key_file())?,
        false => keys::create_key(&data_dir.key_file()).context("cannot create the node's key")?,
    };
    Ok((keypair, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_created_once() {
        let folder = tempfile::tempdir().unwrap();
        let invocation = Invocation {
            data_dir: Some(folder.path().join("node")),
            mark_dir: None,
            config: None,
            api: None,
            out: super::super::output::Output::new(true),
        };
        init(&invocation, &InitArgs {}).unwrap();
        let data_dir = invocation.data_dir().unwrap();
        let key = std::fs::read(data_dir.key_file()).unwrap();
        let error = init(&invocation, &InitArgs {}).unwrap_err().to_string();
        assert!(error.contains("nothing was changed"), "{error}");
        assert_eq!(std::fs::read(data_dir.key_file()).unwrap(), key);

        std::fs::remove_file(data_dir.token_file()).unwrap();
        create(&data_dir, &data_dir.lock().unwrap()).unwrap();
        assert!(data_dir.token_file().exists());
        assert_eq!(std::fs::read(data_dir.key_file()).unwrap(), key);
    }

    #[test]
    fn streams_without_their_key_are_not_given_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(folder.path());
        std::fs::create_dir(data_dir.store_dir()).unwrap();
        let error = create(&data_dir, &data_dir.lock().unwrap()).unwrap_err();
        assert!(error.to_string().contains("restore the file `key`"));
        assert!(!data_dir.is_initialised());
    }
}
