/*-------------------------------------------------------------------------
 *
 * role_use.c
 *		Which roles our tables mention, told to the server.
 *
 * The server does not know the owner of a dashboard, so it would let him be
 * dropped.  What it does know is who has privileges on what: two domains that
 * are good for nothing else, dashcache.owned_dashboards and
 * dashcache.granted_dashboards, are granted to the owners, with those whose code
 * they have admitted, and the readers.
 * Then DROP ROLE says what is in its way, also from another database, DROP
 * OWNED takes it away, and a dump contains it.
 *
 * Locking: the callers have locked the definitions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/role_use.h"

#include "widget/catalog.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"

static void
change(const char *type, char *role, bool grant)
{
	GrantStmt  *statement = makeNode(GrantStmt);
	RoleSpec   *grantee = makeNode(RoleSpec);

	grantee->roletype = ROLESPEC_CSTRING;
	grantee->rolename = role;
	grantee->location = -1;
	statement->is_grant = grant;
	statement->targtype = ACL_TARGET_OBJECT;
	statement->objtype = OBJECT_TYPE;
	statement->objects = list_make1(list_make2(makeString("dashcache"),
											   makeString(unconstify(char *, type))));
	statement->grantees = list_make1(grantee);
	statement->behavior = DROP_RESTRICT;
	ExecuteGrantStmt(statement);
	CommandCounterIncrement();
}

/* Tell of a domain what has changed since it was last told. */
static void
tell(const char *type, const char *used)
{
	DcCatalogWork work;
	uint64		n;
	char	   *sql = psprintf("WITH used AS (%s), known AS ("
							   "  SELECT a.grantee AS role FROM pg_catalog.pg_type t,"
							   "    LATERAL pg_catalog.aclexplode(t.typacl) a"
							   "  WHERE t.oid = 'dashcache.%s'::pg_catalog.regtype AND a.grantee <> t.typowner),"
							   " different AS ("
							   "  (SELECT role, true AS given FROM used EXCEPT SELECT role, true FROM known)"
							   "  UNION ALL"
							   "  (SELECT role, false FROM known EXCEPT SELECT role, false FROM used))"
							   " SELECT r.rolname, d.given FROM different d JOIN pg_catalog.pg_roles r ON r.oid = d.role"
							   " JOIN pg_catalog.pg_type t ON t.oid = 'dashcache.%s'::pg_catalog.regtype"
							   " WHERE r.oid <> t.typowner",
							   used, type, type);

	dc_catalog_begin(&work);
	n = dc_catalog_execute(sql, 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		change(type, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
			   DatumGetBool(SPI_getbinval(SPI_tuptable->vals[i],
										  SPI_tuptable->tupdesc, 2, &isnull)));
	}
	dc_catalog_end(&work);
}

/*
 * Tell the server which roles own dashboards, or parts of them, or read them.  Whose
 * code was admitted has a part, too: of a role that was dropped there would be
 * nothing but its OID, which a dump would bring to where it is another's.
 */
void
dc_role_use_tell(void)
{
	tell("owned_dashboards",
		 "SELECT owner AS role FROM dashcache.dashboard"
		 " UNION SELECT owner FROM dashcache.widget"
		 " UNION SELECT role FROM dashcache.override"
		 " UNION SELECT pg_catalog.unnest(roles) FROM dashcache.widget"
		 " UNION SELECT pg_catalog.unnest(tenants_roles) FROM dashcache.dashboard");
	tell("granted_dashboards",
		 "SELECT role FROM dashcache.grantee WHERE role <> 0");
}
