//! Who looks for whom: before anything loads, and in the running service.

use mainspring_config::Violation;
use mainspring_core::{
    Component, ComponentContext, ComponentList, Dependencies, LoadError, NoConfig, ServiceOutline,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::TestService;

struct Leader;

impl Component for Leader {
    const DEFAULT_NAME: &'static str = "leader";
    type Config = NoConfig;

    fn dependencies(_: &NoConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(_: NoConfig, _: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self)
    }
}

/// Looks for more than it says.
struct Secretive;

impl Component for Secretive {
    const DEFAULT_NAME: &'static str = "secretive";
    type Config = NoConfig;

    fn dependencies(_: &NoConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(_: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        cx.find_default::<Leader>().await.map(|_| Self)
    }
}

/// Says nothing in code of what its section refers to.
struct Follower;

#[derive(Deserialize, JsonSchema)]
struct FollowerConfig {
    leader: String,
}

impl Component for Follower {
    const DEFAULT_NAME: &'static str = "follower";
    type Config = FollowerConfig;

    fn validate(config: &FollowerConfig, service: &ServiceOutline) -> Vec<Violation> {
        service.check_component("leader", &config.leader).into_iter().collect()
    }

    async fn load(config: FollowerConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        cx.find::<Leader>(&config.leader).await.map(|_| Self)
    }
}

#[test]
fn graph_shows_what_is_declared_and_referred_to_and_says_where_there_may_be_more() {
    let list = ComponentList::minimal().append_default::<Leader>().append_default::<Follower>();
    let service =
        TestService::new(list).with_component("leader", "{}").with_component("follower", "leader: leader");
    let graph = service.check().unwrap().component_graph();
    expect_test::expect![[r#"
        digraph components {
            rankdir=LR;
            node [shape=box];
            // may look for more than shown: `follower`
            "follower" [style=dashed];
            "leader";
            "logging";
            "follower" -> "leader";
        }"#]]
    .assert_eq(&graph.dot());
    expect_test::expect![[r#"
        flowchart LR
            %% may look for more than shown: `follower`
            c0["follower"]:::incomplete
            c1["leader"]
            c2["logging"]
            c0 --> c1
            classDef incomplete stroke-dasharray: 5 5"#]]
    .assert_eq(&graph.mermaid());
}

#[test]
fn lookup_that_was_not_declared_is_warned_about() {
    let list = ComponentList::minimal().append_default::<Leader>().append_default::<Secretive>();
    let service =
        TestService::new(list).with_component("leader", "{}").with_component("secretive", "{}").start();
    let found = service.handle().component_graph();
    assert_eq!(found.edges().collect::<Vec<_>>(), [("secretive", "leader")]);
    let log = service.log();
    let warning = "Component looks for one that its `dependencies` leave out";
    assert!(log.iter().any(|line| line == warning), "{log:#?}");
}
