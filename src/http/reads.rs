//! What the handlers have in common: bodies, pages, and what the store says.

use super::Problem;
use crate::projections::{Page, Place, Spoken};
use actix_web::HttpResponse;
use actix_web::web::Bytes;
use convoke_actors::ports::StoreError;
use convoke_domain::RoomId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct Paging {
    /// 1 to 200.
    pub limit: Option<usize>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
}

impl Paging {
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.limit.unwrap_or(50) {
            limit @ 1..=200 => Ok(limit),
            _ => Err(Problem::wrong_data("limit is from 1 to 200")),
        }
    }

    pub fn uuid(&self) -> Result<Option<Uuid>, Problem> {
        let parse = |cursor: &String| cursor.parse().map_err(|_| Problem::wrong_data("the cursor is not one of ours"));
        self.cursor.as_ref().map(parse).transpose()
    }

    pub fn place(&self) -> Result<Place, Problem> {
        let parse = |cursor: &String| cursor.parse().map_err(|()| Problem::wrong_data("the cursor is not one of ours"));
        Ok(self.cursor.as_ref().map(parse).transpose()?.unwrap_or(Place::START))
    }

    pub fn spoken(&self) -> Result<Spoken, Problem> {
        let parse = |cursor: &String| cursor.parse().map_err(|()| Problem::wrong_data("the cursor is not one of ours"));
        Ok(self.cursor.as_ref().map(parse).transpose()?.unwrap_or(Spoken::START))
    }

    pub fn position(&self) -> Result<i64, Problem> {
        let parse = |cursor: &String| cursor.parse().map_err(|_| Problem::wrong_data("the cursor is not one of ours"));
        Ok(self.cursor.as_ref().map(parse).transpose()?.unwrap_or(0))
    }
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct List<T> {
    items: Vec<T>,
    /// The `cursor` of the next page; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The room that a list is asked for, where it is: one that could be there.
pub fn in_room(room: Option<&str>) -> Result<Option<RoomId>, Problem> {
    let parse = |id: &str| id.parse().map_err(|_| Problem::wrong_data("room is main, or a room's id"));
    room.map(parse).transpose()
}

pub fn list<T, U: Serialize>(page: Page<T>, shown: impl Fn(T) -> U) -> HttpResponse {
    HttpResponse::Ok().json(List { items: page.items.into_iter().map(shown).collect(), next: page.next })
}

/// A JSON body: 400 where it is no JSON, 422 where it is wrong. An empty one is an empty object.
pub fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { bytes };
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|_| Problem::not_json("the body is not JSON"))?;
    serde_json::from_value(value).map_err(|error| Problem::wrong_data(error.to_string()))
}

pub fn stored(error: StoreError) -> Problem {
    tracing::warn!(%error, "the store did not answer");
    match error {
        StoreError::NotFound => Problem::not_found(),
        _ => Problem::from(convoke_domain::Rejection::unavailable("the database is out of reach")),
    }
}

pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use actix_web::ResponseError;

    fn paging(limit: Option<usize>, cursor: Option<&str>) -> Paging {
        Paging { limit, cursor: cursor.map(str::to_owned) }
    }

    #[test]
    fn a_page_has_a_size_and_a_cursor_of_ours_or_is_refused() {
        assert_eq!(paging(None, None).limit().unwrap(), 50);
        assert_eq!((paging(Some(1), None).limit().unwrap(), paging(Some(200), None).limit().unwrap()), (1, 200));
        for wrong in [0, 201, usize::MAX] {
            assert_eq!(paging(Some(wrong), None).limit().unwrap_err().status_code(), 422);
        }
        let id = Uuid::now_v7();
        assert_eq!(paging(None, Some(&id.to_string())).uuid().unwrap(), Some(id));
        assert_eq!((paging(None, None).uuid().unwrap(), paging(None, None).position().unwrap()), (None, 0));
        assert_eq!(paging(None, Some("17")).position().unwrap(), 17);
        let place = Place { seq: 17, participant: id };
        assert_eq!(paging(None, Some(&place.to_string())).place().unwrap(), place);
        assert_eq!(paging(None, Some("17")).place().unwrap(), Place { participant: Uuid::max(), ..place });
        assert_eq!(paging(None, None).place().unwrap(), Place::START);
        for wrong in ["", "nonsense", "17_", "17_18", "x_017f22e2-79b0-7cc3-98c4-dc0c0c07398f"] {
            assert_eq!(paging(None, Some(wrong)).place().unwrap_err().status_code(), 422, "{wrong}");
        }
        let spoken = Spoken { start_at: 1_700_000_000_000, seq: 9 };
        assert_eq!(paging(None, Some(&spoken.to_string())).spoken().unwrap(), spoken);
        assert_eq!(paging(None, None).spoken().unwrap(), Spoken::START);
        for wrong in ["", "17", "17_", "_17", "1_2_3", "-1_2"] {
            assert_eq!(paging(None, Some(wrong)).spoken().unwrap_err().status_code(), 422, "{wrong}");
        }
        for wrong in ["", "nonsense", "1; DROP TABLE events", "99999999999999999999"] {
            assert_eq!(paging(None, Some(wrong)).uuid().unwrap_err().status_code(), 422, "{wrong}");
            assert_eq!(paging(None, Some(wrong)).position().unwrap_err().status_code(), 422, "{wrong}");
        }
    }

    #[test]
    fn a_body_is_json_of_the_right_shape_or_says_which_it_is_not() {
        let read = |text: &'static str| body::<Paging>(&Bytes::from_static(text.as_bytes()));
        assert!(read("").is_ok() && read("{\"limit\":5}").is_ok());
        assert_eq!(read("{nope").unwrap_err().status_code(), 400);
        assert_eq!(read("{\"limit\":\"five\"}").unwrap_err().status_code(), 422);
    }

    #[test]
    fn the_same_bytes_have_the_same_digest() {
        assert_eq!(digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
