//! Errors of our own statements for which the database has no code, or is not asked.

use std::fmt;

use super::ErrorClass;

#[derive(Debug)]
struct Verdict(ErrorClass);

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ErrorClass::Lost => "this is not the transaction that claimed",
            ErrorClass::NotMigrated => "a table is missing or outdated",
            ErrorClass::ForeignTransaction => "a transaction is open that sqlx did not begin",
            ErrorClass::TooLarge { size, limit } => {
                return write!(
                    f,
                    "a statement of {size} bytes, where the database takes {limit}"
                );
            }
            _ => "the database refused",
        })
    }
}

impl std::error::Error for Verdict {}

pub(super) fn verdict(class: ErrorClass) -> sqlx::Error {
    sqlx::Error::AnyDriverError(Box::new(Verdict(class)))
}

/// The class of an error that [`verdict`] made.
pub(super) fn class_of(error: &sqlx::Error) -> Option<ErrorClass> {
    match error {
        sqlx::Error::AnyDriverError(error) => Some(error.downcast_ref::<Verdict>()?.0),
        _ => None,
    }
}

/// Refuses a statement of more bytes than the database takes.
pub(super) fn fits(size: usize, limit: u64) -> Result<(), sqlx::Error> {
    let size = size as u64;
    if size > limit {
        return Err(verdict(ErrorClass::TooLarge { size, limit }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_found_again_and_says_why() {
        for (class, words) in [
            (ErrorClass::Lost, "this is not the transaction that claimed"),
            (ErrorClass::NotMigrated, "a table is missing or outdated"),
            (ErrorClass::Refused, "the database refused"),
            (
                ErrorClass::TooLarge { size: 9, limit: 8 },
                "a statement of 9 bytes, where the database takes 8",
            ),
        ] {
            let error = verdict(class);
            assert_eq!(class_of(&error), Some(class));
            let sqlx::Error::AnyDriverError(ours) = error else {
                panic!("{error:?}");
            };
            assert_eq!(ours.to_string(), words);
        }
        assert_eq!(class_of(&sqlx::Error::RowNotFound), None);
        assert_eq!(class_of(&sqlx::Error::AnyDriverError("other".into())), None);
    }

    #[test]
    fn a_statement_may_be_as_long_as_the_limit_and_no_longer() {
        assert!(fits(8, 8).is_ok());
        let class = fits(9, 8).map_err(|error| class_of(&error));
        assert_eq!(class, Err(Some(ErrorClass::TooLarge { size: 9, limit: 8 })));
    }
}
