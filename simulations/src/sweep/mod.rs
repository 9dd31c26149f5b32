//! Sweeps: many scenarios that differ in some keys, as independent runs that resume.
