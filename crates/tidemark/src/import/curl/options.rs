//! The options of curl: which change what is asked, and which cannot be taken over.

/// Options that only say how curl itself behaves; those with a value are in the second list.
pub(super) const IGNORED: [&str; 37] = [
    "-s",
    "-S",
    "-i",
    "-v",
    "-L",
    "-f",
    "-g",
    "-N",
    "-O",
    "-J",
    "-4",
    "-6",
    "-0",
    "-#",
    "-q",
    "-a",
    "--silent",
    "--show-error",
    "--include",
    "--verbose",
    "--location",
    "--fail",
    "--fail-with-body",
    "--globoff",
    "--compressed",
    "--no-buffer",
    "--http1.1",
    "--http2",
    "--http1.0",
    "--http3",
    "--progress-bar",
    "--ipv4",
    "--ipv6",
    "--remote-name",
    "--path-as-is",
    "--tlsv1.2",
    "--tlsv1.3",
];
const IGNORED_WITH_VALUE: [&str; 19] = [
    "-o",
    "--output",
    "-w",
    "--write-out",
    "-m",
    "--max-time",
    "--connect-timeout",
    "--retry",
    "--retry-delay",
    "--retry-max-time",
    "-D",
    "--dump-header",
    "-c",
    "--cookie-jar",
    "--max-redirs",
    "-e",
    "--referer",
    "--limit-rate",
    "--trace-ascii",
];

/// Options that change what is asked in a way that definitions do not have; with the reason.
pub(super) const REFUSED: [(&str, &str); 22] = [
    (
        "-k",
        "certificates are always checked; `--extra-ca` of the fetcher trusts one more authority",
    ),
    (
        "--insecure",
        "certificates are always checked; `--extra-ca` of the fetcher trusts one more authority",
    ),
    (
        "--cacert",
        "give the authority to the fetcher with `--extra-ca`",
    ),
    ("-E", "client certificates are not supported yet"),
    ("--cert", "client certificates are not supported yet"),
    ("--key", "client certificates are not supported yet"),
    (
        "-x",
        "a proxy is a setting of the fetcher, not of a definition",
    ),
    (
        "--proxy",
        "a proxy is a setting of the fetcher, not of a definition",
    ),
    (
        "-F",
        "a form of files changes something; Tidemark only reads",
    ),
    (
        "--form",
        "a form of files changes something; Tidemark only reads",
    ),
    (
        "--form-string",
        "a form of files changes something; Tidemark only reads",
    ),
    ("-T", "an upload changes something; Tidemark only reads"),
    (
        "--upload-file",
        "an upload changes something; Tidemark only reads",
    ),
    ("-I", "HEAD brings no body to read"),
    ("--head", "HEAD brings no body to read"),
    ("--digest", "digest authentication is not supported yet"),
    ("--ntlm", "NTLM authentication is not supported yet"),
    (
        "--negotiate",
        "Kerberos authentication is not supported yet",
    ),
    ("--aws-sigv4", "signed requests are not supported yet"),
    ("--unix-socket", "only HTTP over a network is supported"),
    ("-n", "a netrc file is not read; write the user with -u"),
    (
        "--next",
        "one request at a time: import each line on its own",
    ),
];

/// Tells whether an option is followed by a value.
pub(super) fn takes_value(name: &str) -> bool {
    const OWN: [&str; 18] = [
        "-X",
        "--request",
        "--url",
        "-H",
        "--header",
        "-A",
        "--user-agent",
        "-b",
        "--cookie",
        "-u",
        "--user",
        "--oauth2-bearer",
        "--url-query",
        "-d",
        "--data",
        "--data-raw",
        "--data-urlencode",
        "--json",
    ];
    OWN.contains(&name)
        || IGNORED_WITH_VALUE.contains(&name)
        || matches!(name, "--data-ascii" | "--data-binary")
}
