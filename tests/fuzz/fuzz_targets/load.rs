//! Any text is a configuration or has problems that can be shown.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use mainspring_config::{ByteSize, FakeSurroundings, HumanDuration, Source, VarsOptions};

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[expect(dead_code, reason = "only read from text and shown")]
#[serde(deny_unknown_fields)]
struct Typed {
    #[serde(default)]
    base: Option<Base>,
    #[serde(default)]
    parts: Vec<Base>,
    #[serde(default)]
    by_name: BTreeMap<String, Choice>,
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[expect(dead_code, reason = "only read from text and shown")]
struct Base {
    #[serde(default)]
    wait: HumanDuration,
    size: Option<ByteSize>,
    #[schemars(range(min = 1, max = 9))]
    n: Option<u8>,
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[expect(dead_code, reason = "only read from text and shown")]
#[serde(untagged)]
enum Choice {
    Name(String),
    Base(Base),
}

fuzz_target!(|text: &str| {
    let source = Source::new("main.yaml", text);
    let world = FakeSurroundings::default();
    let (root, problems) = mainspring_config::load_partly(&source, &VarsOptions::default(), &world);
    for problem in problems.iter().chain(&root.warnings()) {
        assert!(!problem.to_string().is_empty());
    }
    match root.read::<Typed>() {
        Ok(typed) => drop(format!("{typed:?}")),
        Err(problems) => drop(problems.to_string()),
    }
    drop(root.read::<serde_json::Value>());
});
