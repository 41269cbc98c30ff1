//! What a database holds besides its tables: large objects, and the objects of its schema.

use sqlx::postgres::PgConnection;

use super::sql::{batch, string};
use crate::clone_database::catalog::{Catalog, Described, ValueKind};
use crate::comparison::snapshot::{LARGE_OBJECTS, Table, Value, Volatility};

/// Neither what belongs to an extension nor what the server makes by itself. The columns of tables
/// are compared elsewhere.
const OBJECTS: &str = "
WITH schemas AS MATERIALIZED (
    SELECT oid, nspname FROM pg_namespace WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
), relations AS MATERIALIZED (
    SELECT c.* FROM pg_class AS c JOIN schemas ON schemas.oid = relnamespace
), members AS MATERIALIZED (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
)
SELECT 'schema', nspname, NULL FROM schemas
UNION ALL SELECT 'extension', extname, extversion FROM pg_extension
UNION ALL SELECT 'function', p.oid::regprocedure::text, CASE WHEN prokind = 'a' THEN prosrc ELSE pg_get_functiondef(p.oid) END
    FROM pg_proc AS p JOIN schemas ON schemas.oid = pronamespace
    WHERE NOT EXISTS (SELECT FROM members WHERE classid = 'pg_proc'::regclass AND objid = p.oid)
UNION ALL SELECT 'view', oid::regclass::text, pg_get_viewdef(oid) FROM relations WHERE relkind IN ('v', 'm')
UNION ALL SELECT 'sequence', oid::regclass::text,
        concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle)
    FROM relations JOIN pg_sequence ON seqrelid = oid
UNION ALL SELECT 'privileges', oid::regclass::text, relacl::text FROM relations WHERE relacl IS NOT NULL
UNION ALL SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index JOIN relations ON oid = indrelid
UNION ALL SELECT 'constraint', format('%I on %s', conname, conrelid::regclass), pg_get_constraintdef(k.oid)
    FROM pg_constraint AS k JOIN relations AS r ON r.oid = conrelid
UNION ALL SELECT 'default', format('%I of %s', attname, adrelid::regclass), pg_get_expr(adbin, adrelid)
    FROM pg_attrdef JOIN relations AS r ON r.oid = adrelid JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
UNION ALL SELECT 'trigger', format('%I on %s', tgname, tgrelid::regclass), concat_ws(' ', tgenabled, pg_get_triggerdef(t.oid))
    FROM pg_trigger AS t JOIN relations AS r ON r.oid = tgrelid WHERE NOT tgisinternal
UNION ALL SELECT 'rule', format('%I on %s', rulename, ev_class::regclass), pg_get_ruledef(w.oid)
    FROM pg_rewrite AS w JOIN relations AS r ON r.oid = ev_class WHERE rulename <> '_RETURN'
UNION ALL SELECT 'policy', format('%I on %s', polname, polrelid::regclass),
        concat_ws(' ', polcmd, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
    FROM pg_policy JOIN relations AS r ON r.oid = polrelid
UNION ALL SELECT 'type', t.oid::regtype::text, concat_ws(' ', typtype, nullif(typbasetype, 0)::regtype,
        (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
    FROM pg_type AS t JOIN schemas ON schemas.oid = typnamespace WHERE typtype IN ('d', 'e', 'r')";

/// Takes the server longer than to read the tables, so it is asked only after DDL.
pub(super) async fn schema_objects(conn: &mut PgConnection) -> Result<Table, sqlx::Error> {
    let results = batch(conn, OBJECTS.into()).await?;
    let objects = results.iter().flatten().map(|row| {
        let value = |place| string(row, place).map(|text| text.map_or(Value::Null, Value::Text));
        Ok([value(0)?, value(1)?, value(2)?])
    });
    let objects: Vec<_> = objects.collect::<Result<_, sqlx::Error>>()?;
    Ok(Table::of_schema_objects(objects))
}

/// Large objects are read as a table. The server numbers them, in all databases together.
pub(super) fn describe_large_objects(catalog: &mut Catalog) {
    let column = |name: &str, selected: &str, volatility, kind, primary_key| Described {
        table: LARGE_OBJECTS.into(),
        source: "pg_largeobject_metadata".into(),
        name: Some(name.into()),
        selected: selected.into(),
        type_name: name.into(),
        volatility,
        kind,
        primary_key,
    };
    // Who may not read one still sees that it is there.
    let content = "CASE WHEN pg_has_role(lomowner, 'USAGE') THEN lo_get(oid) END";
    catalog.column(column(
        "oid",
        "oid",
        Volatility::Generated,
        ValueKind::Number,
        Some(1),
    ));
    catalog.column(column(
        "content",
        content,
        Volatility::Plain,
        ValueKind::Bytes,
        None,
    ));
}
