//! Splits a line as a shell would: quotes, escapes, continued lines. Nothing is expanded or run.

use super::Refused;

/// The longest line that is read; what documentation shows is far shorter.
const MOST: usize = 256 * 1024;

/// Returns the words of the first command of `text`.
///
/// `$NAME` stays as it is, since it stands for something the reader has; a pipe, a redirection or
/// a second command ends the words.
pub(crate) fn words(text: &str) -> Result<Vec<String>, Refused> {
    if text.len() > MOST {
        return Err(Refused::new("the line is longer than 256 KiB"));
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => quoted(&mut letters, word.get_or_insert_default())?,
            '"' => double_quoted(&mut letters, word.get_or_insert_default())?,
            '$' if letters.peek() == Some(&'\'') => {
                letters.next();
                escaped(&mut letters, word.get_or_insert_default())?;
            }
            '\\' => match letters.next() {
                Some('\r') => {
                    letters.next_if_eq(&'\n');
                }
                Some('\n') | None => {}
                Some(other) => word.get_or_insert_default().push(other),
            },
            // The continued line of the Windows shell.
            '^' if matches!(letters.peek(), Some('\n' | '\r')) => {
                while letters.next_if(|c| matches!(c, '\n' | '\r')).is_some() {}
            }
            '#' if word.is_none() => while letters.next_if(|c| *c != '\n').is_some() {},
            '|' | ';' | '>' | '<' | '&' => {
                words.extend(word.take());
                if !words.is_empty() {
                    return Ok(words);
                }
            }
            '\n' => {
                words.extend(word.take());
                if !words.is_empty() {
                    break;
                }
            }
            space if space.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

type Letters<'t> = std::iter::Peekable<std::str::Chars<'t>>;

fn unclosed(quote: char) -> Refused {
    Refused::new(format!(
        "a quote {quote} is opened and not closed; put the whole line in quotes of the other kind"
    ))
}

fn quoted(letters: &mut Letters<'_>, word: &mut String) -> Result<(), Refused> {
    loop {
        match letters.next() {
            Some('\'') => return Ok(()),
            Some(letter) => word.push(letter),
            None => return Err(unclosed('\'')),
        }
    }
}

fn double_quoted(letters: &mut Letters<'_>, word: &mut String) -> Result<(), Refused> {
    loop {
        match letters.next() {
            Some('"') => return Ok(()),
            Some('\\') => match letters.next() {
                Some('\n') => {}
                Some(letter @ ('"' | '\\' | '$' | '`')) => word.push(letter),
                Some(letter) => word.extend(['\\', letter]),
                None => return Err(unclosed('"')),
            },
            Some(letter) => word.push(letter),
            None => return Err(unclosed('"')),
        }
    }
}

/// The inside of `$'…'`, where backslashes write characters.
fn escaped(letters: &mut Letters<'_>, word: &mut String) -> Result<(), Refused> {
    loop {
        let letter = letters.next().ok_or_else(|| unclosed('\''))?;
        if letter == '\'' {
            return Ok(());
        }
        if letter != '\\' {
            word.push(letter);
            continue;
        }
        let written = letters.next().ok_or_else(|| unclosed('\''))?;
        match written {
            'n' => word.push('\n'),
            't' => word.push('\t'),
            'r' => word.push('\r'),
            'x' => word.extend(code(letters, 2)),
            'u' => word.extend(code(letters, 4)),
            'U' => word.extend(code(letters, 8)),
            other => word.push(other),
        }
    }
}

fn code(letters: &mut Letters<'_>, most: usize) -> Option<char> {
    let mut number = 0;
    for _ in 0..most {
        match letters.peek().and_then(|letter| letter.to_digit(16)) {
            Some(digit) => {
                number = number * 16 + digit;
                letters.next();
            }
            None => break,
        }
    }
    char::from_u32(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        for (line, expected) in [
            ("curl https://a.test", vec!["curl", "https://a.test"]),
            ("curl 'a b' \"c d\"", vec!["curl", "a b", "c d"]),
            ("curl a\\ b x'y z'w", vec!["curl", "a b", "xy zw"]),
            (
                "curl \\\n  -H 'A: b' \\\r\n  url",
                vec!["curl", "-H", "A: b", "url"],
            ),
            ("curl ^\n  -s url", vec!["curl", "-s", "url"]),
            ("curl $'it\\'s\\n\\u00e9\\x41'", vec!["curl", "it's\néA"]),
            (
                "curl \"say \\\"hi\\\" \\n $KEY\"",
                vec!["curl", "say \"hi\" \\n $KEY"],
            ),
            (
                "curl -u \"$SID:$TOKEN\" url | jq .",
                vec!["curl", "-u", "$SID:$TOKEN", "url"],
            ),
            ("curl url > out.json", vec!["curl", "url"]),
            (
                "\n# a remark\ncurl url # and one more\nnext",
                vec!["curl", "url"],
            ),
            ("curl '' \"\"", vec!["curl", "", ""]),
        ] {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
        assert!(words("curl 'open").is_err() && words("curl \"open").is_err());
    }
}
