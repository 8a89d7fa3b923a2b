//! `prove`: files that show what is in a stream.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::Invocation;
use super::target_file::Target;

/// Write a proof that a record is in a stream, or that a stream only grew
#[derive(Args, Debug)]
#[command(
    after_help = "Whoever has the file and the stream's id can check it: headwater verify FILE --stream ID"
)]
pub(crate) struct ProveArgs {
    /// The stream: id, part of it, or name
    stream: String,
    /// The index of the record
    #[arg(required_unless_present = "consistency")]
    index: Option<u64>,
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

pub(super) async fn prove(invocation: &Invocation, args: &ProveArgs) -> anyhow::Result<()> {
    let mut proof = invocation
        .with_client(async |client| {
            let json = match (args.consistency.as_deref(), args.index) {
                (Some([first, second]), _) => {
                    let proof = client.consistency(&args.stream, *first, *second).await?;
                    serde_json::to_vec_pretty(&proof)?
                }
                (_, index) => {
                    let index = index.unwrap_or_default();
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
    let file = file.display().to_string();
    let out = invocation.out;
    match out.json {
        true => out.json(&Written { file }),
        false => out.line(format!("wrote {file}")),
    }
}
