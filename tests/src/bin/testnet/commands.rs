//! The commands.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use headwater_tests::binary;
use headwater_tests::lab::{Event, GONE, Kind, Network, Place, Transport};
use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use crate::folder::{Folder, NO_NETWORK, Stage, State};
use crate::node::Node;
use crate::words::{note, since, step};
use crate::{stream, table};

/// The node that introduces the others.
const FIRST: usize = 1;

/// The node that publishes the stream.
const PUBLISHER: usize = 2;

/// How long nodes may take to end by themselves.
const ENDS: Duration = Duration::from_secs(10);

/// How long the system may take to end one.
const DIES: Duration = Duration::from_secs(5);

const NO_ROUTERS: &str =
    "the network has no routers; start one with: scripts/testnet up N --nat KIND";

/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Puts a network up.
pub(crate) fn up(folder: &Folder, count: usize, kinds: &[Kind], bare: bool) -> Result<()> {
    let mut network = folder.network(Vec::new());
    ensure_nothing_is_there(folder, &network)?;
    if !kinds.is_empty() {
        network.ensure_has_places(count)?;
    }
    if !bare {
        ensure_binary()?;
    }
    let _claim = folder.create()?;
    // Another one may have been faster.
    ensure_nothing_is_there(folder, &network)?;
    let mut state = State {
        stage: Stage::Starting { stream: None },
        places: Vec::new(),
    };
    folder.keep(&state)?;
    // One at a time tries what the machine allows.
    if !kinds.is_empty()
        && let Err(error) = network.allowed()
    {
        folder.remove()?;
        return Err(error);
    }
    say_what_is_left_at_a_signal(folder)?;
    put_up(folder, &mut state, &mut network, (count, kinds), bare)
        .map_err(|error| anyhow!("{error:#}\n{}", left(folder)))
}

fn put_up(
    folder: &Folder,
    state: &mut State,
    network: &mut Network,
    (count, kinds): (usize, &[Kind]),
    bare: bool,
) -> Result<()> {
    let began = Instant::now();
    if !kinds.is_empty() {
        step("putting up the network");
        network.up(count, kinds)?;
        network.places().clone_into(&mut state.places);
        note(&format!("it is there after {}", since(began)));
    }
    if bare {
        state.stage = Stage::Bare;
        return folder.keep(state);
    }
    folder.keep(state)?;

    step(&format!("starting {count} nodes"));
    let node = |number| folder.node(number, &state.places);
    // It holds and forwards the stream like everybody: with the publisher it is
    // the one that all the others know.
    let first = node(FIRST);
    start(&first, None, &state.places)?;
    let others: Vec<_> = (2..=count).map(node).collect();
    in_parallel(&others, |node| start(node, Some(&first), &state.places))?;
    note(&format!("all listen after {}", since(began)));

    step("publishing, following, syncing");
    let publisher = node(PUBLISHER);
    let stream = stream::create(&publisher)?;
    state.stage = Stage::Starting {
        stream: Some(stream.clone()),
    };
    folder.keep(state)?;
    stream::publish(&publisher, &stream)?;
    let others: Vec<_> = (1..=count)
        .filter(|number| *number != PUBLISHER)
        .map(node)
        .collect();
    in_parallel(&others, |node| stream::follow(node, &stream, &publisher))?;
    note(&format!("all hold the stream after {}", since(began)));
    state.stage = Stage::Complete { stream };
    folder.keep(state)?;
    show(folder, state)
}

fn ensure_nothing_is_there(folder: &Folder, network: &Network) -> Result<()> {
    let path = folder.path().display();
    if folder.has_network() {
        if let Ok(Stage::Starting { .. }) = folder.state().map(|state| state.stage) {
            ensure!(
                !folder.is_claimed(),
                "a network is being started there by another scripts/testnet"
            );
            bail!(
                "the start of a network was broken off in {path}; remove what is left with: scripts/testnet down"
            );
        }
        bail!(
            "a network is there already (scripts/testnet status); end it with: scripts/testnet down"
        );
    }
    // Nodes write into a folder that was taken from them.
    let (spaces, running) = (network.namespaces(), folder.running()?);
    ensure!(
        spaces.is_empty() && running.is_empty(),
        "{} and {} of an earlier network of {path} are left; remove them with: scripts/testnet down",
        counted(spaces.len(), "network namespace"),
        counted(running.len(), "node")
    );
    ensure!(
        folder.is_empty()?,
        "{path} is in use by something else; name another folder in HEADWATER_TESTNET_DIR"
    );
    Ok(())
}

/// A program that is told to end while it puts a network up says what it leaves.
fn say_what_is_left_at_a_signal(folder: &Folder) -> Result<()> {
    let left = left(folder);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let inside = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    drop(inside);
    thread::spawn(move || {
        let status = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
                _ = hang_up.recv() => 129,
            }
        });
        eprintln!("{left}");
        std::process::exit(status);
    });
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

fn left(folder: &Folder) -> String {
    let path = folder.path().display();
    format!(
        "What was started is still there, nodes with their logs in {path}/*/log.\nRemove it with: scripts/testnet down"
    )
}

