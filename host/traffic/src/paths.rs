//! Paths and query strings, as the log has them: percent-encoded once more than
//! the viewer sent them, so that a viewer's `%40` reads `%2540`.

use crate::random::{Random, mix, mix2};
use crate::request::Request;
use crate::sites::{FLOOD_PATH, Route};
use crate::text::{Civil, push, push_base64, push_hex, push_number, push_two, push_uuid};

/// Heights of the video's qualities and their bitrates, kbit/s.
pub(crate) const VIDEO_LADDER: [(&str, u32); 5] = [
    ("240p", 400),
    ("360p", 900),
    ("540p", 1_800),
    ("720p", 3_200),
    ("1080p", 6_000),
];

const DAY_MS: u64 = 86_400_000;
const ADJECTIVES: [&str; 16] = [
    "amber", "bold", "classic", "cosy", "dark", "folding", "gentle", "light", "linen", "oak",
    "organic", "round", "slim", "steel", "vintage", "woven",
];
const NOUNS: [&str; 16] = [
    "armchair", "backpack", "bench", "bottle", "chair", "desk", "jacket", "kettle", "lamp",
    "mirror", "mug", "notebook", "rug", "shelf", "table", "teapot",
];
const CATEGORIES: [&str; 12] = [
    "bath",
    "bedroom",
    "garden",
    "kids",
    "kitchen",
    "lighting",
    "office",
    "outdoor",
    "sale",
    "textiles",
    "k%25C3%25BCche",
    "m%25C3%25B6bel",
];
const TOPICS: [&str; 12] = [
    "getting-started",
    "install",
    "configuration",
    "columns",
    "plugins",
    "limits",
    "errors",
    "deploy",
    "dashboards",
    "alerts",
    "upgrade",
    "faq",
];
const RESOURCES: [&str; 8] = [
    "orders",
    "products",
    "users",
    "invoices",
    "carts",
    "reviews",
    "shipments",
    "stock",
];
const BUNDLES: [&str; 8] = [
    "app",
    "vendor",
    "checkout",
    "product",
    "search",
    "account",
    "runtime",
    "polyfills",
];
const FONTS: [&str; 4] = ["inter-var", "inter-italic", "source-serif", "icons"];
const PROBES: [&str; 8] = [
    "/wp-login.php",
    "/.env",
    "/xmlrpc.php",
    "/phpmyadmin/index.php",
    "/.git/config",
    "/wp-admin/setup-config.php",
    "/actuator/env",
    "/cgi-bin/luci/;stok=/locale",
];
const FIRST_NAMES: [&str; 8] = [
    "anna", "ben", "chidi", "dana", "emre", "fatima", "grace", "hiro",
];
const LAST_NAMES: [&str; 8] = [
    "keller", "okafor", "garcia", "novak", "singh", "tanaka", "martin", "silva",
];
const CAMPAIGNS: [&str; 4] = ["autumn-sale", "newsletter-47", "brand", "retargeting"];
const SOURCES: [&str; 4] = ["google", "newsletter", "instagram", "partner"];

