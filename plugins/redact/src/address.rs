//! Truncation of IP addresses: the network stays, the host part goes.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::edit::{Edit, pieces};

/// How many leading bits of an address are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefixes {
    /// Bits of an IPv4 address, 0 to 32.
    pub(crate) ipv4: u32,
    /// Bits of an IPv6 address, 0 to 128.
    pub(crate) ipv6: u32,
}

impl Prefixes {
    /// Returns `address` with every bit past the prefix cleared.
    ///
    /// An IPv4 address written as IPv6 (`::ffff:192.0.2.7`) is an IPv4 address.
    fn truncate(self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(v4) => self.truncate_v4(v4).into(),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => self.truncate_v4(v4).to_ipv6_mapped().into(),
                None => {
                    let mask = u128::MAX.checked_shl(128 - self.ipv6).unwrap_or(0);
                    Ipv6Addr::from(u128::from(v6) & mask).into()
                }
            },
        }
    }

    fn truncate_v4(self, address: Ipv4Addr) -> Ipv4Addr {
        let mask = u32::MAX.checked_shl(32 - self.ipv4).unwrap_or(0);
        Ipv4Addr::from(u32::from(address) & mask)
    }

    /// Cuts the value of a column that holds one address.
    ///
    /// Text that is no address goes and leaves nothing, because the column can
    /// hold nothing else.
    pub(crate) fn column(self, edit: &mut Edit<'_, '_>, part: Range<usize>) {
        match edit.part(part.clone()).parse() {
            Ok(address) => self.replace(edit, part, address),
            Err(_) => edit.replace(part, ""),
        }
    }

    /// Cuts each of a list of addresses as in the header `X-Forwarded-For`:
    /// separated by commas, each perhaps with a port.
    ///
    /// A port is dropped, since with a time it singles a viewer out too. The
    /// word `unknown` stays; an element that is no address is replaced.
    pub(crate) fn list(self, edit: &mut Edit<'_, '_>, part: Range<usize>) {
        let text = edit.part(0..part.end);
        for piece in pieces(text, part, b',') {
            let unspaced = text[piece.clone()].trim_start();
            let element = unspaced.trim_end();
            let start = piece.end - unspaced.len();
            let place = start..start + element.len();
            match parse_with_port(element) {
                Some(address) => self.replace(edit, place, address),
                None if element.is_empty() || element == "unknown" => {}
                None => edit.redact(place),
            }
        }
    }

    fn replace(self, edit: &mut Edit<'_, '_>, part: Range<usize>, address: IpAddr) {
        let mut text = AddressText {
            bytes: [0; 48],
            length: 0,
        };
        let truncated = self.truncate(address);
        write!(text, "{truncated}").expect("an address has at most 45 characters");
        edit.replace(part, text.as_str());
    }
}

/// The text of an address, made in place: formatting writes it in up to 15
/// pieces, and a piece is cheaper here than in the output.
struct AddressText {
    bytes: [u8; 48],
    length: usize,
}

