/*-------------------------------------------------------------------------
 *
 * install.c
 *		Putting a widget's sources under watch.
 *
 * What the analysis has found and what dashcache_watch() has overridden
 * become rows of dashcache.source, and triggers on the tables they name.
 * The triggers are ordinary ones, seen by \d and dumped by pg_dump, but they
 * depend on the extension and go with it.
 *
 * Locking: see api/define.c, which calls all this with dashcache.widget
 * locked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/install.h"

#include "widget/acl.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/*-------------------------------------------------------------------------
 * From the analysis to rows
 *-------------------------------------------------------------------------
 */

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
		row->key_expression = psprintf("(%s)::%s", tenant,
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
dc_install_plan(uint32 widget, DcAnalysis *analysis, const DcSettings *settings)
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
dc_install_check_source(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	if (relkind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (relkind != RELKIND_RELATION || IsCatalogRelationOid(relid) ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP ||
		has_subclass(relid) || has_superclass(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot be watched", get_rel_name(relid)),
				 errdetail("Only plain tables can.")));
}

/*
 * Throw unless an expression gives a tenant for a row of the source, as far as
 * the current user is concerned.
 */
void
dc_install_check_expression(const char *expression, Oid source,
							const DcWidget *widget)
{
	int			save_nestlevel;
	Oid			rowtype = get_rel_type_id(source);
	SPIPlanPtr	plan;

	save_nestlevel = NewGUCNestLevel();
	dc_settings_pin(&widget->settings);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = SPI_prepare(psprintf("SELECT ((%s)::%s) FROM (SELECT ($1).*) AS %s",
								expression,
								format_type_extended(widget->tenant_type.type, -1,
													 FORMAT_TYPE_FORCE_QUALIFY),
								quote_identifier(get_rel_name(source))),
					   1, &rowtype);
	if (plan == NULL || !SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("invalid tenant expression: %s", expression)));
	SPI_finish();
	AtEOXact_GUC(false, save_nestlevel);
}

/*-------------------------------------------------------------------------
 * Triggers
 *-------------------------------------------------------------------------
 */

/* Our trigger function; whoever defines a widget need not have USAGE. */
static Oid
trigger_function(const char *name)
{
	oidvector  *no_arguments = buildoidvector(NULL, 0);
	Oid			function;

	function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
							   CStringGetDatum(name),
							   PointerGetDatum(no_arguments),
							   ObjectIdGetDatum(get_namespace_oid("dashcache", false)));
	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function dashcache.%s() does not exist", name),
				 errhint("Run ALTER EXTENSION dashcache UPDATE.")));
	return function;
}

static void
create_trigger(Oid relid, const char *name, const char *function,
			   bool row, int16 timing, int16 events, bool replace)
{
	CreateTrigStmt *statement = makeNode(CreateTrigStmt);
	ObjectAddress trigger;
	ObjectAddress extension;

	statement->replace = replace;
	statement->trigname = pstrdup(name);
	statement->row = row;
	statement->timing = timing;
	statement->events = events;
	trigger = CreateTriggerFiringOn(statement, NULL, relid,
									InvalidOid, InvalidOid, InvalidOid,
									trigger_function(function), InvalidOid,
									NULL, false, false,
									TRIGGER_FIRES_ALWAYS);
	if (replace)
		return;

	/* so that DROP EXTENSION takes the triggers along */
	ObjectAddressSet(extension, ExtensionRelationId,
					 get_extension_oid("dashcache", false));
	recordDependencyOn(&trigger, &extension, DEPENDENCY_AUTO_EXTENSION);
}

static void
ensure_trigger(Relation relation, const char *name, const char *function,
			   bool row, int16 timing, int16 events)
{
	TriggerDesc *triggers = relation->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (strcmp(trigger->tgname, name) == 0 &&
			trigger->tgfoid == trigger_function(function))
		{
			if (trigger->tgenabled != TRIGGER_FIRES_ALWAYS)
				create_trigger(RelationGetRelid(relation), name, function, row,
							   timing, events, true);
			return;
		}
	}
	create_trigger(RelationGetRelid(relation), name, function, row,
				   timing, events, false);
}

/* Lock the sources against writers, and see that they have the triggers. */
void
dc_install_triggers(List *rows)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, rows)
	{
		DcSource   *source = &((DcSourceRow *) lfirst(lc))->source;

		if (source->invalidation != DC_INVALIDATION_TTL)
			relids = list_append_unique_oid(relids, source->relid);
	}
	list_sort(relids, list_oid_cmp);

	foreach(lc, relids)
	{
		Relation	relation;

		dc_acl_check_source(lfirst_oid(lc));
		relation = table_open(lfirst_oid(lc), ShareRowExclusiveLock);
		ensure_trigger(relation, DC_TRIGGER_ROW, "row_changed", true,
					   TRIGGER_TYPE_AFTER,
					   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE |
					   TRIGGER_TYPE_DELETE);
		ensure_trigger(relation, DC_TRIGGER_STATEMENT, "statement_begins", false,
					   TRIGGER_TYPE_BEFORE,
					   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE |
					   TRIGGER_TYPE_DELETE | TRIGGER_TYPE_TRUNCATE);
		CacheInvalidateRelcache(relation);
		table_close(relation, NoLock);
	}
}

