//! What is served: distributions, and the kinds of thing they serve.

use crate::agents::Audience;
use crate::settings::Profile;

/// A distribution.
#[derive(Debug)]
pub(crate) struct Site {
    /// Hosts that viewers use, the usual one first, with their shares.
    pub(crate) hosts: &'static [(&'static str, u32)],
    /// The distribution's domain.
    pub(crate) domain: &'static str,
    /// The distribution's id.
    pub(crate) id: &'static str,
    /// The origin that computes, and the one that stores.
    pub(crate) app: &'static str,
    pub(crate) store: &'static str,
    pub(crate) audience: Audience,
    /// Tenant ids, one for each host, or empty.
    pub(crate) tenants: &'static [&'static str],
    pub(crate) routes: &'static [(Route, u32)],
}

pub(crate) const SHOP: usize = 0;
pub(crate) const API: usize = 1;
pub(crate) const VIDEO: usize = 2;

pub(crate) static SITES: &[Site] = &[
    Site {
        hosts: &[
            ("shop.example.com", 80),
            ("www.shop.example.com", 14),
            ("m.shop.example.com", 6),
        ],
        domain: "d2f8k1shopqx3a.cloudfront.net",
        id: "E1SHOP7QX3AB2C",
        app: "app.shop.example.com",
        store: "assets.shop.example.com",
        audience: Audience::Web,
        tenants: &[],
        routes: &[
            (Route::Home, 6),
            (Route::Category, 8),
            (Route::Product, 11),
            (Route::Search, 4),
            (Route::Cart, 3),
            (Route::Login, 1),
            (Route::Reset, 1),
            (Route::Script, 14),
            (Route::Style, 8),
            (Route::Image, 38),
            (Route::Font, 4),
            (Route::Favicon, 2),
        ],
    },
    Site {
        hosts: &[("api.example.com", 90), ("api-eu.example.com", 10)],
        domain: "d1w9apir5kz2me.cloudfront.net",
        id: "E2API9R5KZ2MEX",
        app: "origin.api.example.com",
        store: "static.api.example.com",
        audience: Audience::Api,
        tenants: &[],
        routes: &[
            (Route::ApiList, 28),
            (Route::ApiItem, 32),
            (Route::ApiNested, 20),
            (Route::ApiWrite, 9),
            (Route::GraphQl, 8),
            (Route::Session, 2),
            (Route::Health, 2),
            (Route::Socket, 1),
        ],
    },
    Site {
        hosts: &[("video.example.net", 100)],
        domain: "d3vq7tvlive0nb.cloudfront.net",
        id: "E3TVQ7LIVE0NBX",
        app: "packager.video.example.net",
        store: "vod.video.example.net",
        audience: Audience::Video,
        tenants: &[],
        routes: &[
            (Route::MasterPlaylist, 3),
            (Route::MediaPlaylist, 20),
            (Route::VideoSegment, 44),
            (Route::AudioSegment, 20),
            (Route::DashManifest, 4),
            (Route::Poster, 9),
        ],
    },
    Site {
        hosts: &[("docs.example.org", 70), ("www.example.org", 30)],
        domain: "d0docs4hj8pzw1.cloudfront.net",
        id: "E4DOCS4HJ8PZWY",
        app: "cms.example.org",
        store: "files.example.org",
        audience: Audience::Web,
        tenants: &[],
        routes: &[
            (Route::DocPage, 28),
            (Route::DatedPost, 14),
            (Route::DocSearch, 5),
            (Route::Script, 12),
            (Route::Style, 9),
            (Route::Poster, 20),
            (Route::Avatar, 8),
            (Route::Font, 4),
        ],
    },
    Site {
        hosts: &[("downloads.example.net", 100)],
        domain: "d4dl6wpkg2yt9s.cloudfront.net",
        id: "E5DL6WPKG2YT9S",
        app: "mirror.example.net",
        store: "pool.example.net",
        audience: Audience::Files,
        tenants: &[],
        routes: &[
            (Route::Installer, 25),
            (Route::Package, 60),
            (Route::Checksum, 15),
        ],
    },
    Site {
        hosts: &[
            ("acme.apps.example.com", 50),
            ("globex.apps.example.com", 30),
            ("initech.apps.example.com", 20),
        ],
        domain: "d5tenantq1c8vu.cloudfront.net",
        id: "E6TENANTQ1C8VU",
        app: "apps.example.com",
        store: "cdn.apps.example.com",
        audience: Audience::Web,
        tenants: &["dt_2mAcme7Xk1QpZ", "dt_2mGlobex0Rv8s", "dt_2mInitech5TnW"],
        routes: &[
            (Route::Home, 10),
            (Route::ApiItem, 34),
            (Route::ApiWrite, 6),
            (Route::Script, 24),
            (Route::Style, 10),
            (Route::Avatar, 16),
        ],
    },
];

