//! Who may depend on whom: each layer sees only lower ones.

use super::Finding;
use super::packages::Package;

/// The stack, lowest first, by directory.
const LAYERS: &[&[&str]] = &[
    &["framework/config", "framework/metrics", "framework/logging"],
    &["framework/engine"],
    &["framework/core"],
    &["framework/testsuite"],
    &[
        "components/dynamic-config",
        "components/kafka",
        "components/kafka-ffi",
        "components/monitor",
        "components/secdist",
        "components/server",
    ],
    // The facade: it re-exports the components behind its cargo features.
    &["framework/mainspring"],
];

/// Components that may use a sibling, and which one. All others meet through traits of `core`.
const SIBLINGS: &[(&str, &str)] = &[
    ("components/kafka", "components/kafka-ffi"),
    ("components/kafka", "components/secdist"),
    ("components/monitor", "components/server"),
];

/// What any package may use in its own tests, in addition to the layers below it.
const TEST_SUPPORT: &[&str] = &["framework/testsuite", "tests/kafka-broker", "tests/it"];

/// Stand beside the stack: they see no package of ours.
const BESIDE: &[&str] = &["components/kafka-ffi", "tests/kafka-broker"];

/// Checks every dependency between packages of the workspace.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        if layer(package).is_none() {
            let problem = format!("`{}` has no layer", package.directory);
            findings.push(package.finding(
                "name",
                problem,
                "add it to `LAYERS` in tests/xtask/src/tidy/layers.rs",
            ));
        }
        for dependency in &package.dependencies {
            let Some(other) = packages.iter().find(|other| other.name == dependency.name) else { continue };
            if let Err(fix) = may_use(package, other, dependency.only_for_tests) {
                let problem = format!("`{}` must not depend on `{}`", package.name, other.name);
                findings.push(package.finding(&other.name, problem, fix));
            }
        }
    }
    findings
}

/// Whether the dependency is allowed; if not, what to do instead.
fn may_use(package: &Package, other: &Package, only_for_tests: bool) -> Result<(), &'static str> {
    let name = &*other.directory;
    if only_for_tests && TEST_SUPPORT.contains(&name) {
        return Ok(());
    }
    if BESIDE.contains(&&*package.directory) {
        return Err("it stands beside the stack and sees no package of ours");
    }
    match (package.area(), name) {
        ("tests", "tests/kafka-broker" | "framework/testsuite") => return Ok(()),
        // The contract that all measured clients obey.
        _ if package.directory == "tests/bench/peers" && name == "tests/bench" => return Ok(()),
        (_area, "framework/testsuite") => return Err("it is for tests; make it a dev-dependency"),
        (_area, "components/kafka-ffi") if package.directory != "components/kafka" => {
            return Err("use `mainspring-kafka`, the only package that sees it");
        }
        ("components", _) if other.area() == "components" => {
            let may = SIBLINGS.contains(&(&*package.directory, name));
            return if may { Ok(()) } else { Err("components meet through traits of `core`, not by import") };
        }
        ("samples", _) if name != "framework/mainspring" => {
            return Err("samples use the facade `mainspring`");
        }
        _ => {}
    }
    if layer(other) < layer(package) { Ok(()) } else { Err("move what both need to a lower layer") }
}

/// Higher sees lower. Samples stand above the stack and tests above all.
fn layer(package: &Package) -> Option<usize> {
    match package.area() {
        "samples" => Some(LAYERS.len()),
        "tests" => Some(LAYERS.len() + 1),
        _ => LAYERS.iter().position(|layer| layer.contains(&&*package.directory)),
    }
}

#[cfg(test)]
mod tests;
