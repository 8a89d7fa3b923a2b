//! `discover`.

use clap::Args;

use super::Invocation;
use super::output::{Align, Table, counted, grouped, printable, signed_ago};

/// Search the public streams that connected peers know
#[derive(Args, Debug)]
#[command(after_help = "Follow one of them with: headwater follow ID")]
pub(crate) struct DiscoverArgs {
    /// Words, each of which must be part of the name, description, source, unit
    /// or id, or a whole tag, or its key or value [default: all streams]
    text: Vec<String>,
}

pub(super) async fn discover(invocation: &Invocation, args: &DiscoverArgs) -> anyhow::Result<()> {
    let found = invocation
        .with_client(async |client| {
            client.require_network("discover")?;
            Ok(client.discover(&args.text.join(" ")).await?)
        })
        .await?;
    let out = invocation.out;
    if out.json {
        return found.streams.iter().try_for_each(|stream| out.json(stream));
    }
    let asked = counted(found.asked as u64, "peer");
    out.note(format!("{} of {asked} answered", found.answered));
    if found.streams.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        ("NAME", Align::Cut),
        ("UNIT", Align::Cut),
        ("SIZE", Align::Right),
        ("HEAD", Align::Right),
        ("PEERS", Align::Right),
        ("HERE", Align::Left),
        ("ID", Align::Left),
        ("TAGS", Align::Cut),
        ("DESCRIPTION", Align::Cut),
    ]);
    for stream in &found.streams {
        table.row([
            printable(&stream.name),
            printable(&stream.unit),
            grouped(stream.size),
            stream
                .head_age_ms
                .map_or_else(|| "none yet".to_owned(), signed_ago),
            stream.peers.to_string(),
            if stream.known { "yes" } else { "no" }.to_owned(),
            stream.id.clone(),
            printable(&stream.tags.join(" ")),
            summary(&stream.description),
        ]);
    }
    let mut lines = table.lines(out).into_iter();
    lines.try_for_each(|line| out.line(line))
}

/// The beginning of a description: a table has one line for each stream.
fn summary(description: &str) -> String {
    const SHOWN: usize = 60;
    let line = printable(description.lines().next().unwrap_or_default());
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_description_is_cut_between_characters() {
        assert_eq!(summary("at the pier\nsecond"), "at the pier");
        assert_eq!(summary(&"ä".repeat(99)), "ä".repeat(60) + "…");
        assert_eq!(summary(""), "");
    }
}