impl Profile {
    /// Returns the share of each of [`SITES`].
    pub(crate) const fn site_weights(self) -> [u32; 6] {
        match self {
            Profile::Mixed => [38, 22, 16, 10, 5, 9],
            Profile::Shop => [85, 8, 0, 5, 0, 2],
            Profile::Api => [8, 85, 0, 2, 0, 5],
            Profile::Video => [4, 6, 86, 4, 0, 0],
        }
    }

    /// Returns the site whose computing origin fails or is slow in incidents.
    pub(crate) const fn ailing_site(self) -> usize {
        match self {
            Profile::Mixed | Profile::Api => API,
            Profile::Shop => SHOP,
            Profile::Video => VIDEO,
        }
    }
}

/// The path that is flooded, on the first host of [`SHOP`].
pub(crate) const FLOOD_PATH: &str = "/account/login";

/// A kind of thing that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Home,
    Category,
    Product,
    Search,
    Cart,
    Login,
    Reset,
    Script,
    Style,
    Image,
    Font,
    Favicon,
    ApiList,
    ApiItem,
    ApiNested,
    ApiWrite,
    GraphQl,
    Session,
    Health,
    Socket,
    MasterPlaylist,
    MediaPlaylist,
    VideoSegment,
    AudioSegment,
    DashManifest,
    Poster,
    DocPage,
    DatedPost,
    DocSearch,
    Avatar,
    Installer,
    Package,
    Checksum,
    /// What scanners look for and do not find.
    Probe,
    Robots,
}

/// What a viewer's program accepts, and what it loads the thing for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Page,
    Style,
    Script,
    Image,
    Data,
    Media,
    File,
}

/// Which statuses an origin answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    Page,
    File,
    Api,
    Probe,
}

/// How a kind of thing is served.
#[derive(Debug)]
pub(crate) struct Served {
    /// The cache behavior's path pattern.
    pub(crate) pattern: &'static str,
    /// Whether it comes from the origin that stores.
    pub(crate) stored: bool,
    /// The response's `Content-Type`, percent-encoded.
    pub(crate) content_type: &'static str,
    /// The part of requests found in the cache, on average.
    pub(crate) hits: f64,
    /// How many different ones there are, as a power of two.
    pub(crate) bits: f64,
    /// Median size in bytes, and its spread in powers of two.
    pub(crate) bytes: f64,
    pub(crate) spread: f64,
    pub(crate) wanted: Wanted,
    pub(crate) answers: Answers,
}

