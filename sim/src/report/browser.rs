//! A browser without a screen, for tests of pages: what a page wrote about itself.
//! Knows nothing about the pages.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// A browser that this machine has, if it has one.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut candidates = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.find(|candidate| candidate.is_file())
}

/// What the page, opened with `#selftest`, writes as JSON into an element of that name; `None`,
/// and a word about it, without a browser.
pub(super) fn finding(page: &str) -> Option<Value> {
    const PATIENCE: Duration = Duration::from_secs(90);
    let Some(browser) = browser() else {
        // Past the capture of test output: a check that did not happen must not look like one.
        let _ = writeln!(
            std::io::stderr(),
            "NOT CHECKED: a page in a browser, because no chromium is on the PATH"
        );
        return None;
    };
    // Beside the test: browsers in sandboxes of their own do not see the system's temporary folder.
    let test = std::env::current_exe().expect("a test is a file");
    let dir = tempfile::tempdir_in(test.parent().expect("it stands in a folder"));
    let dir = dir.expect("a folder for the browser");
    let file = dir.path().join("run.html");
    std::fs::write(&file, page).expect("the page is written");
    let mut child = Command::new(browser)
        // Containers have no sandbox for it; the page is our own.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", dir.path().display()))
        .arg("--window-size=1500,950")
        .arg(format!("file://{}#selftest", file.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the browser starts");
    let mut output = child.stdout.take().expect("it is piped");
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let read = output.read_to_string(&mut text);
        let _ = sender.send(read.map(|_| text));
    });
    let page = receiver.recv_timeout(PATIENCE);
    let _ = child.kill();
    let _ = child.wait();
    let page = page
        .expect("the browser ends in time")
        .expect("it writes text");
    let start = "<pre id=\"selftest\">";
    let (_, result) = page.split_once(start).expect("the page tested itself");
    let (result, _) = result.split_once("</pre>").expect("the element ends");
    let result = result
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    Some(serde_json::from_str(&result).expect("the result is JSON"))
}
