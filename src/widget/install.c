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

#include "compat.h"
#include "mix.h"
#include "widget/acl.h"
#include "widget/describe.h"

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
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
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
dc_install_plan(uint32 widget, DcAnalysis *analysis)
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
			   bool row, int16 timing, int16 events)
{
	CreateTrigStmt *statement = makeNode(CreateTrigStmt);
	ObjectAddress trigger;
	ObjectAddress extension;

	statement->trigname = pstrdup(name);
	statement->row = row;
	statement->timing = timing;
	statement->events = events;
	trigger = CreateTriggerFiringOn(statement, NULL, relid,
									InvalidOid, InvalidOid, InvalidOid,
									trigger_function(function), InvalidOid,
									NULL, false, false,
									TRIGGER_FIRES_ALWAYS);

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
				dc_enable_trigger_always(relation, name);
			return;
		}
	}
	create_trigger(RelationGetRelid(relation), name, function, row,
				   timing, events);
}

/* Drop a trigger of ours, unless it is a clone of the parent's. */
static void
drop_trigger(Oid relid, const char *name)
{
	Oid			oid = get_trigger_oid(relid, name, true);
	Relation	relation;
	bool		clone = false;
	ObjectAddress address;

	if (!OidIsValid(oid))
		return;
	relation = table_open(relid, NoLock);
	for (int i = 0; i < relation->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &relation->trigdesc->triggers[i];

		if (trigger->tgoid == oid)
			clone = trigger->tgisclone;
	}
	table_close(relation, NoLock);
	if (clone)
		return;
	ObjectAddressSet(address, TriggerRelationId, oid);
	performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}

static void
ensure_row_trigger(Oid relid)
{
	Relation	relation = table_open(relid, NoLock);

	ensure_trigger(relation, DC_TRIGGER_ROW, "row_changed", true,
				   TRIGGER_TYPE_AFTER,
				   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE |
				   TRIGGER_TYPE_DELETE);
	table_close(relation, NoLock);
}

static void
ensure_statement_trigger(Oid relid)
{
	Relation	relation = table_open(relid, NoLock);

	ensure_trigger(relation, DC_TRIGGER_STATEMENT, "statement_begins", false,
				   TRIGGER_TYPE_BEFORE,
				   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE |
				   TRIGGER_TYPE_DELETE | TRIGGER_TYPE_TRUNCATE);
	table_close(relation, NoLock);
}

static bool
can_have_triggers(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	return relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE;
}

/*
 * See that a relation, its partitions and its children have the triggers; all
 * are locked.  A partitioned table's row trigger is cloned to its partitions
 * by the server, also to later ones; nothing else is.
 */
static void
ensure_triggers(Oid relid, List *family)
{
	ListCell   *lc;

	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE &&
		!OidIsValid(get_trigger_oid(relid, DC_TRIGGER_ROW, true)))
	{
		/* where widgets read a partition by itself, its trigger is in the way */
		foreach(lc, family)
		{
			if (can_have_triggers(lfirst_oid(lc)))
				drop_trigger(lfirst_oid(lc), DC_TRIGGER_ROW);
		}
	}
	foreach(lc, family)
	{
		if (!can_have_triggers(lfirst_oid(lc)))
			continue;
		ensure_row_trigger(lfirst_oid(lc));
		CommandCounterIncrement();
		ensure_statement_trigger(lfirst_oid(lc));
		CommandCounterIncrement();
	}
}

/* The watches of a relation among the rows, as one number. */
static uint64
watches_on(List *rows, Oid relid)
{
	uint64		sum = 0;
	ListCell   *lc;

	foreach(lc, rows)
	{
		DcSourceRow *row = lfirst(lc);
		uint64		hash = dc_catalog_watch_hash(row);

		if (row->source.relid == relid)
			sum += dc_mix64(hash);
		for (int i = 0; i < row->source.nhops; i++)
		{
			if (row->source.hops[i].relid == relid)
				sum += dc_mix64(hash + i + 1 + row->source.hops[i].enforced * 16);
		}
	}
	return sum;
}

/* The relations whose writers have to know of these rows. */
List *
dc_install_relations(List *rows)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, rows)
	{
		DcSource   *source = &((DcSourceRow *) lfirst(lc))->source;

		if (source->invalidation != DC_INVALIDATION_TTL &&
			can_have_triggers(source->relid))
			relids = list_append_unique_oid(relids, source->relid);
		for (int i = 0; i < source->nhops; i++)
			relids = list_append_unique_oid(relids, source->hops[i].relid);
	}
	list_sort(relids, list_oid_cmp);
	return relids;
}

