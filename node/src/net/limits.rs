//! Bounds of the network, with their reasons.

mod discovery;
mod exchange;
mod nat;
mod transport;

use std::time::Duration;

use headwater_protocols::backoff::Backoff;

pub use discovery::*;
pub use exchange::*;
pub use nat::*;
pub use transport::*;

/// Connections of one peer. Hole punching needs a relayed one and two direct
/// attempts at once.
pub const MAX_CONNECTIONS_PER_PEER: u32 = 4;

/// Established connections, both directions, unless the configuration says
/// otherwise. About 90 KB each, 46 MB (measured by
/// `a_connection_costs_about_as_much_as_the_documents_say`).
pub const MAX_CONNECTIONS: u32 = 512;

/// The same on a node that is there for others, as a bootstrap node or a relay:
/// each of some thousand nodes that stay connected takes one. 370 MB.
pub const MAX_PUBLIC_CONNECTIONS: u32 = 4_096;

/// Connections from one IP address (of IPv6: from one /64) that are left to it
/// however few there may be in all: a household has several nodes.
pub const MIN_CONNECTIONS_PER_IP: u32 = 8;

/// Connections from one IP address that are being set up: this part of all. A
/// handshake takes a few round trips, so that 16 at a time, of
/// [`MAX_PENDING_CONNECTIONS`], are some 50 a second; half-open ones last for ten
/// seconds.
pub const PENDING_PER_IP: u32 = 8;

/// As many are left to it however few there may be in all.
pub const MIN_PENDING_PER_IP: u32 = 2;

/// The time in which all connections of one IP address may be made anew. Who
/// has lost them at once (a router that was restarted) gets them back at once;
/// who comes and goes all the time makes us agree on keys at this rate.
pub const RECONNECT_ALL: Duration = Duration::from_secs(30);

/// IP addresses whose rate of new connections is known, about 50 bytes each.
pub const MAX_METERED_ORIGINS: usize = 16_384;

/// How often the log says that connections are refused.
pub const REFUSALS_SAID_EVERY: Duration = Duration::from_secs(60);

/// Connections under negotiation in each direction: a flood of half-open ones
/// must not use up memory; honest bursts (20 nodes starting at once) fit. Where few
/// files may be open there are fewer, and fewer still of ours: each incoming one is
/// one, and each of ours up to [`KEPT_DIALLED_AT_ONCE`].
pub const MAX_PENDING_CONNECTIONS: u32 = 128;

/// Of these, incoming ones that are kept for addresses from where, or to where, a
/// connection has come about before, as a part of all: nine addresses whose
/// connections say nothing take all the others for ten seconds at a time.
pub const PENDING_FAMILIAR: u32 = 4;

/// Of those, from one such address: who has one that came about must not have all.
pub const MAX_PENDING_FAMILIAR_PER_IP: u32 = 2;

/// Addresses that are remembered for it, about 50 bytes each.
pub const MAX_FAMILIAR_ORIGINS: usize = 16_384;

/// Frames of one lane, from all peers, that wait for the engine. While the lane is
/// full nothing more is read of it from any peer.
pub const INBOUND_FRAMES: usize = 32;

/// Bytes of these frames, as they are unpacked: twice what they typically have in
/// the bulk lane, 128 KiB each. The largest have 1.1 MiB.
pub const INBOUND_FRAME_BYTES: usize = 8 << 20;

/// Bytes of a frame in the control lane. Its longest answers, a head with 1,024
/// intervals and an announcement, or the streams that are known, have 90 KB; three
/// lanes of the largest frames, not sent to their ends, would be 3.3 MiB a
/// connection.
pub const MAX_CONTROL_FRAME_BYTES: usize = 256 * 1024;

/// What the frames may cost that wait for a peer before its questions are read no
/// further. More than the answers to all questions that an honest one has open at
/// a time, 64 of 60 KB, so that two of them never wait for each other.
pub const MAX_UNTAKEN_BEFORE_QUESTIONS: usize = 4 << 20;

/// Topics a peer may be subscribed to: two for each of 10,000 streams.
/// (Gossipsub's default of 100 is reached at 51 streams, and then drops all.)
pub const MAX_TOPICS_PER_PEER: usize = 20_000;

/// Topics of all peers together, about 150 bytes each: 150 MB. A node with
/// 1,000 streams may have 500 peers that follow them all.
pub const MAX_SUBSCRIPTIONS: usize = 1_000_000;

/// Gossipsub score below which a peer is dropped. Gossipsub stops listening at
/// -80, five false messages within half a minute; ten of them come to -400.
pub const DROP_SCORE: f64 = -400.0;

