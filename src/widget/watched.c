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
#include "hit_path.h"
#include "widget/catalog.h"
#include "widget/code.h"
#include "widget/metacache.h"
#include "widget/verified.h"

#include "access/attmap.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
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
	Relation	source;			/* whose triggers want to know */
	Relation	ancestor;		/* the one that the rows are about */
	AttrMap    *map;			/* its columns to the source's; NULL: the same */
	DcTenantKey *sql_key;
	int			hop;			/* for read_moved_row */
	int			number;
} Load;

static void
read_settings(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Load	   *load = arg;
	MemoryContext old = MemoryContextSwitchTo(load->watched->context);
	bool		null;

	load->sql_key->settings =
		dc_settings_from_array(heap_getattr(tuple, DC_WIDGET_SETTINGS, desc, &null));
	MemoryContextSwitchTo(old);
}

/* A column of the ancestor, as the source numbers it. */
static AttrNumber
map_column(const Load *load, AttrNumber column)
{
	return load->map == NULL ? column : load->map->attnums[column - 1];
}

static Node *
map_expression(const Load *load, Node *expression)
{
	bool		whole_row;

	if (load->map == NULL || expression == NULL)
		return expression;
	return map_variable_attnos(expression, 1, 0, load->map, InvalidOid, &whole_row);
}

/* Make room for one more element in an array that is NULL while empty. */
static void *
one_more(void *array, int n, Size element)
{
	if (array == NULL)
		return palloc0(element * 4);
	if (n >= 4 && (n & (n - 1)) == 0)
		array = repalloc(array, element * n * 2);
	memset((char *) array + element * n, 0, element);
	return array;
}

static DcTenantKey *
new_key(DcWatched *watched)
{
	watched->keys = one_more(watched->keys, watched->nkeys, sizeof(DcTenantKey));
	return &watched->keys[watched->nkeys++];
}

/* The bit of a watch; new or, if the watch is known, the one it has. */
static uint64
bit_of_watch(DcWatched *watched, uint64 hash, bool *known)
{
	int			n;

	for (n = 0; n < watched->nwatches; n++)
	{
		if (watched->hashes[n] == hash)
			break;
	}
	*known = n < watched->nwatches;
	if (!*known)
	{
		watched->hashes = one_more(watched->hashes, n, sizeof(uint64));
		watched->hashes[watched->nwatches++] = hash;
	}
	return UINT64CONST(1) << Min(n, DC_WRITER_MAX_WATCHES - 1);
}

static void
set_output(DcTenantKey *key, Oid type, MemoryContext context)
{
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(type, &output, &varlena);
	fmgr_info_cxt(output, &key->output, context);
}

/* Is this the key that a source's path makes, from one of its hops on? */
static bool
same_way(const DcTenantKey *key, AttrNumber column, const DcSource *source,
		 int from)
{
	return key->kind == DC_KEY_COLUMN && key->column == column &&
		key->hash.fn_oid == source->key_hash &&
		key->collation == source->collation &&
		key->path.nhops == source->nhops - from &&
		memcmp(key->path.hops, source->hops + from,
			   sizeof(DcHop) * key->path.nhops) == 0;
}

