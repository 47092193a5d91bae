//! A control of the content.