typedef struct RelidList
{
	List	   *relids;
} RelidList;

static void
add_relid(HeapTuple tuple, TupleDesc desc, void *arg)
{
	RelidList  *list = arg;
	bool		isnull;

	list->relids =
		list_append_unique_oid(list->relids,
							   DatumGetObjectId(heap_getattr(tuple, DC_SOURCE_RELATION,
															 desc, &isnull)));
}

/* The relations that a widget reads. */
List *
dc_install_sources_of(uint32 widget)
{
	RelidList	list = {NIL};

	dc_catalog_scan(DC_TABLE_SOURCE, DC_SOURCE_WIDGET, INT4OID,
					Int32GetDatum(widget), add_relid, &list);
	return list.relids;
}

static void
drop_trigger(Oid relid, const char *name)
{
	Oid			trigger = get_trigger_oid(relid, name, true);
	ObjectAddress address;

	if (!OidIsValid(trigger))
		return;
	ObjectAddressSet(address, TriggerRelationId, trigger);
	performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

/* Remove the triggers from those relations that no widget reads any more. */
void
dc_install_remove_unused(List *relids)
{
	ListCell   *lc;

	list_sort(relids, list_oid_cmp);
	foreach(lc, relids)
	{
		Oid			relid = lfirst_oid(lc);
		RelidList	users = {NIL};

		dc_catalog_scan(DC_TABLE_SOURCE, DC_SOURCE_RELATION, OIDOID,
						ObjectIdGetDatum(relid), add_relid, &users);
		if (users.relids != NIL)
			continue;
		LockRelationOid(relid, AccessExclusiveLock);
		if (get_rel_name(relid) == NULL)
			continue;			/* dropped */
		drop_trigger(relid, DC_TRIGGER_ROW);
		drop_trigger(relid, DC_TRIGGER_STATEMENT);
	}
}

/*-------------------------------------------------------------------------
 * Saying what was done
 *-------------------------------------------------------------------------
 */

static void
append_columns(StringInfo out, const DcSource *source)
{
	int			column = -1;
	const char *separator = "";

	if (source->columns.all)
	{
		appendStringInfoString(out, "all columns");
		return;
	}
	if (bms_is_empty(source->columns.attnums))
	{
		appendStringInfoString(out, "no column");
		return;
	}
	while ((column = bms_next_member(source->columns.attnums, column)) >= 0)
	{
		appendStringInfo(out, "%s%s", separator,
						 get_attname(source->relid, column, false));
		separator = ", ";
	}
}

static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* Tell the definer what is watched, and how. */
void
dc_install_notice(const char *widget, const char *dashboard,
				  const DcAnalysis *analysis, List *rows)
{
	StringInfoData detail;
	ListCell   *lc;

	initStringInfo(&detail);
	foreach(lc, rows)
	{
		DcSourceRow *row = lfirst(lc);
		DcSource   *source = &row->source;

		if (detail.len > 0)
			appendStringInfoChar(&detail, '\n');
		appendStringInfo(&detail, "%s: ", qualified_name(source->relid));
		switch (source->invalidation)
		{
			case DC_INVALIDATION_ROW:
				appendStringInfo(&detail, "rows by tenant, %s; reads ",
								 row->key_expression != NULL ? row->key_expression :
								 get_attname(source->relid, source->key, false));
				append_columns(&detail, source);
				break;
			case DC_INVALIDATION_ANY:
				appendStringInfo(&detail, "any change touches every tenant (%s); reads ",
								 source->reason);
				append_columns(&detail, source);
				break;
			case DC_INVALIDATION_TTL:
				appendStringInfo(&detail, "changes go unnoticed until the ttl ends (%s)",
								 source->reason);
				break;
		}
	}
	foreach(lc, analysis->stable_functions)
	{
		if (detail.len > 0)
			appendStringInfoChar(&detail, '\n');
		appendStringInfo(&detail, "function %s: what it reads cannot be seen; dashcache_watch() adds a table",
						 format_procedure(lfirst_oid(lc)));
	}
	if (detail.len == 0)
		appendStringInfoString(&detail, "It reads no table.");

	ereport(NOTICE,
			(errmsg("widget \"%s\" of dashboard \"%s\" is defined", widget, dashboard),
			 errdetail_internal("%s", detail.data)));
}
