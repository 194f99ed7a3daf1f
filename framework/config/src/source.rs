//! What callers hand in: named texts, and the outside world as far as a configuration may ask for it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// A named text: the name is what problems print before `:line:column`.
#[derive(Clone)]
pub struct Source {
    pub(crate) name: Arc<str>,
    pub(crate) text: String,
}

impl Source {
    /// A text under a name, usually the path it was read from.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into().into(), text: text.into() }
    }

    /// The name given to [`Source::new`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text given to [`Source::new`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The text may hold secrets, so only its name and length are shown.
impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("name", &self.name).field("bytes", &self.text.len()).finish()
    }
}

/// What loading a configuration may ask of the outside world.
pub trait Surroundings {
    /// The value of an environment variable, `None` if it is not set.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when it is set to something that is not UTF-8 text.
    fn env_var(&self, name: &str) -> io::Result<Option<String>>;

    /// The text of a file; relative paths start wherever the implementor says, for a process its working directory.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] means "there is none" and lets a fallback apply; any other error is reported.
    fn read_file(&self, path: &str) -> io::Result<String>;

    /// The permission bits of a file, such as `0o600`; `None` where there are none, or where they cannot be had.
    fn file_mode(&self, _path: &str) -> Option<u32> {
        None
    }
}

/// [`Surroundings`] kept in memory, for tests.
#[derive(Clone, Default)]
pub struct FakeSurroundings {
    env: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
    modes: BTreeMap<String, u32>,
}

impl FakeSurroundings {
    /// Adds an environment variable.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Adds a file.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<String>, text: impl Into<String>) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }

    /// Gives a file permission bits.
    #[must_use]
    pub fn with_file_mode(mut self, path: impl Into<String>, mode: u32) -> Self {
        self.modes.insert(path.into(), mode);
        self
    }
}

/// Names only: values stand for secrets.
impl std::fmt::Debug for FakeSurroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeSurroundings")
            .field("env", &self.env.keys())
            .field("files", &self.files.keys())
            .field("modes", &self.modes)
            .finish()
    }
}

impl Surroundings for FakeSurroundings {
    fn env_var(&self, name: &str) -> io::Result<Option<String>> {
        Ok(self.env.get(name).cloned())
    }

    fn read_file(&self, path: &str) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file_mode(&self, path: &str) -> Option<u32> {
        self.modes.get(path).copied()
    }
}
