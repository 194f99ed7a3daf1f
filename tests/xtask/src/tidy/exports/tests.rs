//! One source file of `components/server` in, its findings out.

use super::super::packages::Dependency;
use super::*;

fn server() -> Package {
    let dependency = |name: &str| Dependency { name: name.to_owned(), only_for_tests: false };
    Package {
        name: "mainspring-server".to_owned(),
        directory: "components/server".to_owned(),
        dependencies: ["axum", "http", "http-body-util", "mainspring-core"].map(dependency).into(),
        test_binaries: Vec::new(),
        manifest: String::new(),
    }
}

#[track_caller]
fn check_exports(text: &str, expected: &[(usize, &str)]) {
    let findings = check(&server(), &["mainspring-core"], "components/server/src/lib.rs", text);
    let found: Vec<_> = findings.iter().map(|finding| (finding.line, &*finding.problem)).collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(line, item)| (*line, format!("`{item}` of another crate becomes ours")))
        .collect();
    assert_eq!(found, expected.iter().map(|(line, problem)| (*line, &**problem)).collect::<Vec<_>>());
}

#[test]
fn argued_types_are_passed_on() {
    check_exports("//!\n\npub use axum::body::Body;\npub use http::{HeaderMap, Method};\n", &[]);
}

#[test]
fn other_types_of_other_crates_are_found() {
    check_exports("//!\npub use axum::Router;\n", &[(2, "axum::Router")]);
    check_exports(
        "//!\nuse axum::Router;\npub use http::{\n    Method,\n    Extensions as E,\n};\npub use http_body_util::Full;\n",
        &[(3, "http::Extensions"), (7, "http_body_util::Full")],
    );
    check_exports("//!\npub use http;\n", &[(2, "http")]);
}

#[test]
fn our_own_items_are_not_looked_at() {
    check_exports(
        "//!\npub use crate::body::read_body;\npub use mainspring_core::Component;\npub use ping::Ping;\n",
        &[],
    );
}
