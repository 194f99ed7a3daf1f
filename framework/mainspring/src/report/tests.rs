//! What people and machines are shown.

use std::io::{self, Write};

use expect_test::{Expect, expect};
use mainspring_config::{FakeSurroundings, Problem, Source, VarsOptions};

use super::{Format, Report, Screen};

impl Screen for Vec<u8> {
    fn is_terminal(&self) -> bool {
        false
    }
}

/// A terminal that keeps what it was shown.
struct Terminal(Vec<u8>);

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Screen for Terminal {
    fn is_terminal(&self) -> bool {
        true
    }
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[expect(dead_code, reason = "only read from text")]
struct Client {
    #[schemars(range(max = 9))]
    level: Option<u8>,
    name: Option<String>,
    #[schemars(range(max = 9))]
    sasl_password: Option<u8>,
}

fn world() -> FakeSurroundings {
    FakeSurroundings::default()
        .with_env("LEVEL", "10")
        .with_file("level.yaml", "hushed: 10")
        .with_file("vars.yaml", "nmae: x\nlevel:  1000\n")
}

/// Both streams of a report about `text`, read as a [`Client`].
fn refuse(text: &str, format: Format, stderr: &mut impl Screen) -> String {
    let source = Source::new("main.yaml", text);
    let world = world();
    let (root, mut problems) = mainspring_config::load_partly(&source, &VarsOptions::default(), &world);
    problems.extend(root.read::<Client>().err().into_iter().flatten());
    let mut stdout = Vec::new();
    let report = Report { source: Some(source), warnings: root.warnings(), ..Report::new(format, &world) };
    report.refuse(&problems, &mut stdout, stderr);
    String::from_utf8(stdout).unwrap()
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    let mut stderr = Vec::new();
    assert_eq!(refuse(text, Format::Text, &mut stderr), "");
    expected.assert_eq(&String::from_utf8(stderr).unwrap());
}

#[test]
fn the_wrong_key_or_value_is_underlined() {
    check(
        "levle: 5\nname: 'it''s'\nlevel: [7]\n",
        expect![[r#"
        main.yaml:1:1: unknown key `levle`; did you mean `level`?
            1 | levle: 5
              | ^^^^^
        main.yaml:3:8: level: expected an integer from 0 to 9, found a list
            3 | level: [7]
              |        ^
        error: the configuration has 2 problems; nothing was started
    "#]],
    );
}

#[test]
fn a_variable_shows_the_line_it_came_from() {
    check(
        "config_vars: vars.yaml\nlevel: $level\n",
        expect![[r#"
        warning: vars.yaml:1:1: unused variable `nmae`
            1 | nmae: x
              | ^^^^
        main.yaml:2:8: level: expected an integer from 0 to 9, found `1000` (value of `$level` from vars.yaml:2:9)
            2 | level: $level
              |        ^^^^^^
           --> value of `$level` from vars.yaml:2:9
            2 | level:  1000
              |         ^^^^
        error: the configuration has 1 problem; nothing was started
    "#]],
    );
}

#[test]
fn what_comes_from_the_environment_or_a_file_is_not_shown() {
    check(
        "level#env: LEVEL\n",
        expect![[r#"
        main.yaml:1:12: level: expected an integer from 0 to 9, found a number (value of environment variable `LEVEL`)
            1 | level#env: LEVEL
              |            ^^^^^
        error: the configuration has 1 problem; nothing was started
    "#]],
    );
    check(
        "level#file: level.yaml\n",
        expect![[r#"
        main.yaml:1:13: level: expected an integer from 0 to 9, found a map (value of file level.yaml:1:1)
            1 | level#file: level.yaml
              |             ^^^^^^^^^^
        error: the configuration has 1 problem; nothing was started
    "#]],
    );
}

#[test]
fn a_secret_in_the_text_is_not_shown() {
    check(
        "sasl_password: 1000\n",
        expect![[r#"
        main.yaml:1:16: sasl_password: expected an integer from 0 to 9, found `1000`
            1 | sasl_password: *****
              |                ^^^^^
        error: the configuration has 1 problem; nothing was started
    "#]],
    );
    check(
        "{nmae: x, sasl_password: 5, level: 10}\n",
        expect![[r#"
        main.yaml:1:2: unknown key `nmae`; did you mean `name`?
            1 | {nmae: x, sasl_password: *****
              |  ^^^^
        main.yaml:1:36: level: expected an integer from 0 to 9, found `10`
            1 | {nmae: x, sasl_password: *****
              |                          ^^^^^
        error: the configuration has 2 problems; nothing was started
    "#]],
    );
    check(
        "{password_file#env: NOT_SET}\n",
        expect![[r#"
        main.yaml:1:2: unknown key `password_file`; known keys: `level`, `name`, `sasl_password`
            1 | {password_file#env: NOT_SET}
              |  ^^^^^^^^^^^^^^^^^
        main.yaml:1:21: password_file: environment variable `NOT_SET` is not set; set it or add `password_file#fallback`
            1 | {password_file#env: NOT_SET}
              |                     ^^^^^^^
        error: the configuration has 2 problems; nothing was started
    "#]],
    );
}

#[test]
fn places_that_are_hard_to_show_are_shown() {
    check(
        "name: |\n  several\n  lines\nlevel: {a: {b:\n",
        expect![[r#"
        main.yaml:5:1: level.a.b: while parsing a node, did not find expected node content
            4 | level: {a: {b:
              |               ^
        error: the configuration has 1 problem; nothing was started
    "#]],
    );
    check(
        "\u{feff}nmae: 'tab\tescape\u{1b}[31m ä'\r\n",
        expect![[r#"
        main.yaml:1:1: unknown key `nmae`; did you mean `name`?
            1 | nmae: 'tab escape�[31m ä'
              | ^^^^
        error: the configuration has 1 problem; nothing was started
    "#]],
    );
    check(
        &format!("name: [{}, 1]\n", "x".repeat(200)),
        expect![[r#"
        main.yaml:1:7: name: expected a string, found a list
            1 | name: [xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
              |       ^
        error: the configuration has 1 problem; nothing was started
    "#]],
    );
    check(
        &format!("{{name: '{}', level: 10, other: '{}'}}\n", "x".repeat(150), "y".repeat(150)),
        expect![[r#"
        main.yaml:1:169: level: expected an integer from 0 to 9, found `10`
            1 | …xxxxxxxxxxxxxxxxxxxx', level: 10, other: 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…
              |                                ^^
        main.yaml:1:173: unknown key `other`; known keys: `level`, `name`, `sasl_password`
            1 | …xxxxxxxxxxxxxxxx', level: 10, other: 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…
              |                                ^^^^^
        error: the configuration has 2 problems; nothing was started
    "#]],
    );
}

#[test]
fn a_problem_without_a_place_is_one_line() {
    let world = world();
    let report = Report::new(Format::Text, &world);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    report.refuse(&Problem::new("a.b", "bad").into(), &mut stdout, &mut stderr);
    expect![[r#"
        a.b: bad
        error: the configuration has 1 problem; nothing was started
    "#]]
    .assert_eq(&String::from_utf8(stderr).unwrap());
}

#[test]
fn colour_is_for_terminals_without_no_color() {
    let mut terminal = Terminal(Vec::new());
    refuse("levle: 5\n", Format::Text, &mut terminal);
    expect![[r#""\u{1b}[1mmain.yaml:1:1: unknown key `levle`; did you mean `level`?\u{1b}[0m\n\u{1b}[1;34m    1 |\u{1b}[0m levle: 5\n\u{1b}[1;34m      |\u{1b}[0m \u{1b}[1;31m^^^^^\u{1b}[0m\nerror: the configuration has 1 problem; nothing was started\n""#]].assert_eq(&format!("{:?}", String::from_utf8(terminal.0).unwrap()));
    let style = |value: &str| {
        let world = FakeSurroundings::default().with_env("NO_COLOR", value);
        super::Style::of(&Terminal(Vec::new()), &world).bold.to_owned()
    };
    assert_eq!(style("1"), "");
    assert_ne!(style(""), "", "an empty value means nothing, says no-color.org");
}

#[test]
fn machines_get_the_same_problems_as_json() {
    let text = "config_vars: vars.yaml\nlevel: $level\nname: 5\nsasl_password#env: LEVEL\n";
    let mut stderr = Vec::new();
    let printed = refuse(text, Format::Json, &mut stderr);
    let parsed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(parsed.as_array().unwrap().len(), 4, "three problems and a warning");
    expect![[r#"
        [
          {
            "column": 1,
            "file": "vars.yaml",
            "line": 1,
            "message": "unused variable `nmae`",
            "path": "",
            "severity": "warning"
          },
          {
            "column": 8,
            "file": "main.yaml",
            "line": 2,
            "message": "expected an integer from 0 to 9, found `1000`",
            "origin": {
              "column": 9,
              "file": "vars.yaml",
              "line": 2,
              "variable": "level"
            },
            "path": "level",
            "severity": "error"
          },
          {
            "column": 7,
            "file": "main.yaml",
            "line": 3,
            "message": "expected a string, found `5`",
            "path": "name",
            "severity": "error"
          },
          {
            "column": 20,
            "file": "main.yaml",
            "line": 4,
            "message": "expected an integer from 0 to 9, found a number",
            "origin": {
              "environment_variable": "LEVEL"
            },
            "path": "sasl_password",
            "severity": "error"
          }
        ]
    "#]]
    .assert_eq(&printed);
    expect![[r#"
        error: the configuration has 3 problems; nothing was started
    "#]]
    .assert_eq(&String::from_utf8(stderr).unwrap());
}

#[test]
fn machines_learn_that_nothing_is_wrong() {
    let world = world();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    Report::new(Format::Json, &world).accept("the configuration is right", &mut stdout, &mut stderr);
    assert_eq!(stderr, b"");
    assert_eq!(String::from_utf8(stdout).unwrap(), "[]\n");
}
