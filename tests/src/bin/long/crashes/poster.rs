//! Programs that post to the publisher, one request after the other, and count
//! what is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use tokio::task::JoinHandle;

use super::world::{Stream, World};
use crate::client::{Client, Posted};
use crate::dice::Dice;
use crate::ledger::Unanswered;

/// Posters at work.
#[derive(Debug)]
pub(crate) struct Posters {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Posters {
    /// So many, each at a stream of its own or at the same one.
    pub(crate) fn start(world: &World, count: u64, dice: &mut Dice) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..count).map(|_| {
            let stream = world.some_stream(dice);
            let poster = Poster {
                client: world.publisher_client(),
                stream,
                dice: Dice::new(dice.below(u64::MAX)),
                stop: stop.clone(),
                cut: world.cut(),
            };
            tokio::spawn(poster.work())
        });
        let tasks = tasks.collect();
        Self { stop, tasks }
    }

    /// Ends them. What one of them saw that must not be is an error.
    pub(crate) async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(())
    }
}

struct Poster {
    client: Client,
    stream: Arc<Stream>,
    dice: Dice,
    stop: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
}

impl Poster {
    async fn work(mut self) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            let most = if self.dice.chance(10) { 2_000 } else { 40 };
            let count = self.dice.between(1, most);
            let ledger = &self.stream.ledger;
            let values = ledger.fresh(count);
            let key = (self.dice.chance(50)).then(|| format!("{:016x}", self.dice.below(u64::MAX)));
            let posted = self.client.post(&self.stream.id, &values, key.as_deref());
            match posted.await {
                Posted::Acknowledged { from, to } if !self.cut.load(Ordering::SeqCst) => {
                    ensure!(to - from == count, "{count} were sent, {from} to {to} said");
                    ledger.acknowledge(from, &values);
                }
                // It ends: its disk is gone, or it takes no more.
                Posted::Refused { .. } => return Ok(()),
                Posted::Unknown(_) | Posted::Acknowledged { .. } => {
                    if let Some(key) = key {
                        ledger.leave_open(Unanswered { key, values });
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
