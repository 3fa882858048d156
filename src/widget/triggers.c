/*-------------------------------------------------------------------------
 *
 * triggers.c
 *		The triggers on the sources.
 *
 * They are ordinary ones, seen by \d and dumped by pg_dump, but they depend on the
 * extension and go with it.
 *
 * Locking: see api/define.c, which calls all this with dashcache.widget
 * locked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/triggers.h"

#include "compat.h"
#include "mix.h"
#include "widget/source_rows.h"

#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define ROW_TRIGGER			"dashcache_row"
#define STATEMENT_TRIGGER	"dashcache_statement"

static bool
can_have_triggers(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	return relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE;
}

/*-------------------------------------------------------------------------
 * One trigger
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

/* See that a trigger is there, and always fires.  Its relation is locked. */
static void
ensure_trigger(Oid relid, const char *name, const char *function,
			   bool row, int16 timing, int16 events)
{
	Relation	relation = table_open(relid, NoLock);
	TriggerDesc *triggers = relation->trigdesc;
	bool		found = false;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (strcmp(trigger->tgname, name) == 0 &&
			trigger->tgfoid == trigger_function(function))
		{
			found = true;
			if (trigger->tgenabled != TRIGGER_FIRES_ALWAYS)
				dc_enable_trigger_always(relation, name);
			break;
		}
	}
	if (!found)
		create_trigger(relid, name, function, row, timing, events);
	table_close(relation, NoLock);
	CommandCounterIncrement();
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
		!OidIsValid(get_trigger_oid(relid, ROW_TRIGGER, true)))
	{
		/* where widgets read a partition by itself, its trigger is in the way */
		foreach(lc, family)
		{
			if (can_have_triggers(lfirst_oid(lc)))
				drop_trigger(lfirst_oid(lc), ROW_TRIGGER);
		}
	}
	foreach(lc, family)
	{
		if (!can_have_triggers(lfirst_oid(lc)))
			continue;
		ensure_trigger(lfirst_oid(lc), ROW_TRIGGER, "row_changed", true,
					   TRIGGER_TYPE_AFTER,
					   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE |
					   TRIGGER_TYPE_DELETE);
		ensure_trigger(lfirst_oid(lc), STATEMENT_TRIGGER, "statement_begins", false,
					   TRIGGER_TYPE_BEFORE,
					   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE |
					   TRIGGER_TYPE_DELETE | TRIGGER_TYPE_TRUNCATE);
	}
}

/*-------------------------------------------------------------------------
 * What the rows ask for
 *-------------------------------------------------------------------------
 */

/* The relations whose writers have to know of these rows. */
List *
dc_triggers_relations(List *rows)
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
dc_triggers_family(Oid relid)
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

/* Are two lists of rows watched in the same way? */
bool
dc_triggers_same(List *a, List *b)
{
	ListCell   *lc;

	if (list_length(a) != list_length(b))
		return false;
	foreach(lc, list_concat_copy(dc_triggers_relations(a), dc_triggers_relations(b)))
	{
		if (watches_on(a, lfirst_oid(lc)) != watches_on(b, lfirst_oid(lc)))
			return false;
	}
	return true;
}

/* Are our triggers on a relation, and do they fire? */
DcTriggersState
dc_triggers_on(Oid relid)
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

/* Does everything that is to be watched have its triggers? */
bool
dc_triggers_complete(List *rows)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, dc_triggers_relations(rows))
	{
		foreach(lc2, dc_triggers_family(lfirst_oid(lc)))
		{
			if (dc_triggers_on(lfirst_oid(lc2)) != DC_TRIGGERS_ALWAYS)
				return false;
		}
	}
	return true;
}

/*
 * Lock the sources against writers, and see that they have the triggers.  What
 * is watched in the same way as before ("old_rows") is left alone, unless a
 * trigger is missing.
 */
void
dc_triggers_install(List *rows, List *old_rows)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, dc_triggers_relations(rows))
	{
		Oid			relid = lfirst_oid(lc);
		List	   *family;
		bool		complete = true;

		foreach(lc2, dc_triggers_family(relid))
			complete &= dc_triggers_on(lfirst_oid(lc2)) == DC_TRIGGERS_ALWAYS;
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

/*-------------------------------------------------------------------------
 * What nobody asks for any more
 *-------------------------------------------------------------------------
 */

static bool
is_needed(Oid relid)
{
	ListCell   *lc;

	if (dc_source_rows_use(relid))
		return true;
	foreach(lc, dc_ancestors_of(relid))
	{
		if (dc_source_rows_use(lfirst_oid(lc)))
			return true;
	}
	return false;
}

/*
 * A table is about to become a partition of another.  It gets clones of that
 * one's row triggers, under whose names there must be none: where it has been
 * watched by itself, its own go first.  Statement triggers are not cloned.  The
 * locks are those of ATTACH PARTITION, in its order.
 */
void
dc_triggers_make_way(Oid parent, Oid partition)
{
	ListCell   *lc;

	if (!OidIsValid(get_trigger_oid(parent, ROW_TRIGGER, true)))
		return;
	LockRelationOid(parent, ShareUpdateExclusiveLock);
	LockRelationOid(partition, AccessExclusiveLock);
	foreach(lc, find_all_inheritors(partition, AccessExclusiveLock, NULL))
	{
		if (can_have_triggers(lfirst_oid(lc)))
			drop_trigger(lfirst_oid(lc), ROW_TRIGGER);
	}
	CommandCounterIncrement();
}

/* Remove the triggers from those relations that no widget needs any more. */
void
dc_triggers_remove_unused(List *relids)
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
			drop_trigger(lfirst_oid(lc2), ROW_TRIGGER);
			drop_trigger(lfirst_oid(lc2), STATEMENT_TRIGGER);
		}

		/* a partition that is read by itself has lost its clone */
		foreach(lc2, family)
		{
			if (can_have_triggers(lfirst_oid(lc2)) && is_needed(lfirst_oid(lc2)))
				ensure_triggers(lfirst_oid(lc2), list_make1_oid(lfirst_oid(lc2)));
		}
	}
}
