/*-------------------------------------------------------------------------
 *
 * ddl.c
 *		When the meaning of a query changes.
 *
 * Event triggers look again at the widgets that a command may concern (see
 * widget/redo.c), in the transaction of the command.  Which ones these are is
 * decided by what they depend on; where a command does not say what it has
 * changed, or it could be anything (a type, a policy, a privilege), all are.
 *
 * A new object may also take the place of another one in the search path, or
 * be what a broken widget is waiting for; so a name that widgets use, or any
 * widget that is broken, counts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/ddl.h"

#include "api/define.h"
#include "api/roles.h"
#include "compat.h"
#include "demand.h"
#include "warm/cron.h"
#include "warm/utility.h"
#include "widget/catalog.h"
#include "widget/names.h"
#include "widget/redo.h"
#include "widget/triggers.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(dashcache_ddl_begins);
PG_FUNCTION_INFO_V1(dashcache_ddl_ended);
PG_FUNCTION_INFO_V1(dashcache_objects_dropped);

/* Which widgets a command concerns. */
typedef struct Concern
{
	bool		all;
	List	   *certain;		/* OIDs of widgets: their meaning has changed */
	List	   *possible;		/* to be looked at: it may have */
} Concern;

static void
check_called_by_event(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function was not called by an event trigger")));
}

/* The widgets that a query on our tables returns. */
static List *
select_widgets(const char *sql, int nargs, Oid *types, Datum *values)
{
	MemoryContext caller = CurrentMemoryContext;
	DcCatalogWork work;
	List	   *widgets = NIL;
	uint64		n;

	dc_catalog_begin(&work);
	n = dc_catalog_execute(sql, nargs, types, values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);
		bool		isnull;

		widgets = lappend_int(widgets,
							  DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i],
														  SPI_tuptable->tupdesc,
														  1, &isnull)));
		MemoryContextSwitchTo(old);
	}
	dc_catalog_end(&work);
	return widgets;
}

static List *
widgets_on(char kind, Oid object)
{
	Oid			types[2] = {CHAROID, OIDOID};
	Datum		values[2] = {CharGetDatum(kind), ObjectIdGetDatum(object)};

	return select_widgets("SELECT DISTINCT widget FROM dashcache.dependency WHERE kind = $1 AND object = $2",
						  2, types, values);
}

/* Widgets that use an object of this name. */
static List *
widgets_by_name(char kind, const char *name)
{
	Oid			types[2] = {CHAROID, TEXTOID};
	Datum		values[2] = {CharGetDatum(kind), CStringGetTextDatum(name)};

	return select_widgets(kind == 'r' ?
						  "SELECT DISTINCT d.widget FROM dashcache.dependency d"
						  " JOIN pg_catalog.pg_class c ON c.oid = d.object"
						  " WHERE d.kind = $1 AND c.relname = $2" :
						  "SELECT DISTINCT d.widget FROM dashcache.dependency d"
						  " JOIN pg_catalog.pg_proc p ON p.oid = d.object"
						  " WHERE d.kind = $1 AND p.proname = $2",
						  2, types, values);
}

static List *
broken_widgets(void)
{
	return select_widgets("SELECT w.id FROM dashcache.widget w JOIN dashcache.verified v ON v.widget = w.id WHERE w.problem IS NOT NULL",
						  0, NULL, NULL);
}

static bool
begins_with(const char *tag, const char *beginning)
{
	return strncmp(tag, beginning, strlen(beginning)) == 0;
}

/* Commands that change neither data nor the meaning of any query. */
static bool
is_irrelevant(const char *tag)
{
	static const char *const irrelevant[] = {
		"COMMENT", "SECURITY LABEL", "CREATE STATISTICS", "GRANT", "REVOKE",
		"ALTER STATISTICS", "CREATE SEQUENCE", "ALTER SEQUENCE",
		"CREATE TRIGGER", "CREATE SCHEMA", "CREATE PUBLICATION",
		"ALTER PUBLICATION", "CREATE SUBSCRIPTION", "ALTER SUBSCRIPTION",
		"CREATE SERVER", "CREATE USER MAPPING", "CREATE FOREIGN DATA WRAPPER",
		"ALTER DEFAULT PRIVILEGES", "CREATE EVENT TRIGGER",
		"CREATE EXTENSION", "CREATE LANGUAGE"
	};

	for (int i = 0; i < lengthof(irrelevant); i++)
	{
		if (strcmp(tag, irrelevant[i]) == 0)
			return true;
	}
	return false;
}

