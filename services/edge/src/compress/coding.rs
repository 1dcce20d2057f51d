//! The coders themselves, of the libraries that the field uses: brotli, zstd, zlib-rs.

use super::Coding;
use std::cell::RefCell;
use std::io::{self, Write};

/// The window of brotli and zstd, as an exponent of two: nginx's 512 KiB.
pub const WINDOW: u32 = 19;
/// A body's own length would do as a window; below this, brotli takes to tables that it clears at length.
const LEAST_WINDOW: u32 = 17;

thread_local! {
    /// For small bodies, making it costs more than using it.
    static ZSTD: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
}

/// Bytes that are there, at once. `level` as the coding counts: brotli 0 to 11, zstd 1 to 19, gzip 1 to 9; what lies
/// outside is taken as the nearest. It works as long as it takes: for small bodies, or off the data threads.
pub fn compress(bytes: &[u8], coding: Coding, level: u8) -> io::Result<Vec<u8>> {
    match coding {
        Coding::Br => {
            let mut out = Vec::with_capacity(bytes.len() / 4 + 64);
            let window = (usize::BITS - bytes.len().leading_zeros()).clamp(LEAST_WINDOW, WINDOW);
            let parameters = brotli::enc::BrotliEncoderParams {
                quality: i32::from(level.min(11)),
                lgwin: window.cast_signed(),
                size_hint: bytes.len(),
                ..Default::default()
            };
            brotli::BrotliCompress(&mut &*bytes, &mut out, &parameters)?;
            Ok(out)
        }
        Coding::Zstd => ZSTD.with_borrow_mut(|kept| {
            let level = i32::from(level.clamp(1, 19));
            let compressor = match kept {
                Some(compressor) => compressor,
                None => kept.insert(zstd::bulk::Compressor::new(level)?),
            };
            compressor.set_compression_level(level)?;
            compressor.compress(bytes)
        }),
        Coding::Gzip => {
            let level = flate2::Compression::new(u32::from(level.clamp(1, 9)));
            let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 4 + 64), level);
            encoder.write_all(bytes)?;
            encoder.finish()
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::io::Read;

    pub fn decompress(bytes: &[u8], coding: Coding) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Br => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out).unwrap()),
            Coding::Zstd => out = zstd::stream::decode_all(bytes).unwrap(),
            Coding::Gzip => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap()),
        }
        out
    }

    #[test]
    fn there_and_back() {
        let mut random = fastrand::Rng::with_seed(5);
        let text = "the same again and again, ".repeat(4000).into_bytes();
        let noise: Vec<u8> = (0..100_000).map(|_| random.u8(..)).collect();
        for bytes in [&b""[..], b"x", &text, &noise] {
            for coding in Coding::ALL {
                for level in [0, 1, 5, 9, 11, 255] {
                    if (bytes.len() > 1 && level > 9) && coding != Coding::Gzip {
                        continue;
                    }
                    let small = compress(bytes, coding, level).unwrap();
                    assert!(small.len() < bytes.len() + bytes.len() / 10 + 500, "{coding:?} {level} {}", small.len());
                    assert_eq!(decompress(&small, coding), bytes, "{coding:?} {level} {}", bytes.len());
                }
            }
        }
        assert!(compress(&text, Coding::Br, 5).unwrap().len() < text.len() / 20);
    }
}
