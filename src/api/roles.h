/*-------------------------------------------------------------------------
 *
 * roles.h
 *		What happens to roles.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_ROLES_H
#define DASHCACHE_ROLES_H

#include "postgres.h"

#include "nodes/parsenodes.h"

extern void dc_roles_drop_owned(List *specifications);
extern void dc_roles_reassigned(Node *command);

#endif							/* DASHCACHE_ROLES_H */
