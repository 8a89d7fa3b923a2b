//! Lists the streams of a node that runs; of one that is named it prints the
//! latest observations, and every new one as it comes, also after the node was
//! away.
//!
//! ```text
//! cargo run --release -p headwater-client --example follow -- NODE [STREAM]
//! ```
//!
//! NODE is the URL of its API, such as `http://127.0.0.1:8600`, with the token in
//! `HEADWATER_API_TOKEN` where the node asks readers for one; or its data folder.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is for that")]

use std::env;
use std::process::ExitCode;

use futures::TryStreamExt;
use headwater_client::data_dir::DataDir;
use headwater_client::keys::Token;
use headwater_client::types::StreamView;
use headwater_client::{
    Absence, ApiError, Client, Error, Lost, Observation, Patience, Query, TOKEN_VARIABLE,
};

/// Observations that are printed before those that come.
const LATEST: u64 = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let Some(node) = args.next() else {
        eprintln!("usage: follow NODE [STREAM]");
        return ExitCode::from(2);
    };
    match run(&node, args.next()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(node: &str, name: Option<String>) -> Result<(), Error> {
    let client = connect(node).await?;
    let Some(name) = name else {
        for stream in client.streams().await? {
            println!(
                "{}  {} ({} observations)",
                stream.id, stream.name, stream.size
            );
        }
        return Ok(());
    };
    let stream = client.stream(&name).await?;
    let next = latest(&client, &stream).await?;
    follow(&client, &stream, next).await
}

async fn connect(node: &str) -> Result<Client, Error> {
    let data_dir = DataDir::new(node);
    if data_dir.is_initialised() {
        return Client::to_data_dir(&data_dir).await;
    }
    let client = Client::to_url(node)?;
    Ok(match env::var(TOKEN_VARIABLE) {
        Ok(token) => client.with_token(Token::new(token.trim())),
        Err(_) => client,
    })
}

/// Prints the latest observations; the index behind them.
async fn latest(client: &Client, stream: &StreamView) -> Result<u64, Error> {
    // What is dropped by the stream's retention is before `begin`.
    let size = stream.usable_size();
    let first = size.saturating_sub(LATEST).max(stream.begin).min(size);
    let query = Query {
        from: Some(first.to_string()),
        to: Some(size.to_string()),
        ..Query::default()
    };
    let records = client.records(&stream.id, &query).await?;
    let mut records = std::pin::pin!(records);
    while let Some(observation) = records.try_next().await? {
        print(&observation, stream);
    }
    Ok(size)
}

/// Prints what comes from an index on. When the node is lost it is waited for, and
/// nothing is missed or printed twice: each observation has its index.
async fn follow(client: &Client, stream: &StreamView, mut next: u64) -> Result<(), Error> {
    let patience = Patience::new(None, &|what: &str| eprintln!("{what}"));
    loop {
        let Err(error) = until_lost(client, stream, &mut next).await else {
            return Ok(());
        };
        if !error.is_lost() {
            return Err(error);
        }
        patience.wait(client, &mut Absence::begin(), error).await?;
        patience.is_back();
    }
}

async fn until_lost(client: &Client, stream: &StreamView, next: &mut u64) -> Result<(), Error> {
    let mut events = client.live(&stream.id, &next.to_string(), None).await?;
    while let Some(event) = events.try_next().await? {
        match event.kind.as_str() {
            "message" => {
                let observation = Observation::parse(event.data.as_bytes())?;
                print(&observation, stream);
                *next = observation.index + 1;
            }
            // Why nothing more comes: a `Problem`, as of any request.
            "error" => return Err(ApiError::parse(event.data.as_bytes())?.into()),
            // `reset`, or what a later version says.
            other => eprintln!("{other}: {}", event.data),
        }
    }
    Err(Lost::Ended(stream.id.clone()).into())
}

fn print(observation: &Observation, stream: &StreamView) {
    let Observation {
        index, time, value, ..
    } = observation;
    println!("{index:>8}  {time}  {value} {}", stream.unit);
}
