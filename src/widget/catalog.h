/*-------------------------------------------------------------------------
 *
 * catalog.h
 *		The extension's own tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_CATALOG_H
#define DASHCACHE_CATALOG_H

#include "postgres.h"

#include "access/genam.h"
#include "utils/rel.h"
#include "widget/analyze.h"

/* Column numbers; the order is that of the install script. */
enum
{
	DC_DASHBOARD_NAME = 1,
	DC_DASHBOARD_OWNER,
	DC_DASHBOARD_TENANTS,
	DC_DASHBOARD_TENANTS_SETTINGS,
	DC_DASHBOARD_VARIANTS,
	DC_DASHBOARD_GUARD,
	DC_DASHBOARD_WARM_ON_START,
	DC_DASHBOARD_WARM_ON_CHANGE,
	DC_DASHBOARD_MEMORY_LIMIT,
	DC_DASHBOARD_GUARD_EXEMPT_OWNER,
	DC_DASHBOARD_TENANTS_ROLES
};
enum
{
	DC_GRANTEE_DASHBOARD = 1,
	DC_GRANTEE_ROLE
};
enum
{
	DC_WIDGET_ID = 1,
	DC_WIDGET_DASHBOARD,
	DC_WIDGET_NAME,
	DC_WIDGET_OWNER,
	DC_WIDGET_QUERY,
	DC_WIDGET_TTL,
	DC_WIDGET_ALIGN,
	DC_WIDGET_MAX_STALE,
	DC_WIDGET_RESULT,
	DC_WIDGET_TAGS,
	DC_WIDGET_SETTINGS,
	DC_WIDGET_TENANT_TYPE,
	DC_WIDGET_TENANT_EQUAL,
	DC_WIDGET_TENANT_HASH,
	DC_WIDGET_TENANT_COLLATION,
	DC_WIDGET_USES_PARAMS,
	DC_WIDGET_USES_CLOCK,
	DC_WIDGET_READS_UNSEEN,
	DC_WIDGET_VERSION,
	DC_WIDGET_PROBLEM,
	DC_WIDGET_ROLES,
	DC_WIDGET_STANDING
};
enum
{
	DC_SOURCE_WIDGET = 1,
	DC_SOURCE_NUMBER,
	DC_SOURCE_RELATION,
	DC_SOURCE_INVALIDATION,
	DC_SOURCE_COLUMNS,
	DC_SOURCE_KEY,
	DC_SOURCE_KEY_SQL,
	DC_SOURCE_KEY_ROLE,
	DC_SOURCE_KEY_EXPRESSION,
	DC_SOURCE_KEY_HASH,
	DC_SOURCE_TENANT_HASH,
	DC_SOURCE_COLLATION,
	DC_SOURCE_HOP_RELATIONS,
	DC_SOURCE_HOP_COLUMNS,
	DC_SOURCE_HOP_EQUALITIES,
	DC_SOURCE_HOP_ENFORCED,
	DC_SOURCE_HOP_MANY,
	DC_SOURCE_REFERRER,
	DC_SOURCE_REFERRING,
	DC_SOURCE_FILTER,
	DC_SOURCE_TENANT_KEY,
	DC_SOURCE_CONDITION,
	DC_SOURCE_REASON,
	DC_SOURCE_WANTED_INDEX,
	DC_SOURCE_SHAPE
};
enum
{
	DC_HOP_RELATION = 1,
	DC_HOP_WIDGET,
	DC_HOP_NUMBER,
	DC_HOP_HOP
};

enum
{
	DC_DEPENDENCY_WIDGET = 1,
	DC_DEPENDENCY_KIND,
	DC_DEPENDENCY_OBJECT
};

enum
{
	DC_VERIFIED_WIDGET = 1,
	DC_VERIFIED_VERSION,
	DC_VERIFIED_SYSTEM,
	DC_VERIFIED_LIBRARY
};

typedef enum DcTable
{
	DC_TABLE_DASHBOARD,
	DC_TABLE_GRANTEE,
	DC_TABLE_WIDGET,
	DC_TABLE_SOURCE,
	DC_TABLE_HOP,
	DC_TABLE_DEPENDENCY,
	DC_TABLE_VERIFIED
} DcTable;

/* A row of dashcache.source, read. */
typedef struct DcSourceRow
{
	uint32		widget;
	int			number;
	DcSource	source;
	char	   *key_sql;		/* set by dashcache_watch(); else NULL */
	Oid			key_role;		/* the role that it is evaluated as */
	uint64		shape;			/* of the tables, when this was written */
} DcSourceRow;

extern Oid	dc_catalog_relid(DcTable table);
extern Oid	dc_catalog_owner(void);
extern bool dc_catalog_fits(void);

typedef void (*DcRowReader) (HeapTuple tuple, TupleDesc desc, void *arg);
extern void dc_catalog_scan(DcTable table, AttrNumber column, Oid type,
							Datum value, DcRowReader reader, void *arg);
extern void dc_catalog_source_row(HeapTuple tuple, TupleDesc desc,
								  DcSourceRow *row);
extern uint64 dc_catalog_shape(const DcSource *source);
extern uint64 dc_catalog_watch_hash(const DcSourceRow *row);

extern List *dc_ancestors_of(Oid relid);

/* Run statements on the tables as their owner. */
typedef struct DcCatalogWork
{
	Oid			save_user;
	int			save_context;
	int			save_nestlevel;
} DcCatalogWork;

extern void dc_catalog_begin(DcCatalogWork *work);
extern uint64 dc_catalog_execute(const char *sql, int nargs, Oid *types,
								 Datum *values, const char *nulls);
extern void dc_catalog_end(DcCatalogWork *work);
extern void dc_catalog_lock_widget(uint32 widget);
extern bool dc_catalog_share_dashboard(const char *name);
extern void dc_catalog_changed(void);
extern List *dc_catalog_dashboards(void);

#endif							/* DASHCACHE_CATALOG_H */
