//! Independent jobs on several threads, with results in the order of the jobs: which thread did
//! what never shows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Does the jobs `0..count` on up to `threads` threads (at least one) and gives their results in
/// order. After the first error no further job is begun; of several errors the one of the lowest
/// job is returned.
///
/// Memory: one result for each job, and what `threads` jobs need at once.
///
/// # Errors
/// Whatever a job returns.
pub fn in_order<T, E, F>(count: usize, threads: usize, job: F) -> Result<Vec<T>, E>
where
    T: Send,
    E: Send,
    F: Fn(usize) -> Result<T, E> + Sync,
{
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let done: Mutex<Vec<(usize, Result<T, E>)>> = Mutex::new(Vec::with_capacity(count));
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            let result = job(index);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            let mut done = done
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            done.push((index, result));
        }
    };
    if threads <= 1 || count <= 1 {
        work();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..threads.min(count) {
                scope.spawn(work);
            }
        });
    }
    let mut done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::in_order;

    #[test]
    fn results_are_in_order_whatever_the_threads() {
        let square = |index: usize| Ok::<_, ()>(index * index);
        let expected: Vec<usize> = (0..100).map(|index| index * index).collect();
        for threads in [0, 1, 2, 7, 200] {
            assert_eq!(in_order(100, threads, square).unwrap(), expected);
        }
        assert_eq!(in_order(0, 3, square).unwrap(), Vec::<usize>::new());
    }

    #[test]
    fn the_error_of_the_lowest_job_is_returned_and_no_job_begun_after_it() {
        let begun = std::sync::atomic::AtomicUsize::new(0);
        let job = |index: usize| {
            begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if index >= 3 { Err(index) } else { Ok(index) }
        };
        assert_eq!(in_order(1000, 1, job), Err(3));
        assert_eq!(begun.load(std::sync::atomic::Ordering::Relaxed), 4);
        assert!(in_order(1000, 4, job).is_err());
    }
}
