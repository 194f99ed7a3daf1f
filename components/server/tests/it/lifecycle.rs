//! When the doors open and when they close.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use mainspring_core::{Component, ComponentContext, ComponentList, LoadError, NoConfig, Phase};
use mainspring_server::ServerComponent;

use crate::handlers::list;
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
    write!(stream, "POST /status HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\n2").unwrap();
    let mut idle = connect(main);
    wait_for("the handler has the request and the idle connection is accepted", || {
        let text = mainspring_metrics::prometheus_text(&service.handle.metrics().snapshot());
        let lines = [
            r#"http_server_active_requests{component="handler-status",http_request_method="POST",url_scheme="http"} 1"#,
            r#"http_server_connections{component="server",listener="main"} 2"#,
        ];
        lines.iter().all(|line| text.lines().any(|known| known == *line)).then_some(())
    });
    service.handle.stop("a test wants it");
    wait_for("the main listener is closed", || TcpStream::connect(main).err());
    assert_eq!(get(monitor, "/nowhere").status, 404, "the monitor still answers");
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "connections without a request are closed");
    write!(stream, "01").unwrap();
    assert_eq!(read(&mut stream).status, 201);
    let report = service.stop().expect("it has started");
    assert!(!report.unfinished.iter().any(|step| step.contains("did not finish")), "{report:?}");
    assert!(TcpStream::connect(monitor).is_err());
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
