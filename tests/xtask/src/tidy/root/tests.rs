//! Names and manifests in, findings out.

use super::*;

#[test]
fn root_has_only_what_is_listed() {
    assert_eq!(check_entries(["framework", ".ci", "README.md"]), []);
    let found: Vec<_> = check_entries(["scripts", "notes.md"]).iter().map(ToString::to_string).collect();
    let rest = "it has no place in the root; move it to where it belongs";
    assert_eq!(found, [format!("scripts:1: {rest}"), format!("notes.md:1: {rest}")]);
}

#[test]
fn promised_rust_is_the_tested_one() {
    let toolchain = "[toolchain]\nchannel = \"1.95.0\"\n";
    assert_eq!(check_rust_version("[workspace.package]\nrust-version = \"1.95\"\n", toolchain), []);
    let found = check_rust_version("[workspace.package]\nrust-version = \"1.90\"\n", toolchain);
    assert_eq!(
        found[0].to_string(),
        "Cargo.toml:2: `rust-version` is `1.90`, but the tests run with `1.95.0`; \
         change one of Cargo.toml and rust-toolchain.toml"
    );
    assert_eq!(check_rust_version("", toolchain).len(), 1);
}
