//! What can't be run is refused before it starts.

use std::fmt::Display;

use super::{Class, Delay, EngineError, Link, Plan, Receivers, Routes, Workload};

fn refuse(key: impl Display, value: impl Display, reason: &str) -> EngineError {
    EngineError::Plan {
        key: key.to_string(),
        value: value.to_string(),
        reason: reason.to_owned(),
    }
}

/// Whether a value is a finite number of at least 0.
fn at_least_zero(key: impl Display, value: f64) -> Result<(), EngineError> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(refuse(key, value, "must be a finite number of at least 0"))
}

fn positive(key: impl Display, value: f64) -> Result<(), EngineError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(refuse(key, value, "must be a finite number above 0"))
}

/// Whether a value is at least 0 and below 1.
fn below_one(key: impl Display, value: f64) -> Result<(), EngineError> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(refuse(key, value, "must be at least 0 and below 1"))
}

impl Plan {
    /// Whether the plan can be run.
    ///
    /// # Errors
    /// The first value that is out of range or contradicts another.
    pub fn validate(&self) -> Result<(), EngineError> {
        self.validate_network()?;
        self.validate_links()?;
        for (index, class) in self.classes.iter().enumerate() {
            validate_class(class, index)?;
        }
        self.validate_clients()?;
        let phases = self.phases;
        at_least_zero("phases.warm_up", phases.warm_up)?;
        at_least_zero("phases.measurement", phases.measurement)?;
        at_least_zero("phases.drain", phases.drain)?;
        positive("phases", phases.total())?;
        if let Some(width) = self.bin {
            positive("bin", width)?;
            if phases.total() / width > 1e7 {
                return Err(refuse(
                    "bin",
                    width,
                    "makes more than 10 million bins; widen it",
                ));
            }
        }
        if let Some(targets) = self.targets {
            for (key, value) in [
                ("targets.every", targets.every),
                ("targets.max_alive", targets.max_alive),
            ] {
                if value == 0 {
                    return Err(refuse(key, value, "must be at least 1"));
                }
            }
        }
        Ok(())
    }

    fn validate_network(&self) -> Result<(), EngineError> {
        let network = &self.network;
        let layers = network.layers.len();
        if layers == 0 || network.layers.iter().any(Vec::is_empty) {
            return Err(refuse(
                "network.layers",
                layers,
                "needs a layer, and a mix in each",
            ));
        }
        for (index, weight) in network.layers.iter().flatten().enumerate() {
            positive(format_args!("network.layers, weight {index}"), *weight)?;
        }
        let nodes = network.layers.iter().map(Vec::len).sum::<usize>() as u64
            + 2 * u64::from(network.providers);
        if nodes >= 1 << 30 {
            return Err(refuse("network", nodes, "has 2^30 nodes or more"));
        }
        validate_delay("network.mix_delay", network.mix_delay)?;
        validate_delay("network.provider_delay", network.provider_delay)?;
        if let Some(server) = network.server {
            positive("network.server.rate", server.rate)?;
            if server.queue == 0 {
                return Err(refuse("network.server.queue", 0, "must be at least 1"));
            }
        }
        at_least_zero("network.mix_loops", network.mix_loops)?;
        match network.routes {
            Routes::Stratified => {}
            Routes::Cascade => {
                let width = network.layers[0].len();
                if network.layers.iter().any(|layer| layer.len() != width) {
                    let reason = "a cascade needs layers of one width";
                    return Err(refuse("network.layers", width, reason));
                }
            }
            Routes::Free { hops } => {
                if layers != 1 {
                    let reason = "free routes have one layer, with all mixes";
                    return Err(refuse("network.layers", layers, reason));
                }
                if !(1..=255).contains(&hops) {
                    return Err(refuse("network.routes.hops", hops, "must be from 1 to 255"));
                }
            }
        }
        if network.mix_loops > 0.0 {
            let free = matches!(network.routes, Routes::Free { .. });
            if free || layers + network.providers.min(1) as usize == 1 {
                let reason = "mixes can have loops in layered networks of several layers, or of \
                              one with providers";
                return Err(refuse("network.mix_loops", network.mix_loops, reason));
            }
        }
        for dropper in &self.droppers {
            if u64::from(dropper.node) >= nodes {
                return Err(refuse("droppers.node", dropper.node, "is not a node"));
            }
            if !(0.0..=1.0).contains(&dropper.share) {
                return Err(refuse(
                    "droppers.share",
                    dropper.share,
                    "must be from 0 to 1",
                ));
            }
        }
        Ok(())
    }

