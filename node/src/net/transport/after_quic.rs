//! TCP lets QUIC go first where large packets of TCP are lost: both are dialled at
//! once otherwise, and the one that is there first stays.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use libp2p::Multiaddr;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use tokio::time::{Instant, sleep};

use crate::net::addresses::ip;
use crate::net::limits::QUIC_HEAD_START;
use crate::net::narrow_paths::NarrowPaths;

/// A transport that waits, before it dials or answers, on paths that are known to
/// be narrow. It is not refused: where QUIC does not pass at all, TCP may have to
/// do.
pub(super) struct AfterQuic<T> {
    inner: T,
    narrow: NarrowPaths,
}

impl<T> AfterQuic<T> {
    pub(super) fn new(inner: T, narrow: NarrowPaths) -> Self {
        Self { inner, narrow }
    }

    /// The pause before a connection with this address.
    fn pause(&self, remote: &Multiaddr) -> BoxFuture<'static, ()> {
        let now = Instant::now();
        match ip(remote).is_some_and(|ip| self.narrow.contain(ip, now)) {
            true => sleep(QUIC_HEAD_START).boxed(),
            false => futures::future::ready(()).boxed(),
        }
    }
}

impl<T> Transport for AfterQuic<T>
where
    T: Transport + Unpin,
    T::Output: 'static,
    T::Error: 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = BoxFuture<'static, Result<T::Output, T::Error>>;
    type Dial = BoxFuture<'static, Result<T::Output, T::Error>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<T::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<T::Error>> {
        let pause = self.pause(&address);
        // Nothing is sent before it is polled.
        let dial = self.inner.dial(address, options)?;
        Ok(pause.then(|()| dial).boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, T::Error>> {
        let event = match Pin::new(&mut self.inner).poll(cx) {
            Poll::Ready(event) => event,
            Poll::Pending => return Poll::Pending,
        };
        let pause = match &event {
            TransportEvent::Incoming { send_back_addr, .. } => self.pause(send_back_addr),
            _ => futures::future::ready(()).boxed(),
        };
        Poll::Ready(event.map_upgrade(|upgrade| pause.then(|()| upgrade).boxed()))
    }
}
