//! The agents' wire, a file a route: [`aright_shared::wire`].

pub mod check_in;
pub mod enroll;
pub mod renew;
pub mod time;
