use super::*;
use tokio::net::TcpListener;

fn config(given: &[(&str, &str)]) -> Config {
    let example = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/convoke.example.toml"));
    let flags: Vec<_> = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::load_from(Some(example), Vec::new(), &flags).unwrap()
}

fn folder() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("convoke-check-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn hosts_are_found_in_every_form_of_url_and_secrets_are_not() {
    let found = |url: &str| hosts(url, 1).unwrap_or_default();
    let pair = |host: &str, port: u16| (host.to_owned(), port);
    assert_eq!(found("redis://cache"), [pair("cache", 1)]);
    assert_eq!(found("redis://cache:7000/2?x=y"), [pair("cache", 7000)]);
    assert_eq!(found("redis://user:p@ss/word@cache:7000/2"), [pair("cache", 7000)]);
    assert_eq!(found("redis+sentinel://:secret@a:1,b:2/main"), [pair("a", 1), pair("b", 2)]);
    assert_eq!(found("wss://[::1]:7880/rtc"), [pair("::1", 7880)]);
    assert_eq!(found("wss://[::1]"), [pair("::1", 1)]);
    for bad in ["cache", "redis://", "redis://:7000", "redis://cache:port", "redis://a,,b", "redis://a:70000"] {
        assert_eq!(hosts(bad, 1), None, "{bad}");
    }
}

#[tokio::test]
async fn a_host_is_reached_or_named_as_not_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("redis://:hunter2@{address}/0");
    assert!(redis(&config(&[("redis_url", &url)])).await.unwrap().contains(&address.to_string()));
    drop(listener);
    let why = redis(&config(&[("redis_url", &url)])).await.unwrap_err();
    assert!(why.contains(&address.to_string()) && !why.contains("hunter2"), "{why}");
}

#[tokio::test]
async fn a_transcriber_is_named_without_its_key() {
    assert!(transcriber(&config(&[])).await.unwrap().starts_with("not configured"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let given = [("transcriber", "deepgram"), ("deepgram_url", url.as_str()), ("deepgram_api_key", "hunter2")];
    let line = transcriber(&config(&given)).await.unwrap();
    assert!(line.contains(&url.replace("http://", "")) && line.ends_with("on request, in detect"), "{line}");
    drop(listener);
    let why = transcriber(&config(&given)).await.unwrap_err();
    assert!(!line.contains("hunter2") && !why.contains("hunter2"), "{why}");
}

#[tokio::test]
async fn a_check_before_the_first_start_leaves_nothing_behind() {
    let folder = folder();
    let url = format!("sqlite://{}/data/convoke.db", folder.display());
    assert!(database(&config(&[("database_url", &url)])).await.unwrap().contains("is made at the first start"));
    let objects_url = format!("file://{}/data/objects", folder.display());
    assert!(objects(&config(&[("objects_url", &objects_url)])).await.is_ok());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_database_is_checked_also_while_a_server_uses_it() {
    let folder = folder();
    let url = format!("sqlite://{}/convoke.db", folder.display());
    let config = config(&[("database_url", &url)]);
    let opened = store::open(&url).await.unwrap();
    opened.db.migrate().await.unwrap();
    assert!(database(&config).await.unwrap().ends_with("in use by a server"));
    opened.db.close().await;
    drop(opened);
    assert!(database(&config).await.unwrap().ends_with("convoke.db"));
    std::fs::write(folder.join("convoke.db"), "this is no database, however long it may be".repeat(100)).unwrap();
    assert!(database(&config).await.is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn keys_made_by_a_server_are_read_beside_it() {
    let folder = folder();
    let url = format!("sqlite://{}/convoke.db", folder.display());
    let config = config(&[("database_url", &url)]);
    let opened = store::open(&url).await.unwrap();
    opened.db.migrate().await.unwrap();
    assert!(access::keyring(&config).await.is_err(), "there is no key yet");
    opened.db.make_api_key(1).await.unwrap();
    let made = opened.db.api_keys().await.unwrap();
    let keyring = access::keyring(&config).await.unwrap();
    let tenant = access::tenant(&keyring, None).unwrap();
    assert_eq!(tenant, made[0].tenant);
    assert!(access::tenant(&keyring, Some("nobody".to_owned())).is_err());
    let token = keyring.mint_api(&tenant, 60).unwrap();
    assert!(crate::auth::Keyring::new(made).verify(&token).is_ok());
    opened.db.close().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn tools_that_are_not_installed_are_named_and_are_no_failure() {
    assert!(tools(Err("ffprobe")).starts_with("ffprobe is not installed"));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let file = folder().join("file");
    std::fs::write(&file, "").unwrap();
    let why = writable(&file.join("below")).unwrap_err();
    assert!(why.contains("file"), "{why}");
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
}

#[test]
fn keys_are_counted_and_weak_ones_noticed_without_showing_them() {
    let strong = "0123456789abcdef0123456789abcdef";
    let found = keys(&config(&[("api_keys", &format!("a/x:{strong},a/y:{strong},b/z:hunter2"))])).unwrap();
    assert!(found.starts_with("3 configured, of 2 tenants; 1 with a secret of fewer"), "{found}");
    assert!(!found.contains("hunter2") && !found.contains(strong));
}
