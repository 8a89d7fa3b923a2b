//! How a stream is named.

use anyhow::{Result, ensure};
use headwater_client::invite;
use headwater_tests::{InProcessNode, TestNode, USAGE};
use serde_json::json;

use super::ensure_says;

#[tokio::test]
async fn a_stream_is_named_by_its_id_parts_of_it_its_name_or_an_invite() -> Result<()> {
    let mut node = TestNode::new()?;
    let id = node.create("air pressure, 2 m?")?;
    node.create("temperature")?;
    let last = &id[id.len() - 8..];
    for runs in [false, true] {
        if runs {
            node.launch().await?;
        }
        let invite = node.invite(&id)?;
        ensure!(invite.contains("?peer=") == runs, "{invite}");
        for text in [&id, last, &id[..30], "air pressure, 2 m?", &invite] {
            let shown = node.show(text)?;
            ensure!(shown["id"] == id, "{text} is {shown}");
        }
        // Not less than a person would type in earnest.
        let errors = node.fails_with(USAGE, &["show", &id[id.len() - 5..]])?;
        ensure_says(&errors, &["6 characters"])?;
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_is_called_by_its_name_as_soon_as_its_invite_is_followed() -> Result<()> {
    let (publisher, follower) = (TestNode::start(&[]).await?, TestNode::start(&[]).await?);
    let id = publisher.create("first")?;
    follower.run(&["follow", &publisher.invite(&id)?])?;
    ensure!(follower.show("first")?["id"] == id);
    Ok(())
}

#[tokio::test]
async fn what_names_nothing_is_answered_with_what_may_be_meant() -> Result<()> {
    let mut node = TestNode::new()?;
    let id = node.create("temperature")?;
    let foreign = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    for runs in [false, true] {
        if runs {
            node.launch().await?;
        }
        let said = node.fails(&["show", "temperatur"])?;
        ensure_says(&said, &["did you mean `temperature`?"])?;
        ensure!(!said.contains("follow"), "{said}");
        let said = node.fails(&["publish", "temperatur", "5"])?;
        let create = "headwater stream create temperatur";
        ensure_says(&said, &["did you mean `temperature`?", create])?;
        let said = node.fails(&["publish", "wind speed", "5"])?;
        ensure_says(&said, &["headwater stream create 'wind speed'"])?;
        ensure!(!said.contains("follow") && !said.contains("mean"), "{said}");
        for text in ["http://x", "wind"] {
            let said = node.fails(&["follow", text])?;
            ensure_says(&said, &[text, "headwater:bafkrei…?peer=/ip4/"])?;
            ensure!(!said.contains("first"), "{said}");
        }
        let said = node.fails(&["show", foreign])?;
        ensure_says(&said, &[&format!("headwater follow {foreign}")])?;
        for part in ["bafk", &id[id.len() - 4..]] {
            for command in [
                &["show", part][..],
                &["publish", part, "1"],
                &["follow", part],
            ] {
                let said = node.fails_with(USAGE, command)?;
                ensure_says(&said, &["6 characters"])?;
            }
        }
        let said = node.fails_with(USAGE, &["show", "headwater:temperatur"])?;
        ensure_says(&said, &["did you mean `temperature`?"])?;
        let slip = format!("headwater:{foreign}?pear=/ip4/192.0.2.1/tcp/1");
        let said = node.fails_with(USAGE, &["follow", &slip])?;
        ensure_says(&said, &["did you mean `peer=`"])?;
    }
    Ok(())
}

#[tokio::test]
async fn what_may_be_several_streams_is_refused_with_the_candidates() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let publisher = InProcessNode::start(|_| ()).await?;
        let log = publisher.create("numbers").await?;
        let invite = invite::format(log, [publisher.address()?]);
        node.run(&["follow", &invite])?;
        node.until_synced(&log.to_string(), 0).await?;
        ids.push(log.to_string());
    }
    let other = node.create("other")?;
    for runs in [true, false] {
        if !runs {
            node.stop().await?;
        }
        for args in [
            ["show", "numbers"].as_slice(),
            &["publish", "numbers", "1"],
            &["export", "numbers"],
            &["tail", "numbers"],
            &["prove", "numbers", "0"],
            &["unfollow", "numbers"],
            &["stream", "delete", "numbers"],
        ] {
            let errors = node.fails(args)?;
            ensure_says(&errors, &["`numbers`", &ids[0], &ids[1]])?;
            ensure!(!errors.contains(&other), "{args:?}: {errors}");
        }
        for id in &ids {
            let shown = node.show(id)?;
            ensure!(shown["size"] == 0 && shown["followed"] == true, "{shown}");
        }
        // All ids begin alike, and of those one is this node's own.
        ensure!(node.show("bafkre")?["id"] == other);
        let errors = node.fails(&["stream", "delete", "bafkre"])?;
        ensure_says(&errors, &[&ids[0], &ids[1], &other])?;
    }
    Ok(())
}