static void
concern_relation(Concern *concern, const char *tag, Oid relid)
{
	char		relkind = get_rel_relkind(relid);
	bool		created = begins_with(tag, "CREATE ") || begins_with(tag, "SELECT INTO");
	ListCell   *lc;

	if (relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX)
		relid = IndexGetRelation(relid, true);
	if (!OidIsValid(relid) || relkind == RELKIND_SEQUENCE ||
		relkind == RELKIND_COMPOSITE_TYPE ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		return;

	/* an index makes no row different, but may make a column unique */
	if (strcmp(tag, "CREATE INDEX") == 0)
	{
		concern->possible = list_concat_unique_int(concern->possible,
												   widgets_on('r', relid));
		return;
	}

	/* CREATE OR REPLACE VIEW replaces what was there */
	if (created && relkind != RELKIND_VIEW)
		concern->possible = list_concat_unique_int(concern->possible,
												   widgets_on('r', relid));
	else
		concern->certain = list_concat_unique_int(concern->certain,
												  widgets_on('r', relid));

	/* what is attached to a table brings rows along, unless it is made so */
	foreach(lc, dc_ancestors_of(relid))
	{
		if (created && relkind != RELKIND_FOREIGN_TABLE)
			concern->possible = list_concat_unique_int(concern->possible,
													   widgets_on('r', lfirst_oid(lc)));
		else
			concern->certain = list_concat_unique_int(concern->certain,
													  widgets_on('r', lfirst_oid(lc)));
	}

	/* what is done to a parent is done to its partitions and children */
	foreach(lc, created ? NIL : find_all_inheritors(relid, NoLock, NULL))
		concern->certain = list_concat_unique_int(concern->certain,
												  widgets_on('r', lfirst_oid(lc)));

	/* also after a rename or a move to another schema */
	if (get_rel_name(relid) != NULL)
		concern->certain = list_concat_unique_int(concern->certain,
												  widgets_by_name('r', get_rel_name(relid)));
}

/* Is there a function of the server's own of this name? */
static bool
is_builtin_name(const char *name)
{
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	bool		found = false;

	for (int i = 0; i < list->n_members; i++)
		found |= ((Form_pg_proc) GETSTRUCT(&list->members[i]->tuple))->pronamespace ==
			PG_CATALOG_NAMESPACE;
	ReleaseSysCacheList(list);
	return found;
}

static void
concern_function(Concern *concern, Oid function)
{
	char	   *name = get_func_name(function);

	/* functions call each other, which nobody can see */
	concern->certain = list_concat_unique_int(concern->certain,
											  widgets_on('f', InvalidOid));

	/* one of the same name may be a better match for the same arguments */
	if (name == NULL)
		return;
	if (is_builtin_name(name))
		concern->all = true;
	concern->certain = list_concat_unique_int(concern->certain,
											  widgets_by_name('f', name));
}

static void
add_concern(Concern *concern, const char *tag, Oid class, Oid object)
{
	if (is_irrelevant(tag))
		return;
	concern->possible = list_concat_unique_int(concern->possible, broken_widgets());
	if (class == RelationRelationId && OidIsValid(object))
		concern_relation(concern, tag, object);
	else if (class == ProcedureRelationId && OidIsValid(object))
		concern_function(concern, object);
	else
		concern->all = true;
}

/* Look again at the widgets concerned. */
static void
look_again(Concern *concern)
{
	uint64		version;
	ListCell   *lc;

	if (concern->all)
		concern->certain = select_widgets("SELECT widget FROM dashcache.verified", 0, NULL, NULL);
	if (concern->certain == NIL && concern->possible == NIL)
		return;

	list_sort(concern->certain, list_int_cmp);
	version = U64FromFullTransactionId(GetTopFullTransactionId());
	foreach(lc, concern->certain)
	{
		if (dc_redo_widget(lfirst_int(lc), version, false, false))
			dc_define_outdated(lfirst_int(lc), version, false);
	}
	foreach(lc, list_difference_int(concern->possible, concern->certain))
	{
		if (dc_redo_widget(lfirst_int(lc), version, true, false))
			dc_define_outdated(lfirst_int(lc), version, false);
	}
}

/* The same, with a snapshot to plan queries by. */
static void
redo_concerned(Concern *concern)
{
	bool		pushed = false;

	/* commands that run in several transactions end without one */
	if (!ActiveSnapshotSet())
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		pushed = true;
	}
	look_again(concern);
	if (pushed)
		PopActiveSnapshot();
}

