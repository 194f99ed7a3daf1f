//! The routes of one listener: a table that requests read without locks and registrations replace.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter};
use http::Method;
use tower::ServiceExt;

use crate::Methods;
use crate::pipeline::Pipeline;

/// Where a handler answers, and how.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) component: String,
    /// As axum's router reads them.
    pub(crate) patterns: Vec<String>,
    pub(crate) methods: Methods,
    pub(crate) pipeline: Arc<Pipeline>,
}

/// Keeps a route registered; dropping it takes the route away.
#[must_use = "the route is taken away when this is dropped"]
pub(crate) struct RouteGuard {
    table: Weak<RouteTable>,
    id: u64,
}

/// Why a route cannot be registered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum RouteError {
    /// Both would answer the same requests.
    #[error(
        "`{method} {pattern}` is answered by `{other}` already; give one of the two another `path` or `method`"
    )]
    Taken { method: Method, pattern: String, other: String },
    /// The router could not tell which of the two is meant.
    #[error(
        "path `{pattern}` cannot be told from `{other_pattern}` of `{other}`; give one of the two another `path`"
    )]
    Ambiguous { pattern: String, other_pattern: String, other: String },
}

pub(crate) struct RouteTable {
    router: ArcSwap<Router>,
    routes: Mutex<Routes>,
    not_found: Arc<Pipeline>,
    method_not_allowed: Arc<Pipeline>,
}

#[derive(Default)]
struct Routes {
    next_id: u64,
    by_id: BTreeMap<u64, Route>,
}

impl RouteTable {
    pub(crate) fn new(not_found: Arc<Pipeline>, method_not_allowed: Arc<Pipeline>) -> Arc<Self> {
        let table =
            Self { router: ArcSwap::default(), routes: Mutex::default(), not_found, method_not_allowed };
        table.rebuild(&table.lock());
        Arc::new(table)
    }

    /// Answers one request by the routes of this moment.
    pub(crate) async fn answer(&self, request: Request) -> Result<Response, Infallible> {
        let router = Router::clone(&self.router.load());
        router.oneshot(request).await
    }

    pub(crate) fn register(self: &Arc<Self>, route: Route) -> Result<RouteGuard, RouteError> {
        let mut routes = self.lock();
        check(&routes, &route)?;
        let id = routes.next_id;
        routes.next_id += 1;
        routes.by_id.insert(id, route);
        self.rebuild(&routes);
        Ok(RouteGuard { table: Arc::downgrade(self), id })
    }

    fn rebuild(&self, routes: &Routes) {
        let mut by_pattern = BTreeMap::<&str, MethodRouter>::new();
        for route in routes.by_id.values() {
            for pattern in &route.patterns {
                let mut methods = by_pattern.remove(pattern.as_str()).unwrap_or_default();
                for method in route.methods.iter() {
                    let filter = MethodFilter::try_from(method.clone())
                        .expect("`Methods` holds only methods that axum knows");
                    methods = methods.on(filter, through(&route.pipeline));
                }
                by_pattern.insert(pattern, methods);
            }
        }
        let mut router = Router::new();
        for (pattern, methods) in by_pattern {
            router = router.route(pattern, methods);
        }
        let router = router
            .method_not_allowed_fallback(through(&self.method_not_allowed))
            .fallback(through(&self.not_found))
            // Bodies have the bound of their handler; axum's own would be a second, hidden one.
            .layer(DefaultBodyLimit::disable());
        self.router.store(Arc::new(router));
    }

    fn lock(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RouteGuard {
    fn drop(&mut self) {
        let Some(table) = self.table.upgrade() else { return };
        let mut routes = table.lock();
        routes.by_id.remove(&self.id);
        table.rebuild(&routes);
    }
}

impl fmt::Debug for RouteGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteGuard").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Finds what axum would panic about.
fn check(routes: &Routes, new: &Route) -> Result<(), RouteError> {
    let mut patterns = matchit::Router::new();
    for route in routes.by_id.values() {
        for pattern in &route.patterns {
            if new.patterns.contains(pattern) {
                let taken =
                    new.methods.iter().find(|method| route.methods.iter().any(|known| known == *method));
                if let Some(method) = taken {
                    let (method, pattern) = (method.clone(), pattern.clone());
                    return Err(RouteError::Taken { method, pattern, other: route.component.clone() });
                }
            }
            // An error says that another component shares the pattern, which is checked above.
            let _shared = patterns.insert(pattern.as_str(), ());
        }
    }
    let fresh = new.patterns.iter().filter(|pattern| !routes.has(pattern));
    for pattern in fresh {
        if let Err(matchit::InsertError::Conflict { with }) = patterns.insert(pattern.as_str(), ()) {
            let other = routes.by_id.values().find(|route| route.patterns.contains(&with));
            let other = other.map_or_else(|| new.component.clone(), |route| route.component.clone());
            return Err(RouteError::Ambiguous { pattern: pattern.clone(), other_pattern: with, other });
        }
    }
    Ok(())
}

impl Routes {
    fn has(&self, pattern: &str) -> bool {
        self.by_id.values().any(|route| route.patterns.iter().any(|known| known == pattern))
    }
}

fn through(
    pipeline: &Arc<Pipeline>,
) -> impl Fn(Request) -> futures_util::future::BoxFuture<'static, Response> + Clone + Send + Sync + 'static {
    let pipeline = Arc::clone(pipeline);
    move |request| Arc::clone(&pipeline).handle(request)
}