#[tokio::test]
async fn a_followed_stream_takes_no_name_away() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let own = node.create("temperature")?;
    let publisher = InProcessNode::start(|_| ()).await?;
    let log = publisher.create("temperature").await?;
    publisher.publish(log, 0, 3).await?;
    let invite = invite::format(log, [publisher.address()?]);
    let other = log.to_string();
    node.run(&["follow", &invite])?;
    node.until_synced(&other, 3).await?;

    node.run(&["publish", "temperature", "2"])?;
    node.append("temperature", r#"{"value": 3}"#).await?;
    ensure!(node.show(&own)?["size"] == 2);
    let shown = node.command(&["show", "temperature"])?;
    let said = String::from_utf8(shown.stderr)?;
    ensure_says(&said, &["this node's own", &other[other.len() - 8..]])?;
    ensure!(node.show("temperature")?["namesakes"] == json!([other]));
    ensure!(node.show(&own)?.get("namesakes").is_none());
    // Which one is to be deleted is not guessed.
    let said = node.fails(&["stream", "delete", "temperature"])?;
    ensure_says(&said, &[&own, &other])?;

    // An alias tells them apart, and is kept.
    node.run(&["follow", &other, "--as", "berlin"])?;
    for restarted in [false, true] {
        if restarted {
            node.stop().await?;
            node.launch().await?;
        }
        let shown = node.show("berlin")?;
        ensure!(
            shown["id"] == other && shown["alias"] == "berlin",
            "{shown}"
        );
        ensure!(node.export("berlin")?.lines().count() == 4);
        let list = node.run(&["list"])?;
        ensure!(list.contains("ALIAS") && list.contains("berlin"), "{list}");
        let said = node.fails(&["publish", "berlin", "1"])?;
        ensure_says(&said, &["belongs to another publisher"])?;
    }
    for (args, word) in [
        (&["stream", "create", "berlin"][..], "what this node calls"),
        (&["follow", &other, "--as", "temperature"], "of its own"),
        (&["follow", &own, "--as", "mine"], "publishes"),
    ] {
        ensure_says(&node.fails(args)?, &[word])?;
    }
    node.fails_with(USAGE, &["follow", &other, "--as", ".."])?;
    node.run(&["unfollow", "temperature"])?;
    ensure!(node.show(&other)?["followed"] == false);
    node.run(&["follow", "temperature", "--as", ""])?;
    ensure!(node.show(&other)?["alias"].is_null());
    node.fails(&["show", "berlin"])?;
    Ok(())
}

