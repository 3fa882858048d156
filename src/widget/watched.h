/*-------------------------------------------------------------------------
 *
 * watched.h
 *		What the triggers of a source have to know.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_WATCHED_H
#define DASHCACHE_WATCHED_H

#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/rel.h"
#include "widget/code.h"
#include "widget/path.h"
#include "widget/settings.h"

/* How the value of a key is found in a row. */
typedef enum DcKeyKind
{
	DC_KEY_COLUMN,
	DC_KEY_EXPRESSION,			/* of the query: harmless, evaluated here */
	DC_KEY_SQL,					/* of dashcache_watch(): a query of its own */
	DC_KEY_UNKNOWN				/* the table has changed its shape */
} DcKeyKind;

/* A way to find the tenant of a row. */
typedef struct DcTenantKey
{
	DcKeyKind	kind;
	uint64		watches;		/* those that use it */
	bool		moves;			/* not the row's own watches, but others' */
	bool		enforced;		/* for these: new rows move nothing */
	bool		leaves;			/* and: those that go are told of, too */

	AttrNumber	column;
	AttrNumber	match;			/* for those that move: the column matched */
	Oid			type;			/* of the value that the path begins with */
	DcPath		path;			/* no hops: the value is the tenant */
	FmgrInfo	hash;
	Oid			collation;
	FmgrInfo	output;			/* of the tenant, for the journal */

	Node	   *expression;
	const char *sql;
	Oid			role;
	DcSettings	settings;
	DcKeptPlan	plan;
} DcTenantKey;

/* A column that is read, and the watches that read it. */
typedef struct DcReadColumn
{
	AttrNumber	column;
	uint64		watches;
} DcReadColumn;

/* Conditions on a row, and the watches that need not know of rows failing it. */
typedef struct DcRowFilter
{
	List	   *conditions;
	uint64		watches;
} DcRowFilter;

/* A foreign key, and the watches that need not know of rows it does not refer to. */
typedef struct DcReferred
{
	DcReference reference;
	DcPathIndex index;
	Oid			type;			/* of the column referred to */
	uint64		watches;
} DcReferred;

/*
 * A source with all its watches, also those of the tables that it is a
 * partition or a child of.  Sets of watches are bit masks; the last bit stands
 * for all watches that have none of their own.
 */
typedef struct DcWatched
{
	Oid			relid;			/* hash key */
	uint64		generation;
	List	   *ancestors;		/* OIDs of what it is a partition or child of */
	int			nwatches;
	uint64	   *hashes;
	uint64		own;			/* all but those that it only moves */
	uint64		moving;			/* watches of others, whose rows it moves */
	int			move_rounds;	/* hops between these rows and its own, at
								 * most */
	uint64		any_change;		/* those without a key */
	uint64		any_column;		/* those that read every column */
	DcReferred *referred;		/* and to what may make no difference */
	int			nreferred;
	DcTenantKey *keys;
	int			nkeys;
	DcReadColumn *columns;
	int			ncolumns;
	DcRowFilter *filters;
	int			nfilters;
	MemoryContext context;
} DcWatched;

extern DcWatched *dc_watched_get(Relation source);
extern bool dc_watched_evaluate_sql(DcTenantKey *key, Relation source,
									HeapTuple row, Datum *tenant);
extern void dc_watched_at_xact(XactEvent event);

#endif							/* DASHCACHE_WATCHED_H */
