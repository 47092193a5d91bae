//! Owners and access lists as text, in the security descriptor definition language (SDDL).

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::Once;

use windows_registry::Key;
use windows_sys::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW,
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{
    AdjustTokenPrivileges, DACL_SECURITY_INFORMATION, GROUP_SECURITY_INFORMATION, GetFileSecurityW,
    GetTokenInformation, InitializeSecurityDescriptor, LookupPrivilegeValueW, OWNER_SECURITY_INFORMATION,
    PSECURITY_DESCRIPTOR, SE_PRIVILEGE_ENABLED, SE_RESTORE_NAME, SECURITY_ATTRIBUTES, SECURITY_DESCRIPTOR,
    SetFileSecurityW, SetSecurityDescriptorOwner, TOKEN_ADJUST_PRIVILEGES, TOKEN_PRIVILEGES, TOKEN_QUERY,
    TOKEN_USER, TokenUser,
};
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;
use windows_sys::Win32::System::Registry::{RegGetKeySecurity, RegSetKeySecurity};
use windows_sys::Win32::System::SystemServices::SECURITY_DESCRIPTOR_REVISION;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::{code, ok, wide};
use crate::sddl;

/// What is looked at and given back. Audit lists and labels are left as they are.
const WHAT: u32 = OWNER_SECURITY_INFORMATION | GROUP_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;

/// Whether nobody but system, administrators and the user of this process owns a file or folder or may enter it; a
/// link is none of theirs, wherever it leads.
pub fn is_private(path: &Path) -> io::Result<bool> {
    Ok(!path.symlink_metadata()?.is_symlink() && sddl::is_private(&of_file(path)?, &own_user()?))
}

/// The user of this process, as SDDL writes one: for a service SY.
fn own_user() -> io::Result<String> {
    let mut token = null_mut();
    // SAFETY: this process's handle needs no closing, `token` takes one that does.
    ok(unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) })?;
    // SAFETY: opened above, closed once.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    // A TOKEN_USER with the SID that it points to, which has at most 68 bytes; words, so that it is aligned.
    let mut user = [0_usize; 16];
    let (room, mut len) = (u32::try_from(size_of_val(&user)).unwrap_or_default(), 0);
    // SAFETY: the buffer is as long as is said.
    ok(unsafe {
        GetTokenInformation(token.as_raw_handle(), TokenUser, user.as_mut_ptr().cast(), room, &raw mut len)
    })?;
    let mut descriptor = SECURITY_DESCRIPTOR::default();
    let descriptor: PSECURITY_DESCRIPTOR = (&raw mut descriptor).cast();
    // SAFETY: both live until the text is made; the call above wrote a TOKEN_USER to the buffer.
    ok(unsafe {
        let sid = (*user.as_ptr().cast::<TOKEN_USER>()).User.Sid;
        ok(InitializeSecurityDescriptor(descriptor, SECURITY_DESCRIPTOR_REVISION))?;
        SetSecurityDescriptorOwner(descriptor, sid, 0)
    })?;
    Ok(sddl::owner(&text(descriptor)?).unwrap_or_default().to_owned())
}

/// Of an open key.
pub fn of_key(key: *mut c_void) -> io::Result<String> {
    let mut len = 0;
    // SAFETY: the key is open; with no room it only tells how much it needs.
    let first = unsafe { RegGetKeySecurity(key, WHAT, null_mut(), &raw mut len) };
    if first != ERROR_INSUFFICIENT_BUFFER {
        code(first)?;
    }
    let mut descriptor = room(len);
    // SAFETY: the buffer is as long as it was asked for.
    code(unsafe { RegGetKeySecurity(key, WHAT, descriptor.as_mut_ptr().cast(), &raw mut len) })?;
    text(descriptor.as_mut_ptr().cast())
}

/// Of a key by its name below a hive.
pub fn set_of_key(hive: &Key, below: &str, sddl: &str) -> io::Result<()> {
    const WRITE_OWNER_AND_DAC: u32 = 0x0008_0000 | 0x0004_0000;
    may_give_away();
    let key = hive.options().access(WRITE_OWNER_AND_DAC).open(below)?;
    let descriptor = Descriptor::parse(&sddl::settable(sddl))?;
    // SAFETY: key and descriptor are good until the call returns.
    code(unsafe { RegSetKeySecurity(key.as_raw(), descriptor.what(), descriptor.0) })
}

