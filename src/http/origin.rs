//! Which browsers may come: pages of this host itself, of localhost, and of the allow-list. A
//! client that is no browser sends no Origin and is not asked for one; its token speaks for it.

use actix_web::HttpRequest;

pub fn is_allowed(request: &HttpRequest, allowed: &[String]) -> bool {
    let Some(origin) = request.headers().get("origin") else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = request.connection_info().host().to_owned();
    is_listed(origin, &host, allowed)
}

pub fn is_listed(origin: &str, own_host: &str, allowed: &[String]) -> bool {
    if allowed.iter().any(|other| other == origin) {
        return true;
    }
    let Some((_, host)) = origin.split_once("://") else { return false };
    if host == own_host {
        return true;
    }
    let name = host.rsplit_once(':').map_or(
        host,
        |(name, port)| {
            if port.chars().all(|c| c.is_ascii_digit()) { name } else { host }
        },
    );
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::is_listed;

    #[test]
    fn own_local_and_listed_origins_pass_and_others_do_not() {
        let allowed = ["https://app.example".to_owned()];
        for good in ["https://app.example", "https://meet.example", "http://localhost:5173", "http://127.0.0.1:1"] {
            assert!(is_listed(good, "meet.example", &allowed), "{good}");
        }
        for bad in ["https://evil.example", "null", "https://app.example.evil", "http://localhost.evil:80"] {
            assert!(!is_listed(bad, "meet.example", &allowed), "{bad}");
        }
    }
}
