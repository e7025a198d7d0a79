//! Work on independent items, shared out among threads. Each has a rayon pool of one thread for itself, so that products inside
//! an item do not wait for those of another (measured on two cores: a VQGAN step of four pictures took 1.7 s with one pool for
//! all).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::error::TrainError;

/// What `work` makes of each item, in the order of the items. Each worker calls `begin` once and gives its result to every item.
/// Nothing may depend on which worker an item falls to, so that their number changes no result.
///
/// # Errors
/// The first that `work` reports, or a thread that cannot be started.
pub fn share_out<I: Sync, W, R: Send>(
    workers: usize,
    items: &[I],
    begin: &(impl Fn() -> W + Sync),
    work: &(impl Fn(&W, &I) -> Result<R, TrainError> + Sync),
) -> Result<Vec<R>, TrainError> {
    let workers = workers.clamp(1, items.len().max(1));
    let next = AtomicUsize::new(0);
    let run = &|| -> Result<Vec<(usize, R)>, TrainError> {
        let own = begin();
        let mut made = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(i) else {
                return Ok(made);
            };
            made.push((i, work(&own, item)?));
        }
    };
    if workers == 1 {
        return Ok(run()?.into_iter().map(|(_, made)| made).collect()); // products may use every core
    }
    let pool = |worker| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1);
        let named = pool.thread_name(move |_| format!("training {worker}"));
        named.build().map_err(|error| TrainError::NoThread {
            why: error.to_string(),
        })
    };
    let pools: Vec<rayon::ThreadPool> = (0..workers).map(pool).collect::<Result<_, _>>()?;
    let results: Vec<Result<Vec<(usize, R)>, TrainError>> = thread::scope(|scope| {
        let threads: Vec<_> = pools
            .iter()
            .map(|pool| scope.spawn(move || pool.install(run)))
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect()
    });
    let mut made = Vec::with_capacity(items.len());
    for result in results {
        made.extend(result?);
    }
    made.sort_by_key(|(i, _)| *i);
    Ok(made.into_iter().map(|(_, made)| made).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items_however_many_workers_there_are() {
        let items = [1, 2, 3, 4, 5];
        for workers in [0, 1, 2, 3, 9] {
            let squares = share_out(workers, &items, &|| 10, &|own, item| Ok(own * item)).unwrap();
            assert_eq!(squares, [10, 20, 30, 40, 50], "{workers} workers");
        }
        let failed = share_out(2, &items, &|| (), &|(), item| match item {
            4 => Err(TrainError::NotANumber { step: 4 }),
            _ => Ok(()),
        });
        assert!(matches!(failed, Err(TrainError::NotANumber { step: 4 })));
    }
}
