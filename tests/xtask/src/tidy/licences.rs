//! Other people's packages: their licences are among those of `deny.toml`, and they come from crates.io.
//!
//! `cargo deny` knows more, such as advisories; this needs nothing but cargo, so it runs everywhere. Licences are those
//! of the packages that the default features need; sources are those of everything in `Cargo.lock`.

use super::Finding;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The licences that `deny.toml` allows.
pub(super) fn allowed(deny: &str) -> Vec<&str> {
    let line = deny.lines().find_map(|line| line.strip_prefix("allow = [")).unwrap_or_default();
    line.split('"').skip(1).step_by(2).collect()
}

/// Checks one package's licence, an SPDX expression.
pub(super) fn check(package: &str, licence: Option<&str>, allowed: &[&str]) -> Option<Finding> {
    let problem = match licence {
        None => format!("`{package}` names no licence"),
        Some(expression) if is_allowed(expression, allowed) => return None,
        Some(expression) => format!("`{package}` is under `{expression}`"),
    };
    Some(Finding::new("deny.toml", 1, problem, "allow the licence there, or do without the package"))
}

/// Checks where everything in the lock file comes from; packages without a source are our own.
pub(super) fn check_sources(lock: &str) -> Vec<Finding> {
    let sources = lock.lines().enumerate().filter_map(|(line_idx, line)| {
        Some((line_idx + 1, line.strip_prefix("source = \"")?.trim_end_matches('"')))
    });
    let foreign = sources.filter(|(_line, source)| *source != CRATES_IO);
    let finding = |(line, source)| {
        Finding::new("Cargo.lock", line, format!("a package comes from `{source}`"), "take it from crates.io")
    };
    foreign.map(finding).collect()
}

/// Whether what an SPDX expression demands can be met. `AND` binds closer than `OR`; `/` is an old `OR`.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any(&mut words, allowed) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut met = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        // Both sides are read, whatever the first one says.
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    match words.next() {
        Some("(") => {
            let met = any(words, allowed);
            words.next() == Some(")") && met
        }
        Some(licence) => match words.next_if_eq(&"WITH").and_then(|_| words.next()) {
            Some(exception) => allowed.contains(&&*format!("{licence} WITH {exception}")),
            None => allowed.contains(&licence),
        },
        None => false,
    }
}

#[cfg(test)]
mod tests;
