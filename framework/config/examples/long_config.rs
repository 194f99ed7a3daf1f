//! Prints how long it takes to check a configuration of 10,000 lines: `cargo run --release -p mainspring-config --example
//! long_config`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mainspring_config::{FakeSurroundings, HumanDuration, Source, VarsOptions, load};

const LINES: usize = 10_000;
const RUNS: usize = 20;

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Service {
    components: BTreeMap<String, Component>,
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[expect(dead_code, reason = "only read from text")]
struct Component {
    /// How long to wait.
    wait: HumanDuration,
    #[schemars(range(min = 1, max = 1000))]
    size: u32,
    name: Option<String>,
    topics: Vec<String>,
}

#[expect(clippy::print_stdout, reason = "it measures, and says what")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parts = (0..LINES / 5).map(|idx| {
        format!("  part-{idx}:\n    wait: 10s\n    size: $size\n    name: part {idx}\n    topics: [a, b]\n")
    });
    let text = format!("config_vars: vars.yaml\ncomponents:\n{}", parts.collect::<String>());
    let source = Source::new("main.yaml", text);
    let world = FakeSurroundings::default().with_file("vars.yaml", "size: 5\n");
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        let service: Service = load(&source, &VarsOptions::default(), &world)?.read()?;
        times.push(start.elapsed());
        assert_eq!(service.components.len(), LINES / 5);
    }
    times.sort();
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let (best, median) = (millis(times[0]), millis(times[RUNS / 2]));
    println!("{} lines: best {best:.1} ms, median {median:.1} ms of {RUNS}", source.text().lines().count());
    Ok(())
}
