//! Bounds of the network, with their reasons.

use std::num::NonZeroU8;
use std::time::Duration;

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

/// First pause before a peer that should be connected is dialled again; it
/// doubles at each failure.
pub const FIRST_REDIAL: Duration = Duration::from_millis(250);

/// Longest pause between two dials of one address: a bootstrap node or relay
/// that was started anew is found again within 15 s.
pub const MAX_REDIAL: Duration = Duration::from_secs(10);

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

/// Bytes of a Kademlia message. (At libp2p's 16 KiB, peers with long addresses
/// make replies too large to be sent.)
pub const MAX_KAD_MESSAGE_BYTES: usize = 64 * 1024;

/// Peers in each of the 256 buckets of the routing table. Room for all of them
/// is set aside at the start, with libp2p's 20 about 1.1 MiB; BitTorrent's
/// network has always got along with 8.
pub const KAD_BUCKET_SIZE: usize = 8;

/// Servers of the routing table at one IP address (of IPv6: in one /64): a
/// bucket's worth. It takes some dozen addresses to own the buckets that matter
/// for a key.
pub const MAX_ROUTED_PER_IP: usize = KAD_BUCKET_SIZE;

/// Streams times providers that a node remembers for others, about 200 bytes
/// each: 40 MB at most, on the nodes that everybody asks.
pub const MAX_PROVIDER_ENTRIES: usize = 200_000;

/// Providers of one stream: twice what one reply carries.
pub const MAX_PROVIDERS_PER_KEY: usize = 40;

/// Streams that one provider may name: as many as a node is built for. A
/// twentieth of what is remembered.
pub const MAX_KEYS_PER_PROVIDER: usize = 10_000;

/// Bytes of the addresses of all providers: 40,000 of them with 400 each.
pub const MAX_PROVIDER_ADDRESS_BYTES: usize = 16 << 20;

/// How long others remember that this node provides a stream. libp2p's 48 h
/// would leave too many that are long gone.
pub const PROVIDER_TTL: Duration = Duration::from_secs(24 * 3_600);

/// How often this node says again what it provides: a quarter of the lifetime,
/// so that three failures in a row are harmless.
pub const ANNOUNCE_EVERY: Duration = Duration::from_secs(6 * 3_600);

/// Shortest time between two announcements of a stream that were heard: peers
/// that come and go must not make a node with many streams talk all the time.
pub const ANNOUNCE_AGAIN: Duration = Duration::from_secs(60);

/// How long a query takes at most: a few dials that time out, one after the
/// other.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Queries at a time: each is a dozen messages and perhaps as many dials, and
/// 1,000 streams must not begin with all of theirs.
pub const MAX_QUERIES: usize = 16;

/// Lookups among them, so that announcements always move.
pub const MAX_LOOKUPS: usize = 12;

/// How often discovery looks at what the streams need. To decide about 10,000
/// of them takes 1.2 ms (measured).
pub const DISCOVERY_TICK: Duration = Duration::from_secs(1);

/// First pause before a query is made again; it doubles at each time.
pub const FIRST_QUERY_PAUSE: Duration = Duration::from_secs(5);

/// Longest pause between two lookups of a stream that nobody has.
pub const MAX_QUERY_PAUSE: Duration = Duration::from_secs(300);

/// Peers that wait to be dialled for the sake of one stream: one reply's.
pub const MAX_CANDIDATES: usize = 20;

/// Dials at a time for one stream: some of those found are usually gone, and
/// two sources are better than one.
pub const MAX_DISCOVERY_DIALS_PER_STREAM: usize = 3;

/// Dials at a time for all streams, a quarter of [`MAX_PENDING_CONNECTIONS`]:
/// the peers that are to be kept connected need the rest.
pub const MAX_DISCOVERY_DIALS: usize = 32;

/// How often a node looks at whether it has peers enough.
pub const EXCHANGE_TICK: Duration = Duration::from_secs(1);

/// How long an answer with peers may take.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Questions for peers under way on one connection: honest peers have one in
/// each direction.
pub const MAX_EXCHANGE_STREAMS: usize = 4;

/// Peers that are asked at a time: one that is likely to know, and any other,
/// so that no clique of peers can keep the rest of the network from a node.
pub const ASKED_AT_ONCE: usize = 2;

