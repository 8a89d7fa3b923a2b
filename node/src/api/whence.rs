//! Where the other end of a connection is, as far as shares go by it.

use std::net::IpAddr;

/// What one party can hardly have many of, so that shares go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Whence {
    /// This machine: every program here, and what a proxy lets in.
    Here,
    /// An address; of IPv6 its first half, which is a customer's.
    There(u64),
}

impl Whence {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address.is_loopback() => Self::Here,
            IpAddr::V4(address) => Self::There(u64::from(u32::from(address))),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::There(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_this_machine_is_one_and_so_is_half_an_address_of_ipv6() {
        let of = |text: &str| Whence::of(text.parse().unwrap());
        assert_eq!(of("127.0.0.1"), Whence::Here);
        assert_eq!(of("127.9.9.9"), of("::1"));
        assert_eq!(of("::ffff:127.0.0.1"), Whence::Here);
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
