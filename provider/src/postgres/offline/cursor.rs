//! Millions of rows, by pages.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::super::failure::failure;
use crate::StoreError;

/// Rows in a page: 2 MB, if each has a blob.
pub(super) const PAGE: usize = 1000;
const FETCH: &str = "FETCH 1000 FROM rows_of_all";
const _: () = assert!(PAGE == 1000);

/// What a statement finds, page by page, within a transaction. There is one at a time.
pub(super) struct Cursor<'a> {
    client: &'a Client,
    fetch: Statement,
}

impl<'a> Cursor<'a> {
    pub(super) async fn open(client: &'a Client, sql: &str) -> Result<Self, StoreError> {
        let declare = format!("DECLARE rows_of_all NO SCROLL CURSOR FOR {sql}");
        client.batch_execute(&declare).await.map_err(failure)?;
        let fetch = client.prepare(FETCH).await.map_err(failure)?;
        Ok(Self { client, fetch })
    }

    /// The next rows; none when there are no more.
    pub(super) async fn page(&self) -> Result<Vec<Row>, StoreError> {
        self.client.query(&self.fetch, &[]).await.map_err(failure)
    }

    pub(super) async fn close(self) -> Result<(), StoreError> {
        let close = self.client.batch_execute("CLOSE rows_of_all");
        close.await.map_err(failure)
    }
}

/// Tells each row that a statement finds, in a transaction that only reads: all are of one instant.
pub(super) async fn each<E: From<StoreError>>(
    client: &Client,
    statements: impl IntoIterator<Item = &'static str>,
    mut tell: impl FnMut(usize, &Row) -> Result<(), E>,
) -> Result<(), E> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    client.batch_execute(begin).await.map_err(failure)?;
    let done = async {
        for (number, sql) in statements.into_iter().enumerate() {
            let cursor = Cursor::open(client, sql).await?;
            loop {
                let rows = cursor.page().await?;
                if rows.is_empty() {
                    break;
                }
                rows.iter().try_for_each(|row| tell(number, row))?;
            }
            cursor.close().await?;
        }
        Ok(())
    };
    let done: Result<(), E> = done.await;
    let end = client.batch_execute("ROLLBACK").await.map_err(failure);
    done?;
    Ok(end?)
}

/// The one row that a statement finds.
pub(super) async fn one(
    client: &Client,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Row, StoreError> {
    client.query_one(sql, params).await.map_err(failure)
}
