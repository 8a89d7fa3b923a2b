//! What goes through relays: counted, and under a rate limit of the whole node, because
//! it is somebody else's bandwidth.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::net::limits::RELAYED_BURST;

/// Bytes that are moved between two looks at the bound: one frame of yamux.
const STEP: usize = 16 * 1024;

/// Counts what goes through relays in both directions, and says when more may.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::net) struct CircuitMeter {
    bytes_per_second: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    bytes: u64,
    /// When the allowance is whole again.
    whole_at: Instant,
    /// Something had to wait since this was last asked.
    waited: bool,
}

impl CircuitMeter {
    /// Lets this many bytes through a second, and [`RELAYED_BURST`] at once.
    pub(in crate::net) fn new(bytes_per_second: u64) -> Self {
        let state = State {
            bytes: 0,
            whole_at: Instant::now(),
            waited: false,
        };
        Self {
            bytes_per_second: bytes_per_second.max(1),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Bytes that went through relays since the node started.
    pub(super) fn bytes(&self) -> u64 {
        self.with(|state| state.bytes)
    }

    /// The bound, in bytes a second.
    pub(super) fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// Whether something has waited for the bound since this was last asked.
    pub(super) fn take_waited(&self) -> bool {
        self.with(|state| std::mem::take(&mut state.waited))
    }

    /// When more may go; `None` for now.
    fn next(&self, now: Instant) -> Option<Instant> {
        let burst = self.time_of(RELAYED_BURST);
        self.with(|state| {
            let next = state.whole_at.checked_sub(burst)?;
            let must_wait = next > now;
            state.waited |= must_wait;
            must_wait.then_some(next)
        })
    }

    fn moved(&self, bytes: usize, now: Instant) {
        let bytes = bytes as u64;
        let time = self.time_of(bytes);
        self.with(|state| {
            state.bytes = state.bytes.saturating_add(bytes);
            state.whole_at = state.whole_at.max(now) + time;
        });
    }

    /// The time in which this many bytes may go.
    fn time_of(&self, bytes: u64) -> Duration {
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection through a relay, under a meter.
#[derive(Debug)]
pub(in crate::net) struct MeteredCircuit<C> {
    circuit: C,
    meter: CircuitMeter,
    /// Reader and writer may be different tasks, so that each has its own.
    before_read: Pause,
    before_write: Pause,
}

/// A wait for the allowance.
#[derive(Debug, Default)]
struct Pause(Option<Pin<Box<Sleep>>>);

impl Pause {
    fn poll(&mut self, meter: &CircuitMeter, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(next) = meter.next(Instant::now()) {
            let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(next)));
            sleep.as_mut().reset(next);
            ready!(sleep.as_mut().poll(cx));
        }
        self.0 = None;
        Poll::Ready(())
    }
}

impl<C> MeteredCircuit<C> {
    pub(in crate::net) fn new(circuit: C, meter: CircuitMeter) -> Self {
        Self {
            circuit,
            meter,
            before_read: Pause::default(),
            before_write: Pause::default(),
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for MeteredCircuit<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.before_read.poll(&this.meter, cx));
        let room = buffer.len().min(STEP);
        let bytes = ready!(Pin::new(&mut this.circuit).poll_read(cx, &mut buffer[..room]))?;
        this.meter.moved(bytes, Instant::now());
        Poll::Ready(Ok(bytes))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for MeteredCircuit<C> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.before_write.poll(&this.meter, cx));
        let step = &buffer[..buffer.len().min(STEP)];
        let bytes = ready!(Pin::new(&mut this.circuit).poll_write(cx, step))?;
        this.meter.moved(bytes, Instant::now());
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().circuit).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().circuit).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::io::{repeat, sink};
    use futures::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BURST: usize = RELAYED_BURST as usize;

    #[test]
    fn after_its_burst_a_node_keeps_to_its_rate() {
        let meter = CircuitMeter::new(1_000);
        let now = Instant::now();
        assert_eq!(meter.next(now), None);
        meter.moved(BURST, now);
        assert_eq!(meter.next(now), None);
        assert!(!meter.take_waited());
        meter.moved(5_000, now);
        assert_eq!(meter.next(now), Some(now + 5 * SECOND));
        assert!(meter.take_waited() && !meter.take_waited());
        assert_eq!(meter.next(now + 5 * SECOND), None);
        assert_eq!(meter.bytes(), RELAYED_BURST + 5_000);
        // However long it was quiet, no more than the burst goes at once.
        let later = now + 1_000_000 * SECOND;
        meter.moved(BURST, later);
        meter.moved(1_000, later);
        assert_eq!(meter.next(later), Some(later + SECOND));
    }

    #[tokio::test]
    async fn all_circuits_share_one_bound_in_both_directions() {
        const RATE: u64 = 64 << 20;
        const MORE: usize = 8 << 20;
        let meter = CircuitMeter::new(RATE);
        let started = Instant::now();
        let mut written = MeteredCircuit::new(sink(), meter.clone());
        written.write_all(&vec![7; BURST]).await.unwrap();
        let mut read = MeteredCircuit::new(repeat(7), meter.clone());
        let mut bytes = vec![0; MORE];
        read.read_exact(&mut bytes).await.unwrap();
        written.write_all(&bytes).await.unwrap();
        assert_eq!(meter.bytes(), (BURST + 2 * MORE) as u64);
        // All but the last step had to wait until there was room for it.
        let at_least = SECOND * 2 * (MORE - STEP) as u32 / RATE as u32;
        assert!(started.elapsed() >= at_least, "{:?}", started.elapsed());
    }
}
