//! Exit statuses: 1 failed, 2 wrong usage or configuration, 3 failed for now.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use headwater_tests::{FOR_NOW, TestNode, USAGE, binary};

use super::{ensure_says, path};

const LISTEN: &str = "/ip4/127.0.0.1/tcp/0";

/// Arguments of `run` that do no harm, and more.
fn run<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["run"];
    if !more.contains(&"--api-listen") {
        args.extend(["--api-listen", "127.0.0.1:0"]);
    }
    if !more.contains(&"--listen") {
        args.extend(["--listen", LISTEN]);
    }
    args.extend(more);
    args
}

#[test]
fn a_service_is_not_started_again_with_wrong_flags() -> Result<()> {
    let node = TestNode::new()?;
    for (flags, word) in [
        (["--listen", "127.0.0.1:4600"], "multiaddr"),
        (["--listen", "/ip4/127.0.0.1"], "listen"),
        (["--bootstrap", "foo"], "multiaddr"),
        (["--bootstrap", "/ip4/192.0.2.1/tcp/1"], "peer id"),
        (["--external", "here"], "multiaddr"),
        (["--max-disk", "lots"], "--max-disk"),
        (["--max-connections", "1"], "--max-connections"),
        (
            ["--max-connections-per-ip", "0"],
            "--max-connections-per-ip",
        ),
        (["--min-peers", "1000"], "--min-peers"),
        (["--allow", "everybody"], "allow"),
        (["--role", "bogus"], "bogus"),
        (["--api-listen", "foo"], "foo"),
        (["--private-network", "/nonexistent"], "network key"),
        (["--config", "/nonexistent"], "config"),
    ] {
        let said = node.fails_with(USAGE, &run(&flags))?;
        ensure_says(&said, &[word]).with_context(|| format!("{flags:?}"))?;
    }
    Ok(())
}

#[test]
fn a_service_is_not_started_again_with_a_wrong_configuration() -> Result<()> {
    let node = TestNode::new()?;
    let config = node.dir().join("config.toml");
    for (text, word) in [
        ("max_dsik = \"20GiB\"", "max_dsik"),
        ("roles = [\"super\"]", "super"),
        ("roles = []", "roles"),
        ("listen = 4600", "listen"),
        ("api_listen = \"here\"", "api_listen"),
        ("private_network = \"gone\"", "network key"),
        ("[relay]\nmax_circuit_bytes = 0", "relay"),
        ("listen = [", "config.toml"),
    ] {
        fs::write(&config, text)?;
        let said = node.fails_with(USAGE, &run(&[]))?;
        ensure_says(&said, &[word]).with_context(|| text.to_owned())?;
    }
    fs::write(&config, b"# \xff")?;
    node.fails_with(USAGE, &run(&[]))?;
    fs::write(&config, "")?;
    let key = node.dir().join("key");
    let kept = fs::read(&key)?;
    fs::write(&key, "")?;
    node.fails_with(USAGE, &run(&[]))?;
    fs::write(&key, kept)?;
    // Of a token that somebody chose there are others, and it was not cut.
    fs::write(node.dir().join("token"), "hunter2hunter\n")?;
    node.fails_with(USAGE, &run(&[]))?;
    fs::remove_file(node.dir().join("token"))?;
    fs::remove_file(&key)?;
    fs::create_dir_all(node.dir().join("store"))?;
    let said = node.fails_with(USAGE, &run(&[]))?;
    ensure_says(&said, &["restore the file `key`"])
}

#[tokio::test]
async fn what_may_pass_is_told_from_what_stays_wrong() -> Result<()> {
    let node = TestNode::new()?;
    let stream = node.create("numbers")?;
    // A port that another program has.
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let taken = [
        format!("/ip4/127.0.0.1/tcp/{}", tcp.local_addr()?.port()),
        format!("/ip4/127.0.0.1/udp/{}/quic-v1", udp.local_addr()?.port()),
        // An address that this machine may get later.
        "/ip4/192.0.2.1/tcp/4600".to_owned(),
    ];
    for listen in &taken {
        node.fails_with(FOR_NOW, &run(&["--listen", listen]))?;
    }
    let api = tcp.local_addr()?.to_string();
    let args = ["run", "--listen", LISTEN, "--api-listen", &api];
    node.fails_with(FOR_NOW, &args)?;
    // A node that does not answer, or that is not there.
    drop(tcp);
    let url = format!("http://{api}");
    node.fails_with(FOR_NOW, &["--api", &url, "list"])?;
    for args in [
        &["sync", &stream, "--wait"][..],
        &["tail", &stream, "-f"],
        &["doctor"],
    ] {
        let said = node.fails_with(FOR_NOW, args)?;
        ensure_says(&said, &["needs a running node"])?;
    }
    Ok(())
}

#[tokio::test]
async fn a_command_that_cannot_mean_anything_is_told_from_one_that_failed() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let file = path(&node, "file")?;
    fs::write(&file, "x")?;
    for wrong in [
        &["--api", "ftp://x", "list"][..],
        &["follow", "headwater:nonsense"],
        &["export", &stream, "--from", "yesterday"],
        &["publish", &stream, "many"],
        &["sync", &stream, "--timeout", "1s"],
        &["show", &stream[stream.len() - 3..]],
        &["stream", "create", ""],
    ] {
        node.fails_with(USAGE, wrong)?;
    }
    for failed in [
        &["show", "nothing"][..],
        &["publish", "nothing", "1"],
        &["export", &stream, "--from", "0", "-o", "/nonexistent/file"],
        &["verify", &file, "--stream", &stream],
        &["network", "new", &file],
    ] {
        node.fails(failed)?;
    }
    let nowhere = TestNode::new()?;
    let dir = path(&nowhere, "sp ace \u{fc}/zz")?;
    let list = Command::new(binary())
        .args(["--data-dir", &dir, "list"])
        .output()?;
    let said = String::from_utf8(list.stderr)?;
    ensure!(list.status.code() == Some(USAGE), "{said}");
    ensure_says(&said, &[&format!("headwater --data-dir '{dir}' init")])?;
    let said = nowhere.run(&["status"])?;
    let start = format!("headwater --data-dir {} run", nowhere.dir().display());
    ensure!(said.contains(&start), "{said}");
    Ok(())
}
