//! The object-safe twins of [`Component`], so that users implement a plain trait.

use std::any::{Any, TypeId, type_name};
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use mainspring_config::{Problems, Section, Violation};

use crate::dynamic::AnyVariable;
use crate::{Component, ComponentContext, ConfigMode, Dependencies, Health, LoadError, ServiceOutline};

/// A component type that can be registered.
pub(crate) trait ComponentType: Send + Sync {
    fn type_id(&self) -> TypeId;
    fn type_name(&self) -> &'static str;
    fn config_mode(&self) -> ConfigMode;
    fn config_schema(&self) -> serde_json::Value;
    fn dynamic_variables(&self) -> Vec<&'static dyn AnyVariable>;
    fn built_with(&self) -> Option<String>;
    /// Reads and validates a section; the result waits for its time to load.
    fn prepare(&self, section: &Section, outline: &ServiceOutline) -> Result<Prepared, Problems>;
}

/// A checked configuration, ready to become a component.
pub(crate) type Prepared = Box<dyn Ready>;

/// See [`Prepared`].
pub(crate) trait Ready: Send {
    fn load(self: Box<Self>, cx: ComponentContext) -> BoxFuture<'static, Result<Arc<dyn Loaded>, LoadError>>;
    /// What it will look for, and what its section refers to.
    fn dependencies(&self) -> Dependencies;
    fn section(&self) -> &Section;
    fn checks_connection(&self) -> bool;
    fn check_connection(
        self: Box<Self>,
        cx: ComponentContext,
    ) -> BoxFuture<'static, Result<Vec<Violation>, LoadError>>;
}

/// A loaded component.
pub(crate) trait Loaded: Send + Sync {
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    fn on_all_components_loaded(&self) -> BoxFuture<'_, Result<(), LoadError>>;
    fn on_all_components_are_stopping(&self) -> BoxFuture<'_, ()>;
    fn stop(&self) -> BoxFuture<'_, ()>;
    fn stops_last(&self) -> bool;
    fn health(&self) -> Health;
}

pub(crate) struct TypeOf<C>(PhantomData<fn() -> C>);

impl<C> TypeOf<C> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<C: Component> ComponentType for TypeOf<C> {
    fn type_id(&self) -> TypeId {
        TypeId::of::<C>()
    }

    fn type_name(&self) -> &'static str {
        type_name::<C>()
    }

    fn config_mode(&self) -> ConfigMode {
        C::CONFIG_MODE
    }

    fn config_schema(&self) -> serde_json::Value {
        mainspring_config::schema_of::<C::Config>()
    }

    fn dynamic_variables(&self) -> Vec<&'static dyn AnyVariable> {
        C::dynamic_variables()
    }

    fn built_with(&self) -> Option<String> {
        C::built_with()
    }

    fn prepare(&self, section: &Section, outline: &ServiceOutline) -> Result<Prepared, Problems> {
        let config: C::Config = section.read_with(|config| C::validate(config, outline))?;
        let referred_to = outline.found();
        let mut dependencies = C::dependencies(&config, outline);
        if !dependencies.is_complete {
            dependencies.names.extend(referred_to);
        }
        Ok(Box::new(ReadyOf::<C> { config, section: section.clone(), dependencies }))
    }
}

struct ReadyOf<C: Component> {
    config: C::Config,
    section: Section,
    dependencies: Dependencies,
}

impl<C: Component> Ready for ReadyOf<C> {
    fn load(self: Box<Self>, cx: ComponentContext) -> BoxFuture<'static, Result<Arc<dyn Loaded>, LoadError>> {
        Box::pin(async move {
            let component = C::load(self.config, &cx).await?;
            Ok(Arc::new(component) as Arc<dyn Loaded>)
        })
    }

    fn dependencies(&self) -> Dependencies {
        self.dependencies.clone()
    }

    fn section(&self) -> &Section {
        &self.section
    }

    fn checks_connection(&self) -> bool {
        C::CHECKS_CONNECTION
    }

    fn check_connection(
        self: Box<Self>,
        cx: ComponentContext,
    ) -> BoxFuture<'static, Result<Vec<Violation>, LoadError>> {
        Box::pin(async move { C::check_connection(self.config, &cx).await })
    }
}

impl<C: Component> Loaded for C {
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    fn on_all_components_loaded(&self) -> BoxFuture<'_, Result<(), LoadError>> {
        Box::pin(Component::on_all_components_loaded(self))
    }

    fn on_all_components_are_stopping(&self) -> BoxFuture<'_, ()> {
        Box::pin(Component::on_all_components_are_stopping(self))
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(Component::stop(self))
    }

    fn stops_last(&self) -> bool {
        Component::stops_last(self)
    }

    fn health(&self) -> Health {
        Component::health(self)
    }
}
