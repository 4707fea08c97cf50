//! The common pool, and pools of three threads of their own: on one core, and while other tests keep the common
//! one busy, callers would do all by themselves.

use std::sync::Barrier;

use super::*;

/// How often a test tries to meet with bad luck. Miri is slow, and tries many ways by its seeds.
const ROUNDS: usize = if cfg!(miri) { 2 } else { 50 };

fn own() -> &'static Pool {
    let pool: &'static Pool = Box::leak(Box::new(Pool::of(3)));
    pool.start();
    pool
}

/// Every worker parks once it has turned often enough; waiting for that needs no clock.
fn all_parked(pool: &Pool) {
    while !pool.workers.iter().all(|worker| worker.parked.load(Ordering::SeqCst)) {
        std::thread::yield_now();
    }
}

fn is_worker() -> bool {
    std::thread::current().name().is_some_and(|name| name.starts_with("cpu-"))
}

#[test]
fn each_piece_is_done_once() {
    for pieces in [0, 1, 2, 3, 17, 20 * ROUNDS] {
        let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
        for _ in 0..ROUNDS {
            run(pieces, |piece| {
                counts[piece].fetch_add(1, Ordering::Relaxed);
            });
        }
        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == ROUNDS), "{pieces}");
    }
}

#[test]
fn callers_at_the_same_time_and_calls_from_inside_come_to_an_end() {
    let total = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..4 * ROUNDS {
                    run(5, |_| {
                        run(3, |_| {
                            total.fetch_add(1, Ordering::Relaxed);
                        });
                    });
                }
            });
        }
    });
    assert_eq!(total.load(Ordering::Relaxed), 16 * ROUNDS * 15);
}

#[test]
fn threads_that_have_parked_wake_again() {
    let done = AtomicUsize::new(0);
    run(8, |_| {
        done.fetch_add(1, Ordering::Relaxed);
    });
    // Every worker parks once it has turned often enough; waiting for that needs no clock.
    while !pool().workers.iter().all(|worker| worker.parked.load(Ordering::SeqCst)) {
        std::thread::yield_now();
        if threads() == 1 {
            return;
        }
    }
    run(8, |_| {
        done.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(done.load(Ordering::Relaxed), 16);
}

#[test]
fn chunks_are_parts_of_the_slice_in_order() {
    let mut numbers = vec![0usize; 103];
    run_chunks(&mut numbers, 10, |chunk, part| part.iter_mut().for_each(|n| *n = chunk));
    assert!(numbers.iter().enumerate().all(|(index, chunk)| *chunk == index / 10));
}

#[test]
fn all_threads_take_part_after_they_have_parked() {
    let pool = own();
    for _ in 0..ROUNDS {
        all_parked(pool);
        // Nobody comes out of it before three are in.
        let meeting = Barrier::new(3);
        pool.share(3, &|_| {
            meeting.wait();
        });
    }
}

#[test]
fn nothing_returns_before_the_last_piece_is_done() {
    let pool = own();
    let (meeting, first, done) = (Barrier::new(3), AtomicBool::new(true), AtomicUsize::new(0));
    pool.share(3, &|_| {
        meeting.wait();
        // One of the workers is done only when the caller has fallen asleep over it.
        if is_worker() && first.swap(false, Ordering::SeqCst) {
            while !pool.waits.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(done.load(Ordering::Relaxed), 3);
}

#[test]
fn a_caller_that_sleeps_is_woken_though_others_woke_it_too_early() {
    let pool = own();
    for _ in 0..ROUNDS {
        let meeting = Barrier::new(2);
        pool.share(2, &|_| {
            meeting.wait();
            if is_worker() {
                while !pool.waits.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                // As from a thread that was held up after the last piece of an earlier call.
                pool.wake_caller();
                assert!(lock(&pool.sleeper).is_some(), "nobody knows who is to be woken");
            }
        });
    }
}

#[test]
fn a_call_while_another_is_under_way_is_done_by_its_caller() {
    let pool = own();
    let (begun, over) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait();
            let me = std::thread::current().id();
            pool.call(5, &|_| assert_eq!(std::thread::current().id(), me));
            over.wait();
        });
        pool.call(2, &|piece| {
            if piece == 0 {
                begun.wait();
                over.wait();
            }
        });
    });
}

#[test]
fn no_call_looks_like_the_one_before() {
    let pool = own();
    let after_a_call = || {
        pool.share(3, &|_| {});
        pool.ticket.load(Ordering::SeqCst)
    };
    assert_ne!(after_a_call(), after_a_call());
}

#[test]
fn runs_that_taper_are_all_of_it_in_order_and_end_small() {
    for (length, least, threads) in [(0, 1, 2), (1, 4, 2), (256, 2, 2), (9496, 2, 2), (384, 3, 64), (7, 1, 1)]
    {
        let bounds = tapered(length, least, threads);
        assert_eq!((bounds[0], bounds[bounds.len() - 1]), (0, length));
        let runs: Vec<usize> = bounds.windows(2).map(|bounds| bounds[1] - bounds[0]).collect();
        assert!(runs.is_sorted_by(|longer, shorter| longer >= shorter), "{runs:?}");
        assert!(runs.iter().rev().skip(1).all(|run| *run >= least), "{runs:?}");
        assert!(runs.last().is_none_or(|last| *last <= least), "{runs:?}");
        // Little is left to do when the first thread finds nothing more.
        assert!(runs.first().is_none_or(|first| *first <= least.max(length / (2 * threads))), "{runs:?}");
    }
}
