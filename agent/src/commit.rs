//! From a judged change to the host: originals kept, each file exchanged and verified.
