//! Where viewers are: networks with their country, city, operator and the edge
//! locations that serve them, all consistent with each other.
//!
//! A network is a place and an operator. Network `i` owns 100.(64+i).0.0/16 and
//! 2001:db8:(i+1)00::/40, space that nobody has; see the crate's root.

use crate::random::{Random, mix};

/// What kind of operator a network belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Homes and offices.
    Fixed,
    /// Phones.
    Mobile,
    /// Servers: crawlers, scripts, monitors.
    Hosting,
}

/// An operator of networks.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) asn: u32,
    pub(crate) name: &'static str,
    pub(crate) line: Line,
}

const fn operator(asn: u32, name: &'static str, line: Line) -> Operator {
    Operator { asn, name, line }
}

static ALDER: Operator = operator(64512, "Alder Broadband", Line::Fixed);
static CASCADE: Operator = operator(64513, "Cascade Fiber", Line::Fixed);
static PRAIRIE: Operator = operator(64514, "Prairie Mobile", Line::Mobile);
static MAPLE: Operator = operator(64518, "Maple Cable", Line::Fixed);
static HEIDE: Operator = operator(64520, "Heide Telekom", Line::Fixed);
static ISAR: Operator = operator(64521, "Isar Mobilfunk", Line::Mobile);
static PENNINE: Operator = operator(64525, "Pennine Broadband", Line::Fixed);
static THAMES: Operator = operator(64526, "Thames Mobile", Line::Mobile);
static GARONNE: Operator = operator(64530, "Garonne Fibre", Line::Fixed);
static POLDER: Operator = operator(64533, "Polder Net", Line::Fixed);
static MESETA: Operator = operator(64536, "Meseta Fibra", Line::Fixed);
static PADANA: Operator = operator(64539, "Padana Reti", Line::Fixed);
static BALTIC: Operator = operator(64542, "Baltic Online", Line::Fixed);
static VISTULA: Operator = operator(64545, "Vistula Net", Line::Fixed);
static BOSPORUS: Operator = operator(64548, "Bosporus Mobil", Line::Mobile);
static GANGES: Operator = operator(64600, "Ganges Mobile", Line::Mobile);
static DECCAN: Operator = operator(64601, "Deccan Broadband", Line::Fixed);
static SAKURA: Operator = operator(64610, "Hikari Sakura", Line::Fixed);
static KEITAI: Operator = operator(64611, "Keitai Wave", Line::Mobile);
static HANGANG: Operator = operator(64615, "Hangang Telecom", Line::Fixed);
static STRAITS: Operator = operator(64620, "Straits Connect", Line::Fixed);
static JAVA: Operator = operator(64624, "Java Seluler", Line::Mobile);
static CORAL: Operator = operator(64630, "Coral Broadband", Line::Fixed);
static PAULISTA: Operator = operator(64640, "Paulista Fibra", Line::Fixed);
static PAMPA: Operator = operator(64645, "Pampa Conexiones", Line::Fixed);
static AZTECA: Operator = operator(64648, "Anahuac Movil", Line::Mobile);
static SAVANNA: Operator = operator(64660, "Savanna Mobile", Line::Mobile);
static TABLE_BAY: Operator = operator(64664, "Table Bay Online", Line::Fixed);
static DUNE: Operator = operator(64668, "Dune Telecom", Line::Mobile);
static NORTHWIND: Operator = operator(65001, "Northwind Cloud", Line::Hosting);
static KELP: Operator = operator(65002, "Kelp Hosting", Line::Hosting);
static BANYAN: Operator = operator(65003, "Banyan Compute", Line::Hosting);
static LANTERN: Operator = operator(65010, "Lantern Search", Line::Hosting);

/// A place served by an operator.
#[derive(Debug)]
pub(crate) struct Network {
    /// ISO 3166-1 alpha-2.
    pub(crate) country: &'static str,
    pub(crate) country_name: &'static str,
    pub(crate) city: &'static str,
    /// Degrees.
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) operator: &'static Operator,
    /// Share of all viewers.
    pub(crate) weight: u32,
    /// Edge locations, the usual one first.
    pub(crate) edges: &'static [&'static str],
    /// An `Accept-Language` value.
    pub(crate) language: &'static str,
}

