/*-------------------------------------------------------------------------
 *
 * source_rows.c
 *		Rows of dashcache.source, hop and dependency.
 *
 * What a widget reads, and how changes of that find their tenants.
 *
 * Locking: see api/define.c, which calls what writes with dashcache.widget
 * locked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/source_rows.h"

#include "widget/describe.h"
#include "widget/verified.h"

#include "access/htup_details.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

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
dc_source_rows_write(uint32 widget, List *rows, const DcAnalysis *analysis)
{
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(widget);
	ListCell   *lc;

	dc_source_rows_clear(widget);
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
dc_source_rows_clear(uint32 widget)
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

/* The rows of a widget as they are kept; none if they are not to be trusted. */
List *
dc_source_rows_of(uint32 widget)
{
	List	   *rows = NIL;

	if (!dc_verified(widget, 0))
		return NIL;
	dc_catalog_scan(DC_TABLE_SOURCE, DC_SOURCE_WIDGET, INT4OID,
					Int32GetDatum(widget), read_source_row, &rows);
	return rows;
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
dc_source_rows_relations(uint32 widget)
{
	RelidList	list = {NIL};

	ListCell   *lc;

	dc_catalog_scan(DC_TABLE_SOURCE, DC_SOURCE_WIDGET, INT4OID,
					Int32GetDatum(widget), add_relid, &list);
	foreach(lc, dc_source_rows_of(widget))
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
bool
dc_source_rows_use(Oid relid)
{
	RelidList	users = {NIL};

	dc_catalog_scan(DC_TABLE_SOURCE, DC_SOURCE_RELATION, OIDOID,
					ObjectIdGetDatum(relid), add_relid, &users);
	dc_catalog_scan(DC_TABLE_HOP, DC_HOP_RELATION, OIDOID,
					ObjectIdGetDatum(relid), add_hop_user, &users);
	return users.relids != NIL;
}
