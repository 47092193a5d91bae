//! Who is asking: agents by certificate, people by token.

pub mod agent;
pub mod noted;
pub mod operator;
pub mod password;
mod recall;
pub mod throttle;
pub mod token;
