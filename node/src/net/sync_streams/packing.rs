//! Frames of a history on a slow line, compressed.
//!
//! Both ends must know it: a substream that was negotiated as
//! [`PACKED_PROTOCOL`] has a byte before each frame that says its form. Only the
//! sender knows whether it pays: not on a line that takes bytes faster than
//! they are compressed, and not for values that do not become smaller.

use bytes::Bytes;
use libp2p::StreamProtocol;
use tokio::time::{Duration, Instant};

/// Name of the protocol with packed frames.
pub const PACKED_PROTOCOL: StreamProtocol = StreamProtocol::new("/headwater/sync/2/zstd");

/// Bytes before a packed frame: its form.
pub(super) const FORM_BYTES: usize = 1;

const AS_IT_IS: u8 = 0;
const ZSTD: u8 = 1;

/// At level 1 numbers are compressed at 200 to 400 MB/s a core, to about half:
/// text JSON to a quarter.
const LEVEL: i32 = 1;

/// Bytes a second below which a line is slow. At this rate compressing takes a
/// tenth of one core.
const SLOW_LINE: u128 = 32 << 20;

/// A line is judged by what it took in this time.
const JUDGED_AFTER: Duration = Duration::from_millis(100);

/// Without anything to write for this long, the rate is measured anew.
const PAUSE: Duration = Duration::from_millis(500);

/// Below this a frame is not worth it: an offer, which has little but hashes,
/// and says nothing of the deliveries between which it stands.
const MIN_BYTES: usize = 16 * 1024;

/// Frames that are left as they are after one that did not become smaller by an
/// eighth, doubled each time up to the latter.
const FIRST_PASSED_OVER: u32 = 4;
const MAX_PASSED_OVER: u32 = 256;

/// Why a packed frame cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnpackError {
    /// An unknown form, or not what the form says.
    Malformed,
    /// It would have more than the largest frame's bytes.
    TooLarge(usize),
}

/// Decides for each frame of a lane whether it is compressed.
#[derive(Debug)]
pub(super) struct Packer {
    measured: Option<Measured>,
    is_slow: bool,
    /// Frames that are left as they are before the next attempt.
    passed_over: u32,
    /// How many after the next one that does not become smaller.
    next_passed_over: u32,
}

/// What a line takes.
#[derive(Clone, Copy, Debug)]
struct Measured {
    since: Instant,
    bytes: u128,
    last: Instant,
    /// It does not take any more now. The buffers below it take a megabyte at
    /// once, and then nothing for as long as that needs on its way.
    is_full: bool,
}

impl Default for Packer {
    fn default() -> Self {
        Self {
            measured: None,
            is_slow: false,
            passed_over: 0,
            next_passed_over: FIRST_PASSED_OVER,
        }
    }
}

impl Packer {
    /// The line took so many bytes now.
    pub(super) fn wrote(&mut self, bytes: usize, now: Instant) {
        let counts = |m: &Measured| m.is_full || now.duration_since(m.last) < PAUSE;
        let before = self.measured.filter(counts);
        let since = before.map_or(now, |before| before.since);
        let bytes = before.map_or(0, |before| before.bytes) + bytes as u128;
        let took = now.duration_since(since);
        let is_over = took >= JUDGED_AFTER;
        if is_over {
            self.is_slow = bytes * 1_000 < SLOW_LINE * took.as_millis();
        }
        self.measured = Some(Measured {
            since: if is_over { now } else { since },
            bytes: if is_over { 0 } else { bytes },
            last: now,
            is_full: false,
        });
    }

    /// The line takes no more for now.
    pub(super) fn full(&mut self) {
        if let Some(measured) = &mut self.measured {
            measured.is_full = true;
        }
    }

    /// The form of a frame, and its bytes in that form.
    pub(super) fn pack(&mut self, frame: Bytes) -> (u8, Bytes) {
        if !self.is_slow || frame.len() < MIN_BYTES {
            return (AS_IT_IS, frame);
        }
        if self.passed_over > 0 {
            self.passed_over -= 1;
            return (AS_IT_IS, frame);
        }
        // What does not fit is not smaller enough.
        let mut packed = vec![0; frame.len() - frame.len() / 8];
        match zstd_safe::compress(&mut packed[..], &frame, LEVEL) {
            Ok(bytes) => {
                packed.truncate(bytes);
                self.next_passed_over = FIRST_PASSED_OVER;
                (ZSTD, packed.into())
            }
            Err(_) => {
                self.passed_over = self.next_passed_over;
                self.next_passed_over = (2 * self.passed_over).min(MAX_PASSED_OVER);
                (AS_IT_IS, frame)
            }
        }
    }
}

/// How many bytes the frame has of which these are the form and the bytes; it is
/// not unpacked before there is room for it.
pub(super) fn unpacked_len(packed: &Bytes, max_bytes: usize) -> Result<usize, UnpackError> {
    match packed.split_first() {
        Some((&AS_IT_IS, body)) => Ok(body.len()),
        Some((&ZSTD, body)) => content_len(body, max_bytes),
        _ => Err(UnpackError::Malformed),
    }
}

/// The frame of which these are the form and the bytes.
pub(super) fn unpack(packed: &Bytes, max_bytes: usize) -> Result<Bytes, UnpackError> {
    let body = || packed.slice(FORM_BYTES..);
    match packed.first() {
        Some(&AS_IT_IS) => Ok(body()),
        Some(&ZSTD) => unpack_zstd(&body(), max_bytes),
        _ => Err(UnpackError::Malformed),
    }
}

