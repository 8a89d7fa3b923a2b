//! A publisher and its follower, and what their users were promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{End, Victims};
use crate::client::{Client, Posted};
use crate::command::run;
use crate::dice::Dice;
use crate::launch::relaunch;
use crate::ledger::{Ledger, Rows};
use crate::power::PowerDisk;
use crate::tally::Outcome;

/// How long a node that was restarted may take until all is as it should be:
/// until an own stream is open, and until a follower has caught up.
const MENDED: Duration = Duration::from_secs(60);

/// Records of the stream that is deleted and followed again.
const SPARE: u64 = 3_000;
/// Records of an own stream that is deleted.
const OWN: u64 = 300;

/// What is kept of the stream that keeps its latest records.
const KEPT: u64 = 500;

/// A stream of the publisher, and what was promised of it.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: String,
    pub(crate) ledger: Ledger,
}

/// Two nodes.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) publisher: TestNode,
    follower: TestNode,
    publisher_client: Client,
    follower_client: Client,
    /// Posted to: one that keeps all, one that keeps its latest records, and one
    /// that keeps those of two seconds.
    posted: [Arc<Stream>; 3],
    /// Published to from a pipe, by nobody else.
    piped: Arc<Stream>,
    /// Deleted and followed again by the follower.
    spare: Arc<Stream>,
    /// Streams that were created so far, for their names.
    names: u64,
    /// Whose folder lies on a disk of its own.
    powered: Victims,
    /// Whether the power is about to be cut, or was, since the last launch: who
    /// gets an answer then would not have got it from a machine without power.
    cut: Arc<AtomicBool>,
    /// Whether that is how the last cycle ended.
    pub(crate) lost_power: bool,
    /// That disk; dropped last, after the processes on it have ended.
    disk: Option<PowerDisk>,
}

/// A deletion on its way; whether it was said to be done.
pub(crate) type Deletion = JoinHandle<bool>;

impl World {
    /// A new one, whose streams are followed and have some records.
    pub(crate) async fn new(dice: &mut Dice) -> Result<Self> {
        let has_disk = dice.chance(60);
        let disk = if has_disk { PowerDisk::new()? } else { None };
        let powered = match dice.chance(65) {
            true => Victims::Publisher,
            false => Victims::Follower,
        };
        let (mut publisher, mut follower) = (TestNode::new()?, TestNode::new()?);
        if let Some(disk) = &disk {
            let node = match powered {
                Victims::Publisher => &mut publisher,
                _ => &mut follower,
            };
            node.use_dir(&disk.path().join("data"))?;
        }
        for node in [&mut publisher, &mut follower] {
            node.launch().await?;
            node.keep_port()?;
        }
        let stream = |args: &[&str]| -> Result<Arc<Stream>> {
            let args = [&["stream", "create", "--value-type", "number"][..], args].concat();
            let created = publisher.json(&args)?;
            let id = created["id"].as_str().context("no id")?.to_owned();
            let ledger = Ledger::default();
            Ok(Arc::new(Stream { id, ledger }))
        };
        let kept = KEPT.to_string();
        let few = ["--chunk-level", "5"];
        let posted = [
            stream(&["all"])?,
            stream(&[&["latest", "--retain-records", &kept][..], &few].concat())?,
            stream(&[&["young", "--retain-age", "2s"][..], &few].concat())?,
        ];
        let (piped, spare) = (stream(&["piped"])?, stream(&["spare"])?);
        let (publisher_client, follower_client) =
            (Client::of(&publisher).await?, Client::of(&follower).await?);
        let world = Self {
            publisher,
            follower,
            publisher_client,
            follower_client,
            posted,
            piped,
            spare,
            names: 0,
            powered,
            cut: Arc::default(),
            lost_power: false,
            disk,
        };
        world.publish(&world.spare, SPARE).await?;
        for stream in world.followed() {
            world.follow(&stream.id).await?;
        }
        world.judge().await.context("before the first cycle")?;
        Ok(world)
    }

    fn followed(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.posted.iter().chain([&self.piped, &self.spare])
    }

    async fn follow(&self, id: &str) -> Result<()> {
        let invite = format!("headwater:{id}?peer={}", self.publisher.address()?);
        run(&self.follower, &["follow", &invite]).await?;
        Ok(())
    }

    /// One of those that are posted to.
    pub(crate) fn some_stream(&self, dice: &mut Dice) -> Arc<Stream> {
        let place = usize::try_from(dice.below(self.posted.len() as u64)).unwrap_or_default();
        self.posted[place].clone()
    }

