//! `scripts/long`: long trials of real processes by dice. Each round draws by its
//! seed what is running and what befalls it, and judges what is left. One JSON
//! line a figure, one more for each thing that must not be.

mod client;
mod command;
mod crashes;
mod damage;
mod dice;
mod disk_full;
mod launch;
mod ledger;
mod power;
mod tally;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Parser;
use futures::StreamExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};

use tally::{Outcome, Tally, progress};

/// How long a round may take: far more than any does.
const ROUND: Duration = Duration::from_secs(900);

/// How long a command that hangs may keep the nodes of a round from their end.
const ENDS: Duration = Duration::from_secs(10);

/// Tries real nodes for long, by dice. Prints one JSON line a figure.
#[derive(Debug, Parser)]
#[command(name = "scripts/long")]
struct Arguments {
    /// Rounds of each trial [default: 1,000 crashes, 500 damages, 30 full disks]
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Of the first round; each next one has the next seed [default: by the
    /// clock]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Where the logs of nodes go that did what must not be
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Rounds at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
    /// What is tried; everything if nothing is named.
    #[arg(value_name = "NAME")]
    trials: Vec<Trial>,
}

/// The names of the trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Trial {
    /// Nodes are killed, stopped or lose power at work.
    Crashes,
    /// A file of a data folder is damaged.
    Damage,
    /// A disk fills up, and has room again.
    DiskFull,
}

impl Trial {
    fn name(self) -> &'static str {
        match self {
            Self::Crashes => "crashes",
            Self::Damage => "damage",
            Self::DiskFull => "disk-full",
        }
    }

    fn default_count(self) -> u64 {
        match self {
            Self::Crashes => 1_000,
            Self::Damage => 500,
            Self::DiskFull => 30,
        }
    }

    /// The rounds, each with its seed and how much of the count it is.
    fn rounds(self, count: u64, seed: u64) -> Vec<(u64, u64)> {
        let each = match self {
            Self::Crashes => crashes::CYCLES_A_ROUND,
            Self::Damage | Self::DiskFull => 1,
        };
        let starts = (0..count).step_by(usize::try_from(each).unwrap_or(1));
        let rounds = starts.zip(seed..);
        rounds
            .map(|(start, seed)| (seed, each.min(count - start)))
            .collect()
    }

    /// One round. What keeps it from its end must not be either.
    async fn round(self, seed: u64, count: u64) -> Outcome {
        let mut outcome = Outcome::default();
        let round = async {
            match self {
                Self::Crashes => crashes::round(seed, count, &mut outcome).await,
                Self::Damage => damage::round(seed, &mut outcome).await,
                Self::DiskFull => disk_full::round(seed, &mut outcome).await,
            }
        };
        let ended = match timeout(ROUND, round).await {
            Ok(ended) => ended,
            Err(_) => Err(anyhow::anyhow!("it takes longer than {ROUND:?}")),
        };
        outcome.check("the round did not come to its end", ended);
        outcome
    }
}

fn main() -> ExitCode {
    match try_all(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scripts/long: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn try_all(arguments: &Arguments) -> anyhow::Result<bool> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("the clock is before 1970")?
            .as_secs(),
    };
    let trials = match &arguments.trials[..] {
        [] => clap::ValueEnum::value_variants(),
        trials => trials,
    };
    // Rounds wait for commands, too, which takes a thread each.
    let threads = 2 * arguments.jobs.max(1) + 2;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    let all = async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            all_good = try_each(arguments, trials, seed) => all_good,
            _ = terminate.recv() => bail!("told to end"),
            _ = interrupt.recv() => bail!("told to end"),
        }
    };
    let all_good = runtime.block_on(all);
    // Rounds that were broken off end their nodes and unmount their disks.
    runtime.shutdown_timeout(ENDS);
    all_good
}

async fn try_each(arguments: &Arguments, trials: &[Trial], seed: u64) -> anyhow::Result<bool> {
    let mut all_good = true;
    for &trial in trials {
        let count = arguments.count.unwrap_or_else(|| trial.default_count());
        all_good &= run(arguments, trial, count, seed).await?;
    }
    Ok(all_good)
}

async fn run(arguments: &Arguments, trial: Trial, count: u64, seed: u64) -> anyhow::Result<bool> {
    let mut tally = Tally::new(trial.name(), count, seed);
    let begun = Instant::now();
    let rounds = trial.rounds(count, seed);
    let mut ended = futures::stream::iter(rounds)
        .map(|(seed, count)| {
            let round = tokio::spawn(trial.round(seed, count));
            async move { (seed, count, round.await) }
        })
        .buffer_unordered(arguments.jobs.max(1));
    let mut done = 0;
    while let Some((seed, part, outcome)) = ended.next().await {
        done += part;
        let outcome = outcome.context("a round has panicked")?;
        let word = if outcome.is_good() { "good" } else { "BAD" };
        if let Some(dir) = &arguments.logs {
            outcome.write_logs(dir, &format!("{}-{seed}", trial.name()))?;
        }
        tally.take(seed, outcome)?;
        let name = trial.name();
        let elapsed = begun.elapsed().as_secs();
        progress(&format!(
            "{name} {done}/{count}, seed {seed}: {word}, {elapsed} s"
        ));
    }
    tally.finish()
}