/* How the tenant is found by the row's key. */
static void
add_key(Load *load, const DcSourceRow *row, uint64 bit)
{
	DcWatched  *watched = load->watched;
	const DcSource *source = &row->source;
	TupleDesc	desc = RelationGetDescr(load->source);
	DcTenantKey *key;
	AttrNumber	column = source->key > 0 ? map_column(load, source->key) : 0;

	/* the same column is looked at once for all watches that need it */
	for (int i = 0; i < watched->nkeys && column > 0; i++)
	{
		key = &watched->keys[i];
		if (!key->moves && same_way(key, column, source, 0))
		{
			key->watches |= bit;
			return;
		}
	}

	key = new_key(watched);
	key->watches = bit;
	key->collation = source->collation;
	fmgr_info_cxt(source->key_hash, &key->hash, watched->context);
	if (row->key_sql != NULL)
	{
		key->kind = DC_KEY_SQL;
		key->sql = pstrdup(row->key_sql);
		key->role = row->key_role;
		load->sql_key = key;
		dc_catalog_scan(DC_TABLE_WIDGET, DC_WIDGET_ID, INT4OID,
						Int32GetDatum(row->widget), read_settings, load);
	}
	else if (source->key_expression != NULL)
	{
		key->kind = DC_KEY_EXPRESSION;
		key->expression = map_expression(load, source->key_expression);
		key->type = exprType(key->expression);
		set_output(key, key->type, watched->context);
	}
	else
	{
		key->kind = DC_KEY_COLUMN;
		key->column = column;
		key->type = TupleDescAttr(desc, column - 1)->atttypid;
		dc_path_init(&key->path, source->hops, source->nhops);
		set_output(key, source->nhops == 0 ? key->type :
				   get_atttype(source->hops[source->nhops - 1].relid,
							   source->hops[source->nhops - 1].next),
				   watched->context);
	}
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
	watched->columns = one_more(watched->columns, watched->ncolumns,
								sizeof(DcReadColumn));
	watched->columns[watched->ncolumns].column = column;
	watched->columns[watched->ncolumns].watches = bit;
	watched->ncolumns++;
}

static void
add_filter(Load *load, List *conditions, uint64 bit)
{
	DcWatched  *watched = load->watched;

	/* the watch that stands for the rest cannot be filtered */
	if (conditions == NIL ||
		bit == UINT64CONST(1) << (DC_WRITER_MAX_WATCHES - 1))
		return;
	conditions = (List *) map_expression(load, (Node *) conditions);
	for (int i = 0; i < watched->nfilters; i++)
	{
		if (equal(watched->filters[i].conditions, conditions))
		{
			watched->filters[i].watches |= bit;
			return;
		}
	}
	watched->filters = one_more(watched->filters, watched->nfilters,
								sizeof(DcRowFilter));
	watched->filters[watched->nfilters].conditions = conditions;
	watched->filters[watched->nfilters].watches = bit;
	watched->nfilters++;
}

static void
add_reference(Load *load, const DcReference *reference, uint64 bit)
{
	DcWatched  *watched = load->watched;
	DcReferred *referred;

	if (!OidIsValid(reference->relid) || load->map != NULL ||
		bit == UINT64CONST(1) << (DC_WRITER_MAX_WATCHES - 1))
		return;
	for (int i = 0; i < watched->nreferred; i++)
	{
		referred = &watched->referred[i];
		if (memcmp(&referred->reference, reference, sizeof(DcReference)) == 0)
		{
			referred->watches |= bit;
			return;
		}
	}
	watched->referred = one_more(watched->referred, watched->nreferred,
								 sizeof(DcReferred));
	referred = &watched->referred[watched->nreferred++];
	referred->reference = *reference;
	referred->type = TupleDescAttr(RelationGetDescr(load->source),
								   reference->referenced - 1)->atttypid;
	referred->watches = bit;
}

/* Was the widget of a row of dashcache.source looked at here? */
static bool
is_trusted(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;

	return dc_verified(DatumGetInt32(heap_getattr(tuple, DC_SOURCE_WIDGET,
												  desc, &isnull)), 0);
}

/* A row of dashcache.source that is about the ancestor. */
static void
read_row(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Load	   *load = arg;
	DcWatched  *watched = load->watched;
	MemoryContext old = MemoryContextSwitchTo(watched->context);
	DcSourceRow row;
	uint64		bit;
	bool		known;

	if (!is_trusted(tuple, desc))
	{
		MemoryContextSwitchTo(old);
		return;
	}
	dc_catalog_source_row(tuple, desc, &row);
	if (row.source.invalidation != DC_INVALIDATION_TTL)
	{
		bit = bit_of_watch(watched, dc_catalog_watch_hash(&row), &known);
		watched->own |= bit;
		if (!known && row.shape != dc_catalog_shape(&row.source))
		{
			watched->any_change |= bit;
			watched->any_column |= bit;
		}
		else if (!known)
		{
			if (row.source.invalidation == DC_INVALIDATION_ROW)
				add_key(load, &row, bit);
			else
				watched->any_change |= bit;
			if (row.source.columns.all)
				watched->any_column |= bit;
			else
			{
				int			column = -1;

				while ((column = bms_next_member(row.source.columns.attnums,
												 column)) >= 0)
					add_column(watched, map_column(load, column), bit);
			}
			add_filter(load, row.source.filter, bit);
			add_reference(load, &row.source.reference, bit);
		}
	}
	MemoryContextSwitchTo(old);
}

