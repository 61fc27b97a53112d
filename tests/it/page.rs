//! The page on breakout rooms shows code, and this runs it as it stands. It needs Node 20.10 or later,
//! for its WebSocket; without one the test says that it was skipped.

use crate::{meeting, server};
use std::process::Command;

/// The flags that Node needs for a WebSocket; none where there is no such Node.
fn node() -> Option<&'static [&'static str]> {
    let version = Command::new("node").arg("--version").output().ok()?;
    let version = String::from_utf8(version.stdout).ok()?;
    let mut numbers = version.trim().trim_start_matches('v').split('.').map(|number| number.parse::<u32>());
    match (numbers.next()?.ok()?, numbers.next()?.ok()?) {
        (22.., _) => Some(&[]),
        (20, 10..) | (21, _) => Some(&["--experimental-websocket"]),
        _ => None,
    }
}

#[actix_web::test]
async fn the_code_on_the_page_runs_as_it_stands() {
    let Some(flags) = node() else {
        println!("SKIPPED: there is no Node 20.10 or later");
        return;
    };
    let page = include_str!("../../docs/breakout-rooms.md");
    let code = page.split("```js\n").nth(1).unwrap().split("```").next().unwrap();
    let server = server(&[]).await;
    let id = meeting(&server, serde_json::json!({})).await;
    let token = |user, role| server.rest.key.join_token(&id, Some(user), user, role);
    let mut node = tokio::process::Command::new("node");
    node.args(flags).args(["--input-type=module", "--eval", code]);
    node.env("CONVOKE", format!("http://{}", server.rest.host)).env("MEETING", &id);
    node.env("HOST", token("Ann", "host")).env("GUEST", token("Bob", "participant")).kill_on_drop(true);
    let mut tries = 0;
    let said = loop {
        tries += 1;
        let ran = tokio::time::timeout(std::time::Duration::from_secs(60), node.output()).await.unwrap().unwrap();
        let (said, complaints) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
        // A node that stood still lets nobody in for a moment, and the page's code goes on to say so.
        if ran.status.success() || !complaints.contains("unavailable") || tries == 5 {
            assert!(ran.status.success(), "{said}\n{complaints}");
            break said;
        }
    };
    // Each in main, in Red, in Blue and in main again: the host went along with the room that was merged.
    let stays = |of: &str| said.lines().filter(|line| line.starts_with(of)).count();
    assert_eq!((stays("Bob was in"), stays("Bob was in main")), (4, 2), "{said}");
    assert_eq!((stays("Ann was in"), stays("Ann was in main")), (4, 2), "{said}");
}
