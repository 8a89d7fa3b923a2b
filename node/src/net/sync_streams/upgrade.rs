//! The negotiation of a substream: with packed frames where both ends know them
//! and it may pay, else without.

use std::convert::Infallible;

use futures::future::{Ready, ready};
use libp2p::{InboundUpgrade, OutboundUpgrade, Stream, StreamProtocol, core::UpgradeInfo};

use super::{Lane, PROTOCOL, packing::PACKED_PROTOCOL};

/// What is offered, the best first.
#[derive(Clone, Copy, Debug)]
pub struct Offered(&'static [StreamProtocol]);

const BOTH: &[StreamProtocol] = &[PACKED_PROTOCOL, PROTOCOL];
const PLAIN: &[StreamProtocol] = &[PROTOCOL];

/// A substream that both ends agree upon.
#[derive(Debug)]
pub struct Negotiated {
    pub(super) stream: Stream,
    /// Whether each frame has a byte for its form.
    pub(super) is_packed: bool,
}

impl Offered {
    /// To a peer that opens a substream.
    pub(super) const INBOUND: Self = Self(BOTH);

    /// To a peer to which one is opened. Nobody waits for small frames to be
    /// compressed.
    pub(super) fn outbound(lane: Lane) -> Self {
        match lane {
            Lane::Control | Lane::Urgent => Self(PLAIN),
            Lane::Bulk => Self(BOTH),
        }
    }
}

fn negotiated(stream: Stream, protocol: &StreamProtocol) -> Negotiated {
    Negotiated {
        stream,
        is_packed: *protocol == PACKED_PROTOCOL,
    }
}

impl UpgradeInfo for Offered {
    type Info = StreamProtocol;
    type InfoIter = std::iter::Cloned<std::slice::Iter<'static, StreamProtocol>>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.iter().cloned()
    }
}

impl InboundUpgrade<Stream> for Offered {
    type Output = Negotiated;
    type Error = Infallible;
    type Future = Ready<Result<Negotiated, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok(negotiated(stream, &protocol)))
    }
}

impl OutboundUpgrade<Stream> for Offered {
    type Output = Negotiated;
    type Error = Infallible;
    type Future = Ready<Result<Negotiated, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok(negotiated(stream, &protocol)))
    }
}
