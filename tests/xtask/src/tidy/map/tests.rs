//! One map in, its findings out.

use super::*;

const MAP: &str = "# Architecture\n`gone` is not in the map.\n## Code map\n| Path | Owns |\n|---|---|\n\
                   | `framework/core` | `core` |\n| `samples/*` | |\n| `configs/`, `schemas/` | |\n## Next\n| `gone` | |\n";

#[track_caller]
fn check_map(packages: &[&str], missing: &str, expected: &[&str]) {
    let found: Vec<_> =
        check(MAP, packages, |path| path != missing).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn map_names_every_package() {
    check_map(&["framework/core", "samples/hello"], "", &[]);
    let expected = "ARCHITECTURE.md:3: the map does not name `framework/engine`; say in the map what it owns";
    check_map(&["framework/core", "framework/engine"], "", &[expected]);
    let expected = "ARCHITECTURE.md:3: the map does not name `samples`; say in the map what it owns";
    check_map(&["samples"], "", &[expected]);
}

#[test]
fn every_path_of_the_map_exists() {
    let expected = "ARCHITECTURE.md:8: the map names `schemas/`, which does not exist; correct or remove it";
    check_map(&[], "schemas", &[expected]);
    let expected = "ARCHITECTURE.md:7: the map names `samples/*`, which does not exist; correct or remove it";
    check_map(&[], "samples", &[expected]);
}
