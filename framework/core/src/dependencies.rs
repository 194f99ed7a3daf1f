//! Who will look for whom, as far as that is known before anything loads.

use std::collections::BTreeSet;

use crate::component::quoted_list;

/// The components that a component will look for, as far as it says so; see
/// [`Component::dependencies`](crate::Component::dependencies).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dependencies {
    pub(crate) names: BTreeSet<String>,
    pub(crate) is_complete: bool,
}

impl Dependencies {
    /// Whatever its `load` asks for, which nobody knows before.
    #[must_use]
    pub fn unknown() -> Self {
        Self::default()
    }

    /// These and no others.
    pub fn of<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), is_complete: true }
    }

    /// No component at all.
    #[must_use]
    pub fn none() -> Self {
        Self::of::<String>([])
    }

    /// And this one.
    #[must_use]
    pub fn and(mut self, name: impl Into<String>) -> Self {
        self.names.insert(name.into());
        self
    }
}

/// The components of a service and who will look for whom.
///
/// Its edges are what components declare and what their sections refer to. A component that does not declare what it
/// looks for is marked: there may be more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentGraph {
    pub(crate) components: Vec<(String, Dependencies)>,
}

impl ComponentGraph {
    /// Each edge: who looks, and for whom.
    pub fn edges(&self) -> impl Iterator<Item = (&str, &str)> {
        self.components.iter().flat_map(|(name, dependencies)| {
            dependencies.names.iter().map(move |dependency| (name.as_str(), dependency.as_str()))
        })
    }

    /// The components that may look for others than those known.
    pub fn incomplete(&self) -> impl Iterator<Item = &str> {
        let open = self.components.iter().filter(|(_, dependencies)| !dependencies.is_complete);
        open.map(|(name, _)| name.as_str())
    }

    /// As a text for Graphviz; what is incomplete has a dashed outline.
    #[must_use]
    pub fn dot(&self) -> String {
        let nodes = self.components.iter().map(|(name, dependencies)| {
            let style = if dependencies.is_complete { "" } else { " [style=dashed]" };
            format!("    {name:?}{style};\n")
        });
        let edges = self.edges().map(|(from, to)| format!("    {from:?} -> {to:?};\n"));
        let lines: String = nodes.chain(edges).collect();
        format!(
            "digraph components {{\n    rankdir=LR;\n    node [shape=box];\n{}{lines}}}",
            self.note("    // ")
        )
    }

    /// As a text for Mermaid; what is incomplete has a dashed outline.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let id = |name: &str| self.components.iter().position(|(known, _)| known == name);
        let nodes = self.components.iter().enumerate().map(|(idx, (name, dependencies))| {
            let class = if dependencies.is_complete { "" } else { ":::incomplete" };
            format!("    c{idx}[\"{name}\"]{class}\n")
        });
        let edges =
            self.edges().filter_map(|(from, to)| Some(format!("    c{} --> c{}\n", id(from)?, id(to)?)));
        let lines: String = nodes.chain(edges).collect();
        let class = "    classDef incomplete stroke-dasharray: 5 5";
        format!("flowchart LR\n{}{lines}{class}", self.note("    %% "))
    }

    /// A comment that says what is not known, unless everything is.
    fn note(&self, mark: &str) -> String {
        let incomplete: Vec<_> = self.incomplete().map(str::to_owned).collect();
        if incomplete.is_empty() {
            return String::new();
        }
        format!("{mark}may look for more than shown: {}\n", quoted_list(&incomplete))
    }
}
