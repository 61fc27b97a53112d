//! Paths of objects, from words that others said. A take's path is what a recorder reported: it is believed
//! where it is right below the folder of its meeting and bears the recording's id, and nowhere else. So
//! nothing that comes from outside can name an object of another meeting, or anything above the folder.

use super::ObjectPath;
use convoke_actors::ports::MeetingKey;
use convoke_domain::RecordingId;
use convoke_domain::recording::{Part, owner_of, path_of};

/// As long as a store takes them.
const PATH_BYTES_MAX: usize = 1_000;
pub const TIER_CHARS_MAX: usize = 32;

/// The path of a take's file, if it can be one of this recording's.
pub fn of_take(key: &MeetingKey, recording: RecordingId, told: &str) -> Option<ObjectPath> {
    let below = path_of(&key.tenant, key.meeting, "", &Part::Composite(0));
    let name = told.trim_start_matches('/').strip_prefix(below.trim_start_matches('/'))?;
    let is_name = !name.is_empty()
        && !name.starts_with('.')
        && !name.contains(['/', '\\', '%', '?', '#'])
        && !name.chars().any(char::is_control)
        && told.len() <= PATH_BYTES_MAX;
    let (meeting, owner, _) = owner_of(told)?;
    if !is_name || meeting != key.meeting || owner != recording {
        return None;
    }
    ObjectPath::parse(told.trim_start_matches('/')).ok()
}

/// Everything of a tenant's; None where its name leaves no folder.
pub fn of_tenant(key: &MeetingKey) -> Option<ObjectPath> {
    let below = path_of(&key.tenant, key.meeting, "", &Part::Composite(0));
    let folder = below.split('/').next().filter(|folder| !folder.is_empty())?;
    ObjectPath::parse(folder).ok()
}

/// The folder of a meeting's files.
pub fn of_meeting(key: &MeetingKey) -> Option<ObjectPath> {
    let below = path_of(&key.tenant, key.meeting, "", &Part::Composite(0));
    ObjectPath::parse(below.trim_matches('/')).ok()
}

/// Which part of a recording an object of its meeting's folder is, or is the picture of; None where its name
/// is none of this recording's. A path that a recorder told may lack its ending: an object has it.
pub fn part_of(of: &MeetingKey, recording: RecordingId, path: &str) -> Option<Part> {
    let (meeting, owner, part) = owner_of(path.strip_suffix(".jpg").unwrap_or(path))?;
    (meeting == of.meeting && owner == recording).then_some(part)
}

/// The picture beside a file.
pub fn thumbnail(of: &ObjectPath) -> Option<ObjectPath> {
    let path = of.as_ref();
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    ObjectPath::parse(format!("{stem}.jpg")).ok()
}

/// A name of a tier: it becomes a folder.
pub fn is_tier(name: &str) -> bool {
    (1..=TIER_CHARS_MAX).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Where a file is in a tier: below a folder of the tier's name.
pub fn in_tier(tier: &str, path: &ObjectPath) -> Option<ObjectPath> {
    if !is_tier(tier) {
        return None;
    }
    ObjectPath::parse(format!("{tier}/{path}")).ok()
}

/// What browsers are told that a file is, by its ending.
pub fn content_type(path: &ObjectPath) -> &'static str {
    match path.extension() {
        Some("mp4") => "video/mp4",
        Some("webm") => "video/webm",
        Some("ogg") => "audio/ogg",
        Some("m4a") => "audio/mp4",
        Some("jpg") => "image/jpeg",
        _ => "application/octet-stream",
    }
}

/// What a file is to be called where it is kept: for programs that know letters of ASCII alone, and whole.
pub fn disposition(name: &str) -> String {
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    format!("inline; filename=\"{plain}\"; filename*=UTF-8''{}", encoded(name))
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || " .-_()".contains(c)
}

/// A text as a part of a URL's path.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The name that a person finds a file by: the recording's, and what of it this is.
pub fn file_name(name: &str, part: Option<&str>, path: &ObjectPath) -> String {
    let name = cleaned(name);
    let ending = path.extension().map(|ending| format!(".{ending}")).unwrap_or_default();
    let part = part.map(|part| format!(" {part}")).unwrap_or_default();
    format!("{name}{part}{ending}")
}

