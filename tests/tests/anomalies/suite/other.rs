//! A transaction that the test holds itself: a caller's, or one in the way.

use idem_tests::proxy::Proxy;
use sqlx::{Row as _, Transaction, raw_sql};

use super::case_db::CaseDb;
use super::first::pool_for;
use super::handlers::execute;
use super::{BEGIN, Db, Pool, SESSION};
use crate::fate::Fate;

#[derive(Debug)]
pub(crate) struct Other {
    pub(crate) tx: Transaction<'static, Db>,
    pub(crate) pool: Pool,
    proxy: Option<Proxy>,
    pub(crate) session: i64,
}

impl Other {
    pub(crate) async fn begin(db: &CaseDb, fate: Fate) -> Self {
        let (pool, proxy) = pool_for(db, fate, 1).await;
        let mut tx = pool.begin_with(BEGIN).await.unwrap();
        let session = raw_sql(SESSION).fetch_one(&mut *tx).await.unwrap().get(0);
        Self {
            tx,
            pool,
            proxy,
            session,
        }
    }

    pub(crate) async fn sql(&mut self, text: &str) {
        execute(&mut self.tx, text).await.unwrap();
    }

    /// Brings its fate about. What it ran on is returned, to be looked at.
    pub(crate) async fn ends(self, db: &CaseDb, fate: Fate) -> Ended {
        match fate {
            Fate::Commits => self.tx.commit().await.unwrap(),
            Fate::RollsBack => self.tx.rollback().await.unwrap(),
            Fate::IsDropped => drop(self.tx),
            Fate::IsKilled => {
                super::kill(db, self.session).await;
                drop(self.tx);
            }
            Fate::IsCut => {
                self.proxy.as_ref().expect("it leads to it").cut_all();
                drop(self.tx);
            }
        }
        Ended {
            pool: self.pool,
            _proxy: self.proxy,
        }
    }
}

/// What a transaction ran on.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) pool: Pool,
    _proxy: Option<Proxy>,
}
