//! Tests of the page: that nothing in a recording becomes markup, and that it runs in a browser.

use serde_json::Value;

use super::*;
use crate::report::{browser, fixture};

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

/// What the page finds out about itself in a browser, if there is one.
fn self_test(recording: &Recording) -> Option<Value> {
    browser::finding(&html(recording))
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
    // The pointer shows what it is at, and that goes with it.
    let pointing = &result["pointing"];
    assert_eq!(pointing["found"], "state", "{result:#}");
    let tip = pointing["tip"].as_str().expect("a tip is shown");
    assert!(tip.starts_with("n0") && tip.contains("is down"), "{tip}");
    assert_eq!(
        (&pointing["speaksOfIt"], &pointing["gone"]),
        (&true.into(), &true.into())
    );
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
fn a_browser_says_how_clocks_differ() {
    let mut recording = fixture::small();
    let clock = |offset_us, drift_ppm| ClockPlan {
        offset_us,
        drift_ppm,
    };
    recording.plan.clocks = vec![
        clock(2_500_000, 0),
        clock(1_000_000, 20_000),
        clock(1_000_300, -120),
    ];
    let Some(result) = self_test(&recording) else {
        return;
    };
    assert_eq!(result["errors"], Value::Array(Vec::new()), "{result:#}");
    let clocks = serde_json::json!(["+1.5 s", "2 % fast", "+300 µs, 0.012 % slow"]);
    assert_eq!(result["clocks"], clocks);
}

#[test]
fn a_browser_knows_which_batch_a_sync_was_about() {
    let Some(result) = self_test(&fixture::in_flight()) else {
        return;
    };
    assert_eq!(result["errors"], Value::Array(Vec::new()), "{result:#}");
    let syncs = serde_json::json!([["1:1", "[a]", 1], ["1:3", "[c]", 2], ["2:1", "[e]", 1]]);
    assert_eq!(result["syncs"], syncs, "{result:#}");
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
