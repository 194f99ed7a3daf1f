//! How much work has been done, counted for the tests that hold it to a bound; in any other build nothing is counted.
//!
//! A count says the same on every machine, however busy it is, which a time does not.

#[cfg(test)]
std::thread_local! {
    static DONE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Notes that something was done `n` times: values looked at, bytes of a path copied, names compared.
#[cfg(test)]
pub(crate) fn add(n: usize) {
    DONE.set(DONE.get() + n);
}

/// Nothing.
#[cfg(not(test))]
pub(crate) const fn add(_: usize) {}

/// How much `work` does on this thread.
#[cfg(test)]
pub(crate) fn of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = DONE.get();
    let result = work();
    (result, DONE.get() - before)
}
