//! Commands and nodes that want one data folder at the same time.

use anyhow::{Context, Result, ensure};
use headwater_tests::{PATIENCE, TestNode};
use tokio::process::Child;
use tokio::time::timeout;

const COMMANDS: u64 = 12;

/// Starts commands that publish a record each, all at once.
fn publish(node: &TestNode, stream: &str, more: &[&str]) -> Result<Vec<Child>> {
    let args = [&["publish", stream, "1"], more].concat();
    let publish = |_| node.spawn(&args);
    (0..COMMANDS).map(publish).collect()
}

#[tokio::test]
async fn commands_wait_for_each_other_and_for_a_node_that_starts() -> Result<()> {
    let mut node = TestNode::new()?;
    let stream = node.create("numbers")?;
    for (round, starts) in [false, true].into_iter().enumerate() {
        let running = publish(&node, &stream, &[])?;
        if starts {
            node.launch().await?;
        }
        for command in running {
            let output = timeout(PATIENCE, command.wait_with_output()).await??;
            ensure!(output.status.success(), "{starts}: {output:?}");
        }
        let size = node.show(&stream)?["size"].clone();
        let wanted = COMMANDS * (round as u64 + 1);
        ensure!(size == wanted, "{starts}: {size} of {wanted}");
    }
    Ok(())
}

/// A command whose node goes away may fail without knowing what became of its
/// record; one that never reached the node has published nothing.
#[tokio::test]
async fn of_commands_whose_node_stops_those_that_succeed_have_published() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let running = publish(&node, &stream, &["--timeout", "1s"])?;
    node.until(&stream, |shown| shown["size"] != 0).await?;
    node.stop().await?;
    let (mut published, mut unknown) = (0, 0);
    for command in running {
        let output = timeout(PATIENCE, command.wait_with_output()).await??;
        let errors = String::from_utf8(output.stderr)?;
        match output.status.success() {
            true => published += 1,
            false if errors.contains("cannot connect to the node") => {}
            false => {
                ensure!(errors.contains("error: "), "{errors}");
                unknown += 1;
            }
        }
    }
    let size = node.show(&stream)?["size"].as_u64().context("no size")?;
    ensure!(
        (published..=published + unknown).contains(&size),
        "{published} and perhaps {unknown} more, and {size} are there"
    );
    Ok(())
}
