//! One variable: its name, its type, its default.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, LazyLock};

use mainspring_config::{Problems, Section, Violation};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a variable may hold. Implemented for all that is fit.
pub trait Value: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static> Value for T {}

/// A variable of the dynamic configuration, declared as a `static`.
///
/// Its name is unique in a binary; ours begin with `MAINSPRING_`. The default is made once and shared, as the constant
/// that it is.
pub struct Variable<T: 'static> {
    name: &'static str,
    default: LazyLock<T>,
    check: fn(&T) -> Vec<Violation>,
}

impl<T: Value> Variable<T> {
    /// A variable that is `default()` unless something else is said.
    #[must_use]
    pub const fn new(name: &'static str, default: fn() -> T) -> Self {
        Self { name, default: LazyLock::new(default), check: |_| Vec::new() }
    }

    /// Adds rules that a schema cannot express. A value that breaks one is refused like one that breaks the schema.
    #[must_use]
    pub const fn with_check(mut self, check: fn(&T) -> Vec<Violation>) -> Self {
        self.check = check;
        self
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its compiled-in value.
    #[must_use]
    pub fn default(&self) -> &T {
        &self.default
    }

    fn checked(&self, section: &Section) -> Result<T, Problems> {
        section.read_with(self.check)
    }
}

impl<T> fmt::Debug for Variable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Variable").field(&self.name).finish()
    }
}

/// A [`Variable`] whatever its type; implemented by nothing else.
pub trait AnyVariable: private::Erased + fmt::Debug + Send + Sync {}

impl<T: Value> AnyVariable for Variable<T> {}

/// One value with what tells whether it is another one.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) json: serde_json::Value,
    pub(super) value: Arc<dyn Any + Send + Sync>,
}

pub(super) mod private {
    //! Keeps [`AnyVariable`](super::AnyVariable) sealed.

    use super::{Arc, Held, Problems, Section, TypeId, Value, Variable};

    /// What the rest of the module needs of a variable.
    #[expect(unnameable_types, reason = "that is what seals it")]
    pub trait Erased {
        /// Its name.
        fn name(&self) -> &'static str;

        /// The type of its values.
        fn value_type(&self) -> TypeId;

        /// Its default, as JSON.
        fn default_json(&self) -> serde_json::Value;

        /// A value of it, or what is wrong with it.
        #[expect(private_interfaces, reason = "nothing outside can name the trait, let alone call it")]
        fn read(&self, section: &Section) -> Result<Held, Problems>;
    }

    impl<T: Value> Erased for Variable<T> {
        fn name(&self) -> &'static str {
            self.name
        }

        fn value_type(&self) -> TypeId {
            TypeId::of::<T>()
        }

        fn default_json(&self) -> serde_json::Value {
            serde_json::to_value(&*self.default)
                .expect("what a variable is declared with can be written as JSON")
        }

        #[expect(private_interfaces, reason = "nothing outside can name the trait, let alone call it")]
        fn read(&self, section: &Section) -> Result<Held, Problems> {
            let value = self.checked(section)?;
            let json = serde_json::to_value(&value);
            let json = json.map_err(|error| Problems::from(section.problem("", error.to_string())))?;
            Ok(Held { json, value: Arc::new(value) })
        }
    }
}