/// Says what each node is doing.
pub(crate) fn status(folder: &Folder) -> Result<()> {
    let state = folder.state()?;
    ensure_binary()?;
    show(folder, &state)?;
    if matches!(state.stage, Stage::Starting { .. }) && !folder.is_claimed() {
        eprintln!(
            "testnet: the start of this network was broken off; remove what is left with: scripts/testnet down"
        );
    }
    if !state.places.is_empty() && !folder.network(Vec::new()).is_there() {
        eprintln!("testnet: {GONE}");
    }
    Ok(())
}

fn show(folder: &Folder, state: &State) -> Result<()> {
    let mut running = folder.running()?;
    let nodes = folder.nodes()?.into_iter().map(|number| {
        let node = folder.node(number, &state.places);
        (node, running.remove(&number))
    });
    let nodes: Vec<_> = nodes.collect();
    table::write(&nodes, state.stream(), &state.places);
    Ok(())
}

/// Starts one more node, which follows the stream as well.
pub(crate) fn add(folder: &Folder, kind: Option<Kind>) -> Result<()> {
    let mut state = folder.state()?;
    let _claim = folder.claim()?;
    let stream = match &state.stage {
        Stage::Complete { stream } => stream.clone(),
        Stage::Bare => bail!(
            "the network has no nodes (up --bare), so that no other can join them; start your own at the places in {}/places",
            folder.path().display()
        ),
        Stage::Starting { .. } => bail!(
            "the start of this network was broken off; remove what is left with: scripts/testnet down"
        ),
    };
    let placed = state.places.iter().map(|place| place.node);
    let number = folder.nodes()?.into_iter().chain(placed).max().unwrap_or(0) + 1;
    match (kind, state.places.is_empty()) {
        (None, false) => bail!(
            "say behind which router: scripts/testnet add KIND, one of: {}",
            Kind::names()
        ),
        (Some(_), true) => bail!("{NO_ROUTERS}"),
        _ => {}
    }
    ensure_binary()?;
    let introducer = introducer(folder, &state.places)?;
    let from = source(folder, &state.places)?;
    if let Some(kind) = kind {
        let mut network = folder.network(state.places.clone());
        network.allowed()?;
        network.add(number, kind, number)?;
        network.places().clone_into(&mut state.places);
        folder.keep(&state)?;
    }
    step(&format!("starting node {number}"));
    let node = folder.node(number, &state.places);
    start(&node, Some(&introducer), &state.places)?;
    stream::follow(&node, &stream, &from)?;
    show(folder, &state)
}

/// Ends a node at once.
pub(crate) fn kill(folder: &Folder, number: usize) -> Result<()> {
    let state = folder.state()?;
    let nodes = folder.nodes()?;
    if !nodes.contains(&number) {
        let nodes: Vec<_> = nodes.iter().map(usize::to_string).collect();
        let nodes = match &nodes[..] {
            [] => "none".to_owned(),
            nodes => nodes.join(" "),
        };
        bail!("there is no node {number}; there are: {nodes}");
    }
    let running = folder.running()?;
    let pid = running.get(&number);
    let pid = pid.with_context(|| format!("node {number} does not run"))?;
    send(number, *pid, Signal::SIGKILL)?;
    let until = Instant::now() + DIES;
    while folder.running()?.contains_key(&number) {
        ensure!(
            Instant::now() < until,
            "node {number} (process {pid}) does not end within {DIES:?} of SIGKILL"
        );
        thread::sleep(LOOK_AGAIN);
    }
    let data = folder.node(number, &state.places).data();
    note(&format!(
        "killed node {number}; its data is in {}",
        data.display()
    ));
    Ok(())
}

/// Ends a node at once, if it runs, and starts it again.
pub(crate) fn restart(folder: &Folder, number: usize) -> Result<()> {
    let state = folder.state()?;
    let _claim = folder.claim()?;
    let network = routed(folder, &state)?;
    network.place(number)?;
    ensure!(network.is_there(), "{GONE}");
    ensure!(
        !matches!(state.stage, Stage::Bare),
        "the network has no nodes (up --bare); node {number} is yours to start"
    );
    ensure_binary()?;
    if folder.running()?.contains_key(&number) {
        kill(folder, number)?;
    }
    let first = folder.node(FIRST, &state.places);
    let introducer = (number != FIRST).then_some(&first);
    start(
        &folder.node(number, &state.places),
        introducer,
        &state.places,
    )?;
    note(&format!("started node {number} again"));
    Ok(())
}

/// Lets something happen to a network with routers.
pub(crate) fn happen(folder: &Folder, event: &Event) -> Result<()> {
    let mut state = folder.state()?;
    let _claim = folder.claim()?;
    let mut network = routed(folder, &state)?;
    network.apply(event)?;
    network.places().clone_into(&mut state.places);
    folder.keep(&state)
}

/// The network behind routers, of one that has them.
fn routed(folder: &Folder, state: &State) -> Result<Network> {
    ensure!(!state.places.is_empty(), "{NO_ROUTERS}");
    Ok(folder.network(state.places.clone()))
}

