//! What the README shows of `cargo chaos`: its commands are run, and print what stands below them.
//! Times and rates are the machine's affair. `UPDATE_EXPECT=1` writes the README anew.

use std::path::Path;

use crate::chil_sim;

const SECTION: &str = "## Test it\n";

/// The rows of a campaign's summary that the README shows.
const ROWS: [&str; 13] = [
    "seeds ",
    "events ",
    "simulated time ",
    "slots decided ",
    "operations ",
    "messages ",
    "ballots ",
    "restarts ",
    "histories ",
    "healed after ",
    "run twice ",
    "faults ",
    "nothing was violated",
];

/// What `cargo chaos` prints.
fn printed(arguments: &str) -> String {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let output = chil_sim(&words);
    assert!(output.status.success(), "cargo chaos {arguments}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// The lines that `keeps`, with an ellipsis where some are left out.
fn shortened(output: &str, keeps: impl Fn(usize, &str) -> bool) -> String {
    let (mut out, mut left_out) = (String::new(), false);
    for (at, line) in output.lines().enumerate() {
        if keeps(at, line) {
            if left_out && !out.is_empty() {
                out.push_str("...\n");
            }
            out.push_str(line);
            out.push('\n');
        }
        left_out = !keeps(at, line);
    }
    out
}

/// The part of what a command prints that stands in the README.
fn excerpt(arguments: &str) -> String {
    let output = printed(arguments);
    if arguments.starts_with("run ") {
        return shortened(&output, |_, line| {
            ROWS.iter().any(|row| line.starts_with(row))
        });
    }
    // How somebody begins to lead, and the end.
    let leads = output
        .lines()
        .position(|line| line.contains("state: leading"));
    let from = leads.expect("somebody leads").saturating_sub(1);
    let last = output.lines().count();
    shortened(&output, |at, _| {
        (from..from + 6).contains(&at) || at + 2 >= last
    })
}

/// Without what depends on the machine.
fn steady(text: &str) -> Vec<&str> {
    let lines = text.lines().map(|line| match line {
        _ if line.starts_with("events ") => line.split(" in ").next().unwrap_or_default(),
        _ if line.starts_with("simulated time ") => line.split(',').next().unwrap_or_default(),
        _ => line,
    });
    lines.collect()
}

#[test]
fn the_readme_shows_what_the_commands_print() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(&file).unwrap();
    let (before, section) = readme.split_once(SECTION).expect("its section");
    let end = section.find("\n## ").expect("another section follows");
    let mut blocks: Vec<String> = section[..end].split("```").map(str::to_owned).collect();
    let mut shown = 0;
    for at in 1..blocks.len() {
        let Some(arguments) = blocks[at].strip_prefix("sh\ncargo chaos ") else {
            continue;
        };
        let expected = excerpt(arguments.trim_end());
        // Behind a command come the words between the blocks, and then what it prints.
        let block = blocks
            .get_mut(at + 2)
            .expect("a command and what it prints");
        let stands = block
            .strip_prefix("text\n")
            .expect("what it prints is text");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            *block = format!("text\n{expected}");
        } else {
            assert_eq!(
                steady(stands),
                steady(&expected),
                "run this with UPDATE_EXPECT=1"
            );
        }
        shown += 1;
    }
    assert_eq!(shown, 2, "a campaign and a replay");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let section = format!("{}{}", blocks.join("```"), &section[end..]);
        std::fs::write(file, format!("{before}{SECTION}{section}")).unwrap();
    }
}
