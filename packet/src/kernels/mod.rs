//! The only place with `unsafe`: what needs the processor's vector instructions, or a C library.
