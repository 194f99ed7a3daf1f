//! The values of the last update on disk. All of it blocks.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;

use crate::update::Values;

/// Largest cache that is read. A larger one was not written by this crate.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Anybody may read it: these are no secrets.
const MODE: u32 = 0o644;

/// The values kept in the file; `None` when there is no file yet.
pub(crate) fn read(path: &str) -> io::Result<Option<Values>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(Some(serde_json::from_str(&text)?))
}

/// Replaces the file as a whole: whoever reads it sees the old values or the new ones, also after a crash.
pub(crate) fn write(path: &str, values: &Values) -> io::Result<()> {
    let temporary = format!("{path}.{}.tmp", std::process::id());
    let written = write_new(&temporary, values).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // It may be there in part or not at all; what went wrong first is what matters.
        let _removed = fs::remove_file(&temporary).is_ok();
    }
    written
}

fn write_new(path: &str, values: &Values) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(&serde_json::to_vec_pretty(values)?)?;
    file.sync_all()
}
