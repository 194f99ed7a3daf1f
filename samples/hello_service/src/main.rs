//! One HTTP handler component: `POST /hello` with `{"name": "you"}`.

fn main() -> std::process::ExitCode {
    mainspring::daemon_main(hello_service::app())
}
