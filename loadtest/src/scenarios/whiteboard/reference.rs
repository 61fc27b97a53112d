//! The servers that are measured by turns: this one, Yjs's own, Hocuspocus, and a bare relay, each a
//! process on this machine.

use super::{Arguments, Place};
use convoke_loadtest::board::door::{Address, Door};
use convoke_loadtest::board::wire::Dialect;
use convoke_loadtest::rest::Failure;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// They have no documents. The second writes and syncs before it sends: the least of what loses nothing.
const RELAYS: [&str; 2] = ["relay", "syncing-relay"];
const PACKAGES: &str = include_str!("../../../yjs/package.json");
const SCRIPTS: [(&str, &str); 2] = [
    ("y-websocket", include_str!("../../../yjs/y-websocket.mjs")),
    ("hocuspocus", include_str!("../../../yjs/hocuspocus.mjs")),
];

pub struct Contender {
    pub name: String,
    pub pid: u32,
    way: Way,
    _child: Option<Child>,
    _kept: Option<Kept>,
}

/// What the relay that syncs has written.
struct Kept(PathBuf);

impl Kept {
    fn of(name: &str) -> Option<Self> {
        let file = || std::env::temp_dir().join(format!("convoke-relay-{}", std::process::id()));
        (name == "syncing-relay").then(|| Self(file()))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

enum Way {
    Convoke(Box<Place>),
    /// On a port of this machine.
    Port(String),
}

impl Contender {
    pub async fn start(name: &str, arguments: &Arguments) -> Result<Self, Failure> {
        if name == "convoke" {
            let place = Place::open(arguments).await?;
            let pid = place.pid().ok_or("name the server's process with --pid, or use --spawn")?;
            return Ok(Self {
                name: name.to_owned(),
                pid,
                way: Way::Convoke(Box::new(place)),
                _child: None,
                _kept: None,
            });
        }
        let kept = Kept::of(name);
        let mut command = if RELAYS.contains(&name) {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("floor-server");
            if let Some(Kept(file)) = &kept {
                command.arg("--keep").arg(file);
            }
            command
        } else {
            let (_, script) = SCRIPTS.into_iter().find(|(other, _)| *other == name).ok_or("no such server")?;
            let file = installed(&arguments.yjs).await?.join(format!("{name}.mjs"));
            std::fs::write(&file, script)?;
            let mut command = Command::new("node");
            command.arg(file);
            command
        };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut port = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut port).await?;
        let pid = child.id().ok_or("no process")?;
        if port.trim().is_empty() {
            return Err(format!("{name} did not start").into());
        }
        Ok(Self {
            name: name.to_owned(),
            pid,
            way: Way::Port(port.trim().to_owned()),
            _child: Some(child),
            _kept: kept,
        })
    }

    pub fn has_documents(&self) -> bool {
        !RELAYS.contains(&self.name.as_str())
    }

    pub async fn board(&self, name: &str) -> Result<String, Failure> {
        match &self.way {
            Way::Convoke(place) => place.board(name).await,
            Way::Port(_) => Ok(name.to_owned()),
        }
    }

    pub async fn door(&self, board: &str, user: &str) -> Result<Door, Failure> {
        let port = match &self.way {
            Way::Convoke(place) => return place.door(board, user).await,
            Way::Port(port) => port,
        };
        let name = (self.name == "hocuspocus").then(|| board.to_owned());
        Ok(Door::Straight(Address {
            host: format!("127.0.0.1:{port}"),
            target: format!("/{board}"),
            dialect: Dialect { name },
            has_document: self.has_documents(),
        }))
    }
}

/// The folder with Yjs's servers; they are installed again when other versions are named.
async fn installed(folder: &Path) -> Result<PathBuf, Failure> {
    let (wanted, marker) = (folder.join("package.json"), folder.join("installed.json"));
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == PACKAGES) {
        return Ok(folder.to_owned());
    }
    println!("installing Yjs's servers into {}; this happens once", folder.display());
    std::fs::create_dir_all(folder)?;
    std::fs::write(&wanted, PACKAGES)?;
    let quietly = ["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"];
    let status = Command::new("npm").args(quietly).current_dir(folder).stdin(Stdio::null()).status().await?;
    if !status.success() {
        return Err("Yjs's servers could not be installed; leave them out with --servers relay,convoke".into());
    }
    std::fs::write(marker, PACKAGES)?;
    Ok(folder.to_owned())
}
