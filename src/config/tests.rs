//! Which layer wins, and what the refusals say.

use super::*;
use std::io::Write;

fn load(flags: &[(&str, &str)], variables: &[(&str, &str)], file: Option<&str>) -> Result<Config, String> {
    let flags: Vec<_> = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let written = file.map(|text| {
        let mut written = tempfile::NamedTempFile::new().unwrap();
        written.write_all(text.as_bytes()).unwrap();
        written
    });
    let path = written.as_ref().map(|written| written.path().to_owned());
    Config::load(&flags, path.clone(), variables).map_err(|error| {
        let shown = error.to_string();
        path.map_or(shown.clone(), |path| shown.replace(&*path.to_string_lossy(), "FILE"))
    })
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let file = Some("heartbeat_s = 1\nproduct = \"file\"\ncluster_name = \"file\"");
    let variables = &[("LEDGERMQ_HEARTBEAT_S", "2"), ("LEDGERMQ_PRODUCT", "variable"), ("PATH", "/bin")];
    let config = load(&[("heartbeat_s", "3")], variables, file).unwrap();
    assert_eq!(config.heartbeat_s, 3);
    assert_eq!(config.product, "variable");
    assert_eq!(config.cluster_name, "file");
    assert_eq!(config.channels_max, limits::CHANNELS_MAX);
    assert_eq!(load(&[], &[], None), Ok(Config::default()));
}

#[test]
fn the_environment_may_name_the_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"heartbeat_s = 7").unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(load(&[], &[("LEDGERMQ_CONFIG", path)], None).unwrap().heartbeat_s, 7);
    let preferred = load(&[], &[("LEDGERMQ_CONFIG", path)], Some("heartbeat_s = 8"));
    assert_eq!(preferred.unwrap().heartbeat_s, 8, "the flag's file wins");
    let missing = load(&[], &[("LEDGERMQ_CONFIG", "/nonexistent/x.toml")], None).unwrap_err();
    assert!(missing.starts_with("configuration file /nonexistent/x.toml cannot be read: "), "{missing}");
}

#[test]
fn values_of_all_kinds_are_taken() {
    let config = load(
        &[("http_listen", "off"), ("deliver", "immediate"), ("log_format", "json")],
        &[],
        Some("segment_bytes = \"128MiB\"\ndisk_low_bytes = 0\nloopback_users = [\"a\", \"b\"]\nlisten = \"[::]:5\""),
    )
    .unwrap();
    assert_eq!(config.http_listen, None);
    assert_eq!(config.deliver, DeliverMode::Immediate);
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.segment_bytes, 128 << 20);
    assert_eq!(config.disk_low_bytes, 0);
    assert_eq!(config.loopback_users, ["a", "b"]);
    assert_eq!(config.listen.to_string(), "[::]:5");
    assert!(load(&[("loopback_users", "")], &[], None).unwrap().loopback_users.is_empty());
}

#[test]
fn refusals_name_key_value_place_and_what_is_allowed() {
    for (flags, variables, file, expected) in [
        (
            &[("heartbeat_s", "x")][..],
            &[][..],
            None,
            "heartbeat_s = \"x\" (flag --heartbeat-s) is not allowed: 0 to 65535; 0 offers none",
        ),
        (
            &[],
            &[("LEDGERMQ_SEGMENT_BYTES", "1000000")],
            None,
            "segment_bytes = \"1000000\" (environment variable LEDGERMQ_SEGMENT_BYTES) is not allowed: \
             64KiB to 1GiB, a multiple of 4KiB",
        ),
        (
            &[],
            &[],
            Some("deliver = true"),
            "deliver = \"true\" (file FILE) is not allowed: after_durable or immediate",
        ),
        (&[], &[], Some("hartbeat_s = 1"), "unknown key hartbeat_s (file FILE): did you mean heartbeat_s?"),
        (
            &[],
            &[("LEDGERMQ_LISTN", "x")],
            None,
            "unknown key listn (environment variable LEDGERMQ_LISTN): did you mean listen?",
        ),
        (
            &[("message_bytes_max", "512MiB")],
            &[],
            None,
            "message_bytes_max = 512MiB does not go with segment_bytes = 64MiB: a segment must hold at least two of \
             the largest messages",
        ),
    ] {
        assert_eq!(load(flags, variables, file).unwrap_err(), expected);
    }
    let unknown = load(&[], &[], Some("[amqp]\nport = 1")).unwrap_err();
    assert!(unknown.starts_with("unknown key amqp (file FILE): known keys: data_dir, listen, "), "{unknown}");
    let broken = load(&[], &[], Some("listen = ")).unwrap_err();
    assert!(broken.starts_with("file FILE is not TOML: TOML parse error at line 1"), "{broken}");
}