/// Gossipsub score below which it does not listen, its own default.
pub const GRAYLIST_SCORE: f64 = -80.0;

/// A peer that was found so low so often is dropped: while gossipsub does not
/// listen it does not count what is false either, and the score rises again.
pub const MAX_STRIKES: u32 = 10;

/// How often the scores are looked at. What a flood costs until then is one
/// second of a connection.
pub const SCORES_EVERY: Duration = Duration::from_secs(1);

/// Gossip of one peer that turns out to be of no use is looked at so often. An
/// honest one sends some, where a pull was faster than the mesh; a signature
/// check takes 0.1 ms, so that a noisy peer takes 2 % of the engine's time.
pub const IGNORED_MESSAGE_PAUSE: Duration = Duration::from_millis(5);

/// So many useless messages in a row are looked at: a peer that has been cut
/// off for a while passes on what it missed.
pub const MAX_IGNORED_BURST: u32 = 2_000;

/// A peer that goes on until so many of its messages were not looked at is
/// dropped: nobody honest sends ten bursts of nothing new.
pub const MAX_SHED_MESSAGES: u32 = 20_000;

/// Bytes of one gossipsub frame, and of the subscriptions and control data in
/// it. Gossipsub tells a new peer all its topics in one, and both ends drop it
/// in silence when it is too long: 20,000 of 90 bytes must fit. A
/// published message is held to its own, smaller limit by the engine.
pub const MAX_GOSSIP_FRAME_BYTES: usize = 2 << 20;

/// How long a peer that broke the rules is not spoken to. Long enough to make
/// lying expensive, short enough that a peer with a bug comes back after an
/// update.
pub const BAN: Duration = Duration::from_secs(600);

/// Peers that are banned at a time; the oldest ban ends first.
pub const MAX_BANNED: usize = 4_096;

/// Before a peer that should be connected is dialled again. A bootstrap node or relay
/// that was started anew is found again within 15 s.
pub const REDIAL_BACKOFF: Backoff =
    Backoff::doubling(Duration::from_millis(250), Duration::from_secs(10));

/// How often the log says that no bootstrap node answers, while none does.
pub const BOOTSTRAP_SILENCE_SAID_EVERY: Duration = Duration::from_secs(600);

/// How long the first dials wait for the listeners to have their addresses. It
/// takes milliseconds; a network interface that never comes up must not keep
/// the others from being used.
pub const LISTEN_TIMEOUT: Duration = Duration::from_secs(1);

/// Addresses that are kept dialled: bootstrap peers and the known peers of
/// followed streams.
pub const MAX_KEPT_ADDRESSES: usize = 1_024;

/// Addresses of one peer that are kept or told to others: TCP and QUIC over
/// IPv4 and IPv6, inside and outside of a router.
pub const MAX_ADDRESSES_PER_PEER: usize = 8;

/// Bytes of these addresses. A reply names 20 providers and 20 closer peers;
/// with their ids it stays below [`MAX_KAD_MESSAGE_BYTES`].
pub const MAX_ADDRESS_BYTES_PER_PEER: usize = 1_024;

/// How long an answer with observations may take: as long as a user may say that
/// it is waited for.
pub const OBSERVATIONS_TIMEOUT: Duration = Duration::from_secs(60);

/// Questions for observations under way on one connection: those of ours that
/// were not waited for, and a peer's.
pub const MAX_OBSERVATIONS_STREAMS: usize = 16;

/// Questions of ours that one peer has not answered. It is not asked again
/// before it has answered one; a round takes a twentieth of a second, so that
/// who answers within 0.4 s is heard in each.
pub const MAX_OPEN_QUESTIONS: usize = 8;

/// Answers with observations that are read from the disk at a time, 64 KiB each;
/// whoever asks meanwhile is told that we are busy.
pub const MAX_OBSERVATIONS_READS: usize = 8;

/// How long a registration at a rendezvous server is waited for: the server
/// keeps it for a minute.
pub const RENDEZVOUS_TIMEOUT: Duration = Duration::from_secs(65);

/// Registrations on one connection at a time, both ways: as many as a server
/// keeps for one peer.
pub const MAX_RENDEZVOUS_STREAMS: usize = 32;

/// Registrations of ours that wait for somebody, at all servers.
pub const MAX_OPEN_MEETINGS: usize = 64;

/// Servers that are remembered for meetings: the first of them are named in
/// offers.
pub const MAX_RENDEZVOUS_SERVERS: usize = 16;
