//! One viewer's request: who asks for what, how, and from where.

use crate::agents::{AGENTS, Agent, AgentKind, Audience};
use crate::extras::{Cmcd, HeaderList};
use crate::networks::{self, Line, NETWORKS};
use crate::random::{Random, Wheel, exp2, mix, mix2, normal};
use crate::settings::Profile;
use crate::sites::{self, Route, SITES, Served, Site, Wanted};
use crate::text::push;
use crate::{extras, paths};

/// Everything about a request that is known before it is answered. Texts are as
/// the log has them: percent-encoded, empty where the log has `-`.
///
/// One is reused for all lines, so that its buffers are allocated once.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) at_ms: u64,
    /// The 40 bytes of the request's id.
    pub(crate) id: [u64; 5],
    pub(crate) site: usize,
    pub(crate) host: &'static str,
    pub(crate) tenant: &'static str,
    pub(crate) network: usize,
    /// All that stays the same about a viewer comes from this.
    pub(crate) viewer: u64,
    pub(crate) ipv6: bool,
    pub(crate) address: u128,
    pub(crate) port: u16,
    pub(crate) edge: &'static str,
    pub(crate) edge_address: u128,
    pub(crate) agent: usize,
    pub(crate) route: Route,
    /// Identifies the thing asked for.
    pub(crate) object: u64,
    /// 0 for the most popular thing of its kind, near 1 for the least.
    pub(crate) obscurity: f64,
    /// Its size in bytes.
    pub(crate) size: u64,
    pub(crate) method: &'static str,
    pub(crate) protocol: &'static str,
    pub(crate) http_version: &'static str,
    /// TLS version and cipher; none for plain HTTP.
    pub(crate) tls: Option<(&'static str, &'static str)>,
    pub(crate) path: Vec<u8>,
    pub(crate) query: Vec<u8>,
    pub(crate) referer: Vec<u8>,
    pub(crate) cookie: Vec<u8>,
    pub(crate) forwarded: Vec<u8>,
    /// The range of bytes asked for, first and last.
    pub(crate) range: Option<(u64, u64)>,
    /// Whether the viewer has a copy and asks if it is current.
    pub(crate) conditional: bool,
    pub(crate) body_bytes: u64,
    pub(crate) headers: HeaderList,
    pub(crate) cmcd: Option<Cmcd>,
    /// Whether it belongs to a bot flood.
    pub(crate) flood: bool,
}

impl Request {
    pub(crate) fn new() -> Self {
        Request {
            at_ms: 0,
            id: [0; 5],
            site: 0,
            host: SITES[0].hosts[0].0,
            tenant: "",
            network: 0,
            viewer: 0,
            ipv6: false,
            address: 0,
            port: 0,
            edge: NETWORKS[0].edges[0],
            edge_address: 0,
            agent: 0,
            route: Route::Home,
            object: 0,
            obscurity: 0.0,
            size: 0,
            method: "GET",
            protocol: "https",
            http_version: "HTTP/2.0",
            tls: None,
            path: Vec::new(),
            query: Vec::new(),
            referer: Vec::new(),
            cookie: Vec::new(),
            forwarded: Vec::new(),
            range: None,
            conditional: false,
            body_bytes: 0,
            headers: HeaderList::new(),
            cmcd: None,
            flood: false,
        }
    }

    pub(crate) fn site(&self) -> &'static Site {
        &SITES[self.site]
    }

    pub(crate) fn served(&self) -> &'static Served {
        self.route.served()
    }

    pub(crate) fn agent(&self) -> &'static Agent {
        &AGENTS[self.agent]
    }

    pub(crate) fn is_browser(&self) -> bool {
        matches!(self.agent().kind, AgentKind::Desktop | AgentKind::Phone)
    }
}

/// Draws requests.
#[derive(Clone, Debug)]
pub(crate) struct Population {
    seed: u64,
    sites: Wheel,
    networks: Wheel,
    /// By site.
    routes: Vec<Wheel>,
    /// By site.
    hosts: Vec<Wheel>,
    /// By audience.
    agents: Vec<Wheel>,
    flood_networks: [usize; 3],
    flood_agent: usize,
}

impl Population {
    pub(crate) fn new(seed: u64, profile: Profile) -> Self {
        let routes = SITES
            .iter()
            .map(|site| Wheel::new(site.routes.iter().map(|route| route.1)));
        let hosts = SITES
            .iter()
            .map(|site| Wheel::new(site.hosts.iter().map(|host| host.1)));
        let agents = Audience::ALL
            .iter()
            .map(|audience| Wheel::new(AGENTS.iter().map(|agent| audience.weight(agent))));
        Population {
            seed: mix(seed),
            sites: Wheel::new(profile.site_weights()),
            networks: Wheel::new(NETWORKS.iter().map(|network| network.weight)),
            routes: routes.collect(),
            hosts: hosts.collect(),
            agents: agents.collect(),
            flood_networks: networks::flood_networks(),
            flood_agent: crate::agents::flood_agent(),
        }
    }