impl AddressText {
    fn as_str(&self) -> &str {
        // Only whole `str`s are written.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl std::fmt::Write for AddressText {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        for byte in piece.bytes() {
            *self.bytes.get_mut(self.length).ok_or(std::fmt::Error)? = byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// Tells whether `text` is nothing but addresses, as [`Prefixes::list`] cuts
/// them.
pub(crate) fn is_list(text: &str) -> bool {
    // Nearly every other text is settled by its first byte.
    let first = text.as_bytes().first();
    first.is_some_and(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'[' | b'"'))
        && text
            .split(',')
            .all(|element| parse_with_port(element.trim()).is_some())
}

/// Parses `192.0.2.7`, `192.0.2.7:443`, `2001:db8::1`, `[2001:db8::1]` and
/// `[2001:db8::1]:443`, in double quotes or not, with a zone (`%eth0`) or not.
fn parse_with_port(element: &str) -> Option<IpAddr> {
    let element = element
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(element);
    if let Ok(address) = element.parse() {
        return Some(address);
    }
    let host = match element.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_number);
            is_port.then_some(host)?
        }
        None => match element.rsplit_once(':') {
            Some((host, port)) if is_number(port) && !host.contains(':') => host,
            _ => element,
        },
    };
    let host = host.split_once('%').map_or(host, |(host, _zone)| host);
    host.parse().ok()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use canopy_sdk::Text;
    use proptest::prelude::*;

    use super::*;

    const DEFAULT: Prefixes = Prefixes { ipv4: 24, ipv6: 48 };

    fn run(cut: fn(Prefixes, &mut Edit<'_, '_>, Range<usize>), value: &str) -> String {
        let mut out = Text::default();
        let mut edit = Edit::new(value, &mut out);
        cut(DEFAULT, &mut edit, 0..value.len());
        edit.finish();
        out.as_str().to_owned()
    }

    fn column(value: &str) -> String {
        run(Prefixes::column, value)
    }

    fn list(value: &str) -> String {
        run(Prefixes::list, value)
    }

    #[test]
    fn the_network_stays_and_the_host_goes() {
        assert_eq!(column("203.0.113.77"), "203.0.113.0");
        assert_eq!(
            column("2001:db8:85a3:8d3:1319:8a2e:370:7348"),
            "2001:db8:85a3::"
        );
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_cut_as_ipv4() {
        assert_eq!(column("::ffff:203.0.113.77"), "::ffff:203.0.113.0");
    }

    #[test]
    fn what_is_no_address_leaves_nothing_in_an_address_column() {
        assert_eq!(column("-"), "");
        assert_eq!(column("203.0.113.77:80"), "");
        assert_eq!(column(""), "");
    }

    #[test]
    fn every_element_of_a_list_is_cut() {
        assert_eq!(
            list("203.0.113.77, 2001:db8:1:2::9,198.51.100.4"),
            "203.0.113.0, 2001:db8:1::,198.51.100.0"
        );
        assert_eq!(list(""), "");
    }

    #[test]
    fn ports_brackets_quotes_and_zones_are_dropped() {
        assert_eq!(list("203.0.113.77:4711"), "203.0.113.0");
        assert_eq!(list("[2001:db8:1:2::9]:4711"), "2001:db8:1::");
        assert_eq!(list("\"[2001:db8:1:2::9]\""), "2001:db8:1::");
        assert_eq!(list("fe80::1%eth0"), "fe80::");
    }

    #[test]
    fn elements_that_are_no_address_are_replaced() {
        assert_eq!(list("unknown, 203.0.113.7"), "unknown, 203.0.113.0");
        assert_eq!(list("alice, 203.0.113.7"), "REDACTED, 203.0.113.0");
        assert_eq!(list("203.0.113.7 evil"), "REDACTED");
        assert_eq!(list("[2001:db8::1"), "REDACTED");
    }

    #[test]
    fn zero_and_all_bits_are_allowed() {
        let nothing = Prefixes { ipv4: 0, ipv6: 0 };
        let everything = Prefixes {
            ipv4: 32,
            ipv6: 128,
        };
        for (prefixes, v4, v6) in [
            (nothing, "0.0.0.0", "::"),
            (everything, "203.0.113.77", "2001:db8::7"),
        ] {
            assert_eq!(
                prefixes
                    .truncate("203.0.113.77".parse().unwrap())
                    .to_string(),
                v4
            );
            assert_eq!(
                prefixes
                    .truncate("2001:db8::7".parse().unwrap())
                    .to_string(),
                v6
            );
        }
    }

    proptest! {
        #[test]
        fn addresses_of_one_network_become_the_same(a in any::<u32>(), host in 0u32..256) {
            let neighbour = (a & !0xff) | host;
            prop_assert_eq!(
                DEFAULT.truncate(Ipv4Addr::from(a).into()),
                DEFAULT.truncate(Ipv4Addr::from(neighbour).into())
            );
        }

        #[test]
        fn no_text_panics_and_every_result_is_an_address_or_empty(value in ".{0,60}") {
            let cut = column(&value);
            prop_assert!(cut.is_empty() || cut.parse::<IpAddr>().is_ok());
            list(&value);
        }
    }
}
