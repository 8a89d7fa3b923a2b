//! `stream recover`: the end of a stream whose node's key was lost or stolen, in the
//! word of its recovery key.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use data_encoding::{BASE64, HEXLOWER};
use headwater_client::base64;
use headwater_client::times::text::to_text;
use headwater_client::types::{Recover, RecoveredView, StreamView};
use headwater_protocols::head::SignedHead;
use headwater_protocols::id::LogId;
use headwater_protocols::identity::PublicKey;
use headwater_protocols::recovery::Recovery;
use headwater_protocols::time::Timestamp;
use prost::Message;

use super::ask::{can_ask, is_yes};
use super::close::successor_id;
use super::output::{counted, printable, shown_path};
use super::passphrase::KnownPassphraseArgs;
use super::reopen::{ReopenArgs, reopen};
use super::{Invocation, Usage};
use crate::client::Client;
use crate::handle::wall_time;
use crate::keys::recovery::RecoveryKey;

/// End a stream with its recovery key, whoever has the key of its node
#[derive(Args, Debug)]
#[command(
    after_help = "On any machine that has the stream. The recovery key picks a head that the stream's own key has
signed, and says that it is the last: whatever was signed beyond it, or beside it, is disowned by
everybody who hears of it, and nothing can be published any more. It cannot be taken back, only be
made to count less (--again): of two such words the smaller one counts, and nothing continues it.
On a terminal it asks first; without one, or with --json, it says on stderr what ends, and ends it.
Nodes keep some earlier heads of streams that have a recovery key (a day of hours, and fewer of the
time before): --size picks the largest of them, or of the head in --head, with at most so many
records. Records that a thief has published come after those that you trust."
)]
pub(crate) struct RecoverArgs {
    /// The stream: id, part of it, or name
    stream: Option<String>,
    /// The recovery key: the secret file
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The stream that continues it: id, part of it, or name
    #[arg(long, value_name = "S2", requires = "key")]
    successor: Option<String>,
    /// At most so many records count [default: all that this node knows of]
    #[arg(long, value_name = "N", requires = "key")]
    size: Option<u64>,
    /// A head that was kept elsewhere: the output of `show --checkpoint`, or a proof file
    #[arg(long, value_name = "FILE", requires = "key")]
    head: Option<PathBuf>,
    /// Do not ask
    #[arg(long, short, requires = "key")]
    yes: bool,
    /// Say something else than the recovery key has said before: the smaller head counts
    /// then, and nothing continues the stream
    #[arg(long, requires = "key")]
    again: bool,
    #[command(flatten)]
    passphrase: KnownPassphraseArgs,
    #[command(flatten)]
    reopen: EarlyArgs,
}

/// What the command of this name took before it was called `reopen`.
#[derive(Args, Debug)]
struct EarlyArgs {
    #[arg(long, hide = true, conflicts_with = "key")]
    none_is_larger: bool,
    #[arg(long, hide = true, conflicts_with = "key", value_parser = super::duration::parse)]
    timeout: Option<std::time::Duration>,
}

pub(super) async fn recover(invocation: &Invocation, args: RecoverArgs) -> anyhow::Result<()> {
    let Some(file) = &args.key else {
        // Scripts of before meant this.
        let EarlyArgs {
            none_is_larger,
            timeout,
        } = args.reopen;
        let early = ReopenArgs::of_recover(args.stream, none_is_larger, timeout);
        return reopen(invocation, &early).await;
    };
    let Some(name) = &args.stream else {
        return Err(Usage::error("name the stream that is to end"));
    };
    let key = RecoveryKey::load(file, || args.passphrase.of_known())?;
    let recovered = invocation
        .with_client(async |client| {
            let stream = client.stream(name).await?;
            require_key(&stream, &key, file)?;
            let head = pick(client, &stream, &args).await?;
            let successor = match &args.successor {
                None => None,
                Some(name) => Some(successor_id(client, name).await?),
            };
            if let Some(said) = &stream.recovered
                && !args.again
            {
                require_same(&stream, said, &head, &args, successor.as_deref())?;
                return Ok(stream);
            }
            if !args.yes {
                let disowned = disowned(client, &stream, &head).await;
                let next = successor.as_deref();
                if !is_meant(invocation, &stream, (&head, &disowned), next).await? {
                    bail!("nothing was signed");
                }
            }
            let statement = Recovery {
                head,
                successor: successor.map(|id| id.parse()).transpose()?,
                issued: Timestamp(wall_time().0.max(0)),
            };
            let statement = statement.sign(&key.signing_key()).to_wire().encode_to_vec();
            let statement = BASE64.encode(&statement);
            Ok(client.recover(&stream.id, &Recover { statement }).await?)
        })
        .await?;
    let out = invocation.out;
    if out.json {
        return out.json(&recovered);
    }
    let Some(end) = &recovered.recovered else {
        bail!("the node does not say that {} was recovered", recovered.id);
    };
    out.line(format!(
        "{} has ended, with {}{}",
        recovered.id,
        counted(end.size, "record"),
        continued(end)
    ))
}

/// What continues it, in words.
fn continued(end: &RecoveredView) -> String {
    match (&end.successor, end.contradicted) {
        (Some(id), _) => format!("; {id} continues it"),
        (None, true) => "; its recovery key has said other things, too, so that nothing continues \
                         it, and the smallest counts"
            .to_owned(),
        (None, false) => String::new(),
    }
}

