//! Free room on a volume, and attributes of files.

use std::io;
use std::path::Path;
use std::ptr::null_mut;

use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_NORMAL, GetDiskFreeSpaceExW, SetFileAttributesW,
};

use super::{ok, wide};

/// What the caller may still write where a folder lies, in bytes.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let mut free = 0;
    // SAFETY: the path ends with a NUL; what is not wanted may be null.
    ok(unsafe { GetDiskFreeSpaceExW(wide(folder).as_ptr(), &raw mut free, null_mut(), null_mut()) })?;
    Ok(free)
}

/// Sets read-only, hidden and system as wanted, and nothing else.
pub fn set_attributes(path: &Path, attributes: u32) -> io::Result<()> {
    let attributes = if attributes == 0 { FILE_ATTRIBUTE_NORMAL } else { attributes };
    // SAFETY: the path ends with a NUL.
    ok(unsafe { SetFileAttributesW(wide(path).as_ptr(), attributes) })
}
