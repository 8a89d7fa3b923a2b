//! A long cable for the NAT lab: two Ethernet devices, and what goes into one
//! comes out of the other some time later. (The kernel's own means, netem, is
//! missing from many kernels.)

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// Frames on their way in each direction: a second of 100 Mbit/s. More are lost,
/// as in any router.
const ON_THE_WAY: usize = 8_192;

/// Longest frame: of Ethernet without jumbo frames, and a tag.
const FRAME_BYTES: usize = 1_522;

/// Pause while a device is down, as it is when the network is cut.
const DOWN: Duration = Duration::from_millis(10);

/// Joins two new Ethernet devices, until it is killed.
#[derive(Debug, Parser)]
struct Args {
    /// How long each frame is on its way, in milliseconds
    delay_ms: u64,
    /// Name of the device at one end
    one: String,
    /// Name of the device at the other end
    other: String,
}

/// A frame, and when it arrives.
type Frame = (Instant, Vec<u8>);

fn main() -> Result<()> {
    let args = Args::parse();
    let delay = Duration::from_millis(args.delay_ms);
    let ends = [device(&args.one)?, device(&args.other)?].map(Arc::new);
    let [one, other] = &ends;
    let threads = [(one, other), (other, one)].map(|(from, to)| {
        let (sender, receiver) = sync_channel(ON_THE_WAY);
        let (from, to) = (from.clone(), to.clone());
        thread::spawn(move || take(&from, &sender, delay));
        thread::spawn(move || deliver(&receiver, &to))
    });
    for thread in threads {
        // They end only when they panic.
        thread.join().ok().context("a direction has failed")?;
    }
    Ok(())
}

fn device(name: &str) -> Result<SyncDevice> {
    let device = DeviceBuilder::new()
        .name(name)
        .layer(Layer::L2)
        .build_sync();
    device.with_context(|| format!("cannot make the device {name}; this needs root"))
}

fn take(from: &SyncDevice, sender: &SyncSender<Frame>, delay: Duration) {
    let mut buffer = [0; FRAME_BYTES];
    loop {
        match from.recv(&mut buffer) {
            Ok(size) => {
                // A full queue loses the frame.
                let _ = sender.try_send((Instant::now() + delay, buffer[..size].to_vec()));
            }
            Err(_) => thread::sleep(DOWN),
        }
    }
}

/// All frames take as long, so the first in is the first out.
fn deliver(receiver: &Receiver<Frame>, to: &SyncDevice) {
    while let Ok((due, frame)) = receiver.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // While the device is down the frame is lost.
        let _ = to.send(&frame);
    }
}
