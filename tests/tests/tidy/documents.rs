//! Links and references: that every document's link leads somewhere, and every section that
//! a comment names exists. Knows nothing about what the documents say.

use std::path::{Component, Path, PathBuf};

use crate::{File, MEMBERS, paths_below, report, root, rust_files};

/// The documents for people.
fn documents() -> Vec<File> {
    let mut paths = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
    paths.extend(paths_below("docs"));
    paths
        .into_iter()
        .filter(|path| path.ends_with(".md"))
        .map(|path| File::read(&path))
        .collect()
}

/// Prose without fenced code, in which brackets mean something else.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            lines.push((number, line));
        }
    }
    lines
}

/// Titles of the document's sections, without numbers and marks.
fn titles(text: &str) -> Vec<&str> {
    prose(text)
        .into_iter()
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| line.trim_start_matches('#').trim())
        .collect()
}

/// A title as the anchor that it gets where Markdown is shown.
fn anchor(title: &str) -> String {
    title
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// `docs/../README.md` as `README.md`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::Normal(name) => out.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    out
}

/// Why the link does not lead anywhere, if it does not.
fn broken(document: &File, target: &str) -> Option<&'static str> {
    let (file, section) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(&document.path)
        .parent()
        .unwrap_or_else(|| Path::new(""));
    let path = match file {
        "" => PathBuf::from(&document.path),
        _ => normal(&folder.join(file)),
    };
    if !root().join(&path).exists() {
        return Some("no such file");
    }
    if section.is_empty() {
        return None;
    }
    let text = File::read(&path.to_string_lossy()).text;
    let is_there = titles(&text).iter().any(|title| anchor(title) == section);
    (!is_there).then_some("no such section")
}

#[test]
fn every_link_leads_somewhere() {
    let mut violations = Vec::new();
    let mut links = 0;
    for document in documents() {
        for (number, line) in prose(&document.text) {
            for rest in line.split("](").skip(1) {
                let target = rest.split([')', ' ']).next().unwrap_or_default();
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                links += 1;
                if let Some(why) = broken(&document, target) {
                    violations.push(format!("{}:{number}: {target}: {why}", document.path));
                }
            }
        }
    }
    assert!(links > 5, "only {links} links found: is the search broken?");
    report("links that lead nowhere:", &violations);
}

#[test]
fn every_path_that_a_document_names_exists() {
    let mut violations = Vec::new();
    let mut paths = 0;
    for document in documents() {
        for (number, line) in prose(&document.text) {
            // Every second piece stands between backticks.
            for quoted in line.split('`').skip(1).step_by(2) {
                let in_crate = |member: &&str| quoted.starts_with(&format!("{member}/"));
                let is_path = MEMBERS.iter().any(in_crate)
                    || quoted.starts_with("docs/")
                    || quoted.starts_with(".ci/");
                if !is_path || quoted.contains(char::is_whitespace) {
                    continue;
                }
                paths += 1;
                if !root().join(quoted).exists() {
                    violations.push(format!("{}:{number}: {quoted}", document.path));
                }
            }
        }
    }
    assert!(
        paths > 10,
        "only {paths} paths found: is the search broken?"
    );
    report("paths that are not there:", &violations);
}

#[test]
fn every_section_that_a_comment_names_exists() {
    let mut violations = Vec::new();
    for name in ["PROTOCOL", "SAFETY", "TESTING", "ARCHITECTURE"] {
        let document = File::read(&format!("docs/{name}.md"));
        let titles = titles(&document.text);
        let mention = format!("{name}.md \"");
        for file in rust_files() {
            // A reference may be wrapped: comment marks and line ends are blanks to it.
            let text = file.text.replace("///", " ").replace("//!", " ");
            let text = text.replace("//", " ");
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for rest in words.split(&mention).skip(1) {
                let section = rest.split('"').next().unwrap_or_default();
                if section.len() < 80 && !titles.contains(&section) {
                    violations.push(format!("{}: {name}.md \"{section}\"", file.path));
                }
            }
        }
    }
    report("sections that no document has:", &violations);
}
