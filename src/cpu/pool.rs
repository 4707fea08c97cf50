//! The one thread pool of the CPU kernels.
//!
//! [`run`] hands out the numbers `0..pieces`; whoever is awake takes the next one, the caller included. A
//! thread that the system has taken off its core delays nothing but the piece it holds: the others take what
//! is left. Idle threads spin for a few microseconds, as long as decode leaves them alone between two
//! products, and then park.
//!
//! A call from inside a piece, or while another caller's work is under way, runs all its pieces itself.

#![expect(unsafe_code, reason = "threads that outlive a call borrow its closure")]

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, TryLockError};
use std::thread::Thread;

/// Turns of an idle thread before it parks: some tens of microseconds. Few under Miri, where turns are slow.
const SPINS: u32 = if cfg!(miri) { 10 } else { 4_000 };

/// Turns of a caller that waits for the last piece, before it parks too.
const CALLER_SPINS: u32 = if cfg!(miri) { 10 } else { 20_000 };

/// What is handed out, as a thin pointer to a fat one that lies in the caller's frame.
type Work<'a> = &'a (dyn Fn(usize) + Sync);

struct Pool {
    /// Generation (24 bits), pieces (20), next piece (20): one word, so that a piece is taken only from the work
    /// that was looked at.
    ticket: AtomicU64,
    work: AtomicPtr<()>,
    done: AtomicUsize,
    /// Held by the caller whose work is under way.
    caller: Mutex<()>,
    /// Whether that caller has parked, and its thread.
    waits: AtomicBool,
    sleeper: Mutex<Option<Thread>>,
    workers: Vec<Worker>,
}

struct Worker {
    parked: AtomicBool,
    thread: OnceLock<Thread>,
}

const FIELD: u64 = 20;
const MASK: u64 = (1 << FIELD) - 1;

/// Most pieces of one call.
const MAX_PIECES: usize = MASK as usize;

static THREADS: AtomicUsize = AtomicUsize::new(0);
static POOL: OnceLock<Pool> = OnceLock::new();

thread_local! {
    /// Whether this thread is inside a piece.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Settles the number of threads. Only the first call before the first [`run`] counts; returns what holds.
pub fn set_threads(count: usize) -> usize {
    let _ = THREADS.compare_exchange(0, count.max(1), Ordering::Relaxed, Ordering::Relaxed);
    threads()
}

/// Threads that share the work, the caller included.
pub fn threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => set_threads(std::thread::available_parallelism().map_or(1, usize::from)),
        count => count,
    }
}

/// Calls `work` once with each of `0..pieces`, on all threads, and returns when all calls have.
///
/// A panic in a piece ends the process: other threads may still use what it would unwind.
pub fn run(pieces: usize, work: impl Fn(usize) + Sync) {
    let alone = pieces <= 1 || threads() == 1 || INSIDE.get();
    if alone || pieces > MAX_PIECES {
        return (0..pieces).for_each(work);
    }
    pool().call(pieces, &work);
}

/// Parts `0..length` into runs of `step`, and calls `work` with each run.
pub fn run_ranges(length: usize, step: usize, work: impl Fn(std::ops::Range<usize>) + Sync) {
    let step = step.max(1);
    run(length.div_ceil(step), |piece| work(piece * step..length.min((piece + 1) * step)));
}

/// Parts `0..length` into runs that grow shorter towards the end, none of them below `least` but the last, and calls
/// `work` with each: threads that begin together end together, though the first runs are long.
pub fn run_tapered(length: usize, least: usize, work: impl Fn(std::ops::Range<usize>) + Sync) {
    let bounds = tapered(length, least.max(1), threads());
    run(bounds.len() - 1, |piece| work(bounds[piece]..bounds[piece + 1]));
}

/// Where the runs begin, and where the last one ends: each takes half of what is left for its thread.
fn tapered(length: usize, least: usize, threads: usize) -> Vec<usize> {
    let (mut bounds, mut begin) = (vec![0], 0);
    while begin < length {
        begin = length.min(begin + least.max((length - begin) / (2 * threads)));
        bounds.push(begin);
    }
    bounds
}

fn pool() -> &'static Pool {
    let mut first = false;
    let pool = POOL.get_or_init(|| {
        first = true;
        Pool::of(threads())
    });
    if first {
        pool.start();
    }
    pool
}

impl Pool {
    /// For so many threads, the caller included; the others are yet to be started.
    fn of(threads: usize) -> Self {
        let worker = || Worker { parked: AtomicBool::new(false), thread: OnceLock::new() };
        Self {
            ticket: AtomicU64::new(0),
            work: AtomicPtr::new(std::ptr::null_mut()),
            done: AtomicUsize::new(0),
            caller: Mutex::new(()),
            waits: AtomicBool::new(false),
            sleeper: Mutex::new(None),
            workers: (1..threads).map(|_| worker()).collect(),
        }
    }

    fn start(&'static self) {
        for (index, worker) in self.workers.iter().enumerate() {
            let builder = std::thread::Builder::new().name(format!("cpu-{}", index + 1));
            // Where no thread can be had, the caller does all: slower, and right.
            if let Ok(handle) = builder.spawn(move || self.serve(index)) {
                let _ = worker.thread.set(handle.thread().clone());
            }
        }
    }