    /// The one that a pipe is published to.
    pub(crate) fn piped(&self) -> Arc<Stream> {
        self.piped.clone()
    }

    /// The publisher's API.
    pub(crate) fn publisher_client(&self) -> Client {
        self.publisher_client.clone()
    }

    /// A name that no stream has.
    pub(crate) fn new_name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}-{}", self.names)
    }

    /// How many records were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.followed().map(|stream| stream.ledger.count()).sum()
    }

    /// Keeps what the nodes wrote, if there is a reason.
    pub(crate) fn keep_logs(&self, outcome: &mut Outcome) {
        outcome.keep_log("publisher", &self.publisher);
        outcome.keep_log("follower", &self.follower);
    }

    async fn publish(&self, stream: &Stream, count: u64) -> Result<()> {
        let values = stream.ledger.fresh(count);
        match (self.publisher_client.post(&stream.id, &values, None)).await {
            Posted::Acknowledged { from, .. } => {
                stream.ledger.acknowledge(from, &values);
                Ok(())
            }
            other => anyhow::bail!("nothing can be published: {other:?}"),
        }
    }

    /// Lets the follower have something to fetch.
    pub(crate) async fn publish_while_the_follower_is_away(
        &mut self,
        dice: &mut Dice,
    ) -> Result<()> {
        self.follower.stop().await?;
        let all = self.posted[0].clone();
        for _ in 0..dice.between(1, 6) {
            self.publish(&all, dice.between(1, 10_000)).await?;
        }
        self.launch(Victims::Follower).await
    }

    /// The follower deletes a stream at some moment of the cycle.
    pub(crate) fn delete_spare(&self, dice: &mut Dice) -> Deletion {
        let (client, id) = (self.follower_client.clone(), self.spare.id.clone());
        let pause = Duration::from_millis(dice.below(100));
        tokio::spawn(async move {
            sleep(pause).await;
            client.delete(&id, false).await.unwrap_or(false)
        })
    }

    /// Follows the deleted stream again.
    pub(crate) async fn follow_again(&self, was_deleted: bool) -> Result<()> {
        let (client, id) = (&self.follower_client, &self.spare.id);
        let known = client.stream(id).await?;
        let is_promised = was_deleted && !self.lost_power;
        ensure!(
            !(is_promised && known.is_some()),
            "a stream that was deleted is back after a crash"
        );
        self.follow(id).await
    }

    /// The publisher deletes a stream of its own at some moment of the cycle.
    pub(crate) async fn delete_own(&mut self, dice: &mut Dice) -> Result<(Stream, Deletion)> {
        let id = self.publisher.create(&self.new_name_of_own())?;
        self.names += 1;
        let ledger = Ledger::default();
        let stream = Stream { id, ledger };
        self.publish(&stream, OWN).await?;
        let (client, id) = (self.publisher_client.clone(), stream.id.clone());
        let pause = Duration::from_millis(dice.below(100));
        let deletion = tokio::spawn(async move {
            sleep(pause).await;
            client.delete(&id, true).await.unwrap_or(false)
        });
        Ok((stream, deletion))
    }

    fn new_name_of_own(&self) -> String {
        format!("own-{}", self.names + 1)
    }

    /// A deleted stream is gone; one that is not has all that it had.
    pub(crate) async fn judge_own_deletion(
        &self,
        (stream, deletion): (Stream, Deletion),
    ) -> Result<()> {
        let was_deleted = deletion.await?;
        let client = &self.publisher_client;
        match client.stream(&stream.id).await? {
            None => Ok(()),
            Some(_) if was_deleted && !self.lost_power => {
                anyhow::bail!("an own stream that was deleted is back after a crash")
            }
            Some(_) => {
                let whole = self.judge_stream(client, &stream, OWN).await;
                whole.context("an own stream that was not deleted")?;
                ensure!(client.delete(&stream.id, true).await?, "it stays");
                Ok(())
            }
        }
    }

    /// Ends the victims; what was done.
    pub(crate) async fn end(&mut self, victims: Victims, end: End) -> Result<&'static str> {
        let both = victims == Victims::Both;
        let has_power = self.disk.is_some() && (both || victims == self.powered);
        let (end, how) = match end {
            End::PowerCut if has_power => (end, "power cuts"),
            End::PowerCut | End::Killed => (End::Killed, "kills"),
            End::Stopped => (end, "stops"),
        };
        let cut_off = self.disk.as_ref().filter(|_| end == End::PowerCut);
        self.lost_power = cut_off.is_some();
        if let Some(disk) = cut_off {
            self.cut.store(true, Ordering::SeqCst);
            disk.cut()?;
        }
        let mut ended = Vec::new();
        if victims.has_publisher() {
            ended.push(&mut self.publisher);
        }
        if victims.has_follower() {
            ended.push(&mut self.follower);
        }
        for node in ended {
            match end {
                End::Stopped => node.stop().await?,
                End::Killed | End::PowerCut => node.kill()?,
            }
        }
        if let Some(disk) = cut_off {
            disk.restore()?;
        }
        Ok(how)
    }

    /// Whether the power is about to be cut, or was, since the last launch.
    pub(crate) fn cut(&self) -> Arc<AtomicBool> {
        self.cut.clone()
    }

    /// Launches the victims again.
    pub(crate) async fn launch(&mut self, victims: Victims) -> Result<()> {
        self.cut.store(false, Ordering::SeqCst);
        if victims.has_publisher() {
            let launched = relaunch(&mut self.publisher).await;
            launched.context("the publisher does not start again")?;
            self.publisher_client = Client::of(&self.publisher).await?;
        }
        if victims.has_follower() {
            let launched = relaunch(&mut self.follower).await;
            launched.context("the follower does not start again")?;
            self.follower_client = Client::of(&self.follower).await?;
        }
        Ok(())
    }

    /// Sends again what had no answer and names itself: it is done once.
    pub(crate) async fn post_again(&self, outcome: &mut Outcome) -> Result<()> {
        for stream in self.followed() {
            self.until_open(&stream.id).await?;
            for open in stream.ledger.take_open() {
                outcome.count("posts that were sent again");
                let client = &self.publisher_client;
                let posted = client.post(&stream.id, &open.values, Some(&open.key));
                match posted.await {
                    Posted::Acknowledged { from, .. } => {
                        stream.ledger.acknowledge(from, &open.values);
                    }
                    other => anyhow::bail!("a post that is sent again is not taken: {other:?}"),
                }
            }
        }
        Ok(())
    }

    async fn until_open(&self, id: &str) -> Result<()> {
        let is_open = |shown: &Value| shown["reopening"].is_null() && shown["stopped"].is_null();
        let opened = self.publisher_client.until(id, MENDED, is_open).await;
        opened.context("an own stream does not open")?;
        Ok(())
    }

    /// All that was promised is there, at both nodes, and nobody has forked.
    pub(crate) async fn judge(&self) -> Result<()> {
        for stream in self.followed() {
            self.until_open(&stream.id).await?;
            let shown = self.publisher_client.known_stream(&stream.id).await?;
            let size = shown["size"].as_u64().context("size")?;
            let here = self.judge_stream(&self.publisher_client, stream, size);
            let here = here.await.context("at the publisher")?;
            let there = self.judge_stream(&self.follower_client, stream, size);
            let there = there.await.context("at the follower")?;
            here.ensure_agreement(&there)?;
        }
        self.publisher_client.no_evidence().await?;
        self.follower_client.no_evidence().await
    }

    async fn judge_stream(&self, client: &Client, stream: &Stream, size: u64) -> Result<Rows> {
        let in_step = |shown: &Value| {
            shown["size"] == size && shown["synced"] == true && shown["forked"] == false
        };
        client.until(&stream.id, MENDED, in_step).await?;
        // Records may be dropped between two questions.
        let mut last = None;
        for _ in 0..20 {
            let before = begin(&client.known_stream(&stream.id).await?)?;
            let export = client.export(&stream.id).await;
            let after = begin(&client.known_stream(&stream.id).await?)?;
            if before != after {
                continue;
            }
            let rows = Rows::of_csv(&export?)?;
            let checked = stream.ledger.check(&rows, after, size);
            if checked.is_ok() {
                self.ensure_kept(stream, after, size)?;
                return Ok(rows);
            }
            last = Some(checked);
            sleep(crate::client::LOOK_AGAIN).await;
        }
        match last {
            Some(Err(error)) => Err(error),
            _ => anyhow::bail!("records of {} are dropped all the time", stream.id),
        }
    }

    /// Of all streams but those that keep less, everything is kept.
    fn ensure_kept(&self, stream: &Stream, begin: u64, size: u64) -> Result<()> {
        let [_, latest, young] = &self.posted;
        let most = if stream.id == latest.id {
            size.saturating_sub(KEPT)
        } else if stream.id == young.id {
            size
        } else {
            0
        };
        ensure!(begin <= most, "of {size} records {begin} were dropped");
        Ok(())
    }
}

fn begin(shown: &Value) -> Result<u64> {
    shown["begin"].as_u64().context("begin")
}
