//! Threads that stay awake from one product to the next.
//!
//! A token is a chain of dozens of short products with little between them. Threads of a pool that find nothing to do fall asleep,
//! and to wake one is a system call that takes as long as a product. Threads of llama.cpp wait at a spinning barrier for that reason.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Threads that are busy elsewhere are not waited for longer.
const COMING: Duration = Duration::from_micros(200);

/// Does `work` on one of the pool's threads, while the others look for parts of it without falling asleep.
pub(super) fn awake<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let (done, begun) = (AtomicBool::new(false), AtomicBool::new(false));
    let here = AtomicUsize::new(0);
    let watch = || {
        // Once the work has begun, this may be a thread that waits for a part of it: it must not stay here until the end.
        if begun.load(Ordering::Acquire) {
            return;
        }
        let _ = here.fetch_add(1, Ordering::AcqRel);
        while !done.load(Ordering::Acquire) {
            if rayon::yield_now() != Some(rayon::Yield::Executed) {
                std::hint::spin_loop();
            }
        }
    };
    rayon::scope(|scope| {
        let others = rayon::current_num_threads().saturating_sub(1);
        for _ in 0..others {
            scope.spawn(|_| watch());
        }
        let called = Instant::now();
        while here.load(Ordering::Acquire) < others && called.elapsed() < COMING {
            std::hint::spin_loop();
        }
        begun.store(true, Ordering::Release);
        let _end = SetAtEnd(&done);
        work()
    })
}

/// Sets a flag when it goes, by a panic too.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    #[test]
    fn work_is_done_from_any_thread_and_within_itself() {
        let sum = || awake(|| (0..1000_u64).into_par_iter().sum::<u64>());
        assert_eq!(sum(), 499_500);
        let sums: Vec<u64> = (0..20).into_par_iter().map(|_| sum()).collect();
        assert_eq!(sums, vec![499_500; 20]);
        assert_eq!(awake(sum), 499_500);
    }

    #[test]
    fn a_panic_ends_the_waiting_too() {
        let result = std::panic::catch_unwind(|| awake(|| panic!("on purpose")));
        assert!(result.is_err());
        assert_eq!(awake(|| 7), 7);
    }
}
