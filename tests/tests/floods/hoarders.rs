//! Peers that ask and never take an answer.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use futures::AsyncWriteExt;
use headwater_protocols::id::LogId;
use headwater_tests::hostile::{
    CONTROL, QUESTION, Speaker, bytes_field, frame, number_field, write_while_taken,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::victim::{Usage, Victim, Watch};

/// What each of them asks at most, in bytes.
const ASKED: usize = 8 << 20;

const LIMITS: &str = "max_connections = 64\nmax_connections_per_ip = 8";

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_fill_no_memory() -> Result<()> {
    let mut victim = Victim::start(LIMITS).await?;
    let mut control = Victim::start("").await?;
    let alone = rate(&mut victim, &mut control).await?;
    let address = victim.detour();
    let watch = Watch::of(victim.pid()?);
    let mut hoarders = JoinSet::new();
    for _ in 0..4 {
        let address = address.clone();
        hoarders.spawn(async move {
            let mut hoarder = Speaker::connect(&address).await?;
            let mut lane = hoarder.lane(CONTROL).await?;
            hoarder.ignore_answers().await?;
            let written = write_while_taken(&mut lane, &QUESTION, ASKED).await;
            anyhow::Ok((hoarder, lane, written))
        });
    }
    let beside = rate(&mut victim, &mut control).await?;
    let mut held = Vec::new();
    while let Some(hoarder) = hoarders.join_next().await {
        held.push(hoarder??);
    }
    let written: usize = held.iter().map(|(_, _, written)| written).sum();
    let peak = watch.peak().rss_kb / 1024;
    drop(held);
    let after = settled(&victim).await?;
    println!(
        "4 hoarders: {} KB of questions were taken, resident memory {peak} MB, {} MB before and \
         {after} MB after; {alone} alone and {beside} beside them",
        written / 1024,
        victim.before.rss_kb / 1024,
    );
    ensure!(peak <= 80, "{peak} MB");
    ensure!(
        after <= victim.before.rss_kb / 1024 + 12,
        "{after} MB are kept"
    );
    beside.ensure_half_of(alone)?;
    victim.calms_down().await
}

/// Honest records a second, and those of a pair that nobody attacks: what else goes on
/// on the machine slows both.
#[derive(Clone, Copy)]
struct Rate {
    victim: f64,
    control: f64,
}

impl Rate {
    /// Checks that the victim is not slowed to less than half, as the other pair is not.
    fn ensure_half_of(self, alone: Self) -> Result<()> {
        let (share, share_alone) = (self.victim / self.control, alone.victim / alone.control);
        ensure!(share >= share_alone / 2.0, "{self} instead of {alone}");
        Ok(())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { victim, control } = self;
        write!(f, "{victim:.0} honest records/s ({control:.0} elsewhere)")
    }
}

/// Both, over the same two seconds.
async fn rate(victim: &mut Victim, control: &mut Victim) -> Result<Rate> {
    let (victim, control) = tokio::try_join!(rate_of(victim), rate_of(control))?;
    Ok(Rate { victim, control })
}

async fn rate_of(victim: &mut Victim) -> Result<f64> {
    let (started, mut records) = (Instant::now(), 0_u32);
    while started.elapsed() < Duration::from_secs(2) {
        victim.exchange(5).await?;
        records += 5;
    }
    Ok(f64::from(records) / started.elapsed().as_secs_f64())
}

/// Resident memory in MB, five seconds after the flood.
async fn settled(victim: &Victim) -> Result<u64> {
    sleep(Duration::from_secs(5)).await;
    Ok(Usage::of(victim.pid()?)?.rss_kb / 1024)
}

/// Records of the stream of which everything is asked.
const RECORDS: u64 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_work_all_the_time_leaves_the_publisher_its_own() -> Result<()> {
    let mut victim = Victim::start(LIMITS).await?;
    let stream = victim.node.create("asked")?;
    victim.node.publish_numbers(&stream, 0, RECORDS)?;
    let shown = victim.node.show(&stream)?;
    let root = shown["head"]["root"].as_str().or(shown["root"].as_str());
    let root = HEXLOWER.decode(root.context("no root")?.as_bytes())?;
    let log: LogId = stream.parse()?;
    let mut control = Victim::start("").await?;
    let alone = rate(&mut victim, &mut control).await?;
    let address = victim.detour();
    let mut asking = JoinSet::new();
    for _ in 0..4 {
        let (address, root) = (address.clone(), root.clone());
        asking.spawn(async move {
            let mut greedy = Speaker::connect(&address).await?;
            let mut lane = greedy.lane(CONTROL).await?;
            greedy.ignore_answers().await?;
            let answers = greedy.take_answers();
            let questions = questions(log, &root);
            let mut asked = 0;
            let until = Instant::now() + Duration::from_secs(6);
            while Instant::now() < until {
                // 0.2 MB a second.
                let part = questions.len().min(20_000);
                if lane.write_all(&questions[..part]).await.is_err() {
                    break;
                }
                asked += part;
                sleep(Duration::from_millis(100)).await;
            }
            answers.abort();
            anyhow::Ok(asked)
        });
    }
    // What may be used up at once is used up.
    sleep(Duration::from_secs(3)).await;
    let cpu_before = Usage::of(victim.pid()?)?.cpu;
    let started = Instant::now();
    let beside = rate(&mut victim, &mut control).await?;
    let cpu = (Usage::of(victim.pid()?)?.cpu - cpu_before).as_secs_f64();
    let share = cpu / started.elapsed().as_secs_f64();
    let mut asked = 0;
    while let Some(one) = asking.join_next().await {
        asked += one??;
    }
    println!(
        "4 who ask for single records of all chunks: {} KB of questions, {:.0} % of a processor; \
         {alone} alone and {beside} beside them",
        asked / 1024,
        share * 100.0
    );
    beside.ensure_half_of(alone)?;
    ensure!(share < 0.3, "{share} of a processor");
    victim.calms_down().await
}

/// Questions for one record of each of many chunks, each given up at once: about
/// as much work as a question can make.
fn questions(log: LogId, root: &[u8]) -> Vec<u8> {
    let mut questions = Vec::new();
    for id in 0..2_000 {
        let first = (id * 7) % 100;
        let intervals = (first..first + 100).map(|chunk| {
            let from = chunk * 256 + 77;
            let interval = [number_field(1, from), number_field(2, from + 1)].concat();
            bytes_field(3, &interval)
        });
        let range = [
            bytes_field(1, &log.0),
            number_field(2, RECORDS),
            intervals.collect::<Vec<_>>().concat(),
            bytes_field(6, root),
        ];
        questions.extend(frame(id, &bytes_field(4, &range.concat())));
        questions.extend(frame(id, &bytes_field(7, &[])));
    }
    questions
}