/* A row of dashcache.source whose path leads over the relation. */
static void
read_moved_row(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Load	   *load = arg;
	DcWatched  *watched = load->watched;
	MemoryContext old;
	DcSourceRow row;
	const DcHop *hop;
	DcTenantKey *key;
	uint64		bit;
	bool		known;
	bool		leaves;
	bool		same_shape;

	old = MemoryContextSwitchTo(watched->context);
	dc_catalog_source_row(tuple, desc, &row);
	if (row.number == load->number)
	{
		hop = &row.source.hops[load->hop];
		bit = bit_of_watch(watched, dc_catalog_watch_hash(&row), &known);
		watched->moving |= bit;
		watched->move_rounds = Max(watched->move_rounds, load->hop);
		leaves = dc_path_meets_many(row.source.hops, row.source.nhops);
		same_shape = row.shape == dc_catalog_shape(&row.source);
		for (int i = 0; i < watched->nkeys && same_shape; i++)
		{
			key = &watched->keys[i];
			if (key->moves && key->enforced == hop->enforced &&
				key->leaves == leaves && key->match == hop->match &&
				same_way(key, hop->next, &row.source, load->hop + 1))
			{
				key->watches |= bit;
				MemoryContextSwitchTo(old);
				return;
			}
		}
		key = new_key(watched);
		if (!same_shape)
		{
			/* whatever happens, it may move rows to any tenant */
			key->kind = DC_KEY_UNKNOWN;
			key->moves = true;
			key->watches = bit;
			MemoryContextSwitchTo(old);
			return;
		}
		key->kind = DC_KEY_COLUMN;
		key->moves = true;
		key->enforced = hop->enforced;
		key->leaves = leaves;
		key->watches = bit;
		key->column = hop->next;
		key->match = hop->match;
		key->type = get_atttype(hop->relid, hop->next);
		dc_path_init(&key->path, hop + 1, row.source.nhops - load->hop - 1);
		fmgr_info_cxt(row.source.key_hash, &key->hash, watched->context);
		key->collation = row.source.collation;
	}
	MemoryContextSwitchTo(old);
}

static void
read_hop(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Load	   *load = arg;
	bool		isnull;

	load->number = DatumGetInt16(heap_getattr(tuple, DC_HOP_NUMBER, desc, &isnull));
	load->hop = DatumGetInt16(heap_getattr(tuple, DC_HOP_HOP, desc, &isnull));
	if (!dc_verified(DatumGetInt32(heap_getattr(tuple, DC_HOP_WIDGET,
												desc, &isnull)), 0))
		return;
	dc_catalog_scan(DC_TABLE_SOURCE, DC_SOURCE_WIDGET, INT4OID,
					heap_getattr(tuple, DC_HOP_WIDGET, desc, &isnull),
					read_moved_row, load);
}

static void
free_watched(DcWatched *watched)
{
	for (int i = 0; i < watched->nkeys; i++)
	{
		dc_code_forget_plan(&watched->keys[i].plan);
	}
	MemoryContextDelete(watched->context);
}

/* At the end of a transaction nobody uses what was replaced. */
DC_HIT_PATH void
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

