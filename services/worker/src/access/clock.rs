//! The time of a line as text, worked out once a second.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Default)]
pub struct Clock {
    utc: RefCell<(u64, String)>,
    local: RefCell<(u64, String)>,
}

impl Clock {
    /// `2026-11-21T05:42:11.123456Z`
    pub fn rfc3339(&self, line: &mut Vec<u8>) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut known = self.utc.borrow_mut();
        if known.0 != since.as_secs() || known.1.is_empty() {
            let text = monodon_logging::rfc3339(UNIX_EPOCH + Duration::from_secs(since.as_secs()));
            *known = (since.as_secs(), text.get(..20).unwrap_or_default().replace('Z', "."));
        }
        line.extend_from_slice(known.1.as_bytes());
        super::line::padded(line, u64::from(since.subsec_micros()), 6);
        line.push(b'Z');
    }

    /// `[21/Nov/2026:05:42:11 +0000]`, in the time zone of the process, as Apache's `%t`.
    pub fn common(&self, line: &mut Vec<u8>) {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut known = self.local.borrow_mut();
        if known.0 != second || known.1.is_empty() {
            *known = (second, common(second));
        }
        line.extend_from_slice(known.1.as_bytes());
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn common(second: u64) -> String {
    let time = libc::time_t::try_from(second).unwrap_or_default();
    // SAFETY: a zeroed `tm` is plain data; `localtime_r` reads the one and writes the other, both live here. The C
    // library guards the time zone that it and Python's `time.tzset()` share with a lock of its own.
    let local = unsafe {
        let mut local: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&raw const time, &raw mut local).is_null() {
            return "-".to_owned();
        }
        local
    };
    let month = usize::try_from(local.tm_mon).ok().and_then(|month| MONTHS.get(month)).unwrap_or(&"-");
    let (sign, offset) = if local.tm_gmtoff < 0 { ('-', -local.tm_gmtoff) } else { ('+', local.tm_gmtoff) };
    format!(
        "[{:02}/{month}/{:04}:{:02}:{:02}:{:02} {sign}{:02}{:02}]",
        local.tm_mday,
        i64::from(local.tm_year) + 1900,
        local.tm_hour,
        local.tm_min,
        local.tm_sec,
        offset / 3600,
        offset / 60 % 60,
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_zone_is_written_as_hours_and_minutes() {
        let text = super::common(1_700_000_000);
        assert!(text.contains("/Nov/2023:"), "{text}");
        let zone = text.trim_end_matches(']').rsplit(' ').next().unwrap();
        assert!(zone.len() == 5 && zone.starts_with(['+', '-']), "{text}");
    }
}
