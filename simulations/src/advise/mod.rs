//! Proposes a network that fits its users' needs, and says what it costs.
//!
//! The objective is the 5th percentile, over messages, of the min-entropy of the adversary's
//! posterior over users; the adversary sees every link, has corrupted a share of the mixes, and
//! learns for each packet that leaves the last layer which user it is for. Latency, bandwidth and
//! the probability of paths that are corrupt throughout are bounds.
//!
//! [`advise`] screens a grid by closed form, simulates the front, simulates the finalists again on
//! fresh seeds, and reports those whose intervals overlap as ties. What it leaves out is part of
//! the answer: [`NOT_MODELLED`].
//!
//! ```
//! use shoal_simulations::advise::{Latencies, Request};
//!
//! let request = Request::new(1000, 5.0, 30_000.0, 0.2);
//! assert!(request.validate().is_ok());
//! assert_eq!(request.latency, Latencies::Delivery);
//! ```

mod candidate;
mod infeasible;
mod parameters;
mod proposal;
mod rates;
mod request;
mod screen;
mod simulate;
mod text;

pub use candidate::Candidate;
pub use infeasible::{Infeasible, Relaxation};
pub use parameters::network_parameters;
pub use proposal::{Disclosure, Entry, NOT_MODELLED, Proposal, Sensitivity};
pub use rates::{Split, fitting, latency};
pub use request::{AdviseError, Latencies, Request, Thoroughness};
pub use screen::{Screened, screen};

/// The answer.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// A network that fits, the best that was found.
    Proposal(Box<Proposal>),
    /// Nothing fits.
    Infeasible(Infeasible),
}

/// Answers a request. The same request gives the same answer. `progress` is told in words what is
/// being done.
///
/// # Errors
/// When the request is refused, or a simulation fails.
pub fn advise(request: &Request, progress: &mut dyn FnMut(&str)) -> Result<Answer, AdviseError> {
    request.validate()?;
    progress("screening by closed form");
    let screened = screen(request);
    if screened.is_empty() {
        progress("nothing fits: looking for the constraint that binds");
        return Ok(Answer::Infeasible(infeasible::explain(request)));
    }
    let proposal = proposal::choose(request, &screened, progress)?;
    Ok(Answer::Proposal(Box::new(proposal)))
}
