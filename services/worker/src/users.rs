//! Users and groups by name, from wherever the system keeps them (NSS), and becoming another user.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Gid, Uid};
use serde::{Deserialize, Serialize};

/// Whom processes belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary ones.
    pub groups: Vec<u32>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    /// None where the system does not know the number.
    pub gid: Option<u32>,
    pub name: Option<String>,
}

/// The longest entry that is read.
const LONGEST: usize = 1 << 20;

/// By name or number.
pub fn user(text: &str) -> Result<User, String> {
    if let Ok(uid) = text.parse::<u32>() {
        let known = entry(|record, buffer, length, found| {
            // SAFETY: see `entry`.
            unsafe { libc::getpwuid_r(uid, record, buffer, length, found) }
        });
        return Ok(match known {
            Ok(Some(user)) => user,
            _ => User { uid, gid: None, name: None },
        });
    }
    let name = CString::new(text).map_err(|_| "a name has no NUL".to_owned())?;
    entry(|record, buffer, length, found| {
        // SAFETY: see `entry`; the name is a C string that lives as long as the call.
        unsafe { libc::getpwnam_r(name.as_ptr(), record, buffer, length, found) }
    })
    .map_err(|error| format!("the user {text:?} cannot be looked up: {error}"))?
    .ok_or_else(|| format!("there is no user {text:?}"))
}

/// Calls a function of the getpw…_r family with more and more room. It fills in the record, whose strings are in the
/// buffer, and sets `found` to it, or to null where there is no such entry.
fn entry(
    call: impl Fn(*mut libc::passwd, *mut libc::c_char, usize, *mut *mut libc::passwd) -> libc::c_int,
) -> io::Result<Option<User>> {
    let mut buffer: Vec<libc::c_char> = vec![0; 1024];
    loop {
        let mut record = MaybeUninit::<libc::passwd>::uninit();
        let mut found = std::ptr::null_mut();
        match call(record.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &raw mut found) {
            libc::ERANGE if buffer.len() < LONGEST => buffer.resize(buffer.len() * 4, 0),
            0 if found.is_null() => return Ok(None),
            0 => {
                // SAFETY: the call has succeeded and found an entry, so it has filled in the record.
                let record = unsafe { record.assume_init() };
                // SAFETY: then the name is a C string in the buffer, which still lives.
                let name = unsafe { CStr::from_ptr(record.pw_name) };
                return Ok(Some(User {
                    uid: record.pw_uid,
                    gid: Some(record.pw_gid),
                    name: name.to_str().ok().map(str::to_owned),
                }));
            }
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// By name or number.
pub fn group(text: &str) -> Result<u32, String> {
    if let Ok(gid) = text.parse::<u32>() {
        return Ok(gid);
    }
    let name = CString::new(text).map_err(|_| "a name has no NUL".to_owned())?;
    let mut buffer: Vec<libc::c_char> = vec![0; 1024];
    loop {
        let mut record = MaybeUninit::<libc::group>::uninit();
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are good for the call, and the length is the buffer's.
        let done = unsafe {
            libc::getgrnam_r(name.as_ptr(), record.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &raw mut found)
        };
        match done {
            libc::ERANGE if buffer.len() < LONGEST => buffer.resize(buffer.len() * 4, 0),
            0 if found.is_null() => return Err(format!("there is no group {text:?}")),
            // SAFETY: the call has succeeded and found an entry, so it has filled in the record.
            0 => return Ok(unsafe { record.assume_init() }.gr_gid),
            error => {
                let error = io::Error::from_raw_os_error(error);
                return Err(format!("the group {text:?} cannot be looked up: {error}"));
            }
        }
    }
}

/// All groups of a user, and `gid`.
pub fn groups_of(name: &str, gid: u32) -> Vec<u32> {
    let Ok(name) = CString::new(name) else { return Vec::new() };
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let mut count = groups.len() as libc::c_int;
        // SAFETY: the name is a C string, and there is room for as many groups as `count` says.
        let done = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if done >= 0 || groups.len() > 65_536 {
            groups.truncate(count);
            return groups;
        }
        groups.resize(count.max(groups.len() * 2), 0);
    }
}

/// What is executed belongs to `owner` from its first instruction on.
pub fn run_as(command: &mut Command, owner: &Owner) {
    let groups: Vec<Gid> = owner.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    let change = move || {
        // The user last: who is not root may not change groups any more.
        rustix::thread::set_thread_groups(&groups)?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        Ok(())
    };
    // SAFETY: between fork and exec there is one thread, and the closure makes three system calls; it allocates nothing
    // and takes no lock.
    unsafe { command.pre_exec(change) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_by_name_and_number() {
        let root = User { uid: 0, gid: Some(0), name: Some("root".into()) };
        assert_eq!(user("root"), Ok(root));
        assert_eq!(user("0").unwrap().name.as_deref(), Some("root"));
        assert_eq!(user("3999999999"), Ok(User { uid: 3_999_999_999, gid: None, name: None }));
        assert_eq!(user("nobody-of-that-name"), Err("there is no user \"nobody-of-that-name\"".to_owned()));
        assert_eq!(group("root"), Ok(0));
        assert_eq!(group("77"), Ok(77));
        assert!(group("nobody-of-that-name").is_err());
        assert!(groups_of("root", 7).contains(&7));
    }
}
