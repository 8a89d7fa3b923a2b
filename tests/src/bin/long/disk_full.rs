//! A disk fills up, and has room again: everything opens by itself, and nothing
//! that was acknowledged is lost. A round is one node on a small disk of its own,
//! and a node beside it that has room.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::{SmallDisk, TestNode};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::client::{Client, LOOK_AGAIN, Posted};
use crate::command::{attempt, run};
use crate::dice::Dice;
use crate::launch::relaunch;
use crate::tally::Outcome;

/// How long it may take until a disk is full and its node says so.
const SAID: Duration = Duration::from_secs(90);

/// How long it may take until everything goes on, once there is room.
const GOES_ON: Duration = Duration::from_secs(30);

/// After so long a disk that is still full is said to be.
const FULL_FOR_GOOD: Duration = Duration::from_secs(2);

/// What fills the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filler {
    Publishing,
    Following,
    Importing,
}

/// Bytes of a disk, in MiB, and after there is room.
const SMALL_MIB: (u64, u64) = (40, 56);
/// More than the bound above which nothing is counted; a tmpfs takes none of it
/// before it is used.
const ROOM_MIB: u64 = 8 << 10;

/// Records that fill every small disk twice over.
const ROWS: u64 = 800_000;

/// Records of one request.
const BATCH: u64 = 1_000;

/// One disk that fills up.
pub(crate) async fn round(seed: u64, outcome: &mut Outcome) -> Result<()> {
    let mut dice = Dice::new(seed);
    let fillers = [
        (Filler::Publishing, 1),
        (Filler::Following, 1),
        (Filler::Importing, 1),
    ];
    let filler = *dice.weighted(&fillers).unwrap_or(&Filler::Publishing);
    let Some(disk) = SmallDisk::new(dice.between(SMALL_MIB.0, SMALL_MIB.1))? else {
        outcome.count("rounds without a disk: a tmpfs cannot be mounted here");
        return Ok(());
    };
    outcome.count(format!("{filler:?}"));
    let restarts = dice.chance(40);
    let world = World::new(disk).await?;
    match filler {
        Filler::Publishing => publishing(world, restarts, outcome).await,
        Filler::Following => following(world, restarts, outcome).await,
        Filler::Importing => importing(world, restarts, outcome).await,
    }
    .with_context(|| format!("{filler:?}, restarts: {restarts}"))
}

/// A node on the small disk, and one beside it; the disk is dropped last.
struct World {
    node: TestNode,
    other: TestNode,
    disk: SmallDisk,
    /// Whether the node on the small disk runs.
    runs: bool,
}

impl World {
    async fn new(disk: SmallDisk) -> Result<Self> {
        let mut node = TestNode::new()?;
        node.use_dir(&disk.path().join("data"))?;
        node.launch().await?;
        node.keep_port()?;
        let other = TestNode::start(&[]).await?;
        let runs = true;
        Ok(Self {
            node,
            other,
            disk,
            runs,
        })
    }

    /// The disk is full: the node says so, in the way that programs look at, and
    /// what it has can be read, also after a restart.
    async fn judge_full(&mut self, restarts: bool, outcome: &mut Outcome) -> Result<()> {
        let client = Client::of(&self.node).await?;
        outcome.check(
            "a full disk is not said",
            until_health(&client, 503, SAID).await,
        );
        if restarts {
            outcome.count("restarts while it is full");
            self.node.kill()?;
            let launched = relaunch(&mut self.node).await;
            self.runs = launched.is_ok();
            outcome.check("a node does not start on a full disk", launched);
        }
        Ok(())
    }

    /// There is room again: nothing has to be done.
    async fn make_room(&mut self, outcome: &mut Outcome) -> Result<Client> {
        self.disk.resize(ROOM_MIB)?;
        if !self.runs {
            relaunch(&mut self.node).await?;
        }
        let client = Client::of(&self.node).await?;
        let healthy = until_health(&client, 200, GOES_ON).await;
        outcome.check("a node with room again is not well", healthy);
        Ok(client)
    }
}

/// Waits until `GET /health` answers so.
async fn until_health(client: &Client, status: u16, patience: Duration) -> Result<()> {
    let until = Instant::now() + patience;
    loop {
        let last = client.health().await?;
        if last == status {
            return Ok(());
        }
        ensure!(Instant::now() < until, "/health says {last}, not {status}");
        sleep(LOOK_AGAIN).await;
    }
}

async fn publishing(mut world: World, restarts: bool, outcome: &mut Outcome) -> Result<()> {
    let id = create(&world.node)?;
    world.other.run(&["follow", &world.node.invite(&id)?])?;
    let client = Client::of(&world.node).await?;
    let (acknowledged, refused) = fill(&client, &id).await?;
    if refused != 507 {
        outcome.violation("a publish to a full disk is no 507", refused.to_string());
    }
    world.judge_full(restarts, outcome).await?;
    if world.runs {
        let client = Client::of(&world.node).await?;
        judge_rows(&client, &id, acknowledged)
            .await
            .context("while it is full")?;
    }

    let client = world.make_room(outcome).await?;
    let size = until_published(&client, &id, acknowledged, outcome).await?;
    let other = Client::of(&world.other).await?;
    for client in [&client, &other] {
        let in_step = |shown: &Value| shown["size"] == size && shown["synced"] == true;
        client.until(&id, GOES_ON, in_step).await?;
        judge_rows(client, &id, acknowledged).await?;
        client.no_evidence().await?;
    }
    Ok(())
}

