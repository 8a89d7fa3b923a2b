//! An address that stays while the node behind it is started again on another
//! port: a page comes back to where it was served from.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use headwater_tests::TestNode;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Carries connections to the API of a node. It ends when it is dropped.
pub(super) struct FixedAddress {
    url: String,
    behind: Arc<Mutex<String>>,
    task: JoinHandle<()>,
}

impl FixedAddress {
    pub(super) async fn of(node: &TestNode) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let behind = Arc::new(Mutex::new(api_of(node)?));
        let task = tokio::spawn(carry(listener, behind.clone()));
        Ok(Self { url, behind, task })
    }

    /// The node has been started again.
    pub(super) fn leads_to(&self, node: &TestNode) -> Result<()> {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = api_of(node)?;
        Ok(())
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

impl Drop for FixedAddress {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn api_of(node: &TestNode) -> Result<String> {
    Ok(node.url("")?.replacen("http://", "", 1))
}

async fn carry(listener: TcpListener, behind: Arc<Mutex<String>>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let behind = behind
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        tokio::spawn(async move {
            // A node that is not there: the client finds its connection closed.
            if let Ok(mut node) = TcpStream::connect(behind).await {
                let _ = copy_bidirectional(&mut client, &mut node).await;
            }
        });
    }
}
