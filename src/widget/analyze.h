/*-------------------------------------------------------------------------
 *
 * analyze.h
 *		What a widget's query reads, and for which tenant.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_ANALYZE_H
#define DASHCACHE_ANALYZE_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"

/* How changes of a source become known. */
typedef enum DcInvalidation
{
	DC_INVALIDATION_ROW = 'r',	/* row by row, for the row's tenant */
	DC_INVALIDATION_ANY = 'a',	/* any change, for every tenant */
	DC_INVALIDATION_TTL = 't'	/* not at all: no trigger can be installed */
} DcInvalidation;

/* The columns of a source by number, or all of them. */
typedef struct DcColumns
{
	bool		all;
	Bitmapset  *attnums;
} DcColumns;

/* One source of a query, as it is used in one place or several alike. */
typedef struct DcSource
{
	Oid			relid;
	DcInvalidation invalidation;
	DcColumns	columns;

	/* for DC_INVALIDATION_ROW: the column that names the tenant ... */
	AttrNumber	key;
	/* ... hashed like the tenant asked for, so that equal ones agree */
	Oid			key_hash;
	Oid			tenant_hash;
	Oid			collation;

	const char *reason;			/* why there is no key, or no trigger */
} DcSource;

typedef struct DcAnalysis
{
	Oid			tenant_type;

	/*
	 * Where tenants may be equal without being the same bytes, and the query
	 * cannot tell them apart: how to find out.
	 */
	Oid			tenant_equal;
	Oid			tenant_hash;
	Oid			tenant_collation;

	bool		uses_params;
	bool		uses_clock;		/* calls functions that are not immutable */
	bool		one_row;		/* cannot return more than one row */
	int			ncolumns;
	List	   *sources;		/* of DcSource */
	List	   *stable_functions;	/* of OIDs */
} DcAnalysis;

extern DcAnalysis *dc_analyze_query(const char *query);

#endif							/* DASHCACHE_ANALYZE_H */
