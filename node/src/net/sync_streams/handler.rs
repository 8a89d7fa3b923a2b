//! One connection: its outbound and inbound lanes.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::FutureExt as _;
use libp2p::{
    PeerId,
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, ConnectionId, StreamUpgradeError,
        SubstreamProtocol,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
};
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    Config, FrameSender, Lane, ProtocolError,
    heard::Heard,
    inbound::Inbound,
    outbound::{AfterFailure, OutboundLane},
    path::Path,
    upgrade::{Negotiated, Offered},
};

/// Bytes given to the muxer in a row before the connection reads again.
const WRITE_BUDGET_BYTES: usize = 256 * 1024;

/// From the behaviour, past the swarm, in the order of its calls.
#[derive(Debug)]
pub(super) enum Command {
    Frame(Lane, Bytes),
    /// Forget all frames before this one; later reports carry `epoch`.
    Discard {
        epoch: u64,
    },
}

/// From the behaviour, through the swarm: the peer was announced as ready.
#[derive(Clone, Copy, Debug)]
pub struct Accept;

/// From a handler to the behaviour.
#[derive(Debug)]
pub enum FromHandler {
    /// The control lane is open: the remote speaks the protocol.
    Open(Link),
    /// The muxer accepted frames queued in `epoch`.
    Sent {
        /// Number of the last `Discard`.
        epoch: u64,
        /// The lane.
        lane: Lane,
        /// What the frames cost.
        bytes: usize,
    },
    /// A lane broke; frames are lost, the connection may still be used.
    LaneLost,
    /// The connection is given up.
    Unusable,
    /// The remote broke the protocol.
    Misbehaved(ProtocolError),
    /// A lane does not move.
    Stalled,
}

/// A usable connection, as its handler presents it.
#[derive(Debug)]
pub struct Link {
    pub(super) outbox: mpsc::UnboundedSender<Command>,
    pub(super) path: Path,
    pub(super) place: Option<u64>,
    pub(super) heard: Arc<Heard>,
}

/// Runs the sync streams of one connection.
pub struct Handler {
    config: Arc<Config>,
    peer: PeerId,
    commands: mpsc::UnboundedReceiver<Command>,
    phase: Phase,
    epoch: u64,
    outbound: [OutboundLane; 3],
    inbound: Inbound,
    events: VecDeque<FromHandler>,
    timer: Option<Pin<Box<Sleep>>>,
    stall_reported: bool,
}

#[derive(Debug)]
enum Phase {
    /// The control lane has not been open yet.
    Opening(Link),
    Open,
    /// Not a sync peer, or given up.
    Closed,
}

type HandlerEvent = ConnectionHandlerEvent<Offered, Lane, FromHandler>;

impl Handler {
    pub(super) fn new(
        config: Arc<Config>,
        peer: PeerId,
        connection: ConnectionId,
        (path, place): (Path, Option<u64>),
        delivery: FrameSender,
    ) -> Self {
        let (outbox, commands) = mpsc::unbounded_channel();
        let write_buffer_bytes = config.write_buffer_bytes;
        let heard = Arc::new(Heard::new());
        let inbound = Inbound::new(peer, connection, delivery, heard.clone());
        let link = Link {
            outbox,
            path,
            place,
            heard,
        };
        Self {
            config,
            peer,
            commands,
            phase: Phase::Opening(link),
            epoch: 0,
            outbound: Lane::ALL.map(|lane| OutboundLane::new(lane, write_buffer_bytes)),
            inbound,
            events: VecDeque::new(),
            timer: None,
            stall_reported: false,
        }
    }

