//! What runs beside the loop, and what it brings.

use tokio::time::Instant;

use super::settling::Batch;
use crate::relay::lanes::LaneId;
use crate::relay::plan::{Overlap, Plan};
use crate::statement::StatementError;
use crate::store::{FoundEvent, Home, Look, Member, OutboxStore, Place, SeqRange};

/// What a statement brought.
pub(crate) enum Done<DB: OutboxStore> {
    Session(Result<(Home, DB::Session), StatementError>),
    /// With the time before it was asked.
    Coordinated(
        Instant,
        Result<(Home, Result<Plan, Overlap>), StatementError>,
    ),
    Members(Result<Vec<Member>, StatementError>),
    /// With the generation of the cursor.
    Look(u64, Result<Look, StatementError>),
    GivenUp(Result<Vec<SeqRange>, StatementError>),
    Read(
        Vec<(LaneId, Place)>,
        Result<Vec<FoundEvent>, StatementError>,
    ),
    Places(u64, Result<Vec<Place>, StatementError>),
    HasEvents(Result<bool, StatementError>),
    Settled(Batch, Result<bool, StatementError>),
}
