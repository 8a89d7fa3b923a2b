//! Ports that nobody else gets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A TCP port of the loopback interface. The system hands a port to whoever asks
/// for any as soon as the program that had it is away, such as to the test beside
/// this one. This socket keeps it from doing so. It does not listen, and asks for
/// the port to be shared, so that a program that does as well still gets the port,
/// and all connections to it.
#[derive(Debug)]
pub struct KeptPort(TcpSocket);

impl KeptPort {
    /// A port that is free.
    ///
    /// # Errors
    /// There is none.
    pub fn any() -> io::Result<Self> {
        Self::of(0)
    }

    /// This one, which is free or belongs to a node that listens there.
    ///
    /// # Errors
    /// Another program has it.
    pub fn of(port: u16) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
        Ok(Self(socket))
    }

    /// Where it is.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
