/*-------------------------------------------------------------------------
 *
 * setwise_internal.h
 *		Where $1 is in a query: for setwise.c and setwise_query.c alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_SETWISE_INTERNAL_H
#define DASHCACHE_SETWISE_INTERNAL_H

#include "nodes/parsenodes.h"

static inline bool
dc_setwise_is_tenant(const Node *node)
{
	return IsA(node, Param) && ((const Param *) node)->paramkind == PARAM_EXTERN &&
		((const Param *) node)->paramid == 1;
}

extern List *dc_setwise_take_conditions(Query *query);
extern Node *dc_setwise_key(Node *condition);

#endif							/* DASHCACHE_SETWISE_INTERNAL_H */
