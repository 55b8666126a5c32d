//! Tests of the page: that nothing in a recording becomes markup, and that it runs in a browser.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::report::fixture;

#[test]
fn the_page_needs_nothing_else() {
    let page = html(&fixture::small());
    for outside in ["http://", "https://", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "the page refers to {outside}");
    }
    assert!(!page.contains("@@"), "a mark was left");
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
}

#[test]
fn no_text_of_a_recording_becomes_markup() {
    let page = html(&fixture::hostile());
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    for markup in ["<img", "<!-- ", "\u{2028}", "\u{2029}"] {
        assert!(!page.contains(markup), "{markup:?} stands in the page");
    }
    // And all of it is still there.
    let start = page.find("type=\"application/json\">").expect("the data");
    let data = page[start..].split(['>', '<']).nth(1).expect("its text");
    let data: Value = serde_json::from_str(data).expect("it is JSON");
    let name = data["nodes"][1].as_str().expect("a name");
    assert_eq!(name, fixture::hostile().nodes[1]);
}

#[test]
fn marks_in_a_recording_are_only_text() {
    let mut recording = fixture::small();
    recording.hash = "@@SCRIPT@@".to_owned();
    assert!(html(&recording).contains("\"hash\":\"@@SCRIPT@@\""));
}

#[test]
fn script_files_stay_small() {
    for part in SCRIPT {
        let first = part.lines().next().unwrap_or_default();
        assert!(first.starts_with("// "), "no header: {first}");
        assert!(part.lines().count() <= 400, "too long: {first}");
    }
}

/// A browser that can run without a screen, if this machine has one.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut candidates = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.find(|candidate| candidate.is_file())
}

/// What the page finds out about itself in a browser; `None`, and a word about it, without one.
fn self_test(recording: &Recording) -> Option<Value> {
    const PATIENCE: Duration = Duration::from_secs(90);
    let Some(browser) = browser() else {
        // Past the capture of test output: a check that did not happen must not look like one.
        let _ = writeln!(
            std::io::stderr(),
            "NOT CHECKED: the diagram in a browser, because no chromium is on the PATH"
        );
        return None;
    };
    // Beside the test: browsers in sandboxes of their own do not see the system's temporary folder.
    let test = std::env::current_exe().expect("a test is a file");
    let dir = tempfile::tempdir_in(test.parent().expect("it stands in a folder"));
    let dir = dir.expect("a folder for the browser");
    let page = dir.path().join("run.html");
    std::fs::write(&page, html(recording)).expect("the page is written");
    let mut child = Command::new(browser)
        // Containers have no sandbox for it; the page is our own.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", dir.path().display()))
        .arg("--window-size=1500,950")
        .arg(format!("file://{}#selftest", page.display()))
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

#[test]
fn a_browser_draws_all_of_it_without_an_error() {
    let Some(result) = self_test(&fixture::small()) else {
        return;
    };
    assert_eq!(result["errors"], Value::Array(Vec::new()), "{result:#}");
    assert_eq!(result["lifelines"], 3, "{result:#}");
    let arrows = serde_json::json!({
        "received": 6, "missed": 1, "lost": 2, "flying": 0, "copies": 1
    });
    assert_eq!(result["arrows"], arrows, "{result:#}");
    assert_eq!(result["selected"], "violation");
    // Each press of a key leads to another event, and the help opens.
    assert_eq!(result["walked"], result["walkable"]);
    assert_eq!(result["help"], true);
    let troubles = ["fault", "fault", "dies", "violation"];
    assert_eq!(result["troubles"], serde_json::json!(troubles));
    // Why n0 leads: it woke up, wrote its promise, asked n1, and was answered. n2 had no part.
    let leader = serde_json::json!({
        "chain": [
            "state", "receive", "send", "receive", "send", "durable", "persist", "wake"
        ],
        "past": ["state", "send", null],
    });
    assert_eq!(result["leader"], leader);
    // Filters hide, and give back.
    let filters = &result["filters"];
    assert_eq!(filters["all"], filters["again"]);
    assert_eq!(filters["lanes"], 2);
    assert_eq!(filters["nothing"], 0);
    for narrower in ["slots", "ballot"] {
        assert!(filters[narrower].as_u64() < filters["all"].as_u64());
    }
}

#[test]
fn a_browser_takes_hostile_text_for_text() {
    let Some(result) = self_test(&fixture::hostile()) else {
        return;
    };
    assert_eq!(result["errors"], Value::Array(Vec::new()), "{result:#}");
    assert_eq!(result["title"], "chil run 1: violated");
    // Only the data and the script of the page itself.
    assert_eq!(result["markup"], 2, "{result:#}");
}

#[test]
fn a_browser_shows_a_run_in_which_nothing_happened() {
    let mut recording = fixture::small();
    recording.events.clear();
    recording.violation = None;
    let Some(result) = self_test(&recording) else {
        return;
    };
    assert_eq!(result["errors"], Value::Array(Vec::new()), "{result:#}");
}
