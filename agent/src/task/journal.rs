//! The steps of a task as one enum, each on disk before it is taken.
