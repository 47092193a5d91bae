//! The typed HTTPS client: one pinned authority, one error type.
