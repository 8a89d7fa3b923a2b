//! What local programs read and write over HTTP, with the clients they have.

mod bad_input;
mod bodies;
mod chunks;
mod columns;
mod description;
mod gaps;
mod heads;
mod joins;
mod nginx;
mod numbers;
mod once;
mod parts;
mod predictions;
mod proved;
mod socket;
mod thinning;
mod times;
mod tokens;

use anyhow::{Context, Result};
use headwater_tests::TestNode;

/// A stream of this type; its id.
fn create(node: &TestNode, name: &str, value_type: &str) -> Result<String> {
    let created = node.json(&["stream", "create", name, "--value-type", value_type])?;
    Ok(created["id"].as_str().context("no id")?.to_owned())
}

/// A path in the node's folder.
fn path(node: &TestNode, name: &str) -> Result<String> {
    let path = node.dir().join(name);
    Ok(path.to_str().context("the path is no text")?.to_owned())
}
