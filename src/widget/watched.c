/*-------------------------------------------------------------------------
 *
 * watched.c
 *		What the triggers of a source have to know.
 *
 * A source may be read by many widgets.  Those that read the same columns by
 * the same key make one watch; the watches of a source are numbered, and a
 * trigger works with sets of them, so that it does its work once for all
 * widgets.
 *
 * Backends keep this for each source that they write to, and read it again
 * when the definitions have changed.  A writer cannot miss a change: whoever
 * defines a widget locks the sources against writers until its commit, and a
 * writer learns of the commit when it then gets its own lock.
 *
 * Locking: none; all is the backend's own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/watched.h"

#include "consistency/writer.h"
#include "widget/catalog.h"
#include "widget/metacache.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* An element of "sources". */
typedef struct WatchedSlot
{
	Oid			relid;
	DcWatched  *watched;
} WatchedSlot;

static HTAB *sources = NULL;

/* Replaced, and perhaps in use until the end of the transaction. */
static List *replaced = NIL;

typedef struct Load
{
	DcWatched  *watched;
	Relation	source;
	DcTenantKey *expression_key;
} Load;

static void
read_settings(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Load	   *load = arg;
	MemoryContext old = MemoryContextSwitchTo(load->watched->context);
	bool		null;

	load->expression_key->settings =
		dc_settings_from_array(heap_getattr(tuple, DC_WIDGET_SETTINGS, desc, &null));
	MemoryContextSwitchTo(old);
}

static DcTenantKey *
key_for(Load *load, const DcSourceRow *row)
{
	DcWatched  *watched = load->watched;
	DcTenantKey *key;
	Oid			output;
	bool		varlena;

	if (row->key_expression == NULL)
	{
		for (int i = 0; i < watched->nkeys; i++)
		{
			key = &watched->keys[i];
			if (key->expression == NULL &&
				key->column == row->source.key &&
				key->hash.fn_oid == row->source.key_hash &&
				key->collation == row->source.collation)
				return key;
		}
	}

	if (watched->nkeys % 4 == 0)
		watched->keys = watched->keys == NULL ?
			palloc(sizeof(DcTenantKey) * 4) :
			repalloc(watched->keys, sizeof(DcTenantKey) * (watched->nkeys + 4));
	key = &watched->keys[watched->nkeys++];
	memset(key, 0, sizeof(*key));
	key->column = row->source.key;
	key->collation = row->source.collation;
	fmgr_info_cxt(row->source.key_hash, &key->hash, watched->context);
	if (row->key_expression != NULL)
	{
		key->expression = pstrdup(row->key_expression);
		key->role = row->key_role;
		load->expression_key = key;
		dc_catalog_scan(DC_TABLE_WIDGET, DC_WIDGET_ID, INT4OID,
						Int32GetDatum(row->widget), read_settings, load);
	}
	else
	{
		getTypeOutputInfo(TupleDescAttr(RelationGetDescr(load->source),
										row->source.key - 1)->atttypid,
						  &output, &varlena);
		fmgr_info_cxt(output, &key->output, watched->context);
	}
	return key;
}

static void
add_column(DcWatched *watched, AttrNumber column, uint64 bit)
{
	for (int i = 0; i < watched->ncolumns; i++)
	{
		if (watched->columns[i].column == column)
		{
			watched->columns[i].watches |= bit;
			return;
		}
	}
	if (watched->ncolumns % 8 == 0)
		watched->columns = watched->columns == NULL ?
			palloc(sizeof(DcReadColumn) * 8) :
			repalloc(watched->columns,
					 sizeof(DcReadColumn) * (watched->ncolumns + 8));
	watched->columns[watched->ncolumns].column = column;
	watched->columns[watched->ncolumns].watches = bit;
	watched->ncolumns++;
}

static void
read_row(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Load	   *load = arg;
	DcWatched  *watched = load->watched;
	MemoryContext old = MemoryContextSwitchTo(watched->context);
	DcSourceRow row;
	uint64		hash;
	uint64		bit;

	dc_catalog_source_row(tuple, desc, &row);
	hash = dc_catalog_watch_hash(&row);
	for (int i = 0; i < watched->nwatches; i++)
	{
		if (watched->hashes[i] == hash)
			goto done;
	}

	if (watched->nwatches % 8 == 0)
		watched->hashes = watched->hashes == NULL ?
			palloc(sizeof(uint64) * 8) :
			repalloc(watched->hashes, sizeof(uint64) * (watched->nwatches + 8));
	bit = UINT64CONST(1) << Min(watched->nwatches, DC_WRITER_MAX_WATCHES - 1);
	watched->hashes[watched->nwatches++] = hash;
	watched->all |= bit;

	if (row.source.invalidation == DC_INVALIDATION_ROW)
		key_for(load, &row)->watches |= bit;
	else
		watched->any_change |= bit;

	if (row.source.columns.all)
		watched->any_column |= bit;
	else
	{
		int			column = -1;

		while ((column = bms_next_member(row.source.columns.attnums, column)) >= 0)
			add_column(watched, column, bit);
	}
done:
	MemoryContextSwitchTo(old);
}

