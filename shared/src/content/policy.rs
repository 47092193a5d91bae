//! A policy of the content.
