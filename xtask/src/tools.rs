//! What the tests need and the tests alone: a LiveKit server, its SDK for Python, which brings a WebRTC
//! of its own, and Yjs with its provider. They are looked for, and made in `target/tools` where that can
//! be done. Where it cannot, the tests with them say that they are skipped; this says why, so that nobody
//! takes their silence for a success.

use crate::Failure;
use crate::servers::{on_path, quiet, run};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FOLDER: &str = "target/tools";
const SERVER: &str = "github.com/livekit/livekit-server/cmd/server@v1.9.12";
/// The least version of Go, after the 1, that builds it.
const GO_MINOR: u32 = 24;
const SDK: &str = "livekit>=1.2,<2";
/// Which packages of Yjs the client in `tests/yjs` is made of.
const YJS: &str = "tests/yjs/package.json";
/// The least version of Node that its packages run on.
const NODE_MAJOR: u32 = 18;

/// The environment by which tests find them; each variable is missing where the tool is.
pub fn environment() -> Vec<(&'static str, String)> {
    let tools = [
        ("CONVOKE_TEST_LIVEKIT", "a LiveKit server", server()),
        ("CONVOKE_TEST_LIVEKIT_PYTHON", "LiveKit's SDK for Python", python()),
        ("CONVOKE_TEST_YJS", "Yjs and its provider", yjs()),
    ];
    let found = tools.into_iter().filter_map(|(variable, what, tool)| match tool {
        Ok(path) => Some((variable, path.to_string_lossy().into_owned())),
        Err(error) => {
            println!("\n== SKIPPED: tests with {what}: {error}\n");
            None
        }
    });
    found.collect()
}

fn folder() -> Result<PathBuf, Failure> {
    let folder = std::path::absolute(FOLDER)?;
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn server() -> Result<PathBuf, Failure> {
    if let Some(folder) = on_path("livekit-server") {
        return Ok(folder.join("livekit-server"));
    }
    let (folder, own) = (folder()?, folder()?.join("livekit-server"));
    if own.is_file() {
        return Ok(own);
    }
    let go = go().ok_or(format!("there is no livekit-server, and no Go 1.{GO_MINOR} to build one"))?;
    println!("building livekit-server; this happens once, and takes some minutes");
    let install = Command::new(go).args(["install", SERVER]).env("GOBIN", &folder).stdin(Stdio::null()).status()?;
    if !install.success() {
        return Err("livekit-server could not be built".into());
    }
    // Under its own name only when it is whole.
    std::fs::rename(folder.join("server"), &own)?;
    Ok(own)
}

/// Go on the path, or where its archive puts it.
fn go() -> Option<PathBuf> {
    let usual = || Some(PathBuf::from("/usr/local/go/bin")).filter(|folder| folder.join("go").is_file());
    let go = on_path("go").or_else(usual)?.join("go");
    let told = Command::new(&go).args(["env", "GOVERSION"]).output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let minor = told.trim().strip_prefix("go1.")?.split('.').next()?.parse::<u32>().ok()?;
    (minor >= GO_MINOR).then_some(go)
}

fn python() -> Result<PathBuf, Failure> {
    let folder = folder()?.join("livekit-sdk");
    let python = folder.join("bin/python");
    if has_sdk(&python) {
        return Ok(python);
    }
    if on_path("python3").is_none() {
        return Err("there is no python3".into());
    }
    println!("installing LiveKit's SDK for Python; this happens once");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", SDK]))?;
    if has_sdk(&python) { Ok(python) } else { Err("it was installed and cannot be imported".into()) }
}

fn has_sdk(python: &Path) -> bool {
    python.is_file() && quiet(Command::new(python).args(["-c", "import livekit.rtc"]))
}

/// The folder with Yjs's packages; they are installed again when other versions are named.
fn yjs() -> Result<PathBuf, Failure> {
    if node().is_none_or(|major| major < NODE_MAJOR) {
        return Err(format!("there is no Node {NODE_MAJOR} or later").into());
    }
    let folder = folder()?.join("yjs");
    let (wanted, installed) = (std::fs::read_to_string(YJS)?, folder.join("installed.json"));
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) && has_yjs(&folder) {
        return Ok(folder);
    }
    if on_path("npm").is_none() {
        return Err("there is no npm".into());
    }
    println!("installing Yjs and its provider; this happens once");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("package.json"), &wanted)?;
    let quietly = ["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"];
    run(Command::new("npm").args(quietly).current_dir(&folder))?;
    if !has_yjs(&folder) {
        return Err("it was installed and cannot be loaded".into());
    }
    std::fs::write(installed, wanted)?;
    Ok(folder)
}

fn has_yjs(folder: &Path) -> bool {
    let load = "require('yjs'), require('y-websocket'), require('ws')";
    folder.join("node_modules").is_dir() && quiet(Command::new("node").args(["-e", load]).current_dir(folder))
}

fn node() -> Option<u32> {
    let told = Command::new("node").arg("--version").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    told.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}
