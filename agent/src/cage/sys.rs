//! System calls that nix does not wrap, each behind a safe function. The only unsafe code of the cage.
#![expect(unsafe_code, reason = "raw system calls, one block each")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

/// Longest list of attribute names and longest value that the kernel gives out.
const XATTR_MAX: usize = 64 << 10;

/// Works for `O_PATH` descriptors too, a link's included.
fn by_number(fd: BorrowedFd<'_>) -> io::Result<CString> {
    Ok(CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd()))?)
}

/// The names of all attributes; none where the file system knows none.
pub fn list_xattrs(fd: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let path = by_number(fd)?;
    let mut names = vec![0; XATTR_MAX];
    // SAFETY: `path` is a C string and `names` has room for the length given.
    let n = unsafe { libc::listxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    match Errno::result(n) {
        Ok(n) => {
            names.truncate(n.unsigned_abs());
            Ok(names.split(|&c| c == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
        }
        Err(Errno::ENOTSUP) => Ok(Vec::new()),
        Err(e) => Err(e.into()),
    }
}

/// One attribute's value; None where it is not set.
pub fn xattr(fd: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let (path, name) = (by_number(fd)?, CString::new(name)?);
    let mut value = vec![0; XATTR_MAX];
    // SAFETY: both are C strings and `value` has room for the length given.
    let n = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    match Errno::result(n) {
        Ok(n) => {
            value.truncate(n.unsigned_abs());
            Ok(Some(value))
        }
        Err(Errno::ENODATA | Errno::ENOTSUP) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
