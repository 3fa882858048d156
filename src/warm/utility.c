/*-------------------------------------------------------------------------
 *
 * utility.c
 *		Commands that workers must not stand in the way of.
 *
 * DROP DATABASE and its like want the database for themselves, and DROP
 * EXTENSION wants our tables.  They keep the workers out (pool.c) until their
 * transaction has ended: a worker that came before would hold the locks that
 * DROP EXTENSION needs at its end.  That is the end also if the command fails,
 * or is cancelled while it waits for the workers to go.  Whoever may not do such
 * a thing is told so by the server, and no worker has to go for him.
 *
 * With the extension go its runs and what is to be refreshed: another one, made
 * later, counts its runs from 1 again.
 *
 * Which databases there are is asked for at that end, too.  Before it the
 * launcher would not see that one has come or gone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/utility.h"

#include "compat.h"
#include "consistency/own.h"
#include "demand.h"
#include "hit_path.h"
#include "preload.h"
#include "persist/restore.h"
#include "warm/pool.h"
#include "warm/sweep.h"
#include "widget/catalog.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* Does this transaction make databases, or drop them? */
static bool list_at_end = false;

/*
 * Our extension, if this transaction might drop it; and the database of which
 * nothing is to be kept, as far as is known when it commits.
 */
static Oid	threatened_extension = InvalidOid;
static Oid	database_to_forget = InvalidOid;

/* The database that a command wants for itself; InvalidOid: none. */
static Oid
wanted_database(Node *statement)
{
	const char *name = NULL;
	ListCell   *lc;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			name = ((DropdbStmt *) statement)->dbname;
			break;
		case T_CreatedbStmt:
			name = "template1";
			foreach(lc, ((CreatedbStmt *) statement)->options)
			{
				DefElem    *option = lfirst(lc);

				if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
					name = defGetString(option);
			}
			break;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				name = ((RenameStmt *) statement)->subname;
			break;
		case T_AlterDatabaseStmt:
			foreach(lc, ((AlterDatabaseStmt *) statement)->options)
			{
				if (strcmp(((DefElem *) lfirst(lc))->defname, "tablespace") == 0)
					name = ((AlterDatabaseStmt *) statement)->dbname;
			}
			break;
		default:
			break;
	}
	return name == NULL ? InvalidOid : get_database_oid(name, true);
}

/* Who may create databases may copy those that are templates. */
static bool
may_copy(Oid database)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool		template = false;
	bool		creates = false;

	if (HeapTupleIsValid(tuple))
	{
		template = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(tuple))
	{
		creates = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return template && creates;
}

static bool
drops_owned(DropOwnedStmt *drop, Oid role)
{
	ListCell   *lc;

	foreach(lc, drop->roles)
	{
		if (get_rolespec_oid(lfirst(lc), true) == role)
			return true;
	}
	return false;
}

/*
 * Does a command drop our extension, if it succeeds?  What is said to be
 * dropped with CASCADE depends on the extension only by its schema: nothing
 * else is depended on.
 */
bool
dc_drops_extension(Node *statement)
{
	DropStmt   *drop = (DropStmt *) statement;
	Oid			extension;
	ListCell   *lc;

	if (!IsA(statement, DropStmt) && !IsA(statement, DropOwnedStmt))
		return false;
	extension = get_extension_oid("dashcache", true);
	if (!OidIsValid(extension))
		return false;
	if (IsA(statement, DropOwnedStmt))
		return drops_owned((DropOwnedStmt *) statement, dc_catalog_owner());
	foreach(lc, drop->objects)
	{
		Oid			schema;
		Oid			view;

		if (drop->removeType == OBJECT_EXTENSION &&
			strcmp(strVal(lfirst(lc)), "dashcache") == 0)
			return true;
		if (drop->removeType != OBJECT_SCHEMA || drop->behavior != DROP_CASCADE)
			continue;
		/* the schema that it was created in; anybody may have such a view */
		schema = get_namespace_oid(strVal(lfirst(lc)), true);
		view = OidIsValid(schema) ? get_relname_relid("dashcache_status", schema) : InvalidOid;
		if (OidIsValid(view) &&
			getExtensionOfObject(RelationRelationId, view) == extension)
			return true;
	}
	return false;
}

/*
 * A utility command begins.  True if dc_utility_ends() is to be called after it,
 * even if it fails.
 */
bool
dc_utility_begins(Node *statement)
{
	Oid			database;

	if (!dc_preloaded)
		return false;
	if (IsA(statement, TransactionStmt))
		return ((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED;
	if (dc_drops_extension(statement))
	{
		Oid			extension = get_extension_oid("dashcache", true);

		if (dc_extension_ownercheck(extension, GetUserId()))
		{
			threatened_extension = extension;
			dc_pool_hold(MyDatabaseId);
		}
		return false;
	}
	database = wanted_database(statement);
	if (OidIsValid(database))
	{
		bool		owns = dc_database_ownercheck(database, GetUserId());

		list_at_end = true;
		if (owns || (IsA(statement, CreatedbStmt) && may_copy(database)))
			dc_pool_hold(database);
		if (owns && IsA(statement, DropdbStmt))
		{
			/* what is read later would be there for who has the OID then */
			dc_restore();
			database_to_forget = database;
		}
	}
	return false;
}

/* COMMIT PREPARED has ended, or failed: nobody here knows what it has changed. */
void
dc_utility_ends(void)
{
	dc_own_committed_prepared();
	dc_demand_changes();
}

/*
 * The end of a transaction; nothing may be thrown from its commit on.  Where it is
 * prepared, nobody here will know how it ends: warming for nothing is not worth
 * keeping what may belong to nothing.
 */
DC_HIT_PATH void
dc_utility_at_xact(XactEvent event)
{
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) &&
		OidIsValid(threatened_extension) &&
		get_extension_oid("dashcache", true) != threatened_extension)
		database_to_forget = MyDatabaseId;
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	if (OidIsValid(database_to_forget) && event != XACT_EVENT_ABORT)
	{
		if (event == XACT_EVENT_COMMIT)
			dc_demand_forget(database_to_forget, true);
		dc_sweep_database(database_to_forget);
	}
	threatened_extension = database_to_forget = InvalidOid;
	dc_pool_release();
	if (list_at_end)
	{
		list_at_end = false;
		dc_pool_ask_to_list();
	}
	/* an apply worker has committed a prepared one: no command tells of that */
	if (dc_preloaded && event == XACT_EVENT_COMMIT && IsLogicalWorker() &&
		!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		dc_demand_changes();
}

/* The end of a subtransaction; nothing may be thrown. */
void
dc_utility_at_subxact(SubXactEvent event)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		dc_pool_subxact_ends(false);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		dc_pool_subxact_ends(true);
}