macro_rules! networks {
    ($($country:literal $country_name:literal $city:literal $latitude:literal $longitude:literal
       $operator:ident $weight:literal [$($edge:literal),*] $language:literal;)*) => {
        &[$(Network {
            country: $country,
            country_name: $country_name,
            city: $city,
            latitude: $latitude,
            longitude: $longitude,
            operator: &$operator,
            weight: $weight,
            edges: &[$($edge),*],
            language: $language,
        }),*]
    };
}

/// All networks; the index decides the addresses, so new ones go last.
pub(crate) static NETWORKS: &[Network] = networks! {
    "US" "United States" "New York" 40.7128 -74.006 ALDER 60 ["JFK52-P5", "EWR53-C2", "IAD89-C3"] "en-US,en;q=0.9";
    "US" "United States" "Ashburn" 39.0438 -77.4874 ALDER 25 ["IAD89-C3", "IAD61-P4"] "en-US,en;q=0.9";
    "US" "United States" "Chicago" 41.8781 -87.6298 ALDER 35 ["ORD58-P4", "ORD56-P9"] "en-US,en;q=0.9";
    "US" "United States" "Dallas" 32.7767 -96.797 ALDER 30 ["DFW57-P1", "DFW56-P2"] "en-US,en;q=0.9";
    "US" "United States" "Los Angeles" 34.0522 -118.2437 CASCADE 50 ["LAX54-P2", "LAX50-C3"] "en-US,en;q=0.9,es;q=0.8";
    "US" "United States" "San Francisco" 37.7749 -122.4194 CASCADE 30 ["SFO53-P9", "SFO5-P2"] "en-US,en;q=0.9";
    "US" "United States" "Seattle" 47.6062 -122.3321 CASCADE 20 ["SEA900-P2", "HIO52-P1"] "en-US,en;q=0.9";
    "US" "United States" "Denver" 39.7392 -104.9903 PRAIRIE 22 ["DEN53-P2", "DFW57-P1"] "en-US,en;q=0.9";
    "US" "United States" "Atlanta" 33.749 -84.388 PRAIRIE 35 ["ATL58-P3", "ATL59-P8"] "en-US,en;q=0.9";
    "US" "United States" "Miami" 25.7617 -80.1918 PRAIRIE 28 ["MIA50-P3", "MIA3-C4"] "es-US,es;q=0.9,en;q=0.8";
    "CA" "Canada" "Toronto" 43.6532 -79.3832 MAPLE 24 ["YTO50-P2", "YUL62-C1"] "en-CA,en;q=0.9";
    "CA" "Canada" "Montreal" 45.5017 -73.5673 MAPLE 12 ["YUL62-C1", "YTO50-P2"] "fr-CA,fr;q=0.9,en;q=0.8";
    "DE" "Germany" "Berlin" 52.52 13.405 HEIDE 45 ["TXL50-P2", "FRA56-P8"] "de-DE,de;q=0.9,en;q=0.7";
    "DE" "Germany" "Frankfurt am Main" 50.1109 8.6821 HEIDE 40 ["FRA56-P8", "FRA60-P3"] "de-DE,de;q=0.9,en;q=0.7";
    "DE" "Germany" "Hamburg" 53.5511 9.9937 HEIDE 24 ["HAM50-C1", "FRA56-P8"] "de-DE,de;q=0.9,en;q=0.7";
    "DE" "Germany" "Munich" 48.1351 11.582 ISAR 38 ["MUC50-P1", "FRA60-P3"] "de-DE,de;q=0.9,en;q=0.7";
    "AT" "Austria" "Vienna" 48.2082 16.3738 HEIDE 12 ["VIE50-P2", "MUC50-P1"] "de-AT,de;q=0.9";
    "CH" "Switzerland" "Zurich" 47.3769 8.5417 HEIDE 11 ["ZRH50-C1", "MUC50-P1"] "de-CH,de;q=0.9,fr;q=0.6";
    "GB" "United Kingdom" "London" 51.5072 -0.1276 PENNINE 48 ["LHR50-P4", "LHR61-P2"] "en-GB,en;q=0.9";
    "GB" "United Kingdom" "Manchester" 53.4808 -2.2426 PENNINE 22 ["MAN51-P1", "LHR50-P4"] "en-GB,en;q=0.9";
    "GB" "United Kingdom" "Birmingham" 52.4862 -1.8904 THAMES 26 ["LHR61-P2", "MAN51-P1"] "en-GB,en;q=0.9";
    "IE" "Ireland" "Dublin" 53.3498 -6.2603 PENNINE 10 ["DUB56-P1", "LHR50-P4"] "en-IE,en;q=0.9";
    "FR" "France" "Paris" 48.8566 2.3522 GARONNE 40 ["CDG52-P2", "CDG55-P1"] "fr-FR,fr;q=0.9,en;q=0.6";
    "FR" "France" "Marseille" 43.2965 5.3698 GARONNE 15 ["MRS52-P3", "CDG52-P2"] "fr-FR,fr;q=0.9";
    "NL" "Netherlands" "Amsterdam" 52.3676 4.9041 POLDER 22 ["AMS58-P3", "AMS1-P1"] "nl-NL,nl;q=0.9,en;q=0.8";
    "BE" "Belgium" "Brussels" 50.8503 4.3517 POLDER 9 ["BRU50-C1", "AMS58-P3"] "nl-BE,nl;q=0.9,fr;q=0.8";
    "ES" "Spain" "Madrid" 40.4168 -3.7038 MESETA 22 ["MAD56-P3", "MAD51-C2"] "es-ES,es;q=0.9";
    "PT" "Portugal" "Lisbon" 38.7223 -9.1393 MESETA 8 ["LIS50-P1", "MAD56-P3"] "pt-PT,pt;q=0.9";
    "IT" "Italy" "Milan" 45.4642 9.19 PADANA 20 ["MXP64-P2", "MXP53-P1"] "it-IT,it;q=0.9";
    "IT" "Italy" "Rome" 41.9028 12.4964 PADANA 14 ["FCO50-P2", "MXP64-P2"] "it-IT,it;q=0.9";
    "SE" "Sweden" "Stockholm" 59.3293 18.0686 BALTIC 14 ["ARN56-P2", "ARN52-P1"] "sv-SE,sv;q=0.9,en;q=0.8";
    "DK" "Denmark" "Copenhagen" 55.6761 12.5683 BALTIC 9 ["CPH50-P1", "ARN56-P2"] "da-DK,da;q=0.9";
    "FI" "Finland" "Helsinki" 60.1699 24.9384 BALTIC 8 ["HEL51-P1", "ARN56-P2"] "fi-FI,fi;q=0.9";
    "PL" "Poland" "Warsaw" 52.2297 21.0122 VISTULA 18 ["WAW51-P1", "WAW50-C1"] "pl-PL,pl;q=0.9";
    "CZ" "Czechia" "Prague" 50.0755 14.4378 VISTULA 8 ["PRG50-C1", "FRA56-P8"] "cs-CZ,cs;q=0.9";
    "TR" "Türkiye" "Istanbul" 41.0082 28.9784 BOSPORUS 14 ["IST50-P2", "SOF50-P2"] "tr-TR,tr;q=0.9";
    "IN" "India" "Mumbai" 19.076 72.8777 GANGES 40 ["BOM78-P2", "BOM54-P1"] "en-IN,en;q=0.9,hi;q=0.8";
    "IN" "India" "Delhi" 28.6139 77.209 GANGES 34 ["DEL54-C2", "DEL51-P1"] "hi-IN,hi;q=0.9,en;q=0.8";
    "IN" "India" "Chennai" 13.0827 80.2707 DECCAN 20 ["MAA51-P3", "HYD57-P2"] "en-IN,en;q=0.9,ta;q=0.8";
    "JP" "Japan" "Tokyo" 35.6762 139.6503 SAKURA 42 ["NRT57-C1", "NRT51-P2"] "ja,en-US;q=0.7";
    "JP" "Japan" "Osaka" 34.6937 135.5023 KEITAI 22 ["KIX50-P1", "NRT57-C1"] "ja,en-US;q=0.7";
    "KR" "South Korea" "Seoul" 37.5665 126.978 HANGANG 22 ["ICN57-P2", "ICN54-C1"] "ko-KR,ko;q=0.9";
    "SG" "Singapore" "Singapore" 1.3521 103.8198 STRAITS 16 ["SIN2-P4", "SIN52-P1"] "en-SG,en;q=0.9,zh;q=0.8";
    "MY" "Malaysia" "Kuala Lumpur" 3.139 101.6869 STRAITS 8 ["KUL50-P2", "SIN2-P4"] "ms-MY,ms;q=0.9,en;q=0.8";
    "ID" "Indonesia" "Jakarta" -6.2088 106.8456 JAVA 18 ["CGK50-P2", "SIN2-P4"] "id-ID,id;q=0.9";
    "AU" "Australia" "Sydney" -33.8688 151.2093 CORAL 18 ["SYD62-P1", "SYD3-P1"] "en-AU,en;q=0.9";
    "AU" "Australia" "Melbourne" -37.8136 144.9631 CORAL 12 ["MEL50-P2", "SYD62-P1"] "en-AU,en;q=0.9";
    "NZ" "New Zealand" "Auckland" -36.8509 174.7645 CORAL 5 ["AKL50-P1", "SYD62-P1"] "en-NZ,en;q=0.9";
    "BR" "Brazil" "São Paulo" -23.5558 -46.6396 PAULISTA 34 ["GRU3-P5", "GRU1-C1"] "pt-BR,pt;q=0.9";
    "BR" "Brazil" "Rio de Janeiro" -22.9068 -43.1729 PAULISTA 18 ["GIG51-P1", "GRU3-P5"] "pt-BR,pt;q=0.9";
    "AR" "Argentina" "Buenos Aires" -34.6037 -58.3816 PAMPA 12 ["EZE50-P3", "GRU3-P5"] "es-AR,es;q=0.9";
    "CL" "Chile" "Santiago" -33.4489 -70.6693 PAMPA 8 ["SCL50-P2", "EZE50-P3"] "es-CL,es;q=0.9";
    "MX" "Mexico" "Querétaro" 20.5888 -100.3899 AZTECA 18 ["QRO51-P2", "DFW57-P1"] "es-MX,es;q=0.9";
    "ZA" "South Africa" "Johannesburg" -26.2041 28.0473 TABLE_BAY 8 ["JNB50-P2", "CPT52-P1"] "en-ZA,en;q=0.9";
    "ZA" "South Africa" "Cape Town" -33.9249 18.4241 TABLE_BAY 6 ["CPT52-P1", "JNB50-P2"] "en-ZA,en;q=0.9,af;q=0.7";
    "NG" "Nigeria" "Lagos" 6.5244 3.3792 SAVANNA 9 ["LOS50-C2", "JNB50-P2"] "en-NG,en;q=0.9";
    "KE" "Kenya" "Nairobi" -1.2921 36.8219 SAVANNA 7 ["NBO50-C1", "JNB50-P2"] "en-KE,en;q=0.9,sw;q=0.8";
    "AE" "United Arab Emirates" "Dubai" 25.2048 55.2708 DUNE 9 ["DXB52-P1", "FJR50-P1"] "ar-AE,ar;q=0.9,en;q=0.8";
    "US" "United States" "Ashburn" 39.0438 -77.4874 NORTHWIND 34 ["IAD89-C3", "IAD61-P4"] "en";
    "DE" "Germany" "Frankfurt am Main" 50.1109 8.6821 KELP 14 ["FRA56-P8", "FRA60-P3"] "en";
    "SG" "Singapore" "Singapore" 1.3521 103.8198 BANYAN 12 ["SIN2-P4", "SIN52-P1"] "en";
    "US" "United States" "Portland" 45.5152 -122.6784 LANTERN 18 ["HIO52-P1", "SEA900-P2"] "en";
};