/*
 * Are our tables there, as we know them?  In the middle of our own script they may
 * be of no version at all.
 */
bool
dc_ddl_have_tables(void)
{
	if (creating_extension &&
		CurrentExtensionObject == get_extension_oid("dashcache", true))
		return false;
	return OidIsValid(dc_catalog_relid(DC_TABLE_WIDGET)) &&
		OidIsValid(dc_catalog_relid(DC_TABLE_DEPENDENCY)) &&
		OidIsValid(dc_catalog_relid(DC_TABLE_VERIFIED)) &&
		dc_catalog_fits();
}

/*
 * Is there anything to look at?  What was not looked at yet is left alone: this
 * may be a command of the restore that brings it (warm/restored.c).
 */
static bool
have_widgets(void)
{
	dc_demand_put_off_repair();
	return dc_ddl_have_tables() &&
		select_widgets("SELECT widget FROM dashcache.verified LIMIT 1", 0, NULL, NULL) != NIL;
}

/* Look again at the widgets that a query on our tables returns. */
void
dc_ddl_look_at(const char *widgets)
{
	Concern		concern = {.certain = select_widgets(widgets, 0, NULL, NULL)};

	redo_concerned(&concern);
}

/* The rows of a function that tells an event trigger what has happened. */
static void
read_event(const char *sql, Concern *concern, bool dropped)
{
	MemoryContext caller = CurrentMemoryContext;
	DcCatalogWork work;
	uint64		n;
	char	  **tags;
	Oid		   *classes;
	Oid		   *objects;

	dc_catalog_begin(&work);
	n = dc_catalog_execute(sql, 0, NULL, NULL, NULL);
	tags = MemoryContextAlloc(caller, sizeof(char *) * Max(n, 1));
	classes = MemoryContextAlloc(caller, sizeof(Oid) * Max(n, 1));
	objects = MemoryContextAlloc(caller, sizeof(Oid) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		char	   *tag = SPI_getvalue(row, desc, 1);

		tags[i] = MemoryContextStrdup(caller, tag != NULL ? tag : "");
		classes[i] = DatumGetObjectId(SPI_getbinval(row, desc, 2, &isnull));
		if (isnull)
			classes[i] = InvalidOid;
		objects[i] = DatumGetObjectId(SPI_getbinval(row, desc, 3, &isnull));
		if (isnull)
			objects[i] = InvalidOid;
	}
	dc_catalog_end(&work);

	for (uint64 i = 0; i < n; i++)
	{
		if (!dropped)
			add_concern(concern, tags[i], classes[i], objects[i]);
		else if (strcmp(tags[i], "index") == 0)
			concern->possible = list_concat_unique_int(concern->possible,
													   select_widgets("SELECT DISTINCT widget FROM dashcache.hop",
																	  0, NULL, NULL));
		else if (classes[i] == RelationRelationId)
			concern->certain = list_concat_unique_int(concern->certain,
													  widgets_on('r', objects[i]));
		else if (classes[i] == ProcedureRelationId)
			concern->certain = list_concat_unique_int(concern->certain,
													  widgets_on('f', InvalidOid));
		else
			concern->all = true;
	}
}

static bool
is_table(ObjectType type)
{
	return type == OBJECT_TABLE || type == OBJECT_VIEW || type == OBJECT_MATVIEW ||
		type == OBJECT_FOREIGN_TABLE;
}

