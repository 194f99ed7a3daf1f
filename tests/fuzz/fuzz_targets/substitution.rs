//! Any texts of the main file, the variables, those that override them, the environment and a file can be loaded, or have
//! problems that can be shown. The texts are parts of one input, separated by lines that hold `%%`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainspring_config::{FakeSurroundings, Source, VarsOptions};

fuzz_target!(|input: &str| {
    let mut parts = input.split("\n%%\n");
    let mut part = || parts.next().unwrap_or_default();
    let source = Source::new("main.yaml", part());
    let (vars, over, environment, file) = (part(), part(), part(), part());
    let world = FakeSurroundings::default()
        .with_file("vars.yaml", vars)
        .with_file("over.yaml", over)
        .with_env("NAME", environment)
        .with_file("file.yaml", file);
    let options = VarsOptions {
        config_vars: Some("vars.yaml".to_owned()),
        config_vars_override: Some("over.yaml".to_owned()),
    };
    let (root, problems) = mainspring_config::load_partly(&source, &options, &world);
    for problem in problems.iter().chain(&root.warnings()) {
        assert!(!problem.to_string().is_empty());
    }
    drop(root.read::<serde_json::Value>());
    drop(root.fallbacks());
});
