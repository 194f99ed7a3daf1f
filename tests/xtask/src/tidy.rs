//! The rules of the repository, checked all at once.
//!
//! This module reads files and asks cargo; each rule is a function from text or package lists to findings in a module
//! of its own, and has its tests there.

mod exports;
mod guards;
mod layers;
mod licences;
mod map;
mod markdown;
mod packages;
mod root;
mod sources;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cargo_metadata::{DependencyKind, MetadataCommand, TargetKind};

use packages::{Dependency, Package};

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    problem: String,
    fix: String,
}

impl Finding {
    fn new(path: &str, line: usize, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, problem: problem.into(), fix: fix.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.problem, self.fix)
    }
}

/// All findings in the workspace at `root`, sorted by place.
pub(crate) fn findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let packages = read_packages(root)?;
    let mut findings = layers::check(&packages);
    findings.extend(packages::check(&packages));
    findings.extend(root_findings(root, &packages)?);
    findings.extend(dependency_findings(root)?);
    let ours: Vec<_> = packages.iter().map(|package| &*package.name).collect();
    let machine = root.to_str().context("the workspace's path is not UTF-8")?;
    let (mut functions, mut guards) = (BTreeSet::new(), None);
    for path in files(root)? {
        let relative = path.strip_prefix(root)?.to_str().context("a path is not UTF-8")?;
        // What is not text has no rules here.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        findings.extend(sources::check_paths(relative, &text, machine));
        if relative.ends_with(".rs") {
            findings.extend(sources::check(relative, &text));
            functions.extend(guards::functions(&text).map(str::to_owned));
            let package =
                packages.iter().find(|package| relative.starts_with(&format!("{}/", package.directory)));
            findings.extend(
                package.into_iter().flat_map(|package| exports::check(package, &ours, relative, &text)),
            );
        }
        if relative.ends_with(".md") {
            let directory = path.parent().context("a file lies in a directory")?;
            findings.extend(markdown::check(relative, &text, |target| directory.join(target).exists()));
        }
        if relative == guards::PATH {
            guards = Some(text);
        }
    }
    let guards = guards.with_context(|| format!("cannot read {}", guards::PATH))?;
    findings.extend(guards::check(&guards, &functions));
    findings.sort();
    Ok(findings)
}

/// What the root's own files and names say.
fn root_findings(root: &Path, packages: &[Package]) -> anyhow::Result<Vec<Finding>> {
    let read =
        |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"));
    let mut findings = root::check_rust_version(&read("Cargo.toml")?, &read("rust-toolchain.toml")?);
    let mut names = Vec::new();
    for path in entries(root, root)? {
        names.extend(path.file_name().and_then(|name| name.to_str()).map(str::to_owned));
    }
    findings.extend(root::check_entries(names.iter().map(String::as_str)));
    let directories: Vec<_> = packages.iter().map(|package| &*package.directory).collect();
    findings.extend(map::check(&read(map::PATH)?, &directories, |path| root.join(path).exists()));
    Ok(findings)
}

/// What is found in packages that are not ours.
fn dependency_findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let deny = fs::read_to_string(root.join("deny.toml")).context("cannot read deny.toml")?;
    let allowed = licences::allowed(&deny);
    let metadata = MetadataCommand::new().current_dir(root).exec()?;
    let theirs = metadata.packages.iter().filter(|package| package.source.is_some());
    let mut findings: Vec<_> = theirs
        .filter_map(|package| licences::check(&package.name, package.license.as_deref(), &allowed))
        .collect();
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    findings.extend(licences::check_sources(&lock));
    Ok(findings)
}

/// One line per finding, and how many there are.
pub(crate) fn report(findings: &[Finding]) -> String {
    let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
    format!("{}\ntidy: {} findings", lines.join("\n"), findings.len())
}

fn read_packages(root: &Path) -> anyhow::Result<Vec<Package>> {
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec()?;
    let mut packages = Vec::new();
    for package in metadata.workspace_packages() {
        let manifest = package.manifest_path.as_std_path();
        let relative = manifest.strip_prefix(root)?;
        let directory = relative.parent().and_then(Path::to_str).context("a package lies in a directory")?;
        let dependency = |dependency: &cargo_metadata::Dependency| Dependency {
            name: dependency.name.clone(),
            only_for_tests: dependency.kind == DependencyKind::Development,
        };
        packages.push(Package {
            name: package.name.to_string(),
            directory: directory.to_owned(),
            dependencies: package.dependencies.iter().map(dependency).collect(),
            test_binaries: package
                .targets
                .iter()
                .filter(|target| target.kind.contains(&TargetKind::Test))
                .map(|target| target.name.clone())
                .collect(),
            manifest: fs::read_to_string(manifest)?,
        });
    }
    Ok(packages)
}

/// Every file of the repository: all but what `.gitignore` names.
fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for path in entries(root, &directory)? {
            if path.is_dir() && !path.is_symlink() { directories.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

/// What lies in a directory of the repository.
fn entries(root: &Path, directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let ignored = [".git", ".cache", "target"].map(|name| root.join(name));
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let path = entry?.path();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        if !(ignored.contains(&path) || is_log) {
            entries.push(path);
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;
