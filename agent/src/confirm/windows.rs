//! Windows: remote desktop and remote management answer, and a default route.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Probe;
use crate::windows::network::has_default_route;

/// How long a local port may take to answer.
const GREETING: Duration = Duration::from_secs(3);

/// Each probe of this system, and whether it holds.
pub fn look() -> Vec<(Probe, bool)> {
    let answers = |port: u16| {
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        TcpStream::connect_timeout(&at, GREETING).is_ok()
    };
    vec![
        (Probe::RemoteDesktop, answers(3389)),
        (Probe::RemoteManagement, answers(5985) || answers(5986)),
        (Probe::DefaultRoute, has_default_route()),
    ]
}
