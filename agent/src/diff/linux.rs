//! What text does not tell of a change on Linux: kinds, modes, owners, extended attributes.

use super::fact;
use crate::meta::{Kind, Meta};

/// What text does not tell: kinds, targets, and digests where there is no text.
pub fn kinds(before: Option<&Meta>, after: Option<&Meta>, no_text: bool) -> Vec<String> {
    let mut facts = Vec::new();
    let kind = |meta: &Meta| match &meta.kind {
        Kind::File { .. } => "file",
        Kind::Link { .. } => "link",
        Kind::Folder => "folder",
        Kind::Special { .. } => "special file",
    };
    let target = |meta: &Meta| match &meta.kind {
        Kind::Link { target } => Some(target.to_string()),
        Kind::File { .. } | Kind::Folder | Kind::Special { .. } => None,
    };
    let content = |meta: &Meta| match &meta.kind {
        Kind::File { size, digest } => Some(format!("{} ({size} bytes)", digest.hex())),
        Kind::Link { .. } | Kind::Folder | Kind::Special { .. } => None,
    };
    let other_than_file = |meta: Option<&Meta>| meta.is_some_and(|m| !matches!(m.kind, Kind::File { .. }));
    if before.map(kind) != after.map(kind) && (other_than_file(before) || other_than_file(after)) {
        facts.extend(fact("kind", before.map(kind).map(str::to_owned), after.map(kind).map(str::to_owned)));
    }
    facts.extend(fact("target", before.and_then(target), after.and_then(target)));
    if no_text {
        facts.extend(fact("sha256", before.and_then(content), after.and_then(content)));
    }
    facts
}

pub fn attributes(before: Option<&Meta>, after: Option<&Meta>) -> Vec<String> {
    let mode = |meta: &Meta| {
        let link = matches!(meta.kind, Kind::Link { .. });
        (!link).then(|| format!("{:04o}", meta.mode))
    };
    let owner = |meta: &Meta| format!("{}:{}", user(meta.uid), group(meta.gid));
    let mut facts: Vec<_> = fact("mode", before.and_then(mode), after.and_then(mode)).into_iter().collect();
    facts.extend(fact("owner", before.map(owner), after.map(owner)));
    let names =
        |meta: Option<&Meta>| meta.map(|meta| meta.xattrs.keys().cloned().collect()).unwrap_or_default();
    let (old, new): (Vec<String>, Vec<String>) = (names(before), names(after));
    let mut all: Vec<_> = old.into_iter().chain(new).collect();
    all.sort();
    all.dedup();
    for name in all {
        let value = |meta: Option<&Meta>| meta.and_then(|meta| meta.xattrs.get(&name)).map(|v| brief(&v.0));
        facts.extend(fact(&name, value(before), value(after)));
    }
    facts
}

/// A short attribute as text or hexadecimal digits, a long one by its beginning.
fn brief(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).ok().map(|text| text.trim_end_matches('\0'));
    match text {
        Some(text) if text.len() <= 80 && !text.contains(char::is_control) => format!("{text:?}"),
        _ if bytes.len() <= 64 => hex::encode(bytes),
        _ => format!("{}… ({} bytes)", hex::encode(&bytes[..32]), bytes.len()),
    }
}

fn user(uid: u32) -> String {
    let known = nix::unistd::User::from_uid(uid.into()).ok().flatten();
    known.map_or_else(|| uid.to_string(), |user| user.name)
}

fn group(gid: u32) -> String {
    let known = nix::unistd::Group::from_gid(gid.into()).ok().flatten();
    known.map_or_else(|| gid.to_string(), |group| group.name)
}