#[tokio::test]
async fn a_table_has_columns_that_are_called_as_the_streams_are_called_here() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    node.create("temperature")?;
    node.append("temperature", r#"{"time":"2024-05-01","value": 3}"#)
        .await?;
    let publisher = InProcessNode::start(|_| ()).await?;
    let log = publisher.create("temperature").await?;
    publisher.publish(log, 0, 3).await?;
    let other = log.to_string();
    let end = &other[other.len() - 8..];
    node.run(&["follow", &invite::format(log, [publisher.address()?])])?;
    node.until_synced(&other, 3).await?;
    for (alias, column) in [
        ("", format!("temperature_{end}")),
        ("berlin", "berlin".to_owned()),
        ("time", format!("time_{end}")),
        ("roof", "roof".to_owned()),
    ] {
        node.run(&["follow", &other, "--as", alias])?;
        let table = node.run(&["join", "temperature", &other])?;
        let header = table.lines().next().unwrap_or_default();
        ensure!(
            header.starts_with("time,temperature") && header.ends_with(&column),
            "{header}"
        );
        let path = format!("/v1/join?streams=temperature,{other}&format=csv");
        let answer = reqwest::get(node.url(&path)?).await?.text().await?;
        ensure!(answer == table, "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn names_that_a_reader_takes_for_each_other_are_refused_or_said() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let own = node.create("caf\u{e9}")?;
    let publisher = InProcessNode::start(|_| ()).await?;
    let log = publisher.create("c\u{430}f\u{e9}").await?;
    let other = log.to_string();
    let said = node.command(&["follow", &invite::format(log, [publisher.address()?])])?;
    ensure!(said.status.success());
    node.until_synced(&other, 0).await?;
    // Written with an accent of its own, and with a letter of another script.
    for (name, spelled) in [
        ("cafe\u{301}", "`cafe\\u{301}`"),
        ("\u{441}af\u{e9}", "`\\u{441}af\\u{e9}`"),
        ("caf\u{e9}\u{fe0f}", "\\u{fe0f}"),
    ] {
        for args in [
            &["stream", "create", name][..],
            &["follow", &other, "--as", name],
        ] {
            ensure_says(&node.fails(args)?, &[spelled, &own])?;
        }
    }
    // A stream of somebody else takes no name away, and is said.
    let latin = node.command(&["stream", "create", "cafe"])?;
    ensure!(latin.status.success() && latin.stderr.is_empty());
    let said = node.command(&["stream", "create", "c\u{430}fe\u{301}s"])?;
    ensure!(said.status.success() && said.stderr.is_empty());
    let follower = InProcessNode::start(|_| ()).await?;
    let log = follower.create("w\u{456}nd").await?;
    node.run(&["follow", &invite::format(log, [follower.address()?])])?;
    node.until_synced(&log.to_string(), 0).await?;
    let said = node.command(&["stream", "create", "wind"])?;
    ensure!(said.status.success());
    let short = log.to_string();
    ensure_says(
        &String::from_utf8(said.stderr)?,
        &["looks like", &short[short.len() - 8..]],
    )?;
    // As it is typed on another machine.
    ensure!(node.show("cafe\u{301}")?["id"] == own);
    ensure!(node.show(&other)?["lookalikes"] == json!([own]));
    let shown = node.command(&["show", &other])?;
    ensure_says(
        &String::from_utf8(shown.stderr)?,
        &["looks like", &own[own.len() - 8..]],
    )?;
    // Parts of ids that are known here, and of peers.
    let peer = publisher.address()?.to_string();
    let peer = peer.rsplit('/').next().unwrap_or_default();
    for name in [
        &other[other.len() - 8..],
        &own[own.len() - 6..],
        &other[20..40],
        &other[30..36],
        peer,
        &peer[..10],
    ] {
        let said = node.fails_with(USAGE, &["stream", "create", name])?;
        ensure_says(&said, &["id of"])?;
        node.fails_with(USAGE, &["follow", &other, "--as", name])?;
    }
    Ok(())
}

#[tokio::test]
async fn a_name_of_a_nodes_own_is_given_once() -> Result<()> {
    let mut node = TestNode::new()?;
    let create = ["stream", "create", "temperature", "--unit", "°C"];
    let id = node.run(&create)?.trim().to_owned();
    for runs in [false, true] {
        if runs {
            node.launch().await?;
        }
        let said = node.fails(&create)?;
        ensure_says(&said, &["`temperature` already", &id, "--if-not-exists"])?;
        for args in [
            &[&create[..], &["--if-not-exists"]].concat()[..],
            &["stream", "create", "temperature", "--if-not-exists"],
        ] {
            ensure!(node.run(args)?.trim() == id);
        }
        let other = [
            "stream",
            "create",
            "temperature",
            "--unit",
            "K",
            "--if-not-exists",
        ];
        ensure_says(&node.fails(&other)?, &["unit of it differ", &id])?;
        let text = ["--value-type", "text", "--if-not-exists"];
        let said = node.fails(&[&create[..], &text].concat())?;
        ensure_says(&said, &["value_type of it differ"])?;
    }
    node.run(&["stream", "delete", "temperature", "--own"])?;
    node.run(&create)?;
    Ok(())
}

#[tokio::test]
async fn a_name_that_means_something_else_is_refused_and_one_of_a_peer_is_shown_escaped()
-> Result<()> {
    let node = TestNode::start(&[]).await?;
    for (name, word) in [
        ("", "empty"),
        (" lead", "blank"),
        ("trail ", "blank"),
        ("..", "folder"),
        (".", "folder"),
        ("a\nb", "a\\u{a}b"),
        ("\u{1b}[31mred", "\\u{1b}[31mred"),
        ("bafkreiabc", "the id of a stream"),
        ("headwater:x", "an invite"),
        (&"n".repeat(129), "129 bytes"),
    ] {
        let said = node.fails_with(USAGE, &["stream", "create", name])?;
        ensure_says(&said, &[word])?;
        ensure!(!said.contains('\u{1b}'), "{said}");
    }
    for name in ["\u{1b}[2J\nerror: x", "bafkreiabc", " lead"] {
        let publisher = InProcessNode::start(|_| ()).await?;
        let log = publisher.create(name).await?;
        let invite = invite::format(log, [publisher.address()?]);
        node.run(&["follow", &invite])?;
        let id = log.to_string();
        node.until_synced(&id, 0).await?;
        ensure!(node.show(&id)?["name"] == name);
        for args in [&["list"][..], &["show", &id], &["status"], &["doctor"]] {
            let said = String::from_utf8(node.command(args)?.stdout)?;
            ensure!(!said.contains('\u{1b}'), "{said}");
        }
        let said = node.fails(&["show", name])?;
        ensure!(
            !said.contains('\u{1b}') && said.lines().count() == 1,
            "{said}"
        );
    }
    let list = node.run(&["list"])?;
    ensure_says(&list, &["\\u{1b}[2J\\u{a}error: x"])
}