/// Draws which thing of the request's route is asked for, and writes its path
/// and query.
pub(crate) fn draw(random: &mut Random, request: &mut Request) {
    let route = request.route;
    let (rank, obscurity) = random.zipf(route.served().bits);
    request.obscurity = obscurity;
    request.object = mix2(route as u64 + 1, rank);
    let object = request.object;
    let word = |list: &[&'static str], shift: u32| list[(object >> shift) as usize % list.len()];
    let seed = mix(object);
    let path = &mut request.path;
    match route {
        Route::Home => path.push(b'/'),
        Route::Category => {
            push(path, "/c/");
            push(path, word(&CATEGORIES, 8));
            if object & 3 > 0 {
                path.push(b'/');
                push(path, word(&NOUNS, 16));
            }
        }
        Route::Product => {
            push(path, "/p/");
            push_slug(path, object);
            path.push(b'-');
            push_number(path, 100_000 + rank * 13);
        }
        Route::Search => push(path, "/search"),
        Route::Cart => {
            push(path, "/cart/");
            push_uuid(path, request.viewer);
            push(path, "/items");
        }
        Route::Login => push(path, FLOOD_PATH),
        Route::Reset => push(path, "/account/reset"),
        Route::Script => {
            push(path, "/static/js/");
            push(path, word(&BUNDLES, 8));
            path.push(b'.');
            push_hex(path, seed, 8);
            push(path, ".js");
        }
        Route::Style => {
            push(path, "/static/css/");
            push(path, word(&BUNDLES, 8));
            path.push(b'-');
            push_hex(path, seed, 16);
            push(path, ".css");
        }
        Route::Image => {
            push(path, "/images/products/");
            push_number(path, 100_000 + rank / 3 * 13);
            push(
                path,
                ["/640x640.webp", "/320x320.webp", "/1280x1280.webp"][(rank % 3) as usize],
            );
        }
        Route::Font => {
            push(path, "/static/fonts/");
            push(path, word(&FONTS, 8));
            path.push(b'.');
            push_hex(path, seed, 8);
            push(path, ".woff2");
        }
        Route::Favicon => push(path, "/favicon.ico"),
        Route::ApiList => {
            push(path, "/v1/");
            push(path, word(&RESOURCES, 8));
        }
        Route::ApiItem => {
            push(path, "/v1/");
            push(path, word(&RESOURCES, 8));
            path.push(b'/');
            if object & 3 == 0 {
                push_uuid(path, object);
            } else {
                push_number(path, 1_000 + rank);
            }
        }
        Route::ApiNested => {
            push(path, "/v1/users/");
            push_number(path, 1_000 + rank);
            push(path, "/orders/");
            push_uuid(path, seed ^ u64::from(random.below(8)));
        }
        Route::ApiWrite => {
            push(path, "/v1/");
            push(path, word(&RESOURCES, 8));
            if object & 1 == 0 {
                path.push(b'/');
                push_uuid(path, object);
            }
        }
        Route::GraphQl => push(path, "/graphql"),
        Route::Session => push(path, "/v1/session"),
        Route::Health => push(path, "/health"),
        Route::Socket => push(path, "/ws"),
        Route::MasterPlaylist | Route::DashManifest => {
            push(path, "/vod/");
            push_uuid(path, mix2(0, rank));
            push(
                path,
                if route == Route::DashManifest {
                    "/main.mpd"
                } else {
                    "/master.m3u8"
                },
            );
        }
        Route::MediaPlaylist => {
            push_live(
                path,
                rank,
                VIDEO_LADDER[(request.viewer >> 20 & 3) as usize].0,
            );
            push(path, "/index.m3u8");
        }
        Route::VideoSegment | Route::AudioSegment => return draw_segment(random, request, rank),
        Route::Poster => {
            push(path, "/img/");
            push_hex(path, seed, 2);
            path.push(b'/');
            push_uuid(path, object);
            push(path, ".jpg");
        }
        Route::DocPage => {
            push(path, "/docs/");
            push(path, ["v3/", "v4/", "latest/", ""][(object & 3) as usize]);
            push(path, word(&TOPICS, 8));
            if object >> 4 & 1 == 0 {
                path.push(b'/');
                push(path, word(&TOPICS, 16));
            }
        }
        Route::DatedPost => {
            let age = rank * 2 * DAY_MS;
            let date = Civil::from_millis(request.at_ms.saturating_sub(age));
            push(path, "/blog/");
            push_number(path, u64::from(date.year));
            path.push(b'/');
            push_two(path, date.month);
            path.push(b'/');
            push_two(path, date.day);
            path.push(b'/');
            push_slug(path, object);
        }
        Route::DocSearch => push(path, "/search.json"),
        Route::Avatar => {
            push(path, "/avatars/");
            push_hex(path, seed, 16);
            push_hex(path, mix(seed), 16);
            push(path, ".png");
        }
        Route::Installer | Route::Checksum => {
            push(path, "/releases/4.");
            push_number(path, 17 - rank.min(15));
            path.push(b'.');
            push_number(path, object & 3);
            push(path, "/example-");
            push(
                path,
                ["linux-x64", "macos-arm64", "windows-x64", "linux-arm64"]
                    [(object >> 8 & 3) as usize],
            );
            push(
                path,
                if route == Route::Checksum {
                    ".tar.gz.sha256"
                } else {
                    ".tar.gz"
                },
            );
        }
        Route::Package => {
            push(path, "/pool/");
            push_hex(path, seed, 2);
            path.push(b'/');
            for part in 0..4 {
                push_hex(path, mix2(seed, part), 16);
            }
            push(path, ".tar.zst");
        }
        Route::Probe => push(path, PROBES[rank as usize % PROBES.len()]),
        Route::Robots => push(path, "/robots.txt"),
    }
    draw_query(random, request);
}

/// Writes the path of a segment: of a film at some place of it, or of a channel
/// at the time of the request.
fn draw_segment(random: &mut Random, request: &mut Request, rank: u64) {
    let live = random.below(10) < 3;
    let number = if live {
        request.at_ms / 4_000 - u64::from(random.below(3))
    } else {
        u64::from(random.below(900))
    };
    request.object = mix2(request.object, number << 1 | u64::from(live));
    let quality = match request.route {
        Route::AudioSegment => "audio",
        _ => VIDEO_LADDER[request.rung()].0,
    };
    let path = &mut request.path;
    let title = if live {
        push_live(path, rank % 32, quality);
        rank % 32
    } else {
        push(path, "/vod/");
        push_uuid(path, mix2(0, rank));
        path.push(b'/');
        push(path, quality);
        rank + 32
    };
    push(path, "/seg-");
    push_number(path, number);
    push(path, ".m4s");
    if request.viewer >> 48 & 3 == 0 {
        // Signed by a token in the query; `~` and `=` inside it are the viewer's.
        push(&mut request.query, "hdnts=exp=");
        push_number(&mut request.query, request.at_ms / 1000 + 3_600);
        push(&mut request.query, "%7Ehmac=");
        push_hex(&mut request.query, mix(request.viewer ^ rank), 16);
    }
    crate::extras::draw_cmcd(random, request, title, number, live);
}

fn push_live(path: &mut Vec<u8>, channel: u64, quality: &str) {
    push(path, "/live/channel-");
    push_number(path, channel + 1);
    path.push(b'/');
    push(path, quality);
}

fn push_slug(path: &mut Vec<u8>, object: u64) {
    push(path, ADJECTIVES[(object >> 24 & 15) as usize]);
    path.push(b'-');
    push(path, NOUNS[(object >> 32 & 15) as usize]);
}

fn draw_query(random: &mut Random, request: &mut Request) {
    let bits = random.next();
    let roll = bits % 100;
    let object = request.object;
    let out = &mut request.query;
    match request.route {
        Route::Home | Route::Product | Route::DatedPost if roll < 12 => {
            push(out, "utm_source=");
            push(out, SOURCES[(bits >> 8 & 3) as usize]);
            push(out, "&utm_campaign=");
            push(out, CAMPAIGNS[(bits >> 10 & 3) as usize]);
            if roll < 3 {
                // A newsletter that puts its reader into the link.
                push(out, "&email=");
                push_email(out, request.viewer, "%2540");
            } else if roll < 7 {
                push(out, "&gclid=");
                push_base64(out, bits, 10);
                push_base64(out, mix(bits), 10);
                push_base64(out, mix(bits ^ 1), 10);
            }
        }
        Route::Category if roll < 40 => {
            push(out, "page=");
            push_number(out, 1 + (bits >> 8 & 7));
            push(out, "&sort=price");
        }
        Route::Search | Route::DocSearch => {
            push(out, "q=");
            push(out, ADJECTIVES[(object >> 24 & 15) as usize]);
            push(out, if roll < 20 { "%2520" } else { "+" });
            push(out, NOUNS[(object >> 32 & 15) as usize]);
            if roll < 5 {
                push(out, "+k%25C3%25BCche");
            }
            if roll > 70 {
                push(out, "&page=");
                push_number(out, 2 + (bits >> 8 & 3));
            }
        }
        Route::Reset => {
            push(out, "token=");
            for part in 0..4 {
                push_base64(out, mix2(bits, part), 10);
            }
            push(out, "&email=");
            push_email(out, request.viewer, if roll < 50 { "@" } else { "%2540" });
        }
        Route::Image if roll < 35 => push(out, "q=75&fm=webp"),
        Route::Avatar => push(out, "s=64"),
        Route::ApiList => {
            push(out, "limit=50");
            if roll < 55 {
                push(out, "&cursor=");
                push_base64(out, mix(bits), 10);
                push_base64(out, mix(bits ^ 1), 6);
            }
        }
        Route::ApiItem if roll < 20 => push(out, "expand=items,customer"),
        Route::ApiNested if roll < 6 => {
            push(out, "api_key=sk_live_");
            push_hex(out, mix(request.viewer), 16);
        }
        Route::Session => {
            push(out, "access_token=eyJhbGciOiJFUzI1NiJ9.");
            for part in 0..5 {
                push_base64(out, mix2(bits, part), 10);
            }
            out.push(b'.');
            push_base64(out, mix(bits), 10);
        }
        Route::Installer if roll < 40 => {
            push(out, "Expires=");
            push_number(out, request.at_ms / 1000 + 900);
            push(out, "&Signature=");
            for part in 0..8 {
                push_base64(out, mix2(bits, part), 10);
            }
            push(out, "%7E_&Key-Pair-Id=K2EXAMPLE0PAIR");
        }
        _ => {}
    }
}

/// Writes an email address at a reserved domain.
fn push_email(out: &mut Vec<u8>, viewer: u64, at: &str) {
    push(out, FIRST_NAMES[(viewer >> 4 & 7) as usize]);
    out.push(b'.');
    push(out, LAST_NAMES[(viewer >> 8 & 7) as usize]);
    push(out, at);
    push(
        out,
        [
            "example.com",
            "example.net",
            "example.org",
            "mail.example.com",
        ][(viewer >> 12 & 3) as usize],
    );
}
