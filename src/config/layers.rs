//! Where settings come from. Each layer is a list of (key, value, where it stands); unknown keys are found when a layer
//! is read, bad values when it is applied.

use super::Config;
use super::keys::{KEYS, Key};
use super::rabbitmq_conf;
use super::spelling::nearest;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// A setting that cannot be used. A sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self(format!("configuration file {} cannot be read: {error}", path.display()))
    }

    pub(super) fn together(sentence: String) -> Self {
        Self(sentence)
    }

    fn unknown(name: &str, place: &str) -> Self {
        let hint = match nearest(name, KEYS.iter().map(|key| key.name)) {
            Some(known) => format!("did you mean {known}?"),
            None => format!("known keys: {}", KEYS.each_ref().map(|key| key.name).join(", ")),
        };
        Self(format!("unknown key {name} ({place}): {hint}"))
    }
}

/// One layer, ready to be laid over a configuration.
#[derive(Debug, Default)]
pub(super) struct Settings {
    settings: Vec<Setting>,
}

#[derive(Debug)]
struct Setting {
    key: &'static Key,
    value: String,
    place: String,
}

impl Settings {
    /// Lays the settings over the configuration.
    ///
    /// # Errors
    /// The first value that is not allowed.
    pub(super) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        for Setting { key, value, place } in &self.settings {
            if (key.set)(config, value).is_none() {
                return Err(ConfigError(format!(
                    "{} = {value:?} ({place}) is not allowed: {}",
                    key.name, key.allowed
                )));
            }
        }
        Ok(())
    }

    fn push(&mut self, key: &'static Key, value: String, place: String) {
        self.settings.push(Setting { key, value, place });
    }
}

/// The settings in the environment, and the file it names.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) settings: Settings,
    pub(super) file: Option<PathBuf>,
}

const PREFIX: &str = "LEDGERMQ_";
/// Variables under our prefix that are not settings: a Kubernetes service called `ledgermq` puts its address into every
/// container under these names; tests use the last.
const FOREIGN: [&str; 4] = ["PORT", "PORT_", "SERVICE_", "TEST_"];

/// The flags of the command line, by key.
pub(super) fn flags(flags: &[(&str, String)]) -> Settings {
    let mut settings = Settings::default();
    for (name, value) in flags {
        if let Some(key) = key(name) {
            settings.push(key, value.clone(), format!("flag --{}", name.replace('_', "-")));
        }
    }
    settings
}

/// Variables of RabbitMQ's image, and of OpenTelemetry's standard, that name a setting of ours.
const THEIRS: [(&str, &str); 7] = [
    ("RABBITMQ_DEFAULT_USER", "default_user"),
    ("RABBITMQ_DEFAULT_PASS", "default_pass"),
    ("RABBITMQ_DEFAULT_VHOST", "default_vhost"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp_endpoint"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "otlp_headers"),
    ("OTEL_SERVICE_NAME", "otlp_service_name"),
    ("OTEL_RESOURCE_ATTRIBUTES", "otlp_resource_attributes"),
];

/// What their variables say; ours, which are read after them, win.
fn rabbitmq_environment(variables: &[(OsString, OsString)]) -> Environment {
    let mut environment = Environment { settings: Settings::default(), file: None };
    let value = |name: &str| {
        let found = variables.iter().find(|(variable, _)| variable == name)?;
        found.1.to_str().filter(|value| !value.is_empty())
    };
    for (variable, name) in THEIRS {
        if let (Some(value), Some(key)) = (value(variable), key(name)) {
            environment.settings.push(key, value.to_owned(), format!("environment variable {variable}"));
        }
    }
    let (address, port) = (value("RABBITMQ_NODE_IP_ADDRESS"), value("RABBITMQ_NODE_PORT"));
    if (address.is_some() || port.is_some())
        && let Some(key) = key("listen")
    {
        let (address, port) = (address.unwrap_or("::"), port.unwrap_or("5672"));
        let listen =
            if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
        let place = "environment variables RABBITMQ_NODE_IP_ADDRESS and RABBITMQ_NODE_PORT";
        environment.settings.push(key, listen, place.to_owned());
    }
    environment.file = value("RABBITMQ_CONFIG_FILES").or(value("RABBITMQ_CONFIG_FILE")).map(PathBuf::from);
    environment
}

/// The `LEDGERMQ_…` variables, and those of RabbitMQ's image and of OpenTelemetry.
pub(super) fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Environment, ConfigError> {
    let variables: Vec<_> = variables.collect();
    let mut environment = rabbitmq_environment(&variables);
    for (variable, value) in variables {
        let Some(variable) = variable.to_str() else { continue };
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        if name == "CONFIG" {
            environment.file = Some(value.into());
            continue;
        }
        let place = format!("environment variable {variable}");
        let Some(key) = key(&name.to_ascii_lowercase()) else {
            if is_foreign(name) {
                continue;
            }
            return Err(ConfigError::unknown(&name.to_ascii_lowercase(), &place));
        };
        let value = value.into_string().map_err(|value| {
            ConfigError(format!("{} = {} ({place}) is not UTF-8", key.name, value.display()))
        })?;
        environment.settings.push(key, value, place);
    }
    Ok(environment)
}

fn is_foreign(name: &str) -> bool {
    FOREIGN.iter().any(|known| if known.ends_with('_') { name.starts_with(known) } else { name == *known })
}

/// The keys of a file, and those of a rabbitmq.conf that are passed over.
pub(super) fn file(path: &Path, text: &str) -> Result<(Settings, Vec<String>), ConfigError> {
    if path.extension().is_some_and(|ending| ending == "conf") {
        return rabbitmq_file(path, text);
    }
    toml_file(path, text).map(|settings| (settings, Vec::new()))
}

/// The keys of RabbitMQ's own format.
fn rabbitmq_file(path: &Path, text: &str) -> Result<(Settings, Vec<String>), ConfigError> {
    let place = |line: usize| format!("{}:{line}", path.display());
    let translated = rabbitmq_conf::translate(text)
        .map_err(|(line, sentence)| ConfigError(format!("{}: {sentence}", place(line))))?;
    let mut settings = Settings::default();
    for (name, value, line) in translated.settings {
        if let Some(key) = key(name) {
            settings.push(key, value, place(line));
        }
    }
    Ok((settings, translated.passed_over))
}

/// The keys of a TOML file.
fn toml_file(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    let place = format!("file {}", path.display());
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        ConfigError(format!("{place} is not TOML: {}", error.to_string().trim_end()))
    })?;
    let mut settings = Settings::default();
    for (name, value) in table {
        let key = key(&name).ok_or_else(|| ConfigError::unknown(&name, &place))?;
        let value = plain(&value).ok_or_else(|| {
            ConfigError(format!("{name} = {value} ({place}) is not allowed: {}", key.allowed))
        })?;
        settings.push(key, value, place.clone());
    }
    Ok(settings)
}

/// Texts, numbers, `true` and `false` as they are, lists of texts with commas.
fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            Some(items?.join(","))
        }
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}
