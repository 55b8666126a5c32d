//! Rust source without what is not code, and its lines counted.
//! Knows only as much of the grammar as it takes to tell code from comments and strings.

/// `source` with comments and the contents of strings replaced by blanks; lines stay lines.
pub(crate) fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let Some(end) = not_code(&chars, at) else {
            out.push(chars[at]);
            at += 1;
            continue;
        };
        let end = end.min(chars.len());
        out.extend(
            chars[at..end]
                .iter()
                .map(|c| if *c == '\n' { '\n' } else { ' ' }),
        );
        at = end;
    }
    out
}

/// Where the comment, string or character that starts `at` ends; `None` if code stands there.
fn not_code(chars: &[char], at: usize) -> Option<usize> {
    let char_at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    match (char_at(at), char_at(at + 1)) {
        ('/', '/') => Some(find(chars, at, |i| char_at(i) == '\n')),
        ('/', '*') => Some(end_of_block_comment(chars, at)),
        ('"', _) => Some(end_of_string(chars, at + 1)),
        // A raw string, unless this is the end of a longer name.
        ('r', '"' | '#') if at == 0 || !is_name(char_at(at - 1)) || char_at(at - 1) == 'b' => {
            let hashes = (at + 1..).take_while(|&i| char_at(i) == '#').count();
            (char_at(at + 1 + hashes) == '"').then(|| {
                find(chars, at + 2 + hashes, |i| {
                    char_at(i) == '"' && (1..=hashes).all(|h| char_at(i + h) == '#')
                }) + 1
                    + hashes
            })
        }
        // A character, not a lifetime.
        ('\'', '\\') => Some(find(chars, at + 3, |i| char_at(i) == '\'') + 1),
        ('\'', _) if char_at(at + 2) == '\'' => Some(at + 3),
        _ => None,
    }
}

fn find(chars: &[char], from: usize, is_end: impl Fn(usize) -> bool) -> usize {
    (from..chars.len())
        .find(|&i| is_end(i))
        .unwrap_or(chars.len())
}

fn end_of_string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn end_of_block_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `name` stands in `code` as a word of its own.
pub(crate) fn has_word(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        let after = code[at + name.len()..].chars().next().unwrap_or(' ');
        !is_name(before) && !is_name(after)
    })
}

/// Lines of code outside of the unit tests, and lines of the unit-test module.
pub(crate) fn lines_of_code(source: &str) -> (usize, usize) {
    let code = code_only(source);
    let is_code = |line: &&str| !line.trim().is_empty();
    let tests_from = code
        .find("#[cfg(test)]\nmod ")
        .filter(|at| !code[*at..].lines().nth(1).unwrap_or(";").ends_with(';'))
        .unwrap_or(code.len());
    let (code, tests) = code.split_at(tests_from);
    (
        code.lines().filter(is_code).count(),
        tests.lines().filter(is_code).count(),
    )
}

#[test]
fn only_code_is_left() {
    let source = r##"let a = "todo!() \" // no"; // todo!()
let b = r#"x "todo!()" y"#; /* a /* todo!() */ b */ let c = '"'; let d: &'a str = b"\\";
let e = '\''; let r = 1;"##;
    let code = code_only(source);
    assert!(!code.contains("todo"), "{code}");
    assert_eq!(code.lines().count(), 3);
    for kept in ["let a = ", "let b = ", "let c = ", "&'a str", "let r = 1;"] {
        assert!(code.contains(kept), "{kept} is missing in {code}");
    }
}

#[test]
fn words_are_whole() {
    assert!(has_word("use std::HashMap;", "HashMap"));
    assert!(!has_word("use MyHashMap;", "HashMap"));
    assert!(!has_word("fn no_todo_here", "todo"));
}

#[test]
fn tests_are_counted_apart() {
    let source =
        "//! Doc.\n\nfn a() {\n    // why\n    b();\n}\n\n#[cfg(test)]\nmod tests {\n    x\n}\n";
    assert_eq!(lines_of_code(source), (3, 4));
    let apart = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n";
    assert_eq!(lines_of_code(apart), (4, 0));
}