    /// Draws the request number `index` into `request`.
    pub(crate) fn draw(
        &self,
        index: u64,
        at_ms: u64,
        flood: bool,
        random: &mut Random,
        request: &mut Request,
    ) {
        request.at_ms = at_ms;
        request.id = self.request_id(index);
        request.flood = flood;
        if flood {
            self.draw_flooder(random, request);
        } else {
            self.draw_viewer(random, request);
        }
        draw_edge(random, request);
        draw_connection(random, request);

        request.path.clear();
        request.query.clear();
        request.cmcd = None;
        paths::draw(random, request);
        request.range = None;
        request.method = method(random, request);
        draw_size(random, request);
        extras::draw(random, request);
    }

    /// Returns an id no other request of any seed has: the first 64 bits are a
    /// bijection of the index, the next one of the seed under the first.
    fn request_id(&self, index: u64) -> [u64; 5] {
        let first = mix(index.wrapping_add(self.seed));
        let second = mix(self.seed ^ first);
        let third = mix(second);
        [first, second, third, mix(third), mix(third ^ first)]
    }

    fn draw_viewer(&self, random: &mut Random, request: &mut Request) {
        let network = self.networks.pick(random.next());
        let line = NETWORKS[network].operator.line;
        let viewer = networks::viewer(self.seed, network, random);
        request.network = network;
        request.viewer = viewer.hash;
        request.ipv6 = viewer.ipv6;
        request.address = viewer.address;

        request.site = self.sites.pick(random.next());
        let site = request.site();
        let host = self.hosts[request.site].pick(random.next());
        request.host = site.hosts[host].0;
        request.tenant = site.tenants.get(host).copied().unwrap_or("");

        let audience = if line == Line::Hosting {
            Audience::Machines
        } else {
            site.audience
        };
        let agents = &self.agents[audience as usize];
        request.agent = agents.pick(mix2(viewer.hash, audience as u64));
        request.route = site.routes[self.routes[request.site].pick(random.next())].0;
        match request.agent().kind {
            AgentKind::Monitor if request.site == sites::API => request.route = Route::Health,
            AgentKind::Monitor => request.route = Route::Home,
            AgentKind::Bot if random.chance(0.06) => request.route = Route::Robots,
            AgentKind::Tool if line == Line::Hosting && random.chance(0.3) => {
                request.route = Route::Probe;
            }
            _ => {}
        }
    }

    fn draw_flooder(&self, random: &mut Random, request: &mut Request) {
        let network = random.pick(&self.flood_networks);
        // Sixteen addresses in each of the three networks.
        let rank = u64::from(random.below(16));
        let viewer = networks::viewer_by_rank(self.seed, network, rank);
        request.network = network;
        request.viewer = viewer.hash;
        request.ipv6 = viewer.ipv6;
        request.address = viewer.address;
        request.site = sites::SHOP;
        request.host = SITES[sites::SHOP].hosts[0].0;
        request.tenant = "";
        request.agent = self.flood_agent;
        request.route = Route::Login;
    }
}

fn draw_edge(random: &mut Random, request: &mut Request) {
    let edges = NETWORKS[request.network].edges;
    // Four in five go to the usual edge location.
    let bits = random.next();
    let edge = if bits % 5 < 4 {
        0
    } else {
        1 + (bits >> 32) as usize % (edges.len() - 1)
    };
    request.edge = edges[edge];
    request.edge_address = networks::edge_address(request.edge, request.ipv6, bits >> 8);
    request.port = 1024 + random.below(64_512) as u16;
}

