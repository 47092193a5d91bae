//! A tree that is looked at: the live host, a stage, or a prepared folder.
