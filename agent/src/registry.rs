//! The machine's registry (64-bit view), by names as `HKLM\SOFTWARE\…`: what is not there is `None`.

use std::io;

use serde::{Deserialize, Serialize};
use windows_registry::{Key, LOCAL_MACHINE};
use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND, ERROR_SUCCESS};
use windows_sys::Win32::System::Registry::{
    REG_BINARY, REG_DWORD, REG_DWORD_BIG_ENDIAN, REG_EXPAND_SZ, REG_MULTI_SZ, REG_QWORD, REG_SZ,
    RegDeleteKeyExW, RegFlushKey,
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

fn there<T>(result: windows_registry::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            let error = io::Error::from(error);
            let code = error.raw_os_error().unwrap_or_default().cast_unsigned() & 0xffff;
            if [ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND].contains(&code) { Ok(None) } else { Err(error) }
        }
    }
}

fn open(key: &str) -> io::Result<Option<Key>> {
    there(LOCAL_MACHINE.options().read().open(below(key)?))
}

/// For writing; made where it is not there.
fn open_to_write(key: &str) -> io::Result<Key> {
    Ok(LOCAL_MACHINE.options().read().write().create().open(below(key)?)?)
}

pub fn exists(key: &str) -> io::Result<bool> {
    Ok(open(key)?.is_some())
}

/// # Errors
/// It cannot be read, or is longer than [`MAX_VALUE`].
pub fn value(key: &str, name: &str) -> io::Result<Option<Value>> {
    let Some(key) = open(key)? else { return Ok(None) };
    there(key.get_value(name))?.map(stored).transpose()
}

fn stored(value: windows_registry::Value) -> io::Result<Value> {
    if value.len() > MAX_VALUE {
        return Err(io::Error::other(format!("{} bytes, above the limit of {MAX_VALUE}", value.len())));
    }
    Ok(Value { ty: value.ty().into(), data: value.to_vec() })
}

/// Every value of a key with its name; none where there is no key.
///
/// # Errors
/// One cannot be read.
pub fn values(key: &str) -> io::Result<Vec<(String, Value)>> {
    let Some(key) = open(key)? else { return Ok(Vec::new()) };
    let all: Vec<_> = key.values()?.collect();
    all.into_iter().map(|(name, value)| Ok((name, stored(value)?))).collect()
}

/// Names of the keys right below a key.
///
/// # Errors
/// They cannot be listed.
pub fn keys(key: &str) -> io::Result<Vec<String>> {
    let Some(key) = open(key)? else { return Ok(Vec::new()) };
    Ok(key.keys()?.collect())
}

/// # Errors
/// It cannot be written.
pub fn set(key: &str, name: &str, value: &Value) -> io::Result<()> {
    Ok(open_to_write(key)?.set_bytes(name, value.ty.into(), &value.data)?)
}

/// # Errors
/// It is there and cannot be removed.
pub fn remove(key: &str, name: &str) -> io::Result<()> {
    if open(key)?.is_none() {
        return Ok(());
    }
    there(open_to_write(key)?.remove_value(name)).map(drop)
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
        code => Err(io::Error::from_raw_os_error(code.cast_signed())),
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
        code => Err(io::Error::from_raw_os_error(code.cast_signed())),
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
