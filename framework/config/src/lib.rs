//! Text to located values to typed configuration, with problems that explain themselves.
//!
//! The crate computes and does no I/O: callers hand in texts ([`Source`]) and whatever of the outside world a
//! text may ask for ([`Surroundings`]). The way of a configuration:
//!
//! 1. [`load`] parses YAML into a tree in which every key and value knows its file, line and column, and replaces
//!    `$variable`, `key#env`, `key#file` and `key#fallback`.
//! 2. The resulting [`Section`] is walked and cut into the parts that belong to different readers.
//! 3. [`Section::read`] checks a part against the JSON Schema of a Rust type and then deserializes it.
//!
//! Each step reports **all** [`Problems`] it can see, sorted by place, never only the first.
//!
//! ```
//! use mainspring_config::{FakeSurroundings, HumanDuration, Source, VarsOptions, load};
//!
//! #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
//! struct Listener {
//!     /// TCP port to listen on.
//!     port: u16,
//!     /// Longest wait for a request.
//!     timeout: HumanDuration,
//! }
//!
//! let world = FakeSurroundings::default().with_env("PORT", "8187");
//! let main = Source::new("app.yaml", "listener: {port#env: PORT, timeout: 250}\n");
//! let root = load(&main, &VarsOptions::default(), &world)?;
//! let listener: Listener = root.get("listener").ok_or("no listener")?.read()?;
//! assert_eq!((listener.port, listener.timeout.as_secs()), (8187, 250));
//!
//! let main = Source::new("app.yaml", "listener: {prot: 8187, timeout: 250us}\n");
//! let root = load(&main, &VarsOptions::default(), &world)?;
//! let problems = root.get("listener").ok_or("no listener")?.read::<Listener>().unwrap_err();
//! assert_eq!(
//!     problems.to_string(),
//!     "app.yaml:1:1: listener: missing key `port` (TCP port to listen on)\n\
//!      app.yaml:1:12: listener: unknown key `prot`; did you mean `port`?\n\
//!      app.yaml:1:33: listener.timeout: expected a duration such as `250ms`, found `250us`"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Deliberately absent: changing configuration files ([`effective_yaml`] only shows what is in force), watching files
//! for changes, formats other than YAML (JSON is YAML).

mod byte_size;
mod check;
mod duration;
mod effective;
mod expected;
mod nearest;
mod node;
mod parse;
mod problem;
mod schema;
mod section;
mod source;
mod substitute;
mod units;
mod work;

pub use byte_size::ByteSize;
pub use duration::HumanDuration;
pub use effective::effective_yaml;
pub use nearest::nearest;
pub use parse::parse;
pub use problem::{Problem, Problems, ValueOrigin, Violation};
pub use schema::{accept_references, schema_of};
pub use section::Section;
pub use source::{FakeSurroundings, Source, Surroundings};
pub use substitute::{VarsOptions, load, load_partly};
pub use units::UnitError;

#[cfg(test)]
mod tests;
