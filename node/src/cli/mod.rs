//! The command line. Each command is written once, against the API, whether a
//! node runs or not.

mod ask;
mod batch;
mod close;
mod columns;
mod coming_rows;
mod dashboard;
mod delete;
mod delivery;
mod discover;
mod doctor;
mod evidence;
mod exit;
mod export;
mod file_append;
mod file_check;
mod file_form;
mod file_resume;
mod follow;
mod from_peers;
mod gaps;
mod import;
mod init;
mod join;
mod json_error;
mod key;
mod limits;
mod listen;
mod namesakes;
mod network;
mod of_node;
mod open_files;
mod others;
mod output;
mod passphrase;
mod peers;
mod progress;
mod prove;
mod publish;
mod publish_file;
mod publish_lines;
mod reading_args;
mod recover;
mod reopen;
mod run;
mod scrub;
mod show;
mod signals;
mod standing;
mod status;
mod stream;
mod stream_end;
mod sync;
mod tail;
mod target;
mod target_file;
mod terminal;
mod terms;
mod token;
mod unsigned;
mod verify;
mod whereabouts;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::api;
use crate::client::Client;
use headwater_client::data_dir::DataDir;
use headwater_client::times::span as duration;
use output::{Output, StdoutClosed};

/// A libp2p node for data streams: signed, append-only, provable, from any peer
/// that has them
#[derive(Debug, Parser)]
#[command(name = "headwater", version, max_term_width = 100)]
#[command(
    after_help = format!("A stream is named by its id, by the first or last characters of it (six or more), by its name, or by an invite.\n\n{}", exit::HELP)
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What stands above the options that every command has.
const GLOBAL: &str = "Global options";

#[derive(Args, Debug)]
struct Global {
    /// Folder of the node's key and streams [default: the user's own]
    #[arg(
        long,
        global = true, help_heading = GLOBAL,
        value_name = "DIR",
        env = "HEADWATER_DATA_DIR"
    )]
    data_dir: Option<PathBuf>,
    /// Folder of the mark, which notes outside of the data folder what was signed
    /// [default: the user's folder for states]
    #[arg(
        long,
        global = true, help_heading = GLOBAL,
        value_name = "DIR",
        env = "HEADWATER_MARK_DIR"
    )]
    mark_dir: Option<PathBuf>,
    /// Options of the node [default: config.toml in the data folder]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The node to talk to [default: the one that runs on the data folder]. Its
    /// token is in HEADWATER_API_TOKEN, or else that of the data folder
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "URL")]
    api: Option<String>,
    /// Print JSON: one value, or one a line
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    /// Log more (-vv: everything)
    #[arg(short, long, global = true, help_heading = GLOBAL, action = ArgAction::Count)]
    verbose: u8,
    /// How the log is written, on stderr
    #[arg(
        long,
        global = true, help_heading = GLOBAL,
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::InitArgs),
    Run(run::RunArgs),
    /// Streams: create, list, show, follow, unfollow, discover, delete, close,
    /// peers, gaps, reopen, recover
    #[command(subcommand)]
    Stream(stream::StreamCommand),
    List(stream::ListArgs),
    Show(show::ShowArgs),
    Follow(follow::FollowArgs),
    Unfollow(follow::UnfollowArgs),
    Discover(discover::DiscoverArgs),
    Publish(publish::PublishArgs),
    Sync(sync::SyncArgs),
    Scrub(scrub::ScrubArgs),
    Tail(tail::TailArgs),
    Export(export::ExportArgs),
    Import(Box<import::ImportArgs>),
    Join(join::JoinArgs),
    Prove(prove::ProveArgs),
    Verify(verify::VerifyArgs),
    /// Publishers that signed two histories: list, show, verify
    #[command(subcommand)]
    Evidence(evidence::EvidenceCommand),
    /// Histories that nobody signed: list, export, delete
    #[command(subcommand)]
    Unsigned(unsigned::UnsignedCommand),
    /// Private networks: new
    #[command(subcommand)]
    Network(network::NetworkCommand),
    /// Keys that are kept elsewhere: recovery, show
    #[command(subcommand)]
    Key(key::KeyCommand),
    Peers(peers::PeersArgs),
    Status(status::StatusArgs),
    Doctor(doctor::DoctorArgs),
    Dashboard(dashboard::DashboardArgs),
    /// Tokens for programs: new, list, revoke
    #[command(subcommand)]
    Token(token::TokenCommand),
}

