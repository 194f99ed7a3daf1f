//! What the crate promises, mostly as one line of input and one snapshot.

mod corpus;
mod document;
mod effective;
mod limits;
mod random;
mod sections;
mod substitution;
mod typed;
mod units;

use expect_test::Expect;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{FakeSurroundings, Problems, Section, Source, VarsOptions, load};

fn try_load(text: &str, world: &FakeSurroundings) -> Result<Section, Problems> {
    load(&Source::new("main.yaml", text), &VarsOptions::default(), world)
}

fn json(section: &Section) -> serde_json::Value {
    section.read().expect("every section reads as JSON")
}

/// Loads a text and shows what it means, or what is wrong with it.
#[track_caller]
fn check_load(text: &str, world: &FakeSurroundings, expect: Expect) {
    match try_load(text, world) {
        Ok(root) => expect.assert_eq(&json(&root).to_string()),
        Err(problems) => expect.assert_eq(&problems.to_string()),
    }
}

/// Loads a text, reads it as `T` and shows what is wrong with it.
#[track_caller]
fn check_read_error<T: DeserializeOwned + JsonSchema + std::fmt::Debug>(
    text: &str,
    world: &FakeSurroundings,
    expect: Expect,
) {
    let root = try_load(text, world).expect("the text loads");
    let problems = root.read::<T>().expect_err("it does not read");
    expect.assert_eq(&problems.to_string());
}
