//! A bound of the time that each address has. It begins when the address is dialled
//! and not when the dial is planned: of the addresses of a peer some wait for others
//! to fail, and what those take is not theirs. (The time-outs of libp2p's own wrapper
//! begin with the plan.)

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use libp2p::Multiaddr;
use libp2p::core::transport::timeout::TransportTimeoutError;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use tokio::time::timeout;

/// A transport whose connections, in both directions, are set up within some time.
pub(super) struct Timed<T> {
    inner: T,
    time: Duration,
}

impl<T> Timed<T> {
    pub(super) fn new(inner: T, time: Duration) -> Self {
        Self { inner, time }
    }
}

/// What is set up, or why it is not. The time begins when it is polled.
fn within<F, O, E>(
    time: Duration,
    set_up: F,
) -> BoxFuture<'static, Result<O, TransportTimeoutError<E>>>
where
    F: Future<Output = Result<O, E>> + Send + 'static,
{
    async move {
        match timeout(time, set_up).await {
            Ok(ended) => ended.map_err(TransportTimeoutError::Other),
            Err(_) => Err(TransportTimeoutError::Timeout),
        }
    }
    .boxed()
}

impl<T> Transport for Timed<T>
where
    T: Transport + Unpin,
    T::Output: 'static,
    T::Error: 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    type Output = T::Output;
    type Error = TransportTimeoutError<T::Error>;
    type ListenerUpgrade = BoxFuture<'static, Result<T::Output, Self::Error>>;
    type Dial = BoxFuture<'static, Result<T::Output, Self::Error>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        let listening = self.inner.listen_on(id, address);
        listening.map_err(|error| error.map(TransportTimeoutError::Other))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        let dial = self.inner.dial(address, options);
        let dial = dial.map_err(|error| error.map(TransportTimeoutError::Other))?;
        Ok(within(self.time, dial))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let time = self.time;
        Pin::new(&mut self.inner).poll(cx).map(|event| {
            event
                .map_upgrade(|upgrade| within(time, upgrade))
                .map_err(TransportTimeoutError::Other)
        })
    }
}

#[cfg(test)]
mod tests {
    use libp2p::core::Endpoint;
    use libp2p::core::transport::dummy::DummyTransport;
    use libp2p::core::transport::{Boxed, PortUse};
    use libp2p::multiaddr::Protocol;
    use tokio::time::sleep;

    use super::*;

    const TIME: Duration = Duration::from_secs(2);

    /// Where nobody answers; everywhere else somebody does within a moment.
    const DEAD: u16 = 1;

    /// A transport without sockets.
    struct Slow(Boxed<()>);

    impl Transport for Slow {
        type Output = ();
        type Error = std::io::Error;
        type ListenerUpgrade = <Boxed<()> as Transport>::ListenerUpgrade;
        type Dial = BoxFuture<'static, Result<(), std::io::Error>>;

        fn listen_on(
            &mut self,
            id: ListenerId,
            address: Multiaddr,
        ) -> Result<(), TransportError<Self::Error>> {
            self.0.listen_on(id, address)
        }

        fn remove_listener(&mut self, id: ListenerId) -> bool {
            self.0.remove_listener(id)
        }

        fn dial(
            &mut self,
            address: Multiaddr,
            _: DialOpts,
        ) -> Result<Self::Dial, TransportError<Self::Error>> {
            let is_dead = address.iter().any(|part| part == Protocol::Tcp(DEAD));
            let time = if is_dead { 100 * TIME } else { TIME / 20 };
            Ok(async move {
                sleep(time).await;
                Ok(())
            }
            .boxed())
        }

        fn poll(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
            Pin::new(&mut self.0).poll(cx)
        }
    }

    #[tokio::test]
    async fn an_address_has_all_of_its_time_however_long_others_before_it_take() {
        let mut transport = Timed::new(Slow(DummyTransport::new().boxed()), TIME);
        let mut dial = |port: u16| {
            let address = format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap();
            let options = DialOpts {
                role: Endpoint::Dialer,
                port_use: PortUse::New,
            };
            transport.dial(address, options).unwrap()
        };
        let (dead, slow) = (dial(DEAD), dial(DEAD + 1));
        assert!(matches!(dead.await, Err(TransportTimeoutError::Timeout)));
        assert!(slow.await.is_ok());
    }
}
