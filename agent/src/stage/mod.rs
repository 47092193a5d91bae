//! A copy-on-write view of the host's files, and what a script changed on it.
