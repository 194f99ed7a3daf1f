//! One dependency at a time, allowed and not.

use super::super::packages::Dependency;
use super::*;

fn package(directory: &str) -> Package {
    let name = directory.rsplit('/').next().unwrap().to_owned();
    Package {
        name,
        directory: directory.to_owned(),
        dependencies: Vec::new(),
        test_binaries: Vec::new(),
        manifest: String::new(),
    }
}

fn check_use(from: &str, to: &str, only_for_tests: bool) -> Vec<String> {
    let (mut user, used) = (package(from), package(to));
    user.dependencies.push(Dependency { name: used.name.clone(), only_for_tests });
    check(&[user, used]).iter().map(|finding| finding.fix.clone()).collect()
}

#[track_caller]
fn check_allowed(from: &str, to: &str) {
    assert_eq!(check_use(from, to, false), Vec::<String>::new());
}

#[track_caller]
fn check_refused(from: &str, to: &str, fix: &str) {
    assert_eq!(check_use(from, to, false), [fix]);
}

#[test]
fn layer_sees_only_lower_ones() {
    check_allowed("framework/engine", "framework/metrics");
    check_allowed("components/monitor", "components/server");
    check_allowed("framework/mainspring", "components/kafka");
    check_allowed("samples/hello_service", "framework/mainspring");
    check_allowed("tests/it", "samples/hello_service");
    let fix = "move what both need to a lower layer";
    check_refused("framework/metrics", "framework/engine", fix);
    check_refused("framework/metrics", "framework/logging", fix);
    check_refused("components/kafka", "framework/mainspring", fix);
    check_refused("framework/mainspring", "tests/it", fix);
}

#[test]
fn component_sees_only_the_siblings_it_is_allowed() {
    check_allowed("components/monitor", "components/server");
    check_allowed("components/kafka", "components/secdist");
    let fix = "components meet through traits of `core`, not by import";
    for (from, to) in [
        ("kafka", "server"),
        ("kafka", "monitor"),
        ("monitor", "secdist"),
        ("monitor", "kafka"),
        ("server", "secdist"),
    ] {
        check_refused(&format!("components/{from}"), &format!("components/{to}"), fix);
    }
}

#[test]
fn only_kafka_sees_the_unsafe_island() {
    check_allowed("components/kafka", "components/kafka-ffi");
    check_refused(
        "tests/it",
        "components/kafka-ffi",
        "use `mainspring-kafka`, the only package that sees it",
    );
}

#[test]
fn island_and_broker_see_nothing_of_ours() {
    let fix = "it stands beside the stack and sees no package of ours";
    check_refused("components/kafka-ffi", "framework/config", fix);
    check_refused("tests/kafka-broker", "framework/config", fix);
}

#[test]
fn samples_use_only_the_facade() {
    check_refused("samples/hello_service", "framework/core", "samples use the facade `mainspring`");
}

#[test]
fn support_for_tests_is_for_tests_only() {
    assert!(check_use("framework/core", "framework/testsuite", true).is_empty());
    let fix = "it is for tests; make it a dev-dependency";
    for user in ["framework/core", "components/kafka", "framework/mainspring"] {
        check_refused(user, "framework/testsuite", fix);
    }
    check_refused("samples/hello_service", "framework/testsuite", fix);
    check_allowed("tests/it", "framework/testsuite");
    assert!(check_use("components/kafka-ffi", "tests/kafka-broker", true).is_empty());
    assert!(!check_use("components/kafka", "tests/kafka-broker", false).is_empty());
    assert!(check_use("samples/hello_service", "tests/it", true).is_empty());
    assert!(!check_use("samples/hello_service", "tests/it", false).is_empty());
    check_allowed("tests/it", "tests/kafka-broker");
}

#[test]
fn new_package_needs_a_layer() {
    let findings = check(&[package("components/otlp")]);
    assert_eq!(findings[0].problem, "`components/otlp` has no layer");
}
