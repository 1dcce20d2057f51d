//! Any bytes of an HTTP/2 connection, read in pieces of any length: what is passed on is what came, and what is counted is what a plain
//! reading of the whole counts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, ReadBuf};

// The files themselves: they need nothing of the edge, and the edge takes long to compile with sanitizers.
#[allow(dead_code)]
#[path = "../../src/protocol/h2/seen.rs"]
mod seen;
#[allow(dead_code)]
#[path = "../../src/protocol/h2/unheard.rs"]
mod unheard;
#[allow(dead_code)]
#[path = "../../src/protocol/h2/watch.rs"]
mod watch;

/// Gives so many bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = self.1.min(self.0.len()).min(buf.remaining());
        let (now, later) = self.0.split_at(count);
        buf.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

/// Frame by frame: how many did nothing. `None`: it does not begin with SETTINGS. RFC 9113, sections 3.4, 4.1 and 6.
fn model(bytes: &[u8]) -> Option<u64> {
    let mut rest = bytes.get(24..).unwrap_or_default();
    let (mut glitches, mut first) = (0, true);
    while let [a, b, c, kind, flags, _, _, _, _, payload @ ..] = rest {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let end = flags & 1 != 0;
        if first {
            if *kind != 4 || end {
                return None;
            }
        } else {
            glitches += u64::from(match kind {
                0 => length == 0 && !end,
                1 => false,
                4 | 6 => !end,
                // A window that is opened by less than 128 bytes; of what has not come whole nothing is known yet.
                8 if length == 4 => payload.get(..4).is_some_and(|four| u32::from_be_bytes(four.try_into().unwrap()) < 128),
                _ => true,
            });
        }
        first = false;
        rest = payload.get(length..).unwrap_or_default();
    }
    Some(glitches)
}

fuzz_target!(|data: &[u8]| {
    let [step, room, bytes @ ..] = data else { return };
    let seen = Rc::new(seen::Seen::default());
    let mut io = watch::Watched::new(Pieces(bytes, usize::from(*step) + 1), seen.clone());
    let mut context = Context::from_waker(Waker::noop());
    let (mut passed, mut space) = (Vec::new(), [0; 256]);
    let malformed = loop {
        let mut buf = ReadBuf::new(&mut space[..usize::from(*room) + 1]);
        match pin!(&mut io).poll_read(&mut context, &mut buf) {
            Poll::Ready(Ok(())) if buf.filled().is_empty() => break false,
            Poll::Ready(Ok(())) => passed.extend_from_slice(buf.filled()),
            Poll::Ready(Err(_)) => break true,
            Poll::Pending => unreachable!("there are always bytes"),
        }
    };
    let expected = model(bytes);
    assert_eq!(malformed, expected.is_none());
    if let Some(glitches) = expected {
        assert_eq!(passed, bytes);
        assert_eq!(seen.too_many(1), glitches > 1);
        assert_eq!(seen.take_all(), glitches);
    }
});