/// Of a file or folder; a link is followed.
pub fn of_file(path: &Path) -> io::Result<String> {
    let path = wide(path);
    let mut len = 0;
    // SAFETY: the path ends with a NUL; with no room the call only tells how much it needs.
    unsafe { GetFileSecurityW(path.as_ptr(), WHAT, null_mut(), 0, &raw mut len) };
    let mut descriptor = room(len);
    // SAFETY: the buffer is as long as it was asked for.
    ok(unsafe { GetFileSecurityW(path.as_ptr(), WHAT, descriptor.as_mut_ptr().cast(), len, &raw mut len) })?;
    text(descriptor.as_mut_ptr().cast())
}

pub fn set_of_file(path: &Path, sddl: &str) -> io::Result<()> {
    may_give_away();
    let descriptor = Descriptor::parse(&sddl::settable(sddl))?;
    // SAFETY: path and descriptor are good until the call returns.
    ok(unsafe { SetFileSecurityW(wide(path).as_ptr(), descriptor.what(), descriptor.0) })
}

/// For a descriptor of so many bytes: words, so that it is aligned.
fn room(len: u32) -> Vec<u32> {
    vec![0; len.div_ceil(4) as usize]
}

/// Lets this process give things to owners other than itself, and write where the list of a thing that is given back
/// lets in others alone; where it may not, the call that wants it says so.
fn may_give_away() {
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        let mut token = null_mut();
        // SAFETY: this process's handle needs no closing, `token` takes one that does.
        if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &raw mut token) } == 0 {
            return;
        }
        // SAFETY: opened above, closed once.
        let token = unsafe { OwnedHandle::from_raw_handle(token) };
        let mut wanted = TOKEN_PRIVILEGES { PrivilegeCount: 1, ..TOKEN_PRIVILEGES::default() };
        wanted.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
        let raw = &raw mut wanted.Privileges[0].Luid;
        // SAFETY: the name ends with a NUL, the privileges are as many as they say; nothing old is asked for.
        unsafe {
            if LookupPrivilegeValueW(null(), SE_RESTORE_NAME, raw) != 0 {
                AdjustTokenPrivileges(token.as_raw_handle(), 0, &raw const wanted, 0, null_mut(), null_mut());
            }
        }
    });
}

/// Makes a folder that is [`sddl::PRIVATE`] from its first moment.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    let descriptor = Descriptor::parse(sddl::PRIVATE)?;
    let attributes = SECURITY_ATTRIBUTES {
        nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or_default(),
        lpSecurityDescriptor: descriptor.0,
        bInheritHandle: 0,
    };
    // SAFETY: path and attributes are good until the call returns.
    ok(unsafe { CreateDirectoryW(wide(path).as_ptr(), &raw const attributes) })
}

/// A descriptor that `LocalFree` gives back.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    fn parse(sddl: &str) -> io::Result<Self> {
        let mut made: PSECURITY_DESCRIPTOR = null_mut();
        // SAFETY: the text ends with a NUL, `made` takes what is allocated.
        ok(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                wide(sddl).as_ptr(),
                SDDL_REVISION_1,
                &raw mut made,
                null_mut(),
            )
        })?;
        Ok(Self(made))
    }

    /// What of [`WHAT`] it says something about.
    fn what(&self) -> u32 {
        let text = text(self.0).unwrap_or_default();
        let parts = [
            ("O:", OWNER_SECURITY_INFORMATION),
            ("G:", GROUP_SECURITY_INFORMATION),
            ("D:", DACL_SECURITY_INFORMATION),
        ];
        parts.iter().filter(|(part, _)| text.contains(part)).map(|(_, bit)| bit).sum()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: allocated by the conversion, freed once.
        unsafe { LocalFree(self.0) };
    }
}

fn text(descriptor: PSECURITY_DESCRIPTOR) -> io::Result<String> {
    let mut text: *mut u16 = null_mut();
    let mut len = 0;
    // SAFETY: the descriptor is good, `text` takes what is allocated.
    ok(unsafe {
        ConvertSecurityDescriptorToStringSecurityDescriptorW(
            descriptor,
            SDDL_REVISION_1,
            WHAT,
            &raw mut text,
            &raw mut len,
        )
    })?;
    if text.is_null() {
        return Ok(String::new());
    }
    // SAFETY: `len` units were written there, the NUL among them.
    let units = unsafe { std::slice::from_raw_parts(text, len as usize) };
    let said = String::from_utf16_lossy(units.split(|unit| *unit == 0).next().unwrap_or_default());
    // SAFETY: allocated by the conversion, freed once.
    unsafe { LocalFree(text.cast()) };
    Ok(said)
}
