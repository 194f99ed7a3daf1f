//! Compiles the C program against the headers of the librdkafka that `rdkafka-sys` has built.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=c/kafka_bench.c");
    let librdkafka = env::var_os("DEP_RDKAFKA_ROOT").expect("rdkafka-sys says where its librdkafka is");
    cc::Build::new()
        .file("c/kafka_bench.c")
        // Its headers have warnings of their own.
        .flag("-isystem")
        .flag(Path::new(&librdkafka).join("src"))
        .std("c11")
        .define("_GNU_SOURCE", None)
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true)
        .compile("kafka_bench_c");
}
