//! An allocator that counts, for tests of what our code allocates. What librdkafka allocates goes past it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, with a count of how often memory was asked for.
///
/// # Examples
/// ```
/// use mainspring_kafka_ffi::CountingAllocator;
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator::new();
///
/// let before = ALLOCATOR.count();
/// drop(Vec::<u8>::with_capacity(10));
/// assert_eq!(ALLOCATOR.count() - before, 1);
/// ```
#[derive(Debug, Default)]
pub struct CountingAllocator(AtomicU64);

impl CountingAllocator {
    /// To be made the global allocator of a test.
    #[must_use]
    pub const fn new() -> CountingAllocator {
        CountingAllocator(AtomicU64::new(0))
    }

    /// Allocations and reallocations of all threads so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is left to the system's allocator, whose promises these are; counting touches no memory of theirs.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.note();
        // SAFETY: the caller upholds the same for this call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.note();
        // SAFETY: the caller upholds the same for this call.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.note();
        // SAFETY: the caller upholds the same for this call, and the memory came from the same allocator.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the same for this call, and the memory came from the same allocator.
        unsafe { System.dealloc(place, layout) }
    }
}
