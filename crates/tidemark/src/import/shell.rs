//! Splits a line as a shell would: quotes, escapes, continued lines. Nothing is expanded or run.

use super::Refused;

/// The longest line that is read; what documentation shows is far shorter.
const MOST: usize = 256 * 1024;

/// The words of a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) words: Vec<String>,
    /// Whether an `&` outside of quotes was kept as a part of an address.
    pub(crate) kept_ampersand: bool,
}

/// Returns the words of the first command of `text`.
///
/// `$NAME` stays as it is, since it stands for something the reader has; a pipe, a redirection or
/// a second command ends the words. An `&` that goes on with the query of an address stays in it, since a line is pasted here
/// that no shell has read; one that would cut off anything else is refused.
pub(crate) fn words(text: &str) -> Result<Words, Refused> {
    if text.len() > MOST {
        return Err(Refused::new("the line is longer than 256 KiB"));
    }
    let mut kept_ampersand = false;
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
            '&' if word.as_deref().is_some_and(has_query) && goes_on(&letters) => {
                kept_ampersand = true;
                word.get_or_insert_default().push('&');
            }
            '&' if !ends(&letters) => return Err(cut_off(letters)),
            '|' | ';' | '>' | '<' | '&' | '\n' => {
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
    Ok(Words {
        words,
        kept_ampersand,
    })
}

fn has_query(word: &str) -> bool {
    word.split_once('?')
        .is_some_and(|(address, _)| !address.is_empty() && !address.contains('='))
}

/// Tells whether `name=` follows, as in a query.
fn goes_on(letters: &Letters<'_>) -> bool {
    let is_name = |c: &char| c.is_alphanumeric() || "_-.[]%$~".contains(*c);
    let mut rest = letters.clone().skip_while(|c| *c == '&').peekable();
    rest.next_if(is_name).is_some() && rest.find(|c| !is_name(c)) == Some('=')
}

/// Tells whether an `&` ends the command as people mean it: nothing follows on its line, or a second command behind `&&`.
fn ends(letters: &Letters<'_>) -> bool {
    let mut rest = letters.clone();
    if rest.next_if_eq(&'&').is_some() {
        return rest.next().is_none_or(char::is_whitespace);
    }
    rest.find(|c| !matches!(c, ' ' | '\t'))
        .is_none_or(|c| matches!(c, '\n' | '\r' | '#'))
}

fn cut_off(letters: Letters<'_>) -> Refused {
    const SHOWN: usize = 20;
    // A value may be a key; its name says enough.
    let follows: String = letters
        .take_while(|c| !c.is_whitespace() && *c != '=')
        .take(SHOWN)
        .collect();
    Refused::new(format!(
        "an `&` stands outside of quotes, before `{follows}`; a shell would end the command there and drop the rest. Put the \
         address (or the data) in single quotes inside of the line, or leave out what is behind the `&`"
    ))
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
            ("curl url?a=1 &", vec!["curl", "url?a=1"]),
            ("curl url && echo done", vec!["curl", "url"]),
            ("curl 'url?a=1&b=2'", vec!["curl", "url?a=1&b=2"]),
        ] {
            let read = words(line).unwrap();
            assert_eq!(read.words, expected, "{line}");
            assert!(!read.kept_ampersand, "{line}");
        }
        assert!(words("curl 'open").is_err() && words("curl \"open").is_err());
    }

    #[test]
    fn an_ampersand_outside_of_quotes_cuts_nothing_off() {
        for (line, address) in [
            (
                "curl https://a.test/x?a=1&b=2 -s",
                "https://a.test/x?a=1&b=2",
            ),
            (
                "curl https://a.test/x?a=1&b[]='c d'&e=",
                "https://a.test/x?a=1&b[]=c d&e=",
            ),
        ] {
            let read = words(line).unwrap();
            assert_eq!(read.words[1], address);
            assert!(read.kept_ampersand, "{line}");
        }
        for line in [
            "curl https://a.test/x&a=hush",
            "curl https://a.test/x?a=1&flag",
            "curl -d a=1&b=hush https://a.test/x",
            "curl -d q=why?&b=hush https://a.test/x",
            "curl https://a.test/x?a=1 & b=hush",
        ] {
            let refused = words(line).unwrap_err().to_string();
            assert!(refused.contains("single quotes"), "{line}: {refused}");
            assert!(!refused.contains("hush"), "{refused}");
        }
    }
}
