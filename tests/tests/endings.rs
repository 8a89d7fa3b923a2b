//! Streams that end, on real nodes: closed by their publisher, or by the key that was
//! kept in a drawer.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use headwater_tests::{FOR_NOW, TestNode};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const SECONDS: Duration = Duration::from_secs(10);

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

async fn until(
    node: &TestNode,
    stream: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value> {
    timeout(SECONDS, node.until(stream, wanted))
        .await
        .with_context(|| format!("it never says {what}: {:?}", node.show(stream)))?
}

#[tokio::test]
async fn a_closed_stream_has_its_end_everywhere_and_takes_nothing_more() -> Result<()> {
    let mut publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("t")?;
    let next = publisher.create("t2")?;
    publisher.publish_numbers(&stream, 0, 20)?;
    let follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    follower.until_synced(&stream, 20).await?;
    let refused = follower.fails_with(2, &["stream", "close", &stream])?;
    ensure!(refused.contains("only its owner can close it"), "{refused}");

    let said = publisher.run(&["stream", "close", "t", "--successor", "t2"])?;
    ensure!(said.contains("is closed, with 20 records"), "{said}");
    let shown = until(&follower, &stream, "closed", |shown| {
        shown["closed"] == true
    })
    .await?;
    ensure!(shown["successor"] == next.as_str(), "{shown}");
    let note = follower.run(&["show", &stream, "--checkpoint"])?;
    ensure!(note.contains(&format!("\nclosed {next}\n")), "{note}");
    ensure!(follower.run(&["list"])?.contains("closed"));
    ensure_tail_ends(&follower, &stream, 20, &next).await?;

    // From the command line, over the API, from a pipe, and after a start.
    for start in [false, true] {
        if start {
            publisher.stop().await?;
            let offline = publisher.fails(&["publish", "t", "1"])?;
            ensure!(offline.contains("closed for good"), "{offline}");
            publisher.launch().await?;
        }
        let refused = publisher.fails(&["publish", "t", "1"])?;
        ensure!(
            refused.contains("closed for good") && refused.contains(&next),
            "{refused}"
        );
        let posted = publisher.append(&stream, "{\"value\":1}\n").await;
        let posted = format!("{:?}", posted.err().context("it was published")?);
        ensure!(
            posted.contains("409") && posted.contains("closed for good"),
            "{posted}"
        );
        let piped = publisher.command_with_input(&["publish", "t"], "1\n2\n");
        let piped = timeout(SECONDS, piped)
            .await
            .context("it waits for ever")??;
        ensure!(!piped.status.success());
    }
    // Once more is the same, another end is none.
    publisher.run(&["stream", "close", "t", "--successor", &next])?;
    let other = publisher.fails(&["stream", "close", "t"])?;
    ensure!(other.contains("closed for good"), "{other}");
    let itself = publisher.fails_with(2, &["stream", "close", "t2", "--successor", "t2"])?;
    ensure!(itself.contains("its own successor"), "{itself}");
    ensure!(follower.show(&stream)?["size"] == 20 && follower.show(&stream)?["forked"] == false);
    Ok(())
}

#[tokio::test]
async fn two_ends_of_one_stream_are_evidence_that_anybody_can_check() -> Result<()> {
    let mut publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("t")?;
    let [one, other] = ["t2", "t3"].map(|name| publisher.create(name));
    let (one, other) = (one?, other?);
    publisher.publish_numbers(&stream, 0, 20)?;
    publisher.stop().await?;
    let mut copy = TestNode::new()?;
    fs::remove_dir_all(copy.dir())?;
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([publisher.dir(), copy.dir()])
        .status()?;
    ensure!(copied.success());
    // Its user does not know better.
    copy.run(&["stream", "reopen", &stream, "--none-is-larger"])?;
    copy.run(&["stream", "close", &stream, "--successor", &other])?;
    publisher.run(&["stream", "close", &stream, "--successor", &one])?;
    let mut followers = Vec::new();
    for node in [&mut publisher, &mut copy] {
        node.launch().await?;
        let follower = TestNode::start(&[]).await?;
        follower.run(&["follow", &node.invite(&stream)?])?;
        follower.until_synced(&stream, 20).await?;
        followers.push(follower);
    }
    let [follower, far] = &followers[..] else {
        unreachable!("there are two");
    };
    far.run(&["follow", &follower.invite(&stream)?])?;
    for node in [&publisher, &copy, follower, far] {
        until(node, &stream, "forked", |shown| shown["forked"] == true).await?;
    }
    let shown = follower.show(&stream)?;
    ensure!(
        shown["successor"].is_null() && shown["ends_at"] == 20,
        "{shown}"
    );
    let all = follower.run(&["export", &stream, "--format", "ndjson"])?;
    ensure!(all.lines().count() == 20, "{all}");
    let said = follower.run(&["sync", &stream, "--wait"])?;
    ensure!(said.contains("was closed with 20 records"), "{said}");
    follower.run(&["tail", &stream, "--follow"])?;
    // Nobody disputes the records.
    ensure!(
        shown["disputed_from"] == 20 && shown["held_records"] == 20,
        "{shown}"
    );
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("ends.json");
    follower.run(&["evidence", "show", &stream, "-o", path(&file)?])?;
    let elsewhere = TestNode::new()?;
    let said = elsewhere.run(&["evidence", "verify", path(&file)?, "--stream", &stream])?;
    ensure!(
        said.contains("both begin with the same 20 records"),
        "{said}"
    );
    for end in [&one, &other] {
        let continued = format!("closed, and {end} continues it");
        ensure!(said.contains(&continued), "{said}");
    }
    let verified = elsewhere.json(&["evidence", "verify", path(&file)?])?;
    ensure!(
        verified["verified"] == true && verified["common_size"] == 20,
        "{verified}"
    );
    Ok(())
}

/// A stream that names a recovery key, and the key.
async fn with_recovery(folder: &Path) -> Result<(TestNode, String)> {
    let publisher = TestNode::start(&[]).await?;
    let key = folder.join("drawer.key");
    publisher.run(&["key", "recovery", "new", path(&key)?])?;
    let public = folder.join("drawer.key.pub");
    let made = publisher.json(&["stream", "create", "t", "--recovery", path(&public)?])?;
    let stream = made["id"].as_str().context("id")?.to_owned();
    Ok((publisher, stream))
}

#[tokio::test]
async fn a_recovery_key_ends_a_stream_and_its_live_readers_hear_what_is_disowned() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut publisher, stream) = with_recovery(folder.path()).await?;
    let key = folder.path().join("drawer.key");
    publisher.publish_numbers(&stream, 0, 20)?;
    // What its user kept of the time before the theft.
    let proof = folder.path().join("proof.json");
    let kept = publisher.run(&["prove", &stream, "7"])?;
    fs::write(&proof, kept)?;
    let follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    follower.until_synced(&stream, 20).await?;
    let (mut got, live) = live_reset(&follower, &stream).await?;
    // A thief publishes with the publisher's key.
    publisher.publish_numbers(&stream, 20, 15)?;
    follower.until_synced(&stream, 35).await?;
    timeout(SECONDS, got.wait_for(|got| got.contains("id: 34\n"))).await??;
    let next = publisher.create("t2")?;

    let stranger = folder.path().join("other.key");
    follower.run(&["key", "recovery", "new", path(&stranger)?])?;
    let refused = follower.fails_with(
        2,
        &["stream", "recover", &stream, "--key", path(&stranger)?],
    )?;
    ensure!(refused.contains("names"), "{refused}");
    let args = [
        "stream",
        "recover",
        &stream,
        "--key",
        path(&key)?,
        "--head",
        path(&proof)?,
        "--successor",
        &next,
    ];
    let said = follower.run(&args)?;
    ensure!(said.contains("has ended, with 20 records"), "{said}");
    ensure!(said.contains(&next), "{said}");

    let reset = timeout(SECONDS, live)
        .await
        .context("nothing was said live")???;
    ensure!(
        reset["from"] == 20 && reset["successor"] == next.as_str(),
        "{reset}"
    );
    for node in [&follower, &publisher] {
        let shown = until(node, &stream, "recovered", |shown| {
            !shown["recovered"].is_null()
        })
        .await?;
        ensure!(shown["recovered"]["size"] == 20, "{shown}");
        ensure!(shown["disputed_from"] == 20, "{shown}");
        let words = node.run(&["show", &stream])?;
        ensure!(
            words.contains("its recovery key has ended it with 20 records"),
            "{words}"
        );
        ensure!(words.contains("15 records from index 20 on"), "{words}");
        let gaps = node.run(&["stream", "gaps", &stream])?;
        ensure!(gaps.contains("disowned by the recovery key"), "{gaps}");
        ensure!(!gaps.contains("disputed"), "{gaps}");
    }
    let refused = publisher.fails(&["publish", &stream, "1"])?;
    ensure!(refused.contains("recovery key"), "{refused}");
    // What counts is read and proved, the rest is refused with the reason.
    let synced = follower.run(&["sync", &stream, "--wait", "--timeout", "20s"])?;
    ensure!(synced.contains("all that counts"), "{synced}");
    for args in [&["export", &stream][..], &["export", &stream, "--to", "20"]] {
        ensure!(follower.run(args)?.lines().count() == 21);
    }
    let joined = follower.run(&["join", &stream])?;
    ensure!(joined.lines().count() > 1, "{joined}");
    follower.run(&["prove", &stream, "19"])?;
    ensure_tail_ends(&follower, &stream, 20, &next).await?;
    for args in [
        &["prove", &stream, "20"][..],
        &["export", &stream, "--from", "20", "--to", "35"],
    ] {
        let refused = follower.fails(args)?;
        ensure!(refused.contains("disowned"), "{refused}");
    }
    // Who comes later gets what counts; so it is after a start.
    publisher.stop().await?;
    publisher.launch().await?;
    ensure!(publisher.show(&stream)?["recovered"]["size"] == 20);
    let late = TestNode::start(&[]).await?;
    late.run(&["follow", &follower.invite(&stream)?])?;
    let shown = until(&late, &stream, "recovered", |shown| {
        shown["recovered"]["size"] == 20 && shown["held_records"] == 20
    });
    shown.await?;
    // What others get to check is the head that counts.
    let note = follower.run(&["show", &stream, "--checkpoint"])?;
    ensure!(note.lines().nth(1) == Some("20"), "{note}");
    let proof: Value = serde_json::from_str(&follower.run(&["prove", &stream, "7"])?)?;
    ensure!(proof["size"] == 20, "{proof}");
    let troubles = publisher.get("/v1/node").await?["troubles"].to_string();
    ensure!(troubles.contains("recovery key"), "{troubles}");
    // Said again it is the same, also where less is said.
    follower.run(&args)?;
    let less = ["stream", "recover", &stream, "--key", path(&key)?];
    let said = follower.run(&less)?;
    ensure!(said.contains(&format!("{next} continues it")), "{said}");
    // What differs would take its successor from it.
    publisher.create("t9")?;
    let refused = publisher.fails(&[&less[..], &["--successor", "t9"]].concat())?;
    ensure!(refused.contains("nothing was signed"), "{refused}");
    // It is so for a command without a node.
    publisher.stop().await?;
    let offline = publisher.run(&[
        "stream",
        "recover",
        &stream,
        "--key",
        path(&key)?,
        "--size",
        "20",
    ])?;
    ensure!(offline.contains("20 records"), "{offline}");
    Ok(())
}

