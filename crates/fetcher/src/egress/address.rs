//! What an address is: public, or in one of the tiers that a stranger's definition may not reach.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is closed, and so who may open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Cloud metadata services: they hand out credentials, so nothing opens them.
    Metadata,
    /// This very host (127/8, `::1`, 0/8, `::`).
    Loopback,
    /// Link-local addresses (169.254/16, `fe80::/10`).
    LinkLocal,
    /// Private networks (RFC 1918, carrier-grade NAT, `fc00::/7`, site-local).
    Private,
    /// Addresses that are no unicast destination on the internet: multicast, documentation,
    /// benchmarks, translation prefixes (NAT64, 6to4, Teredo), reserved blocks.
    Reserved,
    /// Addresses that the operator closed (`--deny-cidr`): the cluster's own pods and services.
    Denied,
}

impl Tier {
    /// Names the tier as a message says it: "a loopback address (this host itself)".
    pub fn describe(self) -> &'static str {
        match self {
            Tier::Metadata => "a cloud metadata address",
            Tier::Loopback => "a loopback address (this host itself)",
            Tier::LinkLocal => "a link-local address",
            Tier::Private => "a private network address",
            Tier::Reserved => "a reserved address",
            Tier::Denied => "in a network closed by the operator",
        }
    }
}

