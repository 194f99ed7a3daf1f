//! When the doors open and when they close.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use mainspring_core::{Component, ComponentContext, ComponentList, LoadError, NoConfig, Phase};
use mainspring_server::ServerComponent;

use crate::handlers::{Gate, list};
use crate::support::{LISTENERS, Running, connect, get, read, wait_for};

/// Never finishes loading.
struct Hanging;

impl Component for Hanging {
    const DEFAULT_NAME: &'static str = "hanging";
    type Config = NoConfig;

    async fn load(_config: NoConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
        std::future::pending().await
    }
}

#[test]
fn while_components_load_the_monitor_answers_and_the_main_listener_refuses() {
    let sections = "
        handler-ping: {monitor-handler: true}
        hanging: {}";
    let service = Running::launch(&list().append_default::<Hanging>(), &format!("{LISTENERS}{sections}"));
    let reply = wait_for("the ping handler is loaded", || {
        Some(get(service.monitor(), "/ping")).filter(|reply| reply.status != 404)
    });
    assert_eq!((reply.status, service.handle.phase()), (500, Phase::Starting));
    let refused = TcpStream::connect(service.main()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_request_under_way_is_answered_before_the_service_stops() {
    let service = Running::start(&list(), LISTENERS);
    let (main, monitor) = (service.main(), service.monitor());
    let mut stream = connect(main);
    write!(stream, "GET /held HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let mut idle = connect(main);
    let active = r#"http_server_active_requests{component="handler-held",http_request_method="GET",url_scheme="http"}"#;
    service.wait_for_metric(active, 1.0);
    service.wait_for_metric(r#"http_server_connections{component="server",listener="main"}"#, 2.0);
    service.handle.stop("a test wants it");
    wait_for("the main listener is closed", || TcpStream::connect(main).err());
    assert_eq!(get(monitor, "/nowhere").status, 404, "the monitor still answers");
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "connections without a request are closed");
    Gate::open(&service);
    assert_eq!(read(&mut stream).status, 200);
    let report = service.stop().expect("it has started");
    assert_eq!(report.unfinished, Vec::<String>::new());
    assert!(TcpStream::connect(monitor).is_err());
}

#[test]
fn clients_that_stall_do_not_hold_up_the_stop() {
    let service = Running::start(&list(), LISTENERS);
    let mut in_head = connect(service.main());
    write!(in_head, "GET /ping HTTP/1.1\r\nhos").unwrap();
    let mut in_body = connect(service.main());
    write!(in_body, "POST /status HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n2").unwrap();
    let mut in_answer = connect(service.main());
    write!(in_answer, "GET /large HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    in_answer.read_exact(&mut [0]).unwrap();
    let active = r#"http_server_active_requests{component="handler-status",http_request_method="POST",url_scheme="http"}"#;
    service.wait_for_metric(active, 1.0);
    service.wait_for_metric(r#"http_server_connections{component="server",listener="main"}"#, 3.0);
    // Well below the `component_stop_timeout` of the tests, at which it would say what did not finish.
    let report = service.stop().expect("it has started");
    assert_eq!(report.unfinished, Vec::<String>::new());
    assert_eq!(read(&mut in_body).status, 408);
    assert_eq!(in_head.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_client_of_the_monitor_that_stalls_does_not_hold_up_the_stop() {
    let service = Running::start(&list(), LISTENERS);
    let mut stalled = connect(service.monitor());
    write!(stalled, "GET /nowhere HTTP/1.1\r\nhost: te").unwrap();
    wait_for("the connection is accepted", || {
        let text = mainspring_metrics::prometheus_text(&service.handle.metrics().snapshot());
        text.contains(r#"http_server_connections{component="server",listener="monitor"} 1"#).then_some(())
    });
    let report = service.stop().expect("it has started");
    assert_eq!(report.unfinished, Vec::<String>::new());
}

#[test]
fn a_taken_port_is_an_error_that_says_what_to_do() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    for (main, monitor, key) in [(port, 0, "listener"), (0, port, "listener-monitor")] {
        let sections = format!(
            "
        server:
            listener: {{address: 127.0.0.1, port: {main}, task_processor: main-task-processor}}
            listener-monitor: {{address: 127.0.0.1, port: {monitor}, task_processor: main-task-processor}}"
        );
        let list = ComponentList::minimal().append_default::<ServerComponent>();
        let error = Running::launch(&list, &sections).join().expect_err("the port is taken");
        assert_eq!(
            error.to_string(),
            format!(
                "cannot start `server`: component `server` cannot listen on 127.0.0.1:{port} (`{key}`): Address already \
                 in use (os error 98); stop what uses the port, or change `server.{key}.port` (0 takes any free one)"
            )
        );
    }
}

#[test]
fn a_port_is_taken_as_soon_as_a_service_loads_and_before_it_listens() {
    let list = ComponentList::minimal().append_default::<ServerComponent>();
    let loading = Running::launch(
        &list.clone().append_default::<Hanging>(),
        &format!("{LISTENERS}\n        hanging: {{}}"),
    );
    let port = loading.main().port();
    assert!(TcpStream::connect(loading.main()).is_err(), "it does not listen yet");
    let error = Running::launch(&list, &on_port(port)).join().expect_err("the port is taken").to_string();
    let way_out = "stop what uses the port, or change `server.listener.port` (0 takes any free one)";
    assert!(error.starts_with("cannot start `server`: ") && error.ends_with(way_out), "{error}");
}

#[test]
fn a_service_starts_where_one_has_just_stopped() {
    let list = list();
    let mut service = Running::start(&list, &on_port(0));
    let port = service.main().port();
    for _ in 0..3 {
        // The service closes first, so that the remains of the connection are on its side.
        assert_eq!(get(service.main(), "/ping").status, 200);
        service.stop().expect("it stops");
        service = Running::start(&list, &on_port(port));
    }
}

fn on_port(port: u16) -> String {
    format!(
        "
        server:
            listener: {{address: 127.0.0.1, port: {port}, task_processor: main-task-processor}}"
    )
}

#[test]
fn the_default_address_is_every_address() {
    let listeners = "
        server:
            listener: {port: 0, task_processor: main-task-processor}";
    let service = Running::start(&list(), listeners);
    assert!(service.server().local_addr().ip().is_unspecified());
    assert_eq!(get(service.main(), "/ping").status, 200);
    assert_eq!(service.server().monitor_addr(), None);
}

#[test]
fn two_services_run_side_by_side() {
    let list = ComponentList::minimal().append_default::<ServerComponent>();
    let services = [Running::start(&list, LISTENERS), Running::start(&list, LISTENERS)];
    assert_ne!(services[0].main(), services[1].main());
    for service in services {
        assert_eq!(get(service.main(), "/").status, 404);
        service.stop().expect("it stops");
    }
}