/// Microseconds between two questions to one peer: half of what it answers in
/// the long run is left for what cannot wait.
pub const ASK_AGAIN_US: u64 = 3_000_000;

/// Microseconds in which a peer that was busy, or did not answer, is not asked.
pub const ASK_BUSY_AGAIN_US: u64 = 30_000_000;

/// Streams for which peers are looked for at a time: three questions' worth.
pub const MAX_SHORT_STREAMS: usize = 768;

/// First pause before peers are asked again for a stream that has too few; it
/// doubles at each time. In microseconds.
pub const FIRST_ASK_PAUSE_US: u64 = 1_000_000;

/// Longest such pause: in a network that has no more peers a question a minute
/// costs next to nothing.
pub const MAX_ASK_PAUSE_US: u64 = 60_000_000;

/// Questions after which a stream that still has too few peers is looked up in
/// Kademlia.
pub const VAIN_QUESTIONS: u32 = 3;

/// Streams that have too few peers, but some, and are looked up at a time: a
/// part of [`MAX_LOOKUPS`], because those without any come first.
pub const MAX_SHORT_LOOKUPS: usize = 6;

/// Microseconds for which such a stream is looked up: one query and the dials
/// after it.
pub const LOOKUP_US: u64 = 30_000_000;

/// Microseconds before it is looked up again. In this time 360 streams have
/// their turn; a small network, where nobody ever finds enough, stays quiet.
pub const LOOKUP_AGAIN_US: u64 = 1_800_000_000;

/// Dials at a time for the sake of peer exchange, an eighth of
/// [`MAX_PENDING_CONNECTIONS`].
pub const MAX_EXCHANGE_DIALS: usize = 16;

/// Microseconds for which a peer that one part of the node dials is not dialled by
/// another one. A dial that leads to somebody takes less; one to an address where
/// nobody is any more takes [`CONNECT_TIMEOUT`], and is made again and again.
pub const OTHER_DIAL_US: u64 = 1_500_000;

/// Microseconds after which it is forgotten that somebody waited for that.
pub const FORGET_WAITING_US: u64 = 20_000_000;

/// Peers of the local network that are remembered, as mDNS announces them.
pub const MAX_NEARBY_PEERS: usize = 64;

/// Microseconds before one of them is dialled again.
pub const NEARBY_REST_US: u64 = 30_000_000;

/// Peers that are dialled at a time when nobody is left, and the first and the
/// longest pause before the next of them, in microseconds.
pub const RESCUE_DIALS: usize = 3;
/// See [`RESCUE_DIALS`].
pub const FIRST_RESCUE_PAUSE_US: u64 = 1_000_000;
/// See [`RESCUE_DIALS`].
pub const MAX_RESCUE_PAUSE_US: u64 = 30_000_000;

/// Bootstrap nodes that are kept connected at a time; of a longer list the next
/// ones come when none of these answers. Each of them serves everybody, so that
/// few must do.
pub const MAX_KEPT_BOOTSTRAP: usize = 4;

/// Microseconds after which bootstrap nodes that do not answer are given up for
/// the next ones of the list: a few dials that time out.
pub const BOOTSTRAP_SILENCE_US: u64 = 10_000_000;

/// Peers in the book for each connection that there may be: once all of those
/// are lost, as many others are known. With a record, its addresses and a few
/// streams each 1 to 4 KB: 4 MB, 32 MB on a node with 4,096 connections.
pub const KNOWN_PEERS_PER_CONNECTION: usize = 2;

/// Peers in the book however few connections there may be: what one hears of a
/// network with thousands of nodes.
pub const MIN_KNOWN_PEERS: usize = 1_024;

/// Known peers in one /16 of IPv4, one /32 of IPv6 or under one name: a
/// sixteenth of the book for whoever has that part of the address space.
pub const PEER_GROUPS_IN_BOOK: usize = 16;

/// Known peers that one peer told of: four answers. A liar fills a sixteenth of
/// the smallest book.
pub const MAX_PEERS_PER_SOURCE: usize = 64;

/// Streams that are remembered for one known peer.
pub const MAX_STREAMS_PER_KNOWN_PEER: usize = 1_024;

