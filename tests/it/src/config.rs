//! The configuration that operators get, with as few changes as a test needs.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A configuration, mostly a file of `configs/`, as a text that tests change.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    name: String,
    text: String,
}

/// A configuration in a directory of its own, removed when dropped.
#[derive(Debug)]
#[must_use = "the file is removed when this is dropped"]
pub struct ConfigFile {
    path: PathBuf,
    _directory: TempDir,
}

impl ServiceConfig {
    /// `configs/<name>` on any free ports.
    ///
    /// # Panics
    /// When there is no such file, or when it does not name the ports 8187 and 8086.
    #[must_use]
    #[track_caller]
    pub fn of(name: &str) -> Self {
        Self::as_it_is(name).with("port: 8187", "port: 0").with("port: 8086", "port: 0")
    }

    /// A configuration that lies beside a test.
    #[must_use]
    pub fn from_text(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned() }
    }

    /// `configs/<name>` without a change.
    ///
    /// # Panics
    /// When there is no such file.
    #[must_use]
    #[track_caller]
    pub fn as_it_is(name: &str) -> Self {
        let path = workspace().join("configs").join(name);
        let text = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        Self { name: name.to_owned(), text }
    }

    /// With `new` in the place of `old`.
    ///
    /// # Panics
    /// Unless `old` is there exactly once: a replacement that has no effect would prove nothing.
    #[must_use]
    #[track_caller]
    pub fn with(self, old: &str, new: &str) -> Self {
        let n_hits = self.text.matches(old).count();
        assert_eq!(n_hits, 1, "`{old}` is {n_hits} times in {}", self.name);
        Self { text: self.text.replacen(old, new, 1), ..self }
    }

    /// The text as it is now.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The configuration as a file of the same name.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self) -> ConfigFile {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let path = directory.path().join(&self.name);
        fs::write(&path, &self.text).expect("the temporary directory can be written to");
        ConfigFile { path, _directory: directory }
    }
}

impl ConfigFile {
    /// Where it is.
    ///
    /// # Panics
    /// When the system's temporary directory has a name that is no text.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.to_str().expect("temporary directories have plain names")
    }
}

/// The workspace that this was compiled in.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this package lies two directories deep")
}
