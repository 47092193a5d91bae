//! Routes.

use std::net::Ipv4Addr;

use windows_sys::Win32::NetworkManagement::IpHelper::{GetBestRoute, MIB_IPFORWARDROW};

/// An address of documentation (RFC 5737): on no network of anybody's, so only a default route leads there.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

pub fn has_default_route() -> bool {
    let mut route = MIB_IPFORWARDROW::default();
    // SAFETY: plain numbers, and room for one row.
    unsafe { GetBestRoute(u32::from_ne_bytes(ELSEWHERE.octets()), 0, &raw mut route) == 0 }
}