/// Microseconds for which a peer is known that was only heard of: a day, in
/// which most home connections keep their address.
pub const KNOWN_PEER_US: u64 = 24 * 3_600_000_000;

/// The same of one that was connected: a node that was off for a fortnight
/// finds its peers again.
pub const MET_PEER_US: u64 = 15 * 24 * 3_600_000_000;

/// Microseconds after the end of a connection in which others are still told
/// of the peer: connections come and go while nodes do not.
pub const TOLD_AFTER_CLOSE_US: u64 = 600_000_000;

/// Peers of no stream in common that are told to one who asks for streams: a
/// way out of a group that knows only itself.
pub const UNRELATED_TOLD: usize = 4;

/// Dials that may fail before a peer that was only heard of is forgotten.
pub const MAX_DIAL_FAILURES: u32 = 5;

/// First pause, in microseconds, before a peer that could not be reached is
/// dialled again; it doubles at each failure.
pub const FIRST_PEER_REST_US: u64 = 1_000_000;

/// Longest such pause.
pub const MAX_PEER_REST_US: u64 = 600_000_000;

/// Longest such pause for a peer that was connected within
/// [`LOST_LATELY_US`]: a network that was cut heals within seconds.
pub const MAX_LOST_PEER_REST_US: u64 = 8_000_000;
/// See [`MAX_LOST_PEER_REST_US`].
pub const LOST_LATELY_US: u64 = 600_000_000;

/// Microseconds before a peer is dialled again after our own limits or access
/// lists did not let us: a burst of dials is over by then.
pub const REFUSED_DIAL_REST_US: u64 = 5_000_000;

/// Peers in the file of peers: thirty times the minimum, about 100 KB.
pub const MAX_CACHED_PEERS: usize = 128;

/// Bytes of that file; a longer one is not ours.
pub const MAX_PEER_CACHE_BYTES: u64 = 16 << 20;

/// How soon after the first change the file of peers is written, and then how
/// often at most, in microseconds.
pub const FIRST_CACHE_WRITE_US: u64 = 10_000_000;
/// See [`FIRST_CACHE_WRITE_US`].
pub const CACHE_WRITE_US: u64 = 180_000_000;

/// How often connections that are of no use are looked for, in microseconds.
pub const IDLE_REVIEW_US: u64 = 10_000_000;

/// Microseconds after which a connection that we made and that is of no use is
/// closed: time to subscribe, to ask and to be asked.
pub const IDLE_AFTER_US: u64 = 120_000_000;

/// Of a hundred connections that may be open, and of a hundred incoming ones, so
/// many are left for whoever comes: those of least use go first when there are
/// more.
pub const SPARE_CONNECTIONS_PERCENT: u32 = 10;

/// Microseconds that a connection is left alone in any case.
pub const YOUNG_CONNECTION_US: u64 = 20_000_000;

/// Relays at which a node behind a router holds a place: one may go away while
/// somebody needs it.
pub const RESERVATIONS: usize = 2;

/// Relays that are remembered, to ask when others are gone.
pub const MAX_KNOWN_RELAYS: usize = 16;

/// First pause before a relay that refused, or was lost, is asked again; it
/// doubles at each failure.
pub const FIRST_RESERVATION_PAUSE: Duration = Duration::from_secs(1);

/// Longest of these pauses: places are back within 15 s of the relay's return.
pub const MAX_RESERVATION_PAUSE: Duration = Duration::from_secs(10);

/// How long a relay has for its answer, with the dial: libp2p tells of neither
/// refusal nor silence.
pub const RESERVATION_TIMEOUT: Duration = Duration::from_secs(15);

/// Places, and circuits, that our relay grants to one peer within an hour, as
/// libp2p has it. A place is renewed after half of its hour, and asked for anew
/// after each loss of the connection: one every two minutes is left for a line
/// that comes and goes.
pub const RELAYED_PER_PEER_HOUR: u32 = 30;

/// Peers that are said to be behind our own router, and are dialled at their
/// addresses in its private networks, within [`NEAR_DIALS_WITHIN`]. Anybody may say
/// so: these are not to become a scan of what is in there. A household has fewer.
pub const MAX_NEAR_DIALS: usize = 16;
/// See [`MAX_NEAR_DIALS`].
pub const NEAR_DIALS_WITHIN: Duration = Duration::from_secs(600);

