//! A coder that takes its bytes in parts and gives what it has when it is asked to.

use super::{Coding, coding};
use std::io::{self, Write};

/// What a coder writes to.
type Out = Vec<u8>;

pub enum Encoder {
    Br(Box<brotli::CompressorWriter<Out>>),
    Zstd(zstd::stream::write::Encoder<'static, Out>),
    Gzip(flate2::write::GzEncoder<Out>),
}

impl Encoder {
    pub fn new(coding: Coding, level: u8) -> io::Result<Self> {
        Ok(match coding {
            Coding::Br => {
                let level = u32::from(level.min(11));
                Self::Br(Box::new(brotli::CompressorWriter::new(Out::new(), 4096, level, coding::WINDOW)))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Out::new(), i32::from(level.clamp(1, 19)))?;
                // A stream's memory is twice its window.
                encoder.window_log(coding::WINDOW)?;
                Self::Zstd(encoder)
            }
            Coding::Gzip => {
                let level = flate2::Compression::new(u32::from(level.clamp(1, 9)));
                Self::Gzip(flate2::write::GzEncoder::new(Out::new(), level))
            }
        })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Br(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
        }
    }

    /// What was written so far can be read when what is taken after this has arrived.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Br(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
            Self::Gzip(encoder) => encoder.flush(),
        }
    }

    pub fn ready(&self) -> usize {
        match self {
            Self::Br(encoder) => encoder.get_ref().len(),
            Self::Zstd(encoder) => encoder.get_ref().len(),
            Self::Gzip(encoder) => encoder.get_ref().len(),
        }
    }

    pub fn take(&mut self) -> Out {
        std::mem::take(match self {
            Self::Br(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        })
    }

    /// The rest.
    pub fn finish(self) -> io::Result<Out> {
        match self {
            Self::Br(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::coding::tests::decompress;
    use super::*;

    #[test]
    fn parts_are_there_after_a_flush() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, 4).unwrap();
            let mut all = Vec::new();
            for part in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
                encoder.write(part.as_bytes()).unwrap();
                encoder.flush().unwrap();
                assert!(encoder.ready() > 0, "{coding:?}");
                all.extend(encoder.take());
            }
            all.extend(encoder.finish().unwrap());
            assert_eq!(decompress(&all, coding), b"data: one\n\ndata: two\n\ndata: three\n\n", "{coding:?}");
        }
    }
}
