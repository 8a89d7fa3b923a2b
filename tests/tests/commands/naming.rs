//! How a stream is named.

use anyhow::{Result, ensure};
use headwater_tests::{TestNode, USAGE};

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
        let slip = format!("headwater:{foreign}?pear=/ip4/192.0.2.1/tcp/1");
        let said = node.fails_with(USAGE, &["follow", &slip])?;
        ensure_says(&said, &["did you mean `peer=`"])?;
    }
    Ok(())
}

#[tokio::test]
async fn what_may_be_several_streams_is_refused_with_the_candidates() -> Result<()> {
    let mut node = TestNode::new()?;
    let ids = [node.create("numbers")?, node.create("numbers")?];
    let other = node.create("other")?;
    for runs in [false, true] {
        if runs {
            node.launch().await?;
        }
        for args in [
            ["show", "numbers"].as_slice(),
            &["publish", "numbers", "1"],
            &["export", "numbers"],
            &["tail", "numbers"],
            &["prove", "numbers", "0"],
            &["unfollow", "numbers"],
        ] {
            let errors = node.fails(args)?;
            ensure_says(&errors, &["`numbers`", &ids[0], &ids[1]])?;
            ensure!(!errors.contains(&other), "{args:?}: {errors}");
        }
        // All ids begin alike.
        let errors = node.fails(&["show", "bafkre"])?;
        ensure_says(&errors, &[&ids[0], &ids[1], &other])?;
        for id in &ids {
            let shown = node.show(id)?;
            ensure!(shown["size"] == 0 && shown["followed"] == true, "{shown}");
        }
    }
    Ok(())
}
