//! How the service ends, and what else signals do.

use std::fs;
use std::path::Path;

use mainspring_it::{ServiceConfig, ServiceProcess, Signal};
use mainspring_testsuite::eventually;

use crate::{BINARY, CONFIG, hello_service};

#[track_caller]
fn check_ends_well(signal: Signal, name: &str) {
    let service = hello_service();
    service.post("/hello", r#"{"name": "Ada"}"#);
    service.signal(signal);
    let ended = service.ended();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let says = |text: &str| ended.log.iter().any(|line| line.contains(text));
    assert!(says(&format!("Service is stopping reason={name} ")) && says(" Service stopped "), "{ended:#?}");
}

#[test]
fn sigterm_ends_it_in_good_order() {
    check_ends_well(Signal::TERM, "SIGTERM");
}

#[test]
fn sigint_ends_it_in_good_order() {
    check_ends_well(Signal::INT, "SIGINT");
}

/// A service that goes on for longer than any test after it was told to stop.
#[track_caller]
fn lingering_service() -> ServiceProcess {
    let config = ServiceConfig::of(CONFIG);
    let service = ServiceProcess::start(
        BINARY,
        &config.with("graceful_shutdown_interval: 0s", "graceful_shutdown_interval: 1h"),
        &[],
    );
    service.signal(Signal::TERM);
    service.until_logged("Service is stopping");
    service
}

#[test]
fn stopping_service_is_not_ready_but_answers() {
    let service = lingering_service();
    eventually("it to be unready", || service.monitor("/health/ready").status, |status| *status == 503);
    assert_eq!(service.monitor("/health/live").status, 200);
    assert_eq!(service.post("/hello", r#"{"name": "Ada"}"#).status, 200);
}

#[test]
fn second_signal_ends_it_at_once() {
    let ended = lingering_service().stop();
    assert_eq!(ended.code, Some(5), "{ended:#?}");
    assert_eq!(ended.last_words(), "error: ended at once by a second signal (SIGTERM)");
}

#[test]
fn sigusr1_reopens_the_log_file() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let (path, moved) = (directory.path().join("service.log"), directory.path().join("service.log.1"));
    let config = ServiceConfig::of(CONFIG).with("'@stderr'", &path.display().to_string());
    let mut service = ServiceProcess::launch(BINARY, &config, &[]);
    service.until_ready(|_| lines(&path));

    fs::rename(&path, &moved).expect("the log is there");
    service.signal(Signal::USR1);
    // The file is there before the logger writes to it.
    eventually(
        "the logs to be reopened",
        || service.metrics().sum("logger_reopens_total", &[]),
        |n| 1.0 <= *n,
    );
    assert!(path.exists());
    service.post("/hello", r#"{"name": "Ada"}"#);
    let is_request = |line: &String| line.contains("Request handled") && line.contains("path=/hello");
    eventually("the request in the new file", || lines(&path), |log| log.iter().any(is_request));
    assert!(!lines(&moved).iter().any(is_request), "the request is in the old file");
    assert!(lines(&moved).iter().any(|line| line.contains("Service ready")));

    let ended = service.stop();
    assert_eq!((ended.code, ended.log), (Some(0), Vec::new()));
    assert!(lines(&path).iter().any(|line| line.contains("Service stopped")));
}

#[test]
fn sighup_reads_secrets_again_and_stops_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("secdist.json");
    fs::write(&path, "{}").expect("the directory is there");
    let secdist =
        format!("        default-secdist-provider: {{config: '{}'}}\n        server:", path.display());
    let config = ServiceConfig::of(CONFIG).with("        server:", &secdist);
    let service = ServiceProcess::start(BINARY, &config, &[]);
    let n_readings = |result| service.metrics().sum("secdist_reloads_total", &[("result", result)]);
    service.signal(Signal::HUP);
    eventually("a reading", || n_readings("success"), |n| 1.0 <= *n);
    fs::remove_file(&path).expect("the file is there");
    service.signal(Signal::HUP);
    eventually("a reading that fails", || n_readings("error"), |n| 1.0 <= *n);
    assert_eq!(service.stop().code, Some(0));
}

#[test]
fn sighup_reads_the_defaults_of_the_dynamic_configuration_again() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("defaults.json");
    fs::write(&path, "{}").expect("the temporary directory can be written to");
    let section = format!("components:\n        dynamic-config: {{defaults-path: '{}'}}", path.display());
    let config = ServiceConfig::of(CONFIG).with("components:", &section);
    let service = ServiceProcess::start(BINARY, &config, &[]);
    let reloads = |result| service.metrics().sum("config_reloads_total", &[("result", result)]);

    service.signal(Signal::HUP);
    eventually("the file to be read again", || reloads("success"), |n| *n == 1.0);
    fs::write(&path, "no map").expect("the temporary directory can be written to");
    service.signal(Signal::HUP);
    eventually("the wrong file to be counted", || reloads("error"), |n| *n == 1.0);
    assert_eq!(service.post("/hello", r#"{"name": "Ada"}"#).status, 200);
    assert_eq!(service.stop().code, Some(0));
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}
