//! Packages: their names, the lints they take part in, who owns a dependency that must stay in one place, where
//! versions are written, and how many test binaries there are.

use super::Finding;

/// A workspace package, as far as the rules care.
#[derive(Debug, Clone)]
pub(super) struct Package {
    pub(super) name: String,
    /// Relative to the workspace, such as `framework/core`.
    pub(super) directory: String,
    pub(super) dependencies: Vec<Dependency>,
    /// The names of the binaries that cargo makes of `tests/`.
    pub(super) test_binaries: Vec<String>,
    /// The text of its manifest.
    pub(super) manifest: String,
}

/// A direct dependency.
#[derive(Debug, Clone)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) only_for_tests: bool,
}

impl Package {
    /// `framework` of `framework/core`.
    pub(super) fn area(&self) -> &str {
        self.directory.split('/').next().unwrap_or_default()
    }

    /// `core` of `framework/core`.
    pub(super) fn directory_name(&self) -> &str {
        self.directory.rsplit('/').next().unwrap_or_default()
    }

    /// A finding at the line of the manifest that begins with `key`, or at its first line.
    pub(super) fn finding(&self, key: &str, problem: String, fix: &str) -> Finding {
        let names = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
        let line = self.manifest.lines().position(names).map_or(1, |index| index + 1);
        Finding::new(&format!("{}/Cargo.toml", self.directory), line, problem, fix)
    }
}

/// Dependencies whose replacement must touch only their owners.
const OWNERS: &[(&str, &[&str])] = &[
    // librdkafka: raw pointers on one side, the tests' independent witness on the other, and what we measure ourselves beside.
    ("rdkafka", &["components/kafka-ffi", "tests/kafka-broker", "tests/bench/peers"]),
    ("rdkafka-sys", &["components/kafka-ffi", "tests/bench/peers"]),
    // Deprecated upstream.
    ("serde_yaml", &["framework/config"]),
    ("axum", &["components/server", "components/monitor"]),
];

/// Checks every package.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let expected = expected_name(package);
        if package.name != expected {
            let problem = format!("package `{}` should be named `{expected}`", package.name);
            findings.push(package.finding("name", problem, "name it after its directory"));
        }
        if !package.manifest.contains("[lints]\nworkspace = true\n") {
            let problem = "the workspace's lints do not apply here".to_owned();
            findings.push(package.finding("[lints]", problem, "add `[lints]` with `workspace = true`"));
        }
        for (line, text) in unshared_dependencies(&package.manifest) {
            let problem = format!("`{text}` does not take its version from the workspace");
            let fix = "write `workspace = true` on its line, and the version into the root manifest";
            findings.push(Finding::new(&format!("{}/Cargo.toml", package.directory), line, problem, fix));
        }
        // What counts allocations has an allocator of its own, and with that a binary.
        let is_right = |name: &String| name == "it" || name.ends_with("allocations");
        if !package.test_binaries.iter().all(is_right) {
            let problem = format!("integration tests are {}", package.test_binaries.join(", "));
            findings.push(package.finding(
                "[[test]]",
                problem,
                "make them modules of one binary, `it`: each is linked anew",
            ));
        }
        for dependency in &package.dependencies {
            let owners = OWNERS.iter().find(|(name, _owners)| *name == dependency.name);
            let Some((name, owners)) = owners else { continue };
            if !owners.contains(&&*package.directory) {
                let problem = format!("`{name}` belongs to {} only", owners.join(" and "));
                findings.push(package.finding(name, problem, "use what its owner offers"));
            }
        }
    }
    findings
}

/// Lines of the dependency sections that do not refer to the workspace, with their numbers.
fn unshared_dependencies(manifest: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_dependencies = false;
    manifest.lines().enumerate().filter_map(move |(line_idx, line)| {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
            return None;
        }
        let is_entry = in_dependencies && !line.trim().is_empty() && !line.starts_with('#');
        (is_entry && !line.contains("workspace = true")).then_some((line_idx + 1, line))
    })
}

fn expected_name(package: &Package) -> String {
    match (package.area(), package.directory_name()) {
        ("framework", "mainspring") => "mainspring".to_owned(),
        ("samples", name) => name.to_owned(),
        (_area, name) => format!("mainspring-{name}"),
    }
}

#[cfg(test)]
mod tests;
