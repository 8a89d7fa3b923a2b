//! `stream delete`.

use clap::Args;

use super::Invocation;
use super::output::counted;

/// Forget a stream and delete what this node holds of it
#[derive(Args, Debug)]
#[command(
    after_help = "A stream that this node follows can be followed again later, and then comes from its peers.
One that this node publishes needs --own: it can only come back from peers that have all of it,
and nothing can be published to it before."
)]
pub(crate) struct DeleteArgs {
    /// The stream: id, part of it, or name
    stream: String,
    /// Even if this node publishes it
    #[arg(long)]
    own: bool,
}

pub(super) async fn delete(invocation: &Invocation, args: &DeleteArgs) -> anyhow::Result<()> {
    let deleted = invocation
        .with_client(async |client| Ok(client.delete(&args.stream, args.own).await?))
        .await?;
    let out = invocation.out;
    match out.json {
        true => out.json(&deleted),
        false => out.line(format!(
            "deleted {} with {}",
            deleted.id,
            counted(deleted.held_records, "record")
        )),
    }
}
