//! Lists as CSV, for spreadsheets: cells that one would run as a formula are marked as text.

use super::Problem;
use actix_web::HttpResponse;
use actix_web::web::Bytes;
use convoke_domain::{Code, Rejection};
use std::borrow::Cow;

/// What a caller would like to read a list as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Csv,
}

impl Format {
    pub fn of(name: Option<&str>) -> Result<Self, Problem> {
        match name {
            None | Some("json") => Ok(Self::Json),
            Some("csv") => Ok(Self::Csv),
            Some(_) => Err(Problem::wrong_data("format is json or csv")),
        }
    }
}

/// What a formula begins with, or what spreadsheets pass over before one. Some take the wide forms of the
/// signs for the signs themselves.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// People write what stands in a cell. One that begins like a formula gets an apostrophe before it,
/// which spreadsheets take as: this is text.
fn inert(cell: &str) -> Cow<'_, str> {
    if cell.starts_with(FORMULA) { format!("'{cell}").into() } else { cell.into() }
}

/// Rows of a table, behind its header where that is given.
fn table<const COLUMNS: usize>(
    header: Option<[&str; COLUMNS]>,
    rows: &[[String; COLUMNS]],
) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new();
    // Nor does a separator that a spreadsheet finds in a cell by itself begin another cell.
    writer.quote_style(csv::QuoteStyle::Always).terminator(csv::Terminator::CRLF);
    let mut writer = writer.from_writer(Vec::new());
    if let Some(header) = header {
        writer.write_record(header)?;
    }
    for row in rows {
        writer.write_record(row.iter().map(|cell| inert(cell).into_owned()))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// The rows of a page, and where the next one begins.
pub type Rows<const COLUMNS: usize, Place> = (Vec<[String; COLUMNS]>, Option<Place>);

/// A table with a header, read and sent page by page.
pub fn answer<const COLUMNS: usize, Place, Reading>(
    header: [&'static str; COLUMNS],
    first: Place,
    read: impl Fn(Place) -> Reading + 'static,
) -> HttpResponse
where
    Place: 'static,
    Reading: Future<Output = Result<Rows<COLUMNS, Place>, Problem>> + 'static,
{
    let pages = futures_util::stream::try_unfold((Some(header), Some(first)), move |(header, place)| {
        let reading = place.map(&read);
        async move {
            let Some(reading) = reading else { return Ok(None) };
            let (rows, next) = reading.await?;
            let bytes = table(header, &rows).map_err(|error| {
                tracing::warn!(%error, "a table was not written");
                Problem::from(Rejection::new(Code::Internal, "the table could not be written"))
            })?;
            Ok::<_, Problem>(Some((Bytes::from(bytes), (None, next))))
        }
    });
    HttpResponse::Ok().content_type("text/csv; charset=utf-8").streaming(pages)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use actix_web::body::MessageBody;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn no_cell_is_a_formula_and_all_of_them_can_be_read_again() {
        let cells = [
            "=1+1",
            "+49 30",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            "＝1+1",
            "＋1",
            "－1",
            "＠SUM(A1)",
            "x;=1+1",
            "plain",
            "a = b",
            "with \"quotes\", commas\nand lines",
            "",
        ];
        let rows: Vec<[String; 2]> = cells.iter().map(|cell| [(*cell).to_owned(), "x".to_owned()]).collect();
        let bytes = table(Some(["first", "second"]), &rows).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.starts_with("\"first\",\"second\"\r\n\"'=1+1\",\"x\"\r\n"), "every cell is quoted: {text}");
        let mut reader = csv::ReaderBuilder::new().from_reader(bytes.as_slice());
        assert_eq!(reader.headers().unwrap(), &csv::StringRecord::from(vec!["first", "second"]));
        let read: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
        assert_eq!(read.len(), cells.len());
        for (record, cell) in read.iter().zip(cells) {
            let first = record.get(0).unwrap();
            assert!(!first.starts_with(FORMULA), "{first:?}");
            assert_eq!(first.strip_prefix('\'').unwrap_or(first), cell);
            assert_eq!(first.starts_with('\''), cell.starts_with(FORMULA), "{cell:?}");
        }
    }

    /// Nothing is read before it is sent, and a page that cannot be read breaks the table off.
    #[actix_web::test]
    async fn a_table_is_read_a_page_at_a_time() {
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        let read = move |place: u32| {
            count.set(place);
            async move {
                let rows = if place == 2 { Vec::new() } else { vec![[place.to_string()]] };
                if place < 4 { Ok((rows, Some(place + 1))) } else { Err(Problem::not_found()) }
            }
        };
        let mut body = std::pin::pin!(answer(["number"], 1, read).into_body());
        let mut next = async || std::future::poll_fn(|context| body.as_mut().poll_next(context)).await;
        assert_eq!(asked.get(), 0);
        assert_eq!(next().await.unwrap().unwrap(), "\"number\"\r\n\"1\"\r\n");
        assert_eq!(asked.get(), 1);
        // A page of nothing is no end.
        assert_eq!(next().await.unwrap().unwrap(), "\"3\"\r\n");
        assert_eq!(asked.get(), 3);
        assert!(next().await.unwrap().is_err());
    }

    #[test]
    fn a_format_is_one_of_two() {
        assert_eq!((Format::of(None).unwrap(), Format::of(Some("json")).unwrap()), (Format::Json, Format::Json));
        assert_eq!(Format::of(Some("csv")).unwrap(), Format::Csv);
        assert!(Format::of(Some("xlsx")).is_err());
    }
}
