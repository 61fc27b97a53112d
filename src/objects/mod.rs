//! Where the files of recordings are, and what becomes of them: a folder or a bucket, links that a browser
//! can open, retention by policies, pictures. Files are written by a recorder, not by this server, so
//! whatever the log says of their paths is checked before it is believed (`paths`). An object is always
//! deleted before the row that says so: what is marked deleted is gone, and a crash in between only means
//! that it is done again (`keeper`).

mod duty;
mod keeper;
mod ledger;
mod links;
mod look;
mod orphans;
pub mod paths;
mod policy;
mod ranges;
mod running;

pub use duty::Duty;
pub use keeper::KeepError;
pub use keeper::{Judged, Keeper, Keeping, Pass};
pub use ledger::{AuditLine, FileOf, Ledger, Named, NewLine, subject as ledger_subject};
pub use links::{Grant, Links, Refused};
pub use look::{LookPolicy, Looker, Looking, Tools};
pub use object_store::path::Path as ObjectPath;
pub use orphans::{Orphans, Stray};
pub use policy::{Policy, Scope, Subject, Verdict, choose};
pub use ranges::{Asked, asked};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{
    ClientOptions, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a bucket may say nothing, and how long a request is tried. How long a file takes is its size's matter.
const CONNECT: Duration = Duration::from_secs(5);
const SILENT: Duration = Duration::from_secs(20);
/// The same while it copies an object within itself: it may be done before it says a word.
const COPYING: Duration = Duration::from_secs(600);
const RETRIES: usize = 2;
const RETRY: Duration = Duration::from_secs(30);

/// Why an object could not be reached. What a store says may hold a URL with a signature or a bucket's key,
/// so none of it is repeated but its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectsError {
    #[error("the objects' URL {0}")]
    Url(&'static str),
    #[error("the folder of the objects cannot be made: {0}")]
    Folder(String),
    #[error("there is no such object")]
    Gone,
    #[error("the objects are out of reach ({0})")]
    Unavailable(&'static str),
}

fn failed(error: object_store::Error) -> ObjectsError {
    use object_store::Error;
    // Its words may hold a URL with a signature.
    let told = match error {
        Error::NotFound { .. } => ObjectsError::Gone,
        Error::PermissionDenied { .. } => ObjectsError::Unavailable("not permitted"),
        Error::Unauthenticated { .. } => ObjectsError::Unavailable("not authenticated"),
        Error::Precondition { .. } => ObjectsError::Unavailable("it is another object by now"),
        _ => ObjectsError::Unavailable("the store failed"),
    };
    tracing::debug!(%told, "the objects did not answer");
    told
}

/// A client that waits for a bucket as long as it goes on.
fn client(silent: Duration, is_plain: bool) -> ClientOptions {
    let patient = ClientOptions::new().with_timeout_disabled().with_connect_timeout(CONNECT);
    patient.with_read_timeout(silent).with_allow_http(is_plain)
}

/// The objects of this server.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// The same, asked with more patience.
    copying: Arc<dyn ObjectStore>,
    bucket: Option<(Arc<AmazonS3>, ObjectPath)>,
    folder: Option<PathBuf>,
}

impl Objects {
    /// `file://folder`, which is made where it is not there, or `s3://bucket/prefix` with the usual
    /// environment (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP` …). A bucket
    /// is not asked for anything yet.
    pub fn open(url: &str) -> Result<Self, ObjectsError> {
        if let Some(folder) = url.strip_prefix("file://") {
            return Self::in_folder(Path::new(folder));
        }
        let rest = url.strip_prefix("s3://").ok_or(ObjectsError::Url("begins with file:// or s3://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = ObjectPath::parse(prefix.trim_end_matches('/'))
            .map_err(|_| ObjectsError::Url("has a prefix that cannot be"))?;
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY, ..RetryConfig::default() };
        let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
        // What the environment says of plain HTTP goes for a client of our own, too.
        let is_plain = std::env::var("AWS_ALLOW_HTTP").is_ok_and(|allow| allow.eq_ignore_ascii_case("true"));
        let open = |silent: Duration| {
            let opened = builder.clone().with_client_options(client(silent, is_plain)).build();
            opened.map(Arc::new).map_err(|_| ObjectsError::Url("or its AWS_… environment is not complete"))
        };
        let (bucket, copying) = (open(SILENT)?, open(COPYING)?);
        let below = |whole: Arc<dyn ObjectStore>| Arc::new(PrefixStore::new(whole, prefix.clone()));
        Ok(Self { store: below(bucket.clone()), copying: below(copying), bucket: Some((bucket, prefix)), folder: None })
    }

    fn in_folder(folder: &Path) -> Result<Self, ObjectsError> {
        let told = |error: std::io::Error| ObjectsError::Folder(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(told)?;
        let folder = folder.canonicalize().map_err(told)?;
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|_| ObjectsError::Folder(folder.display().to_string()))?;
        Ok(Self { folder: Some(folder), ..Self::over(Arc::new(store)) })
    }

    /// Over any store: for tests that make one fail.
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { copying: Arc::clone(&store), store, bucket: None, folder: None }
    }

    /// What is known of an object; None where there is none.
    pub async fn meta(&self, path: &ObjectPath) -> Result<Option<ObjectMeta>, ObjectsError> {
        match self.store.head(path).await.map_err(failed) {
            Ok(meta) => Ok(Some(meta)),
            Err(ObjectsError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Part of an object, as it was when its `etag` was told.
    pub async fn read(
        &self,
        path: &ObjectPath,
        range: Option<std::ops::Range<u64>>,
        etag: Option<String>,
    ) -> Result<GetResult, ObjectsError> {
        let options = GetOptions::new().with_range(range.map(GetRange::Bounded)).with_if_match(etag);
        self.store.get_opts(path, options).await.map_err(failed)
    }

    /// Deletes an object. One that is gone already is no error.
    pub async fn delete(&self, path: &ObjectPath) -> Result<(), ObjectsError> {
        match self.store.delete(path).await.map_err(failed) {
            Ok(()) | Err(ObjectsError::Gone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Copies an object, in place of one that is there.
    pub async fn copy(&self, from: &ObjectPath, to: &ObjectPath) -> Result<(), ObjectsError> {
        self.copying.copy(from, to).await.map_err(failed)
    }

    pub async fn write(&self, path: &ObjectPath, bytes: Vec<u8>) -> Result<(), ObjectsError> {
        self.store.put(path, bytes.into()).await.map(drop).map_err(failed)
    }

    /// All objects below a path, behind another in the order of the store.
    pub fn list(&self, below: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta, ObjectsError>> {
        self.store.list(below).map(|found| found.map_err(failed)).boxed()
    }

    /// A link that the bucket itself honours; None where there is no bucket.
    pub async fn presigned(
        &self,
        path: &ObjectPath,
        ttl: Duration,
        disposition: &str,
        content_type: &str,
    ) -> Result<Option<String>, ObjectsError> {
        let Some((bucket, prefix)) = &self.bucket else { return Ok(None) };
        let path: ObjectPath = prefix.parts().chain(path.parts()).collect();
        let options = SignedUrlOptions::default()
            .with_query([("response-content-disposition", disposition), ("response-content-type", content_type)]);
        let url = bucket.signed_url_opts(Method::GET, &path, ttl, &options).await.map_err(failed)?;
        Ok(Some(url.to_string()))
    }

    /// Where an object is on this machine, if it is.
    pub fn file(&self, path: &ObjectPath) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        Some(path.parts().fold(folder.clone(), |file, part| file.join(part.as_ref())))
    }

    /// Whether the objects can be reached, without changing any.
    pub async fn reach(&self) -> Result<(), ObjectsError> {
        let mut listed = self.store.list(None).map(|found| found.map_err(failed));
        listed.next().await.transpose().map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A bucket that gives a file a byte at a time, and then goes on with nothing.
    async fn drips(bytes: usize, gives: usize, gap: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4_096]).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\netag: \"a\"\r\n\
                 last-modified: Sat, 21 Nov 2026 10:00:00 GMT\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            for _ in 0..gives {
                tokio::time::sleep(gap).await;
                stream.write_all(b"x").await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        address
    }

    async fn fetched(address: &str, silent: Duration) -> Option<usize> {
        let builder = AmazonS3Builder::new().with_bucket_name("b").with_region("r").with_endpoint(address);
        let builder = builder.with_access_key_id("a").with_secret_access_key("s");
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let bucket = builder.with_client_options(client(silent, true)).with_retry(retry).build().unwrap();
        let objects = Objects::over(Arc::new(bucket));
        let file = objects.read(&ObjectPath::from("file"), None, None).await.unwrap();
        file.bytes().await.ok().map(|bytes| bytes.len())
    }

    /// A large file on a slow line takes its time; a bucket that says nothing more is not waited for.
    #[tokio::test]
    async fn a_file_may_take_long_and_a_bucket_may_not_fall_silent() {
        let silent = Duration::from_secs(1);
        let slow = drips(40, 40, Duration::from_millis(50)).await;
        assert_eq!(fetched(&slow, silent).await, Some(40));
        let stuck = drips(40, 3, Duration::from_millis(50)).await;
        assert_eq!(fetched(&stuck, silent).await, None);
    }
}
