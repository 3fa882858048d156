/*-------------------------------------------------------------------------
 *
 * catalog.c
 *		The extension's own tables.
 *
 * Reading is done by scans like those of the server's own catalogs: in the
 * latest snapshot, with no privilege needed and no name to resolve but those
 * of our tables.  Writing is done by SQL, as the owner of the tables and with
 * a search_path that nobody can plant anything in.
 *
 * Whatever changes the tables calls dc_catalog_changed(), which makes every
 * backend forget what it has read, at the commit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/catalog.h"

#include "mix.h"
#include "widget/definers.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/nodes.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

static const char *const table_names[] = {
	[DC_TABLE_DASHBOARD] = "dashboard",
	[DC_TABLE_GRANTEE] = "grantee",
	[DC_TABLE_WIDGET] = "widget",
	[DC_TABLE_SOURCE] = "source",
	[DC_TABLE_HOP] = "hop",
	[DC_TABLE_DEPENDENCY] = "dependency",
	[DC_TABLE_VERIFIED] = "verified"
};

/* The OID of one of our tables; InvalidOid if the extension is not there. */
Oid
dc_catalog_relid(DcTable table)
{
	Oid			namespace = get_namespace_oid("dashcache", true);

	if (!OidIsValid(namespace))
		return InvalidOid;
	return get_relname_relid(table_names[table], namespace);
}

/* The role that owns our tables. */
Oid
dc_catalog_owner(void)
{
	HeapTuple	tuple = SearchSysCache1(RELOID,
										ObjectIdGetDatum(dc_catalog_relid(DC_TABLE_WIDGET)));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table dashcache.widget does not exist"),
				 errhint("Run CREATE EXTENSION dashcache.")));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*-------------------------------------------------------------------------
 * Versions of the extension
 *
 * The library knows the tables of its own version.  They are of another one
 * between the installation of a new library and ALTER EXTENSION UPDATE, or
 * between that and the restart of the server.
 *-------------------------------------------------------------------------
 */

/* The version of the SQL objects; NULL if the extension is not there. */
static char *
installed_version(void)
{
	Relation	relation = table_open(ExtensionRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("dashcache"));
	scan = systable_beginscan(relation, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		version = TextDatumGetCString(heap_getattr(tuple, Anum_pg_extension_extversion,
												   RelationGetDescr(relation), &isnull));
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return version;
}

/* Is a version such as 1.10 later than another, such as 1.9? */
static bool
is_later(const char *a, const char *b)
{
	while (*a != '\0' && *b != '\0')
	{
		char	   *a_end;
		char	   *b_end;
		long		a_number = strtol(a, &a_end, 10);
		long		b_number = strtol(b, &b_end, 10);

		if (a_number != b_number)
			return a_number > b_number;
		a = *a_end == '.' ? a_end + 1 : "";
		b = *b_end == '.' ? b_end + 1 : "";
	}
	return *a != '\0';
}

/* Are the tables those that this library knows?  True if there are none. */
bool
dc_catalog_fits(void)
{
	char	   *version = installed_version();

	return version == NULL || strcmp(version, DASHCACHE_VERSION) == 0;
}

/* Throw unless they are. */
static void
check_fits(void)
{
	char	   *version = installed_version();

	if (version == NULL || strcmp(version, DASHCACHE_VERSION) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension dashcache is of version %s, and its library of version %s",
					version, DASHCACHE_VERSION),
			 is_later(version, DASHCACHE_VERSION) ?
			 errhint("Restart the server, so that it loads the library that is installed; if it was restarted, install that of version %s.",
					 version) :
			 errhint("Run ALTER EXTENSION dashcache UPDATE.")));
}

/*-------------------------------------------------------------------------
 * Reading
 *-------------------------------------------------------------------------
 */

static Oid
index_on(Relation relation, AttrNumber column)
{
	List	   *indexes = RelationGetIndexList(relation);
	Oid			found = InvalidOid;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index->indisvalid && index->indkey.values[0] == column)
			found = lfirst_oid(lc);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	return found;
}

/*
 * Call "reader" for each row of a table in which "column" equals "value".
 * "type" is the column's: int4, oid or text.
 */
