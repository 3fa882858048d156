/*-------------------------------------------------------------------------
 *
 * path.c
 *		Following a path of rows to the tenant.
 *
 * A message belongs to a conversation, and the conversation to a company: the
 * company of a message is found by looking up the conversation by its unique
 * key.  Each hop is a scan of that index, without a query, in the latest
 * snapshot: what the row is connected to by now is what counts for those who
 * read after us, whatever snapshot our own transaction works in.
 *
 * A label is connected to tasks by the rows of a link table that refer to it:
 * there may be many of them, or none, and their tenants are all found, up to a
 * limit beyond which there is no way to tell.
 *
 * That the connection may change while a writer is under way is dealt with in
 * consistency/stamp.c ("Moves").
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/path.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opfamily.h"
#include "parser/parse_coerce.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

static bool
same_equality(Oid a, Oid b)
{
	return a == b || (OidIsValid(a) && OidIsValid(b) &&
					  get_collation_isdeterministic(a) &&
					  get_collation_isdeterministic(b));
}

/* Describe how an index finds values of a type; false if it cannot. */
static bool
describe_index(Oid oid, Oid type, Oid operator, Oid collation,
			   DcPathIndex *index)
{
	Relation	relation = index_open(oid, AccessShareLock);
	Oid			family = relation->rd_opfamily[0];
	Oid			input = relation->rd_opcintype[0];
	Oid			equal;
	bool		found = false;

	if (relation->rd_rel->relam == BTREE_AM_OID &&
		op_in_opfamily(operator, family) &&
		same_equality(relation->rd_indcollation[0], collation))
	{
		type = getBaseType(type);
		equal = get_opfamily_member(family, input, type, BTEqualStrategyNumber);
		if (!OidIsValid(equal) && IsBinaryCoercible(type, input))
		{
			type = input;
			equal = get_opfamily_member(family, input, type,
										BTEqualStrategyNumber);
		}
		if (OidIsValid(equal))
		{
			index->index = oid;
			index->equal = get_opcode(equal);
			index->subtype = type;
			index->collation = relation->rd_indcollation[0];
			found = true;
		}
	}
	index_close(relation, NoLock);
	return found;
}

/* Does an index find rows by a column, at any moment? */
static bool
is_on_column(HeapTuple tuple, AttrNumber attno, bool unique)
{
	Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

	if (unique && !(form->indisunique && form->indimmediate && form->indnkeyatts == 1))
		return false;
	/* one that was just made does not find what older snapshots see */
	if (!unique && form->indcheckxmin)
		return false;
	return form->indisvalid && form->indkey.values[0] == attno &&
		heap_attisnull(tuple, Anum_pg_index_indpred, NULL) &&
		heap_attisnull(tuple, Anum_pg_index_indexprs, NULL);
}

static bool
find_index(Oid relid, AttrNumber attno, Oid type, Oid operator, Oid collation,
		   bool unique, DcPathIndex *index)
{
	Relation	relation = table_open(relid, AccessShareLock);
	List	   *indexes = RelationGetIndexList(relation);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(lc)));

		if (!HeapTupleIsValid(tuple))
			continue;
		if (!found && is_on_column(tuple, attno, unique))
			found = describe_index(lfirst_oid(lc), type, operator, collation,
								   index);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	table_close(relation, NoLock);
	return found;
}

/*
 * Find an index that makes a column unique by itself, at any moment, means the
 * same by "equal" as the operator, and can be searched for values of the type.
 */
bool
dc_path_find_index(Oid relid, AttrNumber attno, Oid type, Oid operator,
				   Oid collation, DcPathIndex *index)
{
	return find_index(relid, attno, type, operator, collation, true, index);
}

/*
 * Find an index in which the rows can be looked for that refer by a column to
 * a value of the type.
 */
bool
dc_path_find_referring(Oid relid, AttrNumber attno, Oid type, Oid operator,
					   Oid collation, DcPathIndex *index)
{
	return find_index(relid, attno, type, operator, collation, false, index);
}

/* A scan changes its keys, so each has its own. */
static void
init_key(ScanKey key, AttrNumber attno, const DcPathIndex *index, Datum value)
{
	ScanKeyEntryInitialize(key, 0, attno, BTEqualStrategyNumber, index->subtype,
						   index->collation, index->equal, value);
}

/* Does a row refer to this value?  If that cannot be told: yes. */
bool
dc_path_is_referred_to(const DcReference *reference, DcPathIndex *index,
					   Datum value, Oid type)
{
	Relation	relation = try_table_open(reference->relid, AccessShareLock);
	List	   *indexes;
	Snapshot	snapshot;
	ScanKeyData key;
	SysScanDesc scan;
	bool		referred;

	if (relation == NULL)
		return true;
	indexes = RelationGetIndexList(relation);
	if (!list_member_oid(indexes, index->index) &&
		!dc_path_find_referring(reference->relid, reference->refers, type,
								reference->equal, reference->collation, index))
	{
		table_close(relation, NoLock);
		return true;
	}
	list_free(indexes);

	init_key(&key, reference->refers, index, value);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = systable_beginscan(relation, index->index, true, snapshot, 1, &key);
	referred = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	/* keep the lock: the index must stay until we have committed */
	table_close(relation, NoLock);
	return referred;
}

