//! That what is in memory does not come onto a disk by itself.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Has the system write no picture of this process' memory when it dies, and lets no other process of this user look
/// into it. Where the system knows no such thing, all is as it was.
pub fn keep_memory_private() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Less than all of it is better than nothing.
    let _ = setrlimit(Resource::Core, none);
    // What takes such pictures on behalf of the system does not heed the limit.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