void
dc_catalog_scan(DcTable table, AttrNumber column, Oid type,
				Datum value, DcRowReader reader, void *arg)
{
	Oid			relid = dc_catalog_relid(table);
	Relation	relation;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	Oid			index;

	if (!OidIsValid(relid))
		return;
	check_fits();

	ScanKeyEntryInitialize(&key, 0, column, BTEqualStrategyNumber, type,
						   type == TEXTOID ? C_COLLATION_OID : InvalidOid,
						   type == TEXTOID ? F_TEXTEQ :
						   type == OIDOID ? F_OIDEQ : F_INT4EQ,
						   value);
	relation = table_open(relid, AccessShareLock);
	index = index_on(relation, column);
	scan = systable_beginscan(relation, index, OidIsValid(index), NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		reader(tuple, RelationGetDescr(relation), arg);
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
}

static void
read_hops(DcSource *source, Datum relations, Datum columns, Datum equalities,
		  Datum enforced, Datum many)
{
	ArrayType  *relation_array = DatumGetArrayTypeP(relations);
	Oid		   *oids = (Oid *) ARR_DATA_PTR(relation_array);
	int16	   *attnums = (int16 *) ARR_DATA_PTR(DatumGetArrayTypeP(columns));
	Oid		   *equal = (Oid *) ARR_DATA_PTR(DatumGetArrayTypeP(equalities));
	bool	   *flags = (bool *) ARR_DATA_PTR(DatumGetArrayTypeP(enforced));
	bool	   *many_flags = (bool *) ARR_DATA_PTR(DatumGetArrayTypeP(many));

	source->nhops = ArrayGetNItems(ARR_NDIM(relation_array),
								   ARR_DIMS(relation_array));
	Assert(source->nhops <= DC_MAX_HOPS);
	for (int i = 0; i < source->nhops; i++)
	{
		source->hops[i].relid = oids[i];
		source->hops[i].match = attnums[2 * i];
		source->hops[i].next = attnums[2 * i + 1];
		source->hops[i].equal = equal[2 * i];
		source->hops[i].collation = equal[2 * i + 1];
		source->hops[i].enforced = flags[i];
		source->hops[i].many = many_flags[i];
	}
}

/* Read a row of dashcache.source into the current memory context. */
void
dc_catalog_source_row(HeapTuple tuple, TupleDesc desc, DcSourceRow *row)
{
	Datum		value[DC_SOURCE_SHAPE + 1];
	bool		null[DC_SOURCE_SHAPE + 1];
	DcSource   *source = &row->source;

	for (int i = 1; i <= DC_SOURCE_SHAPE; i++)
		value[i] = heap_getattr(tuple, i, desc, &null[i]);

	memset(row, 0, sizeof(*row));
	row->widget = DatumGetInt32(value[DC_SOURCE_WIDGET]);
	row->number = DatumGetInt16(value[DC_SOURCE_NUMBER]);
	source->relid = DatumGetObjectId(value[DC_SOURCE_RELATION]);
	source->invalidation = DatumGetChar(value[DC_SOURCE_INVALIDATION]);
	source->columns.all = null[DC_SOURCE_COLUMNS];
	if (!null[DC_SOURCE_COLUMNS])
	{
		ArrayType  *array = DatumGetArrayTypeP(value[DC_SOURCE_COLUMNS]);
		int16	   *attnums = (int16 *) ARR_DATA_PTR(array);
		int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

		for (int i = 0; i < n; i++)
			source->columns.attnums = bms_add_member(source->columns.attnums,
													 attnums[i]);
	}
	if (!null[DC_SOURCE_KEY])
		source->key = DatumGetInt16(value[DC_SOURCE_KEY]);
	if (!null[DC_SOURCE_KEY_SQL])
		row->key_sql = TextDatumGetCString(value[DC_SOURCE_KEY_SQL]);
	if (!null[DC_SOURCE_KEY_EXPRESSION])
		source->key_expression =
			stringToNode(TextDatumGetCString(value[DC_SOURCE_KEY_EXPRESSION]));
	if (!null[DC_SOURCE_KEY_ROLE])
		row->key_role = DatumGetObjectId(value[DC_SOURCE_KEY_ROLE]);
	if (!null[DC_SOURCE_KEY_HASH])
		source->key_hash = DatumGetObjectId(value[DC_SOURCE_KEY_HASH]);
	if (!null[DC_SOURCE_TENANT_HASH])
		source->tenant_hash = DatumGetObjectId(value[DC_SOURCE_TENANT_HASH]);
	if (!null[DC_SOURCE_COLLATION])
		source->collation = DatumGetObjectId(value[DC_SOURCE_COLLATION]);
	read_hops(source, value[DC_SOURCE_HOP_RELATIONS],
			  value[DC_SOURCE_HOP_COLUMNS],
			  value[DC_SOURCE_HOP_EQUALITIES], value[DC_SOURCE_HOP_ENFORCED],
			  value[DC_SOURCE_HOP_MANY]);
	if (!null[DC_SOURCE_REFERRER])
	{
		Oid		   *oids = (Oid *) ARR_DATA_PTR(DatumGetArrayTypeP(value[DC_SOURCE_REFERRER]));
		int16	   *attnums = (int16 *) ARR_DATA_PTR(DatumGetArrayTypeP(value[DC_SOURCE_REFERRING]));

		source->reference.relid = oids[0];
		source->reference.equal = oids[1];
		source->reference.collation = oids[2];
		source->reference.referenced = attnums[0];
		source->reference.refers = attnums[1];
	}
	if (!null[DC_SOURCE_FILTER])
		source->filter = stringToNode(TextDatumGetCString(value[DC_SOURCE_FILTER]));
	row->shape = (uint64) DatumGetInt64(value[DC_SOURCE_SHAPE]);
	if (!null[DC_SOURCE_REASON])
		source->reason = TextDatumGetCString(value[DC_SOURCE_REASON]);
	if (!null[DC_SOURCE_WANTED_INDEX])
		source->wanted_index = TextDatumGetCString(value[DC_SOURCE_WANTED_INDEX]);
}

static uint64
shape_of(Oid relid, uint64 hash)
{
	Relation	relation = try_relation_open(relid, AccessShareLock);
	TupleDesc	desc;

	if (relation == NULL)
		return dc_mix64(hash + 1);
	desc = RelationGetDescr(relation);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		hash = hash_combine64(hash, dc_mix64(attribute->attisdropped ?
											 InvalidOid : attribute->atttypid));
		hash = hash_combine64(hash, dc_mix64(attribute->attcollation));
	}
	relation_close(relation, NoLock);
	return hash;
}

