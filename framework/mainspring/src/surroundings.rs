//! The environment and the file system of this process.

use std::env::{self, VarError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use mainspring_config::Surroundings;

/// What the process really has: its environment variables and the files it may read.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct OsSurroundings;

impl Surroundings for OsSurroundings {
    #[expect(clippy::disallowed_methods, reason = "this is the edge at which the environment is read")]
    fn env_var(&self, name: &str) -> io::Result<Option<String>> {
        match env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            // Without the value, which may be a secret.
            Err(VarError::NotUnicode(_)) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
            }
        }
    }

    fn read_file(&self, path: &str) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn file_mode(&self, path: &str) -> Option<u32> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(metadata.permissions().mode() & 0o777)
    }
}
