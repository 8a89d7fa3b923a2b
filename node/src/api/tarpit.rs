//! Connections that were closed from here because of what they did, and whose
//! other ends do not hear of it at once: most of those who begin requests and do
//! not end them, or ask for histories and do not read them, come again as soon as
//! they are closed, and each time cost an accept, a head, and the first blocks of
//! an answer. What waits here costs an open file, and what the system has of it that
//! was not taken: some tens of kilobytes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use socket2::Socket;

use super::limits::TARPIT;

/// The connections, the one that came first in front.
#[derive(Debug)]
pub(super) struct Tarpit {
    sockets: Mutex<VecDeque<(Instant, Socket)>>,
    most: usize,
}

impl Tarpit {
    /// Empty, for so many at a time.
    pub(super) fn new(most: usize) -> Self {
        Self {
            sockets: Mutex::default(),
            most,
        }
    }

    /// Keeps one open for a while; the first one is closed for it where there are
    /// too many.
    pub(super) fn keep(&self, socket: Socket, now: Instant) {
        let _closed = self.change(|sockets| {
            sockets.push_back((now, socket));
            (sockets.len() > self.most).then(|| sockets.pop_front())
        });
    }

    /// Closes those that have been here long enough.
    pub(super) fn look(&self, now: Instant) {
        let _closed = self.change(|sockets| {
            let is_over = |since: Instant| now.saturating_duration_since(since) >= TARPIT;
            let over = sockets.iter().take_while(|(since, _)| is_over(*since));
            let over = over.count();
            sockets.drain(..over).collect::<Vec<_>>()
        });
    }

    /// Closes all: their files are needed. Whether there were some.
    pub(super) fn drain(&self) -> bool {
        let closed = self.change(std::mem::take);
        !closed.is_empty()
    }

    /// What is closed is returned, and closed when nobody waits for it.
    fn change<T>(&self, change: impl FnOnce(&mut VecDeque<(Instant, Socket)>) -> T) -> T {
        change(&mut self.sockets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    /// A connection: the end that is kept, and the other one.
    fn connection(listener: &TcpListener) -> (Socket, TcpStream) {
        let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        other.set_nonblocking(true).unwrap();
        let (kept, _) = listener.accept().unwrap();
        (kept.into(), other)
    }

    fn is_open(other: &mut TcpStream) -> bool {
        let read = other.read(&mut [0]);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    #[test]
    fn who_is_kept_hears_of_nothing_for_a_while() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (tarpit, now) = (Tarpit::new(2), Instant::now());
        let (socket, mut other) = connection(&listener);
        tarpit.keep(socket, now);
        tarpit.look(now + TARPIT - Duration::from_millis(1));
        assert!(is_open(&mut other));
        tarpit.look(now + TARPIT);
        assert!(!is_open(&mut other));
    }

    #[test]
    fn the_first_one_is_closed_for_one_too_many_and_all_where_files_are_needed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (tarpit, now) = (Tarpit::new(2), Instant::now());
        let mut others: Vec<_> = (0..3)
            .map(|_| {
                let (socket, other) = connection(&listener);
                tarpit.keep(socket, now);
                other
            })
            .collect();
        let open: Vec<_> = others.iter_mut().map(is_open).collect();
        assert_eq!(open, [false, true, true]);
        assert!(tarpit.drain());
        assert!(!others.iter_mut().any(is_open));
        assert!(!tarpit.drain());
    }
}
