//! The controller: posture, policies, scripts, jobs; an agents' port, an operators' port.
