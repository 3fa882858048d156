/*-------------------------------------------------------------------------
 *
 * keys_internal.h
 *		What keys.c, levels.c, equalities.c and routes.c share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_KEYS_INTERNAL_H
#define DASHCACHE_KEYS_INTERNAL_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "widget/analyze.h"
#include "widget/keys.h"
#include "widget/path.h"

/* One level of the query. */
typedef struct Level
{
	struct Level *parent;
	Query	   *query;
	DcColumns  *columns;		/* by range table index */
	List	   *given;			/* Equalities that hold from outside */
	List	   *wide;			/* Equalities that hold for all that matters */
	bool		finished;
} Level;

typedef struct Search
{
	DcAnalysis *analysis;
	List	   *levels;
	Level	   *level;			/* the current one */
} Search;

/* A condition that applies to a table. */
typedef struct Condition
{
	Node	   *clause;
	bool		above;			/* from above an outer join that may null it */
} Condition;

/* A column, an expression over one table, or the tenant: a side of "=". */
typedef struct Term
{
	Level	   *level;			/* NULL: the tenant */
	int			varno;
	AttrNumber	attno;			/* 0: an expression */
	Node	   *expression;
} Term;

typedef struct Equality
{
	Term		side[2];
	Oid			hash[2];		/* hash functions for the operator's inputs */
	Oid			operator;
	Oid			family;
	Oid			collation;
} Equality;

/* A term found equal to another, and the hash function for it. */
typedef struct Reached
{
	Term		term;
	Oid			hash;
} Reached;

/* A way from a table's column to the tenant. */
typedef struct Route
{
	Term		from;
	int			nhops;
	DcHop		hops[DC_MAX_HOPS];
	bool		lacks_index[DC_MAX_HOPS];
	Oid			key_hash;
	Oid			tenant_hash;
	Oid			operator;
	Oid			family;
	Oid			collation;
} Route;

/* levels.c */
extern Level *dc_level_of(Search *search, Query *query);
extern void dc_level_search(Query *query, const DcColumns *used, Search *search);
extern List *dc_conditions_on(Node *node, int rti, List *conditions);

/* equalities.c */
extern bool dc_is_row_only(Node *node, int rti);
extern bool dc_term_of(Level *level, Node *node, Term *term, Oid family,
					   Oid *hash);
extern Level *dc_level_behind(Search *search, Level *level, int varno);
extern List *dc_equalities_add(Search *search, Level *level, Node *clause,
							   List *equalities);
extern List *dc_equalities_said(Search *search, Level *level, int rti);
extern List *dc_equalities_on(Search *search, Level *level, int rti);
extern List *dc_equalities_follow(List *equalities, const Equality *first,
								  int side);

/* routes.c */
extern List *dc_routes_direct(List *equalities);
extern void dc_route_reference(Search *search, Level *level, int rti,
							   DcReference *reference);
extern Route *dc_route_find(Search *search, Level *level, int rti,
							const char **wanted);

#endif							/* DASHCACHE_KEYS_INTERNAL_H */