/// A name without what the names of files do not have.
pub fn cleaned(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_control() || "/\\:\"<>|?*".contains(c) { ' ' } else { c }).collect();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use convoke_domain::{MeetingId, TenantId};
    use uuid::Uuid;

    fn key(tenant: &str) -> MeetingKey {
        MeetingKey { tenant: TenantId(tenant.into()), meeting: MeetingId(Uuid::from_u128(1)) }
    }

    #[test]
    fn what_a_recorder_reports_is_believed_within_its_meeting_alone() {
        let (key, recording) = (key("Größe & Söhne"), RecordingId(Uuid::from_u128(2)));
        for part in ["composite.0", "composite.3", "audio.0"] {
            let part = part.parse().unwrap();
            let told = format!("{}.mp4", path_of(&key.tenant, key.meeting, &format!("2026-東京-{recording}"), &part));
            assert_eq!(of_take(&key, recording, &told).unwrap().as_ref(), told);
        }
        let folder = format!("größe-söhne/{}", key.meeting);
        let good = format!("{folder}/day-{recording}.mp4");
        assert!(of_take(&key, recording, &good).is_some());
        assert!(of_take(&key, RecordingId(Uuid::from_u128(3)), &good).is_none(), "another recording's");
        for bad in [
            format!("{folder}/../{}/day-{recording}.mp4", key.meeting),
            format!("{folder}/deeper/day-{recording}.mp4"),
            format!("{folder}/../../day-{recording}.mp4"),
            format!("{folder}/..\\day-{recording}.mp4"),
            format!("{folder}/%2e%2e-{recording}.mp4"),
            format!("{folder}/\n-{recording}.mp4"),
            format!("{folder}/.hidden-{recording}.mp4"),
            format!("{folder}/{}-{recording}.mp4", "x".repeat(1_000)),
            format!("/etc/{}/day-{recording}.mp4", key.meeting),
            format!("other/{}/day-{recording}.mp4", key.meeting),
            format!("größe-söhne/{}/day-{recording}.mp4", Uuid::from_u128(9)),
            format!("day-{recording}.mp4"),
            "/etc/passwd".to_owned(),
            String::new(),
        ] {
            assert_eq!(of_take(&key, recording, &bad), None, "{bad}");
        }
    }

    #[test]
    fn a_tier_is_a_folder_and_no_way_out() {
        let path = ObjectPath::parse("acme/m/file.mp4").unwrap();
        assert_eq!(in_tier("cold", &path).unwrap().as_ref(), "cold/acme/m/file.mp4");
        for bad in ["", "..", "a/b", "Cold", "-cold", "1cold", &"x".repeat(33)] {
            assert_eq!(in_tier(bad, &path), None, "{bad}");
        }
        assert_eq!(thumbnail(&path).unwrap().as_ref(), "acme/m/file.jpg");
        assert_eq!(of_tenant(&key("Acme / EU")).unwrap().as_ref(), "acme-eu");
        assert_eq!(of_tenant(&key("???")), None);
    }

    #[test]
    fn names_are_for_people_and_break_no_header() {
        let path = ObjectPath::parse("acme/m/file.mp4").unwrap();
        let name = file_name("Weekly \"A/B\"\r\nX: 東京", Some("ada audio"), &path);
        assert_eq!(name, "Weekly  A B   X  東京 ada audio.mp4");
        let header = disposition(&name);
        assert!(header.starts_with("inline; filename=\"Weekly  A B   X  __ ada audio.mp4\"; "), "{header}");
        assert!(header.ends_with("%E6%9D%B1%E4%BA%AC%20ada%20audio.mp4"), "{header}");
        assert!(header.is_ascii() && !header.contains('\r'));
        assert_eq!(
            (content_type(&path), content_type(&ObjectPath::from("x"))),
            ("video/mp4", "application/octet-stream")
        );
    }
}
