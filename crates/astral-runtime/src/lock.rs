//! The one policy for poisoned locks.
//!
//! A lock is poisoned when a thread panics while it holds it. Astral carries on with the value as
//! it is. No critical section awaits or calls foreign code, so a panic inside one is a bug that
//! has been logged already. Panicking again in every task that shares the lock would turn one
//! broken request into a dead process.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Locks `mutex`, poisoned or not.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks `rw_lock` for reading, poisoned or not.
pub fn read_lock<T: ?Sized>(rw_lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    rw_lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks `rw_lock` for writing, poisoned or not.
pub fn write_lock<T: ?Sized>(rw_lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    rw_lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_poisoned_lock_is_used_with_the_value_that_it_has() {
        let mutex = Mutex::new(1);
        let rw_lock = RwLock::new(1);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            *lock(&mutex) += 1;
            let _held = lock(&mutex);
            let mut written = write_lock(&rw_lock);
            *written += 1;
            panic!("while both locks are held");
        }));
        assert!(panicked.is_err());
        assert!(mutex.is_poisoned() && rw_lock.is_poisoned());
        assert_eq!(*lock(&mutex), 2);
        assert_eq!(*read_lock(&rw_lock), 2);
        *write_lock(&rw_lock) += 1;
        assert_eq!(*read_lock(&rw_lock), 3);
    }
}
