//! `canopy.toml`: the one configuration.
//!
//! Unknown keys are errors with a suggestion, and every error names the file
//! and the line. A project without a file runs with the defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use canopy_batch::formats::Layout;
use canopy_clickhouse::{AddressError, Server};
use canopy_runtime::{Limits, OnError, PluginSettings};
use serde::Deserialize;

use crate::units::{ByteSize, HumanDuration};

/// The file's name.
pub const FILE_NAME: &str = "canopy.toml";

/// What `canopy.toml` says. Paths in it are relative to the file's folder.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// What the logs look like.
    #[serde(default)]
    pub logs: LogSettings,
    /// Where rows go.
    #[serde(default)]
    pub clickhouse: ClickHouseSettings,
    /// The chain of plugins, in order.
    #[serde(default, rename = "plugin")]
    pub plugins: Vec<PluginEntry>,
    /// The folder of the file; `.` where there is none.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// `[logs]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LogSettings {
    /// The fields of the real-time log configuration: `"all"` or a list of
    /// CloudFront's names in any order (CloudFront delivers them in its own).
    pub fields: Fields,
    /// The real-time configuration's sampling rate in percent, above 0 to 100.
    /// Rows carry its inverse as `sample_weight`.
    pub sampling_rate: f32,
    /// `auto`, `real-time`, `standard` or `json`.
    pub format: FormatChoice,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings {
            fields: Fields::default(),
            sampling_rate: 100.0,
            format: FormatChoice::Auto,
        }
    }
}

/// The fields of the real-time log configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Fields {
    /// `"all"`.
    Word(String),
    /// A list of names.
    List(Vec<String>),
}

impl Default for Fields {
    fn default() -> Self {
        Fields::Word("all".to_owned())
    }
}

/// Which format the logs are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FormatChoice {
    /// Decided by looking at the first lines of each source.
    #[default]
    Auto,
    /// CloudFront real-time log lines.
    RealTime,
    /// CloudFront standard logs (W3C).
    Standard,
    /// CloudFront standard logging v2 as JSON lines.
    Json,
}

/// `[clickhouse]`
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ClickHouseSettings {
    /// The server's HTTP or HTTPS address; absent: the embedded engine.
    pub url: Option<String>,
    /// The user; absent: the URL's, or `default`.
    pub user: Option<String>,
    /// The password. Prefer `CANOPY_CLICKHOUSE_PASSWORD`, which overrides it.
    pub password: Option<String>,
    /// The database, created where it does not exist; absent: the URL's, or
    /// `canopy`.
    pub database: Option<String>,
    /// The cluster's name, for replicated and distributed tables.
    pub cluster: Option<String>,
    /// How many days rows are kept; absent: for ever.
    pub ttl_days: Option<u32>,
}

impl std::fmt::Debug for ClickHouseSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClickHouseSettings")
            .field("user", &self.user)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

impl ClickHouseSettings {
    /// Returns the server; nothing where the embedded engine is to be used.
    /// What a key says goes before what the URL says.
    ///
    /// # Errors
    ///
    /// Where the URL cannot be one.
    pub fn server(&self) -> Result<Option<Server>, AddressError> {
        let Some(url) = &self.url else {
            return Ok(None);
        };
        let mut server = Server::parse(url)?;
        if let Some(user) = &self.user {
            server.user = user.clone();
        }
        if let Some(password) = &self.password {
            server.password = password.clone();
        }
        if let Some(database) = &self.database {
            server.database = database.clone();
        }
        Ok(Some(server))
    }
}

/// `[[plugin]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginEntry {
    /// The plugin's name in this chain; unique.
    pub name: String,
    /// Where its component comes from: a path.
    pub source: String,
    /// Its configuration, checked against its JSON Schema.
    #[serde(default = "empty_object")]
    pub config: serde_json::Value,
    /// The data files it may read: its name for the file, and the path.
    #[serde(default)]
    pub data: BTreeMap<String, PathBuf>,
    /// What happens to a row it fails on; absent: the plugin's default.
    pub on_error: Option<OnErrorChoice>,
    /// Its limits.
    #[serde(default)]
    pub limits: LimitSettings,
}

fn empty_object() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