/// How many of IPv4's bits a network's prefix fixes.
pub(crate) const IPV4_PREFIX_BITS: u32 = 16;
/// How many of IPv6's bits a network's prefix fixes.
pub(crate) const IPV6_PREFIX_BITS: u32 = 40;

/// Returns the first address of a network.
pub(crate) const fn ipv4_network(network: usize) -> u32 {
    // 100.64.0.0/10, shared address space.
    0x6440_0000 + ((network as u32) << 16)
}

/// Returns the first address of a network.
pub(crate) const fn ipv6_network(network: usize) -> u128 {
    // 2001:db8::/32, for documentation.
    (0x2001_0db8_u128 << 96) | ((network as u128 + 1) << 88)
}

/// A viewer: one address, the same device each time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewer {
    /// All that does not change about the viewer is drawn from this.
    pub(crate) hash: u64,
    pub(crate) ipv6: bool,
    /// The IPv6 address, or the IPv4 address in the last 32 bits.
    pub(crate) address: u128,
}

/// Picks a viewer of a network: some come often, most seldom.
pub(crate) fn viewer(seed: u64, network: usize, random: &mut Random) -> Viewer {
    let line = NETWORKS[network].operator.line;
    // Few servers, some of them busy; many people, none of whom stands out.
    let rank = match line {
        Line::Hosting => random.zipf(6.0).0,
        Line::Fixed | Line::Mobile => random.zipf(11.0).0 + u64::from(random.below(256)),
    };
    viewer_by_rank(seed, network, rank)
}

