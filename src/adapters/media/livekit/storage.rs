//! Where LiveKit Egress puts files, and how it is told: into a folder that it shares with Convoke, or
//! into the same bucket, with the credentials by which Convoke itself opens it. Where the environment
//! names none, Egress uses its own.

use livekit_protocol::{S3Upload, direct_file_output, encoded_file_output};
use std::path::Path;

pub enum Storage {
    /// The folder of the objects, as Egress sees it.
    Folder(String),
    /// The bucket, and what stands before the paths of the objects in it.
    Bucket { upload: Box<S3Upload>, prefix: String },
}

impl Storage {
    pub fn of(objects_url: &str, egress_path: Option<&str>) -> Self {
        Self::within(objects_url, egress_path, |name| std::env::var(name).ok())
    }

    fn within(objects_url: &str, egress_path: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Self {
        let Some(bucket) = objects_url.strip_prefix("s3://") else {
            let folder = objects_url.strip_prefix("file://").unwrap_or(objects_url);
            // Egress has a working folder of its own.
            let whole = || std::path::absolute(Path::new(folder)).map(|path| path.to_string_lossy().into_owned());
            let folder = egress_path.map_or_else(|| whole().unwrap_or_else(|_| folder.to_owned()), str::to_owned);
            return Self::Folder(folder.trim_end_matches('/').to_owned());
        };
        let (bucket, prefix) = bucket.split_once('/').unwrap_or((bucket, ""));
        let first = |names: &[&str]| {
            let set = names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
            set.unwrap_or_default()
        };
        let endpoint = first(&["AWS_ENDPOINT", "AWS_ENDPOINT_URL"]);
        let is_virtual = first(&["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"]) == "true";
        let upload = S3Upload {
            access_key: first(&["AWS_ACCESS_KEY_ID"]),
            secret: first(&["AWS_SECRET_ACCESS_KEY"]),
            session_token: first(&["AWS_SESSION_TOKEN"]),
            region: first(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
            bucket: bucket.to_owned(),
            force_path_style: !endpoint.is_empty() && !is_virtual,
            endpoint,
            ..S3Upload::default()
        };
        Self::Bucket { upload: Box::new(upload), prefix: prefix.trim_matches('/').to_owned() }
    }

    /// An object's path as Egress is to be told it.
    pub fn path(&self, path: &str) -> String {
        match self {
            Self::Bucket { prefix, .. } if prefix.is_empty() => path.to_owned(),
            Self::Bucket { prefix: root, .. } | Self::Folder(root) => format!("{root}/{path}"),
        }
    }

    pub fn for_encoded(&self) -> Option<encoded_file_output::Output> {
        self.upload().map(encoded_file_output::Output::S3)
    }

    pub fn for_direct(&self) -> Option<direct_file_output::Output> {
        self.upload().map(direct_file_output::Output::S3)
    }

    fn upload(&self) -> Option<S3Upload> {
        match self {
            Self::Folder(_) => None,
            Self::Bucket { upload, .. } => Some((**upload).clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_folder_is_named_as_egress_sees_it() {
        let storage = Storage::within("file:///data/objects/", Some("/out/"), nothing);
        assert_eq!(storage.path("acme/m/name.mp4"), "/out/acme/m/name.mp4");
        assert!(storage.for_encoded().is_none() && storage.for_direct().is_none());
        let storage = Storage::within("file:///data/objects", None, nothing);
        assert_eq!(storage.path("acme/m/name.mp4"), "/data/objects/acme/m/name.mp4");
        let path = Storage::within("file://data/objects", None, nothing).path("x");
        assert!(path.starts_with('/') && path.ends_with("/data/objects/x"), "{path}");
    }

    #[test]
    fn a_bucket_is_opened_with_the_credentials_of_the_environment() {
        let variable = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN" => Some(name.to_lowercase()),
            "AWS_DEFAULT_REGION" => Some("eu-central-1".to_owned()),
            "AWS_ENDPOINT_URL" => Some("https://s3.example".to_owned()),
            _ => None,
        };
        let storage = Storage::within("s3://bucket/some/prefix/", None, variable);
        assert_eq!(storage.path("acme/m/name.mp4"), "some/prefix/acme/m/name.mp4");
        let Some(encoded_file_output::Output::S3(upload)) = storage.for_encoded() else { panic!() };
        assert_eq!((upload.bucket.as_str(), upload.region.as_str()), ("bucket", "eu-central-1"));
        assert_eq!(
            (upload.access_key.as_str(), upload.secret.as_str()),
            ("aws_access_key_id", "aws_secret_access_key")
        );
        assert_eq!((upload.endpoint.as_str(), upload.force_path_style), ("https://s3.example", true));
        let Some(direct_file_output::Output::S3(direct)) = storage.for_direct() else { panic!() };
        assert_eq!(direct, upload);

        let storage = Storage::within("s3://bucket", None, nothing);
        assert_eq!(storage.path("acme/m/name.mp4"), "acme/m/name.mp4");
        let Some(encoded_file_output::Output::S3(upload)) = storage.for_encoded() else { panic!() };
        assert!(upload.access_key.is_empty() && !upload.force_path_style, "Egress uses its own");
    }
}