    fn take_commands(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
            match command {
                Command::Frame(lane, frame) => self.outbound[lane.index()].push(frame),
                Command::Discard { epoch } => {
                    self.epoch = epoch;
                    self.outbound.iter_mut().for_each(OutboundLane::discard);
                }
            }
        }
    }

    fn open_lanes(&mut self) -> Option<HandlerEvent> {
        let is_opening = matches!(self.phase, Phase::Opening(_));
        let lane = Lane::ALL.into_iter().find(|lane| {
            let eagerly = is_opening && *lane == Lane::Control;
            self.outbound[lane.index()].start_opening(eagerly)
        })?;
        Some(ConnectionHandlerEvent::OutboundSubstreamRequest {
            protocol: SubstreamProtocol::new(Offered::outbound(lane), lane),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        let mut budget = WRITE_BUDGET_BYTES;
        for lane in Lane::ALL {
            let outbound = &mut self.outbound[lane.index()];
            match outbound.write(cx, &mut budget) {
                Ok(()) => {
                    let (epoch, report) = (self.epoch, outbound.take_report());
                    let sent = report.map(|bytes| FromHandler::Sent { epoch, lane, bytes });
                    self.events.extend(sent);
                }
                Err(error) => {
                    self.lane_broke(lane, &error);
                    return;
                }
            }
        }
    }

    fn lane_broke(&mut self, lane: Lane, error: &io::Error) {
        tracing::debug!(peer = %self.peer, %lane, %error, "sync lane broke");
        match self.outbound[lane.index()].broken() {
            AfterFailure::Reopen => self.events.push_back(FromHandler::LaneLost),
            AfterFailure::GiveUp => self.give_up(),
        }
    }

    fn opening_failed(&mut self, lane: Lane, error: StreamUpgradeError<impl std::error::Error>) {
        let is_unsupported = matches!(error, StreamUpgradeError::NegotiationFailed);
        let after = self.outbound[lane.index()].opening_failed();
        tracing::debug!(peer = %self.peer, %lane, ?error, "sync lane did not open");
        if is_unsupported || after == AfterFailure::GiveUp {
            self.give_up();
        }
    }

    /// Ends all substreams. The remote's next writes fail, and it gives up too.
    fn give_up(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Open => self.events.push_back(FromHandler::Unusable),
            Phase::Opening(_) | Phase::Closed => {}
        }
        let write_buffer_bytes = self.config.write_buffer_bytes;
        self.outbound = Lane::ALL.map(|lane| OutboundLane::new(lane, write_buffer_bytes));
        self.inbound.shut();
        self.commands.close();
        while self.commands.try_recv().is_ok() {}
        self.timer = None;
    }

    fn misbehaved(&mut self, error: ProtocolError) {
        tracing::debug!(peer = %self.peer, %error, "sync peer misbehaved");
        self.inbound.shut();
        self.events.push_back(FromHandler::Misbehaved(error));
    }

    /// The stall watchdog and the inbound side's deadlines share one timer. It
    /// may ring early, after a lane has moved, and is then set again.
    fn watch(&mut self, cx: &mut Context<'_>) {
        let Some(deadline) = self.deadline() else {
            return;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline || timer.is_elapsed() {
            timer.as_mut().reset(deadline);
        }
        if timer.poll_unpin(cx).is_ready() {
            let now = Instant::now();
            if self.stalls_at().is_some_and(|stalls| stalls <= now) {
                self.stall_reported = true;
                self.events.push_back(FromHandler::Stalled);
            }
            if let Err(error) = self.inbound.expire(now, &self.config) {
                self.misbehaved(error);
            }
            cx.waker().wake_by_ref();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        [self.stalls_at(), self.inbound.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn stalls_at(&self) -> Option<Instant> {
        let timeout = self.config.stall_timeout;
        let outbound = self.outbound.iter();
        let outbound = outbound.filter_map(|lane| lane.stalls_at(timeout));
        let first = outbound.chain(self.inbound.stalls_at(timeout)).min();
        first.filter(|_| !self.stall_reported)
    }

    /// Whether questions are read: not from whoever leaves the answers. Deliveries
    /// and other answers go on, so that two who both have much for each other do
    /// not wait for each other.
    fn takes_questions(&self) -> bool {
        let untaken: usize = self.outbound.iter().map(OutboundLane::queued_cost).sum();
        untaken <= self.config.max_untaken_bytes
    }

    fn claim(&self, mut negotiated: Negotiated) -> Negotiated {
        if !self.config.keep_alive {
            negotiated.stream.ignore_for_keep_alive();
        }
        negotiated
    }

    fn opened(&mut self, lane: Lane, negotiated: Negotiated) {
        let negotiated = self.claim(negotiated);
        match std::mem::replace(&mut self.phase, Phase::Open) {
            // Only the control lane is requested before.
            Phase::Opening(link) => self.events.push_back(FromHandler::Open(link)),
            Phase::Open => {}
            Phase::Closed => {
                self.phase = Phase::Closed;
                return;
            }
        }
        self.outbound[lane.index()].opened(negotiated);
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Accept;
    type ToBehaviour = FromHandler;
    type InboundProtocol = Offered;
    type OutboundProtocol = Offered;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Lane;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(Offered::INBOUND, ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.config.keep_alive && matches!(self.phase, Phase::Open)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<HandlerEvent> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        if matches!(self.phase, Phase::Closed) {
            return Poll::Pending;
        }
        self.take_commands(cx);
        if let Some(request) = self.open_lanes() {
            return Poll::Ready(request);
        }
        self.write(cx);
        let takes_questions = self.takes_questions();
        if let Err(error) = self.inbound.poll(cx, &self.config, takes_questions) {
            self.misbehaved(error);
        }
        self.watch(cx);
        match self.events.pop_front() {
            Some(event) => Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event)),
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, Accept: Accept) {
        self.inbound.open_gate();
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<Self::InboundProtocol, Self::OutboundProtocol, (), Lane>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) => {
                let negotiated = self.claim(protocol);
                self.inbound.accept(negotiated);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol,
                info,
            }) => self.opened(info, protocol),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                self.opening_failed(info, error);
            }
            // An inbound negotiation cannot fail after the protocol is agreed
            // upon; nothing here depends on addresses or other protocols. (The
            // enum is non-exhaustive.)
            _ => {}
        }
    }
}