/*
 * A hash of the columns of all tables that a source's row is about.  What was
 * found by an analysis must not be applied to tables of another shape: event
 * triggers see to that, but they may have been disabled.
 */
uint64
dc_catalog_shape(const DcSource *source)
{
	uint64		hash = shape_of(source->relid, source->relid);

	for (int i = 0; i < source->nhops; i++)
		hash = shape_of(source->hops[i].relid, hash);
	return hash;
}

static uint64
hash_text(const char *text)
{
	return hash_bytes_extended((const unsigned char *) text, strlen(text), 0);
}

/*
 * The identity of a watch: of what a source is watched for.  Widgets that
 * watch the same columns of a source by the same key share it; writers and
 * readers compute it from the same row, so that they agree.
 */
uint64
dc_catalog_watch_hash(const DcSourceRow *row)
{
	const DcSource *source = &row->source;
	uint64		hash = hash_combine64(dc_mix64(source->relid),
									  dc_mix64(((uint64) source->key_hash << 32) |
											   (uint16) source->key));

	hash = hash_combine64(hash, dc_mix64(((uint64) source->invalidation << 32) |
										 source->collation));
	/* the same words may mean something else under another widget's settings */
	if (row->key_sql != NULL)
		hash = hash_combine64(dc_mix64(hash ^ row->widget), hash_text(row->key_sql));
	if (source->key_expression != NULL)
		hash = hash_combine64(hash, hash_text(nodeToString(source->key_expression)));
	if (source->filter != NIL)
		hash = hash_combine64(hash, hash_text(nodeToString(source->filter)));
	if (OidIsValid(source->reference.relid))
	{
		const DcReference *reference = &source->reference;

		hash = hash_combine64(dc_mix64(hash), dc_mix64(((uint64) reference->relid << 32) |
													   ((uint32) reference->referenced << 16) |
													   (uint16) reference->refers) ^
							  dc_mix64(((uint64) reference->equal << 32) | reference->collation));
	}
	for (int i = 0; i < source->nhops; i++)
	{
		const DcHop *hop = &source->hops[i];

		hash = hash_combine64(hash, dc_mix64(((uint64) hop->relid << 32) |
											 ((uint32) hop->match << 16) |
											 (uint16) hop->next) ^
							  dc_mix64(((uint64) hop->equal << 32) | hop->collation));
		if (hop->many)
			hash = dc_mix64(hash);
	}
	if (!source->columns.all)
	{
		int			column = -1;

		while ((column = bms_next_member(source->columns.attnums, column)) >= 0)
			hash = hash_combine64(hash, dc_mix64(column));
	}
	return hash;
}

