//! One file of prometheus_client's multiprocess mode, as its `mmap_dict.py` lays it out, in the machine's byte order: an
//! `i32` that says how many bytes are used, four bytes of nothing, then entries: an `i32` with the key's length, the key
//! (UTF-8, JSON), one to eight spaces up to a multiple of eight, two `f64`, the value and its time.
//!
//! The process that writes it has it mapped and goes on writing while it is read. That is sound: an entry is written
//! before the number of used bytes says that it is there, and a value that changes is eight aligned bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What comes before the first entry.
const HEAD: usize = 8;
/// No application has so many metrics that this is not enough; more would only be memory.
pub const LONGEST: usize = 32 << 20;

#[derive(Debug)]
pub enum Trouble {
    /// It was there a moment ago.
    Gone,
    Broken(&'static str),
    Unreadable(io::Error),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Gone => f.write_str("it is gone"),
            Trouble::Broken(how) => f.write_str(how),
            Trouble::Unreadable(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Trouble::Gone,
            io::ErrorKind::UnexpectedEof => Trouble::Broken("it is shorter than it says"),
            _ => Trouble::Unreadable(error),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value<'a> {
    pub key: &'a str,
    pub value: f64,
    /// Seconds since the epoch; 0 but for gauges of mode `mostrecent`.
    pub timestamp: f64,
}

/// The used bytes of a file, into `buffer`.
pub fn read(path: &Path, buffer: &mut Vec<u8>) -> Result<(), Trouble> {
    buffer.clear();
    // Whatever bears such a name must not hold up the reader: opening a FIFO would.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Trouble::Broken("it is not a file"));
    }
    read_from(file, buffer)
}

fn read_from(mut file: File, buffer: &mut Vec<u8>) -> Result<(), Trouble> {
    let mut head = [0; HEAD];
    match file.read(&mut head)? {
        // Made this moment, and not yet of any size.
        0 => return Ok(()),
        HEAD => {}
        _ => return Err(Trouble::Broken("it is shorter than its head")),
    }
    let used = used(&head)?;
    buffer.extend_from_slice(&head);
    buffer.resize(used.max(HEAD), 0);
    file.read_exact(buffer.get_mut(HEAD..).unwrap_or_default())?;
    Ok(())
}

fn used(bytes: &[u8]) -> Result<usize, Trouble> {
    let Some(length) = int(bytes, 0) else { return Ok(0) };
    match usize::try_from(length) {
        Ok(length) if length > LONGEST => Err(Trouble::Broken("it is larger than anybody's metrics are")),
        Ok(length) => Ok(length),
        Err(_) => Err(Trouble::Broken("its length is negative")),
    }
}

/// The entries of a file's bytes. It ends with the first error.
pub fn values(bytes: &[u8]) -> Result<Values<'_>, Trouble> {
    let used = used(bytes)?;
    let bytes = bytes.get(..used).ok_or(Trouble::Broken("it is shorter than it says"))?;
    Ok(Values { bytes, at: HEAD })
}

pub struct Values<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Values<'a> {
    fn entry(&self) -> Result<(Value<'a>, usize), &'static str> {
        let beyond = "an entry reaches beyond its end";
        let length = int(self.bytes, self.at).ok_or(beyond)?;
        let length = usize::try_from(length).map_err(|_| "a key's length is negative")?;
        let start = self.at + 4;
        // No sum here overflows: a length is less than 2^31.
        let key = self.bytes.get(start..start + length).ok_or(beyond)?;
        let key = std::str::from_utf8(key).map_err(|_| "a key is not UTF-8")?;
        let place = start + padded(length);
        let value = float(self.bytes, place).ok_or(beyond)?;
        let timestamp = float(self.bytes, place + 8).ok_or(beyond)?;
        Ok((Value { key, value, timestamp }, place + 16))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<Value<'a>, Trouble>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        match self.entry() {
            Ok((value, next)) => {
                self.at = next;
                Some(Ok(value))
            }
            Err(how) => {
                self.at = self.bytes.len();
                Some(Err(Trouble::Broken(how)))
            }
        }
    }
}