/// Returns the viewer of that rank in a network.
pub(crate) fn viewer_by_rank(seed: u64, network: usize, rank: u64) -> Viewer {
    let hash = mix(mix(seed ^ ((network as u64 + 1) << 32)).wrapping_add(rank));
    let ipv6_share = match NETWORKS[network].operator.line {
        Line::Fixed => 90,
        Line::Mobile => 150,
        Line::Hosting => 10,
    };
    let ipv6 = (hash & 0xff) < ipv6_share;
    let address = if ipv6 {
        let high = mix(hash);
        let low = mix(high);
        // No group is zero, so that nothing is there to compress.
        let subnet = u128::from(high >> 48 & 0xff) << 80 | u128::from(high & 0xffff | 1) << 64;
        ipv6_network(network) | subnet | u128::from(low | 0x0001_0001_0001_0001)
    } else {
        // An odd factor makes it a permutation: every rank its own address.
        let host = (rank as u32).wrapping_mul(0x9e35).wrapping_add(0x1d3) & 0xffff;
        u128::from(ipv4_network(network) | host)
    };
    Viewer {
        hash,
        ipv6,
        address,
    }
}

/// Returns the networks that a bot flood comes from.
pub(crate) fn flood_networks() -> [usize; 3] {
    let mut found = [0; 3];
    for (place, asn) in [65001, 65002, 65003].into_iter().enumerate() {
        let index = NETWORKS
            .iter()
            .position(|network| network.operator.asn == asn);
        found[place] = index.expect("the three hosting operators have networks");
    }
    found
}

