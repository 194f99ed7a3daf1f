//! The environment and the file system of this process.

use mainspring_config::Surroundings;

/// What the process really has: its environment variables and the files it may read.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct OsSurroundings;

impl Surroundings for OsSurroundings {
    #[expect(clippy::disallowed_methods, reason = "this is the edge at which the environment is read")]
    fn env_var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read_file(&self, path: &str) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }
}
