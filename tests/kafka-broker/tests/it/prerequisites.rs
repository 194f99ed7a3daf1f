//! What somebody without Java or Maven, or with too old a Java, is told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use expect_test::{Expect, expect};

/// The program of this package, with these programs on its `PATH` and nothing prepared, ends with these words.
#[track_caller]
fn check_refused(programs: &[(&str, &str)], expected: Expect) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("bin");
    fs::create_dir(&path).expect("the directory is new");
    for (name, script) in programs {
        let file = path.join(name);
        fs::write(&file, script).expect("the directory can be written to");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_mainspring-kafka-broker"))
        .env("PATH", &path)
        .env("MAINSPRING_CACHE_DIR", directory.path().join("cache"))
        .stdin(Stdio::null())
        .output()
        .expect("the program of this package was built with its tests");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).replace(name(&path), "<bin>");
    expected.assert_eq(&said);
}

/// A directory as text.
fn name(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}

#[test]
fn missing_java_is_told_with_the_line_that_installs_it() {
    check_refused(
        &[],
        expect![[r#"
        Error: the Kafka tests need `java`, which is not installed; as root, run `apt-get update && apt-get install -y --no-install-recommends maven openssl $(apt-cache show openjdk-17-jre-headless >/dev/null 2>&1 && echo openjdk-17-jre-headless || echo default-jre-headless)`
    "#]],
    );
}

#[test]
fn java_that_is_too_old_is_told_with_the_line_that_installs_a_newer_one() {
    let java = "#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n";
    check_refused(
        &[("java", java)],
        expect![[r#"
        Error: the Kafka tests need Java 17 or newer, but `<bin>/java` is openjdk version "11.0.2" 2019-01-15; as root, run `apt-get update && apt-get install -y --no-install-recommends maven openssl $(apt-cache show openjdk-17-jre-headless >/dev/null 2>&1 && echo openjdk-17-jre-headless || echo default-jre-headless)`
    "#]],
    );
}

#[test]
fn missing_maven_is_told_with_the_line_that_installs_it() {
    let java = "#!/bin/sh\necho 'openjdk version \"17.0.2\" 2022-01-18' >&2\n";
    check_refused(
        &[("java", java)],
        expect![[r#"
        Error: the Kafka tests need `mvn`, which is not installed; as root, run `apt-get update && apt-get install -y --no-install-recommends maven openssl $(apt-cache show openjdk-17-jre-headless >/dev/null 2>&1 && echo openjdk-17-jre-headless || echo default-jre-headless)`
    "#]],
    );
}

#[test]
fn failing_maven_is_told_with_its_last_words() {
    let java = "#!/bin/sh\necho 'openjdk version \"17.0.2\" 2022-01-18' >&2\n";
    let maven = "#!/bin/sh\necho trying\necho '[ERROR] no route to the repository' >&2\nexit 1\n";
    check_refused(
        &[("java", java), ("mvn", maven)],
        expect![[r#"
        Error: cannot prepare Kafka: fetching the jars with Maven failed (exit status: 1):
        trying
        [ERROR] no route to the repository
    "#]],
    );
}
