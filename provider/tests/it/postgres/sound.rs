//! What has to hold of the rows in PostgreSQL: `shoal provider store verify`, and that it finds what it is for.

use std::cell::RefCell;

use super::{Server, ask};
use shoal_provider::{StoreAt, StoreLimits};

impl Server {
    /// What is wrong with the last schema; none if it is sound.
    pub fn damage(&self) -> Option<String> {
        let limits = StoreLimits::default();
        let at = StoreAt::Postgres(self.options(limits.clone()));
        let report = at.look().unwrap().verify(&limits, &mut |_| {}).unwrap();
        let words: Vec<String> = (report.faults.iter())
            .map(|fault| format!("{} {fault}", fault.kind))
            .collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// Whether the last schema was made.
    pub fn has_tables(&self) -> bool {
        let schema = self.options(StoreLimits::default()).schema;
        let found = RefCell::new(false);
        ask(&self.connection, async |client| {
            let sql = "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = $1)";
            let row = client.query_one(sql, &[&schema]).await.unwrap();
            *found.borrow_mut() = row.get(0);
        });
        found.into_inner()
    }
}
