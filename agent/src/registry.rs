//! The machine's registry (64-bit view), by names as `HKLM\SOFTWARE\…`: what is not there is `None`.

use std::io;
use std::ptr::{null, null_mut};

use serde::{Deserialize, Serialize};
use windows_registry::{Key, LOCAL_MACHINE};
use windows_sys::Win32::Foundation::{
    ERROR_FILE_NOT_FOUND, ERROR_NO_MORE_ITEMS, ERROR_PATH_NOT_FOUND, ERROR_SUCCESS,
};
use windows_sys::Win32::System::Registry::{
    REG_BINARY, REG_DWORD, REG_DWORD_BIG_ENDIAN, REG_EXPAND_SZ, REG_MULTI_SZ, REG_QWORD, REG_SZ,
    RegDeleteKeyExW, RegEnumKeyExW, RegEnumValueW, RegFlushKey, RegQueryValueExW,
};

use crate::windows::{security, wide};

/// A value as it is stored: a type (winnt.h) and its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    pub ty: u32,
    #[serde(with = "hex")]
    pub data: Vec<u8>,
}

/// Longest value that is looked at, in bytes.
pub const MAX_VALUE: usize = 1 << 20;

/// The part of a name below the hive.
///
/// # Errors
/// It is below no hive that the agent knows.
fn below(key: &str) -> io::Result<&str> {
    let below = key.get(..5).filter(|hive| hive.eq_ignore_ascii_case("HKLM\\")).map(|_| &key[5..]);
    below.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{key} is not below HKLM")))
}