/// What every command is told.
#[derive(Debug)]
struct Invocation {
    data_dir: Option<PathBuf>,
    mark_dir: Option<PathBuf>,
    config: Option<PathBuf>,
    api: Option<String>,
    out: Output,
}

impl Invocation {
    fn data_dir(&self) -> anyhow::Result<DataDir> {
        let data_dir = match &self.data_dir {
            // A relative one would mean something else in the lines that we
            // print for copying.
            Some(path) => DataDir::new(std::path::absolute(path)?),
            None => DataDir::of_user()?,
        };
        Ok(data_dir.with_mark_dir(self.mark_dir.clone()))
    }

    /// Does something with the node. If it was started here, it is stopped
    /// properly whatever comes of it.
    async fn with_client<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let data_dir = self.data_dir()?;
        let client = match &self.api {
            Some(url) => Client::to_url(url, &data_dir)?,
            None => Client::to_data_dir(&data_dir).await?,
        };
        let result = work(&client).await;
        let closed = client.close().await;
        let value = result?;
        closed?;
        Ok(value)
    }
}

/// The command was given in a way that clap cannot notice: exit status 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

impl Usage {
    fn error(what: impl Into<String>) -> anyhow::Error {
        Self(what.into()).into()
    }
}

/// How long threads that still read may take when a command is done.
const LAST_READS: Duration = Duration::from_secs(5);

/// Runs the command that the program was called with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = parse_arguments();
    start_log(&cli);
    let out = Output::new(cli.global.json);
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_start(api::keep_date)
        .on_thread_unpark(api::keep_date)
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| {
            let result = runtime.block_on(dispatch(cli));
            // Whoever still reads the store when the process ends would be
            // read from what is gone; what ends at all ends in milliseconds.
            runtime.shutdown_timeout(LAST_READS);
            result
        });
    match result {
        Ok(code) => code,
        Err(error) if error.is::<StdoutClosed>() => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            let failure = exit::failure(&error);
            json_error::print(out, &error, failure);
            ExitCode::from(failure.exit_status())
        }
    }
}

/// A number such as `-.5` is no flag: what clap does not understand is read again
/// with the number behind everything else.
fn parse_arguments() -> Cli {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    Cli::try_parse_from(&arguments).unwrap_or_else(|error| {
        match fraction_last(&arguments).map(Cli::try_parse_from) {
            Some(Ok(cli)) => cli,
            _ => {
                json_error::print_usage(&arguments, &error);
                error.exit()
            }
        }
    })
}

/// The arguments with the one that is a number like `-.5` at the end, where no
/// flag is looked for.
fn fraction_last(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let is_fraction = |argument: &OsString| {
        let text = argument.to_str().unwrap_or_default();
        text.starts_with("-.") && text.parse::<f64>().is_ok()
    };
    let place = arguments.iter().position(is_fraction)?;
    let mut moved = arguments.to_vec();
    let number = moved.remove(place);
    if moved.iter().any(|argument| argument == "--") {
        return None;
    }
    moved.extend([OsString::from("--"), number]);
    Some(moved)
}

