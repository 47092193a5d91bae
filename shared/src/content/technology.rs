//! A technology of the content.
