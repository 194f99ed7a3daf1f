//! A service that fails on purpose, as a process on a real Kafka, and the end of processes whose test is gone.

mod failing_callback;
mod orphans;

/// The binary of `examples/failing_service.rs`. Cargo tells tests where their package's programs are, but not its
/// examples, which it puts beside the directory of the test; it builds them with `cargo test`, though not with
/// `cargo test --test it`.
#[track_caller]
fn failing_service() -> String {
    let this = std::env::current_exe().expect("this test has a binary");
    let target = this.ancestors().nth(2).expect("it lies in `deps` of the target directory");
    let example = target.join("examples/failing_service");
    assert!(example.is_file(), "build the service first: `cargo build -p mainspring-it --examples`");
    example.into_os_string().into_string().expect("target directories have plain names")
}
