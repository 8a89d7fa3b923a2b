//! `import --from-peers`: a history that nobody signed, as far as peers agree.

use std::time::Duration;

use futures::TryStreamExt;
use headwater_client::types::{SaidView, WalkNews, WalkReport};
use headwater_client::{Absence, Error, Lost, Patience};
use headwater_protocols::time::Timestamp;
use tokio::time::{Instant, sleep};

use super::Invocation;
use super::json_error::Reported;
use super::of_node::{self, is_lost};
use super::output::{Output, counted, printable};
use super::progress;
use super::unsigned::described;
use crate::client::Client;

/// How long a node that was away may take until it has found a peer to ask.
const ALONE_PATIENCE: Duration = Duration::from_secs(30);

/// How often it is asked meanwhile.
const ALONE_PAUSE: Duration = Duration::from_secs(1);

/// Asks until it is complete, or peers do not agree, which is a failure, or the node
/// has been away for so long.
pub(super) async fn take(
    invocation: &Invocation,
    asked: Asked<'_>,
    timeout: Option<Duration>,
) -> anyhow::Result<()> {
    let out = invocation.out;
    let tell = |what: &str| out.note(what);
    let patience = Patience::new(timeout, &tell);
    let last = invocation
        .with_client(async |client| walk(client, asked, &patience).await)
        .await?;
    if out.json {
        out.json(&last)?;
    } else {
        say(out, &last)?;
    }
    // What was printed says so, too.
    if let Some(error) = &last.error {
        let text = format!("stopped: {error}; run the same command again to go on");
        return Err(Reported::error(anyhow::Error::msg(text)));
    }
    match &last.stopped {
        Some(report) => Err(Reported::error(anyhow::Error::msg(why_stopped(report)))),
        None => Ok(()),
    }
}

/// What is asked of peers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The name of the history.
    pub(super) name: &'a str,
    /// What lies before this time; what lies before now, if it is left out.
    pub(super) before: Option<Timestamp>,
    /// How long the answers to one question are waited for.
    pub(super) deadline: Duration,
}

/// Goes on from what was agreed on when the node was away.
async fn walk(
    client: &Client,
    asked: Asked<'_>,
    patience: &Patience<'_>,
) -> anyhow::Result<WalkNews> {
    client.require_network("taking a history from peers")?;
    let mut absence: Option<Absence> = None;
    // A node that has just come back looks for its peers first.
    let mut alone_until = None;
    loop {
        let error = match walk_on(client, asked).await {
            Ok(last)
                if is_alone(&last) && alone_until.is_some_and(|until| Instant::now() < until) =>
            {
                sleep(ALONE_PAUSE).await;
                continue;
            }
            Ok(last) => return Ok(last),
            Err(error) if is_lost(&error) => error,
            Err(error) => return Err(error),
        };
        let away = absence.get_or_insert_with(Absence::begin);
        of_node::wait(patience, client, away, error).await?;
        patience.is_back();
        absence = None;
        alone_until = Some(Instant::now() + ALONE_PATIENCE);
    }
}

fn is_alone(last: &WalkNews) -> bool {
    last.stopped
        .as_ref()
        .is_some_and(|report| report.asked == 0)
}

async fn walk_on(client: &Client, asked: Asked<'_>) -> anyhow::Result<WalkNews> {
    let Asked {
        name,
        before,
        deadline,
    } = asked;
    let mut news = std::pin::pin!(client.walk(name, before, deadline).await?);
    let bar = progress::spinner("asking peers");
    let mut last: Option<WalkNews> = None;
    while let Some(line) = news.try_next().await? {
        bar.set_position(line.history.observations);
        last = Some(line);
    }
    bar.finish_and_clear();
    let is_over = |last: &WalkNews| {
        last.error.is_some() || last.stopped.is_some() || last.history.state == "complete"
    };
    match last {
        Some(last) if is_over(&last) => Ok(last),
        // It was stopped in between.
        _ => {
            let cut_off = format!("the history of `{}` goes on", printable(name));
            Err(Error::from(Lost::CutOff(cut_off)).into())
        }
    }
}

fn say(out: Output, last: &WalkNews) -> anyhow::Result<()> {
    out.line(described(&last.history))?;
    let Some(report) = &last.stopped else {
        return match last.error {
            None => out.line("complete: peers agree that nothing lies before it"),
            Some(_) => Ok(()),
        };
    };
    out.line(format!(
        "asked for what lies before {}:",
        printable(&report.before)
    ))?;
    for said in &report.said {
        out.line(format!("  {}", said_line(said)))?;
        for peer in &said.peers {
            out.line(format!("    {}", printable(peer)))?;
        }
    }
    for silent in &report.silent {
        let (peer, why) = (printable(&silent.peer), printable(&silent.why));
        out.line(format!("  no answer from {peer}: {why}"))?;
    }
    Ok(())
}

fn said_line(said: &SaidView) -> String {
    let votes = counted(said.votes as u64, "vote");
    let mut line = match &said.time {
        None => format!("{votes}: that there is nothing"),
        Some(time) => {
            let values: Vec<_> = said.values.iter().map(|value| printable(value)).collect();
            let more = match said.count.saturating_sub(values.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!(
                "{votes}: {} at {}{more}",
                values.join(", "),
                printable(time)
            )
        }
    };
    if !said.void.is_empty() {
        let void: Vec<_> = said.void.iter().map(|prefix| printable(prefix)).collect();
        line.push_str(&format!(
            " (void are the votes of {}, where peers contradict each other)",
            void.join(", ")
        ));
    }
    line
}

fn why_stopped(report: &WalkReport) -> String {
    let WalkReport {
        asked,
        answered,
        needed,
        ..
    } = report;
    if *asked == 0 {
        return "stopped: nobody is connected who could be asked; connect peers that have this history, and run \
                the same command again"
            .to_owned();
    }
    format!(
        "stopped: of {asked} asked {answered} answered, and {needed} would have to say the same; what was agreed on is \
         kept. Run the same command again to go on, when more peers are connected"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_who_said_what_and_what_would_have_been_enough() {
        let mut said = SaidView {
            time: Some("2024-01-01T00:00:00.000000Z".to_owned()),
            values: vec!["1.5".to_owned(), "2\u{1b}[31m".to_owned()],
            count: 12,
            votes: 1,
            peers: Vec::new(),
            void: vec!["198.51.0.0/16".to_owned()],
        };
        let line = said_line(&said);
        assert!(line.starts_with("1 vote: 1.5, 2"), "{line}");
        assert!(line.contains("and 10 more (void are the votes of 198.51.0.0/16"));
        assert!(!line.contains('\u{1b}'));
        said.time = None;
        said.votes = 2;
        assert!(said_line(&said).starts_with("2 votes: that there is nothing"));
        let mut report = WalkReport {
            before: "now".to_owned(),
            asked: 3,
            answered: 1,
            needed: 2,
            said: vec![said],
            silent: Vec::new(),
        };
        assert!(why_stopped(&report).contains("of 3 asked 1 answered, and 2 would"));
        report.asked = 0;
        assert!(why_stopped(&report).contains("nobody is connected"));
    }
}
