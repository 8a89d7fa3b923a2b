//! A publisher and a follower in step, as they are before one is damaged.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::client::{Client, LOOK_AGAIN, Posted};
use crate::command::run;
use crate::dice::Dice;
use crate::ledger::Rows;

/// How long nodes that are in order may take to come into step.
const IN_STEP: Duration = Duration::from_secs(60);

/// How long it may take until all that can be mended is, once the other node
/// is connected.
pub(crate) const MENDED: Duration = Duration::from_secs(30);

/// A stream whose value at each index is the index.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) id: String,
    /// Records that were acknowledged.
    pub(crate) size: u64,
}

impl Stream {
    /// Whether an export is right.
    pub(crate) fn check(&self, csv: &str) -> Result<()> {
        let rows = Rows::of_csv(csv)?;
        let wrong = rows.0.iter().find(|(index, value)| index != value);
        ensure!(wrong.is_none(), "a value is wrong: {wrong:?}");
        let count = rows.0.len() as u64;
        ensure!(count == self.size, "{count} of {} records", self.size);
        Ok(())
    }
}

/// How an export is to what was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Export {
    Right,
    /// An error, or an answer that breaks off.
    Fails(String),
    /// The first records, and nothing says that there are more.
    Short(u64),
    /// Something that was never published.
    Wrong(String),
}

/// Two nodes, and what was acknowledged.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) publisher: TestNode,
    pub(crate) follower: TestNode,
    pub(crate) streams: Vec<Stream>,
    /// The publisher's peer id.
    pub(crate) publisher_id: String,
}

impl World {
    /// Records are in tables and in the log of writes of both nodes.
    pub(crate) async fn new(dice: &mut Dice) -> Result<Self> {
        let mut publisher = TestNode::start(&[]).await?;
        let follower = TestNode::start(&[]).await?;
        publisher.keep_port()?;
        let publisher_id = publisher.peer_id()?;
        let mut streams = Vec::new();
        for name in ["many", "few"] {
            let id = publisher.create(name)?;
            follower.run(&["follow", &publisher.invite(&id)?])?;
            streams.push(Stream { id, size: 0 });
        }
        for node in [&publisher, &follower] {
            node.run(&["token", "new", "reader"])?;
        }
        let mut world = Self {
            publisher,
            follower,
            streams,
            publisher_id,
        };
        world.publish(0, dice.between(1, 20_000)).await?;
        world.publish(1, dice.between(1, 50)).await?;
        world.until_in_step().await?;
        // What a start finds in the log of writes goes into tables.
        for node in [&mut world.publisher, &mut world.follower] {
            node.stop().await?;
            node.launch().await?;
        }
        world.publish(0, dice.between(1, 20_000)).await?;
        world.publish(1, dice.between(1, 50)).await?;
        world.until_in_step().await?;
        Ok(world)
    }

    async fn publish(&mut self, stream: usize, count: u64) -> Result<()> {
        let client = Client::of(&self.publisher).await?;
        let Stream { id, size } = &mut self.streams[stream];
        let values: Vec<_> = (*size..*size + count).collect();
        // A body has so many records at most; smaller ones fill the log of
        // writes with more of its own records.
        for part in values.chunks(500) {
            let Posted::Acknowledged { to, .. } = client.post(id, part, None).await else {
                anyhow::bail!("a publish was not acknowledged");
            };
            *size = to;
        }
        Ok(())
    }

    async fn until_in_step(&self) -> Result<()> {
        for node in [&self.publisher, &self.follower] {
            let client = Client::of(node).await?;
            for stream in &self.streams {
                let wanted =
                    |shown: &Value| shown["size"] == stream.size && shown["synced"] == true;
                client.until(&stream.id, IN_STEP, wanted).await?;
                let export = export(&client, stream).await;
                ensure!(export == Export::Right, "before the damage: {export:?}");
            }
        }
        Ok(())
    }

    /// Ends both, cleanly or not, one after the other.
    pub(crate) async fn end_both(&mut self, dice: &mut Dice) -> Result<()> {
        for node in [&mut self.follower, &mut self.publisher] {
            match dice.below(3) {
                0 => node.stop().await?,
                // Its addresses stay behind, to be damaged as well.
                1 => node.crash()?,
                _ => node.kill()?,
            }
        }
        Ok(())
    }

    /// Lets the follower know where the publisher is.
    pub(crate) async fn introduce(&self) -> Result<()> {
        for stream in &self.streams {
            let invite = format!("headwater:{}?peer={}", stream.id, self.publisher.address()?);
            run(&self.follower, &["follow", &invite]).await?;
        }
        Ok(())
    }
}

/// Looks at the export of a stream at a node.
pub(crate) async fn export(client: &Client, stream: &Stream) -> Export {
    let csv = match client.export(&stream.id).await {
        Ok(csv) => csv,
        Err(error) => return Export::Fails(format!("{error:#}")),
    };
    if let Err(error) = stream.check(&csv) {
        let count = csv.lines().count().saturating_sub(1) as u64;
        let size = count;
        let prefix = Stream {
            size,
            ..stream.clone()
        };
        return match prefix.check(&csv) {
            Ok(()) if count < stream.size => Export::Short(count),
            _ => Export::Wrong(format!("{error:#}")),
        };
    }
    Export::Right
}

/// Waits until a stream is in order at a node: known, not forked, all records
/// held and exported right.
pub(crate) async fn until_right(client: &Client, stream: &Stream, until: Instant) -> Result<()> {
    loop {
        let shown = client.stream(&stream.id).await;
        let looks_right = matches!(&shown, Ok(Some(shown))
            if shown["size"] == stream.size && shown["synced"] == true);
        let last = match looks_right {
            true => match export(client, stream).await {
                Export::Right => return Ok(()),
                other => format!("{other:?}"),
            },
            false => format!("{shown:?}"),
        };
        if Instant::now() > until {
            let facts = client.troubles().await.ok().flatten();
            return Err(anyhow::anyhow!("{last}; troubles: {facts:?}"))
                .with_context(|| format!("{} of {} records", stream.id, stream.size));
        }
        sleep(LOOK_AGAIN).await;
    }
}