async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let invocation = Invocation {
        data_dir: cli.global.data_dir,
        mark_dir: cli.global.mark_dir,
        config: cli.global.config,
        api: cli.global.api,
        out: Output::new(cli.global.json),
    };
    let invocation = &invocation;
    match cli.command {
        Command::Init(args) => init::init(invocation, &args)?,
        Command::Run(args) => run::run(invocation, args).await?,
        Command::Stream(command) => stream::dispatch(invocation, command).await?,
        Command::List(args) => stream::list(invocation, &args).await?,
        Command::Show(args) => show::show(invocation, &args).await?,
        Command::Follow(args) => follow::follow(invocation, &args).await?,
        Command::Unfollow(args) => follow::unfollow(invocation, &args).await?,
        Command::Discover(args) => discover::discover(invocation, &args).await?,
        Command::Publish(args) => publish::publish(invocation, args).await?,
        Command::Sync(args) => sync::sync(invocation, &args).await?,
        Command::Scrub(args) => scrub::scrub(invocation, &args).await?,
        Command::Tail(args) => tail::tail(invocation, &args).await?,
        Command::Export(args) => export::export(invocation, &args).await?,
        Command::Import(args) => import::import(invocation, &args).await?,
        Command::Join(args) => join::join(invocation, &args).await?,
        Command::Prove(args) => prove::prove(invocation, &args).await?,
        Command::Verify(args) => return verify::verify(invocation, &args),
        Command::Evidence(command) => evidence::dispatch(invocation, command).await?,
        Command::Unsigned(command) => unsigned::dispatch(invocation, command).await?,
        Command::Network(command) => network::dispatch(invocation, &command)?,
        Command::Key(command) => key::dispatch(invocation, &command)?,
        Command::Peers(args) => peers::peers(invocation, &args).await?,
        Command::Status(args) => status::status(invocation, &args).await?,
        Command::Doctor(args) => doctor::doctor(invocation, &args).await?,
        Command::Dashboard(args) => dashboard::dashboard(invocation, &args).await?,
        Command::Token(command) => token::dispatch(invocation, &command)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A node tells what it does; a command only what is wrong.
fn start_log(cli: &Cli) {
    let default = match (&cli.command, cli.global.verbose) {
        (Command::Run(_), 0) => "warn,headwater=info",
        (_, 0) => "warn",
        (Command::Run(_), 1) => "info,headwater=debug",
        (_, 1) => "warn,headwater=debug",
        _ => "debug,headwater=trace",
    };
    let filter = match std::env::var_os(EnvFilter::DEFAULT_ENV) {
        Some(_) => EnvFilter::from_default_env(),
        None => EnvFilter::new(default),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(output::colour_on_stderr());
    match cli.global.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn parse(line: &str) -> Result<Cli, clap::error::ErrorKind> {
        Cli::try_parse_from(line.split(' ')).map_err(|error| error.kind())
    }

    #[test]
    fn the_documented_forms_are_taken() {
        for line in [
            "headwater init",
            "headwater --data-dir /x run --listen /ip4/127.0.0.1/tcp/0 /ip6/::1/tcp/0 --external /ip4/192.0.2.1/tcp/1 \
             --bootstrap /ip4/192.0.2.1/tcp/1 --api-listen 127.0.0.1:0 --role peer,bootstrap --private-network swarm.key",
            "headwater network new swarm.key",
            "headwater key recovery new drawer.key --passphrase",
            "headwater key recovery new drawer.key --passphrase-file -",
            "headwater key show drawer.key.pub --public",
            "headwater evidence list --json",
            "headwater evidence show x -o f",
            "headwater evidence verify f --stream x",
            "headwater stream delete x",
            "headwater stream delete x --own --json",
            "headwater scrub",
            "headwater scrub x --wait --timeout 5s",
            "headwater stream reopen",
            "headwater stream reopen x --none-is-larger --timeout 5s",
            "headwater stream recover x --none-is-larger --timeout 5s",
            "headwater stream create wind --value-type number --unit m/s --description d --source s --target x \
             --cadence 1h --chunk-level 8 --json",
            "headwater stream create wind --if-not-exists",
            "headwater follow x --as harbour",
            "headwater export x --safe-csv",
            "headwater join x y --safe-csv -o f",
            "headwater prove x 2024-05-01T12:00:00Z",
            "headwater tail x -n -1",
            "headwater list",
            "headwater list --disk",
            "headwater discover",
            "headwater discover wind pier --json",
            "headwater stream discover wind",
            "headwater stream list",
            "headwater show x --json",
            "headwater follow x --newest-first",
            "headwater stream gaps x --cadence 1h --from 5 --to 2024-05-01T12:00:00Z --limit 3",
            "headwater stream unfollow x",
            "headwater publish x -4.5 --time 2024-05-01T12:00:00Z",
            "headwater publish x",
            "headwater publish x --ndjson --skip-bad",
            "headwater publish x --file f --time-column t --value-column v --time-format unix-ms --resume --skip-bad",
            "headwater publish x --file f --ndjson",
            "headwater publish x --file - --time-column t --value-column v --time-unit ms --delimiter ; --decimal-comma --again",
            "headwater publish x --file f --time-column t --value-column v --time-zone Europe/Berlin --delimiter tab",
            "headwater sync x --wait --timeout 60s",
            "headwater tail x -n 5 --follow",
            "headwater tail x --from 2024-05-01T12:00:00Z",
            "headwater export x --format csv --from 0 --to 10 -o f",
            "headwater import a.csv b.csv --create x --unit m/s --cadence 1h --limit 3",
            "headwater import a.csv --to x --resume --skip-bad --time-format unix-ms",
            "headwater import a.csv --check --value-type text",
            "headwater import a.csv --check --columns date_time,value,id",
            "headwater import - --create x --check --time-zone Europe/Berlin --delimiter pipe --decimal-comma",
            "headwater import a.csv --to x --check --again",
            "headwater import a.csv a.csv --create x --again",
            "headwater import a.csv b.csv --unsigned x --skip-bad",
            "headwater import --from-peers x --before 2024-05-01T12:00:00Z --deadline 5s --json",
            "headwater unsigned list",
            "headwater unsigned export x --format ndjson -o f",
            "headwater unsigned delete x",
            "headwater join x y --on y --tolerance 1h --from 2024-05-01T12:00:00Z --to 2024-05-02T12:00:00Z --format parquet -o f",
            "headwater join x --every 15m",
            "headwater prove x 5 -o f",
            "headwater prove x --consistency 3 5",
            "headwater verify f --stream x",
            "headwater peers -v --log-format json",
            "headwater status --api http://127.0.0.1:1",
            "headwater doctor --json",
            "headwater dashboard --no-open",
            "headwater token new grafana --read-only",
            "headwater token list --json",
            "headwater token revoke grafana",
        ] {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line));
        }
    }

    #[test]
    fn a_fraction_without_a_zero_is_a_value_and_no_flag() {
        let moved = |line: &str| {
            let arguments: Vec<_> = line.split(' ').map(OsString::from).collect();
            let moved = fraction_last(&arguments)?;
            let words = moved.iter().filter_map(|word| word.to_str());
            Some(words.collect::<Vec<_>>().join(" "))
        };
        let line = "headwater publish x -.5 --time 2024-05-01T12:00:00Z";
        assert!(parse(line).is_err());
        let moved_line = moved(line).unwrap();
        assert_eq!(
            moved_line,
            "headwater publish x --time 2024-05-01T12:00:00Z -- -.5"
        );
        assert!(parse(&moved_line).is_ok());
        for other in [
            "headwater publish x -.x",
            "headwater publish x -v",
            "headwater publish -- x -.5",
        ] {
            assert_eq!(moved(other), None, "{other}");
        }
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in [
            "headwater",
            "headwater run --role storer",
            "headwater run --api-listen localhost",
            "headwater network",
            "headwater network new",
            "headwater run --private-network",
            "headwater stream create",
            "headwater stream create x --value-type float",
            "headwater stream create x --cadence hourly",
            "headwater publish x 1 --file f",
            "headwater publish x --time-column t",
            "headwater publish x --time now",
            "headwater publish x 1 --again",
            "headwater publish x --file f --time-column t --value-column v --time-unit min",
            "headwater publish x --file f --time-column t --value-column v --time-unit s --time-format unix",
            "headwater publish x --file f --time-column t --value-column v --time-zone Berlin",
            "headwater publish x --file f --time-column t --value-column v --delimiter ab",
            "headwater publish x --file f --time-column t --value-column v --time-format epoch",
            "headwater sync x --timeout 5",
            "headwater tail x -n 5 --from 3",
            "headwater export x --format xml",
            "headwater import",
            "headwater import a.csv",
            "headwater import --create x",
            "headwater import a.csv --create x --to y",
            "headwater import a.csv --create x --resume",
            "headwater import a.csv --from-peers x",
            "headwater import a.csv --unsigned x --before 2024-05-01T12:00:00Z",
            "headwater import a.csv --unsigned x --resume",
            "headwater unsigned",
            "headwater join",
            "headwater join x --on x --every 1h",
            "headwater prove x",
            "headwater prove x 5 --consistency 3 5",
            "headwater verify",
            "headwater evidence",
            "headwater evidence show",
            "headwater token",
            "headwater token new",
            "headwater token revoke",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
