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
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/rel.h"
#include "widget/settings.h"

/* A way to find the tenant of a row: a column, or an expression. */
typedef struct DcTenantKey
{
	uint64		watches;		/* those that use it */
	AttrNumber	column;
	FmgrInfo	hash;
	Oid			collation;
	FmgrInfo	output;

	/* for an expression: */
	const char *expression;
	Oid			role;			/* evaluated as this one */
	DcSettings	settings;
	SPIPlanPtr	plan;
} DcTenantKey;

/* A column that is read, and the watches that read it. */
typedef struct DcReadColumn
{
	AttrNumber	column;
	uint64		watches;
} DcReadColumn;

/*
 * A source with all its watches.  Sets of watches are bit masks; the last bit
 * stands for all watches that have none of their own.
 */
typedef struct DcWatched
{
	Oid			relid;			/* hash key */
	uint64		generation;
	int			nwatches;
	uint64	   *hashes;
	uint64		all;			/* all watches */
	uint64		any_change;		/* those without a key */
	uint64		any_column;		/* those that read every column */
	DcTenantKey *keys;
	int			nkeys;
	DcReadColumn *columns;
	int			ncolumns;
	MemoryContext context;
} DcWatched;

extern DcWatched *dc_watched_get(Relation source);
extern bool dc_watched_evaluate(DcTenantKey *key, Relation source,
								HeapTuple row, Datum *tenant);
extern void dc_watched_at_xact(XactEvent event);

#endif							/* DASHCACHE_WATCHED_H */
