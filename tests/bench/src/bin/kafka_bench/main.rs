//! Mainspring under the contract of this crate: a service as a user would write it, whose configuration comes from the
//! command line.

mod bench;
mod config;
mod consume;
mod latency;
mod produce;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use mainspring::config::{FakeSurroundings, Problems, Source, VarsOptions};
use mainspring::kafka::{KafkaConsumerComponent, KafkaProducerComponent};
use mainspring::prelude::*;
use mainspring::{Service, ServiceOptions};

use crate::bench::{Bench, MEASURED};
use crate::config::Flags;

#[expect(clippy::print_stderr, reason = "a command-line tool speaks to its user")]
fn main() -> ExitCode {
    let flags = Flags::parse();
    let service = match service(&flags) {
        Ok(service) => service,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(2);
        }
    };
    match service.run() {
        Ok(report) if report.reason == MEASURED => ExitCode::SUCCESS,
        Ok(report) => {
            eprintln!("{}", report.reason);
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The service that the flags describe.
fn service(flags: &Flags) -> Result<Service, Problems> {
    let source = Source::new("kafka_bench.yaml", config::text(flags));
    let surroundings = FakeSurroundings::default().with_env(config::SECRETS, config::secrets(flags));
    let root = mainspring::config::load(&source, &VarsOptions::default(), &surroundings)?;
    let mut components = ComponentList::common().append_default::<Bench>();
    for name in flags.producers() {
        components = components.append::<KafkaProducerComponent>(name);
    }
    for name in flags.consumers() {
        components = components.append::<KafkaConsumerComponent>(name);
    }
    Service::new(&components, &root, ServiceOptions { surroundings: Arc::new(surroundings) })
}
