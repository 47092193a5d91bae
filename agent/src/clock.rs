//! The clock's offset from the controller's, measured as NTP does (RFC 5905).