impl Route {
    #[rustfmt::skip]
    pub(crate) const fn served(self) -> &'static Served {
        use {Answers as A, Wanted as W};
        macro_rules! table {
            ($($route:ident: $pattern:expr, $stored:expr, $content_type:expr, $hits:expr, $bits:expr,
               $bytes:expr, $spread:expr, $wanted:expr, $answers:expr;)*) => {
                match self {
                    $(Route::$route => &Served {
                        pattern: $pattern,
                        stored: $stored,
                        content_type: $content_type,
                        hits: $hits,
                        bits: $bits,
                        bytes: $bytes,
                        spread: $spread,
                        wanted: $wanted,
                        answers: $answers,
                    }),*
                }
            };
        }
        table! {
            Home: "*", false, "text/html;%20charset=utf-8", 0.55, 1.0, 24_000.0, 0.3, W::Page, A::Page;
            Category: "*", false, "text/html;%20charset=utf-8", 0.5, 8.0, 31_000.0, 0.5, W::Page, A::Page;
            Product: "*", false, "text/html;%20charset=utf-8", 0.4, 15.0, 22_000.0, 0.5, W::Page, A::Page;
            Search: "/search*", false, "text/html;%20charset=utf-8", 0.08, 11.0, 19_000.0, 0.6, W::Page, A::Page;
            Cart: "/cart/*", false, "application/json", 0.0, 16.0, 900.0, 0.8, W::Data, A::Api;
            Login: "/account/*", false, "application/json", 0.0, 0.0, 420.0, 0.3, W::Data, A::Api;
            Reset: "/account/*", false, "text/html;%20charset=utf-8", 0.0, 14.0, 6_400.0, 0.1, W::Page, A::Page;
            Script: "/static/*", true, "application/javascript", 0.97, 6.0, 58_000.0, 1.3, W::Script, A::File;
            Style: "/static/*", true, "text/css", 0.97, 4.0, 14_000.0, 1.1, W::Style, A::File;
            Image: "/images/*", true, "image/webp", 0.93, 15.0, 34_000.0, 1.2, W::Image, A::File;
            Font: "/static/*", true, "font/woff2", 0.985, 3.0, 27_000.0, 0.5, W::Style, A::File;
            Favicon: "*", true, "image/vnd.microsoft.icon", 0.95, 0.0, 4_286.0, 0.0, W::Image, A::File;
            ApiList: "/v1/*", false, "application/json;%20charset=utf-8", 0.22, 10.0, 4_800.0, 1.2, W::Data, A::Api;
            ApiItem: "/v1/*", false, "application/json;%20charset=utf-8", 0.28, 17.0, 1_150.0, 0.8, W::Data, A::Api;
            ApiNested: "/v1/users/*", false, "application/json;%20charset=utf-8", 0.0, 17.0, 1_700.0, 1.0, W::Data, A::Api;
            ApiWrite: "/v1/*", false, "application/json;%20charset=utf-8", 0.0, 16.0, 310.0, 0.6, W::Data, A::Api;
            GraphQl: "/graphql", false, "application/graphql-response+json", 0.0, 0.0, 5_400.0, 1.4, W::Data, A::Api;
            Session: "/v1/*", false, "application/json;%20charset=utf-8", 0.0, 15.0, 520.0, 0.2, W::Data, A::Api;
            Health: "/health", false, "text/plain", 0.0, 0.0, 3.0, 0.0, W::Data, A::Api;
            Socket: "/ws", false, "-", 0.0, 0.0, 0.0, 0.0, W::Data, A::Api;
            MasterPlaylist: "*.m3u8", false, "application/vnd.apple.mpegurl", 0.85, 9.0, 1_450.0, 0.3, W::Media, A::File;
            MediaPlaylist: "*.m3u8", false, "application/vnd.apple.mpegurl", 0.72, 5.0, 2_300.0, 0.5, W::Media, A::File;
            VideoSegment: "*", true, "video/mp4", 0.93, 10.0, 0.0, 0.3, W::Media, A::File;
            AudioSegment: "*", true, "audio/mp4", 0.93, 10.0, 0.0, 0.1, W::Media, A::File;
            DashManifest: "*.mpd", false, "application/dash+xml", 0.8, 9.0, 5_200.0, 0.3, W::Media, A::File;
            Poster: "/img/*", true, "image/jpeg", 0.94, 11.0, 61_000.0, 0.8, W::Image, A::File;
            DocPage: "*", false, "text/html;%20charset=utf-8", 0.86, 9.0, 17_000.0, 0.9, W::Page, A::Page;
            DatedPost: "/blog/*", false, "text/html;%20charset=utf-8", 0.82, 9.0, 26_000.0, 0.6, W::Page, A::Page;
            DocSearch: "/search*", false, "application/json", 0.15, 10.0, 3_100.0, 0.9, W::Data, A::Api;
            Avatar: "/avatars/*", true, "image/png", 0.9, 13.0, 5_200.0, 0.6, W::Image, A::File;
            Installer: "/releases/*", true, "application/octet-stream", 0.96, 4.0, 41_000_000.0, 0.6, W::File, A::File;
            Package: "/pool/*", true, "application/zstd", 0.91, 13.0, 640_000.0, 2.0, W::File, A::File;
            Checksum: "/releases/*", true, "text/plain", 0.94, 4.0, 1_900.0, 0.2, W::File, A::File;
            Probe: "*", false, "text/html;%20charset=utf-8", 0.0, 3.0, 5_100.0, 0.0, W::Page, A::Probe;
            Robots: "*", true, "text/plain", 0.93, 0.0, 412.0, 0.0, W::Page, A::File;
        }
    }
}
