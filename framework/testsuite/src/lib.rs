//! Run a whole service inside a test.
//!
//! [`TestService`] checks a configuration, runs the service on a thread of its own and stops it when dropped, so
//! that several services run side by side in one test binary. [`eventually`] waits for an outcome without
//! sleeping for it. [`conformance`] holds a component to what every component promises.
//!
//! ```
//! use mainspring_core::ComponentList;
//! use mainspring_testsuite::TestService;
//!
//! let service = TestService::new(ComponentList::minimal()).start();
//! assert!(service.handle().is_ready());
//! assert_eq!(service.stop().unfinished, Vec::<String>::new());
//! ```

pub mod conformance;
mod service;
mod waiting;

#[cfg(test)]
mod tests;

pub use service::{TestService, TestServiceBuilder};
pub use waiting::{DEADLINE, eventually};
