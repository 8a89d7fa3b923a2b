//! `dashboard`: a link to the page of the node.

use std::io::{IsTerminal, stdout};
use std::process::{Command, Stdio};

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::Invocation;

/// Print a link that opens the node's page in a browser, once and within a
/// minute; on a desktop, open it
#[derive(Args, Debug)]
pub(crate) struct DashboardArgs {
    /// Do not open it
    #[arg(long)]
    no_open: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Link<'a> {
    url: &'a str,
    expires_in_s: u64,
}

pub(super) async fn dashboard(invocation: &Invocation, args: &DashboardArgs) -> anyhow::Result<()> {
    let (url, expires_in_s) = invocation
        .with_client(async |client| {
            client.require_network("dashboard")?;
            let base = client.url().context("the node has no address")?;
            let link = client.dashboard_link().await?;
            Ok((format!("{base}{}", link.path), link.expires_in_s))
        })
        .await?;
    let out = invocation.out;
    if out.json {
        let url = &url;
        return out.json(&Link { url, expires_in_s });
    }
    out.line(&url)?;
    if !args.no_open && is_on_desktop() && open(&url).is_ok() {
        out.note("it is opened in the browser");
    } else {
        out.note(format!(
            "open it in a browser within {expires_in_s} s; it is good once. From another machine: \
             forward the port with `ssh -L`, and open it there"
        ));
    }
    Ok(())
}

/// Whether a person sits before this terminal, and has a browser.
fn is_on_desktop() -> bool {
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].map(std::env::var_os);
    stdout().is_terminal() && has_display.iter().flatten().any(|name| !name.is_empty())
}

/// Does not wait for the browser.
fn open(url: &str) -> std::io::Result<()> {
    let mut command = Command::new("xdg-open");
    command.arg(url).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop)
}
