//! Nodes of a private network, and those who are not let in, over TCP and over
//! QUIC.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::{TestNode, USAGE};
use tempfile::TempDir;
use tokio::time::Instant;

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// The key files of two private networks.
struct Keys {
    _folder: TempDir,
    ours: String,
    other: String,
}

impl Keys {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let maker = TestNode::new()?;
        let make = |name: &str| -> Result<String> {
            let path = folder.path().join(name);
            let path = path.to_str().context("path")?.to_owned();
            maker.run(&["network", "new", &path])?;
            Ok(path)
        };
        let (ours, other) = (make("ours")?, make("other")?);
        Ok(Self {
            _folder: folder,
            ours,
            other,
        })
    }
}

/// A node with this key, if any, that knows these addresses.
async fn start(listen: &str, key: Option<&str>, known: &[&str]) -> Result<TestNode> {
    let mut args = Vec::new();
    if let Some(key) = key {
        args.extend(["--private-network", key]);
    }
    if !known.is_empty() {
        args.push("--bootstrap");
        args.extend(known);
    }
    TestNode::start_on(listen, &args).await
}

async fn members_exchange_history_and_live_records(listen: &str) -> Result<()> {
    let keys = Keys::new()?;
    let publisher = start(listen, Some(&keys.ours), &[]).await?;
    let stream = publisher.create("t")?;
    publisher.publish_numbers(&stream, 0, 5_000)?;

    let subscriber = start(listen, Some(&keys.ours), &[]).await?;
    subscriber.run(&["follow", &publisher.invite(&stream)?])?;
    subscriber.until_synced(&stream, 5_000).await?;
    for i in 0..20 {
        publisher.publish_numbers(&stream, 5_000 + i, 1)?;
    }
    subscriber.until_synced(&stream, 5_020).await?;
    ensure!(
        publisher.export(&stream)? == subscriber.export(&stream)?,
        "the exports differ"
    );

    // All nodes of the network show the same, and it is not the key.
    let shown = publisher.json(&["status"])?["private_network"].clone();
    let shown = shown.as_str().context("no fingerprint")?;
    ensure!(subscriber.get("/v1/node").await?["private_network"] == shown);
    ensure!(shown.len() == 8 && !fs::read_to_string(&keys.ours)?.contains(shown));
    Ok(())
}

#[tokio::test]
async fn members_exchange_history_and_live_records_over_tcp() -> Result<()> {
    members_exchange_history_and_live_records(TCP).await
}

#[tokio::test]
async fn members_exchange_history_and_live_records_over_quic() -> Result<()> {
    members_exchange_history_and_live_records(QUIC).await
}

/// Nobody has introduced itself to this node, and it has nothing of the stream.
async fn ensure_knows_nothing(stranger: &TestNode, stream: &str) -> Result<()> {
    let peers = stranger.get("/v1/peers").await?;
    for peer in peers.as_array().context("no list")? {
        // To a node without a key a connection over QUIC is one, for a moment.
        ensure!(peer["agent"].is_null(), "introduced to {peer}");
        ensure!(peer["syncs"] == false, "syncs with {peer}");
    }
    let shown = stranger.get(&format!("/v1/streams/{stream}")).await?;
    ensure!(
        shown["size"] == 0 && shown["name"] == "",
        "a stranger got {shown}"
    );
    Ok(())
}

