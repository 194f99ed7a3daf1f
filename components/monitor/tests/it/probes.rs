//! Liveness, readiness and startup through the life of a service.

use serde_json::{Value, json};

use crate::services::{Clinging, Fragile, Hanging, Quitter, list, start};
use crate::support::{LISTENERS, Reply, Running, Settings, get, request, wait_for};

#[test]
fn all_probes_hold_while_the_service_runs() {
    let service = start("");
    for probe in ["live", "ready", "started"] {
        let reply = get(service.monitor(), &format!("/health/{probe}"));
        let body = json(&reply);
        assert_eq!((reply.status, &body["status"], &body["phase"]), (200, &json!("ok"), &json!("running")));
        assert_eq!(body["components"]["fragile"], json!({"state": "loaded", "health": "ok"}));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
}

#[test]
fn a_fatal_component_fails_liveness_and_readiness_with_its_reason() {
    let service = start("");
    Fragile::break_in(&service);
    for (probe, status, word) in [("live", 503, "failed"), ("ready", 503, "failed"), ("started", 200, "ok")] {
        let reply = get(service.monitor(), &format!("/health/{probe}"));
        let body = json(&reply);
        assert_eq!((reply.status, &body["status"]), (status, &json!(word)), "{probe}");
        let facts = json!({"state": "loaded", "health": "fatal", "reason": "it fell"});
        assert_eq!(body["components"]["fragile"], facts);
    }
}

#[test]
fn while_a_component_hangs_in_its_load_the_monitor_says_starting() {
    let list = list().append_default::<Hanging>();
    let service =
        Running::launch(&list, &format!("{LISTENERS}\n        fragile: {{}}\n        hanging: {{}}"));
    for (probe, status) in [("live", 200), ("ready", 503), ("started", 503)] {
        let target = format!("/health/{probe}");
        let reply = wait_for("the probe is loaded", || {
            Some(get(service.monitor(), &target)).filter(|reply| reply.status != 404)
        });
        let body = json(&reply);
        assert_eq!((reply.status, &body["phase"]), (status, &json!("starting")), "{probe}");
        assert_eq!(body["components"]["hanging"], json!({"state": "loading"}));
    }
}

#[test]
fn readiness_falls_as_soon_as_the_service_is_told_to_stop() {
    let listeners = format!("{LISTENERS}\n        fragile: {{}}");
    // Longer than the test; dropping the service does not wait for it.
    let settings = Settings { graceful_shutdown_interval: "10m", ..Settings::default() };
    let service = Running::start_with(&list(), &listeners, &settings);
    let monitor = service.monitor();
    assert_eq!(get(monitor, "/health/ready").status, 200);
    service.handle.stop("a test wants it");
    let reply = wait_for("it is not ready", || {
        Some(get(monitor, "/health/ready")).filter(|reply| reply.status != 200)
    });
    assert_eq!((reply.status, &json(&reply)["phase"]), (503, &json!("shutting_down")));
    assert_eq!(get(monitor, "/health/live").status, 200);
}

#[test]
fn while_a_component_hangs_in_its_stop_the_monitor_answers_and_names_it() {
    let list = list().append_default::<Clinging>();
    let sections = format!("{LISTENERS}\n        fragile: {{}}\n        clinging: {{}}");
    let mut service = Running::start(&list, &sections);
    let monitor = service.monitor();
    service.handle.stop("a test wants it");
    // It is of those that stop before the monitor.
    service.wait_for_metric(r#"component_state{component="fragile",component_state="stopped"}"#, 1.0);
    let body = json(&get(monitor, "/health/ready"));
    assert_eq!(
        (&body["phase"], &body["components"]["clinging"]["state"]),
        (&json!("stopping"), &json!("loaded"))
    );
    assert_eq!(get(monitor, "/health/ready").status, 503);
    assert_eq!(get(monitor, "/health/live").status, 200);
    let metrics = get(monitor, "/metrics");
    assert_eq!(metrics.status, 200);
    for line in
        ["component_state{component=\"clinging\",component_state=\"loaded\"} 1\n", "process_open_fds "]
    {
        assert!(metrics.text().contains(line), "no `{line}` in:\n{}", metrics.text());
    }
    assert_eq!(request(monitor, "PUT /service/log-level/debug", "", "").status, 200);
    service.handle.force_stop();
    let report = service.join().expect("it has started");
    let named = "`clinging` did not finish `stop`".to_owned();
    assert!(report.unfinished.contains(&named), "{:?}", report.unfinished);
    assert!(std::net::TcpStream::connect(monitor).is_err(), "and then the monitor is closed too");
}

#[test]
fn a_service_that_stops_before_it_was_ready_has_not_started() {
    let list = list().append_default::<Quitter>();
    let service =
        Running::launch(&list, &format!("{LISTENERS}\n        fragile: {{}}\n        quitter: {{}}"));
    let reply = wait_for("the service stops", || {
        Some(get(service.monitor(), "/health/started"))
            .filter(|reply| reply.status != 404 && json(reply)["phase"] == json!("stopping"))
    });
    assert_eq!((reply.status, &json(&reply)["status"]), (503, &json!("failed")));
}

fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}
