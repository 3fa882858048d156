/*-------------------------------------------------------------------------
 *
 * overrides.c
 *		What is watched, as found or as told.
 *
 * What the analysis has found becomes rows of dashcache.source, and so does what
 * dashcache_watch() has been told instead (dashcache.override).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/overrides.h"

#include "widget/code.h"
#include "widget/settings.h"

#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

typedef struct Override
{
	Oid			source;
	char	   *tenant;			/* NULL: any change touches every tenant */
	Oid			role;			/* who said so; evaluated as it */
} Override;

static List *
read_overrides(uint32 widget)
{
	MemoryContext caller = CurrentMemoryContext;
	DcCatalogWork work;
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(widget);
	List	   *overrides = NIL;
	uint64		n;

	dc_catalog_begin(&work);
	n = dc_catalog_execute("SELECT source, tenant, role FROM dashcache.override WHERE widget = $1 ORDER BY source",
						   1, &type, &value, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);
		Override   *override = palloc(sizeof(Override));
		HeapTuple	row = SPI_tuptable->vals[i];
		bool		isnull;
		Datum		tenant;

		override->source = DatumGetObjectId(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
		tenant = SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull);
		override->tenant = isnull ? NULL : TextDatumGetCString(tenant);
		override->role = DatumGetObjectId(SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &isnull));
		overrides = lappend(overrides, override);
		MemoryContextSwitchTo(old);
	}
	dc_catalog_end(&work);
	return overrides;
}

static void
set_override_key(DcSourceRow *row, const char *tenant, Oid tenant_type)
{
	DcSource   *source = &row->source;
	AttrNumber	column = get_attnum(source->relid, tenant);
	TypeCacheEntry *type = lookup_type_cache(tenant_type, TYPECACHE_HASH_PROC);

	if (!OidIsValid(type->hash_proc))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("type %s cannot be hashed", format_type_be(tenant_type)),
				 errhint("Leave out the tenant expression: any change then touches every tenant.")));

	source->invalidation = DC_INVALIDATION_ROW;
	source->key_hash = type->hash_proc;
	source->tenant_hash = type->hash_proc;
	source->collation = get_typcollation(tenant_type);

	if (column > 0 && get_atttype(source->relid, column) == tenant_type)
	{
		source->key = column;
		if (!source->columns.all)
			source->columns.attnums = bms_add_member(source->columns.attnums,
													 column);
	}
	else
	{
		/* nobody has looked at which columns the expression reads */
		row->key_sql = psprintf("(%s%s)::%s", tenant,
								strstr(tenant, "--") != NULL ? "\n" : "",
								format_type_extended(tenant_type, -1,
													 FORMAT_TYPE_FORCE_QUALIFY));
		source->columns.all = true;
	}
}

/*
 * The rows for a widget: those of the analysis, and for a source that has an
 * override that one instead.
 */
List *
dc_overrides_apply(uint32 widget, DcAnalysis *analysis)
{
	List	   *overrides = read_overrides(widget);
	List	   *rows = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, analysis->sources)
	{
		DcSource   *source = lfirst(lc);
		DcSourceRow *row;
		bool		overridden = false;

		foreach(lc2, overrides)
			overridden |= ((Override *) lfirst(lc2))->source == source->relid;
		if (overridden)
			continue;
		row = palloc0(sizeof(DcSourceRow));
		row->widget = widget;
		row->source = *source;
		rows = lappend(rows, row);
	}

	foreach(lc, overrides)
	{
		Override   *override = lfirst(lc);
		DcSourceRow *row = palloc0(sizeof(DcSourceRow));
		bool		read = false;

		row->widget = widget;
		row->key_role = override->role;
		row->source.relid = override->source;
		foreach(lc2, analysis->sources)
		{
			DcSource   *source = lfirst(lc2);

			if (source->relid == override->source)
			{
				read = true;
				row->source.columns.all |= source->columns.all;
				row->source.columns.attnums =
					bms_union(row->source.columns.attnums,
							  source->columns.attnums);
			}
		}
		if (!read)
			row->source.columns.all = true;
		row->source.reason = "as told by dashcache_watch()";
		if (override->tenant == NULL)
			row->source.invalidation = DC_INVALIDATION_ANY;
		else
			set_override_key(row, override->tenant, analysis->tenant_type);
		rows = lappend(rows, row);
	}
	return rows;
}

/* Throw unless changes of a relation can be watched. */
void
dc_overrides_check_source(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	if (relkind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE) ||
		IsCatalogRelationOid(relid) ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot be watched", get_rel_name(relid)),
				 errdetail("Only tables can.")));
}

/*
 * Throw unless an expression gives a tenant for a row of the source, as far as
 * the current user is concerned.
 */
void
dc_overrides_check_expression(const char *expression, Oid source,
							  const DcWidget *widget)
{
	int			save_nestlevel;
	Oid			rowtype = get_rel_type_id(source);
	DcRoles		nobody = {0};
	SPIPlanPtr	plan;

	save_nestlevel = NewGUCNestLevel();
	dc_settings_pin(&widget->settings);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = SPI_prepare(psprintf("SELECT ((%s\n)::%s) FROM (SELECT ($1).*) AS %s",
								expression,
								format_type_extended(widget->tenant_type.type, -1,
													 FORMAT_TYPE_FORCE_QUALIFY),
								quote_identifier(get_rel_name(source))),
					   1, &rowtype);
	if (plan == NULL || !SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("invalid tenant expression: %s", expression)));
	dc_code_check(dc_code_of_plan(NIL, plan), GetUserId(), &nobody);
	SPI_finish();
	AtEOXact_GUC(false, save_nestlevel);
}