/* The widgets that read a table, or one of those below it. */
static List *
widgets_on_all(List *relids)
{
	List	   *widgets = NIL;
	ListCell   *lc;

	foreach(lc, relids)
		widgets = list_concat_unique_int(widgets, widgets_on('r', lfirst_oid(lc)));
	return widgets;
}

/*
 * The widgets whose queries may name what a command gives another name.  Whoever
 * looks at these queries locks the tables in them, so those to be renamed are
 * locked as the command will do it: after a lesser lock two such commands would
 * wait for each other.
 */
static List *
widgets_to_rename(Node *statement)
{
	RenameStmt *rename = (RenameStmt *) statement;
	RangeVar   *table = NULL;
	List	   *relids;
	Oid			relid;

	if (IsA(statement, RenameStmt) && rename->renameType == OBJECT_SCHEMA)
	{
		Oid			type = TEXTOID;
		Datum		value = CStringGetTextDatum(rename->subname);

		return !have_widgets() ? NIL :
			select_widgets("SELECT DISTINCT d.widget FROM dashcache.dependency d"
						   " JOIN pg_catalog.pg_class c ON c.oid = d.object"
						   " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
						   " WHERE d.kind = 'r' AND n.nspname = $1", 1, &type, &value);
	}
	if (IsA(statement, RenameStmt) &&
		(is_table(rename->renameType) || rename->renameType == OBJECT_COLUMN))
		table = rename->relation;
	else if (IsA(statement, AlterObjectSchemaStmt) &&
			 is_table(((AlterObjectSchemaStmt *) statement)->objectType))
		table = ((AlterObjectSchemaStmt *) statement)->relation;
	if (table == NULL)
		return NIL;

	relid = RangeVarGetRelid(table, NoLock, true);
	if (!OidIsValid(relid) || !dc_owns_relation(relid) || !have_widgets())
		return NIL;
	relids = IsA(statement, RenameStmt) && rename->renameType == OBJECT_COLUMN ?
		find_all_inheritors(relid, NoLock, NULL) : list_make1_oid(relid);
	if (widgets_on_all(relids) == NIL)
		return NIL;
	LockRelationOid(relid, AccessExclusiveLock);
	if (RangeVarGetRelid(table, NoLock, true) != relid)
		return NIL;
	if (list_length(relids) > 1)
		relids = find_all_inheritors(relid, AccessExclusiveLock, NULL);
	return widgets_on_all(relids);
}

/*
 * ON ddl_command_start.  DETACH PARTITION CONCURRENTLY takes its rows away in
 * a first transaction, and is reported at the end of a second one.  ATTACH
 * PARTITION fails where the partition has triggers of its own.  At the end of
 * DROP EXTENSION there would be nobody to ask which jobs were ours.
 */
Datum
dashcache_ddl_begins(PG_FUNCTION_ARGS)
{
	EventTriggerData *event;
	AlterTableStmt *statement;
	Concern		concern = {0};
	ListCell   *lc;

	check_called_by_event(fcinfo);
	event = (EventTriggerData *) fcinfo->context;
	if (dc_drops_extension(event->parsetree) && dc_catalog_fits())
		dc_cron_drop_all();
	dc_names_note(widgets_to_rename(event->parsetree));
	if (!IsA(event->parsetree, AlterTableStmt))
		PG_RETURN_NULL();

	statement = (AlterTableStmt *) event->parsetree;
	foreach(lc, statement->cmds)
	{
		AlterTableCmd *command = lfirst(lc);

		if (command->subtype == AT_DetachPartition &&
			((PartitionCmd *) command->def)->concurrent)
		{
			Oid			relid = RangeVarGetRelid(statement->relation, NoLock, true);

			if (OidIsValid(relid) && have_widgets())
				concern.certain = list_concat_unique_int(concern.certain,
														 widgets_on('r', relid));
		}
		if (command->subtype == AT_AttachPartition)
		{
			Oid			parent = RangeVarGetRelid(statement->relation, NoLock, true);
			Oid			partition = RangeVarGetRelid(((PartitionCmd *) command->def)->name,
													 NoLock, true);

			/* whoever may not do it is refused by the command */
			if (OidIsValid(parent) && OidIsValid(partition) &&
				dc_owns_relation(parent) &&
				dc_owns_relation(partition))
				dc_triggers_make_way(parent, partition);
		}
	}
	redo_concerned(&concern);
	PG_RETURN_NULL();
}

