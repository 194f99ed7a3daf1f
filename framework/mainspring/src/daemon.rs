//! A service as a process: arguments, configuration, signals, exit code.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use mainspring_config::{Problems, Section, Source, Surroundings, VarsOptions};
use mainspring_core::{ComponentList, Service, ServiceError, ServiceOptions, StopReport};
use mainspring_logging::Chain;

use crate::arguments::{Arguments, CheckConfig, GraphFormat};
use crate::report::{Report, Screen};
use crate::{Exit, OsSurroundings, last_words, signals};

/// Runs a service made of `components` until a signal stops it; the whole of a service's `main`.
///
/// Reads the command line (`--help` shows it), checks the whole configuration before anything starts, and
/// explains on standard error what is wrong with it. See [`Exit`] for the exit codes.
///
/// ```no_run
/// use mainspring::prelude::*;
///
/// fn main() -> std::process::ExitCode {
///     mainspring::daemon_main(ComponentList::common_server())
/// }
/// ```
#[must_use = "return it from `main`"]
pub fn daemon_main(components: ComponentList) -> ExitCode {
    let arguments = match Arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(asked_or_wrong) => {
            let exit = if asked_or_wrong.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _nobody_listens = asked_or_wrong.print().is_err();
            return exit.into();
        }
    };
    let ending = run(&components, &arguments, &mut io::stdout(), &mut io::stderr());
    if let Some(words) = ending.last_words {
        last_words::say(words);
    }
    ending.exit.into()
}

/// How the process ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) exit: Exit,
    /// What is left to say on standard error when the service has run.
    pub(crate) last_words: Option<String>,
}

impl From<Exit> for Ending {
    fn from(exit: Exit) -> Self {
        Self { exit, last_words: None }
    }
}

/// The process without its globals.
pub(crate) fn run(
    components: &ComponentList,
    arguments: &Arguments,
    stdout: &mut impl Write,
    stderr: &mut impl Screen,
) -> Ending {
    if arguments.print_config_schema {
        say(stdout, format_args!("{:#}", components.service_schema()));
        return Exit::Ok.into();
    }
    if arguments.print_dynamic_config_defaults {
        let defaults = serde_json::Value::Object(components.dynamic_variables().defaults());
        say(stdout, format_args!("{defaults:#}"));
        return Exit::Ok.into();
    }
    if let Some(shell) = arguments.completions {
        // With the stream closed there is nobody left to tell.
        let _nobody_listens = stdout.write_all(&arguments.completions(shell)).is_err();
        return Exit::Ok.into();
    }
    if arguments.version {
        say(stdout, format_args!("{}", arguments.title()));
        components.built_with().iter().for_each(|line| say(stdout, format_args!("{line}")));
        return Exit::Ok.into();
    }
    let mut report = Report::new(arguments.format, &OsSurroundings);
    let checked = check(components, arguments, &mut report);
    let (service, root) = match checked {
        Ok(checked) => checked,
        Err(problems) => {
            report.refuse(&problems, stdout, stderr);
            return Exit::Config.into();
        }
    };
    if let Some(format) = arguments.print_component_graph {
        let graph = service.component_graph();
        let text = match format {
            GraphFormat::Dot => graph.dot(),
            GraphFormat::Mermaid => graph.mermaid(),
        };
        say(stdout, format_args!("{text}"));
        return Exit::Ok.into();
    }
    if arguments.print_effective_config {
        say(stdout, format_args!("{}", components.effective_config(&root).trim_end()));
        return Exit::Ok.into();
    }
    match arguments.check_config {
        None => {}
        Some(CheckConfig::Alone) => {
            report.accept("the configuration is right", stdout, stderr);
            return Exit::Ok.into();
        }
        Some(CheckConfig::Connect) => {
            let problems = service.check_connections();
            if problems.is_empty() {
                report.accept("the configuration is right, and all connections work", stdout, stderr);
                return Exit::Ok.into();
            }
            report.refuse(&problems, stdout, stderr);
            return Exit::Config.into();
        }
    }
    if let Err(error) = signals::follow(service.handle()) {
        say(stderr, format_args!("error: cannot follow signals: {error}"));
        return Exit::StartFailed.into();
    }
    conclude(service.run())
}

fn check(
    components: &ComponentList,
    arguments: &Arguments,
    report: &mut Report<'_>,
) -> Result<(Service, Section), Problems> {
    let surroundings = OsSurroundings;
    let text = surroundings.read_file(&arguments.config).map_err(|error| {
        let what = format!(
            "cannot read {}: {error}; name the static configuration with `--config`",
            arguments.config
        );
        Problems::from(mainspring_config::Problem::new("", what))
    })?;
    let source = report.source.insert(Source::new(&arguments.config, text));
    let vars = VarsOptions {
        config_vars: arguments.config_vars.clone(),
        config_vars_override: arguments.config_vars_override.clone(),
    };
    let (root, mut problems) = mainspring_config::load_partly(source, &vars, &surroundings);
    report.warnings = root.warnings();
    match Service::new(components, &root, ServiceOptions { surroundings: Arc::new(surroundings) }) {
        Ok(service) if problems.is_empty() => Ok((service, root)),
        checked => {
            problems.extend(checked.err().into_iter().flatten());
            Err(problems)
        }
    }
}

pub(crate) fn conclude(outcome: Result<StopReport, ServiceError>) -> Ending {
    match outcome {
        Ok(report) if report.unfinished.is_empty() => Exit::Ok.into(),
        Ok(report) => {
            let words = format!("error: stopped ({}), but {}", report.reason, report.unfinished.join("; "));
            Ending { exit: Exit::StopUnfinished, last_words: Some(words) }
        }
        Err(error) => {
            let words = format!("error: {}", Chain(&error));
            Ending { exit: Exit::StartFailed, last_words: Some(words) }
        }
    }
}

pub(crate) fn say(stream: &mut impl Write, text: std::fmt::Arguments<'_>) {
    // With the stream closed there is nobody left to tell.
    let _nobody_listens = writeln!(stream, "{text}").is_err();
}
