//! `ledgermq serve`: the settings, the diagnostics, and then the broker itself.
//! Every key of the configuration is a flag; the flags are made from the table of keys.

use super::exit::Exit;
use crate::config::{Config, KEYS, LogFormat};
use crate::diagnostics;
use crate::management;
use crate::server::{self, ServeError};
use clap::{Arg, ArgMatches, Command};
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Flags of `serve`.
pub(super) fn grammar() -> Command {
    let keys = KEYS.iter().map(|key| {
        Arg::new(key.name)
            // clap keeps names for ever, and the grammar is made once.
            .long(&*key.flag().leak())
            .value_name("VALUE")
            .help(format!("{} [default: {}] [env: {}]", key.help, key.default_text(), key.variable()))
    });
    Command::new("serve")
        .about("Runs the broker until SIGTERM or SIGINT")
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help(
                    "TOML file with settings, a rabbitmq.conf, or a directory of such [env: LEDGERMQ_CONFIG]",
                ),
        )
        .args(keys)
}

/// Runs the broker.
pub(super) fn run(matches: &ArgMatches) -> Exit {
    let config = match settings(matches) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("ledgermq: {error}");
            return Exit::Usage;
        }
    };
    start_diagnostics(&config);
    if !config.passed_over.is_empty() {
        tracing::warn!(keys = %config.passed_over.join(", "), "keys of rabbitmq.conf that mean nothing here");
    }
    match server::run(config, management::serve, management::serve_metrics) {
        Ok(()) => Exit::Success,
        Err(error) => {
            tracing::error!("{error}");
            match error {
                ServeError::Configuration(_) => Exit::Usage,
                ServeError::Corrupt(_) => Exit::Data,
                ServeError::Io(_) => Exit::Io,
            }
        }
    }
}

pub(super) fn settings(matches: &ArgMatches) -> Result<Config, crate::config::ConfigError> {
    let flags: Vec<_> = KEYS
        .iter()
        .filter_map(|key| Some((key.name, matches.get_one::<String>(key.name)?.clone())))
        .collect();
    Config::load(&flags, matches.get_one("config").cloned(), std::env::vars_os())
}

/// Diagnostics go to standard error; standard output is for answers.
fn start_diagnostics(config: &Config) {
    // The filter was checked when it was read.
    let filter = EnvFilter::try_new(&config.log_level).unwrap_or_default();
    let subscriber = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false);
    let started = match config.log_format {
        LogFormat::Human => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            let subscriber = subscriber.with_ansi(colours).with_env_filter(filter).with_filter_reloading();
            let handle = subscriber.reload_handle();
            diagnostics::started(Box::new(move |filter| {
                handle.reload(filter).map_err(|error| error.to_string())
            }));
            subscriber.try_init()
        }
        LogFormat::Json => {
            let subscriber = subscriber.json().flatten_event(true);
            let subscriber = subscriber.with_env_filter(filter).with_filter_reloading();
            let handle = subscriber.reload_handle();
            diagnostics::started(Box::new(move |filter| {
                handle.reload(filter).map_err(|error| error.to_string())
            }));
            subscriber.try_init()
        }
    };
    if let Err(error) = started {
        eprintln!("ledgermq: no diagnostics: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(arguments: &[&str]) -> Result<Config, String> {
        let matches = grammar().try_get_matches_from(arguments).map_err(|error| error.to_string())?;
        settings(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_flags() {
        let config =
            load(&["serve", "--data-dir", "/x", "--listen=127.0.0.1:1", "--heartbeat-s", "9"]).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("/x"));
        assert_eq!(config.listen.to_string(), "127.0.0.1:1");
        assert_eq!(config.heartbeat_s, 9);
        assert!(
            load(&["serve", "--listen", "nowhere"]).unwrap_err().starts_with("listen = \"nowhere\" (flag")
        );
        assert!(load(&["serve", "--config", "/nonexistent"]).unwrap_err().contains("cannot be read"));
    }
}
