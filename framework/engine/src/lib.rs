//! Task processors: named runtimes with supervised, counted and joined tasks.
