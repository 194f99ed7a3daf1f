//! Dynamic configuration: typed variables whose values may change while the service runs.
//!
//! A [`Variable`] is declared in code, with its type and its default, and named by the component that reads it in
//! [`Component::dynamic_variables`](crate::Component::dynamic_variables), so that a binary knows all its variables
//! without starting anything. Where new values come from is nobody's business here: a component, such as
//! `dynamic-config`, reads them and hands them to [`DynamicConfig::store`]; without one every variable is what the
//! code says.
//!
//! Readers take a [`Snapshot`], which is cheap, lock-free and does not change under them, or
//! [subscribe](DynamicConfig::subscribe) to changes. Values are checked against the variable's JSON Schema before
//! anybody sees them, and a set of values with any problem is refused as a whole.
//!
//! ```
//! use mainspring_core::dynamic::{DynamicConfig, Variable, Variables};
//!
//! static PRICES_LIMIT: Variable<u32> = Variable::new("PRICES_LIMIT", || 100);
//!
//! let config = DynamicConfig::new(Variables::of(&[&PRICES_LIMIT]));
//! let before = config.snapshot();
//! let values = mainspring_config::parse(&mainspring_config::Source::new("values.json", r#"{"PRICES_LIMIT": 5}"#))?;
//! config.store(&[&values])?;
//! assert_eq!((*before.get(&PRICES_LIMIT), *config.snapshot().get(&PRICES_LIMIT)), (100, 5));
//! # Ok::<(), mainspring_config::Problems>(())
//! ```

mod variable;

mod handle;
mod snapshot;
mod variables;

#[cfg(test)]
mod tests;

/// Name of the component that brings values from outside. Where a service has one of that name,
/// [`ComponentContext::loaded_dynamic_config`](crate::ComponentContext::loaded_dynamic_config) waits for it.
pub const COMPONENT: &str = "dynamic-config";

pub use handle::{DynamicConfig, Subscription};
pub use snapshot::{Diff, Snapshot};
pub use variable::{AnyVariable, Value, Variable};
pub use variables::Variables;