fn open(key: &str) -> io::Result<Option<Key>> {
    match LOCAL_MACHINE.options().read().open(below(key)?).map_err(plain) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// For writing; made where it is not there.
fn open_to_write(key: &str) -> io::Result<Key> {
    LOCAL_MACHINE.options().read().write().create().open(below(key)?).map_err(plain)
}

/// What the library says as an HRESULT, as the code of Windows that it was: by that the standard library knows its kind.
fn plain(error: impl Into<io::Error>) -> io::Error {
    const FACILITY_WIN32: u32 = 0x8007_0000;
    let error = error.into();
    match error.raw_os_error().map(i32::cast_unsigned) {
        Some(code) if code & 0xffff_0000 == FACILITY_WIN32 => failed(code & 0xffff),
        _ => error,
    }
}

/// A code of winerror.h.
fn failed(code: u32) -> io::Error {
    io::Error::from_raw_os_error(code.cast_signed())
}

pub fn exists(key: &str) -> io::Result<bool> {
    Ok(open(key)?.is_some())
}

/// # Errors
/// It cannot be read; [`io::ErrorKind::FileTooLarge`] when it is longer than [`MAX_VALUE`].
pub fn value(key: &str, name: &str) -> io::Result<Option<Value>> {
    open(key)?.map_or(Ok(None), |key| read(&key, name))
}

fn read(key: &Key, name: &str) -> io::Result<Option<Value>> {
    let name = wide(name);
    let (mut ty, mut len) = (0, 0);
    let mut ask = |data: *mut u8, len: &mut u32| {
        // SAFETY: the key is open, the name ends with a NUL, and `data` is null or has room for `len` bytes.
        unsafe { RegQueryValueExW(key.as_raw(), name.as_ptr(), null(), &raw mut ty, data, &raw mut *len) }
    };
    match ask(null_mut(), &mut len) {
        ERROR_SUCCESS => {}
        ERROR_FILE_NOT_FOUND => return Ok(None),
        code => return Err(failed(code)),
    }
    if len as usize > MAX_VALUE {
        let why = format!("{len} bytes, above the limit of {MAX_VALUE}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    let mut data = vec![0; len as usize];
    match ask(data.as_mut_ptr(), &mut len) {
        ERROR_SUCCESS => {}
        code => return Err(failed(code)),
    }
    data.truncate(len as usize);
    Ok(Some(Value { ty, data }))
}

/// Every value of a key with its name, empty for the default one; none where there is no key. A value that is longer
/// than [`MAX_VALUE`] is `None`.
///
/// # Errors
/// One cannot be read, or they cannot be listed to the last.
pub fn values(key: &str) -> io::Result<Vec<(String, Option<Value>)>> {
    let Some(key) = open(key)? else { return Ok(Vec::new()) };
    let names = listed(|n, name, len| {
        // SAFETY: the key is open, `name` has room for `len` units; what is not wanted may be null.
        unsafe { RegEnumValueW(key.as_raw(), n, name, len, null(), null_mut(), null_mut(), null_mut()) }
    })?;
    let mut all = Vec::new();
    for name in names {
        match read(&key, &name) {
            Ok(Some(value)) => all.push((name, Some(value))),
            // It went in between.
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => all.push((name, None)),
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Names of the keys right below a key.
///
/// # Errors
/// They cannot be listed to the last.
pub fn keys(key: &str) -> io::Result<Vec<String>> {
    let Some(key) = open(key)? else { return Ok(Vec::new()) };
    listed(|n, name, len| {
        // SAFETY: the key is open, `name` has room for `len` units; what is not wanted may be null.
        unsafe { RegEnumKeyExW(key.as_raw(), n, name, len, null(), null_mut(), null_mut(), null_mut()) }
    })
}

/// All names that `next` gives by their number: it writes one to its buffer, which is as long as it is told.
fn listed(next: impl Fn(u32, *mut u16, *mut u32) -> u32) -> io::Result<Vec<String>> {
    // The longest that Windows allows, and its NUL.
    let mut name = vec![0_u16; 16_384];
    let mut all = Vec::new();
    for n in 0.. {
        let mut len = u32::try_from(name.len()).unwrap_or_default();
        match next(n, name.as_mut_ptr(), &raw mut len) {
            ERROR_SUCCESS => all.push(String::from_utf16_lossy(&name[..len as usize])),
            ERROR_NO_MORE_ITEMS => break,
            code => return Err(failed(code)),
        }
    }
    Ok(all)
}

/// # Errors
/// It cannot be written.
pub fn set(key: &str, name: &str, value: &Value) -> io::Result<()> {
    open_to_write(key)?.set_bytes(name, value.ty.into(), &value.data).map_err(plain)
}

/// # Errors
/// It is there and cannot be removed.
pub fn remove(key: &str, name: &str) -> io::Result<()> {
    let key = LOCAL_MACHINE.options().write().open(below(key)?);
    match key.and_then(|key| key.remove_value(name)).map_err(plain) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes a key with those above it.
///
/// # Errors
/// It cannot be made.
pub fn create(key: &str) -> io::Result<()> {
    open_to_write(key).map(drop)
}

/// Removes a key that has no keys below it.
///
/// # Errors
/// It is there and cannot be removed.
pub fn delete(key: &str) -> io::Result<()> {
    let name = wide(below(key)?);
    // SAFETY: the handle is open as long as the program runs, the name ends with a NUL.
    let code = unsafe { RegDeleteKeyExW(LOCAL_MACHINE.as_raw(), name.as_ptr(), 0, 0) };
    match code {
        ERROR_SUCCESS | ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND => Ok(()),
        code => Err(failed(code)),
    }
}

/// Makes what was written to a key's hive last.
///
/// # Errors
/// The disk refused.
pub fn flush(key: &str) -> io::Result<()> {
    let Some(key) = open(key)? else { return Ok(()) };
    // SAFETY: the handle is open.
    match unsafe { RegFlushKey(key.as_raw()) } {
        ERROR_SUCCESS => Ok(()),
        code => Err(failed(code)),
    }
}

/// Owner, group and access list of a key, as SDDL.
///
/// # Errors
/// They cannot be read.
pub fn security(key: &str) -> io::Result<Option<String>> {
    open(key)?.map(|key| security::of_key(key.as_raw())).transpose()
}

/// # Errors
/// They cannot be set.
pub fn set_security(key: &str, sddl: &str) -> io::Result<()> {
    security::set_of_key(&LOCAL_MACHINE, below(key)?, sddl)
}

impl Value {
    /// A `REG_DWORD`.
    pub fn dword(number: u32) -> Self {
        Self { ty: REG_DWORD, data: number.to_le_bytes().to_vec() }
    }

    /// A `REG_SZ`.
    pub fn text(text: &str) -> Self {
        let data = wide(text).iter().flat_map(|unit| unit.to_le_bytes()).collect();
        Self { ty: REG_SZ, data }
    }

    pub fn as_number(&self) -> Option<i64> {
        match (self.ty, self.data.as_slice()) {
            (REG_DWORD, [a, b, c, d]) => Some(u32::from_le_bytes([*a, *b, *c, *d]).into()),
            (REG_DWORD_BIG_ENDIAN, [a, b, c, d]) => Some(u32::from_be_bytes([*a, *b, *c, *d]).into()),
            (REG_QWORD, bytes) => i64::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok(),
            _ => None,
        }
    }

    /// Up to its end mark.
    pub fn as_text(&self) -> Option<String> {
        let is_text = matches!(self.ty, REG_SZ | REG_EXPAND_SZ);
        is_text.then(|| self.units().split(|unit| *unit == 0).next().map(String::from_utf16_lossy))?
    }

    pub fn as_list(&self) -> Option<Vec<String>> {
        let texts = self.units();
        let lines = texts.split(|unit| *unit == 0).map(String::from_utf16_lossy);
        (self.ty == REG_MULTI_SZ).then(|| lines.filter(|line| !line.is_empty()).collect())
    }

    fn units(&self) -> Vec<u16> {
        self.data.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
    }
}

/// As `reg` shows it: the type, and the data in its own form.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.ty {
            REG_DWORD => "REG_DWORD",
            REG_QWORD => "REG_QWORD",
            REG_SZ => "REG_SZ",
            REG_EXPAND_SZ => "REG_EXPAND_SZ",
            REG_MULTI_SZ => "REG_MULTI_SZ",
            REG_BINARY => "REG_BINARY",
            other => return write!(f, "type {other} {}", brief(&self.data)),
        };
        if let Some(number) = self.as_number() {
            return write!(f, "{name} {number}");
        }
        match (self.as_text(), self.as_list()) {
            (Some(text), _) => write!(f, "{name} {text:?}"),
            (None, Some(list)) => write!(f, "{name} {list:?}"),
            (None, None) => write!(f, "{name} {}", brief(&self.data)),
        }
    }
}

fn brief(bytes: &[u8]) -> String {
    match bytes.get(..64) {
        Some(head) if bytes.len() > 64 => format!("{}… ({} bytes)", hex::encode(head), bytes.len()),
        _ => hex::encode(bytes),
    }
}
