//! The command line of every service.

use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::report::Format;

/// What stands beside the name of the binary.
const FRAMEWORK: &str = concat!("(mainspring ", env!("CARGO_PKG_VERSION"), ")");

/// Arguments of a service binary.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(long_about = None, version = FRAMEWORK, after_help = "\
Exit codes: 0 stopped as told, 1 could not start, 2 wrong command line, 3 wrong configuration,\n\
            4 something did not finish its stop in time, 5 ended at once by a second signal.\n\
Signals:    SIGTERM, SIGINT, SIGQUIT stop the service; a second one ends it at once. SIGUSR1 reopens log files,\n\
            SIGHUP reads files such as secrets and the defaults of the dynamic configuration again.")]
pub(crate) struct Arguments {
    /// The static configuration
    #[arg(short, long, value_name = "FILE", default_value = "static_config.yaml")]
    pub(crate) config: String,

    /// Values for `$variables`, instead of the file that `config_vars` names
    #[arg(long = "config_vars", value_name = "FILE")]
    pub(crate) config_vars: Option<String>,

    /// Values that replace single ones of those
    #[arg(long = "config_vars_override", value_name = "FILE")]
    pub(crate) config_vars_override: Option<String>,

    /// Check the configuration and exit
    #[arg(long)]
    pub(crate) check_config: bool,

    /// How to say what is wrong: `text`, or `json` for machines
    #[arg(long, value_enum, default_value_t, value_name = "FORM", hide_possible_values = true)]
    pub(crate) format: Format,

    /// Print the JSON Schema of this binary's configuration and exit
    #[arg(long)]
    pub(crate) print_config_schema: bool,

    /// Print the compiled-in values of all dynamic variables as JSON and exit
    #[arg(long)]
    pub(crate) print_dynamic_config_defaults: bool,
}

impl Arguments {
    /// Reads the arguments of a process; the first is the binary, which help and version are about.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments: Vec<_> = arguments.into_iter().collect();
        let binary = arguments.first().and_then(|path| Path::new(path).file_name());
        let program = binary.map_or_else(|| "service".to_owned(), |name| name.to_string_lossy().into_owned());
        let command = Self::command().about(format!("{program} {FRAMEWORK}")).display_name(program);
        Self::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }
}
