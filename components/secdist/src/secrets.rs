//! All secrets of a service as one value: reading, merging and giving them out.

use std::fmt;
use std::io;

use mainspring_config::{Source, Surroundings};
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::tree::{Tree, wipe};
use crate::{Format, ProviderConfig, SecdistError};

/// All secrets as they were read at one time. `Debug` shows where they came from and nothing else.
///
/// Their memory is overwritten when they are dropped, and so is the text they were read from. Not covered are what the YAML
/// parser and JSON texts with escapes (`\n`) need in between, the beginning of a text that turns out malformed, numbers, the
/// environment of the process, and copies that others make, librdkafka for one.
#[derive(Clone, Default)]
pub struct Secrets {
    tree: Tree,
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
                Ok(text) => secrets.add(&holder, &Zeroizing::new(text), config.format)?,
                Err(error) if config.missing_ok && error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(SecdistError::Unreadable { holder, source }),
            }
        }
        if let Some(name) = &config.environment_secrets_key {
            let holder = format!("environment variable `{name}`");
            match surroundings.env_var(name) {
                Ok(Some(text)) => secrets.add(&holder, &Zeroizing::new(text), Format::Json)?,
                Ok(None) => {}
                Err(source) => return Err(SecdistError::Unreadable { holder, source }),
            }
        }
        Ok(secrets)
    }

    /// The permission bits of the file, if it lets others than its owner read it.
    pub(crate) fn exposure(config: &ProviderConfig, surroundings: &dyn Surroundings) -> Option<u32> {
        let mode = surroundings.file_mode(&config.config)?;
        (mode & 0o044 != 0).then_some(mode)
    }

    /// The secret at the end of a path of keys.
    ///
    /// # Errors
    /// When a key of the path is missing, or when the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, SecdistError> {
        let found = self.tree.find(path);
        let (value, key) = found.map_err(|key| SecdistError::Missing { key, holder: self.holder() })?;
        serde_path_to_error::deserialize(value).map_err(|error| self.mismatch::<T>(&key, &error))
    }

    /// Whether both hold the same at the end of a path, or both nothing.
    pub(crate) fn agree_at(&self, other: &Self, path: &[String]) -> bool {
        let [mine, theirs] = [self, other].map(|secrets| secrets.tree.find(path).ok());
        mine.map(|(value, _)| value) == theirs.map(|(value, _)| value)
    }

    /// Whether both hold the same everywhere.
    pub(crate) fn agree(&self, other: &Self) -> bool {
        self.tree == other.tree
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
        let mut value = match format {
            Format::Json => serde_json::from_str(text).map_err(|error| unparsable(holder, error))?,
            Format::Yaml => mainspring_config::parse(&Source::new(holder, text))
                .and_then(|section| section.read())
                .map_err(|problems| unparsable(holder, problems))?,
        };
        match value {
            Value::Object(over) => self.tree.merge(over),
            // A file that holds nothing yet holds no secrets.
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                wipe(&mut value);
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

fn unparsable(holder: &str, source: impl std::error::Error + Send + Sync + 'static) -> SecdistError {
    SecdistError::Unparsable { holder: holder.to_owned(), source: Box::new(source) }
}
