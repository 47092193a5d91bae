//! Probes: what a control looks at, over a root.
