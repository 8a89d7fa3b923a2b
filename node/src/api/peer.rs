//! Who is at the other end of a connection, as those know it who answer its
//! requests.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use super::line::Line;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    line: Arc<Line>,
    /// Whether an answer is under way whose end is that of the connection.
    owes: Arc<AtomicBool>,
}

impl Peer {
    /// Of this connection.
    pub(super) fn on(line: Arc<Line>) -> Self {
        let owes = Arc::default();
        Self { line, owes }
    }

    #[cfg(test)]
    pub(super) fn of(address: SocketAddr) -> Self {
        Self::on(Arc::new(Line::new(address, std::time::Instant::now())))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.line.address
    }

    /// The connection itself.
    pub(super) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// The connection, without holding it.
    pub(super) fn connection(&self) -> Connection {
        Connection(Arc::downgrade(&self.line))
    }

    /// Whether an answer is under way whose end is that of the connection.
    pub(super) fn owes_end(&self) -> bool {
        self.owes.load(Ordering::Acquire)
    }

    /// Says so.
    pub(super) fn owe_end(&self, owes: bool) {
        self.owes.store(owes, Ordering::Release);
    }
}

/// A connection that may have ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection(Weak<Line>);

impl Connection {
    pub(super) fn is_open(&self) -> bool {
        self.0.upgrade().is_some_and(|line| !line.is_over())
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}
