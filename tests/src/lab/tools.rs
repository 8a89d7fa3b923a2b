//! The programs by which the lab is made: `ip`, `tc`, `iptables-restore`,
//! `conntrack`.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::unistd::Uid;

use crate::namespace::Namespace;

/// What is called, all of it.
const TOOLS: [&str; 5] = [
    "ip",
    "tc",
    "iptables-restore",
    "ip6tables-restore",
    "conntrack",
];

/// This machine does not let us have a lab, for this reason.
#[derive(Debug)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no NAT lab: {}", self.0)
    }
}

impl std::error::Error for Refused {}

/// Whether there can be a lab, tried with a namespace of this name.
pub(super) fn allowed(trial: &Namespace) -> Result<()> {
    let refused = |why: &str| anyhow!(Refused(why.to_owned()));
    if !Uid::effective().is_root() {
        return Err(refused(
            "routers (--nat) need network namespaces, and these need root; run it as root",
        ));
    }
    let missing: Vec<_> = TOOLS.into_iter().filter(|tool| !is_there(tool)).collect();
    if !missing.is_empty() {
        let missing = missing.join(" ");
        let why = format!("{missing} missing; install with: scripts/setup --dev");
        return Err(refused(&why));
    }
    // One that was killed in between has left it.
    if trial.exists() {
        delete(trial)?;
    }
    if run("ip", &["netns", "add", trial.name()], "").is_err() {
        return Err(refused(
            "network namespaces are not allowed here, also not for root; run it outside of the container, or in a privileged one",
        ));
    }
    let has_nat = restore(trial, "iptables-restore", "*nat\nCOMMIT\n");
    delete(trial)?;
    has_nat.map_err(|_| refused("the kernel has no NAT for network namespaces"))
}

/// Whether namespaces can be changed.
pub(super) fn ensure_root() -> Result<()> {
    ensure!(
        Uid::effective().is_root(),
        "a network with routers belongs to root; run it as root"
    );
    Ok(())
}

fn is_there(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(tool).is_file())
}

/// Runs a program to its end; what it printed.
fn run(program: &str, args: &[&str], input: &str) -> Result<String> {
    let spawned = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("{program} is missing; install it with: scripts/setup --dev")
        }
        spawned => spawned.with_context(|| format!("cannot run {program}"))?,
    };
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it to its end says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let line = args.join(" ");
    ensure!(
        output.status.success(),
        "`{program} {line}` failed: {}",
        errors.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program inside.
pub(super) fn run_in(
    namespace: &Namespace,
    program: &str,
    args: &[&str],
    input: &str,
) -> Result<String> {
    let done = namespace.enter(|| run(program, args, input))?;
    done.with_context(|| format!("in the namespace {}", namespace.name()))
}

/// Replaces rules of a firewall: those of the tables that are named in them.
pub(super) fn restore(namespace: &Namespace, program: &str, rules: &str) -> Result<()> {
    run_in(namespace, program, &[], rules).map(drop)
}

/// Commands of `ip` for a namespace, one a line.
pub(super) fn ip(namespace: &Namespace, lines: &str) -> Result<()> {
    let name = namespace.name();
    run("ip", &["-n", name, "-batch", "-"], lines)
        .map(drop)
        .with_context(|| format!("in the namespace {name}: {}", lines.trim()))
}

/// A command of `tc` for a namespace.
pub(super) fn tc(namespace: &Namespace, args: &[&str]) -> Result<()> {
    run("tc", &[&["-n", namespace.name()], args].concat(), "").map(drop)
}

/// Sets a variable of the kernel in a namespace, by its path below /proc/sys/net.
pub(super) fn set(namespace: &Namespace, variable: &str, value: u8) -> Result<()> {
    let file = Path::new("/proc/sys/net").join(variable);
    let written = namespace.enter(|| fs::write(&file, value.to_string()))?;
    let name = namespace.name();
    written.with_context(|| format!("cannot set {} in the namespace {name}", file.display()))
}

/// Makes a namespace whose IPv6 addresses are of use at once, and not only when
/// nobody has objected for a second or two.
pub(super) fn add(namespace: &Namespace) -> Result<()> {
    let name = namespace.name();
    ensure!(
        !namespace.exists(),
        "the namespace {name} is there already, left by a command that was broken off; remove the network with: scripts/testnet down"
    );
    run("ip", &["netns", "add", name], "")?;
    set(namespace, "ipv6/conf/default/accept_dad", 0)
}

/// Ends what runs in a namespace, and deletes it with all its devices.
pub(super) fn delete(namespace: &Namespace) -> Result<()> {
    kill_all(namespace)?;
    run("ip", &["netns", "delete", namespace.name()], "").map(drop)
}

/// Ends what runs in a namespace. Nothing does but what was started for the lab.
pub(super) fn kill_all(namespace: &Namespace) -> Result<()> {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    for pid in run("ip", &["netns", "pids", namespace.name()], "")?.lines() {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(pid.trim().parse()?), Signal::SIGKILL);
    }
    Ok(())
}

pub(super) fn has_device(namespace: &Namespace, device: &str) -> bool {
    let shown = ["-n", namespace.name(), "link", "show", device];
    run("ip", &shown, "").is_ok()
}

/// The IPv4 address of an interface.
pub(super) fn address_of(namespace: &Namespace, device: &str) -> Result<String> {
    let name = namespace.name();
    let args = ["-n", name, "-json", "address", "show", device];
    let shown: serde_json::Value = serde_json::from_str(&run("ip", &args, "")?)?;
    let addresses = shown[0]["addr_info"].as_array();
    let of_ip4 = (addresses.into_iter().flatten()).find(|address| address["family"] == "inet");
    let local = of_ip4.and_then(|address| address["local"].as_str());
    let local = local.with_context(|| format!("{device} in {name} has no address"))?;
    Ok(local.to_owned())
}
