//! Credential parameters on an address: put on when it is sent, taken off when it is shown.

use url::Url;

use super::Credentials;

/// Puts credential parameters on an address, replacing those of the same name (next links echo them).
pub(super) fn put_query(url: &mut Url, parameters: &[(String, service::Secret)]) {
    if parameters.is_empty() {
        return;
    }
    let names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    *url = without_names(url, &names);
    let mut pairs = url.query_pairs_mut();
    for (name, value) in parameters {
        pairs.append_pair(name, value.expose());
    }
}

/// An address without the credential parameters.
pub fn without(url: &Url, credentials: &Credentials) -> Url {
    let names: Vec<&str> = credentials
        .query
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    without_names(url, &names)
}

/// An address without the parameters of these names.
pub fn without_names(url: &Url, names: &[&str]) -> Url {
    let Some(query) = url.query().filter(|_| !names.is_empty()) else {
        return url.clone();
    };
    // Pairs are kept as they are written: re-encoding could change what the API reads.
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| {
            let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
            !decoded.is_some_and(|(name, _)| names.contains(&&*name))
        })
        .collect();
    let mut url = url.clone();
    if kept.len() != query.split('&').count() {
        let kept = kept.join("&");
        url.set_query((!kept.is_empty()).then_some(&kept));
    }
    url
}

#[cfg(test)]
mod tests {
    use http::header::HeaderMap;

    use super::*;

    #[test]
    fn credential_parameters_are_put_once_and_taken_off_whole() {
        let credentials = Credentials {
            headers: HeaderMap::new(),
            query: vec![("api_secret".to_owned(), service::Secret::new("a b&c"))],
        };
        let mut url = Url::parse("https://h.test/v3?api_secret=old&page=2&x=a%2Bb").expect("url");
        put_query(&mut url, &credentials.query);
        assert_eq!(
            url.as_str(),
            "https://h.test/v3?page=2&x=a%2Bb&api_secret=a+b%26c"
        );
        assert_eq!(
            without(&url, &credentials).as_str(),
            "https://h.test/v3?page=2&x=a%2Bb"
        );
    }
}
