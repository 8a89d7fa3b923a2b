//! How a stream is named.

use anyhow::{Result, ensure};
use headwater_tests::TestNode;

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
        let errors = node.fails(&["show", &id[id.len() - 5..]])?;
        ensure_says(&errors, &["no stream", "follow"])?;
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
