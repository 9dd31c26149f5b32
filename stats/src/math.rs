//! Functions of one math library that is compiled in (`libm`), so that a seed gives the same bits
//! on every machine. The standard library's logarithms and exponentials come from the system and
//! differ between processors; `clippy.toml` bans them here.

/// Natural logarithm.
#[must_use]
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// Logarithm to base 2.
#[must_use]
pub fn log2(x: f64) -> f64 {
    libm::log2(x)
}

/// e to the x.
#[must_use]
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// x to the y.
#[must_use]
pub fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

/// Logarithm of the gamma function, for x > 0.
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}
