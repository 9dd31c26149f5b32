//! The only place with `unsafe`: what needs the processor's vector instructions, or a C library.

#[cfg(any(test, target_arch = "x86_64"))]
pub(crate) mod blake2b;
#[cfg(any(test, target_arch = "x86_64"))]
pub(crate) mod chacha;
#[cfg(target_arch = "x86_64")]
pub(crate) mod cpu;
#[cfg(test)]
pub(crate) mod emulated;
#[cfg(any(test, target_arch = "x86_64"))]
mod lanes;
#[cfg(target_arch = "x86_64")]
mod x86;
