//! HTTP to Kafka and back: `POST /produce` sends a record, a consumer component logs and counts what arrives.

fn main() -> std::process::ExitCode {
    mainspring::daemon_main(kafka_service::app())
}
