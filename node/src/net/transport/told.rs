//! Tells of the connections on which no secure channel came about: what libp2p
//! says of them (a varint that is too long, a time-out) does not help who has
//! forgotten a network key.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt, TryFutureExt};
use libp2p::Multiaddr;
use libp2p::core::transport::timeout::TransportTimeoutError;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};

use super::ChannelError;
use crate::net::private_network::strangers::{NoChannel, Strangers};

/// What goes wrong with the connections of the inner transport. It gives up
/// on those whom it does not reach before its time is up, so that a time-out
/// means that the other end was there.
type Failure = TransportTimeoutError<ChannelError>;

/// A transport whose failures are told.
pub(super) struct Told<T> {
    inner: T,
    told: Telling,
}

#[derive(Clone)]
struct Telling {
    strangers: Strangers,
    guarded: bool,
}

impl<T> Told<T> {
    /// The transport of a node that speaks with everybody.
    pub(super) fn public(inner: T, strangers: Strangers) -> Self {
        let guarded = false;
        let told = Telling { strangers, guarded };
        Self { inner, told }
    }

    /// The transport of a node in a private network.
    pub(super) fn private(inner: T, strangers: Strangers) -> Self {
        let guarded = true;
        let told = Telling { strangers, guarded };
        Self { inner, told }
    }
}

impl Telling {
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

impl<T> Transport for Told<T>
where
    T: Transport<Error = Failure> + Unpin,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    type Output = T::Output;
    type Error = Failure;
    type ListenerUpgrade = BoxFuture<'static, Result<T::Output, Failure>>;
    type Dial = BoxFuture<'static, Result<T::Output, Failure>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Failure>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Failure>> {
        let told = self.told.clone();
        let dial = self.inner.dial(address.clone(), options)?;
        Ok(dial
            .inspect_err(move |error| told.failed(error, &address, true))
            .map_err(|error| match error {
                Failure::Timeout => {
                    let late = io::Error::from(io::ErrorKind::TimedOut);
                    Failure::Other(ChannelError::Negotiation(late))
                }
                other => other,
            })
            .boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Failure>> {
        let event = match Pin::new(&mut self.inner).poll(cx) {
            Poll::Ready(event) => event,
            Poll::Pending => return Poll::Pending,
        };
        let from = match &event {
            TransportEvent::Incoming { send_back_addr, .. } => Some(send_back_addr.clone()),
            _ => None,
        };
        let told = self.told.clone();
        Poll::Ready(event.map_upgrade(|upgrade| {
            upgrade
                .inspect_err(move |error| {
                    if let Some(address) = &from {
                        told.failed(error, address, false);
                    }
                })
                .boxed()
        }))
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
            let telling = Telling {
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
