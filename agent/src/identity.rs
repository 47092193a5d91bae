//! Keys, enrolment, what is pinned.
