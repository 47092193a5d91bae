//! The two ports: TLS by rustls, HTTP/1.1 by hyper, bounded in connections and in time.

mod listen;
mod tls;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::config::Settings;

pub use listen::{Peer, Port};
pub use tls::{ServerKey, agents_tls, operators_tls};

/// The addresses in use, as `run/addresses.json` tells them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Addresses {
    pub agents: SocketAddr,
    pub operators: SocketAddr,
}

/// What this machine is called: the settings' names first, then its host name, loopback, and the very
/// addresses that are listened on.
pub fn names(settings: &Settings) -> Vec<String> {
    let own = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let listen = [settings.agents.listen, settings.operators.listen].map(|address| address.ip());
    let listen = listen.into_iter().filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
    let mut names: Vec<String> = Vec::new();
    for name in settings.agents.names.iter().cloned().chain([own]).chain(loopback).chain(listen) {
        if crate::config::is_host(&name) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// `https://` addresses under which a port may be reached, the most likely first.
pub fn urls(address: SocketAddr, names: &[String]) -> Vec<String> {
    let url = |host: &str| match host.contains(':') {
        true => format!("https://[{host}]:{}", address.port()),
        false => format!("https://{host}:{}", address.port()),
    };
    match address.ip().is_unspecified() {
        true => names.iter().map(|name| url(name)).collect(),
        false => vec![url(&address.ip().to_string())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_what_is_listened_on() {
        let names = ["ctl.example.org".to_owned(), "::1".to_owned()];
        let any = urls(([0, 0, 0, 0], 8440).into(), &names);
        assert_eq!(any, ["https://ctl.example.org:8440", "https://[::1]:8440"]);
        assert_eq!(urls(([127, 0, 0, 1], 1).into(), &names), ["https://127.0.0.1:1"]);
    }

    #[test]
    fn loopback_and_the_address_listened_on_are_always_among_the_names_and_none_comes_twice() {
        let mut settings = Settings::default();
        settings.agents.names = vec!["localhost".into(), "10.0.0.1".into()];
        settings.agents.listen = ([10, 0, 0, 2], 0).into();
        let names = names(&settings);
        assert_eq!(&names[..2], ["localhost", "10.0.0.1"]);
        assert!(names.contains(&"127.0.0.1".to_owned()) && names.contains(&"::1".to_owned()));
        assert!(names.contains(&"10.0.0.2".to_owned()));
        assert_eq!(names.iter().filter(|name| *name == "localhost").count(), 1);
    }
}