/// What a zstd frame says that it will have.
fn content_len(body: &[u8], max_bytes: usize) -> Result<usize, UnpackError> {
    let Ok(Some(bytes)) = zstd_safe::get_frame_content_size(body) else {
        return Err(UnpackError::Malformed);
    };
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    match bytes > max_bytes {
        true => Err(UnpackError::TooLarge(bytes)),
        false => Ok(bytes),
    }
}

/// What is allocated is what the frame says that it will have, at most the
/// bytes of the largest frame.
fn unpack_zstd(body: &[u8], max_bytes: usize) -> Result<Bytes, UnpackError> {
    let bytes = content_len(body, max_bytes)?;
    let mut frame = vec![0; bytes];
    match zstd_safe::decompress(&mut frame[..], body) {
        Ok(count) if count == bytes => Ok(frame.into()),
        _ => Err(UnpackError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packer of a line that takes so many bytes a second.
    fn on_a_line_of(bytes_per_second: usize) -> Packer {
        let mut packer = Packer::default();
        let begin = Instant::now();
        for step in 0..=20 {
            let now = begin + step * Duration::from_millis(10);
            packer.wrote(bytes_per_second / 100, now);
        }
        packer
    }

    fn numbers() -> Bytes {
        let lines = (0..10_000).map(|n| format!("{},", 1_000 + n % 97));
        lines.collect::<String>().into()
    }

    /// Bytes that do not become smaller.
    fn noise() -> Bytes {
        let mut state = 7_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        std::iter::repeat_with(next).take(50_000).collect()
    }

    fn packed(packer: &mut Packer, frame: &Bytes) -> (u8, Bytes) {
        let (form, body) = packer.pack(frame.clone());
        let wire = [&[form][..], &body].concat().into();
        assert_eq!(unpack(&wire, frame.len()).as_ref(), Ok(frame));
        (form, body)
    }

    #[tokio::test]
    async fn frames_are_compressed_on_a_slow_line_alone() {
        let frame = numbers();
        let (form, body) = packed(&mut on_a_line_of(2 << 20), &frame);
        assert_eq!(form, ZSTD);
        assert!(body.len() < frame.len() / 4, "{} bytes", body.len());

        assert_eq!(packed(&mut on_a_line_of(200 << 20), &frame).0, AS_IT_IS);
        assert_eq!(packed(&mut Packer::default(), &frame).0, AS_IT_IS);
        // A line is not slow because there was nothing to send.
        let mut paused = on_a_line_of(200 << 20);
        let later = Instant::now() + 10 * PAUSE;
        paused.wrote(100, later);
        paused.wrote(100, later + 2 * PAUSE);
        assert_eq!(packed(&mut paused, &frame).0, AS_IT_IS);
        // But because it takes nothing for long.
        paused.full();
        paused.wrote(100, later + 20 * PAUSE);
        assert_eq!(packed(&mut paused, &frame).0, ZSTD);
        let small = frame.slice(..MIN_BYTES - 1);
        assert_eq!(packed(&mut on_a_line_of(1), &small).0, AS_IT_IS);
    }

    #[tokio::test]
    async fn what_does_not_become_smaller_is_tried_less_and_less() {
        let mut packer = on_a_line_of(1);
        let frame = noise();
        let mut attempts = Vec::new();
        for number in 0..1_000 {
            let before = packer.passed_over;
            assert_eq!(packed(&mut packer, &frame).0, AS_IT_IS);
            if packer.passed_over > before {
                attempts.push(number);
            }
        }
        assert_eq!(attempts[..4], [0, 5, 14, 31]);
        assert!(attempts.len() < 12, "{attempts:?}");
        // One that does is found again.
        let until_found = (0..=MAX_PASSED_OVER).find(|_| packed(&mut packer, &numbers()).0 == ZSTD);
        assert!(until_found.is_some());
        assert_eq!(packed(&mut packer, &numbers()).0, ZSTD);
    }

    #[test]
    fn a_frame_that_is_not_what_it_says_is_refused() {
        let wire = |form: u8, body: &[u8]| Bytes::from([&[form], body].concat());
        assert_eq!(unpack(&Bytes::new(), 10), Err(UnpackError::Malformed));
        assert_eq!(unpack(&wire(9, b"abc"), 10), Err(UnpackError::Malformed));
        assert_eq!(unpack(&wire(ZSTD, b"abc"), 10), Err(UnpackError::Malformed));

        let mut body = vec![0; 10_000];
        let frame = vec![7; 100_000];
        let bytes = zstd_safe::compress(&mut body[..], &frame, LEVEL).unwrap();
        body.truncate(bytes);
        assert_eq!(unpack(&wire(ZSTD, &body), 100_000), Ok(frame.into()));
        let too_large = Err(UnpackError::TooLarge(100_000));
        assert_eq!(unpack(&wire(ZSTD, &body), 99_999), too_large);
        let cut = &body[..body.len() - 1];
        assert_eq!(
            unpack(&wire(ZSTD, cut), 100_000),
            Err(UnpackError::Malformed)
        );
        // Two frames where one was announced.
        let twice = [&body[..], &body].concat();
        assert_eq!(
            unpack(&wire(ZSTD, &twice), 1 << 20),
            Err(UnpackError::Malformed)
        );
    }
}
