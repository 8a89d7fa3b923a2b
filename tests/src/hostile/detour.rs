//! A way to the victim on which everybody comes from the attackers' address.
//! (libp2p dials from whatever address the system chooses.)

use anyhow::{Context, Result};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// From where the attackers come.
pub const ATTACKERS: &str = "127.0.0.2";

/// A port from which everything goes to the victim from there.
#[derive(Debug)]
pub struct Detour {
    address: String,
    task: JoinHandle<()>,
}

impl Detour {
    /// To the node with this multiaddr.
    ///
    /// # Errors
    /// That is none, or there is no port.
    pub async fn to(address: &str) -> Result<Self> {
        let target = tcp_address(address)?;
        let id = address.rsplit('/').next().context("no peer id")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            while let Ok((mut attacker, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Ok(mut victim) = open(target).await {
                        // Either may break it off.
                        let _ = copy_bidirectional(&mut attacker, &mut victim).await;
                    }
                });
            }
        });
        Ok(Self {
            address: format!("/ip4/127.0.0.1/tcp/{port}/p2p/{id}"),
            task,
        })
    }

    /// The multiaddr that attackers dial.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection from the attackers' address.
///
/// # Errors
/// There is none.
pub async fn open(target: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(format!("{ATTACKERS}:0").parse()?)?;
    Ok(socket.connect(target).await?)
}

/// The TCP address in a multiaddr of this machine.
///
/// # Errors
/// It is none, or has no port.
pub fn tcp_address(address: &str) -> Result<SocketAddr> {
    let address: Multiaddr = address.parse()?;
    let port = address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    Ok(([127, 0, 0, 1], port.context("no TCP port")?).into())
}
