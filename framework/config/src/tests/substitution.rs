//! `$variable`, `#env`, `#file`, `#fallback`.

use expect_test::{Expect, expect};

use super::{FakeSurroundings, check_load, check_read_error};
use crate::{Source, Surroundings, VarsOptions, load};

fn world() -> FakeSurroundings {
    FakeSurroundings::default()
        .with_env("PORT", "8187")
        .with_env("TOPICS", "[a, b]")
        .with_env("BROKEN", "[a")
        .with_file("secret.yaml", "user: me\npassword: hush\n")
        .with_file(
            "vars.yaml",
            "port: 1\nname: $port\nmockserver/testpoint: url\nfrom_env#env: PORT\nfrom_file#file: secret.yaml\n\
             absent#env: NOT_SET\nspare#env: NOT_SET\nspare#fallback: 7\nwhole: {level: info, n#env: PORT}\n",
        )
}

/// Loads a text with the variables above.
#[track_caller]
fn check(text: &str, expect: Expect) {
    check_load(&format!("config_vars: vars.yaml\n{text}"), &world(), expect);
}

#[test]
fn variables_replace_whole_values_once() {
    check(
        "a: $port\nb: [$port, '$port', x$port]\nc: $name\nd: \"$mockserver/testpoint\"\ne: $whole\n",
        expect![[r#"{"a":1,"b":[1,1,"x$port"],"c":"$port","d":"url","e":{"level":"info","n#env":"PORT"}}"#]],
    );
}

#[test]
fn variables_may_come_from_environment_file_and_fallback() {
    check(
        "a: $from_env\nb: $from_file\nc: $spare\n",
        expect![[r#"{"a":8187,"b":{"password":"hush","user":"me"},"c":7}"#]],
    );
}

#[test]
fn siblings_apply_in_order() {
    check(
        "a#env: PORT\nb#env: NOT_SET\nb#file: secret.yaml\nc#env: NOT_SET\nc#fallback: $port\nd: $nope\nd#fallback: 5\n",
        expect![[r#"{"a":8187,"b":{"password":"hush","user":"me"},"c":1,"d":5}"#]],
    );
}

#[test]
fn a_value_stands_whatever_siblings_it_has() {
    check("a: 5\na#env: PORT\na#fallback: 6\nb: ~\nb#env: PORT\n", expect![[r#"{"a":5,"b":null}"#]]);
}

#[test]
fn siblings_work_inside_lists() {
    check(
        "list: [{a#env: TOPICS, b: 1}, {c#file: nope, c#fallback: 2}]",
        expect![[r#"{"list":[{"a":["a","b"],"b":1},{"c":2}]}"#]],
    );
}

#[test]
fn siblings_work_in_merged_maps() {
    check(
        "base: &base {a#env: PORT}\nuse: {<<: *base, b: 1}",
        expect![[r#"{"base":{"a":8187},"use":{"a":8187,"b":1}}"#]],
    );
}

#[test]
fn everything_undefined_is_reported_at_once() {
    check(
        "a: $prot\nb: [$nothing_alike]\nc#env: NOT_SET\nd#file: nope.yaml\ne#env: NOT_SET\ne#file: nope.yaml\nf: $absent\n\
         g: $\nh: $nothing_alike\nh#env: NOT_SET\n",
        expect![[r#"
            main.yaml:2:4: a: undefined variable `$prot`; did you mean `$port`?
            main.yaml:3:5: b[0]: undefined variable `$nothing_alike`; it is not in `vars.yaml`
            main.yaml:4:8: c: environment variable `NOT_SET` is not set; set it or add `c#fallback`
            main.yaml:5:9: d: file `nope.yaml` does not exist; set it or add `d#fallback`
            main.yaml:6:8: e: environment variable `NOT_SET` is not set and file `nope.yaml` does not exist; set it or add `e#fallback`
            main.yaml:8:4: f: undefined variable `$absent`: environment variable `NOT_SET` is not set
            main.yaml:9:4: g: undefined variable `$`; it is not in `vars.yaml`
            main.yaml:10:4: h: undefined variable `$nothing_alike`; it is not in `vars.yaml` and environment variable `NOT_SET` is not set"#]],
    );
}

#[test]
fn a_variable_without_any_file_of_variables_says_so() {
    check_load(
        "a: $port",
        &world(),
        expect![
            "main.yaml:1:4: a: undefined variable `$port`; no file of variables is given (`config_vars`)"
        ],
    );
}

#[test]
fn a_lone_fallback_is_refused_in_both_files() {
    check(
        "a: {b#fallback: 5}",
        expect![
            "main.yaml:2:5: a.b: `b#fallback` stands alone and would never apply; write `b: ...`, or add `b: $variable`, `b#env` or `b#file`"
        ],
    );
    let world = FakeSurroundings::default().with_file("v.yaml", "x#fallback: 1");
    check_load(
        "config_vars: v.yaml",
        &world,
        expect![
            "v.yaml:1:1: `x#fallback` stands alone and would never apply; write `x: ...`, or add `x: $variable`, `x#env` or `x#file`"
        ],
    );
}

#[test]
fn names_of_variables_and_files_are_strings() {
    check(
        "a#env: 5\nb#file: [x]\n",
        expect![[r#"
            main.yaml:2:8: a: expected the name of an environment variable after `a#env`
            main.yaml:3:9: b: expected the path of a file after `b#file`"#]],
    );
}

#[test]
fn a_text_from_outside_that_is_no_yaml_is_reported_where_it_is_used() {
    check(
        "a: {b#env: BROKEN}",
        expect![
            "main.yaml:2:12: a.b: environment variable `BROKEN`:2:1: not valid YAML: while parsing a flow sequence, expected ',' or ']'"
        ],
    );
}

#[test]
fn a_problem_in_a_substituted_value_says_where_it_came_from() {
    type Ports = std::collections::BTreeMap<String, Port>;
    #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
    #[expect(dead_code, reason = "only read from text")]
    struct Port {
        #[schemars(range(min = 1, max = 10))]
        level: u16,
    }
    let text = "config_vars: vars.yaml\na: $whole\nb: {level: $name}\nc: {level#env: PORT}\nd: {level#file: secret.yaml}\n\
                e: {level: $from_env}\nf: {level: 11}\ng: $from_file\n";
    check_read_error::<Ports>(
        text,
        &world(),
        expect![[r#"
        main.yaml:2:4: a: unknown key `n#env`; known keys: `level` (value of `$whole` from vars.yaml:9:22)
        main.yaml:2:4: a.level: expected an integer from 1 to 10, found `info` (value of `$whole` from vars.yaml:9:16)
        main.yaml:3:12: b.level: expected an integer from 1 to 10, found `$port` (value of `$name` from vars.yaml:2:7)
        main.yaml:4:16: c.level: expected an integer from 1 to 10, found a number (value of environment variable `PORT`)
        main.yaml:5:17: d.level: expected an integer from 1 to 10, found a map (value of file secret.yaml:1:1)
        main.yaml:6:12: e.level: expected an integer from 1 to 10, found a number (value of `$from_env` from environment variable `PORT`)
        main.yaml:7:12: f.level: expected an integer from 1 to 10, found `11`
        main.yaml:8:4: g: missing key `level` (value of `$from_file` from file secret.yaml:1:1)
        main.yaml:8:4: g: unknown key `password`; known keys: `level` (value of `$from_file` from file secret.yaml:2:1)
        main.yaml:8:4: g: unknown key `user`; known keys: `level` (value of `$from_file` from file secret.yaml:1:1)"#]],
    );
}

#[test]
fn values_from_outside_are_never_quoted_even_by_serde() {
    #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
    #[expect(dead_code, reason = "only read from text")]
    struct Address {
        #[schemars(with = "String")]
        ip: std::net::IpAddr,
        #[schemars(with = "String")]
        mode: Mode,
    }
    #[derive(Debug, serde::Deserialize)]
    enum Mode {}
    let world = FakeSurroundings::default().with_env("PASSWORD", "hush");
    check_read_error::<Address>(
        "{ip: 1, mode#env: PASSWORD}",
        &world,
        expect!["main.yaml:1:6: ip: expected a string, found `1`; put it in quotes"],
    );
    check_read_error::<Address>(
        "{ip: '::1', mode: x}",
        &world,
        expect!["main.yaml:1:19: mode: unknown variant `x`, there are no variants"],
    );
    check_read_error::<Address>(
        "{ip: '::1', mode#env: PASSWORD}",
        &world,
        expect![
            "main.yaml:1:23: mode: the value is not acceptable here (value of environment variable `PASSWORD`)"
        ],
    );
}

#[track_caller]
fn check_vars(text: &str, config_vars: Option<&str>, over: Option<&str>, expect: Expect) {
    let world = FakeSurroundings::default()
        .with_file("a.yaml", "x: {p: 1, q: 1}\ny: 1\n")
        .with_file("b.yaml", "x: {p: 2}\n")
        .with_file("list.yaml", "[1]");
    let options = VarsOptions {
        config_vars: config_vars.map(str::to_owned),
        config_vars_override: over.map(str::to_owned),
    };
    match load(&Source::new("main.yaml", text), &options, &world) {
        Ok(root) => expect.assert_eq(&super::json(&root).to_string()),
        Err(problems) => expect.assert_eq(&problems.to_string()),
    }
}

#[test]
fn the_command_line_replaces_and_overrides_files_of_variables() {
    let text = "config_vars: a.yaml\nx: $x\n";
    check_vars(text, None, None, expect![[r#"{"x":{"p":1,"q":1}}"#]]);
    check_vars(text, Some("b.yaml"), None, expect![[r#"{"x":{"p":2}}"#]]);
    check_vars("x: $x\ny: $y", Some("a.yaml"), Some("b.yaml"), expect![[r#"{"x":{"p":2},"y":1}"#]]);
    check_vars(
        "x: $y",
        None,
        Some("b.yaml"),
        expect!["main.yaml:1:4: x: undefined variable `$y`; it is not in `b.yaml`"],
    );
}

#[test]
fn unusable_files_of_variables_are_reported_without_their_consequences() {
    check_vars(
        "config_vars: nope\nx: $x",
        None,
        Some("gone"),
        expect![[r#"
        config_vars: cannot read `gone`: there is no such file
        main.yaml:1:14: config_vars: cannot read `nope`: there is no such file"#]],
    );
    check_vars(
        "config_vars: list.yaml\nx: $x",
        None,
        None,
        expect!["list.yaml:1:1: expected a map of variables"],
    );
    check_vars(
        "config_vars: [x]\nx: $x",
        None,
        None,
        expect!["main.yaml:1:14: config_vars: expected the path of a YAML file"],
    );
}

#[test]
fn config_vars_is_never_substituted() {
    check_vars(
        "config_vars: $x",
        None,
        None,
        expect!["main.yaml:1:14: config_vars: cannot read `$x`: there is no such file"],
    );
}

#[test]
fn config_vars_comes_from_nowhere_else() {
    check_vars(
        "config_vars#env: VARS\nconfig_vars#fallback: a.yaml\nx: 1",
        None,
        None,
        expect![[r#"
        main.yaml:1:1: `config_vars#env` is not possible: `config_vars` is read as it stands; use `--config_vars`
        main.yaml:2:1: `config_vars#fallback` is not possible: `config_vars` is read as it stands; use `--config_vars`"#]],
    );
}

#[test]
fn variables_that_are_not_text_are_no_missing_ones() {
    struct Latin1;
    impl Surroundings for Latin1 {
        fn env_var(&self, _: &str) -> std::io::Result<Option<String>> {
            Err(std::io::ErrorKind::InvalidData.into())
        }

        fn read_file(&self, _: &str) -> std::io::Result<String> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }
    let source = Source::new("main.yaml", "a#env: NAME\na#fallback: anonymous\n");
    let problems = load(&source, &VarsOptions::default(), &Latin1).unwrap_err();
    expect!["main.yaml:1:8: a: cannot read environment variable `NAME`: it is not UTF-8 text"]
        .assert_eq(&problems.to_string());
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[expect(dead_code, reason = "only read from text and shown")]
struct Client {
    client_id: String,
    port: Option<u16>,
    limit: Option<Limit>,
    #[serde(default)]
    tags: std::collections::BTreeMap<String, Vec<String>>,
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only read from text and shown")]
enum Limit {
    Number(u64),
    Words { words: Option<String> },
}

#[track_caller]
fn check_client(text: &str, expect: Expect) {
    let world = FakeSurroundings::default()
        .with_env("ID", "12_345")
        .with_env("NUMBER", "0x1F")
        .with_env("YES", "yes")
        .with_env("FLAG", "true")
        .with_env("EMPTY", "");
    match super::try_load(text, &world).expect("the text loads").read::<Client>() {
        Ok(client) => expect.assert_eq(&format!("{client:?}")),
        Err(problems) => expect.assert_eq(&problems.to_string()),
    }
}

#[test]
fn scalars_from_outside_are_text_where_a_string_is_wanted() {
    check_client(
        "{client_id#env: NUMBER, port#env: NUMBER, limit#env: NUMBER}",
        expect![[r#"Client { client_id: "0x1F", port: Some(31), limit: Some(Number(31)), tags: {} }"#]],
    );
    check_client(
        "{client_id#env: FLAG}",
        expect![[r#"Client { client_id: "true", port: None, limit: None, tags: {} }"#]],
    );
    let world = FakeSurroundings::default()
        .with_file("client.yaml", "client_id: 1e3\nport: 80\ntags: {a: [1, x, null]}\nlimit: {words: 5}\n");
    let root = super::try_load("client#file: client.yaml", &world).unwrap();
    let client: Client = root.get("client").unwrap().read().unwrap();
    expect![[r#"Client { client_id: "1e3", port: Some(80), limit: Some(Words { words: Some("5") }), tags: {"a": ["1", "x", "null"]} }"#]].assert_eq(&format!("{client:?}"));
}

#[test]
fn scalars_of_the_main_file_are_what_they_look_like() {
    check_client(
        "{client_id: 12345}",
        expect!["main.yaml:1:13: client_id: expected a string, found `12345`; put it in quotes"],
    );
    check_client(
        "{client_id#env: EMPTY}",
        expect![
            "main.yaml:1:17: client_id: expected a string, found nothing (value of environment variable `EMPTY`)"
        ],
    );
    check_client(
        "{client_id#env: ID, port#env: YES}",
        expect![
            "main.yaml:1:31: port: expected an integer from 0 to 65535, found a string (value of environment variable `YES`)"
        ],
    );
}

#[test]
fn violations_quote_no_value_from_outside() {
    let world = FakeSurroundings::default().with_env("PASSWORD", "hush").with_env("ONE", "1");
    let text = "password#env: PASSWORD\nport#env: ONE\nplain: hush\nmap: {password#env: PASSWORD}\n";
    let root = super::try_load(text, &world).unwrap();
    let say = |path: &str, message: &str| root.violation(crate::Violation::new(path, message)).to_string();
    let said = [
        say("password", "unknown user `hush`; did you mean `hash`?"),
        say("password", "the password hush is too short"),
        say("password", "a password has at least `8` characters"),
        say("port", "expected a port from 1024 to 65535, found `1`"),
        say("map", "`hushed` is no map"),
        say("plain", "unknown user `hush`"),
    ];
    expect![[r#"
        main.yaml:1:15: password: unknown user `*****`; did you mean `hash`? (value of environment variable `PASSWORD`)
        main.yaml:1:15: password: the value is not acceptable here (value of environment variable `PASSWORD`)
        main.yaml:1:15: password: a password has at least `8` characters (value of environment variable `PASSWORD`)
        main.yaml:2:11: port: the value is not acceptable here (value of environment variable `ONE`)
        main.yaml:4:6: map: `*****` is no map
        main.yaml:3:8: plain: unknown user `hush`"#]].assert_eq(&said.join("\n"));
}

#[test]
fn fallbacks_in_use_are_known_by_path_and_place() {
    let world = FakeSurroundings::default().with_file("v.yaml", "spare#env: NOT_SET\nspare#fallback: 7\n");
    let text = "config_vars: v.yaml\na: {b#env: NOT_SET, b#fallback: {c: 1}}\nd: [{e: $spare}, 2]\nf: 1\nf#fallback: 2\n";
    let root = super::try_load(text, &world).unwrap();
    let fallbacks: Vec<_> = root
        .fallbacks()
        .iter()
        .map(|section| format!("{} {}", section.path(), section.place().unwrap_or_default()))
        .collect();
    expect![[r#"
        a.b main.yaml:2:5
        d[0].e main.yaml:3:6"#]]
    .assert_eq(&fallbacks.join("\n"));
}

#[track_caller]
fn check_warnings(main: &str, vars: &str, over: &str, expect: Expect) {
    let world = FakeSurroundings::default().with_file("vars.yaml", vars).with_file("over.yaml", over);
    let options = VarsOptions {
        config_vars: Some("vars.yaml".to_owned()),
        config_vars_override: Some("over.yaml".to_owned()),
    };
    let (root, _) = crate::load_partly(&Source::new("main.yaml", main), &options, &world);
    expect.assert_eq(&root.warnings().to_string());
}

#[test]
fn variables_that_nothing_uses_are_warned_about() {
    let vars = "port: 1\nprot: 2\nhost#env: HOST\nhost#fallback: x\nlevel: 3\n";
    check_warnings(
        "a: $port\nb: [$level]\n",
        vars,
        "port: 5\nspare: 6\n",
        expect![[r#"
        over.yaml:2:1: unused variable `spare`
        vars.yaml:2:1: unused variable `prot`; the configuration uses `$port`
        vars.yaml:3:1: unused variable `host`"#]],
    );
    check_warnings(
        "a: $port\nb: [$levle]\n",
        vars,
        "",
        expect![[r#"
        vars.yaml:2:1: unused variable `prot`; the configuration uses `$port`
        vars.yaml:3:1: unused variable `host`
        vars.yaml:5:1: unused variable `level`; the configuration uses `$levle`"#]],
    );
    check_warnings(
        "a: $port\nb: [$level, {c: 1, d#env: NO, d#fallback: $host}]\nc: $prot",
        vars,
        "",
        expect![""],
    );
}

#[test]
fn a_fallback_that_does_not_apply_uses_its_variable_no_less() {
    check_warnings("a: $port\na#fallback: $spare", "port: 1\nspare: 2", "", expect![""]);
}

#[test]
fn variables_that_others_are_built_from_are_used() {
    let vars = "base: &base {x: 1}\nname: &name orders\nown: {<<: *base, y: *name}\nlonely: &lonely {x: 1}\n";
    check_warnings("a: $own", vars, "", expect!["vars.yaml:4:1: unused variable `lonely`"]);
}

#[test]
fn a_configuration_that_cannot_be_read_uses_nothing_and_warns_of_nothing() {
    check_warnings("a: [", "port: 1", "", expect![""]);
}

#[test]
fn lookups_work_at_any_depth_of_lists_and_through_aliases() {
    check(
        "list: &l [[$port, [{a#file: nope, a#env: PORT}]], $whole]\nagain: {b: *l}\nmore: [{<<: &m {c: $nope}, c#fallback: [$port]}]\n",
        expect![[
            r#"{"again":{"b":[[1,[{"a":8187}]],{"level":"info","n#env":"PORT"}]},"list":[[1,[{"a":8187}]],{"level":"info","n#env":"PORT"}],"more":[{"c":[1]}]}"#
        ]],
    );
}

#[test]
fn items_that_are_undefined_are_told_apart() {
    check(
        "list: [$port, $prot, [{a: 1, b: [$spare, $nothing_alike]}]]\n",
        expect![[r#"
        main.yaml:2:15: list[1]: undefined variable `$prot`; did you mean `$port`?
        main.yaml:2:42: list[2][0].b[1]: undefined variable `$nothing_alike`; it is not in `vars.yaml`"#]],
    );
}

#[test]
fn an_override_replaces_keys_and_not_the_order_of_lookup() {
    let world = FakeSurroundings::default()
        .with_env("NAME", "from env")
        .with_file("vars.yaml", "a: 1\nb#env: NAME\nc#env: NOT_SET\nc#fallback: 3\nd: [1, 2]\n")
        .with_file("over.yaml", "a#env: NAME\nb: 2\nc#fallback: 4\nd: [$a]\n");
    let options = VarsOptions { config_vars: None, config_vars_override: Some("over.yaml".to_owned()) };
    let main = Source::new("main.yaml", "config_vars: vars.yaml\nlist: [$a, $b, {c: $c}, $d]\n");
    let root = load(&main, &options, &world).unwrap();
    expect![[r#"{"list":[1,2,{"c":4},["$a"]]}"#]].assert_eq(&super::json(&root).to_string());
}

#[test]
fn what_is_wrong_in_either_file_of_variables_has_its_place() {
    let world = FakeSurroundings::default()
        .with_file("vars.yaml", "a: 1\nb: {c: 1, c: 2}\n")
        .with_file("over.yaml", "a: 1\na: !x 2\n");
    let options = VarsOptions { config_vars: None, config_vars_override: Some("over.yaml".to_owned()) };
    let main = Source::new("main.yaml", "config_vars: vars.yaml\nx: $a\n");
    let problems = load(&main, &options, &world).unwrap_err();
    expect![[r#"
        over.yaml:2:1: duplicate key `a`; it is already given at over.yaml:1:1
        over.yaml:2:4: a: tags (`!name`) mean nothing here; quote a text that starts with `!`
        vars.yaml:2:11: b: duplicate key `c`; it is already given at vars.yaml:2:5"#]]
    .assert_eq(&problems.to_string());
}
