//! What may be said of compression, and in which words a slip is told.

use super::tests::problems_of;
use crate::compress::Coding;
use std::ffi::OsString;

#[test]
fn every_slip_is_told_with_its_place() {
    for (text, wrong) in [
        (
            "compress = 'deflate'",
            "edge.toml:1: compress: expected on, off, or a list of br, zstd and gzip, got \"deflate\"",
        ),
        ("[[site]]\ncompress = ['br', 'br']", "edge.toml:2: compress: br stands there twice"),
        (
            "compress_types = ['text/html', 'html']",
            "edge.toml:1: compress_types: expected media types such as text/html, text/* or *, got \"html\"",
        ),
        ("gzip_level = 10", "edge.toml:1: gzip_level: expected a whole number from 1 to 9, got \"10\""),
        ("brotli_level = 12", "edge.toml:1: brotli_level: expected a whole number from 0 to 11, got \"12\""),
        ("zstd_level = 0", "edge.toml:1: zstd_level: expected a whole number from 1 to 19, got \"0\""),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nclose = true\ncompress_min_length = 'x'",
            "edge.toml:5: compress_min_length: expected a size such as 32MB, got \"x\"",
        ),
    ] {
        assert_eq!(problems_of(text), wrong, "{text}");
    }
}

#[test]
fn on_off_and_lists() {
    let codings = |text: &str| {
        let args = ["--compress", text].map(OsString::from);
        super::load(&args, std::iter::empty()).unwrap().options.compress.codings
    };
    assert_eq!(codings("on"), [Coding::Zstd, Coding::Br, Coding::Gzip]);
    assert_eq!(codings("off"), []);
    assert_eq!(codings("gzip,br"), [Coding::Gzip, Coding::Br]);
    let defaults = super::load(&[], std::iter::empty()).unwrap().options.compress;
    assert_eq!((&defaults.codings, defaults.min_length, defaults.private), (&codings("on"), 1024, true));
    assert!(defaults.types.has(b"text/html; charset=utf-8") && !defaults.types.has(b"text/event-stream"));
}
