//! The exchange of proofs over a connection that has just been made, before
//! anything else may use it.

#[cfg(test)]
mod tests;

use std::future::{Future, poll_fn};
use std::io;
use std::task::{Context, Poll};

use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use libp2p::PeerId;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use tokio::time::timeout;

use super::proof::{End, GREETING, MULTISTREAM, NONCE_BYTES, ProofKey, TAG_BYTES};
use crate::net::limits::{PROOF_LINGER, PROOF_TIMEOUT};

/// Why a connection does not become one of the private network.
#[derive(Debug, thiserror::Error)]
pub(in crate::net) enum ProofError {
    /// It speaks libp2p, and not of keys.
    #[error("the other end has no network key")]
    NoKey,
    /// It has shown that it has another one.
    #[error("the other end has another network key")]
    OtherKey,
    /// It says something that no node says.
    #[error("the other end sent something else than a proof of the network key")]
    Malformed,
    /// It says nothing, or not enough.
    #[error("the other end did not prove the network key within {} s", PROOF_TIMEOUT.as_secs())]
    Late,
    /// It has gone, or was not patient enough.
    #[error("the connection ended before the other end had proved the network key: {0}")]
    Ended(#[from] io::Error),
    /// Without them a proof could be used twice.
    #[error("the system has no random bytes for a proof of the network key: {0}")]
    NoNonce(getrandom::Error),
}

/// Proves the key to the other end, and has it prove the same. Each end opens
/// one substream, the first of all, and writes to that one alone: so it does
/// not matter which of them has dialled.
///
/// The substreams are closed when this returns `Ok`; whoever gets the
/// connection then sees nothing of them.
///
/// # Errors
/// The connection must be dropped. The other end has been told as much as it
/// needs to say why.
pub(super) async fn prove(
    connection: &mut StreamMuxerBox,
    key: &ProofKey,
    local: PeerId,
    remote: PeerId,
) -> Result<(), ProofError> {
    let proved = timeout(PROOF_TIMEOUT, exchange(connection, key, local, remote)).await;
    let proved = proved.unwrap_or(Err(ProofError::Late));
    if let Err(ProofError::OtherKey) = proved {
        // Closing discards what has not left yet, and the other end shall find
        // our tag wrong, too, instead of wondering why it was left.
        let _ = timeout(PROOF_LINGER, ended(connection)).await;
    }
    proved
}

async fn exchange(
    connection: &mut StreamMuxerBox,
    key: &ProofKey,
    local: PeerId,
    remote: PeerId,
) -> Result<(), ProofError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(ProofError::NoNonce)?;
    let us = End { peer: local, nonce };

    let mut outbound = open(connection).await?;
    write(connection, &mut outbound, &[&GREETING[..], &nonce].concat()).await?;
    let mut inbound = accept(connection).await?;
    match read(connection, &mut inbound).await? {
        GREETING => {}
        MULTISTREAM => return Err(ProofError::NoKey),
        _ => return Err(ProofError::Malformed),
    }
    let them = End {
        peer: remote,
        nonce: read(connection, &mut inbound).await?,
    };
    // Ours goes first in any case: a tag says nothing to those without the key.
    write(connection, &mut outbound, &key.tag(&us, &them)).await?;
    driven(connection, outbound.close().boxed()).await??;
    let tag: [u8; TAG_BYTES] = read(connection, &mut inbound).await?;
    if key.verifies(&tag, &them, &us) {
        Ok(())
    } else {
        Err(ProofError::OtherKey)
    }
}

async fn open(connection: &mut StreamMuxerBox) -> io::Result<SubstreamBox> {
    poll_fn(|cx| match connection.poll_outbound_unpin(cx) {
        Poll::Pending => drive(connection, cx),
        opened => opened,
    })
    .await
}

async fn accept(connection: &mut StreamMuxerBox) -> io::Result<SubstreamBox> {
    poll_fn(|cx| match connection.poll_inbound_unpin(cx) {
        Poll::Pending => drive(connection, cx),
        accepted => accepted,
    })
    .await
}

async fn write(
    connection: &mut StreamMuxerBox,
    stream: &mut SubstreamBox,
    bytes: &[u8],
) -> io::Result<()> {
    let write = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    driven(connection, write.boxed()).await?
}

async fn read<const N: usize>(
    connection: &mut StreamMuxerBox,
    stream: &mut SubstreamBox,
) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    driven(connection, stream.read_exact(&mut bytes).boxed()).await??;
    Ok(bytes)
}

/// Waits for something that happens on a connection, which moves only while it
/// is polled itself.
async fn driven<F: Future + Unpin>(
    connection: &mut StreamMuxerBox,
    mut future: F,
) -> io::Result<F::Output> {
    poll_fn(|cx| match future.poll_unpin(cx) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => drive(connection, cx),
    })
    .await
}

/// Lets a connection move; an error when it has ended.
fn drive<T>(connection: &mut StreamMuxerBox, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
    loop {
        match connection.poll_unpin(cx) {
            // QUIC's migration is off; nothing else changes addresses.
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// Waits until the other end has closed a connection.
async fn ended(connection: &mut StreamMuxerBox) {
    while accept(connection).await.is_ok() {}
}
