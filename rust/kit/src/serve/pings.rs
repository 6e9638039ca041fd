//! Keepalive enforcement: a client that pings more often than every ten seconds loses its connection, as with gRPC's own
//! servers (proposal A8). hyper does not tell of pings, so the frames are counted as they pass by.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::router::Activity;

const LEAST_INTERVAL: Duration = Duration::from_secs(10);
/// As many early pings are forgiven, since a client may be slow to notice that it has become idle.
const FORGIVEN: u32 = 2;
/// A write of more bytes than this carries a message or a part of one: acknowledgements and window updates are smaller. A
/// message leaves in many writes, and a client that measures bandwidth pings in the midst of them.
const DATA_WRITE: usize = 256;
const PREFACE: usize = 24;
const HEADER: usize = 9;
const PING: u8 = 6;
const ACK: u8 = 1;

/// A connection that ends with an error when its peer pings too often.
pub(super) struct Guarded<IO> {
    io: IO,
    /// Set by whoever sends data: clients that measure bandwidth ping while they receive, which is allowed.
    activity: Activity,
    frames: Frames,
    last: Option<Instant>,
    strikes: u32,
}

impl<IO> Guarded<IO> {
    pub(super) fn new(io: IO, activity: Activity) -> Self {
        Self { io, activity, frames: Frames::new(), last: None, strikes: 0 }
    }

    /// Notes what was written, which may be a part of a message.
    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        if matches!(polled, Poll::Ready(Ok(bytes)) if *bytes > DATA_WRITE) {
            self.activity.store(true, Ordering::Relaxed);
        }
    }

    /// Whether these pings may have come now.
    fn allow(&mut self, pings: usize, now: Instant) -> bool {
        for _ in 0..pings {
            if self.activity.swap(false, Ordering::Relaxed) {
                self.strikes = 0;
            } else if self.last.is_some_and(|last| now.saturating_duration_since(last) < LEAST_INTERVAL) {
                self.strikes += 1;
            }
            self.last = Some(now);
        }
        self.strikes <= FORGIVEN
    }
}

/// Where in the stream of frames the reader is.
struct Frames {
    /// Bytes of the preface or of a payload still to skip.
    skip: usize,
    header: [u8; HEADER],
    filled: usize,
}

impl Frames {
    fn new() -> Self {
        Self { skip: PREFACE, header: [0; HEADER], filled: 0 }
    }

    /// Counts the pings that begin in `bytes`.
    fn pings(&mut self, mut bytes: &[u8]) -> usize {
        let mut pings = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEADER {
                let [a, b, c, kind, flags, ..] = self.header;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                self.filled = 0;
                pings += usize::from(kind == PING && flags & ACK == 0);
            }
        }
        pings
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guarded<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = polled {
            let pings = self.frames.pings(&buf.filled()[before..]);
            if pings > 0 && !self.allow(pings, Instant::now()) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "too many pings")));
            }
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Guarded<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 0];
        frame.resize(HEADER + payload, PING);
        frame
    }

    #[test]
    fn pings_are_counted_however_the_bytes_are_cut() {
        let mut stream = vec![PING; PREFACE];
        for part in [frame(4, 0, 12), frame(PING, 0, 8), frame(0, 0, 1000), frame(PING, ACK, 8), frame(PING, 0, 8)] {
            stream.extend(part);
        }
        for size in [1, 2, 8, 9, 10, 1000, stream.len()] {
            let mut frames = Frames::new();
            assert_eq!(stream.chunks(size).map(|chunk| frames.pings(chunk)).sum::<usize>(), 2, "chunks of {size}");
        }
    }

    #[test]
    fn pings_too_close_together_are_refused_unless_data_was_sent() {
        let activity = Activity::default();
        let mut guarded = Guarded::new(tokio::io::empty(), activity.clone());
        let start = Instant::now();
        for n in 0..5 {
            assert!(guarded.allow(1, start + LEAST_INTERVAL * n), "a ping every ten seconds is allowed");
        }
        let now = start + LEAST_INTERVAL * 4;
        for _ in 0..10 {
            activity.store(true, Ordering::Relaxed);
            assert!(guarded.allow(1, now), "a ping after data is allowed");
        }
        assert!(guarded.allow(2, now));
        assert!(!guarded.allow(1, now));
    }

    #[test]
    fn ping_between_the_parts_of_a_message_is_allowed() {
        let mut guarded = Guarded::new(tokio::io::empty(), Activity::default());
        let now = Instant::now();
        for _ in 0..10 {
            guarded.wrote(&Poll::Ready(Ok(16_384)));
            assert!(guarded.allow(1, now));
        }
        for acknowledged in 0..4 {
            guarded.wrote(&Poll::Ready(Ok(17)));
            assert_eq!(guarded.allow(1, now), acknowledged < 2, "an acknowledgement is no message");
        }
    }
}