static void
free_watched(DcWatched *watched)
{
	for (int i = 0; i < watched->nkeys; i++)
	{
		if (watched->keys[i].plan != NULL)
			SPI_freeplan(watched->keys[i].plan);
	}
	MemoryContextDelete(watched->context);
}

/* At the end of a transaction nobody uses what was replaced. */
void
dc_watched_at_xact(XactEvent event)
{
	ListCell   *lc;

	if (replaced == NIL ||
		(event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		 event != XACT_EVENT_PREPARE))
		return;
	foreach(lc, replaced)
		free_watched(lfirst(lc));
	list_free(replaced);
	replaced = NIL;
}

/*
 * The watches of a source, which the caller has locked.  Valid until the end
 * of the transaction.
 */
DcWatched *
dc_watched_get(Relation source)
{
	Oid			relid = RelationGetRelid(source);
	uint64		generation = dc_metacache_generation();
	WatchedSlot *slot;
	MemoryContext context;
	Load		load = {.source = source};
	bool		found;

	if (sources == NULL)
	{
		HASHCTL		ctl = {
			.keysize = sizeof(Oid),
			.entrysize = sizeof(WatchedSlot)
		};

		sources = hash_create("dashcache watched sources", 64, &ctl,
							  HASH_ELEM | HASH_BLOBS);
	}

	slot = hash_search(sources, &relid, HASH_FIND, NULL);
	if (slot != NULL && slot->watched->generation == generation)
		return slot->watched;

	context = AllocSetContextCreate(CurrentMemoryContext,
									"dashcache watched source",
									ALLOCSET_SMALL_SIZES);
	load.watched = MemoryContextAllocZero(context, sizeof(DcWatched));
	load.watched->context = context;
	load.watched->relid = relid;
	load.watched->generation = generation;
	dc_catalog_scan(DC_TABLE_SOURCE, DC_SOURCE_RELATION, OIDOID,
					ObjectIdGetDatum(relid), read_row, &load);

	slot = hash_search(sources, &relid, HASH_ENTER, &found);
	if (found)
	{
		MemoryContext old = MemoryContextSwitchTo(CacheMemoryContext);

		replaced = lappend(replaced, slot->watched);
		MemoryContextSwitchTo(old);
	}
	slot->watched = load.watched;
	MemoryContextSetParent(context, CacheMemoryContext);
	return load.watched;
}

/*-------------------------------------------------------------------------
 * Keys that are expressions
 *-------------------------------------------------------------------------
 */

static void
prepare_key(DcTenantKey *key, Relation source)
{
	Oid			type = RelationGetForm(source)->reltype;
	char	   *sql;

	sql = psprintf("SELECT (%s) FROM (SELECT ($1).*) AS %s",
				   key->expression,
				   quote_identifier(RelationGetRelationName(source)));
	key->plan = SPI_prepare(sql, 1, &type);
	if (key->plan == NULL || SPI_keepplan(key->plan) != 0)
		elog(ERROR, "could not prepare a tenant expression: %s",
			 SPI_result_code_string(SPI_result));
}

/*
 * Evaluate a key's expression over a row; false if the result is null.
 *
 * The latest snapshot is used, also in REPEATABLE READ: what the row is
 * connected to by now is what counts for those who read after us.
 */
bool
dc_watched_evaluate(DcTenantKey *key, Relation source,
					HeapTuple row, Datum *tenant)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			save_user;
	int			save_context;
	int			save_nestlevel;
	Datum		argument;
	bool		isnull = true;

	GetUserIdAndSecContext(&save_user, &save_context);
	SetUserIdAndSecContext(key->role,
						   save_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	save_nestlevel = NewGUCNestLevel();
	dc_settings_pin(&key->settings);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	if (key->plan == NULL)
		prepare_key(key, source);
	argument = heap_copy_tuple_as_datum(row, RelationGetDescr(source));
	if (SPI_execute_plan(key->plan, &argument, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not evaluate a tenant expression");
	if (SPI_processed > 0)
	{
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Form_pg_attribute attribute = TupleDescAttr(desc, 0);
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], desc, 1, &isnull);

		if (!isnull)
		{
			MemoryContext old = MemoryContextSwitchTo(caller);

			*tenant = datumCopy(value, attribute->attbyval, attribute->attlen);
			if (!OidIsValid(key->output.fn_oid))
			{
				Oid			output;
				bool		varlena;

				getTypeOutputInfo(attribute->atttypid, &output, &varlena);
				fmgr_info_cxt(output, &key->output, CacheMemoryContext);
			}
			MemoryContextSwitchTo(old);
		}
	}

	SPI_finish();
	PopActiveSnapshot();
	AtEOXact_GUC(false, save_nestlevel);
	SetUserIdAndSecContext(save_user, save_context);
	return !isnull;
}