/* All relations that a relation is a partition or a child of. */
List *
dc_ancestors_of(Oid relid)
{
	List	   *ancestors = NIL;
	List	   *todo = list_make1_oid(relid);
	ListCell   *lc;

	foreach(lc, todo)
	{
		Relation	inherits;
		SysScanDesc scan;
		ScanKeyData key;
		HeapTuple	tuple;

		if (!get_rel_relispartition(lfirst_oid(lc)) &&
			!has_superclass(lfirst_oid(lc)))
			continue;
		inherits = table_open(InheritsRelationId, AccessShareLock);
		ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber,
					F_OIDEQ, ObjectIdGetDatum(lfirst_oid(lc)));
		scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true,
								  NULL, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			Oid			parent = ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent;

			ancestors = list_append_unique_oid(ancestors, parent);
			todo = list_append_unique_oid(todo, parent);
		}
		systable_endscan(scan);
		table_close(inherits, AccessShareLock);
	}
	return ancestors;
}

/*
 * Begin to run statements on our tables, as their owner.  To be followed by
 * dc_catalog_end(); an error in between is undone by the transaction's end.
 */
void
dc_catalog_begin(DcCatalogWork *work)
{
	Oid			owner = dc_catalog_owner();

	check_fits();
	GetUserIdAndSecContext(&work->save_user, &work->save_context);
	SetUserIdAndSecContext(owner, work->save_context | SECURITY_LOCAL_USERID_CHANGE);
	work->save_nestlevel = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/*
 * Run one statement; returns the number of rows it processed.  It works on the
 * latest snapshot, also in REPEATABLE READ: definitions are not a matter of the
 * caller's snapshot, and his DDL must not fail because another session's has
 * changed them.
 */
uint64
dc_catalog_execute(const char *sql, int nargs, Oid *types,
				   Datum *values, const char *nulls)
{
	SPIPlanPtr	plan = SPI_prepare(sql, nargs, types);
	int			result;

	if (plan == NULL)
		elog(ERROR, "could not prepare a change of the dashcache tables: %s",
			 SPI_result_code_string(SPI_result));
	CommandCounterIncrement();
	result = SPI_execute_snapshot(plan, values, nulls, GetLatestSnapshot(),
								  InvalidSnapshot, false, true, 0);
	if (result < 0)
		elog(ERROR, "could not change the dashcache tables: %s",
			 SPI_result_code_string(result));
	return SPI_processed;
}

/* End what dc_catalog_begin() has begun. */
void
dc_catalog_end(DcCatalogWork *work)
{
	SPI_finish();
	AtEOXact_GUC(false, work->save_nestlevel);
	SetUserIdAndSecContext(work->save_user, work->save_context);
}

/*
 * Lock a widget's definition until the end of the transaction, so that of two
 * who look at it again the second finds what the first has written.
 */
void
dc_catalog_lock_widget(uint32 widget)
{
	LockDatabaseObject(dc_catalog_relid(DC_TABLE_WIDGET), widget, 0,
					   AccessExclusiveLock);
}

/*
 * Keep a dashboard from being dropped until the end of the transaction, so that
 * rows can be added that belong to it: the tables have no foreign keys, on which
 * a restore would stumble.  False if there is none.  Within dc_catalog_begin().
 */
bool
dc_catalog_share_dashboard(const char *name)
{
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(name);

	return dc_catalog_execute("SELECT FROM dashcache.dashboard WHERE name = $1 FOR KEY SHARE",
							  1, &type, &value, NULL) == 1;
}

/* Make all backends read our tables again after the commit. */
void
dc_catalog_changed(void)
{
	dc_definers_announce();
	CacheInvalidateRelcacheByRelid(dc_catalog_relid(DC_TABLE_WIDGET));
	CommandCounterIncrement();
}

/* The names of all dashboards. */
List *
dc_catalog_dashboards(void)
{
	MemoryContext caller = CurrentMemoryContext;
	DcCatalogWork work;
	List	   *names = NIL;
	uint64		n;

	dc_catalog_begin(&work);
	n = dc_catalog_execute("SELECT name FROM dashcache.dashboard", 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		char	   *name = SPI_getvalue(SPI_tuptable->vals[i],
										SPI_tuptable->tupdesc, 1);
		MemoryContext old = MemoryContextSwitchTo(caller);

		names = lappend(names, pstrdup(name));
		MemoryContextSwitchTo(old);
	}
	dc_catalog_end(&work);
	return names;
}