#[test]
fn what_kubernetes_puts_into_the_environment_is_passed_over() {
    let variables = [
        ("LEDGERMQ_PORT", "tcp://10.0.0.1:5672"),
        ("LEDGERMQ_PORT_5672_TCP_ADDR", "10.0.0.1"),
        ("LEDGERMQ_SERVICE_HOST", "10.0.0.1"),
        ("LEDGERMQ_TEST_SEED", "1"),
    ];
    assert_eq!(load(&[], &variables, None), Ok(Config::default()));
}

#[test]
fn variables_of_rabbitmqs_image_are_understood_and_ours_beat_them() {
    let variables = [
        ("LEDGERMQ_DEFAULT_VHOST", "ours"),
        ("RABBITMQ_DEFAULT_USER", "ann"),
        ("RABBITMQ_DEFAULT_PASS", "canary"),
        ("RABBITMQ_DEFAULT_VHOST", "theirs"),
        ("RABBITMQ_NODE_PORT", "5673"),
        ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1"),
        ("RABBITMQ_ERLANG_COOKIE", "x"),
    ];
    let config = load(&[], &variables, None).unwrap();
    assert_eq!((&*config.default_user, config.default_pass.expose()), ("ann", "canary"));
    assert_eq!(config.default_vhost, "ours");
    assert_eq!(config.listen.to_string(), "127.0.0.1:5673");
    assert_eq!(load(&[], &variables[4..5], None).unwrap().listen.to_string(), "[::]:5673");
    let shown: String = KEYS.iter().map(|key| key.text(&config)).collect();
    assert!(!shown.contains("canary") && !format!("{config:?}").contains("canary"), "{shown}");
}

#[test]
fn a_rabbitmq_conf_is_read_with_what_stands_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("rabbitmq.conf");
    std::fs::write(&main, "heartbeat = 30\nnet_ticktime = 60\nchannel_max = 7\n").unwrap();
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    std::fs::write(dir.path().join("conf.d/20-late.conf"), "heartbeat = 32\n").unwrap();
    std::fs::write(dir.path().join("conf.d/10-early.conf"), "heartbeat = 31\n").unwrap();
    let config = Config::load(&[], Some(main.clone()), std::iter::empty()).unwrap();
    assert_eq!((config.heartbeat_s, config.channels_max), (32, 7));
    assert_eq!(config.passed_over, ["net_ticktime"]);
    // RabbitMQ's variable may leave the ending out.
    let named = dir.path().join("rabbitmq").into_os_string();
    let variable = [("RABBITMQ_CONFIG_FILE".into(), named)].into_iter();
    assert_eq!(Config::load(&[], None, variable).unwrap().channels_max, 7);
    std::fs::write(&main, "\nheartbaet = 30\n").unwrap();
    let wrong = Config::load(&[], Some(main), std::iter::empty()).unwrap_err().to_string();
    assert!(
        wrong.ends_with("rabbitmq.conf:2: unknown key \"heartbaet\"; did you mean \"heartbeat\"?"),
        "{wrong}"
    );
}

#[test]
fn opentelemetrys_own_variables_are_understood_and_ours_beat_them() {
    let variable = |name: &str, value: &str| (name.into(), value.into());
    let theirs = [
        variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
        variable("OTEL_EXPORTER_OTLP_HEADERS", "api-key=canary"),
        variable("OTEL_SERVICE_NAME", "shop"),
        variable("OTEL_RESOURCE_ATTRIBUTES", "team=a"),
    ];
    let config = Config::load(&[], None, theirs.clone().into_iter()).unwrap();
    assert_eq!(config.otlp.traces_url().as_deref(), Some("http://127.0.0.1:4318/v1/traces"));
    assert_eq!((&*config.otlp.service_name, &*config.otlp.resource_attributes), ("shop", "team=a"));
    assert_eq!(config.otlp.headers.expose(), "api-key=canary");
    assert!(KEYS.iter().all(|key| !key.text(&config).contains("canary")), "shown nowhere");
    let ours = variable("LEDGERMQ_OTLP_ENDPOINT", "");
    let config = Config::load(&[], None, theirs.into_iter().chain([ours])).unwrap();
    assert_eq!(config.otlp.traces_url(), None);
    let wrong = [variable("OTEL_RESOURCE_ATTRIBUTES", "team")].into_iter();
    let error = Config::load(&[], None, wrong).unwrap_err().to_string();
    assert!(error.contains("environment variable OTEL_RESOURCE_ATTRIBUTES"), "{error}");
}

#[test]
fn every_default_is_allowed() {
    let flags: Vec<_> = KEYS.iter().map(|key| (key.name, key.default_text())).collect();
    assert_eq!(Config::load(&flags, None, std::iter::empty()), Ok(Config::default()));
}

/// Run with `LEDGERMQ_TEST_BLESS=1` to write the page anew.
#[test]
fn the_documentation_lists_what_the_program_knows() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    if std::env::var_os("LEDGERMQ_TEST_BLESS").is_some() {
        std::fs::write(path, reference()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page == reference(), "docs/configuration.md is stale: LEDGERMQ_TEST_BLESS=1 cargo test config::");
}
