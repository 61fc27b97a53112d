//! The ways to Redis, as operators write them in `redis_url`: one server; Sentinels that know which
//! server is the master; a Cluster, of which any node tells the others. Nothing is connected here.
//! What is wrong with a URL is told without repeating it, because it may hold a password.

use redis::cluster::ClusterClientBuilder;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsMode};
use tokio::sync::Mutex;

const SENTINEL_PORT: u16 = 26_379;
const REDIS_PORT: u16 = 6_379;
const FORMS: &str =
    "must be redis://host, redis+sentinel://host,host/?master=name or redis+cluster://host,host; rediss… with TLS";

pub enum Way {
    One(Box<Client>),
    /// Asked for the master whenever there is no connection, and now and then.
    Sentinels(Box<Mutex<SentinelClient>>),
    Cluster(Vec<ConnectionInfo>),
}

/// What is wrong with the URL, if anything is.
pub fn check_url(url: &str) -> Result<(), &'static str> {
    Way::parse(url).map(drop)
}

/// `scheme://login@host,host/database?query`, taken apart.
struct Parts<'a> {
    /// Of each server: `redis` or `rediss`.
    scheme: &'a str,
    /// With its `@`, or nothing.
    login: &'a str,
    hosts: Vec<&'a str>,
    database: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(scheme: &'a str, rest: &'a str) -> Result<Self, &'static str> {
        // A password may hold anything, so what stands before the last @ goes first.
        let (login, rest) = rest.split_at(rest.rfind('@').map_or(0, |at| at.saturating_add(1)));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts: Vec<&str> = hosts.split(',').collect();
        if hosts.iter().any(|host| host.is_empty() || host.starts_with(':')) {
            return Err(FORMS);
        }
        Ok(Self { scheme, login, hosts, database, query })
    }

    fn server(&self, login: &str, host: &str, port: u16, database: &str) -> Result<ConnectionInfo, &'static str> {
        let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
        let port = if has_port { String::new() } else { format!(":{port}") };
        let url = format!("{}://{login}{host}{port}/{database}", self.scheme);
        url.into_connection_info().map_err(|_| "has a host, a login or a database that is not one")
    }
}

/// Messages come as pushes, beside the answers to commands, from the third protocol on.
fn with_pushes(info: ConnectionInfo) -> ConnectionInfo {
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    info.set_redis_settings(redis)
}

impl Way {
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or(FORMS)?;
        if rest.is_empty() || url.contains(char::is_whitespace) {
            return Err(FORMS);
        }
        match scheme.split_once('+') {
            None if matches!(scheme, "redis" | "rediss") => {
                let info = url.into_connection_info().map_err(|_| FORMS)?;
                Client::open(with_pushes(info)).map(|client| Self::One(Box::new(client))).map_err(|_| FORMS)
            }
            Some((each @ ("redis" | "rediss"), "sentinel")) => sentinels(&Parts::of(each, rest)?),
            Some((each @ ("redis" | "rediss"), "cluster")) => cluster(&Parts::of(each, rest)?),
            _ => Err(FORMS),
        }
    }
}

/// The login and the database are the servers'; Sentinels have a login of their own, if any.
fn sentinels(parts: &Parts<'_>) -> Result<Way, &'static str> {
    let (mut master, mut user, mut password) = (None, "", None);
    for pair in parts.query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("master", name)) => master = Some(name),
            Some(("sentinel_user", name)) => user = name,
            Some(("sentinel_password", secret)) => password = Some(secret),
            _ => return Err("knows master=, sentinel_user= and sentinel_password= behind its ?"),
        }
    }
    let is_name =
        |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let master = master.filter(is_name).ok_or("must say which master the Sentinels are asked for: ?master=name")?;
    let login = password.map(|password| format!("{user}:{password}@")).unwrap_or_default();
    let hosts = parts.hosts.iter();
    let asked = hosts.map(|host| parts.server(&login, host, SENTINEL_PORT, "")).collect::<Result<Vec<_>, _>>()?;
    let any = with_pushes(parts.server(parts.login, "localhost", REDIS_PORT, parts.database)?);
    let mut servers = SentinelNodeConnectionInfo::default().set_redis_connection_info(any.redis_settings().clone());
    if parts.scheme == "rediss" {
        servers = servers.set_tls_mode(TlsMode::Secure);
    }
    let client = SentinelClient::build(asked, master, Some(servers), SentinelServerType::Master);
    client.map(|client| Way::Sentinels(Box::new(Mutex::new(client)))).map_err(|_| FORMS)
}

fn cluster(parts: &Parts<'_>) -> Result<Way, &'static str> {
    if !matches!(parts.database, "" | "0") || !parts.query.is_empty() {
        return Err("has a database or a query, and a Redis Cluster has neither");
    }
    let hosts = parts.hosts.iter();
    let node = |host: &&str| parts.server(parts.login, host, REDIS_PORT, "").map(with_pushes);
    let nodes = hosts.map(node).collect::<Result<Vec<_>, _>>()?;
    ClusterClientBuilder::new(nodes.clone()).build().map_err(|_| FORMS)?;
    Ok(Way::Cluster(nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_understood() {
        for url in
            ["redis://cache", "redis://u:p@cache:6380/2", "rediss://:p@[::1]:6380", "redis://127.0.0.1:1/?protocol=3"]
        {
            assert!(matches!(Way::parse(url), Ok(Way::One(_))), "{url}");
        }
        for url in [
            "redis+sentinel://a/?master=main",
            "redis+sentinel://a:26379,b,[::1]:26380/3?master=the.main-one_1",
            "rediss+sentinel://u:p%40ss@a,b/0?master=main&sentinel_user=s&sentinel_password=t",
        ] {
            assert!(matches!(Way::parse(url), Ok(Way::Sentinels(_))), "{url}");
        }
        let Ok(Way::Cluster(nodes)) = Way::parse("rediss+cluster://u:p@a,b:7000,[::1]:7001/") else { unreachable!() };
        let shown: Vec<String> = nodes.iter().map(|node| node.addr().to_string()).collect();
        assert_eq!(shown, ["a:6379", "b:7000", "::1:7001"]);
        assert!(nodes.iter().all(|node| node.redis_settings().password() == Some("p")));
    }

    #[test]
    fn what_is_none_of_them_is_told_without_its_secrets() {
        for url in [
            "cache:6379",
            "redis://",
            "http://cache",
            "redis+sentinels://a/?master=m",
            "redis+sentinel://:hunter2@a,b/main",
            "redis+sentinel://:hunter2@a,b/",
            "redis+sentinel://:hunter2@a,/?master=m",
            "redis+sentinel://:hunter2@a/x?master=m",
            "redis+sentinel://:hunter2@a/?master=m&sentinel_passwort=hunter2",
            "redis+cluster://:hunter2@a,b/1",
            "redis+cluster://:hunter2@a:port",
            "redis+cluster://",
            "redis+cluster://a, b",
        ] {
            let why = check_url(url).unwrap_err();
            assert!(!why.contains("hunter2"), "{url}: {why}");
        }
    }
}
