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
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicBool, Ordering};

    use libp2p::core::transport::PortUse;
    use libp2p::core::{Endpoint, muxing::StreamMuxerBox};
    use libp2p::identity::Keypair;
    use libp2p::quic;

    use super::*;

    static IS_BEFORE: AtomicBool = AtomicBool::new(false);

    #[tokio::test]
    async fn nothing_is_dialled_before_1970_and_again_afterwards() {
        let quic = quic::tokio::Transport::new(quic::Config::new(&Keypair::generate_ed25519()));
        let quic = quic.map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
        let mut transport = Since1970 {
            inner: quic.boxed(),
            is_before: || IS_BEFORE.load(Ordering::SeqCst),
            rest: None,
        };
        let dial = |transport: &mut Since1970, address: &str| {
            let options = DialOpts {
                role: Endpoint::Dialer,
                port_use: PortUse::New,
            };
            transport.dial(address.parse().unwrap(), options).map(drop)
        };
        let (quic, tcp) = ("/ip4/127.0.0.1/udp/1/quic-v1", "/ip4/127.0.0.1/tcp/1");
        assert!(dial(&mut transport, quic).is_ok());
        IS_BEFORE.store(true, Ordering::SeqCst);
        let refused = dial(&mut transport, quic);
        assert!(
            matches!(refused, Err(TransportError::Other(_))),
            "{refused:?}"
        );
        // What is not QUIC goes another way.
        let other = dial(&mut transport, tcp);
        assert!(matches!(
            other,
            Err(TransportError::MultiaddrNotSupported(_))
        ));
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            if polls == 3 {
                IS_BEFORE.store(false, Ordering::SeqCst);
            }
            assert!(Pin::new(&mut transport).poll(cx).is_pending());
            match transport.rest {
                Some(_) => Poll::Pending,
                None => Poll::Ready(()),
            }
        })
        .await;
        assert_eq!(polls, 3);
        assert!(dial(&mut transport, quic).is_ok());
    }
}
