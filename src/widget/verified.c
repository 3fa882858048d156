/*-------------------------------------------------------------------------
 *
 * verified.c
 *		Which definitions were looked at here, and which come from elsewhere.
 *
 * A dump has the definitions and not what was found out about them; pg_upgrade
 * takes along all rows, and the OIDs in them may mean something else by now.  So
 * each definition that was looked at has a row in dashcache.verified, which is
 * not dumped and names the server.  Without it a widget is computed at each call,
 * and its sources' rows count for nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/verified.h"

#include "widget/catalog.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

typedef struct Verified
{
	uint64		version;		/* 0: any */
	bool		found;
} Verified;

static void
read_verified(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Verified   *verified = arg;
	bool		isnull;
	uint64		version = DatumGetUInt64(heap_getattr(tuple, DC_VERIFIED_VERSION, desc, &isnull));
	uint64		system = (uint64) DatumGetInt64(heap_getattr(tuple, DC_VERIFIED_SYSTEM, desc, &isnull));
	Datum		library = heap_getattr(tuple, DC_VERIFIED_LIBRARY, desc, &isnull);

	verified->found = (verified->version == 0 || version == verified->version) &&
		system == GetSystemIdentifier() &&
		strcmp(TextDatumGetCString(library), DASHCACHE_VERSION) == 0;
}

/*
 * Was this version of a widget (0: any) looked at, by this library, on this
 * server, in this database or the one that it was copied from?
 */
bool
dc_verified(uint32 widget, uint64 version)
{
	Verified	verified = {.version = version};

	dc_catalog_scan(DC_TABLE_VERIFIED, DC_VERIFIED_WIDGET, INT4OID,
					Int32GetDatum(widget), read_verified, &verified);
	return verified.found;
}

/*
 * Note that this version of a widget was looked at.  The last step: until then
 * its sources are locked anew, since nobody may have been watching them.
 */
void
dc_verified_set(uint32 widget, uint64 version)
{
	DcCatalogWork work;
	Oid			types[4] = {INT4OID, XID8OID, INT8OID, TEXTOID};
	Datum		values[4];

	values[0] = Int32GetDatum(widget);
	values[1] = UInt64GetDatum(version);
	values[2] = Int64GetDatum((int64) GetSystemIdentifier());
	values[3] = CStringGetTextDatum(DASHCACHE_VERSION);
	dc_catalog_begin(&work);
	dc_catalog_execute("INSERT INTO dashcache.verified (widget, version, system, library) VALUES ($1, $2, $3, $4)"
					   " ON CONFLICT (widget) DO UPDATE SET version = $2, system = $3, library = $4",
					   4, types, values, NULL);
	dc_catalog_end(&work);
	dc_catalog_changed();
}

/* Take all definitions of this database for some that were not looked at. */
void
dc_verified_forget_all(void)
{
	DcCatalogWork work;

	dc_catalog_begin(&work);
	dc_catalog_execute("DELETE FROM dashcache.verified", 0, NULL, NULL, NULL);
	dc_catalog_end(&work);
	dc_catalog_changed();
}

/* The widgets of which that cannot be said, in the caller's memory context. */
List *
dc_unverified(void)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		values[2];
	DcCatalogWork work;
	List	   *widgets = NIL;
	uint64		n;

	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = CStringGetTextDatum(DASHCACHE_VERSION);
	dc_catalog_begin(&work);
	n = dc_catalog_execute("SELECT w.id FROM dashcache.widget w"
						   " JOIN dashcache.dashboard d ON d.name = w.dashboard WHERE NOT EXISTS ("
						   "  SELECT FROM dashcache.verified v WHERE v.widget = w.id"
						   "  AND v.version = w.version AND v.system = $1 AND v.library = $2) ORDER BY w.id",
						   2, types, values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);
		bool		isnull;

		widgets = lappend_int(widgets,
							  DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i],
														  SPI_tuptable->tupdesc, 1, &isnull)));
		MemoryContextSwitchTo(old);
	}
	dc_catalog_end(&work);
	return widgets;
}
