//! The same tools at declared work.