async fn strangers_get_nothing(listen: &str) -> Result<()> {
    let keys = Keys::new()?;
    // Two that the member dials, and two that dial it.
    let dialled = [
        start(listen, None, &[]).await?,
        start(listen, Some(&keys.other), &[]).await?,
    ];
    let (one, other) = (dialled[0].address()?, dialled[1].address()?);
    let member = start(listen, Some(&keys.ours), &[&one, &other]).await?;
    let stream = member.create("t")?;
    member.publish_numbers(&stream, 0, 1_000)?;
    let invite = member.invite(&stream)?;
    let known = member.address()?;
    let dialling = [
        start(listen, None, &[&known]).await?,
        start(listen, Some(&keys.other), &[&known]).await?,
    ];
    for stranger in &dialling {
        stranger.run(&["follow", &invite])?;
    }
    for stranger in &dialled {
        stranger.run(&["follow", &stream])?;
    }

    // Each end of each pair says what may be wrong.
    let names_key = |line: &str| line.contains("network key") || line.contains("--private-network");
    for (dialled, address) in dialled.iter().zip([&one, &other]) {
        let bare = address.split("/p2p/").next().context("an address")?;
        member
            .until_log(|log| {
                log.lines()
                    .any(|line| line.contains(bare) && names_key(line))
            })
            .await?;
        // A node without a key cannot know that it was dialled over TCP by one
        // that encrypts everything.
        if listen == QUIC || address == &other {
            dialled.until_log(|log| log.lines().any(names_key)).await?;
        }
    }
    for stranger in &dialling {
        stranger.until_log(|log| log.lines().any(names_key)).await?;
    }

    // As long as they try, and while there are live records, they get nothing;
    // who has the key gets all.
    let joiner = start(listen, Some(&keys.ours), &[&known]).await?;
    let joiner_id = joiner.peer_id()?;
    joiner.run(&["follow", &stream])?;
    let started = Instant::now();
    let mut published = 1_000;
    while started.elapsed() < Duration::from_secs(4) {
        member.publish_numbers(&stream, published, 1)?;
        published += 1;
        let peers = member.get("/v1/peers").await?;
        for peer in peers.as_array().context("no list")? {
            ensure!(peer["peer_id"] == joiner_id.as_str(), "let in: {peer}");
        }
        for stranger in dialled.iter().chain(&dialling) {
            ensure_knows_nothing(stranger, &stream).await?;
        }
    }
    joiner.until_synced(&stream, published).await?;
    let key = fs::read_to_string(&keys.ours)?;
    let secret = key.lines().nth(2).context("no key")?;
    ensure!(!member.log().contains(secret), "the key is in the log");
    Ok(())
}

#[tokio::test]
async fn strangers_get_nothing_over_tcp() -> Result<()> {
    strangers_get_nothing(TCP).await
}

#[tokio::test]
async fn strangers_get_nothing_over_quic() -> Result<()> {
    strangers_get_nothing(QUIC).await
}

#[test]
fn a_bad_key_file_is_refused_with_what_is_wrong_and_what_to_do() -> Result<()> {
    let node = TestNode::new()?;
    let file = node.dir().join("swarm.key");
    let path = file.to_str().context("path")?;
    let run = || node.fails_with(USAGE, &["run", "--listen", TCP, "--private-network", path]);
    let ensure_says = |errors: String, words: &[&str]| -> Result<()> {
        for word in words {
            ensure!(errors.contains(word), "`{word}` is not in: {errors}");
        }
        ensure!(errors.contains("swarm.key"), "which file? {errors}");
        Ok(())
    };
    ensure_says(run()?, &["cannot read", "headwater network new"])?;

    let made = node.run(&["network", "new", path])?;
    ensure!(made.contains("headwater run --private-network"), "{made}");
    let whole = fs::read_to_string(&file)?;
    ensure_says(node.fails(&["network", "new", path])?, &["not overwritten"])?;
    ensure!(fs::read_to_string(&file)? == whole, "it was overwritten");

    fs::write(
        &file,
        whole
            .trim_end()
            .strip_suffix(char::is_alphanumeric)
            .context("short")?,
    )?;
    ensure_says(run()?, &["63 hex digits instead of 64"])?;
    fs::write(&file, "secret")?;
    ensure_says(run()?, &["is not a network key", "/key/swarm/psk/1.0.0/"])?;

    use std::os::unix::fs::PermissionsExt;
    fs::write(&file, &whole)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    ensure_says(run()?, &["others may read", "chmod 600"])?;

    // The same from the config, where the file lies beside it.
    let config = "private_network = 'swarm.key'\nlisten = ['/ip4/127.0.0.1/tcp/0']\n";
    fs::write(node.dir().join("config.toml"), config)?;
    ensure_says(
        node.fails_with(USAGE, &["run"])?,
        &["others may read", "chmod 600"],
    )
}