/* Read what is said about a relation, for the source that is part of it. */
static void
read_relation(Load *load, Oid relid)
{
	load->map = NULL;
	if (relid != RelationGetRelid(load->source))
	{
		Relation	ancestor = table_open(relid, AccessShareLock);
		MemoryContext old = MemoryContextSwitchTo(load->watched->context);

		load->map = build_attrmap_by_name_if_req(RelationGetDescr(load->source),
												 RelationGetDescr(ancestor));
		MemoryContextSwitchTo(old);
		table_close(ancestor, NoLock);
	}
	dc_catalog_scan(DC_TABLE_SOURCE, DC_SOURCE_RELATION, OIDOID,
					ObjectIdGetDatum(relid), read_row, load);
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
	MemoryContext old;
	bool		found;
	ListCell   *lc;

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

	/* with tables of another version nothing is served, so writers may go on */
	if (dc_catalog_fits())
	{
		read_relation(&load, relid);
		old = MemoryContextSwitchTo(context);
		load.watched->ancestors = dc_ancestors_of(relid);
		MemoryContextSwitchTo(old);
		foreach(lc, load.watched->ancestors)
			read_relation(&load, lfirst_oid(lc));
		dc_catalog_scan(DC_TABLE_HOP, DC_HOP_RELATION, OIDOID,
						ObjectIdGetDatum(relid), read_hop, &load);
	}

	slot = hash_search(sources, &relid, HASH_ENTER, &found);
	if (found)
	{
		old = MemoryContextSwitchTo(CacheMemoryContext);
		replaced = lappend(replaced, slot->watched);
		MemoryContextSwitchTo(old);
	}
	slot->watched = load.watched;
	MemoryContextSetParent(context, CacheMemoryContext);
	return load.watched;
}

/*-------------------------------------------------------------------------
 * Keys that are told by dashcache_watch()
 *-------------------------------------------------------------------------
 */

static void
prepare_key(DcTenantKey *key, Relation source)
{
	Oid			type = RelationGetForm(source)->reltype;
	DcRoles		nobody = {0};
	uint64		roles = dc_standing_generation();
	char	   *sql;
	SPIPlanPtr	plan;

	sql = psprintf("SELECT (%s) FROM (SELECT ($1).*) AS %s",
				   key->sql,
				   quote_identifier(RelationGetRelationName(source)));
	dc_code_check(dc_code_of_text(NIL, sql), key->role, &nobody);
	plan = SPI_prepare(sql, 1, &type);
	if (plan == NULL)
		elog(ERROR, "could not prepare a tenant expression: %s",
			 SPI_result_code_string(SPI_result));
	dc_code_keep_plan(&key->plan, plan, roles);
}

static void
sql_error_callback(void *arg)
{
	errcontext("tenant expression of dashcache_watch() for table \"%s\"",
			   RelationGetRelationName((Relation) arg));
}

/*
 * Evaluate a key's expression over a row; false if the result is null.
 *
 * The latest snapshot is used, also in REPEATABLE READ: what the row is
 * connected to by now is what counts for those who read after us.
 */
bool
dc_watched_evaluate_sql(DcTenantKey *key, Relation source,
						HeapTuple row, Datum *tenant)
{
	MemoryContext caller = CurrentMemoryContext;
	ErrorContextCallback callback;
	Oid			save_user;
	int			save_context;
	int			save_nestlevel;
	DcRoles		nobody = {0};
	Datum		argument;
	bool		isnull = true;

	callback.callback = sql_error_callback;
	callback.arg = source;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

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

	if (!dc_code_plan_is_current(&key->plan))
		prepare_key(key, source);
	dc_code_check_plan(&key->plan, key->role, &nobody);
	argument = heap_copy_tuple_as_datum(row, RelationGetDescr(source));
	if (SPI_execute_plan(key->plan.plan, &argument, NULL, true, 1) != SPI_OK_SELECT)
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
				set_output(key, attribute->atttypid, CacheMemoryContext);
			MemoryContextSwitchTo(old);
		}
	}

	SPI_finish();
	PopActiveSnapshot();
	AtEOXact_GUC(false, save_nestlevel);
	SetUserIdAndSecContext(save_user, save_context);
	error_context_stack = callback.previous;
	return !isnull;
}
