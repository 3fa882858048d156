/*-------------------------------------------------------------------------
 *
 * exact.h
 *		Which aggregates give the same bytes in whatever order rows come.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_EXACT_H
#define DASHCACHE_EXACT_H

#include "postgres.h"

#include "nodes/parsenodes.h"

extern const char *dc_inexact_aggregate(const Aggref *aggregate);
extern bool dc_compares_by_default(const SortGroupClause *clause,
								   Node *expression);
extern bool dc_equal_is_identical_expr(Node *expression);

#endif							/* DASHCACHE_EXACT_H */