    /// Shares the work, unless that of another caller is under way.
    fn call(&self, pieces: usize, work: Work<'_>) {
        match self.caller.try_lock() {
            Err(TryLockError::WouldBlock) => (0..pieces).for_each(work),
            Ok(_held) => self.share(pieces, work),
            Err(TryLockError::Poisoned(_held)) => self.share(pieces, work),
        }
    }

    fn share(&self, pieces: usize, work: Work<'_>) {
        self.done.store(0, Ordering::Relaxed);
        self.work.store((&raw const work).cast_mut().cast(), Ordering::Relaxed);
        let generation = (self.ticket.load(Ordering::Relaxed) >> (2 * FIELD)).wrapping_add(1);
        self.ticket.store((generation << (2 * FIELD)) | ((pieces as u64) << FIELD), Ordering::SeqCst);
        for worker in self.workers.iter().take(pieces - 1) {
            // A worker whose thread is not known yet stays marked, and is woken by a later call.
            if let Some(thread) = worker.thread.get()
                && worker.parked.swap(false, Ordering::SeqCst)
            {
                thread.unpark();
            }
        }
        while self.take_one() {}
        self.wait_for(pieces);
    }

    /// Until the last piece, which another thread may hold, is done.
    fn wait_for(&self, pieces: usize) {
        let mut spins = 0;
        while self.done.load(Ordering::Acquire) != pieces {
            spins += 1;
            if spins < CALLER_SPINS {
                std::hint::spin_loop();
                continue;
            }
            self.sleep_unless_done(pieces);
        }
    }

    fn sleep_unless_done(&self, pieces: usize) {
        *lock(&self.sleeper) = Some(std::thread::current());
        self.waits.store(true, Ordering::SeqCst);
        while self.done.load(Ordering::SeqCst) != pieces {
            std::thread::park();
        }
        self.waits.store(false, Ordering::SeqCst);
    }

    /// Takes the next piece of the work under way and does it; false if there is none.
    fn take_one(&self) -> bool {
        let mut ticket = self.ticket.load(Ordering::Acquire);
        loop {
            let (pieces, next) = ((ticket >> FIELD) & MASK, ticket & MASK);
            if next >= pieces {
                return false;
            }
            let work: *const Work<'static> = self.work.load(Ordering::Relaxed).cast_const().cast();
            match self.ticket.compare_exchange_weak(ticket, ticket + 1, Ordering::AcqRel, Ordering::Acquire) {
                Err(newer) => ticket = newer,
                Ok(_) => {
                    // SAFETY: the exchange shows that this work had a piece left after its pointer was read, so
                    // its caller is still in `share`, and stays until this piece is counted in `done`.
                    let work = unsafe { *work };
                    Self::do_piece(work, next as usize);
                    let done = self.done.fetch_add(1, Ordering::SeqCst) + 1;
                    if done as u64 == pieces {
                        self.wake_caller();
                    }
                    return true;
                }
            }
        }
    }

    /// The thread stays noted: whoever was held up on the way here may wake the caller of later work, and that
    /// caller, who then sleeps on, must still be found by the last piece of its own.
    fn wake_caller(&self) {
        if self.waits.load(Ordering::SeqCst)
            && let Some(caller) = &*lock(&self.sleeper)
        {
            caller.unpark();
        }
    }

    fn do_piece(work: Work<'_>, piece: usize) {
        let guard = AbortOnPanic;
        INSIDE.set(true);
        work(piece);
        INSIDE.set(false);
        std::mem::forget(guard);
    }

    fn serve(&self, index: usize) {
        let me = &self.workers[index];
        loop {
            let mut spins = 0;
            while !self.take_one() {
                spins += 1;
                if spins < SPINS {
                    std::hint::spin_loop();
                    continue;
                }
                me.parked.store(true, Ordering::SeqCst);
                let ticket = self.ticket.load(Ordering::SeqCst);
                if ticket & MASK < (ticket >> FIELD) & MASK {
                    me.parked.store(false, Ordering::Relaxed);
                } else {
                    std::thread::park();
                }
                spins = 0;
            }
        }
    }
}

fn lock(sleeper: &Mutex<Option<Thread>>) -> std::sync::MutexGuard<'_, Option<Thread>> {
    sleeper.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Ends the process when it is dropped, which only a panic does.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// A slice that several threads write to, each its own part.
#[derive(Clone, Copy)]
pub struct Shared<T> {
    start: *mut T,
    length: usize,
}

// SAFETY: it gives out parts only through an unsafe function, whose callers vouch that they do not overlap.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Lends `slice`; the borrow ends with the value's last use, which the caller of [`Self::part`] sees to.
    pub fn new(slice: &mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len() }
    }

    /// The numbers `range` of the slice.
    ///
    /// # Safety
    /// The slice is still borrowed by whoever made this value, and no part given out overlaps another in use.
    ///
    /// # Panics
    /// If the range lies outside the slice.
    #[expect(clippy::mut_from_ref, reason = "parts do not overlap, by the contract")]
    pub unsafe fn part(&self, range: std::ops::Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "a part outside its slice");
        // SAFETY: inside the slice, and not overlapping by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

/// Parts `slice` into chunks of `step`, the last one shorter, and calls `work` with each and its number.
pub fn run_chunks<T: Send>(slice: &mut [T], step: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    let shared = Shared::new(slice);
    run_ranges(shared.length, step, |range| {
        let chunk = range.start / step.max(1);
        // SAFETY: runs of one length do not overlap, and `slice` is borrowed until `run_ranges` returns.
        work(chunk, unsafe { shared.part(range) });
    });
}

#[cfg(test)]
mod tests;
