//! Typed activation after the commit: reload, restart, enable, sysctl …, each with its check and inverse.
