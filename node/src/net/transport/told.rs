//! Tells of the connections on which no secure channel came about: what libp2p
//! says of them (a varint that is too long, a time-out) does not help who has
//! forgotten a network key.

use std::io;

use futures::future::{FutureExt, TryFutureExt};
use libp2p::Multiaddr;
use libp2p::core::transport::timeout::TransportTimeoutError;

use super::ChannelError;
use super::care::{Care, SetUp};
use crate::net::private_network::strangers::{NoChannel, Strangers};

/// What goes wrong with the connections of the inner transport. It gives up
/// on those whom it does not reach before its time is up, so that a time-out
/// means that the other end was there.
type Failure = TransportTimeoutError<ChannelError>;

/// Tells of failures, as a node that speaks with everybody or as one in a private
/// network.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) strangers: Strangers,
    pub(super) guarded: bool,
}

impl Told {
    fn failed(&self, error: &Failure, address: &Multiaddr, dialled: bool) {
        if !matches!(error, Failure::Other(ChannelError::Unreachable(_))) {
            let failed = NoChannel {
                address,
                dialled,
                error,
            };
            self.strangers.no_channel(&failed, self.guarded);
        }
    }
}

impl<O: 'static> Care<O, Failure> for Told {
    type Error = Failure;

    fn error(error: Failure) -> Failure {
        error
    }

    fn take(
        &self,
        address: Multiaddr,
        dialled: bool,
        set_up: SetUp<O, Failure>,
    ) -> SetUp<O, Failure> {
        let told = self.clone();
        set_up
            .inspect_err(move |error| told.failed(error, &address, dialled))
            .map_err(move |error| match error {
                Failure::Timeout if dialled => {
                    let late = io::Error::from(io::ErrorKind::TimedOut);
                    Failure::Other(ChannelError::Negotiation(late))
                }
                other => other,
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_reached_is_no_stranger() {
        let address: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let told = |error: Failure| {
            let strangers = Strangers::default();
            let guarded = true;
            let telling = Told {
                strangers: strangers.clone(),
                guarded,
            };
            telling.failed(&error, &address, true);
            !strangers.is_news(&address, tokio::time::Instant::now())
        };
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(!told(Failure::Other(ChannelError::Unreachable(refused()))));
        assert!(told(Failure::Other(ChannelError::Negotiation(refused()))));
        assert!(told(Failure::Timeout));
    }
}
