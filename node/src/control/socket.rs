//! Where the control socket is, and who may speak on it.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

/// Name of the control socket in the state directory.
pub const SOCKET_FILE: &str = "control.sock";

/// When to try again if too many connect at once.
const CONNECT_AGAIN: Duration = Duration::from_millis(20);

/// What fits `sun_path` everywhere, with its final zero.
const MAX_PATH_BYTES: usize = 103;

/// A path to the socket that is short enough for the system, and what keeps it valid.
struct Reached {
    path: PathBuf,
    /// The directory, held open while the path goes through it.
    _dir: Option<std::fs::File>,
}

/// Deep state directories have paths that are longer than a socket's name may be; Linux reaches
/// them through an open directory.
fn reach(dir: &Path) -> io::Result<Reached> {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;

    let path = dir.join(SOCKET_FILE);
    if path.as_os_str().as_bytes().len() <= MAX_PATH_BYTES {
        return Ok(Reached { path, _dir: None });
    }
    if !cfg!(target_os = "linux") {
        let message = format!(
            "{} is too long a path for a socket; move it",
            path.display()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let open = std::fs::File::open(dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())).join(SOCKET_FILE);
    Ok(Reached {
        path,
        _dir: Some(open),
    })
}

/// Listens. The caller holds the lock on the directory, so a socket that is there is a dead one's.
pub(super) fn listen(dir: &Path) -> io::Result<UnixListener> {
    let reached = reach(dir)?;
    match std::fs::remove_file(&reached.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The directory has mode 0700, so nobody else gets in between these two steps.
    let listener = UnixListener::bind(&reached.path)?;
    std::fs::set_permissions(&reached.path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

pub(super) async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let reached = reach(dir)?;
    loop {
        match UnixStream::connect(&reached.path).await {
            // More connect just now than the system lets wait. It does not tell when there is room.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(CONNECT_AGAIN).await;
            }
            outcome => return outcome,
        }
    }
}

/// Whether the process on the other side runs as the same user.
pub(super) fn same_user(stream: &UnixStream) -> io::Result<bool> {
    Ok(stream.peer_cred()?.uid() == rustix::process::geteuid().as_raw())
}