/// Returns the address of a server at an edge location: the same few for each.
pub(crate) fn edge_address(edge: &str, ipv6: bool, bits: u64) -> u128 {
    let code = edge
        .bytes()
        .fold(7u64, |hash, byte| mix(hash ^ u64::from(byte)));
    let server = 1 + (bits % 28);
    if ipv6 {
        // 2001:db8:ff00::/40, past every network's.
        (0x2001_0db8_ff00_u128 << 80)
            | u128::from(code & 0xffff | 1) << 64
            | 0x0001_0001_0001_0000
            | u128::from(server)
    } else {
        // 198.18.0.0/15, for benchmarks.
        u128::from(0xc612_0000 | (code as u32 & 0x1ff) << 8 | (server as u32 + 64))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_networks_fit_their_space() {
        assert!(NETWORKS.len() <= 64, "100.64.0.0/10 has 64 such networks");
        for network in NETWORKS {
            assert!(
                (64512..=65534).contains(&network.operator.asn),
                "{network:?}"
            );
            assert!(
                network.weight > 0 && network.edges.len() >= 2,
                "{network:?}"
            );
            assert!(network.latitude.abs() <= 90.0 && network.longitude.abs() <= 180.0);
        }
    }

    #[test]
    fn viewers_have_addresses_of_their_network_and_no_other_viewers() {
        for network in [0, 36, NETWORKS.len() - 1] {
            let mut seen = HashSet::new();
            for rank in 0..8_192 {
                let viewer = viewer_by_rank(1, network, rank);
                assert!(seen.insert(viewer.address), "{viewer:?}");
                if viewer.ipv6 {
                    assert_eq!(viewer.address >> 88, ipv6_network(network) >> 88);
                } else {
                    assert_eq!(viewer.address as u32 >> 16, ipv4_network(network) >> 16);
                }
            }
        }
    }
}
