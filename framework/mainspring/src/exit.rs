//! The exit codes of a service: part of its interface to whatever supervises it.

use std::process::ExitCode;

/// Why the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Exit {
    /// 0: it stopped as it was told to, or printed what it was asked for.
    Ok = 0,
    /// 1: a component failed to load, or the task processors could not be started.
    StartFailed = 1,
    /// 2: the command line is wrong.
    Usage = 2,
    /// 3: the configuration has problems; nothing was started.
    Config = 3,
    /// 4: it stopped, but something had not finished by its deadline.
    StopUnfinished = 4,
    /// 5: a second signal ended it at once.
    Forced = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
