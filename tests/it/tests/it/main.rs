//! Producers and consumers in this process, and services made for a test, as processes on a real Kafka: one that fails on purpose, one whose
//! password and certificates change, one that keeps its offsets itself. And the end of processes whose test is gone.

mod certificates;
mod consumers;
mod credentials;
mod exactly_once;
mod failing_callback;
mod lanes;
mod orphans;
mod own_store;
mod producers;
mod traffic;
mod transactions;

/// The binary of an example of this package. Cargo tells tests where their package's programs are, but not its
/// examples, which it puts beside the directory of the test; it builds them with `cargo test`, though not with
/// `cargo test --test it`.
#[track_caller]
fn example(name: &str) -> String {
    let this = std::env::current_exe().expect("this test has a binary");
    let target = this.ancestors().nth(2).expect("it lies in `deps` of the target directory");
    let example = target.join("examples").join(name);
    assert!(example.is_file(), "build the service first: `cargo build -p mainspring-it --examples`");
    example.into_os_string().into_string().expect("target directories have plain names")
}
