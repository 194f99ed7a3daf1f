//! Codecs, their levels from both sides, and builds without one.

use expect_test::{Expect, expect};
use mainspring_kafka_ffi as ffi;

use super::Compression;

#[track_caller]
fn check(codec: Compression, level: Option<u8>, expected: Expect) {
    let lines = codec.check(level);
    let lines: String =
        lines.iter().map(|violation| format!("{}: {}", violation.path, violation.message)).collect();
    expected.assert_eq(&lines);
}

/// Ours pass exactly when librdkafka's do; it takes any level at first and would end the process' sends later.
#[test]
fn levels_are_those_of_the_codec() {
    for (codec, good, bad) in [
        (Compression::Gzip, &[0, 9][..], &[10, 255][..]),
        (Compression::Lz4, &[0, 12], &[13]),
        (Compression::Zstd, &[1, 12], &[0, 13]),
        (Compression::Snappy, &[], &[0, 1]),
        (Compression::None, &[], &[0, 1]),
    ] {
        assert!(codec.check(None).is_empty(), "{codec:?}");
        for level in good {
            assert!(codec.check(Some(*level)).is_empty(), "{codec:?} {level}");
            let mut config = ffi::ClientConfig::new();
            config.set("compression.codec", codec.as_str()).unwrap();
            config.set("compression.level", &level.to_string()).unwrap();
        }
        for level in bad {
            assert!(!codec.check(Some(*level)).is_empty(), "{codec:?} {level}");
        }
    }
}

#[test]
fn a_level_that_does_not_fit_says_which_would() {
    check(
        Compression::Zstd,
        Some(22),
        expect!["compression_level: must be from `1` to `12` with `compression: zstd`, found `22`"],
    );
    check(
        Compression::Snappy,
        Some(1),
        expect!["compression_level: `compression: snappy` has no levels, found `1`"],
    );
}

#[test]
fn a_codec_that_is_not_built_in_says_how_to_have_it() {
    let built_in: Vec<_> = ["gzip", "snappy", "ssl", "lz4"].map(str::to_owned).to_vec();
    expect!["`zstd` needs a build with the feature `zstd` of `mainspring-kafka`; built in are `gzip`, `snappy`, `lz4`"]
        .assert_eq(&Compression::Zstd.not_built_in(&built_in));
    expect!["the librdkafka of this build has no `gzip`; built in are `lz4`"]
        .assert_eq(&Compression::Gzip.not_built_in(&["lz4".to_owned()]));
}

#[test]
fn this_build_has_what_its_features_say() {
    for codec in Compression::ALL {
        let wants = codec != Compression::Zstd || cfg!(feature = "zstd");
        assert_eq!(codec.check(None).is_empty(), wants, "{codec:?}");
    }
}
