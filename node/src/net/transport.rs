//! How connections come about: TCP with noise and yamux, QUIC, and circuits
//! through relays; in a private network only with those who have its key.

mod after_quic;
mod care;
mod muxer;
mod since_1970;
#[cfg(test)]
pub(super) mod tests;
mod timed;
mod told;

use std::io;
use std::path::Path;

use anyhow::Context;
use futures::future::{TryFutureExt, ready};
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::timeout::TransportTimeoutError;
use libp2p::core::transport::{Boxed, Transport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{PeerId, dns, noise, quic, relay, tcp};

use super::limits::{
    CONNECT_TIMEOUT, CONNECTION_TIMEOUT, DIAL_TIMEOUT, MAX_QUIC_SUBSTREAMS, MAX_UNREAD_QUIC_BYTES,
    MAX_UNREAD_QUIC_SUBSTREAM_BYTES,
};
use super::lines::Lines;
use super::nat::circuit_meter::{CircuitMeter, MeteredCircuit};
use super::private_network::PrivateNetwork;
use super::private_network::strangers::Strangers;
use crate::keys::NetworkKey;
use after_quic::AfterQuic;
use care::Cared;
use muxer::Yamux;
use since_1970::Since1970;
use timed::Timed;
use told::Told;

/// Where Unix says how names are looked up.
const RESOLVER_CONFIG: &str = "/etc/resolv.conf";

/// What makes connections to peers, each with its peer's proven id.
pub(super) type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// By these words an error tells that the other end was there.
pub(super) const NO_CHANNEL: &str = "no secure channel";

/// Why a connection over TCP or through a relay does not come about.
#[derive(Debug, thiserror::Error)]
enum ChannelError {
    /// The other end was not reached.
    #[error(transparent)]
    Unreachable(io::Error),
    /// It was reached, and then no secure channel was negotiated.
    #[error("{NO_CHANNEL}: {0}")]
    Negotiation(io::Error),
}

impl ChannelError {
    fn unreachable(error: TransportTimeoutError<io::Error>) -> Self {
        Self::Unreachable(match error {
            TransportTimeoutError::Other(error) | TransportTimeoutError::TimerError(error) => error,
            TransportTimeoutError::Timeout => io::ErrorKind::TimedOut.into(),
        })
    }

    fn negotiation(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Negotiation(io::Error::other(error))
    }
}

/// The transports of the node with this key pair, in the private network of
/// `key` when there is one, and what circuits through relays need of the swarm.
/// The log tells of `strangers`; what goes through relays goes by `meter`, and
/// sockets of TCP are `lines`.
///
/// # Errors
/// The key pair cannot be used for noise, or the machine's way of looking up
/// names is not known.
pub(super) fn transport(
    keypair: &Keypair,
    key: Option<&NetworkKey>,
    strangers: &Strangers,
    meter: CircuitMeter,
    lines: &Lines,
) -> anyhow::Result<(Connections, relay::client::Behaviour)> {
    let local = keypair.public().to_peer_id();
    let network = key.map(|key| PrivateNetwork::new(local, key, strangers.clone()));
    let direct = direct(keypair, network.as_ref(), strangers, lines)?;
    let (circuits, relay_client) = circuits(keypair, network, meter)?;
    Ok((timed(either(circuits, direct)), relay_client))
}

/// TCP and QUIC, also by name.
fn direct(
    keypair: &Keypair,
    network: Option<&PrivateNetwork>,
    strangers: &Strangers,
    lines: &Lines,
) -> anyhow::Result<Connections> {
    let after_quic = AfterQuic(lines.narrow().clone());
    let told = Told {
        strangers: strangers.clone(),
        guarded: network.is_some(),
    };
    let lines = lines.clone();
    // Live records are small and must not wait for an acknowledgement.
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let tcp = tcp
        .and_then(move |socket, _| ready(lines.keep(socket)))
        .map_err(|error| error.into_inner());
    let tcp = Cared::new(tcp, Timed(CONNECT_TIMEOUT)).map_err(ChannelError::unreachable);
    let quic = quic::tokio::Transport::new(quic_config(keypair))
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let quic = Since1970::new(quic.boxed());
    let both = match network {
        None => {
            let tcp = Cared::new(channels(tcp, keypair)?, told);
            either(Cared::new(tcp, after_quic).boxed(), quic.boxed())
        }
        Some(network) => {
            let cipher = network.cipher();
            let tcp = tcp
                .and_then(move |socket, _| {
                    cipher.handshake(socket).map_err(ChannelError::negotiation)
                })
                .map_err(|error| error.into_inner());
            let tcp = Cared::new(channels(tcp, keypair)?, told);
            let tcp = Cared::new(tcp, after_quic).boxed();
            either(tcp, admitted(quic, network.clone()))
        }
    };
    if !Path::new(RESOLVER_CONFIG).exists() {
        // A machine without names can still reach addresses.
        tracing::info!("no {RESOLVER_CONFIG}: names in addresses are not looked up");
        return Ok(nameless(both));
    }
    let named = dns::tokio::Transport::system(both);
    let named = named.context("cannot read how this machine looks up names")?;
    Ok(named.boxed())
}

/// Asks nobody for names. What is dialled begins when it is its turn, as with names,
/// and not when it is planned: by then the clock may be another, or the path known.
fn nameless(transport: Connections) -> Connections {
    let nobody = dns::ResolverConfig::from_name_servers(Vec::new());
    dns::tokio::Transport::custom(transport, nobody, dns::ResolverOpts::default()).boxed()
}

fn quic_config(keypair: &Keypair) -> quic::Config {
    let mut config = quic::Config::new(keypair);
    config.max_concurrent_stream_limit = MAX_QUIC_SUBSTREAMS;
    config.max_stream_data = MAX_UNREAD_QUIC_SUBSTREAM_BYTES;
    config.max_connection_data = MAX_UNREAD_QUIC_BYTES;
    config
}

/// Connections through relays. A relay sees nothing of what goes through it,
/// and in a private network it cannot bring in anybody who has not the key.
fn circuits(
    keypair: &Keypair,
    network: Option<PrivateNetwork>,
    meter: CircuitMeter,
) -> anyhow::Result<(Connections, relay::client::Behaviour)> {
    let (transport, client) = relay::client::new(keypair.public().to_peer_id());
    let bare = transport
        .map(move |circuit, _| MeteredCircuit::new(circuit, meter.clone()))
        .map_err(|error| ChannelError::Unreachable(io::Error::other(error)));
    let channels = channels(bare, keypair)?;
    let circuits = match network {
        None => channels.boxed(),
        Some(network) => admitted(channels, network),
    };
    Ok((circuits, client))
}

/// Only those connections whose other end proves the network's key.
fn admitted<T>(transport: T, network: PrivateNetwork) -> Connections
where
    T: Transport<Output = (PeerId, StreamMuxerBox)> + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    transport
        .and_then(move |connected, endpoint| network.admit(connected, endpoint))
        .boxed()
}

/// Makes secure channels with substreams of bare connections.
fn channels<T>(
    transport: T,
    keypair: &Keypair,
) -> anyhow::Result<
    impl Transport<
        Output = (PeerId, StreamMuxerBox),
        Error = TransportTimeoutError<ChannelError>,
        Dial: Send + 'static,
        ListenerUpgrade: Send + 'static,
    > + Send
    + Unpin
    + 'static,
>
where
    T: Transport<Error = ChannelError> + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let noise = noise::Config::new(keypair).context("the node's key cannot be used for noise")?;
    let channels = transport
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(Yamux)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        .map_err(|error| {
            let of_noise = ChannelError::negotiation;
            let of_yamux = ChannelError::negotiation;
            error.either(|error| error.either(|error| error, of_noise), of_yamux)
        });
    Ok(Cared::new(channels, Timed(CONNECTION_TIMEOUT)))
}

fn timed(transport: Connections) -> Connections {
    Cared::new(transport, Timed(DIAL_TIMEOUT)).boxed()
}

/// The first one, and the second for the addresses that the first one does not
/// understand.
fn either(first: Connections, second: Connections) -> Connections {
    first
        .or_transport(second)
        .map(|connected, _| connected.into_inner())
        .boxed()
}
