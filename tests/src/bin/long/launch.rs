//! Nodes that are started again.

use anyhow::Result;
use headwater_tests::TestNode;

/// Launches a node whose last run may have left its addresses behind: what
/// waits for them would take them for those of this run.
pub(crate) async fn relaunch(node: &mut TestNode) -> Result<()> {
    for name in ["api.addr", "node.addrs"] {
        let _ = std::fs::remove_file(node.dir().join(name));
    }
    node.launch().await
}