/// A network in CIDR notation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Self {
        Cidr {
            address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            prefix,
        }
    }

    const fn v6(high: [u16; 4], prefix: u8) -> Self {
        let address = Ipv6Addr::new(high[0], high[1], high[2], high[3], 0, 0, 0, 0);
        Cidr {
            address: IpAddr::V6(address),
            prefix,
        }
    }

    /// Parses `10.0.0.0/8`, `fd00::/8`, `[fd00::]/8`; a bare address is itself alone.
    /// Bits beyond the prefix are refused: `10.0.0.1/8` was a slip of the pen.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
        };
        if prefix > width {
            return None;
        }
        let cidr = Cidr { address, prefix };
        (cidr.masked(address) == Some(bits(address))).then_some(cidr)
    }

    /// Tells whether `address` is in this network (an IPv4-mapped form counts as its IPv4 address).
    pub fn contains(&self, address: IpAddr) -> bool {
        self.masked(address.to_canonical()) == Some(bits(self.address))
    }

    /// Tells whether every address of this network is in `other`.
    pub fn lies_within(&self, other: &Cidr) -> bool {
        self.prefix >= other.prefix && other.contains(self.address)
    }

    fn masked(&self, address: IpAddr) -> Option<u128> {
        if address.is_ipv4() != self.address.is_ipv4() {
            return None;
        }
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        let host = width - u32::from(self.prefix);
        let value = bits(address);
        Some(if host == 128 {
            0
        } else {
            value >> host << host
        })
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The closed blocks, narrowest meaning first where they overlap. From the IANA special-purpose
/// registries for IPv4 and IPv6 and the metadata addresses that the big clouds document.
const CLOSED: &[(Cidr, Tier)] = &[
    (Cidr::v4(169, 254, 169, 254, 32), Tier::Metadata), // AWS, Google, Azure, DigitalOcean, Oracle …
    (Cidr::v4(169, 254, 170, 2, 32), Tier::Metadata),   // AWS ECS task credentials
    (Cidr::v4(169, 254, 170, 23, 32), Tier::Metadata),  // AWS EKS pod identity
    (Cidr::v4(169, 254, 169, 123, 32), Tier::Metadata), // AWS time service, same host
    (Cidr::v4(169, 254, 169, 253, 32), Tier::Metadata), // AWS resolver, same host
    (Cidr::v4(169, 254, 0, 23, 32), Tier::Metadata),    // Tencent
    (Cidr::v4(169, 254, 42, 42, 32), Tier::Metadata),   // Scaleway
    (Cidr::v4(168, 63, 129, 16, 32), Tier::Metadata),   // Azure wire server
    (Cidr::v4(192, 0, 0, 192, 32), Tier::Metadata),     // Oracle
    (Cidr::v4(100, 100, 100, 200, 32), Tier::Metadata), // Alibaba
    (Cidr::v6([0xfd00, 0x0ec2, 0, 0], 32), Tier::Metadata), // AWS over IPv6
    (Cidr::v6([0xfd20, 0x00ce, 0, 0], 32), Tier::Metadata), // Google over IPv6
    (Cidr::v4(0, 0, 0, 0, 8), Tier::Loopback),          // 0.0.0.0 connects to loopback on Linux
    (Cidr::v4(127, 0, 0, 0, 8), Tier::Loopback),
    (Cidr::v6([0, 0, 0, 0], 127), Tier::Loopback), // `::` and `::1`
    (Cidr::v4(169, 254, 0, 0, 16), Tier::LinkLocal),
    (Cidr::v6([0xfe80, 0, 0, 0], 10), Tier::LinkLocal),
    (Cidr::v4(10, 0, 0, 0, 8), Tier::Private),
    (Cidr::v4(172, 16, 0, 0, 12), Tier::Private),
    (Cidr::v4(192, 168, 0, 0, 16), Tier::Private),
    (Cidr::v4(100, 64, 0, 0, 10), Tier::Private), // carrier-grade NAT
    (Cidr::v6([0xfc00, 0, 0, 0], 7), Tier::Private),
    (Cidr::v6([0xfec0, 0, 0, 0], 10), Tier::Private), // site-local of old
    (Cidr::v4(192, 0, 0, 0, 24), Tier::Reserved),
    (Cidr::v4(192, 0, 2, 0, 24), Tier::Reserved), // documentation
    (Cidr::v4(192, 31, 196, 0, 24), Tier::Reserved), // AS112
    (Cidr::v4(192, 52, 193, 0, 24), Tier::Reserved), // AMT
    (Cidr::v4(192, 88, 99, 0, 24), Tier::Reserved), // 6to4 relay anycast
    (Cidr::v4(192, 175, 48, 0, 24), Tier::Reserved), // AS112
    (Cidr::v4(198, 18, 0, 0, 15), Tier::Reserved), // benchmarks
    (Cidr::v4(198, 51, 100, 0, 24), Tier::Reserved), // documentation
    (Cidr::v4(203, 0, 113, 0, 24), Tier::Reserved), // documentation
    (Cidr::v4(224, 0, 0, 0, 4), Tier::Reserved),  // multicast
    (Cidr::v4(240, 0, 0, 0, 4), Tier::Reserved),  // future use and broadcast
    (Cidr::v6([0x2001, 0, 0, 0], 23), Tier::Reserved), // protocol assignments, Teredo, benchmarks
    (Cidr::v6([0x2001, 0x0db8, 0, 0], 32), Tier::Reserved), // documentation
    (Cidr::v6([0x2002, 0, 0, 0], 16), Tier::Reserved), // 6to4
    (Cidr::v6([0x2620, 0x004f, 0x8000, 0], 48), Tier::Reserved), // AS112
    (Cidr::v6([0x3fff, 0, 0, 0], 20), Tier::Reserved), // documentation
];

/// The only IPv6 block that holds destinations on the internet.
const GLOBAL_UNICAST: Cidr = Cidr::v6([0x2000, 0, 0, 0], 3);

/// Returns the tier of an address that must not be called, or nothing for a public one.
///
/// IPv4-mapped addresses count as their IPv4 address. An IPv6 address that carries an IPv4 one
/// (NAT64, 6to4, ISATAP, IPv4-compatible, Teredo) is at least as closed as what it carries.
pub fn classify(address: IpAddr) -> Option<Tier> {
    let address = address.to_canonical();
    if let Some(tier) = closed_block(address).map(|(_, tier)| tier) {
        // A translated metadata address is told as one: nothing may open it.
        return match carried(address).and_then(classify_v4) {
            Some(Tier::Metadata) => Some(Tier::Metadata),
            _ => Some(tier),
        };
    }
    carried(address).and_then(classify_v4)
}

/// Returns the closed block that decides over `address`: the one an allow-list entry must lie in.
pub(super) fn closed_block(address: IpAddr) -> Option<(Cidr, Tier)> {
    let address = address.to_canonical();
    let listed = CLOSED
        .iter()
        .find(|(block, _)| block.contains(address))
        .copied();
    match address {
        IpAddr::V6(_) if listed.is_none() && !GLOBAL_UNICAST.contains(address) => Some((
            Cidr {
                address,
                prefix: 128,
            },
            Tier::Reserved,
        )),
        _ => listed,
    }
}

/// Tells whether `network` lies wholly in one closed block, and so is worth writing in a list.
pub(super) fn block_around(network: &Cidr) -> Option<(Cidr, Tier)> {
    let mut around: Vec<_> = CLOSED
        .iter()
        .filter(|(block, _)| network.lies_within(block))
        .copied()
        .collect();
    around.sort_by_key(|(block, _)| std::cmp::Reverse(block.prefix));
    around.first().copied()
}

fn classify_v4(address: Ipv4Addr) -> Option<Tier> {
    closed_block(IpAddr::V4(address)).map(|(_, tier)| tier)
}

/// The IPv4 address inside an IPv6 one, where a translator or tunnel would send the packet there.
fn carried(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let segments = v6.segments();
    let pair = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match segments {
        // Teredo keeps it bit-inverted at its end.
        [0x2001, 0, .., high, low] => Some(pair(!high, !low)),
        // 6to4 behind its prefix; IPv4-compatible, IPv4-translated, both NAT64 prefixes and ISATAP ids at the end.
        [0x2002, high, low, ..]
        | [0, 0, 0, 0, 0 | 0xffff, 0, high, low]
        | [0x64, 0xff9b, .., high, low]
        | [.., 0 | 0x200, 0x5efe, high, low] => Some(pair(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(text: &str) -> Option<Tier> {
        classify(text.parse().expect("an address"))
    }

    #[test]
    fn every_special_block_is_closed_at_both_ends_and_open_beside_them() {
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "255.255.255.255"),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            assert!(tier(first).is_some(), "{first} is closed");
            assert!(tier(last).is_some(), "{last} is closed");
        }
        for open in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "8.8.8.8",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "2001:4860:4860::8888",
        ] {
            assert_eq!(tier(open), None, "{open} is public");
        }
    }

    #[test]
    fn a_carried_address_is_as_closed_as_what_it_carries() {
        assert_eq!(tier("::ffff:127.0.0.1"), Some(Tier::Loopback));
        assert_eq!(
            tier("::ffff:8.8.8.8"),
            None,
            "a mapped public address is that address"
        );
        assert_eq!(tier("64:ff9b::a9fe:a9fe"), Some(Tier::Metadata));
        assert_eq!(tier("64:ff9b:1::a9fe:a9fe"), Some(Tier::Metadata));
        assert_eq!(tier("2002:a9fe:a9fe::1"), Some(Tier::Metadata));
        assert_eq!(
            tier("2001:0:4136:e378:8000:63bf:5601:5601"),
            Some(Tier::Metadata)
        );
        assert_eq!(tier("::ffff:0:127.0.0.1"), Some(Tier::Reserved));
        assert_eq!(
            tier("2606:4700::5efe:10.0.0.1"),
            Some(Tier::Private),
            "isatap over a public prefix"
        );
    }

    #[test]
    fn a_network_is_parsed_strictly() {
        assert!(Cidr::parse("10.0.0.0/8").is_some());
        assert!(Cidr::parse("fd00::/8").is_some());
        assert!(Cidr::parse("10.0.0.1").is_some());
        for wrong in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10/8",
            "x",
            "",
        ] {
            assert!(Cidr::parse(wrong).is_none(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_mapped_address_is_judged_like_its_plain_form(bits: u32) {
            let plain = Ipv4Addr::from_bits(bits);
            proptest::prop_assert_eq!(classify(plain.into()), classify(plain.to_ipv6_mapped().into()));
        }

        #[test]
        fn translation_prefixes_are_closed_whatever_they_carry(bits: u32) {
            let [w, x, y, z] = bits.to_be_bytes();
            let (a, b) = (u16::from_be_bytes([w, x]), u16::from_be_bytes([y, z]));
            for v6 in [
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
                Ipv6Addr::new(0x64, 0xff9b, 1, 7, 0, 0, a, b),
                Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, a, b),
            ] {
                proptest::prop_assert!(classify(v6.into()).is_some());
            }
        }
    }
}
