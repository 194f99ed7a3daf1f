//! All secrets of a service as one value: reading, merging and giving them out.

use std::fmt;
use std::io;

use mainspring_config::{Source, Surroundings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Format, ProviderConfig, SecdistError};

/// All secrets as they were read at one time. `Debug` shows where they came from and nothing else.
#[derive(Clone, Default)]
pub struct Secrets {
    tree: Map<String, Value>,
    holders: Vec<String>,
}

impl Secrets {
    /// Reads the file and the environment variable. Blocks while reading the file.
    ///
    /// # Errors
    /// When the file is missing without `missing-ok`, or unreadable, or when either text is not what it should be.
    pub fn read(config: &ProviderConfig, surroundings: &dyn Surroundings) -> Result<Self, SecdistError> {
        let mut secrets = Self::default();
        if !config.config.is_empty() {
            let holder = format!("file `{}`", config.config);
            match surroundings.read_file(&config.config) {
                Ok(text) => secrets.add(&holder, &text, config.format)?,
                Err(error) if config.missing_ok && error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(SecdistError::Unreadable { holder, source }),
            }
        }
        if let Some(name) = &config.environment_secrets_key {
            let holder = format!("environment variable `{name}`");
            match surroundings.env_var(name) {
                Ok(Some(text)) => secrets.add(&holder, &text, Format::Json)?,
                Ok(None) => {}
                Err(source) => return Err(SecdistError::Unreadable { holder, source }),
            }
        }
        Ok(secrets)
    }

    /// The secret at the end of a path of keys.
    ///
    /// # Errors
    /// When a key of the path is missing, or when the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, SecdistError> {
        let (first, rest) = path.split_first().unwrap_or((&"", &[]));
        let mut found = self.tree.get(*first);
        let mut key = (*first).to_owned();
        for step in rest {
            let Some(value) = found else { break };
            key = format!("{key}.{step}");
            found = value.get(*step);
        }
        let Some(value) = found else { return Err(SecdistError::Missing { key, holder: self.holder() }) };
        serde_path_to_error::deserialize(value).map_err(|error| self.mismatch::<T>(&key, &error))
    }

    fn mismatch<T>(&self, key: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> SecdistError {
        let below = error.path().to_string();
        let key = if below == "." { key.to_owned() } else { format!("{key}.{below}") };
        // serde quotes values, but not when a field is missing: that text holds the field's name only.
        let message = error.inner().to_string();
        if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
            return SecdistError::Missing { key: format!("{key}.{field}"), holder: self.holder() };
        }
        SecdistError::WrongType { key, holder: self.holder(), expected: std::any::type_name::<T>() }
    }

    fn add(&mut self, holder: &str, text: &str, format: Format) -> Result<(), SecdistError> {
        let value = match format {
            Format::Json => serde_json::from_str(text).map_err(|error| unparsable(holder, error))?,
            Format::Yaml => mainspring_config::parse(&Source::new(holder, text))
                .and_then(|section| section.read())
                .map_err(|problems| unparsable(holder, problems))?,
        };
        match value {
            Value::Object(over) => merge(&mut self.tree, over),
            // A file that holds nothing yet holds no secrets.
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(SecdistError::NotAMap { holder: holder.to_owned() });
            }
        }
        self.holders.push(holder.to_owned());
        Ok(())
    }

    fn holder(&self) -> String {
        match self.holders.as_slice() {
            [] => "`default-secdist-provider`, which found neither a file nor an environment variable"
                .to_owned(),
            holders => holders.join(" and "),
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("holders", &self.holders).finish_non_exhaustive()
    }
}

/// Maps are merged key by key; anything else replaces what was there.
fn merge(into: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(into)), Value::Object(over)) => merge(into, over),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

fn unparsable(holder: &str, source: impl std::error::Error + Send + Sync + 'static) -> SecdistError {
    SecdistError::Unparsable { holder: holder.to_owned(), source: Box::new(source) }
}
