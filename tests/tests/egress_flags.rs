//! What an operator opens and closes by flags and files, from the command line.

use house_tests::{CommandLine, Said};

fn nobody() -> CommandLine {
    CommandLine {
        url: "http://127.0.0.1:9".into(),
        token: String::new(),
    }
}

async fn check(arguments: &[&str]) -> Said {
    let all: Vec<&str> = ["check-url"].iter().chain(arguments).copied().collect();
    nobody().run(&all).await
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_are_opened_and_closed_and_a_file_counts_like_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("allow");
    std::fs::write(&list, "# the reports\n10.1.2.3:9000\n").expect("written");
    let list = list.display().to_string();
    for (arguments, code) in [
        (vec!["http://10.1.2.3/"], 1),
        (vec!["--allow-cidr", "10.0.0.0/8", "http://10.1.2.3/"], 0),
        (vec!["--allow-cidr", "10.0.0.0/8", "http://192.168.1.1/"], 1),
        (vec!["--allow-list", &list, "http://10.1.2.3:9000/"], 0),
        (vec!["--allow-list", &list, "http://10.1.2.3:9001/"], 1),
        (vec!["http://93.184.216.34/"], 0),
        (
            vec!["--deny-cidr", "93.184.0.0/16", "http://93.184.216.34/"],
            1,
        ),
        (
            vec!["--allow-cidr", "169.254.0.0/16", "http://169.254.169.254/"],
            1,
        ),
    ] {
        let said = check(&arguments).await;
        assert_eq!(said.code, Some(code), "{arguments:?} {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_flags_are_named_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let wrong = write("wrong", "10.1.2.3:9000\n*:80\n");
    let no_pem = write("no.pem", "hello\n");
    for (arguments, says) in [
        (
            vec!["--allow-cidr", "10.1.2.3:80"],
            "--allow-cidr 10.1.2.3:80: is no network",
        ),
        (
            vec!["--deny-cidr", "everything"],
            "--deny-cidr everything: is no network",
        ),
        (vec!["--allow-list", &wrong], "line 2"),
        (vec!["--allow-list", "/no/such/file"], "cannot be read"),
        (vec!["--egress-proxy", "socks5://p:1"], "--egress-proxy"),
        (vec!["--extra-ca", &no_pem], "no PEM certificates"),
    ] {
        let mut all = vec!["try", "http://93.184.216.34/"];
        all.extend(&arguments);
        let said = nobody().run(&all).await;
        assert_eq!(said.code, Some(2), "{arguments:?} {said:?}");
        assert!(said.errors.contains(says), "{says}: {said:?}");
    }
}
