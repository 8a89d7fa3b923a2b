//! `headwater import`: a file on its way into a stream while the node ends.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use tempfile::NamedTempFile;
use tokio::process::Child;

use super::world::World;
use crate::command::{attempt, ended, run};
use crate::dice::Dice;
use crate::ledger::Rows;

/// A file that is being imported.
#[derive(Debug)]
pub(crate) struct Importer {
    child: Child,
    file: NamedTempFile,
    rows: u64,
    name: String,
}

impl Importer {
    /// Starts to import a file of many rows as a new stream.
    pub(crate) fn start(world: &mut World, dice: &mut Dice) -> Result<Self> {
        let rows = dice.between(1_000, 60_000);
        let mut text = String::from("ts,value\n");
        for i in 0..rows {
            writeln!(text, "{},{i}", 1_600_000_000 + i)?;
        }
        let file = tempfile::Builder::new().suffix(".csv").tempfile()?;
        fs::write(file.path(), text)?;
        let name = world.new_name("import");
        let path = file.path().to_str().context("path")?;
        let child = (world.publisher).spawn(&["import", path, "--create", &name])?;
        Ok(Self {
            child,
            file,
            rows,
            name,
        })
    }

    /// Goes on with it if it has ended too early; all rows must be there, once.
    /// What was necessary.
    pub(crate) async fn finish(self, world: &World) -> Result<&'static str> {
        let ended = ended(self.child).await?;
        let said = ended.errors;
        let node = &world.publisher;
        let path = self.file.path().to_str().context("path")?;
        let is_there = attempt(node, &["show", &self.name]).await?.is_success;
        let how = match (ended.is_success, is_there) {
            (true, _) => "imports that came to their end",
            (false, true) => {
                run(node, &["import", path, "--to", &self.name, "--resume"])
                    .await
                    .with_context(|| format!("after: {said}"))?;
                "imports that were resumed"
            }
            (false, false) => {
                run(node, &["import", path, "--create", &self.name])
                    .await
                    .with_context(|| format!("after: {said}"))?;
                "imports that were begun again"
            }
        };
        let shown = run(node, &["show", &self.name, "--json"]).await?;
        let shown: Value = serde_json::from_str(&shown)?;
        let id = shown["id"].as_str().context("no id")?;
        let client = world.publisher_client();
        let rows = Rows::of_csv(&client.export(id).await?)?;
        let count = rows.values().count();
        ensure!(
            rows.values().eq(0..self.rows),
            "{count} records, and not the {} rows in their order",
            self.rows
        );
        ensure!(client.delete(id, true).await?, "{id} cannot be deleted");
        Ok(how)
    }
}