/// Whoever reads all of a stream that has ended is told so, and need not wait for more.
async fn ensure_tail_ends(
    node: &TestNode,
    stream: &str,
    size: usize,
    successor: &str,
) -> Result<()> {
    let args = ["tail", stream, "--follow", "-n", "1000"];
    let tail = timeout(SECONDS, node.command_with_input(&args, ""))
        .await
        .context("it waits for ever")??;
    let [lines, said] = [&tail.stdout, &tail.stderr].map(|text| String::from_utf8_lossy(text));
    ensure!(tail.status.success(), "{said}");
    ensure!(lines.lines().count() == size, "{lines}");
    ensure!(
        said.contains("has ended with 20 records") && said.contains(successor),
        "{said}"
    );
    Ok(())
}

/// Reads a stream's live events until `reset` comes: what has come, and its data.
async fn live_reset(
    node: &TestNode,
    stream: &str,
) -> Result<(watch::Receiver<String>, JoinHandle<Result<Value>>)> {
    let url = node.url(&format!("/v1/streams/{stream}/live?from=0"))?;
    let response = reqwest::get(url).await?.error_for_status()?;
    let (tell, got) = watch::channel(String::new());
    let reading = tokio::spawn(async move {
        let mut text = String::new();
        let mut bytes = response.bytes_stream();
        while let Some(part) = bytes.next().await {
            text.push_str(&String::from_utf8_lossy(&part?));
            tell.send_replace(text.clone());
            if let Some((_, rest)) = text.split_once("event: reset\n")
                && let Some((data, _)) = rest.split_once("\n\n")
            {
                let data = data.strip_prefix("data: ").context("no data")?;
                return Ok(serde_json::from_str(data)?);
            }
        }
        anyhow::bail!("the live events ended: {text}")
    });
    Ok((got, reading))
}