/// The lowest port at which such a peer is dialled: below are the services of the
/// system, at which no node listens.
pub const MIN_NEAR_PORT: u16 = 1_024;

/// How long a relayed connection stays once a direct one is there: the other
/// side may need a round trip more to be ready, and what is under way arrives.
pub const RELAYED_GRACE: Duration = Duration::from_secs(2);

/// Bytes that may go through relays at once, for all peers together, before the
/// rate of the configuration holds them up: what relays of libp2p carry in some
/// circuits, and ours in one.
pub const RELAYED_BURST: u64 = 16 << 20;

/// How often what goes through relays is looked at, while anything does.
pub const RELAYED_WATCHED_EVERY: Duration = Duration::from_secs(1);

/// How often the log says that the bound of it is reached.
pub const RELAYED_SAID_EVERY: Duration = Duration::from_secs(600);

/// Times that one connection may tell us a new address of ours. It changes when
/// a router is started anew; a peer that goes on is making it up.
pub const MAX_OBSERVATIONS_PER_CONNECTION: u8 = 3;

/// Observed addresses that are compared, to tell what kind of router there is.
pub const MAX_OBSERVATIONS: usize = 32;

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

/// How long the other end of a new connection of a private network may take to
/// prove that it has the key: one round trip, after a QUIC handshake that may
/// take as long.
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection whose other end has another key is kept for it to
/// find that out, too: a round trip.
pub const PROOF_LINGER: Duration = Duration::from_millis(500);

/// How long it takes at most to reach an address over TCP, before anything is
/// negotiated: the system asks again after 1, 3 and 7 seconds.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// How long it takes at most to reach a peer and to negotiate: as libp2p has
/// it.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long all of it takes at most for one address, from when it is dialled, with
/// the names that are looked up and the proof of a network key. Longer than
/// [`CONNECTION_TIMEOUT`], which tells more when it is over; the addresses of a name
/// are dialled one after the other, and when the first is silent for
/// [`CONNECT_TIMEOUT`] this leaves the next one time.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

/// Addresses of a peer that are dialled at the same time: TCP and QUIC over IPv4 and
/// IPv6. The others follow as these fail: who tells us of peers would else have us call
/// at twice as many places of others.
pub const DIALLED_AT_ONCE: NonZeroU8 = NonZeroU8::new(4).unwrap();

/// The same of a peer that is to be kept connected, whose addresses the user named or
/// it was reached at before: all, so that it is found at once wherever it has gone. Each
/// may be a socket, over QUIC, too, where it goes out from a port of its own: with so
/// many `open_files` counts for every dial.
pub const KEPT_DIALLED_AT_ONCE: NonZeroU8 = NonZeroU8::new(MAX_ADDRESSES_PER_PEER as u8).unwrap();

/// Substreams of one connection over TCP or through a relay, both ways. The lanes of
/// sync are six, gossip has two, and questions of each protocol a few to 32: 128 are
/// more than anybody honest has. The other 256 are circuits, each of which is one on
/// the connection of the relay with the node at its end: all that a relay carries,
/// unless it is told otherwise, may lead to the same node. Where we open one more, the
/// connection ends; where the other end does, it is told to go, which ends it there, and
/// whoever does not heed that has none more.
pub const MAX_SUBSTREAMS: usize = 384;

/// Bytes of one connection that may wait unread in all of its substreams: the 256 KiB
/// of each that the protocol fixes, 96 MiB, and 32 MiB for windows that grow with the
/// length of the line, which is twice what is under way on one of 160 MB/s and 100 ms.
/// An honest peer has a few KB there: what comes is read at once, and where we stop
/// reading a lane its window fills.
///
/// It is what the frames carry, and not what they cost: each is kept by itself, with 64
/// to 96 bytes beside what it carries. A peer that sends single bytes, 13 on the line,
/// makes each of them cost up to a hundred times as much. yamux does not bound that.
pub const MAX_UNREAD_BYTES: usize = 128 << 20;

/// Substreams that the other end has opened and that wait to be negotiated; more are
/// reset. As many more as [`MAX_NEGOTIATED_SUBSTREAMS`] are on their way.
pub const MAX_WAITING_SUBSTREAMS: usize = 32;

