//! TCP lets QUIC go first where large packets of TCP are lost: both are dialled at
//! once otherwise, and the one that is there first stays.

use futures::future::FutureExt;
use libp2p::Multiaddr;
use tokio::time::{Instant, sleep};

use super::care::{Care, SetUp};
use crate::net::addresses::ip;
use crate::net::limits::QUIC_HEAD_START;
use crate::net::narrow_paths::NarrowPaths;

/// Waits, before a connection is dialled or answered, on paths that are known to be
/// narrow. It is not refused: where QUIC does not pass at all, TCP may have to do.
pub(super) struct AfterQuic(pub(super) NarrowPaths);

impl<O: 'static, E: std::error::Error + 'static> Care<O, E> for AfterQuic {
    type Error = E;

    fn error(error: E) -> E {
        error
    }

    fn take(&self, address: Multiaddr, _: bool, set_up: SetUp<O, E>) -> SetUp<O, E> {
        let narrow = self.0.clone();
        async move {
            if ip(&address).is_some_and(|ip| narrow.contain(ip, Instant::now())) {
                sleep(QUIC_HEAD_START).await;
            }
            set_up.await
        }
        .boxed()
    }
}
