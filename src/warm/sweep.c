/*-------------------------------------------------------------------------
 *
 * sweep.c
 *		What nobody can ever ask for again.
 *
 * Entries and counters of a widget go when it is dropped (api/define.c), and all
 * that is kept of a database when that is dropped, or the extension in it
 * (utility.c): entries, counters, the journal, runs, requests to refresh.  Stamps
 * are left: they count, and belong to nobody.
 *
 * Most of it could do no harm to a database that comes to have the same OID, since
 * entries are kept by version, but it would be seen there.  Entries could: a copy
 * of a copy of the old database has the same versions.
 *
 * What is missed then (the session has died, a fill has been under way) takes
 * room, over restarts, too.  So it is swept: by the launcher, whenever it lists the
 * databases, and by a database's first worker.
 *
 * Locking: partitions, exclusively, one at a time; the locks of all else that is
 * swept, each alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/sweep.h"

#include "changes.h"
#include "consistency/validity.h"
#include "stats.h"
#include "store/refresh_queue.h"
#include "store/store.h"
#include "warm/run.h"
#include "widget/catalog.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"

/*-------------------------------------------------------------------------
 * Databases
 *-------------------------------------------------------------------------
 */

static bool
is_of_database(const DcSharedEntry *entry, void *arg)
{
	return dc_entry_definition(entry)->database == *(Oid *) arg;
}

/*
 * A database has been dropped, or the extension in it: forget what is kept of it.
 * Throws nothing.
 */
void
dc_sweep_database(Oid database)
{
	dc_run_forget(database);
	dc_refresh_queue_forget(database);
	(void) dc_store_remove(is_of_database, &database);
	dc_stats_forget(database);
	dc_changes_forget(database);
}

static void
note_database(Oid database, uint32 widget, const uint64 *counters, void *arg)
{
	List	  **databases = arg;

	*databases = list_append_unique_oid(*databases, database);
}

/* The OIDs of the databases that have counters, as all have that have entries. */
List *
dc_sweep_databases(void)
{
	List	   *databases = NIL;

	dc_stats_scan(note_database, &databases);
	return databases;
}

/*
 * Remove what belongs to databases that are no more: those that
 * dc_sweep_databases() has found, before the existing ones were listed.
 */
void
dc_sweep_gone(List *databases, List *existing)
{
	ListCell   *lc;

	foreach(lc, databases)
	{
		if (!list_member_oid(existing, lfirst_oid(lc)))
			dc_sweep_database(lfirst_oid(lc));
	}
}

/*-------------------------------------------------------------------------
 * Definitions
 *-------------------------------------------------------------------------
 */

/* A widget of this database. */
typedef struct Definition
{
	uint32		widget;			/* hash key */
	uint64		version;
} Definition;

typedef struct Definitions
{
	HTAB	   *table;
	uint64		known_before;	/* versions from this on may be missing */
} Definitions;

static bool
is_of_no_definition(const DcSharedEntry *entry, void *arg)
{
	const DcSharedDefinition *of = dc_entry_definition(entry);
	const Definitions *definitions = arg;
	Definition *definition;

	if (of->database != MyDatabaseId || of->version >= definitions->known_before)
		return false;
	definition = hash_search(definitions->table, &of->widget, HASH_FIND, NULL);
	return definition == NULL || definition->version != of->version;
}

static void
release_of_no_definition(Oid database, uint32 widget, const uint64 *counters, void *arg)
{
	const Definitions *definitions = arg;

	/*
	 * one that has entries is younger than what we have read, or has a late
	 * one
	 */
	if (database == MyDatabaseId && counters[DC_COUNT_ENTRIES] == 0 &&
		hash_search(definitions->table, &widget, HASH_FIND, NULL) == NULL)
		dc_stats_release(database, widget);
}

/* From the table, so that one that cannot be understood counts, too. */
static void
read_definitions(HTAB *table)
{
	DcCatalogWork work;
	uint64		n;
	bool		isnull;

	dc_catalog_begin(&work);
	n = dc_catalog_execute("SELECT id, version FROM dashcache.widget", 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		uint32		widget = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
		Definition *definition = hash_search(table, &widget, HASH_ENTER, NULL);

		definition->version = DatumGetUInt64(SPI_getbinval(row, desc, 2, &isnull));
	}
	dc_catalog_end(&work);
}

/*
 * Remove what belongs to no definition of this database.  "present": it has the
 * extension.  In a transaction with an active snapshot.
 */
void
dc_sweep_definitions(bool present)
{
	HASHCTL		ctl = {
		.keysize = sizeof(uint32),
		.entrysize = sizeof(Definition),
		.hcxt = CurrentMemoryContext
	};
	Definitions definitions;
	DcSnapshot	snapshot;

	dc_snapshot_init(&snapshot, GetActiveSnapshot());
	definitions.known_before = snapshot.xmin;
	definitions.table = hash_create("dashcache definitions", 64, &ctl,
									HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	if (present)
		read_definitions(definitions.table);
	(void) dc_store_remove(is_of_no_definition, &definitions);
	dc_stats_scan(release_of_no_definition, &definitions);
	hash_destroy(definitions.table);
}