/* Does it concern functions of the server's own, which may be in any query? */
static bool
grants_builtin(GrantStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->objects)
	{
		if (statement->targtype == ACL_TARGET_ALL_IN_SCHEMA ?
			strcmp(strVal(lfirst(lc)), "pg_catalog") == 0 :
			LookupFuncWithArgs(statement->objtype, lfirst(lc), true) < FirstNormalObjectId)
			return true;
	}
	return false;
}

/*
 * GRANT and REVOKE are not told with their objects; their parse tree names
 * them.  What is not named one by one could be anything.
 */
static void
concern_grant(Concern *concern, GrantStmt *statement)
{
	ListCell   *lc;

	concern->possible = list_concat_unique_int(concern->possible, broken_widgets());
	switch (statement->objtype)
	{
		case OBJECT_TABLE:
		case OBJECT_SEQUENCE:
			if (statement->targtype != ACL_TARGET_OBJECT)
				concern->all = true;
			else
			{
				foreach(lc, statement->objects)
				{
					Oid			relid = RangeVarGetRelid(lfirst(lc), NoLock, true);

					concern->certain = list_concat_unique_int(concern->certain,
															  widgets_on('r', relid));
				}
			}
			break;
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
			concern->all = grants_builtin(statement);
			concern->certain = list_concat_unique_int(concern->certain,
													  widgets_on('f', InvalidOid));
			break;
		case OBJECT_SCHEMA:
			concern->all = true;
			break;
		default:
			break;
	}
}

/*
 * After ALTER EXTENSION UPDATE all is to be read again, and the widgets have to
 * be looked at by the library of the new version.  That is left to a worker, so
 * that the command need not wait for all who write to a source.
 */
static bool
is_update(Node *statement)
{
	return IsA(statement, AlterExtensionStmt) &&
		strcmp(((AlterExtensionStmt *) statement)->extname, "dashcache") == 0;
}

/*
 * ON ddl_command_end.
 */
Datum
dashcache_ddl_ended(PG_FUNCTION_ARGS)
{
	Concern		concern = {0};
	Node	   *statement;

	check_called_by_event(fcinfo);
	statement = ((EventTriggerData *) fcinfo->context)->parsetree;
	if (is_update(statement))
	{
		dc_catalog_changed();
		dc_demand_repair_at_commit();
	}
	else
	{
		/* it goes, whether or not it was looked at */
		if (IsA(statement, DropOwnedStmt) && dc_ddl_have_tables())
			dc_roles_drop_owned(((DropOwnedStmt *) statement)->roles);
		if (!have_widgets())
			PG_RETURN_NULL();
		dc_names_follow();
		read_event("SELECT command_tag, classid, objid FROM pg_catalog.pg_event_trigger_ddl_commands()",
				   &concern, false);
		if (IsA(statement, GrantStmt))
			concern_grant(&concern, (GrantStmt *) statement);
		/* privileges of the role are gone, too */
		concern.all |= IsA(statement, DropOwnedStmt);
		redo_concerned(&concern);
	}
	PG_RETURN_NULL();
}

/*
 * ON sql_drop.  What belongs to a table is reported at the end of the command,
 * too, when the table was altered; what was dropped by itself is only here.
 */
Datum
dashcache_objects_dropped(PG_FUNCTION_ARGS)
{
	Concern		concern = {0};

	check_called_by_event(fcinfo);
	if (have_widgets())
	{
		read_event("SELECT object_type, classid, objid FROM pg_catalog.pg_event_trigger_dropped_objects()"
				   " WHERE NOT is_temporary AND (original OR classid IN ("
				   "  'pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass))"
				   "  AND object_type NOT IN ('table constraint', 'default value')",
				   &concern, true);
		redo_concerned(&concern);
	}
	PG_RETURN_NULL();
}
