//! What `ps` and `top` call a process.
#![allow(unsafe_code)]

use std::path::Path;

/// An argument that makes room for the title of a process that we execute: it is written over the arguments.
pub const ROOM: &str = "                                                                                ";

/// `monodon: worker [shop]`, cut where there is no room for it.
pub fn set(text: &str) {
    if let Some((start, length)) = arguments() {
        let text = text.as_bytes();
        let text = text.get(..length - 1).unwrap_or(text);
        // SAFETY: from `start` on the kernel has put the arguments of this process, `length` bytes with the NULs between
        // and after them, on the main thread's stack, where they stay writable for its whole life. They have been read
        // before: Python copies them when it starts, and nothing here asks for them again. The last byte stays a NUL, so
        // that whoever has kept a pointer to one of them still finds an end.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), start, text.len());
            std::ptr::write_bytes(start.add(text.len()), 0, length - text.len());
        }
    }
    // 15 bytes at most; of the main thread, which is the process's.
    let _ = std::fs::write("/proc/self/comm", text);
}

/// Where the arguments of this process are (proc(5): arg_start and arg_end).
fn arguments() -> Option<(*mut u8, usize)> {
    let stat = std::fs::read_to_string(Path::new("/proc/self/stat")).ok()?;
    // The name in parentheses may hold anything; after it comes the third field.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().skip(48 - 3);
    let start: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    let length = end.checked_sub(start).filter(|length| start > 0 && (2..1 << 20).contains(length))?;
    Some((std::ptr::with_exposed_provenance_mut(start), length))
}
