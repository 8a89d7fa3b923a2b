//! QUIC rests while the clock shows a time before 1970: its handshakes take the time
//! as a number of seconds since then, and panic where there is none, in the midst of
//! what keeps the connections.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use libp2p::Multiaddr;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use tokio::time::sleep;

use super::Connections;
use crate::handle::is_before_1970;

/// How often the clock is looked at while it is wrong.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A transport that neither dials nor answers before 1970. What comes meanwhile waits
/// as it does where nobody is quick enough to answer.
pub(super) struct Since1970 {
    inner: Connections,
    is_before: fn() -> bool,
    rest: Option<BoxFuture<'static, ()>>,
}

impl Since1970 {
    pub(super) fn new(inner: Connections) -> Self {
        Self {
            inner,
            is_before: is_before_1970,
            rest: None,
        }
    }
}

impl Transport for Since1970 {
    type Output = <Connections as Transport>::Output;
    type Error = io::Error;
    type ListenerUpgrade = <Connections as Transport>::ListenerUpgrade;
    type Dial = <Connections as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let dial = self.inner.dial(address, options)?;
        match (self.is_before)() {
            false => Ok(dial),
            true => Err(TransportError::Other(io::Error::other(
                "the system's clock shows a time before 1970, in which there is no QUIC; set it",
            ))),
        }
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        while (self.is_before)() {
            let rest = (self.rest).get_or_insert_with(|| sleep(LOOK_AGAIN).boxed());
            if rest.poll_unpin(cx).is_pending() {
                return Poll::Pending;
            }
            self.rest = None;
        }
        self.rest = None;
        Pin::new(&mut self.inner).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::atomic::{AtomicBool, Ordering};

    use libp2p::core::transport::PortUse;
    use libp2p::core::{Endpoint, muxing::StreamMuxerBox};
    use libp2p::identity::Keypair;
    use libp2p::quic;

    use super::super::nameless;
    use super::*;

    const OPTIONS: DialOpts = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };

    fn since_1970(is_before: fn() -> bool) -> Since1970 {
        let quic = quic::tokio::Transport::new(quic::Config::new(&Keypair::generate_ed25519()));
        let quic = quic.map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
        Since1970 {
            inner: quic.boxed(),
            is_before,
            rest: None,
        }
    }

    #[tokio::test]
    async fn nothing_is_dialled_before_1970_and_again_afterwards() {
        static IS_BEFORE: AtomicBool = AtomicBool::new(false);
        let mut transport = since_1970(|| IS_BEFORE.load(Ordering::SeqCst));
        let mut dial = |address: &str| {
            let dial = transport.dial(address.parse().unwrap(), OPTIONS);
            dial.map(drop)
        };
        let (quic, tcp) = ("/ip4/127.0.0.1/udp/1/quic-v1", "/ip4/127.0.0.1/tcp/1");
        assert!(dial(quic).is_ok());
        IS_BEFORE.store(true, Ordering::SeqCst);
        let refused = dial(quic);
        assert!(
            matches!(refused, Err(TransportError::Other(_))),
            "{refused:?}"
        );
        // What is not QUIC goes another way.
        let other = dial(tcp);
        assert!(matches!(
            other,
            Err(TransportError::MultiaddrNotSupported(_))
        ));
        IS_BEFORE.store(false, Ordering::SeqCst);
        assert!(dial(quic).is_ok());
    }

    #[tokio::test]
    async fn a_dial_that_was_planned_goes_by_the_clock_when_it_is_its_turn() {
        static IS_BEFORE: AtomicBool = AtomicBool::new(false);
        let transport = since_1970(|| IS_BEFORE.load(Ordering::SeqCst));
        let mut transport = nameless(transport.boxed());
        let address = "/ip4/127.0.0.1/udp/1/quic-v1".parse().unwrap();
        let planned = transport.dial(address, OPTIONS).unwrap();
        IS_BEFORE.store(true, Ordering::SeqCst);
        let error = planned.await.err().unwrap().to_string();
        assert!(error.contains("1970"), "{error}");
        let name = "/dns4/localhost.invalid/udp/1/quic-v1".parse().unwrap();
        let named = transport.dial(name, OPTIONS).unwrap();
        assert!(named.await.is_err());
    }

    /// A listener to whom somebody comes.
    struct Listener;

    impl Transport for Listener {
        type Output = <Connections as Transport>::Output;
        type Error = io::Error;
        type ListenerUpgrade = BoxFuture<'static, io::Result<Self::Output>>;
        type Dial = Self::ListenerUpgrade;

        fn listen_on(
            &mut self,
            _: ListenerId,
            address: Multiaddr,
        ) -> Result<(), TransportError<io::Error>> {
            Err(TransportError::MultiaddrNotSupported(address))
        }

        fn remove_listener(&mut self, _: ListenerId) -> bool {
            false
        }

        fn dial(
            &mut self,
            address: Multiaddr,
            _: DialOpts,
        ) -> Result<Self::Dial, TransportError<io::Error>> {
            Err(TransportError::MultiaddrNotSupported(address))
        }

        fn poll(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
            Poll::Ready(TransportEvent::Incoming {
                listener_id: ListenerId::next(),
                upgrade: pending().boxed(),
                local_addr: Multiaddr::empty(),
                send_back_addr: Multiaddr::empty(),
            })
        }
    }

    #[tokio::test]
    async fn who_comes_before_1970_waits_and_is_answered_afterwards() {
        static IS_BEFORE: AtomicBool = AtomicBool::new(true);
        let mut transport = Since1970 {
            inner: Listener.boxed(),
            is_before: || IS_BEFORE.load(Ordering::SeqCst),
            rest: None,
        };
        let mut waits = 0;
        let event = poll_fn(|cx| {
            let event = Pin::new(&mut transport).poll(cx);
            waits += usize::from(event.is_pending());
            // The clock is set; nobody says so.
            IS_BEFORE.store(false, Ordering::SeqCst);
            event
        })
        .await;
        assert!(matches!(event, TransportEvent::Incoming { .. }));
        assert_eq!(waits, 1);
    }
}
