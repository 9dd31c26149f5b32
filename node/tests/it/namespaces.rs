//! Machines of their own for tests: network namespaces, with routers between them.
//!
//! They want Linux, root and `ip` (iproute2). Where they can't be had a test says so and is skipped; where
//! `NAMESPACES_DEMANDED` is set, as CI does where they can be made, that is a failure.

use std::io::Write as _;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::Runtime;

/// Set where a test that is skipped for want of something is a failure.
const DEMANDED: &str = "NAMESPACES_DEMANDED";

static MADE: AtomicUsize = AtomicUsize::new(0);

/// Whether there are namespaces, and these programs beside `ip`. Else says what is missing, whatever becomes of what
/// the test prints.
pub(crate) fn can_be_had(programs: &[&str]) -> bool {
    let missing = programs
        .iter()
        .find(|program| Command::new(program).arg("--version").output().is_err());
    let why = match missing {
        Some(program) => format!("there is no {program}"),
        None => match Space::try_new() {
            Ok(_) => return true,
            Err(why) => why,
        },
    };
    assert!(
        std::env::var_os(DEMANDED).is_none(),
        "no network namespaces for this test, and {DEMANDED} is set: {why}"
    );
    let skipped = format!("SKIPPED, for want of network namespaces: {why}\n");
    let _ = std::io::stderr().write_all(skipped.as_bytes());
    false
}

/// A machine: a network namespace, which ends with it.
pub(crate) struct Space {
    name: String,
}

impl Space {
    fn try_new() -> Result<Self, String> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("shoal-{}-{number}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        let made = made.map_err(|error| format!("ip (iproute2): {error}"))?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).trim().to_owned());
        }
        let space = Self { name };
        space.ip("link set lo up");
        // Nobody else has its addresses: they are not looked for first, which takes seconds.
        space.set("ipv6/conf/default/accept_dad", "0");
        Ok(space)
    }

    /// One more machine, after [`can_be_had`].
    pub(crate) fn new() -> Self {
        Self::try_new().expect("a namespace")
    }

    /// One more machine that passes on what is not for it.
    pub(crate) fn router() -> Self {
        let router = Self::new();
        router.set("ipv4/ip_forward", "1");
        router.set("ipv6/conf/all/forwarding", "1");
        router
    }

    fn set(&self, knob: &str, value: &str) {
        let set = format!("echo {value} > /proc/sys/net/{knob}");
        self.run("sh", &["-c", &set]);
    }

    /// The arguments of `ip` with which a program runs on this machine; the program's own follow.
    pub(crate) fn within(&self) -> [&str; 3] {
        ["netns", "exec", &self.name]
    }

    /// Runs a program on this machine. It has to succeed.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut ip = Command::new("ip");
        ip.args(self.within()).arg(program).args(arguments);
        let output = ip.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        output
    }

    /// `ip` with these words.
    pub(crate) fn ip(&self, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        let mut ip = Command::new("ip");
        let output = ip.args(["-n", &self.name]).args(&words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {words:?}: {said}");
    }

    /// A cable to another machine: the name of its end here and there, and the addresses of the two ends.
    pub(crate) fn cable(
        &self,
        there: &Self,
        (name, other): (&str, &str),
        addresses: &[[String; 2]],
    ) {
        let peer = &there.name;
        self.ip(&format!(
            "link add {name} type veth peer name {other} netns {peer}"
        ));
        for (space, device, side) in [(self, name, 0), (there, other, 1)] {
            for pair in addresses {
                let address = &pair[side];
                space.ip(&format!("addr add {address} dev {device}"));
            }
            space.ip(&format!("link set dev {device} up"));
        }
    }

    /// Threads whose sockets are on this machine.
    pub(crate) fn runtime(&self) -> Threads {
        let place = format!("/run/netns/{}", self.name);
        let made = std::thread::spawn(move || {
            let place = std::fs::File::open(place).unwrap();
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&place), network).unwrap();
            // A thread is where the one is that made it.
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build();
            runtime.unwrap()
        });
        Threads(Some(made.join().unwrap()))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // What is left of it ends with the machine.
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .output();
    }
}

/// A runtime that may end within another one.
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    /// Does this there.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        what: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let runtime = self.0.as_ref().unwrap();
        runtime.spawn(what).await.unwrap()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
