//! The lab's network: one bridge, the controller's address on it, a cable to each host.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nix::sched::{CloneFlags, setns};
use nix::unistd::Pid;

use crate::lab::{Lab, enter};
use crate::process::success;

/// Where controllers listen.
pub const CONTROLLER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// The address of the nth host.
pub(crate) fn address(number: u8) -> Ipv4Addr {
    let [a, b, c, _] = CONTROLLER.octets();
    Ipv4Addr::new(a, b, c, 10 + number)
}

pub(crate) fn bridge(lab: &Lab) -> anyhow::Result<()> {
    ip(lab, &["link", "add", "lan", "type", "bridge"])?;
    ip(lab, &["address", "add", &format!("{CONTROLLER}/24"), "dev", "lan"])?;
    ip(lab, &["link", "set", "lan", "up"])
}

/// Plugs the nth host in: `cable-N` on the bridge, `host0` in the host.
pub(crate) fn plug(lab: &Lab, number: u8, host: Pid) -> anyhow::Result<()> {
    let cable = cable(number);
    let peer = host.to_string();
    ip(lab, &["link", "add", &cable, "type", "veth", "peer", "name", "host0", "netns", &peer])?;
    ip(lab, &["link", "set", &cable, "master", "lan", "up"])?;
    let inside = |args: &[&str]| success(enter(host, &["-n"], "ip").args(args)).map(drop);
    inside(&["address", "add", &format!("{}/24", address(number)), "dev", "host0"])?;
    inside(&["link", "set", "host0", "up"])?;
    inside(&["route", "add", "default", "via", &CONTROLLER.to_string()])
}

/// Pulls the nth host's cable, or puts it back.
pub(crate) fn link(lab: &Lab, number: u8, state: &str) -> anyhow::Result<()> {
    ip(lab, &["link", "set", &cable(number), state])
}

/// A connection out of the lab's network, for the test itself.
///
/// # Errors
/// Nobody listens there, or not within five seconds.
pub fn connect(lab: &Lab, address: SocketAddr) -> anyhow::Result<TcpStream> {
    Network::of(lab)?.connect(address)
}

/// A free port of the controller's address, for the test itself.
///
/// # Errors
/// None is free.
pub fn listen(lab: &Lab) -> anyhow::Result<TcpListener> {
    Network::of(lab)?.inside(|| Ok(TcpListener::bind((CONTROLLER, 0))?))
}

/// Serves each connection to a free port of the controller's address on a thread of its own, until the test's process
/// ends. One that breaks is asked for anew by whoever wants it.
///
/// # Errors
/// None is free.
pub(crate) fn serve(
    lab: &Lab,
    each: impl Fn(TcpStream) -> anyhow::Result<()> + Send + Sync + 'static,
) -> anyhow::Result<SocketAddr> {
    let listener = listen(lab)?;
    let address = listener.local_addr()?;
    let each = Arc::new(each);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = each.clone();
            std::thread::spawn(move || each(stream));
        }
    });
    Ok(address)
}

/// Runs something of the test's own in the lab's network, on a thread made for it; so do the threads that it starts.
///
/// # Errors
/// What `work` says, or that it panicked.
pub fn inside<T: Send>(lab: &Lab, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    Network::of(lab)?.inside(work)
}

/// The lab's network, for threads that outlive the test's own hold on the lab.
pub(crate) struct Network(File);

impl Network {
    pub(crate) fn of(lab: &Lab) -> anyhow::Result<Self> {
        Ok(Self(File::open(format!("/proc/{}/ns/net", lab.init()))?))
    }

    pub(crate) fn connect(&self, address: SocketAddr) -> anyhow::Result<TcpStream> {
        self.inside(move || Ok(TcpStream::connect_timeout(&address, Duration::from_secs(5))?))
    }

    /// Runs something of the test's own there, on a thread made for it.
    fn inside<T: Send>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let enter_and_work = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET)?;
            work()
        };
        std::thread::scope(|scope| scope.spawn(enter_and_work).join()).ok().context("the thread panicked")?
    }
}

fn cable(number: u8) -> String {
    format!("cable-{number}")
}

fn ip(lab: &Lab, args: &[&str]) -> anyhow::Result<()> {
    success(lab.network("ip").args(args)).map(drop)
}
