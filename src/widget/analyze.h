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
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"
#include "widget/standing.h"

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

/*
 * A step on the way from a row to its tenant: the row of "relid" whose unique
 * column "match" equals the value at hand; its column "next" is the value for
 * the next step, or the tenant.  "many": the column is not unique, and all rows
 * that match lead on.  "enforced": a foreign key sees to it that the row is
 * there as long as a row refers to it; never on a path with a step to many.
 */
typedef struct DcHop
{
	Oid			relid;
	AttrNumber	match;
	AttrNumber	next;
	Oid			equal;			/* what the query means by "equals" */
	Oid			collation;
	bool		enforced;
	bool		many;
} DcHop;

/* A mark of a writer has room for the rounds that so many take: stamp.h. */
#define DC_MAX_HOPS 4

/*
 * A foreign key by which a row must be referred to.  There are no such rows
 * before the one referred to, except where the key has not been checked.
 */
typedef struct DcReference
{
	Oid			relid;			/* the table that refers; InvalidOid: none */
	Oid			equal;
	Oid			collation;
	AttrNumber	referenced;		/* the column referred to */
	AttrNumber	refers;			/* the column that refers to it */
} DcReference;

/* One source of a query, as it is used in one place or several alike. */
typedef struct DcSource
{
	Oid			relid;
	DcInvalidation invalidation;
	DcColumns	columns;

	/*
	 * For DC_INVALIDATION_ROW: the column that names the tenant, or an
	 * expression over the row (its Vars have varno 1); or the column with
	 * which the path of hops to the tenant begins.
	 */
	AttrNumber	key;
	Node	   *key_expression;
	int			nhops;
	DcHop		hops[DC_MAX_HOPS];

	/* the tenant is hashed like the one asked for, so that equal ones agree */
	Oid			key_hash;
	Oid			tenant_hash;
	Oid			collation;

	/* rows that fail this make no difference; a list of ANDed conditions */
	List	   *filter;

	/* without a row that refers to it a row makes no difference */
	DcReference reference;

	const char *reason;			/* why there is no key, or no trigger */
	const char *wanted_index;	/* a statement that makes one to follow */
} DcSource;

typedef struct DcAnalysis
{
	const char *query;			/* NULL: positions are not those in the query */
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
	List	   *stable_functions;	/* of OIDs: those that may read tables */
	List	   *relations;		/* of OIDs: all that the query mentions */
	List	   *functions;		/* of OIDs: not the server's own */
	List	   *code;			/* of DcCode: what runs that belongs to others */
	List	   *policies;		/* of DcPolicies: those that apply */
} DcAnalysis;

extern DcAnalysis *dc_analyze_query(const char *query,
									const DcRoles *admitted);
extern Query *dc_parse_query(const char *query, const DcRoles *admitted,
							 List **code, Oid *tenant_type);
extern bool dc_equal_means_identical(Oid type, Oid collation);

#endif							/* DASHCACHE_ANALYZE_H */
