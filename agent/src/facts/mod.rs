//! What this host is: name, system, memory, boot time.