async fn following(mut world: World, restarts: bool, outcome: &mut Outcome) -> Result<()> {
    let id = create(&world.other)?;
    let publisher = Client::of(&world.other).await?;
    let mut size = 0;
    while size < ROWS {
        size = append(&publisher, &id, size, 5 * BATCH)
            .await
            .map_err(|posted| anyhow::anyhow!("{posted:?}"))?;
    }
    world.node.run(&["follow", &world.other.invite(&id)?])?;
    world.judge_full(restarts, outcome).await?;
    let client = world.make_room(outcome).await?;
    let in_step = |shown: &Value| shown["size"] == size && shown["synced"] == true;
    client.until(&id, 2 * GOES_ON, in_step).await?;
    judge_rows(&client, &id, size).await?;
    client.no_evidence().await
}

async fn importing(mut world: World, restarts: bool, outcome: &mut Outcome) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("old.csv");
    let mut text = String::from("ts,value\n");
    for i in 0..ROWS {
        writeln!(text, "{},{}", 1_600_000_000 + i, noise(i))?;
    }
    fs::write(&file, text)?;
    let file = file.to_str().context("path")?;
    let resume = ["import", file, "--to", "old", "--resume"];
    let mut ended = attempt(
        &world.node,
        &["import", file, "--create", "old", "--value-type", "text"],
    )
    .await?;
    // Table files that are written again leave some room at first.
    for _ in 0..10 {
        ensure!(!ended.is_success, "the disk did not fill up");
        let said = ended.errors;
        ensure!(said.contains("full"), "it does not say why: {said}");
        sleep(FULL_FOR_GOOD).await;
        if Client::of(&world.node).await?.health().await? == 503 {
            break;
        }
        ended = attempt(&world.node, &resume).await?;
    }
    world.judge_full(restarts, outcome).await?;
    let client = world.make_room(outcome).await?;
    let resumed = run(&world.node, &resume).await;
    resumed.context("the import does not go on")?;
    let shown = world.node.show("old")?;
    ensure!(shown["size"] == ROWS, "{shown}");
    let id = shown["id"].as_str().context("no id")?;
    judge_rows(&client, id, ROWS).await
}

/// A stream of texts; its id.
fn create(node: &TestNode) -> Result<String> {
    let created = node.json(&["stream", "create", "texts", "--value-type", "text"])?;
    Ok(created["id"].as_str().context("no id")?.to_owned())
}

/// Publishes until nothing is taken any more: the records that were
/// acknowledged, and the status of the refusal. Table files that are written
/// again leave some room at first.
async fn fill(client: &Client, id: &str) -> Result<(u64, u16)> {
    let (mut size, mut refused_since) = (0, Instant::now());
    while size < ROWS {
        match append(client, id, size, BATCH).await {
            Ok(to) => (size, refused_since) = (to, Instant::now()),
            Err(Posted::Refused { status, .. }) => {
                if client.health().await? == 503 || refused_since.elapsed() > SAID {
                    return Ok((size, status));
                }
                sleep(LOOK_AGAIN).await;
            }
            Err(other) => bail!("after {size} records: {other:?}"),
        }
    }
    bail!("the disk does not fill up")
}

/// Publishes so many records; the size then.
async fn append(client: &Client, id: &str, from: u64, count: u64) -> Result<u64, Posted> {
    let rows = (from..from + count).map(|i| {
        format!(
            r#"{{"time":{i},"time_unit":"us","value":"{}"}}{}"#,
            noise(i),
            "\n"
        )
    });
    match client.post_lines(id, rows.collect(), None).await {
        Posted::Acknowledged { to, .. } => Ok(to),
        other => Err(other),
    }
}

/// Publishes again as soon as it is taken; the size then. What was refused may
/// have been stored all the same where nobody could know.
async fn until_published(
    client: &Client,
    id: &str,
    acknowledged: u64,
    outcome: &mut Outcome,
) -> Result<u64> {
    let until = Instant::now() + GOES_ON;
    loop {
        let size = client.known_stream(id).await?["size"]
            .as_u64()
            .context("size")?;
        ensure!(
            size >= acknowledged,
            "{acknowledged} were acknowledged, {size} are left"
        );
        match append(client, id, size, 1).await {
            Ok(to) => {
                ensure!(to == size + 1, "published at {to} of {size}");
                return Ok(to);
            }
            Err(Posted::Refused { .. }) if Instant::now() < until => sleep(LOOK_AGAIN).await,
            Err(other) => {
                let words = format!("{other:?}");
                outcome.violation("publishing does not go on by itself", words.clone());
                bail!("{words}");
            }
        }
    }
}

/// All that was acknowledged is there, in its order.
async fn judge_rows(client: &Client, id: &str, acknowledged: u64) -> Result<()> {
    let csv = client.export(id).await?;
    let mut count = 0;
    for (i, line) in (0..).zip(csv.lines().skip(1)) {
        let mut fields = line.split(',');
        let (index, value) = (fields.next(), fields.nth(1));
        let is_right =
            index.and_then(|text| text.parse().ok()) == Some(i) && value == Some(&noise(i)[..]);
        ensure!(is_right, "record {i} is wrong: {line}");
        count += 1;
    }
    ensure!(
        count >= acknowledged,
        "{acknowledged} were acknowledged, {count} are left"
    );
    Ok(())
}

/// Text that does not compress well: 100 hex digits from a counter.
fn noise(i: u64) -> String {
    let mut dice = Dice::new(i);
    let mut text = String::new();
    while text.len() < 100 {
        let _ = write!(text, "{:010x}", dice.below(1 << 40));
    }
    text
}