/// Ends and removes whatever there is, also what is left after a crash.
pub(crate) fn down(folder: &Folder) -> Result<()> {
    let network = folder.network(Vec::new());
    let (spaces, running) = (network.namespaces(), folder.running()?);
    let is_ours = folder.has_network();
    if !is_ours && spaces.is_empty() && running.is_empty() {
        bail!("{NO_NETWORK}");
    }
    let _claim = match folder.path().exists() {
        true => Some(folder.claim()?),
        false => None,
    };
    stop_all(folder)?;
    network.down()?;
    let path = folder.path().display();
    if !is_ours {
        folder.remove_remains(running.keys())?;
        note(&format!(
            "stopped {} and removed {} that an earlier network of {path} had left",
            counted(running.len(), "node"),
            counted(spaces.len(), "network namespace")
        ));
        return Ok(());
    }
    let nodes = folder.nodes()?;
    for node in &nodes {
        folder.remove_node(*node)?;
    }
    folder.remove()?;
    note(&format!("stopped {} nodes and removed {path}", nodes.len()));
    Ok(())
}

/// SIGTERM to all nodes at once, and SIGKILL to those that have not ended in time.
fn stop_all(folder: &Folder) -> Result<()> {
    for (node, pid) in folder.running()? {
        send(node, pid, Signal::SIGTERM)?;
    }
    let mut left = ended_within(folder, ENDS)?;
    for (node, pid) in &left {
        eprintln!("testnet: node {node} did not end on SIGTERM and was killed");
        send(*node, *pid, Signal::SIGKILL)?;
    }
    if !left.is_empty() {
        left = ended_within(folder, DIES)?;
    }
    ensure!(
        left.is_empty(),
        "these nodes do not end, not even on SIGKILL (node: process): {left:?}"
    );
    Ok(())
}

/// Waits until all nodes have ended; those that have not.
fn ended_within(folder: &Folder, limit: Duration) -> Result<BTreeMap<usize, Pid>> {
    let until = Instant::now() + limit;
    loop {
        let running = folder.running()?;
        if running.is_empty() || Instant::now() > until {
            return Ok(running);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Sends a signal to a node that was seen to run a moment ago.
fn send(node: usize, pid: Pid, signal: Signal) -> Result<()> {
    match signal::kill(pid, signal) {
        // It has ended by itself.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| {
            format!(
                "node {node} (process {pid}) cannot be ended; call again as its user, or as root"
            )
        }),
    }
}

/// Starts a node: the first one without anybody to introduce it.
fn start(node: &Node, introducer: Option<&Node>, places: &[Place]) -> Result<()> {
    let place = places.iter().find(|place| place.node == node.number);
    let mut args = Vec::new();
    if introducer.is_none() {
        let relays = if place.is_some() { ",relay" } else { "" };
        args.extend(["--role".to_owned(), format!("peer,bootstrap{relays}")]);
    }
    args.push("--listen".to_owned());
    match place {
        None => args.push("/ip4/127.0.0.1/tcp/0".to_owned()),
        Some(place) => args.extend(Transport::All.listen(place.port)),
    }
    match (introducer, place) {
        (Some(introducer), _) => args.extend(["--bootstrap".to_owned(), introducer.address()?]),
        (None, Some(place)) => {
            args.push("--external".to_owned());
            args.extend(Transport::All.at(place));
        }
        (None, None) => {}
    }
    node.start(&args)
}

/// Who introduces a newcomer: any node can, so the first one may have been killed.
/// Behind routers it is the only one that everybody can reach.
fn introducer(folder: &Folder, places: &[Place]) -> Result<Node> {
    if places.is_empty() {
        first_that_runs(folder, places)
    } else {
        Ok(folder.node(FIRST, places))
    }
}

/// Whose invite is taken: the publisher's, or that of whoever else runs.
fn source(folder: &Folder, places: &[Place]) -> Result<Node> {
    if folder.running()?.contains_key(&PUBLISHER) {
        return Ok(folder.node(PUBLISHER, places));
    }
    first_that_runs(folder, places)
}

fn first_that_runs(folder: &Folder, places: &[Place]) -> Result<Node> {
    let running = folder.running()?;
    let first = running.keys().next();
    let first = first.context(
        "no node of the network runs; end it with scripts/testnet down, and start another",
    )?;
    Ok(folder.node(*first, places))
}

fn ensure_binary() -> Result<()> {
    let binary = binary();
    ensure!(
        binary.is_file(),
        "{} is missing; build it with: scripts/demo",
        binary.display()
    );
    Ok(())
}

/// Does something with every node at once; all errors, after all have ended.
fn in_parallel(nodes: &[Node], work: impl Fn(&Node) -> Result<()> + Sync) -> Result<()> {
    let ended: Vec<_> = thread::scope(|scope| {
        let begun: Vec<_> = (nodes.iter())
            .map(|node| scope.spawn(|| work(node)))
            .collect();
        begun.into_iter().map(|work| work.join()).collect()
    });
    let mut errors = Vec::new();
    for ended in ended {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => errors.push(format!("{error:#}")),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    ensure!(errors.is_empty(), "{}", errors.join("\ntestnet: "));
    Ok(())
}
