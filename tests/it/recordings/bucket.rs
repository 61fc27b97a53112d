//! The same in a bucket, of an S3 server within the test.

use super::*;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub const BUCKET: &str = "box";

/// Holds back the answers to what was deleted, while it is shut.
#[derive(Clone)]
pub struct Gate {
    shut: Arc<watch::Sender<bool>>,
    held: Arc<watch::Sender<u32>>,
}

impl Gate {
    pub fn new(is_shut: bool) -> Self {
        Self { shut: Arc::new(watch::Sender::new(is_shut)), held: Arc::new(watch::Sender::new(0)) }
    }

    pub fn open(&self) {
        self.shut.send_replace(false);
    }

    /// Waits until an answer is held back.
    pub async fn holds(&self) {
        let mut held = self.held.subscribe();
        let waiting = held.wait_for(|held| *held > 0);
        tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await.unwrap().unwrap();
    }

    async fn pass(&self) {
        if *self.shut.borrow() {
            self.held.send_modify(|held| *held += 1);
            let _ = self.shut.subscribe().wait_for(|shut| !shut).await;
        }
    }
}

pub async fn s3(folder: &Place) -> String {
    s3_behind(folder, &Gate::new(false)).await
}

/// Serves this folder, whose folders are buckets, until the test ends.
pub async fn s3_behind(folder: &Place, gate: &Gate) -> String {
    std::fs::create_dir_all(folder.0.join(BUCKET)).unwrap();
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&folder.0).unwrap());
    builder.set_auth(SimpleAuth::from_single("key", "secret"));
    let (service, gate) = (builder.build(), gate.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (service, gate) = (service.clone(), gate.clone());
            let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let query = request.uri().query().unwrap_or_default();
                let deletes = request.method() == "DELETE" || (request.method() == "POST" && query.contains("delete"));
                let (service, gate) = (service.clone(), gate.clone());
                async move {
                    let answer = Service::call(&service, request).await;
                    if deletes {
                        gate.pass().await;
                    }
                    answer
                }
            });
            tokio::spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_recording_in_a_bucket_is_linked_to_by_the_bucket_kept_and_deleted() {
    let (place, bucket, mut recorded) = (Place::new(), Place::new(), Recorded::new());
    let endpoint = s3(&bucket).await;
    let database = format!("sqlite://{}/convoke.db", place.0.display());
    recorded.write(&database).await;
    let at = |file: &str| format!("{BUCKET}/a/b/{file}");
    recorded.files().iter().for_each(|file| bucket.put(&at(file)));
    let server = crate::server(&[
        ("CONVOKE_DATABASE_URL", &database),
        ("CONVOKE_OBJECTS_URL", "s3://box/a/b"),
        ("CONVOKE_LOG_LEVEL", "trace"),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ])
    .await;
    listed(&server, 4).await;
    let own = format!("/recordings/{}", recorded.young.0.id);
    let (status, link) = api(&server, "POST", &format!("{own}/link"), Some(json!({ "ttl_s": 60 }))).await;
    let url = link["url"].as_str().unwrap_or_default();
    assert!(status == 200 && url.starts_with(&endpoint), "{link}");
    let client = reqwest::Client::new();
    let part = client.get(url).header("range", "bytes=2-4").send().await.unwrap();
    let disposition = part.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(disposition.contains(".mp4"), "{disposition}");
    assert_eq!((part.status().as_u16(), part.text().await.unwrap().as_str()), (206, "234"));
    for altered in [url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"), url.split('?').next().unwrap().to_owned()] {
        let refused = client.get(&altered).send().await.unwrap();
        assert_eq!(refused.status().as_u16(), 403, "{altered}");
    }
    let signature = url.split("X-Amz-Signature=").nth(1).unwrap().split('&').next().unwrap();
    assert!(!server.log().contains(signature), "a link is not logged");

    let policy = json!({ "name": "A month", "days": 30 });
    let (_, policy) = api(&server, "POST", "/admin/storage-policies", Some(policy)).await;
    let apply = format!("/admin/recordings/apply-policy/{}", policy["id"].as_str().unwrap());
    let old = json!([recorded.old.0.id]);
    assert_eq!(api(&server, "POST", &apply, Some(json!({ "dry_run": true }))).await.1["deleted"], old);
    assert!(recorded.files().iter().all(|file| bucket.has(&at(file))), "nothing was done");
    assert_eq!(api(&server, "POST", &apply, Some(json!({}))).await.1["deleted"], old);
    let cold = json!({ "name": "Cold", "days": 0, "tier": "cold", "scope": { "kind": "composite" } });
    let (_, cold) = api(&server, "POST", "/admin/storage-policies", Some(cold)).await;
    let apply = format!("/admin/recordings/apply-policy/{}", cold["id"].as_str().unwrap());
    let (_, moved) = api(&server, "POST", &apply, None).await;
    assert_eq!((moved["moved"].as_array().unwrap().len(), &moved["failed"]), (2, &json!([])), "{moved}");
    let there: Vec<bool> = recorded.files().iter().map(|file| bucket.has(&at(file))).collect();
    assert_eq!(there, [false, false, true, true, false, false]);
    assert!(bucket.has(&at(&format!("cold/{}", recorded.young.1.file))));
    let (_, link) = api(&server, "POST", &format!("{own}/link"), None).await;
    let whole = client.get(link["url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(whole.text().await.unwrap(), CONTENT, "it is read there");
    let deleted = server.rest.api("DELETE", &own, None).await.unwrap();
    assert_eq!(deleted.status, 204, "{}", deleted.body);
    assert!(!bucket.has(&at(&format!("cold/{}", recorded.young.1.file))));
}
