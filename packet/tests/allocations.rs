//! Nothing is allocated for a packet on the hot path, by Rust or by C.
//!
//! On Linux with glibc this binary defines `malloc` and its relatives: the linker prefers these
//! to libc's for everything that is linked in, which is Rust's allocator and AWS-LC. Each counts,
//! per thread, and calls glibc's. What libc itself allocated within one of its functions would
//! be missed; none that the hot path calls does. Elsewhere only Rust's allocator is counted.
//!
//! What a back end does once in a process (asking which processor it runs on) is done before
//! the counting.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a counting allocator, and tests"
)]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_packet::{
    Backend, Batch, Engine, Frame, Hop, Job, Packet, ReplayTag, SphinxSecret, UnwrapError,
    Unwrapped, build_forward,
};
use shoal_proto::{Epoch, NodeId, Span, SurbId};
use std::cell::Cell;
use std::collections::HashSet;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // No destructor and no lazy start: touching it allocates nothing.
    COUNT.with(|count| count.set(count.get() + 1));
}

/// How often this thread allocates or grows memory meanwhile.
fn allocations<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = COUNT.get();
    let result = work();
    (COUNT.get() - before, result)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod counted {
    use super::count;
    use std::ffi::{c_int, c_void};

    /// Of POSIX: an alignment that is none.
    const EINVAL: c_int = 22;
    /// Of POSIX: no memory is left.
    const ENOMEM: c_int = 12;

    unsafe extern "C" {
        fn __libc_malloc(size: usize) -> *mut c_void;
        fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
        fn __libc_realloc(old: *mut c_void, size: usize) -> *mut c_void;
        fn __libc_memalign(alignment: usize, size: usize) -> *mut c_void;
    }

    // SAFETY, for all of these: they have the signatures and keep the promises of what they
    // stand for, since they pass everything on to glibc's own, whose `free` takes it back.

    #[unsafe(no_mangle)]
    unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
        count();
        unsafe { __libc_malloc(size) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn calloc(items: usize, size: usize) -> *mut c_void {
        count();
        unsafe { __libc_calloc(items, size) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn realloc(old: *mut c_void, size: usize) -> *mut c_void {
        count();
        unsafe { __libc_realloc(old, size) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
        count();
        unsafe { __libc_memalign(alignment, size) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
        count();
        unsafe { __libc_memalign(alignment, size) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn posix_memalign(
        out: *mut *mut c_void,
        alignment: usize,
        size: usize,
    ) -> c_int {
        count();
        if !alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<usize>()) {
            return EINVAL;
        }
        let memory = unsafe { __libc_memalign(alignment, size) };
        if memory.is_null() {
            return ENOMEM;
        }
        unsafe { out.write(memory) };
        0
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod counted {
    use super::count;
    use std::alloc::{GlobalAlloc, Layout, System};

    struct Counting;

    #[global_allocator]
    static COUNTING: Counting = Counting;

    // SAFETY: it passes everything on to the system's allocator.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count();
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            unsafe { System.dealloc(memory, layout) }
        }

        unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            count();
            unsafe { System.realloc(memory, layout, size) }
        }
    }
}

/// A node, and packets at it of both kinds.
struct Bench {
    secret: SphinxSecret,
    forward: Packet,
    last: Packet,
    /// Its MAC does not hold.
    altered: Packet,
    /// Its group element is zero.
    low_order: Packet,
}

impl Bench {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(120);
        let secret = SphinxSecret::generate(&mut rng);
        let hop = |node| Hop {
            node: NodeId::new([node; 32]),
            key: secret.public(),
            delay: Span::from_millis(1),
        };
        let forward = build_forward(&mut rng, &[hop(1), hop(2)], b"text").unwrap();
        let last = build_forward(&mut rng, &[hop(1)], b"text").unwrap();
        let mut altered = *forward.as_bytes();
        altered[100] ^= 1;
        let mut low_order = *forward.as_bytes();
        low_order[..32].fill(0);
        Self {
            altered: Packet::from_bytes(&altered).unwrap(),
            low_order: Packet::from_bytes(&low_order).unwrap(),
            secret,
            forward,
            last,
        }
    }

    fn all(&self) -> [&Packet; 4] {
        [&self.forward, &self.last, &self.altered, &self.low_order]
    }
}

/// One of every back end that this machine has, which has worked before.
fn engines(bench: &Bench) -> Vec<Engine> {
    let engines: Vec<_> = Backend::ALL
        .into_iter()
        .filter_map(|backend| Engine::with(backend).ok())
        .collect();
    for engine in &engines {
        assert!(
            engine
                .unwrap(&bench.secret, bench.forward.clone(), |_| true)
                .is_ok()
        );
    }
    engines
}

#[test]
fn the_counter_counts() {
    let bench = Bench::new();
    assert_eq!(allocations(|| ()).0, 0);
    assert_eq!(allocations(|| Box::new(1_u64)).0, 1);
    assert!(allocations(|| vec![0_u8; 10].resize(1_000, 0)).0 >= 2);
    // A packet's buffer.
    assert_eq!(allocations(|| bench.forward.clone()).0, 1);
}

#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    target_arch = "x86_64",
    feature = "aws-lc"
))]
#[test]
fn allocations_of_aws_lc_are_counted() {
    let (count, context) = allocations(|| {
        // SAFETY: it takes nothing and gives a context or null.
        unsafe { aws_lc_sys::EVP_MD_CTX_new() }
    });
    // SAFETY: the context is freed once.
    unsafe { aws_lc_sys::EVP_MD_CTX_free(context) };
    assert_eq!(count, 1);
}

#[test]
fn a_packet_is_unwrapped_without_allocating() {
    let bench = Bench::new();
    let mut seen: HashSet<ReplayTag> = HashSet::with_capacity(100);
    for engine in engines(&bench) {
        seen.clear();
        let expected = [
            None,
            None,
            Some(UnwrapError::Mac),
            Some(UnwrapError::LowOrder),
        ];
        for (packet, expected) in bench.all().into_iter().zip(expected) {
            let packet = packet.clone();
            let (count, outcome) =
                allocations(|| engine.unwrap(&bench.secret, packet, |tag| seen.insert(*tag)));
            assert_eq!(outcome.err(), expected, "{engine:?}");
            assert_eq!(count, 0, "{engine:?}");
        }
        let again = bench.forward.clone();
        let (count, outcome) =
            allocations(|| engine.unwrap(&bench.secret, again, |tag| seen.insert(*tag)));
        assert_eq!((outcome.err(), count), (Some(UnwrapError::Replayed), 0));
    }
}

#[test]
fn a_batch_is_unwrapped_without_allocating() {
    let bench = Bench::new();
    for engine in engines(&bench) {
        for size in 1..=70 {
            let packets: Vec<_> = (0..size)
                .map(|place| bench.all()[place % 4].clone())
                .collect();
            let mut done: Vec<Result<Unwrapped, UnwrapError>> = Vec::with_capacity(size);
            let (count, ()) = allocations(|| {
                let mut packets = packets.into_iter().map(|packet| (&bench.secret, packet));
                while done.len() < size {
                    let batch = Batch::fill(&mut packets);
                    done.extend(engine.unwrap_batch(batch, |_, _| true));
                }
            });
            assert_eq!((done.len(), count), (size, 0), "{engine:?}");
            assert!(matches!(done[0], Ok(Unwrapped::Forward { .. })));
        }
    }
}

#[test]
fn packets_of_any_size_are_unwrapped_in_place_without_allocating() {
    let bench = Bench::new();
    for engine in engines(&bench) {
        for size in [1, 2, 8, 9, 32, 33] {
            let mut buffers =
                vec![[bench.forward.as_bytes().as_slice(), &[0; 30_000]].concat(); size];
            let packet_bytes = buffers[0].len();
            let mut jobs: Vec<_> = buffers
                .iter_mut()
                .map(|bytes| Job::new(&bench.secret, bytes))
                .collect();
            let (count, ()) =
                allocations(|| engine.unwrap_in_place(packet_bytes, &mut jobs, |_, _| true));
            assert!(jobs.iter().all(|job| job.outcome().is_ok()));
            assert_eq!(count, 0, "{engine:?}, {size}");
        }
    }
}

/// The whole way of a packet through a node.
#[test]
fn from_link_to_link_there_is_one_buffer() {
    let bench = Bench::new();
    let mut rng = ChaCha20Rng::seed_from_u64(121);
    for engine in engines(&bench) {
        for packet in [&bench.forward, &bench.last] {
            let packet = packet.clone();
            let (count, frame) = allocations(|| {
                let received = Frame::new(Epoch::new(1), packet);
                let unwrapped = engine.unwrap(&bench.secret, received.into_packet(), |_| true);
                match unwrapped.unwrap() {
                    Unwrapped::Forward { packet, .. } => Frame::new(Epoch::new(1), packet),
                    Unwrapped::Final { payload, .. } => {
                        let id = SurbId::new([1; 16]);
                        let frame = Frame::last_link(&mut rng, 1, id, payload);
                        let (id, payload) = frame.into_last_link();
                        Frame::last_link(&mut rng, 1, id, payload)
                    }
                }
            });
            assert_eq!((frame.epoch_byte(), count), (1, 0), "{engine:?}");
        }
    }
}