fn draw_connection(random: &mut Random, request: &mut Request) {
    let agent = request.agent();
    let bits = random.next();
    let plain = match agent.kind {
        _ if request.flood || request.route == Route::Socket => false,
        AgentKind::Bot | AgentKind::Tool | AgentKind::Monitor => bits % 100 < 7,
        AgentKind::Desktop | AgentKind::Phone if request.served().wanted == Wanted::Page => {
            bits % 100 < 4
        }
        _ => false,
    };
    request.protocol = match request.route {
        Route::Socket => "wss",
        _ if plain => "http",
        _ => "https",
    };
    request.http_version = if plain || request.route == Route::Socket || !agent.http2 {
        if plain && bits >> 8 & 0xff < 3 {
            "HTTP/1.0"
        } else {
            "HTTP/1.1"
        }
    } else if agent.http3 && bits >> 16 & 0xff < 105 {
        "HTTP/3.0"
    } else {
        "HTTP/2.0"
    };
    let cipher = request.viewer >> 40 & 15;
    let modern = agent.http2 || request.viewer >> 36 & 15 < 7;
    request.tls = if plain {
        None
    } else if modern {
        let cipher = match cipher {
            0..12 => "TLS_AES_128_GCM_SHA256",
            12..14 => "TLS_AES_256_GCM_SHA384",
            _ => "TLS_CHACHA20_POLY1305_SHA256",
        };
        Some(("TLSv1.3", cipher))
    } else {
        let cipher = match cipher {
            0..10 => "ECDHE-RSA-AES128-GCM-SHA256",
            10..14 => "ECDHE-RSA-AES256-GCM-SHA384",
            _ => "ECDHE-RSA-CHACHA20-POLY1305",
        };
        Some(("TLSv1.2", cipher))
    };
    request.forwarded.clear();
    if bits >> 24 & 0xff < 8 && !request.flood {
        // A company's proxy: the address inside, sometimes one more hop.
        push(&mut request.forwarded, "10.20.");
        crate::text::push_number(&mut request.forwarded, bits >> 40 & 63);
        push(&mut request.forwarded, ".17");
        if bits >> 32 & 3 == 0 {
            push(&mut request.forwarded, ",%20192.168.4.9");
        }
    }
}

fn method(random: &mut Random, request: &Request) -> &'static str {
    let roll = random.below(100);
    match request.route {
        Route::Login | Route::GraphQl => "POST",
        Route::Cart => match roll {
            0..50 => "GET",
            50..85 => "POST",
            _ => "DELETE",
        },
        Route::ApiWrite => match roll {
            0..50 => "POST",
            50..75 => "PUT",
            75..90 => "PATCH",
            _ => "DELETE",
        },
        Route::ApiList | Route::ApiItem | Route::ApiNested if request.is_browser() && roll < 10 => {
            "OPTIONS"
        }
        Route::Health if roll < 30 => "HEAD",
        _ if roll < 4 && matches!(request.agent().kind, AgentKind::Bot | AgentKind::Tool) => "HEAD",
        _ => "GET",
    }
}

fn draw_size(random: &mut Random, request: &mut Request) {
    let served = request.served();
    request.size = match &request.cmcd_bitrate() {
        // Four seconds at so many kilobits a second.
        Some(bitrate) => {
            let spread = exp2(served.spread * normal(mix(request.object)));
            (f64::from(*bitrate) * 500.0 * spread) as u64
        }
        None => (served.bytes * exp2(served.spread * normal(mix(request.object)))) as u64,
    };
    let bits = random.next();
    let ranged = match request.route {
        Route::Installer => bits % 100 < 35,
        Route::Package => bits % 100 < 5,
        Route::VideoSegment => request.agent().kind == AgentKind::Player && bits % 100 < 15,
        _ => false,
    };
    if ranged && request.method == "GET" && request.size > 4096 {
        let parts = 2 + (bits >> 8 & 7);
        let part = request.size / parts;
        let first = part * (bits >> 16 & 1);
        request.range = Some((first, (first + part - 1).min(request.size - 1)));
    }
    let cached = matches!(
        request.served().wanted,
        Wanted::Image | Wanted::Style | Wanted::Script
    );
    request.conditional =
        cached && request.is_browser() && request.method == "GET" && bits >> 32 & 0xff < 20;
    request.body_bytes = match request.method {
        "POST" | "PUT" | "PATCH" => random.log_normal(420.0, 1.1) as u64,
        _ => 0,
    };
}

impl Request {
    /// Returns the bitrate of a media segment, kbit/s.
    fn cmcd_bitrate(&self) -> Option<u32> {
        match self.route {
            Route::VideoSegment => Some(paths::VIDEO_LADDER[self.rung()].1),
            Route::AudioSegment => Some(128),
            _ => None,
        }
    }

    /// Returns the quality of the video the viewer watches at the moment.
    pub(crate) fn rung(&self) -> usize {
        let best = if self.agent().kind == AgentKind::Phone {
            3
        } else {
            4
        };
        let usual = ((self.viewer >> 20 & 3) as usize + 1).min(best);
        // One in eight segments comes in another quality than the viewer's usual.
        usual - usize::from(mix(self.object ^ self.viewer) & 7 == 0)
    }
}
