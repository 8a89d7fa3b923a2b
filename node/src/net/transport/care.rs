//! What is done about each connection while it is set up, in both directions; all else
//! of a transport stays as it is.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use libp2p::Multiaddr;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};

/// A connection that is being set up. Nothing is done for it before it is polled.
pub(super) type SetUp<O, E> = BoxFuture<'static, Result<O, E>>;

/// What is done about connections that come out as `O`, or fail with `E`.
pub(super) trait Care<O, E> {
    type Error: Error;

    /// How a failure is told from then on.
    fn error(error: E) -> Self::Error;

    /// A connection with this address, which was dialled there or comes from there.
    fn take(&self, address: Multiaddr, dialled: bool, set_up: SetUp<O, E>)
    -> SetUp<O, Self::Error>;
}

/// A transport of whose connections care is taken.
pub(super) struct Cared<T, C> {
    inner: T,
    care: C,
}

impl<T, C> Cared<T, C> {
    pub(super) fn new(inner: T, care: C) -> Self {
        Self { inner, care }
    }
}

impl<T, C> Transport for Cared<T, C>
where
    T: Transport + Unpin,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
    C: Care<T::Output, T::Error> + Unpin,
{
    type Output = T::Output;
    type Error = C::Error;
    type ListenerUpgrade = SetUp<T::Output, C::Error>;
    type Dial = SetUp<T::Output, C::Error>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<C::Error>> {
        let listening = self.inner.listen_on(id, address);
        listening.map_err(|error| error.map(C::error))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<C::Error>> {
        let dial = self.inner.dial(address.clone(), options);
        let dial = dial.map_err(|error| error.map(C::error))?;
        Ok(self.care.take(address, true, Box::pin(dial)))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, C::Error>> {
        Pin::new(&mut self.inner).poll(cx).map(|event| {
            let from = match &event {
                TransportEvent::Incoming { send_back_addr, .. } => send_back_addr.clone(),
                _ => Multiaddr::empty(),
            };
            event
                .map_upgrade(|upgrade| self.care.take(from, false, Box::pin(upgrade)))
                .map_err(C::error)
        })
    }
}