/* Begin with a path. */
void
dc_path_init(DcPath *path, const DcHop *hops, int nhops)
{
	Assert(nhops <= DC_MAX_HOPS);
	memset(path, 0, sizeof(*path));
	path->nhops = nhops;
	memcpy(path->hops, hops, sizeof(DcHop) * nhops);
}

/* Does a path match rows by a column that is not unique? */
bool
dc_path_meets_many(const DcHop *hops, int nhops)
{
	for (int i = 0; i < nhops; i++)
	{
		if (hops[i].many)
			return true;
	}
	return false;
}

/* Add a copy of a value, unless it is there; false if there is no room. */
static bool
add_value(DcPathValues *values, Datum value, Form_pg_attribute attribute)
{
	if (attribute->attlen == -1)
		value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	for (int i = 0; i < values->n; i++)
	{
		if (datumIsEqual(values->values[i], value, attribute->attbyval,
						 attribute->attlen))
			return true;
	}
	if (values->n == DC_PATH_MAX_TENANTS)
		return false;
	values->values[values->n++] = attribute->attlen == -1 ? value :
		datumCopy(value, attribute->attbyval, attribute->attlen);
	return true;
}

/*
 * Has this transaction removed the row that a value matches, or given it another
 * value?  Its old version is in the index as long as the transaction runs.
 */
static bool
is_own_removal(const DcHop *hop, const DcPathIndex *index, Relation relation,
			   Datum value)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		own = false;

	init_key(&key, hop->match, index, value);
	scan = systable_beginscan(relation, index->index, true, SnapshotAny, 1, &key);
	while (!own && HeapTupleIsValid(tuple = systable_getnext(scan)))
		own = (tuple->t_data->t_infomask & HEAP_XMAX_INVALID) == 0 &&
			!HEAP_XMAX_IS_LOCKED_ONLY(tuple->t_data->t_infomask) &&
			TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(tuple->t_data));
	systable_endscan(scan);
	return own;
}

/*
 * From one value, find the row that it matches, or the rows, and add what their
 * column contains.  "room" is for how many more rows.
 *
 * A row that a foreign key guarantees is missing where this transaction has just
 * removed it, and the key's action has brought us here; or where the guarantee
 * does not hold, since the rows were written with its triggers disabled.  Then
 * the row may come at any moment, and it would not be taken for a move.
 */
static bool
match_rows(const DcHop *hop, const DcPathIndex *index, Relation relation,
		   Snapshot snapshot, Datum value, DcPathValues *found, int *room)
{
	TupleDesc	desc = RelationGetDescr(relation);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			matches = 0;
	bool		enough = true;

	init_key(&key, hop->match, index, value);
	scan = systable_beginscan(relation, index->index, true, snapshot, 1, &key);
	while (enough && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		next = heap_getattr(tuple, hop->next, desc, &isnull);

		enough = ++matches <= DC_PATH_MAX_MATCHES && --*room >= 0 &&
			(isnull || add_value(found, next, TupleDescAttr(desc, hop->next - 1)));
		if (!hop->many)
			break;
	}
	systable_endscan(scan);
	if (matches == 0 && hop->enforced)
		return is_own_removal(hop, index, relation, value);
	return enough;
}

/* Take one hop: from the values before it to those after it. */
static DcPathEnd
take_hop(const DcHop *hop, DcPathIndex *index, Snapshot snapshot,
		 DcPathValues *values, Oid *type, int *room)
{
	Relation	relation = try_table_open(hop->relid, AccessShareLock);
	DcPathValues found = {0};
	DcPathEnd	end = DC_PATH_FOUND;
	List	   *indexes;

	if (relation == NULL)
		return DC_PATH_UNKNOWN;

	indexes = RelationGetIndexList(relation);
	if (!list_member_oid(indexes, index->index) &&
		!(hop->many ? dc_path_find_referring : dc_path_find_index)
		(hop->relid, hop->match, *type, hop->equal, hop->collation, index))
	{
		table_close(relation, NoLock);
		return DC_PATH_UNKNOWN;
	}
	list_free(indexes);

	for (int i = 0; i < values->n && end == DC_PATH_FOUND; i++)
	{
		if (!match_rows(hop, index, relation, snapshot, values->values[i],
						&found, room))
			end = DC_PATH_UNKNOWN;
	}
	if (end == DC_PATH_FOUND && found.n == 0)
		end = DC_PATH_NOWHERE;
	*values = found;
	*type = TupleDescAttr(RelationGetDescr(relation), hop->next - 1)->atttypid;
	/* keep the lock: the index must stay until we have committed */
	table_close(relation, NoLock);
	return end;
}

/*
 * Follow a path from a value, of the given type, to the tenant, or to the
 * tenants.  The result is in the current memory context.
 */
DcPathEnd
dc_path_follow(DcPath *path, Datum value, Oid type, DcPathValues *tenants)
{
	Snapshot	snapshot;
	DcPathEnd	end = DC_PATH_FOUND;
	int			room = DC_PATH_MAX_ROWS;

	tenants->n = 1;
	tenants->values[0] = value;
	if (path->nhops > 0)
	{
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		for (int i = 0; i < path->nhops && end == DC_PATH_FOUND; i++)
			end = take_hop(&path->hops[i], &path->indexes[i], snapshot,
						   tenants, &type, &room);
		UnregisterSnapshot(snapshot);
	}
	return end;
}
