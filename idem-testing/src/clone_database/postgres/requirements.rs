//! Whether the database at a URL can be explored.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, Postgres, raw_sql};

use super::sql::string;
use crate::clone_database::migrated::require_migrated;
use crate::clone_database::route::Route;
use crate::setup_error::SetupError;

/// The user's database.
pub(super) struct Source {
    pub(super) name: String,
    /// What `ALTER DATABASE .. SET` and `ALTER ROLE .. SET` say for sessions there; a copy does not
    /// inherit it.
    pub(super) settings: Vec<(String, String)>,
    /// Whether the server waits for the disk.
    pub(super) is_durable: bool,
}

const SOURCE: &str = "
SELECT current_database(), pg_backend_pid(), rolname, rolcreatedb OR rolsuper, current_user,
    rolsuper OR datistemplate OR pg_has_role(datdba, 'USAGE'), datdba::regrole, current_setting('fsync')
FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()";

const SETTINGS: &str = "
SELECT split_part(one, '=', 1), substr(one, strpos(one, '=') + 1)
FROM pg_db_role_setting, pg_database, unnest(setconfig) AS one
WHERE setdatabase = pg_database.oid AND datname = current_database() AND setrole IN (0, current_user::regrole)
  AND (SELECT context = 'user' OR current_setting('is_superuser')::boolean FROM pg_settings
       WHERE name = split_part(one, '=', 1)) IS NOT FALSE
ORDER BY setrole";

pub(super) fn route(options: &PgConnectOptions) -> Route<'_> {
    Route {
        host: options.get_host(),
        port: options.get_port(),
        is_socket: options.get_socket().is_some() || options.get_host().starts_with('/'),
        demands_tls: matches!(
            options.get_ssl_mode(),
            PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull
        ),
        plain: "sslmode=prefer",
    }
}

pub(super) async fn source(options: &PgConnectOptions) -> Result<Source, SetupError> {
    let failed = || SetupError::sql("the database can't be read");
    let mut conn = connect(options).await?;
    let row = raw_sql(SOURCE).fetch_one(&mut conn).await;
    let row = row.map_err(failed())?;
    let column = |place| {
        string(&row, place)
            .map(Option::unwrap_or_default)
            .map_err(failed())
    };
    let (name, pid, role) = (column(0)?, column(1)?, column(4)?);
    let is_durable = column(7)? != "off";
    if is_pooled(options, &pid).await? {
        return Err(SetupError::new(
            "the URL leads through a pooler, which hands one session to several connections: give the server's own",
        ));
    }
    if column(3)? != "t" {
        return Err(SetupError::new(format!(
            "the role `{role}` may not create databases, and every run works on a copy: ALTER ROLE {role} CREATEDB"
        )));
    }
    if column(5)? != "t" {
        return Err(SetupError::new(format!(
            "the role `{role}` may not copy the database `{name}`: GRANT {} TO {role}, or connect as that role",
            column(6)?
        )));
    }
    let rows = raw_sql(SETTINGS).fetch_all(&mut conn).await;
    let rows = rows.map_err(failed())?;
    let settings = rows.iter().map(|row| {
        let setting = (string(row, 0)?, string(row, 1)?);
        Ok((setting.0.unwrap_or_default(), setting.1.unwrap_or_default()))
    });
    let settings = settings.collect::<Result<_, _>>().map_err(failed())?;
    conn.close().await.map_err(failed())?;
    require_migrated::<Postgres>(options.clone(), &name).await?;
    Ok(Source {
        name,
        settings,
        is_durable,
    })
}

/// What the database sets for its sessions, unless the URL says otherwise. No copy outlives its
/// server, so no commit on one waits for the disk.
pub(super) fn with_settings(
    options: PgConnectOptions,
    settings: Vec<(String, String)>,
) -> PgConnectOptions {
    let own = options.get_options().unwrap_or_default().to_owned();
    let at_once = ("synchronous_commit".to_owned(), "off".to_owned());
    options.options(
        settings
            .into_iter()
            .chain([at_once])
            .filter(|(name, _)| !own.contains(&format!("{name}="))),
    )
}

/// Two connections at once are two sessions, unless something between shares one among them.
async fn is_pooled(options: &PgConnectOptions, pid: &str) -> Result<bool, SetupError> {
    let mut second = connect(options).await?;
    let row = raw_sql("SELECT pg_backend_pid()")
        .fetch_one(&mut second)
        .await;
    let row = row.map_err(SetupError::sql("the database can't be read"))?;
    let other = string(&row, 0).map_err(SetupError::sql("the database can't be read"))?;
    second
        .close()
        .await
        .map_err(SetupError::sql("the database can't be read"))?;
    Ok(other.as_deref() == Some(pid))
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, SetupError> {
    let conn = options.connect().await;
    conn.map_err(SetupError::sql("the database can't be connected to"))
}
