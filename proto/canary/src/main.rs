//! A program without std that links `ripcurrent-proto`, with its default features.
//!
//! That `proto` is `no_std` says nothing of its dependencies. Here they would be seen: std brings
//! its own panic handler, and the compiler refuses a second one ("found duplicate lang item
//! `panic_impl`"). The program is only built, never run.
//!
//! How it was proven: the build failed with that error, naming the guilty crate, after
//! `extern crate std;` was put into `proto/src/lib.rs`, and again after `default-features = false`
//! was taken from `bytes` in the root `Cargo.toml`. Undone, it succeeded.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

use ripcurrent_proto as _;

struct NoMemory;

// SAFETY: a null pointer is the agreed answer when there is no memory, and nothing is ever freed.
unsafe impl GlobalAlloc for NoMemory {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: NoMemory = NoMemory;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// What the C runtime calls; nobody runs this program.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    0
}

/// The prebuilt `alloc` refers to it for unwinding, which a program that aborts never does.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[link(name = "c")]
unsafe extern "C" {}