    fn validate_links(&self) -> Result<(), EngineError> {
        let (links, stages) = (&self.links, self.stages());
        for (key, link) in [
            ("links.ingress", &links.ingress),
            ("links.egress", &links.egress),
        ] {
            if matches!(link, Link::Matrix { .. }) {
                return Err(refuse(key, "a matrix", "must be one delay or random"));
            }
            validate_link(key, link, 1, 1)?;
        }
        if links.between.len() + 1 != stages.len() {
            let reason = "needs one link for each stage but the last";
            return Err(refuse("links.between", links.between.len(), reason));
        }
        for (index, link) in links.between.iter().enumerate() {
            let key = format!("links.between[{index}]");
            validate_link(&key, link, stages[index], stages[index + 1])?;
        }
        below_one("links.loss", links.loss)?;
        let first_layer = stages[usize::from(self.network.providers > 0)];
        if matches!(self.network.routes, Routes::Free { .. }) {
            validate_link("links.wrap", &links.wrap, first_layer, first_layer)?;
            positive(
                "least delay of links.wrap (from mix to mix)",
                links.wrap.least(),
            )?;
        }
        if self.network.mix_loops > 0.0 {
            let last = stages.last().copied().unwrap_or(0);
            validate_link("links.wrap", &links.wrap, last, first_layer)?;
            let key = "least delay of links.wrap (from the last stage to the first layer)";
            positive(key, links.wrap.least())?;
        }
        Ok(())
    }

    fn validate_clients(&self) -> Result<(), EngineError> {
        let clients: u64 = self
            .classes
            .iter()
            .map(|class| u64::from(class.count))
            .sum();
        if clients >= 1 << 31 || self.classes.len() >= 1 << 15 {
            return Err(refuse(
                "classes",
                clients,
                "have 2^31 clients or more, or 2^15 classes",
            ));
        }
        let mut last = 0.0;
        let ends = self.classes.iter().scan(0, |sum, class| {
            *sum += class.count;
            Some(*sum)
        });
        let ends: Vec<u32> = ends.collect();
        for message in &self.trace {
            at_least_zero("trace.time", message.time)?;
            if message.time < last {
                return Err(refuse("trace.time", message.time, "must not go back"));
            }
            last = message.time;
            let class = self
                .classes
                .get(ends.partition_point(|end| *end <= message.sender));
            if class.is_none_or(|class| class.workload != Workload::Trace) {
                let reason = "is not a client of a class whose workload is the trace";
                return Err(refuse("trace.sender", message.sender, reason));
            }
            if u64::from(message.receiver) >= clients {
                return Err(refuse(
                    "trace.receiver",
                    message.receiver,
                    "is not a client",
                ));
            }
        }
        for sender in &self.groups {
            if u64::from(*sender) >= clients {
                return Err(refuse("groups", sender, "is not a client"));
            }
        }
        Ok(())
    }
}

fn validate_class(class: &Class, index: usize) -> Result<(), EngineError> {
    let key = |name| format!("classes[{index}].{name}");
    if class.count == 0 {
        return Err(refuse(key("count"), 0, "must be at least 1"));
    }
    at_least_zero(key("real"), class.real)?;
    at_least_zero(key("loops"), class.loops)?;
    at_least_zero(key("drops"), class.drops)?;
    if let Workload::Poisson { rate } = class.workload {
        at_least_zero(key("workload.rate"), rate)?;
    }
    if class.receivers == Receivers::Contacts(0) {
        return Err(refuse(key("receivers.contacts"), 0, "must be at least 1"));
    }
    if let Some(churn) = class.churn {
        positive(key("churn.online"), churn.online)?;
        positive(key("churn.offline"), churn.offline)?;
    }
    Ok(())
}

fn validate_delay(key: &str, delay: Delay) -> Result<(), EngineError> {
    let field = |name| format!("{key}.{name}");
    match delay {
        Delay::Exponential { mean } => at_least_zero(field("mean"), mean),
        Delay::Constant { seconds } => at_least_zero(field("seconds"), seconds),
        Delay::Uniform { least, most } => {
            at_least_zero(field("least"), least)?;
            at_least_zero(field("most"), most)?;
            if most < least {
                return Err(refuse(field("most"), most, "must not be below the least"));
            }
            Ok(())
        }
        Delay::Gamma { shape, mean } => {
            positive(field("shape"), shape)?;
            positive(field("mean"), mean)
        }
        Delay::Lognormal { median, sigma } => {
            positive(field("median"), median)?;
            at_least_zero(field("sigma"), sigma)
        }
        Delay::Pareto { scale, shape } => {
            positive(field("scale"), scale)?;
            if shape > 1.0 && shape.is_finite() {
                return Ok(());
            }
            Err(refuse(
                field("shape"),
                shape,
                "must be above 1, or there is no mean",
            ))
        }
    }
}

fn validate_link(key: &str, link: &Link, rows: u32, columns: u32) -> Result<(), EngineError> {
    match link {
        Link::Constant(seconds) => at_least_zero(key, *seconds),
        Link::Matrix {
            columns: given,
            seconds,
        } => {
            if *given != columns || seconds.len() as u64 != u64::from(rows) * u64::from(columns) {
                let value = format!("{} entries in {given} columns", seconds.len());
                let reason = format!("must have {rows} rows and {columns} columns");
                return Err(refuse(key, value, &reason));
            }
            seconds
                .iter()
                .try_for_each(|entry| at_least_zero(key, *entry))
        }
        Link::Random { least, extra } => {
            at_least_zero(format_args!("{key}.least"), *least)?;
            validate_delay(key, *extra)
        }
    }
}