/* A relation with its partitions and children, as far as they have triggers. */
List *
dc_install_family(Oid relid)
{
	List	   *family = NIL;
	ListCell   *lc;

	LockRelationOid(relid, AccessShareLock);
	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		if (can_have_triggers(lfirst_oid(lc)))
			family = lappend_oid(family, lfirst_oid(lc));
	}
	return family;
}

/*
 * Lock the sources against writers, and see that they have the triggers.  What
 * is watched in the same way as before ("old_rows") is left alone, unless a
 * trigger is missing.
 */
void
dc_install_triggers(List *rows, List *old_rows)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, dc_install_relations(rows))
	{
		Oid			relid = lfirst_oid(lc);
		List	   *family;
		bool		complete = true;

		foreach(lc2, dc_install_family(relid))
			complete &= dc_install_triggers_on(lfirst_oid(lc2)) == DC_TRIGGERS_ALWAYS;
		if (complete && watches_on(rows, relid) == watches_on(old_rows, relid))
			continue;

		/* waits for all who have written to it */
		LockRelationOid(relid, ShareRowExclusiveLock);
		family = find_all_inheritors(relid, ShareRowExclusiveLock, NULL);
		if (!complete)
			ensure_triggers(relid, family);
		foreach(lc2, family)
			CacheInvalidateRelcacheByRelid(lfirst_oid(lc2));
	}
}

/* Does everything that is to be watched have its triggers? */
bool
dc_install_complete(List *rows)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, dc_install_relations(rows))
	{
		foreach(lc2, dc_install_family(lfirst_oid(lc)))
		{
			if (dc_install_triggers_on(lfirst_oid(lc2)) != DC_TRIGGERS_ALWAYS)
				return false;
		}
	}
	return true;
}

/* Are our triggers on a relation, and do they fire? */
DcTriggersState
dc_install_triggers_on(Oid relid)
{
	Relation	relation = table_open(relid, AccessShareLock);
	TriggerDesc *triggers = relation->trigdesc;
	DcTriggersState state = DC_TRIGGERS_ALWAYS;
	int			found = 0;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (trigger->tgfoid != trigger_function("row_changed") &&
			trigger->tgfoid != trigger_function("statement_begins"))
			continue;
		found++;
		if (trigger->tgenabled == TRIGGER_DISABLED)
			state = DC_TRIGGERS_DISABLED;
		else if (trigger->tgenabled != TRIGGER_FIRES_ALWAYS &&
				 state == DC_TRIGGERS_ALWAYS)
			state = DC_TRIGGERS_NOT_ALWAYS;
	}
	table_close(relation, NoLock);
	return found < 2 ? DC_TRIGGERS_MISSING : state;
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

/* The relations that a widget reads, or finds tenants by way of. */
List *
dc_install_sources_of(uint32 widget)
{
	RelidList	list = {NIL};

	ListCell   *lc;

	dc_catalog_scan(DC_TABLE_SOURCE, DC_SOURCE_WIDGET, INT4OID,
					Int32GetDatum(widget), add_relid, &list);
	foreach(lc, dc_install_rows_of(widget))
	{
		DcSource   *source = &((DcSourceRow *) lfirst(lc))->source;

		for (int i = 0; i < source->nhops; i++)
			list.relids = list_append_unique_oid(list.relids,
												 source->hops[i].relid);
	}
	return list.relids;
}

static void
add_hop_user(HeapTuple tuple, TupleDesc desc, void *arg)
{
	RelidList  *list = arg;

	list->relids = lappend_oid(list->relids, InvalidOid);
}

/* Does any widget read the relation, or find tenants by way of it? */
static bool
is_used(Oid relid)
{
	RelidList	users = {NIL};

	dc_catalog_scan(DC_TABLE_SOURCE, DC_SOURCE_RELATION, OIDOID,
					ObjectIdGetDatum(relid), add_relid, &users);
	dc_catalog_scan(DC_TABLE_HOP, DC_HOP_RELATION, OIDOID,
					ObjectIdGetDatum(relid), add_hop_user, &users);
	return users.relids != NIL;
}

static bool
is_needed(Oid relid)
{
	ListCell   *lc;

	if (is_used(relid))
		return true;
	foreach(lc, dc_ancestors_of(relid))
	{
		if (is_used(lfirst_oid(lc)))
			return true;
	}
	return false;
}

