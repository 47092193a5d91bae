//! A change set as people read it.
