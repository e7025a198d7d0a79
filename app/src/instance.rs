//! One window for a user: a second start hands its files to the first one and ends.
//!
//! The two meet at a UNIX socket that only this user can reach; nothing listens on a network. A message is a list of
//! paths, each ended by a zero byte; the answer is `ok`.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

/// A longer message is refused.
const MAX_BYTES: u64 = 1 << 20;

/// Neither side waits longer for the other.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a start found.
#[derive(Debug)]
pub enum Start {
    /// This is the first window; what later starts hand over comes here.
    First(Instance),
    /// Another window took the files.
    Handed,
    /// There is no place to meet: a window of its own.
    Alone,
}

/// The place where later starts find this window. It goes when this value is dropped.
#[derive(Debug)]
pub struct Instance {
    socket: PathBuf,
    received: Receiver<Vec<PathBuf>>,
}

impl Instance {
    /// What was handed over since the last call, one list for each start.
    pub fn received(&self) -> Vec<Vec<PathBuf>> {
        self.received.try_iter().collect()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Without it, the next start finds nobody behind the socket and takes its place.
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Where the windows of this user meet: in the runtime folder, or in a folder of `/tmp` that only this user can enter.
pub fn socket_path() -> Option<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let own = |folder: &PathBuf| folder.is_absolute() && private(folder);
    let folder = match runtime.filter(own) {
        Some(folder) => folder,
        None => {
            let home = std::env::var_os("HOME")?;
            let user = std::fs::metadata(home).ok()?.uid();
            let folder = std::env::temp_dir().join(format!("healthgpt-workbench-{user}"));
            match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return None,
                _ => private(&folder).then_some(folder)?,
            }
        }
    };
    Some(folder.join("healthgpt-workbench.sock"))
}

/// A folder of this user that nobody else can enter.
fn private(folder: &Path) -> bool {
    let home = std::env::var_os("HOME").and_then(|home| std::fs::metadata(home).ok());
    std::fs::symlink_metadata(folder).is_ok_and(|meta| {
        let mine = home.is_none_or(|home| home.uid() == meta.uid());
        meta.is_dir() && mine && meta.permissions().mode() & 0o077 == 0
    })
}

/// Hands these paths to the window that is open, or becomes that window. `wake` is called when something comes.
pub fn start(socket: &Path, paths: &[PathBuf], wake: impl Fn() + Send + 'static) -> Start {
    match hand_over(socket, paths) {
        Ok(()) => return Start::Handed,
        // Nobody is there, or what is there does not answer.
        Err(error) => tracing::debug!("no other window: {error}"),
    }
    match listen(socket, wake) {
        Ok(instance) => Start::First(instance),
        Err(error) => {
            tracing::info!("other starts cannot find this window: {error}");
            Start::Alone
        }
    }
}

fn hand_over(socket: &Path, paths: &[PathBuf]) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut message = Vec::new();
    for path in paths {
        // The other window may be in another folder.
        message.extend_from_slice(std::path::absolute(path)?.as_os_str().as_bytes());
        message.push(0);
    }
    stream.write_all(&message)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer)?;
    if &answer == b"ok" {
        Ok(())
    } else {
        Err(io::Error::other("the other window refused"))
    }
}

fn listen(socket: &Path, wake: impl Fn() + Send + 'static) -> io::Result<Instance> {
    let listener = match UnixListener::bind(socket) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            // A window that ended without clearing up: nobody answered there.
            std::fs::remove_file(socket)?;
            UnixListener::bind(socket)?
        }
        bound => bound?,
    };
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    let (sender, received) = channel();
    let _ = Builder::new()
        .name("instance".to_owned())
        .spawn(move || serve(&listener, &sender, &wake))?;
    Ok(Instance {
        socket: socket.to_owned(),
        received,
    })
}

fn serve(listener: &UnixListener, sender: &Sender<Vec<PathBuf>>, wake: &dyn Fn()) {
    for stream in listener.incoming() {
        let taken = stream.and_then(|mut stream| {
            let paths = message(&mut stream)?;
            if sender.send(paths).is_err() {
                return Ok(false); // the window is closed
            }
            wake();
            stream.write_all(b"ok")?;
            Ok(true)
        });
        match taken {
            Ok(true) => {}
            Ok(false) => return,
            // Another start goes on alone; this window has nothing to say of it.
            Err(error) => tracing::debug!("a start was not understood: {error}"),
        }
    }
}

fn message(stream: &mut UnixStream) -> io::Result<Vec<PathBuf>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut bytes = Vec::new();
    let read = stream.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > MAX_BYTES {
        return Err(io::Error::other("the message is too long"));
    }
    let parts = bytes
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty());
    let paths = parts.map(|part| PathBuf::from(OsString::from_vec(part.to_vec())));
    let paths: Vec<PathBuf> = paths.collect();
    if paths.iter().any(|path| !path.is_absolute()) {
        return Err(io::Error::other("a path is not absolute"));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// A folder of its own under the system's, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("hgw-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn first(socket: &Path) -> Instance {
        match start(socket, &[], || {}) {
            Start::First(instance) => instance,
            other => panic!("{other:?}"),
        }
    }

    fn wait(instance: &Instance) -> Vec<PathBuf> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            if let Some(paths) = instance.received().pop() {
                return paths;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("nothing came");
    }

    #[test]
    fn a_second_start_hands_its_files_to_the_first() {
        let folder = Scratch::new("second");
        let socket = folder.0.join("socket");
        let instance = first(&socket);
        let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "only this user can reach it");
        let paths = [
            PathBuf::from("/scans/knee"),
            PathBuf::from("relative ü.nii"),
        ];
        assert!(matches!(start(&socket, &paths, || {}), Start::Handed));
        let absolute = std::path::absolute("relative ü.nii").unwrap();
        assert_eq!(wait(&instance), [PathBuf::from("/scans/knee"), absolute]);
        assert!(matches!(start(&socket, &[], || {}), Start::Handed));
        assert!(
            wait(&instance).is_empty(),
            "a start without files only shows the window"
        );
    }

    #[test]
    fn a_socket_that_nobody_answers_is_taken_over() {
        let folder = Scratch::new("stale");
        let socket = folder.0.join("socket");
        // A program that was killed leaves its socket behind.
        drop(UnixListener::bind(&socket).unwrap());
        assert!(socket.exists());
        let instance = first(&socket);
        assert!(matches!(start(&socket, &[], || {}), Start::Handed));
        drop(instance);
        assert!(!socket.exists());
    }

    #[test]
    fn a_message_that_is_none_of_ours_is_refused() {
        let folder = Scratch::new("refused");
        let socket = folder.0.join("socket");
        let instance = first(&socket);
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(b"relative\0").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty());
        assert!(matches!(
            start(&socket, &["/a".into()], || {}),
            Start::Handed
        ));
        assert_eq!(wait(&instance), [PathBuf::from("/a")]);
    }

    #[test]
    fn without_a_place_to_meet_the_window_is_alone() {
        let nowhere = Path::new("/proc/no such folder/socket");
        assert!(matches!(start(nowhere, &[], || {}), Start::Alone));
    }
}
