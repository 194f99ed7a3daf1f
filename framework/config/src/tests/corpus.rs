//! The texts of `tests/fuzz/corpus`, and what chance makes of them: no panic, no hang, whichever compiler built this.
//!
//! The fuzz targets themselves need a nightly compiler; this replays their corpus and mutations of it with every `cargo
//! test`, from fixed seeds.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{FakeSurroundings, Source, VarsOptions, load_partly, work};

/// Mutations of each text.
const MUTATIONS: u64 = 200;

/// Most work for a text of this size. What aliases multiply is bounded too, see the tests of limits.
const WORK_MAX: usize = 20_000_000;

/// What mutations put in: what means something to YAML or to us.
const PIECES: [&str; 24] = [
    "\n",
    "\n  ",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "#env",
    "#file",
    "#fallback",
    "$",
    "$port",
    "&a ",
    "*a",
    "<<: *a",
    "'",
    "\"",
    "|\n",
    "---\n",
    "%%\n",
    "\u{feff}",
    "NAME",
];

fn corpus(target: &str) -> Vec<(PathBuf, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(10 <= paths.len(), "{} texts in {}", paths.len(), directory.display());
    let texts = paths.into_iter().map(|path| {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        (path, text)
    });
    texts.collect()
}

/// A small generator of numbers that look random (`SplitMix64`); the same seed gives the same numbers everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(n.max(1)).unwrap()).unwrap()
    }

    /// The text with up to four changes: something cut out, put in, or repeated.
    fn mutate(&mut self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        for _ in 0..=self.below(4) {
            let start = self.below(chars.len() + 1);
            let end = chars.len().min(start + self.below(12));
            match self.below(3) {
                0 => drop(chars.drain(start..end)),
                1 => {
                    let piece = PIECES[self.below(PIECES.len())];
                    drop(chars.splice(start..start, piece.chars()));
                }
                _ => {
                    let again: Vec<char> = chars[start..end].to_vec();
                    let to = self.below(chars.len() + 1);
                    drop(chars.splice(to..to, again));
                }
            }
        }
        chars.into_iter().collect()
    }
}

/// Each text of the corpus and its mutations, with the work that they are.
fn check(target: &str, run: fn(&str)) {
    for (path, text) in corpus(target) {
        for seed in 0..=MUTATIONS {
            let text = if seed == 0 { text.clone() } else { Chance(seed).mutate(&text) };
            let ((), work) = work::of(|| run(&text));
            assert!(work <= WORK_MAX, "{work} steps for a mutation of {}:\n{text}", path.display());
        }
    }
}

fn read(main: &str, world: &FakeSurroundings, options: &VarsOptions) {
    let (root, problems) = load_partly(&Source::new("main.yaml", main), options, world);
    for problem in problems.iter().chain(&root.warnings()) {
        assert!(!problem.to_string().is_empty());
    }
    match root.read::<serde_json::Value>() {
        Ok(_) => drop(root.fallbacks()),
        Err(problems) => drop(problems.to_string()),
    }
}

#[test]
fn no_text_makes_the_loader_panic_or_hang() {
    check("load", |text| read(text, &FakeSurroundings::default(), &VarsOptions::default()));
}

#[test]
fn no_texts_make_the_substitution_panic_or_hang() {
    check("substitution", |input| {
        let mut parts = input.split("\n%%\n");
        let mut part = || parts.next().unwrap_or_default();
        let main = part();
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
        read(main, &world, &options);
    });
}
