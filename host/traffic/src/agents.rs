//! What viewers' programs say of themselves.

/// What kind of program a user agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentKind {
    Desktop,
    Phone,
    /// A native app with an HTTP library.
    App,
    /// A video player outside a browser.
    Player,
    /// curl, package managers, scripts.
    Tool,
    /// A crawler.
    Bot,
    /// A health check.
    Monitor,
}

/// A user agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) kind: AgentKind,
    /// Share of its kind.
    pub(crate) weight: u32,
    pub(crate) user_agent: &'static str,
    /// Its `Accept-Encoding`, or empty.
    pub(crate) encoding: &'static str,
    /// Whether it speaks HTTP/2; nearly all that do speak TLS 1.3.
    pub(crate) http2: bool,
    /// Whether it speaks HTTP/3.
    pub(crate) http3: bool,
}

macro_rules! agents {
    ($($kind:ident $weight:literal $encoding:ident $http2:literal $http3:literal $user_agent:literal;)*) => {
        &[$(Agent {
            kind: AgentKind::$kind,
            weight: $weight,
            user_agent: $user_agent,
            encoding: $encoding,
            http2: $http2,
            http3: $http3,
        }),*]
    };
}

const ZSTD: &str = "gzip, deflate, br, zstd";
const BROTLI: &str = "gzip, deflate, br";
const GZIP: &str = "gzip";
const DEFLATE: &str = "gzip, deflate";
const NONE: &str = "";

pub(crate) static AGENTS: &[Agent] = agents! {
    Desktop 34 ZSTD true true "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
    Desktop 14 ZSTD true true "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
    Desktop 9 ZSTD true true "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0";
    Desktop 8 BROTLI true true "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15";
    Desktop 9 ZSTD true true "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0";
    Desktop 4 ZSTD true true "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    Desktop 3 ZSTD true false "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
    Phone 36 BROTLI true true "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1";
    Phone 40 ZSTD true true "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36";
    Phone 7 BROTLI true true "Mozilla/5.0 (Linux; Android 14; SM-A546B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36";
    Phone 5 BROTLI true true "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1";
    Phone 2 ZSTD true true "Mozilla/5.0 (Android 15; Mobile; rv:144.0) Gecko/144.0 Firefox/144.0";
    App 40 GZIP true false "okhttp/4.12.0";
    App 44 BROTLI true true "ExampleShop/7.31.0 (iPhone; iOS 18.6.2; Scale/3.00)";
    App 12 BROTLI true true "ExampleShop/412 CFNetwork/3826.600.41 Darwin/24.6.0";
    App 4 GZIP false false "Dart/3.9 (dart:io)";
    Player 30 GZIP true false "ExoPlayerLib/2.19.1 (Linux;Android 13) ExampleTV/5.4.2";
    Player 34 BROTLI true true "AppleCoreMedia/1.0.0.22G100 (iPhone; U; CPU OS 18_6 like Mac OS X; en_us)";
    Player 18 GZIP false false "AppleCoreMedia/1.0.0.22L572 (Apple TV; U; CPU OS 18_5 like Mac OS X; de_de)";
    Player 18 GZIP false false "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.211 Safari/537.36 WebAppManager";
    Tool 20 NONE true false "curl/8.14.1";
    Tool 14 DEFLATE false false "python-requests/2.32.3";
    Tool 10 GZIP true false "Go-http-client/2.0";
    Tool 10 NONE false false "Wget/1.21.4";
    Tool 8 DEFLATE false false "Java/21.0.8";
    Tool 6 GZIP true false "cargo/1.90.0 (840b83a10 2025-07-30)";
    Bot 30 BROTLI true false "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    Bot 16 BROTLI true false "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/136.0.0.0 Safari/537.36";
    Bot 14 BROTLI true false "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)";
    Bot 10 DEFLATE false false "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)";
    Bot 8 GZIP false false "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)";
    Monitor 10 NONE false false "Amazon-Route53-Health-Check-Service (ref 6e0b1c2d-1f5e-4c3b-9a57-2d8f1a0c7b11; report http://amzn.to/1vsZADi)";
    Monitor 10 GZIP true false "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)";
};

/// Who asks for what; decides which kinds of agent are usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Web,
    Api,
    Video,
    Files,
    /// Any site, seen from a hosting network.
    Machines,
}

impl Audience {
    pub(crate) const ALL: [Audience; 5] = [
        Audience::Web,
        Audience::Api,
        Audience::Video,
        Audience::Files,
        Audience::Machines,
    ];

    /// Returns the share of an agent in the audience.
    pub(crate) const fn weight(self, agent: &Agent) -> u32 {
        let kind = match (self, agent.kind) {
            (Audience::Web, AgentKind::Desktop) => 45,
            (Audience::Web, AgentKind::Phone) => 50,
            (Audience::Web, AgentKind::App) => 75,
            (Audience::Api, AgentKind::Desktop) => 18,
            (Audience::Api, AgentKind::Phone) => 16,
            (Audience::Api, AgentKind::App) => 60,
            (Audience::Api, AgentKind::Tool) => 8,
            (Audience::Video, AgentKind::Player) => 66,
            (Audience::Video, AgentKind::Desktop) => 20,
            (Audience::Video, AgentKind::Phone) => 14,
            (Audience::Files, AgentKind::Desktop) => 30,
            (Audience::Files, AgentKind::Tool) => 65,
            (Audience::Machines, AgentKind::Bot) => 62,
            (Audience::Machines, AgentKind::Tool) => 24,
            (Audience::Machines, AgentKind::Monitor) => 14,
            _ => 0,
        };
        kind * agent.weight
    }
}

/// The place in [`AGENTS`] of the program that floods.
pub(crate) fn flood_agent() -> usize {
    AGENTS
        .iter()
        .position(|agent| agent.user_agent.starts_with("python-requests/"))
        .expect("the table has it")
}
