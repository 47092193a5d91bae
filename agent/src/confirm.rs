//! Proof of contact after a change that can lock people out.