/// Whether each entry can be read: prometheus_client itself would not open the file otherwise.
pub fn check(bytes: &[u8]) -> Result<(), Trouble> {
    values(bytes)?.try_for_each(|value| value.map(drop))
}

/// The bytes of a file with these entries, as `check` and prometheus_client read it.
pub fn write<'a>(entries: impl Iterator<Item = Value<'a>>) -> Vec<u8> {
    let mut bytes = vec![0; HEAD];
    for Value { key, value, timestamp } in entries {
        let length = key.len();
        let Ok(number) = i32::try_from(length) else { continue };
        if bytes.len() + length + 32 > LONGEST {
            break;
        }
        bytes.extend_from_slice(&number.to_ne_bytes());
        bytes.extend_from_slice(key.as_bytes());
        bytes.resize(bytes.len() + padded(length) - length, b' ');
        bytes.extend_from_slice(&value.to_ne_bytes());
        bytes.extend_from_slice(&timestamp.to_ne_bytes());
    }
    let used = (bytes.len() as i32).to_ne_bytes();
    if let Some(head) = bytes.first_chunk_mut() {
        *head = used;
    }
    bytes
}

/// Nothing is in it any more. The file stays: the application's own reader fails when one vanishes that it has listed.
pub fn empty(path: &Path) -> io::Result<()> {
    // The folder may belong to the application's user, and this be root: a link must not lead to a file of root's.
    let file = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path)?;
    if file.metadata()?.nlink() != 1 {
        return Err(io::Error::other("it is a link"));
    }
    file.write_all_at(&0_i32.to_ne_bytes(), 0)
}

/// With the padding.
const fn padded(length: usize) -> usize {
    length + 8 - (length + 4) % 8
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn float(bytes: &[u8], at: usize) -> Option<f64> {
    Some(f64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &str, value: f64) -> Value<'_> {
        Value { key, value, timestamp: 0.0 }
    }

    #[test]
    fn what_is_written_is_read() {
        let long = "x".repeat(1000);
        let entries = ["", "a", "ab", "abc", "abcd", "abcde", &long].map(|key| value(key, key.len() as f64));
        let bytes = write(entries.into_iter());
        assert_eq!(bytes.len() % 8, 0);
        let read: Vec<Value<'_>> = values(&bytes).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, entries);
    }

    #[test]
    fn a_file_that_is_cut_off_or_overwritten_is_broken_and_no_more() {
        let whole = write([value("one", 1.0), value("two", 2.0)].into_iter());
        for end in HEAD..whole.len() {
            let mut bytes = whole[..end].to_vec();
            assert!(check(&bytes).is_err(), "{end} bytes, by its own length");
            bytes[..4].copy_from_slice(&(end as i32).to_ne_bytes());
            assert_eq!(check(&bytes).is_ok(), end == HEAD || end == (whole.len() - HEAD) / 2 + HEAD, "{end} bytes");
        }
        for (at, number) in [(0, -1), (0, i32::MAX), (8, -1), (8, i32::MAX), (8, 20)] {
            let mut bytes = whole.clone();
            bytes[at..at + 4].copy_from_slice(&i32::to_ne_bytes(number));
            assert!(check(&bytes).is_err(), "{number} at {at}");
        }
        let mut bytes = whole;
        bytes[12] = 0xff;
        assert!(check(&bytes).is_err());
    }

    #[test]
    fn a_new_file_holds_nothing_yet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counter_1.db");
        let mut buffer = Vec::new();
        assert!(matches!(read(&path, &mut buffer), Err(Trouble::Gone)));
        for size in [0, 65_536] {
            std::fs::write(&path, vec![0; size]).unwrap();
            read(&path, &mut buffer).unwrap();
            check(&buffer).unwrap();
            assert_eq!(values(&buffer).unwrap().count(), 0);
        }
        std::fs::write(&path, write(std::iter::once(value("a", 1.0)))).unwrap();
        empty(&path).unwrap();
        read(&path, &mut buffer).unwrap();
        assert_eq!(values(&buffer).unwrap().count(), 0);
    }

    #[test]
    fn only_a_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counter_1.db");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(matches!(read(&path, &mut Vec::new()), Err(Trouble::Broken(_))));
    }
}
