//! The calls of Windows that no library here wraps, behind safe functions. All `unsafe` of this system is in
//! this folder and in [`crate::registry`].

pub mod disk;
pub mod events;
pub mod job;
pub mod network;
pub mod security;
pub mod services;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use windows_sys::Win32::System::SystemInformation::GetSystemDirectoryW;

/// UTF-16 with the NUL that ends it.
pub fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain([0]).collect()
}

/// A `BOOL` as a result, with the error of the last call.
fn ok(success: i32) -> io::Result<()> {
    if success == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A code of winerror.h as a result.
fn code(code: u32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
}

/// Where Windows keeps its programs, as Windows says itself and not the environment.
///
/// # Errors
/// Those of GetSystemDirectory.
pub fn system_folder() -> io::Result<PathBuf> {
    let mut path = [0_u16; 260];
    let room = u32::try_from(path.len()).unwrap_or_default();
    // SAFETY: the buffer is as long as is said.
    let len = unsafe { GetSystemDirectoryW(path.as_mut_ptr(), room) } as usize;
    match path.get(..len) {
        Some(path) if len > 0 => Ok(OsString::from_wide(path).into()),
        _ => Err(io::Error::last_os_error()),
    }
}
