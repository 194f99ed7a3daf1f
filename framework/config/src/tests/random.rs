//! Whatever text comes, the answer is a configuration or problems.

use proptest::prelude::*;

use super::{FakeSurroundings, try_load};

const VALID: &str = "config_vars: vars.yaml\nbase: &base {wait: 10s, n: 5}\nparts:\n  - {<<: *base, port: $port}\n  \
                     - name#env: NAME\n    name#fallback: 'x'\n    text: |\n      two\n      lines\n";

fn world() -> FakeSurroundings {
    FakeSurroundings::default().with_env("NAME", "[a]").with_file("vars.yaml", "port: 1\n")
}

/// A configuration that can be read, or problems that can be shown.
fn answer(text: &str) {
    match try_load(text, &world()) {
        Ok(root) => drop(super::json(&root)),
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text_never_panics(text in "\\PC{0,60}") {
        answer(&text);
    }

    #[test]
    fn random_yaml_never_panics(text in "([a-c]|[0-9]|[-:?,#$&*!|>'\"%@`{}\\[\\]\n ]|: |- |<<|\n  ){0,40}") {
        answer(&text);
    }

    #[test]
    fn mutations_never_panic(at in 0..VALID.len(), len in 0_usize..5, with in "[\\PC\n]{0,3}") {
        let mut text: Vec<char> = VALID.chars().collect();
        let end = text.len().min(at + len);
        text.splice(at..end, with.chars());
        let text: String = text.into_iter().collect();
        answer(&text);
    }

    /// What both readers accept means the same to both.
    #[test]
    fn plain_scalars_agree_with_serde_yaml(text in "[-+]?[0-9a-fxobe._]{1,6}|[a-zA-Z~.]{1,5}") {
        let theirs = serde_yaml::from_str::<serde_json::Value>(&text);
        if let (Ok(ours), Ok(theirs)) = (try_load(&text, &world()), theirs) {
            prop_assert_eq!(super::json(&ours), theirs);
        }
    }
}

#[test]
fn the_text_that_is_mutated_is_valid() {
    assert_eq!(try_load(VALID, &world()).err().map(|problems| problems.to_string()), None);
}