#[tokio::test]
async fn a_stream_is_not_in_step_with_a_last_head_whose_tree_is_elsewhere() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut publisher, stream) = with_recovery(folder.path()).await?;
    let key = folder.path().join("drawer.key");
    publisher.publish_numbers(&stream, 0, 10)?;
    publisher.stop().await?;
    let copy = TestNode::new()?;
    fs::remove_dir_all(copy.dir())?;
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([publisher.dir(), copy.dir()])
        .status()?;
    ensure!(copied.success());
    copy.run(&["stream", "reopen", &stream, "--none-is-larger"])?;
    copy.publish_numbers(&stream, 1_000, 10)?;
    let note = folder.path().join("note");
    fs::write(&note, copy.run(&["show", &stream, "--checkpoint"])?)?;
    publisher.launch().await?;
    publisher.publish_numbers(&stream, 10, 15)?;
    let follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    follower.until_synced(&stream, 25).await?;

    let (key, note) = (path(&key)?, path(&note)?);
    let recover = ["stream", "recover", &stream, "--key", key, "--head", note];
    let said = String::from_utf8(follower.command(&recover)?.stderr)?;
    ensure!(
        said.contains("all 25 records that this node knows are disowned"),
        "{said}"
    );
    let shown = follower.show(&stream)?;
    ensure!(
        shown["synced"] == false && shown["missing_records"] == 20 && shown["ends_at"] == 20,
        "{shown}"
    );
    let said = follower.run(&["sync", &stream])?;
    ensure!(
        said.contains("20 records of the last head are missing; what is here is of another tree"),
        "{said}"
    );
    let waited = follower.fails_with(FOR_NOW, &["sync", &stream, "--wait", "--timeout", "1s"])?;
    ensure!(waited.contains("is not in step"), "{waited}");
    until(&publisher, &stream, "recovered", |shown| {
        shown["recovered"].is_object()
    })
    .await?;
    let hopeless = publisher.fails(&["sync", &stream, "--wait"])?;
    ensure!(
        hopeless.contains("Follow it from another node"),
        "{hopeless}"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_final_is_said_before_it_is_done_where_nobody_can_be_asked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (publisher, stream) = with_recovery(folder.path()).await?;
    let key = folder.path().join("drawer.key");
    publisher.publish_numbers(&stream, 0, 20)?;
    let closed = publisher.create("c")?;
    let end = ["stream", "close", "c"];
    let noted = |args: &[&str]| -> Result<String> {
        let output = publisher.command(args)?;
        let noted = String::from_utf8(output.stderr)?;
        ensure!(output.status.success(), "{noted}");
        Ok(noted)
    };
    let said = noted(&end)?;
    ensure!(
        said.contains("closing c (0 records; nothing continues it) for good"),
        "{said}"
    );
    ensure!(publisher.show(&closed)?["closed"] == true);
    // There is nothing left to be said.
    ensure!(noted(&end)?.is_empty());
    publisher.create("d")?;
    ensure!(noted(&["stream", "close", "d", "--yes"])?.is_empty());

    let said = noted(&["stream", "recover", &stream, "--key", path(&key)?])?;
    ensure!(
        said.contains("t: the head of 20 records")
            && said.contains(
                "will be the last, for good; 0 records that this node knows are disowned"
            ),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_pipe_into_a_stream_that_has_ended_is_refused_before_its_first_line() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut publisher, recovered) = with_recovery(folder.path()).await?;
    let key = folder.path().join("drawer.key");
    publisher.run(&["stream", "recover", &recovered, "--key", path(&key)?])?;
    let closed = publisher.create("c")?;
    publisher.run(&["stream", "close", &closed])?;
    for running in [true, false] {
        if !running {
            publisher.stop().await?;
        }
        for (stream, why) in [(&closed, "closed for good"), (&recovered, "recovery key")] {
            let mut pipe = publisher.spawn(&["publish", stream])?;
            let open = pipe.stdin.take();
            let ended = timeout(SECONDS, pipe.wait_with_output()).await;
            let ended = ended.with_context(|| format!("it waits for a line: {why}"))??;
            drop(open);
            let said = String::from_utf8(ended.stderr)?;
            ensure!(
                ended.status.code() == Some(1) && said.contains(why),
                "{said}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_words_of_before_still_reopen() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    node.create("t")?;
    ensure!(node.run(&["stream", "recover"])?.is_empty());
    node.stop().await?;
    let said = node.run(&["stream", "recover", "t", "--none-is-larger"])?;
    ensure!(said.contains("open for writing"), "{said}");
    let wrong = node.fails_with(2, &["stream", "recover", "t", "--successor", "t"])?;
    ensure!(wrong.contains("--key"), "{wrong}");
    Ok(())
}