/// Substreams of one connection whose protocol is negotiated at a time, for ten
/// seconds at most. After a meeting a peer opens one of each protocol, a dozen.
pub const MAX_NEGOTIATED_SUBSTREAMS: usize = 32;

/// Substreams of one connection over QUIC that the other end may have open: as many as
/// over TCP. The next one waits for another to end.
pub const MAX_QUIC_SUBSTREAMS: u32 = MAX_SUBSTREAMS as u32;

/// Bytes of one connection over QUIC that may wait unread in one of its substreams,
/// and in all of them: as libp2p has it, what is under way on a line of 100 MB/s and
/// 100 ms, and half as much for the other lanes.
pub const MAX_UNREAD_QUIC_SUBSTREAM_BYTES: u32 = 10_000_000;
/// See [`MAX_UNREAD_QUIC_SUBSTREAM_BYTES`].
pub const MAX_UNREAD_QUIC_BYTES: u32 = 15_000_000;

/// How often the log names one and the same stranger at the door of a private
/// network: it knocks again and again.
pub const NAME_STRANGER_AGAIN: Duration = Duration::from_secs(600);

/// Strangers that the log names within that time. More of them are a flood,
/// which must fill neither the memory nor the log.
pub const MAX_NAMED_STRANGERS: usize = 256;

/// How long what was sent over TCP may go without any acknowledgement before the
/// system gives the connection up. It has repeated it six times by then, after
/// 0.2 to 6.4 s; with the ping that shows it, a dead line ends after 22 s, and the
/// rest of half a minute is left for a new connection.
pub const UNACKNOWLEDGED: Duration = Duration::from_secs(12);

/// How long nothing may come over TCP before the system asks the other end, and
/// how often it does so then. No process has to wake up for it.
pub const KEEPALIVE_AFTER: Duration = Duration::from_secs(6);
/// See [`KEEPALIVE_AFTER`].
pub const KEEPALIVE_EVERY: Duration = Duration::from_secs(3);

/// TCP sockets after which those that have ended are looked for: 1 KB.
pub const MIN_TRACKED_LINES: usize = 64;

/// How often it is looked at whether the addresses that we use are still this
/// machine's, should the system not tell. A few microseconds for each.
pub const DEPARTURES_EVERY: Duration = Duration::from_secs(3);

/// How long a path is remembered on which large packets of TCP are lost: a line
/// with such a fault keeps it, but whoever moves gets another line.
pub const NARROW_FOR: Duration = Duration::from_secs(1_800);

/// How long all paths are suspected when one was found to be so: a node whose own line
/// is meets its relay first, and then its peers.
pub const NARROW_LINE_FOR: Duration = Duration::from_secs(60);

/// Such paths that are remembered, 50 bytes each.
pub const MAX_NARROW_PATHS: usize = 256;

/// By how much QUIC goes before TCP on such a path: a handshake and its first
/// repetition.
pub const QUIC_HEAD_START: Duration = Duration::from_secs(3);

/// How long nothing may come over a connection before another one to the same
/// peer takes its place: a ping and its answer, and a second more.
pub const SILENT_AFTER: Duration = Duration::from_secs(12);

/// The same when a new connection comes that is as good. What is under way on a
/// busy one is not to be disturbed.
pub const QUIET_AFTER: Duration = Duration::from_secs(2);

/// How old a connection is before one that its peer makes beside it is taken for a
/// sign that the peer may have lost it: two that dial each other at once have both
/// of theirs within this time. (Where it is alive a ping shows that.)
pub const RIVAL_AFTER: Duration = Duration::from_secs(2);

/// Addresses of ours that were confirmed and taken back, and are taken up again when
/// they come back: those of a few networks that a machine goes to and fro between.
pub const MAX_WITHDRAWN: usize = 32;

/// How often a peer is asked for a sign of life. Two answers that do not come
/// end the connection, after 45 s at most: this is for peers that hang. What is
/// lost on the way is noticed earlier, by [`UNACKNOWLEDGED`] and by QUIC.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long an answer may take. The 256 KiB that may be queued before it take
/// as long at 140 kbit/s.
pub const PING_TIMEOUT: Duration = Duration::from_secs(15);
