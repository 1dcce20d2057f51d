//! What is left of processes whose name nobody will bear again: one file of each kind, like those of the processes, so
//! that prometheus_client's own collector reads it too.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::file::{self, Trouble, Value};
use super::kind::Kind;

/// Adds a file's entries to the archive of their kind. What the archive was is replaced at once: a reader sees the one or
/// the other.
pub fn add(folder: &Path, archive: &str, kind: Kind, bytes: &[u8]) -> Result<(), Trouble> {
    let path = folder.join(kind.file(archive));
    let mut before = Vec::new();
    match file::read(&path, &mut before).and_then(|()| file::check(&before)) {
        Ok(()) => {}
        Err(Trouble::Gone) => before.clear(),
        Err(trouble) => {
            tracing::warn!("{} is begun anew: {trouble}", path.display());
            before.clear();
        }
    }
    let mut entries: Vec<Value<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for value in file::values(&before)?.chain(file::values(bytes)?) {
        let value = value?;
        let known = places.get(value.key).and_then(|place| entries.get_mut(*place));
        if let Some(entry) = known {
            let mut joined = (entry.value, entry.timestamp);
            kind.join(&mut joined, (value.value, value.timestamp));
            (entry.value, entry.timestamp) = joined;
        } else {
            places.insert(value.key, entries.len());
            entries.push(value);
        }
    }
    replace(&path, &file::write(entries.into_iter()))?;
    Ok(())
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // No reader looks for this ending.
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    // The folder may belong to the application's user, and this be root: what stands there is not to be followed.
    fs::OpenOptions::new().write(true).create_new(true).open(&new)?.write_all(bytes)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::super::kind::Mode;
    use super::*;

    fn values(path: &Path) -> Vec<(String, f64, f64)> {
        let mut buffer = Vec::new();
        file::read(path, &mut buffer).unwrap();
        let owned = |value: Value<'_>| (value.key.to_owned(), value.value, value.timestamp);
        file::values(&buffer).unwrap().map(|value| owned(value.unwrap())).collect()
    }

    fn bytes(values: &[(&str, f64, f64)]) -> Vec<u8> {
        file::write(values.iter().map(|&(key, value, timestamp)| Value { key, value, timestamp }))
    }

    #[test]
    fn each_kind_joins_by_its_rule() {
        let folder = tempfile::tempdir().unwrap();
        let gauge = |mode| Kind::Gauge { mode, live: false };
        let cases = [
            (Kind::Counter, (3.0, 0.0)),
            (Kind::Histogram, (3.0, 0.0)),
            (gauge(Mode::Sum), (3.0, 0.0)),
            (gauge(Mode::Min), (1.0, 0.0)),
            (gauge(Mode::Max), (2.0, 0.0)),
        ];
        for (kind, (value, time)) in cases {
            add(folder.path(), "archive", kind, &bytes(&[("a", 1.0, 0.0)])).unwrap();
            add(folder.path(), "archive", kind, &bytes(&[("b", 7.0, 0.0), ("a", 2.0, 0.0)])).unwrap();
            let expected = [("a".to_owned(), value, time), ("b".to_owned(), 7.0, 0.0)];
            assert_eq!(values(&folder.path().join(kind.file("archive"))), expected, "{kind:?}");
        }
        let recent = gauge(Mode::MostRecent);
        for (value, time) in [(5.0, 100.0), (6.0, 50.0), (0.0, 0.0)] {
            add(folder.path(), "archive", recent, &bytes(&[("a", value, time)])).unwrap();
        }
        assert_eq!(values(&folder.path().join(recent.file("archive"))), [("a".to_owned(), 5.0, 100.0)]);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, b"precious").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("counter_archive.new")).unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("counter_archive.db")).unwrap();
        add(folder.path(), "archive", Kind::Counter, &bytes(&[("a", 1.0, 0.0)])).unwrap();
        assert!(file::empty(&folder.path().join("counter_archive.db")).is_ok());
        std::os::unix::fs::symlink(&victim, folder.path().join("gauge_all_w1.db")).unwrap();
        assert!(file::empty(&folder.path().join("gauge_all_w1.db")).is_err());
        fs::hard_link(&victim, folder.path().join("gauge_all_w2.db")).unwrap();
        assert!(file::empty(&folder.path().join("gauge_all_w2.db")).is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_broken_archive_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Kind::Counter.file("archive"));
        fs::write(&path, b"nonsense!").unwrap();
        add(folder.path(), "archive", Kind::Counter, &bytes(&[("a", 1.0, 0.0)])).unwrap();
        assert_eq!(values(&path), [("a".to_owned(), 1.0, 0.0)]);
    }
}
