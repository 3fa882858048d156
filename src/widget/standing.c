/*-------------------------------------------------------------------------
 *
 * standing.c
 *		What roles are: their attributes and memberships.
 *
 * What a query gives depends on what its owner may do: whether it is a
 * superuser, bypasses row security, is a member of which roles.  Roles belong
 * to the whole cluster, and no event trigger tells when they change.  So it is
 * taken down with each widget what the roles were like that have a part in its
 * query, as a hash, and compared.  Where it differs the widget is not cached
 * until somebody has looked at it again (see "Roles" in src/README).
 *
 * Two hashes.  "meaning" is what is compared: it is the same again if a
 * membership is taken away and given back.  "rows" is of the very versions of
 * the rows, and tells whether anything has happened in between.
 *
 * All memberships count that lead on from a role, inherited or not: that is
 * more than matters, but it is the same in all versions of the server.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/standing.h"

#include "compat.h"
#include "hit_path.h"
#include "mix.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* Counts what may have changed a role. */
static DC_HIT_DATA uint64 generation = 1;

static void
roles_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	generation++;
}

/* Set up; once in each process. */
void
dc_standing_init(void)
{
	CacheRegisterSyscacheCallback(AUTHOID, roles_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, roles_changed, (Datum) 0);
	/* who owns the database is a member of pg_database_owner */
	CacheRegisterSyscacheCallback(DATABASEOID, roles_changed, (Datum) 0);
}

/* Differs after any change of any role. */
DC_HIT_PATH uint64
dc_standing_generation(void)
{
	return generation;
}

static void
add(uint64 *hash, uint64 value)
{
	*hash = hash_combine64(*hash, dc_mix64(value + 1));
}

static void
add_row(DcStanding *standing, HeapTuple row)
{
	add(&standing->rows, HeapTupleHeaderGetRawXmin(row->t_data));
	add(&standing->rows, ((uint64) ItemPointerGetBlockNumber(&row->t_self) << 16) |
		ItemPointerGetOffsetNumber(&row->t_self));
}

static SysScanDesc
begin_scan(Relation relation, Oid index, AttrNumber column, Oid value, ScanKey key)
{
	ScanKeyInit(key, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value));
	return systable_beginscan(relation, index, true, NULL, 1, key);
}

static void
add_attributes(DcStanding *standing, Relation authid, Oid role)
{
	ScanKeyData key;
	SysScanDesc scan = begin_scan(authid, AuthIdOidIndexId, Anum_pg_authid_oid,
								  role, &key);
	HeapTuple	row = systable_getnext(scan);

	add(&standing->meaning, role);
	if (HeapTupleIsValid(row))
	{
		Form_pg_authid form = (Form_pg_authid) GETSTRUCT(row);

		add(&standing->meaning, form->rolsuper | form->rolbypassrls << 1 |
			form->rolinherit << 2 | 8);
		/* it is what current_user gives */
		add(&standing->meaning,
			hash_bytes_extended((const unsigned char *) NameStr(form->rolname),
								strlen(NameStr(form->rolname)), 0));
		add_row(standing, row);
	}
	systable_endscan(scan);
}

/* The roles that a role is a direct member of are added to "nodes". */
static List *
add_memberships(DcStanding *standing, Relation members, Oid role, List *nodes)
{
	ScanKeyData key;
	SysScanDesc scan = begin_scan(members, AuthMemMemRoleIndexId,
								  Anum_pg_auth_members_member, role, &key);
	HeapTuple	row;

	while (HeapTupleIsValid(row = systable_getnext(scan)))
	{
		Form_pg_auth_members form = (Form_pg_auth_members) GETSTRUCT(row);

		add(&standing->meaning, form->roleid);
		add(&standing->meaning, dc_membership_options(form));
		add_row(standing, row);
		nodes = list_append_unique_oid(nodes, form->roleid);
	}
	systable_endscan(scan);
	return nodes;
}

static Oid
database_owner(void)
{
	Relation	databases = table_open(DatabaseRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan = begin_scan(databases, DatabaseOidIndexId,
								  Anum_pg_database_oid, MyDatabaseId, &key);
	HeapTuple	row = systable_getnext(scan);
	Oid			owner = HeapTupleIsValid(row) ?
	((Form_pg_database) GETSTRUCT(row))->datdba : InvalidOid;

	systable_endscan(scan);
	table_close(databases, AccessShareLock);
	return owner;
}

/*
 * What roles are like now, as the catalogs have it at this moment: not what
 * caches say, which may not have heard of a commit yet.
 */
DcStanding
dc_standing_read(const DcRoles *roles)
{
	DcStanding	standing = {0};
	Relation	authid = table_open(AuthIdRelationId, AccessShareLock);
	Relation	members = table_open(AuthMemRelationId, AccessShareLock);
	List	   *nodes = NIL;
	Oid			owner;
	ListCell   *lc;

	InvalidateCatalogSnapshot();
	owner = database_owner();
	for (int i = 0; i < roles->n; i++)
		nodes = list_append_unique_oid(nodes, roles->list[i]);
	/* the list grows meanwhile */
	foreach(lc, nodes)
	{
		Oid			role = lfirst_oid(lc);

		add_attributes(&standing, authid, role);
		nodes = add_memberships(&standing, members, role, nodes);
		if (role == owner)
			add(&standing.meaning, ROLE_PG_DATABASE_OWNER);
	}
	table_close(members, AccessShareLock);
	table_close(authid, AccessShareLock);
	list_free(nodes);
	return standing;
}

/* Roles from an array of regrole, in the current memory context. */
DcRoles
dc_roles_from_array(Datum array)
{
	ArrayType  *value = DatumGetArrayTypeP(array);
	DcRoles		roles;

	roles.n = ArrayGetNItems(ARR_NDIM(value), ARR_DIMS(value));
	roles.list = palloc(sizeof(Oid) * Max(roles.n, 1));
	memcpy(roles.list, ARR_DATA_PTR(value), sizeof(Oid) * roles.n);
	return roles;
}

/* The reverse. */
Datum
dc_roles_to_array(const DcRoles *roles)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(roles->n, 1));

	for (int i = 0; i < roles->n; i++)
		elements[i] = ObjectIdGetDatum(roles->list[i]);
	return PointerGetDatum(construct_array(elements, roles->n, REGROLEOID,
										   sizeof(Oid), true, TYPALIGN_INT));
}

/* A copy that can be added to. */
DcRoles
dc_roles_copy(const DcRoles *roles)
{
	DcRoles		copy = {palloc(sizeof(Oid) * Max(roles->n, 1)), roles->n};

	memcpy(copy.list, roles->list, sizeof(Oid) * roles->n);
	return copy;
}

/* Is a role one of these? */
bool
dc_roles_contain(const DcRoles *roles, Oid role)
{
	for (int i = 0; i < roles->n; i++)
	{
		if (roles->list[i] == role)
			return true;
	}
	return false;
}

/* Make a role one of these. */
void
dc_roles_add(DcRoles *roles, Oid role)
{
	if (dc_roles_contain(roles, role))
		return;
	roles->list = roles->list == NULL ? palloc(sizeof(Oid)) :
		repalloc(roles->list, sizeof(Oid) * (roles->n + 1));
	roles->list[roles->n++] = role;
}
