//! Names that differ from one instance of a service to the next, by the name of its pod.

use mainspring_config::Surroundings;
use mainspring_core::LoadError;

/// The part of a name that stands for the name of the pod.
const POD_NAME: &str = "{pod_name}";

/// The name with the environment variable called `env_pod_name` in it, where it has room for one.
pub(crate) fn with_pod_name(
    name: &str,
    env_pod_name: Option<&str>,
    world: &dyn Surroundings,
) -> Result<String, LoadError> {
    let Some(variable) = env_pod_name.filter(|_| name.contains(POD_NAME)) else {
        return Ok(name.to_owned());
    };
    let unusable = |why: String| {
        LoadError::message(format!("environment variable `{variable}`, named by `env_pod_name`, {why}"))
    };
    let pod = world.env_var(variable).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    let pod = pod.ok_or_else(|| unusable("is not set".to_owned()))?;
    Ok(name.replacen(POD_NAME, &pod, 1))
}