/* Remove the triggers from those relations that no widget needs any more. */
void
dc_install_remove_unused(List *relids)
{
	ListCell   *lc;
	ListCell   *lc2;

	list_sort(relids, list_oid_cmp);
	foreach(lc, relids)
	{
		Oid			relid = lfirst_oid(lc);
		List	   *family;

		if (is_needed(relid) || !can_have_triggers(relid))
			continue;
		LockRelationOid(relid, AccessExclusiveLock);
		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
			continue;
		family = find_all_inheritors(relid, AccessExclusiveLock, NULL);
		foreach(lc2, family)
		{
			if (!can_have_triggers(lfirst_oid(lc2)) || is_needed(lfirst_oid(lc2)))
				continue;
			drop_trigger(lfirst_oid(lc2), DC_TRIGGER_ROW);
			drop_trigger(lfirst_oid(lc2), DC_TRIGGER_STATEMENT);
		}

		/* a partition that is read by itself has lost its clone */
		foreach(lc2, family)
		{
			if (can_have_triggers(lfirst_oid(lc2)) && is_needed(lfirst_oid(lc2)))
				ensure_triggers(lfirst_oid(lc2), list_make1_oid(lfirst_oid(lc2)));
		}
	}
}

/*-------------------------------------------------------------------------
 * Rows of dashcache.source, hop and dependency
 *-------------------------------------------------------------------------
 */

static Datum
int2_array(Datum *elements, int n)
{
	return PointerGetDatum(construct_array(elements, n, INT2OID, 2, true,
										   TYPALIGN_SHORT));
}

static Datum
oid_array(Datum *elements, int n)
{
	return PointerGetDatum(construct_array(elements, n, OIDOID, sizeof(Oid), true,
										   TYPALIGN_INT));
}

static Datum
column_array(const Bitmapset *members)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(bms_num_members(members), 1));
	int			n = 0;
	int			member = -1;

	while ((member = bms_next_member(members, member)) >= 0)
		elements[n++] = Int16GetDatum(member);
	return int2_array(elements, n);
}