/// `on-error`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnErrorChoice {
    /// The row goes on with the plugin's columns null.
    Null,
    /// The raw record is set aside with the reason.
    Quarantine,
    /// The batch fails and is tried again.
    Fail,
}

/// `limits` of a plugin; what is absent has the runtime's default.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LimitSettings {
    /// Linear memory of an instance.
    pub memory: Option<ByteSize>,
    /// Time for one batch.
    pub deadline: Option<HumanDuration>,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what `canopy.toml` may hold.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column, what is wrong, and what to write.
        message: String,
    },
}

impl Settings {
    /// Reads the settings of a file.
    ///
    /// # Errors
    ///
    /// [`SettingsError`], naming file, line and key.
    pub fn read(path: &Path) -> Result<Settings, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
            path: path.to_owned(),
            source,
        })?;
        Settings::from_text(&text, path)
    }

    /// Reads the settings in `text`, which is or will be the file at `path`.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Parse`], naming file, line and key.
    pub fn from_text(text: &str, path: &Path) -> Result<Settings, SettingsError> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Settings::parse(text, folder).map_err(|message| SettingsError::Parse {
            path: path.to_owned(),
            message,
        })
    }

    /// Returns the plugin of this name.
    pub fn plugin(&self, name: &str) -> Option<&PluginEntry> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }

    /// Returns the defaults for a folder without a file.
    pub fn defaults(folder: PathBuf) -> Settings {
        Settings {
            folder,
            ..Settings::default()
        }
    }

    fn parse(text: &str, folder: PathBuf) -> Result<Settings, String> {
        let mut settings: Settings = toml::from_str(text).map_err(|error| explain(text, &error))?;
        settings.folder = folder;
        settings.check()?;
        Ok(settings)
    }

    /// Checks what the types do not say.
    fn check(&self) -> Result<(), String> {
        if !(self.logs.sampling_rate > 0.0 && self.logs.sampling_rate <= 100.0) {
            return Err(format!(
                "logs.sampling-rate is {}: it is a percentage, above 0 and at most 100",
                self.logs.sampling_rate
            ));
        }
        let layout = self.layout()?;
        if !layout.contains("timestamp") && self.clickhouse.ttl_days.is_some() {
            return Err(
                "logs.fields leaves out timestamp, so rows have no time, and clickhouse.ttl-days \
                 would drop them at once: add the field, or leave ttl-days out"
                    .to_owned(),
            );
        }
        let mut names = std::collections::HashSet::new();
        for plugin in &self.plugins {
            if !names.insert(plugin.name.as_str()) {
                return Err(format!(
                    "plugin `{}` is listed twice: give one of them another name",
                    plugin.name
                ));
            }
            if !plugin.config.is_object() {
                return Err(format!(
                    "plugin `{}`: config is a table, such as config = {{ prefix = \"geo\" }}",
                    plugin.name
                ));
            }
        }
        self.clickhouse
            .server()
            .map_err(|error| format!("clickhouse.url: {error}"))?;
        Ok(())
    }

    /// Returns the layout of real-time lines.
    ///
    /// # Errors
    ///
    /// A sentence naming the field that CloudFront does not have.
    pub fn layout(&self) -> Result<Layout, String> {
        match &self.logs.fields {
            Fields::Word(word) if word == "all" => Ok(Layout::all()),
            Fields::Word(word) => Err(format!(
                "logs.fields is `{word}`: write \"all\" or a list of fields"
            )),
            Fields::List(names) => Layout::from_names(names.iter().map(String::as_str))
                .map_err(|error| format!("logs.fields: {error}")),
        }
    }

    /// Returns what works but is hardly meant.
    pub fn warnings(&self) -> Vec<String> {
        match self.layout() {
            Ok(layout) if !layout.contains("timestamp") => vec![
                "logs.fields leaves out timestamp: every row of a real-time log gets the time \
                 1970-01-01"
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }

    /// Returns a path of the file as seen from the working directory.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

impl PluginEntry {
    /// Returns what the runtime is told about this plugin; paths are taken
    /// from `folder`.
    pub fn runtime_settings(&self, folder: &Path) -> PluginSettings {
        let mut limits = Limits::default();
        if let Some(memory) = self.limits.memory {
            limits.memory_bytes = memory.0;
        }
        if let Some(deadline) = self.limits.deadline {
            limits.deadline = deadline.0.max(Duration::from_millis(1));
        }
        PluginSettings {
            name: self.name.clone(),
            config: self.config.clone(),
            data: self
                .data
                .iter()
                .map(|(name, path)| (name.clone(), folder.join(path)))
                .collect(),
            on_error: self.on_error.map(|choice| match choice {
                OnErrorChoice::Null => OnError::Null,
                OnErrorChoice::Quarantine => OnError::Quarantine,
                OnErrorChoice::Fail => OnError::Fail,
            }),
            limits,
        }
    }
}

/// Turns a TOML error into one line: where, what, and what was meant.
pub(crate) fn explain(text: &str, error: &toml::de::Error) -> String {
    let mut message = error.message().trim().replace('\n', " ");
    if let Some(suggestion) = suggestion(&message) {
        message.push_str(&format!(" (did you mean `{suggestion}`?)"));
    }
    match error.span() {
        Some(span) => {
            let line = text[..span.start.min(text.len())].matches('\n').count() + 1;
            format!("line {line}: {message}")
        }
        None => message,
    }
}

/// Finds, in serde's "unknown field `x`, expected one of `y`, `z`", the
/// expected name nearest to the unknown one.
fn suggestion(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown ") {
        return None;
    }
    let unknown = quoted.next()?;
    closest(unknown, quoted).map(str::to_owned)
}

/// Returns the candidate nearest to `name`, where one is near enough to be
/// what a person meant.
pub fn closest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Settings::parse(text, PathBuf::from(".")).unwrap_err()
    }

    #[test]
    fn the_example_of_the_documentation_is_read() {
        let settings = Settings::parse(
            r#"
            [logs]
            fields = ["cs-uri-stem", "timestamp"]
            sampling-rate = 10

            [clickhouse]
            url = "https://clickhouse.example.com:8443"
            database = "canopy"

            [[plugin]]
            name = "geo-tag"
            source = "plugins/geo-tag.wasm"
            config = { prefix = "geo" }
            data = { city = "GeoLite2-City.mmdb" }
            on-error = "null"
            limits = { memory = "256MiB", deadline = "500ms" }
            "#,
            PathBuf::from("project"),
        )
        .unwrap();
        assert_eq!(settings.layout().unwrap().len(), 2);
        let plugin = settings.plugins[0].runtime_settings(&settings.folder);
        assert_eq!(plugin.limits.memory_bytes, 256 << 20);
        assert_eq!(plugin.limits.deadline, Duration::from_millis(500));
        assert_eq!(
            plugin.data["city"],
            PathBuf::from("project/GeoLite2-City.mmdb")
        );
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_a_suggestion() {
        let message = error("[logs]\nsampling_rate = 10\n");
        assert!(
            message.starts_with("line 2: unknown field `sampling_rate`"),
            "{message}"
        );
        assert!(
            message.contains("did you mean `sampling-rate`?"),
            "{message}"
        );
    }

    #[test]
    fn an_unknown_log_field_is_named() {
        let message = error("[logs]\nfields = [\"timestamp\", \"cs-uri-stm\"]\n");
        assert!(message.contains("cs-uri-stm"), "{message}");
        assert!(message.contains("cs-uri-stem"), "{message}");
    }

    #[test]
    fn rows_without_a_time_are_warned_of_and_never_dropped_by_age() {
        let fields = "[logs]\nfields = [\"cs-uri-stem\"]\n";
        let settings = Settings::parse(fields, PathBuf::from(".")).unwrap();
        assert!(settings.warnings()[0].contains("timestamp"));
        let message = error(&format!("{fields}[clickhouse]\nttl-days = 30\n"));
        assert!(message.contains("ttl-days would drop them"), "{message}");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(error("[logs]\nsampling-rate = 0\n").contains("percentage"));
        assert!(error("[clickhouse]\nurl = \"localhost:9000\"\n").contains("clickhouse.url"));
        assert!(
            error("[[plugin]]\nname = \"a\"\nsource = \"a\"\nlimits = { memory = \"lots\" }\n")
                .contains("not a size")
        );
        assert!(
            error("[[plugin]]\nname=\"a\"\nsource=\"a\"\n[[plugin]]\nname=\"a\"\nsource=\"b\"\n")
                .contains("listed twice")
        );
    }
}
