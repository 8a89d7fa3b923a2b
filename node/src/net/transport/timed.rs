//! A bound of the time that each address has. It begins when the address is dialled
//! and not when the dial is planned: of the addresses of a peer some wait for others
//! to fail, and what those take is not theirs. (The time-outs of libp2p's own wrapper
//! begin with the plan.)

use std::error::Error;
use std::time::Duration;

use futures::future::FutureExt;
use libp2p::Multiaddr;
use libp2p::core::transport::timeout::TransportTimeoutError;
use tokio::time::timeout;

use super::care::{Care, SetUp};

/// Gives each connection so much time to be set up.
pub(super) struct Timed(pub(super) Duration);

impl<O: 'static, E: Error + 'static> Care<O, E> for Timed {
    type Error = TransportTimeoutError<E>;

    fn error(error: E) -> Self::Error {
        TransportTimeoutError::Other(error)
    }

    fn take(&self, _: Multiaddr, _: bool, set_up: SetUp<O, E>) -> SetUp<O, Self::Error> {
        let Self(time) = *self;
        async move {
            match timeout(time, set_up).await {
                Ok(ended) => ended.map_err(TransportTimeoutError::Other),
                Err(_) => Err(TransportTimeoutError::Timeout),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn an_address_has_all_of_its_time_however_long_others_before_it_take() {
        let timed = Timed(Duration::from_millis(10));
        let planned = |set_up: SetUp<(), Infallible>| timed.take(Multiaddr::empty(), true, set_up);
        let silent = planned(pending().boxed());
        let slow = planned(yield_now().map(Ok).boxed());
        let silent = silent.await;
        assert!(matches!(silent, Err(TransportTimeoutError::Timeout)));
        // It has all of its time, and takes some.
        assert!(slow.await.is_ok());
    }
}