static Datum
text_or_null(const char *text, char *null)
{
	*null = text == NULL ? 'n' : ' ';
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
write_row(const DcSourceRow *row, int number)
{
	const DcSource *source = &row->source;
	bool		keyed = source->invalidation == DC_INVALIDATION_ROW;
	Oid			types[25] = {INT4OID, INT2OID, OIDOID, CHAROID, INT2ARRAYOID,
		INT2OID, TEXTOID, OIDOID, TEXTOID, OIDOID, OIDOID, OIDOID, OIDARRAYOID,
	INT2ARRAYOID, OIDARRAYOID, BOOLARRAYOID, BOOLARRAYOID, OIDARRAYOID, INT2ARRAYOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID};
	Datum		relations[DC_MAX_HOPS];
	Datum		columns[DC_MAX_HOPS * 2];
	Datum		equalities[DC_MAX_HOPS * 2];
	Datum		enforced[DC_MAX_HOPS];
	Datum		many[DC_MAX_HOPS];
	Datum		referrer[3] = {ObjectIdGetDatum(source->reference.relid),
		ObjectIdGetDatum(source->reference.equal),
	ObjectIdGetDatum(source->reference.collation)};
	Datum		referring[2] = {Int16GetDatum(source->reference.referenced),
	Int16GetDatum(source->reference.refers)};
	Datum		values[25];
	char		nulls[25];

	for (int i = 0; i < source->nhops; i++)
	{
		relations[i] = ObjectIdGetDatum(source->hops[i].relid);
		columns[2 * i] = Int16GetDatum(source->hops[i].match);
		columns[2 * i + 1] = Int16GetDatum(source->hops[i].next);
		equalities[2 * i] = ObjectIdGetDatum(source->hops[i].equal);
		equalities[2 * i + 1] = ObjectIdGetDatum(source->hops[i].collation);
		enforced[i] = BoolGetDatum(source->hops[i].enforced);
		many[i] = BoolGetDatum(source->hops[i].many);
	}

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int32GetDatum(row->widget);
	values[1] = Int16GetDatum(number);
	values[2] = ObjectIdGetDatum(source->relid);
	values[3] = CharGetDatum(source->invalidation);
	values[4] = column_array(source->columns.attnums);
	nulls[4] = source->columns.all ? 'n' : ' ';
	values[5] = Int16GetDatum(source->key);
	nulls[5] = source->key != 0 ? ' ' : 'n';
	values[6] = text_or_null(row->key_sql, &nulls[6]);
	values[7] = ObjectIdGetDatum(row->key_role);
	nulls[7] = row->key_sql != NULL ? ' ' : 'n';
	values[8] = text_or_null(source->key_expression == NULL ? NULL :
							 nodeToString(source->key_expression), &nulls[8]);
	values[9] = ObjectIdGetDatum(source->key_hash);
	nulls[9] = keyed ? ' ' : 'n';
	values[10] = ObjectIdGetDatum(source->tenant_hash);
	nulls[10] = keyed ? ' ' : 'n';
	values[11] = ObjectIdGetDatum(source->collation);
	nulls[11] = OidIsValid(source->collation) ? ' ' : 'n';
	values[12] = oid_array(relations, source->nhops);
	values[13] = int2_array(columns, source->nhops * 2);
	values[14] = oid_array(equalities, source->nhops * 2);
	values[15] = PointerGetDatum(construct_array(enforced, source->nhops, BOOLOID,
												 1, true, TYPALIGN_CHAR));
	values[16] = PointerGetDatum(construct_array(many, source->nhops, BOOLOID,
												 1, true, TYPALIGN_CHAR));
	values[17] = oid_array(referrer, 3);
	values[18] = int2_array(referring, 2);
	nulls[17] = nulls[18] = OidIsValid(source->reference.relid) ? ' ' : 'n';
	values[19] = text_or_null(source->filter == NIL ? NULL :
							  nodeToString(source->filter), &nulls[19]);
	values[20] = CStringGetTextDatum(dc_describe_key(row));
	values[21] = text_or_null(dc_describe_condition(source), &nulls[21]);
	values[22] = text_or_null(source->reason, &nulls[22]);
	values[23] = text_or_null(source->wanted_index, &nulls[23]);
	values[24] = Int64GetDatum((int64) dc_catalog_shape(source));
	dc_catalog_execute("INSERT INTO dashcache.source VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
					   " $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)",
					   25, types, values, nulls);

	for (int i = 0; i < source->nhops; i++)
	{
		Oid			hop_types[4] = {OIDOID, INT4OID, INT2OID, INT2OID};
		Datum		hop[4] = {relations[i], values[0], values[1], Int16GetDatum(i)};

		dc_catalog_execute("INSERT INTO dashcache.hop VALUES ($1, $2, $3, $4)",
						   4, hop_types, hop, NULL);
	}
}

static void
write_dependencies(uint32 widget, char kind, List *objects)
{
	Oid			types[3] = {INT4OID, CHAROID, OIDOID};
	Datum		values[3] = {Int32GetDatum(widget), CharGetDatum(kind)};
	ListCell   *lc;

	foreach(lc, objects)
	{
		values[2] = ObjectIdGetDatum(lfirst_oid(lc));
		dc_catalog_execute("INSERT INTO dashcache.dependency VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
						   3, types, values, NULL);
	}
}

/*
 * Replace what is kept about a widget's sources and what it depends on.
 * Within dc_catalog_begin().
 */
void
dc_install_write(uint32 widget, List *rows, const DcAnalysis *analysis)
{
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(widget);
	ListCell   *lc;

	dc_install_clear(widget);
	dc_catalog_execute("DELETE FROM dashcache.dependency WHERE widget = $1",
					   1, &type, &value, NULL);
	foreach(lc, rows)
	{
		write_row(lfirst(lc), foreach_current_index(lc) + 1);
		write_dependencies(widget, 'r',
						   find_all_inheritors(((DcSourceRow *) lfirst(lc))->source.relid,
											   AccessShareLock, NULL));
	}
	write_dependencies(widget, 'r', analysis->relations);
	write_dependencies(widget, 'f', analysis->functions);
	/* a function may call any other: InvalidOid stands for them */
	if (analysis->functions != NIL)
		write_dependencies(widget, 'f', list_make1_oid(InvalidOid));
}

/* Forget a widget's sources: it has a problem.  Within dc_catalog_begin(). */
void
dc_install_clear(uint32 widget)
{
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(widget);

	dc_catalog_execute("DELETE FROM dashcache.source WHERE widget = $1",
					   1, &type, &value, NULL);
	dc_catalog_execute("DELETE FROM dashcache.hop WHERE widget = $1",
					   1, &type, &value, NULL);
}

static void
read_source_row(HeapTuple tuple, TupleDesc desc, void *arg)
{
	List	  **rows = arg;
	DcSourceRow *row = palloc(sizeof(DcSourceRow));

	dc_catalog_source_row(tuple, desc, row);
	*rows = lappend(*rows, row);
}

/* The rows of a widget as they are kept. */
List *
dc_install_rows_of(uint32 widget)
{
	List	   *rows = NIL;

	dc_catalog_scan(DC_TABLE_SOURCE, DC_SOURCE_WIDGET, INT4OID,
					Int32GetDatum(widget), read_source_row, &rows);
	return rows;
}

/* Are two lists of rows watched in the same way? */
bool
dc_install_same(List *a, List *b)
{
	ListCell   *lc;

	if (list_length(a) != list_length(b))
		return false;
	foreach(lc, list_concat_copy(dc_install_relations(a), dc_install_relations(b)))
	{
		if (watches_on(a, lfirst_oid(lc)) != watches_on(b, lfirst_oid(lc)))
			return false;
	}
	return true;
}
