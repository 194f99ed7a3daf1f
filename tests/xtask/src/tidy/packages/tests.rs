//! One manifest in, its findings out.

use super::*;

const LINTS: &str = "[lints]\nworkspace = true\n";

#[track_caller]
fn check_one(directory: &str, manifest: &str, dependencies: &[&str], expected: &[&str]) {
    let name = manifest.lines().next().unwrap().trim_start_matches("name = ").trim_matches('"').to_owned();
    let dependency = |name: &&str| Dependency { name: (*name).to_owned(), only_for_tests: false };
    let dependencies = dependencies.iter().map(dependency).collect();
    let manifest = manifest.to_owned();
    let package =
        Package { name, directory: directory.to_owned(), dependencies, test_binaries: Vec::new(), manifest };
    check_package(package, expected);
}

#[track_caller]
fn check_package(package: Package, expected: &[&str]) {
    let found: Vec<_> = check(&[package]).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn package_is_named_after_its_directory() {
    check_one("framework/core", &format!("name = \"mainspring-core\"\n{LINTS}"), &[], &[]);
    check_one("framework/mainspring", &format!("name = \"mainspring\"\n{LINTS}"), &[], &[]);
    check_one("samples/hello_service", &format!("name = \"hello_service\"\n{LINTS}"), &[], &[]);
    let expected = "framework/core/Cargo.toml:1: package `core` should be named `mainspring-core`; \
                    name it after its directory";
    check_one("framework/core", &format!("name = \"core\"\n{LINTS}"), &[], &[expected]);
}

#[test]
fn workspace_lints_apply_everywhere() {
    let expected = "framework/core/Cargo.toml:1: the workspace's lints do not apply here; \
                    add `[lints]` with `workspace = true`";
    check_one("framework/core", "name = \"mainspring-core\"\n", &[], &[expected]);
}

#[test]
fn contained_dependency_stays_with_its_owner() {
    let manifest =
        |name: &str| format!("name = \"mainspring-{name}\"\n{LINTS}[dependencies]\naxum.workspace = true\n");
    check_one("components/server", &manifest("server"), &["axum"], &[]);
    let expected = "components/kafka/Cargo.toml:5: `axum` belongs to components/server and components/monitor only; \
                    use what its owner offers";
    check_one("components/kafka", &manifest("kafka"), &["axum"], &[expected]);
}

#[test]
fn versions_are_those_of_the_workspace() {
    let manifest = |dependencies: &str| format!("name = \"mainspring-core\"\n{LINTS}{dependencies}");
    let right = "[dependencies]\n# Why.\nhttp.workspace = true\nbytes = { workspace = true, optional = true }\n\n[features]\nx = []\n";
    check_one("framework/core", &manifest(right), &[], &[]);
    let expected = "framework/core/Cargo.toml:5: `http = \"1\"` does not take its version from the workspace; \
                    write `workspace = true` on its line, and the version into the root manifest";
    check_one("framework/core", &manifest("[dev-dependencies]\nhttp = \"1\"\n"), &[], &[expected]);
}

#[test]
fn integration_tests_are_one_binary() {
    let package = |names: &[&str]| Package {
        name: "mainspring-core".to_owned(),
        directory: "framework/core".to_owned(),
        dependencies: Vec::new(),
        test_binaries: names.iter().map(|name| (*name).to_owned()).collect(),
        manifest: format!("name = \"mainspring-core\"\n{LINTS}"),
    };
    check_package(package(&[]), &[]);
    check_package(package(&["it"]), &[]);
    check_package(package(&["consumed_allocations", "it"]), &[]);
    let expected = |names: &str| {
        format!(
            "framework/core/Cargo.toml:1: integration tests are {names}; \
             make them modules of one binary, `it`: each is linked anew"
        )
    };
    check_package(package(&["http"]), &[&expected("http")]);
    check_package(package(&["it", "more"]), &[&expected("it, more")]);
}
