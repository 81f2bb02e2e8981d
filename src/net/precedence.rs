//! Which of our threads run first where the program was started with a real-time policy, as by `chrt -f 1`: those that
//! measure. All threads inherit it, and one of equal priority is not interrupted.

#![allow(unsafe_code, reason = "no library sets a thread's policy")]

use std::mem::zeroed;

/// Makes the calling thread an ordinary one (SCHED_OTHER), which those with a real-time policy interrupt (sched(7)).
pub(crate) fn give_up() {
    // SAFETY: the structure is plain numbers, and outlives the call; 0 is the calling thread.
    let refused = unsafe {
        let ordinary: libc::sched_param = zeroed();
        libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const ordinary)
    };
    // Nobody is refused less than he has.
    debug_assert_eq!(refused, 0);
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn policy() -> i32 {
        // SAFETY: no memory is passed.
        unsafe { libc::sched_getscheduler(0) }
    }

    #[test]
    fn a_thread_gives_up_what_precedence_it_has_and_others_keep_theirs() {
        thread::spawn(|| {
            // SAFETY: as above.
            let allowed = unsafe {
                let first = libc::sched_param { sched_priority: 1 };
                libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const first) == 0
            };
            let before = policy();
            assert_eq!(before, if allowed { libc::SCHED_FIFO } else { libc::SCHED_OTHER });
            let other = thread::spawn(policy).join().expect("it does not panic");
            give_up();
            assert_eq!((policy(), other), (libc::SCHED_OTHER, before), "threads inherit it");
        })
        .join()
        .expect("it does not panic");
    }
}