/// Refuses what differs from what was said before: signed beside it, it would leave the
/// stream with the smaller head, and without a successor. What is not said stays so.
fn require_same(
    stream: &StreamView,
    said: &RecoveredView,
    head: &SignedHead,
    args: &RecoverArgs,
    successor: Option<&str>,
) -> anyhow::Result<()> {
    let picks = args.size.is_some() || args.head.is_some();
    let is_same_head =
        !picks || (head.size, head.root.to_string()) == (said.size, said.root.clone());
    let is_same_next = args.successor.is_none() || successor == said.successor.as_deref();
    if is_same_head && is_same_next {
        return Ok(());
    }
    bail!(
        "its recovery key has ended stream {} before, with {}{}; nothing was signed. Said otherwise, the \
         smaller head counts and nothing continues it: --again does so",
        stream.id,
        counted(said.size, "record"),
        continued(said)
    )
}

/// Refuses a key that is not the one of the stream, before anything is asked.
fn require_key(stream: &StreamView, key: &RecoveryKey, file: &Path) -> anyhow::Result<()> {
    let ours = HEXLOWER.encode(&key.public().recovery());
    let (id, file) = (&stream.id, shown_path(file));
    match &stream.manifest.recovery_key {
        Some(named) if *named == ours => Ok(()),
        Some(named) => Err(Usage::error(format!(
            "{file} is the recovery key {ours}, and stream {id} names {named}"
        ))),
        None if stream.publisher.is_none() => bail!(
            "what stream {id} is has not come yet; connect to a peer that has it, and sync it first"
        ),
        None => Err(Usage::error(format!(
            "stream {id} names no recovery key; that has to be done when it is created"
        ))),
    }
}

/// The head that is to be the last: the largest that is known, or that is asked for.
async fn pick(
    client: &Client,
    stream: &StreamView,
    args: &RecoverArgs,
) -> anyhow::Result<SignedHead> {
    let log: LogId = stream.id.parse()?;
    let known = client.heads(&stream.id).await?;
    let owner = base64::decode(known.publisher.as_bytes())?;
    let owner = PublicKey::from_bytes(&owner).context("the publisher's key is none")?;
    let mut heads = Vec::new();
    for head in &known.heads {
        heads.push(SignedHead::from_note(&head.checkpoint, log, &owner)?);
    }
    if stream.forked && args.head.is_none() {
        return Err(Usage::error(format!(
            "two histories of stream {} were signed, and nothing here tells which is the right one; name \
             a head of it that was kept elsewhere (--head FILE), or one of those that are known: \
             /v1/streams/{}/heads of the API has their checkpoints",
            stream.id, stream.id
        )));
    }
    if let Some(file) = &args.head {
        heads = vec![read_head(file, log, &owner)?];
    }
    let largest = heads.iter().map(|head| head.size).max();
    let most = args.size.unwrap_or(u64::MAX);
    // Of one tree the earliest: that it was closed later by a thief is no matter.
    let fits = heads.into_iter().filter(|head| head.size <= most);
    let picked = fits.max_by_key(|head| (head.size, std::cmp::Reverse(head.time)));
    picked.with_context(|| match largest {
        None => format!("no head of stream {} is known here; sync it first", stream.id),
        Some(_) => format!(
            "no head of at most {} is known here; nodes that have followed the stream for longer may \
             know one, and so does every proof file that was made then (--head FILE)",
            counted(most, "record")
        ),
    })
}

/// A head from a file: the note itself, or a proof file that has it.
fn read_head(file: &Path, log: LogId, owner: &PublicKey) -> anyhow::Result<SignedHead> {
    let shown = shown_path(file);
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let in_json = serde_json::from_str::<serde_json::Value>(&text).ok();
    let in_json = in_json.as_ref().and_then(|json| {
        let field = json.get("head").or_else(|| json.get("checkpoint"));
        field.and_then(|field| field.as_str())
    });
    SignedHead::from_note(in_json.unwrap_or(&text), log, owner)
        .with_context(|| format!("{shown} has no head of this stream"))
}

/// Which of the records that this node knows would not count: those beyond the head, or
/// all of them where they are of another tree.
async fn disowned(client: &Client, stream: &StreamView, head: &SignedHead) -> String {
    let (size, root) = (stream.size, head.root.to_string());
    let is_its_tree = match size.cmp(&head.size) {
        Ordering::Less => None,
        Ordering::Equal => Some(stream.root.as_ref() == Some(&root)),
        Ordering::Greater if head.size == 0 => Some(true),
        Ordering::Greater => match client.consistency(&stream.id, head.size, size).await {
            Ok(proof) => Some(proof.first_root == root),
            Err(_) => None,
        },
    };
    let disowned = match is_its_tree {
        Some(true) => counted(size - head.size, "record"),
        Some(false) => format!("all {}", counted(size, "record")),
        None if size == 0 => counted(0, "record"),
        None => {
            return format!(
                "nothing here tells how many of the {} that this node knows are disowned",
                counted(size, "record")
            );
        }
    };
    format!("{disowned} that this node knows are disowned")
}

/// What cannot be taken back is asked, or said where nobody is there to be asked: scripts
/// of before have no other word for it.
async fn is_meant(
    invocation: &Invocation,
    stream: &StreamView,
    (head, disowned): (&SignedHead, &str),
    successor: Option<&str>,
) -> anyhow::Result<bool> {
    let next = successor.map_or_else(
        || "nothing continues it".to_owned(),
        |id| format!("{id} continues it"),
    );
    let asks = can_ask(invocation);
    let verb = if asks { "would be" } else { "will be" };
    (invocation.out).note(format!(
        "{}: the head of {} that was signed {} {verb} the last, for good; {disowned}; {next}",
        printable(&stream.name),
        counted(head.size, "record"),
        to_text(head.time),
    ));
    if !asks {
        return Ok(true);
    }
    is_yes("end it for good?".to_owned()).await
}
