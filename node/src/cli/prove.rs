//! `prove`: files that show what is in a stream.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use headwater_client::times::Unit;
use serde::Serialize;

use super::Invocation;
use super::output::{printable, shown_path};
use super::target_file::Target;
use crate::client::Client;

/// Write a proof that a record is in a stream, or that a stream only grew
#[derive(Args, Debug)]
#[command(
    after_help = "Whoever has the file and the stream's id can check it: headwater verify FILE --stream ID"
)]
pub(crate) struct ProveArgs {
    /// The stream: id, part of it, or name
    stream: String,
    /// The record: its index, or a time, which means the last one at or before it
    #[arg(value_name = "INDEX|TIME", required_unless_present = "consistency")]
    index: Option<String>,
    /// The unit of a time that is a number since 1970: s, ms, us or ns. Without it a
    /// whole number is an index
    #[arg(long, value_name = "UNIT", requires = "index", value_parser = str::parse::<Unit>)]
    time_unit: Option<Unit>,
    /// Prove that the first M records are the beginning of the first N
    #[arg(long, num_args = 2, value_names = ["M", "N"], conflicts_with = "index")]
    consistency: Option<Vec<u64>>,
    /// The file to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What `--json` prints when there is a file.
#[derive(Serialize)]
struct Written {
    file: String,
}

/// The index that is asked for, or that of the record that is by its time.
async fn index_of(
    invocation: &Invocation,
    client: &Client,
    stream: &str,
    (asked, unit): (&str, Option<Unit>),
) -> anyhow::Result<u64> {
    if let (Ok(index), None) = (asked.parse(), unit) {
        return Ok(index);
    }
    let record = client.at_or_before(stream, asked, unit).await?;
    let record = record
        .with_context(|| format!("nothing of `{}` is as early as that", printable(stream)))?;
    let (index, time) = (record.index, &record.time);
    invocation.out.note(format!("record {index}, of {time}"));
    Ok(index)
}

pub(super) async fn prove(invocation: &Invocation, args: &ProveArgs) -> anyhow::Result<()> {
    let mut proof = invocation
        .with_client(async |client| {
            let json = match (args.consistency.as_deref(), &args.index) {
                (Some([first, second]), _) => {
                    let proof = client.consistency(&args.stream, *first, *second).await?;
                    serde_json::to_vec_pretty(&proof)?
                }
                (_, index) => {
                    let asked = (index.as_deref().unwrap_or_default(), args.time_unit);
                    let index = index_of(invocation, client, &args.stream, asked).await?;
                    serde_json::to_vec_pretty(&client.proof(&args.stream, index).await?)?
                }
            };
            Ok(json)
        })
        .await?;
    proof.push(b'\n');
    let mut target = Target::open(args.output.as_deref())?;
    target.write(&proof)?;
    target.finish()?;
    let Some(file) = args.output.as_ref().filter(|file| file.as_os_str() != "-") else {
        return Ok(());
    };
    let out = invocation.out;
    match out.json {
        true => out.json(&Written {
            file: file.display().to_string(),
        }),
        false => out.line(format!("wrote {}", shown_path(file))),
    }
}
