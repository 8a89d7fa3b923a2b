//! What came of the rounds of a trial: what was seen how often, and everything
//! that must not be.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use headwater_tests::TestNode;
use serde_json::{Map, Value, json};

/// What came of one round.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    counts: BTreeMap<String, u64>,
    violations: Vec<Value>,
    /// What nodes wrote to their logs, by what they are.
    logs: Vec<(&'static str, String)>,
}

impl Outcome {
    /// Something was seen.
    pub(crate) fn count(&mut self, what: impl Into<String>) {
        self.add(what, 1);
    }

    /// Something was seen so often.
    pub(crate) fn add(&mut self, what: impl Into<String>, times: u64) {
        *self.counts.entry(what.into()).or_default() += times;
    }

    /// Something that must not be: its name, and what was seen.
    pub(crate) fn violation(&mut self, name: &str, seen: impl Into<String>) {
        let seen = shortened(seen.into());
        self.violations
            .push(json!({ "violation": name, "seen": seen }));
    }

    /// Notes a check that may have failed.
    pub(crate) fn check(&mut self, name: &str, result: anyhow::Result<()>) {
        if let Err(error) = result {
            self.violation(name, format!("{error:#}"));
        }
    }

    /// Whether nothing was seen that must not be.
    pub(crate) fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// Adds to each violation what helps to do it again.
    pub(crate) fn explain(&mut self, facts: &Map<String, Value>) {
        for violation in &mut self.violations {
            if let Some(fields) = violation.as_object_mut() {
                fields.extend(facts.clone());
            }
        }
    }

    /// Keeps the log of a node, if something was seen that must not be.
    pub(crate) fn keep_log(&mut self, of: &'static str, node: &TestNode) {
        if !self.is_good() {
            self.logs.push((of, node.log()));
        }
    }

    /// Writes the logs that were kept.
    pub(crate) fn write_logs(&self, dir: &Path, round: &str) -> anyhow::Result<()> {
        for (of, log) in &self.logs {
            let path = dir.join(format!("{round}-{of}.log"));
            fs::write(&path, log).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Takes in what another part of the round came to.
    pub(crate) fn take(&mut self, other: Self) {
        for (what, times) in other.counts {
            self.add(what, times);
        }
        self.violations.extend(other.violations);
        self.logs.extend(other.logs);
    }
}

/// The end of a long text, which says most.
fn shortened(text: String) -> String {
    const CHARS: usize = 1_500;
    let all = text.chars().count();
    if all <= CHARS {
        return text;
    }
    let end: String = text.chars().skip(all - CHARS).collect();
    format!("… {end}")
}

/// What came of all rounds so far.
#[derive(Debug)]
pub(crate) struct Tally {
    trial: &'static str,
    count: u64,
    seed: u64,
    counts: BTreeMap<String, u64>,
    violations: u64,
    /// Rounds in which there was one.
    bad_rounds: u64,
}

impl Tally {
    /// Of a trial that is about to begin.
    pub(crate) fn new(trial: &'static str, count: u64, seed: u64) -> Self {
        Self {
            trial,
            count,
            seed,
            counts: BTreeMap::new(),
            violations: 0,
            bad_rounds: 0,
        }
    }

    /// Takes in a round, and prints what must not be.
    pub(crate) fn take(&mut self, seed: u64, outcome: Outcome) -> anyhow::Result<()> {
        self.bad_rounds += u64::from(!outcome.is_good());
        for (what, times) in outcome.counts {
            *self.counts.entry(what).or_default() += times;
        }
        for mut violation in outcome.violations {
            self.violations += 1;
            violation["trial"] = self.trial.into();
            violation["seed"] = seed.into();
            print(&violation)?;
        }
        Ok(())
    }

    /// Prints the figure, and says whether all was well.
    pub(crate) fn finish(&self) -> anyhow::Result<bool> {
        let (trial, count, seed) = (self.trial, self.count, self.seed);
        print(&json!({
            "figure": trial,
            "value": self.violations,
            "unit": "violations",
            "bad_rounds": self.bad_rounds,
            "count": count,
            "seed": seed,
            "seen": self.counts,
            "command": format!("scripts/long {trial} --count {count} --seed {seed}"),
        }))?;
        Ok(self.violations == 0)
    }
}

fn print(line: &Value) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot print")
}

/// Says on stderr what is going on.
pub(crate) fn progress(what: &str) {
    eprintln!("  {what}");
}
