//! The loop: check in, take, run, report.
