//! Who depends on whom, and walking along it.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

/// Dependencies between components, which are known by their index.
///
/// Acyclic at all times: [`Graph::add`] refuses the edge that would close a cycle.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    dependencies: Vec<BTreeSet<usize>>,
}

/// The way a hook travels through the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// A component after all it depends on.
    DependenciesFirst,
    /// A component after all that depend on it.
    DependantsFirst,
}

impl Graph {
    pub(crate) fn new(components: usize) -> Self {
        Self { dependencies: vec![BTreeSet::new(); components] }
    }

    /// Records that `from` depends on `to`; the indices along the cycle when that would close one.
    pub(crate) fn add(&mut self, from: usize, to: usize) -> Result<(), Vec<usize>> {
        if let Some(path) = self.path(to, from) {
            return Err(std::iter::once(from).chain(path).collect());
        }
        self.dependencies[from].insert(to);
        Ok(())
    }

    /// The names of what `component` asked for, as indices.
    pub(crate) fn dependencies(&self, component: usize) -> impl Iterator<Item = usize> {
        self.dependencies[component].iter().copied()
    }

    fn path(&self, from: usize, to: usize) -> Option<Vec<usize>> {
        let mut came_from = vec![None; self.dependencies.len()];
        let mut stack = vec![from];
        came_from[from] = Some(from);
        while let Some(component) = stack.pop() {
            if component == to {
                let mut path = vec![to];
                let mut component = to;
                while component != from {
                    component = came_from[component].expect("every visited component was reached from one");
                    path.push(component);
                }
                path.reverse();
                return Some(path);
            }
            for next in self.dependencies(component) {
                if came_from[next].is_none() {
                    came_from[next] = Some(component);
                    stack.push(next);
                }
            }
        }
        None
    }

    /// Visits `components` at the same time, except that each waits for those before it in `direction`.
    pub(crate) async fn walk<F: Future>(
        &self,
        components: &[usize],
        direction: Direction,
        visit: impl Fn(usize) -> F,
    ) {
        let chosen: BTreeSet<usize> = components.iter().copied().collect();
        let mut after = vec![Vec::new(); self.dependencies.len()];
        let mut awaited = vec![0_usize; self.dependencies.len()];
        for &component in &chosen {
            for dependency in self.dependencies(component).filter(|dependency| chosen.contains(dependency)) {
                let (first, second) = match direction {
                    Direction::DependenciesFirst => (dependency, component),
                    Direction::DependantsFirst => (component, dependency),
                };
                after[first].push(second);
                awaited[second] += 1;
            }
        }
        let begin = |component: usize| {
            let visited = visit(component);
            async move {
                visited.await;
                component
            }
        };
        let mut running: FuturesUnordered<_> =
            chosen.iter().copied().filter(|component| awaited[*component] == 0).map(begin).collect();
        while let Some(component) = running.next().await {
            for &next in &after[component] {
                awaited[next] -= 1;
                if awaited[next] == 0 {
                    running.push(begin(next));
                }
            }
        }
    }
}
