//! Bounds of a node behind a router, and of relays.

use std::time::Duration;

use headwater_protocols::backoff::Backoff;

/// Relays at which a node behind a router holds a place: one may go away while
/// somebody needs it.
pub const RESERVATIONS: usize = 2;

/// Relays that are remembered, to ask when others are gone.
pub const MAX_KNOWN_RELAYS: usize = 16;

/// Before a relay is asked again that refused, or was lost. Places are back within 15 s
/// of the relay's return.
pub const RESERVATION_BACKOFF: Backoff =
    Backoff::doubling(Duration::from_secs(1), Duration::from_secs(10));

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
